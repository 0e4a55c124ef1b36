//! Leases and their terms, and the rows of background tasks.

use opportune::model::ids::NodeId;
use opportune::store::{Store, StoreError, TaskRow, Term};

use crate::at;
use crate::support::on_both;

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

async fn take(store: &Store, who: &str, now: i64, until: i64) -> Option<Term> {
    store.take_lease("plan", &node(who), at(now), at(until)).await.unwrap()
}

/// Writes a mark under a term.
async fn store_under(store: &Store, term: &Term, value: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.set_mark("made", value).await?;
    tx.hold_term(term).await?;
    tx.commit().await
}

async fn made(store: &Store) -> Option<String> {
    store.read().await.unwrap().mark("made").await.unwrap()
}

#[tokio::test]
async fn a_lease_has_one_holder_and_each_taking_is_a_new_term() {
    on_both(async |store| {
        let first = take(&store, "a", 0, 2).await.unwrap();
        assert_eq!(take(&store, "b", 1, 3).await, None);
        // another task of the same node is another holder
        assert_eq!(take(&store, "a", 1, 3).await, None);
        store.renew_lease(&first, at(4)).await.unwrap();
        assert_eq!(take(&store, "b", 3, 5).await, None);
        let second = take(&store, "b", 4, 6).await.unwrap();
        assert!(second.number() > first.number());
        let lost = store.renew_lease(&first, at(9)).await.unwrap_err();
        assert!(matches!(lost, StoreError::LostTerm { .. }), "{lost:?}");
        // what a lost term gives back is nobody's
        store.give_back_lease(&first).await.unwrap();
        assert_eq!(take(&store, "c", 5, 7).await, None);
        store.give_back_lease(&second).await.unwrap();
        let third = take(&store, "b", 5, 7).await.unwrap();
        assert!(third.number() > second.number(), "a lease given back does not begin anew");
    })
    .await;
}

#[tokio::test]
async fn what_is_stored_under_a_lost_term_is_refused() {
    on_both(async |store| {
        let frozen = take(&store, "a", 0, 2).await.unwrap();
        store_under(&store, &frozen, "a").await.unwrap();
        // a lease that lapsed and that nobody took is still its holder's
        store_under(&store, &frozen, "still a").await.unwrap();
        let next = take(&store, "b", 3, 5).await.unwrap();
        let refused = store_under(&store, &frozen, "late a").await.unwrap_err();
        assert!(matches!(refused, StoreError::LostTerm { .. }), "{refused:?}");
        assert_eq!(made(&store).await.as_deref(), Some("still a"));
        store_under(&store, &next, "b").await.unwrap();
        store.give_back_lease(&next).await.unwrap();
        assert!(store_under(&store, &next, "late b").await.is_err());
        // the same node again is another term
        let same = take(&store, "a", 4, 6).await.unwrap();
        assert!(store_under(&store, &frozen, "older a").await.is_err());
        store_under(&store, &same, "new a").await.unwrap();
        assert_eq!(made(&store).await.as_deref(), Some("new a"));
    })
    .await;
}

#[tokio::test]
async fn nobody_takes_a_lease_while_something_is_stored_under_it() {
    on_both(async |store| {
        let slow = take(&store, "a", 0, 2).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.hold_term(&slow).await.unwrap();
        let beside = store.clone();
        let taking = tokio::spawn(async move { take(&beside, "b", 3, 5).await });
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert!(!taking.is_finished(), "the lease was taken in the middle of a transaction");
        tx.set_mark("made", "a").await.unwrap();
        tx.commit().await.unwrap();
        assert!(taking.await.unwrap().is_some());
        assert_eq!(made(&store).await.as_deref(), Some("a"));
    })
    .await;
}

#[tokio::test]
async fn rows_of_tasks_are_kept_by_node_and_pruned_when_the_node_is_gone() {
    on_both(async |store| {
        let row = |name: &str, node: &str, seen: i64| TaskRow {
            name: name.to_owned(),
            node: node.to_owned(),
            last_started_at: Some(at(seen)),
            last_succeeded_at: None,
            last_duration_ms: Some(7),
            last_result: Some("failed".to_owned()),
            last_error: Some("could not plan".to_owned()),
            runs: 3,
            failures: 2,
            panics: 1,
            seen_at: at(seen),
        };
        let put = async |rows: &[TaskRow], gone_before: i64| {
            let mut tx = store.begin().await.unwrap();
            tx.put_tasks(rows, at(gone_before)).await.unwrap();
            tx.commit().await.unwrap();
        };
        put(&[row("plan", "a", 1), row("learn", "a", 1)], 0).await;
        let newer = TaskRow { last_succeeded_at: Some(at(3)), ..row("plan", "b", 3) };
        put(std::slice::from_ref(&newer), 0).await;
        let all = store.read().await.unwrap().tasks().await.unwrap();
        assert_eq!(all, [row("learn", "a", 1), row("plan", "a", 1), newer.clone()]);
        put(std::slice::from_ref(&newer), 2).await;
        assert_eq!(store.read().await.unwrap().tasks().await.unwrap(), [newer]);
        let mut tx = store.begin().await.unwrap();
        tx.drop_tasks(&node("b")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.read().await.unwrap().tasks().await.unwrap(), []);
    })
    .await;
}
