//! Primal repair: cap conflicts are resolved, weights and costs brought within their limits,
//! and what room is left given away. (What counts placements is settled by paths before.)

use std::cmp::Reverse;

use super::placement::Placement;
use super::priced::{PricedValues, Within};
use super::primal::Primal;
use super::problem::UNIT;
use super::total::TotalF64;
use crate::plan::parallel::parallel_map;

/// Takes from each group what breaks its bounds; who has to leave goes where there is room.
pub(super) fn resolve_conflicts(primal: &mut Primal<'_>, priced: &PricedValues) {
    let problem = primal.problem;
    for group in &problem.conflicts.groups {
        let net = |member: &u32| {
            let it = &problem.items[*member as usize];
            let placement = primal.placements[*member as usize];
            f64::from(priced.net(problem, it, placement))
        };
        let mut order: Vec<(TotalF64, u32)> =
            group.members.iter().map(|m| (TotalF64::from(-net(m)), *m)).collect();
        order.sort_unstable();
        let held: Vec<Placement> =
            order.iter().map(|(_, m)| primal.placements[*m as usize]).collect();
        for (_, member) in &order {
            primal.put(*member, Placement::REFUSED);
        }
        for ((_, member), placement) in order.iter().zip(held) {
            if problem.conflicts.allow(*member, placement.slot, &primal.placements) {
                primal.put(*member, placement);
            } else {
                primal.put_best(*member, priced);
            }
        }
    }
}

/// Brings limits that are exceeded back to their capacity, the last resort: those leave first that
/// gain least by their placement for what they free.
pub(super) fn keep_loads(primal: &mut Primal<'_>, priced: &PricedValues) {
    let problem = primal.problem;
    for limit in 0..problem.limits.len() as u32 {
        if !primal.is_over(limit) {
            continue;
        }
        let mut leavers: Vec<(TotalF64, u32, u32)> = Vec::new();
        for (index, item) in problem.items.iter().enumerate() {
            let mut freed = 0;
            let placement = primal.placements[index];
            problem.uses(item, placement, |l, load| freed += if l == limit { load } else { 0 });
            if freed > 0 {
                let gain = f64::from(priced.net(problem, item, placement)) / freed as f64;
                leavers.push((TotalF64::from(gain), item.tie_break, index as u32));
            }
        }
        leavers.sort_unstable();
        for (_, _, item) in leavers {
            if !primal.is_over(limit) {
                break;
            }
            primal.put(item, Placement::REFUSED);
            primal.put_best(item, priced);
        }
    }
}

/// Gives the room that is left to the items that gain most by it; returns whether any was given.
pub(super) fn fill(primal: &mut Primal<'_>, threads: usize) -> bool {
    let problem = primal.problem;
    let has_room = |l: u32, load: i64| primal.used[l as usize] + load <= problem.limits[l as usize];
    let free = PricedValues::free(problem, |slot| {
        let slot = &problem.slots[slot as usize];
        slot.counted.iter().all(|limit| has_room(*limit, UNIT))
            && slot.weighted.iter().all(|(limit, _)| has_room(*limit, LOAD_LEAST))
    });
    let placements = &primal.placements;
    let mut wishes: Vec<(Reverse<TotalF64>, u32, u32)> =
        parallel_map(problem.items.len(), threads, |range| {
            let wish = |index: usize| {
                let item = &problem.items[index];
                let gain = free.best_net(problem, item) - problem.value(item, placements[index]);
                let key = Reverse(TotalF64::from(f64::from(gain)));
                (gain > 0.0).then_some((key, item.tie_break, index as u32))
            };
            range.filter_map(wish).collect::<Vec<_>>()
        })
        .concat();
    wishes.sort_unstable();
    let mut given = false;
    let mut near = Vec::new();
    for (_, _, item) in wishes {
        let it = &problem.items[item as usize];
        let now = problem.value(it, primal.placements[item as usize]);
        free.near(problem, it, Within::Reach(now.next_up()), &mut near);
        near.sort_by_key(|offer| Reverse(TotalF64::from(f64::from(offer.net))));
        let better =
            near.iter().take(TRIED_MAX).find(|offer| primal.has_room(item, offer.placement));
        if let Some(offer) = better {
            given = true;
            primal.put(item, offer.placement);
        }
    }
    given
}

/// A limit with less room than this is full: a thousandth of a weight.
const LOAD_LEAST: i64 = UNIT / 1000;
/// So many of the best offers are tried for room.
const TRIED_MAX: usize = 24;
