//! One person: the week, tastes, consent, and every message with why it went when it did.

use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{NoPage, maybe, moment};
use super::layout::page;
use super::visitor::Visitor;
use crate::model::ids::RecipientKey;
use crate::pictures::{Line, forest, scrolled_words, table, week};
use crate::web::app::App;
use crate::work::campaigns::reason_sentence;
use crate::work::people;
use crate::work::preferences::{self, PersonPreferences, Taste};
use crate::work::tokens::Scope;

/// Messages that are shown, the newest.
const MESSAGES_MAX: usize = 200;
/// Open campaigns of which it is told why they write to the person when they do.
const EXPLAINED_MAX: usize = 3;

fn path(key: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    format!("/people/{}", percent_encoding::utf8_percent_encode(key, KEPT))
}

/// A link to a person's page.
pub(super) fn link(key: &str) -> Markup {
    html! { a href=(path(key)) { (key) } }
}

#[derive(Deserialize)]
pub(super) struct SoughtPerson {
    id: String,
}

/// Leads to the person with an id.
pub(super) async fn find(
    visitor: Visitor,
    Query(SoughtPerson { id }): Query<SoughtPerson>,
) -> Result<Redirect, NoPage> {
    visitor.needs(Scope::People)?;
    Ok(Redirect::to(&path(id.trim())))
}

/// `/people/ID`
pub(super) async fn show(
    visitor: Visitor,
    Path(key): Path<String>,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    visitor.needs(Scope::People)?;
    let ctx = &app.ctx;
    let absent = || NoPage::absent("person with this id");
    let key: RecipientKey = key.parse().map_err(|_| absent())?;
    let recipient = ctx.store.read().await?.recipient(&key).await?.ok_or_else(absent)?;
    let known = preferences::of(ctx, &recipient).await;
    let known = known.map_err(|error| NoPage::failed(&error.outline()))?;
    let history = people::history(ctx, recipient.id).await?;
    let mut reasons = Vec::new();
    for delivery in history.open_deliveries().take(EXPLAINED_MAX) {
        let Ok(name) = delivery.parse() else { continue };
        let row = ctx.store.read().await?.campaign(&name).await?;
        let Some(row) = row.filter(|row| row.planned_at.is_some()) else { continue };
        let told = crate::work::plan::explain_in_words(ctx, row, &recipient).await;
        reasons.extend(told.map_err(|error| NoPage::failed(&error.outline()))?);
    }
    let profile = &recipient.profile;
    let body = html! {
        dl {
            dt { "Consent" }
            dd { @if recipient.consented { "yes" } @else { b { "no: never written to" } } }
            dt { "Address" } dd { (profile.address.as_ref().map_or("–".to_owned(), ToString::to_string)) }
            dt { "Clock" }
            dd { (known.time_zone) @if known.zone_inferred { " (inferred from country or dialling code)" } }
            dt { "Language" } dd { (profile.locale.as_ref().map_or("–".to_owned(), ToString::to_string)) }
            dt { "Country" } dd { (profile.country.as_ref().map_or("–".to_owned(), ToString::to_string)) }
            dt { "Tags" } dd {
                @if profile.tags.is_empty() { "–" } @else { (profile.tags.join(", ")) }
            }
        }
        h2 { "When" }
        (when(&known))
        @if !known.tastes.is_empty() { h2 { "With what" } (tastes(&known)) }
        @if !known.channels.is_empty() { h2 { "By which channel" } (channels(&known)) }
        @if !reasons.is_empty() { h2 { "Why, in campaigns that run" } }
        @for explained in &reasons {
            h3 { a href={ "/campaigns/" (explained.campaign) } { (explained.campaign) } }
            div.message { (explained.explanation) }
        }
        h2 { "Consent, word by word" }
        (consent(&history))
        h2 { "Messages" }
        (messages(&history))
    };
    Ok(page(&visitor, "/people", key.as_str(), &body))
}

fn when(known: &PersonPreferences) -> Markup {
    let hours: Vec<f64> = known.presence.iter().map(|figure| figure.mean).collect();
    let caption = "Presence in each hour of the person's own week, in per mille; a point marks hours \
        that are known to better than half their size.";
    let text = |hour: usize| {
        let figure = known.presence[hour];
        let sure = figure.high - figure.low < figure.mean;
        let mark = if sure { "·" } else { "" };
        Some(format!("{:.0}{mark}", 1000.0 * figure.mean))
    };
    html! {
        ul { @for sentence in &known.best_reached { li { (sentence) "." } } }
        p {
            (known.messages) " messages and " (known.signs_of_presence) " signs of presence, worth "
            (format!("{:.1}", known.evidence)) " observations today. "
            @if known.evidence > 0.0 {
                "Nearest chronotype: " (known.chronotype)
                " (" (format!("{:.0} %", 100.0 * known.chronotype_share)) ")."
            }
            @if let Some(change) = known.change_words() { " " (change) "." }
        }
        (week(caption, &hours, text))
    }
}

fn tastes(known: &PersonPreferences) -> Markup {
    let line = |taste: &Taste| (taste.content.clone(), taste.relative, taste.low, taste.high);
    figures(
        "Chance to engage, relative to the person's own average",
        "1 is the person's average; with 90 % ranges.",
        ["content", "relative chance"],
        known.tastes.iter().map(line),
    )
}

fn channels(known: &PersonPreferences) -> Markup {
    figures(
        "Chance to answer a marketing message",
        "A click, a reply or a conversion within three days of the delivery; with 90 % ranges.",
        ["channel", "chance"],
        known.channels.iter().map(|of| (of.channel.clone(), of.share, of.low, of.high)),
    )
}

/// Figures with their ranges, by name: a picture and a table.
fn figures(
    caption: &str,
    note: &str,
    header: [&str; 2],
    named: impl Iterator<Item = (String, f64, f64, f64)>,
) -> Markup {
    let line = |(name, value, low, high)| {
        let text = format!("{value:.2} ({low:.2} to {high:.2})");
        Line { name, value, interval: Some((low, high)), text }
    };
    let lines: Vec<Line> = named.map(line).collect();
    let rows: Vec<Vec<String>> =
        lines.iter().map(|line| vec![line.name.clone(), line.text.clone()]).collect();
    html! { (forest(caption, &lines)) (table(note, &header, &rows)) }
}

fn consent(history: &people::PersonHistory) -> Markup {
    html! {
        @if history.consent.is_empty() { p { "Nothing was said." } } @else {
            (scrolled_words("Consent", "", &["when", "what", "through", "evidence", "recorded"], &html! { @for entry in &history.consent { tr {
                        th scope="row" { (moment(entry.at)) }
                        td { (entry.change) } td { (entry.source) } td.text { (entry.evidence) }
                        td { (moment(entry.recorded_at)) }
                    } } }))
        }
    }
}

fn messages(history: &people::PersonHistory) -> Markup {
    html! {
        @if history.deliveries.is_empty() && history.messages.is_empty() { p { "None." } }
        @if !history.deliveries.is_empty() {
            (scrolled_words("Campaigns", "In campaigns of ours.", &["campaign", "state", "variant", "planned", "why"], &html! { @for delivery in &history.deliveries { tr {
                        th scope="row" { a href={ "/campaigns/" (delivery.campaign) } { (delivery.campaign) } }
                        td { (delivery.state) }
                        td { (delivery.variant.as_deref().unwrap_or_default()) }
                        td { (maybe(delivery.planned_at)) }
                        td.text { (reason_sentence(delivery.reason)) }
                    } } }))
        }
        @if !history.messages.is_empty() {
            (scrolled_words("Messages", &format!("All that were sent, by whomever, the newest {MESSAGES_MAX}."), &["sent", "campaign", "content", "read", "clicked", "replied"], &html! { @for message in history.messages.iter().rev().take(MESSAGES_MAX) { tr {
                        th scope="row" { (moment(message.sent_at)) }
                        td { (message.campaign.as_deref().unwrap_or_default()) }
                        td {
                            @if let Some(media) = message.media { (media) }
                            @if let Some(style) = &message.style { " " (style) }
                        }
                        td { (maybe(message.response.read_at)) }
                        td { (maybe(message.response.clicked_at)) }
                        td { (maybe(message.response.replied_at)) }
                    } } }))
        }
    }
}
