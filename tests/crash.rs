//! Daemons that are killed and frozen, a database that is stopped at once, a provider that loses
//! answers, delays, throttles and fails: nothing is lost, nobody is sent to twice.
//!
//! A small count runs everywhere; a large one by hand:
//! `CRASH_MESSAGES=20000 CRASH_KILLS=50 CRASH_STOPS=10 cargo test --test crash`. A failure prints
//! its seed; `CRASH_SEED` repeats the script.

#[path = "support/graph.rs"]
mod graph;
#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Timelike};
use opportune::calendar::zone::local;
use opportune::clock::Clock;
use opportune::config::SecretValue;
use opportune::model::delivery::State;
use opportune::model::ids::RecipientId;
use opportune::model::slot::SlotLength;
use opportune::provider::signature;
use opportune::store::{Create, Store};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use support::{Workspace, free_port};

use graph::{Answer, Call, Graph};
use server::Server;

const SECRET: &str = "an app's secret";
const RATE: usize = 50;
/// Statuses in one post.
const POST: usize = 50;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A daemon with settings and a log of its own, on a shared database.
struct Daemon {
    workspace: Workspace,
    port: u16,
    child: Child,
}

impl Daemon {
    fn start(url: &str, graph: u16, quiet: &str) -> Self {
        let workspace = Workspace::new();
        for (file, text) in [("token", "a-token"), ("app", SECRET), ("verify", "a-word")] {
            workspace.write(file, text);
        }
        let port = free_port();
        let settings = format!(
            "max_lateness = \"1h\"\n[database]\nurl = \"{url}\"\n\
             [daemon]\nlisten = \"127.0.0.1:{port}\"\nlease = \"6s\"\n{quiet}\
             [provider.wa]\nkind = \"whatsapp\"\nbase_url = \"http://127.0.0.1:{graph}/v25.0\"\n\
             phone_number_id = \"1\"\ntoken = {{ file = \"token\" }}\n\
             app_secret = {{ file = \"app\" }}\nverify_token = {{ file = \"verify\" }}\n\
             timeout = \"1s\"\nin_doubt_grace = \"20s\"\ncanary = 5\ncanary_wait = \"1s\"\n\
             [provider.wa.limits]\nper_second = {RATE}\nunique_per_day = 100000\n"
        );
        workspace.write("opportune.toml", &settings);
        let child = Self::spawn(&workspace);
        Self { workspace, port, child }
    }

    fn spawn(workspace: &Workspace) -> Child {
        let log = File::options().create(true).append(true).open(workspace.path("log")).unwrap();
        let mut command = workspace.command(&["daemon"]);
        command.env("OPPORTUNE_LOG", "debug,sqlx=info,hyper=info,reqwest=info,rustls=info");
        command.stderr(log).stdout(Stdio::null()).spawn().unwrap()
    }

    fn kill_and_restart(&mut self) {
        signal(&self.child, "-KILL");
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.workspace);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.workspace.path("log")).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Posts statuses of calls that were taken; whether they were.
fn post_statuses(port: u16, calls: &[Call]) -> bool {
    let now = Clock::system().now().timestamp().to_string();
    let status = |call: &Call, word: &str| {
        json!({ "id": format!("wamid.{}", call.callback()), "status": word, "timestamp": now,
            "recipient_id": "1", "biz_opaque_callback_data": call.callback() })
    };
    // out of order, and some of them twice
    let items: Vec<_> = calls
        .iter()
        .flat_map(|call| ["delivered", "sent", "sent"].map(|word| status(call, word)))
        .collect();
    let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{
        "field": "messages", "value": { "messaging_product": "whatsapp",
        "metadata": { "phone_number_id": "1" }, "statuses": items } }] }] })
    .to_string();
    let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!(
        "POST /webhooks/wa HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-hub-signature-256: {signed}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// Everybody is due now; those in the second zone are in their quiet hours.
async fn prepare(url: &str, awake: usize, asleep: usize) -> (i64, Vec<RecipientId>) {
    let store = Store::open(url, Create::IfMissing).await.unwrap();
    let now = Clock::system().now();
    let mut tx = store.begin().await.unwrap();
    let rows: Vec<_> = (0..awake + asleep)
        .map(|n| {
            let zone = if n < awake { "America/Sao_Paulo" } else { "Asia/Kolkata" };
            let profile = opportune::model::recipient::Profile {
                address: Some(format!("+5511{n:09}").parse().unwrap()),
                zone: Some(opportune::model::recipient::Zone {
                    tz: zone.parse().unwrap(),
                    inferred: false,
                }),
                ..Default::default()
            };
            (format!("r{n}").parse().unwrap(), profile)
        })
        .collect();
    let ids: Vec<RecipientId> =
        tx.put_recipients(&rows).await.unwrap().into_iter().map(|(id, _)| id).collect();
    let granted = support::granted(now - TimeDelta::days(9), now);
    let entries: Vec<_> = ids.iter().map(|id| (*id, granted.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    let wall = |at: opportune::model::time::Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let source = format!(
        "name = \"c\"\nprovider = \"wa\"\nfallback_language = \"pt\"\n[window]\nstart = {}\nend = {}\ntime_zone = \"UTC\"\n\
         [[variant]]\nname = \"words\"\nmedia = \"text\"\ntemplate = \"promo\"\nlanguage = \"pt\"\n",
        wall(now - TimeDelta::days(1)),
        wall(now + TimeDelta::days(2)),
    );
    let campaign = opportune::model::campaign::Campaign::from_toml(&source).unwrap();
    let ends_at = now + TimeDelta::days(2);
    let id = tx.add_campaign(&campaign, &source, now, ends_at).await.unwrap().unwrap();
    let delivery =
        |recipient: &RecipientId| support::planned(*recipient, "words", now, SlotLength::HOUR);
    let deliveries: Vec<_> = ids.iter().map(delivery).collect();
    tx.put_decisions(id, &deliveries, SlotLength::HOUR, now).await.unwrap();
    tx.set_campaign_plan(id, now, None, "{}", &[]).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    (id, ids)
}

/// What the provider does with a call, by a script that a seed decides.
fn script(graph: &Graph, seed: u64) {
    let rng = std::sync::Mutex::new(ChaCha8Rng::seed_from_u64(seed));
    graph.answer(move |_| match rng.lock().unwrap().gen_range(0..100) {
        0..=2 => Answer::Lost,
        3..=4 => Answer::Ignored,
        5..=6 => Answer::Garbled,
        7..=8 => Answer::Code(131_056),
        9 => Answer::Code(131_026),
        10 => Answer::Code(999_999),
        11 => Answer::Code(130_472),
        12..=40 => Answer::Slow(150),
        _ => Answer::Accept,
    });
}

/// Waits for everybody who is awake to be in an end state; passes on what the provider took, most of
/// it twice, to whichever daemon answers.
async fn drain(
    store: &Store,
    campaign: i64,
    awake: usize,
    graph: &Graph,
    daemons: &mut [Daemon],
    mut trouble: impl FnMut(&mut [Daemon], usize),
) {
    let deadline = Instant::now() + Duration::from_secs(120 + awake as u64 / 10);
    let (mut told, mut waiting) = (0, Vec::<Call>::new());
    loop {
        let calls = graph.calls();
        trouble(daemons, calls.len());
        waiting.extend(calls[told..].iter().filter(|call| call.taken).cloned());
        told = calls.len();
        let ports: Vec<u16> = daemons.iter().map(|daemon| daemon.port).collect();
        waiting = tokio::task::spawn_blocking(move || {
            let told = |(index, calls): (usize, &[Call])| {
                let port = ports[index % ports.len()];
                if post_statuses(port, calls) { Vec::new() } else { calls.to_vec() }
            };
            waiting.chunks(POST).enumerate().flat_map(told).collect()
        })
        .await
        .unwrap();
        if let Ok(counts) = store.read().await.unwrap().state_counts(campaign).await {
            let ended: u64 = counts.iter().filter(|c| c.state.is_end()).map(|c| c.people).sum();
            if ended >= awake as u64 && waiting.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "they do not end: {counts:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn check(store: &Store, campaign: i64, ids: &[RecipientId], awake: usize, graph: &Graph) {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let calls = graph.calls();
    for call in &calls {
        *taken.entry(call.to().to_owned()).or_default() += usize::from(call.taken);
    }
    let rows = store.read().await.unwrap().deliveries(campaign, SlotLength::HOUR).await.unwrap();
    assert_eq!(rows.len(), ids.len(), "everybody has one row");
    let mut sent = 0;
    for (n, row) in rows.iter().enumerate() {
        let times = taken.get(&format!("+5511{n:09}")).copied();
        let (state, reason) = (row.delivery.state, row.delivery.reason);
        let told = format!("r{n} is {state} ({reason}), taken {times:?}");
        if n >= awake {
            assert!(times.is_none() && !state.is_end(), "called in a quiet hour: {told}");
            continue;
        }
        assert!(state.is_end(), "{told}");
        match state {
            State::Sent => assert_eq!(times, Some(1), "{told}"),
            State::InDoubtExpired => assert!(times.unwrap_or(0) <= 1, "{told}"),
            State::Failed | State::Refused => assert_eq!(times.unwrap_or(0), 0, "{told}"),
            _ => panic!("{told}"),
        }
        sent += usize::from(state == State::Sent);
    }
    assert!(sent > awake / 2, "only {sent} of {awake} were sent");
    // an arrival is a little later than its call, by as much as this machine is busy
    let window = Duration::from_millis(700);
    for (index, call) in calls.iter().enumerate() {
        let within = calls[index..].iter().take_while(|later| later.at - call.at < window).count();
        assert!(within <= RATE, "{within} calls within {window:?}");
    }
}

fn no_address_is_logged(daemons: &[Daemon]) {
    for daemon in daemons {
        let log = daemon.log();
        assert!(log.contains("the daemon is at work"), "{log}");
        let line = log.lines().find(|line| line.contains("+5511") || line.contains(SECRET));
        assert_eq!(line, None);
    }
}

/// Quiet now in Kolkata, and not in São Paulo, eight and a half hours behind.
fn quiet_in_kolkata() -> String {
    let tz: chrono_tz::Tz = "Asia/Kolkata".parse().unwrap();
    let hour = local(Clock::system().now(), tz).hour();
    let (start, end) = ((hour + 22) % 24, (hour + 3) % 24);
    format!("[quiet_hours]\nstart = \"{start:02}:00\"\nend = \"{end:02}:00\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_neither_kills_nor_stops_nor_freezes_lose_or_repeat_a_message() {
    let (awake, asleep) = (number("CRASH_MESSAGES", 500) as usize, 10);
    let (kills, stops) = (number("CRASH_KILLS", 5), number("CRASH_STOPS", 2));
    let seed = number("CRASH_SEED", 1);
    println!("CRASH_SEED={seed}");
    let server = Server::start();
    let graph = Graph::start().await;
    script(&graph, seed);
    let (campaign, ids) = prepare(&server.url(), awake, asleep).await;
    let quiet = quiet_in_kolkata();
    let mut daemons: Vec<Daemon> =
        (0..3).map(|_| Daemon::start(&server.url(), graph.port, &quiet)).collect();
    let store = Store::open(&server.url(), Create::No).await.unwrap();
    // trouble comes at moments that the number of calls decides
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let last = awake * 9 / 10;
    let kinds = (0..kills).map(|_| 0).chain((0..stops).map(|_| 1));
    let mut moments: Vec<(usize, u8)> =
        kinds.map(|kind| (rng.gen_range(1..last), kind)).chain([(last / 3, 2)]).collect();
    moments.sort_unstable();
    let mut moments = moments.into_iter().peekable();
    let mut frozen: Option<Instant> = None;
    drain(&store, campaign, awake, &graph, &mut daemons, |daemons, calls| {
        while let Some((_, kind)) = moments.next_if(|(at, _)| *at <= calls) {
            match kind {
                0 => daemons[rng.gen_range(1..3)].kill_and_restart(),
                1 => {
                    server.stop_at_once();
                    server.up();
                }
                _ => {
                    signal(&daemons[0].child, "-STOP");
                    frozen = Some(Instant::now());
                }
            }
        }
        // past its lease of six seconds
        if frozen.is_some_and(|since| since.elapsed() > Duration::from_secs(9)) {
            signal(&daemons[0].child, "-CONT");
            frozen = None;
        }
    })
    .await;
    if frozen.is_some() {
        signal(&daemons[0].child, "-CONT");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    check(&store, campaign, &ids, awake, &graph).await;
    no_address_is_logged(&daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_killed_daemon_loses_and_repeats_nothing() {
    let awake = number("CRASH_MESSAGES", 500) as usize / 2;
    let kills = number("CRASH_KILLS", 5);
    let seed = number("CRASH_SEED", 2);
    println!("CRASH_SEED={seed}");
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("crash.db").display());
    let graph = Graph::start().await;
    script(&graph, seed);
    let (campaign, ids) = prepare(&url, awake, 5).await;
    let mut daemons = vec![Daemon::start(&url, graph.port, &quiet_in_kolkata())];
    let store = Store::open(&url, Create::No).await.unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut moments: Vec<usize> = (0..kills).map(|_| rng.gen_range(1..awake * 9 / 10)).collect();
    moments.sort_unstable();
    let mut moments = moments.into_iter().peekable();
    drain(&store, campaign, awake, &graph, &mut daemons, |daemons, calls| {
        while moments.next_if(|at| *at <= calls).is_some() {
            daemons[0].kill_and_restart();
        }
    })
    .await;
    check(&store, campaign, &ids, awake, &graph).await;
    no_address_is_logged(&daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_database_down_and_up_again() {
    let server = Server::start();
    let graph = Graph::start().await;
    let (_, _) = prepare(&server.url(), 1, 0).await;
    let daemon = Daemon::start(&server.url(), graph.port, "");
    let ready = || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", daemon.port)) else { return 0 };
        let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).is_err()
            || stream.read_to_string(&mut answer).is_err()
        {
            return 0;
        }
        answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    };
    support::eventually("readiness", || ready() == 200);
    server.stop_at_once();
    support::eventually("the end of readiness", || ready() == 503);
    server.up();
    support::eventually("readiness again", || ready() == 200);
}
