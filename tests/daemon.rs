//! The daemon for real: its own process, the real clock, real HTTP on loopback, real signals.

#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::daemon::supervise::{StepError, Supervisor, Task, Terms, log_panics};
use opportune::model::ids::RecipientId;
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant as Moment;
use opportune::store::{Create, Store};
use opportune::work::tasks::{Patience, Tasks};
use opportune::work::{Ctx, StepEnv, new_node};
use server::Server;
use support::{Postgres, Workspace, eventually, free_port};
use tokio::sync::watch;

/// An endpoint of the user's own, as the `http` provider posts to it.
struct Endpoint {
    port: u16,
    /// Bodies by message, and how often each came.
    got: Arc<Mutex<BTreeMap<String, u32>>>,
    bad_signatures: Arc<AtomicU64>,
}

const SECRET: &str = "a shared secret";

impl Endpoint {
    /// Answers each message after `delay`.
    fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Self { port, got: Arc::default(), bad_signatures: Arc::default() };
        let (got, bad) = (Arc::clone(&endpoint.got), Arc::clone(&endpoint.bad_signatures));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (got, bad) = (Arc::clone(&got), Arc::clone(&bad));
                std::thread::spawn(move || serve(&stream.unwrap(), delay, &got, &bad));
            }
        });
        endpoint
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    fn assert_each_once(&self, people: usize) {
        let got = self.got.lock().unwrap();
        assert_eq!(got.len(), people);
        assert!(got.values().all(|times| *times == 1), "{got:?}");
        assert_eq!(self.bad_signatures.load(Ordering::Relaxed), 0);
    }
}

fn serve(stream: &TcpStream, delay: Duration, got: &Mutex<BTreeMap<String, u32>>, bad: &AtomicU64) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut signature, mut line) = (0, String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.trim().to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if let Some(value) = lower.strip_prefix("x-opportune-signature: ") {
                signature = value.to_owned();
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if signature != sign(&body) {
            bad.fetch_add(1, Ordering::Relaxed);
        }
        let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let key = message["message"].as_str().unwrap().to_owned();
        *got.lock().unwrap().entry(key.clone()).or_default() += 1;
        std::thread::sleep(delay);
        let answer = serde_json::json!({ "message": format!("ext-{key}") }).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let mut stream = stream;
        if write!(stream, "{head} {}\r\n\r\n{answer}", answer.len()).is_err() {
            return;
        }
    }
}

/// The signature by an implementation that is not ours.
fn sign(body: &[u8]) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    openssl.stdin.take().unwrap().write_all(body).unwrap();
    let output = openssl.wait_with_output().unwrap().stdout;
    let text = String::from_utf8(output).unwrap();
    format!("sha256={}", text.trim().rsplit(' ').next().unwrap())
}

/// A workspace with people who agreed, and settings that point to the endpoint.
fn workspace(endpoint: &Endpoint, people: usize, database: Option<&str>) -> (Workspace, u16) {
    let workspace = Workspace::new();
    let listen = free_port();
    workspace.set("127.0.0.1:8080", &format!("127.0.0.1:{listen}"));
    if let Some(url) = database {
        workspace.set("sqlite://opportune.db", url);
        workspace.ok(&["init", "."]);
    }
    let settings = std::fs::read_to_string(workspace.path("opportune.toml")).unwrap();
    let provider = format!(
        "\n[provider.shop]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/messages\"\n\
         secret = {{ env = \"SHOP_SECRET\" }}\n",
        endpoint.port
    );
    workspace.write("opportune.toml", &(settings + &provider));
    let mut rows = "recipient,address,time_zone,opted_in_at\n".to_owned();
    for n in 0..people {
        rows.push_str(&format!("r{n},+5511{n:08},America/Sao_Paulo,2026-01-01T00:00:00Z\n"));
    }
    workspace.write("recipients.csv", &rows);
    let imported =
        command(&workspace, &["import", "recipients", "recipients.csv"]).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    (workspace, listen)
}

fn command(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = workspace.command(args);
    command.env("SHOP_SECRET", SECRET);
    command
}

fn json(workspace: &Workspace, args: &[&str]) -> serde_json::Value {
    let output = command(workspace, args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn daemon(workspace: &Workspace) -> Child {
    // a test that fails leaves it running: it must not hold the test's own output open
    let mut command = command(workspace, &["daemon"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Submits a campaign that is open now, and has its plan say that everybody is due: slots begin in
/// the future, and no test waits for one.
fn submit_due(workspace: &Workspace, url: &str) {
    let now = Clock::system().now();
    let wall = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let (start, end) = (wall(now - TimeDelta::days(2)), wall(now + TimeDelta::days(2)));
    workspace.write(
        "c.toml",
        &format!(
            "name = \"spring\"\nprovider = \"shop\"\n[window]\nstart = {start}\nend = {end}\n\
             time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n\
             [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n"
        ),
    );
    let submitted = command(workspace, &["campaign", "submit", "c.toml"]).output().unwrap();
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(url, Create::No).await.unwrap();
        let row = store
            .read()
            .await
            .unwrap()
            .campaign(&"spring".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        let length = SlotLength::HOUR;
        let due = |id: RecipientId| support::planned(id, "words", now, length);
        let people =
            store.read().await.unwrap().recipients_after(RecipientId(0), 10_000).await.unwrap();
        let deliveries: Vec<_> = people.iter().map(|person| due(person.id)).collect();
        let mut tx = store.begin().await.unwrap();
        tx.put_decisions(row.id, &deliveries, length, now).await.unwrap();
        tx.set_campaign_plan(row.id, now, None, "{}", &[]).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
    });
}

fn sqlite(workspace: &Workspace) -> String {
    format!("sqlite://{}", workspace.path("opportune.db").display())
}

fn sent(workspace: &Workspace) -> u64 {
    let standing = json(workspace, &["campaign", "show", "spring"]);
    let states = standing["states"].as_array().unwrap();
    let sum = states.iter().filter(|s| s["state"] == "sent").map(|s| s["people"].as_u64().unwrap());
    sum.sum()
}

/// Posts to the daemon; the status of the answer.
fn post(port: u16, path: &str, signature: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-opportune-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

#[test]
fn messages_go_out_and_answers_come_back() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, port) = workspace(&endpoint, 40, None);
    submit_due(&workspace, &sqlite(&workspace));
    let mut daemon = daemon(&workspace);
    eventually("readiness", || is_ready(port));
    // the command line looks at the same file while the daemon works on it
    eventually("everybody being sent to", || sent(&workspace) == 40);
    endpoint.assert_each_once(40);

    let read = (Clock::system().now() - TimeDelta::seconds(1)).to_rfc3339();
    let body = format!(
        r#"{{"updates":[{{"message":"spring:1","event":"read","at":"{read}"}},
            {{"provider_message":"ext-spring:2","event":"replied","at":"{read}"}},
            {{"message":"spring:3","event":"opted_out","at":"{read}"}},
            {{"message":"spring:3","event":"opted_out","at":"{read}"}},
            {{"message":"nobody:9","event":"read","at":"{read}"}}]}}"#
    );
    assert_eq!(post(port, "/webhooks/shop", &sign(b"another body"), &body), 401);
    assert_eq!(post(port, "/webhooks/shop", &sign(body.as_bytes()), &body), 200);
    assert_eq!(post(port, "/webhooks/shop", &sign(b"[]"), "[]"), 400);
    assert_eq!(post(port, "/webhooks/none", "", "{}"), 404);
    let results = json(&workspace, &["campaign", "results", "spring"]);
    let arm = &results["arms"][0];
    assert_eq!((&arm["engaged"], &arm["opted_out"]), (&2.into(), &1.into()), "{results}");
    assert_eq!(json(&workspace, &["consent", "show", "r2"])["consented"], false);
    command(&workspace, &["campaign", "export", "spring", "--out", "e.csv"]).status().unwrap();
    let export = std::fs::read_to_string(workspace.path("e.csv")).unwrap();
    assert!(
        export.contains("spring:2,r1,+551100000001,sent,best_slot,words,personalized,"),
        "{export}"
    );
    assert!(export.contains(",1,ext-spring:2,"), "{export}");
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_stopped_daemon_finishes_what_is_in_flight_and_the_next_sends_the_rest() {
    const PEOPLE: usize = 400;
    let endpoint = Endpoint::start(Duration::from_millis(400));
    let (workspace, _) = workspace(&endpoint, PEOPLE, None);
    submit_due(&workspace, &sqlite(&workspace));
    let mut first = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    signal(&first, "-TERM");
    assert!(first.wait().unwrap().success());
    let called = endpoint.count();
    assert!(called < PEOPLE, "all were called before the signal");
    // nothing is left claimed, and what was called is known as sent
    assert_eq!(sent(&workspace), called as u64);
    let mut second = daemon(&workspace);
    eventually("the rest", || sent(&workspace) == PEOPLE as u64);
    endpoint.assert_each_once(PEOPLE);
    signal(&second, "-INT");
    assert!(second.wait().unwrap().success());
}

#[test]
fn a_killed_daemon_sends_nothing_twice() {
    const PEOPLE: usize = 300;
    let endpoint = Endpoint::start(Duration::from_millis(300));
    let (workspace, _) = workspace(&endpoint, PEOPLE, None);
    submit_due(&workspace, &sqlite(&workspace));
    let mut first = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    signal(&first, "-KILL");
    first.wait().unwrap();
    let called = endpoint.count();
    let mut second = daemon(&workspace);
    // what the dead one had claimed stays claimed until its lease ends: nobody calls it again
    std::thread::sleep(Duration::from_secs(3));
    let got = endpoint.got.lock().unwrap().clone();
    assert!(got.len() >= called && got.values().all(|times| *times == 1), "{got:?}");
    signal(&second, "-TERM");
    assert!(second.wait().unwrap().success());
}

#[test]
fn two_daemons_share_one_postgres_database() {
    const PEOPLE: usize = 1500;
    let endpoint = Endpoint::start(Duration::from_millis(5));
    let url = Postgres::shared().database();
    let (one, _) = workspace(&endpoint, PEOPLE, Some(&url));
    let (two, _) = workspace(&endpoint, PEOPLE, Some(&url));
    submit_due(&one, &url);
    let mut daemons = [daemon(&one), daemon(&two)];
    eventually("everybody being sent to", || sent(&one) == PEOPLE as u64);
    endpoint.assert_each_once(PEOPLE);
    for daemon in &mut daemons {
        signal(daemon, "-TERM");
        assert!(daemon.wait().unwrap().success());
    }
}

#[test]
fn nobody_is_sent_to_whose_consent_ended_after_planning() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, _) = workspace(&endpoint, 3, None);
    submit_due(&workspace, &sqlite(&workspace));
    command(&workspace, &["consent", "withdraw", "r1"]).output().unwrap();
    let mut daemon = daemon(&workspace);
    eventually("the others being sent to", || sent(&workspace) == 2);
    let states = json(&workspace, &["campaign", "show", "spring"])["states"].clone();
    let refused =
        serde_json::json!({"state": "refused", "reason": "consent_withdrawn", "people": 1});
    eventually("the refusal", || {
        let states = json(&workspace, &["campaign", "show", "spring"])["states"].clone();
        states.as_array().unwrap().contains(&refused)
    });
    assert!(!endpoint.got.lock().unwrap().contains_key("spring:2"), "{states}");
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn logs_are_what_the_settings_ask_for_and_never_name_an_address_or_a_text() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, port) = workspace(&endpoint, 10, None);
    submit_due(&workspace, &sqlite(&workspace));
    let log = workspace.path("log");
    let mut daemon = command(&workspace, &["daemon"])
        .env("OPPORTUNE_LOG", "opportune=trace,sqlx=debug,hyper=info")
        .env("OPPORTUNE_LOG_FORMAT", "json")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    eventually("everybody being sent to", || sent(&workspace) == 10);
    assert_eq!(post(port, "/webhooks/shop", &sign(b"another"), r#"{"to":"+551100000001"}"#), 401);
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let began = lines.iter().find(|l| l["fields"]["message"] == "the daemon is at work").unwrap();
    assert!(began["level"] == "INFO" && began["timestamp"].is_string(), "{began}");
    let fields = &began["fields"];
    assert_eq!(fields["listen"], format!("127.0.0.1:{port}"));
    assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(fields["database"], "SQLite");
    assert!(fields["node"].is_string(), "{fields}");
    assert_eq!(fields["providers"], "console (console), shop (http), simulated (simulated)");
    assert!(lines.iter().any(|l| l["target"].as_str().is_some_and(|t| t.starts_with("sqlx"))));
    for secret in ["+5511", "5511000", "Hello", SECRET] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    // a level that asks for less gets less, and a filter that is none is named
    let stderr = |filter: &str| {
        let ran = command(&workspace, &["status"]).env("OPPORTUNE_LOG", filter).output().unwrap();
        assert!(ran.status.success());
        String::from_utf8(ran.stderr).unwrap()
    };
    assert_eq!(stderr("error"), "");
    assert!(stderr("opportune=loud").contains("OPPORTUNE_LOG is no filter"), "it is named");
}

/// What is left of fifteen seconds is the machine's own slowness.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// Ends a daemon by a signal, in time.
fn stops(mut daemon: Child, name: &str) -> Duration {
    let begun = Instant::now();
    signal(&daemon, name);
    let ended = loop {
        if let Some(status) = daemon.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(40) {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            panic!("it does not end after {name}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success(), "{ended:?}");
    assert!(begun.elapsed() < STOPS_WITHIN, "{:?}", begun.elapsed());
    begun.elapsed()
}

fn states(workspace: &Workspace) -> BTreeMap<String, u64> {
    let standing = json(workspace, &["campaign", "show", "spring"]);
    let states = standing["states"].as_array().unwrap();
    let count = |state: &serde_json::Value| {
        (state["state"].as_str().unwrap().to_owned(), state["people"].as_u64().unwrap())
    };
    let mut sums = BTreeMap::new();
    for (state, people) in states.iter().map(count) {
        *sums.entry(state).or_default() += people;
    }
    sums
}

#[test]
fn a_signal_ends_a_daemon_whose_provider_hangs_and_gives_back_what_was_not_called() {
    const PEOPLE: u64 = 200;
    for name in ["-TERM", "-INT"] {
        let endpoint = Endpoint::start(Duration::from_secs(300));
        let (workspace, _) = workspace(&endpoint, PEOPLE as usize, None);
        workspace.set(
            "secret = { env = \"SHOP_SECRET\" }",
            "secret = { env = \"SHOP_SECRET\" }\ntimeout = \"60s\"",
        );
        submit_due(&workspace, &sqlite(&workspace));
        let daemon = daemon(&workspace);
        eventually("the first calls", || endpoint.count() >= 64);
        stops(daemon, name);
        let called = endpoint.count() as u64;
        let states = states(&workspace);
        // whom it had begun to call is in doubt; everybody else waits as before
        assert_eq!(states.get("in_doubt"), Some(&called), "{states:?}");
        assert_eq!(states.get("planned"), Some(&(PEOPLE - called)), "{states:?}");
    }
}

#[test]
fn a_signal_ends_a_daemon_whose_database_hangs() {
    let server = Server::start();
    let endpoint = Endpoint::start(Duration::from_millis(100));
    let (workspace, port) = workspace(&endpoint, 2000, Some(&server.url()));
    submit_due(&workspace, &server.url());
    let daemon = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    server.freeze();
    let mut told = String::new();
    eventually("readiness to end", || {
        told = get(port, "/readyz");
        told.starts_with("HTTP/1.1 503")
    });
    assert!(told.contains("the database does not answer"), "{told}");
    // what the process knows by itself is told all the same
    let metrics = get(port, "/metrics");
    assert!(metrics.contains("opportune_database_up 0"), "{metrics}");
    assert!(metrics.contains("opportune_task_running{task=\"send:shop:1\"}"), "{metrics}");
    stops(daemon, "-TERM");
    server.thaw();
}

#[test]
fn a_second_signal_ends_a_daemon_at_once() {
    let endpoint = Endpoint::start(Duration::from_secs(300));
    let (workspace, _) = workspace(&endpoint, 10, None);
    submit_due(&workspace, &sqlite(&workspace));
    let daemon = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    signal(&daemon, "-TERM");
    std::thread::sleep(Duration::from_millis(300));
    let took = stops(daemon, "-TERM");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn neither_silent_clients_nor_an_endpoint_that_hangs_keep_a_daemon() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, port) = workspace(&endpoint, 30, None);
    let url = format!("http://127.0.0.1:{}/", hanging.local_addr().unwrap().port());
    workspace.set(
        "secret = { env = \"SHOP_SECRET\" }",
        &format!(
            "secret = {{ env = \"SHOP_SECRET\" }}\ninbound_url = \"{url}\"\n\
             inbound_secret = {{ env = \"SHOP_SECRET\" }}"
        ),
    );
    workspace.set("allow_hosts = []", "allow_hosts = [\"127.0.0.1\"]");
    workspace.set("allow_private = false", "allow_private = true");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&sqlite(&workspace), Create::No).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        for n in 0..40 {
            let (provider, now) = ("shop".parse().unwrap(), Clock::system().now());
            tx.add_inbound(&provider, &format!("m{n}"), None, "{}", now).await.unwrap();
        }
        tx.commit().await.unwrap();
        store.close().await;
    });
    let daemon = daemon(&workspace);
    eventually("readiness", || is_ready(port));
    hanging.accept().unwrap();
    // messages go out and campaigns are tended while the endpoint hangs
    submit_due(&workspace, &sqlite(&workspace));
    eventually("everybody being sent to", || sent(&workspace) == 30);
    // how tasks stand is written every few seconds
    let well = |name: &str| {
        let tasks = json(&workspace, &["status"])["tasks"].clone();
        let found = tasks.as_array().unwrap().iter().find(|task| task["name"] == name).cloned();
        found.is_some_and(|task| task["last_succeeded_at"].is_string())
    };
    for name in ["send:shop:1", "send:shop:2", "receive", "maintain", "plan", "cron", "status"] {
        eventually(name, || well(name));
    }
    assert!(!well("forward:shop"), "it waits for an answer");
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
    half.write_all(
        b"POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
    )
    .unwrap();
    let idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stops(daemon, "-TERM");
    drop((half, idle));
    assert_eq!(json(&workspace, &["status"])["tasks"], serde_json::json!([]));
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

async fn ctx_in(dir: &tempfile::TempDir) -> Ctx {
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    Ctx {
        store: Store::open(&url, Create::IfMissing).await.unwrap(),
        env: StepEnv {
            clock: Clock::system(),
            rules: Arc::new(Rules::built_in()),
            config: Arc::new(Config::parse("", Path::new("x")).unwrap()),
            providers: Arc::default(),
            node: new_node(),
            judge: None,
        },
    }
}

/// Panics, fails, and goes well, in turn.
struct Unsteady(Ctx, Arc<AtomicU32>);

impl Task for Unsteady {
    async fn step(&mut self) -> Result<Moment, StepError> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("+5511999990000 is a secret"),
            1 => Err(StepError::new("could not do it")),
            _ => Ok(self.0.clock.now() + TimeDelta::milliseconds(10)),
        }
    }
}

struct Steady(Ctx, Arc<AtomicU32>);

impl Task for Steady {
    async fn step(&mut self) -> Result<Moment, StepError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clock.now() + TimeDelta::milliseconds(10))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_after_a_panic_and_an_error_and_holds_up_no_other() {
    log_panics();
    let dir = tempfile::TempDir::new().unwrap();
    let ctx = ctx_in(&dir).await;
    let (stopper, stop) = watch::channel(false);
    let tasks = Tasks::default();
    let mut supervisor = Supervisor::new(ctx.clone(), tasks.clone(), stop);
    let patience = Patience { failing: TimeDelta::seconds(1), step: TimeDelta::minutes(1) };
    let terms = Terms { patience, backoff_max: TimeDelta::milliseconds(900) };
    let [unsteady, steady] = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    supervisor.start("unsteady", terms, Unsteady(ctx.clone(), Arc::clone(&unsteady)));
    supervisor.start("steady", terms, Steady(ctx.clone(), Arc::clone(&steady)));
    let row = |name: &str| tasks.rows().into_iter().find(|(row, _)| row.name == name).unwrap();
    while row("unsteady").0.failures == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (failed, _) = row("unsteady");
    assert_eq!((failed.runs, failed.failures, failed.panics), (2, 1, 1));
    assert_eq!(failed.last_result.as_deref(), Some("failed"));
    assert_eq!(failed.last_error.as_deref(), Some("could not do it"));
    assert!(steady.load(Ordering::SeqCst) > 3, "the other waited");
    assert_eq!(tasks.problems(ctx.clock.now()), Vec::<String>::new());
    let told = tasks.problems(ctx.clock.now() + TimeDelta::seconds(5)).join(" ");
    assert!(told.contains("task unsteady has been failing"), "{told}");
    while row("unsteady").0.last_succeeded_at.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(row("unsteady").0.last_result.as_deref(), Some("ok"));
    stopper.send_replace(true);
    supervisor.join().await;
    assert_eq!(tasks.problems(ctx.clock.now() + TimeDelta::hours(9)), Vec::<String>::new());
}
