//! The naive methods as somebody would run them: a rule reads everybody's past once and then names
//! each person's hours. Comparisons plan by a rule in place of a model.

use std::sync::Arc;

use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::{ObservationSet, TimeSpan};
use crate::learn::data::observed::Contents;
use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::subject::Subject;
use crate::learn::evaluate::baselines::{Method, PopulationHours, SeenEvent, WeekWeights, events};
use crate::model::content::Content;
use crate::model::preference::{Answers, ContentFigures, Person, Population, Preference};
use crate::model::time::Instant;

/// Reads of one average content that are assumed before any is seen.
const PSEUDO: f32 = 20.0;
/// So sure that nothing is integrated over: a rule knows no doubt.
const CERTAIN: f32 = 1e6;
/// Log-odds of an opt-out, which no rule counts.
const NEVER: f32 = -20.0;
/// Reads an hour in an average hour: so few that no hour is near certainty, since only the order
/// of hours matters to a rule.
const LEVEL: f32 = 1e-3;

/// A naive method that has seen everybody's past.
#[derive(Debug)]
pub struct BaselinePolicy {
    method: Method,
    population_hours: PopulationHours,
    population: Arc<Population>,
    /// As if nothing were known of channels.
    reporting: ReceiptModel,
    span: TimeSpan,
}

impl BaselinePolicy {
    /// Reads what is known of everybody up to `as_of`. Contents are judged by their share of reads
    /// among all people.
    pub fn learn(
        method: Method,
        people: &[Subject<'_>],
        contents: &Contents,
        as_of: Instant,
    ) -> Self {
        let reporting = ReceiptModel::default();
        let span = TimeSpan { from: 0, until: seconds(as_of) };
        let mut pasts: Vec<Vec<SeenEvent>> = Vec::with_capacity(people.len());
        let population = read_all(people, contents, (span, &reporting), |observations| {
            pasts.push(events(observations));
        });
        let population_hours =
            PopulationHours::new(pasts.iter().filter(|past| !past.is_empty()).map(Vec::as_slice));
        Self { method, population_hours, population, reporting, span }
    }

    /// What the rule makes of one person: the hours it names come first, whatever is asked.
    pub fn preference(&self, subject: &Subject<'_>) -> Preference {
        let past = events(&subject.observations(self.span, &self.reporting));
        let weights = self.population_hours.predict(self.method, &past);
        certain(&self.population, &weights, past.len())
    }
}

/// A preference without any doubt: hours by their weights, contents as everybody reads them.
pub(super) fn certain(
    population: &Arc<Population>,
    weights: &WeekWeights,
    evidence: usize,
) -> Preference {
    let hours = weights.len() as f64;
    let person = Person {
        week: weights.map(|weight| (weight * hours) as f32),
        certainty: [CERTAIN; 24],
        level: LEVEL,
        level_certainty: CERTAIN,
        tastes: population.contents.iter().map(|(_, figures)| (figures.taste, 0.0)).collect(),
        answers: Answers::default(),
        answer_certainty: Answers { click: CERTAIN, reply: CERTAIN, convert: CERTAIN },
        opt_out: NEVER,
        opt_out_certainty: CERTAIN,
        recent: 0.0,
        added: None,
        chronotype: 0,
        chronotype_share: 0.0,
        evidence: evidence as f32,
    };
    Preference::new(Arc::clone(population), person)
}

/// Everybody's past, read person by person, and a population whose contents are judged by it.
pub(super) fn read_all(
    people: &[Subject<'_>],
    contents: &Contents,
    (span, reporting): (TimeSpan, &ReceiptModel),
    mut each: impl FnMut(&ObservationSet),
) -> Arc<Population> {
    let mut reads = vec![(0.0f32, 0.0f32); contents.list().len()];
    for subject in people {
        let observations = subject.observations(span, reporting);
        count_reads(&observations, &mut reads);
        each(&observations);
    }
    let contents = tastes(contents.list(), &reads);
    Arc::new(Population { decay: vec![1.0], contents, ..Population::default() })
}

fn count_reads(observations: &ObservationSet, reads: &mut [(f32, f32)]) {
    for interval in &observations.intervals {
        if let Some(count) =
            interval.content.and_then(|content| reads.get_mut(usize::from(content)))
        {
            count.0 += f32::from(u8::from(interval.seen));
            count.1 += 1.0;
        }
    }
}

/// Each content's share of reads relative to that of all, sorted by content.
fn tastes(list: &[Content], reads: &[(f32, f32)]) -> Vec<(Content, ContentFigures)> {
    let (seen, of) = reads.iter().fold((0.0, 0.0), |sum, (seen, of)| (sum.0 + seen, sum.1 + of));
    let mean = if seen > 0.0 { seen / of } else { 1.0 };
    let taste = |(seen, of): &(f32, f32)| (seen + PSEUDO * mean) / (of + PSEUDO) / mean;
    let figures = |reads| ContentFigures { taste: taste(reads), ..ContentFigures::default() };
    let mut tastes: Vec<_> =
        list.iter().zip(reads).map(|(content, reads)| (content.clone(), figures(reads))).collect();
    tastes.sort_by(|a, b| a.0.cmp(&b.0));
    tastes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::learn::{Channel, Evidence, Observed};
    use crate::model::content::{Goal, Media};
    use crate::model::message::Response;

    /// Monday 2026-06-01.
    const MONDAY: i64 = 1_780_272_000;

    fn person(hour: i64, liked: u16) -> Evidence {
        let mut evidence = Evidence::default();
        let sent = |week: i64| {
            let sent_at = DateTime::from_timestamp(MONDAY + week * 604_800 + 9 * 3600, 0).unwrap();
            let content = u16::try_from(week % 2).unwrap();
            let read_at = (content == liked).then(|| sent_at + TimeDelta::hours(hour - 9));
            let response = Response { delivered_at: Some(sent_at), read_at, ..Response::default() };
            let hash = week as u32;
            let (category, channel) = (None, Channel::default());
            Observed { hash, sent_at, content: Some(content), category, channel, response }
        };
        let messages: Vec<Observed> = (0..12).map(sent).collect();
        evidence.fold(&messages, &[]);
        evidence
    }

    #[test]
    fn a_histogram_names_the_persons_own_hour_and_the_crowds_content() {
        let (video, text) = (Media::Video, Media::Text);
        let mut contents = Contents::default();
        for media in [video, text] {
            contents.enter(&Content { media, style: None });
        }
        let evidence = [person(20, 0), person(14, 0), person(14, 0)];
        let subject =
            |evidence| Subject { zone: chrono_tz::Tz::UTC, country: None, tags: &[], evidence };
        let people: Vec<Subject<'_>> = evidence.iter().map(subject).collect();
        let as_of = DateTime::from_timestamp(MONDAY + 13 * 604_800, 0).unwrap();
        let best = |method, of: usize| {
            let rule = BaselinePolicy::learn(method, &people, &contents, as_of);
            let preference = rule.preference(&people[of]);
            let chances = |media| {
                let content = Content { media, style: None };
                preference.chances(&content, Goal::Read, Duration::from_hours(2))
            };
            assert!(chances(video)[14] > 1.5 * chances(text)[14], "everybody reads videos");
            (0..168).max_by(|a, b| chances(video)[*a].total_cmp(&chances(video)[*b])).unwrap()
        };
        assert_eq!(best(Method::Histogram, 0), 20);
        assert_eq!(best(Method::Histogram, 1), 14);
        assert_eq!(best(Method::Population, 0), 14);
    }
}
