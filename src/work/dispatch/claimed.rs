//! What is under way: a campaign at work, its claim, and what became of each message.

use tokio::sync::watch;

use crate::config::ProviderConfig;
use crate::model::consent::ConsentEntry;
use crate::model::recipient::{Address, Recipient};
use crate::model::time::Instant;
use crate::provider::{OutboundMessage, Provider, Refusal, RefusalScope, UsedPermit};
use crate::store::{CampaignRow, Claim, Due, Settled};
use crate::work::Ctx;
use crate::work::channel::TemplateKey;

/// A campaign at work.
pub(super) struct Batches<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) row: &'a CampaignRow,
    pub(super) provider: &'a dyn Provider,
    pub(super) config: &'a ProviderConfig,
    pub(super) stop: &'a watch::Receiver<bool>,
}

/// A message that was admitted.
pub(super) struct Ready {
    pub(super) due: Due,
    pub(super) person: Recipient,
    pub(super) message: OutboundMessage,
    pub(super) at: Instant,
    /// Whether it is one of the first with its template.
    pub(super) is_canary: bool,
}

/// A claim, from its making to its settlement.
pub(super) struct Batch {
    pub(super) claim: Claim,
    pub(super) ready: Vec<Ready>,
    pub(super) concluded: Vec<Concluded>,
}

/// What became of one message, and what is to be kept of it.
pub(super) struct Concluded {
    pub(super) settled: Settled,
    pub(super) effect: Option<SideEffect>,
    /// Of one of the first with its template: which, and whether it was called.
    pub(super) canary: Option<TemplateKey>,
    /// The permit that it took, and gives back where it was not sent.
    pub(super) permit: Option<UsedPermit>,
    /// Of a refusal that may be more than this person's.
    pub(super) refusal: Option<(RunKey, Refusal)>,
    /// With what it went.
    pub(super) template: Option<TemplateKey>,
}

/// What an answer says of more than its message.
pub(super) enum SideEffect {
    /// A template (`""`: everything) asked to wait.
    Pause(String, Instant),
    /// The provider calls the person so.
    Alias(Address),
    /// The person said no.
    Withdraw(ConsentEntry),
    /// The channel does not reach the person.
    Suppress(String),
    /// The template is refused.
    Park(TemplateKey, String),
    /// The service window is closed.
    Close,
    /// The person's permit is worth nothing any more.
    DropPermit(String),
    /// A file must be uploaded again.
    Upload(String),
    /// The account is stopped.
    Stop(String, String),
}

/// What runs of refusals are counted by.
pub(super) type RunKey = (RefusalScope, Option<TemplateKey>);
