//! `evaluate`: how well the model foretells the user's own history, beside the naive methods.

use std::path::PathBuf;

use super::learn::learning_bar;
use super::print::{Show, table};
use super::{BadInput, Env};
use crate::learn::{Evaluation, HistoryRow, MessageEvaluation, PresenceEvaluation};
use crate::report::evaluated::{self, Grid};
use crate::work::evaluate::{self, HOLDOUT};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The newer share of the history, from one date on, that is foretold.
    #[arg(long, default_value_t = evaluate::HOLDOUT_UNSET, value_name = "SHARE")]
    holdout: f64,
    /// Write report.html, report.json and report.csv into this folder; made when it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    if !HOLDOUT.contains(&args.holdout) {
        let (low, high) = (HOLDOUT.start(), HOLDOUT.end());
        let text = format!("--holdout {} is not between {low} and {high}", args.holdout);
        anyhow::bail!(BadInput(text));
    }
    let ctx = env.ctx().await?;
    let (bar, tick) = learning_bar("evaluating");
    let evaluation = evaluate::run(&ctx, args.holdout, tick).await;
    bar.finish_and_clear();
    let evaluation = evaluation?;
    if let Some(out) = &args.out {
        evaluated::of_evaluation(&evaluation).write(out)?;
    }
    env.printer.show(&evaluation)
}

impl Show for Evaluation {
    fn text(&self) -> String {
        let mut text = format!(
            "Learned from the older {:.0} % of the history, judged by the newer {:.0} %. \
             In brackets: 95 % intervals, by bootstrap over people.\n",
            100.0 * (1.0 - self.holdout),
            100.0 * self.holdout
        );
        if let Some(presence) = &self.presence {
            text.push_str(&when_seen(presence));
        }
        if let Some(messages) = &self.messages {
            text.push_str(&when_read(messages));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(&format!("- {note}\n"));
        }
        text
    }
}

fn shown(grid: &Grid) -> comfy_table::Table {
    let mut shown = table(grid.head);
    shown.add_rows(&grid.rows);
    shown
}

fn when_seen(contest: &PresenceEvaluation) -> String {
    format!(
        "\n# When people are next seen: {} people, {} signs of presence held out\n\n{}\n{}",
        contest.people,
        contest.events,
        shown(&evaluated::presence(contest)),
        by_history("the population's hours", &contest.by_history)
    )
}

fn when_read(messages: &MessageEvaluation) -> String {
    let mut text = format!(
        "\n# Which messages are read within 2 h: {} messages to {} people held out, {:.1} % read\n\n",
        messages.messages,
        messages.people,
        100.0 * messages.read
    );
    text.push_str(&format!(
        "{}\n\nOf the model's gain on everybody's share, knowing who it is brings {}, timing and \
         content bring {} nats a message; on the person's own share it gains {}.\nCalibration error \
         {:.4}; of tenths of the messages, chance and share read:",
        shown(&evaluated::losses(messages)),
        messages.who_gain.text(1.0, 4),
        messages.when_gain.text(1.0, 4),
        messages.model_gain.text(1.0, 4),
        messages.calibration_error
    ));
    for (chance, read) in &messages.reliability {
        text.push_str(&format!(" {:.1}→{:.1}", 100.0 * chance, 100.0 * read));
    }
    text.push_str(" %.\n");
    if !messages.timing.is_empty() {
        text.push_str(&format!(
            "\n# Timing alone: of two messages to one person, was the one read within 2 h sent at the \
             better hour? {} people; 50 % is chance\n\n{}\n",
            messages.timing_people,
            shown(&evaluated::timing(messages))
        ));
    }
    text.push_str(&by_history("everybody's share", &messages.by_history));
    text
}

fn by_history(rival: &str, rows: &[HistoryRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown = shown(&evaluated::by_history(rows));
    format!("\nOn {rival}, by amount of history:\n\n{shown}\n")
}
