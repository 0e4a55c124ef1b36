//! A few people, for decisions about those alone.

use crate::model::ids::RecipientId;
use crate::work::Ctx;
use crate::work::habits::evidence_of;
use crate::work::learn::{LearnError, People};

/// The people with the numbers, and their evidence.
pub(super) async fn some_people(
    ctx: &Ctx,
    mut ids: Vec<RecipientId>,
) -> Result<People, LearnError> {
    ids.sort_unstable();
    ids.dedup();
    let mut tx = ctx.store.begin().await?;
    let mut found = tx.recipients(&ids).await?;
    tx.commit().await?;
    let (mut read, _) = evidence_of(&ctx.store, &ids).await?;
    let (mut recipients, mut evidence) = (Vec::new(), Vec::new());
    for id in ids {
        let Some(recipient) = found.remove(&id) else { continue };
        recipients.push(recipient);
        evidence.push(read.remove(&id).unwrap_or_default());
    }
    Ok(People { recipients, evidence })
}
