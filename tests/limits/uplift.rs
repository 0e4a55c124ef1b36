//! Half of the people buy anyway: with `[holdout] conversions = "added"` messages go to the others.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::config::{Config, EXAMPLE};
use opportune::model::delivery::State;
use opportune::model::ids::RecipientId;
use opportune::model::message::Response;
use opportune::model::recipient::Recipient;
use opportune::model::slot::SlotLength;
use opportune::store::CampaignRow;
use opportune::work::campaigns::OperatorCommand;
use opportune::work::learn::Depth;
use opportune::work::{Ctx, StepEnv, campaigns, learn, plan};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::chat_message;
use crate::steps::with_people;
use crate::support::on_both;

const PEOPLE: usize = 320;
const WEEKS: i64 = 12;
const SETTINGS: &str = "[holdout]\nshare = 0.4\nuntil = 2026-12-31\nconversions = \"added\"\n";

async fn submit(ctx: &Ctx, name: &str, days: [&str; 2], more: &str) -> CampaignRow {
    let source = format!(
        "name = \"{name}\"\nprovider = \"simulated\"\ngoal = \"convert\"\nwithin = \"24h\"\n\
         [window]\nstart = 2026-{}T08:00:00\nend = 2026-{}T20:00:00\n\
         [[variant]]\nname = \"words\"\nmedia = \"text\"\n{more}",
        days[0], days[1]
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    ctx.store.read().await.unwrap().campaign(&name.parse().unwrap()).await.unwrap().unwrap()
}

async fn everybody(ctx: &Ctx) -> Vec<Recipient> {
    let mut reader = ctx.store.read().await.unwrap();
    reader.recipients_after(RecipientId(0), 1000).await.unwrap()
}

/// People with an even number buy in six weeks of ten, whatever they are sent; the others in one of
/// fifty, and in four of ten in which they get a message. Whoever buys within the day of a message
/// counts as converted.
async fn twelve_weeks(ctx: &Ctx, begin: DateTime<Utc>) {
    let holdout = ctx.config.holdout.clone().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut messages, mut purchases) = (Vec::new(), Vec::new());
    for (number, person) in everybody(ctx).await.iter().enumerate() {
        for week in -26..WEEKS {
            let start = begin + TimeDelta::weeks(week);
            let sent = week >= 0 && !holdout.holds(&person.key) && random.gen_bool(0.8);
            let chance = match (number % 2, sent) {
                (0, _) => 0.6,
                (_, true) => 0.4,
                (_, false) => 0.02,
            };
            let buys = random.gen_bool(chance);
            let sent_at = start + TimeDelta::hours(random.gen_range(9..150));
            if buys {
                let at = sent_at + TimeDelta::hours(2);
                purchases.push((person.id, at, "purchase".to_owned()));
            }
            if sent {
                let read_at = sent_at + TimeDelta::minutes(random.gen_range(5..90));
                let response = Response {
                    delivered_at: Some(sent_at),
                    read_at: Some(read_at),
                    converted_at: buys.then(|| sent_at + TimeDelta::hours(2)),
                    ..Response::default()
                };
                let key = format!("m{number}-{week}");
                messages.push((person.id, chat_message(&key, sent_at, response)));
            }
        }
    }
    let mut tx = ctx.store.begin().await.unwrap();
    for chunk in messages.chunks(1000) {
        tx.add_messages(chunk, ctx.clock.now()).await.unwrap();
    }
    tx.add_activity(&purchases, ctx.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// How many of those who buy anyway, and of the others, a campaign writes to.
async fn planned(ctx: &Ctx, row: &CampaignRow) -> [usize; 2] {
    plan::run(ctx).await.unwrap();
    let people = everybody(ctx).await;
    let mut reader = ctx.store.read().await.unwrap();
    let mut counts = [0; 2];
    for found in reader.deliveries(row.id, SlotLength::HOUR).await.unwrap() {
        if found.delivery.state == State::Planned {
            let number = people.iter().position(|p| p.id == found.delivery.recipient).unwrap();
            counts[number % 2] += 1;
        }
    }
    counts
}

#[tokio::test]
async fn what_messages_add_is_learned_from_the_holdout_and_decides_who_is_written_to() {
    on_both(async |store| {
        let ctx = with_people(store, SETTINGS, PEOPLE).await;
        let begin = ctx.clock.now();
        // the holdout begins with the first plan
        let first = submit(&ctx, "first", ["03-02", "03-03"], "").await;
        plan::run(&ctx).await.unwrap();
        campaigns::change(&ctx, &first, OperatorCommand::Cancel, "test").await.unwrap();
        ctx.clock.advance_to(begin + TimeDelta::weeks(WEEKS) + TimeDelta::hours(1));
        twelve_weeks(&ctx, begin).await;
        ctx.clock.advance_to(ctx.clock.now() + TimeDelta::seconds(1));
        let learned = learn::run(&ctx, None, Depth::Full, |_, _| {}).await.unwrap();
        // 0.38 of every other person
        let added = learned.summary.settings["purchases_added_by_a_message"]["mean"].as_f64();
        assert!((added.unwrap() - 0.19).abs() < 0.04, "{added:?}");

        // fewer places than there are people of either kind
        let scarce = "[capacity]\nper_hour = 2\n";
        let by_added = submit(&ctx, "added", ["05-26", "05-27"], scarce).await;
        let [anyway, others] = planned(&ctx, &by_added).await;
        assert!(others > 50 && anyway * 20 < others, "{anyway} and {others}");
        let people = everybody(&ctx).await;
        let told = plan::explain(&ctx, by_added.clone(), &people[1]).await.unwrap().unwrap();
        assert!(told.to_string().contains("what a message adds over none: +"), "{told}");
        campaigns::change(&ctx, &by_added, OperatorCommand::Cancel, "test").await.unwrap();

        let text = format!("{EXAMPLE}\n{}", SETTINGS.replace("\"added\"", "\"all\""));
        let config = Config::parse(&text, Path::new("opportune.toml")).unwrap();
        let env = StepEnv { config: Arc::new(config), ..ctx.env.clone() };
        let ctx = Ctx { env, ..ctx };
        let by_all = submit(&ctx, "all", ["05-26", "05-27"], scarce).await;
        let [anyway, others] = planned(&ctx, &by_all).await;
        assert!(anyway > 50 && others * 2 < anyway, "{anyway} and {others}");
        let told = plan::explain(&ctx, by_all, &people[0]).await.unwrap().unwrap();
        assert!(!told.to_string().contains("over none"), "{told}");
    })
    .await;
}
