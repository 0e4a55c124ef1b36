//! How well the model foretells what people did next, beside what the field does instead.
//!
//! Everybody's history is cut in two by time. The model and each naive method learn the older part;
//! the newer part judges. When a person is seen is judged on signs of presence; whether a message
//! is read soon is judged on messages, and there the part that timing plays, within one person, is
//! told apart from the part that the person plays. Intervals are percentiles of a bootstrap over
//! people.

use std::time::Duration;

use chrono::DateTime;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::learner::{Cut, fit_cut};
use super::model::Model;
use super::naive::{Crowd, Event, Method, Weights, events};
use super::observed::Contents;
use super::parallel::map;
use super::reading::{Read, Receipts, Span};
use super::trials::{Messages, Trial, judge};
use super::{FitError, Settings, Subject, seconds};
use crate::model::content::{Content, Goal};
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 400;
/// Bounds of the groups by amount of history: at most so many older observations.
const HISTORY: [usize; 5] = [4, 9, 19, 49, usize::MAX];
/// Groups with fewer people are left out.
const PEOPLE_MIN: usize = 20;

/// A figure with the ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// 2.5 % of resamples lie below.
    pub low: f64,
    /// 2.5 % of resamples lie above.
    pub high: f64,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The share of each person's history that was held out.
    pub holdout: f64,
    /// When people were next seen; absent without signs of presence.
    pub presence: Option<PresenceContest>,
    /// Whether messages were read soon; absent without messages.
    pub messages: Option<Messages>,
    /// What cannot be told, and how much would be needed to tell it.
    pub notes: Vec<String>,
}

/// The methods side by side on when people were next seen; means over people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PresenceContest {
    /// People with older and newer signs.
    pub people: usize,
    /// Newer signs.
    pub events: usize,
    /// A row a method, the model first.
    pub methods: Vec<PresenceRow>,
    /// The model against everybody's habit, by how much was known of a person.
    pub by_history: Vec<HistoryRow>,
}

/// One method's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PresenceRow {
    /// The method.
    pub method: Method,
    /// Log-loss by hour of day, in nats; absent for a method that gives no chances.
    pub hour_loss: Option<Estimate>,
    /// Log-loss by weekday and four hours, in nats.
    pub cell_loss: Option<Estimate>,
    /// Share of events in the likeliest hour of the day.
    pub top_1: Estimate,
    /// Share of events in the three likeliest hours of the day.
    pub top_3: Estimate,
    /// By how much the model's mean of both losses is lower; positive where the model is better.
    pub model_gain: Option<Estimate>,
}

/// The model's gain on everybody's habit among people of whom so much was known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryRow {
    /// At least so many older observations.
    pub from: usize,
    /// At most so many; absent: any number.
    pub to: Option<usize>,
    /// People in the group.
    pub people: usize,
    /// By how much the mean of both losses is lower than the population's, in nats.
    pub gain: Estimate,
}

/// One person's part in the contest: figures by method.
struct Performance {
    older: usize,
    events: usize,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    hour_loss: f64,
    cell_loss: f64,
    top_1: f64,
    top_3: f64,
}

impl Row {
    fn loss(&self) -> f64 {
        f64::midpoint(self.hour_loss, self.cell_loss)
    }
}

/// Learns everybody's older history and judges by the newer `holdout` share of it.
pub fn evaluate(
    people: &[Subject<'_>],
    contents: &Contents,
    settings: &Settings,
    holdout: f64,
    as_of: Instant,
    seed: u64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Evaluation, FitError> {
    let until = seconds(as_of);
    let known = people.iter().filter(|subject| !subject.evidence.is_empty());
    let cuts: Vec<(Cut<'_>, Span)> = known
        .map(|subject| {
            let (older, newer) = Cut { subject: *subject, until }.divide(1.0 - holdout);
            (Cut { subject: *subject, until: older.until }, newer)
        })
        .filter(|(older, newer)| older.until < newer.until)
        .collect();
    let olds: Vec<Cut<'_>> = cuts.iter().map(|(cut, _)| *cut).collect();
    let model = fit_cut(&olds, contents, settings, as_of, seed, progress)?;
    progress("judging", 0.9);

    let pasts = map(&olds, settings.threads, |cut| events(&model.sight(&cut.subject, cut.span())));
    let crowd = Crowd::new(pasts.iter().filter(|past| !past.is_empty()).map(Vec::as_slice));
    let pairs: Vec<_> = cuts.iter().zip(&pasts).collect();
    let judged = map(&pairs, settings.threads, |((cut, newer), past)| {
        let contest = perform(&model, cut, *newer, past, &crowd);
        (contest, trials(&model, cut, *newer, past, &crowd))
    });
    let (performances, trials): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
    let performances: Vec<Performance> = performances.into_iter().flatten().collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let presence = (!performances.is_empty()).then(|| contest(&performances, &mut random));
    let mut notes = Vec::new();
    if let Some(presence) = &presence {
        notes.extend(doubt(presence));
    }
    let messages = judge(&trials, &mut random);
    Ok(Evaluation { holdout, presence, messages, notes })
}

fn perform(
    model: &Model,
    cut: &Cut<'_>,
    newer: Span,
    past: &[Event],
    crowd: &Crowd,
) -> Option<Performance> {
    let signs = model.sight(&cut.subject, newer).signs;
    if signs.is_empty() {
        return None;
    }
    let hours: Vec<usize> = signs.iter().map(|sign| usize::from(sign.hour)).collect();
    let own = model.preference(&cut.subject, instant(cut.until)).presence();
    let naive = Method::NAIVE.into_iter().map(|method| crowd.guess(method, past));
    let rows = std::iter::once(own).chain(naive).map(|weights| row(&weights, &hours)).collect();
    Some(Performance { older: past.len(), events: hours.len(), rows })
}

fn row(weights: &Weights, events: &[usize]) -> Row {
    let mut hours = [0.0; 24];
    let mut cells = [0.0; 42];
    for (h, weight) in weights.iter().enumerate() {
        hours[h % 24] += weight;
        cells[h / 24 * 6 + h % 24 / 4] += weight;
    }
    let mut order: Vec<usize> = (0..24).collect();
    order.sort_by(|a, b| hours[*b].total_cmp(&hours[*a]));
    let n = events.len() as f64;
    let share = |count: usize| {
        let top = &order[..count];
        events.iter().filter(|hour| top.contains(&(*hour % 24))).count() as f64 / n
    };
    Row {
        hour_loss: events.iter().map(|h| -hours[h % 24].ln()).sum::<f64>() / n,
        cell_loss: events.iter().map(|h| -cells[h / 24 * 6 + h % 24 / 4].ln()).sum::<f64>() / n,
        top_1: share(1),
        top_3: share(3),
    }
}

fn contest(performances: &[Performance], random: &mut ChaCha8Rng) -> PresenceContest {
    let methods = std::iter::once(Method::Model).chain(Method::NAIVE);
    let mut mean = |figure: &dyn Fn(&Performance) -> f64| {
        let figures: Vec<f64> = performances.iter().map(figure).collect();
        bootstrap(&figures, random)
    };
    let rows = methods
        .enumerate()
        .map(|(index, method)| PresenceRow {
            method,
            hour_loss: method.is_distribution().then(|| mean(&|p| p.rows[index].hour_loss)),
            cell_loss: method.is_distribution().then(|| mean(&|p| p.rows[index].cell_loss)),
            top_1: mean(&|p| p.rows[index].top_1),
            top_3: mean(&|p| p.rows[index].top_3),
            model_gain: (method.is_distribution() && index > 0)
                .then(|| mean(&|p| p.rows[index].loss() - p.rows[0].loss())),
        })
        .collect();
    let population = 1 + Method::NAIVE
        .iter()
        .position(|method| *method == Method::Population)
        .expect("the population is among the naive methods");
    let mut from = 1;
    let mut by_history = Vec::new();
    for to in HISTORY {
        let gains: Vec<f64> = performances
            .iter()
            .filter(|p| (from..=to).contains(&p.older))
            .map(|p| p.rows[population].loss() - p.rows[0].loss())
            .collect();
        if gains.len() >= PEOPLE_MIN {
            let to = (to < usize::MAX).then_some(to);
            let gain = bootstrap(&gains, random);
            by_history.push(HistoryRow { from, to, people: gains.len(), gain });
        }
        from = to.saturating_add(1);
    }
    PresenceContest {
        people: performances.len(),
        events: performances.iter().map(|p| p.events).sum(),
        methods: rows,
        by_history,
    }
}

/// The mean with its interval under resampling of people.
pub(super) fn bootstrap(figures: &[f64], random: &mut ChaCha8Rng) -> Estimate {
    let n = figures.len();
    let mean = |sum: f64| sum / n as f64;
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| mean((0..n).map(|_| figures[random.gen_range(0..n)]).sum()))
        .collect();
    means.sort_by(f64::total_cmp);
    let value = mean(figures.iter().sum());
    let tail = RESAMPLES / 40;
    Estimate { value, low: means[tail], high: means[RESAMPLES - 1 - tail] }
}

/// Says so when the model cannot be told from the best naive method, and how many people would do.
fn doubt(contest: &PresenceContest) -> Option<String> {
    let gains = contest.methods.iter().filter_map(|row| Some((row.method, row.model_gain?)));
    let (method, gain) = gains.min_by(|a, b| a.1.value.total_cmp(&b.1.value))?;
    if gain.low > 0.0 || gain.high < 0.0 {
        return None;
    }
    let half = (gain.high - gain.low) / 2.0;
    let times = (half / gain.value.abs().max(1e-9)).powi(2);
    Some(if times > 1e4 {
        format!("On {} people the model and {method:?} foretell equally well.", contest.people)
    } else {
        format!(
            "{} people cannot tell the model from {method:?}; if the difference is as it seems, \
             about {:.0} people would.",
            contest.people,
            contest.people as f64 * times
        )
    })
}

/// A person's newer messages of which it is known whether they were read soon.
fn trials(model: &Model, cut: &Cut<'_>, newer: Span, past: &[Event], crowd: &Crowd) -> Vec<Trial> {
    let within = seconds_of(Trial::WITHIN);
    let sight = model.sight(&cut.subject, Span { from: 0, until: newer.until });
    if sight.receipts != Receipts::On {
        return Vec::new();
    }
    let preference = model.preference(&cut.subject, instant(cut.until));
    let any = Content { media: crate::model::content::Media::Text, style: None };
    let timing = preference.chances(&any, Goal::Read, Trial::WITHIN);
    let shrunk = crowd.guess(Method::ShrunkHistogram, past);
    let older = model.sight(&cut.subject, cut.span());
    let prompt = older.watches.iter().filter(|watch| watch.seen && watch.hours < 2).count();
    let mut trials = Vec::new();
    for sent in cut.subject.evidence.messages().filter(|sent| newer.contains(sent.at)) {
        let Some(read) = Read::new(&sent, newer.until, model.reporting) else { continue };
        let soon = read.seen.is_some_and(|seen| seen <= read.delivered + within);
        if !soon && newer.until < sent.at + read.delivered + within {
            continue;
        }
        let hour = model.hour(&cut.subject, sent.at);
        let list = model.contents.list();
        let content = sent.content.and_then(|c| list.get(usize::from(c))).unwrap_or(&any);
        trials.push(Trial {
            soon,
            chance: f64::from(preference.chances(content, Goal::Read, Trial::WITHIN)[hour]),
            timing: f64::from(timing[hour]),
            shrunk: shrunk[hour] + shrunk[(hour + 1) % WEEK_HOURS],
            person: (prompt as f64, older.watches.len() as f64),
        });
    }
    trials
}

fn seconds_of(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

fn instant(seconds: u32) -> Instant {
    DateTime::from_timestamp(i64::from(seconds), 0).expect("32 bits of seconds are an instant")
}
