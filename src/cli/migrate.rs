//! `migrate`: the database is brought to this program's version.

use serde::Serialize;

use super::print::Show;
use super::{Env, Pending};
use crate::config::Config;
use crate::store::{Create, Schema, Store, StoreError, shown_url};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Say what would be done and change nothing; the exit status is 1 when something would.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Migrated {
    database: String,
    #[serde(flatten)]
    schema: Schema,
    /// Whether the database has this program's version now.
    current: bool,
    #[serde(skip)]
    done: bool,
}

impl Show for Migrated {
    fn text(&self) -> String {
        let Schema { version, program, missing, in_use, .. } = &self.schema;
        let url = &self.database;
        if missing.is_empty() {
            return format!("The database {url} is of version {program}, as this program is.");
        }
        let from = version.map_or("empty".to_owned(), |version| format!("of version {version}"));
        let list = missing.join("\n  ");
        let mut text = if self.done {
            format!("The database {url} was {from} and is of version {program} now:\n  {list}")
        } else {
            format!(
                "The database {url} is {from}, this program of version {program}. Missing:\n  \
                 {list}\n`opportune backup` first, then `opportune migrate`."
            )
        };
        if *in_use {
            text.push_str(
                "\nAnother process has the database open, or died with it open. A daemon of an older \
                 version must be stopped before, or restarted with this version now: it does not know \
                 the new schema.",
            );
        }
        text
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let url = Config::load(&env.config)?.database_url;
    let schema = Store::schema(&url).await?;
    if let Some(version) = schema.newer {
        anyhow::bail!(StoreError::Newer { version });
    }
    let (current, done) = (schema.missing.is_empty(), !args.check);
    if done && !current {
        Store::open(&url, Create::Schema).await?.close().await;
    }
    let database = shown_url(&url);
    env.printer.show(&Migrated { database, schema, current: current || done, done })?;
    if !current && !done {
        anyhow::bail!(Pending);
    }
    Ok(())
}
