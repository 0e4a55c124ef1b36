//! The curvature of the bound: how demand moves when prices do.

use super::demand::SplitItem;
use super::placement::{NO_SLOT, Placement};
use super::problem::{Item, Problem, SlotUse};

/// Past so many limits with a price only the diagonal of the curvature is kept.
pub(super) const DENSE_MAX: usize = 1200;
/// Pairs of placements that are looked at. Past it an even sample of the items speaks for all:
/// where many people are alike, each of them is between hundreds of placements, and all say the
/// same.
const PAIRS_MAX: usize = 30_000_000;

/// Second derivatives of the bound by the active limits' prices: all, or each by its own alone.
pub(super) enum Hessian {
    Dense(Vec<f64>),
    Diagonal(Vec<f64>),
}

/// Each item between placements curves the bound by the covariance of what its placements use.
pub(super) fn hessian(
    problem: &Problem,
    splits: &[SplitItem],
    active: &[u32],
    width: f64,
) -> Hessian {
    let features = Features::new(problem, active);
    if active.len() <= DENSE_MAX {
        let pairs: usize = splits.iter().map(|tie_break| tie_break.shares.len().pow(2)).sum();
        let every = pairs / PAIRS_MAX + 1;
        let width = width / every as f64;
        Hessian::Dense(features.dense(problem, splits.iter().step_by(every), active.len(), width))
    } else {
        Hessian::Diagonal(features.diagonal(problem, splits, active.len(), width))
    }
}

/// What placements differ in: the placement and the weight at each slot, and cost. Far fewer than
/// what limits over many slots would make of them.
struct Features {
    count: usize,
    weights: bool,
    /// Feature of cost by limit.
    costs: Vec<u32>,
    /// The active limits of each feature, by index, with the share that falls on them.
    limits: Vec<Vec<(u32, f64)>>,
}

impl Features {
    fn new(problem: &Problem, active: &[u32]) -> Self {
        let mut index = vec![NO_SLOT; problem.limits.len()];
        active.iter().enumerate().for_each(|(at, limit)| index[*limit as usize] = at as u32);
        let live = |limit: u32| Some(index[limit as usize]).filter(|at| *at != NO_SLOT);
        let weights = !problem.weights.is_empty();
        let counted = |slot: &SlotUse| -> Vec<(u32, f64)> {
            slot.counted.iter().filter_map(|limit| Some((live(*limit)?, 1.0))).collect()
        };
        let weighted = |slot: &SlotUse| -> Vec<(u32, f64)> {
            let share = |(limit, share): &(u32, f32)| Some((live(*limit)?, f64::from(*share)));
            slot.weighted.iter().filter_map(share).collect()
        };
        let mut limits: Vec<Vec<(u32, f64)>> = problem.slots.iter().map(counted).collect();
        if weights {
            limits.extend(problem.slots.iter().map(weighted));
        }
        let mut costs = vec![NO_SLOT; problem.limits.len()];
        for limit in problem.groups.iter().filter_map(|group| group.cost_limit) {
            if let Some(at) = live(limit).filter(|_| costs[limit as usize] == NO_SLOT) {
                costs[limit as usize] = limits.len() as u32;
                limits.push(vec![(at, 1.0)]);
            }
        }
        Self { count: limits.len(), weights, costs, limits }
    }

    /// Calls `each` with the features of a placement.
    fn of(
        &self,
        problem: &Problem,
        item: &Item,
        placement: Placement,
        mut each: impl FnMut(usize, f64),
    ) {
        if placement.slot == NO_SLOT {
            return;
        }
        each(placement.slot as usize, 1.0);
        if self.weights {
            let weight = f64::from(problem.weight(item, placement.variant));
            each(problem.slots.len() + placement.slot as usize, weight);
        }
        if let Some(limit) = problem.groups[item.group as usize].cost_limit {
            let at = self.costs[limit as usize];
            if at != NO_SLOT {
                each(at as usize, f64::from(item.cost));
            }
        }
    }

    fn dense<'t>(
        &self,
        problem: &Problem,
        splits: impl Iterator<Item = &'t SplitItem>,
        n: usize,
        width: f64,
    ) -> Vec<f64> {
        // too many slots to pair are few limits to pair
        let direct = self.count > DENSE_MAX;
        let m = if direct { n } else { self.count };
        let mut covariance = vec![0.0; m * m];
        let mut mean: Vec<(usize, f64)> = Vec::new();
        let mut own: Vec<(usize, f64)> = Vec::new();
        for tie_break in splits {
            let item = &problem.items[tie_break.item as usize];
            mean.clear();
            for (placement, share) in &tie_break.shares {
                own.clear();
                self.of(problem, item, *placement, |feature, amount| {
                    if direct {
                        let of = self.limits[feature].iter();
                        own.extend(of.map(|(limit, part)| (*limit as usize, amount * part)));
                    } else {
                        own.push((feature, amount));
                    }
                });
                for &(f, a) in &own {
                    for &(g, b) in &own {
                        covariance[f * m + g] += share * a * b / width;
                    }
                    mean.push((f, share * a));
                }
            }
            for &(f, a) in &mean {
                for &(g, b) in &mean {
                    covariance[f * m + g] -= a * b / width;
                }
            }
        }
        if direct { covariance } else { self.by_limit(&covariance, n) }
    }

    /// From the covariance of features to that of limits.
    fn by_limit(&self, covariance: &[f64], n: usize) -> Vec<f64> {
        let mut hessian = vec![0.0; n * n];
        for (f, of_f) in self.limits.iter().enumerate() {
            for (g, of_g) in self.limits.iter().enumerate() {
                let both = covariance[f * self.count + g];
                if both != 0.0 {
                    for &(i, a) in of_f {
                        for &(j, b) in of_g {
                            hessian[i as usize * n + j as usize] += a * b * both;
                        }
                    }
                }
            }
        }
        hessian
    }

    fn diagonal(&self, problem: &Problem, splits: &[SplitItem], n: usize, width: f64) -> Vec<f64> {
        let mut hessian = vec![0.0; n];
        let mut uses: Vec<(u32, f64, f64)> = Vec::new();
        for tie_break in splits {
            let item = &problem.items[tie_break.item as usize];
            uses.clear();
            for (placement, share) in &tie_break.shares {
                self.of(problem, item, *placement, |feature, amount| {
                    let of = self.limits[feature].iter();
                    uses.extend(of.map(|(limit, part)| (*limit, *share, amount * part)));
                });
            }
            uses.sort_by_key(|(limit, _, _)| *limit);
            for same in uses.chunk_by(|a, b| a.0 == b.0) {
                let mean: f64 = same.iter().map(|(_, share, load)| share * load).sum();
                let square: f64 = same.iter().map(|(_, share, load)| share * load * load).sum();
                hessian[same[0].0 as usize] += (square - mean * mean).max(0.0) / width;
            }
        }
        hessian
    }
}
