//! History becomes preferences: what is new is folded into everybody's evidence, then the
//! population is fitted anew.
//!
//! Folding is idempotent, so the mark of progress may lag: rows that were written up to
//! `OVERLAP` before the last fold are read once more, which makes up for clocks that differ and
//! transactions that took their time. Nothing here stops a delivery: a fit that fails leaves the
//! version in use as it is.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use serde::Serialize;

use super::Ctx;
use crate::config::LearnFrom;
use crate::learn::{
    self, Contents, Evidence, Model, Observed, Presence, PresenceKind, Settings, Subject,
};
use crate::model::content::Content;
use crate::model::ids::{MessageKey, RecipientId};
use crate::model::preference::Preference;
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::store::{MessageRow, ModelRow, StoreError, Tx};

/// What clocks may differ by and transactions may take.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// Longer than any fit; a daemon that dies while learning is waited for no longer.
const LEASE: TimeDelta = TimeDelta::hours(1);
const LEASE_NAME: &str = "learn";
/// Until when history is folded into evidence, in microseconds.
const FOLDED_UNTIL: &str = "evidence_folded_until";
/// Observations that are held before they are folded.
const BATCH_MAX: usize = 400_000;
/// People whose evidence is written in one transaction.
const WRITE_ROWS: usize = 20_000;
/// Recipients that are read at once.
const PAGE: usize = 10_000;
/// Of every fit: the same history gives the same model.
pub(super) const SEED: u64 = 1;

/// What a learning step did.
#[derive(Debug, Serialize)]
pub struct Learned {
    /// The version that is in use now.
    pub version: i64,
    /// Nothing later taught it.
    pub as_of: Instant,
    /// Messages that were new or changed.
    pub messages: u64,
    /// Signs of presence that were new.
    pub activities: u64,
    /// People whose evidence was touched.
    pub people: u64,
    /// Data range, chosen settings and held-out figures.
    pub summary: serde_json::Value,
}

/// Why learning ended without a new version. The one in use stays.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process is learning.
    #[error("another process is learning in this database")]
    Busy,
    /// The fit failed; the last good version stays in use.
    #[error("the fit failed; the last good version stays in use")]
    Fit(#[source] learn::FitError),
    /// The fit's thread ended without a word.
    #[error("the fit stopped unexpectedly; the last good version stays in use")]
    Panicked,
    /// Stored evidence is not readable; `learn --full` makes it anew.
    #[error(
        "the evidence of recipient {recipient} is damaged; `opportune learn --full` remakes it"
    )]
    Evidence {
        /// Whose.
        recipient: RecipientId,
    },
}

/// Folds what is new and fits the population as of `as_of` (now, if absent). `full` starts over.
pub async fn run(
    ctx: &Ctx,
    as_of: Option<Instant>,
    full: bool,
    progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Learned, LearnError> {
    let now = ctx.clock.now();
    if !ctx.store.take_lease(LEASE_NAME, &ctx.node, now, now + LEASE).await? {
        return Err(LearnError::Busy);
    }
    let learned = fold_and_fit(ctx, now, as_of.unwrap_or(now), full, progress).await;
    ctx.store.drop_lease(LEASE_NAME, &ctx.node).await?;
    learned
}

/// Folds what is new, and no more.
pub(super) async fn catch_up(ctx: &Ctx) -> Result<(), LearnError> {
    let now = ctx.clock.now();
    if !ctx.store.take_lease(LEASE_NAME, &ctx.node, now, now + LEASE).await? {
        return Err(LearnError::Busy);
    }
    let folded = fold(ctx, now, false).await;
    ctx.store.drop_lease(LEASE_NAME, &ctx.node).await?;
    folded.map(drop)
}

async fn fold_and_fit(
    ctx: &Ctx,
    now: Instant,
    as_of: Instant,
    full: bool,
    mut progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Learned, LearnError> {
    progress("folding history", 0.0);
    let folded = fold(ctx, now, full).await?;
    let contents = contents(&ctx.store.contents().await?);
    let people = People::load(ctx).await?;
    let config = Arc::clone(&ctx.config);
    let fit = move || {
        let taught = people.taught(config.learn_from, config.time_zone);
        learn::fit(&taught, &contents, &Settings::default(), as_of, SEED, &mut progress)
    };
    let model = tokio::task::spawn_blocking(fit).await.map_err(|_| LearnError::Panicked)?;
    let model = model.map_err(LearnError::Fit)?;
    let summary = summary(&model);
    let parameters = serde_json::to_string(&model).map_err(|_| LearnError::Panicked)?;
    let mut tx = ctx.store.begin().await?;
    let version = tx.add_model(now, as_of, &summary.to_string(), &parameters).await?;
    tx.commit().await?;
    Ok(Learned {
        version,
        as_of,
        messages: folded.messages,
        activities: folded.activities,
        people: folded.people,
        summary,
    })
}

fn summary(model: &Model) -> serde_json::Value {
    let chosen: serde_json::Value = serde_json::from_str(&model.describe()).unwrap_or_default();
    serde_json::json!({
        "data": model.data(),
        "settings": chosen,
        "held_out": model.held_out(),
        "chronotypes": model.chronotypes(),
    })
}

pub(super) fn contents(known: &[Content]) -> Contents {
    let mut contents = Contents::default();
    for content in known {
        contents.enter(content);
    }
    contents
}

struct Folded {
    messages: u64,
    activities: u64,
    people: u64,
}

/// Folds messages and activity written since the last time into everybody's evidence.
async fn fold(ctx: &Ctx, now: Instant, full: bool) -> Result<Folded, LearnError> {
    let mark = ctx.store.mark(FOLDED_UNTIL).await?.and_then(|mark| mark.parse::<i64>().ok());
    let since = mark.and_then(DateTime::from_timestamp_micros).filter(|_| !full);
    let since = since.map_or(DateTime::UNIX_EPOCH, |mark| mark - OVERLAP);
    let known = ctx.store.contents().await?;
    let mut folder = Folder { contents: contents(&known), ..Folder::default() };
    // evidence that may be there already is read before it is folded into
    let fresh = since == DateTime::UNIX_EPOCH;
    let (mut messages, mut activities) = (0, 0);
    ctx.store
        .each_changed_message(since, |row| {
            messages += 1;
            folder.message(row, fresh);
        })
        .await?;
    ctx.store
        .each_changed_activity(since, |recipient, at, kind| {
            activities += 1;
            folder.presence(recipient, Presence { at, kind: PresenceKind::of(kind) }, fresh);
        })
        .await?;
    let people = folder.write(ctx, known.len(), fresh, full).await?;
    let mut tx = ctx.store.begin().await?;
    tx.set_mark(FOLDED_UNTIL, &now.timestamp_micros().to_string()).await?;
    tx.commit().await?;
    Ok(Folded { messages, activities, people })
}

/// Observations on their way into evidence.
#[derive(Default)]
struct Folder {
    contents: Contents,
    waiting: HashMap<RecipientId, (Vec<Observed>, Vec<Presence>)>,
    count: usize,
    folded: HashMap<RecipientId, Evidence>,
}

impl Folder {
    fn message(&mut self, row: MessageRow, fresh: bool) {
        let m = row.message;
        let content = m.media.map(|media| Content { media, style: m.style });
        let observed = Observed {
            hash: hash(&m.key),
            sent_at: m.sent_at,
            content: content.and_then(|content| self.contents.enter(&content)),
            category: m.category,
            response: m.response,
        };
        self.waiting.entry(row.recipient).or_default().0.push(observed);
        self.counted(fresh);
    }

    fn presence(&mut self, recipient: RecipientId, presence: Presence, fresh: bool) {
        self.waiting.entry(recipient).or_default().1.push(presence);
        self.counted(fresh);
    }

    /// Keeps memory bounded when everything is folded anew; what is only added to stays few.
    fn counted(&mut self, fresh: bool) {
        self.count += 1;
        if fresh && self.count >= BATCH_MAX {
            self.fold_waiting();
        }
    }

    fn fold_waiting(&mut self) {
        for (recipient, (messages, presences)) in self.waiting.drain() {
            self.folded.entry(recipient).or_default().fold(&messages, &presences);
        }
        self.count = 0;
    }

    async fn write(
        mut self,
        ctx: &Ctx,
        known: usize,
        fresh: bool,
        full: bool,
    ) -> Result<u64, LearnError> {
        if !fresh {
            let ids: Vec<RecipientId> = self.waiting.keys().copied().collect();
            for (recipient, packed) in ctx.store.evidence_of(&ids).await? {
                let evidence =
                    Evidence::from_bytes(packed).map_err(|_| LearnError::Evidence { recipient })?;
                self.folded.insert(recipient, evidence);
            }
        }
        self.fold_waiting();
        let mut ids: Vec<RecipientId> = self.folded.keys().copied().collect();
        ids.sort_unstable();
        let mut tx = ctx.store.begin().await?;
        if full {
            tx.clear_evidence().await?;
        }
        tx.add_contents(known, &self.contents.list()[known..]).await?;
        for chunk in ids.chunks(WRITE_ROWS) {
            self.write_chunk(&mut tx, chunk).await?;
            if !full {
                tx.commit().await?;
                tx = ctx.store.begin().await?;
            }
        }
        tx.commit().await?;
        Ok(ids.len() as u64)
    }

    async fn write_chunk(&self, tx: &mut Tx, ids: &[RecipientId]) -> Result<(), StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (*id, self.folded[id].as_bytes())).collect();
        tx.put_evidence(&rows).await
    }
}

/// Tells a person's messages apart (FNV-1a, 32 bits).
fn hash(key: &MessageKey) -> u32 {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    key.as_str().bytes().fold(0x811c_9dc5, mix)
}

/// Everybody who is known, with their evidence, in the order of their numbers.
pub struct People {
    /// Who.
    pub recipients: Vec<Recipient>,
    /// Of each.
    pub evidence: Vec<Evidence>,
}

impl People {
    /// Reads everybody.
    pub async fn load(ctx: &Ctx) -> Result<Self, LearnError> {
        let mut recipients: Vec<Recipient> = Vec::new();
        loop {
            let after = recipients.last().map_or(RecipientId(0), |last| last.id);
            let page = ctx.store.recipients_after(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            recipients.extend(page);
        }
        let mut evidence = vec![Evidence::default(); recipients.len()];
        let mut damaged = None;
        ctx.store
            .each_evidence(|recipient, packed| {
                let index = recipients.binary_search_by_key(&recipient, |known| known.id);
                match (index, Evidence::from_bytes(packed)) {
                    (Ok(index), Ok(read)) => evidence[index] = read,
                    (Ok(_), Err(_)) => damaged = Some(recipient),
                    // forgotten or added since the first read
                    (Err(_), _) => {}
                }
            })
            .await?;
        match damaged {
            Some(recipient) => Err(LearnError::Evidence { recipient }),
            None => Ok(Self { recipients, evidence }),
        }
    }

    /// One person as the learner sees them; `zone` stands in where the person's is not known.
    pub fn subject(&self, index: usize, zone: chrono_tz::Tz) -> Subject<'_> {
        subject(&self.recipients[index], &self.evidence[index], zone)
    }

    /// Those who are learned from.
    pub(super) fn taught(&self, from: LearnFrom, zone: chrono_tz::Tz) -> Vec<Subject<'_>> {
        (0..self.recipients.len())
            .filter(|index| from == LearnFrom::All || self.recipients[*index].consented)
            .map(|index| self.subject(index, zone))
            .collect()
    }
}

/// A person as the learner sees them; `zone` stands in where the person's is not known.
pub fn subject<'a>(
    recipient: &'a Recipient,
    evidence: &'a Evidence,
    zone: chrono_tz::Tz,
) -> Subject<'a> {
    Subject {
        zone: recipient.profile.zone.map_or(zone, |known| known.tz),
        country: recipient.profile.country.as_ref(),
        tags: &recipient.profile.tags,
        evidence,
    }
}

/// The model in use, and as of when people are read in its light.
pub struct InUse {
    /// Its version; `None` before the first learning.
    pub version: Option<i64>,
    model: Arc<Model>,
    as_of: Instant,
}

impl InUse {
    /// Reads the version in use. Before the first learning everybody is alike.
    pub async fn load(ctx: &Ctx) -> Result<Self, LearnError> {
        let now = ctx.clock.now();
        let row = ctx.store.models().await?.into_iter().find(|row| row.active);
        if let Some(row) = row {
            let parameters = ctx.store.model_parameters(row.version).await?.unwrap_or_default();
            if let Ok(model) = serde_json::from_str::<Model>(&parameters) {
                let as_of = reading_time(&row, &model);
                return Ok(Self { version: Some(row.version), model: Arc::new(model), as_of });
            }
            tracing::error!(version = row.version, "the model is not readable; learn again");
        }
        let contents = contents(&ctx.store.contents().await?);
        let model = Arc::new(Model::empty(contents, now, SEED));
        Ok(Self { version: None, model, as_of: now })
    }

    /// What is known of a person's habits.
    pub fn preference(&self, subject: &Subject<'_>) -> Preference {
        self.model.preference(subject, self.as_of)
    }
}

/// People are read as of the model's time: rolling back brings back what was known then. Age counts
/// from the newest of all observations, since a pause of the history makes nobody forget a habit.
fn reading_time(row: &ModelRow, model: &Model) -> Instant {
    model.data().last.map_or(row.as_of, |last| row.as_of.min(last + TimeDelta::hours(1)))
}
