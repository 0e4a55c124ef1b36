//! Small facts of the workspace: numbers given out, marks of progress, forgotten people.

use std::collections::HashSet;

use super::bulk::{List, Sql, one_of};
use super::{Doing, Reader, Store, StoreError, Tx, on, run};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha2::Sha256;

use crate::model::hash::hex;

const TAKE_NUMBERS: &str = "INSERT INTO counter (noun, next) VALUES ($1, $2 + 1)
    ON CONFLICT (noun) DO UPDATE SET next = counter.next + $2 RETURNING next";

const PUT_VALUE: &str = "INSERT INTO workspace (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

const PUT_NEW_VALUE: &str = "INSERT INTO workspace (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO NOTHING";

const GET_VALUE: &str = "SELECT value FROM workspace WHERE name = $1";

/// The workspace's key for hashes of forgotten people.
#[derive(Clone)]
pub struct Forgotten(Vec<u8>);

impl Forgotten {
    /// The keyed hash (HMAC-SHA256, RFC 2104) under which a key or address is remembered as
    /// forgotten.
    pub fn hash(&self, what: &str, text: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

impl Store {
    /// The key for hashes of people's names.
    pub async fn forgotten_key(&self) -> Result<Forgotten, StoreError> {
        let mut tx = self.begin().await?;
        let key = tx.forgotten_key().await?;
        tx.commit().await?;
        Ok(key)
    }
}

impl Reader {
    /// Which of the hashes belong to forgotten people.
    pub async fn which_forgotten(
        &mut self,
        hashes: &[String],
    ) -> Result<HashSet<String>, StoreError> {
        const SQL: Sql = one_of!("SELECT hash FROM forgotten WHERE hash", "$1", "");
        let (sql, hashes) = (self.text(SQL), List(hashes.iter().map(String::as_str).collect()));
        let rows: Vec<String> =
            on!(self, |db| sqlx::query_scalar(sql).bind(hashes).fetch_all(db).await)
                .doing("look up forgotten people")?;
        Ok(rows.into_iter().collect())
    }

    /// Whether anybody was ever forgotten; lets an import skip the hashing.
    pub async fn any_forgotten(&mut self) -> Result<bool, StoreError> {
        let one: Option<i32> =
            on!(self, |db| sqlx::query_scalar("SELECT 1 FROM forgotten LIMIT 1")
                .fetch_optional(db)
                .await)
            .doing("look up forgotten people")?;
        Ok(one.is_some())
    }

    /// A mark of progress.
    pub async fn mark(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        on!(self, |db| sqlx::query_scalar(GET_VALUE).bind(name).fetch_optional(db).await)
            .doing("read a mark of progress")
    }
}

impl Tx {
    /// Takes `count` numbers of a noun; returns the first.
    pub(super) async fn take_numbers(
        &mut self,
        noun: &str,
        count: usize,
    ) -> Result<i64, StoreError> {
        let next: i64 = on!(self, |db| sqlx::query_scalar(TAKE_NUMBERS)
            .bind(noun)
            .bind(count as i64)
            .fetch_one(db)
            .await)
        .doing("take numbers")?;
        Ok(next - count as i64)
    }

    /// The key for hashes of people's names, made by chance at its first use.
    pub async fn forgotten_key(&mut self) -> Result<Forgotten, StoreError> {
        Ok(Forgotten(self.made_key("forgotten_key").await?))
    }

    /// A key of the workspace's own, made by chance at its first use.
    pub(super) async fn made_key(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        let mut made = self.mark(name).await?;
        if made.is_none() {
            let mut fresh = [0_u8; 32];
            rand::rngs::OsRng.fill_bytes(&mut fresh);
            let fresh = super::to_json(&fresh.to_vec());
            run!(self, PUT_NEW_VALUE, name, fresh).doing("make a key of the workspace")?;
            // another process may have been first
            made = self.mark(name).await?;
        }
        super::json("workspace", &made.unwrap_or_default())
    }

    /// Sets a mark of progress.
    pub async fn set_mark(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        on!(self, |db| sqlx::query(PUT_VALUE).bind(name).bind(value).execute(db).await.map(drop))
            .doing("set a mark of progress")
    }
}
