//! The first messages of a new template decide about it only once they were called.

use crate::scene::*;

/// Another campaign uses up the hour's two calls, with a template of its own.
async fn use_up_the_hour(scene: &Scene) {
    let ids = scene.ids[..2].to_vec();
    let variant = VARIANT.replace("promo", "second");
    due(&scene.ctx, "before", "", &variant, &ids).await;
    let row = scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
    let command = campaigns::OperatorCommand::Pause;
    assert!(campaigns::change(&scene.ctx, &row, command, "test").await.unwrap());
    send(&scene.ctx).await;
    assert_eq!(scene.graph.calls().len(), 2);
    let row = scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
    let command = campaigns::OperatorCommand::Resume;
    assert!(campaigns::change(&scene.ctx, &row, command, "test").await.unwrap());
}

#[tokio::test]
async fn first_messages_that_limits_hold_back_are_not_used_up_and_open_nothing() {
    on_both(async |store| {
        let more = "canary = 2\ncanary_wait = \"30s\"\n\
                    [provider.wa.limits]\ncalls_per_hour = 2\n";
        let scene = Scene::new(store, 12, more).await;
        use_up_the_hour(&scene).await;
        // the first two are chosen, and then the limit holds back everybody
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 2);
        let row = scene.template("promo").await;
        assert_eq!((row.stage, row.remaining, row.accepted), (Stage::Canary, 2, 0));
        // waiting opens nothing that was not tried
        scene.advance(TimeDelta::minutes(2));
        maintenance::run(&scene.ctx).await.unwrap();
        assert_eq!(scene.template("promo").await.stage, Stage::Canary);
        // once there is room again two go, and no more before their fate is known
        scene.advance(TimeDelta::minutes(65));
        maintenance::run(&scene.ctx).await.unwrap();
        plan::run(&scene.ctx).await.unwrap();
        for _ in 0..150 {
            scene.advance(TimeDelta::hours(1));
            send(&scene.ctx).await;
            if scene.graph.calls().len() > 2 {
                break;
            }
        }
        let called = scene.graph.calls();
        let promo = called.iter().filter(|call| call.body["template"]["name"] == "promo").count();
        assert!((1..=2).contains(&promo), "{promo} first messages went");
        let row = scene.template("promo").await;
        assert_eq!((row.remaining, row.accepted), (2 - promo as u64, promo as u64));
    })
    .await;
}

#[tokio::test]
async fn first_messages_that_were_not_called_are_given_back() {
    on_both(async |store| {
        let scene = Scene::new(store, 6, "canary = 4\ncanary_wait = \"30s\"\n").await;
        scene.graph.answer(|_| Answer::Code(131_042));
        let (_keep, stop) = watch::channel(false);
        dispatch::run(&scene.ctx, &stop).await.unwrap();
        // the account is stopped: nobody was taken, and all are to be tried again
        let row = scene.template("promo").await;
        assert_eq!((row.stage, row.remaining, row.accepted), (Stage::Canary, 4, 0));
        scene.advance(TimeDelta::minutes(2));
        maintenance::run(&scene.ctx).await.unwrap();
        assert_eq!(scene.template("promo").await.stage, Stage::Canary);
    })
    .await;
}

#[tokio::test]
async fn what_first_messages_write_late_turns_no_parked_template_back() {
    on_both(async |store| {
        let scene = Scene::new(store, 8, "canary = 4\ncanary_wait = \"30s\"\n").await;
        let paused = json!({ "event": "PAUSED", "message_template_id": 1,
            "message_template_name": "promo", "message_template_language": "pt_BR",
            "reason": "NONE" });
        let told = change("message_template_status_update", paused);
        // the channel parks the template while its first messages are under way
        scene
            .send_during(4, async || {
                webhook(&scene.ctx, &told).await;
                assert_eq!(scene.template("promo").await.stage, Stage::Parked);
            })
            .await;
        assert_eq!(scene.graph.calls().len(), 4);
        let counts = states(&scene.ctx, scene.campaign).await;
        assert_eq!(counts[&(State::Sent, Reason::BestSlot)], 4);
        scene.advance(TimeDelta::minutes(2));
        maintenance::run(&scene.ctx).await.unwrap();
        send(&scene.ctx).await;
        assert_eq!(scene.template("promo").await.stage, Stage::Parked);
        assert_eq!(scene.graph.calls().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn claims_that_hold_no_first_message_keep_no_template_from_opening() {
    on_both(async |store| {
        let scene = Scene::new(store, 12, "canary = 2\ncanary_wait = \"30s\"\n").await;
        let claim = async |lease: &str| {
            let now = scene.ctx.clock.now();
            let until = now + TimeDelta::minutes(5);
            let claim = opportune::store::Claim { lease: lease.to_owned(), until };
            let mut tx = scene.ctx.store.begin().await.unwrap();
            let due = tx.claim(scene.campaign, &claim, (now, until), 2, LENGTH).await;
            assert_eq!(due.unwrap().len(), 2);
            tx.commit().await.unwrap();
        };
        // another daemon has two of them in hand while the first messages go
        claim("early").await;
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 2);
        scene.advance(TimeDelta::seconds(31));
        maintenance::run(&scene.ctx).await.unwrap();
        assert_eq!(scene.template("promo").await.stage, Stage::Canary, "their fate is not known");
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let long_after = scene.ctx.clock.now() + TimeDelta::hours(1);
        assert_eq!(tx.expire_claims(long_after).await.unwrap(), 2);
        tx.commit().await.unwrap();
        // one that looked afterwards holds people who are put off, and nothing else
        claim("late").await;
        maintenance::run(&scene.ctx).await.unwrap();
        assert_eq!(scene.template("promo").await.stage, Stage::Open);
    })
    .await;
}
