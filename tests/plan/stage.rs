//! A stage for plans: a campaign, a crowd, and what must hold of any plan.

use std::collections::BTreeMap;

use opportune::calendar::law::Case;
use opportune::calendar::quiet::Quiet;
use opportune::calendar::window;
use opportune::model::campaign::Campaign;
use opportune::model::delivery::{Arm, State};
use opportune::model::frequency::RecentSend;
use opportune::model::preference::ReplyDelays;
use opportune::model::slot::Slot;
use opportune::model::time::Instant;
use opportune::plan::{Booking, Carrier, Plan, Request, Setting, arm_of, plan};

use crate::planning::Crowd;

/// A provider without limits.
pub(crate) const EASY: Carrier<'_> =
    Carrier { channel: "http", per_second: None, unique_per_day: None, booked: &[] };

pub(crate) fn one(setting: &Setting<'_>, carrier: &Carrier<'_>, request: Request<'_>) -> Plan {
    plan(setting, carrier, &[request]).remove(0)
}

/// A campaign for a crowd, and what it has booked.
pub(crate) struct Stage {
    pub(crate) crowd: Crowd,
    pub(crate) campaign: Campaign,
    pub(crate) booked: Vec<Booking>,
    pub(crate) reply_delays: ReplyDelays,
    pub(crate) fatigue_until: Option<Instant>,
}

impl Stage {
    pub(crate) fn of(crowd: Crowd, more: &str) -> Self {
        let campaign = crowd.campaign(more);
        let reply_delays = ReplyDelays::default();
        Self { crowd, campaign, booked: Vec::new(), reply_delays, fatigue_until: None }
    }

    /// Calls `ask` with the request for everybody.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(Request<'_>) -> T) -> T {
        let people = self.crowd.people();
        let preference = |person: usize| self.crowd.preference(person);
        ask(Request {
            campaign: &self.campaign,
            people: &people,
            preference: &preference,
            booked: &self.booked,
            reply_delays: &self.reply_delays,
            fatigue_until: self.fatigue_until,
        })
    }

    /// Plans, and checks everything that must hold of any plan.
    pub(crate) fn plan(&self, setting: &Setting<'_>, carrier: &Carrier<'_>) -> Plan {
        self.ask(|request| {
            let plan = one(setting, carrier, request);
            check(setting, &request, &plan);
            plan
        })
    }
}

pub(crate) fn by_slot(plan: &Plan, arm: Option<Arm>) -> BTreeMap<Slot, u32> {
    let mut sums = BTreeMap::new();
    for delivery in plan.deliveries.iter().filter(|d| arm.is_none() || d.arm == arm) {
        if let Some(choice) = &delivery.choice {
            *sums.entry(choice.slot).or_default() += 1;
        }
    }
    sums
}

pub(crate) fn reasons(plan: &Plan) -> BTreeMap<&'static str, usize> {
    let mut sums = BTreeMap::new();
    plan.deliveries.iter().for_each(|d| *sums.entry(d.reason.as_str()).or_default() += 1);
    sums
}

pub(crate) const ARMS: &str =
    "[arms]\npersonalized = 0.7\nexplore = 0.1\ncontrol = 0.1\nholdout = 0.1\n";

/// Checks everything that must hold of any plan.
pub(crate) fn check(setting: &Setting<'_>, request: &Request<'_>, plan: &Plan) {
    let campaign = request.campaign;
    assert_eq!(plan.deliveries.len(), request.people.len());
    for (person, delivery) in request.people.iter().zip(&plan.deliveries) {
        assert_eq!(delivery.recipient, person.id);
        assert_eq!(delivery.state == State::Planned, delivery.choice.is_some());
        let Some(choice) = &delivery.choice else {
            assert_eq!(delivery.state, State::Refused);
            continue;
        };
        assert!(person.consented && person.has_address && !person.forbidden);
        assert_eq!(delivery.arm, Some(arm_of(campaign, person.key)));
        assert_ne!(delivery.arm, Some(Arm::Holdout));
        let (from, to) = (choice.slot.start(setting.length), choice.slot.end(setting.length));
        assert!((from..to).contains(&choice.send_at) && from >= setting.now);
        let (opens, closes) = window::span(&campaign.window, person.zone);
        assert!(opens <= from && to <= closes, "outside the window");
        let case = Case {
            country: person.country,
            region: person.region,
            channel: "http",
            category: campaign.category,
        };
        let quiet = Quiet::new(setting.rules, case, campaign.quiet_hours, setting.quiet);
        assert!(quiet.forbids_span(from, to, person.zone).is_none(), "in quiet hours");
        for cap in setting.caps.iter().chain(&campaign.frequency) {
            let counts = |t: &&RecentSend| cap.counts(t.category);
            let mut times: Vec<_> = person.taken.iter().filter(counts).map(|t| t.at).collect();
            if cap.category.is_some_and(|category| category != campaign.category) {
                continue;
            }
            times.push(choice.send_at);
            times.sort();
            // what others have sent too often already is not this plan's doing
            let close =
                |run: &[_]| run.contains(&choice.send_at) && run[run.len() - 1] - run[0] < cap.span;
            assert!(!times.windows(cap.most as usize + 1).any(close), "too often");
        }
        assert!(choice.chance >= choice.value && choice.chance <= 1.0);
        assert!(delivery.arm != Some(Arm::Personalized) || choice.value > 0.0);
        assert!(choice.propensity.is_none_or(|p| p > 0.0 && p <= 1.0));
        assert!(usize::from(choice.variant_index) < campaign.variants.len());
    }
    let planned: u32 = by_slot(plan, None).values().sum();
    assert_eq!(planned, plan.slots.iter().map(|slot| slot.planned).sum::<u32>());
    for slot in &plan.slots {
        assert!(
            slot.capacity.is_none_or(|most| slot.planned <= most.saturating_sub(slot.reserved))
        );
    }
    if let Some(most) = campaign.capacity.per_hour {
        let mut hours: BTreeMap<i64, u32> = BTreeMap::new();
        for slot in &plan.slots {
            let hour = slot.slot.start(setting.length).timestamp() / 3600;
            *hours.entry(hour).or_default() += slot.planned + slot.reserved;
        }
        assert!(hours.values().all(|sum| *sum <= most), "more in an hour than there may be");
    }
    let certificate = plan.certificate;
    assert!(certificate.value <= certificate.bound * (1.0 + 1e-9));
}
