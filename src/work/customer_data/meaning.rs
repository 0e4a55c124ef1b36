//! What a call of a customer data platform means: which row of which file it is, what it says of
//! consent, and which message a purchase follows. Pure.

use chrono::TimeDelta;
use serde_json::{Map, Value};

use crate::config::SegmentSettings;
use crate::model::campaign::is_currency;
use crate::model::consent::ConsentChange;
use crate::model::event::{EventKey, EventKind};
use crate::model::ids::{RecipientKey, TEXT_MAX};
use crate::model::recipient::{Address, Country};
use crate::model::time::{Instant, format_instant};
use crate::provider::Event;
use crate::store::MessageRow;
use crate::work::import::BulkItem;

/// Attributes that are taken of one call; further ones are left out.
const ATTRIBUTES_MAX: usize = 100;
/// The longest value of an attribute, in bytes; a longer one is left out.
const VALUE_MAX: usize = 1024;
/// How long before a purchase a message was sent that counts as its cause.
const CONVERTS_WITHIN: TimeDelta = TimeDelta::hours(72);
/// A client's clock may be ahead by so much; what is later has not happened yet.
const CLOCK_AHEAD_MAX: TimeDelta = TimeDelta::minutes(15);
/// The source of consent that a call grants or withdraws.
pub(super) const SOURCE: &str = "segment";

/// A call, read.
#[derive(Debug, Clone, PartialEq)]
pub enum CustomerCall {
    /// Something happened to a person.
    Track(TrackCall),
    /// Who a person is.
    Identify(IdentifyCall),
}

/// Something that happened to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackCall {
    /// Whose.
    pub recipient: RecipientKey,
    /// What.
    pub event: EventKind,
    /// The call's own id: one that comes again is the same.
    pub key: Option<EventKey>,
    /// When; `None`: as it comes.
    pub at: Option<Instant>,
    /// What else is known of it.
    pub properties: Map<String, Value>,
}

/// Who a person is.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentifyCall {
    /// Who.
    pub recipient: RecipientKey,
    /// Since when; `None`: as it comes.
    pub at: Option<Instant>,
    /// What is told.
    pub traits: Map<String, Value>,
}

/// What is known of a person before an identify is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownPerson {
    pub(super) address: Option<Address>,
    pub(super) country: Option<Country>,
    /// What the trait of consent told last.
    pub(super) opted_in: Option<bool>,
    /// The last word in the ledger.
    pub(super) consent: Option<ConsentChange>,
}

/// Text, number or truth as a text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a trait of consent says, told now or kept as an attribute.
pub(super) fn truth(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

/// Adds scalars as attributes; lists and objects are left out.
fn describe<'v>(item: &mut BulkItem, values: impl Iterator<Item = (&'v String, &'v Value)>) {
    let is_name =
        |name: &str| !name.is_empty() && name.len() <= TEXT_MAX && !name.contains(char::is_control);
    let told = values.filter(|(name, _)| is_name(name));
    let told = told.filter_map(|(name, value)| Some((name, scalar(value)?)));
    let told = told.filter(|(_, text)| text.len() <= VALUE_MAX);
    for (name, text) in told.take(ATTRIBUTES_MAX) {
        item.insert(format!("attr_{name}"), text.into());
    }
}

impl TrackCall {
    /// The row of `events.csv`.
    pub(super) fn item(&self, at: Instant) -> BulkItem {
        let mut item = BulkItem::new();
        item.insert("recipient".to_owned(), self.recipient.as_str().into());
        item.insert("event".to_owned(), self.event.as_str().into());
        item.insert("at".to_owned(), format_instant(at).into());
        if let Some(key) = &self.key {
            item.insert("id".to_owned(), key.as_str().into());
        }
        // which appointment, say: another call with it moves it or calls it off
        let key = self.properties.get("key").and_then(scalar);
        if let Some(key) = key.filter(|key| key.parse::<EventKey>().is_ok()) {
            item.insert("key".to_owned(), key.into());
        }
        describe(&mut item, self.properties.iter());
        item
    }

    /// The kinds of presence that it is.
    pub(super) fn activity(&self, settings: &SegmentSettings) -> Vec<&'static str> {
        let kinds = [("purchase", &settings.convert), ("session", &settings.activity)];
        let meant = kinds.into_iter().filter(|(_, names)| names.contains(&self.event));
        meant.map(|(kind, _)| kind).collect()
    }

    /// What a purchase is to the message before it.
    pub(super) fn conversion(&self) -> Event {
        let amount = |name: &&str| {
            let text = scalar(self.properties.get(*name)?)?;
            text.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount >= 0.0)
        };
        let amount = ["revenue", "total", "value"].iter().find_map(amount);
        let currency = self.properties.get("currency").and_then(scalar);
        let currency = currency.map(|code| code.to_ascii_uppercase());
        Event::Converted { amount, currency: currency.filter(|code| is_currency(code)) }
    }
}

/// When it happened; `None` where it lies ahead, beyond what clocks differ by.
pub(super) fn happened(at: Instant, now: Instant) -> Option<Instant> {
    (at <= now + CLOCK_AHEAD_MAX).then_some(at.min(now))
}

/// The message that a purchase at `at` follows: the last one sent within 72 hours before.
pub(super) fn cause(messages: &[MessageRow], at: Instant) -> Option<&MessageRow> {
    let followed = |row: &&MessageRow| {
        let message = &row.message;
        let reached = message.response.failed_at.is_none();
        reached && message.sent_at <= at && at - message.sent_at <= CONVERTS_WITHIN
    };
    messages.iter().filter(followed).max_by_key(|row| row.message.sent_at)
}

impl IdentifyCall {
    /// What the mapped trait says of consent.
    pub(super) fn opted_in(&self, settings: &SegmentSettings) -> Option<bool> {
        let name = settings.consent_trait.as_ref()?;
        truth(&scalar(self.traits.get(name)?)?)
    }

    /// The row of `recipients.csv`; `known` becomes what is known after it.
    ///
    /// A platform tells a trait again with each visit: that it is still true is no new consent, nor
    /// that it is told for the first time of somebody who withdrew before.
    pub(super) fn item(
        &self,
        settings: &SegmentSettings,
        known: &mut KnownPerson,
        at: Instant,
    ) -> BulkItem {
        let told = |name: &str| self.traits.get(name).and_then(scalar);
        let nested = self.traits.get("address").and_then(|address| address.get("country"));
        let country = nested.and_then(scalar).or_else(|| told("country"));
        let country = country.or_else(|| known.country.as_ref().map(|c| c.as_str().to_owned()));
        let address = self.address(settings, known, country.as_deref());
        let mut item = BulkItem::new();
        let mut put = |column: &str, value: Option<String>| {
            item.extend(value.map(|value| (column.to_owned(), Value::String(value))));
        };
        put("recipient", Some(self.recipient.to_string()));
        let (address_trait, address) = address.unzip();
        put("address", address);
        put("country", country);
        put("locale", told("locale"));
        put("time_zone", told("timezone"));
        let opted_in = self.opted_in(settings);
        let turned_true = match known.opted_in {
            Some(was) => !was,
            None => known.consent != Some(ConsentChange::Withdrawn),
        };
        let turned_false = known.opted_in != Some(false);
        match opted_in {
            Some(true) if turned_true => {
                put("opted_in_at", Some(format_instant(at)));
                put("opt_in_source", Some(SOURCE.to_owned()));
                known.consent = Some(ConsentChange::Granted);
            }
            Some(false) if turned_false || known.consent == Some(ConsentChange::Granted) => {
                put("opted_out_at", Some(format_instant(at)));
                known.consent = Some(ConsentChange::Withdrawn);
            }
            _ => {}
        }
        known.opted_in = opted_in.or(known.opted_in);
        let columns = ["country", "locale", "timezone"];
        let is_used = |name: &str| columns.contains(&name) || address_trait == Some(name);
        // what was said of consent comes first: the next call is compared with it
        let (consent, others): (Vec<_>, Vec<_>) = self
            .traits
            .iter()
            .partition(|(name, _)| settings.consent_trait.as_ref() == Some(*name));
        let others = others.into_iter().filter(|(name, _)| !is_used(name));
        describe(&mut item, consent.into_iter().chain(others));
        item
    }

    /// The trait that holds the address, and what it says. One that is no first choice takes the
    /// place of no address of another kind: a mail address does not replace a telephone number.
    fn address<'s>(
        &self,
        settings: &'s SegmentSettings,
        known: &mut KnownPerson,
        country: Option<&str>,
    ) -> Option<(&'s str, String)> {
        let country = country.and_then(Country::recognized);
        for (rank, name) in settings.address.iter().enumerate() {
            let Some(text) = self.traits.get(name).and_then(scalar) else { continue };
            let told = Address::from_cell(&text, country.as_ref()).ok();
            let is_phone = |address: &Address| address.phone_digits().is_some();
            let stored = known.address.as_ref();
            let differs = stored.is_some() && stored.map(is_phone) != told.as_ref().map(is_phone);
            if rank > 0 && differs {
                return None;
            }
            known.address = told.or_else(|| known.address.take());
            return Some((name, text));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn identified(traits: Value, known: &mut KnownPerson) -> BulkItem {
        let settings = SegmentSettings {
            consent_trait: Some("opt_in".to_owned()),
            ..SegmentSettings::default()
        };
        let Value::Object(traits) = traits else { panic!("traits are an object") };
        let call = IdentifyCall { recipient: "r1".parse().unwrap(), at: None, traits };
        call.item(&settings, known, at("2026-12-01T00:00:00Z"))
    }

    #[test]
    fn traits_become_columns_and_attributes() {
        let traits = json!({ "phone": "+5511987654321", "email": "ana@example.com", "name": "Ana",
            "timezone": "America/Sao_Paulo", "locale": "pt_BR", "age": 31, "plans": ["a"],
            "address": { "country": "BR", "city": "Recife" }, "none": null });
        let item = identified(traits, &mut KnownPerson::default());
        let wanted = json!({ "recipient": "r1", "address": "+5511987654321", "country": "BR",
            "locale": "pt_BR", "time_zone": "America/Sao_Paulo", "attr_email": "ana@example.com",
            "attr_name": "Ana", "attr_age": "31" });
        assert_eq!(Value::Object(item), wanted);
    }

    #[test]
    fn a_mail_address_stands_in_for_a_telephone_number_and_never_replaces_it() {
        let mut known = KnownPerson::default();
        let mail = json!({ "email": "ana@example.com" });
        assert_eq!(identified(mail.clone(), &mut known)["address"], "ana@example.com");
        let other = json!({ "email": "ana@example.org" });
        assert_eq!(identified(other, &mut known)["address"], "ana@example.org");
        let phone = json!({ "phone": "+5511987654321" });
        assert_eq!(identified(phone, &mut known)["address"], "+5511987654321");
        let item = identified(mail, &mut known);
        assert_eq!((item.get("address"), &item["attr_email"]), (None, &json!("ana@example.com")));
    }

    #[test]
    fn consent_is_granted_once_by_a_trait_that_turns_true() {
        let mut known = KnownPerson::default();
        let grants = |value: Value, known: &mut KnownPerson| {
            let item = identified(json!({ "opt_in": value }), known);
            (item.contains_key("opted_in_at"), item.contains_key("opted_out_at"))
        };
        assert_eq!(grants(json!(true), &mut known), (true, false));
        // the person withdrew elsewhere, and the platform tells its old word again
        known.consent = Some(ConsentChange::Withdrawn);
        assert_eq!(grants(json!("TRUE"), &mut known), (false, false));
        assert_eq!(grants(json!("perhaps"), &mut known), (false, false));
        assert_eq!(grants(json!(false), &mut known), (false, true));
        assert_eq!(grants(json!(false), &mut known), (false, false));
        assert_eq!(grants(json!(true), &mut known), (true, false));
        // nobody knows since when it is true of somebody who withdrew before it was told first
        let consent = Some(ConsentChange::Withdrawn);
        let mut known = KnownPerson { consent, ..KnownPerson::default() };
        assert_eq!(grants(json!(true), &mut known), (false, false));
        assert_eq!(grants(json!(false), &mut known), (false, true));
        assert_eq!(grants(json!(true), &mut known), (true, false));
    }

    #[test]
    fn what_was_said_of_consent_is_kept_beside_any_number_of_traits() {
        let mut traits: Map<String, Value> =
            (0..500).map(|n| (format!("a{n}"), json!(n))).collect();
        traits.insert("opt_in".to_owned(), json!(true));
        let item = identified(Value::Object(traits), &mut KnownPerson::default());
        assert_eq!(item["attr_opt_in"], "true");
        assert_eq!(item.keys().filter(|key| key.starts_with("attr_")).count(), ATTRIBUTES_MAX);
    }

    #[test]
    fn a_purchase_is_worth_what_its_properties_say() {
        let worth = |properties: Value| {
            let Value::Object(properties) = properties else { panic!("they are an object") };
            let call = TrackCall {
                recipient: "r1".parse().unwrap(),
                event: "Order Completed".parse().unwrap(),
                key: None,
                at: None,
                properties,
            };
            match call.conversion() {
                Event::Converted { amount, currency } => (amount, currency),
                other => panic!("{other:?} is no conversion"),
            }
        };
        let usd = || Some("USD".to_owned());
        assert_eq!(
            worth(json!({ "revenue": 9, "total": 12, "currency": "usd" })),
            (Some(9.0), usd())
        );
        assert_eq!(worth(json!({ "total": "12.50", "currency": "USD" })), (Some(12.5), usd()));
        assert_eq!(worth(json!({ "value": 3, "currency": "dollars" })), (Some(3.0), None));
        assert_eq!(worth(json!({ "revenue": -1, "total": [1] })), (None, None));
    }

    #[test]
    fn what_lies_ahead_has_not_happened() {
        let now = at("2026-12-01T12:00:00Z");
        assert_eq!(happened(at("2026-12-01T11:00:00Z"), now), Some(at("2026-12-01T11:00:00Z")));
        assert_eq!(happened(at("2026-12-01T12:15:00Z"), now), Some(now));
        assert_eq!(happened(at("2026-12-01T12:15:01Z"), now), None);
    }
}
