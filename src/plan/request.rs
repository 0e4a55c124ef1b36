//! What a plan is a function of: the setting, the provider, the campaigns and their people.

use chrono_tz::Tz;
use std::collections::BTreeMap;

use crate::calendar::rules::Rules;
use crate::model::campaign::{Campaign, QuietHours};
use crate::model::delivery::{Arm, Reason};
use crate::model::frequency::{Cap, RecentSend};
use crate::model::holdout::CountedConversions;
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::preference::{Preference, ReplyDelays};
use crate::model::recipient::{Country, Locale};
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;
use crate::model::wish::Wishes;

/// What holds for every campaign of the workspace.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The present; slots that have begun are gone.
    pub now: Instant,
    /// Decides draws and ties.
    pub seed: u64,
    /// Length of a slot.
    pub length: SlotLength,
    /// How many engagements one opt-out undoes.
    pub opt_out_cost: f64,
    /// Which conversions a value counts.
    pub conversions: CountedConversions,
    /// The workspace's zone, in which agents work.
    pub zone: Tz,
    /// The workspace's quiet hours.
    pub quiet: Option<QuietHours>,
    /// Country laws.
    pub rules: &'a Rules,
    /// The workspace's frequency caps; campaigns may add their own.
    pub caps: &'a [Cap],
    /// How many threads to split work for; it changes the time that a plan takes and nothing else.
    pub threads: usize,
}

/// What the provider of the campaigns carries, and what others have booked of it.
#[derive(Debug, Clone, Copy)]
pub struct Carrier<'a> {
    /// The channel, as country laws know it.
    pub channel: &'a str,
    /// Messages per second, if bounded.
    pub per_second: Option<f64>,
    /// People in any moving 24 hours, if bounded.
    pub unique_per_day: Option<u32>,
    /// Messages of campaigns that are not planned here, by slot, from 24 hours before now on.
    pub booked: &'a [(Slot, u32)],
}

/// A campaign to plan.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What its file says.
    pub campaign: &'a Campaign,
    /// Whom to decide about, each once; without those who are claimed, sent or otherwise past.
    pub people: &'a [AudienceMember<'a>],
    /// The habits of a person, by index in `people`; asked once or twice for each.
    pub preference: &'a (dyn Fn(usize) -> Preference + Sync),
    /// What this campaign has sent or claimed already, from 24 hours before now on.
    pub booked: &'a [Booking],
    /// When messages are answered, by the local hour of sending.
    pub reply_delays: &'a ReplyDelays,
    /// Until when slots differ by how many messages people got shortly before; `None` where habits
    /// do not hang on that.
    pub fatigue_until: Option<Instant>,
}

impl Request<'_> {
    /// The caps that bind the campaign's messages: the workspace's and its own.
    pub(super) fn caps<'a>(&'a self, setting: &Setting<'a>) -> impl Iterator<Item = &'a Cap> {
        setting.caps.iter().chain(&self.campaign.frequency)
    }

    /// Whether other campaigns' messages to the same people matter to it.
    pub(super) fn counts_others(&self, setting: &Setting<'_>) -> bool {
        self.fatigue_until.is_some() || self.caps(setting).next().is_some()
    }
}

/// What one slot has carried for one arm of a campaign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Booking {
    /// The slot.
    pub slot: Slot,
    /// The arm.
    pub arm: Arm,
    /// Messages.
    pub messages: u32,
    /// Replies expected of them.
    pub replies: f64,
    /// What they cost, in the budget's currency.
    pub spend: f64,
    /// Whether the provider of the campaigns carries them: else they take of the campaign's own limits alone.
    pub is_carried: bool,
}

impl Booking {
    /// A slot that has carried nothing.
    pub fn none(slot: Slot, arm: Arm) -> Self {
        Self { slot, arm, messages: 0, replies: 0.0, spend: 0.0, is_carried: true }
    }
}

/// One person to decide about.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule's answer of its own")]
pub struct AudienceMember<'a> {
    /// Our number.
    pub id: RecipientId,
    /// The caller's id, from which the arm is drawn.
    pub key: &'a RecipientKey,
    /// The zone on whose clock the person lives.
    pub zone: Tz,
    /// The country whose law applies.
    pub country: Option<&'a Country>,
    /// The part of the country, where its law asks.
    pub region: Option<&'a str>,
    /// Country and part of it that the telephone number belongs to; its law binds too.
    pub number: Option<(&'a Country, Option<&'a str>)>,
    /// The language to write in.
    pub locale: Option<&'a Locale>,
    /// What the person states of messages.
    pub wishes: &'a Wishes,
    /// What fills the parameters.
    pub attributes: &'a BTreeMap<String, String>,
    /// Whether the ledger has consent.
    pub consented: bool,
    /// Whether there is an address.
    pub has_address: bool,
    /// Whether the address is none of the provider's channel.
    pub bad_address: bool,
    /// Whether the channel does not reach the person, by its own word.
    pub suppressed: bool,
    /// Whether the standing holdout keeps the person from this campaign.
    pub held_out: bool,
    /// Whether another person with the same address gets the message.
    pub shares_address: bool,
    /// Whether the provider does not carry this campaign to this person.
    pub forbidden: bool,
    /// Whether the person has written lately or permitted such messages, where the channel asks for that.
    pub permitted: bool,
    /// The provider takes nothing for this person before.
    pub not_before: Option<Instant>,
    /// The person asked for no message of this campaign's category before.
    pub paused_until: Option<Instant>,
    /// Price of a message to this person, in the budget's currency.
    pub price: f64,
    /// What other channels are expected to cost that take over where it does not arrive.
    pub fallback_cost: f64,
    /// Messages sent or planned to this person by other campaigns, or before.
    pub taken: &'a [RecentSend],
    /// From when until when it may go: of an occurrence, or while a right of the person's lasts.
    pub span: Option<(Instant, Instant)>,
    /// Why this is not the first plan for the person, and from when on it may be planned again.
    pub replan: Option<Replan>,
}

impl AudienceMember<'_> {
    /// What a message to the person is expected to take of the budget.
    pub fn spend(&self) -> f64 {
        self.price + self.fallback_cost
    }
}

/// A person whose earlier slot came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replan {
    /// [`Reason::MovedLate`], [`Reason::MovedThrottled`] or [`Reason::AskedToWait`].
    pub reason: Reason,
    /// Not before this.
    pub from: Instant,
}
