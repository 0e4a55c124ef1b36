//! Invented people as the learner sees them, and forecasts against the truth: ratios in all and by
//! fifths of the forecast, and the calibration error.

use std::time::Duration;

use opportune::learn::{Channel, Contents, Evidence, Observed, Subject};
use opportune::model::choice::Chosen;
use opportune::model::content::{Content, Goal};
use opportune::model::message::Message;
use opportune::model::preference::Preference;
use opportune::model::time::Instant;
use opportune::world::World;
use opportune::world::history::PersonHistory;
use opportune::world::person::Person;

/// A forecast chance, and the true one.
pub type Pair = (f64, f64);

/// How forecasts lie to the truth.
#[derive(Debug, Clone, Copy)]
pub struct Fit {
    /// Sum of all forecasts over the sum of all true chances.
    pub total: f64,
    /// Sum of forecasts over sum of true chances, by fifths of the forecast, the least likely first.
    pub ratios: [f64; 5],
    /// The mean true chance of each fifth.
    pub truth: [f64; 5],
    /// Mean distance of the mean forecast from the mean truth, over tenths of the forecasts.
    pub error: f64,
}

impl Fit {
    /// Of these forecasts; there are ten at least.
    pub fn of(mut pairs: Vec<Pair>) -> Self {
        assert!(pairs.len() >= 10, "{} forecasts have no tenths", pairs.len());
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let part = |index: usize, parts: usize| {
            let of = &pairs[index * pairs.len() / parts..(index + 1) * pairs.len() / parts];
            let (forecast, truth) =
                of.iter().fold((0.0, 0.0), |(f, t), pair| (f + pair.0, t + pair.1));
            (forecast / of.len() as f64, truth / of.len() as f64)
        };
        let fifths: [Pair; 5] = std::array::from_fn(|index| part(index, 5));
        // a forecast of what never happens is right
        let ratio = |(forecast, truth): Pair| {
            if forecast <= f64::MIN_POSITIVE && truth <= f64::MIN_POSITIVE {
                1.0
            } else {
                forecast / truth
            }
        };
        Self {
            total: ratio(part(0, 1)),
            ratios: fifths.map(ratio),
            truth: fifths.map(|(_, truth)| truth),
            error: (0..10)
                .map(|index| part(index, 10))
                .map(|(forecast, truth)| (forecast - truth).abs() / 10.0)
                .sum(),
        }
    }
}

impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |values: [f64; 5], digits: usize| {
            values.map(|value| format!("{value:.digits$}")).join(" ")
        };
        write!(
            f,
            "forecast/truth {:.3}, by fifths {}  of {}  error {:.4}",
            self.total,
            words(self.ratios, 2),
            words(self.truth, 4),
            self.error
        )
    }
}

/// What is known of each person of a world from their histories.
pub fn evidence_of(histories: &[PersonHistory], contents: &mut Contents) -> Vec<Evidence> {
    let pack = |history: &PersonHistory| {
        let observed: Vec<Observed> = (0..)
            .zip(&history.messages)
            .map(|(hash, message)| Observed {
                hash,
                sent_at: message.sent_at,
                content: contents.enter(&content_of(message)),
                category: message.category,
                channel: message.channel.as_deref().map(Channel::named).unwrap_or_default(),
                response: message.response.clone(),
            })
            .collect();
        let mut evidence = Evidence::default();
        evidence.fold(&observed, &[]);
        evidence
    };
    histories.iter().map(pack).collect()
}

/// The people of a world, in order, each with their evidence.
pub fn subjects<'a>(world: &World, evidence: &'a [Evidence]) -> Vec<Subject<'a>> {
    let subject = |(index, evidence)| {
        let zone = world.person(index).zone;
        Subject { zone, country: None, tags: &[], evidence }
    };
    evidence.iter().enumerate().map(subject).collect()
}

/// What a message of a world is made of.
pub fn content_of(message: &Message) -> Content {
    Content { media: message.media.expect("worlds say it"), style: message.style.clone() }
}

/// What is forecast of the hour and content with the highest chance to be read within some time, as
/// it is and corrected, and the true chance in the week that holds an instant.
pub fn chosen(
    person: &Person<'_>,
    known: &Preference,
    offer: &[Content],
    (week, within): (Instant, Duration),
) -> [Pair; 2] {
    let tables: Vec<[f32; 168]> =
        offer.iter().map(|content| known.chances(content, Goal::Read, within)).collect();
    let chance = |at: usize| tables[at / 168][at % 168];
    let best = (1..168 * tables.len())
        .fold(0, |best, at| if chance(at) > chance(best) { at } else { best });
    let mean = |table: &[f32; 168]| table.iter().sum::<f32>() / 168.0;
    let corrected = known.choice_correction(within).expected(Chosen {
        chance: chance(best),
        of_content: mean(&tables[best / 168]),
        of_all: tables.iter().map(mean).sum::<f32>() / tables.len() as f32,
        answered: 1.0,
    });
    let truth = person.chance_in_week(week, best % 168, &offer[best / 168], within);
    [(f64::from(chance(best)), truth), (f64::from(corrected), truth)]
}
