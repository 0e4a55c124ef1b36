//! How fast pages and the API answer in a large workspace, once each was asked before: median and 95th
//! percentile of each, beside the 200 ms that a page may take and beside an answer without a database.
//!
//! `PAGES_URL` is the database, filled where it is empty (a SQLite and a PostgreSQL of its own unless
//! given); `PAGES_PEOPLE` how many people there are (1,000,000), all of them in the campaign `large`;
//! `PAGES_ROUNDS` how often each is asked (15); `PAGES_ONLY` asks those whose paths hold a word.

#[expect(dead_code, reason = "each bench uses its own part of it")]
mod scene;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use opportune::clock::Clock;
use opportune::model::campaign::Campaign;
use opportune::store::{Create, Store};
use opportune::work::learn::{self, Depth};
use opportune::work::{Ctx, maintenance};

use scene::visitor::Visitor;
use scene::{BARE, Db, config, count_anew, ctx, instantly, number};
use server::Server;

const LIMIT_MS: f64 = 200.0;
/// Campaigns that are over, and those that run beside the large one.
const OVER: usize = 180;
const RUNNING: usize = 19;
/// People of each of them.
const SMALL: usize = 5_000;
const HOUR_US: i64 = 3_600_000_000;
/// What a page says while sums over everybody are made.
const UNDER_WAY: &str = "look again in a";
/// For how long it is asked again until they are.
const PATIENCE: Duration = Duration::from_mins(5);

/// Everything that is looked at: a number stands for a person, a reply, a model.
const PATHS: [&str; 41] = [
    "/healthz",
    "/",
    "/campaigns",
    "/campaigns/new",
    "/campaigns/large",
    "/campaigns/large/people",
    "/campaigns/large/people?state=sent",
    "/campaigns/large/people?state=planned",
    "/campaigns/large/people?state=failed&reason=undeliverable",
    "/campaigns/over-7",
    "/calendar",
    "/people/r77",
    "/insights",
    "/experiments",
    "/replies",
    "/settings",
    "/metrics",
    "/readyz",
    "/api/v1/openapi.json",
    "/api/v1/status",
    "/api/v1/campaigns",
    "/api/v1/campaigns?limit=1000",
    "/api/v1/campaigns/large",
    "/api/v1/campaigns/large/plan",
    "/api/v1/campaigns/large/results",
    "/api/v1/campaigns/large/people",
    "/api/v1/campaigns/large/people?state=sent&limit=1000",
    "/api/v1/campaigns/large/people?state=refused",
    "/api/v1/campaigns/large/people?reason=explored",
    "/api/v1/campaigns/over-7/results",
    "/api/v1/recipients/r77",
    "/api/v1/recipients/r77/preferences",
    "/api/v1/recipients/r77/consent",
    "/api/v1/replies",
    "/api/v1/replies?needs_human=true&intent=stop",
    "/api/v1/replies/digest",
    "/api/v1/suppressions",
    "/api/v1/segments",
    "/api/v1/audit",
    "/api/v1/tokens",
    "/api/v1/holdout",
];
/// These ask for what was learned, where anything was.
const LEARNED: [&str; 3] =
    ["/api/v1/insights", "/api/v1/models", "/api/v1/campaigns/large/people/r77"];

/// A campaign's file: with arms, over some days.
fn file(name: &str, (start, end): (DateTime<Utc>, DateTime<Utc>)) -> String {
    let format = "%Y-%m-%dT%H:%M:%S";
    format!(
        "name = \"{name}\"\nprovider = \"p\"\n[window]\nstart = {}\nend = {}\ntime_zone = \"UTC\"\n\
         [quiet_hours]\nnone = true\n[arms]\npersonalized = 0.85\nexplore = 0.05\ncontrol = 0.10\n\
         control_time = \"10:00\"\n[[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n\
         [[variant]]\nname = \"clip\"\nmedia = \"video\"\ntext = \"Hello\"\n",
        start.format(format),
        end.format(format)
    )
}

async fn submit(store: &Store, name: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> i64 {
    let source = file(name, (start, end));
    let campaign = Campaign::from_toml(&source).expect("the campaign is good");
    let mut tx = store.begin().await.unwrap();
    let id = tx.add_campaign(&campaign, &source, start, end).await.unwrap().unwrap();
    let plan = r#"{"by_local_hour": [1, 2, 3], "by_hour": []}"#;
    tx.set_campaign_plan(id, start, None, plan, &[]).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// People of a campaign: some refused, failed or in doubt, a share sent between `from` and `until` with
/// what came back, and the rest still to come until `end`. Times are microseconds.
fn deliveries(id: i64, people: usize, sent: f64, (from, until, end): (i64, i64, i64)) -> String {
    let sent_until = (1000.0 * sent) as i64;
    format!(
        "WITH RECURSIVE n (i) AS
            (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {people}),
        d AS (SELECT i, (i * 7919) % 1000 AS dice, (i * 104729) % 1000 AS other FROM n),
        s AS (SELECT *, CASE WHEN dice < 30 THEN 'refused' WHEN dice < 40 THEN 'failed'
                WHEN dice = 40 AND {sent_until} < 1000 THEN 'in_doubt'
                WHEN dice < {sent_until} THEN 'sent' ELSE 'planned' END AS state,
            {from} + (i * 6700417) % ({until} - {from}) AS at,
            {until} + (i * 6700417) % ({end} - {until}) AS later FROM d)
        INSERT INTO delivery (campaign, recipient, state, reason, arm, variant, variant_index,
            slot_start, send_at, value, chance, propensity, drawn, expected_control, expected_best,
            attempts, changed_at, media, sent_at, provider_message, delivered_at, read_at, replied_at,
            observed_at, failed_at, failure_code, failure_text)
        SELECT {id}, i, state, CASE state WHEN 'refused' THEN 'no_consent'
                WHEN 'failed' THEN 'undeliverable' WHEN 'in_doubt' THEN 'answer_lost'
                ELSE CASE WHEN other < 50 THEN 'explored' WHEN other < 150 THEN 'control_time'
                    WHEN other < 300 THEN 'moved_by_capacity' ELSE 'best_slot' END END,
            CASE WHEN state = 'refused' THEN NULL WHEN other < 50 THEN 'explore'
                WHEN other < 150 THEN 'control' ELSE 'personalized' END,
            CASE WHEN state = 'refused' THEN NULL WHEN other % 3 = 0 THEN 'clip' ELSE 'words' END,
            CASE WHEN state = 'refused' THEN NULL WHEN other % 3 = 0 THEN 1 ELSE 0 END,
            CASE WHEN state <> 'refused' THEN
                CASE WHEN state = 'planned' THEN later ELSE at END / {HOUR_US} * {HOUR_US} END,
            CASE state WHEN 'refused' THEN NULL WHEN 'planned' THEN later ELSE at END,
            0.4, 0.2 + (i % 50) * 0.01, NULL, NULL, 0.3, 0.4,
            CASE WHEN state IN ('refused', 'planned') THEN 0 ELSE 1 END, at,
            CASE WHEN state IN ('sent', 'failed') THEN 'text' END,
            CASE WHEN state IN ('sent', 'failed') THEN at END,
            CASE WHEN state IN ('sent', 'failed') THEN 'm.{id}.' || CAST(i AS TEXT) END,
            CASE WHEN state = 'sent' AND other % 10 < 9 THEN at + 9000000 END,
            CASE WHEN state = 'sent' AND other % 10 < 4 THEN at + 1900000000 END,
            CASE WHEN state = 'sent' AND other % 100 = 0 THEN at + 2900000000 END,
            CASE WHEN state IN ('sent', 'failed') THEN at END,
            CASE WHEN state = 'failed' THEN at + 5000000 END,
            CASE WHEN state = 'failed' THEN CASE other % 3 WHEN 0 THEN '131026' ELSE '131047' END END,
            CASE WHEN state = 'failed' THEN 'Message undeliverable' END FROM s"
    )
}

const QUEUE: &str = "INSERT INTO queue (campaign, due_at, recipient)
    SELECT campaign, send_at, recipient FROM delivery WHERE state = 'planned'";

/// `{n}` people, and what a workspace has of them beside campaigns, up to the time `{now}`.
const PEOPLE: [&str; 10] = [
    "INSERT INTO recipient (id, key, address, time_zone, zone_inferred, locale, country, tags,
        attributes, consented)
    SELECT i, 'r' || CAST(i AS TEXT), '+5511' || CAST(100000000 + i AS TEXT), 'America/Sao_Paulo',
        FALSE, 'pt-BR', CASE WHEN i % 7 = 0 THEN 'AR' ELSE 'BR' END,
        CASE i % 4 WHEN 0 THEN '[\"newsletter\"]' WHEN 1 THEN '[\"newsletter\",\"vip\"]' ELSE '[]' END,
        '{\"name\":\"Ana\"}', i % 33 <> 0 FROM n",
    "INSERT INTO consent (recipient, at, change, source, evidence, recorded_at)
    SELECT i, {now} - 9000000000000, 'granted', 'form', '', {now} - 9000000000000 FROM n",
    "INSERT INTO message (key, recipient, campaign, channel, category, media, style, sent_at,
        delivered_at, read_at, changed_at)
    SELECT 'old:' || CAST(i AS TEXT), 1 + i % ({n} / 10), 'old', 'whatsapp', 'marketing',
        CASE WHEN i % 3 = 0 THEN 'video' ELSE 'text' END, 'product', {now} - (i % 4000) * 1900000000,
        {now} - (i % 4000) * 1900000000 + 5000000,
        CASE WHEN i % 3 < 2 THEN {now} - (i % 4000) * 1900000000 + 900000000 END, {now} - 90000000000
    FROM n",
    "INSERT INTO activity (recipient, at, kind, changed_at)
    SELECT 1 + i % ({n} / 10), {now} - i * 7000000, 'session', {now} - 90000000000 FROM n
    WHERE i <= {n} / 2",
    "INSERT INTO event_kind (kind) SELECT 'appointment' FROM n WHERE i = 1",
    "INSERT INTO event (recipient, kind, key, keyed, at, attributes, added_at, changed_at)
    SELECT i, 'appointment', 'a', TRUE, {now} + (i % 1000) * 3600000000, '{}', {now}, {now} FROM n
    WHERE i <= {n} / 5",
    "INSERT INTO suppression (provider, recipient, code, since)
    SELECT 'p', i * 50, '131026', {now} - 9000000 FROM n WHERE i <= {n} / 100",
    "INSERT INTO reply (id, provider, provider_message, recipient, campaign, received_at, text, language,
        language_probability, intent, probability, stop_probability, needs_human)
    SELECT i, 'p', 'in.' || CAST(i AS TEXT), i, {campaign}, {now} - i * 20000000,
        'what does it cost ' || CAST(i % 500 AS TEXT), 'en', 0.9,
        CASE WHEN i % 20 = 0 THEN 'stop' ELSE 'question' END, 0.8, 0.1, i % 200 = 0 FROM n
    WHERE i <= {n} / 50",
    "INSERT INTO counter (noun, next) SELECT CASE i WHEN 1 THEN 'recipient' WHEN 2 THEN 'reply'
        ELSE 'audit' END, {n} + 20001 FROM n WHERE i <= 3",
    "INSERT INTO audit (id, at, actor, action, subject, detail)
    SELECT i, {now} - 5000000 * (20000 - i), 'token t', 'pause', 'over-1', '' FROM n WHERE i <= 20000",
];

/// Under which the beginning of a holdout is kept.
fn holdout_mark(ctx: &Ctx) -> String {
    let holdout = ctx.config.holdout.as_ref().expect("the settings have one");
    format!("holdout_since {}", holdout.salt)
}

/// Fills an empty workspace.
async fn filled(url: &str, people: usize) -> Ctx {
    let store = Store::open(url, Create::IfMissing).await.unwrap();
    let today = Clock::system().now().date_naive();
    let holdout = format!("[holdout]\nshare = 0.05\nuntil = {}\n", today + TimeDelta::days(90));
    let ctx = ctx(store, config(&format!("{holdout}{BARE}")), instantly().1);
    if !ctx.store.read().await.unwrap().open_campaigns().await.unwrap().rows.is_empty() {
        return ctx;
    }
    let now = Clock::system().now();
    let before = |hours: i64| now - TimeDelta::hours(hours);
    let us = |at: DateTime<Utc>| at.timestamp_micros();
    let mut db = Db::open(url).await;
    for n in 0..OVER {
        let (start, end) = (before(90 + 24 * n as i64), before(48 + 24 * n as i64));
        let id = submit(&ctx.store, &format!("over-{n}"), start, end).await;
        let times = (us(start), us(end), us(end) + 1);
        db.run(&deliveries(id, SMALL.min(people), 1.0, times)).await;
    }
    let (start, end) = (before(60), now + TimeDelta::days(20));
    for n in 0..RUNNING {
        let id = submit(&ctx.store, &format!("running-{n}"), start, end).await;
        db.run(&deliveries(id, SMALL.min(people), 0.5, (us(start), us(now), us(end)))).await;
    }
    let id = submit(&ctx.store, "large", start, end).await;
    db.run(&deliveries(id, people, 0.6, (us(start), us(now), us(end)))).await;
    db.run(QUEUE).await;
    count_anew(&mut db).await;
    for sql in PEOPLE {
        let sql = sql
            .replace("{n}", &people.to_string())
            .replace("{now}", &us(now).to_string())
            .replace("{campaign}", &id.to_string());
        db.run(&format!(
            "WITH RECURSIVE n (i) AS
            (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {people}) {sql}"
        ))
        .await;
    }
    db.run("ANALYZE").await;
    // the holdout began a while ago
    let mut tx = ctx.store.begin().await.unwrap();
    let since = us(before(24 * 30)).to_string();
    tx.set_mark(&holdout_mark(&ctx), &since).await.unwrap();
    tx.commit().await.unwrap();
    // finishes what is over, with its sums
    maintenance::run(&ctx).await.unwrap();
    learn::run(&ctx, None, Depth::FullAtSettings, |_, _| {}).await.unwrap();
    ctx
}

fn share(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share).round() as usize]
}

/// Signs in, and asks for everything; how many answers were too slow or bad.
async fn measure(ctx: &Ctx, kind: &str) -> usize {
    let rounds = number("PAGES_ROUNDS", 15);
    let only = std::env::var("PAGES_ONLY").unwrap_or_default();
    let visitor = Visitor::new(ctx).await;
    let (mut bare, mut bad) = (None, 0);
    println!("{kind:<52} {:>9} {:>9} {:>9}  of {LIMIT_MS} ms", "first ms", "median", "95 %");
    for path in PATHS.iter().chain(&LEARNED).filter(|path| path.contains(&only)) {
        let (status, mut answer, first) = visitor.get(path).await;
        let begun = Instant::now();
        while answer.contains(UNDER_WAY) && begun.elapsed() < PATIENCE {
            answer = visitor.get(path).await.1;
        }
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            times.push(visitor.get(path).await.2);
        }
        let (median, late) = (share(&mut times, 0.5), share(&mut times, 0.95));
        bare.get_or_insert(median);
        let ratio = median / LIMIT_MS;
        let is_bad = status != 200 || ratio > 1.0;
        bad += usize::from(is_bad);
        let mark = if is_bad { " !" } else { "" };
        println!("{path:<52} {first:>9.1} {median:>9.1} {late:>9.1}  {ratio:>6.2} {status}{mark}");
    }
    println!("an answer without a database took {:.2} ms\n", bare.unwrap_or_default());
    bad
}

#[tokio::main]
async fn main() {
    let people = number("PAGES_PEOPLE", 1_000_000);
    let (mut urls, mut own) = (Vec::new(), None);
    let dir = tempfile::TempDir::new().unwrap();
    match std::env::var("PAGES_URL") {
        Ok(url) => urls.push(url),
        Err(_) => {
            urls.push(format!("sqlite://{}", dir.path().join("pages.db").display()));
            urls.push(own.insert(Server::start()).url());
        }
    }
    let mut bad = 0;
    for url in urls {
        let begun = Instant::now();
        let ctx = filled(&url, people).await;
        println!("{} people, ready after {:.0?}", people, begun.elapsed());
        bad += measure(&ctx, ctx.store.kind()).await;
        ctx.store.close().await;
    }
    println!("{bad} answers bad or slower than {LIMIT_MS} ms");
}
