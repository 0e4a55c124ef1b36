//! What messages add to purchases over none, learned from people who were held out by lot.
//!
//! An outcome is a person-week with a purchase. Each arm has a linear model of the share of weeks
//! with a purchase, given what was known of a person when the experiment began; what the whole of all
//! messages adds is the difference of the two. With linear learners on both stages that difference is
//! the X-learner (Künzel and others, PNAS 116, 2019) and the fully interacted regression of Lin
//! (Annals of Applied Statistics 7, 2013), whose error the sandwich estimator gives (HC2). How people
//! differ is shrunk to the mean effect by as much as chance alone makes it look different (empirical
//! Bayes). Divided by the messages a week that people with the same past
//! got, it is what one message adds: assignment is the instrument, the number of messages the dose.
//!
//! Compared are all who were drawn, whether they got a message or not, from the same day on; nothing
//! that came after the draw is a feature.

use serde::{Deserialize, Serialize};

use crate::learn::data::evidence::{Evidence, seconds};
use crate::learn::data::observed::PresenceKind;
use crate::learn::data::subject::Subject;
use crate::learn::response::outcomes::is_marketing;
use crate::learn::statistics::linear::{inverse, solve};
use crate::model::preference::{AddedByMessage, WEEK_HOURS};
use crate::model::time::Instant;

const WEEK: u32 = 7 * 86_400;
/// Weeks before the draw that a person is known by.
const WEEKS_BEFORE: u32 = 26;
/// Always 1; weeks with a purchase before the draw, as a share; log of one more than weeks with other
/// signs of presence; whether anything was known.
const FEATURES: usize = 4;
/// Fewer people or purchases in an arm tell nothing.
const PEOPLE_MIN: usize = 100;
const BUYERS_MIN: usize = 20;
/// Weeks until the first estimate.
const WEEKS_MIN: u32 = 4;
/// Nobody's dose is further from the mean than this factor.
const DOSE_MOST: f64 = 4.0;

type Row = [f64; FEATURES];
type Matrix = [[f64; FEATURES]; FEATURES];

/// When people were drawn, and how many whole weeks they were watched since.
#[derive(Debug, Clone, Copy)]
pub struct HoldoutTrial {
    since: u32,
    weeks: u32,
}

/// One person of a trial.
#[derive(Debug, Clone, Copy)]
pub struct HoldoutPerson {
    held_out: bool,
    known: Row,
    /// The share of weeks with a purchase.
    bought: f64,
    /// Marketing messages a week.
    dose: f64,
}

/// What was learned: the effect of a week of messages, and of one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct Uplift {
    since: u32,
    /// Means of what is known of people; the others are told from them.
    center: Row,
    /// Share of weeks with a purchase, without messages.
    without: Row,
    /// What a week of messages adds, and the covariance of its error.
    effect: Row,
    covariance: Matrix,
    /// Messages a week.
    dose: Row,
    mean_dose: f64,
    /// The share of marketing messages in each hour of the local week.
    pub(in crate::learn) sent_hours: Vec<f32>,
}

impl HoldoutTrial {
    /// `None` before enough weeks are over.
    pub fn new(since: Instant, until: Instant) -> Option<Self> {
        let (since, until) = (seconds(since), seconds(until));
        let weeks = until.saturating_sub(since) / WEEK;
        (weeks >= WEEKS_MIN).then_some(Self { since, weeks })
    }

    /// A person with what is remembered of them, perhaps nothing.
    pub fn person(&self, evidence: &Evidence, held_out: bool) -> HoldoutPerson {
        let end = self.since + self.weeks * WEEK;
        let mut history = evidence.messages();
        let within = |at: u32| (self.since..end).contains(&at);
        let sent = history.by_ref().filter(|sent| within(sent.at) && is_marketing(sent)).count();
        let mut weeks: Vec<u32> = history
            .presences()
            .filter(|(at, kind)| within(*at) && is_purchase(*kind))
            .map(|(at, _)| (at - self.since) / WEEK)
            .collect();
        weeks.dedup();
        let count = f64::from(self.weeks);
        HoldoutPerson {
            held_out,
            known: known(evidence, self.since),
            bought: weeks.len() as f64 / count,
            dose: sent as f64 / count,
        }
    }

    /// What all people of the trial tell; `None` where they are too few, or where messages were none.
    pub(in crate::learn) fn learn(
        self,
        people: &[HoldoutPerson],
        sample: &[Subject<'_>],
    ) -> Option<Uplift> {
        let (held, others): (Vec<&HoldoutPerson>, Vec<&HoldoutPerson>) =
            people.iter().partition(|person| person.held_out);
        let enough = |arm: &[&HoldoutPerson]| {
            let buyers = arm.iter().filter(|person| person.bought > 0.0).count();
            arm.len() >= PEOPLE_MIN && buyers >= BUYERS_MIN
        };
        let mean_dose = others.iter().map(|person| person.dose).sum::<f64>() / others.len() as f64;
        if !enough(&held) || !enough(&others) || mean_dose <= 0.0 {
            return None;
        }
        let mut center = [0.0; FEATURES];
        for person in people {
            (center.iter_mut().zip(person.known))
                .for_each(|(sum, x)| *sum += x / people.len() as f64);
        }
        let fit = |arm: &[&HoldoutPerson], outcome: fn(&HoldoutPerson) -> f64| {
            let rows = arm.iter().map(|person| (centred(&person.known, &center), outcome(person)));
            ArmFit::new(&rows.collect::<Vec<_>>())
        };
        let without = fit(&held, |person| person.bought)?;
        let with = fit(&others, |person| person.bought)?;
        let dose = fit(&others, |person| person.dose)?;
        let mut effect: Row = std::array::from_fn(|i| with.weights[i] - without.weights[i]);
        let covariance: Matrix = std::array::from_fn(|i| {
            std::array::from_fn(|j| with.covariance[i][j] + without.covariance[i][j])
        });
        shrink_differences(&mut effect, &covariance);
        let uplift = Uplift {
            since: self.since,
            center,
            without: without.weights,
            effect,
            covariance,
            dose: dose.weights,
            mean_dose,
            sent_hours: self.sent_hours(sample),
        };
        uplift.is_finite().then_some(uplift)
    }
}

impl HoldoutTrial {
    fn sent_hours(self, sample: &[Subject<'_>]) -> Vec<f32> {
        let mut counts = vec![0.0f32; WEEK_HOURS];
        for subject in sample {
            let sent = subject.evidence.messages().filter(|sent| sent.at >= self.since);
            sent.filter(is_marketing).for_each(|sent| counts[subject.week_hour(sent.at)] += 1.0);
        }
        let all: f32 = counts.iter().sum();
        for count in &mut counts {
            *count /= all.max(1.0);
        }
        counts
    }
}

impl Uplift {
    /// What one more message adds to the purchases of a person.
    pub(in crate::learn) fn of(&self, evidence: &Evidence) -> AddedByMessage {
        let x = centred(&known(evidence, self.since), &self.center);
        let (least, most) = (self.mean_dose / DOSE_MOST, self.mean_dose * DOSE_MOST);
        let dose = dot(&self.dose, &x).clamp(least, most);
        let variance: f64 = (0..FEATURES).map(|i| x[i] * dot(&self.covariance[i], &x)).sum();
        AddedByMessage {
            mean: (dot(&self.effect, &x) / dose) as f32,
            error: (variance.max(0.0).sqrt() / dose) as f32,
            without: dot(&self.without, &x).clamp(0.0, 1.0) as f32,
        }
    }

    /// Of the mean person: what one more message adds.
    pub(in crate::learn) fn of_all(&self) -> AddedByMessage {
        AddedByMessage {
            mean: (self.effect[0] / self.mean_dose) as f32,
            error: (self.covariance[0][0].max(0.0).sqrt() / self.mean_dose) as f32,
            without: self.without[0].clamp(0.0, 1.0) as f32,
        }
    }

    fn is_finite(&self) -> bool {
        let rows = [self.center, self.without, self.effect, self.dose];
        rows.iter().chain(&self.covariance).flatten().all(|x| x.is_finite())
    }
}

fn is_purchase(kind: u8) -> bool {
    kind == PresenceKind::Purchase as u8
}

/// What was known of a person at a date.
fn known(evidence: &Evidence, at: u32) -> Row {
    let begin = at.saturating_sub(WEEKS_BEFORE * WEEK);
    let mut history = evidence.messages();
    let sent = history.by_ref().filter(|sent| sent.at < at).count();
    let signs: Vec<(u32, bool)> = history
        .presences()
        .filter(|(second, _)| *second < at)
        .map(|(second, kind)| (second, is_purchase(kind)))
        .collect();
    let weeks = |purchases: bool| {
        let of = signs.iter().filter(|(second, is)| *is == purchases && *second >= begin);
        let mut weeks: Vec<u32> = of.map(|(second, _)| (second - begin) / WEEK).collect();
        weeks.dedup();
        weeks.len() as f64
    };
    let any = sent > 0 || !signs.is_empty();
    [1.0, weeks(true) / f64::from(WEEKS_BEFORE), weeks(false).ln_1p(), f64::from(u8::from(any))]
}

/// The difference from the mean, but for the constant.
fn centred(known: &Row, center: &Row) -> Row {
    std::array::from_fn(|i| if i == 0 { 1.0 } else { known[i] - center[i] })
}

fn dot(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Takes from the differences between people what chance alone would make of none.
fn shrink_differences(effect: &mut Row, covariance: &Matrix) {
    const DIFFERENCES: usize = FEATURES - 1;
    let differences: [f64; DIFFERENCES] = std::array::from_fn(|i| effect[i + 1]);
    let mut part: [[f64; DIFFERENCES]; DIFFERENCES] =
        std::array::from_fn(|i| std::array::from_fn(|j| covariance[i + 1][j + 1]));
    let mut told = DIFFERENCES;
    for (i, row) in part.iter_mut().enumerate() {
        // in what is the same for everybody nobody differs
        if row[i] <= f64::EPSILON * covariance[0][0] {
            row[i] = 1.0;
            told -= 1;
        }
    }
    let wald = solve(part, differences)
        .map_or(0.0, |solved| solved.iter().zip(&differences).map(|(a, b)| a * b).sum::<f64>());
    let kept = if wald > 0.0 { (1.0 - told as f64 / wald).max(0.0) } else { 0.0 };
    effect[1..].iter_mut().for_each(|difference| *difference *= kept);
}

/// A linear fit of one arm.
struct ArmFit {
    weights: Row,
    covariance: Matrix,
}

impl ArmFit {
    fn new(rows: &[(Row, f64)]) -> Option<Self> {
        // where nobody differs in a feature it has no weight
        const RIDGE: f64 = 1e-6;
        let n = rows.len() as f64;
        let mut gram = [[0.0; FEATURES]; FEATURES];
        let mut target = [0.0; FEATURES];
        for (x, y) in rows {
            for i in 0..FEATURES {
                target[i] += x[i] * y;
                (0..FEATURES).for_each(|j| gram[i][j] += x[i] * x[j]);
            }
        }
        (1..FEATURES).for_each(|i| gram[i][i] += RIDGE * n);
        let inverse = inverse(gram)?;
        let weights: Row = std::array::from_fn(|i| dot(&inverse[i], &target));
        let mut meat = [[0.0; FEATURES]; FEATURES];
        for (x, y) in rows {
            let leverage: f64 = (0..FEATURES).map(|i| x[i] * dot(&inverse[i], x)).sum();
            let residual = y - dot(&weights, x);
            let square = residual * residual / (1.0 - leverage).max(0.05);
            for i in 0..FEATURES {
                (0..FEATURES).for_each(|j| meat[i][j] += square * x[i] * x[j]);
            }
        }
        let half: Matrix = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..FEATURES).map(|k| inverse[i][k] * meat[k][j]).sum())
        });
        let covariance = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..FEATURES).map(|k| half[i][k] * inverse[k][j]).sum())
        });
        Some(Self { weights, covariance })
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::learn::data::observed::{Channel, Observed, Presence};
    use crate::model::message::Response;

    const BEGIN: i64 = 1_767_225_600;
    const AFTER: u32 = 16;

    fn at(second: i64) -> Instant {
        chrono::DateTime::from_timestamp(BEGIN + second, 0).unwrap()
    }

    /// Half of the people buy in three weeks of ten, whatever they are sent; the others in one of
    /// fifty, and in as many more as is said for each message of the week. One in so many is held
    /// out; the others get a message in two weeks of three.
    fn world(count: usize, held: usize, adds: f64, seed: u64) -> Vec<(bool, Evidence)> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let week = i64::from(WEEK);
        let person = |number: usize| {
            let held_out = random.gen_ratio(1, held as u32);
            let regular = number.is_multiple_of(2);
            let (mut messages, mut presences) = (Vec::new(), Vec::new());
            for of in -i64::from(WEEKS_BEFORE)..i64::from(AFTER) {
                let sent = of >= 0 && !held_out && random.gen_bool(2.0 / 3.0);
                if sent {
                    messages.push(Observed {
                        hash: of as u32,
                        sent_at: at(of * week + random.gen_range(0..86_400)),
                        content: None,
                        category: None,
                        channel: Channel::default(),
                        response: Response::default(),
                    });
                }
                let more = if sent { adds } else { 0.0 };
                if random.gen_bool(if regular { 0.3 } else { 0.02 + more }) {
                    let kind = PresenceKind::Purchase;
                    presences.push(Presence { at: at((of + 1) * week - 3600), kind });
                }
            }
            let mut evidence = Evidence::default();
            evidence.fold(&messages, &presences);
            (held_out, evidence)
        };
        (0..count).map(person).collect()
    }

    fn learn(world: &[(bool, Evidence)]) -> Option<Uplift> {
        let trial = HoldoutTrial::new(at(0), at(i64::from(AFTER * WEEK) + 5_000)).unwrap();
        let people: Vec<HoldoutPerson> =
            world.iter().map(|(held, evidence)| trial.person(evidence, *held)).collect();
        trial.learn(&people, &[])
    }

    #[test]
    fn who_buys_anyway_is_told_from_who_buys_for_the_message() {
        let world = world(20_000, 5, 0.06, 1);
        let uplift = learn(&world).unwrap();
        let mean = |regular: bool, of: fn(AddedByMessage) -> f32| {
            let people = world.iter().skip(usize::from(!regular)).step_by(2);
            let figures: Vec<f32> = people.map(|(_, person)| of(uplift.of(person))).collect();
            figures.iter().sum::<f32>() / figures.len() as f32
        };
        let (regular, other) = (mean(true, |added| added.mean), mean(false, |added| added.mean));
        assert!(regular.abs() < 0.012, "{regular}, not 0");
        assert!((other - 0.06).abs() < 0.012, "{other}, not 0.06");
        let without = [mean(true, |added| added.without), mean(false, |added| added.without)];
        assert!((without[0] - 0.3).abs() < 0.03 && (without[1] - 0.02).abs() < 0.03, "{without:?}");
        let all = uplift.of_all();
        assert!(all.is_sure() && (all.mean - 0.03).abs() < 0.006, "{all:?}");
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        const WORLDS: u64 = 200;
        for (adds, truth) in [(0.0, 0.0), (0.06, 0.03)] {
            let covered = |seed: &u64| {
                let all = learn(&world(1_200, 4, adds, *seed)).unwrap().of_all();
                let [low, high] = all.interval();
                (low..=high).contains(&(truth as f32))
            };
            let held = (0..WORLDS).filter(covered).count();
            assert!((182..=198).contains(&held), "{held} of {WORLDS} at {adds}");
        }
    }

    #[test]
    fn where_messages_add_nothing_people_do_not_differ_by_chance() {
        let world = world(6_000, 5, 0.0, 3);
        let uplift = learn(&world).unwrap();
        let spread = world.iter().map(|(_, person)| uplift.of(person).mean.abs());
        let most = spread.fold(0.0, f32::max);
        assert!(most < 0.03 && !uplift.of_all().is_sure(), "{most}");
    }

    #[test]
    fn one_who_buys_every_day_moves_others_by_no_more_than_one_person() {
        let mut people = world(1_000, 5, 0.05, 4);
        let before = learn(&people).unwrap().of_all().mean;
        let mut busy = Evidence::default();
        let presences: Vec<Presence> = (0..2_000)
            .map(|i| Presence { at: at(i * 4_000), kind: PresenceKind::Purchase })
            .collect();
        busy.fold(&[], &presences);
        people.push((true, busy));
        let after = learn(&people).unwrap().of_all().mean;
        assert!((after - before).abs() < 0.01, "{before} and {after}");
    }

    #[test]
    fn too_few_people_or_weeks_tell_nothing() {
        assert!(learn(&world(300, 5, 0.06, 5)).is_none());
        assert!(HoldoutTrial::new(at(0), at(i64::from(3 * WEEK))).is_none());
        assert!(learn(&[]).is_none());
    }
}
