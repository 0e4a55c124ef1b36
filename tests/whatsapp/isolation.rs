//! One bad row, one person, one provider or one post keeps nobody else back.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use opportune::provider::{Event, Update, UpdateOf};
use opportune::store::Claim;
use opportune::work::learn::{self, Depth};
use opportune::work::people;

use crate::scene::*;
use crate::support::{damage, sent};

#[tokio::test]
async fn a_campaign_and_evidence_that_cannot_be_read_keep_nobody_else_back() {
    const WINDOW: &str = "[window]\nstart = 2027-03-03T08:00:00\nend = 2027-03-04T20:00:00\n";
    let dir = tempfile::TempDir::new().unwrap();
    let file = format!("sqlite://{}", dir.path().join("test.db").display());
    for url in [file, Postgres::shared().database()] {
        let store = Store::open(&url, Create::IfMissing).await.unwrap();
        let mut scene =
            Scene::new(store, 3, "canary = 0\n[provider.gone]\nkind = \"console\"\n").await;
        let broken = due(&scene.ctx, "broken", "", VARIANT, &scene.ids).await;
        for (name, provider) in [("lost", "gone"), ("later", "wa")] {
            let source = format!(
                "name = \"{name}\"\nprovider = \"{provider}\"\n{FALLBACK}{WINDOW}{VARIANT}"
            );
            campaigns::submit(&scene.ctx, &source, "test").await.unwrap();
        }
        learn::run(&scene.ctx, None, Depth::Refresh, |_, _| {}).await.unwrap();
        let mut tx = scene.ctx.store.begin().await.unwrap();
        tx.put_evidence(&[(scene.ids[0], &[255, 0, 1])]).await.unwrap();
        tx.commit().await.unwrap();
        damage(&url, "UPDATE campaign SET source = 'name = 1' WHERE name = 'broken'").await;
        // a daemon that was started since, whose settings have one provider less
        let store = Store::open(&url, Create::No).await.unwrap();
        let mut settings = (*scene.ctx.config).clone();
        settings.providers.remove(&name("gone"));
        scene.ctx = ctx(store, settings, scene.ctx.clock.clone());
        let ctx = &scene.ctx;

        send(ctx).await;
        assert_eq!(scene.graph.calls().len(), 3);
        plan::run(ctx).await.unwrap();
        let later = ctx.store.read().await.unwrap().campaign(&name("later")).await.unwrap();
        let later = later.unwrap();
        let counts = states(ctx, later.id).await;
        assert_eq!(counts.values().sum::<u64>(), 3, "{counts:?}");
        assert!(counts.keys().all(|(state, _)| *state == State::Planned), "{counts:?}");
        maintenance::run(ctx).await.unwrap();
        let read = |n: usize| Update {
            of: UpdateOf::Ours(opportune::model::delivery::message_key(&name("c"), scene.ids[n])),
            event: Event::Read,
            at: noon(),
            names: Vec::new(),
        };
        let received = receive::apply(ctx, &name("wa"), vec![read(0), read(1)]).await.unwrap();
        assert_eq!(received.applied, 2);
        learn::run(ctx, None, Depth::Refresh, |_, _| {}).await.unwrap();
        // what is damaged is told of, and is not touched until somebody has seen to it
        let mut reader = ctx.store.read().await.unwrap();
        let found = reader.open_campaigns().await.unwrap();
        assert_eq!(found.broken.len(), 1, "{:?}", found.broken);
        assert_eq!(reader.state_counts(broken).await.unwrap()[0].people, 3);
        let evidence = reader.evidence_of(&scene.ids[..1]).await.unwrap();
        assert_eq!(evidence[&scene.ids[0]], [255, 0, 1]);
        drop(reader);
        learn::run(ctx, None, Depth::Full, |_, _| {}).await.unwrap();
        let evidence = ctx.store.read().await.unwrap().evidence_of(&scene.ids[..1]).await.unwrap();
        assert!(evidence[&scene.ids[0]].len() > 3, "it is not remade");
        scene.ctx.store.close().await;
    }
}

#[tokio::test]
async fn who_is_forgotten_while_their_batch_is_under_way_takes_no_answer_along() {
    on_both(async |store| {
        let scene = Scene::new(store, 30, "canary = 0\n").await;
        scene
            .send_during(30, async || {
                people::forget(&scene.ctx, &"r7".parse().unwrap(), "test").await.unwrap().unwrap();
            })
            .await;
        let counts = states(&scene.ctx, scene.campaign).await;
        assert_eq!(counts, [((State::Sent, Reason::BestSlot), 29)].into());
        let mut reader = scene.ctx.store.read().await.unwrap();
        assert!(reader.rows_about(scene.ids[6]).await.unwrap().is_empty());
        assert!(reader.claimed(scene.campaign).await.unwrap().is_empty());
        drop(reader);
        scene.advance(TimeDelta::hours(1));
        maintenance::run(&scene.ctx).await.unwrap();
        let counts = states(&scene.ctx, scene.campaign).await;
        assert_eq!(counts, [((State::Sent, Reason::BestSlot), 29)].into());
    })
    .await;
}

fn template_news(template: usize, event: &str) -> Value {
    change(
        "message_template_status_update",
        json!({ "event": event, "message_template_id": template,
            "message_template_name": format!("promo{template}"),
            "message_template_language": "pt_BR", "reason": "NONE" }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_posts_that_park_and_stop_waits_for_no_second_connection() {
    // more at once than there are connections
    const POSTS: usize = 80;
    on_both(async |store| {
        let variants: String = (0..8)
            .map(|n| {
                VARIANT
                    .replace("promo", &format!("promo{n}"))
                    .replace("words", &format!("words{n}"))
            })
            .collect();
        let scene = Scene::with(store, 40, "canary = 0\n", FALLBACK, &variants).await;
        let begun = std::time::Instant::now();
        let mut posts = tokio::task::JoinSet::new();
        for n in 0..POSTS {
            let ctx = scene.ctx.clone();
            posts.spawn(async move {
                let body = match n % 4 {
                    0 => change(
                        "account_update",
                        json!({ "event": "DISABLED_UPDATE",
                        "ban_info": { "waba_ban_state": "SCHEDULE_FOR_DISABLE" } }),
                    ),
                    _ => template_news(n % 8, if n % 3 == 0 { "APPROVED" } else { "PAUSED" }),
                };
                webhook(&ctx, &body).await
            });
        }
        while let Some(done) = posts.join_next().await {
            done.expect("a post was refused");
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        // nobody is lost in between
        assert_eq!(states(&scene.ctx, scene.campaign).await.values().sum::<u64>(), 40);
    })
    .await;
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_post_of_a_thousand_failures_parks_their_template_once() {
    const PEOPLE: i64 = 1000;
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, PEOPLE, "canary = 0\n").await;
    let mut tx = scene.ctx.store.begin().await.unwrap();
    let claim = Claim { lease: "all".to_owned(), until: noon() + TimeDelta::minutes(5) };
    tx.claim(scene.campaign, &claim, (noon(), noon()), PEOPLE as usize, LENGTH).await.unwrap();
    let taken: Vec<_> = scene.ids.iter().map(|id| sent(*id, 1, noon())).collect();
    assert_eq!(tx.settle(scene.campaign, &claim, &taken, noon()).await.unwrap().len(), 1000);
    tx.commit().await.unwrap();
    let callback = |id: &RecipientId| format!("c:{id}#1");
    let items: Vec<_> = scene.ids.iter().map(|id| failed(&callback(id), 132_015, noon())).collect();
    let log = Log::default();
    let kept = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || kept.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let received = webhook(&scene.ctx, &messages("statuses", items.into())).await;
    drop(guard);
    assert_eq!(received.applied, 1000);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("a template is parked").count(), 1, "{log}");
    assert_eq!(scene.template("promo").await.stage, Stage::Parked);
    let counts = states(&scene.ctx, scene.campaign).await;
    assert_eq!(counts, [((State::Planned, Reason::MovedThrottled), 1000)].into());
}

#[tokio::test]
async fn two_endpoints_that_number_alike_hear_of_their_own_messages_alone() {
    on_both(async |store| {
        let more = "canary = 0\n[provider.shop]\nkind = \"console\"\n";
        let scene = Scene::new(store, 1, more).await;
        let source = format!(
            "name = \"s\"\nprovider = \"shop\"\n[window]\nstart = 2027-03-01T08:00:00\n\
             end = 2027-03-04T20:00:00\n{VARIANT}"
        );
        campaigns::submit(&scene.ctx, &source, "test").await.unwrap();
        let row = scene.ctx.store.read().await.unwrap().campaign(&name("s")).await.unwrap();
        let other = row.unwrap().id;
        let mut tx = scene.ctx.store.begin().await.unwrap();
        let planned = crate::support::planned(scene.ids[0], "words", noon(), LENGTH);
        tx.put_decisions(other, &[planned], LENGTH, noon()).await.unwrap();
        for campaign in [scene.campaign, other] {
            let claim = Claim { lease: format!("{campaign}"), until: noon() + TimeDelta::hours(1) };
            tx.claim(campaign, &claim, (noon(), noon()), 9, LENGTH).await.unwrap();
            let mut taken = sent(scene.ids[0], 1, noon());
            taken.sent.as_mut().unwrap().provider_message = Some("1".parse().unwrap());
            tx.settle(campaign, &claim, &[taken], noon()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let failed = Update {
            of: UpdateOf::Theirs("1".parse().unwrap()),
            event: Event::Failed { code: None },
            at: noon(),
            names: Vec::new(),
        };
        let received = receive::apply(&scene.ctx, &name("shop"), vec![failed]).await.unwrap();
        assert_eq!(received.applied, 1);
        let of = async |campaign| state_of(&scene.ctx, campaign, scene.ids[0]).await.0;
        assert_eq!(of(other).await, State::Failed);
        assert_eq!(of(scene.campaign).await, State::Sent);
    })
    .await;
}
