//! The sale: the personalized arm as a market, from habits to seats to decisions.

use std::collections::BTreeMap;

use super::arms::{arm_of, mix, share_of};
use super::decision::{Decision, Selection};
use super::eligibility::{
    Candidates, CountedMessage, EarlierMessages, Eligibility, SlotClass, ValueClass,
};
use super::limits::{CampaignArm, CapacityLayout};
use super::objective::Objective;
use super::parallel::parallel_map;
use super::request::Setting;
use super::solve::{
    ConflictGroup, Conflicts, Group, Item, LANES, NO_SLOT, Problem, Solution, SpanLimit, solve,
};
use crate::model::delivery::{Arm, Reason};
use crate::model::frequency::Cap;
use crate::model::ids::RecipientId;

/// Values are lowered by up to this share, by a hash of person and value class, so that prices separate
/// people who are alike.
const PERTURBATION: f32 = 5e-5;

/// What a sale leaves behind.
pub(super) struct PersonalizedPlan {
    /// The price of a message in each slot of each campaign.
    pub(super) prices: Vec<Vec<f64>>,
    pub(super) value: f64,
    pub(super) bound: f64,
    /// Whether the bound lets messages be split.
    pub(super) splits_messages: bool,
    /// Whether the bound leaves out caps that bind campaigns of one plan to each other.
    pub(super) ignores_joint_caps: bool,
}

/// Sells the places of a layout to the personalized people of its parts, and decides about them.
pub(super) fn plan_arm(
    setting: &Setting<'_>,
    parts: &[CampaignArm<'_>],
    layout: &CapacityLayout,
    decisions: &mut [Vec<Decision>],
    earlier: &EarlierMessages,
) -> PersonalizedPlan {
    let mut arm_problem = ArmProblem::default();
    arm_problem.problem.limits.clone_from(&layout.limits);
    arm_problem.problem.slots.clone_from(&layout.slots);
    for (campaign, part) in parts.iter().enumerate() {
        arm_problem.admit(setting, part, layout, campaign, &mut decisions[campaign]);
    }
    arm_problem.problem.conflicts = arm_problem.conflicts(setting, parts, layout, earlier);
    let solution = solve(&arm_problem.problem, setting.threads);
    let selections = arm_problem.selections(setting, parts, layout, &solution);
    let mut value = 0.0;
    for (origin, selection) in arm_problem.origins.iter().zip(selections) {
        if let Ok(selection) = &selection {
            value += selection.value;
        }
        decisions[origin.campaign as usize][origin.person as usize] = match selection {
            Ok(selection) => Decision::Planned(selection),
            Err(reason) => Decision::Refused { reason, arm: Some(Arm::Personalized) },
        };
    }
    let price = |place: usize| -> f64 {
        let counted = &layout.slots[place].counted;
        counted.iter().map(|limit| solution.prices[*limit as usize]).sum()
    };
    let prices = (parts.iter().zip(&layout.first))
        .map(|(part, first)| {
            (0..part.candidates.slots.len()).map(|slot| price(*first as usize + slot)).collect()
        })
        .collect();
    PersonalizedPlan {
        prices,
        value,
        bound: (solution.bound / f64::from(1.0 - PERTURBATION)).max(value),
        splits_messages: solution.splits_items,
        ignores_joint_caps: !arm_problem.problem.conflicts.groups.is_empty(),
    }
}

/// A bidder's person, and what was asked of the habits besides values.
struct Origin {
    campaign: u32,
    person: u32,
    eligibility: Eligibility,
    /// Where its harms begin, one a variant of the eligible variants.
    harms: usize,
    /// The chance at the control time; NaN where there is none.
    at_control_time: f32,
}

#[derive(Default)]
struct ArmProblem {
    problem: Problem,
    origins: Vec<Origin>,
    harms: Vec<f32>,
    /// The variant of the eligible variants behind each value.
    variants: Vec<u8>,
    /// The first group of each campaign.
    groups: Vec<u32>,
}

/// What one thread has asked of some people.
#[derive(Default)]
struct ItemBatch {
    arm_problem: ArmProblem,
    without_value: Vec<u32>,
}

impl ArmProblem {
    /// Asks the habits of a campaign's personalized people and lets in those who gain anything.
    fn admit(
        &mut self,
        setting: &Setting<'_>,
        part: &CampaignArm<'_>,
        layout: &CapacityLayout,
        campaign: usize,
        decisions: &mut [Decision],
    ) {
        let first_group = self.problem.groups.len() as u32;
        self.groups.push(first_group);
        let first = layout.first[campaign];
        for slot_class in &part.candidates.slot_classes {
            let open = |slot: &&u32| layout.open[(first + **slot) as usize];
            let slots = |value_class: &ValueClass| -> Vec<u32> {
                value_class.slots.iter().filter(open).map(|slot| first + slot).collect()
            };
            let value_classes: Vec<Vec<u32>> = slot_class.value_classes.iter().map(slots).collect();
            self.problem.groups.push(Group::new(
                &value_classes,
                layout.slots.len(),
                layout.paid[campaign],
            ));
        }
        let personalized: Vec<(u32, Eligibility)> =
            (part.candidates.eligibilities.iter().enumerate())
                .filter_map(|(person, eligibility)| Some((person as u32, (*eligibility).ok()?)))
                .filter(|(person, _)| {
                    let key = part.request.people[*person as usize].key;
                    arm_of(part.request.campaign, key) == Arm::Personalized
                })
                .collect();
        let keep_apart = part.request.campaign.capacity.chats.is_some();
        // the first part takes over the others: room for all of them is never moved
        let value_classes =
            part.candidates.slot_classes.iter().map(|slot_class| slot_class.value_classes.len());
        let reply_variants =
            part.candidates.variant_lists.iter().map(|m| if keep_apart { m.len() } else { 1 });
        let row = value_classes.max().unwrap_or(0).next_multiple_of(LANES)
            * reply_variants.max().unwrap_or(0);
        let batch = parallel_map(personalized.len(), setting.threads, |range| {
            let mut batch = ItemBatch::default();
            let people = if range.start == 0 { personalized.len() } else { range.len() };
            batch.arm_problem.problem.values.reserve(people * row);
            batch.arm_problem.variants.reserve(people * row);
            for (person, eligibility) in &personalized[range] {
                batch.ask(setting, part, *person, *eligibility, keep_apart);
            }
            batch
        });
        for mut batch in batch {
            for person in &batch.without_value {
                let arm = Some(Arm::Personalized);
                decisions[*person as usize] = Decision::Refused { reason: Reason::NoValue, arm };
            }
            self.join(&mut batch.arm_problem, part.candidates, campaign as u32, first_group, first);
        }
    }

    /// Takes over what a thread has asked.
    fn join(
        &mut self,
        other: &mut ArmProblem,
        candidates: &Candidates,
        campaign: u32,
        first_group: u32,
        first_place: u32,
    ) {
        let problem = &mut self.problem;
        let (values, weights) = (problem.values.len(), problem.weights.len());
        for (item, origin) in other.problem.items.iter_mut().zip(&mut other.origins) {
            item.values += values;
            item.weights = item.weights.map(|first| first + weights);
            item.group += first_group;
            origin.campaign = campaign;
            origin.harms += self.harms.len();
            if item.bans.0 != item.bans.1 {
                let from = problem.bans.len() as u32;
                let bans = &candidates.bans[item.bans.0 as usize..item.bans.1 as usize];
                let shift =
                    |ban: &std::ops::Range<u32>| ban.start + first_place..ban.end + first_place;
                problem.bans.extend(bans.iter().map(shift));
                item.bans = (from, problem.bans.len() as u32);
            }
        }
        append(&mut problem.values, &mut other.problem.values);
        append(&mut problem.weights, &mut other.problem.weights);
        append(&mut problem.items, &mut other.problem.items);
        append(&mut self.origins, &mut other.origins);
        append(&mut self.harms, &mut other.harms);
        append(&mut self.variants, &mut other.variants);
    }

    /// People who bid in more than one campaign, where caps bind them.
    fn conflicts(
        &self,
        setting: &Setting<'_>,
        parts: &[CampaignArm<'_>],
        layout: &CapacityLayout,
        earlier: &EarlierMessages,
    ) -> Conflicts {
        let is_capped = |part: &CampaignArm<'_>| part.request.caps(setting).next().is_some();
        if parts.len() < 2 || !parts.iter().any(is_capped) {
            return Conflicts::default();
        }
        let mut members: BTreeMap<RecipientId, Vec<u32>> = BTreeMap::new();
        for (item, origin) in self.origins.iter().enumerate() {
            let person = &parts[origin.campaign as usize].request.people[origin.person as usize];
            members.entry(person.id).or_default().push(item as u32);
        }
        let companies = (members.into_values().filter(|members| members.len() > 1))
            .map(|members| ConflictGroup {
                bounds: self.bounds(setting, parts, &members, earlier),
                members,
            })
            .collect();
        let mut spans = vec![(0, 0); layout.slots.len()];
        for (part, first) in parts.iter().zip(&layout.first) {
            for (slot, span) in part.candidates.slots.iter().zip(&mut spans[*first as usize..]) {
                let (from, to) = (slot.start(setting.length), slot.end(setting.length));
                *span = (from.timestamp(), to.timestamp());
            }
        }
        Conflicts::of(self.problem.items.len(), companies, spans)
    }

    fn bounds(
        &self,
        setting: &Setting<'_>,
        parts: &[CampaignArm<'_>],
        members: &[u32],
        earlier: &EarlierMessages,
    ) -> Vec<SpanLimit> {
        let request =
            |member: &u32| parts[self.origins[*member as usize].campaign as usize].request;
        let person =
            &request(&members[0]).people[self.origins[members[0] as usize].person as usize];
        let more = earlier.get(&person.id).map_or(&[][..], Vec::as_slice);
        let bound = |cap: &Cap, whose: Option<usize>| {
            let taken = person.taken.iter().map(CountedMessage::from).chain(more.iter().copied());
            let counted = taken.filter(|sent| cap.counts(sent.category));
            let counts = |member| cap.counts(Some(request(member).campaign.category));
            SpanLimit {
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
    fn selections(
        &self,
        setting: &Setting<'_>,
        parts: &[CampaignArm<'_>],
        layout: &CapacityLayout,
        solution: &Solution,
    ) -> Vec<Result<Selection, Reason>> {
        parallel_map(self.origins.len(), setting.threads, |range| {
            let selection = |index| self.selection(parts, layout, solution, index);
            range.map(selection).collect::<Vec<_>>()
        })
        .into_iter()
        .flatten()
        .collect()
    }

    fn selection(
        &self,
        parts: &[CampaignArm<'_>],
        layout: &CapacityLayout,
        solution: &Solution,
        index: usize,
    ) -> Result<Selection, Reason> {
        let (origin, item) = (&self.origins[index], &self.problem.items[index]);
        let part = &parts[origin.campaign as usize];
        let group = &self.problem.groups[item.group as usize];
        let first = layout.first[origin.campaign as usize];
        let placement = solution.placements[index];
        if placement.slot == NO_SLOT {
            let priced =
                group.cost_limit.is_some_and(|limit| solution.prices[limit as usize] > 0.0);
            return Err(match () {
                () if priced => Reason::NoBudget,
                () if self.problem.conflicts.has_conflict(index as u32, &solution.placements) => {
                    Reason::FrequencyCap
                }
                () => Reason::NoCapacity,
            });
        }
        let value_class = group.class_of[placement.slot as usize] as usize;
        let at = item.values + placement.variant as usize * group.classes() + value_class;
        let value = f64::from(self.problem.values[at] / perturbation(item.tie_break, value_class));
        let variant = usize::from(self.variants[at]);
        let slot = placement.slot - first;
        let slot_class = &part.candidates.slot_classes[origin.eligibility.slot_class as usize];
        let runner_up = self.runner_up(part.candidates, origin, item, slot_class, slot);
        let moved = runner_up.is_some_and(|(_, other)| other > value * (1.0 + 1e-6));
        let mut price = 0.0;
        self.problem.uses(item, placement, |limit, _| price += solution.prices[limit as usize]);
        let replan = part.request.people[origin.person as usize].replan.map(|replan| replan.reason);
        let by_itself = if moved { Reason::MovedByCapacity } else { Reason::BestSlot };
        let share = share_of(&part.request.campaign.arms, Arm::Personalized);
        Ok(Selection {
            arm: Arm::Personalized,
            reason: replan.unwrap_or(by_itself),
            slot,
            variant: part.candidates.variant_lists[origin.eligibility.variant_list as usize]
                [variant],
            value,
            chance: value + f64::from(self.harms[origin.harms + variant]),
            runner_up,
            // with a price on it the slot hangs on who else is in the arm; a message that was moved
            // later hangs on what happened to it
            propensity: (!moved && price == 0.0 && replan.is_none()).then_some(share),
            reply: f64::from(self.problem.weight(item, placement.variant)),
            at_control_time: Some(f64::from(origin.at_control_time)).filter(|c| !c.is_nan()),
        })
    }

    /// The best other allowed slot and its value, whether it has room or not.
    fn runner_up(
        &self,
        candidates: &Candidates,
        origin: &Origin,
        item: &Item,
        slot_class: &SlotClass,
        chosen: u32,
    ) -> Option<(u32, f64)> {
        let value_classes = self.problem.groups[item.group as usize].classes();
        let mut best: Option<(u32, f32)> = None;
        for (value_class, slots) in slot_class.value_classes.iter().enumerate() {
            let reply_variants = (0..item.variants as usize).map(|reply_variant| {
                self.problem.values[item.values + reply_variant * value_classes + value_class]
            });
            let value = reply_variants.fold(f32::NEG_INFINITY, f32::max)
                / perturbation(item.tie_break, value_class);
            if value > best.map_or(f32::NEG_INFINITY, |best| best.1) {
                let allowed = |slot: &&u32| {
                    **slot != chosen && candidates.may_take(&origin.eligibility, **slot)
                };
                best = slots.slots.iter().find(allowed).map(|slot| (*slot, value)).or(best);
            }
        }
        best.map(|(slot, value)| (slot, f64::from(value)))
    }
}

impl ItemBatch {
    fn ask(
        &mut self,
        setting: &Setting<'_>,
        part: &CampaignArm<'_>,
        index: u32,
        eligibility: Eligibility,
        keep_apart: bool,
    ) {
        let person = &part.request.people[index as usize];
        let variant_list = &part.candidates.variant_lists[eligibility.variant_list as usize];
        let slot_class = &part.candidates.slot_classes[eligibility.slot_class as usize];
        let objective =
            Objective::of(setting, part.request, part.candidates, index as usize, &eligibility);
        let tie_break = mix(setting.seed ^ mix(person.id.0 as u64)) as u32;
        let problem = &mut self.arm_problem.problem;
        let (values, reply_variants) =
            (problem.values.len(), if keep_apart { variant_list.len() } else { 1 });
        let whole = |value_class: &ValueClass| {
            let mut allowed =
                value_class.slots.iter().map(|s| part.candidates.may_take(&eligibility, *s));
            (allowed.clone().any(|allowed| allowed), allowed.all(|allowed| allowed))
        };
        let bound = eligibility.bans.0 != eligibility.bans.1;
        let (mut positive, mut partly) = (false, false);
        for reply_variant in 0..reply_variants {
            for (index, value_class) in slot_class.value_classes.iter().enumerate() {
                let (variant, value) = if keep_apart {
                    (reply_variant, objective.value(reply_variant, value_class))
                } else {
                    objective.best(value_class, tie_break)
                };
                let (some, all) = if bound { whole(value_class) } else { (true, true) };
                positive |= value > 0.0;
                partly |= some && !all;
                let taken = some && value > 0.0;
                let stored =
                    if taken { value * perturbation(tie_break, index) } else { f32::NEG_INFINITY };
                problem.values.push(stored);
                self.arm_problem.variants.push(variant as u8);
            }
            // as a group pads its value classes
            let padded = values
                + (reply_variant + 1) * slot_class.value_classes.len().next_multiple_of(LANES);
            problem.values.resize(padded, f32::NEG_INFINITY);
            self.arm_problem.variants.resize(padded, 0);
        }
        if !positive {
            problem.values.truncate(values);
            self.arm_problem.variants.truncate(values);
            self.without_value.push(index);
            return;
        }
        let control = part.candidates.control_slot(&eligibility);
        let at_control_time = control.map_or(f32::NAN, |slot| {
            objective.chance(0, &slot_class.value_classes[slot_class.value_class(slot)])
        });
        problem.items.push(Item {
            group: eligibility.slot_class,
            variants: reply_variants as u32,
            values,
            weights: keep_apart.then_some(problem.weights.len()),
            cost: person.price as f32,
            tie_break,
            bans: if partly { eligibility.bans } else { (0, 0) },
        });
        problem.weights.extend(&objective.reply);
        let harms = self.arm_problem.harms.len();
        self.arm_problem.harms.extend(&objective.harm);
        self.arm_problem.origins.push(Origin {
            campaign: 0,
            person: index,
            eligibility,
            harms,
            at_control_time,
        });
    }
}

/// What a stored value is a share of the true one.
fn perturbation(tie_break: u32, value_class: usize) -> f32 {
    let mixed =
        (tie_break ^ (value_class as u32).wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    1.0 - PERTURBATION * ((mixed ^ (mixed >> 15)) >> 8) as f32 / (1 << 24) as f32
}

/// Moves a vector's content to the end of another, without copying where that is empty.
fn append<T>(to: &mut Vec<T>, from: &mut Vec<T>) {
    if to.is_empty() {
        std::mem::swap(to, from);
    } else {
        to.append(from);
    }
}
