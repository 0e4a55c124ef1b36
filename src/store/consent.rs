//! The append-only ledger of consent, and what is done when a person asks to be forgotten.

use std::collections::HashSet;

use sqlx::{FromRow, QueryBuilder};

use super::bulk::{List, Sql, numbers, one_of};
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::consent::ConsentEntry;
use crate::model::ids::RecipientId;
use crate::model::time::Instant;

#[derive(FromRow)]
struct ConsentRow {
    change: String,
    at: i64,
    source: String,
    evidence: String,
    recorded_at: i64,
}

impl TryFrom<ConsentRow> for ConsentEntry {
    type Error = StoreError;

    fn try_from(row: ConsentRow) -> Result<Self, StoreError> {
        Ok(Self {
            change: parsed("consent", &row.change)?,
            at: instant("consent", row.at)?,
            source: row.source,
            evidence: row.evidence,
            recorded_at: instant("consent", row.recorded_at)?,
        })
    }
}

const LEDGER: &str = "SELECT change, at, source, evidence, recorded_at FROM consent
    WHERE recipient = $1 ORDER BY at, change, source";

// of two entries of one moment the withdrawal counts: it sorts last
const REFRESH: Sql = one_of!(
    "UPDATE recipient SET consented = (
        SELECT change = 'granted' FROM consent WHERE consent.recipient = recipient.id
        ORDER BY at DESC, change DESC LIMIT 1)
    WHERE id",
    "$1",
    ""
);

/// What was erased of a person, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ForgottenCounts {
    /// The person's own row.
    pub recipients: u64,
    /// Entries of the ledger.
    pub consent_entries: u64,
    /// Messages of the history.
    pub messages: u64,
    /// Signs of presence.
    pub activities: u64,
    /// What was learned.
    pub evidence: u64,
    /// Plans and deliveries.
    pub deliveries: u64,
    /// What channels keep of a person: windows, limits, other names, words not passed on yet.
    pub channel: u64,
}

impl Reader {
    /// Which of the people have no consent now.
    pub async fn without_consent(
        &mut self,
        people: &[RecipientId],
    ) -> Result<HashSet<RecipientId>, StoreError> {
        const SQL: Sql = one_of!("SELECT id FROM recipient WHERE NOT consented AND id", "$1", "");
        let sql = self.text(SQL);
        let ids: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("read who has consent")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// A person's ledger, oldest first.
    pub async fn ledger(
        &mut self,
        recipient: RecipientId,
    ) -> Result<Vec<ConsentEntry>, StoreError> {
        let rows: Vec<ConsentRow> =
            on!(self, |db| sqlx::query_as(LEDGER).bind(recipient.0).fetch_all(db).await)
                .doing("read the consent ledger")?;
        rows.into_iter().map(ConsentEntry::try_from).collect()
    }
}

impl Tx {
    /// Appends entries to the ledger; one that is there already is left as it is. Returns how many
    /// were new.
    pub async fn append_consent(
        &mut self,
        entries: &[(RecipientId, ConsentEntry)],
    ) -> Result<u64, StoreError> {
        let (mut new, refresh) = (0, self.text(REFRESH));
        for chunk in entries.chunks(ROWS_PER_STATEMENT) {
            new += on!(self, |db| {
                let mut query = QueryBuilder::new(
                    "INSERT INTO consent (recipient, at, change, source, evidence, recorded_at) ",
                );
                query.push_values(chunk, |mut row, (recipient, entry)| {
                    row.push_bind(recipient.0)
                        .push_bind(micros(entry.at))
                        .push_bind(entry.change.as_str())
                        .push_bind(&entry.source)
                        .push_bind(&entry.evidence)
                        .push_bind(micros(entry.recorded_at));
                });
                query.push(" ON CONFLICT DO NOTHING");
                query.build().execute(db).await.map(|done| done.rows_affected())
            })
            .doing("append to the consent ledger")?;
            let people = List(chunk.iter().map(|(recipient, _)| recipient.0).collect());
            run!(self, refresh, people).doing("note who has consent")?;
        }
        Ok(new)
    }

    /// Erases a person and leaves the given hashes, the first of which is the person's key's.
    pub async fn forget(
        &mut self,
        recipient: RecipientId,
        hashes: &[String],
        now: Instant,
    ) -> Result<ForgottenCounts, StoreError> {
        macro_rules! erase {
            ($sql:literal) => {
                on!(self, |db| sqlx::query($sql)
                    .bind(recipient.0)
                    .execute(db)
                    .await
                    .map(|done| done.rows_affected()))
                .doing("erase a person")?
            };
        }
        let counts = ForgottenCounts {
            deliveries: {
                erase!(
                    "DELETE FROM queue WHERE (campaign, due_at, recipient) IN
                        (SELECT campaign, send_at, recipient FROM delivery
                         WHERE recipient = $1 AND send_at IS NOT NULL)"
                );
                erase!("DELETE FROM delivery WHERE recipient = $1")
            },
            channel: erase!("DELETE FROM contact WHERE recipient = $1")
                + erase!("DELETE FROM service_window WHERE recipient = $1")
                + erase!("DELETE FROM alias WHERE recipient = $1")
                + erase!("DELETE FROM former_address WHERE recipient = $1")
                + erase!("DELETE FROM suppression WHERE recipient = $1")
                + erase!("DELETE FROM inbound WHERE recipient = $1"),
            evidence: erase!("DELETE FROM evidence WHERE recipient = $1"),
            activities: erase!("DELETE FROM activity WHERE recipient = $1"),
            messages: erase!("DELETE FROM message WHERE recipient = $1"),
            consent_entries: erase!("DELETE FROM consent WHERE recipient = $1"),
            recipients: erase!("DELETE FROM recipient WHERE id = $1"),
        };
        on!(self, |db| {
            let mut query =
                QueryBuilder::new("INSERT INTO forgotten (hash, person, forgotten_at) ");
            query.push_values(hashes, |mut row, hash| {
                row.push_bind(hash).push_bind(&hashes[0]).push_bind(micros(now));
            });
            query.push(" ON CONFLICT DO NOTHING");
            query.build().execute(db).await.map(drop)
        })
        .doing("note who is forgotten")?;
        Ok(counts)
    }

    /// Lets a forgotten person in again, since they asked for it; false when nobody was forgotten
    /// under the hash.
    pub async fn remember(&mut self, person: &str) -> Result<bool, StoreError> {
        let gone = on!(self, |db| sqlx::query("DELETE FROM forgotten WHERE person = $1")
            .bind(person)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("let a forgotten person in again")?;
        Ok(gone > 0)
    }
}
