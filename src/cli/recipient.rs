//! `recipient`: everything that is stored of a person, given out or erased.

use clap::Subcommand;

use super::print::Show;
use super::{BadInput, Env, actor, find_recipient};
use crate::model::ids::RecipientKey;
use crate::work::people::{self, Erased, Stored};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print everything that is stored of a person, as JSON.
    Export {
        /// The caller's id of the person.
        recipient: RecipientKey,
    },
    /// Erase a person everywhere; a keyed hash stays, so that no import brings them back.
    Forget {
        /// The caller's id of the person.
        recipient: RecipientKey,
    },
}

impl Show for Stored {
    fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Show for Erased {
    fn text(&self) -> String {
        let e = &self.erased;
        let mut text = format!(
            "{} is forgotten. Erased: the person's own row, {} entries of the consent ledger, \
             {} messages, {} signs of presence, {} learned habits, {} plans and deliveries.\n\
             A keyed hash stays, so that no import brings the person back.",
            self.recipient, e.consent_entries, e.messages, e.activities, e.evidence, e.deliveries
        );
        if !self.log_emptied {
            text.push_str(
                "\nThe write-ahead log is in use by another process and is emptied when that ends.",
            );
        }
        text
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::Export { recipient } => {
            let recipient = find_recipient(&ctx, &recipient).await?;
            env.printer.show(&people::stored(&ctx, recipient).await?)
        }
        Verb::Forget { recipient } => {
            let Some(erased) = people::forget(&ctx, &recipient, &actor()).await? else {
                let key = recipient.as_str();
                anyhow::bail!(BadInput(format!("recipient {key:?} is not known")));
            };
            env.printer.show(&erased)
        }
    }
}
