//! `/api/v1`: campaigns looked at, submitted, paused, resumed and cancelled, with a bearer token
//! whose scopes allow it. Answers are JSON, errors too: `{"error": "…"}`.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::json;

use crate::model::ids::Name;
use crate::store::{CampaignRow, StoreError};
use crate::work::Ctx;
use crate::work::campaigns::{self, SubmitError, Wish};
use crate::work::tokens::{self, Scope, Token};

/// The routes below `/api/v1`.
pub(super) fn routes(ctx: &Ctx) -> Router<Ctx> {
    let read = Router::new()
        .route("/campaigns", get(list))
        .route("/campaigns/{name}", get(show))
        .route("/campaigns/{name}/results", get(results))
        .route("/status", get(status))
        .route_layer(middleware::from_fn_with_state((ctx.clone(), Scope::Read), allow));
    let submit = Router::new()
        .route("/campaigns", post(submit))
        .route_layer(middleware::from_fn_with_state((ctx.clone(), Scope::Submit), allow));
    let operate = Router::new()
        .route("/campaigns/{name}/{wish}", post(change))
        .route_layer(middleware::from_fn_with_state((ctx.clone(), Scope::Operate), allow));
    read.merge(submit)
        .merge(operate)
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such route"))
}

fn problem(status: StatusCode, text: impl std::fmt::Display) -> Response {
    (status, Json(json!({ "error": text.to_string() }))).into_response()
}

fn failed(error: &StoreError) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "a request to the API failed");
    problem(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer, try again")
}

/// Lets requests through whose token has the scope.
async fn allow(
    State((ctx, scope)): State<(Ctx, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match tokens::find(&ctx, secret).await {
        Err(error) => failed(&error),
        Ok(None) => {
            let told = problem(StatusCode::UNAUTHORIZED, "a valid bearer token is needed");
            ([(WWW_AUTHENTICATE, "Bearer")], told).into_response()
        }
        Ok(Some(token)) if !token.scopes.contains(&scope) => {
            problem(StatusCode::FORBIDDEN, format_args!("the token lacks the scope {scope}"))
        }
        Ok(Some(token)) => {
            request.extensions_mut().insert(token);
            next.run(request).await
        }
    }
}

async fn found(ctx: &Ctx, name: &str) -> Result<CampaignRow, Response> {
    let absent = || problem(StatusCode::NOT_FOUND, format_args!("there is no campaign {name:?}"));
    let name: Name = name.parse().map_err(|_| absent())?;
    ctx.store.campaign(&name).await.map_err(|error| failed(&error))?.ok_or_else(absent)
}

async fn list(State(ctx): State<Ctx>) -> Result<Response, Response> {
    let mut standings = Vec::new();
    for row in ctx.store.campaigns().await.map_err(|error| failed(&error))? {
        standings.push(campaigns::standing(&ctx, &row).await.map_err(|error| failed(&error))?);
    }
    Ok(Json(standings).into_response())
}

async fn show(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response, Response> {
    let row = found(&ctx, &name).await?;
    let standing = campaigns::standing(&ctx, &row).await.map_err(|error| failed(&error))?;
    Ok(Json(standing).into_response())
}

async fn results(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response, Response> {
    let row = found(&ctx, &name).await?;
    let results = campaigns::results(&ctx, &row).await.map_err(|error| failed(&error))?;
    Ok(Json(results).into_response())
}

async fn status(State(ctx): State<Ctx>) -> Result<Response, Response> {
    let status = campaigns::status(&ctx).await.map_err(|error| failed(&error))?;
    Ok(Json(status).into_response())
}

async fn submit(
    State(ctx): State<Ctx>,
    Extension(token): Extension<Token>,
    body: String,
) -> Result<Response, Response> {
    let campaign =
        campaigns::submit(&ctx, &body, &token.actor()).await.map_err(|error| match error {
            SubmitError::Store(error) => failed(&error),
            error => problem(StatusCode::UNPROCESSABLE_ENTITY, error),
        })?;
    Ok((StatusCode::CREATED, Json(json!({ "name": campaign.name }))).into_response())
}

async fn change(
    State(ctx): State<Ctx>,
    Extension(token): Extension<Token>,
    Path((name, wish)): Path<(String, String)>,
) -> Result<Response, Response> {
    let wish = match wish.as_str() {
        "pause" => Wish::Pause,
        "resume" => Wish::Resume,
        "cancel" => Wish::Cancel,
        _ => return Err(problem(StatusCode::NOT_FOUND, "it is none of pause, resume, cancel")),
    };
    let row = found(&ctx, &name).await?;
    let changed = campaigns::change(&ctx, &row, wish, &token.actor()).await;
    if !changed.map_err(|error| failed(&error))? {
        let text = format!("campaign {name} is {}", row.status);
        return Err(problem(StatusCode::CONFLICT, text));
    }
    show(State(ctx), Path(name)).await
}
