//! `init`: a commented settings file and an empty database.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::Env;
use super::print::Show;
use crate::config::{Config, EXAMPLE};
use crate::store::{Create, Store};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder of the workspace; made when it is not there.
    #[arg(default_value = ".")]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Made {
    config: PathBuf,
    config_written: bool,
    database: String,
}

impl Show for Made {
    fn text(&self) -> String {
        let config = self.config.display();
        let settings = if self.config_written {
            format!("Wrote the settings {config}.")
        } else {
            format!("The settings {config} were there and stay as they are.")
        };
        format!("{settings}\nThe database {} is ready.", self.database)
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let path = args.dir.join("opportune.toml");
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("could not make the folder {}", args.dir.display()))?;
    let config_written = write_new(&path)
        .with_context(|| format!("could not write the settings {}", path.display()))?;
    let config = Config::load(&path)?;
    Store::open(&config.database_url, Create::IfMissing).await?.close().await;
    let database = match config.database_url.strip_prefix("sqlite://") {
        Some(file) => file.to_owned(),
        None => "at the URL of the settings".to_owned(),
    };
    env.printer.show(&Made { config: path, config_written, database })
}

/// Writes the example unless the file is there; says whether it did.
fn write_new(path: &Path) -> std::io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(EXAMPLE.as_bytes()).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
