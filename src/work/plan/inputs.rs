//! The inputs: everything that plans of one provider are made of, read once, and the questions that
//! the planner is asked with it.

mod questions;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono_tz::Tz;

use super::PlanError;
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
use crate::model::delivery::Reason;
use crate::model::frequency::{RecentSend, reach};
use crate::model::ids::RecipientId;
use crate::model::preference::{Fatigue, Preference};
use crate::model::recipient::Profile;
use crate::model::slot::Slot;
use crate::model::time::Instant;
use crate::plan::{AudienceMember, Booking, Plan, Replan};
use crate::store::{CampaignRow, DeliveryRow, StoreError};
use crate::work::addresses::address_with;
use crate::work::audience::AudienceFilter;
use crate::work::fallbacks::Outlook;
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
    /// What may follow its messages on other channels.
    outlook: Outlook,
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

/// A campaign that leaves room in each hour for the messages that are expected to follow its own.
fn with_room(mut row: CampaignRow, outlook: &Outlook) -> CampaignRow {
    let follow = outlook.messages();
    if let Some(most) = row.campaign.capacity.per_hour.filter(|_| follow > 0.0) {
        let own = (f64::from(most) / (1.0 + follow)).floor().max(1.0);
        Arc::make_mut(&mut row.campaign).capacity.per_hour = Some(own as u32);
    }
    row
}

impl PlanInputs {
    /// Reads what plans of the campaigns are made of; all must have the same provider.
    pub async fn open(ctx: &Ctx, rows: Vec<(CampaignRow, PlanScope)>) -> Result<Self, PlanError> {
        let mut known = Vec::with_capacity(rows.len());
        for (row, scope) in rows {
            let row = channel::with_parked(&mut ctx.store.read().await?, row).await?;
            let found = StoredPeople::read(ctx, &row, scope).await?;
            let outlook = Outlook::read(ctx, &row).await?;
            known.push((with_room(row, &outlook), scope, (found, outlook)));
        }
        let is_brief = known.iter().all(|(_, _, (found, _))| found.is_brief);
        let people = if is_brief {
            let ids = known.iter().flat_map(|(_, _, (found, _))| &found.rows);
            some_people(ctx, ids.map(|row| row.delivery.recipient).collect()).await?
        } else {
            People::load(ctx).await?
        };
        let mut inputs = Self::empty(ctx, people, is_brief).await?;
        for (row, _, (_, outlook)) in &mut known {
            outlook.read_agreed(ctx, &row.campaign, &inputs.people.recipients).await?;
        }
        if let Some((row, ..)) = known.first() {
            inputs.read_suppressed(ctx, &row.campaign).await?;
        }
        for (row, scope, (found, outlook)) in known {
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
            let read = (waits, &audience, occasions, outlook);
            let task = inputs.task(row, &found, scope, read);
            inputs.tasks.push(PlanningTask { record, ..task });
        }
        inputs.read_patience(ctx).await?;
        inputs.read_booked(ctx).await?;
        Ok(inputs)
    }

    /// Reads what one person's part of a campaign's plan was made of at `then`, but for what others have
    /// booked: the prices of slots tell of that.
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
            outlook: Outlook::default(),
            occasions,
            scope: PlanScope::Everybody,
            record: Record::default(),
            chosen: (0..inputs.people.recipients.len()).collect(),
            replans: vec![None; inputs.people.recipients.len()],
            booked: Vec::new(),
            waits,
            doubles: HashSet::new(),
        });
        inputs.read_patience(ctx).await?;
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

    /// The campaigns that are decided about, with whom.
    fn decided(&self) -> BTreeMap<i64, HashSet<RecipientId>> {
        let of_task = |task: &PlanningTask| {
            let ids = task.chosen.iter().map(|index| self.people.recipients[*index].id);
            (task.row.id, ids.collect())
        };
        self.tasks.iter().map(of_task).collect()
    }

    /// What others have taken of people's patience, and the provider's own word. What was sent to an
    /// address counts for everybody who has it.
    async fn read_patience(&mut self, ctx: &Ctx) -> Result<(), StoreError> {
        let Some(first) = self.tasks.first() else { return Ok(()) };
        let provider = &first.row.campaign.provider;
        self.paused = ctx.store.read().await?.paused_until(provider, self.now).await?;
        let decided = self.decided();
        let own = self.tasks.iter().flat_map(|task| &task.row.campaign.frequency);
        let mut reach = reach(self.config.frequency.iter().chain(own));
        if !self.model.fatigue().is_none() {
            reach = reach.max(Fatigue::SPAN);
        }
        let people: Vec<RecipientId> = self.people.recipients.iter().map(|r| r.id).collect();
        let people = self.is_brief.then_some(people.as_slice());
        self.taken = taken::messages(ctx, reach, &decided, people).await?;
        self.share_taken();
        Ok(())
    }

    /// What others have booked of the provider.
    async fn read_booked(&mut self, ctx: &Ctx) -> Result<(), StoreError> {
        let Some(first) = self.tasks.first() else { return Ok(()) };
        let provider = first.row.campaign.provider.clone();
        let decided: HashSet<i64> = self.tasks.iter().map(|task| task.row.id).collect();
        let (length, since) = (self.config.slot_length, taken::since(self.now));
        let found = ctx.store.read().await?.open_campaigns().await?.rows;
        for other in found {
            // what its own family took is booked with it
            let family = |task: &PlanningTask| task.row.root() == other.root();
            let own = decided.contains(&other.id) || self.tasks.iter().any(family);
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
        (waits, audience, occasions, outlook): (Waits, &AudienceFilter<'_>, Occasions, Outlook),
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
                    let consented = recipient.consented || outlook.agreed.contains(&recipient.id);
                    let place = self.places[index].as_ref();
                    !row.has_occurrences() && audience.means(recipient, consented, place)
                }
                (None, PlanScope::Undecided) => false,
            };
            if wanted && !outlook.taken_over.contains(&recipient.id) {
                chosen.push(index);
                replans.push(known.and_then(|found| self.replan(found)));
            }
        }
        let stays = |found: &&DeliveryRow| {
            !is_open(found, scope) || outlook.taken_over.contains(&found.delivery.recipient)
        };
        let stay = found.rows.iter().filter(stays);
        let length = self.config.slot_length;
        let own = |found: &DeliveryRow| self.load(&row, found, Some(&outlook));
        let mut booked = bookings(stay, length, own);
        for (is_carried, rows) in &found.of_family {
            let others = bookings(rows.iter(), length, |found| self.load(&row, found, None));
            booked.extend(others.into_iter().map(|of| Booking { is_carried: *is_carried, ..of }));
        }
        booked.extend_from_slice(&found.booked);
        let record = Record::default();
        let doubles = self.doubles(&row.campaign, found, scope, &chosen);
        PlanningTask {
            row,
            outlook,
            scope,
            record,
            chosen,
            replans,
            booked,
            waits,
            doubles,
            occasions,
        }
    }

    /// What a message that stays is expected to bring and cost, with what may follow it.
    fn load(
        &self,
        row: &CampaignRow,
        found: &DeliveryRow,
        outlook: Option<&Outlook>,
    ) -> ExpectedCost {
        let campaign = &row.campaign;
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
        let owed = outlook.filter(|outlook| outlook.is_owed(id));
        let profile = &self.people.recipients[index].profile;
        let to_follow = owed.map_or(0.0, |outlook| self.fallback_cost(row, outlook, profile));
        let own = found.charged.unwrap_or(choice.price);
        ExpectedCost { reply: f64::from(reply), price: own + to_follow }
    }

    fn replan(&self, found: &DeliveryRow) -> Option<Replan> {
        let reason = found.delivery.reason;
        matches!(reason, Reason::MovedLate | Reason::MovedThrottled | Reason::AskedToWait)
            .then(|| Replan { reason, from: found.not_before.unwrap_or(self.now) })
    }

    pub(super) fn provider(&self, campaign: &Campaign) -> Option<&ProviderConfig> {
        self.config.providers.get(&campaign.provider)
    }

    /// What the fallbacks of a message to a person are expected to cost.
    fn fallback_cost(&self, row: &CampaignRow, outlook: &Outlook, profile: &Profile) -> f64 {
        outlook.cost(|provider| {
            let provider = self.config.providers.get(provider);
            CampaignPrices::of(provider, row, self.now).price(profile).0.amount
        })
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
            fallback_cost: self.fallback_cost(&task.row, &task.outlook, profile),
            taken: self.taken.get(&recipient.id).map_or(&[], Vec::as_slice),
            replan,
        }
    }
}
