//! The schema as the database tells it: which tables there are, what their columns hold, and which of
//! them hold rows about a person. What is done to all tables needs no list that could fall behind.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use sqlx::{QueryBuilder, Row};

use super::bulk::Sql;
use super::{Doing, Reader, StoreError, Tx, instant, on};
use crate::model::ids::RecipientId;
use crate::model::time::format_instant;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Number,
    Real,
    Truth,
    Bytes,
    Text,
}

impl Kind {
    fn of(declared: &str) -> Self {
        match declared {
            "BIGINT" => Self::Number,
            "DOUBLE PRECISION" => Self::Real,
            "BOOLEAN" => Self::Truth,
            "BYTEA" => Self::Bytes,
            _ => Self::Text,
        }
    }
}

/// A value of any column.
pub(super) enum Value {
    Number(Option<i64>),
    Real(Option<f64>),
    Truth(Option<bool>),
    Bytes(Option<Vec<u8>>),
    Text(Option<String>),
}

/// The values of a row that was read with all columns of a table, in order.
macro_rules! values {
    ($row:expr, $table:expr) => {{
        let mut values = Vec::with_capacity($table.columns.len());
        for (at, (_, kind)) in $table.columns.iter().enumerate() {
            use $crate::store::tables::{Kind, Value};
            values.push(match kind {
                Kind::Number => Value::Number($row.try_get(at)?),
                Kind::Real => Value::Real($row.try_get(at)?),
                Kind::Truth => Value::Truth($row.try_get(at)?),
                Kind::Bytes => Value::Bytes($row.try_get(at)?),
                Kind::Text => Value::Text($row.try_get(at)?),
            });
        }
        values
    }};
}
pub(in crate::store) use values;

impl Value {
    /// For a person to read: times as such, bytes as how many there are.
    fn json(self, column: &str) -> Json {
        match self {
            Self::Number(Some(at))
                if column == "at" || column.ends_with("_at") || column.ends_with("_until") =>
            {
                instant("", at).map_or(at.into(), |at| format_instant(at).into())
            }
            Self::Number(number) => number.into(),
            Self::Real(number) => number.into(),
            Self::Truth(truth) => truth.into(),
            Self::Bytes(bytes) => bytes.map(|bytes| bytes.len()).into(),
            Self::Text(text) => text.into(),
        }
    }
}

const COLUMNS: Sql = [
    "SELECT t.name, c.name, c.type FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
            AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid",
    "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), UPPER(c.data_type)
        FROM information_schema.columns AS c JOIN information_schema.tables AS t
            ON t.table_schema = c.table_schema AND t.table_name = c.table_name
        WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
            AND c.table_name <> '_sqlx_migrations'
        ORDER BY c.table_name, c.ordinal_position",
];

impl Table {
    /// The column that says whose a row is; the person's own row has the number as its id.
    fn owner(&self) -> Option<&'static str> {
        let has = |name: &str| self.columns.iter().any(|(column, _)| column == name);
        match self.name.as_str() {
            "recipient" => Some("id"),
            _ => has("recipient").then_some("recipient"),
        }
    }
}

impl Reader {
    /// All tables, by name.
    pub(super) async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let sql = self.text(COLUMNS);
        let rows: Vec<(String, String, String)> =
            on!(self, |db| sqlx::query_as(sql).fetch_all(db).await).doing("read the schema")?;
        let mut tables: Vec<Table> = Vec::new();
        for (table, column, declared) in rows {
            if tables.last().is_none_or(|last| last.name != table) {
                tables.push(Table { name: table, columns: Vec::new() });
            }
            if let Some(last) = tables.last_mut() {
                last.columns.push((column, Kind::of(&declared)));
            }
        }
        Ok(tables)
    }

    /// Every row about a person in every table, by table; tables without one are left out.
    pub async fn rows_about(
        &mut self,
        person: RecipientId,
    ) -> Result<BTreeMap<String, Vec<Map<String, Json>>>, StoreError> {
        let mut found = BTreeMap::new();
        for table in self.tables().await? {
            let Some(owner) = table.owner() else { continue };
            let read = async {
                on!(self, |db| {
                    let columns: Vec<String> =
                        table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                    let mut query = QueryBuilder::new("SELECT ");
                    query.push(columns.join(", ")).push(" FROM ").push(&table.name);
                    query.push(" WHERE ").push(owner).push(" = ").push_bind(person.0);
                    if table.name == "queue" {
                        // it is in no order of people: found through the person's deliveries
                        query.push(
                            " AND (campaign, due_at) IN (SELECT campaign, send_at FROM delivery
                                WHERE recipient = ",
                        );
                        query.push_bind(person.0).push(")");
                    }
                    query.push(" ORDER BY 1, 2");
                    let mut rows = Vec::new();
                    for row in query.build().fetch_all(db).await? {
                        let names = table.columns.iter().map(|(name, _)| name.clone());
                        let cells = names.zip(values!(row, table));
                        let cells = cells.map(|(name, value)| (name.clone(), value.json(&name)));
                        rows.push(cells.collect());
                    }
                    Ok(rows)
                })
            };
            let rows: Vec<Map<String, Json>> =
                read.await.doing("read what is stored of a person")?;
            if !rows.is_empty() {
                found.insert(table.name, rows);
            }
        }
        Ok(found)
    }
}

impl Tx {
    /// Deletes every row about a person in every table, the person's own last; how many of each.
    pub(super) async fn erase(
        &mut self,
        person: RecipientId,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        self.count_person_leaving(person).await?;
        let mut tables = self.tables().await?;
        tables.sort_by_key(|table| table.name == "recipient");
        let mut erased = BTreeMap::new();
        for table in tables {
            let Some(owner) = table.owner() else { continue };
            let rows = on!(self, |db| {
                let mut query = QueryBuilder::new("DELETE FROM ");
                query.push(&table.name).push(" WHERE ").push(owner).push(" = ").push_bind(person.0);
                query.build().execute(db).await.map(|done| done.rows_affected())
            });
            erased.insert(table.name, rows.doing("erase a person")?);
        }
        Ok(erased)
    }
}
