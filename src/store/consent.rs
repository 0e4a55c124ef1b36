//! The append-only ledger of consent, and what is done when a person asks to be forgotten.
//!
//! *Invariant:* whoever writes about people holds their rows first, in the order of their numbers, or
//! has them out of the queue, for which a transaction that erases somebody waits.
//! So the flag that the ledger's last entry sets is computed after every entry that is committed, and
//! nothing is written about a person who is being forgotten.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::QueryBuilder;

use super::bulk::{List, Sql, numbers, one_of};
use super::row::from_row;
use super::{
    Conn, Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed, run,
};
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

from_row! {
    struct ConsentRow {
        change: String,
        at: i64,
        source: String,
        evidence: String,
        recorded_at: i64,
        provider: String,
        topic: String,
    }
}

from_row! {
    struct LastRow {
        recipient: i64,
        ; entry: ConsentRow
    }
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
            scope: scope("consent", &row.provider, row.topic)?,
        })
    }
}

/// The scope that two columns tell; empty ones name nothing.
pub(super) fn scope(
    table: &'static str,
    provider: &str,
    topic: String,
) -> Result<ConsentScope, StoreError> {
    let provider = if provider.is_empty() { None } else { Some(parsed(table, provider)?) };
    Ok(ConsentScope { provider, topic: Some(topic).filter(|topic| !topic.is_empty()) })
}

const LEDGER: &str =
    "SELECT change, at, source, evidence, recorded_at, provider, topic FROM consent
    WHERE recipient = $1 ORDER BY at, change, source";

const LEDGERS: Sql = one_of!(
    "SELECT recipient, change, at, source, evidence, recorded_at, provider, topic
        FROM consent WHERE recipient",
    "$1",
    " ORDER BY recipient, at, change, source"
);

// of two entries of one moment the withdrawal counts: it sorts last
const REFRESH: Sql = one_of!(
    "UPDATE recipient SET consented = COALESCE((
        SELECT change = 'granted' FROM consent
        WHERE consent.recipient = recipient.id AND consent.provider = ''
        ORDER BY at DESC, change DESC LIMIT 1), FALSE)
    WHERE id",
    "$1",
    ""
);

macro_rules! said_of_provider {
    ($people:literal) => {
        concat!(
            "SELECT recipient, change FROM consent
            WHERE provider IN ('', $1) AND topic IN ('', $2) AND recipient IN (
                SELECT recipient FROM consent WHERE provider = $1 AND topic IN ('', $2)",
            $people
        )
    };
}

const SAID_OF_PROVIDER: Sql =
    one_of!(said_of_provider!(" AND recipient"), "$3", ") ORDER BY recipient, at, change");

const ALL_SAID_OF_PROVIDER: &str = said_of_provider!(") ORDER BY recipient, at, change");

macro_rules! held {
    ($lock:literal) => {
        [
            one_of!("SELECT id FROM recipient WHERE id", "$1", " ORDER BY id")[0],
            one_of!("SELECT id FROM recipient WHERE id", "$1", concat!(" ORDER BY id ", $lock))[1],
        ]
    };
}

/// Against a change of the row.
const LOCKED: Sql = held!("FOR NO KEY UPDATE");

/// Against being forgotten alone: many may hold a row so at once.
const KEPT: Sql = held!("FOR KEY SHARE");

/// What was erased of a person, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
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
    /// Which of the people have no consent to a provider's messages now, about a subject if one is named.
    pub async fn without_consent(
        &mut self,
        (provider, topic): (&Name, Option<&str>),
        people: &[RecipientId],
    ) -> Result<HashSet<RecipientId>, StoreError> {
        const SQL: Sql = one_of!("SELECT id FROM recipient WHERE NOT consented AND id", "$1", "");
        let sql = self.text(SQL);
        let ids: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("read who has consent")?;
        let mut without: HashSet<RecipientId> = ids.into_iter().map(RecipientId).collect();
        for (person, granted) in self.provider_consents((provider, topic), Some(people)).await? {
            if granted {
                without.remove(&person);
            } else {
                without.insert(person);
            }
        }
        Ok(without)
    }

    /// Of the people who said anything of a provider alone whether they consent to its messages: the last
    /// word counts, of those that hold for it and for all, and for a subject if one is named. Of everybody
    /// without `people`; whoever is not named has said nothing apart from what holds for all.
    pub async fn provider_consents(
        &mut self,
        (provider, topic): (&Name, Option<&str>),
        people: Option<&[RecipientId]>,
    ) -> Result<HashMap<RecipientId, bool>, StoreError> {
        let (of, topic) = (self.text(SAID_OF_PROVIDER), topic.unwrap_or_default());
        let rows: Vec<(i64, String)> = on!(self, |db| match people {
            Some(people) =>
                sqlx::query_as(of)
                    .bind(provider.as_str())
                    .bind(topic)
                    .bind(numbers(people))
                    .fetch_all(db)
                    .await,
            None =>
                sqlx::query_as(ALL_SAID_OF_PROVIDER)
                    .bind(provider.as_str())
                    .bind(topic)
                    .fetch_all(db)
                    .await,
        })
        .doing("read what people said of a provider")?;
        // of one person the last row is kept
        let granted = |(id, change): (i64, String)| {
            let change: ConsentChange = parsed("consent", &change)?;
            Ok((RecipientId(id), change == ConsentChange::Granted))
        };
        rows.into_iter().map(granted).collect()
    }

    /// The entry that counts for all providers, of each of the people who have any.
    pub async fn last_consents(
        &mut self,
        people: &[RecipientId],
    ) -> Result<HashMap<RecipientId, ConsentEntry>, StoreError> {
        let entries = self.ledgers(people).await?.into_iter();
        // of one person the last row is kept
        Ok(entries.filter(|(_, entry)| entry.scope == ConsentEntry::EVERYWHERE).collect())
    }

    /// All entries of some people, those of each in the order in which they count.
    async fn ledgers(
        &mut self,
        people: &[RecipientId],
    ) -> Result<Vec<(RecipientId, ConsentEntry)>, StoreError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let sql = self.text(LEDGERS);
        let rows: Vec<LastRow> =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("read consent ledgers")?;
        rows.into_iter()
            .map(|row| Ok((RecipientId(row.recipient), row.entry.try_into()?)))
            .collect()
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
    /// Appends entries to the ledger; one that is there already is left as it is, and so is one of a
    /// person who was forgotten. Returns how many were new.
    pub async fn append_consent(
        &mut self,
        entries: &[(RecipientId, ConsentEntry)],
    ) -> Result<u64, StoreError> {
        let people: Vec<RecipientId> = entries.iter().map(|(recipient, _)| *recipient).collect();
        let known = self.hold(LOCKED, &people).await?;
        let entries: Vec<&(RecipientId, ConsentEntry)> =
            entries.iter().filter(|(recipient, _)| known.contains(recipient)).collect();
        let (mut new, refresh) = (0, self.text(REFRESH));
        for chunk in entries.chunks(ROWS_PER_STATEMENT) {
            new += on!(self, |db| {
                let mut query = QueryBuilder::new(
                    "INSERT INTO consent
                        (recipient, at, change, source, evidence, recorded_at, provider, topic) ",
                );
                query.push_values(chunk, |mut row, (recipient, entry)| {
                    row.push_bind(recipient.0)
                        .push_bind(micros(entry.at))
                        .push_bind(entry.change.as_str())
                        .push_bind(&entry.source)
                        .push_bind(&entry.evidence)
                        .push_bind(micros(entry.recorded_at))
                        .push_bind(entry.scope.provider.as_ref().map_or("", Name::as_str))
                        .push_bind(entry.scope.topic.as_deref().unwrap_or_default());
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

    /// The people of whom an entry is not in the ledger yet.
    pub async fn unknown_consents(
        &mut self,
        entries: &[(RecipientId, ConsentEntry)],
    ) -> Result<HashSet<RecipientId>, StoreError> {
        let people: Vec<RecipientId> = entries.iter().map(|(recipient, _)| *recipient).collect();
        let word = |(id, e): &(RecipientId, ConsentEntry)| {
            (*id, e.at, e.change, e.source.clone(), e.scope.clone())
        };
        let known: HashSet<_> = self.ledgers(&people).await?.iter().map(word).collect();
        let new = entries.iter().filter(|entry| !known.contains(&word(entry)));
        Ok(new.map(|(id, _)| *id).collect())
    }

    /// Which of the people are known; none of them is forgotten before this transaction ends.
    pub async fn keep_people(
        &mut self,
        people: &[RecipientId],
    ) -> Result<BTreeSet<RecipientId>, StoreError> {
        self.hold(KEPT, people).await
    }

    async fn hold(
        &mut self,
        sql: Sql,
        people: &[RecipientId],
    ) -> Result<BTreeSet<RecipientId>, StoreError> {
        if people.is_empty() {
            return Ok(BTreeSet::new());
        }
        let sql = self.text(sql);
        let ids: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("hold people's rows")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// Erases a person and leaves the given hashes, the first of which is the person's key's.
    pub async fn forget(
        &mut self,
        recipient: RecipientId,
        hashes: &[String],
        now: Instant,
    ) -> Result<ForgottenCounts, StoreError> {
        const LOCK: Sql = [
            "SELECT id FROM recipient WHERE id = $1",
            "SELECT id FROM recipient WHERE id = $1 FOR UPDATE",
        ];
        self.wait_for_claims().await?;
        let lock = self.text(LOCK);
        on!(self, |db| sqlx::query(lock).bind(recipient.0).execute(db).await.map(drop))
            .doing("hold a person's row")?;
        let mut erased = self.erase(recipient).await?;
        let mut of = |table: &str| erased.remove(table).unwrap_or_default();
        let counts = ForgottenCounts {
            recipients: of("recipient"),
            consent_entries: of("consent"),
            messages: of("message"),
            activities: of("activity"),
            evidence: of("evidence"),
            deliveries: of("delivery"),
            channel: erased.into_values().sum(),
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

    /// Waits for the transactions that claim, and has others wait for this one: they write rows about
    /// the people whom they have found, and hold none of those people's own rows, which would cost a
    /// write each. In SQLite who writes is alone.
    async fn wait_for_claims(&mut self) -> Result<(), StoreError> {
        const SQL: &str = "LOCK TABLE queue IN SHARE MODE";
        match &mut self.conn {
            Conn::Sqlite(_) => Ok(()),
            Conn::Postgres(held) => sqlx::query(SQL).execute(&mut **held).await.map(drop),
        }
        .doing("wait for claims")
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
