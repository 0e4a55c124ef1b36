//! How fast history is learned: from SQLite to a model, phase by phase, with peak memory; then one
//! more day of it; then, in memory, beside plain numpy on the same messages.
//!
//! `cargo bench --bench learn -- [PEOPLE]`: 24 messages a person, 100,000 people unless said. Numpy
//! takes part where `python3`, or the command in `OPPORTUNE_PYTHON`, has it; it counts exposure and
//! fits a mixture of twelve weekly patterns in twenty rounds, once from arrays and once from the
//! database.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::{Config, EXAMPLE};
use opportune::learn::{Contents, Settings, Subject, fit};
use opportune::model::ids::RecipientId;
use opportune::model::message::Message;
use opportune::provider;
use opportune::store::{Create, Store};
use opportune::work::learn::{self, ActiveModel, Depth, Learned, People};
use opportune::work::{Ctx, StepEnv, new_node};
use opportune::world::World;
use opportune::world::logging::{Count, Logging, Policy};
use opportune::world::spec::Spec;

const MESSAGES: u32 = 24;
const DIR_ROWS: usize = 20_000;
const DAY: TimeDelta = TimeDelta::days(1);

#[tokio::main]
async fn main() {
    let people = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::TempDir::new().expect("there is a temporary folder");
    let database = dir.path().join("learn.db");
    let url = format!("sqlite://{}", database.display());
    let ctx = ctx(Store::open(&url, Create::IfMissing).await.unwrap());
    let began = Instant::now();
    let last_day = make_history(&ctx, people).await;
    // seconds are read again in which something was written a moment ago
    ctx.clock.advance_to(present() + TimeDelta::hours(1));
    let size = std::fs::metadata(&database).unwrap().len() / 1_000_000;
    report(&format!(
        "{people} people, {} messages written in {}, {size} MB",
        u64::from(people) * u64::from(MESSAGES),
        secs(began)
    ));
    let before = memory("VmHWM");

    let full = timed_learning(&ctx, "everything").await;
    report(&format!("peak memory {} MB, {before} MB before", memory("VmHWM")));
    add_a_day(&ctx, &last_day).await;
    ctx.clock.advance_to(present() + DAY + TimeDelta::hours(1));
    let day = timed_learning(&ctx, "one more day").await;
    report(&format!("one more day costs {:.1} % of everything", 100.0 * day / full));

    let began = Instant::now();
    let all = People::load(&ctx).await.unwrap();
    let model = ActiveModel::load(&ctx).await.unwrap();
    let seen = preferences(&ctx, &all, &model);
    let read = began.elapsed().as_secs_f64();
    report(&format!("{seen} preferences from the database in {read:.1} s"));

    let subjects: Vec<Subject<'_>> =
        (0..all.recipients.len()).map(|index| all.subject(index, ctx.config.time_zone)).collect();
    let contents: Contents = ctx.store.read().await.unwrap().contents().await.unwrap().into();
    let began = Instant::now();
    fit(&subjects, &contents, &Settings::default(), ctx.clock.now(), 1, &mut |_, _| {}).unwrap();
    let memory = began.elapsed().as_secs_f64();
    report(&format!("in memory, settings chosen among all that are tried: {memory:.1} s"));
    ctx.store.close().await;
    if let Some((arrays, database)) = numpy(dir.path(), &database) {
        report(&format!(
            "numpy: {arrays:.1} s from arrays ({:.1} times ours), {database:.1} s from the database \
             to preferences ({:.1} times ours)",
            arrays / memory,
            database / (full + read)
        ));
    } else {
        report("numpy is not here");
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn report(line: &str) {
    println!("{line}");
}

fn secs(began: Instant) -> String {
    format!("{:.1} s", began.elapsed().as_secs_f64())
}

/// Of this process, in MB.
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let digits =
        line.and_then(|l| l.trim_start_matches(':').trim().split(' ').next()?.parse().ok());
    digits.unwrap_or(0u64) / 1000
}

fn present() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_272_000, 0).expect("it is a date")
}

fn ctx(store: Store) -> Ctx {
    let config = Config::parse(EXAMPLE, Path::new("opportune.toml")).unwrap();
    Ctx {
        store,
        env: StepEnv {
            clock: Clock::starting_at(present()),
            providers: Arc::new(
                provider::from_config(&config.providers, &config.outbound).unwrap(),
            ),
            config: Arc::new(config),
            rules: Arc::new(Rules::built_in()),
            node: new_node(),
            preference_override: None,
        },
    }
}

/// Puts a world's history into the store, as an import would; returns what was sent on its last day,
/// about a hundredth, which is not put in.
async fn make_history(ctx: &Ctx, people: u32) -> Vec<(RecipientId, Message)> {
    let world = World::new(&Spec { people, ..Spec::friendly() }, 1).unwrap();
    let logging = Logging {
        policy: Policy::Uniform,
        messages: Count::Exact(MESSAGES),
        ..Logging::demo(present() + DAY)
    };
    let mut last_day = Vec::new();
    let mut histories = world.history(&logging);
    loop {
        let chunk: Vec<_> = histories.by_ref().take(DIR_ROWS).collect();
        if chunk.is_empty() {
            return last_day;
        }
        let rows: Vec<_> =
            chunk.iter().map(|h| (h.recipient.key.clone(), h.recipient.profile.clone())).collect();
        let mut tx = ctx.store.begin().await.unwrap();
        let ids: Vec<RecipientId> =
            tx.put_recipients(&rows).await.unwrap().into_iter().map(|(id, _)| id).collect();
        let messages = chunk
            .into_iter()
            .zip(&ids)
            .flat_map(|(history, id)| history.messages.into_iter().map(|message| (*id, message)));
        let (messages, of_last_day): (Vec<_>, Vec<_>) =
            messages.partition(|(_, message)| message.sent_at < present());
        last_day.extend(of_last_day);
        tx.add_messages(&messages, ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn add_a_day(ctx: &Ctx, messages: &[(RecipientId, Message)]) {
    ctx.clock.advance_to(present() + DAY);
    for chunk in messages.chunks(DIR_ROWS) {
        let mut tx = ctx.store.begin().await.unwrap();
        tx.add_messages(chunk, ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Learns, and says how long each phase took; the whole, in seconds.
async fn timed_learning(ctx: &Ctx, what: &str) -> f64 {
    let phases: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let heard = Arc::clone(&phases);
    let began = Instant::now();
    let hear = move |phase: &str, _: f64| {
        let mut phases = heard.lock().unwrap();
        if phases.last().is_none_or(|(last, _)| last != phase) {
            phases.push((phase.to_owned(), Instant::now()));
        }
    };
    let learned: Learned = learn::run(ctx, None, Depth::Fit, hear).await.unwrap();
    let whole = began.elapsed().as_secs_f64();
    let phases = phases.lock().unwrap();
    let ends = phases.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
    let told: Vec<String> = phases
        .iter()
        .zip(ends)
        .map(|((phase, from), to)| format!("{phase} {:.1} s", (to - *from).as_secs_f64()))
        .collect();
    report(&format!(
        "{what}: {} messages folded, {:?}, {whole:.1} s ({})",
        learned.messages,
        learned.outcome,
        told.join(", ")
    ));
    whole
}

/// Everybody's preference, on two threads; how many.
fn preferences(ctx: &Ctx, people: &People, model: &ActiveModel) -> usize {
    let count = people.recipients.len();
    let of = |range: std::ops::Range<usize>| {
        let zone = ctx.config.time_zone;
        let peak = |index| model.preference(&people.subject(index, zone)).presence()[0] > 0.0;
        range.filter(|index| peak(*index)).count()
    };
    std::thread::scope(|scope| {
        let half = scope.spawn(|| of(0..count / 2));
        of(count / 2..count) + half.join().unwrap()
    })
}

/// Seconds that numpy takes from arrays, and from the database to everybody's week.
fn numpy(dir: &Path, database: &Path) -> Option<(f64, f64)> {
    let script = dir.join("plain.py");
    std::fs::write(&script, PLAIN).unwrap();
    let python = std::env::var("OPPORTUNE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python).arg(&script).arg(database).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut figures = text.split_whitespace().filter_map(|word| word.parse().ok());
    output.status.success().then(|| Some((figures.next()?, figures.next()?)))?
}

/// Exposure count and mixture, as one would write them in numpy.
const PLAIN: &str = r#"
import sqlite3, sys, time
import numpy as np
began = time.time()
db = sqlite3.connect(sys.argv[1])
zone = {}
person, sent, age = [], [], []
query = "SELECT m.recipient, r.time_zone, m.delivered_at, m.read_at FROM message m JOIN recipient r ON r.id = m.recipient WHERE m.delivered_at IS NOT NULL"
cursor = db.execute(query)
import datetime, zoneinfo
at = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc)
while rows := cursor.fetchmany(200000):
    for r, z, d, e in rows:
        if z not in zone: zone[z] = int(at.astimezone(zoneinfo.ZoneInfo(z or 'UTC')).utcoffset().total_seconds())
        person.append(r); sent.append(d // 1000000 + zone[z]); age.append(-1 if e is None else (e - d) // 3600000000)
person = np.array(person); person -= person.min(); start = (np.array(sent) // 3600 + 72) % 168; age = np.array(age); age[age > 71] = -1
loaded = time.time()
n = person.max() + 1; E = np.zeros(n * 168, np.float32); N = np.zeros(n * 168, np.float32)
A = np.arange(72); decay = np.exp(-A / 12.).astype(np.float32)
for a in range(0, len(person), 500000):
    p, s, k = person[a:a + 500000], start[a:a + 500000], age[a:a + 500000]
    w = np.where((k[:, None] < 0) | (A < k[:, None]), 1., np.where(A == k[:, None], .5, 0.)).astype(np.float32) * decay
    cell = p[:, None] * 168 + (s[:, None] + A) % 168
    lo, hi = p.min() * 168, (p.max() + 1) * 168
    E[lo:hi] += np.bincount((cell - lo).ravel(), w.ravel(), hi - lo)
    N[lo:hi] += np.bincount((p * 168 + (s + k) % 168 - lo)[k >= 0], minlength=hi - lo)
E = E.reshape(n, 168); N = N.reshape(n, 168)
K = 12; rng = np.random.default_rng(1); base = (N.sum(0) + 1) / (E.sum(0) + 1)
week = base * rng.gamma(20, 1 / 20, (K, 168)); share = np.full(K, 1 / K)
def responsibilities(a, b):
    x = E[a:b] @ week.T.astype(np.float32); level = (2 + N[a:b].sum(1)[:, None]) / (2 + x)
    L = N[a:b] @ np.log(week).T.astype(np.float32) + N[a:b].sum(1)[:, None] * np.log(level) - level * x + np.log(share)
    R = np.exp(L - L.max(1, keepdims=True)); return R / R.sum(1, keepdims=True), level
for _ in range(20):
    num = np.zeros((K, 168)); den = np.zeros((K, 168)); total = np.zeros(K)
    for a in range(0, n, 50000):
        R, level = responsibilities(a, a + 50000)
        num += R.T @ N[a:a + 50000]; den += (R * level).T @ E[a:a + 50000]; total += R.sum(0)
    week = (num + 5 * base) / (den + 5); share = (total + 1) / (n + K)
counted = time.time()
for a in range(0, n, 50000):
    R, level = responsibilities(a, a + 50000); own = (R * level) @ week
    own *= (20 + N[a:a + 50000]) / (20 + own * E[a:a + 50000])
print(counted - loaded, time.time() - began)
"#;
