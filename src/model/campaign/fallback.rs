//! `[[fallback]]`: the channels that are tried in turn where a message was not delivered in time, or cannot be.

use std::time::Duration;

use serde::Deserialize;

use super::file::KeyProblems;
use super::{Arms, Campaign};
use crate::model::ids::{NAME_MAX, Name};

/// The most of them.
const FALLBACKS_MAX: usize = 5;
/// The shortest time that a message is given to be delivered: receipts take some.
const AFTER_MIN: Duration = Duration::from_mins(5);
/// The longest.
const AFTER_MAX: Duration = Duration::from_hours(72);

/// A channel that takes over from the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The `[provider.NAME]` that carries it.
    pub provider: Name,
    /// How long the message before it is given to be delivered, from when it was sent.
    pub after: Duration,
}

/// `[[fallback]]` as it is written.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Fallback)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFallback {
    provider: Name,
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    after: Duration,
}

/// Checks them in their order; `name` and `provider` are the campaign's, and `reserved` is how many letters its
/// runs add to its name.
pub(super) fn check_fallbacks(
    raw: Vec<RawFallback>,
    (name, provider): (&Name, &Name),
    reserved: usize,
    wrong: &mut KeyProblems,
) -> Vec<Fallback> {
    if raw.len() > FALLBACKS_MAX {
        wrong.note("fallback", format_args!("{} are more than {FALLBACKS_MAX}", raw.len()));
    }
    let mut used = vec![provider];
    for (at, of) in raw.iter().enumerate() {
        let key = format!("fallback {}", at + 1);
        if used.contains(&&of.provider) {
            let told =
                format_args!("provider {} has been tried before it; name another", of.provider);
            wrong.note(&key, told);
        }
        used.push(&of.provider);
        if of.after < AFTER_MIN || of.after > AFTER_MAX {
            let after = humantime::format_duration(of.after);
            wrong.note(&key, format_args!("after {after} is not between 5min and 72h"));
        }
        let length = name.as_str().len() + reserved + 1 + of.provider.as_str().len();
        if length > NAME_MAX {
            let told = format_args!(
                "its messages are called NAME.{}, which is longer than {NAME_MAX} letters",
                of.provider
            );
            wrong.note(&key, told);
        }
    }
    raw.into_iter().map(|RawFallback { provider, after }| Fallback { provider, after }).collect()
}

impl Campaign {
    /// The campaign as a fallback's provider carries it; `None` where it names none such. What comes after it
    /// may follow; who belongs to which arm was decided with the first message.
    pub fn carried_by(&self, provider: &Name) -> Option<Self> {
        let at = self.fallbacks.iter().position(|fallback| fallback.provider == *provider)?;
        Some(Self {
            provider: provider.clone(),
            fallbacks: self.fallbacks[at + 1..].to_vec(),
            arms: Arms::ALL_PERSONALIZED,
            ..self.clone()
        })
    }

    /// The campaign as each of its fallbacks carries it.
    pub fn carried_on(&self) -> impl Iterator<Item = Self> {
        self.fallbacks.iter().filter_map(|fallback| self.carried_by(&fallback.provider))
    }
}
