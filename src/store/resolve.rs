//! Deliveries by the word of others than who claimed them: the provider's, or a rule that changed.

use sqlx::QueryBuilder;

use super::{Doing, ROWS_PER_STATEMENT, Settled, StoreError, Tx, micros, parsed, within};
use crate::model::delivery::State;
use crate::model::ids::RecipientId;
use crate::model::time::Instant;

const TABLE: &str = "delivery";

/// A delivery that updates may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The person.
    pub recipient: RecipientId,
    /// Claimed, held, in doubt or sent.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
}

const RETRY: &str = "UPDATE delivery SET state = 'planned', send_at = NULL,
    reason = 'moved_late', not_before = NULL, changed_at = $2
    WHERE campaign = $1 AND state = 'in_doubt' AND changed_at <= $3";

const REOPEN: &str = "UPDATE delivery SET send_at = NULL, reason = 'moved_throttled',
    not_before = NULL, changed_at = $3
    WHERE campaign = $1 AND variant_index = $2 AND state = 'planned'";

impl Tx {
    /// Which of the people's deliveries are claimed, in doubt (or were), held or sent.
    pub async fn known(
        &mut self,
        campaign: i64,
        recipients: &[RecipientId],
    ) -> Result<Vec<Known>, StoreError> {
        let mut found = Vec::new();
        for chunk in recipients.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<(i64, String, i64)> = within!(self, |db| {
                let mut query = QueryBuilder::new(
                    "SELECT recipient, state, attempts FROM delivery
                        WHERE state IN
                        ('claimed', 'in_doubt', 'in_doubt_expired', 'held', 'sent') AND campaign = ",
                );
                query.push_bind(campaign).push(" AND recipient IN (");
                let mut list = query.separated(", ");
                for id in chunk {
                    list.push_bind(id.0);
                }
                query.push(")");
                query.build_query_as().fetch_all(db).await
            })
            .doing("look for doubts")?;
            for (recipient, state, attempts) in rows {
                let (state, attempts) = (parsed(TABLE, &state)?, attempts as u32);
                found.push(Known { recipient: RecipientId(recipient), state, attempts });
            }
        }
        Ok(found)
    }

    /// Settles, by the word of the provider, what still is in the state `from`.
    pub async fn resolve(
        &mut self,
        campaign: i64,
        from: State,
        settled: Settled,
        recipients: &[RecipientId],
        now: Instant,
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        for chunk in recipients.chunks(ROWS_PER_STATEMENT) {
            changed += within!(self, |db| {
                let mut query = QueryBuilder::new("UPDATE delivery SET state = ");
                query.push_bind(settled.state.as_str()).push(", not_before = ");
                query.push_bind(settled.not_before.map(micros)).push(", changed_at = ");
                query.push_bind(micros(now));
                if let Some(reason) = settled.reason {
                    query.push(", reason = ").push_bind(reason.as_str());
                }
                if settled.state == State::Planned {
                    query.push(", send_at = ").push_bind(settled.again_at.map(micros));
                }
                query.push(" WHERE campaign = ").push_bind(campaign);
                query.push(" AND state = ").push_bind(from.as_str());
                query.push(" AND recipient IN (");
                let mut list = query.separated(", ");
                for id in chunk {
                    list.push_bind(id.0);
                }
                query.push(")");
                query.build().execute(db).await.map(|done| done.rows_affected())
            })
            .doing("settle by the provider's word")?;
        }
        Ok(changed)
    }

    /// Has those who are planned with a variant decided about anew; returns how many.
    pub async fn reopen_variant(
        &mut self,
        campaign: i64,
        variant_index: usize,
        now: Instant,
    ) -> Result<u64, StoreError> {
        within!(self, |db| sqlx::query(REOPEN)
            .bind(campaign)
            .bind(variant_index as i64)
            .bind(micros(now))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("have a variant's people decided about anew")
    }

    /// Has utility messages that were in doubt since `before` decided about anew; returns how many.
    pub async fn retry_doubts(
        &mut self,
        campaign: i64,
        before: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        within!(self, |db| sqlx::query(RETRY)
            .bind(campaign)
            .bind(micros(now))
            .bind(micros(before))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("try again what is in doubt")
    }
}
