//! What a marketer should know of a population: chronotypes and their sizes, weekend people,
//! affinities by segment, and what is unsure together with what would settle it.
//!
//! *Invariant:* nothing is said of fewer than [`SEGMENT_MIN`] people, and no difference is told
//! whose 95 % interval holds none.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::learn::data::observations::TimeSpan;
use crate::learn::data::subject::{Subject, seconds};
use crate::learn::evaluate::drift::{Drift, PartDrift, SEGMENT_MIN, drift};
use crate::learn::infer::model::Model;
use crate::learn::parallel::map;
use crate::learn::statistics::estimate::{Estimate, Z};
use crate::model::content::Content;
use crate::model::preference::{Preference, WEEK_HOURS};
use crate::model::time::Instant;

/// With fewer observations a person's habits are mostly those of others.
const EVIDENCE_MIN: f64 = 5.0;
/// A weekend is two days of seven; more than this share of one's presence is a habit.
const WEEKEND_SHARE: f64 = 0.4;
/// Affinities that differ by less are not worth a word.
const TASTE_MIN: f64 = 0.05;
/// Contents with fewer delivered messages are unsure: of a share of a fifth, so many leave an
/// interval of ± 5 points.
const MESSAGES_MIN: usize = 200;
/// As many tell an hour from an average one where a tenth is read within two hours, to ± 8 points.
const HOUR_MESSAGES: usize = 50;

/// What an insight is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The size of a chronotype.
    Chronotype,
    /// People whose weekend matters.
    Weekend,
    /// What everybody, or a segment, likes better or worse.
    Taste,
    /// Habits that moved lately.
    Drift,
    /// What the data does not tell.
    Unsure,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Insight {
    /// What it is about.
    pub about: About,
    /// In plain words.
    pub text: String,
    /// People it rests on; messages where it is about those.
    pub size: usize,
    /// The figure in it.
    pub figure: Estimate,
}

/// Computes what is sure, and what is not.
pub fn insights(model: &Model, people: &[Subject<'_>], as_of: Instant) -> Vec<Insight> {
    let known: Vec<&Subject<'_>> =
        people.iter().filter(|subject| !subject.evidence.is_empty()).collect();
    let portraits = map(&known, |subject| Portrait::new(model, subject, as_of));
    let clear: Vec<&Portrait> = portraits.iter().filter(|p| p.evidence >= EVIDENCE_MIN).collect();
    let mut insights = chronotypes(model, &clear);
    insights.extend(weekend(&clear));
    insights.extend(liked(model, &portraits));
    insights.extend(tastes(model, &known, &portraits));
    insights.extend(moved(&drift(model, people, as_of)));
    insights.extend(unsure(model, &portraits));
    insights
}

/// What is kept of one person while insights are gathered.
struct Portrait {
    chronotype: String,
    evidence: f64,
    weekend: f64,
    /// Affinity for each content, relative to the person's mean, where the person was sent it.
    tastes: Vec<Option<f64>>,
    /// Delivered messages by content, and by hour of the week in which they came.
    sent: Vec<usize>,
    came: Vec<(usize, usize)>,
}

impl Portrait {
    fn new(model: &Model, subject: &Subject<'_>, as_of: Instant) -> Self {
        let preference: Preference = model.preference(subject, as_of);
        let observations =
            subject.observations(TimeSpan { from: 0, until: seconds(as_of) }, &model.reporting);
        let list = model.contents.list();
        let mut sent = vec![0; list.len()];
        let mut came: BTreeMap<usize, usize> = BTreeMap::new();
        for interval in &observations.intervals {
            *came.entry(usize::from(interval.start)).or_default() += 1;
            if let Some(sent) = interval.content.and_then(|c| sent.get_mut(usize::from(c))) {
                *sent += 1;
            }
        }
        let taste = |(content, sent): (_, &usize)| (*sent > 0).then(|| preference.taste(content));
        Self {
            chronotype: preference.chronotype().to_owned(),
            evidence: preference.evidence(),
            weekend: preference.presence()[120..].iter().sum(),
            tastes: list.iter().zip(&sent).map(taste).collect(),
            sent,
            came: came.into_iter().collect(),
        }
    }
}

/// `23 % (20–26 %)`.
fn percent(figure: Estimate) -> String {
    let [value, low, high] = [figure.value, figure.low, figure.high].map(|x| x * 100.0);
    format!("{value:.0} % ({low:.0}–{high:.0} %)")
}

fn chronotypes(model: &Model, people: &[&Portrait]) -> Vec<Insight> {
    let peaks: BTreeMap<&str, usize> = model.peaks().collect();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for person in people {
        *sizes.entry(&person.chronotype).or_default() += 1;
    }
    let mut sizes: Vec<(&str, usize)> = sizes.into_iter().collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let told = sizes.into_iter().filter(|(_, size)| *size >= SEGMENT_MIN && *size < people.len());
    told.map(|(name, size)| {
        let figure = Estimate::share(size, people.len());
        let hour = peaks.get(name).copied().unwrap_or(0);
        let text = format!(
            "{} of people are of the chronotype {name}: most present around {hour:02}:00.",
            percent(figure)
        );
        Insight { about: About::Chronotype, text, size, figure }
    })
    .collect()
}

fn weekend(people: &[&Portrait]) -> Option<Insight> {
    let size = people.iter().filter(|person| person.weekend > WEEKEND_SHARE).count();
    (size >= SEGMENT_MIN).then(|| {
        let figure = Estimate::share(size, people.len());
        let text = format!(
            "{} of people are weekend people: Saturday and Sunday hold more than {:.0} % of their \
             presence.",
            percent(figure),
            WEEKEND_SHARE * 100.0
        );
        Insight { about: About::Weekend, text, size, figure }
    })
}

/// Contents that people surely like better or worse than what else they are sent.
fn liked(model: &Model, portraits: &[Portrait]) -> Vec<Insight> {
    let told = |(number, content): (usize, &Content)| {
        let tastes: Vec<f64> = portraits.iter().filter_map(|p| p.tastes[number]).collect();
        if tastes.len() < SEGMENT_MIN {
            return None;
        }
        let n = tastes.len() as f64;
        let value = tastes.iter().sum::<f64>() / n;
        let error =
            (tastes.iter().map(|x| (x - value).powi(2)).sum::<f64>() / n / (n - 1.0)).sqrt();
        let figure = Estimate { value, low: value - Z * error, high: value + Z * error };
        if figure.low < 1.0 + TASTE_MIN && figure.high > 1.0 - TASTE_MIN {
            return None;
        }
        let [value, low, high] = [figure.value, figure.low, figure.high].map(|x| 100.0 * (x - 1.0));
        let text = format!(
            "People are {value:+.0} % ({low:+.0} to {high:+.0} %) as likely to engage with {content} \
             as with what they are sent on average."
        );
        Some(Insight { about: About::Taste, text, size: tastes.len(), figure })
    };
    model.contents.list().iter().enumerate().filter_map(told).collect()
}

/// How habits moved in the last four weeks.
fn moved(drift: &Drift) -> Vec<Insight> {
    let part = |part: &PartDrift| {
        let [value, low, high] = [0.0, -Z, Z].map(|errors| part.change + errors * part.error);
        (drift.people, Estimate { value, low, high })
    };
    let count = drift.moved.iter().map(|(_, people)| people).sum();
    let moved = (count, Estimate::share(count, drift.watched.max(1)));
    let figures = drift.parts.iter().map(part).chain([moved]);
    let told = drift.words().into_iter().zip(figures);
    told.map(|(text, (size, figure))| Insight { about: About::Drift, text, size, figure }).collect()
}

/// Segments that like a content surely better or worse than the others do.
fn tastes(model: &Model, people: &[&Subject<'_>], portraits: &[Portrait]) -> Vec<Insight> {
    let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (subject, portrait)) in people.iter().zip(portraits).enumerate() {
        let chronotype = format!("chronotype {}", portrait.chronotype);
        for segment in subject.segments().chain([chronotype]) {
            members.entry(segment).or_default().push(index);
        }
    }
    let mut insights = Vec::new();
    for (number, content) in model.contents.list().iter().enumerate() {
        let of = |index: &usize| portraits[*index].tastes[number];
        let all: Vec<f64> = portraits.iter().filter_map(|p| p.tastes[number]).collect();
        for (segment, members) in &members {
            let inside: Vec<f64> = members.iter().filter_map(of).collect();
            if inside.len() < SEGMENT_MIN || all.len() < inside.len() + SEGMENT_MIN {
                continue;
            }
            let figure = ratio(&inside, &all);
            if figure.low < 1.0 + TASTE_MIN && figure.high > 1.0 - TASTE_MIN {
                continue;
            }
            let (low, high) = ((figure.low - 1.0) * 100.0, (figure.high - 1.0) * 100.0);
            let text = format!(
                "People of {segment} are {:+.0} % ({low:+.0} to {high:+.0} %) as likely as others to \
                 engage with {content}, each compared with their own average.",
                (figure.value - 1.0) * 100.0
            );
            insights.push(Insight { about: About::Taste, text, size: inside.len(), figure });
        }
    }
    insights
}

/// The mean inside over the mean of the rest, with an interval by the delta method. `all` holds
/// `inside` too.
fn ratio(inside: &[f64], all: &[f64]) -> Estimate {
    let moments = |values: &[f64]| {
        let n = values.len() as f64;
        (n, values.iter().sum::<f64>(), values.iter().map(|x| x * x).sum::<f64>())
    };
    let ((n, sum, squares), (n_all, sum_all, squares_all)) = (moments(inside), moments(all));
    let (n_rest, sum_rest, squares_rest) = (n_all - n, sum_all - sum, squares_all - squares);
    let relative = |n: f64, sum: f64, squares: f64| {
        let mean = sum / n;
        (squares / n - mean * mean).max(0.0) / n / (mean * mean)
    };
    let value = sum / n / (sum_rest / n_rest);
    let error = (relative(n, sum, squares) + relative(n_rest, sum_rest, squares_rest)).sqrt();
    Estimate { value, low: value * (-Z * error).exp(), high: value * (Z * error).exp() }
}

/// What the data leaves open, and what would settle it.
fn unsure(model: &Model, portraits: &[Portrait]) -> Vec<Insight> {
    let mut insights = Vec::new();
    let thin = portraits.iter().filter(|person| person.evidence < EVIDENCE_MIN).count();
    if thin >= SEGMENT_MIN {
        let figure = Estimate::share(thin, portraits.len());
        let text = format!(
            "Of {} of people with history fewer than {EVIDENCE_MIN:.0} observations are known: their \
             habits are mostly those of people like them. Messages to them teach most.",
            percent(figure)
        );
        insights.push(Insight { about: About::Unsure, text, size: thin, figure });
    }
    let messages: usize = portraits.iter().flat_map(|p| &p.came).map(|(_, n)| n).sum();
    if messages == 0 {
        return insights;
    }
    for (number, content) in model.contents.list().iter().enumerate() {
        let sent: usize = portraits.iter().map(|person| person.sent[number]).sum();
        if sent < MESSAGES_MIN {
            let text = format!(
                "Only {sent} messages with {content} were delivered: how it is liked is unsure until \
                 about {MESSAGES_MIN} are."
            );
            let figure = Estimate::share(sent, messages);
            insights.push(Insight { about: About::Unsure, text, size: sent, figure });
        }
    }
    let mut hours = [0usize; WEEK_HOURS];
    for (hour, n) in portraits.iter().flat_map(|person| &person.came) {
        hours[*hour] += n;
    }
    let waking = |hour: usize| (8..22).contains(&(hour % 24));
    let blind = (0..WEEK_HOURS).filter(|h| waking(*h) && hours[*h] * WEEK_HOURS * 10 < messages);
    let blind = blind.count();
    if blind > 0 {
        let figure = Estimate::share(blind, 7 * 14);
        let text = format!(
            "In {blind} of the 98 hours of a week between 8:00 and 22:00 hardly any message ever came: \
             what an hour is worth there is inferred from messages that waited. About {} messages of \
             an explore arm, {HOUR_MESSAGES} for each of these hours, would settle it.",
            98 * HOUR_MESSAGES
        );
        insights.push(Insight { about: About::Unsure, text, size: messages, figure });
    }
    insights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tastes_give_no_difference() {
        let all: Vec<f64> = (0..400).map(|i| 0.8 + f64::from(i % 5) / 10.0).collect();
        let figure = ratio(&all[..100], &all);
        assert!(figure.low < 1.0 && 1.0 < figure.high);
        let mut liked: Vec<f64> = all[..100].iter().map(|taste| taste * 1.5).collect();
        let inside = liked.clone();
        liked.extend(&all[100..]);
        assert!(ratio(&inside, &liked).low > 1.3);
    }
}
