//! Opening a workspace: where it is, how it is reached, and which version its schema has.
//!
//! Refuses a database of another version, unless whoever opens it may migrate; shows no password.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode};
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor};
use url::Url;

use super::cache::{CampaignCache, LabelCache};
use super::migrations::MIGRATIONS;
use super::{BUSY_TIMEOUT, Doing, Pool, Store, StoreError};

/// Enough for a daemon's steps, its listener and a command beside it.
const CONNECTIONS_MAX: u32 = 16;
/// Of a URL's query, what says where a database is.
const SHOWN_PARAMETERS: [&str; 5] = ["host", "hostaddr", "port", "dbname", "sslmode"];

/// What opening may make or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Nothing: the database must be there, and of this version.
    No,
    /// The database must be there; its schema is brought to this version.
    Schema,
    /// It is made when it is not there, and its schema is brought to this version.
    IfMissing,
    /// It is made, and thrown away after use. One connection has it to itself, so that its cache of
    /// pages is never void: whoever holds a transaction must not read beside it. Nothing is kept for
    /// a crash.
    Scratch,
}

/// How a database's schema stands to this program's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Schema {
    /// The last migration that the database has; absent where it is no workspace yet.
    pub version: Option<i64>,
    /// The last migration of this program.
    pub program: i64,
    /// A migration that this program does not know.
    pub newer: Option<i64>,
    /// What the database lacks.
    pub missing: Vec<String>,
    /// Whether another process has it open, or died with it open.
    pub in_use: bool,
}

impl Pool {
    async fn sqlite(path: &str, create: Create) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(matches!(create, Create::IfMissing | Create::Scratch))
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let pool = async |connections, options| {
            let pool = SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(BUSY_TIMEOUT)
                // a file does not go away like a server
                .test_before_acquire(false)
                // after an error of the disk SQLite itself ends the transaction, and the rollback
                // that sqlx sends then fails: to sqlx the connection is in a transaction for ever
                .before_acquire(|connection, _| {
                    let is_free = !connection.is_in_transaction();
                    Box::pin(async move { Ok(is_free) })
                });
            pool.connect_with(options).await
        };
        if create == Create::Scratch {
            let options = options
                .locking_mode(SqliteLockingMode::Exclusive)
                .journal_mode(SqliteJournalMode::Memory)
                .synchronous(SqliteSynchronous::Off)
                .pragma("cache_size", "-524288");
            let one = pool(1, options).await?;
            return Ok(Self::Sqlite { read: one.clone(), write: one });
        }
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // deleted content is overwritten, so that a forgotten person leaves no free page
            .pragma("secure_delete", "ON")
            .pragma("cache_size", "-65536")
            // 64 MiB of log before a checkpoint: bulk loads touch the same pages again and again
            .pragma("wal_autocheckpoint", "16384");
        let write = pool(1, options.clone()).await?;
        Ok(Self::Sqlite { read: pool(CONNECTIONS_MAX, options).await?, write })
    }
}

impl Store {
    /// Opens the workspace at `url`.
    pub async fn open(url: &str, create: Create) -> Result<Self, StoreError> {
        let store = Self::reach(url, create).await?;
        if create == Create::No {
            store.refuse_other_versions(url).await?;
        } else {
            store.migrate().await?;
        }
        Ok(store)
    }

    /// How the schema of the database at `url` stands; changes nothing.
    pub async fn schema(url: &str) -> Result<Schema, StoreError> {
        // SQLite keeps this file for as long as somebody has the database open
        let file = url.strip_prefix("sqlite://");
        let mut in_use = file.is_some_and(|path| Path::new(&format!("{path}-shm")).exists());
        let store = Self::reach(url, Create::No).await?;
        let applied = store.applied().await?;
        let missing = MIGRATIONS.iter().filter(|known| !applied.contains(&known.version));
        let missing =
            missing.map(|known| format!("{:04} {}", known.version, known.description)).collect();
        if let Pool::Postgres(db) = &store.pool {
            const OTHERS: &str = "SELECT COUNT(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND backend_type = 'client backend'";
            let others: i64 = sqlx::query_scalar(OTHERS)
                .fetch_one(db)
                .await
                .doing("see who has the database open")?;
            in_use = others > i64::from(db.size()) - 1;
        }
        let schema = Schema {
            version: applied.last().copied(),
            program: program(),
            newer: unknown(&applied),
            missing,
            in_use,
        };
        store.close().await;
        Ok(schema)
    }

    /// The pools, with no word on the schema.
    pub(super) async fn reach(url: &str, create: Create) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::Open { url: shown_url(url), cause };
        let pool = if let Some(path) = url.strip_prefix("sqlite://") {
            if matches!(create, Create::No | Create::Schema) && !Path::new(path).exists() {
                return Err(StoreError::Absent { url: shown_url(url) });
            }
            Pool::sqlite(path, create).await.map_err(failed)?
        } else {
            let options = PgConnectOptions::from_str(url).map_err(failed)?;
            let options = PgPoolOptions::new()
                .max_connections(CONNECTIONS_MAX)
                .acquire_timeout(BUSY_TIMEOUT)
                .after_connect(|db, _| {
                    Box::pin(async move {
                        // a statement's plan is made for its lists: a plan for lists of any length,
                        // made while a table was new, compares each row with each value
                        db.execute("SET plan_cache_mode = force_custom_plan").await?;
                        // as memory and solid disks have it: a list of a thousand people read all
                        // of a table of a hundred thousand
                        db.execute("SET random_page_cost = 1.1").await.map(drop)
                    })
                })
                .connect_with(options);
            Pool::Postgres(options.await.map_err(failed)?)
        };
        Ok(Self { pool, campaigns: CampaignCache::default(), labels: LabelCache::default() })
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let migrated = match &self.pool {
            Pool::Sqlite { write, .. } => MIGRATIONS.run(write).await,
            Pool::Postgres(db) => MIGRATIONS.run(db).await,
        };
        migrated.map_err(|cause| match cause {
            MigrateError::VersionMissing(version) => StoreError::Newer { version },
            cause => StoreError::Migrate { cause },
        })
    }

    async fn refuse_other_versions(&self, url: &str) -> Result<(), StoreError> {
        let applied = self.applied().await?;
        let Some(version) = applied.last().copied() else {
            return Err(StoreError::Absent { url: shown_url(url) });
        };
        if let Some(version) = unknown(&applied) {
            return Err(StoreError::Newer { version });
        }
        if MIGRATIONS.iter().any(|known| !applied.contains(&known.version)) {
            return Err(StoreError::Older { version, program: program() });
        }
        Ok(())
    }

    /// The migrations that the database has; none where it is no workspace.
    async fn applied(&self) -> Result<BTreeSet<i64>, StoreError> {
        const DOING: &str = "read the database's version";
        const IN_SQLITE: &str =
            "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
        const IN_POSTGRES: &str =
            "SELECT COUNT(*) FROM pg_tables WHERE schemaname = ANY(current_schemas(false))
                AND tablename = '_sqlx_migrations'";
        const SQL: &str = "SELECT version FROM _sqlx_migrations WHERE success";
        let found: i64 = match &self.pool {
            Pool::Sqlite { read, .. } => sqlx::query_scalar(IN_SQLITE).fetch_one(read).await,
            Pool::Postgres(db) => sqlx::query_scalar(IN_POSTGRES).fetch_one(db).await,
        }
        .doing(DOING)?;
        if found == 0 {
            return Ok(BTreeSet::new());
        }
        let versions: Vec<i64> = match &self.pool {
            Pool::Sqlite { read, .. } => sqlx::query_scalar(SQL).fetch_all(read).await,
            Pool::Postgres(db) => sqlx::query_scalar(SQL).fetch_all(db).await,
        }
        .doing(DOING)?;
        Ok(versions.into_iter().collect())
    }
}

fn unknown(applied: &BTreeSet<i64>) -> Option<i64> {
    applied.iter().copied().find(|version| !MIGRATIONS.version_exists(*version))
}

/// The last migration of this program.
fn program() -> i64 {
    MIGRATIONS.iter().map(|known| known.version).max().unwrap_or_default()
}

/// A database's URL as it may be printed: where it is, without names, passwords and keys.
pub fn shown_url(url: &str) -> String {
    if url.starts_with("sqlite://") {
        return url.to_owned();
    }
    let hidden = "(a URL that is not shown)".to_owned();
    let Ok(parsed) = Url::parse(url) else { return hidden };
    // a password with a slash ends up in the path: of "u:1/p@h" it is all but the name
    if !matches!(parsed.scheme(), "postgres" | "postgresql") || parsed.path().contains(['@', ':']) {
        return hidden;
    }
    let someone = !parsed.username().is_empty() || parsed.password().is_some();
    let mut shown = format!("{}://{}", parsed.scheme(), if someone { "…@" } else { "" });
    shown.push_str(parsed.host_str().unwrap_or_default());
    if let Some(port) = parsed.port() {
        shown.push_str(&format!(":{port}"));
    }
    shown.push_str(parsed.path());
    let parameters = parsed.query_pairs().filter(|(key, _)| SHOWN_PARAMETERS.contains(&&**key));
    let parameters: Vec<String> = parameters.map(|(key, value)| format!("{key}={value}")).collect();
    if !parameters.is_empty() {
        shown.push_str(&format!("?{}", parameters.join("&")));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("sqlite://data/my@file.db", "sqlite://data/my@file.db"),
            ("postgres://host/db", "postgres://host/db"),
            ("postgres://me@host/db", "postgres://…@host/db"),
            ("postgres://me:hush@host:5433/db", "postgres://…@host:5433/db"),
            ("postgresql://me:hu@sh@host/db", "postgresql://…@host/db"),
            ("postgres://me:hu%2Fsh@host/db", "postgres://…@host/db"),
            ("postgres://:hush@host/db", "postgres://…@host/db"),
            ("postgres://host/db?password=hush", "postgres://host/db"),
            (
                "postgres://host/db?user=me&password=hush&sslmode=require",
                "postgres://host/db?sslmode=require",
            ),
            ("postgres:///db?host=/run/pg&PASSWORD=hush", "postgres:///db?host=/run/pg"),
            ("postgres://host/db?sslpassword=hush&sslkey=hush", "postgres://host/db"),
            ("postgres://host/db#hush", "postgres://host/db"),
            ("postgres://[::1]:5433/db?passwd=hush", "postgres://[::1]:5433/db"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
        for url in [
            "postgres://me:12/hush@host/db",
            "postgres://me:hu/sh@host/db",
            "postgres://me:hu?sh@host/db",
            "postgres://me:hu#sh@host/db",
            "postgres://me:hush@host:port/db",
            "host=h user=me password=hush dbname=db",
            "password='hush' host=h",
            "me:hush@host/db",
            "mysql://me:hush@host/db",
            "hush",
            "",
        ] {
            assert_eq!(shown_url(url), "(a URL that is not shown)", "{url}");
        }
    }
}
