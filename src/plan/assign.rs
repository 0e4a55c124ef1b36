//! The assignment: prices, then repair, then a certificate.
//!
//! *Invariant:* no limit is exceeded, and the value never exceeds the bound.

use super::chains;
use super::market::{Market, NOWHERE, Posted, Seat};
use super::prices::{self, in_parts};
use super::repair::{self, Seating};
use super::rivals::Rivals;

/// Moves are looked up at first within so many widths of what the prices are sure of.
const DEPTH: f64 = 16.0;

/// How often room that a move leaves is given away in turn.
const FILLS_MAX: usize = 3;

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
pub(super) fn assign(market: &Market, rivals: &Rivals, threads: usize) -> Assignment {
    let (prices, width) = prices::find(market, threads);
    let posted = Posted::new(market, &prices);
    let mut seating = Seating::new(market, rivals, wishes(market, &posted, threads));
    let messages = chains::settle(&mut seating, &posted, width * DEPTH, threads);
    rivals.part(&mut seating, &posted);
    repair::keep_loads(&mut seating, &posted);
    for _ in 0..FILLS_MAX {
        if !repair::fill(&mut seating, &prices, &messages, threads) {
            break;
        }
    }
    let settled = in_accord(market, prices.clone(), &messages);
    certify(seating, vec![prices, settled], threads)
}

/// What everybody would take at posted prices.
fn wishes(market: &Market, posted: &Posted, threads: usize) -> Vec<Seat> {
    let seat = |b| posted.best_two(market, b)[0].seat;
    let take = |range| market.bidders[range as std::ops::Range<usize>].iter().map(seat).collect();
    in_parts::<Vec<Seat>>(market.bidders.len(), threads, take).concat()
}

/// Prices of limits in accord with the price of a message at each place after the chains.
fn in_accord(market: &Market, mut prices: Vec<f64>, messages: &[f64]) -> Vec<f64> {
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
        prices[limit] = (messages[place] - others).max(0.0);
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
    use super::super::market::{Bidder, Group, Place, UNIT};
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
            let found = assign(&market, &Rivals::default(), 2);
            let full = (0..168).filter(|l| found.prices[*l] > 0.0).count();
            println!(
                "{people} x{tight}: {:?} gap {:.6}% priced {full}",
                at.elapsed(),
                100.0 * (found.bound - found.value) / found.bound
            );
        }
    }
}
