//! What benches of the daemon's steps stand on: people in a campaign, a provider that answers at
//! once, and the context of a step.

pub mod visitor;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::model::campaign::Campaign;
use opportune::model::ids::{Name, RecipientId};
use opportune::model::recipient::{Profile, Zone};
use opportune::model::slot::SlotLength;
use opportune::provider::{Incoming, OutboundMessage, Provider, Rejected, SendOutcome};
use opportune::store::Store;
use opportune::work::{Ctx, StepEnv, new_node};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, SqliteConnection};

use crate::support;

pub const LENGTH: SlotLength = SlotLength::HOUR;
pub const BARE: &str = "[provider.p]\nkind = \"console\"\n";

pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Answers at once, and notes how late it was asked.
#[derive(Default)]
pub struct Instantly {
    pub late_us: std::sync::Mutex<Vec<i64>>,
    calls: AtomicU64,
}

impl Provider for Instantly {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        let late = message.at - message.due_at;
        self.late_us.lock().unwrap().push(late.num_microseconds().unwrap_or(i64::MAX));
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let id = format!("wamid.{id}").parse().ok();
        Box::pin(std::future::ready(SendOutcome::Accepted { id, alias: None }))
    }

    fn receive(&self, _: Option<&str>, _: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        Ok(Vec::new())
    }
}

pub fn config(text: &str) -> Config {
    Config::parse(text, Path::new("opportune.toml")).expect("the settings are good")
}

pub fn ctx(store: Store, config: Config, providers: BTreeMap<Name, Arc<dyn Provider>>) -> Ctx {
    Ctx {
        store,
        env: StepEnv {
            clock: Clock::system(),
            config: Arc::new(config),
            rules: Arc::new(Rules::built_in()),
            providers: Arc::new(providers),
            node: new_node(),
            preference_override: None,
        },
    }
}

/// `count` people, of whom the nth is due at `due(n)`, in a campaign of the provider `p`.
pub async fn fill(
    store: &Store,
    name: &str,
    count: usize,
    due: impl Fn(usize) -> TimeDelta,
) -> i64 {
    let now = Clock::system().now();
    let source = format!(
        "name = \"{name}\"\nprovider = \"p\"\n[window]\nstart = {}\nend = {}\n\
         time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n[[variant]]\nname = \"words\"\n\
         media = \"text\"\ntemplate = \"promo\"\nlanguage = \"pt\"\ntext = \"Hello {{{{name}}}}\"\n\
         defaults = {{ name = \"you\" }}\n",
        (now - TimeDelta::days(2)).format("%Y-%m-%dT%H:%M:%S"),
        (now + TimeDelta::days(20)).format("%Y-%m-%dT%H:%M:%S"),
    );
    let campaign = Campaign::from_toml(&source).expect("the campaign is good");
    let mut tx = store.begin().await.unwrap();
    let ends_at = now + TimeDelta::days(21);
    let id = tx.add_campaign(&campaign, &source, now, ends_at).await.unwrap().unwrap();
    tx.set_campaign_plan(id, now, None, "{}", &[]).await.unwrap();
    tx.commit().await.unwrap();
    const CHUNK: usize = 20_000;
    for start in (0..count).step_by(CHUNK) {
        let numbers = start..count.min(start + CHUNK);
        let mut tx = store.begin().await.unwrap();
        let rows: Vec<_> = numbers
            .clone()
            .map(|n| {
                let profile = Profile {
                    address: Some(format!("+5511{n:09}").parse().unwrap()),
                    zone: Some(Zone { tz: "America/Sao_Paulo".parse().unwrap(), inferred: false }),
                    ..Default::default()
                };
                (format!("r{n}").parse().unwrap(), profile)
            })
            .collect();
        let ids = tx.put_recipients(&rows).await.unwrap();
        let granted = support::granted(now - TimeDelta::days(9), now);
        let entries: Vec<_> = ids.iter().map(|(id, _)| (*id, granted.clone())).collect();
        tx.append_consent(&entries).await.unwrap();
        let delivery = |(n, id): (usize, RecipientId)| {
            let send_at = now + due(n);
            support::planned(id, "words", send_at, LENGTH)
        };
        let ids = numbers.zip(ids.into_iter().map(|(id, _)| id));
        let deliveries: Vec<_> = ids.map(delivery).collect();
        tx.put_decisions(id, &deliveries, LENGTH, now).await.unwrap();
        tx.commit().await.unwrap();
    }
    id
}

pub fn instantly() -> (Arc<Instantly>, BTreeMap<Name, Arc<dyn Provider>>) {
    let provider = Arc::new(Instantly::default());
    let shared: Arc<dyn Provider> = Arc::<Instantly>::clone(&provider);
    (provider, BTreeMap::from([("p".parse().unwrap(), shared)]))
}

pub async fn analyze(url: &str) {
    PgPool::connect(url).await.unwrap().execute("ANALYZE").await.unwrap();
}

/// A connection of the bench's own.
pub enum Db {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Db {
    pub async fn open(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(SqliteConnection::connect(url).await.unwrap())
        } else {
            Self::Postgres(PgConnection::connect(url).await.unwrap())
        }
    }

    pub async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(db) => drop(db.execute(sql).await.unwrap()),
            Self::Postgres(db) => drop(db.execute(sql).await.unwrap()),
        }
    }
}

/// Counts deliveries that were not written by the program.
pub async fn count_anew(db: &mut Db) {
    db.run("DELETE FROM delivery_count").await;
    db.run(
        "INSERT INTO delivery_count (campaign, state, reason, people)
            SELECT campaign, state, reason, COUNT(*) FROM delivery GROUP BY campaign, state, reason",
    )
    .await;
}
