//! Rows of `events.csv` become events, or move those that are known.

use std::collections::HashSet;

use super::chunk::{
    HistoryRows, Imported, Loader, Owners, RowOutcome, create_owners, known_owners,
};
use crate::files::{EventRow, Events};
use crate::model::event::PersonEvent;
use crate::model::ids::{RecipientId, RecipientKey};
use crate::store::{AddedEvent, StoreError, Tx};

impl HistoryRows for Events {
    fn owner(row: &EventRow) -> Option<&RecipientKey> {
        Some(&row.recipient)
    }

    async fn lock(tx: &mut Tx, rows: &[(u64, &EventRow)]) -> Result<Owners, StoreError> {
        known_owners::<Self>(tx, rows).await
    }

    async fn put(
        loader: &Loader<'_>,
        tx: &mut Tx,
        known: Owners,
        rows: Vec<(u64, &EventRow)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        let keys = rows.iter().map(|(_, row)| &row.recipient);
        let known = create_owners(tx, known, keys, imported).await?;
        // an event that comes again starts a new batch, so that its later row finds the earlier stored
        let (mut batch, mut seen) = (Vec::new(), HashSet::new());
        for (line, row) in rows {
            let identity = (&row.recipient, &row.event.kind, row.event.identity());
            if !seen.insert(identity.clone()) {
                put_batch(loader, tx, std::mem::take(&mut batch), imported).await?;
                seen = HashSet::from([identity]);
            }
            batch.push((line, (known[&row.recipient], row.event.clone())));
        }
        put_batch(loader, tx, batch, imported).await
    }
}

async fn put_batch(
    loader: &Loader<'_>,
    tx: &mut Tx,
    batch: Vec<(u64, (RecipientId, PersonEvent))>,
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let (lines, events): (Vec<u64>, Vec<_>) = batch.into_iter().unzip();
    for (line, became) in lines.into_iter().zip(tx.put_events(&events, loader.now).await?) {
        let (count, outcome) = match became {
            AddedEvent::New => (&mut imported.new, RowOutcome::Created),
            AddedEvent::Moved => (&mut imported.updated, RowOutcome::Updated),
            AddedEvent::Same => (&mut imported.same, RowOutcome::Unchanged),
        };
        *count += 1;
        imported.tell(line, outcome);
    }
    Ok(())
}
