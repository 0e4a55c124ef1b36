//! Repair: who sits where, and the last, greedy words on it: replies and spend within their limits,
//! and what room is left given away. (What counts messages is settled by chains before.)

use std::cmp::Reverse;

use super::market::{Market, Posted, Seat, UNIT};
use super::order::Key;

/// Who sits where, and what that uses.
pub(super) struct Seating<'a> {
    pub(super) market: &'a Market,
    pub(super) seats: Vec<Seat>,
    pub(super) used: Vec<i64>,
}

impl<'a> Seating<'a> {
    /// Counts what the given seats use.
    pub(super) fn new(market: &'a Market, seats: Vec<Seat>) -> Self {
        let mut used = vec![0; market.limits.len()];
        for (bidder, seat) in market.bidders.iter().zip(&seats) {
            market.uses(bidder, *seat, |limit, load| used[limit as usize] += load);
        }
        Self { market, seats, used }
    }

    /// Moves one bidder, whatever the limits say.
    pub(super) fn put(&mut self, bidder: u32, seat: Seat) {
        let who = &self.market.bidders[bidder as usize];
        let old = std::mem::replace(&mut self.seats[bidder as usize], seat);
        let used = &mut self.used;
        self.market.uses(who, old, |limit, load| used[limit as usize] -= load);
        self.market.uses(who, seat, |limit, load| used[limit as usize] += load);
    }

    /// Whether a bidder can move to a seat without breaking a limit that holds now.
    pub(super) fn has_room(&self, bidder: u32, seat: Seat) -> bool {
        let who = &self.market.bidders[bidder as usize];
        let old = self.seats[bidder as usize];
        let mut room = true;
        self.market.uses(who, seat, |limit, load| {
            let mut freed = 0;
            self.market.uses(who, old, |l, load| freed += if l == limit { load } else { 0 });
            let after = self.used[limit as usize] + load - freed;
            room &= after <= self.market.limits[limit as usize] || load <= freed;
        });
        room
    }

    /// Whether more is used of a limit than there is.
    pub(super) fn is_over(&self, limit: u32) -> bool {
        self.used[limit as usize] > self.market.limits[limit as usize]
    }
}

/// Brings limits on replies and spend back to their capacity: those leave first who give up least
/// for what they free.
pub(super) fn keep_loads(seating: &mut Seating<'_>, posted: &Posted) {
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
                let [first, second] = posted.best_two(market, bidder);
                let next = if first.seat == seat { second } else { first };
                let here = posted.best_at(market, bidder, seat.place).net;
                let regret = f64::from(here - next.net.max(0.0)) / freed as f64;
                leavers.push((Key::from(regret), bidder.tie, index as u32));
            }
        }
        leavers.sort_unstable();
        for (_, _, bidder) in leavers {
            if !seating.is_over(limit) {
                break;
            }
            let who = &market.bidders[bidder as usize];
            let frees = |seat: Seat| {
                let mut load_there = 0;
                market.uses(who, seat, |l, load| load_there += if l == limit { load } else { 0 });
                load_there == 0
            };
            let next = posted.best_two(market, who).into_iter().find(|offer| {
                frees(offer.seat) && offer.net >= 0.0 && seating.has_room(bidder, offer.seat)
            });
            seating.put(bidder, next.map_or(Seat::REFUSED, |offer| offer.seat));
        }
    }
}

/// Gives what room is left to those who gain most by it.
pub(super) fn fill(seating: &mut Seating<'_>, threads: usize) {
    const PASSES: usize = 3;
    let market = seating.market;
    let free = vec![0.0; market.limits.len()];
    for _ in 0..PASSES {
        let open = |place: &super::market::Place| {
            let room = |l: &u32| seating.used[*l as usize] + UNIT <= market.limits[*l as usize];
            if place.counted.iter().all(room) { 0.0 } else { f32::INFINITY }
        };
        let closed = market.places.iter().map(open).collect();
        let posted = Posted::with_messages(market, &free, closed);
        let seats = &seating.seats;
        let mut wishes: Vec<_> = super::prices::in_parts(market.bidders.len(), threads, |range| {
            let mut wishes = Vec::new();
            for index in range {
                let bidder = &market.bidders[index];
                let best = posted.best_two(market, bidder)[0];
                let gain = best.net - market.value(bidder, seats[index]);
                if gain > 0.0 {
                    wishes.push((Reverse(Key::from(f64::from(gain))), bidder.tie, index as u32));
                }
            }
            wishes
        })
        .concat();
        if wishes.is_empty() {
            break;
        }
        wishes.sort_unstable();
        for (Reverse(gain), _, bidder) in wishes {
            let who = &market.bidders[bidder as usize];
            let now = market.value(who, seating.seats[bidder as usize]);
            let wish = posted.best_two(market, who);
            let open = wish.into_iter().find(|offer| {
                offer.net > now
                    && offer.seat != Seat::REFUSED
                    && seating.has_room(bidder, offer.seat)
            });
            if let Some(offer) = open.filter(|_| gain.value() > 0.0) {
                seating.put(bidder, offer.seat);
            }
        }
    }
}
