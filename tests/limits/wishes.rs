//! What people state of messages is obeyed, told, and taken back.

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use opportune::calendar::zone::local;
use opportune::model::delivery::Reason;
use opportune::replay::drive;
use opportune::work::import::{self, BulkItem, BulkKind};
use opportune::work::{Ctx, campaigns, people, plan};
use serde_json::{Value, json};

use crate::steps::with_people;
use crate::support::on_both;

async fn tell(ctx: &Ctx, person: usize, wishes: Value) {
    let mut item = json!({ "recipient": format!("r{person:04}") });
    item.as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
    let items: Vec<BulkItem> = serde_json::from_value(json!([item])).unwrap();
    import::items(ctx, BulkKind::Recipients, &items, "test").await.unwrap();
}

#[tokio::test]
async fn messages_come_when_and_as_people_ask() {
    on_both(async |store| {
        let ctx = with_people(store, "", 30).await;
        // 2026-03-01 is a Sunday
        for person in 0..10 {
            tell(&ctx, person, json!({ "not_days": ["Sun", "monday", "Tue"] })).await;
        }
        for person in 10..20 {
            tell(&ctx, person, json!({ "only_dayparts": ["evening", "noon"] })).await;
        }
        tell(&ctx, 20, json!({ "only_media": "video" })).await;
        tell(&ctx, 21, json!({ "only_dayparts": "night" })).await;
        // taken back
        tell(&ctx, 22, json!({ "only_media": "video" })).await;
        tell(&ctx, 22, json!({ "only_media": "none" })).await;
        // a file that says nothing of it changes nothing
        tell(&ctx, 20, json!({ "attr_name": "Ana" })).await;
        let source = "name = \"first\"\nprovider = \"simulated\"\n[window]\n\
            start = 2026-03-01T08:00:00\nend = 2026-03-06T20:00:00\n\
            [arms]\npersonalized = 0.4\nexplore = 0.3\ncontrol = 0.3\n\
            [[variant]]\nname = \"words\"\nmedia = \"text\"\n";
        campaigns::submit(&ctx, source, "test").await.unwrap();
        drive(&ctx, "2026-03-08T00:00:00Z".parse::<DateTime<Utc>>().unwrap(), |_| {})
            .await
            .unwrap();
        let mut reader = ctx.store.read().await.unwrap();
        let everybody = reader.everybody().await.unwrap();
        for (person, recipient) in everybody.iter().enumerate() {
            let messages = reader.messages_of(recipient.id).await.unwrap();
            if person == 20 || person == 21 {
                assert!(messages.is_empty(), "{person}");
                continue;
            }
            assert_eq!(messages.len(), 1, "{person}");
            let zone = recipient.profile.zone.unwrap().tz;
            let at = local(messages[0].message.sent_at, zone);
            if person < 10 {
                let unwanted = [Weekday::Sun, Weekday::Mon, Weekday::Tue];
                assert!(!unwanted.contains(&at.weekday()), "{person}: {at}");
            } else if person < 20 {
                assert!((18..22).contains(&at.hour()) || (11..14).contains(&at.hour()), "{at}");
            }
        }
        let row = reader.campaign(&"first".parse().unwrap()).await.unwrap().unwrap();
        let states = reader.state_counts(row.id).await.unwrap();
        let unwanted = states.iter().find(|count| count.reason == Reason::Unwanted);
        assert_eq!(unwanted.map(|count| count.people), Some(2), "{states:?}");
        drop(reader);
        let told = plan::explain_in_words(&ctx, row, &everybody[12]).await.unwrap().unwrap();
        assert!(
            told.explanation.contains("asks: only at noon, in the evening"),
            "{}",
            told.explanation
        );
        let now =
            people::wish(&ctx, &everybody[12].key, &Default::default(), "test").await.unwrap();
        assert!(now.is_some_and(|wishes| !wishes.is_empty()));
    })
    .await;
}
