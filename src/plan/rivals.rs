//! Rivals: bidders that are one person in several campaigns, who together must keep to the caps.
//!
//! Prices know nothing of them, so the bound stands above what caps allow; who gives way is settled
//! here, after the chains: the messages that are worth most to the person stay.

use super::market::{Market, NOWHERE, Seat};
use super::order::Key;
use super::posted::Posted;
use super::repair::Seating;

/// At most so many messages within a span, seconds.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) most: usize,
    pub(super) span: i64,
    /// Which members' messages count.
    pub(super) counts: Vec<bool>,
    /// Other messages that count, seconds since the epoch.
    pub(super) taken: Vec<i64>,
}

/// One person's bidders.
#[derive(Debug, Clone)]
pub(super) struct Company {
    pub(super) members: Vec<u32>,
    pub(super) bounds: Vec<Bound>,
}

/// All companies of a market.
#[derive(Debug, Clone, Default)]
pub(super) struct Rivals {
    pub(super) companies: Vec<Company>,
    /// The company of each bidder, if any; empty where there are none.
    pub(super) company_of: Vec<u32>,
    /// First and last second of each place.
    pub(super) spans: Vec<(i64, i64)>,
}

impl Rivals {
    /// Notes the company of each bidder.
    pub(super) fn of(market: &Market, companies: Vec<Company>, spans: Vec<(i64, i64)>) -> Self {
        let mut company_of = Vec::new();
        if !companies.is_empty() {
            company_of = vec![NOWHERE; market.bidders.len()];
            for (index, company) in companies.iter().enumerate() {
                for member in &company.members {
                    company_of[*member as usize] = index as u32;
                }
            }
        }
        Self { companies, company_of, spans }
    }

    /// Whether a bidder may take a place beside what its rivals hold.
    pub(super) fn allow(&self, bidder: u32, place: u32, seats: &[Seat]) -> bool {
        let company = self.company_of.get(bidder as usize).copied().unwrap_or(NOWHERE);
        if company == NOWHERE || place == NOWHERE {
            return true;
        }
        let Company { members, bounds } = &self.companies[company as usize];
        let own = self.spans[place as usize];
        bounds.iter().all(|bound| {
            let mut spans: Vec<(i64, i64)> = bound.taken.iter().map(|at| (*at, *at)).collect();
            let mut counted = false;
            for (member, counts) in members.iter().zip(&bound.counts) {
                let held = seats[*member as usize].place;
                if *member == bidder {
                    counted = *counts;
                } else if *counts && held != NOWHERE {
                    spans.push(self.spans[held as usize]);
                }
            }
            !counted || fits(&mut spans, own, bound)
        })
    }

    /// Takes from each company what breaks its bounds; who has to leave goes where there is room.
    pub(super) fn part(&self, seating: &mut Seating<'_>, posted: &Posted) {
        let market = seating.market;
        for company in &self.companies {
            let net = |member: &u32| {
                let who = &market.bidders[*member as usize];
                let seat = seating.seats[*member as usize];
                f64::from(posted.net(market, who, seat))
            };
            let mut order: Vec<(Key, u32)> =
                company.members.iter().map(|m| (Key::from(-net(m)), *m)).collect();
            order.sort_unstable();
            let held: Vec<Seat> = order.iter().map(|(_, m)| seating.seats[*m as usize]).collect();
            for (_, member) in &order {
                seating.put(*member, Seat::REFUSED);
            }
            for ((_, member), seat) in order.iter().zip(held) {
                if self.allow(*member, seat.place, &seating.seats) {
                    seating.put(*member, seat);
                } else {
                    seating.put_best(*member, posted);
                }
            }
        }
    }
}

/// Whether one more message fits among others, wherever in its slot each may go.
fn fits(spans: &mut [(i64, i64)], own: (i64, i64), bound: &Bound) -> bool {
    if bound.most == 0 {
        return false;
    }
    spans.sort_unstable();
    // the ones that could lie within a span of it, earlier and later
    let near: Vec<(i64, i64)> = (spans.iter().copied())
        .filter(|other| other.0 - own.1 < bound.span && own.0 - other.1 < bound.span)
        .collect();
    let mut all = near;
    all.push(own);
    all.sort_unstable();
    let run = bound.most + 1;
    let at = all.iter().position(|span| *span == own).unwrap_or(0);
    all.windows(run).enumerate().all(|(first, window)| {
        let holds_own = first <= at && at < first + run;
        !holds_own || window[run - 1].0 - window[0].1 >= bound.span
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_message_fits_only_where_no_span_holds_too_many() {
        let bound = |most, span| Bound { most, span, counts: vec![], taken: vec![] };
        let hour = |h: i64| (h * 3600, h * 3600 + 3599);
        // one a day: the next must begin a whole day after the other's last second
        assert!(!fits(&mut [hour(0)], hour(24), &bound(1, 86_400)));
        assert!(fits(&mut [hour(0)], hour(25), &bound(1, 86_400)));
        assert!(!fits(&mut [hour(30)], hour(10), &bound(1, 86_400)));
        // two a day
        assert!(fits(&mut [hour(0)], hour(2), &bound(2, 86_400)));
        assert!(!fits(&mut [hour(0), hour(8)], hour(2), &bound(2, 86_400)));
        assert!(fits(&mut [hour(0), hour(30)], hour(15), &bound(2, 86_400)));
        assert!(!fits(&mut [], hour(1), &bound(0, 86_400)));
    }
}
