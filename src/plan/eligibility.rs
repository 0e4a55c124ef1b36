//! Candidates: who may be written to at all, when, and with which variants; else the reason.
//!
//! Slots are found once for each group of people with the same zone, country and region. What only
//! one person is bound by (frequency caps, an earlier attempt) becomes spans banned to that person.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use chrono::{Days, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::request::{AudienceMember, Carrier, Request, Setting};
use super::solve::LANES;
use super::variants::variant_lists;
use crate::calendar::law::Case;
use crate::calendar::quiet::Quiet;
use crate::calendar::window::{allowed_slots, span};
use crate::calendar::zone::{instant, local, week_hours};
use crate::model::campaign::Campaign;
use crate::model::content::Category;
use crate::model::delivery::Reason;
use crate::model::frequency::{Cap, RecentSend};
use crate::model::ids::RecipientId;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// What people of one zone, country and region share.
#[derive(Debug, Clone, Default)]
pub(super) struct SlotClass {
    /// The allowed slots, as indices into the campaign's, in order.
    pub(super) slots: Vec<u32>,
    /// The allowed slots by the local hours that they overlap.
    pub(super) value_classes: Vec<ValueClass>,
    /// The value class of each allowed slot.
    pub(super) value_class_of: Vec<u32>,
    /// Local days from the first allowed slot to the last, by the control time.
    control: Vec<ControlDay>,
    /// Whether slots were allowed that have passed.
    passed: bool,
}

/// A local day, as the control arm sees it.
#[derive(Debug, Clone)]
struct ControlDay {
    /// The slot that holds the control time, where it is allowed.
    at: Option<u32>,
    /// The allowed slots after the control time: a range of the class's.
    later: Range<usize>,
}

/// Slots that overlap the same hours of the local week, and so are worth the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ValueClass {
    /// Hours of the local week and the share of the slot in each.
    pub(super) hours: Vec<(usize, f64)>,
    /// The slots, as indices into the campaign's.
    pub(super) slots: Vec<u32>,
    /// The middle of the first of them: slots that lie days apart share a class only where other
    /// messages do not tell them apart.
    pub(super) at: Instant,
}

/// A person who may be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Eligibility {
    /// Index of the slot class.
    pub(super) slot_class: u32,
    /// Index of the list of variants that fit.
    pub(super) variant_list: u32,
    /// Spans of the campaign's slots banned to this person: a range of `Candidates::bans`.
    pub(super) bans: (u32, u32),
}

/// The candidates of one campaign.
pub(super) struct Candidates {
    /// Every slot that is allowed to anybody, in order.
    pub(super) slots: Vec<Slot>,
    /// The slot classes.
    pub(super) slot_classes: Vec<SlotClass>,
    /// Lists of variants, by index in the campaign.
    pub(super) variant_lists: Vec<Vec<u16>>,
    /// For each person: may be planned, or why not.
    pub(super) eligibilities: Vec<Result<Eligibility, Reason>>,
    /// Spans of slots banned to single people.
    pub(super) bans: Vec<Range<u32>>,
    /// What campaigns of the same plan that were decided before send to people, by index, where
    /// other messages change values.
    pub(super) earlier: HashMap<usize, Vec<CountedMessage>>,
    /// Likewise what campaigns that are decided together with this one may send.
    pub(super) beside: HashMap<usize, Vec<CountedMessage>>,
}

/// A message that another campaign of the same plan sends to a person: it goes at some time from
/// the first instant up to the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedMessage {
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) category: Option<Category>,
}

impl From<&RecentSend> for CountedMessage {
    fn from(taken: &RecentSend) -> Self {
        Self { from: taken.at, to: taken.at, category: taken.category }
    }
}

/// What campaigns of the same plan that were decided before send to each person.
pub(super) type EarlierMessages = HashMap<RecipientId, Vec<CountedMessage>>;

impl Candidates {
    /// Finds the candidates of a request.
    pub(super) fn find(
        setting: &Setting<'_>,
        carrier: &Carrier<'_>,
        request: &Request<'_>,
        earlier: &EarlierMessages,
    ) -> Self {
        let (slots, slot_classes, ground_of) = slot_classes(setting, carrier, request);
        let mut found = Self {
            slots,
            slot_classes,
            variant_lists: Vec::new(),
            eligibilities: Vec::with_capacity(request.people.len()),
            bans: Vec::new(),
            earlier: HashMap::new(),
            beside: HashMap::new(),
        };
        let variant_lists = variant_lists(request, setting.threads);
        let mut known: HashMap<Vec<u16>, u32> = HashMap::new();
        for ((person, slot_class), variant_list) in
            request.people.iter().zip(ground_of).zip(variant_lists)
        {
            let more = earlier.get(&person.id).map_or(&[][..], Vec::as_slice);
            found.note_earlier(request, found.eligibilities.len(), more);
            let counted_person = CountedPerson { person, more, request };
            let eligibility = variant_list.and_then(|variant_list| {
                let variant_lists = &mut found.variant_lists;
                let variant_list = *known.entry(variant_list).or_insert_with_key(|variant_list| {
                    variant_lists.push(variant_list.clone());
                    variant_lists.len() as u32 - 1
                });
                found.assess(setting, &counted_person, slot_class, variant_list)
            });
            found.eligibilities.push(eligibility);
        }
        found
    }

    /// Looks again at one person, to whom other campaigns have sent more meanwhile.
    pub(super) fn assess_again(
        &mut self,
        setting: &Setting<'_>,
        request: &Request<'_>,
        index: usize,
        more: &[CountedMessage],
    ) {
        if let Ok(eligibility) = self.eligibilities[index] {
            self.note_earlier(request, index, more);
            let counted_person = CountedPerson { person: &request.people[index], more, request };
            self.eligibilities[index] = self.assess(
                setting,
                &counted_person,
                eligibility.slot_class,
                eligibility.variant_list,
            );
        }
    }

    fn note_earlier(&mut self, request: &Request<'_>, index: usize, more: &[CountedMessage]) {
        if request.fatigue_until.is_some() && !more.is_empty() {
            self.earlier.insert(index, more.to_vec());
        }
    }

    /// Other messages to a person of the request that are known to go.
    pub(super) fn messages_to(&self, request: &Request<'_>, index: usize) -> Vec<CountedMessage> {
        let taken = request.people[index].taken.iter().map(CountedMessage::from);
        taken.chain(self.earlier.get(&index).into_iter().flatten().copied()).collect()
    }

    fn assess(
        &mut self,
        setting: &Setting<'_>,
        counted_person: &CountedPerson<'_>,
        slot_class: u32,
        variant_list: u32,
    ) -> Result<Eligibility, Reason> {
        let at = &self.slot_classes[slot_class as usize];
        if at.slots.is_empty() {
            return Err(if at.passed { Reason::WindowOver } else { Reason::NoAllowedSlot });
        }
        let first = self.bans.len() as u32;
        let earlier = |slot: Slot| self.slots.partition_point(|other| *other < slot) as u32;
        let before = |at: Instant| earlier(Slot::from_instant_on(at, setting.length));
        let over_by = |at: Instant| earlier(Slot::holding(at, setting.length));
        let from = |at: Option<Instant>| before(at.unwrap_or(setting.now));
        let person = counted_person.person;
        let (late, held) = (from(person.replan.map(|a| a.from)), from(person.not_before));
        let paused = from(person.paused_until);
        let first_free = late.max(held).max(paused);
        if first_free > 0 {
            self.bans.push(0..first_free);
        }
        let span = person.span.map(|(opens, closes)| before(opens)..over_by(closes));
        let unwanted = self.unwanted(setting, person, at);
        self.bans.extend(unwanted);
        if let Some(span) = &span {
            self.bans.extend([0..span.start, span.end..self.slots.len() as u32]);
        }
        for (from, to) in capped(counted_person.request.caps(setting), counted_person) {
            let capped = over_by(from)..before(to);
            if !capped.is_empty() {
                self.bans.push(capped);
            }
        }
        let bans = (first, self.bans.len() as u32);
        let eligibility = Eligibility { slot_class, variant_list, bans };
        if at.slots.iter().any(|slot| self.may_take(&eligibility, *slot)) {
            return Ok(eligibility);
        }
        let all_before = |index: u32| at.slots.iter().all(|slot| *slot < index);
        let reason = if span.is_some_and(|span| !at.slots.iter().any(|slot| span.contains(slot))) {
            let over = person.span.is_some_and(|(_, closes)| closes <= setting.now);
            if over { Reason::WindowOver } else { Reason::NoAllowedSlot }
        } else if all_before(late) {
            Reason::NoAllowedSlot
        } else if all_before(paused) {
            Reason::AskedToWait
        } else if !at
            .slots
            .iter()
            .any(|slot| is_wanted(setting, person, self.slots[*slot as usize]))
        {
            Reason::Unwanted
        } else if all_before(held) {
            Reason::ProviderForbids
        } else {
            Reason::FrequencyCap
        };
        self.bans.truncate(first as usize);
        Err(reason)
    }

    /// The slots of a class in which the person wants no messages.
    fn unwanted(
        &self,
        setting: &Setting<'_>,
        person: &AudienceMember<'_>,
        class: &SlotClass,
    ) -> Vec<Range<u32>> {
        if person.wishes.is_empty() {
            return Vec::new();
        }
        let slot = |at: &&u32| self.slots[**at as usize];
        let unwanted = class.slots.iter().filter(|at| !is_wanted(setting, person, slot(at)));
        unwanted.map(|at| *at..*at + 1).collect()
    }

    /// The slot of a person that holds the control time, on the first day on which it is allowed.
    pub(super) fn control_slot(&self, eligibility: &Eligibility) -> Option<u32> {
        self.control_day(eligibility).map(|(_, slot)| slot)
    }

    /// A person's allowed slots, from the control time of the first day on which it is allowed:
    /// that slot, the later ones of the day, the same of the next days, and at last all there are.
    /// Some come twice.
    pub(super) fn slots_from_control_time(
        &self,
        eligibility: &Eligibility,
    ) -> impl Iterator<Item = u32> {
        let class = &self.slot_classes[eligibility.slot_class as usize];
        let first = self.control_day(eligibility).map_or(0, |(day, _)| day);
        let later = |day: &ControlDay| class.slots[day.later.clone()].iter().copied();
        let days = class.control[first..].iter();
        days.flat_map(move |day| day.at.into_iter().chain(later(day)))
            .chain(class.slots.iter().copied())
            .filter(|slot| self.may_take(eligibility, *slot))
    }

    /// The first day on which the control time is allowed to a person, and its slot.
    fn control_day(&self, eligibility: &Eligibility) -> Option<(usize, u32)> {
        let days = &self.slot_classes[eligibility.slot_class as usize].control;
        let allowed = |day: &ControlDay| day.at.filter(|slot| self.may_take(eligibility, *slot));
        days.iter().enumerate().find_map(|(at, day)| Some((at, allowed(day)?)))
    }

    /// Whether a slot of the person's slot class is not banned to the person.
    pub(super) fn may_take(&self, eligibility: &Eligibility, slot: u32) -> bool {
        let bans = &self.bans[eligibility.bans.0 as usize..eligibility.bans.1 as usize];
        bans.iter().all(|ban| !ban.contains(&slot))
    }
}

/// Whether all of a slot lies where the person wants messages.
fn is_wanted(setting: &Setting<'_>, person: &AudienceMember<'_>, slot: Slot) -> bool {
    let last = slot.end(setting.length) - TimeDelta::microseconds(1);
    let moments = [slot.start(setting.length), last];
    moments.iter().all(|at| person.wishes.allow_time(local(*at, person.zone)))
}

/// A person in a campaign, with the messages that count against caps.
struct CountedPerson<'a> {
    person: &'a AudienceMember<'a>,
    /// Besides those that the caller knows of.
    more: &'a [CountedMessage],
    request: &'a Request<'a>,
}

/// Open spans of time in which one more message to a person would break a cap.
fn capped<'a>(
    caps: impl Iterator<Item = &'a Cap>,
    counted_person: &CountedPerson<'_>,
) -> Vec<(Instant, Instant)> {
    let mut spans = Vec::new();
    let own = Some(counted_person.request.campaign.category);
    for cap in caps.filter(|cap| cap.counts(own)) {
        let taken = counted_person
            .person
            .taken
            .iter()
            .map(CountedMessage::from)
            .chain(counted_person.more.iter().copied());
        let counted = taken.filter(|sent| cap.counts(sent.category));
        let mut times: Vec<(Instant, Instant)> = counted.map(|sent| (sent.from, sent.to)).collect();
        times.sort_unstable();
        // so many together that one more within a span of them all is one too many
        for run in times.windows(cap.most as usize) {
            let (first, last) = (run[0], run[run.len() - 1]);
            if last.0 - first.1 < cap.span {
                spans.push((last.0 - cap.span, first.1 + cap.span));
            }
        }
    }
    spans
}

/// The campaign's slots, its slot classes, and the slot class of each person.
fn slot_classes(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    request: &Request<'_>,
) -> (Vec<Slot>, Vec<SlotClass>, Vec<u32>) {
    let mut known = HashMap::new();
    let mut firsts: Vec<&AudienceMember<'_>> = Vec::new();
    let ground_of: Vec<u32> = (request.people.iter())
        .map(|person| {
            *known
                .entry((person.zone, person.country, person.region, person.number))
                .or_insert_with(|| {
                    firsts.push(person);
                    firsts.len() as u32 - 1
                })
        })
        .collect();
    let campaign = request.campaign;
    let (length, now) = (setting.length, setting.now);
    let allowed = |person: &&AudienceMember<'_>| {
        let quiet = quiet_of(setting, carrier, campaign, person);
        let slots = allowed_slots(&campaign.window, &quiet, person.zone, length, now);
        let past = || {
            let (opens, _) = span(&campaign.window, person.zone);
            let any = allowed_slots(&campaign.window, &quiet, person.zone, length, opens.min(now));
            !any.is_empty()
        };
        let passed = slots.is_empty() && past();
        (slots, passed)
    };
    let allowed: Vec<(Vec<Slot>, bool)> = firsts.iter().map(allowed).collect();
    let mut slots: Vec<Slot> =
        allowed.iter().flat_map(|(slots, _)| slots.iter().copied()).collect();
    slots.sort_unstable();
    slots.dedup();
    let slot_classes = (firsts.iter().zip(&allowed))
        .map(|(person, (allowed, passed))| {
            let mut slot_class = SlotClass::new(&slots, allowed, request, person.zone, length);
            slot_class.passed = *passed;
            slot_class
        })
        .collect();
    (slots, slot_classes, ground_of)
}

/// The quiet hours and laws that bind a campaign's message to a person.
pub(super) fn quiet_of(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    campaign: &Campaign,
    person: &AudienceMember<'_>,
) -> Quiet {
    let case = Case {
        country: person.country,
        region: person.region,
        channel: carrier.channel,
        category: campaign.category,
    };
    let quiet = Quiet::new(setting.rules, case, campaign.quiet_hours, setting.quiet);
    match person.number {
        None => quiet,
        Some((country, region)) => {
            quiet.with_laws(setting.rules, Case { country: Some(country), region, ..case })
        }
    }
}

impl SlotClass {
    fn new(
        slots: &[Slot],
        allowed: &[Slot],
        request: &Request<'_>,
        tz: Tz,
        length: SlotLength,
    ) -> Self {
        let mut slot_class = Self::default();
        let mut value_classes: BTreeMap<(i64, Vec<(usize, u64)>), usize> = BTreeMap::new();
        let begin = allowed.first().map(|slot| slot.start(length));
        // while other messages are felt, the same hour of another week is another class
        let week = |slot: &Slot| {
            let (start, until) = (slot.start(length), request.fatigue_until);
            let felt = begin.filter(|_| until.is_some_and(|until| start < until));
            felt.map_or(-1, |begin| (start - begin).num_weeks())
        };
        for slot in allowed {
            let index =
                slots.binary_search(slot).expect("the campaign's slots hold each slot_class's");
            let hours: Vec<(usize, f64)> = week_hours(*slot, length, tz).collect();
            let key = hours.iter().map(|(hour, share)| (*hour, share.to_bits())).collect();
            let value_class = *value_classes.entry((week(slot), key)).or_insert_with(|| {
                let at = slot.middle(length);
                slot_class.value_classes.push(ValueClass { hours, slots: Vec::new(), at });
                slot_class.value_classes.len() - 1
            });
            slot_class.value_classes[value_class].slots.push(index as u32);
            slot_class.slots.push(index as u32);
            slot_class.value_class_of.push(value_class as u32);
        }
        slot_class.control = slot_class.control_days(slots, request.campaign, tz, length);
        slot_class
    }

    fn control_days(
        &self,
        slots: &[Slot],
        campaign: &Campaign,
        tz: Tz,
        length: SlotLength,
    ) -> Vec<ControlDay> {
        let (Some(first), Some(last)) = (self.slots.first(), self.slots.last()) else {
            return Vec::new();
        };
        let day = |slot: &u32| local(slots[*slot as usize].start(length), tz).date();
        let from = |at: Instant| {
            self.slots.partition_point(|slot| slots[*slot as usize].start(length) < at)
        };
        let (mut date, last) = (day(first), day(last));
        let mut days = Vec::new();
        while date <= last {
            let Some(next) = date.checked_add_days(Days::new(1)) else { break };
            let time = instant(date.and_time(campaign.arms.control_time), tz);
            let holding = slots.binary_search(&Slot::holding(time, length)).ok();
            let at = holding.map(|at| at as u32).filter(|at| self.slots.binary_search(at).is_ok());
            let end = from(instant(next.and_time(NaiveTime::MIN), tz));
            days.push(ControlDay { at, later: from(time).min(end)..end });
            date = next;
        }
        days
    }

    /// The length of a row of values, one a value class, as the solver pads it.
    pub(super) fn row(&self) -> usize {
        self.value_classes.len().next_multiple_of(LANES)
    }

    /// The value class of one of its slots.
    pub(super) fn value_class(&self, slot: u32) -> usize {
        let at = self.slots.binary_search(&slot).expect("the slot is one of the slot_class's");
        self.value_class_of[at] as usize
    }
}
