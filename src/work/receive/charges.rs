//! What a provider charges for messages, by what it tells and its tariff, held against what was expected.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::calendar::infer::charged_country;
use crate::model::content::Category;
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;
use crate::provider::Charge;
use crate::store::{Answered, StoreError, Tx};
use crate::work::{StepEnv, channel};

/// Charges are held against what was expected over so long.
const RECENT: TimeDelta = TimeDelta::days(7);

/// A charge that was told, of a message of a category.
pub(super) struct ToldCharge {
    pub(super) charge: Charge,
    pub(super) category: Category,
    pub(super) at: Instant,
}

/// Prices what was told of messages, adds it up by day, and raises a notice where it is far from what was
/// expected. Without a tariff nothing is known of prices.
pub(super) async fn price(
    env: &StepEnv,
    tx: &mut Tx,
    provider: &Name,
    rows: &mut [Answered],
    told: &BTreeMap<(i64, RecipientId), ToldCharge>,
) -> Result<(), StoreError> {
    let tariff = env.config.providers.get(provider).and_then(|p| p.tariff.as_ref());
    let Some(tariff) = tariff.filter(|_| !told.is_empty()) else { return Ok(()) };
    let people: Vec<RecipientId> = told.keys().map(|(_, person)| *person).collect();
    let known = tx.recipients(&people).await?;
    let mut by_day: BTreeMap<i64, (u64, f64, f64)> = BTreeMap::new();
    for row in rows {
        let Some(told) = told.get(&(row.campaign, row.recipient)) else { continue };
        let country = known.get(&row.recipient).and_then(|person| charged_country(&person.profile));
        let category = told.charge.category.unwrap_or(told.category);
        let price = tariff.price((told.at, told.at), country.as_ref(), category);
        let price = if told.charge.is_free { 0.0 } else { price.amount };
        row.price = Some(price);
        let (messages, expected, charged) = by_day.entry(day(told.at)).or_default();
        *messages += 1;
        // one that an older version planned was expected to cost what it does
        *expected += row.expected_price.unwrap_or(price);
        *charged += price;
    }
    for (day, sums) in by_day {
        tx.add_spend(provider, day, sums).await?;
    }
    let now = env.clock.now();
    let recent = tx.spend_since(provider, day(now - RECENT)).await?;
    channel::compare_spend(tx, provider, &tariff.currency, recent, now).await
}

/// The day of an instant in UTC, counted from the epoch.
fn day(at: Instant) -> i64 {
    at.timestamp().div_euclid(86_400)
}
