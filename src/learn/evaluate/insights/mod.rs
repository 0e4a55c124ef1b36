//! What a marketer should know of a population: when people are best reached, on which days, what
//! they like, by group, how habits moved; what is unsure, and what would settle it.
//!
//! A sentence is told where data say it that had no part in finding it. What people like, and when
//! they read, is compared within the same person at a like time ([`looks`]), so that who was sent
//! what, and when, does not enter; who is best reached when is found in one half of everybody's
//! history and held against the other. Errors allow for people and for days of sending ([`ratio`]).
//! Of all that is looked at, Benjamini and Yekutieli (2001) choose what is told: where nothing is
//! true, nothing is in 19 worlds of 20.
//!
//! *Invariant:* nothing is said of fewer than [`SEGMENT_MIN`] people.

mod looks;
mod ratio;
mod sentences;
mod shares;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::looks::{Pieces, Time, by_content, by_time};
use self::ratio::{Contrast, LogRatio, Piece, select};
use crate::learn::data::observations::{ObservationSet, TimeSpan};
use crate::learn::data::subject::{CensoredSubject, Subject, seconds};
use crate::learn::evaluate::drift::{SEGMENT_MIN, drift};
use crate::learn::infer::model::Model;
use crate::learn::parallel::map;
use crate::learn::statistics::estimate::Estimate;
use crate::model::part_of_day::{COUNT, best_part};
use crate::model::time::Instant;

/// With fewer observations a person's habits are mostly those of others.
const EVIDENCE_MIN: f64 = 5.0;
/// Of everybody, and of groups beside the others, so much is told falsely at most.
const RATE: f64 = 0.025;
/// Differences below this share are not worth a word.
const WORTH: f64 = 0.05;
/// The largest groups are looked at.
const GROUPS_MAX: usize = 24;
/// Somebody keeps the weekend, or the working days, if so many times as present then.
const KEEPS: f32 = 1.2;

/// What an insight is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
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
enum Question {
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
struct Found {
    question: Question,
    group: Option<String>,
    figure: Estimate,
    people: usize,
    looked_at: usize,
    detectable: f64,
}

/// Figures that were looked at together: those told, and the smallest ratio found 8 times in 10 of
/// each question, in the middle.
#[derive(Debug, Clone, Default)]
struct Family {
    found: Vec<Found>,
    looked_at: usize,
    detectable: BTreeMap<&'static str, f64>,
}

impl Family {
    fn of(asked: Vec<(Question, Option<String>, LogRatio)>) -> Self {
        let p_values: Vec<f64> = asked.iter().map(|(_, _, ratio)| ratio.p_value()).collect();
        let selection = select(&p_values, RATE);
        let mut detectable: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (question, _, ratio) in &asked {
            let kind = match question {
                Question::Time(_) => "time",
                Question::Content(_) => "content",
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
    fn more(&self, question: Question) -> Option<&Found> {
        self.found.iter().find(|f| f.question == question && f.figure.value > 1.0)
    }
}

/// What is kept of one person while insights are gathered.
struct Portrait {
    evidence: f64,
    messages: usize,
    groups: Vec<String>,
    times: Pieces<Time>,
    contents: Pieces<u16>,
    /// Of the half of the history that had no part in it: the picked parts of the day, and what
    /// the messages say of each part, picked and not.
    picked: Pieces<(usize, bool)>,
    keeps: Pieces<bool>,
    /// How likely what is known is under each chronotype.
    likelihoods: Vec<f64>,
    /// Delivered messages by content, and by hour of the week in which they came.
    sent: BTreeMap<u16, usize>,
    came: BTreeMap<usize, usize>,
}

impl Portrait {
    fn new(model: &Model, subject: &Subject<'_>, as_of: Instant) -> Self {
        let until = seconds(as_of);
        let whole = subject.observations(TimeSpan { from: 0, until }, &model.reporting);
        let (mut sent, mut came) = (BTreeMap::new(), BTreeMap::new());
        for message in &whole.intervals {
            *came.entry(usize::from(message.start)).or_default() += 1;
            if let Some(content) = message.content {
                *sent.entry(content).or_default() += 1;
            }
        }
        let share = model.population.chronotypes.share();
        let known = model.population.posterior(&whole, model.hyper.observation_weights(), share);
        let likelihood = |(posterior, prior): (&f32, &f64)| f64::from(*posterior) / prior.max(1e-9);
        let (picked, keeps) = held_against_the_other_half(model, subject, until);
        Self {
            evidence: f64::from(known.summary.evidence),
            messages: whole.intervals.len(),
            groups: subject.segments().collect(),
            times: by_time(&whole),
            contents: by_content(&whole),
            picked,
            keeps,
            likelihoods: known.rates.share.iter().zip(share).map(likelihood).collect(),
            sent,
            came,
        }
    }
}

/// Picks by each half of a person's history, with what the other half says of the parts of the day.
fn held_against_the_other_half(
    model: &Model,
    subject: &Subject<'_>,
    until: u32,
) -> (Pieces<(usize, bool)>, Pieces<bool>) {
    let (mut picked, mut keeps) = (Pieces::new(), Pieces::new());
    let person = CensoredSubject { subject: *subject, until };
    let share = model.population.chronotypes.share();
    let [_, early, late] =
        person.around(0, 2).map(|span| subject.observations(span, &model.reporting));
    for (half, other) in [(&early, &late), (&late, &early)] {
        if half.is_empty() || other.intervals.is_empty() {
            continue;
        }
        let (pick, kept) = pick(model, half, share);
        for (time, pieces) in by_time(other) {
            match time {
                Time::Part(part) => add(&mut picked, (part, part == pick), &pieces),
                Time::Weekend => {
                    if let Some(weekend) = kept {
                        add(&mut keeps, weekend, &pieces);
                    }
                }
                Time::Day(_) => {}
            }
        }
    }
    (picked, keeps)
}

fn add<K: Ord>(to: &mut Pieces<K>, key: K, pieces: &[Piece]) {
    to.entry(key).or_default().extend_from_slice(pieces);
}

/// The part of the day in which a person seems to be most present, and whether that seems to be so
/// on weekends, or on working days.
fn pick(model: &Model, half: &ObservationSet, share: &[f64]) -> (usize, Option<bool>) {
    let week =
        model.population.posterior(half, model.hyper.observation_weights(), share).rates.week;
    let weekend = week[120..].iter().sum::<f32>() / 48.0;
    let working = week[..120].iter().sum::<f32>() / 120.0;
    let kept = match weekend / working.max(f32::MIN_POSITIVE) {
        ratio if ratio > KEEPS => Some(true),
        ratio if ratio < 1.0 / KEEPS => Some(false),
        _ => None,
    };
    (best_part(&week), kept)
}

/// Computes what is sure, and what is not.
pub fn insights(model: &Model, people: &[Subject<'_>], as_of: Instant) -> Vec<Insight> {
    let known: Vec<&Subject<'_>> =
        people.iter().filter(|subject| !subject.evidence.is_empty()).collect();
    let portraits = map(&known, |subject| Portrait::new(model, subject, as_of));
    let groups = groups(&portraits);
    let asked = Asked::of(&portraits, &groups);
    let everybody = Family::of(asked.of_everybody());
    let of_groups = Family::of(asked.of_groups());
    let likelihoods: Vec<&Vec<f64>> = (portraits.iter())
        .filter(|portrait| portrait.evidence >= EVIDENCE_MIN)
        .map(|portrait| &portrait.likelihoods)
        .collect();
    let mut insights = sentences::reached(model, &everybody, &likelihoods);
    insights.extend(sentences::days(&everybody));
    insights.extend(sentences::tastes(model, &everybody));
    insights.extend(sentences::of_groups(model, &of_groups));
    insights.extend(sentences::moved(&drift(model, people, as_of)));
    insights.extend(sentences::unsure(model, &everybody, &portraits));
    insights
}

/// Groups that are neither too small nor nearly everybody, the largest first.
fn groups(portraits: &[Portrait]) -> Vec<String> {
    let mut sizes: BTreeMap<&String, usize> = BTreeMap::new();
    portraits.iter().flat_map(|p| &p.groups).for_each(|g| *sizes.entry(g).or_default() += 1);
    let mut sizes: Vec<(&String, usize)> = sizes
        .into_iter()
        .filter(|(_, size)| *size >= SEGMENT_MIN && portraits.len() - size >= SEGMENT_MIN)
        .collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    sizes.into_iter().take(GROUPS_MAX).map(|(name, _)| name.clone()).collect()
}

/// Contrasts of everybody, and of the members of each group.
struct Asked<'g> {
    everybody: BTreeMap<Question, Contrast>,
    others: [Contrast; COUNT],
    members: Vec<BTreeMap<Question, Contrast>>,
    groups: &'g [String],
}

impl<'g> Asked<'g> {
    fn of(portraits: &[Portrait], groups: &'g [String]) -> Self {
        let mut asked = Self {
            everybody: BTreeMap::new(),
            others: Default::default(),
            members: vec![BTreeMap::new(); groups.len()],
            groups,
        };
        for portrait in portraits {
            let own: BTreeSet<&String> = portrait.groups.iter().collect();
            let member: Vec<usize> =
                (0..groups.len()).filter(|at| own.contains(&groups[*at])).collect();
            let times = portrait.times.iter().map(|(time, p)| (Question::Time(*time), p));
            let contents = portrait.contents.iter().map(|(c, p)| (Question::Content(*c), p));
            for (question, pieces) in times.chain(contents) {
                asked.everybody.entry(question).or_default().add(pieces);
                if matches!(question, Question::Time(Time::Day(_))) {
                    continue;
                }
                for at in &member {
                    asked.members[*at].entry(question).or_default().add(pieces);
                }
            }
            for ((part, is_picked), pieces) in &portrait.picked {
                if *is_picked {
                    asked.everybody.entry(Question::Picked(*part)).or_default().add(pieces);
                } else {
                    asked.others[*part].add(pieces);
                }
            }
            for (weekend, pieces) in &portrait.keeps {
                asked.everybody.entry(Question::Keeps(*weekend)).or_default().add(pieces);
            }
        }
        asked
    }

    fn of_everybody(&self) -> Vec<(Question, Option<String>, LogRatio)> {
        let mut asked = Vec::new();
        for (question, contrast) in &self.everybody {
            let Some(ratio) = contrast.ratio() else { continue };
            // who keeps the working days is read less on weekends
            let turned = LogRatio { log: -ratio.log, ..ratio };
            let ratio = if *question == Question::Keeps(false) { turned } else { ratio };
            asked.push((*question, None, ratio));
            if let Question::Picked(part) = question
                && let Some(others) = self.others[*part].ratio()
            {
                asked.push((Question::PickedBeside(*part), None, ratio.over(&others)));
            }
        }
        asked
    }

    fn of_groups(&self) -> Vec<(Question, Option<String>, LogRatio)> {
        let mut asked = Vec::new();
        for (members, group) in self.members.iter().zip(self.groups) {
            for (question, inside) in members {
                let outside = self.everybody[question].without(inside);
                if let (Some(inside), Some(outside)) = (inside.ratio(), outside.ratio()) {
                    asked.push((*question, Some(group.clone()), inside.over(&outside)));
                }
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests;
