//! The workspace as a whole: how it stands, what is known of its people, who did what.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Caller, Operate, Page, PageOf, Read};
use crate::store::AuditEntry;
use crate::web::app::App;
use crate::work::campaigns::Status;
use crate::work::holdout::{self, HoldoutResult};
use crate::work::insights::Insight;
use crate::work::models::{self, ModelVersion};
use crate::work::{Ctx, campaigns};

/// How every campaign stands, and what the daemons do.
#[utoipa::path(get, path = "/status", security(("token" = ["read"])),
    responses((status = 200, body = Status), Problems))]
pub(super) async fn status(
    _caller: Caller<Read>,
    State(ctx): State<Ctx>,
) -> Result<Json<Status>, ApiProblem> {
    Ok(Json(campaigns::status(&ctx).await?))
}

/// What a marketer should know of the population.
#[utoipa::path(get, path = "/insights", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<Insight>), Problems))]
pub(super) async fn list_insights(
    _caller: Caller<Read>,
    Asked(page): Asked<PageOf>,
    State(app): State<App>,
) -> Result<Json<Page<Insight>>, ApiProblem> {
    let found = app.insights.of_model_in_use(&app.ctx).await?;
    Ok(Json(Page::cut(found.to_vec(), &page)?))
}

/// The versions of what was learned, the oldest first.
#[utoipa::path(get, path = "/models", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<ModelVersion>), Problems))]
pub(super) async fn list_models(
    _caller: Caller<Read>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<ModelVersion>>, ApiProblem> {
    Ok(Json(Page::cut(models::list(&ctx).await?, &page)?))
}

/// Puts an earlier version in use.
#[utoipa::path(post, path = "/models/{version}/rollback",
    params(("version" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = ["operate"])),
    responses((status = 200, body = ModelVersion), Problems))]
pub(super) async fn roll_back(
    caller: Caller<Operate>,
    Path(version): Path<String>,
    State(ctx): State<Ctx>,
) -> Result<Json<ModelVersion>, ApiProblem> {
    let absent = || ApiProblem::new(StatusCode::NOT_FOUND, "there is no such version of the model");
    let version: i64 = version.parse().map_err(|_| absent())?;
    if !models::roll_back(&ctx, version, &caller.actor()).await? {
        return Err(absent());
    }
    let found = models::list(&ctx).await?.into_iter().find(|model| model.version == version);
    found.map(Json).ok_or_else(absent)
}

/// Who did what, the newest first.
#[utoipa::path(get, path = "/audit", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<AuditEntry>), Problems))]
pub(super) async fn audit(
    _caller: Caller<Read>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<AuditEntry>>, ApiProblem> {
    let limit = page.limit()?;
    let found = ctx.store.read().await?.audit(page.after()?, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|(id, _)| *id);
    Ok(Json(Page::new(found.into_iter().map(|(_, deed)| deed).collect(), next)))
}

/// The standing holdout, and what all messages together bring.
#[utoipa::path(get, path = "/holdout", security(("token" = ["read"])),
    responses((status = 200, body = HoldoutResult), Problems))]
pub(super) async fn show_holdout(
    _caller: Caller<Read>,
    State(ctx): State<Ctx>,
) -> Result<Json<HoldoutResult>, ApiProblem> {
    Ok(Json(holdout::show(&ctx).await?))
}
