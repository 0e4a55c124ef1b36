//! What is known of one person's habits, ready to be asked. Made by `learn`, read by `plan`.
//!
//! Owns the questions: when, with what, how likely, how sure. Refuses to learn: a preference never
//! changes, and holds of its population only what everybody shares.
//!
//! A delivered unread message of age `k` hours is read in hour `h` of the local week at the rate
//! `level · week(h) · taste(content) · decay(k)`; from that comes the chance of any goal within any
//! time.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

pub use super::added::AddedByMessage;
use super::choice::{ChoiceCorrection, PersonCorrection};
use super::content::{Category, Content, Goal};
pub use super::curve::Curve;
pub use super::delays::{Delays, ReplyDelays};
use super::draw::Drawn;
pub use super::fatigue::Fatigue;
pub use super::range::Range;
use super::saturate::{at_least_one, each_at_least_one};

/// Hours of the local week; hour 0 is Monday 00:00–01:00 on the person's own clock.
pub const WEEK_HOURS: usize = 168;
/// The place of the opt-out beside the goals, among what is drawn.
const OPT_OUT: usize = 4;

/// What the preferences of one model share: figures of the population.
#[derive(Debug, Clone, Default)]
pub struct Population {
    /// Relative rate of reading by the age of a message in hours; 0 beyond its end.
    pub decay: Vec<f32>,
    /// The contents that tastes are known of, sorted, with everybody's figures.
    pub contents: Vec<(Content, ContentFigures)>,
    /// How soon clicks, replies and conversions come after the message was seen.
    pub delays: Answers<Delays>,
    /// From computed to calibrated chance of a read in time.
    pub read: Curve,
    /// From computed to calibrated chance of each answer to what was seen.
    pub answers: Answers<Curve>,
    /// From computed to calibrated chance of an opt-out.
    pub opt_out: Curve,
    /// Added to the log-odds of each answer where a message is no marketing.
    pub utility: Answers<f32>,
    /// Added to the log-odds of an opt-out where a message is no marketing.
    pub utility_opt_out: f32,
    /// What other messages of the last days change.
    pub fatigue: Fatigue,
    /// The share of marketing messages in each hour of the local week, where it is known.
    pub sent_hours: Vec<f32>,
    /// What is taken from chances that were chosen for their height.
    pub choice: ChoiceCorrection,
    /// Names of the chronotypes.
    pub chronotypes: Vec<String>,
}

/// What everybody makes of one content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContentFigures {
    /// Relative rate of reading; 1 is average.
    pub taste: f32,
    /// Added to the log-odds of each answer.
    pub answers: Answers<f32>,
    /// Added to the log-odds of an opt-out.
    pub opt_out: f32,
}

impl Default for ContentFigures {
    fn default() -> Self {
        Self { taste: 1.0, answers: Answers::default(), opt_out: 0.0 }
    }
}

/// Something for each goal that goes beyond reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Answers<T> {
    /// Of clicks.
    pub click: T,
    /// Of replies.
    pub reply: T,
    /// Of conversions.
    pub convert: T,
}

impl<T> Answers<T> {
    /// The one of a goal; `None` for reading itself.
    pub fn of(&self, goal: Goal) -> Option<&T> {
        match goal {
            Goal::Read => None,
            Goal::Click => Some(&self.click),
            Goal::Reply => Some(&self.reply),
            Goal::Convert => Some(&self.convert),
        }
    }
}

/// What is a person's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Relative rate of presence in each hour of the local week; mean 1.
    pub week: [f32; WEEK_HOURS],
    /// Pseudo-observations behind each hour of the day.
    pub certainty: [f32; 24],
    /// Rate of reading a fresh average message in an average hour, an hour.
    pub level: f32,
    /// Pseudo-observations behind `level`.
    pub level_certainty: f32,
    /// Taste for each of the population's contents, and its spread on the log scale.
    pub tastes: Box<[(f32, f32)]>,
    /// Log-odds of each answer to an average message that was seen.
    pub answers: Answers<f32>,
    /// Messages behind each of them, own and assumed.
    pub answer_certainty: Answers<f32>,
    /// Log-odds of an opt-out after an average message.
    pub opt_out: f32,
    /// Messages behind it.
    pub opt_out_certainty: f32,
    /// Log of one more than the messages of the last days that both are told after.
    pub recent: f32,
    /// What one more message adds to purchases, where that is known.
    pub added: Option<AddedByMessage>,
    /// The likeliest chronotype, by number.
    pub chronotype: u16,
    /// Its posterior probability.
    pub chronotype_share: f32,
    /// Effective number of observations.
    pub evidence: f32,
}

/// One person's habits.
#[derive(Debug, Clone)]
pub struct Preference {
    pub(super) population: Arc<Population>,
    pub(super) person: Person,
    /// Where it is one possible truth, what was drawn.
    drawn: Option<Arc<Drawn>>,
}

impl Preference {
    /// Joins a person to a population.
    pub fn new(population: Arc<Population>, person: Person) -> Self {
        assert!(person.tastes.len() == population.contents.len(), "a taste for each content");
        Self { population, person, drawn: None }
    }

    /// Presence in each hour of the local week; sums to 1.
    pub fn presence(&self) -> [f64; WEEK_HOURS] {
        let total: f64 = self.person.week.iter().copied().map(f64::from).sum();
        self.person.week.map(|rate| f64::from(rate) / total)
    }

    /// Presence with its range.
    pub fn presence_ranges(&self) -> [Range; WEEK_HOURS] {
        let presence = self.presence();
        std::array::from_fn(|h| {
            Range::around(presence[h] as f32, 1.0 / self.person.certainty[h % 24])
        })
    }

    /// The name of the likeliest chronotype.
    pub fn chronotype(&self) -> &str {
        let names = &self.population.chronotypes;
        names.get(usize::from(self.person.chronotype)).map_or("", String::as_str)
    }

    /// How probable it is that the person is of that chronotype.
    pub fn chronotype_share(&self) -> f64 {
        f64::from(self.person.chronotype_share)
    }

    /// Effective number of observations behind it all.
    pub fn evidence(&self) -> f64 {
        f64::from(self.person.evidence)
    }

    /// The contents that tastes are known of, in order.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.population.contents.iter().map(|(content, _)| content)
    }

    /// Chance of engagement relative to the person's mean over all contents; 1 is average.
    pub fn taste(&self, content: &Content) -> f64 {
        f64::from(self.relative(self.known(content).taste))
    }

    /// The same with its range.
    pub fn taste_range(&self, content: &Content) -> Range {
        let known = self.known(content);
        let Range { mean, low, high } = Range::around(known.taste, known.spread.powi(2).exp_m1());
        Range { mean: self.relative(mean), low: self.relative(low), high: self.relative(high) }
    }

    /// What a rate of reading, relative to an average content's, makes of the chance to be read.
    fn relative(&self, taste: f32) -> f32 {
        let tastes = &self.person.tastes;
        if tastes.is_empty() {
            return 1.0;
        }
        // what an average hour and a day of waiting bring, so that a ceiling of 1 is felt
        let typical = self.person.level * self.population.decay.iter().take(24).sum::<f32>();
        let chance = |taste: f32| -(-typical * taste).exp_m1();
        let mean =
            tastes.iter().map(|(taste, _)| chance(*taste)).sum::<f32>() / tastes.len() as f32;
        chance(taste) / mean.max(f32::MIN_POSITIVE)
    }

    /// What the person does with messages of a category; without this, marketing is meant.
    #[must_use]
    pub fn in_category(mut self, category: Category) -> Self {
        if category == Category::Utility {
            let added = self.population.utility;
            self.person.answers.click += added.click;
            self.person.answers.reply += added.reply;
            self.person.answers.convert += added.convert;
            self.person.opt_out += self.population.utility_opt_out;
        }
        self
    }

    /// Posterior mean of the chance that `goal` is reached within `within`, of a message with this
    /// content, sent at a time drawn evenly from each hour of the local week.
    pub fn chances(&self, content: &Content, goal: Goal, within: Duration) -> [f32; WEEK_HOURS] {
        let known = self.known(content);
        let answered = self.answered(&known, goal);
        let Some(drawn) = &self.drawn else {
            return self.seen(&known, goal, within).map(|chance| answered * chance);
        };
        let hours = std::array::from_fn(|h| self.person.week[h] * drawn.hour(h));
        let moved = Self { person: Person { week: hours, ..self.person.clone() }, ..self.clone() };
        let [plain, moved] = [self, &moved].map(|of| of.expected(goal, within));
        let spread = known.spread * known.spread;
        let factor = drawn.reads(known.index, 1.0 / self.person.level_certainty, spread);
        let scale = self.person.level * known.taste;
        let variance = self.variance(&known);
        let mut seen = self.seen(&known, goal, within);
        for (h, seen) in seen.iter_mut().enumerate() {
            // the same part of what is read is answered in time, whatever was drawn
            let mean = at_least_one(scale * plain[h], variance).max(f32::MIN_POSITIVE);
            let drawn = -(-scale * plain[h] * factor).exp_m1();
            // the surer it is, the less the hour matters
            let hour = moved[h] / plain[h].max(f32::MIN_POSITIVE) - 1.0;
            *seen *= drawn / mean * (1.0 + hour * (1.0 - drawn));
        }
        seen.map(|chance| answered * chance.min(1.0))
    }

    /// Expected reads in time at level 1.
    fn expected(&self, goal: Goal, within: Duration) -> [f32; WEEK_HOURS] {
        let mut expected = [0.0f32; WEEK_HOURS];
        for (age, Age { weight, .. }) in self.ages(goal, within).iter().enumerate() {
            for (h, expected) in expected.iter_mut().enumerate() {
                *expected += weight * self.person.week[(h + age) % WEEK_HOURS];
            }
        }
        expected
    }

    /// What is taken from chances of this person's that were chosen for their height.
    pub fn choice_correction(&self, within: Duration) -> PersonCorrection {
        let hours = within.as_secs_f32() / 3600.0;
        self.population.choice.of(self.person.level, self.person.evidence, hours)
    }

    /// The chance that a message with this content, once it is read, is ever answered so.
    pub fn answer_chance(&self, content: &Content, goal: Goal) -> f32 {
        self.answered(&self.known(content), goal)
    }

    /// How soon such answers come after the reading; `None` for reading itself.
    pub fn answer_delays(&self, goal: Goal) -> Option<&Delays> {
        self.population.delays.of(goal)
    }

    /// Hours after which a message is not read any more.
    pub fn longest_hours(&self) -> usize {
        self.population.decay.len()
    }

    /// The chance of a reply to this content within a day, over all hours: who answers is nearly all
    /// person.
    pub fn reply_chance(&self, content: &Content) -> f32 {
        let day = Duration::from_hours(24);
        self.chances(content, Goal::Reply, day).iter().sum::<f32>() / WEEK_HOURS as f32
    }

    /// The share of replies that come in the first hour after sending, the second, …, as far as most
    /// of them, by the hour of sending: what is read at this person's pace is answered at the
    /// population's. `None` where nothing is known of either.
    pub fn reply_delays(&self) -> Option<ReplyDelays> {
        let answered = &self.population.delays.reply;
        if self.population.decay.is_empty() || answered.is_unknown() {
            return None;
        }
        Some(ReplyDelays::by_hour((0..WEEK_HOURS).map(|hour| self.reply_delay(hour)).collect()))
    }

    fn reply_delay(&self, sent: usize) -> Vec<f32> {
        const MOST: f32 = 0.95;
        const HOURS: usize = 24;
        let answered = &self.population.delays.reply;
        let mut shares = [0.0f32; HOURS];
        let mut unread = 1.0f32;
        for (age, decay) in self.population.decay.iter().take(HOURS).enumerate() {
            let rate = self.person.level * decay * self.person.week[(sent + age) % WEEK_HOURS];
            let read = unread * -(-rate).exp_m1();
            unread -= read;
            // read in the middle of its hour
            let by = |hour: usize| answered.within((hour - age) as f32 - 0.5);
            for (hour, share) in shares.iter_mut().enumerate().skip(age) {
                *share += read * (by(hour + 1) - by(hour));
            }
        }
        let total: f32 = shares.iter().sum();
        let mut sum = 0.0;
        let kept = shares.iter().take_while(|share| {
            let wanted = sum < MOST * total;
            sum += **share;
            wanted
        });
        let kept: Vec<f32> = kept.copied().collect();
        let sum: f32 = kept.iter().sum();
        kept.into_iter().map(|share| share / sum.max(f32::MIN_POSITIVE)).collect()
    }

    /// The same with ranges.
    pub fn chance_ranges(
        &self,
        content: &Content,
        goal: Goal,
        within: Duration,
    ) -> [Range; WEEK_HOURS] {
        let known = self.known(content);
        self.chances(content, goal, within).map(|mean| {
            // bounds are kept by putting the spread on the odds
            let odds = Range::around(mean / (1.0 - mean).max(1e-6), self.variance(&known));
            let chance = |odds: f32| odds / (1.0 + odds);
            Range { mean, low: chance(odds.low).min(mean), high: chance(odds.high).max(mean) }
        })
    }

    /// Posterior mean of the chance that a message with this content makes the person opt out.
    pub fn opt_out(&self, content: &Content) -> f32 {
        let chance = sigmoid(self.person.opt_out + self.known(content).figures.opt_out);
        let mean = self.population.opt_out.at(chance);
        let Some(drawn) = &self.drawn else { return mean };
        drawn.share(OPT_OUT, mean, self.person.opt_out_certainty)
    }

    /// A preference drawn from the posterior, as one possible truth: the mean over draws of any
    /// chance is the chance.
    #[must_use]
    pub fn draw(&self, random: &mut impl Rng) -> Self {
        let drawn = Drawn::new(self.person.tastes.len(), &self.person.certainty, random);
        Self { drawn: Some(Arc::new(drawn)), ..self.clone() }
    }

    /// Presence in each hour of the week, as it may be by what is known.
    pub(super) fn draw_presence(&self, random: &mut impl Rng) -> [f32; WEEK_HOURS] {
        let drawn = Drawn::new(0, &self.person.certainty, random);
        std::array::from_fn(|hour| self.person.week[hour] * drawn.hour(hour))
    }

    fn answered(&self, known: &Known, goal: Goal) -> f32 {
        let own = self.person.answers.of(goal).zip(known.figures.answers.of(goal));
        let mean = match (own, self.population.answers.of(goal)) {
            (Some((own, content)), Some(curve)) => curve.at(sigmoid(own + content)),
            _ => return 1.0,
        };
        match (&self.drawn, self.person.answer_certainty.of(goal)) {
            (Some(drawn), Some(messages)) => drawn.share(goal as usize, mean, *messages),
            _ => mean,
        }
    }

    fn known(&self, content: &Content) -> Known {
        let contents = &self.population.contents;
        if let Ok(index) = contents.binary_search_by(|(known, _)| known.cmp(content)) {
            let (taste, spread) = self.person.tastes[index];
            return Known { index: Some(index), taste, spread, figures: contents[index].1 };
        }
        // a new style is judged by what the person makes of its medium
        let (mut taste, mut spread, mut found) = (0.0, 0.0, 0.0f32);
        for ((known, _), (own, own_spread)) in contents.iter().zip(&self.person.tastes) {
            if known.media == content.media {
                taste += own;
                spread += own_spread;
                found += 1.0;
            }
        }
        let figures = ContentFigures::default();
        if found == 0.0 {
            Known { index: None, taste: 1.0, spread: 0.5, figures }
        } else {
            Known { index: None, taste: taste / found, spread: spread / found, figures }
        }
    }

    /// Relative variance of an expected number of reads.
    fn variance(&self, known: &Known) -> f32 {
        1.0 / self.person.level_certainty + known.spread * known.spread
    }

    /// The chance to be read, and answered in what is left of the time, if it is answered at all: the
    /// chance to be read by each age, by how much smaller the share of answers in time is at the next.
    fn seen(&self, known: &Known, goal: Goal, within: Duration) -> [f32; WEEK_HOURS] {
        const ALIKE: f32 = 1e-4;
        let ages = self.ages(goal, within);
        let mut expected = [0.0f32; WEEK_HOURS];
        let mut seen = [0.0f32; WEEK_HOURS];
        let mut ahead = [0.0f32; 2 * WEEK_HOURS];
        ahead[..WEEK_HOURS].copy_from_slice(&self.person.week);
        ahead[WEEK_HOURS..].copy_from_slice(&self.person.week);
        let scale = self.person.level * known.taste;
        let variance = self.variance(known);
        let mut share = ages.first().map_or(0.0, |age| age.answered);
        for (age, Age { weight, .. }) in ages.iter().enumerate() {
            for (expected, rate) in expected.iter_mut().zip(&ahead[age..]) {
                *expected += weight * rate;
            }
            let next = ages.get(age + 1).map_or(0.0, |next| next.answered);
            if (share - next).abs() > ALIKE || age + 1 == ages.len() {
                let mut chances = expected.map(|x| scale * x);
                each_at_least_one(&mut chances, variance);
                self.population.read.calibrate(&mut chances);
                for (seen, chance) in seen.iter_mut().zip(chances) {
                    *seen += (share - next) * chance;
                }
                share = next;
            }
        }
        seen
    }

    /// By age in hours, as far as a read is still in time.
    fn ages(&self, goal: Goal, within: Duration) -> Vec<Age> {
        let within = within.as_secs_f32() / 3600.0;
        let delays = self.population.delays.of(goal);
        let of = |(age, decay): (usize, &f32)| {
            let left = within - age as f32;
            let in_time = overlap(within, age as f32);
            let answered = match delays {
                None => 1.0,
                Some(delays) if age == 0 => delays.in_first_hour(left) / in_time,
                Some(delays) => delays.around(left) / in_time,
            };
            Age { weight: decay * in_time, answered: answered.min(1.0) }
        };
        let ages = self.population.decay.iter().enumerate().map(of);
        ages.take_while(|age| age.weight > 0.0).collect()
    }
}

/// A message of some age in hours.
#[derive(Debug, Clone, Copy)]
struct Age {
    /// Decay × the share of that hour that is in time.
    weight: f32,
    /// The share of answers that come in what is left of the time after a read in that hour.
    answered: f32,
}

/// The expected share of the hour of age `age` that lies within `within` hours of a time drawn
/// evenly from hour 0. The first hour is relative to the half that a message sent in it can have.
fn overlap(within: f32, age: f32) -> f32 {
    // ∫ over u in 0..1 of min(1, max(0, u + x)): what is covered of an hour that begins at age − u
    let covered = |x: f32| match x {
        x if x <= -1.0 => 0.0,
        x if x <= 0.0 => (1.0 + x).powi(2) / 2.0,
        x if x <= 1.0 => 0.5 + x - x * x / 2.0,
        _ => 1.0,
    };
    if age == 0.0 {
        let within = within.min(1.0);
        2.0 * within - within * within
    } else {
        covered(within - age)
    }
}

struct Known {
    /// Its place among the population's contents.
    index: Option<usize>,
    taste: f32,
    spread: f32,
    figures: ContentFigures,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests;
