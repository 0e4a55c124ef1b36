//! Frequency caps: how often one person is written to, over all campaigns.
//!
//! Owns what settings and campaign files say of it, checked. Knows nothing of who was written to.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use super::content::Category;
use super::time::Instant;

/// More messages in a day or a week than this bound nothing.
const MOST_MAX: u32 = 1000;
/// A least distance beyond this is a list of people not to write to.
const DISTANCE_MAX: Duration = Duration::from_hours(24 * 92);

/// At most so many messages to one person within a moving span; a least distance is a cap of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// Of this category alone; `None` counts all.
    pub category: Option<Category>,
    /// The span.
    pub span: TimeDelta,
    /// The most messages in it.
    pub most: u32,
}

/// A message to a person that counts against caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentSend {
    /// When it went or will go.
    pub at: Instant,
    /// Its category; one that is not known counts against every cap.
    pub category: Option<Category>,
}

impl Cap {
    /// Whether a message of a category is one that the cap counts.
    pub fn counts(&self, category: Option<Category>) -> bool {
        self.category.is_none() || category.is_none() || self.category == category
    }
}

/// `[frequency]` as it stands in a file.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct RawFrequency {
    per_day: Option<u32>,
    per_week: Option<u32>,
    #[serde(default, with = "humantime_serde")]
    least_distance: Option<Duration>,
    #[serde(default)]
    marketing: RawCaps,
    #[serde(default)]
    utility: RawCaps,
}

/// The same for one category.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawCaps {
    per_day: Option<u32>,
    per_week: Option<u32>,
    #[serde(default, with = "humantime_serde")]
    least_distance: Option<Duration>,
}

impl RawFrequency {
    /// The caps; `note` is told key and problem of each that is wrong.
    pub fn check(self, mut note: impl FnMut(&str, String)) -> Vec<Cap> {
        let (per_day, per_week, least_distance) =
            (self.per_day, self.per_week, self.least_distance);
        let all = RawCaps { per_day, per_week, least_distance };
        let mut caps = Vec::new();
        all.check("frequency", None, &mut caps, &mut note);
        let marketing = Some(Category::Marketing);
        self.marketing.check("frequency.marketing", marketing, &mut caps, &mut note);
        self.utility.check("frequency.utility", Some(Category::Utility), &mut caps, &mut note);
        caps
    }
}

impl RawCaps {
    fn check(
        self,
        key: &str,
        category: Option<Category>,
        caps: &mut Vec<Cap>,
        note: &mut impl FnMut(&str, String),
    ) {
        let counted = [("per_day", self.per_day, 1), ("per_week", self.per_week, 7)];
        for (name, most, days) in counted {
            let Some(most) = most else { continue };
            if most == 0 || most > MOST_MAX {
                let problem = format!(
                    "{most} is not between 1 and {MOST_MAX}; leave the key out for no bound"
                );
                note(&format!("{key}.{name}"), problem);
            }
            caps.push(Cap { category, span: TimeDelta::days(days), most });
        }
        if let Some(distance) = self.least_distance {
            if distance.is_zero() || distance > DISTANCE_MAX {
                let problem = format!("{distance:?} is not above 0 and at most 92 days");
                note(&format!("{key}.least_distance"), problem);
            }
            let span = TimeDelta::from_std(distance.min(DISTANCE_MAX)).unwrap_or_default();
            caps.push(Cap { category, span, most: 1 });
        }
    }
}

/// The longest span of any cap: how far back and ahead a person's other messages matter.
pub fn reach<'a>(caps: impl IntoIterator<Item = &'a Cap>) -> TimeDelta {
    caps.into_iter().map(|cap| cap.span).max().unwrap_or_else(TimeDelta::zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_read_by_category_and_bad_ones_named() {
        let text = "per_day = 1\nleast_distance = \"6h\"\n[marketing]\nper_week = 2\n";
        let raw: RawFrequency = toml::from_str(text).unwrap();
        let caps = raw.check(|key, problem| panic!("{key}: {problem}"));
        let cap = |category, hours, most| Cap { category, span: TimeDelta::hours(hours), most };
        let marketing = Some(Category::Marketing);
        assert_eq!(caps, [cap(None, 24, 1), cap(None, 6, 1), cap(marketing, 168, 2)]);
        assert!(caps[2].counts(None) && !caps[2].counts(Some(Category::Utility)));
        assert_eq!(reach(&caps), TimeDelta::days(7));
        let raw: RawFrequency = toml::from_str("[utility]\nper_day = 0\n").unwrap();
        let mut keys = Vec::new();
        raw.check(|key, _| keys.push(key.to_owned()));
        assert_eq!(keys, ["frequency.utility.per_day"]);
    }
}
