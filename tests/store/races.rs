//! Two transactions beside each other: what the second one waits for, and what it then sees.

use opportune::model::consent::ConsentChange;
use opportune::model::ids::RecipientId;
use opportune::model::recipient::Profile;
use opportune::store::{Claim, Contact, Create, Store, Tx};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use crate::support::Postgres;
use crate::{at, entry, key, people};

/// A database and how to see that a transaction waits in it. In SQLite the second one waits before it
/// begins.
pub struct Place {
    pub store: Store,
    url: String,
    server: Option<PgPool>,
    dir: TempDir,
}

impl Place {
    /// Where SQLite keeps it.
    pub fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("test.db")
    }

    pub async fn both() -> [Self; 2] {
        let dir = TempDir::new().unwrap();
        let file = format!("sqlite://{}", dir.path().join("test.db").display());
        let postgres = Postgres::shared().database();
        let server = Some(PgPool::connect(&postgres).await.unwrap());
        let store = Store::open(&file, Create::IfMissing).await.unwrap();
        let sqlite = Self { store, url: file, server: None, dir };
        let store = Store::open(&postgres, Create::IfMissing).await.unwrap();
        [sqlite, Self { store, url: postgres, server, dir: TempDir::new().unwrap() }]
    }

    /// A transaction of PostgreSQL that is never the one chosen to fail in a deadlock.
    pub async fn patient(&self) -> Tx {
        let server = self.server.as_ref().expect("SQLite knows no deadlocks");
        let set = async |to: &str| {
            let alter = format!("ALTER DATABASE %I {to}");
            let run = format!("DO $$ BEGIN EXECUTE format('{alter}', current_database()); END $$");
            sqlx::query(AssertSqlSafe(run)).execute(server).await.unwrap();
        };
        // whoever waits for longer than this looks for a deadlock, and fails if there is one
        set("SET deadlock_timeout = ''1min''").await;
        let tx = Store::open(&self.url, Create::No).await.unwrap().begin().await.unwrap();
        set("RESET deadlock_timeout").await;
        tx
    }

    async fn cross(&self, first: Tx, second: impl AsyncFn(&mut Tx)) {
        let run = async {
            let mut tx = self.store.begin().await.unwrap();
            second(&mut tx).await;
            tx.commit().await.unwrap();
        };
        self.beside(first, run).await;
    }

    /// Runs `second`, and commits `first` as soon as it waits for it.
    pub async fn beside<T>(&self, first: Tx, second: impl Future<Output = T>) -> T {
        let commit = async {
            self.wait().await;
            first.commit().await.unwrap();
        };
        tokio::join!(second, commit).0
    }

    /// Waits until a transaction waits for another.
    pub async fn wait(&self) {
        const WAITS: &str = "SELECT COUNT(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let Some(server) = &self.server else { return };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while sqlx::query_scalar::<_, i64>(WAITS).fetch_one(server).await.unwrap() == 0 {
            assert!(std::time::Instant::now() < deadline, "the second one does not wait");
            tokio::task::yield_now().await;
        }
    }
}

async fn consented(store: &Store) -> bool {
    store.read().await.unwrap().recipient(&key(0)).await.unwrap().unwrap().consented
}

#[tokio::test]
async fn a_withdrawal_beside_an_import_of_the_same_people_stands() {
    for place in Place::both().await {
        let store = &place.store;
        let id = people(store, 1).await[0];
        let granted = (id, entry(ConsentChange::Granted, 1));
        let mut tx = store.begin().await.unwrap();
        tx.append_consent(std::slice::from_ref(&granted)).await.unwrap();
        tx.commit().await.unwrap();
        let mut withdrawal = store.begin().await.unwrap();
        withdrawal.append_consent(&[(id, entry(ConsentChange::Withdrawn, 2))]).await.unwrap();
        // an import of the unchanged file: the grant is in the ledger already
        let import = async |tx: &mut Tx| {
            tx.put_recipients(&[(key(0), Profile::default())]).await.unwrap();
            tx.append_consent(std::slice::from_ref(&granted)).await.unwrap();
        };
        place.cross(withdrawal, import).await;
        assert!(!consented(store).await);
        // and the other way about: the later entry counts, whoever commits last
        let mut import = store.begin().await.unwrap();
        import.append_consent(&[(id, entry(ConsentChange::Granted, 3))]).await.unwrap();
        let late = async |tx: &mut Tx| {
            tx.append_consent(&[(id, entry(ConsentChange::Withdrawn, 2))]).await.unwrap();
        };
        place.cross(import, late).await;
        assert!(consented(store).await);
    }
}

#[tokio::test]
async fn a_change_of_a_profile_beside_another_is_not_lost() {
    for place in Place::both().await {
        let store = &place.store;
        people(store, 1).await;
        let tagged = Profile { tags: vec!["vip".to_owned()], ..Profile::default() };
        let mut first = store.begin().await.unwrap();
        first.put_recipients(&[(key(0), tagged)]).await.unwrap();
        let moved =
            Profile { address: Some("+14155550123".parse().unwrap()), ..Profile::default() };
        let second = async |tx: &mut Tx| {
            tx.put_recipients(&[(key(0), moved.clone())]).await.unwrap();
        };
        place.cross(first, second).await;
        let stored = store.read().await.unwrap().recipient(&key(0)).await.unwrap().unwrap();
        assert_eq!(stored.profile.tags, ["vip"]);
        assert!(stored.profile.address.is_some());
    }
}

#[tokio::test]
async fn a_person_who_is_forgotten_meanwhile_gets_no_rows() {
    for place in Place::both().await {
        let store = &place.store;
        let ids = people(store, 2).await;
        let hash = store.forgotten_key().await.unwrap().hash("recipient", key(0).as_str());
        let mut forgetting = store.begin().await.unwrap();
        forgetting.forget(ids[0], &[hash], at(2)).await.unwrap();
        let console = "console".parse().unwrap();
        let second = async |tx: &mut Tx| {
            let known = tx.keep_people(&ids).await.unwrap();
            assert_eq!(known.into_iter().collect::<Vec<RecipientId>>(), ids[1..]);
            let granted = entry(ConsentChange::Granted, 1);
            let entries = [(ids[0], granted.clone()), (ids[1], granted)];
            assert_eq!(tx.append_consent(&entries).await.unwrap(), 1);
            let alias = ("BR.123".parse().unwrap(), ids[0]);
            tx.put_aliases(&console, &[alias].into()).await.unwrap();
            tx.suppress(&console, ids[0], "131026", at(2)).await.unwrap();
        };
        place.cross(forgetting, second).await;
        assert!(store.read().await.unwrap().rows_about(ids[0]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_person_who_is_forgotten_meanwhile_is_not_found_by_a_name_to_write_about() {
    for place in Place::both().await {
        let store = &place.store;
        let profile =
            Profile { address: Some("+14155550123".parse().unwrap()), ..Profile::default() };
        let mut tx = store.begin().await.unwrap();
        let id = tx.put_recipients(&[(key(0), profile)]).await.unwrap()[0].0;
        tx.commit().await.unwrap();
        let hash = store.forgotten_key().await.unwrap().hash("recipient", key(0).as_str());
        let mut forgetting = store.begin().await.unwrap();
        forgetting.forget(id, &[hash], at(2)).await.unwrap();
        let console = "console".parse().unwrap();
        // as a webhook does that brings somebody's word
        let second = async |tx: &mut Tx| {
            for (_, person) in tx.people_at(&console, &["+14155550123"]).await.unwrap() {
                tx.open_service_windows(&console, &[(person, at(9))]).await.unwrap();
                tx.add_inbound(&console, "m1", Some(person), "{}", at(2)).await.unwrap();
                tx.add_activity(&[(person, at(2), "inbound".to_owned())], at(2)).await.unwrap();
            }
            assert!(tx.people_called(&["+14155550123"]).await.unwrap().is_empty());
        };
        place.cross(forgetting, second).await;
        assert!(store.read().await.unwrap().rows_about(id).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_person_who_is_forgotten_while_they_are_claimed_is_not_counted_any_more() {
    for place in Place::both().await {
        let store = &place.store;
        let ids = people(store, 2).await;
        let campaign = crate::campaign(store).await;
        let due: Vec<_> = ids
            .iter()
            .map(|id| crate::support::planned(*id, "plain", at(1), crate::LENGTH))
            .collect();
        let mut tx = store.begin().await.unwrap();
        tx.put_decisions(campaign, &due, crate::LENGTH, at(0)).await.unwrap();
        tx.commit().await.unwrap();
        let hash = store.forgotten_key().await.unwrap().hash("recipient", key(0).as_str());
        let mut forgetting = store.begin().await.unwrap();
        forgetting.forget(ids[0], &[hash], at(2)).await.unwrap();
        // as a claim does that admits people under the account's limits
        let second = async |tx: &mut Tx| {
            let claim = Claim { lease: "one".to_owned(), until: at(9) };
            let now = (at(2), at(2));
            tx.claim(campaign, &claim, now, 9, crate::LENGTH).await.unwrap();
            let found = tx.recipients(&ids).await.unwrap();
            let contact = Contact { counted_at: at(2), pair_until: at(2) };
            let contacts: Vec<_> = found.into_keys().map(|id| (id, contact)).collect();
            tx.put_contacts("portfolio:x", &contacts).await.unwrap();
        };
        place.cross(forgetting, second).await;
        let mut reader = store.read().await.unwrap();
        assert!(reader.rows_about(ids[0]).await.unwrap().is_empty());
        assert_eq!(reader.rows_about(ids[1]).await.unwrap()["contact"].len(), 1);
    }
}

#[tokio::test]
async fn a_rollback_beside_learning_leaves_one_model_in_use() {
    for place in Place::both().await {
        let store = &place.store;
        let mut tx = store.begin().await.unwrap();
        let first = tx.add_model(at(1), at(1), "{}", "one").await.unwrap();
        tx.add_model(at(2), at(2), "{}", "two").await.unwrap();
        tx.commit().await.unwrap();
        let in_use = async || {
            let models = store.read().await.unwrap().models().await.unwrap();
            let active = models.into_iter().filter(|model| model.active);
            active.map(|model| model.version).collect::<Vec<_>>()
        };
        let mut learning = store.begin().await.unwrap();
        let third = learning.add_model(at(3), at(3), "{}", "three").await.unwrap();
        let rollback = async |tx: &mut Tx| assert!(tx.use_model(first).await.unwrap());
        place.cross(learning, rollback).await;
        assert_eq!(in_use().await, [first]);
        let mut rollback = store.begin().await.unwrap();
        assert!(rollback.use_model(third).await.unwrap());
        let learning = async |tx: &mut Tx| {
            tx.add_model(at(4), at(4), "{}", "four").await.unwrap();
        };
        place.cross(rollback, learning).await;
        assert_eq!(in_use().await, [third + 1]);
        // a version that is dropped meanwhile is not put in use, nor one in use dropped
        let mut dropping = store.begin().await.unwrap();
        dropping.drop_model(first).await.unwrap();
        let rollback = async |tx: &mut Tx| assert!(!tx.use_model(first).await.unwrap());
        place.cross(dropping, rollback).await;
        let mut rollback = store.begin().await.unwrap();
        assert!(rollback.use_model(third).await.unwrap());
        place.cross(rollback, async |tx: &mut Tx| tx.drop_model(third).await.unwrap()).await;
        assert_eq!(in_use().await, [third]);
    }
}

#[tokio::test]
async fn two_imports_that_create_the_same_person_create_one() {
    for place in Place::both().await {
        let store = &place.store;
        let mut first = store.begin().await.unwrap();
        let rows = [(key(0), Profile::default())];
        let created = first.put_recipients(&rows).await.unwrap()[0].0;
        let again = async |tx: &mut Tx| {
            assert_eq!(tx.put_recipients(&rows).await.unwrap()[0].0, created);
        };
        place.cross(first, again).await;
    }
}
