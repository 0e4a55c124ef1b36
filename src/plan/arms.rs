//! Arms: who belongs to which, which part of each limit is whose, and the draws of those arms that
//! do not choose.
//!
//! Arms would disturb each other if they competed for room, and a comparison of them would then tell
//! nothing of how each would do alone. So each limit is split by the arms' shares (holdout left out)
//! before anything is planned, and what one arm leaves unused stays unused: lent to another it would
//! flatter the borrower. That is the price of an honest comparison; without arms there is none.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::campaign::{Arms, Campaign};
use crate::model::delivery::Arm;
use crate::model::ids::RecipientKey;

/// A person's arm: a stable hash of campaign and person, so that it is the same in every plan.
pub fn arm_of(campaign: &Campaign, person: &RecipientKey) -> Arm {
    let drawn = hash(&[campaign.name.as_str(), person.as_str()]) as f64 / u64::MAX as f64;
    let arms = &campaign.arms;
    if drawn < arms.explore {
        Arm::Explore
    } else if drawn < arms.explore + arms.control {
        Arm::Control
    } else if drawn < arms.explore + arms.control + arms.holdout {
        Arm::Holdout
    } else if arms.personalized > 0.0 {
        Arm::Personalized
    } else {
        // the last hair's breadth of a sum that is 1 but for rounding
        [(Arm::Holdout, arms.holdout), (Arm::Control, arms.control)]
            .into_iter()
            .find_map(|(arm, share)| (share > 0.0).then_some(arm))
            .unwrap_or(Arm::Explore)
    }
}

/// The share of a campaign's audience that an arm has.
pub(super) fn share_of(arms: &Arms, arm: Arm) -> f64 {
    match arm {
        Arm::Personalized => arms.personalized,
        Arm::Explore => arms.explore,
        Arm::Control => arms.control,
        Arm::Holdout => arms.holdout,
    }
}

/// A part of every limit: the stretch between two numbers of the stretch from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Stretch {
    /// All of it.
    #[cfg(test)]
    pub(super) const ALL: Self = Self { from: 0.0, to: 1.0 };

    /// The stretch of an arm among those that send.
    pub(super) fn of(arms: &Arms, arm: Arm) -> Self {
        let sending = (1.0 - arms.holdout).max(f64::MIN_POSITIVE);
        let (explore, control) = (arms.explore / sending, arms.control / sending);
        let (from, to) = match arm {
            Arm::Explore => (0.0, explore),
            Arm::Control => (explore, explore + control),
            Arm::Personalized => (explore + control, 1.0),
            Arm::Holdout => (1.0, 1.0),
        };
        // rounding must not leave an arm without people a part of the limits, nor reach past the end
        let personalized = arms.personalized > 0.0;
        let close = |x: f64| if !personalized && x > 1.0 - 1e-9 { 1.0 } else { x.min(1.0) };
        Self { from: close(from), to: close(to) }
    }

    /// Its length.
    pub(super) fn length(self) -> f64 {
        self.to - self.from
    }

    /// Its part of whole units; over adjoining stretches with one `offset` (0 to 1) the parts sum to
    /// the whole.
    pub(super) fn part(self, whole: u64, offset: f64) -> u64 {
        let below = |x: f64| (whole as f64 * x + offset).floor() as u64;
        // all of it, whatever the rounding
        let to = if self.to >= 1.0 { whole + below(0.0) } else { below(self.to) };
        to.saturating_sub(below(self.from))
    }
}

/// A number from texts that is the same everywhere and always (FNV-1a, then mixed).
pub(super) fn hash(texts: &[&str]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        for byte in text.bytes().chain([0xff]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mix(state)
}

/// A number from numbers (the finisher of `SplitMix64`).
pub(super) fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number from 0 up to 1.
pub(super) fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// What one explorer may be given.
pub(super) struct Explorer<'a> {
    /// Allowed slots.
    pub(super) slots: &'a [u32],
    /// Whether a slot is not banned to this one.
    pub(super) may_take: &'a dyn Fn(u32) -> bool,
    /// How many variants fit.
    pub(super) variants: usize,
}

/// One draw of the explore arm: a slot and an index into the menu.
pub(super) type Drawn = Option<(u32, usize)>;

/// Draws once, uniformly over what is allowed and open; also says how many slots that were.
pub(super) fn explore(
    explorer: &Explorer<'_>,
    rng: &mut ChaCha8Rng,
    is_open: &dyn Fn(u32, usize) -> bool,
) -> (Drawn, usize) {
    let options: Vec<(u32, usize)> = (explorer.slots.iter())
        .filter(|slot| (explorer.may_take)(**slot))
        .flat_map(|slot| (0..explorer.variants).map(|variant| (*slot, variant)))
        .filter(|(slot, variant)| is_open(*slot, *variant))
        .collect();
    if options.is_empty() {
        return (None, 0);
    }
    (Some(options[rng.gen_range(0..options.len())]), options.len())
}

/// A generator for one purpose of one campaign.
pub(super) fn generator(seed: u64, campaign: &Campaign, purpose: &str, turn: u64) -> ChaCha8Rng {
    let salt = hash(&[campaign.name.as_str(), purpose]);
    ChaCha8Rng::seed_from_u64(mix(seed ^ salt) ^ turn)
}
