//! What is kept of one person while insights are gathered.

use std::collections::BTreeMap;

use super::looks::{Pieces, Time, by_content, by_time};
use super::ratio::Piece;
use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::{ObservationSet, TimeSpan};
use crate::learn::data::subject::{CensoredSubject, Subject};
use crate::learn::infer::model::Model;
use crate::model::part_of_day::best_part;
use crate::model::time::Instant;

/// With fewer observations a person's habits are mostly those of others.
pub(super) const EVIDENCE_MIN: f64 = 5.0;
/// Somebody keeps the weekend, or the working days, if so many times as present then.
pub(super) const KEEPS: f32 = 1.2;

/// One person.
pub(super) struct Portrait {
    pub(super) evidence: f64,
    pub(super) messages: usize,
    pub(super) groups: Vec<String>,
    pub(super) times: Pieces<Time>,
    pub(super) contents: Pieces<u16>,
    /// Of the half of the history that had no part in it: the picked parts of the day, and what
    /// the messages say of each part, picked and not.
    pub(super) picked: Pieces<(usize, bool)>,
    pub(super) keeps: Pieces<bool>,
    /// How likely what is known is under each chronotype.
    pub(super) likelihoods: Vec<f64>,
    /// Delivered messages by content, and by hour of the week in which they came.
    pub(super) sent: BTreeMap<u16, usize>,
    pub(super) came: BTreeMap<usize, usize>,
}

impl Portrait {
    pub(super) fn new(model: &Model, subject: &Subject<'_>, as_of: Instant) -> Self {
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
            evidence: f64::from(known.statistics.holding().evidence),
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
