//! The questions that the planner is asked with the inputs: a plan, each value, why.

use super::{PlanInputs, PlanningTask, SEED};
use crate::model::campaign::Campaign;
use crate::model::delivery::Delivery;
use crate::model::ids::RecipientKey;
use crate::model::preference::ReplyDelays;
use crate::model::slot::Slot;
use crate::plan::{self, AudienceMember, Carrier, Explanation, Request, Setting, SlotLoad};
use crate::work::holdout;
use crate::work::plan::PlanError;
use crate::work::plan::campaign_plan::CampaignPlan;
use crate::work::plan::taken;

impl PlanInputs {
    /// Calls `ask` with the arguments that a plan is a function of.
    fn ask<T>(&self, ask: impl FnOnce(&Setting<'_>, &Carrier<'_>, &[Request<'_>]) -> T) -> T {
        let setting = Setting {
            now: self.now,
            seed: SEED,
            length: self.config.slot_length,
            opt_out_cost: self.config.opt_out_cost,
            conversions: holdout::counted(&self.config),
            zone: self.config.time_zone,
            quiet: self.config.quiet_hours,
            rules: &self.rules,
            caps: &self.config.frequency,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let provider = self.tasks.first().and_then(|task| self.provider(&task.row.campaign));
        let carrier = Carrier {
            channel: provider.map_or("", |provider| provider.kind.channel()),
            per_second: provider.and_then(|p| p.limits.per_second).map(f64::from),
            unique_per_day: provider.and_then(|p| p.limits.unique_per_day),
            booked: &self.booked,
        };
        let mut people: Vec<Vec<AudienceMember<'_>>> = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let chosen = task.chosen.iter().zip(&task.replans);
            let of = (task, &self.prices(&task.row));
            people.push(chosen.map(|(index, replan)| self.person(of, *index, *replan)).collect());
        }
        let habits: Vec<_> = (self.tasks.iter())
            .map(|task| {
                |index: usize| self.planned_preference(&task.row.campaign, task.chosen[index])
            })
            .collect();
        let answers = |task: &PlanningTask| task.row.campaign.capacity.chats.is_some();
        let reply_delays = if self.tasks.iter().any(answers) {
            self.model.reply_delays()
        } else {
            ReplyDelays::default()
        };
        let campaigns: Vec<&Campaign> = self.tasks.iter().map(|task| &*task.row.campaign).collect();
        let fatigue_until = (!self.model.fatigue().is_none())
            .then(|| taken::felt_until(&self.taken, &campaigns, setting.zone, self.now));
        let requests: Vec<Request<'_>> = (self.tasks.iter().zip(&people).zip(&habits))
            .map(|((task, people), preference)| Request {
                campaign: &task.row.campaign,
                people,
                preference,
                booked: &task.booked,
                reply_delays: &reply_delays,
                fatigue_until,
            })
            .collect();
        ask(&setting, &carrier, &requests)
    }

    /// Plans; touches no store.
    pub async fn plan(self) -> Result<(Self, Vec<CampaignPlan>), PlanError> {
        let work = move || {
            let plans = self.ask(plan::plan);
            let plans = self.tasks.iter().zip(plans).map(|(task, plan)| {
                let provider = self.provider(&task.row.campaign);
                CampaignPlan {
                    row: task.row.clone(),
                    chosen: task.chosen.clone(),
                    scope: task.scope,
                    read_at: self.now,
                    record: task.record,
                    zones: task.chosen.iter().map(|index| self.zone(*index)).collect(),
                    unconfirmed: self.unconfirmed(task, &plan),
                    plan,
                    length: self.config.slot_length,
                    currency: provider
                        .and_then(|p| p.tariff.as_ref())
                        .map(|tariff| tariff.currency.clone()),
                }
            });
            let plans = plans.collect();
            (self, plans)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| PlanError::Panicked)
    }

    /// The value of each allowed slot to each personalized person, with the best variant.
    pub fn each_value(&self, mut each: impl FnMut(&RecipientKey, Slot, f64)) {
        self.ask(|setting, carrier, requests| {
            plan::values(setting, carrier, requests, &mut |request, person, slot, value| {
                let index = self.tasks[request].chosen[person];
                each(&self.people.recipients[index].key, slot, value);
            });
        });
    }

    /// Why the first campaign gives a person what is decided, beside the prices of its slots;
    /// `None` for whom nothing was read.
    pub fn explain(
        &self,
        key: &RecipientKey,
        decided: &Delivery,
        slots: &[SlotLoad],
    ) -> Option<Explanation> {
        let chosen = &self.tasks.first()?.chosen;
        let person = chosen.iter().position(|index| self.people.recipients[*index].key == *key)?;
        Some(self.ask(|setting, carrier, requests| {
            plan::explain(setting, carrier, &requests[0], person, (decided, slots))
        }))
    }
}
