//! What a channel tells of its messages: whether it reports deliveries at all, and whose mail a machine
//! opens, or looks over by following its links.
//!
//! A machine is a person whose messages are read (or whose links are followed) the moment they are
//! delivered, at whatever hour: of `n` delivered messages, `m` were so at once. Of a machine's, nearly all
//! are; of people's, a share that differs from one to the next (beta-binomial) and from channel to channel,
//! since the stamps of some are whole seconds and some phones are only reached when they are looked at. Both
//! the share of machines and that of people's instant reads and clicks are learned from everybody by
//! expectation–maximization; nobody is called a machine for a single one.

use serde::{Deserialize, Serialize};

use crate::learn::data::evidence::{Answer, Evidence, PackedMessage};
use crate::learn::data::observed::Channel;
use crate::learn::statistics::special::{ln_gamma, sigmoid};

/// A read within so many seconds of the delivery is instant, and a click: nobody looks at a message, likes it
/// and follows its link within ten.
const INSTANT: [u32; SIGNS] = [1, 10];
/// Signs by which machines are known.
const SIGNS: usize = 2;
const READ: usize = 0;
const CLICK: usize = 1;
/// A delivery within so many seconds of sending waited for nobody to pick up a phone.
const PROMPT: u32 = 120;
/// Of a person's messages on one channel, as many are looked at; more say the same.
const SIGNS_MAX: usize = 20;
/// Share of a machine's messages that it opens at once.
const MACHINE: f64 = 0.98;
/// Pseudo-messages by which people are held to their channel's share of instant reads.
const CONCENTRATION: f64 = 4.0;
/// Fewer messages do not show a machine.
const SIGNS_MIN: usize = 4;

/// One person's messages on one channel.
#[derive(Debug, Clone, Copy, Default)]
struct InstantSigns {
    /// All but those that failed, and those of which anything shows that they arrived.
    sent: u32,
    delivered: u32,
    instant: [u32; SIGNS],
    reported: bool,
    clicked: bool,
}

impl InstantSigns {
    /// By channel; of channels with no message, nothing.
    fn of(evidence: &Evidence, until: u32) -> impl Iterator<Item = (usize, Self)> {
        let mut signs = [Self::default(); Channel::MAX];
        let mut channels = 0u32;
        for sent in evidence.messages().filter(|sent| sent.at < until) {
            let channel = sent.channel.number();
            signs[channel].add(&sent, until);
            channels |= 1 << channel;
        }
        let given = move |(channel, _): &(usize, Self)| channels >> channel & 1 == 1;
        signs.into_iter().enumerate().filter(given)
    }

    fn add(&mut self, sent: &PackedMessage, until: u32) {
        let known = until - sent.at;
        let after = |answer| sent.after(answer).filter(|after| *after <= known);
        let (delivered, read) = (after(Answer::Delivered), after(Answer::Read));
        let click = after(Answer::Click);
        self.reported |= delivered.is_some();
        self.clicked |= click.is_some();
        self.sent += u32::from(after(Answer::Failed).is_none());
        if let Some(delivered) = delivered.or(read) {
            self.delivered += 1;
            let instant = read.is_some_and(|read| read.saturating_sub(delivered) <= INSTANT[READ]);
            self.instant[READ] += u32::from(instant && delivered <= PROMPT);
        }
        // where no delivery is told, it is the sending that a machine follows
        let arrived = delivered.unwrap_or(0);
        let instant = click.is_some_and(|click| click.saturating_sub(arrived) <= INSTANT[CLICK]);
        self.instant[CLICK] += u32::from(instant && arrived <= PROMPT);
    }

    /// Messages and instant signs, at most [`SIGNS_MAX`] of them.
    fn scaled(self, sign: usize) -> (usize, usize) {
        let all = if sign == CLICK && !self.reported { self.sent } else { self.delivered };
        let (n, m) = (all as usize, self.instant[sign].min(all) as usize);
        if n <= SIGNS_MAX { (n, m) } else { (SIGNS_MAX, (m * SIGNS_MAX + n / 2) / n) }
    }
}

/// People by messages and instant signs.
type PeopleBySigns = [[u32; SIGNS_MAX + 1]; SIGNS_MAX + 1];

/// People by channel and sign, messages and instant signs: what the figures are learned from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::learn) struct ReceiptCounts {
    people: Vec<[PeopleBySigns; SIGNS]>,
    reported: [bool; Channel::MAX],
    clicked: [bool; Channel::MAX],
}

impl Default for ReceiptCounts {
    fn default() -> Self {
        Self {
            people: vec![[[[0; SIGNS_MAX + 1]; SIGNS_MAX + 1]; SIGNS]; Channel::MAX],
            reported: [false; Channel::MAX],
            clicked: [false; Channel::MAX],
        }
    }
}

impl ReceiptCounts {
    pub(in crate::learn) fn add(&mut self, evidence: &Evidence, until: u32) {
        for (channel, signs) in InstantSigns::of(evidence, until) {
            self.cells(channel, signs).for_each(|people| *people += 1);
            self.reported[channel] |= signs.reported;
            self.clicked[channel] |= signs.clicked;
        }
    }

    /// Takes a person back who was counted; what a channel once told, it tells.
    pub(in crate::learn) fn remove(&mut self, evidence: &Evidence, until: u32) {
        for (channel, signs) in InstantSigns::of(evidence, until) {
            self.cells(channel, signs).for_each(|people| *people -= 1);
        }
    }

    fn cells(&mut self, channel: usize, signs: InstantSigns) -> impl Iterator<Item = &mut u32> {
        let people = self.people[channel].iter_mut().enumerate();
        people.map(move |(sign, people)| {
            let (n, m) = signs.scaled(sign);
            &mut people[n][m]
        })
    }

    pub(in crate::learn) fn merge(&mut self, other: &Self) {
        let all = self.people.iter_mut().flatten().flatten().flatten();
        all.zip(other.people.iter().flatten().flatten().flatten()).for_each(|(a, b)| *a += b);
        self.reported.iter_mut().zip(other.reported).for_each(|(a, b)| *a |= b);
        self.clicked.iter_mut().zip(other.clicked).for_each(|(a, b)| *a |= b);
    }

    pub(in crate::learn) fn figures(&self) -> ReceiptModel {
        let of = |(channel, people): (usize, &[PeopleBySigns; SIGNS])| ChannelReceipts {
            deliveries: self.reported[channel],
            clicks: self.clicked[channel],
            readers: MachineModel::learn(&people[READ]),
            scanners: MachineModel::learn(&people[CLICK]),
        };
        ReceiptModel(self.people.iter().enumerate().map(of).collect())
    }
}

/// What is known of each channel before one message can be read rightly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct ReceiptModel(Vec<ChannelReceipts>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct ChannelReceipts {
    /// Whether deliveries are reported at all; where they never are, sent means delivered.
    deliveries: bool,
    /// Whether clicks are; where they never are, nothing is known of them. Older versions took all as told.
    #[serde(default = "yes")]
    clicks: bool,
    /// Machines that open messages.
    #[serde(flatten)]
    readers: MachineModel,
    /// Machines that follow links; an older version knew none.
    #[serde(default)]
    scanners: MachineModel,
}

fn yes() -> bool {
    true
}

/// Machines among the people of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct MachineModel {
    /// Share of people whose messages a machine reads or looks over.
    machines: f64,
    /// Share of people's own messages with the sign the moment they are delivered.
    instant: f64,
}

impl Default for MachineModel {
    fn default() -> Self {
        Self { machines: 0.0, instant: 0.1 }
    }
}

impl Default for ReceiptModel {
    fn default() -> Self {
        let (readers, scanners) = Default::default();
        Self(vec![
            ChannelReceipts { deliveries: true, clicks: true, readers, scanners };
            Channel::MAX
        ])
    }
}

impl MachineModel {
    fn learn(people: &PeopleBySigns) -> Self {
        const ROUNDS: usize = 50;
        // as many imaginary people, one of a hundred a machine, as keep a share of nothing away
        const IMAGINARY: f64 = 10.0;
        let mut learned = Self { machines: 0.01, instant: 0.1 };
        for _ in 0..ROUNDS {
            let (mut machines, mut all) = (0.01 * IMAGINARY, IMAGINARY);
            let (mut instant, mut messages) = (1.0, 10.0);
            for (n, row) in people.iter().enumerate().skip(SIGNS_MIN) {
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

    /// How probable it is that a machine is behind a person of whose `n` messages `m` had the sign at once.
    fn machine(&self, n: usize, m: usize) -> f64 {
        if n < SIGNS_MIN {
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
    clicks: u32,
    machines: u32,
    scanners: u32,
}

impl ReceiptModel {
    /// As far as is known of the person at `until`.
    pub(in crate::learn) fn of(&self, evidence: &Evidence, until: u32) -> PersonReceipts {
        let mut reports = PersonReceipts { deliveries: 0, clicks: 0, machines: 0, scanners: 0 };
        for (channel, figures) in self.0.iter().enumerate() {
            reports.deliveries |= u32::from(figures.deliveries) << channel;
            reports.clicks |= u32::from(figures.clicks) << channel;
        }
        for (channel, signs) in InstantSigns::of(evidence, until) {
            let is = |model: &MachineModel, sign| {
                let (n, m) = signs.scaled(sign);
                u32::from(model.machine(n, m) > 0.5) << channel
            };
            reports.machines |= is(&self.0[channel].readers, READ);
            reports.scanners |= is(&self.0[channel].scanners, CLICK);
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

    /// Whether clicks on the channel are told at all.
    pub(in crate::learn) fn clicks(self, channel: Channel) -> bool {
        self.clicks >> channel.number() & 1 == 1
    }

    /// When a message was clicked by the person: a machine's clicks are none.
    pub(in crate::learn) fn clicked(self, sent: &PackedMessage) -> Option<u32> {
        let is_scanned = self.scanners >> sent.channel.number() & 1 == 1;
        sent.after(Answer::Click).filter(|_| !is_scanned)
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
    fn whoever_follows_every_link_at_once_is_a_machine_and_quick_people_are_none() {
        // nothing is told of deliveries, as by mail; one in twenty is looked over by a machine
        let clicks = |person: i64, is_machine: bool| -> Evidence {
            let messages: Vec<Observed> = (0..12)
                .map(|hash| {
                    let at = 1_770_000_000 + 90_000 * i64::from(hash);
                    let sent_at = DateTime::from_timestamp(at, 0).unwrap();
                    let own = (i64::from(hash) + person) % 5 == 0;
                    let after = if is_machine { Some(3) } else { own.then_some(40 + person) };
                    let clicked_at = after.map(|after| sent_at + TimeDelta::seconds(after));
                    let response = Response { clicked_at, ..Response::default() };
                    let channel = Channel::named("mail");
                    Observed { hash, sent_at, content: None, category: None, channel, response }
                })
                .collect();
            let mut evidence = Evidence::default();
            evidence.fold(&messages, &[]);
            evidence
        };
        let people: Vec<Evidence> = (0..200).map(|p| clicks(p, p % 20 == 0)).collect();
        let mut counted = ReceiptCounts::default();
        people.iter().for_each(|evidence| counted.add(evidence, u32::MAX));
        let figures = counted.figures();
        for (p, evidence) in people.iter().enumerate() {
            let known = figures.of(evidence, u32::MAX);
            let clicks = evidence.messages().filter(|sent| known.clicked(sent).is_some()).count();
            assert_eq!(clicks == 0, p % 20 == 0, "{p}: {clicks}");
        }
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
