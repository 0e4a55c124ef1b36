//! The daemon's listener: webhooks in; health, metrics and the API out.
//!
//! Bodies are bounded, signatures are checked over the raw bytes before anything is parsed, and an
//! update is answered only when it is durable. Never logs an address or a body.

mod access;
mod api;
mod app;
mod checks;
mod links;
mod metrics;
mod pages;
mod segment;
mod serve;
mod shared;
mod unsubscribe;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Path, Query, RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::TryStreamExt;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::model::ids::Name;
use crate::provider::{Meter, Rejected};
use crate::work::tasks::Tasks;
use crate::work::{Ctx, receive};

use self::app::App;
use self::metrics::{Metrics, Webhook};
use self::shared::{COSTLY_PART, COSTLY_SUM, EVERY, Shared};

/// The largest webhook body: what the largest known channel posts.
const BODY_MAX: usize = 3 * 1024 * 1024;
/// What all bodies that are being read or worked on may hold together.
const BODIES_MAX: usize = 64 * 1024 * 1024;
/// Headers in which a channel may sign, in order of trial.
const SIGNATURE_HEADERS: [&str; 2] = ["x-opportune-signature", "x-hub-signature-256"];
/// How long readiness waits for the database.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}; another daemon may hold it, see daemon.listen")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    cause: std::io::Error,
}

/// Binds the listener of the settings.
pub async fn bind(ctx: &Ctx) -> Result<TcpListener, ListenError> {
    let address = ctx.config.listen;
    TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })
}

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take that plans a whole campaign or reads a whole history.
const LONG_TIMEOUT: Duration = Duration::from_mins(10);
/// How long the last visits of links may take to be written down once the daemon stops.
const LAST_VISITS: Duration = Duration::from_secs(3);
/// How long metrics wait for what the database tells.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until `stop` turns true; requests under way are finished.
pub async fn serve(
    ctx: Ctx,
    meter: Meter,
    tasks: Tasks,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) {
    let (links, waiting) = links::LinkResolver::new();
    let counting = tokio::spawn(links::write_down(ctx.clone(), waiting, stop.clone()));
    let app = App {
        metrics: Arc::new(Metrics::new(&meter)),
        ctx,
        tasks,
        access: Arc::default(),
        insights: Arc::default(),
        evaluations: Arc::default(),
        fragments: Shared::new(EVERY, COSTLY_PART),
        results: Shared::new(Duration::ZERO, COSTLY_SUM),
        holdout: Shared::new(Duration::ZERO, COSTLY_SUM),
        digests: Shared::new(Duration::ZERO, COSTLY_SUM),
        checks: Arc::default(),
        links: Arc::new(links),
        way_out: unsubscribe::WayOut::default(),
        stop: stop.clone(),
    };
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(tell_metrics))
        .route("/l/{token}", get(links::follow))
        .route("/u/{token}", get(unsubscribe::ask).post(unsubscribe::leave))
        .route("/webhooks/{provider}", get(verify).post(webhook))
        .merge(api::routes(&app))
        .merge(segment::routes(&app))
        .merge(pages::routes())
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(BODIES_MAX)), hold))
        .layer(middleware::from_fn(in_time))
        .with_state(app);
    serve::run(listener, routes, stop).await;
    // whoever was led on in the last moment is counted
    let _ = tokio::time::timeout(LAST_VISITS, counting).await;
}

/// Whether a request plans a whole campaign or reads a whole history.
fn is_long(request: &Request) -> bool {
    let Some(path) = request.uri().path().strip_prefix("/api/v1/") else { return false };
    match path {
        "campaigns/check" | "insights" | "models" | "evaluation" | "prune" => true,
        path => request.method() == Method::POST && path.ends_with("/plan"),
    }
}

/// Breaks off what takes too long: a body that trickles in, a database that hangs.
async fn in_time(request: Request, next: Next) -> Response {
    let most = if is_long(&request) { LONG_TIMEOUT } else { REQUEST_TIMEOUT };
    match tokio::time::timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "it took too long\n").into_response(),
    }
}

/// Takes in a request's body, piece by piece as there is room for it beside all others; who sent it
/// is not known yet. The room is free again once the request is answered.
async fn hold(State(room): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n").into_response();
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > BODY_MAX as u64 {
        return too_large();
    }
    let full =
        || (StatusCode::SERVICE_UNAVAILABLE, "too much at once, try again\n").into_response();
    let Ok(mut held) = room.try_acquire_many(0) else { return full() };
    let mut taken = Vec::new();
    let mut pieces = body.into_data_stream();
    loop {
        let piece = match pieces.try_next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(_) => return (StatusCode::BAD_REQUEST, "the body broke off\n").into_response(),
        };
        if taken.len() + piece.len() > BODY_MAX {
            return too_large();
        }
        // one permit for all: a body in tiny pieces holds no more than a body
        let Ok(permit) = room.try_acquire_many(piece.len() as u32) else { return full() };
        held.merge(permit);
        taken.extend_from_slice(&piece);
    }
    next.run(Request::from_parts(parts, Body::from(taken))).await
}

async fn tell_metrics(State(app): State<App>) -> Response {
    let counting = app.metrics.count(&app.ctx);
    let counted = tokio::time::timeout(METRICS_TIMEOUT, counting).await;
    // what this process knows by itself is told whatever the database does
    let up = match counted {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(error = error.outline(), "campaigns could not be counted for metrics");
            !error.is_transient()
        }
        Err(_) => false,
    };
    app.metrics.database_up.set(i64::from(up));
    app.metrics.take_tasks(&app.tasks);
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], app.metrics.text()).into_response()
}

/// Whether the database answers and every background task does its work; what does not is named.
async fn ready(State(app): State<App>) -> Response {
    let ping = async { app.ctx.store.read().await?.ping().await };
    let mut problems = app.tasks.problems(app.ctx.clock.now());
    if !matches!(tokio::time::timeout(READY_TIMEOUT, ping).await, Ok(Ok(()))) {
        problems.insert(0, "the database does not answer".to_owned());
    }
    if problems.is_empty() {
        return "ready\n".into_response();
    }
    let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Answers a channel that asks whether the address is ours.
async fn verify(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let provider = name.parse::<Name>().ok().and_then(|name| ctx.providers.get(&name));
    let Some(provider) = provider else {
        return (StatusCode::NOT_FOUND, "no such provider\n").into_response();
    };
    match provider.verify(&|key| query.get(key).cloned()) {
        Some(challenge) => challenge.into_response(),
        None => (StatusCode::FORBIDDEN, "not verified\n").into_response(),
    }
}

async fn webhook(
    State(app): State<App>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let ctx = &app.ctx;
    let found = name.parse::<Name>().ok().and_then(|name| {
        let provider = ctx.providers.get(&name).cloned();
        provider.map(|provider| (name, provider))
    });
    let Some((name, provider)) = found else {
        return (StatusCode::NOT_FOUND, "no such provider\n").into_response();
    };
    let begun = Stopwatch::now();
    let signature =
        SIGNATURE_HEADERS.iter().find_map(|name| headers.get(*name)).and_then(|v| v.to_str().ok());
    // a channel that signs in no header does so in the query
    let signature = signature.or(query.as_deref());
    let label = |result| Webhook { provider: name.to_string(), result };
    let told = match provider.receive(signature, &body) {
        Ok(told) => told,
        Err(rejected) => {
            let (status, result) = match rejected {
                Rejected::NoWebhook(_) => (StatusCode::NOT_FOUND, "no_webhook"),
                Rejected::Signature => (StatusCode::UNAUTHORIZED, "signature"),
                Rejected::Body(_) => (StatusCode::BAD_REQUEST, "body"),
            };
            app.metrics.posts.get_or_create(&label(result)).inc();
            return (status, format!("{rejected}\n")).into_response();
        }
    };
    match receive::take(ctx, &name, told).await {
        Ok(received) => {
            app.metrics.posts.get_or_create(&label("stored")).inc();
            for (result, count) in [
                ("applied", received.applied),
                ("known", received.known),
                ("unknown", received.unknown),
                ("unreadable", received.unreadable),
            ] {
                app.metrics.updates.get_or_create(&label(result)).inc_by(count);
            }
            app.metrics.webhook_seconds.observe(begun.elapsed().as_secs_f64());
            match provider.thanks() {
                Some(word) => word.into_response(),
                None => axum::Json(received).into_response(),
            }
        }
        Err(error) => {
            tracing::error!(error = error.outline(), "updates are not stored");
            app.metrics.posts.get_or_create(&label("not_stored")).inc();
            // the sender tries again
            (StatusCode::SERVICE_UNAVAILABLE, "not stored, try again\n").into_response()
        }
    }
}
