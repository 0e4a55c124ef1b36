//! Fallbacks end to end: the second channel goes where the first did not deliver in time or cannot, and only there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use opportune::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use opportune::model::content::Goal;
use opportune::model::delivery::{Reason, State};
use opportune::model::ids::Name;
use opportune::model::message::Response;
use opportune::provider::{
    Incoming, OutboundMessage, Provider, Rejected, SendOutcome, Simulated, Update,
};
use opportune::replay::drive;
use opportune::store::{CampaignRow, CampaignStatus};
use opportune::work::campaigns::OperatorCommand;
use opportune::work::import::{self, BulkItem, BulkKind};
use opportune::work::{Ctx, campaigns, check, plan, results};
use opportune::world::person::Sent;
use opportune::world::{Crowd, Whom};
use serde_json::{Value, json};

use crate::steps::with_people;
use crate::support::{self, on_both};

type Moment = DateTime<Utc>;

fn at(text: &str) -> Moment {
    format!("2026-03-{text}:00Z").parse().unwrap()
}

/// A channel that delivers to each person as the numbers of their ids say; what campaigns fall back to it always
/// delivers at once.
struct Fates;

impl Crowd for Fates {
    fn answer(&self, whom: Whom<'_>, sent: &Sent<'_>) -> Response {
        let is_second = sent.campaign.is_some_and(|name| name.contains(".letter"));
        let person: usize = whom.key.as_str()[1..].parse().unwrap();
        let after = |minutes: i64| Some(sent.at + TimeDelta::minutes(minutes));
        let mut response = Response::default();
        match person % 10 {
            _ if is_second => response.delivered_at = after(1),
            // never
            1 => {}
            // given up
            2 => {
                response.failed_at = after(10);
                response.failure_code = Some("131026".to_owned());
            }
            // just in time, after the second is planned, after it has left
            5 => response.delivered_at = after(359),
            6 => response.delivered_at = after(420),
            9 => response.delivered_at = after(5 * 24 * 60),
            _ => response.delivered_at = after(1),
        }
        response
    }

    fn chance(&self, _: Whom<'_>, _: &Sent<'_>, _: Goal, _: Duration) -> f64 {
        0.5
    }
}

/// Channels that lose a message for as many of them, one after the other, as a person's number by four leaves.
struct Losses;

impl Crowd for Losses {
    fn answer(&self, whom: Whom<'_>, sent: &Sent<'_>) -> Response {
        let name = sent.campaign.unwrap_or_default();
        let before = [".letter", ".post"].iter().filter(|part| name.contains(*part)).count();
        let lost = before < whom.key.as_str()[1..].parse::<usize>().unwrap() % 4;
        let delivered_at = (!lost).then_some(sent.at + TimeDelta::minutes(1));
        Response { delivered_at, ..Response::default() }
    }

    fn chance(&self, _: Whom<'_>, _: &Sent<'_>, _: Goal, _: Duration) -> f64 {
        0.5
    }
}

/// A channel that keeps which campaign had whom read what.
struct Kept {
    channel: Simulated,
    read: Arc<Mutex<Vec<[String; 3]>>>,
}

impl Provider for Kept {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        let text = message.rendered.text.clone().unwrap_or_default();
        let whom = message.recipient.to_string();
        self.read.lock().unwrap().push([message.campaign.to_string(), whom, text]);
        self.channel.send(message)
    }

    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        self.channel.receive(signature, body)
    }

    fn collect(&self, now: Moment) -> Vec<Update> {
        self.channel.collect(now)
    }
}

/// A workspace with two channels of people whom [`Fates`] rule.
async fn two_channels(store: opportune::store::Store, people: usize, settings: &str) -> Ctx {
    channels(store, people, settings, Arc::new(Fates)).await
}

async fn channels(
    store: opportune::store::Store,
    people: usize,
    settings: &str,
    crowd: Arc<dyn Crowd>,
) -> Ctx {
    let simulated = |name| format!("[provider.{name}]\nkind = \"simulated\"\nseed = 1\n");
    let settings = format!("{}{}{settings}", simulated("letter"), simulated("post"));
    let mut ctx = with_people(store, &settings, people).await;
    let channel = |name: &Name| {
        let channel: Arc<dyn Provider> = Arc::new(Simulated::new(name.clone(), crowd.clone()));
        (name.clone(), channel)
    };
    ctx.env.providers = Arc::new(ctx.env.config.providers.keys().map(channel).collect());
    ctx
}

fn source(more: &str) -> String {
    // the first goes in the evening, and what is late in the night waits until ten
    format!(
        "name = \"news\"\nprovider = \"simulated\"\n{more}\n[window]\nstart = 2026-03-02T16:00:00\n\
         end = 2026-03-06T20:00:00\ntime_zone = \"UTC\"\n[quiet_hours]\nstart = \"20:00\"\nend = \"10:00\"\n\
         [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"News\"\n"
    )
}

/// The same, where the first goes to everybody at 17:00 of the first day.
fn at_five(source: &str) -> String {
    let arms = "[arms]\ncontrol = 1.0\ncontrol_time = \"17:00\"\n[[variant]]";
    source.replace("[[variant]]", arms).replace("time_zone = \"UTC\"\n", "")
}

const LETTER: &str = "[[fallback]]\nprovider = \"letter\"\nafter = \"6h\"";

async fn row(ctx: &Ctx, name: &str) -> CampaignRow {
    let mut reader = ctx.store.read().await.unwrap();
    reader.campaign(&name.parse().unwrap()).await.unwrap().unwrap()
}

/// What a person was sent by which campaign, in order.
async fn sent(ctx: &Ctx, person: usize) -> Vec<(String, Moment)> {
    let mut reader = ctx.store.read().await.unwrap();
    let key = format!("r{person:04}").parse().unwrap();
    let recipient = reader.recipient(&key).await.unwrap().unwrap();
    let messages = reader.messages_of(recipient.id).await.unwrap();
    let told = |m: opportune::model::message::Message| {
        (m.campaign.map(|name| name.to_string()).unwrap_or_default(), m.sent_at)
    };
    let mut sent: Vec<_> = messages.into_iter().map(|row| told(row.message)).collect();
    sent.sort_by_key(|(_, at)| *at);
    sent
}

/// The words of a person about one channel alone.
async fn says(ctx: &Ctx, person: usize, change: ConsentChange, provider: &str) {
    let now = ctx.clock.now();
    let scope = ConsentScope { provider: Some(provider.parse().unwrap()), topic: None };
    let entry = ConsentEntry { change, scope, ..support::granted(now, now) };
    let mut tx = ctx.store.begin().await.unwrap();
    let key = format!("r{person:04}").parse().unwrap();
    let id = tx.recipient(&key).await.unwrap().unwrap().id;
    tx.append_consent(&[(id, entry)]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_second_channel_goes_where_the_first_did_not_deliver_and_only_there() {
    on_both(async |store| {
        let ctx = two_channels(store, 20, "").await;
        says(&ctx, 3, ConsentChange::Withdrawn, "simulated").await;
        says(&ctx, 13, ConsentChange::Withdrawn, "simulated").await;
        says(&ctx, 13, ConsentChange::Withdrawn, "letter").await;
        says(&ctx, 11, ConsentChange::Withdrawn, "letter").await;
        let source = at_five(&source(LETTER));
        let checked = check::check(&ctx, &source).await.unwrap();
        assert_eq!(checked.fallbacks.len(), 1);
        assert_eq!(checked.fallbacks[0].cannot, Some(1), "{:?}", checked.fallbacks);
        // of 18 messages one in twenty is taken not to arrive before anything is known
        assert!((checked.fallbacks[0].expected.unwrap() - 1.9).abs() < 1e-9);
        campaigns::submit(&ctx, &source, "test").await.unwrap();
        drive(&ctx, at("08T00:00"), |_| {}).await.unwrap();
        let (first, second) = ("news", "news.letter");
        for person in 0..20 {
            let times = sent(&ctx, person).await;
            let by: Vec<&str> = times.iter().map(|(name, _)| name.as_str()).collect();
            let expected: &[&str] = match (person, person % 10) {
                // said no to both, or did not arrive and said no to the second
                (13, _) => &[],
                (11, _) => &[first],
                (_, 1 | 2 | 9) => &[first, second],
                (_, 3) => &[second],
                _ => &[first],
            };
            assert_eq!(by, expected, "{person}: {times:?}");
            if let [(_, before), (_, after)] = times.as_slice() {
                let least = if person % 10 == 2 { 0 } else { 6 };
                assert!(*after - *before >= TimeDelta::hours(least), "{person}: {times:?}");
            }
        }
        let taken = row(&ctx, second).await;
        assert_eq!(taken.parent, Some(row(&ctx, first).await.id));
        let shown = results::results(&ctx, &row(&ctx, first).await).await.unwrap();
        // whoever said no to both is not meant
        assert_eq!(shown.states.iter().map(|count| count.people).sum::<u64>(), 19);
        let letter = &shown.fallbacks[0];
        // 1, 2, 3, 9, 12, 19 were sent to; 6, 11, 16 were not, with the reason
        assert_eq!((letter.people, letter.sent, letter.delivered), (9, 6, 6), "{letter:?}");
        let refused = |reason| {
            let is_it =
                |c: &&opportune::store::StateCount| c.state == State::Refused && c.reason == reason;
            letter.states.iter().find(is_it).map_or(0, |count| count.people)
        };
        assert_eq!((refused(Reason::Arrived), refused(Reason::NoConsent)), (2, 1), "{letter:?}");
        let recipient = {
            let mut reader = ctx.store.read().await.unwrap();
            reader.recipient(&"r0006".parse().unwrap()).await.unwrap().unwrap()
        };
        let told = plan::explain_in_words(&ctx, row(&ctx, first).await, &recipient).await.unwrap();
        let told = told.unwrap().explanation;
        assert!(told.contains("Fallback to letter:"), "{told}");
        assert!(told.contains("on another channel, arrived"), "{told}");
        // everything ends, and what was learned of the channel is counted on
        whole_family_ends(&ctx, &[first, second]).await;
        let later = source.replace("news", "later").replace("2026-03-0", "2026-03-2");
        let checked = check::check(&ctx, &later).await.unwrap();
        // of 18 messages 8 were not there within six hours: 1, 2, 6, 9 and those ten further
        assert!((checked.fallbacks[0].chance - 9.0 / 38.0).abs() < 1e-9, "{:?}", checked.fallbacks);
    })
    .await;
}

#[tokio::test]
async fn a_third_channel_goes_where_the_second_did_not_deliver_and_only_there() {
    on_both(async |store| {
        let ctx = channels(store, 16, "", Arc::new(Losses)).await;
        // what a channel may not carry is carried by the next
        says(&ctx, 5, ConsentChange::Withdrawn, "letter").await;
        says(&ctx, 7, ConsentChange::Withdrawn, "post").await;
        let steps = format!("{LETTER}\n{}", LETTER.replace("letter", "post"));
        let source = at_five(&source(&steps));
        let checked = check::check(&ctx, &source).await.unwrap();
        let expected: Vec<f64> = checked.fallbacks.iter().filter_map(|f| f.expected).collect();
        assert!((expected[0] - 16.0 / 20.0).abs() < 1e-9, "{expected:?}");
        assert!((expected[1] - 16.0 / 400.0).abs() < 1e-9, "{expected:?}");
        campaigns::submit(&ctx, &source, "test").await.unwrap();
        drive(&ctx, at("08T00:00"), |_| {}).await.unwrap();
        let names = ["news", "news.letter", "news.letter.post"];
        for person in 0..16 {
            let times = sent(&ctx, person).await;
            let by: Vec<&str> = times.iter().map(|(name, _)| name.as_str()).collect();
            let end = at(["06T20:00", "06T14:30", "06T23:00"][person % 3]);
            let late = times.last().is_some_and(|(_, at)| *at + TimeDelta::hours(6) > end);
            let expected: &[&str] = match (person, person % 4) {
                (5, _) => &[names[0], names[2]],
                // the letter left too late for another
                (10 | 14, _) if late => &names[..2],
                (7, _) => &names[..2],
                (_, lost) => &names[..(lost + 1).min(3)],
            };
            assert_eq!(by, expected, "{person}: {times:?}");
            let close = |pair: &[(String, Moment)]| pair[1].1 - pair[0].1 < TimeDelta::hours(6);
            assert!(!times.windows(2).any(close), "{person}: {times:?}");
        }
        let shown = results::results(&ctx, &row(&ctx, names[0]).await).await.unwrap();
        let told: Vec<_> =
            shown.fallbacks.iter().map(|f| (f.people, f.sent, f.delivered)).collect();
        // of 12 who were lost by the first one refuses the letter, and 3 get it; of 9 one refuses the post, two
        // have no time left for it, and 3 get it
        assert_eq!(told, [(12, 11, 3), (9, 6, 3)]);
        let later = source.replace("news", "later").replace("2026-03-0", "2026-03-2");
        let checked = check::check(&ctx, &later).await;
        let chances: Vec<f64> = checked.unwrap().fallbacks.iter().map(|f| f.chance).collect();
        assert!((chances[0] - 13.0 / 36.0).abs() < 1e-9, "{chances:?}");
        assert!((chances[1] - 9.0 / 31.0).abs() < 1e-9, "{chances:?}");
        whole_family_ends(&ctx, &names).await;
    })
    .await;
}

/// Whatever belongs to a campaign ends with it.
async fn whole_family_ends(ctx: &Ctx, names: &[&str]) {
    drive(ctx, at("20T00:00"), |_| {}).await.unwrap();
    for name in names {
        let ended = row(ctx, name).await;
        assert_eq!(ended.status, CampaignStatus::Finished, "{name}");
        assert!(ended.closed_at.is_some(), "{name}");
    }
}

/// Visits are reminded of by the next channel where the first did not deliver: in their span, and not after
/// they were called off.
#[tokio::test]
async fn a_run_of_a_standing_campaign_falls_back_within_the_span_of_what_it_is_about() {
    on_both(async |store| {
        let ctx = channels(store, 16, "", Arc::new(Losses)).await;
        let source = format!(
            "name = \"visit\"\nprovider = \"simulated\"\ncategory = \"utility\"\n\
             [trigger]\nevent = \"visit\"\nfrom = \"-44h\"\nto = \"-12h\"\nunless = [\"off\"]\n\
             [arms]\ncontrol = 1.0\ncontrol_time = \"09:00\"\n\
             [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"See you\"\n{LETTER}"
        );
        campaigns::submit(&ctx, &source, "test").await.unwrap();
        let post = async |items: Vec<Value>| {
            let items: Vec<BulkItem> = serde_json::from_value(Value::Array(items)).unwrap();
            import::items(&ctx, BulkKind::Events, &items, "test").await.unwrap()
        };
        let event = |person: usize, kind: &str, at: Moment| {
            json!({ "recipient": format!("r{person:04}"), "event": kind, "at": at.to_rfc3339(), "key": "a" })
        };
        // two days of visits, each a run with a fallback of its own
        let visit = |person| if person < 8 { at("05T10:00") } else { at("07T10:00") };
        post((0..16).map(|person| event(person, "visit", visit(person))).collect()).await;
        drive(&ctx, at("04T11:00"), |_| {}).await.unwrap();
        // its first reminder was lost; a letter would come after there is nothing to be reminded of
        assert_eq!(sent(&ctx, 3).await.len(), 1);
        post(vec![event(3, "off", at("04T11:00"))]).await;
        // the same of one that is far away now: it is reminded of then
        assert_eq!(sent(&ctx, 6).await.len(), 1);
        post(vec![event(6, "visit", at("20T10:00"))]).await;
        drive(&ctx, at("09T00:00"), |_| {}).await.unwrap();
        for person in 0..16 {
            let times = sent(&ctx, person).await;
            let letters = usize::from(person % 4 != 0 && ![3, 6].contains(&person));
            assert_eq!(times.len(), 1 + letters, "{person}: {times:?}");
            let span = visit(person) - TimeDelta::hours(44)..visit(person) - TimeDelta::hours(12);
            assert!(times.iter().all(|(_, at)| span.contains(at)), "{person}: {times:?}");
            if let [(first, before), (second, after)] = times.as_slice() {
                assert_eq!(*second, format!("{first}.letter"));
                assert!(*after - *before >= TimeDelta::hours(6), "{person}: {times:?}");
            }
        }
        let shown = results::results(&ctx, &row(&ctx, "visit").await).await.unwrap();
        let letters: Vec<_> = shown.fallbacks.iter().map(|f| (f.people, f.sent)).collect();
        // who was called off or moved far away never came to it
        assert_eq!(letters, [(10, 10)]);
    })
    .await;
}

/// A visit that was given another room while its first reminder was lost: the letter names the room of today.
#[tokio::test]
async fn a_fallback_tells_of_an_occasion_as_it_is_known_when_it_leaves() {
    on_both(async |store| {
        let mut ctx = channels(store, 2, "", Arc::new(Losses)).await;
        let read = Arc::new(Mutex::new(Vec::new()));
        let channel = |name: &Name| {
            let channel = Simulated::new(name.clone(), Arc::new(Losses));
            let channel: Arc<dyn Provider> = Arc::new(Kept { channel, read: read.clone() });
            (name.clone(), channel)
        };
        ctx.env.providers = Arc::new(ctx.env.config.providers.keys().map(channel).collect());
        let source = format!(
            "name = \"visit\"\nprovider = \"simulated\"\ncategory = \"utility\"\n\
             [trigger]\nevent = \"visit\"\nfrom = \"-44h\"\nto = \"-12h\"\n\
             [quiet_hours]\nstart = \"14:30\"\nend = \"18:00\"\n\
             [arms]\ncontrol = 1.0\ncontrol_time = \"09:00\"\n\
             [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Room {{{{room}}}}\"\n{LETTER}"
        );
        campaigns::submit(&ctx, &source, "test").await.unwrap();
        let room = async |room: &str| {
            let event = |person| {
                json!({ "recipient": format!("r{person:04}"), "event": "visit", "key": "a",
                    "at": at("05T10:00").to_rfc3339(), "attr_room": room })
            };
            let items: Vec<BulkItem> = serde_json::from_value(json!([event(0), event(1)])).unwrap();
            import::items(&ctx, BulkKind::Events, &items, "test").await.unwrap();
        };
        room("12").await;
        drive(&ctx, at("04T11:00"), |_| {}).await.unwrap();
        // the letter has taken over and waits for the evening
        assert_eq!(row(&ctx, "visit.2026-03-04.letter").await.status, CampaignStatus::Active);
        assert_eq!(read.lock().unwrap().len(), 2);
        room("14").await;
        drive(&ctx, at("06T00:00"), |_| {}).await.unwrap();
        let mut read = read.lock().unwrap().clone();
        read.sort();
        let told = |name: &str, whom: &str, text: &str| [name, whom, text].map(str::to_owned);
        let [first, letter] = ["visit.2026-03-04", "visit.2026-03-04.letter"];
        // the first channel lost that of the second person
        let expected = [
            told(first, "r0000", "Room 12"),
            told(first, "r0001", "Room 12"),
            told(letter, "r0001", "Room 14"),
        ];
        assert_eq!(read, expected);
    })
    .await;
}

#[tokio::test]
async fn what_falls_back_shares_limits_and_commands_with_its_campaign() {
    on_both(async |store| {
        let ctx = two_channels(store, 60, "[frequency]\nleast_distance = \"20h\"\n").await;
        let source = source(LETTER).replace("[[variant]]", "[capacity]\nper_hour = 8\n[[variant]]");
        campaigns::submit(&ctx, &source, "test").await.unwrap();
        drive(&ctx, at("06T19:59"), |_| {}).await.unwrap();
        let mut hours = std::collections::BTreeMap::<i64, u32>::new();
        for person in 0..60 {
            let times = sent(&ctx, person).await;
            for (_, at) in &times {
                *hours.entry(at.timestamp() / 3600).or_default() += 1;
            }
            let in_time = times.first().is_some_and(|(_, first)| *first < at("05T14:00"));
            if in_time && matches!(person % 10, 1 | 2 | 9) {
                assert_eq!(times.len(), 2, "{person}: {times:?}");
            }
            // a second channel is a second message: the caps of the person hold over both
            let close = |pair: &[(String, Moment)]| pair[1].1 - pair[0].1 < TimeDelta::hours(20);
            let failed = person % 10 == 2;
            assert!(failed || !times.windows(2).any(close), "{person}: {times:?}");
        }
        assert!(hours.values().all(|sum| *sum <= 8), "{hours:?}");
        let whole = row(&ctx, "news").await;
        campaigns::change(&ctx, &whole, OperatorCommand::Cancel, "test").await.unwrap();
        assert_eq!(row(&ctx, "news.letter").await.status, CampaignStatus::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn a_fallback_that_cannot_work_is_told_before_launch() {
    on_both(async |store| {
        let ctx = two_channels(store, 1, "").await;
        let told = async |fallback: &str| {
            let checked = check::check(&ctx, &source(fallback)).await;
            checked.err().map(|error| error.to_string()).unwrap_or_default()
        };
        let step = |provider: &str, after: &str| {
            format!("[[fallback]]\nprovider = \"{provider}\"\nafter = \"{after}\"\n")
        };
        assert!(told(&step("pigeon", "6h")).await.contains("have no [provider.pigeon]"));
        let twice = told(&step("simulated", "6h")).await;
        assert!(twice.contains("simulated has been tried before it"), "{twice}");
        let soon = told(&step("letter", "1s")).await;
        assert!(soon.contains("after 1s is not between 5min and 72h"), "{soon}");
        let two = format!("{}{}", step("letter", "6h"), step("letter", "6h"));
        assert!(told(&two).await.contains("fallback 2: provider letter has been tried"));
        assert_eq!(told(&step("letter", "6h")).await, "");
    })
    .await;
}
