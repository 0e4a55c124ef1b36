//! The templates of providers' accounts: read again and again, and held against campaigns.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};

use super::Ctx;
use crate::model::campaign::{Campaign, Variant};
use crate::model::ids::Name;
use crate::model::template::AccountTemplate;
use crate::store::{StoreError, Tx};

/// How old what is known of an account may be.
const AGE_MAX: TimeDelta = TimeDelta::hours(1);

fn mark(provider: &Name) -> String {
    format!("templates {provider}")
}

/// Has a provider's templates read anew: they changed.
pub(super) async fn outdate(tx: &mut Tx, provider: &Name) -> Result<(), StoreError> {
    tx.set_mark(&mark(provider), "").await
}

/// Reads the templates of a provider's account, where they are not known or may have changed; else why
/// they cannot be read.
pub async fn read(ctx: &Ctx, provider: &Name) -> Result<Option<String>, StoreError> {
    let Some(channel) = ctx.providers.get(provider) else { return Ok(None) };
    let now = ctx.clock.now();
    let told = ctx.store.read().await?.mark(&mark(provider)).await?;
    let read_at = told.and_then(|told| DateTime::parse_from_rfc3339(&told).ok());
    if read_at.is_some_and(|read_at| now < read_at + AGE_MAX) {
        return Ok(None);
    }
    let templates = match channel.templates().await {
        None => return Ok(None),
        Some(Err(problem)) => return Ok(Some(problem)),
        Some(Ok(templates)) => templates,
    };
    let mut tx = ctx.store.begin().await?;
    tx.put_account_templates(provider, &templates).await?;
    tx.set_mark(&mark(provider), &now.to_rfc3339()).await?;
    tx.commit().await?;
    Ok(None)
}

/// Reads the templates of every account that may have changed.
pub async fn read_all(ctx: &Ctx) -> Result<(), StoreError> {
    for provider in ctx.config.providers.keys() {
        if let Some(problem) = read(ctx, provider).await? {
            tracing::warn!(%provider, problem, "the account's templates could not be read");
        }
    }
    Ok(())
}

/// The templates that a provider's account is known to have; `None` where it was never read.
pub(super) async fn known(ctx: &Ctx, provider: &Name) -> Result<Option<Known>, StoreError> {
    let mut reader = ctx.store.read().await?;
    if reader.mark(&mark(provider)).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(Known::new(reader.account_templates(provider).await?)))
}

/// What is wrong with a campaign by the templates of its provider's account.
pub(super) async fn problems(ctx: &Ctx, campaign: &Campaign) -> Result<Vec<String>, StoreError> {
    let mut told = Vec::new();
    if let Some(problem) = read(ctx, &campaign.provider).await? {
        told.push(format!("the templates of the account could not be read: {problem}"));
    }
    if let Some(known) = known(ctx, &campaign.provider).await? {
        told.extend(known.problems(campaign));
    }
    Ok(told)
}

/// The templates of an account, by name.
pub(super) struct Known(BTreeMap<String, Vec<AccountTemplate>>);

impl Known {
    fn new(templates: Vec<AccountTemplate>) -> Self {
        let mut by_name: BTreeMap<String, Vec<AccountTemplate>> = BTreeMap::new();
        for template in templates {
            by_name.entry(template.name.clone()).or_default().push(template);
        }
        Self(by_name)
    }

    /// The one that a variant goes with.
    pub(super) fn of(&self, campaign: &Campaign, variant: &Variant) -> Option<&AccountTemplate> {
        let translations = self.0.get(variant.template.as_ref()?)?;
        let language = campaign.language_of(variant)?;
        translations.iter().find(|template| template.language == *language)
    }

    fn problems(&self, campaign: &Campaign) -> Vec<String> {
        let mut told = Vec::new();
        for variant in &campaign.variants {
            let Some(name) = &variant.template else { continue };
            let of = |problem: &str| format!("variant {}: template {name} {problem}", variant.name);
            let Some(translations) = self.0.get(name) else {
                told.push(of("is not in the account"));
                continue;
            };
            if let Some(template) = self.of(campaign, variant) {
                let language = &template.language;
                let problems = template.problems(variant, campaign.category).into_iter();
                told.extend(problems.map(|problem| of(&format!("({language}) {problem}"))));
            } else {
                let language = campaign.language_of(variant);
                let language = language.map_or("no language".to_owned(), ToString::to_string);
                let there: Vec<String> =
                    translations.iter().map(|t| t.language.to_string()).collect();
                let there = there.join(", ");
                told.push(of(&format!("is not in the account in {language}; it has {there}")));
            }
        }
        told
    }
}
