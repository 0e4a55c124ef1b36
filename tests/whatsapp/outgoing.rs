//! What goes out: templates, media, free form, and by which interface.

use crate::scene::*;

#[tokio::test]
async fn a_template_goes_out_as_the_vendor_documents_it() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "").await;
    send(&scene.ctx).await;
    let calls = scene.graph.calls();
    assert_eq!(calls[0].path, "/v25.0/106540352242922/messages");
    assert_eq!(calls[0].token, "Bearer a-token");
    let key = format!("c:{}#1", scene.ids[0]);
    assert_eq!(
        calls[0].body,
        json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "+5511000000001",
            "type": "template",
            "biz_opaque_callback_data": key,
            "template": {
                "name": "promo",
                "language": { "code": "pt_BR" },
                "components": [
                    { "type": "body", "parameters": [{ "type": "text", "text": "Ana" }] }
                ],
            },
        })
    );
    assert_eq!(states(&scene.ctx, scene.campaign).await[&(State::Sent, Reason::BestSlot)], 1);
}

#[tokio::test]
async fn pictures_and_films_are_handed_over_once_and_sent_by_their_ids() {
    let (_dir, store) = sqlite().await;
    let film = "[[variant]]\nname = \"film\"\nmedia = \"video\"\ntemplate = \"clip\"\n\
                language = \"pt_BR\"\nmedia_url = \"http://127.0.0.1:PORT/files/clip.mp4\"\n";
    let scene = Scene::with(store, 3, "", "", film).await;
    send(&scene.ctx).await;
    scene.advance(TimeDelta::days(20));
    due(&scene.ctx, "d", "", &film.replace("PORT", &scene.graph.port.to_string()), &scene.ids)
        .await;
    send(&scene.ctx).await;
    let uploads = scene.graph.uploads();
    assert_eq!(uploads.len(), 1);
    let form = String::from_utf8(uploads[0].clone()).unwrap();
    assert!(form.contains("name=\"messaging_product\"\r\n\r\nwhatsapp\r\n"), "{form}");
    assert!(form.contains("filename=\"clip.mp4\"\r\nContent-Type: video/mp4\r\n\r\na film\r\n"));
    let header = json!([{ "type": "header", "parameters":
        [{ "type": "video", "video": { "id": "media-1" } }] }]);
    let calls = scene.graph.calls();
    assert_eq!(calls.len(), 6);
    assert!(calls.iter().all(|call| call.body["template"]["components"] == header));
    // a provider keeps files for thirty days: an older one is handed over again
    scene.advance(TimeDelta::days(6));
    due(&scene.ctx, "e", "", &film.replace("PORT", &scene.graph.port.to_string()), &scene.ids)
        .await;
    send(&scene.ctx).await;
    assert_eq!(scene.graph.uploads().len(), 2);
}

#[tokio::test]
async fn media_of_hosts_that_are_not_allowed_go_by_their_address() {
    let (_dir, store) = sqlite().await;
    let paper = "[[variant]]\nname = \"paper\"\nmedia = \"document\"\ntemplate = \"paper\"\n\
                 media_url = \"https://example.com/a/menu.pdf\"\n";
    let scene = Scene::with(store, 1, "", "fallback_language = \"pt_BR\"\n", paper).await;
    send(&scene.ctx).await;
    let template = &scene.graph.calls()[0].body["template"];
    assert_eq!(template["language"]["code"], "pt_BR");
    assert_eq!(
        template["components"][0]["parameters"][0],
        json!({ "type": "document", "document":
            { "link": "https://example.com/a/menu.pdf", "filename": "menu.pdf" } })
    );
    assert!(scene.graph.uploads().is_empty());
}

#[tokio::test]
async fn marketing_goes_through_the_api_of_the_settings_and_utility_does_not() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "api = \"marketing_strict\"\n").await;
    due(&scene.ctx, "u", "category = \"utility\"\n", VARIANT, &scene.ids).await;
    send(&scene.ctx).await;
    let calls = scene.graph.calls();
    let of = |campaign: &str| calls.iter().find(|c| c.callback().starts_with(campaign)).unwrap();
    assert_eq!(of("c:").path, "/v25.0/106540352242922/marketing_messages");
    assert_eq!(of("c:").body["product_policy"], "STRICT");
    assert_eq!(of("u:").path, "/v25.0/106540352242922/messages");
    assert!(of("u:").body.get("product_policy").is_none());
}

#[tokio::test]
async fn who_wrote_lately_gets_free_form_where_the_campaign_allows_it() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::with(
        store,
        2,
        "[provider.wa.limits]\nunique_per_day = 1\n",
        "free_form = true\n",
        VARIANT,
    )
    .await;
    webhook(&scene.ctx, &messages("messages", json!([inbound("text", None, noon())]))).await;
    // a word that answers nothing is a sign of presence
    assert_eq!(
        scene.ctx.store.read().await.unwrap().activity_of(scene.ids[0]).await.unwrap().len(),
        1
    );
    send(&scene.ctx).await;
    let calls = scene.graph.calls();
    let of = |to: &str| calls.iter().find(|call| call.to() == to).unwrap();
    let free = of("+5511000000001");
    assert_eq!(
        (free.body["type"].as_str(), free.body["text"]["body"].as_str()),
        (Some("text"), Some("Oi Ana"))
    );
    // and costs nothing of the day's people: the other still has room
    assert_eq!(of("+5511000000002").body["type"], "template");
}

#[tokio::test]
async fn a_window_that_was_closed_after_all_leads_to_the_template() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::with(store, 1, "", "free_form = true\n", VARIANT).await;
    webhook(&scene.ctx, &messages("messages", json!([inbound("text", None, noon())]))).await;
    scene.graph.answer(|body| match body["type"].as_str() {
        Some("text") => Answer::Code(131_047),
        _ => Answer::Accept,
    });
    send(&scene.ctx).await;
    send(&scene.ctx).await;
    let kinds: Vec<_> = scene.graph.calls().iter().map(|c| c.body["type"].clone()).collect();
    assert_eq!(kinds, ["text", "template"]);
}

#[tokio::test]
async fn nobody_in_the_united_states_gets_marketing() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "").await;
    let profile = opportune::model::recipient::Profile {
        address: Some("+12125550123".parse().unwrap()),
        ..Default::default()
    };
    let mut tx = scene.ctx.store.begin().await.unwrap();
    tx.put_recipients(&[("r1".parse().unwrap(), profile)]).await.unwrap();
    tx.commit().await.unwrap();
    send(&scene.ctx).await;
    assert_eq!(
        states(&scene.ctx, scene.campaign).await[&(State::Refused, Reason::ProviderForbids)],
        1
    );
    assert!(scene.graph.calls().is_empty());
}

const FILM: &str = "[[variant]]\nname = \"film\"\nmedia = \"video\"\ntemplate = \"film\"\n\
                    media_url = \"http://127.0.0.1:PORT/files/film.mp4\"\n";

#[tokio::test]
async fn an_upload_has_a_time_out_of_its_own() {
    let (_dir, store) = sqlite().await;
    let head = "fallback_language = \"pt_BR\"\n";
    // a call may take no longer than a second, and the upload takes twice as long
    let scene = Scene::with(store, 1, "canary = 0\ntimeout = \"1s\"\n", head, FILM).await;
    scene.graph.slow_uploads(std::time::Duration::from_secs(2));
    send(&scene.ctx).await;
    let video = &scene.graph.calls()[0].body["template"]["components"][0]["parameters"][0]["video"];
    assert_eq!(video["id"], "media-1", "{video}");
}

#[tokio::test]
async fn a_media_host_that_hangs_delays_no_other_batch() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hanging.local_addr().unwrap().port().to_string();
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 2, "canary = 0\n").await;
    let film = FILM.replace("PORT", &port);
    let head = "fallback_language = \"pt_BR\"\n";
    let campaign = due(&scene.ctx, "film", head, &film, &scene.ids).await;
    let begun = std::time::Instant::now();
    send(&scene.ctx).await;
    // who has a film is sent its address after a bounded wait
    assert!(begun.elapsed() < std::time::Duration::from_secs(9), "{:?}", begun.elapsed());
    let calls = scene.graph.calls();
    assert_eq!(calls.len(), 4);
    let links = calls.iter().filter(|call| call.body.to_string().contains("/files/film.mp4"));
    assert_eq!(links.count(), 2);
    assert_eq!(states(&scene.ctx, campaign).await[&(State::Sent, Reason::BestSlot)], 2);
    // and the batches after it wait no more
    let begun = std::time::Instant::now();
    due(&scene.ctx, "again", head, &film, &scene.ids).await;
    send(&scene.ctx).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(scene.graph.calls().len(), 6);
}
