//! What people write and prefer, and who may post it.

use opportune::model::recipient::Profile;
use opportune::provider::{Incoming, PreferenceKind};

use crate::scene::*;

#[tokio::test]
async fn replies_of_every_kind_are_attributed_by_what_they_answer() {
    for (kind, clicked) in [("text", false), ("button", true), ("list", true), ("reaction", false)]
    {
        let (_dir, store) = sqlite().await;
        let scene = Scene::new(store, 1, "").await;
        send(&scene.ctx).await;
        scene.advance(TimeDelta::minutes(30));
        let at = noon() + TimeDelta::minutes(10);
        let body = messages("messages", json!([inbound(kind, Some("wamid.0"), at)]));
        webhook(&scene.ctx, &body).await;
        webhook(&scene.ctx, &body).await;
        let response =
            scene.ctx.store.read().await.unwrap().messages_of(scene.ids[0]).await.unwrap()[0]
                .message
                .response
                .clone();
        assert_eq!(response.replied_at, Some(at), "{kind}");
        assert_eq!(response.clicked_at.is_some(), clicked, "{kind}");
        assert!(
            scene
                .ctx
                .store
                .read()
                .await
                .unwrap()
                .activity_of(scene.ids[0])
                .await
                .unwrap()
                .is_empty()
        );
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let open = tx.open_windows(&name("wa"), &scene.ids, noon() + TimeDelta::hours(24)).await;
        assert_eq!(open.unwrap().len(), usize::from(kind != "reaction"), "{kind}");
    }
}

#[tokio::test]
async fn stop_words_and_preferences_end_consent_and_only_an_explicit_word_brings_it_back() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, "").await;
        let consented = async || {
            let found = scene.ctx.store.read().await.unwrap().recipient(&"r1".parse().unwrap()).await.unwrap();
            found.unwrap().consented
        };
        let wish = |value: &str, at: Instant| {
            change("user_preferences", json!({
                "messaging_product": "whatsapp",
                "user_preferences": [{ "wa_id": "5511000000001", "detail": "d",
                    "category": "marketing_messages", "value": value, "timestamp": at.timestamp() }],
            }))
        };
        scene.advance(TimeDelta::hours(2));
        let at = |minutes: i64| noon() + TimeDelta::minutes(minutes);
        webhook(&scene.ctx, &messages("messages", json!([inbound("stop", None, at(1))]))).await;
        assert!(!consented().await);
        webhook(&scene.ctx, &wish("resume", at(2))).await;
        assert!(consented().await);
        webhook(&scene.ctx, &wish("stop", at(3))).await;
        webhook(&scene.ctx, &wish("stop", at(3))).await;
        assert!(!consented().await);
        assert_eq!(scene.ctx.store.read().await.unwrap().ledger(scene.ids[0]).await.unwrap().len(), 4);
        // nobody is sent to who said so after planning
        send(&scene.ctx).await;
        assert!(scene.graph.calls().is_empty());
        // the person's own explicit word counts, wherever the last one was said
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let elsewhere = |change, minutes| ConsentEntry {
            change, at: at(minutes), source: "form".to_owned(), evidence: String::new(),
            recorded_at: at(minutes), scope: ConsentEntry::EVERYWHERE };
        tx.append_consent(&[(scene.ids[0], elsewhere(ConsentChange::Withdrawn, 4))]).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!consented().await);
        webhook(&scene.ctx, &wish("resume", at(5))).await;
        assert!(consented().await);
        let ledger = scene.ctx.store.read().await.unwrap().ledger(scene.ids[0]).await.unwrap();
        assert_eq!(ledger.last().unwrap().source, "wa user_preferences");
    })
    .await;
}

#[tokio::test]
async fn a_webhook_proves_itself_or_is_turned_away() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "").await;
    let provider = &scene.ctx.providers[&name("wa")];
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    let good = signature(&SecretValue::new(SECRET), body);
    assert_eq!(provider.receive(Some(&good), body), Ok(Vec::new()));
    for bad in [None, Some(""), Some("sha256="), Some(&good[..70]), Some(&good.replace('a', "b"))] {
        assert_eq!(provider.receive(bad, body), Err(Rejected::Signature), "{bad:?}");
    }
    let many: Vec<Value> = (0..1001).map(|n| status(&format!("c:{n}#1"), "read", noon())).collect();
    let body = messages("statuses", many.into()).to_string();
    let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
    let rejected = provider.receive(Some(&signed), body.as_bytes());
    assert!(matches!(rejected, Err(Rejected::Body(ref text)) if text.contains("1001")));
    let query = |token: &'static str| {
        move |key: &str| match key {
            "hub.mode" => Some("subscribe".to_owned()),
            "hub.verify_token" => Some(token.to_owned()),
            "hub.challenge" => Some("1158201444".to_owned()),
            _ => None,
        }
    };
    assert_eq!(provider.verify(&query("a-word")), Some("1158201444".to_owned()));
    assert_eq!(provider.verify(&query("another")), None);
}

/// A message of person `n` at noon.
fn from(n: i64, kind: &str, more: Value) -> Value {
    let mut item = json!({ "id": format!("wamid.from-{n}"), "type": kind,
        "from": format!("5511{n:09}"), "timestamp": noon().timestamp().to_string() });
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

async fn consented(scene: &Scene, n: usize) -> bool {
    let key = format!("r{n}").parse().unwrap();
    scene.ctx.store.read().await.unwrap().recipient(&key).await.unwrap().unwrap().consented
}

#[tokio::test]
async fn edits_captions_and_buttons_are_words_too() {
    on_both(async |store| {
        let image = |caption: &str| json!({ "image": { "caption": caption, "mime_type": "image/jpeg", "id": "1" } });
        let items = [
            (from(1, "edit", json!({ "edit": { "original_message_id": "wamid.E",
                "message": { "type": "text", "text": { "body": "STOP" } } } })), true),
            (from(2, "image", image("STOP")), true),
            (from(3, "image", image("my cat")), false),
            (from(4, "edit", json!({ "edit": { "original_message_id": "wamid.E",
                "message": { "type": "image", "image": { "caption": "Parar." } } } })), true),
            (from(5, "document", json!({ "document": { "caption": "\u{202a}sair\u{202c}" } })), true),
            (from(6, "button", json!({ "button": { "payload": "Detener promociones", "text": "Detener promociones" } })), true),
            (from(7, "button", json!({ "button": { "payload": "x9", "text": "Unsubscribe from Promos" } })), true),
            (from(8, "interactive", json!({ "interactive": { "type": "button_reply",
                "button_reply": { "id": "STOP_PROMOTIONS", "title": "No" } } })), true),
            (from(9, "text", json!({ "text": { "body": "don't stop, please" } })), false),
            // not said to us: a group, and a message that was taken back
            (from(10, "text", json!({ "text": { "body": "STOP" }, "group_id": "Y2FwaV9ncm91cDox" })), false),
            (from(11, "revoke", json!({ "revoke": { "original_message_id": "wamid.E" } })), false),
            (from(12, "text", json!({ "text": { "body": "ＳＴＯＰ" }, "context": null, "errors": null })), true),
        ];
        let scene = Scene::new(store, 12, "").await;
        scene.advance(TimeDelta::hours(1));
        let posted: Vec<Value> = items.iter().map(|(item, _)| item.clone()).collect();
        let received = webhook(&scene.ctx, &messages("messages", posted.into())).await;
        assert_eq!(received.unreadable, 0);
        for (n, (item, stop)) in items.iter().enumerate() {
            assert_eq!(consented(&scene, n + 1).await, !stop, "{item}");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_but_a_private_word_opens_a_window() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 8, "").await;
    let items = [
        (from(1, "text", json!({ "text": { "body": "hi" } })), true),
        (
            from(
                2,
                "text",
                json!({ "text": { "body": "hi all" }, "group_id": "Y2FwaV9ncm91cDox" }),
            ),
            false,
        ),
        (from(3, "revoke", json!({ "revoke": { "original_message_id": "wamid.E" } })), false),
        (from(4, "unsupported", json!({ "errors": [{ "code": 131_051 }] })), false),
        (from(5, "system", json!({ "system": { "type": "customer_identity_changed" } })), false),
        (from(6, "request_welcome", json!({})), false),
        (from(7, "sticker", json!({ "sticker": { "id": "1" } })), true),
        (
            from(8, "text", json!({ "text": { "body": "hi" }, "context": { "group_id": "g" } })),
            false,
        ),
    ];
    let posted: Vec<Value> = items.iter().map(|(item, _)| item.clone()).collect();
    webhook(&scene.ctx, &messages("messages", posted.into())).await;
    let mut tx = scene.ctx.store.begin().await.unwrap();
    let open =
        tx.open_windows(&name("wa"), &scene.ids, noon() + TimeDelta::hours(1)).await.unwrap();
    for (n, (item, opens)) in items.iter().enumerate() {
        assert_eq!(open.contains(&scene.ids[n]), *opens, "{item}");
    }
}

#[tokio::test]
async fn a_word_that_is_ordinary_elsewhere_is_a_stop_at_home_alone() {
    on_both(async |store| {
        let people = [
            ("in", "+919812345601", Some("en_IN"), "Acha", false),
            ("hi", "+919812345602", Some("hi_IN"), "acha", false),
            ("pk", "+923001234501", Some("ur_PK"), "Acha!", false),
            ("ke", "+254712345601", Some("sw_KE"), "Acha", true),
            ("tz", "+255712345601", None, "ACHA", true),
            ("us", "+12125550123", Some("sw"), "acha", true),
            ("ph", "+639171234567", None, "Pare", false),
            ("br", "+5511987654399", None, "pare", true),
            ("fr", "+33612345601", Some("fr_FR"), "dur", false),
            ("tr", "+905321234501", None, "DUR", true),
            ("stop", "+919812345603", Some("en_IN"), "STOP", true),
        ];
        let scene = Scene::new(store, 0, "").await;
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let rows: Vec<_> = people
            .iter()
            .map(|(key, address, locale, ..)| {
                let profile = Profile {
                    address: Some(address.parse().unwrap()),
                    locale: locale.map(|locale| locale.parse().unwrap()),
                    ..Profile::default()
                };
                (key.parse().unwrap(), profile)
            })
            .collect();
        let put = tx.put_recipients(&rows).await.unwrap();
        let granted = crate::support::granted(noon() - TimeDelta::days(9), noon());
        let entries: Vec<_> = put.into_iter().map(|(id, _)| (id, granted.clone())).collect();
        tx.append_consent(&entries).await.unwrap();
        tx.commit().await.unwrap();
        scene.advance(TimeDelta::hours(1));
        for (key, address, _, word, stop) in people {
            let item = json!([{ "id": format!("wamid.{key}"), "type": "text", "from": &address[1..],
                "timestamp": noon().timestamp().to_string(), "text": { "body": word } }]);
            webhook(&scene.ctx, &messages("messages", item)).await;
            let found = scene
                .ctx
                .store
                .read()
                .await
                .unwrap()
                .recipient(&key.parse().unwrap())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(found.consented, !stop, "{word} of {key}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_channels_switch_is_read_in_every_form() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 0, "").await;
    let wa_id = "447700900141";
    let item = |value: &str, more: Value| {
        let mut item = json!({ "wa_id": wa_id, "detail": "User requested\nto stop", "value": value,
            "category": "marketing_messages", "timestamp": noon().timestamp() });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let number = json!({ "timestamp": noon().timestamp().to_string() });
    let bare = json!({ "wa_id": null, "category": null });
    let body = change(
        "user_preferences",
        json!({
        "contacts": [{ "profile": { "name": "X" }, "wa_id": wa_id, "user_id": "GB.1" }],
        "user_preferences": [
            item("stop", json!({})),
            item("RESUME", number),
            item("signup", json!({ "signup_id": "13176843987434774" })),
            item("stop", bare),
            item("stop", json!({ "timestamp": null })),
            item("stop", json!({ "category": "utility_messages" })),
            item("maybe", json!({})),
            json!({ "value": 7 }),
        ] }),
    );
    let body = body.to_string();
    let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
    let told = scene.ctx.providers[&name("wa")].receive(Some(&signed), body.as_bytes()).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|told| match told {
            Incoming::Preference(change) => {
                let names: Vec<_> = change.from.iter().map(|name| name.as_str()).collect();
                assert_eq!(names, ["+447700900141", "GB.1"]);
                assert_eq!(change.at, noon());
                Some((change.kind, change.evidence.as_str()))
            }
            Incoming::Unreadable { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let stop = Some((PreferenceKind::Stop, "User requested to stop"));
    assert_eq!(
        told,
        [
            stop,
            Some((PreferenceKind::Resume, "User requested to stop")),
            Some((PreferenceKind::SignUp, "signup 13176843987434774")),
            stop,
            stop,
            None,
        ]
    );
}

#[tokio::test]
async fn a_sign_up_grants_consent_with_its_evidence() {
    on_both(async |store| {
        let scene = Scene::new(store, 0, "").await;
        let profile = |address: &str| Profile {
            address: Some(address.parse().unwrap()),
            ..Profile::default()
        };
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let rows = [
            ("r1".parse().unwrap(), profile("+447700900141")),
            ("r2".parse().unwrap(), profile("+447700900142")),
        ];
        tx.put_recipients(&rows).await.unwrap();
        tx.commit().await.unwrap();
        let told = json!({ "user_preferences": [{ "wa_id": "447700900141", "detail": "x",
            "category": "marketing_messages", "value": "signup", "timestamp": noon().timestamp(),
            "signup_id": "13176843987434774" }] });
        scene.advance(TimeDelta::minutes(1));
        webhook(&scene.ctx, &change("user_preferences", told.clone())).await;
        webhook(&scene.ctx, &change("user_preferences", told)).await;
        assert!(consented(&scene, 1).await && !consented(&scene, 2).await);
        let person = scene
            .ctx
            .store
            .read()
            .await
            .unwrap()
            .recipient(&"r1".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        let ledger = scene.ctx.store.read().await.unwrap().ledger(person.id).await.unwrap();
        assert_eq!(ledger.len(), 1);
        assert_eq!(
            (ledger[0].at, ledger[0].evidence.as_str()),
            (noon(), "signup 13176843987434774")
        );
    })
    .await;
}
