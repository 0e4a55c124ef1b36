//! How messages end that were held, or not called; and what counts as a try.

use crate::scene::*;

async fn attempts(scene: &Scene, n: usize) -> u32 {
    let mut reader = scene.ctx.store.read().await.unwrap();
    reader.delivery(scene.campaign, scene.ids[n - 1], LENGTH).await.unwrap().unwrap().attempts
}

#[tokio::test]
async fn what_is_held_ends_once_its_campaign_and_two_days_are_over() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n").await;
        scene.graph.answer(|_| Answer::Hold);
        send(&scene.ctx).await;
        let held = (State::Held, Reason::HeldByProvider);
        scene.advance(TimeDelta::days(5));
        maintenance::run(&scene.ctx).await.unwrap();
        assert_eq!(states(&scene.ctx, scene.campaign).await, [(held, 2)].into());
        // another is held just before the window is over, six days from noon
        scene.advance(TimeDelta::hours(23));
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let mut rows = tx.lock_deliveries(scene.campaign, &scene.ids[1..]).await.unwrap();
        rows[0].state = State::InDoubt;
        tx.put_answered(&rows, scene.ctx.clock.now()).await.unwrap();
        let mut rows = tx.lock_deliveries(scene.campaign, &scene.ids[1..]).await.unwrap();
        rows[0].state = State::Held;
        tx.put_answered(&rows, scene.ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        scene.advance(TimeDelta::hours(2));
        maintenance::run(&scene.ctx).await.unwrap();
        let over = (State::InDoubtExpired, Reason::NeverConfirmed);
        assert_eq!(states(&scene.ctx, scene.campaign).await, [(held, 1), (over, 1)].into());
        scene.advance(TimeDelta::hours(47));
        maintenance::run(&scene.ctx).await.unwrap();
        assert_eq!(states(&scene.ctx, scene.campaign).await, [(over, 2)].into());
        maintenance::run(&scene.ctx).await.unwrap();
        let row = scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap();
        assert_eq!(row.unwrap().status, CampaignStatus::Finished);
    })
    .await;
}

#[tokio::test]
async fn being_late_is_no_try() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "canary = 0\n").await;
        scene.advance(TimeDelta::hours(20));
        send(&scene.ctx).await;
        let late = (State::Planned, Reason::MovedLate);
        assert_eq!(state_of(&scene.ctx, scene.campaign, scene.ids[0]).await, late);
        assert_eq!(attempts(&scene, 1).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_quiet_hour_is_no_try() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "canary = 0\n").await;
        let source = format!(
            "name = \"quiet\"\nprovider = \"wa\"\n[window]\nstart = 2027-03-01T08:00:00\n\
             end = 2027-03-04T20:00:00\ntime_zone = \"UTC\"\n\
             [quiet_hours]\nstart = \"11:00\"\nend = \"13:00\"\n{VARIANT}"
        );
        campaigns::submit(&scene.ctx, &source, "test").await.unwrap();
        let row = scene.ctx.store.read().await.unwrap().campaign(&name("quiet")).await.unwrap();
        let row = row.unwrap();
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let planned = crate::support::planned(scene.ids[0], "words", noon(), LENGTH);
        tx.put_decisions(row.id, &[planned], LENGTH, noon()).await.unwrap();
        tx.set_campaign_plan(row.id, noon(), None, "{}", &[]).await.unwrap();
        tx.commit().await.unwrap();
        let scene = Scene { campaign: row.id, ..scene };
        for _ in 0..3 {
            send(&scene.ctx).await;
        }
        assert_eq!(state_of(&scene.ctx, row.id, scene.ids[0]).await.0, State::Planned);
        assert_eq!(attempts(&scene, 1).await, 0);
        // of the other campaign alone
        assert_eq!(scene.graph.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_parked_template_a_pause_and_a_stop_are_no_tries() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "canary = 0\n").await;
        let mut tx = scene.ctx.store.begin().await.unwrap();
        tx.pause_provider(&name("wa"), "promo", noon() + TimeDelta::minutes(5)).await.unwrap();
        tx.commit().await.unwrap();
        send(&scene.ctx).await;
        let throttled = (State::Planned, Reason::MovedThrottled);
        assert_eq!(states(&scene.ctx, scene.campaign).await, [(throttled, 3)].into());
        for n in 1..=3 {
            assert_eq!(attempts(&scene, n).await, 0, "r{n}");
        }
        assert!(scene.graph.calls().is_empty());
        let ids = scene.ids.clone();
        let campaign = due(&scene.ctx, "d", "", &VARIANT.replace("promo", "second"), &ids).await;
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let told = (noon(), noon());
        tx.park_template(&name("wa"), ("second", "pt_BR"), "PAUSED", told).await.unwrap();
        tx.commit().await.unwrap();
        let scene = Scene { campaign, ..scene };
        send(&scene.ctx).await;
        assert_eq!(states(&scene.ctx, campaign).await, [(throttled, 3)].into());
        let campaign = due(&scene.ctx, "e", "", &VARIANT.replace("promo", "third"), &ids).await;
        let scene = Scene { campaign, ..scene };
        scene.graph.answer(|_| Answer::Code(131_042));
        send(&scene.ctx).await;
        // whoever heard that the account is stopped is as if never called
        for n in 1..=3 {
            assert_eq!(attempts(&scene, n).await, 0, "r{n}");
        }
    })
    .await;
}
