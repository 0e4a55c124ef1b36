//! People who are due in a campaign, the server they are sent through, and what it posts back.

pub(crate) use std::sync::Arc;

pub(crate) use chrono::TimeDelta;
pub(crate) use opportune::clock::Clock;
pub(crate) use opportune::config::SecretValue;
pub(crate) use opportune::model::consent::{ConsentChange, ConsentEntry};
pub(crate) use opportune::model::delivery::{Reason, State};
pub(crate) use opportune::model::ids::{Name, RecipientId};
pub(crate) use opportune::model::time::Instant;
pub(crate) use opportune::provider::{Rejected, signature};
pub(crate) use opportune::store::{CampaignStatus, Create, Stage, Store, TemplateRow};
pub(crate) use opportune::work::{Ctx, campaigns, dispatch, maintenance, plan, receive};
pub(crate) use serde_json::{Value, json};
pub(crate) use tokio::sync::watch;

pub(crate) use crate::graph::{Answer, Graph};
pub(crate) use crate::support::{Postgres, ctx, on_both};

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{TimeZone, Utc};
use opportune::config::Config;
use opportune::model::slot::SlotLength;

pub(crate) const LENGTH: SlotLength = SlotLength::HOUR;
pub(crate) const SECRET: &str = "an app's secret";

pub(crate) fn noon() -> Instant {
    Utc.with_ymd_and_hms(2027, 3, 2, 12, 0, 0).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Secrets lie in files beside the test's database.
pub(crate) fn config(graph: &Graph, dir: &Path, more: &str) -> Config {
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

/// People `r1`… with Brazilian numbers and consent.
pub(crate) async fn people(store: &Store, count: i64) -> Vec<RecipientId> {
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
    let granted =
        crate::support::granted(noon() - TimeDelta::days(30), noon() - TimeDelta::days(30));
    let entries: Vec<_> = ids.iter().map(|id| (*id, granted.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    tx.commit().await.unwrap();
    ids
}

pub(crate) const VARIANT: &str = "[[variant]]\nname = \"words\"\nmedia = \"text\"\ntemplate = \"promo\"\n\
                       language = \"pt_BR\"\nparameters = [\"{{name}}\"]\ntext = \"Oi {{name}}\"\n\
                       defaults = { name = \"Ana\" }\n";

/// Nobody in these tests has told their language.
pub(crate) const FALLBACK: &str = "fallback_language = \"pt_BR\"\n";

/// Submits a campaign whose messages to `ids` are due, with its first variant.
pub(crate) async fn due(
    ctx: &Ctx,
    campaign: &str,
    head: &str,
    variants: &str,
    ids: &[RecipientId],
) -> i64 {
    let now = ctx.clock.now();
    let wall = |at: Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let source = format!(
        "name = \"{campaign}\"\nprovider = \"wa\"\n{head}[window]\nstart = {}\nend = {}\n\
         time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n{variants}",
        wall(now - TimeDelta::days(1)),
        wall(now + TimeDelta::days(6)),
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    let row = ctx.store.read().await.unwrap().campaign(&name(campaign)).await.unwrap().unwrap();
    let delivery = |id: &RecipientId| {
        crate::support::planned(*id, row.campaign.variants[0].name.as_str(), now, LENGTH)
    };
    let deliveries: Vec<_> = ids.iter().map(delivery).collect();
    let mut tx = ctx.store.begin().await.unwrap();
    tx.put_decisions(row.id, &deliveries, LENGTH, now).await.unwrap();
    tx.set_campaign_plan(row.id, now, None, "{}", &[]).await.unwrap();
    tx.commit().await.unwrap();
    row.id
}

pub(crate) async fn send(ctx: &Ctx) {
    let (_keep, stop) = watch::channel(false);
    while dispatch::run(ctx, &stop).await.unwrap().more {}
}

pub(crate) async fn states(ctx: &Ctx, campaign: i64) -> BTreeMap<(State, Reason), u64> {
    let counts = ctx.store.read().await.unwrap().state_counts(campaign).await.unwrap();
    counts.into_iter().map(|c| ((c.state, c.reason), c.people)).collect()
}

pub(crate) async fn state_of(ctx: &Ctx, campaign: i64, id: RecipientId) -> (State, Reason) {
    let found = ctx
        .store
        .read()
        .await
        .unwrap()
        .delivery(campaign, id, LENGTH)
        .await
        .unwrap()
        .unwrap()
        .delivery;
    (found.state, found.reason)
}

/// Posts to the provider's webhook, past the listener.
pub(crate) async fn webhook(ctx: &Ctx, body: &Value) -> receive::Received {
    let body = body.to_string();
    let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
    let told = ctx.providers[&name("wa")].receive(Some(&signed), body.as_bytes()).unwrap();
    receive::take(ctx, &name("wa"), told).await.unwrap()
}

pub(crate) fn change(field: &str, value: Value) -> Value {
    json!({ "object": "whatsapp_business_account",
            "entry": [{ "id": "102290129340398", "time": noon().timestamp(),
                        "changes": [{ "field": field, "value": value }] }] })
}

pub(crate) fn messages(key: &str, items: Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550783881", "phone_number_id": "106540352242922" },
    });
    value[key] = items;
    change("messages", value)
}

pub(crate) fn status(callback: &str, status: &str, at: Instant) -> Value {
    json!({ "id": "wamid.x", "status": status, "timestamp": at.timestamp().to_string(),
            "recipient_id": "5511000000001", "biz_opaque_callback_data": callback,
            "pricing": { "billable": true, "pricing_model": "PMP", "type": "regular",
                         "category": "marketing" } })
}

pub(crate) fn failed(callback: &str, code: i64, at: Instant) -> Value {
    let mut failed = status(callback, "failed", at);
    failed["errors"] = json!([{ "code": code, "title": "t", "message": "m",
                                "error_data": { "details": "d" }, "href": "h" }]);
    failed
}

/// Inbound items after the vendor's published examples.
pub(crate) fn inbound(kind: &str, context: Option<&str>, at: Instant) -> Value {
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

/// A store with `count` people who are due in campaign `c`, and the server they are sent through.
pub(crate) struct Scene {
    pub(crate) graph: Graph,
    pub(crate) ctx: Ctx,
    pub(crate) ids: Vec<RecipientId>,
    pub(crate) campaign: i64,
    pub(crate) _dir: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new(store: Store, count: i64, more: &str) -> Self {
        Self::with(store, count, more, "", VARIANT).await
    }

    pub(crate) async fn with(
        store: Store,
        count: i64,
        more: &str,
        head: &str,
        variants: &str,
    ) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let graph = Graph::start().await;
        let config = config(&graph, dir.path(), more);
        let ctx = ctx(store, config, Clock::starting_at(noon()));
        let ids = people(&ctx.store, count).await;
        let variants = variants.replace("PORT", &graph.port.to_string());
        let campaign = due(&ctx, "c", head, &variants, &ids).await;
        Self { graph, ctx, ids, campaign, _dir: dir }
    }

    /// Sends what is due while `meanwhile` is done, once `count` calls wait for their answers; they
    /// are answered when it is done.
    pub(crate) async fn send_during(&self, count: usize, meanwhile: impl AsyncFnOnce()) {
        self.graph.answer(|_| Answer::Waiting);
        let between = async {
            while self.graph.calls().len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            meanwhile().await;
            self.graph.let_go();
        };
        tokio::join!(send(&self.ctx), between);
    }

    pub(crate) async fn template(&self, template: &str) -> TemplateRow {
        let rows = self.ctx.store.read().await.unwrap().templates(&name("wa")).await.unwrap();
        rows.into_iter().find(|row| row.template == template).unwrap()
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.ctx.clock.advance_to(self.ctx.clock.now() + by);
    }
}

pub(crate) async fn sqlite() -> (tempfile::TempDir, Store) {
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    (dir, Store::open(&url, Create::IfMissing).await.unwrap())
}
