//! Each behaviour of the store on both databases.

mod support;

use chrono::{DateTime, TimeDelta};
use opportune::model::campaign::Campaign;
use opportune::model::consent::{ConsentChange, ConsentEntry};
use opportune::model::delivery::{Arm, Choice, Delivery, Reason, State};
use opportune::model::ids::{NodeId, RecipientId, RecipientKey};
use opportune::model::message::{Message, Response};
use opportune::model::recipient::{Profile, Zone};
use opportune::model::slot::{Slot, SlotLength};
use opportune::model::time::Instant;
use opportune::store::{
    AddedRecipient, Attempt, CampaignStatus, Claim, Create, Due, Settled, Store, StoreError,
};
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
    }
}

fn message(number: usize) -> Message {
    Message {
        key: format!("m{number}").parse().unwrap(),
        campaign: Some("spring".to_owned()),
        channel: None,
        category: None,
        media: Some(opportune::model::content::Media::Image),
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
        let stored = store.recipient(&key(0)).await.unwrap().unwrap();
        assert_eq!(stored.profile, full);
        assert_eq!(store.recipient_count().await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_last_entry_of_the_ledger_decides() {
    on_both(async |store| {
        let id = people(&store, 1).await[0];
        let consented = async || store.recipient(&key(0)).await.unwrap().unwrap().consented;
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
        assert_eq!(store.ledger(id).await.unwrap().len(), 4);
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
        let stored = store.messages_of(ids[0]).await.unwrap();
        assert_eq!(stored.len(), 2500);
        assert!(stored.iter().any(|row| row.message == read));
        assert!(stored.iter().any(|row| row.message == message(4)));
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
            store.each_message(written.clone(), |row| messages.push(row.key)).await.unwrap();
            store.each_activity(written, |_, _, _| signs += 1).await.unwrap();
            messages.sort();
            found.push((messages, signs));
        }
        let key = |number| message(number).key.to_string();
        assert_eq!(found, [(vec![key(0), key(1)], 2), (vec![key(1)], 1), (Vec::new(), 0)]);
        let second = at(5).timestamp();
        assert_eq!(store.message_seconds(at(2)).await.unwrap(), [(second, 1, 0)]);
        assert_eq!(store.activity_seconds(at(1)).await.unwrap().len(), 2);
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

fn planned(recipient: RecipientId, hour: i64) -> Delivery {
    Delivery {
        recipient,
        state: State::Planned,
        reason: Reason::BestSlot,
        arm: Some(Arm::Personalized),
        choice: Some(Choice {
            variant: "plain".parse().unwrap(),
            variant_index: 0,
            slot: Slot::holding(at(hour), LENGTH),
            send_at: at(hour) + TimeDelta::minutes(7),
            value: 0.5,
            chance: 0.75,
            runner_up: Some((Slot::holding(at(hour + 1), LENGTH), 0.25)),
            propensity: None,
        }),
    }
}

async fn plan(store: &Store, id: i64, deliveries: &[Delivery]) {
    let mut tx = store.begin().await.unwrap();
    tx.put_decisions(id, deliveries, LENGTH, at(0)).await.unwrap();
    tx.commit().await.unwrap();
}

fn claim(name: &str, hour: i64) -> Claim {
    Claim { lease: name.to_owned(), until: at(hour) }
}

const SENT: Settled = Settled {
    state: State::Sent,
    reason: None,
    again_at: None,
    not_before: None,
    attempt: Attempt::Made,
};

#[tokio::test]
async fn a_claim_is_never_given_twice() {
    on_both(async |store| {
        let ids = people(&store, 300).await;
        let id = campaign(&store).await;
        let deliveries: Vec<_> = ids.iter().map(|id| planned(*id, 1)).collect();
        plan(&store, id, &deliveries).await;
        let mut early = store.begin().await.unwrap();
        assert!(early.claim(id, &claim("e", 9), at(1), 500, LENGTH).await.unwrap().is_empty());
        drop(early);
        let take = async |name: usize| {
            let mut taken = Vec::new();
            for round in 0.. {
                let mut tx = store.begin().await.unwrap();
                let claim = claim(&format!("{name}-{round}"), 9);
                let rows = tx.claim(id, &claim, at(2), 20, LENGTH).await.unwrap();
                tx.commit().await.unwrap();
                if rows.is_empty() {
                    break;
                }
                taken.extend(rows.into_iter().map(|due| due.recipient));
            }
            taken
        };
        let (a, b, c) = tokio::join!(take(0), take(1), take(2));
        let mut all = [a, b, c].concat();
        all.sort_unstable();
        assert_eq!(all, ids);
    })
    .await;
}

#[tokio::test]
async fn only_the_holder_of_a_claim_settles_it() {
    on_both(async |store| {
        let ids = people(&store, 3).await;
        let id = campaign(&store).await;
        let deliveries: Vec<_> = ids.iter().map(|id| planned(*id, 1)).collect();
        plan(&store, id, &deliveries).await;
        let (mine, other) = (claim("mine", 3), claim("other", 3));
        let mut tx = store.begin().await.unwrap();
        let rows = tx.claim(id, &mine, at(2), 2, LENGTH).await.unwrap();
        assert_eq!(rows.len(), 2);
        let decided = planned(ids[0], 1);
        let choice = decided.choice.clone().unwrap();
        let due = Due {
            recipient: ids[0],
            variant_index: choice.variant_index,
            slot: choice.slot,
            send_at: choice.send_at,
            propensity: choice.propensity,
            attempts: 1,
        };
        assert_eq!(rows[0], due);
        let row = tx.delivery(id, ids[0], LENGTH).await.unwrap().unwrap();
        assert_eq!(row.delivery, Delivery { state: State::Claimed, ..decided });
        assert!(tx.settle(id, &other, SENT, &ids, at(2)).await.unwrap().is_empty());
        assert_eq!(tx.settle(id, &mine, SENT, &ids[..1], at(2)).await.unwrap(), ids[..1]);
        assert!(tx.settle(id, &mine, SENT, &ids[..1], at(2)).await.unwrap().is_empty());
        tx.commit().await.unwrap();

        // the second one's claim runs out: it is in doubt, and a late answer still settles it
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.rescue(at(2)).await.unwrap(), 0);
        assert_eq!(tx.rescue(at(3)).await.unwrap(), 1);
        assert_eq!(tx.rescue(at(3)).await.unwrap(), 0, "it is declared once");
        assert_eq!(tx.settle(id, &mine, SENT, &ids, at(3)).await.unwrap(), ids[1..2]);
        tx.commit().await.unwrap();
        let row = store.delivery(id, ids[1], LENGTH).await.unwrap().unwrap();
        assert_eq!((row.delivery.state, row.attempts), (State::Sent, 1));
    })
    .await;
}

#[tokio::test]
async fn a_doubt_ends_by_word_or_by_time() {
    on_both(async |store| {
        let ids = people(&store, 2).await;
        let id = campaign(&store).await;
        plan(&store, id, &[planned(ids[0], 1), planned(ids[1], 1)]).await;
        let mut tx = store.begin().await.unwrap();
        tx.claim(id, &claim("c", 3), at(2), 9, LENGTH).await.unwrap();
        tx.rescue(at(3)).await.unwrap();
        let word = Settled { reason: Some(Reason::Confirmed), ..SENT };
        assert_eq!(tx.resolve(id, State::InDoubt, word, &ids[..1], at(4)).await.unwrap(), 1);
        assert_eq!(tx.resolve(id, State::InDoubt, word, &ids[..1], at(4)).await.unwrap(), 0);
        assert_eq!(tx.give_up(id, at(2), at(5)).await.unwrap(), 0);
        assert_eq!(tx.give_up(id, at(3), at(5)).await.unwrap(), 1);
        tx.commit().await.unwrap();
        let states: Vec<_> = store
            .deliveries(id, LENGTH)
            .await
            .unwrap()
            .into_iter()
            .map(|row| (row.delivery.state, row.delivery.reason))
            .collect();
        let given_up = (State::InDoubtExpired, Reason::NeverConfirmed);
        assert_eq!(states, [(State::Sent, Reason::Confirmed), given_up]);
    })
    .await;
}

#[tokio::test]
async fn a_new_decision_touches_only_what_is_open() {
    on_both(async |store| {
        let ids = people(&store, 2).await;
        let id = campaign(&store).await;
        plan(&store, id, &[planned(ids[0], 1), planned(ids[1], 5)]).await;
        let mut tx = store.begin().await.unwrap();
        tx.claim(id, &claim("c", 3), at(2), 9, LENGTH).await.unwrap();
        tx.settle(id, &claim("c", 3), SENT, &ids, at(2)).await.unwrap();
        tx.commit().await.unwrap();
        let no = |id| Delivery {
            recipient: id,
            state: State::Refused,
            reason: Reason::NoCapacity,
            arm: None,
            choice: None,
        };
        plan(&store, id, &[no(ids[0]), no(ids[1])]).await;
        let counts = store.state_counts(id).await.unwrap();
        let states: Vec<_> = counts.iter().map(|c| (c.state, c.reason, c.people)).collect();
        assert_eq!(
            states,
            [(State::Refused, Reason::NoCapacity, 1), (State::Sent, Reason::BestSlot, 1)]
        );
        plan(&store, id, &[planned(ids[1], 6)]).await;
        assert_eq!(store.next_due(id).await.unwrap(), Some(at(6) + TimeDelta::minutes(7)));
        let mut tx = store.begin().await.unwrap();
        let ended = tx.end_planned(id, State::Cancelled, Reason::CancelledByOperator, at(7)).await;
        assert_eq!(ended.unwrap(), 1);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_lease_has_one_holder_until_it_ends() {
    on_both(async |store| {
        let [a, b]: [NodeId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        assert!(store.take_lease("plan", &a, at(0), at(2)).await.unwrap());
        assert!(!store.take_lease("plan", &b, at(1), at(3)).await.unwrap());
        assert!(store.take_lease("plan", &a, at(1), at(3)).await.unwrap());
        assert!(store.take_lease("plan", &b, at(3), at(5)).await.unwrap());
        store.drop_lease("plan", &a).await.unwrap();
        assert!(!store.take_lease("plan", &a, at(4), at(6)).await.unwrap());
        store.drop_lease("plan", &b).await.unwrap();
        assert!(store.take_lease("plan", &a, at(4), at(6)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn one_model_is_in_use() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let first = tx.add_model(at(1), at(1), "{}", "one").await.unwrap();
        let second = tx.add_model(at(2), at(2), "{}", "two").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.active_version().await.unwrap(), Some(second));
        let mut tx = store.begin().await.unwrap();
        assert!(!tx.use_model(99).await.unwrap());
        assert!(tx.use_model(first).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(store.active_version().await.unwrap(), Some(first));
        assert_eq!(store.model_parameters(first).await.unwrap().as_deref(), Some("one"));
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
        let row = store.campaign(&"spring".parse().unwrap()).await.unwrap().unwrap();
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
        assert!(!store.any_forgotten().await.unwrap());
        let mut tx = store.begin().await.unwrap();
        let counts = tx.forget(id, std::slice::from_ref(&hash), at(2)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            (counts.recipients, counts.consent_entries, counts.messages, counts.evidence),
            (1, 1, 1, 1)
        );
        assert!(store.recipient(&key(0)).await.unwrap().is_none());
        assert!(store.evidence_of(&[id]).await.unwrap().is_empty());
        let gone = store.which_forgotten(std::slice::from_ref(&hash)).await.unwrap();
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
        assert_eq!(store.recipient_count().await.unwrap(), 0);
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
        let everybody = store.recipients_after(RecipientId(0), 10).await.unwrap();
        assert_eq!(everybody.len(), 3);
        assert_eq!(copy.recipients_after(RecipientId(0), 10).await.unwrap(), everybody);
        for person in everybody {
            let ledger = store.ledger(person.id).await.unwrap();
            assert!(!ledger.is_empty());
            assert_eq!(copy.ledger(person.id).await.unwrap(), ledger);
        }
        people(&copy, 5).await;
        let here = store.recipients_after(RecipientId(0), 10).await.unwrap();
        assert_eq!(here.len(), 3, "what is done to a copy is not done here");
        assert!(store.copy_to(&path).await.is_err(), "nothing is overwritten");
    })
    .await;
}
