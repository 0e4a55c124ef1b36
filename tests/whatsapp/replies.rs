//! What people write is kept with what it is taken for, and only what is surely a stop withdraws.

use opportune::model::reply::Intent;
use opportune::model::wish::Wishes;
use opportune::store::{Kept, Reply, ReplyFilter};
use opportune::work::replies::ReplyLabel;
use opportune::work::{people, replies};

use crate::scene::*;

/// Messages of persons 1, 2, …, each a text.
fn texts(texts: &[&str], at: Instant) -> Value {
    let item = |(n, text): (usize, &&str)| {
        json!({ "id": format!("wamid.t{n}-{}", at.timestamp()), "type": "text",
            "from": format!("5511{:09}", n + 1), "text": { "body": text },
            "timestamp": at.timestamp().to_string() })
    };
    messages("messages", texts.iter().enumerate().map(item).collect())
}

/// Everything that is kept, the oldest first.
async fn kept(ctx: &Ctx) -> Vec<Reply> {
    let mut found = replies::list(ctx, &ReplyFilter::default(), None, 100).await.unwrap().0;
    found.reverse();
    found
}

async fn consented(scene: &Scene, n: usize) -> bool {
    let key = format!("r{n}").parse().unwrap();
    scene.ctx.store.read().await.unwrap().recipient(&key).await.unwrap().unwrap().consented
}

const TEXTS: [&str; 6] = [
    "please stop sending me these messages",
    "not right now, maybe later",
    "This is an automatic reply: I am out of the office until Monday.",
    "how much is shipping to Recife?",
    "I changed my number, stop using the old one",
    "STOP",
];

#[tokio::test]
async fn a_sure_stop_withdraws_a_possible_one_waits_and_not_now_pauses() {
    on_both(async |store| {
        let scene = Scene::new(store, 6, "canary = 0\n").await;
        let body = texts(&TEXTS, noon() - TimeDelta::minutes(1));
        webhook(&scene.ctx, &body).await;
        webhook(&scene.ctx, &body).await;
        let found = kept(&scene.ctx).await;
        let intents: Vec<Intent> = found.iter().map(|reply| reply.intent).collect();
        assert_eq!(
            intents[..4],
            [Intent::Stop, Intent::NotNow, Intent::Automatic, Intent::Question]
        );
        assert_eq!(intents[5], Intent::Stop);
        let waiting: Vec<bool> = found.iter().map(|reply| reply.needs_human).collect();
        assert_eq!(waiting, [false, false, false, false, true, false], "{found:?}");
        assert!(found.iter().all(|reply| reply.language == "en"), "{found:?}");
        assert_eq!(found[3].text, TEXTS[3]);
        assert_eq!(found[3].recipient.as_str(), "r4");
        // consent ends by the sure text and by the stop word; the ledger says which
        let mut allowed = Vec::new();
        for n in 1..=6 {
            allowed.push(consented(&scene, n).await);
        }
        assert_eq!(allowed, [false, true, true, true, true, false]);
        let mut reader = scene.ctx.store.read().await.unwrap();
        for (n, source) in [(0, "wa reply"), (5, "wa stop word")] {
            let ledger = reader.ledger(scene.ids[n]).await.unwrap();
            assert_eq!((ledger.len(), ledger[1].source.as_str()), (2, source));
            assert_eq!(ledger[1].at, noon() - TimeDelta::minutes(1));
        }
        drop(reader);
        // nothing goes to whoever asked to wait; who wrote something else gets the message
        send(&scene.ctx).await;
        assert_eq!(scene.graph.calls().len(), 2);
        plan::run(&scene.ctx).await.unwrap();
        let state = async |n: usize| state_of(&scene.ctx, scene.campaign, scene.ids[n - 1]).await;
        assert_eq!(state(2).await, (State::Refused, Reason::AskedToWait));
        assert_eq!(state(3).await, (State::Planned, Reason::AskedToWait));
        let row =
            scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
        let explained = async |n: usize| {
            let key = format!("r{n}").parse().unwrap();
            let person =
                scene.ctx.store.read().await.unwrap().recipient(&key).await.unwrap().unwrap();
            plan::explain_in_words(&scene.ctx, row.clone(), &person)
                .await
                .unwrap()
                .unwrap()
                .explanation
        };
        assert!(explained(2).await.contains("the person asked for no message yet"));
        let told = explained(3).await;
        assert!(told.contains("nothing before Wed 2027-03-03 11:59 on their clock"), "{told}");
        let delivery = |id| async move { scene_delivery(&scene.ctx, scene.campaign, id).await };
        let slot = delivery(scene.ids[2]).await.choice.unwrap().send_at;
        assert!(slot >= noon() + TimeDelta::hours(24) - TimeDelta::minutes(1), "{slot}");
    })
    .await;
}

async fn scene_delivery(
    ctx: &Ctx,
    campaign: i64,
    id: RecipientId,
) -> opportune::model::delivery::Delivery {
    let mut reader = ctx.store.read().await.unwrap();
    reader.delivery(campaign, id, LENGTH).await.unwrap().unwrap().delivery
}

#[tokio::test]
async fn a_reply_is_put_to_the_campaign_that_it_answers() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "canary = 0\n").await;
        webhook(&scene.ctx, &texts(&["hello"], noon() - TimeDelta::minutes(5))).await;
        send(&scene.ctx).await;
        scene.advance(TimeDelta::hours(2));
        let named = inbound("text", Some("wamid.0"), noon() + TimeDelta::minutes(3));
        webhook(&scene.ctx, &messages("messages", json!([named]))).await;
        let later = texts(&["", "when do you open?"], noon() + TimeDelta::hours(1));
        webhook(&scene.ctx, &later).await;
        scene.advance(TimeDelta::days(5));
        webhook(&scene.ctx, &texts(&["", "", "hi again"], noon() + TimeDelta::days(5))).await;
        let found = kept(&scene.ctx).await;
        let campaigns: Vec<_> = found.iter().map(|reply| reply.campaign.as_deref()).collect();
        assert_eq!(campaigns, [None, Some("c"), Some("c"), None], "{found:?}");
        // filters, and pages from the newest to the oldest
        let of = async |filter: ReplyFilter| {
            replies::list(&scene.ctx, &filter, None, 100).await.unwrap().0.len()
        };
        let all = ReplyFilter::default();
        assert_eq!(of(ReplyFilter { campaign: Some(name("c")), ..all.clone() }).await, 2);
        assert_eq!(of(ReplyFilter { intent: Some(Intent::Question), ..all.clone() }).await, 2);
        let since = Some(noon() + TimeDelta::minutes(30));
        assert_eq!(of(ReplyFilter { since, ..all.clone() }).await, 2);
        let (first, next) = replies::list(&scene.ctx, &all, None, 3).await.unwrap();
        assert_eq!(first[0].text, "hi again");
        let (last, end) = replies::list(&scene.ctx, &all, next, 3).await.unwrap();
        assert_eq!((last[0].text.as_str(), end), ("hello", None));
    })
    .await;
}

#[tokio::test]
async fn a_label_corrects_and_what_comes_next_is_judged_by_it() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "").await;
        let text = "zorgle my flumpet";
        webhook(&scene.ctx, &texts(&[text, TEXTS[1]], noon())).await;
        let found = kept(&scene.ctx).await;
        assert_ne!(found[0].intent, Intent::Complaint);
        let label = async |id: i64, intent| {
            let label = ReplyLabel { intent, wishes: Wishes::default() };
            replies::label(&scene.ctx, id, &label, "test").await.unwrap()
        };
        let told = label(found[0].id, Intent::Complaint).await.unwrap();
        assert_eq!((told.label, told.needs_human), (Some(Intent::Complaint), false));
        assert_eq!(told.intent, found[0].intent);
        scene.advance(TimeDelta::minutes(1));
        webhook(&scene.ctx, &texts(&["zorgle the flumpet!!"], scene.ctx.clock.now())).await;
        assert_eq!(kept(&scene.ctx).await[2].intent, Intent::Complaint);
        // a pause ends with the label that denies it, and comes with the one that says it
        let paused = async || {
            let now = scene.ctx.clock.now();
            scene.ctx.store.read().await.unwrap().reply_pauses(None, now).await.unwrap()
        };
        assert_eq!(paused().await[&scene.ids[1]], noon() + TimeDelta::days(30));
        label(found[1].id, Intent::Question).await.unwrap();
        assert!(paused().await.is_empty());
        label(found[1].id, Intent::Automatic).await.unwrap();
        assert_eq!(paused().await[&scene.ids[1]], noon() + TimeDelta::days(1));
        // what the person states in it, plans obey
        let days = ["Sun".to_owned()];
        let wishes = Wishes::from_words(Some(&days), None, None).unwrap();
        let stated = ReplyLabel { intent: Intent::Other, wishes: wishes.clone() };
        replies::label(&scene.ctx, found[0].id, &stated, "test").await.unwrap().unwrap();
        let key = &found[0].recipient;
        let person = scene.ctx.store.read().await.unwrap().recipient(key).await.unwrap();
        assert_eq!(person.unwrap().profile.wishes, wishes);
        // a stop that a person recognizes withdraws
        assert!(consented(&scene, 1).await);
        label(found[0].id, Intent::Stop).await.unwrap();
        assert!(!consented(&scene, 1).await);
        let mut reader = scene.ctx.store.read().await.unwrap();
        let ledger = reader.ledger(scene.ids[0]).await.unwrap();
        assert_eq!(ledger[1].source, "wa reply, labelled");
        drop(reader);
        assert_eq!(label(999, Intent::Stop).await, None);
        let deeds = opportune::work::audit::last(&scene.ctx, 1).await.unwrap();
        assert_eq!((deeds[0].action.as_str(), deeds[0].detail.as_str()), ("label reply", "stop"));
    })
    .await;
}

#[tokio::test]
async fn texts_go_with_the_person_and_with_their_time() {
    on_both(async |store| {
        let scene = Scene::new(store, 3, "[retention]\nreplies = \"60days\"\n").await;
        webhook(&scene.ctx, &texts(&[TEXTS[1], TEXTS[3]], noon())).await;
        // nothing is kept of whom nobody knows
        webhook(&scene.ctx, &texts(&["", "", "", "hello, who is this?"], noon())).await;
        assert_eq!(kept(&scene.ctx).await.len(), 2);
        let key = "r1".parse().unwrap();
        let person = scene.ctx.store.read().await.unwrap().recipient(&key).await.unwrap().unwrap();
        let stored = people::stored(&scene.ctx, person).await.unwrap();
        let stored = serde_json::to_value(stored).unwrap();
        assert_eq!(stored["other"]["reply"][0]["text"], TEXTS[1]);
        assert_eq!(stored["other"]["reply_pause"].as_array().unwrap().len(), 1);
        people::forget(&scene.ctx, &key, "test").await.unwrap().unwrap();
        let left = kept(&scene.ctx).await;
        assert_eq!((left.len(), left[0].recipient.as_str()), (1, "r2"));
        let now = scene.ctx.clock.now();
        let mut reader = scene.ctx.store.read().await.unwrap();
        assert!(reader.reply_pauses(None, now).await.unwrap().is_empty());
        drop(reader);
        scene.advance(TimeDelta::days(61));
        let pruned =
            opportune::work::prune::run(&scene.ctx, opportune::work::prune::Mode::Delete).await;
        let pruned = pruned.unwrap();
        assert_eq!((pruned[0].what, pruned[0].rows), (Kept::Replies, 1));
        assert!(kept(&scene.ctx).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_digest_counts_and_tells_what_is_asked_most() {
    on_both(async |store| {
        let scene = Scene::new(store, 6, "canary = 0\n").await;
        webhook(
            &scene.ctx,
            &texts(&["thank you so much", "thanks!"], noon() - TimeDelta::hours(30)),
        )
        .await;
        send(&scene.ctx).await;
        scene.advance(TimeDelta::hours(2));
        let asked = [
            "how much is shipping?",
            "are you open on sunday?",
            "how much is the shipping to Natal?",
            "how much is shipping please?",
            "thanks a lot",
        ];
        webhook(&scene.ctx, &texts(&asked, noon() + TimeDelta::hours(1))).await;
        let digest = replies::digest(&scene.ctx, None).await.unwrap();
        assert_eq!((digest.replies, digest.needs_human), (7, 0));
        let row = |intent| *digest.intents.iter().find(|row| row.intent == intent).unwrap();
        let (questions, thanks) = (row(Intent::Question), row(Intent::Thanks));
        assert_eq!((questions.replies, questions.last_day, questions.day_before), (4, 4, 0));
        assert_eq!((thanks.replies, thanks.last_day, thanks.day_before), (3, 1, 2));
        let of: Vec<_> =
            digest.campaigns.iter().map(|c| (c.campaign.as_deref(), c.replies)).collect();
        assert_eq!(of, [(Some("c"), 5), (None, 2)]);
        assert_eq!(digest.questions[0].replies, 3);
        assert!(digest.questions[0].text.contains("shipping"));
        let since = Some(noon());
        assert_eq!(replies::digest(&scene.ctx, since).await.unwrap().replies, 5);
    })
    .await;
}
