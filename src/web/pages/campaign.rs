//! Campaigns: all of them, one while it runs and after, and its people.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;

use super::frame::{NoPage, PATIENCE, card, count, counted, maybe, moment};
use super::home::table_of;
use super::layout::page;
use super::live::{self, events};
use super::visitor::{NoFields, SentForm, Visitor};
use crate::model::delivery::{Reason, State as Stands};
use crate::model::ids::Name;
use crate::pictures::{Line, bars, forest, percent, reliability, scrolled_words, stacked, table};
use crate::store::{CampaignRow, CampaignStatus};
use crate::web::api::campaigns::download;
use crate::web::app::App;
use crate::work::campaigns::{self, CampaignSummary, OperatorCommand, reason_sentence};
use crate::work::dispatch::usage::{self, LimitUse};
use crate::work::experiment::PartResult;
use crate::work::export::{self, PeopleCursor, PeopleFilter};
use crate::work::interval::Interval;
use crate::work::results::{CalibrationBand, Results};
use crate::work::tokens::Scope;

/// Campaigns of one page of the list.
const LISTED: usize = 50;
/// People of one page of the list.
const PEOPLE: usize = 200;

#[derive(Deserialize)]
pub(super) struct OlderThan {
    before: Option<i64>,
}

/// `/campaigns`
pub(super) async fn list(
    visitor: Visitor,
    axum::extract::Query(OlderThan { before }): axum::extract::Query<OlderThan>,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let name = format!("campaigns {}", before.unwrap_or(i64::MAX));
    let ctx = app.ctx.clone();
    let made = async move {
        let (found, next) = campaigns::page(&ctx, before, LISTED).await?;
        Ok(html! {
            (table_of(found.iter()))
            @if let Some(next) = next { p { a href={ "/campaigns?before=" (next) } { "Older ones" } } }
        })
    };
    let part = live::part(&app, &name, Box::pin(made)).await?;
    let body = html! {
        @if visitor.may(Scope::Submit) {
            p { a.button href="/campaigns/new" { "Check and launch a campaign" } }
        }
        (PreEscaped(&*part))
    };
    Ok(page(&visitor, "/campaigns", "Campaigns", &body))
}

/// The campaign of a path.
pub(super) async fn found(app: &App, name: &str) -> Result<CampaignRow, NoPage> {
    let absent = || NoPage::absent("such campaign");
    let name: Name = name.parse().map_err(|_| absent())?;
    app.ctx.store.read().await?.campaign(&name).await?.ok_or_else(absent)
}

/// What runs of it, made once for all who look.
async fn running(app: &App, name: &str) -> Result<Arc<str>, NoPage> {
    let (own, name) = (app.clone(), name.to_owned());
    let part = format!("campaign {name}");
    let made = async move {
        let (app, name) = (&own, &*name);
        let row = found(app, name).await?;
        let summary = campaigns::summary(&app.ctx, &row).await?;
        let since = app.ctx.clock.now() - chrono::TimeDelta::minutes(1);
        let mut reader = app.ctx.store.read().await?;
        let rate = reader.sent_count(Some(row.id), since).await?;
        let retries = reader.retry_count(row.id).await?;
        let templates = reader.templates(&row.campaign.provider).await?;
        drop(reader);
        let open = matches!(row.status, CampaignStatus::Active | CampaignStatus::Paused);
        let limits = if open { usage::of_campaign(&app.ctx, &row).await? } else { Vec::new() };
        let mine = row.campaign.variants.iter().filter_map(|v| v.template.as_deref());
        let mine: Vec<&str> = mine.collect();
        Ok(html! {
            div.cards {
                (card("status", summary.status.clone()))
                (card("sent in the last minute", count(rate)))
                (card("due now", count(summary.due)))
                (card("late by more than a minute", count(summary.late)))
                (card("wait for another try", count(retries)))
                (card("wait for a new decision", count(summary.undecided)))
            }
            dl {
                dt { "Planned" } dd { (maybe(summary.planned_at)) }
                dt { "Next message" } dd { (maybe(summary.next_due)) }
            }
            (states(name, &summary))
            (limits_used(&limits))
            @if !summary.failures.is_empty() {
                (table("Failures by the channel's code, in words.", &["code", "people", "what it means"],
                    &summary.failures.iter().map(|f| vec![
                        f.code.clone(), count(f.people), f.text.clone().unwrap_or_default(),
                    ]).collect::<Vec<_>>()))
            }
            @for template in templates.iter().filter(|t| mine.contains(&t.template.as_str())) {
                p {
                    "Template " b { (template.template) } " " (template.language) ": "
                    (template.stage) ", " (template.remaining) " messages left of its trial. "
                    (template.reason)
                }
            }
        })
    };
    live::part(app, &part, Box::pin(made)).await
}

/// How much is used of the limits that messages go out under.
fn limits_used(limits: &[LimitUse]) -> Markup {
    let row = |limit: &LimitUse| {
        let LimitUse { what, used, most } = limit;
        let shown = if used.fract() == 0.0 { count(*used as u64) } else { format!("{used:.1}") };
        let share = percent(used / f64::from((*most).max(1)));
        vec![(*what).to_owned(), shown, count(u64::from(*most)), share]
    };
    let rows: Vec<Vec<String>> = limits.iter().map(row).collect();
    html! {
        @if !rows.is_empty() {
            (table("Limits, and how much of them is used.", &["limit", "used", "of", "share"], &rows))
        }
    }
}

/// Everybody by state and reason; the rows add up to the audience, and each opens who they are.
fn states(name: &str, summary: &CampaignSummary) -> Markup {
    html! {
        (counted("Everybody, by state and reason", "Everybody, by state and reason; the rows add up to the audience.", "state", &html! { @for of in &summary.states { tr {
                        th scope="row" {
                            a href={ "/campaigns/" (name) "/people?state=" (of.state) "&reason=" (of.reason) } {
                                (of.state) ", " (of.reason)
                            }
                        }
                        td { (count(of.people)) }
                        td.text { (reason_sentence(of.reason)) }
                    } }
                    tr { th scope="row" { "audience" } td { (count(summary.audience)) } td {} } }))
    }
}

/// `/campaigns/N`
pub(super) async fn show(
    visitor: Visitor,
    Path(name): Path<String>,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let row = found(&app, &name).await?;
    let part = running(&app, row.campaign.name.as_str()).await?;
    let name = row.campaign.name.as_str();
    let results = tokio::time::timeout(PATIENCE, app.results(&row)).await;
    let results = results.ok().transpose()?;
    let body = html! {
        @if visitor.may(Scope::Operate) { (buttons(&visitor, &row)) }
        div data-live={ "/live/campaigns/" (name) } { (PreEscaped(&*part)) }
        (plan_of(&row))
        @match &results {
            Some(results) => { (what_it_brought(results)) (calibration(&results.calibration)) }
            None => {
                h2 { "What it brought" }
                p role="status" { "This is being summed up; look again in a moment." }
            }
        }
        @if visitor.may(Scope::People) {
            p { a href={ "/campaigns/" (name) "/export.csv" } download {
                "Download everybody of it as a CSV file"
            } }
        }
    };
    Ok(page(&visitor, "/campaigns", name, &body))
}

/// `/campaigns/N/export.csv`
pub(super) async fn export(
    visitor: Visitor,
    Path(name): Path<String>,
    State(app): State<App>,
) -> Result<Response, NoPage> {
    visitor.needs(Scope::People)?;
    let row = found(&app, &name).await?;
    Ok(download(app.ctx.clone(), row))
}

fn buttons(visitor: &Visitor, row: &CampaignRow) -> Markup {
    let status = row.status.to_string();
    let doable: &[(&str, &str, bool)] = match status.as_str() {
        "active" => &[("pause", "Pause", false), ("cancel", "Cancel for good", true)],
        "paused" => &[("resume", "Resume", false), ("cancel", "Cancel for good", true)],
        _ => &[],
    };
    html! {
        div.row {
            @for (verb, name, danger) in doable {
                form action={ "/campaigns/" (row.campaign.name) "/" (verb) } method="post" {
                    (visitor.form_key())
                    button.danger[*danger] type="submit" { (name) }
                }
            }
        }
    }
}

fn plan_of(row: &CampaignRow) -> Markup {
    let plan: Option<serde_json::Value> =
        row.plan.as_deref().and_then(|plan| serde_json::from_str(plan).ok());
    let Some(plan) = plan else { return html! {} };
    let hours = plan["by_local_hour"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut local = [0; 24];
    for (hour, planned) in local.iter_mut().zip(hours) {
        *hour = planned.as_u64().unwrap_or_default();
    }
    let loads = plan["by_hour"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |load: &serde_json::Value| {
        let start = load["start"].as_str().unwrap_or_default();
        start.get(5..16).unwrap_or_default().replace('T', " ")
    };
    let spans: Vec<String> = loads.iter().map(text).collect();
    let of = |key: &str| loads.iter().map(|load| load[key].as_u64().unwrap_or(0)).collect();
    let most: Vec<Option<u64>> = loads.iter().map(|load| load["capacity"].as_u64()).collect();
    if local.iter().all(|planned| *planned == 0) {
        return html! { h2 { "The plan" } p { "Nothing of it waits to be sent." } };
    }
    html! {
        h2 { "The plan" }
        p { (plan["certificate"]["statement"].as_str().unwrap_or_default()) }
        (bars("Planned messages by hour of the recipients' own clocks", &local))
        (stacked("Planned messages by hour of UTC, with the capacity of bounded hours", &spans,
            &[("planned here".to_owned(), of("planned")), ("taken before".to_owned(), of("reserved"))],
            &most))
    }
}

fn what_it_brought(results: &Results) -> Markup {
    let sent = results.arms.iter().any(|arm| arm.sent > 0);
    if !sent {
        return html! { h2 { "What it brought" } p { "Nothing was sent yet." } };
    }
    let line = |(name, of): (String, Interval)| Line {
        name,
        value: 100.0 * of.mean,
        interval: Some((100.0 * of.low, 100.0 * of.high)),
        text: of.percent(),
    };
    let arms = results.arms.iter().filter(|arm| arm.people > 0);
    let lines: Vec<Line> =
        arms.clone().map(|arm| line((arm.arm.to_string(), arm.engagement))).collect();
    let rows: Vec<Vec<String>> = arms
        .map(|arm| {
            vec![
                arm.arm.to_string(),
                count(arm.people),
                count(arm.sent),
                count(arm.delivered),
                count(arm.engaged),
                arm.engagement.percent(),
                arm.engagement_of_sent.map(Interval::percent).unwrap_or_default(),
                arm.forecast.map(percent).unwrap_or_default(),
                count(arm.opted_out),
            ]
        })
        .collect();
    let columns = results.columns();
    let head = columns.each_ref().map(String::as_str);
    html! {
        h2 { "What it brought" }
        p.faint { "As of " (moment(results.counted_at)) "." }
        (forest("Engagement of the people assigned, by arm, per cent", &lines))
        (table("Compare arms by people assigned; arms differ in whom their messages reach.", &head, &rows))
        @if let Some(lift) = results.lift_adjusted.or(results.lift) {
            p {
                "Personalized minus control, of people assigned: " b { (lift.points()) }
                ". The interval holds while somebody looks every day."
            }
        }
        @if let Some(spend) = &results.spend { p { (spend.sentence()) } }
        @for fallback in &results.fallbacks { p { (fallback.sentence()) } }
        @if let Some(experiment) = &results.experiment {
            @if experiment.mismatch.is_some_and(|mismatch| mismatch.alarm) {
                p.notice role="alert" {
                    "The arms are not as large as their shares say, by more than chance: something loses "
                    "people of one arm. Do not compare before it is found."
                }
            }
            (parts("Variants beside each other, drawn at random", &experiment.variants))
            (parts("Personalized minus control, by country, the largest", &experiment.countries))
            (parts("Personalized minus control, by tag, the largest", &experiment.tags))
        }
    }
}

/// What was forecast against what came true.
fn calibration(bands: &[CalibrationBand]) -> Markup {
    let bins: Vec<(f64, f64)> =
        bands.iter().map(|band| (band.forecast, band.engagement.mean)).collect();
    let row = |band: &CalibrationBand| {
        vec![
            format!("{:.0} to {:.0} %", 100.0 * band.from, 100.0 * band.to),
            count(band.messages),
            percent(band.forecast),
            count(band.engaged),
            band.engagement.percent(),
        ]
    };
    let rows: Vec<Vec<String>> = bands.iter().map(row).collect();
    let head = ["chance forecast", "messages", "mean forecast", "engaged", "share engaged, 95 %"];
    html! {
        @if !rows.is_empty() {
            h2 { "How right the forecast was" }
            (reliability("Chance that was forecast against the share that engaged", &bins))
            (table("Messages whose time to be answered is over, by the chance forecast of each.",
                &head, &rows))
        }
    }
}

fn parts(what: &str, parts: &[PartResult]) -> Markup {
    let rows: Vec<Vec<String>> = parts
        .iter()
        .map(|part| {
            let sure = if part.found { "yes" } else { "no" };
            let p = format!("{:.3}", part.corrected_p_value);
            vec![
                part.name.clone(),
                count(part.people),
                part.difference.points(),
                p,
                sure.to_owned(),
            ]
        })
        .collect();
    let head = ["part", "people", "ahead by, 95 %", "p, corrected", "sure"];
    html! { @if !rows.is_empty() { (table(what, &head, &rows)) } }
}

/// A campaign's live part.
pub(super) async fn live(
    visitor: Visitor,
    Path(name): Path<String>,
    State(app): State<App>,
) -> Result<impl IntoResponse, NoPage> {
    visitor.needs(Scope::Read)?;
    let name = found(&app, &name).await?.campaign.name.to_string();
    Ok(events(app, move |app: App| {
        let name = name.clone();
        async move { running(&app, &name).await }
    }))
}

#[derive(Deserialize)]
pub(super) struct PeoplePage {
    state: Option<Stands>,
    reason: Option<Reason>,
    after: Option<PeopleCursor>,
}

/// `/campaigns/N/people`
pub(super) async fn people(
    visitor: Visitor,
    Path(name): Path<String>,
    axum::extract::Query(which): axum::extract::Query<PeoplePage>,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    visitor.needs(Scope::People)?;
    let row = found(&app, &name).await?;
    let name = &row.campaign.name;
    let filter = PeopleFilter { state: which.state, reason: which.reason };
    let after = which.after.unwrap_or_default();
    let (people, next) = export::people(&app.ctx, &row, filter, after, PEOPLE).await?;
    let mut query: BTreeMap<&str, String> = BTreeMap::new();
    query.extend(which.state.map(|state| ("state", state.to_string())));
    query.extend(which.reason.map(|reason| ("reason", reason.to_string())));
    query.extend(next.map(|next| ("after", next.to_string())));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&query).finish();
    let body = html! {
        p { a href={ "/campaigns/" (name) } { "Back to " (name) } }
        @if let Some(reason) = which.reason { p { (reason_sentence(reason)) "." } }
        (scrolled_words("People", "", &["person", "state", "reason", "arm", "variant", "planned", "sent", "read", "failure"], &html! { @for person in &people { tr {
                    th scope="row" { (super::person::link(&person.recipient)) }
                    td { (person.state) }
                    td { (person.reason) }
                    td { @if let Some(arm) = person.arm { (arm) } }
                    td { (person.variant.as_deref().unwrap_or_default()) }
                    td { (maybe(person.planned_at)) }
                    td { (maybe(person.sent_at)) }
                    td { (maybe(person.read_at)) }
                    td { (person.failure_code.as_deref().unwrap_or_default()) }
                } } }))
        @if people.is_empty() { p { "Nobody." } }
        @if next.is_some() { p { a href={ "/campaigns/" (name) "/people?" (query) } { "More" } } }
    };
    Ok(page(&visitor, "/campaigns", &format!("People of {name}"), &body))
}

/// Does what a button says.
pub(super) async fn change(
    State(app): State<App>,
    Path((name, command)): Path<(String, String)>,
    SentForm(visitor, NoFields {}): SentForm<NoFields>,
) -> Result<Redirect, NoPage> {
    visitor.needs(Scope::Operate)?;
    let command: OperatorCommand = command.parse().map_err(|_| NoPage::absent("such command"))?;
    let row = found(&app, &name).await?;
    if !campaigns::change(&app.ctx, &row, command, &visitor.actor()).await? {
        let told = format!("Campaign {name} is {} by now.", row.status);
        return Err(NoPage::new(StatusCode::CONFLICT, told));
    }
    app.campaign_changed(row.campaign.name.as_str());
    Ok(Redirect::to(&format!("/campaigns/{}", row.campaign.name)))
}
