//! Receipts that name a time and no message: everything that was sent to the person up to it was read.

use super::WebhookBatch;
use super::senders::SenderLookup;
use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::{Event, Update, UpdateOf};
use crate::store::{StoreError, Tx};

/// Messages of one person that one receipt is about.
const MESSAGES_MAX: usize = 20;

impl WebhookBatch<'_> {
    /// What such receipts tell of single messages.
    pub(super) async fn seen(
        &mut self,
        tx: &mut Tx,
        receipts: &[(Vec<Address>, Instant)],
    ) -> Result<Vec<Update>, StoreError> {
        let mut updates = Vec::new();
        if receipts.is_empty() {
            return Ok(updates);
        }
        let names = receipts.iter().flat_map(|(names, _)| names);
        let mut senders = SenderLookup::open(tx, self.provider, names).await?;
        for (names, until) in receipts {
            let at = (*until).min(self.now);
            for person in senders.people(names) {
                let unread = tx.unread(self.provider, person, at, MESSAGES_MAX).await?;
                updates.extend(unread.into_iter().map(|id| {
                    let of = UpdateOf::Theirs(id);
                    Update { of, event: Event::Read, at, names: Vec::new() }
                }));
            }
        }
        Ok(updates)
    }
}
