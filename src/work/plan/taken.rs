//! What is taken already: of slots and limits by what was planned or sent before, of people's
//! patience by other messages, and of a provider's by its own word.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::TimeDelta;
use chrono_tz::Tz;

use crate::calendar::infer::dialling_country;
use crate::calendar::window::span;
use crate::config::ProviderConfig;
use crate::model::campaign::Campaign;
use crate::model::content::Category;
use crate::model::delivery::{Arm, State};
use crate::model::frequency::{Cap, RecentSend, reach};
use crate::model::ids::RecipientId;
use crate::model::preference::Fatigue;
use crate::model::recipient::Profile;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;
use crate::plan::Booking;
use crate::store::{DeliveryRow, StoreError};
use crate::work::{Ctx, routes};

/// Whether a provider does not carry a campaign to a person at all: WhatsApp takes no marketing to
/// numbers of the United States, and others have lists of their own.
pub fn is_forbidden(provider: &ProviderConfig, campaign: &Campaign, profile: &Profile) -> bool {
    let by_whatsapp = provider.kind.channel() == "whatsapp"
        && campaign.category == Category::Marketing
        && profile
            .address
            .as_ref()
            .and_then(dialling_country)
            .is_some_and(|country| country.as_str() == "US");
    by_whatsapp || routes::forbids(&provider.kind, campaign, profile)
}

/// Other messages to people, for frequency caps and fatigue: everything that was sent so far back, by
/// whomever, and what campaigns are still to send, without what is decided about now; of some people,
/// or of all.
pub(super) async fn messages(
    ctx: &Ctx,
    reach: TimeDelta,
    decided: &BTreeMap<i64, HashSet<RecipientId>>,
    people: Option<&[RecipientId]>,
) -> Result<HashMap<RecipientId, Vec<RecentSend>>, StoreError> {
    let mut taken: HashMap<RecipientId, Vec<RecentSend>> = HashMap::new();
    if reach.is_zero() {
        return Ok(taken);
    }
    let since = ctx.clock.now() - reach;
    let mut reader = ctx.store.read().await?;
    for (recipient, message) in reader.sent_since(people, since).await? {
        taken.entry(recipient).or_default().push(message);
    }
    for row in reader.open_campaigns().await?.rows {
        let here = decided.get(&row.id);
        for (recipient, at) in reader.to_come(row.id, people, since).await? {
            if here.is_none_or(|here| !here.contains(&recipient)) {
                let category = Some(row.campaign.category);
                taken.entry(recipient).or_default().push(RecentSend { at, category });
            }
        }
    }
    Ok(taken)
}

/// Until when messages to people are felt: a while after the last of those that are known, and of
/// those that may be planned beside each other.
pub(super) fn felt_until(
    taken: &HashMap<RecipientId, Vec<RecentSend>>,
    campaigns: &[&Campaign],
    zone: Tz,
    now: Instant,
) -> Instant {
    let together = campaigns.iter().filter(|_| campaigns.len() > 1);
    let planned = together.map(|campaign| span(&campaign.window, zone).1);
    let known = taken.values().flatten().map(|sent| sent.at);
    known.chain(planned).map(|at| at + Fatigue::SPAN).max().unwrap_or(now)
}

/// Whom a provider asked to leave alone for a while, with messages of a category.
pub(super) async fn waits(
    ctx: &Ctx,
    campaign: &Campaign,
) -> Result<HashMap<RecipientId, Instant>, StoreError> {
    let now = ctx.clock.now();
    let mut waits: HashMap<RecipientId, Instant> = HashMap::new();
    let mut reader = ctx.store.read().await?;
    for row in reader.open_campaigns().await?.rows {
        let same = row.campaign.provider == campaign.provider
            && row.campaign.category == campaign.category;
        if same {
            for (recipient, until) in reader.waits(row.id, now).await? {
                let latest = waits.entry(recipient).or_insert(until);
                *latest = until.max(*latest);
            }
        }
    }
    Ok(waits)
}

/// What a message that stays brings and costs, for limits on replies and spend.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ExpectedCost {
    pub(super) reply: f64,
    pub(super) price: f64,
}

/// What the rows that stay have taken of each slot: sent messages where they were sent.
pub(super) fn bookings<'r>(
    rows: impl Iterator<Item = &'r DeliveryRow>,
    length: SlotLength,
    load: impl Fn(&DeliveryRow) -> ExpectedCost,
) -> Vec<Booking> {
    let mut taken: BTreeMap<(Slot, Arm), Booking> = BTreeMap::new();
    for row in rows {
        use State::{Claimed, Held, InDoubt, InDoubtExpired, Planned, Sent};
        let slot = match (&row.delivery.choice, row.delivery.state) {
            (Some(_), Sent) => Slot::holding(row.changed_at, length),
            (Some(choice), Planned | Claimed | Held | InDoubt | InDoubtExpired) => choice.slot,
            _ => continue,
        };
        let Some(arm) = row.delivery.arm else { continue };
        let load = load(row);
        let booking = taken.entry((slot, arm)).or_insert(Booking::none(slot, arm));
        booking.messages += 1;
        booking.replies += load.reply;
        booking.spend += load.price;
    }
    taken.into_values().collect()
}

/// For those of the people who cannot be written to now without breaking a frequency cap: when they
/// can be again. Looked at once more when messages are claimed; what others have claimed counts.
pub async fn over_cap(
    ctx: &Ctx,
    (id, campaign): (i64, &Campaign),
    people: &[RecipientId],
) -> Result<BTreeMap<RecipientId, Instant>, StoreError> {
    let own = Some(campaign.category);
    let caps = ctx.config.frequency.iter().chain(&campaign.frequency);
    let caps: Vec<Cap> = caps.copied().filter(|cap| cap.counts(own)).collect();
    let mut over = BTreeMap::new();
    if caps.is_empty() {
        return Ok(over);
    }
    let now = ctx.clock.now();
    let mut reader = ctx.store.read().await?;
    // what was sent to an address counts for everybody who has it
    let sharing = reader.sharing_addresses(people).await?;
    let others: Vec<RecipientId> = sharing.iter().map(|(_, other)| *other).collect();
    let everybody = [people, &others].concat();
    let mut taken: HashMap<RecipientId, Vec<RecentSend>> = HashMap::new();
    for (recipient, message) in reader.taken_of(id, &everybody, now - reach(&caps)).await? {
        let same =
            sharing.iter().filter(|(_, other)| *other == recipient).map(|(person, _)| *person);
        for person in same.chain([recipient]) {
            taken.entry(person).or_default().push(message);
        }
    }
    for (recipient, messages) in taken {
        if let Some(again) = caps.iter().filter_map(|cap| again_at(cap, &messages, now)).max() {
            over.insert(recipient, again);
        }
    }
    Ok(over)
}

/// When one more message keeps to a cap, if it does not now.
fn again_at(cap: &Cap, messages: &[RecentSend], now: Instant) -> Option<Instant> {
    let since = now - cap.span;
    let counted = messages.iter().filter(|m| cap.counts(m.category) && m.at > since);
    let mut times: Vec<Instant> = counted.map(|message| message.at).collect();
    times.sort_unstable();
    // so many of the oldest must be a whole span ago
    let over = times.len().checked_sub(cap.most as usize)?;
    times.get(over).map(|at| *at + cap.span)
}

/// From when on bookings matter: the portfolio's day before now.
pub(super) fn since(now: Instant) -> Instant {
    now - TimeDelta::hours(25)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_frees_a_person_when_enough_messages_are_a_span_ago() {
        let at = |hour: i64| RecentSend {
            at: chrono::DateTime::from_timestamp(hour * 3600, 0).unwrap(),
            category: Some(Category::Marketing),
        };
        let cap = |most| Cap { category: None, span: TimeDelta::hours(24), most };
        let (now, messages) = (at(100).at, [at(70), at(80), at(90)]);
        assert_eq!(again_at(&cap(3), &messages, now), None);
        assert_eq!(again_at(&cap(2), &messages, now), Some(at(104).at));
        assert_eq!(again_at(&cap(1), &messages, now), Some(at(114).at));
        let utility = Cap { category: Some(Category::Utility), ..cap(1) };
        assert_eq!(again_at(&utility, &messages, now), None);
    }
}
