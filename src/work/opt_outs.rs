//! `opt-outs.csv` comes in: the list of the unsubscribed from another tool, as withdrawals in the
//! ledger. Running it twice changes nothing; a later consent counts.

use std::collections::{BTreeMap, HashMap};

use super::Ctx;
use super::import::{
    self, HistoryRows, ImportError, Imported, Loader, Owners, RowOutcome, Strictness,
    create_owners, known_owners,
};
use crate::files::{Input, OptOutRow, OptOuts};
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::phone::alternatives;
use crate::model::recipient::{Address, Profile};
use crate::model::time::Instant;
use crate::store::{StoreError, Tx};

/// Loads `opt-outs.csv`.
pub async fn load(
    ctx: &Ctx,
    input: Input,
    strictness: Strictness,
    progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    import::run::<OptOuts>(ctx, input, None, strictness, progress).await
}

impl HistoryRows for OptOuts {
    const EVIDENCE: &'static str = "opt-outs.csv";

    fn owner(row: &OptOutRow) -> Option<&RecipientKey> {
        row.recipient.as_ref()
    }

    fn address(row: &OptOutRow) -> Option<&str> {
        row.address.as_ref().map(Address::as_str)
    }

    async fn lock(tx: &mut Tx, rows: &[(u64, &OptOutRow)]) -> Result<Owners, StoreError> {
        known_owners::<Self>(tx, rows).await
    }

    async fn put(
        loader: &Loader<'_>,
        tx: &mut Tx,
        known: Owners,
        rows: Vec<(u64, &OptOutRow)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        let keys = rows.iter().filter_map(|(_, row)| row.recipient.as_ref());
        let known = create_owners(tx, known, keys, imported).await?;
        give_addresses(tx, &rows).await?;
        let told = rows.iter().filter_map(|(_, row)| row.address.as_ref());
        let all: Vec<Address> = told.flat_map(forms).collect();
        let addresses: Vec<&str> = all.iter().map(Address::as_str).collect();
        let mut at_address: HashMap<String, Vec<RecipientId>> = HashMap::new();
        for (address, id) in tx.people_called(&addresses).await? {
            at_address.entry(address).or_default().push(id);
        }
        let (mut told, mut entries, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for (line, row) in rows {
            let mut people: Vec<RecipientId> = row.recipient.iter().map(|key| known[key]).collect();
            if let Some(address) = &row.address {
                let there = forms(address);
                let there = there.iter().filter_map(|form| at_address.get(form.as_str()));
                people.extend(there.flatten());
            }
            people.sort_unstable();
            people.dedup();
            match &row.address {
                Some(address) if people.is_empty() => {
                    unknown.push((address.clone(), row.at, row.source.clone()));
                    imported.tell(line, RowOutcome::Created);
                }
                _ => {
                    entries.extend(people.iter().map(|id| (*id, row.at, row.source.clone())));
                    told.push((line, people));
                }
            }
        }
        let withdrawals = withdrawals(loader, tx, &entries).await?;
        if imported.each.is_some() {
            let mut new = tx.unknown_consents(&withdrawals).await?;
            for (line, people) in told {
                let news = people.iter().filter(|id| new.remove(id)).count();
                let outcome = if news > 0 { RowOutcome::Created } else { RowOutcome::Unchanged };
                imported.tell(line, outcome);
            }
        }
        let withdrawn = tx.append_consent(&withdrawals).await?;
        imported.consents += withdrawn;
        imported.new += withdrawn;
        imported.same += entries.len() as u64 - withdrawn;
        keep_unknown(loader, tx, unknown, imported).await
    }
}

/// An address in every form that a channel may write it in.
fn forms(address: &Address) -> Vec<Address> {
    [vec![address.clone()], alternatives(address)].concat()
}

/// Who is named by id and address and has no address yet has this one from now on, so that the
/// opt-out stays with it.
async fn give_addresses(tx: &mut Tx, rows: &[(u64, &OptOutRow)]) -> Result<(), StoreError> {
    let given: BTreeMap<&RecipientKey, &Address> = rows
        .iter()
        .filter_map(|(_, row)| Some((row.recipient.as_ref()?, row.address.as_ref()?)))
        .collect();
    let keys: Vec<RecipientKey> = given.keys().map(|key| (*key).clone()).collect();
    let ids = tx.recipient_ids(keys.iter()).await?;
    let numbers: Vec<RecipientId> = ids.values().copied().collect();
    let people = tx.recipients(&numbers).await?;
    let without: Vec<(RecipientKey, Profile)> = given
        .into_iter()
        .filter(|(key, _)| {
            let person = ids.get(*key).and_then(|id| people.get(id));
            person.is_some_and(|person| person.profile.address.is_none())
        })
        .map(|(key, address)| {
            (key.clone(), Profile { address: Some(address.clone()), ..Profile::default() })
        })
        .collect();
    tx.put_recipients(&without).await.map(drop)
}

/// What is to be appended. A withdrawal without a date holds from now on, and is written once: a
/// person who came back since is not withdrawn again by the same list.
async fn withdrawals(
    loader: &Loader<'_>,
    tx: &mut Tx,
    people: &[(RecipientId, Option<Instant>, String)],
) -> Result<Vec<(RecipientId, ConsentEntry)>, StoreError> {
    let mut entries: Vec<(RecipientId, ConsentEntry)> = Vec::with_capacity(people.len());
    for (id, at, source) in people {
        let known = |entry: &ConsentEntry| {
            entry.change == ConsentChange::Withdrawn
                && entry.evidence == loader.evidence
                && entry.source == *source
        };
        let listed = || entries.iter().any(|(other, entry)| other == id && known(entry));
        if at.is_none() && (listed() || tx.ledger(*id).await?.iter().any(known)) {
            continue;
        }
        let entry = ConsentEntry {
            change: ConsentChange::Withdrawn,
            at: at.unwrap_or(loader.now),
            source: source.clone(),
            evidence: loader.evidence.to_owned(),
            recorded_at: loader.now,
            scope: ConsentEntry::EVERYWHERE,
        };
        entries.push((*id, entry));
    }
    Ok(entries)
}

/// Keeps opt-outs of addresses that nobody has yet: they hold once somebody comes with the address.
async fn keep_unknown(
    loader: &Loader<'_>,
    tx: &mut Tx,
    unknown: Vec<(Address, Option<Instant>, String)>,
    imported: &mut Imported,
) -> Result<(), StoreError> {
    imported.unknown += unknown.len() as u64;
    for (address, at, source) in unknown {
        let entry = ConsentEntry {
            change: ConsentChange::Withdrawn,
            at: at.unwrap_or(loader.now),
            source,
            evidence: loader.evidence.to_owned(),
            recorded_at: loader.now,
            scope: ConsentEntry::EVERYWHERE,
        };
        tx.keep_consent(None, &[address], &entry).await?;
    }
    Ok(())
}
