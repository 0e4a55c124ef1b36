//! `prune`: what the settings' retention no longer keeps is deleted.

use super::Env;
use super::print::Show;
use crate::work::prune::{self, Mode, PruneSummary};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Count what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Show for PruneSummary {
    fn text(&self) -> String {
        if self.pruned.is_empty() {
            return "The settings keep everything; see [retention].".to_owned();
        }
        let done = if self.dry_run { "Would delete" } else { "Deleted" };
        let rows = self.pruned.iter().map(|one| format!("{done} {} of {}.", one.rows, one.what));
        rows.collect::<Vec<_>>().join("\n")
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Delete };
    let pruned = prune::run(&ctx, mode).await?;
    env.printer.show(&PruneSummary { dry_run: args.dry_run, pruned })
}
