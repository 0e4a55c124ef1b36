//! One person: derived from the world's seed and the recipient's key, and asked what becomes of a
//! message. Knows whether and with what the person answers; when is left to the habits.

use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use chrono_tz::Tz;

use super::World;
use super::dice::Dice;
use super::local::{self, WEEK};
use super::looks::{self, Looks};
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
/// How soon after opening a person clicks and replies, and after seeing opts out: the median in
/// seconds and the spread in logarithms.
pub(super) const CLICK: (f64, f64) = (25.0, 1.0);
pub(super) const REPLY: (f64, f64) = (700.0, 1.3);
pub(super) const OPT_OUT: (f64, f64) = (20.0, 0.7);
/// A prompt reader opens so many seconds after the arrival.
pub(super) const PROMPT: (f64, f64) = (1.0, 8.0);
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
    /// The campaign that it belongs to; absent: any one.
    pub campaign: Option<&'m str>,
}

impl Sent<'_> {
    /// Messages in the seven days up to this one, itself counted.
    fn in_week(&self) -> f64 {
        let since = self.at - TimeDelta::days(7);
        1.0 + self.recent.iter().filter(|at| **at > since && **at < self.at).count() as f64
    }
}

#[derive(Debug)]
pub(super) enum Habits {
    Daily { rhythm: Rhythm, keenness: f64 },
    Rated(Box<Rates>),
    Sessions(Box<Looks>),
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
    Prompt,
    LinkScanner,
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
    Prompt,
}

impl<'w> Person<'w> {
    pub(super) fn new(world: &'w World, dice: Dice, key: &RecipientKey, zone: Tz) -> Self {
        let chronotype = world.chronotype(zone, dice.with(Draw::Chronotype as u64));
        let own = dice.with(Draw::Habits as u64);
        let habits = |life: u64, chronotype: Chronotype| {
            let dice = dice.with(Draw::Habits as u64).with(life);
            match world.spec.habit {
                Habit::Daily => Habits::Daily {
                    rhythm: Rhythm::new(chronotype, zone, dice),
                    keenness: dice.with(99).around(0.36, 0.5),
                },
                Habit::Friendly => Habits::Rated(Box::new(world.patterns.friendly(zone, dice))),
                Habit::Hostile => Habits::Rated(Box::new(Patterns::hostile(zone, dice))),
                Habit::Sessions => {
                    let draw = |what: looks::Draw| {
                        (if what.is_kept() { own } else { dice }).with(what as u64)
                    };
                    Habits::Sessions(Box::new(Looks::new(&world.spec.paces, draw)))
                }
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
        let taste = self.taste(sent.content, sent.at);
        let mut met = match self.habits(sent.at) {
            Habits::Daily { rhythm, keenness } => {
                let is_off = |at| outages.iter().any(|(begin, end)| (*begin..*end).contains(&at));
                let open = (keenness * self.pull(sent, taste)).min(0.97);
                rhythm.meet(delivered, open, turn(Turn::Opens), is_off)
            }
            Habits::Rated(rates) => {
                let opened = rates.opened(delivered, self.pull(sent, taste), turn(Turn::Opens));
                Met { seen: opened, opened }
            }
            Habits::Sessions(looks) => {
                let arrival = (delivered, self.day_of(delivered));
                let pull = self.pull(sent, taste);
                let (seen, opened) =
                    looks.meet(arrival, pull, turn(Turn::Opens), |day| self.midnight(day));
                Met { seen, opened }
            }
        };
        let prompt = self.prompt(sent.at, self.pull(sent, taste));
        if turn(Turn::Prompt).chance(prompt) {
            let (soonest, latest) = PROMPT;
            let at = delivered + turn(Turn::Prompt).with(1).between(soonest, latest);
            let first = |other: Option<f64>| Some(other.map_or(at, |other| other.min(at)));
            met = Met { seen: first(met.seen), opened: first(met.opened) };
        }
        let mut response = Response {
            delivered_at: Some(local::instant(delivered)),
            opted_out_at: met
                .seen
                .filter(|_| turn(Turn::OptOut).chance(self.harm_of(sent, taste)))
                .map(|seen| {
                    local::instant(seen + turn(Turn::OptOut).with(1).around(OPT_OUT.0, OPT_OUT.1))
                }),
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
        if self.draw(Draw::LinkScanner).chance(self.world.spec.link_scanners) {
            let followed = delivered + turn(Turn::Machine).with(1).between(0.5, 6.0);
            response.clicked_at = Some(local::instant(followed));
        }
        if self.world.spec.whole_seconds {
            in_whole_seconds(&mut response, sent.at);
        }
        response
    }

    /// The chance that a message reaches the goal within a time, given that it arrives at once. It
    /// is exact for `Read`, receipts or none; for the other goals it is the chance to open in
    /// time and then ever to act, and so a little high. [`Person::truth`] is exact for all.
    pub fn chance(&self, sent: &Sent<'_>, goal: Goal, within: Duration) -> f64 {
        let taste = self.taste(sent.content, sent.at);
        self.chance_of(sent, taste, within) * self.acts(taste, goal)
    }

    /// The chance that the person opts out because of a message, once it is seen.
    pub fn harm(&self, sent: &Sent<'_>) -> f64 {
        self.harm_of(sent, self.taste(sent.content, sent.at))
    }

    pub(super) fn harm_of(&self, sent: &Sent<'_>, taste: f64) -> f64 {
        let base = self.world.spec.opt_out;
        if base == 0.0 {
            return 0.0;
        }
        let purpose = if sent.category == Category::Marketing { 1.0 } else { 0.2 };
        let crowd = (self.world.spec.crowding * (sent.in_week() - WELCOME_A_WEEK).max(0.0)).exp();
        let hour =
            if self.habits(sent.at).sleeps(self, local::seconds(sent.at)) { 4.0 } else { 1.0 };
        let dislike = taste.powf(-1.5);
        let irritable = self.draw(Draw::Irritable).around(1.0, 0.8);
        (base * purpose * crowd * hour * dislike * irritable).min(0.5)
    }

    /// The chance to open a neutral message times this, for content alone: the person's taste.
    pub fn taste(&self, content: &Content, at: Instant) -> f64 {
        let spread = self.world.spec.taste_spread;
        let normal = |dice: Dice| match self.world.spec.taste_half_life_weeks {
            None => dice.normal(),
            Some(half_life) => renewed(dice, at.timestamp().div_euclid(WEEK), half_life),
        };
        let dice = self.draw(Draw::Taste).with(content.media as u64);
        let style = content.style.as_ref().map_or("", |style| style.as_str());
        // the medium and the style within it share the spread
        let own = 0.8 * normal(dice) + 0.6 * normal(dice.text(style));
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
        let at = self.middle_of(week, hour);
        self.chance_to_open(at, self.taste(content, at), within)
    }

    /// The chance that the person ever does what a goal asks, once a message with this content is
    /// open, that was sent at some time.
    pub fn acts_on(&self, content: &Content, at: Instant, goal: Goal) -> f64 {
        self.acts(self.taste(content, at), goal)
    }

    pub(super) fn middle_of(&self, week: Instant, hour: usize) -> Instant {
        assert!(hour < WEEK_HOURS, "a week has no hour {hour}");
        let monday = local::monday(local::wall(self.zone, week.timestamp()));
        let middle = monday + hour as i64 * 3_600 + 1_800;
        local::instant(local::utc(self.zone, middle) as f64)
    }

    /// Seconds of UTC at which a day counted from the epoch begins, as the offset at its noon has it.
    pub(super) fn midnight(&self, day: i64) -> f64 {
        let noon = day * local::DAY + local::DAY / 2;
        (day * local::DAY + noon - local::wall(self.zone, noon)) as f64
    }

    /// The day on which an instant lies, counted from the epoch.
    pub(super) fn day_of(&self, at: f64) -> i64 {
        local::day(local::wall(self.zone, at as i64))
    }

    /// Seconds of UTC at which the person is present on a day, `weekly` times in seven on average.
    pub(super) fn sessions(&self, day: i64, weekly: f64) -> Vec<f64> {
        let noon =
            local::instant((local::utc(self.zone, day * local::DAY) + local::DAY / 2) as f64);
        match self.habits(noon) {
            Habits::Daily { rhythm, .. } => rhythm.sessions(day, weekly).collect(),
            Habits::Rated(rates) => rates.sessions(day, weekly, self.draw(Draw::Session)),
            Habits::Sessions(looks) => looks.sessions(day, self.midnight(day)).collect(),
        }
    }

    pub(super) fn draw(&self, what: Draw) -> Dice {
        self.dice.with(what as u64)
    }

    pub(super) fn habits(&self, at: Instant) -> &Habits {
        match &self.later {
            Some((from, later)) if *from <= at => later,
            _ => &self.habits,
        }
    }

    /// What multiplies the chance or rate of opening.
    fn pull(&self, sent: &Sent<'_>, taste: f64) -> f64 {
        self.pull_without_luck(sent, taste)
            * sent.campaign.map_or(1.0, |name| self.world.luck(name))
    }

    pub(super) fn pull_without_luck(&self, sent: &Sent<'_>, taste: f64) -> f64 {
        let fatigue = self.world.spec.fatigue;
        let tired = (sent.in_week() - WELCOME_A_WEEK).max(0.0) * fatigue;
        taste * (-tired).exp()
    }

    /// The chance that a message is read within seconds of its arrival.
    pub(super) fn prompt(&self, at: Instant, pull: f64) -> f64 {
        let is_prompt = self.draw(Draw::Prompt).chance(self.world.spec.prompt_readers);
        if !is_prompt || self.habits(at).sleeps(self, local::seconds(at)) {
            return 0.0;
        }
        (0.35 * pull).min(0.97)
    }

    /// The chance of an act, given that the message was opened.
    pub(super) fn acts(&self, taste: f64, goal: Goal) -> f64 {
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
            let clicked = opened + turn(Turn::Click).with(1).around(CLICK.0, CLICK.1);
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
            let replied = opened + turn(Turn::Reply).with(1).around(REPLY.0, REPLY.1);
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
    fn sleeps(&self, person: &Person<'_>, at: f64) -> bool {
        match self {
            Self::Daily { rhythm, .. } => rhythm.sleeps(at),
            Self::Rated(rates) => rates.sleeps(at),
            Self::Sessions(_) => {
                let into = local::of_week(local::wall(person.zone, at as i64)) % local::DAY;
                !(7 * 3_600..23 * 3_600).contains(&into)
            }
        }
    }
}

/// A standard normal of a week, of which half stems from before the half-life.
fn renewed(dice: Dice, week: i64, half_life: f64) -> f64 {
    // what is older has less than a thousandth of the weight
    let kept = (-1.0 / half_life).exp2();
    let weeks = (10.0 * half_life).ceil() as i64;
    let mut value = 0.0;
    for week in week - weeks..=week {
        value = kept * value + (1.0 - kept * kept).sqrt() * dice.with(week as u64).normal();
    }
    value
}

/// Cuts off what is finer than a second, but never to before the message was sent.
fn in_whole_seconds(response: &mut Response, sent_at: Instant) {
    for at in [
        &mut response.delivered_at,
        &mut response.read_at,
        &mut response.clicked_at,
        &mut response.replied_at,
        &mut response.converted_at,
        &mut response.opted_out_at,
    ]
    .into_iter()
    .flatten()
    {
        *at = at.trunc_subsecs(0).max(sent_at);
    }
}
