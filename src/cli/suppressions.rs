//! `suppressions`: whom a channel does not reach, by its own word; apart from consent.

use clap::Subcommand;
use serde::Serialize;

use super::print::{Show, note, table};
use super::{Env, actor, find_recipient};
use crate::model::ids::RecipientKey;
use crate::model::time::format_instant;
use crate::store::Suppression;
use crate::work::people;

/// Suppressions that are read at once.
const PAGE: usize = 1000;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print whom channels do not reach, since when and why.
    List,
    /// Let a person be tried again by every channel.
    Remove {
        /// The caller's id of the person.
        recipient: RecipientKey,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Suppressions(Vec<Suppression>);

impl Show for Suppressions {
    fn text(&self) -> String {
        let mut shown = table(&["provider", "recipient", "code", "since"]);
        for row in &self.0 {
            shown.add_row([
                row.provider.clone(),
                row.recipient.to_string(),
                row.code.clone(),
                format_instant(row.since),
            ]);
        }
        shown.to_string()
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::List => {
            let mut all: Vec<Suppression> = Vec::new();
            loop {
                let last = all.last();
                let after = last.map_or(("", ""), |row| (row.recipient.as_str(), &row.provider));
                let page = ctx.store.read().await?.suppressions(after, PAGE).await?;
                if page.is_empty() {
                    return env.printer.show(&Suppressions(all));
                }
                all.extend(page);
            }
        }
        Verb::Remove { recipient } => {
            let person = find_recipient(&ctx, &recipient).await?;
            let removed = people::remove_suppressions(&ctx, person.id, &actor()).await?;
            note(format_args!("{removed} suppressions removed"));
            Ok(())
        }
    }
}
