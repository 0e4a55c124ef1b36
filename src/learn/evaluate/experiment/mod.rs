//! What an experiment shows: differences of arms whose intervals hold while somebody looks every
//! day, adjusted by forecasts; whether people were assigned as the shares say; the smallest effect
//! that so many people can show; and corrections where many differences are looked at.
//!
//! Pure. People are assigned by chance, so that arms are compared by all who were assigned to them.

mod arms;
mod sequential;

pub use arms::{ArmSums, CovariateSums, Difference, difference};
pub use sequential::daily_threshold;

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

/// Intervals miss one time in so many, over all days together.
pub const ALPHA: f64 = 0.05;
/// An effect is found as often as this.
pub const POWER: f64 = 0.8;
/// Below this probability the counts of arms are no chance. Counts hardly change after the first
/// plan, so that looking every day adds little to it.
const MISMATCH: f64 = 0.001;

fn normal() -> Normal {
    Normal::standard()
}

/// Whether people were assigned as the shares of the arms say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Mismatch {
    /// The probability of counts as far from the shares as these, by Pearson's chi-square.
    pub p_value: f64,
    /// Whether it is so small that something is wrong: comparisons of arms mean nothing then.
    pub alarm: bool,
}

/// Compares counts of people with the shares by which they were assigned; `None` where there is
/// nothing to compare. Somebody in an arm without a share is an alarm in any case.
pub fn mismatch(arms: &[(u64, f64)]) -> Option<Mismatch> {
    if arms.iter().any(|(people, share)| *people > 0 && *share <= 0.0) {
        return Some(Mismatch { p_value: 0.0, alarm: true });
    }
    let arms: Vec<_> = arms.iter().filter(|(_, share)| *share > 0.0).collect();
    let people: u64 = arms.iter().map(|(people, _)| people).sum();
    let shares: f64 = arms.iter().map(|(_, share)| share).sum();
    if arms.len() < 2 || people == 0 {
        return None;
    }
    let expected = |share: f64| people as f64 * share / shares;
    // fewer are expected than the distribution holds for
    if arms.iter().any(|(_, share)| expected(*share) < 5.0) {
        return None;
    }
    let distance = |(count, share): &&(u64, f64)| {
        (*count as f64 - expected(*share)).powi(2) / expected(*share)
    };
    let statistic: f64 = arms.iter().map(distance).sum();
    let p_value = ChiSquared::new((arms.len() - 1) as f64).ok()?.sf(statistic);
    Some(Mismatch { p_value, alarm: p_value < MISMATCH })
}

/// The smallest difference between two arms that is found with [`POWER`], where so many people are
/// in each, so large a share engages, and somebody looks on so many days. `None` without people.
pub fn smallest_effect(people: [u64; 2], rate: f64, days: usize) -> Option<f64> {
    if people.contains(&0) {
        return None;
    }
    let looks: Vec<f64> = (1..=days.max(1)).map(|day| day as f64 / days.max(1) as f64).collect();
    let rate = rate.clamp(0.0, 1.0);
    let per_person: f64 = people.iter().map(|people| 1.0 / *people as f64).sum();
    let error = (rate * (1.0 - rate) * per_person).sqrt();
    Some((daily_threshold(&looks) + normal().inverse_cdf(POWER)) * error)
}

/// The two-sided p-value of a distance in standard errors, where `threshold` of them are as rare as
/// 1.96 at a single look: below 0.05 where the interval leaves 0 out.
pub fn p_value(distance: f64, threshold: f64) -> f64 {
    let single = normal().inverse_cdf(1.0 - ALPHA / 2.0);
    2.0 * normal().sf(distance.abs() * single / threshold)
}

/// Adjusts p-values so that the chance of even one false finding is kept (Holm, Scandinavian Journal
/// of Statistics 6, 1979): for "is any of these surely different".
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut largest = 0.0_f64;
    let adjusted = |(rank, p): (usize, f64)| {
        largest = largest.max(p * (count - rank) as f64).min(1.0);
        largest
    };
    reordered(p_values, |sorted| sorted.into_iter().enumerate().map(adjusted).collect())
}

/// Adjusts p-values so that the expected share of false ones among the findings is kept, however they
/// hang together (Benjamini and Yekutieli, Annals of Statistics 29, 2001): for "where is it worth to
/// look closer".
pub fn benjamini_yekutieli(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let harmonic: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
    let mut smallest = 1.0_f64;
    let adjusted = |(rank, p): (usize, f64)| {
        smallest = smallest.min(p * harmonic * count as f64 / (rank + 1) as f64);
        smallest
    };
    reordered(p_values, |sorted| {
        let mut from_last: Vec<f64> = sorted.into_iter().enumerate().rev().map(adjusted).collect();
        from_last.reverse();
        from_last
    })
}

/// Adjusts p-values in rising order and brings them back into their own.
fn reordered(p_values: &[f64], adjust: impl FnOnce(Vec<f64>) -> Vec<f64>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let adjusted = adjust(order.iter().map(|at| p_values[*at]).collect());
    let mut result = vec![0.0; p_values.len()];
    order.iter().zip(adjusted).for_each(|(at, adjusted)| result[*at] = adjusted);
    result
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_mismatch_alarm_finds_a_planted_fault_and_is_quiet_without() {
        let shares = [0.85, 0.05, 0.1];
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let mut alarms = [0; 2];
        for _ in 0..2000 {
            let mut counts = [0_u64; 3];
            for _ in 0..2000 {
                let drawn: f64 = random.r#gen();
                counts[if drawn < 0.85 { 0 } else { 1 + usize::from(drawn >= 0.9) }] += 1;
            }
            // of the control arm half is lost on the way
            let lost = counts[2] / 2;
            for (alarms, lost) in alarms.iter_mut().zip([0, lost]) {
                let arms = [counts[0], counts[1], counts[2] - lost].into_iter().zip(shares);
                *alarms += u32::from(mismatch(&arms.collect::<Vec<_>>()).unwrap().alarm);
            }
        }
        assert!(alarms[0] < 20, "{alarms:?} of 2000 without a fault");
        assert!(alarms[1] > 1900, "{alarms:?} of 2000 with a fault");
        assert_eq!(mismatch(&[(900, 1.0)]), None);
        assert!(mismatch(&[(900, 0.9), (100, 0.1), (3, 0.0)]).unwrap().alarm);
    }

    #[test]
    fn corrections_are_the_published_ones() {
        // Benjamini and Hochberg, JRSS B 57 (1995), section 3.2: fifteen p-values, of which Bonferroni
        // and Holm find three; so does Benjamini and Yekutieli, whose fourth is 0.0095 · 15 / 4 · 3.318
        let published = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let found = |adjusted: Vec<f64>| adjusted.iter().filter(|p| **p < 0.05).count();
        let adjusted = benjamini_yekutieli(&published);
        assert!((adjusted[3] - 0.118_2).abs() < 5e-5, "{adjusted:?}");
        assert_eq!(found(adjusted), 3);
        assert_eq!(found(holm(&published)), 3);
        let shuffled = [0.04, 0.01, 0.03];
        let rounded = |all: Vec<f64>| -> Vec<f64> {
            all.into_iter().map(|p| (p * 1e9).round() / 1e9).collect()
        };
        assert_eq!(rounded(holm(&shuffled)), [0.06, 0.03, 0.06]);
        // times 1 + 1/2 + 1/3, by rank
        assert_eq!(rounded(benjamini_yekutieli(&shuffled)), [0.073_333_333, 0.055, 0.073_333_333]);
    }

    #[test]
    fn the_smallest_effect_is_found_four_times_in_five() {
        let (people, rate) = ([4000, 1000], 0.2);
        let effect = smallest_effect(people, rate, 1).unwrap();
        // 2.802 standard errors of 0.01414
        assert!((effect - 0.039_62).abs() < 1e-4, "{effect}");
        assert!(smallest_effect(people, rate, 7).unwrap() > effect);
        assert!(smallest_effect(people, rate, 7).unwrap() < 1.1 * effect);
        assert_eq!(smallest_effect([0, 9], rate, 1), None);
    }

    #[test]
    fn a_p_value_is_below_five_per_cent_where_the_interval_leaves_zero_out() {
        for threshold in [1.96, 2.3, 4.0] {
            assert!(p_value(1.001 * threshold, threshold) < ALPHA);
            assert!(p_value(-0.999 * threshold, threshold) > ALPHA);
        }
    }
}
