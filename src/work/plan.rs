//! Preferences become plans: new campaigns are planned whole, and whoever lost a slot gets a new
//! decision.
//!
//! One node plans at a time, by a lease. What is claimed, sent or ended is kept and counts against
//! the limits. A plan is drafted from what is read and stored afterwards; a row that was claimed
//! in between stays as it is.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{TimeDelta, Timelike};
use chrono_tz::Tz;
use serde::Serialize;

use super::audience::Audience;
use super::learn::{InUse, LearnError, People};
use super::{Ctx, Judge, Report, channel};
use crate::calendar::infer::{Inferred, infer};
use crate::calendar::rules::Rules;
use crate::calendar::zone;
use crate::config::Config;
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::ids::{Name, RecipientKey};
use crate::model::slot::Slot;
use crate::model::time::Instant;
use crate::plan::{
    self, Again, Booking, Carrier, Explanation, Person, Plan, Range, Request, Setting,
};
use crate::store::{CampaignRow, CampaignStatus, DeliveryRow, PlanSlotRow, StoreError};

const LEASE_NAME: &str = "plan";
/// Longer than any plan takes.
const LEASE: TimeDelta = TimeDelta::minutes(30);
/// Of every plan: the same inputs give the same plan.
const SEED: u64 = 1;
/// Rows in one transaction, so that a daemon beside does not wait long.
const WRITE_ROWS: usize = 20_000;

/// Why there is no new plan. What was planned before holds.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// People or habits could not be read.
    #[error("could not read what a plan is made of")]
    Read(#[from] LearnError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process is planning.
    #[error("another process is planning in this database")]
    Busy,
    /// The settings have no such provider.
    #[error("campaign {campaign}: the settings have no [provider.{provider}]")]
    NoProvider {
        /// Of this campaign.
        campaign: Name,
        /// Which it names.
        provider: Name,
    },
    /// The planner's thread ended without a word.
    #[error("the planner stopped unexpectedly")]
    Panicked,
}

/// Plans every active campaign that needs it.
pub async fn run(ctx: &Ctx) -> Result<Report, PlanError> {
    let mut needy: BTreeMap<Name, Vec<(CampaignRow, Extent)>> = BTreeMap::new();
    let version = ctx.store.active_version().await?;
    for row in ctx.store.campaigns().await? {
        if row.status != CampaignStatus::Active {
            continue;
        }
        let extent = if row.planned_at.is_none() || row.model != version {
            Extent::Everybody
        } else if ctx.store.undecided_count(row.id).await? > 0 {
            Extent::Undecided
        } else {
            continue;
        };
        needy.entry(row.campaign.provider.clone()).or_default().push((row, extent));
    }
    let mut done = 0;
    for (provider, rows) in needy {
        if !ctx.config.providers.contains_key(&provider) {
            tracing::error!(%provider, "the settings have no such provider; not planned");
            continue;
        }
        match decide(ctx, rows).await {
            Ok(drafts) => {
                done += drafts.iter().map(|draft| draft.plan.deliveries.len()).sum::<usize>();
            }
            Err(PlanError::Busy) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Report { done, ..Report::default() })
}

/// Whom a plan decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The whole audience, without those who are claimed, sent or ended.
    Everybody,
    /// Those who wait for a new decision.
    Undecided,
}

/// Plans campaigns of one provider and stores the plans, under the lease.
pub async fn decide(ctx: &Ctx, rows: Vec<(CampaignRow, Extent)>) -> Result<Vec<Draft>, PlanError> {
    let now = ctx.clock.now();
    if !ctx.store.take_lease(LEASE_NAME, &ctx.node, now, now + LEASE).await? {
        return Err(PlanError::Busy);
    }
    let drafted = async {
        let desk = Desk::open(ctx, rows).await?;
        let (desk, drafts) = desk.draft().await?;
        for draft in &drafts {
            draft.store(ctx, desk.model.version).await?;
        }
        Ok(drafts)
    };
    let drafts = drafted.await;
    ctx.store.drop_lease(LEASE_NAME, &ctx.node).await?;
    drafts
}

/// Everything that plans of one provider are made of.
pub struct Desk {
    now: Instant,
    config: Arc<Config>,
    rules: Arc<Rules>,
    /// Everybody who is known.
    pub people: People,
    places: Vec<Option<Inferred>>,
    model: InUse,
    judge: Option<Arc<dyn Judge>>,
    jobs: Vec<Job>,
    /// What other campaigns of the provider have taken.
    booked: Vec<(Slot, u32)>,
}

struct Job {
    row: CampaignRow,
    /// Whom to decide about, by index in `people`.
    chosen: Vec<usize>,
    again: Vec<Option<Again>>,
    booked: Vec<Booking>,
}

/// One campaign's new plan.
pub struct Draft {
    /// The campaign.
    pub row: CampaignRow,
    /// Whom it decides about, by index in [`Desk::people`].
    pub chosen: Vec<usize>,
    /// The plan, with a delivery for each of them.
    pub plan: Plan,
    /// The zones of the chosen.
    pub zones: Vec<Tz>,
}

impl Desk {
    /// Reads what plans of the campaigns are made of; all must have the same provider.
    pub async fn open(ctx: &Ctx, rows: Vec<(CampaignRow, Extent)>) -> Result<Self, PlanError> {
        let people = People::load(ctx).await?;
        let place = |r: &crate::model::recipient::Recipient| {
            infer(r.profile.country.as_ref(), r.profile.address.as_ref())
        };
        let places = people.recipients.iter().map(place).collect();
        let mut desk = Self {
            now: ctx.clock.now(),
            config: Arc::clone(&ctx.config),
            rules: Arc::clone(&ctx.rules),
            people,
            places,
            model: InUse::load(ctx).await?,
            judge: ctx.judge.clone(),
            jobs: Vec::new(),
            booked: Vec::new(),
        };
        let planned: HashSet<i64> = rows.iter().map(|(row, _)| row.id).collect();
        let provider = rows.first().map(|(row, _)| row.campaign.provider.clone());
        for (row, extent) in rows {
            let row = channel::with_parked(ctx, row).await?;
            let known = ctx.store.deliveries(row.id, ctx.config.slot_length).await?;
            desk.jobs.push(desk.job(row, &known, extent));
        }
        for other in ctx.store.campaigns().await? {
            if planned.contains(&other.id) || Some(&other.campaign.provider) != provider.as_ref() {
                continue;
            }
            let known = ctx.store.deliveries(other.id, ctx.config.slot_length).await?;
            desk.booked
                .extend(bookings(&known, |_| true).into_iter().map(|b| (b.slot, b.messages)));
        }
        Ok(desk)
    }

    fn job(&self, row: CampaignRow, known: &[DeliveryRow], extent: Extent) -> Job {
        let open = |found: &DeliveryRow| match extent {
            Extent::Everybody => {
                matches!(found.delivery.state, State::Planned | State::Refused)
                    && found.attempts == 0
                    || is_undecided(found)
            }
            Extent::Undecided => is_undecided(found),
        };
        let audience = Audience::of(&row.campaign);
        let (mut chosen, mut again) = (Vec::new(), Vec::new());
        for (index, recipient) in self.people.recipients.iter().enumerate() {
            let known = known
                .binary_search_by_key(&recipient.id, |found| found.delivery.recipient)
                .ok()
                .map(|at| &known[at]);
            let wanted = match (known, extent) {
                (Some(found), _) => open(found),
                (None, Extent::Everybody) => audience.holds(recipient, self.places[index].as_ref()),
                (None, Extent::Undecided) => false,
            };
            if wanted {
                chosen.push(index);
                again.push(known.and_then(|found| self.again(found)));
            }
        }
        let booked = bookings(known, |found| !open(found));
        Job { row, chosen, again, booked }
    }

    fn again(&self, found: &DeliveryRow) -> Option<Again> {
        let reason = found.delivery.reason;
        matches!(reason, Reason::MovedLate | Reason::MovedThrottled)
            .then(|| Again { reason, from: found.not_before.unwrap_or(self.now) })
    }

    fn zone(&self, index: usize) -> Tz {
        self.people.recipients[index].profile.zone.map_or(self.config.time_zone, |zone| zone.tz)
    }

    fn person(&self, index: usize, again: Option<Again>) -> Person<'_> {
        let recipient = &self.people.recipients[index];
        let profile = &recipient.profile;
        let place = self.places[index].as_ref();
        Person {
            id: recipient.id,
            key: &recipient.key,
            zone: self.zone(index),
            country: profile.country.as_ref().or(place.map(|place| &place.country)),
            region: place.and_then(|place| place.region),
            locale: profile.locale.as_ref(),
            attributes: &profile.attributes,
            consented: recipient.consented,
            has_address: profile.address.is_some(),
            forbidden: false,
            price: 0.0,
            taken: &[],
            again,
        }
    }

    /// Calls `ask` with the arguments that a plan is a function of.
    fn ask<T>(&self, ask: impl FnOnce(&Setting<'_>, &Carrier<'_>, &[Request<'_>]) -> T) -> T {
        let setting = Setting {
            now: self.now,
            seed: SEED,
            length: self.config.slot_length,
            opt_out_cost: self.config.opt_out_cost,
            zone: self.config.time_zone,
            quiet: self.config.quiet_hours,
            rules: &self.rules,
            caps: &[],
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let provider = self.jobs.first().map(|job| &job.row.campaign.provider);
        let provider = provider.and_then(|name| self.config.providers.get(name));
        let carrier = Carrier {
            channel: provider.map_or("", |provider| provider.kind.channel()),
            per_second: provider.and_then(|p| p.limits.per_second).map(f64::from),
            unique_per_day: None,
            booked: &self.booked,
        };
        let people: Vec<Vec<Person<'_>>> = self
            .jobs
            .iter()
            .map(|job| {
                let chosen = job.chosen.iter().zip(&job.again);
                chosen.map(|(index, again)| self.person(*index, *again)).collect()
            })
            .collect();
        let habits: Vec<_> = self
            .jobs
            .iter()
            .map(|job| {
                |index: usize| {
                    let index = job.chosen[index];
                    let subject = self.people.subject(index, self.config.time_zone);
                    match &self.judge {
                        None => self.model.preference(&subject),
                        Some(judge) => {
                            let recipient = &self.people.recipients[index];
                            judge.preference(&job.row.campaign, recipient, &subject)
                        }
                    }
                }
            })
            .collect();
        let requests: Vec<Request<'_>> = self
            .jobs
            .iter()
            .zip(&people)
            .zip(&habits)
            .map(|((job, people), preference)| Request {
                campaign: &job.row.campaign,
                people,
                preference,
                booked: &job.booked,
                reply_delay: &[],
            })
            .collect();
        ask(&setting, &carrier, &requests)
    }

    /// Plans; touches no store.
    pub async fn draft(self) -> Result<(Self, Vec<Draft>), PlanError> {
        let work = move || {
            let plans = self.ask(plan::plan);
            let drafts = self.jobs.iter().zip(plans).map(|(job, plan)| Draft {
                row: job.row.clone(),
                chosen: job.chosen.clone(),
                zones: job.chosen.iter().map(|index| self.zone(*index)).collect(),
                plan,
            });
            let drafts = drafts.collect();
            (self, drafts)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| PlanError::Panicked)
    }

    /// The value of each allowed slot to each personalized person, with the best variant.
    pub fn each_value(&self, mut each: impl FnMut(&RecipientKey, Slot, f64)) {
        self.ask(|setting, carrier, requests| {
            plan::values(setting, carrier, requests, &mut |request, person, slot, value| {
                let index = self.jobs[request].chosen[person];
                each(&self.people.recipients[index].key, slot, value);
            });
        });
    }

    /// Why the first campaign's plan gives a person what it gives; `None` for whom it does not
    /// decide about.
    pub fn explain(&self, key: &RecipientKey, plan: &Plan) -> Option<Explanation> {
        let chosen = &self.jobs.first()?.chosen;
        let person = chosen.iter().position(|index| self.people.recipients[*index].key == *key)?;
        Some(self.ask(|setting, carrier, requests| {
            plan::explain(setting, carrier, &requests[0], person, plan)
        }))
    }
}

fn is_undecided(found: &DeliveryRow) -> bool {
    found.delivery.state == State::Planned && found.delivery.choice.is_none()
}

/// What the rows that stay have taken of each slot.
fn bookings(rows: &[DeliveryRow], stays: impl Fn(&DeliveryRow) -> bool) -> Vec<Booking> {
    let mut taken: BTreeMap<(Slot, crate::model::delivery::Arm), u32> = BTreeMap::new();
    for row in rows.iter().filter(|row| stays(row)) {
        use State::{Claimed, Held, InDoubt, InDoubtExpired, Planned, Sent};
        let counts = matches!(
            row.delivery.state,
            Planned | Claimed | Held | InDoubt | InDoubtExpired | Sent
        );
        if let (true, Some(choice), Some(arm)) = (counts, &row.delivery.choice, row.delivery.arm) {
            *taken.entry((choice.slot, arm)).or_default() += 1;
        }
    }
    let booking =
        |((slot, arm), messages)| Booking { slot, arm, messages, replies: 0.0, spend: 0.0 };
    taken.into_iter().map(booking).collect()
}

impl Draft {
    async fn store(&self, ctx: &Ctx, model: Option<i64>) -> Result<(), StoreError> {
        let (now, length) = (ctx.clock.now(), ctx.config.slot_length);
        for chunk in self.plan.deliveries.chunks(WRITE_ROWS) {
            let mut tx = ctx.store.begin().await?;
            tx.put_decisions(self.row.id, chunk, length, now).await?;
            tx.commit().await?;
        }
        let slots: Vec<PlanSlotRow> = self
            .plan
            .slots
            .iter()
            .map(|slot| PlanSlotRow {
                start: slot.slot.start(length),
                capacity: slot.capacity.map(u64::from),
                reserved: u64::from(slot.reserved),
                planned: u64::from(slot.planned),
                price: slot.price,
            })
            .collect();
        let summary = serde_json::to_string(&self.summary()).unwrap_or_default();
        let mut tx = ctx.store.begin().await?;
        tx.set_campaign_plan(self.row.id, now, model, &summary, &slots).await?;
        tx.commit().await
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
            expected: forecast.engaged.into(),
            personalized: forecast.personalized.into(),
            at_control_time: forecast.at_control_time.into(),
            by_local_hour,
        }
    }
}

/// A plan in figures.
#[derive(Debug, Clone, Serialize)]
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
    /// No plan under the same limits is worth more.
    pub bound: f64,
    /// What may be missing, as a share of the bound.
    pub gap: f64,
    /// Expected engagements.
    pub expected: Expected,
    /// Of those of the personalized who could be written to at the control time.
    pub personalized: Expected,
    /// Of the same people at the control time.
    pub at_control_time: Expected,
    /// Planned messages by hour of the recipients' own clocks.
    pub by_local_hour: [u64; 24],
}

/// A mean that lies within its bounds nine times in ten.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Expected {
    /// The mean.
    pub mean: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl From<Range> for Expected {
    fn from(range: Range) -> Self {
        Self { mean: range.mean, low: range.low, high: range.high }
    }
}

/// A delivery's local time, as exports show it.
pub fn local_time(delivery: &Delivery, tz: Tz) -> Option<chrono::NaiveDateTime> {
    delivery.choice.as_ref().map(|choice| zone::local(choice.send_at, tz))
}
