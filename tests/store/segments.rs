//! Named audiences, on both databases: counted clause by clause, and planned.

use chrono::TimeDelta;
use opportune::store::Store;
use opportune::work::import::{self, BulkItem, BulkKind};
use opportune::work::segments::{self, SegmentError};
use opportune::work::{Ctx, campaigns, plan};
use serde_json::{Value, json};

use crate::imports::ctx;
use crate::races::Place;

async fn bring(ctx: &Ctx, kind: BulkKind, items: Value) {
    let items: Vec<BulkItem> = serde_json::from_value(items).unwrap();
    let became = import::items(ctx, kind, &items, "test").await.unwrap();
    assert!(became.iter().all(|row| !format!("{row:?}").contains("Refused")), "{became:?}");
}

/// Six people: three in Brazil, two of whom read lately, and one of whom has an appointment.
async fn workspace(store: &Store) -> Ctx {
    let ctx = ctx(store);
    let now = ctx.clock.now();
    let ago = |days: i64| (now - TimeDelta::days(days)).to_rfc3339();
    let person = |n: usize| {
        json!({ "recipient": format!("r{n}"), "country": if n < 3 { "BR" } else { "PT" },
            "address": format!("+55119900000{n:02}"), "tags": [if n.is_multiple_of(2) { "vip" } else { "new" }],
            "opted_in_at": ago(100), "attr_city": if n == 0 { "Recife" } else { "Lisboa" } })
    };
    bring(&ctx, BulkKind::Recipients, json!((0..6).map(person).collect::<Vec<_>>())).await;
    let message = |n: usize, days: i64| {
        json!({ "message": format!("m{n}"), "recipient": format!("r{n}"), "sent_at": ago(days + 1),
            "read_at": ago(days), "amount": 3.5, "currency": "BRL", "converted_at": ago(days) })
    };
    let messages = json!([message(0, 40), message(1, 3), message(2, 5), message(4, 50)]);
    bring(&ctx, BulkKind::Messages, messages).await;
    let visit = json!([{ "recipient": "r2", "event": "visit", "at": (now + TimeDelta::days(2)).to_rfc3339() }]);
    bring(&ctx, BulkKind::Events, visit).await;
    ctx
}

#[tokio::test]
async fn a_segment_is_counted_with_what_each_clause_leaves() {
    for place in Place::both().await {
        let ctx = workspace(&place.store).await;
        let save = async |name: &str, expression: &str| {
            segments::save(&ctx, name.parse().unwrap(), expression, "test").await
        };
        let count = async |name: &str| segments::count(&ctx, &name.parse().unwrap()).await.unwrap();
        save("lapsed", "country == \"BR\" && days_since(last_read) > 30 && \"vip\" in tags")
            .await
            .unwrap();
        let lapsed = count("lapsed").await;
        let left: Vec<u64> = lapsed.clauses.iter().map(|clause| clause.left).collect();
        assert_eq!((lapsed.known, left, lapsed.people, lapsed.consented), (6, vec![3, 1, 1], 1, 1));
        for (expression, people) in [
            ("events.visit.next != null && days_until(events.visit.next) < 3.0", 1),
            ("attr.city == \"Lisboa\"", 5),
            ("amount > 3.0 && converted == 1", 4),
            ("sent == 0", 2),
            ("days_since(last_read) > 30", 4),
            ("best_daypart == \"\" && chance == 0.0", 6),
        ] {
            save("other", expression).await.unwrap();
            assert_eq!(count("other").await.people, people, "{expression}");
        }
        let wrong = save("wrong", "events.apointment.count > 0").await.unwrap_err();
        assert!(wrong.to_string().contains("no event \"apointment\"; there are visit"), "{wrong}");
        let absent = segments::find(&ctx, &"none".parse().unwrap()).await.unwrap_err();
        assert!(absent.to_string().contains("there are lapsed, other"), "{absent}");
        segments::delete(&ctx, &"other".parse().unwrap(), "test").await.unwrap();
        assert_eq!(segments::list(&ctx).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_campaign_is_for_its_segments_and_its_expression() {
    for place in Place::both().await {
        let mut ctx = workspace(&place.store).await;
        let settings = "[provider.console]\nkind = \"console\"\n";
        let config = opportune::config::Config::parse(settings, std::path::Path::new("x")).unwrap();
        ctx.env.config = std::sync::Arc::new(config);
        let brazil = "brazil".parse().unwrap();
        segments::save(&ctx, brazil, "country == \"BR\"", "test").await.unwrap();
        let file = |audience: &str| {
            format!(
                "name = \"first\"\nprovider = \"console\"\n[window]\nstart = 2030-03-01T09:00:00\n\
                 end = 2030-03-07T21:00:00\n[audience]\n{audience}\n[[variant]]\nname = \"words\"\n\
                 media = \"text\"\ntext = \"Hello\"\n"
            )
        };
        for (audience, wanted) in [
            ("segments = [\"brazil\"]", &["r0", "r1", "r2"][..]),
            ("segments = [\"brazil\"]\nwhere = 'days_since(last_read) < 30'", &["r1", "r2"]),
            ("where = '\"vip\" in tags && country != \"BR\"'", &["r4"]),
            ("tags = [\"vip\"]\nsegments = [\"brazil\"]", &["r0", "r2"]),
        ] {
            let campaign = campaigns::check(&ctx, &file(audience)).await.unwrap();
            let (inputs, planned) = plan::forecast(&ctx, campaign).await.unwrap();
            let people: Vec<&str> = planned
                .chosen
                .iter()
                .map(|index| inputs.people.recipients[*index].key.as_str())
                .collect();
            assert_eq!(people, wanted, "{audience}");
        }
        for (audience, told) in [
            ("segments = [\"brasil\"]", "there is no segment brasil; there are brazil"),
            ("where = 'contry == 1'", "audience.where: line 1, column 1: there is no contry"),
        ] {
            let wrong = campaigns::check(&ctx, &file(audience)).await.unwrap_err().to_string();
            assert!(wrong.contains(told), "{wrong}");
        }
        let unknown = segments::find(&ctx, &"brasil".parse().unwrap()).await;
        assert!(matches!(unknown, Err(SegmentError::Absent(..))));
    }
}
