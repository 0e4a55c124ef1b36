//! Chains: the cheapest way to empty what is too full and to fill what has a price and room.
//!
//! A chain moves one bidder from a place to a second, one from there to a third, and so on. The
//! cheapest is a shortest path over places whose arcs are the cheapest single moves; the prices of
//! places are the potentials that keep every arc from being negative, and each chain moves them on
//! (successive shortest paths; Edmonds and Karp 1972). Where every place has one limit of its own
//! the seating ends optimal, and the prices prove it. Single moves are looked up no deeper than the
//! chains need.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::priced::{Offer, Posted, Within};
use super::problem::Seat;
use super::repair::Seating;
use super::total::Key;
use crate::plan::parallel::in_parts;

/// Not a node, not a bidder.
const NONE: u32 = u32::MAX;
/// What is deep enough for every move: no value and no price is a thousandth of it.
const ALL: f64 = 1e6;

/// What a bidder gives up in worth by a move; then its own order, then itself.
type Move = Reverse<(Key, u32, u32)>;

/// A seating on its way to the best one. Nodes are places, and last the *ground*: being refused.
pub(in crate::plan) struct Chains<'s, 'a> {
    seating: &'s mut Seating<'a>,
    /// Prices at the start; those of replies and money stay.
    posted: &'s Posted,
    /// Price of a message at each node; 0 at the ground.
    price: Vec<f64>,
    /// By how much the price of any node has fallen at most.
    fallen: f64,
    nodes: Vec<Node>,
    label: Vec<f64>,
    /// How each node was labelled: through which node, by whose move.
    through: Vec<(u32, u32)>,
    done: Vec<bool>,
    threads: usize,
}

#[derive(Default)]
struct Node {
    /// Everybody who has sat here, and perhaps left.
    members: Vec<u32>,
    /// Known moves away, by where to.
    moves: BTreeMap<u32, BinaryHeap<Move>>,
    /// Moves that give up less than this, at the first prices, are known.
    depth: f64,
}

/// Empties every counted limit that is too full, then fills places that have a price and room.
/// Moves are looked up from `depth` on. Returns the price of a message at each place.
pub(in crate::plan) fn settle(
    seating: &mut Seating<'_>,
    posted: &Posted,
    depth: f64,
    threads: usize,
) -> Vec<f64> {
    let mut chains = Chains::new(seating, posted, threads);
    let covers = chains.seating.market.covers();
    for (limit, places) in covers.iter().enumerate() {
        while chains.seating.is_over(limit as u32) && !places.is_empty() {
            chains.relieve(limit as u32, places, depth);
        }
    }
    for place in 0..chains.ground() {
        while chains.price[place] > 0.0 && chains.seating.is_idle(place) {
            chains.fill(place, depth);
        }
    }
    chains.price.pop();
    chains.price
}

impl<'s, 'a> Chains<'s, 'a> {
    fn new(seating: &'s mut Seating<'a>, posted: &'s Posted, threads: usize) -> Self {
        let count = posted.message.len() + 1;
        let mut nodes: Vec<Node> = (0..count).map(|_| Node::default()).collect();
        for (bidder, seat) in seating.seats.iter().enumerate() {
            nodes[(seat.place as usize).min(count - 1)].members.push(bidder as u32);
        }
        Self {
            seating,
            posted,
            price: posted.message.iter().copied().map(f64::from).chain([0.0]).collect(),
            fallen: 0.0,
            nodes,
            label: vec![f64::INFINITY; count],
            through: vec![(NONE, NONE); count],
            done: vec![false; count],
            threads,
        }
    }

    fn ground(&self) -> usize {
        self.price.len() - 1
    }

    /// Moves one message out of the places of a limit, at the least loss.
    fn relieve(&mut self, limit: u32, sources: &[u32], depth: f64) {
        let sink = loop {
            let sink = self.search_room(limit, sources, depth);
            let end = self.label[sink];
            let shallow = self.shallow(|node| end - self.label[node]);
            if shallow.is_empty() {
                break sink;
            }
            for (node, end) in shallow {
                self.deepen(node, end);
            }
        };
        let farthest = self.label[sink];
        for node in 0..self.ground() {
            self.price[node] += (farthest - self.label[node]).max(0.0);
        }
        let mut to = sink;
        while self.through[to].1 != NONE {
            let (from, bidder) = self.through[to];
            self.shift(bidder, to);
            to = from as usize;
        }
    }

    /// The end of the cheapest known chain from a limit's places to room. The price of that room
    /// stays out of it: room that has a price is one that others are to fill, and a chain that went
    /// farther for its sake than to the ground would leave moves to the ground that gain.
    fn search_room(&mut self, limit: u32, sources: &[u32], depth: f64) -> usize {
        let least = sources.iter().map(|s| self.price[*s as usize]).fold(f64::INFINITY, f64::min);
        let starts = sources.iter().map(|s| (*s as usize, self.price[*s as usize] - least));
        let mut queue = self.start(starts.collect());
        while let Some(node) = self.next(&mut queue) {
            self.done[node] = true;
            if self.is_room(node, limit) {
                return node;
            }
            self.deepen_to(node, depth);
            let moves = std::mem::take(&mut self.nodes[node].moves);
            let moves = self.each_first(node, moves, |chains, to, cost, bidder| {
                chains.relabel(&mut queue, to, chains.label[node] + cost, (node as u32, bidder));
            });
            self.nodes[node].moves = moves;
        }
        self.ground()
    }

    /// Whether a chain that relieves `limit` may end at a node.
    fn is_room(&self, node: usize, limit: u32) -> bool {
        if node == self.ground() {
            return true;
        }
        let mut root = node;
        while self.through[root].0 != NONE {
            root = self.through[root].0 as usize;
        }
        self.seating.has_room_after(node, root, limit)
    }

    /// Moves one message into a place with room, if that gains anything; else the place has no price.
    fn fill(&mut self, place: usize, depth: f64) {
        let prize = self.price[place];
        let (cost, origin) = loop {
            let (cost, origin) = self.search_origin(place, prize, depth);
            // any node might know too little of its moves to where the chain goes
            let shallow = self.shallow(|node| self.label[node].min(cost));
            if shallow.is_empty() {
                break (cost, origin);
            }
            for (node, end) in shallow {
                self.deepen(node, end);
            }
        };
        for node in 0..self.ground() {
            let fall = (cost - self.label[node]).max(0.0).min(self.price[node]);
            self.price[node] -= fall;
            let first = f64::from(self.posted.message[node]);
            self.fallen = self.fallen.max(first - self.price[node]);
        }
        if let Some(origin) = origin {
            // from the end of the chain backwards, so that nobody is moved twice
            let mut hops = Vec::new();
            let mut from = origin;
            while from != place {
                let (to, bidder) = self.through[from];
                hops.push((bidder, to as usize));
                from = to as usize;
            }
            hops.into_iter().rev().for_each(|(bidder, to)| self.shift(bidder, to));
        }
    }

    /// The cheapest known chain into a place, and where it begins; `prize` and nowhere if none costs
    /// less than that.
    fn search_origin(&mut self, place: usize, prize: f64, depth: f64) -> (f64, Option<usize>) {
        let mut queue = self.start(vec![(place, 0.0)]);
        let mut best = (prize, None);
        for node in 0..self.nodes.len() {
            self.deepen_to(node, depth);
        }
        while let Some(node) = self.next(&mut queue) {
            if self.label[node] >= best.0 {
                break;
            }
            self.done[node] = true;
            let cost = self.label[node] + self.price[node];
            if node != place && cost < best.0 {
                best = (cost, Some(node));
            }
            for from in 0..self.nodes.len() {
                if self.done[from] {
                    continue;
                }
                let Some(heap) = self.nodes[from].moves.get_mut(&(node as u32)) else { continue };
                let mut heap = std::mem::take(heap);
                let first = self.first(from, &mut heap);
                self.nodes[from].moves.insert(node as u32, heap);
                if let Some((given_up, bidder)) = first {
                    let cost = (given_up - self.price[from] + self.price[node]).max(0.0);
                    let label = self.label[node] + cost;
                    if label < best.0 {
                        self.relabel(&mut queue, from, label, (node as u32, bidder));
                    }
                }
            }
        }
        best
    }

    fn start(&mut self, starts: Vec<(usize, f64)>) -> BinaryHeap<Reverse<(Key, u32)>> {
        self.label.fill(f64::INFINITY);
        self.done.fill(false);
        let mut queue = BinaryHeap::new();
        for (node, label) in starts {
            self.relabel(&mut queue, node, label, (NONE, NONE));
        }
        queue
    }

    fn next(&self, queue: &mut BinaryHeap<Reverse<(Key, u32)>>) -> Option<usize> {
        loop {
            let Reverse((label, node)) = queue.pop()?;
            if !self.done[node as usize] && label.value() <= self.label[node as usize] {
                return Some(node as usize);
            }
        }
    }

    fn relabel(
        &mut self,
        queue: &mut BinaryHeap<Reverse<(Key, u32)>>,
        node: usize,
        label: f64,
        through: (u32, u32),
    ) {
        if label < self.label[node] {
            self.label[node] = label;
            self.through[node] = through;
            queue.push(Reverse((Key::from(label), node as u32)));
        }
    }

    /// Calls `each` with the cheapest known move to every node, and its cost after prices.
    fn each_first(
        &mut self,
        from: usize,
        mut moves: BTreeMap<u32, BinaryHeap<Move>>,
        mut each: impl FnMut(&mut Self, usize, f64, u32),
    ) -> BTreeMap<u32, BinaryHeap<Move>> {
        for (&to, heap) in &mut moves {
            let to = to as usize;
            if self.done[to] {
                continue;
            }
            if let Some((given_up, bidder)) = self.first(from, heap) {
                let cost = (given_up - self.price[from] + self.price[to]).max(0.0);
                each(self, to, cost, bidder);
            }
        }
        moves
    }

    /// The cheapest move of those who are still there.
    fn first(&self, from: usize, heap: &mut BinaryHeap<Move>) -> Option<(f64, u32)> {
        while let Some(Reverse((given_up, _, bidder))) = heap.peek() {
            if self.node_of(*bidder) == from {
                return Some((given_up.value(), *bidder));
            }
            heap.pop();
        }
        None
    }

    fn node_of(&self, bidder: u32) -> usize {
        (self.seating.seats[bidder as usize].place as usize).min(self.ground())
    }

    /// Nodes with unknown moves that cost less than `end` says, and what it says; no move costs less
    /// than nothing.
    fn shallow(&self, end: impl Fn(usize) -> f64) -> Vec<(usize, f64)> {
        let unknown = |(node, end): &(usize, f64)| {
            *end > 0.0 && self.nodes[*node].depth < ALL && self.known_to(*node) < *end
        };
        (0..self.nodes.len()).map(|node| (node, end(node))).filter(unknown).collect()
    }

    /// Moves that cost less than this are known.
    fn known_to(&self, node: usize) -> f64 {
        let first = self.posted.message.get(node).copied().map_or(0.0, f64::from);
        self.nodes[node].depth - (self.price[node] - first) - self.fallen
    }

    /// Makes moves known that cost less than `end`.
    fn deepen(&mut self, node: usize, end: f64) {
        const FACTOR: f64 = 4.0;
        let missing = end - self.known_to(node);
        let depth = self.nodes[node].depth;
        self.deepen_to(node, (depth + missing * 1.5).max(depth * FACTOR));
    }

    /// Looks up moves anew, down to `depth`.
    fn deepen_to(&mut self, from: usize, depth: f64) {
        if self.nodes[from].depth >= depth {
            return;
        }
        let depth = if depth < ALL / 1e3 { depth } else { ALL };
        let mut members = std::mem::take(&mut self.nodes[from].members);
        members.sort_unstable();
        members.dedup();
        members.retain(|bidder| self.node_of(*bidder) == from);
        let parts = in_parts(members.len(), self.threads, |range| {
            let mut found: Vec<Vec<Move>> = vec![Vec::new(); self.nodes.len()];
            let mut near = Vec::new();
            for bidder in &members[range] {
                self.moves_of(*bidder, from, depth, &mut near, |to, away| found[to].push(away));
            }
            found
        });
        let mut moves: BTreeMap<u32, BinaryHeap<Move>> = BTreeMap::new();
        for (to, away) in parts.into_iter().flat_map(|part| part.into_iter().enumerate()) {
            if !away.is_empty() {
                moves.entry(to as u32).or_default().append(&mut BinaryHeap::from(away));
            }
        }
        self.nodes[from] = Node { members, moves, depth };
    }

    /// Calls `each` with the moves of a bidder away from a node that give up less than `depth`.
    fn moves_of(
        &self,
        bidder: u32,
        from: usize,
        depth: f64,
        near: &mut Vec<Offer>,
        mut each: impl FnMut(usize, Move),
    ) {
        let market = self.seating.market;
        let who = &market.bidders[bidder as usize];
        let first = |node: usize| self.posted.message.get(node).copied().map_or(0.0, f64::from);
        let here = match from {
            from if from == self.ground() => 0.0,
            from => f64::from(self.posted.best_at(market, who, from as u32).net),
        };
        let least = if depth < ALL { (here - depth) as f32 } else { f32::MIN };
        self.posted.near(market, who, Within::Reach(least), near);
        for offer in near.iter() {
            let to = (offer.seat.place as usize).min(self.ground());
            if to != from {
                let given_up = here + first(from) - f64::from(offer.net) - first(to);
                each(to, Reverse((Key::from(given_up), who.tie, bidder)));
            }
        }
    }

    /// Moves a bidder, and notes where it could go next.
    fn shift(&mut self, bidder: u32, to: usize) {
        let who = &self.seating.market.bidders[bidder as usize];
        let seat = if to == self.ground() {
            Seat::REFUSED
        } else {
            self.posted.best_at(self.seating.market, who, to as u32).seat
        };
        self.seating.put(bidder, seat);
        let depth = self.nodes[to].depth;
        self.nodes[to].members.push(bidder);
        if depth > 0.0 {
            let mut moves = std::mem::take(&mut self.nodes[to].moves);
            let mut near = Vec::new();
            self.moves_of(bidder, to, depth, &mut near, |next, found| {
                moves.entry(next as u32).or_default().push(found);
            });
            self.nodes[to].moves = moves;
        }
    }
}
