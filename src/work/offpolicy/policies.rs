//! Policies, judged by a log of randomized messages: each names an action for a message, of those
//! that its person could have got. One that names another is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::findings::{PolicyValue, Question};
use super::trials::{CLASS_MIN, Logged, Options, Trial};

use crate::learn::off_policy::{LoggedMessage, value};
use crate::learn::{BaselinePolicy, Contents, Method, Model, Subject};
use crate::model::action::Action;
use crate::model::content::{Content, Media};
use crate::model::preference::Preference;
use crate::model::time::Instant;
use crate::work::habits::People;

/// What somebody believes that each action brings.
type Beliefs = BTreeMap<Action, f64>;

/// Everybody who would have planned.
pub(super) struct Judges<'a> {
    pub(super) people: &'a People,
    pub(super) zone: chrono_tz::Tz,
    pub(super) from: Instant,
    pub(super) contents: &'a Contents,
    pub(super) model: &'a Model,
    pub(super) question: Question,
}

impl Judges<'_> {
    pub(super) fn all(
        &self,
        trials: &[Trial],
        options: &[Options],
        older: &[Logged],
        sample: &[Subject<'_>],
    ) -> Vec<PolicyValue> {
        let rule = |method| BaselinePolicy::learn(method, sample, self.contents, self.from);
        let rules = [
            ("population", rule(Method::Population)),
            ("histogram", rule(Method::Histogram)),
            ("shrunk_histogram", rule(Method::ShrunkHistogram)),
            ("median_hour", rule(Method::MedianHour)),
        ];
        let actions: BTreeSet<Action> =
            trials.iter().flat_map(|trial| options[trial.options].keys()).copied().collect();
        let model = |subject: &Subject<'_>| self.model.preference(subject, self.from);
        let believed = self.everybody(trials, &actions, model);
        let judged = |policy, choose: &dyn Fn(&Trial) -> Option<Action>| {
            judged(policy, trials, options, &believed, choose)
        };
        let best = |beliefs: &HashMap<usize, Beliefs>, trial: &Trial| {
            best_of(&beliefs[&trial.person], &options[trial.options])
        };
        let mut values = vec![judged("model", &|trial| best(&believed, trial))];
        for (name, rule) in &rules {
            let beliefs = self.everybody(trials, &actions, |subject| rule.preference(subject));
            values.push(judged(name, &|trial| best(&beliefs, trial)));
        }
        let fixed = best_action(older, trials, options);
        values.push(match fixed {
            Some(fixed) => judged("one_action", &|_| Some(fixed)),
            None => PolicyValue::refused(
                "one_action",
                format!(
                    "no action was tried {CLASS_MIN} times before that everybody could have got"
                ),
            ),
        });
        values
    }

    fn everybody(
        &self,
        trials: &[Trial],
        actions: &BTreeSet<Action>,
        preference: impl Fn(&Subject<'_>) -> Preference,
    ) -> HashMap<usize, Beliefs> {
        let mut believed = HashMap::new();
        for trial in trials {
            believed.entry(trial.person).or_insert_with(|| {
                let subject = self.people.subject(trial.person, self.zone);
                self.beliefs(&preference(&subject), actions)
            });
        }
        believed
    }

    /// What somebody believes that each action brings, on the mean over its hours and contents.
    fn beliefs(&self, preference: &Preference, actions: &BTreeSet<Action>) -> Beliefs {
        let Question { goal, within, .. } = self.question;
        let mut weeks: BTreeMap<Media, Vec<[f32; 168]>> = BTreeMap::new();
        for content in self.contents.list() {
            weeks.entry(content.media).or_default().push(preference.chances(content, goal, within));
        }
        let belief = |action: &Action| {
            let plain = || {
                let content = Content { media: action.media, style: None };
                vec![preference.chances(&content, goal, within)]
            };
            let weeks = weeks.get(&action.media).cloned().unwrap_or_else(plain);
            let all = action.hours().flat_map(|hour| weeks.iter().map(move |week| week[hour]));
            let (sum, count) =
                all.fold((0.0, 0.0), |(sum, count), chance| (sum + f64::from(chance), count + 1.0));
            (*action, sum / count)
        };
        actions.iter().map(belief).collect()
    }
}

/// The best of what a person could have got.
fn best_of(beliefs: &Beliefs, options: &Options) -> Option<Action> {
    let belief = |action: &Action| beliefs.get(action).copied().unwrap_or(0.0);
    options.keys().copied().max_by(|a, b| belief(a).total_cmp(&belief(b)))
}

/// The action that brought most before, of those that were tried often enough to tell and that
/// everybody could have got.
fn best_action(older: &[Logged], trials: &[Trial], options: &[Options]) -> Option<Action> {
    let used: BTreeSet<usize> = trials.iter().map(|trial| trial.options).collect();
    let mut tried: BTreeMap<Action, (f64, usize)> = BTreeMap::new();
    for row in older {
        let (rewards, count) = tried.entry(row.action).or_default();
        (*rewards, *count) = (*rewards + row.reward, *count + 1);
    }
    let open = tried.into_iter().filter(|(action, (_, count))| {
        *count >= CLASS_MIN && used.iter().all(|of| options[*of].contains_key(action))
    });
    let mean = |(rewards, count): (f64, usize)| rewards / count as f64;
    open.max_by(|a, b| mean(a.1).total_cmp(&mean(b.1))).map(|(action, _)| action)
}

/// One policy's value in the log, where it would have chosen so.
fn judged(
    policy: &'static str,
    trials: &[Trial],
    options: &[Options],
    believed: &HashMap<usize, Beliefs>,
    choose: &dyn Fn(&Trial) -> Option<Action>,
) -> PolicyValue {
    let mut log = Vec::with_capacity(trials.len());
    let mut impossible: Option<Action> = None;
    let mut messages = 0;
    for trial in trials {
        let own = &options[trial.options];
        let Some(choice) = choose(trial).filter(|choice| {
            let possible = own.contains_key(choice);
            if !possible {
                impossible = Some(*choice);
            }
            possible
        }) else {
            messages += 1;
            continue;
        };
        let belief = |action: &Action| believed[&trial.person].get(action).copied().unwrap_or(0.0);
        log.push(LoggedMessage {
            person: trial.person as u64,
            logged: own[&trial.action],
            target: f64::from(u8::from(choice == trial.action)),
            reward: trial.reward,
            expected: belief(&trial.action),
            expected_of_target: belief(&choice),
        });
    }
    if messages > 0 {
        let example = impossible.map(|action| format!(", such as {action}")).unwrap_or_default();
        let of = trials.len();
        return PolicyValue::refused(
            policy,
            format!(
                "for {messages} of {of} messages it names what the person could not have \
                 got{example}: the log says nothing of that"
            ),
        );
    }
    match value(&log) {
        Ok(value) => PolicyValue { policy, value: Some(value), refused: None },
        Err(thin) => PolicyValue::refused(policy, thin.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// What is drawn for a kind of person: the options with their chances. Some may be written to
    /// all day, some in the mornings of workdays and a little later, some with text alone.
    fn kinds() -> Vec<Options> {
        let options = |weights: &[(usize, Media, f64)]| -> Options {
            let total: f64 = weights.iter().map(|(_, _, weight)| weight).sum();
            let chance = |(part, media, weight): &(usize, Media, f64)| {
                (Action::in_part(*part, *media), weight / total)
            };
            weights.iter().map(chance).collect()
        };
        let all: Vec<_> =
            (1..4).flat_map(|part| [(part, Media::Text, 1.0), (part, Media::Image, 1.0)]).collect();
        vec![
            options(&all),
            options(&[(1, Media::Text, 5.0), (1, Media::Image, 5.0), (2, Media::Text, 1.0)]),
            options(&[(1, Media::Text, 1.0), (3, Media::Text, 4.0), (7, Media::Text, 2.0)]),
        ]
    }

    /// A log whose people differ in their options, and with them in how much they engage; the
    /// policy knows a little of what suits each; with its true value.
    fn log(people: usize, options: &[Options], seed: u64) -> (Vec<Trial>, Vec<Action>, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut trials, mut choices, mut truth) = (Vec::new(), Vec::new(), 0.0);
        for person in 0..people {
            let kind = random.gen_range(0..options.len());
            let of: Vec<(Action, f64)> = options[kind].iter().map(|(a, c)| (*a, *c)).collect();
            let level = [0.1, 0.3, 0.5][kind] * random.gen_range(0.6..1.4);
            let favourite = of[random.gen_range(0..of.len())].0;
            let chance = |action: Action| level * if action == favourite { 1.4 } else { 0.8 };
            let known = random.gen_bool(0.5);
            let choice = if known { favourite } else { of[random.gen_range(0..of.len())].0 };
            choices.push(choice);
            let messages = random.gen_range(1..4);
            for _ in 0..messages {
                truth += chance(choice);
                let mut left: f64 = random.r#gen();
                let drawn = of.iter().find(|(_, chance)| {
                    left -= chance;
                    left < 0.0
                });
                let action = drawn.unwrap_or(&of[of.len() - 1]).0;
                let reward = f64::from(u8::from(random.gen_bool(chance(action))));
                trials.push(Trial { person, action, reward, options: kind });
            }
        }
        let value = truth / trials.len() as f64;
        (trials, choices, value)
    }

    fn value_of(trials: &[Trial], options: &[Options], choices: &[Action]) -> PolicyValue {
        // a model that knows nothing of levels
        let actions: BTreeSet<Action> = options.iter().flat_map(BTreeMap::keys).copied().collect();
        let beliefs = |person: usize| {
            let belief =
                |action: &Action| (*action, if *action == choices[person] { 0.3 } else { 0.2 });
            (person, actions.iter().map(belief).collect())
        };
        let believed = (0..choices.len()).map(beliefs).collect();
        judged("test", trials, options, &believed, &|trial| Some(choices[trial.person]))
    }

    #[test]
    fn intervals_hold_where_people_have_different_options() {
        let options = kinds();
        let truth = log(100_000, &options, 1).2;
        let mut held = [0u32; 3];
        for seed in 0..1000 {
            let (trials, choices, _) = log(700, &options, 1000 + seed);
            let value = value_of(&trials, &options, &choices).value.unwrap();
            let all = [value.ips, value.snips, value.doubly_robust];
            for (held, estimate) in held.iter_mut().zip(all) {
                assert!(estimate.low >= 0.0 && estimate.high <= 1.0, "{estimate:?}");
                *held += u32::from(estimate.holds(truth));
            }
        }
        for (held, what) in held.into_iter().zip(["ips", "snips", "dr"]) {
            assert!((930..=970).contains(&held), "{what}: {held} of 1000 hold {truth}");
        }
    }

    /// What the Thompson arm logs: each person's action is drawn with chances that nobody knows, and
    /// redrawn; the options are the shares of all these draws. With what a policy believes, and the
    /// value of the best of each person's options.
    struct Redrawn {
        trials: Vec<Trial>,
        options: Vec<Options>,
        believed: HashMap<usize, Beliefs>,
        truth: f64,
        /// The sum of inverse shares, over people whose action is the best; with and without the draw
        /// itself.
        weights: [f64; 2],
    }

    impl Redrawn {
        fn new(people: usize, seed: u64) -> Self {
            const REDRAWS: usize = 32;
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut log = Self {
                trials: Vec::new(),
                options: Vec::new(),
                believed: HashMap::new(),
                truth: 0.0,
                weights: [0.0; 2],
            };
            for person in 0..people {
                // sure of one part of the week, of two, or of none
                let chances =
                    [[0.9, 0.05, 0.03, 0.02], [0.5, 0.4, 0.05, 0.05], [0.25; 4]][person % 3];
                let draw = |random: &mut ChaCha8Rng| {
                    let mut left: f64 = random.r#gen();
                    let at = chances.iter().position(|chance| {
                        left -= chance;
                        left < 0.0
                    });
                    Action::in_part(at.unwrap_or(0), Media::Text)
                };
                let action = draw(&mut random);
                let mut counts: BTreeMap<Action, f64> = [(action, 1.0)].into();
                for _ in 0..REDRAWS {
                    *counts.entry(draw(&mut random)).or_default() += 1.0;
                }
                let all = (REDRAWS + 1) as f64;
                let own: Options = counts.iter().map(|(of, count)| (*of, count / all)).collect();
                // what is drawn most is best, mostly
                let level = random.gen_range(0.1..0.5);
                let suits = |at: usize| level * (0.7 + chances[at]) * random.gen_range(0.8..1.0);
                let rates: [f64; 4] = [0, 1, 2, 3].map(suits);
                let rate = |action: &Action| rates[action.hours().next().unwrap() / 6];
                let believe = |of: &Action| (*of, rate(of) * random.gen_range(0.8..1.2));
                let beliefs: Beliefs = own.keys().map(believe).collect();
                let best = best_of(&beliefs, &own).unwrap();
                log.truth += rate(&best) / people as f64;
                if best == action {
                    log.weights[0] += all / counts[&action];
                    let others = counts[&action] - 1.0;
                    log.weights[1] += if others > 0.0 { REDRAWS as f64 / others } else { 0.0 };
                }
                let reward = f64::from(u8::from(random.gen_bool(rate(&action))));
                log.believed.insert(person, beliefs);
                log.trials.push(Trial { person, action, reward, options: person });
                log.options.push(own);
            }
            log
        }
    }

    #[test]
    fn intervals_hold_where_chances_are_shares_of_draws_that_count_the_one_that_chose() {
        const PEOPLE: usize = 900;
        let (mut held, mut weights) = ([0u32; 3], [0.0; 2]);
        for seed in 0..1000 {
            let log = Redrawn::new(PEOPLE, 7000 + seed);
            let best =
                |trial: &Trial| best_of(&log.believed[&trial.person], &log.options[trial.options]);
            let value = judged("test", &log.trials, &log.options, &log.believed, &best);
            let value = value.value.unwrap();
            let all = [value.ips, value.snips, value.doubly_robust];
            held.iter_mut().zip(all).for_each(|(held, of)| *held += u32::from(of.holds(log.truth)));
            weights.iter_mut().zip(log.weights).for_each(|(sum, weight)| *sum += weight);
        }
        for (held, what) in held.into_iter().zip(["ips", "snips", "dr"]) {
            assert!((930..=970).contains(&held), "{what}: {held} of 1000");
        }
        let [with, without] = weights.map(|sum| sum / (1000 * PEOPLE) as f64);
        // shares of the other draws alone would weigh too much, even with what none of them chose left out
        assert!((with - 1.0).abs() < 0.01 && without > 1.04, "{with}, {without}");
    }

    #[test]
    fn a_policy_that_names_what_a_person_could_not_get_is_refused_with_words() {
        let options = kinds();
        let (trials, choices, _) = log(900, &options, 3);
        let night = Action::in_part(0, Media::Image);
        let refused = value_of(&trials, &options, &vec![night; choices.len()]).refused.unwrap();
        assert!(
            refused.contains("could not have got") && refused.contains("from 0 to 6"),
            "{refused}"
        );
        assert!(value_of(&trials, &options, &choices).refused.is_none());
        // the one action for all is one that all could have got
        let older: Vec<Logged> = (0..4000)
            .map(|at| Logged {
                person: 0,
                sent_at: Instant::UNIX_EPOCH,
                action: [night, Action::in_part(1, Media::Text)][at % 2],
                reward: if at % 2 == 0 { 1.0 } else { 0.1 },
                source: super::super::trials::ChanceSource::Stored(0),
            })
            .collect();
        let common = best_action(&older, &trials, &options);
        assert_eq!(common, Some(Action::in_part(1, Media::Text)));
        let apart = [options[0].clone(), [(night, 1.0)].into()];
        let trials = [0, 1].map(|options| Trial { person: 0, action: night, reward: 0.0, options });
        assert_eq!(best_action(&older[1..2], &trials, &apart), None);
    }
}
