//! What is told, and how it is chosen among all that is looked at.

use std::collections::BTreeMap;

use serde::Serialize;

use super::looks::Time;
use super::ratio::{LogRatio, select};
use crate::learn::statistics::estimate::Estimate;

/// Of everybody, and of groups beside the others, so much is told falsely at most.
const RATE: f64 = 0.025;
/// Differences below this share are not worth a word.
pub(super) const WORTH: f64 = 0.05;

/// What an insight is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// In which part of the day people are best reached.
    PartOfDay,
    /// The size of a chronotype.
    Chronotype,
    /// People whose weekend, or whose working days, matter.
    Weekend,
    /// A day of the week.
    Day,
    /// What everybody, or a group, likes better or worse.
    Taste,
    /// Habits that moved lately.
    Drift,
    /// What the data does not tell.
    Unsure,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Insight {
    /// What it is about.
    pub about: About,
    /// In plain words.
    pub text: String,
    /// People it rests on; messages where it is about those.
    pub size: usize,
    /// The figure in it. Its interval is of the population, and as wide as all that was looked at
    /// asks for.
    pub figure: Estimate,
    /// Whether the data say it; else what they leave open.
    pub sure: bool,
    /// What follows from it.
    pub advice: Option<String>,
    /// The part of the day, the weekend, the day or the group that it is about.
    pub group: Option<String>,
    /// A day of 24 hours, drawn; of a chronotype.
    pub drawn: Option<String>,
    /// How it was found.
    pub basis: Option<&'static str>,
    /// Among how many figures it was chosen.
    pub looked_at: Option<usize>,
    /// A ratio that would have been found eight times in ten.
    pub detectable: Option<f64>,
}

/// Something that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Compared {
    /// When waiting messages are read.
    Time(Time),
    /// What is engaged with.
    Content(u16),
    /// Whether those picked for a part of the day are read more then.
    Picked(usize),
    /// And more so than the others.
    PickedBeside(usize),
    /// The same for the weekend and the working days.
    Keeps(bool),
}

/// A figure that is told.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) question: Compared,
    pub(super) group: Option<String>,
    pub(super) figure: Estimate,
    pub(super) people: usize,
    pub(super) looked_at: usize,
    pub(super) detectable: f64,
}

/// Figures that were looked at together: those told, and the smallest ratio found 8 times in 10 of
/// each question, in the middle.
#[derive(Debug, Clone, Default)]
pub(super) struct Family {
    pub(super) found: Vec<Found>,
    pub(super) looked_at: usize,
    pub(super) detectable: BTreeMap<&'static str, f64>,
}

impl Family {
    pub(super) fn of(asked: Vec<(Compared, Option<String>, LogRatio)>) -> Self {
        let p_values: Vec<f64> = asked.iter().map(|(_, _, ratio)| ratio.p_value()).collect();
        let selection = select(&p_values, RATE);
        let mut detectable: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (question, _, ratio) in &asked {
            let kind = match question {
                Compared::Time(_) => "time",
                Compared::Content(_) => "content",
                _ => "picked",
            };
            detectable.entry(kind).or_default().push(ratio.detectable(selection.missed_alone));
        }
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let looked_at = asked.len();
        let told = asked.into_iter().zip(&selection.told).filter(|(_, told)| **told);
        let found = told.map(|((question, group, ratio), _)| Found {
            question,
            group,
            figure: ratio.estimate(selection.missed),
            people: ratio.people,
            looked_at,
            detectable: ratio.detectable(selection.missed_alone),
        });
        Self {
            found: found.filter(|found| (found.figure.value - 1.0).abs() > WORTH).collect(),
            looked_at,
            detectable: detectable
                .into_iter()
                .map(|(kind, values)| (kind, middle(values)))
                .collect(),
        }
    }

    /// What was found of a question about everybody, if it is more than without.
    pub(super) fn more(&self, question: Compared) -> Option<&Found> {
        self.found.iter().find(|f| f.question == question && f.figure.value > 1.0)
    }
}
