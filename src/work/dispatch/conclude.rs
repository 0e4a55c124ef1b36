//! What follows from a provider's answer: the settlement of the message, and what it says of the
//! person, the template and the account.

use std::collections::{BTreeMap, HashMap};

use super::batch::Batch;
use super::check::{Check, given_back, refused, settle_as, undecided};
use crate::model::campaign::Campaign;
use crate::model::consent::ConsentEntry;
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;
use crate::model::message::{Message, Response};
use crate::model::recipient::{Address, Locale, Profile};
use crate::model::time::Instant;
use crate::provider::{OutboundMessage, RefusalScope, Scope, SendOutcome};
use crate::store::{Attempt, Claim, Due, MessageRow, Settled, StoreError};
use crate::work::channel;

/// Tries of one message that a provider puts off for this person.
const ATTEMPTS_MAX: u32 = 5;
/// Tries of one message whose media file the channel cannot use: by its handle, and once more.
const MEDIA_ATTEMPTS_MAX: u32 = 2;
/// Days on which a person who gets too much marketing is tried.
const DAYS_MAX: u32 = 3;

/// What became of one message, and what is to be kept of it.
pub(super) struct Done {
    pub(super) recipient: RecipientId,
    pub(super) settled: Settled,
    sent: Option<MessageRow>,
    follow: Option<Follow>,
}

/// What an answer says of more than its message.
enum Follow {
    /// A template (`""`: everything) asked to wait.
    Pause(String, Instant),
    /// The provider calls the person so.
    Alias(Address),
    /// The person is not to be written to again.
    Withdraw(ConsentEntry),
    /// The template is refused.
    Park(String, Option<Locale>, String),
    /// The service window is closed.
    Close,
    /// A file must be handed over again.
    Forget(String),
    /// The account is stopped.
    Stop(String, String),
}

impl Done {
    pub(super) fn plain(recipient: RecipientId, settled: Settled) -> Self {
        Self { recipient, settled, sent: None, follow: None }
    }
}

impl Check<'_> {
    pub(super) fn conclude(
        self,
        due: Due,
        profile: &Profile,
        message: &OutboundMessage,
        outcome: SendOutcome,
    ) -> Done {
        let recipient = due.recipient;
        let with = |settled, follow| Done { recipient, settled, sent: None, follow };
        let kept = |settled, id, alias: Option<Address>| {
            let message = sent_message(self.campaign, message, due);
            let sent = Some(MessageRow { recipient, message, provider_message: id });
            Done { recipient, settled, sent, follow: alias.map(Follow::Alias) }
        };
        let template = message.template.clone().filter(|_| !message.free_form);
        match outcome {
            SendOutcome::Accepted { id, alias } => kept(settle_as(State::Sent, None), id, alias),
            SendOutcome::Held { id } => {
                kept(settle_as(State::Held, Some(Reason::HeldByProvider)), id, None)
            }
            SendOutcome::Later { whom: Scope::Recipient, .. } | SendOutcome::NeedsTemplate
                if due.attempts >= ATTEMPTS_MAX =>
            {
                with(settle_as(State::Failed, Some(Reason::AttemptsExhausted)), None)
            }
            SendOutcome::Later { until, whom } => {
                let (attempt, follow) = match whom {
                    Scope::Recipient => (Attempt::Made, None),
                    Scope::Template => {
                        (Attempt::NotMade, template.map(|name| Follow::Pause(name, until)))
                    }
                    Scope::Provider => {
                        (Attempt::NotMade, Some(Follow::Pause(String::new(), until)))
                    }
                };
                with(self.put_off(profile, due, until, attempt), follow)
            }
            SendOutcome::AnotherDay { until } => {
                let again = undecided(Reason::MovedThrottled, Some(until));
                let last = settle_as(State::Failed, Some(Reason::AttemptsExhausted));
                with(if due.attempts >= DAYS_MAX { last } else { again }, None)
            }
            SendOutcome::Refused(refusal) => match refusal.scope {
                RefusalScope::PersonData | RefusalScope::Person | RefusalScope::Unreachable => {
                    with(refused(Reason::RecipientRefused), None)
                }
                RefusalScope::OptedOut => {
                    let source = format!("{} {}", self.campaign.provider, refusal.code_text());
                    let evidence = message.key.to_string();
                    let entry = channel::withdrawal(source, evidence, message.at);
                    with(refused(Reason::RecipientRefused), Some(Follow::Withdraw(entry)))
                }
                RefusalScope::Template => match template {
                    // parked: the plan falls back to another variant, or refuses
                    Some(name) => {
                        let code = refusal.code_text().to_owned();
                        let follow = Follow::Park(name, message.language.clone(), code);
                        with(undecided(Reason::MovedThrottled, None), Some(follow))
                    }
                    None => with(refused(Reason::TemplateRefused), None),
                },
                RefusalScope::Media if due.attempts >= MEDIA_ATTEMPTS_MAX => {
                    with(settle_as(State::Failed, Some(Reason::AttemptsExhausted)), None)
                }
                RefusalScope::Media => {
                    let follow = message.media_url.clone().map(Follow::Forget);
                    with(self.put_off(profile, due, message.at, Attempt::Made), follow)
                }
                RefusalScope::Account => {
                    let code = refusal.code_text().to_owned();
                    let follow = Follow::Stop(code, refusal.words.to_string());
                    with(given_back(due), Some(follow))
                }
                RefusalScope::Unknown => {
                    with(settle_as(State::Failed, Some(Reason::ProviderFailure)), None)
                }
            },
            SendOutcome::NeedsTemplate => {
                with(self.put_off(profile, due, message.at, Attempt::Made), Some(Follow::Close))
            }
            SendOutcome::InDoubt => with(settle_as(State::InDoubt, Some(Reason::AnswerLost)), None),
        }
    }
}

impl Batch<'_> {
    /// Settles a batch in one transaction; returns how many were sent.
    pub(super) async fn settle(&self, claim: &Claim, done: &[Done]) -> Result<usize, StoreError> {
        let (ctx, provider) = (self.ctx, &self.row.campaign.provider);
        let now = ctx.clock.now();
        let mut alike: BTreeMap<Settled, Vec<RecipientId>> = BTreeMap::new();
        let mut sent: HashMap<RecipientId, &MessageRow> = HashMap::new();
        for done in done {
            alike.entry(done.settled).or_default().push(done.recipient);
            sent.extend(done.sent.as_ref().map(|row| (done.recipient, row)));
        }
        let mut tx = ctx.store.begin().await?;
        // before its messages, as who looks for lost claims does: neither waits for the other
        tx.release(claim).await?;
        let mut kept = Vec::with_capacity(sent.len());
        for (settled, recipients) in alike {
            for id in tx.settle(self.row.id, claim, settled, &recipients, now).await? {
                kept.extend(sent.remove(&id));
            }
        }
        tx.put_sent(&kept, now).await?;
        let mut pauses: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut withdrawn = Vec::new();
        let mut aliases: BTreeMap<Address, RecipientId> = BTreeMap::new();
        let mut parked: BTreeMap<(&str, Option<&Locale>), &str> = BTreeMap::new();
        let mut stops: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, follow) in done.iter().filter_map(|d| Some((d.recipient, d.follow.as_ref()?))) {
            match follow {
                Follow::Pause(template, until) => {
                    let end = pauses.entry(template).or_insert(*until);
                    *end = (*until).max(*end);
                }
                Follow::Alias(alias) => {
                    let first = aliases.entry(alias.clone()).or_insert(id);
                    *first = id.min(*first);
                }
                Follow::Withdraw(entry) => withdrawn.push((id, entry.clone())),
                Follow::Park(template, language, code) => {
                    parked.insert((template, language.as_ref()), code);
                }
                Follow::Close => tx.close_service_window(provider, id).await?,
                Follow::Forget(url) => tx.drop_media_handle(provider, url).await?,
                Follow::Stop(code, advice) => {
                    stops.insert(code, advice);
                }
            }
        }
        for (template, until) in pauses {
            tx.pause_provider(provider, template, until).await?;
        }
        tx.put_aliases(provider, &aliases).await?;
        tx.append_consent(&withdrawn).await?;
        for (template, code) in parked {
            channel::park(ctx, &mut tx, provider, template, code).await?;
        }
        for (code, advice) in stops {
            channel::stop(ctx, &mut tx, provider, code, advice).await?;
        }
        tx.commit().await?;
        Ok(kept.len())
    }
}

/// The message as history keeps it.
fn sent_message(campaign: &Campaign, message: &OutboundMessage, due: Due) -> Message {
    Message {
        key: message.key.clone(),
        campaign: Some(campaign.name.to_string()),
        channel: Some(campaign.provider.to_string()),
        category: Some(campaign.category),
        media: Some(message.content.media),
        style: message.content.style.clone(),
        sent_at: message.at,
        response: Response::default(),
        propensity: due.propensity,
    }
}
