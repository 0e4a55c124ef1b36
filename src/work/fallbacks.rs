//! Fallbacks: what was not delivered in time on one channel, or cannot be, goes on the next.
//!
//! The messages of a fallback are a campaign of their own, NAME.PROVIDER, that plans, sends and counts as any
//! other; people come to it one by one, and it shares the limits of the campaign that was submitted. A message
//! that arrives before the fallback's leaves takes the fallback back. What is promised is therefore: the second
//! never goes on top of a first that is known to have arrived; a first that the channel delivers after the
//! second has left cannot be taken back, and both come.
//!
//! It is looked under the lease of planning, and looking twice changes nothing.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;

use super::Ctx;
use super::leadership::{PLANNING, lead};
use super::part_names::{no_free_name, part_names};
use super::routes::subject;
use crate::config::{Config, ProviderConfig};
use crate::model::campaign::{Campaign, Fallback};
use crate::model::delivery::{Delivery, Reason};
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::plan::Plan;
use crate::store::{CampaignRow, CampaignStatus, Occurrence, Reader, StoreError, Term, Tx};

/// Between looks.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(1);
/// People of one transaction.
const CHUNK: usize = 500;
/// What tells the occurrence of a fallback: a campaign has one a person.
pub(super) const KEY: &str = "fallback";
/// Messages by which a provider is judged.
const JUDGED_MAX: usize = 20_000;
/// Before anything is known, one message in twenty is taken not to arrive, as if twenty had been seen.
const PRIOR: (f64, f64) = (1.0, 20.0);

/// Why a channel cannot carry a message to a person, where another one may.
const CANNOT: [Reason; 12] = [
    Reason::NoConsent,
    Reason::ConsentWithdrawn,
    Reason::NoAddress,
    Reason::BadAddress,
    Reason::Suppressed,
    Reason::ProviderForbids,
    Reason::NoPermit,
    Reason::RecipientRefused,
    Reason::TemplateRefused,
    Reason::ProviderFailure,
    Reason::AttemptsExhausted,
    Reason::Undeliverable,
];

/// Of the open campaigns, has what did not arrive taken over, and what arrived after all taken back; how many people changed. One
/// campaign's failure keeps no other back.
pub(super) async fn bring_in(ctx: &Ctx, open: &[CampaignRow]) -> Result<u64, StoreError> {
    let now = ctx.clock.now();
    let mut reader = ctx.store.read().await?;
    let mut due = Vec::new();
    for row in open {
        let works = row.status == CampaignStatus::Active && row.ends_at > now;
        if works && !row.is_standing() && !row.campaign.fallbacks.is_empty() {
            let looked = reader.mark(&mark(row)).await?;
            let looked = looked.and_then(|at| at.parse::<Instant>().ok());
            if looked.is_none_or(|at| now >= at + LOOK_EVERY) {
                due.push(row);
            }
        }
    }
    drop(reader);
    if due.is_empty() {
        return Ok(0);
    }
    let changed = lead(ctx, PLANNING, async |term: Term| {
        let (mut changed, mut failure) = (0, None);
        for row in due {
            match (Handover { ctx, term: &term, row }).bring_in().await {
                Ok(more) => changed += more,
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    let campaign = &row.campaign.name;
                    tracing::error!(error = error.outline(), %campaign, "fallbacks could not be brought in");
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(changed), Err)
    });
    Ok(changed.await?.unwrap_or_default())
}

fn mark(row: &CampaignRow) -> String {
    format!("fallback {}", row.id)
}

/// A campaign whose undelivered messages the next channel takes over.
struct Handover<'a> {
    ctx: &'a Ctx,
    term: &'a Term,
    row: &'a CampaignRow,
}

impl Handover<'_> {
    async fn bring_in(&self) -> Result<u64, StoreError> {
        let Some(next) = self.row.campaign.fallbacks.first() else { return Ok(0) };
        let mut changed = 0;
        changed += self.take_back().await?;
        changed += self.take_over(next).await?;
        let mut tx = self.begin().await?;
        tx.set_mark(&mark(self.row), &self.ctx.clock.now().to_rfc3339()).await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.ctx.store.begin().await?;
        tx.hold_term(self.term).await?;
        Ok(tx)
    }

    /// Withdraws what is not needed any more.
    async fn take_back(&self) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let Some(fallback) = tx.fallback_to(self.row.id).await? else { return Ok(0) };
        drop(tx);
        let (now, mut changed) = (self.ctx.clock.now(), 0);
        loop {
            let mut tx = self.begin().await?;
            let needless = tx.needless_fallbacks(self.row.id, CHUNK).await?;
            let found = needless.len();
            let (arrived, again): (Vec<_>, Vec<_>) =
                needless.into_iter().partition(|(_, arrived)| *arrived);
            let [arrived, again] = [arrived, again]
                .map(|people| people.into_iter().map(|(id, _)| id).collect::<Vec<RecipientId>>());
            let mut gone = 0;
            if !arrived.is_empty() {
                let free = tx.withdraw_planned(fallback, &arrived, Reason::Arrived, now).await?;
                let known = tx.occurrences_in_run(fallback, &arrived).await?;
                let known = known.into_values().filter(|of| free.contains(&of.recipient));
                let refused = |of| Occurrence { refused: Some(Reason::Arrived), ..of };
                let refused: Vec<Occurrence> = known.map(refused).collect();
                gone += refused.len();
                tx.put_occurrences(self.row.id, &refused).await?;
            }
            if !again.is_empty() {
                let free = tx.withdraw_planned(fallback, &again, Reason::TakenOver, now).await?;
                gone += free.len();
                for person in free {
                    tx.drop_occurrence(self.row.id, person, KEY).await?;
                }
            }
            tx.commit().await?;
            changed += gone as u64;
            // who is in a claim is looked at by the claim itself
            if found < CHUNK || gone == 0 {
                return Ok(changed);
            }
        }
    }

    /// Brings people to the next channel.
    async fn take_over(&self, next: &Fallback) -> Result<u64, StoreError> {
        let now = self.ctx.clock.now();
        let after = TimeDelta::from_std(next.after).unwrap_or_default();
        let sent_by = self.tells_delivery().then(|| now - after);
        let mut changed = 0;
        loop {
            let mut tx = self.begin().await?;
            let found = tx.unreached(self.row.id, sent_by, &CANNOT, CHUNK).await?;
            if found.is_empty() {
                return Ok(changed);
            }
            let fallback = match tx.fallback_to(self.row.id).await? {
                Some(fallback) => fallback,
                None => self.add(&mut tx, &next.provider).await?,
            };
            let mut about = if self.row.has_occurrences() {
                tx.occurrences_in_run(self.row.id, &found).await?
            } else {
                HashMap::new()
            };
            let taken: Vec<Occurrence> = (found.iter())
                .map(|person| {
                    let about = about.remove(person);
                    let closes_at = about.as_ref().map_or(self.row.ends_at, |of| of.closes_at);
                    Occurrence {
                        recipient: *person,
                        key: KEY.to_owned(),
                        event_at: about.as_ref().map_or(now, |of| of.event_at),
                        opens_at: now,
                        closes_at,
                        run: Some(fallback),
                        refused: (closes_at <= now).then_some(Reason::WindowOver),
                        told_at: None,
                        attributes: about.map(|of| of.attributes).unwrap_or_default(),
                    }
                })
                .collect();
            tx.put_occurrences(self.row.id, &taken).await?;
            let open = taken.iter().filter(|of| of.refused.is_none());
            let open: Vec<RecipientId> = open.map(|of| of.recipient).collect();
            tx.await_decision(fallback, &open, now).await?;
            tx.commit().await?;
            changed += taken.len() as u64;
            if found.len() < CHUNK {
                return Ok(changed);
            }
        }
    }

    fn tells_delivery(&self) -> bool {
        let provider = self.ctx.config.providers.get(&self.row.campaign.provider);
        provider.is_none_or(|provider| provider.kind.tells_delivery())
    }

    /// Stores the campaign that takes over.
    async fn add(&self, tx: &mut Tx, provider: &Name) -> Result<i64, StoreError> {
        let now = self.ctx.clock.now();
        for name in part_names(&self.row.campaign.name, provider) {
            if let Some(id) = tx.add_fallback(self.row.id, (&name?, provider), now).await? {
                return Ok(id);
            }
        }
        Err(no_free_name(&self.row.campaign.name))
    }
}

/// Who of some people needs no message of a campaign any more, at the last look before a call: one on another
/// channel arrived or is to go again, or has taken this one over.
pub(super) async fn needless(
    reader: &mut Reader,
    row: &CampaignRow,
    people: &[RecipientId],
) -> Result<HashMap<RecipientId, Reason>, StoreError> {
    let mut needless = HashMap::new();
    let mut before = row.fallback_of;
    while let Some(id) = before {
        let settled = reader.settled_by(id, people).await?;
        needless.extend(settled.into_iter().map(|person| (person, Reason::Arrived)));
        before = reader.campaign_by_id(id).await?.and_then(|row| row.fallback_of);
    }
    if !row.campaign.fallbacks.is_empty() {
        let taken = reader.taken_over(row.id, Some(people)).await?;
        needless.extend(taken.into_iter().map(|person| (person, Reason::TakenOver)));
    }
    Ok(needless)
}

/// What a campaign's plan counts on of its fallbacks.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// Each in its turn, with the chance that what went before it does not arrive in time.
    pub(super) steps: Vec<(Name, f64)>,
    /// Who is not decided about here any more.
    pub(super) taken_over: HashSet<RecipientId>,
    /// Who is owed no fallback any more, where money is limited.
    pub(super) reached: HashSet<RecipientId>,
    /// Who consents to one of the fallbacks.
    pub(super) agreed: HashSet<RecipientId>,
}

impl Outlook {
    pub(super) async fn read(ctx: &Ctx, row: &CampaignRow) -> Result<Self, StoreError> {
        let campaign = &row.campaign;
        if campaign.fallbacks.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = ctx.store.read().await?;
        let steps = steps(&mut reader, &ctx.config, campaign, ctx.clock.now()).await?;
        let taken_over = reader.taken_over(row.id, None).await?;
        let reached =
            if campaign.budget.is_some() { reader.reached(row.id).await? } else { HashSet::new() };
        Ok(Self { steps, taken_over, reached, agreed: HashSet::new() })
    }

    /// Reads who of the people consents to one of the fallbacks: they are meant too where nobody is named.
    pub(super) async fn read_agreed(
        &mut self,
        ctx: &Ctx,
        campaign: &Campaign,
        people: &[Recipient],
    ) -> Result<(), StoreError> {
        for carried in campaign.carried_on() {
            let Some(provider) = ctx.config.providers.get(&carried.provider) else { continue };
            let subject = (&carried.provider, subject(&provider.kind, &carried));
            let mut reader = ctx.store.read().await?;
            let said = reader.provider_consents(subject, None).await?;
            let agrees =
                |person: &&Recipient| said.get(&person.id).copied().unwrap_or(person.consented);
            self.agreed.extend(people.iter().filter(agrees).map(|person| person.id));
        }
        Ok(())
    }

    /// Whether a fallback may still follow what a person was sent.
    pub(super) fn is_owed(&self, person: RecipientId) -> bool {
        !self.taken_over.contains(&person) && !self.reached.contains(&person)
    }

    /// Messages of fallbacks that one message of the campaign is expected to bring.
    pub(super) fn messages(&self) -> f64 {
        let chances = self.steps.iter().scan(1.0, |so_far, (_, chance)| {
            *so_far *= chance;
            Some(*so_far)
        });
        chances.sum()
    }

    /// What fallbacks are expected to cost, where `price` is a message's by a provider.
    pub(super) fn cost(&self, price: impl Fn(&Name) -> f64) -> f64 {
        let costs = self.steps.iter().scan(1.0, |so_far, (provider, chance)| {
            *so_far *= chance;
            Some(*so_far * price(provider))
        });
        costs.sum()
    }
}

/// The chance that a message does not arrive in the time that each fallback gives it, by what became of the
/// newest messages of its provider: the posterior mean of a beta-binomial model with [`PRIOR`].
pub(super) async fn steps(
    reader: &mut Reader,
    config: &Config,
    campaign: &Campaign,
    now: Instant,
) -> Result<Vec<(Name, f64)>, StoreError> {
    let mut steps = Vec::with_capacity(campaign.fallbacks.len());
    let mut before = &campaign.provider;
    for Fallback { provider, after } in &campaign.fallbacks {
        let tells = |of: &ProviderConfig| of.kind.tells_delivery();
        let chance = if config.providers.get(before).is_some_and(tells) {
            let sent_by = now - TimeDelta::from_std(*after).unwrap_or_default();
            let (all, late) = reader.undelivered_count(before, sent_by, *after, JUDGED_MAX).await?;
            (late as f64 + PRIOR.0) / (all as f64 + PRIOR.1)
        } else {
            0.0
        };
        steps.push((provider.clone(), chance));
        before = provider;
    }
    Ok(steps)
}

/// What is expected to come to a fallback.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct FallbackOutlook {
    /// The provider.
    pub provider: Name,
    /// The chance that a message before it does not arrive in its time, from the newest messages of that provider.
    pub chance: f64,
    /// Of the first: people whom the campaign's own provider cannot write to. Where there is a plan.
    pub cannot: Option<u64>,
    /// People who are expected to come to it, before its own rules. Where there is a plan.
    pub expected: Option<f64>,
}

impl FallbackOutlook {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let Self { provider, chance, cannot, expected } = self;
        let share = format!("{:.1} %", 100.0 * chance);
        let who = match (cannot, expected) {
            (Some(cannot), Some(expected)) => format!(
                "about {expected:.0} people: {cannot} who cannot be written to before, and {share} of \
                 the messages, which do not arrive in time"
            ),
            (None, Some(expected)) => {
                format!("about {expected:.0} people: {share} of the messages before it")
            }
            _ => format!("{share} of the messages before it, which do not arrive in time"),
        };
        format!("Fallback to {provider}: {who}.")
    }
}

/// What is expected to come to each fallback of a campaign, by its plan where there is one.
pub(super) async fn outlook(
    ctx: &Ctx,
    campaign: &Campaign,
    plan: Option<&Plan>,
) -> Result<Vec<FallbackOutlook>, StoreError> {
    if campaign.fallbacks.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = ctx.store.read().await?;
    let steps = steps(&mut reader, &ctx.config, campaign, ctx.clock.now()).await?;
    let mut planned = None;
    let mut cannot = None;
    if let Some(plan) = plan {
        let of = |wanted: &dyn Fn(&Delivery) -> bool| {
            plan.deliveries.iter().filter(|delivery| wanted(delivery)).count() as u64
        };
        planned = Some(of(&|delivery| delivery.choice.is_some()) as f64);
        let refused = |delivery: &Delivery| delivery.choice.is_none();
        cannot = Some(of(&|delivery| refused(delivery) && CANNOT.contains(&delivery.reason)));
    }
    let mut outlooks = Vec::with_capacity(steps.len());
    for (provider, chance) in steps {
        let expected = planned.map(|planned| planned * chance + cannot.unwrap_or(0) as f64);
        outlooks.push(FallbackOutlook { provider, chance, cannot, expected });
        (planned, cannot) = (expected, None);
    }
    Ok(outlooks)
}

/// What is allowed and probably not meant: a time to be delivered in that no receipt can tell of.
pub(super) fn warnings(ctx: &Ctx, campaign: &Campaign) -> Vec<String> {
    let mut before = &campaign.provider;
    let mut told = Vec::new();
    for fallback in &campaign.fallbacks {
        let tells = |of: &ProviderConfig| of.kind.tells_delivery();
        if !ctx.config.providers.get(before).is_none_or(tells) {
            told.push(format!(
                "fallback {}: {before} does not tell what was delivered; it takes over only what {before} \
                 cannot send or gives back",
                fallback.provider
            ));
        }
        before = &fallback.provider;
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fallback_counts_with_the_chance_that_all_before_it_fail() {
        let step = |name: &str, chance| (name.parse::<Name>().unwrap(), chance);
        let steps = vec![step("letter", 0.2), step("mail", 0.5)];
        let outlook = Outlook { steps, ..Outlook::default() };
        assert!((outlook.messages() - 0.3).abs() < 1e-12);
        let price = |provider: &Name| if provider.as_str() == "letter" { 1.0 } else { 2.0 };
        assert!((outlook.cost(price) - 0.4).abs() < 1e-12);
        assert!(Outlook::default().messages().abs() < 1e-12);
    }
}
