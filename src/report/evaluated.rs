//! How well the model foretold the workspace's own history, beside the naive methods.

use maud::{Markup, html};
use serde::Serialize;

use super::{ReportPage, page};
use crate::learn::{
    Estimate, Evaluation, HistoryRow, MessageEvaluation, PresenceEvaluation, PresenceRow, TimingRow,
};
use crate::pictures::{Line, forest, percent, reliability, table};

/// The report of an evaluation.
pub fn of_evaluation(evaluation: &Evaluation) -> ReportPage {
    let lead = format!(
        "Learned from the older {:.0} % of the history, judged by the newer {:.0} %. \
         Intervals are 95 %, by bootstrap over people.",
        100.0 * (1.0 - evaluation.holdout),
        100.0 * evaluation.holdout
    );
    let body = html! {
        @if !evaluation.notes.is_empty() {
            ul { @for note in &evaluation.notes { li { (note) } } }
        }
        @if let Some(presence) = &evaluation.presence { (when_seen(presence)) }
        @if let Some(messages) = &evaluation.messages { (when_read(messages)) }
    };
    let page = page("Foretelling your own history", &lead, &html! {}, &body);
    ReportPage::new(page, evaluation, figures(evaluation).into_iter())
}

/// A table, for the page or for a terminal.
pub struct Grid {
    /// The columns' names.
    pub head: &'static [&'static str],
    /// Their cells.
    pub rows: Vec<Vec<String>>,
}

/// How well each method foretold when people were next seen.
pub fn presence(contest: &PresenceEvaluation) -> Grid {
    let loss = |loss: Option<Estimate>| loss.map_or("–".to_owned(), |l| l.text(1.0, 3));
    let row = |row: &PresenceRow| {
        vec![
            row.method.words().to_owned(),
            loss(row.hour_loss),
            loss(row.cell_loss),
            row.top_1.text(100.0, 1),
            row.top_3.text(100.0, 1),
            row.calibration_error.map_or("–".to_owned(), |error| format!("{error:.4}")),
            match (row.model_gain, row.model_top_3_gain) {
                (Some(gain), _) => format!("{} nats", gain.text(1.0, 3)),
                (None, Some(gain)) => format!("{} points of top 3", gain.text(100.0, 1)),
                (None, None) => String::new(),
            },
        ]
    };
    let head = &[
        "method",
        "log-loss, 24 hours",
        "log-loss, weekday × 4 h",
        "top 1 %",
        "top 3 %",
        "calibration error",
        "model better by",
    ];
    Grid { head, rows: contest.methods.iter().map(row).collect() }
}

/// How well it was foretold whether messages are read.
pub fn losses(messages: &MessageEvaluation) -> Grid {
    let rows = [
        ("this model's", messages.loss),
        ("the person's own share (who, not when)", messages.person_loss),
        ("everybody's share", messages.population_loss),
    ];
    let row = |(name, loss): (&str, Estimate)| vec![name.to_owned(), loss.text(1.0, 4)];
    Grid { head: &["chance", "log-loss a message"], rows: rows.into_iter().map(row).collect() }
}

/// How well each method orders the messages to one person.
pub fn timing(messages: &MessageEvaluation) -> Grid {
    let row = |row: &TimingRow| {
        vec![
            row.method.words().to_owned(),
            row.order.text(100.0, 1),
            row.model_gain.map_or_else(String::new, |gain| gain.text(100.0, 1)),
        ]
    };
    let head = &["method", "right order %", "model better by"];
    Grid { head, rows: messages.timing.iter().map(row).collect() }
}

/// The model's gain, by how much was known of a person.
pub fn by_history(rows: &[HistoryRow]) -> Grid {
    let row = |row: &HistoryRow| {
        let from = row.from;
        let known =
            row.to.map_or_else(|| format!("{from} or more"), |to| format!("{from} to {to}"));
        vec![known, row.people.to_string(), row.gain.text(1.0, 3)]
    };
    let head = &["known before", "people", "model's gain, nats"];
    Grid { head, rows: rows.iter().map(row).collect() }
}

fn shown(caption: &str, grid: &Grid) -> Markup {
    table(caption, grid.head, &grid.rows)
}

fn when_seen(contest: &PresenceEvaluation) -> Markup {
    let top_3 = |row: &PresenceRow| line(row.method.words(), row.top_3, 100.0, 1);
    html! {
        section aria-labelledby="seen" {
            h2 id="seen" { "When people are next seen" }
            p { (contest.people) " people, " (contest.events) " signs of presence held out." }
            (forest(
                "Signs in the three likeliest hours of the day, per cent",
                &contest.methods.iter().map(top_3).collect::<Vec<_>>(),
            ))
            (shown("All methods.", &presence(contest)))
            (gains("the population's hours", &contest.by_history))
        }
    }
}

fn when_read(messages: &MessageEvaluation) -> Markup {
    let parts = [
        ("who it is", messages.who_gain),
        ("timing and content", messages.when_gain),
        ("all, on the person's own share", messages.model_gain),
    ];
    let parts = parts.map(|(name, gain)| vec![name.to_owned(), gain.text(1.0, 4)]);
    let lines: Vec<Line> =
        (messages.timing.iter()).map(|row| line(row.method.words(), row.order, 100.0, 1)).collect();
    let tenths: Vec<Vec<String>> = (messages.reliability.iter())
        .map(|(chance, read)| vec![percent(*chance), percent(*read)])
        .collect();
    html! {
        section aria-labelledby="read" {
            h2 id="read" { "Which messages are read within 2 h" }
            p {
                (messages.messages) " messages to " (messages.people) " people held out, "
                (percent(messages.read)) " read."
            }
            (shown("Log-loss a message, in nats.", &losses(messages)))
            (table("What knowledge gains, in nats a message.", &["of", "gain"], &parts))
            h3 { "Calibration" }
            p { "Expected calibration error " (format!("{:.4}", messages.calibration_error)) "." }
            (reliability("Tenths of the messages: chance and share read", &messages.reliability))
            (table("Tenths of the messages.", &["chance", "read"], &tenths))
            @if !messages.timing.is_empty() {
                h3 { "Timing alone" }
                p {
                    "Of two messages to one person, was the one that was read within 2 h sent at the \
                     better hour? " (messages.timing_people) " people; 50 % is chance."
                }
                (forest("Pairs in the right order, per cent", &lines))
                (shown("Pairs in the right order.", &timing(messages)))
            }
            (gains("everybody's share", &messages.by_history))
        }
    }
}

fn gains(rival: &str, rows: &[HistoryRow]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h3 { "By amount of history" }
            (shown(&format!("The model's gain on {rival}."), &by_history(rows)))
        }
    }
}

fn line(name: &str, figure: Estimate, scale: f64, digits: usize) -> Line {
    Line {
        name: name.to_owned(),
        value: scale * figure.value,
        interval: Some((scale * figure.low, scale * figure.high)),
        text: figure.text(scale, digits),
    }
}

/// A row of the table of numbers: a figure of a method.
#[derive(Serialize)]
struct Row {
    of: &'static str,
    method: &'static str,
    figure: &'static str,
    value: f64,
    low: f64,
    high: f64,
}

/// Every figure that has an interval.
fn figures(evaluation: &Evaluation) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |of, method, figures: &[(&'static str, Option<Estimate>)]| {
        let known = figures.iter().filter_map(|(name, figure)| Some((*name, (*figure)?)));
        rows.extend(known.map(|(figure, Estimate { value, low, high })| Row {
            of,
            method,
            figure,
            value,
            low,
            high,
        }));
    };
    for row in evaluation.presence.iter().flat_map(|contest| &contest.methods) {
        let figures = [
            ("hour_loss", row.hour_loss),
            ("cell_loss", row.cell_loss),
            ("top_1", Some(row.top_1)),
            ("top_3", Some(row.top_3)),
            ("model_gain", row.model_gain),
            ("model_top_3_gain", row.model_top_3_gain),
        ];
        add("presence", row.method.words(), &figures);
    }
    if let Some(messages) = &evaluation.messages {
        let figures = [
            ("loss", Some(messages.loss)),
            ("person_loss", Some(messages.person_loss)),
            ("population_loss", Some(messages.population_loss)),
            ("who_gain", Some(messages.who_gain)),
            ("when_gain", Some(messages.when_gain)),
            ("model_gain", Some(messages.model_gain)),
        ];
        add("messages", "this model", &figures);
        for row in &messages.timing {
            let figures = [("order", Some(row.order)), ("model_gain", row.model_gain)];
            add("timing", row.method.words(), &figures);
        }
    }
    rows
}
