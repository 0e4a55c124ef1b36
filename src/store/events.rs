//! What happens to people, also in the future.

use std::collections::{BTreeSet, HashSet};

use super::bulk::{Column, Rows};
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, to_json};
use crate::model::event::{EventKey, EventKind, PersonEvent};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::time::Instant;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedEvent {
    /// Not known before.
    New,
    /// Known, and moved or described otherwise.
    Moved,
    /// Known as it is.
    Same,
}

const HEAD: &str = "INSERT INTO event
    (recipient, kind, key, keyed, at, attributes, added_at, changed_at)";
const NEW: &str = " ON CONFLICT DO NOTHING RETURNING recipient, kind, key";
const MOVED: &str = " ON CONFLICT (recipient, kind, key) DO UPDATE SET at = excluded.at,
    attributes = excluded.attributes, changed_at = excluded.changed_at
    WHERE event.at <> excluded.at OR event.attributes <> excluded.attributes
    RETURNING recipient, kind, key";

impl Tx {
    /// Adds events, or moves those that are known, each once; what became of each, in their order.
    pub async fn put_events(
        &mut self,
        given: &[(RecipientId, PersonEvent)],
        now: Instant,
    ) -> Result<Vec<AddedEvent>, StoreError> {
        self.note_event_kinds(given.iter().map(|(_, event)| &event.kind).collect()).await?;
        let mut became = Vec::with_capacity(given.len());
        for chunk in given.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<_> = chunk.iter().map(|row| EventColumns::of(row, now)).collect();
            let new = self.write_events(&rows, NEW).await?;
            let known = |row: &&EventColumns| !new.contains(&row.identity());
            let rest: Vec<EventColumns> = rows.iter().filter(known).cloned().collect();
            let moved = if rest.is_empty() {
                HashSet::new()
            } else {
                self.write_events(&rest, MOVED).await?
            };
            became.extend(rows.iter().map(|row| match row.identity() {
                identity if new.contains(&identity) => AddedEvent::New,
                identity if moved.contains(&identity) => AddedEvent::Moved,
                _ => AddedEvent::Same,
            }));
        }
        Ok(became)
    }

    async fn write_events(
        &mut self,
        rows: &[EventColumns],
        tail: &'static str,
    ) -> Result<HashSet<EventIdentity>, StoreError> {
        let text = |of: fn(&EventColumns) -> &str| {
            Column::Text(rows.iter().map(|row| Some(of(row))).collect())
        };
        let number = |of: fn(&EventColumns) -> i64| {
            Column::Number(rows.iter().map(|row| Some(of(row))).collect())
        };
        let columns = vec![
            number(|row| row.recipient),
            text(|row| &row.kind),
            text(|row| &row.key),
            Column::Truth(rows.iter().map(|row| Some(row.keyed)).collect()),
            number(|row| row.at),
            text(|row| &row.attributes),
            number(|row| row.now),
            number(|row| row.now),
        ];
        let touched: Vec<EventIdentity> = on!(self, |db| {
            let mut query = Rows::insert(HEAD, columns, tail);
            query.build_query_as().fetch_all(db).await
        })
        .doing("write events")?;
        Ok(touched.into_iter().collect())
    }

    async fn note_event_kinds(&mut self, kinds: BTreeSet<&EventKind>) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO event_kind (kind) VALUES ($1) ON CONFLICT DO NOTHING";
        for kind in kinds {
            on!(self, |db| sqlx::query(SQL).bind(kind.as_str()).execute(db).await.map(drop))
                .doing("note a kind of events")?;
        }
        Ok(())
    }
}

impl Reader {
    /// The kinds of events there are, at most a thousand, by name.
    pub async fn event_kinds(&mut self) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT kind FROM event_kind ORDER BY kind LIMIT 1000";
        on!(self, |db| sqlx::query_scalar(SQL).fetch_all(db).await).doing("read kinds of events")
    }

    /// When a person's event with a key is, if it is known.
    pub async fn event_time(
        &mut self,
        person: &RecipientKey,
        kind: &EventKind,
        key: &EventKey,
    ) -> Result<Option<Instant>, StoreError> {
        const SQL: &str = "SELECT e.at FROM event e JOIN recipient r ON r.id = e.recipient
            WHERE r.key = $1 AND e.kind = $2 AND e.key = $3";
        let at: Option<i64> = on!(self, |db| sqlx::query_scalar(SQL)
            .bind(person.as_str())
            .bind(kind.as_str())
            .bind(key.as_str())
            .fetch_optional(db)
            .await)
        .doing("look up an event")?;
        at.map(|at| instant("event", at)).transpose()
    }
}

/// Person, kind and key.
type EventIdentity = (i64, String, String);

#[derive(Clone)]
struct EventColumns {
    recipient: i64,
    kind: String,
    key: String,
    keyed: bool,
    at: i64,
    attributes: String,
    now: i64,
}

impl EventColumns {
    fn of((recipient, event): &(RecipientId, PersonEvent), now: Instant) -> Self {
        Self {
            recipient: recipient.0,
            kind: event.kind.to_string(),
            key: event.identity(),
            keyed: event.key.is_some(),
            at: micros(event.at),
            attributes: to_json(&event.attributes),
            now: micros(now),
        }
    }

    fn identity(&self) -> EventIdentity {
        (self.recipient, self.kind.clone(), self.key.clone())
    }
}
