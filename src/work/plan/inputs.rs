//! The inputs: everything that plans of one provider are made of, read once, and the questions that
//! the planner is asked with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono_tz::Tz;

use super::PlanError;
use super::campaign_plan::CampaignPlan;
use super::prices::CampaignPrices;
use super::record::Record;
use super::stored::{StoredPeople, WrittenAbout, is_open, occasions, some_people};
use super::taken::{self, ExpectedCost, bookings, is_forbidden};
use super::{Ctx, PlanScope};
use crate::calendar::infer::{Inferred, infer, place_of};
use crate::calendar::rules::Rules;
use crate::config::{Config, ProviderConfig};
use crate::model::campaign::Campaign;
use crate::model::content::Category;
use crate::model::delivery::{Delivery, Reason};
use crate::model::frequency::{RecentSend, reach};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::preference::{Fatigue, Preference, ReplyDelays};
use crate::model::slot::Slot;
use crate::model::time::Instant;
use crate::plan::{
    self, AudienceMember, Booking, Carrier, Explanation, Plan, Replan, Request, Setting, SlotLoad,
};
use crate::store::{CampaignRow, DeliveryRow, StoreError};
use crate::work::addresses::address_with;
use crate::work::audience::AudienceFilter;
use crate::work::holdout;
use crate::work::learn::{ActiveModel, People};
use crate::work::routes::{ChannelRights, cut, subject};
use crate::work::{PreferenceOverride, channel};

/// Of every plan: the same inputs give the same plan.
const SEED: u64 = 1;

/// Everything that plans of one provider are made of.
pub struct PlanInputs {
    now: Instant,
    config: Arc<Config>,
    rules: Arc<Rules>,
    /// Everybody who may be decided about.
    pub people: People,
    /// Whether they are few among many.
    is_brief: bool,
    places: Vec<Option<Inferred>>,
    model: ActiveModel,
    preference_override: Option<Arc<dyn PreferenceOverride>>,
    tasks: Vec<PlanningTask>,
    /// What other campaigns of the provider have taken.
    booked: Vec<(Slot, u32)>,
    /// Other messages to each person, where there are caps.
    pub(super) taken: HashMap<RecipientId, Vec<RecentSend>>,
    /// Whom the channel does not reach.
    pub(super) suppressed: HashMap<RecipientId, String>,
    /// By which rights people may be written to, where the channel asks for one.
    rights: ChannelRights,
    /// Who asked for no marketing, until when.
    asked_to_wait: HashMap<RecipientId, Instant>,
    /// Until when the provider as a whole asked to wait.
    paused: Option<Instant>,
}

/// Whom the provider asked to leave alone, until when.
type Waits = HashMap<RecipientId, Instant>;
/// Of a run to which people come one by one: what each is written about.
type Occasions = HashMap<RecipientId, WrittenAbout>;

struct PlanningTask {
    row: CampaignRow,
    scope: PlanScope,
    /// How right forecasts were of campaigns with its goal.
    record: Record,
    /// Whom to decide about, by index in `people`.
    chosen: Vec<usize>,
    replans: Vec<Option<Replan>>,
    booked: Vec<Booking>,
    waits: Waits,
    /// Who has the same address as somebody else who gets the message.
    doubles: HashSet<RecipientId>,
    occasions: Occasions,
}

impl PlanInputs {
    /// Reads what plans of the campaigns are made of; all must have the same provider.
    pub async fn open(ctx: &Ctx, rows: Vec<(CampaignRow, PlanScope)>) -> Result<Self, PlanError> {
        let mut known = Vec::with_capacity(rows.len());
        for (row, scope) in rows {
            let row = channel::with_parked(&mut ctx.store.read().await?, row).await?;
            let found = StoredPeople::read(ctx, &row, scope).await?;
            known.push((row, scope, found));
        }
        let is_brief = known.iter().all(|(_, _, found)| found.is_brief);
        let people = if is_brief {
            let ids = known.iter().flat_map(|(_, _, found)| &found.rows);
            some_people(ctx, ids.map(|row| row.delivery.recipient).collect()).await?
        } else {
            People::load(ctx).await?
        };
        let mut inputs = Self::empty(ctx, people, is_brief).await?;
        if let Some((row, ..)) = known.first() {
            inputs.read_suppressed(ctx, &row.campaign).await?;
        }
        for (row, scope, found) in known {
            let ids: Vec<RecipientId> =
                found.rows.iter().map(|row| row.delivery.recipient).collect();
            let occasions = occasions(ctx, &row, &inputs.people.recipients, &ids).await?;
            let waits = taken::waits(ctx, &row.campaign).await?;
            // a decision about a few leaves the campaign's forecast as it was told
            let record = match scope {
                PlanScope::Everybody => Record::read(ctx, row.id, &row.campaign).await?,
                PlanScope::Undecided => Record::default(),
            };
            // who is decided about already stays of the audience
            let asked: Option<&[RecipientId]> = match scope {
                PlanScope::Everybody if !row.has_occurrences() => None,
                _ => Some(&[]),
            };
            let campaign = Arc::clone(&row.campaign);
            let audience = AudienceFilter::of(ctx, &campaign, asked).await?;
            let task = inputs.task(row, &found, scope, (waits, &audience, occasions));
            inputs.tasks.push(PlanningTask { record, ..task });
        }
        inputs.read_taken(ctx).await?;
        Ok(inputs)
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
        let mut inputs = Self::empty(ctx, people, true).await?;
        inputs.now = then;
        inputs.read_suppressed(ctx, &row.campaign).await?;
        let occasions = occasions(ctx, &row, &inputs.people.recipients, &[recipient]).await?;
        inputs.tasks.push(PlanningTask {
            row,
            occasions,
            scope: PlanScope::Everybody,
            record: Record::default(),
            chosen: (0..inputs.people.recipients.len()).collect(),
            replans: vec![None; inputs.people.recipients.len()],
            booked: Vec::new(),
            waits,
            doubles: HashSet::new(),
        });
        inputs.read_taken(ctx).await?;
        Ok(inputs)
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
            model: ActiveModel::load(ctx).await?,
            preference_override: ctx.preference_override.clone(),
            tasks: Vec::new(),
            booked: Vec::new(),
            taken: HashMap::new(),
            suppressed: HashMap::new(),
            rights: ChannelRights::default(),
            asked_to_wait: HashMap::new(),
            paused: None,
        })
    }

    /// Whom the channel does not reach, who said anything of it alone, and who asked to wait.
    async fn read_suppressed(&mut self, ctx: &Ctx, first: &Campaign) -> Result<(), StoreError> {
        let provider = &first.provider;
        let people: Vec<RecipientId> = self.people.recipients.iter().map(|r| r.id).collect();
        let people = self.is_brief.then_some(people.as_slice());
        let mut reader = ctx.store.read().await?;
        self.suppressed = reader.suppressed(provider, people).await?;
        let mut topic = None;
        if let Some(config) = self.config.providers.get(provider) {
            topic = subject(&config.kind, first);
            self.rights = ChannelRights::read(&mut reader, provider, &config.kind, people).await?;
        }
        let said = reader.provider_consents((provider, topic), people).await?;
        self.asked_to_wait = reader.reply_pauses(people, self.now).await?;
        for recipient in &mut self.people.recipients {
            recipient.consented = said.get(&recipient.id).copied().unwrap_or(recipient.consented);
        }
        Ok(())
    }

    /// What others have taken of the provider and of people's patience. What was sent to an address
    /// counts for everybody who has it.
    async fn read_taken(&mut self, ctx: &Ctx) -> Result<(), StoreError> {
        let Some(first) = self.tasks.first() else { return Ok(()) };
        let provider = first.row.campaign.provider.clone();
        self.paused = ctx.store.read().await?.paused_until(&provider, self.now).await?;
        let decided: BTreeMap<i64, HashSet<RecipientId>> = (self.tasks.iter())
            .map(|task| {
                let ids = task.chosen.iter().map(|index| self.people.recipients[*index].id);
                (task.row.id, ids.collect())
            })
            .collect();
        let own = self.tasks.iter().flat_map(|task| &task.row.campaign.frequency);
        let mut reach = reach(self.config.frequency.iter().chain(own));
        if !self.model.fatigue().is_none() {
            reach = reach.max(Fatigue::SPAN);
        }
        let people: Vec<RecipientId> = self.people.recipients.iter().map(|r| r.id).collect();
        let people = self.is_brief.then_some(people.as_slice());
        self.taken = taken::messages(ctx, reach, &decided, people).await?;
        self.share_taken();
        let (length, since) = (self.config.slot_length, taken::since(self.now));
        let found = ctx.store.read().await?.open_campaigns().await?.rows;
        for other in found {
            let run =
                |task: &PlanningTask| other.parent.is_some() && task.row.parent == other.parent;
            let own = decided.contains_key(&other.id) || self.tasks.iter().any(run);
            if own || other.campaign.provider != provider {
                continue;
            }
            let counts = ctx.store.read().await?.slot_counts(other.id, length, since).await?;
            self.booked.extend(counts.into_iter().map(|count| (count.slot, count.messages)));
        }
        Ok(())
    }

    fn task(
        &self,
        row: CampaignRow,
        found: &StoredPeople,
        scope: PlanScope,
        (waits, audience, occasions): (Waits, &AudienceFilter<'_>, Occasions),
    ) -> PlanningTask {
        let (mut chosen, mut replans) = (Vec::new(), Vec::new());
        for (index, recipient) in self.people.recipients.iter().enumerate() {
            let known = found.of(recipient.id);
            let wanted = match (known, scope) {
                // what is no occasion of the run any more was refused for it
                (Some(known), PlanScope::Everybody) if row.has_occurrences() => {
                    is_open(known, scope) && occasions.contains_key(&recipient.id)
                }
                (Some(known), _) => is_open(known, scope),
                (None, PlanScope::Everybody) => {
                    !row.has_occurrences() && audience.holds(recipient, self.places[index].as_ref())
                }
                (None, PlanScope::Undecided) => false,
            };
            if wanted {
                chosen.push(index);
                replans.push(known.and_then(|found| self.replan(found)));
            }
        }
        let stay = found.rows.iter().filter(|found| !is_open(found, scope));
        let load = |found: &DeliveryRow| self.load(&row.campaign, found);
        let mut booked = bookings(stay.chain(&found.of_runs), self.config.slot_length, load);
        booked.extend_from_slice(&found.booked);
        let record = Record::default();
        let doubles = self.doubles(&row.campaign, found, scope, &chosen);
        PlanningTask { row, scope, record, chosen, replans, booked, waits, doubles, occasions }
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
        ExpectedCost { reply: f64::from(reply), price: found.charged.unwrap_or(choice.price) }
    }

    fn replan(&self, found: &DeliveryRow) -> Option<Replan> {
        let reason = found.delivery.reason;
        matches!(reason, Reason::MovedLate | Reason::MovedThrottled | Reason::AskedToWait)
            .then(|| Replan { reason, from: found.not_before.unwrap_or(self.now) })
    }

    pub(super) fn provider(&self, campaign: &Campaign) -> Option<&ProviderConfig> {
        self.config.providers.get(&campaign.provider)
    }

    fn prices(&self, row: &CampaignRow) -> CampaignPrices<'_> {
        CampaignPrices::of(self.provider(&row.campaign), row, self.now)
    }

    /// Planned messages whose price nobody could confirm, by country.
    fn unconfirmed(&self, task: &PlanningTask, plan: &Plan) -> BTreeMap<String, u64> {
        let (prices, mut unconfirmed) = (self.prices(&task.row), BTreeMap::new());
        let planned = plan.deliveries.iter().zip(&task.chosen).filter(|(d, _)| d.choice.is_some());
        for (_, index) in planned {
            let (price, country) = prices.price(&self.people.recipients[*index].profile);
            if !price.is_confirmed {
                let country = country.map_or("elsewhere".to_owned(), |country| country.to_string());
                *unconfirmed.entry(country).or_default() += 1;
            }
        }
        unconfirmed
    }

    /// The version of the habits that it plans with.
    pub fn model_version(&self) -> Option<i64> {
        self.model.version
    }

    /// The habits that a campaign's plan goes by.
    fn planned_preference(&self, campaign: &Campaign, index: usize) -> Preference {
        let Some(preference_override) = &self.preference_override else {
            return self.preference(index).in_category(campaign.category);
        };
        let subject = self.people.subject(index, self.config.time_zone);
        preference_override.preference(campaign, &self.people.recipients[index], &subject)
    }

    fn preference(&self, index: usize) -> Preference {
        self.model.preference(&self.people.subject(index, self.config.time_zone))
    }

    fn zone(&self, index: usize) -> Tz {
        self.people.recipients[index].profile.zone_or(self.config.time_zone)
    }

    fn person<'a>(
        &'a self,
        (task, prices): (&'a PlanningTask, &CampaignPrices<'_>),
        index: usize,
        replan: Option<Replan>,
    ) -> AudienceMember<'a> {
        let recipient = &self.people.recipients[index];
        let profile = &recipient.profile;
        let place = self.places[index].as_ref();
        let campaign = &task.row.campaign;
        let provider = self.provider(campaign);
        let about = task.occasions.get(&recipient.id);
        let address = match provider {
            Some(provider) => address_with(provider, profile).err(),
            None => profile.address.is_none().then_some(Reason::NoAddress),
        };
        let right = provider.map_or(Ok((None, None)), |of| {
            self.rights.outlook(&of.kind, campaign, recipient.id, self.now)
        });
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
            wishes: &profile.wishes,
            attributes: about.map_or(&profile.attributes, |about| &about.attributes),
            span: cut(about.map(|about| about.span), right.unwrap_or_default()),
            consented: recipient.consented,
            has_address: address != Some(Reason::NoAddress),
            suppressed: self.suppressed.contains_key(&recipient.id),
            held_out: holdout::holds(&self.config, campaign, &recipient.key, self.now),
            shares_address: task.doubles.contains(&recipient.id),
            bad_address: address == Some(Reason::BadAddress),
            forbidden: provider.is_some_and(|p| is_forbidden(p, campaign, profile)),
            permitted: right.is_ok(),
            not_before: task.waits.get(&recipient.id).copied().max(self.paused),
            paused_until: (campaign.category == Category::Marketing)
                .then(|| self.asked_to_wait.get(&recipient.id).copied())
                .flatten(),
            price: prices.price(profile).0.amount,
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
