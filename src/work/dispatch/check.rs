//! The last look before a call: what was true when it was planned may not be true now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use chrono_tz::Tz;

use crate::calendar::infer::{infer, place_of};
use crate::calendar::law::Case;
use crate::calendar::quiet::Quiet;
use crate::calendar::window;
use crate::calendar::zone::local;
use crate::config::ProviderConfig;
use crate::model::campaign::Campaign;
use crate::model::delivery::{Reason, State, message_key};
use crate::model::recipient::{Country, Profile, Recipient};
use crate::model::time::{Instant, hour_of};
use crate::provider::{OutboundMessage, Unfit, fitted};
use crate::store::{Attempt, Due, Settled};
use crate::work::addresses::address_with;
use crate::work::links::LinkMaker;
use crate::work::plan::taken::is_forbidden;
use crate::work::{StepEnv, holdout};

/// Between the last look at the clock and the provider's; quiet hours begin that much earlier.
const CALL_MARGIN: TimeDelta = TimeDelta::seconds(2);

/// When a campaign may write to people of one place.
struct Times {
    opens: Instant,
    closes: Instant,
    quiet: Quiet,
}

/// A country, and the part of it where its law asks.
type Land = (Country, Option<&'static str>);

/// Where rules of time are the same: the zone, where the person is, and where the number is from.
type Place = (Tz, Option<Land>, Option<Land>);

/// What messages of one batch are looked at with. Rules of time are computed once a place.
pub(super) struct Check<'a> {
    env: &'a StepEnv,
    pub(super) campaign: &'a Campaign,
    config: &'a ProviderConfig,
    links: Option<LinkMaker>,
    /// Calls of a batch are under way at once, and share them.
    places: Mutex<HashMap<Place, Arc<Times>>>,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        env: &'a StepEnv,
        campaign: &'a Campaign,
        config: &'a ProviderConfig,
    ) -> Self {
        Self { env, campaign, config, links: None, places: Mutex::default() }
    }

    /// The same, where people get links of their own.
    pub(super) fn with_links(self, links: Option<LinkMaker>) -> Self {
        Self { links, ..self }
    }

    /// The message as it goes out at `now`, or what happens instead.
    pub(super) fn message(
        &self,
        person: &Recipient,
        due: Due,
        now: Instant,
    ) -> Result<OutboundMessage, Settled> {
        let campaign = self.campaign;
        let refused = |reason| Err(refused(due, reason));
        if !person.consented {
            return refused(Reason::ConsentWithdrawn);
        }
        if holdout::holds(&self.env.config, campaign, &person.key, now) {
            return refused(Reason::Holdout);
        }
        let address = match address_with(self.config, &person.profile) {
            Ok(address) => address.into_owned(),
            Err(reason) => return refused(reason),
        };
        if is_forbidden(self.config, campaign, &person.profile) {
            return refused(Reason::ProviderForbids);
        }
        self.timely(&person.profile, due, now)?;
        let variant = &campaign.variants[usize::from(due.variant_index)];
        if !person.profile.wishes.allow_media(variant.content.media) {
            return refused(Reason::Unwanted);
        }
        let link = |url: &str| match &self.links {
            Some(links) => links.link(person.id, url),
            None => url.to_owned(),
        };
        let Ok(rendered) = variant.render(&person.profile.attributes, link) else {
            return refused(Reason::MissingParameter);
        };
        let rendered = match fitted(&self.config.kind, rendered) {
            Ok(rendered) => rendered,
            Err(Unfit::Empty(_)) => return refused(Reason::MissingParameter),
            Err(Unfit::TooLong(..)) => return refused(Reason::RecipientRefused),
        };
        Ok(OutboundMessage {
            key: message_key(&campaign.name, person.id),
            recipient: person.key.clone(),
            address,
            zone: self.zone(&person.profile),
            campaign: campaign.name.clone(),
            category: campaign.category,
            variant: variant.name.clone(),
            content: variant.content.clone(),
            template: variant.template.clone(),
            language: campaign.language_of(variant).cloned(),
            rendered,
            media_url: variant.media_url.clone(),
            media_handle: None,
            free_form: false,
            permit: None,
            unsubscribe: self.links.as_ref().and_then(|links| links.unsubscribe(person.id)),
            attempt: due.attempts,
            due_at: due.send_at,
            at: now,
        })
    }

    fn zone(&self, profile: &Profile) -> Tz {
        profile.zone_or(self.env.config.time_zone)
    }

    fn times(&self, profile: &Profile) -> Arc<Times> {
        let (env, campaign) = (self.env, self.campaign);
        let zone = self.zone(profile);
        // a given code that names no country has given way to the number's
        let place = infer(profile.country.as_ref(), profile.address.as_ref());
        let place = place.map(|known| (known.country, known.region));
        let number = profile.address.as_ref().and_then(place_of);
        let number = number.map(|known| (known.country.clone(), known.region));
        let channel = self.config.kind.channel();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let times = places.entry((zone, place.clone(), number.clone())).or_insert_with(|| {
            let (opens, closes) = window::span(&campaign.window, zone);
            let (own, workspace) = (campaign.quiet_hours, env.config.quiet_hours);
            let given = case(campaign, channel, place.as_ref());
            let quiet = Quiet::new(&env.rules, given, own, workspace);
            // the law of the number's country binds too
            let quiet = match &number {
                None => quiet,
                Some(number) => quiet.with_laws(&env.rules, case(campaign, channel, Some(number))),
            };
            Arc::new(Times { opens, closes, quiet })
        });
        Arc::clone(times)
    }

    /// Whether window, lateness and quiet hours let a message out at `now`.
    pub(super) fn timely(&self, profile: &Profile, due: Due, now: Instant) -> Result<(), Settled> {
        let zone = self.zone(profile);
        let lateness = now - self.lateness_from(due);
        let late = lateness.to_std().is_ok_and(|lateness| lateness > self.env.config.max_lateness)
            || !self.in_its_hour(due, now);
        let times = self.times(profile);
        let closes = due.closes_at.map_or(times.closes, |at| at.min(times.closes));
        if now >= closes {
            return Err(settled(due, State::Expired, Some(Reason::WindowOver)));
        }
        let end = now + CALL_MARGIN;
        let quiet = || times.quiet.forbids_span(now, end, zone).is_some();
        let wanted = || profile.wishes.allow_time(local(now, zone));
        if late || now < times.opens || end > closes || quiet() || !wanted() {
            return Err(undecided(due, Reason::MovedLate, None));
        }
        Ok(())
    }

    /// The instant that lateness counts from: many short waits do not add up past its slot.
    fn lateness_from(&self, due: Due) -> Instant {
        due.send_at.min(due.slot.end(self.env.config.slot_length))
    }

    /// Whether a message that leaves at `at` takes the capacity that was planned for it: where an
    /// hour holds so many, another hour's is not to be had without a new decision.
    fn in_its_hour(&self, due: Due, at: Instant) -> bool {
        self.campaign.capacity.per_hour.is_none() || hour_of(due.send_at) == hour_of(at)
    }

    /// A short wait is waited for within the same slot's lateness; a longer one is a new decision.
    pub(super) fn put_off(
        &self,
        profile: &Profile,
        due: Due,
        until: Instant,
        attempt: Attempt,
    ) -> Settled {
        let lateness = (until - self.lateness_from(due)).to_std().unwrap_or_default();
        let near = lateness <= self.env.config.max_lateness
            && self.in_its_hour(due, until)
            && until < self.times(profile).closes
            && due.closes_at.is_none_or(|closes| until < closes);
        let again_at = near.then_some(until);
        Settled { attempt, again_at, ..undecided(due, Reason::MovedThrottled, Some(until)) }
    }
}

fn case<'l>(campaign: &Campaign, channel: &'l str, land: Option<&'l Land>) -> Case<'l> {
    Case {
        country: land.map(|(country, _)| country),
        region: land.and_then(|(_, region)| *region),
        channel,
        category: campaign.category,
    }
}

/// Settled without a call, unless `attempt` is changed.
pub(super) fn settled(due: Due, state: State, reason: Option<Reason>) -> Settled {
    Settled {
        recipient: due.recipient,
        try_number: due.attempts,
        attempt: Attempt::NotMade,
        planned_for: due.reason,
        state,
        reason,
        again_at: None,
        not_before: None,
        sent: None,
        failure: None,
    }
}

pub(super) fn refused(due: Due, reason: Reason) -> Settled {
    settled(due, State::Refused, Some(reason))
}

pub(super) fn undecided(due: Due, reason: Reason, not_before: Option<Instant>) -> Settled {
    Settled { not_before, ..settled(due, State::Planned, Some(reason)) }
}

/// As if it had not been claimed.
pub(super) fn given_back(due: Due) -> Settled {
    Settled { again_at: Some(due.send_at), ..settled(due, State::Planned, None) }
}
