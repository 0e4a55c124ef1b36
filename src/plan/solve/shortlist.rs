//! Shortlists: placements that cannot be chosen within the prices' certainty are fixed out.
//!
//! A list holds, for each item, the placements that were worth the best less `depth` or more at
//! some prices. While no placement's price has moved by more than `m` since, each that lies within
//! `reach` of the best is still on it, as long as `reach + 2 m <= depth`: then a scan of the lists
//! finds what a scan of everything would, at a small part of the cost. Once prices have moved
//! farther the lists are made anew. The bound that is certified at the end is taken over all
//! placements.

use std::ops::Range;

use super::placement::{NO_SLOT, Placement};
use super::priced::{Offer, PricedValues};
use super::problem::{Item, Problem};

/// Lists reach so many times as far as the scan that makes them, so that prices may move.
pub(super) const DEEPER: f32 = 8.0;
/// Longer lists than so many placements an item save nothing.
const LENGTH_MOST: usize = 24;

/// The lists of some items, one after another.
#[derive(Default)]
pub(super) struct ListPart {
    /// Where each item's list ends.
    ends: Vec<u32>,
    entries: Vec<(Placement, f32)>,
    is_too_long: bool,
}

impl ListPart {
    /// Adds an item's list from offers within the depth.
    pub(super) fn push(&mut self, problem: &Problem, item: &Item, offers: &[Offer]) {
        if self.is_too_long {
            return;
        }
        let placed = offers.iter().map(|offer| offer.placement).filter(|p| p.slot != NO_SLOT);
        self.entries.extend(placed.map(|placement| (placement, problem.value(item, placement))));
        self.ends.push(self.entries.len() as u32);
        // the first few may be long by chance
        let most = LENGTH_MOST * self.ends.len().max(256);
        self.is_too_long = self.entries.len() > most;
    }

    /// Whether the lists are too long to save anything.
    pub(super) fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    fn list(&self, at: usize) -> &[(Placement, f32)] {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.entries[from as usize..self.ends[at] as usize]
    }
}

/// The lists of all items of a scan, and the prices at which they were made.
pub(super) struct Shortlist {
    parts: Vec<(Range<usize>, ListPart)>,
    priced: PricedValues,
    depth: f32,
}

impl Shortlist {
    /// Joins the parts of a scan; `None` where the lists are too long to save anything.
    pub(super) fn new(
        parts: Vec<(Range<usize>, ListPart)>,
        priced: PricedValues,
        depth: f32,
    ) -> Option<Self> {
        let fits = parts.iter().all(|(_, part)| !part.is_too_long);
        fits.then_some(Self { parts, priced, depth })
    }

    /// Whether the lists hold everything within `reach` of the best at other prices; no item has a
    /// weight or a cost above the `heaviest`.
    pub(super) fn holds(&self, priced: &PricedValues, heaviest: (f32, f32), reach: f32) -> bool {
        reach + 2.0 * priced.farthest_from(&self.priced, heaviest) <= self.depth
    }

    /// The offers on the list of the item at a place of the scan that are worth the best less
    /// `reach` or more, being refused among them; returns what the best is worth.
    pub(super) fn near(
        &self,
        problem: &Problem,
        priced: &PricedValues,
        (at, item): (usize, &Item),
        reach: f32,
        out: &mut Vec<Offer>,
    ) -> f32 {
        let part = self.parts.partition_point(|(range, _)| range.end <= at);
        let (range, part) = &self.parts[part];
        out.clear();
        out.push(Offer::REFUSED);
        let mut best = 0.0_f32;
        for &(placement, value) in part.list(at - range.start) {
            let net = priced.net_of(problem, item, placement, value);
            best = best.max(net);
            out.push(Offer { placement, net });
        }
        out.retain(|offer| offer.net >= best - reach);
        best
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::super::priced::Within;
    use super::super::problem::{Group, SlotUse};
    use super::*;

    /// Items with two variants of different weight for slots that count and weigh them.
    fn problem(items: u32, slots: u32, seed: u64) -> Problem {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut problem = Problem::default();
        for slot in 0..slots {
            problem.limits.push(0);
            let weighted = vec![(slots, rng.gen_range(0.0..1.0))];
            problem.slots.push(SlotUse { counted: vec![slot], weighted });
        }
        problem.limits.extend([0, 0]);
        let classes: Vec<Vec<u32>> = (0..slots / 2).map(|at| vec![2 * at, 2 * at + 1]).collect();
        problem.groups.push(Group::new(&classes, slots as usize, Some(slots + 1)));
        let row = problem.groups[0].classes();
        for tie_break in 0..items {
            let values = problem.values.len();
            problem.values.extend((0..2 * row).map(|_| rng.gen_range(0.0..1.0_f32)));
            let weights = Some(problem.weights.len());
            problem.weights.extend([rng.gen_range(0.0..1.0_f32), rng.gen_range(0.0..1.0)]);
            let (group, variants, cost, bans) = (0, 2, rng.gen_range(0.0..0.5), (0, 0));
            let item = Item { group, variants, values, weights, cost, tie_break, bans };
            problem.items.push(item);
        }
        problem
    }

    #[test]
    fn lists_hold_what_a_scan_of_everything_finds_while_prices_have_not_moved_too_far() {
        let problem = problem(300, 40, 1);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let mut prices: Vec<f64> = (0..42).map(|_| rng.gen_range(0.0..0.4)).collect();
        let first = PricedValues::new(&problem, &prices);
        let (depth, reach) = (0.3, 0.05);
        let (mut list, mut near) = (ListPart::default(), Vec::new());
        for item in &problem.items {
            first.near(&problem, item, Within::OfBest(depth), &mut near);
            list.push(&problem, item, &near);
        }
        assert!(list.entries.len() < 300 * 40, "nothing is fixed out");
        let shortlist = Shortlist::new(vec![(0..300, list)], first, depth).unwrap();
        let (mut held, mut listed) = (0, Vec::new());
        for _ in 0..40 {
            prices.iter_mut().for_each(|p| *p = (*p + rng.gen_range(-0.012..0.012_f64)).max(0.0));
            let priced = PricedValues::new(&problem, &prices);
            if !shortlist.holds(&priced, (1.0, 0.5), reach) {
                continue;
            }
            held += 1;
            for (at, item) in problem.items.iter().enumerate() {
                let best = priced.near(&problem, item, Within::OfBest(reach), &mut near);
                let told = shortlist.near(&problem, &priced, (at, item), reach, &mut listed);
                assert_eq!(told.to_bits(), best.to_bits());
                let key = |offer: &Offer| (offer.placement.slot, offer.placement.variant);
                near.sort_by_key(key);
                listed.sort_by_key(key);
                let placements = |of: &[Offer]| of.iter().map(key).collect::<Vec<_>>();
                assert_eq!(placements(&listed), placements(&near));
            }
        }
        assert!(held > 3 && held < 40, "{held}: prices move too little or too much");
    }
}
