//! Daily habits: a day has its moments (waking, the commute, lunch, bedtime); at each of them a
//! person may look at the phone, earlier or later than usual, and may open what waits there.
//!
//! Looks are independent of each other and their times logistic, so that the chance to open
//! within a span is an exact product: `1 − Π (1 − look · (F(end) − F(start)) · open)`, where
//! `open` falls with the message's age. Knows nothing of media, receipts or failures.

use chrono_tz::Tz;

use super::dice::Dice;
use super::local::{self, DAY};
use super::spec::Chronotype;

/// Nobody scrolls further back than this many days.
const FOLLOWED_DAYS: i64 = 7;
/// A waiting message sinks in the list: its chance to be opened at a look falls with its age as
/// `exp(−age / SINKING)`, in seconds; to a half in a day.
const SINKING: f64 = 125_000.0;

/// One moment of a kind of day.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Usual second after midnight; past 86,400 for those who are up that late.
    second: f64,
    /// Scale of the logistic jitter, seconds.
    jitter: f64,
    /// Chance that the person looks at all.
    look: f64,
}

/// When one person looks at the phone.
#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    dice: Dice,
    zone: Tz,
    /// Days in turn for shift workers, one rota week each; else one working day.
    working: Vec<Vec<Moment>>,
    free: Vec<Moment>,
    /// Turns the rota and the working week of shift workers, days.
    rota: Option<i64>,
}

/// What became of a message in a person's days, seconds of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Met {
    /// The first look at the phone after it arrived.
    pub(super) seen: Option<f64>,
    /// The look at which it was opened.
    pub(super) opened: Option<f64>,
}

#[derive(Clone, Copy)]
enum Draw {
    Shift,
    Regularity,
    Level,
    Rota,
    Moment,
    Look,
    Open,
    Leave,
    Session,
}

impl Rhythm {
    /// The rhythm of a chronotype as one person lives it.
    pub(super) fn new(chronotype: Chronotype, zone: Tz, dice: Dice) -> Self {
        let (working, free) = days(chronotype);
        let person = Style {
            dice,
            shift: 2_000.0 * dice.with(Draw::Shift as u64).normal(),
            regularity: dice.with(Draw::Regularity as u64).around(1.0, 0.3),
            level: dice.with(Draw::Level as u64).around(1.0, 0.35),
        };
        let own = |(kind, day): (usize, &&[Usual])| person.day(kind as u64, day);
        Self {
            dice,
            zone,
            working: working.iter().enumerate().map(own).collect(),
            free: person.day(9, free),
            rota: (chronotype == Chronotype::Shift)
                .then(|| dice.with(Draw::Rota as u64).below(21) as i64),
        }
    }

    /// Follows a message from its arrival; `open` is the chance to open it at a look on arrival,
    /// `is_off` tells whether the phone is off at a second of UTC.
    pub(super) fn meet(
        &self,
        arrived: f64,
        open: f64,
        message: Dice,
        is_off: impl Fn(f64) -> bool,
    ) -> Met {
        let first = self.day_of(arrived);
        let earlier = |a: Option<f64>, b: f64| Some(a.map_or(b, |a| a.min(b)));
        let mut met = Met::default();
        let mut last = first + FOLLOWED_DAYS;
        let mut day = first - 1;
        let midnight = self.midnights(day, last);
        while day <= last {
            let base = midnight(day);
            let moments = self.moments(day);
            let looks = self.looks(day, base, moments);
            for (index, at) in looks.filter(|(_, at)| *at >= arrived && !is_off(*at)) {
                met.seen = earlier(met.seen, at);
                let open = open * sunk(base + moments[index].second - arrived);
                let draw = message.with(Draw::Open as u64).with(day as u64).with(index as u64);
                if draw.chance(open) {
                    met.opened = earlier(met.opened, at);
                    // a later day's moment may still come first, but not the one after it
                    last = last.min(day + 1);
                }
            }
            day += 1;
        }
        met
    }

    /// The chance that [`Rhythm::meet`] opens a message between its arrival and `until`.
    pub(super) fn chance(&self, arrived: f64, until: f64, open: f64) -> f64 {
        self.chance_by(arrived, until, |age| open * sunk(age))
    }

    /// The chance that it is seen.
    pub(super) fn sees(&self, arrived: f64, until: f64) -> f64 {
        self.chance_by(arrived, until, |_| 1.0)
    }

    fn chance_by(&self, arrived: f64, until: f64, open: impl Fn(f64) -> f64) -> f64 {
        let first = self.day_of(arrived);
        let last = (self.day_of(until) + 1).min(first + FOLLOWED_DAYS);
        let midnight = self.midnights(first - 1, last);
        let mut unopened = 1.0;
        for day in first - 1..=last {
            let base = midnight(day);
            for moment in self.moments(day) {
                let open = open(base + moment.second - arrived);
                let before =
                    |at: f64| 1.0 / (1.0 + ((base + moment.second - at) / moment.jitter).exp());
                unopened *= 1.0 - moment.look * (before(until) - before(arrived)) * open;
            }
        }
        1.0 - unopened
    }

    /// The looks of a day that open the shop's app instead, `weekly` on average in seven days.
    pub(super) fn sessions(&self, day: i64, weekly: f64) -> impl Iterator<Item = f64> {
        let moments = self.moments(day);
        let looks: f64 = moments.iter().map(|moment| moment.look).sum();
        let share = (weekly / 7.0 / looks.max(0.1)).min(1.0);
        self.looks(day, self.midnight(day) as f64, moments)
            .filter(move |(index, _)| self.draw(Draw::Session, day, *index).chance(share))
            .map(|(_, at)| at)
    }

    /// Whether the person is likely asleep at a second of UTC.
    pub(super) fn sleeps(&self, at: f64) -> bool {
        let today = self.day_of(at);
        let awake = |day: i64| {
            let (base, moments) = (self.midnight(day) as f64, self.moments(day));
            let wakes = moments.iter().map(|m| m.second).fold(f64::INFINITY, f64::min);
            let sleeps = moments.iter().map(|m| m.second).fold(f64::NEG_INFINITY, f64::max);
            base + wakes - 1_800.0 <= at && at <= base + sleeps + 2_700.0
        };
        !awake(today) && !awake(today - 1)
    }

    fn looks(&self, day: i64, base: f64, moments: &[Moment]) -> impl Iterator<Item = (usize, f64)> {
        moments.iter().enumerate().filter_map(move |(index, moment)| {
            let draw = self.draw(Draw::Look, day, index);
            let jitter = |draw: Dice| moment.jitter * draw.with(1).logistic();
            draw.chance(moment.look).then(|| (index, base + moment.second + jitter(draw)))
        })
    }

    fn draw(&self, what: Draw, day: i64, index: usize) -> Dice {
        self.dice.with(what as u64).with(day as u64).with(index as u64)
    }

    fn moments(&self, day: i64) -> &[Moment] {
        let turned = day + self.rota.unwrap_or(0);
        let rests = match self.rota {
            Some(_) => turned.rem_euclid(7) >= 5,
            None => local::is_weekend(day) || is_holiday(day),
        };
        if rests || self.is_on_leave(day) {
            return &self.free;
        }
        &self.working[turned.div_euclid(7).rem_euclid(self.working.len() as i64) as usize]
    }

    /// Ten days off in each half of a year.
    fn is_on_leave(&self, day: i64) -> bool {
        let (half, into) = (day.div_euclid(182), day.rem_euclid(182));
        let begins = self.dice.with(Draw::Leave as u64).with(half as u64).below(172) as i64;
        (begins..begins + 10).contains(&into)
    }

    /// [`Rhythm::midnight`] of any day in a span, quick where the clocks do not change in it.
    fn midnights(&self, first: i64, last: i64) -> impl Fn(i64) -> f64 {
        let (begin, end) = (self.midnight(first), self.midnight(last));
        let steady = end - begin == (last - first) * DAY;
        move |day| (if steady { begin + (day - first) * DAY } else { self.midnight(day) }) as f64
    }

    fn day_of(&self, at: f64) -> i64 {
        local::day(local::wall(self.zone, at as i64))
    }

    /// Where the day's wall clock has its midnight, as the offset at noon has it: the clocks change
    /// at night, and habits follow the new ones.
    fn midnight(&self, day: i64) -> i64 {
        let noon = day * DAY + DAY / 2;
        day * DAY + noon - local::wall(self.zone, noon)
    }
}

/// By the usual time of the look, not the jittered one, so that [`Rhythm::chance`] stays exact.
fn sunk(age: f64) -> f64 {
    (-age.max(0.0) / SINKING).exp()
}

/// Days that most of the world has off.
fn is_holiday(day: i64) -> bool {
    matches!(local::month_day(day), (1 | 5, 1) | (12, 25 | 26))
}

/// How one person differs from the chronotype.
struct Style {
    dice: Dice,
    shift: f64,
    regularity: f64,
    level: f64,
}

impl Style {
    fn day(&self, kind: u64, usual: &[Usual]) -> Vec<Moment> {
        let own = |(index, (hour, minutes, look)): (usize, &Usual)| {
            let draw = self.dice.with(Draw::Moment as u64).with(kind).with(index as u64);
            // one in six never looks at that moment of the day
            let ever = if draw.chance(1.0 / 6.0) { 0.1 } else { 1.0 };
            Moment {
                second: hour * 3_600.0 + self.shift + 1_200.0 * draw.with(2).normal(),
                jitter: minutes * 60.0 * self.regularity,
                look: (look * self.level * ever).min(0.97),
            }
        };
        usual.iter().enumerate().map(own).collect()
    }
}

/// Hour of the day, jitter in minutes, chance to look.
type Usual = (f64, f64, f64);

/// Working days and the free day of a chronotype.
#[rustfmt::skip] // tables
fn days(chronotype: Chronotype) -> (&'static [&'static [Usual]], &'static [Usual]) {
    match chronotype {
        Chronotype::Early => (
            &[&[(5.4, 9., 0.8), (6.3, 15., 0.6), (9.5, 40., 0.25), (12.0, 20., 0.5), (15.2, 45., 0.3), (18.0, 35., 0.5), (20.2, 25., 0.5), (21.3, 15., 0.5)]],
            &[(6.1, 20., 0.8), (8.5, 50., 0.5), (11.0, 60., 0.4), (14.0, 70., 0.35), (18.0, 60., 0.4), (20.8, 30., 0.5)],
        ),
        Chronotype::Office => (
            &[&[(7.0, 10., 0.7), (8.2, 12., 0.7), (10.5, 40., 0.15), (12.6, 15., 0.7), (15.5, 45., 0.15), (18.1, 18., 0.7), (20.5, 35., 0.5), (22.6, 20., 0.6)]],
            &[(9.2, 30., 0.7), (11.5, 60., 0.4), (14.5, 70., 0.3), (18.0, 60., 0.4), (21.0, 50., 0.4), (23.3, 30., 0.5)],
        ),
        Chronotype::Family => (
            &[&[(6.6, 10., 0.5), (8.9, 15., 0.7), (11.0, 50., 0.3), (13.2, 25., 0.45), (15.9, 20., 0.4), (18.5, 30., 0.1), (20.9, 18., 0.85), (22.2, 20., 0.6)]],
            &[(7.8, 25., 0.5), (10.0, 60., 0.25), (13.5, 45., 0.5), (17.0, 60., 0.25), (21.2, 25., 0.85), (22.6, 25., 0.5)],
        ),
        Chronotype::Student => (
            &[&[(8.8, 25., 0.6), (10.3, 12., 0.6), (12.2, 20., 0.6), (14.0, 15., 0.55), (16.4, 50., 0.45), (19.5, 60., 0.5), (22.0, 50., 0.6), (24.3, 30., 0.7)]],
            &[(11.3, 40., 0.7), (13.5, 60., 0.5), (16.5, 70., 0.45), (20.0, 60., 0.45), (23.0, 60., 0.5), (25.5, 45., 0.7)],
        ),
        Chronotype::Owl => (
            &[&[(10.8, 35., 0.6), (13.4, 50., 0.4), (16.0, 60., 0.35), (19.2, 60., 0.4), (22.5, 45., 0.6), (24.4, 40., 0.7), (26.2, 30., 0.7)]],
            &[(12.3, 45., 0.6), (15.5, 60., 0.4), (19.0, 60., 0.35), (23.0, 50., 0.6), (25.4, 40., 0.7), (27.0, 35., 0.6)],
        ),
        Chronotype::Shift => (
            &[
                &[(4.4, 10., 0.7), (9.0, 12., 0.6), (14.4, 15., 0.8), (17.0, 50., 0.4), (20.0, 25., 0.6)],
                &[(9.5, 30., 0.7), (12.5, 30., 0.6), (17.8, 10., 0.6), (22.3, 15., 0.8), (24.3, 30., 0.5)],
                &[(15.0, 30., 0.7), (18.5, 35., 0.5), (21.2, 12., 0.6), (26.0, 15., 0.6), (30.5, 15., 0.7)],
            ],
            &[(8.5, 50., 0.6), (11.0, 60., 0.4), (15.0, 70., 0.4), (19.0, 60., 0.5), (22.5, 40., 0.6)],
        ),
        Chronotype::Retired => (
            &[&[(7.8, 20., 0.6), (9.8, 30., 0.6), (11.6, 40., 0.4), (14.8, 40., 0.5), (17.0, 50., 0.4), (19.2, 30., 0.3), (21.0, 25., 0.4)]],
            &[(8.3, 25., 0.6), (10.5, 40., 0.5), (15.0, 50., 0.4), (18.0, 50., 0.3), (21.0, 30., 0.4)],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Chronotype; 7] = [
        Chronotype::Early,
        Chronotype::Office,
        Chronotype::Family,
        Chronotype::Student,
        Chronotype::Owl,
        Chronotype::Shift,
        Chronotype::Retired,
    ];

    #[test]
    fn the_chance_is_the_frequency() {
        let arrived = 1_773_150_000.0;
        for (index, chronotype) in ALL.into_iter().enumerate() {
            for hours in [2.0, 24.0, 100.0] {
                let (mut expected, mut variance, mut opened) = (0.0, 0.0, 0.0);
                for i in 0..4_000u64 {
                    let dice = Dice::new(index as u64).with(i);
                    let rhythm = Rhythm::new(chronotype, Tz::Asia__Kolkata, dice);
                    let arrived = arrived + i as f64 * 977.0;
                    let until = arrived + hours * 3_600.0;
                    let chance = rhythm.chance(arrived, until, 0.4);
                    expected += chance;
                    variance += chance * (1.0 - chance);
                    let met = rhythm.meet(arrived, 0.4, dice.with(5), |_| false);
                    opened += f64::from(u8::from(met.opened.is_some_and(|at| at <= until)));
                }
                let off = (opened - expected) / variance.sqrt();
                assert!(off.abs() < 4.0, "{chronotype:?} {hours} h: {opened}, not {expected}");
            }
        }
    }

    #[test]
    fn nothing_is_opened_before_it_is_seen_or_while_the_phone_is_off() {
        for i in 0..500u64 {
            let dice = Dice::new(i);
            let rhythm = Rhythm::new(ALL[i as usize % 7], Tz::Europe__London, dice);
            let arrived = 1_773_150_000.0 + 3_600.0 * i as f64;
            let met = rhythm.meet(arrived, 0.5, dice, |at| at < arrived + 30_000.0);
            assert!(met.seen.is_none_or(|at| at >= arrived + 30_000.0));
            assert!(met.opened.is_none_or(|at| Some(at) >= met.seen));
        }
    }

    #[test]
    fn shifts_rotate_and_everybody_rests() {
        let rhythm = Rhythm::new(Chronotype::Shift, Tz::Asia__Tokyo, Dice::new(3));
        let lengths: Vec<usize> = (0..210).map(|day| rhythm.moments(day).len()).collect();
        let at = |kind: usize| rhythm.working[kind].as_ptr();
        for kind in 0..3 {
            let days = (0..210).filter(|day| rhythm.moments(*day).as_ptr() == at(kind)).count();
            assert!((35..=50).contains(&days), "{kind}: {days} of {lengths:?}");
        }
        let office = Rhythm::new(Chronotype::Office, Tz::Asia__Tokyo, Dice::new(3));
        assert_eq!(office.moments(2).as_ptr(), office.free.as_ptr(), "a Saturday");
    }
}
