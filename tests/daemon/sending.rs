//! Messages go out once each, whatever becomes of the daemons, and answers come back.

use std::time::Duration;

use chrono::TimeDelta;
use opportune::clock::Clock;

use crate::scene::*;
use crate::support::{Postgres, eventually};

#[test]
fn messages_go_out_and_answers_come_back() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, port) = workspace(&endpoint, 40, None);
    submit_due(&workspace, &sqlite(&workspace));
    let mut daemon = daemon(&workspace);
    eventually("readiness", || is_ready(port));
    // the command line looks at the same file while the daemon works on it
    wait_until_sent(&workspace, 40);
    endpoint.assert_each_once(40);

    let read = (Clock::system().now() - TimeDelta::seconds(1)).to_rfc3339();
    let body = format!(
        r#"{{"updates":[{{"message":"spring:1","event":"read","at":"{read}"}},
            {{"provider_message":"ext-spring:2","event":"replied","at":"{read}"}},
            {{"message":"spring:3","event":"opted_out","at":"{read}"}},
            {{"message":"spring:3","event":"opted_out","at":"{read}"}},
            {{"message":"nobody:9","event":"read","at":"{read}"}}]}}"#
    );
    assert_eq!(post(port, "/webhooks/shop", &sign(b"another body"), &body), 401);
    assert_eq!(post(port, "/webhooks/shop", &sign(body.as_bytes()), &body), 200);
    assert_eq!(post(port, "/webhooks/shop", &sign(b"[]"), "[]"), 400);
    assert_eq!(post(port, "/webhooks/none", "", "{}"), 404);
    let results = json(&workspace, &["campaign", "results", "spring"]);
    let arm = &results["arms"][0];
    assert_eq!((&arm["engaged"], &arm["opted_out"]), (&2.into(), &1.into()), "{results}");
    assert_eq!(json(&workspace, &["consent", "show", "r2"])["consented"], false);
    command(&workspace, &["campaign", "export", "spring", "--out", "e.csv"]).status().unwrap();
    let export = std::fs::read_to_string(workspace.path("e.csv")).unwrap();
    assert!(
        export.contains("spring:2,r1,+551100000001,sent,best_slot,words,personalized,"),
        "{export}"
    );
    assert!(export.contains(",1,ext-spring:2,"), "{export}");
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_stopped_daemon_finishes_what_is_in_flight_and_the_next_sends_the_rest() {
    const PEOPLE: usize = 400;
    let endpoint = Endpoint::start(Duration::from_millis(400));
    let (workspace, _) = workspace(&endpoint, PEOPLE, None);
    submit_due(&workspace, &sqlite(&workspace));
    let mut first = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    signal(&first, "-TERM");
    assert!(first.wait().unwrap().success());
    let called = endpoint.count();
    assert!(called < PEOPLE, "all were called before the signal");
    // nothing is left claimed, and what was called is known as sent
    assert_eq!(sent(&workspace), called as u64);
    let mut second = daemon(&workspace);
    wait_until_sent(&workspace, PEOPLE as u64);
    endpoint.assert_each_once(PEOPLE);
    signal(&second, "-INT");
    assert!(second.wait().unwrap().success());
}

#[test]
fn a_killed_daemon_sends_nothing_twice() {
    const PEOPLE: usize = 300;
    let endpoint = Endpoint::start(Duration::from_millis(300));
    let (workspace, _) = workspace(&endpoint, PEOPLE, None);
    submit_due(&workspace, &sqlite(&workspace));
    let mut first = daemon(&workspace);
    eventually("the first calls", || endpoint.count() > 0);
    signal(&first, "-KILL");
    first.wait().unwrap();
    let called = endpoint.count();
    let mut second = daemon(&workspace);
    // what the dead one had claimed stays claimed until its lease ends: nobody calls it again
    std::thread::sleep(Duration::from_secs(3));
    let got = endpoint.got.lock().unwrap().clone();
    assert!(got.len() >= called && got.values().all(|times| *times == 1), "{got:?}");
    signal(&second, "-TERM");
    assert!(second.wait().unwrap().success());
}

#[test]
fn two_daemons_share_one_postgres_database() {
    const PEOPLE: usize = 1500;
    let endpoint = Endpoint::start(Duration::from_millis(5));
    let url = Postgres::shared().database();
    let (one, _) = workspace(&endpoint, PEOPLE, Some(&url));
    let (two, _) = workspace(&endpoint, PEOPLE, Some(&url));
    submit_due(&one, &url);
    let mut daemons = [daemon(&one), daemon(&two)];
    eventually("everybody being sent to", || sent(&one) == PEOPLE as u64);
    endpoint.assert_each_once(PEOPLE);
    for daemon in &mut daemons {
        signal(daemon, "-TERM");
        assert!(daemon.wait().unwrap().success());
    }
}

#[test]
fn nobody_is_sent_to_whose_consent_ended_after_planning() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, _) = workspace(&endpoint, 3, None);
    submit_due(&workspace, &sqlite(&workspace));
    command(&workspace, &["consent", "withdraw", "r1"]).output().unwrap();
    let mut daemon = daemon(&workspace);
    wait_until_sent(&workspace, 2);
    let states = json(&workspace, &["campaign", "show", "spring"])["states"].clone();
    let refused =
        serde_json::json!({"state": "refused", "reason": "consent_withdrawn", "people": 1});
    eventually("the refusal", || {
        let states = json(&workspace, &["campaign", "show", "spring"])["states"].clone();
        states.as_array().unwrap().contains(&refused)
    });
    assert!(!endpoint.got.lock().unwrap().contains_key("spring:2"), "{states}");
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
}
