//! `/calendar`: what goes out on which day, campaign by campaign, and who competes for whom.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{NaiveDate, TimeDelta};
use maud::{Markup, PreEscaped, html};

use super::frame::{NoPage, count};
use super::layout::page;
use super::live;
use super::visitor::Visitor;
use crate::pictures::{heat_cell, heat_table, percent, stacked};
use crate::store::CampaignRow;
use crate::web::app::App;
use crate::work::tokens::Scope;

/// Days that are shown, from yesterday on.
const DAYS: i64 = 35;
/// Open campaigns that are held against each other.
const COMPARED_MAX: usize = 12;
/// People of each that are looked at.
const SAMPLE: usize = 5_000;
/// Kinds that have a colour of their own.
const DRAWN_MAX: usize = 5;

/// `/calendar`
pub(super) async fn show(visitor: Visitor, State(app): State<App>) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let own = app.clone();
    let part = live::part(&app, "calendar", Box::pin(async move { made(&own).await })).await?;
    Ok(page(&visitor, "/calendar", "Calendar", &html! { (PreEscaped(&*part)) }))
}

type ByDay = BTreeMap<NaiveDate, u64>;

async fn made(app: &App) -> Result<Markup, NoPage> {
    let today = app.ctx.clock.now().date_naive();
    let first = today - TimeDelta::days(1);
    let days: Vec<NaiveDate> = (0..DAYS).map(|day| first + TimeDelta::days(day)).collect();
    let since = first.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc();
    let length = app.ctx.config.slot_length;
    let mut reader = app.ctx.store.read().await?;
    let open = reader.open_campaigns().await?.rows;
    let mut campaigns: Vec<(CampaignRow, ByDay)> = Vec::new();
    for row in open {
        let mut by_day = ByDay::new();
        for slot in reader.slot_counts(row.id, length, since).await? {
            let day = slot.slot.start(length).date_naive();
            *by_day.entry(day).or_default() += u64::from(slot.messages);
        }
        campaigns.push((row, by_day));
    }
    let compared: Vec<&CampaignRow> =
        campaigns.iter().map(|(row, _)| row).take(COMPARED_MAX).collect();
    let mut shared: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for (at, row) in compared.iter().enumerate() {
        for (other_at, other) in compared.iter().enumerate().filter(|(other, _)| *other != at) {
            let share = reader.shared_people(row.id, other.id, SAMPLE).await?;
            shared.extend(share.map(|share| ((at, other_at), share)));
        }
    }
    drop(reader);
    if campaigns.is_empty() {
        return Ok(html! { p { "No campaign runs." } });
    }
    Ok(html! {
        (drawn(&days, &campaigns))
        (table(&days, &campaigns))
        h2 { "Who competes for whom" }
        (competition(&compared, &shared))
    })
}

fn drawn(days: &[NaiveDate], campaigns: &[(CampaignRow, ByDay)]) -> Markup {
    let spans: Vec<String> = days.iter().map(|day| day.format("%m-%d").to_string()).collect();
    let of =
        |by_day: &ByDay| days.iter().map(|day| by_day.get(day).copied().unwrap_or(0)).collect();
    let mut kinds: Vec<(String, Vec<u64>)> = campaigns
        .iter()
        .take(if campaigns.len() > DRAWN_MAX { DRAWN_MAX - 1 } else { DRAWN_MAX })
        .map(|(row, by_day)| (row.campaign.name.to_string(), of(by_day)))
        .collect();
    let rest = &campaigns[kinds.len()..];
    if !rest.is_empty() {
        let sum = |day| rest.iter().filter_map(|(_, by_day)| by_day.get(day)).sum();
        kinds.push(("all others".to_owned(), days.iter().map(sum).collect()));
    }
    stacked("Messages sent and planned by day of UTC", &spans, &kinds, &[])
}

fn table(days: &[NaiveDate], campaigns: &[(CampaignRow, ByDay)]) -> Markup {
    let counts = campaigns.iter().flat_map(|(_, by_day)| by_day.values().copied());
    let most = counts.max().unwrap_or(0).max(1) as f64;
    let head = html! {
        th scope="col" { "campaign" }
        @for day in days { th scope="col" { (day.format("%d.")) } }
    };
    let rows = html! { @for (row, by_day) in campaigns { tr {
        th scope="row" { a href={ "/campaigns/" (row.campaign.name) } { (row.campaign.name) } }
        @for day in days {
            @let messages = by_day.get(day).copied();
            (heat_cell(messages.map(|m| m as f64 / most), messages.map(count)))
        }
    } } };
    heat_table("Messages by campaign and day of UTC.", &head, &rows)
}

fn competition(compared: &[&CampaignRow], shared: &BTreeMap<(usize, usize), f64>) -> Markup {
    html! {
        @if shared.values().all(|share| *share == 0.0) {
            p { "No two campaigns that run want the same people." }
        } @else {
            p {
                "Of the people whom the campaign of a row is still to write to, how many the campaign of a "
                "column is to write to as well; of the first " (count(SAMPLE as u64)) ". Higher priority "
                "plans first, equals share; frequency caps decide."
            }
            div.scroll tabindex="0" role="region" aria-label="Who competes for whom" {
                table {
                    thead { tr {
                        th scope="col" { "campaign" } th scope="col" { "priority" }
                        @for row in compared { th scope="col" { (row.campaign.name) } }
                    } }
                    tbody { @for (at, row) in compared.iter().enumerate() { tr {
                        th scope="row" { (row.campaign.name) }
                        td { (row.campaign.priority) }
                        @for other in 0..compared.len() {
                            td { (shared.get(&(at, other)).copied().map(percent).unwrap_or_default()) }
                        }
                    } } }
                }
            }
        }
    }
}
