//! One campaign's plan as it is stored, and in figures that people can read.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Timelike};
use chrono_tz::Tz;
use serde::Serialize;

use super::PlanScope;
use super::record::{Expected, Record};
use crate::calendar::zone;
use crate::learn::experiment;
use crate::model::delivery::{Arm, Delivery};
use crate::model::ids::Name;
use crate::model::slot::SlotLength;
use crate::model::time::{Instant, hour_of};
use crate::plan::{BindingLimit, Plan};
use crate::store::{CampaignRow, PlanSlotRow, StoreError, Term};
use crate::work::Ctx;

/// Rows in one transaction, so that a daemon beside does not wait long.
const WRITE_ROWS: usize = 20_000;

/// One campaign's new plan.
pub struct CampaignPlan {
    /// The campaign.
    pub row: CampaignRow,
    /// Whom it decides about, by index in [`PlanInputs::people`](super::PlanInputs::people).
    pub chosen: Vec<usize>,
    /// The plan, with a delivery for each of them.
    pub plan: Plan,
    /// The zones of the chosen.
    pub zones: Vec<Tz>,
    /// Whether it decides about everybody.
    pub scope: PlanScope,
    /// When what it is made of was read.
    pub read_at: Instant,
    /// How right forecasts were.
    pub record: Record,
    /// Of its slots.
    pub length: SlotLength,
    /// Of what it spends, where prices are known.
    pub currency: Option<String>,
    /// Messages whose price nobody could confirm, by country.
    pub unconfirmed: BTreeMap<String, u64>,
}

impl CampaignPlan {
    pub(super) async fn store(
        &self,
        ctx: &Ctx,
        term: &Term,
        model: Option<i64>,
    ) -> Result<(), StoreError> {
        let now = ctx.clock.now();
        for chunk in self.plan.deliveries.chunks(WRITE_ROWS) {
            let mut tx = ctx.store.begin().await?;
            tx.hold_term(term).await?;
            tx.put_decisions(self.row.id, chunk, self.length, now).await?;
            tx.commit().await?;
        }
        self.keep_to_the_hour(ctx, term).await?;
        if self.scope == PlanScope::Undecided {
            // what the campaign's plan was worth stays as it was told
            return Ok(());
        }
        let slots = self.plan.slots.iter().map(|slot| PlanSlotRow {
            start: slot.slot.start(self.length),
            capacity: slot.capacity.map(u64::from),
            reserved: u64::from(slot.reserved),
            planned: u64::from(slot.planned),
            price: slot.price,
        });
        let slots: Vec<PlanSlotRow> = slots.collect();
        let summary = serde_json::to_string(&self.summary()).unwrap_or_default();
        let mut tx = ctx.store.begin().await?;
        tx.hold_term(term).await?;
        tx.set_campaign_plan(self.row.id, now, model, &summary, &slots).await?;
        tx.commit().await
    }

    /// Where an hour began while the plan was made, messages of the plan before may have gone out in
    /// it meanwhile, which the plan did not know of: what is too much of it now is decided anew.
    async fn keep_to_the_hour(&self, ctx: &Ctx, term: &Term) -> Result<(), StoreError> {
        let now = ctx.clock.now();
        let Some(most) = self.row.campaign.capacity.per_hour else { return Ok(()) };
        let hour = hour_of(now);
        if hour <= self.read_at {
            return Ok(());
        }
        let mut tx = ctx.store.begin().await?;
        tx.hold_term(term).await?;
        let hour = (hour, hour + TimeDelta::hours(1));
        let moved = tx.reopen_surplus(self.row.id, hour, u64::from(most), now).await?;
        tx.commit().await?;
        if moved > 0 {
            let campaign = &self.row.campaign.name;
            tracing::info!(%campaign, moved, "what the hour does not hold gets a new decision");
        }
        Ok(())
    }

    /// The plan in figures.
    pub fn summary(&self) -> Summary {
        let mut by_local_hour = [0; 24];
        let mut refused: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (delivery, tz) in self.plan.deliveries.iter().zip(&self.zones) {
            match &delivery.choice {
                Some(choice) => {
                    by_local_hour[zone::local(choice.send_at, *tz).hour() as usize] += 1;
                }
                None => *refused.entry(delivery.reason.as_str()).or_default() += 1,
            }
        }
        let (certificate, forecast) = (self.plan.certificate, self.plan.forecast);
        Summary {
            campaign: self.row.campaign.name.clone(),
            people: self.plan.deliveries.len() as u64,
            planned: by_local_hour.iter().sum(),
            refused,
            value: certificate.value,
            bound: certificate.bound,
            gap: certificate.gap(),
            certificate: CertificateScope {
                covers: certificate.covers().to_owned(),
                campaigns: certificate.campaigns,
                relaxed: certificate.relaxed().into_iter().map(str::to_owned).collect(),
                slots_closed: certificate.slots_closed,
                statement: certificate.statement(),
            },
            expected: self.record.chosen(forecast.engaged),
            personalized: self.record.chosen(forecast.personalized),
            at_control_time: self.record.others(forecast.at_control_time),
            smallest_effect: self.smallest_effect(),
            replies: self.row.campaign.capacity.chats.as_ref().map(|_| forecast.replies),
            spend: self.currency.as_ref().map(|currency| Spend {
                amount: forecast.spend,
                currency: currency.clone(),
                budget: self.row.campaign.budget.as_ref().map(|budget| budget.amount),
                unconfirmed: self.unconfirmed.clone(),
            }),
            binding: self.plan.binding.clone(),
            last_send_at: self.plan.deliveries.iter().filter_map(send_at).max(),
            by_local_hour,
            by_hour: self.by_hour(),
        }
    }

    /// The smallest difference of the personalized arm and control that these people can show.
    fn smallest_effect(&self) -> Option<SmallestEffect> {
        const DAYS_MAX: i64 = 60;
        let of = |arm| self.plan.deliveries.iter().filter(move |d| d.arm == Some(arm));
        let people = [Arm::Personalized, Arm::Control].map(|arm| of(arm).count() as u64);
        let chance = |delivery: &Delivery| delivery.choice.as_ref().map_or(0.0, |c| c.chance);
        let engagement = of(Arm::Control).map(chance).sum::<f64>() / people[1].max(1) as f64;
        let window = self.row.campaign.window;
        let days = (window.end - window.start).num_days().clamp(0, DAYS_MAX) as usize + 1;
        let effect = experiment::smallest_effect(people, engagement, days)?;
        Some(SmallestEffect {
            personalized: people[0],
            control: people[1],
            engagement,
            effect,
            power: experiment::POWER,
            alpha: experiment::ALPHA,
        })
    }

    /// What each UTC hour takes, where anything is planned or reserved.
    fn by_hour(&self) -> Vec<HourLoad> {
        let mut hours: BTreeMap<Instant, HourLoad> = BTreeMap::new();
        for slot in &self.plan.slots {
            let start = hour_of(slot.slot.start(self.length));
            let empty = HourLoad { start, capacity: None, reserved: 0, planned: 0, price: 0.0 };
            let hour = hours.entry(start).or_insert(empty);
            hour.planned += u64::from(slot.planned);
            hour.reserved += u64::from(slot.reserved);
            hour.price = hour.price.max(slot.price);
            if let Some(most) = slot.capacity {
                *hour.capacity.get_or_insert(0) += u64::from(most);
            }
        }
        // the campaign's own bound is on the hour, whatever the slots
        if let Some(most) = self.row.campaign.capacity.per_hour.map(u64::from) {
            for hour in hours.values_mut() {
                hour.capacity = Some(hour.capacity.map_or(most, |capacity| capacity.min(most)));
            }
        }
        hours.into_values().filter(|hour| hour.planned + hour.reserved > 0).collect()
    }
}

fn send_at(delivery: &Delivery) -> Option<Instant> {
    delivery.choice.as_ref().map(|choice| choice.send_at)
}

/// A plan in figures.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Summary {
    /// The campaign.
    pub campaign: Name,
    /// People decided about.
    pub people: u64,
    /// Of them planned.
    pub planned: u64,
    /// Of them refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Value of the personalized part.
    pub value: f64,
    /// No plan of what the certificate covers is worth more.
    pub bound: f64,
    /// What may be missing, as a share of the bound.
    pub gap: f64,
    /// What value, bound and gap are of.
    pub certificate: CertificateScope,
    /// Expected engagements.
    pub expected: Expected,
    /// Of those of the personalized who could be written to at the control time.
    pub personalized: Expected,
    /// Of the same people at the control time.
    pub at_control_time: Expected,
    /// Where there is a control arm.
    pub smallest_effect: Option<SmallestEffect>,
    /// Expected replies, where agents bound them.
    pub replies: Option<f64>,
    /// Expected spend, where prices are known.
    pub spend: Option<Spend>,
    /// Limits that hold the plan back, the dearest first.
    pub binding: Vec<BindingLimit>,
    /// When the last message leaves.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_send_at: Option<Instant>,
    /// Planned messages by hour of the recipients' own clocks.
    pub by_local_hour: [u64; 24],
    /// The same by UTC hour, against capacity.
    pub by_hour: Vec<HourLoad>,
}

/// What an experiment with so many people can show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SmallestEffect {
    /// People of the personalized arm.
    pub personalized: u64,
    /// People of control.
    pub control: u64,
    /// The share of control that is expected to engage.
    pub engagement: f64,
    /// A difference of shares as large as this is found with the given power.
    pub effect: f64,
    /// How often it is found.
    pub power: f64,
    /// How often a difference is found where there is none.
    pub alpha: f64,
}

/// What a plan's value, bound and gap are of.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CertificateScope {
    /// `personalized_arm` or `all_messages`.
    pub covers: String,
    /// Campaigns that were planned jointly, over which value and bound are summed.
    pub campaigns: u32,
    /// Limits that the bound takes less strictly than the plan: `whole_messages` where it may split a
    /// message between slots, `caps_between_campaigns` where it leaves those out.
    pub relaxed: Vec<String>,
    /// Slots that were closed by rule, since their replies would come outside agents' hours.
    pub slots_closed: u32,
    /// The same in sentences.
    pub statement: String,
}

/// What a plan is expected to cost.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Spend {
    /// In `currency`.
    pub amount: f64,
    /// ISO 4217.
    pub currency: String,
    /// What the campaign may spend.
    pub budget: Option<f64>,
    /// Messages whose price the tariff is not sure of, by country.
    pub unconfirmed: BTreeMap<String, u64>,
}

impl Spend {
    /// Which prices nobody could confirm, in a sentence; `None` where all are sure.
    pub fn doubt(&self) -> Option<String> {
        let of = |(country, messages): (&String, &u64)| format!("{country} {messages}");
        let listed: Vec<String> = self.unconfirmed.iter().map(of).collect();
        (!listed.is_empty()).then(|| {
            format!("Prices that nobody could confirm, messages by country: {}.", listed.join(", "))
        })
    }
}

/// One UTC hour of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HourLoad {
    /// Its first moment.
    #[schema(value_type = String, format = DateTime)]
    pub start: Instant,
    /// Messages that it can take; `None` without bound.
    pub capacity: Option<u64>,
    /// Taken before this plan.
    pub reserved: u64,
    /// Taken by it.
    pub planned: u64,
    /// What one more message in its dearest slot would be worth.
    pub price: f64,
}

/// A delivery's local time, as exports show it.
pub fn local_time(delivery: &Delivery, tz: Tz) -> Option<chrono::NaiveDateTime> {
    delivery.choice.as_ref().map(|choice| zone::local(choice.send_at, tz))
}
