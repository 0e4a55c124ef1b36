//! What follows from a provider's answer: the settlement of the message, and what it says of the
//! person, the template, the campaign and the account.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::check::{Check, given_back, refused, settled, undecided};
use super::claimed::{Batch, Batches, Concluded, RunKey, SideEffect};
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;
use crate::model::recipient::{Address, Profile};
use crate::model::time::Instant;
use crate::provider::{OutboundMessage, Refusal, RefusalScope, Scope, SendOutcome};
use crate::store::{Attempt, Due, Failure, RefusalRun, Sent, Settled, StoreError, Tx};
use crate::work::channel::{self, TemplateKey};
use crate::work::refusals;

/// Tries of one message that a provider puts off for this person.
const ATTEMPTS_MAX: u32 = 5;
/// Tries of one message whose media file the channel cannot use: by its handle, and once more.
const MEDIA_ATTEMPTS_MAX: u32 = 2;
/// Days on which a person who gets too much marketing is tried.
const DAYS_MAX: u32 = 3;
/// So many different people in a row who are refused, with nobody accepted between, mean more than
/// each of them.
const RUN_MAX: u32 = 4;

/// People in a row who were refused alike, with nobody accepted between: counted while a batch is
/// called, to end its calls, and when it is settled, over batches, to act on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Runs(BTreeMap<String, u32>);

impl Runs {
    fn of_rows(rows: &[RefusalRun]) -> Self {
        Self(rows.iter().map(|run| (run.subject.clone(), run.people)).collect())
    }

    fn rows(&self) -> Vec<RefusalRun> {
        let row = |(subject, people): (&String, &u32)| RefusalRun {
            subject: subject.clone(),
            people: *people,
        };
        self.0.iter().map(row).collect()
    }

    fn subject((scope, template): &RunKey) -> String {
        let template = template.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{scope:?} {template}")
    }

    fn end(&mut self, key: &RunKey) {
        self.0.remove(&Self::subject(key));
    }

    /// Takes note of what became of a message; the run that it makes long enough to mean more than
    /// each of its people.
    pub(super) fn note<'c>(&mut self, concluded: &'c Concluded) -> Option<&'c RunKey> {
        if concluded.is_taken() && !self.0.is_empty() {
            for scope in [RefusalScope::PersonData, RefusalScope::Media, RefusalScope::Unknown] {
                self.end(&(scope, concluded.template.clone()));
            }
        }
        let (key, _) = concluded.refusal.as_ref()?;
        let run = self.0.entry(Self::subject(key)).or_default();
        *run += 1;
        (*run >= RUN_MAX).then_some(key)
    }
}

/// Whether refusals like this may be more than one person's.
fn counts(scope: RefusalScope) -> bool {
    matches!(scope, RefusalScope::PersonData | RefusalScope::Media | RefusalScope::Unknown)
}

impl Concluded {
    pub(super) fn plain(settled: Settled) -> Self {
        Self { settled, effect: None, canary: None, permit: None, refusal: None, template: None }
    }

    /// With what was taken for it: a place among the first with its template, a permit.
    pub(super) fn with_taken(mut self, message: &OutboundMessage, is_canary: bool) -> Self {
        self.canary = is_canary.then(|| TemplateKey::of(message));
        self.permit.clone_from(&message.permit);
        self
    }

    pub(super) fn of(
        check: &Check<'_>,
        due: Due,
        profile: &Profile,
        message: &OutboundMessage,
        outcome: SendOutcome,
    ) -> Self {
        let template =
            (message.template.is_some() && !message.free_form).then(|| TemplateKey::of(message));
        let key = template.clone();
        let called = |settled| Settled { attempt: Attempt::Made, ..settled };
        let with = |settled, effect| Self {
            settled: called(settled),
            effect,
            ..Self::plain(given_back(due))
        };
        let taken = |state, reason, id| Settled {
            sent: Some(Box::new(Sent {
                at: message.at,
                content: message.content.clone(),
                provider_message: id,
            })),
            ..settled(due, state, reason)
        };
        let mut concluded = match outcome {
            SendOutcome::Accepted { id, alias } => {
                with(taken(State::Sent, None, id), alias.map(SideEffect::Alias))
            }
            SendOutcome::Held { id } => {
                with(taken(State::Held, Some(Reason::HeldByProvider), id), None)
            }
            SendOutcome::Later { whom: Scope::Recipient, .. } | SendOutcome::NeedsTemplate
                if due.attempts >= ATTEMPTS_MAX =>
            {
                with(settled(due, State::Failed, Some(Reason::AttemptsExhausted)), None)
            }
            SendOutcome::Later { until, whom: Scope::Recipient } => {
                with(check.put_off(profile, due, until, Attempt::Made), None)
            }
            // everybody was sent away: it is no try of this message
            SendOutcome::Later { until, whom } => Self {
                effect: match (whom, &template) {
                    (Scope::Template, Some(key)) => {
                        Some(SideEffect::Pause(key.name.clone(), until))
                    }
                    (Scope::Template, None) => None,
                    _ => Some(SideEffect::Pause(String::new(), until)),
                },
                ..Self::plain(check.put_off(profile, due, until, Attempt::NotMade))
            },
            SendOutcome::AnotherDay { until } => {
                let again = undecided(due, Reason::MovedThrottled, Some(until));
                let last = settled(due, State::Failed, Some(Reason::AttemptsExhausted));
                with(if due.attempts >= DAYS_MAX { last } else { again }, None)
            }
            SendOutcome::NeedsTemplate => {
                let again = check.put_off(profile, due, message.at, Attempt::Made);
                with(again, Some(SideEffect::Close))
            }
            SendOutcome::InDoubt => {
                with(settled(due, State::InDoubt, Some(Reason::AnswerLost)), None)
            }
            SendOutcome::Refused(refusal) => {
                Self::refused(check, due, profile, message, (template, refusal))
            }
        };
        concluded.template = key;
        concluded
    }

    fn refused(
        check: &Check<'_>,
        due: Due,
        profile: &Profile,
        message: &OutboundMessage,
        (template, refusal): (Option<TemplateKey>, Refusal),
    ) -> Self {
        let code = refusal.code_text().to_owned();
        let with = |settled: Settled, effect| {
            let failure = Failure { code: code.clone(), text: refusal.words.to_string() };
            let failure = Some(failure).filter(|_| settled.state != State::Planned);
            let settled = Settled { attempt: Attempt::Made, failure, ..settled };
            Self { effect, ..Self::plain(settled) }
        };
        let mut concluded = match refusal.scope {
            RefusalScope::PersonData | RefusalScope::Person => {
                with(refused(due, Reason::RecipientRefused), None)
            }
            RefusalScope::Unreachable => {
                let effect = SideEffect::Suppress(code.clone());
                with(refused(due, Reason::Suppressed), Some(effect))
            }
            RefusalScope::Unpermitted => {
                let topic = message.permit.as_ref().map(|permit| permit.topic.clone());
                with(refused(due, Reason::NoPermit), topic.map(SideEffect::DropPermit))
            }
            RefusalScope::OptedOut => {
                let source = format!("{} {code}", check.campaign.provider);
                let evidence = message.key.to_string();
                let entry = channel::withdrawal(source, evidence, message.at);
                let effect = SideEffect::Withdraw(entry);
                with(refused(due, Reason::ConsentWithdrawn), Some(effect))
            }
            RefusalScope::Template => match &template {
                // parked: the plan falls back to another variant, or refuses
                Some(key) => {
                    let effect = SideEffect::Park(key.clone(), code.clone());
                    with(undecided(due, Reason::MovedThrottled, None), Some(effect))
                }
                None => with(refused(due, Reason::TemplateRefused), None),
            },
            RefusalScope::Media if due.attempts >= MEDIA_ATTEMPTS_MAX => {
                with(settled(due, State::Failed, Some(Reason::ProviderFailure)), None)
            }
            RefusalScope::Media => {
                let effect = message.media_url.clone().map(SideEffect::Upload);
                with(check.put_off(profile, due, message.at, Attempt::Made), effect)
            }
            RefusalScope::Account => Self {
                effect: Some(SideEffect::Stop(code.clone(), refusal.words.to_string())),
                ..Self::plain(given_back(due))
            },
            RefusalScope::Unknown => {
                with(settled(due, State::Failed, Some(Reason::ProviderFailure)), None)
            }
        };
        if counts(refusal.scope) {
            concluded.refusal = Some(((refusal.scope, template), refusal));
        }
        concluded
    }

    fn is_taken(&self) -> bool {
        matches!(self.settled.state, State::Sent | State::Held)
    }
}

impl Batches<'_> {
    /// Settles a batch; returns how many were sent.
    pub(super) async fn settle(&self, tx: &mut Tx, batch: &Batch) -> Result<usize, StoreError> {
        let now = self.ctx.clock.now();
        let tripped = self.count_runs(tx, batch).await?;
        let mut rows = Vec::with_capacity(batch.concluded.len());
        for concluded in &batch.concluded {
            let of_run = concluded.refusal.as_ref().is_some_and(|(key, _)| tripped.contains(key));
            rows.push(if of_run {
                // it was not this person's: it goes again once somebody has seen to it
                Settled {
                    state: State::Planned,
                    reason: Some(Reason::MovedThrottled),
                    failure: None,
                    ..concluded.settled.clone()
                }
            } else {
                concluded.settled.clone()
            });
        }
        let done = tx.settle(self.row.id, &batch.claim, &rows, now).await?;
        let mut sent = 0;
        // of those alone who were settled: others were forgotten, or are somebody else's by now
        let kept = batch.concluded.iter().filter(|c| done.contains(&c.settled.recipient));
        let kept: Vec<&Concluded> = kept.inspect(|c| sent += usize::from(c.is_taken())).collect();
        self.follow_up(tx, &kept).await?;
        for (scope, template) in &tripped {
            let refusal = batch.concluded.iter().rev().find_map(|concluded| {
                let (key, refusal) = concluded.refusal.as_ref()?;
                (key.0 == *scope && key.1 == *template).then_some(refusal)
            });
            let Some(refusal) = refusal else { continue };
            self.end_run(tx, *scope, template.as_ref(), refusal).await?;
        }
        Ok(sent)
    }

    /// Counts people in a row who were refused alike; returns the runs that mean more than each of
    /// them.
    async fn count_runs(&self, tx: &mut Tx, batch: &Batch) -> Result<HashSet<RunKey>, StoreError> {
        let is_news = batch.concluded.iter().any(|c| c.refusal.is_some());
        let known = tx.refusal_runs(self.row.id).await?;
        if !is_news && known.is_empty() {
            return Ok(HashSet::new());
        }
        let mut runs = Runs::of_rows(&known);
        let mut tripped = HashSet::new();
        for concluded in &batch.concluded {
            if concluded.is_taken() {
                tripped.retain(|(_, of): &RunKey| *of != concluded.template);
            }
            tripped.extend(runs.note(concluded).cloned());
        }
        for key in &tripped {
            runs.end(key);
        }
        let runs = runs.rows();
        if runs != known {
            tx.put_refusal_runs(self.row.id, &runs).await?;
        }
        Ok(tripped)
    }

    /// Does what a run of refusals asks for: a template that nobody gets is parked; what else nobody
    /// gets pauses the campaign.
    async fn end_run(
        &self,
        tx: &mut Tx,
        scope: RefusalScope,
        template: Option<&TemplateKey>,
        refusal: &Refusal,
    ) -> Result<(), StoreError> {
        let (env, provider) = (&self.ctx.env, &self.row.campaign.provider);
        match (scope, template) {
            (RefusalScope::PersonData, Some(template)) => {
                let now = env.clock.now();
                let reason = refusal.code_text();
                channel::park(env, tx, provider, template, reason, now).await.map(drop)
            }
            _ => channel::pause(env, tx, self.row, refusal).await,
        }
    }

    async fn follow_up(&self, tx: &mut Tx, kept: &[&Concluded]) -> Result<(), StoreError> {
        let (env, provider) = (&self.ctx.env, &self.row.campaign.provider);
        let now = env.clock.now();
        let mut pauses: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut withdrawn = Vec::new();
        let mut aliases: BTreeMap<Address, RecipientId> = BTreeMap::new();
        let mut parked: BTreeMap<&TemplateKey, &str> = BTreeMap::new();
        let mut stops: BTreeMap<&str, &str> = BTreeMap::new();
        let mut uploads: BTreeSet<&str> = BTreeSet::new();
        let effects = kept.iter().filter_map(|c| Some((c.settled.recipient, c.effect.as_ref()?)));
        for (id, effect) in effects {
            match effect {
                SideEffect::Pause(template, until) => {
                    let end = pauses.entry(template).or_insert(*until);
                    *end = (*until).max(*end);
                }
                SideEffect::Alias(alias) => {
                    let first = aliases.entry(alias.clone()).or_insert(id);
                    *first = id.min(*first);
                }
                SideEffect::Withdraw(entry) => withdrawn.push((id, entry.clone())),
                SideEffect::Suppress(code) => tx.suppress(provider, id, code, now).await?,
                SideEffect::Park(template, code) => {
                    parked.insert(template, code);
                }
                SideEffect::DropPermit(topic) => {
                    tx.drop_permit(provider, id, topic).await?;
                }
                SideEffect::Close => tx.close_service_window(provider, id).await?,
                SideEffect::Upload(url) => {
                    uploads.insert(url);
                }
                SideEffect::Stop(code, advice) => {
                    stops.insert(code, advice);
                }
            }
        }
        for (template, until) in pauses {
            tx.pause_provider(provider, template, until).await?;
        }
        channel::learn_names(env, tx, provider, &aliases).await?;
        refusals::withdraw(tx, &withdrawn).await?;
        for url in uploads {
            tx.drop_media_handle(provider, url).await?;
        }
        for (template, code) in parked {
            channel::park(env, tx, provider, template, code, now).await?;
        }
        for (code, advice) in stops {
            channel::stop(env, tx, provider, code, advice, None).await?;
        }
        self.give_permits_back(tx, kept).await?;
        self.settle_canaries(tx, kept).await
    }

    /// What was certainly not sent used no permit.
    async fn give_permits_back(&self, tx: &mut Tx, kept: &[&Concluded]) -> Result<(), StoreError> {
        let provider = &self.row.campaign.provider;
        let is_used = |c: &Concluded| c.is_taken() || c.settled.state == State::InDoubt;
        let unused = kept.iter().filter(|concluded| !is_used(concluded));
        let unused: Vec<_> =
            unused.filter_map(|c| Some((c.settled.recipient, c.permit.as_ref()?))).collect();
        if !unused.is_empty() {
            // who claims locks the account before the permits
            tx.lock_account(&channel::number_account(provider)).await?;
        }
        for (person, permit) in unused {
            tx.give_permit_back(provider, person, &permit.topic, permit.next_at[0]).await?;
        }
        Ok(())
    }

    /// What was not called is given back to its template's first messages; what was taken counts.
    async fn settle_canaries(&self, tx: &mut Tx, kept: &[&Concluded]) -> Result<(), StoreError> {
        let mut first: BTreeMap<&TemplateKey, (u64, u64)> = BTreeMap::new();
        for concluded in kept {
            let Some(key) = &concluded.canary else { continue };
            let (returned, accepted) = first.entry(key).or_default();
            *returned += u64::from(concluded.settled.attempt == Attempt::NotMade);
            *accepted += u64::from(concluded.is_taken());
        }
        let (provider, now) = (&self.row.campaign.provider, self.ctx.clock.now());
        if !first.is_empty() {
            // who claims locks the account before the template
            tx.lock_account(&channel::number_account(provider)).await?;
        }
        for (key, (returned, accepted)) in first {
            let counts = (returned, accepted);
            tx.settle_canary(provider, &key.name, &key.language, counts, now).await?;
        }
        Ok(())
    }
}
