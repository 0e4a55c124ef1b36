//! Rivals: bidders that are one person in several campaigns, who together must keep to the caps.
//!
//! Prices know nothing of them, so the bound stands above what caps allow; who gives way is settled
//! here, after the chains: the messages that are worth most to the person stay.

use super::priced::Posted;
use super::problem::{Market, NOWHERE, Seat};
use super::repair::Seating;
use super::total::Key;

/// At most so many messages within a span, seconds.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Bound {
    pub(in crate::plan) most: usize,
    pub(in crate::plan) span: i64,
    /// Which members' messages count.
    pub(in crate::plan) counts: Vec<bool>,
    /// The member whose message alone is bound by it; `None` binds every one.
    pub(in crate::plan) whose: Option<usize>,
    /// Other messages that count: from when to when they may go, seconds since the epoch.
    pub(in crate::plan) taken: Vec<(i64, i64)>,
}

/// One person's bidders.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Company {
    pub(in crate::plan) members: Vec<u32>,
    pub(in crate::plan) bounds: Vec<Bound>,
}

/// All companies of a market.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Rivals {
    pub(in crate::plan) companies: Vec<Company>,
    /// The company of each bidder, if any; empty where there are none.
    pub(in crate::plan) company_of: Vec<u32>,
    /// First and last second of each place.
    pub(in crate::plan) spans: Vec<(i64, i64)>,
}

impl Rivals {
    /// Notes the company of each bidder.
    pub(in crate::plan) fn of(
        market: &Market,
        companies: Vec<Company>,
        spans: Vec<(i64, i64)>,
    ) -> Self {
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

    /// Whether a bidder without a seat has a rival with one, to which it gave way.
    pub(in crate::plan) fn gave_way(&self, bidder: u32, seats: &[Seat]) -> bool {
        let company = self.company_of.get(bidder as usize).filter(|company| **company != NOWHERE);
        company.is_some_and(|company| {
            let members = &self.companies[*company as usize].members;
            members.iter().any(|member| seats[*member as usize].place != NOWHERE)
        })
    }

    /// Whether a bidder may take a place beside what its rivals hold.
    pub(in crate::plan) fn allow(&self, bidder: u32, place: u32, seats: &[Seat]) -> bool {
        let company = self.company_of.get(bidder as usize).copied().unwrap_or(NOWHERE);
        if company == NOWHERE || place == NOWHERE {
            return true;
        }
        let Company { members, bounds } = &self.companies[company as usize];
        let own = self.spans[place as usize];
        bounds.iter().all(|bound| {
            let mut spans = bound.taken.clone();
            let mut counted = false;
            let mut bound_one = Some(own);
            for (index, (member, counts)) in members.iter().zip(&bound.counts).enumerate() {
                let held = seats[*member as usize].place;
                let span = self.spans.get(held as usize).copied();
                if *member == bidder {
                    counted = *counts;
                } else {
                    spans.extend(span.filter(|_| *counts));
                    if bound.whose == Some(index) {
                        bound_one = span;
                    }
                }
            }
            // who has no seat is bound by nothing
            let Some(bound_one) = bound_one else { return true };
            !counted || fits(&spans, own, bound_one, bound)
        })
    }

    /// Takes from each company what breaks its bounds; who has to leave goes where there is room.
    pub(in crate::plan) fn part(&self, seating: &mut Seating<'_>, posted: &Posted) {
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

/// Whether one more message fits among others, wherever in its slot each may go: no run of too many
/// that holds it and the message that is bound lies within the span.
fn fits(others: &[(i64, i64)], own: (i64, i64), bound_one: (i64, i64), bound: &Bound) -> bool {
    // the ones that could lie within a span of it, earlier and later
    let near = |other: &&(i64, i64)| other.0 - own.1 < bound.span && own.0 - other.1 < bound.span;
    let mut all: Vec<(i64, i64)> = others.iter().filter(near).copied().collect();
    all.push(own);
    all.sort_unstable();
    let run = bound.most + 1;
    let at = |span| all.iter().position(|other| *other == span);
    let (Some(own), Some(bound_one)) = (at(own), at(bound_one)) else { return true };
    all.windows(run).enumerate().all(|(first, window)| {
        let holds = |at: usize| first <= at && at < first + run;
        !(holds(own) && holds(bound_one)) || window[run - 1].0 - window[0].1 >= bound.span
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_message_fits_only_where_no_span_holds_too_many() {
        let bound = |most, span| Bound { most, span, counts: vec![], whose: None, taken: vec![] };
        let fits = |others: &[_], own, bound: &Bound| fits(others, own, own, bound);
        let hour = |h: i64| (h * 3600, h * 3600 + 3599);
        // one a day: the next must begin a whole day after the other's last second
        assert!(!fits(&[hour(0)], hour(24), &bound(1, 86_400)));
        assert!(fits(&[hour(0)], hour(25), &bound(1, 86_400)));
        assert!(!fits(&[hour(30)], hour(10), &bound(1, 86_400)));
        // two a day
        assert!(fits(&[hour(0)], hour(2), &bound(2, 86_400)));
        assert!(!fits(&[hour(0), hour(8)], hour(2), &bound(2, 86_400)));
        assert!(fits(&[hour(0), hour(30)], hour(15), &bound(2, 86_400)));
    }

    #[test]
    fn a_bound_of_one_member_binds_only_what_comes_near_its_message() {
        let bound = Bound { most: 1, span: 86_400, counts: vec![], whose: Some(1), taken: vec![] };
        let hour = |h: i64| (h * 3600, h * 3600 + 3599);
        let fits = |own| super::fits(&[hour(26), hour(60)], own, hour(26), &bound);
        assert!(!fits(hour(5)) && !fits(hour(49)));
        assert!(fits(hour(0)) && fits(hour(61)), "the message at 60 is another's");
    }
}
