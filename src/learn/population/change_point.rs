//! Whether a person's habits changed, and when: a single change point, judged by Bayes factors.
//!
//! A person's history is cut at a few dates `k`. If habits changed there, the hours of what came before
//! and of what came after are those of two people of the same population; if they never did, of one:
//!
//! `B_k = m(before k) m(after k) / m(both)`, `P(k) = r Δ_k B_k / (1 + Σ r Δ_j B_j)`,
//!
//! where `m` is the marginal likelihood under the mixture of chronotypes, class and ratios integrated
//! out; `r` is how often habits change, in changes a year; and `Δ_k` are the years that `k` stands for:
//! the last change of a Poisson process. How many events there were on either side is given: whoever
//! reads less, or is written to less, has not changed the hours. What was observed in an hour of the
//! week then counts by the probability that no change came since, `1 − Σ P(j)` over the dates `j` after
//! it. Levels and affinities outlive a change of hours, and are learned from all the history (Kass and
//! Raftery, "Bayes factors", JASA 90, 1995; Barry and Hartigan, "Product partition models for change
//! point problems", Annals of Statistics 20, 1992).

use crate::learn::data::exposure::SufficientStatistics;
use crate::learn::data::observations::ObservationSet;
use crate::learn::population::mixture::{ChronotypeMixture, EventHours, PersonRates};
use crate::learn::statistics::special::{ln_gamma, log_sum};

/// Shares of a person's observations that came after a date at which habits may have changed: a new
/// habit is to be seen soon, however long the history before.
const AFTER: [f32; 8] = [1.0 / 32.0, 1.0 / 16.0, 0.125, 0.1875, 0.25, 0.375, 0.5, 0.75];
/// Fewer observations than these on either side show no change.
const SIDE_MIN: usize = 3;
/// A change less probable than this is none.
const CHANCE_MIN: f64 = 0.05;
/// A Bayes factor of more than `e` to this is as good as certainty, and finite.
const LOG_MAX: f64 = 500.0;
/// Fewer expected reads than these are as good as none.
const EXPECTED_MIN: f32 = 1e-20;
const YEAR_DAYS: f32 = 365.25;

/// What a person's observations come to: all of them, and, where the person's habits may have changed,
/// what still holds of them.
#[derive(Debug, Clone)]
pub(in crate::learn) struct PersonStatistics {
    all: SufficientStatistics,
    holding: Option<SufficientStatistics>,
}

/// When a person's habits changed, and how probably.
#[derive(Debug, Clone)]
pub(in crate::learn) struct ChangePoint {
    /// The probability that they did at any of the dates.
    pub(in crate::learn) probability: f64,
    /// The most probable date, in days before the last observation.
    pub(in crate::learn) days: f32,
    /// What was observed before it.
    pub(in crate::learn) before: SufficientStatistics,
    /// What was observed from it on.
    pub(in crate::learn) after: SufficientStatistics,
}

/// Dates at which a person's habits may have changed, in days before the last observation, the newest
/// first: what lies more days back came before. None where habits never change.
pub(in crate::learn) fn cuts(observations: &ObservationSet, changes_a_year: f32) -> Vec<f32> {
    let intervals = observations.intervals.iter().map(|interval| interval.days);
    let presences = observations.presences.iter().map(|presence| presence.days);
    let mut days: Vec<f32> = intervals.chain(presences).collect();
    if changes_a_year <= 0.0 || days.len() < 2 * SIDE_MIN {
        return Vec::new();
    }
    days.sort_unstable_by(f32::total_cmp);
    let mut cuts: Vec<f32> = Vec::with_capacity(AFTER.len());
    for share in AFTER {
        let after = (days.len() as f32 * share).round() as usize;
        if after < SIDE_MIN || days.len() - after < SIDE_MIN {
            continue;
        }
        let cut = days[after - 1];
        // what was observed at the same moment is not cut in two
        if cut < days[after] && cuts.last().is_none_or(|last| *last < cut) {
            cuts.push(cut);
        }
    }
    cuts
}

impl PersonStatistics {
    /// From the parts of a history between the cuts, the newest first.
    pub(in crate::learn) fn new(
        mut parts: Vec<SufficientStatistics>,
        cuts: &[f32],
        changes_a_year: f32,
        chronotypes: &ChronotypeMixture,
        prior: &[f64],
    ) -> Self {
        if cuts.is_empty() {
            return Self { all: parts.swap_remove(0), holding: None };
        }
        let (all, odds) = odds(&parts, cuts, changes_a_year, chronotypes, prior);
        let total = 1.0 + odds.iter().sum::<f64>();
        if 1.0 - 1.0 / total < CHANCE_MIN {
            return Self { all, holding: None };
        }
        let mut changed = 0.0;
        let mut holding = parts[0].clone();
        for (odds, part) in odds.iter().zip(&parts[1..]) {
            changed += odds / total;
            holding.add(part, (1.0 - changed).max(0.0) as f32);
        }
        Self { all, holding: Some(holding) }
    }

    /// What still holds of the hours.
    pub(in crate::learn) fn holding(&self) -> &SufficientStatistics {
        self.holding.as_ref().unwrap_or(&self.all)
    }

    /// The person's week as far as habits hold, and the level of all the history.
    pub(in crate::learn) fn rates(
        &self,
        chronotypes: &ChronotypeMixture,
        prior: &[f64],
    ) -> PersonRates {
        let all = chronotypes.rates(&self.all, prior);
        match &self.holding {
            None => all,
            Some(holding) => {
                let PersonRates { level, certainty, .. } = all;
                PersonRates { level, certainty, ..chronotypes.rates(holding, prior) }
            }
        }
    }
}

impl ChangePoint {
    /// The most probable one of a history, from its parts between the cuts, the newest first; `None`
    /// where it has no cut.
    pub(in crate::learn) fn find(
        parts: &[SufficientStatistics],
        cuts: &[f32],
        changes_a_year: f32,
        chronotypes: &ChronotypeMixture,
        prior: &[f64],
    ) -> Option<Self> {
        let (_, odds) = odds(parts, cuts, changes_a_year, chronotypes, prior);
        let at = (0..odds.len()).max_by(|a, b| odds[*a].total_cmp(&odds[*b]))?;
        let sum = |parts: &[SufficientStatistics]| {
            let mut sum = parts[0].clone();
            parts[1..].iter().for_each(|part| sum.add(part, 1.0));
            sum
        };
        Some(Self {
            probability: 1.0 - 1.0 / (1.0 + odds.iter().sum::<f64>()),
            days: cuts[at],
            before: sum(&parts[at + 1..]),
            after: sum(&parts[..=at]),
        })
    }
}

/// All of a history, and the odds that habits changed at each cut, relative to that they never did.
fn odds(
    parts: &[SufficientStatistics],
    cuts: &[f32],
    changes_a_year: f32,
    chronotypes: &ChronotypeMixture,
    prior: &[f64],
) -> (SufficientStatistics, Vec<f64>) {
    let mut before = parts[1..].to_vec();
    for k in (1..before.len()).rev() {
        let (newer, older) = before.split_at_mut(k);
        newer[k - 1].add(&older[0], 1.0);
    }
    let mut all = parts[0].clone();
    let mut odds = Vec::with_capacity(cuts.len());
    for (k, before) in before.iter().enumerate() {
        let log_factor = log_bayes_factor(before, &all, chronotypes, prior).min(LOG_MAX);
        odds.push(f64::from(changes_a_year) * years(cuts, k) * log_factor.exp());
        all.add(&parts[k + 1], 1.0);
    }
    (all, odds)
}

/// The years that a cut stands for: from halfway to the cut after it to halfway to the one before.
fn years(cuts: &[f32], k: usize) -> f64 {
    let from = if k == 0 { 0.0 } else { f32::midpoint(cuts[k - 1], cuts[k]) };
    let to = cuts.get(k + 1).map_or(cuts[k], |next| f32::midpoint(cuts[k], *next));
    f64::from((to - from) / YEAR_DAYS)
}

/// The logarithm of the Bayes factor of two people, one before a date and one after it, against one.
fn log_bayes_factor(
    before: &SufficientStatistics,
    after: &SufficientStatistics,
    chronotypes: &ChronotypeMixture,
    prior: &[f64],
) -> f64 {
    let parts = [before, after];
    let counts = parts.map(|part| f64::from(part.reads + part.presences));
    if counts.contains(&0.0) {
        return 0.0;
    }
    let events = parts.map(EventHours::new);
    let sum = |one: &[f32; 24], other: &[f32; 24]| std::array::from_fn(|h| one[h] + other[h]);
    let observed = sum(&events[0].observed, &events[1].observed);
    let mut logs: [Vec<f64>; 3] = Default::default();
    for (class, prior) in prior.iter().enumerate() {
        let mut both = prior.ln();
        let expected = [0, 1].map(|side| {
            let SufficientStatistics { reads, presences, .. } = *parts[side];
            let mut expected = chronotypes.expected(class, parts[side]);
            let all = expected.iter().sum::<f32>().max(EXPECTED_MIN);
            // as many are expected as there were
            for (expected, mass) in expected.iter_mut().zip(chronotypes.mass(class)) {
                *expected = reads / all * *expected + presences * mass;
            }
            let of_week = chronotypes.events_log_likelihood(class, &events[side])
                - f64::from(reads) * f64::from(all).ln();
            let of_day = chronotypes.hours_log_likelihood(class, &events[side].observed, &expected);
            logs[side].push(prior.ln() + of_week + of_day);
            both += of_week;
            expected
        });
        let expected = sum(&expected[0], &expected[1]);
        logs[2].push(both + chronotypes.hours_log_likelihood(class, &observed, &expected));
    }
    let [before, after, both] = logs.map(|logs| log_sum(&logs));
    // from hours that are independent to hours of a known sum, as from the negative binomial
    // distribution to Dirichlet's and the multinomial one
    let shape = chronotypes.concentration();
    let known = |count: f64| {
        ln_gamma(shape) - ln_gamma(shape + count) + (shape + count) * (shape + count).ln()
            - shape * shape.ln()
    };
    before + after - both + known(counts[0]) + known(counts[1]) - known(counts[0] + counts[1])
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::learn::data::exposure::{ObservationWeights, ReadHazard};
    use crate::learn::data::observations::{AtRiskInterval, PresenceEvent, ReceiptState};
    use crate::learn::data::week_hours::WeekRates;
    use crate::learn::population::hyper_parameters::HyperParameters;
    use crate::learn::population::mixture::FrailtyPrior;
    use crate::learn::population::shrinkage::normalize;
    use crate::model::preference::WEEK_HOURS;

    const YEARLY: f32 = 0.25;

    /// Two chronotypes, who are mostly seen about 9:00 and about 20:00.
    fn weeks() -> Vec<WeekRates> {
        let week = |peak: usize| {
            let mut week: WeekRates =
                std::array::from_fn(|hour| if (hour % 24).abs_diff(peak) < 3 { 6.0 } else { 0.4 });
            normalize(&mut week);
            week
        };
        vec![week(9), week(20)]
    }

    fn mixture() -> ChronotypeMixture {
        let level = FrailtyPrior { shape: 2.0, mean: 0.05 };
        ChronotypeMixture::new(vec![0.5; 2], weeks(), level, &HyperParameters::default())
    }

    fn statistics(observations: &ObservationSet, changes_a_year: f32) -> PersonStatistics {
        let memory = ObservationWeights {
            changes_a_year,
            ..HyperParameters::default().observation_weights()
        };
        let cuts = cuts(observations, changes_a_year);
        let hazard = ReadHazard::default();
        let parts = SufficientStatistics::by_age(observations, &hazard, memory, |_| 1.0, &cuts);
        PersonStatistics::new(parts, &cuts, changes_a_year, &mixture(), &[0.5; 2])
    }

    /// An hour of the week of somebody who lives by a chronotype.
    fn draw(class: usize, random: &mut ChaCha8Rng) -> u8 {
        let week = weeks()[class];
        let mut at = random.gen_range(0.0..WEEK_HOURS as f32);
        let hour = week.iter().position(|rate| {
            at -= rate;
            at < 0.0
        });
        hour.unwrap_or(WEEK_HOURS - 1) as u8
    }

    /// Somebody who was seen so often in a year, and lived by the other chronotype up to a day.
    fn sessions(count: u16, changed: f32, random: &mut ChaCha8Rng) -> ObservationSet {
        let presence = |index: u16| {
            let days = 365.0 * f32::from(index) / f32::from(count);
            PresenceEvent { hour: draw(usize::from(days > changed), random), days }
        };
        let presences = (0..count).map(presence).collect();
        ObservationSet { intervals: Vec::new(), presences, receipts: ReceiptState::Silent }
    }

    /// Nats by which a week lies from that of the first chronotype.
    fn loss(week: &WeekRates) -> f64 {
        let pairs = weeks()[0].into_iter().zip(week);
        pairs.map(|(true_rate, rate)| f64::from(true_rate * (true_rate / rate).ln())).sum::<f64>()
            / WEEK_HOURS as f64
    }

    /// Mean loss of many such people, where habits never change and where they may.
    fn losses(count: u16, changed: f32) -> [f64; 2] {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(count));
        let mut sums = [0.0; 2];
        for _ in 0..300 {
            let observations = sessions(count, changed, &mut random);
            for (sum, changes_a_year) in sums.iter_mut().zip([0.0, YEARLY]) {
                let known = statistics(&observations, changes_a_year);
                *sum += loss(&known.rates(&mixture(), &[0.5; 2]).week) / 300.0;
            }
        }
        sums
    }

    #[test]
    fn whoever_changed_is_known_soon_and_whoever_did_not_as_well_as_before() {
        for count in [6, 20, 60, 200] {
            let [never, may] = losses(count, f32::INFINITY);
            assert!(may < never + 0.002, "{count} without a change: {never} and {may}");
        }
        for (count, days) in [(60, 60.0), (200, 30.0), (200, 180.0)] {
            let [never, may] = losses(count, days);
            assert!(may < 0.4 * never, "{count}, {days} days ago: {never} and {may}");
        }
    }

    #[test]
    fn hardly_anybody_who_never_changed_seems_to_have() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut seeming = 0;
        for _ in 0..500 {
            let known = statistics(&sessions(60, f32::INFINITY, &mut random), YEARLY);
            seeming += usize::from(known.holding().evidence < 30.0);
        }
        assert!(seeming <= 10, "{seeming} of 500");
    }

    /// A message of any hour of the week, read within two days or not.
    fn message(class: usize, level: f64, days: f32, random: &mut ChaCha8Rng) -> AtRiskInterval {
        let begin = random.gen_range(0..WEEK_HOURS as i32);
        let week = weeks()[class];
        let read = (0..48).find(|age| {
            let rate = week[(begin as usize + age) % WEEK_HOURS];
            random.gen_bool((level * f64::from(rate)).min(1.0))
        });
        AtRiskInterval {
            begin,
            start: begin as u8,
            hours: read.unwrap_or(48) as u8,
            seen: read.is_some(),
            acted: false,
            content: None,
            days,
        }
    }

    #[test]
    fn who_reads_less_than_before_has_not_changed_the_hours() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut known = |class: usize, level: f64| {
            let intervals = (0..80u8).map(|index| {
                let old = index >= 30;
                let level = if old { 0.1 } else { level };
                message(if old { 0 } else { class }, level, f32::from(index), &mut random)
            });
            let intervals = intervals.collect();
            let observations =
                ObservationSet { intervals, presences: Vec::new(), receipts: ReceiptState::On };
            statistics(&observations, YEARLY).holding().evidence
        };
        let mut mean = |class, level| (0..40).map(|_| known(class, level)).sum::<f32>() / 40.0;
        let [same, less, other] = [mean(0, 0.1), mean(0, 0.01), mean(1, 0.1)];
        assert!(same > 74.0 && less > 74.0, "{same} and {less} of 80 hold");
        assert!((28.0..36.0).contains(&other), "{other} of 80 hold, and 30 are new");
    }

    #[test]
    fn a_history_is_cut_between_moments_and_never_too_near_to_its_ends() {
        let at = |days: &[f32]| ObservationSet {
            intervals: Vec::new(),
            presences: days.iter().map(|days| PresenceEvent { hour: 0, days: *days }).collect(),
            receipts: ReceiptState::Silent,
        };
        assert!(cuts(&at(&[1.0; 40]), YEARLY).is_empty());
        assert!(cuts(&at(&[0.0, 1.0, 2.0, 3.0, 4.0]), YEARLY).is_empty());
        assert_eq!(cuts(&at(&[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), YEARLY), [2.0]);
        assert!(cuts(&at(&[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), 0.0).is_empty());
        let many: Vec<f32> = (0..640u16).map(f32::from).collect();
        let cuts = cuts(&at(&many), YEARLY);
        assert_eq!((cuts.len(), cuts[0], cuts[7]), (8, 19.0, 479.0));
        let total: f64 = (0..8).map(|k| years(&cuts, k)).sum();
        assert!((total - 479.0 / 365.25).abs() < 1e-6, "{total}");
    }
}
