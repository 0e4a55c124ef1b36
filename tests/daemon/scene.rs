//! What every test here stands on: an endpoint of the user's own, a workspace whose settings point to
//! it, and the daemon as a process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use opportune::clock::Clock;
use opportune::model::ids::RecipientId;
use opportune::model::slot::SlotLength;
use opportune::store::{Create, Store};

use crate::support::{self, Workspace, free_port};

/// A body and its signature.
type Signed = (Vec<u8>, String);

/// An endpoint of the user's own, as the `http` provider posts to it.
pub(crate) struct Endpoint {
    pub(crate) port: u16,
    /// Bodies by message, and how often each came.
    pub(crate) got: Arc<Mutex<BTreeMap<String, u32>>>,
    /// Bodies and their signatures. Looked at in the end: a program started for each of them would
    /// keep a busy machine from answering in time.
    signed: Arc<Mutex<Vec<Signed>>>,
}

pub(crate) const SECRET: &str = "a shared secret";

impl Endpoint {
    /// Answers each message after `delay`.
    pub(crate) fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Self { port, got: Arc::default(), signed: Arc::default() };
        let (got, signed) = (Arc::clone(&endpoint.got), Arc::clone(&endpoint.signed));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (got, signed) = (Arc::clone(&got), Arc::clone(&signed));
                std::thread::spawn(move || serve(&stream.unwrap(), delay, &got, &signed));
            }
        });
        endpoint
    }

    pub(crate) fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    pub(crate) fn assert_each_once(&self, people: usize) {
        let got = self.got.lock().unwrap();
        assert_eq!(got.len(), people);
        assert!(got.values().all(|times| *times == 1), "{got:?}");
        let signed = self.signed.lock().unwrap();
        let (bodies, given): (Vec<_>, Vec<_>) = signed.iter().cloned().unzip();
        assert_eq!(given, signatures(&bodies));
    }
}

fn serve(
    stream: &TcpStream,
    delay: Duration,
    got: &Mutex<BTreeMap<String, u32>>,
    signed: &Mutex<Vec<Signed>>,
) {
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
        let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
        signed.lock().unwrap().push((body, signature));
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
pub(crate) fn sign(body: &[u8]) -> String {
    signatures(&[body]).remove(0)
}

/// Signatures of some bodies, in their order, by one run of it.
fn signatures(bodies: &[impl AsRef<[u8]>]) -> Vec<String> {
    let dir = tempfile::TempDir::new().unwrap();
    let names: Vec<String> = (0..bodies.len()).map(|at| at.to_string()).collect();
    for (name, body) in names.iter().zip(bodies) {
        std::fs::write(dir.path().join(name), body).unwrap();
    }
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .args(&names)
        .current_dir(dir.path())
        .output()
        .expect("openssl runs");
    let text = String::from_utf8(output.stdout).unwrap();
    let hash = |line: &str| format!("sha256={}", line.rsplit(' ').next().unwrap());
    text.lines().map(hash).collect()
}

/// A workspace with people who agreed, and settings that point to the endpoint.
pub(crate) fn workspace(
    endpoint: &Endpoint,
    people: usize,
    database: Option<&str>,
) -> (Workspace, u16) {
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

pub(crate) fn command(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = workspace.command(args);
    command.env("SHOP_SECRET", SECRET);
    command
}

pub(crate) fn json(workspace: &Workspace, args: &[&str]) -> serde_json::Value {
    let output = command(workspace, args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn daemon(workspace: &Workspace) -> Child {
    // a test that fails leaves it running: it must not hold the test's own output open
    let mut command = command(workspace, &["daemon"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Submits a campaign that is open now, and has its plan say that everybody is due: slots begin in
/// the future, and no test waits for one.
pub(crate) fn submit_due(workspace: &Workspace, url: &str) {
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

pub(crate) fn sqlite(workspace: &Workspace) -> String {
    format!("sqlite://{}", workspace.path("opportune.db").display())
}

pub(crate) fn sent(workspace: &Workspace) -> u64 {
    let standing = json(workspace, &["campaign", "show", "spring"]);
    let states = standing["states"].as_array().unwrap();
    let sum = states.iter().filter(|s| s["state"] == "sent").map(|s| s["people"].as_u64().unwrap());
    sum.sum()
}

/// Waits until so many are sent to; where that does not come true, says what became of them.
pub(crate) fn wait_until_sent(workspace: &Workspace, people: u64) {
    let failure = || format!("{people} are to be sent to: {:?}", states(workspace));
    support::eventually_or(failure, || sent(workspace) == people);
}

/// Posts to the daemon; the status of the answer.
pub(crate) fn post(port: u16, path: &str, signature: &str, body: &str) -> u16 {
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

pub(crate) fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// What is left of fifteen seconds is the machine's own slowness.
pub(crate) const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// Ends a daemon by a signal, in time.
pub(crate) fn stops(mut daemon: Child, name: &str) -> Duration {
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

pub(crate) fn states(workspace: &Workspace) -> BTreeMap<String, u64> {
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

pub(crate) fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
