//! Habits of the session worlds: people open the app in sessions, some once a week on a day of their
//! own, some in bursts many times a day, and read what waits there, or see it and pass on.
//!
//! A week has its occasions. At each of them a session begins or does not, earlier or later than
//! usual (logistic); a session has one to four looks at fixed distances. At every look each waiting
//! message is read with a chance of person, content and age. Sessions are independent of each other,
//! so that the chance to read within a span is an exact product over occasions:
//! `1 − Π (1 − Σₙ P(n looks in the span) · (1 − (1 − open)ⁿ))`. Frozen: nothing is tuned to it.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::local;
use super::spec::Pace;

/// Nobody scrolls further back than this many days.
pub(super) const FOLLOWED_DAYS: i64 = 7;
/// When the looks of a session come, seconds after its begin.
pub(super) const LOOKS: [f64; 4] = [0.0, 240.0, 660.0, 1_500.0];
/// A session begins within so many scales of its usual time, but for one in 10⁹.
const FARTHEST: f64 = 21.0;

/// Hours around which people look, with weights: morning, noon, evening, late.
const PEAKS: [(f64, f64); 4] = [(7.5, 0.25), (12.5, 0.2), (19.5, 0.35), (22.3, 0.2)];

/// A time of a day at which a session may begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occasion {
    /// Usual second after midnight; past 86,400 for those who are up that late.
    pub(super) second: f64,
    /// Scale of the logistic jitter, seconds.
    pub(super) jitter: f64,
    /// Chance that there is a session.
    pub(super) chance: f64,
}

/// When one person looks, and how keenly what waits is read.
#[derive(Debug, Clone)]
pub(super) struct Looks {
    dice: Dice,
    /// Monday to Sunday.
    pub(super) week: [Vec<Occasion>; 7],
    /// How often a session has so many looks and no more.
    pub(super) lengths: [f64; LOOKS.len()],
    /// Chance to read a fresh message of neutral content at a look.
    pub(super) keenness: f64,
    /// The chance falls with the message's age as `exp(−age / fading)`, seconds.
    pub(super) fading: f64,
}

/// What one occasion has for a message that waits through a span of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Chance of 1 to 4 looks within the span.
    pub(super) looks: [f64; LOOKS.len()],
    /// How far the chance to read has fallen with age.
    pub(super) sunk: f64,
}

/// What is drawn of a person's looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    Pace,
    Keenness,
    Fading,
    Hour,
    Regularity,
    Weekend,
    Day,
    Chance,
    First,
    Step,
    Session,
}

impl Draw {
    /// All but the sessions themselves.
    pub(super) const HABITS: [Self; 10] = [
        Self::Pace,
        Self::Keenness,
        Self::Fading,
        Self::Hour,
        Self::Regularity,
        Self::Weekend,
        Self::Day,
        Self::Chance,
        Self::First,
        Self::Step,
    ];

    /// Whether it is kept for life, whatever becomes of the rhythm.
    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::Pace | Self::Keenness | Self::Fading)
    }
}

impl Looks {
    /// Somebody's looks, as they are drawn.
    pub(super) fn new(paces: &BTreeMap<Pace, f64>, draw: impl Fn(Draw) -> Dice) -> Self {
        let pace = draw(Draw::Pace).pick(paces.values().copied());
        let pace = *paces.keys().nth(pace).unwrap_or(&Pace::Daily);
        let peak = PEAKS[draw(Draw::Hour).pick(PEAKS.iter().map(|(_, weight)| *weight))].0;
        let hour = peak + draw(Draw::Hour).with(1).normal();
        let later = draw(Draw::Weekend).between(0.0, 2.5);
        let regularity = draw(Draw::Regularity).around(1.0, 0.3);
        let chance = |low, high| draw(Draw::Chance).between(low, high);
        let occasion = |hour: f64, minutes: f64, chance: f64| Occasion {
            second: 3_600.0 * hour,
            jitter: 60.0 * minutes * regularity,
            chance,
        };
        let day = draw(Draw::Day).below(7);
        let (first, step) = (7.5 + 1.2 * draw(Draw::First).normal(), draw(Draw::Step));
        let of_day = |weekday: usize| {
            let later = if weekday < 5 { 0.0 } else { later };
            match pace {
                Pace::Weekly if weekday != day => Vec::new(),
                Pace::Weekly => vec![occasion(hour + later, 30.0, chance(0.75, 0.98))],
                Pace::Daily => vec![occasion(hour + later, 20.0, chance(0.5, 0.95))],
                Pace::Often => (0..5)
                    .map(|burst| {
                        let hour = first + later + f64::from(burst) * step.between(2.6, 3.8);
                        occasion(hour, 20.0, chance(0.35, 0.7))
                    })
                    .collect(),
            }
        };
        let on = match pace {
            Pace::Weekly => 0.4,
            Pace::Daily => 0.3,
            Pace::Often => 0.6,
        };
        Self {
            dice: draw(Draw::Session),
            week: std::array::from_fn(of_day),
            lengths: [1.0 - on, on * (1.0 - on), on * on * (1.0 - on), on * on * on],
            keenness: draw(Draw::Keenness).around(0.4, 0.5),
            fading: draw(Draw::Fading).around(4.0 * local::DAY as f64, 0.5),
        }
    }

    /// The occasions of a day counted from the epoch.
    pub(super) fn day(&self, day: i64) -> &[Occasion] {
        &self.week[(day - 4).rem_euclid(7) as usize]
    }

    /// The looks of a day whose midnight is at `midnight`, by occasion, in the unit of `midnight`.
    fn looks(&self, day: i64, midnight: f64) -> impl Iterator<Item = (usize, usize, f64)> {
        self.day(day).iter().enumerate().flat_map(move |(index, occasion)| {
            let draw = self.dice.with(day as u64).with(index as u64);
            let begin = midnight + occasion.second + occasion.jitter * draw.with(1).logistic();
            let looks = 1 + draw.with(2).pick(self.lengths.into_iter());
            let looks = if draw.chance(occasion.chance) { looks } else { 0 };
            (0..looks).map(move |look| (index, look, begin + LOOKS[look]))
        })
    }

    /// When a day's sessions begin.
    pub(super) fn sessions(&self, day: i64, midnight: f64) -> impl Iterator<Item = f64> {
        self.looks(day, midnight).filter(|(_, look, _)| *look == 0).map(|(.., at)| at)
    }

    /// Follows a message that arrives on a day of the person's: the first look at it, and the look
    /// at which it is read. `pull` multiplies the chance; `midnight` says when a day begins.
    pub(super) fn meet(
        &self,
        (arrived, day): (f64, i64),
        pull: f64,
        message: Dice,
        midnight: impl Fn(i64) -> f64,
    ) -> (Option<f64>, Option<f64>) {
        let mut met = (None, None);
        let earlier = |a: Option<f64>, b: f64| Some(a.map_or(b, |a: f64| a.min(b)));
        for day in day - 2..=day + FOLLOWED_DAYS {
            let base = midnight(day);
            for (index, look, at) in self.looks(day, base).filter(|(.., at)| *at >= arrived) {
                met.0 = earlier(met.0, at);
                let age = base + self.day(day)[index].second - arrived;
                let draw = message.with(day as u64).with(index as u64).with(look as u64);
                if draw.chance(self.open(pull, self.sunk(age))) {
                    met.1 = earlier(met.1, at);
                }
            }
        }
        met
    }

    /// What the occasions have for a message between its arrival and `until`.
    pub(super) fn waiting(
        &self,
        (arrived, day): (f64, i64),
        until: f64,
        midnight: impl Fn(i64) -> f64,
    ) -> Vec<Waiting> {
        let last = day + FOLLOWED_DAYS.min(((until - arrived) / local::DAY as f64) as i64 + 2);
        let of_day = |day: i64| {
            let base = midnight(day);
            self.day(day).iter().filter_map(move |occasion| {
                let looks = self.within(occasion, base, (arrived, until))?;
                let sunk = self.sunk(base + occasion.second - arrived);
                Some(Waiting { looks, sunk })
            })
        };
        (day - 2..=last).flat_map(of_day).collect()
    }

    /// The chance that one to four looks of an occasion's session come within a span.
    pub(super) fn within(
        &self,
        occasion: &Occasion,
        midnight: f64,
        (from, until): (f64, f64),
    ) -> Option<[f64; LOOKS.len()]> {
        let usual = midnight + occasion.second;
        let far = FARTHEST * occasion.jitter;
        if until <= from || usual - far > until || usual + far + LOOKS[LOOKS.len() - 1] < from {
            return None;
        }
        // between two breaks, a session that begins there has the same looks within the span
        let mut breaks = [0.0; 2 * LOOKS.len()];
        for (index, look) in LOOKS.iter().enumerate() {
            (breaks[2 * index], breaks[2 * index + 1]) = (from - look, until - look);
        }
        breaks.sort_unstable_by(f64::total_cmp);
        let before = |at: f64| 1.0 / (1.0 + ((usual - at) / occasion.jitter).exp());
        let mut looks = [0.0; LOOKS.len()];
        let mut passed = before(breaks[0]);
        for ends in breaks.windows(2) {
            let next = before(ends[1]);
            let mass = occasion.chance * (next - passed);
            passed = next;
            let begin = f64::midpoint(ends[0], ends[1]);
            let mut count = 0;
            for (index, share) in self.lengths.iter().enumerate() {
                count += usize::from((from..=until).contains(&(begin + LOOKS[index])));
                if count > 0 {
                    looks[count - 1] += mass * share;
                }
            }
        }
        Some(looks)
    }

    pub(super) fn sunk(&self, age: f64) -> f64 {
        (-age.max(0.0) / self.fading).exp()
    }

    /// The chance to read at a look.
    pub(super) fn open(&self, pull: f64, sunk: f64) -> f64 {
        (self.keenness * pull).min(0.97) * sunk
    }

    /// The chance that a message is read at one of the looks that it waits for.
    pub(super) fn reads(&self, waiting: &[Waiting], pull: f64) -> f64 {
        let unread = |waiting: &Waiting| {
            let passed = 1.0 - self.open(pull, waiting.sunk);
            let mut power = 1.0;
            1.0 - waiting
                .looks
                .iter()
                .map(|chance| {
                    power *= passed;
                    chance * (1.0 - power)
                })
                .sum::<f64>()
        };
        1.0 - waiting.iter().map(unread).product::<f64>()
    }

    /// The chance that there is a look at all.
    pub(super) fn sees(waiting: &[Waiting]) -> f64 {
        1.0 - waiting.iter().map(|w| 1.0 - w.looks.iter().sum::<f64>()).product::<f64>()
    }
}
