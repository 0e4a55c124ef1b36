//! What a check found, drawn: from everybody down to who is planned, when, against which limits, for
//! what, and how it reads.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::super::frame::{NoPage, card, count, counted, moment};
use super::super::person;
use super::super::visitor::Visitor;
use super::{Looked, number, wrong};
use crate::model::delivery::Arm;
use crate::model::time::Instant;
use crate::pictures::{scrolled, stacked};
use crate::work::Ctx;
use crate::work::campaigns::reason_sentence;
use crate::work::launch::{Launch, NAMED_MAX};
use crate::work::plan::{Expected, Spend, Summary};
use crate::work::preview::{self, Preview};
use crate::work::tokens::Scope;

/// All of it; `tried` is what was planned beside the file.
pub(super) async fn launch(
    ctx: &Ctx,
    visitor: &Visitor,
    launch: &Launch,
    tried: Option<&Looked>,
    person: &str,
) -> Result<Markup, NoPage> {
    let person = person_of(ctx, visitor, person).await?;
    let previews = preview::of(ctx, &launch.campaign, person.as_ref()).await?;
    Ok(html! {
        @for warning in &launch.checked.warnings { p.notice { "Warning: " (warning) "." } }
        @match &launch.checked.plan {
            Some(plan) => (planned(visitor, launch, plan, tried)),
            None => (awaited(launch)),
        }
        @for fallback in &launch.checked.fallbacks { p { (fallback.sentence()) } }
        h2 { "How it reads" }
        @if let Some(person) = &person { p { "For " (person::link(person.key.as_str())) ":" } }
        @for preview in &previews { (reads(preview)) }
    })
}

/// What a standing campaign waits for, and when it writes.
fn awaited(launch: &Launch) -> Markup {
    let Some(trigger) = &launch.campaign.trigger else { return html! {} };
    html! {
        @if let Some(people) = launch.checked.upcoming {
            div.cards { (card("people in the next 30 days, before any rule", count(people))) }
        }
        p {
            "It waits for " b { (trigger.on) } " and writes from " (beside(trigger.from)) " to "
            (beside(trigger.to)) " it, at the hour learned for the person. "
            @if !trigger.unless.is_empty() {
                "Called off by "
                @for (at, kind) in trigger.unless.iter().enumerate() {
                    @if at > 0 { ", " }
                    (kind)
                }
                ". "
            }
            "Each day's messages are a run of their own, planned as they come into reach."
        }
    }
}

/// So long before or after something.
fn beside(span: TimeDelta) -> String {
    let side = if span < TimeDelta::zero() { "before" } else { "after" };
    format!("{} {side}", humantime::format_duration(span.abs().to_std().unwrap_or_default()))
}

/// Who is planned, when, against which limits, for what.
fn planned(visitor: &Visitor, launch: &Launch, plan: &Summary, tried: Option<&Looked>) -> Markup {
    html! {
        div.cards {
            (card("will be written to", count(plan.planned)))
            (card("expected to engage", range(plan.expected)))
            @if let Some(spend) = &plan.spend {
                (card("expected spend", money(spend.amount, &spend.currency, spend.budget)))
            }
            @if let Some(replies) = plan.replies {
                (card("expected replies", format!("{replies:.0}")))
            }
        }
        p {
            @if let Some(last) = plan.last_send_at { "The last message leaves at " (moment(last)) ". " }
            @if plan.at_control_time.mean > 0.0 {
                "Of the personalized " (range(plan.personalized)) " are expected to engage; at the control "
                "time it would be " (range(plan.at_control_time)) ". "
            }
            (plan.certificate.statement)
        }
        @if let Some(doubt) = plan.spend.as_ref().and_then(Spend::doubt) { p.notice { (doubt) } }
        (difference(plan, tried))
        h2 { "Who is written to" }
        (audience(visitor, launch))
        h2 { "When" }
        (hours(launch, plan))
        (limits(plan))
    }
}

async fn person_of(
    ctx: &Ctx,
    visitor: &Visitor,
    id: &str,
) -> Result<Option<crate::model::recipient::Recipient>, NoPage> {
    let Ok(key) = id.parse() else { return Ok(None) };
    if !visitor.may(Scope::People) {
        return Ok(None);
    }
    Ok(ctx.store.read().await?.recipient(&key).await?)
}

fn range(of: Expected) -> String {
    format!("{:.0} ({:.0} to {:.0})", of.mean, of.low, of.high)
}

fn money(amount: f64, currency: &str, budget: Option<f64>) -> String {
    let of = budget.map(|budget| format!(" of {budget:.2}")).unwrap_or_default();
    format!("{amount:.2}{of} {currency}")
}

/// From everybody down to who is planned; the rows add up.
fn audience(visitor: &Visitor, launch: &Launch) -> Markup {
    let outside = launch.known.saturating_sub(launch.audience());
    html! {
        (counted("The audience, step by step", "From everybody down to who is planned; each row is taken away from those above.", "step", &html! { tr { th scope="row" { "Everybody in the workspace" } (number(launch.known)) td {} }
                    tr {
                        th scope="row" { "not meant" } (number(outside))
                        td.text { "they are not of the campaign's audience" }
                    }
                    tr { th scope="row" { b { "The audience" } } (number(launch.audience())) td {} }
                    @for of in &launch.refused { tr {
                        th scope="row" { (of.reason) }
                        (number(of.people))
                        td.text {
                            (reason_sentence(of.reason))
                            @if visitor.may(Scope::People) {
                                details {
                                    summary { "who" }
                                    @for key in &of.named { (person::link(key.as_str())) " " }
                                    @if of.people > NAMED_MAX as u64 { "and others" }
                                }
                            }
                        }
                    } }
                    tr { th scope="row" { b { "Planned" } } (number(launch.planned())) td {} } }))
    }
}

fn hours(launch: &Launch, plan: &Summary) -> Markup {
    let arms: Vec<Arm> = launch.by_local_hour.keys().copied().collect();
    let local: Vec<(String, Vec<u64>)> =
        launch.by_local_hour.iter().map(|(arm, hours)| (arm.to_string(), hours.to_vec())).collect();
    let names: Vec<String> = (0..24).map(|hour| hour.to_string()).collect();
    let starts: Vec<Instant> = launch.by_hour.keys().copied().collect();
    let spans: Vec<String> = starts.iter().map(|at| at.format("%m-%d %H:%M").to_string()).collect();
    let of_arm = |arm: &Arm| {
        let counts = launch.by_hour.values().map(|arms| arms.get(arm).copied().unwrap_or(0));
        (arm.to_string(), counts.collect())
    };
    let kinds: Vec<(String, Vec<u64>)> = arms.iter().map(of_arm).collect();
    let most = |start: &Instant| plan.by_hour.iter().find(|load| load.start == *start)?.capacity;
    let most: Vec<Option<u64>> = starts.iter().map(most).collect();
    html! {
        (stacked("Planned messages by hour of the recipients' own clocks", &names, &local, &[]))
        (stacked("Planned messages by hour of UTC, with the capacity of bounded hours", &spans, &kinds, &most))
    }
}

fn limits(plan: &Summary) -> Markup {
    html! {
        @match plan.binding.first() {
            None => { p { "No limit holds the plan back." } }
            Some(first) => {
                p { "What holds it back most: " b { (first) } "." }
                @if plan.binding.len() > 1 {
                    details {
                        summary { "Other limits that bind" }
                        ul { @for limit in &plan.binding[1..] { li { (limit) } } }
                    }
                }
            }
        }
    }
}

/// The file and what is tried, side by side.
fn difference(plan: &Summary, tried: Option<&Looked>) -> Markup {
    let tried = match tried {
        None => return html! {},
        Some(Err(problem)) => {
            return html! { h2 { "What if" } (wrong("This cannot be tried:", problem)) };
        }
        Some(Ok(launch)) => launch.checked.plan.as_ref(),
    };
    let Some(tried) = tried else { return html! {} };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let last =
        |plan: &Summary| or_dash(plan.last_send_at.map(|at| at.format("%m-%d %H:%M").to_string()));
    let spend = |plan: &Summary| or_dash(plan.spend.as_ref().map(|s| format!("{:.2}", s.amount)));
    let binds = |plan: &Summary| or_dash(plan.binding.first().map(|limit| limit.kind.to_string()));
    let whole = |after: u64, before: u64| format!("{:+}", after as i64 - before as i64);
    let refused = |plan: &Summary| plan.refused.values().sum::<u64>();
    let rows: [(&str, String, String, String); 6] = [
        ("planned", count(plan.planned), count(tried.planned), whole(tried.planned, plan.planned)),
        (
            "refused",
            count(refused(plan)),
            count(refused(tried)),
            whole(refused(tried), refused(plan)),
        ),
        (
            "expected to engage",
            range(plan.expected),
            range(tried.expected),
            format!("{:+.1}", tried.expected.mean - plan.expected.mean),
        ),
        ("last message, UTC", last(plan), last(tried), String::new()),
        ("expected spend", spend(plan), spend(tried), String::new()),
        ("binds most", binds(plan), binds(tried), String::new()),
    ];
    html! {
        h2 { "What if" }
        (scrolled("What if", "", &["figure", "as the file says", "as tried", "difference"], &html! { @for (name, before, after, more) in rows { tr {
                    th scope="row" { (name) } td { (before) } td { (after) } td { (more) }
                } } }))
    }
}

fn reads(preview: &Preview) -> Markup {
    html! {
        h3 {
            (preview.variant) ", " (preview.media)
            @if let Some(language) = &preview.language { ", " (language) }
            @if !preview.fits { " (another translation fits this person)" }
        }
        @if let Some(problem) = &preview.problem { p.notice { "It cannot be sent: " (problem) } }
        @else {
            div.message {
                @if let Some(header) = &preview.header { b { (header) } "\n" }
                @if let Some(text) = &preview.text { (text) }
                @if let Some(footer) = &preview.footer { "\n" small { (footer) } }
                @for button in &preview.buttons { "\n[" (button) "]" }
                @if let (Some(template), None) = (&preview.template, &preview.text) {
                    "Template " (template)
                    @for (at, parameter) in preview.parameters.iter().enumerate() {
                        "\n{{" (at + 1) "}} " (parameter)
                    }
                }
            }
            @if let Some(url) = &preview.media_url { p.faint { "With " (url) } }
        }
    }
}
