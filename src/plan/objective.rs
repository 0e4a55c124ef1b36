//! What a slot and a variant are worth to a person.
//!
//! Value = P(goal within its time) − cost of an opt-out × P(opt-out), the chance averaged over the
//! local hours that the slot overlaps. Of conversions only what a message adds over none may count. Both are those after as many other messages as the person
//! gets shortly before the slot.

use super::eligibility::{Candidates, CountedMessage, Eligibility, SlotClass, ValueClass};
use super::fatigue::{PersonFatigue, SlotFatigue};
use super::request::{Request, Setting};
use crate::model::campaign::Campaign;
use crate::model::choice::{Chosen, PersonCorrection};
use crate::model::content::Goal;
use crate::model::delivery::Expectation;
use crate::model::holdout::CountedConversions;
use crate::model::preference::{Preference, WEEK_HOURS};

/// Values are lowered by up to this share, by a hash of person and value class, so that prices
/// separate people who are alike.
pub(super) const PERTURBATION: f32 = 5e-5;

/// What one person's habits say of the variants of one eligible variants.
pub(super) struct Objective {
    /// The chance of the goal by hour of the local week, one row a variant of the eligible
    /// variants.
    chances: Vec<[f32; WEEK_HOURS]>,
    /// The chance of a reply to each variant: the largest of any slot, so that limits hold.
    pub(super) reply: Vec<f32>,
    /// What is taken from chances that were chosen for their height.
    pub(super) correction: PersonCorrection,
    /// What the person does with each variant whatever the hour.
    pub(super) usual: Vec<VariantUsual>,
    /// Where other messages change anything, what they change.
    pub(super) fatigue: Option<Box<PersonFatigue>>,
    /// How much of a chance a value counts.
    pub(super) counted: f32,
}

/// What a person does with a variant whatever the hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VariantUsual {
    /// The mean chance over the hours of a week; 0 where nothing is corrected.
    pub(super) mean: f32,
    /// The chance that it is answered once it is read.
    pub(super) answered: f32,
    /// What its harm takes from its value.
    pub(super) harm: f32,
}

/// What is known of a value whose variant and hour were chosen.
#[derive(Clone, Copy)]
pub(super) struct ChosenValue<'a> {
    pub(super) value: f64,
    pub(super) variant: usize,
    pub(super) correction: PersonCorrection,
    /// Of all variants that it was chosen among.
    pub(super) usual: &'a [VariantUsual],
    /// What other messages change about it.
    pub(super) fatigue: Option<SlotFatigue>,
    /// How much of the chance it counts.
    pub(super) counted: f32,
}

/// The best of a person's variants at every time.
pub(super) struct BestVariants<'a> {
    objective: &'a Objective,
    /// The one that is preferred to equals.
    first: usize,
    /// By hour of the local week, with its value, where no other messages change it.
    by_hour: Option<([u32; WEEK_HOURS], [f32; WEEK_HOURS])>,
}

impl BestVariants<'_> {
    /// The one in a value class, and its value.
    pub(super) fn in_class(&self, value_class: &ValueClass) -> (usize, f32) {
        if let (Some((variants, values)), [(hour, _)]) = (&self.by_hour, &value_class.hours[..]) {
            return (variants[*hour] as usize, values[*hour]);
        }
        let value = |variant| self.objective.value(variant, value_class);
        let mut best = (self.first, value(self.first));
        for variant in (self.first + 1..self.objective.variants()).chain(0..self.first) {
            let value = value(variant);
            if value > best.1 {
                best = (variant, value);
            }
        }
        best
    }
}

impl ChosenValue<'_> {
    /// The chance as it is to be expected.
    pub(super) fn chance(&self) -> f64 {
        let corrected = |chance: f64| {
            if self.correction.is_none() {
                return chance;
            }
            f64::from(expected(chance as f32, self.variant, self.correction, self.usual))
        };
        let of_value = |harm: f32| (self.value + f64::from(harm)) / f64::from(self.counted);
        let Some(SlotFatigue { valued, expected }) = self.fatigue else {
            return corrected(of_value(self.usual[self.variant].harm));
        };
        // it was chosen by its height among others of a person who is as tired
        let factor = f64::from(valued.chance.max(f32::MIN_POSITIVE));
        let rested = of_value(valued.harm) / factor;
        (corrected(rested) * f64::from(expected.chance)).min(1.0)
    }
}

/// Whether values count of conversions what messages add over none.
pub(super) fn counts_added(setting: &Setting<'_>, request: &Request<'_>) -> bool {
    request.campaign.goal == Goal::Convert && setting.conversions == CountedConversions::Added
}

/// A chance as it is to be expected of a variant that was chosen, with its hour, among some.
fn expected(
    chance: f32,
    variant: usize,
    correction: PersonCorrection,
    usual: &[VariantUsual],
) -> f32 {
    let VariantUsual { mean, answered, .. } = usual[variant];
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
            reply: Vec::new(),
            correction: preference.choice_correction(campaign.within),
            usual: Vec::new(),
            fatigue: None,
            counted: 1.0,
        };
        for (at, variant) in variant_list.iter().enumerate() {
            let content = &campaign.variants[*variant as usize].content;
            let same = variant_list[..at]
                .iter()
                .position(|other| campaign.variants[*other as usize].content == *content);
            if let Some(same) = same {
                objective.chances.push(objective.chances[same]);
                objective.reply.extend(objective.reply.get(same).copied());
                objective.usual.push(objective.usual[same]);
                continue;
            }
            let chances = preference.chances(content, campaign.goal, campaign.within);
            let is_corrected = !objective.correction.is_none();
            objective.usual.push(VariantUsual {
                mean: if is_corrected {
                    chances.iter().sum::<f32>() / WEEK_HOURS as f32
                } else {
                    0.0
                },
                answered: preference.answer_chance(content, campaign.goal),
                harm: (opt_out_cost * f64::from(preference.opt_out(content))) as f32,
            });
            objective.chances.push(chances);
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
        Self::after(setting, request, candidates, (person, eligibility), None)
    }

    /// The same after what campaigns that are decided together with this one send: what is noted
    /// that they may, or what is known to go before.
    pub(super) fn after(
        setting: &Setting<'_>,
        request: &Request<'_>,
        candidates: &Candidates,
        (person, eligibility): (usize, &Eligibility),
        before: Option<&[CountedMessage]>,
    ) -> Self {
        let variant_list = &candidates.variant_lists[eligibility.variant_list as usize];
        let preference = (request.preference)(person);
        let (campaign, cost) = (request.campaign, setting.opt_out_cost);
        let replies = campaign.capacity.chats.is_some();
        let mut objective = Self::new(campaign, variant_list, &preference, cost, replies);
        if counts_added(setting, request) {
            objective.count_what_is_added(&preference);
        }
        if request.fatigue_until.is_some() {
            let slot_class = &candidates.slot_classes[eligibility.slot_class as usize];
            let mut sent = candidates.messages_to(request, person);
            let beside = candidates.beside.get(&person).map_or(&[][..], Vec::as_slice);
            sent.extend_from_slice(before.unwrap_or(beside));
            objective.fatigue = PersonFatigue::of(
                (campaign, variant_list),
                &preference,
                cost,
                sent,
                &slot_class.value_classes,
            );
        }
        if let Some(fatigue) = &objective.fatigue {
            let replies = objective.reply.iter_mut().enumerate();
            replies.for_each(|(variant, reply)| *reply = fatigue.most_replies(variant));
        }
        objective
    }

    /// Counts of each chance what a message adds over none: a message with any variant at the hours
    /// in which people are written to adds as much as the holdout tells, and others as much more as
    /// their chance is higher.
    fn count_what_is_added(&mut self, preference: &Preference) {
        let Some(added) = preference.added() else { return };
        let usual = self.chances.iter().map(|chances| preference.at_usual_hours(chances));
        let usual = usual.sum::<f32>() / self.chances.len() as f32;
        if usual > 0.0 {
            self.counted = added.mean / usual;
        }
    }

    /// How many variants there are.
    pub(super) fn variants(&self) -> usize {
        self.usual.len()
    }

    /// The chance of the goal for a variant of the eligible variants in a value class.
    pub(super) fn chance(&self, variant: usize, value_class: &ValueClass) -> f32 {
        let rested = self.rested_chance(variant, value_class);
        let effect = self.fatigue_effect(variant, value_class);
        effect.map_or(rested, |effect| (rested * effect.expected.chance).min(1.0))
    }

    /// The chance after as many messages as when the habits were read.
    fn rested_chance(&self, variant: usize, value_class: &ValueClass) -> f32 {
        let chances = &self.chances[variant];
        match value_class.hours[..] {
            [(hour, _)] => chances[hour],
            _ => value_class.hours.iter().map(|(hour, share)| chances[*hour] * *share as f32).sum(),
        }
    }

    fn fatigue_effect(&self, variant: usize, value_class: &ValueClass) -> Option<SlotFatigue> {
        self.fatigue.as_ref().map(|fatigue| fatigue.effect(variant, value_class))
    }

    /// The chance of a reply in a value class, where replies are bounded.
    pub(super) fn reply_in(&self, variant: usize, value_class: &ValueClass) -> f64 {
        let usual = self.reply.get(variant).copied().unwrap_or(0.0);
        let effect = self.fatigue_effect(variant, value_class);
        f64::from(effect.map_or(usual, |effect| effect.expected.reply))
    }

    /// Value and expected chance of a slot and variant that were chosen.
    pub(super) fn chosen(&self, variant: usize, value_class: &ValueClass) -> ChosenValue<'_> {
        ChosenValue {
            value: f64::from(self.value(variant, value_class)),
            variant,
            correction: self.correction,
            usual: &self.usual,
            fatigue: self.fatigue_effect(variant, value_class),
            counted: self.counted,
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
        let effect = self.fatigue_effect(variant, value_class);
        let answered =
            self.usual[variant].answered * effect.map_or(1.0, |effect| effect.expected.chance);
        self.correction.expected_of_any(self.chance(variant, value_class), answered)
    }

    /// Chance less harm, both as other messages before and after it have them.
    pub(super) fn value(&self, variant: usize, value_class: &ValueClass) -> f32 {
        let rested = self.rested_chance(variant, value_class);
        match self.fatigue_effect(variant, value_class) {
            None => self.rested_value(variant, rested),
            Some(SlotFatigue { valued, .. }) => {
                (rested * valued.chance).min(1.0) * self.counted - valued.harm
            }
        }
    }

    /// The value of a chance that other messages do not change.
    fn rested_value(&self, variant: usize, chance: f32) -> f32 {
        chance * self.counted - self.usual[variant].harm
    }

    /// The best variants at every time; among equals the one at `turn`.
    pub(super) fn best(&self, turn: u32) -> BestVariants<'_> {
        let count = self.variants();
        let first = turn as usize % count;
        let by_hour = self.fatigue.is_none().then(|| {
            let value = |variant: usize, hour: usize| {
                self.rested_value(variant, self.chances[variant][hour])
            };
            let mut variants = [first as u32; WEEK_HOURS];
            let mut values: [f32; WEEK_HOURS] = std::array::from_fn(|hour| value(first, hour));
            // a run of hours at a time, so that the compiler takes several at once
            for variant in (first + 1..count).chain(0..first) {
                for hour in 0..WEEK_HOURS {
                    let value = value(variant, hour);
                    let is_better = value > values[hour];
                    values[hour] = if is_better { value } else { values[hour] };
                    variants[hour] = if is_better { variant as u32 } else { variants[hour] };
                }
            }
            (variants, values)
        });
        BestVariants { objective: self, first, by_hour }
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
