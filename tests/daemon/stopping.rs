//! A signal ends the daemon in time, whatever hangs.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use opportune::clock::Clock;
use opportune::store::{Create, Store};

use crate::scene::*;
use crate::server::Server;
use crate::support::eventually;

#[test]
fn a_signal_ends_a_daemon_whose_provider_hangs_and_gives_back_what_was_not_called() {
    const PEOPLE: u64 = 200;
    for name in ["-TERM", "-INT"] {
        let endpoint = Endpoint::start(Duration::from_secs(300));
        let (workspace, _) = workspace(&endpoint, PEOPLE as usize, None);
        workspace.set(
            "secret = { env = \"SHOP_SECRET\" }",
            "secret = { env = \"SHOP_SECRET\" }\ntimeout = \"60s\"",
        );
        submit_due(&workspace, &sqlite(&workspace));
        let daemon = daemon(&workspace);
        eventually("the first calls", || endpoint.count() >= 64);
        stops(daemon, name);
        let called = endpoint.count() as u64;
        let states = states(&workspace);
        // whom it had begun to call is in doubt; everybody else waits as before
        assert_eq!(states.get("in_doubt"), Some(&called), "{states:?}");
        assert_eq!(states.get("planned"), Some(&(PEOPLE - called)), "{states:?}");
    }
}

#[test]
fn a_signal_ends_a_daemon_whose_database_hangs() {
    let server = Server::start();
    let endpoint = Endpoint::start(Duration::from_millis(100));
    let (workspace, port) = workspace(&endpoint, 2000, Some(&server.url()));
    submit_due(&workspace, &server.url());
    let daemon = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    server.freeze();
    let mut told = String::new();
    eventually("readiness to end", || {
        told = get(port, "/readyz");
        told.starts_with("HTTP/1.1 503")
    });
    assert!(told.contains("the database does not answer"), "{told}");
    // what the process knows by itself is told all the same
    let metrics = get(port, "/metrics");
    assert!(metrics.contains("opportune_database_up 0"), "{metrics}");
    assert!(metrics.contains("opportune_task_running{task=\"send:shop:1\"}"), "{metrics}");
    stops(daemon, "-TERM");
    server.thaw();
}

#[test]
fn a_second_signal_ends_a_daemon_at_once() {
    let endpoint = Endpoint::start(Duration::from_secs(300));
    let (workspace, _) = workspace(&endpoint, 10, None);
    submit_due(&workspace, &sqlite(&workspace));
    let daemon = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    signal(&daemon, "-TERM");
    std::thread::sleep(Duration::from_millis(300));
    let took = stops(daemon, "-TERM");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn neither_silent_clients_nor_an_endpoint_that_hangs_keep_a_daemon() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, port) = workspace(&endpoint, 30, None);
    let url = format!("http://127.0.0.1:{}/", hanging.local_addr().unwrap().port());
    workspace.set(
        "secret = { env = \"SHOP_SECRET\" }",
        &format!(
            "secret = {{ env = \"SHOP_SECRET\" }}\ninbound_url = \"{url}\"\n\
             inbound_secret = {{ env = \"SHOP_SECRET\" }}"
        ),
    );
    workspace.set("allow_hosts = []", "allow_hosts = [\"127.0.0.1\"]");
    workspace.set("allow_private = false", "allow_private = true");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&sqlite(&workspace), Create::No).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        for n in 0..40 {
            let (provider, now) = ("shop".parse().unwrap(), Clock::system().now());
            tx.add_inbound(&provider, &format!("m{n}"), None, "{}", now).await.unwrap();
        }
        tx.commit().await.unwrap();
        store.close().await;
    });
    let daemon = daemon(&workspace);
    eventually("readiness", || is_ready(port));
    hanging.accept().unwrap();
    // messages go out and campaigns are tended while the endpoint hangs
    submit_due(&workspace, &sqlite(&workspace));
    wait_until_sent(&workspace, 30);
    // how tasks stand is written every few seconds
    let well = |name: &str| {
        let tasks = json(&workspace, &["status"])["tasks"].clone();
        let found = tasks.as_array().unwrap().iter().find(|task| task["name"] == name).cloned();
        found.is_some_and(|task| task["last_succeeded_at"].is_string())
    };
    for name in ["send:shop:1", "send:shop:2", "receive", "maintain", "plan", "cron", "status"] {
        eventually(name, || well(name));
    }
    assert!(!well("forward:shop"), "it waits for an answer");
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
    half.write_all(
        b"POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
    )
    .unwrap();
    let idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stops(daemon, "-TERM");
    drop((half, idle));
    assert_eq!(json(&workspace, &["status"])["tasks"], serde_json::json!([]));
}
