//! Whoever comes by a link of a person's own: where it leads, and the click that it is.

use std::collections::BTreeMap;

use super::{Ctx, StepEnv, receive};
use crate::model::delivery::message_key;
use crate::model::ids::Name;
use crate::provider::{Event, Update, UpdateOf};
use crate::store::{LinkTarget, LinkVisit, StoreError};

/// The address that a person is led to: with what tells where they come from, where the settings want it
/// and the address says nothing else.
pub fn destination(env: &StepEnv, target: &LinkTarget) -> String {
    let source = env.config.links.as_ref().and_then(|links| links.utm_source.as_deref());
    let Some(source) = source else { return target.url.clone() };
    let Ok(mut url) = url::Url::parse(&target.url) else { return target.url.clone() };
    let told: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    for (name, value) in [
        ("utm_source", source),
        ("utm_medium", target.provider.as_str()),
        ("utm_campaign", target.campaign.as_str()),
    ] {
        if !told.iter().any(|told| told == name) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url.into()
}

/// Notes visits, durably; those of people are clicks on their messages. Clicks come first: one that is told
/// again, after a failure between the two, changes nothing, where a visit would be counted twice.
pub async fn note(ctx: &Ctx, visits: &[LinkVisit]) -> Result<(), StoreError> {
    let mut clicks: BTreeMap<i64, Vec<LinkVisit>> = BTreeMap::new();
    for visit in visits.iter().filter(|visit| visit.uncounted.is_none()) {
        clicks.entry(visit.of.campaign).or_default().push(*visit);
    }
    for (campaign, visits) in clicks {
        let Some(row) = ctx.store.read().await?.campaign_by_id(campaign).await? else { continue };
        let provider: &Name = &row.campaign.provider;
        let update = |visit: &LinkVisit| Update {
            of: UpdateOf::Ours(message_key(&row.campaign.name, visit.of.recipient)),
            event: Event::Clicked,
            at: visit.at,
            names: Vec::new(),
        };
        receive::apply(ctx, provider, visits.iter().map(update).collect()).await?;
    }
    let mut tx = ctx.store.begin().await?;
    for visit in visits {
        tx.note_visit(visit).await?;
    }
    tx.commit().await
}
