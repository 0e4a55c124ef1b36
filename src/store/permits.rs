//! What people permitted a channel: subscriptions to a subject, single messages, and answers that are counted.
//!
//! Whoever takes a message's permit does so in the transaction that claims it, under the lock of the provider's
//! account, so that none is used twice.

use std::collections::HashMap;

use super::bulk::{Sql, one_of};
use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, run};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

/// What a person permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// About what; nothing for answers that the channel counts.
    pub topic: String,
    /// What the channel wants to be shown; nothing where it wants nothing.
    pub token: String,
    /// How many messages; any number where it is missing.
    pub remaining: Option<u32>,
    /// Until when, if not for ever.
    pub expires_at: Option<Instant>,
    /// The next message goes not before.
    pub next_at: Instant,
}

from_row! {
    struct PermitRow {
        recipient: i64,
        topic: String,
        token: String,
        remaining: Option<i64>,
        expires_at: Option<i64>,
        next_at: i64,
    }
}

const OF: Sql = one_of!(
    "SELECT recipient, topic, token, remaining, expires_at, next_at FROM permit
        WHERE provider = $1 AND recipient",
    "$2",
    ""
);

const ALL_OF: &str = "SELECT recipient, topic, token, remaining, expires_at, next_at FROM permit
    WHERE provider = $1";

const PUT: &str = "INSERT INTO permit
        (provider, recipient, topic, token, remaining, expires_at, next_at)
    SELECT $1, id, $3, $4, $5, $6, $7 FROM recipient WHERE id = $2
    ON CONFLICT (provider, recipient, topic) DO UPDATE
    SET token = excluded.token, remaining = excluded.remaining, expires_at = excluded.expires_at";

const ADD: &str = "INSERT INTO permit (provider, recipient, topic, token, remaining, next_at)
    SELECT $1, id, $3, '', $4, 0 FROM recipient WHERE id = $2
    ON CONFLICT (provider, recipient, topic) DO UPDATE
    SET remaining = permit.remaining + excluded.remaining";

const COUNT: &str = "UPDATE permit SET remaining = remaining + $5, next_at = $4
    WHERE provider = $1 AND recipient = $2 AND topic = $3";

const DROP: &str = "DELETE FROM permit WHERE provider = $1 AND recipient = $2 AND topic = $3";

const OVER: &str = "DELETE FROM permit WHERE expires_at < $1";

impl Reader {
    /// Until when some people, or all, may be answered in free form.
    pub async fn service_windows(
        &mut self,
        provider: &Name,
        people: Option<&[RecipientId]>,
    ) -> Result<HashMap<RecipientId, Instant>, StoreError> {
        const ALL: &str = "SELECT recipient, open_until FROM service_window WHERE provider = $1";
        const OF: Sql = one_of!(
            "SELECT recipient, open_until FROM service_window WHERE provider = $1 AND recipient",
            "$2",
            ""
        );
        let rows: Vec<(i64, i64)> =
            self.of_people(provider, people, (ALL, OF)).await.doing("read service windows")?;
        let window =
            |(id, until): (i64, i64)| Ok((RecipientId(id), instant("service_window", until)?));
        rows.into_iter().map(window).collect()
    }

    /// What some people permitted a provider; everybody without `people`.
    pub async fn permits(
        &mut self,
        provider: &Name,
        people: Option<&[RecipientId]>,
    ) -> Result<HashMap<RecipientId, Vec<Permit>>, StoreError> {
        let rows: Vec<PermitRow> = self
            .of_people(provider, people, (ALL_OF, OF))
            .await
            .doing("read what people permitted")?;
        let mut permits: HashMap<RecipientId, Vec<Permit>> = HashMap::new();
        for row in rows {
            let expires_at = row.expires_at.map(|at| instant("permit", at)).transpose()?;
            let permit = Permit {
                topic: row.topic,
                token: row.token,
                remaining: row.remaining.map(|count| count.max(0) as u32),
                expires_at,
                next_at: instant("permit", row.next_at)?,
            };
            permits.entry(RecipientId(row.recipient)).or_default().push(permit);
        }
        Ok(permits)
    }
}

impl Tx {
    /// Puts a permit in the place of the one for its subject; when the next message may go stays.
    pub async fn put_permit(
        &mut self,
        provider: &Name,
        person: RecipientId,
        permit: &Permit,
    ) -> Result<(), StoreError> {
        run!(
            self,
            PUT,
            provider.as_str(),
            person.0,
            &permit.topic,
            &permit.token,
            permit.remaining.map(i64::from),
            permit.expires_at.map(micros),
            micros(permit.next_at)
        )
        .doing("note what a person permitted")
        .map(drop)
    }

    /// Adds single messages to those that a person permitted.
    pub async fn add_permits(
        &mut self,
        provider: &Name,
        person: RecipientId,
        topic: &str,
        count: u32,
    ) -> Result<(), StoreError> {
        run!(self, ADD, provider.as_str(), person.0, topic, i64::from(count))
            .doing("note what a person permitted")
            .map(drop)
    }

    /// Uses a permit for one message; the next goes not before `next_at`.
    pub async fn use_permit(
        &mut self,
        provider: &Name,
        person: RecipientId,
        topic: &str,
        next_at: Instant,
    ) -> Result<(), StoreError> {
        self.count_permits(provider, (person, topic), next_at, -1).await
    }

    /// Gives a permit back whose message was not sent, with when the next could go before.
    pub async fn give_permit_back(
        &mut self,
        provider: &Name,
        person: RecipientId,
        topic: &str,
        next_at: Instant,
    ) -> Result<(), StoreError> {
        self.count_permits(provider, (person, topic), next_at, 1).await
    }

    async fn count_permits(
        &mut self,
        provider: &Name,
        (person, topic): (RecipientId, &str),
        next_at: Instant,
        more: i64,
    ) -> Result<(), StoreError> {
        run!(self, COUNT, provider.as_str(), person.0, topic, micros(next_at), more)
            .doing("count what a person permitted")
            .map(drop)
    }

    /// Drops a permit: the person took it back, or it is used up.
    pub async fn drop_permit(
        &mut self,
        provider: &Name,
        person: RecipientId,
        topic: &str,
    ) -> Result<u64, StoreError> {
        run!(self, DROP, provider.as_str(), person.0, topic).doing("drop a permit")
    }

    /// Forgets permits that ended before `before`.
    pub async fn prune_permits(&mut self, before: Instant) -> Result<(), StoreError> {
        run!(self, OVER, micros(before)).doing("forget permits that ended").map(drop)
    }
}
