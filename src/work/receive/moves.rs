//! People who move to another number, or get another id.

use std::collections::BTreeMap;

use super::WebhookBatch;
use super::senders::SenderLookup;
use crate::calendar::infer::infer;
use crate::model::ids::Name;
use crate::model::recipient::{Address, Profile, Recipient, Zone};
use crate::model::time::Instant;
use crate::provider::Move;
use crate::store::{StoreError, Tx};
use crate::work::channel;

impl WebhookBatch<'_> {
    /// Follows people to new numbers or ids. The old number may soon be somebody else's; an old id
    /// never is, and words that come late still carry it.
    pub(super) async fn moved(&mut self, tx: &mut Tx, moves: Vec<Move>) -> Result<(), StoreError> {
        let provider = self.provider;
        for Move { was, now, at } in moves {
            let at = at.min(self.now);
            let mut senders = SenderLookup::open(tx, provider, was.iter()).await?;
            let people = senders.people(&was);
            self.received.unknown += u64::from(people.is_empty());
            let mut names = BTreeMap::new();
            for person in tx.recipients(&people).await?.into_values() {
                let id = person.id;
                let news = self.move_one(tx, provider, person, (&was, &now), at).await?;
                *(if news { &mut self.received.applied } else { &mut self.received.known }) += 1;
                let old_ids = was.iter().filter(|name| name.phone_digits().is_none());
                names.extend(old_ids.chain(&now).map(|name| (name.clone(), id)));
            }
            channel::learn_names(self.env, tx, provider, &names).await?;
        }
        Ok(())
    }

    async fn move_one(
        &self,
        tx: &mut Tx,
        provider: &Name,
        person: Recipient,
        (was, now): (&[Address], &[Address]),
        at: Instant,
    ) -> Result<bool, StoreError> {
        let Recipient { id, key, profile, .. } = person;
        let (Some(old), Some(new)) = (profile.address, now.first()) else { return Ok(false) };
        if old == *new {
            return Ok(false);
        }
        let numbers = was.iter().filter(|name| name.phone_digits().is_some() && **name != old);
        let left: Vec<&Address> = std::iter::once(&old).chain(numbers).collect();
        if !tx.leave_addresses(provider, id, &left, new, at).await? {
            return Ok(false);
        }
        // a zone that was told stays; one that was read off the old number is read off the new one
        let place = infer(profile.country.as_ref(), Some(new));
        let zone = place.map(|place| Zone { tz: place.tz, inferred: true });
        let moved = Profile { address: Some(new.clone()), zone, ..Profile::default() };
        tx.put_recipients(&[(key, moved)]).await?;
        Ok(true)
    }
}
