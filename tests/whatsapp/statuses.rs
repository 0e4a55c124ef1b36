//! What statuses tell, in whatever order they come, and what settles a doubt.

use crate::scene::*;

#[tokio::test]
async fn statuses_come_twice_late_early_and_out_of_order() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "").await;
        let now = noon();
        let callback = |n: usize| format!("c:{}#1", scene.ids[n - 1]);
        send(&scene.ctx).await;
        scene.advance(TimeDelta::hours(1));
        let read = status(&callback(1), "read", now + TimeDelta::minutes(9));
        let delivered = status(&callback(1), "delivered", now + TimeDelta::minutes(2));
        let unknown = status("other:77#1", "read", now);
        let foreign = json!({ "id": "wamid.of-another", "status": "read",
                              "timestamp": now.timestamp().to_string(), "recipient_id": "1" });
        let odd = json!({ "id": 7, "status": {} });
        let body = messages("statuses", json!([read, read, odd, unknown, foreign, delivered]));
        let first = webhook(&scene.ctx, &body).await;
        assert_eq!((first.applied, first.known, first.unknown), (2, 1, 2));
        let again = webhook(&scene.ctx, &body).await;
        assert_eq!((again.applied, again.known, again.unknown), (0, 3, 2));
        let rows = scene.ctx.store.read().await.unwrap().messages_of(scene.ids[0]).await.unwrap();
        let response = &rows[0].message.response;
        assert_eq!(response.delivered_at, Some(now + TimeDelta::minutes(2)));
        assert_eq!(response.read_at, Some(now + TimeDelta::minutes(9)));
    })
    .await;
}

#[tokio::test]
async fn a_status_that_overtakes_the_settlement_is_kept_for_it() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "").await;
        // claimed, and its call under way
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let claim = opportune::store::Claim {
            lease: "other".to_owned(),
            until: noon() + TimeDelta::minutes(5),
        };
        tx.claim(scene.campaign, &claim, noon(), 9, LENGTH).await.unwrap();
        tx.commit().await.unwrap();
        let callback = format!("c:{}#1", scene.ids[0]);
        webhook(&scene.ctx, &messages("statuses", json!([failed(&callback, 131_049, noon())])))
            .await;
        receive::collect(&scene.ctx).await.unwrap();
        assert_eq!(state_of(&scene.ctx, scene.campaign, scene.ids[0]).await.0, State::Claimed);
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let settled = opportune::store::Settled {
            state: State::Sent,
            reason: None,
            again_at: None,
            not_before: None,
            attempt: opportune::store::Attempt::Made,
        };
        tx.settle(scene.campaign, &claim, settled, &scene.ids, noon()).await.unwrap();
        tx.commit().await.unwrap();
        receive::collect(&scene.ctx).await.unwrap();
        // taken, then given up by the channel for a day: it goes again on another
        let row = scene
            .ctx
            .store
            .read()
            .await
            .unwrap()
            .delivery(scene.campaign, scene.ids[0], LENGTH)
            .await
            .unwrap();
        let row = row.unwrap();
        assert_eq!(row.delivery.state, State::Planned);
        assert!(row.not_before.unwrap() >= noon() + TimeDelta::hours(24));
        assert!(!scene.ctx.store.read().await.unwrap().any_early().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_the_callback_data_and_never_sent_again() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "").await;
        scene.graph.answer(|_| Answer::Garbled);
        send(&scene.ctx).await;
        assert_eq!(
            states(&scene.ctx, scene.campaign).await[&(State::InDoubt, Reason::AnswerLost)],
            3
        );
        let callback = |n: usize, attempt: u32| format!("c:{}#{attempt}", scene.ids[n - 1]);
        let now = scene.ctx.clock.now();
        let body = json!([
            status(&callback(1, 1), "delivered", now),
            failed(&callback(2, 1), 131_049, now),
            // a word about another try says nothing of this one
            failed(&callback(3, 7), 131_049, now),
        ]);
        webhook(&scene.ctx, &messages("statuses", body)).await;
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await;
        assert_eq!(of(1).await, (State::Sent, Reason::Confirmed));
        assert_eq!(of(2).await, (State::Planned, Reason::MovedThrottled));
        assert_eq!(of(3).await, (State::InDoubt, Reason::AnswerLost));
        scene.advance(TimeDelta::minutes(11));
        tend::run(&scene.ctx).await.unwrap();
        assert_eq!(of(3).await, (State::InDoubtExpired, Reason::NeverConfirmed));
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_utility_message_in_doubt_goes_again_only_where_the_settings_say_so() {
    for (setting, calls) in [("give_up", 1), ("send_again", 2)] {
        let (_dir, store) = sqlite().await;
        let more = format!("in_doubt_utility = \"{setting}\"\n");
        let head = format!("category = \"utility\"\n{FALLBACK}");
        let scene = Scene::with(store, 1, &more, &head, VARIANT).await;
        scene.graph.answer(|_| Answer::Garbled);
        send(&scene.ctx).await;
        scene.advance(TimeDelta::minutes(11));
        tend::run(&scene.ctx).await.unwrap();
        plan::run(&scene.ctx).await.unwrap();
        let planned = states(&scene.ctx, scene.campaign).await;
        scene.graph.answer(|_| Answer::Accept);
        for _ in 0..200 {
            scene.advance(TimeDelta::hours(1));
            send(&scene.ctx).await;
        }
        assert_eq!(scene.graph.calls().len(), calls, "{setting}: {planned:?}");
        let callbacks: Vec<_> =
            scene.graph.calls().iter().map(|c| c.callback().to_owned()).collect();
        assert_eq!(callbacks.last().unwrap(), &format!("c:{}#{calls}", scene.ids[0]));
    }
}
