//! graphile_worker in its batched mode: `peers URL COUNT` fills the database at URL with jobs that
//! do nothing, and prints how many a second it claims, runs and completes durably.
//!
//! Its settings are those of its own benchmark of local queues, and as many connections as a daemon
//! of ours has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graphile_worker::{
    Database, IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler,
    WorkerContext, WorkerOptions, WorkerUtils,
};
use sqlx::postgres::PgPoolOptions;

const SCHEMA: &str = "graphile_worker";
const CONNECTIONS: u32 = 16;
const CHUNK: usize = 20_000;

#[derive(Debug, Clone)]
struct Counter(Arc<AtomicU64>);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Message {
    recipient: u64,
}

impl TaskHandler for Message {
    const IDENTIFIER: &'static str = "message";

    async fn run(self, ctx: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(counter) = ctx.get_ext::<Counter>() {
            counter.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), String>(())
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let url = args.next().expect("the first argument is a database's URL");
    let count: u64 = args.next().and_then(|n| n.parse().ok()).expect("the second is a count");
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await.unwrap();
    let database = Database::from(pool.clone());
    let utils = WorkerUtils::new(database.clone(), SCHEMA);
    utils.migrate().await.unwrap();
    let jobs: Vec<u64> = (0..count).collect();
    for chunk in jobs.chunks(CHUNK) {
        let job = |recipient: &u64| RawJobSpec {
            identifier: Message::IDENTIFIER.to_owned(),
            payload: serde_json::json!({ "recipient": recipient }),
            spec: JobSpec::default(),
        };
        let jobs: Vec<_> = chunk.iter().map(job).collect();
        utils.add_raw_jobs(&jobs).await.unwrap();
    }
    sqlx::query("ANALYZE").execute(&pool).await.unwrap();

    let done = Arc::new(AtomicU64::new(0));
    let worker = WorkerOptions::default()
        .database(database)
        .schema(SCHEMA)
        .concurrency(500)
        .poll_interval(Duration::from_millis(5))
        .complete_job_batch_delay(Duration::from_millis(5))
        .local_queue(LocalQueueConfig::default().with_size(5000))
        .add_extension(Counter(Arc::clone(&done)))
        .define_job::<Message>()
        .init()
        .await
        .unwrap();
    let worker = Arc::new(worker);
    let begun = Instant::now();
    let running = tokio::spawn({
        let worker = Arc::clone(&worker);
        async move { worker.run().await }
    });
    while done.load(Ordering::Relaxed) < count {
        assert!(begun.elapsed() < Duration::from_secs(300), "it does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // what was run is completed, durably, before it returns
    worker.request_shutdown();
    running.await.unwrap().unwrap();
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM graphile_worker._private_jobs")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0, "every job was completed");
    println!("{rate:.0}");
}
