//! What messages are charged: kept as the channel tells it, beside what was expected, and held by budgets.

use opportune::work::plan::{self, PlanScope};
use opportune::work::results;

use crate::scene::*;

/// What utility and marketing cost in Brazil.
const UTILITY: f64 = 0.0068;
const MARKETING: f64 = 0.0625;

/// A status of a person's message, with how it is charged.
fn charged(scene: &Scene, n: usize, word: &str, pricing: Value) -> Value {
    let callback = format!("c:{}#1", scene.ids[n]);
    let mut told = status(&callback, word, scene.ctx.clock.now());
    told["pricing"] = pricing;
    told
}

fn pricing(category: &str, kind: &str) -> Value {
    json!({ "billable": true, "pricing_model": "PMP", "type": kind, "category": category })
}

/// People of a utility campaign, the first of whom were sent a message that was expected to cost little.
async fn scene(store: Store, people: i64, sent: usize, keys: &str, budget: &str) -> Scene {
    let head = format!("category = \"utility\"\n{FALLBACK}");
    let variants = format!("{VARIANT}{budget}");
    let scene = Scene::with(store, 0, &format!("canary = 0\n{keys}"), &head, &variants).await;
    let ids = crate::scene::people(&scene.ctx.store, people).await;
    let now = scene.ctx.clock.now();
    let delivery = |id: &RecipientId| {
        let mut delivery = crate::support::planned(*id, "words", now, LENGTH);
        delivery.choice.as_mut().unwrap().price = UTILITY;
        delivery
    };
    let deliveries: Vec<_> = ids[..sent].iter().map(delivery).collect();
    let mut tx = scene.ctx.store.begin().await.unwrap();
    tx.put_decisions(scene.campaign, &deliveries, LENGTH, now).await.unwrap();
    tx.commit().await.unwrap();
    send(&scene.ctx).await;
    Scene { ids, ..scene }
}

async fn row(ctx: &Ctx) -> opportune::store::CampaignRow {
    ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap()
}

async fn alerts(ctx: &Ctx) -> Vec<String> {
    let now = ctx.clock.now();
    let alerts = ctx.store.read().await.unwrap().alerts(now).await.unwrap();
    alerts.into_iter().filter(|alert| alert.code == "tariff").map(|alert| alert.what).collect()
}

#[tokio::test]
async fn what_was_charged_stands_beside_what_was_expected() {
    on_both(async |store| {
        let scene = scene(store, 24, 24, "", "").await;
        let post = async |items: Vec<Value>| {
            webhook(&scene.ctx, &messages("statuses", json!(items))).await;
        };
        let spend = async || {
            let row = row(&scene.ctx).await;
            results::results(&scene.ctx, &row).await.unwrap().spend.unwrap()
        };
        // what was only taken is not charged
        post(vec![charged(&scene, 0, "sent", pricing("utility", "regular"))]).await;
        let told = spend().await;
        assert_eq!((told.messages, told.charged_messages), (24, 0));
        assert!((told.expected - 24.0 * UTILITY).abs() < 1e-9, "{told:?}");
        // told twice, it is charged once
        for word in ["delivered", "delivered", "read"] {
            post(vec![charged(&scene, 0, word, pricing("utility", "regular"))]).await;
        }
        post(vec![charged(&scene, 1, "read", pricing("utility", "free_customer_service"))]).await;
        let odd = json!({ "type": 7, "category": null });
        post(vec![charged(&scene, 2, "delivered", odd)]).await;
        let told = spend().await;
        assert_eq!(told.charged_messages, 2);
        assert!((told.charged - UTILITY).abs() < 1e-9, "{told:?}");
        assert!((told.expected_of_charged - 2.0 * UTILITY).abs() < 1e-9, "{told:?}");
        assert_eq!(alerts(&scene.ctx).await, Vec::<String>::new());
        // a template that became marketing costs several times as much
        let dear =
            (2..24).map(|n| charged(&scene, n, "delivered", pricing("marketing", "regular")));
        post(dear.collect()).await;
        let told = spend().await;
        let charged = UTILITY + 22.0 * MARKETING;
        assert!((told.charged - charged).abs() < 1e-9, "{told:?}");
        assert!(
            told.sentence().contains("charged 1.38 USD for 24 of them, where 0.16"),
            "{told:?}"
        );
        let alerts = alerts(&scene.ctx).await;
        assert!(alerts.len() == 1 && alerts[0].contains("24 messages"), "{alerts:?}");
        let mut reader = scene.ctx.store.read().await.unwrap();
        let delivery =
            reader.delivery(scene.campaign, scene.ids[5], LENGTH).await.unwrap().unwrap();
        assert_eq!(delivery.charged, Some(MARKETING));
    })
    .await;
}

#[tokio::test]
async fn a_budget_binds_on_what_was_charged() {
    on_both(async |store| {
        // room for one more utility message once twenty were charged as marketing
        let amount = 20.0 * MARKETING + 1.5 * UTILITY;
        let budget = format!("[budget]\namount = {amount}\ncurrency = \"USD\"\n");
        let scene = scene(store, 25, 20, "", &budget).await;
        let planned = async || {
            let rows = vec![(row(&scene.ctx).await, PlanScope::Everybody)];
            let (_, plans) = plan::dry_run(&scene.ctx, rows).await.unwrap();
            plans[0].summary().planned
        };
        assert_eq!(planned().await, 5);
        let dear =
            (0..20).map(|n| charged(&scene, n, "delivered", pricing("marketing", "regular")));
        webhook(&scene.ctx, &messages("statuses", dear.collect())).await;
        assert_eq!(planned().await, 1);
    })
    .await;
}

#[tokio::test]
async fn so_many_service_messages_a_month_are_free_as_the_settings_say() {
    on_both(async |store| {
        let scene = scene(store, 24, 24, "free_service_messages = 21\n", "").await;
        let post = async |people: std::ops::Range<usize>, kind: &str| {
            let told = people.map(|n| charged(&scene, n, "delivered", pricing("service", kind)));
            webhook(&scene.ctx, &messages("statuses", told.collect())).await;
            let row = row(&scene.ctx).await;
            let spend = results::results(&scene.ctx, &row).await.unwrap().spend.unwrap();
            (spend.charged_messages, spend.charged)
        };
        assert_eq!(post(0..19, "regular").await, (19, 0.0));
        // what the channel gives away takes nothing from them
        assert_eq!(post(19..20, "free_customer_service").await, (20, 0.0));
        let (messages, charged) = post(20..24, "regular").await;
        assert_eq!(messages, 24);
        assert!((charged - 2.0 * UTILITY).abs() < 1e-9, "{charged}");
        // a tariff is not off where only the allowance was used
        assert_eq!(alerts(&scene.ctx).await, Vec::<String>::new());
    })
    .await;
}
