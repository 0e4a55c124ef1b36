//! One campaign's due messages, batch by batch: a batch is settled and the next one claimed in one
//! transaction, and none is open while a provider is called.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};

use super::admission::{Allowance, LATE_MAX, RateLimiter, Verdict};
use super::check::{Check, given_back, refused, undecided};
use super::claimed::{Batch, Batches, Concluded, Ready};
use super::conclude::Runs;
use crate::config::Limits;
use crate::model::content::Category;
use crate::model::delivery::Reason;
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;
use crate::provider::{RefusalScope, Scope, SendOutcome};
use crate::store::{Attempt, CampaignStatus, Claim, StoreError, Tx};
use crate::work::channel::{self, TemplateKey};
use crate::work::links::LinkMaker;
use crate::work::plan::taken::over_cap;
use crate::work::routes::subject;
use crate::work::{Report, fallbacks};

/// Messages of one claim: enough that a transaction costs little, few enough for one lease.
const BATCH_MAX: usize = 500;
/// Batches in a row before other campaigns have their turn.
const BATCHES_MAX: usize = 16;
/// Calls in flight at once.
const CALLS_MAX: usize = 64;
/// Calls in flight at once where each has its instant: a slow answer must not delay the next call.
const PACED_CALLS_MAX: usize = BATCH_MAX;
/// How often a batch under way looks whether its campaign still runs and its people still consent.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A look that is older lets no further call out.
const LOOK_AGE_MAX: Duration = Duration::from_millis(1_800);
/// Between tries to settle a batch while the database is away.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// How long after its lease a batch is still tried to be settled.
const SETTLE_AFTER_LEASE: TimeDelta = TimeDelta::hours(1);

/// What a batch under way knows of the world beside it.
struct Lookout {
    halted: AtomicBool,
    /// When it was looked, and who may not be called any more.
    seen: Mutex<(Stopwatch, HashMap<RecipientId, Reason>)>,
}

impl Lookout {
    /// Whether a person may be called now, by a look that is fresh.
    fn allows(&self, person: RecipientId) -> Result<(), NotNow> {
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(reason) = seen.1.get(&person) {
            Err(NotNow::Never(*reason))
        } else if self.halted.load(Ordering::Relaxed) || seen.0.elapsed() > LOOK_AGE_MAX {
            Err(NotNow::Halted)
        } else {
            Ok(())
        }
    }

    fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }
}

enum NotNow {
    Never(Reason),
    Halted,
}

impl Batches<'_> {
    /// Sends what is due, up to [`BATCHES_MAX`] batches.
    pub(super) async fn run(&self) -> Result<Report, StoreError> {
        let mut report = Report::default();
        let mut open: Option<Batch> = None;
        for turn in 0..=BATCHES_MAX {
            let last = turn == BATCHES_MAX || *self.stop.borrow();
            let limit = if last { None } else { self.limit(&mut report).await? };
            if open.is_none() && limit.is_none() {
                break;
            }
            let (done, next) = self.exchange(open.take(), limit).await?;
            report.done += done;
            let Some(batch) = next else { break };
            report.more = Some(batch.ready.len() + batch.concluded.len()) == limit;
            open = Some(self.process(batch).await);
        }
        Ok(report)
    }

    /// How many messages to claim now, if any.
    async fn limit(&self, report: &mut Report) -> Result<Option<usize>, StoreError> {
        let (now, by) = (self.ctx.clock.now(), self.horizon());
        let (provider, account) = (&self.row.campaign.provider, self.limiter().account());
        let mut reader = self.ctx.store.read().await?;
        let claimable = reader.claimable(self.row.id, provider, &account, now).await?;
        if !claimable.runs || claimable.next_due.is_none_or(|due| due > by) {
            return Ok(None);
        }
        Ok(match self.limiter().allowance(claimable.rate_next_at, BATCH_MAX, now) {
            Allowance::Of(limit) => Some(limit),
            Allowance::After(at) => {
                report.not_before = Some(at);
                None
            }
        })
    }

    /// Up to when messages are claimed: now, or on a virtual clock as far as it looks ahead, where no
    /// limit is counted by the time of the claim.
    fn horizon(&self) -> Instant {
        let counted = self.config.limits != Limits::default();
        if counted { self.ctx.clock.now() } else { self.ctx.clock.horizon() }
    }

    /// What people's consent must hold for.
    fn subject(&self) -> (&Name, Option<&str>) {
        let campaign = &self.row.campaign;
        (&campaign.provider, subject(&self.config.kind, campaign))
    }

    fn limiter(&self) -> RateLimiter<'_> {
        RateLimiter { env: self.ctx, provider: &self.row.campaign.provider, config: self.config }
    }

    fn check(&self) -> Check<'_> {
        Check::new(self.ctx, &self.row.campaign, self.config)
    }

    /// Settles a batch and claims the next, in one transaction; returns how many were sent. What
    /// was called must be known: it is tried while the database is away or its disk is full.
    async fn exchange(
        &self,
        open: Option<Batch>,
        limit: Option<usize>,
    ) -> Result<(usize, Option<Batch>), StoreError> {
        let Some(open) = open else {
            return self.exchange_once(None, limit).await;
        };
        let mut limit = limit;
        let mut failure = None;
        loop {
            match self.exchange_once(Some(&open), limit).await {
                Ok((sent, next)) => {
                    return failure.map_or(Ok((sent, next)), Err);
                }
                Err(error) => {
                    let now = self.ctx.clock.now();
                    let again = error.is_transient() || error.is_conflict() || limit.is_some();
                    if !again || now > open.claim.until + SETTLE_AFTER_LEASE {
                        return Err(error);
                    }
                    tracing::warn!(
                        error = error.outline(),
                        messages = open.concluded.len(),
                        "a batch could not be settled; trying again"
                    );
                    if error.is_transient() && !error.is_conflict() {
                        self.ctx.clock.pause(SETTLE_EVERY).await;
                    } else if !error.is_conflict() {
                        // the next claim is at fault; this batch is settled without it
                        failure = Some(error);
                    }
                    limit = None;
                }
            }
        }
    }

    async fn exchange_once(
        &self,
        open: Option<&Batch>,
        limit: Option<usize>,
    ) -> Result<(usize, Option<Batch>), StoreError> {
        let mut tx = self.ctx.store.begin().await?;
        let sent = match open {
            Some(batch) => self.settle(&mut tx, batch).await?,
            None => 0,
        };
        let next = match limit {
            Some(limit) => self.claim(&mut tx, limit).await?,
            None => None,
        };
        tx.commit().await?;
        Ok((sent, next))
    }

    /// Claims, checks and admits.
    async fn claim(&self, tx: &mut Tx, limit: usize) -> Result<Option<Batch>, StoreError> {
        let now = self.ctx.clock.now();
        let lease = TimeDelta::from_std(self.ctx.config.lease).unwrap_or_default();
        let claim = Claim { lease: format!("{:016x}", rand::random::<u64>()), until: now + lease };
        let length = self.ctx.config.slot_length;
        let by = self.horizon();
        let claimed = tx.claim(self.row.id, &claim, (now, by), limit, length).await?;
        if claimed.is_empty() {
            return Ok(None);
        }
        let provider = &self.row.campaign.provider;
        let paused = tx.paused(provider, now).await?;
        let ids: Vec<RecipientId> = claimed.iter().map(|due| due.recipient).collect();
        let mut people = tx.recipients(&ids).await?;
        let unreachable = tx.suppressed(provider, Some(&ids)).await?;
        for (person, granted) in tx.provider_consents(self.subject(), Some(&ids)).await? {
            if let Some(person) = people.get_mut(&person) {
                person.consented = granted;
            }
        }
        let waiting = match self.row.campaign.category {
            Category::Marketing => tx.reply_pauses(Some(&ids), now).await?,
            _ => HashMap::new(),
        };
        let needless = fallbacks::needless(tx, self.row, &ids).await?;
        let mut batch = Batch { claim, ready: Vec::new(), concluded: Vec::new() };
        let links = LinkMaker::of(self.ctx, tx, self.row).await?;
        let check = self.check().with_links(links);
        let about = if self.row.has_occurrences() {
            Some(tx.occurrences_in_run(self.row.id, &ids).await?)
        } else {
            None
        };
        for mut due in claimed {
            let occurrence = about.as_ref().map(|about| about.get(&due.recipient));
            if let (Some(Some(occurrence)), Some(person)) =
                (occurrence, people.get_mut(&due.recipient))
            {
                due.closes_at = Some(occurrence.closes_at);
                person.profile.attributes.extend(occurrence.attributes.clone());
            }
            // on a virtual clock each message is called at its own instant
            let at = due.send_at.max(now);
            let looked = match people.remove(&due.recipient) {
                // who is gone was forgotten a moment ago: there is nobody to send to
                None => Err(refused(due, Reason::NoConsent)),
                Some(_) if needless.contains_key(&due.recipient) => {
                    Err(refused(due, needless[&due.recipient]))
                }
                Some(_) if occurrence == Some(None) => Err(refused(due, Reason::CalledOff)),
                Some(_) if unreachable.contains_key(&due.recipient) => {
                    Err(refused(due, Reason::Suppressed))
                }
                Some(_) if waiting.get(&due.recipient).is_some_and(|until| at < *until) => {
                    Err(undecided(due, Reason::AskedToWait, None))
                }
                Some(person) => check.message(&person, due, at).map(|message| (person, message)),
            };
            match looked {
                Ok((person, message)) => {
                    if message.template.as_ref().is_some_and(|name| paused.contains(name)) {
                        let again = undecided(due, Reason::MovedThrottled, None);
                        batch.concluded.push(Concluded::plain(again));
                    } else {
                        let is_canary = false;
                        batch.ready.push(Ready { due, person, message, at, is_canary });
                    }
                }
                Err(settled) => batch.concluded.push(Concluded::plain(settled)),
            }
        }
        self.admit(tx, &mut batch, &check).await?;
        Ok(Some(batch))
    }

    /// Puts off what templates and limits do not let through.
    async fn admit(
        &self,
        tx: &mut Tx,
        batch: &mut Batch,
        check: &Check<'_>,
    ) -> Result<(), StoreError> {
        let name = &self.row.campaign.provider;
        let mut windows = HashSet::new();
        if self.config.kind.needs_template() && !batch.ready.is_empty() {
            let now = self.ctx.clock.now();
            let ids: Vec<RecipientId> = batch.ready.iter().map(|ready| ready.person.id).collect();
            windows = tx.open_windows(name, &ids, now).await?;
            for ready in &mut batch.ready {
                ready.message.free_form =
                    self.row.campaign.free_form && windows.contains(&ready.person.id);
            }
            self.look_at_templates(tx, batch, check, now).await?;
        }
        self.find_rights(tx, batch, check).await?;
        let ids: Vec<RecipientId> = batch.ready.iter().map(|ready| ready.person.id).collect();
        let verdicts = self.limiter().admit(tx, &ids, windows).await?;
        let mut first: BTreeMap<TemplateKey, u64> = BTreeMap::new();
        let ready = std::mem::take(&mut batch.ready);
        for (ready, verdict) in ready.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Go => {
                    self.use_right(tx, &ready).await?;
                    if ready.is_canary {
                        *first.entry(TemplateKey::of(&ready.message)).or_default() += 1;
                    }
                    batch.ready.push(ready);
                }
                Verdict::NotBefore(until) => {
                    let profile = &ready.person.profile;
                    let settled = check.put_off(profile, ready.due, until, Attempt::NotMade);
                    batch.concluded.push(Concluded::plain(settled));
                }
            }
        }
        let now = self.ctx.clock.now();
        for (template, messages) in first {
            tx.use_canary(name, &template.name, &template.language, messages, now).await?;
        }
        Ok(())
    }

    /// Prepares and calls what was claimed. Nothing of it fails as a whole: what cannot be called is
    /// given back.
    async fn process(&self, mut batch: Batch) -> Batch {
        let mut ready = std::mem::take(&mut batch.ready);
        let prepared = async {
            self.part_with_capped(&mut ready, &mut batch.concluded).await?;
            self.add_media(&mut ready).await?;
            self.pace(&mut ready, &mut batch.concluded).await
        };
        if let Err(error) = prepared.await {
            tracing::error!(
                error = error.outline(),
                campaign = %self.row.campaign.name,
                "a batch could not be prepared; it is given back"
            );
            let back = |ready: &Ready| {
                Concluded::plain(given_back(ready.due)).with_taken(&ready.message, ready.is_canary)
            };
            batch.concluded.extend(ready.iter().map(back));
            return batch;
        }
        let called = self.call_all(&batch.claim, ready).await;
        batch.concluded.extend(called);
        batch
    }

    /// Takes out those who have been written to too often meanwhile. What other campaigns have
    /// claimed counts, and this claim is committed: of two at once at least one gives way.
    async fn part_with_capped(
        &self,
        ready: &mut Vec<Ready>,
        concluded: &mut Vec<Concluded>,
    ) -> Result<(), StoreError> {
        let ids: Vec<RecipientId> = ready.iter().map(|ready| ready.person.id).collect();
        let campaign = (self.row.id, &*self.row.campaign);
        let over = over_cap(self.ctx, campaign, &ids).await?;
        ready.retain(|ready| {
            let Some(again) = over.get(&ready.person.id) else { return true };
            let settled = undecided(ready.due, Reason::MovedLate, Some(*again));
            concluded.push(Concluded::plain(settled).with_taken(&ready.message, ready.is_canary));
            false
        });
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

    /// Gives each message its instant; what the second does not hold, the next claim takes.
    async fn pace(
        &self,
        ready: &mut Vec<Ready>,
        concluded: &mut Vec<Concluded>,
    ) -> Result<(), StoreError> {
        let Some(times) = self.limiter().send_times(&self.ctx.store, ready.len()).await? else {
            return Ok(());
        };
        let back = ready.drain(times.len()..).map(|ready| {
            Concluded::plain(given_back(ready.due)).with_taken(&ready.message, ready.is_canary)
        });
        concluded.extend(back);
        ready.iter_mut().zip(times).for_each(|(ready, at)| ready.at = at);
        Ok(())
    }

    async fn call_all(&self, claim: &Claim, ready: Vec<Ready>) -> Vec<Concluded> {
        let people: Vec<RecipientId> = ready.iter().map(|ready| ready.person.id).collect();
        let lookout = Lookout {
            halted: AtomicBool::new(false),
            seen: Mutex::new((Stopwatch::now(), HashMap::new())),
        };
        let runs = Mutex::new(Runs::default());
        let paced = self.config.limits.per_second.is_some();
        let most = if paced { PACED_CALLS_MAX } else { CALLS_MAX };
        let check = self.check();
        let calls = ready.into_iter();
        let calls = calls.map(|ready| self.call(claim, ready, &check, &lookout, &runs));
        let calls: Vec<_> = calls.collect();
        let calling = stream::iter(calls).buffer_unordered(most).collect();
        tokio::select! {
            done = calling => done,
            never = self.look_out(&lookout, &people) => match never {},
        }
    }

    /// Looks now and then whether the campaign was paused or cancelled, and whose consent has ended,
    /// while a batch is called.
    async fn look_out(
        &self,
        lookout: &Lookout,
        people: &[RecipientId],
    ) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let began = Stopwatch::now();
            let look = async {
                let mut reader = self.ctx.store.read().await?;
                let status = reader.campaign_status(self.row.id).await?;
                let withdrawn = reader.without_consent(self.subject(), people).await?;
                let mut never: HashMap<RecipientId, Reason> =
                    withdrawn.into_iter().map(|id| (id, Reason::ConsentWithdrawn)).collect();
                if self.row.has_occurrences() {
                    let about = reader.occurrences_in_run(self.row.id, people).await?;
                    let gone = people.iter().filter(|id| !about.contains_key(id));
                    never.extend(gone.map(|id| (*id, Reason::CalledOff)));
                }
                Ok::<_, StoreError>((status, never))
            };
            // a database that is away lets no further call out until it answers
            if let Ok(Ok((status, never))) = tokio::time::timeout(LOOK_AGE_MAX, look).await {
                if status != CampaignStatus::Active {
                    lookout.halt();
                }
                let mut seen =
                    lookout.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *seen = (began, never);
            }
        }
    }

    async fn call(
        &self,
        claim: &Claim,
        mut ready: Ready,
        check: &Check<'_>,
        lookout: &Lookout,
        runs: &Mutex<Runs>,
    ) -> Concluded {
        let paced = self.config.limits.per_second.is_some();
        if paced {
            self.ctx.clock.pause_until(ready.at).await;
        }
        let now = self.ctx.clock.now();
        // on a virtual clock each message is called at its own instant
        let at = self.ctx.clock.at_or_after(ready.at);
        let back = |ready: &Ready| {
            Concluded::plain(given_back(ready.due)).with_taken(&ready.message, ready.is_canary)
        };
        let missed = paced && now > ready.at + LATE_MAX;
        // a call must end within its lease
        let ends = now + TimeDelta::from_std(self.config.kind.timeout()).unwrap_or_default();
        if *self.stop.borrow() || missed || ends > claim.until {
            return back(&ready);
        }
        match lookout.allows(ready.person.id) {
            Ok(()) => {}
            Err(NotNow::Halted) => return back(&ready),
            Err(NotNow::Never(reason)) => {
                let settled = refused(ready.due, reason);
                return Concluded::plain(settled).with_taken(&ready.message, ready.is_canary);
            }
        }
        if let Err(settled) = check.timely(&ready.person.profile, ready.due, at) {
            return Concluded::plain(settled).with_taken(&ready.message, ready.is_canary);
        }
        ready.message.at = at;
        let outcome = self.provider.send(&ready.message).await;
        // what is true for everybody need not be heard by each of them
        let for_all = outcome.refusal_scope() == Some(RefusalScope::Account)
            || matches!(outcome, SendOutcome::Later { whom: Scope::Provider, .. });
        let concluded =
            Concluded::of(check, ready.due, &ready.person.profile, &ready.message, outcome)
                .with_taken(&ready.message, ready.is_canary);
        let mut runs = runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if for_all || runs.note(&concluded).is_some() {
            lookout.halt();
        }
        concluded
    }
}
