//! Draws: the arms that do not choose. Explorers draw by lot, control takes its fixed time; one
//! person after another, in seeded order, within the arm's share of every limit.

use std::collections::HashMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::arms::{generator, hash, mix};
use super::decision::{Decision, Selection};
use super::eligibility::{Candidates, Eligibility, SlotClass};
use super::limits::CapacityLayout;
use super::objective::Objective;
use super::request::{Request, Setting};
use super::solve::{UNIT, load};
use crate::model::action::{Action, DrawnAction, WEEK_PARTS, week_part};
use crate::model::content::Media;
use crate::model::delivery::{Arm, Expectation, Reason};

/// The arms that do not choose: one after another, in seeded order, within their part.
pub(super) struct Draw<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) candidates: &'a Candidates,
    pub(super) layout: CapacityLayout,
}

/// A person of such an arm, with what the habits say.
struct Subject {
    person: u32,
    eligibility: Eligibility,
    objective: Objective,
}

impl Draw<'_> {
    /// People of an arm to whom some slot is worth something; the others are refused. Tells what is
    /// expected of all of them.
    fn subjects(
        &self,
        arm: Arm,
        decisions: &mut [Decision],
        expectations: &mut [Option<Expectation>],
    ) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for (person, decision) in decisions.iter_mut().enumerate() {
            let Decision::Refused { reason, arm: Some(of) } = decision else { continue };
            let Ok(eligibility) = self.candidates.eligibilities[person] else { continue };
            if *of != arm {
                continue;
            }
            let objective =
                Objective::of(self.setting, self.request, self.candidates, person, &eligibility);
            if let Some(expectation) = expectations.get_mut(person) {
                *expectation = Some(objective.expectation(self.candidates, &eligibility));
            }
            let slot_class = &self.candidates.slot_classes[eligibility.slot_class as usize];
            if objective.is_any_positive(slot_class) {
                subjects.push(Subject { person: person as u32, eligibility, objective });
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

    /// Calls `each` with the limits that a message uses in proportion to its reply and its price.
    fn loads(&self, subject: &Subject, slot: u32, variant: usize, mut each: impl FnMut(u32, i64)) {
        let reply = subject.objective.reply.get(variant).copied().unwrap_or(0.0);
        for (limit, share) in &self.layout.slots[slot as usize].weighted {
            each(*limit, load(f64::from(reply) * f64::from(*share)));
        }
        if let Some(limit) = self.layout.paid[0] {
            each(limit, load(self.request.people[subject.person as usize].spend()));
        }
    }

    fn selection(&self, subject: &Subject, reason: Reason, slot: u32, variant: usize) -> Selection {
        let slot_class = &self.candidates.slot_classes[subject.eligibility.slot_class as usize];
        let variant_list =
            &self.candidates.variant_lists[subject.eligibility.variant_list as usize];
        let value_class = &slot_class.value_classes[slot_class.value_class(slot)];
        Selection {
            arm: if reason == Reason::Explored { Arm::Explore } else { Arm::Control },
            reason,
            slot,
            variant: variant_list[variant],
            value: f64::from(subject.objective.value(variant, value_class)),
            chance: f64::from(subject.objective.expected_of_any(variant, value_class)),
            runner_up: None,
            propensity: None,
            reply: subject.objective.reply_in(variant, value_class),
            at_control_time: None,
        }
    }

    /// Each explorer draws uniformly from what is allowed and has room; returns what each drew and
    /// among what, by person.
    ///
    /// The propensity is the mean, over the draw itself and redraws of the whole arm in other
    /// orders, of the chance that this slot and variant had at the person's turn; with room for all
    /// it is one over the options. All these draws are alike, so that it is a chance over a mixture
    /// of them: its inverse is unbiased (the balance heuristic; Veach and Guibas, SIGGRAPH 1995).
    /// Without the draw itself it would be too large, by Jensen's inequality.
    pub(super) fn explore(
        &self,
        decisions: &mut [Decision],
        expectations: &mut [Option<Expectation>],
    ) -> HashMap<u32, DrawnAction> {
        let subjects = self.subjects(Arm::Explore, decisions, expectations);
        let capacity = Capacity::new(self);
        let mut draw = self.draw_all(&subjects, &capacity, 0, None);
        if draw.any_full {
            self.redraw(&subjects, &capacity, &mut draw);
        }
        let share = self.request.campaign.arms.share(Arm::Explore);
        let mut actions = HashMap::new();
        for (at, (subject, turn)) in subjects.iter().zip(&draw.turns).enumerate() {
            let Some((slot, variant)) = turn.drawn else { continue };
            let mut selection = self.selection(subject, Reason::Explored, slot, variant);
            if self.is_first_plan(subject) {
                selection.propensity = Some(share * turn.chance);
                let cell = capacity.cell(subject, slot, variant);
                let weights = &draw.actions[at * capacity.cells()..][..capacity.cells()];
                let action = |cell: usize| {
                    let media = capacity.media[cell % capacity.media.len()];
                    Action::in_part(cell / capacity.media.len(), media)
                };
                let weights = weights.iter().enumerate();
                let weights = weights.map(|(cell, weight)| (action(cell), f64::from(*weight)));
                let drawn = DrawnAction::new(action(cell), weights);
                actions.extend(drawn.map(|drawn| (subject.person, drawn)));
            }
            decisions[subject.person as usize] = Decision::Planned(selection);
        }
        actions
    }

    /// Whether no earlier slot of the person came to nothing: a message that was moved later hangs
    /// on what happened to it, and not on the plan's own chance alone.
    fn is_first_plan(&self, subject: &Subject) -> bool {
        self.request.people[subject.person as usize].replan.is_none()
    }

    /// Averages the chances of a draw with those of redraws in other orders.
    fn redraw(&self, subjects: &[Subject], capacity: &Capacity, draw: &mut ArmDraw) {
        let asked: Vec<_> = draw.turns.iter().map(|turn| turn.drawn).collect();
        let one = |turn: &u64| self.draw_all(subjects, capacity, *turn, Some(&asked));
        let turns: Vec<u64> = (1..=REDRAWS).collect();
        // some at a time, so that memory is bounded; added in order, so that sums are the same
        for turns in turns.chunks(self.setting.threads.max(1)) {
            let some: Vec<ArmDraw> = turns.par_iter().map(one).collect();
            for more in some {
                for (turn, more) in draw.turns.iter_mut().zip(more.turns) {
                    turn.chance += more.chance;
                }
                draw.actions.iter_mut().zip(more.actions).for_each(|(sum, more)| *sum += more);
            }
        }
        let draws = (REDRAWS + 1) as f64;
        draw.turns.iter_mut().for_each(|turn| turn.chance /= draws);
        draw.actions.iter_mut().for_each(|sum| *sum /= draws as f32);
    }

    /// One draw of the whole arm. Chances are of what was drawn, or of what was `asked` about.
    fn draw_all(
        &self,
        subjects: &[Subject],
        capacity: &Capacity,
        turn: u64,
        asked: Option<&[Option<(u32, usize)>]>,
    ) -> ArmDraw {
        let mut rng = generator(self.setting.seed, self.request.campaign, "explore", turn);
        let mut remaining = Remaining::new(self, capacity);
        let cells = capacity.cells();
        let mut result = ArmDraw {
            turns: vec![Turn::default(); subjects.len()],
            actions: vec![0.0; subjects.len() * cells],
            any_full: false,
        };
        for at in self.order(subjects, "explore", turn) {
            let at = at as usize;
            let subject = &subjects[at];
            let row = &mut result.actions[at * cells..][..cells];
            let (drawn, options) = remaining.draw(subject, &mut rng, row);
            let all =
                self.candidates.slot_classes[subject.eligibility.slot_class as usize].slots.len();
            result.any_full |= options < all * subject.objective.variants();
            let asked = asked.map_or(drawn, |asked| asked[at]);
            let open = asked.is_some_and(|(slot, variant)| remaining.fits(subject, slot, variant));
            let chance = if open { 1.0 / options as f64 } else { 0.0 };
            result.turns[at] = Turn { drawn, chance };
            if let Some((slot, variant)) = drawn {
                remaining.take(subject, slot, variant);
            }
        }
        result
    }

    /// Everybody gets the control time on the first day on which it is allowed. Where that is full,
    /// the nearest later allowed slot of that day with room, then the next day likewise, and at
    /// last any allowed slot with room.
    pub(super) fn control(
        &self,
        decisions: &mut [Decision],
        expectations: &mut [Option<Expectation>],
    ) {
        let subjects = self.subjects(Arm::Control, decisions, expectations);
        let share = self.request.campaign.arms.share(Arm::Control);
        let capacity = Capacity::new(self);
        let mut remaining = Remaining::new(self, &capacity);
        for at in self.order(&subjects, "control", 0) {
            let subject = &subjects[at as usize];
            let intended = self.candidates.control_slot(&subject.eligibility);
            let found = (self.candidates.slots_from_control_time(&subject.eligibility))
                .find(|slot| remaining.fits(subject, *slot, 0));
            decisions[subject.person as usize] = if let Some(slot) = found {
                remaining.take(subject, slot, 0);
                let on_time = intended == Some(slot);
                let reason = if on_time { Reason::ControlTime } else { Reason::ControlMoved };
                let mut selection = self.selection(subject, reason, slot, 0);
                let known = on_time && self.is_first_plan(subject);
                selection.propensity = known.then_some(share);
                Decision::Planned(selection)
            } else {
                let reason = if remaining.lacks_budget(subject) {
                    Reason::NoBudget
                } else {
                    Reason::NoCapacity
                };
                Decision::Refused { reason, arm: Some(Arm::Control) }
            };
        }
    }
}

/// What was drawn at a person's turn, and the chance of what was drawn or asked about.
#[derive(Clone, Copy, Default)]
struct Turn {
    drawn: Option<(u32, usize)>,
    chance: f64,
}

/// One draw of the whole arm.
struct ArmDraw {
    turns: Vec<Turn>,
    /// The chance of each action at each person's turn: a row of cells a person.
    actions: Vec<f32>,
    any_full: bool,
}

/// What does not change while an arm draws.
struct Capacity {
    /// The slots that use each limit by the message.
    covered: Vec<Vec<u32>>,
    /// The slots that are open at first.
    open: Vec<bool>,
    /// Whether messages use limits in proportion to replies or prices.
    has_loads: bool,
    /// The part of the week of each slot, by slot class.
    week_parts: Vec<Vec<u8>>,
    /// The media of the campaign's variants, each once.
    media: Vec<Media>,
    /// The medium of each variant of each list, by index in `media`.
    media_of: Vec<Vec<u8>>,
}

impl Capacity {
    fn new(draw: &Draw<'_>) -> Self {
        let (layout, candidates) = (&draw.layout, draw.candidates);
        let mut covered = vec![Vec::new(); layout.limits.len()];
        for (slot, of) in layout.slots.iter().enumerate() {
            of.counted.iter().for_each(|limit| covered[*limit as usize].push(slot as u32));
        }
        let mut weighted = layout.slots.iter().map(|slot| !slot.weighted.is_empty());
        let has_loads = layout.paid[0].is_some() || weighted.any(|any| any);
        let week_parts = |class: &SlotClass| {
            let mut parts = vec![0; candidates.slots.len()];
            for value_class in &class.value_classes {
                // a slot belongs to the hour in which it begins
                let part = week_part(value_class.hours[0].0) as u8;
                value_class.slots.iter().for_each(|slot| parts[*slot as usize] = part);
            }
            parts
        };
        let variants = &draw.request.campaign.variants;
        let medium = |variant: &u16| variants[usize::from(*variant)].content.media;
        let mut media: Vec<Media> = variants.iter().map(|v| v.content.media).collect();
        media.sort_unstable();
        media.dedup();
        let at = |variant: &u16| {
            media.binary_search(&medium(variant)).expect("the media are those of variants") as u8
        };
        let lists = candidates.variant_lists.iter();
        Self {
            covered,
            open: layout.open.clone(),
            has_loads,
            week_parts: candidates.slot_classes.iter().map(week_parts).collect(),
            media_of: lists.map(|list| list.iter().map(at).collect()).collect(),
            media,
        }
    }

    /// Actions that are told apart: parts of the week, times media.
    fn cells(&self) -> usize {
        WEEK_PARTS * self.media.len()
    }

    /// The action that a slot and a variant make up.
    fn cell(&self, subject: &Subject, slot: u32, variant: usize) -> usize {
        let Eligibility { slot_class, variant_list, .. } = subject.eligibility;
        let part = self.week_parts[slot_class as usize][slot as usize];
        let medium = self.media_of[variant_list as usize][variant];
        usize::from(part) * self.media.len() + usize::from(medium)
    }
}

/// The open slots of a slot class.
#[derive(Default)]
struct OpenSlots {
    slots: Vec<u32>,
    /// The closings that are known here.
    known: u32,
    by_part: [u32; WEEK_PARTS],
}

impl OpenSlots {
    fn count(&mut self, week_parts: &[u8]) {
        self.by_part = [0; WEEK_PARTS];
        for slot in &self.slots {
            self.by_part[usize::from(week_parts[*slot as usize])] += 1;
        }
    }
}

/// What is left of an arm's share of capacity while its people draw one after another.
struct Remaining<'d> {
    draw: &'d Draw<'d>,
    capacity: &'d Capacity,
    used: Vec<i64>,
    /// Slots whose counted limits have room for one more message.
    open: Vec<bool>,
    /// How often a slot has been closed.
    closed: u32,
    of_class: Vec<OpenSlots>,
    options: Vec<(u32, u32)>,
}

impl<'d> Remaining<'d> {
    fn new(draw: &'d Draw<'d>, capacity: &'d Capacity) -> Self {
        let open_slots = |slots: &[u32]| -> Vec<u32> {
            slots.iter().copied().filter(|slot| capacity.open[*slot as usize]).collect()
        };
        let classes = draw.candidates.slot_classes.iter();
        Self {
            draw,
            capacity,
            used: vec![0; draw.layout.limits.len()],
            open: capacity.open.clone(),
            closed: 0,
            of_class: (classes.enumerate())
                .map(|(class, of)| {
                    let mut open =
                        OpenSlots { slots: open_slots(&of.slots), ..OpenSlots::default() };
                    open.count(&capacity.week_parts[class]);
                    open
                })
                .collect(),
            options: Vec::new(),
        }
    }

    /// Draws uniformly from a person's options, in the order of slots and then variants; tells how
    /// many there are, and adds the chance of each action to `actions`.
    fn draw(
        &mut self,
        subject: &Subject,
        rng: &mut ChaCha8Rng,
        actions: &mut [f32],
    ) -> (Option<(u32, usize)>, usize) {
        let variants = subject.objective.variants();
        let class = subject.eligibility.slot_class as usize;
        let OpenSlots { slots, known, .. } = &mut self.of_class[class];
        if *known < self.closed {
            slots.retain(|slot| self.open[*slot as usize]);
            *known = self.closed;
            self.of_class[class].count(&self.capacity.week_parts[class]);
        }
        let OpenSlots { slots, by_part, .. } = &self.of_class[class];
        let is_bound = subject.eligibility.bans.0 != subject.eligibility.bans.1;
        if !self.capacity.has_loads && !is_bound {
            let count = slots.len() * variants;
            if count == 0 {
                return (None, 0);
            }
            let media = &self.capacity.media_of[subject.eligibility.variant_list as usize];
            for (row, slots) in actions.chunks_mut(self.capacity.media.len()).zip(by_part) {
                for medium in media {
                    row[usize::from(*medium)] += *slots as f32 / count as f32;
                }
            }
            let at = rng.gen_range(0..count);
            return (Some((slots[at / variants], at % variants)), count);
        }
        let mut options = std::mem::take(&mut self.options);
        options.clear();
        for &slot in slots {
            if self.draw.candidates.may_take(&subject.eligibility, slot) {
                let fits = |variant: &usize| self.fits(subject, slot, *variant);
                options.extend((0..variants).filter(fits).map(|variant| (slot, variant as u32)));
            }
        }
        let count = options.len();
        for (slot, variant) in &options {
            actions[self.capacity.cell(subject, *slot, *variant as usize)] += 1.0 / count as f32;
        }
        let drawn = (count > 0).then(|| options[rng.gen_range(0..count)]);
        self.options = options;
        (drawn.map(|(slot, variant)| (slot, variant as usize)), count)
    }

    /// Whether there is room for a message.
    fn fits(&self, subject: &Subject, slot: u32, variant: usize) -> bool {
        let mut fits = self.open[slot as usize];
        if fits && self.capacity.has_loads {
            self.draw.loads(subject, slot, variant, |limit, load| {
                let most = self.draw.layout.limits[limit as usize];
                fits &= self.used[limit as usize] + load <= most;
            });
        }
        fits
    }

    /// Whether the budget alone has no room for a message to a person.
    fn lacks_budget(&self, subject: &Subject) -> bool {
        let price = self.draw.request.people[subject.person as usize].spend();
        self.draw.layout.paid[0].is_some_and(|limit| {
            let limit = limit as usize;
            self.used[limit] + load(price) > self.draw.layout.limits[limit]
        })
    }

    /// Uses up what a message takes.
    fn take(&mut self, subject: &Subject, slot: u32, variant: usize) {
        let (used, draw) = (&mut self.used, self.draw);
        draw.loads(subject, slot, variant, |limit, load| used[limit as usize] += load);
        for limit in draw.layout.slots[slot as usize].counted.iter().map(|limit| *limit as usize) {
            self.used[limit] += UNIT;
            if self.used[limit] + UNIT > draw.layout.limits[limit] {
                for covered in &self.capacity.covered[limit] {
                    self.closed += u32::from(self.open[*covered as usize]);
                    self.open[*covered as usize] = false;
                }
            }
        }
    }
}

/// Redraws of the explore arm from which propensities are estimated.
const REDRAWS: u64 = 32;
