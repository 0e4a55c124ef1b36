//! What metrics, readiness and status tell of the daemon and its campaigns.

use std::time::Duration;

use chrono::TimeDelta;
use opportune::config::SecretValue;
use opportune::provider::signature;
use opportune::store::{Create, Store};
use opportune::work::tasks::{Ended, Patience};
use opportune::work::tokens::Scope;
use opportune::work::{Ctx, campaigns, dispatch};
use tokio::sync::watch;

use crate::{CAMPAIGN, Listener, due, support};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_and_units_of_prometheus() {
    let listener = Listener::start().await;
    let all = listener.token("robot", &[Scope::Submit]).await;
    listener.call("POST", "/api/v1/campaigns", &all, CAMPAIGN).await;
    let body =
        "{\"updates\":[{\"message\":\"c:1\",\"event\":\"read\",\"at\":\"2026-01-01T00:00:00Z\"}]}";
    let signed = signature(&SecretValue::new("s"), body.as_bytes());
    let post = format!(
        "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-opportune-signature: {signed}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(listener.ask(post).await.0, 200);
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    for wanted in [
        "# TYPE opportune_webhook_updates counter",
        "# UNIT opportune_webhook_duration_seconds seconds",
        "opportune_webhook_updates_total{provider=\"shop\",result=\"unknown\"} 1",
        "opportune_webhook_duration_seconds_count 1",
        "opportune_deliveries_due{campaign=\"spring\"} 0",
        "opportune_provider_alerts{provider=\"console\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_campaign_hides_no_other_from_status_and_metrics() {
    let listener = Listener::start().await;
    for provider in ["shop", "console", "people"] {
        due(&listener.ctx, provider, 2, TimeDelta::seconds(90)).await;
    }
    support::damage(
        &listener.url(),
        "UPDATE campaign SET source = 'name = 1' WHERE name = 'due-console'",
    )
    .await;
    const REASON: &str = "UPDATE delivery_count SET reason = 'of a newer version'
        WHERE campaign = (SELECT id FROM campaign WHERE name = 'due-people')";
    support::damage(&listener.url(), REASON).await;
    // as somebody sees it who never read the file before
    let ctx = Ctx {
        store: Store::open(&listener.url(), Create::No).await.unwrap(),
        env: listener.ctx.env.clone(),
    };
    let status = campaigns::status(&ctx).await.unwrap();
    let names: Vec<_> = status.campaigns.iter().map(|campaign| campaign.name.as_str()).collect();
    assert_eq!(names, ["due-shop"]);
    let mut broken: Vec<_> = status.broken.iter().map(|broken| broken.name.as_str()).collect();
    broken.sort_unstable();
    assert_eq!(broken, ["due-console", "due-people"]);
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    assert!(text.contains("opportune_deliveries_due{campaign=\"due-shop\"} 2"), "{text}");
    assert!(text.contains("opportune_provider_alerts{provider=\"shop\"} 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_metrics_name_the_task_that_does_not_do_its_work() {
    let listener = Listener::start().await;
    let (ctx, tasks) = (&listener.ctx, &listener.tasks);
    let patience = Patience { failing: TimeDelta::minutes(1), step: TimeDelta::minutes(10) };
    for name in ["plan", "send:shop:1", "learn"] {
        tasks.register(ctx, name, patience);
    }
    let now = ctx.clock.now();
    let took = Duration::from_millis(1500);
    tasks.ended("plan", now - TimeDelta::seconds(50), took, Ended::Failed("could not plan"));
    tasks.ended("learn", now - TimeDelta::hours(20), took, Ended::Ok);
    tasks.began("send:shop:1", now - TimeDelta::minutes(9));
    // a task that failed a moment ago, one that has nothing to do, and one that is at work are well
    assert_eq!(listener.call("GET", "/readyz", "", "").await, (200, "ready\n".to_owned()));
    tasks.ended("plan", now, took, Ended::Panicked("src/x.rs:1"));
    tasks.ended("plan", now, took, Ended::Ok);
    tasks.ended("plan", now - TimeDelta::seconds(70), took, Ended::Failed("could not plan"));
    tasks.began("send:shop:1", now - TimeDelta::minutes(11));
    let (status, text) = listener.call("GET", "/readyz", "", "").await;
    assert_eq!(status, 503);
    assert!(text.contains("task plan has been failing for 7"), "{text}");
    assert!(text.contains("could not plan"), "{text}");
    assert!(text.contains("a step of task send:shop:1 has been going on for 66"), "{text}");
    assert!(!text.contains("learn"), "{text}");
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    for wanted in [
        "opportune_task_runs_total{task=\"plan\"} 4",
        "opportune_task_failures_total{task=\"plan\"} 2",
        "opportune_task_panics_total{task=\"plan\"} 1",
        "opportune_task_running{task=\"send:shop:1\"} 1",
        "# UNIT opportune_task_last_success_timestamp_seconds seconds",
        "opportune_task_last_duration_seconds{task=\"learn\"} 1.5",
        "opportune_database_up 1",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_providers_answered_and_how_late_messages_went() {
    let listener = Listener::start().await;
    // the third is not to be had; everybody is a minute and a half late
    due(&listener.ctx, "shop", 3, TimeDelta::seconds(90)).await;
    let (_keep, stop) = watch::channel(false);
    dispatch::run(&listener.ctx, &stop).await.unwrap();
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    let wanted = [
        "# TYPE opportune_provider_calls counter",
        "opportune_provider_calls_total{provider=\"shop\",outcome=\"accepted\"} 2",
        "opportune_provider_calls_total{provider=\"shop\",outcome=\"refused_person\"} 1",
        "# UNIT opportune_provider_call_duration_seconds seconds",
        "opportune_provider_call_duration_seconds_count{provider=\"shop\"} 3",
        "opportune_provider_call_duration_seconds_bucket{le=\"60.0\",provider=\"shop\"} 3",
        "# UNIT opportune_message_lateness_seconds seconds",
        "# TYPE opportune_message_lateness_seconds histogram",
        "opportune_message_lateness_seconds_count{provider=\"shop\"} 3",
        "opportune_message_lateness_seconds_bucket{le=\"30.0\",provider=\"shop\"} 0",
        "opportune_message_lateness_seconds_bucket{le=\"300.0\",provider=\"shop\"} 3",
        "state=\"sent\"",
    ];
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    // the sum is in seconds
    let sum = text.lines().find_map(|line| {
        line.strip_prefix("opportune_message_lateness_seconds_sum{provider=\"shop\"} ")
    });
    let sum: f64 = sum.unwrap().parse().unwrap();
    assert!((270.0..400.0).contains(&sum), "{sum}");
}
