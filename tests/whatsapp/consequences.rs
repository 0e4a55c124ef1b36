//! What follows from answers beyond their message: for templates, campaigns, other providers, and
//! for people whom the channel does not reach.

use crate::scene::*;
use opportune::model::delivery::message_key;
use opportune::provider::{Event, Update, UpdateOf};

#[tokio::test]
async fn a_failure_after_acceptance_is_one_until_it_is_delivered_after_all() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "canary = 0\n").await;
        send(&scene.ctx).await;
        let callback = format!("c:{}#1", scene.ids[0]);
        let of = async || state_of(&scene.ctx, scene.campaign, scene.ids[0]).await;
        assert_eq!(of().await, (State::Sent, Reason::BestSlot));
        let at = noon() + TimeDelta::minutes(1);
        scene.advance(TimeDelta::hours(1));
        webhook(&scene.ctx, &messages("statuses", json!([failed(&callback, 131_026, at)]))).await;
        assert_eq!(of().await, (State::Failed, Reason::Suppressed));
        let mut reader = scene.ctx.store.read().await.unwrap();
        let failures = reader.failure_counts(scene.campaign, 9).await.unwrap();
        let (code, people, text) = &failures[0];
        assert_eq!((code.as_str(), *people, failures.len()), ("131026", 1, 1));
        assert!(text.as_ref().is_some_and(|text| text.contains("cannot deliver")), "{text:?}");
        drop(reader);
        // whoever asks why is told the code in words
        let mut reader = scene.ctx.store.read().await.unwrap();
        let row = reader.campaign(&name("c")).await.unwrap().unwrap();
        let person = reader.recipient(&"r1".parse().unwrap()).await.unwrap().unwrap();
        drop(reader);
        let told = plan::explain(&scene.ctx, row, &person).await.unwrap().unwrap().to_string();
        assert!(told.contains("The channel's code: 131026: the channel cannot deliver"), "{told}");
        let mut reader = scene.ctx.store.read().await.unwrap();
        // it says nothing of consent, and keeps the next campaign from them for now
        let person = reader.recipient(&"r1".parse().unwrap()).await.unwrap().unwrap();
        assert!(person.consented);
        assert_eq!(reader.suppressed(&name("wa"), None).await.unwrap()[&scene.ids[0]], "131026");
        drop(reader);
        let later = at + TimeDelta::minutes(5);
        webhook(&scene.ctx, &messages("statuses", json!([status(&callback, "delivered", later)])))
            .await;
        assert_eq!(of().await, (State::Sent, Reason::Confirmed));
        let mut reader = scene.ctx.store.read().await.unwrap();
        assert!(reader.failure_counts(scene.campaign, 9).await.unwrap().is_empty());
        assert!(reader.suppressed(&name("wa"), None).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_template_that_is_refused_for_everybody_is_given_up_and_refuses_nobody() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 200, "canary = 0\n").await;
    scene.graph.answer(|_| Answer::Code(132_018));
    send(&scene.ctx).await;
    let calls = scene.graph.calls().len();
    // those that were under way when the fourth was answered are not called back
    assert!((4..=80).contains(&calls), "{calls} calls");
    let states = states(&scene.ctx, scene.campaign).await;
    assert_eq!(states, [((State::Planned, Reason::MovedThrottled), 200)].into());
    let templates = scene.ctx.store.read().await.unwrap().templates(&name("wa")).await.unwrap();
    assert_eq!(templates[0].stage, Stage::Parked);
}

#[tokio::test]
async fn a_code_that_nobody_knows_pauses_the_campaign_after_a_few_people() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 200, "canary = 0\n").await;
    scene.graph.answer(|_| Answer::Code(131_058));
    send(&scene.ctx).await;
    let row = scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
    assert_eq!(row.status, CampaignStatus::Paused);
    let states = states(&scene.ctx, scene.campaign).await;
    assert!(states.keys().all(|(state, _)| *state == State::Planned), "{states:?}");
    let alerts = scene.ctx.store.read().await.unwrap().alerts(noon()).await.unwrap();
    assert!(alerts.iter().any(|alert| alert.what.contains("131058")), "{alerts:?}");
}

#[tokio::test]
async fn a_webhook_touches_no_message_of_another_provider() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n[provider.shop]\nkind = \"console\"\n").await;
        send(&scene.ctx).await;
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let called = tx.lock_deliveries(scene.campaign, &scene.ids).await.unwrap();
        tx.commit().await.unwrap();
        let theirs = called[1].provider_message.clone().unwrap();
        let update = |of, event| Update { of, event, at: noon(), names: Vec::new() };
        let updates = vec![
            update(UpdateOf::Ours(message_key(&name("c"), scene.ids[0])), Event::OptedOut),
            update(UpdateOf::Theirs(theirs), Event::Failed { code: None }),
        ];
        let received = receive::apply(&scene.ctx, &name("shop"), updates.clone()).await.unwrap();
        assert_eq!((received.applied, received.unknown), (0, 2));
        let person = scene.ctx.store.read().await.unwrap().recipient(&"r1".parse().unwrap()).await;
        assert!(person.unwrap().unwrap().consented);
        assert_eq!(
            state_of(&scene.ctx, scene.campaign, scene.ids[1]).await,
            (State::Sent, Reason::BestSlot)
        );
        let received = receive::apply(&scene.ctx, &name("wa"), updates).await.unwrap();
        assert_eq!(received.applied, 2);
    })
    .await;
}

#[tokio::test]
async fn who_comes_back_from_a_call_of_a_cancelled_campaign_ends_cancelled() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n").await;
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let claim = opportune::store::Claim {
            lease: "under-way".to_owned(),
            until: noon() + TimeDelta::minutes(5),
        };
        tx.claim(scene.campaign, &claim, (noon(), noon()), 9, LENGTH).await.unwrap();
        tx.commit().await.unwrap();
        let row =
            scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
        let command = campaigns::OperatorCommand::Cancel;
        assert!(campaigns::change(&scene.ctx, &row, command, "test").await.unwrap());
        let back = opportune::store::Settled {
            state: State::Planned,
            again_at: Some(noon()),
            sent: None,
            ..crate::support::sent(scene.ids[0], 1, noon())
        };
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let settled = [back, crate::support::sent(scene.ids[1], 1, noon())];
        tx.settle(scene.campaign, &claim, &settled, noon()).await.unwrap();
        tx.commit().await.unwrap();
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n]).await;
        assert_eq!(of(0).await, (State::Cancelled, Reason::CancelledByOperator));
        assert_eq!(of(1).await, (State::Sent, Reason::BestSlot));
    })
    .await;
}

fn category_change(told: Value, at: Instant) -> Value {
    let mut value = json!({ "message_template_id": 2, "message_template_name": "promo",
        "message_template_language": "pt_BR" });
    value.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
    let mut post = change("template_category_update", value);
    post["entry"][0]["time"] = at.timestamp().into();
    post
}

#[tokio::test]
async fn a_template_that_became_marketing_holds_its_utility_variants_until_somebody_decides() {
    on_both(async |store| {
        let head = format!("category = \"utility\"\n{FALLBACK}");
        let scene = Scene::with(store, 2, "canary = 0\n", &head, VARIANT).await;
        let (ctx, ids) = (&scene.ctx, &scene.ids);
        let alerts = async || {
            let found = opportune::work::campaigns::status(ctx).await.unwrap().alerts;
            found.into_iter().map(|alert| alert.what).collect::<Vec<_>>()
        };
        // what is only announced holds nothing yet, and is told
        let later = noon() + TimeDelta::days(1);
        let soon = json!({ "correct_category": "MARKETING", "new_category": "UTILITY",
            "category_update_timestamp": later.timestamp() });
        webhook(ctx, &category_change(soon, noon())).await;
        assert!(alerts().await[0].contains("promo will be MARKETING"), "{:?}", alerts().await);
        plan::run(ctx).await.unwrap();
        let due = (State::Planned, Reason::BestSlot);
        assert_eq!(states(ctx, scene.campaign).await[&due], 2);
        // once it is so, nobody gets it as utility, and status says what became of it
        let now = json!({ "previous_category": "UTILITY", "new_category": "MARKETING" });
        webhook(ctx, &category_change(now, noon() + TimeDelta::seconds(1))).await;
        send(ctx).await;
        plan::run(ctx).await.unwrap();
        send(ctx).await;
        assert!(scene.graph.calls().is_empty());
        let refused = (State::Refused, Reason::TemplateRefused);
        assert_eq!(states(ctx, scene.campaign).await[&refused], 2);
        let told = alerts().await;
        assert!(told.len() == 1 && told[0].contains("promo is MARKETING now"), "{told:?}");
        // as marketing it goes: that was decided by whoever submitted such a campaign
        let head = format!("category = \"marketing\"\n{FALLBACK}");
        let marketing = crate::scene::due(ctx, "m", &head, VARIANT, &ids[..1]).await;
        send(ctx).await;
        assert_eq!(scene.graph.calls().len(), 1);
        assert_eq!(states(ctx, marketing).await[&(State::Sent, Reason::BestSlot)], 1);
        // the channel gave in: the alert goes, and who was refused is planned again
        let back = json!({ "previous_category": "MARKETING", "new_category": "UTILITY" });
        scene.advance(TimeDelta::minutes(1));
        webhook(ctx, &category_change(back, noon() + TimeDelta::minutes(1))).await;
        assert!(alerts().await.is_empty(), "{:?}", alerts().await);
        plan::run(ctx).await.unwrap();
        for _ in 0..72 {
            scene.advance(TimeDelta::hours(1));
            send(ctx).await;
        }
        assert_eq!(scene.graph.calls().len(), 3, "{:?}", states(ctx, scene.campaign).await);
    })
    .await;
}
