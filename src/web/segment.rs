//! `/api/segment/v1`: what Segment and `RudderStack` post, in the shape of Segment's HTTP tracking
//! API, with a token as the user name of Basic authentication.
//!
//! Platforms send a request again unless it is answered with 200, so that a call that is refused is
//! told in the answer and keeps nothing else back.

use std::io::Read;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::admit;
use super::api::problem::ApiProblem;
use super::api::request::{Caller, Write};
use super::app::App;
use crate::model::Invalid;
use crate::model::time::parse_instant;
use crate::work::Ctx;
use crate::work::customer_data::{self, CustomerCall, IdentifyCall, RefusedCall, TrackCall};

/// The largest body, unpacked, in bytes; Segment takes as much.
const BODY_MAX: usize = 500 * 1024;
/// The most calls of a batch; Segment takes as many.
const CALLS_MAX: usize = 2500;

/// The routes, for whoever has a token.
pub(super) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/api/segment/v1/track", post(track))
        .route("/api/segment/v1/identify", post(identify))
        .route("/api/segment/v1/batch", post(batch))
        .layer(middleware::from_fn_with_state(app.clone(), known))
}

/// Finds out whose token it is.
async fn known(State(app): State<App>, request: Request, next: Next) -> Response {
    let secret = secret(request.headers()).unwrap_or_default();
    admit(&app, &secret, request, next).await
}

/// The token that a request carries: the user name of Basic authentication, or a bearer token.
fn secret(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = given.split_once(' ')?;
    let given = given.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(given.to_owned());
    }
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(given).ok())??;
    let pair = String::from_utf8(pair).ok()?;
    Some(pair.split(':').next().unwrap_or_default().to_owned())
}

/// What became of a request.
#[derive(Debug, Serialize)]
struct CallsAnswer {
    success: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<RefusedCall>,
    /// Calls of types that mean nothing here, such as `page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed_over: Option<usize>,
}

type Answered = Result<Json<CallsAnswer>, ApiProblem>;

async fn track(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    take(&ctx, &caller.actor(), vec![typed(object(&headers, &body)?, "track")]).await
}

async fn identify(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    take(&ctx, &caller.actor(), vec![typed(object(&headers, &body)?, "identify")]).await
}

async fn batch(
    caller: Caller<Write>,
    State(ctx): State<Ctx>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let Some(Value::Array(calls)) = object(&headers, &body)?.remove("batch") else {
        return Err(bad("batch: it is no list of calls"));
    };
    if calls.len() > CALLS_MAX {
        let told = format_args!("batch: {} calls are more than {CALLS_MAX}", calls.len());
        return Err(ApiProblem::new(StatusCode::BAD_REQUEST, told));
    }
    take(&ctx, &caller.actor(), calls).await
}

fn bad(told: &str) -> ApiProblem {
    ApiProblem::new(StatusCode::BAD_REQUEST, told)
}

/// The object in a body, packed with gzip or not.
fn object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, ApiProblem> {
    let encoding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |told| told.as_bytes());
    let mut unpacked = Vec::new();
    let mut body = body;
    if encoding.eq_ignore_ascii_case(b"gzip") {
        let mut reader = MultiGzDecoder::new(body).take(BODY_MAX as u64 + 1);
        reader.read_to_end(&mut unpacked).map_err(|_| bad("the body is no gzip"))?;
        body = &unpacked;
    }
    if body.len() > BODY_MAX {
        let told = format_args!("the body has more than {BODY_MAX} bytes");
        return Err(ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, told));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(bad("the body is no JSON object")),
        Err(cause) => Err(bad(&format!("the body is no JSON: {cause}"))),
    }
}

/// A call whose path says what it is.
fn typed(mut call: Map<String, Value>, kind: &str) -> Value {
    call.insert("type".to_owned(), kind.into());
    Value::Object(call)
}

async fn take(ctx: &Ctx, actor: &str, given: Vec<Value>) -> Answered {
    let (mut calls, mut refused, mut passed_over) = (Vec::new(), Vec::new(), 0);
    for (index, call) in given.into_iter().enumerate() {
        match read(call) {
            Ok(Some(call)) => calls.push((index, call)),
            Ok(None) => passed_over += 1,
            Err(detail) => refused.push(RefusedCall { index, detail }),
        }
    }
    refused.extend(customer_data::take(ctx, calls, actor).await?);
    refused.sort_by_key(|call| call.index);
    let passed_over = Some(passed_over).filter(|count| *count > 0);
    Ok(Json(CallsAnswer { success: true, refused, passed_over }))
}

/// A call as it came. What is not named here is not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCall {
    event: Option<String>,
    user_id: Option<UserId>,
    timestamp: Option<String>,
    /// `RudderStack`'s name of it.
    original_timestamp: Option<String>,
    message_id: Option<String>,
    properties: Option<Map<String, Value>>,
    traits: Option<Map<String, Value>>,
}

/// An id as programs write it.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a number is wanted")]
enum UserId {
    Text(String),
    Number(serde_json::Number),
}

/// Reads a call; `None` for a type that means nothing here.
fn read(call: Value) -> Result<Option<CustomerCall>, String> {
    let kind = match call.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        _ => return Err("type: it is missing; track or identify is wanted".to_owned()),
    };
    if !["track", "identify"].contains(&kind.as_str()) {
        return Ok(None);
    }
    let raw: RawCall = serde_path_to_error::deserialize(call)
        .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
    let told = |invalid: Invalid| invalid.to_string();
    let recipient = match raw.user_id {
        Some(UserId::Text(id)) if !id.trim().is_empty() => id.trim().to_owned(),
        Some(UserId::Number(id)) => id.to_string(),
        _ => return Err("userId: it is missing; nobody is known by anonymousId alone".to_owned()),
    };
    let recipient = recipient.parse().map_err(told)?;
    let at = raw.timestamp.or(raw.original_timestamp);
    let at = at.map(|at| parse_instant("timestamp", &at)).transpose().map_err(told)?;
    if kind == "identify" {
        let traits = raw.traits.unwrap_or_default();
        return Ok(Some(CustomerCall::Identify(IdentifyCall { recipient, at, traits })));
    }
    let event = raw.event.ok_or("event: it is missing; the name of what happened is wanted")?;
    Ok(Some(CustomerCall::Track(TrackCall {
        recipient,
        event: event.trim().parse().map_err(told)?,
        key: raw.message_id.map(|key| key.parse()).transpose().map_err(told)?,
        at,
        properties: raw.properties.unwrap_or_default(),
    })))
}
