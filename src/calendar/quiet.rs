//! What forbids an instant for one group of people, and who forbids it: the campaign's quiet hours,
//! the workspace's, and the laws of the country. Owns every question "may this be sent then?" that
//! does not depend on consent or capacity.
//!
//! A span is forbidden if any moment of it is, on whatever clock the rule reads.

use std::fmt;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

use super::holidays::Holidays;
use super::law::{Case, DAY_MINUTES, Law, MinuteSpan};
use super::rules::Rules;
use super::zone::stretches;
use crate::model::campaign::{CampaignQuiet, QuietHours};
use crate::model::time::Instant;

/// Who forbids an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ban {
    /// The campaign's own quiet hours.
    Campaign(QuietHours),
    /// The workspace's quiet hours.
    Workspace(QuietHours),
    /// A law of the recipient's country.
    Country(Arc<Law>),
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Campaign(hours) => write!(f, "quiet hours of the campaign, {}", Clock(*hours)),
            Self::Workspace(hours) => write!(f, "quiet hours of the workspace, {}", Clock(*hours)),
            Self::Country(law) => law.fmt(f),
        }
    }
}

struct Clock(QuietHours);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.0.start_minute, self.0.end_minute);
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

/// Everything that keeps a group of people undisturbed: those who share country and region, in one
/// campaign. Cheap to clone; the zone is asked with each question.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    bans: Vec<(Ban, Arc<Holidays>)>,
}

impl Quiet {
    /// What holds in a case. The campaign may lift its own and the workspace's hours, never a law.
    pub fn new(
        rules: &Rules,
        case: Case<'_>,
        campaign: CampaignQuiet,
        workspace: Option<QuietHours>,
    ) -> Self {
        let own = match campaign {
            CampaignQuiet::Add(hours) => Some(Ban::Campaign(hours)),
            CampaignQuiet::Inherit | CampaignQuiet::Lift => None,
        };
        let workspace = workspace.filter(|_| campaign != CampaignQuiet::Lift).map(Ban::Workspace);
        let no_holidays = Arc::new(Holidays::default());
        let daily = own.into_iter().chain(workspace).map(|ban| (ban, Arc::clone(&no_holidays)));
        let laws = rules.binding(case).map(|(law, holidays)| (Ban::Country(law), holidays));
        Self { bans: laws.chain(daily).collect() }
    }

    /// Adds the laws of another case: a person's number may belong to another country than the one
    /// that is given, and the law of either binds.
    #[must_use]
    pub fn with_laws(mut self, rules: &Rules, case: Case<'_>) -> Self {
        for (law, holidays) in rules.binding(case) {
            let ban = (Ban::Country(law), holidays);
            if !self.bans.contains(&ban) {
                self.bans.insert(0, ban);
            }
        }
        self
    }

    /// Who forbids an instant to people in a zone; laws are named first.
    pub fn forbids_at(&self, at: Instant, tz: Tz) -> Option<&Ban> {
        self.forbids_span(at, at + TimeDelta::nanoseconds(1), tz)
    }

    /// Who forbids any moment from `from` up to but not including `to`; laws are named first.
    pub fn forbids_span(&self, from: Instant, to: Instant, tz: Tz) -> Option<&Ban> {
        let forbids = |(ban, holidays): &&(Ban, Arc<Holidays>)| {
            forbidden(ban, holidays, from, to, tz).next().is_some()
        };
        self.bans.iter().find(forbids).map(|(ban, _)| ban)
    }

    /// The forbidden spans between two instants: in order for each ban, one ban after the other.
    pub(super) fn forbidden_spans(
        &self,
        from: Instant,
        to: Instant,
        tz: Tz,
    ) -> impl Iterator<Item = (Instant, Instant)> {
        self.bans.iter().flat_map(move |(ban, holidays)| forbidden(ban, holidays, from, to, tz))
    }
}

/// The spans between two instants that one ban forbids, in order and none empty.
fn forbidden<'a>(
    ban: &'a Ban,
    holidays: &'a Holidays,
    from: Instant,
    to: Instant,
    tz: Tz,
) -> impl Iterator<Item = (Instant, Instant)> + 'a {
    let clock = match ban {
        Ban::Country(law) => law.zone.unwrap_or(tz),
        Ban::Campaign(_) | Ban::Workspace(_) => tz,
    };
    stretches(from, to, clock).flat_map(move |stretch| {
        minutes(ban, holidays, stretch.date)
            .map(move |(first, past)| stretch.between(first, past))
            .filter(|(from, to)| from < to)
    })
}

/// The minutes of a local day that a ban forbids.
fn minutes<'a>(
    ban: &'a Ban,
    holidays: &Holidays,
    date: NaiveDate,
) -> impl Iterator<Item = MinuteSpan> + use<'a> {
    let (daily, by_law): ([MinuteSpan; 2], &[MinuteSpan]) = match ban {
        Ban::Campaign(hours) | Ban::Workspace(hours) => (daily(*hours), &[]),
        Ban::Country(law) => ([(0, 0); 2], law.forbidden_on(date, holidays)),
    };
    daily.into_iter().chain(by_law.iter().copied())
}

/// Quiet hours as spans of one day; the second is empty unless they go over midnight.
fn daily(hours: QuietHours) -> [MinuteSpan; 2] {
    let (start, end) = (hours.start_minute, hours.end_minute);
    if start <= end { [(start, end), (0, 0)] } else { [(0, end), (start, DAY_MINUTES)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::infer::infer;
    use crate::model::content::Category;
    use crate::model::recipient::Country;
    use chrono_tz::{America, Asia, Europe, Indian, Pacific};

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn law(country: &str, region: Option<&str>, channel: &str, category: Category) -> Quiet {
        let country: Country = country.parse().unwrap();
        let case = Case { country: Some(&country), region, channel, category };
        Quiet::new(&Rules::built_in(), case, CampaignQuiet::Lift, None)
    }

    fn marketing(country: &str, region: Option<&str>) -> Quiet {
        law(country, region, "whatsapp", Category::Marketing)
    }

    fn hours(start: &str, end: &str) -> QuietHours {
        QuietHours::parse(start, end).unwrap()
    }

    fn own(campaign: CampaignQuiet, workspace: Option<QuietHours>) -> Quiet {
        let case =
            Case { country: None, region: None, channel: "http", category: Category::Utility };
        Quiet::new(&Rules::built_in(), case, campaign, workspace)
    }

    #[test]
    fn france_rests_at_night_on_sundays_and_on_holidays() {
        let quiet = marketing("FR", None);
        let forbidden = |text| quiet.forbids_at(at(text), Europe::Paris).is_some();
        assert!(forbidden("2026-11-23T06:59:59Z") && !forbidden("2026-11-23T07:00:00Z"));
        assert!(!forbidden("2026-11-23T20:59:59Z") && forbidden("2026-11-23T21:00:00Z"));
        assert!(forbidden("2026-11-22T11:00:00Z"), "a Sunday");
        assert!(forbidden("2026-11-11T11:00:00Z"), "the Armistice");
        assert!(forbidden("2026-04-06T11:00:00Z"), "Easter Monday");
        assert!(forbidden("2026-05-14T11:00:00Z"), "Ascension");
        assert!(forbidden("2026-05-25T11:00:00Z"), "Whit Monday");
        assert!(!forbidden("2026-05-26T11:00:00Z"));
        let in_reunion = marketing("RE", None);
        assert!(in_reunion.forbids_at(at("2027-12-20T08:00:00Z"), Indian::Reunion).is_some());
        assert!(!forbidden("2027-12-20T08:00:00Z"), "Réunion's own day");
    }

    #[test]
    fn a_state_adds_to_the_federal_law_where_the_number_tells_it() {
        let of_number = |number: &str| infer(None, Some(&number.parse().unwrap())).unwrap();
        let dallas = of_number("+12145550123");
        let texas = marketing("US", dallas.region);
        let unknown = marketing("US", None);
        let sunday_11 = at("2026-11-22T17:00:00Z");
        let ban = texas.forbids_at(sunday_11, dallas.tz).unwrap().to_string();
        assert_eq!(ban, "country rule us-tx (state law of Texas, as summarised by appfueled.com)");
        assert!(unknown.forbids_at(sunday_11, dallas.tz).is_none());
        let monday_7 = at("2026-11-23T13:00:00Z");
        let ban = unknown.forbids_at(monday_7, dallas.tz).unwrap().to_string();
        assert!(ban.starts_with("country rule us-federal (47 CFR 64.1200(c)(1)"), "{ban}");
        assert!(
            marketing("US", Some("RI"))
                .forbids_at(at("2026-11-23T23:30:00Z"), America::New_York)
                .is_some()
        );
    }

    #[test]
    fn a_law_binds_the_channels_and_categories_that_it_names() {
        let night = at("2026-11-23T01:00:00Z");
        let binds = |country: &str, tz, channel, category| {
            law(country, None, channel, category).forbids_at(night, tz).is_some()
        };
        for channel in ["sms", "whatsapp", "http", "simulated"] {
            assert!(binds("AE", Asia::Dubai, channel, Category::Marketing), "{channel}");
            assert!(!binds("AE", Asia::Dubai, channel, Category::Utility), "{channel}");
        }
        assert!(!binds("AE", Asia::Dubai, "console", Category::Marketing));
        assert!(binds("IN", Asia::Kolkata, "sms", Category::Marketing));
        assert!(!binds("IN", Asia::Kolkata, "whatsapp", Category::Marketing), "outside DLT");
        assert!(!binds("DE", Europe::Berlin, "whatsapp", Category::Marketing));
    }

    #[test]
    fn a_law_with_a_clock_of_its_own_is_read_on_it() {
        let india = law("IN", None, "sms", Category::Marketing);
        let nine_in_delhi = at("2026-11-23T03:30:00Z");
        assert!(india.forbids_at(nine_in_delhi, America::New_York).is_none());
        let before = nine_in_delhi - TimeDelta::seconds(1);
        assert!(india.forbids_at(before, America::New_York).is_some());
    }

    #[test]
    fn a_campaign_lifts_its_own_and_the_workspace_s_hours_but_never_a_law() {
        let night = at("2026-11-23T23:00:00Z");
        let workspace = Some(hours("21:00", "08:00"));
        let ban = |campaign| own(campaign, workspace).forbids_at(night, Tz::UTC).cloned();
        assert_eq!(ban(CampaignQuiet::Inherit), Some(Ban::Workspace(hours("21:00", "08:00"))));
        assert_eq!(ban(CampaignQuiet::Lift), None);
        assert!(marketing("FR", None).forbids_at(night, Europe::Paris).is_some());
        let added = own(CampaignQuiet::Add(hours("12:00", "13:00")), workspace);
        assert!(added.forbids_at(night, Tz::UTC).is_some());
        let noon = added.forbids_at(at("2026-11-23T12:30:00Z"), Tz::UTC).unwrap();
        assert_eq!(noon.to_string(), "quiet hours of the campaign, 12:00-13:00");
    }

    #[test]
    fn hours_over_midnight_hold_from_their_start_up_to_but_not_including_their_end() {
        let quiet = own(CampaignQuiet::Inherit, Some(hours("21:00", "08:00")));
        for (time, forbidden) in [
            ("20:59:59", false),
            ("21:00:00", true),
            ("23:59:59", true),
            ("00:00:00", true),
            ("07:59:59", true),
            ("08:00:00", false),
        ] {
            let at = at(&format!("2026-11-23T{time}Z"));
            assert_eq!(quiet.forbids_at(at, Tz::UTC).is_some(), forbidden, "{time}");
        }
    }

    #[test]
    fn a_span_is_forbidden_if_any_moment_of_it_is() {
        let quiet = own(CampaignQuiet::Add(hours("12:30", "12:31")), None);
        let forbids = |from, to| quiet.forbids_span(at(from), at(to), Tz::UTC).is_some();
        assert!(forbids("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"));
        assert!(!forbids("2026-11-23T12:00:00Z", "2026-11-23T12:30:00Z"));
        assert!(forbids("2026-11-23T12:00:00Z", "2026-11-23T12:30:00.000001Z"));
        assert!(!forbids("2026-11-23T12:31:00Z", "2026-11-24T12:30:00Z"));
        assert!(forbids("2026-11-20T13:00:00Z", "2026-11-24T12:00:00Z"), "days in between");
    }

    #[test]
    fn quiet_hours_hold_both_times_that_the_clock_shows_them() {
        let quiet = own(CampaignQuiet::Add(hours("01:15", "01:45")), None);
        for hour in ["2026-11-01T05", "2026-11-01T06"] {
            let at = |minute: &str| at(&format!("{hour}:{minute}:00Z"));
            assert!(quiet.forbids_span(at("15"), at("45"), America::New_York).is_some());
            assert!(quiet.forbids_at(at("14"), America::New_York).is_none());
            assert!(quiet.forbids_at(at("45"), America::New_York).is_none());
        }
        // in the spring the clock never shows them
        let quiet = own(CampaignQuiet::Add(hours("02:15", "02:45")), None);
        let (from, to) = (at("2026-03-08T05:00:00Z"), at("2026-03-09T05:00:00Z"));
        assert_eq!(quiet.forbids_span(from, to, America::New_York), None);
    }

    #[test]
    fn a_day_that_a_country_skipped_forbids_nothing() {
        let friday = Rules::built_in()
            .with(
                r#"
                [[rule]]
                name = "no-fridays"
                countries = ["WS"]
                categories = ["marketing"]
                channels = ["sms"]
                allowed = ["Sat-Thu 00:00-24:00"]
                until = 2012-01-05
                source = "made up"
                "#,
            )
            .unwrap();
        let samoa: Country = "WS".parse().unwrap();
        let case = Case {
            country: Some(&samoa),
            region: None,
            channel: "sms",
            category: Category::Marketing,
        };
        let quiet = Quiet::new(&friday, case, CampaignQuiet::Inherit, None);
        let forbids = |from, to| quiet.forbids_span(at(from), at(to), Pacific::Apia).is_some();
        // Friday 30 December 2011 was never shown; the rule is out of force on 6 January
        assert!(!forbids("2011-12-29T10:00:00Z", "2012-01-07T00:00:00Z"));
        assert!(forbids("2011-12-24T09:59:00Z", "2011-12-24T10:00:00Z"), "23 December");
    }
}
