//! Whom a campaign is meant for: any of a key's values, and all keys.

use std::collections::HashSet;

use super::Ctx;
use super::segments::{self, SegmentError};
use crate::calendar::infer::Inferred;
use crate::model::campaign::Campaign;
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::recipient::Recipient;

/// Whom a campaign is meant for.
pub(super) struct AudienceFilter<'a> {
    campaign: &'a Campaign,
    recipients: HashSet<&'a RecipientKey>,
    /// Those who are meant by expressions, where there are any.
    members: Option<HashSet<RecipientId>>,
}

impl<'a> AudienceFilter<'a> {
    /// Reads who is meant by expressions, of some people or of all.
    pub(super) async fn of(
        ctx: &Ctx,
        campaign: &'a Campaign,
        people: Option<&[RecipientId]>,
    ) -> Result<Self, SegmentError> {
        let members = segments::members(ctx, campaign, people).await?;
        Ok(Self { campaign, recipients: campaign.audience.recipients.iter().collect(), members })
    }

    /// Whether a recipient is meant; `place` is what the address tells of where they are.
    pub(super) fn holds(&self, recipient: &Recipient, place: Option<&Inferred>) -> bool {
        self.means(recipient, recipient.consented, place)
    }

    /// The same for whom it is known otherwise whether they consent to any of the campaign's channels.
    pub(super) fn means(
        &self,
        recipient: &Recipient,
        consented: bool,
        place: Option<&Inferred>,
    ) -> bool {
        let wanted = &self.campaign.audience;
        let tags = &recipient.profile.tags;
        let country = place.map(|place| &place.country);
        let any_key = !wanted.tags.is_empty()
            || !wanted.countries.is_empty()
            || !wanted.recipients.is_empty()
            || self.members.is_some();
        (any_key || consented)
            && (wanted.tags.is_empty() || wanted.tags.iter().any(|tag| tags.contains(tag)))
            && (wanted.countries.is_empty()
                || country.is_some_and(|country| wanted.countries.contains(country)))
            && (self.recipients.is_empty() || self.recipients.contains(&recipient.key))
            && self.members.as_ref().is_none_or(|members| members.contains(&recipient.id))
    }
}
