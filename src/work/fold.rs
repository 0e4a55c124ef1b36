//! New history on its way into everybody's packed evidence.
//!
//! Folding is idempotent. The mark of progress holds when the last fold began and what had been
//! written in each second shortly before: a second whose rows have changed since is read once more,
//! which makes up for clocks that differ and transactions that took their time, and nothing that
//! was read before is read again.
//!
//! What changes in a person's evidence changes the counts over everybody's; where somebody was
//! forgotten since, they are counted anew.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, TimeDelta};
use futures_util::future;

use super::Ctx;
use super::fold_mark::FoldMark;
use super::habits::{contents, evidence_of};
use crate::learn::{
    BufferPart, Channel, Contents, DataTally, Evidence, ObservationBuffer, PackedMessage, Presence,
    PresenceKind,
};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::store::{ObservedRow, Second, Store, StoreError, Term, Whose};

/// What clocks may differ by and transactions may take.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);

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
    let mut stored = FoldMark::load(store).await?;
    let tally = stored.as_mut().and_then(|mark| mark.tally.take());
    let (mark, tally) = match &stored {
        Some(mark) if !starts_over => (Some(mark), tally),
        _ => (None, Some(DataTally::default())),
    };
    let before = |at: Instant| {
        let second = (at - OVERLAP).timestamp();
        DateTime::from_timestamp(second, 0).unwrap_or(DateTime::UNIX_EPOCH)
    };
    let last = mark.and_then(|mark| DateTime::from_timestamp_micros(mark.until));
    let since = before(last.map_or(now, |last| last.min(now)));
    // looked at before the rows are read: what is written in between is read once more next time
    let messages = store.read().await?.message_seconds(since).await?;
    let activities = store.read().await?.activity_seconds(since).await?;

    let known = store.read().await?.contents().await?;
    let (mut contents, mut buffer) = (contents(&known), ObservationBuffer::default());
    let spans = |of: fn(&FoldMark) -> &BTreeMap<i64, (i64, i64)>, seconds: &[Second]| match mark {
        None => vec![None],
        Some(mark) => changed(of(mark), seconds).into_iter().map(Some).collect::<Vec<_>>(),
    };
    let mut folded = Folded::default();
    for span in spans(|mark| &mark.messages, &messages) {
        let take = |row: ObservedRow<'_>| {
            folded.messages += 1;
            buffer.message(row.recipient.0 as u64, &packed(&row, &mut contents));
        };
        store.each_message(span, take).await?;
    }
    for span in spans(|mark| &mark.activities, &activities) {
        let take = |recipient: RecipientId, at, kind: &str| {
            folded.activities += 1;
            buffer.presence(recipient.0 as u64, Presence { at, kind: PresenceKind::of(kind) });
        };
        store.read().await?.each_activity(span, take).await?;
    }
    let mut tx = store.begin().await?;
    tx.hold_term(term).await?;
    tx.add_contents(known.len(), &contents.list()[known.len()..]).await?;
    if let Some(void) = &stored {
        void.save(&mut tx).await?;
    }
    tx.commit().await?;
    let mut writer = Writer { store, term, adds: mark.is_some(), tally };
    folded.people = writer.write(buffer, starts_over).await?;
    let tally = recounted(store, writer.tally).await?;
    // a row that is written again in the second of this fold keeps its second: that one is read anew
    let settled = before(now).timestamp()..now.timestamp();
    let recent = |seconds: Vec<Second>| -> BTreeMap<i64, (i64, i64)> {
        let recent = seconds.into_iter().filter(|second| settled.contains(&second.0));
        recent.map(|(second, rows, sum)| (second, (rows, sum))).collect()
    };
    let mark = FoldMark {
        until: now.timestamp_micros(),
        messages: recent(messages),
        activities: recent(activities),
        tally: Some(tally),
    };
    let mut tx = store.begin().await?;
    tx.hold_term(term).await?;
    mark.save(&mut tx).await?;
    tx.commit().await?;
    Ok(folded)
}

/// Counts that hold of everybody, or new ones.
async fn recounted(store: &Store, tally: Option<DataTally>) -> Result<DataTally, StoreError> {
    let people = store.read().await?.evidence_count().await?;
    if let Some(tally) = tally.filter(|tally| tally.people() == people) {
        return Ok(tally);
    }
    let mut tally = DataTally::default();
    let take = |_, packed| {
        // what is damaged is told where it would have been used
        if let Ok(evidence) = Evidence::from_bytes(packed) {
            tally.replace(&Evidence::default(), &evidence);
        }
    };
    store.read().await?.each_evidence(Whose::Everybody, take).await?;
    Ok(tally)
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

/// A message as the learner packs it; a content that is new gets a number.
fn packed(row: &ObservedRow<'_>, contents: &mut Contents) -> PackedMessage {
    let content = row.content.and_then(|content| contents.enter(content));
    let channel = row.channel.map(Channel::named).unwrap_or_default();
    PackedMessage::sent(
        hash(row.key),
        (content, row.category, channel),
        row.sent_at,
        row.answered_at,
    )
}

/// Writes evidence, and counts it.
struct Writer<'a> {
    store: &'a Store,
    term: &'a Term,
    /// Whether what is new adds to what was known.
    adds: bool,
    tally: Option<DataTally>,
}

impl Writer<'_> {
    /// Writes everybody's evidence; how many people's.
    async fn write(
        &mut self,
        mut buffer: ObservationBuffer,
        starts_over: bool,
    ) -> Result<u64, StoreError> {
        let (store, term) = (self.store, self.term);
        let (mut people, mut after) = (0, RecipientId(i64::MIN));
        let mut ready = self.fold_next(&mut buffer).await?;
        while let Some(rows) = ready {
            // the next people are folded while the database writes these
            let written = put(store, term, &rows, starts_over.then_some(after));
            ((), ready) = future::try_join(written, self.fold_next(&mut buffer)).await?;
            people += rows.len() as u64;
            after = rows.last().map_or(after, |(id, _)| *id);
        }
        if starts_over {
            let mut tx = store.begin().await?;
            tx.hold_term(term).await?;
            tx.clear_evidence(after, None).await?;
            tx.commit().await?;
        }
        Ok(people)
    }

    /// The evidence of the next people, if anybody is left.
    async fn fold_next(
        &mut self,
        buffer: &mut ObservationBuffer,
    ) -> Result<Option<Vec<(RecipientId, Evidence)>>, StoreError> {
        while let Some(part) = buffer.pop() {
            let rows = self.fold(part).await?;
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// What is known now of some people.
    async fn fold(&mut self, part: BufferPart) -> Result<Vec<(RecipientId, Evidence)>, StoreError> {
        let (known, damaged) = if self.adds {
            let people = part.people();
            let ids: Vec<_> = people.into_iter().map(|id| RecipientId(id as i64)).collect();
            evidence_of(self.store, &ids).await?
        } else {
            Default::default()
        };
        let nothing = Evidence::default();
        let was = |id| known.get(&RecipientId(id as i64)).unwrap_or(&nothing);
        let mut folded = part.fold(|id| was(id).clone());
        // what they did lately is no history of its own: it waits for that to be remade
        folded.retain(|(id, _)| !damaged.contains(&RecipientId(*id as i64)));
        if let Some(tally) = &mut self.tally {
            for (id, now) in &folded {
                tally.replace(was(*id), now);
            }
        }
        Ok(folded.into_iter().map(|(id, now)| (RecipientId(id as i64), now)).collect())
    }
}

/// Writes the evidence of some people in one transaction, a tenth of a second, so that nobody who
/// sends meanwhile waits for long; in place of whatever there was after `clear_after`.
async fn put(
    store: &Store,
    term: &Term,
    rows: &[(RecipientId, Evidence)],
    clear_after: Option<RecipientId>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.hold_term(term).await?;
    if let (Some(after), Some((last, _))) = (clear_after, rows.last()) {
        tx.clear_evidence(after, Some(*last)).await?;
    }
    let rows: Vec<_> = rows.iter().map(|(id, now)| (*id, now.as_bytes())).collect();
    tx.put_evidence(&rows).await?;
    tx.commit().await
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
