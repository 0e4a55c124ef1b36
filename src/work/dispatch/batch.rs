//! One claim on one campaign's due messages, from the claim to the settlement.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;

use super::admission::{Gate, LATE_MAX, Room, Verdict};
use super::check::{Check, given_back, refused, undecided};
use super::conclude::Done;
use crate::config::ProviderConfig;
use crate::model::delivery::Reason;
use crate::model::ids::RecipientId;
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::provider::{OutboundMessage, Provider, RefusalScope, Scope, SendOutcome};
use crate::store::{
    Attempt, CampaignRow, CampaignStatus, Claim, Due, Settled, Stage, StoreError, TemplateRow, Tx,
};
use crate::work::channel::{self, language_text};
use crate::work::plan::taken::over_cap;
use crate::work::{Ctx, Report};

/// Messages of one claim: enough that a transaction costs little, few enough for one lease.
const BATCH_MAX: usize = 500;
/// Calls in flight at once.
const CALLS_MAX: usize = 64;
/// Calls in flight at once where each has its moment: a slow answer must not delay the next call.
const PACED_CALLS_MAX: usize = BATCH_MAX;
/// How often a batch under way looks whether its campaign still runs.
const HALT_EVERY: Duration = Duration::from_secs(1);
/// Between tries to settle a batch while the database is away.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// One claim.
pub(super) struct Batch<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) row: &'a CampaignRow,
    pub(super) provider: &'a dyn Provider,
    pub(super) config: &'a ProviderConfig,
    pub(super) stop: &'a watch::Receiver<bool>,
}

/// A message that was admitted.
struct Ready {
    due: Due,
    person: Recipient,
    message: OutboundMessage,
    at: Instant,
}

/// What a claim led to before anything was called.
#[derive(Default)]
struct Opened {
    ready: Vec<Ready>,
    claimed: usize,
    /// Settled already: they do not pass the check, or must wait.
    settled: Vec<(RecipientId, Settled)>,
}

impl Batch<'_> {
    pub(super) async fn run(&self) -> Result<Report, StoreError> {
        let now = self.ctx.clock.now();
        let paused = self.ctx.store.paused(&self.row.campaign.provider, now).await?;
        if paused.contains("") {
            return Ok(Report::default());
        }
        let limit = match self.gate().room(BATCH_MAX, now).await? {
            Room::Of(limit) => limit,
            Room::After(at) => return Ok(Report { not_before: Some(at), ..Report::default() }),
        };
        let lease = TimeDelta::from_std(self.ctx.config.lease).unwrap_or_default();
        let claim = Claim {
            // short: it is written with every row
            lease: format!("{:016x}", rand::random::<u64>()),
            until: now + lease,
        };
        let mut opened = self.open(&claim, now, limit, &paused).await?;
        if opened.claimed == 0 {
            return Ok(Report::default());
        }
        let mut done = Vec::new();
        let prepared = async {
            self.part_with_capped(&mut opened.ready, &mut done).await?;
            self.add_media(&mut opened.ready).await?;
            self.pace(&mut opened.ready, &mut done).await
        };
        if let Err(error) = prepared.await {
            let back = |ready: &Ready| Done::plain(ready.person.id, given_back(ready.due));
            done.extend(opened.ready.iter().map(back));
            self.settle_surely(&claim, &done).await?;
            return Err(error);
        }
        let more = opened.claimed == limit;
        done.extend(self.call_all(&claim, opened.ready).await);
        let sent = self.settle_surely(&claim, &done).await?;
        Ok(Report { done: sent, more, not_before: None })
    }

    fn gate(&self) -> Gate<'_> {
        Gate { ctx: self.ctx, provider: &self.row.campaign.provider, config: self.config }
    }

    fn check(&self) -> Check<'_> {
        Check { ctx: self.ctx, campaign: &self.row.campaign, config: self.config }
    }

    /// Claims, checks and admits, in one transaction; settles at once what goes no further.
    async fn open(
        &self,
        claim: &Claim,
        now: Instant,
        limit: usize,
        paused: &HashSet<String>,
    ) -> Result<Opened, StoreError> {
        let mut tx = self.ctx.store.begin().await?;
        let claimed = tx.claim(self.row.id, claim, now, limit, self.ctx.config.slot_length).await?;
        let mut opened = Opened { claimed: claimed.len(), ..Opened::default() };
        if claimed.is_empty() {
            return Ok(opened);
        }
        let ids: Vec<RecipientId> = claimed.iter().map(|due| due.recipient).collect();
        let mut people = tx.recipients(&ids).await?;
        for due in claimed {
            let id = due.recipient;
            match self.look(due, people.remove(&id), paused, now) {
                Ok(ready) => opened.ready.push(ready),
                Err(settled) => opened.settled.push((id, settled)),
            }
        }
        self.admit(&mut tx, &mut opened).await?;
        let mut alike: BTreeMap<Settled, Vec<RecipientId>> = BTreeMap::new();
        for (id, settled) in &opened.settled {
            alike.entry(*settled).or_default().push(*id);
        }
        for (settled, recipients) in alike {
            tx.settle(self.row.id, claim, settled, &recipients, now).await?;
        }
        tx.commit().await?;
        Ok(opened)
    }

    fn look(
        &self,
        due: Due,
        person: Option<Recipient>,
        paused: &HashSet<String>,
        now: Instant,
    ) -> Result<Ready, Settled> {
        // who is gone was forgotten a moment ago: there is nobody to send to and no row to settle
        let Some(person) = person else { return Err(refused(Reason::NoConsent)) };
        let message = self.check().message(&person, due, now)?;
        if message.template.as_ref().is_some_and(|template| paused.contains(template)) {
            return Err(undecided(Reason::MovedThrottled, None));
        }
        Ok(Ready { due, person, message, at: now })
    }

    /// Puts off what templates and limits do not let through.
    async fn admit(&self, tx: &mut Tx, opened: &mut Opened) -> Result<(), StoreError> {
        let name = &self.row.campaign.provider;
        let ids: Vec<RecipientId> = opened.ready.iter().map(|ready| ready.person.id).collect();
        let mut windows = HashSet::new();
        if self.config.kind.needs_template() && !ids.is_empty() {
            let now = self.ctx.clock.now();
            windows = tx.open_windows(name, &ids, now).await?;
            for ready in &mut opened.ready {
                ready.message.free_form =
                    self.row.campaign.free_form && windows.contains(&ready.person.id);
            }
            tx.lock_account(&super::number_account(name)).await?;
            self.try_templates(tx, opened, now).await?;
        }
        let ids: Vec<RecipientId> = opened.ready.iter().map(|ready| ready.person.id).collect();
        let verdicts = self.gate().admit(tx, &ids, windows).await?;
        let ready = std::mem::take(&mut opened.ready);
        for (ready, verdict) in ready.into_iter().zip(verdicts) {
            let settled = match verdict {
                Verdict::Go => {
                    opened.ready.push(ready);
                    continue;
                }
                Verdict::NotBefore(until) => {
                    let profile = &ready.person.profile;
                    self.check().put_off(profile, ready.due, until, Attempt::NotMade)
                }
            };
            opened.settled.push((ready.person.id, settled));
        }
        Ok(())
    }

    /// Lets a few messages of a new template go first, and none of one that is parked.
    async fn try_templates(
        &self,
        tx: &mut Tx,
        opened: &mut Opened,
        now: Instant,
    ) -> Result<(), StoreError> {
        let name = &self.row.campaign.provider;
        let canary = self.config.canary;
        let rows = tx.templates(name).await?;
        let mut known: HashMap<(String, String), (TemplateRow, bool)> = rows
            .into_iter()
            .map(|row| ((row.template.clone(), row.language.clone()), (row, false)))
            .collect();
        let ready = std::mem::take(&mut opened.ready);
        for ready in ready {
            let message = &ready.message;
            let Some(template) = message.template.clone().filter(|_| !message.free_form) else {
                opened.ready.push(ready);
                continue;
            };
            let language = language_text(message.language.as_ref());
            let fresh = || {
                let first = canary.messages > 0;
                let row = TemplateRow {
                    template: template.clone(),
                    language: language.clone(),
                    stage: if first { Stage::Canary } else { Stage::Open },
                    room: u64::from(canary.messages),
                    reason: "new".to_owned(),
                    changed_at: now,
                };
                (row, true)
            };
            let (row, changed) =
                known.entry((template.clone(), language.clone())).or_insert_with(fresh);
            let settled = match row.stage {
                Stage::Open => None,
                Stage::Parked => Some(undecided(Reason::MovedThrottled, None)),
                Stage::Canary if row.room > 0 => {
                    row.room -= 1;
                    row.changed_at = now;
                    *changed = true;
                    None
                }
                Stage::Canary => {
                    let wait = TimeDelta::from_std(canary.wait).unwrap_or_default();
                    let until = now + wait.max(TimeDelta::seconds(1));
                    let profile = &ready.person.profile;
                    Some(self.check().put_off(profile, ready.due, until, Attempt::NotMade))
                }
            };
            match settled {
                None => opened.ready.push(ready),
                Some(settled) => opened.settled.push((ready.person.id, settled)),
            }
        }
        for (row, _) in known.into_values().filter(|(_, changed)| *changed) {
            tx.put_template(name, &row).await?;
        }
        Ok(())
    }

    /// Takes out those who have been written to too often meanwhile. What other campaigns have
    /// claimed counts, and this claim is committed: of two at once at least one gives way.
    async fn part_with_capped(
        &self,
        ready: &mut Vec<Ready>,
        done: &mut Vec<Done>,
    ) -> Result<(), StoreError> {
        let ids: Vec<RecipientId> = ready.iter().map(|ready| ready.person.id).collect();
        let campaign = (self.row.id, &*self.row.campaign);
        let over = over_cap(self.ctx, campaign, &ids).await?;
        for (id, again) in &over {
            let settled = undecided(Reason::MovedLate, Some(*again));
            done.push(Done::plain(*id, Settled { attempt: Attempt::NotMade, ..settled }));
        }
        ready.retain(|ready| !over.contains_key(&ready.person.id));
        Ok(())
    }

    /// Sees that the provider has the pictures and films, where it wants them beforehand.
    async fn add_media(&self, ready: &mut [Ready]) -> Result<(), StoreError> {
        if !self.config.kind.needs_template() {
            return Ok(());
        }
        let wanted = ready.iter().filter_map(|ready| {
            Some((ready.message.content.media, ready.message.media_url.clone()?))
        });
        let wanted: BTreeSet<_> = wanted.collect();
        let name = &self.row.campaign.provider;
        let handles = channel::handles(self.ctx, name, self.provider, wanted).await?;
        for ready in ready {
            let url = ready.message.media_url.as_ref();
            ready.message.media_handle = url.and_then(|url| handles.get(url).cloned());
        }
        Ok(())
    }

    /// Gives each message its moment; what the second does not hold, the next claim takes.
    async fn pace(&self, ready: &mut Vec<Ready>, done: &mut Vec<Done>) -> Result<(), StoreError> {
        let moments = self.gate().moments(ready.len()).await?;
        let back = ready.drain(moments.len()..);
        done.extend(back.map(|ready| Done::plain(ready.person.id, given_back(ready.due))));
        ready.iter_mut().zip(moments).for_each(|(ready, at)| ready.at = at);
        Ok(())
    }

    async fn call_all(&self, claim: &Claim, ready: Vec<Ready>) -> Vec<Done> {
        let halted = AtomicBool::new(false);
        let paced = self.config.limits.per_second.is_some();
        let most = if paced { PACED_CALLS_MAX } else { CALLS_MAX };
        let calls = ready.into_iter().map(|ready| self.call(claim, ready, &halted));
        let calls: Vec<_> = calls.collect();
        let calling = stream::iter(calls).buffer_unordered(most).collect();
        tokio::select! {
            done = calling => done,
            never = self.watch(&halted) => match never {},
        }
    }

    /// Looks now and then whether the campaign was paused or cancelled while its batch is called.
    async fn watch(&self, halted: &AtomicBool) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(HALT_EVERY).await;
            let status = self.ctx.store.campaign_status(self.row.id).await;
            // a database that is away does not stop what was claimed
            if status.is_ok_and(|status| status != CampaignStatus::Active) {
                halted.store(true, Ordering::Relaxed);
            }
        }
    }

    async fn call(&self, claim: &Claim, mut ready: Ready, halted: &AtomicBool) -> Done {
        let paced = self.config.limits.per_second.is_some();
        if paced {
            self.ctx.clock.pause_until(ready.at).await;
        }
        let now = self.ctx.clock.now();
        let id = ready.person.id;
        let missed = paced && now > ready.at + LATE_MAX;
        let stopped = *self.stop.borrow() || halted.load(Ordering::Relaxed);
        if stopped || missed || now >= claim.until {
            return Done::plain(id, given_back(ready.due));
        }
        if let Err(settled) = self.check().timely(&ready.person.profile, ready.due, now) {
            return Done::plain(id, Settled { attempt: Attempt::NotMade, ..settled });
        }
        ready.message.at = now;
        let outcome = self.provider.send(&ready.message).await;
        // what is true for everybody need not be heard by each of them
        let is_stop = outcome.refusal_scope() == Some(RefusalScope::Account);
        if is_stop || matches!(outcome, SendOutcome::Later { whom: Scope::Provider, .. }) {
            halted.store(true, Ordering::Relaxed);
        }
        self.check().conclude(ready.due, &ready.person.profile, &ready.message, outcome)
    }

    /// Settles, and does not give up before the lease is over: what was called must be known.
    async fn settle_surely(&self, claim: &Claim, done: &[Done]) -> Result<usize, StoreError> {
        loop {
            match self.settle(claim, done).await {
                Err(error) if error.is_transient() && self.ctx.clock.now() < claim.until => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        messages = done.len(),
                        "a batch could not be settled; trying again"
                    );
                    tokio::time::sleep(SETTLE_EVERY).await;
                }
                settled => return settled,
            }
        }
    }
}
