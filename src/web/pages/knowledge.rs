//! What is known: of the population, and of what messages bring.

use axum::extract::State;
use maud::{Markup, PreEscaped, html};

use super::frame::{NoPage, PATIENCE, count};
use super::layout::page;
use super::live;
use super::visitor::Visitor;
use crate::pictures::{Line, forest};
use crate::web::app::App;
use crate::work::holdout::Brought;
use crate::work::insights::Insight;
use crate::work::tokens::Scope;

/// Campaigns whose experiments are shown, the newest.
const CAMPAIGNS_MAX: usize = 50;

/// `/insights`
pub(super) async fn insights(visitor: Visitor, State(app): State<App>) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let computed = app.insights.of_model_in_use(&app.ctx);
    let last = app.insights.last();
    // who sees those of the model before waits no longer than a page may take
    let patience = if last.is_some() { PATIENCE / 20 } else { PATIENCE };
    let (found, is_ready) = match tokio::time::timeout(patience, computed).await {
        Ok(found) => (found.map_err(|error| NoPage::failed(&error.outline()))?, true),
        Err(_) => (last.unwrap_or_default(), false),
    };
    let (sure, unsure): (Vec<&Insight>, Vec<&Insight>) = found.iter().partition(|i| i.sure);
    let body = html! {
        @if !is_ready {
            p role="status" {
                "What the newest model knows is being computed; look again in a minute."
                @if !found.is_empty() { " This is what the model before it knew." }
            }
        }
        @if found.is_empty() && is_ready {
            p { "Nothing is known yet: nothing was learned, or there is no history." }
        } @else if !found.is_empty() {
            p {
                "Computed from people's own messages, each compared with themselves; intervals allow for "
                "how much was looked at."
            }
            @if sure.is_empty() { p { "Nothing is sure yet." } }
            @for insight in sure { (told(insight)) }
            @if !unsure.is_empty() {
                h2 { "Not known" }
                ul { @for insight in unsure { li { (insight.text) } } }
            }
        }
    };
    Ok(page(&visitor, "/insights", "Insights", &body))
}

fn told(insight: &Insight) -> Markup {
    html! {
        section {
            h2 { (insight.text) }
            @if let Some(day) = &insight.drawn { p { code { "0h " (day) " 24h" } } }
            @if let Some(advice) = &insight.advice { p { b { "What follows: " } (advice) } }
            p.faint {
                "It rests on " (count(insight.size as u64)) "."
                @if let Some(basis) = insight.basis { " " (basis) }
            }
        }
    }
}

/// `/experiments`
pub(super) async fn experiments(
    visitor: Visitor,
    State(app): State<App>,
) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let own = app.clone();
    let part = live::part(&app, "experiments", Box::pin(async move { made(&own).await })).await?;
    Ok(page(&visitor, "/experiments", "Experiments", &html! { (PreEscaped(&*part)) }))
}

async fn made(app: &App) -> Result<Markup, NoPage> {
    let held = app.holdout().await?;
    let (found, _) = app.ctx.store.read().await?.campaigns_before(None, CAMPAIGNS_MAX).await?;
    let mut lines = Vec::new();
    for row in found.rows.iter().filter(|row| row.campaign.arms.personalized < 1.0) {
        let results = app.results(row).await?;
        if let Some(lift) = results.lift_adjusted.or(results.lift) {
            lines.push(Line {
                name: row.campaign.name.to_string(),
                value: 100.0 * lift.mean,
                interval: Some((100.0 * lift.low, 100.0 * lift.high)),
                text: lift.points(),
            });
        }
    }
    Ok(html! {
        h2 { "The standing holdout: what all messages together bring" }
        @match held.until {
            None => { p { "There is none. Set " code { "[holdout]" } " share and until in the settings." } }
            Some(until) => {
                p {
                    "Held out of all marketing until " (until)
                    @if !held.active { ", which is over" }
                    ": " (count(held.size)) " people of " (count(held.size + held.others))
                    " with consent."
                }
                @if held.mismatch.is_some_and(|mismatch| mismatch.alarm) {
                    p.notice role="alert" {
                        "That is not the share, by more than chance. Something loses people of one side: "
                        "do not compare before it is found."
                    }
                }
                (brought("a purchase", held.conversions))
                (brought("any sign of presence", held.activity))
            }
        }
        h2 { "Personalized against control, campaign by campaign" }
        @if lines.is_empty() { p { "No campaign with both arms has results yet." } } @else {
            (forest("Points ahead, of people assigned", &lines))
            ul { @for line in &lines {
                li { a href={ "/campaigns/" (line.name) } { (line.name) } ": " (line.text) }
            } }
            p.faint { "Intervals are of 95 % and hold while somebody looks every day." }
        }
    })
}

fn brought(what: &str, of: Option<Brought>) -> Markup {
    html! {
        @match of {
            None => { p { "People with " (what) ": nobody to compare yet." } }
            Some(of) => {
                p {
                    "People with " (what) ": " (of.others.percent()) " of those who may be written to, "
                    (of.held_out.percent()) " of those held out; " b { (of.difference.points()) }
                    @if of.difference.low <= 0.0 && of.difference.high >= 0.0 { "; it may be none" }
                    "."
                }
            }
        }
    }
}
