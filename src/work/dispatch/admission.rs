//! Which of the claimed messages may go now, under limits that every daemon shares.
//!
//! The limits are nested: calls of an hour, different people of a moving day, the pair of number
//! and person, messages a second. What is admitted is taken from them in the transaction of the
//! claim, so that two daemons never use the same allowance twice, and nobody holds any of it: a daemon that
//! dies leaves at most the [`HORIZON`] unused.
//!
//! The rate is a schedule (GCRA, ITU-T I.371): each message gets a send time of its own, and is
//! called at it or within [`LATE_MAX`] after it, or given back. Send times are taken last, when
//! nothing but the call is left to do: a slow claim would miss them. What is given back for want of
//! one has used its part of the other limits, which are kept all the more. Send times lie a little
//! further apart than the rate asks, which makes up for that lateness: no second ever sees more calls
//! than its rate.
//! The daemons' clocks must agree to within a few milliseconds of each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::TimeDelta;

use crate::config::{Limits, ProviderConfig};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::{Instant, truncated};
use crate::store::{Contact, Store, StoreError, Tx};
use crate::work::StepEnv;
use crate::work::channel::number_account;

/// How far ahead send times are given out: as much is lost when a daemon dies, and as long it takes
/// until a pause holds.
pub(super) const HORIZON: TimeDelta = TimeDelta::seconds(1);
/// A call that would begin later than this after its send time is not made.
pub(super) const LATE_MAX: TimeDelta = TimeDelta::milliseconds(20);
/// Send times are this much further apart, in thousandths: a second's lateness at most.
const RESERVE: i64 = 20;
/// People are counted by buckets of this length, and stay counted that much longer.
pub(super) const PEOPLE_BUCKET: TimeDelta = TimeDelta::minutes(10);
pub(super) const DAY: TimeDelta = TimeDelta::hours(24);
/// The same for calls.
pub(super) const CALLS_BUCKET: TimeDelta = TimeDelta::minutes(1);
pub(super) const HOUR: TimeDelta = TimeDelta::hours(1);

/// The account whose people are counted.
pub(super) fn portfolio_account(config: &ProviderConfig) -> String {
    format!("portfolio:{}", config.portfolio)
}

/// The mark in which a portfolio's limit is kept that the channel told; see `receive`.
pub(in crate::work) fn told_limit_mark(portfolio: &Name) -> String {
    format!("unique_per_day:{portfolio}")
}

/// The text of that mark: the limit, or nothing for none, and when it was told.
pub(in crate::work) fn told_limit_text(limit: Option<u32>, at: Instant) -> String {
    let limit = limit.map(|limit| limit.to_string()).unwrap_or_default();
    format!("{limit} {}", at.timestamp_micros())
}

/// The limit that such a text tells, and since when; texts of older versions have no time.
pub(in crate::work) fn told_limit(text: Option<&str>) -> Option<(Option<u32>, Instant)> {
    let (limit, at) = text.map(|text| text.split_once(' ').unwrap_or((text, "0")))?;
    let at = chrono::DateTime::from_timestamp_micros(at.parse().ok()?)?;
    Some((limit.parse().ok(), at))
}

/// Microseconds between two messages of a number.
pub(in crate::work) fn interval_us(per_second: u32) -> i64 {
    1_000_000 * (1000 + RESERVE) / 1000 / i64::from(per_second).max(1)
}

/// What is decided about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes.
    Go,
    /// Its person, or everybody, must wait.
    NotBefore(Instant),
}

/// What the limits had left when they were locked.
#[derive(Debug, Clone, Default)]
struct Left {
    /// Calls of this hour, and when there will be more.
    calls: Option<(u64, Instant)>,
    /// Different people of this day, and when there will be more.
    people: Option<(u64, Instant)>,
    /// Who was written to.
    contacts: HashMap<RecipientId, Contact>,
    /// Who may be answered freely, and costs none of the people.
    windows: HashSet<RecipientId>,
}

/// What was taken of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Admitted {
    verdicts: Vec<Verdict>,
    calls: u64,
    /// Changes of the people's buckets.
    people: BTreeMap<Instant, i64>,
    contacts: Vec<(RecipientId, Contact)>,
}

/// The limits of one provider.
pub(super) struct RateLimiter<'a> {
    pub(super) env: &'a StepEnv,
    pub(super) provider: &'a Name,
    pub(super) config: &'a ProviderConfig,
}

impl RateLimiter<'_> {
    /// The account whose rate and calls are counted.
    pub(super) fn account(&self) -> String {
        number_account(self.provider)
    }

    /// How many messages are worth claiming at `now`, at most `most`; or when to come again. The
    /// rate has something left from `next_at` on.
    pub(super) fn allowance(
        &self,
        next_at: Option<Instant>,
        most: usize,
        now: Instant,
    ) -> Allowance {
        let Some(rate) = self.config.limits.per_second else { return Allowance::Of(most) };
        let next_at = next_at.unwrap_or(now).max(now);
        if next_at > now + HORIZON / 2 {
            return Allowance::After(next_at - HORIZON / 2);
        }
        let span = (now + HORIZON - next_at).num_microseconds().unwrap_or_default();
        let allowance = span / interval_us(rate) + 1;
        Allowance::Of(most.min(allowance as usize))
    }

    /// Gives up to `count` messages their send times, in order: as many as the number's rate has in
    /// the time up to the [`HORIZON`]. `None` where nothing paces them.
    pub(super) async fn send_times(
        &self,
        store: &Store,
        count: usize,
    ) -> Result<Option<Vec<Instant>>, StoreError> {
        let Some(rate) = self.config.limits.per_second else { return Ok(None) };
        if count == 0 {
            return Ok(Some(Vec::new()));
        }
        let number = self.account();
        let mut tx = store.begin().await?;
        // a database that crashes is away for longer than send times are given out ahead
        tx.need_not_survive_a_crash().await?;
        let next_at = tx.lock_account(&number).await?;
        // the clock is read under the lock, so that what others took lies in the past
        let (times, next_at) = schedule(rate, next_at, self.env.clock.now(), count);
        tx.set_rate_next_at(&number, next_at).await?;
        tx.commit().await?;
        Ok(Some(times))
    }

    /// Decides about messages to `people`, in their order, and takes what they use but the rate. People with an
    /// open service window are in `windows`.
    pub(super) async fn admit(
        &self,
        tx: &mut Tx,
        people: &[RecipientId],
        windows: HashSet<RecipientId>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let limits = self.config.limits;
        // the rate is asked for later
        if (Limits { per_second: None, ..limits }) == Limits::default() {
            return Ok(vec![Verdict::Go; people.len()]);
        }
        let number = self.account();
        let portfolio = portfolio_account(self.config);
        let told = match limits.unique_per_day {
            Some(_) => tx.mark(&told_limit_mark(&self.config.portfolio)).await?,
            None => None,
        };
        // others wait while this is held: as few statements as can be
        tx.lock_account(&number).await?;
        if limits.unique_per_day.is_some() {
            tx.lock_account(&portfolio).await?;
        }
        // the clock is read under the lock, so that what others took lies in the past
        let now = self.env.clock.now();
        let (hour, day) = (HOUR + CALLS_BUCKET, DAY + PEOPLE_BUCKET);
        let [calls, people_used] = match (limits.calls_per_hour, limits.unique_per_day) {
            (None, None) => [None; 2],
            _ => tx.quotas_used([(&number, now - hour), (&portfolio, now - day)]).await?,
        };
        // where nothing was used yet, the first to be free again is used now
        let left = |limit: u32, used: Option<(u64, Instant)>, span| {
            let (used, first) = used.unwrap_or((0, now));
            (u64::from(limit).saturating_sub(used), first + span)
        };
        let told = told_limit(told.as_deref()).and_then(|(limit, _)| limit);
        let per_day = limits.unique_per_day.map(|limit| told.map_or(limit, |told| limit.min(told)));
        let mut left = Left {
            calls: limits.calls_per_hour.map(|limit| left(limit, calls, hour)),
            people: per_day.map(|limit| left(limit, people_used, day)),
            contacts: HashMap::new(),
            windows,
        };
        if limits.unique_per_day.is_some() || limits.pair.is_some() {
            left.contacts = tx.contacts(&portfolio, people).await?;
        }
        let taken = take(limits, left, people, now);
        let mut used: Vec<(&str, Instant, i64)> =
            taken.people.iter().map(|(bucket, used)| (&*portfolio, *bucket, *used)).collect();
        if limits.calls_per_hour.is_some() && taken.calls > 0 {
            used.push((&number, truncated(now, CALLS_BUCKET), taken.calls as i64));
        }
        tx.use_quotas(&used).await?;
        tx.put_contacts(&portfolio, &taken.contacts).await?;
        Ok(taken.verdicts)
    }
}

/// What a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowance {
    /// So many messages.
    Of(usize),
    /// Nothing before then.
    After(Instant),
}

/// Send times of `rate` messages a second from where the schedule stands, up to the [`HORIZON`]; and
/// where it stands then.
fn schedule(rate: u32, next_at: Instant, now: Instant, count: usize) -> (Vec<Instant>, Instant) {
    let interval = TimeDelta::microseconds(interval_us(rate));
    let mut next_at = next_at.max(now);
    let mut times = Vec::new();
    while times.len() < count && next_at < now + HORIZON {
        times.push(next_at);
        next_at += interval;
    }
    (times, next_at)
}

/// Decides about messages to `people` in their order. A person who must wait uses nothing, so that
/// nobody else is slower for it.
fn take(limits: Limits, left: Left, people: &[RecipientId], now: Instant) -> Admitted {
    let Left { mut calls, people: mut people_left, mut contacts, windows } = left;
    let bucket = truncated(now, PEOPLE_BUCKET);
    let still_counted = now - DAY - PEOPLE_BUCKET;
    // a call comes at its send time, which is not known yet
    let last = if limits.per_second.is_some() { now + HORIZON } else { now };
    let mut taken = Admitted::default();
    let mut changed = Vec::new();
    for person in people {
        if let Some((0, more_at)) = calls {
            taken.verdicts.push(Verdict::NotBefore(more_at));
            continue;
        }
        let contact = contacts.get(person).copied();
        let mut pair_until = contact.map_or(Instant::UNIX_EPOCH, |contact| contact.pair_until);
        if let Some(pair) = limits.pair {
            let each = TimeDelta::seconds(i64::from(pair.seconds));
            let borrowed = each * (pair.burst.max(1) - 1) as i32;
            if pair_until - borrowed > now {
                taken.verdicts.push(Verdict::NotBefore(pair_until - borrowed));
                continue;
            }
            pair_until = pair_until.max(last) + each;
        }
        let counted = contact.map(|contact| contact.counted_at).filter(|at| *at > still_counted);
        let mut counted_at = contact.map_or(Instant::UNIX_EPOCH, |contact| contact.counted_at);
        if let Some((free, more_at)) = &mut people_left
            && !windows.contains(person)
        {
            match counted {
                Some(before) => *taken.people.entry(before).or_default() -= 1,
                None if *free == 0 => {
                    taken.verdicts.push(Verdict::NotBefore(*more_at));
                    continue;
                }
                None => *free -= 1,
            }
            *taken.people.entry(bucket).or_default() += 1;
            counted_at = bucket;
        }
        if let Some((free, _)) = &mut calls {
            *free -= 1;
        }
        taken.calls += 1;
        if limits.pair.is_some() || limits.unique_per_day.is_some() {
            contacts.insert(*person, Contact { counted_at, pair_until });
            changed.push(*person);
        }
        taken.verdicts.push(Verdict::Go);
    }
    taken.people.retain(|_, change| *change != 0);
    changed.sort_unstable();
    changed.dedup();
    taken.contacts = changed.into_iter().map(|person| (person, contacts[&person])).collect();
    taken
}

#[cfg(test)]
mod tests {
    use chrono::DurationRound;

    use super::*;
    use crate::config::PairLimit;

    fn ids(numbers: std::ops::Range<i64>) -> Vec<RecipientId> {
        numbers.map(RecipientId).collect()
    }

    fn start() -> Instant {
        Instant::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn no_second_sees_more_than_the_rate_and_nothing_is_promised_far_ahead() {
        let (times, next_at) = schedule(80, Instant::UNIX_EPOCH, start(), 200);
        assert!((75..=80).contains(&times.len()), "{}", times.len());
        let last = *times.last().unwrap();
        assert!(times.iter().all(|at| *at < start() + HORIZON));
        // the next daemon goes on where this one ended
        let (next, _) = schedule(80, next_at, start() + TimeDelta::milliseconds(500), 200);
        assert!(next[0] > last && next[0] - last < HORIZON / 50);
        assert_eq!(schedule(80, next_at, start(), 3).0.len(), 0, "the second is full");
    }

    #[test]
    fn a_pair_borrows_its_burst_and_then_waits_alone() {
        let pair = Some(PairLimit { seconds: 6, burst: 45 });
        let limits = Limits { pair, ..Limits::default() };
        let mut people = vec![RecipientId(1); 50];
        people.push(RecipientId(2));
        let taken = take(limits, Left::default(), &people, start());
        let at = |verdict: &Verdict| *verdict == Verdict::Go;
        assert_eq!(taken.verdicts.iter().filter(|v| at(v)).count(), 46);
        assert!(at(&taken.verdicts[44]) && at(&taken.verdicts[50]));
        assert_eq!(taken.verdicts[45], Verdict::NotBefore(start() + TimeDelta::seconds(6)));
    }

    #[test]
    fn people_are_counted_once_a_day_and_those_who_wrote_are_free() {
        let limits = Limits { unique_per_day: Some(10), ..Limits::default() };
        let more_at = start() + TimeDelta::hours(3);
        let left = Left {
            people: Some((2, more_at)),
            windows: HashSet::from([RecipientId(3)]),
            contacts: HashMap::from([(
                RecipientId(4),
                Contact {
                    counted_at: (start() - TimeDelta::hours(20))
                        .duration_trunc(PEOPLE_BUCKET)
                        .unwrap(),
                    pair_until: Instant::UNIX_EPOCH,
                },
            )]),
            ..Left::default()
        };
        let people: Vec<_> = [1, 1, 2, 5, 3, 4].map(RecipientId).to_vec();
        let taken = take(limits, left, &people, start());
        let admitted: Vec<bool> = taken.verdicts.iter().map(|v| *v == Verdict::Go).collect();
        assert_eq!(admitted, [true, true, true, false, true, true]);
        assert_eq!(taken.verdicts[3], Verdict::NotBefore(more_at));
        // one moved from the older bucket, two are new
        let changes: Vec<i64> = taken.people.values().copied().collect();
        assert_eq!(changes, [-1, 3]);
    }

    #[test]
    fn calls_of_an_hour_run_out_for_everybody() {
        let limits = Limits { calls_per_hour: Some(3), ..Limits::default() };
        let more_at = start() + TimeDelta::minutes(7);
        let left = Left { calls: Some((2, more_at)), ..Left::default() };
        let taken = take(limits, left, &ids(0..3), start());
        assert_eq!(taken.verdicts[2], Verdict::NotBefore(more_at));
        assert_eq!(taken.calls, 2);
    }
}
