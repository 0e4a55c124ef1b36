//! An opt-out names a person: it counts at once, whatever became of the message that it answers, and
//! is kept until it is known whose it is.

use opportune::model::delivery::State::{Failed, InDoubtExpired, Refused, Sent};
use opportune::model::recipient::Profile;
use opportune::provider::{Event, Update, UpdateOf};

use crate::scene::*;

async fn consented(ctx: &Ctx, key: &str) -> bool {
    let key = key.parse().unwrap();
    ctx.store.read().await.unwrap().recipient(&key).await.unwrap().unwrap().consented
}

fn opted_out(of: UpdateOf, at: Instant) -> Update {
    Update { of, event: Event::OptedOut, at, names: Vec::new() }
}

fn ours(scene: &Scene, n: usize) -> UpdateOf {
    UpdateOf::Ours(opportune::model::delivery::message_key(&name("c"), scene.ids[n - 1]))
}

fn theirs(id: &str) -> UpdateOf {
    UpdateOf::Theirs(id.parse().unwrap())
}

async fn apply(scene: &Scene, update: Update) -> receive::Received {
    receive::apply(&scene.ctx, &name("wa"), vec![update]).await.unwrap()
}

#[tokio::test]
async fn an_opt_out_in_the_batch_that_is_under_way_counts_at_once() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n").await;
        scene
            .send_during(2, async || {
                let before = noon() - TimeDelta::minutes(10);
                apply(&scene, opted_out(ours(&scene, 1), before)).await;
                assert!(!consented(&scene.ctx, "r1").await && consented(&scene.ctx, "r2").await);
            })
            .await;
        // the message that was under way is settled all the same, and tells of it
        assert_eq!(state_of(&scene.ctx, scene.campaign, scene.ids[0]).await.0, State::Sent);
        receive::collect(&scene.ctx).await.unwrap();
        let mut reader = scene.ctx.store.read().await.unwrap();
        let past = reader.messages_of(scene.ids[0]).await.unwrap();
        assert!(past[0].message.response.opted_out_at.is_some());
        assert_eq!(reader.ledger(scene.ids[0]).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_opt_out_counts_whatever_became_of_its_message() {
    on_both(async |store| {
        let scene = Scene::new(store, 6, "canary = 0\nin_doubt_grace = \"1m\"\n").await;
        scene.graph.answer(|body| match body["to"].as_str().unwrap() {
            "+5511000000001" => Answer::Code(999_999),
            "+5511000000002" => Answer::Code(130_472),
            "+5511000000003" => Answer::Garbled,
            "+5511000000004" => Answer::Code(131_026),
            _ => Answer::Accept,
        });
        send(&scene.ctx).await;
        // 5 was taken, and then given up by the channel; 3 was never heard of again
        let callback = format!("c:{}#1", scene.ids[4]);
        webhook(&scene.ctx, &messages("statuses", json!([failed(&callback, 130_472, noon())])))
            .await;
        scene.advance(TimeDelta::minutes(10));
        maintenance::run(&scene.ctx).await.unwrap();
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await.0;

        for (n, state) in
            [(1, Failed), (2, Refused), (3, InDoubtExpired), (4, Refused), (5, Failed), (6, Sent)]
        {
            assert_eq!(of(n).await, state, "r{n}");
            let key = format!("r{n}");
            assert!(consented(&scene.ctx, &key).await, "{key}");
            // said ten minutes ago
            let received = apply(&scene, opted_out(ours(&scene, n), noon())).await;
            assert_eq!((received.applied, received.unknown), (1, 0), "{key}");
            assert!(!consented(&scene.ctx, &key).await, "{key}");
            assert_eq!(of(n).await, state, "the opt-out is not what became of the message");
        }
    })
    .await;
}

#[tokio::test]
async fn an_opt_out_by_an_id_that_is_not_known_yet_is_kept_until_it_is() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "canary = 0\n").await;
        scene
            .send_during(1, async || {
                // the channel's id of the message comes with the answer alone
                let before = noon() - TimeDelta::minutes(10);
                let received = apply(&scene, opted_out(theirs("wamid.0"), before)).await;
                assert_eq!((received.applied, received.unknown), (0, 1));
                // other news of that age, of an id that nobody knows, is about nothing of ours
                let read = Update { event: Event::Read, ..opted_out(theirs("wamid.7"), before) };
                apply(&scene, read).await;
                receive::collect(&scene.ctx).await.unwrap();
            })
            .await;
        assert!(consented(&scene.ctx, "r1").await);
        receive::collect(&scene.ctx).await.unwrap();
        assert!(!consented(&scene.ctx, "r1").await);
        assert!(!scene.ctx.store.read().await.unwrap().any_early().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_stop_of_somebody_unknown_holds_once_the_name_is_known() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n").await;
        let stop = |id: &str, from: Value| {
            let mut item = json!({ "id": id, "type": "text", "text": { "body": "STOP" },
                "timestamp": (noon() - TimeDelta::minutes(10)).timestamp().to_string() });
            item.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
            messages("messages", json!([item]))
        };
        webhook(&scene.ctx, &stop("wamid.a", json!({ "from": "5511900000009" }))).await;
        webhook(&scene.ctx, &stop("wamid.b", json!({ "from_user_id": "BR.77" }))).await;
        let pending = scene.ctx.store.read().await.unwrap().pending_count().await.unwrap();
        assert!(pending >= 2, "{pending} names wait");
        // a file brings the number, with a consent that is older than the word
        let profile = |address: &str| Profile {
            address: Some(address.parse().unwrap()),
            ..Profile::default()
        };
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let new = tx.put_recipients(&[("r9".parse().unwrap(), profile("+5511900000009"))]).await;
        let id = new.unwrap()[0].0;
        let granted = crate::support::granted(noon() - TimeDelta::days(3), noon());
        tx.append_consent(&[(id, granted)]).await.unwrap();
        let names = [("+5511900000009", id)];
        tx.apply_kept_consent(None, &names, noon()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!consented(&scene.ctx, "r9").await);
        // a status tells whose the other name is
        assert!(consented(&scene.ctx, "r1").await);
        send(&scene.ctx).await;
        let mut told = status(&format!("c:{}#1", scene.ids[0]), "delivered", noon());
        told["recipient_user_id"] = "BR.77".into();
        scene.advance(TimeDelta::minutes(1));
        webhook(&scene.ctx, &messages("statuses", json!([told]))).await;
        assert!(!consented(&scene.ctx, "r1").await && consented(&scene.ctx, "r2").await);
    })
    .await;
}
