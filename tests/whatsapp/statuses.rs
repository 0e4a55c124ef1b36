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
        tx.claim(scene.campaign, &claim, (noon(), noon()), 9, LENGTH).await.unwrap();
        tx.commit().await.unwrap();
        let callback = format!("c:{}#1", scene.ids[0]);
        webhook(&scene.ctx, &messages("statuses", json!([failed(&callback, 131_049, noon())])))
            .await;
        receive::collect(&scene.ctx).await.unwrap();
        assert_eq!(state_of(&scene.ctx, scene.campaign, scene.ids[0]).await.0, State::Claimed);
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let settled = crate::support::sent(scene.ids[0], 1, noon());
        tx.settle(scene.campaign, &claim, &[settled], noon()).await.unwrap();
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
        maintenance::run(&scene.ctx).await.unwrap();
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
        maintenance::run(&scene.ctx).await.unwrap();
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

#[tokio::test]
async fn statuses_are_taken_however_loosely_they_are_written() {
    on_both(async |store| {
        let scene = Scene::new(store, 6, "canary = 0\n").await;
        send(&scene.ctx).await;
        scene.advance(TimeDelta::hours(1));
        let at = noon() + TimeDelta::minutes(2);
        let callback = |n: usize| format!("c:{}#1", scene.ids[n - 1]);
        let mut null = status(&callback(1), "delivered", at);
        null["errors"] = Value::Null;
        null["conversation"] = Value::Null;
        let mut number = status(&callback(2), "DELIVERED", at);
        number["timestamp"] = at.timestamp().into();
        let mut milliseconds = status(&callback(3), "delivered", at);
        milliseconds["timestamp"] = at.timestamp_millis().to_string().into();
        milliseconds["pricing"] = json!([1, { "news": [null] }]);
        let mut quoted = status(&callback(4), "failed", at);
        quoted["errors"] = json!([{ "code": "131050", "title": "x" }]);
        // no time at all: that of the post stands in
        let mut timeless = status(&callback(5), "delivered", at);
        timeless["timestamp"] = Value::Null;
        let odd = json!([7, null, "x", { "id": {}, "status": "read" }, { "status": 7 }]);
        let mut items = odd.as_array().unwrap().clone();
        items.extend([null, number, milliseconds, quoted, timeless]);
        let received = webhook(&scene.ctx, &messages("statuses", items.into())).await;
        assert_eq!((received.applied, received.unknown, received.unreadable), (5, 0, 5));
        for (n, wanted) in [(1, at), (2, at), (3, at), (5, noon())] {
            let rows =
                scene.ctx.store.read().await.unwrap().messages_of(scene.ids[n - 1]).await.unwrap();
            assert_eq!(rows[0].message.response.delivered_at, Some(wanted), "r{n}");
        }
        let people = async |n: usize| {
            let key = format!("r{n}").parse().unwrap();
            scene.ctx.store.read().await.unwrap().recipient(&key).await.unwrap().unwrap().consented
        };
        assert!(!people(4).await && people(1).await && people(6).await);
    })
    .await;
}

#[tokio::test]
async fn a_code_of_any_length_or_with_a_nul_takes_nothing_else_with_it() {
    on_both(async |store| {
        let scene = Scene::new(store, 4, "canary = 0\n").await;
        send(&scene.ctx).await;
        scene.advance(TimeDelta::hours(1));
        let callback = |n: usize| format!("c:{}#1", scene.ids[n - 1]);
        let failing = |n: usize, code: Value| {
            let mut item = status(&callback(n), "failed", noon());
            item["errors"] = json!([{ "code": code, "title": "\u{0}".repeat(10_000) }]);
            item
        };
        let body = json!([
            failing(1, "x".repeat(10_000).into()),
            failing(2, "13\u{0}1026".into()),
            failing(3, json!({ "code": [] })),
            status(&callback(4), "delivered", noon() + TimeDelta::minutes(1)),
            json!({ "id": "wamid.\u{0}", "status": "read", "timestamp": "1" }),
        ]);
        let received = webhook(&scene.ctx, &messages("statuses", body)).await;
        assert_eq!((received.applied, received.unreadable), (4, 1));
        let code = async |n: usize| {
            let rows =
                scene.ctx.store.read().await.unwrap().messages_of(scene.ids[n - 1]).await.unwrap();
            rows[0].message.response.failure_code.clone()
        };
        let long = code(1).await.unwrap();
        assert!(long.len() <= 64 && long.starts_with("xxx"));
        assert_eq!(code(2).await.as_deref(), Some("131026"));
        assert_eq!(code(3).await, None);
        let rows = scene.ctx.store.read().await.unwrap().messages_of(scene.ids[3]).await.unwrap();
        assert!(rows[0].message.response.delivered_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_number_that_the_channel_cannot_reach_is_no_withdrawal_of_consent() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n").await;
        scene.graph.answer(|body| match body["to"].as_str() {
            Some("+5511000000001") => Answer::Code(131_026),
            _ => Answer::Accept,
        });
        send(&scene.ctx).await;
        let callback = format!("c:{}#1", scene.ids[1]);
        let told = json!([failed(&callback, 131_026, noon())]);
        webhook(&scene.ctx, &messages("statuses", told)).await;
        for id in &scene.ids {
            // the ledger holds what people said: the grant, and nothing since
            assert_eq!(scene.ctx.store.read().await.unwrap().ledger(*id).await.unwrap().len(), 1);
        }
    })
    .await;
}
