//! Each behaviour of the store on both databases.

mod claims;
mod counts;
mod events;
mod experiments;
mod imports;
mod leases;
mod older;
mod personal;
mod races;
mod segments;
#[path = "../support/mod.rs"]
mod support;

use chrono::DateTime;
use opportune::model::campaign::Campaign;
use opportune::model::consent::{ConsentChange, ConsentEntry};
use opportune::model::content::{Category, Content, Media};
use opportune::model::ids::{RecipientId, RecipientKey};
use opportune::model::message::{Message, Response};
use opportune::model::recipient::{Profile, Zone};
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant;
use opportune::store::{AddedRecipient, CampaignStatus, Create, ObservedRow, Store, StoreError};
use support::on_both;

const LENGTH: SlotLength = SlotLength::HOUR;

fn at(hour: i64) -> Instant {
    DateTime::from_timestamp(1_790_000_000 - 1_790_000_000 % 3600 + hour * 3600, 0).unwrap()
}

fn key(number: usize) -> RecipientKey {
    format!("r{number}").parse().unwrap()
}

async fn people(store: &Store, count: usize) -> Vec<RecipientId> {
    let rows: Vec<_> = (0..count).map(|n| (key(n), Profile::default())).collect();
    let mut tx = store.begin().await.unwrap();
    let added = tx.put_recipients(&rows).await.unwrap();
    tx.commit().await.unwrap();
    added.into_iter().map(|(id, _)| id).collect()
}

fn entry(change: ConsentChange, hour: i64) -> ConsentEntry {
    ConsentEntry {
        change,
        at: at(hour),
        source: "test".to_owned(),
        evidence: String::new(),
        recorded_at: at(hour),
        scope: ConsentEntry::EVERYWHERE,
    }
}

fn message(number: usize) -> Message {
    Message {
        key: format!("m{number}").parse().unwrap(),
        campaign: Some("spring".to_owned()),
        channel: None,
        category: None,
        media: Some(Media::Image),
        style: None,
        sent_at: at(0),
        response: Response::default(),
        propensity: Some(0.25),
    }
}

#[tokio::test]
async fn a_recipient_is_updated_but_never_emptied() {
    on_both(async |store| {
        let ids = people(&store, 2).await;
        let zone = Zone { tz: chrono_tz::Europe::London, inferred: false };
        let full = Profile {
            zone: Some(zone),
            tags: vec!["vip".to_owned()],
            address: Some("+4915112345678".parse().unwrap()),
            ..Profile::default()
        };
        let guess = Zone { tz: chrono_tz::Europe::Berlin, inferred: true };
        let poorer = Profile { zone: Some(guess), ..Profile::default() };
        let mut tx = store.begin().await.unwrap();
        let added = tx.put_recipients(&[(key(0), full.clone())]).await.unwrap();
        assert_eq!(added, [(ids[0], AddedRecipient::Updated)]);
        let added = tx.put_recipients(&[(key(0), poorer), (key(7), full.clone())]).await.unwrap();
        assert_eq!(added[0], (ids[0], AddedRecipient::Same));
        assert_eq!(added[1].1, AddedRecipient::New);
        tx.commit().await.unwrap();
        let stored = store.read().await.unwrap().recipient(&key(0)).await.unwrap().unwrap();
        assert_eq!(stored.profile, full);
        assert_eq!(store.read().await.unwrap().recipient_count().await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_last_entry_of_the_ledger_decides() {
    on_both(async |store| {
        let id = people(&store, 1).await[0];
        let consented = async || {
            store.read().await.unwrap().recipient(&key(0)).await.unwrap().unwrap().consented
        };
        let append = async |entries: &[ConsentEntry]| {
            let entries: Vec<_> = entries.iter().map(|entry| (id, entry.clone())).collect();
            let mut tx = store.begin().await.unwrap();
            let new = tx.append_consent(&entries).await.unwrap();
            tx.commit().await.unwrap();
            new
        };
        use ConsentChange::{Granted, Withdrawn};
        assert!(!consented().await);
        assert_eq!(append(&[entry(Granted, 1)]).await, 1);
        assert!(consented().await);
        // a withdrawal that happened before is no news; one at the same moment counts
        append(&[entry(Withdrawn, 0)]).await;
        assert!(consented().await);
        append(&[entry(Withdrawn, 1)]).await;
        assert!(!consented().await);
        append(&[entry(Granted, 2)]).await;
        assert!(consented().await);
        assert_eq!(append(&[entry(Granted, 2)]).await, 0);
        assert_eq!(store.read().await.unwrap().ledger(id).await.unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_message_seen_again_is_filled_or_conflicts() {
    on_both(async |store| {
        let ids = people(&store, 2).await;
        let add = async |rows: &[(RecipientId, Message)]| {
            let mut tx = store.begin().await.unwrap();
            let added = tx.add_messages(rows, at(9)).await.unwrap();
            tx.commit().await.unwrap();
            added
        };
        let rows: Vec<_> = (0..2500).map(|n| (ids[0], message(n))).collect();
        assert_eq!(add(&rows).await.new, 2500);
        let again = add(&rows).await;
        assert_eq!((again.new, again.same, again.filled), (0, 2500, 0));

        let mut read = message(3);
        read.response.read_at = Some(at(1));
        let mut changed = message(4);
        changed.sent_at = at(-1);
        let batch = [(ids[0], read.clone()), (ids[0], changed), (ids[1], message(5))];
        let added = add(&batch).await;
        assert_eq!((added.new, added.filled, added.same), (0, 1, 0));
        let columns: Vec<_> = added.conflicts.iter().map(|(i, column, ..)| (*i, *column)).collect();
        assert_eq!(columns, [(1, "sent_at"), (2, "recipient")]);
        let stored = store.read().await.unwrap().messages_of(ids[0]).await.unwrap();
        assert_eq!(stored.len(), 2500);
        assert!(stored.iter().any(|row| row.message == read));
        assert!(stored.iter().any(|row| row.message == message(4)));
    })
    .await;
}

#[tokio::test]
async fn every_column_that_teaches_comes_back_as_it_was_written() {
    on_both(async |store| {
        let ids = people(&store, 1).await;
        let mut full = message(0);
        full.key = "order 1 of 2; paid, \"now\" \\ später".parse().unwrap();
        full.channel = Some("a, b".to_owned());
        full.category = Some(Category::Utility);
        full.style = Some("größe_1".parse().unwrap());
        full.response = Response {
            delivered_at: Some(at(1)),
            read_at: Some(at(2)),
            clicked_at: Some(at(3)),
            replied_at: Some(at(4)),
            converted_at: Some(at(5)),
            opted_out_at: Some(at(6)),
            failed_at: Some(at(7)),
            ..Response::default()
        };
        let mut bare = message(1);
        bare.media = None;
        let mut tx = store.begin().await.unwrap();
        tx.add_messages(&[(ids[0], full.clone()), (ids[0], bare.clone())], at(8)).await.unwrap();
        tx.commit().await.unwrap();
        for written in [None, Some(at(8)..at(9))] {
            let mut found = 0;
            let take = |row: ObservedRow<'_>| {
                let sent = if row.key == bare.key.as_str() { &bare } else { &full };
                let content = sent.media.map(|media| Content { media, style: sent.style.clone() });
                assert_eq!(row.key, sent.key.as_str());
                assert_eq!((row.recipient, row.sent_at), (ids[0], sent.sent_at.timestamp_micros()));
                assert_eq!((row.category, row.channel), (sent.category, sent.channel.as_deref()));
                let micros = |at: Option<Instant>| at.map(|at| at.timestamp_micros());
                let answered_at = sent.response.answered_at().map(micros);
                assert_eq!((row.content, row.answered_at), (content.as_ref(), answered_at));
                found += 1;
            };
            store.each_message(written, take).await.unwrap();
            assert_eq!(found, 2);
        }
    })
    .await;
}

#[tokio::test]
async fn what_changed_since_is_what_is_handed_over() {
    on_both(async |store| {
        let ids = people(&store, 1).await;
        for (number, hour) in [(0, 1), (1, 5)] {
            let mut tx = store.begin().await.unwrap();
            tx.add_messages(&[(ids[0], message(number))], at(hour)).await.unwrap();
            tx.add_activity(&[(ids[0], at(hour), "session".to_owned())], at(hour)).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut found = Vec::new();
        for written in [None, Some(at(5)..at(6)), Some(at(6)..at(9))] {
            let (mut messages, mut signs) = (Vec::new(), 0);
            let take = |row: ObservedRow<'_>| messages.push(row.key.to_owned());
            store.each_message(written.clone(), take).await.unwrap();
            store.read().await.unwrap().each_activity(written, |_, _, _| signs += 1).await.unwrap();
            messages.sort();
            found.push((messages, signs));
        }
        let key = |number| message(number).key.to_string();
        assert_eq!(found, [(vec![key(0), key(1)], 2), (vec![key(1)], 1), (Vec::new(), 0)]);
        let second = at(5).timestamp();
        assert_eq!(
            store.read().await.unwrap().message_seconds(at(2)).await.unwrap(),
            [(second, 1, 0)]
        );
        assert_eq!(store.read().await.unwrap().activity_seconds(at(1)).await.unwrap().len(), 2);
    })
    .await;
}

const CAMPAIGN: &str = r#"
name = "spring"
provider = "console"
window = { start = 2026-12-01T09:00:00, end = 2026-12-07T21:00:00 }
[[variant]]
name = "plain"
media = "text"
"#;

async fn campaign(store: &Store) -> i64 {
    let campaign = Campaign::from_toml(CAMPAIGN).unwrap();
    let mut tx = store.begin().await.unwrap();
    let id = tx.add_campaign(&campaign, CAMPAIGN, at(0), at(99)).await.unwrap().unwrap();
    assert_eq!(tx.add_campaign(&campaign, CAMPAIGN, at(0), at(99)).await.unwrap(), None);
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn one_model_is_in_use() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let first = tx.add_model(at(1), at(1), "{}", "one").await.unwrap();
        let second = tx.add_model(at(2), at(2), "{}", "two").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.read().await.unwrap().active_version().await.unwrap(), Some(second));
        let mut tx = store.begin().await.unwrap();
        assert!(!tx.use_model(99).await.unwrap());
        assert!(tx.use_model(first).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(store.read().await.unwrap().active_version().await.unwrap(), Some(first));
        assert_eq!(
            store.read().await.unwrap().model_parameters(first).await.unwrap().as_deref(),
            Some("one")
        );
    })
    .await;
}

#[tokio::test]
async fn a_campaign_moves_only_between_statuses_that_allow_it() {
    on_both(async |store| {
        let id = campaign(&store).await;
        let mut tx = store.begin().await.unwrap();
        use CampaignStatus::{Active, Cancelled, Paused};
        assert!(tx.set_campaign_status(id, &[Active], Paused).await.unwrap());
        assert!(!tx.set_campaign_status(id, &[Active], Paused).await.unwrap());
        assert!(tx.set_campaign_status(id, &[Active, Paused], Cancelled).await.unwrap());
        tx.commit().await.unwrap();
        let row = store
            .read()
            .await
            .unwrap()
            .campaign(&"spring".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.status, Cancelled);
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_person_leaves_hashes_alone() {
    on_both(async |store| {
        let id = people(&store, 2).await[0];
        let mut tx = store.begin().await.unwrap();
        tx.append_consent(&[(id, entry(ConsentChange::Granted, 1))]).await.unwrap();
        tx.add_messages(&[(id, message(1))], at(1)).await.unwrap();
        tx.put_evidence(&[(id, b"habits")]).await.unwrap();
        tx.commit().await.unwrap();
        let hash = store.forgotten_key().await.unwrap().hash("recipient", "r0");
        let again = store.forgotten_key().await.unwrap().hash("recipient", "r0");
        assert_eq!(hash, again);
        assert!(!store.read().await.unwrap().any_forgotten().await.unwrap());
        let mut tx = store.begin().await.unwrap();
        let counts = tx.forget(id, std::slice::from_ref(&hash), at(2)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            (counts.recipients, counts.consent_entries, counts.messages, counts.evidence),
            (1, 1, 1, 1)
        );
        assert!(store.read().await.unwrap().recipient(&key(0)).await.unwrap().is_none());
        assert!(store.read().await.unwrap().evidence_of(&[id]).await.unwrap().is_empty());
        let gone =
            store.read().await.unwrap().which_forgotten(std::slice::from_ref(&hash)).await.unwrap();
        assert!(gone.contains(&hash));
        let mut tx = store.begin().await.unwrap();
        assert!(tx.remember(&hash).await.unwrap());
        assert!(!tx.remember(&hash).await.unwrap());
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        tx.put_recipients(&[(key(0), Profile::default())]).await.unwrap();
        drop(tx);
        assert_eq!(store.read().await.unwrap().recipient_count().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("newer.db");
    let url = format!("sqlite://{}", file.display());
    let postgres = support::Postgres::shared().database();
    for url in [&url, &postgres] {
        Store::open(url, Create::IfMissing).await.unwrap().close().await;
        support::pretend_newer(url);
        let error = Store::open(url, Create::No).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { version: 9_999 }), "{error}");
    }
}

#[tokio::test]
async fn a_missing_database_says_how_to_make_one() {
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("none.db").display());
    let error = Store::open(&url, Create::No).await.unwrap_err();
    assert!(error.to_string().contains("opportune init"), "{error}");
    assert!(!dir.path().join("none.db").exists());
}

#[tokio::test]
async fn a_workspace_is_copied_whole() {
    on_both(async |store| {
        let granted: Vec<_> = people(&store, 3)
            .await
            .iter()
            .map(|id| (*id, entry(ConsentChange::Granted, 1)))
            .collect();
        let mut tx = store.begin().await.unwrap();
        tx.append_consent(&granted).await.unwrap();
        tx.commit().await.unwrap();
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("copy.db");
        store.copy_to(&path).await.unwrap();
        let url = format!("sqlite://{}", path.display());
        let copy = Store::open(&url, Create::No).await.unwrap();
        let everybody =
            store.read().await.unwrap().recipients_after(RecipientId(0), 10).await.unwrap();
        assert_eq!(everybody.len(), 3);
        assert_eq!(
            copy.read().await.unwrap().recipients_after(RecipientId(0), 10).await.unwrap(),
            everybody
        );
        for person in everybody {
            let ledger = store.read().await.unwrap().ledger(person.id).await.unwrap();
            assert!(!ledger.is_empty());
            assert_eq!(copy.read().await.unwrap().ledger(person.id).await.unwrap(), ledger);
        }
        people(&copy, 5).await;
        let here = store.read().await.unwrap().recipients_after(RecipientId(0), 10).await.unwrap();
        assert_eq!(here.len(), 3, "what is done to a copy is not done here");
        assert!(store.copy_to(&path).await.is_err(), "nothing is overwritten");
    })
    .await;
}
