//! What expressions know of a person, under which names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cel::{Context, ExecutionError, Value};

use crate::model::ids::RecipientId;
use crate::model::recipient::{Profile, Recipient};
use crate::model::time::Instant;

/// What can be asked of the person as such.
const PROFILE: [&str; 10] = [
    "recipient",
    "country",
    "locale",
    "time_zone",
    "tags",
    "attr",
    "consented",
    "has_address",
    "now",
    "events",
];
/// What comes of messages.
pub(super) const ENGAGEMENT: [&str; 11] = [
    "sent",
    "last_sent",
    "read",
    "last_read",
    "clicked",
    "last_click",
    "replied",
    "last_reply",
    "converted",
    "last_conversion",
    "amount",
];
/// What was learned.
pub(super) const LEARNED: [&str; 2] = ["best_daypart", "chance"];
/// Everything that can be asked.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    PROFILE.into_iter().chain(ENGAGEMENT).chain(LEARNED)
}

/// What can be called.
pub(super) const FUNCTIONS: [&str; 29] = [
    "days_since",
    "hours_since",
    "days_until",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "min",
    "max",
    "type",
    "dyn",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// What came of a person's messages, by whomever they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Engagement {
    /// Messages.
    pub sent: i64,
    /// The last of them.
    pub last_sent: Option<Instant>,
    /// Read.
    pub read: i64,
    /// When last.
    pub last_read: Option<Instant>,
    /// Clicked.
    pub clicked: i64,
    /// When last.
    pub last_click: Option<Instant>,
    /// Answered.
    pub replied: i64,
    /// When last.
    pub last_reply: Option<Instant>,
    /// Brought a conversion.
    pub converted: i64,
    /// When last.
    pub last_conversion: Option<Instant>,
    /// What conversions were worth, in whatever currency they came.
    pub amount: f64,
}

/// Events of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventFacts {
    /// How many, also to come.
    pub count: i64,
    /// The last that has passed.
    pub last: Option<Instant>,
    /// The next to come.
    pub next: Option<Instant>,
}

/// What was learned of a person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedFacts {
    /// When best reached: morning, noon, afternoon, evening or night.
    pub best_daypart: &'static str,
    /// The chance that words at the best hour are read within a day.
    pub chance: f64,
}

/// What is known of a person.
#[derive(Debug, Clone)]
pub struct PersonFacts<'p> {
    /// Who.
    pub recipient: &'p Recipient,
    /// The country, where the file or the number tells.
    pub country: Option<&'p str>,
    /// What came of messages.
    pub engagement: Engagement,
    /// Events by kind.
    pub events: BTreeMap<String, EventFacts>,
    /// What was learned; `None` where nothing was seen yet.
    pub learned: Option<LearnedFacts>,
}

impl PersonFacts<'_> {
    /// The value of a variable; `events` holds the kinds that the expression names.
    pub(super) fn value(&self, name: &str, events: &BTreeSet<String>) -> Option<Value> {
        let Self { recipient, engagement: of, .. } = self;
        let Profile { address, zone, locale, tags, attributes, .. } = &recipient.profile;
        let text = |text: &str| Value::from(text);
        let or_empty = |given: Option<String>| Value::from(given.unwrap_or_default());
        Some(match name {
            "recipient" => text(recipient.key.as_str()),
            "country" => text(self.country.unwrap_or_default()),
            "locale" => or_empty(locale.as_ref().map(ToString::to_string)),
            "time_zone" => text(zone.map_or("", |zone| zone.tz.name())),
            "tags" => Value::from(tags.iter().map(|tag| text(tag)).collect::<Vec<_>>()),
            "attr" => Value::from(
                attributes.iter().map(|(k, v)| (k.clone(), text(v))).collect::<HashMap<_, _>>(),
            ),
            "consented" => Value::Bool(recipient.consented),
            "has_address" => Value::Bool(address.is_some()),
            "events" => {
                let kind = |kind: &String| {
                    let of = self.events.get(kind).copied().unwrap_or_default();
                    let facts = [
                        ("count", Value::Int(of.count)),
                        ("last", moment(of.last)),
                        ("next", moment(of.next)),
                    ];
                    (kind.clone(), Value::from(HashMap::from(facts)))
                };
                Value::from(events.iter().map(kind).collect::<HashMap<_, _>>())
            }
            "sent" => Value::Int(of.sent),
            "last_sent" => moment(of.last_sent),
            "read" => Value::Int(of.read),
            "last_read" => moment(of.last_read),
            "clicked" => Value::Int(of.clicked),
            "last_click" => moment(of.last_click),
            "replied" => Value::Int(of.replied),
            "last_reply" => moment(of.last_reply),
            "converted" => Value::Int(of.converted),
            "last_conversion" => moment(of.last_conversion),
            "amount" => Value::Float(of.amount),
            "best_daypart" => text(self.learned.map_or("", |learned| learned.best_daypart)),
            "chance" => Value::Float(self.learned.map_or(0.0, |learned| learned.chance)),
            _ => return None,
        })
    }
}

fn moment(at: Option<Instant>) -> Value {
    at.map_or(Value::Null, |at| Value::Timestamp(at.fixed_offset()))
}

/// The functions of ours and the present.
pub(super) fn context(now: Instant) -> Context<'static, 'static> {
    let mut context = Context::default();
    let apart = move |given: &Value, days: f64, name: &str, sign: f64| match given {
        // what never happened is longer ago, and farther ahead, than anything
        Value::Null => Ok(f64::INFINITY),
        Value::Timestamp(at) => {
            let span = now - at.to_utc();
            Ok(sign * span.num_milliseconds() as f64 / 86_400_000.0 * days)
        }
        _ => Err(ExecutionError::function_error(name, "it takes a time such as last_read")),
    };
    let names = [("days_since", 1.0, 1.0), ("hours_since", 24.0, 1.0), ("days_until", 1.0, -1.0)];
    for (name, days, sign) in names {
        let function = move |given: Value| apart(&given, days, name, sign);
        context.add_function(name, function).expect("no built-in function is called so");
    }
    context.add_variable_from_value("now", Value::Timestamp(now.fixed_offset()));
    context
}

/// Two people who do not exist: one who has everything, and one who has nothing.
pub(super) fn invented(now: Instant, kinds: &BTreeSet<String>) -> [PersonFacts<'static>; 2] {
    use std::sync::LazyLock;
    static NOBODY: LazyLock<Recipient> = LazyLock::new(|| Recipient {
        id: RecipientId(0),
        key: "r1".parse().expect("it is an id"),
        profile: Profile { tags: vec!["a".to_owned()], ..Profile::default() },
        consented: true,
    });
    let nothing = PersonFacts {
        recipient: &NOBODY,
        country: None,
        engagement: Engagement::default(),
        events: BTreeMap::new(),
        learned: None,
    };
    let once = EventFacts { count: 1, last: Some(now), next: Some(now) };
    let everything = PersonFacts {
        country: Some("BR"),
        engagement: Engagement {
            sent: 1,
            last_sent: Some(now),
            read: 1,
            last_read: Some(now),
            clicked: 1,
            last_click: Some(now),
            replied: 1,
            last_reply: Some(now),
            converted: 1,
            last_conversion: Some(now),
            amount: 1.0,
        },
        events: kinds.iter().map(|kind| (kind.clone(), once)).collect(),
        learned: Some(LearnedFacts { best_daypart: "morning", chance: 0.5 }),
        ..nothing.clone()
    };
    [everything, nothing]
}
