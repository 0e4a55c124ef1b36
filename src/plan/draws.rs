//! Draws: the arms that do not choose. Explorers draw by lot, control takes its fixed time; one person
//! after another, in seeded order, within the arm's share of every limit.

use super::arms::{self, Explorer, generator, hash, mix, share_of};
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
        let of = &self.layout.slots[slot as usize];
        let reply = subject.objective.reply.get(variant).copied().unwrap_or(0.0);
        let counted = of.counted.iter().map(|limit| (*limit, UNIT));
        let weighted =
            of.weighted.iter().map(|(l, share)| (*l, load(f64::from(reply) * f64::from(*share))));
        let price = self.request.people[subject.person as usize].price;
        let paid = self.layout.paid[0].map(|limit| (limit, load(price)));
        let uses: Vec<(u32, i64)> = counted.chain(weighted).chain(paid).collect();
        let fits = |(limit, load): &(u32, i64)| {
            used[*limit as usize] + load <= self.layout.limits[*limit as usize]
        };
        uses.iter().all(fits).then_some(uses)
    }

    fn selection(&self, subject: &Subject, reason: Reason, slot: u32, variant: usize) -> Selection {
        let slot_class = &self.candidates.slot_classes[subject.eligibility.slot_class as usize];
        let variant_list =
            &self.candidates.variant_lists[subject.eligibility.variant_list as usize];
        let value_class = &slot_class.value_classes[slot_class.value_class(slot)];
        Selection {
            arm: if reason == Reason::ControlTime { Arm::Control } else { Arm::Explore },
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
    /// The propensity is the mean, over redraws of the whole arm in other orders, of the chance that
    /// this slot and variant had at the person's turn; with room for all it is one over the options.
    pub(super) fn explore(&self, decisions: &mut [Decision]) {
        let subjects = self.subjects(Arm::Explore, decisions);
        let (drawn, full) = self.draw_all(&subjects, 0, None);
        let mut chances: Vec<f64> =
            drawn.iter().map(|(_, options)| 1.0 / (*options).max(1) as f64).collect();
        if full {
            let mut sums = vec![0.0; subjects.len()];
            for turn in 1..=REDRAWS {
                let (replan, _) = self.draw_all(&subjects, turn, Some(&drawn));
                let open = sums.iter_mut().zip(&replan).filter(|(_, (open, _))| open.is_some());
                open.for_each(|(sum, (_, options))| *sum += 1.0 / *options as f64);
            }
            for (chance, sum) in chances.iter_mut().zip(sums).filter(|(_, sum)| *sum > 0.0) {
                *chance = sum / REDRAWS as f64;
            }
        }
        let share = share_of(&self.request.campaign.arms, Arm::Explore);
        for ((subject, (drawn, _)), chance) in subjects.iter().zip(&drawn).zip(chances) {
            if let Some((slot, variant)) = drawn {
                let mut selection = self.selection(subject, Reason::Explored, *slot, *variant);
                selection.propensity = Some(share * chance);
                decisions[subject.person as usize] = Decision::Planned(selection);
            }
        }
    }

    /// One draw of the whole arm; whether anything was full. With `asked` it tells, in place of what
    /// was drawn, whether what was asked about was open at that person's turn.
    fn draw_all(
        &self,
        subjects: &[Subject],
        turn: u64,
        batch: Option<&[(arms::ExploredOption, usize)]>,
    ) -> (Vec<(arms::ExploredOption, usize)>, bool) {
        let mut rng = generator(self.setting.seed, self.request.campaign, "explore", turn);
        let mut used = vec![0; self.layout.limits.len()];
        let mut result = vec![(None, 0); subjects.len()];
        let mut full = false;
        for at in self.order(subjects, "explore", turn) {
            let subject = &subjects[at as usize];
            let slot_class = &self.candidates.slot_classes[subject.eligibility.slot_class as usize];
            let may_take = |slot| self.candidates.may_take(&subject.eligibility, slot);
            let explorer = Explorer {
                slots: &slot_class.slots,
                may_take: &may_take,
                variants: subject.objective.variants(),
            };
            let is_open = |slot, variant| self.room(&used, subject, slot, variant).is_some();
            let (drawn, options) = arms::explore(&explorer, &mut rng, &is_open);
            full |= options < explorer.slots.len() * explorer.variants;
            let about = |batch: &[(arms::ExploredOption, usize)]| {
                batch[at as usize].0.filter(|(slot, variant)| is_open(*slot, *variant))
            };
            result[at as usize] = (batch.map_or(drawn, about), options);
            let uses = drawn.and_then(|(slot, variant)| self.room(&used, subject, slot, variant));
            for (limit, load) in uses.into_iter().flatten() {
                used[limit as usize] += load;
            }
        }
        (result, full)
    }

    /// Everybody gets the control time, on the first allowed day with room.
    pub(super) fn control(&self, decisions: &mut [Decision]) {
        let subjects = self.subjects(Arm::Control, decisions);
        let share = share_of(&self.request.campaign.arms, Arm::Control);
        let mut used = vec![0; self.layout.limits.len()];
        for at in self.order(&subjects, "control", 0) {
            let subject = &subjects[at as usize];
            let slot_class = &self.candidates.slot_classes[subject.eligibility.slot_class as usize];
            let allowed = |slot: &&u32| self.candidates.may_take(&subject.eligibility, **slot);
            let days: Vec<u32> = slot_class.control.iter().filter(allowed).copied().collect();
            let found = (days.iter().enumerate())
                .find_map(|(day, slot)| Some((day, *slot, self.room(&used, subject, *slot, 0)?)));
            decisions[subject.person as usize] = if let Some((day, slot, uses)) = found {
                for (limit, load) in uses {
                    used[limit as usize] += load;
                }
                let mut selection = self.selection(subject, Reason::ControlTime, slot, 0);
                selection.propensity = (day == 0).then_some(share);
                Decision::Planned(selection)
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
