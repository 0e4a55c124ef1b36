//! Answers: five within 48 hours of a person's word, and then none.

use chrono::TimeDelta;
use opportune::model::delivery::{Reason, State};
use opportune::work::campaigns;

use crate::account::Scene;
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
