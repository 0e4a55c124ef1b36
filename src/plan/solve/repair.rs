//! Repair: who sits where, and the last, greedy words on it: replies and spend within their limits,
//! and what room is left given away. (What counts messages is settled by chains before.)

use std::cmp::Reverse;

use super::conflicts::Rivals;
use super::priced::{Posted, Within};
use super::problem::{Market, Seat, UNIT};
use super::total::Key;
use crate::plan::parallel::in_parts;

/// Who sits where, and what that uses.
pub(in crate::plan) struct Seating<'a> {
    pub(in crate::plan) market: &'a Market,
    pub(in crate::plan) rivals: &'a Rivals,
    pub(in crate::plan) seats: Vec<Seat>,
    pub(in crate::plan) used: Vec<i64>,
}

impl<'a> Seating<'a> {
    /// Counts what the given seats use.
    pub(in crate::plan) fn new(market: &'a Market, rivals: &'a Rivals, seats: Vec<Seat>) -> Self {
        let mut used = vec![0; market.limits.len()];
        for (bidder, seat) in market.bidders.iter().zip(&seats) {
            market.uses(bidder, *seat, |limit, load| used[limit as usize] += load);
        }
        Self { market, rivals, seats, used }
    }

    /// Moves one bidder, whatever the limits say.
    pub(in crate::plan) fn put(&mut self, bidder: u32, seat: Seat) {
        let who = &self.market.bidders[bidder as usize];
        let old = std::mem::replace(&mut self.seats[bidder as usize], seat);
        let used = &mut self.used;
        self.market.uses(who, old, |limit, load| used[limit as usize] -= load);
        self.market.uses(who, seat, |limit, load| used[limit as usize] += load);
    }

    /// Whether a bidder can move to a seat without breaking a limit that holds now.
    pub(in crate::plan) fn has_room(&self, bidder: u32, seat: Seat) -> bool {
        let who = &self.market.bidders[bidder as usize];
        let old = self.seats[bidder as usize];
        let mut room = true;
        self.market.uses(who, seat, |limit, load| {
            let mut freed = 0;
            self.market.uses(who, old, |l, load| freed += if l == limit { load } else { 0 });
            let after = self.used[limit as usize] + load - freed;
            room &= after <= self.market.limits[limit as usize] || load <= freed;
        });
        room && self.rivals.allow(bidder, seat.place, &self.seats)
    }

    /// Whether one more message fits into a place.
    pub(in crate::plan) fn is_idle(&self, place: usize) -> bool {
        let mut limits = self.market.places[place].counted.iter().map(|limit| *limit as usize);
        limits.all(|limit| self.used[limit] + UNIT <= self.market.limits[limit])
    }

    /// Whether one more message fits into a place that does not count against `relieved`, once one
    /// has left another place.
    pub(in crate::plan) fn has_room_after(&self, place: usize, left: usize, relieved: u32) -> bool {
        let places = &self.market.places;
        places[place].counted.iter().all(|limit| {
            let after = self.used[*limit as usize] + UNIT;
            let fits = after <= self.market.limits[*limit as usize];
            *limit != relieved && (fits || places[left].counted.contains(limit))
        })
    }

    /// Moves one bidder to the best seat after prices that has room, or to none.
    pub(in crate::plan) fn put_best(&mut self, bidder: u32, posted: &Posted) {
        let who = &self.market.bidders[bidder as usize];
        let mut near = Vec::new();
        posted.near(self.market, who, Within::Reach(0.0), &mut near);
        near.sort_by_key(|offer| Reverse(Key::from(f64::from(offer.net))));
        let open = near.into_iter().find(|offer| self.has_room(bidder, offer.seat));
        self.put(bidder, open.map_or(Seat::REFUSED, |offer| offer.seat));
    }

    /// Whether more is used of a limit than there is.
    pub(in crate::plan) fn is_over(&self, limit: u32) -> bool {
        self.used[limit as usize] > self.market.limits[limit as usize]
    }
}

/// Brings limits that are exceeded back to their capacity, the last resort: those leave first who
/// gain least by their seat for what they free.
pub(in crate::plan) fn keep_loads(seating: &mut Seating<'_>, posted: &Posted) {
    let market = seating.market;
    for limit in 0..market.limits.len() as u32 {
        if !seating.is_over(limit) {
            continue;
        }
        let mut leavers: Vec<(Key, u32, u32)> = Vec::new();
        for (index, bidder) in market.bidders.iter().enumerate() {
            let mut freed = 0;
            let seat = seating.seats[index];
            market.uses(bidder, seat, |l, load| freed += if l == limit { load } else { 0 });
            if freed > 0 {
                let gain = f64::from(posted.net(market, bidder, seat)) / freed as f64;
                leavers.push((Key::from(gain), bidder.tie, index as u32));
            }
        }
        leavers.sort_unstable();
        for (_, _, bidder) in leavers {
            if !seating.is_over(limit) {
                break;
            }
            seating.put(bidder, Seat::REFUSED);
            seating.put_best(bidder, posted);
        }
    }
}

/// Gives what room is left to those who gain most by it; returns whether any was given.
pub(in crate::plan) fn fill(seating: &mut Seating<'_>, threads: usize) -> bool {
    let market = seating.market;
    let has_room = |l: u32, load: i64| seating.used[l as usize] + load <= market.limits[l as usize];
    let free = Posted::free(market, |place| {
        let place = &market.places[place as usize];
        place.counted.iter().all(|limit| has_room(*limit, UNIT))
            && place.answered.iter().all(|(limit, _)| has_room(*limit, LOAD_LEAST))
    });
    let seats = &seating.seats;
    let mut wishes: Vec<(Reverse<Key>, u32, u32)> =
        in_parts(market.bidders.len(), threads, |range| {
            let wish = |index: usize| {
                let bidder = &market.bidders[index];
                let gain = free.best_net(market, bidder) - market.value(bidder, seats[index]);
                let key = Reverse(Key::from(f64::from(gain)));
                (gain > 0.0).then_some((key, bidder.tie, index as u32))
            };
            range.filter_map(wish).collect::<Vec<_>>()
        })
        .concat();
    wishes.sort_unstable();
    let mut given = false;
    let mut near = Vec::new();
    for (_, _, bidder) in wishes {
        let who = &market.bidders[bidder as usize];
        let now = market.value(who, seating.seats[bidder as usize]);
        free.near(market, who, Within::Reach(now.next_up()), &mut near);
        near.sort_by_key(|offer| Reverse(Key::from(f64::from(offer.net))));
        let better = near.iter().take(TRIED_MAX).find(|offer| seating.has_room(bidder, offer.seat));
        if let Some(offer) = better {
            given = true;
            seating.put(bidder, offer.seat);
        }
    }
    given
}

/// A limit with less room than this is full: a thousandth of a reply.
const LOAD_LEAST: i64 = UNIT / 1000;
/// So many of the best offers are tried for room.
const TRIED_MAX: usize = 24;
