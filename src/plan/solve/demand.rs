//! A scan: what all items would take at given prices, with near-ties shared out.

use super::placement::{NO_SLOT, Placement};
use super::priced::Offer;
use super::problem::{Item, Problem};

/// Offers worth less than the best by more than so many τ do not count.
const NEAR: f32 = 12.0;
/// Nor do smaller shares curve the bound.
const SHARE_LEAST: f64 = 0.003;
/// Worths and loads are summed as whole multiples of 2⁻³².
pub(super) const FINE: f64 = (1_u64 << 32) as f64;

/// An item between placements: its share of each.
pub(super) struct SplitItem {
    pub(super) item: u32,
    pub(super) shares: Vec<(Placement, f64)>,
}

/// What a scan of items at given prices found.
#[derive(Default)]
pub(super) struct Demand {
    /// Bound rounded off at the width of the last model, and at the new one.
    pub(super) rounded: [i64; 2],
    /// Shares of placements and of weights at each slot, and of cost on each limit.
    counts: Vec<i64>,
    weights: Vec<i64>,
    costs: Vec<i64>,
    /// Items between placements.
    pub(super) splits: Vec<SplitItem>,
}

/// How far below the best an offer still counts at some widths.
pub(super) fn reach(widths: [f32; 2]) -> f32 {
    NEAR * widths[0].max(widths[1])
}

impl Demand {
    /// Nothing seen yet.
    pub(super) fn new(problem: &Problem) -> Self {
        let weights = if problem.weights.is_empty() { 0 } else { problem.slots.len() };
        Self {
            counts: vec![0; problem.slots.len()],
            weights: vec![0; weights],
            costs: vec![0; problem.limits.len()],
            ..Self::default()
        }
    }

    /// Sees one item, rounded off at two widths, with its offers within [`reach`] of the best.
    pub(super) fn add(
        &mut self,
        problem: &Problem,
        index: u32,
        (best, near): (f32, &[Offer]),
        widths: [f32; 2],
    ) {
        let item = &problem.items[index as usize];
        if let [only] = near {
            let worth = (f64::from(best) * FINE) as i64;
            self.rounded.iter_mut().for_each(|sum| *sum += worth);
            self.take(problem, item, only.placement, 1.0);
        } else {
            let weight = |offer: &Offer, width: f32| f64::from(((offer.net - best) / width).exp());
            let sums = widths.map(|width| near.iter().map(|o| weight(o, width)).sum::<f64>());
            for ((rounded, sum), width) in self.rounded.iter_mut().zip(sums).zip(widths) {
                *rounded += ((f64::from(best) + f64::from(width) * sum.ln()) * FINE) as i64;
            }
            let mut shares: Vec<(Placement, f64)> =
                near.iter().map(|o| (o.placement, weight(o, widths[1]) / sums[1])).collect();
            for (placement, share) in &shares {
                self.take(problem, item, *placement, *share);
            }
            shares.retain(|(_, share)| *share > SHARE_LEAST);
            if shares.len() > 1 {
                // most offers do not count: room for all of them would be most of a plan's memory
                shares.shrink_to_fit();
                self.splits.push(SplitItem { item: index, shares });
            }
        }
    }

    fn take(&mut self, problem: &Problem, item: &Item, placement: Placement, share: f64) {
        if placement.slot == NO_SLOT {
            return;
        }
        let at = placement.slot as usize;
        self.counts[at] += (share * FINE) as i64;
        if let Some(sum) = self.weights.get_mut(at) {
            *sum += (share * f64::from(problem.weight(item, placement.variant)) * FINE) as i64;
        }
        if let Some(limit) = problem.groups[item.group as usize].cost_limit {
            self.costs[limit as usize] += (share * f64::from(item.cost) * FINE) as i64;
        }
    }

    /// Takes over what another has seen of later items.
    pub(super) fn join(&mut self, other: Demand) {
        let add = |to: &mut Vec<i64>, from: Vec<i64>| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        self.rounded[0] += other.rounded[0];
        self.rounded[1] += other.rounded[1];
        add(&mut self.counts, other.counts);
        add(&mut self.weights, other.weights);
        add(&mut self.costs, other.costs);
        self.splits.extend(other.splits);
    }

    /// What is used of each limit, in whole units.
    pub(super) fn used(&self, problem: &Problem) -> Vec<f64> {
        let mut used: Vec<f64> = self.costs.iter().map(|sum| *sum as f64 / FINE).collect();
        for (index, slot) in problem.slots.iter().enumerate() {
            let counts = self.counts[index] as f64 / FINE;
            slot.counted.iter().for_each(|limit| used[*limit as usize] += counts);
            if let Some(weights) = self.weights.get(index) {
                for (limit, share) in &slot.weighted {
                    used[*limit as usize] += *weights as f64 / FINE * f64::from(*share);
                }
            }
        }
        used
    }
}
