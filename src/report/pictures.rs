//! Pictures that are also text: whatever is drawn carries the figures that it is drawn from.

use maud::{Markup, html};

/// A line of a [`forest`].
pub(super) struct Line {
    /// What it is of.
    pub(super) name: String,
    /// The figure.
    pub(super) value: f64,
    /// The ends of its interval.
    pub(super) interval: Option<(f64, f64)>,
    /// All of it in words.
    pub(super) text: String,
}

/// Figures with their intervals on one axis.
pub(super) fn forest(what: &str, lines: &[Line]) -> Markup {
    const LEFT: f64 = 210.0;
    const WIDTH: f64 = 580.0;
    const LINE: f64 = 26.0;
    let ends = lines.iter().flat_map(|line| {
        let (low, high) = line.interval.unwrap_or((line.value, line.value));
        [low, line.value, high]
    });
    let (low, high) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let margin = 0.05 * (high - low).max(1e-9);
    let (low, span) = (low - margin, high - low + 2.0 * margin);
    let x = |value: f64| LEFT + WIDTH * (value - low) / span;
    let height = LINE * lines.len() as f64 + 30.0;
    html! {
        figure {
            svg role="img" viewBox={ "0 0 " (LEFT + WIDTH + 20.0) " " (height) } {
                title { (what) ", with 95 % intervals" }
                @for (index, line) in lines.iter().enumerate() {
                    @let y = LINE * (index as f64 + 0.5);
                    text x="0" y=(y + 4.0) { (line.name) }
                    line.axis x1=(LEFT) x2=(LEFT + WIDTH) y1=(y) y2=(y) {}
                    @if let Some((low, high)) = line.interval {
                        line.whisker x1=(at(x(low))) x2=(at(x(high))) y1=(y) y2=(y) {}
                    }
                    circle.dot cx=(at(x(line.value))) cy=(y) r="4.5" {
                        title { (line.name) ": " (line.text) }
                    }
                }
                @for step in 0..=4 {
                    @let value = low + span * f64::from(step) / 4.0;
                    text.tick x=(at(x(value))) y=(height - 8.0) text-anchor="middle" {
                        (tick(value, span))
                    }
                }
            }
            figcaption { (what) ". The table below has the figures." }
        }
    }
}

fn at(x: f64) -> String {
    format!("{x:.1}")
}

/// With as many digits as tell the ticks apart.
fn tick(value: f64, span: f64) -> String {
    let digits = (1.0 - (span / 4.0).log10()).ceil().clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

/// Chances against the shares that came true, with the diagonal on which both are equal.
pub(super) fn reliability(what: &str, bins: &[(f64, f64)]) -> Markup {
    const SIDE: f64 = 300.0;
    const LEFT: f64 = 40.0;
    let most = bins.iter().flat_map(|(chance, came)| [*chance, *came]).fold(1e-9, f64::max);
    let x = |chance: f64| at(LEFT + SIDE * chance / most);
    let y = |came: f64| at(10.0 + SIDE * (1.0 - came / most));
    html! {
        figure {
            svg role="img" viewBox={ "0 0 800 " (SIDE + 40.0) } {
                title { (what) }
                line.axis x1=(x(0.0)) x2=(x(most)) y1=(y(0.0)) y2=(y(most)) {}
                line.axis x1=(x(0.0)) x2=(x(most)) y1=(y(0.0)) y2=(y(0.0)) {}
                line.axis x1=(x(0.0)) x2=(x(0.0)) y1=(y(0.0)) y2=(y(most)) {}
                @for (chance, came) in bins {
                    circle.dot cx=(x(*chance)) cy=(y(*came)) r="4.5" {
                        title { (percent(*chance)) " → " (percent(*came)) }
                    }
                }
                text.tick x=(x(most)) y=(SIDE + 30.0) text-anchor="end" { (percent(most)) }
                text.tick x=(x(0.0)) y=(SIDE + 30.0) text-anchor="middle" { "0" }
            }
            figcaption { (what) "; on the line both are equal." }
        }
    }
}

/// Counts by hour of the day.
pub(super) fn bars(what: &str, hours: &[u64; 24]) -> Markup {
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

/// A table that scrolls by itself where it is too wide, so that the page does not.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { @for row in rows { tr { @for (at, cell) in row.iter().enumerate() {
                    @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                } } } }
            }
        }
    }
}

/// A cell as dark as its figure is large; `strength` 0 to 1.
pub(super) fn heat_cell(strength: Option<f64>, text: Option<String>) -> Markup {
    let alpha = strength.unwrap_or(0.0).clamp(0.0, 1.0);
    html! {
        td style={ "background:rgba(var(--heat)," (format!("{:.2}", 0.9 * alpha)) ")" } {
            (text.unwrap_or_default())
        }
    }
}

/// A share for people.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
