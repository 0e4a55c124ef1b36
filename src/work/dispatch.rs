//! Messages go out: claim, call, settle.
//!
//! A batch is claimed with a lease that has an end, each message is checked once more and handed to
//! its provider with no transaction open, and the batch is settled by whoever shows the claim.
//! What follows when the daemon dies:
//!
//! | it died                          | then                                                    |
//! |----------------------------------|---------------------------------------------------------|
//! | before the claim is committed    | nothing happened; the next claim takes the message      |
//! | between claim and call           | the lease ends, the message is in doubt                 |
//! | between call and settlement      | the same: nobody can tell the two apart                 |
//! | after the settlement             | nothing; the message is settled                         |
//!
//! A message in doubt is never sent again. It is settled by the provider's word when that comes
//! (see [`receive`](super::receive)), and given up after the provider's grace time
//! (see [`tend`](super::tend)).

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;

use super::{Ctx, Report};
use crate::calendar::infer::infer;
use crate::calendar::law::Case;
use crate::calendar::quiet::Quiet;
use crate::calendar::window;
use crate::config::ProviderConfig;
use crate::model::campaign::Campaign;
use crate::model::delivery::{Choice, Reason, State, message_key};
use crate::model::ids::RecipientId;
use crate::model::message::{Message, Response};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::provider::{Outcome, Parcel, Provider, Scope};
use crate::store::{
    CampaignRow, CampaignStatus, Claim, DeliveryRow, MessageRow, Settled, StoreError,
};

/// Messages of one claim: enough that a transaction costs little, few enough for one lease.
const BATCH_MAX: usize = 500;
/// Calls in flight at once.
const CALLS_MAX: usize = 64;
/// Longer than a batch takes with every call at its longest timeout (60 s): 500 / 64 rounds of it.
const LEASE: TimeDelta = TimeDelta::minutes(10);
/// Between the last look at the clock and the provider's; quiet hours begin that much earlier.
const CALL_MARGIN: TimeDelta = TimeDelta::seconds(2);
/// Tries of one message that a provider puts off for this person.
const ATTEMPTS_MAX: u32 = 5;

/// Sends what is due, one batch a campaign. When `stop` turns true, nothing more is called: calls
/// in flight finish, and what was claimed but not called is given back.
pub async fn run(ctx: &Ctx, stop: &watch::Receiver<bool>) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for row in ctx.store.campaigns().await? {
        if row.status != CampaignStatus::Active || row.planned_at.is_none() || *stop.borrow() {
            continue;
        }
        let name = &row.campaign.provider;
        let (Some(provider), Some(config)) =
            (ctx.providers.get(name), ctx.config.providers.get(name))
        else {
            tracing::error!(campaign = %row.campaign.name, provider = %name,
                "the settings have no such provider; nothing of the campaign is sent");
            continue;
        };
        let batch = Batch { ctx, row: &row, provider: provider.as_ref(), config, stop };
        report = report.and(batch.run().await?);
    }
    Ok(report)
}

/// One claim on one campaign's due messages.
struct Batch<'a> {
    ctx: &'a Ctx,
    row: &'a CampaignRow,
    provider: &'a dyn Provider,
    config: &'a ProviderConfig,
    stop: &'a watch::Receiver<bool>,
}

/// What became of one message, and what is to be kept of it.
struct Done {
    recipient: RecipientId,
    settled: Settled,
    sent: Option<MessageRow>,
    pause: Option<(String, Instant)>,
}

impl Batch<'_> {
    async fn run(&self) -> Result<Report, StoreError> {
        let (ctx, campaign) = (self.ctx, &self.row.campaign);
        let now = ctx.clock.now();
        let paused = ctx.store.paused(&campaign.provider, now).await?;
        if paused.contains("") {
            return Ok(Report::default());
        }
        // a provider with a rate gets a second's worth a second; see `Report::not_before`
        let rate = self.config.limits.per_second;
        let limit = rate.map_or(BATCH_MAX, |rate| BATCH_MAX.min(rate as usize));
        let claim = Claim {
            lease: format!(
                "{}/{}/{:016x}",
                ctx.node,
                now.timestamp_micros(),
                rand::random::<u64>()
            ),
            until: now + LEASE,
        };
        let mut tx = ctx.store.begin().await?;
        let claimed = tx.claim(self.row.id, &claim, now, limit, ctx.config.slot_length).await?;
        let ids: Vec<RecipientId> = claimed.iter().map(|row| row.delivery.recipient).collect();
        let people = tx.recipients(&ids).await?;
        tx.commit().await?;
        if claimed.is_empty() {
            return Ok(Report::default());
        }
        let call = |row| self.call(row, &people, &paused);
        let calls: Vec<_> = claimed.iter().map(call).collect();
        let done: Vec<Done> = stream::iter(calls).buffered(CALLS_MAX).collect().await;
        let sent = self.settle(&claim, done).await?;
        Ok(Report {
            done: sent,
            more: claimed.len() == limit,
            not_before: rate.map(|_| now + TimeDelta::seconds(1)),
        })
    }

    async fn call(
        &self,
        row: &DeliveryRow,
        people: &HashMap<RecipientId, Recipient>,
        paused: &HashSet<String>,
    ) -> Done {
        let now = self.ctx.clock.now();
        let recipient = row.delivery.recipient;
        let settled = |settled| Done { recipient, settled, sent: None, pause: None };
        let Some(choice) = &row.delivery.choice else {
            return settled(undecided(Reason::MovedLate, None));
        };
        if *self.stop.borrow() {
            return settled(given_back(choice));
        }
        // who is gone was forgotten a moment ago: there is nobody to send to and no row to settle
        let Some(person) = people.get(&recipient) else {
            return settled(refused(Reason::NoConsent));
        };
        let check = Check { ctx: self.ctx, campaign: &self.row.campaign, config: self.config };
        let parcel = match check.parcel(person, choice, now) {
            Err(instead) => return settled(instead),
            Ok(parcel) => parcel,
        };
        if parcel.template.as_ref().is_some_and(|template| paused.contains(template)) {
            return settled(undecided(Reason::MovedThrottled, None));
        }
        let outcome = self.provider.deliver(&parcel).await;
        self.conclude(row, choice, &parcel, outcome)
    }

    fn conclude(
        &self,
        row: &DeliveryRow,
        choice: &Choice,
        parcel: &Parcel,
        outcome: Outcome,
    ) -> Done {
        let recipient = row.delivery.recipient;
        let plain = |settled| Done { recipient, settled, sent: None, pause: None };
        let kept = |settled, id| {
            let message = sent_message(&self.row.campaign, parcel, choice);
            let sent = Some(MessageRow { recipient, message, provider_message: id });
            Done { recipient, settled, sent, pause: None }
        };
        match outcome {
            Outcome::Accepted { id } => kept(settle_as(State::Sent, None), id),
            Outcome::Held { id } => kept(settle_as(State::Held, Some(Reason::HeldByProvider)), id),
            Outcome::Later { whom: Scope::Recipient, .. } if row.attempts >= ATTEMPTS_MAX => {
                plain(settle_as(State::Failed, Some(Reason::AttemptsExhausted)))
            }
            Outcome::Later { until, whom } => {
                let pause = match whom {
                    Scope::Recipient => None,
                    Scope::Template => parcel.template.clone().map(|template| (template, until)),
                    Scope::Provider => Some((String::new(), until)),
                };
                let check =
                    Check { ctx: self.ctx, campaign: &self.row.campaign, config: self.config };
                let settled = check.put_off(parcel, choice, until);
                Done { recipient, settled, sent: None, pause }
            }
            Outcome::Refused { whom: Scope::Recipient } => plain(refused(Reason::RecipientRefused)),
            Outcome::Refused { .. } => plain(refused(Reason::TemplateRefused)),
            Outcome::Failed => plain(settle_as(State::Failed, Some(Reason::ProviderFailure))),
            Outcome::InDoubt => plain(settle_as(State::InDoubt, Some(Reason::AnswerLost))),
        }
    }

    /// Settles a batch in one transaction; returns how many were sent.
    async fn settle(&self, claim: &Claim, done: Vec<Done>) -> Result<usize, StoreError> {
        let now = self.ctx.clock.now();
        let mut alike: BTreeMap<Settled, Vec<RecipientId>> = BTreeMap::new();
        let mut sent: HashMap<RecipientId, MessageRow> = HashMap::new();
        let mut pauses: BTreeMap<String, Instant> = BTreeMap::new();
        for done in done {
            alike.entry(done.settled).or_default().push(done.recipient);
            sent.extend(done.sent.map(|row| (done.recipient, row)));
            if let Some((template, until)) = done.pause {
                let end = pauses.entry(template).or_insert(until);
                *end = until.max(*end);
            }
        }
        let mut tx = self.ctx.store.begin().await?;
        let mut kept = Vec::with_capacity(sent.len());
        for (settled, recipients) in alike {
            for id in tx.settle(self.row.id, claim, settled, &recipients, now).await? {
                kept.extend(sent.remove(&id));
            }
        }
        tx.put_messages(&kept, now).await?;
        for (template, until) in pauses {
            tx.pause_provider(&self.row.campaign.provider, &template, until).await?;
        }
        tx.commit().await?;
        Ok(kept.len())
    }
}

/// The last look before a call: what was true when it was planned may not be true now.
struct Check<'a> {
    ctx: &'a Ctx,
    campaign: &'a Campaign,
    config: &'a ProviderConfig,
}

impl Check<'_> {
    /// The message as it goes out at `now`, or what happens instead.
    fn parcel(&self, person: &Recipient, choice: &Choice, now: Instant) -> Result<Parcel, Settled> {
        let (ctx, campaign) = (self.ctx, self.campaign);
        if !person.consented {
            return Err(refused(Reason::ConsentWithdrawn));
        }
        let Some(address) = person.profile.address.clone() else {
            return Err(refused(Reason::NoAddress));
        };
        let zone = person.profile.zone.map_or(ctx.config.time_zone, |zone| zone.tz);
        if now >= window::span(&campaign.window, zone).1 {
            return Err(settle_as(State::Expired, Some(Reason::WindowOver)));
        }
        let lateness = now - choice.send_at;
        let late = lateness.to_std().is_ok_and(|lateness| lateness > ctx.config.max_lateness);
        if late || !self.in_its_hour(choice, now) || !self.allowed(person, now) {
            return Err(undecided(Reason::MovedLate, None));
        }
        let variant = &campaign.variants[usize::from(choice.variant_index)];
        let Ok(rendered) = variant.render(&person.profile.attributes) else {
            return Err(refused(Reason::MissingParameter));
        };
        Ok(Parcel {
            key: message_key(&campaign.name, person.id),
            recipient: person.key.clone(),
            address,
            zone,
            campaign: campaign.name.clone(),
            category: campaign.category,
            variant: variant.name.clone(),
            content: variant.content.clone(),
            template: variant.template.clone(),
            language: variant.language.clone(),
            rendered,
            media_url: variant.media_url.clone(),
            at: now,
        })
    }

    /// Whether a message that leaves at `at` takes the room that was planned for it: where an hour
    /// holds so many, another hour's is not to be had without a new decision.
    fn in_its_hour(&self, choice: &Choice, at: Instant) -> bool {
        let hour = |at: Instant| at.timestamp().div_euclid(3600);
        self.campaign.capacity.per_hour.is_none() || hour(choice.send_at) == hour(at)
    }

    /// Whether window and quiet hours let a message out at `at`.
    fn allowed(&self, person: &Recipient, at: Instant) -> bool {
        let profile = &person.profile;
        let zone = profile.zone.map_or(self.ctx.config.time_zone, |zone| zone.tz);
        let (opens, closes) = window::span(&self.campaign.window, zone);
        let quiet = quiet(self.ctx, self.campaign, self.config, profile);
        let end = at + CALL_MARGIN;
        opens <= at && end <= closes && quiet.forbids_span(at, end, zone).is_none()
    }

    /// A short wait is waited for within the same slot's lateness; a longer one is a new decision.
    fn put_off(&self, parcel: &Parcel, choice: &Choice, until: Instant) -> Settled {
        let lateness = (until - choice.send_at).to_std().unwrap_or_default();
        let near = lateness <= self.ctx.config.max_lateness
            && self.in_its_hour(choice, until)
            && until < window::span(&self.campaign.window, parcel.zone).1;
        if near {
            Settled { again_at: Some(until), ..undecided(Reason::MovedThrottled, Some(until)) }
        } else {
            undecided(Reason::MovedThrottled, Some(until))
        }
    }
}

/// The quiet hours that bind a campaign for one person.
pub(super) fn quiet(
    ctx: &Ctx,
    campaign: &Campaign,
    config: &ProviderConfig,
    profile: &crate::model::recipient::Profile,
) -> Quiet {
    let inferred = infer(profile.country.as_ref(), profile.address.as_ref());
    let country = profile.country.as_ref().or(inferred.as_ref().map(|known| &known.country));
    let case = Case {
        country,
        region: inferred.as_ref().and_then(|known| known.region),
        channel: config.kind.channel(),
        category: campaign.category,
    };
    Quiet::new(&ctx.rules, case, campaign.quiet_hours, ctx.config.quiet_hours)
}

fn settle_as(state: State, reason: Option<Reason>) -> Settled {
    Settled { state, reason, again_at: None, not_before: None }
}

fn refused(reason: Reason) -> Settled {
    settle_as(State::Refused, Some(reason))
}

fn undecided(reason: Reason, not_before: Option<Instant>) -> Settled {
    Settled { not_before, ..settle_as(State::Planned, Some(reason)) }
}

fn given_back(choice: &Choice) -> Settled {
    Settled { again_at: Some(choice.send_at), ..settle_as(State::Planned, None) }
}

/// The message as history keeps it.
pub(super) fn sent_message(campaign: &Campaign, parcel: &Parcel, choice: &Choice) -> Message {
    Message {
        key: parcel.key.clone(),
        campaign: Some(campaign.name.to_string()),
        channel: Some(campaign.provider.to_string()),
        category: Some(campaign.category),
        media: Some(parcel.content.media),
        style: parcel.content.style.clone(),
        sent_at: parcel.at,
        response: Response::default(),
        propensity: choice.propensity,
    }
}
