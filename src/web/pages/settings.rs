//! `/settings`: who may come in, who did what, how providers and background tasks are.

use axum::extract::State;
use maud::{Markup, html};

use super::frame::{NoPage, maybe, moment};
use super::layout::page;
use super::visitor::Visitor;
use crate::pictures::scrolled_words;
use crate::web::app::App;
use crate::work::audit;
use crate::work::clocks::ZoneTables;
use crate::work::tokens::{self, Scope};

/// Deeds that are shown, the last.
const DEEDS: usize = 100;

/// `/settings`
pub(super) async fn show(visitor: Visitor, State(app): State<App>) -> Result<Markup, NoPage> {
    visitor.needs(Scope::Read)?;
    let ctx = &app.ctx;
    let (tokens, deeds) = (tokens::list(ctx).await?, audit::last(ctx, DEEDS).await?);
    let now = ctx.clock.now();
    let (all_alerts, tasks) = {
        let mut reader = ctx.store.read().await?;
        (reader.alerts(now).await?, reader.tasks().await?)
    };
    let mut providers = Vec::new();
    for name in ctx.config.providers.keys() {
        let paused = ctx.store.read().await?.paused_until(name, now).await?;
        let templates = ctx.store.read().await?.templates(name).await?;
        let alerts = all_alerts.iter().filter(|alert| alert.provider == name.as_str()).count();
        providers.push((name, paused, templates, alerts));
    }
    let body = html! {
        h2 { "Providers" }
        (scrolled_words("Providers", "", &["provider", "asked us to wait until", "alerts", "templates held back"], &html! {
            @for (name, paused, templates, alerts) in &providers { tr {
                th scope="row" { (name) }
                td { (maybe(*paused)) }
                td { (alerts) }
                td.text { @for template in templates.iter().filter(|t| !t.reason.is_empty()) {
                    (template.template) ": " (template.reason) " "
                } }
            } }
        }))
        h2 { "Background tasks" }
        (scrolled_words("Background tasks", "", &["task", "node", "last start", "last success", "runs", "failed", "error"], &html! {
            @for task in &tasks { tr {
                th scope="row" { (task.name) }
                td { (task.node) }
                td { (maybe(task.last_started_at)) }
                td { (maybe(task.last_succeeded_at)) }
                td { (task.runs) }
                td { (task.failures + task.panics) }
                td.text { (task.last_error.as_deref().unwrap_or_default()) }
            } }
        }))
        h2 { "Tokens" }
        p { "Made and taken back on the command line: " code { "opportune token create" } ", "
            code { "opportune token revoke" } "." }
        (scrolled_words("Tokens", "", &["token", "scopes", "made", "ends", "last used", "taken back"], &html! {
            @for token in &tokens { tr {
                th scope="row" { (token.name) }
                td { (token.scopes.join(" ")) }
                td { (moment(token.created_at)) }
                td { (maybe(token.expires_at)) }
                td { (maybe(token.last_used_at)) }
                td { (maybe(token.revoked_at)) }
            } }
        }))
        h2 { "Who did what" }
        (scrolled_words("Who did what", "", &["when", "who", "what", "to what", "more"], &html! {
            @for deed in &deeds { tr {
                th scope="row" { (moment(deed.at)) }
                td { (deed.actor) } td { (deed.action) } td { (deed.subject) } td.text { (deed.detail) }
            } }
        }))
        p.faint { "Time zones by " (ZoneTables::at(now).tables) "." }
    };
    Ok(page(&visitor, "/settings", "Settings", &body))
}
