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
    /// What everybody else has taken, and the other runs and fallbacks of the same campaign.
    pub(super) booked: Vec<Booking>,
    /// Where replies or spend are limited: the rows of the other open runs and fallbacks, and whether the same
    /// provider carries them.
    pub(super) of_family: Vec<(bool, Vec<DeliveryRow>)>,
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
            of_family: Vec::new(),
        };
        let mut reader = ctx.store.read().await?;
        let mut others = Vec::new();
        if row.parent.is_some() || row.has_parts() {
            let family = reader.open_family(row.root()).await?;
            let others_of =
                family.iter().filter(|other| other.id != row.id && !other.is_standing());
            others.extend(
                others_of.map(|other| (other.id, other.campaign.provider == row.campaign.provider)),
            );
        }
        if found.is_brief && scope == PlanScope::Undecided {
            found.rows = reader.undecided(row.id, length).await?;
            others.push((row.id, true));
        } else {
            found.rows = reader.deliveries(row.id, length).await?;
        }
        let now = ctx.clock.now();
        let since = taken::since(now);
        if limited {
            for (other, is_carried) in std::mem::take(&mut others) {
                found.of_family.push((is_carried, reader.deliveries(other, length).await?));
            }
            // what those that are closed have spent is gone from the budget
            if row.campaign.budget.is_some() {
                let slot = Slot::holding(now, length);
                for (arm, spend) in reader.spent_by_closed_runs(row.root()).await? {
                    found.booked.push(Booking { spend, ..Booking::none(slot, arm) });
                }
            }
        }
        for (campaign, is_carried) in others {
            let counts = reader.slot_counts(campaign, length, since).await?;
            found.booked.extend(counts.into_iter().map(|count| Booking {
                messages: count.messages,
                is_carried,
                ..Booking::none(count.slot, count.arm)
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
