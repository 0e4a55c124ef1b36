//! Who did what, and when: written in the transaction of the deed.

use super::Ctx;
use crate::store::{AuditEntry, StoreError, Tx};

/// Notes what `actor` did to `subject`.
pub(super) async fn note(
    ctx: &Ctx,
    tx: &mut Tx,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        at: ctx.clock.now(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    tx.note_audit(&entry).await
}

/// Notes a deed that has no transaction of its own to be noted in.
pub async fn record(ctx: &Ctx, actor: &str, action: &str, subject: &str) -> Result<(), StoreError> {
    let mut tx = ctx.store.begin().await?;
    note(ctx, &mut tx, actor, action, subject, "").await?;
    tx.commit().await
}

/// The last `limit` deeds, newest first.
pub async fn last(ctx: &Ctx, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
    let deeds = ctx.store.read().await?.audit(None, limit).await?;
    Ok(deeds.into_iter().map(|(_, deed)| deed).collect())
}
