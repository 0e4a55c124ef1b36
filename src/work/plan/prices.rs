//! What messages of a plan cost, by the provider's tariff.

use chrono_tz::Tz;

use crate::calendar::infer::charged_country;
use crate::calendar::window;
use crate::config::ProviderConfig;
use crate::model::content::Category;
use crate::model::recipient::{Country, Profile};
use crate::model::tariff::{Price, Tariff};
use crate::model::time::Instant;
use crate::store::CampaignRow;

/// The prices of a campaign's messages.
pub(super) struct CampaignPrices<'t> {
    /// None: nothing is charged, as far as is known.
    tariff: Option<&'t Tariff>,
    /// What is left of the campaign's time.
    span: (Instant, Instant),
    category: Category,
}

impl<'t> CampaignPrices<'t> {
    pub(super) fn of(
        provider: Option<&'t ProviderConfig>,
        row: &CampaignRow,
        now: Instant,
    ) -> Self {
        let (opens, _) = window::span(&row.campaign.window, Tz::Etc__GMTMinus14);
        Self {
            tariff: provider.and_then(|provider| provider.tariff.as_deref()),
            span: (opens.max(now), row.ends_at.max(now)),
            category: row.campaign.category,
        }
    }

    /// What a message to a person costs at most, and the country that it is charged by.
    pub(super) fn price(&self, profile: &Profile) -> (Price, Option<Country>) {
        let Some(tariff) = self.tariff else { return (Price::FREE, None) };
        let country = charged_country(profile);
        (tariff.price(self.span, country.as_ref(), self.category), country)
    }
}
