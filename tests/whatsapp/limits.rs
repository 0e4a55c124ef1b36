//! Limits of the account, shared by every daemon.

use crate::scene::*;

#[tokio::test]
async fn a_told_limit_lowers_that_of_the_settings() {
    let (_dir, store) = sqlite().await;
    let scene =
        Scene::new(store, 5, "canary = 0\n[provider.wa.limits]\nunique_per_day = 4\n").await;
    webhook(
        &scene.ctx,
        &change(
            "business_capability_update",
            json!({ "max_daily_conversation_per_phone": 2, "max_phone_numbers_per_business": 2 }),
        ),
    )
    .await;
    send(&scene.ctx).await;
    assert_eq!(scene.graph.calls().len(), 2);
    webhook(
        &scene.ctx,
        &change(
            "phone_number_quality_update",
            json!({ "event": "ONBOARDING", "max_daily_conversations_per_business": "TIER_2K" }),
        ),
    )
    .await;
    // a day later there is room again, for those who got a new decision
    let waiting =
        scene.ctx.store.read().await.unwrap().undecided_count(scene.campaign).await.unwrap();
    assert_eq!(waiting, 3);
}

#[tokio::test]
async fn four_daemons_together_never_exceed_a_limit() {
    const RATE: u32 = 40;
    let url = Postgres::shared().database();
    let store = Store::open(&url, Create::IfMissing).await.unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let graph = Graph::start().await;
    let more =
        format!("canary = 0\n[provider.wa.limits]\nper_second = {RATE}\nunique_per_day = 150\n");
    let settings = config(&graph, dir.path(), &more);
    let first = ctx(store, settings.clone(), Clock::system());
    let ids = people(&first.store, 400).await;
    let campaign = due(&first, "c", "", VARIANT, &ids).await;
    let (stopper, stop) = watch::channel(false);
    let mut daemons = Vec::new();
    for _ in 0..4 {
        let store = Store::open(&url, Create::No).await.unwrap();
        let daemon = ctx(store, settings.clone(), Clock::system());
        let stop = stop.clone();
        daemons.push(tokio::spawn(async move {
            while !*stop.borrow() {
                dispatch::run(&daemon, &stop).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }));
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while graph.calls().len() < 150 && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // long enough for a call too many
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    stopper.send_replace(true);
    for daemon in daemons {
        daemon.await.unwrap();
    }
    let calls = graph.calls();
    assert_eq!(calls.len(), 150, "the day's people");
    assert!(graph.by_person().values().all(|times| *times == 1));
    for (index, call) in calls.iter().enumerate() {
        let within = calls[index..]
            .iter()
            .take_while(|later| later.at - call.at < std::time::Duration::from_millis(980));
        assert!(within.count() <= RATE as usize, "too many within a second");
    }
    let counts = states(&first, campaign).await;
    assert_eq!(counts[&(State::Sent, Reason::BestSlot)], 150);
    assert_eq!(counts.values().sum::<u64>(), 400);
}
