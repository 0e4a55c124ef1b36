//! A campaign tried out: each variant and translation, sent to addresses of one's own, outside all
//! statistics. Nothing of it is stored, counted or learned from.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Ctx, channel, preview};
use crate::model::campaign::Campaign;
use crate::model::ids::Name;
use crate::model::recipient::{Address, Recipient};
use crate::model::time::format_instant;
use crate::provider::{OutboundMessage, SendOutcome};
use crate::store::StoreError;

/// Addresses that one try goes to.
pub const ADDRESSES_MAX: usize = 20;

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// An address is none of the channel's.
    #[error("to: address {0} is none that provider {1} can call")]
    Address(usize, Name),
    /// There are too many, or none.
    #[error("to: {0} addresses; from 1 to {ADDRESSES_MAX} are tried")]
    Count(usize),
    /// The settings have no such provider.
    #[error("provider: the settings have no [provider.{0}]")]
    NoProvider(Name),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of one message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tried {
    /// Which of the addresses, from 1.
    pub to: usize,
    /// The variant's name.
    pub variant: Name,
    /// The language of this translation.
    pub language: Option<String>,
    /// Whether the provider took it.
    pub accepted: bool,
    /// What it said, in words.
    pub answer: String,
}

/// Sends every variant and translation to each address, with the attributes of a person; without one,
/// what would be filled in stays as the file has it.
pub async fn run(
    ctx: &Ctx,
    campaign: &Campaign,
    to: &[Address],
    person: Option<&Recipient>,
) -> Result<Vec<Tried>, TrialError> {
    let name = &campaign.provider;
    let absent = || TrialError::NoProvider(name.clone());
    let config = ctx.config.providers.get(name).ok_or_else(absent)?;
    let provider = ctx.providers.get(name).ok_or_else(absent)?;
    if to.is_empty() || to.len() > ADDRESSES_MAX {
        return Err(TrialError::Count(to.len()));
    }
    if let Some(at) = to.iter().position(|to| !to.is_good_for(config.kind.channel())) {
        return Err(TrialError::Address(at + 1, name.clone()));
    }
    let media = campaign.variants.iter().filter(|_| config.kind.needs_template());
    let media =
        media.filter_map(|variant| Some((variant.content.media, variant.media_url.clone()?)));
    let media: BTreeSet<_> = media.collect();
    let handles = channel::handles(ctx, name, provider.as_ref(), media).await?;
    // a way out of nobody's, where a mail would have one
    let links = ctx.config.links.as_ref().filter(|_| config.kind.has_way_out());
    let way_out = links.map(|links| format!("{}/u/test", links.base));
    let mut tried = Vec::new();
    for variant in &campaign.variants {
        let rendered = preview::rendered(Some(&config.kind), variant, person);
        for (index, address) in to.iter().enumerate() {
            let (accepted, answer) = match &rendered {
                Err(problem) => (false, problem.clone()),
                Ok(rendered) => {
                    let now = ctx.clock.now();
                    let key = format!("test-{:016x}", rand::random::<u64>());
                    let handle = variant.media_url.as_ref().and_then(|url| handles.get(url));
                    let message = OutboundMessage {
                        key: key.parse().expect("letters and digits are a key"),
                        recipient: format!("test-{}", index + 1).parse().expect("they are an id"),
                        address: address.clone(),
                        zone: ctx.config.time_zone,
                        campaign: campaign.name.clone(),
                        category: campaign.category,
                        variant: variant.name.clone(),
                        content: variant.content.clone(),
                        template: variant.template.clone(),
                        language: campaign.language_of(variant).cloned(),
                        rendered: rendered.clone(),
                        media_url: variant.media_url.clone(),
                        media_handle: handle.cloned(),
                        // whoever tries it writes to the account first
                        free_form: config.kind.needs_right() && campaign.free_form,
                        permit: None,
                        unsubscribe: way_out.clone(),
                        attempt: 1,
                        due_at: now,
                        at: now,
                    };
                    told(&provider.send(&message).await)
                }
            };
            tried.push(Tried {
                to: index + 1,
                variant: variant.name.clone(),
                language: variant.language.as_ref().map(ToString::to_string),
                accepted,
                answer,
            });
        }
    }
    Ok(tried)
}

fn told(outcome: &SendOutcome) -> (bool, String) {
    match outcome {
        SendOutcome::Accepted { .. } => (true, "taken".to_owned()),
        SendOutcome::Held { .. } => (true, "taken, and kept back for now".to_owned()),
        SendOutcome::Later { until, .. } | SendOutcome::AnotherDay { until, .. } => {
            (false, format!("not taken before {}", format_instant(*until)))
        }
        SendOutcome::Refused(refusal) => {
            (false, format!("refused with {}: {}", refusal.code_text(), refusal.words))
        }
        SendOutcome::NeedsTemplate => {
            (false, "the person has not written lately enough: only a template will do".to_owned())
        }
        SendOutcome::InDoubt => (false, "the answer was lost: it may have been taken".to_owned()),
    }
}
