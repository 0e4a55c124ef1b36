//! What messages cost: what was expected, and what was charged.

use std::ops::Range;

use super::{Doing, Reader, StoreError, Tx, on, run};
use crate::model::ids::Name;

/// What messages were expected to cost, and were charged, in the currency of their provider's tariff.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SpendSums {
    /// Messages that went out.
    pub messages: u64,
    /// What they were expected to cost.
    pub expected: f64,
    /// Those of which the channel told how it charges.
    pub charged_messages: u64,
    /// What these were expected to cost.
    pub expected_of_charged: f64,
    /// What these came to.
    pub charged: f64,
}

impl SpendSums {
    /// Adds what another campaign's came to.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.expected += other.expected;
        self.charged_messages += other.charged_messages;
        self.expected_of_charged += other.expected_of_charged;
        self.charged += other.charged;
    }
}

const OF_CAMPAIGN: &str = "SELECT COUNT(*), COALESCE(SUM(expected_price), 0.0), COUNT(price),
        COALESCE(SUM(CASE WHEN price IS NOT NULL THEN expected_price END), 0.0),
        COALESCE(SUM(price), 0.0)
    FROM delivery WHERE campaign = $1 AND state = 'sent'";

const ADD: &str = "INSERT INTO spend (provider, day, messages, expected, charged)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (provider, day) DO UPDATE SET
    messages = spend.messages + excluded.messages, expected = spend.expected + excluded.expected,
    charged = spend.charged + excluded.charged";

const SINCE: &str = "SELECT CAST(COALESCE(SUM(messages), 0) AS BIGINT),
        COALESCE(SUM(expected), 0.0), COALESCE(SUM(charged), 0.0)
    FROM spend WHERE provider = $1 AND day >= $2";

const ADD_SERVICE: &str =
    "INSERT INTO spend (provider, day, messages, expected, charged, service_messages)
    VALUES ($1, $2, 0, 0.0, 0.0, $3) ON CONFLICT (provider, day) DO UPDATE SET
    service_messages = spend.service_messages + excluded.service_messages";

const SERVICE: &str = "SELECT CAST(COALESCE(SUM(service_messages), 0) AS BIGINT) FROM spend
    WHERE provider = $1 AND day >= $2 AND day < $3";

impl Reader {
    /// What a campaign's messages were expected to cost, and were charged.
    pub async fn spend_of(&mut self, campaign: i64) -> Result<SpendSums, StoreError> {
        let row: (i64, f64, i64, f64, f64) =
            on!(self, |db| sqlx::query_as(OF_CAMPAIGN).bind(campaign).fetch_one(db).await)
                .doing("add up what messages cost")?;
        let (messages, expected, charged_messages, expected_of_charged, charged) = row;
        Ok(SpendSums {
            messages: messages as u64,
            expected,
            charged_messages: charged_messages as u64,
            expected_of_charged,
            charged,
        })
    }
}

impl Tx {
    /// Adds what a provider charged for messages on a day, counted from the epoch.
    pub async fn add_spend(
        &mut self,
        provider: &Name,
        day: i64,
        (messages, expected, charged): (u64, f64, f64),
    ) -> Result<(), StoreError> {
        run!(self, ADD, provider.as_str(), day, messages as i64, expected, charged)
            .doing("note what messages cost")
            .map(drop)
    }

    /// Adds what a provider charged as service messages on a day, counted from the epoch.
    pub async fn add_service_messages(
        &mut self,
        provider: &Name,
        day: i64,
        messages: u64,
    ) -> Result<(), StoreError> {
        run!(self, ADD_SERVICE, provider.as_str(), day, messages as i64)
            .doing("count service messages")
            .map(drop)
    }

    /// How many service messages a provider charged on some days, counted from the epoch.
    pub async fn service_messages(
        &mut self,
        provider: &Name,
        days: Range<i64>,
    ) -> Result<u64, StoreError> {
        let messages: i64 = on!(self, |db| sqlx::query_scalar(SERVICE)
            .bind(provider.as_str())
            .bind(days.start)
            .bind(days.end)
            .fetch_one(db)
            .await)
        .doing("count service messages")?;
        Ok(messages as u64)
    }

    /// Of how many messages since a day it is known what they cost, what they were expected to, and what
    /// they were charged.
    pub async fn spend_since(
        &mut self,
        provider: &Name,
        day: i64,
    ) -> Result<(u64, f64, f64), StoreError> {
        let (messages, expected, charged): (i64, f64, f64) = on!(self, |db| sqlx::query_as(SINCE)
            .bind(provider.as_str())
            .bind(day)
            .fetch_one(db)
            .await)
        .doing("add up what messages cost")?;
        Ok((messages as u64, expected, charged))
    }
}
