//! The last look before a call: what was true when it was planned may not be true now.

use crate::calendar::infer::{infer, place_of};
use crate::calendar::law::Case;
use crate::calendar::quiet::Quiet;
use crate::calendar::window;
use crate::config::ProviderConfig;
use crate::model::campaign::Campaign;
use crate::model::delivery::{Reason, State, message_key};
use crate::model::recipient::{Profile, Recipient};
use crate::model::time::Instant;
use crate::provider::Parcel;
use crate::store::{Attempt, Due, Settled};
use crate::work::Ctx;
use crate::work::plan::taken::is_forbidden;

/// Between the last look at the clock and the provider's; quiet hours begin that much earlier.
const CALL_MARGIN: chrono::TimeDelta = chrono::TimeDelta::seconds(2);

/// What a message is looked at with.
#[derive(Clone, Copy)]
pub(super) struct Check<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) campaign: &'a Campaign,
    pub(super) config: &'a ProviderConfig,
}

impl Check<'_> {
    /// The message as it goes out at `now`, or what happens instead.
    pub(super) fn parcel(
        self,
        person: &Recipient,
        due: Due,
        now: Instant,
    ) -> Result<Parcel, Settled> {
        let (ctx, campaign) = (self.ctx, self.campaign);
        if !person.consented {
            return Err(refused(Reason::ConsentWithdrawn));
        }
        let Some(address) = person.profile.address.clone() else {
            return Err(refused(Reason::NoAddress));
        };
        if !address.is_good_for(self.config.kind.channel()) {
            return Err(refused(Reason::BadAddress));
        }
        if is_forbidden(self.config, campaign, &person.profile) {
            return Err(refused(Reason::ProviderForbids));
        }
        self.timely(&person.profile, due, now)?;
        let variant = &campaign.variants[usize::from(due.variant_index)];
        let Ok(rendered) = variant.render(&person.profile.attributes) else {
            return Err(refused(Reason::MissingParameter));
        };
        Ok(Parcel {
            key: message_key(&campaign.name, person.id),
            recipient: person.key.clone(),
            address,
            zone: person.profile.zone.map_or(ctx.config.time_zone, |zone| zone.tz),
            campaign: campaign.name.clone(),
            category: campaign.category,
            variant: variant.name.clone(),
            content: variant.content.clone(),
            template: variant.template.clone(),
            language: variant.language.clone().or_else(|| campaign.fallback_language.clone()),
            rendered,
            media_url: variant.media_url.clone(),
            media_handle: None,
            free_form: false,
            attempt: due.attempts,
            due_at: due.send_at,
            at: now,
        })
    }

    /// Whether window, lateness and quiet hours let a message out at `now`.
    pub(super) fn timely(self, profile: &Profile, due: Due, now: Instant) -> Result<(), Settled> {
        let zone = profile.zone.map_or(self.ctx.config.time_zone, |zone| zone.tz);
        let (opens, closes) = window::span(&self.campaign.window, zone);
        if now >= closes {
            return Err(settle_as(State::Expired, Some(Reason::WindowOver)));
        }
        let lateness = now - self.moment(due);
        let late = lateness.to_std().is_ok_and(|lateness| lateness > self.ctx.config.max_lateness)
            || !self.in_its_hour(due, now);
        let end = now + CALL_MARGIN;
        let quiet = || quiet(self.ctx, self.campaign, self.config, profile);
        if late || now < opens || end > closes || quiet().forbids_span(now, end, zone).is_some() {
            return Err(undecided(Reason::MovedLate, None));
        }
        Ok(())
    }

    /// The moment that lateness counts from: many short waits do not add up past its slot.
    fn moment(self, due: Due) -> Instant {
        due.send_at.min(due.slot.end(self.ctx.config.slot_length))
    }

    /// Whether a message that leaves at `at` takes the room that was planned for it: where an hour
    /// holds so many, another hour's is not to be had without a new decision.
    fn in_its_hour(self, due: Due, at: Instant) -> bool {
        let hour = |at: Instant| at.timestamp().div_euclid(3600);
        self.campaign.capacity.per_hour.is_none() || hour(due.send_at) == hour(at)
    }

    /// A short wait is waited for within the same slot's lateness; a longer one is a new decision.
    pub(super) fn put_off(
        self,
        profile: &Profile,
        due: Due,
        until: Instant,
        attempt: Attempt,
    ) -> Settled {
        let zone = profile.zone.map_or(self.ctx.config.time_zone, |zone| zone.tz);
        let lateness = (until - self.moment(due)).to_std().unwrap_or_default();
        let near = lateness <= self.ctx.config.max_lateness
            && self.in_its_hour(due, until)
            && until < window::span(&self.campaign.window, zone).1;
        let again_at = near.then_some(until);
        Settled { again_at, attempt, ..undecided(Reason::MovedThrottled, Some(until)) }
    }
}

/// The quiet hours that bind a campaign for one person.
fn quiet(ctx: &Ctx, campaign: &Campaign, config: &ProviderConfig, profile: &Profile) -> Quiet {
    let inferred = infer(profile.country.as_ref(), profile.address.as_ref());
    let case = Case {
        // a given code that names no country has given way to the number's
        country: inferred.as_ref().map(|known| &known.country),
        region: inferred.as_ref().and_then(|known| known.region),
        channel: config.kind.channel(),
        category: campaign.category,
    };
    let quiet = Quiet::new(&ctx.rules, case, campaign.quiet_hours, ctx.config.quiet_hours);
    match profile.address.as_ref().and_then(place_of) {
        None => quiet,
        Some(place) => {
            let (country, region) = (Some(&place.country), place.region);
            quiet.with_laws(&ctx.rules, Case { country, region, ..case })
        }
    }
}

pub(super) fn settle_as(state: State, reason: Option<Reason>) -> Settled {
    Settled { state, reason, again_at: None, not_before: None, attempt: Attempt::Made }
}

pub(super) fn refused(reason: Reason) -> Settled {
    settle_as(State::Refused, Some(reason))
}

pub(super) fn undecided(reason: Reason, not_before: Option<Instant>) -> Settled {
    Settled { not_before, ..settle_as(State::Planned, Some(reason)) }
}

/// As if it had not been claimed.
pub(super) fn given_back(due: Due) -> Settled {
    Settled {
        again_at: Some(due.send_at),
        attempt: Attempt::NotMade,
        ..settle_as(State::Planned, None)
    }
}
