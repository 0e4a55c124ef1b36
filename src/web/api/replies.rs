//! What people wrote, by intent, and its correction.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Body, Caller, Operate, Page, PageOf, People};
use crate::model::ids::Name;
use crate::model::reply::Intent;
use crate::model::time::Instant;
use crate::store::{Reply, ReplyFilter};
use crate::web::app::App;
use crate::work::Ctx;
use crate::work::replies::{self, ReplyDigest, ReplyLabel};

/// Which replies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RepliesAsked {
    /// Only those of this intent: the label, else what they are taken for.
    intent: Option<Intent>,
    /// Only those to this campaign.
    #[param(value_type = Option<String>)]
    campaign: Option<Name>,
    /// Only those received at or after this.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Instant>,
    /// Only those at which somebody should look.
    needs_human: Option<bool>,
}

/// What people wrote, the newest first.
#[utoipa::path(get, path = "/replies", params(RepliesAsked, PageOf),
    security(("token" = ["people"])),
    responses((status = 200, body = Page<Reply>), Problems))]
pub(super) async fn list(
    _caller: Caller<People>,
    Asked(asked): Asked<RepliesAsked>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<Reply>>, ApiProblem> {
    let RepliesAsked { intent, campaign, since, needs_human } = asked;
    let needs_human = needs_human.unwrap_or(false);
    let filter = ReplyFilter { intent, campaign, since, needs_human };
    let (items, next) = replies::list(&ctx, &filter, page.after()?, page.limit()?).await?;
    Ok(Json(Page::new(items, next)))
}

fn absent() -> ApiProblem {
    ApiProblem::absent("such reply")
}

/// One reply.
#[utoipa::path(get, path = "/replies/{id}", params(("id" = i64, Path)),
    security(("token" = ["people"])), responses((status = 200, body = Reply), Problems))]
pub(super) async fn show(
    _caller: Caller<People>,
    Path(id): Path<String>,
    State(ctx): State<Ctx>,
) -> Result<Json<Reply>, ApiProblem> {
    let id = id.parse().map_err(|_| absent())?;
    replies::show(&ctx, id).await?.map(Json).ok_or_else(absent)
}

/// Corrects what a reply means; later texts are judged by it too, and plans obey what the person states in
/// it.
#[utoipa::path(post, path = "/replies/{id}/label",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = ReplyLabel,
        example = json!({ "intent": "not_now", "wishes": { "not_days": ["Sunday"] } })),
    security(("token" = ["operate"])), responses((status = 200, body = Reply), Problems))]
pub(super) async fn label(
    caller: Caller<Operate>,
    Path(id): Path<String>,
    State(app): State<App>,
    Body(label): Body<ReplyLabel>,
) -> Result<Json<Reply>, ApiProblem> {
    let id = id.parse().map_err(|_| absent())?;
    let labelled = replies::label(&app.ctx, id, &label, &caller.actor()).await?;
    app.digests.forget_all();
    labelled.map(Json).ok_or_else(absent)
}

/// From when on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DigestAsked {
    /// Seven days ago unless given.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Instant>,
}

/// Replies summed up: by intent and campaign, what is asked most, and what is new since yesterday.
#[utoipa::path(get, path = "/replies/digest", params(DigestAsked),
    security(("token" = ["people"])), responses((status = 200, body = ReplyDigest), Problems))]
pub(super) async fn digest(
    _caller: Caller<People>,
    Asked(DigestAsked { since }): Asked<DigestAsked>,
    State(app): State<App>,
) -> Result<Json<Arc<ReplyDigest>>, ApiProblem> {
    Ok(Json(app.digest(since).await?))
}
