//! One chunk of a file, put into the store in one transaction: who the rows are about, who of them was
//! forgotten, and what was new.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::files::{
    Activity, ActivityRow, HistoryFile, MessageLine, Messages, Numbered, RecipientLine, Recipients,
    RowError,
};
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::{MessageKey, Name, RecipientId, RecipientKey};
use crate::model::message::{Merged, Message};
use crate::model::phone::alternatives;
use crate::model::recipient::{Address, Profile};
use crate::model::time::Instant;
use crate::store::{AddedRecipient, AuditEntry, Forgotten, MessageRow, Store, StoreError, Tx};
use crate::work::refusals;

/// Refused rows that are listed; the others are only counted.
pub const REFUSED_LISTED_MAX: usize = 1000;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(tag = "status", content = "detail", rename_all = "snake_case")]
pub enum RowOutcome {
    /// It was not known before.
    Created,
    /// It was known, and something was filled in or changed.
    Updated,
    /// It was known, and nothing changed.
    Unchanged,
    /// It was not taken; why.
    Refused(String),
}

/// What became of a file's rows.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Imported {
    /// Rows read.
    pub rows: u64,
    /// Not known before.
    pub new: u64,
    /// Known, and something was filled in or changed.
    pub updated: u64,
    /// Known, and nothing changed.
    pub same: u64,
    /// Refused.
    pub refused: u64,
    /// Entries added to the consent ledger.
    pub consents: u64,
    /// Recipients that only messages or activity named; they have no consent.
    pub recipients_created: u64,
    /// Time zones inferred from country or dialling code.
    pub zones_inferred: u64,
    /// Opt-outs of addresses that nobody has; they are kept until somebody does.
    pub unknown: u64,
    /// What was read otherwise than it stands.
    pub remarks: Vec<String>,
    /// The first refused rows.
    #[serde(serialize_with = "shown")]
    pub refusals: Vec<RowError>,
    /// What became of each line, where somebody wants to know.
    #[serde(skip)]
    pub(in crate::work) each: Option<BTreeMap<u64, RowOutcome>>,
}

fn shown<S: serde::Serializer>(refusals: &[RowError], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(refusals.iter().map(ToString::to_string))
}

impl Imported {
    pub(in crate::work) fn tell(&mut self, line: u64, outcome: RowOutcome) {
        if let Some(each) = &mut self.each {
            each.insert(line, outcome);
        }
    }

    fn is_unchanged(&self, line: u64) -> bool {
        let each = self.each.as_ref();
        each.and_then(|each| each.get(&line)) == Some(&RowOutcome::Unchanged)
    }

    fn refuse(&mut self, error: RowError) {
        self.refused += 1;
        self.tell(error.line, RowOutcome::Refused(error.problem.clone()));
        if self.refusals.len() < REFUSED_LISTED_MAX {
            self.refusals.push(error);
        }
    }
}

pub(super) type Parsed<R> = Vec<Numbered<R>>;

/// What becomes of a chunk that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadMode<'d> {
    Keep,
    /// And who brought it is noted.
    KeepAndNote(&'d AuditEntry),
    /// It was only tried.
    TakeBack,
}

/// A file whose rows can be put into the store.
pub(in crate::work) trait HistoryRows: HistoryFile {
    /// What proves what a file's rows say of consent.
    const EVIDENCE: &'static str = "recipients.csv";

    /// Whose row it is.
    fn owner(row: &Self::Row) -> Option<&RecipientKey>;

    /// The address in it, by which a forgotten person could come back under another id.
    fn address(_row: &Self::Row) -> Option<&str> {
        None
    }

    /// Locks those whom the rows are about and who are known already, until the transaction ends.
    async fn lock(tx: &mut Tx, rows: &[(u64, &Self::Row)]) -> Result<Owners, StoreError>;

    /// Puts rows into the store.
    async fn put(
        loader: &Loader<'_>,
        tx: &mut Tx,
        known: Owners,
        rows: Vec<(u64, &Self::Row)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError>;
}

/// The numbers of people by the caller's ids.
pub(in crate::work) type Owners = HashMap<RecipientKey, RecipientId>;

pub(in crate::work) struct Loader<'k> {
    /// When the chunk at hand is written: learning looks for rows by the time of their writing, and
    /// a long import must not stamp its last rows with its beginning.
    pub(in crate::work) now: Instant,
    pub(super) key: &'k Forgotten,
    /// The attributes with people's addresses on a channel, by provider.
    pub(super) own_addresses: &'k [(Name, String)],
    /// What proves consent that rows tell of.
    pub(in crate::work) evidence: &'static str,
    /// Through what consent ends that rows say has ended.
    pub(super) withdrawn_by: &'static str,
}

impl Loader<'_> {
    pub(super) async fn load<F: HistoryRows>(
        &self,
        store: &Store,
        chunk: &Parsed<F::Row>,
        load: LoadMode<'_>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        imported.rows += chunk.len() as u64;
        let mut rows = Vec::with_capacity(chunk.len());
        for (line, row) in chunk {
            match row {
                Ok(row) => rows.push((*line, row)),
                Err(error) => imported.refuse(error.clone()),
            }
        }
        let mut tx = store.begin().await?;
        // those who are known are locked first: who is not known after that, and is forgotten, was
        // forgotten before, and the hash is there to be seen
        let known = F::lock(&mut tx, &rows).await?;
        self.pass_over_forgotten::<F>(&mut tx, &mut rows, imported).await?;
        F::put(self, &mut tx, known, rows, imported).await?;
        match load {
            LoadMode::Keep => tx.commit().await,
            LoadMode::KeepAndNote(deed) => {
                tx.note_audit(deed).await?;
                tx.commit().await
            }
            LoadMode::TakeBack => Ok(()),
        }
    }

    async fn pass_over_forgotten<F: HistoryRows>(
        &self,
        tx: &mut Tx,
        rows: &mut Vec<(u64, &F::Row)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        if !tx.any_forgotten().await? {
            return Ok(());
        }
        // a channel's id of a person, or the address in any of its forms, may be the caller's id in
        // another file
        let hashes = |row: &F::Row| {
            let owner = F::owner(row).map(RecipientKey::as_str);
            let names = owner.into_iter().chain(F::address(row));
            let other = |name: &str| name.parse().map(|name| alternatives(&name));
            let forms = names.clone().filter_map(|name| other(name).ok()).flatten();
            let addresses = names.map(str::to_owned).chain(forms.map(|form| form.to_string()));
            let mut hashes: Vec<String> =
                addresses.map(|address| self.key.hash("address", &address)).collect();
            hashes.extend(owner.map(|owner| self.key.hash("recipient", owner)));
            hashes
        };
        let all: Vec<String> = rows.iter().flat_map(|(_, row)| hashes(row)).collect();
        let gone = tx.which_forgotten(&all).await?;
        if !gone.is_empty() {
            rows.retain(|(line, row)| {
                let known = hashes(row).iter().any(|hash| gone.contains(hash));
                if known {
                    let problem = "the person asked to be forgotten; \
                        `opportune consent grant` lets them in again"
                        .to_owned();
                    imported.refuse(RowError { line: *line, problem });
                }
                !known
            });
        }
        Ok(())
    }
}

/// Creates those of the owners who are not known, without consent.
pub(in crate::work) async fn create_owners<'k>(
    tx: &mut Tx,
    mut known: Owners,
    keys: impl Iterator<Item = &'k RecipientKey>,
    imported: &mut Imported,
) -> Result<Owners, StoreError> {
    let missing: HashSet<&RecipientKey> = keys.filter(|key| !known.contains_key(*key)).collect();
    if missing.is_empty() {
        return Ok(known);
    }
    // numbers are given in the order of keys, whatever the order of the set
    let mut new: Vec<&RecipientKey> = missing.into_iter().collect();
    new.sort();
    let new: Vec<_> = new.into_iter().map(|key| (key.clone(), Profile::default())).collect();
    let added = tx.put_recipients(&new).await?;
    imported.recipients_created += new.len() as u64;
    known.extend(new.into_iter().zip(added).map(|((key, _), (id, _))| (key, id)));
    Ok(known)
}

pub(in crate::work) async fn known_owners<F: HistoryRows>(
    tx: &mut Tx,
    rows: &[(u64, &F::Row)],
) -> Result<Owners, StoreError> {
    let keys: HashSet<&RecipientKey> = rows.iter().filter_map(|(_, row)| F::owner(row)).collect();
    tx.recipient_ids(keys.into_iter()).await
}

impl HistoryRows for Recipients {
    fn owner(row: &RecipientLine) -> Option<&RecipientKey> {
        Some(&row.key)
    }

    fn address(row: &RecipientLine) -> Option<&str> {
        row.profile.address.as_ref().map(Address::as_str)
    }

    async fn lock(tx: &mut Tx, rows: &[(u64, &RecipientLine)]) -> Result<Owners, StoreError> {
        known_owners::<Self>(tx, rows).await
    }

    async fn put(
        loader: &Loader<'_>,
        tx: &mut Tx,
        known: Owners,
        rows: Vec<(u64, &RecipientLine)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        drop(known);
        // a key that comes again starts a new batch, so that its later row finds the earlier stored
        let (mut batch, mut keys) = (Vec::new(), HashSet::new());
        for (line, row) in rows {
            if !keys.insert(row.key.clone()) {
                put_batch(loader, tx, std::mem::take(&mut batch), imported).await?;
                keys = HashSet::from([row.key.clone()]);
            }
            batch.push((line, row));
        }
        put_batch(loader, tx, batch, imported).await
    }
}

async fn put_batch(
    loader: &Loader<'_>,
    tx: &mut Tx,
    rows: Vec<(u64, &RecipientLine)>,
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let (mut people, mut opted_in) = (Vec::with_capacity(rows.len()), Vec::new());
    for (_, row) in &rows {
        imported.zones_inferred += u64::from(row.profile.zone.is_some_and(|zone| zone.inferred));
        people.push((row.key.clone(), row.profile.clone()));
        opted_in.push((row.opted_in.clone(), row.opted_out));
    }
    let added = tx.put_recipients(&people).await?;
    let ids: Vec<RecipientId> = added.iter().map(|(id, _)| *id).collect();
    let (mut entries, mut changed) = (Vec::new(), Vec::new());
    for (((id, became), (opted_in, opted_out)), (line, _)) in
        added.into_iter().zip(opted_in).zip(&rows)
    {
        let (count, outcome) = match became {
            AddedRecipient::New => (&mut imported.new, RowOutcome::Created),
            AddedRecipient::Updated => (&mut imported.updated, RowOutcome::Updated),
            AddedRecipient::Same => (&mut imported.same, RowOutcome::Unchanged),
        };
        *count += 1;
        imported.tell(*line, outcome);
        if became != AddedRecipient::Same || opted_in.is_some() || opted_out.is_some() {
            changed.push(id);
        }
        let granted = opted_in.map(|(at, source)| (ConsentChange::Granted, at, source));
        let withdrawn =
            opted_out.map(|at| (ConsentChange::Withdrawn, at, loader.withdrawn_by.to_owned()));
        entries.extend(granted.into_iter().chain(withdrawn).map(|(change, at, source)| {
            let evidence = loader.evidence.to_owned();
            (
                id,
                ConsentEntry {
                    change,
                    at,
                    source,
                    evidence,
                    recorded_at: loader.now,
                    scope: ConsentEntry::EVERYWHERE,
                },
            )
        }));
    }
    // whoever is new or changed is told of already, and has no ledger to be read
    let lines = rows.iter().map(|(line, _)| *line).zip(&ids);
    let unchanged: Vec<(u64, &RecipientId)> =
        lines.filter(|(line, _)| imported.is_unchanged(*line)).collect();
    if !unchanged.is_empty() {
        let whose: HashSet<&RecipientId> = unchanged.iter().map(|(_, id)| *id).collect();
        let said: Vec<_> = entries.iter().filter(|(id, _)| whose.contains(id)).cloned().collect();
        let told = tx.unknown_consents(&said).await?;
        for (line, _) in unchanged.iter().filter(|(_, id)| told.contains(id)) {
            imported.tell(*line, RowOutcome::Updated);
        }
    }
    imported.consents += tx.append_consent(&entries).await?;
    // words that were said before anybody knew the address
    let names = people.iter().zip(&ids);
    let names: Vec<(&str, RecipientId)> = names
        .filter_map(|((_, profile), id)| Some((profile.address.as_ref()?.as_str(), *id)))
        .collect();
    imported.consents += tx.apply_kept_consent(None, &names, loader.now).await?;
    imported.consents += refusals::share(tx, &changed, loader.now).await?;
    for (provider, attribute) in loader.own_addresses {
        let own = people.iter().zip(&ids).filter_map(|((_, profile), id)| {
            Some((profile.attributes.get(attribute)?.parse::<Address>().ok()?, *id))
        });
        let own: BTreeMap<Address, RecipientId> = own.collect();
        tx.put_aliases(provider, &own).await?;
        let names: Vec<(&str, RecipientId)> =
            own.iter().map(|(address, id)| (address.as_str(), *id)).collect();
        imported.consents += tx.apply_kept_consent(Some(provider), &names, loader.now).await?;
    }
    Ok(())
}

impl HistoryRows for Messages {
    fn owner(row: &MessageLine) -> Option<&RecipientKey> {
        Some(&row.recipient)
    }

    async fn lock(tx: &mut Tx, rows: &[(u64, &MessageLine)]) -> Result<Owners, StoreError> {
        known_owners::<Self>(tx, rows).await
    }

    async fn put(
        loader: &Loader<'_>,
        tx: &mut Tx,
        known: Owners,
        rows: Vec<(u64, &MessageLine)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        let keys = rows.iter().map(|(_, row)| &row.recipient);
        let known = create_owners(tx, known, keys, imported).await?;
        let mut lines = Vec::with_capacity(rows.len());
        let mut messages: Vec<(RecipientId, Message)> = Vec::with_capacity(rows.len());
        for (line, row) in rows {
            lines.push(line);
            messages.push((known[&row.recipient], row.message.clone()));
        }
        if imported.each.is_some() {
            let keys: Vec<&str> = messages.iter().map(|(_, m)| m.key.as_str()).collect();
            let stored = tx.messages(&keys).await?;
            for (line, outcome) in lines.iter().zip(foretold(stored, &messages)) {
                imported.tell(*line, outcome);
            }
        }
        let added = tx.add_messages(&messages, loader.now).await?;
        withdraw_consent(loader, tx, &messages, imported).await?;
        imported.new += added.new;
        imported.updated += added.filled;
        imported.same += added.same;
        for (index, column, stored, given) in added.conflicts {
            let key = &messages[index].1.key;
            let problem = format!(
                "message {:?} is stored with {column} {stored:?}, the file says {given:?}; \
                 a filled field cannot change",
                key.as_str()
            );
            imported.refuse(RowError { line: lines[index], problem });
        }
        Ok(())
    }
}

/// What becomes of each message beside those that are stored; contradictions are refused later.
fn foretold(
    mut stored: HashMap<MessageKey, MessageRow>,
    given: &[(RecipientId, Message)],
) -> Vec<RowOutcome> {
    let mut outcome = |(recipient, message): &(RecipientId, Message)| {
        let Some(row) = stored.get_mut(&message.key) else {
            let row = MessageRow { recipient: *recipient, message: message.clone() };
            stored.insert(message.key.clone(), row);
            return RowOutcome::Created;
        };
        match row.message.merge(message) {
            Merged::Filled(merged) => {
                row.message = *merged;
                RowOutcome::Updated
            }
            Merged::Same | Merged::Conflict { .. } => RowOutcome::Unchanged,
        }
    };
    given.iter().map(&mut outcome).collect()
}

/// A person who opted out in answer to a message of the past has no consent since then.
async fn withdraw_consent(
    loader: &Loader<'_>,
    tx: &mut Tx,
    messages: &[(RecipientId, Message)],
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let entries: Vec<(RecipientId, ConsentEntry)> = messages
        .iter()
        .filter_map(|(recipient, message)| {
            let entry = ConsentEntry {
                change: ConsentChange::Withdrawn,
                at: message.response.opted_out_at?,
                source: "opt-out".to_owned(),
                evidence: message.key.to_string(),
                recorded_at: loader.now,
                scope: ConsentEntry::EVERYWHERE,
            };
            Some((*recipient, entry))
        })
        .collect();
    imported.consents += tx.append_consent(&entries).await?;
    Ok(())
}

impl HistoryRows for Activity {
    fn owner(row: &ActivityRow) -> Option<&RecipientKey> {
        Some(&row.recipient)
    }

    async fn lock(tx: &mut Tx, rows: &[(u64, &ActivityRow)]) -> Result<Owners, StoreError> {
        known_owners::<Self>(tx, rows).await
    }

    async fn put(
        loader: &Loader<'_>,
        tx: &mut Tx,
        known: Owners,
        rows: Vec<(u64, &ActivityRow)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        let keys = rows.iter().map(|(_, row)| &row.recipient);
        let known = create_owners(tx, known, keys, imported).await?;
        let owned: Vec<_> =
            rows.iter().map(|(_, row)| (known[&row.recipient], row.at, row.kind.clone())).collect();
        if imported.each.is_some() {
            let mut stored = tx.stored_activity(&owned).await?;
            for ((line, _), sign) in rows.iter().zip(&owned) {
                let new = stored.insert(sign.clone());
                let outcome = if new { RowOutcome::Created } else { RowOutcome::Unchanged };
                imported.tell(*line, outcome);
            }
        }
        let new = tx.add_activity(&owned, loader.now).await?;
        imported.new += new;
        imported.same += owned.len() as u64 - new;
        Ok(())
    }
}
