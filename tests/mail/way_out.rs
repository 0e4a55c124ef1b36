//! The way out, answered by the daemon's listener: a post withdraws, a look changes nothing.

use std::time::Duration;

use opportune::model::delivery::{Reason, State};
use opportune::provider::Meter;
use opportune::web;
use opportune::work::people;
use opportune::work::tasks::Tasks;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::scene::{Scene, VARIANT, due, name, send, state_of};
use crate::support::on_both;

/// A request to the listener; the whole answer.
async fn ask(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: l.example.com\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn ledger(scene: &Scene, index: usize) -> Value {
    let mut reader = scene.ctx.store.read().await.unwrap();
    let person = reader.recipient(&format!("r{index}").parse().unwrap()).await.unwrap().unwrap();
    drop(reader);
    serde_json::to_value(people::ledger(&scene.ctx, person).await.unwrap()).unwrap()
}

#[tokio::test]
async fn one_click_withdraws_consent_to_mail_once_and_a_scanner_changes_nothing() {
    on_both(async |store| {
        let scene = Scene::new(store, &["a@example.com", "b@example.com"]).await;
        send(&scene.ctx).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let ctx = scene.ctx.clone();
        let serving =
            tokio::spawn(web::serve(ctx, Meter::default(), Tasks::default(), listener, stopped));

        let header = scene.server.mails()["a@example.com"].header("list-unsubscribe").unwrap();
        let url = header.trim_matches(['<', '>']);
        let path = url.strip_prefix("https://l.example.com").unwrap();
        for method in ["GET", "HEAD", "GET"] {
            let answer = ask(port, method, path, "").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(method == "HEAD" || answer.contains("<form method=\"post\">"), "{answer}");
        }
        assert_eq!(ledger(&scene, 0).await["entries"].as_array().unwrap().len(), 1);
        // a token of a person's link, a changed one and none are nobody's way out
        let link = &scene.server.mails()["a@example.com"].text;
        let link = link.split("/l/").nth(1).unwrap().split_whitespace().next().unwrap();
        for forged in [format!("/u/{link}"), format!("{path}A"), "/u/AAAA".to_owned()] {
            let answer = ask(port, "POST", &forged, "List-Unsubscribe=One-Click").await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
        assert_eq!(ledger(&scene, 0).await["entries"].as_array().unwrap().len(), 1);

        for _ in 0..2 {
            let answer = ask(port, "POST", path, "List-Unsubscribe=One-Click").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let told = ledger(&scene, 0).await;
        let withdrawn: Vec<&Value> = told["entries"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["change"] == "withdrawn")
            .collect();
        assert!(withdrawn.iter().any(|e| e["source"] == "mail unsubscribe"), "{told}");
        for entry in &withdrawn {
            assert_eq!(entry["provider"], "mail");
            assert_eq!(entry["evidence"], format!("c:{}", scene.ids[0]));
        }
        assert!(withdrawn.len() <= 2, "{told}");
        assert_eq!(told["consented"], true, "other channels stay");
        assert_eq!(ledger(&scene, 1).await["entries"].as_array().unwrap().len(), 1);
        // what the message cost is learned from
        let mut reader = scene.ctx.store.read().await.unwrap();
        let messages = reader.messages_of(scene.ids[0]).await.unwrap();
        assert!(messages[0].message.response.opted_out_at.is_some());
        drop(reader);
        // whoever shares the address is meant as well; the export tells it
        let other = {
            let mut tx = scene.ctx.store.begin().await.unwrap();
            let profile = opportune::model::recipient::Profile {
                attributes: [("address_mail".to_owned(), "b@example.com".to_owned())].into(),
                ..Default::default()
            };
            let added = tx.put_recipients(&[("double".parse().unwrap(), profile)]).await.unwrap();
            let agreed = scene.ctx.clock.now() - chrono::TimeDelta::days(1);
            let granted = crate::support::granted(agreed, agreed);
            tx.append_consent(&[(added[0].0, granted)]).await.unwrap();
            tx.commit().await.unwrap();
            added[0].0
        };
        let second = scene.server.mails()["b@example.com"].header("list-unsubscribe").unwrap();
        let second = second.trim_matches(['<', '>']).to_owned();
        let second = second.strip_prefix("https://l.example.com").unwrap();
        assert!(ask(port, "POST", second, "").await.starts_with("HTTP/1.1 200"));
        let mut reader = scene.ctx.store.read().await.unwrap();
        let without = reader.without_consent((&name("mail"), None), &[other]).await.unwrap();
        assert!(without.contains(&other));
        let row = reader.campaign(&name("c")).await.unwrap().unwrap();
        drop(reader);
        let (people, _) = opportune::work::export::people(
            &scene.ctx,
            &row,
            opportune::work::export::PeopleFilter::default(),
            opportune::work::export::PeopleCursor::default(),
            10,
        )
        .await
        .unwrap();
        assert_eq!(people[0].address.as_deref(), Some("a@example.com"));
        // neither the next campaign nor a plan goes there
        let next = due(&scene.ctx, "next", VARIANT, &scene.ids).await;
        std::fs::remove_dir_all(scene.server.dir.path()).unwrap();
        std::fs::create_dir(scene.server.dir.path()).unwrap();
        send(&scene.ctx).await;
        let state = state_of(&scene.ctx, next, scene.ids[0]).await;
        assert_eq!(state, (State::Refused, Reason::ConsentWithdrawn));
        assert_eq!(scene.server.mails().len(), 0);
        assert!(scene.ctx.config.providers.contains_key(&name("mail")));
        stop.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(10), serving).await;
    })
    .await;
}
