//! What keeps a workspace: migrations, backups and retention, on both databases.

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use support::{Postgres, Workspace, pretend_newer};

const SQLITE: &str = include_str!("store/version_0008/sqlite.sql");
const POSTGRES: &str = include_str!("store/version_0008/postgres.sql");

/// A workspace's settings, and a database of its own.
struct Place {
    workspace: Workspace,
    url: String,
}

impl Place {
    fn sqlite() -> Self {
        let workspace = Workspace::new();
        std::fs::remove_file(workspace.path("opportune.db")).unwrap();
        let url = format!("sqlite://{}", workspace.path("opportune.db").display());
        Self { workspace, url }
    }

    fn postgres() -> Self {
        Self { workspace: Workspace::new(), url: Postgres::shared().database() }
    }

    /// With the workspace that version 0008 wrote.
    async fn old(self) -> Self {
        if self.url.starts_with("sqlite://") {
            let mut db =
                SqliteConnection::connect(&format!("{}?mode=rwc", self.url)).await.unwrap();
            db.execute(sqlx::raw_sql(SQLITE)).await.unwrap();
            db.close().await.unwrap();
        } else {
            let mut db = PgConnection::connect(&self.url).await.unwrap();
            db.execute(sqlx::raw_sql(POSTGRES)).await.unwrap();
            db.close().await.unwrap();
        }
        self
    }

    /// The same of this version.
    async fn filled(self) -> Self {
        let old = self.old().await;
        old.ok(&["migrate"]);
        old
    }

    async fn both(of: impl AsyncFn(Self) -> Self) -> [Self; 2] {
        [of(Self::sqlite()).await, of(Self::postgres()).await]
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.workspace.command(args);
        command.env("OPPORTUNE_DATABASE_URL", &self.url);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        stderr
    }

    async fn number(&self, sql: &'static str) -> i64 {
        if self.url.starts_with("sqlite://") {
            let mut db = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap()
        } else {
            let mut db = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap()
        }
    }

    /// Everything that can be seen from outside, for a comparison.
    fn seen(&self) -> Vec<Value> {
        let mut seen: Vec<Value> = ["p01", "p02", "p12", "p14"]
            .iter()
            .map(|key| self.json(&["recipient", "export", key]))
            .collect();
        for args in
            [&["model", "list"][..], &["audit"], &["token", "list"], &["consent", "show", "p12"]]
        {
            seen.push(self.json(args));
        }
        for name in ["spring", "held-back", "stopped", "over"] {
            let csv = self.ok(&["campaign", "export", name, "--out", "-"]);
            assert!(csv.lines().count() > 3);
            seen.push(csv.into());
        }
        seen
    }
}

#[tokio::test]
async fn only_those_who_may_migrate_do() {
    const VERSION: &str = "SELECT MAX(version) FROM _sqlx_migrations";
    for place in Place::both(async |place| place.old().await).await {
        for args in [
            &["status"][..],
            &["learn"],
            &["token", "list"],
            &["backup", "copy.db"],
            &["consent", "show", "p01"],
        ] {
            let told = place.fails(1, args);
            assert!(told.contains("is of version 8"), "{told}");
            assert!(told.contains("run `opportune migrate`"), "{told}");
        }
        let checked = place.run(&["migrate", "--check", "--json"]);
        assert_eq!(checked.status.code(), Some(1));
        let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!((&checked["version"], &checked["current"]), (&8.into(), &false.into()));
        assert!(!checked["missing"].as_array().unwrap().is_empty());
        assert_eq!(place.number(VERSION).await, 8);

        let migrated = place.json(&["migrate"]);
        assert_eq!(migrated["current"], true);
        assert_eq!(place.number(VERSION).await, migrated["program"].as_i64().unwrap());
        place.ok(&["migrate", "--check"]);
        place.ok(&["migrate"]);
        place.ok(&["status"]);

        pretend_newer(&place.url);
        for args in [&["status"][..], &["migrate"], &["migrate", "--check"]] {
            assert!(place.fails(1, args).contains("newer version of opportune"));
        }
    }
}

#[tokio::test]
async fn a_daemon_that_holds_the_database_is_told_of() {
    for place in Place::both(async |place| place.old().await).await {
        let told = String::from_utf8(place.run(&["migrate", "--check"]).stdout).unwrap();
        assert!(!told.contains("Another process"), "{told}");
        let check = || {
            let told = String::from_utf8(place.run(&["migrate", "--check"]).stdout).unwrap();
            assert!(told.contains("Another process has the database open"), "{told}");
        };
        if place.url.starts_with("sqlite://") {
            let mut db = SqliteConnection::connect(&place.url).await.unwrap();
            db.execute("PRAGMA journal_mode = WAL").await.unwrap();
            db.execute("SELECT * FROM campaign").await.unwrap();
            check();
        } else {
            let _db = PgConnection::connect(&place.url).await.unwrap();
            check();
        }
    }
}

#[test]
fn a_database_that_is_not_there_is_no_older_one() {
    let place = Place::postgres();
    assert!(place.fails(2, &["status"]).contains("opportune init"));
    place.ok(&["init", "."]);
    place.ok(&["status"]);
    let place = Place::sqlite();
    assert!(place.fails(2, &["migrate"]).contains("opportune init"));
    assert!(!place.workspace.path("opportune.db").exists());
}

#[tokio::test]
async fn a_backup_is_restored_into_either_database() {
    let from = Place::sqlite().filled().await;
    let file = from.workspace.path("copy.db.gz");
    let file = file.to_str().unwrap();
    // somebody is writing: what is not committed is not in the backup
    let mut db = SqliteConnection::connect(&from.url).await.unwrap();
    db.execute("BEGIN IMMEDIATE").await.unwrap();
    db.execute("INSERT INTO workspace (name, value) VALUES ('half', '')").await.unwrap();
    let made = from.json(&["backup", file]);
    assert_eq!(made["form"], "sqlite");
    db.execute("ROLLBACK").await.unwrap();
    assert!(from.fails(2, &["backup", file]).contains("there already"));
    for to in [Place::sqlite(), Place::postgres()] {
        to.ok(&["restore", file]);
        assert_eq!(to.seen(), from.seen());
        assert_eq!(to.number("SELECT COUNT(*) FROM workspace WHERE name = 'half'").await, 0);
        assert!(to.fails(2, &["restore", file]).contains("is not empty"));
        // it goes on from where it was
        to.workspace.write("new.csv", "recipient\nnew\n");
        assert_eq!(to.json(&["import", "recipients", "new.csv"])["new"], 1);
    }
}

#[tokio::test]
async fn postgresql_is_backed_up_by_its_own_tool_or_without() {
    let from = Place::postgres().filled().await;
    let dump = from.workspace.path("copy.dump");
    let dump = dump.to_str().unwrap();
    assert_eq!(from.json(&["backup", dump])["form"], "postgres");
    let to = Place::postgres();
    to.ok(&["init", "."]);
    to.ok(&["restore", dump]);
    assert_eq!(to.seen(), from.seen());
    assert!(to.fails(2, &["restore", dump]).contains("is not empty"));
    assert!(Place::sqlite().fails(2, &["restore", dump]).contains("PostgreSQL's own form"));

    // where there is no pg_dump, SQLite's form, which goes into both
    let made = from.command(&["backup", "-"]).env("PATH", "").output().unwrap();
    assert!(made.status.success());
    assert!(made.stdout.starts_with(b"SQLite format 3"));
    for to in [Place::sqlite(), Place::postgres()] {
        std::fs::write(to.workspace.path("copy.db"), &made.stdout).unwrap();
        to.ok(&["restore", "copy.db"]);
        assert_eq!(to.seen(), from.seen());
    }
}

#[tokio::test]
async fn a_backup_of_an_older_version_is_migrated_and_stays_as_it_was() {
    let from = Place::sqlite().old().await;
    let file = from.url.strip_prefix("sqlite://").unwrap();
    let before = std::fs::read(file).unwrap();
    let same = Place::sqlite().filled().await;
    for to in [Place::sqlite(), Place::postgres()] {
        to.ok(&["restore", file]);
        assert_eq!(to.seen()[..4], same.seen()[..4]);
    }
    assert_eq!(std::fs::read(file).unwrap(), before);
    let nothing = Place::sqlite();
    nothing.workspace.write("no.db", "recipient,address\n");
    assert!(nothing.fails(2, &["restore", "no.db"]).contains("neither"));
}

#[tokio::test]
async fn a_password_is_never_printed() {
    let place = Place::postgres();
    let (_, at) = place.url.split_once('@').unwrap();
    for url in [
        format!("postgres://tests:hush@{at}"),
        format!("postgres://{at}?user=tests&password=hush"),
        "postgres://tests:hush@127.0.0.1:99999/x".to_owned(),
        "postgres://tests:hu/sh@127.0.0.1/x?password=hush".to_owned(),
        "host=127.0.0.1 user=tests password=hush".to_owned(),
    ] {
        for args in [&["status"][..], &["init", "."], &["migrate"], &["backup", "x"]] {
            let done = place.command(args).env("OPPORTUNE_DATABASE_URL", &url).output().unwrap();
            let said = [done.stdout, done.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(!said.contains("hush") && !said.contains("hu/sh"), "{url} {args:?}: {said}");
        }
    }
}

#[tokio::test]
async fn what_is_too_old_is_deleted_and_the_ledger_is_not() {
    for place in Place::both(async |place| place.filled().await).await {
        let ledger = place.json(&["consent", "show", "p12"]);
        let results = place.ok(&["campaign", "export", "over", "--out", "-"]);
        assert_eq!(place.json(&["prune"])["pruned"].as_array().unwrap().len(), 0);
        place.workspace.set(
            "# [retention]\n",
            "[retention]\nhistory = \"60days\"\ninbound = \"60days\"\naudit = \"100years\"\n",
        );
        let rows = |pruned: &Value| -> Vec<(String, u64)> {
            let rows = pruned["pruned"].as_array().unwrap().iter();
            rows.map(|one| {
                (one["what"].as_str().unwrap().to_owned(), one["rows"].as_u64().unwrap())
            })
            .collect()
        };
        // what files brought, and the one that was given up before it is sent again
        let expected = [("messages", 20), ("activity", 3), ("inbound", 1), ("audit", 0)];
        let expected = expected.map(|(what, rows)| (what.to_owned(), rows));
        assert_eq!(rows(&place.json(&["prune", "--dry-run"])), expected);
        assert_eq!(place.number("SELECT COUNT(*) FROM activity").await, 3);
        assert_eq!(rows(&place.json(&["prune"])), expected);
        assert_eq!(rows(&place.json(&["prune"])).iter().map(|(_, rows)| rows).sum::<u64>(), 0);
        assert_eq!(place.json(&["consent", "show", "p12"]), ledger);
        assert_eq!(place.ok(&["campaign", "export", "over", "--out", "-"]), results);
        assert_eq!(place.number("SELECT COUNT(*) FROM evidence").await, 14);
        place.workspace.set("\"60days\"", "\"3days\"");
        assert!(place.fails(2, &["prune"]).contains("retention.history"));
    }
}
