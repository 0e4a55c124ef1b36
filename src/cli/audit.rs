//! `audit`: who paused, resumed, cancelled, rolled back or changed consent, and when.

use serde::Serialize;

use super::Env;
use super::print::{Show, table};
use crate::model::time::format_instant;
use crate::store::AuditEntry;
use crate::work::audit;

#[derive(clap::Args)]
pub(super) struct Args {
    /// How many deeds to show, newest first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    last: u32,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Trail(Vec<AuditEntry>);

impl Show for Trail {
    fn text(&self) -> String {
        let mut shown = table(&["at", "who", "what", "to", "detail"]);
        for entry in &self.0 {
            shown.add_row([
                format_instant(entry.at),
                entry.actor.clone(),
                entry.action.clone(),
                entry.subject.clone(),
                entry.detail.clone(),
            ]);
        }
        shown.to_string()
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    env.printer.show(&Trail(audit::last(&ctx, args.last as usize).await?))
}
