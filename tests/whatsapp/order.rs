//! News of templates and limits counts by its own time: an older word that comes later changes
//! nothing.

use crate::scene::*;

/// As the channel posts it: the time is the entry's.
fn at(field: &str, value: Value, at: Instant) -> Value {
    let mut body = change(field, value);
    body["entry"][0]["time"] = at.timestamp().into();
    body
}

fn template(event: &str, when: Instant) -> Value {
    let value = json!({ "event": event, "message_template_id": 1,
        "message_template_name": "promo", "message_template_language": "pt_BR",
        "reason": "NONE" });
    at("message_template_status_update", value, when)
}

fn category(was: &str, is: &str, when: Instant) -> Value {
    let value = json!({ "message_template_id": 1, "message_template_name": "promo",
        "message_template_language": "pt_BR", "previous_category": was, "new_category": is });
    at("template_category_update", value, when)
}

fn limit(people: u32, when: Instant) -> Value {
    let value = json!({ "max_daily_conversation_per_phone": people,
                        "max_phone_numbers_per_business": 2 });
    at("business_capability_update", value, when)
}

#[tokio::test]
async fn a_template_stands_as_its_latest_word_says() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "canary = 0\n").await;
        scene.advance(TimeDelta::hours(1));
        let then = |minutes: i64| noon() + TimeDelta::minutes(minutes);
        webhook(&scene.ctx, &template("PAUSED", then(20))).await;
        assert_eq!(scene.template("promo").await.stage, Stage::Parked);
        webhook(&scene.ctx, &template("APPROVED", then(10))).await;
        assert_eq!(scene.template("promo").await.stage, Stage::Parked);
        webhook(&scene.ctx, &template("APPROVED", then(30))).await;
        assert_eq!(scene.template("promo").await.stage, Stage::Open);
        webhook(&scene.ctx, &template("DISABLED", then(25))).await;
        assert_eq!(scene.template("promo").await.stage, Stage::Open);
        // nor is an alert raised by what is no longer so
        let alerts =
            scene.ctx.store.read().await.unwrap().alerts(scene.ctx.clock.now()).await.unwrap();
        assert!(alerts.is_empty(), "{alerts:?}");
    })
    .await;
}

#[tokio::test]
async fn a_category_is_what_its_latest_word_says() {
    on_both(async |store| {
        let head = format!("category = \"utility\"\n{FALLBACK}");
        let scene = Scene::with(store, 2, "canary = 0\n", &head, VARIANT).await;
        scene.advance(TimeDelta::hours(1));
        let then = |minutes: i64| noon() + TimeDelta::minutes(minutes);
        webhook(&scene.ctx, &category("MARKETING", "UTILITY", then(30))).await;
        webhook(&scene.ctx, &category("UTILITY", "MARKETING", then(20))).await;
        let known = async || scene.template("promo").await.category.map(|c| c.as_str());
        assert_eq!(known().await, Some("utility"));
        webhook(&scene.ctx, &category("UTILITY", "MARKETING", then(40))).await;
        assert_eq!(known().await, Some("marketing"));
        // utility campaigns do without it now, whatever an older word says
        webhook(&scene.ctx, &category("MARKETING", "UTILITY", then(35))).await;
        assert_eq!(known().await, Some("marketing"));
        send(&scene.ctx).await;
        assert!(scene.graph.calls().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_what_its_latest_word_says() {
    on_both(async |store| {
        let more = "canary = 0\n[provider.wa.limits]\nunique_per_day = 100\n";
        let scene = Scene::new(store, 9, more).await;
        scene.advance(TimeDelta::minutes(10));
        let then = |minutes: i64| noon() + TimeDelta::minutes(minutes);
        webhook(&scene.ctx, &limit(3, then(5))).await;
        let received = webhook(&scene.ctx, &limit(50, then(2))).await;
        assert_eq!((received.applied, received.known), (0, 1));
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 3);
        // what has no time of its own is of now
        webhook(&scene.ctx, &limit(4, then(9))).await;
        let mark = scene.ctx.store.read().await.unwrap().mark("unique_per_day:wa").await.unwrap();
        assert!(mark.unwrap().starts_with("4 "));
    })
    .await;
}
