//! What one who knows the world makes of a person's history: Bayes' rule with the true prior. It is
//! the ceiling of what anybody could learn from the same data.
//!
//! People are drawn from the world's prior and weighed by the likelihood of the history; from the
//! likeliest, Markov chains (Metropolis and Hastings) draw some traits anew from the prior at each
//! step. Covers the habit `sessions` as it is in `sessions`, `receipts` and `shops`; knows neither
//! luck, drift, machines nor prompt readers. Two approximations: two runs of reads are never of one
//! session, and where reads are not told, messages are judged one by one.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::local;
use super::looks::{Draw, FOLLOWED_DAYS, LOOKS, Looks, Occasion};
use super::person::Person;
use super::score::Question;
use super::spec::Spec;
use crate::model::content::{Content, Media};
use crate::model::message::Message;
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// A session begins within so many scales of its usual time, or hardly ever.
const FAR: f64 = 9.0;
/// Stamps may be rounded by so many seconds.
const ROUNDED: f64 = 1.01;
/// Who is so much less likely than the best, in logarithms, is not looked at.
const HOPELESS: f64 = 15.0;

/// How much is drawn for one person.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// People of the prior.
    pub draws: u64,
    /// Chains from the likeliest of them.
    pub chains: usize,
    /// Steps of a chain; the first half is not used.
    pub steps: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { draws: 3_000, chains: 12, steps: 240 }
    }
}

/// The posterior means of a person's chances to open, by hour of the week and content; of the person
/// nothing is used but the clock.
pub fn expected(
    person: &Person<'_>,
    messages: &[Message],
    until: Instant,
    question: &Question<'_>,
    effort: Effort,
    seed: u64,
) -> Vec<Vec<f64>> {
    let history = History::new(person, messages, until, question.contents);
    let prior = Prior { spec: person.world.spec(), contents: question.contents };
    let dice = Dice::new(seed).text(person.key().as_str());
    let mut mean = vec![vec![0.0; question.contents.len()]; WEEK_HOURS];
    let mut count = 0.0;
    for (chain, start) in prior.likeliest(&history, effort, dice).into_iter().enumerate() {
        let dice = dice.with(1 << 40).with(chain as u64);
        let mut state = start;
        for step in 0..effort.steps {
            let dice = dice.with(step as u64);
            let next = prior.moved(&history, &state, dice);
            if dice.with(1).unit().ln() < next.fit - state.fit {
                state = next;
            }
            if step >= effort.steps / 2 && step % 12 == 0 {
                state.who.add_chances(person, question, &mut mean);
                count += 1.0;
            }
        }
    }
    mean.iter_mut().flatten().for_each(|sum| *sum /= count);
    mean
}

struct Prior<'p> {
    spec: &'p Spec,
    contents: &'p [Content],
}

/// Somebody who may be the person.
struct Candidate {
    looks: Looks,
    /// By content.
    tastes: Vec<f64>,
    /// Chance that something is answered that was read.
    acts: f64,
}

/// A candidate with the draws that made it, and the log-likelihood of the history.
struct State {
    draws: Vec<Dice>,
    who: Candidate,
    fit: f64,
}

impl Prior<'_> {
    fn size(&self) -> usize {
        Draw::HABITS.len() + 2 * self.contents.len() + 2
    }

    fn candidate(&self, draws: &[Dice]) -> Candidate {
        let (habits, rest) = draws.split_at(Draw::HABITS.len());
        let place = |what: Draw| Draw::HABITS.iter().position(|habit| *habit == what);
        // sessions are not drawn
        let looks = Looks::new(&self.spec.paces, |what| habits[place(what).unwrap_or(0)]);
        let (media, rest) = rest.split_at(self.contents.len());
        let (styles, acts) = rest.split_at(self.contents.len());
        let mut own = BTreeMap::<Media, f64>::new();
        let taste = |(index, content): (usize, &Content)| {
            let media = *own.entry(content.media).or_insert_with(|| media[index].normal());
            let own = 0.8 * media + 0.6 * styles[index].normal();
            (self.spec.appeal(content) + self.spec.taste_spread * own).exp()
        };
        let tastes = self.contents.iter().enumerate().map(taste).collect();
        let (click, reply) =
            (acts[0].around(0.12, 0.6).min(0.8), acts[1].around(0.05, 0.7).min(0.6));
        Candidate { looks, tastes, acts: 1.0 - (1.0 - click) * (1.0 - reply) }
    }

    fn state(&self, history: &History, draws: Vec<Dice>, least: f64) -> State {
        let who = self.candidate(&draws);
        let fit = history.fit(&who, self.spec.receipts_off, least);
        State { draws, who, fit }
    }

    /// Where chains begin: drawn from the prior by likelihood.
    fn likeliest(&self, history: &History, effort: Effort, dice: Dice) -> Vec<State> {
        let mut best = f64::NEG_INFINITY;
        let mut states: Vec<State> = Vec::new();
        for number in 0..effort.draws {
            let dice = dice.with(number);
            let draws = (0..self.size()).map(|place| dice.with(place as u64)).collect();
            let state = self.state(history, draws, best - HOPELESS);
            best = best.max(state.fit);
            if state.fit > best - HOPELESS {
                states.push(state);
            }
        }
        let weights: Vec<f64> = states.iter().map(|state| (state.fit - best).exp()).collect();
        (0..effort.chains)
            .map(|chain| {
                let at = dice.with(2 << 40).with(chain as u64).pick(weights.iter().copied());
                self.state(history, states[at].draws.clone(), f64::NEG_INFINITY)
            })
            .collect()
    }

    /// The same with one to four draws made anew.
    fn moved(&self, history: &History, state: &State, dice: Dice) -> State {
        let mut draws = state.draws.clone();
        let count = [1, 1, 1, 2, 3, 4][dice.with(2).below(6)];
        for number in 0..count {
            let dice = dice.with(3).with(number);
            // habits matter most
            let places = if dice.chance(0.6) { Draw::HABITS.len() } else { draws.len() };
            draws[dice.with(1).below(places)] = dice.with(2);
        }
        self.state(history, draws, state.fit - 2.0 * HOPELESS)
    }
}

impl Candidate {
    /// The chance to read a message at a look of an occasion.
    fn open(&self, message: &Seen, usual: f64) -> f64 {
        self.looks.open(self.tastes[message.content], self.looks.sunk(usual - message.arrived))
    }

    fn add_chances(&self, person: &Person<'_>, question: &Question<'_>, to: &mut [Vec<f64>]) {
        for (hour, sums) in to.iter_mut().enumerate() {
            let at = local::seconds(person.middle_of(question.week, hour));
            let until = at + question.within.as_secs_f64();
            let day = person.day_of(at);
            let waiting = self.looks.waiting((at, day), until, |day| person.midnight(day));
            for (sum, taste) in sums.iter_mut().zip(&self.tastes) {
                *sum += self.looks.reads(&waiting, *taste);
            }
        }
    }
}

/// A message as it was told of, seconds of UTC.
struct Seen {
    arrived: f64,
    day: i64,
    content: usize,
    read: Option<f64>,
    answered: Option<f64>,
}

struct History {
    messages: Vec<Seen>,
    /// Reads that may be of one session, by place among the messages.
    runs: Vec<Vec<usize>>,
    until: f64,
    first: i64,
    /// By day, from two days before the first message.
    midnights: Vec<f64>,
}

impl History {
    fn new(
        person: &Person<'_>,
        messages: &[Message],
        until: Instant,
        contents: &[Content],
    ) -> Self {
        let seen = |message: &Message| {
            let response = &message.response;
            let arrived = local::seconds(response.delivered_at?);
            let media = message.media?;
            let content = Content { media, style: message.style.clone() };
            Some(Seen {
                arrived,
                day: person.day_of(arrived),
                content: contents.iter().position(|other| *other == content)?,
                read: response.read_at.map(local::seconds),
                answered: response.clicked_at.or(response.replied_at).map(local::seconds),
            })
        };
        let messages: Vec<Seen> = messages.iter().filter_map(seen).collect();
        let until = local::seconds(until);
        let last = person.day_of(until) + 1;
        let first = messages.first().map_or(last, |message| message.day) - 2;
        let mut reads: Vec<usize> =
            (0..messages.len()).filter(|index| messages[*index].read.is_some()).collect();
        let read = |index: usize| messages[index].read.unwrap_or(f64::INFINITY);
        reads.sort_by(|a, b| read(*a).total_cmp(&read(*b)));
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for index in reads {
            match runs.last_mut() {
                Some(run) if read(index) - read(run[0]) <= LOOKS[3] + ROUNDED => run.push(index),
                _ => runs.push(vec![index]),
            }
        }
        let midnights = (first..=last).map(|day| person.midnight(day)).collect();
        Self { messages, runs, until, first, midnights }
    }

    /// The log-likelihood, or that it is less than `least`.
    fn fit(&self, who: &Candidate, receipts_off: f64, least: f64) -> f64 {
        let are_told = !self.runs.is_empty();
        if receipts_off == 0.0 || are_told {
            return self.told(who, least);
        }
        let off = receipts_off.ln() + self.untold(who);
        if self.messages.iter().any(|message| message.answered.is_some()) {
            return off;
        }
        let on = (1.0 - receipts_off).ln() + self.told(who, f64::NEG_INFINITY);
        on.max(off) + (-(on - off).abs()).exp().ln_1p()
    }

    fn told(&self, who: &Candidate, least: f64) -> f64 {
        // what the runs of reads are at most worth: the passing over costs nothing
        let mut fit: f64 = 0.0;
        let mut runs = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let sessions = self.sessions_of(run, who);
            fit += sessions.iter().map(|(.., chance)| chance).sum::<f64>().ln();
            runs.push(sessions);
        }
        if fit.is_nan() || fit < least {
            return f64::NEG_INFINITY;
        }
        let mut passed: BTreeMap<(i64, usize), f64> = BTreeMap::new();
        for (place, midnight) in self.midnights.iter().enumerate() {
            let day = self.first + place as i64;
            for (index, occasion) in who.looks.day(day).iter().enumerate() {
                let chance = self.passed_over(day, *midnight, occasion, who);
                if chance < 1.0 {
                    passed.insert((day, index), chance);
                }
            }
        }
        let of = |day: i64, index: usize| passed.get(&(day, index)).copied().unwrap_or(1.0);
        let all: f64 = passed.values().map(|chance| chance.max(1e-12).ln()).sum();
        let runs = runs.iter().map(|sessions| {
            let chances = sessions.iter().map(|(day, index, c)| c / of(*day, *index).max(1e-12));
            chances.sum::<f64>().ln()
        });
        all + runs.sum::<f64>()
    }

    /// The sessions that a run of reads may be of, each with its density.
    fn sessions_of(&self, run: &[usize], who: &Candidate) -> Vec<(i64, usize, f64)> {
        let read = |index: usize| self.messages[index].read.unwrap_or(f64::INFINITY);
        let first = read(run[0]);
        let place = self.midnights.partition_point(|midnight| *midnight <= first);
        let mut sessions = Vec::new();
        for place in place.saturating_sub(3)..(place + 1).min(self.midnights.len()) {
            let (day, midnight) = (self.first + place as i64, self.midnights[place]);
            for (index, occasion) in who.looks.day(day).iter().enumerate() {
                let usual = midnight + occasion.second;
                let mut density = 0.0;
                for look in LOOKS {
                    let begin = first - look;
                    let z = (begin - usual) / occasion.jitter;
                    let fits = run.iter().all(|index| {
                        LOOKS.iter().any(|look| (begin + look - read(*index)).abs() <= ROUNDED)
                    });
                    if z.abs() > FAR || !fits {
                        continue;
                    }
                    let start = (-z.abs()).exp() / (1.0 + (-z.abs()).exp()).powi(2);
                    let through = self.read_through(run, begin, day, usual, who);
                    density += occasion.chance * start / occasion.jitter * through;
                }
                if density > 0.0 {
                    sessions.push((day, index, density));
                }
            }
        }
        sessions
    }

    /// The chance that a session that begins then has just this run of reads.
    fn read_through(
        &self,
        run: &[usize],
        begin: f64,
        day: i64,
        usual: f64,
        who: &Candidate,
    ) -> f64 {
        let from = begin - (FOLLOWED_DAYS + 2) as f64 * local::DAY as f64;
        let older = self.messages.partition_point(|message| message.arrived < from);
        let (mut chance, mut sum, mut left) = (1.0, 0.0, run.len());
        for (look, length) in LOOKS.iter().zip(who.looks.lengths) {
            let at = begin + look;
            for (index, message) in self.messages.iter().enumerate().skip(older) {
                if message.arrived > at || day > message.day + FOLLOWED_DAYS {
                    continue;
                }
                let open = who.open(message, usual);
                match message.read {
                    Some(read) if (read - at).abs() <= ROUNDED && run.contains(&index) => {
                        chance *= open;
                        left -= 1;
                    }
                    Some(read) if read < at => {}
                    _ => chance *= 1.0 - open,
                }
            }
            if left == 0 {
                sum += length * chance;
            }
        }
        sum
    }

    /// The chance that nothing is read that waits at an occasion.
    fn passed_over(&self, day: i64, midnight: f64, occasion: &Occasion, who: &Candidate) -> f64 {
        let usual = midnight + occasion.second;
        let (from, to) = (usual - FAR * occasion.jitter, usual + FAR * occasion.jitter);
        let end = |message: &Seen| message.read.unwrap_or(f64::INFINITY).min(self.until);
        let old = from - (FOLLOWED_DAYS + 2) as f64 * local::DAY as f64;
        let begin = self.messages.partition_point(|message| message.arrived < old);
        let waits: Vec<(f64, f64, f64)> = self.messages[begin..]
            .iter()
            .take_while(|message| message.arrived < to + LOOKS[3])
            .filter(|message| end(message) > from && day <= message.day + FOLLOWED_DAYS)
            .map(|message| (message.arrived, end(message), 1.0 - who.open(message, usual)))
            .collect();
        if waits.is_empty() {
            return 1.0;
        }
        let mut breaks = vec![from, to];
        for look in LOOKS {
            let ends = waits.iter().flat_map(|(arrived, end, _)| [arrived - look, end - look]);
            breaks.extend(ends.filter(|at| (from..to).contains(at)));
        }
        breaks.sort_unstable_by(f64::total_cmp);
        let before = |at: f64| 1.0 / (1.0 + ((usual - at) / occasion.jitter).exp());
        let mut passed = 1.0;
        let mut reached = before(from);
        for ends in breaks.windows(2) {
            let next = before(ends[1]);
            let mass = occasion.chance * (next - reached);
            reached = next;
            let begin = f64::midpoint(ends[0], ends[1]);
            let mut unread = 1.0;
            for (look, length) in LOOKS.iter().zip(who.looks.lengths) {
                let at = begin + look;
                for (arrived, end, passes) in &waits {
                    if (*arrived..*end).contains(&at) {
                        unread *= passes;
                    }
                }
                passed -= mass * length * (1.0 - unread);
            }
        }
        passed
    }

    /// Where reads are not told: each message by whether and when it was answered.
    fn untold(&self, who: &Candidate) -> f64 {
        let midnight = |day: i64| {
            let place = (day - self.first).clamp(0, self.midnights.len() as i64 - 1);
            let beyond = day - self.first - place;
            self.midnights[place as usize] + (beyond * local::DAY) as f64
        };
        let of = |message: &Seen| {
            let read = |until: f64| {
                let arrival = (message.arrived, message.day);
                let waiting = who.looks.waiting(arrival, until, midnight);
                who.looks.reads(&waiting, who.tastes[message.content])
            };
            match message.answered {
                Some(at) => {
                    let hour = read(at) - read((at - 3_600.0).max(message.arrived));
                    (who.acts * hour.max(1e-6)).ln()
                }
                None => (1.0 - who.acts * read(self.until)).ln(),
            }
        };
        self.messages.iter().map(of).sum()
    }
}
