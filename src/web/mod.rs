//! The daemon's listener: webhooks in, health out.
//!
//! Bodies are bounded, signatures are checked over the raw bytes before anything is parsed, and an
//! update is answered only when it is durable. Never logs an address or a body.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::model::ids::Name;
use crate::provider::Rejected;
use crate::work::{Ctx, receive};

/// The largest webhook body: what the largest known channel posts.
const BODY_MAX: usize = 3 * 1024 * 1024;
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

/// Serves until `stop` turns true; requests under way are finished.
pub async fn serve(
    ctx: Ctx,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/webhooks/{provider}", post(webhook))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(ctx);
    let stopped = async move {
        // an error means that the daemon is gone, which is a stop as well
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(stopped).await
}

async fn ready(State(ctx): State<Ctx>) -> Response {
    match tokio::time::timeout(READY_TIMEOUT, ctx.store.ping()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

async fn webhook(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let provider = name.parse::<Name>().ok().and_then(|name| ctx.providers.get(&name).cloned());
    let Some(provider) = provider else {
        return (StatusCode::NOT_FOUND, "no such provider\n").into_response();
    };
    let signature =
        SIGNATURE_HEADERS.iter().find_map(|name| headers.get(*name)).and_then(|v| v.to_str().ok());
    let updates = match provider.receive(signature, &body) {
        Ok(updates) => updates,
        Err(rejected) => {
            let status = match rejected {
                Rejected::NoWebhook(_) => StatusCode::NOT_FOUND,
                Rejected::Signature => StatusCode::UNAUTHORIZED,
                Rejected::Body(_) => StatusCode::BAD_REQUEST,
            };
            return (status, format!("{rejected}\n")).into_response();
        }
    };
    match receive::apply(&ctx, updates).await {
        Ok(received) => axum::Json(received).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "updates are not stored");
            // the sender tries again
            (StatusCode::SERVICE_UNAVAILABLE, "not stored, try again\n").into_response()
        }
    }
}
