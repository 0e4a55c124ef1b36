//! A campaign's life besides its plan: checked, submitted, paused, resumed, cancelled, looked at.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::Serialize;

use super::audience::AudienceFilter;
use super::clocks::ZoneTables;
use super::plan::{Resumed, reschedule};
use super::segments::{self, SegmentError};
use super::sums::{Counted, FailureCount, Sums, sums};
use super::{Ctx, audit, fits, links};
use crate::calendar::infer::infer;
use crate::calendar::quiet::Quiet;
use crate::calendar::window;
use crate::model::campaign::{Campaign, CampaignError};
use crate::model::content::{Media, word_type};
use crate::model::delivery::{Reason, State};
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::Locale;
use crate::model::time::Instant;
use crate::store::{
    Alert, BrokenCampaign, CampaignRow, CampaignStatus, Reader, StateCount, StoreError, TaskRow,
    Waiting,
};

/// What waits longer is shown as late.
const LATE_AFTER: TimeDelta = TimeDelta::minutes(1);
/// Recipients whose zones are read at once.
const PAGE: usize = 10_000;

pub use crate::plan::reason_sentence;

/// Why a campaign cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Its file is wrong.
    #[error(transparent)]
    File(#[from] CampaignError),
    /// It does not fit this workspace.
    #[error("{0}")]
    Unfit(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SegmentError> for SubmitError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Store(error) => Self::Store(error),
            error => Self::Unfit(error.to_string()),
        }
    }
}

/// Checks a campaign file against the rules and this workspace.
pub async fn check(ctx: &Ctx, source: &str) -> Result<Campaign, SubmitError> {
    let campaign = Campaign::from_toml(source)?;
    carried(ctx, &campaign)?;
    for fallback in campaign.carried_on() {
        carried(ctx, &fallback).map_err(|error| {
            SubmitError::Unfit(format!("fallback {}: {error}", fallback.provider))
        })?;
    }
    if ctx.store.read().await?.campaign(&campaign.name).await?.is_some() {
        let name = &campaign.name;
        return Err(SubmitError::Unfit(format!("name: {name} is taken; give it another")));
    }
    segments::check(ctx, &campaign).await?;
    let now = ctx.clock.now();
    if window::ends_at(&campaign.window) <= now {
        let key = if campaign.trigger.is_some() { "trigger" } else { "window" };
        let end = campaign.window.end;
        return Err(SubmitError::Unfit(format!("{key}.end: {end} is over everywhere on earth")));
    }
    if let Some(trigger) = &campaign.trigger {
        let minutes = ctx.config.slot_length.minutes();
        // wherever it begins, it holds a whole slot
        if trigger.to - trigger.from < TimeDelta::minutes(2 * i64::from(minutes)) {
            return Err(SubmitError::Unfit(format!(
                "trigger.to: the span is shorter than two slots of {minutes} minutes"
            )));
        }
        return Ok(campaign);
    }
    let zones = zones(ctx).await?;
    let quiet = Quiet::new(
        &ctx.rules,
        crate::calendar::law::Case {
            country: None,
            region: None,
            channel: ctx.config.providers[&campaign.provider].kind.channel(),
            category: campaign.category,
        },
        campaign.quiet_hours,
        ctx.config.quiet_hours,
    );
    // from before the window, so that what is over in some zones is not called quiet
    let before = window::span(&campaign.window, Tz::Etc__GMTMinus14).0;
    let open = |zone: &Tz| {
        !window::allowed_slots(&campaign.window, &quiet, *zone, ctx.config.slot_length, before)
            .is_empty()
    };
    if !zones.iter().any(open) {
        let window = campaign.window;
        return Err(SubmitError::Unfit(format!(
            "window: from {} to {} no slot of {} minutes is left; all of it lies in quiet hours",
            window.start,
            window.end,
            ctx.config.slot_length.minutes()
        )));
    }
    Ok(campaign)
}

/// Whether the provider of a campaign can carry it.
fn carried(ctx: &Ctx, campaign: &Campaign) -> Result<(), SubmitError> {
    let Some(provider) = ctx.config.providers.get(&campaign.provider) else {
        let known: Vec<_> = ctx.config.providers.keys().map(Name::as_str).collect();
        return Err(SubmitError::Unfit(format!(
            "provider: the settings have no [provider.{}]; they have {}",
            campaign.provider,
            known.join(", ")
        )));
    };
    if provider.kind.needs_template() {
        fits_templates(campaign)?;
    }
    fits::check(ctx, campaign).map_err(SubmitError::Unfit)?;
    unpriced(ctx, campaign).map_or(Ok(()), |problem| Err(SubmitError::Unfit(problem)))
}

/// Whom a campaign's translations leave out, in words: how many people of the audience, and the
/// languages that they read.
pub async fn left_out(ctx: &Ctx, campaign: &Campaign) -> Result<Option<String>, SubmitError> {
    const LANGUAGES_SHOWN: usize = 20;
    let audience = AudienceFilter::of(ctx, campaign, None).await?;
    let mut fits: BTreeMap<Option<Locale>, bool> = BTreeMap::new();
    let mut left: BTreeMap<Option<Locale>, u64> = BTreeMap::new();
    let mut after = RecipientId(0);
    loop {
        let page = ctx.store.read().await?.recipients_after(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for person in page.iter().filter(|person| person.consented) {
            let profile = &person.profile;
            let place = infer(profile.country.as_ref(), profile.address.as_ref());
            let locale = &profile.locale;
            let fit = *fits
                .entry(locale.clone())
                .or_insert_with(|| !campaign.variants_for(locale.as_ref()).is_empty());
            if !fit && audience.holds(person, place.as_ref()) {
                *left.entry(locale.clone()).or_default() += 1;
            }
        }
    }
    if left.is_empty() {
        return Ok(None);
    }
    let people: u64 = left.values().sum();
    let name = |locale: &Option<Locale>| {
        locale.as_ref().map_or("no language".to_owned(), ToString::to_string)
    };
    let mut shown: Vec<String> = left
        .iter()
        .take(LANGUAGES_SHOWN)
        .map(|(locale, count)| format!("{}: {count}", name(locale)))
        .collect();
    if left.len() > LANGUAGES_SHOWN {
        shown.push("…".to_owned());
    }
    let shown = shown.join(", ");
    Ok(Some(format!(
        "no translation fits {people} people ({shown}); add one, or set fallback_language"
    )))
}

/// Why a campaign's budget cannot be kept: nothing tells what its provider's messages cost, or in
/// another currency. What prints costs nothing.
fn unpriced(ctx: &Ctx, campaign: &Campaign) -> Option<String> {
    let budget = campaign.budget.as_ref()?;
    let name = &campaign.provider;
    let provider = ctx.config.providers.get(name)?;
    match &provider.tariff {
        Some(tariff) if tariff.currency != budget.currency => Some(format!(
            "budget.currency: {} is not {}, in which the prices of provider {name} are",
            budget.currency, tariff.currency
        )),
        None if provider.kind.channel() != "console" => Some(format!(
            "budget: nothing tells what messages of provider {name} cost; name a table of prices \
             in provider.{name}.prices"
        )),
        _ => None,
    }
}

/// Whether every variant can go through a provider that sends templates.
fn fits_templates(campaign: &Campaign) -> Result<(), SubmitError> {
    let provider = &campaign.provider;
    for variant in &campaign.variants {
        let (name, media) = (&variant.name, variant.content.media);
        let problem = if variant.template.is_none() {
            "template: it is missing; name the approved template that carries the variant"
        } else if !matches!(media, Media::Text | Media::Image | Media::Video | Media::Document) {
            "media: a template's header is one of text, image, video, document"
        } else if media != Media::Text && variant.media_url.is_none() {
            "media_url: it is missing; say where the header's file lies"
        } else {
            continue;
        };
        return Err(SubmitError::Unfit(format!("variant {name}: {problem} (provider {provider})")));
    }
    Ok(())
}

/// Everybody's zones, and the workspace's.
async fn zones(ctx: &Ctx) -> Result<Vec<Tz>, StoreError> {
    let mut names = BTreeSet::from([ctx.config.time_zone.name()]);
    let mut zones = vec![ctx.config.time_zone];
    let mut after = RecipientId(0);
    loop {
        let page = ctx.store.read().await?.recipients_after(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(zones) };
        after = last.id;
        let known = page.iter().filter_map(|recipient| recipient.profile.zone);
        zones.extend(known.map(|zone| zone.tz).filter(|tz| names.insert(tz.name())));
    }
}

/// Checks and stores a campaign.
pub async fn submit(ctx: &Ctx, source: &str, actor: &str) -> Result<Campaign, SubmitError> {
    let campaign = check(ctx, source).await?;
    let mut tx = ctx.store.begin().await?;
    let added = tx
        .add_campaign(&campaign, source, ctx.clock.now(), window::ends_at(&campaign.window))
        .await?;
    let Some(id) = added else {
        let name = &campaign.name;
        return Err(SubmitError::Unfit(format!("name: {name} is taken; give it another")));
    };
    tx.add_links(id, &links::addresses(&campaign)).await?;
    audit::note(ctx, &mut tx, actor, "submit", campaign.name.as_str(), "").await?;
    tx.commit().await?;
    Ok(campaign)
}

word_type! {
    /// What an operator commands.
    OperatorCommand, "command", "one of pause, resume, cancel" {
        /// Claim nothing more for now.
        Pause = "pause",
        /// Go on.
        Resume = "resume",
        /// End it: whoever is only planned gets nothing.
        Cancel = "cancel",
    }
}

/// Does what an operator commands; false when the campaign's status does not allow it.
pub async fn change(
    ctx: &Ctx,
    row: &CampaignRow,
    command: OperatorCommand,
    actor: &str,
) -> Result<bool, StoreError> {
    use CampaignStatus::{Active, Cancelled, Paused};
    let mut tx = ctx.store.begin().await?;
    let mut changed = false;
    // what is commanded of a campaign holds for its runs and fallbacks
    let parts = tx.open_parts(row).await?;
    for row in std::iter::once(row).chain(&parts) {
        let done = match command {
            OperatorCommand::Pause => tx.set_campaign_status(row.id, &[Active], Paused).await?,
            OperatorCommand::Resume => {
                // whoever resumes has seen what stopped it
                tx.clear_alerts(&row.campaign.provider).await?;
                reschedule(ctx, &mut tx, row, Resumed::FromPause).await?;
                tx.set_campaign_status(row.id, &[Paused], Active).await?
            }
            OperatorCommand::Cancel => {
                let ended = tx.set_campaign_status(row.id, &[Active, Paused], Cancelled).await?;
                if ended {
                    let reason = Reason::CancelledByOperator;
                    tx.end_planned(row.id, State::Cancelled, reason, ctx.clock.now()).await?;
                }
                ended
            }
        };
        changed |= done;
    }
    if changed {
        audit::note(ctx, &mut tx, actor, command.as_str(), row.campaign.name.as_str(), "").await?;
        tx.commit().await?;
    }
    Ok(changed)
}

/// How a campaign stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CampaignSummary {
    /// Its name.
    pub name: Name,
    /// Whether it runs.
    pub status: String,
    /// Everybody it is meant for.
    pub audience: u64,
    /// People by state and reason; they add up to the audience.
    pub states: Vec<StateCount>,
    /// People who failed or were refused by the channel's codes, most first.
    pub failures: Vec<FailureCount>,
    /// Planned messages whose time has come.
    pub due: u64,
    /// Of them those that wait for more than a minute.
    pub late: u64,
    /// People who wait for a new decision.
    pub undecided: u64,
    /// When the next message is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_due: Option<Instant>,
    /// When it was planned.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub planned_at: Option<Instant>,
    /// Certificate and forecast of the plan.
    pub plan: Option<serde_json::Value>,
}

impl CampaignSummary {
    /// How many people are in a state.
    pub fn people(&self, state: &str) -> u64 {
        let alike = self.states.iter().filter(|count| count.state.as_str() == state);
        alike.map(|count| count.people).sum()
    }
}

/// How everything stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Status {
    /// Every campaign that is open, and the newest of the closed ones.
    pub campaigns: Vec<CampaignSummary>,
    /// Stored campaigns that this version cannot read, or cannot add up: they are left alone.
    pub broken: Vec<BrokenCampaign>,
    /// What people should see to.
    pub alerts: Vec<Alert>,
    /// Names under which words on consent wait for somebody to have them.
    pub pending_consents: u64,
    /// Replies at which somebody should look.
    pub waiting_replies: u64,
    /// The tables that clocks are told by.
    pub zone_tables: ZoneTables,
    /// What the background tasks of every daemon did last.
    pub tasks: Vec<TaskRow>,
}

/// Closed campaigns that a status lists.
const CLOSED_LISTED_MAX: usize = 100;

/// Looks at everything.
pub async fn status(ctx: &Ctx) -> Result<Status, StoreError> {
    let mut reader = ctx.store.read().await?;
    let open = reader.open_campaigns().await?;
    let closed = reader.closed_campaigns(None, CLOSED_LISTED_MAX).await?;
    let mut campaigns = Vec::new();
    let mut broken: Vec<_> = open.broken.into_iter().chain(closed.broken).collect();
    for row in open.rows.iter().chain(&closed.rows) {
        match summary_in(&mut reader, ctx.clock.now(), row).await {
            Ok(summary) => campaigns.push(summary),
            Err(error) => broken.push(BrokenCampaign::of(row.campaign.name.to_string(), error)?),
        }
    }
    let alerts = reader.alerts(ctx.clock.now()).await?;
    let pending_consents = reader.pending_count().await?;
    let waiting_replies = reader.waiting_replies().await?;
    let zone_tables = ZoneTables::at(ctx.clock.now());
    let tasks = reader.tasks().await?;
    Ok(Status { campaigns, broken, alerts, pending_consents, waiting_replies, zone_tables, tasks })
}

/// Up to `limit` campaigns that can be read, the newest first, older than the one with the number
/// `before`; and the number to go on from, where there may be more.
pub async fn page(
    ctx: &Ctx,
    before: Option<i64>,
    limit: usize,
) -> Result<(Vec<CampaignSummary>, Option<i64>), StoreError> {
    let mut reader = ctx.store.read().await?;
    let (found, next) = reader.campaigns_before(before, limit).await?;
    let mut campaigns = Vec::with_capacity(found.rows.len());
    for row in &found.rows {
        match summary_in(&mut reader, ctx.clock.now(), row).await {
            Ok(summary) => campaigns.push(summary),
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((campaigns, next))
}

/// Looks at a campaign.
pub async fn summary(ctx: &Ctx, row: &CampaignRow) -> Result<CampaignSummary, StoreError> {
    summary_in(&mut ctx.store.read().await?, ctx.clock.now(), row).await
}

async fn summary_in(
    reader: &mut Reader,
    now: Instant,
    row: &CampaignRow,
) -> Result<CampaignSummary, StoreError> {
    let Sums { states, failures, .. } = sums(reader, row, now, Counted::States).await?;
    let open = match (row.closed_at.is_none(), row.is_standing()) {
        (false, _) => Vec::new(),
        (true, false) => vec![row.id],
        (true, true) => reader.open_parts(row).await?.iter().map(|run| run.id).collect(),
    };
    let mut waiting = Waiting::default();
    for id in open {
        waiting.add(&reader.waiting(id, (now, now - LATE_AFTER)).await?);
    }
    let Waiting { due, late, undecided, next_due } = waiting;
    Ok(CampaignSummary {
        name: row.campaign.name.clone(),
        status: row.status.to_string(),
        audience: states.iter().map(|count| count.people).sum(),
        failures,
        due,
        late,
        undecided,
        next_due,
        planned_at: row.planned_at,
        plan: row.plan.as_deref().and_then(|plan| serde_json::from_str(plan).ok()),
        states,
    })
}
