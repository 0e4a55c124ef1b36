//! The past of a world under some logging policy, person after person, in the shapes of the three
//! history files. A stream: memory does not grow with the number of people.

use super::World;
use super::local::{self, DAY, WEEK};
use super::logging::{Count, Logging};
use super::person::{Draw, Person, Sent};
use super::spec::Chronotype;
use crate::model::content::Category;
use crate::model::ids::{MessageKey, RecipientKey};
use crate::model::message::{Message, Response};
use crate::model::recipient::{Profile, Zone};
use crate::model::time::Instant;
use crate::model::wish::Wishes;
use chrono::{DateTime, TimeDelta};

/// A row of `recipients.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientRow {
    /// The caller's id.
    pub key: RecipientKey,
    /// Who it is.
    pub profile: Profile,
    /// When consent was given, and through what.
    pub opted_in: Option<(Instant, &'static str)>,
}

/// Everything that is on file of one person.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonHistory {
    /// The row of `recipients.csv`.
    pub recipient: RecipientRow,
    /// The rows of `messages.csv`, oldest first.
    pub messages: Vec<Message>,
    /// The rows of `activity.csv`, oldest first: when, and the kind.
    pub activity: Vec<(Instant, &'static str)>,
}

impl World {
    /// The history of all its people, in the order of their index.
    pub fn history<'a>(&'a self, logging: &'a Logging) -> impl Iterator<Item = PersonHistory> + 'a {
        let names = campaign_names(logging);
        (0..self.size()).map(move |index| self.person(index).history(logging, index, &names))
    }

    /// The same people without what they did.
    pub fn strangers<'a>(
        &'a self,
        logging: &'a Logging,
    ) -> impl Iterator<Item = PersonHistory> + 'a {
        (0..self.size()).map(move |index| self.person(index).stranger(logging, index))
    }

    /// The history of one of its people alone; the same as in the stream.
    pub fn history_of(&self, index: usize, logging: &Logging) -> PersonHistory {
        self.person(index).history(logging, index, &campaign_names(logging))
    }
}

/// The name of each week's campaign, by the date of the latest Monday that it can begin with.
fn campaign_names(logging: &Logging) -> Vec<String> {
    let end = local::monday(logging.until.timestamp());
    let name = |week: u32| {
        let monday = end - i64::from(logging.weeks - week) * WEEK;
        let date = DateTime::from_timestamp(monday, 0).unwrap_or_default();
        format!("week-{}", date.format("%Y-%m-%d"))
    };
    (0..logging.weeks).map(name).collect()
}

impl Person<'_> {
    fn is_new(&self) -> bool {
        self.draw(Draw::Recipient).chance(self.world.spec.newcomers)
    }

    fn stranger(&self, logging: &Logging, index: usize) -> PersonHistory {
        let recipient = self.row(logging, index, self.is_new());
        PersonHistory { recipient, messages: Vec::new(), activity: Vec::new() }
    }

    fn history(&self, logging: &Logging, index: usize, campaigns: &[String]) -> PersonHistory {
        let stranger = self.stranger(logging, index);
        if self.is_new() {
            return stranger;
        }
        PersonHistory {
            messages: self.messages(logging, index, campaigns),
            activity: self.activity(logging),
            ..stranger
        }
    }

    fn row(&self, logging: &Logging, index: usize, is_new: bool) -> RecipientRow {
        const SOURCES: [&str; 3] = ["checkout", "web form", "app"];
        let spec = &self.world.spec;
        let dice = |what: u64| self.draw(Draw::Recipient).with(what);
        let days = if is_new {
            dice(1).between(0.1, 9.0)
        } else {
            f64::from(logging.weeks) * 7.0 + dice(1).between(8.0, 700.0)
        };
        let consented = !dice(2).chance(spec.without_consent);
        let opted_in = logging.until - TimeDelta::seconds((days * DAY as f64) as i64);
        let place = self.place;
        let name = place.map_or("Sam", |p| p.names[dice(3).below(p.names.len())]);
        let address = (!dice(4).chance(spec.without_address)).then(|| {
            let dialling = place.map_or("999", |place| place.dialling);
            format!("+{dialling}9{:08}", index % 100_000_000)
                .parse()
                .expect("a plus and at most twelve digits are a telephone number")
        });
        RecipientRow {
            key: self.key.clone(),
            profile: Profile {
                address,
                zone: (!dice(5).chance(spec.without_zone))
                    .then_some(Zone { tz: self.zone, inferred: false }),
                locale: place.map(|p| p.locale.parse().expect("the table holds locales")),
                country: place.map(|p| p.country.parse().expect("the table holds countries")),
                tags: self.tags(),
                attributes: [("name".to_owned(), name.to_owned())].into(),
                wishes: Wishes::default(),
            },
            opted_in: consented.then_some((opted_in, SOURCES[dice(6).below(3)])),
        }
    }

    fn has_app(&self) -> bool {
        self.draw(Draw::Segment).with(1).chance(0.35)
    }

    /// Sorted labels, some of which hint at the kind of day.
    fn tags(&self) -> Vec<String> {
        let dice = |what: u64| self.draw(Draw::Segment).with(what);
        let (segment, share) = match self.chronotype {
            Chronotype::Student => ("students", 0.6),
            Chronotype::Family => ("families", 0.6),
            Chronotype::Retired => ("seniors", 0.6),
            Chronotype::Office => ("business", 0.4),
            _ => ("business", 0.05),
        };
        let mut tags: Vec<String> = [
            ("app", self.has_app()),
            ("newsletter", dice(2).chance(0.7)),
            ("vip", dice(3).chance(0.08)),
            (segment, dice(4).chance(share)),
        ]
        .into_iter()
        .filter(|(_, has)| *has)
        .map(|(tag, _)| tag.to_owned())
        .collect();
        tags.sort_unstable();
        tags
    }

    /// The Monday midnight on the person's wall after the last whole week of the history.
    fn end(&self, logging: &Logging) -> i64 {
        local::monday(local::wall(self.zone, logging.until.timestamp()))
    }

    fn messages(&self, logging: &Logging, index: usize, campaigns: &[String]) -> Vec<Message> {
        let dice = self.draw(Draw::Logging);
        let count = match logging.messages {
            Count::Exact(count) => count,
            Count::Mean(mean) => (mean * dice.between(0.5, 1.5)).round() as u32,
            Count::Tailed { median, spread, most } => {
                (dice.around(median, spread).round() as u32).min(most)
            }
        };
        let begin = self.end(logging) - i64::from(logging.weeks) * WEEK;
        let mut sends: Vec<(i64, usize, usize, u32)> = (0..count)
            .map(|number| {
                let dice = dice.with(u64::from(number));
                let place = (f64::from(number) + dice.unit()) / f64::from(count);
                let week = (place * f64::from(logging.weeks)) as usize;
                let hour = logging.hour(dice.with(1));
                let second =
                    week as i64 * WEEK + hour as i64 * 3_600 + dice.with(2).below(3_600) as i64;
                (local::utc(self.zone, begin + second), week, hour, number)
            })
            .collect();
        sends.sort_unstable();
        let mut recent: Vec<Instant> = Vec::with_capacity(sends.len());
        let mut messages = Vec::with_capacity(sends.len());
        for (at, week, hour, number) in sends {
            let at = DateTime::from_timestamp(at, 0).unwrap_or_default();
            let dice = dice.with(u64::from(number));
            let content = &logging.contents[dice.with(3).below(logging.contents.len())];
            let category = Category::Marketing;
            let key: MessageKey = format!("m{:07}-{:03}", index + 1, number + 1)
                .parse()
                .expect("a letter, digits and a hyphen are a valid key");
            let week_ago = at - TimeDelta::days(7);
            let since = recent.partition_point(|sent| *sent <= week_ago);
            let campaign = Some(campaigns[week].as_str());
            let recent_ones = &recent[since..];
            let sent = Sent { key: &key, at, content, category, recent: recent_ones, campaign };
            let response = known(self.answer(&sent), logging.until);
            recent.push(at);
            let opted_out = response.opted_out_at;
            messages.push(Message {
                key,
                campaign: Some(campaigns[week].clone()),
                channel: Some("whatsapp".to_owned()),
                category: Some(category),
                media: Some(content.media),
                style: content.style.clone(),
                sent_at: at,
                response,
                propensity: logging.propensity(hour),
            });
            if opted_out.is_some() {
                break;
            }
        }
        messages
    }

    /// Sessions, with now and then a purchase or a message of the person's own.
    fn activity(&self, logging: &Logging) -> Vec<(Instant, &'static str)> {
        let weekly = self.world.spec.sessions;
        if weekly == 0.0 || !self.has_app() {
            return Vec::new();
        }
        let weekly = weekly * self.draw(Draw::Session).between(0.3, 1.7);
        let until = local::seconds(logging.until);
        let end = local::day(self.end(logging));
        let mut activity = Vec::new();
        for day in end - i64::from(logging.weeks) * 7..end {
            for at in self.sessions(day, weekly).into_iter().filter(|at| *at < until) {
                let dice = self.draw(Draw::Session).with(at as u64);
                activity.push((local::instant(at), "session"));
                let later = at + dice.with(1).around(400.0, 0.8);
                let kind = match dice.unit() {
                    u if u < 0.04 => "purchase",
                    u if u < 0.07 => "inbound",
                    _ => continue,
                };
                if later < until {
                    activity.push((local::instant(later), kind));
                }
            }
        }
        activity.sort_unstable();
        activity
    }
}

/// What is known of an answer at an instant; a message opted out of later is not opted out of yet.
fn known(mut response: Response, until: Instant) -> Response {
    for at in [
        &mut response.delivered_at,
        &mut response.read_at,
        &mut response.clicked_at,
        &mut response.replied_at,
        &mut response.converted_at,
        &mut response.opted_out_at,
        &mut response.failed_at,
    ] {
        *at = at.filter(|at| *at <= until);
    }
    if response.converted_at.is_none() {
        (response.amount, response.currency) = (None, None);
    }
    if response.failed_at.is_none() {
        response.failure_code = None;
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use chrono_tz::Tz;

    use super::*;
    use crate::model::preference::WEEK_HOURS;
    use crate::model::time::parse_instant;
    use crate::world::logging::Policy;
    use crate::world::spec::Spec;

    fn until() -> Instant {
        parse_instant("test", "2026-11-21T08:00:00Z").unwrap()
    }

    fn demo(people: u32) -> World {
        World::new(&Spec { people, ..Spec::demo() }, 42).unwrap()
    }

    #[test]
    fn the_stream_and_a_single_person_agree_and_repeat() {
        let (world, logging) = (demo(60), Logging::demo(until()));
        let stream: Vec<PersonHistory> = world.history(&logging).collect();
        assert_eq!(stream.len(), 60);
        for index in [59, 0, 31] {
            assert_eq!(demo(60).history_of(index, &logging), stream[index]);
        }
    }

    #[test]
    fn every_row_is_fit_for_import() {
        let (world, logging) = (demo(400), Logging::demo(until()));
        let mut keys = BTreeSet::new();
        let mut seen = BTreeMap::<&str, usize>::new();
        for person in world.history(&logging) {
            let mut count = |what, is: bool| *seen.entry(what).or_default() += usize::from(is);
            count(
                "half hour",
                person.recipient.profile.zone.is_some_and(|z| z.tz == Tz::Asia__Kolkata),
            );
            count("no consent", person.recipient.opted_in.is_none());
            count("no address", person.recipient.profile.address.is_none());
            count("no zone", person.recipient.profile.zone.is_none());
            count("newcomer", person.messages.is_empty());
            assert!(person.messages.is_sorted_by_key(|m| m.sent_at));
            assert!(person.activity.is_sorted());
            assert!(person.activity.iter().all(|(at, _)| *at <= until()));
            count("activity", !person.activity.is_empty());
            for (place, message) in person.messages.iter().enumerate() {
                assert!(keys.insert(message.key.clone()), "{} twice", message.key);
                message.check().unwrap();
                assert!(message.latest().1 <= until());
                let response = &message.response;
                count("failed", response.failed_at.is_some());
                count("reply", response.replied_at.is_some());
                count("sale", response.converted_at.is_some() && response.currency.is_some());
                count("opt-out", response.opted_out_at.is_some());
                let last = place + 1 == person.messages.len();
                assert!(last || response.opted_out_at.is_none(), "sent to after an opt-out");
            }
        }
        assert!(seen.values().all(|count| *count > 0), "{seen:?}");
        assert!(keys.len() > 400 * 40, "{}", keys.len());
    }

    #[test]
    fn messages_lie_where_the_policy_puts_them_with_its_chance() {
        let world = World::new(&Spec { people: 500, ..Spec::friendly() }, 1).unwrap();
        for policy in [
            Policy::Fixed { hour: 10 },
            Policy::Business,
            Policy::Uniform,
            Policy::Mixed { hour: 10 },
        ] {
            let messages = Count::Exact(24);
            let logging = Logging { policy, messages, ..Logging::demo(until()) };
            let total: f64 = (0..WEEK_HOURS).map(|hour| logging.hour_chance(hour)).sum();
            assert!((total - 1.0).abs() < 1e-12);
            let mut counts = vec![0.0; WEEK_HOURS];
            for index in 0..world.size() {
                let person = world.person(index);
                let history = world.history_of(index, &logging);
                assert_eq!(history.messages.len(), 24);
                for message in history.messages {
                    let hour = person.week_hour(message.sent_at);
                    counts[hour] += 1.0;
                    let expected = logging.hour_chance(hour) / 5.0;
                    assert!(expected > 0.0, "{policy:?} never sends at {hour}");
                    assert!(message.propensity.is_none_or(|p| (p - expected).abs() < 1e-12));
                }
            }
            for (hour, count) in counts.iter().enumerate() {
                let expected = 12_000.0 * logging.hour_chance(hour);
                let off = (count - expected) / expected.sqrt().max(1.0);
                assert!(off.abs() < 5.0, "{policy:?} at {hour}: {count}, not {expected}");
            }
        }
    }
}
