//! How many people of each campaign are in which state and why, so that nobody has to count them.
//!
//! Each transaction that moves people appends what it moves, and what stands is the sum: transactions of
//! many daemons do not wait for each other's counts. Maintenance adds rows up.
//!
//! *Invariant:* whoever makes or deletes a delivery, or writes its state or reason, counts it here in the
//! same transaction. Those who are claimed count as planned, as their rows say.

use std::collections::BTreeMap;

use super::bulk::{Column, Rows, Sql, numbers};
use super::{Conn, Doing, Reader, StoreError, Tx, on, parsed, run};
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;

/// A state, and why somebody is in it.
type Place = (State, Reason);

/// How many people come to each place, and leave it where it is below zero.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<Place, i64>);

impl Moves {
    pub(super) fn add(&mut self, to: Place, people: i64) {
        *self.0.entry(to).or_default() += people;
    }

    /// One person leaves a place for another.
    pub(super) fn one(&mut self, from: Place, to: Place) {
        self.add(from, -1);
        self.add(to, 1);
    }
}

const TABLE: &str = "delivery_count";

macro_rules! append {
    ($sign:literal, $from:expr) => {
        concat!(
            "INSERT INTO delivery_count (campaign, state, reason, people)
            SELECT campaign, state, reason, ",
            $sign,
            "COUNT(*) FROM ",
            $from,
            " GROUP BY campaign, state, reason"
        )
    };
}

/// In one order by everybody: of two who write to the same people, one waits for the other.
const LOCK: &str = "SELECT recipient FROM delivery WHERE campaign = $1 AND recipient = ANY($2)
    ORDER BY recipient FOR UPDATE";

const LEAVE: Sql = [
    append!("-", "delivery WHERE campaign = $1 AND recipient IN (SELECT value FROM json_each($2))"),
    append!(
        "-",
        "(SELECT campaign, state, reason FROM delivery WHERE campaign = $1 AND recipient = ANY($2)
            ORDER BY recipient FOR UPDATE) AS held"
    ),
];

const COME: Sql = [
    append!("", "delivery WHERE campaign = $1 AND recipient IN (SELECT value FROM json_each($2))"),
    append!("", "delivery WHERE campaign = $1 AND recipient = ANY($2)"),
];

const LEAVE_ALL: Sql = [
    append!("-", "delivery WHERE recipient = $1"),
    append!(
        "-",
        "(SELECT campaign, state, reason FROM delivery WHERE recipient = $1
            ORDER BY campaign FOR UPDATE) AS held"
    ),
];

const APPEND: &str = "INSERT INTO delivery_count (campaign, state, reason, people)";

const STANDS: &str = "SELECT state, reason, CAST(SUM(people) AS BIGINT) FROM delivery_count
    WHERE campaign = $1 GROUP BY state, reason";

const ROWS: &str = "SELECT COUNT(*) FROM delivery_count WHERE campaign = $1";

const TAKE: &str = "DELETE FROM delivery_count WHERE campaign = $1 RETURNING state, reason, people";

/// Rows of a campaign that are worth adding up.
const ROWS_MAX: i64 = 200;

const DOING: &str = "count deliveries";

impl Reader {
    /// How many people of a campaign are in each state for each reason, by their rows.
    pub(super) async fn counted(
        &mut self,
        campaign: i64,
    ) -> Result<BTreeMap<Place, u64>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            on!(self, |db| sqlx::query_as(STANDS).bind(campaign).fetch_all(db).await)
                .doing(DOING)?;
        let mut counts = BTreeMap::new();
        for (state, reason, people) in rows {
            let people = people.try_into().unwrap_or_default();
            counts.insert((parsed(TABLE, &state)?, parsed(TABLE, &reason)?), people);
        }
        Ok(counts)
    }
}

impl Tx {
    /// Takes people's deliveries in a campaign out of its counts, before they are written; they stay as they
    /// are until then. Who has none is passed over.
    pub(super) async fn count_leaving(
        &mut self,
        campaign: i64,
        people: &[RecipientId],
    ) -> Result<(), StoreError> {
        let sql = self.text(LEAVE);
        run!(self, sql, campaign, numbers(people)).doing(DOING).map(drop)
    }

    /// Locks people's deliveries in a campaign until the transaction ends, where their counts are known;
    /// [`count_leaving`](Self::count_leaving) does it for others. SQLite has one writer at a time.
    pub(super) async fn lock_rows(
        &mut self,
        campaign: i64,
        people: &[RecipientId],
    ) -> Result<(), StoreError> {
        if let Conn::Postgres(_) = &self.conn {
            run!(self, LOCK, campaign, numbers(people)).doing("lock deliveries")?;
        }
        Ok(())
    }

    /// Counts people's deliveries in a campaign once more, after they were written.
    pub(super) async fn count_coming(
        &mut self,
        campaign: i64,
        people: &[RecipientId],
    ) -> Result<(), StoreError> {
        let sql = self.text(COME);
        run!(self, sql, campaign, numbers(people)).doing(DOING).map(drop)
    }

    /// Takes all of a person's deliveries out of the counts, before they are deleted.
    pub(super) async fn count_person_leaving(
        &mut self,
        person: RecipientId,
    ) -> Result<(), StoreError> {
        let sql = self.text(LEAVE_ALL);
        run!(self, sql, person.0).doing(DOING).map(drop)
    }

    /// Counts what is known to have moved in a campaign.
    pub(super) async fn count_moves(
        &mut self,
        campaign: i64,
        moves: &Moves,
    ) -> Result<(), StoreError> {
        let moved: Vec<(&Place, i64)> =
            moves.0.iter().map(|(place, people)| (place, *people)).filter(|m| m.1 != 0).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let columns = vec![
            Column::Number(vec![Some(campaign); moved.len()]),
            Column::Text(moved.iter().map(|((state, _), _)| Some(state.as_str())).collect()),
            Column::Text(moved.iter().map(|((_, reason), _)| Some(reason.as_str())).collect()),
            Column::Number(moved.iter().map(|(_, people)| Some(*people)).collect()),
        ];
        on!(self, |db| Rows::insert(APPEND, columns, "").build().execute(db).await.map(drop))
            .doing(DOING)
    }

    /// Adds up a campaign's rows where they have become many. Of two who do so at once, one finds
    /// the other's sum or nothing.
    pub async fn fold_counts(&mut self, campaign: i64) -> Result<(), StoreError> {
        let rows: i64 = on!(self, |db| sqlx::query_scalar(ROWS).bind(campaign).fetch_one(db).await)
            .doing(DOING)?;
        if rows <= ROWS_MAX {
            return Ok(());
        }
        let taken: Vec<(String, String, i64)> =
            on!(self, |db| sqlx::query_as(TAKE).bind(campaign).fetch_all(db).await).doing(DOING)?;
        let mut sums = Moves::default();
        for (state, reason, people) in taken {
            sums.add((parsed(TABLE, &state)?, parsed(TABLE, &reason)?), people);
        }
        self.count_moves(campaign, &sums).await
    }
}
