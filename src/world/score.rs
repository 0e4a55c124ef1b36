//! Choices measured against the truth: the share of what an all-knowing chooser gains over a
//! random one, `(V − V_random) / (V_oracle − V_random)`, in time, in content, and jointly.

use std::time::Duration;

use super::person::Person;
use crate::model::content::Content;
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// What was chosen for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Hour of the person's local week, 0 to 167.
    pub hour: usize,
    /// Index into the contents on offer.
    pub content: usize,
}

/// What the choices were made of.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// Any instant of the week in which was sent.
    pub week: Instant,
    /// The contents on offer.
    pub contents: &'q [Content],
    /// Opening counts when it comes within this time.
    pub within: Duration,
}

/// One person's chances to open: at random, as chosen, and at best.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Values {
    /// Mean over all that was on offer.
    pub random: f64,
    /// What was chosen.
    pub chosen: f64,
    /// The best of all that was on offer.
    pub oracle: f64,
}

/// One person's values in three views.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Over hours, the contents averaged.
    pub time: Values,
    /// Over contents, the hours averaged.
    pub content: Values,
    /// Over both together.
    pub joint: Values,
}

/// A share of the oracle's gain over all people: 1 is the oracle, 0 is random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The share.
    pub share: f64,
    /// Its standard error over people.
    pub error: f64,
}

/// The person's true chances by hour of the week and content.
pub fn chances(person: &Person<'_>, question: &Question<'_>) -> Vec<Vec<f64>> {
    let hour = |hour: usize| {
        let at = person.middle_of(question.week, hour);
        let tastes: Vec<f64> = question.contents.iter().map(|c| person.taste(c, at)).collect();
        person.chances_to_open(at, &tastes, question.within)
    };
    (0..WEEK_HOURS).map(hour).collect()
}

/// Scores a choice for one person.
pub fn score(person: &Person<'_>, question: &Question<'_>, chosen: Chosen) -> Score {
    assert!(chosen.hour < WEEK_HOURS && chosen.content < question.contents.len(), "{chosen:?}");
    let table = chances(person, question);
    let count = question.contents.len();
    let by_hour: Vec<f64> =
        table.iter().map(|row| row.iter().sum::<f64>() / count as f64).collect();
    let by_content: Vec<f64> = (0..count)
        .map(|c| table.iter().map(|row| row[c]).sum::<f64>() / WEEK_HOURS as f64)
        .collect();
    let all: Vec<f64> = table.concat();
    Score {
        time: Values::of(&by_hour, chosen.hour),
        content: Values::of(&by_content, chosen.content),
        joint: Values::of(&all, chosen.hour * count + chosen.content),
    }
}

impl Values {
    fn of(values: &[f64], chosen: usize) -> Self {
        Self {
            random: values.iter().sum::<f64>() / values.len() as f64,
            chosen: values[chosen],
            oracle: values.iter().copied().fold(0.0, f64::max),
        }
    }
}

impl Share {
    /// The share over people, as a ratio of sums, with its standard error by the delta method;
    /// nothing when there was nothing to gain.
    pub fn of(values: impl Iterator<Item = Values> + Clone) -> Option<Self> {
        let gains = values.map(|v| (v.chosen - v.random, v.oracle - v.random));
        let (gained, possible) =
            gains.clone().fold((0.0, 0.0), |(g, p), (gained, most)| (g + gained, p + most));
        (possible > 0.0).then(|| {
            let share = gained / possible;
            let squares: f64 = gains.map(|(gained, most)| (gained - share * most).powi(2)).sum();
            Self { share, error: squares.sqrt() / possible }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content::Media;
    use crate::model::time::parse_instant;
    use crate::world::World;
    use crate::world::spec::Spec;

    fn best(values: impl Iterator<Item = f64>) -> usize {
        values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
    }

    #[test]
    fn the_oracle_gets_everything_chance_nothing_and_nobody_more() {
        let contents =
            [Media::Text, Media::Image, Media::Video].map(|media| Content { media, style: None });
        let week = parse_instant("test", "2026-05-06T00:00:00Z").unwrap();
        for spec in [Spec::demo(), Spec::friendly(), Spec::hostile()] {
            let world = World::new(&Spec { people: 300, ..spec }, 9).unwrap();
            let within = Duration::from_hours(2);
            let question = Question { week, contents: &contents, within };
            let (mut oracle, mut blind) = (Vec::new(), Vec::new());
            for index in 0..world.size() {
                let person = world.person(index);
                let table = chances(&person, &question);
                let flat = table.concat();
                assert!(flat.iter().all(|chance| (0.0..=1.0).contains(chance)));
                let all = best(flat.into_iter());
                let chosen = Chosen { hour: all / 3, content: all % 3 };
                oracle.push(score(&person, &question, chosen));
                // steps coprime to hours and contents visit all of them alike
                let chosen = Chosen { hour: (index * 55) % 168, content: index % 3 };
                blind.push(score(&person, &question, chosen));
            }
            let share = |scores: &[Score], view: fn(&Score) -> Values| {
                Share::of(scores.iter().map(view)).unwrap()
            };
            let top = share(&oracle, |s| s.joint);
            assert!((top.share - 1.0).abs() < 1e-12 && top.error < 1e-12, "{top:?}");
            for view in [|s: &Score| s.time, |s: &Score| s.content, |s: &Score| s.joint] {
                let random = share(&blind, view);
                assert!(random.share.abs() < 4.5 * random.error, "{random:?}");
                assert!(share(&oracle, view).share <= 1.0 + 1e-12);
            }
        }
    }

    #[test]
    fn nothing_to_gain_has_no_share() {
        let flat = Values { random: 0.2, chosen: 0.2, oracle: 0.2 };
        assert_eq!(Share::of([flat, flat].into_iter()), None);
    }
}
