//! `/u/TOKEN`: the way out that mails carry (RFC 8058). A mailbox's own button posts; whoever follows the
//! address sees a button, since programs that look links over follow every one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use tokio::sync::OnceCell;

use crate::store::{StoreError, UnsubscribeKey};
use crate::work::{Ctx, unsubscribe};

const POLICY: &str =
    "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The key of tokens, once it was read.
#[derive(Clone, Default)]
pub(super) struct WayOut(Arc<OnceCell<UnsubscribeKey>>);

impl WayOut {
    async fn key(&self, ctx: &Ctx) -> Result<&UnsubscribeKey, StoreError> {
        self.0.get_or_try_init(|| ctx.store.unsubscribe_key()).await
    }
}

/// Shows the button, and changes nothing.
pub(super) async fn ask(
    State(ctx): State<Ctx>,
    State(way_out): State<WayOut>,
    Path(token): Path<String>,
) -> Response {
    match way_out.key(&ctx).await.map(|key| key.read(&token)) {
        Ok(Some(_)) => page(
            StatusCode::OK,
            "Unsubscribe",
            &html! {
                p { "You will get no more of these mails." }
                form method="post" { button { "Unsubscribe" } }
            },
        ),
        Ok(None) => absent(),
        Err(error) => failed(&error),
    }
}

/// Withdraws the person's consent for the provider.
pub(super) async fn leave(
    State(ctx): State<Ctx>,
    State(way_out): State<WayOut>,
    Path(token): Path<String>,
) -> Response {
    let done = async { unsubscribe::withdraw(&ctx, way_out.key(&ctx).await?, &token).await };
    match done.await {
        Ok(true) => page(
            StatusCode::OK,
            "Unsubscribed",
            &html! { p { "Done. You will get no more of these mails." } },
        ),
        Ok(false) => absent(),
        Err(error) => failed(&error),
    }
}

fn absent() -> Response {
    let told = html! { p { "This address is not complete. Open it from the mail itself." } };
    page(StatusCode::NOT_FOUND, "There is no such address", &told)
}

fn failed(error: &StoreError) -> Response {
    tracing::error!(error = error.outline(), "a way out could not be gone");
    let told = html! { p { "It could not be noted. Try again in a moment." } };
    page(StatusCode::SERVICE_UNAVAILABLE, "Try again", &told)
}

fn page(status: StatusCode, title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
            }
            body { main { h1 { (title) } (body) } }
        }
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, page).into_response()
}
