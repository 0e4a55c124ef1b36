//! The sale: the personalized arm as a market, from habits to seats to decisions.

use std::collections::BTreeMap;

use super::arms::{arm_of, mix, share_of};
use super::eligibility::{Candidates, Cell, Earlier, Ground, Sent, Standing};
use super::joint::{Decision, Pick};
use super::limits::{Layout, Part};
use super::objective::Worth;
use super::parallel::in_parts;
use super::request::Setting;
use super::solve::conflicts::{Bound, Company, Rivals};
use super::solve::problem::{Bidder, Group, LANES, Market, NOWHERE};
use super::solve::{Assignment, assign};
use crate::model::delivery::{Arm, Reason};
use crate::model::frequency::Cap;
use crate::model::ids::RecipientId;

/// Values are lowered by up to this share, by a hash of person and cell, so that prices separate
/// people who are alike.
const NUDGE: f32 = 5e-5;

/// What a sale leaves behind.
pub(super) struct Sold {
    /// The price of a message in each slot of each campaign.
    pub(super) prices: Vec<Vec<f64>>,
    pub(super) value: f64,
    pub(super) bound: f64,
}

/// Sells the places of a layout to the personalized people of its parts, and decides about them.
pub(super) fn hold(
    setting: &Setting<'_>,
    parts: &[Part<'_>],
    layout: &Layout,
    decisions: &mut [Vec<Decision>],
    earlier: &Earlier,
) -> Sold {
    let mut hall = Hall::default();
    hall.market.limits.clone_from(&layout.limits);
    hall.market.places.clone_from(&layout.places);
    for (campaign, part) in parts.iter().enumerate() {
        hall.admit(setting, part, layout, campaign, &mut decisions[campaign]);
    }
    let rivals = hall.rivals(setting, parts, layout, earlier);
    let assignment = assign(&hall.market, &rivals, setting.threads);
    let picks = hall.picks(setting, parts, layout, &assignment, &rivals);
    let mut value = 0.0;
    for (guest, pick) in hall.guests.iter().zip(picks) {
        if let Ok(pick) = &pick {
            value += pick.value;
        }
        decisions[guest.campaign as usize][guest.person as usize] = match pick {
            Ok(pick) => Decision::Planned(pick),
            Err(reason) => Decision::Refused { reason, arm: Some(Arm::Personalized) },
        };
    }
    let price = |place: usize| -> f64 {
        let counted = &layout.places[place].counted;
        counted.iter().map(|limit| assignment.prices[*limit as usize]).sum()
    };
    let prices = (parts.iter().zip(&layout.first))
        .map(|(part, first)| {
            (0..part.candidates.slots.len()).map(|slot| price(*first as usize + slot)).collect()
        })
        .collect();
    Sold { prices, value, bound: (assignment.bound / f64::from(1.0 - NUDGE)).max(value) }
}

/// A bidder's person, and what was asked of the habits besides values.
struct Guest {
    campaign: u32,
    person: u32,
    standing: Standing,
    /// Where its harms begin, one a variant of the menu.
    harms: usize,
    /// The chance at the control time; NaN where there is none.
    at_control_time: f32,
}

#[derive(Default)]
struct Hall {
    market: Market,
    guests: Vec<Guest>,
    harms: Vec<f32>,
    /// The variant of the menu behind each value.
    variants: Vec<u8>,
    /// The first group of each campaign.
    groups: Vec<u32>,
}

/// What one thread has asked of some people.
#[derive(Default)]
struct Asked {
    hall: Hall,
    worthless: Vec<u32>,
}

impl Hall {
    /// Asks the habits of a campaign's personalized people and lets in those who gain anything.
    fn admit(
        &mut self,
        setting: &Setting<'_>,
        part: &Part<'_>,
        layout: &Layout,
        campaign: usize,
        decisions: &mut [Decision],
    ) {
        let first_group = self.market.groups.len() as u32;
        self.groups.push(first_group);
        let first = layout.first[campaign];
        for ground in &part.candidates.grounds {
            let open = |slot: &&u32| layout.open[(first + **slot) as usize];
            let places = |cell: &Cell| -> Vec<u32> {
                cell.slots.iter().filter(open).map(|slot| first + slot).collect()
            };
            let cells: Vec<Vec<u32>> = ground.cells.iter().map(places).collect();
            self.market.groups.push(Group::new(&cells, layout.places.len(), layout.paid[campaign]));
        }
        let personalized: Vec<(u32, Standing)> = (part.candidates.standings.iter().enumerate())
            .filter_map(|(person, standing)| Some((person as u32, (*standing).ok()?)))
            .filter(|(person, _)| {
                let key = part.request.people[*person as usize].key;
                arm_of(part.request.campaign, key) == Arm::Personalized
            })
            .collect();
        let keep_apart = part.request.campaign.capacity.chats.is_some();
        // the first part takes over the others: room for all of them is never moved
        let cells = part.candidates.grounds.iter().map(|ground| ground.cells.len());
        let planes = part.candidates.menus.iter().map(|m| if keep_apart { m.len() } else { 1 });
        let row = cells.max().unwrap_or(0).next_multiple_of(LANES) * planes.max().unwrap_or(0);
        let asked = in_parts(personalized.len(), setting.threads, |range| {
            let mut asked = Asked::default();
            let people = if range.start == 0 { personalized.len() } else { range.len() };
            asked.hall.market.values.reserve(people * row);
            asked.hall.variants.reserve(people * row);
            for (person, standing) in &personalized[range] {
                asked.ask(setting, part, *person, *standing, keep_apart);
            }
            asked
        });
        for mut asked in asked {
            for person in &asked.worthless {
                let arm = Some(Arm::Personalized);
                decisions[*person as usize] = Decision::Refused { reason: Reason::NoValue, arm };
            }
            self.join(&mut asked.hall, part.candidates, campaign as u32, first_group, first);
        }
    }

    /// Takes over what a thread has asked.
    fn join(
        &mut self,
        other: &mut Hall,
        candidates: &Candidates,
        campaign: u32,
        first_group: u32,
        first_place: u32,
    ) {
        let market = &mut self.market;
        let (values, replies) = (market.values.len(), market.replies.len());
        for (bidder, guest) in other.market.bidders.iter_mut().zip(&mut other.guests) {
            bidder.values += values;
            bidder.replies = bidder.replies.map(|first| first + replies);
            bidder.group += first_group;
            guest.campaign = campaign;
            guest.harms += self.harms.len();
            if bidder.bans.0 != bidder.bans.1 {
                let from = market.bans.len() as u32;
                let bans = &candidates.bans[bidder.bans.0 as usize..bidder.bans.1 as usize];
                let shift =
                    |ban: &std::ops::Range<u32>| ban.start + first_place..ban.end + first_place;
                market.bans.extend(bans.iter().map(shift));
                bidder.bans = (from, market.bans.len() as u32);
            }
        }
        append(&mut market.values, &mut other.market.values);
        append(&mut market.replies, &mut other.market.replies);
        append(&mut market.bidders, &mut other.market.bidders);
        append(&mut self.guests, &mut other.guests);
        append(&mut self.harms, &mut other.harms);
        append(&mut self.variants, &mut other.variants);
    }

    /// People who bid in more than one campaign, where caps bind them.
    fn rivals(
        &self,
        setting: &Setting<'_>,
        parts: &[Part<'_>],
        layout: &Layout,
        earlier: &Earlier,
    ) -> Rivals {
        let is_capped = |part: &Part<'_>| part.request.caps(setting).next().is_some();
        if parts.len() < 2 || !parts.iter().any(is_capped) {
            return Rivals::default();
        }
        let mut members: BTreeMap<RecipientId, Vec<u32>> = BTreeMap::new();
        for (bidder, guest) in self.guests.iter().enumerate() {
            let person = &parts[guest.campaign as usize].request.people[guest.person as usize];
            members.entry(person.id).or_default().push(bidder as u32);
        }
        let companies = (members.into_values().filter(|members| members.len() > 1))
            .map(|members| Company {
                bounds: self.bounds(setting, parts, &members, earlier),
                members,
            })
            .collect();
        let mut spans = vec![(0, 0); layout.places.len()];
        for (part, first) in parts.iter().zip(&layout.first) {
            for (slot, span) in part.candidates.slots.iter().zip(&mut spans[*first as usize..]) {
                let (from, to) = (slot.start(setting.length), slot.end(setting.length));
                *span = (from.timestamp(), to.timestamp());
            }
        }
        Rivals::of(&self.market, companies, spans)
    }

    fn bounds(
        &self,
        setting: &Setting<'_>,
        parts: &[Part<'_>],
        members: &[u32],
        earlier: &Earlier,
    ) -> Vec<Bound> {
        let request = |member: &u32| parts[self.guests[*member as usize].campaign as usize].request;
        let person = &request(&members[0]).people[self.guests[members[0] as usize].person as usize];
        let more = earlier.get(&person.id).map_or(&[][..], Vec::as_slice);
        let bound = |cap: &Cap, whose: Option<usize>| {
            let taken = person.taken.iter().map(Sent::from).chain(more.iter().copied());
            let counted = taken.filter(|sent| cap.counts(sent.category));
            let counts = |member| cap.counts(Some(request(member).campaign.category));
            Bound {
                most: cap.most as usize,
                span: cap.span.num_seconds(),
                counts: members.iter().map(counts).collect(),
                whose,
                taken: counted.map(|s| (s.from.timestamp(), s.to.timestamp())).collect(),
            }
        };
        let everybody_s = setting.caps.iter().map(|cap| bound(cap, None));
        let own = members.iter().enumerate().flat_map(|(index, member)| {
            let caps = request(member).campaign.frequency.iter();
            // a cap on other categories than the campaign's own says nothing of its message
            caps.filter(move |cap| cap.counts(Some(request(member).campaign.category)))
                .map(move |cap| (cap, index))
        });
        everybody_s.chain(own.map(|(cap, index)| bound(cap, Some(index)))).collect()
    }

    /// What each guest got, or why nothing.
    fn picks(
        &self,
        setting: &Setting<'_>,
        parts: &[Part<'_>],
        layout: &Layout,
        assignment: &Assignment,
        rivals: &Rivals,
    ) -> Vec<Result<Pick, Reason>> {
        in_parts(self.guests.len(), setting.threads, |range| {
            let pick = |index| self.pick(parts, layout, assignment, rivals, index);
            range.map(pick).collect::<Vec<_>>()
        })
        .into_iter()
        .flatten()
        .collect()
    }

    fn pick(
        &self,
        parts: &[Part<'_>],
        layout: &Layout,
        assignment: &Assignment,
        rivals: &Rivals,
        index: usize,
    ) -> Result<Pick, Reason> {
        let (guest, bidder) = (&self.guests[index], &self.market.bidders[index]);
        let part = &parts[guest.campaign as usize];
        let group = &self.market.groups[bidder.group as usize];
        let first = layout.first[guest.campaign as usize];
        let seat = assignment.seats[index];
        if seat.place == NOWHERE {
            let priced = group.paid.is_some_and(|limit| assignment.prices[limit as usize] > 0.0);
            return Err(match () {
                () if priced => Reason::NoBudget,
                () if rivals.gave_way(index as u32, &assignment.seats) => Reason::FrequencyCap,
                () => Reason::NoCapacity,
            });
        }
        let cell = group.cell_of[seat.place as usize] as usize;
        let at = bidder.values + seat.plane as usize * group.cells() + cell;
        let value = f64::from(self.market.values[at] / nudge(bidder.tie, cell));
        let variant = usize::from(self.variants[at]);
        let slot = seat.place - first;
        let ground = &part.candidates.grounds[guest.standing.ground as usize];
        let runner_up = self.runner_up(part.candidates, guest, bidder, ground, slot);
        let moved = runner_up.is_some_and(|(_, other)| other > value * (1.0 + 1e-6));
        let mut price = 0.0;
        self.market.uses(bidder, seat, |limit, _| price += assignment.prices[limit as usize]);
        let again = part.request.people[guest.person as usize].again.map(|again| again.reason);
        let by_itself = if moved { Reason::MovedByCapacity } else { Reason::BestSlot };
        let share = share_of(&part.request.campaign.arms, Arm::Personalized);
        Ok(Pick {
            arm: Arm::Personalized,
            reason: again.unwrap_or(by_itself),
            slot,
            variant: part.candidates.menus[guest.standing.menu as usize][variant],
            value,
            chance: value + f64::from(self.harms[guest.harms + variant]),
            runner_up,
            // with a price on it the seat hangs on who else is in the arm
            propensity: (!moved && price == 0.0).then_some(share),
            reply: f64::from(self.market.reply(bidder, seat.plane)),
            at_control_time: Some(f64::from(guest.at_control_time)).filter(|c| !c.is_nan()),
        })
    }

    /// The best other allowed slot and its value, whether it has room or not.
    fn runner_up(
        &self,
        candidates: &Candidates,
        guest: &Guest,
        bidder: &Bidder,
        ground: &Ground,
        chosen: u32,
    ) -> Option<(u32, f64)> {
        let cells = self.market.groups[bidder.group as usize].cells();
        let mut best: Option<(u32, f32)> = None;
        for (cell, slots) in ground.cells.iter().enumerate() {
            let planes = (0..bidder.planes as usize)
                .map(|plane| self.market.values[bidder.values + plane * cells + cell]);
            let value = planes.fold(f32::NEG_INFINITY, f32::max) / nudge(bidder.tie, cell);
            if value > best.map_or(f32::NEG_INFINITY, |best| best.1) {
                let allowed =
                    |slot: &&u32| **slot != chosen && candidates.may_take(&guest.standing, **slot);
                best = slots.slots.iter().find(allowed).map(|slot| (*slot, value)).or(best);
            }
        }
        best.map(|(slot, value)| (slot, f64::from(value)))
    }
}

impl Asked {
    fn ask(
        &mut self,
        setting: &Setting<'_>,
        part: &Part<'_>,
        index: u32,
        standing: Standing,
        keep_apart: bool,
    ) {
        let person = &part.request.people[index as usize];
        let menu = &part.candidates.menus[standing.menu as usize];
        let ground = &part.candidates.grounds[standing.ground as usize];
        let worth = Worth::of(setting, part.request, part.candidates, index as usize, &standing);
        let tie = mix(setting.seed ^ mix(person.id.0 as u64)) as u32;
        let market = &mut self.hall.market;
        let (values, planes) = (market.values.len(), if keep_apart { menu.len() } else { 1 });
        let whole = |cell: &Cell| {
            let mut allowed = cell.slots.iter().map(|s| part.candidates.may_take(&standing, *s));
            (allowed.clone().any(|allowed| allowed), allowed.all(|allowed| allowed))
        };
        let bound = standing.bans.0 != standing.bans.1;
        let (mut positive, mut partly) = (false, false);
        for plane in 0..planes {
            for (index, cell) in ground.cells.iter().enumerate() {
                let (variant, value) = if keep_apart {
                    (plane, worth.value(plane, cell))
                } else {
                    worth.best(cell, tie)
                };
                let (some, all) = if bound { whole(cell) } else { (true, true) };
                positive |= value > 0.0;
                partly |= some && !all;
                let taken = some && value > 0.0;
                let stored = if taken { value * nudge(tie, index) } else { f32::NEG_INFINITY };
                market.values.push(stored);
                self.hall.variants.push(variant as u8);
            }
            // as a group pads its cells
            let padded = values + (plane + 1) * ground.cells.len().next_multiple_of(LANES);
            market.values.resize(padded, f32::NEG_INFINITY);
            self.hall.variants.resize(padded, 0);
        }
        if !positive {
            market.values.truncate(values);
            self.hall.variants.truncate(values);
            self.worthless.push(index);
            return;
        }
        let first_day = ground.control.iter().find(|s| part.candidates.may_take(&standing, **s));
        let at_control_time =
            first_day.map_or(f32::NAN, |slot| worth.chance(0, &ground.cells[ground.cell(*slot)]));
        market.bidders.push(Bidder {
            group: standing.ground,
            planes: planes as u32,
            values,
            replies: keep_apart.then_some(market.replies.len()),
            cost: person.price as f32,
            tie,
            bans: if partly { standing.bans } else { (0, 0) },
        });
        market.replies.extend(&worth.reply);
        let harms = self.hall.harms.len();
        self.hall.harms.extend(&worth.harm);
        self.hall.guests.push(Guest {
            campaign: 0,
            person: index,
            standing,
            harms,
            at_control_time,
        });
    }
}

/// What a stored value is a share of the true one.
fn nudge(tie: u32, cell: usize) -> f32 {
    let mixed = (tie ^ (cell as u32).wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    1.0 - NUDGE * ((mixed ^ (mixed >> 15)) >> 8) as f32 / (1 << 24) as f32
}

/// Moves a vector's content to the end of another, without copying where that is empty.
fn append<T>(to: &mut Vec<T>, from: &mut Vec<T>) {
    if to.is_empty() {
        std::mem::swap(to, from);
    } else {
        to.append(from);
    }
}
