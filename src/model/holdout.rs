//! The standing holdout: people who get no marketing of any campaign, so that what all messages
//! together bring can be told.

use chrono::NaiveDate;

use super::hash::{hash, unit};
use super::ids::RecipientKey;

/// Who is held out, and until when.
#[derive(Debug, Clone, PartialEq)]
pub struct StandingHoldout {
    /// The share of people.
    pub share: f64,
    /// The last day, in the workspace's zone.
    pub until: NaiveDate,
    /// Another one draws other people.
    pub salt: String,
    /// What a conversion counts in plans.
    pub conversions: CountedConversions,
}

/// Which conversions the value of a message counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CountedConversions {
    /// Every one that follows it.
    #[default]
    All,
    /// What it adds over none, as the holdout tells; every one while that is not known.
    Added,
}

impl StandingHoldout {
    /// Whether a person is one of them: a stable hash, so that a larger share adds people and takes
    /// none away.
    pub fn holds(&self, person: &RecipientKey) -> bool {
        unit(hash(&["standing holdout", &self.salt, person.as_str()])) < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_held_out_and_stays_so() {
        let until = NaiveDate::from_ymd_opt(2027, 6, 30).unwrap();
        let holdout = |share, salt: &str| StandingHoldout {
            share,
            until,
            salt: salt.to_owned(),
            conversions: CountedConversions::All,
        };
        let people: Vec<RecipientKey> =
            (0..40_000).map(|person| format!("r{person}").parse().unwrap()).collect();
        let of = |holdout: &StandingHoldout| -> Vec<bool> {
            people.iter().map(|person| holdout.holds(person)).collect()
        };
        let (few, more, other) =
            (of(&holdout(0.05, "")), of(&holdout(0.1, "")), of(&holdout(0.05, "second")));
        let count = |held: &[bool]| held.iter().filter(|held| **held).count();
        assert!((1850..2150).contains(&count(&few)) && (3800..4200).contains(&count(&more)));
        assert!(few.iter().zip(&more).all(|(few, more)| !few || *more));
        let both = few.iter().zip(&other).filter(|(few, other)| **few && **other).count();
        assert!((50..150).contains(&both), "{both}");
    }
}
