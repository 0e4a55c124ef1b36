//! Preferences become plans: new campaigns are planned whole, and whoever lost a slot gets a new
//! decision.
//!
//! - [`inputs`]: reads what plans are made of, and asks the planner
//! - `prices`: what messages cost
//! - `stored`: what is stored of the people of a plan
//! - [`taken`]: what is taken already of slots, of people's patience and of a provider's
//! - [`campaign_plan`]: a plan as it is stored, and in figures
//! - [`record`]: how right forecasts were, for the next one
//!
//! One node plans at a time, by a lease. What is claimed, sent or ended is kept and counts against
//! the limits. A plan is made from what is read and stored afterwards; a row that was claimed
//! in between stays as it is.

mod addresses;
pub mod campaign_plan;
pub mod inputs;
mod prices;
pub mod record;
mod stored;
pub mod taken;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;

use super::leadership::{PLANNING, lead};
use super::learn::LearnError;
use super::segments::SegmentError;
use super::{Ctx, Report, StepEnv, fallbacks, holdout, occurrences};
use crate::calendar::window;
use crate::model::campaign::Campaign;
use crate::model::delivery::Delivery;
use crate::model::ids::{Name, RecipientKey};
use crate::model::recipient::Recipient;
use crate::model::slot::Slot;
use crate::model::time::format_instant;
use crate::plan::{self, Explanation, SlotLoad};
use crate::store::{CampaignRow, CampaignStatus, StoreError, Term, Tx};

pub use campaign_plan::{CampaignPlan, Spend, Summary, local_time};
pub use inputs::PlanInputs;
pub use record::Expected;

/// Messages are sent within seconds of their moment. When one is later than this, the daemon was
/// away or the provider cannot keep up: all that is late gets a new decision, in place of a burst.
const ABSENCE: TimeDelta = TimeDelta::minutes(15);
/// What is less late than this after an absence goes out as planned.
const PUNCTUAL: TimeDelta = TimeDelta::minutes(1);

/// Why there is no new plan. What was planned before holds.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// People or habits could not be read.
    #[error("could not read what a plan is made of")]
    Read(#[from] LearnError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be told who is of the audience.
    #[error("could not tell who is meant")]
    Audience(#[from] SegmentError),
    /// Another process is planning.
    #[error("another process is planning in this database")]
    Busy,
    /// The settings have no such provider.
    #[error("campaign {campaign}: the settings have no [provider.{provider}]")]
    NoProvider {
        /// Of this campaign.
        campaign: Name,
        /// Which it names.
        provider: Name,
    },
    /// The planner's thread ended without a word.
    #[error("the planner stopped unexpectedly")]
    Panicked,
}

impl PlanError {
    /// What went wrong, for logs and `status`: nothing that is stored.
    pub fn outline(&self) -> String {
        match self {
            Self::Store(error) => error.outline(),
            Self::Read(error) => format!("{self}: {}", error.outline()),
            Self::Audience(error) => format!("{self}: {}", error.outline()),
            error => error.to_string(),
        }
    }
}

/// Whom a plan decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanScope {
    /// The whole audience, without those who are claimed, sent or ended.
    Everybody,
    /// Those who wait for a new decision.
    Undecided,
}

/// Plans every active campaign that needs it. What fails for one provider keeps no other back; the
/// last failure is told once all had their turn.
pub async fn run(ctx: &Ctx) -> Result<Report, PlanError> {
    let mut open = ctx.store.read().await?.open_campaigns().await?.rows;
    let occurred = occurrences::bring_in(ctx, &open).await?;
    let taken_over = Box::pin(fallbacks::bring_in(ctx, &open)).await?;
    let mut reader = ctx.store.read().await?;
    if occurred + taken_over > 0 {
        // runs and fallbacks may be new
        open = reader.open_campaigns().await?.rows;
    }
    let mut needy: BTreeMap<Name, Vec<(CampaignRow, PlanScope)>> = BTreeMap::new();
    let version = reader.active_version().await?;
    for row in open {
        if row.status != CampaignStatus::Active || row.is_standing() {
            continue;
        }
        let scope = if row.planned_at.is_none() || row.model != version {
            PlanScope::Everybody
        } else if reader.undecided_count(row.id).await? > 0 {
            PlanScope::Undecided
        } else {
            continue;
        };
        needy.entry(row.campaign.provider.clone()).or_default().push((row, scope));
    }
    drop(reader);
    let (mut done, mut failure) = (0, None);
    for (provider, rows) in needy {
        if !ctx.config.providers.contains_key(&provider) {
            tracing::error!(%provider, "the settings have no such provider; not planned");
            continue;
        }
        for rows in one_run_at_a_time(rows) {
            match decide(ctx, rows).await {
                Ok((_, plans)) => {
                    done += plans
                        .iter()
                        .map(|campaign_plan| campaign_plan.plan.deliveries.len())
                        .sum::<usize>();
                }
                Err(PlanError::Busy) => {}
                Err(error) => {
                    tracing::error!(
                        error = error.outline(),
                        %provider,
                        "campaigns of a provider could not be planned"
                    );
                    failure = Some(error);
                }
            }
        }
    }
    failure.map_or(Ok(Report { done, ..Report::default() }), Err)
}

/// Campaigns that are planned together. Of a standing campaign's runs it is one at a time, so that each
/// finds what the others have taken of the limits that they share.
fn one_run_at_a_time(rows: Vec<(CampaignRow, PlanScope)>) -> Vec<Vec<(CampaignRow, PlanScope)>> {
    let mut together: Vec<Vec<(CampaignRow, PlanScope)>> = Vec::new();
    for (row, scope) in rows {
        let has_room = |group: &&mut Vec<(CampaignRow, PlanScope)>| {
            row.parent.is_none() || group.iter().all(|(other, _)| other.parent != row.parent)
        };
        match together.iter_mut().find(has_room) {
            Some(group) => group.push((row, scope)),
            None => together.push(vec![(row, scope)]),
        }
    }
    together
}

/// Plans campaigns of one provider and stores the plans, under the lease.
pub async fn decide(
    ctx: &Ctx,
    rows: Vec<(CampaignRow, PlanScope)>,
) -> Result<(PlanInputs, Vec<CampaignPlan>), PlanError> {
    let stored = lead(ctx, PLANNING, async |term: Term| {
        let (inputs, plans) = dry_run(ctx, rows).await?;
        let mut tx = ctx.store.begin().await?;
        tx.hold_term(&term).await?;
        holdout::note_begin(ctx, &mut tx).await?;
        tx.commit().await?;
        for campaign_plan in &plans {
            campaign_plan.store(ctx, &term, inputs.model_version()).await?;
        }
        Ok::<_, PlanError>((inputs, plans))
    });
    stored.await?.ok_or(PlanError::Busy)
}

/// Why a campaign is not planned when somebody asks for it, in words.
pub fn why_not(row: &CampaignRow) -> Option<String> {
    let name = &row.campaign.name;
    if !matches!(row.status, CampaignStatus::Active | CampaignStatus::Paused) {
        return Some(format!("campaign {name} is {}", row.status));
    }
    row.is_standing().then(|| {
        format!(
            "campaign {name} waits for its occasions; its runs are planned by themselves, as \
             {name}.DAY"
        )
    })
}

/// The same plans, stored nowhere.
pub async fn dry_run(
    ctx: &Ctx,
    rows: Vec<(CampaignRow, PlanScope)>,
) -> Result<(PlanInputs, Vec<CampaignPlan>), PlanError> {
    Box::pin(PlanInputs::open(ctx, rows)).await?.plan().await
}

/// What the plan of a campaign would be that is not stored.
pub async fn forecast(
    ctx: &Ctx,
    campaign: Campaign,
) -> Result<(PlanInputs, CampaignPlan), PlanError> {
    let now = ctx.clock.now();
    let row = CampaignRow {
        // no stored campaign has it
        id: -1,
        parent: None,
        fallback_of: None,
        ends_at: window::ends_at(&campaign.window),
        campaign: Arc::new(campaign),
        status: CampaignStatus::Active,
        submitted_at: now,
        planned_at: None,
        model: None,
        plan: None,
        closed_at: None,
        summary: None,
    };
    let (inputs, mut plans) = dry_run(ctx, vec![(row, PlanScope::Everybody)]).await?;
    Ok((inputs, plans.pop().expect("one campaign makes one plan")))
}

/// Why a campaign gives a person what it gives: what is stored of it, else what a plan would decide
/// now. `None` for who is not of its audience.
pub async fn explain(
    ctx: &Ctx,
    row: CampaignRow,
    recipient: &Recipient,
) -> Result<Option<Explanation>, PlanError> {
    let length = ctx.config.slot_length;
    let stored = ctx.store.read().await?.delivery(row.id, recipient.id, length).await?;
    let Some(stored) = stored.filter(|stored| !stored.is_undecided()) else {
        let scope =
            if row.planned_at.is_some() { PlanScope::Undecided } else { PlanScope::Everybody };
        let (inputs, plans) = dry_run(ctx, vec![(row, scope)]).await?;
        return Ok(plans.first().and_then(|campaign_plan| {
            let slots = campaign_plan.plan.slots.as_slice();
            let of = |delivery: &&Delivery| delivery.recipient == recipient.id;
            let decided = campaign_plan.plan.deliveries.iter().find(of)?;
            inputs.explain(&recipient.key, decided, slots)
        }));
    };
    let then = row.planned_at.unwrap_or(ctx.clock.now()).min(stored.changed_at);
    let slots = ctx.store.read().await?.plan_slots(row.id).await?;
    let slots = slots.into_iter().map(|slot| SlotLoad {
        slot: Slot::holding(slot.start, length),
        capacity: slot.capacity.map(|capacity| capacity as u32),
        reserved: slot.reserved as u32,
        planned: slot.planned as u32,
        price: slot.price,
    });
    let slots: Vec<SlotLoad> = slots.collect();
    let told = ctx.store.read().await?.failure(row.id, recipient.id).await?;
    let inputs = PlanInputs::of_one(ctx, row, recipient.id, then).await?;
    let explained = inputs.explain(&recipient.key, &stored.delivery, &slots);
    Ok(explained.map(|explanation| Explanation { failure: told, ..explanation }))
}

/// Why a campaign gives a person what it gives, in sentences.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Explained {
    /// The campaign.
    pub campaign: Name,
    /// The caller's id of the person.
    pub recipient: RecipientKey,
    /// A sentence a line.
    pub explanation: String,
}

/// As [`explain`], in sentences.
pub async fn explain_in_words(
    ctx: &Ctx,
    row: CampaignRow,
    recipient: &Recipient,
) -> Result<Option<Explained>, PlanError> {
    let campaign = row.campaign.name.clone();
    let explanation = if row.is_standing() {
        explain_occurrences(ctx, &row, recipient).await?
    } else {
        explain_with_fallbacks(ctx, row, recipient).await?
    };
    let recipient = recipient.key.clone();
    Ok(explanation.map(|explanation| Explained { campaign, recipient, explanation }))
}

/// What a campaign gives a person, and what other channels took over from it.
async fn explain_with_fallbacks(
    ctx: &Ctx,
    row: CampaignRow,
    recipient: &Recipient,
) -> Result<Option<String>, PlanError> {
    let mut next = Some(row);
    let mut told = String::new();
    while let Some(row) = next {
        let (id, provider) = (row.id, row.campaign.provider.clone());
        let taken_over = row.fallback_of.is_some();
        if taken_over {
            let length = ctx.config.slot_length;
            let known = ctx.store.read().await?.delivery(id, recipient.id, length).await?;
            if known.is_none() {
                break;
            }
            told.push_str(&format!("\nFallback to {provider}:\n"));
        }
        let Some(explanation) = explain(ctx, row, recipient).await? else { break };
        told.push_str(&explanation.to_string());
        let mut reader = ctx.store.read().await?;
        next = match reader.fallback_to(id).await? {
            Some(fallback) => reader.campaign_by_id(fallback).await?,
            None => None,
        };
    }
    Ok(Some(told).filter(|told| !told.is_empty()))
}

/// Of a standing campaign: what a person is or was written about, the newest first.
async fn explain_occurrences(
    ctx: &Ctx,
    row: &CampaignRow,
    recipient: &Recipient,
) -> Result<Option<String>, PlanError> {
    const TOLD_MAX: usize = 10;
    let mut reader = ctx.store.read().await?;
    let mut found = reader.occurrences(row.id, &[recipient.id]).await?;
    drop(reader);
    found.sort_by_key(|row| std::cmp::Reverse(row.occurrence.event_at));
    let mut told = String::new();
    for occurrence in found.into_iter().take(TOLD_MAX).map(|row| row.occurrence) {
        let at = format_instant(occurrence.event_at);
        told.push_str(&format!("{} {}, at {at}:\n", row.campaign.name, occurrence.key));
        let run = match (occurrence.refused, occurrence.run) {
            (None, Some(run)) => ctx.store.read().await?.campaign_by_id(run).await?,
            _ => None,
        };
        let explained = match run {
            Some(run) => explain_with_fallbacks(ctx, run, recipient).await?,
            None => None,
        };
        match (explained, occurrence.refused) {
            (Some(explanation), _) => told.push_str(&explanation),
            (None, Some(reason)) => {
                told.push_str(&format!("Refused: {}.\n", plan::reason_sentence(reason)));
            }
            (None, None) => {}
        }
    }
    Ok(Some(told).filter(|told| !told.is_empty()))
}

/// Has everything of a campaign that is late decided about anew, where something is so late that
/// the daemon must have been away; after a pause, whatever is late at all. Returns how many.
pub async fn reschedule(
    env: &StepEnv,
    tx: &mut Tx,
    row: &CampaignRow,
    resumed: Resumed,
) -> Result<u64, StoreError> {
    let now = env.clock.now();
    let late = now - PUNCTUAL;
    let most = TimeDelta::from_std(env.config.max_lateness).unwrap_or(ABSENCE).min(ABSENCE);
    let oldest = match resumed {
        Resumed::FromPause => late,
        Resumed::Unknown => now - most,
    };
    if tx.next_due(row.id).await?.is_none_or(|due| due > oldest) {
        return Ok(0);
    }
    let moved = tx.reopen_late(row.id, late, now).await?;
    if moved > 0 {
        tracing::info!(campaign = %row.campaign.name, moved, "late messages get a new decision");
    }
    Ok(moved)
}

/// Whether a campaign is known to have stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// An operator resumed it.
    FromPause,
    /// Only its messages tell.
    Unknown,
}
