//! Standing campaigns: what comes into reach becomes occurrences, each in a run that is planned and sent as
//! any campaign.
//!
//! A run carries the occurrences whose spans end on one day (UTC), or one period of a campaign that comes
//! by itself. It is a campaign of its own, called after the standing one and the day, and has its limits.
//! One node brings occurrences in, under the lease of planning. How far it came is stored with what it
//! decided, a little late, so that nothing is passed over; deciding twice changes nothing.

mod days;
mod decided;
mod upcoming;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Ctx;
use super::audience::AudienceFilter;
use super::leadership::{PLANNING, lead};
use super::part_names::{no_free_name, part_names};
use super::recall::{describe, recall};
use super::segments::SegmentError;
use crate::calendar::infer::infer;
use crate::calendar::recurring::{YearDay, occasions_from};
use crate::calendar::window;
use crate::model::campaign::{Occasion, Period, RunWindow, Trigger, Window};
use crate::model::delivery::{Reason, State};
use crate::model::event::EventKind;
use crate::model::ids::RecipientId;
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::plan::occurrence::{KnownOccurrence, OccasionOf, OccurrenceState, REACH, changes};
use crate::store::{
    CampaignRow, CampaignStatus, NewRun, Occurrence, OccurrenceRow, Reader, StoreError,
    StoredEvent, Term, Tx,
};

use self::days::occasions_of_day;
use self::decided::{Decided, StoredChanges, Withdrawn};

pub(super) use self::upcoming::upcoming;

/// Recipients that are read at once.
const PAGE: usize = 10_000;
/// People who are decided about in one transaction.
const CHUNK: usize = 500;
/// Events that another transaction is still writing carry an earlier time than what was looked at.
const MARGIN: TimeDelta = TimeDelta::minutes(2);
/// Between looks at what happened.
pub(crate) const LOOK_EVERY: TimeDelta = TimeDelta::seconds(15);
/// Between looks at everybody's attributes.
const ATTRIBUTES_EVERY: TimeDelta = TimeDelta::hours(1);
/// What ended longer ago is history: it is no occurrence any more.
const PAST_MAX: TimeDelta = TimeDelta::days(30);
/// How far back events are looked for that call an occasion off.
const UNLESS_BACK: TimeDelta = TimeDelta::days(800);

/// How far a standing campaign's occasions were looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Looked {
    /// Events up to this time came into reach.
    horizon: Instant,
    /// Changes up to this time were seen.
    changed: Instant,
}

fn mark(row: &CampaignRow) -> String {
    format!("standing {}", row.id)
}

async fn looked(reader: &mut Reader, row: &CampaignRow) -> Result<Option<Looked>, StoreError> {
    let mark = reader.mark(&mark(row)).await?;
    Ok(mark.and_then(|mark| serde_json::from_str(&mark).ok()))
}

/// Brings in what came into reach, moved or was called off, of every open standing campaign that runs; how
/// many occurrences changed. One campaign's failure keeps no other back.
pub(super) async fn bring_in(ctx: &Ctx, open: &[CampaignRow]) -> Result<u64, StoreError> {
    let mut reader = ctx.store.read().await?;
    let mut standing = Vec::new();
    for row in open {
        if row.is_standing() && row.status == CampaignStatus::Active {
            let before = looked(&mut reader, row).await?;
            if before.is_none_or(|before| ctx.clock.now() >= before.changed + LOOK_EVERY) {
                standing.push(row);
            }
        }
    }
    drop(reader);
    if standing.is_empty() {
        return Ok(0);
    }
    let changed = lead(ctx, PLANNING, async |term: Term| of_each(ctx, &term, standing).await);
    Ok(changed.await?.unwrap_or_default())
}

async fn of_each(ctx: &Ctx, term: &Term, standing: Vec<&CampaignRow>) -> Result<u64, StoreError> {
    let (mut changed, mut failure) = (0, None);
    for row in standing {
        let Some(trigger) = row.campaign.trigger.clone() else { continue };
        let standing = Standing { ctx, term, row, trigger: &trigger };
        match standing.bring_in().await {
            Ok(more) => changed += more,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                let campaign = &row.campaign.name;
                tracing::error!(error = error.outline(), %campaign, "occurrences could not be brought in");
                failure = Some(error);
            }
        }
    }
    failure.map_or(Ok(changed), Err)
}

/// A standing campaign at work.
struct Standing<'a> {
    ctx: &'a Ctx,
    term: &'a Term,
    row: &'a CampaignRow,
    trigger: &'a Trigger,
}

impl Standing<'_> {
    async fn bring_in(&self) -> Result<u64, StoreError> {
        match &self.trigger.on {
            Occasion::Event(kind) => self.by_events(kind).await,
            Occasion::Attribute(name) => self.by_attribute(name).await,
            Occasion::Every(period) => self.by_period(*period).await,
        }
    }

    async fn note(&self, looked: &Looked) -> Result<(), StoreError> {
        let mut tx = self.ctx.store.begin().await?;
        tx.hold_term(self.term).await?;
        let text = serde_json::to_string(looked).unwrap_or_default();
        tx.set_mark(&mark(self.row), &text).await?;
        tx.commit().await
    }

    async fn by_events(&self, kind: &EventKind) -> Result<u64, StoreError> {
        let (now, trigger) = (self.ctx.clock.now(), self.trigger);
        let submitted = self.row.submitted_at;
        let first = Looked { horizon: submitted - trigger.to, changed: submitted };
        let before = looked(&mut self.ctx.store.read().await?, self.row).await?.unwrap_or(first);
        let horizon = now + REACH - trigger.from;
        let kinds: Vec<EventKind> = [kind].into_iter().chain(&trigger.unless).cloned().collect();
        let mut reader = self.ctx.store.read().await?;
        let mut people: BTreeSet<RecipientId> = BTreeSet::new();
        if horizon > before.horizon {
            people.extend(reader.people_of_events(kind, (before.horizon, horizon)).await?);
        }
        people.extend(reader.people_of_changed_events(&kinds, before.changed - MARGIN).await?);
        drop(reader);
        let people: Vec<RecipientId> = people.into_iter().collect();
        let oldest = now - trigger.to - PAST_MAX;
        let (mut changed, mut waits) = (0, false);
        for chunk in people.chunks(CHUNK) {
            let mut reader = self.ctx.store.read().await?;
            let events = reader.events_of(chunk, &kinds, oldest - UNLESS_BACK).await?;
            drop(reader);
            let of = |person: &Recipient| {
                let stored = events.get(&person.id).map_or(&[][..], Vec::as_slice);
                let (own, unless): (Vec<_>, Vec<_>) =
                    stored.iter().partition(|event| event.kind == kind.as_str());
                let own = own.into_iter().filter(|event| event.at > oldest);
                PersonEvents {
                    occasions: own.map(with_attributes).collect(),
                    unless: unless.into_iter().map(|event| with_attributes(event).0).collect(),
                }
            };
            let done = self.decide(chunk, of).await?;
            changed += done.changed;
            waits |= done.waits;
        }
        let horizon = horizon.max(before.horizon);
        // who is in a claim is looked at again, until it is known what became of the call
        let seen = if waits { before.changed } else { now };
        self.note(&Looked { horizon, changed: seen }).await?;
        Ok(changed)
    }

    async fn by_attribute(&self, name: &str) -> Result<u64, StoreError> {
        let (now, trigger) = (self.ctx.clock.now(), self.trigger);
        let before = looked(&mut self.ctx.store.read().await?, self.row).await?;
        if before.is_some_and(|before| now < before.changed + ATTRIBUTES_EVERY) {
            return Ok(0);
        }
        let (mut changed, mut after) = (0, RecipientId(0));
        loop {
            let page = self.ctx.store.read().await?.recipients_after(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let days: HashMap<RecipientId, Vec<OccasionOf>> = page
                .iter()
                .filter_map(|person| {
                    let day = YearDay::parse(person.profile.attributes.get(name)?)?;
                    // what calls it off comes after it
                    let occasion = |(year, at): (i32, Instant)| {
                        let key = year.to_string();
                        OccasionOf { key, keyed: true, at, added_at: at, changed_at: at }
                    };
                    let near = occasions_of_day(
                        day,
                        now,
                        person.profile.zone_or(self.ctx.config.time_zone),
                    )
                    .into_iter();
                    let near = near.filter(|(_, at)| {
                        *at + trigger.from <= now + REACH && *at + trigger.to > now
                    });
                    let near: Vec<_> = near.map(occasion).collect();
                    (!near.is_empty()).then_some((person.id, near))
                })
                .collect();
            let mut people: Vec<RecipientId> = days.keys().copied().collect();
            people.sort_unstable();
            for chunk in people.chunks(CHUNK) {
                let mut reader = self.ctx.store.read().await?;
                let unless = reader.events_of(chunk, &trigger.unless, now - UNLESS_BACK).await?;
                drop(reader);
                let of = |person: &Recipient| {
                    let called = unless.get(&person.id).into_iter().flatten();
                    let days = days.get(&person.id).into_iter().flatten();
                    PersonEvents {
                        occasions: days.map(|day| (day.clone(), BTreeMap::new())).collect(),
                        // they call off what lies before them in the same year
                        unless: called
                            .map(|event| OccasionOf { keyed: false, ..with_attributes(event).0 })
                            .collect(),
                    }
                };
                changed += self.decide(chunk, of).await?.changed;
            }
        }
        self.note(&Looked { horizon: now, changed: now }).await?;
        Ok(changed)
    }

    async fn by_period(&self, period: Period) -> Result<u64, StoreError> {
        let (now, window) = (self.ctx.clock.now(), self.row.campaign.window);
        let mut begun = 0;
        let submitted = self.row.submitted_at;
        let first = now.min(submitted).naive_utc() - TimeDelta::days(1) - self.trigger.to;
        for occasion in occasions_from(period, window.start, first) {
            let run = Window {
                start: occasion + self.trigger.from,
                end: occasion + self.trigger.to,
                zone: window.zone,
            };
            let opens = window::span(&run, Tz::Etc__GMTMinus14).0;
            if occasion >= window.end || opens > now + REACH {
                break;
            }
            let ends_at = window::ends_at(&run);
            if ends_at <= now || ends_at <= submitted {
                continue;
            }
            let mut tx = self.ctx.store.begin().await?;
            tx.hold_term(self.term).await?;
            let new = (RunWindow(run), occasion.date(), ends_at, true);
            let (_, is_new) = self.run(&mut tx, new).await?;
            tx.commit().await?;
            begun += u64::from(is_new);
        }
        self.note(&Looked { horizon: now, changed: now }).await?;
        Ok(begun)
    }

    /// Decides about people and stores it, in one transaction.
    async fn decide(
        &self,
        people: &[RecipientId],
        of: impl Fn(&Recipient) -> PersonEvents,
    ) -> Result<StoredChanges, StoreError> {
        let (now, trigger, campaign) = (self.ctx.clock.now(), self.trigger, &*self.row.campaign);
        let audience = AudienceFilter::of(self.ctx, campaign, Some(people)).await;
        let audience = audience.map_err(unread)?;
        let mut tx = self.ctx.store.begin().await?;
        tx.hold_term(self.term).await?;
        let found = tx.recipients(people).await?;
        let mut known: HashMap<RecipientId, Vec<OccurrenceRow>> = HashMap::new();
        for row in tx.occurrences(self.row.id, people).await? {
            known.entry(row.occurrence.recipient).or_default().push(row);
        }
        let mut decided = Decided::default();
        for id in people {
            let Some(person) = found.get(id) else { continue };
            let known = known.remove(id).unwrap_or_default();
            let profile = &person.profile;
            let place = infer(profile.country.as_ref(), profile.address.as_ref());
            if known.is_empty() && !audience.holds(person, place.as_ref()) {
                continue;
            }
            let PersonEvents { mut occasions, unless } = of(person);
            let (stands_from, stands_to) =
                window::span(&campaign.window, person.profile.zone_or(self.ctx.config.time_zone));
            let stands_from = stands_from.max(self.row.submitted_at);
            let is_known = |key: &str| known.iter().any(|row| row.occurrence.key == key);
            occasions.retain(|(of, _)| {
                is_known(&of.key)
                    || of.at + trigger.to > stands_from && of.at + trigger.from < stands_to
            });
            let alone: Vec<OccasionOf> = occasions.iter().map(|(of, _)| of.clone()).collect();
            let before: Vec<KnownOccurrence> = known.iter().map(known_occurrence).collect();
            let changes = changes(trigger, now, &alone, &unless, &before);
            // what is otherwise the same may be described anew
            for (at, (occasion, attributes)) in occasions.iter().enumerate() {
                let same = |row: &&OccurrenceRow| row.occurrence.key == occasion.key;
                let stored = known.iter().find(same).map(|row| &row.occurrence);
                let is_changed = changes.iter().any(|(index, _)| *index == at);
                if let Some(stored) =
                    stored.filter(|of| of.attributes != *attributes && !is_changed)
                {
                    let described = Occurrence { attributes: attributes.clone(), ..stored.clone() };
                    decided.described.push(described);
                }
            }
            for (index, change) in changes {
                let (occasion, attributes) = &occasions[index];
                let told = before.iter().find(|known| known.key == occasion.key);
                let told_at = told.and_then(KnownOccurrence::told);
                let stored = known.iter().find(|row| row.occurrence.key == occasion.key);
                let run = stored.and_then(|row| row.occurrence.run);
                let occurrence = Occurrence {
                    recipient: *id,
                    key: occasion.key.clone(),
                    event_at: occasion.at,
                    opens_at: occasion.at + trigger.from,
                    closes_at: occasion.at + trigger.to,
                    run: None,
                    refused: None,
                    told_at,
                    attributes: attributes.clone(),
                };
                decided.note(change, occurrence, run);
            }
        }
        let stored = self.store(&mut tx, decided).await?;
        tx.commit().await?;
        Ok(stored)
    }

    async fn store(&self, tx: &mut Tx, decided: Decided) -> Result<StoredChanges, StoreError> {
        let now = self.ctx.clock.now();
        let (mut changed, mut waits) = (0, false);
        let mut put: Vec<Occurrence> = decided.described;
        let described = put.len();
        describe(tx, &self.row.campaign, &put).await?;
        for ((run, how), people) in decided.recalled {
            waits |= recall(tx, &self.row.campaign, run, (&people, how), now).await?;
        }
        // what leaves a run before what comes into it
        let mut left: BTreeMap<(i64, Reason), Vec<RecipientId>> = BTreeMap::new();
        for (_, reason, run, person) in &decided.withdrawn {
            left.entry((*run, *reason)).or_default().push(*person);
        }
        let mut gone: BTreeSet<(i64, RecipientId)> = BTreeSet::new();
        for ((run, reason), people) in left {
            let done = tx.withdraw_planned(run, &people, reason, now).await?;
            gone.extend(done.into_iter().map(|person| (run, person)));
        }
        for (what, reason, run, person) in decided.withdrawn {
            // who is in a claim is looked at again: the call sees the refusal, or it was too late for one
            let withdrawn = gone.contains(&(run, person));
            waits |= !withdrawn;
            match what {
                Withdrawn::Refused(occurrence) => {
                    changed += u64::from(withdrawn);
                    put.push(Occurrence { run: Some(run), refused: Some(reason), ..*occurrence });
                }
                Withdrawn::PutBack(key) if withdrawn => {
                    changed += 1;
                    tx.drop_occurrence(self.row.id, person, &key).await?;
                }
                Withdrawn::ToAnotherDay(occurrence) if withdrawn => {
                    let run = self.run_of(tx, &occurrence).await?;
                    put.push(Occurrence { run: Some(run), ..*occurrence });
                }
                Withdrawn::PutBack(_) | Withdrawn::ToAnotherDay(_) => {}
            }
        }
        for occurrence in decided.refused {
            changed += 1;
            put.push(occurrence);
        }
        for occurrence in decided.planned {
            let run = self.run_of(tx, &occurrence).await?;
            put.push(Occurrence { run: Some(run), ..occurrence });
        }
        let mut awaited: BTreeMap<i64, Vec<RecipientId>> = BTreeMap::new();
        for occurrence in put[described..].iter().filter(|of| of.refused.is_none()) {
            awaited
                .entry(occurrence.run.unwrap_or_default())
                .or_default()
                .push(occurrence.recipient);
            changed += 1;
        }
        tx.put_occurrences(self.row.id, &put).await?;
        for (run, people) in awaited {
            tx.await_decision(run, &people, now).await?;
        }
        Ok(StoredChanges { changed, waits })
    }

    /// The run that carries an occurrence.
    async fn run_of(&self, tx: &mut Tx, occurrence: &Occurrence) -> Result<i64, StoreError> {
        let run = run_window(self.trigger, occurrence.closes_at);
        let day = run.0.end.date() - Days::new(1);
        let ends_at = window::ends_at(&run.0);
        Ok(self.run(tx, (run, day, ends_at, false)).await?.0)
    }

    /// The run with a window, and whether it is new.
    async fn run(
        &self,
        tx: &mut Tx,
        (window, day, ends_at, is_whole): (RunWindow, NaiveDate, Instant, bool),
    ) -> Result<(i64, bool), StoreError> {
        if let Some(run) = tx.run_with(self.row.id, &window).await? {
            return Ok((run, false));
        }
        for name in part_names(&self.row.campaign.name, day) {
            let new = NewRun { name: name?, window: window.clone(), ends_at, is_whole };
            if let Some(run) = tx.add_run(self.row, &new, self.ctx.clock.now()).await? {
                return Ok((run, true));
            }
        }
        Err(no_free_name(&self.row.campaign.name))
    }
}

/// An audience that cannot be told is a campaign that cannot be read.
fn unread(error: SegmentError) -> StoreError {
    match error {
        SegmentError::Store(error) => error,
        error => {
            let wanted = "an audience of this workspace";
            let cause = crate::model::Invalid::new("audience", error, wanted);
            StoreError::Corrupt { table: "campaign", cause }
        }
    }
}

/// What happens to a person, and what calls it off.
struct PersonEvents {
    occasions: Vec<(OccasionOf, BTreeMap<String, String>)>,
    unless: Vec<OccasionOf>,
}

fn with_attributes(event: &StoredEvent) -> (OccasionOf, BTreeMap<String, String>) {
    let occasion = OccasionOf {
        key: event.key.clone(),
        keyed: event.keyed,
        at: event.at,
        added_at: event.added_at,
        changed_at: event.changed_at,
    };
    (occasion, event.attributes.clone())
}

fn known_occurrence(row: &OccurrenceRow) -> KnownOccurrence {
    let state = match (row.occurrence.refused, row.state) {
        (Some(reason), _) => OccurrenceState::Refused(reason),
        (None, None | Some(State::Planned | State::Refused)) => OccurrenceState::Open,
        (None, Some(_)) => OccurrenceState::Done,
    };
    let Occurrence { key, event_at, told_at, .. } = &row.occurrence;
    KnownOccurrence { key: key.clone(), at: *event_at, state, told: *told_at }
}

/// The window of the run for spans that end at a time: all that end on the same day (UTC).
fn run_window(trigger: &Trigger, closes_at: Instant) -> RunWindow {
    let day = (closes_at - TimeDelta::microseconds(1)).date_naive().and_time(NaiveTime::MIN);
    let span = trigger.to - trigger.from;
    RunWindow(Window { start: day - span, end: day + TimeDelta::days(1), zone: Some(Tz::UTC) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_end_on_one_day_share_a_run() {
        let trigger = Trigger {
            on: Occasion::Attribute("birthday".to_owned()),
            from: TimeDelta::hours(-44),
            to: TimeDelta::hours(-18),
            unless: Vec::new(),
            again_after: TimeDelta::days(1),
        };
        let window = |at: &str| run_window(&trigger, at.parse().unwrap()).to_string();
        let of_first = "2026-11-29T22:00:00/2026-12-02T00:00:00/UTC";
        assert_eq!(window("2026-12-01T00:00:01Z"), of_first);
        assert_eq!(window("2026-12-02T00:00:00Z"), of_first);
        assert_ne!(window("2026-12-02T00:00:01Z"), of_first);
    }
}
