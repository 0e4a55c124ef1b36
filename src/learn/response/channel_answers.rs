//! By which channel a person answers most: a click, a reply or a conversion within three days of a
//! marketing message's delivery.
//!
//! On each channel a person's share of answered messages has a beta distribution around everybody's
//! there; its mean and concentration are the likeliest (beta-binomial, as for every other answer). A
//! channel is told from another only by what both of them tell: where one tells no clicks, clicks count
//! on neither.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};
use statrs::statistics::Distribution;

use crate::learn::data::evidence::{Answer, PackedMessage};
use crate::learn::data::observed::Channel;
use crate::learn::data::receipts::{PersonReceipts, ReceiptModel};
use crate::learn::data::subject::CensoredSubject;
use crate::learn::error::FitError;
use crate::learn::parallel::map;
use crate::learn::response::model::beta_binomial;
use crate::learn::response::outcomes::{AnswerCount, MessageOutcome, is_marketing};

/// An answer comes within so many seconds of the delivery, or does not count.
const IN_TIME: u32 = 72 * 3600;
/// What is assumed of a channel before anything is seen: a share, as of so many messages.
const FIRST: AnswerCount = AnswerCount { happened: 0.5, of: 10.0 };
const CONCENTRATION: f64 = 20.0;

/// How often a channel's messages are answered, and how strongly people hold to that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct AnsweredShare {
    share: f64,
    concentration: f64,
}

impl Default for AnsweredShare {
    fn default() -> Self {
        Self { share: FIRST.happened / FIRST.of, concentration: CONCENTRATION }
    }
}

/// Everybody's share on each channel, by its number: clicks left out, and counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::learn) struct ChannelAnswerModel(Vec<[AnsweredShare; 2]>);

/// What a person did with the messages of one channel.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ChannelAnswers {
    /// The channel's name.
    pub channel: String,
    /// Marketing messages that were delivered three days ago or earlier.
    pub messages: u32,
    /// Those that were answered within three days.
    pub answered: u32,
    /// The chance that the next one is: the mean of what is known.
    pub share: f64,
    /// 5 % lie below.
    pub low: f64,
    /// 5 % lie above.
    pub high: f64,
    /// The probability that no other of these channels is answered more often.
    pub best: f64,
}

/// Whether a message was answered in time, clicks left out, and counted; `None` for what does not count
/// (yet).
fn answered(sent: &PackedMessage, until: u32, reports: PersonReceipts) -> Option<[bool; 2]> {
    let outcome = MessageOutcome::new(sent, until, reports).filter(|_| is_marketing(sent))?;
    let last = outcome.delivered.saturating_add(IN_TIME);
    let in_time =
        |after: Option<u32>| after.is_some_and(|after| sent.at.saturating_add(after) <= last);
    let answered = in_time(sent.after(Answer::Reply)) || in_time(sent.after(Answer::Convert));
    (last <= until).then(|| [answered, answered || in_time(reports.clicked(sent))])
}

/// Of each channel, by its number: clicks left out, and counted.
type ChannelCounts = [[AnswerCount; 2]; Channel::MAX];

fn counts(censored: &CensoredSubject<'_>, reports: PersonReceipts) -> ChannelCounts {
    let mut counts = [[AnswerCount::default(); 2]; Channel::MAX];
    for sent in &censored.sent() {
        let Some(answered) = answered(sent, censored.until, reports) else { continue };
        for (count, answered) in counts[sent.channel.number()].iter_mut().zip(answered) {
            count.of += 1.0;
            count.happened += f64::from(u8::from(answered));
        }
    }
    counts
}

impl ChannelAnswerModel {
    /// Fits to what a sample of people did.
    pub(in crate::learn) fn fit(
        sample: &[CensoredSubject<'_>],
        reporting: &ReceiptModel,
    ) -> Result<Self, FitError> {
        let people: Vec<ChannelCounts> = map(sample, |censored| {
            counts(censored, reporting.of(censored.subject.evidence, censored.until))
        });
        let share = |channel: usize, with_clicks: usize| -> Result<AnsweredShare, FitError> {
            let told: Vec<AnswerCount> = people.iter().map(|p| p[channel][with_clicks]).collect();
            let (share, concentration) = beta_binomial(&told, FIRST, CONCENTRATION, false)?;
            Ok(AnsweredShare { share, concentration })
        };
        let of = |channel| Ok([share(channel, 0)?, share(channel, 1)?]);
        Ok(Self((0..Channel::MAX).map(of).collect::<Result<_, FitError>>()?))
    }

    fn share(&self, channel: Channel, with_clicks: bool) -> AnsweredShare {
        self.0
            .get(channel.number())
            .map_or_else(Default::default, |of| of[usize::from(with_clicks)])
    }

    /// What a person did on each of these channels on which a message counts yet, best first.
    pub(in crate::learn) fn of(
        &self,
        person: &CensoredSubject<'_>,
        reporting: &ReceiptModel,
        channels: &[String],
    ) -> Vec<ChannelAnswers> {
        let reports = reporting.of(person.subject.evidence, person.until);
        let counts = counts(person, reports);
        let mut written: Vec<(&String, Channel)> = Vec::new();
        for name in channels {
            let channel = Channel::named(name);
            let is_new = written.iter().all(|(_, known)| *known != channel);
            if is_new && counts[channel.number()][0].of > 0.0 {
                written.push((name, channel));
            }
        }
        let with_clicks = written.iter().all(|(_, channel)| reports.clicks(*channel));
        let counts: Vec<AnswerCount> = (written.iter())
            .map(|(_, channel)| counts[channel.number()][usize::from(with_clicks)])
            .collect();
        let known: Vec<Beta> = (written.iter().zip(&counts))
            .map(|((_, channel), count)| posterior(self.share(*channel, with_clicks), *count))
            .collect();
        let best = best_probabilities(&known);
        let told = written.iter().zip(counts).zip(known).zip(best);
        let told = told.map(|((((name, _), count), beta), best)| ChannelAnswers {
            channel: (*name).clone(),
            messages: count.of as u32,
            answered: count.happened as u32,
            share: beta.mean().unwrap_or_default(),
            low: beta.inverse_cdf(0.05),
            high: beta.inverse_cdf(0.95),
            best,
        });
        let mut told: Vec<ChannelAnswers> = told.collect();
        told.sort_by(|a, b| b.best.total_cmp(&a.best).then_with(|| a.channel.cmp(&b.channel)));
        told
    }
}

/// What is known of a share.
fn posterior(prior: AnsweredShare, count: AnswerCount) -> Beta {
    // a share of nothing or of all leaves no distribution
    let share = prior.share.clamp(1e-6, 1.0 - 1e-6);
    let a = prior.concentration * share + count.happened;
    let b = prior.concentration * (1.0 - share) + count.of - count.happened;
    Beta::new(a, b).expect("both are above zero")
}

/// The probability of each that it is the largest: over every small piece of the line, that it lies
/// there and all others below.
fn best_probabilities(known: &[Beta]) -> Vec<f64> {
    const PIECES: usize = 1000;
    // pieces are finest near 0 and 1, where most shares lie
    let point =
        |piece: usize| (piece as f64 / PIECES as f64 * std::f64::consts::FRAC_PI_2).sin().powi(2);
    let below = |share: f64| -> Vec<f64> { known.iter().map(|beta| beta.cdf(share)).collect() };
    let mut chances = vec![0.0; known.len()];
    let mut from = below(0.0);
    for piece in 0..PIECES {
        let to = below(point(piece + 1));
        let middle = below(f64::midpoint(point(piece), point(piece + 1)));
        for (at, chance) in chances.iter_mut().enumerate() {
            let others = middle.iter().enumerate().filter(|(other, _)| *other != at);
            *chance += (to[at] - from[at]) * others.map(|(_, below)| below).product::<f64>();
        }
        from = to;
    }
    chances
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::learn::data::evidence::seconds;
    use crate::learn::data::receipts::ReceiptCounts;
    use crate::learn::data::subject::Subject;
    use crate::learn::{Evidence, Observed};
    use crate::model::content::Category;
    use crate::model::message::Response;
    use crate::model::time::Instant;

    fn now() -> Instant {
        DateTime::from_timestamp(1_780_000_000, 0).unwrap()
    }

    /// So many messages to a person, one a day, of which the newest are answered.
    struct Sent(&'static str, u32, u32, Answer);

    fn person(sent: &[Sent], category: Category) -> Evidence {
        let mut messages = Vec::new();
        for Sent(channel, count, answered, by) in sent {
            for n in 0..*count {
                let sent_at = now() - TimeDelta::days(4 + i64::from(n));
                let answer = (n < *answered).then(|| sent_at + TimeDelta::hours(1));
                messages.push(Observed {
                    hash: messages.len() as u32,
                    sent_at,
                    content: None,
                    category: Some(category),
                    channel: Channel::named(channel),
                    response: Response {
                        delivered_at: Some(sent_at + TimeDelta::seconds(30)),
                        read_at: answer,
                        clicked_at: answer.filter(|_| *by == Answer::Click),
                        replied_at: answer.filter(|_| *by == Answer::Reply),
                        ..Response::default()
                    },
                });
            }
        }
        let mut evidence = Evidence::default();
        evidence.fold(&messages, &[]);
        evidence
    }

    fn censored(evidence: &Evidence) -> CensoredSubject<'_> {
        let subject = Subject { zone: chrono_tz::UTC, country: None, tags: &[], evidence };
        CensoredSubject { subject, until: seconds(now()) }
    }

    /// What is told of a person beside 200 others, who answer a tenth of mails and a quarter of chats.
    fn told(mails: Answer, asked: &Evidence) -> Vec<ChannelAnswers> {
        let one = |n: u32| {
            let mail = Sent("smtp", 20, [0, 0, 0, 2, 8][n as usize / 2 % 5], mails);
            let chat = Sent("whatsapp", 20, [0, 2, 5, 6, 12][n as usize / 2 % 5], Answer::Reply);
            person(&[if n.is_multiple_of(2) { mail } else { chat }], Category::Marketing)
        };
        let people: Vec<Evidence> = (0..200).map(one).collect();
        let sample: Vec<CensoredSubject<'_>> = people.iter().map(censored).collect();
        let mut receipts = ReceiptCounts::default();
        people.iter().for_each(|evidence| receipts.add(evidence, seconds(now())));
        let reporting = receipts.figures();
        let model = ChannelAnswerModel::fit(&sample, &reporting).unwrap();
        model.of(&censored(asked), &reporting, &["smtp", "whatsapp"].map(String::from))
    }

    #[test]
    fn who_answers_mail_is_best_reached_by_mail_though_others_are_not() {
        let sent = [Sent("smtp", 20, 14, Answer::Reply), Sent("whatsapp", 20, 2, Answer::Reply)];
        let found = told(Answer::Reply, &person(&sent, Category::Marketing));
        let mail = &found[0];
        assert_eq!((mail.channel.as_str(), mail.messages, mail.answered), ("smtp", 20, 14));
        assert!(mail.best > 0.95, "{found:?}");
        assert!((found.iter().map(|of| of.best).sum::<f64>() - 1.0).abs() < 1e-6, "{found:?}");
        // held to everybody's share, which is far lower
        assert!(mail.low < mail.share && mail.share < mail.high && mail.share < 0.7, "{found:?}");
    }

    #[test]
    fn of_whom_little_is_known_what_others_do_is_expected() {
        let sent = [Sent("smtp", 1, 0, Answer::Reply), Sent("whatsapp", 1, 0, Answer::Reply)];
        let found = told(Answer::Reply, &person(&sent, Category::Marketing));
        assert_eq!(found[0].channel, "whatsapp");
        assert!((0.15..0.25).contains(&found[0].share), "{found:?}");
        assert!((0.05..0.1).contains(&found[1].share), "{found:?}");
    }

    #[test]
    fn clicks_count_only_where_every_channel_tells_them() {
        let mail = || Sent("smtp", 10, 5, Answer::Click);
        let found = told(Answer::Click, &person(&[mail()], Category::Marketing));
        assert_eq!((found.len(), found[0].answered), (1, 5));
        let sent = [mail(), Sent("whatsapp", 10, 2, Answer::Reply)];
        let found = told(Answer::Click, &person(&sent, Category::Marketing));
        assert_eq!(found.iter().map(|of| of.answered).sum::<u32>(), 2, "{found:?}");
    }

    #[test]
    fn codes_say_nothing_of_marketing() {
        let codes = person(&[Sent("smtp", 20, 20, Answer::Reply)], Category::Authentication);
        assert!(told(Answer::Reply, &codes).is_empty());
    }
}
