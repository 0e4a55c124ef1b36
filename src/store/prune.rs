//! What is too old to be kept, deleted in batches that hold nobody up. The ledger of consent and the sums
//! of campaigns are never touched.

use std::collections::BTreeMap;

use super::counts::Moves;
use super::{Doing, Reader, StoreError, Tx, micros, on, parsed, run};
use crate::model::content::word_type;
use crate::model::time::Instant;

word_type! {
    /// What is kept for a time.
    Kept, "kind", "one of messages, activity, campaigns, inbound, replies, audit" {
        /// Imported messages.
        Messages = "messages",
        /// Signs of presence.
        Activity = "activity",
        /// Deliveries of campaigns that are over.
        Campaigns = "campaigns",
        /// What people wrote and no endpoint was told.
        Inbound = "inbound",
        /// What people wrote, with its labels.
        Replies = "replies",
        /// Who did what.
        Audit = "audit",
    }
}

macro_rules! imported {
    ($what:literal, $end:literal) => {
        concat!($what, " FROM message WHERE sent_at < $1", $end)
    };
}

impl Kept {
    fn count(self) -> Option<&'static str> {
        match self {
            Self::Messages => Some(imported!("SELECT COUNT(*)", "")),
            Self::Activity => Some("SELECT COUNT(*) FROM activity WHERE at < $1"),
            Self::Inbound => Some("SELECT COUNT(*) FROM inbound WHERE added_at < $1"),
            Self::Replies => Some("SELECT COUNT(*) FROM reply WHERE received_at < $1"),
            Self::Audit => Some("SELECT COUNT(*) FROM audit WHERE at < $1"),
            Self::Campaigns => None,
        }
    }

    fn delete(self) -> Option<&'static str> {
        match self {
            Self::Messages => Some(concat!(
                "DELETE FROM message WHERE key IN (",
                imported!("SELECT key", " LIMIT $2"),
                ")"
            )),
            Self::Activity => Some(
                "DELETE FROM activity WHERE (recipient, at, kind) IN
                    (SELECT recipient, at, kind FROM activity WHERE at < $1 LIMIT $2)",
            ),
            Self::Inbound => Some(
                "DELETE FROM inbound WHERE id IN
                    (SELECT id FROM inbound WHERE added_at < $1 LIMIT $2)",
            ),
            Self::Replies => Some(
                "DELETE FROM reply WHERE id IN
                    (SELECT id FROM reply WHERE received_at < $1 ORDER BY id LIMIT $2)",
            ),
            Self::Audit => Some(
                "DELETE FROM audit WHERE id IN
                    (SELECT id FROM audit WHERE at < $1 ORDER BY id LIMIT $2)",
            ),
            Self::Campaigns => None,
        }
    }
}

impl Reader {
    /// How many rows are older than `before`.
    pub async fn count_before(&mut self, kept: Kept, before: Instant) -> Result<u64, StoreError> {
        let Some(sql) = kept.count() else { return self.count_ended_deliveries(before).await };
        let count: i64 =
            on!(self, |db| sqlx::query_scalar(sql).bind(micros(before)).fetch_one(db).await)
                .doing("count what is too old")?;
        Ok(count as u64)
    }
}

impl Tx {
    /// Deletes up to `limit` rows older than `before`; how many there were.
    pub async fn prune(
        &mut self,
        kept: Kept,
        before: Instant,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let Some(sql) = kept.delete() else {
            return self.prune_ended_deliveries(before, limit).await;
        };
        run!(self, sql, micros(before), limit as i64).doing("delete what is too old")
    }
}

/// Closed campaigns keep their sums; their deliveries may go.
const ENDED: &str = "SELECT COUNT(*) FROM delivery AS d JOIN campaign AS c ON c.id = d.campaign
    WHERE c.closed_at < $1";

const DELETE_ENDED: &str = "DELETE FROM delivery WHERE (campaign, recipient) IN
    (SELECT d.campaign, d.recipient FROM delivery AS d JOIN campaign AS c ON c.id = d.campaign
     WHERE c.closed_at < $1 LIMIT $2)
    RETURNING campaign, state, reason";

impl Reader {
    async fn count_ended_deliveries(&mut self, before: Instant) -> Result<u64, StoreError> {
        let count: i64 =
            on!(self, |db| sqlx::query_scalar(ENDED).bind(micros(before)).fetch_one(db).await)
                .doing("count what is too old")?;
        Ok(count as u64)
    }
}

impl Tx {
    async fn prune_ended_deliveries(
        &mut self,
        before: Instant,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let gone: Vec<(i64, String, String)> = on!(self, |db| sqlx::query_as(DELETE_ENDED)
            .bind(micros(before))
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("delete what is too old")?;
        let mut moved: BTreeMap<i64, Moves> = BTreeMap::new();
        for (campaign, state, reason) in &gone {
            let place = (parsed("delivery", state)?, parsed("delivery", reason)?);
            moved.entry(*campaign).or_default().add(place, -1);
        }
        for (campaign, moves) in &moved {
            self.count_moves(*campaign, moves).await?;
        }
        Ok(gone.len() as u64)
    }
}
