//! By which right a message goes to a person on channels that let a business write only with one: within the
//! window that the person's own word opens, by a template of the channel, or by a permit that they gave.

use std::collections::HashMap;

use chrono::TimeDelta;

use crate::calendar::infer::infer;
use crate::config::{ProviderKind, WeChatService};
use crate::model::campaign::Campaign;
use crate::model::content::Category;
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::Profile;
use crate::model::time::Instant;
use crate::store::{Permit, Reader, StoreError};

/// Between two marketing messages by one subscription (Messenger's Marketing Messages).
const SUBSCRIPTION_DISTANCE: TimeDelta = TimeDelta::hours(12);

/// Where Messenger carries no marketing to (policy page of 2026): the European Union, Japan, South Korea,
/// Australia, the United Kingdom.
const NO_MARKETING_BY_MESSENGER: [&str; 31] = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV",
    "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "JP", "KR", "AU", "GB",
];

/// The right by which a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'p> {
    /// The person wrote lately: free form. Where the channel counts answers, what it counts them by.
    Window(Option<(&'p Permit, Instant)>),
    /// A template that needs no permit of the person's.
    Template,
    /// A permit, and when the next message by it may go.
    Permit(&'p Permit, Instant),
}

/// Why no message goes to a person, for now or at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// The person permitted none, or none is left.
    NoPermit,
    /// The next one goes then.
    NotBefore(Instant),
}

/// What a person's word and permits allow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rights<'p> {
    /// Until when the person may be answered.
    pub(super) window_until: Option<Instant>,
    pub(super) permits: &'p [Permit],
}

/// Whether the channel does not carry a campaign to a person, whatever they permitted.
pub(super) fn forbids(kind: &ProviderKind, campaign: &Campaign, profile: &Profile) -> bool {
    if campaign.category != Category::Marketing {
        return false;
    }
    match kind {
        ProviderKind::Messenger(_) => {
            let place = infer(profile.country.as_ref(), profile.address.as_ref());
            let country = place.map(|place| place.country.clone());
            let country = profile.country.as_ref().or(country.as_ref());
            country.is_some_and(|at| NO_MARKETING_BY_MESSENGER.contains(&at.as_str()))
        }
        // its templates are for services alone, and whoever uses them otherwise loses the account
        ProviderKind::WeChat(_) => !campaign.free_form,
        _ => false,
    }
}

/// The subject that a person's consent to a campaign must hold for, where the channel knows subjects: what the
/// campaign names, for WeChat else its template.
pub(super) fn subject<'c>(kind: &ProviderKind, campaign: &'c Campaign) -> Option<&'c str> {
    let template = || campaign.variants.iter().find_map(|variant| variant.template.as_deref());
    match kind {
        ProviderKind::WeChat(_) => campaign.topic.as_deref().or_else(template),
        _ => campaign.topic.as_deref(),
    }
}

/// The right by which a message of a campaign goes to a person at `at`, and until when it holds, if not for
/// ever; `template` is the one that it would go with. A window comes first: it costs nothing.
pub(super) fn route<'p>(
    kind: &ProviderKind,
    campaign: &Campaign,
    template: Option<&str>,
    rights: Rights<'p>,
    at: Instant,
) -> Result<(Route<'p>, Option<Instant>), NoRoute> {
    let window = rights.window_until.filter(|until| *until > at && campaign.free_form);
    if let Some(until) = window {
        if kind.answers_max().is_none() {
            return Ok((Route::Window(None), Some(until)));
        }
        let mut answers = rights.permits.iter().filter(|permit| permit.topic.is_empty());
        if let Some(answer) = answers.find(|permit| permit.remaining != Some(0)) {
            return Ok((Route::Window(Some((answer, answer.next_at))), Some(until)));
        }
    }
    match (kind, campaign.category) {
        (ProviderKind::Messenger(_), Category::Marketing) => {
            let topic = campaign.topic.as_deref().unwrap_or_default();
            let open = |permit: &&Permit| permit.expires_at.is_none_or(|end| end > at);
            let mut subscribed = rights.permits.iter().filter(|permit| permit.topic == topic);
            let permit = subscribed.find(open).ok_or(NoRoute::NoPermit)?;
            if permit.next_at > at {
                return Err(NoRoute::NotBefore(permit.next_at));
            }
            Ok((Route::Permit(permit, at + SUBSCRIPTION_DISTANCE), permit.expires_at))
        }
        (ProviderKind::WeChat(_), Category::Marketing) => Err(NoRoute::NoPermit),
        (ProviderKind::WeChat(settings), _) if settings.service == WeChatService::Mini => {
            let topic = template.ok_or(NoRoute::NoPermit)?;
            let mut known = rights.permits.iter().filter(|permit| permit.topic == topic);
            let permit = known.find(|permit| permit.remaining != Some(0));
            let permit = permit.ok_or(NoRoute::NoPermit)?;
            Ok((Route::Permit(permit, permit.next_at), None))
        }
        _ if template.is_some() => Ok((Route::Template, None)),
        _ => Err(NoRoute::NoPermit),
    }
}

/// The rights of some people, or all, with one provider.
#[derive(Debug, Clone, Default)]
pub(super) struct ChannelRights {
    windows: HashMap<RecipientId, Instant>,
    permits: HashMap<RecipientId, Vec<Permit>>,
}

impl ChannelRights {
    /// Reads them where the channel asks for any.
    pub(super) async fn read(
        reader: &mut Reader,
        provider: &Name,
        kind: &ProviderKind,
        people: Option<&[RecipientId]>,
    ) -> Result<Self, StoreError> {
        if !kind.needs_right() {
            return Ok(Self::default());
        }
        Ok(Self {
            windows: reader.service_windows(provider, people).await?,
            permits: reader.permits(provider, people).await?,
        })
    }

    pub(super) fn of(&self, person: RecipientId) -> Rights<'_> {
        Rights {
            window_until: self.windows.get(&person).copied(),
            permits: self.permits.get(&person).map_or(&[], Vec::as_slice),
        }
    }

    /// What a plan made at `now` may count on: from when on and until when the person has a right, if they
    /// have any.
    pub(super) fn outlook(
        &self,
        kind: &ProviderKind,
        campaign: &Campaign,
        person: RecipientId,
        now: Instant,
    ) -> Result<(Option<Instant>, Option<Instant>), NoRoute> {
        if !kind.needs_right() {
            return Ok((None, None));
        }
        let template = campaign.variants.iter().find_map(|variant| variant.template.as_deref());
        match route(kind, campaign, template, self.of(person), now) {
            Ok((_, until)) => Ok((None, until)),
            Err(NoRoute::NotBefore(from)) => {
                let (_, until) = route(kind, campaign, template, self.of(person), from)?;
                Ok((Some(from), until))
            }
            Err(none) => Err(none),
        }
    }
}

/// A span cut to when a right holds; a missing end is far away.
pub(super) fn cut(
    span: Option<(Instant, Instant)>,
    right: (Option<Instant>, Option<Instant>),
) -> Option<(Instant, Instant)> {
    if right == (None, None) {
        return span;
    }
    let from = right.0.unwrap_or(Instant::MIN_UTC);
    let until = right.1.unwrap_or(Instant::MAX_UTC);
    let (opens, closes) = span.unwrap_or((from, until));
    Some((opens.max(from), closes.min(until)))
}
