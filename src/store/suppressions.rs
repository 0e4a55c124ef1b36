//! Whom a channel cannot reach, by its own word. What people said is in the ledger, apart.

use std::collections::{BTreeMap, HashMap};

use super::bulk::{Sql, one_of};
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::ids::{Name, RecipientId, RecipientKey};
use crate::model::time::Instant;

/// A person whom a channel cannot reach.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Suppression {
    /// By which provider.
    pub provider: String,
    /// The caller's id of the person.
    pub recipient: RecipientKey,
    /// The channel's code for it.
    pub code: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Instant,
}

const LIST: &str = "SELECT s.provider, r.key, s.code, s.since
    FROM suppression s JOIN recipient r ON r.id = s.recipient
    WHERE (r.key, s.provider) > ($1, $2) ORDER BY r.key, s.provider LIMIT $3";

const OF: Sql =
    one_of!("SELECT recipient, code FROM suppression WHERE provider = $1 AND recipient", "$2", "");

const ALL_OF: &str = "SELECT recipient, code FROM suppression WHERE provider = $1";

const PUT: &str = "INSERT INTO suppression (provider, recipient, code, since)
    SELECT $1, id, $3, $4 FROM recipient WHERE id = $2
    ON CONFLICT (provider, recipient) DO UPDATE SET code = excluded.code";

const LIFT: &str = "DELETE FROM suppression WHERE provider = $1 AND since <= $2 AND recipient = $3";

const REMOVE: &str = "DELETE FROM suppression WHERE recipient = $1";

impl Reader {
    /// Up to `limit` suppressions after the one of a person and provider, in the order of the
    /// people's ids.
    pub async fn suppressions(
        &mut self,
        (person, provider): (&str, &str),
        limit: usize,
    ) -> Result<Vec<Suppression>, StoreError> {
        let rows: Vec<(String, String, String, i64)> = on!(self, |db| sqlx::query_as(LIST)
            .bind(person)
            .bind(provider)
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("list suppressions")?;
        let suppression = |(provider, key, code, since): (String, String, String, i64)| {
            let recipient = parsed("recipient", &key)?;
            Ok(Suppression { provider, recipient, code, since: instant("suppression", since)? })
        };
        rows.into_iter().map(suppression).collect()
    }

    /// Whom of the people a provider cannot reach, with its code; of everybody without `people`.
    pub async fn suppressed(
        &mut self,
        provider: &Name,
        people: Option<&[RecipientId]>,
    ) -> Result<HashMap<RecipientId, String>, StoreError> {
        let rows: Vec<(i64, String)> =
            self.of_people(provider, people, (ALL_OF, OF)).await.doing("read suppressions")?;
        Ok(rows.into_iter().map(|(id, code)| (RecipientId(id), code)).collect())
    }
}

impl Tx {
    /// Notes that a provider cannot reach a person; since when stays what it was.
    pub async fn suppress(
        &mut self,
        provider: &Name,
        person: RecipientId,
        code: &str,
        since: Instant,
    ) -> Result<(), StoreError> {
        if self.keep_people(&[person]).await?.is_empty() {
            return Ok(());
        }
        run!(self, PUT, provider.as_str(), person.0, code, micros(since))
            .doing("note whom a channel does not reach")
            .map(drop)
    }

    /// Lifts the suppressions of people whom a provider has reached, or who wrote, each by when.
    pub async fn lift_suppressions(
        &mut self,
        provider: &Name,
        reached: &BTreeMap<RecipientId, Instant>,
    ) -> Result<(), StoreError> {
        if reached.is_empty() {
            return Ok(());
        }
        let people: Vec<RecipientId> = reached.keys().copied().collect();
        // nearly nobody is
        for person in self.suppressed(provider, Some(&people)).await?.into_keys() {
            let at = micros(reached[&person]);
            run!(self, LIFT, provider.as_str(), at, person.0).doing("lift suppressions")?;
        }
        Ok(())
    }

    /// Removes all suppressions of a person; returns how many.
    pub async fn remove_suppressions(&mut self, person: RecipientId) -> Result<u64, StoreError> {
        run!(self, REMOVE, person.0).doing("remove suppressions")
    }
}
