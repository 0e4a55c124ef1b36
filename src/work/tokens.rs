//! Tokens for the API: made by chance, shown once, kept as hashes, taken back at any time.

use chrono::TimeDelta;
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::{Ctx, audit};
use crate::model::content::word_type;
use crate::model::hash::hex;
use crate::model::ids::Name;
use crate::model::time::Instant;
use crate::store::{StoreError, TokenRow};

word_type! {
    /// What a token allows.
    Scope, "scope", "one of read, people, submit, operate, write" {
        /// To look.
        Read = "read",
        /// To see and ask after single persons.
        People = "people",
        /// To submit campaigns.
        Submit = "submit",
        /// To pause, resume and cancel campaigns.
        Operate = "operate",
        /// To bring history, recipients, consent and events, and to have people forgotten.
        Write = "write",
    }
}

/// A token in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let scopes = row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
        Self { name: row.name, scopes }
    }
}

impl Token {
    /// Whether it allows something.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// How the audit trail calls who uses it.
    pub fn actor(&self) -> String {
        format!("token {}", self.name)
    }
}

/// How exactly it is told when a token was last used.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// What every token begins with, so that it is known where it leaks.
const PREFIX: &str = "opportune_";

/// The hash under which a token is kept. Tokens are long and made by chance, so that no slow hash
/// is needed against guessing.
fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Something that nobody guesses.
fn secret() -> String {
    let mut chance = [0_u8; 32];
    rand::rngs::OsRng.fill_bytes(&mut chance);
    hex(&chance)
}

/// Makes a token; the secret, which is kept nowhere, or `None` when the name is taken.
pub async fn create(
    ctx: &Ctx,
    name: &Name,
    scopes: &[Scope],
    expires_at: Option<Instant>,
    actor: &str,
) -> Result<Option<String>, StoreError> {
    let secret = format!("{PREFIX}{}", secret());
    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let mut tx = ctx.store.begin().await?;
    let now = ctx.clock.now();
    if !tx.add_token(name, &hash(&secret), &words.join(" "), expires_at, now).await? {
        return Ok(None);
    }
    audit::note(ctx, &mut tx, actor, "create token", name.as_str(), &words.join(" ")).await?;
    tx.commit().await?;
    Ok(Some(secret))
}

/// The token with a secret, which is noted as used now.
pub async fn find(ctx: &Ctx, secret: &str) -> Result<Option<Token>, StoreError> {
    if !secret.starts_with(PREFIX) {
        return Ok(None);
    }
    let now = ctx.clock.now();
    let found = ctx.store.read().await?.token_by_hash(&hash(secret), now).await?;
    let Some(row) = found else { return Ok(None) };
    used(ctx, &row, now).await?;
    Ok(Some(row.into()))
}

async fn used(ctx: &Ctx, row: &TokenRow, now: Instant) -> Result<(), StoreError> {
    if row.last_used_at.is_none_or(|at| at + USE_NOTED_EVERY <= now) {
        let mut tx = ctx.store.begin().await?;
        tx.use_token(&row.name, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// For how long somebody who signed in stays so.
const SESSION: TimeDelta = TimeDelta::hours(12);

/// Somebody who signed in on the pages.
#[derive(Debug, Clone)]
pub struct Session {
    /// What the browser keeps.
    pub secret: String,
    /// With which token.
    pub token: Token,
}

impl Session {
    /// What a form of the pages carries, so that no other site can send one.
    pub fn form_key(&self) -> String {
        hash(&format!("form {}", self.secret))
    }
}

/// Signs in with a token's secret.
pub async fn sign_in(ctx: &Ctx, token: Token) -> Result<Session, StoreError> {
    let session = Session { secret: secret(), token };
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    tx.add_session(&hash(&session.secret), &session.token.name, now + SESSION, now).await?;
    tx.commit().await?;
    Ok(session)
}

/// The session that a browser keeps, if it is not over and its token is in use.
pub async fn session(ctx: &Ctx, secret: &str) -> Result<Option<Session>, StoreError> {
    let now = ctx.clock.now();
    let found = ctx.store.read().await?.token_of_session(&hash(secret), now).await?;
    let Some(row) = found else { return Ok(None) };
    used(ctx, &row, now).await?;
    Ok(Some(Session { secret: secret.to_owned(), token: row.into() }))
}

/// Signs out.
pub async fn sign_out(ctx: &Ctx, session: &Session) -> Result<(), StoreError> {
    let mut tx = ctx.store.begin().await?;
    tx.drop_session(&hash(&session.secret)).await?;
    tx.commit().await
}

/// All tokens, without their secrets.
pub async fn list(ctx: &Ctx) -> Result<Vec<TokenRow>, StoreError> {
    ctx.store.read().await?.tokens().await
}

/// Takes a token back at once; false when there is none in use of that name.
pub async fn revoke(ctx: &Ctx, name: &Name, actor: &str) -> Result<bool, StoreError> {
    let mut tx = ctx.store.begin().await?;
    let revoked = tx.revoke_token(name, ctx.clock.now()).await?;
    if revoked {
        audit::note(ctx, &mut tx, actor, "revoke token", name.as_str(), "").await?;
    }
    tx.commit().await?;
    Ok(revoked)
}
