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
//! - [`person`]: one person and the answer to one message; `rhythm` and `rates` say when
//! - [`history`]: the past, as the three history files have it
//! - [`score`]: a choice of hours and contents, measured against the truth

mod dice;
pub mod history;
mod local;
pub mod person;
mod places;
mod rates;
mod rhythm;
pub mod score;
pub mod spec;

use chrono_tz::Tz;

use self::dice::Dice;
use self::person::Person;
use self::rates::Patterns;
use self::spec::{Chronotype, Spec};
use crate::model::Invalid;
use crate::model::content::Content;
use crate::model::ids::RecipientKey;
use crate::model::recipient::parse_zone;

/// A world: its people, their habits, and what will become of any message.
#[derive(Debug)]
pub struct World {
    spec: Spec,
    zones: Vec<(Tz, f64)>,
    patterns: Patterns,
    dice: Dice,
}

#[derive(Clone, Copy)]
enum Draw {
    Patterns,
    Person,
    Zone,
    Tilt,
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

    /// How much everybody likes a content, in logarithms.
    fn appeal(&self, content: &Content) -> f64 {
        self.spec.appeal(content)
    }
}
