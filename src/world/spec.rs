//! What a world is made of: who lives where, with what habits and tastes, and what goes wrong.
//! A spec is data, fit for a scenario's file; [`Spec::check`] is asked before a world exists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Invalid;
use crate::model::content::{Content, Media, Style};
use crate::model::recipient::parse_zone;
use crate::model::time::Instant;

/// The most people of one world.
pub const PEOPLE_MAX: u32 = 10_000_000;

/// By what mechanism people come to open a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Habit {
    /// They look at their phone at the moments of their day, and may open what waits there.
    Daily,
    /// A rate for each hour of the week from a few weekly patterns, with personal noise.
    Friendly,
    /// A rate for each hour of the week, a blend of one's own, with strong noise.
    Hostile,
    /// Sessions at occasions of the week; what waits is read at a look, or passed over.
    Sessions,
}

/// How often a person of the habit `sessions` opens the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Once a week, on a day of the person's own.
    Weekly,
    /// Once a day.
    Daily,
    /// In bursts through the day.
    Often,
}

/// The kind of day that a person leads; only daily habits know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chronotype {
    /// Up before six, asleep by ten.
    Early,
    /// Commute, lunch break, evening.
    Office,
    /// Around the hours of school, late once the children sleep.
    Family,
    /// Late mornings, breaks, long evenings.
    Student,
    /// Awake past two.
    Owl,
    /// Early, late and night shifts in turn, a week each.
    Shift,
    /// At home, unhurried.
    Retired,
}

/// How much people like a medium, or one style of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appeal {
    /// The medium.
    pub media: Media,
    /// One style of it; none: the medium, whatever the style.
    #[serde(default)]
    pub style: Option<Style>,
    /// Added to the logarithm of the chance; 0 is neutral.
    pub appeal: f64,
}

/// A share of people whose habits are others from some day on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Of all people.
    pub share: f64,
    /// From when on.
    pub at: Instant,
}

/// How far apart campaigns are in luck, which all of their messages share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Luck {
    /// The chance to open is at least this share higher or lower than usual.
    pub least: f64,
    /// And at most this.
    pub most: f64,
}

impl Luck {
    /// What multiplies the chance to open, one as likely as the other.
    pub(super) fn factors(&self) -> [f64; 6] {
        let middle = f64::midpoint(self.least, self.most);
        let [a, b, c] = [self.least, middle, self.most];
        [1.0 - c, 1.0 - b, 1.0 - a, 1.0 + a, 1.0 + b, 1.0 + c]
    }
}

/// A world as data. Shares are of all people, between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// How many people.
    pub people: u32,
    /// Zones by name, with their weights.
    pub zones: BTreeMap<String, f64>,
    /// How people come to open a message.
    pub habit: Habit,
    /// Chronotypes with their weights; each zone tilts them its own way.
    pub chronotypes: BTreeMap<Chronotype, f64>,
    /// How often people of the habit `sessions` open the app, with weights.
    pub paces: BTreeMap<Pace, f64>,
    /// What people like on the whole.
    pub appeals: Vec<Appeal>,
    /// Standard deviation of a person's own taste in logarithms.
    pub taste_spread: f64,
    /// After so many weeks half of a person's own taste is gone, and another came; absent: never.
    pub taste_half_life_weeks: Option<f64>,
    /// Campaigns of different luck; absent: all are alike.
    pub campaign_luck: Option<Luck>,
    /// Whose phone never tells that a message was read.
    pub receipts_off: f64,
    /// Whose mail is opened by a machine within a second.
    pub scanners: f64,
    /// Whose mail is looked over by a machine that follows every link as it arrives.
    pub link_scanners: f64,
    /// Who reads within seconds what comes while awake, about every third time.
    pub prompt_readers: f64,
    /// Whether the channel stamps what happens in whole seconds.
    pub whole_seconds: bool,
    /// Share of messages that fail, besides the people who are never reached.
    pub failures: f64,
    /// Who is never reached.
    pub unreachable: f64,
    /// Chance that a phone is off for hours or days in a given week.
    pub outages: f64,
    /// How much each further message in a week wearies: 0 for not at all.
    pub fatigue: f64,
    /// Chance that a welcome message makes its reader opt out; unwelcome ones multiply it.
    pub opt_out: f64,
    /// How much each further message in a week adds to the log of that chance.
    pub crowding: f64,
    /// Sessions a week of a person who leaves any; none are made at 0.
    pub sessions: f64,
    /// Who has no history.
    pub newcomers: f64,
    /// Who never gave consent.
    pub without_consent: f64,
    /// Who has no address.
    pub without_address: f64,
    /// Whose zone is not told.
    pub without_zone: f64,
    /// Who changes habits, and when.
    pub drift: Option<Drift>,
}

impl Default for Spec {
    fn default() -> Self {
        Self::demo()
    }
}

impl Spec {
    /// Two thousand people on four continents who lead ordinary days.
    pub fn demo() -> Self {
        Self {
            people: 2_000,
            zones: weights(&[
                ("America/Sao_Paulo", 0.34),
                ("Asia/Kolkata", 0.22),
                ("Europe/London", 0.16),
                ("America/Mexico_City", 0.16),
                ("Europe/Zurich", 0.12),
            ]),
            habit: Habit::Daily,
            chronotypes: BTreeMap::from([
                (Chronotype::Early, 0.13),
                (Chronotype::Office, 0.30),
                (Chronotype::Family, 0.18),
                (Chronotype::Student, 0.14),
                (Chronotype::Owl, 0.09),
                (Chronotype::Shift, 0.08),
                (Chronotype::Retired, 0.08),
            ]),
            paces: BTreeMap::from([(Pace::Weekly, 0.35), (Pace::Daily, 0.35), (Pace::Often, 0.3)]),
            appeals: vec![
                appeal(Media::Text, None, -0.15),
                appeal(Media::Image, None, 0.0),
                appeal(Media::Video, None, 0.15),
                appeal(Media::Image, Some("people"), 0.15),
            ],
            taste_spread: 0.45,
            taste_half_life_weeks: None,
            campaign_luck: None,
            receipts_off: 0.12,
            scanners: 0.01,
            link_scanners: 0.0,
            prompt_readers: 0.0,
            whole_seconds: false,
            failures: 0.02,
            unreachable: 0.01,
            outages: 0.05,
            fatigue: 0.12,
            opt_out: 0.000_5,
            crowding: 0.5,
            sessions: 1.0,
            newcomers: 0.05,
            without_consent: 0.06,
            without_address: 0.02,
            without_zone: 0.05,
            drift: None,
        }
    }

    /// Known truth in which the learner's assumptions nearly hold: weekly patterns, weekends of
    /// their own, personal noise, a level and tastes a person, decay over half a day. Frozen.
    pub fn friendly() -> Self {
        Self {
            habit: Habit::Friendly,
            appeals: vec![
                appeal(Media::Text, None, -0.25),
                appeal(Media::Image, None, 0.0),
                appeal(Media::Video, None, 0.15),
                appeal(Media::Image, Some("people"), 0.2),
                appeal(Media::Video, Some("people"), -0.2),
            ],
            taste_spread: 0.6,
            receipts_off: 0.15,
            scanners: 0.0,
            failures: 0.03,
            unreachable: 0.0,
            outages: 0.0,
            fatigue: 0.0,
            opt_out: 0.0,
            sessions: 0.0,
            newcomers: 0.0,
            without_consent: 0.0,
            without_address: 0.0,
            without_zone: 0.0,
            ..Self::demo()
        }
    }

    /// Known truth against the learner's assumptions: no classes, shifted blends, strong noise, a
    /// decay of each person's own. Frozen.
    pub fn hostile() -> Self {
        Self { habit: Habit::Hostile, ..Self::friendly() }
    }

    /// Checks every number; names the first key that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        if !(1..=PEOPLE_MAX).contains(&self.people) {
            return Err(Invalid::new("people", self.people, "a number from 1 to 10,000,000"));
        }
        for zone in self.zones.keys() {
            parse_zone(zone)?;
        }
        check_weights("zones", self.zones.values())?;
        check_weights("chronotypes", self.chronotypes.values())?;
        check_weights("paces", self.paces.values())?;
        let shares = [
            ("receipts_off", self.receipts_off),
            ("scanners", self.scanners),
            ("link_scanners", self.link_scanners),
            ("prompt_readers", self.prompt_readers),
            ("campaign_luck.least", self.campaign_luck.map_or(0.0, |luck| luck.least)),
            ("campaign_luck.most", self.campaign_luck.map_or(0.0, |luck| luck.most)),
            ("failures", self.failures),
            ("unreachable", self.unreachable),
            ("outages", self.outages),
            ("opt_out", self.opt_out),
            ("newcomers", self.newcomers),
            ("without_consent", self.without_consent),
            ("without_address", self.without_address),
            ("without_zone", self.without_zone),
            ("drift.share", self.drift.map_or(0.0, |drift| drift.share)),
        ];
        for (what, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(Invalid::new(what, share, "a share from 0 to 1"));
            }
        }
        let sizes = [
            ("taste_spread", self.taste_spread, 3.0),
            ("taste_half_life_weeks", self.taste_half_life_weeks.unwrap_or(1.0), 100.0),
            ("fatigue", self.fatigue, 3.0),
            ("crowding", self.crowding, 3.0),
            ("sessions", self.sessions, 100.0),
        ];
        for (what, size, most) in sizes {
            if !(0.0..=most).contains(&size) {
                return Err(Invalid::new(what, size, "between 0 and a sensible most"));
            }
        }
        if let Some(luck) = self.campaign_luck.filter(|luck| luck.least > luck.most) {
            return Err(Invalid::new("campaign_luck", luck.least, "a least at or below the most"));
        }
        match self.appeals.iter().find(|a| !(-5.0..=5.0).contains(&a.appeal)) {
            Some(a) => Err(Invalid::new("appeal", a.appeal, "between -5 and 5")),
            None => Ok(()),
        }
    }

    /// How much people on the whole like a content, in logarithms.
    pub(super) fn appeal(&self, content: &Content) -> f64 {
        let of = |a: &&Appeal| {
            a.media == content.media && (a.style.is_none() || a.style == content.style)
        };
        self.appeals.iter().filter(of).map(|a| a.appeal).sum()
    }
}

fn check_weights<'a>(
    what: &'static str,
    weights: impl Iterator<Item = &'a f64> + Clone,
) -> Result<(), Invalid> {
    match weights.clone().find(|w| !(w.is_finite() && **w >= 0.0)) {
        Some(weight) => Err(Invalid::new(what, weight, "a weight of 0 or more")),
        None if weights.sum::<f64>() > 0.0 => Ok(()),
        None => Err(Invalid::new(what, "", "a table with at least one weight above 0")),
    }
}

fn weights(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}

fn appeal(media: Media, style: Option<&str>, appeal: f64) -> Appeal {
    let style = style.map(|word| word.parse().expect("a plain word is a style"));
    Appeal { media, style, appeal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_overrides_the_demo_key_by_key_and_refuses_unknown_ones() {
        let spec: Spec = toml::from_str(
            "people = 50\nhabit = \"hostile\"\n[zones]\n\"Asia/Kolkata\" = 1\n\
             [drift]\nshare = 0.5\nat = \"2026-03-01T00:00:00Z\"",
        )
        .unwrap();
        let other: Spec = toml::from_str(
            "habit = \"sessions\"\ntaste_half_life_weeks = 4\nprompt_readers = 0.2\n\
             campaign_luck = { least = 0.1, most = 0.3 }\n[paces]\nweekly = 1",
        )
        .unwrap();
        assert_eq!((other.habit, other.paces.len()), (Habit::Sessions, 1));
        other.check().unwrap();
        let luck = Spec { campaign_luck: Some(Luck { least: 0.4, most: 0.3 }), ..other };
        assert_eq!(luck.check().unwrap_err().what, "campaign_luck");
        assert_eq!((spec.people, spec.habit, spec.zones.len()), (50, Habit::Hostile, 1));
        assert_eq!(spec.chronotypes, Spec::demo().chronotypes);
        spec.check().unwrap();
        let error = toml::from_str::<Spec>("peopel = 50").unwrap_err().to_string();
        assert!(error.contains("peopel"), "{error}");
    }

    #[test]
    fn a_wrong_number_is_named() {
        for preset in [Spec::demo(), Spec::friendly(), Spec::hostile()] {
            preset.check().unwrap();
        }
        let zone = Spec { zones: weights(&[("Europe/Atlantis", 1.0)]), ..Spec::demo() };
        assert_eq!(zone.check().unwrap_err().what, "time_zone");
        let share = Spec { receipts_off: 1.5, ..Spec::demo() };
        assert_eq!(share.check().unwrap_err().what, "receipts_off");
        let nobody = Spec { people: 0, ..Spec::demo() };
        assert_eq!(nobody.check().unwrap_err().what, "people");
        let nowhere = Spec { zones: weights(&[("Asia/Tokyo", 0.0)]), ..Spec::demo() };
        assert_eq!(nowhere.check().unwrap_err().what, "zones");
    }
}
