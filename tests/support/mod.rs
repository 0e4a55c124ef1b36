//! What tests stand on: real databases that they start themselves, and the binary itself.
#![expect(dead_code, reason = "each test binary uses its own part of it")]

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::model::consent::{ConsentChange, ConsentEntry};
use opportune::model::content::{Content, Media};
use opportune::model::delivery::{Arm, Choice, Delivery, Reason, State};
use opportune::model::ids::RecipientId;
use opportune::model::slot::{Slot, SlotLength};
use opportune::model::time::Instant as Moment;
use opportune::provider;
use opportune::store::{Attempt, Create, Sent, Settled, Store};
use opportune::work::{Ctx, StepEnv, new_node};
use tempfile::TempDir;

/// A PostgreSQL server of this test binary's own, on loopback, in a temporary folder. It ends when
/// the binary does: a shell that watches over it reads from our end of a pipe.
pub struct Postgres {
    port: u16,
    user: &'static str,
}

static POSTGRES: OnceLock<Postgres> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// `initdb` refuses root, so a root test runs the server as `postgres` or else `nobody`.
pub fn unprivileged() -> Option<(u32, u32)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    if uid.split_whitespace().next() != Some("0") {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("root needs a user to run initdb as"))
}

pub fn program(name: &str) -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        installed.map(|version| version.path().join("bin").join(name)).collect();
    found.sort();
    found.into_iter().rfind(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

impl Postgres {
    pub fn shared() -> &'static Self {
        POSTGRES.get_or_init(Self::start)
    }

    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("opportune-pg").tempdir().unwrap().keep();
        let user = unprivileged();
        let as_user = |program: PathBuf| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid)).unwrap();
        }
        let data = dir.join("data");
        let made = as_user(program("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=tests", "--encoding=UTF8"])
            .args(["--locale=C", "--pgdata"])
            .arg(&data)
            .current_dir(&dir)
            .output()
            .expect("initdb runs; install Debian's package postgresql");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        // the shell ends the server and cleans up as soon as nobody holds the other end of its input
        let script = format!(
            "'{postgres}' -D '{data}' -p {port} -k '{dir}' -c listen_addresses=127.0.0.1 \
             -c fsync=off -c max_connections=200 >'{dir}/log' 2>&1 & \
             server=$!; read _; kill -QUIT $server; wait $server; rm -rf '{dir}'",
            postgres = program("postgres").display(),
            data = data.display(),
            dir = dir.display(),
        );
        let shell = as_user(PathBuf::from("/bin/sh"))
            .args(["-c", &script])
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::mem::forget(shell);
        let server = Self { port, user: "tests" };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !server.run("SELECT 1").status.success() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn run(&self, sql: &str) -> Output {
        Command::new(program("psql"))
            .args(["-X", "-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", self.user, "-d", "postgres", "-c", sql])
            .output()
            .expect("psql runs; install Debian's package postgresql")
    }

    /// A new empty database.
    pub fn database(&self) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let made = self.run(&format!("CREATE DATABASE {name}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        format!("postgres://{}@127.0.0.1:{}/{name}", self.user, self.port)
    }
}

/// A node of a workspace with these settings, its providers among them.
pub fn ctx(store: Store, config: Config, clock: Clock) -> Ctx {
    let providers = provider::from_config(&config.providers, &config.outbound).unwrap();
    Ctx {
        store,
        env: StepEnv {
            clock,
            rules: Arc::new(Rules::built_in()),
            providers: Arc::new(providers),
            config: Arc::new(config),
            node: new_node(),
            preference_override: None,
        },
    }
}

/// Runs a statement in a workspace's database, as nothing of ours would; it changes one row.
pub async fn damage(url: &str, sql: &'static str) {
    let rows = if url.starts_with("sqlite://") {
        let db = sqlx::SqlitePool::connect(url).await.unwrap();
        let done = sqlx::query(sql).execute(&db).await.unwrap().rows_affected();
        db.close().await;
        done
    } else {
        let db = sqlx::PgPool::connect(url).await.unwrap();
        let done = sqlx::query(sql).execute(&db).await.unwrap().rows_affected();
        db.close().await;
        done
    };
    assert_eq!(rows, 1, "{sql}");
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a behaviour on a SQLite file and on PostgreSQL.
pub async fn on_both(behaviour: impl AsyncFn(Store)) {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    for url in [url, Postgres::shared().database()] {
        let store = Store::open(&url, Create::IfMissing).await.unwrap();
        behaviour(store.clone()).await;
        store.close().await;
    }
}

/// Opens a database that an earlier version may have written, and migrates it.
pub async fn open_old(url: &str) -> Store {
    Store::open(url, Create::Schema).await.unwrap()
}

/// A workspace with settings, for tests of the binary.
pub struct Workspace {
    pub dir: TempDir,
}

impl Workspace {
    /// A workspace on SQLite, as `init` makes it.
    pub fn new() -> Self {
        let workspace = Self { dir: TempDir::new().unwrap() };
        let made = workspace.run(&["init", "."]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        workspace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Changes a text in the settings that must be there.
    pub fn set(&self, from: &str, to: &str) {
        let settings = std::fs::read_to_string(self.path("opportune.toml")).unwrap();
        assert!(settings.contains(from), "{from:?} is not in the settings");
        self.write("opportune.toml", &settings.replace(from, to));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opportune"));
        command.args(args).current_dir(self.dir.path()).env_remove("OPPORTUNE_CONFIG");
        command.env_remove("OPPORTUNE_DATABASE_URL");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?} failed: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed; its JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// Runs a command that must end with the status; its standard error.
    pub fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        stderr
    }
}

/// Waits for something that must come true.
pub fn eventually(what: &str, done: impl FnMut() -> bool) {
    eventually_or(|| format!("{what} did not come true within a minute"), done);
}

/// The same; where it does not come true, `failure` says how things stand.
pub fn eventually_or(failure: impl Fn() -> String, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{}", failure());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every byte of the files in a folder whose names begin with `prefix`.
pub fn bytes_of(dir: &Path, prefix: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

/// Writes into a database that a migration of a later version was applied.
pub fn pretend_newer(url: &str) {
    let sql = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, '', 0)";
    let done = if let Some(file) = url.strip_prefix("sqlite://") {
        Command::new("sqlite3").args([file, sql]).output().expect("sqlite3 runs")
    } else {
        Command::new(program("psql"))
            .args(["-X", "-q", "-c", sql, url])
            .output()
            .expect("psql runs")
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A page in a headless browser.
pub fn browse(page: &Path, args: &[&str]) -> Output {
    // its sandbox needs rights that a container does not have
    Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,2000"])
        .args(["--enable-logging=stderr"])
        .args(args)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium runs; install Debian's package chromium")
}

/// The entry of a person who agreed at a time, and of whom that was noted at another.
pub fn granted(at: Moment, recorded_at: Moment) -> ConsentEntry {
    let (source, evidence) = ("form".to_owned(), String::new());
    ConsentEntry {
        change: ConsentChange::Granted,
        at,
        source,
        evidence,
        recorded_at,
        scope: ConsentEntry::EVERYWHERE,
    }
}

/// A message that the provider took at its `try_number`-th try.
pub fn sent(recipient: RecipientId, try_number: u32, at: Moment) -> Settled {
    Settled {
        recipient,
        try_number,
        attempt: Attempt::Made,
        planned_for: Reason::BestSlot,
        state: State::Sent,
        reason: None,
        again_at: None,
        not_before: None,
        sent: Some(Box::new(Sent {
            at,
            content: Content { media: Media::Text, style: None },
            provider_message: None,
        })),
        failure: None,
    }
}

/// A message of a campaign's first variant, planned for a moment.
pub fn planned(
    person: RecipientId,
    variant: &str,
    send_at: Moment,
    length: SlotLength,
) -> Delivery {
    let choice = Choice {
        variant: variant.parse().unwrap(),
        variant_index: 0,
        slot: Slot::holding(send_at, length),
        send_at,
        value: 0.5,
        chance: 0.5,
        price: 0.0,
        runner_up: None,
        propensity: None,
        drawn: None,
    };
    Delivery {
        recipient: person,
        state: State::Planned,
        reason: Reason::BestSlot,
        arm: Some(Arm::Personalized),
        choice: Some(choice),
        expectation: None,
    }
}
