//! Words of people whom nobody knows yet, kept under keyed hashes of the names that they came with,
//! until somebody has such a name.

use super::bulk::{List, Sql, one_of};
use super::consent::scope;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::consent::ConsentEntry;
use crate::model::ids::{Name, RecipientId};
use crate::model::phone::alternatives;
use crate::model::recipient::Address;
use crate::model::time::Instant;

/// Under which word a name is hashed.
const WHAT: &str = "pending";

const PUT: &str = "INSERT INTO pending_consent
    (hash, provider, at, change, source, evidence, recorded_at, scope_provider, topic)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";

const TAKE: Sql = one_of!(
    "DELETE FROM pending_consent
        WHERE (CAST($1 AS TEXT) IS NULL OR provider IN ('', $1)) AND hash",
    "$2",
    " RETURNING hash, at, change, source, evidence, scope_provider, topic"
);

const COUNT: &str = "SELECT COUNT(*) FROM (SELECT DISTINCT hash FROM pending_consent) AS names";

impl Reader {
    /// Under how many names words wait.
    pub async fn pending_count(&mut self) -> Result<u64, StoreError> {
        let count: i64 = on!(self, |db| sqlx::query_scalar(COUNT).fetch_one(db).await)
            .doing("count words that wait")?;
        Ok(count as u64)
    }
}

impl Tx {
    /// Keeps a word of somebody unknown under each of their names, in every form of a number; no
    /// provider where a file told it.
    pub async fn keep_consent(
        &mut self,
        provider: Option<&Name>,
        names: &[Address],
        entry: &ConsentEntry,
    ) -> Result<(), StoreError> {
        let key = self.forgotten_key().await?;
        let forms = names.iter().flat_map(|name| [vec![name.clone()], alternatives(name)].concat());
        for form in forms {
            run!(
                self,
                PUT,
                key.hash(WHAT, form.as_str()),
                provider.map_or("", Name::as_str),
                micros(entry.at),
                entry.change.as_str(),
                &entry.source,
                &entry.evidence,
                micros(entry.recorded_at),
                entry.scope.provider.as_ref().map_or("", Name::as_str),
                entry.scope.topic.as_deref().unwrap_or_default()
            )
            .doing("keep the word of somebody unknown")?;
        }
        Ok(())
    }

    /// Appends to the ledger what was kept under names that people have now, by a provider's word or
    /// a file's; by anybody's without `provider`. Returns how many words were new.
    pub async fn apply_kept_consent(
        &mut self,
        provider: Option<&Name>,
        names: &[(&str, RecipientId)],
        now: Instant,
    ) -> Result<u64, StoreError> {
        if names.is_empty() || self.pending_count().await? == 0 {
            return Ok(0);
        }
        let key = self.forgotten_key().await?;
        let provider = provider.map(Name::as_str);
        let hashes: Vec<(String, RecipientId)> =
            names.iter().map(|(name, id)| (key.hash(WHAT, name), *id)).collect();
        let sql = self.text(TAKE);
        let list = List(hashes.iter().map(|(hash, _)| hash.as_str()).collect());
        let rows: Vec<(String, i64, String, String, String, String, String)> =
            on!(self, |db| sqlx::query_as(sql).bind(provider).bind(list).fetch_all(db).await)
                .doing("look for words that wait")?;
        let mut entries = Vec::new();
        for (hash, at, change, source, evidence, provider, topic) in rows {
            let entry = ConsentEntry {
                change: parsed("pending_consent", &change)?,
                at: instant("pending_consent", at)?,
                source,
                evidence,
                recorded_at: now,
                scope: scope("pending_consent", &provider, topic)?,
            };
            let whose = hashes.iter().filter(|(known, _)| *known == hash);
            entries.extend(whose.map(|(_, id)| (*id, entry.clone())));
        }
        self.append_consent(&entries).await
    }
}
