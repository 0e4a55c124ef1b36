//! Campaigns' files as they were parsed: they do not change once they are stored, and reading them
//! again costs more than everything else that a claim does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::Invalid;
use crate::model::campaign::{Campaign, RunWindow};
use crate::model::ids::Name;
use crate::model::reply::Intent;

/// Parsed files by our number of the campaign, shared by every handle of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct CampaignCache(Arc<Mutex<HashMap<i64, Arc<Campaign>>>>);

/// What a run or a fallback has of its own, over the file of the campaign that it belongs to.
pub(super) struct OwnPart {
    pub(super) name: Name,
    /// Of a run, and of what it falls back to.
    pub(super) window: Option<RunWindow>,
    /// Of a fallback: the provider that carries it.
    pub(super) provider: Option<Name>,
}

impl CampaignCache {
    fn known(&self) -> MutexGuard<'_, HashMap<i64, Arc<Campaign>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: i64) -> Option<Arc<Campaign>> {
        self.known().get(&id).cloned()
    }

    /// Parses a campaign's file and keeps it; `own` is what a run or a fallback has of its own.
    pub(super) fn parse(
        &self,
        id: i64,
        source: &str,
        own: OwnPart,
    ) -> Result<Arc<Campaign>, Invalid> {
        let mut campaign = Campaign::from_toml(source)
            .map_err(|error| Invalid::new("source", error, "a campaign of this version"))?;
        if let Some(provider) = &own.provider {
            let wanted = "a provider that the campaign falls back to";
            let unknown = || Invalid::new("provider", provider, wanted);
            campaign = campaign.carried_by(provider).ok_or_else(unknown)?;
        }
        if let Some(RunWindow(window)) = own.window {
            campaign.window = window;
        }
        campaign.name = own.name;
        let campaign = Arc::new(campaign);
        self.known().insert(id, Arc::clone(&campaign));
        Ok(campaign)
    }
}

/// What tells one state of the labels of replies from another: how many there are, when the last was
/// given, and a sum over them that corrections at one instant change too.
pub(super) type LabelState = (i64, Option<i64>, i64);

type Labels = Arc<Vec<(String, Intent)>>;

/// The labels of replies as they were last read.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelCache(Arc<Mutex<Option<(LabelState, Labels)>>>);

impl LabelCache {
    /// The labels, where they are still in this state.
    pub(super) fn get(&self, state: LabelState) -> Option<Labels> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(known, _)| *known == state).map(|(_, labels)| Arc::clone(labels))
    }

    pub(super) fn keep(&self, state: LabelState, labels: &Labels) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((state, Arc::clone(labels)));
    }
}
