//! Ratios of rates within strata, with errors that allow for people and days.
//!
//! Mantel and Haenszel's ratio: within each stratum (the same person at the same time) the events of
//! one side are held against those of the other, each by the share of the exposure that the other
//! had, so that whatever the strata differ in does not enter. Errors are of the linearized logarithm,
//! summed by person and by day of sending (two ways: Cameron, Gelbach and Miller 2011), since what a
//! person does often and what happened to a campaign are no news of others.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::learn::statistics::estimate::Estimate;

/// With fewer events on either side a ratio is not told: its logarithm is not normal.
const EVENTS_MIN: f64 = 12.0;
/// With fewer people it is nobody's business, and their errors are not known.
const PEOPLE_MIN: usize = 20;

/// What one person's messages of one day say of one contrast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    /// The day of sending.
    pub(super) day: i32,
    /// Events of the side that is asked about, by the share of exposure of the other.
    pub(super) inside: f64,
    /// Events of the other side, by the share of exposure of the first.
    pub(super) outside: f64,
    /// Events of each side, where they say anything.
    pub(super) events: [f64; 2],
}

/// Second moments of pairs of sums.
#[derive(Debug, Clone, Copy, Default)]
struct Moments([f64; 3]);

impl Moments {
    fn add(&mut self, inside: f64, outside: f64) {
        self.0[0] += inside * inside;
        self.0[1] += inside * outside;
        self.0[2] += outside * outside;
    }

    /// The sum of squares of the linearized logarithm.
    fn variance(&self, sums: [f64; 2]) -> f64 {
        let [a, b] = sums;
        (self.0[0] / (a * a) - 2.0 * self.0[1] / (a * b) + self.0[2] / (b * b)).max(0.0)
    }
}

/// Everything that is known of one contrast.
#[derive(Debug, Clone, Default)]
pub(super) struct Contrast {
    /// People who tell anything.
    people: usize,
    sums: [f64; 2],
    events: [f64; 2],
    by_person: Moments,
    by_cell: Moments,
    days: BTreeMap<i32, [f64; 2]>,
}

impl Contrast {
    /// Takes in what one person's messages say, all at once, in the order of days.
    pub(super) fn add(&mut self, pieces: &[Piece]) {
        let (mut inside, mut outside) = (0.0, 0.0);
        for piece in pieces {
            inside += piece.inside;
            outside += piece.outside;
            self.by_cell.add(piece.inside, piece.outside);
            let day = self.days.entry(piece.day).or_default();
            day[0] += piece.inside;
            day[1] += piece.outside;
            self.events[0] += piece.events[0];
            self.events[1] += piece.events[1];
        }
        if inside + outside > 0.0 {
            self.people += 1;
            self.sums[0] += inside;
            self.sums[1] += outside;
            self.by_person.add(inside, outside);
        }
    }

    /// Everybody but those of a part.
    pub(super) fn without(&self, part: &Self) -> Self {
        let less = |a: [f64; 2], b: [f64; 2]| [(a[0] - b[0]).max(0.0), (a[1] - b[1]).max(0.0)];
        let fewer = |a: Moments, b: Moments| Moments(std::array::from_fn(|i| a.0[i] - b.0[i]));
        let mut days = self.days.clone();
        for (day, sums) in &part.days {
            if let Some(all) = days.get_mut(day) {
                *all = less(*all, *sums);
            }
        }
        Self {
            people: self.people - part.people,
            sums: less(self.sums, part.sums),
            events: less(self.events, part.events),
            by_person: fewer(self.by_person, part.by_person),
            by_cell: fewer(self.by_cell, part.by_cell),
            days,
        }
    }

    /// The ratio of rates, where enough is known to tell one.
    pub(super) fn ratio(&self) -> Option<LogRatio> {
        let few = self.people < PEOPLE_MIN || self.events.iter().any(|n| *n < EVENTS_MIN);
        if few || self.sums.iter().any(|sum| *sum <= 0.0) {
            return None;
        }
        let mut by_day = Moments::default();
        self.days.values().for_each(|[inside, outside]| by_day.add(*inside, *outside));
        let [people, cells, days] =
            [self.by_person, self.by_cell, by_day].map(|moments| moments.variance(self.sums));
        let both = people + days - cells;
        let told = self.days.values().filter(|sums| sums[0] + sums[1] > 0.0).count();
        // where days add to it, there are no more of them than there are
        let freedom = if both > people { self.people.min(told) } else { self.people };
        let error = both.max(people).sqrt();
        (freedom > 2 && error > 0.0).then(|| LogRatio {
            log: (self.sums[0] / self.sums[1]).ln(),
            error,
            freedom: (freedom - 1) as f64,
            people: self.people,
        })
    }
}

/// The logarithm of a ratio, with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LogRatio {
    pub(super) log: f64,
    pub(super) error: f64,
    pub(super) freedom: f64,
    pub(super) people: usize,
}

impl LogRatio {
    /// One ratio over another, of other people.
    pub(super) fn over(&self, other: &Self) -> Self {
        let (mine, others) = (self.error.powi(2), other.error.powi(2));
        let error = (mine + others).sqrt();
        // Welch and Satterthwaite
        let freedom = (mine + others).powi(2)
            / (mine.powi(2) / self.freedom + others.powi(2) / other.freedom);
        Self { log: self.log - other.log, error, freedom, people: self.people }
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.freedom).ok()
    }

    /// The chance of a ratio so far from 1 where there is no difference.
    pub(super) fn p_value(&self) -> f64 {
        self.student().map_or(1.0, |student| 2.0 * student.sf((self.log / self.error).abs()))
    }

    /// The ratio, with the interval that misses it with a chance of `missed`.
    pub(super) fn estimate(&self, missed: f64) -> Estimate {
        let reach = self.reach(missed);
        let [value, low, high] = [0.0, -reach, reach].map(|x| (self.log + x).exp());
        Estimate { value, low, high }
    }

    fn reach(&self, missed: f64) -> f64 {
        let errors = self.student().map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - missed / 2.0));
        errors * self.error
    }

    /// The ratio that would be found eight times in ten.
    pub(super) fn detectable(&self, missed: f64) -> f64 {
        const EIGHT_IN_TEN: f64 = 0.841_621;
        (self.reach(missed) + EIGHT_IN_TEN * self.error).exp()
    }
}

/// Which of several figures are told at once, and how wide their intervals must be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Discoveries {
    /// Whether each is told.
    pub(super) told: Vec<bool>,
    /// What the interval of each that is told misses.
    pub(super) missed: f64,
    /// What the interval of one alone would miss.
    pub(super) missed_alone: f64,
}

/// Benjamini and Yekutieli (2001): of those that are told, at most a share `rate` are false on
/// average, however they hang together; where nothing is true, with a chance of `rate` at most any
/// is told. Intervals are those of Benjamini and Yekutieli (2005): of those told, at most `rate` miss.
pub(super) fn select(p_values: &[f64], rate: f64) -> Discoveries {
    let count = p_values.len().max(1) as f64;
    let harmonic: f64 = (1..=p_values.len().max(1)).map(|i| 1.0 / i as f64).sum();
    let alone = rate / (count * harmonic);
    let mut order: Vec<f64> = p_values.to_vec();
    order.sort_by(f64::total_cmp);
    let within = |rank: &usize| order[*rank - 1] <= alone * *rank as f64;
    let rank = (1..=order.len()).rev().find(within).unwrap_or(0);
    let missed = alone * rank.max(1) as f64;
    let told = p_values.iter().map(|p| rank > 0 && *p <= missed).collect();
    Discoveries { told, missed, missed_alone: alone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_within_every_person_is_found_and_none_is_not() {
        let person = |inside: f64, outside: f64, day: i32| Piece {
            day,
            inside,
            outside,
            events: [inside, outside],
        };
        let (mut differs, mut even) = (Contrast::default(), Contrast::default());
        for index in 0..200 {
            let noise = f64::from(index % 3);
            differs.add(&[person(2.0 + noise, 1.0, index % 17)]);
            even.add(&[person(f64::from(index % 2), f64::from(1 - index % 2), index % 17)]);
        }
        let (found, none) = (differs.ratio().unwrap(), even.ratio().unwrap());
        assert!((found.log.exp() - 3.0).abs() < 0.1 && found.p_value() < 1e-9, "{found:?}");
        assert!(none.p_value() > 0.5 && none.estimate(0.05).holds(1.0), "{none:?}");
    }

    #[test]
    fn the_luck_of_one_day_is_no_news() {
        // everybody reads one content more, since it went out on three lucky days
        let mut contrast = Contrast::default();
        for person in 0..300 {
            let day = person % 6;
            let lucky = if day % 2 == 0 { 3.0 } else { 1.0 };
            contrast.add(&[Piece { day, inside: lucky, outside: 1.5, events: [lucky, 1.5] }]);
        }
        let ratio = contrast.ratio().unwrap();
        assert!(ratio.freedom < 6.0 && ratio.p_value() > 0.05, "{ratio:?}");
    }

    #[test]
    fn figures_are_told_by_how_many_are_looked_at() {
        let mut p_values = vec![0.01; 1];
        p_values.extend(vec![0.5; 63]);
        assert!(select(&p_values, 0.05).told.iter().all(|told| !told));
        p_values[0] = 1e-5;
        let selection = select(&p_values, 0.05);
        assert!(selection.told[0] && selection.told.iter().filter(|told| **told).count() == 1);
        assert!(selection.missed < 0.05 / 64.0);
        assert!(select(&[0.01], 0.05).told[0] && select(&[], 0.05).told.is_empty());
    }
}
