//! Imports beside other writers: nothing is lost, nobody waits long, and who was forgotten stays away.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use opportune::clock::Clock;
use opportune::config::Config;
use opportune::files;
use opportune::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use opportune::model::recipient::Profile;
use opportune::store::Store;
use opportune::work::import::{self, ImportError, Imported, Strictness};
use opportune::work::{Ctx, people};
use tempfile::TempDir;

use crate::key;
use crate::races::Place;
use crate::support;

pub fn ctx(store: &Store) -> Ctx {
    support::ctx(store.clone(), Config::parse("", Path::new("x")).unwrap(), Clock::system())
}

fn file(dir: &TempDir, text: &str) -> files::Input {
    let path = dir.path().join("file.csv");
    std::fs::write(&path, text).unwrap();
    files::open(&path).unwrap()
}

async fn recipients(store: &Store, text: &str) -> Imported {
    let input = file(&TempDir::new().unwrap(), text);
    import::recipients(&ctx(store), input, Strictness::Lenient, |_| ()).await.unwrap()
}

#[tokio::test]
async fn a_deadlock_with_another_writer_is_waited_out() {
    let [_, place] = Place::both().await;
    let store = &place.store;
    recipients(store, "recipient\nr0\nr1\n").await;
    let profile = Profile { tags: vec!["vip".to_owned()], ..Profile::default() };
    let mut first = place.patient().await;
    first.put_recipients(&[(key(1), profile.clone())]).await.unwrap();
    let import = recipients(store, "recipient,tags\nr0,new\nr1,new\n");
    // the import holds one of them and waits for the other, and now each waits for the other
    let crossing = async {
        place.wait().await;
        first.put_recipients(&[(key(0), profile.clone())]).await.unwrap();
        first.commit().await.unwrap();
    };
    let (imported, ()) = tokio::join!(import, crossing);
    assert_eq!((imported.rows, imported.updated, imported.refused), (2, 2, 0));
}

#[tokio::test]
async fn a_strict_import_is_loaded_in_short_transactions() {
    let [place, _] = Place::both().await;
    let dir = TempDir::new().unwrap();
    let mut text = "recipient,at,kind\n".to_owned();
    for n in 0..45_000 {
        writeln!(text, "r{},2026-01-01T{:02}:{:02}:{:02}Z,s", n % 9, n / 3600, n / 60 % 60, n % 60)
            .unwrap();
    }
    let path = place.file();
    let mut stored = Vec::new();
    let seen = |_| {
        let rows = Command::new("sqlite3").arg(&path).arg("SELECT COUNT(*) FROM activity").output();
        let rows = String::from_utf8(rows.unwrap().stdout).unwrap();
        stored.push(rows.trim().parse::<u64>().unwrap());
    };
    let input = file(&dir, &text);
    let imported = import::activity(&ctx(&place.store), input, Strictness::Strict, seen).await;
    assert_eq!(imported.unwrap().new, 45_000);
    assert_eq!(stored, [20_000, 40_000, 45_000]);
}

#[tokio::test]
async fn a_strict_import_with_a_bad_row_anywhere_loads_nothing() {
    for place in Place::both().await {
        let store = &place.store;
        let dir = TempDir::new().unwrap();
        let ctx = ctx(store);
        let strict = async |text: &str| {
            import::messages(&ctx, file(&dir, text), Strictness::Strict, |_| ()).await
        };
        let head = "message,recipient,sent_at,media\n";
        let good = format!("{head}m1,r0,2026-01-01T10:00:00Z,text\n");
        assert_eq!(strict(&good).await.unwrap().new, 1);
        let mut many = head.to_owned();
        for n in 2..25_000 {
            writeln!(many, "m{n},r0,2026-01-01T10:00:00Z,text").unwrap();
        }
        // a value, what is stored, and what stands in the same file, 20,000 rows before
        for bad in [
            "m99999,r0,2026-01-01T10:00:00Z,smell",
            "m1,r0,2026-01-01T10:00:00Z,image",
            "m2,r0,2026-01-01T11:00:00Z,text",
        ] {
            let error = strict(&format!("{many}{bad}\n")).await.unwrap_err();
            let ImportError::Strict(told) = error else { panic!("{error}") };
            assert_eq!((told.refused, told.refusals[0].line), (1, 25_000), "{bad}");
            let mut reader = store.read().await.unwrap();
            let person = reader.recipient(&key(0)).await.unwrap().unwrap();
            assert_eq!(reader.messages_of(person.id).await.unwrap().len(), 1, "{bad}");
        }
        assert_eq!(strict(&many).await.unwrap().new, 24_998);
    }
}

#[tokio::test]
async fn a_person_who_is_forgotten_during_an_import_does_not_come_back() {
    for place in Place::both().await {
        let store = &place.store;
        let file = "recipient,address,opted_in_at\nr0,+14155550123,2026-01-01T00:00:00Z\n";
        recipients(store, file).await;
        let id = store.read().await.unwrap().recipient(&key(0)).await.unwrap().unwrap().id;
        let hash = store.forgotten_key().await.unwrap().hash("recipient", "r0");
        let mut forgetting = store.begin().await.unwrap();
        forgetting.forget(id, &[hash], crate::at(0)).await.unwrap();
        let imported = place.beside(forgetting, recipients(store, file)).await;
        assert_eq!((imported.new, imported.refused), (0, 1));
        assert_eq!(store.read().await.unwrap().recipient_count().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_person_who_is_forgotten_does_not_come_back_by_any_of_their_names() {
    for place in Place::both().await {
        let store = &place.store;
        recipients(store, "recipient,address\nr0,+14155550123\n").await;
        let id = store.read().await.unwrap().recipient(&key(0)).await.unwrap().unwrap().id;
        let console = "console".parse().unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.put_aliases(&console, &[("BR.123".parse().unwrap(), id)].into()).await.unwrap();
        let (old, new) = ("+14155550100".parse().unwrap(), "+14155550123".parse().unwrap());
        tx.leave_addresses(&console, id, &[&old], &new, crate::at(0)).await.unwrap();
        tx.commit().await.unwrap();
        people::forget(&ctx(store), &key(0), "test").await.unwrap().unwrap();
        let names = "recipient,address\nr0,\nBR.123,\n+14155550123,\nr7,BR.123\nr8,+14155550123\n\
                     r9,+14155550100\nr10,+14155550199\n";
        let imported = recipients(store, names).await;
        assert_eq!((imported.new, imported.refused), (1, 6), "{:?}", imported.refusals);
        let dir = TempDir::new().unwrap();
        let input = file(&dir, "recipient,at,kind\nBR.123,2026-01-01T00:00:00Z,session\n");
        let imported = import::activity(&ctx(store), input, Strictness::Lenient, |_| ()).await;
        assert_eq!(imported.unwrap().refused, 1);
    }
}

#[tokio::test]
async fn words_about_two_providers_at_one_time_are_two_words() {
    for place in Place::both().await {
        let store = &place.store;
        recipients(store, "recipient\nr0\n").await;
        let mut tx = store.begin().await.unwrap();
        let id = tx.recipient(&key(0)).await.unwrap().unwrap().id;
        let now = Clock::system().now();
        let word = |provider: &str| {
            let scope = ConsentScope { provider: Some(provider.parse().unwrap()), topic: None };
            let change = ConsentChange::Withdrawn;
            (id, ConsentEntry { change, scope, ..support::granted(now, now) })
        };
        let words = ["whatsapp", "mail"].map(word);
        assert_eq!(tx.append_consent(&words).await.unwrap(), 2);
        assert_eq!(tx.append_consent(&words).await.unwrap(), 0, "a file that comes again");
        assert!(tx.unknown_consents(&words).await.unwrap().is_empty());
        for provider in ["whatsapp", "mail"] {
            let subject = (&provider.parse().unwrap(), None);
            let said = tx.provider_consents(subject, Some(&[id])).await.unwrap();
            assert_eq!(said.get(&id), Some(&false), "{provider}");
        }
        tx.commit().await.unwrap();
    }
}
