//! Values after prices: what each item would take at them. The one hot loop of a plan.
//!
//! An item's values lie in rows, one a variant, a number a class. Prices are laid out alike, in
//! *layers*: the first holds the cheapest slot of each class, the next the second cheapest, and so
//! on. What is worth most is then the largest number of a difference of rows.

use super::placement::{NO_SLOT, Placement};
use super::problem::{Group, Item, LANES, Problem};

/// A placement and what it is worth to an item after prices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// The placement.
    pub(super) placement: Placement,
    /// Value less prices.
    pub(super) net: f32,
}

impl Offer {
    pub(super) const REFUSED: Self = Self { placement: Placement::REFUSED, net: 0.0 };
}

/// Which offers are good enough.
#[derive(Debug, Clone, Copy)]
pub(super) enum Within {
    /// Worth no less than the best by more than this.
    OfBest(f32),
    /// Worth at least this.
    Reach(f32),
}

/// Prices of limits, laid out for quick search.
pub(super) struct PricedValues {
    /// Price of a placement at each slot.
    pub(super) slot_price: Vec<f32>,
    /// Price of a weight to a placement at each slot.
    weight: Vec<f32>,
    groups: Vec<PricedGroup>,
}

struct PricedGroup {
    /// Price of cost.
    cost_price: f32,
    /// Whether the cheapest slot of each class is the best for every item who may take it.
    first_is_best: bool,
    layers: Vec<Layer>,
}

/// A slot of each class.
struct Layer {
    slots: Vec<u32>,
    /// Price of a placement; infinite where there is no slot.
    slot_price: Vec<[f32; LANES]>,
    /// Price of a weight.
    weight: Vec<[f32; LANES]>,
}

/// One variant's row of an item, and what it pays.
struct Row<'a> {
    values: &'a [[f32; LANES]],
    weight: f32,
    due: f32,
}

impl PricedValues {
    /// Posts the prices of limits (a price for each whole unit).
    pub(super) fn new(problem: &Problem, prices: &[f64]) -> Self {
        let slot_price: Vec<f32> = (problem.slots.iter())
            .map(|slot| slot.counted.iter().map(|l| prices[*l as usize]).sum::<f64>() as f32)
            .collect();
        let weight: Vec<f32> = (problem.slots.iter())
            .map(|slot| {
                let of = |(l, share): &(u32, f32)| prices[*l as usize] * f64::from(*share);
                slot.weighted.iter().map(of).sum::<f64>() as f32
            })
            .collect();
        let groups = (problem.groups.iter())
            .map(|group| {
                let cost_price =
                    group.cost_limit.map_or(0.0, |limit| prices[limit as usize] as f32);
                PricedGroup::new(group, cost_price, &slot_price, &weight)
            })
            .collect();
        Self { slot_price, weight, groups }
    }

    /// Everything is free where `open` says so, and nothing can be had elsewhere.
    pub(super) fn free(problem: &Problem, open: impl Fn(u32) -> bool) -> Self {
        let price = |slot| if open(slot) { 0.0 } else { f32::INFINITY };
        let slot_price: Vec<f32> = (0..problem.slots.len() as u32).map(price).collect();
        let weight = vec![0.0; problem.slots.len()];
        let group = |group| PricedGroup::new(group, 0.0, &slot_price, &weight);
        let groups = problem.groups.iter().map(group).collect();
        Self { slot_price, weight, groups }
    }

    /// What a placement is worth to an item after prices.
    pub(super) fn net(&self, problem: &Problem, item: &Item, placement: Placement) -> f32 {
        if placement.slot == NO_SLOT {
            return 0.0;
        }
        self.net_of(problem, item, placement, problem.value(item, placement))
    }

    /// The same where the value before prices is known.
    pub(super) fn net_of(
        &self,
        problem: &Problem,
        item: &Item,
        placement: Placement,
        value: f32,
    ) -> f32 {
        let (at, weight) = (placement.slot as usize, problem.weight(item, placement.variant));
        let due = item.cost * self.groups[item.group as usize].cost_price;
        value - self.slot_price[at] - weight * self.weight[at] - due
    }

    /// By how much the price of any placement differs from what it is at other prices, at most; no
    /// item has a weight or a cost above the given.
    pub(super) fn farthest_from(&self, other: &Self, (weight, cost): (f32, f32)) -> f32 {
        let most =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let costs = self.groups.iter().zip(&other.groups);
        let cost_price =
            costs.map(|(a, b)| (a.cost_price - b.cost_price).abs()).fold(0.0, f32::max);
        most(&self.slot_price, &other.slot_price)
            + weight * most(&self.weight, &other.weight)
            + cost * cost_price
    }

    /// The best an item can do at one slot.
    pub(super) fn best_at(&self, problem: &Problem, item: &Item, slot: u32) -> Offer {
        let mut best = Offer { placement: Placement::REFUSED, net: f32::NEG_INFINITY };
        for variant in 0..item.variants {
            let placement = Placement { slot, variant };
            let net = self.net(problem, item, placement);
            if net > best.net {
                best = Offer { placement, net };
            }
        }
        best
    }

    /// The best offer to an item, being refused among them; of slots that are worth the same one
    /// by its tie.
    pub(super) fn best(&self, problem: &Problem, item: &Item) -> Offer {
        let mut best = Offer::REFUSED;
        let layers = &self.groups[item.group as usize].layers;
        for variant in 0..item.variants {
            let row = self.row(problem, item, variant);
            for turn in 0..layers.len() {
                let layer = &layers[(item.tie_break as usize + turn) % layers.len()];
                row.above(layer, best.net, |class, net| {
                    let slot = layer.slots[class];
                    if problem.may_take(item, slot) {
                        best = Offer { placement: Placement { slot, variant }, net };
                    }
                    best.net
                });
            }
        }
        best
    }

    /// What the best offer is worth.
    pub(super) fn best_net(&self, problem: &Problem, item: &Item) -> f32 {
        if item.has_forbidden_slots() {
            return self.best(problem, item).net;
        }
        let layers = self.groups[item.group as usize].best_layers();
        let mut best = 0.0_f32;
        for variant in 0..item.variants {
            let row = self.row(problem, item, variant);
            best = layers.iter().fold(best, |best, layer| best.max(row.largest(layer)));
        }
        best
    }

    /// Every offer that is good enough, being refused among them; returns what the best is worth if
    /// that was asked for.
    pub(super) fn near(
        &self,
        problem: &Problem,
        item: &Item,
        within: Within,
        out: &mut Vec<Offer>,
    ) -> f32 {
        let (best, least) = match within {
            Within::Reach(least) => (f32::NEG_INFINITY, least),
            Within::OfBest(reach) => {
                let best = self.best_net(problem, item);
                (best, best - reach)
            }
        };
        out.clear();
        out.extend((least <= 0.0).then_some(Offer::REFUSED));
        let below = least.max(f32::MIN).next_down();
        for variant in 0..item.variants {
            let row = self.row(problem, item, variant);
            for layer in &self.groups[item.group as usize].layers {
                let found = row.above(layer, below, |class, net| {
                    let slot = layer.slots[class];
                    if problem.may_take(item, slot) {
                        out.push(Offer { placement: Placement { slot, variant }, net });
                    }
                    below
                });
                if !found && self.groups[item.group as usize].first_is_best {
                    break;
                }
            }
        }
        best
    }

    fn row<'a>(&self, problem: &'a Problem, item: &Item, variant: u32) -> Row<'a> {
        let classes = problem.groups[item.group as usize].classes();
        let first = item.values + variant as usize * classes;
        Row {
            values: problem.values[first..first + classes].as_chunks().0,
            weight: problem.weight(item, variant),
            due: item.cost * self.groups[item.group as usize].cost_price,
        }
    }
}

impl Row<'_> {
    /// Values less prices in a run of classes.
    fn nets(&self, layer: &Layer, run: usize) -> [f32; LANES] {
        let (values, slot_price) = (&self.values[run], &layer.slot_price[run]);
        let Some(weight) = layer.weight.get(run) else {
            return std::array::from_fn(|lane| values[lane] - slot_price[lane] - self.due);
        };
        std::array::from_fn(|at| values[at] - slot_price[at] - self.weight * weight[at] - self.due)
    }

    /// The largest.
    fn largest(&self, layer: &Layer) -> f32 {
        let mut largest = [f32::NEG_INFINITY; LANES];
        for run in 0..self.values.len() {
            let nets = self.nets(layer, run);
            largest =
                std::array::from_fn(
                    |at| if nets[at] > largest[at] { nets[at] } else { largest[at] },
                );
        }
        largest.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// Calls `each` with every class and number above `least`, which each call sets anew; whether
    /// there was any.
    fn above(&self, layer: &Layer, least: f32, mut each: impl FnMut(usize, f32) -> f32) -> bool {
        let mut least = least;
        let mut any = false;
        for run in 0..self.values.len() {
            let nets = self.nets(layer, run);
            let count = nets.iter().map(|net| u32::from(*net > least)).sum::<u32>();
            if count == 0 {
                continue;
            }
            any = true;
            for (lane, net) in nets.into_iter().enumerate() {
                if net > least {
                    least = each(run * LANES + lane, net);
                }
            }
        }
        any
    }
}

impl PricedGroup {
    fn new(group: &Group, cost_price: f32, slot_price: &[f32], weight: &[f32]) -> Self {
        let mut sorted = group.slots.clone();
        let class = |class: usize| group.starts[class] as usize..group.starts[class + 1] as usize;
        for slots in (0..group.classes()).map(class) {
            let key = |slot: &u32| (slot_price[*slot as usize], *slot);
            sorted[slots].sort_by(|a, b| key(a).partial_cmp(&key(b)).expect("prices are numbers"));
        }
        let weights = group.slots.iter().any(|slot| weight[*slot as usize] > 0.0);
        let depth = (0..group.classes()).map(|at| class(at).len()).max().unwrap_or(0);
        let layer = |depth: usize| {
            let slot = |at: usize| sorted[class(at)].get(depth).copied().unwrap_or(NO_SLOT);
            let slots: Vec<u32> = (0..group.classes()).map(slot).collect();
            let lay = |prices: &[f32], none: f32| -> Vec<[f32; LANES]> {
                let price = |slot: &u32| prices.get(*slot as usize).copied().unwrap_or(none);
                let row: Vec<f32> = slots.iter().map(price).collect();
                row.as_chunks().0.to_vec()
            };
            let slot_price = lay(slot_price, f32::INFINITY);
            let weight = if weights { lay(weight, 0.0) } else { Vec::new() };
            Layer { slots, slot_price, weight }
        };
        Self { cost_price, first_is_best: !weights, layers: (0..depth).map(layer).collect() }
    }

    /// The layers that hold the best slot of each class.
    fn best_layers(&self) -> &[Layer] {
        let count = if self.first_is_best { 1 } else { self.layers.len() };
        &self.layers[..count.min(self.layers.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::SlotUse;
    use super::*;

    /// A group with up to three slots a class, one item with two variants, and prices.
    fn scene(classes: u32, seed: u32) -> (Problem, Vec<f64>) {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let mut problem = Problem::default();
        let mut lists = Vec::new();
        for class in 0..classes {
            let first = problem.slots.len() as u32;
            let slots: Vec<u32> = (first..=first + class % 3).collect();
            for slot in &slots {
                let weighted =
                    if seed.is_multiple_of(2) { vec![(1, 0.1 * draw())] } else { vec![] };
                problem.limits.push(0);
                problem.slots.push(SlotUse { counted: vec![*slot], weighted });
            }
            lists.push(slots);
        }
        problem.limits.extend([0, 0]);
        problem.groups.push(Group::new(&lists, problem.slots.len(), None));
        let padded = problem.groups[0].classes();
        problem.values = (0..2 * padded).map(|_| draw() - 0.2).collect();
        problem.weights = vec![draw(), draw()];
        let (group, variants, values, weights) = (0, 2, 0, Some(0));
        let bans = (0, u32::from(seed.is_multiple_of(3)));
        problem.bans.push(0..classes / 2);
        let tie_break = seed;
        problem.items.push(Item { group, variants, values, weights, cost: 0.1, tie_break, bans });
        let prices = problem.limits.iter().map(|_| f64::from(draw()) * 0.3).collect();
        (problem, prices)
    }

    #[test]
    fn the_quick_search_finds_what_a_slow_one_finds() {
        for (index, classes) in [1, 2, 15, 16, 17, 168, 1030].into_iter().enumerate() {
            for seed in 0..30 {
                let (problem, prices) = scene(classes, seed * 7 + index as u32);
                let item = &problem.items[0];
                let priced = PricedValues::new(&problem, &prices);
                let placements = (0..problem.slots.len() as u32)
                    .flat_map(|slot| (0..2).map(move |variant| Placement { slot, variant }))
                    .chain([Placement::REFUSED]);
                let slow: Vec<(Placement, f32)> = placements
                    .map(|placement| (placement, priced.net(&problem, item, placement)))
                    .collect();
                let best = slow.iter().map(|(_, net)| *net).fold(f32::MIN, f32::max);
                let found = priced.best(&problem, item);
                assert_eq!(found.net.to_bits(), best.to_bits());
                assert_eq!(priced.net(&problem, item, found.placement).to_bits(), best.to_bits());
                let mut near = Vec::new();
                let told = priced.near(&problem, item, Within::OfBest(0.2), &mut near);
                assert_eq!(told.to_bits(), best.to_bits());
                let good = slow.iter().filter(|(_, net)| *net >= best - 0.2);
                let mut good: Vec<Placement> = good.map(|(placement, _)| *placement).collect();
                let mut found: Vec<Placement> = near.iter().map(|offer| offer.placement).collect();
                good.sort_by_key(|placement| (placement.slot, placement.variant));
                found.sort_by_key(|placement| (placement.slot, placement.variant));
                assert_eq!(found, good);
            }
        }
    }
}
