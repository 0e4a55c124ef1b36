//! How fast people and their history come in through the API: posts of 1,000 items, each
//! answered once all of it is durable, beside bare inserts of as many rows in transactions of 1,000.
//!
//! `BULK_ITEMS` is how many of each kind (100,000); `BULK_POSTERS` how many post at once (4); `BULK_ONLY`
//! posts the kinds whose names hold a word.

#[expect(dead_code, reason = "each bench uses its own part of it")]
mod scene;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::clock::Clock;
use opportune::store::{Create, Store};
use serde_json::{Value, json};

use scene::visitor::Visitor;
use scene::{BARE, Db, config, ctx, instantly, number};
use server::Server;

const POST: usize = 1000;
const WANTED: f64 = 20_000.0;
const KINDS: [&str; 5] = ["recipients", "messages", "activity", "events", "opt-outs"];

/// The nth item of a kind.
fn item(kind: &str, n: usize, now: DateTime<Utc>) -> Value {
    let recipient = format!("c-{n}");
    let address = format!("+5511{:09}", 900_000_000 + n);
    let before = |minutes: usize| (now - TimeDelta::minutes(minutes as i64)).to_rfc3339();
    match kind {
        "recipients" => json!({ "recipient": recipient, "address": address, "locale": "pt_BR",
            "country": "BR", "tags": ["newsletter"], "opted_in_at": "2026-03-01T12:00:00Z",
            "opt_in_source": "web form", "attr_name": "Ana" }),
        "messages" => {
            json!({ "message": format!("m-{n}"), "recipient": recipient, "media": "image",
            "style": "product", "sent_at": before(3000 + n % 500_000),
            "delivered_at": before(2990 + n % 500_000), "read_at": before(2000 + n % 500_000) })
        }
        "activity" => {
            json!({ "recipient": recipient, "at": before(n % 500_000), "kind": "session" })
        }
        "events" => json!({ "recipient": recipient, "event": "appointment", "key": "visit-17",
            "at": (now + TimeDelta::minutes((n % 40_000) as i64)).to_rfc3339(),
            "attr_doctor": "Dr. Lima" }),
        _ => json!({ "address": address, "at": before(n % 5000), "source": "call centre" }),
    }
}

/// Posts all of a kind; items a second.
async fn post(visitor: &Arc<Visitor>, kind: &'static str, count: usize) -> f64 {
    let now = Clock::system().now();
    let starts = (0..count).step_by(POST);
    let body = |start: usize| {
        let items = (start..count.min(start + POST)).map(|n| item(kind, n, now));
        json!({ "items": items.collect::<Vec<_>>() }).to_string()
    };
    let bodies: Arc<Vec<String>> = Arc::new(starts.map(body).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut posters = tokio::task::JoinSet::new();
    for _ in 0..number("BULK_POSTERS", 4) {
        let (visitor, bodies, next) = (Arc::clone(visitor), Arc::clone(&bodies), Arc::clone(&next));
        posters.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (status, answer, _) = visitor.post(&format!("/api/v1/{kind}"), body).await;
                assert_eq!(status, 200, "{}", &answer[..answer.len().min(500)]);
                assert!(!answer.contains("\"refused\""), "{}", &answer[..answer.len().min(500)]);
            }
        });
    }
    posters.join_all().await;
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Bare inserts of a row an item, in transactions of 1,000; rows a second.
async fn floor(url: &str, count: usize) -> f64 {
    let mut db = Db::open(url).await;
    db.run(
        "CREATE TABLE floor (id BIGINT PRIMARY KEY, key TEXT NOT NULL UNIQUE, text TEXT NOT NULL)",
    )
    .await;
    let begun = Instant::now();
    for start in (0..count).step_by(POST) {
        let row =
            |n: usize| format!("({n}, 'c-{n}', '+5511{n:09} pt_BR BR newsletter web form Ana')");
        let rows: Vec<String> = (start..count.min(start + POST)).map(row).collect();
        db.run(&format!("INSERT INTO floor VALUES {}", rows.join(", "))).await;
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let count = number("BULK_ITEMS", 100_000);
    let only = std::env::var("BULK_ONLY").unwrap_or_default();
    let dir = tempfile::TempDir::new().unwrap();
    let server = Server::start();
    for url in [format!("sqlite://{}", dir.path().join("bulk.db").display()), server.url()] {
        let store = Store::open(&url, Create::IfMissing).await.unwrap();
        let ctx = ctx(store, config(BARE), instantly().1);
        let floor = floor(&url, count).await;
        println!("{}, bare inserts in one connection {floor:>9.0}/s", ctx.store.kind());
        let visitor = Arc::new(Visitor::new(&ctx).await);
        for kind in KINDS.into_iter().filter(|kind| kind.contains(&only)) {
            let rate = post(&visitor, kind, count).await;
            println!(
                "  {kind:<12} {rate:>9.0}/s  {:.2} of the {WANTED} wanted  {:>5.1} % of the bare inserts",
                rate / WANTED,
                100.0 * rate / floor
            );
        }
        ctx.store.close().await;
    }
}
