//! What is mended before it leaves, and whom a refusal is about.

use opportune::model::recipient::Profile;

use crate::scene::*;

/// Gives person `n` a name to be called by.
async fn called(scene: &Scene, n: i64, name: &str) {
    let profile =
        Profile { attributes: [("name".to_owned(), name.to_owned())].into(), ..Profile::default() };
    let mut tx = scene.ctx.store.begin().await.unwrap();
    tx.put_recipients(&[(format!("r{n}").parse().unwrap(), profile)]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn parameters_leave_as_the_channel_takes_them() {
    let (_dir, store) = sqlite().await;
    let variant = VARIANT.replace("defaults = { name = \"Ana\" }\n", "");
    let scene = Scene::with(store, 6, "canary = 0\n", "", &variant).await;
    for (n, name) in [
        (1, "Bia\nMaria"),
        (2, "Bia          Maria"),
        (3, "\tBia\r\n\u{200b}"),
        (4, "Bia    Maria"),
        // nothing that can be seen is left of them
        (5, " \n "),
        (6, "\u{feff}\u{200b}"),
    ] {
        called(&scene, n, name).await;
    }
    send(&scene.ctx).await;
    let sent = |n: usize| {
        let to = format!("+5511{n:09}");
        let calls = scene.graph.calls();
        let call = calls.into_iter().find(|call| call.to() == to)?;
        let text = &call.body["template"]["components"][0]["parameters"][0]["text"];
        Some(text.as_str().unwrap().to_owned())
    };
    let texts: Vec<_> = (1..=6).map(sent).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        texts,
        [some("Bia Maria"), some("Bia Maria"), some("Bia"), some("Bia    Maria"), None, None]
    );
    for n in [5, 6] {
        let ended = state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await;
        assert_eq!(ended, (State::Refused, Reason::MissingParameter), "r{n}");
    }
}

#[tokio::test]
async fn a_blank_value_is_none_and_leaves_its_place_to_the_default() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::with(store, 1, "canary = 0\n", "", VARIANT).await;
    called(&scene, 1, " \u{200b}\n").await;
    send(&scene.ctx).await;
    let text = &scene.graph.calls()[0].body["template"]["components"][0]["parameters"][0]["text"];
    assert_eq!(text, "Ana");
}

#[tokio::test]
async fn what_is_the_accounts_stops_the_calls_and_refuses_nobody() {
    let object = r#"{"error":{"message":"Unsupported post request. Object with ID '1' does not exist","type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A"}}"#;
    let cases = [
        (400, object, "100/33"),
        (400, r#"{"error":{"code":"190","message":"m"}}"#, "190"),
        (401, "<html>no</html>", "http 401"),
        (401, r#"{"error":{"code":987654321,"message":"m"}}"#, "987654321"),
        (403, "", "http 403"),
        (404, "nothing here", "http 404"),
        (301, "", "http 301"),
    ];
    for (status, body, code) in cases {
        let (_dir, store) = sqlite().await;
        let scene =
            Scene::new(store, 12, "canary = 0\n[provider.wa.limits]\nper_second = 2\n").await;
        scene.graph.answer(move |_| Answer::Status(status, body));
        send(&scene.ctx).await;
        let states = states(&scene.ctx, scene.campaign).await;
        assert!(states.keys().all(|(state, _)| *state == State::Planned), "{code}: {states:?}");
        assert!(scene.graph.calls().len() < 12, "{code}");
        let alerts = scene.ctx.store.read().await.unwrap().alerts(noon()).await.unwrap();
        assert!(alerts.iter().any(|alert| alert.code == code && !alert.what.is_empty()), "{code}");
        let row =
            scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
        assert_eq!(row.status, CampaignStatus::Paused, "{code}");
        assert!(
            scene
                .ctx
                .store
                .read()
                .await
                .unwrap()
                .templates(&name("wa"))
                .await
                .unwrap()
                .iter()
                .all(|t| t.stage != Stage::Parked)
        );
    }
}

#[tokio::test]
async fn one_persons_data_is_one_persons_refusal() {
    for code in [100, 131_008, 131_009, 132_000, 132_005, 132_012, 132_018, 135_000] {
        let (_dir, store) = sqlite().await;
        let scene = Scene::new(store, 8, "canary = 0\n").await;
        scene.graph.answer(move |body| match body["to"].as_str() {
            Some("+5511000000003" | "+5511000000006") => Answer::Code(code),
            _ => Answer::Accept,
        });
        send(&scene.ctx).await;
        let states = states(&scene.ctx, scene.campaign).await;
        assert_eq!(states[&(State::Refused, Reason::RecipientRefused)], 2, "{code}: {states:?}");
        assert_eq!(
            states.iter().filter(|((s, _), _)| *s == State::Sent).map(|(_, n)| n).sum::<u64>(),
            6,
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_broken_media_file_is_tried_three_times_at_most() {
    let (_dir, store) = sqlite().await;
    let picture = "[[variant]]\nname = \"p\"\nmedia = \"image\"\ntemplate = \"p\"\n\
                   language = \"pt_BR\"\nmedia_url = \"https://example.com/a.jpg\"\n";
    let scene = Scene::with(store, 2, "canary = 0\n", "", picture).await;
    scene.graph.answer(|_| Answer::Code(131_053));
    for _ in 0..20 {
        send(&scene.ctx).await;
        scene.advance(TimeDelta::seconds(30));
    }
    let times = scene.graph.by_person();
    assert!(times.values().all(|times| *times <= 3), "{times:?}");
}

#[tokio::test]
async fn a_free_text_that_the_channel_would_refuse_leaves_its_place_to_the_template() {
    for text in ["", " \\n", &"x".repeat(4097)] {
        let (_dir, store) = sqlite().await;
        let variant = VARIANT.replace("text = \"Oi {{name}}\"", &format!("text = \"{text}\""));
        let scene = Scene::with(store, 1, "", "free_form = true\n", &variant).await;
        webhook(&scene.ctx, &messages("messages", json!([inbound("text", None, noon())]))).await;
        send(&scene.ctx).await;
        let calls = scene.graph.calls();
        assert_eq!(calls[0].body["type"], "template", "{:?}", &text[..text.len().min(9)]);
    }
}

#[tokio::test]
async fn a_template_that_is_answered_with_a_closed_window_is_not_sent_again_and_again() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "canary = 0\n").await;
    scene.graph.answer(|_| Answer::Code(131_047));
    for _ in 0..8 {
        send(&scene.ctx).await;
        scene.advance(TimeDelta::seconds(5));
    }
    assert_eq!(scene.graph.calls().len(), 1);
}
