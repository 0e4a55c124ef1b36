//! Draws: the arms that do not choose. Explorers draw by lot, control takes its fixed time; one
//! person after another, in seeded order, within the arm's share of every limit.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::arms::{generator, hash, mix, share_of};
use super::decision::{Decision, Selection};
use super::eligibility::{Candidates, Eligibility};
use super::limits::CapacityLayout;
use super::objective::Objective;
use super::request::{Request, Setting};
use super::solve::{UNIT, load};
use crate::model::delivery::{Arm, Reason};

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
    /// People of an arm to whom some slot is worth something; the others are refused.
    fn subjects(&self, arm: Arm, decisions: &mut [Decision]) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for (person, decision) in decisions.iter_mut().enumerate() {
            let Decision::Refused { reason, arm: Some(of) } = decision else { continue };
            let Ok(eligibility) = self.candidates.eligibilities[person] else { continue };
            if *of != arm {
                continue;
            }
            let objective =
                Objective::of(self.setting, self.request, self.candidates, person, &eligibility);
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
            each(limit, load(self.request.people[subject.person as usize].price));
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
            chance: f64::from(subject.objective.chance(variant, value_class)),
            runner_up: None,
            propensity: None,
            reply: subject.objective.reply.get(variant).copied().map_or(0.0, f64::from),
            at_control_time: None,
        }
    }

    /// Each explorer draws uniformly from what is allowed and has room.
    ///
    /// The propensity is the mean, over redraws of the whole arm in other orders, of the chance
    /// that this slot and variant had at the person's turn; with room for all it is one over the
    /// options.
    pub(super) fn explore(&self, decisions: &mut [Decision]) {
        let subjects = self.subjects(Arm::Explore, decisions);
        let capacity = Capacity::new(&self.layout);
        let (drawn, any_full) = self.draw_all(&subjects, &capacity, 0, None);
        let mut chances: Vec<f64> =
            drawn.iter().map(|(_, options)| 1.0 / (*options).max(1) as f64).collect();
        if any_full {
            let sums = self.redraw(&subjects, &capacity, &drawn);
            for (chance, sum) in chances.iter_mut().zip(sums).filter(|(_, sum)| *sum > 0.0) {
                *chance = sum / REDRAWS as f64;
            }
        }
        let share = share_of(&self.request.campaign.arms, Arm::Explore);
        for ((subject, (drawn, _)), chance) in subjects.iter().zip(&drawn).zip(chances) {
            if let Some((slot, variant)) = drawn {
                let mut selection = self.selection(subject, Reason::Explored, *slot, *variant);
                selection.propensity = self.is_first_plan(subject).then_some(share * chance);
                decisions[subject.person as usize] = Decision::Planned(selection);
            }
        }
    }

    /// Whether no earlier slot of the person came to nothing: a message that was moved later hangs
    /// on what happened to it, and not on the plan's own chance alone.
    fn is_first_plan(&self, subject: &Subject) -> bool {
        self.request.people[subject.person as usize].replan.is_none()
    }

    /// For each person the sum, over redraws in other orders, of the chance of what was drawn.
    fn redraw(&self, subjects: &[Subject], capacity: &Capacity, drawn: &[Turn]) -> Vec<f64> {
        let mut sums = vec![0.0; subjects.len()];
        let mut add = |redrawn: Vec<Turn>| {
            for (sum, (open, options)) in sums.iter_mut().zip(redrawn) {
                *sum += if open.is_some() { 1.0 / options as f64 } else { 0.0 };
            }
        };
        let one = |turn| self.draw_all(subjects, capacity, turn, Some(drawn)).0;
        let turns: Vec<u64> = (1..=REDRAWS).collect();
        // some at a time, so that memory is bounded; added in order, so that sums are the same
        for turns in turns.chunks(self.setting.threads.max(1)) {
            let some: Vec<Vec<Turn>> = turns.par_iter().map(|turn| one(*turn)).collect();
            some.into_iter().for_each(&mut add);
        }
        sums
    }

    /// One draw of the whole arm; whether anything was full. With `asked` it tells, in place of
    /// what was drawn, whether what was asked about was open at that person's turn.
    fn draw_all(
        &self,
        subjects: &[Subject],
        capacity: &Capacity,
        turn: u64,
        asked: Option<&[Turn]>,
    ) -> (Vec<Turn>, bool) {
        let mut rng = generator(self.setting.seed, self.request.campaign, "explore", turn);
        let mut remaining = Remaining::new(self, capacity);
        let mut result = vec![(None, 0); subjects.len()];
        let mut any_full = false;
        for at in self.order(subjects, "explore", turn) {
            let subject = &subjects[at as usize];
            let (drawn, options) = remaining.draw(subject, &mut rng);
            let all =
                self.candidates.slot_classes[subject.eligibility.slot_class as usize].slots.len();
            any_full |= options < all * subject.objective.variants();
            let about = |asked: &[Turn]| {
                asked[at as usize]
                    .0
                    .filter(|(slot, variant)| remaining.fits(subject, *slot, *variant))
            };
            result[at as usize] = (asked.map_or(drawn, about), options);
            if let Some((slot, variant)) = drawn {
                remaining.take(subject, slot, variant);
            }
        }
        (result, any_full)
    }

    /// Everybody gets the control time on the first day on which it is allowed. Where that is full,
    /// the nearest later allowed slot of that day with room, then the next day likewise, and at
    /// last any allowed slot with room.
    pub(super) fn control(&self, decisions: &mut [Decision]) {
        let subjects = self.subjects(Arm::Control, decisions);
        let share = share_of(&self.request.campaign.arms, Arm::Control);
        let capacity = Capacity::new(&self.layout);
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

/// What was drawn at a person's turn, and how many options there were.
type Turn = (Option<(u32, usize)>, usize);

/// What does not change while an arm draws.
struct Capacity {
    /// The slots that use each limit by the message.
    covered: Vec<Vec<u32>>,
    /// The slots that are open at first.
    open: Vec<bool>,
    /// Whether messages use limits in proportion to replies or prices.
    has_loads: bool,
}

impl Capacity {
    fn new(layout: &CapacityLayout) -> Self {
        let mut covered = vec![Vec::new(); layout.limits.len()];
        for (slot, of) in layout.slots.iter().enumerate() {
            of.counted.iter().for_each(|limit| covered[*limit as usize].push(slot as u32));
        }
        let mut weighted = layout.slots.iter().map(|slot| !slot.weighted.is_empty());
        let has_loads = layout.paid[0].is_some() || weighted.any(|any| any);
        Self { covered, open: layout.open.clone(), has_loads }
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
    /// The open slots of each slot class, and the closings that are known there.
    of_class: Vec<(Vec<u32>, u32)>,
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
            of_class: classes.map(|class| (open_slots(&class.slots), 0)).collect(),
            options: Vec::new(),
        }
    }

    /// Draws uniformly from a person's options, in the order of slots and then variants.
    fn draw(&mut self, subject: &Subject, rng: &mut ChaCha8Rng) -> Turn {
        let variants = subject.objective.variants();
        let (slots, known) = &mut self.of_class[subject.eligibility.slot_class as usize];
        if *known < self.closed {
            slots.retain(|slot| self.open[*slot as usize]);
            *known = self.closed;
        }
        let is_bound = subject.eligibility.bans.0 != subject.eligibility.bans.1;
        if !self.capacity.has_loads && !is_bound {
            let count = slots.len() * variants;
            if count == 0 {
                return (None, 0);
            }
            let at = rng.gen_range(0..count);
            return (Some((slots[at / variants], at % variants)), count);
        }
        let mut options = std::mem::take(&mut self.options);
        options.clear();
        for &slot in &self.of_class[subject.eligibility.slot_class as usize].0 {
            if self.draw.candidates.may_take(&subject.eligibility, slot) {
                let fits = |variant: &usize| self.fits(subject, slot, *variant);
                options.extend((0..variants).filter(fits).map(|variant| (slot, variant as u32)));
            }
        }
        let count = options.len();
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
        let price = self.draw.request.people[subject.person as usize].price;
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
