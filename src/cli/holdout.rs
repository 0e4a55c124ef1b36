//! `holdout`: who gets no marketing of any campaign, and what all messages together bring.

use clap::Subcommand;

use super::Env;
use super::print::Show;
use crate::model::time::format_instant;
use crate::work::holdout::{self, Brought, HoldoutResult};
use crate::work::interval::Interval;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Its size, until when, and what all messages together bring, with an interval.
    Show,
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::Show => env.printer.show(&holdout::show(&ctx).await?),
    }
}

impl Show for HoldoutResult {
    fn text(&self) -> String {
        let Some(until) = self.until else {
            return "There is no standing holdout. Set [holdout] share and until in the settings."
                .to_owned();
        };
        let over = if self.active { "" } else { ", which is over" };
        let mut text = format!(
            "Held out of all marketing until {until}{over}: {} people of {} with consent, now or \
             before ({:.1} % wanted).",
            self.size,
            self.size + self.others,
            100.0 * self.share
        );
        if self.mismatch.is_some_and(|mismatch| mismatch.alarm) {
            text.push_str(
                "\nALARM: that is not the share, by more than chance. Something loses people of one \
                 side: do not compare before it is found.",
            );
        }
        let Some(since) = self.since else {
            return text + "\nIt begins with the next plan.";
        };
        text.push_str(&format!(
            "\nWhat all messages together bring, since {}:",
            format_instant(since)
        ));
        for (what, brought) in [("a purchase", self.conversions), ("activity", self.activity)] {
            match brought {
                Some(brought) => text.push_str(&line(what, &brought)),
                None => text.push_str(&format!("\nPeople with {what}: nobody to compare yet.")),
            }
        }
        text + "\nIntervals are of 95 % and hold while somebody looks every day."
    }
}

fn line(what: &str, brought: &Brought) -> String {
    let Interval { low, high, .. } = brought.difference;
    let sure = if low > 0.0 || high < 0.0 { "" } else { "; it may be none" };
    format!(
        "\nPeople with {what}: {} of those who may be written to, {} of those held out; {}{sure}.",
        brought.others.percent(),
        brought.held_out.percent(),
        brought.difference.points()
    )
}
