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

mod figures;
mod looks;
mod portraits;
mod ratio;
mod sentences;
mod shares;

use std::collections::{BTreeMap, BTreeSet};

pub use self::figures::Insight;
use self::figures::{Compared, Family};
use self::looks::Time;
use self::portraits::{EVIDENCE_MIN, Portrait};
use self::ratio::{Contrast, LogRatio};
use crate::learn::data::subject::Subject;
use crate::learn::evaluate::drift::{SEGMENT_MIN, drift};
use crate::learn::infer::model::Model;
use crate::learn::parallel::map;
use crate::model::part_of_day::COUNT;
use crate::model::time::Instant;

/// Groups that are looked at, the largest: each asks as many questions as there are contents and
/// times, and the more are asked the larger a difference must be to be told.
const GROUPS_MAX: usize = 60;

/// Computes what is sure, and what is not.
pub fn insights(model: &Model, people: &[Subject<'_>], as_of: Instant) -> Vec<Insight> {
    let known: Vec<&Subject<'_>> =
        people.iter().filter(|subject| !subject.evidence.is_empty()).collect();
    let portraits = map(&known, |subject| Portrait::new(model, subject, as_of));
    let mut groups = groups(&portraits);
    let left_out = groups.split_off(groups.len().min(GROUPS_MAX));
    let groups: Vec<String> = groups.into_iter().map(|(name, _)| name).collect();
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
    insights.extend(sentences::left_out(groups.len(), &left_out));
    insights
}

/// Groups that are neither too small nor nearly everybody, with their people, the largest first.
fn groups(portraits: &[Portrait]) -> Vec<(String, usize)> {
    let mut sizes: BTreeMap<&String, usize> = BTreeMap::new();
    portraits.iter().flat_map(|p| &p.groups).for_each(|g| *sizes.entry(g).or_default() += 1);
    let mut sizes: Vec<(String, usize)> = sizes
        .into_iter()
        .filter(|(_, size)| *size >= SEGMENT_MIN && portraits.len() - size >= SEGMENT_MIN)
        .map(|(name, size)| (name.clone(), size))
        .collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    sizes
}

/// Contrasts of everybody, and of the members of each group.
struct Asked<'g> {
    everybody: BTreeMap<Compared, Contrast>,
    others: [Contrast; COUNT],
    members: Vec<BTreeMap<Compared, Contrast>>,
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
            let times = portrait.times.iter().map(|(time, p)| (Compared::Time(*time), p));
            let contents = portrait.contents.iter().map(|(c, p)| (Compared::Content(*c), p));
            for (question, pieces) in times.chain(contents) {
                asked.everybody.entry(question).or_default().add(pieces);
                if matches!(question, Compared::Time(Time::Day(_))) {
                    continue;
                }
                for at in &member {
                    asked.members[*at].entry(question).or_default().add(pieces);
                }
            }
            for ((part, is_picked), pieces) in &portrait.picked {
                if *is_picked {
                    asked.everybody.entry(Compared::Picked(*part)).or_default().add(pieces);
                } else {
                    asked.others[*part].add(pieces);
                }
            }
            for (weekend, pieces) in &portrait.keeps {
                asked.everybody.entry(Compared::Keeps(*weekend)).or_default().add(pieces);
            }
        }
        asked
    }

    fn of_everybody(&self) -> Vec<(Compared, Option<String>, LogRatio)> {
        let mut asked = Vec::new();
        for (question, contrast) in &self.everybody {
            let Some(ratio) = contrast.ratio() else { continue };
            // who keeps the working days is read less on weekends
            let turned = LogRatio { log: -ratio.log, ..ratio };
            let ratio = if *question == Compared::Keeps(false) { turned } else { ratio };
            asked.push((*question, None, ratio));
            if let Compared::Picked(part) = question
                && let Some(others) = self.others[*part].ratio()
            {
                asked.push((Compared::PickedBeside(*part), None, ratio.over(&others)));
            }
        }
        asked
    }

    fn of_groups(&self) -> Vec<(Compared, Option<String>, LogRatio)> {
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
