//! What was submitted, whether it runs, and what each slot of its plan takes.

use std::sync::Arc;

use sqlx::QueryBuilder;

use super::bulk::{List, Sql, one_of};
use super::cache::OwnPart;
use super::row::from_row;
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::campaign::{Campaign, Occasion, Trigger};
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
    /// Of a run: the standing campaign whose run it is; of a fallback: the campaign that was submitted.
    pub parent: Option<i64>,
    /// Of a fallback: the campaign whose undelivered messages it takes over.
    pub fallback_of: Option<i64>,
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
    /// When everybody in it had ended and all answers that count had come.
    pub closed_at: Option<Instant>,
    /// Its people by state and reason as it closed, as JSON.
    pub summary: Option<String>,
}

impl CampaignRow {
    /// Whether its messages are sent by its runs.
    pub fn is_standing(&self) -> bool {
        self.parent.is_none() && self.campaign.trigger.is_some()
    }

    /// The campaign that was submitted: itself, or the one whose run or fallback it is. Those of one root share
    /// its limits.
    pub fn root(&self) -> i64 {
        self.parent.unwrap_or(self.id)
    }

    /// Whether other campaigns may belong to it: runs, and what it falls back to.
    pub fn has_parts(&self) -> bool {
        self.is_standing() || !self.campaign.fallbacks.is_empty()
    }

    /// Whether people come to it one by one: to a run with what happens to them, to a fallback with what
    /// does not reach them otherwise.
    pub fn has_occurrences(&self) -> bool {
        let every = |trigger: &Trigger| matches!(trigger.on, Occasion::Every(_));
        let is_whole = self.campaign.trigger.as_ref().is_some_and(every);
        self.fallback_of.is_some() || self.parent.is_some() && !is_whole
    }
}

/// A stored campaign that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct BrokenCampaign {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl BrokenCampaign {
    /// A campaign that a bad row keeps from being read; any other error is not the campaign's.
    pub fn of(name: String, error: StoreError) -> Result<Self, StoreError> {
        let StoreError::Corrupt { cause, .. } = error else { return Err(error) };
        Ok(Self { name, problem: cause.to_string() })
    }
}

/// Campaigns, and those that cannot be read.
#[derive(Debug, Default)]
pub struct Campaigns {
    /// In the order in which they plan: by priority, then by age.
    pub rows: Vec<CampaignRow>,
    /// Left alone until a version reads them.
    pub broken: Vec<BrokenCampaign>,
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT id, parent, fallback_of, name, status, submitted_at, ends_at, planned_at, model, plan, closed_at,
                summary FROM campaign ",
            $end
        )
    };
}

const BY_NAME: &str = select!("WHERE name = $1");
const BY_ID: &str = select!("WHERE id = $1");
const OPEN: &str = select!("WHERE closed_at IS NULL ORDER BY id");
const CLOSED: &str = select!("WHERE closed_at IS NOT NULL AND id < $1 ORDER BY id DESC LIMIT $2");
const PAGE: &str = select!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
/// A run and a fallback have the file of the campaign that was submitted.
const FILE: &str = "SELECT COALESCE(p.source, c.source), c.name, c.run_window,
        CASE WHEN c.fallback_of IS NOT NULL THEN c.provider END
    FROM campaign c LEFT JOIN campaign p ON p.id = c.parent WHERE c.id = $1";

const STATUS: Sql = [
    "SELECT status FROM campaign WHERE id = $1",
    "SELECT status FROM campaign WHERE id = $1 FOR SHARE",
];

from_row! {
    struct Row {
        id: i64,
        parent: Option<i64>,
        fallback_of: Option<i64>,
        name: String,
        status: String,
        submitted_at: i64,
        ends_at: i64,
        planned_at: Option<i64>,
        model: Option<i64>,
        plan: Option<String>,
        closed_at: Option<i64>,
        summary: Option<String>,
    }
}

/// Its source, the name, a run's window and a fallback's provider.
type File = (String, String, Option<String>, Option<String>);

const TABLE: &str = "campaign";

impl Row {
    fn into_model(self, campaign: Arc<Campaign>) -> Result<CampaignRow, StoreError> {
        Ok(CampaignRow {
            id: self.id,
            parent: self.parent,
            fallback_of: self.fallback_of,
            campaign,
            status: parsed(TABLE, &self.status)?,
            submitted_at: instant(TABLE, self.submitted_at)?,
            ends_at: instant(TABLE, self.ends_at)?,
            planned_at: self.planned_at.map(|at| instant(TABLE, at)).transpose()?,
            model: self.model,
            plan: self.plan,
            closed_at: self.closed_at.map(|at| instant(TABLE, at)).transpose()?,
            summary: self.summary,
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
    /// Campaigns that are not closed.
    pub async fn open_campaigns(&mut self) -> Result<Campaigns, StoreError> {
        let found: Vec<Row> =
            on!(self, |db| sqlx::query_as(OPEN).fetch_all(db).await).doing("list campaigns")?;
        let mut campaigns = self.readable(found).await?;
        campaigns.rows.sort_by_key(|row| (std::cmp::Reverse(row.campaign.priority), row.id));
        Ok(campaigns)
    }

    /// A campaign that was submitted, its runs and fallbacks: those that are not closed, oldest first.
    pub async fn open_family(&mut self, root: i64) -> Result<Vec<CampaignRow>, StoreError> {
        let mut open = self.open_campaigns().await?.rows;
        open.retain(|row| row.root() == root);
        open.sort_by_key(|row| row.id);
        Ok(open)
    }

    /// The runs and fallbacks that belong to a campaign and are not closed, oldest first.
    pub async fn open_parts(&mut self, of: &CampaignRow) -> Result<Vec<CampaignRow>, StoreError> {
        if !of.has_parts() {
            return Ok(Vec::new());
        }
        let mut parts = self.open_family(of.root()).await?;
        // what is taken over is older than what takes it over
        let mut ids = vec![of.id];
        parts.retain(|row| {
            let belongs = [row.parent, row.fallback_of].into_iter().flatten();
            let belongs = belongs.into_iter().any(|id| ids.contains(&id));
            if belongs {
                ids.push(row.id);
            }
            belongs
        });
        Ok(parts)
    }

    /// Up to `limit` closed campaigns, the newest first, older than the one with the number
    /// `before`.
    pub async fn closed_campaigns(
        &mut self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Campaigns, StoreError> {
        let found: Vec<Row> = on!(self, |db| sqlx::query_as(CLOSED)
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("list closed campaigns")?;
        self.readable(found).await
    }

    /// Up to `limit` campaigns, open or closed, the newest first, older than the one with the number
    /// `before`; and the number of the last one looked at, where there may be more.
    pub async fn campaigns_before(
        &mut self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Campaigns, Option<i64>), StoreError> {
        let found: Vec<Row> = on!(self, |db| sqlx::query_as(PAGE)
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("list campaigns")?;
        let next = found.last().filter(|_| found.len() == limit).map(|row| row.id);
        Ok((self.readable(found).await?, next))
    }

    async fn readable(&mut self, found: Vec<Row>) -> Result<Campaigns, StoreError> {
        let mut campaigns = Campaigns::default();
        for row in found {
            let name = row.name.clone();
            match self.whole(row).await {
                Ok(row) => campaigns.rows.push(row),
                Err(error) => campaigns.broken.push(BrokenCampaign::of(name, error)?),
            }
        }
        Ok(campaigns)
    }

    async fn whole(&mut self, row: Row) -> Result<CampaignRow, StoreError> {
        let campaign = self.file(row.id).await?;
        row.into_model(campaign)
    }

    /// The campaign with the name.
    pub async fn campaign(&mut self, name: &Name) -> Result<Option<CampaignRow>, StoreError> {
        let row: Option<Row> =
            on!(self, |db| sqlx::query_as(BY_NAME).bind(name.as_str()).fetch_optional(db).await)
                .doing("find a campaign")?;
        match row {
            None => Ok(None),
            Some(row) => self.whole(row).await.map(Some),
        }
    }

    /// The campaign with the number.
    pub async fn campaign_by_id(&mut self, id: i64) -> Result<Option<CampaignRow>, StoreError> {
        let row: Option<Row> =
            on!(self, |db| sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await)
                .doing("find a campaign")?;
        match row {
            None => Ok(None),
            Some(row) => self.whole(row).await.map(Some),
        }
    }

    async fn file(&mut self, id: i64) -> Result<Arc<Campaign>, StoreError> {
        if let Some(campaign) = self.campaigns.get(id) {
            return Ok(campaign);
        }
        let (source, name, window, provider): File =
            on!(self, |db| sqlx::query_as(FILE).bind(id).fetch_one(db).await)
                .doing("read a campaign's file")?;
        let own = OwnPart {
            name: parsed(TABLE, &name)?,
            window: window.map(|window| parsed(TABLE, &window)).transpose()?,
            provider: provider.map(|provider| parsed(TABLE, &provider)).transpose()?,
        };
        self.campaigns
            .parse(id, &source, own)
            .map_err(|cause| StoreError::Corrupt { table: TABLE, cause })
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
            (id, name, source, provider, status, submitted_at, ends_at, category, goal)
            VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING";
        let id = self.take_numbers("campaign", 1).await?;
        let added = on!(self, |db| sqlx::query(SQL)
            .bind(id)
            .bind(campaign.name.as_str())
            .bind(source)
            .bind(campaign.provider.as_str())
            .bind(micros(now))
            .bind(micros(ends_at))
            .bind(campaign.category.as_str())
            .bind(campaign.goal.as_str())
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("store a campaign")?;
        Ok((added > 0).then_some(id))
    }

    /// Whether a campaign runs; it stays so until this transaction ends.
    pub(super) async fn lock_status(
        &mut self,
        id: i64,
    ) -> Result<Option<CampaignStatus>, StoreError> {
        let sql = self.text(STATUS);
        let status: Option<String> =
            on!(self, |db| sqlx::query_scalar(sql).bind(id).fetch_optional(db).await)
                .doing("look whether a campaign runs")?;
        status.map(|status| parsed(TABLE, &status)).transpose()
    }

    /// Closes a campaign in which nothing more happens, with its people by state as JSON.
    pub async fn close_campaign(
        &mut self,
        id: i64,
        now: Instant,
        summary: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE campaign SET closed_at = $2, summary = $3 WHERE id = $1";
        run!(self, SQL, id, micros(now), summary).doing("close a campaign").map(drop)
    }

    /// Opens closed campaigns, some of whose people have changed: they are summed up once more.
    pub async fn reopen_campaigns(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        const SQL: Sql = one_of!(
            "UPDATE campaign SET closed_at = NULL, summary = NULL
                WHERE closed_at IS NOT NULL AND id",
            "$1",
            ""
        );
        let sql = self.text(SQL);
        run!(self, sql, List(ids.to_vec())).doing("open closed campaigns").map(drop)
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
