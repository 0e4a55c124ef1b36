//! `replies`: what people wrote, by intent; a person corrects a label and the next reply is judged by it.

use clap::Subcommand;

use super::print::{Show, table};
use super::recipient::WishArgs;
use super::{BadInput, Env, actor};
use crate::model::Invalid;
use crate::model::ids::Name;
use crate::model::reply::Intent;
use crate::model::time::{format_instant, parse_instant};
use crate::store::{Reply, ReplyFilter};
use crate::work::replies::{self, ReplyDigest, ReplyLabel, ReplyPage};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print what people wrote, the newest first.
    List(ListArgs),
    /// Print one reply.
    Show {
        /// Its number.
        id: i64,
    },
    /// Correct what a reply means, and note what the person states in it of messages.
    Label {
        /// Its number.
        id: i64,
        /// What it means.
        intent: Intent,
        #[command(flatten)]
        wishes: WishArgs,
    },
    /// Print counts by intent and campaign, what is asked most, and what is new since yesterday.
    Digest {
        /// Replies since this instant (RFC 3339); seven days ago unless given.
        #[arg(long, value_name = "T")]
        since: Option<String>,
    },
}

#[derive(clap::Args)]
struct ListArgs {
    /// Only those of this intent.
    #[arg(long)]
    intent: Option<Intent>,
    /// Only those to this campaign.
    #[arg(long, value_name = "NAME")]
    campaign: Option<Name>,
    /// Only those since this instant (RFC 3339).
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Only those at which somebody should look.
    #[arg(long)]
    needs_human: bool,
    /// How many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Where to go on: the `next` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

impl Show for ReplyPage {
    fn text(&self) -> String {
        let header = ["id", "received", "recipient", "campaign", "intent", "sure", "look", "text"];
        let mut shown = table(&header);
        for reply in &self.items {
            let (intent, sure) = match reply.label {
                Some(label) => (label, "label".to_owned()),
                None => (reply.intent, format!("{:.0} %", 100.0 * reply.probability)),
            };
            shown.add_row([
                reply.id.to_string(),
                format_instant(reply.received_at),
                reply.recipient.to_string(),
                reply.campaign.clone().unwrap_or_default(),
                intent.to_string(),
                sure,
                if reply.needs_human { "yes" } else { "" }.to_owned(),
                reply.text.clone(),
            ]);
        }
        match &self.next {
            Some(next) => format!("{shown}\nMore with --cursor {next}"),
            None => shown.to_string(),
        }
    }
}

impl Show for Reply {
    fn text(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let label = match (self.label, self.labelled_at) {
            (Some(label), Some(at)) => format!("\nA person says: {label} ({})", format_instant(at)),
            _ => String::new(),
        };
        let look = if self.needs_human { "\nSomebody should look at it." } else { "" };
        format!(
            "Reply {} of {} through {}, {}, to {}\n{}\nIntent: {} ({}), stop {}; language: {} ({}){label}{look}",
            self.id,
            self.recipient,
            self.provider,
            format_instant(self.received_at),
            self.campaign.as_deref().unwrap_or("no campaign that is known"),
            self.text,
            self.intent,
            percent(self.probability),
            percent(self.stop_probability),
            self.language,
            percent(self.language_probability),
        )
    }
}

impl Show for ReplyDigest {
    fn text(&self) -> String {
        let mut intents = table(&["intent", "replies", "last day", "day before"]);
        for row in &self.intents {
            let counts = [row.replies, row.last_day, row.day_before].map(|count| count.to_string());
            intents.add_row([row.intent.to_string()].into_iter().chain(counts));
        }
        let mut campaigns = table(&["campaign", "replies", "intents"]);
        for row in &self.campaigns {
            let counts = row.intents.iter().map(|of| format!("{} {}", of.replies, of.intent));
            campaigns.add_row([
                row.campaign.clone().unwrap_or("none that is known".to_owned()),
                row.replies.to_string(),
                counts.collect::<Vec<_>>().join(", "),
            ]);
        }
        let mut questions = table(&["asked most", "times", "reply"]);
        for row in &self.questions {
            questions.add_row([row.text.clone(), row.replies.to_string(), row.reply.to_string()]);
        }
        format!(
            "{} replies since {}; {} need a human\n\n{intents}\n\n{campaigns}\n\n{questions}",
            self.replies,
            format_instant(self.since),
            self.needs_human
        )
    }
}

fn absent(id: i64) -> BadInput {
    BadInput(format!("there is no reply {id}"))
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let instant = |since: &Option<String>| {
        since.as_deref().map(|since| parse_instant("--since", since)).transpose()
    };
    match args.verb {
        Verb::List(args) => {
            let cursor = args.cursor.map(|cursor| {
                let wanted = "a cursor that a page gave as its next";
                cursor.parse::<i64>().map_err(|_| Invalid::new("--cursor", &cursor, wanted))
            });
            let filter = ReplyFilter {
                intent: args.intent,
                campaign: args.campaign,
                since: instant(&args.since)?,
                needs_human: args.needs_human,
            };
            let limit = args.limit as usize;
            let (items, next) = replies::list(&ctx, &filter, cursor.transpose()?, limit).await?;
            let next = next.map(|id| id.to_string());
            env.printer.show(&ReplyPage { items, next })
        }
        Verb::Show { id } => {
            let found = replies::show(&ctx, id).await?;
            env.printer.show(&found.ok_or_else(|| absent(id))?)
        }
        Verb::Label { id, intent, wishes } => {
            let label = ReplyLabel { intent, wishes: wishes.wishes()? };
            let labelled = replies::label(&ctx, id, &label, &actor()).await?;
            env.printer.show(&labelled.ok_or_else(|| absent(id))?)
        }
        Verb::Digest { since } => env.printer.show(&replies::digest(&ctx, instant(&since)?).await?),
    }
}
