//! People as the learner sees them, and the model in use: what preferences are read from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;

use super::Ctx;
use super::fold_mark::FoldMark;
use crate::config::LearnFrom;
use crate::learn::{
    ChannelAnswers, ChronotypeMix, Contents, DataTally, Evidence, HabitChange, Model, Sample,
    Subject, draw,
};
use crate::model::content::Content;
use crate::model::ids::RecipientId;
use crate::model::preference::{Fatigue, Preference, ReplyDelays};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::store::{ModelRow, Store, StoreError, Whose};

/// Of every fit: the same history gives the same model.
pub(super) const SEED: u64 = 1;

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

/// The contents by the numbers that evidence refers to them with.
pub(super) fn contents(known: &[Content]) -> Contents {
    let mut contents = Contents::default();
    for content in known {
        contents.enter(content);
    }
    contents
}

/// The evidence of some people, and whose is damaged; who has none is in neither.
pub(super) async fn evidence_of(
    store: &Store,
    ids: &[RecipientId],
) -> Result<(HashMap<RecipientId, Evidence>, HashSet<RecipientId>), StoreError> {
    let (mut evidence, mut damaged) = (HashMap::new(), HashSet::new());
    for (recipient, packed) in store.read().await?.evidence_of(ids).await? {
        match Evidence::from_bytes(packed) {
            Ok(read) => drop(evidence.insert(recipient, read)),
            Err(_) => drop(damaged.insert(recipient)),
        }
    }
    warn_of_damage(damaged.len());
    Ok((evidence, damaged))
}

/// Of whose evidence is damaged nothing is known, and that keeps nobody else back.
fn warn_of_damage(people: usize) {
    if people > 0 {
        tracing::warn!(people, "damaged evidence is left out; `opportune learn --full` remakes it");
    }
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
    pub async fn load(ctx: &Ctx) -> Result<Self, StoreError> {
        let recipients = ctx.store.read().await?.everybody().await?;
        let mut evidence = vec![Evidence::default(); recipients.len()];
        let mut damaged = 0;
        ctx.store
            .read()
            .await?
            .each_evidence(Whose::Everybody, |recipient, packed| {
                let index = recipients.binary_search_by_key(&recipient, |known| known.id);
                match (index, Evidence::from_bytes(packed)) {
                    (Ok(index), Ok(read)) => evidence[index] = read,
                    (Ok(_), Err(_)) => damaged += 1,
                    // forgotten or added since the first read
                    (Err(_), _) => {}
                }
            })
            .await?;
        warn_of_damage(damaged);
        Ok(Self { recipients, evidence })
    }

    /// One person as the learner sees them; `zone` stands in where the person's is not known.
    pub fn subject(&self, index: usize, zone: chrono_tz::Tz) -> Subject<'_> {
        subject(&self.recipients[index], &self.evidence[index], zone)
    }
}

/// Reads what is known of everybody: counts it, and keeps that of some.
async fn walk(
    ctx: &Ctx,
    whose: Whose,
    drawn: &[u64],
    as_of: Instant,
) -> Result<(DataTally, Vec<(u64, Evidence)>), StoreError> {
    let (mut tally, mut people, mut damaged) = (DataTally::default(), Vec::new(), 0);
    let take = |recipient: RecipientId, packed| match Evidence::from_bytes(packed) {
        Ok(evidence) => {
            tally.count(&evidence, as_of);
            if drawn.binary_search(&(recipient.0 as u64)).is_ok() {
                people.push((recipient.0 as u64, evidence));
            }
        }
        Err(_) => damaged += 1,
    };
    ctx.store.read().await?.each_evidence(whose, take).await?;
    warn_of_damage(damaged);
    Ok((tally, people))
}

/// Those who are learned from: how much there is to learn, and a sample of the people.
pub(super) struct Taught {
    pub(super) sample: Sample,
    recipients: Vec<Recipient>,
}

impl Taught {
    /// Draws at most `most` people and reads what is known of them. What is known of all others is
    /// read where it was not counted as it came.
    pub(super) async fn load(ctx: &Ctx, most: usize, as_of: Instant) -> Result<Self, StoreError> {
        let whose = match ctx.config.learn_from {
            LearnFrom::All => Whose::Everybody,
            LearnFrom::Consented => Whose::Consented,
        };
        let everybody = ctx.store.read().await?.evidence_numbers(whose).await?;
        let counted = FoldMark::load(&ctx.store).await?.and_then(|mark| mark.tally);
        let is_whole = |tally: &DataTally| {
            let people = everybody.len() as u64;
            whose == Whose::Everybody && tally.people() == people && tally.is_known_at(as_of)
        };
        let counted = counted.filter(is_whole);
        let drawn = draw(everybody, most, SEED);
        let (tally, mut people) = match counted {
            Some(tally) => {
                let ids: Vec<RecipientId> =
                    drawn.iter().map(|id| RecipientId(*id as i64)).collect();
                let (evidence, _) = evidence_of(&ctx.store, &ids).await?;
                let number = |(id, evidence): (RecipientId, _)| (id.0 as u64, evidence);
                (tally, evidence.into_iter().map(number).collect())
            }
            None => walk(ctx, whose, &drawn, as_of).await?,
        };
        let ids: Vec<RecipientId> = people.iter().map(|(id, _)| RecipientId(*id as i64)).collect();
        let mut tx = ctx.store.begin().await?;
        let mut found = tx.recipients(&ids).await?;
        tx.commit().await?;
        // who was forgotten since is left out
        people.retain(|(id, _)| found.contains_key(&RecipientId(*id as i64)));
        people.sort_unstable_by_key(|(id, _)| *id);
        let recipients =
            people.iter().filter_map(|(id, _)| found.remove(&RecipientId(*id as i64))).collect();
        Ok(Self { sample: Sample::new(&tally, people, as_of, SEED), recipients })
    }

    /// The sample as the learner sees it, in the order of their numbers.
    pub(super) fn subjects(&self, zone: chrono_tz::Tz) -> Vec<Subject<'_>> {
        let people = self.recipients.iter().zip(&self.sample.people);
        people.map(|(recipient, (_, evidence))| subject(recipient, evidence, zone)).collect()
    }
}

/// The model in use, and as of when people are read in its light.
pub struct ActiveModel {
    /// Its version; `None` before the first learning.
    pub version: Option<i64>,
    pub(super) model: Arc<Model>,
    pub(super) as_of: Instant,
}

impl ActiveModel {
    /// Reads the version in use. Before the first learning everybody is alike.
    pub async fn load(ctx: &Ctx) -> Result<Self, StoreError> {
        if let Some(found) = Self::find(ctx).await? {
            return Ok(found);
        }
        let as_of = ctx.clock.now();
        let contents = contents(&ctx.store.read().await?.contents().await?);
        Ok(Self { version: None, model: Arc::new(Model::empty(contents, as_of, SEED)), as_of })
    }

    /// Reads the version in use, if there is one that can be read.
    pub(super) async fn find(ctx: &Ctx) -> Result<Option<Self>, StoreError> {
        let Some(row) = ctx.store.read().await?.models().await?.into_iter().find(|row| row.active)
        else {
            return Ok(None);
        };
        let parameters =
            ctx.store.read().await?.model_parameters(row.version).await?.unwrap_or_default();
        let model = match Model::from_json(&parameters) {
            Ok(model) => model,
            Err(cause) => {
                tracing::error!(version = row.version, %cause, "the model in use is not readable");
                return Ok(None);
            }
        };
        let as_of = reading_time(&row, &model);
        Ok(Some(Self { version: Some(row.version), model: Arc::new(model), as_of }))
    }

    /// What is known of a person's habits.
    pub fn preference(&self, subject: &Subject<'_>) -> Preference {
        self.model.preference(subject, self.as_of)
    }

    /// What other messages of the last days change for everybody.
    pub fn fatigue(&self) -> Fatigue {
        self.model.fatigue()
    }

    /// When messages are answered, by the hour of sending: as somebody does of whom nothing is known.
    pub fn reply_delays(&self) -> ReplyDelays {
        let evidence = Evidence::default();
        let nobody =
            Subject { zone: chrono_tz::UTC, country: None, tags: &[], evidence: &evidence };
        self.preference(&nobody).reply_delays().unwrap_or_default()
    }

    /// When a person came to live by other hours, if that is all but sure.
    pub fn habit_change(&self, subject: &Subject<'_>) -> Option<HabitChange> {
        self.model.habit_change(subject, self.as_of)
    }

    /// What a person did on each of these channels, the best first.
    pub fn channel_answers(
        &self,
        subject: &Subject<'_>,
        channels: &[String],
    ) -> Vec<ChannelAnswers> {
        self.model.channel_answers(subject, self.as_of, channels)
    }

    /// What is expected of somebody before any evidence.
    pub fn mix(&self, subject: &Subject<'_>) -> ChronotypeMix {
        self.model.mix(subject)
    }
}

/// People are read as of the model's time: rolling back brings back what was known then. Age counts
/// from the newest of all observations, since a pause of the history makes nobody forget a habit.
fn reading_time(row: &ModelRow, model: &Model) -> Instant {
    model.data().last.map_or(row.as_of, |last| row.as_of.min(last + TimeDelta::hours(1)))
}
