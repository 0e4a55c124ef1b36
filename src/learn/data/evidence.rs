//! What is remembered of one person: a packed, sorted record of what they were sent, what came
//! back, and when they were seen. Owns the bytes and their order; refuses to interpret them.
//!
//! Layout, little endian: version `u8`, numbers of messages and of presences `u32` each, the
//! messages by (sent, hash), then the presences by (time, kind), five bytes each. A message is
//! `sent u32, hash u32, content u16, kind u8, answers u8`, then for each set bit of `answers` the
//! seconds from
//! `sent` as a variable-length integer. `kind` holds the category in its lower three bits and the
//! channel in the others. Nobody's evidence is no bytes at all.
//!
//! *Invariant:* equal observations give equal bytes, in whatever order and however often they
//! were folded in.

use crate::learn::data::observed::{Channel, Observed, Presence};
use crate::model::content::Category;
use crate::model::time::Instant;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 9;
const MESSAGE_BYTES: usize = 12;
const PRESENCE_BYTES: usize = 5;
const NONE_CONTENT: u16 = u16::MAX;
const CATEGORY_BITS: u32 = 3;

/// One person's evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence(Box<[u8]>);

/// Bytes that are not evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not evidence: {what} at byte {at}")]
pub struct BadEvidence {
    what: &'static str,
    at: usize,
}

/// What came back of a message, in the order of the bits that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::learn) enum Answer {
    Delivered,
    Read,
    Click,
    Reply,
    Convert,
    OptOut,
    Failed,
}

/// One message, unpacked: sent `at`, and `after` so many seconds each answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedMessage {
    pub(in crate::learn) at: u32,
    hash: u32,
    pub(in crate::learn) content: Option<u16>,
    pub(in crate::learn) category: Option<Category>,
    pub(in crate::learn) channel: Channel,
    after: [Option<u32>; 7],
}

impl PackedMessage {
    /// A message by numbers: a hash of its key; content, purpose and channel; when it was sent; and when
    /// each answer came, in the order of [`Response::answered_at`](crate::model::message::Response::answered_at).
    /// Times are in microseconds.
    pub fn sent(
        hash: u32,
        (content, category, channel): (Option<u16>, Option<Category>, Channel),
        sent_at: i64,
        answered_at: [Option<i64>; 7],
    ) -> Self {
        let seconds = |micros: i64| whole_seconds(micros.div_euclid(1_000_000));
        let at = seconds(sent_at);
        let content = content.filter(|content| *content != NONE_CONTENT);
        let after = answered_at.map(|answer| Some(seconds(answer?).saturating_sub(at)));
        Self { at, hash, content, category, channel, after }
    }

    pub(in crate::learn) fn after(&self, answer: Answer) -> Option<u32> {
        self.after[answer as usize]
    }

    /// When the last of all that is known of it happened.
    pub(in crate::learn) fn newest(&self) -> u32 {
        self.at.saturating_add(self.after.into_iter().flatten().max().unwrap_or(0))
    }

    pub(in crate::learn) fn new(observed: &Observed) -> Self {
        let of = (observed.content, observed.category, observed.channel);
        let sent_at = observed.sent_at.timestamp_micros();
        let micros = |at: Option<Instant>| at.map(|at| at.timestamp_micros());
        Self::sent(observed.hash, of, sent_at, observed.response.answered_at().map(micros))
    }

    pub(in crate::learn) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.at.to_le_bytes());
        bytes.extend(self.hash.to_le_bytes());
        bytes.extend(self.content.unwrap_or(NONE_CONTENT).to_le_bytes());
        let category = self.category.map_or(0, |category| category as u8 + 1);
        bytes.push(category | (self.channel.number() as u8) << CATEGORY_BITS);
        let present = self.after.iter().enumerate().filter(|(_, after)| after.is_some());
        bytes.push(present.fold(0, |bits, (bit, _)| bits | 1 << bit));
        for after in self.after.into_iter().flatten() {
            let mut rest = after;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
    }

    pub(in crate::learn) fn read(bytes: &[u8], at: &mut usize) -> Result<Self, BadEvidence> {
        let bad = |what, at| BadEvidence { what, at };
        let head = bytes.get(*at..*at + MESSAGE_BYTES).ok_or(bad("a cut message", *at))?;
        let content = u16::from_le_bytes([head[8], head[9]]);
        let category = match head[10] & ((1 << CATEGORY_BITS) - 1) {
            0 => None,
            n => Some(*Category::ALL.get(usize::from(n) - 1).ok_or(bad("a category", *at + 10))?),
        };
        let mut sent = Self {
            at: word(&head[..4]),
            hash: word(&head[4..8]),
            content: (content != NONE_CONTENT).then_some(content),
            category,
            channel: Channel::numbered(head[10] >> CATEGORY_BITS),
            after: [None; 7],
        };
        *at += MESSAGE_BYTES;
        for (bit, after) in sent.after.iter_mut().enumerate() {
            if head[11] >> bit & 1 == 1 {
                *after = Some(read_varint(bytes, at).ok_or(bad("an answer", *at))?);
            }
        }
        Ok(sent)
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Seconds from the epoch; 0 before it.
pub(in crate::learn) fn seconds(at: Instant) -> u32 {
    whole_seconds(at.timestamp())
}

fn whole_seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

impl Evidence {
    /// Takes bytes that [`Evidence::as_bytes`] gave.
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Result<Self, BadEvidence> {
        let evidence = Self(bytes.into());
        if let Some(version) = evidence.0.first() {
            if *version != VERSION {
                return Err(BadEvidence { what: "a version that is not known", at: 0 });
            }
            if evidence.0.len() < HEADER_BYTES {
                return Err(BadEvidence { what: "a cut header", at: evidence.0.len() });
            }
            let mut at = HEADER_BYTES;
            for _ in 0..evidence.message_count() {
                PackedMessage::read(&evidence.0, &mut at)?;
            }
            let rest = &evidence.0[at..];
            let length = evidence.presence_count() as usize * PRESENCE_BYTES;
            let odd_kind =
                rest.chunks(PRESENCE_BYTES).any(|p| p.last().is_some_and(|kind| *kind > 3));
            if rest.len() != length || odd_kind {
                return Err(BadEvidence { what: "a presence", at });
            }
        }
        Ok(evidence)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages it remembers.
    pub fn message_count(&self) -> u32 {
        self.0.get(1..5).map_or(0, word)
    }

    /// How many presences it remembers.
    pub fn presence_count(&self) -> u32 {
        self.0.get(5..HEADER_BYTES).map_or(0, word)
    }

    /// Takes observations in; one seen before is replaced by what is known of it now.
    pub fn fold(&mut self, messages: &[Observed], presences: &[Presence]) {
        let mut packed = Vec::new();
        for observed in messages {
            PackedMessage::new(observed).write(&mut packed);
        }
        let mut records = PackedMessages::within(&packed, messages.len() as u32);
        let records = std::iter::from_fn(|| records.next_record());
        self.merge(records, presences.iter().map(|p| (seconds(p.at), p.kind as u8)));
    }

    /// Takes packed messages and presences in, in the order in which they were heard of.
    pub(in crate::learn) fn merge<'a>(
        &mut self,
        messages: impl Iterator<Item = &'a [u8]>,
        presences: impl Iterator<Item = (u32, u8)>,
    ) {
        let key = |record: &[u8]| (word(&record[..4]), word(&record[4..8]));
        let mut sent: Vec<((u32, u32), &[u8])> = Vec::new();
        let mut history = self.messages();
        while let Some(record) = history.next_record() {
            sent.push((key(record), record));
        }
        for record in messages {
            sent.push((key(record), record));
        }
        let mut seen: Vec<(u32, u8)> = history.presences().chain(presences).collect();
        if sent.is_empty() && seen.is_empty() {
            return;
        }
        seen.sort_unstable();
        seen.dedup();
        // stable: of two records of one message, the one that was heard of last stays
        sent.sort_by_key(|(key, _)| *key);
        sent.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = later.1;
            }
            is_same
        });
        let length = sent.iter().map(|(_, record)| record.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + length + seen.len() * PRESENCE_BYTES);
        bytes.push(VERSION);
        bytes.extend((sent.len() as u32).to_le_bytes());
        bytes.extend((seen.len() as u32).to_le_bytes());
        for (_, record) in sent {
            bytes.extend(record);
        }
        for (at, kind) in seen {
            bytes.extend(at.to_le_bytes());
            bytes.push(kind);
        }
        self.0 = bytes.into();
    }

    /// Seconds of all messages and presences before `until`, in no order.
    pub(in crate::learn) fn times(&self, until: u32) -> Vec<u32> {
        let mut history = self.messages();
        let mut times: Vec<u32> = history.by_ref().map(|sent| sent.at).collect();
        times.extend(history.presences().map(|(at, _)| at));
        times.retain(|at| *at < until);
        times
    }

    /// Seconds of the newest message or presence before `until`.
    pub(in crate::learn) fn last(&self, until: u32) -> Option<u32> {
        let mut history = self.messages();
        let sent = history.by_ref().map(|sent| sent.at).take_while(|at| *at < until).last();
        // what is left of the messages has to be walked over before the presences begin
        history.by_ref().for_each(drop);
        let seen = history.presences().map(|(at, _)| at).take_while(|at| *at < until).last();
        sent.max(seen)
    }

    /// The messages, oldest first.
    pub(in crate::learn) fn messages(&self) -> PackedMessages<'_> {
        PackedMessages {
            bytes: &self.0,
            at: HEADER_BYTES.min(self.0.len()),
            left: self.message_count(),
        }
    }
}

/// Walks over a person's messages; what is left after them are the presences.
#[derive(Debug, Clone)]
pub(in crate::learn) struct PackedMessages<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> PackedMessages<'a> {
    /// So many messages that lie packed one after the other.
    fn within(bytes: &'a [u8], left: u32) -> Self {
        Self { bytes, at: 0, left }
    }

    /// The bytes of the next message.
    fn next_record(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.next()?;
        Some(&self.bytes[start..self.at])
    }

    /// Seconds and kind of each presence, oldest first; to be asked after the last message.
    pub(in crate::learn) fn presences(self) -> impl Iterator<Item = (u32, u8)> + 'a {
        assert!(self.left == 0, "presences follow the last message");
        self.bytes[self.at..].chunks_exact(PRESENCE_BYTES).map(|p| (word(&p[..4]), p[4]))
    }
}

impl Iterator for PackedMessages<'_> {
    type Item = PackedMessage;
    fn next(&mut self) -> Option<PackedMessage> {
        self.left = self.left.checked_sub(1)?;
        Some(
            PackedMessage::read(self.bytes, &mut self.at)
                .expect("bytes were checked when they came in"),
        )
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::learn::data::observed::PresenceKind;
    use crate::model::message::Response;

    fn at(seconds: i64) -> Instant {
        DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap()
    }

    fn message(hash: u32, sent: i64) -> Observed {
        Observed {
            hash,
            sent_at: at(sent),
            content: Some(3),
            category: Some(Category::Utility),
            channel: Channel::named("mail"),
            response: Response { delivered_at: Some(at(sent + 2)), ..Response::default() },
        }
    }

    fn session(seconds: i64) -> Presence {
        Presence { at: at(seconds), kind: PresenceKind::Session }
    }

    #[test]
    fn order_and_repetition_leave_no_trace() {
        let (a, b) = (message(1, 500), message(2, 100));
        let mut together = Evidence::default();
        together.fold(&[a.clone(), b.clone()], &[session(9), session(3)]);
        let mut apart = Evidence::default();
        apart.fold(std::slice::from_ref(&b), &[session(3)]);
        apart.fold(std::slice::from_ref(&a), &[session(9), session(3)]);
        apart.fold(&[a, b], &[]);
        assert_eq!(together, apart);
        assert_eq!(together.messages().count(), 2);
    }

    #[test]
    fn a_late_read_replaces_what_was_known() {
        let mut evidence = Evidence::default();
        evidence.fold(&[message(7, 0)], &[]);
        let mut late = message(7, 0);
        late.response.read_at = Some(late.sent_at + TimeDelta::days(20));
        evidence.fold(&[late.clone()], &[]);
        let mut fresh = Evidence::default();
        fresh.fold(&[late], &[]);
        assert_eq!(evidence, fresh);
        let sent = evidence.messages().next().unwrap();
        assert_eq!(sent.after(Answer::Read), Some(20 * 86_400));
        assert_eq!(sent.after(Answer::Click), None);
    }

    #[test]
    fn bytes_that_were_cut_or_changed_are_refused() {
        let mut evidence = Evidence::default();
        evidence.fold(&[message(1, 5), message(2, 6)], &[session(1)]);
        let bytes = evidence.as_bytes();
        assert_eq!(Evidence::from_bytes(bytes).as_ref(), Ok(&evidence));
        for length in 1..bytes.len() {
            assert!(Evidence::from_bytes(&bytes[..length]).is_err(), "cut at {length}");
        }
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert!(Evidence::from_bytes(newer).is_err());
        assert!(Evidence::from_bytes([]).unwrap().is_empty());
    }

    #[test]
    fn a_message_takes_sixteen_bytes_or_so() {
        let mut evidence = Evidence::default();
        let messages: Vec<_> = (0..24).map(|i| message(i, i64::from(i) * 90_000)).collect();
        evidence.fold(&messages, &[]);
        assert!(evidence.as_bytes().len() <= 24 * 16);
    }
}
