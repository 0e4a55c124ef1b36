//! New history on its way into everybody's packed evidence.
//!
//! Folding is idempotent. The mark of progress holds when the last fold began and what had been
//! written in each second shortly before: a second whose rows have changed since is read once more,
//! which makes up for clocks that differ and transactions that took their time, and nothing that
//! was read before is read again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::Ctx;
use super::habits::{contents, evidence_of};
use crate::learn::{Channel, Contents, Evidence, Observed, Presence, PresenceKind};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::store::{ObservedRow, Second, Store, StoreError, Term};

/// What clocks may differ by and transactions may take.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);
/// The name of the mark of progress.
const FOLDED: &str = "evidence_folded";
/// Observations that are held before they are folded.
const BATCH_MAX: usize = 2_000_000;
/// People whose evidence is written in one transaction: a tenth of a second, so that nobody who
/// sends meanwhile waits for long.
const WRITE_ROWS: usize = 5_000;

/// How far folding has come.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Mark {
    /// In microseconds.
    until: i64,
    /// What was written in the seconds around it: rows, and a sum over their microseconds.
    messages: BTreeMap<i64, (i64, i64)>,
    activities: BTreeMap<i64, (i64, i64)>,
}

/// What was folded in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Folded {
    /// Messages that were new or changed.
    pub(super) messages: u64,
    /// Signs of presence that were new.
    pub(super) activities: u64,
    /// People whose evidence was touched.
    pub(super) people: u64,
}

/// Folds messages and activity written since the last time into everybody's evidence; all of them
/// if it starts over.
pub(super) async fn fold(
    ctx: &Ctx,
    term: &Term,
    now: Instant,
    starts_over: bool,
) -> Result<Folded, StoreError> {
    let store = &ctx.store;
    let mark = store
        .read()
        .await?
        .mark(FOLDED)
        .await?
        .and_then(|mark| serde_json::from_str::<Mark>(&mark).ok());
    let mark = mark.filter(|_| !starts_over);
    let before = |at: Instant| {
        let second = (at - OVERLAP).timestamp();
        DateTime::from_timestamp(second, 0).unwrap_or(DateTime::UNIX_EPOCH)
    };
    let last = mark.as_ref().and_then(|mark| DateTime::from_timestamp_micros(mark.until));
    let since = before(last.map_or(now, |last| last.min(now)));
    // looked at before the rows are read: what is written in between is read once more next time
    let messages = store.read().await?.message_seconds(since).await?;
    let activities = store.read().await?.activity_seconds(since).await?;

    let known = store.read().await?.contents().await?;
    let mut folder =
        Folder { contents: contents(&known), adds: mark.is_some(), ..Folder::default() };
    let spans = |of: fn(&Mark) -> &BTreeMap<i64, (i64, i64)>, seconds: &[Second]| match &mark {
        None => vec![None],
        Some(mark) => changed(of(mark), seconds).into_iter().map(Some).collect::<Vec<_>>(),
    };
    let mut folded = Folded::default();
    for span in spans(|mark| &mark.messages, &messages) {
        let take = |row| {
            folded.messages += 1;
            folder.message(row);
        };
        store.each_message(span, take).await?;
    }
    for span in spans(|mark| &mark.activities, &activities) {
        store
            .read()
            .await?
            .each_activity(span, |recipient, at, kind| {
                folded.activities += 1;
                folder.presence(recipient, Presence { at, kind: PresenceKind::of(kind) });
            })
            .await?;
    }
    folded.people = folder.write(store, term, known.len(), starts_over).await?;
    // a row that is written again in the second of this fold keeps its second: that one is read anew
    let settled = before(now).timestamp()..now.timestamp();
    let recent = |seconds: Vec<Second>| -> BTreeMap<i64, (i64, i64)> {
        let recent = seconds.into_iter().filter(|second| settled.contains(&second.0));
        recent.map(|(second, rows, sum)| (second, (rows, sum))).collect()
    };
    let mark = Mark {
        until: now.timestamp_micros(),
        messages: recent(messages),
        activities: recent(activities),
    };
    let mark = serde_json::to_string(&mark).expect("numbers serialize");
    let mut tx = store.begin().await?;
    tx.hold_term(term).await?;
    tx.set_mark(FOLDED, &mark).await?;
    tx.commit().await?;
    Ok(folded)
}

/// The spans of time in which other rows are written than were seen.
fn changed(seen: &BTreeMap<i64, (i64, i64)>, seconds: &[Second]) -> Vec<Range<Instant>> {
    let at = |second| DateTime::from_timestamp(second, 0).unwrap_or(DateTime::UNIX_EPOCH);
    let mut spans: Vec<Range<Instant>> = Vec::new();
    for (second, rows, sum) in seconds {
        if seen.get(second) == Some(&(*rows, *sum)) {
            continue;
        }
        match spans.last_mut() {
            Some(span) if span.end == at(*second) => span.end = at(second + 1),
            _ => spans.push(at(*second)..at(second + 1)),
        }
    }
    spans
}

/// Observations on their way into evidence.
#[derive(Default)]
struct Folder {
    contents: Contents,
    /// Whether there is evidence already that is added to.
    adds: bool,
    waiting: HashMap<RecipientId, (Vec<Observed>, Vec<Presence>)>,
    count: usize,
    folded: HashMap<RecipientId, Evidence>,
}

impl Folder {
    fn message(&mut self, row: ObservedRow) {
        let observed = Observed {
            hash: hash(&row.key),
            sent_at: row.sent_at,
            content: row.content.and_then(|content| self.contents.enter(&content)),
            category: row.category,
            channel: row.channel.as_deref().map(Channel::named).unwrap_or_default(),
            response: row.response,
        };
        self.waiting.entry(row.recipient).or_default().0.push(observed);
        self.counted();
    }

    fn presence(&mut self, recipient: RecipientId, presence: Presence) {
        self.waiting.entry(recipient).or_default().1.push(presence);
        self.counted();
    }

    /// Keeps memory bounded when everything is folded anew; what is only added to stays few.
    fn counted(&mut self) {
        self.count += 1;
        if !self.adds && self.count >= BATCH_MAX {
            self.fold_waiting();
        }
    }

    fn fold_waiting(&mut self) {
        for (recipient, (messages, presences)) in self.waiting.drain() {
            self.folded.entry(recipient).or_default().fold(&messages, &presences);
        }
        self.count = 0;
    }

    /// Writes everybody's evidence, some people at a time.
    async fn write(
        mut self,
        store: &Store,
        term: &Term,
        known: usize,
        starts_over: bool,
    ) -> Result<u64, StoreError> {
        if self.adds {
            let ids: Vec<RecipientId> = self.waiting.keys().copied().collect();
            let (folded, damaged) = evidence_of(store, &ids).await?;
            self.folded = folded;
            // what they did lately is no history of its own: it waits for that to be remade
            self.waiting.retain(|id, _| !damaged.contains(id));
        }
        self.fold_waiting();
        let mut ids: Vec<RecipientId> = self.folded.keys().copied().collect();
        ids.sort_unstable();
        let mut tx = store.begin().await?;
        tx.hold_term(term).await?;
        tx.add_contents(known, &self.contents.list()[known..]).await?;
        tx.commit().await?;
        let mut after = RecipientId(i64::MIN);
        for chunk in ids.chunks(WRITE_ROWS) {
            self.write_chunk(store, term, starts_over.then_some(after), chunk).await?;
            after = chunk.last().copied().unwrap_or(after);
        }
        if starts_over {
            let mut tx = store.begin().await?;
            tx.hold_term(term).await?;
            tx.clear_evidence(after, None).await?;
            tx.commit().await?;
        }
        Ok(ids.len() as u64)
    }

    /// Writes the evidence of some people, in place of whatever there was after `clear_after`.
    async fn write_chunk(
        &self,
        store: &Store,
        term: &Term,
        clear_after: Option<RecipientId>,
        ids: &[RecipientId],
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (*id, self.folded[id].as_bytes())).collect();
        let mut tx = store.begin().await?;
        tx.hold_term(term).await?;
        if let Some(after) = clear_after {
            tx.clear_evidence(after, ids.last().copied()).await?;
        }
        tx.put_evidence(&rows).await?;
        tx.commit().await
    }
}

/// Tells a person's messages apart (FNV-1a, 32 bits).
fn hash(key: &str) -> u32 {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    key.bytes().fold(0x811c_9dc5, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_seconds_whose_rows_changed_are_read_again() {
        let seen = [(10, (3, 30)), (11, (1, 5)), (12, (2, 9))].into();
        let seconds = [(10, 3, 30), (11, 2, 6), (12, 2, 8), (14, 1, 1)];
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        assert_eq!(changed(&seen, &seconds), [at(11)..at(13), at(14)..at(15)]);
        assert_eq!(changed(&seen, &[(10, 3, 30)]), []);
    }
}
