//! Links of each person's own: they lead on, people's visits are clicks, machines' are not, and nobody
//! makes one up.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use opportune::model::recipient::Profile;
use opportune::model::time::Instant as Moment;
use opportune::work::{campaigns, dispatch, people, plan};
use serde_json::Value;
use tokio::sync::watch;

use crate::{Listener, support};

const PHONE: &str =
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140 Mobile Safari/537.36";

/// The status of a visit, and where it leads.
async fn visit(listener: &Listener, method: &str, token: &str, headers: &str) -> (u16, String) {
    let request = format!(
        "{method} /l/{token} HTTP/1.1\r\nhost: l.example.com\r\nconnection: close\r\n{headers}\r\n"
    );
    let answer = listener.raw(request).await;
    let status = answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    let line = |line: &str| line.strip_prefix("location: ").map(str::to_owned);
    (status, answer.lines().find_map(line).unwrap_or_default())
}

async fn clicked(listener: &Listener, person: &str) -> Option<Moment> {
    let mut reader = listener.ctx.store.read().await.unwrap();
    let person = reader.recipient(&person.parse().unwrap()).await.unwrap().unwrap();
    let messages = reader.messages_of(person.id).await.unwrap();
    messages[0].message.response.clicked_at
}

async fn stored(listener: &Listener, person: &str) -> Value {
    let mut reader = listener.ctx.store.read().await.unwrap();
    let person = reader.recipient(&person.parse().unwrap()).await.unwrap().unwrap();
    drop(reader);
    serde_json::to_value(people::stored(&listener.ctx, person).await.unwrap()).unwrap()
}

/// Sends a campaign with two links to two people; the tokens of each.
async fn sent(listener: &Listener) -> Vec<Vec<String>> {
    let ctx = &listener.ctx;
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await.unwrap();
    let person = |n: usize| {
        let address = Some(format!("+551199900000{n}").parse().unwrap());
        (format!("p{n}").parse().unwrap(), Profile { address, ..Profile::default() })
    };
    let added = tx.put_recipients(&[person(1), person(2)]).await.unwrap();
    let granted = support::granted(now - TimeDelta::days(1), now);
    let granted: Vec<_> = added.iter().map(|(id, _)| (*id, granted.clone())).collect();
    tx.append_consent(&granted).await.unwrap();
    tx.commit().await.unwrap();
    let wall = |at: Moment| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let source = format!(
        "name = \"spring\"\nprovider = \"shop\"\n[window]\nstart = {}\nend = {}\ntime_zone = \"UTC\"\n\
         [quiet_hours]\nnone = true\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n\
         text = \"Look: {{{{link:https://shop.example.com/a?x=1&utm_source=own}}}}\"\n\
         parameters = [\"{{{{ link: https://shop.example.com/b }}}}\"]\n",
        wall(now - TimeDelta::hours(1)),
        wall(now + TimeDelta::days(2))
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    plan::run(ctx).await.unwrap();
    // whatever slot was chosen: now is its time
    let mut reader = ctx.store.read().await.unwrap();
    let row = reader.campaign(&"spring".parse().unwrap()).await.unwrap().unwrap();
    let length = ctx.config.slot_length;
    let mut planned: Vec<_> = reader
        .deliveries(row.id, length)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.delivery)
        .collect();
    drop(reader);
    for delivery in &mut planned {
        delivery.choice.as_mut().expect("both are planned").send_at = now;
    }
    let mut tx = ctx.store.begin().await.unwrap();
    tx.put_decisions(row.id, &planned, length, now).await.unwrap();
    tx.commit().await.unwrap();
    let (_keep, stop) = watch::channel(false);
    dispatch::run(ctx, &stop).await.unwrap();
    let mut posted = listener.posted.lock().unwrap().clone();
    posted.sort_by_key(|body| body["to"].to_string());
    assert_eq!(posted.len(), 2);
    let tokens = |body: &Value| {
        let text = body.to_string();
        let found = text.split("https://l.example.com/l/").skip(1);
        found.map(|rest| rest.split(['"', '\\', ' ']).next().unwrap().to_owned()).collect()
    };
    posted.iter().map(tokens).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_on_and_counts_people_alone() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let tokens = sent(&listener).await;
        assert!(tokens.iter().all(|tokens| tokens.len() == 2), "{tokens:?}");
        let phone = format!("user-agent: {PHONE}\r\n");
        // machines are led on and do not count
        for (method, headers, why) in [
            ("HEAD", phone.clone(), "head"),
            ("GET", format!("{phone}sec-purpose: prefetch\r\n"), "prefetch"),
            ("GET", "user-agent: WhatsApp/2.24\r\n".to_owned(), "preview"),
            (
                "GET",
                "user-agent: Mozilla/5.0 (compatible; Googlebot/2.1)\r\n".to_owned(),
                "crawler",
            ),
            ("GET", String::new(), "program"),
        ] {
            let (status, to) = visit(&listener, method, &tokens[0][0], &headers).await;
            assert_eq!(status, 302, "{why}");
            assert!(to.starts_with("https://shop.example.com/"), "{to}");
        }
        // another person's click is that person's
        let (status, to) = visit(&listener, "GET", &tokens[1][1], &phone).await;
        assert_eq!(status, 302);
        let (_, other) = visit(&listener, "GET", &tokens[1][0], &phone).await;
        let mut led = [to, other];
        led.sort();
        assert_eq!(
            led,
            [
                "https://shop.example.com/a?x=1&utm_source=own&utm_medium=shop&utm_campaign=spring",
                "https://shop.example.com/b?utm_source=us&utm_medium=shop&utm_campaign=spring",
            ]
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        while clicked(&listener, "p2").await.is_none() {
            assert!(Instant::now() < deadline, "the click is not written down");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(clicked(&listener, "p1").await, None);
        let visits = stored(&listener, "p1").await["other"]["link_visit"].clone();
        let mut why: Vec<&str> =
            visits.as_array().unwrap().iter().map(|v| v["uncounted"].as_str().unwrap()).collect();
        why.sort_unstable();
        assert_eq!(why, ["crawler", "head", "prefetch", "preview", "program"]);
        // whoever is forgotten is led on, and nothing of it is kept
        people::forget(&listener.ctx, &"p1".parse().unwrap(), "test").await.unwrap();
        assert_eq!(visit(&listener, "GET", &tokens[0][0], &phone).await.0, 302);
        // nobody makes one up
        let mut forged = tokens[1][0].clone();
        let place = forged.len() - 2..forged.len() - 1;
        let other = if &forged[place.clone()] == "A" { "Q" } else { "A" };
        forged.replace_range(place, other);
        for token in [forged.as_str(), "https:%2f%2fevil.example", "AAAA", "..%2f..%2fetc"] {
            let (status, to) = visit(&listener, "GET", token, &phone).await;
            assert_eq!((status, to.as_str()), (404, ""), "{token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_another_scheme_is_refused() {
    let listener = Listener::start().await;
    for (link, told) in [
        ("javascript:alert(1)", "begins with https:// or http://"),
        ("ftp://shop.example.com/", "begins with https:// or http://"),
        ("shop.example.com", "relative URL"),
        ("https://me:secret@shop.example.com/", "neither user nor password"),
    ] {
        let source = format!(
            "name = \"a\"\nprovider = \"console\"\n[window]\nstart = 2030-03-01T09:00:00\n\
             end = 2030-03-07T21:00:00\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n\
             text = \"{{{{link:{link}}}}}\"\n"
        );
        let problem = campaigns::check(&listener.ctx, &source).await.unwrap_err().to_string();
        assert!(problem.contains(told), "{link}: {problem}");
    }
}
