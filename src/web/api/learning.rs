//! What is learned: versions of it, a new one, and how well it predicts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Body, Caller, Operate, Page, PageOf, Read};
use crate::model::time::Instant;
use crate::web::app::App;
use crate::work::evaluate::{self, Evaluation};
use crate::work::insights::Insight;
use crate::work::learn::{self, Depth, LearnError, Learned};
use crate::work::models::{self, ModelVersion};
use crate::work::{Ctx, audit};

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

/// How much is learned anew; the flags of `learn`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LearnFlags {
    /// Take this time as now, and ignore later rows.
    #[schema(value_type = Option<String>, format = DateTime)]
    as_of: Option<Instant>,
    /// Start over: read the whole history again, and choose settings.
    #[serde(default)]
    full: bool,
    /// With `full`: keep the settings in use.
    #[serde(default)]
    keep_settings: bool,
    /// Only follow the answers that came back since the last fit.
    #[serde(default)]
    refresh: bool,
}

impl LearnFlags {
    fn depth(&self) -> Result<Depth, ApiProblem> {
        match (self.full, self.keep_settings, self.refresh) {
            (true, true, false) => Ok(Depth::FullAtSettings),
            (true, false, false) => Ok(Depth::Full),
            (false, false, true) if self.as_of.is_none() => Ok(Depth::Refresh),
            (false, false, false) => Ok(Depth::Fit),
            (_, _, true) => Err(ApiProblem::wrong("/refresh", "it goes with no other flag")),
            (false, true, false) => Err(ApiProblem::wrong("/keep_settings", "it goes with full")),
        }
    }
}

/// Learns now, as the daemon does on its schedule; answers when the new version is in use.
#[utoipa::path(post, path = "/models", security(("token" = ["operate"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body(content = LearnFlags, example = json!({ "full": true, "keep_settings": true })),
    responses((status = 200, body = Learned), Problems))]
pub(super) async fn learn(
    caller: Caller<Operate>,
    State(ctx): State<Ctx>,
    Body(flags): Body<LearnFlags>,
) -> Result<Json<Learned>, ApiProblem> {
    let depth = flags.depth()?;
    if flags.as_of.is_some_and(|as_of| as_of > ctx.clock.now()) {
        return Err(ApiProblem::wrong("/as_of", "it lies in the future"));
    }
    let learned = match learn::run(&ctx, flags.as_of, depth, |_, _| ()).await {
        Ok(learned) => learned,
        Err(error @ LearnError::Busy) => return Err(ApiProblem::new(StatusCode::CONFLICT, error)),
        Err(error) => return Err(error.into()),
    };
    audit::record(&ctx, &caller.actor(), "learn", &format!("model {}", learned.version)).await?;
    Ok(Json(learned))
}

/// Which part of the history judges.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EvaluationAsked {
    /// The newer share of the history, which is predicted from the older; 0.3 unless given.
    #[param(minimum = 0.05, maximum = 0.9)]
    holdout: Option<f64>,
}

/// How well this model predicts the workspace's own history, beside the naive ones. It is computed once
/// for a version of the model and a share; the first request may take minutes.
#[utoipa::path(get, path = "/evaluation", params(EvaluationAsked), security(("token" = ["read"])),
    responses((status = 200, body = Evaluation), Problems))]
pub(super) async fn show_evaluation(
    _caller: Caller<Read>,
    Asked(asked): Asked<EvaluationAsked>,
    State(app): State<App>,
) -> Result<Json<Evaluation>, ApiProblem> {
    let holdout = asked.holdout.unwrap_or(evaluate::HOLDOUT_UNSET);
    if !evaluate::HOLDOUT.contains(&holdout) {
        let (low, high) = (evaluate::HOLDOUT.start(), evaluate::HOLDOUT.end());
        let told = format_args!("holdout: {holdout} is not between {low} and {high}");
        return Err(ApiProblem::new(StatusCode::BAD_REQUEST, told));
    }
    Ok(Json(app.evaluations.of_model_in_use(&app.ctx, holdout).await?))
}
