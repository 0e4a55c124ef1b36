//! Whom a campaign is meant for: any of a key's values, and all keys.

use std::collections::HashSet;

use crate::calendar::infer::Inferred;
use crate::model::campaign::Campaign;
use crate::model::ids::RecipientKey;
use crate::model::recipient::Recipient;

/// Whom a campaign is meant for.
pub(super) struct AudienceFilter<'a> {
    campaign: &'a Campaign,
    recipients: HashSet<&'a RecipientKey>,
}

impl<'a> AudienceFilter<'a> {
    pub(super) fn of(campaign: &'a Campaign) -> Self {
        Self { campaign, recipients: campaign.audience.recipients.iter().collect() }
    }

    /// Whether a recipient is meant; `place` is what the address tells of where they are.
    pub(super) fn holds(&self, recipient: &Recipient, place: Option<&Inferred>) -> bool {
        let wanted = &self.campaign.audience;
        let tags = &recipient.profile.tags;
        let country = place.map(|place| &place.country);
        let any_key = !wanted.tags.is_empty()
            || !wanted.countries.is_empty()
            || !wanted.recipients.is_empty();
        (any_key || recipient.consented)
            && (wanted.tags.is_empty() || wanted.tags.iter().any(|tag| tags.contains(tag)))
            && (wanted.countries.is_empty()
                || country.is_some_and(|country| wanted.countries.contains(country)))
            && (self.recipients.is_empty() || self.recipients.contains(&recipient.key))
    }
}
