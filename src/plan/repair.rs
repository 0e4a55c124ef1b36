//! Repair: from what everybody would take at the prices to a plan that keeps every limit.
//!
//! Excess is moved along the chain of moves that loses least: one bidder from the full place to a
//! second, one from there to a third, … to a place with room or to refusal. Each chain is a shortest
//! path over places whose arcs are the cheapest single moves, with the prices as potentials
//! (successive shortest paths; Edmonds and Karp 1972). Where each place has one limit of its own the
//! result is an optimal assignment for the places filled; limits over several places, replies and
//! spend are kept by the same moves and a last, greedy word.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::market::{Bidder, Market, NOWHERE, Posted, Seat, UNIT};
use super::order::Key;

/// Moves kept for each pair of places; more are looked up when they run out.
const MOVES_KEPT: usize = 128;

/// Who sits where, and what that uses.
pub(super) struct Seating<'a> {
    pub(super) market: &'a Market,
    pub(super) seats: Vec<Seat>,
    pub(super) used: Vec<i64>,
}

impl<'a> Seating<'a> {
    /// Counts what the given seats use.
    pub(super) fn new(market: &'a Market, seats: Vec<Seat>) -> Self {
        let mut used = vec![0; market.limits.len()];
        for (bidder, seat) in market.bidders.iter().zip(&seats) {
            market.uses(bidder, *seat, |limit, load| used[limit as usize] += load);
        }
        Self { market, seats, used }
    }

    /// Moves one bidder, whatever the limits say.
    pub(super) fn put(&mut self, bidder: u32, seat: Seat) {
        let who = &self.market.bidders[bidder as usize];
        let old = std::mem::replace(&mut self.seats[bidder as usize], seat);
        let used = &mut self.used;
        self.market.uses(who, old, |limit, load| used[limit as usize] -= load);
        self.market.uses(who, seat, |limit, load| used[limit as usize] += load);
    }

    /// Whether a bidder can move to a seat without breaking a limit that holds now.
    pub(super) fn has_room(&self, bidder: u32, seat: Seat) -> bool {
        let who = &self.market.bidders[bidder as usize];
        let old = self.seats[bidder as usize];
        let mut room = true;
        self.market.uses(who, seat, |limit, load| {
            let mut freed = 0;
            self.market.uses(who, old, |l, load| freed += if l == limit { load } else { 0 });
            let after = self.used[limit as usize] + load - freed;
            room &= after <= self.market.limits[limit as usize] || load <= freed;
        });
        room
    }

    fn over(&self, limit: u32) -> bool {
        self.used[limit as usize] > self.market.limits[limit as usize]
    }
}

/// One bidder's move between a pair of places: what it gives up in worth, ties by its own order.
type Move = Reverse<(Key, u32, u32)>;

#[derive(Default)]
struct Moves {
    heap: BinaryHeap<Move>,
    /// Moves that give up more than this were not kept.
    kept_to: Option<Key>,
}

/// The chains of moves.
struct Chains<'s, 'a> {
    seating: &'s mut Seating<'a>,
    posted: &'s Posted,
    /// Potential of each place: the price of a message there.
    price: Vec<f64>,
    /// Moves out of each place, by where to; `None` until looked up.
    moves: Vec<Option<BTreeMap<u32, Moves>>>,
    label: Vec<f64>,
    /// How each place was reached: from where, by whom; sources have nobody.
    reached: Vec<(u32, u32)>,
    done: Vec<bool>,
}

/// Brings the counted limits back to their capacity; returns the price of a message at each place.
pub(super) fn keep_counts(seating: &mut Seating<'_>, posted: &Posted) -> Vec<f32> {
    let market = seating.market;
    let covers = market.covers();
    let places = market.places.len();
    let mut chains = Chains {
        posted,
        price: posted.message.iter().map(|price| f64::from(*price)).collect(),
        moves: (0..places).map(|_| None).collect(),
        label: vec![f64::INFINITY; places + 1],
        reached: vec![(NOWHERE, NOWHERE); places + 1],
        done: vec![false; places + 1],
        seating,
    };
    for limit in 0..market.limits.len() as u32 {
        while chains.seating.over(limit) && !covers[limit as usize].is_empty() {
            chains.relieve(limit, &covers[limit as usize]);
        }
    }
    chains.price.iter().map(|price| *price as f32).collect()
}

impl Chains<'_, '_> {
    /// The node that stands for being refused.
    fn ground(&self) -> usize {
        self.price.len()
    }

    fn price_at(&self, node: usize) -> f64 {
        self.price.get(node).copied().unwrap_or(0.0)
    }

    /// Moves one message out of the places of a limit.
    fn relieve(&mut self, limit: u32, sources: &[u32]) {
        let sink = self.search(limit, sources);
        let farthest = self.label[sink];
        for node in 0..self.price.len() {
            if self.label[node] < farthest {
                self.price[node] += farthest - self.label[node];
            }
        }
        let mut to = sink;
        while self.reached[to].1 != NOWHERE {
            let (from, bidder) = self.reached[to];
            self.shift(bidder, to);
            to = from as usize;
        }
    }

    /// Finds the cheapest chain from a limit's places to room; labels the places it passed.
    fn search(&mut self, limit: u32, sources: &[u32]) -> usize {
        self.label.fill(f64::INFINITY);
        self.done.fill(false);
        let mut queue = BinaryHeap::new();
        let least = sources.iter().map(|s| self.price[*s as usize]).fold(f64::INFINITY, f64::min);
        for &source in sources {
            self.label[source as usize] = self.price[source as usize] - least;
            self.reached[source as usize] = (NOWHERE, NOWHERE);
            queue.push(Reverse((Key::from(self.label[source as usize]), source)));
        }
        let mut best = (f64::INFINITY, self.ground());
        let places = 0..self.price.len();
        let bonus = places.filter(|p| self.is_idle(*p)).map(|p| self.price[p]).fold(0.0, f64::max);
        while let Some(Reverse((label, node))) = queue.pop() {
            let node = node as usize;
            if self.done[node] || label.value() > self.label[node] {
                continue;
            }
            if label.value() - bonus >= best.0 {
                // no end farther on can be cheaper
                break;
            }
            self.done[node] = true;
            if self.is_room(node, limit) {
                let cost = label.value() - self.price_at(node);
                if cost < best.0 {
                    best = (cost, node);
                }
                if self.price_at(node) <= 0.0 {
                    continue;
                }
            }
            self.relax(node, &mut queue);
        }
        best.1
    }

    /// Whether a place has room.
    fn is_idle(&self, place: usize) -> bool {
        let Seating { market, used, .. } = &*self.seating;
        let mut limits = market.places[place].counted.iter().map(|limit| *limit as usize);
        limits.all(|limit| used[limit] + UNIT <= market.limits[limit])
    }

    /// Whether a chain that relieves `limit` may end here.
    fn is_room(&self, node: usize, limit: u32) -> bool {
        if node == self.ground() {
            return true;
        }
        let mut root = node;
        while self.reached[root].0 != NOWHERE {
            root = self.reached[root].0 as usize;
        }
        let market = self.seating.market;
        let freed = &market.places[root].counted;
        let free = |l: &u32| {
            let after = self.seating.used[*l as usize] + UNIT;
            *l != limit && (freed.contains(l) || after <= market.limits[*l as usize])
        };
        market.places[node].counted.iter().all(free)
    }

    fn relax(&mut self, from: usize, queue: &mut BinaryHeap<Reverse<(Key, u32)>>) {
        let Some(mut moves) = self.moves[from].take().or_else(|| Some(self.look_up(from))) else {
            return;
        };
        if moves.values_mut().any(|moves| moves.settle(&self.seating.seats, from as u32)) {
            moves = self.look_up(from);
        }
        for (&to, moves) in &mut moves {
            let node = to as usize;
            if self.done[node] {
                continue;
            }
            let Some(Reverse((given_up, _, bidder))) = moves.heap.peek() else { continue };
            let cost = given_up.value() - self.price[from] + self.price_at(node);
            let label = self.label[from] + cost.max(0.0);
            if label < self.label[node] {
                self.label[node] = label;
                self.reached[node] = (from as u32, *bidder);
                queue.push(Reverse((Key::from(label), node as u32)));
            }
        }
        self.moves[from] = Some(moves);
    }

    /// Moves a bidder and notes where it could go next.
    fn shift(&mut self, bidder: u32, to: usize) {
        let who = &self.seating.market.bidders[bidder as usize];
        let seat = if to == self.ground() {
            Seat::REFUSED
        } else {
            self.posted.best_at(self.seating.market, who, to as u32).seat
        };
        self.seating.put(bidder, seat);
        if let Some(Some(moves)) = self.moves.get_mut(to) {
            let ground = self.price.len() as u32;
            each_move(self.seating.market, self.posted, who, to as u32, |next, given_up| {
                let moves = moves.entry(next.min(ground)).or_default();
                moves.heap.push(Reverse((given_up, who.tie, bidder)));
            });
        }
    }

    /// Every cheapest move out of a place.
    fn look_up(&self, from: usize) -> BTreeMap<u32, Moves> {
        let market = self.seating.market;
        let mut all: Vec<Vec<(Key, u32, u32)>> = vec![Vec::new(); self.ground() + 1];
        for (bidder, seat) in self.seating.seats.iter().enumerate() {
            if seat.place as usize == from {
                let who = &market.bidders[bidder];
                each_move(market, self.posted, who, from as u32, |to, given_up| {
                    let to = (to as usize).min(all.len() - 1);
                    all[to].push((given_up, who.tie, bidder as u32));
                });
            }
        }
        let trim = |mut moves: Vec<(Key, u32, u32)>| {
            let mut kept_to = None;
            if moves.len() > MOVES_KEPT {
                moves.select_nth_unstable(MOVES_KEPT);
                kept_to = Some(moves[MOVES_KEPT].0);
                moves.truncate(MOVES_KEPT);
            }
            Moves { heap: moves.into_iter().map(Reverse).collect(), kept_to }
        };
        let reached = all.into_iter().enumerate().filter(|(_, moves)| !moves.is_empty());
        reached.map(|(to, moves)| (to as u32, trim(moves))).collect()
    }
}

impl Moves {
    /// Drops moves of those who left; returns whether the cheapest may be one that was not kept.
    fn settle(&mut self, seats: &[Seat], from: u32) -> bool {
        while let Some(Reverse((_, _, bidder))) = self.heap.peek() {
            if seats[*bidder as usize].place == from {
                break;
            }
            self.heap.pop();
        }
        match (&self.kept_to, self.heap.peek()) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(kept_to), Some(Reverse((given_up, _, _)))) => given_up > kept_to,
        }
    }
}

/// Calls `each` with every other place that a bidder may take, refusal ([`NOWHERE`]) included, and
/// what it gives up by going there.
fn each_move(
    market: &Market,
    posted: &Posted,
    bidder: &Bidder,
    from: u32,
    mut each: impl FnMut(u32, Key),
) {
    let worth = |place: u32| {
        let there = posted.best_at(market, bidder, place).net;
        there + posted.message[place as usize]
    };
    let here = worth(from);
    let group = &market.groups[bidder.group as usize];
    if bidder.planes == 1 && market.replies.is_empty() && bidder.bans.0 == bidder.bans.1 {
        let due = bidder.cost * posted.money(bidder);
        let values = &market.values[bidder.values..bidder.values + group.cells()];
        for (value, ends) in values.iter().zip(group.starts.windows(2)) {
            let given_up = here - (value - due);
            if given_up < f32::INFINITY {
                let places = &group.places[ends[0] as usize..ends[1] as usize];
                let others = places.iter().filter(|place| **place != from);
                others.for_each(|place| each(*place, Key::from(f64::from(given_up))));
            }
        }
    } else {
        for &place in group.places.iter().filter(|place| **place != from) {
            let there = worth(place);
            if there > f32::NEG_INFINITY {
                each(place, Key::from(f64::from(here) - f64::from(there)));
            }
        }
    }
    each(NOWHERE, Key::from(f64::from(here)));
}

/// Brings limits on replies and spend back to their capacity: those leave first who give up least
/// for what they free.
pub(super) fn keep_loads(seating: &mut Seating<'_>, posted: &Posted) {
    let market = seating.market;
    for limit in 0..market.limits.len() as u32 {
        if !seating.over(limit) {
            continue;
        }
        let mut leavers: Vec<(Key, u32, u32)> = Vec::new();
        for (index, bidder) in market.bidders.iter().enumerate() {
            let mut freed = 0;
            let seat = seating.seats[index];
            market.uses(bidder, seat, |l, load| freed += if l == limit { load } else { 0 });
            if freed > 0 {
                let [first, second] = posted.best_two(market, bidder);
                let next = if first.seat == seat { second } else { first };
                let here = posted.best_at(market, bidder, seat.place).net;
                let regret = f64::from(here - next.net.max(0.0)) / freed as f64;
                leavers.push((Key::from(regret), bidder.tie, index as u32));
            }
        }
        leavers.sort_unstable();
        for (_, _, bidder) in leavers {
            if !seating.over(limit) {
                break;
            }
            let who = &market.bidders[bidder as usize];
            let frees = |seat: Seat| {
                let mut load_there = 0;
                market.uses(who, seat, |l, load| load_there += if l == limit { load } else { 0 });
                load_there == 0
            };
            let next = posted.best_two(market, who).into_iter().find(|offer| {
                frees(offer.seat) && offer.net >= 0.0 && seating.has_room(bidder, offer.seat)
            });
            seating.put(bidder, next.map_or(Seat::REFUSED, |offer| offer.seat));
        }
    }
}

/// Gives what room is left to those who gain most by it.
pub(super) fn fill(seating: &mut Seating<'_>, threads: usize) {
    const PASSES: usize = 3;
    let market = seating.market;
    let free = vec![0.0; market.limits.len()];
    for _ in 0..PASSES {
        let open = |place: &super::market::Place| {
            let room = |l: &u32| seating.used[*l as usize] + UNIT <= market.limits[*l as usize];
            if place.counted.iter().all(room) { 0.0 } else { f32::INFINITY }
        };
        let closed = market.places.iter().map(open).collect();
        let posted = Posted::with_messages(market, &free, closed);
        let seats = &seating.seats;
        let mut wishes: Vec<_> = super::prices::in_parts(market.bidders.len(), threads, |range| {
            let mut wishes = Vec::new();
            for index in range {
                let bidder = &market.bidders[index];
                let best = posted.best_two(market, bidder)[0];
                let gain = best.net - market.value(bidder, seats[index]);
                if gain > 0.0 {
                    wishes.push((Reverse(Key::from(f64::from(gain))), bidder.tie, index as u32));
                }
            }
            wishes
        })
        .concat();
        if wishes.is_empty() {
            break;
        }
        wishes.sort_unstable();
        for (Reverse(gain), _, bidder) in wishes {
            let who = &market.bidders[bidder as usize];
            let now = market.value(who, seating.seats[bidder as usize]);
            let wish = posted.best_two(market, who);
            let open = wish.into_iter().find(|offer| {
                offer.net > now
                    && offer.seat != Seat::REFUSED
                    && seating.has_room(bidder, offer.seat)
            });
            if let Some(offer) = open.filter(|_| gain.value() > 0.0) {
                seating.put(bidder, offer.seat);
            }
        }
    }
}
