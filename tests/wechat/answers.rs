//! Answers: five within 48 hours of a person's word, and then none.

use chrono::TimeDelta;
use opportune::model::delivery::{Reason, State};
use opportune::provider::Meter;
use opportune::web;
use opportune::work::campaigns;
use opportune::work::tasks::Tasks;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::account::{Scene, openid, proof};
use crate::support::on_both;

const ANSWER: &str = "text = \"We open at nine\"";

#[tokio::test]
async fn five_answers_go_within_two_days_of_a_word_and_the_next_word_counts_anew() {
    on_both(async |store| {
        let scene = Scene::new(store, "official", 2).await;
        scene.writes(0, "When do you open?").await;
        let mut sent = Vec::new();
        for n in 0..6 {
            let campaign = scene.due(&format!("a{n}"), "free_form = true", ANSWER).await;
            scene.send().await;
            sent.push(scene.state(campaign, 0).await);
            let other = scene.state(campaign, 1).await;
            assert_eq!(other, (State::Refused, Reason::NoPermit), "who never wrote");
        }
        assert!(sent[..5].iter().all(|(state, _)| *state == State::Sent), "{sent:?}");
        assert_eq!(sent[5], (State::Refused, Reason::NoPermit));
        scene.advance(TimeDelta::hours(1));
        scene.writes(0, "Thank you").await;
        scene.advance(TimeDelta::hours(47));
        let last = scene.due("last", "free_form = true", ANSWER).await;
        scene.send().await;
        assert_eq!(scene.state(last, 0).await.0, State::Sent);
        scene.advance(TimeDelta::hours(1));
        let late = scene.due("late", "free_form = true", ANSWER).await;
        scene.send().await;
        assert_eq!(scene.state(late, 0).await, (State::Refused, Reason::NoPermit));
        assert_eq!((scene.taken(), scene.refused()), (6, vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_campaign_that_wechat_cannot_send_is_refused_before_it_is_stored() {
    on_both(async |store| {
        let scene = Scene::new(store, "mini", 0).await;
        for (head, variant, wanted) in [
            ("", "text = \"a\"", "template: it is missing"),
            ("free_form = true", "template = \"a\"", "text: it is missing"),
            ("", "template = \"a\"\nparameters = [\"{{n}}\"]", "such as thing1={{name}}"),
        ] {
            let source = scene.source("c", head, variant);
            let error = campaigns::check(&scene.ctx, &source).await.unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_listener_takes_the_proof_from_the_query_and_says_what_the_channel_wants_to_hear() {
    on_both(async |store| {
        let scene = Scene::new(store, "official", 1).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let (mut ctx, meter) = (scene.ctx.clone(), Meter::default());
        ctx.env.providers = Arc::new(meter.over(&ctx.env.providers));
        let serving = tokio::spawn(web::serve(ctx, meter, Tasks::default(), listener, stopped));
        let ask = async |method: &str, query: &str, body: &str| {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let request = format!(
                "{method} /webhooks/wx?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
            (status, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
        };
        let (good, bad) = (proof("aWord"), proof("another"));
        let asked = ask("GET", &format!("{good}&echostr=77"), "").await;
        assert_eq!(asked, (200, "77".to_owned()));
        assert_eq!(ask("GET", &format!("{bad}&echostr=77"), "").await.0, 403);
        let word = format!(
            "<xml><FromUserName>{}</FromUserName><CreateTime>{}</CreateTime><MsgType>text</MsgType>\
             <Content>Oi</Content><MsgId>1</MsgId></xml>",
            openid(0),
            scene.ctx.clock.now().timestamp()
        );
        assert_eq!(ask("POST", &bad, &word).await.0, 401);
        assert_eq!(ask("POST", "", &word).await.0, 401);
        assert_eq!(ask("POST", &good, &word).await, (200, "success".to_owned()));
        let name = crate::account::name("wx");
        let mut reader = scene.ctx.store.read().await.unwrap();
        let windows = reader.service_windows(&name, Some(&scene.ids)).await.unwrap();
        assert_eq!(windows[&scene.ids[0]], scene.ctx.clock.now() + TimeDelta::hours(48));
        drop(reader);
        stop.send_replace(true);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(10), serving).await;
    })
    .await;
}
