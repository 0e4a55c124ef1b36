//! Whom a channel speaks of: people have numbers and ids of the channel's own, and get new ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Post;
use crate::calendar::infer::infer;
use crate::model::ids::{Name, RecipientId};
use crate::model::phone::alternatives;
use crate::model::recipient::{Address, Profile, Recipient, Zone};
use crate::model::time::Instant;
use crate::provider::Move;
use crate::store::{StoreError, Tx};

/// The people whom a post names.
pub(super) struct Callers {
    by_name: HashMap<String, Vec<RecipientId>>,
    /// Names that nobody had, beside one that somebody has.
    learned: BTreeMap<Address, RecipientId>,
}

impl Callers {
    pub(super) async fn open(
        tx: &mut Tx,
        provider: &Name,
        names: impl Iterator<Item = &Address>,
    ) -> Result<Self, StoreError> {
        // a number may be stored in another form than the channel tells
        let told: Vec<&Address> = names.collect();
        let others: Vec<Address> = told.iter().flat_map(|name| alternatives(name)).collect();
        let mut names: Vec<&str> = told.into_iter().chain(&others).map(Address::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let mut by_name: HashMap<String, Vec<RecipientId>> = HashMap::new();
        for (name, person) in tx.people_at(provider, &names).await? {
            by_name.entry(name).or_default().push(person);
        }
        Ok(Self { by_name, learned: BTreeMap::new() })
    }

    /// Who is called so: all who share the first of the names that anybody has. The others are
    /// theirs from now on, where nobody else has them.
    pub(super) fn people(&mut self, names: &[Address]) -> Vec<RecipientId> {
        let mut known = names.iter().map(|name| self.called(name)).filter(|ids| !ids.is_empty());
        let Some(people) = known.next() else { return Vec::new() };
        drop(known);
        let new = names.iter().filter(|name| self.called(name).is_empty());
        let new: Vec<_> = new.map(|name| (name.clone(), people[0])).collect();
        self.learned.extend(new);
        people
    }

    /// Everybody with this name in any of its forms.
    fn called(&self, name: &Address) -> Vec<RecipientId> {
        let forms = std::iter::once(name.clone()).chain(alternatives(name));
        let known = forms.filter_map(|form| self.by_name.get(form.as_str())).flatten();
        known.copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) async fn close(self, tx: &mut Tx, provider: &Name) -> Result<(), StoreError> {
        tx.put_aliases(provider, &self.learned).await
    }
}

impl Post<'_> {
    /// Follows people to new numbers or ids. The old number may soon be somebody else's; an old id
    /// never is, and words that come late still carry it.
    pub(super) async fn moved(
        &mut self,
        tx: &mut Tx,
        provider: &Name,
        moves: Vec<Move>,
    ) -> Result<(), StoreError> {
        for Move { was, now, at } in moves {
            let at = at.min(self.now);
            let mut callers = Callers::open(tx, provider, was.iter()).await?;
            let people = callers.people(&was);
            self.received.unknown += u64::from(people.is_empty());
            let mut names = BTreeMap::new();
            for person in tx.recipients(&people).await?.into_values() {
                let id = person.id;
                let news = self.move_one(tx, provider, person, (&was, &now), at).await?;
                *(if news { &mut self.received.applied } else { &mut self.received.known }) += 1;
                let old_ids = was.iter().filter(|name| name.phone_digits().is_none());
                names.extend(old_ids.chain(&now).map(|name| (name.clone(), id)));
            }
            tx.put_aliases(provider, &names).await?;
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
