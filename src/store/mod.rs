//! Everything that is kept, in SQLite or PostgreSQL: one SQL text for both.
//!
//! Owns the pools, the schema and every statement. Reads are methods of [`Reader`], a connection;
//! writes are methods of [`Tx`], a transaction, which reads by the same methods. Decides nothing: rows come in
//! as models and go out as models, and a row that is no model is [`StoreError::Corrupt`].
//!
//! *Invariant:* sqlx is named here and nowhere else. No statement asks the database for the time.

mod account_templates;
mod admission;
mod answers;
mod audit;
mod backup;
mod bulk;
mod cache;
mod campaigns;
mod channel;
mod consent;
mod copy;
mod counts;
mod deliveries;
mod endings;
mod events;
mod evidence;
mod experiment;
mod fallbacks;
mod history;
mod leases;
mod links;
mod migrations;
mod models;
mod names;
mod number_token;
mod observed;
mod occurrences;
mod open;
mod outline;
mod pauses;
mod pending;
mod permits;
mod prune;
mod queue;
mod recipients;
mod refusals;
mod replies;
mod responses;
mod row;
mod segments;
mod settled;
mod spend;
mod standing;
mod suppressions;
mod tables;
mod taken;
mod tasks;
mod tokens;
mod track;
mod unsubscribe;
mod workspace;

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use chrono::DateTime;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{Database, Postgres, Sqlite, Transaction};

use self::cache::{CampaignCache, LabelCache};
use crate::model::Invalid;
use crate::model::time::Instant;

pub use admission::{Claimable, Contact};
pub use answers::Answered;
pub use audit::AuditEntry;
pub use backup::{BackupForm, RestoreError};
pub use campaigns::{BrokenCampaign, CampaignRow, CampaignStatus, Campaigns, PlanSlotRow};
pub use channel::{Alert, InboundRow, Stage, TemplateRow};
pub use consent::ForgottenCounts;
pub use deliveries::DeliveryRow;
pub use events::AddedEvent;
pub use evidence::Whose;
pub use experiment::{ArmKnowledge, ArmPart, BANDS, BandCount, ExpectedSums, Experiment};
pub use history::{AddedMessages, MessageRow, RandomizedMessage};
pub use leases::Term;
pub use links::{LinkKey, LinkTarget, LinkVisit, PersonLink};
pub use models::ModelRow;
pub use names::Names;
pub use observed::{ObservedRow, Second};
pub use occurrences::{NewRun, Occurrence, OccurrenceRow, StoredEvent};
pub use open::{Create, Schema, shown_url};
pub use permits::Permit;
pub use prune::Kept;
pub use queue::{Claim, Due, Waiting};
pub use recipients::AddedRecipient;
pub use refusals::RefusalRun;
pub use replies::{NewReply, Reply, ReplyCount, ReplyFilter};
pub use segments::{EngagementRow, EventCountRow, SegmentRow};
pub use settled::{Attempt, Failure, Sent, Settled};
pub use spend::SpendSums;
pub use standing::{ArmCount, ExportRow, ReplyRow, StateCount};
pub use suppressions::Suppression;
pub use taken::SlotCount;
pub use tasks::TaskRow;
pub use tokens::{KeyedRequest, TokenRow};
pub use track::{ClosedTrackRecord, TrackRecord};
pub use unsubscribe::UnsubscribeKey;
pub use workspace::Forgotten;

/// Rows in one statement: PostgreSQL takes 65,535 parameters and SQLite 32,766.
pub const ROWS_PER_STATEMENT: usize = 1000;
/// How long a writer waits for another before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A workspace's database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    campaigns: CampaignCache,
    labels: LabelCache,
}

#[derive(Debug, Clone)]
enum Pool {
    /// One connection writes: SQLite lets one at a time, which then waits its turn here and not in
    /// SQLite's sleep, and a connection's cache of pages is void as soon as another one has written.
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres(PgPool),
}

/// A connection to read with. In a [`Tx`] the same reads see what the transaction wrote.
#[derive(Debug)]
pub struct Reader {
    conn: Conn,
    campaigns: CampaignCache,
    labels: LabelCache,
}

/// A transaction; dropped without [`Tx::commit`], nothing of it happened. Whoever holds one reads
/// and writes through it alone: it is a [`Reader`] too.
#[derive(Debug)]
pub struct Tx {
    reader: Reader,
}

impl Deref for Tx {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }
}

#[derive(Debug)]
enum Conn {
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>),
}

/// A connection, with or without a transaction on it.
#[derive(Debug)]
enum Held<D: Database> {
    Plain(PoolConnection<D>),
    Transaction(Transaction<'static, D>),
}

impl<D: Database> Deref for Held<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        match self {
            Self::Plain(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl<D: Database> DerefMut for Held<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        match self {
            Self::Plain(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl<D: Database> Held<D> {
    async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Transaction(transaction) => transaction.commit().await,
        }
    }
}

/// Compiles `$body` once for each dialect, with `$db` as the connection of a [`Reader`] or [`Tx`].
macro_rules! on {
    ($handle:expr, |$db:ident| $body:expr) => {
        match &mut $handle.conn {
            $crate::store::Conn::Sqlite(held) => {
                let $db = &mut **held;
                $body
            }
            $crate::store::Conn::Postgres(held) => {
                let $db = &mut **held;
                $body
            }
        }
    };
}
/// Runs a statement with its parameters; how many rows it touched.
macro_rules! run {
    ($handle:expr, $sql:expr $(, $value:expr)*) => {
        $crate::store::on!($handle, |db| sqlx::query($sql)
            $(.bind($value))*
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
    };
}
pub(in crate::store) use {on, run};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no database where the settings say.
    #[error("there is no database at {url}; `opportune init` makes one")]
    Absent {
        /// Where, without password.
        url: String,
    },
    /// It could not be opened.
    #[error("could not open the database {url}")]
    Open {
        /// Where, without password.
        url: String,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the database is of a newer version of opportune (it has migration {version}); \
         use that version"
    )]
    Newer {
        /// The migration that this version does not know.
        version: i64,
    },
    /// An older version of this program wrote it.
    #[error(
        "this database is of version {version}, and this program of version {program}; \
         run `opportune migrate`"
    )]
    Older {
        /// The last migration that it has.
        version: i64,
        /// The last one that there is.
        program: i64,
    },
    /// The schema could not be brought up to date.
    #[error("could not bring the database's schema up to date")]
    Migrate {
        /// Why.
        #[source]
        cause: MigrateError,
    },
    /// A statement failed.
    #[error("could not {doing}")]
    Query {
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// Another node does now what was done here in a term that is over; nothing was stored.
    #[error("term {term} of the lease {lease:?} is over: another node has taken it")]
    LostTerm {
        /// The lease's name.
        lease: String,
        /// The number of the lost term.
        term: i64,
    },
    /// A stored value is not what it must be.
    #[error("table {table} holds a bad row")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What.
        #[source]
        cause: Invalid,
    },
}

impl StoreError {
    /// Whether another transaction crossed this one, which may be run again at once.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Query { cause: sqlx::Error::Database(error), .. } => {
                matches!(error.code().as_deref(), Some("40001" | "40P01"))
            }
            _ => false,
        }
    }

    /// Whether trying again later may help: the database is busy or out of reach, not wrong.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Open { cause, .. } | Self::Query { cause, .. } => match cause {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_) => true,
                sqlx::Error::Database(error) => {
                    // SQLite: 5 busy, 6 locked, 10 input or output, 13 full, and their extended
                    // codes; PostgreSQL: classes 08, 53, 57, 58 (gone, full, stopping, disk) and 40
                    // (serialization, deadlock)
                    let code = error.code().unwrap_or_default();
                    let busy = code
                        .parse::<i64>()
                        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13));
                    busy && code.len() < 5
                        || code.len() == 5
                            && ["08", "53", "57", "58", "40"]
                                .iter()
                                .any(|class| code.starts_with(class))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// Names what was tried when a statement fails.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|cause| StoreError::Query { doing, cause })
    }
}

impl Store {
    /// Which database it is, for people.
    pub fn kind(&self) -> &'static str {
        match &self.pool {
            Pool::Sqlite { .. } => "SQLite",
            Pool::Postgres(_) => "PostgreSQL",
        }
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        let conn = match &self.pool {
            Pool::Sqlite { read, .. } => {
                read.acquire().await.map(|held| Conn::Sqlite(Held::Plain(held)))
            }
            Pool::Postgres(db) => db.acquire().await.map(|held| Conn::Postgres(Held::Plain(held))),
        };
        Ok(Reader {
            conn: conn.doing("reach the database")?,
            campaigns: self.campaigns.clone(),
            labels: self.labels.clone(),
        })
    }

    /// Begins a transaction that may write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let conn = match &self.pool {
            // takes the write lock at once: a read that turns into a write could fail as busy
            Pool::Sqlite { write, .. } => {
                let begun = write.begin_with("BEGIN IMMEDIATE").await;
                begun.map(|tx| Conn::Sqlite(Held::Transaction(tx)))
            }
            Pool::Postgres(db) => db.begin().await.map(|tx| Conn::Postgres(Held::Transaction(tx))),
        };
        let conn = conn.doing("begin a transaction")?;
        let (campaigns, labels) = (self.campaigns.clone(), self.labels.clone());
        Ok(Tx { reader: Reader { conn, campaigns, labels } })
    }

    /// Moves what was deleted out of SQLite's write-ahead log; says whether the log is now empty.
    /// PostgreSQL reuses the space by itself.
    pub async fn flush_deleted(&self) -> Result<bool, StoreError> {
        match &self.pool {
            Pool::Sqlite { write, .. } => {
                let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
                    .fetch_one(write)
                    .await
                    .doing("empty the write-ahead log")?;
                Ok(busy == 0)
            }
            Pool::Postgres(_) => Ok(true),
        }
    }

    /// Closes the pool after what is under way.
    pub async fn close(self) {
        match &self.pool {
            Pool::Sqlite { read, write } => {
                write.close().await;
                read.close().await;
            }
            Pool::Postgres(db) => db.close().await,
        }
    }
}

impl Reader {
    /// Answers when the database does.
    pub async fn ping(&mut self) -> Result<(), StoreError> {
        on!(self, |db| sqlx::query("SELECT 1").execute(db).await.map(drop))
            .doing("reach the database")
    }
}

impl Tx {
    /// Lets [`Tx::commit`] return before a PostgreSQL has this transaction on its disk: a crash may
    /// undo it whole. SQLite goes on waiting for its disk.
    pub async fn need_not_survive_a_crash(&mut self) -> Result<(), StoreError> {
        let Conn::Postgres(db) = &mut self.conn else { return Ok(()) };
        let set = sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut **db).await;
        set.map(drop).doing("begin a transaction")
    }

    /// Makes everything in it durable, together.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.reader.conn {
            Conn::Sqlite(held) => held.commit().await,
            Conn::Postgres(held) => held.commit().await,
        }
        .doing("commit")
    }
}

/// Microseconds since 1970, as stored.
fn micros(at: Instant) -> i64 {
    at.timestamp_micros()
}

fn instant(table: &'static str, micros: i64) -> Result<Instant, StoreError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| StoreError::Corrupt {
        table,
        cause: Invalid::new("time", micros, "microseconds within chrono's range"),
    })
}

fn parsed<T: FromStr<Err = Invalid>>(table: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|cause| StoreError::Corrupt { table, cause })
}

fn json<'t, T: serde::Deserialize<'t>>(
    table: &'static str,
    text: &'t str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        table,
        cause: Invalid::new("value", error, "JSON of this version"),
    })
}

/// As JSON; our own types always serialize.
fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("models have string keys and finite numbers")
}
