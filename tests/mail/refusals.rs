//! What the server's replies lead to.

use chrono::TimeDelta;
use opportune::model::delivery::{Reason, State};
use opportune::store::CampaignStatus;

use crate::scene::{MailServer, Scene, name, noon, send, settings, sqlite};
use crate::support::{self, on_both};

async fn status(scene: &Scene) -> CampaignStatus {
    scene.ctx.store.read().await.unwrap().campaign_status(scene.campaign).await.unwrap()
}

/// What people should see to, by code.
async fn alerts(scene: &Scene) -> Vec<(String, String)> {
    let mut reader = scene.ctx.store.read().await.unwrap();
    let alerts = reader.alerts(scene.ctx.clock.now()).await.unwrap();
    alerts.into_iter().map(|alert| (alert.code, alert.what)).collect()
}

#[tokio::test]
async fn each_reply_is_about_whom_it_is_about() {
    on_both(async |store| {
        let addresses = [
            "ana@example.com",
            "r550-5.1.1@example.com",
            "r552-5.2.2@example.com",
            "r450-4.2.0@example.com",
            "d554-5.7.1@example.com",
            "grey@example.com",
            "bia@example.com",
            "no mail address",
        ];
        let scene = Scene::new(store, &addresses).await;
        send(&scene.ctx).await;
        assert_eq!(scene.state(0).await.0, State::Sent);
        assert_eq!(scene.state(1).await, (State::Refused, Reason::Suppressed));
        assert_eq!(scene.state(2).await, (State::Refused, Reason::RecipientRefused));
        assert_eq!(scene.state(3).await, (State::Planned, Reason::MovedThrottled));
        assert_eq!(scene.state(4).await, (State::Failed, Reason::ProviderFailure));
        assert_eq!(scene.state(5).await, (State::Planned, Reason::MovedThrottled));
        assert_eq!(scene.state(6).await.0, State::Sent);
        assert_eq!(scene.state(7).await, (State::Refused, Reason::BadAddress));
        // of the address alone that is dead; and consent is another matter
        assert_eq!(scene.suppressed().await, [(1, "550 5.1.1".to_owned())].into());
        let mut reader = scene.ctx.store.read().await.unwrap();
        let without = reader.without_consent((&name("mail"), None), &scene.ids).await.unwrap();
        drop(reader);
        assert!(without.is_empty());
        // after the wait the one who was greylisted gets it, the busy one is asked again
        scene.advance(TimeDelta::seconds(61));
        send(&scene.ctx).await;
        assert_eq!(scene.state(5).await.0, State::Sent);
        assert_eq!(scene.state(3).await, (State::Planned, Reason::MovedThrottled));
        scene.advance(TimeDelta::seconds(61));
        send(&scene.ctx).await;
        let mut reader = scene.ctx.store.read().await.unwrap();
        let row =
            reader.delivery(scene.campaign, scene.ids[3], crate::scene::LENGTH).await.unwrap();
        assert_eq!(row.unwrap().attempts, 2, "the second wait is four times as long");
        assert_eq!(scene.server.mails().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_busy_or_away_holds_everybody_up_and_nobody_fails() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, &["ana@example.com", "bia@example.com"]).await;
    scene.server.answer_senders("451 4.3.0 too busy");
    send(&scene.ctx).await;
    for index in [0, 1] {
        assert_eq!(scene.state(index).await.0, State::Planned);
    }
    assert_eq!(status(&scene).await, CampaignStatus::Active);
    std::fs::remove_file(scene.server.dir.path().join("sender")).unwrap();
    send(&scene.ctx).await;
    assert_eq!(scene.server.mails().len(), 0, "the minute is not over");
    scene.advance(TimeDelta::seconds(61));
    send(&scene.ctx).await;
    assert_eq!(scene.server.mails().len(), 2);

    let (_dir, store) = sqlite().await;
    let Scene { server, ctx, ids, campaign, dir: _dir } =
        Scene::new(store, &["ana@example.com"]).await;
    drop(server);
    send(&ctx).await;
    let state = crate::scene::state_of(&ctx, campaign, ids[0]).await;
    assert_eq!(state.0, State::Planned, "nothing was sent, so nothing is in doubt");
}

#[tokio::test]
async fn a_connection_that_is_lost_after_the_content_leaves_doubt_and_no_second_mail() {
    let (_dir, store) = sqlite().await;
    let addresses = ["drop@example.com", "silent@example.com", "ana@example.com"];
    let more = "timeout = \"2s\"\n";
    let scene = Scene::with(store, &addresses, more, crate::scene::VARIANT).await;
    send(&scene.ctx).await;
    assert_eq!(scene.state(0).await, (State::InDoubt, Reason::AnswerLost));
    assert_eq!(scene.state(1).await, (State::InDoubt, Reason::AnswerLost));
    assert_eq!(scene.state(2).await.0, State::Sent);
    scene.advance(TimeDelta::minutes(5));
    send(&scene.ctx).await;
    // the server had taken both, once
    assert_eq!(scene.server.mails().len(), 3);
}

#[tokio::test]
async fn a_sender_that_is_refused_and_a_wrong_password_stop_the_provider_and_ask_a_human() {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, &["ana@example.com", "bia@example.com"]).await;
    scene.server.answer_senders("550 5.7.1 you may not");
    send(&scene.ctx).await;
    assert_eq!(status(&scene).await, CampaignStatus::Paused);
    assert_eq!(scene.state(0).await.0, State::Planned);
    let (code, what) = alerts(&scene).await.remove(0);
    assert_eq!(code, "550 5.7.1");
    assert!(what.contains("from"), "{what}");

    let (_dir, store) = sqlite().await;
    let mut scene = Scene::new(store, &["ana@example.com"]).await;
    scene.server = MailServer::start(&["--user", "shop", "right"]);
    for (password, wanted) in [("wrong", CampaignStatus::Paused), ("right", CampaignStatus::Active)]
    {
        std::fs::write(scene.dir.path().join("password"), password).unwrap();
        let url = format!("smtp://shop@127.0.0.1:{}", scene.server.port);
        let file = scene.dir.path().join("password");
        let more = format!("password = {{ file = \"{}\" }}\n", file.display());
        let config = settings(&url, scene.dir.path(), &more);
        let clock = opportune::clock::Clock::starting_at(noon());
        scene.ctx = support::ctx(scene.ctx.store.clone(), config, clock);
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let paused = [CampaignStatus::Paused];
        tx.set_campaign_status(scene.campaign, &paused, CampaignStatus::Active).await.unwrap();
        tx.commit().await.unwrap();
        send(&scene.ctx).await;
        assert_eq!(status(&scene).await, wanted, "{password}");
    }
    let mails = scene.server.mails();
    assert_eq!(mails["ana@example.com"].envelope["user"], "shop");
}
