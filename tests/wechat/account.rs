//! A stand-in for WeChat's API: tokens that end, permits that a message uses up, answers that are counted; it
//! refuses what breaks a rule with the vendor's code. And a workspace with people who are due a message.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Path as UrlPath, Query, State};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{TimeDelta, TimeZone, Utc};
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::files;
use opportune::model::delivery::{Reason, State as DeliveryState};
use opportune::model::ids::{Name, RecipientId};
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant;
use opportune::store::Store;
use opportune::work::import::{self, Strictness};
use opportune::work::{Ctx, campaigns, dispatch, receive};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support;

pub(crate) const LENGTH: SlotLength = SlotLength::HOUR;
pub(crate) const TEMPLATE: &str = "Tq8aBc-1";

pub(crate) fn noon() -> Instant {
    Utc.with_ymd_and_hms(2027, 3, 2, 12, 0, 0).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[derive(Default)]
pub(crate) struct Rules {
    /// The token that holds is of this number.
    pub(crate) token: u32,
    /// How often a token was asked for.
    pub(crate) asked: u32,
    permits: HashMap<String, u32>,
    /// Who wrote when, and how often they were answered since.
    wrote: HashMap<String, (Instant, u32)>,
    /// A code in place of the next answers.
    pub(crate) code: Option<i64>,
    pub(crate) taken: Vec<(String, Value)>,
    pub(crate) refused: Vec<i64>,
}

#[derive(Clone)]
pub(crate) struct Account {
    clock: Clock,
    pub(crate) rules: Arc<Mutex<Rules>>,
}

impl Account {
    fn send(&self, path: &str, token: &str, body: &Value) -> Result<u64, i64> {
        let (now, mut rules) = (self.clock.now(), self.rules.lock().unwrap());
        if token != format!("token-{}", rules.token) {
            return Err(40_001);
        }
        if let Some(code) = rules.code {
            return Err(code);
        }
        let to = body["touser"].as_str().unwrap().to_owned();
        if !to.starts_with("oPerson") {
            return Err(40_003);
        }
        match path {
            "custom" => {
                assert_eq!(body["msgtype"], "text");
                match rules.wrote.get_mut(&to) {
                    Some((at, _)) if now - *at >= TimeDelta::hours(48) => return Err(45_015),
                    None => return Err(45_015),
                    Some((_, answered)) if *answered >= 5 => return Err(45_047),
                    Some((_, answered)) => *answered += 1,
                }
            }
            "template" | "subscribe" => {
                if body["template_id"] != TEMPLATE {
                    return Err(40_037);
                }
                let thing = body["data"]["thing1"]["value"].as_str().unwrap_or_default();
                let fields = body["data"].as_object().unwrap().len();
                if thing.is_empty() || thing.chars().count() > 20 || fields != 1 {
                    return Err(47_003);
                }
                if path == "subscribe" {
                    match rules.permits.get_mut(&to) {
                        Some(left) if *left > 0 => *left -= 1,
                        _ => return Err(43_101),
                    }
                }
            }
            _ => return Err(48_001),
        }
        rules.taken.push((path.to_owned(), body.clone()));
        Ok(rules.taken.len() as u64)
    }
}

async fn answer(
    State(account): State<Account>,
    UrlPath(path): UrlPath<String>,
    Query(query): Query<HashMap<String, String>>,
    Json(body): Json<Value>,
) -> Json<Value> {
    Json(match account.send(&path, &query["access_token"], &body) {
        Ok(id) => json!({ "errcode": 0, "errmsg": "ok", "msgid": id }),
        Err(code) => {
            account.rules.lock().unwrap().refused.push(code);
            json!({ "errcode": code, "errmsg": "as documented" })
        }
    })
}

async fn token(State(account): State<Account>, Json(body): Json<Value>) -> Json<Value> {
    let mut rules = account.rules.lock().unwrap();
    rules.asked += 1;
    assert_eq!(body["grant_type"], "client_credential");
    if body["appid"] != "wx77" || body["secret"] != "an app's secret" {
        return Json(json!({ "errcode": 40_125, "errmsg": "invalid appsecret" }));
    }
    Json(json!({ "access_token": format!("token-{}", rules.token), "expires_in": 7200 }))
}

pub(crate) struct Scene {
    pub(crate) account: Account,
    pub(crate) ctx: Ctx,
    pub(crate) ids: Vec<RecipientId>,
    _dir: tempfile::TempDir,
}

/// The openid of the person with this index.
pub(crate) fn openid(index: usize) -> String {
    format!("oPerson-{index:020}")
}

/// The proof of a post, by an implementation that is not ours.
pub(crate) fn proof(word: &str) -> String {
    let (time, number) = ("1803902400", "8472");
    let mut parts = [word, time, number];
    parts.sort_unstable();
    let program = format!("printf %s '{}' | openssl dgst -sha1 -r", parts.concat());
    let output = std::process::Command::new("sh").args(["-c", &program]).output().unwrap();
    let hash = String::from_utf8(output.stdout).unwrap();
    let hash = hash.split_whitespace().next().unwrap().to_owned();
    format!("signature={hash}&timestamp={time}&nonce={number}&openid=x")
}

impl Scene {
    /// So many people, all with consent, and an account of the service.
    pub(crate) async fn new(store: Store, service: &str, people: usize) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        for (file, text) in [("app", "an app's secret"), ("verify", "aWord")] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let clock = Clock::starting_at(noon());
        let account = Account { clock: clock.clone(), rules: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = Router::new()
            .route("/cgi-bin/stable_token", post(token))
            .route("/cgi-bin/message/{of}/send", post(answer))
            .with_state(account.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let at = |file: &str| dir.path().join(file).display().to_string();
        let text = format!(
            "[provider.wx]\nkind = \"wechat\"\nbase_url = \"http://127.0.0.1:{port}\"\n\
             app_id = \"wx77\"\napp_secret = {{ file = \"{}\" }}\nservice = \"{service}\"\n\
             verify_token = {{ file = \"{}\" }}\n",
            at("app"),
            at("verify"),
        );
        let config = Config::parse(&text, Path::new("opportune.toml")).unwrap();
        let ctx = support::ctx(store, config, clock);
        let mut rows = "recipient,country,opted_in_at,address_wechat\n".to_owned();
        for index in 0..people {
            rows.push_str(&format!("r{index},CN,2027-01-01T00:00:00Z,{}\n", openid(index)));
        }
        let file = dir.path().join("recipients.csv");
        std::fs::write(&file, rows).unwrap();
        let input = files::open(&file).unwrap();
        import::recipients(&ctx, input, Strictness::Strict, |_| ()).await.unwrap();
        let mut ids = Vec::new();
        let mut reader = ctx.store.read().await.unwrap();
        for index in 0..people {
            let key = format!("r{index}").parse().unwrap();
            ids.push(reader.recipient(&key).await.unwrap().unwrap().id);
        }
        drop(reader);
        Self { account, ctx, ids, _dir: dir }
    }

    pub(crate) fn source(&self, campaign: &str, head: &str, variant: &str) -> String {
        let now = self.ctx.clock.now();
        let wall = |at: Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        format!(
            "name = \"{campaign}\"\nprovider = \"wx\"\n{head}\n[window]\nstart = {}\nend = {}\n\
             time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n[[variant]]\nname = \"words\"\n\
             media = \"text\"\n{variant}\n",
            wall(now - TimeDelta::days(1)),
            wall(now + TimeDelta::days(6)),
        )
    }

    /// Submits a campaign whose messages to everybody are due now.
    pub(crate) async fn due(&self, campaign: &str, head: &str, variant: &str) -> i64 {
        let now = self.ctx.clock.now();
        campaigns::submit(&self.ctx, &self.source(campaign, head, variant), "test").await.unwrap();
        let mut reader = self.ctx.store.read().await.unwrap();
        let row = reader.campaign(&name(campaign)).await.unwrap().unwrap();
        drop(reader);
        let planned = |id: &RecipientId| support::planned(*id, "words", now, LENGTH);
        let deliveries: Vec<_> = self.ids.iter().map(planned).collect();
        let mut tx = self.ctx.store.begin().await.unwrap();
        tx.put_decisions(row.id, &deliveries, LENGTH, now).await.unwrap();
        tx.set_campaign_plan(row.id, now, None, "{}", &[]).await.unwrap();
        tx.commit().await.unwrap();
        row.id
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

    /// Posts to the webhook, with its proof, past the listener.
    pub(crate) async fn post(&self, body: &str) -> receive::Received {
        let provider = &self.ctx.providers[&name("wx")];
        let told = provider.receive(Some(&proof("aWord")), body.as_bytes()).unwrap();
        receive::take(&self.ctx, &name("wx"), told).await.unwrap()
    }

    fn xml(&self, index: usize, kind: &str, more: &str) -> String {
        format!(
            "<xml><ToUserName><![CDATA[gh_7]]></ToUserName><FromUserName><![CDATA[{}]]>\
             </FromUserName><CreateTime>{}</CreateTime><MsgType><![CDATA[{kind}]]></MsgType>{more}</xml>",
            openid(index),
            self.ctx.clock.now().timestamp()
        )
    }

    /// The person writes: the account and we learn of it.
    pub(crate) async fn writes(&self, index: usize, text: &str) {
        let now = self.ctx.clock.now();
        self.account.rules.lock().unwrap().wrote.insert(openid(index), (now, 0));
        let more = format!(
            "<Content><![CDATA[{text}]]></Content><MsgId>{}</MsgId>",
            now.timestamp() * 10 + index as i64
        );
        self.post(&self.xml(index, "text", &more)).await;
    }

    /// The person permits one message.
    pub(crate) async fn permits(&self, index: usize) {
        *self.account.rules.lock().unwrap().permits.entry(openid(index)).or_default() += 1;
        self.chooses(index, "subscribe_msg_popup_event", "SubscribeMsgPopupEvent", "accept").await;
    }

    pub(crate) async fn chooses(&self, index: usize, event: &str, list: &str, status: &str) {
        let more = format!(
            "<Event><![CDATA[{event}]]></Event><{list}><List><TemplateId><![CDATA[{TEMPLATE}]]>\
             </TemplateId><SubscribeStatusString><![CDATA[{status}]]></SubscribeStatusString>\
             <PopupScene>2</PopupScene></List></{list}>"
        );
        self.post(&self.xml(index, "event", &more)).await;
    }

    pub(crate) async fn happens(&self, index: usize, more: &str) -> receive::Received {
        self.post(&self.xml(index, "event", more)).await
    }

    pub(crate) fn taken(&self) -> usize {
        self.account.rules.lock().unwrap().taken.len()
    }

    pub(crate) fn refused(&self) -> Vec<i64> {
        self.account.rules.lock().unwrap().refused.clone()
    }
}
