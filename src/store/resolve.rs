//! Deliveries by the word of others than who claimed them: the provider's, or a rule that changed.

use super::bulk::{Sql, numbers, one_of};
use super::{Doing, StoreError, Tx, micros, on, parsed, run};
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

const KNOWN: Sql = one_of!(
    "SELECT recipient, state, attempts FROM delivery
        WHERE state IN ('claimed', 'in_doubt', 'in_doubt_expired', 'held', 'sent')
        AND campaign = $1 AND recipient",
    "$2",
    ""
);

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
        let sql = self.text(KNOWN);
        let rows: Vec<(i64, String, i64)> = on!(self, |db| sqlx::query_as(sql)
            .bind(campaign)
            .bind(numbers(recipients))
            .fetch_all(db)
            .await)
        .doing("look for doubts")?;
        let known = |(recipient, state, attempts): (i64, String, i64)| {
            let (state, attempts) = (parsed(TABLE, &state)?, attempts as u32);
            Ok(Known { recipient: RecipientId(recipient), state, attempts })
        };
        rows.into_iter().map(known).collect()
    }

    /// Has those who are planned with a variant decided about anew; returns how many.
    pub async fn reopen_variant(
        &mut self,
        campaign: i64,
        variant_index: usize,
        now: Instant,
    ) -> Result<u64, StoreError> {
        run!(self, REOPEN, campaign, variant_index as i64, micros(now))
            .doing("have a variant's people decided about anew")
    }

    /// Has utility messages that were in doubt since `before` decided about anew; returns how many.
    pub async fn retry_doubts(
        &mut self,
        campaign: i64,
        before: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        run!(self, RETRY, campaign, micros(now), micros(before)).doing("try again what is in doubt")
    }
}
