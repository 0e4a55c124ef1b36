//! What replays brought, as one page of HTML that needs no network, and as tables of numbers.
//!
//! Every picture is also text: heat maps are tables, bars are lists, and whatever is drawn carries
//! the figures it is drawn from.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use super::compare::{Figure, PolicyRow};
use super::outcome::{CampaignOutcome, Outcome, Week};
use super::run::Told;

const STYLE: &str = include_str!("report.css");
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Weeks that are drawn of one world.
const WEEKS_MAX: usize = 12;

/// The page.
pub fn html(told: &[Told]) -> String {
    let title = match told {
        [one] => format!("Replay of {}", one.scenario),
        many => format!("Replay of {} scenarios", many.len()),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.faint {
                        "Invented people with hidden habits, the daemon's own steps, and a virtual \
                         clock. Chances are the worlds' own; intervals are 95 %, over seeds."
                    }
                    @if told.len() > 1 {
                        nav aria-label="Scenarios" {
                            @for one in told { a href={ "#" (one.scenario) } { (one.scenario) } }
                        }
                    }
                }
                main { @for one in told { (scenario(one)) } }
            }
        }
    };
    page.into_string()
}

fn scenario(told: &Told) -> Markup {
    let first = told.outcomes.first();
    html! {
        section aria-labelledby=(told.scenario) {
            h2 id=(told.scenario) { (told.scenario) }
            p { (told.about) }
            (rules(&told.outcomes))
            @if !told.policies.is_empty() {
                h3 { "Engagement by policy" }
                (forest(&told.policies))
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

/// Means with their intervals on one axis.
fn forest(rows: &[PolicyRow]) -> Markup {
    const LEFT: f64 = 170.0;
    const WIDTH: f64 = 620.0;
    const LINE: f64 = 26.0;
    let ends = rows.iter().flat_map(|row| {
        let figure = row.engagement;
        [figure.mean, figure.low.unwrap_or(figure.mean), figure.high.unwrap_or(figure.mean)]
    });
    let (low, high) =
        ends.fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
    let low = (low - 0.1 * (high - low)).max(0.0);
    let span = (1.05 * high - low).max(1e-9);
    let x = |value: f64| LEFT + WIDTH * (value - low) / span;
    let height = LINE * rows.len() as f64 + 30.0;
    html! {
        figure {
            svg role="img" viewBox={ "0 0 " (LEFT + WIDTH + 20.0) " " (height) } {
                title { "Expected engagements a hundred people, by policy, with 95 % intervals" }
                @for (index, row) in rows.iter().enumerate() {
                    @let y = LINE * (index as f64 + 0.5);
                    text x="0" y=(y + 4.0) { (word(&row.policy)) }
                    line.axis x1=(LEFT) x2=(LEFT + WIDTH) y1=(y) y2=(y) {}
                    @if let (Some(low), Some(high)) = (row.engagement.low, row.engagement.high) {
                        line.whisker x1=(at(x(low))) x2=(at(x(high))) y1=(y) y2=(y) {}
                    }
                    circle.dot cx=(at(x(row.engagement.mean))) cy=(y) r="4.5" {
                        title { (word(&row.policy)) ": " (row.engagement.text(2)) }
                    }
                }
                @for step in 0..=4 {
                    @let value = low + span * f64::from(step) / 4.0;
                    text.tick x=(at(x(value))) y=(height - 8.0) text-anchor="middle" {
                        (format!("{value:.1}"))
                    }
                }
            }
            figcaption { "Expected engagements a hundred people. The table below has the figures." }
        }
    }
}

fn at(x: f64) -> String {
    format!("{x:.1}")
}

fn policies(rows: &[PolicyRow]) -> Markup {
    let cell = |figure: Option<Figure>, digits| figure.map_or("–".to_owned(), |f| f.text(digits));
    html! {
        div.scroll tabindex="0" role="region" aria-label="Policies" {
            table {
                caption { "Policies in the same worlds, compared person by person with the first." }
                thead { tr {
                    th scope="col" { "policy" }
                    th scope="col" { "engaged per 100" }
                    th scope="col" { "more than the first" }
                    th scope="col" { "share of oracle" }
                    th scope="col" { "sent per 100" }
                    th scope="col" { "refused per 100" }
                    th scope="col" { "opt-outs per 1000" }
                    th scope="col" { "p99 late, s" }
                    th scope="col" { "replies per agent and hour" }
                } }
                tbody { @for row in rows { tr {
                    th scope="row" { (word(&row.policy)) }
                    td { (row.engagement.text(2)) }
                    td { (cell(row.gain, 2)) }
                    td { (cell(row.oracle_share, 2)) }
                    td { (row.sent.text(1)) }
                    td { (row.refused.text(1)) }
                    td { (row.opt_outs.text(2)) }
                    td { (row.lateness_p99_s.text(0)) }
                    td { (cell(row.replies_per_agent_hour, 1)) }
                } } }
            }
        }
    }
}

fn campaign_part(campaign: &CampaignOutcome) -> Markup {
    html! {
        h3 { "Campaign " (campaign.name) }
        p {
            (campaign.sent) " of " (campaign.audience) " people were written to, "
            (campaign.engaged) " did what was asked in time; the plan forecast "
            (format!("{:.0}", campaign.forecast)) " and the world's own chances make "
            (format!("{:.0}", campaign.expected)) "."
            @if let Some(gap) = campaign.gap {
                " No plan under the same limits is worth more than "
                (format!("{:.3}", 100.0 * gap)) " % more."
            }
        }
        (bars("Messages by hour of the recipients' own clocks", &campaign.by_local_hour))
        @if !campaign.calibration.is_empty() { (calibration(campaign)) }
        (load(campaign))
        div.scroll tabindex="0" role="region" aria-label="States" {
            table {
                caption { "Everybody, by state and reason." }
                thead { tr {
                    th scope="col" { "state" } th scope="col" { "reason" } th scope="col" { "people" }
                } }
                tbody { @for count in &campaign.states { tr {
                    th scope="row" { (count.state) } td { (count.reason) } td { (count.people) }
                } } }
            }
        }
        p.faint {
            "Lateness: half of the messages within " (format!("{:.0}", campaign.lateness.median_s))
            " s of their moment, 99 % within " (format!("{:.0}", campaign.lateness.p99_s))
            " s, all within " (format!("{:.0}", campaign.lateness.most_s)) " s."
        }
    }
}

fn bars(what: &str, hours: &[u64; 24]) -> Markup {
    let most = hours.iter().copied().max().unwrap_or(0).max(1);
    html! {
        figure {
            ul.bars aria-label=(what) {
                @for (hour, count) in hours.iter().enumerate() {
                    li title={ (format!("{hour:02}:00")) ": " (count) } {
                        small { @if *count > 0 { (count) } }
                        i style={ "height:" (count * 100 / most) "%" } {}
                        small { (hour) }
                    }
                }
            }
            figcaption { (what) "." }
        }
    }
}

/// Planned against capacity, by UTC hour.
fn load(campaign: &CampaignOutcome) -> Markup {
    let full = campaign.load.iter().filter(|slot| slot.capacity.is_some()).count();
    html! {
        @if full > 0 {
            div.scroll tabindex="0" role="region" aria-label="Planned against capacity" {
                table.heat {
                    caption {
                        "Planned against capacity, in per cent of what an hour of UTC takes."
                    }
                    thead { tr {
                        th scope="col" { "day" }
                        @for hour in 0..24 { th scope="col" { (hour) } }
                    } }
                    tbody { @for (day, hours) in by_day(campaign) { tr {
                        th scope="row" { (day) }
                        @for share in hours { (heat_cell(share, share.map(|s| format!("{:.0}", 100.0 * s)))) }
                    } } }
                }
            }
        }
    }
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

fn calibration(campaign: &CampaignOutcome) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Calibration" {
            table {
                caption { "Calibration on the chosen slots: what was forecast, and what is true." }
                thead { tr {
                    th scope="col" { "messages" } th scope="col" { "forecast" }
                    th scope="col" { "true chance" }
                } }
                tbody { @for group in &campaign.calibration { tr {
                    th scope="row" { (group.messages) }
                    td { (percent(group.forecast)) }
                    td { (percent(group.chance)) }
                } } }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn heat(week: &Week) -> Markup {
    let most = week.presence.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(week.name) {
            table.heat {
                caption {
                    (week.name) " — " (week.people)
                    @if week.people == 1 { " person" } @else { " people" }
                    "; per mille of presence in each hour"
                }
                thead { tr {
                    th scope="col" { "day" }
                    @for hour in 0..24 { th scope="col" { (hour) } }
                } }
                tbody { @for (day, hours) in DAYS.iter().zip(week.presence.chunks_exact(24)) { tr {
                    th scope="row" { (day) }
                    @for share in hours {
                        (heat_cell(Some(share / most), Some(format!("{:.0}", 1000.0 * share))))
                    }
                } } }
            }
        }
    }
}

fn heat_cell(strength: Option<f64>, text: Option<String>) -> Markup {
    let alpha = strength.unwrap_or(0.0).clamp(0.0, 1.0);
    html! {
        td style={ "background:rgba(var(--heat)," (format!("{:.2}", 0.9 * alpha)) ")" } {
            (text.unwrap_or_default())
        }
    }
}

/// A word as files spell it.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A row of the table of numbers: a policy in a scenario.
#[derive(Debug, Serialize)]
pub struct CsvRow<'t> {
    scenario: &'t str,
    policy: String,
    figure: &'static str,
    mean: f64,
    low: Option<f64>,
    high: Option<f64>,
}

/// Every figure of every policy, for a spreadsheet.
pub fn figures(told: &[Told]) -> impl Iterator<Item = CsvRow<'_>> {
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
            figures.into_iter().filter_map(move |(name, figure)| {
                let figure = figure?;
                Some(CsvRow {
                    scenario: &told.scenario,
                    policy: word(&row.policy),
                    figure: name,
                    mean: figure.mean,
                    low: figure.low,
                    high: figure.high,
                })
            })
        })
    })
}
