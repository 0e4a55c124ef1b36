//! Templates at dispatch: a new one is tried by a few messages first, and none goes with one that is
//! parked.

use std::collections::{BTreeSet, HashMap};

use chrono::TimeDelta;

use super::check::{Check, undecided};
use super::claimed::{Batch, Batches, Concluded, Ready};
use crate::model::delivery::Reason;
use crate::model::time::Instant;
use crate::store::{Attempt, Stage, StoreError, Tx};
use crate::work::channel::{self, TemplateKey};

impl Batches<'_> {
    /// Lets a few messages of a new template go first, and none of one that is parked.
    pub(super) async fn look_at_templates(
        &self,
        tx: &mut Tx,
        batch: &mut Batch,
        check: &Check<'_>,
        now: Instant,
    ) -> Result<(), StoreError> {
        let name = &self.row.campaign.provider;
        let canary = self.config.canary;
        let mut known = self.templates(tx).await?;
        let wanted: BTreeSet<TemplateKey> = batch.ready.iter().filter_map(needed).collect();
        let fresh = wanted.iter().any(|key| !known.contains_key(key));
        let is_tried = |(stage, _): &(Stage, u64)| *stage == Stage::Canary;
        if fresh || wanted.iter().filter_map(|key| known.get(key)).any(is_tried) {
            // who tries a template does so alone
            tx.lock_account(&channel::number_account(name)).await?;
            for key in &wanted {
                tx.add_template(name, &key.name, &key.language, canary.messages, now).await?;
            }
            known = self.templates(tx).await?;
        }
        for mut ready in std::mem::take(&mut batch.ready) {
            let entry = needed(&ready).and_then(|key| known.get_mut(&key));
            let settled = match entry {
                None | Some((Stage::Open, _)) => None,
                Some((Stage::Parked, _)) => {
                    Some(undecided(ready.due, Reason::MovedThrottled, None))
                }
                Some((Stage::Canary, remaining)) if *remaining > 0 => {
                    *remaining -= 1;
                    ready.is_canary = true;
                    None
                }
                Some((Stage::Canary, _)) => {
                    let wait = TimeDelta::from_std(canary.wait).unwrap_or_default();
                    let until = now + wait.max(TimeDelta::seconds(1));
                    let profile = &ready.person.profile;
                    Some(check.put_off(profile, ready.due, until, Attempt::NotMade))
                }
            };
            match settled {
                None => batch.ready.push(ready),
                Some(settled) => batch.concluded.push(Concluded::plain(settled)),
            }
        }
        Ok(())
    }

    /// How far the provider's templates are trusted, and how many messages may go of those that
    /// are tried. One of another category than the campaign's is parked for it.
    async fn templates(
        &self,
        tx: &mut Tx,
    ) -> Result<HashMap<TemplateKey, (Stage, u64)>, StoreError> {
        let category = self.row.campaign.category;
        let rows = tx.templates(&self.row.campaign.provider).await?;
        let known = rows.into_iter().map(|row| {
            let parked = channel::is_parked(&row, category);
            let stage = if parked { Stage::Parked } else { row.stage };
            (TemplateKey { name: row.template, language: row.language }, (stage, row.remaining))
        });
        Ok(known.collect())
    }
}

/// The template that a message goes with.
fn needed(ready: &Ready) -> Option<TemplateKey> {
    let message = &ready.message;
    (message.template.is_some() && !message.free_form).then(|| TemplateKey::of(message))
}
