//! Posted prices: what each bidder would take at them. The one hot loop of a plan.

use std::ops::Range;

use super::market::{Bidder, Group, Market, NOWHERE, Seat};

/// The widest row of cells that the quick search takes.
const QUICK_CELLS_MAX: usize = 1024;
/// Cells that the quick search compares at once.
const LANES: usize = 16;

/// A seat and what it is worth to a bidder after prices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// The seat.
    pub(super) seat: Seat,
    /// Value less prices.
    pub(super) net: f32,
}

impl Offer {
    const NONE: Self = Self { seat: Seat::REFUSED, net: f32::NEG_INFINITY };
    const REFUSED: Self = Self { seat: Seat::REFUSED, net: 0.0 };
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
pub(super) struct Posted {
    /// Price of a message at each place.
    pub(super) message: Vec<f32>,
    /// Price of a reply to a message at each place.
    pub(super) reply: Vec<f32>,
    groups: Vec<PostedGroup>,
}

struct PostedGroup {
    /// Price of money.
    money: f32,
    /// Whether any place has a price on replies.
    replies: bool,
    /// The price of the cheapest place of each cell.
    cheapest: Vec<f32>,
    /// Places of each cell, cheapest first; laid out as in the group.
    sorted: Vec<u32>,
    /// How many places of each cell are as cheap as the cheapest.
    equal: Vec<u32>,
}

impl Posted {
    /// Posts the prices of limits (a price for each whole unit).
    pub(super) fn new(market: &Market, prices: &[f64]) -> Self {
        let message: Vec<f32> = (market.places.iter())
            .map(|place| place.counted.iter().map(|l| prices[*l as usize]).sum::<f64>() as f32)
            .collect();
        Self::with_messages(market, prices, message)
    }

    /// Posts prices of limits, but takes the price of a message at each place as given.
    pub(super) fn with_messages(market: &Market, prices: &[f64], message: Vec<f32>) -> Self {
        let reply: Vec<f32> = (market.places.iter())
            .map(|place| {
                let of = |(l, share): &(u32, f32)| prices[*l as usize] * f64::from(*share);
                place.answered.iter().map(of).sum::<f64>() as f32
            })
            .collect();
        let groups = (market.groups.iter())
            .map(|group| {
                let money = group.paid.map_or(0.0, |limit| prices[limit as usize] as f32);
                PostedGroup::new(group, money, &message, &reply)
            })
            .collect();
        Self { message, reply, groups }
    }

    /// The price of money for a bidder's group.
    pub(super) fn money(&self, bidder: &Bidder) -> f32 {
        self.groups[bidder.group as usize].money
    }

    /// What a seat is worth to a bidder after prices.
    pub(super) fn net(&self, market: &Market, bidder: &Bidder, seat: Seat) -> f32 {
        if seat.place == NOWHERE {
            return 0.0;
        }
        let (at, reply) = (seat.place as usize, market.reply(bidder, seat.plane));
        let price = self.message[at] + reply * self.reply[at] + bidder.cost * self.money(bidder);
        market.value(bidder, seat) - price
    }

    /// The best a bidder can do at one place.
    pub(super) fn best_at(&self, market: &Market, bidder: &Bidder, place: u32) -> Offer {
        let mut best = Offer::NONE;
        for plane in 0..bidder.planes {
            let seat = Seat { place, plane };
            let net = self.net(market, bidder, seat);
            if net > best.net {
                best = Offer { seat, net };
            }
        }
        best
    }

    /// The two best offers to a bidder, being refused among them; equal ones by its tie.
    pub(super) fn best_two(&self, market: &Market, bidder: &Bidder) -> [Offer; 2] {
        let group = &market.groups[bidder.group as usize];
        let posted = &self.groups[bidder.group as usize];
        let mut best = [Offer::NONE; 2];
        let due = bidder.cost * posted.money;
        if self.is_quick(market, bidder) {
            let values = &market.values[bidder.values..bidder.values + group.cells()];
            for (cell, net) in two_largest(values, &posted.cheapest) {
                if net > f32::NEG_INFINITY && posted.equal[cell] > 0 {
                    let start = group.starts[cell] as usize;
                    let turn = bidder.tie as usize % posted.equal[cell] as usize;
                    let seat = Seat { place: posted.sorted[start + turn], plane: 0 };
                    insert(&mut best, Offer { seat, net: net - due });
                }
            }
            if let Some(offer) = posted.next_in_cell(group, values, best[0], self) {
                insert(&mut best, Offer { net: offer.net - due, ..offer });
            }
        } else {
            self.search(market, bidder, due, &mut best);
        }
        insert(&mut best, Offer::REFUSED);
        best
    }

    /// Every offer that is good enough, being refused among them; returns what the best is worth if
    /// that was asked for.
    pub(super) fn near(
        &self,
        market: &Market,
        bidder: &Bidder,
        within: Within,
        out: &mut Vec<Offer>,
    ) -> f32 {
        let group = &market.groups[bidder.group as usize];
        let posted = &self.groups[bidder.group as usize];
        let due = bidder.cost * posted.money;
        let mut peaks = [f32::NEG_INFINITY; QUICK_CELLS_MAX / LANES];
        let quick = self.is_quick(market, bidder);
        if quick {
            peaks = peaks_of(&market.values[bidder.values..][..group.cells()], &posted.cheapest);
        }
        let (best, least) = match within {
            Within::Reach(least) => (f32::NEG_INFINITY, least),
            Within::OfBest(reach) => {
                let best = if quick {
                    peaks.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b)).max(due) - due
                } else {
                    self.best_two(market, bidder)[0].net
                };
                (best, best - reach)
            }
        };
        out.clear();
        out.extend((least <= 0.0).then_some(Offer::REFUSED));
        for plane in 0..bidder.planes {
            for chunk in 0..group.cells().div_ceil(LANES) {
                let peak = peaks.get(chunk).filter(|_| quick);
                if peak.is_some_and(|peak| peak - due < least) {
                    continue;
                }
                let cells = chunk * LANES..((chunk + 1) * LANES).min(group.cells());
                self.near_in(market, bidder, plane, cells, least, out);
            }
        }
        best
    }

    /// Good offers in a span of cells.
    fn near_in(
        &self,
        market: &Market,
        bidder: &Bidder,
        plane: u32,
        cells: Range<usize>,
        least: f32,
        out: &mut Vec<Offer>,
    ) {
        let group = &market.groups[bidder.group as usize];
        let posted = &self.groups[bidder.group as usize];
        let banned = bidder.bans.0 != bidder.bans.1;
        let due = bidder.cost * posted.money;
        let first = bidder.values + plane as usize * group.cells();
        let reply = market.reply(bidder, plane);
        for cell in cells {
            let value = market.values[first + cell];
            // a price on replies only takes more
            if value - posted.cheapest[cell] - due < least {
                continue;
            }
            let places = group.starts[cell] as usize..group.starts[cell + 1] as usize;
            for &place in &posted.sorted[places] {
                let at = place as usize;
                let net = value - self.message[at] - reply * self.reply[at] - due;
                if net >= least && (!banned || market.may_take(bidder, place)) {
                    out.push(Offer { seat: Seat { place, plane }, net });
                }
            }
        }
    }

    /// Whether the cheapest place of each cell is all that counts.
    fn is_quick(&self, market: &Market, bidder: &Bidder) -> bool {
        bidder.planes == 1
            && !self.groups[bidder.group as usize].replies
            && bidder.bans.0 == bidder.bans.1
            && market.groups[bidder.group as usize].cells() <= QUICK_CELLS_MAX
    }

    /// Looks at every place of every cell.
    fn search(&self, market: &Market, bidder: &Bidder, due: f32, best: &mut [Offer; 2]) {
        let group = &market.groups[bidder.group as usize];
        let sorted = &self.groups[bidder.group as usize].sorted;
        let banned = bidder.bans.0 != bidder.bans.1;
        for plane in 0..bidder.planes {
            let first = bidder.values + plane as usize * group.cells();
            let reply = market.reply(bidder, plane);
            for (cell, value) in market.values[first..first + group.cells()].iter().enumerate() {
                let (from, to) = (group.starts[cell] as usize, group.starts[cell + 1] as usize);
                let hopeless = *value == f32::NEG_INFINITY || *value - due <= best[1].net;
                if hopeless || from == to {
                    continue;
                }
                let turn = bidder.tie as usize % (to - from);
                for offset in 0..to - from {
                    let place = sorted[from + (offset + turn) % (to - from)];
                    let at = place as usize;
                    let net = value - self.message[at] - reply * self.reply[at] - due;
                    if net > best[1].net && (!banned || market.may_take(bidder, place)) {
                        insert(best, Offer { seat: Seat { place, plane }, net });
                    }
                }
            }
        }
    }
}

impl PostedGroup {
    fn new(group: &Group, money: f32, message: &[f32], reply: &[f32]) -> Self {
        let mut sorted = group.places.clone();
        let mut cheapest = Vec::with_capacity(group.cells());
        let mut equal = Vec::with_capacity(group.cells());
        for cell in 0..group.cells() {
            let places = &mut sorted[group.starts[cell] as usize..group.starts[cell + 1] as usize];
            places.sort_by(|a, b| {
                message[*a as usize].total_cmp(&message[*b as usize]).then_with(|| a.cmp(b))
            });
            // a cell without places is never cheap enough
            let least = places.first().map_or(f32::INFINITY, |place| message[*place as usize]);
            cheapest.push(least);
            equal.push(places.iter().take_while(|p| message[**p as usize] <= least).count() as u32);
        }
        let replies = group.places.iter().any(|place| reply[*place as usize] > 0.0);
        Self { money, replies, cheapest, sorted, equal }
    }

    /// The next cheapest place in the cell of the best offer, where places have prices at all.
    fn next_in_cell(
        &self,
        group: &Group,
        values: &[f32],
        best: Offer,
        posted: &Posted,
    ) -> Option<Offer> {
        let cell = *group.cell_of.get(best.seat.place as usize)? as usize;
        let (from, to) = (group.starts[cell] as usize, group.starts[cell + 1] as usize);
        if to - from < 2 || self.cheapest[cell] <= 0.0 {
            return None;
        }
        let place = *self.sorted[from..to].iter().find(|place| **place != best.seat.place)?;
        let net = values[cell] - posted.message[place as usize];
        Some(Offer { seat: Seat { place, plane: 0 }, net })
    }
}

fn insert(best: &mut [Offer; 2], offer: Offer) {
    if offer.net > best[0].net {
        *best = [offer, best[0]];
    } else if offer.net > best[1].net {
        best[1] = offer;
    }
}

/// The largest difference in each run of cells.
fn peaks_of(values: &[f32], prices: &[f32]) -> [f32; QUICK_CELLS_MAX / LANES] {
    let mut peaks = [f32::NEG_INFINITY; QUICK_CELLS_MAX / LANES];
    let lanes = values.chunks(LANES).zip(prices.chunks(LANES));
    for (peak, (values, prices)) in peaks.iter_mut().zip(lanes) {
        let nets = values.iter().zip(prices).map(|(value, price)| value - price);
        *peak = nets.fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    }
    peaks
}

/// The two largest differences and their indices; first among equals.
fn two_largest(values: &[f32], prices: &[f32]) -> [(usize, f32); 2] {
    const NONE: f32 = f32::NEG_INFINITY;
    let peaks = peaks_of(values, prices);
    let count = values.len().div_ceil(LANES);
    let mut best = [(0, NONE); 2];
    let look = |chunk: usize, best: &mut [(usize, f32); 2], except: usize| {
        let from = chunk * LANES;
        let to = (from + LANES).min(values.len());
        for index in (from..to).filter(|index| *index != except) {
            let net = values[index] - prices[index];
            if net > best[0].1 {
                *best = [(index, net), best[0]];
            } else if net > best[1].1 {
                best[1] = (index, net);
            }
        }
    };
    let largest = |skip: usize| {
        let mut top = (usize::MAX, NONE);
        for (chunk, peak) in peaks[..count].iter().enumerate() {
            if chunk != skip && *peak > top.1 {
                top = (chunk, *peak);
            }
        }
        top
    };
    let first = largest(usize::MAX);
    if first.0 != usize::MAX {
        look(first.0, &mut best, usize::MAX);
        let second = largest(first.0);
        if second.1 > best[1].1 {
            let except = best[0].0;
            look(second.0, &mut best, except);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_search_finds_what_a_slow_one_finds() {
        let mut state = 7_u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        for cells in [1, 2, 15, 16, 17, 168, 1024] {
            for _ in 0..50 {
                let values: Vec<f32> = (0..cells).map(|_| draw()).collect();
                let prices: Vec<f32> = (0..cells).map(|_| draw() * 0.3).collect();
                let mut nets: Vec<f32> = values.iter().zip(&prices).map(|(v, p)| v - p).collect();
                nets.sort_by(|a, b| b.total_cmp(a));
                let found = two_largest(&values, &prices);
                let second = nets.get(1).copied().unwrap_or(f32::NEG_INFINITY);
                let bits = |net: f32| net.to_bits();
                assert_eq!(bits(found[0].1), bits(nets[0]));
                assert_eq!(bits(found[1].1), bits(second));
                assert!(cells < 2 || found[0].0 != found[1].0);
            }
        }
    }
}
