//! What contents add to the log-odds of an answer, given to whom they were sent: each message
//! counts beside the log-odds that its person had without it.
//!
//! The effects are normal around 0 with a variance that is learned by moments (`DerSimonian` and
//! Laird, Controlled Clinical Trials 7, 1986); each is the mode of its posterior.

use crate::learn::statistics::special::sigmoid;

/// A message: its content, the log-odds without it, and what happened.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct AdjustedOutcome {
    pub(in crate::learn) content: Option<u16>,
    pub(in crate::learn) log_odds: f64,
    pub(in crate::learn) happened: bool,
}

/// Slope and curvature of the likelihood at so much more log-odds.
fn slope<'a>(rows: impl Iterator<Item = &'a AdjustedOutcome>, more: f64) -> (f64, f64) {
    rows.fold((0.0, 0.0), |(slope, curvature), row| {
        let chance = sigmoid(row.log_odds + more);
        let happened = f64::from(u8::from(row.happened));
        (slope + happened - chance, curvature + chance * (1.0 - chance))
    })
}

/// Effects of contents by their number; 0 for those that nobody was sent.
pub(in crate::learn) fn effects(rows: &[AdjustedOutcome], contents: usize) -> Vec<f64> {
    const STEPS: usize = 8;
    const LONGEST: f64 = 1.0;
    // before any is seen, effects are within a third of each other, as if two had shown it
    const FIRST: (f64, f64) = (0.1, 2.0);
    let mut by_content: Vec<Vec<AdjustedOutcome>> = vec![Vec::new(); contents];
    for row in rows {
        if let Some(of) = row.content.and_then(|c| by_content.get_mut(usize::from(c))) {
            of.push(*row);
        }
    }
    let mut common = 0.0;
    for _ in 0..STEPS {
        let (slope, curvature) = slope(rows.iter(), common);
        common += (slope / (curvature + 1.0)).clamp(-LONGEST, LONGEST);
    }
    let told: Vec<(f64, f64)> = by_content
        .iter()
        .map(|of| slope(of.iter(), common))
        .filter(|(_, information)| *information > 0.0)
        .collect();
    let n = told.len() as f64;
    let heterogeneity: f64 =
        told.iter().map(|(slope, information)| slope * slope / information).sum();
    let information: f64 = told.iter().map(|told| told.1).sum();
    let squares: f64 = told.iter().map(|told| told.1 * told.1).sum();
    let spare = information - squares / information.max(f64::MIN_POSITIVE);
    let found = if spare > 0.0 { ((heterogeneity - (n - 1.0)) / spare).max(0.0) } else { 0.0 };
    let variance = (n * found.min(4.0) + FIRST.1 * FIRST.0) / (n + FIRST.1);
    by_content
        .iter()
        .map(|of| {
            let mut effect = 0.0;
            for _ in 0..STEPS {
                let (slope, curvature) = slope(of.iter(), common + effect);
                let step = (slope - effect / variance) / (curvature + 1.0 / variance);
                effect += step.clamp(-LONGEST, LONGEST);
            }
            effect
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The second content is sent to those who answer much; it is no better for that.
    #[test]
    fn a_content_that_the_keen_were_sent_is_no_better_for_it() {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let truth = [0.4, 0.0];
        let rows: Vec<AdjustedOutcome> = (0..40_000)
            .map(|_| {
                let keen = random.gen_bool(0.5);
                let content = u16::from(random.gen_bool(if keen { 0.8 } else { 0.2 }));
                let log_odds = if keen { -1.0 } else { -3.0 };
                let odds: f64 = log_odds + truth[usize::from(content)];
                let happened = random.gen_bool(sigmoid(odds));
                AdjustedOutcome { content: Some(content), log_odds, happened }
            })
            .collect();
        let effects = effects(&rows, 3);
        assert!((effects[0] - effects[1] - 0.4).abs() < 0.1, "{effects:?}");
        assert!(effects[2].abs() < 1e-9);
    }

    #[test]
    fn a_content_of_few_messages_is_held_to_the_rest() {
        let row = |content, happened| AdjustedOutcome {
            content: Some(content),
            log_odds: -2.0,
            happened,
        };
        let mut rows: Vec<AdjustedOutcome> =
            (0..2_000).map(|i| row(i % 4, (i / 4).is_multiple_of(8))).collect();
        rows.extend([row(4, true), row(4, true)]);
        let effects = effects(&rows, 5);
        assert!(effects[4] > 0.0 && effects[4] < 1.0, "{effects:?}");
    }
}
