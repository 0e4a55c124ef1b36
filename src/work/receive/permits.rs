//! What people permit a channel, by its own word: entries of the ledger that hold for a subject, and the
//! permits that messages use.

use super::WebhookBatch;
use super::senders::SenderLookup;
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::provider::{PermitChange, PermitKind};
use crate::store::{Permit, StoreError, Tx};

impl WebhookBatch<'_> {
    /// Notes what people permitted and took back. Of somebody unknown nothing is kept: a permit is worth
    /// nothing without whom it is of.
    pub(super) async fn permitted(
        &mut self,
        tx: &mut Tx,
        changes: Vec<PermitChange>,
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let names = changes.iter().flat_map(|change| &change.from);
        let mut senders = SenderLookup::open(tx, self.provider, names).await?;
        for change in &changes {
            let people = senders.people(&change.from);
            self.received.unknown += u64::from(people.is_empty());
            for person in people {
                let news = self.permit(tx, person, change).await?;
                self.count(news);
            }
        }
        senders.close(self.env, tx, self.provider).await
    }

    /// Whoever wrote may be answered so often again, where the channel counts that.
    pub(super) async fn count_answers(
        &self,
        tx: &mut Tx,
        windows: &[(RecipientId, Instant)],
    ) -> Result<(), StoreError> {
        let kind = &self.env.config.providers[self.provider].kind;
        let Some(most) = kind.answers_max() else { return Ok(()) };
        for (person, until) in windows {
            let permit = Permit {
                topic: String::new(),
                token: String::new(),
                remaining: Some(most),
                expires_at: Some(*until),
                next_at: Instant::UNIX_EPOCH,
            };
            tx.put_permit(self.provider, *person, &permit).await?;
        }
        Ok(())
    }

    /// The same of one person; false when it was known.
    async fn permit(
        &self,
        tx: &mut Tx,
        person: RecipientId,
        told: &PermitChange,
    ) -> Result<bool, StoreError> {
        let (provider, at) = (self.provider, told.at.min(self.now));
        let wants = told.kind != PermitKind::Stopped;
        let entry = ConsentEntry {
            change: if wants { ConsentChange::Granted } else { ConsentChange::Withdrawn },
            at,
            source: format!("{provider} permit {}", told.topic),
            evidence: told.evidence.to_string(),
            recorded_at: self.now,
            scope: ConsentScope {
                provider: Some(provider.clone()),
                topic: Some(told.topic.clone()),
            },
        };
        // the ledger tells what came before: a word that is told twice permits nothing more
        if tx.append_consent(&[(person, entry)]).await? == 0 {
            return Ok(false);
        }
        match &told.kind {
            PermitKind::Subscribed { token, expires_at } => {
                let permit = Permit {
                    topic: told.topic.clone(),
                    token: token.clone(),
                    remaining: None,
                    expires_at: *expires_at,
                    next_at: Instant::UNIX_EPOCH,
                };
                tx.put_permit(provider, person, &permit).await?;
            }
            PermitKind::Messages(count) => {
                tx.add_permits(provider, person, &told.topic, *count).await?;
            }
            PermitKind::Stopped => {
                tx.drop_permit(provider, person, &told.topic).await?;
            }
        }
        Ok(true)
    }
}
