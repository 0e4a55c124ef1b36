//! Whom a channel speaks of: people have numbers and ids of the channel's own, and get new ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::ids::{Name, RecipientId};
use crate::model::phone::alternatives;
use crate::model::recipient::Address;
use crate::store::{StoreError, Tx};
use crate::work::{StepEnv, channel};

/// The people whom a post names.
pub(super) struct SenderLookup {
    by_name: HashMap<String, Vec<RecipientId>>,
    /// Names that nobody had, beside one that somebody has.
    learned: BTreeMap<Address, RecipientId>,
}

impl SenderLookup {
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

    pub(super) async fn close(
        self,
        env: &StepEnv,
        tx: &mut Tx,
        provider: &Name,
    ) -> Result<(), StoreError> {
        channel::learn_names(env, tx, provider, &self.learned).await
    }
}
