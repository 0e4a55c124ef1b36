//! The pages for people: what the API tells, drawn on the server; every page works without script.
//!
//! A page is for whoever signed in with a token and shows what its scopes allow. Forms carry a key that
//! no other site knows. Nothing is loaded from elsewhere, nothing is kept by proxies.

mod calendar;
mod campaign;
mod frame;
mod home;
mod knowledge;
mod launch;
mod layout;
mod live;
mod person;
mod replies;
mod settings;
mod visitor;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::pictures::STYLE;
use crate::web::app::App;

const SCRIPT: &str = include_str!("pages.js");

/// What the browser may do on our pages.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Every page.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(home::show))
        .route("/login", get(visitor::ask).post(visitor::sign_in))
        .route("/logout", post(visitor::sign_out))
        .route("/campaigns", get(campaign::list))
        .route("/campaigns/new", get(launch::show).post(launch::check))
        .route("/campaigns/new/submit", post(launch::submit))
        .route("/campaigns/{name}", get(campaign::show))
        .route("/campaigns/{name}/people", get(campaign::people))
        .route("/campaigns/{name}/export.csv", get(campaign::export))
        .route("/campaigns/{name}/{command}", post(campaign::change))
        .route("/calendar", get(calendar::show))
        .route("/people", get(person::find))
        .route("/people/{recipient}", get(person::show))
        .route("/insights", get(knowledge::insights))
        .route("/experiments", get(knowledge::experiments))
        .route("/replies", get(replies::show))
        .route("/replies/{id}/label", post(replies::label))
        .route("/settings", get(settings::show))
        .route("/live/home", get(home::live))
        .route("/live/campaigns/{name}", get(campaign::live))
        .layer(middleware::from_fn(guard))
        .route("/static/style.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/static/pages.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
}

fn asset(
    media_type: &'static str,
    text: &'static str,
) -> ([(HeaderName, &'static str); 3], &'static str) {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "private, max-age=300"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text)
}

/// Says to the browser what it may do, and to everybody on the way to keep nothing.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "private, no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // with none at all, browsers hide from us that a form is our own
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
