//! Prices: the Lagrangian dual of the problem.
//!
//! With a price on each limit every item takes the placement that is worth most to it after prices;
//! the sum of those worths and of capacity × price bounds every plan from above, and the lowest
//! such bound is the dual (Everett 1963). It is convex and piecewise linear in the prices.
//! Near-ties between an item's two best placements are rounded off over a width `h`, which gives it
//! a gradient and a curvature; steps are Newton's, kept above zero and damped (Levenberg 1944),
//! while `h` shrinks. It begins on a small sample of the items and ends on all of them, since a
//! sample's prices are nearly right already. Placements that cannot be chosen within the prices'
//! certainty are fixed out by shortlists, so that most steps scan little. Sums are whole numbers or
//! taken in the items' order, so that the result is the same on any number of threads.

use super::demand::{self, Demand, FINE};
use super::hessian::{DENSE_MAX, Hessian, hessian};
use super::priced::{PricedValues, Within};
use super::problem::{Item, Problem, UNIT};
use super::shortlist::{DEEPER, ListPart, Shortlist};
use crate::plan::parallel::parallel_map;

/// The first sample; each next one is [`SAMPLE_GROWTH`] times larger.
const SAMPLE_FIRST: usize = 1024;
const SAMPLE_GROWTH: usize = 8;
/// Steps on the first sample, on a later one, and on every item.
const STEPS: [usize; 3] = [70, 24, 24];
/// Near-ties wanted for each limit with a price, so that the curvature is not all noise.
const TIES_PER_LIMIT: usize = 12;
/// Steps that lower the bound by less than this share of it are not worth another.
const PROGRESS_MIN: f64 = 2e-6;
/// Near-ties are narrowed once a step lowers the bound by less than this share of it.
const SETTLED: f64 = 0.004;
/// Below this share a change of the bound is rounding.
const NOISE: f64 = 1e-8;
/// So many such steps in a row end the search.
const IDLE_MAX: usize = 2;
/// Rounding off may add this share to the bound.
const SHARP: f64 = 1e-5;
/// Bounds of the trust in the model, in widths a step.
const TRUST: (f64, f64) = (1e-4, 4.0);
/// How much farther a price may go after each step that did not reach far enough, and at most.
const LONGER: f64 = 4.0;
const LONGEST: f64 = 64.0;
/// What prices of a sample are wrong by, in widths that it ended with.
const WIDER: f32 = 8.0;
/// The least curvature of a limit, as a share of the mean.
const FLOOR: f64 = 1e-3;
const SWEEPS: usize = 60;

/// The bound that prices give: no plan is worth more.
pub(super) fn bound(
    problem: &Problem,
    priced: &PricedValues,
    prices: &[f64],
    threads: usize,
) -> f64 {
    let parts = parallel_map(problem.items.len(), threads, |range| {
        let worth = |item: &Item| f64::from(priced.best_net(problem, item));
        problem.items[range].iter().map(|b| (worth(b) * FINE) as i64 + 1).sum::<i64>()
    });
    parts.iter().sum::<i64>() as f64 / FINE + capacity_cost(&problem.limits, prices, 1.0)
}

fn capacity_cost(limits: &[i64], prices: &[f64], scale: f64) -> f64 {
    limits.iter().zip(prices).map(|(c, p)| *c as f64 / UNIT as f64 * scale * p).sum()
}

/// Prices that come close to the lowest bound.
pub(super) struct DualPrices {
    /// A price for a unit of each limit.
    pub(super) prices: Vec<f64>,
    /// How close they are, in worth.
    pub(super) width: f64,
    /// How far each limit's price moves where a placement's moves by one.
    pub(super) reach: Vec<f64>,
}

/// Finds them.
pub(super) fn minimize(problem: &Problem, threads: usize) -> DualPrices {
    let mut search = DualSearch::new(problem, threads);
    let mut size = SAMPLE_FIRST;
    let mut steps = STEPS[0];
    while size < problem.items.len() / 4 {
        let share = size as f64 / problem.items.len() as f64;
        let below = (share * f64::from(u32::MAX)) as u32;
        let all = 0..problem.items.len() as u32;
        let sample: Vec<u32> =
            all.filter(|i| problem.items[*i as usize].tie_break < below).collect();
        search.descend(Some(&sample), steps);
        search.width = (search.width * WIDER).min(search.widest);
        size *= SAMPLE_GROWTH;
        steps = STEPS[1];
    }
    search.descend(None, if steps == STEPS[0] { steps } else { STEPS[2] });
    DualPrices { prices: search.prices, width: f64::from(search.width), reach: search.reach }
}

struct DualSearch<'a> {
    problem: &'a Problem,
    threads: usize,
    prices: Vec<f64>,
    /// Width of near-ties, in worth.
    width: f32,
    widest: f32,
    /// How many widths a step may go.
    trust: f64,
    /// By how much each limit's price may move where a placement's moves by one.
    reach: Vec<f64>,
    /// By how much farther a price may go that went as far as it could.
    stride: Vec<f64>,
    /// The largest weight and the largest cost of any item.
    heaviest: (f32, f32),
    /// What the items of the present scan may take within the prices' certainty.
    shortlist: Option<Shortlist>,
}

/// The bound around the present prices, as a quadratic in the limits that matter.
struct QuadraticModel {
    value: f64,
    active: Vec<u32>,
    slope: Vec<f64>,
    hessian: Hessian,
    splits: usize,
}

impl<'a> DualSearch<'a> {
    fn new(problem: &'a Problem, threads: usize) -> Self {
        let largest = problem.largest(threads);
        let widest = (largest * 0.1).max(f32::MIN_POSITIVE);
        Self {
            problem,
            threads,
            prices: vec![0.0; problem.limits.len()],
            width: widest,
            widest,
            trust: 1.0,
            reach: reach(problem),
            stride: vec![1.0; problem.limits.len()],
            heaviest: (
                problem.weights.iter().copied().fold(0.0, f32::max),
                problem.items.iter().map(|item| item.cost).fold(0.0, f32::max),
            ),
            shortlist: None,
        }
    }

    /// Lowers the bound over a sample of the items, or over all.
    fn descend(&mut self, sample: Option<&[u32]>, steps: usize) {
        let count = sample.map_or(self.problem.items.len(), <[u32]>::len);
        let scale = count as f64 / self.problem.items.len().max(1) as f64;
        self.shortlist = None;
        let mut model = self.model(sample, scale, self.width, &self.prices.clone()).1;
        // a sample before this one has settled it nearly
        let (mut idle, mut settled) = (0, self.width < self.widest);
        self.trust = 1.0;
        for _ in 0..steps {
            if model.slope.is_empty() {
                break;
            }
            let wanted = (TIES_PER_LIMIT * model.active.len()).min(count / 10).max(32);
            let (tried, far) = self.step(&model);
            let strained = far.len() * 3 > model.active.len();
            let narrow = settled && !strained && model.splits > wanted;
            let widen = strained && self.trust >= TRUST.1;
            let next_width = match () {
                () if narrow => self.width * 0.5,
                () if widen => (self.width * 2.0).min(self.widest),
                () => self.width,
            };
            let (value, next) = self.model(sample, scale, next_width, &tried);
            let gain = model.value - value;
            let small = gain.abs() < PROGRESS_MIN * value.abs();
            // what rounding off adds to the bound is then no more than what is asked for
            let sharp = f64::from(next_width) * next.splits as f64 <= SHARP * value.abs();
            idle = if small && (sharp || !(narrow || widen)) { idle + 1 } else { 0 };
            // single precision does not tell less from nothing
            let lost = if narrow { PROGRESS_MIN } else { NOISE };
            if gain >= -lost * value.abs() {
                settled = gain < SETTLED * value.abs();
                self.prices = tried;
                self.trust = (self.trust * 1.6).min(TRUST.1);
                self.shorten(0.5);
                for limit in far {
                    let stride = &mut self.stride[limit as usize];
                    *stride = (*stride * LONGER).min(LONGEST);
                }
                self.width = next_width;
                model = next;
            } else {
                self.trust *= 0.35;
                self.shorten(0.25);
                idle += usize::from(self.trust < TRUST.0);
            }
            if idle >= IDLE_MAX {
                break;
            }
        }
    }

    /// The bound at `prices` rounded at the present width, and a model of it at the next width.
    fn model(
        &mut self,
        sample: Option<&[u32]>,
        scale: f64,
        next: f32,
        prices: &[f64],
    ) -> (f64, QuadraticModel) {
        let problem = self.problem;
        let priced = PricedValues::new(problem, prices);
        let widths = [self.width, next];
        let demand = self.demand(sample, priced, widths);
        let capacity_cost = capacity_cost(&problem.limits, prices, scale);
        let value = demand.rounded[0] as f64 / FINE + capacity_cost;
        let at_next = demand.rounded[1] as f64 / FINE + capacity_cost;
        (value, QuadraticModel::new(problem, &demand, prices, scale, at_next, next))
    }

    /// What the items take at prices: by their shortlists while those hold, else by a scan of
    /// everything that makes them anew.
    fn demand(&mut self, sample: Option<&[u32]>, priced: PricedValues, widths: [f32; 2]) -> Demand {
        let problem = self.problem;
        let count = sample.map_or(problem.items.len(), <[u32]>::len);
        let index = |at: usize| sample.map_or(at as u32, |sample| sample[at]);
        let reach = demand::reach(widths);
        let listed = self.shortlist.as_ref();
        if let Some(listed) = listed.filter(|list| list.holds(&priced, self.heaviest, reach)) {
            return joined(parallel_map(count, self.threads, |range| {
                let (mut demand, mut near) = (Demand::new(problem), Vec::new());
                for at in range {
                    let item = (at, &problem.items[index(at) as usize]);
                    let best = listed.near(problem, &priced, item, reach, &mut near);
                    demand.add(problem, index(at), (best, &near), widths);
                }
                demand
            }));
        }
        let depth = reach * DEEPER;
        let parts = parallel_map(count, self.threads, |range| {
            let (mut demand, mut near) = (Demand::new(problem), Vec::new());
            let mut list = ListPart::default();
            for at in range.clone() {
                let item = &problem.items[index(at) as usize];
                let within = if list.is_too_long() { reach } else { depth };
                let best = priced.near(problem, item, Within::OfBest(within), &mut near);
                list.push(problem, item, &near);
                near.retain(|offer| offer.net >= best - reach);
                demand.add(problem, index(at), (best, &near), widths);
            }
            (demand, (range, list))
        });
        let (demands, lists): (Vec<Demand>, Vec<_>) = parts.into_iter().unzip();
        self.shortlist = Shortlist::new(lists, priced, depth);
        joined(demands)
    }

    fn shorten(&mut self, share: f64) {
        self.stride.iter_mut().for_each(|stride| *stride = (*stride * share).max(1.0));
    }

    /// Newton's step by coordinate descent on the model, within prices above zero and within reach
    /// of where the model can be trusted; and the limits that this held back.
    fn step(&self, model: &QuadraticModel) -> (Vec<f64>, Vec<u32>) {
        let n = model.active.len();
        let mut change = vec![0.0_f64; n];
        let mut slope = model.slope.clone();
        let diagonal = |i: usize| match &model.hessian {
            Hessian::Dense(hessian) => hessian[i * n + i],
            Hessian::Diagonal(hessian) => hessian[i],
        };
        let mean = (0..n).map(diagonal).sum::<f64>() / n as f64;
        let floor = (mean * FLOOR).max(f64::MIN_POSITIVE);
        let reach = |i: usize| {
            let limit = model.active[i] as usize;
            self.trust * f64::from(self.width) * self.reach[limit] * self.stride[limit]
        };
        for _ in 0..SWEEPS {
            let mut moved = 0.0_f64;
            for i in 0..n {
                let price = self.prices[model.active[i] as usize];
                let own = diagonal(i).max(floor);
                let to = (change[i] - slope[i] / own).clamp(-reach(i).min(price), reach(i));
                let by = to - change[i];
                if by == 0.0 {
                    continue;
                }
                change[i] = to;
                moved = moved.max((by * own).abs());
                if let Hessian::Dense(hessian) = &model.hessian {
                    let row = &hessian[i * n..(i + 1) * n];
                    slope.iter_mut().zip(row).for_each(|(slope, hessian)| *slope += hessian * by);
                } else {
                    slope[i] += diagonal(i) * by;
                }
            }
            if moved < 1e-3 {
                break;
            }
        }
        let far = (0..n).filter(|i| change[*i].abs() >= reach(*i));
        let far: Vec<u32> = far.map(|i| model.active[i]).collect();
        let mut prices = self.prices.clone();
        for (limit, change) in model.active.iter().zip(&change) {
            let price = &mut prices[*limit as usize];
            *price = (*price + change).max(0.0);
        }
        (prices, far)
    }
}

fn joined(parts: Vec<Demand>) -> Demand {
    let mut parts = parts.into_iter();
    let mut demand = parts.next().expect("there is at least one part");
    parts.for_each(|part| demand.join(part));
    demand
}

/// How far each limit's price moves where a placement's moves by one: one over the load of a
/// typical placement on it.
fn reach(problem: &Problem) -> Vec<f64> {
    let mean = |sum: f64, count: usize| if sum > 0.0 { sum / count as f64 } else { 1.0 };
    let weights: f64 = problem.weights.iter().copied().map(f64::from).sum();
    let weight = mean(weights, problem.weights.len());
    let mut loads = vec![1.0_f64; problem.limits.len()];
    for (limit, share) in problem.slots.iter().flat_map(|slot| &slot.weighted) {
        loads[*limit as usize] = weight * f64::from(*share);
    }
    let mut cost_limit = vec![(0.0, 0_usize); problem.limits.len()];
    for item in &problem.items {
        if let Some(limit) = problem.groups[item.group as usize].cost_limit {
            let (sum, count) = &mut cost_limit[limit as usize];
            (*sum, *count) = (*sum + f64::from(item.cost), *count + 1);
        }
    }
    for (load, (sum, count)) in
        loads.iter_mut().zip(cost_limit).filter(|(_, (_, count))| *count > 0)
    {
        *load = mean(sum, count);
    }
    loads.iter().map(|load| 1.0 / load.max(1e-6)).collect()
}

impl QuadraticModel {
    fn new(
        problem: &Problem,
        demand: &Demand,
        prices: &[f64],
        scale: f64,
        value: f64,
        width: f32,
    ) -> Self {
        let used = demand.used(problem);
        let spare: Vec<f64> = (problem.limits.iter().zip(&used))
            .map(|(capacity, used)| *capacity as f64 / UNIT as f64 * scale - used)
            .collect();
        // a limit that costs nothing and is far from full stays as it is
        let matters = |l: &u32| {
            let l = *l as usize;
            prices.len() <= DENSE_MAX / 2 || prices[l] > 0.0 || spare[l] < used[l]
        };
        let active: Vec<u32> = (0..problem.limits.len() as u32).filter(matters).collect();
        let slope = active.iter().map(|limit| spare[*limit as usize]).collect();
        let hessian = hessian(problem, &demand.splits, &active, f64::from(width));
        Self { value, active, slope, hessian, splits: demand.splits.len() }
    }
}
