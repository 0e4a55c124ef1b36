//! Leases: who of several nodes does what one alone may do, and for which term.
//!
//! A lease is taken for a term, a number that grows each time. It is renewed while the work goes on.
//! The number fences what is written: [`Tx::hold_term`] locks the lease's row within the storing
//! transaction, so that nobody takes the lease before it commits, and refuses a term that is over.

use super::bulk::Sql;
use super::{Doing, Store, StoreError, Tx, micros, on, run};
use crate::model::ids::NodeId;
use crate::model::time::Instant;

const TAKE: &str = "INSERT INTO lease (name, holder, held_until, term) VALUES ($1, $2, $3, 1)
    ON CONFLICT (name) DO UPDATE
    SET holder = excluded.holder, held_until = excluded.held_until, term = lease.term + 1
    WHERE lease.held_until <= $4 RETURNING term";

/// A lease that lapsed and that nobody took is still its holder's.
const RENEW: &str =
    "UPDATE lease SET held_until = $1 WHERE name = $2 AND holder = $3 AND term = $4";

const GIVE_BACK: &str = "UPDATE lease SET holder = '', held_until = 0
    WHERE name = $1 AND holder = $2 AND term = $3";

/// One node's hold on a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    lease: String,
    holder: NodeId,
    number: i64,
}

impl Term {
    /// The name of the lease.
    pub fn lease(&self) -> &str {
        &self.lease
    }

    /// The number of the term: a later one is greater.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// What is said of it once it is over.
    pub(crate) fn lost(&self) -> StoreError {
        StoreError::LostTerm { lease: self.lease.clone(), term: self.number }
    }
}

impl Store {
    /// Takes a lease until `until`; `None` when it is held at `now`, by whomever.
    pub async fn take_lease(
        &self,
        lease: &str,
        node: &NodeId,
        now: Instant,
        until: Instant,
    ) -> Result<Option<Term>, StoreError> {
        let mut tx = self.begin().await?;
        let number: Option<i64> = on!(tx, |db| sqlx::query_scalar(TAKE)
            .bind(lease)
            .bind(node.as_str())
            .bind(micros(until))
            .bind(micros(now))
            .fetch_optional(db)
            .await)
        .doing("take a lease")?;
        tx.commit().await?;
        let term = |number| Term { lease: lease.to_owned(), holder: node.clone(), number };
        Ok(number.map(term))
    }

    /// Holds the lease until `until`; [`StoreError::LostTerm`] when it was given back or another
    /// has taken it.
    pub async fn renew_lease(&self, term: &Term, until: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (lease, holder) = (term.lease.as_str(), term.holder.as_str());
        let renewed =
            run!(tx, RENEW, micros(until), lease, holder, term.number).doing("renew a lease")?;
        tx.commit().await?;
        if renewed == 0 { Err(term.lost()) } else { Ok(()) }
    }

    /// Gives the lease back early, which ends the term; nothing happens when it has ended already.
    pub async fn give_back_lease(&self, term: &Term) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        run!(tx, GIVE_BACK, term.lease.as_str(), term.holder.as_str(), term.number)
            .doing("give a lease back")?;
        tx.commit().await
    }
}

impl Tx {
    /// Refuses to go on unless the term is still its holder's, and keeps it so until the
    /// transaction ends. To be called in every transaction that stores what was made in the term.
    pub async fn hold_term(&mut self, term: &Term) -> Result<(), StoreError> {
        const SQL: Sql = [
            // a transaction of SQLite's that writes is alone from its beginning
            "SELECT 1 FROM lease WHERE name = $1 AND holder = $2 AND term = $3",
            "SELECT 1 FROM lease WHERE name = $1 AND holder = $2 AND term = $3 FOR UPDATE",
        ];
        let sql = self.text(SQL);
        let held: Option<i32> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(term.lease.as_str())
            .bind(term.holder.as_str())
            .bind(term.number)
            .fetch_optional(db)
            .await)
        .doing("look at a lease's term")?;
        held.map(drop).ok_or_else(|| term.lost())
    }
}
