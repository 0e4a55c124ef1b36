//! Chronotypes as groups of people have them: their shares in each zone, country and tag, and a
//! name for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::learn::data::subject::Subject;
use crate::learn::data::week_hours::WeekRates;
use crate::learn::population::chronotype_names;
use crate::learn::population::mixture::{ChronotypeMixture, PersonRates};
use crate::learn::population::shrinkage::normalize;

/// Names of the chronotypes and their shares among groups of people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::learn) struct Segments {
    pub(in crate::learn) names: Vec<String>,
    /// The hour of the day in which people of each chronotype are most present.
    pub(in crate::learn) peaks: Vec<usize>,
    /// Shares of the chronotypes among people of a zone, country or tag.
    shares: BTreeMap<String, Vec<f64>>,
}

impl Default for Segments {
    /// One chronotype, and no groups.
    fn default() -> Self {
        Self { names: vec!["unknown".to_owned()], peaks: vec![0], shares: BTreeMap::new() }
    }
}

impl Segments {
    /// Learns the shares of the chronotypes in each group, and names each chronotype after its own
    /// week and those of the people who are clearly of it.
    pub(in crate::learn) fn learn<'a>(
        chronotypes: &ChronotypeMixture,
        people: impl Iterator<Item = (Subject<'a>, &'a PersonRates)>,
    ) -> Self {
        const CLEAR: f32 = 0.5;
        const OWN: f32 = 5.0;
        const PEOPLE_MIN: f64 = 20.0;
        const PSEUDO: f64 = 20.0;
        let all = chronotypes.share();
        let mut weeks: Vec<WeekRates> =
            (0..all.len()).map(|class| chronotypes.week(class).map(|rate| OWN * rate)).collect();
        let mut groups: BTreeMap<String, (f64, Vec<f64>)> = BTreeMap::new();
        for (subject, PersonRates { share, week, .. }) in people {
            for (total, share) in weeks.iter_mut().zip(share).filter(|(_, s)| **s >= CLEAR) {
                total.iter_mut().zip(week).for_each(|(total, rate)| *total += share * rate);
            }
            for key in subject.segments() {
                let (people, sums) =
                    groups.entry(key).or_insert_with(|| (0.0, vec![0.0; all.len()]));
                *people += 1.0;
                sums.iter_mut().zip(share).for_each(|(sum, share)| *sum += f64::from(*share));
            }
        }
        weeks.iter_mut().for_each(normalize);
        let shrunk = |people: f64, sums: &[f64]| -> Vec<f64> {
            sums.iter().zip(all).map(|(s, p)| (s + PSEUDO * p) / (people + PSEUDO)).collect()
        };
        Self {
            names: chronotype_names::of(&weeks, all),
            peaks: weeks.iter().map(chronotype_names::peak).collect(),
            shares: groups
                .into_iter()
                .filter(|(_, (people, _))| *people >= PEOPLE_MIN)
                .map(|(key, (people, sums))| (key, shrunk(people, &sums)))
                .collect(),
        }
    }

    /// Those of a person's groups whose shares are known.
    pub(in crate::learn) fn keys_of(&self, subject: &Subject<'_>) -> impl Iterator<Item = String> {
        subject.segments().filter(|key| self.shares.contains_key(key))
    }

    /// Shares of the chronotypes that are expected of a person before any evidence: the mean of
    /// those of the person's zone, country and tags, where enough people share them; else
    /// everybody's.
    pub(in crate::learn) fn prior(&self, subject: &Subject<'_>, all: &[f64]) -> Vec<f64> {
        let known: Vec<&Vec<f64>> =
            self.keys_of(subject).filter_map(|key| self.shares.get(&key)).collect();
        if known.is_empty() {
            return all.to_vec();
        }
        let mean = |class: usize| known.iter().map(|s| s[class]).sum::<f64>() / known.len() as f64;
        (0..all.len()).map(mean).collect()
    }
}
