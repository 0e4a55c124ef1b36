//! What replays brought: policies side by side, campaigns, and when people are there.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Serialize;

use super::{ReportPage, page, word};
use crate::pictures::{Line, bars, forest, heat_cell, heat_table, percent, table, week};
use crate::replay::compare::{Figure, PolicyRow};
use crate::replay::outcome::{Calibration, CampaignOutcome, Outcome, Week};
use crate::replay::run::ReplayResult;
use crate::store::StateCount;

/// Weeks that are drawn of one world.
const WEEKS_MAX: usize = 12;
const LEAD: &str = "Invented people with hidden habits, the daemon's own steps, and a virtual clock. \
    Chances are the worlds' own; intervals are 95 %, over seeds.";

/// The report of replays.
pub fn of_replays(told: &[ReplayResult]) -> ReportPage {
    let title = match told {
        [one] => format!("Replay of {}", one.scenario),
        many => format!("Replay of {} scenarios", many.len()),
    };
    let parts = html! {
        @if told.len() > 1 {
            nav aria-label="Scenarios" {
                @for one in told { a href={ "#" (one.scenario) } { (one.scenario) } }
            }
        }
    };
    let body = html! { @for one in told { (scenario(one)) } };
    ReportPage::new(page(&title, LEAD, &parts, &body), &told, figures(told))
}

fn scenario(told: &ReplayResult) -> Markup {
    let first = told.outcomes.first();
    html! {
        section aria-labelledby=(told.scenario) {
            h2 id=(told.scenario) { (told.scenario) }
            p { (told.about) }
            (rules(&told.outcomes))
            @if !told.policies.is_empty() {
                h3 { "Engagement by policy" }
                (engagement(&told.policies))
                (policies(&told.policies))
            }
            @if let Some(outcome) = first {
                p.faint {
                    "What follows is of the world of seed " (outcome.seed) ", under the policy "
                    (word(&outcome.policy)) "."
                }
                @for campaign in &outcome.campaigns { (campaign_part(campaign)) }
                @if !outcome.weeks.is_empty() {
                    h3 { "When people are there" }
                    p {
                        "Presence by hour of the local week, as it was learned: everybody of a \
                         chronotype, and one person."
                    }
                    @for week in outcome.weeks.iter().take(WEEKS_MAX) { (heat(week)) }
                }
            }
        }
    }
}

fn rules(outcomes: &[Outcome]) -> Markup {
    let broken: Vec<_> =
        outcomes.iter().flat_map(|o| o.broken.iter().map(move |rule| (o.seed, rule))).collect();
    html! {
        @if broken.is_empty() {
            p.good { "✓ No rule was broken: nobody lost, nobody twice, no limit, no quiet hour." }
        } @else {
            p.bad { "✗ Rules were broken:" }
            ul { @for (seed, rule) in broken { li { "seed " (seed) ": " (rule) } } }
        }
    }
}

fn engagement(rows: &[PolicyRow]) -> Markup {
    let line = |row: &PolicyRow| Line {
        name: word(&row.policy),
        value: row.engagement.mean,
        interval: row.engagement.low.zip(row.engagement.high),
        text: row.engagement.text(2),
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    forest("Expected engagements a hundred people", &lines)
}

fn policies(rows: &[PolicyRow]) -> Markup {
    let cell = |figure: Option<Figure>, digits| figure.map_or("–".to_owned(), |f| f.text(digits));
    let head = [
        "policy",
        "engaged per 100",
        "more than the first",
        "share of oracle",
        "sent per 100",
        "refused per 100",
        "opt-outs per 1000",
        "p99 late, s",
        "replies per agent and hour",
    ];
    let row = |row: &PolicyRow| {
        vec![
            word(&row.policy),
            row.engagement.text(2),
            cell(row.gain, 2),
            cell(row.oracle_share, 2),
            row.sent.text(1),
            row.refused.text(1),
            row.opt_outs.text(2),
            row.lateness_p99_s.text(0),
            cell(row.replies_per_agent_hour, 1),
        ]
    };
    let caption = "Policies in the same worlds, compared person by person with the first.";
    table(caption, &head, &rows.iter().map(row).collect::<Vec<_>>())
}

/// A share of a whole, as people read it.
fn share(part: u64, whole: u64) -> String {
    percent(if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
}

fn campaign_part(campaign: &CampaignOutcome) -> Markup {
    html! {
        h3 { "Campaign " (campaign.name) }
        p {
            (campaign.sent) " of " (campaign.audience) " people were written to, "
            (campaign.engaged) " did what was asked in time: "
            (share(campaign.engaged, campaign.audience)) " of the people assigned, which is what the "
            "campaign brought, and " (share(campaign.engaged, campaign.sent)) " of the messages "
            "sent, which is how well messages did that went out. The plan forecast "
            (format!("{:.0}", campaign.forecast)) " and the world's own chances make "
            (format!("{:.0}", campaign.expected)) "."
            @if let Some(certificate) = &campaign.certificate { " " (certificate) }
        }
        (bars("Messages by hour of the recipients' own clocks", &campaign.by_local_hour))
        @if !campaign.calibration.is_empty() { (calibration(campaign)) }
        (load(campaign))
        (states(campaign))
        p.faint {
            "Lateness: half of the messages within " (format!("{:.0}", campaign.lateness.median_s))
            " s of their moment, 99 % within " (format!("{:.0}", campaign.lateness.p99_s))
            " s, all within " (format!("{:.0}", campaign.lateness.most_s)) " s; up to 120 s are the "
            "replay's own, whose clock does not stop more often."
        }
    }
}

/// Planned against capacity, by UTC hour.
fn load(campaign: &CampaignOutcome) -> Markup {
    let full = campaign.load.iter().filter(|slot| slot.capacity.is_some()).count();
    let head = html! {
        th scope="col" { "day" }
        @for hour in 0..24 { th scope="col" { (hour) } }
    };
    let rows = html! { @for (day, hours) in by_day(campaign) { tr {
        th scope="row" { (day) }
        @for share in hours { (heat_cell(share, share.map(|s| format!("{:.0}", 100.0 * s)))) }
    } } };
    let caption = "Planned against capacity, in per cent of what an hour of UTC takes.";
    html! { @if full > 0 { (heat_table(caption, &head, &rows)) } }
}

fn by_day(campaign: &CampaignOutcome) -> BTreeMap<String, [Option<f64>; 24]> {
    use chrono::Timelike;
    let mut days: BTreeMap<String, [(u64, u64); 24]> = BTreeMap::new();
    for slot in &campaign.load {
        if let Some(capacity) = slot.capacity {
            let day = days.entry(slot.start.date_naive().to_string()).or_default();
            let hour = &mut day[slot.start.hour() as usize];
            *hour = (hour.0 + slot.reserved + slot.planned, hour.1 + capacity);
        }
    }
    let share = |(taken, of): (u64, u64)| (of > 0).then(|| taken as f64 / of as f64);
    days.into_iter().map(|(day, hours)| (day, hours.map(share))).collect()
}

fn states(campaign: &CampaignOutcome) -> Markup {
    let row = |count: &StateCount| {
        vec![count.state.to_string(), count.reason.to_string(), count.people.to_string()]
    };
    let rows: Vec<_> = campaign.states.iter().map(row).collect();
    table("Everybody, by state and reason.", &["state", "reason", "people"], &rows)
}

fn calibration(campaign: &CampaignOutcome) -> Markup {
    let row = |group: &Calibration| {
        vec![group.messages.to_string(), percent(group.forecast), percent(group.chance)]
    };
    let rows: Vec<_> = campaign.calibration.iter().map(row).collect();
    let caption = "Calibration on the chosen slots: what was forecast, and what is true.";
    table(caption, &["messages", "forecast", "true chance"], &rows)
}

fn heat(of: &Week) -> Markup {
    let people = if of.people == 1 { "person" } else { "people" };
    let caption =
        format!("{} — {} {people}; per mille of presence in each hour", of.name, of.people);
    week(&caption, &of.presence, |hour| Some(format!("{:.0}", 1000.0 * of.presence[hour])))
}

/// A row of the table of numbers: a figure of a policy in a scenario.
#[derive(Serialize)]
struct Row<'t> {
    scenario: &'t str,
    policy: String,
    figure: &'static str,
    mean: f64,
    low: Option<f64>,
    high: Option<f64>,
}

fn figures(told: &[ReplayResult]) -> impl Iterator<Item = Row<'_>> {
    told.iter().flat_map(|told| {
        told.policies.iter().flat_map(move |row| {
            let figures = [
                ("engaged_per_100", Some(row.engagement)),
                ("gain_per_100", row.gain),
                ("oracle_share", row.oracle_share),
                ("sent_per_100", Some(row.sent)),
                ("refused_per_100", Some(row.refused)),
                ("opt_outs_per_1000", Some(row.opt_outs)),
                ("lateness_p99_s", Some(row.lateness_p99_s)),
                ("replies_per_agent_hour", row.replies_per_agent_hour),
            ];
            let named = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
            named.map(|(figure, Figure { mean, low, high })| Row {
                scenario: &told.scenario,
                policy: word(&row.policy),
                figure,
                mean,
                low,
                high,
            })
        })
    })
}
