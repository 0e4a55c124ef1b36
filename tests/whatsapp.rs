//! The WhatsApp channel against a stand-in for the Graph API that speaks as the vendor documents
//! it: what goes out, what each answer means, what comes back.

#[path = "support/graph.rs"]
mod graph;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{TimeDelta, TimeZone, Utc};
use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::{Config, SecretValue};
use opportune::model::consent::{ConsentChange, ConsentEntry};
use opportune::model::delivery::{Arm, Choice, Delivery, Reason, State};
use opportune::model::ids::{Name, RecipientId};
use opportune::model::slot::{Slot, SlotLength};
use opportune::model::time::Instant;
use opportune::provider::{self, Rejected, signature};
use opportune::store::{CampaignStatus, Create, Stage, Store};
use opportune::work::{Ctx, campaigns, dispatch, new_node, plan, receive, tend};
use serde_json::{Value, json};
use support::{Postgres, on_both};
use tokio::sync::watch;

use graph::{Answer, Graph};

const LENGTH: SlotLength = SlotLength::HOUR;
const SECRET: &str = "an app's secret";

fn noon() -> Instant {
    Utc.with_ymd_and_hms(2027, 3, 2, 12, 0, 0).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Secrets lie in files beside the test's database.
fn config(graph: &Graph, dir: &Path, more: &str) -> Config {
    for (file, text) in [("token", "a-token"), ("app", SECRET), ("verify", "a-word")] {
        std::fs::write(dir.join(file), text).unwrap();
    }
    let at = |file: &str| dir.join(file).display().to_string();
    let text = format!(
        "[outbound]\nallow_hosts = [\"127.0.0.1\"]\nallow_private = true\n\
         [provider.wa]\nkind = \"whatsapp\"\nbase_url = \"http://127.0.0.1:{}/v25.0\"\n\
         phone_number_id = \"106540352242922\"\ntoken = {{ file = \"{}\" }}\n\
         app_secret = {{ file = \"{}\" }}\nverify_token = {{ file = \"{}\" }}\n{more}",
        graph.port,
        at("token"),
        at("app"),
        at("verify"),
    );
    Config::parse(&text, Path::new("opportune.toml")).unwrap()
}

fn ctx(store: Store, config: Config, clock: Clock) -> Ctx {
    let providers = provider::from_config(&config.providers, &config.outbound).unwrap();
    Ctx {
        store,
        clock,
        rules: Arc::new(Rules::built_in()),
        providers: Arc::new(providers),
        config: Arc::new(config),
        node: new_node(),
        judge: None,
    }
}

/// People `r1`… with Brazilian numbers and consent.
async fn people(store: &Store, count: i64) -> Vec<RecipientId> {
    let mut tx = store.begin().await.unwrap();
    let rows: Vec<_> = (1..=count)
        .map(|n| {
            let profile = opportune::model::recipient::Profile {
                address: Some(format!("+5511{n:09}").parse().unwrap()),
                ..Default::default()
            };
            (format!("r{n}").parse().unwrap(), profile)
        })
        .collect();
    let ids: Vec<_> =
        tx.put_recipients(&rows).await.unwrap().into_iter().map(|(id, _)| id).collect();
    let granted = ConsentEntry {
        change: ConsentChange::Granted,
        at: noon() - TimeDelta::days(30),
        source: "form".to_owned(),
        evidence: String::new(),
        recorded_at: noon() - TimeDelta::days(30),
    };
    let entries: Vec<_> = ids.iter().map(|id| (*id, granted.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    tx.commit().await.unwrap();
    ids
}

const VARIANT: &str = "[[variant]]\nname = \"words\"\nmedia = \"text\"\ntemplate = \"promo\"\n\
                       language = \"pt_BR\"\nparameters = [\"{{name}}\"]\ntext = \"Oi {{name}}\"\n\
                       defaults = { name = \"Ana\" }\n";

/// Nobody in these tests has told their language.
const FALLBACK: &str = "fallback_language = \"pt_BR\"\n";

/// Submits a campaign whose messages to `ids` are due, with its first variant.
async fn due(ctx: &Ctx, campaign: &str, head: &str, variants: &str, ids: &[RecipientId]) -> i64 {
    let now = ctx.clock.now();
    let wall = |at: Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let source = format!(
        "name = \"{campaign}\"\nprovider = \"wa\"\n{head}[window]\nstart = {}\nend = {}\n\
         time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n{variants}",
        wall(now - TimeDelta::days(1)),
        wall(now + TimeDelta::days(6)),
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    let row = ctx.store.campaign(&name(campaign)).await.unwrap().unwrap();
    let delivery = |id: &RecipientId| Delivery {
        recipient: *id,
        state: State::Planned,
        reason: Reason::BestSlot,
        arm: Some(Arm::Personalized),
        choice: Some(Choice {
            variant: row.campaign.variants[0].name.clone(),
            variant_index: 0,
            slot: Slot::holding(now, LENGTH),
            send_at: now,
            value: 0.5,
            chance: 0.5,
            runner_up: None,
            propensity: None,
        }),
    };
    let deliveries: Vec<_> = ids.iter().map(delivery).collect();
    let mut tx = ctx.store.begin().await.unwrap();
    tx.put_decisions(row.id, &deliveries, LENGTH, now).await.unwrap();
    tx.set_campaign_plan(row.id, now, None, "{}", &[]).await.unwrap();
    tx.commit().await.unwrap();
    row.id
}

async fn send(ctx: &Ctx) {
    let (_keep, stop) = watch::channel(false);
    while dispatch::run(ctx, &stop).await.unwrap().more {}
}

async fn states(ctx: &Ctx, campaign: i64) -> BTreeMap<(State, Reason), u64> {
    let counts = ctx.store.state_counts(campaign).await.unwrap();
    counts.into_iter().map(|c| ((c.state, c.reason), c.people)).collect()
}

async fn state_of(ctx: &Ctx, campaign: i64, id: RecipientId) -> (State, Reason) {
    let found = ctx.store.delivery(campaign, id, LENGTH).await.unwrap().unwrap().delivery;
    (found.state, found.reason)
}

/// Posts to the provider's webhook, past the listener.
async fn webhook(ctx: &Ctx, body: &Value) -> receive::Received {
    let body = body.to_string();
    let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
    let told = ctx.providers[&name("wa")].receive(Some(&signed), body.as_bytes()).unwrap();
    receive::take(ctx, &name("wa"), told).await.unwrap()
}

fn change(field: &str, value: Value) -> Value {
    json!({ "object": "whatsapp_business_account",
            "entry": [{ "id": "102290129340398", "time": noon().timestamp(),
                        "changes": [{ "field": field, "value": value }] }] })
}

fn messages(key: &str, items: Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550783881", "phone_number_id": "106540352242922" },
    });
    value[key] = items;
    change("messages", value)
}

fn status(callback: &str, status: &str, at: Instant) -> Value {
    json!({ "id": "wamid.x", "status": status, "timestamp": at.timestamp().to_string(),
            "recipient_id": "5511000000001", "biz_opaque_callback_data": callback,
            "pricing": { "billable": true, "pricing_model": "PMP", "type": "regular",
                         "category": "marketing" } })
}

fn failed(callback: &str, code: i64, at: Instant) -> Value {
    let mut failed = status(callback, "failed", at);
    failed["errors"] = json!([{ "code": code, "title": "t", "message": "m",
                                "error_data": { "details": "d" }, "href": "h" }]);
    failed
}

/// A store with `count` people who are due in campaign `c`, and the server they are sent through.
struct Scene {
    graph: Graph,
    ctx: Ctx,
    ids: Vec<RecipientId>,
    campaign: i64,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(store: Store, count: i64, more: &str) -> Self {
        Self::with(store, count, more, "", VARIANT).await
    }

    async fn with(store: Store, count: i64, more: &str, head: &str, variants: &str) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let graph = Graph::start().await;
        let config = config(&graph, dir.path(), more);
        let ctx = ctx(store, config, Clock::starting_at(noon()));
        let ids = people(&ctx.store, count).await;
        let variants = variants.replace("PORT", &graph.port.to_string());
        let campaign = due(&ctx, "c", head, &variants, &ids).await;
        Self { graph, ctx, ids, campaign, _dir: dir }
    }

    fn advance(&self, by: TimeDelta) {
        self.ctx.clock.advance_to(self.ctx.clock.now() + by);
    }
}

async fn sqlite() -> (tempfile::TempDir, Store) {
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    (dir, Store::open(&url, Create::IfMissing).await.unwrap())
}

#[tokio::test]
async fn a_template_goes_out_as_the_vendor_documents_it() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "").await;
    send(&scene.ctx).await;
    let calls = scene.graph.calls();
    assert_eq!(calls[0].path, "/v25.0/106540352242922/messages");
    assert_eq!(calls[0].token, "Bearer a-token");
    let key = format!("c:{}#1", scene.ids[0]);
    assert_eq!(
        calls[0].body,
        json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "+5511000000001",
            "type": "template",
            "biz_opaque_callback_data": key,
            "template": {
                "name": "promo",
                "language": { "code": "pt_BR" },
                "components": [
                    { "type": "body", "parameters": [{ "type": "text", "text": "Ana" }] }
                ],
            },
        })
    );
    assert_eq!(states(&scene.ctx, scene.campaign).await[&(State::Sent, Reason::BestSlot)], 1);
}

#[tokio::test]
async fn pictures_and_films_are_handed_over_once_and_sent_by_their_ids() {
    let (_dir, store) = sqlite().await;
    let film = "[[variant]]\nname = \"film\"\nmedia = \"video\"\ntemplate = \"clip\"\n\
                language = \"pt_BR\"\nmedia_url = \"http://127.0.0.1:PORT/files/clip.mp4\"\n";
    let scene = Scene::with(store, 3, "", "", film).await;
    send(&scene.ctx).await;
    scene.advance(TimeDelta::days(20));
    due(&scene.ctx, "d", "", &film.replace("PORT", &scene.graph.port.to_string()), &scene.ids)
        .await;
    send(&scene.ctx).await;
    let uploads = scene.graph.uploads();
    assert_eq!(uploads.len(), 1);
    let form = String::from_utf8(uploads[0].clone()).unwrap();
    assert!(form.contains("name=\"messaging_product\"\r\n\r\nwhatsapp\r\n"), "{form}");
    assert!(form.contains("filename=\"clip.mp4\"\r\nContent-Type: video/mp4\r\n\r\na film\r\n"));
    let header = json!([{ "type": "header", "parameters":
        [{ "type": "video", "video": { "id": "media-1" } }] }]);
    let calls = scene.graph.calls();
    assert_eq!(calls.len(), 6);
    assert!(calls.iter().all(|call| call.body["template"]["components"] == header));
    // a provider keeps files for thirty days: an older one is handed over again
    scene.advance(TimeDelta::days(6));
    due(&scene.ctx, "e", "", &film.replace("PORT", &scene.graph.port.to_string()), &scene.ids)
        .await;
    send(&scene.ctx).await;
    assert_eq!(scene.graph.uploads().len(), 2);
}

#[tokio::test]
async fn media_of_hosts_that_are_not_allowed_go_by_their_address() {
    let (_dir, store) = sqlite().await;
    let paper = "[[variant]]\nname = \"paper\"\nmedia = \"document\"\ntemplate = \"paper\"\n\
                 media_url = \"https://example.com/a/menu.pdf\"\n";
    let scene = Scene::with(store, 1, "", "fallback_language = \"pt_BR\"\n", paper).await;
    send(&scene.ctx).await;
    let template = &scene.graph.calls()[0].body["template"];
    assert_eq!(template["language"]["code"], "pt_BR");
    assert_eq!(
        template["components"][0]["parameters"][0],
        json!({ "type": "document", "document":
            { "link": "https://example.com/a/menu.pdf", "filename": "menu.pdf" } })
    );
    assert!(scene.graph.uploads().is_empty());
}

#[tokio::test]
async fn marketing_goes_through_the_api_of_the_settings_and_utility_does_not() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "api = \"marketing_strict\"\n").await;
    due(&scene.ctx, "u", "category = \"utility\"\n", VARIANT, &scene.ids).await;
    send(&scene.ctx).await;
    let calls = scene.graph.calls();
    let of = |campaign: &str| calls.iter().find(|c| c.callback().starts_with(campaign)).unwrap();
    assert_eq!(of("c:").path, "/v25.0/106540352242922/marketing_messages");
    assert_eq!(of("c:").body["product_policy"], "STRICT");
    assert_eq!(of("u:").path, "/v25.0/106540352242922/messages");
    assert!(of("u:").body.get("product_policy").is_none());
}

#[tokio::test]
async fn each_answer_leads_to_its_state() {
    on_both(async |store| {
        let scene = Scene::new(store, 9, "canary = 0\n").await;
        let codes = [131_026, 131_050, 130_472, 131_049, 131_056, 999_999];
        scene.graph.answer(move |body| {
            let last = body["to"].as_str().unwrap()[13..].parse::<usize>().unwrap();
            match last {
                1..=6 => Answer::Code(codes[last - 1]),
                7 => Answer::Hold,
                8 => Answer::Garbled,
                _ => Answer::Accept,
            }
        });
        send(&scene.ctx).await;
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await;
        let refused = (State::Refused, Reason::RecipientRefused);
        let again = (State::Planned, Reason::MovedThrottled);
        assert_eq!([of(1).await, of(2).await, of(3).await], [refused; 3]);
        assert_eq!([of(4).await, of(5).await], [again; 2]);
        assert_eq!(of(6).await, (State::Failed, Reason::ProviderFailure));
        assert_eq!(of(7).await, (State::Held, Reason::HeldByProvider));
        assert_eq!(of(8).await, (State::InDoubt, Reason::AnswerLost));
        assert_eq!(of(9).await, (State::Sent, Reason::BestSlot));
        // who is not on WhatsApp or wants no marketing is written to by nobody; the one in an
        // experiment keeps their consent
        let store = &scene.ctx.store;
        for (n, consented) in [(1, false), (2, false), (3, true), (4, true)] {
            let person = store.recipient(&format!("r{n}").parse().unwrap()).await.unwrap();
            assert_eq!(person.unwrap().consented, consented, "r{n}");
        }
        assert_eq!(store.ledger(scene.ids[1]).await.unwrap()[1].source, "wa 131050");
        // another day is a new decision; a pair is tried again after 4^0 seconds
        let row = |n: usize| store.delivery(scene.campaign, scene.ids[n - 1], LENGTH);
        let day = row(4).await.unwrap().unwrap();
        assert!(day.delivery.choice.is_none());
        assert!(day.not_before.unwrap() - noon() >= TimeDelta::hours(24));
        let pair = row(5).await.unwrap().unwrap();
        let at =
            |row: &opportune::store::DeliveryRow| row.delivery.choice.as_ref().unwrap().send_at;
        assert_eq!(at(&pair), noon() + TimeDelta::seconds(1));
        // then after 4, 16 and 64, and then never
        for wait in [4, 16, 64] {
            scene.ctx.clock.advance_to(at(&row(5).await.unwrap().unwrap()));
            let now = scene.ctx.clock.now();
            send(&scene.ctx).await;
            assert_eq!(at(&row(5).await.unwrap().unwrap()) - now, TimeDelta::seconds(wait));
        }
        scene.ctx.clock.advance_to(at(&row(5).await.unwrap().unwrap()));
        send(&scene.ctx).await;
        assert_eq!(of(5).await, (State::Failed, Reason::AttemptsExhausted));
        assert_eq!(scene.graph.by_person()["+5511000000005"], 5);
    })
    .await;
}

#[tokio::test]
async fn throttling_of_the_number_makes_everybody_wait_and_costs_no_try() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 3, "canary = 0\n").await;
    scene.graph.answer(|_| Answer::Code(130_429));
    for _ in 0..10 {
        send(&scene.ctx).await;
        scene.advance(TimeDelta::seconds(3));
    }
    scene.graph.answer(|_| Answer::Accept);
    send(&scene.ctx).await;
    assert_eq!(states(&scene.ctx, scene.campaign).await.values().sum::<u64>(), 3);
    for id in &scene.ids {
        let row = scene.ctx.store.delivery(scene.campaign, *id, LENGTH).await.unwrap().unwrap();
        assert_eq!((row.delivery.state, row.attempts), (State::Sent, 1));
    }
}

#[tokio::test]
async fn a_stopped_template_parks_its_variant_and_another_takes_its_place() {
    let (_dir, store) = sqlite().await;
    let other = format!("{VARIANT}{}", VARIANT.replace("words", "more").replace("promo", "second"));
    let scene = Scene::with(store, 5, "canary = 0\n", FALLBACK, &other).await;
    scene.graph.answer(|body| match body["template"]["name"].as_str() {
        Some("promo") => Answer::Code(132_015),
        _ => Answer::Accept,
    });
    send(&scene.ctx).await;
    let templates = scene.ctx.store.templates(&name("wa")).await.unwrap();
    let parked: Vec<_> =
        templates.iter().filter(|t| t.stage == Stage::Parked).map(|t| &t.template).collect();
    assert_eq!(parked, ["promo"]);
    assert_eq!(
        states(&scene.ctx, scene.campaign).await[&(State::Planned, Reason::MovedThrottled)],
        5
    );
    assert!(scene.ctx.store.alerts().await.unwrap()[0].what.contains("132015"));
    plan::run(&scene.ctx).await.unwrap();
    let rows = scene.ctx.store.deliveries(scene.campaign, LENGTH).await.unwrap();
    let choices: Vec<_> = rows.iter().filter_map(|row| row.delivery.choice.as_ref()).collect();
    assert_eq!(choices.len(), 5, "{:?}", states(&scene.ctx, scene.campaign).await);
    assert!(choices.iter().all(|choice| choice.variant.as_str() == "more"));
    // with none left, the plan says why
    webhook(
        &scene.ctx,
        &change(
            "message_template_status_update",
            json!({
        "event": "PAUSED", "message_template_id": 1, "message_template_name": "second",
        "message_template_language": "pt_BR", "reason": "NONE" }),
        ),
    )
    .await;
    plan::run(&scene.ctx).await.unwrap();
    assert_eq!(
        states(&scene.ctx, scene.campaign).await[&(State::Refused, Reason::TemplateRefused)],
        5
    );
}

#[tokio::test]
async fn a_stopped_account_pauses_its_campaigns_and_calls_for_a_human() {
    for (code, word) in [(131_048, "spam"), (190, "token"), (131_042, "payment")] {
        let (_dir, store) = sqlite().await;
        let scene = Scene::new(store, 3, "canary = 0\n").await;
        scene.graph.answer(move |_| Answer::Code(code));
        send(&scene.ctx).await;
        let row = scene.ctx.store.campaign(&name("c")).await.unwrap().unwrap();
        assert_eq!(row.status, CampaignStatus::Paused);
        let alerts = scene.ctx.store.alerts().await.unwrap();
        assert_eq!(alerts[0].code, code.to_string());
        assert!(alerts[0].what.contains(word), "{alerts:?}");
        let audit = scene.ctx.store.audit(10).await.unwrap();
        assert_eq!((audit[0].actor.as_str(), audit[0].action.as_str()), ("provider wa", "pause"));
        // nobody lost their place
        assert_eq!(
            states(&scene.ctx, scene.campaign).await[&(State::Planned, Reason::BestSlot)],
            3
        );
    }
}

#[tokio::test]
async fn a_new_template_sends_a_few_first_and_waits_for_what_is_held() {
    on_both(async |store| {
        let scene = Scene::new(store, 12, "canary = 4\ncanary_wait = \"30s\"\n").await;
        scene.graph.answer(|_| Answer::Hold);
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 4);
        // the wait is over, but they are held
        scene.advance(TimeDelta::seconds(40));
        tend::run(&scene.ctx).await.unwrap();
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 4);
        let items: Vec<Value> = scene
            .graph
            .calls()
            .iter()
            .map(|call| status(call.callback(), "sent", scene.ctx.clock.now()))
            .collect();
        webhook(&scene.ctx, &messages("statuses", items.into())).await;
        assert_eq!(states(&scene.ctx, scene.campaign).await[&(State::Sent, Reason::Confirmed)], 4);
        scene.graph.answer(|_| Answer::Accept);
        tend::run(&scene.ctx).await.unwrap();
        scene.advance(TimeDelta::seconds(30));
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 12);
        assert!(scene.graph.by_person().values().all(|times| *times == 1));
    })
    .await;
}

#[tokio::test]
async fn held_messages_that_fail_park_the_template_and_are_decided_anew() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 4, "").await;
    scene.graph.answer(|_| Answer::Hold);
    send(&scene.ctx).await;
    let items: Vec<Value> = scene
        .graph
        .calls()
        .iter()
        .map(|call| failed(call.callback(), 132_015, scene.ctx.clock.now()))
        .collect();
    webhook(&scene.ctx, &messages("statuses", items.into())).await;
    let counts = states(&scene.ctx, scene.campaign).await;
    assert_eq!(counts[&(State::Planned, Reason::MovedThrottled)], 4);
    assert_eq!(scene.ctx.store.templates(&name("wa")).await.unwrap()[0].stage, Stage::Parked);
    plan::run(&scene.ctx).await.unwrap();
    let counts = states(&scene.ctx, scene.campaign).await;
    assert_eq!(counts[&(State::Refused, Reason::TemplateRefused)], 4);
}

#[tokio::test]
async fn statuses_come_twice_late_early_and_out_of_order() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "").await;
        let now = noon();
        let callback = |n: usize| format!("c:{}#1", scene.ids[n - 1]);
        send(&scene.ctx).await;
        scene.advance(TimeDelta::hours(1));
        let read = status(&callback(1), "read", now + TimeDelta::minutes(9));
        let delivered = status(&callback(1), "delivered", now + TimeDelta::minutes(2));
        let unknown = status("other:77#1", "read", now);
        let foreign = json!({ "id": "wamid.of-another", "status": "read",
                              "timestamp": now.timestamp().to_string(), "recipient_id": "1" });
        let odd = json!({ "id": 7, "status": {} });
        let body = messages("statuses", json!([read, read, odd, unknown, foreign, delivered]));
        let first = webhook(&scene.ctx, &body).await;
        assert_eq!((first.applied, first.known, first.unknown), (2, 1, 2));
        let again = webhook(&scene.ctx, &body).await;
        assert_eq!((again.applied, again.known, again.unknown), (0, 3, 2));
        let rows = scene.ctx.store.messages_of(scene.ids[0]).await.unwrap();
        let response = &rows[0].message.response;
        assert_eq!(response.delivered_at, Some(now + TimeDelta::minutes(2)));
        assert_eq!(response.read_at, Some(now + TimeDelta::minutes(9)));
    })
    .await;
}

#[tokio::test]
async fn a_status_that_overtakes_the_settlement_is_kept_for_it() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "").await;
        // claimed, and its call under way
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let claim = opportune::store::Claim {
            lease: "other".to_owned(),
            until: noon() + TimeDelta::minutes(5),
        };
        tx.claim(scene.campaign, &claim, noon(), 9, LENGTH).await.unwrap();
        tx.commit().await.unwrap();
        let callback = format!("c:{}#1", scene.ids[0]);
        webhook(&scene.ctx, &messages("statuses", json!([failed(&callback, 131_049, noon())])))
            .await;
        receive::collect(&scene.ctx).await.unwrap();
        assert_eq!(state_of(&scene.ctx, scene.campaign, scene.ids[0]).await.0, State::Claimed);
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let settled = opportune::store::Settled {
            state: State::Sent,
            reason: None,
            again_at: None,
            not_before: None,
            attempt: opportune::store::Attempt::Made,
        };
        tx.settle(scene.campaign, &claim, settled, &scene.ids, noon()).await.unwrap();
        tx.commit().await.unwrap();
        receive::collect(&scene.ctx).await.unwrap();
        // taken, then given up by the channel for a day: it goes again on another
        let row = scene.ctx.store.delivery(scene.campaign, scene.ids[0], LENGTH).await.unwrap();
        let row = row.unwrap();
        assert_eq!(row.delivery.state, State::Planned);
        assert!(row.not_before.unwrap() >= noon() + TimeDelta::hours(24));
        assert!(!scene.ctx.store.any_early().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_the_callback_data_and_never_sent_again() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "").await;
        scene.graph.answer(|_| Answer::Garbled);
        send(&scene.ctx).await;
        assert_eq!(
            states(&scene.ctx, scene.campaign).await[&(State::InDoubt, Reason::AnswerLost)],
            3
        );
        let callback = |n: usize, attempt: u32| format!("c:{}#{attempt}", scene.ids[n - 1]);
        let now = scene.ctx.clock.now();
        let body = json!([
            status(&callback(1, 1), "delivered", now),
            failed(&callback(2, 1), 131_049, now),
            // a word about another try says nothing of this one
            failed(&callback(3, 7), 131_049, now),
        ]);
        webhook(&scene.ctx, &messages("statuses", body)).await;
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await;
        assert_eq!(of(1).await, (State::Sent, Reason::Confirmed));
        assert_eq!(of(2).await, (State::Planned, Reason::MovedThrottled));
        assert_eq!(of(3).await, (State::InDoubt, Reason::AnswerLost));
        scene.advance(TimeDelta::minutes(11));
        tend::run(&scene.ctx).await.unwrap();
        assert_eq!(of(3).await, (State::InDoubtExpired, Reason::NeverConfirmed));
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_utility_message_in_doubt_goes_again_only_where_the_settings_say_so() {
    for (setting, calls) in [("give_up", 1), ("send_again", 2)] {
        let (_dir, store) = sqlite().await;
        let more = format!("in_doubt_utility = \"{setting}\"\n");
        let head = format!("category = \"utility\"\n{FALLBACK}");
        let scene = Scene::with(store, 1, &more, &head, VARIANT).await;
        scene.graph.answer(|_| Answer::Garbled);
        send(&scene.ctx).await;
        scene.advance(TimeDelta::minutes(11));
        tend::run(&scene.ctx).await.unwrap();
        plan::run(&scene.ctx).await.unwrap();
        let planned = states(&scene.ctx, scene.campaign).await;
        scene.graph.answer(|_| Answer::Accept);
        for _ in 0..200 {
            scene.advance(TimeDelta::hours(1));
            send(&scene.ctx).await;
        }
        assert_eq!(scene.graph.calls().len(), calls, "{setting}: {planned:?}");
        let callbacks: Vec<_> =
            scene.graph.calls().iter().map(|c| c.callback().to_owned()).collect();
        assert_eq!(callbacks.last().unwrap(), &format!("c:{}#{calls}", scene.ids[0]));
    }
}

/// Inbound items after the vendor's published examples.
fn inbound(kind: &str, context: Option<&str>, at: Instant) -> Value {
    let mut item = match kind {
        "text" => json!({ "type": "text", "text": { "body": "How much is it?" } }),
        "stop" => json!({ "type": "text", "text": { "body": "¡Baja!" } }),
        "button" => {
            json!({ "type": "button", "button": { "payload": "MORE", "text": "Tell me more" } })
        }
        "list" => json!({ "type": "interactive", "interactive": { "type": "list_reply",
            "list_reply": { "id": "7", "title": "Large", "description": "d" } } }),
        "reaction" => {
            json!({ "type": "reaction", "reaction": { "message_id": context, "emoji": "❤" } })
        }
        other => panic!("{other}"),
    };
    item["from"] = "5511000000001".into();
    item["id"] = format!("wamid.in-{kind}").into();
    item["timestamp"] = at.timestamp().to_string().into();
    if let Some(context) = context.filter(|_| kind != "reaction") {
        item["context"] = json!({ "from": "15550783881", "id": context });
    }
    item
}

#[tokio::test]
async fn replies_of_every_kind_are_attributed_by_what_they_answer() {
    for (kind, clicked) in [("text", false), ("button", true), ("list", true), ("reaction", false)]
    {
        let (_dir, store) = sqlite().await;
        let scene = Scene::new(store, 1, "").await;
        send(&scene.ctx).await;
        scene.advance(TimeDelta::minutes(30));
        let at = noon() + TimeDelta::minutes(10);
        let body = messages("messages", json!([inbound(kind, Some("wamid.0"), at)]));
        webhook(&scene.ctx, &body).await;
        webhook(&scene.ctx, &body).await;
        let response =
            scene.ctx.store.messages_of(scene.ids[0]).await.unwrap()[0].message.response.clone();
        assert_eq!(response.replied_at, Some(at), "{kind}");
        assert_eq!(response.clicked_at.is_some(), clicked, "{kind}");
        assert!(scene.ctx.store.activity_of(scene.ids[0]).await.unwrap().is_empty());
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let open = tx.open_windows(&name("wa"), &scene.ids, noon() + TimeDelta::hours(24)).await;
        assert_eq!(open.unwrap().len(), usize::from(kind != "reaction"), "{kind}");
    }
}

#[tokio::test]
async fn stop_words_and_preferences_end_consent_and_only_an_explicit_word_brings_it_back() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "").await;
        let consented = async || {
            let found = scene.ctx.store.recipient(&"r1".parse().unwrap()).await.unwrap();
            found.unwrap().consented
        };
        let wish = |value: &str, at: Instant| {
            change("user_preferences", json!({
                "messaging_product": "whatsapp",
                "user_preferences": [{ "wa_id": "5511000000001", "detail": "d",
                    "category": "marketing_messages", "value": value, "timestamp": at.timestamp() }],
            }))
        };
        scene.advance(TimeDelta::hours(2));
        let at = |minutes: i64| noon() + TimeDelta::minutes(minutes);
        webhook(&scene.ctx, &messages("messages", json!([inbound("stop", None, at(1))]))).await;
        assert!(!consented().await);
        webhook(&scene.ctx, &wish("resume", at(2))).await;
        assert!(consented().await);
        webhook(&scene.ctx, &wish("stop", at(3))).await;
        webhook(&scene.ctx, &wish("stop", at(3))).await;
        assert!(!consented().await);
        assert_eq!(scene.ctx.store.ledger(scene.ids[0]).await.unwrap().len(), 4);
        // nobody is sent to who said so after planning
        send(&scene.ctx).await;
        assert!(scene.graph.calls().is_empty());
        // who withdrew elsewhere is not brought back by a switch in the channel
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let elsewhere = |change, minutes| ConsentEntry {
            change, at: at(minutes), source: "form".to_owned(), evidence: String::new(),
            recorded_at: at(minutes),
        };
        tx.append_consent(&[(scene.ids[0], elsewhere(ConsentChange::Withdrawn, 4))]).await.unwrap();
        tx.commit().await.unwrap();
        webhook(&scene.ctx, &wish("resume", at(5))).await;
        assert!(!consented().await);
    })
    .await;
}

#[tokio::test]
async fn who_wrote_lately_gets_free_form_where_the_campaign_allows_it() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::with(
        store,
        2,
        "[provider.wa.limits]\nunique_per_day = 1\n",
        "free_form = true\n",
        VARIANT,
    )
    .await;
    webhook(&scene.ctx, &messages("messages", json!([inbound("text", None, noon())]))).await;
    // a word that answers nothing is a sign of presence
    assert_eq!(scene.ctx.store.activity_of(scene.ids[0]).await.unwrap().len(), 1);
    send(&scene.ctx).await;
    let calls = scene.graph.calls();
    let of = |to: &str| calls.iter().find(|call| call.to() == to).unwrap();
    let free = of("+5511000000001");
    assert_eq!(
        (free.body["type"].as_str(), free.body["text"]["body"].as_str()),
        (Some("text"), Some("Oi Ana"))
    );
    // and costs nothing of the day's people: the other still has room
    assert_eq!(of("+5511000000002").body["type"], "template");
}

#[tokio::test]
async fn a_window_that_was_closed_after_all_leads_to_the_template() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::with(store, 1, "", "free_form = true\n", VARIANT).await;
    webhook(&scene.ctx, &messages("messages", json!([inbound("text", None, noon())]))).await;
    scene.graph.answer(|body| match body["type"].as_str() {
        Some("text") => Answer::Code(131_047),
        _ => Answer::Accept,
    });
    send(&scene.ctx).await;
    send(&scene.ctx).await;
    let kinds: Vec<_> = scene.graph.calls().iter().map(|c| c.body["type"].clone()).collect();
    assert_eq!(kinds, ["text", "template"]);
}

#[tokio::test]
async fn a_told_limit_lowers_that_of_the_settings() {
    let (_dir, store) = sqlite().await;
    let scene =
        Scene::new(store, 5, "canary = 0\n[provider.wa.limits]\nunique_per_day = 4\n").await;
    webhook(
        &scene.ctx,
        &change(
            "business_capability_update",
            json!({ "max_daily_conversation_per_phone": 2, "max_phone_numbers_per_business": 2 }),
        ),
    )
    .await;
    send(&scene.ctx).await;
    assert_eq!(scene.graph.calls().len(), 2);
    webhook(
        &scene.ctx,
        &change(
            "phone_number_quality_update",
            json!({ "event": "ONBOARDING", "max_daily_conversations_per_business": "TIER_2K" }),
        ),
    )
    .await;
    // a day later there is room again, for those who got a new decision
    let waiting = scene.ctx.store.undecided_count(scene.campaign).await.unwrap();
    assert_eq!(waiting, 3);
}

#[tokio::test]
async fn nobody_in_the_united_states_gets_marketing() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "").await;
    let profile = opportune::model::recipient::Profile {
        address: Some("+12125550123".parse().unwrap()),
        ..Default::default()
    };
    let mut tx = scene.ctx.store.begin().await.unwrap();
    tx.put_recipients(&[("r1".parse().unwrap(), profile)]).await.unwrap();
    tx.commit().await.unwrap();
    send(&scene.ctx).await;
    assert_eq!(
        states(&scene.ctx, scene.campaign).await[&(State::Refused, Reason::ProviderForbids)],
        1
    );
    assert!(scene.graph.calls().is_empty());
}

#[tokio::test]
async fn a_webhook_proves_itself_or_is_turned_away() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "").await;
    let provider = &scene.ctx.providers[&name("wa")];
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    let good = signature(&SecretValue::new(SECRET), body);
    assert_eq!(provider.receive(Some(&good), body), Ok(Vec::new()));
    for bad in [None, Some(""), Some("sha256="), Some(&good[..70]), Some(&good.replace('a', "b"))] {
        assert_eq!(provider.receive(bad, body), Err(Rejected::Signature), "{bad:?}");
    }
    let many: Vec<Value> = (0..1001).map(|n| status(&format!("c:{n}#1"), "read", noon())).collect();
    let body = messages("statuses", many.into()).to_string();
    let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
    let rejected = provider.receive(Some(&signed), body.as_bytes());
    assert!(matches!(rejected, Err(Rejected::Body(ref text)) if text.contains("1001")));
    let query = |token: &'static str| {
        move |key: &str| match key {
            "hub.mode" => Some("subscribe".to_owned()),
            "hub.verify_token" => Some(token.to_owned()),
            "hub.challenge" => Some("1158201444".to_owned()),
            _ => None,
        }
    };
    assert_eq!(provider.verify(&query("a-word")), Some("1158201444".to_owned()));
    assert_eq!(provider.verify(&query("another")), None);
}

#[tokio::test]
async fn four_daemons_together_never_exceed_a_limit() {
    const RATE: u32 = 40;
    let url = Postgres::shared().database();
    let store = Store::open(&url, Create::IfMissing).await.unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let graph = Graph::start().await;
    let more =
        format!("canary = 0\n[provider.wa.limits]\nper_second = {RATE}\nunique_per_day = 150\n");
    let settings = config(&graph, dir.path(), &more);
    let first = ctx(store, settings.clone(), Clock::system());
    let ids = people(&first.store, 400).await;
    let campaign = due(&first, "c", "", VARIANT, &ids).await;
    let (stopper, stop) = watch::channel(false);
    let mut daemons = Vec::new();
    for _ in 0..4 {
        let store = Store::open(&url, Create::No).await.unwrap();
        let daemon = ctx(store, settings.clone(), Clock::system());
        let stop = stop.clone();
        daemons.push(tokio::spawn(async move {
            while !*stop.borrow() {
                dispatch::run(&daemon, &stop).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }));
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while graph.calls().len() < 150 && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // long enough for a call too many
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    stopper.send_replace(true);
    for daemon in daemons {
        daemon.await.unwrap();
    }
    let calls = graph.calls();
    assert_eq!(calls.len(), 150, "the day's people");
    assert!(graph.by_person().values().all(|times| *times == 1));
    for (index, call) in calls.iter().enumerate() {
        let within = calls[index..]
            .iter()
            .take_while(|later| later.at - call.at < std::time::Duration::from_millis(980));
        assert!(within.count() <= RATE as usize, "too many within a second");
    }
    let counts = states(&first, campaign).await;
    assert_eq!(counts[&(State::Sent, Reason::BestSlot)], 150);
    assert_eq!(counts.values().sum::<u64>(), 400);
}
