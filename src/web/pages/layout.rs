//! The frame of every page, and what a request is answered with that fails.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::visitor::Visitor;
use crate::model::time::{Instant, format_instant};
use crate::store::StoreError;
use crate::work::tokens::Scope;

/// The pages of the head line, and the scope that each needs.
const SITE: [(&str, &str, Scope); 7] = [
    ("/", "Now", Scope::Read),
    ("/campaigns", "Campaigns", Scope::Read),
    ("/calendar", "Calendar", Scope::Read),
    ("/insights", "Insights", Scope::Read),
    ("/experiments", "Experiments", Scope::Read),
    ("/replies", "Replies", Scope::People),
    ("/settings", "Settings", Scope::Read),
];

/// A page for somebody who signed in; `path` is the entry of the head line that it belongs to.
pub(super) fn page(visitor: &Visitor, path: &str, title: &str, body: &Markup) -> Markup {
    let allowed = SITE.iter().filter(|(_, _, scope)| visitor.may(*scope));
    let head = html! {
        nav.site aria-label="Site" {
            b { "opportune" }
            @for (to, name, _) in allowed {
                a href=(to) aria-current=[(*to == path).then_some("page")] { (name) }
            }
            @if visitor.may(Scope::People) {
                form action="/people" method="get" role="search" {
                    input type="search" name="id" placeholder="find a person by id"
                        aria-label="Find a person by id" required;
                }
            }
            form.end action="/logout" method="post" {
                (visitor.form_key())
                button.plain type="submit" { "Sign out " (visitor.name()) }
            }
        }
    };
    frame(title, &head, body)
}

/// A page for anybody.
pub(super) fn frame(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · opportune" }
                link rel="stylesheet" href="/static/style.css";
                script src="/static/pages.js" defer {}
            }
            body {
                header { (head) }
                main { h1 { (title) } (body) }
            }
        }
    }
}

/// Why there is no page.
pub(super) struct NoPage(StatusCode, String);

impl NoPage {
    pub(super) fn new(status: StatusCode, told: impl Into<String>) -> Self {
        Self(status, told.into())
    }

    pub(super) fn absent(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no {what}."))
    }

    /// Something that is not the visitor's fault: logged, not told.
    pub(super) fn failed(outline: &str) -> Self {
        tracing::error!(error = outline, "a page could not be made");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database does not answer. Try again in a moment.",
        )
    }
}

impl From<StoreError> for NoPage {
    fn from(error: StoreError) -> Self {
        Self::failed(&error.outline())
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        let Self(status, told) = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let body = html! { p { (told) } p { a href="/" { "Go to the first page" } } };
        (status, frame(title, &html! {}, &body)).into_response()
    }
}

/// An instant for people, in UTC.
pub(super) fn moment(at: Instant) -> Markup {
    html! { time datetime=(format_instant(at)) { (at.format("%Y-%m-%d %H:%M")) " UTC" } }
}

/// An instant for people, where there is one.
pub(super) fn maybe(at: Option<Instant>) -> Markup {
    html! { @if let Some(at) = at { (moment(at)) } @else { "–" } }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A figure with a name.
pub(super) fn card(name: &str, figure: impl Into<String>) -> Markup {
    html! { div.card { b { (figure.into()) } (name) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let counts = [7, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["7", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
