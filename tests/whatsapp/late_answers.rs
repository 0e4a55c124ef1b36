//! Answers that come after the lease of their claim, when other workers have gone on.

use opportune::model::delivery::message_key;

use crate::scene::*;

/// Longer than the lease of the settings' default.
const PAST_THE_LEASE: TimeDelta = TimeDelta::minutes(11);

async fn attempts(scene: &Scene, n: usize) -> u32 {
    let mut reader = scene.ctx.store.read().await.unwrap();
    reader.delivery(scene.campaign, scene.ids[n], LENGTH).await.unwrap().unwrap().attempts
}

#[tokio::test]
async fn nobody_is_lost_or_called_twice_when_answers_come_after_the_lease() {
    on_both(async |store| {
        let scene = Scene::new(store, 40, "canary = 0\nin_doubt_grace = \"1h\"\n").await;
        let other =
            ctx(scene.ctx.store.clone(), (*scene.ctx.config).clone(), scene.ctx.clock.clone());
        let callback = |n: usize| format!("c:{}#1", scene.ids[n]);
        scene
            .send_during(40, async || {
                scene.advance(PAST_THE_LEASE);
                maintenance::run(&other).await.unwrap();
                let counts = states(&other, scene.campaign).await;
                assert_eq!(counts, [((State::InDoubt, Reason::NodeLost), 40)].into());
                // another worker finds nothing to call, and is told about some of them
                send(&other).await;
                let told = json!([
                    status(&callback(0), "delivered", other.clock.now()),
                    failed(&callback(1), 131_026, other.clock.now()),
                ]);
                webhook(&other, &messages("statuses", told)).await;
                plan::run(&other).await.unwrap();
                send(&other).await;
            })
            .await;
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n]).await;
        // what was told of a message is not overwritten by an answer that is older
        assert_eq!(of(0).await, (State::Sent, Reason::Confirmed));
        assert_eq!(of(1).await, (State::Refused, Reason::Suppressed));
        for n in 2..40 {
            assert_eq!(of(n).await.0, State::Sent, "r{n}");
            assert_eq!(attempts(&scene, n).await, 1);
        }
        scene.advance(TimeDelta::hours(3));
        maintenance::run(&scene.ctx).await.unwrap();
        plan::run(&scene.ctx).await.unwrap();
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 40);
        assert!(scene.graph.by_person().values().all(|times| *times == 1));
        // they are history from now on, with the ids that the answers brought
        let mut reader = scene.ctx.store.read().await.unwrap();
        let past = reader.messages_of(scene.ids[39]).await.unwrap();
        assert_eq!(past[0].message.key, message_key(&name("c"), scene.ids[39]));
    })
    .await;
}

#[tokio::test]
async fn what_was_given_up_meanwhile_stays_given_up() {
    on_both(async |store| {
        let scene = Scene::new(store, 5, "canary = 0\nin_doubt_grace = \"1m\"\n").await;
        scene
            .send_during(5, async || {
                scene.advance(PAST_THE_LEASE);
                maintenance::run(&scene.ctx).await.unwrap();
                scene.advance(TimeDelta::minutes(2));
                maintenance::run(&scene.ctx).await.unwrap();
            })
            .await;
        let counts = states(&scene.ctx, scene.campaign).await;
        assert_eq!(counts, [((State::InDoubtExpired, Reason::NeverConfirmed), 5)].into());
        assert_eq!(scene.graph.calls().len(), 5);
    })
    .await;
}

#[tokio::test]
async fn an_answer_about_an_earlier_try_says_nothing_of_the_one_that_is_under_way() {
    on_both(async |store| {
        let more = "canary = 0\nin_doubt_grace = \"1m\"\nin_doubt_utility = \"send_again\"\n";
        let head = format!("category = \"utility\"\n{FALLBACK}");
        let scene = Scene::with(store, 3, more, &head, VARIANT).await;
        let claim = opportune::store::Claim {
            lease: "second-try".to_owned(),
            until: noon() + TimeDelta::days(2),
        };
        scene
            .send_during(3, async || {
                scene.advance(PAST_THE_LEASE);
                maintenance::run(&scene.ctx).await.unwrap();
                scene.advance(TimeDelta::minutes(2));
                maintenance::run(&scene.ctx).await.unwrap();
                plan::run(&scene.ctx).await.unwrap();
                // another worker has them all in a second try by now
                let by = noon() + TimeDelta::days(6);
                let mut tx = scene.ctx.store.begin().await.unwrap();
                let taken = tx.claim(scene.campaign, &claim, (by, by), 9, LENGTH).await.unwrap();
                assert_eq!(taken.len(), 3);
                assert!(taken.iter().all(|due| due.attempts == 2));
                tx.commit().await.unwrap();
            })
            .await;
        let counts = states(&scene.ctx, scene.campaign).await;
        assert_eq!(counts.keys().map(|(state, _)| *state).collect::<Vec<_>>(), [State::Claimed]);
        let second: Vec<_> =
            scene.ids.iter().map(|id| crate::support::sent(*id, 2, noon())).collect();
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let done = tx.settle(scene.campaign, &claim, &second, scene.ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(done.len(), 3);
        assert_eq!(attempts(&scene, 0).await, 2);
    })
    .await;
}
