//! A stand-in for a page's Send API and Marketing Messages API: it knows who wrote when, which templates are
//! approved and which subscriptions hold, refuses what breaks a rule with the vendor's error, and keeps every
//! call; and a workspace with people who are due a message through it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{TimeDelta, TimeZone, Utc};
use opportune::clock::Clock;
use opportune::config::{Config, SecretValue};
use opportune::model::delivery::{Reason, State as DeliveryState};
use opportune::model::ids::{Name, RecipientId};
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant;
use opportune::provider::signature;
use opportune::store::Store;
use opportune::work::{Ctx, campaigns, dispatch, receive};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support;

pub(crate) const LENGTH: SlotLength = SlotLength::HOUR;
const SECRET: &str = "an app's secret";
const PAGE: &str = "1029384756";

pub(crate) fn noon() -> Instant {
    Utc.with_ymd_and_hms(2027, 3, 2, 12, 0, 0).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[derive(Default)]
pub(crate) struct Rules {
    /// When each person wrote last.
    wrote: HashMap<String, Instant>,
    /// By token: until when, and when it was used last.
    subscriptions: HashMap<String, (Instant, Option<Instant>)>,
    /// An error in place of the next answers: code and subcode.
    pub(crate) error: Option<(i64, Option<i64>)>,
    /// What was taken.
    pub(crate) taken: Vec<Value>,
    /// Codes that were answered.
    pub(crate) refused: Vec<(i64, Option<i64>)>,
}

#[derive(Clone)]
pub(crate) struct Page {
    clock: Clock,
    pub(crate) rules: Arc<Mutex<Rules>>,
}

fn exactly(value: &Value, keys: &[&str]) -> bool {
    let mut told: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut keys = keys.to_vec();
    told.sort_unstable();
    keys.sort_unstable();
    told == keys
}

/// A message's content as the vendor takes it: one of a text of 2000 characters, a file, a template.
fn is_content(message: &Value) -> bool {
    let text = message["text"].as_str().is_some_and(|text| {
        !text.is_empty() && text.chars().count() <= 2000 && exactly(message, &["text"])
    });
    let attachment = &message["attachment"];
    let file = attachment.is_object()
        && ["image", "video", "audio", "file"].contains(&attachment["type"].as_str().unwrap())
        && attachment["payload"]["url"].as_str().is_some_and(|url| url.starts_with("https://"));
    text || file
}

impl Page {
    fn send(&self, path: &str, body: &Value) -> Result<Value, (i64, Option<i64>)> {
        let (now, mut rules) = (self.clock.now(), self.rules.lock().unwrap());
        if let Some(error) = rules.error {
            return Err(error);
        }
        let id = rules.taken.len();
        if path == "act_77" {
            assert!(exactly(body, &["message_campaign_id", "messenger_delivery_data", "message"]));
            if body["message_campaign_id"] != "88" {
                return Err((2_300_000, None));
            }
            let token = body["messenger_delivery_data"]["subscription_token"].as_str().unwrap();
            let Some((until, used)) = rules.subscriptions.get_mut(token) else {
                return Err((2_300_004, None));
            };
            if *until <= now {
                return Err((2_300_004, None));
            }
            if used.is_some_and(|used| now - used < TimeDelta::hours(12)) {
                return Err((4, Some(2_018_354)));
            }
            if !is_content(&body["message"]) {
                return Err((100, None));
            }
            *used = Some(now);
            rules.taken.push(body.clone());
            return Ok(json!({ "marketing_message_tracking_id": format!("track-{id}") }));
        }
        if path != PAGE {
            return Err((100, Some(33)));
        }
        assert!(exactly(body, &["recipient", "messaging_type", "message"]), "{body}");
        let person = body["recipient"]["id"].as_str().unwrap();
        if !person.starts_with("42") {
            return Err((100, Some(2_018_001)));
        }
        match body["messaging_type"].as_str().unwrap() {
            "UTILITY" => {
                let template = &body["message"]["template"];
                let parameters = template["components"][0]["parameters"].as_array();
                if template["name"] != "order" || parameters.is_none_or(|list| list.len() != 1) {
                    return Err((100, None));
                }
            }
            "UPDATE" | "RESPONSE" => {
                let wrote = rules.wrote.get(person);
                if wrote.is_none_or(|at| now - *at >= TimeDelta::hours(24)) {
                    return Err((10, Some(2_018_278)));
                }
                if !is_content(&body["message"]) {
                    return Err((100, None));
                }
            }
            _ => return Err((100, None)),
        }
        rules.taken.push(body.clone());
        Ok(json!({ "recipient_id": person, "message_id": format!("m_{id}") }))
    }
}

async fn answer(
    State(page): State<Page>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let known = headers["authorization"] == "Bearer a-token";
    let told = if known { page.send(&path, &body) } else { Err((190, None)) };
    match told {
        Ok(taken) => Json(taken).into_response(),
        Err((code, subcode)) => {
            page.rules.lock().unwrap().refused.push((code, subcode));
            let error = json!({ "error": { "message": "(#0) as documented", "code": code,
                "type": "OAuthException", "error_subcode": subcode, "fbtrace_id": "A1" }});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    }
}

/// A workspace with people of these countries, each with consent or without, and the page.
pub(crate) struct Scene {
    pub(crate) page: Page,
    pub(crate) ctx: Ctx,
    pub(crate) ids: Vec<RecipientId>,
    _dir: tempfile::TempDir,
}

/// The page-scoped id of the person with this index.
pub(crate) fn psid(index: usize) -> String {
    format!("42{index:010}")
}

impl Scene {
    pub(crate) async fn new(store: Store, people: &[(&str, bool)]) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        for (file, text) in [("token", "a-token"), ("app", SECRET), ("verify", "a-word")] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let clock = Clock::starting_at(noon());
        let page = Page { clock: clock.clone(), rules: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes =
            Router::new().route("/v25.0/{of}/messages", post(answer)).with_state(page.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let at = |file: &str| dir.path().join(file).display().to_string();
        let text = format!(
            "[provider.page]\nkind = \"messenger\"\nbase_url = \"http://127.0.0.1:{port}/v25.0\"\n\
             page_id = \"{PAGE}\"\ntoken = {{ file = \"{}\" }}\napp_secret = {{ file = \"{}\" }}\n\
             verify_token = {{ file = \"{}\" }}\nad_account = \"77\"\nmessage_campaign = \"88\"\n",
            at("token"),
            at("app"),
            at("verify"),
        );
        let config = Config::parse(&text, Path::new("opportune.toml")).unwrap();
        let ctx = support::ctx(store, config, clock);
        let mut rows = "recipient,address,country,opted_in_at,address_messenger\n".to_owned();
        for (index, (country, consented)) in people.iter().enumerate() {
            let agreed = if *consented { "2027-01-01T00:00:00Z" } else { "" };
            rows.push_str(&format!("r{index},,{country},{agreed},{}\n", psid(index)));
        }
        let file = dir.path().join("recipients.csv");
        std::fs::write(&file, rows).unwrap();
        let input = opportune::files::open(&file).unwrap();
        let strict = opportune::work::import::Strictness::Strict;
        opportune::work::import::recipients(&ctx, input, strict, |_| ()).await.unwrap();
        let mut ids = Vec::new();
        let mut reader = ctx.store.read().await.unwrap();
        for index in 0..people.len() {
            let key = format!("r{index}").parse().unwrap();
            ids.push(reader.recipient(&key).await.unwrap().unwrap().id);
        }
        drop(reader);
        Self { page, ctx, ids, _dir: dir }
    }

    /// Submits a campaign whose messages to everybody are due now.
    pub(crate) async fn due(&self, campaign: &str, head: &str, variant: &str) -> i64 {
        let now = self.ctx.clock.now();
        campaigns::submit(&self.ctx, &self.source(campaign, head, variant), "test").await.unwrap();
        let row =
            self.ctx.store.read().await.unwrap().campaign(&name(campaign)).await.unwrap().unwrap();
        let planned = |id: &RecipientId| support::planned(*id, "words", now, LENGTH);
        let deliveries: Vec<_> = self.ids.iter().map(planned).collect();
        let mut tx = self.ctx.store.begin().await.unwrap();
        tx.put_decisions(row.id, &deliveries, LENGTH, now).await.unwrap();
        tx.set_campaign_plan(row.id, now, None, "{}", &[]).await.unwrap();
        tx.commit().await.unwrap();
        row.id
    }

    pub(crate) fn source(&self, campaign: &str, head: &str, variant: &str) -> String {
        let now = self.ctx.clock.now();
        let wall = |at: Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        format!(
            "name = \"{campaign}\"\nprovider = \"page\"\n{head}\n[window]\nstart = {}\nend = {}\n\
             time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n[[variant]]\nname = \"words\"\n\
             media = \"text\"\n{variant}\n",
            wall(now - TimeDelta::days(1)),
            wall(now + TimeDelta::days(6)),
        )
    }

    pub(crate) async fn send(&self) {
        let (_keep, stop) = watch::channel(false);
        while dispatch::run(&self.ctx, &stop).await.unwrap().more {}
    }

    pub(crate) async fn state(&self, campaign: i64, index: usize) -> (DeliveryState, Reason) {
        let mut reader = self.ctx.store.read().await.unwrap();
        let row = reader.delivery(campaign, self.ids[index], LENGTH).await.unwrap().unwrap();
        (row.delivery.state, row.delivery.reason)
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.ctx.clock.advance_to(self.ctx.clock.now() + by);
    }

    /// Posts items to the webhook, signed, past the listener.
    pub(crate) async fn post(&self, items: Value) -> receive::Received {
        let entry = json!({ "id": PAGE, "time": 1, "messaging": items });
        let body = json!({ "object": "page", "entry": [entry] }).to_string();
        let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
        let provider = &self.ctx.providers[&name("page")];
        let told = provider.receive(Some(&signed), body.as_bytes()).unwrap();
        receive::take(&self.ctx, &name("page"), told).await.unwrap()
    }

    fn item(&self, index: usize, what: &str, of: Value) -> Value {
        json!({ "sender": { "id": psid(index) }, "recipient": { "id": PAGE },
                "timestamp": self.ctx.clock.now().timestamp_millis(), what: of })
    }

    /// The person writes: the page and we learn of it.
    pub(crate) async fn writes(&self, index: usize, text: &str) {
        let now = self.ctx.clock.now();
        self.page.rules.lock().unwrap().wrote.insert(psid(index), now);
        let mid = format!("m_in_{index}_{}", now.timestamp());
        self.post(json!([self.item(index, "message", json!({ "mid": mid, "text": text }))])).await;
    }

    /// The person subscribes to a subject for a time.
    pub(crate) async fn subscribes(&self, index: usize, topic: &str, lasts: TimeDelta) {
        let (token, until) = (format!("token-{index}"), self.ctx.clock.now() + lasts);
        self.page.rules.lock().unwrap().subscriptions.insert(token.clone(), (until, None));
        let optin = json!({
            "type": "notification_messages", "topic": topic, "payload": "from the menu",
            "notification_messages_token": token, "notification_messages_timezone": "UTC",
            "token_expiry_timestamp": until.timestamp_millis(), "user_token_status": "NOT_REFRESHED",
        });
        self.post(json!([self.item(index, "optin", optin)])).await;
    }

    pub(crate) async fn stops(&self, index: usize, topic: &str) {
        let optin = json!({
            "type": "notification_messages", "topic": topic,
            "notification_messages_token": format!("token-{index}"),
            "notification_messages_status": "STOP_NOTIFICATIONS",
        });
        self.page.rules.lock().unwrap().subscriptions.remove(&format!("token-{index}"));
        self.post(json!([self.item(index, "optin", optin)])).await;
    }

    pub(crate) fn taken(&self) -> usize {
        self.page.rules.lock().unwrap().taken.len()
    }

    pub(crate) fn refused(&self) -> Vec<(i64, Option<i64>)> {
        self.page.rules.lock().unwrap().refused.clone()
    }
}
