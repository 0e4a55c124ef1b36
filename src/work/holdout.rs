//! The standing holdout: whom it keeps from marketing, and what all messages together bring.
//!
//! Everybody who ever consented is compared, also those whose consent has ended since: who was
//! written to may have ended it for that. Compared is what is known of people without messages, too:
//! purchases and other signs of presence that were imported; what people write to us is none of them.

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use serde::Serialize;

use super::Ctx;
use super::interval::Interval;
use crate::calendar::zone::{instant, local};
use crate::config::Config;
use crate::learn::experiment::{Mismatch, daily_threshold, mismatch};
use crate::learn::{Evidence, HoldoutPerson, HoldoutTrial};
use crate::model::campaign::Campaign;
use crate::model::content::Category;
use crate::model::holdout::{CountedConversions, StandingHoldout};
use crate::model::ids::RecipientKey;
use crate::model::time::Instant;
use crate::store::{StoreError, Tx, Whose};

/// Days of a holdout that are looked at.
const DAYS_MAX: i64 = 3660;

/// Whether a person gets nothing of a campaign since the standing holdout has them. Utility messages
/// go to everybody.
pub fn holds(config: &Config, campaign: &Campaign, person: &RecipientKey, now: Instant) -> bool {
    campaign.category == Category::Marketing
        && config.holdout.as_ref().is_some_and(|holdout| {
            local(now, config.time_zone).date() <= holdout.until && holdout.holds(person)
        })
}

/// Which conversions plans count.
pub fn counted(config: &Config) -> CountedConversions {
    config.holdout.as_ref().map_or(CountedConversions::All, |holdout| holdout.conversions)
}

/// What the standing holdout has shown until a time: who was drawn since it began, and what is
/// remembered of them.
pub(super) async fn trial(
    ctx: &Ctx,
    until: Instant,
) -> Result<Option<(HoldoutTrial, Vec<HoldoutPerson>)>, StoreError> {
    let Some(holdout) = &ctx.config.holdout else { return Ok(None) };
    let since = since(ctx).await?;
    let end = end(holdout, &ctx.config);
    let Some(trial) = since.and_then(|since| HoldoutTrial::new(since, until.min(end))) else {
        return Ok(None);
    };
    let drawn = ctx.store.read().await?.ever_consented().await?;
    let mut people: Vec<Option<HoldoutPerson>> = vec![None; drawn.len()];
    let mut damaged = vec![false; drawn.len()];
    let mut reader = ctx.store.read().await?;
    reader
        .each_evidence(Whose::Everybody, |recipient, packed| {
            let Ok(at) = drawn.binary_search_by_key(&recipient, |(id, _)| *id) else { return };
            match Evidence::from_bytes(packed) {
                Ok(evidence) => {
                    people[at] = Some(trial.person(&evidence, holdout.holds(&drawn[at].1)));
                }
                Err(_) => damaged[at] = true,
            }
        })
        .await?;
    drop(reader);
    // who was never seen is drawn like anybody
    let nothing = Evidence::default();
    let people = people.into_iter().zip(damaged).zip(&drawn).filter(|((_, damaged), _)| !damaged);
    let people = people.map(|((person, _), (_, key))| {
        person.unwrap_or_else(|| trial.person(&nothing, holdout.holds(key)))
    });
    Ok(Some((trial, people.collect())))
}

/// When the standing holdout began.
async fn since(ctx: &Ctx) -> Result<Option<Instant>, StoreError> {
    let Some(name) = mark_name(&ctx.config) else { return Ok(None) };
    let since = ctx.store.read().await?.mark(&name).await?;
    Ok(since.and_then(|at| chrono::DateTime::from_timestamp_micros(at.parse().ok()?)))
}

/// When its last day is over.
fn end(holdout: &StandingHoldout, config: &Config) -> Instant {
    let day = holdout.until.succ_opt().unwrap_or(holdout.until);
    instant(day.and_time(NaiveTime::MIN), config.time_zone)
}

/// Notes when a holdout began: with the first plan that knew of it.
pub(super) async fn note_begin(ctx: &Ctx, tx: &mut Tx) -> Result<(), StoreError> {
    if let Some(name) = mark_name(&ctx.config)
        && tx.mark(&name).await?.is_none()
    {
        let now = ctx.clock.now().timestamp_micros().to_string();
        tx.set_mark(&name, &now).await?;
    }
    Ok(())
}

/// Each salt has a beginning of its own.
fn mark_name(config: &Config) -> Option<String> {
    config.holdout.as_ref().map(|holdout| format!("holdout_since {}", holdout.salt))
}

/// The standing holdout, and what all messages together bring.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HoldoutResult {
    /// When people were counted: in a large workspace a moment ago.
    #[schema(value_type = String, format = DateTime)]
    pub counted_at: Instant,
    /// The share that is held out; 0 where the settings have no holdout.
    pub share: f64,
    /// Its last day.
    pub until: Option<NaiveDate>,
    /// Whether that day is not over.
    pub active: bool,
    /// When it was first planned with; what came before says nothing of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Instant>,
    /// People who are held out.
    pub size: u64,
    /// Everybody else with consent, now or before.
    pub others: u64,
    /// Whether people are where their hash says; absent where there are too few.
    pub mismatch: Option<Mismatch>,
    /// People with a purchase since then.
    pub conversions: Option<Brought>,
    /// People with any sign of presence since then.
    pub activity: Option<Brought>,
}

/// What all messages together bring, by one sign.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Brought {
    /// The share of those held out.
    pub held_out: Interval,
    /// The share of the others.
    pub others: Interval,
    /// How much more of the others: what messages bring. The 95 % interval holds while somebody looks
    /// every day.
    pub difference: Interval,
}

/// People counted, and those with a sign.
#[derive(Default, Clone, Copy)]
struct Counts {
    people: u64,
    converted: u64,
    active: u64,
}

/// Looks at the standing holdout.
pub async fn show(ctx: &Ctx) -> Result<HoldoutResult, StoreError> {
    let (config, now) = (&ctx.config, ctx.clock.now());
    let Some(holdout) = &config.holdout else {
        return Ok(HoldoutResult {
            counted_at: now,
            share: 0.0,
            until: None,
            active: false,
            since: None,
            size: 0,
            others: 0,
            mismatch: None,
            conversions: None,
            activity: None,
        });
    };
    let since = since(ctx).await?;
    let end = end(holdout, config);
    let mut reader = ctx.store.read().await?;
    let mut counts = [Counts::default(); 2];
    let from = since.unwrap_or(now);
    reader
        .each_presence_since(from, now.min(end), |person, purchases, signs| {
            let of = &mut counts[usize::from(holdout.holds(&person))];
            of.people += 1;
            of.converted += u64::from(purchases > 0);
            of.active += u64::from(signs > 0);
        })
        .await?;
    let [others, held_out] = counts;
    let threshold = daily_threshold(&looks(from, now, end));
    let brought = |of: fn(&Counts) -> u64| {
        let both = held_out.people > 0 && others.people > 0;
        (both && since.is_some()).then(|| Brought {
            held_out: Interval::of_share(of(&held_out), held_out.people),
            others: Interval::of_share(of(&others), others.people),
            difference: difference(
                (of(&others), others.people),
                (of(&held_out), held_out.people),
                threshold,
            ),
        })
    };
    Ok(HoldoutResult {
        counted_at: now,
        share: holdout.share,
        until: Some(holdout.until),
        active: now < end,
        since,
        size: held_out.people,
        others: others.people,
        mismatch: mismatch(&[
            (held_out.people, holdout.share),
            (others.people, 1.0 - holdout.share),
        ]),
        conversions: brought(|of| of.converted),
        activity: brought(|of| of.active),
    })
}

/// The shares of its time that a holdout has run at the end of each day until now.
fn looks(since: Instant, now: Instant, end: Instant) -> Vec<f64> {
    let day = TimeDelta::days(1);
    let whole = (end - since).max(day).as_seconds_f64();
    let now = now.min(end).max(since);
    let days = ((now - since).num_days()).min(DAYS_MAX);
    let mut looks: Vec<f64> =
        (1..=days).map(|at| (day * at as i32).as_seconds_f64() / whole).collect();
    looks.push((now - since).as_seconds_f64() / whole);
    looks.retain(|look| *look > 0.0);
    looks.dedup();
    looks
}

/// The difference of two shares, with an interval of so many standard errors to each side.
fn difference(first: (u64, u64), second: (u64, u64), threshold: f64) -> Interval {
    let share = |(hits, of)| Interval::of_share_within(hits, of, threshold);
    share(first).minus(share(second))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn intervals_hold_over_all_days_where_messages_bring_nothing_and_find_what_they_bring() {
        let start = Instant::UNIX_EPOCH;
        let days = 20;
        let end = start + TimeDelta::days(days);
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let thresholds: Vec<f64> = (1..=days)
            .map(|day| daily_threshold(&looks(start, start + TimeDelta::days(day), end)))
            .collect();
        // who is to buy at all differs, and so does when they first do
        let mut run = |effect: f64| -> Vec<Interval> {
            let mut first = |people: u64, chance: f64| -> Vec<u64> {
                let mut by_day = vec![0; days as usize];
                for _ in 0..people {
                    if random.gen_bool(chance) {
                        by_day[random.gen_range(0..days as usize)] += 1;
                    }
                }
                by_day
            };
            let (others, held_out) = (first(1900, 0.2 + effect), first(100, 0.2));
            let until = |of: &[u64], day: usize| of[..=day].iter().sum::<u64>();
            (0..days as usize)
                .map(|day| {
                    let (a, b) = (until(&others, day), until(&held_out, day));
                    difference((a, 1900), (b, 100), thresholds[day])
                })
                .collect()
        };
        let holds = |all: &[Interval]| all.iter().all(|i| i.low <= 0.0 && 0.0 <= i.high);
        let held = (0..600).filter(|_| holds(&run(0.0))).count();
        assert!((558..=582).contains(&held), "{held} of 600");
        let found = (0..200).filter(|_| run(0.2).last().unwrap().low > 0.0).count();
        assert!(found > 180, "{found} of 200");
    }
}
