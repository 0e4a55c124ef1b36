//! What messages of a plan cost, by the provider's tariff.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use crate::calendar::infer::charged_country;
use crate::calendar::window;
use crate::config::ProviderConfig;
use crate::model::recipient::Profile;
use crate::model::tariff::Price;
use crate::model::time::Instant;
use crate::store::CampaignRow;

/// What a message to a person costs at most in what is left of the campaign's time.
pub(super) fn price(
    provider: Option<&ProviderConfig>,
    row: &CampaignRow,
    profile: &Profile,
    now: Instant,
) -> Price {
    let tariff = provider.and_then(|provider| provider.tariff.as_ref());
    tariff.map_or(Price::FREE, |tariff| {
        let (opens, _) = window::span(&row.campaign.window, Tz::Etc__GMTMinus14);
        let span = (opens.max(now), row.ends_at.max(now));
        tariff.price(span, charged_country(profile).as_ref(), row.campaign.category)
    })
}

/// How many of the people are charged for by each country.
pub(super) fn by_country<'p>(people: impl Iterator<Item = &'p Profile>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for profile in people {
        let country = charged_country(profile);
        let country = country.map_or("elsewhere".to_owned(), |country| country.to_string());
        *counts.entry(country).or_default() += 1;
    }
    counts
}
