//! How fast messages go out and answers come back, with durability as the databases ship it.
//!
//! Each figure stands beside a floor measured in the same run: two bare statements for a batch of
//! 500 rows on the same server. `DISPATCH_MESSAGES` sets the count, `DISPATCH_BACKLOG` how many
//! messages wait behind those that are due; `DISPATCH_ONLY` runs the parts whose names hold a word;
//! `DISPATCH_PEER` names the program of `benches/peers`, whose figure then stands beside.

#[expect(dead_code, reason = "each bench uses its own part of it")]
mod scene;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use opportune::clock::Clock;
use opportune::config::SecretValue;
use opportune::model::ids::Name;
use opportune::provider::{self, Meter, signature};
use opportune::store::{Create, Store};
use opportune::web;
use opportune::work::tasks::Tasks;
use opportune::work::{Ctx, dispatch};
use serde_json::json;
use sqlx::{Executor, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

use scene::visitor::Visitor;
use scene::{BARE, analyze, config, ctx, fill, instantly, number};
use server::Server;

const WORKERS: usize = 4;
const SECRET: &str = "an app's secret";

/// Runs workers until `count` messages are sent; messages a second.
async fn drain(ctx: &Ctx, provider: &str, count: usize, workers: usize) -> f64 {
    let (stopper, stop) = watch::channel(false);
    let sent = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    // dropped with this future, they end
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (ctx, stop, sent) = (ctx.clone(), stop.clone(), Arc::clone(&sent));
        let name: Name = provider.parse().unwrap();
        running.spawn(async move {
            while !*stop.borrow() {
                let report = dispatch::of_provider(&ctx, &name, &stop).await.unwrap();
                sent.fetch_add(report.done as u64, Ordering::Relaxed);
                if !report.more {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    while sent.load(Ordering::Relaxed) < count as u64 {
        assert!(begun.elapsed() < Duration::from_secs(300), "it does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    stopper.send_replace(true);
    running.join_all().await;
    rate
}

/// Two bare statements for each batch of 500 rows, as many at once as there are workers.
async fn floor(url: &str, count: usize) -> f64 {
    let db = PgPool::connect(url).await.unwrap();
    db.execute(
        "CREATE TABLE floor (id BIGINT PRIMARY KEY, state TEXT NOT NULL, at BIGINT NOT NULL)",
    )
    .await
    .unwrap();
    db.execute("CREATE INDEX floor_due ON floor (at) WHERE state = 'planned'").await.unwrap();
    sqlx::query("INSERT INTO floor SELECT n, 'planned', n FROM generate_series(1, $1) n")
        .bind(count as i64)
        .execute(&db)
        .await
        .unwrap();
    db.execute("ANALYZE floor").await.unwrap();
    let begun = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let db = db.clone();
        workers.push(tokio::spawn(async move {
            loop {
                let ids: Vec<i64> = sqlx::query_scalar(
                    "WITH due AS MATERIALIZED (SELECT id AS due_id FROM floor
                        WHERE state = 'planned' ORDER BY at LIMIT 500 FOR UPDATE SKIP LOCKED)
                     UPDATE floor SET state = 'claimed' FROM due WHERE id = due_id RETURNING id",
                )
                .fetch_all(&db)
                .await
                .unwrap();
                if ids.is_empty() {
                    return;
                }
                sqlx::query("UPDATE floor SET state = 'sent' WHERE id = ANY($1)")
                    .bind(ids)
                    .execute(&db)
                    .await
                    .unwrap();
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Jobs a second of another queue on the same server.
fn peer(program: &str, url: &str, count: usize) -> f64 {
    let run = std::process::Command::new(program).args([url, &count.to_string()]).output();
    let run = run.expect("DISPATCH_PEER names a program");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).trim().parse().expect("it prints its rate")
}

fn whatsapp(dir: &Path, limits: &str) -> String {
    for (file, text) in [("token", "a"), ("app", SECRET), ("verify", "b")] {
        std::fs::write(dir.join(file), text).unwrap();
    }
    let at = |file: &str| dir.join(file).display().to_string();
    format!(
        "[provider.p]\nkind = \"whatsapp\"\nphone_number_id = \"1\"\n\
         base_url = \"http://127.0.0.1:1/v25.0\"\ntoken = {{ file = \"{}\" }}\n\
         app_secret = {{ file = \"{}\" }}\nverify_token = {{ file = \"{}\" }}\ncanary = 0\n\
         [provider.p.limits]\n{limits}",
        at("token"),
        at("app"),
        at("verify"),
    )
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// A listener that reads posts and answers each at once, on connections that are kept.
async fn endpoint() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = axum::Router::new().route("/", axum::routing::post(async || "{}"));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    port
}

/// One kept connection that posts bodies to the daemon; the time of each answer in milliseconds.
async fn post_all(port: u16, bodies: Arc<Mutex<Vec<String>>>) -> Vec<f64> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut times = Vec::new();
    let mut buffer = vec![0; 4096];
    loop {
        let Some(body) = bodies.lock().await.pop() else { return times };
        let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
        let request = format!(
            "POST /webhooks/p HTTP/1.1\r\nhost: localhost\r\nx-hub-signature-256: {signed}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "{:?}", &buffer[..read.min(80)]);
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
}

/// Statuses of messages that were sent, in posts of a hundred.
fn statuses(campaign_people: usize, words: &[&str]) -> Vec<String> {
    let now = Clock::system().now().timestamp();
    let mut bodies = Vec::new();
    for word in words {
        let people: Vec<usize> = (1..=campaign_people).collect();
        for chunk in people.chunks(100) {
            let items: Vec<_> = chunk
                .iter()
                .map(|n| {
                    json!({ "id": format!("wamid.{n}"), "status": word,
                        "timestamp": now.to_string(), "recipient_id": format!("5511{n:09}"),
                        "biz_opaque_callback_data": format!("bench:{n}#1"),
                        "pricing": { "billable": true, "pricing_model": "PMP",
                                     "type": "regular", "category": "marketing" } })
                })
                .collect();
            bodies.push(
                json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1",
                    "changes": [{ "field": "messages", "value": {
                        "messaging_product": "whatsapp",
                        "metadata": { "display_phone_number": "1", "phone_number_id": "1" },
                        "statuses": items } }] }] })
                .to_string(),
            );
        }
    }
    bodies
}

struct Bench {
    server: Server,
    databases: AtomicU64,
    only: String,
}

impl Bench {
    fn wants(&self, part: &str) -> bool {
        part.contains(&self.only)
    }

    async fn database(&self) -> String {
        let n = self.databases.fetch_add(1, Ordering::Relaxed);
        let db = PgPool::connect(&self.server.url()).await.unwrap();
        db.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE b{n}"))).await.unwrap();
        self.server.url().replace("/postgres", &format!("/b{n}"))
    }

    async fn store(&self) -> (Store, String) {
        let url = self.database().await;
        (Store::open(&url, Create::IfMissing).await.unwrap(), url)
    }
}

fn tell(part: &str, rate: f64, wanted: f64, floor: f64) {
    let share = 100.0 * rate / floor;
    println!("{part:<42} {rate:>9.0}/s  wanted {wanted:>6.0}  {share:>5.1} % of the floor");
}

#[tokio::main]
async fn main() {
    let count = number("DISPATCH_MESSAGES", 100_000);
    let only = std::env::var("DISPATCH_ONLY").unwrap_or_default();
    let bench = Bench { server: Server::start(), databases: AtomicU64::new(0), only };
    let floor = floor(&bench.database().await, 4 * count).await;
    println!("floor, two bare statements a batch of 500   {floor:>9.0}/s");
    let dir = tempfile::TempDir::new().unwrap();

    if let Ok(program) = std::env::var("DISPATCH_PEER") {
        let rate = peer(&program, &bench.database().await, count);
        let share = 100.0 * rate / floor;
        println!(
            "graphile_worker, batched                   {rate:>9.0}/s  {share:>5.1} % of the floor"
        );
    }
    if bench.wants("postgres bare") {
        let (store, url) = bench.store().await;
        fill(&store, "bench", count, |_| TimeDelta::zero()).await;
        analyze(&url).await;
        let rate = drain(&ctx(store, config(BARE), instantly().1), "p", count, WORKERS).await;
        tell("PostgreSQL, bare loop", rate, 50_000.0, floor);
    }
    if bench.wants("postgres admission") {
        let (store, url) = bench.store().await;
        fill(&store, "bench", count, |_| TimeDelta::zero()).await;
        analyze(&url).await;
        let limits =
            "per_second = 100000\nunique_per_day = 100000000\ncalls_per_hour = 100000000\n";
        let settings = config(&whatsapp(dir.path(), limits));
        let rate = drain(&ctx(store, settings, instantly().1), "p", count, WORKERS).await;
        tell("PostgreSQL, every admission check", rate, 25_000.0, floor);
    }
    if bench.wants("sqlite bare") {
        let url = format!("sqlite://{}", dir.path().join("bench.db").display());
        let store = Store::open(&url, Create::IfMissing).await.unwrap();
        fill(&store, "bench", count, |_| TimeDelta::zero()).await;
        let rate = drain(&ctx(store, config(BARE), instantly().1), "p", count, 2).await;
        tell("SQLite, bare loop", rate, 60_000.0, floor);
    }
    if bench.wants("http") {
        let (store, url) = bench.store().await;
        let count = count / 2;
        fill(&store, "bench", count, |_| TimeDelta::zero()).await;
        analyze(&url).await;
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let settings = config(&format!(
            "[provider.p]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/\"\nsecret = {{ file = \"{}\" }}\n",
            endpoint().await,
            secret.display()
        ));
        let providers = provider::from_config(&settings.providers, &settings.outbound).unwrap();
        let rate = drain(&ctx(store, settings, providers), "p", count, WORKERS).await;
        tell("PostgreSQL, HTTP on loopback", rate, 10_000.0, floor);
    }
    if bench.wants("webhooks") {
        webhooks(&bench, dir.path(), floor).await;
    }
    if bench.wants("lateness") {
        lateness(&bench, dir.path()).await;
    }
    if bench.wants("postgres pages") {
        let (store, _) = bench.store().await;
        beside_pages("PostgreSQL", store, count).await;
    }
    if bench.wants("sqlite pages") {
        let url = format!("sqlite://{}", dir.path().join("pages.db").display());
        let store = Store::open(&url, Create::IfMissing).await.unwrap();
        beside_pages("SQLite", store, count).await;
    }
}

/// The bare loop with twenty pages open and live, beside the loop alone, in pairs whose order turns.
async fn beside_pages(database: &str, store: Store, count: usize) {
    const PAIRS: usize = 4;
    const PAGES: usize = 20;
    // a part comes every other second: some seconds are measured
    let count = 3 * count;
    let ctx = ctx(store, config(BARE), instantly().1);
    let visitor = Arc::new(Visitor::new(&ctx).await);
    let heard = Arc::new(AtomicU64::new(0));
    let mut ratios = Vec::with_capacity(PAIRS);
    for pair in 0..PAIRS {
        let mut rates = [0.0; 2];
        for turn in 0..2 {
            let with_pages = (pair + turn) % 2;
            let name = format!("bench-{pair}-{turn}");
            fill(&ctx.store, &name, count, |_| TimeDelta::zero()).await;
            let mut open = tokio::task::JoinSet::new();
            for page in 0..with_pages * PAGES {
                let (visitor, heard) = (Arc::clone(&visitor), Arc::clone(&heard));
                let path = match page % 2 {
                    0 => "/live/home".to_owned(),
                    _ => format!("/live/campaigns/{name}"),
                };
                open.spawn(async move { visitor.watch(&path, heard).await });
            }
            rates[with_pages] = drain(&ctx, "p", count, WORKERS).await;
        }
        ratios.push(rates[1] / rates[0]);
    }
    let (least, median) = (percentile(&mut ratios, 0.0), percentile(&mut ratios, 0.5));
    println!(
        "{database}, {PAGES} pages open and live: {median:.2} of the rate without (median of {PAIRS} \
         pairs, least {least:.2}); wanted 0.95; {} parts came",
        heard.load(Ordering::Relaxed)
    );
}

/// Statuses come in while a thousand messages a second go out.
async fn webhooks(bench: &Bench, dir: &Path, floor: f64) {
    let (store, url) = bench.store().await;
    let known = number("DISPATCH_UPDATES", 60_000) / 3;
    // the first part goes out at once and is spoken of; the rest at a thousand a second meanwhile
    let paced = 20_000;
    let due = |n: usize| {
        if n < known {
            TimeDelta::zero()
        } else {
            TimeDelta::milliseconds((n - known) as i64 + 15_000)
        }
    };
    fill(&store, "bench", known + paced, due).await;
    analyze(&url).await;
    let (_, providers) = instantly();
    let bare = ctx(store.clone(), config(BARE), providers.clone());
    drain(&bare, "p", known, WORKERS).await;
    let settings = config(&whatsapp(dir, "per_second = 1100\nunique_per_day = 100000000\n"));
    let real = provider::from_config(&settings.providers, &settings.outbound).unwrap();
    let listening = ctx(store.clone(), settings.clone(), real);
    let sending = ctx(store, settings, providers);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(web::serve(listening, Meter::default(), Tasks::default(), listener, stop.clone()));
    let pace = tokio::spawn(async move { drain(&sending, "p", usize::MAX / 2, 2).await });
    let bodies = statuses(known, &["read", "delivered", "sent"]);
    let updates = 100 * bodies.len();
    let bodies = Arc::new(Mutex::new(bodies));
    let begun = Instant::now();
    let posters: Vec<_> =
        (0..8).map(|_| tokio::spawn(post_all(port, Arc::clone(&bodies)))).collect();
    let mut times = Vec::new();
    for poster in posters {
        times.extend(poster.await.unwrap());
    }
    let rate = updates as f64 / begun.elapsed().as_secs_f64();
    tell("webhook updates, in posts of 100", rate, 20_000.0, floor);
    let (median, last) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    println!(
        "  answered in {median:.1} ms (median), {last:.1} ms (99th percentile); wanted 50, 250"
    );
    pace.abort();
    stopper.send_replace(true);
}

/// A thousand messages a second fall due in front of a large backlog.
async fn lateness(bench: &Bench, dir: &Path) {
    let (store, url) = bench.store().await;
    let backlog = number("DISPATCH_BACKLOG", 300_000);
    let (paced, wait_ms) = (15_000, 3_000 + backlog as i64 / 6);
    let due = |n: usize| {
        if n < paced {
            TimeDelta::milliseconds(wait_ms + n as i64)
        } else {
            TimeDelta::days(1) + TimeDelta::milliseconds(n as i64)
        }
    };
    fill(&store, "bench", paced + backlog, due).await;
    analyze(&url).await;
    let settings = config(&whatsapp(dir, "per_second = 1100\nunique_per_day = 100000000\n"));
    let (provider, providers) = instantly();
    drain(&ctx(store, settings, providers), "p", paced, 2).await;
    let mut late: Vec<f64> =
        provider.late_us.lock().unwrap().iter().map(|us| *us as f64 / 1e6).collect();
    let (median, last) = (percentile(&mut late, 0.5), percentile(&mut late, 0.99));
    println!(
        "1,000 messages a second, {backlog} behind them: late by {median:.3} s (median), \
         {last:.3} s (99th percentile); wanted 1"
    );
}
