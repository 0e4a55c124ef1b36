//! The assignment: prices, then repair, then a certificate.
//!
//! *Invariant:* no limit is exceeded, and the value never exceeds the bound.

use std::collections::BinaryHeap;

use super::market::{Market, NOWHERE, Posted, Seat, UNIT};
use super::order::Key;
use super::prices::{self, in_parts};
use super::repair::{self, Seating};

/// Prices below this are none.
const PRICE_LEAST: f64 = 1e-7;

/// A seat for every bidder, with the proof of how good that is.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    /// In the order of the bidders.
    pub(super) seats: Vec<Seat>,
    /// What is used of each limit, in millionths.
    pub(super) used: Vec<i64>,
    /// The price of one unit of each limit.
    pub(super) prices: Vec<f64>,
    /// Sum of the values of the seats.
    pub(super) value: f64,
    /// No assignment within the limits is worth more.
    pub(super) bound: f64,
}

/// Assigns seats, the same on any number of threads.
pub(super) fn assign(market: &Market, threads: usize) -> Assignment {
    let found = prices::find(market, threads);
    let lowered = lower_where_idle(market, found.clone(), threads);
    let posted = Posted::new(market, &lowered);
    let mut seating = Seating::new(market, wishes(market, &posted, threads));
    let messages = repair::keep_counts(&mut seating, &posted);
    repair::keep_loads(&mut seating, &posted);
    repair::fill(&mut seating, threads);
    certify(seating, vec![found, after_repair(market, lowered, &messages)], threads)
}

/// What everybody would take at posted prices.
fn wishes(market: &Market, posted: &Posted, threads: usize) -> Vec<Seat> {
    let seat = |b| posted.best_two(market, b)[0].seat;
    let take = |range| market.bidders[range as std::ops::Range<usize>].iter().map(seat).collect();
    in_parts::<Vec<Seat>>(market.bidders.len(), threads, take).concat()
}

/// Lowers prices of counted limits that would not be full, just far enough to fill them: repair
/// only empties. A little idleness is left where it cannot matter.
fn lower_where_idle(market: &Market, mut prices: Vec<f64>, threads: usize) -> Vec<f64> {
    const ROUNDS: usize = 30;
    const IDLE_SHARE_MAX: f64 = 1e-4;
    let covers = market.covers();
    for _ in 0..ROUNDS {
        let posted = Posted::new(market, &prices);
        let used = Seating::new(market, wishes(market, &posted, threads)).used;
        let idle: Vec<Idle<'_>> = (0..market.limits.len())
            .filter(|l| prices[*l] > 0.0 && !covers[*l].is_empty())
            .map(|limit| Idle {
                limit,
                places: &covers[limit],
                wanted: ((market.limits[limit] - used[limit]) / UNIT).max(0) as usize,
            })
            .filter(|idle| idle.wanted > 0)
            .collect();
        let total: usize = idle.iter().map(|idle| idle.wanted).sum();
        if total as f64 <= market.bidders.len() as f64 * IDLE_SHARE_MAX {
            break;
        }
        for (idle, enough) in idle.iter().zip(cheap_enough(market, &posted, &idle, threads)) {
            let price = prices[idle.limit] - enough.unwrap_or(f64::INFINITY);
            prices[idle.limit] = if price > PRICE_LEAST { price } else { 0.0 };
        }
    }
    prices
}

/// A limit that has a price and room.
struct Idle<'a> {
    limit: usize,
    places: &'a [u32],
    wanted: usize,
}

/// By how much the places of each idle limit must become cheaper for as many more bidders to come
/// as it wants; `None` where so many never would.
fn cheap_enough(
    market: &Market,
    posted: &Posted,
    idle: &[Idle<'_>],
    threads: usize,
) -> Vec<Option<f64>> {
    let parts = in_parts(market.bidders.len(), threads, |range| {
        let mut nearest: Vec<BinaryHeap<Key>> = idle.iter().map(|_| BinaryHeap::new()).collect();
        for bidder in &market.bidders[range] {
            let best = posted.best_two(market, bidder)[0];
            for (idle, nearest) in idle.iter().zip(&mut nearest) {
                let net = |place: &u32| posted.best_at(market, bidder, *place).net;
                let there = idle.places.iter().map(net).fold(f32::NEG_INFINITY, f32::max);
                if there > f32::NEG_INFINITY && !idle.places.contains(&best.seat.place) {
                    nearest.push(Key::from(f64::from(best.net) - f64::from(there)));
                    if nearest.len() > idle.wanted {
                        nearest.pop();
                    }
                }
            }
        }
        nearest
    });
    let of_limit = |(at, idle): (usize, &Idle<'_>)| {
        let mut nearest: Vec<Key> =
            parts.iter().flat_map(|part| part[at].iter().copied()).collect();
        nearest.sort_unstable();
        nearest.get(idle.wanted - 1).map(|margin| margin.value() + PRICE_LEAST)
    };
    idle.iter().enumerate().map(of_limit).collect()
}

/// Prices of limits in accord with the price of a message at each place after repair.
fn after_repair(market: &Market, mut prices: Vec<f64>, messages: &[f32]) -> Vec<f64> {
    let mut only = vec![NOWHERE; market.limits.len()];
    let mut places = vec![0_u32; market.limits.len()];
    for (index, place) in market.places.iter().enumerate() {
        for limit in &place.counted {
            only[*limit as usize] = index as u32;
            places[*limit as usize] += 1;
        }
    }
    for limit in (0..market.limits.len()).filter(|limit| places[*limit] == 1) {
        let place = only[limit] as usize;
        let others = market.places[place].counted.iter().filter(|l| **l as usize != limit);
        let others: f64 = others.map(|l| prices[*l as usize]).sum();
        prices[limit] = (f64::from(messages[place]) - others).max(0.0);
    }
    prices
}

fn certify(seating: Seating<'_>, candidates: Vec<Vec<f64>>, threads: usize) -> Assignment {
    let market = seating.market;
    for (used, capacity) in seating.used.iter().zip(&market.limits) {
        assert!(used <= capacity, "a plan never exceeds a limit");
    }
    let value = |(bidder, seat)| f64::from(market.value(bidder, seat));
    let value = market.bidders.iter().zip(seating.seats.iter().copied()).map(value).sum::<f64>();
    let bound =
        |prices: &Vec<f64>| prices::bound(market, &Posted::new(market, prices), prices, threads);
    let (prices, bound) = (candidates.into_iter())
        .map(|prices| (bound(&prices), prices))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(bound, prices)| (prices, bound))
        .expect("there is at least one candidate");
    Assignment { seats: seating.seats, used: seating.used, prices, value, bound: bound.max(value) }
}

#[cfg(test)]
mod tests {
    use super::super::market::{Bidder, Group, Place};
    use super::*;

    pub(super) fn market(people: usize, places: usize, tight: f64, seed: u64) -> Market {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut market = Market::default();
        for place in 0..places {
            market.limits.push(((people as f64 / places as f64 * tight) as i64).max(1) * UNIT);
            market.places.push(Place { counted: vec![place as u32], answered: vec![] });
        }
        let cells: Vec<Vec<u32>> = (0..places as u32).map(|p| vec![p]).collect();
        market.groups.push(Group::new(&cells, places, None));
        let peaks: Vec<f32> =
            (0..places).map(|p| 0.2 + 0.15 * ((p % 24) as f32 / 24.0 * 6.28).sin()).collect();
        for index in 0..people {
            let level = rng.r#gen::<f32>() + 0.5;
            let values = market.values.len();
            market
                .values
                .extend(peaks.iter().map(|peak| level * peak * (0.6 + 0.8 * rng.r#gen::<f32>())));
            market.bidders.push(Bidder {
                group: 0,
                planes: 1,
                values,
                replies: None,
                cost: 0.0,
                tie: (index as u32).wrapping_mul(2_654_435_761),
                bans: (0, 0),
            });
        }
        market
    }

    #[test]
    fn speed() {
        for (people, tight) in [
            (2000, 2.0),
            (2000, 0.7),
            (10_000, 3.0),
            (100_000, 3.0),
            (100_000, 0.9),
            (300_000, 3.0),
        ] {
            let market = market(people, 168, tight, 3);
            let at = std::time::Instant::now();
            let found = assign(&market, 2);
            let full = (0..168).filter(|l| found.prices[*l] > 0.0).count();
            println!(
                "{people} x{tight}: {:?} gap {:.6}% priced {full}",
                at.elapsed(),
                100.0 * (found.bound - found.value) / found.bound
            );
        }
    }
}
