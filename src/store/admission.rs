//! What the limits of a provider's account have left, shared by every daemon.
//!
//! Whoever admits messages locks the account first, in the transaction of the claim: two daemons
//! never give the same room away. Nothing of it is held by a daemon, so that one that dies takes
//! nothing with it.

use std::collections::{HashMap, HashSet};

use sqlx::QueryBuilder;

use super::bulk::{Column, Rows, Sql, numbers, one_of};
use super::campaigns::CampaignStatus;
use super::row::from_row;
use super::{Conn, Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

/// What is kept of a person for an account's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// The bucket of time in which the person is counted.
    pub counted_at: Instant,
    /// When what was borrowed of the pair's rate is paid back.
    pub pair_until: Instant,
}

macro_rules! lock_sql {
    ($suffix:literal) => {
        concat!("SELECT next_at FROM admission WHERE account = $1", $suffix)
    };
}

const ADD_ACCOUNT: &str =
    "INSERT INTO admission (account, next_at) VALUES ($1, 0) ON CONFLICT DO NOTHING";

const SET_NEXT: &str = "UPDATE admission SET next_at = $2 WHERE account = $1";

/// Moves the moment on by what was used, from now at the earliest.
const USE_RATE: &str = "INSERT INTO admission (account, next_at) VALUES ($1, $2 + $3)
    ON CONFLICT (account) DO UPDATE SET next_at =
        CASE WHEN admission.next_at > $2 THEN admission.next_at ELSE $2 END + $3";

const USED: &str = "SELECT account, CAST(SUM(used) AS BIGINT), MIN(bucket) FROM quota
    WHERE used > 0 AND (account = $1 AND bucket > $2 OR account = $3 AND bucket > $4)
    GROUP BY account";

const USE_QUOTA: &str = "INSERT INTO quota (account, bucket, used)";

const OVER_QUOTA: &str = " ON CONFLICT (account, bucket) DO UPDATE
    SET used = quota.used + excluded.used";

const CONTACTS: Sql = one_of!(
    "SELECT recipient, counted_at, pair_until FROM contact WHERE account = $1 AND recipient",
    "$2",
    ""
);

const PUT_CONTACTS: &str = "INSERT INTO contact (account, recipient, counted_at, pair_until)";

const OVER_CONTACTS: &str = " ON CONFLICT (account, recipient) DO UPDATE
    SET counted_at = excluded.counted_at, pair_until = excluded.pair_until";

const OPEN: Sql = one_of!(
    "SELECT recipient FROM service_window WHERE provider = $1 AND open_until > $2 AND recipient",
    "$3",
    ""
);

/// What says whether a campaign's messages can be claimed now.
#[derive(Debug, Clone, Copy)]
pub struct Claimable {
    /// When the next message is due that nobody has claimed.
    pub next_due: Option<Instant>,
    /// Whether the campaign runs, and its provider did not ask to wait.
    pub runs: bool,
    /// From when the account's rate has something left, where it was ever used.
    pub rate_next_at: Option<Instant>,
}

from_row! {
    struct ClaimableRow {
        due_at: Option<i64>,
        status: String,
        paused: bool,
        next_at: Option<i64>,
    }
}

impl Reader {
    /// Whether messages of a campaign can be claimed at `now`, and when else; nothing is locked.
    pub async fn claimable(
        &mut self,
        campaign: i64,
        provider: &Name,
        account: &str,
        now: Instant,
    ) -> Result<Claimable, StoreError> {
        const SQL: &str = "SELECT
            (SELECT MIN(due_at) FROM queue WHERE campaign = $1) AS due_at,
            status,
            EXISTS (SELECT 1 FROM provider_pause
                WHERE provider = $2 AND template = '' AND paused_until > $3) AS paused,
            (SELECT next_at FROM admission WHERE account = $4) AS next_at
            FROM campaign WHERE id = $1";
        let row: ClaimableRow = on!(self, |db| sqlx::query_as(SQL)
            .bind(campaign)
            .bind(provider.as_str())
            .bind(micros(now))
            .bind(account)
            .fetch_one(db)
            .await)
        .doing("look what can be claimed")?;
        let status: CampaignStatus = parsed("campaign", &row.status)?;
        Ok(Claimable {
            next_due: row.due_at.map(|at| instant("queue", at)).transpose()?,
            runs: status == CampaignStatus::Active && !row.paused,
            rate_next_at: row.next_at.map(|at| instant("admission", at)).transpose()?,
        })
    }

    /// How many messages of a campaign wait for another try.
    pub async fn retry_count(&mut self, campaign: i64) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM delivery
            WHERE campaign = $1 AND state = 'planned' AND attempts > 0";
        let count: i64 = on!(self, |db| sqlx::query_scalar(SQL).bind(campaign).fetch_one(db).await)
            .doing("count what is tried again")?;
        Ok(count as u64)
    }

    /// What was used of two accounts' moving limits, each in buckets that begin after a time, and the
    /// first of those buckets; `None` where nothing was used.
    pub async fn quotas_used(
        &mut self,
        accounts: [(&str, Instant); 2],
    ) -> Result<[Option<(u64, Instant)>; 2], StoreError> {
        let [(one, after_one), (other, after_other)] = accounts;
        let rows: Vec<(String, i64, i64)> = on!(self, |db| sqlx::query_as(USED)
            .bind(one)
            .bind(micros(after_one))
            .bind(other)
            .bind(micros(after_other))
            .fetch_all(db)
            .await)
        .doing("read what was used of limits")?;
        let mut used = [None; 2];
        for (account, count, first) in rows {
            let index = usize::from(account != one);
            used[index] = Some((count.max(0) as u64, instant("quota", first)?));
        }
        Ok(used)
    }
}

impl Tx {
    /// Locks an account until the transaction ends; the moment from which its rate has room.
    pub async fn lock_account(&mut self, account: &str) -> Result<Instant, StoreError> {
        let sql = match &self.conn {
            Conn::Sqlite(_) => lock_sql!(""),
            Conn::Postgres(_) => lock_sql!(" FOR UPDATE"),
        };
        let at: i64 = on!(self, |db| {
            async {
                let found: Option<i64> =
                    sqlx::query_scalar(sql).bind(account).fetch_optional(&mut *db).await?;
                if let Some(at) = found {
                    return Ok(at);
                }
                sqlx::query(ADD_ACCOUNT).bind(account).execute(&mut *db).await?;
                sqlx::query_scalar(sql).bind(account).fetch_one(&mut *db).await
            }
            .await
        })
        .doing("lock an account")?;
        instant("admission", at)
    }

    /// Sets the moment from which a locked account's rate has room.
    pub async fn set_rate_next_at(&mut self, account: &str, at: Instant) -> Result<(), StoreError> {
        on!(self, |db| sqlx::query(SET_NEXT)
            .bind(account)
            .bind(micros(at))
            .execute(db)
            .await
            .map(drop))
        .doing("note what is left of a rate")
    }

    /// Takes `span_us` microseconds of an account's rate without asking whether it has room.
    pub async fn use_rate(
        &mut self,
        account: &str,
        now: Instant,
        span_us: i64,
    ) -> Result<(), StoreError> {
        on!(self, |db| sqlx::query(USE_RATE)
            .bind(account)
            .bind(micros(now))
            .bind(span_us)
            .execute(db)
            .await
            .map(drop))
        .doing("note what came in")
    }

    /// Counts more (or less) in buckets of moving limits; each of them once.
    pub async fn use_quotas(&mut self, used: &[(&str, Instant, i64)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        let columns = vec![
            Column::Text(used.iter().map(|(account, ..)| Some(*account)).collect()),
            Column::Number(used.iter().map(|(_, bucket, _)| Some(micros(*bucket))).collect()),
            Column::Number(used.iter().map(|(.., count)| Some(*count)).collect()),
        ];
        on!(self, |db| Rows::insert(USE_QUOTA, columns, OVER_QUOTA)
            .build()
            .execute(db)
            .await
            .map(drop))
        .doing("count what was used of limits")
    }

    /// What is kept of people for an account's limits.
    pub async fn contacts(
        &mut self,
        account: &str,
        people: &[RecipientId],
    ) -> Result<HashMap<RecipientId, Contact>, StoreError> {
        let sql = self.text(CONTACTS);
        let rows: Vec<(i64, i64, i64)> = on!(self, |db| sqlx::query_as(sql)
            .bind(account)
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("read who was written to")?;
        let contact = |(id, counted_at, pair_until): (i64, i64, i64)| {
            let counted_at = instant("contact", counted_at)?;
            let pair_until = instant("contact", pair_until)?;
            Ok((RecipientId(id), Contact { counted_at, pair_until }))
        };
        rows.into_iter().map(contact).collect()
    }

    /// Keeps what is known of people for an account's limits; people must differ.
    pub async fn put_contacts(
        &mut self,
        account: &str,
        contacts: &[(RecipientId, Contact)],
    ) -> Result<(), StoreError> {
        for chunk in contacts.chunks(ROWS_PER_STATEMENT) {
            let number = |of: &dyn Fn(&(RecipientId, Contact)) -> i64| {
                Column::Number(chunk.iter().map(|row| Some(of(row))).collect())
            };
            let columns = vec![
                Column::Text(vec![Some(account); chunk.len()]),
                number(&|(id, _)| id.0),
                number(&|(_, contact)| micros(contact.counted_at)),
                number(&|(_, contact)| micros(contact.pair_until)),
            ];
            on!(self, |db| Rows::insert(PUT_CONTACTS, columns, OVER_CONTACTS)
                .build()
                .execute(db)
                .await
                .map(drop))
            .doing("note who is written to")?;
        }
        Ok(())
    }

    /// Forgets what no limit asks for any more: before `before` in all buckets and pairs.
    pub async fn prune_admission(&mut self, before: Instant) -> Result<(), StoreError> {
        const CONTACTS: &str = "DELETE FROM contact WHERE counted_at < $1 AND pair_until < $1";
        const QUOTA: &str = "DELETE FROM quota WHERE bucket < $1";
        const WINDOWS: &str = "DELETE FROM service_window WHERE open_until < $1";
        for sql in [CONTACTS, QUOTA, WINDOWS] {
            on!(self, |db| sqlx::query(sql).bind(micros(before)).execute(db).await.map(drop))
                .doing("forget old counts")?;
        }
        Ok(())
    }

    /// Which of the people may be answered in free form at `now`.
    pub async fn open_windows(
        &mut self,
        provider: &Name,
        people: &[RecipientId],
        now: Instant,
    ) -> Result<HashSet<RecipientId>, StoreError> {
        let sql = self.text(OPEN);
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(provider.as_str())
            .bind(micros(now))
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("read open service windows")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// Opens service windows, each until the later of what is stored and what is given.
    pub async fn open_service_windows(
        &mut self,
        provider: &Name,
        windows: &[(RecipientId, Instant)],
    ) -> Result<(), StoreError> {
        for chunk in windows.chunks(ROWS_PER_STATEMENT) {
            on!(self, |db| {
                let mut query = QueryBuilder::new(
                    "INSERT INTO service_window (provider, recipient, open_until) ",
                );
                query.push_values(chunk, |mut row, (id, until)| {
                    row.push_bind(provider.as_str()).push_bind(id.0).push_bind(micros(*until));
                });
                query.push(
                    " ON CONFLICT (provider, recipient) DO UPDATE
                        SET open_until = excluded.open_until
                        WHERE service_window.open_until < excluded.open_until",
                );
                query.build().execute(db).await.map(drop)
            })
            .doing("open service windows")?;
        }
        Ok(())
    }

    /// Closes a service window that the provider says is closed.
    pub async fn close_service_window(
        &mut self,
        provider: &Name,
        person: RecipientId,
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM service_window WHERE provider = $1 AND recipient = $2";
        on!(self, |db| sqlx::query(SQL)
            .bind(provider.as_str())
            .bind(person.0)
            .execute(db)
            .await
            .map(drop))
        .doing("close a service window")
    }
}
