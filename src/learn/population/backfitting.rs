//! What is fitted under given hyper-parameters: how the hazard of a read falls with the age of a
//! message, what is liked, and the chronotypes, each given the others, round after round.

use linfa::DatasetBase;
use linfa::traits::Fit;
use serde::{Deserialize, Serialize};

use crate::learn::data::exposure::{ObservationWeights, ReadHazard, SufficientStatistics};
use crate::learn::data::observations::{AGE_MAX, AtRiskInterval, ObservationSet, ReceiptState};
use crate::learn::data::week_hours::WeekRates;
use crate::learn::error::FitError;
use crate::learn::parallel::{in_chunks, map};
use crate::learn::population::affinity::{AffinityModel, ContentReads};
use crate::learn::population::age_decay::AgeTable;
use crate::learn::population::change_point::{ChangePoint, PersonStatistics, cuts};
use crate::learn::population::expectation_maximization::{MixtureParams, PersonRecords};
use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::mixture::{ChronotypeMixture, PersonRates};
use crate::learn::settings::Settings;
use crate::learn::statistics::special::person_weight;
use crate::model::preference::WEEK_HOURS;

/// What is fitted under given hyper-parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::learn) struct PopulationModel {
    pub(in crate::learn) hazard: ReadHazard,
    pub(in crate::learn) affinities: AffinityModel,
    pub(in crate::learn) chronotypes: ChronotypeMixture,
}

/// One person seen in the light of all parts.
#[derive(Debug, Clone)]
pub(in crate::learn) struct PersonPosterior {
    pub(in crate::learn) statistics: PersonStatistics,
    pub(in crate::learn) rates: PersonRates,
    pub(in crate::learn) affinities: PersonAffinities,
}

/// A person's factor for each content, and its spread on the log scale; by the content's number.
#[derive(Debug, Clone, Default)]
pub(in crate::learn) struct PersonAffinities(pub(in crate::learn) Vec<(f32, f32)>);

impl PersonAffinities {
    fn of(affinities: &AffinityModel, content_reads: &[ContentReads]) -> Self {
        let everybody = |content| (affinities.usual(content) as f32, affinities.spread as f32);
        let mut own: Vec<(f32, f32)> = (0..affinities.mean.len()).map(everybody).collect();
        if !content_reads.is_empty() {
            for affinity in affinities.of(content_reads) {
                own[usize::from(affinity.content)] = (affinity.mean as f32, affinity.spread as f32);
            }
        }
        Self(own)
    }

    /// The factor of a content and its spread; 1 and 0 for what is not known.
    pub(in crate::learn) fn of_content(&self, content: Option<u16>) -> (f32, f32) {
        content.and_then(|c| self.0.get(usize::from(c))).copied().unwrap_or((1.0, 0.0))
    }

    /// The factor of a content; 1 for what is not known.
    pub(in crate::learn) fn factor(&self, content: Option<u16>) -> f32 {
        self.of_content(content).0
    }
}

impl PopulationModel {
    /// Fits all parts to what was seen of people.
    pub(in crate::learn) fn fit(
        observation_sets: &[ObservationSet],
        hyper: &HyperParameters,
        contents: usize,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, FitError> {
        const ROUNDS: usize = 3;
        let messages =
            observation_sets.iter().any(|observations| !observations.intervals.is_empty());
        let rounds = if messages { ROUNDS } else { 1 };
        let mut hazard = missing(observation_sets);
        let mut affinities = AffinityModel::even(contents);
        let mut own = vec![PersonAffinities::default(); observation_sets.len()];
        let mut round = 1;
        loop {
            let em_rounds = if round == rounds { settings.rounds } else { settings.rounds / 3 };
            let people: Vec<(&ObservationSet, &PersonAffinities)> =
                observation_sets.iter().zip(&own).collect();
            let (summaries, chronotypes) = classes(&people, &hazard, hyper, em_rounds, seed)?;
            if messages {
                let rates = map(&summaries, |r| chronotypes.rates(r, chronotypes.share()));
                let seen: Vec<FittedPerson<'_>> = observation_sets
                    .iter()
                    .zip(&rates)
                    .zip(&own)
                    .map(|((observations, rates), own)| FittedPerson { observations, rates, own })
                    .collect();
                if round < rounds
                    && let Some(decay) = age_table(&seen, &hazard).hazard()
                {
                    hazard.decay = decay;
                }
                let mean = chronotypes.level().mean as f32;
                let content_reads = map(&seen, |seen| {
                    content_reads(
                        seen.observations,
                        &seen.rates.plain,
                        mean,
                        &hazard,
                        hyper.observation_weights(),
                        contents,
                    )
                });
                affinities.refit(&content_reads);
                own = map(&content_reads, |content_reads| {
                    PersonAffinities::of(&affinities, content_reads)
                });
            }
            if round == rounds {
                return Ok(Self { hazard, affinities, chronotypes });
            }
            round += 1;
        }
    }

    /// The same hazard and affinities, with chronotypes fitted anew under other settings to people
    /// whose own affinities are known; and how those people read then.
    pub(in crate::learn) fn with_classes(
        &self,
        people: &[(&ObservationSet, &PersonAffinities)],
        hyper: &HyperParameters,
        settings: &Settings,
        seed: u64,
    ) -> Result<(Self, Vec<PersonStatistics>), FitError> {
        let (_, chronotypes) = classes(people, &self.hazard, hyper, settings.rounds, seed)?;
        let population = Self { chronotypes, ..self.clone() };
        let memory = hyper.observation_weights();
        let prior = population.chronotypes.share();
        let people = map(people, |(observations, own)| {
            population.statistics(observations, memory, prior, own)
        });
        Ok((population, people))
    }

    /// What a person's observations come to, where the person's affinities are known.
    fn statistics(
        &self,
        observations: &ObservationSet,
        memory: ObservationWeights,
        prior: &[f64],
        own: &PersonAffinities,
    ) -> PersonStatistics {
        let (parts, cuts) = self.parts(observations, memory, own);
        PersonStatistics::new(parts, &cuts, memory.changes_a_year, &self.chronotypes, prior)
    }

    /// When a person's habits changed most probably, if that can be told at all.
    pub(in crate::learn) fn change_point(
        &self,
        observations: &ObservationSet,
        memory: ObservationWeights,
        prior: &[f64],
        own: &PersonAffinities,
    ) -> Option<ChangePoint> {
        let (parts, cuts) = self.parts(observations, memory, own);
        ChangePoint::find(&parts, &cuts, memory.changes_a_year, &self.chronotypes, prior)
    }

    /// What a person's observations come to between the dates at which habits may have changed, the
    /// newest first, and these dates.
    fn parts(
        &self,
        observations: &ObservationSet,
        memory: ObservationWeights,
        own: &PersonAffinities,
    ) -> (Vec<SufficientStatistics>, Vec<f32>) {
        let taste = |content| own.factor(content);
        let cuts = cuts(observations, memory.changes_a_year);
        let parts = SufficientStatistics::by_age(observations, &self.hazard, memory, taste, &cuts);
        (parts, cuts)
    }

    /// What is known of a person: a first look with everybody's affinities, then, where there were
    /// messages, a second with the person's own.
    pub(in crate::learn) fn posterior(
        &self,
        observations: &ObservationSet,
        memory: ObservationWeights,
        prior: &[f64],
    ) -> PersonPosterior {
        let mut affinities = PersonAffinities::of(&self.affinities, &[]);
        if !observations.intervals.is_empty() {
            let usual = |content| affinities.factor(content);
            let first = SufficientStatistics::new(observations, &self.hazard, memory, usual);
            let plain = self.chronotypes.rates(&first, prior).plain;
            let mean = self.chronotypes.level().mean as f32;
            let contents = self.affinities.mean.len();
            let content_reads =
                content_reads(observations, &plain, mean, &self.hazard, memory, contents);
            affinities = PersonAffinities::of(&self.affinities, &content_reads);
        }
        let statistics = self.statistics(observations, memory, prior, &affinities);
        let rates = statistics.rates(&self.chronotypes, prior);
        PersonPosterior { statistics, rates, affinities }
    }

    /// How many messages a person has probably read whose reads are not told: those that were
    /// answered, and of the others, as many as the person's level makes likely of unanswered ones.
    pub(in crate::learn) fn expected_reads(
        &self,
        observations: &ObservationSet,
        rates: &PersonRates,
        own: &PersonAffinities,
    ) -> f64 {
        let acted = self.hazard.acted;
        let read = |interval: &AtRiskInterval| {
            if interval.seen {
                return 1.0;
            }
            let (start, hours) = (usize::from(interval.start), usize::from(interval.hours));
            let ages = self.hazard.decay.iter().take(hours).enumerate();
            let hazard: f32 =
                ages.map(|(age, decay)| decay * rates.week[(start + age) % WEEK_HOURS]).sum();
            let chance = -(-rates.level * own.factor(interval.content) * hazard).exp_m1();
            f64::from(chance * (1.0 - acted) / (1.0 - acted * chance).max(1e-3))
        };
        observations.intervals.iter().map(read).sum()
    }

    pub(in crate::learn) fn is_finite(&self) -> bool {
        let Self { hazard, affinities, chronotypes } = self;
        let weeks = (0..chronotypes.len()).flat_map(|class| chronotypes.week(class));
        let level = chronotypes.level();
        let missing = [hazard.acted, hazard.off, hazard.silent_off];
        weeks
            .chain(hazard.decay.iter().chain(&hazard.unread).chain(&missing))
            .all(|x| x.is_finite())
            && chronotypes.share().iter().chain([&level.mean, &level.shape]).all(|x| x.is_finite())
            && affinities.is_finite()
    }
}

/// A person as the rounds of the fit see one.
struct FittedPerson<'a> {
    observations: &'a ObservationSet,
    rates: &'a PersonRates,
    own: &'a PersonAffinities,
}

/// Chronotypes by expectation–maximization from a start by k-means, and the statistics that they
/// rest on.
fn classes(
    people: &[(&ObservationSet, &PersonAffinities)],
    hazard: &ReadHazard,
    hyper: &HyperParameters,
    rounds: usize,
    seed: u64,
) -> Result<(Vec<SufficientStatistics>, ChronotypeMixture), FitError> {
    let summaries = map(people, |(observations, own)| {
        SufficientStatistics::new(observations, hazard, hyper.observation_weights(), |content| {
            own.factor(content)
        })
    });
    let data = DatasetBase::new(PersonRecords(&summaries), ());
    let chronotypes = MixtureParams::new(hyper, rounds, seed).fit(&data)?;
    Ok((summaries, chronotypes))
}

/// What silence means: how many people's receipts are off, and what could be seen of them.
fn missing(observation_sets: &[ObservationSet]) -> ReadHazard {
    let mut hazard = ReadHazard::default();
    let (mut on, mut off, mut silent) = (0.0f32, 0.0f32, 0.0f32);
    let (mut waiting, mut open) = ([0.0f32; AGE_MAX], [0.0f32; AGE_MAX]);
    let (mut reads, mut acted, mut on_acted) = (0.0f32, 0.0f32, 0.0f32);
    for observations in
        observation_sets.iter().filter(|observations| !observations.intervals.is_empty())
    {
        match observations.receipts {
            ReceiptState::On => on += 1.0,
            ReceiptState::Off => off += 1.0,
            ReceiptState::Silent => silent += 1.0,
        }
        if observations.receipts == ReceiptState::On {
            on_acted += f32::from(observations.intervals.iter().any(|w| w.acted));
            let person_weight = person_weight(observations.intervals.len() as f64) as f32;
            for interval in &observations.intervals {
                reads += person_weight * f32::from(interval.seen);
                acted += person_weight * f32::from(interval.seen && interval.acted);
                for age in 0..AGE_MAX {
                    let hours = usize::from(interval.hours);
                    waiting[age] += person_weight * f32::from(age < hours || interval.seen);
                    open[age] += person_weight * f32::from(age < hours);
                }
            }
        }
    }
    for age in 0..AGE_MAX {
        hazard.unread[age] = (open[age] + 1.0) / (waiting[age] + 1.0);
    }
    if reads > 0.0 {
        hazard.acted = (acted / reads).max(0.01);
    }
    if off > 0.0 && silent > 0.0 {
        // the share of receipts off, seen among those who act, also holds among those who do not
        let share_off = off / (off + on_acted);
        let acts = (off + on_acted) / (on + off + silent);
        let silent_share = silent / (on + off + silent);
        hazard.off = share_off;
        hazard.silent_off = (share_off * (1.0 - acts) / silent_share).clamp(0.0, 1.0);
    }
    hazard
}

fn age_table(people: &[FittedPerson<'_>], hazard: &ReadHazard) -> AgeTable {
    let fresh = ReadHazard { decay: vec![1.0; AGE_MAX], ..hazard.clone() };
    let parts = in_chunks(people, |chunk| {
        let mut table = AgeTable::default();
        let mut risk = [0.0; AGE_MAX];
        for FittedPerson { observations, rates, own } in chunk {
            if observations.receipts != ReceiptState::On {
                continue;
            }
            let person_weight = person_weight(observations.intervals.len() as f64);
            for interval in &observations.intervals {
                let length = fresh.risk(interval, observations.receipts, &mut risk);
                let scale = person_weight as f32 * rates.level * own.factor(interval.content);
                for (age, risk) in risk[..length].iter().enumerate() {
                    let hour = (usize::from(interval.start) + age) % WEEK_HOURS;
                    table.expected[AgeTable::cell(hour, age)] +=
                        f64::from(scale * risk * rates.week[hour]);
                }
                if interval.seen {
                    let hours = usize::from(interval.hours);
                    table.reads[AgeTable::cell(usize::from(interval.start) + hours, hours)] +=
                        person_weight;
                }
            }
        }
        table
    });
    let mut table = AgeTable::default();
    for part in &parts {
        table.merge(part);
    }
    table
}

/// What a person did with each content, given the person's week; `mean` is the population's level.
fn content_reads(
    observations: &ObservationSet,
    week: &WeekRates,
    mean: f32,
    hazard: &ReadHazard,
    memory: ObservationWeights,
    contents: usize,
) -> Vec<ContentReads> {
    let mut content_reads: Vec<ContentReads> = Vec::new();
    let mut risk = [0.0; AGE_MAX];
    for interval in &observations.intervals {
        let Some(content) = interval.content.filter(|c| usize::from(*c) < contents) else {
            continue;
        };
        let length = hazard.risk(interval, observations.receipts, &mut risk);
        let start = usize::from(interval.start);
        let expected: f32 =
            (0..length).map(|age| risk[age] * week[(start + age) % WEEK_HOURS]).sum();
        let index = content_reads.iter().position(|t| t.content == content).unwrap_or_else(|| {
            content_reads.push(ContentReads { content, reads: 0.0, expected: 0.0 });
            content_reads.len() - 1
        });
        let weight = memory.recency(interval.days);
        content_reads[index].expected += f64::from(weight * mean * expected);
        content_reads[index].reads += f64::from(weight * f32::from(interval.seen));
    }
    content_reads
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weeks faded, and what was liked never did.
    #[test]
    fn what_was_liked_long_ago_counts_less_where_weeks_do() {
        let read = |days: f32| AtRiskInterval {
            begin: 10,
            start: 10,
            hours: 2,
            seen: true,
            acted: false,
            content: Some(0),
            days,
        };
        let observations = ObservationSet {
            intervals: vec![read(0.0), read(90.0), read(180.0)],
            presences: Vec::new(),
            receipts: ReceiptState::On,
        };
        let reads = |half_life: f32| {
            let memory = HyperParameters { half_life, ..HyperParameters::default() };
            let memory = memory.observation_weights();
            let hazard = ReadHazard::default();
            content_reads(&observations, &[1.0; WEEK_HOURS], 0.1, &hazard, memory, 1)[0]
        };
        let (faded, kept) = (reads(90.0), reads(1e9));
        assert!((faded.reads - 1.75).abs() < 1e-5 && (kept.reads - 3.0).abs() < 1e-5);
        assert!((faded.expected / kept.expected - 1.75 / 3.0).abs() < 1e-5, "{faded:?} {kept:?}");
    }
}
