//! The problem of a plan: items, the slots they may take, and the limits that slots use up.
//!
//! An item takes at most one slot, with one of its
//! variants, and being refused is always open to it at value zero. Values repeat with the local
//! week, so an item holds one value for each *class*: the slots of its group that are worth the
//! same to it. Two solver slots may share limits.

use std::ops::Range;

use super::conflicts::Conflicts;
use super::placement::{NO_SLOT, Placement};
use crate::plan::parallel::parallel_map;

/// Loads are whole millionths, so that their sums do not depend on the order of adding.
pub(in crate::plan) const UNIT: i64 = 1_000_000;

/// Classes of a group are padded to a multiple of so many, which are searched at once.
pub(in crate::plan) const LANES: usize = 16;

/// Rounds a load up to whole millionths.
pub(in crate::plan) fn load(amount: f64) -> i64 {
    (amount * UNIT as f64).ceil() as i64
}

/// What one slot uses up.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct SlotUse {
    /// Limits of which each placement uses one.
    pub(in crate::plan) counted: Vec<u32>,
    /// Limits on weights, and the share of an item's expected weight that falls on each.
    pub(in crate::plan) weighted: Vec<(u32, f32)>,
}

/// Items with the same slots and the same classes.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Group {
    /// Where each class begins in `slots`, and the end.
    pub(in crate::plan) starts: Vec<u32>,
    /// The slots, class by class.
    pub(in crate::plan) slots: Vec<u32>,
    /// The class of a slot, [`NO_SLOT`] where it is not allowed.
    pub(in crate::plan) class_of: Vec<u32>,
    /// The limit on spend.
    pub(in crate::plan) cost_limit: Option<u32>,
}

impl Group {
    /// Lays out a group from the slots of each of its classes.
    pub(in crate::plan) fn new(
        classes: &[Vec<u32>],
        slots: usize,
        cost_limit: Option<u32>,
    ) -> Self {
        let mut group =
            Self { starts: vec![0], class_of: vec![NO_SLOT; slots], cost_limit, ..Self::default() };
        for (index, class) in classes.iter().enumerate() {
            for &slot in class {
                group.class_of[slot as usize] = index as u32;
            }
            group.slots.extend(class);
            group.starts.push(group.slots.len() as u32);
        }
        let end = group.slots.len() as u32;
        group.starts.resize(classes.len().next_multiple_of(LANES) + 1, end);
        group
    }

    /// How many classes there are, those without slots at the end included.
    pub(in crate::plan) fn classes(&self) -> usize {
        self.starts.len() - 1
    }
}

/// One thing to place.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Item {
    /// Index of its group.
    pub(in crate::plan) group: u32,
    /// Variants that are kept apart because their weights differ; 1 where nothing bounds weights.
    pub(in crate::plan) variants: u32,
    /// Where its values begin: `variants` × classes, negative infinity where it may not or will
    /// not.
    pub(in crate::plan) values: usize,
    /// Where its chances of a weight begin, one a variant, if anything bounds weights.
    pub(in crate::plan) weights: Option<usize>,
    /// What a placement to it costs.
    pub(in crate::plan) cost: f32,
    /// Orders items that are alike.
    pub(in crate::plan) tie_break: u32,
    /// Its own forbidden spans, a range of `Problem::bans`.
    pub(in crate::plan) bans: (u32, u32),
}

impl Item {
    /// Whether its own rules forbid it slots whose class it values.
    pub(in crate::plan) fn has_forbidden_slots(&self) -> bool {
        self.bans.0 != self.bans.1
    }
}

/// Everything that competes, and for what.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Problem {
    /// Capacity of each limit, in millionths.
    pub(in crate::plan) limits: Vec<i64>,
    /// The slots.
    pub(in crate::plan) slots: Vec<SlotUse>,
    /// The groups.
    pub(in crate::plan) groups: Vec<Group>,
    /// The items.
    pub(in crate::plan) items: Vec<Item>,
    /// Values of all items.
    pub(in crate::plan) values: Vec<f32>,
    /// Chances of a weight of all items; empty where nothing bounds weights.
    pub(in crate::plan) weights: Vec<f32>,
    /// Spans of slots that single items may not take.
    pub(in crate::plan) bans: Vec<Range<u32>>,
    /// Items that bind each other.
    pub(in crate::plan) conflicts: Conflicts,
}

impl Problem {
    /// The most that any placement is worth to any item.
    pub(in crate::plan) fn largest(&self, threads: usize) -> f32 {
        let parts = parallel_map(self.values.len(), threads, |range| {
            let mut largest = [0.0_f32; LANES];
            let (runs, rest) = self.values[range].as_chunks::<LANES>();
            for run in runs {
                largest = std::array::from_fn(|at| largest[at].max(run[at]));
            }
            largest.into_iter().chain(rest.iter().copied()).fold(0.0, f32::max)
        });
        parts.into_iter().fold(0.0, f32::max)
    }

    /// Whether an item's own rules allow a slot of its group.
    pub(in crate::plan) fn may_take(&self, item: &Item, slot: u32) -> bool {
        self.bans_of(item).iter().all(|ban| !ban.contains(&slot))
    }

    fn bans_of(&self, item: &Item) -> &[Range<u32>] {
        &self.bans[item.bans.0 as usize..item.bans.1 as usize]
    }

    /// The chance of a weight with a variant.
    pub(in crate::plan) fn weight(&self, item: &Item, variant: u32) -> f32 {
        item.weights.map_or(0.0, |first| self.weights[first + variant as usize])
    }

    /// What a placement is worth to an item before prices; negative infinity where it may not take
    /// it.
    pub(in crate::plan) fn value(&self, item: &Item, placement: Placement) -> f32 {
        if placement.slot == NO_SLOT {
            return 0.0;
        }
        let group = &self.groups[item.group as usize];
        let class = group.class_of[placement.slot as usize];
        if class == NO_SLOT || !self.may_take(item, placement.slot) {
            return f32::NEG_INFINITY;
        }
        self.values[item.values + placement.variant as usize * group.classes() + class as usize]
    }

    /// Whether no limit counts the placements of several slots, or anything but placements.
    pub(in crate::plan) fn has_limit_each(&self) -> bool {
        !self.has_loads() && self.covers().iter().all(|slots| slots.len() < 2)
    }

    /// Whether weights or costs are bounded.
    pub(in crate::plan) fn has_loads(&self) -> bool {
        let mut slots = self.slots.iter();
        self.groups.iter().any(|group| group.cost_limit.is_some())
            || slots.any(|slot| !slot.weighted.is_empty())
    }

    /// The slots that use up each limit by the placement.
    pub(in crate::plan) fn covers(&self) -> Vec<Vec<u32>> {
        let mut covers = vec![Vec::new(); self.limits.len()];
        for (slot, uses) in self.slots.iter().enumerate() {
            uses.counted.iter().for_each(|limit| covers[*limit as usize].push(slot as u32));
        }
        covers
    }

    /// Calls `each` with every limit that a placement of an item uses, and how much of it.
    pub(in crate::plan) fn uses(
        &self,
        item: &Item,
        placement: Placement,
        mut each: impl FnMut(u32, i64),
    ) {
        if placement.slot == NO_SLOT {
            return;
        }
        let slot = &self.slots[placement.slot as usize];
        slot.counted.iter().for_each(|limit| each(*limit, UNIT));
        if !slot.weighted.is_empty() {
            let weight = f64::from(self.weight(item, placement.variant));
            for (limit, share) in &slot.weighted {
                each(*limit, load(weight * f64::from(*share)));
            }
        }
        if let Some(limit) = self.groups[item.group as usize].cost_limit {
            each(limit, load(f64::from(item.cost)));
        }
    }
}
