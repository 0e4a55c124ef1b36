//! The personalized arm as an assignment problem: from habits to values, and from placements to
//! decisions.

use std::collections::BTreeMap;

use super::arms::{arm_of, mix};
use super::certificate::BindingLimit;
use super::decision::{Decision, Selection};
use super::eligibility::{
    Candidates, CountedMessage, EarlierMessages, Eligibility, SlotClass, ValueClass,
};
use super::fatigue::PersonFatigue;
use super::limits::{CampaignArm, CapacityLayout};
use super::objective::{ChosenValue, Objective, PERTURBATION, VariantUsual, perturbation};
use super::parallel::{append, grow, parallel_map, parallel_rows};
use super::request::Setting;
use super::solve::{
    ConflictGroup, Conflicts, Group, Item, NO_SLOT, Problem, Solution, SpanLimit, solve,
};
use crate::model::choice::PersonCorrection;
use crate::model::delivery::{Arm, Expectation, Reason};
use crate::model::frequency::Cap;
use crate::model::ids::RecipientId;

/// What the personalized arm comes to.
pub(super) struct PersonalizedPlan {
    /// The price of a message in each slot of each campaign.
    pub(super) prices: Vec<Vec<f64>>,
    /// Limits that hold it back, the dearest first.
    pub(super) binding: Vec<BindingLimit>,
    pub(super) value: f64,
    pub(super) bound: f64,
    /// What is expected of people, by campaign, where it has other arms.
    pub(super) expectations: Vec<Vec<(u32, Expectation)>>,
    /// Whether the bound lets messages be split.
    pub(super) splits_messages: bool,
    /// Whether the bound leaves out caps that bind campaigns of one plan to each other.
    pub(super) ignores_joint_caps: bool,
}

/// Places the personalized people of some campaigns within a layout, and decides about them.
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
        let campaign = origin.campaign as usize;
        decisions[campaign][origin.person as usize] = match selection {
            Ok(selection) => Decision::Planned(selection),
            Err(reason) => Decision::Refused { reason, arm: Some(parts[campaign].arm) },
        };
    }
    PersonalizedPlan {
        prices: layout.slot_prices(parts, &solution.prices),
        binding: layout.binding(&solution.prices),
        value,
        bound: (solution.bound / f64::from(1.0 - PERTURBATION)).max(value),
        expectations: std::mem::take(&mut arm_problem.expectations),
        splits_messages: solution.splits_items,
        ignores_joint_caps: !arm_problem.problem.conflicts.groups.is_empty(),
    }
}

/// Whom an item stands for, and what was asked of the habits besides values.
struct Origin {
    campaign: u32,
    person: u32,
    eligibility: Eligibility,
    /// Where it has its figures, one a variant of the eligible variants.
    usual: (usize, usize),
    correction: PersonCorrection,
    fatigue: Option<Box<PersonFatigue>>,
    counted: f32,
    /// The chance at the control time; NaN where there is none.
    at_control_time: f32,
}

#[derive(Default)]
struct ArmProblem {
    problem: Problem,
    origins: Vec<Origin>,
    usual: Vec<VariantUsual>,
    /// The eligible variant behind each value, where rows are not one variant each.
    variants: Vec<u8>,
    /// The first group of each campaign.
    groups: Vec<u32>,
    /// What is expected of people, by campaign.
    expectations: Vec<Vec<(u32, Expectation)>>,
}

/// What one thread has asked of some people, besides values.
#[derive(Default)]
struct ItemBatch {
    items: Vec<Item>,
    weights: Vec<f32>,
    origins: Vec<Origin>,
    usual: Vec<VariantUsual>,
    without_value: Vec<u32>,
    expectations: Vec<(u32, Expectation)>,
}

/// Where a person's values go: a row of value classes, or one for each variant where replies are
/// bounded, since variants then differ in what they use.
struct Rows<'r> {
    /// Where they begin among all values.
    at: usize,
    values: &'r mut [f32],
    variants: &'r mut [u8],
    keep_apart: bool,
}

impl ArmProblem {
    /// Asks the habits of a campaign's personalized people and adds those who gain anything.
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
                    arm_of(part.request.campaign, key) == part.arm
                })
                .collect();
        let keep_apart = part.request.campaign.capacity.chats.is_some();
        let rows = |eligibility: &Eligibility| {
            let classes = part.candidates.slot_classes[eligibility.slot_class as usize].row();
            let variants = part.candidates.variant_lists[eligibility.variant_list as usize].len();
            classes * if keep_apart { variants } else { 1 }
        };
        // each thread writes its people's rows where they stay: nothing so large is moved or
        // doubled
        let base = self.problem.values.len();
        let mut starts = Vec::with_capacity(personalized.len() + 1);
        starts.push(0);
        for (_, eligibility) in &personalized {
            starts.push(starts[starts.len() - 1] + rows(eligibility));
        }
        let total = base + starts[personalized.len()];
        grow(&mut self.problem.values, total);
        grow(&mut self.variants, total);
        let (values, variants) = (&mut self.problem.values[base..], &mut self.variants[base..]);
        let batches = parallel_rows(&starts, (values, variants), setting.threads, |range, rows| {
            let (mut values, mut variants) = rows;
            let mut batch = ItemBatch::default();
            for (at, (person, eligibility)) in range.clone().zip(&personalized[range]) {
                let length = starts[at + 1] - starts[at];
                let (row, rest) = values.split_at_mut(length);
                let (of, more) = variants.split_at_mut(length);
                (values, variants) = (rest, more);
                let rows = Rows { at: base + starts[at], values: row, variants: of, keep_apart };
                batch.ask(setting, part, (*person, *eligibility), rows);
            }
            batch
        });
        let mut expectations = Vec::new();
        for mut batch in batches {
            expectations.append(&mut batch.expectations);
            for person in &batch.without_value {
                let arm = Some(part.arm);
                decisions[*person as usize] = Decision::Refused { reason: Reason::NoValue, arm };
            }
            self.join(batch, part.candidates, campaign as u32, first_group, first);
        }
        self.expectations.push(expectations);
    }

    /// Takes over what a thread has asked.
    fn join(
        &mut self,
        mut batch: ItemBatch,
        candidates: &Candidates,
        campaign: u32,
        first_group: u32,
        first_slot: u32,
    ) {
        let problem = &mut self.problem;
        let weights = problem.weights.len();
        for (item, origin) in batch.items.iter_mut().zip(&mut batch.origins) {
            item.weights = item.weights.map(|first| first + weights);
            item.group += first_group;
            origin.campaign = campaign;
            origin.usual = (origin.usual.0 + self.usual.len(), origin.usual.1 + self.usual.len());
            if item.bans.0 != item.bans.1 {
                let from = problem.bans.len() as u32;
                let bans = &candidates.bans[item.bans.0 as usize..item.bans.1 as usize];
                let shift =
                    |ban: &std::ops::Range<u32>| ban.start + first_slot..ban.end + first_slot;
                problem.bans.extend(bans.iter().map(shift));
                item.bans = (from, problem.bans.len() as u32);
            }
        }
        append(&mut problem.weights, &mut batch.weights);
        append(&mut problem.items, &mut batch.items);
        append(&mut self.origins, &mut batch.origins);
        append(&mut self.usual, &mut batch.usual);
    }

    /// People who are in more than one campaign, where caps bind them.
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
        let groups = (members.into_values().filter(|members| members.len() > 1))
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
        Conflicts::of(self.problem.items.len(), groups, spans)
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

    /// What each person got, or why nothing.
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
        let variant = match item.weights {
            Some(_) => placement.variant as usize,
            None => usize::from(self.variants[at]),
        };
        let slot = placement.slot - first;
        let slot_class = &part.candidates.slot_classes[origin.eligibility.slot_class as usize];
        let runner_up = self.runner_up(part.candidates, origin, item, slot_class, slot);
        let moved = runner_up.is_some_and(|(_, other)| other > value * (1.0 + 1e-6));
        let mut price = 0.0;
        self.problem.uses(item, placement, |limit, _| price += solution.prices[limit as usize]);
        let replan = part.request.people[origin.person as usize].replan.map(|replan| replan.reason);
        let by_itself = if moved { Reason::MovedByCapacity } else { Reason::BestSlot };
        let share = part.request.campaign.arms.share(part.arm);
        let class = &slot_class.value_classes[value_class];
        let fatigue = origin.fatigue.as_ref().map(|fatigue| fatigue.effect(variant, class));
        let usual = &self.usual[origin.usual.0..origin.usual.1];
        let Origin { correction, counted, .. } = *origin;
        let chosen = ChosenValue { value, variant, correction, usual, fatigue, counted };
        let reply = f64::from(self.problem.weight(item, placement.variant));
        Ok(Selection {
            arm: part.arm,
            reason: replan.unwrap_or(by_itself),
            slot,
            variant: part.candidates.variant_lists[origin.eligibility.variant_list as usize]
                [variant],
            value,
            chance: chosen.chance(),
            runner_up,
            // with a price on it the slot hangs on who else is in the arm; a message that was moved
            // later hangs on what happened to it
            propensity: (!moved && price == 0.0 && replan.is_none()).then_some(share),
            reply: fatigue.map_or(reply, |effect| f64::from(effect.expected.reply)),
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
            let stored = reply_variants.fold(f32::NEG_INFINITY, f32::max);
            // no true value is larger than this
            if best.is_some_and(|best| stored * (1.0 + 2.0 * PERTURBATION) <= best.1) {
                continue;
            }
            let value = stored / perturbation(item.tie_break, value_class);
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
        (index, eligibility): (u32, Eligibility),
        rows: Rows<'_>,
    ) {
        let Rows { at: first, values, variants, keep_apart } = rows;
        let person = &part.request.people[index as usize];
        let variant_list = &part.candidates.variant_lists[eligibility.variant_list as usize];
        let slot_class = &part.candidates.slot_classes[eligibility.slot_class as usize];
        let objective =
            Objective::of(setting, part.request, part.candidates, index as usize, &eligibility);
        // the draws of other arms are not what is expected
        if part.arm == Arm::Personalized && part.request.campaign.arms.personalized < 1.0 {
            self.expectations.push((index, objective.expectation(part.candidates, &eligibility)));
        }
        let tie_break = mix(setting.seed ^ mix(person.id.0 as u64)) as u32;
        let whole = |value_class: &ValueClass| {
            let mut allowed =
                value_class.slots.iter().map(|s| part.candidates.may_take(&eligibility, *s));
            (allowed.clone().any(|allowed| allowed), allowed.all(|allowed| allowed))
        };
        let is_bound = eligibility.bans.0 != eligibility.bans.1;
        let (mut positive, mut partly) = (false, false);
        let row = slot_class.row();
        let reply_variants = if keep_apart { variant_list.len() } else { 1 };
        values.fill(f32::NEG_INFINITY);
        let best = (!keep_apart).then(|| objective.best(tie_break));
        for reply_variant in 0..reply_variants {
            for (class, value_class) in slot_class.value_classes.iter().enumerate() {
                let at = reply_variant * row + class;
                let value = match &best {
                    None => objective.value(reply_variant, value_class),
                    Some(best) => {
                        let (variant, value) = best.in_class(value_class);
                        variants[at] = variant as u8;
                        value
                    }
                };
                let (some, all) = if is_bound { whole(value_class) } else { (true, true) };
                positive |= value > 0.0;
                partly |= some && !all;
                if some && value > 0.0 {
                    values[at] = value * perturbation(tie_break, class);
                }
            }
        }
        if !positive {
            self.without_value.push(index);
            return;
        }
        let control = part.candidates.control_slot(&eligibility);
        let at_control_time = control.map_or(f32::NAN, |slot| {
            objective.expected_of_any(0, &slot_class.value_classes[slot_class.value_class(slot)])
        });
        self.items.push(Item {
            group: eligibility.slot_class,
            variants: reply_variants as u32,
            values: first,
            weights: keep_apart.then_some(self.weights.len()),
            cost: person.spend() as f32,
            tie_break,
            bans: if partly { eligibility.bans } else { (0, 0) },
        });
        self.weights.extend(&objective.reply);
        let usual = (self.usual.len(), self.usual.len() + objective.usual.len());
        self.usual.extend(&objective.usual);
        self.origins.push(Origin {
            campaign: 0,
            person: index,
            eligibility,
            usual,
            correction: objective.correction,
            fatigue: objective.fatigue,
            counted: objective.counted,
            at_control_time,
        });
    }
}
