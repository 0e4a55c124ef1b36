//! What a slot and a variant are worth to a person.
//!
//! Value = P(goal within its time) − cost of an opt-out × P(opt-out), the chance averaged over the
//! local hours that the slot overlaps.

use super::eligibility::{Candidates, Eligibility, SlotClass, ValueClass};
use super::request::{Request, Setting};
use crate::model::campaign::Campaign;
use crate::model::choice::{Chosen, PersonCorrection};
use crate::model::delivery::Expectation;
use crate::model::preference::{Preference, WEEK_HOURS};

/// Values are lowered by up to this share, by a hash of person and value class, so that prices
/// separate people who are alike.
pub(super) const PERTURBATION: f32 = 5e-5;

/// What one person's habits say of the variants of one eligible variants.
pub(super) struct Objective {
    /// The chance of the goal by hour of the local week, one row a variant of the eligible
    /// variants.
    chances: Vec<[f32; WEEK_HOURS]>,
    /// What the harm of each variant takes from its value.
    pub(super) harm: Vec<f32>,
    /// The chance of a reply to each variant.
    pub(super) reply: Vec<f32>,
    /// What is taken from chances that were chosen for their height.
    pub(super) correction: PersonCorrection,
    /// What a chosen chance of each variant is held against; empty where nothing is corrected.
    pub(super) usual: Vec<VariantUsual>,
}

/// What a person does with a variant on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VariantUsual {
    /// The mean chance over the hours of a week.
    pub(super) mean: f32,
    /// The chance that it is answered once it is read.
    pub(super) answered: f32,
}

/// A chance as it is to be expected of a variant that was chosen, with its hour, among some.
pub(super) fn expected(
    chance: f32,
    variant: usize,
    correction: PersonCorrection,
    usual: &[VariantUsual],
) -> f32 {
    let Some(VariantUsual { mean, answered }) = usual.get(variant).copied() else { return chance };
    let of_all = usual.iter().map(|usual| usual.mean).sum::<f32>() / usual.len() as f32;
    correction.expected(Chosen { chance, of_content: mean, of_all, answered })
}

impl Objective {
    fn new(
        campaign: &Campaign,
        variant_list: &[u16],
        preference: &Preference,
        opt_out_cost: f64,
        replies: bool,
    ) -> Self {
        let mut objective = Self {
            chances: Vec::new(),
            harm: Vec::new(),
            reply: Vec::new(),
            correction: preference.choice_correction(campaign.within),
            usual: Vec::new(),
        };
        for (at, variant) in variant_list.iter().enumerate() {
            let content = &campaign.variants[*variant as usize].content;
            let same = variant_list[..at]
                .iter()
                .position(|other| campaign.variants[*other as usize].content == *content);
            if let Some(same) = same {
                objective.chances.push(objective.chances[same]);
                objective.harm.push(objective.harm[same]);
                objective.reply.extend(objective.reply.get(same).copied());
                objective.usual.extend(objective.usual.get(same).copied());
                continue;
            }
            let chances = preference.chances(content, campaign.goal, campaign.within);
            if !objective.correction.is_none() {
                objective.usual.push(VariantUsual {
                    mean: chances.iter().sum::<f32>() / WEEK_HOURS as f32,
                    answered: preference.answer_chance(content, campaign.goal),
                });
            }
            objective.chances.push(chances);
            objective.harm.push((opt_out_cost * f64::from(preference.opt_out(content))) as f32);
            if replies {
                objective.reply.push(preference.reply_chance(content));
            }
        }
        objective
    }

    /// Asks the habits of one candidate of a request.
    pub(super) fn of(
        setting: &Setting<'_>,
        request: &Request<'_>,
        candidates: &Candidates,
        person: usize,
        eligibility: &Eligibility,
    ) -> Self {
        let variant_list = &candidates.variant_lists[eligibility.variant_list as usize];
        let preference = (request.preference)(person);
        let replies = request.campaign.capacity.chats.is_some();
        Self::new(request.campaign, variant_list, &preference, setting.opt_out_cost, replies)
    }

    /// How many variants there are.
    pub(super) fn variants(&self) -> usize {
        self.harm.len()
    }

    /// The chance of the goal for a variant of the eligible variants in a value class.
    pub(super) fn chance(&self, variant: usize, value_class: &ValueClass) -> f32 {
        let chances = &self.chances[variant];
        match value_class.hours[..] {
            [(hour, _)] => chances[hour],
            _ => value_class.hours.iter().map(|(hour, share)| chances[*hour] * *share as f32).sum(),
        }
    }

    /// What is expected of a person whatever the arm.
    pub(super) fn expectation(
        &self,
        candidates: &Candidates,
        eligibility: &Eligibility,
    ) -> Expectation {
        let slot_class = &candidates.slot_classes[eligibility.slot_class as usize];
        let control = candidates.control_slot(eligibility);
        let value_class = control.map_or(0, |slot| slot_class.value_class(slot));
        let chance = |variant, value_class| f64::from(self.chance(variant, value_class));
        let all = slot_class.value_classes.iter().flat_map(|value_class| {
            (0..self.variants()).map(move |variant| chance(variant, value_class))
        });
        Expectation {
            at_control_time: chance(0, &slot_class.value_classes[value_class]),
            at_best: all.fold(0.0, f64::max),
        }
    }

    /// The chance as it is to be expected where it was not chosen for its height.
    pub(super) fn expected_of_any(&self, variant: usize, value_class: &ValueClass) -> f32 {
        let chance = self.chance(variant, value_class);
        let usual = self.usual.get(variant);
        usual.map_or(chance, |usual| self.correction.expected_of_any(chance, usual.answered))
    }

    /// Chance less harm.
    pub(super) fn value(&self, variant: usize, value_class: &ValueClass) -> f32 {
        self.chance(variant, value_class) - self.harm[variant]
    }

    /// The best variant of the eligible variants in a value class and its value; among equals the
    /// one at `turn`.
    pub(super) fn best(&self, value_class: &ValueClass, turn: u32) -> (usize, f32) {
        let count = self.variants();
        let mut variant = turn as usize % count;
        let mut best = (variant, self.value(variant, value_class));
        for _ in 1..count {
            variant = if variant + 1 == count { 0 } else { variant + 1 };
            let value = self.value(variant, value_class);
            if value > best.1 {
                best = (variant, value);
            }
        }
        best
    }

    /// Whether any allowed slot is worth anything.
    pub(super) fn is_any_positive(&self, slot_class: &SlotClass) -> bool {
        let mut value_classes = slot_class.value_classes.iter();
        value_classes.any(|value_class| {
            (0..self.variants()).any(|variant| self.value(variant, value_class) > 0.0)
        })
    }
}

/// What a stored value is a share of the true one.
pub(super) fn perturbation(tie_break: u32, value_class: usize) -> f32 {
    let mixed =
        (tie_break ^ (value_class as u32).wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    1.0 - PERTURBATION * ((mixed ^ (mixed >> 15)) >> 8) as f32 / (1 << 24) as f32
}
