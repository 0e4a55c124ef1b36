//! What people write and wish, and who may post it.

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
        // who withdrew elsewhere is not brought back by a switch in the channel
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let elsewhere = |change, minutes| ConsentEntry {
            change, at: at(minutes), source: "form".to_owned(), evidence: String::new(),
            recorded_at: at(minutes),
        };
        tx.append_consent(&[(scene.ids[0], elsewhere(ConsentChange::Withdrawn, 4))]).await.unwrap();
        tx.commit().await.unwrap();
        webhook(&scene.ctx, &wish("resume", at(5))).await;
        assert!(!consented().await);
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
