//! What other policies would have brought, by the workspace's own history: from messages whose slot
//! and content were drawn at random, and whose chance to be drawn is known.
//!
//! The older part of these messages teaches, the newer part judges, so that nobody is judged by
//! what they have learned. Actions are coarse, part of the day × weekend × medium: finer ones leave
//! a handful of matches. A message's propensity says that it was randomized; the chance of its
//! action is the sum of the propensities that make it up, and is taken from the share of the
//! campaign's randomized messages that fell to it, which estimates that sum without bias and
//! narrows the intervals (Hirano, Imbens and Ridder, Econometrica 71, 2003).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{TimeDelta, Timelike};
use serde::Serialize;

use super::Ctx;
use super::habits::SEED;
use super::habits::{Taught, contents};
use super::learn::{self, LearnError, People};
use crate::calendar::zone::local;
use crate::learn::off_policy::{LoggedMessage, OffPolicyValue, TooThin, logged_value, value};
use crate::learn::{BaselinePolicy, Contents, Estimate, Method, Model, Settings, Subject, fit};
use crate::model::content::{Content, Goal, Media};
use crate::model::ids::RecipientId;
use crate::model::message::{Message, Response};
use crate::model::preference::Preference;
use crate::model::time::Instant;
use crate::store::MessageRow;

/// Randomized messages below which a campaign's shares say too little.
const CAMPAIGN_MIN: usize = 100;
/// The most messages that judge: the newest.
const MESSAGES_MAX: usize = 500_000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// What counts.
    pub goal: Goal,
    /// Within this time after sending.
    pub within: Duration,
    /// The share of the randomized messages that judges, above 0 and below 1.
    pub holdout: f64,
}

/// What the log says of each policy.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// What counts.
    pub goal: Goal,
    /// Within how many hours after sending.
    pub within_hours: f64,
    /// Randomized messages that judge.
    pub messages: usize,
    /// What they brought.
    pub logged: Option<Estimate>,
    /// By policy.
    pub policies: Vec<PolicyValue>,
    /// What could not be used, and why.
    pub notes: Vec<String>,
}

/// One policy's value, or why there is none.
#[derive(Debug, Serialize)]
pub struct PolicyValue {
    /// Which.
    pub policy: &'static str,
    /// Its estimates.
    pub value: Option<OffPolicyValue>,
    /// Why not.
    pub refused: Option<String>,
}

/// Part of the day × weekend × medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Action {
    /// Six hours each, from midnight.
    part: u8,
    weekend: bool,
    media: Media,
}

impl Action {
    fn of(hour: usize, media: Media) -> Self {
        Self { part: (hour % 24 / 6) as u8, weekend: hour / 24 >= 5, media }
    }

    /// Its hours of the local week.
    fn hours(self) -> impl Iterator<Item = usize> {
        (0..168).filter(move |hour| Self::of(*hour, self.media) == self)
    }
}

/// A randomized message that judges or teaches.
struct Trial {
    person: usize,
    campaign: Option<String>,
    sent_at: Instant,
    action: Action,
    reward: f64,
}

/// Asks the workspace's history.
pub async fn run(
    ctx: &Ctx,
    question: Question,
    mut progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Findings, LearnError> {
    progress("folding history", 0.0);
    match learn::catch_up(ctx).await {
        Ok(()) | Err(LearnError::Busy) => {}
        Err(error) => return Err(error),
    }
    let people = People::load(ctx).await?;
    let (mut trials, mut notes) = trials(ctx, &people, question).await?;
    let (older, newer) = divide(&mut trials, question.holdout);
    let Some(from) = newer.first().map(|trial| trial.sent_at) else {
        notes.push(
            "No message was sent at random with a known chance: give campaigns an explore arm, or \
             fill the column propensity of messages.csv."
                .to_owned(),
        );
        return Ok(findings(question, &[], Vec::new(), notes));
    };
    let contents = contents(&ctx.store.read().await?.contents().await?);
    let taught = Taught::load(ctx, Settings::default().sample_max, from).await?;
    let zone = ctx.config.time_zone;
    let fixed = best_action(&older);
    let judge = move || {
        let sample = taught.subjects(zone);
        let model = fit(&sample, &contents, &Settings::default(), from, SEED, &mut progress)?;
        let judges =
            Judges { people: &people, zone, from, contents: &contents, model: &model, question };
        let shares = shares(&newer);
        let policies = judges.all(&newer, &shares, fixed, &sample);
        Ok((newer, policies))
    };
    let judged = tokio::task::spawn_blocking(judge).await.map_err(|_| LearnError::Panicked)?;
    let (newer, policies) = judged.map_err(LearnError::Fit)?;
    Ok(findings(question, &newer, policies, notes))
}

fn findings(
    question: Question,
    newer: &[Trial],
    policies: Vec<PolicyValue>,
    notes: Vec<String>,
) -> Findings {
    let rewards: Vec<LoggedMessage> = newer.iter().map(|trial| trial.logged(1.0, 1.0)).collect();
    Findings {
        goal: question.goal,
        within_hours: question.within.as_secs_f64() / 3600.0,
        messages: newer.len(),
        logged: (!rewards.is_empty()).then(|| logged_value(&rewards)),
        policies,
        notes,
    }
}

impl Trial {
    fn logged(&self, logged: f64, target: f64) -> LoggedMessage {
        LoggedMessage {
            person: self.person as u64,
            logged,
            target,
            reward: self.reward,
            expected: 0.0,
            expected_of_target: 0.0,
        }
    }
}

/// Every randomized message of which it is known whether it reached the goal, oldest first.
async fn trials(
    ctx: &Ctx,
    people: &People,
    question: Question,
) -> Result<(Vec<Trial>, Vec<String>), LearnError> {
    let now = ctx.clock.now();
    let index: HashMap<RecipientId, usize> =
        people.recipients.iter().enumerate().map(|(index, r)| (r.id, index)).collect();
    let (mut trials, mut undelivered, mut young) = (Vec::new(), 0u64, 0u64);
    let within = TimeDelta::from_std(question.within).unwrap_or(TimeDelta::MAX);
    ctx.store
        .read()
        .await?
        .each_randomized_message(|MessageRow { recipient, message, .. }| {
            let (Some(person), Some(media)) = (index.get(&recipient), message.media) else {
                return;
            };
            if !is_delivered(&message.response) {
                undelivered += 1;
            } else if message.sent_at + within > now {
                young += 1;
            } else {
                let zone = people.subject(*person, ctx.config.time_zone).zone;
                let wall = local(message.sent_at, zone);
                let day = chrono::Datelike::weekday(&wall).num_days_from_monday() as usize;
                let action = Action::of(day * 24 + wall.hour() as usize, media);
                let reward = f64::from(u8::from(is_reached(&message, question.goal, within)));
                let (campaign, sent_at) = (message.campaign, message.sent_at);
                trials.push(Trial { person: *person, campaign, sent_at, action, reward });
            }
        })
        .await?;
    trials.sort_by_key(|trial| (trial.sent_at, trial.person));
    trials.drain(..trials.len().saturating_sub(MESSAGES_MAX));
    let mut notes = Vec::new();
    if undelivered > 0 {
        notes.push(format!(
            "{undelivered} randomized messages were not delivered: they say nothing."
        ));
    }
    if young > 0 {
        notes.push(format!("{young} randomized messages are too young to be judged."));
    }
    Ok((trials, notes))
}

fn is_delivered(response: &Response) -> bool {
    let signs = [response.delivered_at, response.read_at, response.clicked_at, response.replied_at];
    signs.iter().any(Option::is_some)
}

fn is_reached(message: &Message, goal: Goal, within: TimeDelta) -> bool {
    let r = &message.response;
    let at = match goal {
        Goal::Read => [r.read_at, r.clicked_at, r.replied_at].into_iter().flatten().min(),
        Goal::Click => r.clicked_at,
        Goal::Reply => r.replied_at,
        Goal::Convert => r.converted_at,
    };
    at.is_some_and(|at| at - message.sent_at <= within)
}

/// The older messages, and the newer ones of campaigns that randomized enough.
fn divide(trials: &mut Vec<Trial>, holdout: f64) -> (Vec<Trial>, Vec<Trial>) {
    let at = ((1.0 - holdout) * trials.len() as f64).floor() as usize;
    let mut newer = trials.split_off(at.min(trials.len()));
    let mut counts: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for trial in &newer {
        *counts.entry(trial.campaign.clone()).or_default() += 1;
    }
    newer.retain(|trial| counts[&trial.campaign] >= CAMPAIGN_MIN);
    (std::mem::take(trials), newer)
}

/// The action that brought most, of those that were tried often enough to tell.
fn best_action(trials: &[Trial]) -> Option<Action> {
    let mut tried: BTreeMap<Action, (f64, f64)> = BTreeMap::new();
    for trial in trials {
        let (rewards, count) = tried.entry(trial.action).or_default();
        (*rewards, *count) = (*rewards + trial.reward, *count + 1.0);
    }
    let often = tried.into_iter().filter(|(_, (_, count))| *count >= CAMPAIGN_MIN as f64);
    let mean = |(rewards, count): (f64, f64)| rewards / count;
    often.max_by(|a, b| mean(a.1).total_cmp(&mean(b.1))).map(|(action, _)| action)
}

/// By campaign: the share of its randomized messages that fell to each action.
type Shares = BTreeMap<Option<String>, BTreeMap<Action, f64>>;

fn shares(trials: &[Trial]) -> Shares {
    let mut shares = Shares::new();
    for trial in trials {
        let of = shares.entry(trial.campaign.clone()).or_default();
        *of.entry(trial.action).or_default() += 1.0;
    }
    for of in shares.values_mut() {
        let total: f64 = of.values().sum();
        for count in of.values_mut() {
            *count /= total;
        }
    }
    shares
}

/// Everybody who would have planned.
struct Judges<'a> {
    people: &'a People,
    zone: chrono_tz::Tz,
    from: Instant,
    contents: &'a Contents,
    model: &'a Model,
    question: Question,
}

impl Judges<'_> {
    fn all(
        &self,
        trials: &[Trial],
        shares: &Shares,
        fixed: Option<Action>,
        sample: &[Subject<'_>],
    ) -> Vec<PolicyValue> {
        let rule = |method| BaselinePolicy::learn(method, sample, self.contents, self.from);
        let rules = [
            ("population", rule(Method::Population)),
            ("histogram", rule(Method::Histogram)),
            ("shrunk_histogram", rule(Method::ShrunkHistogram)),
            ("median_hour", rule(Method::MedianHour)),
        ];
        let mut believed: HashMap<usize, BTreeMap<Action, f64>> = HashMap::new();
        for trial in trials {
            believed.entry(trial.person).or_insert_with(|| {
                let subject = self.people.subject(trial.person, self.zone);
                self.beliefs(&self.model.preference(&subject, self.from), shares)
            });
        }
        let chosen = |beliefs: &BTreeMap<Action, f64>, among: &BTreeMap<Action, f64>| {
            let open = among.keys().map(|action| (*action, beliefs.get(action).copied()));
            let best = open.max_by(|a, b| a.1.unwrap_or(0.0).total_cmp(&b.1.unwrap_or(0.0)));
            best.map(|(action, _)| action)
        };
        let mut values = vec![judged("model", trials, shares, &believed, |trial| {
            chosen(&believed[&trial.person], &shares[&trial.campaign])
        })];
        for (name, rule) in &rules {
            let mut choices: HashMap<usize, BTreeMap<Action, f64>> = HashMap::new();
            for trial in trials {
                choices.entry(trial.person).or_insert_with(|| {
                    let subject = self.people.subject(trial.person, self.zone);
                    self.beliefs(&rule.preference(&subject), shares)
                });
            }
            values.push(judged(name, trials, shares, &believed, |trial| {
                chosen(&choices[&trial.person], &shares[&trial.campaign])
            }));
        }
        values.push(judged("one_action", trials, shares, &believed, |_| fixed));
        values
    }

    /// What somebody believes that each action brings, on the mean over its hours and contents.
    fn beliefs(&self, preference: &Preference, shares: &Shares) -> BTreeMap<Action, f64> {
        let Question { goal, within, .. } = self.question;
        let actions: std::collections::BTreeSet<Action> =
            shares.values().flat_map(BTreeMap::keys).copied().collect();
        let mut weeks: BTreeMap<Media, Vec<[f32; 168]>> = BTreeMap::new();
        for content in self.contents.list() {
            weeks.entry(content.media).or_default().push(preference.chances(content, goal, within));
        }
        let belief = |action: Action| {
            let plain = || {
                let content = Content { media: action.media, style: None };
                vec![preference.chances(&content, goal, within)]
            };
            let weeks = weeks.get(&action.media).cloned().unwrap_or_else(plain);
            let all = action.hours().flat_map(|hour| weeks.iter().map(move |week| week[hour]));
            let (sum, count) =
                all.fold((0.0, 0.0), |(sum, count), chance| (sum + f64::from(chance), count + 1.0));
            (action, sum / count)
        };
        actions.into_iter().map(belief).collect()
    }
}

/// One policy's value in the log, where it would have chosen so.
fn judged(
    policy: &'static str,
    trials: &[Trial],
    shares: &Shares,
    believed: &HashMap<usize, BTreeMap<Action, f64>>,
    choose: impl Fn(&Trial) -> Option<Action>,
) -> PolicyValue {
    let log: Vec<LoggedMessage> = trials
        .iter()
        .map(|trial| {
            let choice = choose(trial);
            let of = |action: &Action| believed[&trial.person].get(action).copied();
            let logged = shares[&trial.campaign][&trial.action];
            let target = f64::from(u8::from(choice == Some(trial.action)));
            LoggedMessage {
                expected: of(&trial.action).unwrap_or(0.0),
                expected_of_target: choice.as_ref().and_then(of).unwrap_or(0.0),
                ..trial.logged(logged, target)
            }
        })
        .collect();
    match value(&log) {
        Ok(value) => PolicyValue { policy, value: Some(value), refused: None },
        Err(TooThin(overlap)) => {
            let refused = Some(TooThin(overlap).to_string());
            PolicyValue { policy, value: None, refused }
        }
    }
}
