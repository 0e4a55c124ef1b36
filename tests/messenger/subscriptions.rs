//! Marketing by subscription: topic, expiry, one message in twelve hours; the ledger says who and about what.

use chrono::TimeDelta;
use opportune::model::delivery::{Reason, State};
use opportune::work::people;
use serde_json::{Value, json};

use crate::page::{Scene, psid};
use crate::support::on_both;

const OFFER: &str = "text = \"A third off, today\"";
const HEAD: &str = "topic = \"offers\"";

async fn ledger(scene: &Scene, index: usize) -> Value {
    let mut reader = scene.ctx.store.read().await.unwrap();
    let person = reader.recipient(&format!("r{index}").parse().unwrap()).await.unwrap().unwrap();
    drop(reader);
    serde_json::to_value(people::ledger(&scene.ctx, person).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_subscription_is_consent_to_its_subject_and_lasts_until_it_ends() {
    on_both(async |store| {
        // the second never agreed to anything else
        let scene = Scene::new(store, &[("BR", true), ("BR", false), ("BR", true)]).await;
        scene.subscribes(1, "offers", TimeDelta::hours(20)).await;
        let entry = &ledger(&scene, 1).await["entries"][0];
        assert_eq!((&entry["provider"], &entry["topic"]), (&"page".into(), &"offers".into()));
        assert_eq!(
            (&entry["change"], &entry["evidence"]),
            (&"granted".into(), &"from the menu".into())
        );
        let first = scene.due("first", HEAD, OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(first, 0).await, (State::Refused, Reason::NoPermit));
        assert_eq!(scene.state(first, 1).await.0, State::Sent);
        // within twelve hours nothing more goes, and the page is not asked
        scene.advance(TimeDelta::hours(11));
        let second = scene.due("second", HEAD, OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(second, 1).await, (State::Planned, Reason::MovedThrottled));
        scene.advance(TimeDelta::minutes(61));
        scene.send().await;
        assert_eq!(scene.state(second, 1).await.0, State::Sent);
        // it has ended by now
        scene.advance(TimeDelta::hours(12));
        let third = scene.due("third", HEAD, OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(third, 1).await, (State::Refused, Reason::NoPermit));
        assert_eq!((scene.taken(), scene.refused()), (2, vec![]));
    })
    .await;
}

#[tokio::test]
async fn who_stops_a_subject_gets_nothing_about_it_and_keeps_the_rest() {
    on_both(async |store| {
        let scene = Scene::new(store, &[("BR", true)]).await;
        scene.subscribes(0, "offers", TimeDelta::days(30)).await;
        scene.advance(TimeDelta::minutes(1));
        scene.stops(0, "offers").await;
        let told = ledger(&scene, 0).await;
        assert_eq!(told["entries"][2]["change"], "withdrawn");
        assert_eq!(told["consented"], true);
        let sale = scene.due("sale", HEAD, OFFER).await;
        let utility = "template = \"order\"\nparameters = [\"17\"]";
        let order = scene.due("order", "category = \"utility\"", utility).await;
        scene.send().await;
        assert_eq!(scene.state(sale, 0).await, (State::Refused, Reason::ConsentWithdrawn));
        assert_eq!(scene.state(order, 0).await.0, State::Sent);
    })
    .await;
}

#[tokio::test]
async fn a_subscription_that_the_channel_does_not_know_is_dropped_and_one_not_used_comes_back() {
    on_both(async |store| {
        let scene = Scene::new(store, &[("BR", true)]).await;
        scene.subscribes(0, "offers", TimeDelta::days(30)).await;
        // it was not taken: it is not used, and goes once the channel has time
        scene.page.rules.lock().unwrap().error = Some((2, None));
        let first = scene.due("first", HEAD, OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(first, 0).await.0, State::Planned);
        scene.page.rules.lock().unwrap().error = None;
        scene.advance(TimeDelta::seconds(16));
        scene.send().await;
        assert_eq!(scene.state(first, 0).await.0, State::Sent);
        scene.advance(TimeDelta::hours(13));
        scene.page.rules.lock().unwrap().error = Some((2_300_004, None));
        let second = scene.due("second", HEAD, OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(second, 0).await, (State::Refused, Reason::NoPermit));
        scene.page.rules.lock().unwrap().error = None;
        let third = scene.due("third", HEAD, OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(third, 0).await, (State::Refused, Reason::NoPermit));
        assert_eq!(scene.refused(), [(2, None), (2_300_004, None)]);
    })
    .await;
}

#[tokio::test]
async fn what_comes_of_messages_is_told_by_their_ids() {
    on_both(async |store| {
        let scene = Scene::new(store, &[("BR", true)]).await;
        scene.subscribes(0, "offers", TimeDelta::days(30)).await;
        scene.due("sale", HEAD, OFFER).await;
        scene.send().await;
        scene.advance(TimeDelta::minutes(3));
        let at = scene.ctx.clock.now().timestamp_millis();
        let delivered = json!([{ "sender": { "id": psid(0) }, "timestamp": at,
            "delivery": { "mids": ["track-0"], "watermark": at } }]);
        assert_eq!(scene.post(delivered).await.applied, 1);
        let answer = json!([{ "sender": { "id": psid(0) }, "timestamp": at, "message": {
            "mid": "m_9", "text": "Quero", "reply_to": { "mid": "track-0" },
            "quick_reply": { "payload": "BUY" } } }]);
        scene.post(answer).await;
        let mut reader = scene.ctx.store.read().await.unwrap();
        let response = reader.messages_of(scene.ids[0]).await.unwrap().remove(0).message.response;
        assert!(response.delivered_at.is_some() && response.replied_at.is_some());
        assert!(response.clicked_at.is_some(), "a button is a click");
        // a receipt of reading names a time: everything before it was read, and nothing after it
        drop(reader);
        let utility = "template = \"order\"\nparameters = [\"17\"]";
        let before = scene.ctx.clock.now();
        scene.advance(TimeDelta::minutes(5));
        scene.due("order", "category = \"utility\"", utility).await;
        scene.send().await;
        let seen = |at: opportune::model::time::Instant| json!([{ "sender": { "id": psid(0) },
            "timestamp": at.timestamp_millis(), "read": { "watermark": at.timestamp_millis() } }]);
        scene.advance(TimeDelta::minutes(5));
        let read = async || {
            let mut reader = scene.ctx.store.read().await.unwrap();
            let messages = reader.messages_of(scene.ids[0]).await.unwrap();
            messages.iter().filter(|row| row.message.response.read_at.is_some()).count()
        };
        scene.post(seen(before)).await;
        assert_eq!(read().await, 1);
        scene.post(seen(scene.ctx.clock.now())).await;
        assert_eq!(read().await, 2);
        let reader = scene.ctx.store.read().await.unwrap();
        // an echo of our own words and odd items change nothing
        let odd = json!([{}, { "sender": { "id": psid(0) }, "message": { "is_echo": true, "mid": "x" } },
            { "optin": {} }, { "sender": 7, "read": { "watermark": 1 } }]);
        drop(reader);
        assert_eq!(scene.post(odd).await.applied, 0);
    })
    .await;
}
