//! The daemon's listener on a real socket: the API and its tokens, metrics, and clients that mean
//! harm.

#[path = "../support/mod.rs"]
mod support;

mod api;
mod clients;
mod links;
mod metrics;
mod pages;
mod replies;
mod segment;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::TimeDelta;
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::model::ids::RecipientId;
use opportune::model::recipient::Profile;
use opportune::provider::Meter;
use opportune::store::{AddedRecipient, Create, Store};
use opportune::web;
use opportune::work::tasks::Tasks;
use opportune::work::tokens::{self, Scope};
use opportune::work::{Ctx, audit, campaigns};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

struct Listener {
    port: u16,
    ctx: Ctx,
    dir: tempfile::TempDir,
    tasks: Tasks,
    stop: watch::Sender<bool>,
    posted: Posted,
}

/// What the provider `shop` was posted.
type Posted = Arc<Mutex<Vec<Value>>>;

/// Where the provider `shop` calls: takes everything but what is for one person.
async fn shopkeeper(
    State(posted): State<Posted>,
    Json(body): Json<Value>,
) -> axum::response::Response {
    posted.lock().unwrap().push(body.clone());
    match body["to"].as_str() {
        Some("+5511000000002") => {
            (StatusCode::BAD_REQUEST, Json(json!({ "refused": "recipient" }))).into_response()
        }
        _ => Json(json!({})).into_response(),
    }
}

impl Listener {
    async fn start() -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", dir.path().join("web.db").display());
        Self::on(dir, &url).await
    }

    async fn on_postgres() -> Self {
        let url = support::Postgres::shared().database();
        Self::on(tempfile::TempDir::new().unwrap(), &url).await
    }

    async fn on(dir: tempfile::TempDir, url: &str) -> Self {
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "s").unwrap();
        let shop = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!(
            "[provider.console]\nkind = \"console\"\n[provider.people]\nkind = \"simulated\"\n\
             [provider.shop]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/\"\n\
             secret = {{ file = \"{}\" }}\n\
             [links]\nbase = \"https://l.example.com/\"\nutm_source = \"us\"\n\
             [segment]\nconvert = [\"Order Completed\"]\nactivity = [\"App Opened\"]\n\
             opt_out = [\"Unsubscribed\"]\nconsent_trait = \"whatsapp_opt_in\"\n",
            shop.local_addr().unwrap().port(),
            secret.display()
        );
        let config = Config::parse(&text, Path::new("x")).unwrap();
        let meter = Meter::default();
        let store = Store::open(url, Create::IfMissing).await.unwrap();
        let mut ctx = support::ctx(store, config, Clock::system());
        ctx.env.providers = Arc::new(meter.over(&ctx.env.providers));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = axum::Router::new().route("/", axum::routing::post(shopkeeper));
        let posted = Posted::default();
        let routes = routes.with_state(Arc::clone(&posted));
        tokio::spawn(async move { axum::serve(shop, routes).await.unwrap() });
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::default();
        tokio::spawn(web::serve(ctx.clone(), meter, tasks.clone(), listener, stopped));
        Self { port, ctx, dir, tasks, stop, posted }
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.dir.path().join("web.db").display())
    }

    /// Sends a request as it stands; status and body of the answer.
    async fn ask(&self, request: String) -> (u16, String) {
        let answer = self.raw(request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        (status, body.to_owned())
    }

    /// The same; the answer as it came.
    async fn raw(&self, request: String) -> String {
        let port = self.port;
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            // a body that is too large is refused before all of it is sent
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
        .await
        .unwrap()
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask(request).await
    }

    async fn token(&self, name: &str, scopes: &[Scope]) -> String {
        let name = name.parse().unwrap();
        tokens::create(&self.ctx, &name, scopes, None, "test").await.unwrap().unwrap()
    }
}

const CAMPAIGN: &str = "name = \"spring\"\nprovider = \"console\"\n[window]\n\
    start = 2030-03-01T09:00:00\nend = 2030-03-07T21:00:00\n\
    [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n";

/// People who were due `ago` in a campaign of a provider, as if planned for then.
async fn due(ctx: &Ctx, provider: &str, count: usize, ago: TimeDelta) {
    let now = ctx.clock.now();
    let wall = |at: opportune::model::time::Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let source = format!(
        "name = \"due-{provider}\"\nprovider = \"{provider}\"\ncategory = \"utility\"\n[window]\n\
         start = {}\nend = {}\ntime_zone = \"UTC\"\n[quiet_hours]\nnone = true\n[[variant]]\n\
         name = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n",
        wall(now - TimeDelta::days(1)),
        wall(now + TimeDelta::days(2)),
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    let name = format!("due-{provider}").parse().unwrap();
    let id = ctx.store.read().await.unwrap().campaign(&name).await.unwrap().unwrap().id;
    let mut tx = ctx.store.begin().await.unwrap();
    let person = |n: usize| {
        let address = Some(format!("+5511{n:09}").parse().unwrap());
        (format!("{provider}-{n}").parse().unwrap(), Profile { address, ..Profile::default() })
    };
    let people: Vec<_> = (0..count).map(person).collect();
    let people = tx.put_recipients(&people).await.unwrap();
    let granted = support::granted(now - TimeDelta::days(9), now);
    let entries: Vec<_> = people.iter().map(|(id, _)| (*id, granted.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    let send_at = now - ago;
    let planned = |(id, _): &(RecipientId, AddedRecipient)| {
        support::planned(*id, "words", send_at, ctx.config.slot_length)
    };
    let planned: Vec<_> = people.iter().map(planned).collect();
    tx.put_decisions(id, &planned, ctx.config.slot_length, now).await.unwrap();
    tx.set_campaign_plan(id, now, None, "{}", &[]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_a_tokens_scopes_allow_and_no_more() {
    let listener = Listener::start().await;
    let read = listener.token("dashboard", &[Scope::Read]).await;
    let all = listener.token("robot", &[Scope::Read, Scope::Submit, Scope::Operate]).await;
    let campaigns = "/api/v1/campaigns";
    assert_eq!(listener.call("GET", campaigns, "", "").await.0, 401);
    assert_eq!(listener.call("GET", campaigns, "opportune_00", "").await.0, 401);
    assert_eq!(
        listener.call("GET", campaigns, &read, "").await,
        (200, "{\"items\":[],\"next\":null}".to_owned())
    );
    assert_eq!(listener.call("POST", campaigns, &read, CAMPAIGN).await.0, 403);
    assert_eq!(listener.call("POST", campaigns, &all, CAMPAIGN).await.0, 201);
    let (status, body) = listener.call("POST", campaigns, &all, CAMPAIGN).await;
    assert!(status == 422 && body.contains("spring is taken"), "{body}");
    let one = "/api/v1/campaigns/spring";
    assert_eq!(listener.call("POST", &format!("{one}/pause"), &read, "").await.0, 403);
    let (status, body) = listener.call("POST", &format!("{one}/pause"), &all, "").await;
    assert!(status == 200 && body.contains("\"status\":\"paused\""), "{body}");
    assert_eq!(listener.call("POST", &format!("{one}/pause"), &all, "").await.0, 409);
    assert_eq!(listener.call("POST", &format!("{one}/explode"), &all, "").await.0, 404);
    assert_eq!(listener.call("GET", "/api/v1/campaigns/none", &read, "").await.0, 404);
    assert_eq!(listener.call("GET", "/api/v1/insights", &read, "").await.0, 200);
    assert_eq!(listener.call("POST", &format!("{one}/cancel"), &all, "").await.0, 200);
    // who did it is known, and a token that is taken back opens nothing
    let deeds = audit::last(&listener.ctx, 10).await.unwrap();
    let deeds: Vec<_> = deeds.iter().map(|d| (d.actor.as_str(), d.action.as_str())).collect();
    assert_eq!(
        deeds,
        [
            ("token robot", "cancel"),
            ("token robot", "pause"),
            ("token robot", "submit"),
            ("test", "create token"),
            ("test", "create token")
        ]
    );
    tokens::revoke(&listener.ctx, &"robot".parse().unwrap(), "test").await.unwrap();
    assert_eq!(listener.call("GET", campaigns, &all, "").await.0, 401);
    // the database holds no secret
    let bytes = support::bytes_of(listener.dir.path(), "web.db");
    let secret = read.strip_prefix("opportune_").unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    listener.stop.send_replace(true);
}
