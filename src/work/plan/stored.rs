//! What is stored of the people of a plan: decisions, evidence, and what they are written about.

use std::collections::{BTreeMap, HashMap};

use super::taken;
use super::{Ctx, PlanScope};
use crate::model::delivery::State;
use crate::model::ids::RecipientId;
use crate::model::recipient::Recipient;
use crate::model::slot::Slot;
use crate::model::time::Instant;
use crate::plan::Booking;
use crate::store::{CampaignRow, DeliveryRow, StoreError};
use crate::work::habits::evidence_of;
use crate::work::learn::{LearnError, People};

/// What is stored of a campaign's people.
pub(super) struct StoredPeople {
    /// In the order of their numbers.
    pub(super) rows: Vec<DeliveryRow>,
    /// Whether those alone are among them who are to be decided about.
    pub(super) is_brief: bool,
    /// What everybody else has taken, and the other runs of its standing campaign.
    pub(super) booked: Vec<Booking>,
    /// Where replies or spend are limited: the other open runs' own rows.
    pub(super) of_runs: Vec<DeliveryRow>,
}

/// What a person is written about.
pub(super) struct WrittenAbout {
    /// From when until when.
    pub(super) span: (Instant, Instant),
    /// The person's attributes, and over them what is known of the occasion.
    pub(super) attributes: BTreeMap<String, String>,
}

impl StoredPeople {
    pub(super) async fn read(
        ctx: &Ctx,
        row: &CampaignRow,
        scope: PlanScope,
    ) -> Result<Self, StoreError> {
        let length = ctx.config.slot_length;
        let limited = row.campaign.capacity.chats.is_some() || row.campaign.budget.is_some();
        let mut found = Self {
            rows: Vec::new(),
            is_brief: (scope == PlanScope::Undecided || row.has_occurrences()) && !limited,
            booked: Vec::new(),
            of_runs: Vec::new(),
        };
        let mut reader = ctx.store.read().await?;
        let mut others = Vec::new();
        if let Some(parent) = row.parent {
            let runs = reader.open_runs(parent).await?;
            others.extend(runs.iter().map(|run| run.id).filter(|run| *run != row.id));
        }
        if found.is_brief && scope == PlanScope::Undecided {
            found.rows = reader.undecided(row.id, length).await?;
            others.push(row.id);
        } else {
            found.rows = reader.deliveries(row.id, length).await?;
        }
        let now = ctx.clock.now();
        let since = taken::since(now);
        if limited {
            for run in std::mem::take(&mut others) {
                found.of_runs.extend(reader.deliveries(run, length).await?);
            }
            // what closed runs have spent is gone from the budget
            if let (Some(parent), Some(_)) = (row.parent, &row.campaign.budget) {
                let slot = Slot::holding(now, length);
                for (arm, spend) in reader.spent_by_closed_runs(parent).await? {
                    found.booked.push(Booking { slot, arm, messages: 0, replies: 0.0, spend });
                }
            }
        }
        for campaign in others {
            let counts = reader.slot_counts(campaign, length, since).await?;
            found.booked.extend(counts.into_iter().map(|count| Booking {
                slot: count.slot,
                arm: count.arm,
                messages: count.messages,
                replies: 0.0,
                spend: 0.0,
            }));
        }
        Ok(found)
    }

    pub(super) fn of(&self, recipient: RecipientId) -> Option<&DeliveryRow> {
        let at = self.rows.binary_search_by_key(&recipient, |found| found.delivery.recipient);
        at.ok().map(|at| &self.rows[at])
    }
}

/// What people of a run are written about; nobody of another campaign is.
pub(super) async fn occasions(
    ctx: &Ctx,
    row: &CampaignRow,
    people: &[Recipient],
    wanted: &[RecipientId],
) -> Result<HashMap<RecipientId, WrittenAbout>, StoreError> {
    if !row.has_occurrences() {
        return Ok(HashMap::new());
    }
    let found = ctx.store.read().await?.occurrences_in_run(row.id, wanted).await?;
    let about = |person: &Recipient| {
        let occurrence = found.get(&person.id)?;
        let mut attributes = person.profile.attributes.clone();
        attributes.extend(occurrence.attributes.clone());
        let span = (occurrence.opens_at, occurrence.closes_at);
        Some((person.id, WrittenAbout { span, attributes }))
    };
    Ok(people.iter().filter_map(about).collect())
}

/// Whether a stored row is to be decided about anew.
pub(super) fn is_open(found: &DeliveryRow, scope: PlanScope) -> bool {
    let delivery = &found.delivery;
    let untried = matches!(delivery.state, State::Planned | State::Refused) && found.attempts == 0;
    found.is_undecided() || scope == PlanScope::Everybody && untried
}

/// The people with the numbers, and their evidence.
pub(super) async fn some_people(
    ctx: &Ctx,
    mut ids: Vec<RecipientId>,
) -> Result<People, LearnError> {
    ids.sort_unstable();
    ids.dedup();
    let mut tx = ctx.store.begin().await?;
    let mut found = tx.recipients(&ids).await?;
    tx.commit().await?;
    let (mut read, _) = evidence_of(&ctx.store, &ids).await?;
    let (mut recipients, mut evidence) = (Vec::new(), Vec::new());
    for id in ids {
        let Some(recipient) = found.remove(&id) else { continue };
        recipients.push(recipient);
        evidence.push(read.remove(&id).unwrap_or_default());
    }
    Ok(People { recipients, evidence })
}
