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
use crate::work::campaigns::{self, OperatorCommand, SubmitError};
use crate::work::insights;
use crate::work::tokens::{self, Scope, Token};
use crate::work::{Ctx, results};

/// The routes below `/api/v1`.
pub(super) fn routes(ctx: &Ctx) -> Router<Ctx> {
    let read = Router::new()
        .route("/campaigns", get(list))
        .route("/campaigns/{name}", get(show))
        .route("/campaigns/{name}/results", get(results))
        .route("/status", get(status))
        .route("/insights", get(insights))
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

/// An answer that tells what is wrong.
struct Problem(Response);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.0
    }
}

impl From<Response> for Problem {
    fn from(response: Response) -> Self {
        Self(response)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self(failed(&error))
    }
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

async fn found(ctx: &Ctx, name: &str) -> Result<CampaignRow, Problem> {
    let absent = || problem(StatusCode::NOT_FOUND, format_args!("there is no campaign {name:?}"));
    let name: Name = name.parse().map_err(|_| absent())?;
    ctx.store.read().await?.campaign(&name).await?.ok_or_else(|| absent().into())
}

async fn list(State(ctx): State<Ctx>) -> Result<Response, Problem> {
    Ok(Json(campaigns::status(&ctx).await?.campaigns).into_response())
}

async fn show(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response, Problem> {
    let row = found(&ctx, &name).await?;
    let standing = campaigns::summary(&ctx, &row).await?;
    Ok(Json(standing).into_response())
}

async fn results(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response, Problem> {
    let row = found(&ctx, &name).await?;
    let results = results::results(&ctx, &row).await?;
    Ok(Json(results).into_response())
}

async fn status(State(ctx): State<Ctx>) -> Result<Response, Problem> {
    let status = campaigns::status(&ctx).await?;
    Ok(Json(status).into_response())
}

async fn insights(State(ctx): State<Ctx>) -> Result<Response, Problem> {
    match insights::run(&ctx).await {
        Ok(found) => Ok(Json(found).into_response()),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "insights could not be computed");
            Err(problem(StatusCode::SERVICE_UNAVAILABLE, "insights could not be computed").into())
        }
    }
}

async fn submit(
    State(ctx): State<Ctx>,
    Extension(token): Extension<Token>,
    body: String,
) -> Result<Response, Problem> {
    let campaign =
        campaigns::submit(&ctx, &body, &token.actor()).await.map_err(|error| match error {
            SubmitError::Store(error) => Problem::from(error),
            error => problem(StatusCode::UNPROCESSABLE_ENTITY, error).into(),
        })?;
    Ok((StatusCode::CREATED, Json(json!({ "name": campaign.name }))).into_response())
}

async fn change(
    State(ctx): State<Ctx>,
    Extension(token): Extension<Token>,
    Path((name, wish)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let wish = match wish.as_str() {
        "pause" => OperatorCommand::Pause,
        "resume" => OperatorCommand::Resume,
        "cancel" => OperatorCommand::Cancel,
        _ => {
            return Err(
                problem(StatusCode::NOT_FOUND, "it is none of pause, resume, cancel").into()
            );
        }
    };
    let row = found(&ctx, &name).await?;
    let changed = campaigns::change(&ctx, &row, wish, &token.actor()).await;
    if !changed? {
        let text = format!("campaign {name} is {}", row.status);
        return Err(problem(StatusCode::CONFLICT, text).into());
    }
    show(State(ctx), Path(name)).await
}
