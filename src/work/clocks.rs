//! By which tables clocks are told, for those who watch: release, source, and whether they are old.

use serde::Serialize;

use crate::calendar::zone;
use crate::model::time::Instant;

/// The tables of the tz database in use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ZoneTables {
    /// Release and source.
    #[serde(flatten)]
    pub tables: zone::Tables,
    /// Whether they are more than a year old: somewhere clocks may have been changed since.
    pub outdated: bool,
}

impl ZoneTables {
    /// Those in use, judged at `now`.
    pub fn at(now: Instant) -> Self {
        let tables = zone::tables().clone();
        let outdated = tables.is_outdated(now);
        Self { tables, outdated }
    }

    /// What somebody should do about them.
    pub fn warning(&self) -> Option<&'static str> {
        self.outdated.then_some(
            "The time zones are more than a year old: install a newer tzdata or opportune, or \
             clocks that were changed since are told wrong",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_more_than_a_year_call_for_newer_ones() {
        let year: i32 = zone::tables().release.to_string()[..4].parse().unwrap();
        let at = |year: i32| format!("{year}-06-01T12:00:00Z").parse().unwrap();
        let young = ZoneTables::at(at(year));
        assert_eq!((young.outdated, young.warning()), (false, None));
        let old = ZoneTables::at(at(year + 2));
        assert!(old.outdated && old.warning().unwrap().contains("newer tzdata"));
        let told = serde_json::to_value(&old).unwrap();
        assert_eq!(told["outdated"], true);
        assert_eq!(told["release"], zone::tables().release.to_string());
    }
}
