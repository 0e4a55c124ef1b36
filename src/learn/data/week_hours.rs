//! From instants to hours of a person's own week. Knows nothing of slots, rules or people.

use chrono_tz::Tz;

use crate::calendar::zone;
use crate::model::preference::WEEK_HOURS;

/// A number for each hour of the local week.
pub(in crate::learn) type WeekRates = [f32; WEEK_HOURS];

/// The offsets of one zone, found once for all instants of a person.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct ZoneOffsets(&'static zone::Offsets);

impl ZoneOffsets {
    /// Those of a zone, by the tables in use.
    pub(in crate::learn) fn of(zone: Tz) -> Self {
        Self(zone::offsets(zone))
    }

    /// Whole local hours since Monday 1969-12-29 00:00 on the zone's own clock.
    pub(in crate::learn) fn hour(self, at: u32) -> i64 {
        let at = i64::from(at);
        (at + self.0.at(at)).div_euclid(3600) + 72
    }
}

/// The hour of the week, 0 to 167, of a count of local hours.
pub(in crate::learn) fn week_hour(hour: i64) -> usize {
    hour.rem_euclid(168) as usize
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use chrono_tz::TZ_VARIANTS;

    use super::*;
    use crate::learn::data::evidence::Evidence;
    use crate::learn::data::observations::TimeSpan;
    use crate::learn::data::observed::{Contents, Presence, PresenceKind};
    use crate::learn::data::subject::Subject;
    use crate::learn::infer::model::Model;

    #[test]
    fn every_zone_shows_the_hour_that_the_calendar_tells_from_2024_to_2030() {
        let start = 1_704_067_200u32;
        for zone in TZ_VARIANTS {
            let offsets = ZoneOffsets::of(zone);
            for step in 0..7 * 366 {
                let at = start + step * 86_400 + (step % 24) * 3600 + 1799;
                let instant = DateTime::from_timestamp(i64::from(at), 0).unwrap();
                let hour = week_hour(offsets.hour(at));
                assert_eq!(hour, zone::week_hour(instant, zone), "{zone} {instant}");
            }
        }
    }

    /// Evidence holds instants, so that a newer release of the tables needs nothing folded anew:
    /// the hours are read from it when they are asked for.
    #[test]
    fn what_was_seen_is_seen_in_the_hours_of_today_s_tables() {
        // British Columbia stays at UTC-7 since 2026; by tables of 2025 it was 18:30 on a Monday
        let at: DateTime<chrono::Utc> = "2026-12-15T02:30:00Z".parse().unwrap();
        let mut folded = Evidence::default();
        folded.fold(&[], &[Presence { at, kind: PresenceKind::Session }]);
        let evidence = Evidence::from_bytes(folded.as_bytes()).unwrap();
        let model = Model::empty(Contents::default(), at, 1);
        let span = TimeSpan { from: 0, until: u32::MAX };
        for (zone, hour) in [
            (Tz::America__Vancouver, 19),
            (Tz::America__Los_Angeles, 18),
            (Tz::America__Winnipeg, 21),
            (Tz::America__Havana, 22),
            (Tz::Africa__Casablanca, 26),
        ] {
            let subject = Subject { zone, country: None, tags: &[], evidence: &evidence };
            let presences = subject.observations(span, &model.reporting).presences;
            let hours: Vec<_> = presences.iter().map(|presence| presence.hour).collect();
            assert_eq!(hours, [hour], "{zone}");
        }
    }
}
