//! The desk: everything that plans of one provider are made of, read once, and the questions that
//! the planner is asked with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono_tz::Tz;

use super::PlanError;
use super::draft::Draft;
use super::record::Record;
use super::taken::{self, ExpectedCost, bookings, is_forbidden};
use super::{Ctx, Extent};
use crate::calendar::infer::{Inferred, dialling_country, infer, place_of};
use crate::calendar::rules::Rules;
use crate::config::{Config, ProviderConfig};
use crate::model::campaign::Campaign;
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::frequency::{Cap, Taken};
use crate::model::ids::{Name, RecipientId, RecipientKey};
use crate::model::preference::{Preference, ReplyDelays};
use crate::model::slot::Slot;
use crate::model::time::Instant;
use crate::plan::{
    self, AudienceMember, Booking, Carrier, Explanation, Replan, Request, Setting, SlotLoad,
};
use crate::store::{CampaignRow, DeliveryRow, StoreError};
use crate::work::audience::AudienceFilter;
use crate::work::habits::evidence_of;
use crate::work::holdout;
use crate::work::learn::{InUse, LearnError, People};
use crate::work::{Judge, channel};

/// Of every plan: the same inputs give the same plan.
const SEED: u64 = 1;

/// Everything that plans of one provider are made of.
pub struct Desk {
    now: Instant,
    config: Arc<Config>,
    rules: Arc<Rules>,
    /// Everybody who may be decided about.
    pub people: People,
    /// Whether they are few among many.
    is_brief: bool,
    places: Vec<Option<Inferred>>,
    model: InUse,
    judge: Option<Arc<dyn Judge>>,
    jobs: Vec<Job>,
    /// What other campaigns of the provider have taken.
    booked: Vec<(Slot, u32)>,
    /// Other messages to each person, where there are caps.
    pub(super) taken: HashMap<RecipientId, Vec<Taken>>,
    /// Whom the channel does not reach.
    pub(super) suppressed: HashMap<RecipientId, String>,
    /// Until when the provider as a whole asked to wait.
    paused: Option<Instant>,
}

struct Job {
    row: CampaignRow,
    extent: Extent,
    /// How right forecasts were of campaigns with its goal.
    record: Record,
    /// Whom to decide about, by index in `people`.
    chosen: Vec<usize>,
    replans: Vec<Option<Replan>>,
    booked: Vec<Booking>,
    /// Whom the provider asked to leave alone.
    waits: HashMap<RecipientId, Instant>,
    /// Who has the same address as somebody else who gets the message.
    doubles: HashSet<RecipientId>,
}

impl Desk {
    /// Reads what plans of the campaigns are made of; all must have the same provider.
    pub async fn open(ctx: &Ctx, rows: Vec<(CampaignRow, Extent)>) -> Result<Self, PlanError> {
        let mut known = Vec::with_capacity(rows.len());
        for (row, extent) in rows {
            let row = channel::with_parked(&mut ctx.store.read().await?, row).await?;
            let found = Known::read(ctx, &row, extent).await?;
            known.push((row, extent, found));
        }
        let is_brief = known.iter().all(|(_, _, found)| found.is_brief);
        let people = if is_brief {
            let ids = known.iter().flat_map(|(_, _, found)| &found.rows);
            some_people(ctx, ids.map(|row| row.delivery.recipient).collect()).await?
        } else {
            People::load(ctx).await?
        };
        let mut desk = Self::empty(ctx, people, is_brief).await?;
        if let Some((row, ..)) = known.first() {
            desk.read_suppressed(ctx, &row.campaign.provider).await?;
        }
        for (row, extent, found) in known {
            let waits = taken::waits(ctx, &row.campaign).await?;
            // a decision about a few leaves the campaign's forecast as it was told
            let record = match extent {
                Extent::Everybody => Record::read(ctx, row.id, &row.campaign).await?,
                Extent::Undecided => Record::default(),
            };
            let job = desk.job(row, &found, extent, waits);
            desk.jobs.push(Job { record, ..job });
        }
        desk.read_taken(ctx).await?;
        Ok(desk)
    }

    /// Reads what one person's part of a campaign's plan was made of at `then`.
    pub(super) async fn of_one(
        ctx: &Ctx,
        row: CampaignRow,
        recipient: RecipientId,
        then: Instant,
    ) -> Result<Self, PlanError> {
        let row = channel::with_parked(&mut ctx.store.read().await?, row).await?;
        let people = some_people(ctx, vec![recipient]).await?;
        let waits = taken::waits(ctx, &row.campaign).await?;
        let mut desk = Self::empty(ctx, people, true).await?;
        desk.now = then;
        desk.read_suppressed(ctx, &row.campaign.provider).await?;
        desk.jobs.push(Job {
            row,
            extent: Extent::Everybody,
            record: Record::default(),
            chosen: (0..desk.people.recipients.len()).collect(),
            replans: vec![None; desk.people.recipients.len()],
            booked: Vec::new(),
            waits,
            doubles: HashSet::new(),
        });
        desk.read_taken(ctx).await?;
        Ok(desk)
    }

    async fn empty(ctx: &Ctx, people: People, is_brief: bool) -> Result<Self, PlanError> {
        let place = |r: &crate::model::recipient::Recipient| {
            infer(r.profile.country.as_ref(), r.profile.address.as_ref())
        };
        let places = people.recipients.iter().map(place).collect();
        Ok(Self {
            now: ctx.clock.now(),
            config: Arc::clone(&ctx.config),
            rules: Arc::clone(&ctx.rules),
            people,
            is_brief,
            places,
            model: InUse::load(ctx).await?,
            judge: ctx.judge.clone(),
            jobs: Vec::new(),
            booked: Vec::new(),
            taken: HashMap::new(),
            suppressed: HashMap::new(),
            paused: None,
        })
    }

    /// Whom the channel does not reach.
    async fn read_suppressed(&mut self, ctx: &Ctx, provider: &Name) -> Result<(), StoreError> {
        let people: Vec<RecipientId> = self.people.recipients.iter().map(|r| r.id).collect();
        let people = self.is_brief.then_some(people.as_slice());
        self.suppressed = ctx.store.read().await?.suppressed(provider, people).await?;
        Ok(())
    }

    /// What others have taken of the provider and of people's patience. What was sent to an address
    /// counts for everybody who has it.
    async fn read_taken(&mut self, ctx: &Ctx) -> Result<(), StoreError> {
        let Some(first) = self.jobs.first() else { return Ok(()) };
        let provider = first.row.campaign.provider.clone();
        self.paused = ctx.store.read().await?.paused_until(&provider, self.now).await?;
        let decided: BTreeMap<i64, HashSet<RecipientId>> = (self.jobs.iter())
            .map(|job| {
                let ids = job.chosen.iter().map(|index| self.people.recipients[*index].id);
                (job.row.id, ids.collect())
            })
            .collect();
        let own = self.jobs.iter().flat_map(|job| &job.row.campaign.frequency);
        let caps: Vec<Cap> = self.config.frequency.iter().chain(own).copied().collect();
        let people: Vec<RecipientId> = self.people.recipients.iter().map(|r| r.id).collect();
        let people = self.is_brief.then_some(people.as_slice());
        self.taken = taken::messages(ctx, &caps, &decided, people).await?;
        self.share_taken();
        let (length, since) = (self.config.slot_length, taken::since(self.now));
        let found = ctx.store.read().await?.open_campaigns().await?.rows;
        for other in found {
            if decided.contains_key(&other.id) || other.campaign.provider != provider {
                continue;
            }
            let counts = ctx.store.read().await?.slot_counts(other.id, length, since).await?;
            self.booked.extend(counts.into_iter().map(|count| (count.slot, count.messages)));
        }
        Ok(())
    }

    fn job(
        &self,
        row: CampaignRow,
        found: &Known,
        extent: Extent,
        waits: HashMap<RecipientId, Instant>,
    ) -> Job {
        let audience = AudienceFilter::of(&row.campaign);
        let (mut chosen, mut replans) = (Vec::new(), Vec::new());
        for (index, recipient) in self.people.recipients.iter().enumerate() {
            let known = found.of(recipient.id);
            let wanted = match (known, extent) {
                (Some(known), _) => is_open(known, extent),
                (None, Extent::Everybody) => audience.holds(recipient, self.places[index].as_ref()),
                (None, Extent::Undecided) => false,
            };
            if wanted {
                chosen.push(index);
                replans.push(known.and_then(|found| self.replan(found)));
            }
        }
        let stay = found.rows.iter().filter(|found| !is_open(found, extent));
        let load = |found: &DeliveryRow| self.load(&row.campaign, found);
        let mut booked = bookings(stay, self.config.slot_length, load);
        booked.extend_from_slice(&found.booked);
        drop(audience);
        let record = Record::default();
        let doubles = self.doubles(&row.campaign, found, extent, &chosen);
        Job { row, extent, record, chosen, replans, booked, waits, doubles }
    }

    /// What a message that stays is expected to bring and cost.
    fn load(&self, campaign: &Campaign, found: &DeliveryRow) -> ExpectedCost {
        let id = found.delivery.recipient;
        let index = self.people.recipients.binary_search_by_key(&id, |recipient| recipient.id);
        let (Ok(index), Some(choice)) = (index, &found.delivery.choice) else {
            return ExpectedCost::default();
        };
        let reply = if campaign.capacity.chats.is_some() {
            let content = &campaign.variants[usize::from(choice.variant_index)].content;
            self.preference(index).reply_chance(content)
        } else {
            0.0
        };
        ExpectedCost { reply: f64::from(reply), price: self.price(campaign, index) }
    }

    fn replan(&self, found: &DeliveryRow) -> Option<Replan> {
        let reason = found.delivery.reason;
        matches!(reason, Reason::MovedLate | Reason::MovedThrottled)
            .then(|| Replan { reason, from: found.not_before.unwrap_or(self.now) })
    }

    pub(super) fn provider(&self, campaign: &Campaign) -> Option<&ProviderConfig> {
        self.config.providers.get(&campaign.provider)
    }

    /// What a message to a person costs; providers charge by the number's country.
    fn price(&self, campaign: &Campaign, index: usize) -> f64 {
        let tariff = self.provider(campaign).and_then(|provider| provider.tariff.as_ref());
        tariff.map_or(0.0, |tariff| {
            let profile = &self.people.recipients[index].profile;
            let dialled = profile.address.as_ref().and_then(dialling_country);
            let place = self.places[index].as_ref().map(|place| &place.country);
            let country = dialled.as_ref().or(profile.country.as_ref()).or(place);
            tariff.price(country, campaign.category)
        })
    }

    /// The version of the habits that it plans with.
    pub fn model_version(&self) -> Option<i64> {
        self.model.version
    }

    /// The habits that a campaign's plan goes by.
    fn judged(&self, campaign: &Campaign, index: usize) -> Preference {
        let Some(judge) = &self.judge else {
            return self.preference(index).in_category(campaign.category);
        };
        let subject = self.people.subject(index, self.config.time_zone);
        judge.preference(campaign, &self.people.recipients[index], &subject)
    }

    fn preference(&self, index: usize) -> Preference {
        self.model.preference(&self.people.subject(index, self.config.time_zone))
    }

    fn zone(&self, index: usize) -> Tz {
        self.people.recipients[index].profile.zone.map_or(self.config.time_zone, |zone| zone.tz)
    }

    fn person(&self, job: &Job, index: usize, replan: Option<Replan>) -> AudienceMember<'_> {
        let recipient = &self.people.recipients[index];
        let profile = &recipient.profile;
        let place = self.places[index].as_ref();
        let campaign = &job.row.campaign;
        let provider = self.provider(campaign);
        AudienceMember {
            id: recipient.id,
            key: &recipient.key,
            zone: self.zone(index),
            // a given code that names no country has given way to the number's
            country: place.map(|place| &place.country),
            region: place.and_then(|place| place.region),
            number: (profile.address.as_ref().and_then(place_of))
                .map(|place| (&place.country, place.region)),
            locale: profile.locale.as_ref(),
            attributes: &profile.attributes,
            consented: recipient.consented,
            has_address: profile.address.is_some(),
            suppressed: self.suppressed.contains_key(&recipient.id),
            held_out: holdout::holds(&self.config, campaign, &recipient.key, self.now),
            shares_address: job.doubles.contains(&recipient.id),
            bad_address: provider.is_some_and(|provider| {
                let channel = provider.kind.channel();
                profile.address.as_ref().is_some_and(|address| !address.is_good_for(channel))
            }),
            forbidden: provider.is_some_and(|p| is_forbidden(p, campaign, profile)),
            not_before: job.waits.get(&recipient.id).copied().max(self.paused),
            price: self.price(campaign, index),
            taken: self.taken.get(&recipient.id).map_or(&[], Vec::as_slice),
            replan,
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
            caps: &self.config.frequency,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let provider = self.jobs.first().and_then(|job| self.provider(&job.row.campaign));
        let carrier = Carrier {
            channel: provider.map_or("", |provider| provider.kind.channel()),
            per_second: provider.and_then(|p| p.limits.per_second).map(f64::from),
            unique_per_day: provider.and_then(|p| p.limits.unique_per_day),
            booked: &self.booked,
        };
        let people = |job: &Job| -> Vec<AudienceMember<'_>> {
            let chosen = job.chosen.iter().zip(&job.replans);
            chosen.map(|(index, replan)| self.person(job, *index, *replan)).collect()
        };
        let people: Vec<Vec<AudienceMember<'_>>> = self.jobs.iter().map(people).collect();
        let habits: Vec<_> = (self.jobs.iter())
            .map(|job| |index: usize| self.judged(&job.row.campaign, job.chosen[index]))
            .collect();
        let answers = |job: &Job| job.row.campaign.capacity.chats.is_some();
        let reply_delays = if self.jobs.iter().any(answers) {
            self.model.reply_delays()
        } else {
            ReplyDelays::default()
        };
        let requests: Vec<Request<'_>> = (self.jobs.iter().zip(&people).zip(&habits))
            .map(|((job, people), preference)| Request {
                campaign: &job.row.campaign,
                people,
                preference,
                booked: &job.booked,
                reply_delays: &reply_delays,
            })
            .collect();
        ask(&setting, &carrier, &requests)
    }

    /// Plans; touches no store.
    pub async fn draft(self) -> Result<(Self, Vec<Draft>), PlanError> {
        let work = move || {
            let plans = self.ask(plan::plan);
            let drafts = self.jobs.iter().zip(plans).map(|(job, plan)| {
                let provider = self.provider(&job.row.campaign);
                Draft {
                    row: job.row.clone(),
                    chosen: job.chosen.clone(),
                    extent: job.extent,
                    read_at: self.now,
                    record: job.record,
                    zones: job.chosen.iter().map(|index| self.zone(*index)).collect(),
                    plan,
                    length: self.config.slot_length,
                    currency: provider
                        .and_then(|p| p.tariff.as_ref())
                        .map(|tariff| tariff.currency.clone()),
                }
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

    /// Why the first campaign gives a person what is decided, beside the prices of its slots;
    /// `None` for whom the desk was not opened.
    pub fn explain(
        &self,
        key: &RecipientKey,
        decided: &Delivery,
        slots: &[SlotLoad],
    ) -> Option<Explanation> {
        let chosen = &self.jobs.first()?.chosen;
        let person = chosen.iter().position(|index| self.people.recipients[*index].key == *key)?;
        Some(self.ask(|setting, carrier, requests| {
            plan::explain(setting, carrier, &requests[0], person, (decided, slots))
        }))
    }
}

/// What is stored of a campaign's people.
pub(super) struct Known {
    /// In the order of their numbers.
    pub(super) rows: Vec<DeliveryRow>,
    /// Whether those alone are among them who are to be decided about.
    is_brief: bool,
    /// What everybody else has taken.
    booked: Vec<Booking>,
}

impl Known {
    async fn read(ctx: &Ctx, row: &CampaignRow, extent: Extent) -> Result<Self, StoreError> {
        let length = ctx.config.slot_length;
        let limited = row.campaign.capacity.chats.is_some() || row.campaign.budget.is_some();
        if extent == Extent::Everybody || limited {
            let rows = ctx.store.read().await?.deliveries(row.id, length).await?;
            return Ok(Self { rows, is_brief: false, booked: Vec::new() });
        }
        let rows = ctx.store.read().await?.undecided(row.id, length).await?;
        let since = taken::since(ctx.clock.now());
        let counts = ctx.store.read().await?.slot_counts(row.id, length, since).await?;
        let booked = counts.into_iter().map(|count| Booking {
            slot: count.slot,
            arm: count.arm,
            messages: count.messages,
            replies: 0.0,
            spend: 0.0,
        });
        Ok(Self { rows, is_brief: true, booked: booked.collect() })
    }

    fn of(&self, recipient: RecipientId) -> Option<&DeliveryRow> {
        let at = self.rows.binary_search_by_key(&recipient, |found| found.delivery.recipient);
        at.ok().map(|at| &self.rows[at])
    }
}

/// Whether a stored row is to be decided about anew.
pub(super) fn is_open(found: &DeliveryRow, extent: Extent) -> bool {
    let delivery = &found.delivery;
    let untried = matches!(delivery.state, State::Planned | State::Refused) && found.attempts == 0;
    found.is_undecided() || extent == Extent::Everybody && untried
}

/// The people with the numbers, and their evidence.
async fn some_people(ctx: &Ctx, mut ids: Vec<RecipientId>) -> Result<People, LearnError> {
    ids.sort_unstable();
    ids.dedup();
    let mut tx = ctx.store.begin().await?;
    let mut found = tx.recipients(&ids).await?;
    tx.commit().await?;
    let (mut read, _) = evidence_of(&ctx.store, &ids).await?;
    let (mut recipients, mut evidence) = (Vec::new(), Vec::new());
    for id in ids {
        let Some(recipient) = found.remove(&id) else { continue };
        recipients.push(recipient);
        evidence.push(read.remove(&id).unwrap_or_default());
    }
    Ok(People { recipients, evidence })
}
