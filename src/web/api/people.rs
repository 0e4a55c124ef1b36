//! Single persons: what is stored and known of them, what they agreed to, and that they are forgotten.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Body, Caller, NamedPerson, Operate, Page, PageOf, People, Write};
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::ids::{Name, RecipientKey};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::model::wish::Wishes;
use crate::store::Suppression;
use crate::work::Ctx;
use crate::work::people::{self, Erased, Ledger, Stored};
use crate::work::preferences::{self, PersonPreferences};

/// The person with an id.
pub(in crate::web) async fn find(ctx: &Ctx, key: &RecipientKey) -> Result<Recipient, ApiProblem> {
    let found = ctx.store.read().await?.recipient(key).await?;
    found.ok_or_else(|| ApiProblem::absent("such recipient"))
}

/// Everything that is stored of a person.
#[utoipa::path(get, path = "/recipients/{recipient}", params(("recipient" = String, Path)),
    security(("token" = ["people"])), responses((status = 200, body = Stored), Problems))]
pub(super) async fn stored(
    _caller: Caller<People>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
) -> Result<Json<Stored>, ApiProblem> {
    let recipient = find(&ctx, &key).await?;
    Ok(Json(people::stored(&ctx, recipient).await?))
}

/// What is known of a person's habits, from what evidence.
#[utoipa::path(get, path = "/recipients/{recipient}/preferences",
    params(("recipient" = String, Path)), security(("token" = ["people"])),
    responses((status = 200, body = PersonPreferences), Problems))]
pub(super) async fn show_preferences(
    _caller: Caller<People>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
) -> Result<Json<PersonPreferences>, ApiProblem> {
    let recipient = find(&ctx, &key).await?;
    Ok(Json(preferences::of(&ctx, &recipient).await?))
}

/// A person's ledger of consent.
#[utoipa::path(get, path = "/recipients/{recipient}/consent", params(("recipient" = String, Path)),
    security(("token" = ["people"])), responses((status = 200, body = Ledger), Problems))]
pub(super) async fn ledger(
    _caller: Caller<People>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
) -> Result<Json<Ledger>, ApiProblem> {
    let recipient = find(&ctx, &key).await?;
    Ok(Json(people::ledger(&ctx, recipient).await?))
}

/// What a person said.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Yes to being written to.
    #[serde(alias = "granted")]
    Grant,
    /// No more.
    #[serde(alias = "withdrawn")]
    Withdraw,
}

/// A word on consent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    /// What the person said.
    change: Said,
    /// When; now, if it is left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Instant>,
    /// Through what: a form, a call, a letter.
    source: Option<String>,
    /// What proves it.
    evidence: Option<String>,
    /// The provider that it holds for alone; all, if it is left out.
    #[schema(value_type = Option<String>)]
    provider: Option<Name>,
}

/// Appends to a person's ledger of consent.
#[utoipa::path(post, path = "/recipients/{recipient}/consent",
    params(("recipient" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = Word, example = json!({ "change": "grant", "source": "web form" })),
    security(("token" = ["write"])),
    responses((status = 200, body = Ledger), Problems))]
pub(super) async fn say(
    caller: Caller<Write>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
    Body(word): Body<Word>,
) -> Result<Json<Ledger>, ApiProblem> {
    let now = ctx.clock.now();
    if let Some(provider) = word.provider.as_ref().filter(|p| !ctx.config.providers.contains_key(p))
    {
        let told = format!("the settings have no [provider.{provider}]");
        return Err(ApiProblem::wrong("/provider", told));
    }
    let at = word.at.unwrap_or(now);
    if at > now {
        return Err(ApiProblem::wrong("/at", "it lies in the future"));
    }
    let text = |text: Option<String>, pointer, otherwise: &str| {
        let text = text.unwrap_or_else(|| otherwise.to_owned());
        if text.len() <= TEXT_MAX && !text.contains(char::is_control) {
            return Ok(text);
        }
        let wanted =
            format_args!("it is no text of at most {TEXT_MAX} bytes without control characters");
        Err(ApiProblem::wrong(pointer, wanted))
    };
    let entry = ConsentEntry {
        change: match word.change {
            Said::Grant => ConsentChange::Granted,
            Said::Withdraw => ConsentChange::Withdrawn,
        },
        at,
        source: text(word.source, "/source", "API")?,
        evidence: text(word.evidence, "/evidence", "")?,
        recorded_at: now,
        scope: ConsentScope { provider: word.provider, topic: None },
    };
    if !people::change_consent(&ctx, &key, entry, &caller.actor()).await? {
        return Err(ApiProblem::absent("such recipient"));
    }
    let recipient = find(&ctx, &key).await?;
    Ok(Json(people::ledger(&ctx, recipient).await?))
}

/// The longest source or evidence, in bytes.
const TEXT_MAX: usize = 1000;

/// Notes what a person states of messages, over what they stated before; plans obey it. An empty list
/// takes a word back.
#[utoipa::path(put, path = "/recipients/{recipient}/wishes",
    params(("recipient" = String, Path)),
    request_body(content = Wishes, example = json!({ "not_days": ["Sunday"],
        "only_dayparts": ["morning"], "only_media": ["text"] })),
    security(("token" = ["write"])), responses((status = 200, body = Wishes), Problems))]
pub(super) async fn wish(
    caller: Caller<Write>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
    Body(wishes): Body<Wishes>,
) -> Result<Json<Wishes>, ApiProblem> {
    let wishes = people::wish(&ctx, &key, &wishes, &caller.actor()).await?;
    wishes.map(Json).ok_or_else(|| ApiProblem::absent("such recipient"))
}

/// Erases a person everywhere.
#[utoipa::path(delete, path = "/recipients/{recipient}", params(("recipient" = String, Path)),
    security(("token" = ["write"])), responses((status = 200, body = Erased), Problems))]
pub(super) async fn forget(
    caller: Caller<Write>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
) -> Result<Json<Erased>, ApiProblem> {
    let erased = people::forget(&ctx, &key, &caller.actor()).await?;
    erased.map(Json).ok_or_else(|| ApiProblem::absent("such recipient"))
}

/// Whom channels do not reach, by their own word.
#[utoipa::path(get, path = "/suppressions", params(PageOf), security(("token" = ["people"])),
    responses((status = 200, body = Page<Suppression>), Problems))]
pub(super) async fn suppressions(
    _caller: Caller<People>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<Suppression>>, ApiProblem> {
    let limit = page.limit()?;
    let (person, provider) = page.after::<(String, String)>()?.unwrap_or_default();
    let found = ctx.store.read().await?.suppressions((&person, &provider), limit).await?;
    let next = found.last().filter(|_| found.len() == limit);
    let next = next.map(|last| (last.recipient.to_string(), last.provider.clone()));
    Ok(Json(Page::new(found, next)))
}

/// How many suppressions were removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    /// Of that person, by all channels.
    removed: u64,
}

/// Lets a person be tried again by every channel.
#[utoipa::path(delete, path = "/suppressions/{recipient}", params(("recipient" = String, Path)),
    security(("token" = ["operate"])), responses((status = 200, body = Removed), Problems))]
pub(super) async fn remove_suppressions(
    caller: Caller<Operate>,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
) -> Result<Json<Removed>, ApiProblem> {
    let recipient = find(&ctx, &key).await?;
    let removed = people::remove_suppressions(&ctx, recipient.id, &caller.actor()).await?;
    match removed {
        0 => Err(ApiProblem::new(StatusCode::NOT_FOUND, "no channel has suppressed that person")),
        removed => Ok(Json(Removed { removed })),
    }
}
