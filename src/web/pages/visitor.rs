//! Who looks: signing in with a token and out again, and forms that no other site can send.

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use super::frame::{NoPage, frame};
use crate::web::access::{Denied, Peer};
use crate::web::app::App;
use crate::work::tokens::{self, Scope, Session};

const COOKIE_NAME: &str = "opportune_session";
/// How long the browser keeps it, in seconds; the session itself ends at the same time.
const COOKIE_SECONDS: u32 = 12 * 3600;

/// Somebody who signed in.
pub(super) struct Visitor(Session);

impl Visitor {
    pub(super) fn name(&self) -> &str {
        &self.0.token.name
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.0.token.allows(scope)
    }

    /// How the audit trail calls the visitor.
    pub(super) fn actor(&self) -> String {
        self.0.token.actor()
    }

    /// What each form carries.
    pub(super) fn form_key(&self) -> Markup {
        html! { input type="hidden" name="form_key" value=(self.0.form_key()); }
    }

    /// Refuses a form that did not come from one of our pages.
    pub(super) fn sent(&self, key: &str) -> Result<(), NoPage> {
        if self.0.form_key().as_bytes().ct_eq(key.as_bytes()).into() {
            return Ok(());
        }
        let told = "This form did not come from a page of yours. Open the page again.";
        Err(NoPage::new(StatusCode::FORBIDDEN, told))
    }

    /// Refuses what the token does not allow.
    pub(super) fn needs(&self, scope: Scope) -> Result<(), NoPage> {
        if self.may(scope) {
            return Ok(());
        }
        let told = format!("The token {} lacks the scope {scope}.", self.name());
        Err(NoPage::new(StatusCode::FORBIDDEN, told))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|all| all.split(';'))
        .filter_map(|one| one.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE_NAME).then_some(value))
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let failed = |error: crate::store::StoreError| NoPage::from(error).into_response();
        if let Some(secret) = cookie(&parts.headers)
            && let Some(session) = tokens::session(&app.ctx, secret).await.map_err(failed)?
        {
            return Ok(Self(session));
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        Err(Redirect::to(&format!("/login?next={next}")).into_response())
    }
}

/// A form that one of our pages sent, by somebody whose token has the scope that it needs.
pub(super) struct SentForm<T>(pub(super) Visitor, pub(super) T);

#[derive(Deserialize)]
struct Keyed<T> {
    #[serde(default)]
    form_key: String,
    #[serde(flatten)]
    rest: T,
}

impl<T: DeserializeOwned> FromRequest<App> for SentForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let form = Form::<Keyed<T>>::from_request(request, app).await;
        let Form(Keyed { form_key, rest }) = form.map_err(IntoResponse::into_response)?;
        visitor.sent(&form_key).map_err(IntoResponse::into_response)?;
        Ok(Self(visitor, rest))
    }
}

/// Where to go after signing in: a path of ours.
fn path_of_ours(next: Option<&str>) -> &str {
    next.filter(|next| next.starts_with('/') && !next.starts_with("//") && !next.contains('\\'))
        .unwrap_or("/")
}

#[derive(Deserialize)]
pub(super) struct AfterSignIn {
    next: Option<String>,
}

/// The page that asks for a token.
pub(super) async fn ask(Query(AfterSignIn { next }): Query<AfterSignIn>) -> Markup {
    form(path_of_ours(next.as_deref()), None)
}

fn form(next: &str, problem: Option<&str>) -> Markup {
    let body = html! {
        @if let Some(problem) = problem { p.notice role="alert" { (problem) } }
        form.fields action="/login" method="post" {
            input type="hidden" name="next" value=(next);
            label { "Token"
                input type="password" name="token" required autofocus autocomplete="current-password";
            }
            div { button type="submit" { "Sign in" } }
        }
        p.faint { "Whoever runs the daemon makes one: " code { "opportune token create NAME --scope read" } }
    };
    frame("Sign in", &html! {}, &body)
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
    next: Option<String>,
}

/// Whether a form was sent by a page of another site, as the browser tells.
fn from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, of)| of != host),
        _ => false,
    }
}

/// Signs in with a token.
pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    axum::Extension(Peer(peer)): axum::Extension<Peer>,
    Form(SignIn { token, next }): Form<SignIn>,
) -> Response {
    let next = path_of_ours(next.as_deref());
    if from_elsewhere(&headers) {
        let told = "This form did not come from here. Open the page again.";
        return NoPage::new(StatusCode::FORBIDDEN, told).into_response();
    }
    let token = match app.access.token(&app.ctx, peer, token.trim()).await {
        Ok(token) => token,
        Err(Denied::Unknown) => {
            let page = form(next, Some("No such token is in use."));
            return (StatusCode::UNAUTHORIZED, page).into_response();
        }
        Err(Denied::TooMany(wait)) => {
            let told = format!("Too many wrong tokens: wait {} seconds.", wait.as_secs() + 1);
            return (StatusCode::TOO_MANY_REQUESTS, form(next, Some(&told))).into_response();
        }
        Err(Denied::Store(error)) => return NoPage::from(error).into_response(),
    };
    match tokens::sign_in(&app.ctx, token).await {
        Ok(session) => {
            let kept = kept(&headers, &session.secret, COOKIE_SECONDS);
            ([(SET_COOKIE, kept)], Redirect::to(next)).into_response()
        }
        Err(error) => NoPage::from(error).into_response(),
    }
}

/// The cookie; behind TLS it never travels without.
fn kept(headers: &HeaderMap, secret: &str, seconds: u32) -> String {
    let behind_tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if behind_tls { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[derive(Deserialize)]
pub(super) struct NoFields {}

/// Signs out.
pub(super) async fn sign_out(
    State(app): State<App>,
    headers: HeaderMap,
    SentForm(visitor, NoFields {}): SentForm<NoFields>,
) -> Response {
    match tokens::sign_out(&app.ctx, &visitor.0).await {
        Ok(()) => ([(SET_COOKIE, kept(&headers, "", 0))], Redirect::to("/login")).into_response(),
        Err(error) => NoPage::from(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere_after_signing_in() {
        for (next, path) in [
            ("/campaigns/x?a=b", "/campaigns/x?a=b"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
        ] {
            assert_eq!(path_of_ours(Some(next)), path);
        }
    }
}
