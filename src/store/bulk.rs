//! Many values in one parameter and many rows in one statement, so that a statement's text does
//! not grow with them: it is parsed and planned once. PostgreSQL takes arrays; SQLite takes a list
//! as JSON, and rows as a parameter for each value.

use serde::Serialize;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteRow, SqliteTypeInfo};
use sqlx::{Encode, FromRow, Postgres, QueryBuilder, Sqlite, Type};

use super::{Conn, Reader, on};
use crate::model::ids::{Name, RecipientId};

/// A statement's text: SQLite's, and PostgreSQL's.
pub(super) type Sql = [&'static str; 2];

/// A statement with one condition "is one of the list in parameter `$n`" in it.
macro_rules! one_of {
    ($before:expr, $parameter:literal, $after:expr) => {
        [
            concat!($before, " IN (SELECT value FROM json_each(", $parameter, "))", $after),
            concat!($before, " = ANY(", $parameter, ")", $after),
        ]
    };
}
pub(super) use one_of;

impl Reader {
    pub(super) fn text(&self, sql: Sql) -> &'static str {
        match &self.conn {
            Conn::Sqlite(_) => sql[0],
            Conn::Postgres(_) => sql[1],
        }
    }

    /// Rows of a provider about some people, or about everybody without `people`: by a statement for all,
    /// whose parameter is the provider, and one that lists people in its second.
    pub(super) async fn of_people<T>(
        &mut self,
        provider: &Name,
        people: Option<&[RecipientId]>,
        (all, of): (&'static str, Sql),
    ) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let (of, provider) = (self.text(of), provider.as_str());
        on!(self, |db| match people {
            Some(people) =>
                sqlx::query_as(of).bind(provider).bind(numbers(people)).fetch_all(db).await,
            None => sqlx::query_as(all).bind(provider).fetch_all(db).await,
        })
    }
}

/// A list in one parameter.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub(super) Vec<T>);

/// People by their numbers.
pub(super) fn numbers(people: &[RecipientId]) -> List<i64> {
    List(people.iter().map(|id| id.0).collect())
}

impl<T: PgHasArrayType> Type<Postgres> for List<T> {
    fn type_info() -> PgTypeInfo {
        T::array_type_info()
    }
}

impl<'q, T> Encode<'q, Postgres> for List<T>
where
    Vec<T>: Encode<'q, Postgres>,
{
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buffer)
    }
}

impl<T> Type<Sqlite> for List<T> {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl<T: Serialize> Encode<'_, Sqlite> for List<T> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(serde_json::to_string(&self.0)?, buffer)
    }
}

/// One column of many rows.
#[derive(Debug, Clone)]
pub(super) enum Column<'v> {
    Text(Vec<Option<&'v str>>),
    Number(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
    Truth(Vec<Option<bool>>),
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Truth(values) => values.len(),
        }
    }
}

/// How a dialect takes many rows in one statement.
pub(super) trait Rows: sqlx::Database {
    /// Between `head`, an `INSERT` with its columns, and `tail`.
    fn insert(head: &str, columns: Vec<Column<'_>>, tail: &str) -> QueryBuilder<Self>;

    /// Between `head`, an `UPDATE` up to its `SET`, and `tail`, its condition; there the rows are
    /// called `v`, and their columns by `names`.
    fn update(
        head: &str,
        names: &[&str],
        columns: Vec<Column<'_>>,
        tail: &str,
    ) -> QueryBuilder<Self>;
}

fn unnest(query: &mut QueryBuilder<Postgres>, columns: Vec<Column<'_>>) {
    query.push("unnest(");
    for (index, column) in columns.into_iter().enumerate() {
        query.push(if index == 0 { "" } else { ", " });
        match column {
            Column::Text(values) => query.push_bind(values).push("::text[]"),
            Column::Number(values) => query.push_bind(values).push("::bigint[]"),
            Column::Real(values) => query.push_bind(values).push("::float8[]"),
            Column::Truth(values) => query.push_bind(values).push("::boolean[]"),
        };
    }
    query.push(")");
}

fn values(query: &mut QueryBuilder<Sqlite>, columns: &[Column<'_>]) {
    let count = columns.first().map_or(0, Column::len);
    query.push_values(0..count, |mut row, index| {
        for column in columns {
            match column {
                Column::Text(values) => row.push_bind(values[index]),
                Column::Number(values) => row.push_bind(values[index]),
                Column::Real(values) => row.push_bind(values[index]),
                Column::Truth(values) => row.push_bind(values[index]),
            };
        }
    });
}

impl Rows for Postgres {
    fn insert(head: &str, columns: Vec<Column<'_>>, tail: &str) -> QueryBuilder<Self> {
        let mut query = QueryBuilder::new(head);
        query.push(" SELECT * FROM ");
        unnest(&mut query, columns);
        query.push(tail);
        query
    }

    fn update(
        head: &str,
        names: &[&str],
        columns: Vec<Column<'_>>,
        tail: &str,
    ) -> QueryBuilder<Self> {
        let mut query = QueryBuilder::new(head);
        query.push(" FROM ");
        unnest(&mut query, columns);
        query.push(format!(" AS v ({})", names.join(", "))).push(tail);
        query
    }
}

impl Rows for Sqlite {
    fn insert(head: &str, columns: Vec<Column<'_>>, tail: &str) -> QueryBuilder<Self> {
        let mut query = QueryBuilder::new(head);
        query.push(" ");
        values(&mut query, &columns);
        query.push(tail);
        query
    }

    fn update(
        head: &str,
        names: &[&str],
        columns: Vec<Column<'_>>,
        tail: &str,
    ) -> QueryBuilder<Self> {
        let mut query = QueryBuilder::new(head);
        let named = (1..).zip(names).map(|(index, name)| format!("column{index} AS {name}"));
        query.push(format!(" FROM (SELECT {} FROM (", named.collect::<Vec<_>>().join(", ")));
        values(&mut query, &columns);
        query.push(")) AS v").push(tail);
        query
    }
}
