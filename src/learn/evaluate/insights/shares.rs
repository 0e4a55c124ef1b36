//! How many people are of each kind, from what is known of each: the likeliest shares, with the
//! information that people's histories hold of them.
//!
//! The mean of posterior shares is drawn to the prior, and its spread over people knows nothing of
//! that: where histories tell the kinds hardly apart it looks sure. Shares are therefore fitted to the
//! likelihoods of the kinds by expectation–maximization, and their error is that of the score
//! (Louis 1982): it grows without bound where nothing is told.

use crate::learn::statistics::estimate::Estimate;

const ROUNDS: usize = 200;

/// Likeliest shares of kinds among people, where each row holds how likely what is known of one
/// person is under each kind; with the interval that misses with a chance given as standard errors.
pub(super) fn shares(rows: &[Vec<f64>], errors: f64) -> Vec<Estimate> {
    let kinds = rows.first().map_or(0, Vec::len);
    let people = rows.len() as f64;
    let mut share = vec![1.0 / kinds.max(1) as f64; kinds];
    for _ in 0..ROUNDS {
        let mut sums = vec![0.0; kinds];
        for row in rows {
            let total: f64 = row.iter().zip(&share).map(|(l, s)| l * s).sum();
            let weighed = row.iter().zip(&share).map(|(l, s)| l * s / total.max(1e-300));
            sums.iter_mut().zip(weighed).for_each(|(sum, weight)| *sum += weight);
        }
        let next: Vec<f64> = sums.iter().map(|sum| sum / people).collect();
        let moved: f64 = next.iter().zip(&share).map(|(a, b)| (a - b).abs()).sum();
        share = next;
        if moved < 1e-7 {
            break;
        }
    }
    (0..kinds).map(|kind| estimate(rows, &share, kind, errors)).collect()
}

fn estimate(rows: &[Vec<f64>], share: &[f64], kind: usize, errors: f64) -> Estimate {
    let value = share[kind].clamp(0.0, 1.0);
    // away from the ends, so that nobody's absence is certain
    let at = value.clamp(0.5 / rows.len() as f64, 1.0 - 0.5 / rows.len() as f64);
    let rest = (1.0 - share[kind]).max(1e-9);
    let score = |row: &Vec<f64>| {
        let others: f64 =
            (0..row.len()).filter(|k| *k != kind).map(|k| share[k] / rest * row[k]).sum();
        (row[kind] - others) / (at * row[kind] + (1.0 - at) * others).max(1e-300)
    };
    let information: f64 = rows.iter().map(|row| score(row).powi(2)).sum();
    let error = information.max(1e-9).sqrt().recip();
    // on the log-odds, which have no ends
    let spread = errors * error / (at * (1.0 - at));
    let odds = at / (1.0 - at);
    let bound = |odds: f64| odds / (1.0 + odds);
    let [low, high] = [bound(odds * (-spread).exp()), bound(odds * spread.exp())];
    Estimate {
        value,
        low: if low.is_finite() { low.min(value) } else { 0.0 },
        high: if high.is_finite() { high.max(value) } else { 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// People of two kinds, told apart by so many coin throws each.
    fn rows(people: usize, share: f64, throws: u32, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
        let person = |random: &mut ChaCha8Rng| {
            let chance = if random.gen_bool(share) { 0.7 } else { 0.3 };
            let heads = (0..throws).filter(|_| random.gen_bool(chance)).count() as i32;
            let tails = throws as i32 - heads;
            vec![0.7f64.powi(heads) * 0.3f64.powi(tails), 0.3f64.powi(heads) * 0.7f64.powi(tails)]
        };
        (0..people).map(|_| person(random)).collect()
    }

    #[test]
    fn intervals_hold_the_true_share_however_little_each_person_tells() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for throws in [1, 3, 20] {
            let held = (0..300).filter(|_| {
                let rows = rows(400, 0.3, throws, &mut random);
                shares(&rows, 1.96)[0].holds(0.3)
            });
            let held = held.count();
            assert!((276..=297).contains(&held), "{throws} throws: {held} of 300 hold it");
        }
    }

    #[test]
    fn who_tells_nothing_leaves_every_share_possible() {
        let all = shares(&vec![vec![1.0, 1.0]; 500], 1.96);
        assert!(all[0].low < 0.01 && all[0].high > 0.99, "{all:?}");
    }
}
