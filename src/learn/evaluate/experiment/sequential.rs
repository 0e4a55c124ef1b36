//! Thresholds that hold over all looks together: repeated confidence intervals (Jennison and
//! Turnbull, JRSS B 51, 1989) with an error that is spent as information comes in (Lan and DeMets,
//! Biometrika 70, 1983), by the rule of O'Brien and Fleming: little at first, so that the last
//! interval is hardly wider than that of a single look.
//!
//! An estimate at information t, times √t, walks like a Brownian motion; its chance to leave the
//! bounds is integrated from look to look (Armitage, McPherson and Rowe, JRSS A 132, 1969).

use statrs::distribution::{Continuous, ContinuousCDF};

use super::{ALPHA, normal};

/// Looks with less information between them are one.
const STEP_MIN: f64 = 0.01;
/// Points at which a density is kept; odd, for Simpson's rule.
const POINTS: usize = 81;
/// Bounds lie within so many standard deviations.
const FAR: f64 = 8.0;

/// The error that may have been made up to a share of the information.
fn spent(information: f64) -> f64 {
    let end = normal().inverse_cdf(1.0 - ALPHA / 4.0);
    4.0 * normal().sf(end / information.sqrt())
}

/// How many standard errors an interval reaches to each side at the last of some looks, of which
/// each had a rising share of the information, above 0 and at most 1.
pub fn daily_threshold(looks: &[f64]) -> f64 {
    let Some(last) = looks.last() else { return normal().inverse_cdf(1.0 - ALPHA / 2.0) };
    let mut kept: Vec<f64> = Vec::new();
    for look in looks {
        let room = look - kept.last().copied().unwrap_or(0.0) >= STEP_MIN;
        if room && last - look >= STEP_MIN {
            kept.push(*look);
        }
    }
    let mut walk = Walk { points: vec![(0.0, 1.0)], at: 0.0 };
    for look in kept {
        let bound = walk.bound(look);
        walk = walk.within(look, bound);
    }
    walk.bound(*last) / last.sqrt()
}

/// Where a motion is that has stayed within all bounds: points with their weights.
struct Walk {
    points: Vec<(f64, f64)>,
    at: f64,
}

impl Walk {
    /// The bound that is left at a later time with the error that may be spent until then.
    fn bound(&self, at: f64) -> f64 {
        let error = spent(at) - if self.at > 0.0 { spent(self.at) } else { 0.0 };
        let step = (at - self.at).sqrt();
        let leaves = |bound: f64| -> f64 {
            let of = |(x, weight): &(f64, f64)| {
                weight * (normal().sf((bound - x) / step) + normal().cdf((-bound - x) / step))
            };
            self.points.iter().map(of).sum()
        };
        let (mut low, mut high) = (0.0, FAR * at.sqrt());
        for _ in 0..32 {
            let middle = f64::midpoint(low, high);
            if leaves(middle) > error { low = middle } else { high = middle }
        }
        high
    }

    /// The part that is still within a bound at a later time.
    fn within(&self, at: f64, bound: f64) -> Self {
        let step = (at - self.at).sqrt();
        let distance = 2.0 * bound / (POINTS - 1) as f64;
        let point = |index: usize| {
            let y = index as f64 * distance - bound;
            let of = |(x, weight): &(f64, f64)| weight * normal().pdf((y - x) / step) / step;
            let density: f64 = self.points.iter().map(of).sum();
            let simpson = match index {
                0 => 1.0,
                last if last == POINTS - 1 => 1.0,
                index if index % 2 == 1 => 4.0,
                _ => 2.0,
            };
            (y, density * simpson * distance / 3.0)
        };
        Self { points: (0..POINTS).map(point).collect(), at }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use statrs::distribution::Normal;

    use super::*;

    fn thresholds(looks: &[f64]) -> Vec<f64> {
        (1..=looks.len()).map(|count| daily_threshold(&looks[..count])).collect()
    }

    #[test]
    fn a_single_look_is_the_plain_interval() {
        assert!((daily_threshold(&[1.0]) - 1.96).abs() < 1e-3);
        assert!((daily_threshold(&[]) - 1.96).abs() < 1e-3);
        // looks without news change nothing
        let crowded = daily_threshold(&[0.4, 0.4001, 0.4002, 1.0]);
        assert!((crowded - daily_threshold(&[0.4, 1.0])).abs() < 1e-2);
    }

    #[test]
    fn thresholds_are_the_published_ones() {
        // five equal looks: DeMets and Lan, Statistics in Medicine 13 (1994) 1341–1352, table I
        let ours = thresholds(&[0.2, 0.4, 0.6, 0.8, 1.0]);
        for (ours, published) in ours.iter().zip([4.877, 3.357, 2.680, 2.290, 2.031]) {
            assert!((ours - published).abs() < 5e-3, "{ours}, not {published}");
        }
    }

    #[test]
    fn all_looks_together_miss_one_time_in_twenty() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let looks: Vec<f64> = [1.0, 2.0, 4.0, 7.0, 8.0, 11.0, 14.0].map(|t| t / 14.0).to_vec();
        let bounds = thresholds(&looks);
        let step = Normal::standard();
        let mut held = 0;
        for _ in 0..4000 {
            let (mut at, mut from, mut holds) = (0.0, 0.0, true);
            for (look, bound) in looks.iter().zip(&bounds) {
                let drawn: f64 = rand::distributions::Distribution::sample(
                    &rand::distributions::Uniform::new(1e-12, 1.0),
                    &mut random,
                );
                at += step.inverse_cdf(drawn) * f64::sqrt(look - from);
                from = *look;
                holds &= (at / look.sqrt()).abs() <= *bound;
            }
            held += u32::from(holds);
        }
        assert!((3740..=3860).contains(&held), "{held} of 4000");
    }
}
