//! `backup` and `restore`: the whole workspace as one file, and the way back.

use std::io::Seek;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::print::{Show, note};
use super::{BadInput, Env};
use crate::config::Config;
use crate::files;
use crate::store::{BackupForm, Store, shown_url};

#[derive(clap::Args)]
pub(super) struct BackupArgs {
    /// The file to write; it must not be there. `.gz` is compressed, `-` is the standard output.
    file: PathBuf,
}

#[derive(clap::Args)]
pub(super) struct RestoreArgs {
    /// What `backup` wrote, of this version or an older one. `.gz` is decompressed, `-` is the standard
    /// input.
    file: PathBuf,
}

#[derive(Serialize)]
struct Done {
    database: String,
    file: PathBuf,
    form: BackupForm,
    bytes: u64,
    #[serde(skip)]
    restored: bool,
}

impl Show for Done {
    fn text(&self) -> String {
        let (file, url) = (self.file.display(), &self.database);
        let form = match self.form {
            BackupForm::Sqlite => "a database of SQLite",
            BackupForm::Postgres => "a dump in pg_dump's custom form",
        };
        if self.restored {
            return format!("Restored {file}, {form}, into {url}.");
        }
        format!(
            "Wrote {url} to {file}: {form}, {} bytes. It holds everything, people's addresses too: \
             keep it as safe as the database.",
            self.bytes
        )
    }
}

const TO_STANDARD_STREAM: &str = "-";

pub(super) async fn backup(args: BackupArgs, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let url = &ctx.config.database_url;
    if args.file.exists() {
        let file = args.file.display();
        anyhow::bail!(BadInput(format!("{file} is there already; a backup overwrites nothing")));
    }
    // beside the file, where there is room for it
    let folder = match args.file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let doing = || format!("could not write the backup {}", args.file.display());
    let copy = tempfile::NamedTempFile::new_in(folder).with_context(doing)?;
    let form = ctx.store.back_up(url, copy.path()).await?;
    let mut written = std::fs::File::open(copy.path()).with_context(doing)?;
    written.rewind().with_context(doing)?;
    let bytes = files::copy_to_new(written, &args.file).with_context(doing)?;
    let done = Done { database: shown_url(url), file: args.file, form, bytes, restored: false };
    if done.file == Path::new(TO_STANDARD_STREAM) {
        note(done.text());
        return Ok(());
    }
    env.printer.show(&done)
}

pub(super) async fn restore(args: RestoreArgs, env: &Env) -> anyhow::Result<()> {
    let url = Config::load(&env.config)?.database_url;
    let doing = || format!("could not read the backup {}", args.file.display());
    let input = files::open(&args.file)?;
    // a backup of an older version is migrated, and stays as it was
    let mut copy = tempfile::NamedTempFile::new().with_context(doing)?;
    let bytes = input.copy_to(&mut copy).with_context(doing)?;
    let form = Store::restore(&url, copy.path()).await?;
    let done = Done { database: shown_url(&url), file: args.file, form, bytes, restored: true };
    env.printer.show(&done)
}
