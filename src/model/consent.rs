//! The consent ledger's entries. Consent is what the last entry says, and nothing else.

use serde::Serialize;

use super::content::word_type;
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
}
