//! Balance: who of those between seats takes which, so that limits are used to the full.
//!
//! At good prices nearly everybody has one best seat; some are about as well off with another, and
//! which of theirs they take decides how much is used of each limit. They choose in turn, again and
//! again, at prices that rise with what is used beyond a limit and fall with what is left of it (the
//! augmented Lagrangian of Hestenes 1969 and Powell 1969, coordinate by coordinate), ever more
//! steeply. Then limits are firm, and what is left of them is given away at falling prices. Loads
//! may be of any size: messages, replies, money.

use super::dual::Found;
use super::priced::{Posted, Within};
use super::problem::{Market, Seat, UNIT};
use super::repair::Seating;
use crate::plan::parallel::in_parts;

/// Seats count that are worth less than the best by so many widths of what prices are sure of …
const DEPTH: f64 = 32.0;
/// … or by so many times more, until enough people have a choice.
const DEEPER: f64 = 4.0;
/// So many for each limit,
const CHOOSERS_PER_LIMIT: usize = 24;
/// or nine in ten of everybody.
const CHOOSERS_MOST: f64 = 0.9;
/// How often everybody chooses while prices still give way.
const TURNS: i32 = 25;
/// How much steeper prices are from turn to turn; in the first a message too many or too few moves
/// a price by the width.
const STEEPER: f64 = 1.4;
/// How much steeper they rise beyond a limit than they fall below.
const RISE: f64 = 16.0;
/// What is aimed at is less than a limit by this share of a message: less costs less than more.
const MARGIN: f64 = 0.25;
/// The shares of the prices at which the room that is left is given away.
const FALLING: [f64; 5] = [1.0, 0.75, 0.5, 0.25, 0.0];
/// What breaking a firm limit by a message costs: more than any seat is worth.
const FORBIDDEN: f64 = 1e3;

/// Seats the bidders anew who are between seats.
pub(in crate::plan) fn settle(
    seating: &mut Seating<'_>,
    posted: &Posted,
    found: &Found,
    threads: usize,
) {
    let market = seating.market;
    let mut balance = Balance::new(seating, choosers(market, posted, found.width, threads));
    for turn in 0..TURNS {
        let steep = found.width * STEEPER.powi(turn);
        balance.turn(seating, |limit, used, load| {
            let limit = limit as usize;
            let typical = found.reach[limit];
            let slope = Slope { price: found.prices[limit], steep: steep * typical * typical };
            let aim = whole(market.limits[limit]) - MARGIN / typical;
            slope.cost(whole(used + load) - aim) - slope.cost(whole(used) - aim)
        });
    }
    if !market.has_loads() {
        // chains give away what room is left, and better
        return;
    }
    for share in FALLING {
        balance.turn(seating, |limit, used, load| {
            let limit = limit as usize;
            let beyond = |used: i64| (used - market.limits[limit]).max(0);
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

/// Bidders with more than one seat that is nearly best, and these.
fn choosers(market: &Market, posted: &Posted, width: f64, threads: usize) -> Vec<(u32, Vec<Seat>)> {
    let largest = market.largest();
    let most = (market.bidders.len() as f64 * CHOOSERS_MOST) as usize;
    let enough = (CHOOSERS_PER_LIMIT * market.limits.len()).min(most);
    let mut depth = (width * DEPTH) as f32;
    loop {
        let parts = in_parts(market.bidders.len(), threads, |range| {
            let (mut found, mut near) = (Vec::new(), Vec::new());
            for index in range {
                let bidder = &market.bidders[index];
                posted.near(market, bidder, Within::OfBest(depth), &mut near);
                if near.len() > 1 {
                    let seats: Vec<Seat> = near.iter().map(|offer| offer.seat).collect();
                    found.push((index as u32, seats));
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

/// Those who choose, and what they choose from.
struct Balance {
    choosers: Vec<Chooser>,
    choices: Vec<Choice>,
    uses: Vec<(u32, i64)>,
}

struct Chooser {
    bidder: u32,
    /// A range of the choices.
    choices: (u32, u32),
    chosen: u32,
}

struct Choice {
    seat: Seat,
    value: f64,
    /// A range of the uses.
    uses: (u32, u32),
}

impl Balance {
    fn new(seating: &Seating<'_>, mut choosers: Vec<(u32, Vec<Seat>)>) -> Self {
        let market = seating.market;
        choosers.sort_by_key(|(bidder, _)| (market.bidders[*bidder as usize].tie, *bidder));
        let mut balance = Self { choosers: Vec::new(), choices: Vec::new(), uses: Vec::new() };
        for (bidder, seats) in choosers {
            let who = &market.bidders[bidder as usize];
            let first = balance.choices.len() as u32;
            let held = seats.iter().position(|seat| *seat == seating.seats[bidder as usize]);
            for seat in seats {
                let from = balance.uses.len() as u32;
                market.uses(who, seat, |limit, load| balance.uses.push((limit, load)));
                let value = f64::from(market.value(who, seat));
                let uses = (from, balance.uses.len() as u32);
                balance.choices.push(Choice { seat, value, uses });
            }
            let chosen = first + held.expect("everybody holds a best seat") as u32;
            let choices = (first, balance.choices.len() as u32);
            balance.choosers.push(Chooser { bidder, choices, chosen });
        }
        balance
    }

    /// Everybody takes the seat that is worth most less what `cost` says of each of its uses, given
    /// the limit, what others use of it, and the load.
    fn turn(&mut self, seating: &mut Seating<'_>, cost: impl Fn(u32, i64, i64) -> f64) {
        let uses = |choice: &Choice| &self.uses[choice.uses.0 as usize..choice.uses.1 as usize];
        for chooser in &mut self.choosers {
            let held = &self.choices[chooser.chosen as usize];
            for (limit, load) in uses(held) {
                seating.used[*limit as usize] -= load;
            }
            let mut best = (f64::NEG_INFINITY, chooser.chosen);
            for at in chooser.choices.0..chooser.choices.1 {
                let choice = &self.choices[at as usize];
                let cost =
                    |(limit, load): &(u32, i64)| cost(*limit, seating.used[*limit as usize], *load);
                let net = choice.value - uses(choice).iter().map(cost).sum::<f64>();
                if net > best.0 {
                    best = (net, at);
                }
            }
            let choice = &self.choices[best.1 as usize];
            for (limit, load) in uses(choice) {
                seating.used[*limit as usize] += load;
            }
            chooser.chosen = best.1;
            seating.seats[chooser.bidder as usize] = choice.seat;
        }
    }
}
