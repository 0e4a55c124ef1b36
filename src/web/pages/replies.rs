//! The inbox: what people wrote, first what needs a human, each with a form that corrects it.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{NoPage, card, count, moment};
use super::layout::page;
use super::person;
use super::visitor::{SentForm, Visitor};
use crate::model::reply::Intent;
use crate::model::time::parse_instant;
use crate::model::wish::Wishes;
use crate::pictures::scrolled_words;
use crate::store::{Reply, ReplyFilter};
use crate::web::app::App;
use crate::work::replies::{self, ReplyDigest, ReplyLabel};
use crate::work::tokens::Scope;

/// Replies of one page.
const LISTED: usize = 100;
/// Answers without a text that are shown, the newest.
const ANSWERS_MAX: usize = 200;

/// What the filter form sends; what is left empty filters nothing.
#[derive(Deserialize)]
pub(super) struct InboxFilter {
    #[serde(default)]
    intent: String,
    #[serde(default)]
    campaign: String,
    /// A day or an instant.
    #[serde(default)]
    since: String,
    before: Option<i64>,
}

impl InboxFilter {
    fn check(&self) -> Result<ReplyFilter, NoPage> {
        let bad = |error: crate::model::Invalid| {
            NoPage::new(axum::http::StatusCode::BAD_REQUEST, format!("{error}."))
        };
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let since = given(&self.since).map(|since| match since.len() {
            10 => format!("{since}T00:00:00Z"),
            _ => since,
        });
        Ok(ReplyFilter {
            intent: given(&self.intent).map(|text| text.parse()).transpose().map_err(bad)?,
            campaign: given(&self.campaign).map(|text| text.parse()).transpose().map_err(bad)?,
            since: since.map(|text| parse_instant("since", &text)).transpose().map_err(bad)?,
            needs_human: false,
        })
    }

    /// The address of the page with what is older than a reply.
    fn older(&self, before: i64) -> String {
        let pairs =
            [("intent", &self.intent), ("campaign", &self.campaign), ("since", &self.since)];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs).append_pair("before", &before.to_string());
        format!("/replies?{}", query.finish())
    }
}

/// `/replies`
pub(super) async fn show(
    visitor: Visitor,
    Query(asked): Query<InboxFilter>,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    visitor.needs(Scope::People)?;
    let filter = asked.check()?;
    let waiting = ReplyFilter { needs_human: true, ..filter.clone() };
    let (waiting, _) = replies::list(&app.ctx, &waiting, None, LISTED).await?;
    let (found, next) = replies::list(&app.ctx, &filter, asked.before, LISTED).await?;
    let digest = app.digest(filter.since).await?;
    let answers = app.ctx.store.read().await?.last_replies(ANSWERS_MAX).await?;
    let body = html! {
        (summed_up(&digest))
        h2 { "What needs a human" }
        @if waiting.is_empty() { p.good { "Nothing." } } @else {
            p {
                "These may ask for no more messages, and are not sure enough to end consent by themselves. "
                "Say what each means: " i { "stop" } " ends consent."
            }
            (listed(&visitor, "Replies that need a human", &waiting))
        }
        h2 { "All" }
        (filters(&asked))
        @if found.is_empty() { p { "No reply." } } @else { (listed(&visitor, "Replies", &found)) }
        @if let Some(next) = next { p { a href=(asked.older(next)) { "Older" } } }
        @if !answers.is_empty() {
            h2 { "Who answered a campaign" }
            (scrolled_words("Answers", "The newest first, with a text or without.",
                &["answered", "person", "campaign", "sent"], &html! { @for reply in &answers { tr {
                    th scope="row" { (moment(reply.replied_at)) }
                    td { (person::link(reply.recipient.as_str())) }
                    td { a href={ "/campaigns/" (reply.campaign) } { (reply.campaign) } }
                    td { (moment(reply.sent_at)) }
                } } }))
        }
    };
    Ok(page(&visitor, "/replies", "Replies", &body))
}

fn summed_up(digest: &ReplyDigest) -> Markup {
    html! {
        div.cards {
            (card("replies", count(digest.replies)))
            (card("need a human", count(digest.needs_human)))
            @for row in &digest.intents {
                (card(&format!("{}, {} in the last day, {} the day before",
                    row.intent, row.last_day, row.day_before), count(row.replies)))
            }
        }
        p.faint { "From " (moment(digest.since)) " to " (moment(digest.until)) "." }
        @if !digest.questions.is_empty() {
            h2 { "Asked most" }
            ol { @for asked in &digest.questions { li { (asked.text) " (" (count(asked.replies)) ")" } } }
        }
    }
}

fn choice(chosen: &str, empty: Option<&str>) -> Markup {
    html! {
        @if let Some(empty) = empty { option value="" { (empty) } }
        @for intent in Intent::ALL {
            option value=(intent) selected[chosen == intent.as_str()] { (intent) }
        }
    }
}

fn filters(asked: &InboxFilter) -> Markup {
    html! {
        form.fields action="/replies" method="get" {
            label { "Intent" select name="intent" { (choice(&asked.intent, Some("any"))) } }
            label { "Campaign" input name="campaign" value=(asked.campaign); }
            label { "Since" input name="since" type="date" value=(asked.since); }
            div { button type="submit" { "Filter" } }
        }
    }
}

fn listed(visitor: &Visitor, label: &str, replies: &[Reply]) -> Markup {
    let head = ["received", "person", "campaign", "text", "language", "means", "correct"];
    let rows = html! { @for reply in replies { tr {
        th scope="row" { (moment(reply.received_at)) }
        td { (person::link(reply.recipient.as_str())) }
        td { @if let Some(name) = &reply.campaign { a href={ "/campaigns/" (name) } { (name) } } }
        td.text dir="auto" { (reply.text) }
        td { (reply.language) }
        td {
            @match reply.label {
                Some(label) => { b { (label) } " (labelled)" }
                None => { (reply.intent) " (" (format!("{:.0} %", 100.0 * reply.probability)) ")" }
            }
        }
        td { @if visitor.may(Scope::Operate) { (form(visitor, reply)) } }
    } } };
    scrolled_words(label, "", &head, &rows)
}

fn form(visitor: &Visitor, reply: &Reply) -> Markup {
    let meant = reply.label.unwrap_or(reply.intent);
    html! {
        form.row action={ "/replies/" (reply.id) "/label" } method="post" {
            (visitor.form_key())
            select name="intent" aria-label="What it means" { (choice(meant.as_str(), None)) }
            details {
                summary { "and states" }
                @for (name, what, example) in WISHES {
                    label { (what) input name=(name) placeholder=(example); }
                }
            }
            button type="submit" { "Label" }
        }
    }
}

/// What a person may state: the field, what it is, and an example.
const WISHES: [(&str, &str, &str); 3] = [
    ("not_days", "Nothing on", "Sat, Sun"),
    ("only_dayparts", "Only in the", "morning, evening"),
    ("only_media", "Only with", "text"),
];

/// Words between commas; what is left empty is not stated.
#[derive(Deserialize)]
pub(super) struct LabelForm {
    intent: Intent,
    #[serde(default)]
    not_days: String,
    #[serde(default)]
    only_dayparts: String,
    #[serde(default)]
    only_media: String,
}

impl LabelForm {
    fn label(&self) -> Result<ReplyLabel, NoPage> {
        let words = |text: &str| -> Option<Vec<String>> {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            let words: Vec<String> = words.map(str::to_owned).collect();
            (!words.is_empty()).then_some(words)
        };
        let (days, parts) = (words(&self.not_days), words(&self.only_dayparts));
        let media = words(&self.only_media);
        let wishes = Wishes::from_words(days.as_deref(), parts.as_deref(), media.as_deref());
        let wishes = wishes
            .map_err(|error| NoPage::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
        Ok(ReplyLabel { intent: self.intent, wishes })
    }
}

/// Corrects what a reply means.
pub(super) async fn label(
    State(app): State<App>,
    Path(id): Path<String>,
    SentForm(visitor, form): SentForm<LabelForm>,
) -> Result<Redirect, NoPage> {
    visitor.needs(Scope::Operate)?;
    let absent = || NoPage::absent("such reply");
    let id = id.parse().map_err(|_| absent())?;
    let labelled = replies::label(&app.ctx, id, &form.label()?, &visitor.actor()).await?;
    app.digests.forget_all();
    labelled.map(|_| Redirect::to("/replies")).ok_or_else(absent)
}
