//! The rights by which messages go, where the channel asks for one: looked for when messages are claimed, and
//! used in the same transaction.

use super::check::{Check, refused};
use super::claimed::{Batch, Batches, Concluded, Ready};
use crate::model::delivery::Reason;
use crate::model::ids::RecipientId;
use crate::provider::UsedPermit;
use crate::store::{Attempt, StoreError, Tx};
use crate::work::channel;
use crate::work::routes::{ChannelRights, NoRoute, Route, route};

impl Batches<'_> {
    /// Finds each message its right, and parts with those that have none.
    pub(super) async fn find_rights(
        &self,
        tx: &mut Tx,
        batch: &mut Batch,
        check: &Check<'_>,
    ) -> Result<(), StoreError> {
        let (name, kind) = (&self.row.campaign.provider, &self.config.kind);
        if !kind.needs_right() || batch.ready.is_empty() {
            return Ok(());
        }
        // two claims must not find the same permit
        tx.lock_account(&channel::number_account(name)).await?;
        let now = self.ctx.clock.now();
        let ids: Vec<RecipientId> = batch.ready.iter().map(|ready| ready.person.id).collect();
        let rights = ChannelRights::read(tx, name, kind, Some(&ids)).await?;
        for mut ready in std::mem::take(&mut batch.ready) {
            let template = ready.message.template.as_deref();
            let of = rights.of(ready.person.id);
            let settled = match route(kind, &self.row.campaign, template, of, now) {
                Ok((route, _)) => {
                    ready.message.free_form = matches!(route, Route::Window(_));
                    let used = match route {
                        Route::Permit(permit, next_at) | Route::Window(Some((permit, next_at))) => {
                            Some(UsedPermit {
                                topic: permit.topic.clone(),
                                token: permit.token.clone(),
                                next_at: [permit.next_at, next_at],
                            })
                        }
                        Route::Window(None) | Route::Template => None,
                    };
                    ready.message.permit = used;
                    batch.ready.push(ready);
                    continue;
                }
                Err(NoRoute::NoPermit) => refused(ready.due, Reason::NoPermit),
                Err(NoRoute::NotBefore(until)) => {
                    check.put_off(&ready.person.profile, ready.due, until, Attempt::NotMade)
                }
            };
            batch.concluded.push(Concluded::plain(settled));
        }
        Ok(())
    }

    /// Uses the permit of a message that goes.
    pub(super) async fn use_right(&self, tx: &mut Tx, ready: &Ready) -> Result<(), StoreError> {
        let Some(permit) = &ready.message.permit else { return Ok(()) };
        let provider = &self.row.campaign.provider;
        tx.use_permit(provider, ready.person.id, &permit.topic, permit.next_at[1]).await
    }
}
