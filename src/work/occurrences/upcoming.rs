//! What a standing campaign would meet, before it is submitted.

use chrono::TimeDelta;

use super::PAGE;
use super::days::occasions_of_day;
use crate::calendar::recurring::YearDay;
use crate::model::campaign::{Campaign, Occasion, Trigger};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::store::StoreError;
use crate::work::Ctx;

/// How many people would be written to by a standing campaign within the next 30 days, before any rule, and
/// what is probably not meant.
pub(in crate::work) async fn upcoming(
    ctx: &Ctx,
    campaign: &Campaign,
) -> Result<(Option<u64>, Vec<String>), StoreError> {
    const AHEAD: TimeDelta = TimeDelta::days(30);
    let Some(trigger) = &campaign.trigger else { return Ok((None, Vec::new())) };
    let now = ctx.clock.now();
    let mut warnings = Vec::new();
    let known = ctx.store.read().await?.event_kinds().await?;
    let own = match &trigger.on {
        Occasion::Event(kind) => Some(kind),
        Occasion::Attribute(_) | Occasion::Every(_) => None,
    };
    for kind in own.into_iter().chain(&trigger.unless) {
        if !known.iter().any(|known| known == kind.as_str()) {
            let there = if known.is_empty() {
                "no others either".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            };
            warnings.push(format!("no event {kind} is known yet; {there}"));
        }
    }
    let people = match &trigger.on {
        Occasion::Every(_) => None,
        Occasion::Event(kind) => {
            let span = (now - trigger.to, now + AHEAD - trigger.from);
            Some(ctx.store.read().await?.people_of_events(kind, span).await?.len() as u64)
        }
        Occasion::Attribute(name) => {
            let (near, unread) = near_days(ctx, trigger, name, now + AHEAD).await?;
            if unread > 0 {
                warnings.push(format!(
                    "attribute {name} of {unread} people is no day such as 1990-05-04 or 05-04"
                ));
            }
            Some(near)
        }
    };
    Ok((people, warnings))
}

/// People whose day of the year comes into its span until a time, and those whose day cannot be read.
async fn near_days(
    ctx: &Ctx,
    trigger: &Trigger,
    name: &str,
    until: Instant,
) -> Result<(u64, u64), StoreError> {
    let now = ctx.clock.now();
    let (mut near, mut unread, mut after) = (0, 0, RecipientId(0));
    loop {
        let page = ctx.store.read().await?.recipients_after(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((near, unread)) };
        after = last.id;
        for person in &page {
            let Some(text) = person.profile.attributes.get(name) else { continue };
            let Some(day) = YearDay::parse(text) else {
                unread += 1;
                continue;
            };
            let occasions =
                occasions_of_day(day, now, person.profile.zone_or(ctx.config.time_zone));
            let comes = |at: &Instant| *at + trigger.from <= until && *at + trigger.to > now;
            near += u64::from(occasions.into_iter().any(|(_, at)| comes(&at)));
        }
    }
}
