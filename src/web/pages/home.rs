//! The first page: what runs, and what needs a human.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use maud::{Markup, PreEscaped, html};

use super::frame::{NoPage, card, count, maybe, moment};
use super::layout::page;
use super::live::{self, events};
use super::visitor::Visitor;
use crate::pictures::scrolled;
use crate::web::app::App;
use crate::work::campaigns::{self, CampaignSummary, Status};
use crate::work::tokens::Scope;

/// The live part, made once for all who look.
async fn part(app: &App) -> Result<Arc<str>, NoPage> {
    let own = app.clone();
    live::part(app, "home", Box::pin(async move { made(&own).await })).await
}

async fn made(app: &App) -> Result<Markup, NoPage> {
    let status = campaigns::status(&app.ctx).await?;
    let since = app.ctx.clock.now() - chrono::TimeDelta::minutes(1);
    let rate = app.ctx.store.read().await?.sent_count(None, since).await?;
    let problems = app.tasks.problems(app.ctx.clock.now());
    let open = |c: &&CampaignSummary| matches!(c.status.as_str(), "active" | "paused");
    let sum = |of: fn(&CampaignSummary) -> u64| status.campaigns.iter().map(of).sum::<u64>();
    Ok(html! {
        div.cards {
            (card("sent in the last minute", count(rate)))
            (card("due now", count(sum(|c| c.due))))
            (card("late by more than a minute", count(sum(|c| c.late))))
            (card("in doubt", count(sum(|c| c.people("in_doubt")))))
            (card("held by channels", count(sum(|c| c.people("held")))))
        }
        h2 { "What needs a human" }
        (needs_a_human(&status, &problems))
        h2 { "What runs" }
        (table_of(status.campaigns.iter().filter(open)))
        p { a href="/campaigns" { "All campaigns" } }
    })
}

fn needs_a_human(status: &Status, problems: &[String]) -> Markup {
    let paused = status.campaigns.iter().filter(|campaign| campaign.status == "paused");
    let paused: Vec<_> = paused.collect();
    let calm = status.alerts.is_empty()
        && status.broken.is_empty()
        && problems.is_empty()
        && paused.is_empty()
        && status.pending_consents == 0
        && status.waiting_replies == 0
        && status.zone_tables.warning().is_none();
    html! {
        @if calm { p.good { "Nothing." } }
        @for alert in &status.alerts {
            p.notice {
                b { "Provider " (alert.provider) } ", since " (moment(alert.at)) ": " (alert.what)
                " (" (alert.code) "). Once it is mended, resume its campaigns."
            }
        }
        @for campaign in &paused {
            p.notice {
                "Campaign " a href={ "/campaigns/" (campaign.name) } { (campaign.name) }
                " is paused: nothing of it goes out until it is resumed on its page."
            }
        }
        @for broken in &status.broken {
            p.notice {
                "Campaign " (broken.name) " cannot be read by this version and is left alone: "
                (broken.problem)
            }
        }
        @for problem in problems { p.notice { (problem) } }
        @if status.pending_consents > 0 {
            p {
                "Words on consent wait under " (count(status.pending_consents))
                " names that nobody has yet; import who they are."
            }
        }
        @if status.waiting_replies > 0 {
            p { a href="/replies" { (count(status.waiting_replies)) " replies need a human" } "." }
        }
        @if let Some(warning) = status.zone_tables.warning() { p.notice { (warning) } }
    }
}

/// Campaigns, a row each.
pub(super) fn table_of<'c>(campaigns: impl Iterator<Item = &'c CampaignSummary>) -> Markup {
    let campaigns: Vec<_> = campaigns.collect();
    html! {
        @if campaigns.is_empty() { p { "No campaign." } } @else {
            (scrolled("Campaigns", "", &["campaign", "status", "audience", "planned", "due", "late", "sent", "held",
                            "in doubt", "failed", "refused", "next message"], &html! { @for campaign in campaigns { tr {
                        th scope="row" { a href={ "/campaigns/" (campaign.name) } { (campaign.name) } }
                        td { (campaign.status) }
                        td { (count(campaign.audience)) }
                        td { (count(campaign.people("planned"))) }
                        td { (count(campaign.due)) }
                        td { (count(campaign.late)) }
                        td { (count(campaign.people("sent"))) }
                        td { (count(campaign.people("held"))) }
                        td { (count(campaign.people("in_doubt"))) }
                        td { (count(campaign.people("failed"))) }
                        td { (count(campaign.people("refused"))) }
                        td { (maybe(campaign.next_due)) }
                    } } }))
        }
    }
}

/// `/`
pub(super) async fn show(visitor: Visitor, State(app): State<App>) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let part = part(&app).await?;
    let body = html! { div data-live="/live/home" { (PreEscaped(&*part)) } };
    Ok(page(&visitor, "/", "Now", &body))
}

/// The first page's live part.
pub(super) async fn live(
    visitor: Visitor,
    State(app): State<App>,
) -> Result<impl IntoResponse, NoPage> {
    visitor.needs(Scope::Read)?;
    Ok(events(app, async |app: App| part(&app).await))
}
