//! People who got a message in the last seven days click little: messages keep away from each other,
//! where no limit asks for it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::model::ids::RecipientId;
use opportune::model::message::Response;
use opportune::model::slot::SlotLength;
use opportune::store::CampaignRow;
use opportune::work::campaigns::OperatorCommand;
use opportune::work::learn::{ActiveModel, Depth};
use opportune::work::{Ctx, campaigns, learn, plan};

use crate::chat_message;
use crate::steps::with_people;
use crate::support::on_both;

const PEOPLE: usize = 48;

/// Half a year of messages, two in three within the week of the one before; read at all hours, and
/// clicked by half of those who got none in the week before and by one in fifty of the others.
async fn learn_fatigue(ctx: &Ctx) {
    let begin: DateTime<Utc> = "2025-09-01T00:00:00Z".parse().unwrap();
    let mut reader = ctx.store.read().await.unwrap();
    let people = reader.recipients_after(RecipientId(0), 1000).await.unwrap();
    drop(reader);
    let mut messages = Vec::new();
    for (number, person) in people.iter().enumerate() {
        for at in 0..45 {
            // three within two days, every twelve days
            let hours = (at / 3) * 288 + (at % 3) * 20 + (number as i64 * 7 + at * 5) % 17;
            let sent_at = begin + TimeDelta::hours(hours);
            let draw = (number as i64 * 31 + at * 17) % 50;
            let clicks = if at % 3 == 0 { draw < 25 } else { draw < 1 };
            let read_at = sent_at + TimeDelta::minutes(20 + 7 * (draw % 40));
            let response = Response {
                delivered_at: Some(sent_at + TimeDelta::seconds(3)),
                read_at: Some(read_at),
                clicked_at: clicks.then(|| read_at + TimeDelta::seconds(40)),
                ..Response::default()
            };
            let key = format!("m{number}-{at}");
            messages.push((person.id, chat_message(&key, sent_at, response)));
        }
    }
    let mut tx = ctx.store.begin().await.unwrap();
    tx.add_messages(&messages, ctx.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    ctx.clock.advance_to(ctx.clock.now() + TimeDelta::seconds(1));
    learn::run(ctx, None, Depth::Full, |_, _| {}).await.unwrap();
    let fatigue = ActiveModel::load(ctx).await.unwrap().fatigue();
    assert!(fatigue.answers.click < -1.0, "{fatigue:?}");
}

async fn submit(ctx: &Ctx, name: &str, days: (u32, u32), priority: u32) -> CampaignRow {
    let source = format!(
        "name = \"{name}\"\nprovider = \"simulated\"\ngoal = \"click\"\nwithin = \"24h\"\n\
         priority = {priority}\n[window]\nstart = 2026-03-{:02}T08:00:00\n\
         end = 2026-03-{:02}T20:00:00\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n",
        days.0, days.1
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    ctx.store.read().await.unwrap().campaign(&name.parse().unwrap()).await.unwrap().unwrap()
}

/// When each person's messages are planned, and their chances, in the order of time.
async fn planned(ctx: &Ctx, campaigns: &[i64]) -> BTreeMap<RecipientId, Vec<(DateTime<Utc>, f64)>> {
    let mut all: BTreeMap<RecipientId, Vec<_>> = BTreeMap::new();
    for campaign in campaigns {
        let mut reader = ctx.store.read().await.unwrap();
        for row in reader.deliveries(*campaign, SlotLength::HOUR).await.unwrap() {
            let choice = row.delivery.choice.expect("everybody is worth a message");
            all.entry(row.delivery.recipient).or_default().push((choice.send_at, choice.chance));
        }
    }
    all.values_mut().for_each(|times| times.sort_by_key(|(at, _)| *at));
    all
}

fn apart(planned: &BTreeMap<RecipientId, Vec<(DateTime<Utc>, f64)>>) -> usize {
    let is_apart = |times: &&Vec<(DateTime<Utc>, f64)>| {
        times
            .windows(2)
            .all(|pair| pair[1].0 - pair[0].0 >= TimeDelta::days(7) - TimeDelta::hours(1))
    };
    planned.values().filter(is_apart).count()
}

#[tokio::test]
async fn a_campaign_keeps_away_from_what_another_is_still_to_send() {
    on_both(async |store| {
        let ctx = with_people(store, "", PEOPLE).await;
        learn_fatigue(&ctx).await;
        let first = submit(&ctx, "first", (2, 4), 50).await;
        plan::run(&ctx).await.unwrap();
        let second = submit(&ctx, "second", (2, 24), 50).await;
        plan::run(&ctx).await.unwrap();
        let both = planned(&ctx, &[first.id, second.id]).await;
        assert_eq!(both.len(), PEOPLE);
        assert_eq!(apart(&both), PEOPLE, "{both:?}");
        // who has to be written to in the same week is told to click less
        let third = submit(&ctx, "third", (5, 6), 50).await;
        plan::run(&ctx).await.unwrap();
        let alone = planned(&ctx, &[first.id]).await;
        for (person, times) in planned(&ctx, &[third.id]).await {
            let (before, now) = (alone[&person][0].1, times[0].1);
            assert!(now < 0.5 * before, "{person}: {now} after {before}");
        }
    })
    .await;
}

#[tokio::test]
async fn campaigns_that_are_planned_together_keep_away_from_each_other() {
    on_both(async |store| {
        let ctx = with_people(store, "", PEOPLE).await;
        learn_fatigue(&ctx).await;
        for priorities in [[50, 50], [80, 20]] {
            let name = |at: usize| format!("c{}-{at}", priorities[at]);
            let early = submit(&ctx, &name(0), (2, 5), priorities[0]).await;
            let late = submit(&ctx, &name(1), (2, 24), priorities[1]).await;
            plan::run(&ctx).await.unwrap();
            let both = planned(&ctx, &[early.id, late.id]).await;
            assert!(both.values().all(|times| times.len() == 2));
            assert_eq!(apart(&both), PEOPLE, "{both:?}");
            for row in [early, late] {
                campaigns::change(&ctx, &row, OperatorCommand::Cancel, "test").await.unwrap();
            }
        }
    })
    .await;
}
