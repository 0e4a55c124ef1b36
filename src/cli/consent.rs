//! `consent`: what the ledger says of a person, and new entries.

use clap::Subcommand;

use super::print::{Show, table};
use super::{Env, find_recipient};
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::ids::{Name, RecipientKey};
use crate::model::time::{format_instant, parse_instant};
use crate::work::people::{self, Ledger};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Note that a person agreed to be written to.
    Grant(Change),
    /// Note that a person no longer agrees.
    Withdraw(Change),
    /// Print a person's ledger.
    Show {
        /// The caller's id of the person.
        recipient: RecipientKey,
    },
}

#[derive(clap::Args)]
struct Change {
    /// The caller's id of the person.
    recipient: RecipientKey,
    /// When they said so (RFC 3339); now, if it is left out.
    #[arg(long)]
    at: Option<String>,
    /// Through what: a form, a call, a letter.
    #[arg(long, default_value = "operator")]
    source: String,
    /// What proves it.
    #[arg(long, default_value = "")]
    evidence: String,
    /// The provider that it holds for alone; all, if it is left out.
    #[arg(long)]
    provider: Option<Name>,
}

impl Show for Ledger {
    fn text(&self) -> String {
        let now = if self.consented { "has consent" } else { "has no consent" };
        let mut shown = table(&["at", "change", "for", "source", "evidence", "recorded"]);
        for entry in &self.entries {
            shown.add_row([
                format_instant(entry.at),
                entry.change.to_string(),
                scope(&entry.scope),
                entry.source.clone(),
                entry.evidence.clone(),
                format_instant(entry.recorded_at),
            ]);
        }
        format!("{} {now}.\n{shown}", self.recipient)
    }
}

fn scope(scope: &ConsentScope) -> String {
    match (&scope.provider, &scope.topic) {
        (None, _) => "all".to_owned(),
        (Some(provider), None) => provider.to_string(),
        (Some(provider), Some(topic)) => format!("{provider}: {topic}"),
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let key = match args.verb {
        Verb::Show { recipient } => recipient,
        Verb::Grant(change) => apply(&ctx, ConsentChange::Granted, change).await?,
        Verb::Withdraw(change) => apply(&ctx, ConsentChange::Withdrawn, change).await?,
    };
    let recipient = find_recipient(&ctx, &key).await?;
    env.printer.show(&people::ledger(&ctx, recipient).await?)
}

async fn apply(
    ctx: &crate::work::Ctx,
    to: ConsentChange,
    change: Change,
) -> anyhow::Result<RecipientKey> {
    let now = ctx.clock.now();
    let at = change.at.as_deref().map(|at| parse_instant("--at", at)).transpose()?.unwrap_or(now);
    if at > now {
        let shown = format_instant(at);
        anyhow::bail!(super::BadInput(format!("--at {shown:?} lies in the future")));
    }
    if let Some(provider) = &change.provider
        && !ctx.config.providers.contains_key(provider)
    {
        let told = format!("--provider: the settings have no [provider.{provider}]");
        anyhow::bail!(super::BadInput(told));
    }
    let entry = ConsentEntry {
        change: to,
        at,
        source: change.source,
        evidence: change.evidence,
        recorded_at: now,
        scope: ConsentScope { provider: change.provider, topic: None },
    };
    if !people::change_consent(ctx, &change.recipient, entry, &super::actor()).await? {
        let key = change.recipient.as_str();
        anyhow::bail!(super::BadInput(format!("recipient {key:?} is not known")));
    }
    Ok(change.recipient)
}
