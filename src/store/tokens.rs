//! Who may use the API, and what requests with an idempotency key were answered.

use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, run};
use crate::model::ids::Name;
use crate::model::time::Instant;

/// A token for the API, without itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Instant,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Instant>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Instant>,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Instant>,
}

from_row! {
    struct Row {
        name: String,
        scopes: String,
        created_at: i64,
        expires_at: Option<i64>,
        last_used_at: Option<i64>,
        revoked_at: Option<i64>,
    }
}

impl TryFrom<Row> for TokenRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let at = |at: i64| instant("api_token", at);
        Ok(Self {
            name: row.name,
            scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
            created_at: at(row.created_at)?,
            expires_at: row.expires_at.map(at).transpose()?,
            last_used_at: row.last_used_at.map(at).transpose()?,
            revoked_at: row.revoked_at.map(at).transpose()?,
        })
    }
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT name, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_token ",
            $end
        )
    };
}

/// How a request with an idempotency key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyedRequest {
    /// It is new, and this one works on it.
    Begun,
    /// Another one works on it.
    UnderWay,
    /// It was answered.
    Answered {
        /// The status of HTTP.
        status: u16,
        /// The body.
        body: String,
    },
    /// The key was used for another request.
    Other,
}

const BEGIN: &str = "INSERT INTO api_answer (token, key, request, begun_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (token, key) DO UPDATE SET request = excluded.request,
        begun_at = excluded.begun_at, status = NULL, body = NULL
    WHERE api_answer.begun_at <= $5 OR (api_answer.status IS NULL AND api_answer.begun_at <= $6)";

const ANSWER: &str = "UPDATE api_answer SET status = $3, body = $4 WHERE token = $1 AND key = $2";

const GIVE_UP: &str = "DELETE FROM api_answer WHERE token = $1 AND key = $2 AND status IS NULL";

const ANSWERS_BEFORE: &str = "DELETE FROM api_answer WHERE begun_at <= $1";

impl Reader {
    /// The token with a hash that is in use at `now`.
    pub async fn token_by_hash(
        &mut self,
        hash: &str,
        now: Instant,
    ) -> Result<Option<TokenRow>, StoreError> {
        const SQL: &str = select!(
            "WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"
        );
        let row: Option<Row> = on!(self, |db| sqlx::query_as(SQL)
            .bind(hash)
            .bind(micros(now))
            .fetch_optional(db)
            .await)
        .doing("look up a token")?;
        row.map(TokenRow::try_from).transpose()
    }

    /// The token with which somebody signed in whose session has a hash and is not over at `now`.
    pub async fn token_of_session(
        &mut self,
        hash: &str,
        now: Instant,
    ) -> Result<Option<TokenRow>, StoreError> {
        const SQL: &str = select!(
            "WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND name =
                (SELECT token FROM web_session WHERE hash = $1 AND expires_at > $2)"
        );
        let row: Option<Row> = on!(self, |db| sqlx::query_as(SQL)
            .bind(hash)
            .bind(micros(now))
            .fetch_optional(db)
            .await)
        .doing("look up a session")?;
        row.map(TokenRow::try_from).transpose()
    }

    /// All tokens.
    pub async fn tokens(&mut self) -> Result<Vec<TokenRow>, StoreError> {
        const SQL: &str = select!("ORDER BY name");
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await).doing("list tokens")?;
        rows.into_iter().map(TokenRow::try_from).collect()
    }
}

impl Tx {
    /// Keeps a token's hash; false when its name is taken.
    pub async fn add_token(
        &mut self,
        name: &Name,
        hash: &str,
        scopes: &str,
        expires_at: Option<Instant>,
        now: Instant,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO api_token (name, hash, scopes, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let added = on!(self, |db| sqlx::query(SQL)
            .bind(name.as_str())
            .bind(hash)
            .bind(scopes)
            .bind(micros(now))
            .bind(expires_at.map(micros))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("keep a token")?;
        Ok(added > 0)
    }

    /// Notes that a token was used.
    pub async fn use_token(&mut self, name: &str, now: Instant) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE api_token SET last_used_at = $2 WHERE name = $1";
        run!(self, SQL, name, micros(now)).map(drop).doing("note that a token was used")
    }

    /// Keeps a session's hash, and drops those that are over.
    pub async fn add_session(
        &mut self,
        hash: &str,
        token: &str,
        until: Instant,
        now: Instant,
    ) -> Result<(), StoreError> {
        const OVER: &str = "DELETE FROM web_session WHERE expires_at <= $1";
        const ADD: &str = "INSERT INTO web_session (hash, token, expires_at) VALUES ($1, $2, $3)";
        run!(self, OVER, micros(now)).doing("drop sessions that are over")?;
        run!(self, ADD, hash, token, micros(until)).map(drop).doing("keep a session")
    }

    /// Ends a session.
    pub async fn drop_session(&mut self, hash: &str) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM web_session WHERE hash = $1";
        run!(self, SQL, hash).map(drop).doing("end a session")
    }

    /// Takes a token back; false when there is none in use of that name.
    pub async fn revoke_token(&mut self, name: &Name, now: Instant) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE api_token SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL";
        let changed = run!(self, SQL, name.as_str(), micros(now)).doing("take a token back")?;
        Ok(changed > 0)
    }

    /// Begins to work on a request with an idempotency key. One that was begun at `forgotten` or
    /// before is no longer known; whoever worked on one since `dead` or before died over it.
    pub async fn begin_keyed_request(
        &mut self,
        (token, key): (&str, &str),
        request: &str,
        now: Instant,
        (forgotten, dead): (Instant, Instant),
    ) -> Result<KeyedRequest, StoreError> {
        const FIND: &str =
            "SELECT request, status, body FROM api_answer WHERE token = $1 AND key = $2";
        const DOING: &str = "look up an idempotency key";
        let (now, forgotten, dead) = (micros(now), micros(forgotten), micros(dead));
        let begun = run!(self, BEGIN, token, key, request, now, forgotten, dead).doing(DOING)?;
        if begun > 0 {
            return Ok(KeyedRequest::Begun);
        }
        let (other, status, body): (String, Option<i64>, Option<String>) =
            on!(self, |db| sqlx::query_as(FIND).bind(token).bind(key).fetch_one(db).await)
                .doing(DOING)?;
        Ok(match (status, body) {
            _ if other != request => KeyedRequest::Other,
            (Some(status), Some(body)) => KeyedRequest::Answered { status: status as u16, body },
            _ => KeyedRequest::UnderWay,
        })
    }

    /// Keeps what a request with an idempotency key was answered.
    pub async fn put_answer(
        &mut self,
        (token, key): (&str, &str),
        status: u16,
        body: &str,
    ) -> Result<(), StoreError> {
        run!(self, ANSWER, token, key, i64::from(status), body).map(drop).doing("keep an answer")
    }

    /// Lets a request that was not answered be sent again with its key.
    pub async fn drop_keyed_request(
        &mut self,
        (token, key): (&str, &str),
    ) -> Result<(), StoreError> {
        run!(self, GIVE_UP, token, key).map(drop).doing("drop an idempotency key")
    }

    /// Deletes answers that were begun at `before` or earlier.
    pub async fn prune_answers(&mut self, before: Instant) -> Result<(), StoreError> {
        run!(self, ANSWERS_BEFORE, micros(before)).map(drop).doing("delete old answers")
    }
}
