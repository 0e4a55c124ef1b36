//! What is counted of a campaign's people; of a standing campaign, what its runs add up to.

use serde::{Deserialize, Serialize};

use super::experiment::GROUPS_MAX;
use crate::model::campaign::Campaign;
use crate::model::delivery::State;
use crate::model::time::Instant;
use crate::store::{
    ArmCount, BandCount, CampaignRow, Experiment, Reader, SpendSums, StateCount, StoreError,
};

/// Codes that a summary lists.
const CODES_LISTED_MAX: usize = 20;

/// How many people failed or were refused with a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailureCount {
    /// The channel's code.
    pub code: String,
    /// How many.
    pub people: u64,
    /// What the code means, where the channel's table or the channel says so.
    #[serde(default)]
    pub text: Option<String>,
}

/// What is counted of a campaign's people; of a closed one it was when it closed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) states: Vec<StateCount>,
    pub(super) arms: Vec<ArmCount>,
    /// Campaigns that older versions closed have none.
    #[serde(default)]
    pub(super) bands: Vec<BandCount>,
    pub(super) failures: Vec<FailureCount>,
    /// Campaigns that older versions closed have none.
    #[serde(default)]
    pub(super) experiment: Option<Experiment>,
    #[serde(default)]
    pub(super) spend: SpendSums,
}

impl Sums {
    pub(super) fn add(&mut self, other: Self) {
        self.spend.add(&other.spend);
        for count in other.states {
            let same = |c: &&mut StateCount| c.state == count.state && c.reason == count.reason;
            match self.states.iter_mut().find(same) {
                Some(known) => known.people += count.people,
                None => self.states.push(count),
            }
        }
        for count in other.arms {
            match self.arms.iter_mut().find(|known| known.arm == count.arm) {
                Some(known) => known.add(&count),
                None => self.arms.push(count),
            }
        }
        for count in other.bands {
            match self.bands.iter_mut().find(|known| known.band == count.band) {
                Some(known) => known.add(&count),
                None => self.bands.push(count),
            }
        }
        for count in other.failures {
            match self.failures.iter_mut().find(|known| known.code == count.code) {
                Some(known) => known.people += count.people,
                None => self.failures.push(count),
            }
        }
    }
}

/// How much of a campaign is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Everything.
    All,
    /// Where its people stand and why they failed: all that a list of campaigns shows.
    States,
}

/// What the runs of a standing campaign add up to, and the occurrences that are in none.
async fn sums_of_runs(
    reader: &mut Reader,
    row: &CampaignRow,
    now: Instant,
    what: Counted,
) -> Result<Sums, StoreError> {
    let mut all = Sums::default();
    for id in reader.runs_of(row.id).await? {
        let Some(run) = reader.campaign_by_id(id).await? else { continue };
        all.add(Box::pin(sums(reader, &run, now, what)).await?);
    }
    for (reason, people) in reader.refused_occurrences(row.id).await? {
        let states = vec![StateCount { state: State::Refused, reason, people }];
        all.add(Sums { states, ..Sums::default() });
    }
    let Campaign { goal, within, .. } = *row.campaign;
    if row.campaign.arms.personalized < 1.0 {
        let of_runs = reader.experiment_of_runs(row.id, goal, within, now, GROUPS_MAX);
        all.experiment = Some(of_runs.await?);
    }
    all.states.sort_by_key(|count| (count.state.as_str(), count.reason.as_str()));
    all.bands.sort_by_key(|count| count.band);
    all.failures.sort_by_key(|count| std::cmp::Reverse(count.people));
    Ok(all)
}

/// Counts a campaign's people.
pub(super) async fn sums(
    reader: &mut Reader,
    row: &CampaignRow,
    now: Instant,
    what: Counted,
) -> Result<Sums, StoreError> {
    let kept = row.summary.as_deref().and_then(|sums| serde_json::from_str(sums).ok());
    if let Some(sums) = kept {
        return Ok(sums);
    }
    if row.is_standing() {
        return sums_of_runs(reader, row, now, what).await;
    }
    let failures = reader.failure_counts(row.id, CODES_LISTED_MAX).await?;
    let failure = |(code, people, text)| FailureCount { code, people, text };
    let failures = failures.into_iter().map(failure).collect();
    let states = reader.state_counts(row.id).await?;
    if what == Counted::States {
        return Ok(Sums { states, failures, ..Sums::default() });
    }
    let Campaign { goal, within, .. } = *row.campaign;
    let experiment = if row.campaign.arms.personalized < 1.0 {
        Some(reader.experiment(row.id, goal, within, now, GROUPS_MAX).await?)
    } else {
        None
    };
    let (arms, bands) = reader.arm_counts(row.id, goal, within, now).await?;
    Ok(Sums { states, arms, bands, spend: reader.spend_of(row.id).await?, failures, experiment })
}
