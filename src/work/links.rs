//! Links of each person's own, made as a message goes out.

use std::collections::HashMap;

use super::StepEnv;
use crate::model::campaign::{Campaign, Variant};
use crate::model::ids::RecipientId;
use crate::store::{CampaignRow, LinkKey, PersonLink, StoreError, Tx, UnsubscribeKey};

/// Makes the links of one campaign's messages.
pub(super) struct LinkMaker {
    base: String,
    key: LinkKey,
    campaign: i64,
    ids: HashMap<String, i64>,
    /// Of ways out, where the channel tells them beside the text.
    unsubscribe: Option<UnsubscribeKey>,
}

impl LinkMaker {
    /// `None` where the settings want no links of people's own, or the campaign needs none.
    pub(super) async fn of(
        env: &StepEnv,
        tx: &mut Tx,
        row: &CampaignRow,
    ) -> Result<Option<Self>, StoreError> {
        let Some(links) = &env.config.links else { return Ok(None) };
        let provider = env.config.providers.get(&row.campaign.provider);
        let has_way_out = provider.is_some_and(|provider| provider.kind.has_way_out());
        if addresses(&row.campaign).is_empty() && !has_way_out {
            return Ok(None);
        }
        let unsubscribe = if has_way_out { Some(tx.unsubscribe_key().await?) } else { None };
        // a run has the links of its standing campaign
        let ids = tx.links_of(row.parent.unwrap_or(row.id)).await?.into_iter().collect();
        let key = tx.link_key().await?;
        Ok(Some(Self { base: links.base.clone(), key, campaign: row.id, ids, unsubscribe }))
    }

    /// A person's own way to an address.
    pub(super) fn link(&self, recipient: RecipientId, url: &str) -> String {
        // one that an older version stored has no numbers
        let Some(link) = self.ids.get(url) else { return url.to_owned() };
        let of = PersonLink { link: *link, campaign: self.campaign, recipient };
        format!("{}/l/{}", self.base, self.key.token(of))
    }
}

impl LinkMaker {
    /// Where a person says that they want no more, on channels that tell it beside the text.
    pub(super) fn unsubscribe(&self, recipient: RecipientId) -> Option<String> {
        let key = self.unsubscribe.as_ref()?;
        Some(format!("{}/u/{}", self.base, key.token(self.campaign, recipient)))
    }
}

/// The addresses that a campaign's links lead to, each once.
pub(super) fn addresses(campaign: &Campaign) -> Vec<&str> {
    let mut urls: Vec<&str> = campaign.variants.iter().flat_map(Variant::links).collect();
    urls.sort_unstable();
    urls.dedup();
    urls
}
