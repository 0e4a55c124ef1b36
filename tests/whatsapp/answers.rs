//! What each answer of the interface leads to.

use crate::scene::*;

#[tokio::test]
async fn each_answer_leads_to_its_state() {
    on_both(async |store| {
        let scene = Scene::new(store, 9, "canary = 0\n").await;
        let codes = [131_026, 131_050, 130_472, 131_049, 131_056, 999_999];
        scene.graph.answer(move |body| {
            let last = body["to"].as_str().unwrap()[13..].parse::<usize>().unwrap();
            match last {
                1..=6 => Answer::Code(codes[last - 1]),
                7 => Answer::Hold,
                8 => Answer::Garbled,
                _ => Answer::Accept,
            }
        });
        send(&scene.ctx).await;
        let of = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await;
        let refused = |reason| (State::Refused, reason);
        let again = (State::Planned, Reason::MovedThrottled);
        assert_eq!(of(1).await, refused(Reason::Suppressed));
        assert_eq!(of(2).await, refused(Reason::ConsentWithdrawn));
        assert_eq!(of(3).await, refused(Reason::RecipientRefused));
        assert_eq!([of(4).await, of(5).await], [again; 2]);
        assert_eq!(of(6).await, (State::Failed, Reason::ProviderFailure));
        assert_eq!(of(7).await, (State::Held, Reason::HeldByProvider));
        assert_eq!(of(8).await, (State::InDoubt, Reason::AnswerLost));
        assert_eq!(of(9).await, (State::Sent, Reason::BestSlot));
        // who wants no marketing said so; that the channel does not reach somebody, or tries an
        // experiment, says nothing of consent
        let store = &scene.ctx.store;
        for (n, consented) in [(1, true), (2, false), (3, true), (4, true)] {
            let person = store
                .read()
                .await
                .unwrap()
                .recipient(&format!("r{n}").parse().unwrap())
                .await
                .unwrap();
            assert_eq!(person.unwrap().consented, consented, "r{n}");
        }
        assert_eq!(
            store.read().await.unwrap().ledger(scene.ids[1]).await.unwrap()[1].source,
            "wa 131050"
        );
        // another day is a new decision; a pair is tried again after 4^0 seconds
        let row = async |n: usize| {
            let mut read = store.read().await.unwrap();
            read.delivery(scene.campaign, scene.ids[n - 1], LENGTH).await
        };
        let day = row(4).await.unwrap().unwrap();
        assert!(day.delivery.choice.is_none());
        assert!(day.not_before.unwrap() - noon() >= TimeDelta::hours(24));
        let pair = row(5).await.unwrap().unwrap();
        let at =
            |row: &opportune::store::DeliveryRow| row.delivery.choice.as_ref().unwrap().send_at;
        assert_eq!(at(&pair), noon() + TimeDelta::seconds(1));
        // then after 4, 16 and 64, and then never
        for wait in [4, 16, 64] {
            scene.ctx.clock.advance_to(at(&row(5).await.unwrap().unwrap()));
            let now = scene.ctx.clock.now();
            send(&scene.ctx).await;
            assert_eq!(at(&row(5).await.unwrap().unwrap()) - now, TimeDelta::seconds(wait));
        }
        scene.ctx.clock.advance_to(at(&row(5).await.unwrap().unwrap()));
        send(&scene.ctx).await;
        assert_eq!(of(5).await, (State::Failed, Reason::AttemptsExhausted));
        assert_eq!(scene.graph.by_person()["+5511000000005"], 5);
    })
    .await;
}

#[tokio::test]
async fn throttling_of_the_number_makes_everybody_wait_and_costs_no_try() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 3, "canary = 0\n").await;
    scene.graph.answer(|_| Answer::Code(130_429));
    for _ in 0..10 {
        send(&scene.ctx).await;
        scene.advance(TimeDelta::seconds(3));
    }
    scene.graph.answer(|_| Answer::Accept);
    send(&scene.ctx).await;
    assert_eq!(states(&scene.ctx, scene.campaign).await.values().sum::<u64>(), 3);
    for id in &scene.ids {
        let row = scene
            .ctx
            .store
            .read()
            .await
            .unwrap()
            .delivery(scene.campaign, *id, LENGTH)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((row.delivery.state, row.attempts), (State::Sent, 1));
    }
}

#[tokio::test]
async fn a_stopped_template_parks_its_variant_and_another_takes_its_place() {
    let (_dir, store) = sqlite().await;
    let other = format!("{VARIANT}{}", VARIANT.replace("words", "more").replace("promo", "second"));
    let scene = Scene::with(store, 5, "canary = 0\n", FALLBACK, &other).await;
    scene.graph.answer(|body| match body["template"]["name"].as_str() {
        Some("promo") => Answer::Code(132_015),
        _ => Answer::Accept,
    });
    send(&scene.ctx).await;
    let templates = scene.ctx.store.read().await.unwrap().templates(&name("wa")).await.unwrap();
    let parked: Vec<_> =
        templates.iter().filter(|t| t.stage == Stage::Parked).map(|t| &t.template).collect();
    assert_eq!(parked, ["promo"]);
    assert_eq!(
        states(&scene.ctx, scene.campaign).await[&(State::Planned, Reason::MovedThrottled)],
        5
    );
    assert!(
        scene.ctx.store.read().await.unwrap().alerts(noon()).await.unwrap()[0]
            .what
            .contains("132015")
    );
    plan::run(&scene.ctx).await.unwrap();
    let rows =
        scene.ctx.store.read().await.unwrap().deliveries(scene.campaign, LENGTH).await.unwrap();
    let choices: Vec<_> = rows.iter().filter_map(|row| row.delivery.choice.as_ref()).collect();
    assert_eq!(choices.len(), 5, "{:?}", states(&scene.ctx, scene.campaign).await);
    assert!(choices.iter().all(|choice| choice.variant.as_str() == "more"));
    // with none left, the plan says why
    webhook(
        &scene.ctx,
        &change(
            "message_template_status_update",
            json!({
        "event": "PAUSED", "message_template_id": 1, "message_template_name": "second",
        "message_template_language": "pt_BR", "reason": "NONE" }),
        ),
    )
    .await;
    plan::run(&scene.ctx).await.unwrap();
    assert_eq!(
        states(&scene.ctx, scene.campaign).await[&(State::Refused, Reason::TemplateRefused)],
        5
    );
}

#[tokio::test]
async fn a_stopped_account_pauses_its_campaigns_and_calls_for_a_human() {
    for (code, word) in [(131_048, "spam"), (190, "token"), (131_042, "payment")] {
        let (_dir, store) = sqlite().await;
        let scene = Scene::new(store, 3, "canary = 0\n").await;
        scene.graph.answer(move |_| Answer::Code(code));
        send(&scene.ctx).await;
        let row =
            scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
        assert_eq!(row.status, CampaignStatus::Paused);
        let alerts = scene.ctx.store.read().await.unwrap().alerts(noon()).await.unwrap();
        assert_eq!(alerts[0].code, code.to_string());
        assert!(alerts[0].what.contains(word), "{alerts:?}");
        let audit = scene.ctx.store.read().await.unwrap().audit(None, 10).await.unwrap();
        assert_eq!(
            (audit[0].1.actor.as_str(), audit[0].1.action.as_str()),
            ("provider wa", "pause")
        );
        // nobody lost their place
        assert_eq!(
            states(&scene.ctx, scene.campaign).await[&(State::Planned, Reason::BestSlot)],
            3
        );
    }
}

#[tokio::test]
async fn a_new_template_sends_a_few_first_and_waits_for_what_is_held() {
    on_both(async |store| {
        let scene = Scene::new(store, 12, "canary = 4\ncanary_wait = \"30s\"\n").await;
        scene.graph.answer(|_| Answer::Hold);
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 4);
        // the wait is over, but they are held
        scene.advance(TimeDelta::seconds(40));
        maintenance::run(&scene.ctx).await.unwrap();
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 4);
        let items: Vec<Value> = scene
            .graph
            .calls()
            .iter()
            .map(|call| status(call.callback(), "sent", scene.ctx.clock.now()))
            .collect();
        webhook(&scene.ctx, &messages("statuses", items.into())).await;
        assert_eq!(states(&scene.ctx, scene.campaign).await[&(State::Sent, Reason::Confirmed)], 4);
        scene.graph.answer(|_| Answer::Accept);
        maintenance::run(&scene.ctx).await.unwrap();
        scene.advance(TimeDelta::seconds(30));
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 12);
        assert!(scene.graph.by_person().values().all(|times| *times == 1));
    })
    .await;
}

#[tokio::test]
async fn held_messages_that_fail_park_the_template_and_are_decided_anew() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 4, "").await;
    scene.graph.answer(|_| Answer::Hold);
    send(&scene.ctx).await;
    let items: Vec<Value> = scene
        .graph
        .calls()
        .iter()
        .map(|call| failed(call.callback(), 132_015, scene.ctx.clock.now()))
        .collect();
    webhook(&scene.ctx, &messages("statuses", items.into())).await;
    let counts = states(&scene.ctx, scene.campaign).await;
    assert_eq!(counts[&(State::Planned, Reason::MovedThrottled)], 4);
    assert_eq!(
        scene.ctx.store.read().await.unwrap().templates(&name("wa")).await.unwrap()[0].stage,
        Stage::Parked
    );
    plan::run(&scene.ctx).await.unwrap();
    let counts = states(&scene.ctx, scene.campaign).await;
    assert_eq!(counts[&(State::Refused, Reason::TemplateRefused)], 4);
}
