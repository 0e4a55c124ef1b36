//! What follows from what customer data platforms (Segment, `RudderStack`) post.

use serde::Deserialize;

use crate::model::event::EventKind;
use crate::model::ids::TEXT_MAX;

/// Traits that say something else of a person.
const COLUMNS: [&str; 3] = ["country", "locale", "timezone"];
/// Names in one list.
const NAMES_MAX: usize = 100;

/// What a call means besides the event or the person that it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentSettings {
    /// Events that are purchases, and conversions of the last message before them.
    pub convert: Vec<EventKind>,
    /// Events that are signs of presence.
    pub activity: Vec<EventKind>,
    /// Events by which people withdraw consent.
    pub opt_out: Vec<EventKind>,
    /// The trait that grants consent once it turns true, and withdraws it while it is false; without
    /// it an identify says nothing of consent.
    pub consent_trait: Option<String>,
    /// The traits that hold the address, in order of trial.
    pub address: Vec<String>,
}

impl Default for SegmentSettings {
    fn default() -> Self {
        Self {
            convert: Vec::new(),
            activity: Vec::new(),
            opt_out: Vec::new(),
            consent_trait: None,
            address: ["phone", "email"].map(str::to_owned).to_vec(),
        }
    }
}

impl SegmentSettings {
    pub(super) fn check(&self, wrong: &mut Vec<String>) {
        let lists = [
            ("convert", self.convert.len()),
            ("activity", self.activity.len()),
            ("opt_out", self.opt_out.len()),
            ("address", self.address.len()),
        ];
        for (key, length) in lists.into_iter().filter(|(_, length)| *length > NAMES_MAX) {
            wrong.push(format!("segment.{key}: {length} names are more than {NAMES_MAX}"));
        }
        let consent = self.consent_trait.iter().map(|name| ("consent_trait", name));
        for (key, name) in consent.chain(self.address.iter().map(|name| ("address", name))) {
            let is_name = !name.trim().is_empty() && name.len() <= TEXT_MAX;
            if !is_name || name.contains(char::is_control) {
                wrong.push(format!("segment.{key}: {name:?} is no name of a trait"));
            }
        }
        let told_apart = self.address.iter().map(String::as_str).chain(COLUMNS);
        if let Some(name) = &self.consent_trait
            && told_apart.into_iter().any(|other| other == name)
        {
            wrong.push(format!("segment.consent_trait: {name:?} says something else already"));
        }
        if let Some(name) = self.opt_out.iter().find(|name| self.convert.contains(name)) {
            wrong.push(format!("segment.opt_out: \"{name}\" is in segment.convert as well"));
        }
    }
}
