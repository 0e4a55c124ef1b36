//! `/l/TOKEN`: a person's own link. Whoever comes by is led on at once; who it was is written down a moment
//! later, many at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OnceCell, mpsc, watch};

use crate::model::link::uncounted;
use crate::store::{LinkKey, LinkVisit, StoreError};
use crate::work::{Ctx, visits};

/// Visits that wait to be written down; beyond, people are led on and not counted.
const WAITING_MAX: usize = 10_000;
/// Visits that are written down in one transaction.
const BATCH: usize = 500;
/// Links that are remembered; beyond, all are looked up anew.
const REMEMBERED_MAX: usize = 10_000;
/// Between tries to write down visits while the database is away.
const AGAIN: Duration = Duration::from_millis(500);

/// Where links lead, as far as it was asked, and who waits to be counted.
pub(super) struct LinkResolver {
    key: OnceCell<LinkKey>,
    /// By the link's number: where to; links never change.
    known: Mutex<HashMap<i64, String>>,
    visits: mpsc::Sender<LinkVisit>,
}

impl LinkResolver {
    /// The second part is read by [`write_down`].
    pub(super) fn new() -> (Self, mpsc::Receiver<LinkVisit>) {
        let (visits, waiting) = mpsc::channel(WAITING_MAX);
        (Self { key: OnceCell::new(), known: Mutex::default(), visits }, waiting)
    }

    async fn destination(&self, ctx: &Ctx, link: i64) -> Result<Option<String>, StoreError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&link).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let target = ctx.store.read().await?.link_target(link).await?;
        let Some(target) = target else { return Ok(None) };
        let destination = visits::destination(ctx, &target);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(link, destination.clone());
        Ok(Some(destination))
    }
}

/// Leads a person on.
pub(super) async fn follow(
    State(ctx): State<Ctx>,
    State(links): State<Arc<LinkResolver>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let absent = || (StatusCode::NOT_FOUND, "there is no such link\n").into_response();
    let found = async {
        let key = links.key.get_or_try_init(|| ctx.store.link_key()).await?;
        let Some(of) = key.read(&token) else { return Ok(None) };
        let destination = links.destination(&ctx, of.link).await?;
        Ok::<_, StoreError>(destination.map(|destination| (of, destination)))
    };
    match found.await {
        Ok(Some((of, destination))) => {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let uncounted = uncounted(request.method().as_str(), header);
            let visit = LinkVisit { of, at: ctx.clock.now(), uncounted };
            if links.visits.try_send(visit).is_err() {
                tracing::warn!("a visit of a link could not be counted: too many wait");
            }
            let headers = [
                (LOCATION, destination.as_str()),
                (CACHE_CONTROL, "no-store"),
                (REFERRER_POLICY, "no-referrer"),
            ];
            (StatusCode::FOUND, headers).into_response()
        }
        Ok(None) => absent(),
        Err(error) => {
            tracing::error!(error = error.outline(), "a link could not be looked up");
            (StatusCode::SERVICE_UNAVAILABLE, "try again\n").into_response()
        }
    }
}

/// Writes visits down until nobody can come any more, or `stop` is true and the database is away.
pub(super) async fn write_down(
    ctx: Ctx,
    mut waiting: mpsc::Receiver<LinkVisit>,
    stop: watch::Receiver<bool>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        loop {
            match visits::note(&ctx, &batch).await {
                Ok(()) => break,
                Err(error) => {
                    let error = error.outline();
                    let visits = batch.len();
                    tracing::warn!(error, visits, "visits of links are not written down yet");
                    if *stop.borrow() {
                        return;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        batch.clear();
    }
}
