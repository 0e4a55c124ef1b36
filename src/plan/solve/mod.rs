//! The assignment: prices, then seats for those between several, then a certificate.
//!
//! Where every limit counts the messages of one place, chains seat everybody optimally. Limits over
//! several places are balanced first; where replies or money are bounded the balance is all.
//!
//! *Invariant:* no limit is exceeded, and the value never exceeds the bound.

mod augmented;
pub(super) mod conflicts;
mod demand;
mod dual;
mod hessian;
mod priced;
pub(super) mod problem;
mod repair;
mod shortest_paths;
mod total;

use crate::plan::parallel::in_parts;
use conflicts::Rivals;
use priced::Posted;
use problem::{Market, NOWHERE, Seat};
use repair::Seating;

/// Moves are looked up at first within so many widths of what the prices are sure of.
const DEPTH: f64 = 16.0;
/// How often room that a move leaves is given away in turn.
const FILLS_MAX: usize = 3;

/// A seat for every bidder, with the proof of how good that is.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Assignment {
    /// In the order of the bidders.
    pub(in crate::plan) seats: Vec<Seat>,
    /// The price of one unit of each limit.
    pub(in crate::plan) prices: Vec<f64>,
    /// No assignment within the limits is worth more.
    pub(in crate::plan) bound: f64,
}

/// Assigns seats, the same on any number of threads.
pub(in crate::plan) fn assign(market: &Market, rivals: &Rivals, threads: usize) -> Assignment {
    let found = dual::find(market, threads);
    let posted = Posted::new(market, &found.prices);
    let mut seating = Seating::new(market, rivals, wishes(market, &posted, threads));
    let mut candidates = Vec::new();
    if !market.has_limit_each() {
        augmented::settle(&mut seating, &posted, &found, threads);
    }
    if !market.has_loads() {
        let messages = shortest_paths::settle(&mut seating, &posted, found.width * DEPTH, threads);
        candidates.push(in_accord(market, found.prices.clone(), &messages));
    }
    candidates.push(found.prices);
    rivals.part(&mut seating, &posted);
    repair::keep_loads(&mut seating, &posted);
    for _ in 0..FILLS_MAX {
        if !repair::fill(&mut seating, threads) {
            break;
        }
    }
    certify(seating, candidates, threads)
}

/// What everybody would take at posted prices.
fn wishes(market: &Market, posted: &Posted, threads: usize) -> Vec<Seat> {
    let seat = |b| posted.best(market, b).seat;
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
        |prices: &Vec<f64>| dual::bound(market, &Posted::new(market, prices), prices, threads);
    let (prices, bound) = (candidates.into_iter())
        .map(|prices| (bound(&prices), prices))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(bound, prices)| (prices, bound))
        .expect("there is at least one candidate");
    Assignment { seats: seating.seats, prices, bound: bound.max(value) }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::problem::{Bidder, Group, Place, UNIT};
    use super::*;

    /// Bidders with levels and tastes of their own for places of two groups; each place has room for
    /// its part of `room` × the bidders.
    fn market(bidders: u32, places: u32, room: f64, seed: u64) -> Market {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut market = Market::default();
        for place in 0..places {
            let most =
                (f64::from(bidders) / f64::from(places) * room * rng.gen_range(0.5..1.5)) as i64;
            market.limits.push(most * UNIT);
            market.places.push(Place { counted: vec![place], ..Place::default() });
        }
        let cells: Vec<Vec<u32>> = (0..places).map(|place| vec![place]).collect();
        market.groups.push(Group::new(&cells, places as usize, None));
        // the second group is indifferent between pairs of places
        let cells: Vec<Vec<u32>> = (0..places / 2).map(|at| vec![2 * at, 2 * at + 1]).collect();
        market.groups.push(Group::new(&cells, places as usize, None));
        for tie in 0..bidders {
            let (group, level) = (tie % 2, rng.gen_range(0.2..1.0_f32));
            let values = market.values.len();
            let worth = (0..market.groups[group as usize].cells())
                .map(|cell| level * (0.2 + (cell % 24) as f32 / 30.0) * rng.gen_range(0.6..1.4));
            market.values.extend(worth.collect::<Vec<_>>());
            let tie = tie.wrapping_mul(0x9e37_79b9);
            let (planes, replies, cost, bans) = (1, None, 0.0, (0, 0));
            market.bidders.push(Bidder { group, planes, values, replies, cost, tie, bans });
        }
        market
    }

    fn value(market: &Market, assignment: &Assignment) -> f64 {
        let worth = |(bidder, seat)| f64::from(market.value(bidder, seat));
        market.bidders.iter().zip(assignment.seats.iter().copied()).map(worth).sum()
    }

    #[test]
    fn places_with_limits_of_their_own_are_filled_optimally() {
        for (seed, room) in [(1, 0.3), (2, 0.9), (3, 1.1), (4, 3.0), (5, 0.02)] {
            let market = market(1500, 48, room, seed);
            let found = assign(&market, &Rivals::default(), 2);
            let value = value(&market, &found);
            let missing = found.bound - value;
            assert!(
                missing > -1e-6 && missing <= 1e-4 * value + 1e-5,
                "seed {seed}: {value} of {}",
                found.bound
            );
        }
    }

    #[test]
    fn a_few_who_vie_for_single_seats_are_seated_optimally_too() {
        // prices of so few are far off, so that chains have all to do
        for seed in 0..60 {
            let market = market(60 + seed % 90, 50, 0.7 + f64::from(seed % 9) / 4.0, seed.into());
            let found = assign(&market, &Rivals::default(), 1);
            let value = value(&market, &found);
            let missing = found.bound - value;
            assert!(
                value > 0.0 && missing <= 1e-5 * value,
                "seed {seed}: {value} of {}",
                found.bound
            );
        }
    }

    #[test]
    fn any_number_of_threads_assigns_the_same() {
        let one = assign(&market(9000, 24, 0.7, 9), &Rivals::default(), 1);
        for threads in [2, 3, 7] {
            let same = assign(&market(9000, 24, 0.7, 9), &Rivals::default(), threads);
            assert!(one.seats == same.seats && one.prices == same.prices);
            assert_eq!(one.bound.to_bits(), same.bound.to_bits());
        }
    }

    #[test]
    fn without_room_or_bidders_nothing_is_assigned() {
        let none = assign(&market(50, 4, 0.0, 1), &Rivals::default(), 2);
        assert!(none.seats.iter().all(|seat| *seat == Seat::REFUSED));
        assert!(none.bound < 1e-3, "{}", none.bound);
        assert!(assign(&Market::default(), &Rivals::default(), 2).seats.is_empty());
    }
}
