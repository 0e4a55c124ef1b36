//! A primal solution on its way: the placement of each item, and what that uses of each limit.

use std::cmp::Reverse;

use super::placement::Placement;
use super::priced::{PricedValues, Within};
use super::problem::{Problem, UNIT};
use super::total::TotalF64;

/// Who sits where, and what that uses.
pub(super) struct Primal<'a> {
    pub(super) problem: &'a Problem,
    pub(super) placements: Vec<Placement>,
    pub(super) used: Vec<i64>,
}

impl<'a> Primal<'a> {
    /// Counts what the given placements use.
    pub(super) fn new(problem: &'a Problem, placements: Vec<Placement>) -> Self {
        let mut used = vec![0; problem.limits.len()];
        for (item, placement) in problem.items.iter().zip(&placements) {
            problem.uses(item, *placement, |limit, load| used[limit as usize] += load);
        }
        Self { problem, placements, used }
    }

    /// Moves one item, whatever the limits say.
    pub(super) fn put(&mut self, item: u32, placement: Placement) {
        let it = &self.problem.items[item as usize];
        let old = std::mem::replace(&mut self.placements[item as usize], placement);
        let used = &mut self.used;
        self.problem.uses(it, old, |limit, load| used[limit as usize] -= load);
        self.problem.uses(it, placement, |limit, load| used[limit as usize] += load);
    }

    /// Whether an item can move to a placement without breaking a limit that holds now.
    pub(super) fn has_room(&self, item: u32, placement: Placement) -> bool {
        let it = &self.problem.items[item as usize];
        let old = self.placements[item as usize];
        let mut room = true;
        self.problem.uses(it, placement, |limit, load| {
            let mut freed = 0;
            self.problem.uses(it, old, |l, load| freed += if l == limit { load } else { 0 });
            let after = self.used[limit as usize] + load - freed;
            room &= after <= self.problem.limits[limit as usize] || load <= freed;
        });
        room && self.problem.conflicts.allow(item, placement.slot, &self.placements)
    }

    /// Whether one more placement fits into a slot.
    pub(super) fn is_idle(&self, slot: usize) -> bool {
        let mut limits = self.problem.slots[slot].counted.iter().map(|limit| *limit as usize);
        limits.all(|limit| self.used[limit] + UNIT <= self.problem.limits[limit])
    }

    /// Whether one more placement fits into a slot that does not count against `relieved`, once one
    /// has left another slot.
    pub(super) fn has_room_after(&self, slot: usize, left: usize, relieved: u32) -> bool {
        let slots = &self.problem.slots;
        slots[slot].counted.iter().all(|limit| {
            let after = self.used[*limit as usize] + UNIT;
            let fits = after <= self.problem.limits[*limit as usize];
            *limit != relieved && (fits || slots[left].counted.contains(limit))
        })
    }

    /// Moves one item to the best placement after prices that has room, or to none.
    pub(super) fn put_best(&mut self, item: u32, priced: &PricedValues) {
        let it = &self.problem.items[item as usize];
        let mut near = Vec::new();
        priced.near(self.problem, it, Within::Reach(0.0), &mut near);
        near.sort_by_key(|offer| Reverse(TotalF64::from(f64::from(offer.net))));
        let open = near.into_iter().find(|offer| self.has_room(item, offer.placement));
        self.put(item, open.map_or(Placement::REFUSED, |offer| offer.placement));
    }

    /// Whether more is used of a limit than there is.
    pub(super) fn is_over(&self, limit: u32) -> bool {
        self.used[limit as usize] > self.problem.limits[limit as usize]
    }
}
