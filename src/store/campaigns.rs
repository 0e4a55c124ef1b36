//! What was submitted, whether it runs, and what each slot of its plan takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{FromRow, QueryBuilder};

use super::bulk::{List, Sql, one_of};
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::Invalid;
use crate::model::campaign::Campaign;
use crate::model::content::word_type;
use crate::model::ids::Name;
use crate::model::time::Instant;

word_type! {
    /// Whether a campaign runs.
    CampaignStatus, "status", "one of active, paused, cancelled, finished" {
        /// It is planned and dispatched.
        Active = "active",
        /// Nothing of it is claimed until it is resumed.
        Paused = "paused",
        /// An operator ended it.
        Cancelled = "cancelled",
        /// Everybody is in an end state and the window is over.
        Finished = "finished",
    }
}

impl CampaignStatus {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Finished)
    }
}

/// A stored campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRow {
    /// Our number.
    pub id: i64,
    /// What its file says.
    pub campaign: Arc<Campaign>,
    /// Whether it runs.
    pub status: CampaignStatus,
    /// When it was submitted.
    pub submitted_at: Instant,
    /// When its window is over everywhere.
    pub ends_at: Instant,
    /// When it was last planned.
    pub planned_at: Option<Instant>,
    /// The model version it was planned with.
    pub model: Option<i64>,
    /// Certificate and forecast, as JSON.
    pub plan: Option<String>,
}

/// Campaigns' files do not change once they are stored; reading them again costs more than
/// everything else that a claim does.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(Arc<Mutex<HashMap<i64, Arc<Campaign>>>>);

impl Files {
    fn known(&self) -> MutexGuard<'_, HashMap<i64, Arc<Campaign>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: i64) -> Option<Arc<Campaign>> {
        self.known().get(&id).cloned()
    }

    fn parse(&self, id: i64, source: &str) -> Result<Arc<Campaign>, StoreError> {
        let campaign = Campaign::from_toml(source).map_err(|error| StoreError::Corrupt {
            table: TABLE,
            cause: Invalid::new("source", error, "a campaign of this version"),
        })?;
        let campaign = Arc::new(campaign);
        self.known().insert(id, Arc::clone(&campaign));
        Ok(campaign)
    }
}

const BY_NAME: &str = "SELECT id, status, submitted_at, ends_at, planned_at, model, plan
    FROM campaign WHERE name = $1";
const FILE: &str = "SELECT source FROM campaign WHERE id = $1";

#[derive(FromRow)]
struct Row {
    id: i64,
    status: String,
    submitted_at: i64,
    ends_at: i64,
    planned_at: Option<i64>,
    model: Option<i64>,
    plan: Option<String>,
}

const TABLE: &str = "campaign";

impl Row {
    fn into_model(self, campaign: Arc<Campaign>) -> Result<CampaignRow, StoreError> {
        Ok(CampaignRow {
            id: self.id,
            campaign,
            status: parsed(TABLE, &self.status)?,
            submitted_at: instant(TABLE, self.submitted_at)?,
            ends_at: instant(TABLE, self.ends_at)?,
            planned_at: self.planned_at.map(|at| instant(TABLE, at)).transpose()?,
            model: self.model,
            plan: self.plan,
        })
    }
}

/// What a slot of a plan takes.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanSlotRow {
    /// When the slot begins.
    pub start: Instant,
    /// Messages that it can take; `None` without bound.
    pub capacity: Option<u64>,
    /// Taken before this plan.
    pub reserved: u64,
    /// Taken by this plan.
    pub planned: u64,
    /// What one more place would be worth.
    pub price: f64,
}

impl Reader {
    /// Campaigns in the order in which they plan: by priority, then by age.
    pub async fn campaigns(&mut self) -> Result<Vec<CampaignRow>, StoreError> {
        const SQL: &str = "SELECT id, status, submitted_at, ends_at, planned_at, model, plan
            FROM campaign ORDER BY id";
        let found: Vec<Row> =
            on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await).doing("list campaigns")?;
        let mut rows = Vec::with_capacity(found.len());
        for row in found {
            let campaign = self.file(row.id).await?;
            rows.push(row.into_model(campaign)?);
        }
        rows.sort_by_key(|row| (std::cmp::Reverse(row.campaign.priority), row.id));
        Ok(rows)
    }

    /// The campaign with the name.
    pub async fn campaign(&mut self, name: &Name) -> Result<Option<CampaignRow>, StoreError> {
        let row: Option<Row> =
            on!(self, |db| sqlx::query_as(BY_NAME).bind(name.as_str()).fetch_optional(db).await)
                .doing("find a campaign")?;
        match row {
            None => Ok(None),
            Some(row) => {
                let campaign = self.file(row.id).await?;
                row.into_model(campaign).map(Some)
            }
        }
    }

    async fn file(&mut self, id: i64) -> Result<Arc<Campaign>, StoreError> {
        if let Some(campaign) = self.files.get(id) {
            return Ok(campaign);
        }
        let source: String = on!(self, |db| sqlx::query_scalar(FILE).bind(id).fetch_one(db).await)
            .doing("read a campaign's file")?;
        self.files.parse(id, &source)
    }

    /// Whether a campaign runs.
    pub async fn campaign_status(&mut self, id: i64) -> Result<CampaignStatus, StoreError> {
        const SQL: &str = "SELECT status FROM campaign WHERE id = $1";
        let status: String = on!(self, |db| sqlx::query_scalar(SQL).bind(id).fetch_one(db).await)
            .doing("look whether a campaign runs")?;
        parsed(TABLE, &status)
    }

    /// The slots of a campaign's plan, in order.
    pub async fn plan_slots(&mut self, campaign: i64) -> Result<Vec<PlanSlotRow>, StoreError> {
        const SQL: &str = "SELECT slot_start, capacity, reserved, planned, price FROM plan_slot
            WHERE campaign = $1 ORDER BY slot_start";
        let rows: Vec<(i64, Option<i64>, i64, i64, f64)> =
            on!(self, |db| sqlx::query_as(SQL).bind(campaign).fetch_all(db).await)
                .doing("read a plan's slots")?;
        let slot =
            |(start, capacity, reserved, planned, price): (i64, Option<i64>, i64, i64, f64)| {
                Ok(PlanSlotRow {
                    start: instant("plan_slot", start)?,
                    capacity: capacity.map(|capacity| capacity as u64),
                    reserved: reserved as u64,
                    planned: planned as u64,
                    price,
                })
            };
        rows.into_iter().map(slot).collect()
    }
}

impl Tx {
    /// Stores a campaign; `None` when its name is taken.
    pub async fn add_campaign(
        &mut self,
        campaign: &Campaign,
        source: &str,
        now: Instant,
        ends_at: Instant,
    ) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "INSERT INTO campaign
            (id, name, source, provider, status, submitted_at, ends_at)
            VALUES ($1, $2, $3, $4, 'active', $5, $6) ON CONFLICT (name) DO NOTHING";
        let id = self.take_numbers("campaign", 1).await?;
        let added = on!(self, |db| sqlx::query(SQL)
            .bind(id)
            .bind(campaign.name.as_str())
            .bind(source)
            .bind(campaign.provider.as_str())
            .bind(micros(now))
            .bind(micros(ends_at))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("store a campaign")?;
        Ok((added > 0).then_some(id))
    }

    /// Moves a campaign from one of the given statuses to another; false when it was in none.
    pub async fn set_campaign_status(
        &mut self,
        id: i64,
        from: &[CampaignStatus],
        to: CampaignStatus,
    ) -> Result<bool, StoreError> {
        const SQL: Sql =
            one_of!("UPDATE campaign SET status = $2 WHERE id = $1 AND status", "$3", "");
        let (sql, from) = (self.text(SQL), List(from.iter().map(|s| s.as_str()).collect()));
        let changed = run!(self, sql, id, to.as_str(), from).doing("change a campaign's status")?;
        Ok(changed > 0)
    }

    /// Keeps what a plan says of the whole campaign.
    pub async fn set_campaign_plan(
        &mut self,
        id: i64,
        now: Instant,
        model: Option<i64>,
        plan: &str,
        slots: &[PlanSlotRow],
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE campaign SET planned_at = $2, model = $3, plan = $4 WHERE id = $1";
        on!(self, |db| {
            async {
                sqlx::query(SQL)
                    .bind(id)
                    .bind(micros(now))
                    .bind(model)
                    .bind(plan)
                    .execute(&mut *db)
                    .await?;
                sqlx::query("DELETE FROM plan_slot WHERE campaign = $1")
                    .bind(id)
                    .execute(&mut *db)
                    .await?;
                for chunk in slots.chunks(ROWS_PER_STATEMENT) {
                    let mut query = QueryBuilder::new(
                        "INSERT INTO plan_slot
                            (campaign, slot_start, capacity, reserved, planned, price) ",
                    );
                    query.push_values(chunk, |mut row, slot| {
                        row.push_bind(id)
                            .push_bind(micros(slot.start))
                            .push_bind(slot.capacity.map(|capacity| capacity as i64))
                            .push_bind(slot.reserved as i64)
                            .push_bind(slot.planned as i64)
                            .push_bind(slot.price);
                    });
                    query.build().execute(&mut *db).await?;
                }
                Ok(())
            }
            .await
        })
        .doing("keep a plan")
    }
}
