//! Pictures that are also text: whatever is drawn carries the figures that it is drawn from.
//!
//! Reports and the daemon's pages share them, and one stylesheet. No style stands in an element, so that
//! pages can forbid it.

use maud::{Markup, html};

/// How pages and reports look: light and dark, narrow and wide, and on paper.
pub const STYLE: &str = include_str!("style.css");

/// A line of a [`forest`].
pub struct Line {
    /// What it is of.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// The ends of its interval.
    pub interval: Option<(f64, f64)>,
    /// All of it in words.
    pub text: String,
}

/// Figures with their intervals on one axis: above each line its name and what it says in words.
pub fn forest(what: &str, lines: &[Line]) -> Markup {
    const LEFT: f64 = 8.0;
    const WIDTH: f64 = 784.0;
    const LINE: f64 = 44.0;
    if lines.is_empty() {
        return html! {};
    }
    let ends = lines.iter().flat_map(|line| {
        let (low, high) = line.interval.unwrap_or((line.value, line.value));
        [low, line.value, high]
    });
    let (lowest, highest) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let margin = 0.05 * (highest - lowest).max(1e-9);
    // what is never below nothing has no axis there
    let low = if lowest >= 0.0 { (lowest - margin).max(0.0) } else { lowest - margin };
    let span = highest + margin - low;
    let x = |value: f64| LEFT + WIDTH * (value - low) / span;
    let height = LINE * lines.len() as f64 + 30.0;
    let ticks = ticks(low, low + span);
    html! {
        figure {
            svg role="img" viewBox={ "0 0 " (LEFT + WIDTH + 8.0) " " (height) } {
                title { (what) ", with intervals" }
                @for (value, name) in &ticks {
                    text.tick x=(at(x(*value))) y=(height - 6.0) text-anchor=(anchor(x(*value))) {
                        (name)
                    }
                }
                @for (index, line) in lines.iter().enumerate() {
                    @let top = LINE * index as f64;
                    @let y = top + 31.0;
                    text x="0" y=(top + 19.0) { (line.name) }
                    text.tick x=(LEFT + WIDTH + 8.0) y=(top + 19.0) text-anchor="end" { (line.text) }
                    line.axis x1=(LEFT) x2=(LEFT + WIDTH) y1=(y) y2=(y) {}
                    @for (value, _) in &ticks {
                        line.axis x1=(at(x(*value))) x2=(at(x(*value))) y1=(y - 4.0) y2=(y + 4.0) {}
                    }
                    @if let Some((low, high)) = line.interval {
                        line.whisker x1=(at(x(low))) x2=(at(x(high))) y1=(y) y2=(y) {}
                    }
                    circle.dot cx=(at(x(line.value))) cy=(y) r="4.5" {
                        title { (line.name) ": " (line.text) }
                    }
                }
            }
            figcaption { (what) "." }
        }
    }
}

fn at(x: f64) -> String {
    format!("{x:.1}")
}

/// How a text at a place of a picture of 800 stands, so that its ends stay within.
fn anchor(x: f64) -> &'static str {
    if x < 40.0 {
        "start"
    } else if x > 760.0 {
        "end"
    } else {
        "middle"
    }
}

/// Round figures between two ends, with as many digits as tell them apart.
fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let least = ((high - low) / 4.0).max(1e-9);
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|times| times * power);
    let step = steps.into_iter().find(|step| *step >= least).unwrap_or(10.0 * power);
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let tick = |times: i64| times as f64 * step;
    (first..=last).map(tick).map(|value| (value, format!("{value:.digits$}"))).collect()
}

/// Chances against the shares that came true, with the diagonal on which both are equal.
pub fn reliability(what: &str, bins: &[(f64, f64)]) -> Markup {
    const SIDE: f64 = 300.0;
    const LEFT: f64 = 10.0;
    let most = bins.iter().flat_map(|(chance, came)| [*chance, *came]).fold(1e-9, f64::max);
    let x = |chance: f64| at(LEFT + SIDE * chance / most);
    let y = |came: f64| at(10.0 + SIDE * (1.0 - came / most));
    html! {
        figure {
            svg.square role="img" viewBox={ "0 0 " (LEFT + SIDE + 10.0) " " (SIDE + 44.0) } {
                title { (what) }
                line.axis x1=(x(0.0)) x2=(x(most)) y1=(y(0.0)) y2=(y(most)) {}
                line.axis x1=(x(0.0)) x2=(x(most)) y1=(y(0.0)) y2=(y(0.0)) {}
                line.axis x1=(x(0.0)) x2=(x(0.0)) y1=(y(0.0)) y2=(y(most)) {}
                @for (chance, came) in bins {
                    circle.dot cx=(x(*chance)) cy=(y(*came)) r="4.5" {
                        title { (percent(*chance)) " → " (percent(*came)) }
                    }
                }
                text.tick x=(x(most)) y=(SIDE + 36.0) text-anchor="end" {
                    "forecast, to " (percent(most))
                }
                text.tick x=(x(0.0)) y=(SIDE + 36.0) text-anchor="middle" { "0" }
                text.tick x=(LEFT + 8.0) y="22" { "came true, to " (percent(most)) }
            }
            figcaption { (what) "; on the line both are equal." }
        }
    }
}

/// Counts by hour of the day.
pub fn bars(what: &str, hours: &[u64; 24]) -> Markup {
    let names: Vec<String> = (0..24).map(|hour| hour.to_string()).collect();
    stacked(what, &names, &[(String::new(), hours.to_vec())], &[])
}

/// Counts by span of time, one upon another where there are several kinds; `most` is a line above each
/// span that is bounded.
pub fn stacked(
    what: &str,
    spans: &[String],
    kinds: &[(String, Vec<u64>)],
    most: &[Option<u64>],
) -> Markup {
    const WIDTH: f64 = 800.0;
    const HEIGHT: f64 = 150.0;
    let of = |kind: &(String, Vec<u64>), at: usize| kind.1.get(at).copied().unwrap_or(0);
    let sum = |at: usize| kinds.iter().map(|kind| of(kind, at)).sum::<u64>();
    let bounds = most.iter().flatten().copied();
    // a bound that is far above everything would leave no bar to see
    let highest = (0..spans.len()).map(sum).max().unwrap_or(0).max(1);
    let top = bounds.filter(|most| *most < 4 * highest).fold(highest, u64::max) as f64;
    let step = WIDTH / spans.len().max(1) as f64;
    let height = |count: u64| HEIGHT * count as f64 / top;
    // as many names as fit beside each other, the first of which may begin where others have their middle
    let longest = spans.iter().map(|span| span.chars().count()).max().unwrap_or(1);
    let fitting = (WIDTH / (10.5 * longest as f64 + 12.0)).max(1.0) as usize;
    let shown = spans.len().div_ceil(fitting).max(1);
    let has_counts = spans.len() <= 24;
    html! {
        figure {
            svg.stacked role="img" viewBox={ "0 -8 " (WIDTH) " " (HEIGHT + 48.0) } {
                title { (what) }
                line.axis x1="0" x2=(WIDTH) y1="16" y2="16" {}
                line.axis x1="0" x2=(WIDTH) y1=(16.0 + HEIGHT) y2=(16.0 + HEIGHT) {}
                text.tick.few[has_counts] x="0" y="11" { (top) }
                @for (at_span, span) in spans.iter().enumerate() {
                    @let x = step * at_span as f64;
                    @let bound = most.get(at_span).copied().flatten();
                    g {
                        title {
                            (span) ": " (sum(at_span))
                            @if let Some(bound) = bound { " of " (bound) }
                        }
                        @for (index, kind) in kinds.iter().enumerate() {
                            @let below: u64 = kinds[..index].iter().map(|kind| of(kind, at_span)).sum();
                            @let count = of(kind, at_span);
                            @if count > 0 {
                                rect class={ "kind-" (index) } x=(at(x + 1.0))
                                    y=(at(16.0 + HEIGHT - height(below + count)))
                                    width=(at((step - 2.0).max(0.5))) height=(at(height(count))) {}
                            }
                        }
                        @if let Some(bound) = bound.filter(|bound| *bound as f64 <= top) {
                            line.whisker x1=(at(x)) x2=(at(x + step))
                                y1=(at(16.0 + HEIGHT - height(bound)))
                                y2=(at(16.0 + HEIGHT - height(bound))) {}
                        }
                    }
                    @if has_counts && sum(at_span) > 0 {
                        text.tick.many x=(at(x + step / 2.0)) text-anchor="middle"
                            y=(at(12.0 + HEIGHT - height(sum(at_span)))) { (sum(at_span)) }
                    }
                    @if at_span % shown == 0 {
                        text.tick.many[at_span / shown % 2 == 1] x=(at(x + step / 2.0))
                            y=(HEIGHT + 36.0) text-anchor=(anchor(x + step / 2.0)) {
                            (span)
                        }
                    }
                }
            }
            figcaption {
                (what) "."
                @if kinds.len() > 1 {
                    @for (index, (name, _)) in kinds.iter().enumerate() {
                        " " span class={ "key key-" (index) } {} " " (name)
                    }
                }
            }
        }
    }
}

/// A week as a heat map: a row a day, a cell an hour, as dark as the hour's figure is large.
pub fn week(caption: &str, hours: &[f64], text: impl Fn(usize) -> Option<String>) -> Markup {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let most = hours.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let head = html! {
        th scope="col" { "day" }
        @for hour in 0..24 { th scope="col" { (hour) } }
    };
    let rows = html! { @for (day, of_day) in hours.chunks_exact(24).take(7).enumerate() { tr {
        th scope="row" { (DAYS[day]) }
        @for (hour, figure) in of_day.iter().enumerate() {
            (heat_cell(Some(figure / most), text(day * 24 + hour)))
        }
    } } };
    heat_table(caption, &head, &rows)
}

/// A table whose cells are as dark as their figures are large.
pub fn heat_table(caption: &str, head: &Markup, rows: &Markup) -> Markup {
    html! { div.heat { (scrolling(caption, caption, head, rows)) } }
}

/// A table that scrolls by itself where it is too wide, so that the page does not.
pub fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> Markup {
    let rows = html! {
        @for row in rows { tr { @for (at, cell) in row.iter().enumerate() {
            @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
        } } }
    };
    scrolled(caption, caption, head, &rows)
}

/// The same, with rows that are drawn already; an empty caption is none.
pub fn scrolled(label: &str, caption: &str, head: &[&str], rows: &Markup) -> Markup {
    let head = html! { @for name in head { th scope="col" { (name) } } };
    scrolling(label, caption, &head, rows)
}

/// The same, of words and times: they begin at the left, where figures end at the right.
pub fn scrolled_words(label: &str, caption: &str, head: &[&str], rows: &Markup) -> Markup {
    html! { div.words { (scrolled(label, caption, head, rows)) } }
}

/// The same, with cells of the head that are drawn already.
pub fn scrolling(label: &str, caption: &str, head: &Markup, rows: &Markup) -> Markup {
    html! {
        // beside the table and not in it, where it would be as narrow or as wide as the table is
        @if !caption.is_empty() { p.caption { (caption) } }
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { (head) } }
                tbody { (rows) }
            }
        }
    }
}

/// A cell as dark as its figure is large; `strength` 0 to 1.
pub fn heat_cell(strength: Option<f64>, text: Option<String>) -> Markup {
    let shade = (strength.unwrap_or(0.0).clamp(0.0, 1.0) * 9.0).round() as u32;
    html! { td class={ "k" (shade) } { (text.unwrap_or_default()) } }
}

/// A share for people.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
