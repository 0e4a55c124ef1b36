//! The daemon's listener on a real socket: the API and its tokens, metrics, and clients that mean
//! harm.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::TimeDelta;
use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::{Config, SecretValue};
use opportune::model::delivery::State;
use opportune::model::ids::RecipientId;
use opportune::model::recipient::Profile;
use opportune::provider::{self, Meter, signature};
use opportune::store::{AddedRecipient, Create, Store};
use opportune::web;
use opportune::work::tasks::{Ended, Patience, Tasks};
use opportune::work::tokens::{self, Scope};
use opportune::work::{Ctx, StepEnv, audit, campaigns, dispatch, new_node};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

struct Listener {
    port: u16,
    ctx: Ctx,
    dir: tempfile::TempDir,
    tasks: Tasks,
    stop: watch::Sender<bool>,
}

/// Where the provider `shop` calls: takes everything but what is for one person.
async fn shopkeeper(Json(body): Json<Value>) -> axum::response::Response {
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
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "s").unwrap();
        let shop = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!(
            "[provider.console]\nkind = \"console\"\n[provider.people]\nkind = \"simulated\"\n\
             [provider.shop]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/\"\n\
             secret = {{ file = \"{}\" }}\n",
            shop.local_addr().unwrap().port(),
            secret.display()
        );
        let config = Config::parse(&text, Path::new("x")).unwrap();
        let meter = Meter::default();
        let url = format!("sqlite://{}", dir.path().join("web.db").display());
        let ctx = Ctx {
            store: Store::open(&url, Create::IfMissing).await.unwrap(),
            env: StepEnv {
                clock: Clock::system(),
                rules: Arc::new(Rules::built_in()),
                providers: Arc::new(
                    meter
                        .over(&provider::from_config(&config.providers, &config.outbound).unwrap()),
                ),
                config: Arc::new(config),
                node: new_node(),
                judge: None,
            },
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = axum::Router::new().route("/", axum::routing::post(shopkeeper));
        tokio::spawn(async move { axum::serve(shop, routes).await.unwrap() });
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::default();
        tokio::spawn(web::serve(ctx.clone(), meter, tasks.clone(), listener, stopped));
        Self { port, ctx, dir, tasks, stop }
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.dir.path().join("web.db").display())
    }

    /// Sends a request as it stands; status and body of the answer.
    async fn ask(&self, request: String) -> (u16, String) {
        let port = self.port;
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            // a body that is too large is refused before all of it is sent
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
            (status, body.to_owned())
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
        tokens::create(&self.ctx, &name, scopes, "test").await.unwrap().unwrap()
    }
}

const CAMPAIGN: &str = "name = \"spring\"\nprovider = \"console\"\n[window]\n\
    start = 2030-03-01T09:00:00\nend = 2030-03-07T21:00:00\n\
    [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_a_tokens_scopes_allow_and_no_more() {
    let listener = Listener::start().await;
    let read = listener.token("dashboard", &[Scope::Read]).await;
    let all = listener.token("robot", &[Scope::Read, Scope::Submit, Scope::Operate]).await;
    let campaigns = "/api/v1/campaigns";
    assert_eq!(listener.call("GET", campaigns, "", "").await.0, 401);
    assert_eq!(listener.call("GET", campaigns, "opportune_00", "").await.0, 401);
    assert_eq!(listener.call("GET", campaigns, &read, "").await, (200, "[]".to_owned()));
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

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_and_units_of_prometheus() {
    let listener = Listener::start().await;
    let all = listener.token("robot", &[Scope::Submit]).await;
    listener.call("POST", "/api/v1/campaigns", &all, CAMPAIGN).await;
    let body =
        "{\"updates\":[{\"message\":\"c:1\",\"event\":\"read\",\"at\":\"2026-01-01T00:00:00Z\"}]}";
    let signed = signature(&SecretValue::new("s"), body.as_bytes());
    let post = format!(
        "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-opportune-signature: {signed}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(listener.ask(post).await.0, 200);
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    for wanted in [
        "# TYPE opportune_webhook_updates counter",
        "# UNIT opportune_webhook_duration_seconds seconds",
        "opportune_webhook_updates_total{provider=\"shop\",result=\"unknown\"} 1",
        "opportune_webhook_duration_seconds_count 1",
        "opportune_deliveries_due{campaign=\"spring\"} 0",
        "opportune_provider_alerts{provider=\"console\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

/// Changes one row of a listener's database, as nothing of ours would.
async fn damage(listener: &Listener, sql: &'static str) {
    let db = sqlx::SqlitePool::connect(&listener.url()).await.unwrap();
    assert_eq!(sqlx::query(sql).execute(&db).await.unwrap().rows_affected(), 1, "{sql}");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_campaign_hides_no_other_from_status_and_metrics() {
    let listener = Listener::start().await;
    for provider in ["shop", "console", "people"] {
        due(&listener.ctx, provider, 2, TimeDelta::seconds(90)).await;
    }
    damage(&listener, "UPDATE campaign SET source = 'name = 1' WHERE name = 'due-console'").await;
    const REASON: &str = "UPDATE delivery SET reason = 'of a newer version' WHERE recipient =
        (SELECT MIN(d.recipient) FROM delivery d JOIN campaign c ON c.id = d.campaign
            WHERE c.name = 'due-people')";
    damage(&listener, REASON).await;
    // as somebody sees it who never read the file before
    let ctx = Ctx {
        store: Store::open(&listener.url(), Create::No).await.unwrap(),
        env: listener.ctx.env.clone(),
    };
    let status = campaigns::status(&ctx).await.unwrap();
    let names: Vec<_> = status.campaigns.iter().map(|campaign| campaign.name.as_str()).collect();
    assert_eq!(names, ["due-shop"]);
    let mut broken: Vec<_> = status.broken.iter().map(|broken| broken.name.as_str()).collect();
    broken.sort_unstable();
    assert_eq!(broken, ["due-console", "due-people"]);
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    assert!(text.contains("opportune_deliveries_due{campaign=\"due-shop\"} 2"), "{text}");
    assert!(text.contains("opportune_provider_alerts{provider=\"shop\"} 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_metrics_name_the_task_that_does_not_do_its_work() {
    let listener = Listener::start().await;
    let (ctx, tasks) = (&listener.ctx, &listener.tasks);
    let patience = Patience { failing: TimeDelta::minutes(1), step: TimeDelta::minutes(10) };
    for name in ["plan", "send:shop:1", "learn"] {
        tasks.register(ctx, name, patience);
    }
    let now = ctx.clock.now();
    let took = Duration::from_millis(1500);
    tasks.ended("plan", now - TimeDelta::seconds(50), took, Ended::Failed("could not plan"));
    tasks.ended("learn", now - TimeDelta::hours(20), took, Ended::Ok);
    tasks.began("send:shop:1", now - TimeDelta::minutes(9));
    // a task that failed a moment ago, one that has nothing to do, and one that is at work are well
    assert_eq!(listener.call("GET", "/readyz", "", "").await, (200, "ready\n".to_owned()));
    tasks.ended("plan", now, took, Ended::Panicked("src/x.rs:1"));
    tasks.ended("plan", now, took, Ended::Ok);
    tasks.ended("plan", now - TimeDelta::seconds(70), took, Ended::Failed("could not plan"));
    tasks.began("send:shop:1", now - TimeDelta::minutes(11));
    let (status, text) = listener.call("GET", "/readyz", "", "").await;
    assert_eq!(status, 503);
    assert!(text.contains("task plan has been failing for 7"), "{text}");
    assert!(text.contains("could not plan"), "{text}");
    assert!(text.contains("a step of task send:shop:1 has been going on for 66"), "{text}");
    assert!(!text.contains("learn"), "{text}");
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    for wanted in [
        "opportune_task_runs_total{task=\"plan\"} 4",
        "opportune_task_failures_total{task=\"plan\"} 2",
        "opportune_task_panics_total{task=\"plan\"} 1",
        "opportune_task_running{task=\"send:shop:1\"} 1",
        "# UNIT opportune_task_last_success_timestamp_seconds seconds",
        "opportune_task_last_duration_seconds{task=\"learn\"} 1.5",
        "opportune_database_up 1",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    listener.stop.send_replace(true);
}

/// A client that asks for more than the system holds between the two, and reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answers_is_cut_off() {
    let listener = Listener::start().await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", listener.port)).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let begun = Instant::now();
    // once the listener stops reading too, writing waits until the connection is cut off
    while begun.elapsed() < Duration::from_secs(60) {
        let write = stream.write_all(request.as_bytes());
        match tokio::time::timeout(Duration::from_secs(60), write).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => break,
        }
    }
    panic!("it is kept");
}

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
async fn metrics_tell_what_providers_answered_and_how_late_messages_went() {
    let listener = Listener::start().await;
    // the third is not to be had; everybody is a minute and a half late
    due(&listener.ctx, "shop", 3, TimeDelta::seconds(90)).await;
    let (_keep, stop) = watch::channel(false);
    dispatch::run(&listener.ctx, &stop).await.unwrap();
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    let wanted = [
        "# TYPE opportune_provider_calls counter",
        "opportune_provider_calls_total{provider=\"shop\",outcome=\"accepted\"} 2",
        "opportune_provider_calls_total{provider=\"shop\",outcome=\"refused_person\"} 1",
        "# UNIT opportune_provider_call_duration_seconds seconds",
        "opportune_provider_call_duration_seconds_count{provider=\"shop\"} 3",
        "opportune_provider_call_duration_seconds_bucket{le=\"60.0\",provider=\"shop\"} 3",
        "# UNIT opportune_message_lateness_seconds seconds",
        "# TYPE opportune_message_lateness_seconds histogram",
        "opportune_message_lateness_seconds_count{provider=\"shop\"} 3",
        "opportune_message_lateness_seconds_bucket{le=\"30.0\",provider=\"shop\"} 0",
        "opportune_message_lateness_seconds_bucket{le=\"300.0\",provider=\"shop\"} 3",
        "state=\"sent\"",
    ];
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    // the sum is in seconds
    let sum = text.lines().find_map(|line| {
        line.strip_prefix("opportune_message_lateness_seconds_sum{provider=\"shop\"} ")
    });
    let sum: f64 = sum.unwrap().parse().unwrap();
    assert!((270.0..400.0).contains(&sum), "{sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_and_wrong_signatures_are_refused() {
    let listener = Listener::start().await;
    let post = |length: usize, body: &str| {
        format!(
            "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             x-opportune-signature: sha256=00\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let large = "x".repeat(3 * 1024 * 1024 + 1);
    assert_eq!(listener.ask(post(large.len(), &large)).await.0, 413);
    assert_eq!(listener.ask(post(2, "{}")).await.0, 401);
    // headers over the limit are refused, or the connection is closed on them
    let header = "x".repeat(100 * 1024);
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-large: {header}\r\n\r\n");
    let (status, _) = listener.ask(request).await;
    assert!(matches!(status, 0 | 400 | 431), "{status}");
    assert_eq!(listener.call("GET", "/healthz", "", "").await.0, 200);
}

/// A client that says `words`, then a byte every second; how long until it is cut off, and what it
/// was told.
async fn slowly(port: u16, words: &str) -> (Duration, String) {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    while begun.elapsed() < Duration::from_secs(60) {
        let mut buffer = [0; 1024];
        match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
            Err(_) if stream.write_all(b"x").await.is_err() => break,
            Err(_) => {}
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_bodies_that_trickle_in_are_cut_off() {
    let listener = Listener::start().await;
    let headers = "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
    let body = "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\n\
                x-opportune-signature: sha256=00\r\ncontent-length: 1000\r\n\r\n{";
    let ((headers, _), (body, answer)) =
        tokio::join!(slowly(listener.port, headers), slowly(listener.port, body));
    assert!(headers < Duration::from_secs(20), "{headers:?}");
    assert!(body < Duration::from_secs(50), "{body:?}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    // one who is silent after a good request is not kept either
    let (silent, answer) =
        slowly(listener.port, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && silent < Duration::from_secs(20), "{silent:?}");
}

/// Sends all of a large body but its end; what was answered within a while, if anything.
async fn almost_all(port: u16) -> (tokio::net::TcpStream, String) {
    const LARGE: usize = 3 * 1024 * 1024;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    let mut answer = vec![0; 1024];
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b' '; LARGE - 1]).await
    };
    // who is refused may find the connection closed while it still sends
    let _ = sent.await;
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut answer)).await;
    let read = read.map_or(0, |read| read.unwrap_or(0));
    answer.truncate(read);
    (stream, String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_hold_a_bounded_room_together() {
    let listener = Listener::start().await;
    let port = listener.port;
    let hogs: Vec<_> = (0..40).map(|_| tokio::spawn(almost_all(port))).collect();
    let mut kept = Vec::new();
    for hog in hogs {
        kept.push(hog.await.unwrap());
    }
    let answered = |start: &str| kept.iter().filter(|(_, told)| told.starts_with(start)).count();
    // 64 MiB hold 21 of them; the others are asked to come again
    let waiting = kept.iter().filter(|(_, told)| told.is_empty()).count();
    assert!(waiting <= 21, "{waiting} bodies are held");
    assert!(answered("HTTP/1.1 503") > 0, "nobody was sent away");
    drop(kept);
    // once they are gone there is room again
    let small = "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                 x-opportune-signature: sha256=00\r\ncontent-length: 2\r\n\r\n{}";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = listener.ask(small.to_owned()).await;
        if answer.0 == 401 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What this process has in memory, in kilobytes.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A client that says half a request and waits; whether it was let in.
async fn half_a_request(port: u16) -> bool {
    let connect = tokio::net::TcpStream::connect(("127.0.0.1", port));
    let Ok(Ok(mut stream)) = tokio::time::timeout(Duration::from_secs(5), connect).await else {
        return false;
    };
    let _ = stream.write_all(b"POST /webhooks/shop HTTP/1.1\r\nhost: loc").await;
    let mut rest = Vec::new();
    let cut_off = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut rest));
    assert!(cut_off.await.is_ok(), "a silent client is kept");
    true
}

/// `WEB_CONNECTIONS` at once (700 unless set; ten thousand by hand, after `ulimit -n 12000`).
#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_silent_clients_is_cut_off_while_messages_go_out() {
    let count = std::env::var("WEB_CONNECTIONS").map_or(700, |text| text.parse().unwrap());
    let listener = Listener::start().await;
    let port = listener.port;
    due(&listener.ctx, "people", 2_000, TimeDelta::zero()).await;
    let before = resident_kb();
    let mut clients: tokio::task::JoinSet<bool> =
        (0..count).map(|_| half_a_request(port)).collect();
    // messages go out meanwhile, though nobody else is let in
    let (_keep, stop) = watch::channel(false);
    let begun = Instant::now();
    while dispatch::run(&listener.ctx, &stop).await.unwrap().more {}
    let sent = listener.ctx.store.read().await.unwrap().state_counts(1).await.unwrap();
    assert!(sent.iter().all(|c| c.state == State::Sent) && sent[0].people == 2_000, "{sent:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let grown = resident_kb().saturating_sub(before);
    assert!(grown < 200 * 1024, "{grown} kB for {count} connections");
    // somebody who has something to say gets through before long
    assert_eq!(listener.call("GET", "/healthz", "", "").await.0, 200);
    let mut let_in = 0;
    while let Some(client) = clients.join_next().await {
        let_in += usize::from(client.unwrap());
    }
    println!("{let_in} of {count} were let in and cut off, {grown} kB more");
    assert!(let_in >= count.min(512), "{let_in}");
}
