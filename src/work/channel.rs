//! What a provider's word does to more than one message: templates that are parked or tried,
//! numbers that are stopped, campaigns that are paused, names that are learned, media that are
//! uploaded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future;

use super::{Ctx, StepEnv};
use crate::config::Canary;
use crate::model::campaign::{Campaign, Variant};
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::content::{Category, Media};
use crate::model::delivery::State;
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::{Address, Locale};
use crate::model::time::Instant;
use crate::provider::{OutboundMessage, Provider, Refusal, template_alert_key};
use crate::store::{
    AuditEntry, CampaignRow, CampaignStatus, Reader, Stage, StoreError, TemplateRow, Tx,
};

/// WhatsApp keeps what was uploaded for thirty days.
const MEDIA_AGE_MAX: TimeDelta = TimeDelta::days(25);
/// Held first messages are decided about within an hour, says the vendor; after this the rest goes.
const HELD_MAX: TimeDelta = TimeDelta::hours(2);

/// The account under which a number's rate is kept.
pub(super) fn number_account(provider: &Name) -> String {
    format!("number:{provider}")
}

/// A template as a provider knows it: name and language.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TemplateKey {
    pub(super) name: String,
    /// Empty for none.
    pub(super) language: String,
}

impl TemplateKey {
    pub(super) fn new(name: &str, language: Option<&Locale>) -> Self {
        let language = language.map(ToString::to_string).unwrap_or_default();
        Self { name: name.to_owned(), language }
    }

    /// The one that a message goes with.
    pub(super) fn of(message: &OutboundMessage) -> Self {
        Self::new(message.template.as_deref().unwrap_or_default(), message.language.as_ref())
    }

    /// The one that a variant of a campaign goes with.
    pub(super) fn of_variant(campaign: &Campaign, variant: &Variant) -> Self {
        let language = campaign.language_of(variant);
        Self::new(variant.template.as_deref().unwrap_or_default(), language)
    }

    fn alert_key(&self) -> String {
        let language = self.language.parse().ok();
        template_alert_key(&self.name, language.as_ref())
    }
}

impl fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.language)
    }
}

/// Whether a template is not to be sent by campaigns of a category: one that became marketing goes
/// with no utility campaign.
pub(super) fn is_parked(row: &TemplateRow, category: Category) -> bool {
    row.stage == Stage::Parked
        || row.category == Some(Category::Marketing) && category == Category::Utility
}

/// The open campaigns of a provider, each with the positions of its variants with a template.
async fn with_template(
    tx: &mut Tx,
    provider: &Name,
    template: &TemplateKey,
) -> Result<Vec<(CampaignRow, Vec<usize>)>, StoreError> {
    let rows = tx.open_campaigns().await?.rows.into_iter();
    let found = rows.filter(|row| row.campaign.provider == *provider).map(|row| {
        let campaign = &row.campaign;
        let variants = campaign.variants.iter().enumerate();
        let with = variants.filter(|(_, variant)| {
            variant.template.is_some() && TemplateKey::of_variant(campaign, variant) == *template
        });
        let indexes = with.map(|(index, _)| index).collect();
        (row, indexes)
    });
    Ok(found.filter(|(_, indexes): &(_, Vec<usize>)| !indexes.is_empty()).collect())
}

/// Takes a template out of use by a word of `told_at`: nobody gets it, and those who were planned
/// with it get a new decision. False when a later word is known.
pub(super) async fn park(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    template: &TemplateKey,
    reason: &str,
    told_at: Instant,
) -> Result<bool, StoreError> {
    let now = env.clock.now();
    let names = (template.name.as_str(), template.language.as_str());
    if !tx.park_template(provider, names, reason, (told_at, now)).await? {
        return Ok(false);
    }
    let what = format!("template {} is parked: {reason}", template.name);
    tx.put_alert(provider, &template.alert_key(), &what, (told_at, None)).await?;
    decide_anew(env, tx, provider, template).await?;
    tracing::warn!(%provider, template = template.name, reason, "a template is parked");
    Ok(true)
}

/// Has everybody who is planned with a template decided about anew.
pub(super) async fn decide_anew(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    template: &TemplateKey,
) -> Result<(), StoreError> {
    for (row, variants) in with_template(tx, provider, template).await? {
        for index in variants {
            tx.reopen_variant(row.id, index, env.clock.now()).await?;
        }
    }
    Ok(())
}

/// Begins a template anew by a word of `told_at`, with a few messages first. Whoever was refused for
/// want of it is planned again.
pub(super) async fn restart(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    template: &TemplateKey,
    (canary, told_at): (Canary, Instant),
) -> Result<bool, StoreError> {
    let now = env.clock.now();
    let names = (template.name.as_str(), template.language.as_str());
    if !tx.restart_template(provider, names, canary.messages, (told_at, now)).await? {
        return Ok(false);
    }
    tx.put_alert(provider, &template.alert_key(), "", (told_at, None)).await?;
    plan_refused_again(env, tx, provider, template).await?;
    Ok(true)
}

/// Has everybody decided about anew who was refused since a template could not be sent.
pub(super) async fn plan_refused_again(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    template: &TemplateKey,
) -> Result<(), StoreError> {
    let now = env.clock.now();
    for (row, _) in with_template(tx, provider, template).await? {
        if row.status != CampaignStatus::Cancelled && row.ends_at > now {
            tx.plan_refused_templates(row.id, now).await?;
        }
    }
    Ok(())
}

/// A campaign with the variants marked that its provider does not take for now.
pub(super) async fn with_parked(
    reader: &mut Reader,
    mut row: CampaignRow,
) -> Result<CampaignRow, StoreError> {
    let category = row.campaign.category;
    let parked: BTreeSet<TemplateKey> = reader
        .templates(&row.campaign.provider)
        .await?
        .into_iter()
        .filter(|template| is_parked(template, category))
        .map(|row| TemplateKey { name: row.template, language: row.language })
        .collect();
    if !parked.is_empty() {
        let campaign = Arc::make_mut(&mut row.campaign);
        let keys = campaign.variants.iter().map(|v| TemplateKey::of_variant(campaign, v));
        let marks: Vec<bool> = keys.map(|key| parked.contains(&key)).collect();
        for (variant, mark) in campaign.variants.iter_mut().zip(marks) {
            variant.parked = mark;
        }
    }
    Ok(row)
}

/// Stops a provider: its campaigns are paused until somebody has seen to it.
pub(super) async fn stop(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    code: &str,
    advice: &str,
    until: Option<Instant>,
) -> Result<(), StoreError> {
    let now = env.clock.now();
    tx.put_alert(provider, code, advice, (now, until)).await?;
    for row in tx.open_campaigns().await?.rows {
        if row.campaign.provider == *provider {
            pause_one(env, tx, &row, code, advice).await?;
        }
    }
    tracing::error!(%provider, code, advice, "the provider is stopped; its campaigns are paused");
    Ok(())
}

/// Pauses a campaign several of whose people in a row were refused alike.
pub(super) async fn pause(
    env: &StepEnv,
    tx: &mut Tx,
    row: &CampaignRow,
    refusal: &Refusal,
) -> Result<(), StoreError> {
    let (name, code) = (&row.campaign.name, refusal.code_text());
    let what = format!(
        "campaign {name} is paused: several people in a row were refused with {code}: {}",
        refusal.words
    );
    let times = (env.clock.now(), None);
    tx.put_alert(&row.campaign.provider, &format!("campaign:{name}"), &what, times).await?;
    pause_one(env, tx, row, code, refusal.words.as_str()).await?;
    tracing::error!(campaign = %name, code, "a campaign is paused: people in a row were refused");
    Ok(())
}

async fn pause_one(
    env: &StepEnv,
    tx: &mut Tx,
    row: &CampaignRow,
    code: &str,
    words: &str,
) -> Result<(), StoreError> {
    let from = [CampaignStatus::Active];
    if tx.set_campaign_status(row.id, &from, CampaignStatus::Paused).await? {
        let entry = AuditEntry {
            at: env.clock.now(),
            actor: format!("provider {}", row.campaign.provider),
            action: "pause".to_owned(),
            subject: row.campaign.name.to_string(),
            detail: format!("{code}: {words}"),
        };
        tx.note_audit(&entry).await?;
    }
    Ok(())
}

/// A withdrawal of consent that the channel itself tells.
pub(super) fn withdrawal(source: String, evidence: String, now: Instant) -> ConsentEntry {
    let change = ConsentChange::Withdrawn;
    ConsentEntry {
        change,
        at: now,
        source,
        evidence,
        recorded_at: now,
        scope: ConsentEntry::EVERYWHERE,
    }
}

/// Keeps what a channel calls people, and applies what was said under these names before.
pub(super) async fn learn_names(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    names: &BTreeMap<Address, RecipientId>,
) -> Result<(), StoreError> {
    tx.put_aliases(provider, names).await?;
    let names: Vec<(&str, RecipientId)> =
        names.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    tx.apply_kept_consent(Some(provider), &names, env.clock.now()).await.map(drop)
}

/// How the provider knows the media of a batch, by address; uploads what it does not know yet.
pub(super) async fn handles(
    ctx: &Ctx,
    name: &Name,
    provider: &dyn Provider,
    wanted: BTreeSet<(Media, String)>,
) -> Result<HashMap<String, String>, StoreError> {
    let one = |(media, url): (Media, String)| async move {
        let now = ctx.clock.now();
        let since = now - MEDIA_AGE_MAX;
        let mut handle = ctx.store.read().await?.media_handle(name, &url, since).await?;
        if handle.is_none() {
            handle = provider.upload(media, &url).await;
            if let Some(handle) = &handle {
                let mut tx = ctx.store.begin().await?;
                tx.put_media_handle(name, &url, handle, now).await?;
                tx.commit().await?;
            }
        }
        Ok::<_, StoreError>(handle.map(|handle| (url, handle)))
    };
    // all at once, so that one slow host holds up the batch no longer than several do
    let known = future::try_join_all(wanted.into_iter().map(one)).await?;
    Ok(known.into_iter().flatten().collect())
}

/// Opens templates whose first messages went well: all are called, at least one is taken, none is
/// held back, and the wait is over. Where none was taken, a few more are tried. Returns how many
/// were opened.
pub(super) async fn open_templates(ctx: &Ctx) -> Result<usize, StoreError> {
    let mut opened = 0;
    for (name, config) in ctx.config.providers.iter().filter(|(_, c)| c.kind.needs_template()) {
        let found = ctx.store.read().await?.templates(name).await?;
        for row in found {
            let now = ctx.clock.now();
            let wait = TimeDelta::from_std(config.canary.wait).unwrap_or_default();
            if row.stage != Stage::Canary || row.remaining > 0 || now < row.changed_at + wait {
                continue;
            }
            let mut tx = ctx.store.begin().await?;
            tx.lock_account(&number_account(name)).await?;
            let key = TemplateKey { name: row.template.clone(), language: row.language.clone() };
            let held = undecided_with(&mut tx, name, &key, row.changed_at).await?;
            if held > 0 && now < row.changed_at + HELD_MAX {
                continue;
            }
            if row.accepted == 0 {
                let more = (u64::from(config.canary.messages), 0);
                tx.settle_canary(name, &row.template, &row.language, more, now).await?;
            } else if tx.open_template(name, &row.template, &row.language, now).await? {
                opened += 1;
            }
            tx.commit().await?;
        }
    }
    Ok(opened)
}

/// Messages of a template that are held back, or under way since `used_up` or before. Later claims hold
/// none of the first messages: what they hold is put off, and there are always some where many people
/// are due.
async fn undecided_with(
    tx: &mut Tx,
    name: &Name,
    template: &TemplateKey,
    used_up: Instant,
) -> Result<u64, StoreError> {
    let mut held = 0;
    for (row, variants) in with_template(tx, name, template).await? {
        for index in variants {
            held += tx.variant_count(row.id, index, &[State::Held], used_up).await?;
        }
    }
    Ok(held)
}

/// Raises a notice where what was charged is far from what the tariff said, and takes it back where it is
/// not any more.
pub(super) async fn compare_spend(
    tx: &mut Tx,
    provider: &Name,
    currency: &str,
    (messages, expected, charged): (u64, f64, f64),
    now: Instant,
) -> Result<(), StoreError> {
    const KEY: &str = "tariff";
    /// Fewer tell nothing.
    const MESSAGES_MIN: u64 = 20;
    const TOLERANCE: f64 = 0.1;
    let is_off = messages >= MESSAGES_MIN && (charged - expected).abs() > TOLERANCE * expected;
    let what = if is_off {
        format!(
            "{messages} messages of the last 7 days were charged {charged:.2} {currency}, where its prices \
             and the campaigns' categories said {expected:.2}: look at the categories of its templates, and \
             at the table of prices"
        )
    } else {
        String::new()
    };
    tx.put_alert(provider, KEY, &what, (now, None)).await.map(drop)
}
