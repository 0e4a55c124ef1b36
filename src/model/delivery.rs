//! A delivery: what is decided and done about one person in one campaign.
//!
//! ```text
//!                       ┌────────── later: throttled, late ─────────┐
//!                       ▼                                           │
//!  (plan) ─────────► planned ───── claim ─────► claimed ────────────┤
//!     │                 │                          │                │
//!     │                 ├─ consent ended ─► refused ◄─ told so ─────┤
//!     └──► refused      ├─ too late ──────► expired                 ├─► sent
//!                       └─ operator ──────► cancelled               ├─► failed
//!                                                                   ├─► held ─────► sent, failed
//!                                                                   └─► in_doubt ─► sent, failed,
//!                                                                         in_doubt_expired
//! ```
//!
//! What was sent, and given up by the channel for a reason that passes, is planned again; given up
//! for good it has failed, unless it is delivered after all. A claim is not written to its
//! deliveries: whoever is planned and in a claim is claimed.
//!
//! *Invariant:* every person of an audience has exactly one delivery, in exactly one state, with a
//! reason; [`State::may_become`] is the whole list of legal moves.

use super::action::DrawnAction;
use super::content::word_type;
use super::ids::{MessageKey, Name, RecipientId};
use super::slot::Slot;
use super::time::Instant;

word_type! {
    /// Where a delivery stands.
    State, "state",
    "one of planned, claimed, held, in_doubt, sent, refused, failed, expired, in_doubt_expired, cancelled" {
        /// Has a slot and waits for it.
        Planned = "planned",
        /// A daemon holds a lease on it and may be calling the provider.
        Claimed = "claimed",
        /// The provider took it but keeps it back.
        Held = "held",
        /// The provider may or may not have taken it.
        InDoubt = "in_doubt",
        /// The provider took it.
        Sent = "sent",
        /// It will not be sent, by a rule or by the provider's word.
        Refused = "refused",
        /// It was tried and did not work.
        Failed = "failed",
        /// Its time passed.
        Expired = "expired",
        /// It stayed in doubt past the grace time and was given up.
        InDoubtExpired = "in_doubt_expired",
        /// An operator cancelled the campaign first.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Whether nothing more will happen.
    pub fn is_end(self) -> bool {
        use State::{Cancelled, Expired, Failed, InDoubtExpired, Refused, Sent};
        matches!(self, Sent | Refused | Failed | Expired | InDoubtExpired | Cancelled)
    }

    /// The legal moves.
    pub fn may_become(self, next: State) -> bool {
        use State::{
            Cancelled, Claimed, Expired, Failed, Held, InDoubt, InDoubtExpired, Planned, Refused,
            Sent,
        };
        match self {
            Planned => matches!(next, Planned | Claimed | Refused | Expired | Cancelled),
            Claimed => matches!(
                next,
                Planned | Sent | Held | InDoubt | Refused | Failed | Expired | Cancelled
            ),
            Held => matches!(next, Sent | Failed | Refused | Planned | InDoubtExpired),
            InDoubt => matches!(next, Sent | Held | Failed | Refused | InDoubtExpired | Planned),
            // a rule that refused may be lifted before the window ends: consent given, room made
            Refused => matches!(next, Refused | Planned | Cancelled),
            // the channel may give up on what it took: then it was not delivered, and may go again
            Sent => matches!(next, Planned | Failed | Refused),
            // what it gave up may come after all
            Failed => matches!(next, Sent),
            Expired | InDoubtExpired | Cancelled => false,
        }
    }
}

word_type! {
    /// Why a delivery is in its state.
    Reason, "reason", "a reason of this version" {
        // planned, claimed, and sent as planned
        /// The slot of highest value among the allowed.
        BestSlot = "best_slot",
        /// The best slot was full; this one loses least.
        MovedByCapacity = "moved_by_capacity",
        /// Drawn uniformly from what is allowed.
        Explored = "explored",
        /// The best by one draw of what may be true of the person.
        Sampled = "sampled",
        /// The campaign's fixed time.
        ControlTime = "control_time",
        /// The control time was full or not allowed; this is the nearest later slot with room.
        ControlMoved = "control_moved",
        /// Its slot passed unused; this is the next best.
        MovedLate = "moved_late",
        /// The provider asked to wait; this is the next best.
        MovedThrottled = "moved_throttled",
        /// What the campaign waits for came into reach; the decision is next.
        Occurred = "occurred",
        // either, by the person's own word
        /// The person asked for no message yet, or a machine answered: refused where the window ends
        /// before, else moved behind it.
        AskedToWait = "asked_to_wait",
        // refused by a rule
        /// The ledger has no consent.
        NoConsent = "no_consent",
        /// Consent ended after planning.
        ConsentWithdrawn = "consent_withdrawn",
        /// There is nowhere to write to.
        NoAddress = "no_address",
        /// The address is none of the channel's, and nobody is called at it.
        BadAddress = "bad_address",
        /// Quiet hours and window leave no slot.
        NoAllowedSlot = "no_allowed_slot",
        /// The window is over.
        WindowOver = "window_over",
        /// Every allowed slot is full.
        NoCapacity = "no_capacity",
        /// The budget is spent on those who gain more.
        NoBudget = "no_budget",
        /// No slot is worth more than the harm expected.
        NoValue = "no_value",
        /// The person was written to too often or too recently.
        FrequencyCap = "frequency_cap",
        /// A variant's parameter has no value and no default.
        MissingParameter = "missing_parameter",
        /// No variant fits the person's language.
        NoTranslation = "no_translation",
        /// The channel does not reach this person, by its own word.
        Suppressed = "suppressed",
        /// Another person with the same address gets the message.
        SameAddress = "same_address",
        /// The provider does not carry this to this person.
        ProviderForbids = "provider_forbids",
        /// The person permitted the channel no such message, or the permit is used up or over.
        NoPermit = "no_permit",
        /// Kept without a message, to measure what messaging brings.
        Holdout = "holdout",
        /// What the message was to be about does not happen.
        CalledOff = "called_off",
        /// What the message was to be about moved to another day, and its message with it.
        EventMoved = "event_moved",
        /// The person wants no messages at these times, or none with these media.
        Unwanted = "unwanted",
        /// Another occurrence for this person lies too near.
        AgainTooSoon = "again_too_soon",
        /// The message before it, on another channel, arrived.
        Arrived = "arrived",
        /// Another channel has taken it over.
        TakenOver = "taken_over",
        // refused by the provider
        /// The provider will never deliver to this person.
        RecipientRefused = "recipient_refused",
        /// The provider does not accept this template.
        TemplateRefused = "template_refused",
        // the rest
        /// It was in doubt or held, and the provider says now that it went out.
        Confirmed = "confirmed",
        /// The provider keeps it back for now.
        HeldByProvider = "held_by_provider",
        /// The answer of the provider was lost.
        AnswerLost = "answer_lost",
        /// The daemon stopped between the call and its settlement.
        NodeLost = "node_lost",
        /// The provider did not confirm within the grace time.
        NeverConfirmed = "never_confirmed",
        /// The provider answered with an error that will not go away.
        ProviderFailure = "provider_failure",
        /// Every attempt failed.
        AttemptsExhausted = "attempts_exhausted",
        /// The channel took it and failed to deliver it.
        Undeliverable = "undeliverable",
        /// It was too late and no other slot was left.
        TooLate = "too_late",
        /// An operator cancelled the campaign.
        CancelledByOperator = "cancelled_by_operator",
    }
}

word_type! {
    /// The part of an experiment that a person belongs to.
    Arm, "arm", "one of personalized, thompson, explore, control, holdout" {
        /// Gets the slot and variant of highest value.
        Personalized = "personalized",
        /// Gets what is best by one draw of what may be true.
        Thompson = "thompson",
        /// Gets a uniform draw from what is allowed.
        Explore = "explore",
        /// Gets the fixed time.
        Control = "control",
        /// Gets nothing.
        Holdout = "holdout",
    }
}

/// The choice made for one person: when, with what, and how good it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The variant's name.
    pub variant: Name,
    /// Index of the variant (with its language) in the campaign's file.
    pub variant_index: u16,
    /// The slot.
    pub slot: Slot,
    /// The instant within the slot.
    pub send_at: Instant,
    /// Posterior-mean objective: chance minus expected harm.
    pub value: f64,
    /// The chance that the goal is reached in time.
    pub chance: f64,
    /// What it is expected to cost, in the currency of the provider's tariff.
    pub price: f64,
    /// The best other allowed slot and its value.
    pub runner_up: Option<(Slot, f64)>,
    /// The probability of this arm, slot and variant under the plan's own randomization.
    pub propensity: Option<f64>,
    /// What was drawn at random, where it was, and among what.
    pub drawn: Option<DrawnAction>,
}

/// What was expected of a person before an arm was drawn: it is the same whatever the arm, so that
/// experiments may be adjusted by it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// The chance of the goal at the control time, with the first variant that fits.
    pub at_control_time: f64,
    /// The highest chance over all allowed slots and variants.
    pub at_best: f64,
}

/// One person's delivery in a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The person.
    pub recipient: RecipientId,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The experiment's arm.
    pub arm: Option<Arm>,
    /// The choice; absent when the person was refused while planning.
    pub choice: Option<Choice>,
    /// Where the campaign has arms to compare.
    pub expectation: Option<Expectation>,
}

/// The id of the message that a campaign sends to a person: a natural key, so that no second one
/// can come into being. It travels as callback data.
pub fn message_key(campaign: &Name, recipient: RecipientId) -> MessageKey {
    format!("{campaign}:{recipient}").parse().expect("a name, a colon and digits are a valid key")
}

/// Whose message a key of ours names: the campaign, and the person's number in it.
pub fn parse_message_key(key: &MessageKey) -> Option<(Name, RecipientId)> {
    let (name, person) = key.as_str().split_once(':')?;
    let digits = person.bytes().all(|byte| byte.is_ascii_digit());
    let person = RecipientId(person.parse().ok().filter(|_| digits)?);
    Some((name.parse().ok()?, person))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_state_is_never_left_but_for_a_new_plan() {
        let ends = State::ALL.iter().filter(|s| s.is_end());
        let final_ones =
            ends.filter(|s| !matches!(s, State::Refused | State::Sent | State::Failed));
        for from in final_ones {
            assert!(State::ALL.iter().all(|to| !from.may_become(*to)), "{from}");
        }
    }

    #[test]
    fn every_state_reaches_an_end() {
        for from in State::ALL.iter().filter(|s| !s.is_end()) {
            let one = State::ALL.iter().filter(|s| from.may_become(**s));
            assert!(one.clone().any(|s| s.is_end()), "{from} is a dead end");
        }
    }
}
