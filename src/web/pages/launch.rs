//! `/campaigns/new`: a campaign before its launch. It is planned on a copy of what is stored, as the
//! daemon would plan it now; what is tried instead is planned beside it, and the difference shown.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Multipart, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{NoPage, count};
use super::layout::page;
use super::visitor::{SentForm, Visitor};
use crate::web::app::App;
use crate::web::checks::{Looked, Progress};
use crate::work::launch::WhatIf;
use crate::work::tokens::Scope;
use crate::work::{campaigns, check};

mod drawn;

/// How long a page waits for its check before it says how far it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most of a campaign file that is taken.
const SOURCE_MAX: usize = 2 * 1024 * 1024;

#[derive(Deserialize)]
pub(super) struct ShownCheck {
    check: Option<String>,
}

/// What the form begins with.
const EXAMPLE: &str = r#"name = "spring-sale"
provider = "console"
goal = "read"
within = "2h"

[window]
start = 2030-03-01T09:00:00
end = 2030-03-07T21:00:00

[audience]
tags = ["newsletter"]

[[variant]]
name = "words"
media = "text"
text = "Hello {{name}}"
defaults = { name = "there" }

[arms]
personalized = 0.85
explore = 0.05
control = 0.10
control_time = "10:00"
"#;

/// `/campaigns/new`
pub(super) async fn show(
    visitor: Visitor,
    Query(ShownCheck { check: id }): Query<ShownCheck>,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    const TITLE: &str = "Check and launch a campaign";
    visitor.needs(Scope::Submit)?;
    let Some(id) = id else {
        let body = form(&visitor, EXAMPLE, &WhatIf::default(), "");
        return Ok(page(&visitor, "/campaigns", TITLE, &body));
    };
    let Some(check) = app.checks.find(&id) else {
        return Err(NoPage::absent("such check any more; check the campaign again"));
    };
    let mut stands = check.stands.subscribe();
    let done = stands.wait_for(|stands| matches!(stands, Progress::Done(_)));
    let _ = tokio::time::timeout(PATIENCE, done).await;
    let stands = check.stands.borrow().clone();
    let body = match stands {
        Progress::Doing(what) => html! {
            p role="status" data-again="1" {
                "It is being checked: " (what) ", for " (check.begun.elapsed().as_secs()) " s now."
            }
            noscript { p { a href={ "/campaigns/new?check=" (id) } { "Look again" } } }
        },
        Progress::Done(found) => {
            let (looked, tried) = &*found;
            html! {
                @match looked {
                    Ok(launch) => {
                        (drawn::launch(&app.ctx, &visitor, launch, tried.as_ref(), &check.person).await?)
                        form action="/campaigns/new/submit" method="post" {
                            (visitor.form_key())
                            input type="hidden" name="check" value=(id);
                            div.row {
                                button type="submit" name="what" value="file" { "Launch it as the file says" }
                                @if matches!(tried, Some(Ok(_))) {
                                    button type="submit" name="what" value="tried" { "Launch what was tried" }
                                }
                            }
                        }
                    }
                    Err(problem) => { (wrong("It cannot be launched:", problem)) }
                }
                h2 { "The campaign" }
                (form(&visitor, &check.source, &check.tried, &check.person))
            }
        }
    };
    Ok(page(&visitor, "/campaigns", TITLE, &body))
}

fn wrong(told: &str, problem: &str) -> Markup {
    html! {
        div.notice role="alert" {
            p { (told) }
            ul { @for line in problem.lines() { li { (line) } } }
        }
    }
}

fn form(visitor: &Visitor, source: &str, tried: &WhatIf, person: &str) -> Markup {
    let fields = [
        ("per_hour", "Messages an hour", &tried.per_hour),
        ("agents", "Agents", &tried.agents),
        ("budget", "Budget", &tried.budget),
        ("start", "Window from", &tried.start),
        ("end", "Window until", &tried.end),
        ("control", "Share of control", &tried.control),
    ];
    html! {
        form action="/campaigns/new" method="post" enctype="multipart/form-data" {
            (visitor.form_key())
            label { "Campaign file (TOML)"
                textarea id="source" name="source" spellcheck="false" { (source) }
            }
            label { "or a file from your disk"
                input type="file" name="file" accept=".toml,text/plain" data-into="source";
            }
            fieldset {
                legend { "What if? Fields that are filled are planned beside the file." }
                div.cards {
                    @for (name, label, value) in fields {
                        label { (label) input type="text" name=(name) value=(value); }
                    }
                }
            }
            @if visitor.may(Scope::People) {
                label { "Show how it reads for the person with this id"
                    input type="text" name="person" value=(person);
                }
            }
            div.row { button type="submit" { "Check" } }
        }
    }
}

/// A form with a file in it, from one of our pages.
pub(super) struct SentFile(Visitor, BTreeMap<String, String>);

impl FromRequest<App> for SentFile {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let bad = |told: &str| NoPage::new(StatusCode::BAD_REQUEST, told).into_response();
        let request = Request::from_parts(parts, body);
        let form = Multipart::from_request(request, app).await;
        let mut form = form.map_err(IntoResponse::into_response)?;
        let mut fields = BTreeMap::new();
        while let Some(field) = form.next_field().await.map_err(IntoResponse::into_response)? {
            let name = field.name().unwrap_or_default().to_owned();
            let text = field.text().await.map_err(|_| bad("The file is no UTF-8 text."))?;
            if text.len() > SOURCE_MAX {
                return Err(bad("The file is too large."));
            }
            fields.insert(name, text);
        }
        let key = fields.get("form_key").map_or("", String::as_str);
        visitor.sent(key).map_err(IntoResponse::into_response)?;
        Ok(Self(visitor, fields))
    }
}

/// Begins a check.
pub(super) async fn check(
    State(app): State<App>,
    SentFile(visitor, mut fields): SentFile,
) -> Result<Redirect, NoPage> {
    visitor.needs(Scope::Submit)?;
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let (file, source) = (take("file"), take("source"));
    // browsers end lines as mail does
    let source = if file.trim().is_empty() { source } else { file }.replace("\r\n", "\n");
    let tried = WhatIf {
        per_hour: take("per_hour"),
        agents: take("agents"),
        budget: take("budget"),
        start: take("start"),
        end: take("end"),
        control: take("control"),
    };
    let person = take("person").trim().to_owned();
    let id = app.checks.begin(&app.ctx, source, tried, person);
    Ok(Redirect::to(&format!("/campaigns/new?check={id}")))
}

#[derive(Deserialize)]
pub(super) struct Launched {
    check: String,
    what: String,
}

/// Stores a campaign that was checked.
pub(super) async fn submit(
    State(app): State<App>,
    SentForm(visitor, Launched { check: id, what }): SentForm<Launched>,
) -> Result<Redirect, NoPage> {
    visitor.needs(Scope::Submit)?;
    let Some(checked) = app.checks.find(&id) else {
        return Err(NoPage::absent("such check any more; check the campaign again"));
    };
    let wrong = |told: String| NoPage::new(StatusCode::UNPROCESSABLE_ENTITY, told);
    let source = match what.as_str() {
        "tried" => checked.tried.apply(&checked.source).map_err(wrong)?,
        _ => checked.source.clone(),
    };
    let stored = check::submit(&app.ctx, &source, &visitor.actor()).await;
    let stored = stored.map_err(|error| match error {
        campaigns::SubmitError::Store(error) => error.into(),
        error => wrong(error.to_string()),
    })?;
    app.fragments.forget("home");
    app.fragments.forget(&format!("campaigns {}", i64::MAX));
    Ok(Redirect::to(&format!("/campaigns/{}", stored.name)))
}

/// A step of the audience, or a figure of the plan, with its number.
fn number(number: u64) -> Markup {
    html! { td { (count(number)) } }
}
