//! Whom the channel speaks of: numbers that change, and ids that stand for them. Shapes after the
//! vendor's pages on business-scoped user ids and system messages (August 2026).

use opportune::model::recipient::Profile;
use opportune::model::time::Instant;
use opportune::work::people;

use crate::scene::*;

/// A system message; what the vendor leaves out is left out.
fn changed(from: Option<&str>, kind: &str, names: Value, at: Instant) -> Value {
    let mut system = json!({ "body": "User A changed", "type": kind });
    system.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
    let mut item = json!({ "id": format!("wamid.{}", at.timestamp()), "type": "system",
        "timestamp": at.timestamp().to_string(), "system": system });
    if let Some(from) = from {
        item["from"] = from.into();
    }
    messages("messages", json!([item]))
}

async fn address(ctx: &Ctx, id: RecipientId) -> String {
    let mut tx = ctx.store.begin().await.unwrap();
    let mut found = tx.recipients(&[id]).await.unwrap();
    found.remove(&id).unwrap().profile.address.unwrap().to_string()
}

async fn import(ctx: &Ctx, key: &str, address: &str) {
    let profile = Profile { address: Some(address.parse().unwrap()), ..Profile::default() };
    let mut tx = ctx.store.begin().await.unwrap();
    tx.put_recipients(&[(key.parse().unwrap(), profile)]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn consented(ctx: &Ctx, key: &str) -> bool {
    ctx.store
        .read()
        .await
        .unwrap()
        .recipient(&key.parse().unwrap())
        .await
        .unwrap()
        .unwrap()
        .consented
}

fn text(names: Value, word: &str, at: Instant) -> Value {
    let mut item = json!({ "id": format!("wamid.t{}", at.timestamp_micros()), "type": "text",
        "timestamp": at.timestamp().to_string(), "text": { "body": word } });
    item.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
    messages("messages", json!([item]))
}

const OLD: &str = "5511000000001";
const NEW: &str = "491712345678";

#[tokio::test]
async fn a_person_is_followed_to_a_new_number() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "").await;
        let (ctx, id) = (&scene.ctx, scene.ids[0]);
        let names = json!({ "wa_id": NEW, "user_id": "DE.2222222222",
            "previous_user_id": "BR.1111111111" });
        let moved = changed(Some(OLD), "user_changed_number", names, noon());
        assert_eq!(webhook(ctx, &moved).await.applied, 1);
        assert_eq!(address(ctx, id).await, format!("+{NEW}"));
        // posted twice, it says nothing new
        let again = webhook(ctx, &moved).await;
        assert_eq!((again.applied, again.known), (0, 1));
        // what is due goes to the new number, on the clock of its country
        send(ctx).await;
        let mut called: Vec<_> = scene.graph.by_person().into_keys().collect();
        called.sort();
        assert_eq!(called, [format!("+{NEW}"), "+5511000000002".to_owned()]);
        let mut tx = ctx.store.begin().await.unwrap();
        let zone = tx.recipients(&[id]).await.unwrap()[&id].profile.zone.unwrap();
        drop(tx);
        assert_eq!((zone.tz.name(), zone.inferred), ("Europe/Berlin", true));
        // a file that is older than the move does not undo it; another address does
        import(ctx, "r1", &format!("+{OLD}")).await;
        assert_eq!(address(ctx, id).await, format!("+{NEW}"));
        // the old number is nobody's; late words still carry the old id
        let at = noon() + TimeDelta::seconds(5);
        scene.advance(TimeDelta::seconds(10));
        assert_eq!(webhook(ctx, &text(json!({ "from": OLD }), "STOP", at)).await.unknown, 1);
        assert!(consented(ctx, "r1").await);
        let late = text(json!({ "from": OLD, "from_user_id": "BR.1111111111" }), "STOP", at);
        webhook(ctx, &late).await;
        assert!(!consented(ctx, "r1").await && consented(ctx, "r2").await);
        import(ctx, "r1", "+5511777777777").await;
        assert_eq!(address(ctx, id).await, "+5511777777777");
    })
    .await;
}

#[tokio::test]
async fn moves_that_come_out_of_order_end_at_the_last_one() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "").await;
        let (ctx, id) = (&scene.ctx, scene.ids[0]);
        scene.advance(TimeDelta::hours(1));
        let ids = |was: &str, now: &str, number: &str| json!({ "wa_id": number, "user_id": now, "previous_user_id": was });
        let first = changed(
            Some(OLD),
            "user_changed_number",
            ids("BR.1111111111", "DE.2222222222", NEW),
            noon(),
        );
        let second = changed(
            Some(NEW),
            "user_changed_number",
            ids("DE.2222222222", "DE.3333333333", "491799999999"),
            noon() + TimeDelta::minutes(10),
        );
        // the id is known from a status, so that the second is followed before the first is heard
        send(ctx).await;
        let mut told = status(scene.graph.calls()[0].callback(), "delivered", noon());
        told["recipient_user_id"] = "DE.2222222222".into();
        told["recipient_parent_user_id"] = "BR.1111111111".into();
        webhook(ctx, &messages("statuses", json!([told]))).await;
        assert_eq!(webhook(ctx, &second).await.applied, 1);
        webhook(ctx, &first).await;
        assert_eq!(address(ctx, id).await, "+491799999999");
        // back to the first number: no longer one that was left
        let names = ids("DE.3333333333", "BR.4444444444", OLD);
        let at = noon() + TimeDelta::minutes(20);
        let back = changed(Some("491799999999"), "user_changed_number", names, at);
        webhook(ctx, &back).await;
        import(ctx, "r1", &format!("+{OLD}")).await;
        assert_eq!(address(ctx, id).await, format!("+{OLD}"));
    })
    .await;
}

#[tokio::test]
async fn who_hides_the_number_is_known_by_the_id_that_statuses_tell() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "").await;
        let ctx = &scene.ctx;
        send(ctx).await;
        let callbacks: Vec<String> =
            scene.graph.calls().iter().map(|call| call.callback().to_owned()).collect();
        let told: Vec<Value> = callbacks
            .iter()
            .enumerate()
            .map(|(n, callback)| {
                let mut told = status(callback, "delivered", noon());
                told.as_object_mut().unwrap().remove("recipient_id");
                told["recipient_user_id"] = format!("BR.100000000{n}").into();
                told["recipient_parent_user_id"] = format!("BR.ENT.200000000{n}").into();
                told
            })
            .collect();
        let received = webhook(ctx, &messages("statuses", json!(told))).await;
        assert_eq!((received.applied, received.unknown), (3, 0));
        let key = |n: usize| format!("r{}", &scene.graph.calls()[n].to()[13..]);
        // a word without a number
        scene.advance(TimeDelta::seconds(10));
        let at = noon() + TimeDelta::seconds(1);
        webhook(ctx, &text(json!({ "from_user_id": "BR.1000000000" }), "sair", at)).await;
        // a wish by the id of several portfolios
        let wish = json!({ "user_preferences": [{ "user_id": "BR.9999999999",
            "parent_user_id": "BR.ENT.2000000001", "detail": "d", "value": "stop",
            "category": "marketing_messages", "timestamp": at.timestamp() }] });
        webhook(ctx, &change("user_preferences", wish)).await;
        assert!(!consented(ctx, &key(0)).await && !consented(ctx, &key(1)).await);
        assert!(consented(ctx, &key(2)).await);
        // an id that comes beside a known number is learned, from the message or its contact
        let mut word = text(json!({ "from": "5511000000003" }), "oi", at);
        word["entry"][0]["changes"][0]["value"]["contacts"] =
            json!([{ "wa_id": "5511000000003", "user_id": "BR.3333333333", "profile": {} }]);
        webhook(ctx, &word).await;
        let alone =
            text(json!({ "from_user_id": "BR.3333333333" }), "parar", at + TimeDelta::seconds(1));
        webhook(ctx, &alone).await;
        assert!(!consented(ctx, "r3").await);
    })
    .await;
}

#[tokio::test]
async fn an_id_alone_is_written_to_and_followed() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "").await;
        let (ctx, id) = (&scene.ctx, scene.ids[0]);
        scene.advance(TimeDelta::minutes(1));
        // the new number may not be told: the old one is not the person's any more
        let names = json!({ "user_id": "BR.5555555555", "previous_user_id": "BR.1111111111" });
        let told = changed(Some(OLD), "user_changed_user_id", names, noon());
        assert_eq!(webhook(ctx, &told).await.applied, 1);
        assert_eq!(address(ctx, id).await, "BR.5555555555");
        send(ctx).await;
        let call = &scene.graph.calls()[0].body;
        assert_eq!(
            (call["recipient"].as_str(), &call["to"]),
            (Some("BR.5555555555"), &Value::Null)
        );
        // everything of it is given out, and erased
        let recipient = ctx
            .store
            .read()
            .await
            .unwrap()
            .recipient(&"r1".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        let stored = people::stored(ctx, recipient).await.unwrap();
        let stored = serde_json::to_value(stored).unwrap();
        assert_eq!(stored["names"]["aliases"], json!(["BR.1111111111", "BR.5555555555"]));
        assert_eq!(stored["names"]["former_addresses"], json!([format!("+{OLD}")]));
        people::forget(ctx, &"r1".parse().unwrap(), "test").await.unwrap().unwrap();
        assert_eq!(ctx.store.read().await.unwrap().names(id).await.unwrap(), Default::default());
        assert_eq!(webhook(ctx, &told).await.unknown, 1);
    })
    .await;
}

#[tokio::test]
async fn a_number_finds_its_person_in_either_form_and_nobody_else() {
    on_both(async |store| {
        // stored, told by the channel, and somebody with a number that only looks alike
        let people = [
            ("br-with", "+5511987654321", "551187654321"),
            ("br-without", "+551187654322", "5511987654322"),
            ("br-both", "+5511987654323", "5511987654323"),
            ("mx-without", "+525512345678", "5215512345678"),
            ("mx-with", "+5215512345679", "525512345679"),
            ("ar-with", "+5491123456789", "541123456789"),
            ("ar-home", "+54111523456780", "5491123456780"),
        ];
        let bystanders = [
            ("landline", "+551132654321", ""),
            ("other", "+5511987654399", ""),
            ("other-area", "+5521987654321", ""),
            ("other-country", "+571187654321", ""),
        ];
        let scene = Scene::new(store, 0, "").await;
        let ctx = &scene.ctx;
        for (key, stored, _) in people.iter().chain(&bystanders) {
            import(ctx, key, stored).await;
            let id = ctx.store.read().await.unwrap().recipient(&key.parse().unwrap()).await.unwrap().unwrap().id;
            let granted = crate::support::granted(noon() - TimeDelta::days(9), noon());
            let mut tx = ctx.store.begin().await.unwrap();
            tx.append_consent(&[(id, granted)]).await.unwrap();
            tx.commit().await.unwrap();
        }
        scene.advance(TimeDelta::hours(1));
        for (n, (key, _, told)) in people.iter().enumerate() {
            let at = noon() + TimeDelta::seconds(n as i64);
            if n % 2 == 0 {
                webhook(ctx, &text(json!({ "from": told }), "STOP", at)).await;
            } else {
                let preference = json!({ "user_preferences": [{ "wa_id": told, "detail": "d",
                    "value": "stop", "category": "marketing_messages", "timestamp": at.timestamp() }] });
                webhook(ctx, &change("user_preferences", preference)).await;
            }
            assert!(!consented(ctx, key).await, "{key}");
        }
        // a landline is nobody's mobile number, and the other way round
        let alike = text(json!({ "from": "5511932654321" }), "STOP", noon());
        assert_eq!(webhook(ctx, &alike).await.unknown, 1);
        for (key, ..) in bystanders {
            assert!(consented(ctx, key).await, "{key}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_under_any_name_holds_for_everybody_with_the_number() {
    on_both(async |store| {
        let scene = Scene::new(store, 0, "").await;
        let ctx = &scene.ctx;
        for (key, number) in
            [("crm", "+5511987654321"), ("shop", "+551187654321"), ("other", "+5511987654322")]
        {
            import(ctx, key, number).await;
            let mut tx = ctx.store.begin().await.unwrap();
            let id = tx.recipient(&key.parse().unwrap()).await.unwrap().unwrap().id;
            let granted = crate::support::granted(noon() - TimeDelta::days(9), noon());
            tx.append_consent(&[(id, granted)]).await.unwrap();
            tx.commit().await.unwrap();
        }
        scene.advance(TimeDelta::hours(1));
        // the id becomes known as one person's of the two
        let both = json!({ "from": "551187654321", "from_user_id": "BR.1111111111" });
        webhook(ctx, &text(both, "hi", noon())).await;
        let hidden = json!({ "from_user_id": "BR.1111111111" });
        webhook(ctx, &text(hidden, "SAIR", noon() + TimeDelta::seconds(1))).await;
        assert!(!consented(ctx, "crm").await && !consented(ctx, "shop").await);
        assert!(consented(ctx, "other").await);
    })
    .await;
}
