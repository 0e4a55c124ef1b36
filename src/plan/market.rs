//! The market of a plan: bidders, the places they may take, and the limits that places use up.
//!
//! A *place* is one slot of one campaign and arm. A bidder takes at most one place, with one of its
//! variants, and being refused is always open to it at value zero. Values repeat with the local
//! week, so a bidder holds one value for each *cell*: the places of its group that are worth the
//! same to it. Knows nothing of people, clocks or messages.

use std::ops::Range;

/// Not a place: refused, or a cell that a group lacks.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Loads are whole millionths, so that their sums do not depend on the order of adding.
pub(super) const UNIT: i64 = 1_000_000;

/// Cells of a group are padded to a multiple of so many, which are searched at once.
pub(super) const LANES: usize = 16;

/// Rounds a load up to whole millionths.
pub(super) fn load(amount: f64) -> i64 {
    (amount * UNIT as f64).ceil() as i64
}

/// What one place uses up.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Limits of which each message uses one.
    pub(super) counted: Vec<u32>,
    /// Limits on replies, and the share of a bidder's expected reply that falls on each.
    pub(super) answered: Vec<(u32, f32)>,
}

/// Bidders of one campaign, arm, zone and country: the same places, the same cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Where each cell begins in `places`, and the end.
    pub(super) starts: Vec<u32>,
    /// The places, cell by cell.
    pub(super) places: Vec<u32>,
    /// The cell of a place, [`NOWHERE`] where it is not allowed.
    pub(super) cell_of: Vec<u32>,
    /// The limit on spend.
    pub(super) paid: Option<u32>,
}

impl Group {
    /// Lays out a group from the places of each of its cells.
    pub(super) fn new(cells: &[Vec<u32>], places: usize, paid: Option<u32>) -> Self {
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
    pub(super) fn cells(&self) -> usize {
        self.starts.len() - 1
    }
}

/// One person in one campaign.
#[derive(Debug, Clone)]
pub(super) struct Bidder {
    /// Index of its group.
    pub(super) group: u32,
    /// Variants that are kept apart because their replies differ; 1 where nothing bounds replies.
    pub(super) planes: u32,
    /// Where its values begin: `planes` × cells, negative infinity where it may not or will not.
    pub(super) values: usize,
    /// Where its chances of a reply begin, one a plane, if anything bounds replies.
    pub(super) replies: Option<usize>,
    /// What a message to it costs.
    pub(super) cost: f32,
    /// Orders bidders that are alike.
    pub(super) tie: u32,
    /// Its own forbidden spans, a range of `Market::bans`.
    pub(super) bans: (u32, u32),
}

impl Bidder {
    /// Whether its own rules forbid it places whose cell it values.
    pub(super) fn is_banned(&self) -> bool {
        self.bans.0 != self.bans.1
    }
}

/// Everything that competes, and for what.
#[derive(Debug, Clone, Default)]
pub(super) struct Market {
    /// Capacity of each limit, in millionths.
    pub(super) limits: Vec<i64>,
    /// The places.
    pub(super) places: Vec<Place>,
    /// The groups.
    pub(super) groups: Vec<Group>,
    /// The bidders.
    pub(super) bidders: Vec<Bidder>,
    /// Values of all bidders.
    pub(super) values: Vec<f32>,
    /// Chances of a reply of all bidders; empty where nothing bounds replies.
    pub(super) replies: Vec<f32>,
    /// Spans of places that single bidders may not take.
    pub(super) bans: Vec<Range<u32>>,
}

/// A place taken with a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    /// The place, or [`NOWHERE`].
    pub(super) place: u32,
    /// The plane.
    pub(super) plane: u32,
}

impl Seat {
    /// No seat.
    pub(super) const REFUSED: Self = Self { place: NOWHERE, plane: 0 };
}

impl Market {
    /// The most that any seat is worth to anybody.
    pub(super) fn largest(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// Whether a bidder's own rules allow a place of its group.
    pub(super) fn may_take(&self, bidder: &Bidder, place: u32) -> bool {
        self.bans_of(bidder).iter().all(|ban| !ban.contains(&place))
    }

    fn bans_of(&self, bidder: &Bidder) -> &[Range<u32>] {
        &self.bans[bidder.bans.0 as usize..bidder.bans.1 as usize]
    }

    /// The chance of a reply with a plane.
    pub(super) fn reply(&self, bidder: &Bidder, plane: u32) -> f32 {
        bidder.replies.map_or(0.0, |first| self.replies[first + plane as usize])
    }

    /// What a seat is worth to a bidder before prices; negative infinity where it may not take it.
    pub(super) fn value(&self, bidder: &Bidder, seat: Seat) -> f32 {
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
    pub(super) fn has_limit_each(&self) -> bool {
        !self.has_loads() && self.covers().iter().all(|places| places.len() < 2)
    }

    /// Whether replies or money are bounded.
    pub(super) fn has_loads(&self) -> bool {
        let mut places = self.places.iter();
        self.groups.iter().any(|group| group.paid.is_some())
            || places.any(|place| !place.answered.is_empty())
    }

    /// The places that use up each limit by the message.
    pub(super) fn covers(&self) -> Vec<Vec<u32>> {
        let mut covers = vec![Vec::new(); self.limits.len()];
        for (place, uses) in self.places.iter().enumerate() {
            uses.counted.iter().for_each(|limit| covers[*limit as usize].push(place as u32));
        }
        covers
    }

    /// Calls `each` with every limit that a seat of a bidder uses, and how much of it.
    pub(super) fn uses(&self, bidder: &Bidder, seat: Seat, mut each: impl FnMut(u32, i64)) {
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
