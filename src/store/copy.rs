//! A workspace as one file: SQLite writes its own; what is in PostgreSQL is carried over, table by
//! table, as it is at one moment.

use std::path::Path;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Column, Postgres, QueryBuilder, Row, Sqlite, SqlitePool, Transaction, TypeInfo};

use super::{Create, Doing, Pool, Store, StoreError};

/// Parameters of one statement in SQLite: 32,766 at most.
const PARAMETERS_MAX: usize = 32_000;
/// What a file gets its tables by itself from.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table'
    AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations' ORDER BY name";

/// A value of any type that tables have.
enum Value {
    Number(Option<i64>),
    Real(Option<f64>),
    Truth(Option<bool>),
    Bytes(Option<Vec<u8>>),
    Text(Option<String>),
}

impl Value {
    fn read(row: &PgRow, at: usize) -> Result<Self, sqlx::Error> {
        Ok(match row.column(at).type_info().name() {
            "INT8" => Self::Number(row.try_get(at)?),
            "FLOAT8" => Self::Real(row.try_get(at)?),
            "BOOL" => Self::Truth(row.try_get(at)?),
            "BYTEA" => Self::Bytes(row.try_get(at)?),
            _ => Self::Text(row.try_get(at)?),
        })
    }
}

impl Store {
    /// Writes the workspace, as it is at one moment, to a file of SQLite that is not there yet.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        match &self.pool {
            Pool::Sqlite { read, .. } => {
                let copy = sqlx::query("VACUUM INTO $1").bind(path.display().to_string());
                copy.execute(read).await.map(drop).doing("copy the database")
            }
            Pool::Postgres(db) => {
                let url = format!("sqlite://{}", path.display());
                std::fs::File::create_new(path)
                    .map_err(|cause| StoreError::Open { url: url.clone(), cause: cause.into() })?;
                let copy = Self::open(&url, Create::Scratch).await?;
                let Pool::Sqlite { write: file, .. } = &copy.pool else {
                    unreachable!("its address is SQLite's")
                };
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let carried = async { carry(&mut db.begin_with(begin).await?, file).await };
                let carried = carried.await.doing("copy the database");
                copy.close().await;
                carried
            }
        }
    }
}

/// Carries all tables over. Both have the same schema, since the same migrations made them.
async fn carry(
    from: &mut Transaction<'static, Postgres>,
    file: &SqlitePool,
) -> Result<(), sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(file).await?;
    let mut to = file.begin().await?;
    // rows come table by table, whichever refers to which
    sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *to).await?;
    for table in tables {
        // a new workspace has rows that the other one brings too
        let mut clear = QueryBuilder::<Sqlite>::new("DELETE FROM ");
        clear.push(&table).build().execute(&mut *to).await?;
        let mut all = QueryBuilder::<Postgres>::new("SELECT * FROM ");
        all.push(&table);
        let mut rows = all.build().fetch(&mut **from);
        let (mut names, mut waiting) = (String::new(), Vec::new());
        while let Some(row) = rows.try_next().await? {
            if names.is_empty() {
                let columns = row.columns().iter().map(Column::name);
                names = columns.collect::<Vec<_>>().join(", ");
            }
            let values: Result<Vec<Value>, _> =
                (0..row.len()).map(|at| Value::read(&row, at)).collect();
            waiting.push(values?);
            if waiting.len() * row.len() >= PARAMETERS_MAX - row.len() {
                put(&mut to, &table, &names, std::mem::take(&mut waiting)).await?;
            }
        }
        put(&mut to, &table, &names, waiting).await?;
    }
    to.commit().await
}

async fn put(
    to: &mut Transaction<'static, Sqlite>,
    table: &str,
    names: &str,
    rows: Vec<Vec<Value>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO ");
    insert.push(table).push(" (").push(names).push(") ");
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
    insert.build().execute(&mut **to).await.map(drop)
}
