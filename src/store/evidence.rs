//! Each person's history as the learner packs it, and the contents it refers to by number.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::QueryBuilder;

use super::bulk::{List, Sql, numbers, one_of};
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, on, parsed, run};
use crate::model::Invalid;
use crate::model::content::{Content, Style};
use crate::model::ids::RecipientId;

/// Whose evidence is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of everybody of whom there is any.
    Everybody,
    /// Of those whose ledger says yes.
    Consented,
}

macro_rules! numbers_sql {
    ($whose:literal) => {
        [
            concat!("SELECT group_concat(evidence.recipient) FROM evidence ", $whose),
            concat!("SELECT string_agg(evidence.recipient::text, ',') FROM evidence ", $whose),
        ]
    };
}

const LEFT_OUT: Sql = one_of!(
    "DELETE FROM evidence WHERE NOT EXISTS
        (SELECT 1 FROM recipient WHERE recipient.id = evidence.recipient) AND recipient",
    "$1",
    ""
);

impl Reader {
    /// The known contents by their numbers, which are dense from 0.
    pub async fn contents(&mut self) -> Result<Vec<Content>, StoreError> {
        const SQL: &str = "SELECT media, style FROM content ORDER BY id";
        let rows: Vec<(String, String)> =
            on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await).doing("read contents")?;
        let content = |(media, style): (String, String)| {
            let style: Option<Style> =
                (!style.is_empty()).then(|| parsed("content", &style)).transpose()?;
            Ok(Content { media: parsed("content", &media)?, style })
        };
        rows.into_iter().map(content).collect()
    }

    /// How many people there is evidence of.
    pub async fn evidence_count(&mut self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM evidence";
        let count: i64 =
            on!(self, |db| sqlx::query_scalar(SQL).fetch_one(db).await).doing("count evidence")?;
        Ok(count as u64)
    }

    /// The numbers of everybody of whom there is evidence, or of those with consent, in no order.
    pub async fn evidence_numbers(&mut self, whose: Whose) -> Result<Vec<u64>, StoreError> {
        // one value: SQLite's driver hands rows from thread to thread one by one
        const ALL: Sql = numbers_sql!("");
        const CONSENTED: Sql =
            numbers_sql!("JOIN recipient ON recipient.id = evidence.recipient WHERE consented");
        let sql = self.text(if whose == Whose::Everybody { ALL } else { CONSENTED });
        let numbers: Option<String> =
            on!(self, |db| sqlx::query_scalar(sql).fetch_one(db).await).doing("read evidence")?;
        let numbers = numbers.unwrap_or_default();
        let numbers = numbers.split(',').filter(|number| !number.is_empty());
        let corrupt = |_| StoreError::Corrupt {
            table: "evidence",
            cause: Invalid::new("recipient", "a number", "a number of a person"),
        };
        numbers.map(|number| number.parse().map_err(corrupt)).collect()
    }

    /// Hands over everybody's packed evidence, or that of people with consent, in the order of their
    /// numbers.
    pub async fn each_evidence(
        &mut self,
        whose: Whose,
        mut take: impl FnMut(RecipientId, Vec<u8>),
    ) -> Result<(), StoreError> {
        const ALL: &str = "SELECT recipient, packed FROM evidence ORDER BY recipient";
        const CONSENTED: &str = "SELECT e.recipient, e.packed
            FROM evidence AS e JOIN recipient AS r ON r.id = e.recipient
            WHERE r.consented ORDER BY e.recipient";
        on!(self, |db| {
            let query = match whose {
                Whose::Everybody => sqlx::query_as::<_, (i64, Vec<u8>)>(ALL),
                Whose::Consented => sqlx::query_as(CONSENTED),
            };
            let mut rows = query.fetch(db);
            while let Some((id, packed)) = rows.try_next().await.doing("read evidence")? {
                take(RecipientId(id), packed);
            }
        });
        Ok(())
    }

    /// The packed evidence of some people; who has none is absent.
    pub async fn evidence_of(
        &mut self,
        recipients: &[RecipientId],
    ) -> Result<HashMap<RecipientId, Vec<u8>>, StoreError> {
        const SQL: Sql =
            one_of!("SELECT recipient, packed FROM evidence WHERE recipient", "$1", "");
        let sql = self.text(SQL);
        let rows: Vec<(i64, Vec<u8>)> =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(recipients)).fetch_all(db).await)
                .doing("read evidence")?;
        Ok(rows.into_iter().map(|(id, packed)| (RecipientId(id), packed)).collect())
    }
}

impl Tx {
    /// Adds contents that were not known, after those that are.
    pub async fn add_contents(
        &mut self,
        known: usize,
        contents: &[Content],
    ) -> Result<(), StoreError> {
        if contents.is_empty() {
            return Ok(());
        }
        on!(self, |db| {
            let mut query = QueryBuilder::new("INSERT INTO content (id, media, style) ");
            query.push_values(contents.iter().enumerate(), |mut row, (index, content)| {
                row.push_bind((known + index) as i64)
                    .push_bind(content.media.as_str())
                    .push_bind(content.style.as_ref().map_or("", |style| style.as_str()));
            });
            query.build().execute(db).await.map(drop)
        })
        .doing("add contents")
    }

    /// Writes people's packed evidence; whoever was forgotten meanwhile is left out.
    pub async fn put_evidence(&mut self, rows: &[(RecipientId, &[u8])]) -> Result<(), StoreError> {
        let left_out = self.text(LEFT_OUT);
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            on!(self, |db| {
                let mut query = QueryBuilder::new("INSERT INTO evidence (recipient, packed) ");
                query.push_values(chunk, |mut row, (id, packed)| {
                    row.push_bind(id.0).push_bind(*packed);
                });
                query.push(" ON CONFLICT (recipient) DO UPDATE SET packed = excluded.packed");
                query.build().execute(db).await.map(drop)
            })
            .doing("write evidence")?;
            let ids = List(chunk.iter().map(|(id, _)| id.0).collect());
            run!(self, left_out, ids).doing("write evidence")?;
        }
        Ok(())
    }

    /// Removes the evidence of everybody after `after`, up to `last` if there is one, before it is
    /// packed anew from the history.
    pub async fn clear_evidence(
        &mut self,
        after: RecipientId,
        last: Option<RecipientId>,
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM evidence WHERE recipient > $1 AND recipient <= $2";
        let last = last.map_or(i64::MAX, |last| last.0);
        on!(self, |db| sqlx::query(SQL).bind(after.0).bind(last).execute(db).await.map(drop))
            .doing("clear evidence")
    }
}
