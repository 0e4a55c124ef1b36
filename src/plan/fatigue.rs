//! What other messages to a person change about one: the messages of the last days are counted at
//! each slot, sent or planned, by whomever.
//!
//! The chance of a message is that after those before it. Its value counts those after it likewise:
//! of two messages within days the first takes from the second about what the second would take from
//! it.

use super::eligibility::{CountedMessage, ValueClass};
use crate::model::campaign::Campaign;
use crate::model::preference::{Fatigue, Preference};

/// One person's, by the number of messages before a slot.
pub(super) struct PersonFatigue {
    /// When messages go that are known to, in seconds, in order.
    sent: Vec<i64>,
    /// The least number that comes before any slot.
    least: usize,
    variants: usize,
    /// From the least number on, a row of variants each.
    effects: Vec<FatigueEffect>,
}

/// What a number of messages makes of a variant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FatigueEffect {
    /// The chance of the goal is multiplied by this.
    pub(super) chance: f32,
    /// What the harm takes from the value.
    pub(super) harm: f32,
    /// The chance of a reply.
    pub(super) reply: f32,
}

/// What other messages make of a variant in a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SlotFatigue {
    /// For what it is worth.
    pub(super) valued: FatigueEffect,
    /// For what is to be expected of it.
    pub(super) expected: FatigueEffect,
}

impl PersonFatigue {
    /// `None` where other messages change nothing.
    pub(super) fn of(
        (campaign, variant_list): (&Campaign, &[u16]),
        preference: &Preference,
        opt_out_cost: f64,
        messages: Vec<CountedMessage>,
        value_classes: &[ValueClass],
    ) -> Option<Box<Self>> {
        if preference.fatigue().is_none() {
            return None;
        }
        let middle = |sent: CountedMessage| (sent.from + (sent.to - sent.from) / 2).timestamp();
        let mut sent: Vec<i64> = messages.into_iter().map(middle).collect();
        sent.sort_unstable();
        let mut fatigue =
            Self { sent, least: 0, variants: variant_list.len(), effects: Vec::new() };
        let before = value_classes.iter().map(|value_class| fatigue.before(value_class));
        let around = value_classes.iter().map(|value_class| fatigue.around(value_class));
        let (least, most) = (before.min()?, around.max()?);
        fatigue.least = least;
        let contents = || variant_list.iter().map(|v| &campaign.variants[usize::from(*v)].content);
        for count in least..=most {
            let then = preference.clone().after(count);
            for content in contents() {
                let usual = preference.answer_chance(content, campaign.goal);
                let answered = then.answer_chance(content, campaign.goal);
                fatigue.effects.push(FatigueEffect {
                    chance: if usual > 0.0 { answered / usual } else { 1.0 },
                    harm: (opt_out_cost * f64::from(then.opt_out(content))) as f32,
                    reply: match campaign.capacity.chats {
                        Some(_) => then.reply_chance(content),
                        None => 0.0,
                    },
                });
            }
        }
        Some(Box::new(fatigue))
    }

    /// Messages in the span before the slots of a class.
    fn before(&self, value_class: &ValueClass) -> usize {
        let at = value_class.at.timestamp();
        self.within(at - Fatigue::SPAN.num_seconds(), at)
    }

    /// Likewise those before and after it.
    fn around(&self, value_class: &ValueClass) -> usize {
        let (at, span) = (value_class.at.timestamp(), Fatigue::SPAN.num_seconds());
        self.within(at - span, at + span)
    }

    fn within(&self, from: i64, to: i64) -> usize {
        let until = |at: i64| self.sent.partition_point(|sent| *sent <= at);
        until(to) - until(from)
    }

    /// What a variant comes to in the slots of a class.
    pub(super) fn effect(&self, variant: usize, value_class: &ValueClass) -> SlotFatigue {
        let levels = self.effects.len() / self.variants;
        let after = |count: usize| {
            let level = count.saturating_sub(self.least).min(levels - 1);
            self.effects[level * self.variants + variant]
        };
        SlotFatigue {
            valued: after(self.around(value_class)),
            expected: after(self.before(value_class)),
        }
    }

    /// The largest chance of a reply to a variant.
    pub(super) fn most_replies(&self, variant: usize) -> f32 {
        let of = self.effects.iter().skip(variant).step_by(self.variants);
        of.map(|effect| effect.reply).fold(0.0, f32::max)
    }
}
