//! Occasions of people in a scenario: booked, booked anew, cancelled. What was told when is remembered, and
//! held against what standing campaigns sent. Looks with eyes of its own: nothing here asks the planner.

use std::collections::{BTreeMap, HashMap};

use chrono::{TimeDelta, Timelike};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::event::BookingTimes;
use super::faults::Call;
use super::{GRAIN, ROUND, ReplayError};
use crate::calendar::zone::{instant, local};
use crate::model::campaign::{Occasion, Trigger};
use crate::model::delivery::Reason;
use crate::model::event::{EventKind, PersonEvent};
use crate::model::ids::{Name, RecipientId, RecipientKey};
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::store::{CampaignRow, Occurrence};
use crate::work::Ctx;

/// A change is heard of at the daemon's next round: what was true so long before a call excuses it.
const GRACE: TimeDelta = ROUND.checked_add(&GRAIN).expect("both are minutes");
/// Bookings lie in these hours of people's own days.
const OPEN_HOURS: std::ops::Range<u32> = 8..19;

/// An occasion of a person, as it was told in turn.
#[derive(Debug, Clone)]
struct BookedOccasion {
    recipient: RecipientKey,
    kind: EventKind,
    key: String,
    /// What was told: when, and when it is to be; absent: that it is cancelled.
    told: Vec<(Instant, Option<Instant>)>,
}

impl BookedOccasion {
    fn last(&self) -> (Instant, Option<Instant>) {
        *self.told.last().expect("it was booked")
    }

    /// When it was to be by what was true at some moment of a span of time.
    fn times_between(&self, from: Instant, to: Instant) -> impl Iterator<Item = Instant> + '_ {
        let until = self.told.iter().skip(1).map(|(at, _)| *at).chain([Instant::MAX_UTC]);
        self.told
            .iter()
            .zip(until)
            .filter(move |((told, _), until)| *told <= to && *until > from)
            .filter_map(|((_, at), _)| *at)
    }
}

/// All that was booked in a replay.
#[derive(Debug, Clone, Default)]
pub(super) struct Bookings(Vec<BookedOccasion>);

impl Bookings {
    /// Books something for people; the events that tell of it.
    pub(super) fn book(
        &mut self,
        kind: &EventKind,
        people: &[(Recipient, chrono_tz::Tz)],
        times: BookingTimes,
        (now, chance): (Instant, &mut ChaCha8Rng),
    ) -> Vec<(RecipientId, PersonEvent)> {
        let mut events = Vec::with_capacity(people.len());
        for (person, zone) in people {
            let at = times.draw(now, *zone, chance);
            let key = format!("b{}", self.0.len() + 1);
            events.push((person.id, booked(kind, &key, at)));
            let (recipient, kind) = (person.key.clone(), kind.clone());
            self.0.push(BookedOccasion { recipient, kind, key, told: vec![(now, Some(at))] });
        }
        events
    }

    /// Changes a share of what is booked and lies ahead; with `times` it moves, without it is cancelled by
    /// an event of the kind `by`.
    pub(super) fn change(
        &mut self,
        kind: &EventKind,
        share: f64,
        people: &HashMap<RecipientKey, (RecipientId, chrono_tz::Tz)>,
        what: &BookingChange,
        (now, chance): (Instant, &mut ChaCha8Rng),
    ) -> Vec<(RecipientId, PersonEvent)> {
        let mut events = Vec::new();
        for booking in self.0.iter_mut().filter(|booking| booking.kind == *kind) {
            let ahead = booking.last().1.is_some_and(|at| at > now);
            if !ahead || chance.r#gen::<f64>() >= share {
                continue;
            }
            let Some((id, zone)) = people.get(&booking.recipient) else { continue };
            let event = match what {
                BookingChange::To(times) => {
                    let at = times.draw(now, *zone, chance);
                    booking.told.push((now, Some(at)));
                    booked(kind, &booking.key, at)
                }
                BookingChange::Cancelled { by } => {
                    booking.told.push((now, None));
                    booked(by, &booking.key, now)
                }
            };
            events.push((*id, event));
        }
        events
    }

    /// What standing campaigns sent that they should not have, and whom they forgot.
    pub(super) async fn check(
        &self,
        ctx: &Ctx,
        campaigns: &[CampaignRow],
        calls: &[Call],
    ) -> Result<Vec<String>, ReplayError> {
        let mut broken = Vec::new();
        for row in campaigns.iter().filter(|row| row.is_standing()) {
            let Some(trigger) = &row.campaign.trigger else { continue };
            let Occasion::Event(kind) = &trigger.on else { continue };
            let mut of: BTreeMap<&RecipientKey, Vec<&BookedOccasion>> = BTreeMap::new();
            for booking in self.0.iter().filter(|booking| booking.kind == *kind) {
                of.entry(&booking.recipient).or_default().push(booking);
            }
            if of.is_empty() {
                // a workspace's own events were told before the replay
                continue;
            }
            let is_run =
                |run: &&CampaignRow| run.parent == Some(row.id) && run.fallback_of.is_none();
            let runs = campaigns.iter().filter(is_run);
            let runs: Vec<&Name> = runs.map(|run| &run.campaign.name).collect();
            let mut sent: BTreeMap<&RecipientKey, Vec<&Call>> = BTreeMap::new();
            for call in calls.iter().filter(|call| call.heard && runs.contains(&&call.campaign)) {
                sent.entry(&call.recipient).or_default().push(call);
            }
            for (person, calls) in &mut sent {
                calls.sort_by_key(|call| call.at);
                calls_of(trigger, of.get(person).map_or(&[], Vec::as_slice), calls, &mut broken);
            }
            let recipients = ctx.store.read().await?.everybody().await?;
            let ids: Vec<RecipientId> =
                recipients.iter().filter(|r| of.contains_key(&r.key)).map(|r| r.id).collect();
            let mut known: HashMap<RecipientId, Vec<Occurrence>> = HashMap::new();
            for found in ctx.store.read().await?.occurrences(row.id, &ids).await? {
                let occurrence = found.occurrence;
                known.entry(occurrence.recipient).or_default().push(occurrence);
            }
            // without consent they are in no audience
            for person in recipients.iter().filter(|person| person.consented) {
                let Some(bookings) = of.get(&person.key) else { continue };
                let known = known.remove(&person.id).unwrap_or_default();
                let ends = (row.submitted_at, ctx.clock.now());
                for b in bookings {
                    decided(trigger, (b, bookings), &known, ends, &mut broken);
                }
            }
        }
        Ok(broken)
    }
}

/// What becomes of a booking.
pub(super) enum BookingChange {
    /// It moves.
    To(BookingTimes),
    /// It is cancelled.
    Cancelled {
        /// By an event of this kind.
        by: EventKind,
    },
}

impl BookingTimes {
    /// A whole hour of the person's day that lies ahead by no less than asked for, somewhat later where
    /// nobody is open.
    fn draw(self, now: Instant, zone: chrono_tz::Tz, chance: &mut ChaCha8Rng) -> Instant {
        let later = self.spread.num_minutes() as f64 * chance.r#gen::<f64>();
        let wall = local(now + self.wait + TimeDelta::minutes(later as i64), zone);
        let day = wall.date();
        let first = wall.hour() + u32::from(wall.minute() > 0 || wall.second() > 0);
        let (day, hour) = match first {
            hour if hour < OPEN_HOURS.start => (day, OPEN_HOURS.start),
            hour if hour < OPEN_HOURS.end => (day, hour),
            _ => (day.succ_opt().unwrap_or(day), OPEN_HOURS.start),
        };
        instant(day.and_hms_opt(hour, 0, 0).expect("an hour of the day"), zone)
    }
}

fn booked(kind: &EventKind, key: &str, at: Instant) -> PersonEvent {
    let key = Some(key.parse().expect("a letter and digits are a valid key"));
    PersonEvent { kind: kind.clone(), key, id: None, at, attributes: BTreeMap::new() }
}

/// Each message goes out in the span of a booking that was known and not cancelled, and no two are about
/// bookings too near each other.
fn calls_of(
    trigger: &Trigger,
    bookings: &[&BookedOccasion],
    calls: &[&Call],
    broken: &mut Vec<String>,
) {
    let about = |call: &Call| -> Vec<Instant> {
        let times = bookings.iter().flat_map(|b| b.times_between(call.at - GRACE, call.at));
        times.filter(|at| (*at + trigger.from..*at + trigger.to).contains(&call.at)).collect()
    };
    let about: Vec<Vec<Instant>> = calls.iter().map(|call| about(call)).collect();
    for (index, (call, times)) in calls.iter().zip(&about).enumerate() {
        let (key, at) = (&call.key, call.at);
        if times.is_empty() {
            broken
                .push(format!("message {key} left at {at}, in the span of nothing that is booked"));
        }
        // one that moves there and back may be told of again
        let before = index.checked_sub(1).map(|before| (calls[before], &about[before]));
        if let Some((other, earlier)) = before {
            let apart =
                |a: &Instant| earlier.iter().any(|b| (*a - *b).abs() >= trigger.again_after);
            if !times.iter().any(apart) {
                let (other, then) = (&other.key, other.at);
                broken.push(format!(
                    "messages {other} at {then} and {key} at {at} are about the same booking"
                ));
            }
        }
    }
}

/// Whatever came into reach was decided, and refused for a reason that is true.
fn decided(
    trigger: &Trigger,
    (booking, all): (&BookedOccasion, &[&BookedOccasion]),
    known: &[Occurrence],
    (submitted, end): (Instant, Instant),
    broken: &mut Vec<String>,
) {
    let who = || format!("booking {} of {}", booking.key, booking.recipient);
    let found = known.iter().find(|of| of.key == booking.key);
    let (told, last) = booking.last();
    let seen = told + GRACE < end;
    let Some(occurrence) = found else {
        let due = last.is_some_and(|at| {
            at + trigger.from + GRACE < end && at + trigger.to > submitted.max(told)
        });
        if due && seen {
            broken.push(format!("{}: its span began, and nothing was decided", who()));
        }
        return;
    };
    let is_true = match occurrence.refused {
        None => true,
        // told of, and moved out of reach
        Some(Reason::EventMoved) => booking.told.len() > 1,
        Some(Reason::CalledOff) => booking.told.iter().any(|(_, at)| at.is_none()),
        Some(Reason::WindowOver) => booking
            .told
            .iter()
            .any(|(told, at)| at.is_some_and(|at| at + trigger.to <= *told + GRACE)),
        // by what was told at some time, also of itself: there may have been a message about that
        Some(Reason::AgainTooSoon) => all.iter().any(|other| {
            let is_own = |at| other.key == booking.key && at == occurrence.event_at;
            let near = |at: Instant| (at - occurrence.event_at).abs() < trigger.again_after;
            other.told.iter().any(|(_, at)| at.is_some_and(|at| near(at) && !is_own(at)))
        }),
        Some(_) => false,
    };
    if !is_true {
        broken.push(format!("{}: refused as {:?}, which is not so", who(), occurrence.refused));
    }
    if !booking.told.iter().any(|(_, at)| *at == Some(occurrence.event_at)) {
        let at = occurrence.event_at;
        broken.push(format!("{}: decided for {at}, which nobody told", who()));
    }
    // what moves while its message can still move takes it along; what is cancelled takes it back
    let can_move = |at: Instant| told < occurrence.opens_at && at + trigger.from + GRACE < end;
    match last {
        Some(at) if seen && can_move(at) && at != occurrence.event_at => {
            broken.push(format!(
                "{}: it moved to {at} before anything left, and its message did not",
                who()
            ));
        }
        None if seen && told + GRACE < occurrence.opens_at && occurrence.refused.is_none() => {
            broken.push(format!("{}: it was cancelled before its span, and is not refused", who()));
        }
        _ => {}
    }
}
