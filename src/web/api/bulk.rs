//! History and people in bulk: up to 1,000 items a request, each answered by itself, once all is durable.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{ApiProblem, Problems};
use super::request::{Body, Caller, Write};
use crate::work::Ctx;
use crate::work::import::{BulkItem, BulkKind, ITEMS_MAX, RowOutcome, items};

/// Items with the columns of a file as keys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkItems {
    /// Up to 1,000 of them.
    #[schema(value_type = Vec<Object>, max_items = 1000)]
    items: Vec<BulkItem>,
}

/// What became of items, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkAnswer {
    /// One for each item.
    items: Vec<RowOutcome>,
}

async fn take(
    ctx: &Ctx,
    kind: BulkKind,
    given: BulkItems,
    actor: &str,
) -> Result<Json<BulkAnswer>, ApiProblem> {
    if given.items.len() > ITEMS_MAX {
        let count = given.items.len();
        return Err(ApiProblem::wrong(
            "/items",
            format_args!("{count} are more than {ITEMS_MAX}; send them in several requests"),
        ));
    }
    Ok(Json(BulkAnswer { items: items(ctx, kind, &given.items, actor).await? }))
}

/// Adds people or updates them; keys are the columns of `recipients.csv`.
#[utoipa::path(post, path = "/recipients",
    request_body(content = BulkItems, example = json!({ "items": [{ "recipient": "c-1001",
        "address": "+5511987654321", "locale": "pt_BR", "country": "BR", "tags": ["newsletter"],
        "opted_in_at": "2026-03-01T12:00:00Z", "opt_in_source": "web form", "attr_name": "Ana" }] })),
    security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = BulkAnswer), Problems))]
pub(super) async fn recipients(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<BulkItems>,
) -> Result<Json<BulkAnswer>, ApiProblem> {
    take(&ctx, BulkKind::Recipients, given, &caller.actor()).await
}

/// Adds messages of the past; keys are the columns of `messages.csv`.
#[utoipa::path(post, path = "/messages",
    request_body(content = BulkItems, example = json!({ "items": [{ "message": "m-1",
        "recipient": "c-1001", "media": "image", "style": "product",
        "sent_at": "2026-09-01T13:00:00Z", "read_at": "2026-09-01T19:12:40Z" }] })),
    security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = BulkAnswer), Problems))]
pub(super) async fn messages(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<BulkItems>,
) -> Result<Json<BulkAnswer>, ApiProblem> {
    take(&ctx, BulkKind::Messages, given, &caller.actor()).await
}

/// Adds signs of presence; keys are the columns of `activity.csv`.
#[utoipa::path(post, path = "/activity",
    request_body(content = BulkItems, example = json!({ "items": [{ "recipient": "c-1001",
        "at": "2026-09-02T08:00:00Z", "kind": "session" }] })),
    security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = BulkAnswer), Problems))]
pub(super) async fn activity(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<BulkItems>,
) -> Result<Json<BulkAnswer>, ApiProblem> {
    take(&ctx, BulkKind::Activity, given, &caller.actor()).await
}

/// Takes in whom nobody must write to; keys are the columns of `opt-outs.csv`.
#[utoipa::path(post, path = "/opt-outs",
    request_body(content = BulkItems, example = json!({ "items": [{ "address": "+5511987654399",
        "at": "2026-09-02T08:00:00Z", "source": "call centre" }] })),
    security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = BulkAnswer), Problems))]
pub(super) async fn opt_outs(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<BulkItems>,
) -> Result<Json<BulkAnswer>, ApiProblem> {
    take(&ctx, BulkKind::OptOuts, given, &caller.actor()).await
}

/// Adds what happens to people, also in the future, or moves it; keys are the columns of `events.csv`.
#[utoipa::path(post, path = "/events",
    request_body(content = BulkItems, example = json!({ "items": [{ "recipient": "c-1001",
        "event": "appointment", "at": "2030-03-05T14:30:00Z", "key": "visit-17",
        "attr_doctor": "Dr. Lima" }] })),
    security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = BulkAnswer), Problems))]
pub(super) async fn events(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<BulkItems>,
) -> Result<Json<BulkAnswer>, ApiProblem> {
    take(&ctx, BulkKind::Events, given, &caller.actor()).await
}
