//! Spread: the instant of each message within its slot, evenly, in seeded order.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::arms::{hash, mix};
use super::decision::{CampaignDecisions, Decision};
use super::request::{Request, Setting};
use crate::model::time::Instant;

/// When each planned person's message goes, in the order of the decisions; `None` for the refused.
pub(super) fn send_times(
    setting: &Setting<'_>,
    request: &Request<'_>,
    decided: &CampaignDecisions,
) -> Vec<Option<Instant>> {
    let salt = mix(setting.seed ^ hash(&[request.campaign.name.as_str(), "spread"]));
    let mut slots: BTreeMap<u32, Vec<(u64, u32)>> = BTreeMap::new();
    for (person, decision) in decided.decisions.iter().enumerate() {
        if let Decision::Planned(selection) = decision {
            let id = request.people[person].id.0 as u64;
            slots.entry(selection.slot).or_default().push((mix(salt ^ mix(id)), person as u32));
        }
    }
    let mut times = vec![None; decided.decisions.len()];
    let span = setting.length.span().num_microseconds().expect("a slot is at most an hour");
    for (slot, mut people) in slots {
        people.sort_unstable();
        let start = decided.candidates.slots[slot as usize].start(setting.length);
        let count = people.len() as i64;
        for (turn, (_, person)) in people.into_iter().enumerate() {
            // the middle of its part of the slot
            let offset = span * (2 * turn as i64 + 1) / (2 * count);
            times[person as usize] = Some(start + TimeDelta::microseconds(offset));
        }
    }
    times
}
