//! `/api/v1`: what commands do, over HTTP, with a bearer token whose scopes allow it.
//!
//! Each handler describes itself; a route that is not in the document cannot be registered. What a route
//! answers is what the command of the same name prints with `--json`.

mod bulk;
pub(super) mod campaigns;
mod contents;
mod keyed;
mod learning;
pub(super) mod people;
pub(super) mod problem;
mod replies;
pub(super) mod request;
mod segments;
mod workspace;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problem::{ApiProblem, Wrong};
use super::access::Peer;
use crate::web::app::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "opportune",
        description = "Learns when and with what each person likes to be written to, plans campaigns \
            and sends them. Scopes of tokens: read, people, submit, operate, write."
    ),
    components(schemas(ApiProblem, Wrong))
)]
struct Document;

/// Every route of the API, with its description.
fn described() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(campaigns::list, campaigns::submit))
        .routes(routes!(campaigns::check))
        .routes(routes!(campaigns::show))
        .routes(routes!(campaigns::stored_plan, campaigns::plan_now))
        .routes(routes!(campaigns::show_results))
        .routes(routes!(contents::preview))
        .routes(routes!(contents::preview_file))
        .routes(routes!(contents::test))
        .routes(routes!(campaigns::export))
        .routes(routes!(campaigns::people))
        .routes(routes!(campaigns::explain))
        .routes(routes!(campaigns::pause))
        .routes(routes!(campaigns::resume))
        .routes(routes!(campaigns::cancel))
        .routes(routes!(people::stored, people::forget))
        .routes(routes!(people::show_preferences))
        .routes(routes!(people::ledger, people::say))
        .routes(routes!(people::wish))
        .routes(routes!(people::suppressions))
        .routes(routes!(people::remove_suppressions))
        .routes(routes!(replies::list))
        .routes(routes!(replies::digest))
        .routes(routes!(replies::show))
        .routes(routes!(replies::label))
        .routes(routes!(bulk::recipients))
        .routes(routes!(bulk::messages))
        .routes(routes!(bulk::activity))
        .routes(routes!(bulk::events))
        .routes(routes!(bulk::opt_outs))
        .routes(routes!(segments::list))
        .routes(routes!(segments::count, segments::save, segments::delete))
        .routes(routes!(workspace::status))
        .routes(routes!(workspace::list_audit))
        .routes(routes!(workspace::list_tokens))
        .routes(routes!(workspace::revoke_token))
        .routes(routes!(workspace::run_prune))
        .routes(routes!(learning::list_insights))
        .routes(routes!(learning::list_models, learning::learn))
        .routes(routes!(learning::roll_back))
        .routes(routes!(learning::show_evaluation))
        .routes(routes!(workspace::show_holdout));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", routes)
}

/// The routes, and the document that describes them.
pub(super) fn routes(app: &App) -> Router<App> {
    let (routes, mut document) = described().split_for_parts();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", scheme);
    // written once: it is large, and the same for all
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let document = ([(CONTENT_TYPE, "application/json")], document);
    routes
        .layer(middleware::from_fn_with_state(app.ctx.clone(), keyed::once))
        .layer(middleware::from_fn_with_state(app.clone(), known))
        .route("/api/v1/openapi.json", get(move || std::future::ready(document.clone())))
        .method_not_allowed_fallback(async || {
            ApiProblem::new(StatusCode::METHOD_NOT_ALLOWED, "the route has no such method")
        })
        .route("/api/v1/{*other}", axum::routing::any(async || ApiProblem::absent("such route")))
}

/// Finds out whose token it is; which scope it needs is said by each handler.
async fn known(State(app): State<App>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|given| given.split_once(' '));
    let bearer = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let secret = bearer.map_or("", |(_, secret)| secret.trim()).to_owned();
    admit(&app, &secret, request, next).await
}

/// Lets a request with a token's secret through, as that token's.
pub(super) async fn admit(app: &App, secret: &str, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let Some(Peer(peer)) = peer else {
        return ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "the caller has no address")
            .into_response();
    };
    match app.access.token(&app.ctx, peer, secret).await {
        Ok(token) => {
            request.extensions_mut().insert(token);
            next.run(request).await
        }
        Err(denied) => ApiProblem::from(denied).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths in what the router tells of itself.
    fn paths(routes: &impl std::fmt::Debug) -> BTreeSet<String> {
        let told = format!("{routes:?}");
        let quoted = told.split('"').filter(|text| text.starts_with("/api/v1/"));
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn every_route_is_in_the_document() {
        let (routes, document) = described().split_for_parts();
        let described: BTreeSet<String> = document.paths.paths.keys().cloned().collect();
        assert!(described.len() > 20, "{described:?}");
        assert_eq!(paths(&routes), described);
        // one that went around the document would be seen
        let more = routes.route("/api/v1/secret", get(async || ""));
        assert!(paths(&more).contains("/api/v1/secret"));
    }
}
