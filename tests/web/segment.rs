//! What Segment and RudderStack post: events, people, and what the settings make of them.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use opportune::model::consent::ConsentChange;
use opportune::model::message::Response;
use opportune::work::tokens::Scope;
use opportune::work::{audit, dispatch, people};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Listener, due};

impl Listener {
    /// Posts to a route of the platform's, with an `Authorization` of its own.
    async fn platform(&self, route: &str, authorization: &str, body: &str) -> (u16, Value) {
        let request = format!(
            "POST /api/segment/v1/{route} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, text) = self.ask(request).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Posts what is taken.
    async fn taken(&self, route: &str, token: &str, body: Value) {
        let answer = self.platform(route, &basic(token), &body.to_string()).await;
        assert_eq!(answer, (200, json!({ "success": true })), "{body}");
    }

    async fn stored_of(&self, person: &str) -> Value {
        let mut reader = self.ctx.store.read().await.unwrap();
        let person = reader.recipient(&person.parse().unwrap()).await.unwrap().expect(person);
        drop(reader);
        serde_json::to_value(people::stored(&self.ctx, person).await.unwrap()).unwrap()
    }

    async fn is_known(&self, person: &str) -> bool {
        let mut reader = self.ctx.store.read().await.unwrap();
        reader.recipient(&person.parse().unwrap()).await.unwrap().is_some()
    }

    /// The events of a person, by time.
    async fn events_of(&self, person: &str) -> Vec<Value> {
        let events = self.stored_of(person).await["other"]["event"].clone();
        let mut events = events.as_array().cloned().unwrap_or_default();
        events.sort_by_key(|event| event["at"].to_string());
        events
    }

    async fn response_of(&self, person: &str) -> Response {
        let mut reader = self.ctx.store.read().await.unwrap();
        let person = reader.recipient(&person.parse().unwrap()).await.unwrap().unwrap();
        reader.messages_of(person.id).await.unwrap().last().unwrap().message.response.clone()
    }
}

fn basic(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{token}:")))
}

async fn both() -> [Listener; 2] {
    [Listener::start().await, Listener::on_postgres().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_need_a_token_that_may_write() {
    let listener = Listener::start().await;
    let write = listener.token("segment", &[Scope::Write]).await;
    let read = listener.token("dashboard", &[Scope::Read]).await;
    let body = json!({ "userId": "r1", "event": "Seen" }).to_string();
    let password = format!("Basic {}", STANDARD.encode(format!("{write}:whatever")));
    for good in [basic(&write), password, format!("Bearer {write}")] {
        assert_eq!(listener.platform("track", &good, &body).await.0, 200, "{good}");
    }
    for route in ["track", "identify", "batch"] {
        assert_eq!(listener.platform(route, &basic(&read), &body).await.0, 403, "{route}");
        assert_eq!(listener.platform(route, "Basic !", &body).await.0, 401, "{route}");
        assert_eq!(listener.platform(route, &basic("opportune_00"), &body).await.0, 401);
    }
    // guessing is slowed down, and a good token goes on
    for _ in 3..20 {
        assert_eq!(listener.platform("track", &basic("opportune_00"), &body).await.0, 401);
    }
    assert_eq!(listener.platform("track", &basic("opportune_00"), &body).await.0, 429);
    assert_eq!(listener.platform("track", &basic(&write), &body).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_is_an_event_and_a_retry_changes_nothing() {
    for listener in both().await {
        let token = listener.token("segment", &[Scope::Write]).await;
        let body = json!({ "type": "track", "userId": "r1", "anonymousId": "a-9",
            "event": "Appointment Booked", "timestamp": "2030-03-05T14:30:00.123Z",
            "sentAt": "2026-11-01T10:00:00Z", "messageId": "m-1", "context": { "ip": "::1" },
            "properties": { "doctor": "Dr. Lima", "price": 80.5, "first": true, "none": null,
                "products": [{ "sku": "x" }], "room": { "floor": 2 }, "long": "x".repeat(1025) } });
        for _ in 0..2 {
            listener.taken("track", &token, body.clone()).await;
        }
        let events = listener.events_of("r1").await;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["kind"], "Appointment Booked");
        assert_eq!(events[0]["key"], "m-1");
        let attributes: Value =
            serde_json::from_str(events[0]["attributes"].as_str().unwrap()).unwrap();
        let wanted = json!({ "doctor": "Dr. Lima", "price": "80.5", "first": "true" });
        assert_eq!(attributes, wanted);
        // what is told without a time happened when it came first
        let timeless = json!({ "userId": 17, "event": "App Opened", "messageId": "m-2" });
        listener.taken("track", &token, timeless.clone()).await;
        let first = listener.stored_of("17").await;
        listener.taken("track", &token, timeless).await;
        assert_eq!(listener.stored_of("17").await, first);
        assert_eq!(first["activity"].as_array().unwrap().len(), 1);
        let deeds = audit::last(&listener.ctx, 50).await.unwrap();
        let named = |deed: &&opportune::store::AuditEntry| {
            deed.actor == "token segment" && deed.action == "import events"
        };
        assert_eq!(deeds.iter().filter(named).count(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identify_fills_in_what_it_tells_and_keeps_the_rest() {
    for listener in both().await {
        let token = listener.token("segment", &[Scope::Write]).await;
        let person = json!({ "recipient": "r1", "address": "+5511987654321", "country": "BR",
            "time_zone": "America/Recife", "locale": "pt_BR", "tags": ["vip", "club"],
            "attr_plan": "gold" });
        let imported = listener.post("/recipients", &token, json!({ "items": [person] })).await;
        assert_eq!(imported.0, 200);
        let before = listener.stored_of("r1").await["profile"].clone();
        // a national number is one of the country that is known
        let traits = json!({ "firstName": "Ana", "email": "ana@example.com",
            "phone": "(11) 98765-4321", "address": { "city": "Recife" } });
        let call = json!({ "userId": "r1", "traits": traits, "timestamp": "2026-11-01T10:00:00Z" });
        listener.taken("identify", &token, call).await;
        let after = listener.stored_of("r1").await;
        let mut wanted = before;
        wanted["attributes"] =
            json!({ "plan": "gold", "firstName": "Ana", "email": "ana@example.com" });
        assert_eq!(after["profile"], wanted);
        assert_eq!(after["consent"], json!([]));
        // a mail address alone does not take the number's place
        let call = json!({ "userId": "r1", "traits": { "email": "ana@example.org" } });
        listener.taken("identify", &token, call).await;
        let profile = listener.stored_of("r1").await["profile"].clone();
        assert_eq!(profile["address"], "+5511987654321");
        assert_eq!(profile["attributes"]["email"], "ana@example.org");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_trait_grants_and_withdraws_consent() {
    for listener in both().await {
        let token = listener.token("segment", &[Scope::Write]).await;
        let tell = async |value: Value, at: &str, more: Value| {
            let mut traits = json!({ "whatsapp_opt_in": value });
            traits.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let call = json!({ "userId": "r1", "timestamp": at, "traits": traits }).to_string();
            listener.platform("identify", &basic(&token), &call).await
        };
        let words = async || {
            let key = "r1".parse().unwrap();
            let person = listener.ctx.store.read().await.unwrap().recipient(&key).await.unwrap();
            let ledger = people::ledger(&listener.ctx, person.unwrap()).await.unwrap();
            let word = |entry: &opportune::model::consent::ConsentEntry| {
                (entry.change, entry.source.clone())
            };
            (ledger.consented, ledger.entries.iter().map(word).collect::<Vec<_>>())
        };
        let granted = (ConsentChange::Granted, "segment".to_owned());
        let withdrawn = (ConsentChange::Withdrawn, "segment".to_owned());
        let none = || json!({});
        assert_eq!(tell(json!(true), "2026-11-01T10:00:00Z", none()).await.0, 200);
        assert_eq!(words().await, (true, vec![granted.clone()]));
        // the person says no elsewhere: the trait's old word is no new consent
        let no = json!({ "change": "withdraw", "source": "call", "at": "2026-11-02T10:00:00Z" });
        assert_eq!(listener.post("/recipients/r1/consent", &token, no).await.0, 200);
        assert_eq!(tell(json!(true), "2026-11-03T10:00:00Z", none()).await.0, 200);
        let (consented, entries) = words().await;
        assert!(!consented && entries.len() == 2, "{entries:?}");
        // off and on again is one
        assert_eq!(tell(json!(false), "2026-11-04T10:00:00Z", none()).await.0, 200);
        assert_eq!(tell(json!(true), "2026-11-05T10:00:00Z", none()).await.0, 200);
        let (consented, entries) = words().await;
        assert!(consented);
        assert_eq!(entries[2..], [withdrawn.clone(), granted]);
        // a no is heard beside what cannot be read
        let bad = json!({ "timezone": "Mars/Olympus" });
        let (status, answer) = tell(json!(false), "2026-11-06T10:00:00Z", bad).await;
        let detail = answer["refused"][0]["detail"].as_str().unwrap_or_default();
        assert!(status == 200 && detail.contains("Mars/Olympus"), "{answer}");
        let (consented, entries) = words().await;
        assert!(!consented);
        assert_eq!(entries.last(), Some(&withdrawn));
        // whoever left before the platform told the trait is not granted back by it
        let left = json!({ "items": [{ "recipient": "r2", "opted_in_at": "2026-01-01T10:00:00Z",
            "opted_out_at": "2026-02-01T10:00:00Z" }] });
        assert_eq!(listener.post("/recipients", &token, left).await.0, 200);
        for (value, consented) in [(true, false), (true, false), (false, false), (true, true)] {
            let call = json!({ "userId": "r2", "traits": { "whatsapp_opt_in": value } });
            listener.taken("identify", &token, call).await;
            assert_eq!(listener.stored_of("r2").await["consented"], consented, "{value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_convert_show_presence_and_opt_out_as_the_settings_say() {
    for listener in both().await {
        let token = listener.token("segment", &[Scope::Write]).await;
        due(&listener.ctx, "console", 2, TimeDelta::minutes(5)).await;
        let (_keep, stop) = watch::channel(false);
        dispatch::run(&listener.ctx, &stop).await.unwrap();
        let now = listener.ctx.clock.now();
        let order = json!({ "userId": "console-0", "event": "Order Completed", "messageId": "o-1",
            "timestamp": now, "properties": { "revenue": "12.50", "currency": "brl" } });
        for _ in 0..2 {
            listener.taken("track", &token, order.clone()).await;
        }
        let response = listener.response_of("console-0").await;
        assert_eq!(response.converted_at, Some(now));
        assert_eq!((response.amount, response.currency.as_deref()), (Some(12.5), Some("BRL")));
        let stored = listener.stored_of("console-0").await;
        let activity = stored["activity"].as_array().unwrap();
        assert_eq!(activity.len(), 1, "{activity:?}");
        assert_eq!(activity[0][1], "purchase");
        // before the message, and still ahead: nothing of it converts
        for (key, at) in [("o-2", now - TimeDelta::days(1)), ("o-3", now + TimeDelta::days(1))] {
            let order = json!({ "userId": "console-1", "event": "Order Completed",
                "messageId": key, "timestamp": at });
            listener.taken("track", &token, order).await;
        }
        assert_eq!(listener.response_of("console-1").await.converted_at, None);
        let stored = listener.stored_of("console-1").await;
        assert_eq!(stored["activity"].as_array().unwrap().len(), 1);
        assert_eq!(stored["consented"], true);
        // the last message before counts, for 72 hours
        let ago = |hours: i64| now - TimeDelta::hours(hours);
        let sent = |key: &str, hours: i64| json!({ "message": key, "recipient": "r7", "channel": "console", "sent_at": ago(hours) });
        let items = json!({ "items": [sent("h-1", 200), sent("h-2", 100)] });
        assert_eq!(listener.post("/messages", &token, items).await.0, 200);
        for (key, hours, wanted) in [
            ("o-4", 201, [Value::Null, Value::Null]),
            ("o-5", 101, [Value::Null, Value::Null]),
            ("o-6", 27, [Value::Null, Value::Null]),
            ("o-7", 28, [Value::Null, json!(ago(28))]),
            ("o-8", 190, [json!(ago(190)), json!(ago(28))]),
        ] {
            let order = json!({ "userId": "r7", "event": "Order Completed", "messageId": key,
                "timestamp": ago(hours) });
            listener.taken("track", &token, order).await;
            let messages = listener.stored_of("r7").await["messages"].clone();
            let converted = [0, 1].map(|index| messages[index]["response"]["converted_at"].clone());
            assert_eq!(converted, wanted, "{key}");
        }
        // who leaves has left, once
        let leave = json!({ "userId": "console-1", "event": "Unsubscribed", "messageId": "u-1",
            "timestamp": now });
        for _ in 0..2 {
            listener.taken("track", &token, leave.clone()).await;
        }
        let stored = listener.stored_of("console-1").await;
        assert_eq!(stored["consented"], false);
        let ledger = stored["consent"].as_array().unwrap();
        assert_eq!(ledger.len(), 2, "{ledger:?}");
        assert_eq!(
            (&ledger[1]["source"], &ledger[1]["evidence"]),
            (&json!("segment"), &json!("u-1"))
        );
        let deeds = audit::last(&listener.ctx, 50).await.unwrap();
        let withdrawals = deeds.iter().filter(|deed| deed.action == "consent withdrawn");
        assert_eq!(
            withdrawals.map(|deed| deed.actor.as_str()).collect::<Vec<_>>(),
            ["token segment"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_taken_call_by_call() {
    for listener in both().await {
        let token = listener.token("segment", &[Scope::Write]).await;
        let calls = json!([
            { "type": "identify", "userId": "r1", "traits": { "phone": "+5511987654321" } },
            { "type": "track", "anonymousId": "a-1", "event": "Seen" },
            { "type": "page", "userId": "r1", "name": "Home" },
            { "type": "track", "userId": "r1", "event": "Seen", "timestamp": "yesterday" },
            { "type": "track", "userId": "r1", "event": "Seen", "timestamp": "2026-11-01T10:00:00Z" },
            { "type": "track", "userId": "gone", "event": "Seen" },
            { "type": "track", "userId": "r2", "event": { "name": "Seen" } },
            { "userId": "r2", "event": "Seen" },
            "track",
        ]);
        // whoever asked to be forgotten does not come back this way
        let gone = json!({ "items": [{ "recipient": "gone" }] });
        assert_eq!(listener.post("/recipients", &token, gone).await.0, 200);
        people::forget(&listener.ctx, &"gone".parse().unwrap(), "test").await.unwrap();
        let body = json!({ "batch": calls, "sentAt": "2026-11-01T10:00:01Z" }).to_string();
        let (status, answer) = listener.platform("batch", &basic(&token), &body).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        assert_eq!(answer["passed_over"], 1);
        let refused: Vec<_> = answer["refused"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| (call["index"].as_u64().unwrap(), call["detail"].as_str().unwrap()))
            .collect();
        for ((index, detail), (wanted, words)) in refused.iter().zip([
            (1, "userId: it is missing"),
            (3, "timestamp \"yesterday\" is not"),
            (5, "asked to be forgotten"),
            (6, "event: invalid type: map"),
            (7, "type: it is missing"),
            (8, "type: it is missing"),
        ]) {
            assert!(*index == wanted && detail.contains(words), "{index}: {detail}");
        }
        assert_eq!(refused.len(), 6, "{refused:?}");
        assert_eq!(listener.events_of("r1").await.len(), 1);
        assert!(!listener.is_known("gone").await && !listener.is_known("r2").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_none_is_not_sent_again() {
    let listener = Listener::start().await;
    let token = listener.token("segment", &[Scope::Write]).await;
    let post =
        async |route: &str, body: &str| listener.platform(route, &basic(&token), body).await.0;
    for body in ["", "{", "[]", "7"] {
        assert_eq!(post("track", body).await, 400, "{body:?}");
        assert_eq!(post("batch", body).await, 400, "{body:?}");
    }
    assert_eq!(post("batch", "{\"batch\": {}}").await, 400);
    let call = |n: usize| json!({ "type": "track", "userId": format!("r{n}"), "event": "Seen" });
    let calls = |count: usize| json!({ "batch": (0..count).map(call).collect::<Vec<_>>() });
    assert_eq!(post("batch", &calls(2501).to_string()).await, 400);
    assert_eq!(post("batch", &calls(2500).to_string()).await, 200);
    assert!(listener.is_known("r2499").await && !listener.is_known("r2500").await);
    let large =
        json!({ "userId": "r1", "event": "Seen", "properties": { "x": "x".repeat(512_000) } });
    assert_eq!(post("track", &large.to_string()).await, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_is_unpacked_within_its_bound() {
    let listener = Listener::start().await;
    let token = listener.token("segment", &[Scope::Write]).await;
    let packed = |body: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(body).unwrap();
        writer.finish().unwrap()
    };
    let call = json!({ "userId": "r1", "event": "Seen" }).to_string();
    for (body, wanted) in [
        (packed(call.as_bytes()), 200),
        (packed(&vec![b' '; 100_000_000]), 413),
        (call.into_bytes(), 400),
    ] {
        let url = format!("http://127.0.0.1:{}/api/segment/v1/track", listener.port);
        let client = reqwest::Client::new();
        let request = client.post(url).header("authorization", basic(&token));
        let answer = request.header("content-encoding", "gzip").body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), wanted);
    }
}
