//! Arms: who belongs to which, which part of each limit is whose, and the draws of those arms that
//! do not choose.
//!
//! Arms would disturb each other if they competed for room, and a comparison of them would then
//! tell nothing of how each would do alone. So each limit is split by the arms' shares (holdout
//! left out) before anything is planned, and what one arm leaves unused stays unused: lent to
//! another it would flatter the borrower. That is the price of an honest comparison; without arms
//! there is none.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::model::campaign::{Arms, Campaign};
use crate::model::delivery::Arm;
pub(super) use crate::model::hash::{hash, mix, unit};
use crate::model::ids::RecipientKey;

/// A person's arm: a stable hash of campaign and person, so that it is the same in every plan and in
/// every run of a standing campaign.
pub fn arm_of(campaign: &Campaign, person: &RecipientKey) -> Arm {
    let drawn = hash(&[campaign.drawn_by.as_str(), person.as_str()]) as f64 / u64::MAX as f64;
    let arms = &campaign.arms;
    if drawn < arms.explore {
        Arm::Explore
    } else if drawn < arms.explore + arms.control {
        Arm::Control
    } else if drawn < arms.explore + arms.control + arms.holdout {
        Arm::Holdout
    } else if drawn < arms.explore + arms.control + arms.holdout + arms.thompson {
        Arm::Thompson
    } else if arms.personalized > 0.0 {
        Arm::Personalized
    } else {
        // the last hair's breadth of a sum that is 1 but for rounding
        [(Arm::Thompson, arms.thompson), (Arm::Holdout, arms.holdout), (Arm::Control, arms.control)]
            .into_iter()
            .find_map(|(arm, share)| (share > 0.0).then_some(arm))
            .unwrap_or(Arm::Explore)
    }
}

/// A part of every limit: the stretch between two numbers of the stretch from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CapacityShare {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl CapacityShare {
    /// The stretch of an arm among those that send.
    pub(super) fn of(arms: &Arms, arm: Arm) -> Self {
        let sending = (1.0 - arms.holdout).max(f64::MIN_POSITIVE);
        let explore = arms.explore / sending;
        let control = explore + arms.control / sending;
        let thompson = control + arms.thompson / sending;
        let (from, to) = match arm {
            Arm::Explore => (0.0, explore),
            Arm::Control => (explore, control),
            Arm::Thompson => (control, thompson),
            Arm::Personalized => (thompson, 1.0),
            Arm::Holdout => (1.0, 1.0),
        };
        // rounding must not leave an arm without people a part of the limits, nor reach past the
        // end
        let personalized = arms.personalized > 0.0;
        let close = |x: f64| if !personalized && x > 1.0 - 1e-9 { 1.0 } else { x.min(1.0) };
        Self { from: close(from), to: close(to) }
    }

    /// Its length.
    pub(super) fn length(self) -> f64 {
        self.to - self.from
    }

    /// Its part of whole units; over adjoining stretches with one `offset` (0 to 1) the parts sum
    /// to the whole.
    pub(super) fn part(self, whole: u64, offset: f64) -> u64 {
        let below = |x: f64| (whole as f64 * x + offset).floor() as u64;
        // all of it, whatever the rounding
        let to = if self.to >= 1.0 { whole + below(0.0) } else { below(self.to) };
        to.saturating_sub(below(self.from))
    }
}

/// What is left of a limit to one of those it is cut among: its part, less what it has booked, and
/// no more than all bookings leave when some have booked beyond their part.
pub(super) fn left_to(
    mine: usize,
    whole: u64,
    shares: &[(CapacityShare, u64)],
    offset: f64,
) -> u64 {
    let mut left = whole.saturating_sub(shares.iter().map(|(_, booked)| booked).sum());
    for (at, (share, booked)) in shares.iter().enumerate() {
        let own = share.part(whole, offset).saturating_sub(*booked).min(left);
        if at == mine {
            return own;
        }
        left -= own;
    }
    0
}

/// The same of a limit that can be cut anywhere.
pub(super) fn share_left_to(mine: usize, whole: f64, shares: &[(CapacityShare, f64)]) -> f64 {
    let mut left = (whole - shares.iter().map(|(_, booked)| booked).sum::<f64>()).max(0.0);
    for (at, (share, booked)) in shares.iter().enumerate() {
        let own = (whole * share.length() - booked).clamp(0.0, left);
        if at == mine {
            return own;
        }
        left -= own;
    }
    0.0
}

/// A generator for one purpose of one campaign.
pub(super) fn generator(seed: u64, campaign: &Campaign, purpose: &str, turn: u64) -> ChaCha8Rng {
    let salt = hash(&[campaign.name.as_str(), purpose]);
    ChaCha8Rng::seed_from_u64(mix(seed ^ salt) ^ turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: [CapacityShare; 3] = [
        CapacityShare { from: 0.0, to: 0.05 },
        CapacityShare { from: 0.05, to: 0.3 },
        CapacityShare { from: 0.3, to: 1.0 },
    ];

    #[test]
    fn parts_sum_to_the_whole_and_to_each_share_over_many_limits() {
        let mut sums = [0; 3];
        for limit in 0..10_000_u64 {
            let (whole, offset) = (limit % 7, unit(mix(limit)));
            let parts = THREE.map(|share| share.part(whole, offset));
            assert_eq!(parts.iter().sum::<u64>(), whole);
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        }
        let whole: u64 = sums.iter().sum();
        for (sum, share) in sums.iter().zip(THREE) {
            assert!((*sum as f64 / whole as f64 - share.length()).abs() < 0.01);
        }
    }

    #[test]
    fn what_is_left_never_adds_up_to_more_than_bookings_leave() {
        for seed in 0..2000_u64 {
            let draw = |salt: u64, most: u64| mix(mix(seed) ^ salt) % most;
            let shares = [0, 1, 2].map(|at| (THREE[at], draw(at as u64, 9)));
            let (whole, offset) = (draw(7, 20), unit(mix(seed)));
            let booked: u64 = shares.iter().map(|(_, booked)| booked).sum();
            let left: u64 = (0..3).map(|mine| left_to(mine, whole, &shares, offset)).sum();
            assert!(left <= whole.saturating_sub(booked), "seed {seed}");
            let shares = shares.map(|(share, booked)| (share, booked as f64));
            let left: f64 = (0..3).map(|mine| share_left_to(mine, whole as f64, &shares)).sum();
            assert!(left <= (whole as f64 - booked as f64).max(0.0) + 1e-9, "seed {seed}");
        }
    }

    #[test]
    fn arms_have_their_shares_and_stay_the_same() {
        let text = "name = \"x\"\nprovider = \"p\"\n[window]\nstart = 2026-12-01T08:00:00\n\
                    end = 2026-12-02T08:00:00\n[[variant]]\nname = \"v\"\nmedia = \"text\"\n\
                    [arms]\npersonalized = 0.7\nexplore = 0.05\ncontrol = 0.15\nholdout = 0.1\n";
        let campaign = Campaign::from_toml(text).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for person in 0..40_000 {
            let key = format!("r{person}").parse().unwrap();
            *counts.entry(arm_of(&campaign, &key)).or_insert(0.0) += 1.0 / 40_000.0;
        }
        for (arm, count) in counts {
            assert!((count - campaign.arms.share(arm)).abs() < 0.01, "{arm}: {count}");
        }
        assert_eq!(arm_of(&campaign, &"r7".parse().unwrap()), Arm::Personalized);
    }
}
