//! Whatever is stored of a person is given out, and is gone when they ask to be forgotten. The test walks
//! the schema, so that a new table is looked at too.

use opportune::model::ids::RecipientId;
use opportune::model::reply::{Intent, JudgedText};
use opportune::store::{NewReply, Store};
use opportune::work::people;
use sqlx::{PgPool, SqlitePool};

use crate::imports::ctx;
use crate::older::on_both_old_at;

enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Db {
    async fn at(url: &str) -> Self {
        if url.starts_with("sqlite://") {
            Self::Sqlite(SqlitePool::connect(url).await.unwrap())
        } else {
            Self::Postgres(PgPool::connect(url).await.unwrap())
        }
    }

    async fn tables_with_people(&self) -> Vec<String> {
        const IN_SQLITE: &str =
            "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table' AND c.name = 'recipient' ORDER BY 1";
        const IN_POSTGRES: &str = "SELECT CAST(c.table_name AS TEXT)
            FROM information_schema.columns AS c JOIN information_schema.tables AS t
                ON t.table_schema = c.table_schema AND t.table_name = c.table_name
            WHERE c.column_name = 'recipient' AND c.table_schema = 'public'
                AND t.table_type = 'BASE TABLE' ORDER BY 1";
        match self {
            Self::Sqlite(db) => sqlx::query_scalar(IN_SQLITE).fetch_all(db).await.unwrap(),
            Self::Postgres(db) => sqlx::query_scalar(IN_POSTGRES).fetch_all(db).await.unwrap(),
        }
    }

    async fn run(&self, sql: String) {
        let sql = sqlx::AssertSqlSafe(sql);
        match self {
            Self::Sqlite(db) => drop(sqlx::query(sql).execute(db).await.unwrap()),
            Self::Postgres(db) => drop(sqlx::query(sql).execute(db).await.unwrap()),
        }
    }

    async fn rows_of_the_first(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE recipient = 1");
        let sql = sqlx::AssertSqlSafe(sql);
        match self {
            Self::Sqlite(db) => sqlx::query_scalar(sql).fetch_one(db).await.unwrap(),
            Self::Postgres(db) => sqlx::query_scalar(sql).fetch_one(db).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn every_table_with_people_is_exported_and_forgotten() {
    on_both_old_at(async |url, store: Store| {
        let db = Db::at(&url).await;
        let tables = db.tables_with_people().await;
        assert!(tables.len() >= 10, "{tables:?}");
        let first = RecipientId(1);
        let mut tx = store.begin().await.unwrap();
        tx.suppress(&"console".parse().unwrap(), first, "131026", chrono::DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        let reply = NewReply {
            message: "wamid.1".to_owned(),
            recipient: first,
            campaign: None,
            received_at: chrono::DateTime::UNIX_EPOCH,
            text: "not now".to_owned(),
            judged: JudgedText {
                intent: Intent::NotNow,
                probability: 0.9,
                stop: 0.1,
                language: "en",
                language_probability: 1.0,
            },
            needs_human: false,
        };
        let new = tx.add_replies(&"console".parse().unwrap(), &[reply]).await.unwrap();
        tx.pause_people(&[(first, new["wamid.1"], chrono::DateTime::UNIX_EPOCH)]).await.unwrap();
        tx.commit().await.unwrap();
        db.run(
            "INSERT INTO event (recipient, kind, key, keyed, at, attributes, added_at, changed_at)
            VALUES (1, 'visit', 'a', TRUE, 0, '{}', 0, 0)"
                .to_owned(),
        )
        .await;
        db.run(
            "INSERT INTO occurrence
                (parent, recipient, key, event_at, opens_at, closes_at, attributes)
            SELECT MIN(id), 1, 'a', 0, 0, 0, '{}' FROM campaign"
                .to_owned(),
        )
        .await;
        db.run(
            "INSERT INTO link_visit
                (link, campaign, recipient, uncounted, first_at, last_at, visits)
            VALUES (1, 1, 1, 'head', 0, 0, 1)"
                .to_owned(),
        )
        .await;
        db.run(
            "INSERT INTO permit (provider, recipient, topic, token, remaining, next_at)
            VALUES ('wx', 1, 'a', 'b', 1, 0)"
                .to_owned(),
        )
        .await;
        for table in &tables {
            if db.rows_of_the_first(table).await == 0 {
                db.run(format!("UPDATE {table} SET recipient = 1 WHERE recipient = 2")).await;
            }
            let rows = db.rows_of_the_first(table).await;
            assert!(rows > 0, "{table}: give the first person a row here, so that it is looked at");
            let found = store.read().await.unwrap().rows_about(first).await.unwrap();
            assert_eq!(found[table].len(), rows as usize, "{table} is not exported");
        }
        let ctx = ctx(&store);
        let person = store.read().await.unwrap().everybody().await.unwrap().remove(0);
        let key = person.key.clone();
        let told = serde_json::to_value(people::stored(&ctx, person).await.unwrap()).unwrap();
        assert_eq!(told["other"]["inbound"][0]["body"], "{\"text\":\"when?\"}");
        assert_eq!(told["other"]["service_window"][0]["open_until"], "2026-01-02T13:00:00Z");
        assert_eq!(told["other"]["contact"][0]["account"], "number:console");
        assert_eq!(told["other"]["reply"][0]["text"], "not now");
        assert_eq!(told["names"]["aliases"][0], "BR.123");
        assert_eq!(told["names"]["former_addresses"][0], "+447700900777");
        for list in ["consent", "messages", "activity", "deliveries"] {
            assert!(!told[list].as_array().unwrap().is_empty(), "{list}");
        }
        assert!(told["evidence_bytes"].as_u64().unwrap() > 0);

        people::forget(&ctx, &key, "test").await.unwrap().unwrap();
        for table in &tables {
            assert_eq!(db.rows_of_the_first(table).await, 0, "{table} is not erased");
        }
        assert!(store.read().await.unwrap().rows_about(first).await.unwrap().is_empty());
        assert!(!store.read().await.unwrap().rows_about(RecipientId(3)).await.unwrap().is_empty());
    })
    .await;
}
