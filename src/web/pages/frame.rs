//! What every page is made of, and what a request is answered with that fails.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::model::time::{Instant, format_instant};
use crate::pictures::scrolling;
use crate::store::StoreError;

/// How long a page waits for sums over everybody; they are made to their end all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

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
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// People counted by something, with why; rows have a name, a number and a sentence.
pub(super) fn counted(label: &str, caption: &str, what: &str, rows: &Markup) -> Markup {
    let head = html! {
        th scope="col" { (what) } th scope="col" { "people" } th.text scope="col" { "why" }
    };
    scrolling(label, caption, &head, rows)
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
