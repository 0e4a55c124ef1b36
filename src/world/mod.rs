//! A world of people with hidden habits: the known truth behind demo, replay and evaluation.
//!
//! People are derived, never stored: a world is a [`Spec`] and a seed, and everything else is a
//! hash of these and of what is asked. Anybody can be asked, also recipients who were imported from
//! elsewhere; the answer to a message depends on nothing but its arguments, so that a restart
//! repeats it and the order of questions does not matter.
//!
//! Refuses: to share equations or code with the learner, to read a clock, to keep state.
//!
//! - [`spec`]: what a world is made of
//! - [`person`]: one person and the answer to one message; `rhythm`, `rates` and `looks` say when;
//!   [`truth`] says how likely
//! - [`logging`] and [`history`]: how the past came about; the past, as the three files have it
//! - [`frozen`]: the known-truth worlds by name
//! - [`score`]: a choice of hours and contents, measured against the truth; [`posterior`]: the best
//!   that could be made of a history

pub(crate) mod dice;
pub mod frozen;
pub mod history;
mod local;
pub mod logging;
mod looks;
pub mod person;
mod places;
pub mod posterior;
mod rates;
mod rhythm;
pub mod score;
pub mod spec;
pub mod truth;

use std::time::Duration;

use chrono_tz::Tz;

use self::dice::Dice;
use self::person::{Person, Sent};
use self::rates::Patterns;
use self::spec::{Chronotype, Spec};
use crate::model::Invalid;
use crate::model::content::Goal;
use crate::model::ids::RecipientKey;
use crate::model::message::Response;
use crate::model::recipient::parse_zone;

/// A world: its people, their habits, and what will become of any message.
#[derive(Debug)]
pub struct World {
    spec: Spec,
    zones: Vec<(Tz, f64)>,
    patterns: Patterns,
    dice: Dice,
}

/// Somebody who is written to.
#[derive(Debug, Clone, Copy)]
pub struct Whom<'k> {
    /// The recipient's id.
    pub key: &'k RecipientKey,
    /// Whose clock the person lives by.
    pub zone: Tz,
}

/// Everybody who may be written to, and what they would do: the invented people of a [`World`], or
/// those of a real history as they are remembered.
pub trait Crowd: Send + Sync {
    /// What becomes of a message: a function of its arguments alone.
    fn answer(&self, whom: Whom<'_>, sent: &Sent<'_>) -> Response;

    /// The chance that a message reaches the goal within a time.
    fn chance(&self, whom: Whom<'_>, sent: &Sent<'_>, goal: Goal, within: Duration) -> f64;
}

impl Crowd for World {
    fn answer(&self, whom: Whom<'_>, sent: &Sent<'_>) -> Response {
        self.person_of(whom.key, whom.zone).answer(sent)
    }

    fn chance(&self, whom: Whom<'_>, sent: &Sent<'_>, goal: Goal, within: Duration) -> f64 {
        self.person_of(whom.key, whom.zone).chance(sent, goal, within)
    }
}

#[derive(Clone, Copy)]
enum Draw {
    Patterns,
    Person,
    Zone,
    Tilt,
    Luck,
}

impl World {
    /// The world that a spec and a seed make.
    pub fn new(spec: &Spec, seed: u64) -> Result<Self, Invalid> {
        spec.check()?;
        let dice = Dice::new(seed);
        let zone = |(name, weight): (&String, &f64)| Ok((parse_zone(name)?, *weight));
        Ok(Self {
            zones: spec.zones.iter().map(zone).collect::<Result<_, Invalid>>()?,
            spec: spec.clone(),
            patterns: Patterns::new(dice.with(Draw::Patterns as u64)),
            dice,
        })
    }

    /// What it is made of.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How many people it has of its own.
    pub fn size(&self) -> usize {
        self.spec.people as usize
    }

    /// The key of one of its own people, 0 to `size` − 1.
    pub fn key(&self, index: usize) -> RecipientKey {
        format!("p{:06}", index + 1).parse().expect("a letter and digits are a valid key")
    }

    /// One of its own people, 0 to `size` − 1.
    pub fn person(&self, index: usize) -> Person<'_> {
        let weights = self.zones.iter().map(|(_, weight)| *weight);
        let draw = self.dice.with(Draw::Zone as u64).with(index as u64);
        self.person_of(&self.key(index), self.zones[draw.pick(weights)].0)
    }

    /// Anybody: the same key in the same zone is always the same person.
    pub fn person_of(&self, key: &RecipientKey, zone: Tz) -> Person<'_> {
        Person::new(self, self.dice.with(Draw::Person as u64).text(key.as_str()), key, zone)
    }

    /// What a campaign's luck makes of the chance to open: the same for everybody.
    fn luck(&self, campaign: &str) -> f64 {
        self.spec.campaign_luck.map_or(1.0, |luck| {
            let factors = luck.factors();
            factors[self.dice.with(Draw::Luck as u64).text(campaign).below(factors.len())]
        })
    }

    /// A chronotype by the zone's own mix.
    fn chronotype(&self, zone: Tz, dice: Dice) -> Chronotype {
        let tilt = self.dice.with(Draw::Tilt as u64).text(zone.name());
        let mut tilted = [(Chronotype::Office, 0.0); 7];
        for (slot, (chronotype, weight)) in tilted.iter_mut().zip(&self.spec.chronotypes) {
            let lean = tilt.with(*chronotype as u64).between(-0.6, 0.6);
            *slot = (*chronotype, weight * lean.exp());
        }
        tilted[dice.pick(tilted.iter().map(|(_, weight)| *weight))].0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::person::Sent;
    use super::*;
    use crate::model::content::{Category, Content, Goal};
    use crate::model::ids::MessageKey;
    use crate::model::message::{Message, Response};
    use crate::model::time::{Instant, parse_instant};

    fn at(text: &str) -> Instant {
        parse_instant("test", text).unwrap()
    }

    fn content(text: &str) -> Content {
        let (media, style) = text.split_once(' ').unwrap();
        Content { media: media.parse().unwrap(), style: Some(style.parse().unwrap()) }
    }

    fn ask(world: &World, recipient: &str, message: &str, at: Instant) -> Response {
        let key: MessageKey = message.parse().unwrap();
        let content = content("video people");
        let category = Category::Marketing;
        let person = world.person_of(&recipient.parse().unwrap(), Tz::Asia__Tokyo);
        person.answer(&Sent {
            key: &key,
            at,
            content: &content,
            category,
            recent: &[],
            campaign: None,
        })
    }

    #[test]
    fn the_order_of_questions_does_not_matter() {
        let world = World::new(&Spec::demo(), 5).unwrap();
        let again = World::new(&Spec::demo(), 5).unwrap();
        let other = World::new(&Spec::demo(), 6).unwrap();
        let at = at("2026-05-04T09:30:00Z");
        let questions: Vec<(String, String)> =
            (0..200).map(|i| (format!("anybody-{}", i % 50), format!("spring:{i}"))).collect();
        let forth: Vec<Response> = questions.iter().map(|(r, m)| ask(&world, r, m, at)).collect();
        let mut back: Vec<Response> =
            questions.iter().rev().map(|(r, m)| ask(&again, r, m, at)).collect();
        back.reverse();
        assert_eq!(forth, back);
        let elsewhere = questions.iter().map(|(r, m)| ask(&other, r, m, at));
        assert_ne!(forth, elsewhere.collect::<Vec<_>>(), "the seed matters");
    }

    #[test]
    fn no_answer_is_before_its_cause_and_no_receipt_comes_from_those_without() {
        let spec = Spec { outages: 0.5, scanners: 0.3, opt_out: 0.1, ..Spec::demo() };
        let world = World::new(&spec, 11).unwrap();
        let (mut late, mut silent_acts, mut machine) = (0, 0, 0);
        for index in 0..3_000 {
            let person = world.person(index % world.size());
            let key: MessageKey = format!("m{index}").parse().unwrap();
            let sent_at = at("2026-03-27T22:00:00Z") + chrono::TimeDelta::minutes(index as i64);
            let content = content("image product");
            let category = Category::Utility;
            let sent = Sent {
                key: &key,
                at: sent_at,
                content: &content,
                category,
                recent: &[],
                campaign: None,
            };
            let response = person.answer(&sent);
            if !person.receipts {
                assert_eq!(response.read_at, None);
                silent_acts += usize::from(response.replied_at.or(response.clicked_at).is_some());
            }
            if response.failed_at.is_some() {
                assert_eq!(response.delivered_at.or(response.read_at), None);
            }
            let arrival = response.delivered_at.unwrap_or(sent_at);
            late += usize::from(arrival - sent_at > chrono::TimeDelta::hours(1));
            machine += usize::from(
                response.read_at.is_some_and(|at| at - arrival <= chrono::TimeDelta::seconds(1)),
            );
            let message = Message {
                key: key.clone(),
                campaign: None,
                channel: None,
                category: None,
                media: None,
                style: None,
                sent_at,
                response,
                propensity: None,
            };
            message.check().unwrap();
        }
        assert!(late > 20 && silent_acts > 20 && machine > 200, "{late} {silent_acts} {machine}");
    }

    #[test]
    fn the_chance_to_read_is_the_frequency_in_every_kind_of_world() {
        for preset in [Spec::demo(), Spec::friendly(), Spec::hostile()] {
            let spec = Spec { failures: 0.0, unreachable: 0.0, outages: 0.0, ..preset };
            let spec = Spec { receipts_off: 0.0, scanners: 0.0, ..spec };
            let world = World::new(&spec, 3).unwrap();
            for hours in [2, 24] {
                let within = Duration::from_hours(hours);
                let (mut expected, mut variance, mut read) = (0.0, 0.0, 0.0);
                for index in 0..2_000usize {
                    let person = world.person(index);
                    let key: MessageKey = format!("m{index}").parse().unwrap();
                    let sent_at =
                        at("2026-03-01T00:00:00Z") + chrono::TimeDelta::minutes(37 * index as i64);
                    let content = content(["video people", "image product"][index % 2]);
                    let category = Category::Marketing;
                    let recent = [sent_at - chrono::TimeDelta::days(1); 4];
                    let sent = Sent {
                        key: &key,
                        at: sent_at,
                        content: &content,
                        category,
                        recent: &recent,
                        campaign: None,
                    };
                    let chance = person.chance(&sent, Goal::Read, within);
                    assert!((0.0..=1.0).contains(&chance));
                    expected += chance;
                    variance += chance * (1.0 - chance);
                    let at = person.answer(&sent).read_at;
                    let in_time = at.is_some_and(|at| at <= sent_at + within);
                    read += f64::from(u8::from(in_time));
                }
                let off = (read - expected) / f64::sqrt(variance);
                assert!(off.abs() < 4.0, "{:?} {hours} h: {read}, not {expected}", spec.habit);
            }
        }
    }

    #[test]
    fn those_who_drift_change_on_the_day_and_the_others_never() {
        let change = at("2026-06-01T00:00:00Z");
        let drift = Some(spec::Drift { share: 0.5, at: change });
        let moved = World::new(&Spec { drift, ..Spec::friendly() }, 2).unwrap();
        let still = World::new(&Spec::friendly(), 2).unwrap();
        let week = |world: &World, index: usize, week: Instant| -> Vec<f64> {
            let within = Duration::from_hours(2);
            let person = world.person(index);
            (0..168)
                .map(|h| person.chance_in_week(week, h, &content("image product"), within))
                .collect()
        };
        let (before, after) = (at("2026-05-10T00:00:00Z"), at("2026-06-20T00:00:00Z"));
        let mut changed = 0;
        for index in 0..400 {
            assert_eq!(week(&moved, index, before), week(&still, index, before));
            changed += usize::from(week(&moved, index, after) != week(&still, index, after));
        }
        assert!((160..240).contains(&changed), "{changed} of 400");
    }

    #[test]
    fn crowding_and_the_small_hours_drive_people_away() {
        let world = World::new(&Spec::demo(), 8).unwrap();
        let key: MessageKey = "m".parse().unwrap();
        let content = content("image product");
        let mean = |hour: usize, recent: usize| {
            let harm = (0..500).map(|index| {
                let person = world.person(index);
                let at = person.middle_of(at("2026-05-06T00:00:00Z"), 48 + hour);
                let recent = vec![at - chrono::TimeDelta::days(1); recent];
                let category = Category::Marketing;
                let sent = Sent {
                    key: &key,
                    at,
                    content: &content,
                    category,
                    recent: &recent,
                    campaign: None,
                };
                person.harm(&sent)
            });
            harm.sum::<f64>() / 500.0
        };
        assert!(mean(3, 0) > 2.0 * mean(18, 0));
        assert!(mean(18, 5) > 2.0 * mean(18, 0));
    }
}
