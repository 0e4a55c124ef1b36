//! Hours of the day and of the week, as campaigns and settings write them.

use chrono::NaiveTime;
use serde::Deserialize;

use super::file::KeyProblems;

/// `Mon-Fri 09:00-18:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekSpan {
    /// Whether it holds on a day, Monday first.
    pub days: [bool; 7],
    /// Its first minute of the day.
    pub from_minute: u32,
    /// The first minute after it, at most 1440.
    pub to_minute: u32,
}

impl WeekSpan {
    /// Parses days and hours such as `Mon-Fri 09:00-18:00`; the end may be `24:00`.
    pub fn parse(text: &str) -> Option<Self> {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let day = |name: &str| DAYS.iter().position(|d| *d == name);
        let minute = |text: &str| match text {
            "24:00" => Some(1440),
            text => parse_time(text).map(minute_of_day),
        };
        let (days, hours) = text.split_once(' ')?;
        let (first, last) = match days.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(days)?, day(days)?),
        };
        let mut span = Self { days: [false; 7], from_minute: 0, to_minute: 0 };
        for offset in 0..=(last + 7 - first) % 7 {
            span.days[(first + offset) % 7] = true;
        }
        let (from, to) = hours.trim().split_once('-')?;
        (span.from_minute, span.to_minute) = (minute(from)?, minute(to)?);
        (span.from_minute < span.to_minute).then_some(span)
    }
}
/// Daily hours in which nothing is sent; from `start` up to but not including `end`, over midnight
/// when `start` is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// First minute of the day.
    pub start_minute: u32,
    /// The first minute after it.
    pub end_minute: u32,
}

impl QuietHours {
    /// Whether a minute of the day, 0 to 1439, lies within.
    pub fn contains(self, minute: u32) -> bool {
        if self.start_minute <= self.end_minute {
            (self.start_minute..self.end_minute).contains(&minute)
        } else {
            minute >= self.start_minute || minute < self.end_minute
        }
    }

    /// Checks a pair of local times; equal ones would mean nothing or everything.
    pub fn parse(start: &str, end: &str) -> Result<Self, String> {
        let minute = |text| {
            parse_time(text)
                .map(minute_of_day)
                .ok_or_else(|| format!("{text:?} is not a time such as \"21:00\""))
        };
        let (start_minute, end_minute) = (minute(start)?, minute(end)?);
        if start_minute == end_minute {
            return Err(format!(
                "start and end are both {start:?}; leave the section out for no quiet hours"
            ));
        }
        Ok(Self { start_minute, end_minute })
    }
}

/// What the campaign says of quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CampaignQuiet {
    /// Nothing: the workspace's hold.
    #[default]
    Inherit,
    /// These as well as the workspace's.
    Add(QuietHours),
    /// Neither its own nor the workspace's; a country's hold all the same.
    Lift,
}
pub(super) fn parse_time(text: &str) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(text, "%H:%M").ok()
}

fn minute_of_day(time: NaiveTime) -> u32 {
    use chrono::Timelike;
    time.hour() * 60 + time.minute()
}

/// `[quiet_hours]` as it is written.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Quiet)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuiet {
    start: Option<String>,
    end: Option<String>,
    #[serde(default)]
    none: bool,
}

impl RawQuiet {
    /// When the campaign is quiet.
    pub(super) fn check(self, wrong: &mut KeyProblems) -> CampaignQuiet {
        match (self.start, self.end, self.none) {
            (None, None, true) => CampaignQuiet::Lift,
            (Some(start), Some(end), false) => match QuietHours::parse(&start, &end) {
                Ok(hours) => CampaignQuiet::Add(hours),
                Err(problem) => {
                    wrong.note("quiet_hours", problem);
                    CampaignQuiet::Inherit
                }
            },
            _ => {
                wrong.note("quiet_hours", "it takes start and end, or none = true alone");
                CampaignQuiet::Inherit
            }
        }
    }
}
