//! `evaluate`: how well the model foretells the user's own history, beside the naive methods.

use std::path::PathBuf;

use super::learn::learning_bar;
use super::print::{Show, table};
use super::{BadInput, Env};
use crate::learn::Evaluation;
use crate::learn::contest::{HistoryRow, PresenceContest};
use crate::learn::trials::Messages;
use crate::report;
use crate::work::evaluate;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The newer share of each person's history that is foretold.
    #[arg(long, default_value_t = 0.3, value_name = "SHARE")]
    holdout: f64,
    /// Write report.html, report.json and report.csv into this folder; made when it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Outside these, one of the two parts teaches or judges nothing.
const HOLDOUT: std::ops::RangeInclusive<f64> = 0.05..=0.9;

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
        report::of_evaluation(&evaluation).write(out)?;
    }
    env.printer.show(&evaluation)
}

impl Show for Evaluation {
    fn text(&self) -> String {
        let mut text = format!(
            "Learned from the older {:.0} % of each person's history, judged by the newer {:.0} %. \
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

fn when_seen(contest: &PresenceContest) -> String {
    let mut shown = table(&[
        "method",
        "log-loss, 24 hours",
        "log-loss, weekday × 4 h",
        "top 1 %",
        "top 3 %",
        "calibration error",
        "model better by",
    ]);
    for row in &contest.methods {
        shown.add_row([
            row.method.words().to_owned(),
            row.hour_loss.map_or_else(|| "–".to_owned(), |loss| loss.text(1.0, 3)),
            row.cell_loss.map_or_else(|| "–".to_owned(), |loss| loss.text(1.0, 3)),
            row.top_1.text(100.0, 1),
            row.top_3.text(100.0, 1),
            row.calibration_error.map_or_else(|| "–".to_owned(), |error| format!("{error:.4}")),
            match (row.model_gain, row.model_top_3_gain) {
                (Some(gain), _) => format!("{} nats", gain.text(1.0, 3)),
                (None, Some(gain)) => format!("{} points of top 3", gain.text(100.0, 1)),
                (None, None) => String::new(),
            },
        ]);
    }
    format!(
        "\n# When people are next seen: {} people, {} signs of presence held out\n\n{shown}\n{}",
        contest.people,
        contest.events,
        by_history("the population's hours", &contest.by_history)
    )
}

fn when_read(messages: &Messages) -> String {
    let mut text = format!(
        "\n# Which messages are read within 2 h: {} messages to {} people held out, {:.1} % read\n\n",
        messages.messages,
        messages.people,
        100.0 * messages.read
    );
    let mut shown = table(&["chance", "log-loss a message"]);
    for (name, loss) in [
        ("this model's", messages.loss),
        ("the person's own share (who, not when)", messages.person_loss),
        ("everybody's share", messages.population_loss),
    ] {
        shown.add_row([name.to_owned(), loss.text(1.0, 4)]);
    }
    text.push_str(&format!(
        "{shown}\n\nOf the model's gain on everybody's share, knowing who it is brings {}, timing and \
         content bring {} nats a message; on the person's own share it gains {}.\nCalibration error \
         {:.4}; of tenths of the messages, chance and share read:",
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
        let mut shown = table(&["method", "right order %", "model better by"]);
        for row in &messages.timing {
            shown.add_row([
                row.method.words().to_owned(),
                row.order.text(100.0, 1),
                row.model_gain.map_or_else(String::new, |gain| gain.text(100.0, 1)),
            ]);
        }
        text.push_str(&format!(
            "\n# Timing alone: of two messages to one person, was the one read within 2 h sent at the \
             better hour? {} people; 50 % is chance\n\n{shown}\n",
            messages.timing_people
        ));
    }
    text.push_str(&by_history("everybody's share", &messages.by_history));
    text
}

fn by_history(rival: &str, rows: &[HistoryRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut shown = table(&["known before", "people", "model's gain, nats"]);
    for row in rows {
        let from = row.from;
        let known =
            row.to.map_or_else(|| format!("{from} or more"), |to| format!("{from} to {to}"));
        shown.add_row([known, row.people.to_string(), row.gain.text(1.0, 3)]);
    }
    format!("\nOn {rival}, by amount of history:\n\n{shown}\n")
}
