//! What a channel tells of its messages: whether it reports deliveries at all, and which people's
//! mail a machine opens.
//!
//! A machine is a person whose messages are read the moment they are delivered, at whatever hour:
//! of
//! `n` delivered messages, `m` were read at once. Of a machine's, nearly all are; of people's, a share
//! that differs from one to the next (beta-binomial) and from channel to channel, since the stamps
//! of some are whole seconds and some phones are only reached when they are looked at. Both the
//! share of machines and that of people's instant reads are learned from everybody by
//! expectation–maximization; nobody is called a machine for a single read.

use serde::{Deserialize, Serialize};

use crate::learn::data::evidence::{Answer, Evidence, PackedMessage};
use crate::learn::data::observed::Channel;
use crate::learn::statistics::special::{ln_gamma, sigmoid};

/// A read within so many seconds of the delivery is instant.
const INSTANT: u32 = 1;
/// A delivery within so many seconds of sending waited for nobody to pick up a phone.
const PROMPT: u32 = 120;
/// Of a person's messages on one channel, as many are looked at; more say the same.
const READS_MAX: usize = 20;
/// Share of a machine's messages that it opens at once.
const MACHINE: f64 = 0.98;
/// Pseudo-messages by which people are held to their channel's share of instant reads.
const CONCENTRATION: f64 = 4.0;
/// Fewer messages do not show a machine.
const READS_MIN: usize = 4;

/// One person's messages on one channel.
#[derive(Debug, Clone, Copy, Default)]
struct InstantReads {
    delivered: u32,
    instant: u32,
    reported: bool,
}

impl InstantReads {
    fn of(evidence: &Evidence, until: u32) -> [Self; Channel::MAX] {
        let mut reads = [Self::default(); Channel::MAX];
        for sent in evidence.messages().filter(|sent| sent.at < until) {
            reads[sent.channel.number()].add(&sent, until);
        }
        reads
    }

    fn add(&mut self, sent: &PackedMessage, until: u32) {
        let known = until - sent.at;
        let after = |answer| sent.after(answer).filter(|after| *after <= known);
        let (delivered, read) = (after(Answer::Delivered), after(Answer::Read));
        self.reported |= delivered.is_some();
        if let Some(delivered) = delivered.or(read) {
            self.delivered += 1;
            let instant = read.is_some_and(|read| read.saturating_sub(delivered) <= INSTANT);
            self.instant += u32::from(instant && delivered <= PROMPT);
        }
    }

    /// Messages and instant reads, at most [`READS_MAX`] of them.
    fn scaled(self) -> (usize, usize) {
        let (n, m) = (self.delivered as usize, self.instant as usize);
        if n <= READS_MAX { (n, m) } else { (READS_MAX, (m * READS_MAX + n / 2) / n) }
    }
}

/// People by channel, messages and instant reads: what the figures are learned from.
#[derive(Debug, Clone)]
pub(in crate::learn) struct ReceiptCounts {
    people: Vec<[[u32; READS_MAX + 1]; READS_MAX + 1]>,
    reported: [bool; Channel::MAX],
}

impl Default for ReceiptCounts {
    fn default() -> Self {
        Self {
            people: vec![[[0; READS_MAX + 1]; READS_MAX + 1]; Channel::MAX],
            reported: [false; Channel::MAX],
        }
    }
}

impl ReceiptCounts {
    pub(in crate::learn) fn add(&mut self, evidence: &Evidence, until: u32) {
        for (channel, reads) in InstantReads::of(evidence, until).into_iter().enumerate() {
            let (n, m) = reads.scaled();
            self.people[channel][n][m] += 1;
            self.reported[channel] |= reads.reported;
        }
    }

    pub(in crate::learn) fn merge(&mut self, other: &Self) {
        let all = self.people.iter_mut().flatten().flatten();
        all.zip(other.people.iter().flatten().flatten()).for_each(|(a, b)| *a += b);
        self.reported.iter_mut().zip(other.reported).for_each(|(a, b)| *a |= b);
    }

    pub(in crate::learn) fn figures(&self) -> ReceiptModel {
        let of = |(people, deliveries): (&_, bool)| ChannelReceipts {
            deliveries,
            ..ChannelReceipts::learn(people)
        };
        ReceiptModel(self.people.iter().zip(self.reported).map(of).collect())
    }
}

/// What is known of each channel before one message can be read rightly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct ReceiptModel(Vec<ChannelReceipts>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct ChannelReceipts {
    /// Whether deliveries are reported at all; where they never are, sent means delivered.
    deliveries: bool,
    /// Share of people whose mail a machine opens.
    machines: f64,
    /// Share of people's messages that are read the moment they are delivered.
    instant: f64,
}

impl Default for ReceiptModel {
    fn default() -> Self {
        let nothing = ChannelReceipts { deliveries: true, machines: 0.0, instant: 0.1 };
        Self(vec![nothing; Channel::MAX])
    }
}

impl ChannelReceipts {
    fn learn(people: &[[u32; READS_MAX + 1]; READS_MAX + 1]) -> Self {
        const ROUNDS: usize = 50;
        // as many imaginary people, one of a hundred a machine, as keep a share of nothing away
        const IMAGINARY: f64 = 10.0;
        let mut learned = Self { deliveries: false, machines: 0.01, instant: 0.1 };
        for _ in 0..ROUNDS {
            let (mut machines, mut all) = (0.01 * IMAGINARY, IMAGINARY);
            let (mut instant, mut messages) = (1.0, 10.0);
            for (n, row) in people.iter().enumerate().skip(READS_MIN) {
                for (m, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                    let (count, share) = (f64::from(*count), learned.machine(n, m));
                    machines += count * share;
                    all += count;
                    instant += count * (1.0 - share) * m as f64;
                    messages += count * (1.0 - share) * n as f64;
                }
            }
            (learned.machines, learned.instant) = (machines / all, instant / messages);
        }
        learned
    }

    /// How probable it is that a machine opens the mail of a person of whose `n` messages `m` were
    /// read at once.
    fn machine(&self, n: usize, m: usize) -> f64 {
        if n < READS_MIN {
            return 0.0;
        }
        let (n, m) = (n as f64, m as f64);
        let machine = m * MACHINE.ln() + (n - m) * (1.0 - MACHINE).ln();
        let (a, b) = (CONCENTRATION * self.instant, CONCENTRATION * (1.0 - self.instant));
        let beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
        let person = beta(a + m, b + n - m) - beta(a, b);
        let odds = (self.machines / (1.0 - self.machines)).ln() + machine - person;
        sigmoid(odds)
    }
}

/// How one person's messages are to be read: a bit for each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::learn) struct PersonReceipts {
    deliveries: u32,
    machines: u32,
}

impl ReceiptModel {
    /// As far as is known of the person at `until`.
    pub(in crate::learn) fn of(&self, evidence: &Evidence, until: u32) -> PersonReceipts {
        let mut reports = PersonReceipts { deliveries: 0, machines: 0 };
        let reads = InstantReads::of(evidence, until);
        for (channel, (reads, figures)) in reads.into_iter().zip(&self.0).enumerate() {
            let (n, m) = reads.scaled();
            reports.deliveries |= u32::from(figures.deliveries) << channel;
            reports.machines |= u32::from(figures.machine(n, m) > 0.5) << channel;
        }
        reports
    }
}

impl PersonReceipts {
    /// Whether deliveries of the channel are reported at all.
    pub(in crate::learn) fn deliveries(self, channel: Channel) -> bool {
        self.deliveries >> channel.number() & 1 == 1
    }

    /// Whether the person's messages on the channel are opened by a machine.
    pub(in crate::learn) fn is_machine(self, channel: Channel) -> bool {
        self.machines >> channel.number() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::learn::data::observed::Observed;
    use crate::model::message::Response;

    /// Messages each read so many seconds after its delivery, if at all.
    fn person(channel: &str, reads: impl Iterator<Item = Option<i64>>) -> Evidence {
        let messages: Vec<Observed> = (0..)
            .zip(reads)
            .map(|(hash, read)| {
                let sent_at = DateTime::from_timestamp(1_770_000_000 + 90_000 * i64::from(hash), 0);
                let sent_at = sent_at.unwrap();
                let delivered = sent_at + TimeDelta::seconds(2);
                Observed {
                    hash,
                    sent_at,
                    content: None,
                    category: None,
                    channel: Channel::named(channel),
                    response: Response {
                        delivered_at: Some(delivered),
                        read_at: read.map(|after| delivered + TimeDelta::seconds(after)),
                        ..Response::default()
                    },
                }
            })
            .collect();
        let mut evidence = Evidence::default();
        evidence.fold(&messages, &[]);
        evidence
    }

    fn machines(people: &[Evidence], channel: &str) -> Vec<bool> {
        let mut counted = ReceiptCounts::default();
        people.iter().for_each(|evidence| counted.add(evidence, u32::MAX));
        let reporting = counted.figures();
        let is_machine =
            |evidence| reporting.of(evidence, u32::MAX).is_machine(Channel::named(channel));
        people.iter().map(is_machine).collect()
    }

    #[test]
    fn instant_reads_among_others_are_a_persons_own() {
        // whole-second stamps: a third are read, and of these every second one at once
        let read =
            |i: usize| (i.is_multiple_of(3)).then_some(if i.is_multiple_of(2) { 0 } else { 4_000 });
        let people: Vec<Evidence> =
            (0..200).map(|p| person("chat", (0..20).map(move |i| read(i * 7 + p)))).collect();
        assert!(machines(&people, "chat").iter().all(|machine| !machine));
        // and somebody whose few messages all were read at once is not a machine for that
        let lucky = person("chat", (0..3).map(|_| Some(0)));
        let all: Vec<Evidence> = people.into_iter().chain([lucky]).collect();
        assert!(!machines(&all, "chat")[200]);
    }

    #[test]
    fn whoever_reads_everything_at_once_is_a_machine_on_that_channel_alone() {
        let people: Vec<Evidence> = (0..200)
            .map(|p| match p % 20 {
                0 => person("mail", (0..15).map(|_| Some(1))),
                _ => person("mail", (0..15).map(move |i| ((i + p) % 4 == 0).then_some(9_000))),
            })
            .collect();
        for (p, machine) in machines(&people, "mail").into_iter().enumerate() {
            assert_eq!(machine, p % 20 == 0, "{p}");
        }
        assert!(machines(&people, "chat").iter().all(|machine| !machine));
    }
}
