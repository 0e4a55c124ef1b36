//! Paths: the cheapest way to empty what is too full and to fill what has a price and room.
//!
//! A path moves one item from a slot to a second, one from there to a third, and so on. The
//! cheapest is a shortest path over slots whose arcs are the cheapest single moves; the prices of
//! slots are the potentials that keep every arc from being negative, and each path moves them on
//! (successive shortest paths; Edmonds and Karp 1972). Where every slot has one limit of its own
//! the solution ends optimal, and the prices prove it. Single moves are looked up no deeper than
//! the paths need.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::placement::Placement;
use super::priced::{Offer, PricedValues, Within};
use super::primal::Primal;
use super::total::TotalF64;
use crate::plan::parallel::parallel_map;

/// Not a node, not an item.
const NONE: u32 = u32::MAX;
/// What is deep enough for every move: no value and no price is a thousandth of it.
const ALL: f64 = 1e6;

/// What an item gives up in worth by a move; then its own order, then itself.
type Move = Reverse<(TotalF64, u32, u32)>;

/// A primal solution on its way to the best one. Nodes are slots; the last node holds what is not
/// placed.
pub(super) struct ShortestPaths<'s, 'a> {
    primal: &'s mut Primal<'a>,
    /// Prices at the start; those of weights and costs stay.
    priced: &'s PricedValues,
    /// Price of a placement at each node; 0 at the last.
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
    /// Every item that was placed here, and perhaps left.
    members: Vec<u32>,
    /// Known moves away, by where to.
    moves: BTreeMap<u32, BinaryHeap<Move>>,
    /// Moves that give up less than this, at the first prices, are known.
    depth: f64,
}

/// Empties every counted limit that is too full, then fills slots that have a price and room.
/// Moves are looked up from `depth` on. Returns the price of a placement at each slot.
pub(super) fn settle(
    primal: &mut Primal<'_>,
    priced: &PricedValues,
    depth: f64,
    threads: usize,
) -> Vec<f64> {
    let mut paths = ShortestPaths::new(primal, priced, threads);
    let covers = paths.primal.problem.covers();
    for (limit, slots) in covers.iter().enumerate() {
        while paths.primal.is_over(limit as u32) && !slots.is_empty() {
            paths.relieve(limit as u32, slots, depth);
        }
    }
    for slot in 0..paths.unplaced() {
        while paths.price[slot] > 0.0 && paths.primal.is_idle(slot) {
            paths.fill(slot, depth);
        }
    }
    paths.price.pop();
    paths.price
}

impl<'s, 'a> ShortestPaths<'s, 'a> {
    fn new(primal: &'s mut Primal<'a>, priced: &'s PricedValues, threads: usize) -> Self {
        let count = priced.slot_price.len() + 1;
        let mut nodes: Vec<Node> = (0..count).map(|_| Node::default()).collect();
        for (item, placement) in primal.placements.iter().enumerate() {
            nodes[(placement.slot as usize).min(count - 1)].members.push(item as u32);
        }
        Self {
            primal,
            priced,
            price: priced.slot_price.iter().copied().map(f64::from).chain([0.0]).collect(),
            fallen: 0.0,
            nodes,
            label: vec![f64::INFINITY; count],
            through: vec![(NONE, NONE); count],
            done: vec![false; count],
            threads,
        }
    }

    fn unplaced(&self) -> usize {
        self.price.len() - 1
    }

    /// Moves one placement out of the slots of a limit, at the least loss.
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
        for node in 0..self.unplaced() {
            self.price[node] += (farthest - self.label[node]).max(0.0);
        }
        let mut to = sink;
        while self.through[to].1 != NONE {
            let (from, item) = self.through[to];
            self.shift(item, to);
            to = from as usize;
        }
    }

    /// The end of the cheapest known path from a limit's slots to room. The price of that room
    /// stays out of it: room that has a price is one that others are to fill, and a path that went
    /// farther for its sake than to the last node would leave moves there that gain.
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
            let moves = self.each_first(node, moves, |paths, to, cost, item| {
                paths.relabel(&mut queue, to, paths.label[node] + cost, (node as u32, item));
            });
            self.nodes[node].moves = moves;
        }
        self.unplaced()
    }

    /// Whether a path that relieves `limit` may end at a node.
    fn is_room(&self, node: usize, limit: u32) -> bool {
        if node == self.unplaced() {
            return true;
        }
        let mut root = node;
        while self.through[root].0 != NONE {
            root = self.through[root].0 as usize;
        }
        self.primal.has_room_after(node, root, limit)
    }

    /// Moves one placement into a slot with room, if that gains anything; else the slot has no
    /// price.
    fn fill(&mut self, slot: usize, depth: f64) {
        let prize = self.price[slot];
        let (cost, origin) = loop {
            let (cost, origin) = self.search_origin(slot, prize, depth);
            // any node might know too little of its moves to where the path goes
            let shallow = self.shallow(|node| self.label[node].min(cost));
            if shallow.is_empty() {
                break (cost, origin);
            }
            for (node, end) in shallow {
                self.deepen(node, end);
            }
        };
        for node in 0..self.unplaced() {
            let fall = (cost - self.label[node]).max(0.0).min(self.price[node]);
            self.price[node] -= fall;
            let first = f64::from(self.priced.slot_price[node]);
            self.fallen = self.fallen.max(first - self.price[node]);
        }
        if let Some(origin) = origin {
            // from the end of the path backwards, so that nobody is moved twice
            let mut hops = Vec::new();
            let mut from = origin;
            while from != slot {
                let (to, item) = self.through[from];
                hops.push((item, to as usize));
                from = to as usize;
            }
            hops.into_iter().rev().for_each(|(item, to)| self.shift(item, to));
        }
    }

    /// The cheapest known path into a slot, and where it begins; `prize` and nowhere if none costs
    /// less than that.
    fn search_origin(&mut self, slot: usize, prize: f64, depth: f64) -> (f64, Option<usize>) {
        let mut queue = self.start(vec![(slot, 0.0)]);
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
            if node != slot && cost < best.0 {
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
                if let Some((given_up, item)) = first {
                    let cost = (given_up - self.price[from] + self.price[node]).max(0.0);
                    let label = self.label[node] + cost;
                    if label < best.0 {
                        self.relabel(&mut queue, from, label, (node as u32, item));
                    }
                }
            }
        }
        best
    }

    fn start(&mut self, starts: Vec<(usize, f64)>) -> BinaryHeap<Reverse<(TotalF64, u32)>> {
        self.label.fill(f64::INFINITY);
        self.done.fill(false);
        let mut queue = BinaryHeap::new();
        for (node, label) in starts {
            self.relabel(&mut queue, node, label, (NONE, NONE));
        }
        queue
    }

    fn next(&self, queue: &mut BinaryHeap<Reverse<(TotalF64, u32)>>) -> Option<usize> {
        loop {
            let Reverse((label, node)) = queue.pop()?;
            if !self.done[node as usize] && label.value() <= self.label[node as usize] {
                return Some(node as usize);
            }
        }
    }

    fn relabel(
        &mut self,
        queue: &mut BinaryHeap<Reverse<(TotalF64, u32)>>,
        node: usize,
        label: f64,
        through: (u32, u32),
    ) {
        if label < self.label[node] {
            self.label[node] = label;
            self.through[node] = through;
            queue.push(Reverse((TotalF64::from(label), node as u32)));
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
            if let Some((given_up, item)) = self.first(from, heap) {
                let cost = (given_up - self.price[from] + self.price[to]).max(0.0);
                each(self, to, cost, item);
            }
        }
        moves
    }

    /// The cheapest move of those that are still there.
    fn first(&self, from: usize, heap: &mut BinaryHeap<Move>) -> Option<(f64, u32)> {
        while let Some(Reverse((given_up, _, item))) = heap.peek() {
            if self.node_of(*item) == from {
                return Some((given_up.value(), *item));
            }
            heap.pop();
        }
        None
    }

    fn node_of(&self, item: u32) -> usize {
        (self.primal.placements[item as usize].slot as usize).min(self.unplaced())
    }

    /// Nodes with unknown moves that cost less than `end` says, and what it says; no move costs
    /// less than nothing.
    fn shallow(&self, end: impl Fn(usize) -> f64) -> Vec<(usize, f64)> {
        let unknown = |(node, end): &(usize, f64)| {
            *end > 0.0 && self.nodes[*node].depth < ALL && self.known_to(*node) < *end
        };
        (0..self.nodes.len()).map(|node| (node, end(node))).filter(unknown).collect()
    }

    /// Moves that cost less than this are known.
    fn known_to(&self, node: usize) -> f64 {
        let first = self.priced.slot_price.get(node).copied().map_or(0.0, f64::from);
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
        members.retain(|item| self.node_of(*item) == from);
        let parts = parallel_map(members.len(), self.threads, |range| {
            let mut found: Vec<Vec<Move>> = vec![Vec::new(); self.nodes.len()];
            let mut near = Vec::new();
            for item in &members[range] {
                self.moves_of(*item, from, depth, &mut near, |to, away| found[to].push(away));
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

    /// Calls `each` with the moves of an item away from a node that give up less than `depth`.
    fn moves_of(
        &self,
        item: u32,
        from: usize,
        depth: f64,
        near: &mut Vec<Offer>,
        mut each: impl FnMut(usize, Move),
    ) {
        let problem = self.primal.problem;
        let it = &problem.items[item as usize];
        let first = |node: usize| self.priced.slot_price.get(node).copied().map_or(0.0, f64::from);
        let here = match from {
            from if from == self.unplaced() => 0.0,
            from => f64::from(self.priced.best_at(problem, it, from as u32).net),
        };
        let least = if depth < ALL { (here - depth) as f32 } else { f32::MIN };
        self.priced.near(problem, it, Within::Reach(least), near);
        for offer in near.iter() {
            let to = (offer.placement.slot as usize).min(self.unplaced());
            if to != from {
                let given_up = here + first(from) - f64::from(offer.net) - first(to);
                each(to, Reverse((TotalF64::from(given_up), it.tie_break, item)));
            }
        }
    }

    /// Moves an item, and notes where it could go next.
    fn shift(&mut self, item: u32, to: usize) {
        let it = &self.primal.problem.items[item as usize];
        let placement = if to == self.unplaced() {
            Placement::REFUSED
        } else {
            self.priced.best_at(self.primal.problem, it, to as u32).placement
        };
        self.primal.put(item, placement);
        let depth = self.nodes[to].depth;
        self.nodes[to].members.push(item);
        if depth > 0.0 {
            let mut moves = std::mem::take(&mut self.nodes[to].moves);
            let mut near = Vec::new();
            self.moves_of(item, to, depth, &mut near, |next, found| {
                moves.entry(next as u32).or_default().push(found);
            });
            self.nodes[to].moves = moves;
        }
    }
}
