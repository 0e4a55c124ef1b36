//! How campaigns stand: people counted by state, and listed with what came back.

use sqlx::FromRow;

use super::bulk::{List, Sql, one_of};
use super::{Doing, Reader, StoreError, instant, micros, on, parsed};
use crate::model::delivery::{Reason, State};
use crate::model::ids::Name;
use crate::model::time::Instant;

/// How many people of a campaign are in a state for a reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StateCount {
    /// The state.
    pub state: State,
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub people: u64,
}

/// A row of `campaign export`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct ExportRow {
    /// Our number of the person.
    pub recipient: i64,
    /// The caller's.
    pub key: String,
    /// Where it went.
    pub address: Option<String>,
    /// The delivery's state.
    pub state: String,
    /// Why.
    pub reason: String,
    /// The variant's name.
    pub variant: Option<String>,
    /// The experiment's arm.
    pub arm: Option<String>,
    /// The planned instant, in microseconds.
    pub send_at: Option<i64>,
    /// How often it was tried.
    pub attempts: i64,
    /// The chance that was expected.
    pub chance: Option<f64>,
    /// When it was sent, in microseconds; and so on.
    pub sent_at: Option<i64>,
    /// It reached the phone.
    pub delivered_at: Option<i64>,
    /// It was opened.
    pub read_at: Option<i64>,
    /// It was clicked.
    pub clicked_at: Option<i64>,
    /// It was answered.
    pub replied_at: Option<i64>,
    /// It brought what was asked.
    pub converted_at: Option<i64>,
    /// The person wanted no more.
    pub opted_out_at: Option<i64>,
    /// How the provider calls it.
    pub provider_message: Option<String>,
}

const TABLE: &str = "delivery";

const COUNTS: &str = "SELECT state, reason, COUNT(*) FROM delivery WHERE campaign = $1
    GROUP BY state, reason ORDER BY state, reason";

const NEXT_DUE: &str = "SELECT MIN(send_at) FROM delivery WHERE campaign = $1
    AND state = 'planned'";

const LATE: &str = "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND state = 'planned'
    AND send_at <= $2";

const UNDECIDED: &str = "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND state = 'planned'
    AND send_at IS NULL";

const EXPORT: &str = "SELECT d.recipient, r.key, r.address, d.state, d.reason, d.variant, d.arm,
        d.send_at, d.attempts, d.chance, m.sent_at, m.delivered_at, m.read_at, m.clicked_at,
        m.replied_at, m.converted_at, m.opted_out_at, m.provider_message
    FROM delivery d JOIN recipient r ON r.id = d.recipient
    LEFT JOIN message m ON m.key = $2 || ':' || d.recipient
    WHERE d.campaign = $1 ORDER BY d.recipient";

impl Reader {
    /// How many people are in each state for each reason.
    pub async fn state_counts(&mut self, campaign: i64) -> Result<Vec<StateCount>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            on!(self, |db| sqlx::query_as(COUNTS).bind(campaign).fetch_all(db).await)
                .doing("count deliveries")?;
        let count = |(state, reason, people): (String, String, i64)| {
            Ok(StateCount {
                state: parsed(TABLE, &state)?,
                reason: parsed(TABLE, &reason)?,
                people: people as u64,
            })
        };
        rows.into_iter().map(count).collect()
    }

    /// When the next planned message of a campaign is due.
    pub async fn next_due(&mut self, campaign: i64) -> Result<Option<Instant>, StoreError> {
        let at: Option<i64> =
            on!(self, |db| sqlx::query_scalar(NEXT_DUE).bind(campaign).fetch_one(db).await)
                .doing("find what is due next")?;
        at.map(|at| instant(TABLE, at)).transpose()
    }

    /// How many planned messages are due at `now`.
    pub async fn due_count(&mut self, campaign: i64, now: Instant) -> Result<u64, StoreError> {
        let count: i64 = on!(self, |db| sqlx::query_scalar(LATE)
            .bind(campaign)
            .bind(micros(now))
            .fetch_one(db)
            .await)
        .doing("count what is due")?;
        Ok(count as u64)
    }

    /// How many people of a variant are in one of the states.
    pub async fn variant_count(
        &mut self,
        campaign: i64,
        variant_index: usize,
        states: &[State],
    ) -> Result<u64, StoreError> {
        const SQL: Sql = one_of!(
            "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND variant_index = $2 AND state",
            "$3",
            ""
        );
        let (sql, states) = (self.text(SQL), List(states.iter().map(|s| s.as_str()).collect()));
        let count: i64 = on!(self, |db| sqlx::query_scalar(sql)
            .bind(campaign)
            .bind(variant_index as i64)
            .bind(states)
            .fetch_one(db)
            .await)
        .doing("count a variant's people")?;
        Ok(count as u64)
    }

    /// How many people wait for a new decision.
    pub async fn undecided_count(&mut self, campaign: i64) -> Result<u64, StoreError> {
        let count: i64 =
            on!(self, |db| sqlx::query_scalar(UNDECIDED).bind(campaign).fetch_one(db).await)
                .doing("count who waits for a decision")?;
        Ok(count as u64)
    }

    /// Everybody of a campaign with what came back, for export and results.
    pub async fn export_rows(
        &mut self,
        campaign: i64,
        name: &Name,
    ) -> Result<Vec<ExportRow>, StoreError> {
        on!(self, |db| sqlx::query_as(EXPORT)
            .bind(campaign)
            .bind(name.as_str())
            .fetch_all(db)
            .await)
        .doing("read a campaign's people")
    }
}
