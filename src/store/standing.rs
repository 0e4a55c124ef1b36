//! How campaigns stand: people counted by state, and listed with what came back.

use std::collections::BTreeMap;

use super::bulk::{List, Sql, numbers, one_of};
use super::experiment::{BANDS, BandCount};
use super::responses::engaged_in_time;
use super::row::from_row;
use super::{Doing, Reader, StoreError, instant, micros, on, parsed};
use crate::model::content::Goal;
use crate::model::delivery::{Arm, Reason, State};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::time::Instant;

/// How many people of a campaign are in a state for a reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct StateCount {
    /// The state.
    pub state: State,
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub people: u64,
}

from_row! {
    /// A row of `campaign export`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ExportRow {
        /// Our number of the person.
        pub recipient: i64,
        /// The caller's.
        pub key: String,
        /// Where it went, unless the channel has addresses of its own.
        pub address: Option<String>,
        /// The person's attributes, as JSON.
        pub attributes: String,
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
        /// The channel gave up.
        pub failed_at: Option<i64>,
        /// The channel's code for it.
        pub failure_code: Option<String>,
        /// Its words for it.
        pub failure_text: Option<String>,
        /// What it charged.
        pub price: Option<f64>,
        /// How the provider calls it.
        pub provider_message: Option<String>,
    }
}

/// Somebody's answer to a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRow {
    /// The caller's id of the person.
    pub recipient: RecipientKey,
    /// The campaign's name.
    pub campaign: String,
    /// When the message was sent.
    pub sent_at: Instant,
    /// When it was answered.
    pub replied_at: Instant,
}

/// What an arm of a campaign brought.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ArmCount {
    /// Which.
    pub arm: Arm,
    /// People in it, sent to or not.
    pub people: u64,
    /// Of them sent to.
    pub sent: u64,
    /// Of those reached.
    pub delivered: u64,
    /// Of those engaged in time.
    pub engaged: u64,
    /// Of those opted out.
    pub opted_out: u64,
    /// The sum of the chances of those sent to.
    pub forecast: f64,
}

impl ArmCount {
    /// Adds what the same arm of another campaign brought.
    pub fn add(&mut self, other: &Self) {
        self.people += other.people;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.engaged += other.engaged;
        self.opted_out += other.opted_out;
        self.forecast += other.forecast;
    }
}

const TABLE: &str = "delivery";

/// Few at a time, since claims are short.
const CLAIMED: Sql = one_of!(
    "SELECT reason, COUNT(*) FROM delivery WHERE campaign = $1 AND state = 'planned'
        AND recipient",
    "$2",
    " GROUP BY reason"
);

const UNDECIDED: &str = "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND state = 'planned'
    AND send_at IS NULL";

const FAILURES: &str = "SELECT failure_code, COUNT(*), MAX(failure_text) FROM delivery
    WHERE campaign = $1 AND failure_code IS NOT NULL AND state IN ('failed', 'refused')
    GROUP BY failure_code ORDER BY 2 DESC, 1 LIMIT $2";

/// Chances are rounded before they are cut into bands, since databases cast fractions differently.
const ARMS: &str = concat!(
    "SELECT arm, CASE WHEN sent_at IS NOT NULL AND sent_at + $3 <= $4
            THEN CAST(ROUND(chance * 2000) AS BIGINT) / 100 END AS band, COUNT(*), COUNT(sent_at),
        SUM(CASE WHEN sent_at IS NOT NULL AND COALESCE(delivered_at, read_at) IS NOT NULL
            THEN 1 ELSE 0 END),
        SUM(CASE WHEN ",
    engaged_in_time!(),
    " THEN 1 ELSE 0 END),
        SUM(CASE WHEN sent_at IS NOT NULL AND opted_out_at IS NOT NULL THEN 1 ELSE 0 END),
        CAST(COALESCE(SUM(CASE WHEN sent_at IS NOT NULL THEN chance END), 0) AS DOUBLE PRECISION)
    FROM delivery WHERE campaign = $1 AND arm IS NOT NULL GROUP BY 1, 2"
);

macro_rules! export {
    ($and:literal) => {
        concat!(
            "SELECT d.recipient, r.key, r.address, r.attributes, d.state, d.reason, d.variant, d.arm, d.send_at,
                d.attempts, d.chance, d.sent_at, d.delivered_at, d.read_at, d.clicked_at,
                d.replied_at, d.converted_at, d.opted_out_at, d.failed_at, d.failure_code,
                d.failure_text, d.price, d.provider_message
            FROM delivery d JOIN recipient r ON r.id = d.recipient
            WHERE d.campaign = $1 AND d.recipient > $2 ",
            $and,
            " ORDER BY d.recipient LIMIT $3"
        )
    };
}

const EXPORT: &str = export!("");
/// Words that are empty bind nothing. Those who are claimed are stored as planned.
const EXPORT_OF: &str = export!("AND $4 IN ('', d.state) AND $5 IN ('', d.reason)");
/// Of an end state but `sent`, which few are in: by an index of those alone.
const EXPORT_ENDED: &str =
    export!("AND d.state NOT IN ('planned', 'sent') AND d.state = $4 AND $5 IN ('', d.reason)");
const EXPORT_PLANNED: Sql = [
    export!(
        "AND d.state = 'planned' AND $4 IN ('', d.reason)
            AND d.recipient NOT IN (SELECT value FROM json_each($5))"
    ),
    export!("AND d.state = 'planned' AND $4 IN ('', d.reason) AND d.recipient <> ALL($5)"),
];
const EXPORT_CLAIMED: Sql = [
    export!(
        "AND d.state = 'planned' AND $4 IN ('', d.reason)
            AND d.recipient IN (SELECT value FROM json_each($5))"
    ),
    export!("AND d.state = 'planned' AND $4 IN ('', d.reason) AND d.recipient = ANY($5)"),
];

impl Reader {
    /// How many people are in each state for each reason.
    pub async fn state_counts(&mut self, campaign: i64) -> Result<Vec<StateCount>, StoreError> {
        const DOING: &str = "count deliveries";
        let mut counts = self.counted(campaign).await?;
        let claimed: Vec<_> = self.claimed(campaign).await?.into_iter().collect();
        if !claimed.is_empty() {
            let sql = self.text(CLAIMED);
            let rows: Vec<(String, i64)> = on!(self, |db| sqlx::query_as(sql)
                .bind(campaign)
                .bind(numbers(&claimed))
                .fetch_all(db)
                .await)
            .doing(DOING)?;
            for (reason, people) in rows {
                let reason = parsed(TABLE, &reason)?;
                let planned = counts.entry((State::Planned, reason)).or_default();
                *planned = planned.saturating_sub(people as u64);
                counts.insert((State::Claimed, reason), people as u64);
            }
        }
        counts.retain(|_, people| *people > 0);
        let count = |((state, reason), people)| StateCount { state, reason, people };
        let mut counts: Vec<StateCount> = counts.into_iter().map(count).collect();
        counts.sort_by_key(|count| (count.state.as_str(), count.reason.as_str()));
        Ok(counts)
    }

    /// When the last message of a campaign was sent.
    pub async fn last_sent_at(&mut self, campaign: i64) -> Result<Option<Instant>, StoreError> {
        const SQL: &str = "SELECT MAX(sent_at) FROM delivery WHERE campaign = $1";
        let at: Option<i64> =
            on!(self, |db| sqlx::query_scalar(SQL).bind(campaign).fetch_one(db).await)
                .doing("find a campaign's last message")?;
        at.map(|at| instant(TABLE, at)).transpose()
    }

    /// How many people wait for a new decision.
    pub async fn undecided_count(&mut self, campaign: i64) -> Result<u64, StoreError> {
        let count: i64 =
            on!(self, |db| sqlx::query_scalar(UNDECIDED).bind(campaign).fetch_one(db).await)
                .doing("count who waits for a decision")?;
        Ok(count as u64)
    }

    /// How many people of a variant are in one of the states, or in a claim of `until` or before.
    pub async fn variant_count(
        &mut self,
        campaign: i64,
        variant_index: usize,
        states: &[State],
        until: Instant,
    ) -> Result<u64, StoreError> {
        const SQL: Sql = one_of!(
            "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND variant_index = $2 AND state",
            "$3",
            ""
        );
        const CLAIMED: Sql = [
            "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND variant_index = $2
                AND state = 'planned' AND recipient IN (SELECT p.value
                    FROM claim, json_each(claim.recipients) AS p
                    WHERE claim.campaign = $1 AND claim.claimed_at <= $3)",
            "SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND variant_index = $2
                AND state = 'planned' AND recipient IN (SELECT CAST(p.value AS BIGINT)
                    FROM claim, json_array_elements_text(claim.recipients::json) AS p
                    WHERE claim.campaign = $1 AND claim.claimed_at <= $3)",
        ];
        const DOING: &str = "count a variant's people";
        let (sql, of_claims) = (self.text(SQL), self.text(CLAIMED));
        let states = List(states.iter().map(|s| s.as_str()).collect());
        let count: i64 = on!(self, |db| sqlx::query_scalar(sql)
            .bind(campaign)
            .bind(variant_index as i64)
            .bind(states)
            .fetch_one(db)
            .await)
        .doing(DOING)?;
        let claimed: i64 = on!(self, |db| sqlx::query_scalar(of_claims)
            .bind(campaign)
            .bind(variant_index as i64)
            .bind(micros(until))
            .fetch_one(db)
            .await)
        .doing(DOING)?;
        Ok((count + claimed) as u64)
    }

    /// What each arm of a campaign brought, and how right forecasts were: engagements count that came
    /// within `within`, forecasts of messages whose time is over.
    pub async fn arm_counts(
        &mut self,
        campaign: i64,
        goal: Goal,
        within: std::time::Duration,
        now: Instant,
    ) -> Result<(Vec<ArmCount>, Vec<BandCount>), StoreError> {
        type ArmRow = (String, Option<i64>, i64, i64, i64, i64, i64, f64);
        let rows: Vec<ArmRow> = on!(self, |db| sqlx::query_as(ARMS)
            .bind(campaign)
            .bind(goal.as_str())
            .bind(within.as_micros() as i64)
            .bind(micros(now))
            .fetch_all(db)
            .await)
        .doing("count what the arms brought")?;
        let (mut arms, mut bands) = (Vec::<ArmCount>::new(), BTreeMap::<u64, BandCount>::new());
        for (arm, band, people, sent, delivered, engaged, opted_out, forecast) in rows {
            let count = ArmCount {
                arm: parsed(TABLE, &arm)?,
                people: people as u64,
                sent: sent as u64,
                delivered: delivered as u64,
                engaged: engaged as u64,
                opted_out: opted_out as u64,
                forecast,
            };
            if let Some(band) = band {
                let band = (band as u64).min(BANDS - 1);
                let (messages, engaged) = (count.sent, count.engaged);
                let new = BandCount { band, messages, engaged, forecast };
                bands.entry(band).and_modify(|known| known.add(&new)).or_insert(new);
            }
            match arms.iter_mut().find(|known| known.arm == count.arm) {
                Some(known) => known.add(&count),
                None => arms.push(count),
            }
        }
        Ok((arms, bands.into_values().collect()))
    }

    /// The channel's code for a person's failure, with its words.
    pub async fn failure(
        &mut self,
        campaign: i64,
        person: RecipientId,
    ) -> Result<Option<(String, Option<String>)>, StoreError> {
        const SQL: &str = "SELECT failure_code, failure_text FROM delivery
            WHERE campaign = $1 AND recipient = $2 AND failure_code IS NOT NULL
                AND state IN ('failed', 'refused')";
        on!(self, |db| sqlx::query_as(SQL).bind(campaign).bind(person.0).fetch_optional(db).await)
            .doing("read a failure")
    }

    /// How many messages were sent since `since`, by one campaign or by all.
    pub async fn sent_count(
        &mut self,
        campaign: Option<i64>,
        since: Instant,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM delivery
            WHERE sent_at IS NOT NULL AND observed_at >= $1 AND sent_at >= $1
                AND campaign = COALESCE(CAST($2 AS BIGINT), campaign)";
        let count: i64 = on!(self, |db| sqlx::query_scalar(SQL)
            .bind(micros(since))
            .bind(campaign)
            .fetch_one(db)
            .await)
        .doing("count messages")?;
        Ok(count as u64)
    }

    /// The share of the people whom a campaign is still to write to, of the first `sample`, whom another
    /// is to write to as well; `None` where there is nobody.
    pub async fn shared_people(
        &mut self,
        campaign: i64,
        other: i64,
        sample: usize,
    ) -> Result<Option<f64>, StoreError> {
        const SQL: &str =
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN o.recipient IS NULL THEN 0 ELSE 1 END), 0)
            FROM (SELECT recipient FROM queue WHERE campaign = $1 LIMIT $3) AS mine
            LEFT JOIN delivery o ON o.campaign = $2 AND o.recipient = mine.recipient
                AND o.state = 'planned'";
        let (people, both): (i64, i64) = on!(self, |db| sqlx::query_as(SQL)
            .bind(campaign)
            .bind(other)
            .bind(sample as i64)
            .fetch_one(db)
            .await)
        .doing("count people of two campaigns")?;
        Ok((people > 0).then(|| both as f64 / people as f64))
    }

    /// The last answers to campaigns, the newest first.
    pub async fn last_replies(&mut self, limit: usize) -> Result<Vec<ReplyRow>, StoreError> {
        const SQL: &str = "SELECT r.key, c.name, d.sent_at, d.replied_at
            FROM delivery d JOIN recipient r ON r.id = d.recipient JOIN campaign c ON c.id = d.campaign
            WHERE d.sent_at IS NOT NULL AND d.replied_at IS NOT NULL
            ORDER BY d.observed_at DESC LIMIT $1";
        let rows: Vec<(String, String, i64, i64)> =
            on!(self, |db| sqlx::query_as(SQL).bind(limit as i64).fetch_all(db).await)
                .doing("list replies")?;
        let reply = |(key, campaign, sent_at, replied_at): (String, String, i64, i64)| {
            Ok(ReplyRow {
                recipient: parsed("recipient", &key)?,
                campaign,
                sent_at: instant(TABLE, sent_at)?,
                replied_at: instant(TABLE, replied_at)?,
            })
        };
        rows.into_iter().map(reply).collect()
    }

    /// How many people failed or were refused for each of the channel's codes, most first; with the
    /// code in words.
    pub async fn failure_counts(
        &mut self,
        campaign: i64,
        limit: usize,
    ) -> Result<Vec<(String, u64, Option<String>)>, StoreError> {
        let rows: Vec<(String, i64, Option<String>)> = on!(self, |db| sqlx::query_as(FAILURES)
            .bind(campaign)
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("count failures")?;
        Ok(rows.into_iter().map(|(code, people, text)| (code, people as u64, text)).collect())
    }

    /// Up to `limit` people of a campaign after `after` with what came back, in the order of their
    /// numbers; only those in a state or for a reason, where one is given.
    pub async fn export_rows(
        &mut self,
        campaign: i64,
        (state, reason): (Option<State>, Option<Reason>),
        after: RecipientId,
        limit: usize,
    ) -> Result<Vec<ExportRow>, StoreError> {
        const DOING: &str = "read a campaign's people";
        let (after, limit) = (after.0, limit as i64);
        let claimed = self.claimed(campaign).await?;
        let reason = reason.map_or("", Reason::as_str);
        let mut rows: Vec<ExportRow> = match state {
            None if reason.is_empty() => on!(self, |db| sqlx::query_as(EXPORT)
                .bind(campaign)
                .bind(after)
                .bind(limit)
                .fetch_all(db)
                .await)
            .doing(DOING)?,
            Some(state @ (State::Planned | State::Claimed)) => {
                let sql = if state == State::Planned { EXPORT_PLANNED } else { EXPORT_CLAIMED };
                let sql = self.text(sql);
                let claimed: Vec<RecipientId> = claimed.iter().copied().collect();
                on!(self, |db| sqlx::query_as(sql)
                    .bind(campaign)
                    .bind(after)
                    .bind(limit)
                    .bind(reason)
                    .bind(numbers(&claimed))
                    .fetch_all(db)
                    .await)
                .doing(DOING)?
            }
            state => {
                let few = state.is_some_and(|state| state != State::Sent);
                let sql = if few { EXPORT_ENDED } else { EXPORT_OF };
                on!(self, |db| sqlx::query_as(sql)
                    .bind(campaign)
                    .bind(after)
                    .bind(limit)
                    .bind(state.map_or("", State::as_str))
                    .bind(reason)
                    .fetch_all(db)
                    .await)
                .doing(DOING)?
            }
        };
        for row in &mut rows {
            if row.state == State::Planned.as_str() && claimed.contains(&RecipientId(row.recipient))
            {
                State::Claimed.as_str().clone_into(&mut row.state);
            }
        }
        Ok(rows)
    }
}
