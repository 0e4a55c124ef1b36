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

use super::content::{Category, Content, Goal};
pub use super::curve::Curve;
pub use super::range::Range;
use super::saturate::at_least_one;

/// Hours of the local week; hour 0 is Monday 00:00–01:00 on the person's own clock.
pub const WEEK_HOURS: usize = 168;

/// What the preferences of one model share: figures of the population.
#[derive(Debug, Clone, Default)]
pub struct Population {
    /// Relative rate of reading by the age of a message in hours; 0 beyond its end.
    pub decay: Vec<f32>,
    /// The contents that tastes are known of, sorted, with everybody's figures.
    pub contents: Vec<(Content, ContentFigures)>,
    /// Share of clicks, replies and conversions that have come so many whole hours after the
    /// message was seen, in the order of [`Answers`].
    pub delays: Answers<Vec<f32>>,
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
    /// Log-odds of an opt-out after an average message.
    pub opt_out: f32,
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
    population: Arc<Population>,
    person: Person,
}

impl Preference {
    /// Joins a person to a population.
    pub fn new(population: Arc<Population>, person: Person) -> Self {
        assert!(person.tastes.len() == population.contents.len(), "a taste for each content");
        Self { population, person }
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
        let seen = self.seen(&known, goal, within);
        seen.map(|chance| answered * self.population.read.at(chance))
    }

    /// The chance that a message with this content, once it is read, is ever answered so.
    pub fn answer_chance(&self, content: &Content, goal: Goal) -> f32 {
        self.answered(&self.known(content), goal)
    }

    /// The share of such answers that have come so many whole hours after the reading, the first
    /// hour's first; empty where none was ever seen, and for reading itself.
    pub fn answer_delays(&self, goal: Goal) -> &[f32] {
        self.population.delays.of(goal).map_or(&[], Vec::as_slice)
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

    /// The share of a day's replies that come in the first hour after sending, the second, …, as far
    /// as most of them: what is read at the population's pace is answered at the population's pace.
    /// Empty where nothing is known of either.
    pub fn reply_delay(&self) -> Vec<f32> {
        const MOST: f32 = 0.95;
        const HOURS: usize = 24;
        let read = &self.population.decay[..HOURS.min(self.population.decay.len())];
        let answered = &self.population.delays.reply;
        let mut shares = vec![0.0f32; if answered.is_empty() { 0 } else { read.len() }];
        for (age, read) in read.iter().enumerate() {
            let mut before = 0.0;
            for (share, answered) in shares[age..].iter_mut().zip(answered) {
                *share += read * (answered - before);
                before = *answered;
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
        kept.into_iter().map(|share| share / sum).collect()
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
        self.population.opt_out.at(chance)
    }

    /// A preference drawn from the posterior: what Thompson sampling plans by.
    #[must_use]
    pub fn draw(&self, random: &mut impl Rng) -> Self {
        let mut normal = || {
            // Box and Muller, 1958
            let (u, v): (f32, f32) = (random.gen_range(f32::MIN_POSITIVE..1.0), random.r#gen());
            (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
        };
        let mut factor = |variance: f32| {
            let spread = variance.ln_1p();
            (spread.sqrt() * normal() - 0.5 * spread).exp()
        };
        let mut drawn = self.clone();
        drawn.person.level *= factor(1.0 / self.person.level_certainty);
        let hours = self.person.certainty.map(|certainty| factor(1.0 / certainty));
        drawn
            .person
            .week
            .iter_mut()
            .zip(0..)
            .for_each(|(rate, h): (_, usize)| *rate *= hours[h % 24]);
        for (taste, spread) in &mut drawn.person.tastes {
            *taste *= factor(spread.powi(2).exp_m1());
        }
        drawn
    }

    fn answered(&self, known: &Known, goal: Goal) -> f32 {
        let own = self.person.answers.of(goal).zip(known.figures.answers.of(goal));
        match (own, self.population.answers.of(goal)) {
            (Some((own, content)), Some(curve)) => curve.at(sigmoid(own + content)),
            _ => 1.0,
        }
    }

    fn known(&self, content: &Content) -> Known {
        let contents = &self.population.contents;
        if let Ok(index) = contents.binary_search_by(|(known, _)| known.cmp(content)) {
            let (taste, spread) = self.person.tastes[index];
            return Known { taste, spread, figures: contents[index].1 };
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
            Known { taste: 1.0, spread: 0.5, figures }
        } else {
            Known { taste: taste / found, spread: spread / found, figures }
        }
    }

    /// Relative variance of an expected number of reads.
    fn variance(&self, known: &Known) -> f32 {
        1.0 / self.person.level_certainty + known.spread * known.spread
    }

    /// The chance to be read early enough for `goal` to be reached in time.
    fn seen(&self, known: &Known, goal: Goal, within: Duration) -> [f32; WEEK_HOURS] {
        let weights = self.weights(goal, within);
        let mut expected = [0.0f32; WEEK_HOURS];
        let mut ahead = [0.0f32; 2 * WEEK_HOURS];
        ahead[..WEEK_HOURS].copy_from_slice(&self.person.week);
        ahead[WEEK_HOURS..].copy_from_slice(&self.person.week);
        for (age, weight) in weights.iter().enumerate() {
            for (expected, rate) in expected.iter_mut().zip(&ahead[age..]) {
                *expected += weight * rate;
            }
        }
        let scale = self.person.level * known.taste;
        let variance = self.variance(known);
        expected.map(|x| at_least_one(scale * x, variance))
    }

    /// By age in hours: decay × the share of that hour that counts × the share of answers that
    /// come in what is left of the time.
    fn weights(&self, goal: Goal, within: Duration) -> Vec<f32> {
        let within = within.as_secs_f32() / 3600.0;
        let delays = self.population.delays.of(goal);
        let weight = |(age, decay): (usize, &f32)| {
            let answered = delays.map_or(1.0, |delays| {
                let left = (within - age as f32).max(0.0) as usize;
                delays.get(left).or(delays.last()).copied().unwrap_or(1.0)
            });
            decay * overlap(within, age as f32) * answered
        };
        let weights = self.population.decay.iter().enumerate().map(weight);
        weights.take_while(|weight| *weight > 0.0).collect()
    }
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
    taste: f32,
    spread: f32,
    figures: ContentFigures,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::content::Media;
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const TEXT: Content = Content { media: Media::Text, style: None };
    const VIDEO: Content = Content { media: Media::Video, style: None };

    fn evening_person() -> Preference {
        let figures = ContentFigures::default();
        let population = Population {
            decay: (0..72).map(|k| (-(k as f32) / 12.0).exp()).collect(),
            contents: vec![(TEXT, figures), (VIDEO, figures)],
            delays: Answers { reply: vec![0.5, 0.8, 0.9, 1.0], ..Answers::default() },
            ..Population::default()
        };
        let week = std::array::from_fn(|h| if h % 24 == 20 { 12.5 } else { 0.5 });
        let person = Person {
            week,
            certainty: [4.0; 24],
            level: 0.1,
            level_certainty: 6.0,
            tastes: [(0.8, 0.3), (1.2, 0.3)].into(),
            answers: Answers { click: -2.0, reply: -1.0, convert: -4.0 },
            opt_out: -6.0,
            chronotype: 0,
            chronotype_share: 0.9,
            evidence: 12.0,
        };
        Preference::new(Arc::new(population), person)
    }

    #[test]
    fn more_time_never_lowers_a_chance() {
        let person = evening_person();
        for goal in [Goal::Read, Goal::Reply] {
            let mut before = [0.0; WEEK_HOURS];
            for minutes in [5, 30, 60, 90, 120, 600, 1440, 4320] {
                let now = person.chances(&TEXT, goal, Duration::from_secs(minutes * 60));
                assert!((0..WEEK_HOURS).all(|h| now[h] >= before[h] && now[h] < 1.0));
                before = now;
            }
        }
    }

    #[test]
    fn a_message_is_best_sent_when_its_time_covers_the_hour_of_habit() {
        let chances = evening_person().chances(&TEXT, Goal::Read, 2 * HOUR);
        let best = (0..24).max_by(|a, b| chances[*a].total_cmp(&chances[*b])).unwrap();
        assert_eq!(best, 20);
        assert!(chances[19] > 2.0 * chances[12] && chances[21] < 2.0 * chances[12]);
    }

    #[test]
    fn tastes_average_to_one_and_a_new_style_takes_after_its_medium() {
        let person = evening_person();
        let mean = f64::midpoint(person.taste(&TEXT), person.taste(&VIDEO));
        assert!((mean - 1.0).abs() < 1e-6 && person.taste(&VIDEO) > 1.1);
        let styled = Content { media: Media::Video, style: Some("people".parse().unwrap()) };
        assert!((person.taste(&styled) - person.taste(&VIDEO)).abs() < 1e-6);
    }

    #[test]
    fn a_chance_lies_within_its_range_and_draws_average_to_it() {
        let person = evening_person();
        let range = person.chance_ranges(&TEXT, Goal::Read, 24 * HOUR)[10];
        assert!(range.low < range.mean && range.mean < range.high && range.high < 1.0);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let draws: Vec<f64> =
            (0..4000).map(|_| f64::from(person.draw(&mut random).person.level)).collect();
        let mean = draws.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.1).abs() < 0.004, "{mean}");
    }
}
