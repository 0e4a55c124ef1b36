//! What a replay brought, counted and weighed against the world's own truth.

use std::collections::{BTreeMap, HashMap};

use chrono::Timelike;
use chrono_tz::Tz;
use serde::Serialize;

use super::ReplayError;
use super::faults::Call;
use super::policy::Policy;
use crate::calendar::zone::local;
use crate::model::campaign::Campaign;
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::store::{CampaignRow, ExportRow, StateCount, StoreError};
use crate::work::learn::{ActiveModel, People};
use crate::work::{Ctx, results};
use crate::world::person::Sent;
use crate::world::{Crowd, Whom};

/// What one world under one policy brought.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Who planned.
    pub policy: Policy,
    /// The world.
    pub seed: u64,
    /// By campaign, in the order of submission.
    pub campaigns: Vec<CampaignOutcome>,
    /// Rules that were broken; empty when all is well.
    pub broken: Vec<String>,
    /// Presence by chronotype and of one person, as it was learned; absent before any learning.
    pub weeks: Vec<Week>,
    /// The true chance to reach the goal, summed over what each person was sent, by person.
    #[serde(skip)]
    pub by_person: BTreeMap<String, f64>,
}

/// What one campaign brought.
#[derive(Debug, Clone, Serialize)]
pub struct CampaignOutcome {
    /// Its name.
    pub name: String,
    /// Everybody it was meant for.
    pub audience: u64,
    /// Messages that went out.
    pub sent: u64,
    /// Of them delivered.
    pub delivered: u64,
    /// Of them with the goal reached in time.
    pub engaged: u64,
    /// What the world would bring of the same messages on average.
    pub expected: f64,
    /// What the plans forecast for them.
    pub forecast: f64,
    /// People who opted out in answer.
    pub opted_out: u64,
    /// Seconds between the planned moment and the call.
    pub lateness: Lateness,
    /// Replies in the fullest clock hour, for each agent where there are any.
    pub replies_per_agent_hour: Option<f64>,
    /// The plan's certificate: what may be missing, as a share of the bound.
    pub gap: Option<f64>,
    /// What that is a proof of, in sentences.
    pub certificate: Option<String>,
    /// People by state and reason.
    pub states: Vec<StateCount>,
    /// Messages that went out, by hour of the recipients' own clocks.
    pub by_local_hour: [u64; 24],
    /// Forecast against truth, in five groups by forecast.
    pub calibration: Vec<Calibration>,
    /// The last plan's slots.
    pub load: Vec<Load>,
}

/// Messages whose forecasts are alike.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Calibration {
    /// How many.
    pub messages: u64,
    /// The mean of their forecasts.
    pub forecast: f64,
    /// The mean of their true chances.
    pub chance: f64,
}

/// What the certificate of a stored plan proves, in sentences.
fn certificate_statement(plan: &serde_json::Value) -> Option<String> {
    plan.get("certificate")?.get("statement")?.as_str().map(str::to_owned)
}

/// What a slot took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// Its first moment.
    pub start: Instant,
    /// Messages that it bears; absent: without bound.
    pub capacity: Option<u64>,
    /// Taken by other campaigns, or before this plan.
    pub reserved: u64,
    /// Taken by this plan.
    pub planned: u64,
}

/// A week of presence.
#[derive(Debug, Clone, Serialize)]
pub struct Week {
    /// Whose.
    pub name: String,
    /// How many people it is the mean of.
    pub people: u64,
    /// By hour of the local week; 168 numbers that sum to 1.
    pub presence: Vec<f64>,
}

/// Quantiles of lateness in seconds; up to two minutes of it are the replay's own, whose clock does
/// not stop more often.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Lateness {
    /// Half are later.
    pub median_s: f64,
    /// One in a hundred is later.
    pub p99_s: f64,
    /// None is later.
    pub most_s: f64,
}

/// A campaign that was played, and everybody in it.
pub(crate) type Played = (CampaignRow, Vec<ExportRow>);

/// Everybody of the campaigns that were submitted `since`: of earlier ones, a part was sent before.
pub(crate) async fn played(ctx: &Ctx, since: Instant) -> Result<Vec<Played>, ReplayError> {
    let mut played = Vec::new();
    for row in all_campaigns(ctx).await? {
        if row.submitted_at >= since {
            let mut reader = ctx.store.read().await?;
            let people =
                reader.export_rows(row.id, (None, None), RecipientId(0), usize::MAX >> 1).await?;
            played.push((row, people));
        }
    }
    Ok(played)
}

/// All campaigns of a replay, open or closed, by priority and age.
pub(super) async fn all_campaigns(ctx: &Ctx) -> Result<Vec<CampaignRow>, StoreError> {
    let mut reader = ctx.store.read().await?;
    let mut rows = reader.open_campaigns().await?.rows;
    rows.extend(reader.closed_campaigns(None, usize::MAX >> 1).await?.rows);
    rows.sort_by_key(|row| (std::cmp::Reverse(row.campaign.priority), row.id));
    Ok(rows)
}

/// Adds up what became of campaigns.
pub(crate) async fn of(
    ctx: &Ctx,
    crowd: &dyn Crowd,
    played: &[Played],
    calls: &[Call],
) -> Result<Outcome, ReplayError> {
    let mut sent_to: HashMap<&RecipientKey, Vec<Instant>> = HashMap::new();
    let mut heard: HashMap<(&str, &str), &Call> = HashMap::new();
    for call in calls.iter().filter(|call| call.heard) {
        sent_to.entry(&call.recipient).or_default().push(call.at);
        heard.insert((call.campaign.as_str(), call.recipient.as_str()), call);
    }
    let truth = Truth { crowd, sent_to };
    let (mut outcomes, mut by_person) = (Vec::new(), BTreeMap::new());
    let clock = |r: &Recipient| r.profile.zone_or(ctx.config.time_zone);
    let zones =
        ctx.store.read().await?.everybody().await?.iter().map(|r| (r.id.0, clock(r))).collect();
    for (row, _) in played.iter().filter(|(row, _)| row.parent.is_none()) {
        // what a standing campaign brought is what its runs did
        let its = |(one, _): &&Played| one.id == row.id || one.parent == Some(row.id);
        let of_it: Vec<&Played> = played.iter().filter(its).collect();
        let everybody: Vec<&ExportRow> = of_it.iter().flat_map(|(_, people)| people).collect();
        let mut outcome = counted(ctx, row, &everybody, &zones).await?;
        let mut forecasts = Vec::new();
        for (one, people) in of_it {
            for person in people {
                let sum = by_person.entry(person.key.clone()).or_insert(0.0);
                let sent = (one.campaign.name.as_str(), person.key.as_str());
                let Some(call) = heard.get(&sent) else { continue };
                let chance = truth.chance(&one.campaign, person, call);
                *sum += chance;
                outcome.expected += chance;
                forecasts.extend(person.chance.map(|forecast| (forecast, chance)));
            }
        }
        outcome.calibration = calibration(forecasts);
        outcomes.push(outcome);
    }
    Ok(Outcome {
        policy: Policy::Model,
        seed: 0,
        campaigns: outcomes,
        broken: Vec::new(),
        weeks: weeks(ctx).await?,
        by_person,
    })
}

async fn counted(
    ctx: &Ctx,
    row: &CampaignRow,
    people: &[&ExportRow],
    zones: &HashMap<i64, Tz>,
) -> Result<CampaignOutcome, ReplayError> {
    let results = results::results(ctx, row).await?;
    let sum = |count: fn(&results::ArmResult) -> u64| results.arms.iter().map(count).sum();
    let plan: Option<serde_json::Value> =
        row.plan.as_deref().and_then(|plan| serde_json::from_str(plan).ok());
    let chance = |person: &&ExportRow| person.sent_at.and(person.chance);
    Ok(CampaignOutcome {
        name: row.campaign.name.to_string(),
        audience: results.states.iter().map(|count| count.people).sum(),
        sent: sum(|arm| arm.sent),
        delivered: sum(|arm| arm.delivered),
        engaged: sum(|arm| arm.engaged),
        expected: 0.0,
        forecast: people.iter().filter_map(chance).sum(),
        opted_out: sum(|arm| arm.opted_out),
        lateness: lateness(people),
        replies_per_agent_hour: replies(&row.campaign, people),
        gap: plan.as_ref().and_then(|plan| plan.get("gap")?.as_f64()),
        certificate: plan.as_ref().and_then(certificate_statement),
        states: results.states,
        by_local_hour: by_local_hour(zones, people),
        calibration: Vec::new(),
        load: load(ctx, row).await?,
    })
}

async fn load(ctx: &Ctx, row: &CampaignRow) -> Result<Vec<Load>, ReplayError> {
    let slots = ctx.store.read().await?.plan_slots(row.id).await?;
    let load = |slot: crate::store::PlanSlotRow| Load {
        start: slot.start,
        capacity: slot.capacity,
        reserved: slot.reserved,
        planned: slot.planned,
    };
    Ok(slots.into_iter().map(load).collect())
}

/// Five groups of equal size by forecast, of pairs of forecast and truth.
fn calibration(mut pairs: Vec<(f64, f64)>) -> Vec<Calibration> {
    const GROUPS: usize = 5;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let size = pairs.len().div_ceil(GROUPS).max(1);
    let mean = |group: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        group.iter().map(of).sum::<f64>() / group.len() as f64
    };
    let group = |group: &[(f64, f64)]| Calibration {
        messages: group.len() as u64,
        forecast: mean(group, |pair| pair.0),
        chance: mean(group, |pair| pair.1),
    };
    pairs.chunks(size).map(group).collect()
}

/// The mean week of each chronotype, the largest first, and the week of the person who is known
/// best.
async fn weeks(ctx: &Ctx) -> Result<Vec<Week>, ReplayError> {
    let model = ActiveModel::load(ctx).await?;
    if model.version.is_none() {
        return Ok(Vec::new());
    }
    let people = People::load(ctx).await?;
    let mut sums: BTreeMap<String, (u64, Vec<f64>)> = BTreeMap::new();
    let mut best: Option<(f64, Week)> = None;
    for index in 0..people.recipients.len() {
        let preference = model.preference(&people.subject(index, ctx.config.time_zone));
        let presence = preference.presence().to_vec();
        let sum = sums.entry(preference.chronotype().to_owned());
        let (count, sum) = sum.or_insert_with(|| (0, vec![0.0; presence.len()]));
        *count += 1;
        sum.iter_mut().zip(&presence).for_each(|(sum, share)| *sum += share);
        if best.as_ref().is_none_or(|(evidence, _)| preference.evidence() > *evidence) {
            let name = format!("the week of {}", people.recipients[index].key);
            best = Some((preference.evidence(), Week { name, people: 1, presence }));
        }
    }
    let mean = |(name, (people, sum)): (String, (u64, Vec<f64>))| Week {
        name,
        people,
        presence: sum.into_iter().map(|sum| sum / people as f64).collect(),
    };
    let mut weeks: Vec<Week> = sums.into_iter().map(mean).collect();
    weeks.sort_by_key(|week| std::cmp::Reverse(week.people));
    weeks.extend(best.map(|(_, week)| week));
    Ok(weeks)
}

fn lateness(people: &[&ExportRow]) -> Lateness {
    let late = |person: &&ExportRow| Some((person.sent_at? - person.send_at?) as f64 / 1e6);
    let mut late: Vec<f64> = people.iter().filter_map(late).map(|late| late.max(0.0)).collect();
    late.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = late.len().saturating_sub(1);
        late.get((share * last as f64).ceil() as usize).copied().unwrap_or(0.0)
    };
    Lateness { median_s: at(0.5), p99_s: at(0.99), most_s: at(1.0) }
}

fn replies(campaign: &Campaign, people: &[&ExportRow]) -> Option<f64> {
    let chats = campaign.capacity.chats.as_ref()?;
    let mut by_hour: BTreeMap<i64, u32> = BTreeMap::new();
    for at in people.iter().filter_map(|person| person.replied_at) {
        *by_hour.entry(at.div_euclid(3_600_000_000)).or_default() += 1;
    }
    let most = by_hour.into_values().max().unwrap_or(0);
    Some(f64::from(most) / f64::from(chats.agents.max(1)))
}

fn by_local_hour(zones: &HashMap<i64, Tz>, people: &[&ExportRow]) -> [u64; 24] {
    let mut hours = [0; 24];
    for person in people {
        let at = person.sent_at.and_then(chrono::DateTime::from_timestamp_micros);
        if let (Some(at), Some(zone)) = (at, zones.get(&person.recipient)) {
            hours[local(at, *zone).hour() as usize] += 1;
        }
    }
    hours
}

struct Truth<'a> {
    crowd: &'a dyn Crowd,
    sent_to: HashMap<&'a RecipientKey, Vec<Instant>>,
}

impl Truth<'_> {
    /// The chance that the message would reach the campaign's goal, were it all played again.
    fn chance(&self, campaign: &Campaign, row: &ExportRow, call: &Call) -> f64 {
        let variant =
            campaign.variants.iter().find(|v| Some(v.name.as_str()) == row.variant.as_deref());
        let Some(variant) = variant else { return 0.0 };
        let sent = Sent {
            key: &call.key,
            at: call.at,
            content: &variant.content,
            category: campaign.category,
            recent: self.sent_to.get(&call.recipient).map_or(&[], Vec::as_slice),
            campaign: Some(campaign.name.as_str()),
        };
        let whom = Whom { key: &call.recipient, zone: call.zone };
        self.crowd.chance(whom, &sent, campaign.goal, campaign.within)
    }
}
