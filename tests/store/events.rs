//! Events: what is known moves by its key, and a file that comes again changes nothing.

use opportune::files;
use opportune::store::Store;
use opportune::work::import::{self, BulkKind, Imported, RowOutcome, Strictness};
use opportune::work::people;
use serde_json::json;
use tempfile::TempDir;

use crate::imports::ctx;
use crate::races::Place;

async fn events(store: &Store, text: &str) -> Imported {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("events.csv");
    std::fs::write(&path, text).unwrap();
    let input = files::open(&path).unwrap();
    import::events(&ctx(store), input, Strictness::Lenient, |_| ()).await.unwrap()
}

#[tokio::test]
async fn an_event_with_a_known_key_moves_and_one_without_is_another() {
    for place in Place::both().await {
        let store = &place.store;
        let text = "recipient,event,at,key,attr_doctor\n\
            r1,appointment,2027-03-05T14:30:00Z,visit-1,Lima\n\
            r1,appointment,2027-03-06T14:30:00Z,,\n\
            r2,purchase,2026-01-02T10:00:00Z,,\n";
        let first = events(store, text).await;
        assert_eq!((first.new, first.updated, first.same, first.refused), (3, 0, 0, 0));
        assert_eq!(first.recipients_created, 2);
        let again = events(store, text).await;
        assert_eq!((again.new, again.updated, again.same), (0, 0, 3));
        // moved twice in one file; one without a key at another time is another event
        let moved = "recipient,event,at,key\n\
            r1,appointment,2027-03-07T14:30:00Z,visit-1\n\
            r1,appointment,2027-03-08T14:30:00Z,visit-1\n\
            r1,appointment,2027-03-09T14:30:00Z,\n";
        let moved = events(store, moved).await;
        assert_eq!((moved.new, moved.updated, moved.same), (1, 2, 0));
        // an id makes a row that comes again the same, and is no key
        let told = "recipient,event,at,id\nr3,cart,2026-03-07T14:30:00Z,call-1\n";
        assert_eq!(events(store, told).await.new, 1);
        assert_eq!(events(store, told).await.same, 1);
        let mut reader = store.read().await.unwrap();
        let person = reader.recipient(&"r3".parse().unwrap()).await.unwrap().unwrap();
        let kinds = ["cart".parse().unwrap()];
        let found =
            reader.events_of(&[person.id], &kinds, chrono::DateTime::UNIX_EPOCH).await.unwrap();
        assert!(!found[&person.id][0].keyed && found[&person.id][0].key == "call-1");
        assert_eq!(reader.event_kinds().await.unwrap(), ["appointment", "cart", "purchase"]);
        let person = reader.recipient(&"r1".parse().unwrap()).await.unwrap().unwrap();
        drop(reader);
        let stored = people::stored(&ctx(store), person).await.unwrap();
        let stored = serde_json::to_value(stored).unwrap();
        let mut times: Vec<_> =
            stored["other"]["event"].as_array().unwrap().iter().map(|e| &e["at"]).collect();
        times.sort_by_key(|at| at.as_str());
        assert_eq!(
            json!(times),
            json!(["2027-03-06T14:30:00Z", "2027-03-08T14:30:00Z", "2027-03-09T14:30:00Z"])
        );
    }
}

#[tokio::test]
async fn each_posted_event_is_answered_by_itself() {
    for place in Place::both().await {
        let ctx = ctx(&place.store);
        let items = json!([
            { "recipient": "r1", "event": "appointment", "at": "2027-03-05T14:30:00Z", "key": "a" },
            { "recipient": "r1", "event": "appointment", "at": "2027-03-05T14:30:00Z", "key": "a" },
            { "recipient": "r1", "event": "appointment", "at": "2027-03-06T14:30:00Z", "key": "a" },
            { "recipient": "r1", "event": "appointment", "at": "2057-03-06T14:30:00Z" },
            { "recipient": "r1", "event": "", "at": "2027-03-06T14:30:00Z" },
        ]);
        let items: Vec<import::BulkItem> = serde_json::from_value(items).unwrap();
        let became = import::items(&ctx, BulkKind::Events, &items, "test").await.unwrap();
        assert_eq!(became[..3], [RowOutcome::Created, RowOutcome::Unchanged, RowOutcome::Updated]);
        let told = |outcome: &RowOutcome| match outcome {
            RowOutcome::Refused(why) => why.clone(),
            other => panic!("{other:?}"),
        };
        assert!(told(&became[3]).contains("within ten years"), "{became:?}");
        assert!(told(&became[4]).contains("event"), "{became:?}");
    }
}
