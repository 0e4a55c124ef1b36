//! Limits: what campaigns, the provider and the budget allow, slot by slot, as limits of an
//! assignment problem.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::arms::{CapacityShare, hash, left_to, mix, share_left_to, unit};
use super::certificate::{BindingLimit, LimitKind};
use super::eligibility::Candidates;
use super::request::{Booking, Carrier, Request, Setting};
use super::solve::{SlotUse, UNIT};
use crate::calendar::working::working_share;
use crate::calendar::zone::week_hours;
use crate::model::campaign::Chats;
use crate::model::delivery::Arm;
use crate::model::preference::ReplyDelays;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::{Instant, hour_of};

/// The portfolio's span.
const DAY: TimeDelta = TimeDelta::hours(24);
/// A slot is not used when this share more of its replies would come outside agents' hours than of
/// the best slot's.
const REPLIES_OUTSIDE_MAX: f32 = 0.2;

/// Limits that are told, the dearest.
const BINDING_MAX: usize = 10;

/// One campaign's arm in a layout.
#[derive(Clone, Copy)]
pub(super) struct CampaignArm<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) candidates: &'a Candidates,
    pub(super) arm: Arm,
}

/// A part of the provider's limits, and the campaigns' arms that share it.
pub(super) struct SharedCapacity<'a> {
    pub(super) share: CapacityShare,
    pub(super) parts: Vec<CampaignArm<'a>>,
}

/// The arms that send, in the order in which their stretches lie.
const SENDING: [Arm; 4] = [Arm::Explore, Arm::Control, Arm::Thompson, Arm::Personalized];

/// Limits and places of some campaigns' arms that are planned together.
#[derive(Default)]
pub(super) struct CapacityLayout {
    pub(super) limits: Vec<i64>,
    /// What each limit is, and from when on it counts.
    kinds: Vec<(LimitKind, Option<Instant>)>,
    pub(super) slots: Vec<SlotUse>,
    /// Where each campaign's places begin; they follow its slots.
    pub(super) first: Vec<u32>,
    /// Each campaign's limit on spend.
    pub(super) paid: Vec<Option<u32>>,
    /// Whether a slot may be used at all.
    pub(super) open: Vec<bool>,
    /// How many slots are closed because their replies would come outside agents' hours.
    pub(super) outside_agent_hours: u32,
}

/// Where limits of the provider are in the layout, by when.
#[derive(Default)]
struct Shared {
    slots: BTreeMap<Slot, u32>,
    days: BTreeMap<Instant, u32>,
}

/// Lays out the limits of one of the cuts that the provider is shared by.
pub(super) fn lay_out(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    shares: &[SharedCapacity<'_>],
    mine: usize,
) -> CapacityLayout {
    let mut layout = CapacityLayout::default();
    let mut shared = Shared::default();
    for part in &shares[mine].parts {
        layout.first.push(layout.slots.len() as u32);
        let count = part.candidates.slots.len();
        layout.slots.extend((0..count).map(|_| SlotUse::default()));
        layout.open.extend((0..count).map(|_| true));
        layout.hourly(setting, part);
        layout.chats(setting, part);
        layout.spend(part);
        layout.carried(setting, carrier, (shares, mine), part, &mut shared);
    }
    for (place, open) in layout.slots.iter().zip(&mut layout.open) {
        *open &= place.counted.iter().all(|limit| layout.limits[*limit as usize] >= UNIT);
    }
    layout
}

impl CapacityLayout {
    /// What a message costs in each slot of each campaign.
    pub(super) fn slot_prices(&self, parts: &[CampaignArm<'_>], prices: &[f64]) -> Vec<Vec<f64>> {
        let price = |place: usize| -> f64 {
            self.slots[place].counted.iter().map(|limit| prices[*limit as usize]).sum()
        };
        let of_part = |(part, first): (&CampaignArm<'_>, &u32)| {
            (0..part.candidates.slots.len()).map(|slot| price(*first as usize + slot)).collect()
        };
        parts.iter().zip(&self.first).map(of_part).collect()
    }

    /// The limits that have a price, the dearest first.
    pub(super) fn binding(&self, prices: &[f64]) -> Vec<BindingLimit> {
        let limit = |(&(kind, from), &price): (&(LimitKind, Option<Instant>), &f64)| {
            (price > 0.0).then_some(BindingLimit { kind, from, price })
        };
        let mut binding: Vec<_> = self.kinds.iter().zip(prices).filter_map(limit).collect();
        binding.sort_by(|a, b| b.price.total_cmp(&a.price));
        binding.truncate(BINDING_MAX);
        binding
    }

    fn limit(&mut self, kind: LimitKind, from: Option<Instant>, capacity: f64) -> u32 {
        self.kinds.push((kind, from));
        // whole messages are cut exactly; replies and money are rounded down
        self.limits.push((capacity.max(0.0) * UNIT as f64).floor() as i64);
        self.limits.len() as u32 - 1
    }

    fn slot(&mut self, at: usize) -> &mut SlotUse {
        let first = *self.first.last().expect("a part is being laid out") as usize;
        &mut self.slots[first + at]
    }

    /// Messages of the campaign in each UTC hour.
    fn hourly(&mut self, setting: &Setting<'_>, part: &CampaignArm<'_>) {
        let Some(most) = part.request.campaign.capacity.per_hour else { return };
        let mut hours: BTreeMap<Instant, u32> = BTreeMap::new();
        for (at, slot) in part.candidates.slots.iter().enumerate() {
            let hour = hour_of(slot.start(setting.length));
            let limit = *hours.entry(hour).or_insert_with(|| {
                let dither = dither(setting, part.request.campaign.name.as_str(), hour);
                let span = (hour, hour + TimeDelta::hours(1));
                let shares = part.shares(|arm| arm.booked(setting, span, |_| true));
                let left = left_to(part.mine(), u64::from(most), &shares, dither);
                self.limit(LimitKind::PerHour, Some(hour), left as f64)
            });
            self.slot(at).counted.push(limit);
        }
    }

    /// Replies in each hour in which agents work.
    fn chats(&mut self, setting: &Setting<'_>, part: &CampaignArm<'_>) {
        let Some(chats) = &part.request.campaign.capacity.chats else { return };
        let zones = part.zones();
        let delay = |slot| mean_delay(part.request.reply_delays, &zones, slot, setting.length);
        let booked = SENDING.map(|arm| {
            let bookings = CampaignArm { arm, ..*part }.bookings();
            bookings.map(|booking| (booking, delay(booking.slot))).collect::<Vec<_>>()
        });
        let mut hours: BTreeMap<Instant, Option<u32>> = BTreeMap::new();
        let mut outsides = Vec::with_capacity(part.candidates.slots.len());
        for (at, slot) in part.candidates.slots.iter().enumerate() {
            let start = hour_of(slot.start(setting.length));
            let delay = delay(*slot);
            let mut outside = 0.0;
            for (later, share) in delay.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                let hour = start + TimeDelta::hours(later as i64);
                let limit = *hours.entry(hour).or_insert_with(|| {
                    let most = replies_in(chats, setting, hour);
                    let shares = part.shares(|arm| replies(setting, &booked[arm.mine()], hour));
                    let left = share_left_to(part.mine(), most, &shares);
                    (most > 0.0).then(|| self.limit(LimitKind::Agents, Some(hour), left))
                });
                match limit {
                    Some(limit) => self.slot(at).weighted.push((limit, *share)),
                    None => outside += share,
                }
            }
            outsides.push(outside);
        }
        let least = outsides.iter().copied().fold(f32::INFINITY, f32::min);
        let most = least + REPLIES_OUTSIDE_MAX;
        let first = *self.first.last().expect("a part is being laid out") as usize;
        for (open, outside) in self.open[first..].iter_mut().zip(outsides) {
            let is_outside = outside > most;
            *open &= !is_outside;
            self.outside_agent_hours += u32::from(is_outside);
        }
    }

    /// The budget.
    fn spend(&mut self, part: &CampaignArm<'_>) {
        let paid = part.request.campaign.budget.as_ref().map(|budget| {
            let shares = part.shares(|arm| arm.bookings().map(|booking| booking.spend).sum());
            let left = share_left_to(part.mine(), budget.amount, &shares);
            self.limit(LimitKind::Budget, None, left)
        });
        self.paid.push(paid);
    }

    /// The provider's rate in each slot and its people in each moving day.
    fn carried(
        &mut self,
        setting: &Setting<'_>,
        carrier: &Carrier<'_>,
        (shares, mine): (&[SharedCapacity<'_>], usize),
        part: &CampaignArm<'_>,
        shared: &mut Shared,
    ) {
        let length = setting.length;
        let left = |most: u64, from: Instant, to: Instant, purpose: &str| -> f64 {
            let booked = |shared: &SharedCapacity<'_>| {
                let carried = |booking: &Booking| booking.is_carried;
                shared.parts.iter().map(|p| p.booked(setting, (from, to), carried)).sum()
            };
            let shares: Vec<(CapacityShare, u64)> =
                shares.iter().map(|shared| (shared.share, booked(shared))).collect();
            let whole = most.saturating_sub(others(carrier, setting, from, to));
            left_to(mine, whole, &shares, dither(setting, purpose, from)) as f64
        };
        for (at, slot) in part.candidates.slots.iter().enumerate() {
            let (start, end) = (slot.start(length), slot.end(length));
            if let Some(rate) = carrier.per_second {
                let limit = *shared.slots.entry(*slot).or_insert_with(|| {
                    let most = (rate * f64::from(length.minutes()) * 60.0).floor() as u64;
                    self.limit(LimitKind::PerSecond, Some(start), left(most, start, end, "rate"))
                });
                self.slot(at).counted.push(limit);
            }
            if let Some(most) = carrier.unique_per_day {
                let mut from = hour_of(start) - TimeDelta::hours(23);
                while from <= start {
                    let limit = *shared.days.entry(from).or_insert_with(|| {
                        let left = left(u64::from(most), from, from + DAY, "day");
                        self.limit(LimitKind::UniquePerDay, Some(from), left)
                    });
                    self.slot(at).counted.push(limit);
                    from += TimeDelta::hours(1);
                }
            }
        }
    }
}

/// Replies that agents can take in one UTC hour.
pub(super) fn replies_in(chats: &Chats, setting: &Setting<'_>, hour: Instant) -> f64 {
    let share = working_share(&chats.hours, hour, hour + TimeDelta::hours(1), setting.zone);
    chats.replies_per_hour() * share
}

/// Messages of other campaigns in a span.
pub(super) fn others(
    carrier: &Carrier<'_>,
    setting: &Setting<'_>,
    from: Instant,
    to: Instant,
) -> u64 {
    let within = |slot: &Slot| (from..to).contains(&slot.start(setting.length));
    let booked = carrier.booked.iter().filter(|(slot, _)| within(slot));
    booked.map(|(_, messages)| u64::from(*messages)).sum()
}

impl<'a> CampaignArm<'a> {
    /// Which of the sending arms it is.
    fn mine(&self) -> usize {
        SENDING.iter().position(|arm| *arm == self.arm).expect("an arm that sends is planned")
    }

    /// The cuts of the campaign's own limits, with what each arm has booked.
    fn shares<T>(&self, booked: impl Fn(CampaignArm<'_>) -> T) -> [(CapacityShare, T); 4] {
        SENDING.map(|arm| {
            (
                CapacityShare::of(&self.request.campaign.arms, arm),
                booked(CampaignArm { arm, ..*self }),
            )
        })
    }

    /// What the arm has sent or claimed.
    fn bookings(self) -> impl Iterator<Item = &'a Booking> {
        self.request.booked.iter().filter(move |booking| booking.arm == self.arm)
    }

    /// Messages that the arm has sent or claimed in a span, of the bookings that are `counted`.
    fn booked(
        &self,
        setting: &Setting<'_>,
        (from, to): (Instant, Instant),
        counted: impl Fn(&Booking) -> bool,
    ) -> u64 {
        let within = |b: &&Booking| (from..to).contains(&b.slot.start(setting.length));
        let found = self.bookings().filter(within).filter(|booking| counted(booking));
        found.map(|booking| u64::from(booking.messages)).sum()
    }

    /// The zones of the campaign's people, and the share of them in each.
    fn zones(&self) -> Vec<(Tz, f32)> {
        let mut people: BTreeMap<&str, (Tz, u32)> = BTreeMap::new();
        for person in self.request.people {
            people.entry(person.zone.name()).or_insert((person.zone, 0)).1 += 1;
        }
        let all = self.request.people.len() as f32;
        people.into_values().map(|(zone, people)| (zone, people as f32 / all)).collect()
    }
}

/// The share of replies in the first hour after a slot, the second, …: the mean over people's zones,
/// in which the slot is another hour of the week.
fn mean_delay(
    delays: &ReplyDelays,
    zones: &[(Tz, f32)],
    slot: Slot,
    length: SlotLength,
) -> Vec<f32> {
    let mut mean = Vec::new();
    for (zone, people) in zones {
        for (hour, part) in week_hours(slot, length, *zone) {
            let shares = delays.at(hour);
            mean.resize(mean.len().max(shares.len()), 0.0);
            for (mean, share) in mean.iter_mut().zip(shares) {
                *mean += people * part as f32 * share;
            }
        }
    }
    mean
}

/// Replies that are still expected in an hour of what was sent or claimed.
fn replies(setting: &Setting<'_>, booked: &[(&Booking, Vec<f32>)], hour: Instant) -> f64 {
    let expected = |(booking, delay): &(&Booking, Vec<f32>)| {
        let later = (hour - hour_of(booking.slot.start(setting.length))).num_hours();
        let share = usize::try_from(later).ok().and_then(|later| delay.get(later));
        booking.replies * share.map_or(0.0, |share| f64::from(*share))
    };
    booked.iter().map(expected).sum()
}

/// Where the cut between arms falls in a limit that does not divide: another place in each limit,
/// so that each arm has its share over all of them.
fn dither(setting: &Setting<'_>, purpose: &str, at: Instant) -> f64 {
    unit(mix(setting.seed ^ hash(&[purpose]) ^ at.timestamp() as u64))
}
