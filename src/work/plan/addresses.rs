//! People who share an address: one of them gets a campaign's message, and what was sent to it counts
//! for all of them.

use std::collections::{HashMap, HashSet};

use super::PlanScope;
use super::inputs::PlanInputs;
use super::stored::{StoredPeople, is_open};
use crate::model::campaign::Campaign;
use crate::model::delivery::State;
use crate::model::frequency::RecentSend;
use crate::model::ids::RecipientId;
use crate::model::phone::same_number_key;
use crate::model::recipient::Recipient;
use crate::store::DeliveryRow;
use crate::work::addresses::address_with;

impl PlanInputs {
    /// Who of the chosen has an address, in any of its forms, to which somebody else is written: who
    /// was written to or keeps a place, else the first who may be written to.
    pub(super) fn doubles(
        &self,
        campaign: &Campaign,
        found: &StoredPeople,
        scope: PlanScope,
        chosen: &[usize],
    ) -> HashSet<RecipientId> {
        let provider = self.provider(campaign);
        let key = |recipient: &Recipient| {
            let address = address_with(provider?, &recipient.profile).ok()?;
            Some(same_number_key(&address))
        };
        let mut written: HashMap<String, RecipientId> = HashMap::new();
        let stays = |row: &&DeliveryRow| {
            let gets = !matches!(row.delivery.state, State::Refused | State::Cancelled);
            gets && !is_open(row, scope)
        };
        for row in found.rows.iter().filter(stays) {
            let id = row.delivery.recipient;
            let at = self.people.recipients.binary_search_by_key(&id, |recipient| recipient.id);
            if let Some(key) = at.ok().and_then(|at| key(&self.people.recipients[at])) {
                written.entry(key).or_insert(id);
            }
        }
        let mut doubles = HashSet::new();
        for recipient in chosen.iter().map(|index| &self.people.recipients[*index]) {
            if !recipient.consented || self.suppressed.contains_key(&recipient.id) {
                continue;
            }
            let Some(key) = key(recipient) else { continue };
            if *written.entry(key).or_insert(recipient.id) != recipient.id {
                doubles.insert(recipient.id);
            }
        }
        doubles
    }

    pub(super) fn share_taken(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let mut alike: HashMap<String, Vec<RecipientId>> = HashMap::new();
        for recipient in &self.people.recipients {
            if let Some(address) = &recipient.profile.address {
                alike.entry(same_number_key(address)).or_default().push(recipient.id);
            }
        }
        for people in alike.into_values().filter(|people| people.len() > 1) {
            let all: Vec<RecentSend> =
                people.iter().filter_map(|id| self.taken.get(id)).flatten().copied().collect();
            if !all.is_empty() {
                self.taken.extend(people.into_iter().map(|id| (id, all.clone())));
            }
        }
    }
}
