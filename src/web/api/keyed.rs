//! `Idempotency-Key`: the same request with the same key gets the same answer for a day.
//!
//! A request is noted before it is worked on and its answer after, so that one that is sent twice at
//! once is done once. Where the daemon died between deed and answer, the request may be sent again
//! after a minute and is worked on again; all that can be posted is safe to post twice.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::problem::{ApiProblem, MEDIA_TYPE};
use crate::model::hash::hex;
use crate::store::KeyedRequest;
use crate::work::Ctx;
use crate::work::maintenance::ANSWERS_KEPT;
use crate::work::tokens::Token;

/// Longer than requests take: whoever worked on it died. What plans or learns may take longer, and is
/// done once at a time by its lease.
const DEAD_AFTER: TimeDelta = TimeDelta::minutes(1);
/// The longest key, in bytes.
const KEY_MAX: usize = 200;

/// Answers a request that was answered before as then.
pub(super) async fn once(State(ctx): State<Ctx>, request: Request, next: Next) -> Response {
    let key = request.headers().get("idempotency-key").map(HeaderValue::to_str);
    let token = request.extensions().get::<Token>().map(|token| token.name.clone());
    let (Some(key), Some(token), &Method::POST) = (key, token, request.method()) else {
        return next.run(request).await;
    };
    let Ok(key) = key.map(str::to_owned) else { return wrong_key() };
    if key.is_empty() || key.len() > KEY_MAX {
        return wrong_key();
    }
    answered(&ctx, (&token, &key), request, next).await.unwrap_or_else(ApiProblem::into_response)
}

fn wrong_key() -> Response {
    let wanted = format!("Idempotency-Key: it is not 1 to {KEY_MAX} visible characters");
    ApiProblem::new(StatusCode::BAD_REQUEST, wanted).into_response()
}

async fn answered(
    ctx: &Ctx,
    key: (&str, &str),
    request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    let (parts, body) = request.into_parts();
    // the listener has taken it in already, within its bound
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|_| ApiProblem::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
    let mut hash = Sha256::new();
    hash.update(parts.uri.to_string());
    hash.update([0]);
    hash.update(&body);
    let hash = hex(&hash.finalize());
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    let begun =
        tx.begin_keyed_request(key, &hash, now, (now - ANSWERS_KEPT, now - DEAD_AFTER)).await?;
    tx.commit().await?;
    match begun {
        KeyedRequest::Begun => {}
        KeyedRequest::UnderWay => {
            let told = "a request with this Idempotency-Key is being worked on, try again";
            return Err(ApiProblem::new(StatusCode::CONFLICT, told));
        }
        KeyedRequest::Other => {
            let told = "this Idempotency-Key was used for another request; take a new one";
            return Err(ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, told));
        }
        KeyedRequest::Answered { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let media_type = if status.is_success() { "application/json" } else { MEDIA_TYPE };
            return Ok((status, [(CONTENT_TYPE, media_type)], body).into_response());
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut tx = ctx.store.begin().await?;
    if parts.status.is_server_error() {
        tx.drop_keyed_request(key).await?;
    } else {
        let text = String::from_utf8_lossy(&body);
        tx.put_answer(key, parts.status.as_u16(), &text).await?;
    }
    tx.commit().await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}
