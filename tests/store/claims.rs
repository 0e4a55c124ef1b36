//! Deliveries: decided, claimed, settled, in doubt.

use std::collections::{BTreeMap, HashSet};

use chrono::TimeDelta;
use opportune::model::delivery::{Delivery, Reason, State};
use opportune::model::ids::RecipientId;
use opportune::model::slot::Slot;
use opportune::store::{Claim, Due, ObservedRow, Settled, Store};
use sqlx::{PgPool, SqlitePool};

use crate::support::{self, on_both};
use crate::{LENGTH, at, campaign, message, people};

fn planned(recipient: RecipientId, hour: i64) -> Delivery {
    let send_at = at(hour) + TimeDelta::minutes(7);
    let mut delivery = support::planned(recipient, "plain", send_at, LENGTH);
    let choice = delivery.choice.as_mut().unwrap();
    choice.chance = 0.75;
    choice.runner_up = Some((Slot::holding(at(hour + 1), LENGTH), 0.25));
    delivery
}

async fn plan(store: &Store, id: i64, deliveries: &[Delivery]) {
    let mut tx = store.begin().await.unwrap();
    tx.put_decisions(id, deliveries, LENGTH, at(0)).await.unwrap();
    tx.commit().await.unwrap();
}

fn claim(name: &str, hour: i64) -> Claim {
    Claim { lease: name.to_owned(), until: at(hour) }
}

fn sent(people: &[RecipientId]) -> Vec<Settled> {
    people.iter().map(|id| support::sent(*id, 1, at(2))).collect()
}

#[tokio::test]
async fn a_claim_is_never_given_twice() {
    on_both(async |store| {
        let ids = people(&store, 300).await;
        let id = campaign(&store).await;
        let deliveries: Vec<_> = ids.iter().map(|id| planned(*id, 1)).collect();
        plan(&store, id, &deliveries).await;
        let mut early = store.begin().await.unwrap();
        assert!(
            early.claim(id, &claim("e", 9), (at(1), at(1)), 500, LENGTH).await.unwrap().is_empty()
        );
        drop(early);
        let take = async |name: usize| {
            let mut taken = Vec::new();
            for round in 0.. {
                let mut tx = store.begin().await.unwrap();
                let claim = claim(&format!("{name}-{round}"), 9);
                let rows = tx.claim(id, &claim, (at(2), at(2)), 20, LENGTH).await.unwrap();
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
        let rows = tx.claim(id, &mine, (at(2), at(2)), 2, LENGTH).await.unwrap();
        assert_eq!(rows.len(), 2);
        let decided = planned(ids[0], 1);
        let choice = decided.choice.clone().unwrap();
        let due = Due {
            recipient: ids[0],
            variant_index: choice.variant_index,
            slot: choice.slot,
            send_at: choice.send_at,
            reason: decided.reason,
            attempts: 1,
            closes_at: None,
        };
        assert_eq!(rows[0], due);
        let row = tx.delivery(id, ids[0], LENGTH).await.unwrap().unwrap();
        assert_eq!(row.delivery, Delivery { state: State::Claimed, ..decided });
        assert!(tx.settle(id, &other, &sent(&ids), at(2)).await.unwrap().is_empty());
        let settled = tx.settle(id, &mine, &sent(&ids[..1]), at(2)).await.unwrap();
        assert_eq!(settled, HashSet::from([ids[0]]));
        assert!(tx.settle(id, &mine, &sent(&ids[..1]), at(2)).await.unwrap().is_empty());
        tx.commit().await.unwrap();

        // the third one's claim runs out: it is in doubt, and a late answer still settles it
        let late = claim("late", 3);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.claim(id, &late, (at(2), at(2)), 2, LENGTH).await.unwrap().len(), 1);
        assert_eq!(tx.expire_claims(at(2)).await.unwrap(), 0);
        assert_eq!(tx.expire_claims(at(3)).await.unwrap(), 1);
        assert_eq!(tx.expire_claims(at(3)).await.unwrap(), 0, "it is declared once");
        let another_try = [support::sent(ids[2], 2, at(2))];
        assert!(tx.settle(id, &late, &another_try, at(3)).await.unwrap().is_empty());
        let settled = tx.settle(id, &late, &sent(&ids), at(3)).await.unwrap();
        assert_eq!(settled, HashSet::from([ids[2]]));
        tx.commit().await.unwrap();
        let row = store.read().await.unwrap().delivery(id, ids[2], LENGTH).await.unwrap().unwrap();
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
        tx.claim(id, &claim("c", 3), (at(2), at(2)), 9, LENGTH).await.unwrap();
        tx.expire_claims(at(3)).await.unwrap();
        let mut found = tx.lock_deliveries(id, &ids[..1]).await.unwrap();
        assert_eq!((found[0].state, found[0].attempts), (State::InDoubt, 1));
        (found[0].state, found[0].reason) = (State::Sent, Reason::Confirmed);
        tx.put_answered(&found, at(4)).await.unwrap();
        assert_eq!(tx.give_up(id, at(2), at(5)).await.unwrap(), 0);
        assert_eq!(tx.give_up(id, at(3), at(5)).await.unwrap(), 1);
        tx.commit().await.unwrap();
        let states: Vec<_> = store
            .read()
            .await
            .unwrap()
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
        tx.claim(id, &claim("c", 3), (at(2), at(2)), 9, LENGTH).await.unwrap();
        tx.settle(id, &claim("c", 3), &sent(&ids), at(2)).await.unwrap();
        tx.commit().await.unwrap();
        let no = |id| Delivery {
            recipient: id,
            state: State::Refused,
            reason: Reason::NoCapacity,
            arm: None,
            choice: None,
            expectation: None,
        };
        plan(&store, id, &[no(ids[0]), no(ids[1])]).await;
        let counts = store.read().await.unwrap().state_counts(id).await.unwrap();
        let states: Vec<_> = counts.iter().map(|c| (c.state, c.reason, c.people)).collect();
        assert_eq!(
            states,
            [(State::Refused, Reason::NoCapacity, 1), (State::Sent, Reason::BestSlot, 1)]
        );
        plan(&store, id, &[planned(ids[1], 6)]).await;
        assert_eq!(
            store.read().await.unwrap().next_due(id).await.unwrap(),
            Some(at(6) + TimeDelta::minutes(7))
        );
        let mut tx = store.begin().await.unwrap();
        let ended = tx.end_planned(id, State::Cancelled, Reason::CancelledByOperator, at(7)).await;
        assert_eq!(ended.unwrap(), 1);
        tx.commit().await.unwrap();
    })
    .await;
}

/// Two messages as the versions before claims had a table of their own left them, one of them
/// claimed.
const CLAIMED_BEFORE: &str = "
    INSERT INTO campaign (id, name, source, provider, status, submitted_at, ends_at)
        VALUES (1, 'spring', '', 'console', 'active', 0, 0);
    INSERT INTO delivery (campaign, recipient, state, reason, attempts, lease, lease_until, changed_at)
        VALUES (1, 1, 'claimed', 'best_slot', 1, 'old', 10000000, 0),
               (1, 2, 'claimed', 'best_slot', 1, 'old', 10000000, 0),
               (1, 3, 'planned', 'best_slot', 0, NULL, NULL, 0)";

#[tokio::test]
async fn what_an_older_version_had_claimed_is_still_held_and_then_in_doubt() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = format!("sqlite://{}", dir.path().join("old.db").display());
    let postgres = support::Postgres::shared().database();
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
    let mut older = sqlx::migrate::Migrator::new(folder).await.unwrap();
    older.migrations.to_mut().retain(|migration| migration.version < 8);
    let db = SqlitePool::connect(&format!("{file}?mode=rwc")).await.unwrap();
    older.run(&db).await.unwrap();
    sqlx::raw_sql(CLAIMED_BEFORE).execute(&db).await.unwrap();
    db.close().await;
    let db = PgPool::connect(&postgres).await.unwrap();
    older.run(&db).await.unwrap();
    sqlx::raw_sql(CLAIMED_BEFORE).execute(&db).await.unwrap();
    db.close().await;
    for url in [file, postgres] {
        let store = support::open_old(&url).await;
        let second = |second| chrono::DateTime::from_timestamp(second, 0).unwrap();
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.expire_claims(second(9)).await.unwrap(), 0);
        assert_eq!(tx.expire_claims(second(10)).await.unwrap(), 2);
        tx.commit().await.unwrap();
        let rows = store.read().await.unwrap().deliveries(1, LENGTH).await.unwrap();
        let states: Vec<State> = rows.iter().map(|row| row.delivery.state).collect();
        assert_eq!(states, [State::InDoubt, State::InDoubt, State::Planned]);
        store.close().await;
    }
}

#[tokio::test]
async fn every_message_is_handed_over_once_with_what_came_of_it() {
    on_both(async |store| {
        const IMPORTED: usize = 2_345;
        let people = people(&store, 7).await;
        let mut tx = store.begin().await.unwrap();
        for first in (0..IMPORTED).step_by(500) {
            let numbers = first..(first + 500).min(IMPORTED);
            let rows: Vec<_> = numbers.map(|n| (people[n % 7], message(n))).collect();
            tx.add_messages(&rows, at(1)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let id = campaign(&store).await;
        plan(&store, id, &people.iter().map(|id| planned(*id, 2)).collect::<Vec<_>>()).await;
        let hash = store.forgotten_key().await.unwrap().hash("recipient", "r6");
        // four are sent, three wait
        let mut tx = store.begin().await.unwrap();
        let claim = claim("a", 9);
        tx.claim(id, &claim, (at(3), at(3)), 4, LENGTH).await.unwrap();
        tx.settle(id, &claim, &sent(&people[..4]), at(3)).await.unwrap();
        tx.forget(people[6], &[hash], at(3)).await.unwrap();
        tx.commit().await.unwrap();
        let mut found = BTreeMap::new();
        let take = |row: ObservedRow<'_>| {
            let media = row.content.map(|content| content.media);
            let told = (row.recipient, row.sent_at, row.answered_at, media);
            let told = (told, row.channel.map(str::to_owned));
            assert!(found.insert(row.key.to_owned(), told).is_none());
        };
        store.each_message(None, take).await.unwrap();
        let imported = (0..IMPORTED).filter(|n| n % 7 != 6).count();
        assert_eq!(found.len(), imported + 4);
        let eighth = message(8);
        let told = (people[1], eighth.sent_at.timestamp_micros(), [None; 7], eighth.media);
        assert_eq!(found[eighth.key.as_str()], (told, None));
        let ((recipient, sent_at, ..), channel) = &found[&format!("spring:{}", people[2].0)];
        assert_eq!((*recipient, *sent_at), (people[2], at(2).timestamp_micros()));
        assert_eq!(channel.as_deref(), Some("console"));
    })
    .await;
}
