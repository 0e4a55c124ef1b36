//! What people state of messages to them: facts beside what is learned, which plans obey.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};
use serde::{Deserialize, Serialize};

use super::Invalid;
use super::content::{Media, word_type};
use super::part_of_day::{PARTS, part_of};

word_type! {
    /// A part of the day.
    DayPart, "part of the day", "one of morning, noon, afternoon, evening, night" {
        /// 05:00 to 11:00.
        Morning = "morning",
        /// 11:00 to 14:00.
        Noon = "noon",
        /// 14:00 to 18:00.
        Afternoon = "afternoon",
        /// 18:00 to 22:00.
        Evening = "evening",
        /// 22:00 to 05:00.
        Night = "night",
    }
}

impl DayPart {
    /// The part that holds an hour of the day.
    pub fn of(hour: u32) -> Self {
        Self::ALL[part_of(hour as usize)]
    }
}

/// What a person states. What is `None` was not told; an empty list takes an earlier word back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Nothing on these days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub not_days: Option<BTreeSet<Day>>,
    /// Only in these parts of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_dayparts: Option<BTreeSet<DayPart>>,
    /// Only with these media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_media: Option<BTreeSet<Media>>,
}

/// A day of the week; Monday is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(pub Weekday);

impl Ord for Day {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.num_days_from_monday().cmp(&other.0.num_days_from_monday())
    }
}

impl PartialOrd for Day {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::str::FromStr for Day {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let day = text.trim().parse().map(Self);
        day.map_err(|_| Invalid::new("day", text, "a day of the week such as Sunday or Sun"))
    }
}

impl TryFrom<String> for Day {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        f.write_str(names[self.0.num_days_from_monday() as usize])
    }
}

impl Wishes {
    /// The wishes that lists of words state; `none` alone takes a word back.
    pub fn from_words(
        not_days: Option<&[String]>,
        only_dayparts: Option<&[String]>,
        only_media: Option<&[String]>,
    ) -> Result<Self, Invalid> {
        fn set<T>(given: Option<&[String]>) -> Result<Option<BTreeSet<T>>, Invalid>
        where
            T: std::str::FromStr<Err = Invalid> + Ord,
        {
            let Some(given) = given else { return Ok(None) };
            let words = given.iter().filter(|word| *word != "none");
            words
                .map(|word| word.trim().to_ascii_lowercase().parse())
                .collect::<Result<_, _>>()
                .map(Some)
        }
        Ok(Self {
            not_days: set(not_days)?,
            only_dayparts: set(only_dayparts)?,
            only_media: set(only_media)?,
        })
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What holds after new words over these.
    #[must_use]
    pub fn updated(&self, told: &Self) -> Self {
        fn field<T: Clone + Ord>(
            stored: Option<&BTreeSet<T>>,
            told: Option<&BTreeSet<T>>,
        ) -> Option<BTreeSet<T>> {
            told.or(stored).filter(|list| !list.is_empty()).cloned()
        }
        Self {
            not_days: field(self.not_days.as_ref(), told.not_days.as_ref()),
            only_dayparts: field(self.only_dayparts.as_ref(), told.only_dayparts.as_ref()),
            only_media: field(self.only_media.as_ref(), told.only_media.as_ref()),
        }
    }

    /// Whether a moment on the person's clock is one that they want.
    pub fn allow_time(&self, local: NaiveDateTime) -> bool {
        let day = Day(local.weekday());
        self.not_days.as_ref().is_none_or(|days| !days.contains(&day))
            && self
                .only_dayparts
                .as_ref()
                .is_none_or(|parts| parts.contains(&DayPart::of(local.hour())))
    }

    /// Whether a medium is one that they want.
    pub fn allow_media(&self, media: Media) -> bool {
        self.only_media.as_ref().is_none_or(|wanted| wanted.contains(&media))
    }
}

impl fmt::Display for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = Vec::new();
        let list = |names: Vec<String>| names.join(", ");
        if let Some(days) = &self.not_days {
            told.push(format!("not on {}", list(days.iter().map(ToString::to_string).collect())));
        }
        if let Some(parts) = &self.only_dayparts {
            let parts = parts.iter().map(|part| PARTS[*part as usize].1.to_owned()).collect();
            told.push(format!("only {}", list(parts)));
        }
        if let Some(media) = &self.only_media {
            told.push(format!(
                "only with {}",
                list(media.iter().map(ToString::to_string).collect())
            ));
        }
        f.write_str(&told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes {
        Wishes {
            not_days: Some(["Sun".parse().unwrap(), "saturday".parse().unwrap()].into()),
            only_dayparts: Some([DayPart::Morning].into()),
            only_media: None,
        }
    }

    #[test]
    fn wishes_are_held_against_the_persons_own_clock() {
        let allowed = |at: &str| wishes().allow_time(at.parse().unwrap());
        assert!(allowed("2026-11-30T05:00:00"));
        assert!(allowed("2026-11-30T10:59:59"));
        assert!(!allowed("2026-11-30T11:00:00"));
        assert!(!allowed("2026-11-29T09:00:00"));
        assert!(wishes().allow_media(Media::Video));
        let words = Wishes { only_media: Some([Media::Text].into()), ..Wishes::default() };
        assert!(!words.allow_media(Media::Video));
    }

    #[test]
    fn new_words_go_over_old_ones_and_an_empty_list_takes_back() {
        let told = Wishes { only_dayparts: Some(BTreeSet::new()), ..Wishes::default() };
        let now = wishes().updated(&told);
        assert_eq!(now, Wishes { only_dayparts: None, ..wishes() });
        assert_eq!(wishes().updated(&Wishes::default()), wishes());
        assert_eq!(now.to_string(), "not on Saturday, Sunday");
        assert_eq!(wishes().to_string(), "not on Saturday, Sunday; only in the morning");
    }

    #[test]
    fn wishes_are_written_as_words() {
        let text = serde_json::to_string(&wishes()).unwrap();
        assert_eq!(text, r#"{"not_days":["Saturday","Sunday"],"only_dayparts":["morning"]}"#);
        assert_eq!(serde_json::from_str::<Wishes>(&text).unwrap(), wishes());
        assert!(serde_json::from_str::<Wishes>(r#"{"not_days":["Someday"]}"#).is_err());
    }
}
