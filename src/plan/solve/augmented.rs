//! Augmented Lagrangian: which of its nearly best placements each item takes, so that limits are
//! used to the full.
//!
//! At good prices nearly every item has one best placement; some are about as well off with
//! another, and which of theirs they take decides how much is used of each limit. They are placed
//! one after another, in rounds, at prices that rise with what is used beyond a limit and fall with
//! what is left of it (the augmented Lagrangian of Hestenes 1969 and Powell 1969, coordinate by
//! coordinate), ever more steeply. Then limits are firm, and what is left of them is given away at
//! falling prices. Loads may be of any size: placements, weights, cost.

use super::dual::DualPrices;
use super::placement::Placement;
use super::priced::{PricedValues, Within};
use super::primal::Primal;
use super::problem::{Problem, UNIT};
use crate::plan::parallel::parallel_map;

/// Placements count that are worth less than the best by so many widths of what prices are sure of
/// …
const DEPTH: f64 = 32.0;
/// … or by so many times more, until enough items have a choice.
const DEEPER: f64 = 4.0;
/// So many for each limit,
const CHOOSERS_PER_LIMIT: usize = 24;
/// or nine in ten of all items.
const CHOOSERS_MOST: f64 = 0.9;
/// How often every item chooses while prices still give way.
const TURNS: i32 = 25;
/// How much steeper prices are from turn to turn; in the first a placement too many or too few
/// moves a price by the width.
const STEEPER: f64 = 1.4;
/// How much steeper they rise beyond a limit than they fall below.
const RISE: f64 = 16.0;
/// What is aimed at is less than a limit by this share of a placement: less costs less than more.
const MARGIN: f64 = 0.25;
/// The shares of the prices at which the room that is left is given away.
const FALLING: [f64; 5] = [1.0, 0.75, 0.5, 0.25, 0.0];
/// What breaking a firm limit by a placement costs: more than any placement is worth.
const FORBIDDEN: f64 = 1e3;

/// Places the items anew that have several nearly best placements.
pub(super) fn settle(
    primal: &mut Primal<'_>,
    priced: &PricedValues,
    found: &DualPrices,
    threads: usize,
) {
    let problem = primal.problem;
    let mut augmented =
        AugmentedLagrangian::new(primal, flexible(problem, priced, found.width, threads));
    for turn in 0..TURNS {
        let steep = found.width * STEEPER.powi(turn);
        augmented.turn(primal, |limit, used, load| {
            let limit = limit as usize;
            let typical = found.reach[limit];
            let slope = Slope { price: found.prices[limit], steep: steep * typical * typical };
            let aim = whole(problem.limits[limit]) - MARGIN / typical;
            slope.cost(whole(used + load) - aim) - slope.cost(whole(used) - aim)
        });
    }
    if !problem.has_loads() {
        // paths give away what room is left, and better
        return;
    }
    for share in FALLING {
        augmented.turn(primal, |limit, used, load| {
            let limit = limit as usize;
            let beyond = |used: i64| (used - problem.limits[limit]).max(0);
            let broken = whole(beyond(used + load) - beyond(used)) * found.reach[limit];
            whole(load) * share * found.prices[limit] + FORBIDDEN * broken
        });
    }
}

fn whole(load: i64) -> f64 {
    load as f64 / UNIT as f64
}

/// How the price of a limit follows what is used of it.
struct Slope {
    price: f64,
    steep: f64,
}

impl Slope {
    /// What all that is used costs, less what it costs to use the limit up.
    fn cost(&self, over: f64) -> f64 {
        if over > 0.0 {
            return over * (self.price + 0.5 * RISE * self.steep * over);
        }
        let price = (self.price + self.steep * over).max(0.0);
        (price * price - self.price * self.price) / (2.0 * self.steep)
    }
}

/// Items with more than one placement that is nearly best, and these.
fn flexible(
    problem: &Problem,
    priced: &PricedValues,
    width: f64,
    threads: usize,
) -> Vec<(u32, Vec<Placement>)> {
    let largest = problem.largest(threads);
    let most = (problem.items.len() as f64 * CHOOSERS_MOST) as usize;
    let enough = (CHOOSERS_PER_LIMIT * problem.limits.len()).min(most);
    let mut depth = (width * DEPTH) as f32;
    loop {
        let parts = parallel_map(problem.items.len(), threads, |range| {
            let (mut found, mut near) = (Vec::new(), Vec::new());
            for index in range {
                let item = &problem.items[index];
                priced.near(problem, item, Within::OfBest(depth), &mut near);
                if near.len() > 1 {
                    let placements: Vec<Placement> =
                        near.iter().map(|offer| offer.placement).collect();
                    found.push((index as u32, placements));
                }
            }
            found
        });
        if parts.iter().map(Vec::len).sum::<usize>() >= enough || depth > largest {
            return parts.concat();
        }
        depth *= DEEPER as f32;
    }
}

/// The items with a choice, and what they choose from.
struct AugmentedLagrangian {
    flexible: Vec<FlexibleItem>,
    options: Vec<PlacementOption>,
    uses: Vec<(u32, i64)>,
}

struct FlexibleItem {
    item: u32,
    /// A range of the choices.
    options: (u32, u32),
    taken_option: u32,
}

struct PlacementOption {
    placement: Placement,
    value: f64,
    /// A range of the uses.
    uses: (u32, u32),
}

impl AugmentedLagrangian {
    fn new(primal: &Primal<'_>, mut flexible: Vec<(u32, Vec<Placement>)>) -> Self {
        let problem = primal.problem;
        flexible.sort_by_key(|(item, _)| (problem.items[*item as usize].tie_break, *item));
        let mut augmented = Self { flexible: Vec::new(), options: Vec::new(), uses: Vec::new() };
        for (item, placements) in flexible {
            let it = &problem.items[item as usize];
            let first = augmented.options.len() as u32;
            let held = placements
                .iter()
                .position(|placement| *placement == primal.placements[item as usize]);
            for placement in placements {
                let from = augmented.uses.len() as u32;
                problem.uses(it, placement, |limit, load| augmented.uses.push((limit, load)));
                let value = f64::from(problem.value(it, placement));
                let uses = (from, augmented.uses.len() as u32);
                augmented.options.push(PlacementOption { placement, value, uses });
            }
            let taken_option = first + held.expect("everybody holds a best placement") as u32;
            let options = (first, augmented.options.len() as u32);
            augmented.flexible.push(FlexibleItem { item, options, taken_option });
        }
        augmented
    }

    /// Every item takes the placement that is worth most less what `cost` says of each of its uses,
    /// given the limit, what others use of it, and the load.
    fn turn(&mut self, primal: &mut Primal<'_>, cost: impl Fn(u32, i64, i64) -> f64) {
        let uses =
            |option: &PlacementOption| &self.uses[option.uses.0 as usize..option.uses.1 as usize];
        for flexible_item in &mut self.flexible {
            let held = &self.options[flexible_item.taken_option as usize];
            for (limit, load) in uses(held) {
                primal.used[*limit as usize] -= load;
            }
            let mut best = (f64::NEG_INFINITY, flexible_item.taken_option);
            for at in flexible_item.options.0..flexible_item.options.1 {
                let option = &self.options[at as usize];
                let cost =
                    |(limit, load): &(u32, i64)| cost(*limit, primal.used[*limit as usize], *load);
                let net = option.value - uses(option).iter().map(cost).sum::<f64>();
                if net > best.0 {
                    best = (net, at);
                }
            }
            let option = &self.options[best.1 as usize];
            for (limit, load) in uses(option) {
                primal.used[*limit as usize] += load;
            }
            flexible_item.taken_option = best.1;
            primal.placements[flexible_item.item as usize] = option.placement;
        }
    }
}
