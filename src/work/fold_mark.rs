//! How far folding has come, and what is counted over everybody's evidence since.
//!
//! The counts stand so that a fit need not read all evidence. They are void while evidence is
//! written, and hold for as long as there is evidence of as many people as they count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::learn::DataTally;
use crate::store::{Store, StoreError, Tx};

const NAME: &str = "evidence_folded";

/// How far folding has come.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct FoldMark {
    /// In microseconds.
    pub(super) until: i64,
    /// What was written in the seconds around it: rows, and a sum over their microseconds.
    pub(super) messages: BTreeMap<i64, (i64, i64)>,
    pub(super) activities: BTreeMap<i64, (i64, i64)>,
    /// Absent where they are void; an earlier version kept none, and drops them when it folds.
    pub(super) tally: Option<DataTally>,
}

impl FoldMark {
    /// The one that is stored; none before the first fold.
    pub(super) async fn load(store: &Store) -> Result<Option<Self>, StoreError> {
        let stored = store.read().await?.mark(NAME).await?;
        Ok(stored.and_then(|stored| serde_json::from_str(&stored).ok()))
    }

    /// Stores it over the one before.
    pub(super) async fn save(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let stored = serde_json::to_string(self).expect("numbers serialize");
        tx.set_mark(NAME, &stored).await
    }
}
