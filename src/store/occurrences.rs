//! Standing campaigns: their runs, and what each person is to be written about.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::bulk::{Column, List, Rows, Sql, numbers, one_of};
use super::campaigns::CampaignRow;
use super::row::from_row;
use super::{
    Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, json, micros, on, parsed, run,
    to_json,
};
use crate::model::campaign::RunWindow;
use crate::model::delivery::{Arm, Reason, State};
use crate::model::event::EventKind;
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

/// Of one person: how many events of the kinds that are asked for are looked at, the newest.
const EVENTS_MAX: usize = 1000;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Whose.
    pub recipient: RecipientId,
    /// Its kind.
    pub kind: String,
    /// What tells it apart.
    pub key: String,
    /// Whether the caller gave the key.
    pub keyed: bool,
    /// When it happens.
    pub at: Instant,
    /// What else is known of it.
    pub attributes: BTreeMap<String, String>,
    /// When it was first known.
    pub added_at: Instant,
    /// When it was last changed.
    pub changed_at: Instant,
}

/// What a person is to be written about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Whom.
    pub recipient: RecipientId,
    /// Of which occasion.
    pub key: String,
    /// When that happens.
    pub event_at: Instant,
    /// From when on.
    pub opens_at: Instant,
    /// Until when.
    pub closes_at: Instant,
    /// The run that carries it.
    pub run: Option<i64>,
    /// Why it is not written about.
    pub refused: Option<Reason>,
    /// Where it moved after its message: for when that said it was.
    pub told_at: Option<Instant>,
    /// What else is known of the occasion.
    pub attributes: BTreeMap<String, String>,
}

/// An occurrence, and where its delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrenceRow {
    /// What was decided.
    pub occurrence: Occurrence,
    /// The state of the run's delivery to the person.
    pub state: Option<State>,
}

from_row! {
    struct EventRow {
        recipient: i64,
        kind: String,
        key: String,
        keyed: bool,
        at: i64,
        attributes: String,
        added_at: i64,
        changed_at: i64,
    }
}

from_row! {
    struct Row {
        recipient: i64,
        key: String,
        event_at: i64,
        opens_at: i64,
        closes_at: i64,
        run: Option<i64>,
        refused: Option<String>,
        told_at: Option<i64>,
        attributes: String,
        state: Option<String>,
    }
}

const TABLE: &str = "occurrence";

impl EventRow {
    fn into_model(self) -> Result<StoredEvent, StoreError> {
        Ok(StoredEvent {
            recipient: RecipientId(self.recipient),
            kind: self.kind,
            key: self.key,
            keyed: self.keyed,
            at: instant("event", self.at)?,
            attributes: json("event", &self.attributes)?,
            added_at: instant("event", self.added_at)?,
            changed_at: instant("event", self.changed_at)?,
        })
    }
}

impl Row {
    fn into_model(self) -> Result<OccurrenceRow, StoreError> {
        let state = self.state.map(|state| parsed("delivery", &state)).transpose()?;
        let refused = self.refused.map(|reason| parsed(TABLE, &reason)).transpose()?;
        let occurrence = Occurrence {
            recipient: RecipientId(self.recipient),
            key: self.key,
            event_at: instant(TABLE, self.event_at)?,
            opens_at: instant(TABLE, self.opens_at)?,
            closes_at: instant(TABLE, self.closes_at)?,
            run: self.run,
            refused,
            told_at: self.told_at.map(|at| instant(TABLE, at)).transpose()?,
            attributes: json(TABLE, &self.attributes)?,
        };
        Ok(OccurrenceRow { occurrence, state })
    }
}

macro_rules! select {
    ($join:literal, $state:literal, $end:literal) => {
        concat!(
            "SELECT o.recipient, o.key, o.event_at, o.opens_at, o.closes_at, o.run, o.refused,
                o.told_at, o.attributes, ",
            $state,
            " AS state FROM occurrence o ",
            $join,
            $end
        )
    };
    ($end:literal) => {
        select!(
            "LEFT JOIN delivery d ON d.campaign = o.run AND d.recipient = o.recipient ",
            "d.state",
            $end
        )
    };
}

const OF_PEOPLE: Sql = one_of!(select!("WHERE o.parent = $1 AND o.recipient"), "$2", "");

const OF_ONE: &str = select!("WHERE o.recipient = $1 ORDER BY o.event_at DESC LIMIT 1000");

const OF_RUN: Sql = one_of!(
    select!("", "CAST(NULL AS TEXT)", "WHERE o.run = $1 AND o.refused IS NULL AND o.recipient"),
    "$2",
    ""
);

const HEAD: &str = "INSERT INTO occurrence
    (parent, recipient, key, event_at, opens_at, closes_at, run, refused, told_at, attributes)";
const OVER: &str =
    " ON CONFLICT (parent, recipient, key) DO UPDATE SET event_at = excluded.event_at,
    opens_at = excluded.opens_at, closes_at = excluded.closes_at, run = excluded.run,
    refused = excluded.refused, told_at = excluded.told_at, attributes = excluded.attributes";

/// A new decision is due: of people who are new, who were refused, or who wait for one already.
const AWAIT: &str =
    "INSERT INTO delivery (campaign, recipient, state, reason, attempts, changed_at)";
const AWAIT_OVER: &str = " ON CONFLICT (campaign, recipient) DO UPDATE SET state = 'planned',
    reason = excluded.reason, send_at = NULL, not_before = NULL, changed_at = excluded.changed_at
    WHERE delivery.state = 'refused' OR delivery.state = 'planned' AND delivery.send_at IS NULL";

const WITHDRAW: Sql = one_of!(
    "UPDATE delivery SET state = 'refused', reason = $2, changed_at = $3
        WHERE campaign = $1 AND (state = 'refused' OR state = 'planned' AND send_at IS NULL)
        AND recipient",
    "$4",
    " RETURNING recipient"
);

const ADD_RUN: &str = "INSERT INTO campaign (id, name, source, provider, status, submitted_at, ends_at,
        category, goal, planned_at, parent, run_window)
    SELECT $2, $3, '', provider, status, $4, $5, category, goal, $6, id, $7 FROM campaign WHERE id = $1
    ON CONFLICT (name) DO NOTHING";

impl Reader {
    /// Whom events of a kind happen to, after one time and up to another.
    pub async fn people_of_events(
        &mut self,
        kind: &EventKind,
        (after, up_to): (Instant, Instant),
    ) -> Result<Vec<RecipientId>, StoreError> {
        const SQL: &str = "SELECT DISTINCT recipient FROM event
            WHERE kind = $1 AND at > $2 AND at <= $3 ORDER BY recipient";
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(SQL)
            .bind(kind.as_str())
            .bind(micros(after))
            .bind(micros(up_to))
            .fetch_all(db)
            .await)
        .doing("look for events that come into reach")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// Of whom events of some kinds were added or changed since.
    pub async fn people_of_changed_events(
        &mut self,
        kinds: &[EventKind],
        since: Instant,
    ) -> Result<Vec<RecipientId>, StoreError> {
        const SQL: Sql = one_of!(
            "SELECT DISTINCT recipient FROM event WHERE changed_at >= $1 AND kind",
            "$2",
            " ORDER BY recipient"
        );
        let kinds = List(kinds.iter().map(ToString::to_string).collect::<Vec<_>>());
        let sql = self.text(SQL);
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(micros(since))
            .bind(kinds)
            .fetch_all(db)
            .await)
        .doing("look for events that changed")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// Events of some kinds that lie after a time, by person; of each the newest thousand.
    pub async fn events_of(
        &mut self,
        people: &[RecipientId],
        kinds: &[EventKind],
        after: Instant,
    ) -> Result<HashMap<RecipientId, Vec<StoredEvent>>, StoreError> {
        const SQL: Sql = one_of!(
            "SELECT recipient, kind, key, keyed, at, attributes, added_at, changed_at
            FROM event WHERE recipient = $1 AND at > $2 AND kind",
            "$3",
            " ORDER BY at DESC LIMIT $4"
        );
        let sql = self.text(SQL);
        let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        let mut found: HashMap<RecipientId, Vec<StoredEvent>> = HashMap::new();
        for person in people {
            let rows: Vec<EventRow> = on!(self, |db| sqlx::query_as(sql)
                .bind(person.0)
                .bind(micros(after))
                .bind(List(kinds.clone()))
                .bind(EVENTS_MAX as i64)
                .fetch_all(db)
                .await)
            .doing("read a person's events")?;
            let events = rows.into_iter().map(EventRow::into_model);
            found.insert(*person, events.collect::<Result<_, _>>()?);
        }
        Ok(found)
    }

    /// What was decided about people of a standing campaign.
    pub async fn occurrences(
        &mut self,
        parent: i64,
        people: &[RecipientId],
    ) -> Result<Vec<OccurrenceRow>, StoreError> {
        let sql = self.text(OF_PEOPLE);
        let rows: Vec<Row> = on!(self, |db| sqlx::query_as(sql)
            .bind(parent)
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("read occurrences")?;
        rows.into_iter().map(Row::into_model).collect()
    }

    /// What a person is or was written about by standing campaigns, the newest thousand.
    pub async fn occurrences_of(
        &mut self,
        person: RecipientId,
    ) -> Result<Vec<OccurrenceRow>, StoreError> {
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(OF_ONE).bind(person.0).fetch_all(db).await)
                .doing("read a person's occurrences")?;
        rows.into_iter().map(Row::into_model).collect()
    }

    /// What a run is to write to people about; who is not in it is not written to.
    pub async fn occurrences_in_run(
        &mut self,
        run: i64,
        people: &[RecipientId],
    ) -> Result<HashMap<RecipientId, Occurrence>, StoreError> {
        let sql = self.text(OF_RUN);
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(sql).bind(run).bind(numbers(people)).fetch_all(db).await)
                .doing("read a run's occurrences")?;
        let occurrence = |row: Row| {
            let occurrence = row.into_model()?.occurrence;
            Ok((occurrence.recipient, occurrence))
        };
        rows.into_iter().map(occurrence).collect()
    }

    /// Occurrences of a standing campaign that are not written about, by reason.
    pub async fn refused_occurrences(
        &mut self,
        parent: i64,
    ) -> Result<Vec<(Reason, u64)>, StoreError> {
        const SQL: &str = "SELECT refused, COUNT(*) FROM occurrence
            WHERE parent = $1 AND run IS NULL AND refused IS NOT NULL GROUP BY refused ORDER BY 1";
        let rows: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(SQL).bind(parent).fetch_all(db).await)
                .doing("count refused occurrences")?;
        rows.into_iter().map(|(why, count)| Ok((parsed(TABLE, &why)?, count as u64))).collect()
    }

    /// The run of a standing campaign with a window.
    pub async fn run_with(
        &mut self,
        parent: i64,
        window: &RunWindow,
    ) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "SELECT id FROM campaign
            WHERE parent = $1 AND run_window = $2 AND fallback_of IS NULL";
        on!(self, |db| sqlx::query_scalar(SQL)
            .bind(parent)
            .bind(window.to_string())
            .fetch_optional(db)
            .await)
        .doing("find a run")
    }

    /// The numbers of a standing campaign's runs, oldest first.
    pub async fn runs_of(&mut self, parent: i64) -> Result<Vec<i64>, StoreError> {
        const SQL: &str = "SELECT id FROM campaign WHERE parent = $1 AND fallback_of IS NULL
            ORDER BY id";
        on!(self, |db| sqlx::query_scalar(SQL).bind(parent).fetch_all(db).await)
            .doing("list the runs of a campaign")
    }
}

/// What messages of closed runs and fallbacks cost or were expected to cost; of a message that never left, nothing.
const SPENT: &str = "SELECT d.arm, SUM(COALESCE(d.price, d.expected_price, 0.0)) FROM delivery d
    JOIN campaign c ON c.id = d.campaign
    WHERE c.parent = $1 AND c.closed_at IS NOT NULL AND d.arm IS NOT NULL
        AND d.state IN ('sent', 'in_doubt_expired')
    GROUP BY d.arm ORDER BY d.arm";

impl Reader {
    /// What closed runs of a standing campaign have spent, by arm.
    pub async fn spent_by_closed_runs(
        &mut self,
        parent: i64,
    ) -> Result<Vec<(Arm, f64)>, StoreError> {
        let rows: Vec<(String, f64)> =
            on!(self, |db| sqlx::query_as(SPENT).bind(parent).fetch_all(db).await)
                .doing("add up what runs have spent")?;
        rows.into_iter().map(|(arm, spent)| Ok((parsed("delivery", &arm)?, spent))).collect()
    }
}

/// A run to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Unique in the workspace.
    pub name: Name,
    /// When its messages may be sent.
    pub window: RunWindow,
    /// When that is over everywhere.
    pub ends_at: Instant,
    /// Whether the whole audience is still to be planned; else people come one by one.
    pub is_whole: bool,
}

impl Tx {
    /// Stores a run of a standing campaign, in whose status it is; `None` when its name is taken.
    pub async fn add_run(
        &mut self,
        parent: &CampaignRow,
        new: &NewRun,
        now: Instant,
    ) -> Result<Option<i64>, StoreError> {
        let id = self.take_numbers("campaign", 1).await?;
        let planned = (!new.is_whole).then_some(micros(now));
        let (name, window, ends) = (new.name.as_str(), new.window.to_string(), micros(new.ends_at));
        let added = run!(self, ADD_RUN, parent.id, id, name, micros(now), ends, planned, window)
            .doing("store a run")?;
        Ok((added > 0).then_some(id))
    }

    /// Writes what people are to be written about, over what was decided before.
    pub async fn put_occurrences(
        &mut self,
        parent: i64,
        given: &[Occurrence],
    ) -> Result<(), StoreError> {
        for chunk in given.chunks(ROWS_PER_STATEMENT) {
            let number = |of: &dyn Fn(&Occurrence) -> Option<i64>| {
                Column::Number(chunk.iter().map(of).collect())
            };
            let attributes: Vec<String> = chunk.iter().map(|of| to_json(&of.attributes)).collect();
            let columns = vec![
                Column::Number(vec![Some(parent); chunk.len()]),
                number(&|of| Some(of.recipient.0)),
                Column::Text(chunk.iter().map(|of| Some(of.key.as_str())).collect()),
                number(&|of| Some(micros(of.event_at))),
                number(&|of| Some(micros(of.opens_at))),
                number(&|of| Some(micros(of.closes_at))),
                number(&|of| of.run),
                Column::Text(chunk.iter().map(|of| of.refused.map(Reason::as_str)).collect()),
                number(&|of| of.told_at.map(micros)),
                Column::Text(attributes.iter().map(|text| Some(text.as_str())).collect()),
            ];
            on!(self, |db| Rows::insert(HEAD, columns, OVER).build().execute(db).await.map(drop))
                .doing("write occurrences")?;
        }
        Ok(())
    }

    /// Forgets an occurrence: it comes back with its time.
    pub async fn drop_occurrence(
        &mut self,
        parent: i64,
        person: RecipientId,
        key: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "DELETE FROM occurrence WHERE parent = $1 AND recipient = $2 AND key = $3";
        run!(self, SQL, parent, person.0, key).doing("drop an occurrence").map(drop)
    }

    /// Has a run decide about people: those who are new to it, were refused or are planned. Who is in
    /// a claim stays as it is.
    pub async fn await_decision(
        &mut self,
        run: i64,
        people: &[RecipientId],
        now: Instant,
    ) -> Result<(), StoreError> {
        let free = self.take_out(run, people).await?;
        self.undecide(run, &free, Some(Reason::Occurred), now).await?;
        for chunk in people.chunks(ROWS_PER_STATEMENT) {
            self.count_leaving(run, chunk).await?;
            let all = |text: &'static str| Column::Text(vec![Some(text); chunk.len()]);
            let columns = vec![
                Column::Number(vec![Some(run); chunk.len()]),
                Column::Number(chunk.iter().map(|id| Some(id.0)).collect()),
                all(State::Planned.as_str()),
                all(Reason::Occurred.as_str()),
                Column::Number(vec![Some(0); chunk.len()]),
                Column::Number(vec![Some(micros(now)); chunk.len()]),
            ];
            on!(self, |db| Rows::insert(AWAIT, columns, AWAIT_OVER)
                .build()
                .execute(db)
                .await
                .map(drop))
            .doing("ask for new decisions")?;
            self.count_coming(run, chunk).await?;
        }
        Ok(())
    }

    /// Refuses people of a run to whom nothing has left; returns those to whom nothing will. Who is in
    /// a claim is not among them.
    pub async fn withdraw_planned(
        &mut self,
        run: i64,
        people: &[RecipientId],
        reason: Reason,
        now: Instant,
    ) -> Result<HashSet<RecipientId>, StoreError> {
        let free = self.take_out(run, people).await?;
        self.undecide(run, &free, None, now).await?;
        self.count_leaving(run, people).await?;
        let sql = self.text(WITHDRAW);
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(run)
            .bind(reason.as_str())
            .bind(micros(now))
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("withdraw planned messages")?;
        self.count_coming(run, people).await?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }
}
