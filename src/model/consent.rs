//! The consent ledger's entries. Consent to a provider is what the last entry says that holds for it or for
//! all, and nothing else.

use serde::Serialize;

use super::content::word_type;
use super::ids::Name;
use super::time::Instant;

word_type! {
    /// What an entry of the ledger says.
    ConsentChange, "consent", "granted or withdrawn" {
        /// The person agreed to be written to.
        Granted = "granted",
        /// The person no longer agrees.
        Withdrawn = "withdrawn",
    }
}

/// What a word on consent holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
pub struct ConsentScope {
    /// This provider alone; all of them, if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// The subject alone that the person chose with the channel; every one, if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

impl ConsentScope {
    /// One provider, with every subject.
    pub fn of(provider: &Name) -> Self {
        Self { provider: Some(provider.clone()), topic: None }
    }
}

/// One entry of the append-only ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ConsentEntry {
    /// Granted or withdrawn.
    pub change: ConsentChange,
    /// When the person said so.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// Through what: a form, a file, a webhook, an operator.
    pub source: String,
    /// What proves it: a document's id, a message's id; empty when there is none.
    pub evidence: String,
    /// When we wrote it down.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Instant,
    /// What it holds for.
    #[serde(flatten)]
    pub scope: ConsentScope,
}

impl ConsentEntry {
    /// The scope of a word that holds for every channel.
    pub const EVERYWHERE: ConsentScope = ConsentScope { provider: None, topic: None };
}
