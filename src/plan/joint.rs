//! Campaigns that are planned together: arm by arm, each within its part of the limits.

use std::collections::HashMap;

use super::arms::{self, Explorer, Stretch, arm_of, generator, hash, mix, share_of};
use super::eligibility::{Candidates, Earlier, Sent, Standing};
use super::limits::{Cut, Layout, Part, lay_out};
use super::objective::Worth;
use super::personalized;
use super::request::{Carrier, Request, Setting};
use super::solve::problem::{UNIT, load};
use crate::model::delivery::{Arm, Reason};
use crate::model::ids::RecipientId;

/// What was decided about one person.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Refused { reason: Reason, arm: Option<Arm> },
    Planned(Pick),
}

/// A choice, in indices of its campaign.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub(super) arm: Arm,
    pub(super) reason: Reason,
    pub(super) slot: u32,
    pub(super) variant: u16,
    pub(super) value: f64,
    pub(super) chance: f64,
    pub(super) runner_up: Option<(u32, f64)>,
    pub(super) propensity: Option<f64>,
    /// Chance of a reply, where replies are bounded.
    pub(super) reply: f64,
    /// Chance of the goal at the control time, for the personalized.
    pub(super) at_control_time: Option<f64>,
}

/// One campaign's share of a joint plan.
pub(super) struct Decided {
    pub(super) candidates: Candidates,
    pub(super) decisions: Vec<Decision>,
    /// The price of a message in each slot.
    pub(super) prices: Vec<f64>,
}

/// A joint plan: its campaigns, value and bound.
pub(super) struct Joint {
    pub(super) campaigns: Vec<Decided>,
    pub(super) value: f64,
    pub(super) bound: f64,
}

/// Plans some campaigns together: the arms that do not choose draw first, one after another; what
/// they send counts against the caps of those that come after them.
pub(super) fn plan(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    requests: &[&Request<'_>],
    earlier: &Earlier,
) -> Joint {
    let mut candidates: Vec<Candidates> =
        requests.iter().map(|r| Candidates::find(setting, carrier, r, earlier)).collect();
    let mut decisions: Vec<Vec<Decision>> = (requests.iter().zip(&candidates))
        .map(|(request, candidates)| sort_out(request, candidates))
        .collect();
    let shares = shares(requests, &candidates);
    let is_capped = requests.len() > 1 && requests.iter().any(|r| r.caps(setting).next().is_some());
    let mut earlier = if is_capped { earlier.clone() } else { Earlier::new() };
    let chosen = shares.len() - 1;
    for (mine, share) in shares[..chosen].iter().enumerate() {
        let (at, arm) = share.arms[0];
        let cuts = cuts(&shares, requests, &candidates);
        let layout = lay_out(setting, carrier, &cuts, mine);
        let (request, of) = (requests[at], &candidates[at]);
        let mut draw = Draw { setting, request, candidates: of, layout };
        match arm {
            Arm::Explore => draw.explore(&mut decisions[at]),
            _ => draw.control(&mut decisions[at]),
        }
        if is_capped {
            let sent = drawn(setting, request, of, (arm, &decisions[at]));
            for (other, request) in requests.iter().enumerate().filter(|(other, _)| *other != at) {
                let (candidates, decisions) = (&mut candidates[other], &mut decisions[other]);
                make_way(setting, request, candidates, decisions, (&sent, &earlier));
            }
            for (id, sent) in sent {
                earlier.entry(id).or_default().push(sent);
            }
        }
    }
    let cuts = cuts(&shares, requests, &candidates);
    let layout = lay_out(setting, carrier, &cuts, chosen);
    let sold = personalized::hold(setting, &cuts[chosen].parts, &layout, &mut decisions, &earlier);
    let campaigns = (candidates.into_iter().zip(decisions).zip(sold.prices))
        .map(|((candidates, decisions), prices)| Decided { candidates, decisions, prices })
        .collect();
    Joint { campaigns, value: sold.value, bound: sold.bound }
}

/// What an arm has drawn, by person.
fn drawn(
    setting: &Setting<'_>,
    request: &Request<'_>,
    candidates: &Candidates,
    (arm, decisions): (Arm, &[Decision]),
) -> HashMap<RecipientId, Sent> {
    let sent = |(person, decision): (&super::request::Person<'_>, &Decision)| {
        let Decision::Planned(pick) = decision else { return None };
        let slot = candidates.slots[pick.slot as usize];
        let (from, to) = (slot.start(setting.length), slot.end(setting.length));
        let category = Some(request.campaign.category);
        (pick.arm == arm).then_some((person.id, Sent { from, to, category }))
    };
    request.people.iter().zip(decisions).filter_map(sent).collect()
}

/// Looks again at those of a campaign who get a message from another, and refuses whom caps leave
/// no slot.
fn make_way(
    setting: &Setting<'_>,
    request: &Request<'_>,
    candidates: &mut Candidates,
    decisions: &mut [Decision],
    (sent, earlier): (&HashMap<RecipientId, Sent>, &Earlier),
) {
    for (index, (person, decision)) in request.people.iter().zip(decisions).enumerate() {
        let Decision::Refused { arm: Some(_), .. } = decision else { continue };
        let Some(sent) = sent.get(&person.id) else { continue };
        let before = earlier.get(&person.id).into_iter().flatten();
        let more: Vec<Sent> = before.chain([sent]).copied().collect();
        candidates.look_again(setting, request, index, &more);
        if let Err(reason) = candidates.standings[index] {
            *decision = Decision::Refused { reason, arm: None };
        }
    }
}

/// A part of what is shared, and whose arms share it: campaigns by index.
struct Share {
    stretch: Stretch,
    arms: Vec<(usize, Arm)>,
}

/// How the provider is shared: by the people who may be planned, and by the shares of the arms; last
/// what all personalized arms have together.
fn shares(requests: &[&Request<'_>], candidates: &[Candidates]) -> Vec<Share> {
    let people = |c: &Candidates| c.standings.iter().filter(|s| s.is_ok()).count() as f64;
    let total: f64 = candidates.iter().map(people).sum::<f64>().max(1.0);
    let mut shares = Vec::new();
    let mut from = 0.0;
    for (at, (request, candidates)) in requests.iter().zip(candidates).enumerate() {
        for arm in [Arm::Explore, Arm::Control] {
            let own = Stretch::of(&request.campaign.arms, arm).length();
            if own > 0.0 {
                let to = (from + own * people(candidates) / total).min(1.0);
                shares.push(Share { stretch: Stretch { from, to }, arms: vec![(at, arm)] });
                from = to;
            }
        }
    }
    let arms = (0..requests.len()).map(|at| (at, Arm::Personalized)).collect();
    shares.push(Share { stretch: Stretch { from, to: 1.0 }, arms });
    shares
}

/// The same with the campaigns themselves.
fn cuts<'a>(
    shares: &[Share],
    requests: &[&'a Request<'a>],
    candidates: &'a [Candidates],
) -> Vec<Cut<'a>> {
    let part = |(at, arm): &(usize, Arm)| {
        let (request, candidates) = (requests[*at], &candidates[*at]);
        Part { request, candidates, arm: *arm }
    };
    let cut = |share: &Share| Cut {
        stretch: share.stretch,
        parts: share.arms.iter().map(part).collect(),
    };
    shares.iter().map(cut).collect()
}

/// Refusals by rule, and the arm of everybody else; a seat comes later.
fn sort_out(request: &Request<'_>, candidates: &Candidates) -> Vec<Decision> {
    let decide = |(person, standing): (&super::request::Person<'_>, &Result<Standing, Reason>)| {
        if let Err(reason) = standing {
            return Decision::Refused { reason: *reason, arm: None };
        }
        let arm = arm_of(request.campaign, person.key);
        let reason = if arm == Arm::Holdout { Reason::Holdout } else { Reason::NoCapacity };
        Decision::Refused { reason, arm: Some(arm) }
    };
    request.people.iter().zip(&candidates.standings).map(decide).collect()
}

/// The arms that do not choose: one after another, in seeded order, within their part.
struct Draw<'a> {
    setting: &'a Setting<'a>,
    request: &'a Request<'a>,
    candidates: &'a Candidates,
    layout: Layout,
}

/// A person of such an arm, with what the habits say.
struct Subject {
    person: u32,
    standing: Standing,
    worth: Worth,
}

impl Draw<'_> {
    /// People of an arm to whom some slot is worth something; the others are refused.
    fn subjects(&self, arm: Arm, decisions: &mut [Decision]) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for (person, decision) in decisions.iter_mut().enumerate() {
            let Decision::Refused { reason, arm: Some(of) } = decision else { continue };
            let Ok(standing) = self.candidates.standings[person] else { continue };
            if *of != arm {
                continue;
            }
            let worth = Worth::of(self.setting, self.request, self.candidates, person, &standing);
            let ground = &self.candidates.grounds[standing.ground as usize];
            if worth.is_any_positive(ground) {
                subjects.push(Subject { person: person as u32, standing, worth });
            } else {
                *reason = Reason::NoValue;
            }
        }
        subjects
    }

    /// The order in which people draw.
    fn order(&self, subjects: &[Subject], purpose: &str, turn: u64) -> Vec<u32> {
        let salt = mix(self.setting.seed ^ hash(&[self.request.campaign.name.as_str(), purpose]));
        let mut order: Vec<u32> = (0..subjects.len() as u32).collect();
        order.sort_by_cached_key(|at| {
            let id = self.request.people[subjects[*at as usize].person as usize].id;
            (mix(salt ^ turn ^ mix(id.0 as u64)), *at)
        });
        order
    }

    /// What a message would use, if there is room for it.
    fn room(
        &self,
        used: &[i64],
        subject: &Subject,
        slot: u32,
        variant: usize,
    ) -> Option<Vec<(u32, i64)>> {
        if !self.layout.open[slot as usize] {
            return None;
        }
        let place = &self.layout.places[slot as usize];
        let reply = subject.worth.reply.get(variant).copied().unwrap_or(0.0);
        let counted = place.counted.iter().map(|limit| (*limit, UNIT));
        let answered = place
            .answered
            .iter()
            .map(|(l, share)| (*l, load(f64::from(reply) * f64::from(*share))));
        let price = self.request.people[subject.person as usize].price;
        let paid = self.layout.paid[0].map(|limit| (limit, load(price)));
        let uses: Vec<(u32, i64)> = counted.chain(answered).chain(paid).collect();
        let fits = |(limit, load): &(u32, i64)| {
            used[*limit as usize] + load <= self.layout.limits[*limit as usize]
        };
        uses.iter().all(fits).then_some(uses)
    }

    fn pick(&self, subject: &Subject, reason: Reason, slot: u32, variant: usize) -> Pick {
        let ground = &self.candidates.grounds[subject.standing.ground as usize];
        let menu = &self.candidates.menus[subject.standing.menu as usize];
        let cell = &ground.cells[ground.cell(slot)];
        Pick {
            arm: if reason == Reason::ControlTime { Arm::Control } else { Arm::Explore },
            reason,
            slot,
            variant: menu[variant],
            value: f64::from(subject.worth.value(variant, cell)),
            chance: f64::from(subject.worth.chance(variant, cell)),
            runner_up: None,
            propensity: None,
            reply: subject.worth.reply.get(variant).copied().map_or(0.0, f64::from),
            at_control_time: None,
        }
    }

    /// Each explorer draws uniformly from what is allowed and has room.
    ///
    /// The propensity is the mean, over redraws of the whole arm in other orders, of the chance that
    /// this slot and variant had at the person's turn; with room for all it is one over the options.
    fn explore(&mut self, decisions: &mut [Decision]) {
        let subjects = self.subjects(Arm::Explore, decisions);
        let (drawn, full) = self.draw_all(&subjects, 0, None);
        let mut chances: Vec<f64> =
            drawn.iter().map(|(_, options)| 1.0 / (*options).max(1) as f64).collect();
        if full {
            let mut sums = vec![0.0; subjects.len()];
            for turn in 1..=REDRAWS {
                let (again, _) = self.draw_all(&subjects, turn, Some(&drawn));
                let open = sums.iter_mut().zip(&again).filter(|(_, (open, _))| open.is_some());
                open.for_each(|(sum, (_, options))| *sum += 1.0 / *options as f64);
            }
            for (chance, sum) in chances.iter_mut().zip(sums).filter(|(_, sum)| *sum > 0.0) {
                *chance = sum / REDRAWS as f64;
            }
        }
        let share = share_of(&self.request.campaign.arms, Arm::Explore);
        for ((subject, (drawn, _)), chance) in subjects.iter().zip(&drawn).zip(chances) {
            if let Some((slot, variant)) = drawn {
                let mut pick = self.pick(subject, Reason::Explored, *slot, *variant);
                pick.propensity = Some(share * chance);
                decisions[subject.person as usize] = Decision::Planned(pick);
            }
        }
    }

    /// One draw of the whole arm; whether anything was full. With `asked` it tells, in place of what
    /// was drawn, whether what was asked about was open at that person's turn.
    fn draw_all(
        &self,
        subjects: &[Subject],
        turn: u64,
        asked: Option<&[(arms::Drawn, usize)]>,
    ) -> (Vec<(arms::Drawn, usize)>, bool) {
        let mut rng = generator(self.setting.seed, self.request.campaign, "explore", turn);
        let mut used = vec![0; self.layout.limits.len()];
        let mut result = vec![(None, 0); subjects.len()];
        let mut full = false;
        for at in self.order(subjects, "explore", turn) {
            let subject = &subjects[at as usize];
            let ground = &self.candidates.grounds[subject.standing.ground as usize];
            let may_take = |slot| self.candidates.may_take(&subject.standing, slot);
            let explorer = Explorer {
                slots: &ground.slots,
                may_take: &may_take,
                variants: subject.worth.variants(),
            };
            let is_open = |slot, variant| self.room(&used, subject, slot, variant).is_some();
            let (drawn, options) = arms::explore(&explorer, &mut rng, &is_open);
            full |= options < explorer.slots.len() * explorer.variants;
            let about = |asked: &[(arms::Drawn, usize)]| {
                asked[at as usize].0.filter(|(slot, variant)| is_open(*slot, *variant))
            };
            result[at as usize] = (asked.map_or(drawn, about), options);
            let uses = drawn.and_then(|(slot, variant)| self.room(&used, subject, slot, variant));
            for (limit, load) in uses.into_iter().flatten() {
                used[limit as usize] += load;
            }
        }
        (result, full)
    }

    /// Everybody gets the control time, on the first allowed day with room.
    fn control(&mut self, decisions: &mut [Decision]) {
        let subjects = self.subjects(Arm::Control, decisions);
        let share = share_of(&self.request.campaign.arms, Arm::Control);
        let mut used = vec![0; self.layout.limits.len()];
        for at in self.order(&subjects, "control", 0) {
            let subject = &subjects[at as usize];
            let ground = &self.candidates.grounds[subject.standing.ground as usize];
            let allowed = |slot: &&u32| self.candidates.may_take(&subject.standing, **slot);
            let days: Vec<u32> = ground.control.iter().filter(allowed).copied().collect();
            let found = (days.iter().enumerate())
                .find_map(|(day, slot)| Some((day, *slot, self.room(&used, subject, *slot, 0)?)));
            decisions[subject.person as usize] = if let Some((day, slot, uses)) = found {
                for (limit, load) in uses {
                    used[limit as usize] += load;
                }
                let mut pick = self.pick(subject, Reason::ControlTime, slot, 0);
                pick.propensity = (day == 0).then_some(share);
                Decision::Planned(pick)
            } else {
                let none = days.is_empty();
                let reason = if none { Reason::NoAllowedSlot } else { Reason::NoCapacity };
                Decision::Refused { reason, arm: Some(Arm::Control) }
            };
        }
    }
}

/// Redraws of the explore arm from which propensities are estimated.
const REDRAWS: u64 = 32;
