//! When people are next seen: the model's weeks and the naive methods' judged on presence events
//! that none of them knew.

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::learn::data::observations::TimeSpan;
use crate::learn::data::subject::CensoredSubject;
use crate::learn::evaluate::baselines::{Method, PopulationHours, SeenEvent, WeekWeights};
use crate::learn::infer::model::Model;
use crate::learn::statistics::estimate::Estimate;
use crate::learn::statistics::reliability::{calibration_error, reliability};

/// Bounds of the groups by amount of history: at most so many older observations.
const HISTORY: [usize; 5] = [4, 9, 19, 49, usize::MAX];
/// Groups with fewer people are left out.
const PEOPLE_MIN: usize = 20;

/// The methods side by side on when people were next seen; means over people.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PresenceEvaluation {
    /// People with older observations and newer presence events.
    pub people: usize,
    /// Newer presence events.
    pub events: usize,
    /// A row a method, the model first.
    pub methods: Vec<PresenceRow>,
    /// The model against everybody's habit, by how much was known of a person.
    pub by_history: Vec<HistoryRow>,
}

/// One method's figures.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
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
    /// Expected calibration error of the chances of each hour of the day, in ten bins.
    pub calibration_error: Option<f64>,
    /// By how much the model's mean of both losses is lower; positive where the model is better.
    pub model_gain: Option<Estimate>,
    /// By how much the model's share of events in its three likeliest hours is higher.
    pub model_top_3_gain: Option<Estimate>,
}

/// The model's gain on everybody's habit among people of whom so much was known.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HistoryRow {
    /// At least so many older observations.
    pub from: usize,
    /// At most so many; absent: any number.
    pub to: Option<usize>,
    /// People in the group.
    pub people: usize,
    /// By how much the mean log-loss is lower than the population's, in nats.
    pub gain: Estimate,
}

/// One person's part in the contest: figures by method.
pub(in crate::learn) struct PersonPresence {
    older: usize,
    seen: [f64; 24],
    rows: Vec<MethodResult>,
}

struct MethodResult {
    hours: [f64; 24],
    hour_loss: f64,
    cell_loss: f64,
    top_1: f64,
    top_3: f64,
}

impl PersonPresence {
    /// How all methods did on one person; `None` without newer presence events.
    pub(in crate::learn) fn new(
        model: &Model,
        censored: &CensoredSubject<'_>,
        newer: TimeSpan,
        past: &[SeenEvent],
        population_hours: &PopulationHours,
    ) -> Option<Self> {
        let presences = censored.subject.observations(newer, &model.reporting).presences;
        if presences.is_empty() {
            return None;
        }
        let events: Vec<usize> =
            presences.iter().map(|presence| usize::from(presence.hour)).collect();
        let mut seen = [0.0; 24];
        for hour in &events {
            seen[hour % 24] += 1.0 / events.len() as f64;
        }
        let own = model.preference(&censored.subject, censored.end()).presence();
        let naive = Method::NAIVE.into_iter().map(|method| population_hours.predict(method, past));
        let rows =
            std::iter::once(own).chain(naive).map(|weights| MethodResult::new(&weights, &events));
        Some(Self { older: past.len(), seen, rows: rows.collect() })
    }
}

impl MethodResult {
    fn new(weights: &WeekWeights, events: &[usize]) -> Self {
        let mut hours = [0.0; 24];
        let mut cells = [0.0; 42];
        for (h, weight) in weights.iter().enumerate() {
            hours[h % 24] += weight;
            cells[h / 24 * 6 + h % 24 / 4] += weight;
        }
        let n = events.len() as f64;
        // of hours that are equally likely, each has an equal chance to be among the top
        let share = |count: usize| {
            let above = |h: usize| hours.iter().filter(|other| **other > hours[h]).count();
            let alike = |h: usize| hours.iter().filter(|other| **other >= hours[h]).count();
            let top = |h: usize| {
                let places = count.saturating_sub(above(h)) as f64;
                (places / (alike(h) - above(h)) as f64).min(1.0)
            };
            events.iter().map(|hour| top(hour % 24)).sum::<f64>() / n
        };
        let cell_loss = |h: &usize| -cells[h / 24 * 6 + h % 24 / 4].ln();
        Self {
            hour_loss: events.iter().map(|h| -hours[h % 24].ln()).sum::<f64>() / n,
            cell_loss: events.iter().map(cell_loss).sum::<f64>() / n,
            top_1: share(1),
            top_3: share(3),
            hours,
        }
    }

    fn loss(&self) -> f64 {
        f64::midpoint(self.hour_loss, self.cell_loss)
    }
}

/// Compares all methods over all people; `events` is the number of newer presence events.
pub(in crate::learn) fn evaluate_presence(
    people: &[PersonPresence],
    events: usize,
    random: &mut ChaCha8Rng,
) -> PresenceEvaluation {
    let mut mean = |figure: &dyn Fn(&PersonPresence) -> f64| {
        let figures: Vec<f64> = people.iter().map(figure).collect();
        Estimate::bootstrap(&figures, random)
    };
    let methods = std::iter::once(Method::Model).chain(Method::NAIVE);
    let row = |(index, method): (usize, Method)| {
        let chances = method.is_distribution();
        let naive = index > 0;
        PresenceRow {
            method,
            hour_loss: chances.then(|| mean(&|p| p.rows[index].hour_loss)),
            cell_loss: chances.then(|| mean(&|p| p.rows[index].cell_loss)),
            top_1: mean(&|p| p.rows[index].top_1),
            top_3: mean(&|p| p.rows[index].top_3),
            calibration_error: chances.then(|| {
                let pairs = people.iter().flat_map(|p| p.rows[index].hours.into_iter().zip(p.seen));
                calibration_error(&reliability(pairs.collect(), 10))
            }),
            model_gain: (chances && naive)
                .then(|| mean(&|p| p.rows[index].loss() - p.rows[0].loss())),
            model_top_3_gain: naive.then(|| mean(&|p| p.rows[0].top_3 - p.rows[index].top_3)),
        }
    };
    let methods = methods.enumerate().map(row).collect();
    let population = 1 + Method::NAIVE
        .iter()
        .position(|method| *method == Method::Population)
        .expect("the population is among the naive methods");
    let gains: Vec<(usize, f64)> =
        people.iter().map(|p| (p.older, p.rows[population].loss() - p.rows[0].loss())).collect();
    let by_history = by_history(&gains, random);
    PresenceEvaluation { people: people.len(), events, methods, by_history }
}

/// Gains, each with the person's number of older observations, in groups by that number.
pub(in crate::learn) fn by_history(
    gains: &[(usize, f64)],
    random: &mut ChaCha8Rng,
) -> Vec<HistoryRow> {
    let mut from = 0;
    let mut rows = Vec::new();
    for to in HISTORY {
        let group: Vec<f64> = gains
            .iter()
            .filter(|(older, _)| (from..=to).contains(older))
            .map(|(_, gain)| *gain)
            .collect();
        if group.len() >= PEOPLE_MIN {
            let to = (to < usize::MAX).then_some(to);
            let gain = Estimate::bootstrap(&group, random);
            rows.push(HistoryRow { from, to, people: group.len(), gain });
        }
        from = to.saturating_add(1);
    }
    rows
}
