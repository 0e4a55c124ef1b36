//! What past campaigns cost a daemon that has nothing to do with them: a round of its idle loops, and
//! a new decision for one person of an open campaign, beside what both cost with two past ones.
//!
//! `PAST_CAMPAIGNS` sets how many there are (100), `PAST_PEOPLE` how many people each (20,000).

#[expect(dead_code, reason = "each bench uses its own part of it")]
mod scene;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use chrono::TimeDelta;
use opportune::store::{Create, Store};
use opportune::work::learn::Depth;
use opportune::work::{Ctx, dispatch, learn, maintenance, plan, receive};
use tokio::sync::watch;

use scene::{BARE, Db, config, count_anew, ctx, fill, instantly, number};
use server::Server;

const FEW: usize = 2;
const DAY_US: i64 = 86_400_000_000;
/// Times of which the median is told.
const ROUNDS: usize = 31;
/// When messages of the open campaign are due.
const OPEN_IN: TimeDelta = TimeDelta::hours(30);

/// Columns of a delivery that are times of what happened.
const TIMES: [&str; 5] = ["slot_start", "send_at", "changed_at", "sent_at", "observed_at"];

/// A workspace with an open campaign and so many past ones, all of the same people.
async fn workspace(url: &str, past: usize, people: usize) -> (Ctx, Db, i64) {
    let store = Store::open(url, Create::IfMissing).await.unwrap();
    let mut db = Db::open(url).await;
    let first = fill(&store, "past-0", people, |_| TimeDelta::zero()).await;
    let ctx = ctx(store, config(BARE), instantly().1);
    let (_stopper, stop) = watch::channel(false);
    let name = "p".parse().unwrap();
    while dispatch::of_provider(&ctx, &name, &stop).await.unwrap().done > 0 {}
    db.run("UPDATE delivery SET read_at = sent_at + 3600000000 WHERE recipient % 3 = 0").await;
    let mut campaigns = vec![first];
    for n in 1..past {
        campaigns.push(fill(&ctx.store, &format!("past-{n}"), 0, |_| TimeDelta::zero()).await);
    }
    for (n, campaign) in campaigns.iter().enumerate().rev() {
        let back = (3 + 2 * n as i64) * DAY_US;
        let shifted = TIMES.map(|column| format!("{column} = {column} - {back}")).join(", ");
        for sql in [
            "CREATE TEMPORARY TABLE one AS SELECT * FROM delivery WHERE campaign = {first}",
            "UPDATE one SET campaign = {campaign}, {shifted}, read_at = read_at - {back}",
            "DELETE FROM delivery WHERE campaign = {campaign}",
            "INSERT INTO delivery SELECT * FROM one",
            "UPDATE campaign SET ends_at = ends_at - {back} - 21 * 86400000000 WHERE id = {campaign}",
            "DROP TABLE one",
        ] {
            let sql = sql.replace("{first}", &first.to_string());
            let sql = sql.replace("{campaign}", &campaign.to_string());
            let sql = sql.replace("{back}", &back.to_string()).replace("{shifted}", &shifted);
            db.run(&sql).await;
        }
    }
    count_anew(&mut db).await;
    db.run("ANALYZE").await;
    while maintenance::run(&ctx).await.unwrap().done > 0 {}
    let open = fill(&ctx.store, "open", people, |_| OPEN_IN).await;
    let left = ctx.store.read().await.unwrap().open_campaigns().await.unwrap().rows.len();
    assert_eq!(left, 1, "past campaigns are closed");
    learn::run(&ctx, None, Depth::Fit, |_, _| {}).await.unwrap();
    // what learning asks for: everybody decided about with the new habits
    plan::run(&ctx).await.unwrap();
    db.run("ANALYZE").await;
    (ctx, db, open)
}

/// What an idle daemon does in five seconds; milliseconds.
async fn idle(ctx: &Ctx) -> f64 {
    let (_stopper, stop) = watch::channel(false);
    let begun = Instant::now();
    for second in 0..5 {
        assert_eq!(dispatch::run(ctx, &stop).await.unwrap().done, 0);
        receive::collect(ctx).await.unwrap();
        if second % 2 == 0 {
            assert_eq!(plan::run(ctx).await.unwrap().done, 0);
        }
    }
    maintenance::run(ctx).await.unwrap();
    begun.elapsed().as_secs_f64() * 1e3
}

/// A new decision for one person; milliseconds.
async fn decision(ctx: &Ctx, db: &mut Db, campaign: i64, person: i64) -> f64 {
    for sql in [
        "DELETE FROM queue WHERE campaign = {campaign} AND recipient = {person}",
        "UPDATE delivery SET send_at = NULL, reason = 'moved_late'
            WHERE campaign = {campaign} AND recipient = {person}",
    ] {
        let sql = sql.replace("{campaign}", &campaign.to_string());
        db.run(&sql.replace("{person}", &person.to_string())).await;
    }
    let begun = Instant::now();
    assert_eq!(plan::run(ctx).await.unwrap().done, 1);
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The medians of both; milliseconds.
async fn measured(url: &str, past: usize, people: usize) -> [f64; 2] {
    let (ctx, mut db, open) = workspace(url, past, people).await;
    let (mut rounds, mut decisions) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        rounds.push(idle(&ctx).await);
        decisions.push(decision(&ctx, &mut db, open, 1 + (n * people / ROUNDS) as i64).await);
    }
    [median(rounds), median(decisions)]
}

#[tokio::main]
async fn main() {
    let many = number("PAST_CAMPAIGNS", 100);
    let people = number("PAST_PEOPLE", 20_000);
    let server = Server::start();
    let dir = tempfile::TempDir::new().unwrap();
    for database in ["SQLite", "PostgreSQL"] {
        let mut medians = Vec::new();
        for past in [FEW, many] {
            let url = if database == "SQLite" {
                format!("sqlite://{}", dir.path().join(format!("{past}.db")).display())
            } else {
                let mut db = Db::open(&server.url()).await;
                db.run(&format!("CREATE DATABASE past{past}")).await;
                server.url().replace("/postgres", &format!("/past{past}"))
            };
            medians.push(measured(&url, past, people).await);
        }
        for (what, index) in [("five idle seconds", 0), ("one person's decision", 1)] {
            let (few, all) = (medians[0][index], medians[1][index]);
            println!(
                "{database}, {what}: {few:.1} ms with {FEW} past campaigns of {people}, {all:.1} ms \
                 with {many}: {:.2} times; wanted 1.2",
                all / few
            );
        }
    }
}
