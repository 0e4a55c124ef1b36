//! Posted prices: what each bidder would take at them. The one hot loop of a plan.
//!
//! A bidder's values lie in rows, one a variant, a number a cell. Prices are laid out alike, in
//! *layers*: the first holds the cheapest place of each cell, the next the second cheapest, and so
//! on. What is worth most is then the largest number of a difference of rows.

use super::problem::{Bidder, Group, LANES, Market, NOWHERE, Seat};

/// A seat and what it is worth to a bidder after prices.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Offer {
    /// The seat.
    pub(in crate::plan) seat: Seat,
    /// Value less prices.
    pub(in crate::plan) net: f32,
}

impl Offer {
    const REFUSED: Self = Self { seat: Seat::REFUSED, net: 0.0 };
}

/// Which offers are good enough.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) enum Within {
    /// Worth no less than the best by more than this.
    OfBest(f32),
    /// Worth at least this.
    Reach(f32),
}

/// Prices of limits, laid out for quick search.
pub(in crate::plan) struct Posted {
    /// Price of a message at each place.
    pub(in crate::plan) message: Vec<f32>,
    /// Price of a reply to a message at each place.
    reply: Vec<f32>,
    groups: Vec<PostedGroup>,
}

struct PostedGroup {
    /// Price of money.
    money: f32,
    /// Whether the cheapest place of each cell is the best for everybody who may take it.
    first_is_best: bool,
    layers: Vec<Layer>,
}

/// A place of each cell.
struct Layer {
    places: Vec<u32>,
    /// Price of a message; infinite where there is no place.
    message: Vec<[f32; LANES]>,
    /// Price of a reply.
    reply: Vec<[f32; LANES]>,
}

/// One variant's row of a bidder, and what it pays.
struct Row<'a> {
    values: &'a [[f32; LANES]],
    reply: f32,
    due: f32,
}

impl Posted {
    /// Posts the prices of limits (a price for each whole unit).
    pub(in crate::plan) fn new(market: &Market, prices: &[f64]) -> Self {
        let message: Vec<f32> = (market.places.iter())
            .map(|place| place.counted.iter().map(|l| prices[*l as usize]).sum::<f64>() as f32)
            .collect();
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

    /// Everything is free where `open` says so, and nothing can be had elsewhere.
    pub(in crate::plan) fn free(market: &Market, open: impl Fn(u32) -> bool) -> Self {
        let price = |place| if open(place) { 0.0 } else { f32::INFINITY };
        let message: Vec<f32> = (0..market.places.len() as u32).map(price).collect();
        let reply = vec![0.0; market.places.len()];
        let group = |group| PostedGroup::new(group, 0.0, &message, &reply);
        let groups = market.groups.iter().map(group).collect();
        Self { message, reply, groups }
    }

    /// What a seat is worth to a bidder after prices.
    pub(in crate::plan) fn net(&self, market: &Market, bidder: &Bidder, seat: Seat) -> f32 {
        if seat.place == NOWHERE {
            return 0.0;
        }
        let (at, reply) = (seat.place as usize, market.reply(bidder, seat.plane));
        let due = bidder.cost * self.groups[bidder.group as usize].money;
        market.value(bidder, seat) - self.message[at] - reply * self.reply[at] - due
    }

    /// The best a bidder can do at one place.
    pub(in crate::plan) fn best_at(&self, market: &Market, bidder: &Bidder, place: u32) -> Offer {
        let mut best = Offer { seat: Seat::REFUSED, net: f32::NEG_INFINITY };
        for plane in 0..bidder.planes {
            let seat = Seat { place, plane };
            let net = self.net(market, bidder, seat);
            if net > best.net {
                best = Offer { seat, net };
            }
        }
        best
    }

    /// The best offer to a bidder, being refused among them; of places that are worth the same one
    /// by its tie.
    pub(in crate::plan) fn best(&self, market: &Market, bidder: &Bidder) -> Offer {
        let mut best = Offer::REFUSED;
        let layers = &self.groups[bidder.group as usize].layers;
        for plane in 0..bidder.planes {
            let row = self.row(market, bidder, plane);
            for turn in 0..layers.len() {
                let layer = &layers[(bidder.tie as usize + turn) % layers.len()];
                row.above(layer, best.net, |cell, net| {
                    let place = layer.places[cell];
                    if market.may_take(bidder, place) {
                        best = Offer { seat: Seat { place, plane }, net };
                    }
                    best.net
                });
            }
        }
        best
    }

    /// What the best offer is worth.
    pub(in crate::plan) fn best_net(&self, market: &Market, bidder: &Bidder) -> f32 {
        if bidder.is_banned() {
            return self.best(market, bidder).net;
        }
        let layers = self.groups[bidder.group as usize].best_layers();
        let mut best = 0.0_f32;
        for plane in 0..bidder.planes {
            let row = self.row(market, bidder, plane);
            best = layers.iter().fold(best, |best, layer| best.max(row.largest(layer)));
        }
        best
    }

    /// Every offer that is good enough, being refused among them; returns what the best is worth if
    /// that was asked for.
    pub(in crate::plan) fn near(
        &self,
        market: &Market,
        bidder: &Bidder,
        within: Within,
        out: &mut Vec<Offer>,
    ) -> f32 {
        let (best, least) = match within {
            Within::Reach(least) => (f32::NEG_INFINITY, least),
            Within::OfBest(reach) => {
                let best = self.best_net(market, bidder);
                (best, best - reach)
            }
        };
        out.clear();
        out.extend((least <= 0.0).then_some(Offer::REFUSED));
        let below = least.max(f32::MIN).next_down();
        for plane in 0..bidder.planes {
            let row = self.row(market, bidder, plane);
            for layer in &self.groups[bidder.group as usize].layers {
                let found = row.above(layer, below, |cell, net| {
                    let place = layer.places[cell];
                    if market.may_take(bidder, place) {
                        out.push(Offer { seat: Seat { place, plane }, net });
                    }
                    below
                });
                if !found && self.groups[bidder.group as usize].first_is_best {
                    break;
                }
            }
        }
        best
    }

    fn row<'a>(&self, market: &'a Market, bidder: &Bidder, plane: u32) -> Row<'a> {
        let cells = market.groups[bidder.group as usize].cells();
        let first = bidder.values + plane as usize * cells;
        Row {
            values: market.values[first..first + cells].as_chunks().0,
            reply: market.reply(bidder, plane),
            due: bidder.cost * self.groups[bidder.group as usize].money,
        }
    }
}

impl Row<'_> {
    /// Values less prices in a run of cells.
    fn nets(&self, layer: &Layer, run: usize) -> [f32; LANES] {
        let (values, message) = (&self.values[run], &layer.message[run]);
        let Some(reply) = layer.reply.get(run) else {
            return std::array::from_fn(|lane| values[lane] - message[lane] - self.due);
        };
        std::array::from_fn(|at| values[at] - message[at] - self.reply * reply[at] - self.due)
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

    /// Calls `each` with every cell and number above `least`, which each call sets anew; whether
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

impl PostedGroup {
    fn new(group: &Group, money: f32, message: &[f32], reply: &[f32]) -> Self {
        let mut sorted = group.places.clone();
        let cell = |cell: usize| group.starts[cell] as usize..group.starts[cell + 1] as usize;
        for places in (0..group.cells()).map(cell) {
            let key = |place: &u32| (message[*place as usize], *place);
            sorted[places].sort_by(|a, b| key(a).partial_cmp(&key(b)).expect("prices are numbers"));
        }
        let replies = group.places.iter().any(|place| reply[*place as usize] > 0.0);
        let depth = (0..group.cells()).map(|at| cell(at).len()).max().unwrap_or(0);
        let layer = |depth: usize| {
            let place = |at: usize| sorted[cell(at)].get(depth).copied().unwrap_or(NOWHERE);
            let places: Vec<u32> = (0..group.cells()).map(place).collect();
            let lay = |prices: &[f32], none: f32| -> Vec<[f32; LANES]> {
                let price = |place: &u32| prices.get(*place as usize).copied().unwrap_or(none);
                let row: Vec<f32> = places.iter().map(price).collect();
                row.as_chunks().0.to_vec()
            };
            let message = lay(message, f32::INFINITY);
            let reply = if replies { lay(reply, 0.0) } else { Vec::new() };
            Layer { places, message, reply }
        };
        Self { money, first_is_best: !replies, layers: (0..depth).map(layer).collect() }
    }

    /// The layers that hold the best place of each cell.
    fn best_layers(&self) -> &[Layer] {
        let count = if self.first_is_best { 1 } else { self.layers.len() };
        &self.layers[..count.min(self.layers.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Place;
    use super::*;

    /// A group with up to three places a cell, one bidder with two variants, and prices.
    fn scene(cells: u32, seed: u32) -> (Market, Vec<f64>) {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let mut market = Market::default();
        let mut lists = Vec::new();
        for cell in 0..cells {
            let first = market.places.len() as u32;
            let places: Vec<u32> = (first..=first + cell % 3).collect();
            for place in &places {
                let answered =
                    if seed.is_multiple_of(2) { vec![(1, 0.1 * draw())] } else { vec![] };
                market.limits.push(0);
                market.places.push(Place { counted: vec![*place], answered });
            }
            lists.push(places);
        }
        market.limits.extend([0, 0]);
        market.groups.push(Group::new(&lists, market.places.len(), None));
        let padded = market.groups[0].cells();
        market.values = (0..2 * padded).map(|_| draw() - 0.2).collect();
        market.replies = vec![draw(), draw()];
        let (group, planes, values, replies) = (0, 2, 0, Some(0));
        let bans = (0, u32::from(seed.is_multiple_of(3)));
        market.bans.push(0..cells / 2);
        let tie = seed;
        market.bidders.push(Bidder { group, planes, values, replies, cost: 0.1, tie, bans });
        let prices = market.limits.iter().map(|_| f64::from(draw()) * 0.3).collect();
        (market, prices)
    }

    #[test]
    fn the_quick_search_finds_what_a_slow_one_finds() {
        for (index, cells) in [1, 2, 15, 16, 17, 168, 1030].into_iter().enumerate() {
            for seed in 0..30 {
                let (market, prices) = scene(cells, seed * 7 + index as u32);
                let bidder = &market.bidders[0];
                let posted = Posted::new(&market, &prices);
                let seats = (0..market.places.len() as u32)
                    .flat_map(|place| (0..2).map(move |plane| Seat { place, plane }))
                    .chain([Seat::REFUSED]);
                let slow: Vec<(Seat, f32)> =
                    seats.map(|seat| (seat, posted.net(&market, bidder, seat))).collect();
                let best = slow.iter().map(|(_, net)| *net).fold(f32::MIN, f32::max);
                let found = posted.best(&market, bidder);
                assert_eq!(found.net.to_bits(), best.to_bits());
                assert_eq!(posted.net(&market, bidder, found.seat).to_bits(), best.to_bits());
                let mut near = Vec::new();
                let told = posted.near(&market, bidder, Within::OfBest(0.2), &mut near);
                assert_eq!(told.to_bits(), best.to_bits());
                let good = slow.iter().filter(|(_, net)| *net >= best - 0.2);
                let mut good: Vec<Seat> = good.map(|(seat, _)| *seat).collect();
                let mut found: Vec<Seat> = near.iter().map(|offer| offer.seat).collect();
                good.sort_by_key(|seat| (seat.place, seat.plane));
                found.sort_by_key(|seat| (seat.place, seat.plane));
                assert_eq!(found, good);
            }
        }
    }
}
