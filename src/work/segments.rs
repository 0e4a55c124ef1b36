//! Named audiences: saved, counted with what each clause leaves, and who is of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono_tz::Tz;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::habits::evidence_of;
use super::learn::{ActiveModel, LearnError, subject};
use super::{Ctx, audit};
use crate::calendar::infer::infer;
use crate::learn::Evidence;
use crate::model::campaign::Campaign;
use crate::model::content::{Content, Goal, Media};
use crate::model::ids::{Name, RecipientId};
use crate::model::part_of_day::{PARTS, best_part};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::segment::{
    Engagement, EventFacts, Expression, ExpressionError, LearnedFacts, NeededFacts, PersonFacts,
};
use crate::store::{EngagementRow, EventCountRow, SegmentRow, StoreError};

/// People who are asked at once.
const PAGE: usize = 20_000;
/// A message that is read within so long counts in `chance`.
const READ_WITHIN: std::time::Duration = std::time::Duration::from_hours(24);

/// Why an audience cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// An expression is wrong.
    #[error("{whose}: {error}")]
    Expression {
        /// Whose it is: `audience.where`, or a segment.
        whose: String,
        /// What is wrong with it.
        #[source]
        error: ExpressionError,
    },
    /// It names events of a kind that nobody has.
    #[error("{whose}: there is no event {kind:?}; there are {there}")]
    NoEvent {
        /// Whose it is.
        whose: String,
        /// The kind.
        kind: String,
        /// The kinds there are.
        there: String,
    },
    /// There is no such segment.
    #[error("there is no segment {0}; there are {1}")]
    Absent(Name, String),
    /// Habits could not be read.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SegmentError {
    /// What went wrong, for logs and `status`: nothing that is stored of people.
    pub fn outline(&self) -> String {
        match self {
            Self::Learn(error) => error.outline(),
            Self::Store(error) => error.outline(),
            error => error.to_string(),
        }
    }
}

/// A named audience.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Segment {
    /// Its name.
    pub name: Name,
    /// Who is of it.
    #[serde(rename = "where")]
    pub expression: String,
    /// When it was last saved.
    #[schema(value_type = String, format = DateTime)]
    pub saved_at: Instant,
}

impl From<SegmentRow> for Segment {
    fn from(SegmentRow { name, expression, saved_at }: SegmentRow) -> Self {
        Self { name, expression, saved_at }
    }
}

/// How many people are of a named audience.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SegmentCount {
    /// The audience.
    #[serde(flatten)]
    pub segment: Segment,
    /// Everybody in the workspace.
    pub known: u64,
    /// Those of the audience.
    pub people: u64,
    /// Of them those who agreed to be written to.
    pub consented: u64,
    /// Each part that must hold, in order, and how many are left by it and those before.
    pub clauses: Vec<ClauseCount>,
}

/// How many people a clause leaves.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClauseCount {
    /// As it was written.
    pub clause: String,
    /// People for whom it and all before it hold.
    pub left: u64,
}

/// Every named audience.
pub async fn list(ctx: &Ctx) -> Result<Vec<Segment>, StoreError> {
    Ok(ctx.store.read().await?.segments().await?.into_iter().map(Segment::from).collect())
}

/// A named audience.
pub async fn find(ctx: &Ctx, name: &Name) -> Result<Segment, SegmentError> {
    let all = list(ctx).await?;
    let there: Vec<&str> = all.iter().map(|segment| segment.name.as_str()).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    let found = all.iter().find(|segment| segment.name == *name).cloned();
    found.ok_or_else(|| SegmentError::Absent(name.clone(), there))
}

/// Checks an expression against what exists here.
pub async fn parse(ctx: &Ctx, whose: &str, text: &str) -> Result<Expression, SegmentError> {
    let parsed = Expression::parse(text)
        .map_err(|error| SegmentError::Expression { whose: whose.to_owned(), error })?;
    let kinds = parsed.needs().events;
    if !kinds.is_empty() {
        let known = ctx.store.read().await?.event_kinds().await?;
        if let Some(kind) = kinds.into_iter().find(|kind| !known.contains(kind)) {
            let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(SegmentError::NoEvent { whose: whose.to_owned(), kind, there });
        }
    }
    Ok(parsed)
}

/// Saves a named audience, over one of the same name.
pub async fn save(
    ctx: &Ctx,
    name: Name,
    expression: &str,
    actor: &str,
) -> Result<Segment, SegmentError> {
    parse(ctx, "where", expression).await?;
    let (expression, saved_at) = (expression.to_owned(), ctx.clock.now());
    let row = SegmentRow { name, expression, saved_at };
    let mut tx = ctx.store.begin().await?;
    tx.put_segment(&row).await?;
    audit::note(ctx, &mut tx, actor, "save segment", row.name.as_str(), "").await?;
    tx.commit().await?;
    Ok(row.into())
}

/// Deletes a named audience. Campaigns that name it are refused as they are planned.
pub async fn delete(ctx: &Ctx, name: &Name, actor: &str) -> Result<Segment, SegmentError> {
    let segment = find(ctx, name).await?;
    let mut tx = ctx.store.begin().await?;
    tx.delete_segment(name).await?;
    audit::note(ctx, &mut tx, actor, "delete segment", name.as_str(), "").await?;
    tx.commit().await?;
    Ok(segment)
}

/// Counts a named audience.
pub async fn count(ctx: &Ctx, name: &Name) -> Result<SegmentCount, SegmentError> {
    let segment = find(ctx, name).await?;
    let whole = parse(ctx, name.as_str(), &segment.expression).await?;
    let mut clauses = Vec::new();
    for clause in whole.clauses() {
        clauses.push(parse(ctx, name.as_str(), clause).await?);
    }
    let clauses = Arc::new(clauses);
    let needs = whole.needs();
    let (mut known, mut left, mut consented) = (0, vec![0_u64; clauses.len()], 0);
    let asked = Arc::clone(&clauses);
    each_page(
        ctx,
        &needs,
        None,
        move |page, now| {
            let askers: Vec<_> = asked.iter().map(|clause| clause.asker(now)).collect();
            let holds = |facts: &PersonFacts<'_>| {
                let count = askers.iter().take_while(|asker| asker.holds(facts)).count();
                (count, facts.recipient.consented)
            };
            page.iter().map(holds).collect::<Vec<_>>()
        },
        |page, counted: Vec<(usize, bool)>| {
            known += page.len() as u64;
            for (count, agreed) in counted {
                left[..count].iter_mut().for_each(|left| *left += 1);
                consented += u64::from(count == clauses.len() && agreed);
            }
        },
    )
    .await?;
    let people = left.last().copied().unwrap_or(known);
    let told = clauses.iter().zip(left);
    let told = told.map(|(clause, left)| ClauseCount { clause: clause.source().to_owned(), left });
    Ok(SegmentCount { clauses: told.collect(), segment, known, people, consented })
}

/// Checks the expressions by which a campaign's audience is told.
pub(super) async fn check(ctx: &Ctx, campaign: &Campaign) -> Result<(), SegmentError> {
    // nobody is asked, and everything is read
    members(ctx, campaign, Some(&[])).await.map(drop)
}

/// Who is meant by a campaign's segments and its `where`: any of its segments, and the expression;
/// `None` where it has neither. Of some people, or of all.
pub(super) async fn members(
    ctx: &Ctx,
    campaign: &Campaign,
    people: Option<&[RecipientId]>,
) -> Result<Option<HashSet<RecipientId>>, SegmentError> {
    let audience = &campaign.audience;
    if audience.segments.is_empty() && audience.expression.is_none() {
        return Ok(None);
    }
    let mut segments = Vec::new();
    for name in &audience.segments {
        let segment = find(ctx, name).await?;
        segments.push(parse(ctx, &format!("segment {name}"), &segment.expression).await?);
    }
    let own = match &audience.expression {
        None => None,
        Some(text) => Some(parse(ctx, "audience.where", text).await?),
    };
    let needs =
        segments.iter().chain(&own).fold(NeededFacts::default(), |all, e| all.and(&e.needs()));
    let asked = Arc::new((segments, own));
    let mut members = HashSet::new();
    each_page(
        ctx,
        &needs,
        people,
        move |page, now| {
            let (segments, own) = &*asked;
            let segments: Vec<_> = segments.iter().map(|segment| segment.asker(now)).collect();
            let own = own.as_ref().map(|own| own.asker(now));
            let holds = |facts: &PersonFacts<'_>| {
                let any = segments.is_empty() || segments.iter().any(|asker| asker.holds(facts));
                any && own.as_ref().is_none_or(|own| own.holds(facts))
            };
            page.iter().map(holds).collect::<Vec<bool>>()
        },
        |page, holds: Vec<bool>| {
            let those = page.iter().zip(holds).filter(|(_, holds)| *holds);
            members.extend(those.map(|(person, _)| person.id));
        },
    )
    .await?;
    Ok(Some(members))
}

/// People who are asked together.
enum Page {
    /// Those whose numbers lie after the first, up to the last.
    Between(RecipientId, RecipientId),
    /// These.
    These(Vec<RecipientId>),
}

/// Reads people page by page with what is needed of them, several pages at once, asks each page, and
/// hands over what was answered, in order.
async fn each_page<A: Send + 'static>(
    ctx: &Ctx,
    needs: &NeededFacts,
    people: Option<&[RecipientId]>,
    ask: impl Fn(&[PersonFacts<'_>], Instant) -> A + Send + Sync + 'static,
    mut take: impl FnMut(&[Recipient], A),
) -> Result<(), SegmentError> {
    let pages: Vec<Page> = if let Some(people) = people {
        people.chunks(PAGE).map(|ids| Page::These(ids.to_vec())).collect()
    } else {
        let last = ctx.store.read().await?.last_recipient().await?;
        let firsts = (0..last.0).step_by(PAGE);
        let page = |first| Page::Between(RecipientId(first), RecipientId(first + PAGE as i64));
        firsts.map(page).collect()
    };
    let model = if needs.learned { Some(Arc::new(ActiveModel::load(ctx).await?)) } else { None };
    let asking = Arc::new(Asking { ctx: ctx.clone(), needs: needs.clone(), model, ask });
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let reading = |page| {
        let asking = Arc::clone(&asking);
        tokio::spawn(async move { asking.page(page).await })
    };
    let mut answers = stream::iter(pages).map(reading).buffered(at_once);
    while let Some(answered) = answers.next().await {
        let (people, answer) = answered.map_err(|_| LearnError::Panicked)??;
        take(&people, answer);
    }
    Ok(())
}

/// What pages of people are asked with.
struct Asking<F> {
    ctx: Ctx,
    needs: NeededFacts,
    model: Option<Arc<ActiveModel>>,
    ask: F,
}

impl<F> Asking<F> {
    async fn page<A>(&self, page: Page) -> Result<(Vec<Recipient>, A), SegmentError>
    where
        F: Fn(&[PersonFacts<'_>], Instant) -> A,
    {
        let (ctx, needs, now) = (&self.ctx, &self.needs, self.ctx.clock.now());
        let people = self.people(page).await?;
        let ids: Vec<RecipientId> = people.iter().map(|person| person.id).collect();
        let mut reader = ctx.store.read().await?;
        let engagement =
            if needs.engagement { reader.engagement(&ids).await? } else { HashMap::new() };
        let mut events = if needs.events.is_empty() {
            HashMap::new()
        } else {
            reader.event_counts(&ids, &needs.events, now).await?
        };
        drop(reader);
        let mut evidence = match &self.model {
            None => HashMap::new(),
            Some(_) => evidence_of(&ctx.store, &ids).await?.0,
        };
        let countries: Vec<Option<String>> = people.iter().map(country).collect();
        let mut facts = Vec::with_capacity(people.len());
        for (recipient, country) in people.iter().zip(&countries) {
            let own = evidence.remove(&recipient.id).unwrap_or_default();
            let model = self.model.as_ref().filter(|_| !own.is_empty());
            let of_kind = |row: EventCountRow| {
                let (last, next) = (moment(row.last), moment(row.next));
                (row.kind, EventFacts { count: row.count, last, next })
            };
            facts.push(PersonFacts {
                recipient,
                country: country.as_deref(),
                engagement: engagement.get(&recipient.id).map(told).unwrap_or_default(),
                events: events
                    .remove(&recipient.id)
                    .into_iter()
                    .flatten()
                    .map(of_kind)
                    .collect::<BTreeMap<_, _>>(),
                learned: model.map(|model| learned(model, recipient, &own, ctx.config.time_zone)),
            });
        }
        let answer = (self.ask)(&facts, now);
        drop(facts);
        Ok((people, answer))
    }

    async fn people(&self, page: Page) -> Result<Vec<Recipient>, StoreError> {
        match page {
            Page::Between(first, last) => {
                let mut reader = self.ctx.store.read().await?;
                let mut found = reader.recipients_after(first, PAGE).await?;
                // where numbers are missing, the next page has the rest
                found.retain(|person| person.id <= last);
                Ok(found)
            }
            Page::These(ids) => {
                let mut tx = self.ctx.store.begin().await?;
                let found = tx.recipients(&ids).await?;
                tx.commit().await?;
                let mut found: Vec<Recipient> = found.into_values().collect();
                found.sort_by_key(|person| person.id);
                Ok(found)
            }
        }
    }
}

/// What was learned of a person.
fn learned(model: &ActiveModel, person: &Recipient, own: &Evidence, zone: Tz) -> LearnedFacts {
    let preference = model.preference(&subject(person, own, zone));
    let week = preference.presence().map(|share| share as f32);
    let words = Content { media: Media::Text, style: None };
    let chances = preference.chances(&words, Goal::Read, READ_WITHIN);
    let chance = chances.into_iter().fold(0.0, f32::max).into();
    LearnedFacts { best_daypart: PARTS[best_part(&week)].0, chance }
}

/// The country whose law binds a person, as audiences know it.
fn country(person: &Recipient) -> Option<String> {
    let profile = &person.profile;
    let place = infer(profile.country.as_ref(), profile.address.as_ref());
    place.map(|place| place.country.as_str().to_owned())
}

fn moment(micros: Option<i64>) -> Option<Instant> {
    micros.and_then(chrono::DateTime::from_timestamp_micros)
}

fn told(row: &EngagementRow) -> Engagement {
    Engagement {
        sent: row.sent,
        last_sent: moment(row.last_sent),
        read: row.read,
        last_read: moment(row.last_read),
        clicked: row.clicked,
        last_click: moment(row.last_click),
        replied: row.replied,
        last_reply: moment(row.last_reply),
        converted: row.converted,
        last_conversion: moment(row.last_conversion),
        amount: row.amount,
    }
}
