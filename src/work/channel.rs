//! What a provider's word does to more than one message: templates that are parked or tried,
//! numbers that are stopped, people who are not written to again, media that are handed over.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::TimeDelta;

use super::Ctx;
use crate::config::Canary;
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::content::Media;
use crate::model::delivery::State;
use crate::model::ids::Name;
use crate::model::recipient::Locale;
use crate::model::time::Instant;
use crate::provider::Provider;
use crate::store::{AuditEntry, CampaignRow, CampaignStatus, Stage, StoreError, TemplateRow, Tx};

/// WhatsApp keeps what was uploaded for thirty days.
const MEDIA_AGE_MAX: TimeDelta = TimeDelta::days(25);
/// Held canaries are decided about within an hour, says the vendor; after this the rest goes.
const HELD_MAX: TimeDelta = TimeDelta::hours(2);

/// A template's language as the store has it.
pub(super) fn language_text(language: Option<&Locale>) -> String {
    language.map(ToString::to_string).unwrap_or_default()
}

/// Takes a template out of use: nobody gets it, and those who were planned with it get a new
/// decision.
pub(super) async fn park(
    ctx: &Ctx,
    tx: &mut Tx,
    provider: &Name,
    (template, language): (&str, Option<&Locale>),
    reason: &str,
) -> Result<(), StoreError> {
    let now = ctx.clock.now();
    let row = TemplateRow {
        template: template.to_owned(),
        language: language_text(language),
        stage: Stage::Parked,
        room: 0,
        reason: reason.to_owned(),
        changed_at: now,
    };
    tx.put_template(provider, &row).await?;
    let what = format!("template {template} is parked: {reason}");
    tx.put_alert(provider, &format!("template:{template}"), &what, now).await?;
    for campaign in ctx.store.read().await?.campaigns().await? {
        if campaign.campaign.provider != *provider || campaign.status == CampaignStatus::Finished {
            continue;
        }
        for (index, variant) in campaign.campaign.variants.iter().enumerate() {
            let known = variant.language.as_ref().or(campaign.campaign.fallback_language.as_ref());
            if variant.template.as_deref() == Some(template) && language_text(known) == row.language
            {
                tx.reopen_variant(campaign.id, index, now).await?;
            }
        }
    }
    tracing::warn!(%provider, template, reason, "a template is parked");
    Ok(())
}

/// A campaign with the variants marked that its provider does not take for now.
pub(super) async fn with_parked(
    ctx: &Ctx,
    mut row: CampaignRow,
) -> Result<CampaignRow, StoreError> {
    let parked: BTreeSet<(String, String)> = ctx
        .store
        .read()
        .await?
        .templates(&row.campaign.provider)
        .await?
        .into_iter()
        .filter(|template| template.stage == Stage::Parked)
        .map(|template| (template.template, template.language))
        .collect();
    if !parked.is_empty() {
        let campaign = Arc::make_mut(&mut row.campaign);
        for variant in &mut campaign.variants {
            let language = variant.language.as_ref().or(campaign.fallback_language.as_ref());
            let name = variant.template.clone().unwrap_or_default();
            variant.parked = parked.contains(&(name, language_text(language)));
        }
    }
    Ok(row)
}

/// Begins a template anew, with a few messages first.
pub(super) async fn try_again(
    tx: &mut Tx,
    provider: &Name,
    (template, language): (&str, Option<&Locale>),
    canary: Canary,
    now: Instant,
) -> Result<(), StoreError> {
    let row = TemplateRow {
        template: template.to_owned(),
        language: language_text(language),
        stage: if canary.messages == 0 { Stage::Open } else { Stage::Canary },
        room: u64::from(canary.messages),
        reason: "approved".to_owned(),
        changed_at: now,
    };
    tx.put_template(provider, &row).await
}

/// Stops a provider: its campaigns are paused until somebody has seen to it.
pub(super) async fn stop(
    ctx: &Ctx,
    tx: &mut Tx,
    provider: &Name,
    code: &str,
    advice: &str,
) -> Result<(), StoreError> {
    let now = ctx.clock.now();
    tx.put_alert(provider, code, advice, now).await?;
    for row in ctx.store.read().await?.campaigns().await? {
        if row.campaign.provider != *provider {
            continue;
        }
        let from = [CampaignStatus::Active];
        if tx.set_campaign_status(row.id, &from, CampaignStatus::Paused).await? {
            let entry = AuditEntry {
                at: now,
                actor: format!("provider {provider}"),
                action: "pause".to_owned(),
                subject: row.campaign.name.to_string(),
                detail: format!("{code}: {advice}"),
            };
            tx.note_audit(&entry).await?;
        }
    }
    tracing::error!(%provider, code, advice, "the provider is stopped; its campaigns are paused");
    Ok(())
}

/// A withdrawal of consent that the channel itself tells.
pub(super) fn withdrawal(source: String, evidence: String, now: Instant) -> ConsentEntry {
    let change = ConsentChange::Withdrawn;
    ConsentEntry { change, at: now, source, evidence, recorded_at: now }
}

/// How the provider knows the media of a batch, by address; hands over what it does not know yet.
pub(super) async fn handles(
    ctx: &Ctx,
    name: &Name,
    provider: &dyn Provider,
    wanted: BTreeSet<(Media, String)>,
) -> Result<HashMap<String, String>, StoreError> {
    let mut known = HashMap::new();
    for (media, url) in wanted {
        let now = ctx.clock.now();
        let mut handle =
            ctx.store.read().await?.media_handle(name, &url, now - MEDIA_AGE_MAX).await?;
        if handle.is_none() {
            handle = provider.upload(media, &url).await;
            if let Some(handle) = &handle {
                let mut tx = ctx.store.begin().await?;
                tx.put_media_handle(name, &url, handle, now).await?;
                tx.commit().await?;
            }
        }
        known.extend(handle.map(|handle| (url, handle)));
    }
    Ok(known)
}

/// Opens templates whose first messages went well: all are called, none is held back, and the wait
/// is over. Returns how many.
pub(super) async fn open_templates(ctx: &Ctx) -> Result<usize, StoreError> {
    let mut opened = 0;
    for (name, config) in ctx.config.providers.iter().filter(|(_, c)| c.kind.needs_template()) {
        for row in ctx.store.read().await?.templates(name).await? {
            let now = ctx.clock.now();
            let wait = TimeDelta::from_std(config.canary.wait).unwrap_or_default();
            if row.stage != Stage::Canary || row.room > 0 || now < row.changed_at + wait {
                continue;
            }
            let held = undecided_with(ctx, name, &row).await?;
            if held > 0 && now < row.changed_at + HELD_MAX {
                continue;
            }
            let mut tx = ctx.store.begin().await?;
            let open = TemplateRow { stage: Stage::Open, changed_at: now, ..row };
            tx.lock_account(&super::dispatch::number_account(name)).await?;
            // somebody may have parked it in the meantime
            let still = tx.templates(name).await?.into_iter().any(|now| {
                now.template == open.template
                    && now.language == open.language
                    && now.stage == Stage::Canary
            });
            if still {
                tx.put_template(name, &open).await?;
                opened += 1;
            }
            tx.commit().await?;
        }
    }
    Ok(opened)
}

/// Messages of a template that are under way or held back.
async fn undecided_with(ctx: &Ctx, name: &Name, row: &TemplateRow) -> Result<u64, StoreError> {
    let mut held = 0;
    for campaign in ctx.store.read().await?.campaigns().await? {
        let file = &campaign.campaign;
        if file.provider != *name || campaign.status == CampaignStatus::Finished {
            continue;
        }
        for (index, variant) in file.variants.iter().enumerate() {
            let language = variant.language.as_ref().or(file.fallback_language.as_ref());
            if variant.template.as_deref() == Some(row.template.as_str())
                && language_text(language) == row.language
            {
                let states = [State::Claimed, State::Held];
                held += ctx.store.read().await?.variant_count(campaign.id, index, &states).await?;
            }
        }
    }
    Ok(held)
}
