//! The solver: the generalized assignment problem of a plan, in numbers only.
//!
//! Each item takes at most one slot, of those that have a value for it, in one of its variants;
//! slots use up limits. [`solve`] prices the limits by the Lagrangian dual (`dual`, `demand`,
//! `hessian`), decides between the nearly best placements of each item by an augmented Lagrangian
//! (`augmented`) and by successive shortest paths (`shortest_paths`, min-cost flow), and repairs
//! what is left over a limit (`repair`, on the `primal` solution). Where every limit counts the
//! placements of one slot, shortest paths alone end optimal. Where loads are of any size, the
//! augmented Lagrangian and the primal repair are all, and the bound tells how far from the optimum
//! that may be.
//!
//! Knows nothing of people, campaigns, clocks or money. *Invariants:* no limit is exceeded; the
//! value never exceeds the bound, which is the dual's alone, at the prices that are returned.

mod augmented;
mod conflicts;
mod demand;
mod dual;
mod hessian;
mod placement;
mod priced;
mod primal;
mod problem;
mod repair;
mod shortest_paths;
mod shortlist;
mod total;

pub(super) use conflicts::{ConflictGroup, Conflicts, SpanLimit};
pub(super) use placement::{NO_SLOT, Placement};
pub(super) use problem::{Group, Item, LANES, Problem, SlotUse, UNIT, load};

use crate::plan::parallel::parallel_map;
use priced::PricedValues;
use primal::Primal;

/// Moves are looked up at first within so many widths of what the prices are sure of.
const DEPTH: f64 = 16.0;
/// How often room that a move leaves is given away in turn.
const FILLS_MAX: usize = 3;

/// A placement for every item, with the proof of how good that is.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    /// In the order of the items.
    pub(super) placements: Vec<Placement>,
    /// The price of one unit of each limit.
    pub(super) prices: Vec<f64>,
    /// No assignment within the limits is worth more.
    pub(super) bound: f64,
    /// Whether the bound lets parts of an item go to several slots. Where each limit counts the
    /// placements of one slot, whole items reach as much.
    pub(super) splits_items: bool,
}

/// Solves a problem, the same on any number of threads.
pub(super) fn solve(problem: &Problem, threads: usize) -> Solution {
    let found = dual::minimize(problem, threads);
    let priced = PricedValues::new(problem, &found.prices);
    let mut primal = Primal::new(problem, best_placements(problem, &priced, threads));
    let mut candidates = Vec::new();
    if !problem.has_limit_each() {
        augmented::settle(&mut primal, &priced, &found, threads);
    }
    if !problem.has_loads() {
        let slot_prices =
            shortest_paths::settle(&mut primal, &priced, found.width * DEPTH, threads);
        candidates.push(in_accord(problem, found.prices.clone(), &slot_prices));
    }
    candidates.push(found.prices);
    repair::resolve_conflicts(&mut primal, &priced);
    repair::keep_loads(&mut primal, &priced);
    for _ in 0..FILLS_MAX {
        if !repair::fill(&mut primal, threads) {
            break;
        }
    }
    certify(primal, candidates, threads)
}

/// The best placement of each item at the prices.
fn best_placements(problem: &Problem, priced: &PricedValues, threads: usize) -> Vec<Placement> {
    let placement = |b| priced.best(problem, b).placement;
    let take =
        |range| problem.items[range as std::ops::Range<usize>].iter().map(placement).collect();
    parallel_map::<Vec<Placement>>(problem.items.len(), threads, take).concat()
}

/// Prices of limits in accord with the price of a placement at each slot after the paths.
fn in_accord(problem: &Problem, mut prices: Vec<f64>, slot_prices: &[f64]) -> Vec<f64> {
    let mut only = vec![NO_SLOT; problem.limits.len()];
    let mut slots = vec![0_u32; problem.limits.len()];
    for (index, slot) in problem.slots.iter().enumerate() {
        for limit in &slot.counted {
            only[*limit as usize] = index as u32;
            slots[*limit as usize] += 1;
        }
    }
    for limit in (0..problem.limits.len()).filter(|limit| slots[*limit] == 1) {
        let slot = only[limit] as usize;
        let others = problem.slots[slot].counted.iter().filter(|l| **l as usize != limit);
        let others: f64 = others.map(|l| prices[*l as usize]).sum();
        prices[limit] = (slot_prices[slot] - others).max(0.0);
    }
    prices
}

fn certify(primal: Primal<'_>, candidates: Vec<Vec<f64>>, threads: usize) -> Solution {
    let problem = primal.problem;
    for (used, capacity) in primal.used.iter().zip(&problem.limits) {
        assert!(used <= capacity, "a plan never exceeds a limit");
    }
    let value = |(item, placement)| f64::from(problem.value(item, placement));
    let value = problem.items.iter().zip(primal.placements.iter().copied()).map(value).sum::<f64>();
    let bound = |prices: &Vec<f64>| {
        dual::bound(problem, &PricedValues::new(problem, prices), prices, threads)
    };
    let (prices, bound) = (candidates.into_iter())
        .map(|prices| (bound(&prices), prices))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(bound, prices)| (prices, bound))
        .expect("there is at least one candidate");
    Solution {
        placements: primal.placements,
        prices,
        bound: bound.max(value),
        splits_items: !problem.has_limit_each(),
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Items with levels and tastes of their own for slots of two groups; each slot has room for
    /// its part of `room` × the items.
    fn problem(items: u32, slots: u32, room: f64, seed: u64) -> Problem {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut problem = Problem::default();
        for slot in 0..slots {
            let most =
                (f64::from(items) / f64::from(slots) * room * rng.gen_range(0.5..1.5)) as i64;
            problem.limits.push(most * UNIT);
            problem.slots.push(SlotUse { counted: vec![slot], ..SlotUse::default() });
        }
        let classes: Vec<Vec<u32>> = (0..slots).map(|slot| vec![slot]).collect();
        problem.groups.push(Group::new(&classes, slots as usize, None));
        // the second group is indifferent between pairs of slots
        let classes: Vec<Vec<u32>> = (0..slots / 2).map(|at| vec![2 * at, 2 * at + 1]).collect();
        problem.groups.push(Group::new(&classes, slots as usize, None));
        for tie_break in 0..items {
            let (group, level) = (tie_break % 2, rng.gen_range(0.2..1.0_f32));
            let values = problem.values.len();
            let worth = (0..problem.groups[group as usize].classes())
                .map(|class| level * (0.2 + (class % 24) as f32 / 30.0) * rng.gen_range(0.6..1.4));
            problem.values.extend(worth.collect::<Vec<_>>());
            let tie_break = tie_break.wrapping_mul(0x9e37_79b9);
            let (variants, weights, cost, bans) = (1, None, 0.0, (0, 0));
            problem.items.push(Item { group, variants, values, weights, cost, tie_break, bans });
        }
        problem
    }

    fn value(problem: &Problem, assignment: &Solution) -> f64 {
        let worth = |(item, placement)| f64::from(problem.value(item, placement));
        problem.items.iter().zip(assignment.placements.iter().copied()).map(worth).sum()
    }

    #[test]
    fn places_with_limits_of_their_own_are_filled_optimally() {
        for (seed, room) in [(1, 0.3), (2, 0.9), (3, 1.1), (4, 3.0), (5, 0.02)] {
            let problem = problem(1500, 48, room, seed);
            let found = solve(&problem, 2);
            let value = value(&problem, &found);
            let missing = found.bound - value;
            assert!(
                missing > -1e-6 && missing <= 1e-4 * value + 1e-5,
                "seed {seed}: {value} of {}",
                found.bound
            );
        }
    }

    #[test]
    fn few_items_that_compete_for_single_slots_are_placed_optimally_too() {
        // prices of so few are far off, so that paths have all to do
        for seed in 0..60 {
            let problem = problem(60 + seed % 90, 50, 0.7 + f64::from(seed % 9) / 4.0, seed.into());
            let found = solve(&problem, 1);
            let value = value(&problem, &found);
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
        let one = solve(&problem(9000, 24, 0.7, 9), 1);
        for threads in [2, 3, 7] {
            let same = solve(&problem(9000, 24, 0.7, 9), threads);
            assert!(one.placements == same.placements && one.prices == same.prices);
            assert_eq!(one.bound.to_bits(), same.bound.to_bits());
        }
    }

    #[test]
    fn without_capacity_or_items_nothing_is_placed() {
        let none = solve(&problem(50, 4, 0.0, 1), 2);
        assert!(none.placements.iter().all(|placement| *placement == Placement::REFUSED));
        assert!(none.bound < 1e-3, "{}", none.bound);
        assert!(solve(&Problem::default(), 2).placements.is_empty());
    }
}
