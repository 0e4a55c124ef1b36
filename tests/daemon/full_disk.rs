//! A disk that is full while a batch is under way.
//!
//! A limit on the size of files stands for the full disk: it can be set and lifted on a running
//! process without privileges, and SQLite's writes fail where it is passed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opportune::clock::Clock;

use crate::scene::*;
use crate::support::{Workspace, eventually};

/// A daemon that gets an error, and not a signal, where it passes the limit; and what it logs, by a
/// pipe, which has no size.
fn daemon(workspace: &Workspace) -> (Child, Arc<Mutex<String>>) {
    let script = format!("trap '' XFSZ; exec '{}' daemon", env!("CARGO_BIN_EXE_opportune"));
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(workspace.dir.path())
        .env("SHOP_SECRET", SECRET)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::<Mutex<String>>::default();
    let (kept, from) = (Arc::clone(&log), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            kept.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    (child, log)
}

/// Lets no file of a process be longer than `bytes`; those that are longer stay.
fn limit(child: &Child, bytes: &str) {
    let done = Command::new("prlimit")
        .args(["--pid", &child.id().to_string(), &format!("--fsize={bytes}:unlimited")])
        .status()
        .expect("prlimit runs; install Debian's package util-linux");
    assert!(done.success());
}

#[test]
fn known_answers_outlast_a_full_disk() {
    const PEOPLE: usize = 200;
    let endpoint = Endpoint::start(Duration::from_secs(2));
    let (workspace, _) = workspace(&endpoint, PEOPLE, None);
    workspace.set("lease = \"10m\"", "lease = \"15s\"");
    workspace.set(
        "secret = { env = \"SHOP_SECRET\" }",
        "secret = { env = \"SHOP_SECRET\" }\ntimeout = \"5s\"",
    );
    submit_due(&workspace, &sqlite(&workspace));
    let (mut daemon, log) = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    let begun = Clock::system().now();
    limit(&daemon, "4096");
    eventually("everybody being called", || endpoint.count() == PEOPLE);
    let logged = |what: &str| log.lock().unwrap().contains(what);
    eventually("a settlement that fails", || logged("could not be settled"));
    // past the lease, when another worker might think the claim lost
    let lease = chrono::TimeDelta::seconds(18);
    eventually("the end of the lease", || Clock::system().now() - begun > lease);
    limit(&daemon, "unlimited");
    wait_until_sent(&workspace, PEOPLE as u64);
    endpoint.assert_each_once(PEOPLE);
    assert_eq!(states(&workspace), [("sent".to_owned(), PEOPLE as u64)].into());
    assert!(!logged("+5511"), "an address is in the log");
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
}
