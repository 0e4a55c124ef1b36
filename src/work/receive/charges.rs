//! What a provider charges for messages, by what it tells and its tariff, held against what was expected.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{Datelike, NaiveDate, TimeDelta};

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

impl ToldCharge {
    /// As what it is charged.
    fn category(&self) -> Category {
        self.charge.category.unwrap_or(self.category)
    }

    /// Whether it is one of those of which some a month cost nothing.
    fn takes_allowance(&self) -> bool {
        self.category() == Category::Service && !self.charge.is_free
    }
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
    let Some(config) = env.config.providers.get(provider) else { return Ok(()) };
    let tariff = config.tariff.as_ref().filter(|_| !told.is_empty());
    let Some(tariff) = tariff else { return Ok(()) };
    let people: Vec<RecipientId> = told.keys().map(|(_, person)| *person).collect();
    let known = tx.recipients(&people).await?;
    let mut free = free_left(tx, provider, config.free_service_messages, told.values()).await?;
    let mut by_day: BTreeMap<i64, (u64, f64, f64)> = BTreeMap::new();
    for row in rows {
        let Some(told) = told.get(&(row.campaign, row.recipient)) else { continue };
        let country = known.get(&row.recipient).and_then(|person| charged_country(&person.profile));
        let price = tariff.price((told.at, told.at), country.as_ref(), told.category());
        let is_allowed = told.takes_allowance() && take_one(&mut free, month(told.at));
        let price = if told.charge.is_free || is_allowed { 0.0 } else { price.amount };
        row.price = Some(price);
        if is_allowed {
            // it tells nothing of the tariff
            continue;
        }
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

/// Counts the service messages that were told of, and how many of them cost nothing, by month.
async fn free_left(
    tx: &mut Tx,
    provider: &Name,
    allowance: u32,
    told: impl Iterator<Item = &ToldCharge> + Clone,
) -> Result<BTreeMap<(i32, u32), u64>, StoreError> {
    let (mut by_day, mut free) = (BTreeMap::<i64, u64>::new(), BTreeMap::new());
    if !told.clone().any(ToldCharge::takes_allowance) {
        return Ok(free);
    }
    for told in told {
        let messages = u64::from(told.takes_allowance());
        *by_day.entry(day(told.at)).or_default() += messages;
        *free.entry(month(told.at)).or_default() += messages;
    }
    // counted first, every day and in their order: whoever counts one of them waits until this is written
    for (day, messages) in by_day {
        tx.add_service_messages(provider, day, messages).await?;
    }
    for (month, free) in &mut free {
        let counted = tx.service_messages(provider, days_of(*month)).await?;
        let before = counted.saturating_sub(*free);
        *free = u64::from(allowance).saturating_sub(before).min(*free);
    }
    Ok(free)
}

/// Takes one of those that are left.
fn take_one(left: &mut BTreeMap<(i32, u32), u64>, month: (i32, u32)) -> bool {
    let left = left.entry(month).or_default();
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}

/// The calendar month of an instant in UTC.
fn month(at: Instant) -> (i32, u32) {
    (at.year(), at.month())
}

/// The days of a month, counted from the epoch.
fn days_of((year, month): (i32, u32)) -> Range<i64> {
    let first = |(year, month)| {
        let day = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or_default();
        i64::from(day.to_epoch_days())
    };
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    first((year, month))..first(next)
}

/// The day of an instant in UTC, counted from the epoch.
fn day(at: Instant) -> i64 {
    at.timestamp().div_euclid(86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_has_its_days_and_no_other() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        for (text, days) in [
            ("2026-12-31T23:59:59Z", 31),
            ("2027-01-01T00:00:00Z", 31),
            ("2028-02-05T00:00:00Z", 29),
        ] {
            let span = days_of(month(at(text)));
            assert_eq!(span.end - span.start, days, "{text}");
            assert!(span.contains(&day(at(text))), "{text}");
        }
        assert_eq!(days_of((2026, 12)).end, days_of((2027, 1)).start);
    }
}
