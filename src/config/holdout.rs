//! The standing holdout, as the settings have it.

use chrono::NaiveDate;
use serde::Deserialize;
use toml::value::Datetime;

use crate::model::holdout::{CountedConversions, StandingHoldout};

/// Whoever holds out more people measures what it no longer does.
const HOLDOUT_SHARE_MAX: f64 = 0.5;
/// The salt is part of the name of a mark.
const SALT_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHoldout {
    share: f64,
    until: Datetime,
    #[serde(default)]
    salt: String,
    conversions: Option<String>,
}

impl RawHoldout {
    pub(super) fn check(self, wrong: &mut Vec<String>) -> Option<StandingHoldout> {
        if !(self.share > 0.0 && self.share <= HOLDOUT_SHARE_MAX) {
            wrong.push(format!(
                "holdout.share: {} is not above 0 and at most {HOLDOUT_SHARE_MAX}",
                self.share
            ));
        }
        if self.salt.chars().count() > SALT_MAX {
            wrong.push(format!("holdout.salt: it has more than {SALT_MAX} characters"));
        }
        let date = self.until.date.filter(|_| self.until.time.is_none());
        let date = date.and_then(|date| {
            NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
        });
        let Some(until) = date else {
            wrong.push(format!("holdout.until: {} is not a date such as 2027-06-30", self.until));
            return None;
        };
        let conversions = match self.conversions.as_deref() {
            None | Some("all") => CountedConversions::All,
            Some("added") => CountedConversions::Added,
            Some(other) => {
                wrong.push(format!("holdout.conversions: {other:?} is not one of all, added"));
                CountedConversions::All
            }
        };
        Some(StandingHoldout { share: self.share, until, salt: self.salt, conversions })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::CountedConversions;
    use crate::config::Config;

    #[test]
    fn a_standing_holdout_has_a_share_and_a_last_day() {
        let parse = |text: &str| Config::parse(text, Path::new("opportune.toml"));
        let holdout = parse("[holdout]\nshare = 0.05\nuntil = 2027-06-30\n").unwrap().holdout;
        let holdout = holdout.unwrap();
        assert_eq!((holdout.share, holdout.until.to_string().as_str()), (0.05, "2027-06-30"));
        assert_eq!(holdout.conversions, CountedConversions::All);
        let added = "[holdout]\nshare = 0.05\nuntil = 2027-06-30\nconversions = \"added\"\n";
        let holdout = parse(added).unwrap().holdout.unwrap();
        assert_eq!(holdout.conversions, CountedConversions::Added);
        let told = parse(&added.replace("added", "some")).unwrap_err().to_string();
        assert!(told.contains("holdout.conversions: \"some\" is not one of all, added"), "{told}");
        let told =
            parse("[holdout]\nshare = 0.0\nuntil = 2027-06-30T10:00:00\n").unwrap_err().to_string();
        assert!(told.contains("holdout.share: 0 is not above 0"), "{told}");
        assert!(told.contains("holdout.until: 2027-06-30T10:00:00 is not a date"), "{told}");
    }
}
