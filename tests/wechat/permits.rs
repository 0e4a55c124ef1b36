//! Permits that a message uses up, templates of official accounts, and what the channel forbids.

use chrono::TimeDelta;
use opportune::model::delivery::{Reason, State};
use opportune::provider::Rejected;
use opportune::store::CampaignStatus;
use opportune::work::{campaigns, people, plan};
use serde_json::json;

use crate::account::{Scene, TEMPLATE, name, openid, proof};
use crate::support::on_both;

fn order() -> String {
    format!(
        "template = \"{TEMPLATE}\"\nparameters = [\"thing1={{{{n}}}}\"]\ndefaults = {{ n = \"Order 17\" }}"
    )
}

const UTILITY: &str = "category = \"utility\"";

#[tokio::test]
async fn a_permit_is_good_for_one_message_and_the_ledger_tells_of_it() {
    on_both(async |store| {
        let scene = Scene::new(store, "mini", 2).await;
        scene.permits(0).await;
        let first = scene.due("first", UTILITY, &order()).await;
        let second = scene.due("second", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(first, 0).await.0, State::Sent);
        assert_eq!(scene.state(second, 0).await, (State::Refused, Reason::NoPermit));
        assert_eq!(scene.state(first, 1).await, (State::Refused, Reason::NoPermit));
        // two permits are two messages
        for minutes in [1, 2] {
            scene.advance(TimeDelta::minutes(minutes));
            scene.permits(0).await;
        }
        let mut sent = 0;
        for n in 0..3 {
            let campaign = scene.due(&format!("more{n}"), UTILITY, &order()).await;
            scene.send().await;
            sent += u32::from(scene.state(campaign, 0).await.0 == State::Sent);
        }
        assert_eq!((sent, scene.taken()), (2, 3));
        assert!(scene.refused().is_empty(), "the account had to refuse nothing");
        let mut reader = scene.ctx.store.read().await.unwrap();
        let person = reader.recipient(&"r0".parse().unwrap()).await.unwrap().unwrap();
        drop(reader);
        let told = people::ledger(&scene.ctx, person).await.unwrap();
        let told = serde_json::to_value(told).unwrap();
        let last = &told["entries"][3];
        assert_eq!((&last["topic"], &last["provider"]), (&TEMPLATE.into(), &"wx".into()));
    })
    .await;
}

#[tokio::test]
async fn a_permit_comes_back_where_nothing_was_sent_and_goes_where_the_person_took_it_back() {
    on_both(async |store| {
        let scene = Scene::new(store, "mini", 1).await;
        scene.permits(0).await;
        let code = |code| scene.account.rules.lock().unwrap().code = code;
        code(Some(-1));
        let campaign = scene.due("first", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(campaign, 0).await.0, State::Planned);
        code(None);
        scene.advance(TimeDelta::seconds(5));
        scene.send().await;
        assert_eq!(scene.state(campaign, 0).await.0, State::Sent);
        // the same word that is posted twice permits one message
        scene.advance(TimeDelta::minutes(1));
        scene.permits(0).await;
        scene.chooses(0, "subscribe_msg_popup_event", "SubscribeMsgPopupEvent", "accept").await;
        scene.advance(TimeDelta::minutes(1));
        scene.chooses(0, "subscribe_msg_change_event", "SubscribeMsgChangeEvent", "reject").await;
        let next = scene.due("next", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(next, 0).await, (State::Refused, Reason::ConsentWithdrawn));
        // the channel knows better: what it does not take by a permit ends the permit
        scene.advance(TimeDelta::minutes(1));
        scene.permits(0).await;
        code(Some(43_101));
        let third = scene.due("third", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(third, 0).await, (State::Refused, Reason::NoPermit));
        code(None);
        let fourth = scene.due("fourth", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(fourth, 0).await, (State::Refused, Reason::NoPermit));
        assert_eq!(scene.taken(), 1);
    })
    .await;
}

#[tokio::test]
async fn marketing_by_template_is_refused_for_each_person_planned_or_due() {
    on_both(async |store| {
        for service in ["official", "mini"] {
            let store = store.clone();
            let scene = Scene::new(store, service, 2).await;
            scene.advance(TimeDelta::minutes(if service == "mini" { 30 } else { 0 }));
            scene.permits(0).await;
            let due = scene.due(&format!("{service}-due"), "", &order()).await;
            scene.send().await;
            let planned = format!("{service}-planned");
            campaigns::submit(&scene.ctx, &scene.source(&planned, "", &order()), "t")
                .await
                .unwrap();
            plan::run(&scene.ctx).await.unwrap();
            let mut reader = scene.ctx.store.read().await.unwrap();
            let row = reader.campaign(&name(&planned)).await.unwrap().unwrap();
            drop(reader);
            for index in [0, 1] {
                for campaign in [due, row.id] {
                    let state = scene.state(campaign, index).await;
                    assert_eq!(state, (State::Refused, Reason::ProviderForbids), "{service}");
                }
            }
            assert_eq!(scene.taken() + scene.refused().len(), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn official_accounts_write_to_followers_and_renew_their_token() {
    on_both(async |store| {
        let scene = Scene::new(store, "official", 2).await;
        let first = scene.due("first", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(first, 1).await.0, State::Sent);
        assert_eq!(scene.account.rules.lock().unwrap().asked, 1, "one token for both");
        // it ended: the message is sent all the same, with a new one
        scene.account.rules.lock().unwrap().token += 1;
        let second = scene.due("second", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(second, 0).await.0, State::Sent);
        assert_eq!(scene.state(second, 1).await.0, State::Sent);
        assert_eq!(scene.account.rules.lock().unwrap().asked, 2);
        assert_eq!(scene.taken(), 4);
        // what came of it is told by the number of the message
        scene.advance(TimeDelta::minutes(1));
        let end = |id: u32, status: &str| {
            format!(
                "<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event><MsgID>{id}</MsgID>\
                 <Status><![CDATA[{status}]]></Status>"
            )
        };
        for (id, status) in [(1, "success"), (2, "failed:user block")] {
            assert_eq!(scene.happens(0, &end(id, status)).await.applied, 1);
        }
        let states = [scene.state(first, 0).await, scene.state(first, 1).await];
        assert!(states.contains(&(State::Failed, Reason::Suppressed)), "{states:?}");
        // whoever unfollows wants no more of this account
        scene.happens(0, "<Event><![CDATA[unsubscribe]]></Event>").await;
        let third = scene.due("third", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(third, 0).await, (State::Refused, Reason::ConsentWithdrawn));
        let mut reader = scene.ctx.store.read().await.unwrap();
        let others = reader.without_consent((&name("mail"), None), &scene.ids).await.unwrap();
        assert!(others.is_empty(), "other channels stay");
    })
    .await;
}

#[tokio::test]
async fn quotas_wait_until_they_begin_anew_and_a_wrong_secret_stops_the_account() {
    on_both(async |store| {
        let scene = Scene::new(store, "official", 1).await;
        scene.account.rules.lock().unwrap().code = Some(45_009);
        let first = scene.due("first", UTILITY, &order()).await;
        scene.send().await;
        assert_eq!(scene.state(first, 0).await, (State::Planned, Reason::MovedThrottled));
        let mut reader = scene.ctx.store.read().await.unwrap();
        let until = reader.paused_until(&name("wx"), scene.ctx.clock.now()).await.unwrap();
        drop(reader);
        assert_eq!(until.unwrap().to_rfc3339(), "2027-03-02T16:00:00+00:00");
        scene.account.rules.lock().unwrap().code = Some(48_004);
        scene.advance(TimeDelta::hours(5));
        let second = scene.due("second", UTILITY, &order()).await;
        scene.send().await;
        let status = scene.ctx.store.read().await.unwrap().campaign_status(second).await.unwrap();
        assert_eq!(status, CampaignStatus::Paused);
        let provider = &scene.ctx.providers[&name("wx")];
        let body = "<xml></xml>".as_bytes();
        for forged in [None, Some(""), Some(&*proof("another")), Some("signature=")] {
            assert_eq!(provider.receive(forged, body), Err(Rejected::Signature));
        }
        let odd: [&[u8]; 5] = [b"", b"<xml>", b"{\"FromUserName\":1", b"<xml><a/></xml>", &[0xff; 9]];
        for odd in odd {
            let told = provider.receive(Some(&proof("aWord")), odd);
            assert!(matches!(told, Err(Rejected::Body(_))), "{odd:?}");
        }
        let post = json!({ "FromUserName": openid(0), "CreateTime": 1_803_902_400, "MsgType": "event",
            "Event": "subscribe_msg_popup_event", "List": [
                { "TemplateId": TEMPLATE, "SubscribeStatusString": "accept", "PopupScene": "0" }] });
        assert_eq!(scene.post(&post.to_string()).await.applied, 1, "mini programs may post JSON");
    })
    .await;
}
