//! One person: derived from the world's seed and the recipient's key, and asked what becomes of a
//! message. Knows whether and with what the person answers; when is left to the habits.

use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::World;
use super::dice::Dice;
use super::local::{self, WEEK};
use super::places::{self, Place};
use super::rates::{Patterns, Rates};
use super::rhythm::{Met, Rhythm};
use super::spec::{Chronotype, Habit};
use crate::model::content::{Category, Content, Goal};
use crate::model::ids::{MessageKey, RecipientKey};
use crate::model::message::Response;
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// The channel drops what it could not deliver for so long.
const EXPIRY: TimeDelta = TimeDelta::days(3);
/// Messages in a week that weary nobody.
const WELCOME_A_WEEK: f64 = 2.0;

/// A person of a world.
#[derive(Debug)]
pub struct Person<'w> {
    pub(super) world: &'w World,
    pub(super) dice: Dice,
    pub(super) key: RecipientKey,
    /// Where the person lives.
    pub zone: Tz,
    /// What the person would call the kind of day; the known-truth worlds do not look at it.
    pub chronotype: Chronotype,
    /// Whether reading is told to the sender.
    pub receipts: bool,
    pub(super) place: Option<&'static Place>,
    habits: Habits,
    later: Option<(Instant, Habits)>,
}

/// A message as it is sent to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'m> {
    /// Its id: chance is drawn from it.
    pub key: &'m MessageKey,
    /// When it leaves.
    pub at: Instant,
    /// Medium and style.
    pub content: &'m Content,
    /// Its purpose.
    pub category: Category,
    /// When the person was sent other messages, in any order; only the last week counts.
    pub recent: &'m [Instant],
}

impl Sent<'_> {
    /// Messages in the seven days up to this one, itself counted.
    fn in_week(&self) -> f64 {
        let since = self.at - TimeDelta::days(7);
        1.0 + self.recent.iter().filter(|at| **at > since && **at < self.at).count() as f64
    }
}

#[derive(Debug)]
enum Habits {
    Daily { rhythm: Rhythm, keenness: f64 },
    Rated(Box<Rates>),
}

#[derive(Clone, Copy)]
pub(super) enum Draw {
    Habits,
    Chronotype,
    Receipts,
    Place,
    Taste,
    Unreachable,
    Scanner,
    Outage,
    Irritable,
    Clicks,
    Replies,
    Converts,
    Message,
    Session,
    Segment,
    Recipient,
    Logging,
}

/// What is drawn for one message.
#[derive(Clone, Copy)]
enum Turn {
    Fails,
    Latency,
    Opens,
    Machine,
    Click,
    Reply,
    Convert,
    Amount,
    OptOut,
}

impl<'w> Person<'w> {
    pub(super) fn new(world: &'w World, dice: Dice, key: &RecipientKey, zone: Tz) -> Self {
        let chronotype = world.chronotype(zone, dice.with(Draw::Chronotype as u64));
        let habits = |life: u64, chronotype: Chronotype| {
            let dice = dice.with(Draw::Habits as u64).with(life);
            match world.spec.habit {
                Habit::Daily => Habits::Daily {
                    rhythm: Rhythm::new(chronotype, zone, dice),
                    keenness: dice.with(99).around(0.36, 0.5),
                },
                Habit::Friendly => Habits::Rated(Box::new(world.patterns.friendly(zone, dice))),
                Habit::Hostile => Habits::Rated(Box::new(Patterns::hostile(zone, dice))),
            }
        };
        let drift = world.spec.drift.filter(|d| dice.with(Draw::Habits as u64).chance(d.share));
        let place_dice = dice.with(Draw::Place as u64);
        let places = places::of(zone);
        Self {
            world,
            dice,
            key: key.clone(),
            zone,
            chronotype,
            receipts: !dice.with(Draw::Receipts as u64).chance(world.spec.receipts_off),
            place: places.clone().nth(place_dice.pick(places.map(|place| place.share))),
            habits: habits(0, chronotype),
            later: drift.map(|drift| {
                let anew = dice.with(Draw::Chronotype as u64).with(1);
                (drift.at, habits(1, world.chronotype(zone, anew)))
            }),
        }
    }

    /// The recipient's id.
    pub fn key(&self) -> &RecipientKey {
        &self.key
    }

    /// What becomes of a message: a function of the world, the person and `sent` alone. Nothing is
    /// before `sent.at`; a failed message has nothing but its failure.
    pub fn answer(&self, sent: &Sent<'_>) -> Response {
        let message = self.draw(Draw::Message).text(sent.key.as_str());
        let turn = |what: Turn| message.with(what as u64);
        let at = local::seconds(sent.at);
        if let Some(code) = self.failure(sent, turn(Turn::Fails)) {
            return Response {
                failed_at: Some(local::instant(at + turn(Turn::Latency).around(1.5, 0.7))),
                failure_code: Some(code.to_owned()),
                ..Response::default()
            };
        }
        let outages = self.outages(at);
        // in order of their begin: one may run into the next
        let delivered =
            outages.iter().fold(at + turn(Turn::Latency).around(1.2, 0.8), |at, (begin, end)| {
                if (*begin..*end).contains(&at) { *end } else { at }
            });
        if delivered - at > EXPIRY.as_seconds_f64() {
            return Response::default();
        }
        let taste = self.taste(sent.content);
        let met = match self.habits(sent.at) {
            Habits::Daily { rhythm, keenness } => {
                let is_off = |at| outages.iter().any(|(begin, end)| (*begin..*end).contains(&at));
                let open = (keenness * self.pull(sent, taste)).min(0.97);
                rhythm.meet(delivered, open, turn(Turn::Opens), is_off)
            }
            Habits::Rated(rates) => {
                let opened = rates.opened(delivered, self.pull(sent, taste), turn(Turn::Opens));
                Met { seen: opened, opened }
            }
        };
        let mut response = Response {
            delivered_at: Some(local::instant(delivered)),
            opted_out_at: met
                .seen
                .filter(|_| turn(Turn::OptOut).chance(self.harm_of(sent, taste)))
                .map(|seen| local::instant(seen + turn(Turn::OptOut).with(1).around(20.0, 0.7))),
            ..Response::default()
        };
        if self.receipts {
            // where a machine opens first, only its opening is reported
            let is_scanned = self.draw(Draw::Scanner).chance(self.world.spec.scanners);
            let machine = delivered + turn(Turn::Machine).between(0.05, 0.9);
            let read = if is_scanned { Some(machine) } else { met.opened };
            response.read_at = read.map(local::instant);
        }
        if let Some(opened) = met.opened {
            self.act(taste, opened, turn, &mut response);
        }
        response
    }

    /// The chance that a message reaches the goal within a time, given that it arrives at once. It
    /// is exact for `Read`, receipts or none; for the other goals it is the chance to open in
    /// time and then ever to act, and so a little high.
    pub fn chance(&self, sent: &Sent<'_>, goal: Goal, within: Duration) -> f64 {
        let taste = self.taste(sent.content);
        self.chance_to_open(sent.at, self.pull(sent, taste), within) * self.acts(taste, goal)
    }

    /// The chance that the person opts out because of a message, once it is seen.
    pub fn harm(&self, sent: &Sent<'_>) -> f64 {
        self.harm_of(sent, self.taste(sent.content))
    }

    fn harm_of(&self, sent: &Sent<'_>, taste: f64) -> f64 {
        let base = self.world.spec.opt_out;
        if base == 0.0 {
            return 0.0;
        }
        let purpose = if sent.category == Category::Marketing { 1.0 } else { 0.2 };
        let crowd = (0.5 * (sent.in_week() - WELCOME_A_WEEK).max(0.0)).exp();
        let hour = if self.habits(sent.at).sleeps(local::seconds(sent.at)) { 4.0 } else { 1.0 };
        let dislike = taste.powf(-1.5);
        let irritable = self.draw(Draw::Irritable).around(1.0, 0.8);
        (base * purpose * crowd * hour * dislike * irritable).min(0.5)
    }

    /// The chance to open a neutral message times this, for content alone: the person's taste.
    pub fn taste(&self, content: &Content) -> f64 {
        let spread = self.world.spec.taste_spread;
        let dice = self.draw(Draw::Taste).with(content.media as u64);
        let style = content.style.as_ref().map_or("", |style| style.as_str());
        // the medium and the style within it share the spread
        let own = 0.8 * dice.normal() + 0.6 * dice.text(style).normal();
        (self.world.spec.appeal(content) + spread * own).exp()
    }

    /// The hour of the person's own week, 0 to 167, that holds an instant.
    pub fn week_hour(&self, at: Instant) -> usize {
        (local::of_week(local::wall(self.zone, at.timestamp())) / 3_600) as usize
    }

    /// The chance to open a content within a time when it is sent in the middle of an hour of the
    /// local week, 0 to 167, of the week that holds `week`; nothing else was sent lately.
    pub fn chance_in_week(
        &self,
        week: Instant,
        hour: usize,
        content: &Content,
        within: Duration,
    ) -> f64 {
        self.chance_to_open(self.middle_of(week, hour), self.taste(content), within)
    }

    /// The chance that the person ever does what a goal asks, once a message with this content is
    /// open.
    pub fn acts_on(&self, content: &Content, goal: Goal) -> f64 {
        self.acts(self.taste(content), goal)
    }

    pub(super) fn middle_of(&self, week: Instant, hour: usize) -> Instant {
        assert!(hour < WEEK_HOURS, "a week has no hour {hour}");
        let monday = local::monday(local::wall(self.zone, week.timestamp()));
        let middle = monday + hour as i64 * 3_600 + 1_800;
        local::instant(local::utc(self.zone, middle) as f64)
    }

    pub(super) fn chance_to_open(&self, at: Instant, pull: f64, within: Duration) -> f64 {
        let (at, habits, within) = (local::seconds(at), self.habits(at), within.as_secs_f64());
        match habits {
            Habits::Daily { rhythm, keenness } => {
                rhythm.chance(at, at + within, (keenness * pull).min(0.97))
            }
            Habits::Rated(rates) => rates.chance(at, within / 3_600.0, pull),
        }
    }

    /// Seconds of UTC at which the person is present on a day, `weekly` times in seven on average.
    pub(super) fn sessions(&self, day: i64, weekly: f64) -> Vec<f64> {
        let noon =
            local::instant((local::utc(self.zone, day * local::DAY) + local::DAY / 2) as f64);
        match self.habits(noon) {
            Habits::Daily { rhythm, .. } => rhythm.sessions(day, weekly).collect(),
            Habits::Rated(rates) => rates.sessions(day, weekly, self.draw(Draw::Session)),
        }
    }

    pub(super) fn draw(&self, what: Draw) -> Dice {
        self.dice.with(what as u64)
    }

    fn habits(&self, at: Instant) -> &Habits {
        match &self.later {
            Some((from, later)) if *from <= at => later,
            _ => &self.habits,
        }
    }

    /// What multiplies the chance or rate of opening.
    fn pull(&self, sent: &Sent<'_>, taste: f64) -> f64 {
        let fatigue = self.world.spec.fatigue;
        let tired = (sent.in_week() - WELCOME_A_WEEK).max(0.0) * fatigue;
        taste * (-tired).exp()
    }

    /// The chance of an act, given that the message was opened.
    fn acts(&self, taste: f64, goal: Goal) -> f64 {
        let click = || (self.draw(Draw::Clicks).around(0.12, 0.6) * taste.sqrt()).min(0.8);
        match goal {
            Goal::Read => 1.0,
            Goal::Click => click(),
            Goal::Reply => self.draw(Draw::Replies).around(0.05, 0.7).min(0.6),
            Goal::Convert => click() * self.draw(Draw::Converts).around(0.15, 0.5).min(0.7),
        }
    }

    fn act(&self, taste: f64, opened: f64, turn: impl Fn(Turn) -> Dice, response: &mut Response) {
        let click = self.acts(taste, Goal::Click);
        if turn(Turn::Click).chance(click) {
            let clicked = opened + turn(Turn::Click).with(1).around(25.0, 1.0);
            response.clicked_at = Some(local::instant(clicked));
            if turn(Turn::Convert).chance(self.acts(taste, Goal::Convert) / click) {
                let converted = clicked + turn(Turn::Convert).with(1).around(2_400.0, 1.6);
                response.converted_at = Some(local::instant(converted));
                let (rate, currency) =
                    self.place.map_or((1.0, "EUR"), |place| (place.per_euro, place.currency));
                let amount = rate * turn(Turn::Amount).around(32.0, 0.6);
                response.amount = Some((amount * 100.0).round() / 100.0);
                response.currency = Some(currency.to_owned());
            }
        }
        if turn(Turn::Reply).chance(self.acts(taste, Goal::Reply)) {
            let replied = opened + turn(Turn::Reply).with(1).around(700.0, 1.3);
            response.replied_at = Some(local::instant(replied));
        }
    }

    /// The code with which a message fails, numbered as the channel's makers do.
    fn failure(&self, sent: &Sent<'_>, dice: Dice) -> Option<&'static str> {
        let spec = &self.world.spec;
        if self.draw(Draw::Unreachable).chance(spec.unreachable) {
            return Some("131026");
        }
        // the channel caps marketing by what a person already got
        let crowded = 1.0 + 0.5 * (sent.in_week() - WELCOME_A_WEEK).max(0.0);
        dice.chance((spec.failures * crowded).min(1.0)).then(|| {
            let codes = [("131049", 0.6), ("131000", 0.2), ("131026", 0.2)];
            codes[dice.with(1).pick(codes.iter().map(|(_, weight)| *weight))].0
        })
    }

    /// The spans of time, in seconds of UTC, in which the phone is off around an instant; empty
    /// ones stand for none.
    fn outages(&self, at: f64) -> [(f64, f64); 3] {
        let chance = self.world.spec.outages;
        let this_week = (at as i64).div_euclid(WEEK);
        [this_week - 1, this_week, this_week + 1].map(|week| {
            let dice = self.draw(Draw::Outage).with(week as u64);
            if !dice.chance(chance) {
                return (0.0, 0.0);
            }
            let begin = (week * WEEK) as f64 + dice.with(1).between(0.0, WEEK as f64);
            let length = dice.with(2).around(36_000.0, 1.2).min(6.0 * local::DAY as f64);
            (begin, begin + length)
        })
    }
}

impl Habits {
    fn sleeps(&self, at: f64) -> bool {
        match self {
            Self::Daily { rhythm, .. } => rhythm.sleeps(at),
            Self::Rated(rates) => rates.sleeps(at),
        }
    }
}
