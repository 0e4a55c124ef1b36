//! The curvature of the bound: how demand moves when prices do.

use super::demand::Tie;
use super::problem::{Bidder, Market, NOWHERE, Place, Seat};

/// Past so many limits with a price only the diagonal of the curvature is kept.
pub(in crate::plan) const DENSE_MAX: usize = 1200;
/// Pairs of seats that are looked at. Past it an even sample of the bidders speaks for all: where
/// many people are alike, each of them is between hundreds of seats, and all say the same.
const PAIRS_MAX: usize = 30_000_000;

/// Second derivatives of the bound by the active limits' prices: all, or each by its own alone.
pub(in crate::plan) enum Curve {
    Dense(Vec<f64>),
    Diagonal(Vec<f64>),
}

/// Each bidder between seats curves the bound by the covariance of what its seats use.
pub(in crate::plan) fn curve(market: &Market, ties: &[Tie], active: &[u32], width: f64) -> Curve {
    let features = Features::new(market, active);
    if active.len() <= DENSE_MAX {
        let pairs: usize = ties.iter().map(|tie| tie.shares.len().pow(2)).sum();
        let every = pairs / PAIRS_MAX + 1;
        let width = width / every as f64;
        Curve::Dense(features.dense(market, ties.iter().step_by(every), active.len(), width))
    } else {
        Curve::Diagonal(features.diagonal(market, ties, active.len(), width))
    }
}

/// What seats differ in: the message and the reply at each place, and money. Far fewer than what
/// limits over many places would make of them.
struct Features {
    count: usize,
    replies: bool,
    /// Feature of money by limit.
    money: Vec<u32>,
    /// The active limits of each feature, by index, with the share that falls on them.
    limits: Vec<Vec<(u32, f64)>>,
}

impl Features {
    fn new(market: &Market, active: &[u32]) -> Self {
        let mut index = vec![NOWHERE; market.limits.len()];
        active.iter().enumerate().for_each(|(at, limit)| index[*limit as usize] = at as u32);
        let live = |limit: u32| Some(index[limit as usize]).filter(|at| *at != NOWHERE);
        let replies = !market.replies.is_empty();
        let counted = |place: &Place| -> Vec<(u32, f64)> {
            place.counted.iter().filter_map(|limit| Some((live(*limit)?, 1.0))).collect()
        };
        let answered = |place: &Place| -> Vec<(u32, f64)> {
            let share = |(limit, share): &(u32, f32)| Some((live(*limit)?, f64::from(*share)));
            place.answered.iter().filter_map(share).collect()
        };
        let mut limits: Vec<Vec<(u32, f64)>> = market.places.iter().map(counted).collect();
        if replies {
            limits.extend(market.places.iter().map(answered));
        }
        let mut money = vec![NOWHERE; market.limits.len()];
        for limit in market.groups.iter().filter_map(|group| group.paid) {
            if let Some(at) = live(limit).filter(|_| money[limit as usize] == NOWHERE) {
                money[limit as usize] = limits.len() as u32;
                limits.push(vec![(at, 1.0)]);
            }
        }
        Self { count: limits.len(), replies, money, limits }
    }

    /// Calls `each` with the features of a seat.
    fn of(&self, market: &Market, bidder: &Bidder, seat: Seat, mut each: impl FnMut(usize, f64)) {
        if seat.place == NOWHERE {
            return;
        }
        each(seat.place as usize, 1.0);
        if self.replies {
            let reply = f64::from(market.reply(bidder, seat.plane));
            each(market.places.len() + seat.place as usize, reply);
        }
        if let Some(limit) = market.groups[bidder.group as usize].paid {
            let at = self.money[limit as usize];
            if at != NOWHERE {
                each(at as usize, f64::from(bidder.cost));
            }
        }
    }

    fn dense<'t>(
        &self,
        market: &Market,
        ties: impl Iterator<Item = &'t Tie>,
        n: usize,
        width: f64,
    ) -> Vec<f64> {
        // too many places to pair are few limits to pair
        let direct = self.count > DENSE_MAX;
        let m = if direct { n } else { self.count };
        let mut covariance = vec![0.0; m * m];
        let mut mean: Vec<(usize, f64)> = Vec::new();
        let mut own: Vec<(usize, f64)> = Vec::new();
        for tie in ties {
            let bidder = &market.bidders[tie.bidder as usize];
            mean.clear();
            for (seat, share) in &tie.shares {
                own.clear();
                self.of(market, bidder, *seat, |feature, amount| {
                    if direct {
                        let of = self.limits[feature].iter();
                        own.extend(of.map(|(limit, part)| (*limit as usize, amount * part)));
                    } else {
                        own.push((feature, amount));
                    }
                });
                for &(f, a) in &own {
                    for &(g, b) in &own {
                        covariance[f * m + g] += share * a * b / width;
                    }
                    mean.push((f, share * a));
                }
            }
            for &(f, a) in &mean {
                for &(g, b) in &mean {
                    covariance[f * m + g] -= a * b / width;
                }
            }
        }
        if direct { covariance } else { self.by_limit(&covariance, n) }
    }

    /// From the covariance of features to that of limits.
    fn by_limit(&self, covariance: &[f64], n: usize) -> Vec<f64> {
        let mut curve = vec![0.0; n * n];
        for (f, of_f) in self.limits.iter().enumerate() {
            for (g, of_g) in self.limits.iter().enumerate() {
                let both = covariance[f * self.count + g];
                if both != 0.0 {
                    for &(i, a) in of_f {
                        for &(j, b) in of_g {
                            curve[i as usize * n + j as usize] += a * b * both;
                        }
                    }
                }
            }
        }
        curve
    }

    fn diagonal(&self, market: &Market, ties: &[Tie], n: usize, width: f64) -> Vec<f64> {
        let mut curve = vec![0.0; n];
        let mut uses: Vec<(u32, f64, f64)> = Vec::new();
        for tie in ties {
            let bidder = &market.bidders[tie.bidder as usize];
            uses.clear();
            for (seat, share) in &tie.shares {
                self.of(market, bidder, *seat, |feature, amount| {
                    let of = self.limits[feature].iter();
                    uses.extend(of.map(|(limit, part)| (*limit, *share, amount * part)));
                });
            }
            uses.sort_by_key(|(limit, _, _)| *limit);
            for same in uses.chunk_by(|a, b| a.0 == b.0) {
                let mean: f64 = same.iter().map(|(_, share, load)| share * load).sum();
                let square: f64 = same.iter().map(|(_, share, load)| share * load * load).sum();
                curve[same[0].0 as usize] += (square - mean * mean).max(0.0) / width;
            }
        }
        curve
    }
}
