//! The market of a plan: bidders, the places they may take, and the limits that places use up.
//!
//! A *place* is one slot of one campaign and arm. A bidder takes at most one place, with one of its
//! variants, and being refused is always open to it at value zero. Values repeat with the local
//! week, so a bidder holds one value for each *cell*: the places of its group that are worth the
//! same to it. Knows nothing of people, clocks or messages.

use std::ops::Range;

/// Not a place: refused, or a cell that a group lacks.
pub(in crate::plan) const NOWHERE: u32 = u32::MAX;

/// Loads are whole millionths, so that their sums do not depend on the order of adding.
pub(in crate::plan) const UNIT: i64 = 1_000_000;

/// Cells of a group are padded to a multiple of so many, which are searched at once.
pub(in crate::plan) const LANES: usize = 16;

/// Rounds a load up to whole millionths.
pub(in crate::plan) fn load(amount: f64) -> i64 {
    (amount * UNIT as f64).ceil() as i64
}

/// What one place uses up.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Place {
    /// Limits of which each message uses one.
    pub(in crate::plan) counted: Vec<u32>,
    /// Limits on replies, and the share of a bidder's expected reply that falls on each.
    pub(in crate::plan) answered: Vec<(u32, f32)>,
}

/// Bidders of one campaign, arm, zone and country: the same places, the same cells.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Group {
    /// Where each cell begins in `places`, and the end.
    pub(in crate::plan) starts: Vec<u32>,
    /// The places, cell by cell.
    pub(in crate::plan) places: Vec<u32>,
    /// The cell of a place, [`NOWHERE`] where it is not allowed.
    pub(in crate::plan) cell_of: Vec<u32>,
    /// The limit on spend.
    pub(in crate::plan) paid: Option<u32>,
}

impl Group {
    /// Lays out a group from the places of each of its cells.
    pub(in crate::plan) fn new(cells: &[Vec<u32>], places: usize, paid: Option<u32>) -> Self {
        let mut group =
            Self { starts: vec![0], cell_of: vec![NOWHERE; places], paid, ..Self::default() };
        for (index, cell) in cells.iter().enumerate() {
            for &place in cell {
                group.cell_of[place as usize] = index as u32;
            }
            group.places.extend(cell);
            group.starts.push(group.places.len() as u32);
        }
        let end = group.places.len() as u32;
        group.starts.resize(cells.len().next_multiple_of(LANES) + 1, end);
        group
    }

    /// How many cells there are, those without places at the end included.
    pub(in crate::plan) fn cells(&self) -> usize {
        self.starts.len() - 1
    }
}

/// One person in one campaign.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Bidder {
    /// Index of its group.
    pub(in crate::plan) group: u32,
    /// Variants that are kept apart because their replies differ; 1 where nothing bounds replies.
    pub(in crate::plan) planes: u32,
    /// Where its values begin: `planes` × cells, negative infinity where it may not or will not.
    pub(in crate::plan) values: usize,
    /// Where its chances of a reply begin, one a plane, if anything bounds replies.
    pub(in crate::plan) replies: Option<usize>,
    /// What a message to it costs.
    pub(in crate::plan) cost: f32,
    /// Orders bidders that are alike.
    pub(in crate::plan) tie: u32,
    /// Its own forbidden spans, a range of `Market::bans`.
    pub(in crate::plan) bans: (u32, u32),
}

impl Bidder {
    /// Whether its own rules forbid it places whose cell it values.
    pub(in crate::plan) fn is_banned(&self) -> bool {
        self.bans.0 != self.bans.1
    }
}

/// Everything that competes, and for what.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Market {
    /// Capacity of each limit, in millionths.
    pub(in crate::plan) limits: Vec<i64>,
    /// The places.
    pub(in crate::plan) places: Vec<Place>,
    /// The groups.
    pub(in crate::plan) groups: Vec<Group>,
    /// The bidders.
    pub(in crate::plan) bidders: Vec<Bidder>,
    /// Values of all bidders.
    pub(in crate::plan) values: Vec<f32>,
    /// Chances of a reply of all bidders; empty where nothing bounds replies.
    pub(in crate::plan) replies: Vec<f32>,
    /// Spans of places that single bidders may not take.
    pub(in crate::plan) bans: Vec<Range<u32>>,
}

/// A place taken with a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan) struct Seat {
    /// The place, or [`NOWHERE`].
    pub(in crate::plan) place: u32,
    /// The plane.
    pub(in crate::plan) plane: u32,
}

impl Seat {
    /// No seat.
    pub(in crate::plan) const REFUSED: Self = Self { place: NOWHERE, plane: 0 };
}

impl Market {
    /// The most that any seat is worth to anybody.
    pub(in crate::plan) fn largest(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// Whether a bidder's own rules allow a place of its group.
    pub(in crate::plan) fn may_take(&self, bidder: &Bidder, place: u32) -> bool {
        self.bans_of(bidder).iter().all(|ban| !ban.contains(&place))
    }

    fn bans_of(&self, bidder: &Bidder) -> &[Range<u32>] {
        &self.bans[bidder.bans.0 as usize..bidder.bans.1 as usize]
    }

    /// The chance of a reply with a plane.
    pub(in crate::plan) fn reply(&self, bidder: &Bidder, plane: u32) -> f32 {
        bidder.replies.map_or(0.0, |first| self.replies[first + plane as usize])
    }

    /// What a seat is worth to a bidder before prices; negative infinity where it may not take it.
    pub(in crate::plan) fn value(&self, bidder: &Bidder, seat: Seat) -> f32 {
        if seat.place == NOWHERE {
            return 0.0;
        }
        let group = &self.groups[bidder.group as usize];
        let cell = group.cell_of[seat.place as usize];
        if cell == NOWHERE || !self.may_take(bidder, seat.place) {
            return f32::NEG_INFINITY;
        }
        self.values[bidder.values + seat.plane as usize * group.cells() + cell as usize]
    }

    /// Whether no limit counts the messages of several places, or anything but messages.
    pub(in crate::plan) fn has_limit_each(&self) -> bool {
        !self.has_loads() && self.covers().iter().all(|places| places.len() < 2)
    }

    /// Whether replies or money are bounded.
    pub(in crate::plan) fn has_loads(&self) -> bool {
        let mut places = self.places.iter();
        self.groups.iter().any(|group| group.paid.is_some())
            || places.any(|place| !place.answered.is_empty())
    }

    /// The places that use up each limit by the message.
    pub(in crate::plan) fn covers(&self) -> Vec<Vec<u32>> {
        let mut covers = vec![Vec::new(); self.limits.len()];
        for (place, uses) in self.places.iter().enumerate() {
            uses.counted.iter().for_each(|limit| covers[*limit as usize].push(place as u32));
        }
        covers
    }

    /// Calls `each` with every limit that a seat of a bidder uses, and how much of it.
    pub(in crate::plan) fn uses(
        &self,
        bidder: &Bidder,
        seat: Seat,
        mut each: impl FnMut(u32, i64),
    ) {
        if seat.place == NOWHERE {
            return;
        }
        let place = &self.places[seat.place as usize];
        place.counted.iter().for_each(|limit| each(*limit, UNIT));
        if !place.answered.is_empty() {
            let reply = f64::from(self.reply(bidder, seat.plane));
            for (limit, share) in &place.answered {
                each(*limit, load(reply * f64::from(*share)));
            }
        }
        if let Some(limit) = self.groups[bidder.group as usize].paid {
            each(limit, load(f64::from(bidder.cost)));
        }
    }
}
