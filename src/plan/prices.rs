//! Prices: the Lagrangian dual of the market.
//!
//! With a price on each limit every bidder takes the seat that is worth most to it after prices;
//! the sum of those worths and of capacity × price bounds every plan from above, and the lowest such
//! bound is the dual (Everett 1963). It is convex and piecewise linear in the prices. Near-ties
//! between a bidder's two best seats are rounded off over a width `h`, which gives it a gradient and
//! a curvature; steps are Newton's, kept above zero and damped (Levenberg 1944), while `h` shrinks.
//! It begins on a small sample of the bidders and ends on all of them, since a sample's prices are
//! nearly right already. Sums are whole numbers or taken in the bidders' order, so that the result
//! is the same on any number of threads.

use super::market::{Bidder, Market, NOWHERE, Posted, Seat, UNIT};

/// The first sample; each next one is [`SAMPLE_GROWTH`] times larger.
const SAMPLE_FIRST: usize = 4096;
const SAMPLE_GROWTH: usize = 8;
/// Steps on the first sample, on a later one, and on everybody.
const STEPS: [usize; 3] = [70, 24, 12];
/// Past so many limits with a price only the diagonal of the curvature is kept.
const DENSE_MAX: usize = 1200;
/// Near-ties wanted for each limit with a price, so that the curvature is not all noise.
const TIES_PER_LIMIT: usize = 12;
/// Steps that lower the bound by less than this share of it are not worth another.
const PROGRESS_MIN: f64 = 2e-6;
/// Near-ties are narrowed once a step lowers the bound by less than this share of it.
const SETTLED: f64 = 0.004;
/// So many such steps in a row end the search.
const IDLE_MAX: usize = 2;
const DAMPING: (f64, f64) = (1e-4, 1e4);
const SWEEPS: usize = 60;
/// Worths are summed as whole multiples of 2⁻³², loads of 2⁻²⁰.
const WORTH: f64 = (1_u64 << 32) as f64;
const SHARE: f64 = (1_u64 << 20) as f64;

/// Splits bidders among threads, in order.
pub(super) fn in_parts<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(std::ops::Range<usize>) -> T + Sync,
) -> Vec<T> {
    const WORTHWHILE: usize = 2048;
    let parts = threads.clamp(1, count.div_ceil(WORTHWHILE).max(1));
    let size = count.div_ceil(parts).max(1);
    if parts == 1 {
        return vec![work(0..count)];
    }
    std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..parts)
            .map(|part| {
                scope.spawn(move || work((part * size).min(count)..((part + 1) * size).min(count)))
            })
            .collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|part| part.expect("a part's panic is passed on")).collect()
    })
}

/// The bound that prices give: no plan is worth more.
pub(super) fn bound(market: &Market, posted: &Posted, prices: &[f64], threads: usize) -> f64 {
    let parts = in_parts(market.bidders.len(), threads, |range| {
        let worth = |bidder: &Bidder| f64::from(posted.best_two(market, bidder)[0].net);
        market.bidders[range].iter().map(|b| (worth(b) * WORTH) as i64 + 1).sum::<i64>()
    });
    parts.iter().sum::<i64>() as f64 / WORTH + rent(&market.limits, prices, 1.0)
}

fn rent(limits: &[i64], prices: &[f64], scale: f64) -> f64 {
    limits.iter().zip(prices).map(|(c, p)| *c as f64 / UNIT as f64 * scale * p).sum()
}

/// Finds prices that come close to the lowest bound.
pub(super) fn find(market: &Market, threads: usize) -> Vec<f64> {
    let mut search = Search::new(market, threads);
    let mut size = SAMPLE_FIRST;
    let mut steps = STEPS[0];
    while size < market.bidders.len() / 2 {
        let share = size as f64 / market.bidders.len() as f64;
        let below = (share * f64::from(u32::MAX)) as u32;
        let all = 0..market.bidders.len() as u32;
        let sample: Vec<u32> = all.filter(|i| market.bidders[*i as usize].tie < below).collect();
        search.descend(Some(&sample), steps);
        size *= SAMPLE_GROWTH;
        steps = STEPS[1];
    }
    search.descend(None, if steps == STEPS[0] { steps } else { STEPS[2] });
    search.prices
}

struct Search<'a> {
    market: &'a Market,
    threads: usize,
    prices: Vec<f64>,
    /// Width of near-ties, in worth.
    width: f32,
    damping: f64,
}

/// A bidder between two seats.
#[derive(Clone, Copy)]
struct Tie {
    bidder: u32,
    seats: [Seat; 2],
}

/// What a scan of bidders at posted prices found.
#[derive(Default)]
struct Scan {
    /// Bound with near-ties rounded off at the width of the last model, and at the new one.
    rounded: [i64; 2],
    messages: Vec<i64>,
    replies: Vec<i64>,
    money: Vec<i64>,
    ties: Vec<Tie>,
}

/// The bound around the present prices, as a quadratic in the limits that matter.
struct Model {
    value: f64,
    active: Vec<u32>,
    slope: Vec<f64>,
    curve: Curve,
    ties: usize,
}

enum Curve {
    Dense(Vec<f64>),
    Diagonal(Vec<f64>),
}

impl<'a> Search<'a> {
    fn new(market: &'a Market, threads: usize) -> Self {
        let largest = market.values.iter().copied().fold(0.0_f32, f32::max);
        Self {
            market,
            threads,
            prices: vec![0.0; market.limits.len()],
            width: (largest * 0.25).max(f32::MIN_POSITIVE),
            damping: DAMPING.0,
        }
    }

    /// Lowers the bound over a sample of the bidders, or over all.
    fn descend(&mut self, sample: Option<&[u32]>, steps: usize) {
        let count = sample.map_or(self.market.bidders.len(), <[u32]>::len);
        let scale = count as f64 / self.market.bidders.len().max(1) as f64;
        let mut model = self.model(sample, scale, self.width, &self.prices.clone()).1;
        let (mut idle, mut settled) = (0, false);
        for _ in 0..steps {
            if model.slope.is_empty() {
                break;
            }
            let wanted = (TIES_PER_LIMIT * model.active.len()).min(count / 10).max(32);
            let may_narrow = settled && model.ties > wanted;
            let next_width = if may_narrow { self.width * 0.5 } else { self.width };
            let tried = self.step(&model);
            let (value, next) = self.model(sample, scale, next_width, &tried);
            let gain = model.value - value;
            settled = gain.abs() < SETTLED * value.abs();
            let small = gain.abs() < PROGRESS_MIN * value.abs();
            idle = if small && next_width >= self.width { idle + 1 } else { 0 };
            if gain >= 0.0 {
                self.prices = tried;
                self.damping = (self.damping * 0.3).max(DAMPING.0);
                self.width = next_width;
                model = next;
            } else {
                self.damping = (self.damping * 5.0).min(DAMPING.1);
            }
            if idle >= IDLE_MAX {
                break;
            }
        }
    }

    /// The bound at `prices` rounded at the present width, and a model of it at the next width.
    fn model(&self, sample: Option<&[u32]>, scale: f64, next: f32, prices: &[f64]) -> (f64, Model) {
        let market = self.market;
        let posted = Posted::new(market, prices);
        let count = sample.map_or(market.bidders.len(), <[u32]>::len);
        let widths = [self.width, next];
        let parts = in_parts(count, self.threads, |range| {
            let mut scan = Scan::new(market);
            for at in range {
                let index = sample.map_or(at as u32, |sample| sample[at]);
                scan.add(market, &posted, index, widths);
            }
            scan
        });
        let mut parts = parts.into_iter();
        let mut scan = parts.next().expect("there is at least one part");
        parts.for_each(|part| scan.join(part));
        let rent = rent(&market.limits, prices, scale);
        let value = scan.rounded[0] as f64 / WORTH + rent;
        let at_next = scan.rounded[1] as f64 / WORTH + rent;
        (value, Model::new(market, &scan, prices, scale, at_next, next))
    }

    /// Newton's step within prices above zero, by coordinate descent on the model.
    fn step(&self, model: &Model) -> Vec<f64> {
        let n = model.active.len();
        let mut change = vec![0.0; n];
        let mut slope = model.slope.clone();
        let diagonal = |i: usize| match &model.curve {
            Curve::Dense(curve) => curve[i * n + i],
            Curve::Diagonal(curve) => curve[i],
        };
        let mean = (0..n).map(diagonal).sum::<f64>() / n as f64;
        let floor = (mean * 1e-3).max(f64::MIN_POSITIVE);
        for _ in 0..SWEEPS {
            let mut moved = 0.0_f64;
            for i in 0..n {
                let price = self.prices[model.active[i] as usize] + change[i];
                let own = (diagonal(i) * (1.0 + self.damping)).max(floor * (1.0 + self.damping));
                let damped = slope[i] + (own - diagonal(i)) * change[i];
                let by = (-damped / own).max(-price);
                if by == 0.0 {
                    continue;
                }
                change[i] += by;
                moved = moved.max((by * own).abs());
                if let Curve::Dense(curve) = &model.curve {
                    let row = &curve[i * n..(i + 1) * n];
                    slope.iter_mut().zip(row).for_each(|(slope, curve)| *slope += curve * by);
                } else {
                    slope[i] += diagonal(i) * by;
                }
            }
            if moved < 1e-3 {
                break;
            }
        }
        let mut prices = self.prices.clone();
        for (limit, change) in model.active.iter().zip(&change) {
            let price = &mut prices[*limit as usize];
            *price = (*price + change).max(0.0);
        }
        prices
    }
}

impl Scan {
    fn new(market: &Market) -> Self {
        let replies = if market.replies.is_empty() { 0 } else { market.places.len() };
        Self {
            messages: vec![0; market.places.len()],
            replies: vec![0; replies],
            money: vec![0; market.limits.len()],
            ..Self::default()
        }
    }

    fn add(&mut self, market: &Market, posted: &Posted, index: u32, widths: [f32; 2]) {
        let bidder = &market.bidders[index as usize];
        let [first, second] = posted.best_two(market, bidder);
        let margin = first.net - second.net;
        for (sum, width) in self.rounded.iter_mut().zip(widths) {
            let extra = if margin < width { (width - margin).powi(2) / (4.0 * width) } else { 0.0 };
            *sum += ((f64::from(first.net) + f64::from(extra)) * WORTH) as i64;
        }
        if margin >= widths[1] {
            self.take(market, bidder, first.seat, 1.0);
        } else {
            let share = 0.5 + f64::from(margin / widths[1]) * 0.5;
            self.take(market, bidder, first.seat, share);
            self.take(market, bidder, second.seat, 1.0 - share);
            self.ties.push(Tie { bidder: index, seats: [first.seat, second.seat] });
        }
    }

    fn take(&mut self, market: &Market, bidder: &Bidder, seat: Seat, share: f64) {
        if seat.place == NOWHERE {
            return;
        }
        let at = seat.place as usize;
        self.messages[at] += (share * SHARE) as i64;
        if let Some(sum) = self.replies.get_mut(at) {
            *sum += (share * f64::from(market.reply(bidder, seat.plane)) * SHARE) as i64;
        }
        if let Some(limit) = market.groups[bidder.group as usize].paid {
            self.money[limit as usize] += (share * f64::from(bidder.cost) * SHARE) as i64;
        }
    }

    fn join(&mut self, other: Scan) {
        let add = |to: &mut Vec<i64>, from: Vec<i64>| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        self.rounded[0] += other.rounded[0];
        self.rounded[1] += other.rounded[1];
        add(&mut self.messages, other.messages);
        add(&mut self.replies, other.replies);
        add(&mut self.money, other.money);
        self.ties.extend(other.ties);
    }

    /// What is used of each limit, in whole units.
    fn used(&self, market: &Market) -> Vec<f64> {
        let mut used: Vec<f64> = self.money.iter().map(|sum| *sum as f64 / SHARE).collect();
        for (index, place) in market.places.iter().enumerate() {
            let messages = self.messages[index] as f64 / SHARE;
            place.counted.iter().for_each(|limit| used[*limit as usize] += messages);
            if let Some(replies) = self.replies.get(index) {
                for (limit, share) in &place.answered {
                    used[*limit as usize] += *replies as f64 / SHARE * f64::from(*share);
                }
            }
        }
        used
    }
}

impl Model {
    fn new(
        market: &Market,
        scan: &Scan,
        prices: &[f64],
        scale: f64,
        value: f64,
        width: f32,
    ) -> Self {
        let used = scan.used(market);
        let spare: Vec<f64> = (market.limits.iter().zip(&used))
            .map(|(capacity, used)| *capacity as f64 / UNIT as f64 * scale - used)
            .collect();
        // a limit that costs nothing and is far from full stays as it is
        let matters = |l: &u32| {
            let l = *l as usize;
            prices.len() <= DENSE_MAX / 2 || prices[l] > 0.0 || spare[l] < used[l]
        };
        let active: Vec<u32> = (0..market.limits.len() as u32).filter(matters).collect();
        let slope = active.iter().map(|limit| spare[*limit as usize]).collect();
        let curve = curve(market, &scan.ties, &active, 0.5 / f64::from(width));
        Self { value, active, slope, curve, ties: scan.ties.len() }
    }
}

/// Each near-tie curves the bound along the difference of what its two seats use.
fn curve(market: &Market, ties: &[Tie], active: &[u32], weight: f64) -> Curve {
    let n = active.len();
    let mut index = vec![NOWHERE; market.limits.len()];
    active.iter().enumerate().for_each(|(at, limit)| index[*limit as usize] = at as u32);
    let mut curve =
        if n <= DENSE_MAX { Curve::Dense(vec![0.0; n * n]) } else { Curve::Diagonal(vec![0.0; n]) };
    let mut difference: Vec<(u32, f64)> = Vec::new();
    let mut sparse: Vec<(u32, f64)> = Vec::new();
    for tie in ties {
        let bidder = &market.bidders[tie.bidder as usize];
        sparse.clear();
        for (seat, sign) in tie.seats.iter().zip([1.0, -1.0]) {
            market.uses(bidder, *seat, |limit, load| {
                let at = index[limit as usize];
                if at != NOWHERE {
                    sparse.push((at, sign * load as f64 / UNIT as f64));
                }
            });
        }
        sparse.sort_by_key(|(at, _)| *at);
        difference.clear();
        for &(at, amount) in &sparse {
            match difference.last_mut() {
                Some(last) if last.0 == at => last.1 += amount,
                _ => difference.push((at, amount)),
            }
        }
        difference.retain(|(_, amount)| amount.abs() > 1e-9);
        for &(i, a) in &difference {
            match &mut curve {
                Curve::Diagonal(curve) => curve[i as usize] += weight * a * a,
                Curve::Dense(curve) => {
                    for &(j, b) in &difference {
                        curve[i as usize * n + j as usize] += weight * a * b;
                    }
                }
            }
        }
    }
    curve
}
