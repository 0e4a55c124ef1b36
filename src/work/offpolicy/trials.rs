//! The randomized messages of a workspace: what each did, what it brought, and the chance that each
//! action had for its person.
//!
//! An explore or Thompson arm stores that chance with each message. An imported message tells the chance of its
//! own hour of the local week and content alone. The other options are known where people had the
//! same ones: where each hour and content has one chance in a campaign, and these do not exceed 1.
//! Where they do, people of one time zone, and then people with one chance, are looked at apart; who
//! is in no such class is left out. In a class an action has the share of its messages, which
//! estimates the sum of its chances without bias and narrows intervals (Hirano, Imbens and Ridder,
//! Econometrica 71, 2003).

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;

use super::findings::Question;
use crate::calendar::zone::week_hour;
use crate::model::action::{Action, DrawnAction};
use crate::model::content::{Content, Goal};
use crate::model::ids::RecipientId;
use crate::model::message::{Message, Response};
use crate::model::time::Instant;
use crate::store::RandomizedMessage;
use crate::work::Ctx;
use crate::work::habits::People;
use crate::work::learn::LearnError;

/// Imported messages of one class below which its shares say too little.
pub(super) const CLASS_MIN: usize = 100;
/// The most messages that judge: the newest.
const MESSAGES_MAX: usize = 500_000;
/// Chances of one hour and content that differ by a larger share are not the same.
const SAME: f64 = 1e-4;
/// Sums of chances up to this much above 1 are rounded.
const ROUNDED: f64 = 0.01;

/// A randomized message, and what is known of its chance.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) person: usize,
    pub(super) sent_at: Instant,
    pub(super) action: Action,
    pub(super) reward: f64,
    pub(super) source: ChanceSource,
}

/// Where the chance of a message comes from.
#[derive(Debug, Clone)]
pub(super) enum ChanceSource {
    /// The arm that drew it stored it: an index into the options.
    Stored(usize),
    /// A file gave the chance of this hour and content.
    Given {
        campaign: Option<String>,
        zone: chrono_tz::Tz,
        hour: usize,
        content: Content,
        chance: f64,
    },
}

/// The chance of each action that a person could have got; they sum to 1.
pub(super) type Options = BTreeMap<Action, f64>;

/// A randomized message that judges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) person: usize,
    pub(super) action: Action,
    pub(super) reward: f64,
    /// What the person could have got: an index into the options.
    pub(super) options: usize,
}

/// The randomized messages of which it is known whether they reached the goal, oldest first.
pub(super) struct Log {
    pub(super) rows: Vec<Logged>,
    pub(super) options: Vec<Options>,
    /// What could not be used, and why.
    pub(super) notes: Vec<String>,
}

impl Log {
    /// Reads it.
    pub(super) async fn read(
        ctx: &Ctx,
        people: &People,
        question: Question,
    ) -> Result<Self, LearnError> {
        let now = ctx.clock.now();
        let index: HashMap<RecipientId, usize> =
            people.recipients.iter().enumerate().map(|(index, r)| (r.id, index)).collect();
        let within = TimeDelta::from_std(question.within).unwrap_or(TimeDelta::MAX);
        let mut log = Self { rows: Vec::new(), options: Vec::new(), notes: Vec::new() };
        let mut known: HashMap<Vec<(Action, u64)>, usize> = HashMap::new();
        let (mut undelivered, mut young, mut untold) = (0u64, 0u64, 0u64);
        let take = |found: RandomizedMessage| {
            let RandomizedMessage { row, is_ours, drawn } = found;
            let message = row.message;
            let Some(person) = index.get(&row.recipient).copied() else { return };
            if !is_delivered(&message.response) {
                undelivered += 1;
            } else if message.sent_at + within > now {
                young += 1;
            } else {
                let zone = people.subject(person, ctx.config.time_zone).zone;
                let reward = f64::from(u8::from(is_reached(&message, question.goal, within)));
                let found = match drawn {
                    Some(drawn) => Some(stored(&drawn, &mut known, &mut log.options)),
                    None if is_ours => None,
                    None => given(&message, zone),
                };
                let Some((action, source)) = found else {
                    untold += 1;
                    return;
                };
                let sent_at = message.sent_at;
                log.rows.push(Logged { person, sent_at, action, reward, source });
            }
        };
        ctx.store.read().await?.each_randomized_message(take).await?;
        log.rows.sort_by_key(|row| (row.sent_at, row.person));
        log.rows.drain(..log.rows.len().saturating_sub(MESSAGES_MAX));
        log.note(undelivered, "were not delivered: they say nothing");
        log.note(young, "are too young to be judged");
        log.note(untold, "do not tell their medium, or what else could have been drawn");
        Ok(log)
    }

    fn note(&mut self, messages: u64, what: &str) {
        if messages > 0 {
            self.notes.push(format!("{messages} randomized messages {what}."));
        }
    }

    /// The newest `holdout` of the messages as trials, and when the first of them was sent; the
    /// older ones stay.
    pub(super) fn divide(&mut self, holdout: f64) -> (Vec<Trial>, Option<Instant>) {
        let at = ((1.0 - holdout) * self.rows.len() as f64).floor() as usize;
        let newer = self.rows.split_off(at.min(self.rows.len()));
        let (mut trials, mut by_campaign) = (Vec::new(), BTreeMap::new());
        for (at, row) in newer.iter().enumerate() {
            match &row.source {
                ChanceSource::Stored(options) => trials.push((at, *options)),
                ChanceSource::Given { campaign, .. } => {
                    by_campaign.entry(campaign.as_deref()).or_insert_with(Vec::new).push(at);
                }
            }
        }
        let (mut unlike, mut few) = (0, 0);
        for of in by_campaign.into_values() {
            let mut classes = Vec::new();
            unlike += classes_of(&newer, of, 0, &mut classes);
            for class in classes {
                if class.len() < CLASS_MIN {
                    few += class.len() as u64;
                    continue;
                }
                self.options.push(shares(&newer, &class));
                let options = self.options.len() - 1;
                trials.extend(class.into_iter().map(|at| (at, options)));
            }
        }
        self.note(
            unlike,
            "were imported with chances that differ between people for the same hour and content, \
             or sum to more than 1: what else each person could have got is not known. \
             `propensity` is the chance of the hour of the person's week and of the content",
        );
        self.note(few, &format!("are of groups of fewer than {CLASS_MIN} with the same options"));
        trials.sort_unstable();
        let trial = |(at, options): (usize, usize)| {
            let Logged { person, action, reward, .. } = newer[at];
            Trial { person, action, reward, options }
        };
        let from = trials.first().map(|(at, _)| newer[*at].sent_at);
        (trials.into_iter().map(trial).collect(), from)
    }
}

fn stored(
    drawn: &DrawnAction,
    known: &mut HashMap<Vec<(Action, u64)>, usize>,
    options: &mut Vec<Options>,
) -> (Action, ChanceSource) {
    let key = drawn.among.iter().map(|(action, chance)| (*action, chance.to_bits())).collect();
    let index = *known.entry(key).or_insert_with(|| {
        options.push(drawn.among.iter().copied().collect());
        options.len() - 1
    });
    (drawn.action, ChanceSource::Stored(index))
}

fn given(message: &Message, zone: chrono_tz::Tz) -> Option<(Action, ChanceSource)> {
    let content = Content { media: message.media?, style: message.style.clone() };
    let hour = week_hour(message.sent_at, zone);
    let action = Action::of(hour, content.media);
    let (campaign, chance) = (message.campaign.clone(), message.propensity?);
    Some((action, ChanceSource::Given { campaign, zone, hour, content, chance }))
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

/// Divides imported messages into classes whose people had the same options; returns how many
/// are in none.
fn classes_of(rows: &[Logged], of: Vec<usize>, depth: usize, classes: &mut Vec<Vec<usize>>) -> u64 {
    if have_same_options(rows, &of) {
        classes.push(of);
        return 0;
    }
    let mut parts: BTreeMap<(&str, u64), Vec<usize>> = BTreeMap::new();
    let count = of.len() as u64;
    for at in of {
        let ChanceSource::Given { zone, chance, .. } = &rows[at].source else { continue };
        let key = match depth {
            0 => (zone.name(), 0),
            // equal to four digits
            1 => (zone.name(), (chance.ln() / SAME).round().abs() as u64),
            _ => return count,
        };
        parts.entry(key).or_default().push(at);
    }
    parts.into_values().map(|part| classes_of(rows, part, depth + 1, classes)).sum()
}

/// Whether each hour and content has one chance, and all of them together none above 1.
fn have_same_options(rows: &[Logged], of: &[usize]) -> bool {
    let mut cells: HashMap<(usize, &Content), f64> = HashMap::new();
    let mut total = 0.0;
    for at in of {
        let ChanceSource::Given { hour, content, chance, .. } = &rows[*at].source else { continue };
        match cells.entry((*hour, content)) {
            std::collections::hash_map::Entry::Occupied(known) => {
                if (known.get() - chance).abs() > SAME * chance {
                    return false;
                }
            }
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(*chance);
                total += chance;
            }
        }
    }
    total <= 1.0 + ROUNDED
}

/// The share of a class's messages that fell to each action.
fn shares(rows: &[Logged], class: &[usize]) -> Options {
    let mut shares = Options::new();
    for at in class {
        *shares.entry(rows[*at].action).or_default() += 1.0 / class.len() as f64;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content::Media;

    fn imported(zone: chrono_tz::Tz, hour: usize, chance: f64) -> Logged {
        let content = Content { media: Media::Text, style: None };
        Logged {
            person: 0,
            sent_at: Instant::UNIX_EPOCH,
            action: Action::of(hour, Media::Text),
            reward: 0.0,
            source: ChanceSource::Given { campaign: None, zone, hour, content, chance },
        }
    }

    fn divided(rows: Vec<Logged>) -> (Vec<Trial>, Log) {
        let mut log = Log { rows, options: Vec::new(), notes: Vec::new() };
        (log.divide(1.0).0, log)
    }

    #[test]
    fn imported_messages_are_weighed_by_what_their_own_people_could_have_got() {
        let zone = chrono_tz::UTC;
        // some could get any of six hours before noon, others any of the day's twenty four
        let rows = (0..600).flat_map(|at| {
            [imported(zone, 6 + at % 6, 1.0 / 6.0), imported(zone, at % 24, 1.0 / 24.0)]
        });
        let (trials, log) = divided(rows.collect());
        assert_eq!((trials.len(), log.notes.len()), (1200, 0));
        let morning = Action::of(6, Media::Text);
        let mut chances: Vec<f64> = log.options.iter().map(|of| of[&morning]).collect();
        chances.sort_by(f64::total_cmp);
        assert!((chances[0] - 0.25).abs() < 1e-9 && (chances[1] - 1.0).abs() < 1e-9);
        // everybody had the same: one class, whatever the chances
        let rows = (0..1200).map(|at| {
            let hour = if at % 2 == 0 { 10 } else { at % 24 };
            imported(zone, hour, if hour == 10 { 0.5 + 0.5 / 24.0 } else { 0.5 / 24.0 })
        });
        let (trials, log) = divided(rows.collect());
        assert_eq!((trials.len(), log.options.len()), (1200, 1));
    }

    #[test]
    fn imported_messages_whose_options_nobody_can_know_are_left_out_with_words() {
        let zone = chrono_tz::UTC;
        // mornings for some and evenings for others, with the same chance
        let rows = (0..600).flat_map(|at| {
            [imported(zone, 6 + at % 6, 1.0 / 6.0), imported(zone, 18 + at % 6, 1.0 / 6.0)]
        });
        let (trials, log) = divided(rows.collect());
        assert!(trials.is_empty());
        assert!(log.notes[0].contains("1200 randomized messages"), "{:?}", log.notes);
        // but where the zone tells them apart
        let rows = (0..600).flat_map(|at| {
            let there = chrono_tz::America::Sao_Paulo;
            [imported(zone, 6 + at % 6, 1.0 / 6.0), imported(there, 18 + at % 6, 1.0 / 6.0)]
        });
        let (trials, log) = divided(rows.collect());
        assert_eq!((trials.len(), log.options.len(), log.notes.len()), (1200, 2, 0));
    }
}
