//! Observations of many people on their way into evidence: packed as they come, in whatever order,
//! so that a whole history fits into memory, and taken out people by people.

use std::collections::BTreeMap;

use crate::learn::data::evidence::{Evidence, PackedMessage, seconds};
use crate::learn::data::observed::Presence;

/// People of one part, whose numbers differ in these bits alone: they are taken out together.
const PART_BITS: u32 = 12;
/// The most that a message and its person's place take.
const MESSAGE_MAX: usize = 64;
const PLACE_BYTES: usize = 2;

/// Observations by people's numbers.
#[derive(Debug, Default)]
pub struct ObservationBuffer(BTreeMap<u64, BufferPart>);

/// What was observed of some people with neighbouring numbers.
#[derive(Debug, Default)]
pub struct BufferPart {
    /// The first of the numbers.
    first: u64,
    /// Each message after the place of its person, two bytes.
    messages: Vec<u8>,
    presences: Vec<(u16, u32, u8)>,
}

impl ObservationBuffer {
    /// Takes a message of a person.
    pub fn message(&mut self, person: u64, message: &PackedMessage) {
        let (place, part) = self.part(person);
        let messages = &mut part.messages;
        // doubling would take up to twice what is needed
        if messages.capacity() - messages.len() < MESSAGE_MAX {
            messages.reserve_exact(MESSAGE_MAX.max(messages.len() / 8));
        }
        messages.extend(place.to_le_bytes());
        message.write(messages);
    }

    /// Takes a presence event of a person.
    pub fn presence(&mut self, person: u64, presence: Presence) {
        let (place, part) = self.part(person);
        part.presences.push((place, seconds(presence.at), presence.kind as u8));
    }

    /// Takes out the people with the lowest numbers, as many as share a part.
    pub fn pop(&mut self) -> Option<BufferPart> {
        self.0.pop_first().map(|(_, part)| part)
    }

    fn part(&mut self, person: u64) -> (u16, &mut BufferPart) {
        let first = person >> PART_BITS << PART_BITS;
        let part =
            self.0.entry(first).or_insert_with(|| BufferPart { first, ..Default::default() });
        ((person - first) as u16, part)
    }
}

impl BufferPart {
    /// The people's numbers, in ascending order.
    pub fn people(&self) -> Vec<u64> {
        let messages = self.messages().into_iter().map(|(place, _)| place);
        let mut places: Vec<u16> =
            messages.chain(self.presences.iter().map(|(place, ..)| *place)).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.first + u64::from(place)).collect()
    }

    /// Each person's evidence, in the order of their numbers, made of what `known` says was known.
    pub fn fold(mut self, known: impl Fn(u64) -> Evidence) -> Vec<(u64, Evidence)> {
        self.presences.sort_unstable();
        // stable: a person's messages stay in the order in which they came
        let mut messages = self.messages();
        messages.sort_by_key(|(place, _)| *place);
        let (mut messages, mut presences) = (messages.as_slice(), self.presences.as_slice());
        let mut folded = Vec::new();
        loop {
            let next = [messages.first().map(|m| m.0), presences.first().map(|p| p.0)];
            let Some(place) = next.into_iter().flatten().min() else { return folded };
            let person = self.first + u64::from(place);
            let of = messages.partition_point(|(of, _)| *of <= place);
            let seen = presences.partition_point(|(of, ..)| *of <= place);
            let mut evidence = known(person);
            evidence.merge(
                messages[..of].iter().map(|(_, record)| *record),
                presences[..seen].iter().map(|(_, at, kind)| (*at, *kind)),
            );
            folded.push((person, evidence));
            (messages, presences) = (&messages[of..], &presences[seen..]);
        }
    }

    /// Each message's bytes after the place of its person, in the order in which they came.
    fn messages(&self) -> Vec<(u16, &[u8])> {
        let mut messages = Vec::new();
        let mut at = 0;
        while let Some(place) = self.messages.get(at..at + PLACE_BYTES) {
            at += PLACE_BYTES;
            let start = at;
            PackedMessage::read(&self.messages, &mut at).expect("they were packed here");
            messages.push((u16::from_le_bytes([place[0], place[1]]), &self.messages[start..at]));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::learn::data::observed::{Channel, Observed, PresenceKind};
    use crate::model::message::Response;
    use crate::model::time::Instant;

    fn at(seconds: u32) -> Instant {
        DateTime::from_timestamp(1_750_000_000 + i64::from(seconds), 0).unwrap()
    }

    fn message(hash: u32, read: Option<u32>) -> Observed {
        let sent_at = at(hash * 1000);
        let read_at = read.map(|after| sent_at + TimeDelta::seconds(after.into()));
        Observed {
            hash,
            sent_at,
            content: Some(3),
            category: None,
            channel: Channel::named("mail"),
            response: Response { read_at, ..Response::default() },
        }
    }

    #[test]
    fn people_come_out_once_each_as_if_each_had_been_folded_alone() {
        let people = [5u64, 4094, 4095, 4096, 90_000];
        let mut buffer = ObservationBuffer::default();
        let mut alone = BTreeMap::new();
        for step in 0..100u32 {
            let person = people[(step * 3 % 5) as usize];
            let evidence: &mut Evidence = alone.entry(person).or_default();
            if step % 4 == 0 {
                let presence = Presence { at: at(step), kind: PresenceKind::Session };
                buffer.presence(person, presence);
                evidence.fold(&[], &[presence]);
            } else {
                // what is heard of a message last is what is known of it
                let message = message(step % 7, Some(step));
                buffer.message(person, &PackedMessage::new(&message));
                evidence.fold(&[message], &[]);
            }
        }
        let mut folded = Vec::new();
        while let Some(part) = buffer.pop() {
            let people = part.people();
            let part = part.fold(|_| Evidence::default());
            assert_eq!(people, part.iter().map(|(person, _)| *person).collect::<Vec<_>>());
            folded.extend(part);
        }
        assert_eq!(folded, alone.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_new_adds_to_what_was_known() {
        let mut known = Evidence::default();
        known.fold(&[message(1, None), message(2, None)], &[]);
        let mut buffer = ObservationBuffer::default();
        buffer.message(8, &PackedMessage::new(&message(2, Some(60))));
        let folded = buffer.pop().unwrap().fold(|_| known.clone());
        known.fold(&[message(2, Some(60))], &[]);
        assert_eq!(folded, [(8, known)]);
        assert_eq!(folded[0].1.message_count(), 2);
        assert!(buffer.pop().is_none());
    }
}
