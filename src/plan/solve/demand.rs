//! A scan: what all bidders would take at posted prices, with near-ties shared out.

use super::priced::{Offer, Posted, Within};
use super::problem::{Bidder, Market, NOWHERE, Seat};

/// Offers worth less than the best by more than so many τ do not count.
const NEAR: f32 = 12.0;
/// Nor do smaller shares curve the bound.
const SHARE_LEAST: f64 = 0.003;
/// Worths and loads are summed as whole multiples of 2⁻³².
pub(in crate::plan) const FINE: f64 = (1_u64 << 32) as f64;

/// A bidder between seats: its share of each.
pub(in crate::plan) struct Tie {
    pub(in crate::plan) bidder: u32,
    pub(in crate::plan) shares: Vec<(Seat, f64)>,
}

/// What a scan of bidders at posted prices found.
#[derive(Default)]
pub(in crate::plan) struct Scan {
    /// Bound rounded off at the width of the last model, and at the new one.
    pub(in crate::plan) rounded: [i64; 2],
    /// Shares of messages and of replies at each place, and of money on each limit.
    messages: Vec<i64>,
    replies: Vec<i64>,
    money: Vec<i64>,
    /// Bidders between seats.
    pub(in crate::plan) ties: Vec<Tie>,
    near: Vec<Offer>,
}

impl Scan {
    /// Nothing seen yet.
    pub(in crate::plan) fn new(market: &Market) -> Self {
        let replies = if market.replies.is_empty() { 0 } else { market.places.len() };
        Self {
            messages: vec![0; market.places.len()],
            replies: vec![0; replies],
            money: vec![0; market.limits.len()],
            ..Self::default()
        }
    }

    /// Sees one bidder, rounded off at two widths.
    pub(in crate::plan) fn add(
        &mut self,
        market: &Market,
        posted: &Posted,
        index: u32,
        widths: [f32; 2],
    ) {
        let bidder = &market.bidders[index as usize];
        let mut near = std::mem::take(&mut self.near);
        let reach = NEAR * widths[0].max(widths[1]);
        let best = posted.near(market, bidder, Within::OfBest(reach), &mut near);
        if let [only] = near[..] {
            let worth = (f64::from(best) * FINE) as i64;
            self.rounded.iter_mut().for_each(|sum| *sum += worth);
            self.take(market, bidder, only.seat, 1.0);
        } else {
            let weight = |offer: &Offer, width: f32| f64::from(((offer.net - best) / width).exp());
            let sums = widths.map(|width| near.iter().map(|o| weight(o, width)).sum::<f64>());
            for ((rounded, sum), width) in self.rounded.iter_mut().zip(sums).zip(widths) {
                *rounded += ((f64::from(best) + f64::from(width) * sum.ln()) * FINE) as i64;
            }
            let mut shares: Vec<(Seat, f64)> =
                near.iter().map(|o| (o.seat, weight(o, widths[1]) / sums[1])).collect();
            for (seat, share) in &shares {
                self.take(market, bidder, *seat, *share);
            }
            shares.retain(|(_, share)| *share > SHARE_LEAST);
            if shares.len() > 1 {
                self.ties.push(Tie { bidder: index, shares });
            }
        }
        self.near = near;
    }

    fn take(&mut self, market: &Market, bidder: &Bidder, seat: Seat, share: f64) {
        if seat.place == NOWHERE {
            return;
        }
        let at = seat.place as usize;
        self.messages[at] += (share * FINE) as i64;
        if let Some(sum) = self.replies.get_mut(at) {
            *sum += (share * f64::from(market.reply(bidder, seat.plane)) * FINE) as i64;
        }
        if let Some(limit) = market.groups[bidder.group as usize].paid {
            self.money[limit as usize] += (share * f64::from(bidder.cost) * FINE) as i64;
        }
    }

    /// Takes over what another has seen of later bidders.
    pub(in crate::plan) fn join(&mut self, other: Scan) {
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
    pub(in crate::plan) fn used(&self, market: &Market) -> Vec<f64> {
        let mut used: Vec<f64> = self.money.iter().map(|sum| *sum as f64 / FINE).collect();
        for (index, place) in market.places.iter().enumerate() {
            let messages = self.messages[index] as f64 / FINE;
            place.counted.iter().for_each(|limit| used[*limit as usize] += messages);
            if let Some(replies) = self.replies.get(index) {
                for (limit, share) in &place.answered {
                    used[*limit as usize] += *replies as f64 / FINE * f64::from(*share);
                }
            }
        }
        used
    }
}
