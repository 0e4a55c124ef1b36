//! `recipient`: everything that is stored of a person, given out or erased.

use clap::Subcommand;

use super::print::Show;
use super::{BadInput, Env, actor, find_recipient};
use crate::model::ids::RecipientKey;
use crate::model::wish::Wishes;
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
    /// Note what a person states of messages; plans obey it. `none` takes a word back.
    Wish {
        /// The caller's id of the person.
        recipient: RecipientKey,
        #[command(flatten)]
        wishes: WishArgs,
    },
    /// Erase a person everywhere; a keyed hash stays, so that no import brings them back.
    Forget {
        /// The caller's id of the person.
        recipient: RecipientKey,
    },
}

/// What a person states; `none` takes a word back.
#[derive(clap::Args)]
pub(super) struct WishArgs {
    /// Nothing on these days: Sat,Sun.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    not_days: Option<Vec<String>>,
    /// Only in these parts of the day: morning,noon,afternoon,evening,night.
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only_dayparts: Option<Vec<String>>,
    /// Only with these media: text,image,video.
    #[arg(long, value_name = "MEDIA", value_delimiter = ',')]
    only_media: Option<Vec<String>>,
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

impl Show for Wishes {
    fn text(&self) -> String {
        if self.is_empty() { "Nothing is stated.".to_owned() } else { format!("{self}.") }
    }
}

impl WishArgs {
    pub(super) fn wishes(&self) -> anyhow::Result<Wishes> {
        let (days, parts) = (self.not_days.as_deref(), self.only_dayparts.as_deref());
        let wishes = Wishes::from_words(days, parts, self.only_media.as_deref());
        wishes.map_err(|error| BadInput(error.to_string()).into())
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::Wish { recipient, wishes } => {
            let wishes = people::wish(&ctx, &recipient, &wishes.wishes()?, &actor()).await?;
            let absent = || BadInput(format!("there is no recipient {:?}", recipient.as_str()));
            env.printer.show(&wishes.ok_or_else(absent)?)
        }
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
