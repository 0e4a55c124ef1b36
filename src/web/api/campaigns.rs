//! Campaigns: looked at, checked, submitted, paused, resumed and cancelled.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::problem::{ApiProblem, Problems};
use super::request::{
    Asked, Caller, NamedCampaign, NamedPerson, Operate, Page, PageOf, People, Read, Submit,
    content_type, parse,
};
use super::workspace::Trying;
use crate::model::campaign::{RawCampaign, json_to_toml};
use crate::model::delivery::{Reason, State as Stands};
use crate::store::CampaignRow;
use crate::web::app::App;
use crate::work::campaigns::{CampaignSummary, OperatorCommand};
use crate::work::check::Checked;
use crate::work::export::{self, CampaignPerson, PeopleCursor, PeopleFilter};
use crate::work::plan::{self, CampaignPlan, Explained, PlanScope, Summary};
use crate::work::results::Results;
use crate::work::{Ctx, audit, campaigns, check};

/// All campaigns, the newest first.
#[utoipa::path(get, path = "/campaigns", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<CampaignSummary>), Problems))]
pub(super) async fn list(
    _caller: Caller<Read>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<CampaignSummary>>, ApiProblem> {
    let (found, next) = campaigns::page(&ctx, page.after()?, page.limit()?).await?;
    Ok(Json(Page::new(found, next)))
}

/// How a campaign stands.
#[utoipa::path(get, path = "/campaigns/{name}", params(("name" = String, Path)),
    security(("token" = ["read"])),
    responses((status = 200, body = CampaignSummary), Problems))]
pub(super) async fn show(
    _caller: Caller<Read>,
    NamedCampaign(row): NamedCampaign,
    State(ctx): State<Ctx>,
) -> Result<Json<CampaignSummary>, ApiProblem> {
    Ok(Json(campaigns::summary(&ctx, &row).await?))
}

/// The plan in figures, as it was stored.
#[utoipa::path(get, path = "/campaigns/{name}/plan", params(("name" = String, Path)),
    security(("token" = ["read"])), responses((status = 200, body = Summary), Problems))]
pub(super) async fn stored_plan(
    _caller: Caller<Read>,
    NamedCampaign(row): NamedCampaign,
) -> Result<Json<Value>, ApiProblem> {
    let plan = row.plan.as_deref().and_then(|plan| serde_json::from_str(plan).ok());
    let name = &row.campaign.name;
    let absent = || ApiProblem::absent(format_args!("plan of campaign {name} yet"));
    plan.map(Json).ok_or_else(absent)
}

/// Plans and stores now what the daemon would at its next step.
#[utoipa::path(post, path = "/campaigns/{name}/plan",
    params(("name" = String, Path), Trying, ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = ["operate"])), responses((status = 200, body = Summary), Problems))]
pub(super) async fn plan_now(
    caller: Caller<Operate>,
    NamedCampaign(row): NamedCampaign,
    Asked(Trying { dry_run }): Asked<Trying>,
    State(ctx): State<Ctx>,
) -> Result<Json<Summary>, ApiProblem> {
    if let Some(told) = plan::why_not(&row) {
        return Err(ApiProblem::new(StatusCode::CONFLICT, told));
    }
    let name = row.campaign.name.clone();
    let rows = vec![(row, PlanScope::Everybody)];
    let (_, plans) =
        if dry_run { plan::dry_run(&ctx, rows).await? } else { plan::decide(&ctx, rows).await? };
    if !dry_run {
        audit::record(&ctx, &caller.actor(), "plan", name.as_str()).await?;
    }
    let summary = plans.first().map(CampaignPlan::summary);
    summary.map(Json).ok_or_else(|| ApiProblem::absent(format_args!("plan of campaign {name}")))
}

/// What it brought, by arm.
#[utoipa::path(get, path = "/campaigns/{name}/results", params(("name" = String, Path)),
    security(("token" = ["read"])), responses((status = 200, body = Results), Problems))]
pub(super) async fn show_results(
    _caller: Caller<Read>,
    NamedCampaign(row): NamedCampaign,
    State(app): State<App>,
) -> Result<Json<Arc<Results>>, ApiProblem> {
    Ok(Json(app.results(&row).await?))
}

/// Which people of a campaign.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PeopleAsked {
    /// Only those in this state.
    state: Option<Stands>,
    /// Only those for this reason.
    reason: Option<Reason>,
}

/// The people of a campaign, with what became of them.
#[utoipa::path(get, path = "/campaigns/{name}/people",
    params(("name" = String, Path), PeopleAsked, PageOf), security(("token" = ["people"])),
    responses((status = 200, body = Page<CampaignPerson>), Problems))]
pub(super) async fn people(
    _caller: Caller<People>,
    NamedCampaign(row): NamedCampaign,
    Asked(asked): Asked<PeopleAsked>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<CampaignPerson>>, ApiProblem> {
    let PeopleAsked { state, reason } = asked;
    let after: PeopleCursor = page.after()?.unwrap_or_default();
    let filter = PeopleFilter { state, reason };
    let (found, next) = export::people(&ctx, &row, filter, after, page.limit()?).await?;
    Ok(Json(Page::new(found, next)))
}

/// The people of a campaign as the file that `campaign export` writes.
#[utoipa::path(get, path = "/campaigns/{name}/export", params(("name" = String, Path)),
    security(("token" = ["people"])),
    responses((status = 200, body = String, content_type = "text/csv"), Problems))]
pub(super) async fn export(
    _caller: Caller<People>,
    NamedCampaign(row): NamedCampaign,
    State(ctx): State<Ctx>,
) -> Result<Response, ApiProblem> {
    Ok(download(ctx, row))
}

/// People of a piece of a file that is told while it is read.
const PIECE: usize = 2000;

/// Everybody of a campaign as a CSV file, piece by piece; one that breaks off is not taken for whole.
pub(in crate::web) fn download(ctx: Ctx, row: CampaignRow) -> Response {
    let name = row.campaign.name.clone();
    let begin = Some(PeopleCursor::default());
    let pieces = try_unfold((ctx, row, begin), async |(ctx, row, from)| {
        let Some(after) = from else { return Ok(None) };
        let (text, next) =
            export::csv_piece(&ctx, &row, after, PIECE).await.inspect_err(|error| {
                tracing::error!(error = error.outline(), "an export broke off");
            })?;
        Ok::<_, crate::store::StoreError>(Some((text, (ctx, row, next))))
    });
    let file = format!("attachment; filename=\"{name}.csv\"");
    let headers =
        [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, file)];
    (headers, Body::from_stream(pieces)).into_response()
}

/// Why a person gets what a campaign's plan gives them.
#[utoipa::path(get, path = "/campaigns/{name}/people/{recipient}",
    params(("name" = String, Path), ("recipient" = String, Path)),
    security(("token" = ["people"])), responses((status = 200, body = Explained), Problems))]
pub(super) async fn explain(
    _caller: Caller<People>,
    NamedCampaign(row): NamedCampaign,
    NamedPerson(key): NamedPerson,
    State(ctx): State<Ctx>,
) -> Result<Json<Explained>, ApiProblem> {
    let recipient = super::people::find(&ctx, &key).await?;
    let explained = plan::explain_in_words(&ctx, row, &recipient).await?;
    explained.map(Json).ok_or_else(|| ApiProblem::absent("such person in the audience"))
}

/// The text of a campaign file, from TOML or JSON.
pub(super) async fn campaign_text(request: Request) -> Result<String, ApiProblem> {
    let told = content_type(&request);
    let bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let bytes =
        bytes.map_err(|_| ApiProblem::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
    match told.as_str() {
        "application/json" => Ok(json_to_toml(&parse(&bytes)?)?),
        "" | "application/toml" | "text/plain" => String::from_utf8(bytes.to_vec())
            .map_err(|_| ApiProblem::new(StatusCode::BAD_REQUEST, "the body is no UTF-8 text")),
        other => {
            let wanted =
                format_args!("the body is {other}; application/toml or application/json is wanted");
            Err(ApiProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted))
        }
    }
}

/// What a campaign would do now; nothing is stored.
#[utoipa::path(post, path = "/campaigns/check", security(("token" = ["submit"])),
    request_body(description = "A campaign file", content(
        (RawCampaign = "application/json", example = json!({ "name": "first", "provider": "console",
            "window": { "start": "2030-03-01T09:00:00", "end": "2030-03-07T21:00:00" },
            "audience": { "tags": ["newsletter"] },
            "variant": [{ "name": "words", "media": "text", "text": "Hello" }] })),
        (String = "application/toml"))),
    responses((status = 200, body = Checked), Problems))]
pub(super) async fn check(
    _caller: Caller<Submit>,
    State(ctx): State<Ctx>,
    request: Request,
) -> Result<Json<Checked>, ApiProblem> {
    let text = campaign_text(request).await?;
    Ok(Json(check::check(&ctx, &text).await?))
}

/// Stores a campaign; the daemon plans and sends it.
#[utoipa::path(post, path = "/campaigns", security(("token" = ["submit"])),
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body(description = "A campaign file", content(
        (RawCampaign = "application/json", example = json!({ "name": "first", "provider": "console",
            "window": { "start": "2030-03-01T09:00:00", "end": "2030-03-07T21:00:00" },
            "audience": { "tags": ["newsletter"] },
            "variant": [{ "name": "words", "media": "text", "text": "Hello" }] })),
        (String = "application/toml"))),
    responses((status = 201, body = Checked), Problems))]
pub(super) async fn submit(
    caller: Caller<Submit>,
    State(ctx): State<Ctx>,
    request: Request,
) -> Result<(StatusCode, Json<Checked>), ApiProblem> {
    let text = campaign_text(request).await?;
    let stored = check::submit(&ctx, &text, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(stored)))
}

async fn change(
    app: &App,
    row: &CampaignRow,
    command: OperatorCommand,
    actor: &str,
) -> Result<Json<CampaignSummary>, ApiProblem> {
    let (ctx, name) = (&app.ctx, &row.campaign.name);
    if !campaigns::change(ctx, row, command, actor).await? {
        let told = format_args!("campaign {name} is {}", row.status);
        return Err(ApiProblem::new(StatusCode::CONFLICT, told));
    }
    app.campaign_changed(name.as_str());
    let row = ctx.store.read().await?.campaign(name).await?;
    let row = row.ok_or_else(|| ApiProblem::absent(format_args!("campaign {name}")))?;
    Ok(Json(campaigns::summary(ctx, &row).await?))
}

/// Sends nothing more of it for now.
#[utoipa::path(post, path = "/campaigns/{name}/pause",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = ["operate"])),
    responses((status = 200, body = CampaignSummary), Problems))]
pub(super) async fn pause(
    caller: Caller<Operate>,
    NamedCampaign(row): NamedCampaign,
    State(app): State<App>,
) -> Result<Json<CampaignSummary>, ApiProblem> {
    change(&app, &row, OperatorCommand::Pause, &caller.actor()).await
}

/// Goes on with it.
#[utoipa::path(post, path = "/campaigns/{name}/resume",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = ["operate"])),
    responses((status = 200, body = CampaignSummary), Problems))]
pub(super) async fn resume(
    caller: Caller<Operate>,
    NamedCampaign(row): NamedCampaign,
    State(app): State<App>,
) -> Result<Json<CampaignSummary>, ApiProblem> {
    change(&app, &row, OperatorCommand::Resume, &caller.actor()).await
}

/// Ends it: whoever is only planned gets nothing.
#[utoipa::path(post, path = "/campaigns/{name}/cancel",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = ["operate"])),
    responses((status = 200, body = CampaignSummary), Problems))]
pub(super) async fn cancel(
    caller: Caller<Operate>,
    NamedCampaign(row): NamedCampaign,
    State(app): State<App>,
) -> Result<Json<CampaignSummary>, ApiProblem> {
    change(&app, &row, OperatorCommand::Cancel, &caller.actor()).await
}
