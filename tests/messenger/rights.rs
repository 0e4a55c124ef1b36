//! Windows and utility templates, and what errors lead to.

use chrono::TimeDelta;
use opportune::model::delivery::{Reason, State};
use opportune::provider::Rejected;
use opportune::store::CampaignStatus;
use opportune::work::{campaigns, plan};

use crate::page::{Scene, name};
use crate::support::on_both;

const UTILITY: &str = "template = \"order\"\nparameters = [\"{{n}}\"]\ndefaults = { n = \"17\" }";
const OFFER: &str = "text = \"A third off, today\"";

#[tokio::test]
async fn utility_goes_by_its_template_to_anybody_and_answers_within_a_day_alone() {
    on_both(async |store| {
        let scene = Scene::new(store, &[("BR", true), ("DE", true), ("BR", false)]).await;
        let utility = scene.due("order", "category = \"utility\"", UTILITY).await;
        scene.send().await;
        assert_eq!(scene.state(utility, 0).await.0, State::Sent);
        assert_eq!(scene.state(utility, 1).await.0, State::Sent);
        assert_eq!(scene.state(utility, 2).await, (State::Refused, Reason::ConsentWithdrawn));
        // promotion is allowed to whoever wrote, for a day
        scene.writes(0, "How much is it?").await;
        scene.advance(TimeDelta::hours(23));
        let first = scene.due("first", "free_form = true", OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(first, 0).await.0, State::Sent);
        scene.advance(TimeDelta::hours(1));
        let late = scene.due("late", "free_form = true", OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(late, 0).await, (State::Refused, Reason::NoPermit));
        assert_eq!(scene.taken(), 3);
        assert_eq!(scene.refused(), [], "the page had to refuse nothing");
    })
    .await;
}

#[tokio::test]
async fn plans_refuse_who_has_no_right_and_keep_to_the_time_of_those_who_have() {
    on_both(async |store| {
        let scene =
            Scene::new(store, &[("BR", true), ("BR", true), ("DE", true), ("KR", true)]).await;
        scene.writes(0, "Oi").await;
        scene.subscribes(1, "offers", TimeDelta::hours(30)).await;
        for index in [2, 3] {
            scene.subscribes(index, "offers", TimeDelta::days(30)).await;
        }
        let head = "free_form = true\ntopic = \"offers\"";
        campaigns::submit(&scene.ctx, &scene.source("sale", head, OFFER), "test").await.unwrap();
        plan::run(&scene.ctx).await.unwrap();
        let mut reader = scene.ctx.store.read().await.unwrap();
        let row = reader.campaign(&name("sale")).await.unwrap().unwrap();
        let rows = reader.deliveries(row.id, crate::page::LENGTH).await.unwrap();
        drop(reader);
        let until = |hours| scene.ctx.clock.now() + TimeDelta::hours(hours);
        for (index, hours) in [(0, 24), (1, 30)] {
            let row = rows.iter().find(|row| row.delivery.recipient == scene.ids[index]).unwrap();
            assert_eq!(row.delivery.state, State::Planned);
            assert!(row.delivery.choice.as_ref().unwrap().send_at < until(hours));
        }
        // whatever they permitted, the channel carries no marketing there
        for index in [2, 3] {
            let state = scene.state(row.id, index).await;
            assert_eq!(state, (State::Refused, Reason::ProviderForbids));
        }
        let head = "topic = \"news\"";
        campaigns::submit(&scene.ctx, &scene.source("news", head, OFFER), "test").await.unwrap();
        plan::run(&scene.ctx).await.unwrap();
        let row = scene.ctx.store.read().await.unwrap().campaign(&name("news")).await.unwrap();
        let state = scene.state(row.unwrap().id, 1).await;
        assert_eq!(state, (State::Refused, Reason::NoPermit), "another subject");
    })
    .await;
}

#[tokio::test]
async fn errors_are_about_the_person_the_window_or_the_account() {
    on_both(async |store| {
        let scene = Scene::new(store, &[("BR", true)]).await;
        let error = |error| scene.page.rules.lock().unwrap().error = error;
        let utility = |n: usize| format!("u{n}");
        let head = "category = \"utility\"";
        error(Some((551, None)));
        let first = scene.due(&utility(1), head, UTILITY).await;
        scene.send().await;
        assert_eq!(scene.state(first, 0).await, (State::Refused, Reason::Suppressed));
        // who writes can be reached again
        scene.writes(0, "Oi").await;
        error(Some((613, None)));
        let second = scene.due(&utility(2), head, UTILITY).await;
        scene.send().await;
        assert_eq!(scene.state(second, 0).await, (State::Planned, Reason::MovedThrottled));
        error(None);
        scene.advance(TimeDelta::seconds(61));
        scene.send().await;
        assert_eq!(scene.state(second, 0).await.0, State::Sent);
        error(Some((190, None)));
        let third = scene.due(&utility(3), head, UTILITY).await;
        scene.send().await;
        assert_eq!(scene.state(third, 0).await.0, State::Planned);
        let status = scene.ctx.store.read().await.unwrap().campaign_status(third).await.unwrap();
        assert_eq!(status, CampaignStatus::Paused);
    })
    .await;
}

#[tokio::test]
async fn a_typed_stop_ends_everything_and_nobody_posts_without_the_secret() {
    on_both(async |store| {
        let scene = Scene::new(store, &[("BR", true)]).await;
        scene.subscribes(0, "offers", TimeDelta::days(30)).await;
        scene.advance(TimeDelta::minutes(1));
        scene.writes(0, "STOP").await;
        let campaign = scene.due("sale", "topic = \"offers\"", OFFER).await;
        scene.send().await;
        assert_eq!(scene.state(campaign, 0).await, (State::Refused, Reason::ConsentWithdrawn));
        assert_eq!(scene.taken(), 0);
        let provider = &scene.ctx.providers[&name("page")];
        assert_eq!(provider.receive(Some("sha256=00"), b"{}"), Err(Rejected::Signature));
        let asked = |token: &str| {
            let token = token.to_owned();
            provider.verify(&move |key| match key {
                "hub.mode" => Some("subscribe".to_owned()),
                "hub.verify_token" => Some(token.clone()),
                _ => Some("9".to_owned()),
            })
        };
        assert_eq!((asked("a-word").as_deref(), asked("another")), (Some("9"), None));
    })
    .await;
}
