//! Explanations: for one person, why this slot, variant and arm, what was second, and which rule
//! moved or refused.

use std::fmt;

use chrono::NaiveDateTime;

use super::arms::arm_of;
use super::eligibility::{Candidates, EarlierMessages, Eligibility, ValueClass, quiet_of};
use super::objective::{Objective, counts_added};
use super::outcome::SlotLoad;
use super::request::{Carrier, Request, Setting};
use crate::calendar::quiet::Quiet;
use crate::calendar::window::allowed_slots;
use crate::calendar::zone::{local, week_hours};
use crate::model::delivery::{Arm, Delivery, Reason, State};
use crate::model::ids::Name;
use crate::model::preference::AddedByMessage;
use crate::model::slot::Slot;
use crate::model::time::Instant;

/// One person's part of a plan, in numbers; its `Display` says it in sentences.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The person's arm, also where a rule refused first.
    pub arm: Arm,
    /// Where the delivery stands.
    pub state: State,
    /// Why the delivery is as it is.
    pub reason: Reason,
    /// The slot, instant on the person's clock, variant, value and chance; `None` when refused.
    pub chosen: Option<ChosenSlot>,
    /// Slots that window and quiet hours leave on the person's slot class.
    pub slots_allowed: usize,
    /// Of those, banned by frequency caps, the provider's word or an earlier attempt.
    pub slots_capped: usize,
    /// The best slots with their values and prices, best value first, the chosen one or not.
    pub best: Vec<Alternative>,
    /// A better slot that quiet hours or a law forbid.
    pub forbidden: Option<Forbidden>,
    /// The variants that fit, with the value of each at its best slot, best first.
    pub variants: Vec<(Name, f64)>,
    /// The effective number of observations that is known of the person's habits.
    pub observations: f64,
    /// Whether conversions count by what a message adds over none, and what that is, if it is known.
    pub added: Option<Option<AddedByMessage>>,
    /// Until when the person asked for no message, if that is still to come.
    pub paused_until: Option<NaiveDateTime>,
    /// What the person states of messages, in words; empty where nothing is.
    pub wishes: String,
    /// The channel's code of a failure, with its words.
    pub failure: Option<(String, Option<String>)>,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenSlot {
    /// The slot.
    pub slot: Slot,
    /// When, in UTC.
    pub send_at: Instant,
    /// When, on the person's clock.
    pub local: NaiveDateTime,
    /// The variant.
    pub variant: Name,
    /// Its value.
    pub value: f64,
    /// Its chance.
    pub chance: f64,
    /// The best other allowed slot, its local start and its value.
    pub runner_up: Option<(Slot, NaiveDateTime, f64)>,
}

/// One slot that the person could have had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alternative {
    /// The slot.
    pub slot: Slot,
    /// Its start on the person's clock.
    pub local: NaiveDateTime,
    /// The value of its best variant.
    pub value: f64,
    /// What a message in it costs others.
    pub price: f64,
}

/// A slot that would have been better, and who forbids it.
#[derive(Debug, Clone, PartialEq)]
pub struct Forbidden {
    /// The slot.
    pub slot: Slot,
    /// Its start on the person's clock.
    pub local: NaiveDateTime,
    /// The value of its best variant.
    pub value: f64,
    /// The rule.
    pub by: String,
}

/// How many of the best slots are told of.
const ALTERNATIVES: usize = 5;

/// Explains what was decided about one person of a request, by index, beside the prices of slots.
pub fn explain(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    request: &Request<'_>,
    person: usize,
    (delivery, slots): (&Delivery, &[SlotLoad]),
) -> Explanation {
    let who = &request.people[person];
    let ask = |_: usize| (request.preference)(person);
    let people = &request.people[person..=person];
    let one = Request { people, preference: &ask, ..*request };
    let candidates = Candidates::find(setting, carrier, &one, &EarlierMessages::new());
    let clock = |slot: Slot| local(slot.start(setting.length), who.zone);
    let preference = (request.preference)(person);
    let chosen = delivery.choice.as_ref().map(|choice| ChosenSlot {
        slot: choice.slot,
        send_at: choice.send_at,
        local: local(choice.send_at, who.zone),
        variant: choice.variant.clone(),
        value: choice.value,
        chance: choice.chance,
        runner_up: choice.runner_up.map(|(slot, value)| (slot, clock(slot), value)),
    });
    let mut explanation = Explanation {
        arm: delivery.arm.unwrap_or_else(|| arm_of(request.campaign, who.key)),
        state: delivery.state,
        reason: delivery.reason,
        chosen,
        slots_allowed: candidates.slots.len(),
        slots_capped: 0,
        best: Vec::new(),
        forbidden: None,
        variants: Vec::new(),
        observations: preference.evidence(),
        added: counts_added(setting, request).then(|| preference.added()),
        paused_until: who.paused_until.map(|until| local(until, who.zone)),
        wishes: who.wishes.to_string(),
        failure: None,
    };
    if candidates.variant_lists.is_empty() {
        return explanation;
    }
    // of somebody who is refused the slot class and the variants are known all the same
    let eligibility = candidates.eligibilities[0].unwrap_or(Eligibility {
        slot_class: 0,
        variant_list: 0,
        bans: (0, 0),
    });
    let barred = candidates.eligibilities[0].is_err();
    let slot_class = &candidates.slot_classes[eligibility.slot_class as usize];
    let objective = Objective::of(setting, &one, &candidates, 0, &eligibility);
    let price = |slot: Slot| {
        let found = slots.binary_search_by_key(&slot, |load| load.slot);
        found.map_or(0.0, |at| slots[at].price)
    };
    let variants = objective.best(0);
    for (at, value_class) in slot_class.slots.iter().zip(&slot_class.value_class_of) {
        if barred || !candidates.may_take(&eligibility, *at) {
            explanation.slots_capped += 1;
            continue;
        }
        let slot = candidates.slots[*at as usize];
        let value_class = &slot_class.value_classes[*value_class as usize];
        let value = f64::from(variants.in_class(value_class).1);
        let alternative = Alternative { slot, local: clock(slot), value, price: price(slot) };
        explanation.best.push(alternative);
    }
    explanation.best.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.slot.cmp(&b.slot)));
    let least = explanation.best.first().map_or(f64::NEG_INFINITY, |best| best.value);
    explanation.forbidden = forbidden(setting, carrier, &one, &objective, least);
    explanation.best.truncate(ALTERNATIVES);
    let variant_list = &candidates.variant_lists[eligibility.variant_list as usize];
    explanation.variants = (variant_list.iter().enumerate())
        .map(|(at, variant)| {
            let values = slot_class
                .value_classes
                .iter()
                .map(|value_class| f64::from(objective.value(at, value_class)));
            let name = request.campaign.variants[usize::from(*variant)].name.clone();
            (name, values.fold(f64::NEG_INFINITY, f64::max))
        })
        .filter(|(_, value)| value.is_finite())
        .collect();
    explanation.variants.sort_by(|a, b| b.1.total_cmp(&a.1));
    explanation
}

/// The best slot of the window that quiet hours or a law forbid, if it is worth more than `least`.
fn forbidden(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    request: &Request<'_>,
    objective: &Objective,
    least: f64,
) -> Option<Forbidden> {
    let (person, campaign, length) = (&request.people[0], request.campaign, setting.length);
    let quiet = quiet_of(setting, carrier, campaign, person);
    let variants = objective.best(0);
    let mut best: Option<(Slot, f64)> = None;
    for slot in allowed_slots(&campaign.window, &Quiet::default(), person.zone, length, setting.now)
    {
        let hours = week_hours(slot, length, person.zone).collect();
        let value_class = ValueClass { hours, slots: Vec::new(), at: slot.middle(length) };
        let value = f64::from(variants.in_class(&value_class).1);
        let (from, to) = (slot.start(length), slot.end(length));
        if value > best.map_or(least, |best| best.1)
            && quiet.forbids_span(from, to, person.zone).is_some()
        {
            best = Some((slot, value));
        }
    }
    let (slot, value) = best?;
    let (from, to) = (slot.start(length), slot.end(length));
    let by = quiet.forbids_span(from, to, person.zone)?.to_string();
    Some(Forbidden { slot, local: local(from, person.zone), value, by })
}

/// What to hold of a choice for somebody of whom nothing, or little, is known.
fn known(observations: f64) -> Option<String> {
    /// With fewer observations a person's habits are mostly those of others.
    const FEW: f64 = 5.0;
    match observations {
        nothing if nothing < 0.5 => Some(
            "Nothing is known of this person's habits: hour and variant are those of people like them"
                .to_owned(),
        ),
        few if few < FEW => Some(format!(
            "Little is known of this person's habits ({few:.1} observations): hour and variant are \
             mostly those of people like them"
        )),
        _ => None,
    }
}

/// What a conversion counts for a person.
fn added_sentence(added: Option<&AddedByMessage>) -> String {
    let Some(added) = added else {
        return "What a message adds over none is not surely known yet: every conversion counts"
            .to_owned();
    };
    let [low, high] = added.interval();
    format!(
        "Conversions count by what a message adds over none: {:+.2} points to the chance of a \
         purchase in a week ({:+.2} to {:+.2}), which is {:.2} % without any",
        100.0 * added.mean,
        100.0 * low,
        100.0 * high,
        100.0 * added.without
    )
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: &NaiveDateTime| at.format("%a %Y-%m-%d %H:%M").to_string();
        match &self.chosen {
            None => {
                let (state, reason) = (capital(self.state), self.reason);
                writeln!(f, "{state} ({reason}, {} arm): {}", self.arm, reason_sentence(reason))?;
            }
            Some(chosen) => {
                writeln!(
                    f,
                    "{} for {} on the person's clock ({} UTC), variant {}, {} arm",
                    capital(self.state),
                    time(&chosen.local),
                    chosen.send_at.format("%Y-%m-%d %H:%M:%S"),
                    chosen.variant,
                    self.arm,
                )?;
                writeln!(f, "Why ({}): {}", self.reason, reason_sentence(self.reason))?;
                writeln!(f, "Value {:.4}, chance {:.2} %", chosen.value, 100.0 * chosen.chance)?;
                if let Some((_, local, value)) = &chosen.runner_up {
                    let less = chosen.value - value;
                    let (by, word) = (less.abs(), if less < 0.0 { "more" } else { "less" });
                    writeln!(f, "Next: {}, value {value:.4}, {by:.4} {word}", time(local))?;
                }
            }
        }
        if let Some(sentence) = known(self.observations) {
            writeln!(f, "{sentence}")?;
        }
        if let Some(added) = &self.added {
            writeln!(f, "{}", added_sentence(added.as_ref()))?;
        }
        if let Some((code, text)) = &self.failure {
            let text = text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            writeln!(f, "The channel's code: {code}{text}")?;
        }
        if !self.wishes.is_empty() {
            writeln!(f, "The person asks: {}", self.wishes)?;
        }
        if let Some(until) = &self.paused_until {
            writeln!(
                f,
                "The person answered to wait: nothing before {} on their clock",
                time(until)
            )?;
        }
        let (allowed, capped) = (self.slots_allowed, self.slots_capped);
        writeln!(
            f,
            "Slots that window and quiet hours leave: {allowed}; of those barred by frequency caps, \
             the person, the provider or an earlier attempt: {capped}"
        )?;
        if let Some(better) = &self.forbidden {
            let (at, value) = (time(&better.local), better.value);
            writeln!(f, "Better, but forbidden: {at}, value {value:.4}, by {}", better.by)?;
        }
        for best in &self.best {
            let price = if best.price > 0.0 {
                format!(", full at {:.4}", best.price)
            } else {
                String::new()
            };
            writeln!(f, "  {}  value {:.4}{price}", time(&best.local), best.value)?;
        }
        for (name, value) in &self.variants {
            writeln!(f, "  variant {name}  value {value:.4} at its best")?;
        }
        Ok(())
    }
}

/// A state at the beginning of a sentence.
fn capital(state: State) -> String {
    let word = state.as_str().replace('_', " ");
    word[..1].to_uppercase() + &word[1..]
}

/// A reason in a sentence.
pub fn reason_sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::BestSlot => "the best of all allowed slots had room",
        Reason::MovedByCapacity => {
            "a better slot is full of people who would lose more by leaving it"
        }
        Reason::Sampled => "the best by one draw of what may be true of the person, to learn from",
        Reason::Explored => "drawn by lot from all that is allowed, to learn from",
        Reason::ControlTime => "the campaign's fixed time, to compare with",
        Reason::ControlMoved => {
            "the campaign's fixed time is full or not allowed; this is the nearest later slot with room"
        }
        Reason::MovedLate => "the first slot passed unused; this is the best that is left",
        Reason::MovedThrottled => "the provider asked to wait; this is the best that is left",
        Reason::NoConsent => "the ledger has no consent",
        Reason::AskedToWait => {
            "the person asked for no message yet, or a machine answered for them"
        }
        Reason::Suppressed => "the channel does not reach this person, by its own word",
        Reason::SameAddress => "another person with the same address gets the message",
        Reason::NoAddress => "there is no address",
        Reason::BadAddress => "the address is none of this channel's",
        Reason::NoAllowedSlot => "window and quiet hours leave no slot",
        Reason::WindowOver => "the last allowed slot has begun",
        Reason::NoCapacity => "every allowed slot is full of people who gain more",
        Reason::NoBudget => "the budget goes to people who gain more for it",
        Reason::NoValue => "no slot is worth the harm that is to be expected",
        Reason::FrequencyCap => "other messages leave no slot free under the frequency caps",
        Reason::MissingParameter => "every variant that fits lacks a value for a parameter",
        Reason::NoTranslation => "no variant is in a language that the person reads",
        Reason::NoPermit => "the person permitted the channel no such message, or no longer",
        Reason::ProviderForbids => "the provider does not carry this to this person",
        Reason::Occurred => "what the campaign waits for is in reach; it is decided next",
        Reason::CalledOff => "what the message was to be about was called off",
        Reason::EventMoved => "what the message was to be about moved to another day",
        Reason::Unwanted => "the person wants no messages then, or none of this kind",
        Reason::AgainTooSoon => "another message of the campaign to this person lies too near",
        Reason::Arrived => "the message before it, on another channel, arrived",
        Reason::TakenOver => "another channel has taken the message over",
        Reason::Holdout => "kept without a message, to measure what messaging brings",
        Reason::ConsentWithdrawn => "consent ended after planning",
        Reason::RecipientRefused => "the provider never delivers to this person",
        Reason::TemplateRefused => "the provider does not accept the template",
        Reason::Confirmed => "the answer was lost; the provider says now that it went out",
        Reason::HeldByProvider => "the provider keeps it back for now",
        Reason::AnswerLost => "the answer of the provider was lost",
        Reason::NodeLost => "the daemon stopped between the call and its settlement",
        Reason::NeverConfirmed => "the provider did not confirm it within the grace time",
        Reason::ProviderFailure => "the provider answered with an error that will not go away",
        Reason::AttemptsExhausted => "every attempt failed",
        Reason::Undeliverable => "the channel took it and failed to deliver it",
        Reason::TooLate => "it was too late and no other slot was left",
        Reason::CancelledByOperator => "an operator cancelled the campaign",
    }
}
