//! A workspace carried into another one, table by table, as it is at one moment. SQLite writes its own
//! copy; what is carried has SQLite on one side at least, whose schema says what the columns hold.

use std::path::Path;

use futures_util::TryStreamExt;
use sqlx::{QueryBuilder, Row, SqlitePool};

use super::tables::{Table, Value, values};
use super::{Conn, Create, Doing, Held, Pool, Reader, Store, StoreError, Tx, on};

/// Parameters of one statement in SQLite: 32,766 at most.
const PARAMETERS_MAX: usize = 32_000;
/// What a new workspace has rows in, or may have from being looked at.
const NOT_LOOKED_AT: [&str; 4] = ["workspace", "lease", "counter", "model_in_use"];

const REFERENCES: &str = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)";

impl Store {
    /// Writes the workspace, as it is at one moment, to a file of SQLite that is not there yet.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        match &self.pool {
            Pool::Sqlite { .. } => self.copy_into_empty(path).await,
            Pool::Postgres(_) => {
                let url = format!("sqlite://{}", path.display());
                std::fs::File::create_new(path)
                    .map_err(|cause| StoreError::Open { url, cause: cause.into() })?;
                self.copy_into_empty(path).await
            }
        }
    }

    /// The same, to a file that is empty or, of a workspace in SQLite, not there.
    pub(super) async fn copy_into_empty(&self, path: &Path) -> Result<(), StoreError> {
        const DOING: &str = "copy the database";
        if let Pool::Sqlite { read, .. } = &self.pool {
            let copy = sqlx::query("VACUUM INTO $1").bind(path.display().to_string());
            return copy.execute(read).await.map(drop).doing(DOING);
        }
        let copy = Self::open(&format!("sqlite://{}", path.display()), Create::Scratch).await?;
        let carried = self.carry_into(&copy).await;
        copy.close().await;
        carried
    }

    /// Carries everything into a workspace of the same version, over what it has.
    pub(super) async fn carry_into(&self, other: &Self) -> Result<(), StoreError> {
        const DOING: &str = "carry the workspace over";
        let ((Pool::Sqlite { read, .. }, _) | (_, Pool::Sqlite { read, .. })) =
            (&other.pool, &self.pool)
        else {
            unreachable!("PostgreSQL's own tools carry from one to another");
        };
        let tables = self.read().await?.tables().await?;
        let tables = referred_first(read, tables).await.doing(DOING)?;
        let mut from = self.snapshot().await.doing(DOING)?;
        let mut to = other.begin().await?;
        for table in tables.iter().rev() {
            on!(to, |db| {
                let mut clear = QueryBuilder::new("DELETE FROM ");
                clear.push(&table.name).build().execute(db).await.map(drop)
            })
            .doing(DOING)?;
        }
        for table in &tables {
            carry(&mut from, &mut to, table).await.doing(DOING)?;
        }
        to.commit().await
    }

    /// Whether nothing is in it but what a new workspace has.
    pub(super) async fn is_empty(&self) -> Result<bool, StoreError> {
        let mut reader = self.read().await?;
        for table in reader.tables().await? {
            if NOT_LOOKED_AT.contains(&table.name.as_str()) {
                continue;
            }
            let row = on!(reader, |db| {
                let mut any = QueryBuilder::new("SELECT 1 FROM ");
                any.push(&table.name).push(" LIMIT 1");
                any.build().fetch_optional(db).await.map(|row| row.is_some())
            });
            if row.doing("look whether the workspace is empty")? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A connection that sees one moment.
    async fn snapshot(&self) -> Result<Reader, sqlx::Error> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let conn = match &self.pool {
            Pool::Sqlite { read, .. } => Conn::Sqlite(Held::Transaction(read.begin().await?)),
            Pool::Postgres(db) => Conn::Postgres(Held::Transaction(db.begin_with(BEGIN).await?)),
        };
        Ok(Reader { conn, campaigns: self.campaigns.clone(), labels: self.labels.clone() })
    }
}

/// The tables, those that others refer to before them.
async fn referred_first(
    file: &SqlitePool,
    mut left: Vec<Table>,
) -> Result<Vec<Table>, sqlx::Error> {
    let mut ordered: Vec<Table> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let (before, mut later) = (left.len(), Vec::new());
        for table in left {
            let needed: Vec<String> =
                sqlx::query_scalar(REFERENCES).bind(&table.name).fetch_all(file).await?;
            let there = |needed: &String| ordered.iter().any(|table| table.name == *needed);
            if needed.iter().all(there) { &mut ordered } else { &mut later }.push(table);
        }
        assert!(later.len() < before, "tables refer to each other in a circle");
        left = later;
    }
    Ok(ordered)
}

async fn carry(from: &mut Reader, to: &mut Tx, table: &Table) -> Result<(), sqlx::Error> {
    let names: Vec<String> = table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let names = names.join(", ");
    let mut waiting = Vec::new();
    on!(from, |db| {
        let mut all = QueryBuilder::new("SELECT ");
        all.push(&names).push(" FROM ").push(&table.name);
        let mut rows = all.build().fetch(db);
        while let Some(row) = rows.try_next().await? {
            waiting.push(values!(row, table));
            if (waiting.len() + 1) * table.columns.len() > PARAMETERS_MAX {
                put(to, table, &names, std::mem::take(&mut waiting)).await?;
            }
        }
    });
    put(to, table, &names, waiting).await
}

async fn put(
    to: &mut Tx,
    table: &Table,
    names: &str,
    rows: Vec<Vec<Value>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    on!(to, |db| {
        let mut insert = QueryBuilder::new("INSERT INTO ");
        insert.push(&table.name).push(" (").push(names).push(") ");
        insert.push_values(rows, |mut row, values| {
            for value in values {
                match value {
                    Value::Number(value) => row.push_bind(value),
                    Value::Real(value) => row.push_bind(value),
                    Value::Truth(value) => row.push_bind(value),
                    Value::Bytes(value) => row.push_bind(value),
                    Value::Text(value) => row.push_bind(value),
                };
            }
        });
        insert.build().execute(db).await.map(drop)
    })
}
