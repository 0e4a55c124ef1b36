//! Fallbacks: whose message did not arrive, and the campaign that takes it over.

use std::collections::HashSet;

use super::bulk::{List, Sql, numbers, one_of};
use super::campaigns::CampaignRow;
use super::{Doing, Reader, StoreError, Tx, micros, on, run};
use crate::model::campaign::Fallback;
use crate::model::delivery::Reason;
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

/// What shows that a message reached a person, as SQL over the delivery `d`.
macro_rules! arrived {
    () => {
        "COALESCE(d.delivered_at, d.read_at, d.clicked_at, d.replied_at, d.converted_at,
            d.opted_out_at) IS NOT NULL"
    };
}

/// Whose message was sent before a time and is not known to have arrived, or ended for some reasons, and has
/// not been taken over.
const UNREACHED: Sql = one_of!(
    concat!(
        "SELECT d.recipient FROM delivery d WHERE d.campaign = $1 AND NOT EXISTS (
            SELECT 1 FROM occurrence o WHERE o.parent = $1 AND o.recipient = d.recipient)
        AND NOT (",
        arrived!(),
        ") AND (d.state IN ('sent', 'held', 'in_doubt', 'in_doubt_expired')
            AND COALESCE(d.sent_at, d.changed_at) <= $2
        OR d.state IN ('refused', 'failed') AND d.reason"
    ),
    "$3",
    ") ORDER BY d.recipient LIMIT $4"
);

/// Of those that were taken over and to whom nothing has left by it: whose message before arrived, or is
/// planned again.
const NEEDLESS: &str = concat!(
    "SELECT d.recipient, CASE WHEN ",
    arrived!(),
    " THEN 1 ELSE 0 END FROM occurrence o
        JOIN delivery d ON d.campaign = o.parent AND d.recipient = o.recipient
        JOIN delivery l ON l.campaign = o.run AND l.recipient = o.recipient
    WHERE o.parent = $1 AND o.refused IS NULL AND l.state IN ('planned', 'refused') AND (d.state = 'planned' OR ",
    arrived!(),
    ") ORDER BY d.recipient LIMIT $2"
);

macro_rules! taken_over {
    () => {
        "SELECT o.recipient FROM occurrence o
            JOIN delivery l ON l.campaign = o.run AND l.recipient = o.recipient
        WHERE o.parent = $1 AND o.refused IS NULL AND l.state <> 'refused'"
    };
}

/// Whose message has been taken over by one that is on its way, or was.
const TAKEN_OVER: &str = taken_over!();
const TAKEN_OVER_OF: Sql = one_of!(concat!(taken_over!(), " AND o.recipient"), "$2", "");

/// To whom nothing is owed by a fallback: what went before arrived, or is to go again.
const SETTLED: Sql = one_of!(
    concat!(
        "SELECT d.recipient FROM delivery d WHERE d.campaign = $1 AND (d.state = 'planned' OR ",
        arrived!(),
        ") AND d.recipient"
    ),
    "$2",
    ""
);

const ARRIVED: &str =
    concat!("SELECT d.recipient FROM delivery d WHERE d.campaign = $1 AND ", arrived!());

/// Of a provider's newest messages that had their time: all, and those that did not arrive within it.
const RELIABILITY: &str =
    "SELECT COUNT(*), COALESCE(SUM(CASE WHEN at <= sent_at + $3 THEN 0 ELSE 1 END), 0)
    FROM (SELECT d.sent_at, COALESCE(d.delivered_at, d.read_at, d.clicked_at, d.replied_at) AS at
        FROM delivery d JOIN campaign c ON c.id = d.campaign
        WHERE d.sent_at IS NOT NULL AND d.sent_at <= $2 AND c.provider = $1
        ORDER BY d.observed_at DESC LIMIT $4) AS newest";

const ADD: &str = "INSERT INTO campaign (id, name, source, provider, status, submitted_at, ends_at,
        category, goal, planned_at, parent, run_window, fallback_of)
    SELECT $2, $3, '', $4, status, $5, ends_at, category, goal, $5, COALESCE(parent, id), run_window, id
    FROM campaign WHERE id = $1
    ON CONFLICT (name) DO NOTHING";

fn people(ids: Vec<i64>) -> Vec<RecipientId> {
    ids.into_iter().map(RecipientId).collect()
}

impl Reader {
    /// Up to `limit` people whose message of a campaign is to be taken over: it was sent by `sent_by` and is not
    /// known to have arrived, or it ended for one of `reasons`.
    pub async fn unreached(
        &mut self,
        campaign: i64,
        sent_by: Option<Instant>,
        reasons: &[Reason],
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError> {
        let sql = self.text(UNREACHED);
        let reasons: List<String> = List(reasons.iter().map(ToString::to_string).collect());
        let found: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(campaign)
            .bind(sent_by.map_or(i64::MIN, micros))
            .bind(reasons)
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("look for messages that did not arrive")?;
        Ok(people(found))
    }

    /// Up to `limit` people whose message was taken over and who need that no more, where it has not left: what
    /// went before arrived (true), or is planned again.
    pub async fn needless_fallbacks(
        &mut self,
        campaign: i64,
        limit: usize,
    ) -> Result<Vec<(RecipientId, bool)>, StoreError> {
        let found: Vec<(i64, i32)> = on!(self, |db| sqlx::query_as(NEEDLESS)
            .bind(campaign)
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("look for fallbacks that are needed no more")?;
        Ok(found.into_iter().map(|(id, arrived)| (RecipientId(id), arrived == 1)).collect())
    }

    /// Whose message of a campaign another channel has taken over, and not refused: of some people, or all.
    pub async fn taken_over(
        &mut self,
        campaign: i64,
        of: Option<&[RecipientId]>,
    ) -> Result<HashSet<RecipientId>, StoreError> {
        let sql = if of.is_some() { self.text(TAKEN_OVER_OF) } else { TAKEN_OVER };
        let of = of.map(numbers);
        let found: Result<Vec<i64>, _> = on!(self, |db| {
            let query = sqlx::query_scalar(sql).bind(campaign);
            match of {
                Some(of) => query.bind(of).fetch_all(db).await,
                None => query.fetch_all(db).await,
            }
        });
        Ok(people(found.doing("look for messages that were taken over")?).into_iter().collect())
    }

    /// Which of the people need no other message than that of a campaign: it arrived, or is to go again.
    pub async fn settled_by(
        &mut self,
        campaign: i64,
        of: &[RecipientId],
    ) -> Result<HashSet<RecipientId>, StoreError> {
        let sql = self.text(SETTLED);
        let found: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(campaign)
            .bind(numbers(of))
            .fetch_all(db)
            .await)
        .doing("look whether messages arrived")?;
        Ok(people(found).into_iter().collect())
    }

    /// Whom a campaign's message reached.
    pub async fn reached(&mut self, campaign: i64) -> Result<HashSet<RecipientId>, StoreError> {
        let found: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(ARRIVED).bind(campaign).fetch_all(db).await)
                .doing("look which messages arrived")?;
        Ok(people(found).into_iter().collect())
    }

    /// Of up to `limit` messages that a provider took before `sent_by`, the newest: how many there are, and how
    /// many did not arrive within `after`.
    pub async fn undelivered_count(
        &mut self,
        provider: &Name,
        sent_by: Instant,
        after: std::time::Duration,
        limit: usize,
    ) -> Result<(u64, u64), StoreError> {
        let (all, late): (i64, i64) = on!(self, |db| sqlx::query_as(RELIABILITY)
            .bind(provider.as_str())
            .bind(micros(sent_by))
            .bind(after.as_micros() as i64)
            .bind(limit as i64)
            .fetch_one(db)
            .await)
        .doing("count messages that did not arrive")?;
        Ok((all as u64, late as u64))
    }

    /// The campaign that takes over from one, if it exists.
    pub async fn fallback_to(&mut self, campaign: i64) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "SELECT id FROM campaign WHERE fallback_of = $1";
        on!(self, |db| sqlx::query_scalar(SQL).bind(campaign).fetch_optional(db).await)
            .doing("find a fallback")
    }

    /// The campaigns that take over from one, of its runs as well: in their turn, then by age.
    pub async fn fallbacks_from(
        &mut self,
        of: &CampaignRow,
    ) -> Result<Vec<CampaignRow>, StoreError> {
        const SQL: &str = "SELECT id FROM campaign WHERE parent = $1 AND fallback_of IS NOT NULL
            ORDER BY id";
        if of.campaign.fallbacks.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(SQL).bind(of.root()).fetch_all(db).await)
                .doing("list the fallbacks of a campaign")?;
        let mut found = Vec::new();
        // what is taken over is older than what takes it over
        let mut family = vec![of.id];
        for id in ids {
            let Some(row) = self.campaign_by_id(id).await? else { continue };
            let all = of.is_standing() || row.fallback_of.is_some_and(|id| family.contains(&id));
            if all {
                family.push(row.id);
                found.push(row);
            }
        }
        let turn = |row: &CampaignRow| {
            let is_it = |fallback: &Fallback| fallback.provider == row.campaign.provider;
            (of.campaign.fallbacks.iter().position(is_it), row.id)
        };
        found.sort_by_key(turn);
        Ok(found)
    }
}

impl Tx {
    /// Stores the campaign that takes over from one, in whose status it is; `None` when its name is taken.
    pub async fn add_fallback(
        &mut self,
        of: i64,
        (name, provider): (&Name, &Name),
        now: Instant,
    ) -> Result<Option<i64>, StoreError> {
        let id = self.take_numbers("campaign", 1).await?;
        let added = run!(self, ADD, of, id, name.as_str(), provider.as_str(), micros(now))
            .doing("store a fallback")?;
        Ok((added > 0).then_some(id))
    }
}
