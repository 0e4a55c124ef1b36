//! History and people in bulk: up to 1,000 items a request, each answered by itself, once all is durable.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Problem, Problems};
use super::request::{Body, Caller, Write};
use crate::work::Ctx;
use crate::work::import::{BulkKind, ITEMS_MAX, Item, RowOutcome, items};

/// Items with the columns of a file as keys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Items {
    /// Up to 1,000 of them.
    #[schema(value_type = Vec<Object>, max_items = 1000)]
    items: Vec<Item>,
}

/// What became of items, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answers {
    /// One for each item.
    items: Vec<Answer>,
}

/// What became of an item.
#[derive(Debug, Serialize, ToSchema)]
struct Answer {
    /// In a word.
    status: Became,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Became {
    /// It was not known before.
    Created,
    /// It was known, and something was filled in or changed.
    Updated,
    /// It was known, and nothing changed.
    Unchanged,
    /// It was not taken.
    Refused,
}

impl From<RowOutcome> for Answer {
    fn from(outcome: RowOutcome) -> Self {
        let (status, detail) = match outcome {
            RowOutcome::Created => (Became::Created, None),
            RowOutcome::Updated => (Became::Updated, None),
            RowOutcome::Unchanged => (Became::Unchanged, None),
            RowOutcome::Refused(problem) => (Became::Refused, Some(problem)),
        };
        Self { status, detail }
    }
}

async fn take(
    ctx: &Ctx,
    kind: BulkKind,
    given: Items,
    actor: &str,
) -> Result<Json<Answers>, Problem> {
    if given.items.len() > ITEMS_MAX {
        let count = given.items.len();
        return Err(Problem::wrong(
            "/items",
            format_args!("{count} are more than {ITEMS_MAX}; send them in several requests"),
        ));
    }
    let outcomes = items(ctx, kind, &given.items, actor).await?;
    Ok(Json(Answers { items: outcomes.into_iter().map(Answer::from).collect() }))
}

/// Adds people or updates them; keys are the columns of `recipients.csv`.
#[utoipa::path(post, path = "/recipients", request_body = Items, security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answers), Problems))]
pub(super) async fn recipients(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<Items>,
) -> Result<Json<Answers>, Problem> {
    take(&ctx, BulkKind::Recipients, given, &caller.actor()).await
}

/// Adds messages of the past; keys are the columns of `messages.csv`.
#[utoipa::path(post, path = "/messages", request_body = Items, security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answers), Problems))]
pub(super) async fn messages(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<Items>,
) -> Result<Json<Answers>, Problem> {
    take(&ctx, BulkKind::Messages, given, &caller.actor()).await
}

/// Adds signs of presence; keys are the columns of `activity.csv`.
#[utoipa::path(post, path = "/activity", request_body = Items, security(("token" = ["write"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answers), Problems))]
pub(super) async fn activity(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    Body(given): Body<Items>,
) -> Result<Json<Answers>, Problem> {
    take(&ctx, BulkKind::Activity, given, &caller.actor()).await
}
