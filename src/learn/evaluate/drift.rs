//! Whether habits moved: what was seen lately beside what was expected from all before.
//!
//! Among many people some seem to have moved who did not: by chance, and where little was known of
//! them before. How many do is not computed but counted: the same people, looked at in the same way as
//! of four weeks earlier. Only by how many more seem to have moved lately is told.

use serde::Serialize;

use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::{AGE_MAX, TimeSpan};
use crate::learn::data::subject::Subject;
use crate::learn::infer::model::Model;
use crate::learn::parallel::map;
use crate::learn::statistics::estimate::{Estimate, Z};
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// Fewer people than this are nobody's business.
pub(in crate::learn) const SEGMENT_MIN: usize = 20;
/// Working days and weekends in four parts of six hours, midnight first.
const PARTS: usize = 8;
/// Lately is so many days.
const LATELY_DAYS: u32 = 28;
/// A change is told when it is so many standard errors from none…
const ERRORS: f64 = 4.0;
/// …and at least so large.
const CHANGE_MIN: f64 = 0.1;
/// Parts of the week in which fewer events were expected are passed over.
const EXPECTED_MIN: f64 = 50.0;
/// A person moved when another time of day explains what was seen lately so much better, in nats:
/// a likelihood ratio of a thousand, after having tried 23 shifts.
const MOVED_NATS: f64 = 10.0;
/// Events lately below which nobody is said to have moved.
const EVENTS_MIN: f64 = 8.0;

/// How habits moved, where they surely did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Drift {
    /// Parts of the week in which people are seen surely more or less than expected.
    pub parts: Vec<PartDrift>,
    /// People who seem to have moved by a number of hours, −11 to 12: (hours later, people).
    pub moved: Vec<(i32, usize)>,
    /// Of those seen often enough both lately and in the four weeks before: how many seem to have
    /// moved lately but not then, and then but not lately.
    pub moved_once: [usize; 2],
    /// How many those are.
    pub watched_twice: usize,
    /// People with history before and lately.
    pub people: usize,
    /// People seen often enough lately to tell.
    pub watched: usize,
}

/// One part of the week.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartDrift {
    /// Whether it lies on Saturday and Sunday.
    pub weekend: bool,
    /// Its first hour of the day; it lasts six.
    pub from_hour: usize,
    /// Events seen over events expected, less 1.
    pub change: f64,
    /// Standard error of `change`, people being independent.
    pub error: f64,
}

/// By how many more people moved lately than seem to in any four weeks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct NetMovers {
    pub(in crate::learn) people: usize,
    /// Of those who are seen often.
    pub(in crate::learn) share: Estimate,
}

impl Drift {
    /// People who moved, less as many as chance moves; `None` where these may be all (`McNemar`,
    /// Psychometrika 12, 1947), or fewer than make a segment are left.
    pub(in crate::learn) fn net_movers(&self) -> Option<NetMovers> {
        let [lately, before] = self.moved_once;
        let (people, once) = (lately.saturating_sub(before), (lately + before) as f64);
        if people < SEGMENT_MIN || people as f64 <= ERRORS * once.sqrt() {
            return None;
        }
        let watched = self.watched_twice as f64;
        let value = people as f64 / watched;
        let error = (once / watched - value * value).max(0.0).sqrt() / watched.sqrt();
        let [low, high] = [-Z, Z].map(|errors| (value + errors * error).clamp(0.0, 1.0));
        Some(NetMovers { people, share: Estimate { value, low, high } })
    }

    /// In plain words; nothing is said of fewer people than make a segment.
    pub fn words(&self) -> Vec<String> {
        let part = |part: &PartDrift| {
            let [change, low, high] =
                [0.0, -Z, Z].map(|errors| 100.0 * (part.change + errors * part.error));
            let size = change.abs();
            let less = if change < 0.0 { "less" } else { "more" };
            format!(
                "In the last four weeks people were seen {size:.0} % {less} ({low:+.0} to {high:+.0} \
                 %) {} than their habits before predicted.",
                part.words()
            )
        };
        let mut words: Vec<String> = self.parts.iter().map(part).collect();
        if let Some(NetMovers { people, share }) = self.net_movers() {
            let [low, high] = [share.low, share.high].map(|share| 100.0 * share);
            words.push(format!(
                "About {people} of {} people who are seen often now live by other hours than before, as \
                 after a move ({low:.0} to {high:.0} %, less those who seem to in any four weeks); their \
                 newest history counts most.",
                self.watched_twice
            ));
        }
        words
    }
}

impl PartDrift {
    /// `on working days from 18:00 to 24:00`.
    pub(in crate::learn) fn words(&self) -> String {
        let days = if self.weekend { "at weekends" } else { "on working days" };
        format!("{days} from {:02}:00 to {:02}:00", self.from_hour, self.from_hour + 6)
    }
}

/// What one person was seen to do lately, and what was expected.
struct RecentPerson {
    observed: [f64; PARTS],
    expected: [f64; PARTS],
    /// The shift that explains it better than none, if one does beyond doubt.
    moved: Option<i32>,
    is_watched: bool,
}

/// Compares the last four weeks with what `model` and everybody's evidence before them predicted.
pub fn drift(model: &Model, people: &[Subject<'_>], as_of: Instant) -> Drift {
    let until = seconds(as_of);
    let from = until.saturating_sub(LATELY_DAYS * 86_400);
    let known: Vec<&Subject<'_>> = people
        .iter()
        .filter(|s| s.evidence.last(from).is_some() && s.evidence.last(until) > Some(from))
        .collect();
    let earlier = from.saturating_sub(LATELY_DAYS * 86_400);
    let looked_at = map(&known, |subject| {
        let lately = RecentPerson::new(model, subject, from, until);
        let known_then = lately.is_watched && subject.evidence.last(earlier).is_some();
        let before = known_then.then(|| RecentPerson::new(model, subject, earlier, from));
        let moved_before = before.filter(|before| before.is_watched).map(|b| b.moved.is_some());
        (lately, moved_before)
    });
    let twice = || {
        let both = looked_at.iter().filter_map(|(lately, before)| Some((lately, (*before)?)));
        both.map(|(lately, moved_before)| (lately.moved.is_some(), moved_before))
    };
    let once = |which: (bool, bool)| twice().filter(|moved| *moved == which).count();
    let (moved_once, watched_twice) = ([once((true, false)), once((false, true))], twice().count());
    let lately: Vec<RecentPerson> = looked_at.into_iter().map(|(lately, _)| lately).collect();
    let mut shifts = [0usize; 24];
    for shift in lately.iter().filter_map(|person| person.moved) {
        shifts[shift.rem_euclid(24) as usize] += 1;
    }
    let signed = |shift: usize| if shift > 12 { shift as i32 - 24 } else { shift as i32 };
    Drift {
        parts: (0..PARTS).filter_map(|part| change(part, &lately)).collect(),
        moved: (1..24).filter(|s| shifts[*s] > 0).map(|s| (signed(s), shifts[s])).collect(),
        moved_once,
        watched_twice,
        people: lately.len(),
        watched: lately.iter().filter(|person| person.is_watched).count(),
    }
}

fn part(hour: usize) -> usize {
    usize::from(hour / 24 >= 5) * 4 + hour % 24 / 6
}

fn change(part: usize, lately: &[RecentPerson]) -> Option<PartDrift> {
    let sum = |of: &dyn Fn(&RecentPerson) -> f64| lately.iter().map(of).sum::<f64>();
    // more or less of everything is no change of habit
    let scale = sum(&|p| p.observed.iter().sum()) / sum(&|p| p.expected.iter().sum()).max(1e-9);
    let expected = scale * sum(&|p| p.expected[part]);
    let residual = |p: &RecentPerson| p.observed[part] - scale * p.expected[part];
    if expected < EXPECTED_MIN {
        return None;
    }
    // where nothing at all was seen, the events themselves still vary
    let error = sum(&|p| residual(p).powi(2)).max(expected).sqrt() / expected;
    let change = sum(&residual) / expected;
    (change.abs() > (ERRORS * error).max(CHANGE_MIN)).then_some(PartDrift {
        weekend: part >= 4,
        from_hour: part % 4 * 6,
        change,
        error,
    })
}

impl RecentPerson {
    fn new(model: &Model, subject: &Subject<'_>, from: u32, until: u32) -> Self {
        let before = subject.observations(TimeSpan { from: 0, until: from }, &model.reporting);
        let known = model.population.posterior(
            &before,
            model.hyper.observation_weights(),
            &model.prior(subject),
        );
        let mut observations = subject.observations(TimeSpan { from, until }, &model.reporting);
        observations.receipts = before.receipts;
        let mut expected = [0.0f64; WEEK_HOURS];
        let mut observed = [0.0f64; WEEK_HOURS];
        let mut watched = [0.0f64; 24];
        let mut risk = [0.0; AGE_MAX];
        for interval in &observations.intervals {
            let length = model.population.hazard.risk(interval, observations.receipts, &mut risk);
            let scale = known.rates.level * known.affinities.factor(interval.content);
            for (age, risk) in risk[..length].iter().enumerate() {
                let hour = (usize::from(interval.start) + age) % WEEK_HOURS;
                let reach = f64::from(scale * risk);
                watched[hour % 24] += reach;
                expected[hour] += reach * f64::from(known.rates.week[hour]);
            }
            if interval.seen {
                observed
                    [(usize::from(interval.start) + usize::from(interval.hours)) % WEEK_HOURS] +=
                    1.0;
            }
        }
        let share = observations.presences.len() as f64 / WEEK_HOURS as f64;
        for watched in &mut watched {
            *watched += 7.0 * share;
        }
        for (expected, rate) in expected.iter_mut().zip(&known.rates.week) {
            *expected += share * f64::from(*rate);
        }
        for presence in &observations.presences {
            observed[usize::from(presence.hour)] += 1.0;
        }
        let by_hour: [f64; 24] =
            std::array::from_fn(|h| (0..7).map(|d| observed[d * 24 + h]).sum());
        let is_watched = by_hour.iter().sum::<f64>() >= EVENTS_MIN;
        let moved = is_watched.then(|| shift(&known.rates.week, &watched, &by_hour)).flatten();
        let parts = |week: &[f64; WEEK_HOURS]| {
            let mut parts = [0.0; PARTS];
            week.iter().enumerate().for_each(|(hour, x)| parts[part(hour)] += x);
            parts
        };
        Self { observed: parts(&observed), expected: parts(&expected), moved, is_watched }
    }
}

/// By how many hours later a day of habits must be lived to explain events by hour of day, where
/// each hour was watched so much. How many events there were says nothing of their hours.
pub(in crate::learn) fn shift(
    week: &[f32; WEEK_HOURS],
    watched: &[f64; 24],
    events: &[f64; 24],
) -> Option<i32> {
    // of a mean hour: no habit excludes an hour
    const FLOOR: f64 = 0.05;
    let day: [f64; 24] =
        std::array::from_fn(|h| (0..7).map(|d| f64::from(week[d * 24 + h])).sum::<f64>() / 7.0);
    let fit = |shift: usize| -> f64 {
        let rate = |h: usize| watched[h] * day[(h + 24 - shift) % 24].max(FLOOR);
        let total: f64 = (0..24).map(rate).sum();
        let seen = (0..24).filter(|h| events[*h] > 0.0 && watched[*h] > 0.0);
        seen.map(|h| events[h] * (rate(h) / total).ln()).sum()
    };
    let best = (1..24).max_by(|a, b| fit(*a).total_cmp(&fit(*b)))?;
    let later = if best > 12 { best as i32 - 24 } else { best as i32 };
    (fit(best) - fit(0) > MOVED_NATS).then_some(later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_six_hours_later_has_moved_and_who_stays_has_not() {
        let week = std::array::from_fn(|h| if (8..11).contains(&(h % 24)) { 6.0 } else { 0.3 });
        let mut events = [0.0; 24];
        (8..11).for_each(|h| events[h] = 4.0);
        let watched = [1.0; 24];
        assert_eq!(shift(&week, &watched, &events), None);
        events.rotate_right(6);
        assert_eq!(shift(&week, &watched, &events), Some(6));
        // who was only watched in the afternoon could not be seen in the morning
        let afternoon = std::array::from_fn(|h| if (13..18).contains(&h) { 1.0 } else { 0.0 });
        assert_eq!(shift(&week, &afternoon, &events), None);
    }
}
