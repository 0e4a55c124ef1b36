//! The workspace as a whole: how it stands, who may use it, who did what.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Caller, Operate, Page, PageOf, Read};
use crate::model::ids::Name;
use crate::store::{AuditEntry, TokenRow};
use crate::web::app::App;
use crate::work::campaigns::Status;
use crate::work::holdout::HoldoutResult;
use crate::work::prune::{self, Mode, PruneSummary};
use crate::work::{Ctx, audit, campaigns, tokens};

/// How every campaign stands, and what the daemons do.
#[utoipa::path(get, path = "/status", security(("token" = ["read"])),
    responses((status = 200, body = Status), Problems))]
pub(super) async fn status(
    _caller: Caller<Read>,
    State(ctx): State<Ctx>,
) -> Result<Json<Status>, ApiProblem> {
    Ok(Json(campaigns::status(&ctx).await?))
}

/// Who did what, the newest first.
#[utoipa::path(get, path = "/audit", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<AuditEntry>), Problems))]
pub(super) async fn list_audit(
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
    State(app): State<App>,
) -> Result<Json<Arc<HoldoutResult>>, ApiProblem> {
    Ok(Json(app.holdout().await?))
}

/// Who may use the API, without the secrets.
#[utoipa::path(get, path = "/tokens", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<TokenRow>), Problems))]
pub(super) async fn list_tokens(
    _caller: Caller<Read>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<TokenRow>>, ApiProblem> {
    Ok(Json(Page::cut(tokens::list(&ctx).await?, &page)?))
}

/// Takes a token back at once. Tokens are made on the command line alone.
#[utoipa::path(delete, path = "/tokens/{token}", params(("token" = String, Path)),
    security(("token" = ["operate"])), responses((status = 200, body = Vec<TokenRow>), Problems))]
pub(super) async fn revoke_token(
    caller: Caller<Operate>,
    Path(token): Path<String>,
    State(ctx): State<Ctx>,
) -> Result<Json<Vec<TokenRow>>, ApiProblem> {
    let absent = || ApiProblem::absent("token of that name in use");
    let name: Name = token.parse().map_err(|_| absent())?;
    if !tokens::revoke(&ctx, &name, &caller.actor()).await? {
        return Err(absent());
    }
    Ok(Json(tokens::list(&ctx).await?))
}

/// Whether it is only tried.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Trying {
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Deletes what the settings' retention no longer keeps.
#[utoipa::path(post, path = "/prune", security(("token" = ["operate"])),
    params(Trying, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = PruneSummary), Problems))]
pub(super) async fn run_prune(
    caller: Caller<Operate>,
    Asked(Trying { dry_run }): Asked<Trying>,
    State(ctx): State<Ctx>,
) -> Result<Json<PruneSummary>, ApiProblem> {
    let mode = if dry_run { Mode::DryRun } else { Mode::Delete };
    let pruned = prune::run(&ctx, mode).await?;
    if !dry_run {
        audit::record(&ctx, &caller.actor(), "prune", "workspace").await?;
    }
    Ok(Json(PruneSummary { dry_run, pruned }))
}
