//! Named audiences, and what expressions ask of people.

use std::collections::HashMap;

use super::bulk::{List, Sql, numbers, one_of};
use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

/// A named audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Unique in the workspace.
    pub name: Name,
    /// Who is of it.
    pub expression: String,
    /// When it was last saved.
    pub saved_at: Instant,
}

from_row! {
    /// What came of a person's messages, counted; times in microseconds.
    #[derive(Debug, Clone, Copy, Default, PartialEq)]
    pub struct EngagementRow {
        /// Whose.
        pub recipient: i64,
        /// Messages.
        pub sent: i64,
        /// The last.
        pub last_sent: Option<i64>,
        /// Read.
        pub read: i64,
        /// The last.
        pub last_read: Option<i64>,
        /// Clicked.
        pub clicked: i64,
        /// The last.
        pub last_click: Option<i64>,
        /// Answered.
        pub replied: i64,
        /// The last.
        pub last_reply: Option<i64>,
        /// Brought a conversion.
        pub converted: i64,
        /// The last.
        pub last_conversion: Option<i64>,
        /// What conversions were worth.
        pub amount: f64,
    }
}

from_row! {
    /// Events of one kind and person, counted; times in microseconds.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct EventCountRow {
        /// Whose.
        pub recipient: i64,
        /// Of what kind.
        pub kind: String,
        /// How many.
        pub count: i64,
        /// The last that has passed.
        pub last: Option<i64>,
        /// The next.
        pub next: Option<i64>,
    }
}

const ENGAGEMENT: Sql = one_of!(
    "SELECT recipient, COUNT(*) AS sent, MAX(sent_at) AS last_sent,
        COUNT(read_at) AS read, MAX(read_at) AS last_read, COUNT(clicked_at) AS clicked,
        MAX(clicked_at) AS last_click, COUNT(replied_at) AS replied, MAX(replied_at) AS last_reply,
        COUNT(converted_at) AS converted, MAX(converted_at) AS last_conversion,
        COALESCE(SUM(amount), 0.0) AS amount
    FROM sent_message WHERE recipient",
    "$1",
    " GROUP BY recipient"
);

macro_rules! events {
    ($people:literal, $kinds:literal) => {
        concat!(
            "SELECT recipient, kind, COUNT(*) AS count, MAX(CASE WHEN at <= $3 THEN at END) AS last,
                MIN(CASE WHEN at > $3 THEN at END) AS next
            FROM event WHERE recipient ",
            $people,
            " AND kind ",
            $kinds,
            " GROUP BY recipient, kind"
        )
    };
}

const EVENTS: Sql = [
    events!("IN (SELECT value FROM json_each($1))", "IN (SELECT value FROM json_each($2))"),
    events!("= ANY($1)", "= ANY($2)"),
];

impl Reader {
    /// Every named audience, by name; at most a thousand.
    pub async fn segments(&mut self) -> Result<Vec<SegmentRow>, StoreError> {
        const SQL: &str = "SELECT name, expression, saved_at FROM segment ORDER BY name LIMIT 1000";
        let rows: Vec<(String, String, i64)> =
            on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await).doing("list segments")?;
        let segment = |(name, expression, saved_at): (String, String, i64)| {
            let (name, saved_at) = (parsed("segment", &name)?, instant("segment", saved_at)?);
            Ok(SegmentRow { name, expression, saved_at })
        };
        rows.into_iter().map(segment).collect()
    }

    /// What came of people's messages.
    pub async fn engagement(
        &mut self,
        people: &[RecipientId],
    ) -> Result<HashMap<RecipientId, EngagementRow>, StoreError> {
        let sql = self.text(ENGAGEMENT);
        let rows: Vec<EngagementRow> =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("add up what came of messages")?;
        Ok(rows.into_iter().map(|row| (RecipientId(row.recipient), row)).collect())
    }

    /// People's events of some kinds.
    pub async fn event_counts(
        &mut self,
        people: &[RecipientId],
        kinds: &[String],
        now: Instant,
    ) -> Result<HashMap<RecipientId, Vec<EventCountRow>>, StoreError> {
        let (sql, kinds) = (self.text(EVENTS), List(kinds.to_vec()));
        let rows: Vec<EventCountRow> = on!(self, |db| sqlx::query_as(sql)
            .bind(numbers(people))
            .bind(kinds)
            .bind(micros(now))
            .fetch_all(db)
            .await)
        .doing("count events")?;
        let mut found: HashMap<RecipientId, Vec<EventCountRow>> = HashMap::new();
        for row in rows {
            found.entry(RecipientId(row.recipient)).or_default().push(row);
        }
        Ok(found)
    }
}

impl Tx {
    /// Saves a named audience, over one of the same name.
    pub async fn put_segment(&mut self, segment: &SegmentRow) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO segment (name, expression, saved_at) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET expression = excluded.expression,
                saved_at = excluded.saved_at";
        let (name, at) = (segment.name.as_str(), micros(segment.saved_at));
        run!(self, SQL, name, segment.expression.as_str(), at).doing("save a segment").map(drop)
    }

    /// Deletes a named audience; false when there is none.
    pub async fn delete_segment(&mut self, name: &Name) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM segment WHERE name = $1";
        let deleted = run!(self, SQL, name.as_str()).doing("delete a segment")?;
        Ok(deleted > 0)
    }
}
