//! Workspaces that earlier versions wrote, on both databases: nothing of them is lost on the way.

use opportune::model::delivery::{Reason, State};
use opportune::model::ids::RecipientId;
use opportune::model::time::Instant;
use opportune::store::{CampaignStatus, ExportRow, Store};
use sqlx::{PgPool, SqlitePool};

use crate::support::{self, open_old};

const SQLITE: &str = include_str!("version_0008/sqlite.sql");
const POSTGRES: &str = include_str!("version_0008/postgres.sql");

/// When the campaigns of the dump were sent; its other times are minutes from then.
fn sent(minute: i64) -> Instant {
    chrono::DateTime::from_timestamp(1_767_272_820 + minute * 60, 0).unwrap()
}

/// Loads the dump of each database and opens it with this program.
async fn on_both_old(behaviour: impl AsyncFn(Store)) {
    on_both_old_at(async |_, store| behaviour(store).await).await;
}

/// The same, told where the database is.
pub async fn on_both_old_at(behaviour: impl AsyncFn(String, Store)) {
    let dir = tempfile::TempDir::new().unwrap();
    let file = format!("sqlite://{}", dir.path().join("old.db").display());
    let db = SqlitePool::connect(&format!("{file}?mode=rwc")).await.unwrap();
    sqlx::raw_sql(SQLITE).execute(&db).await.unwrap();
    db.close().await;
    let postgres = support::Postgres::shared().database();
    let db = PgPool::connect(&postgres).await.unwrap();
    sqlx::raw_sql(POSTGRES).execute(&db).await.unwrap();
    db.close().await;
    for url in [file, postgres] {
        let store = open_old(&url).await;
        behaviour(url, store.clone()).await;
        store.close().await;
    }
}

async fn export(store: &Store, name: &str) -> Vec<ExportRow> {
    let mut reader = store.read().await.unwrap();
    let name = name.parse().unwrap();
    let id = reader.campaign(&name).await.unwrap().unwrap().id;
    reader.export_rows(id, (None, None), RecipientId(0), 100).await.unwrap()
}

#[tokio::test]
async fn people_with_ledger_names_and_history_are_kept() {
    on_both_old(async |store| {
        let mut reader = store.read().await.unwrap();
        let people = reader.everybody().await.unwrap();
        assert_eq!(people.len(), 15);
        let consented: Vec<i64> =
            people.iter().filter(|person| person.consented).map(|person| person.id.0).collect();
        assert_eq!(consented, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14]);
        assert_eq!(people[1].profile.tags, ["newsletter", "vip"]);
        assert_eq!(people[1].profile.attributes["name"], "Ann 2");
        let mut entries = Vec::new();
        for person in &people {
            entries.push(reader.ledger(person.id).await.unwrap().len());
        }
        assert_eq!(entries, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 1, 0]);
        let withdrawn = &reader.ledger(RecipientId(12)).await.unwrap()[1];
        assert_eq!((withdrawn.source.as_str(), withdrawn.evidence.as_str()), ("call", "ticket 7"));
        assert_eq!(reader.names(RecipientId(1)).await.unwrap().aliases, ["BR.123"]);
        let left = reader.names(RecipientId(2)).await.unwrap().former_addresses;
        assert_eq!(left, ["+447700900777"]);
        assert_eq!(reader.activity_of(RecipientId(1)).await.unwrap().len(), 2);
        assert_eq!(reader.activity_of(RecipientId(3)).await.unwrap().len(), 1);
        let hash = store.forgotten_key().await.unwrap().hash("recipient", "p99");
        assert_eq!(reader.which_forgotten(&[hash]).await.unwrap().len(), 1);

        let words: Vec<i64> = people.iter().map(|person| person.id.0).collect();
        let mut messages = Vec::new();
        for id in words {
            messages.push(reader.messages_of(RecipientId(id)).await.unwrap().len());
        }
        // imported, and of four campaigns; two of the fourth's only look like ours
        assert_eq!(messages, [5, 3, 2, 4, 1, 1, 1, 1, 1, 1, 2, 1, 2, 2, 0]);
        let bought = &reader.messages_of(RecipientId(2)).await.unwrap()[1].message;
        assert_eq!((bought.key.as_str(), bought.propensity), ("old-15", Some(0.25)));
        assert_eq!(bought.response.amount, Some(12.5));
        let failed = &reader.messages_of(RecipientId(14)).await.unwrap()[1].message.response;
        assert_eq!(failed.failure_code.as_deref(), Some("131026"));
    })
    .await;
}

#[tokio::test]
async fn campaigns_stand_as_they_stood() {
    on_both_old(async |store| {
        let mut reader = store.read().await.unwrap();
        let mut stand = Vec::new();
        for row in reader.open_campaigns().await.unwrap().rows {
            let counts = reader.state_counts(row.id).await.unwrap();
            let slots = reader.plan_slots(row.id).await.unwrap();
            let people: u64 = counts.iter().map(|count| count.people).sum();
            stand.push((row.campaign.name.to_string(), row.status, people, slots.len()));
        }
        use CampaignStatus::{Active, Cancelled, Finished, Paused};
        let expected = [
            ("spring", Active, 15, 2),
            ("held-back", Paused, 3, 2),
            ("stopped", Cancelled, 3, 2),
            ("over", Finished, 4, 2),
            ("fresh", Active, 0, 0),
        ];
        let expected =
            expected.map(|(name, status, people, slots)| (name.to_owned(), status, people, slots));
        assert_eq!(stand, expected);
        let name = "spring".parse().unwrap();
        let spring = reader.campaign(&name).await.unwrap().unwrap();
        assert_eq!((spring.model, spring.plan.as_deref()), (Some(1), Some("{\"schema\":1}")));
        let slots = reader.plan_slots(spring.id).await.unwrap();
        assert_eq!((slots[0].capacity, slots[0].reserved, slots[0].planned), (Some(9), 1, 7));
        assert_eq!((slots[0].price, slots[1].capacity), (0.125, None));
        let stopped = reader.campaign(&"stopped".parse().unwrap()).await.unwrap().unwrap().id;
        let counts = reader.state_counts(stopped).await.unwrap();
        let counts: Vec<_> = counts.iter().map(|c| (c.state, c.reason, c.people)).collect();
        assert_eq!(
            counts,
            [
                (State::Cancelled, Reason::CancelledByOperator, 2),
                (State::Sent, Reason::BestSlot, 1)
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_and_came_back_is_exported_as_before() {
    on_both_old(async |store| {
        let rows = export(&store, "spring").await;
        let states: Vec<(&str, &str)> =
            rows.iter().map(|row| (row.state.as_str(), row.reason.as_str())).collect();
        // what the channel took and then failed may be told as sent or as failed
        let third = states[2];
        assert!(third.0 == "sent" || third == ("failed", "undeliverable"), "{third:?}");
        let expected = [
            ("sent", "best_slot"),
            ("sent", "best_slot"),
            third,
            ("sent", "best_slot"),
            ("failed", "provider_failure"),
            ("held", "held_by_provider"),
            ("in_doubt", "answer_lost"),
            ("in_doubt_expired", "never_confirmed"),
            ("claimed", "best_slot"),
            ("claimed", "best_slot"),
            ("planned", "best_slot"),
            ("refused", "no_consent"),
            ("refused", "consent_withdrawn"),
            ("planned", "best_slot"),
            ("refused", "no_address"),
        ];
        assert_eq!(states, expected);
        let micros = |minute| Some(sent(minute).timestamp_micros());
        let first = &rows[0];
        assert_eq!((first.key.as_str(), first.arm.as_deref()), ("p01", Some("personalized")));
        assert_eq!((first.variant.as_deref(), first.send_at), (Some("clip"), micros(0)));
        assert_eq!((first.attempts, first.sent_at, first.delivered_at), (1, micros(0), micros(1)));
        assert_eq!((first.read_at, first.clicked_at), (micros(2), micros(3)));
        assert_eq!((first.replied_at, first.converted_at), (micros(4), micros(5)));
        assert_eq!(first.provider_message.as_deref(), Some("wamid.spring.1"));
        assert_eq!((rows[1].delivered_at, rows[1].opted_out_at), (micros(1), micros(9)));
        assert_eq!(rows[3].provider_message.as_deref(), Some("wamid.spring.4"));
        assert_eq!((rows[4].sent_at, rows[8].sent_at, rows[13].sent_at), (None, None, None));
        assert_eq!(rows[10].attempts, 1);
        assert_eq!(export(&store, "over").await[0].delivered_at, micros(1));
        let over: Vec<String> =
            export(&store, "over").await.into_iter().map(|row| row.state).collect();
        assert_eq!(over, ["sent", "expired", "expired", "expired"]);

        let mut reader = store.read().await.unwrap();
        let ours = reader.messages_of(RecipientId(1)).await.unwrap();
        let ours = ours.iter().find(|row| row.message.campaign.as_deref() == Some("spring"));
        let ours = ours.unwrap();
        assert_eq!(ours.message.response.amount, Some(20.0));
        assert_eq!(ours.message.style.as_ref().map(|style| style.as_str()), Some("product"));
        assert_eq!(ours.message.propensity, Some(0.5));
        // imported with its chance; what an older version drew does not tell among what
        let mut randomized = Vec::new();
        reader.each_randomized_message(|found| randomized.push(found)).await.unwrap();
        assert!(randomized.iter().any(|found| found.row.message.key.as_str() == "old-15"));
        assert!(randomized.iter().all(|found| found.drawn.is_none()));
        let id = reader.campaign(&"spring".parse().unwrap()).await.unwrap().unwrap().id;
        let within = std::time::Duration::from_hours(2);
        let goal = opportune::model::content::Goal::Read;
        let sums = reader.experiment(id, goal, within, sent(999), 9).await.unwrap();
        assert!(sums.arms.iter().all(|arm| arm.expected == 0) && !sums.arms.is_empty());
        let given_up = reader.messages_of(RecipientId(3)).await.unwrap();
        let given_up = &given_up.iter().find(|row| row.message.sent_at == sent(0)).unwrap().message;
        assert_eq!(given_up.response.failed_at, Some(sent(1)));
        assert_eq!(given_up.response.failure_code.as_deref(), Some("131026"));
    })
    .await;
}

#[tokio::test]
async fn an_open_claim_is_still_held_and_falls_into_doubt_in_its_time() {
    on_both_old(async |store| {
        // the claim of the dump ends three hours after its first hour began
        let end = sent(0) - chrono::TimeDelta::minutes(7) + chrono::TimeDelta::hours(3);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.expire_claims(end - chrono::TimeDelta::seconds(1)).await.unwrap(), 0);
        assert_eq!(tx.expire_claims(end).await.unwrap(), 2);
        tx.commit().await.unwrap();
        let states: Vec<String> =
            export(&store, "spring").await.into_iter().map(|row| row.state).collect();
        assert_eq!(states[8..10], ["in_doubt", "in_doubt"]);
    })
    .await;
}

#[tokio::test]
async fn models_evidence_tokens_audit_and_channels_are_kept() {
    on_both_old(async |store| {
        let mut reader = store.read().await.unwrap();
        let models = reader.models().await.unwrap();
        let in_use: Vec<_> = models.iter().map(|model| (model.version, model.active)).collect();
        assert_eq!(in_use, [(1, true), (2, false)]);
        assert_eq!(reader.active_version().await.unwrap(), Some(1));
        let first = reader.model_parameters(1).await.unwrap().unwrap();
        assert_eq!(reader.model_parameters(2).await.unwrap().as_deref(), Some(first.as_str()));
        assert!(first.len() > 10_000);
        let everybody: Vec<RecipientId> = (1..=15).map(RecipientId).collect();
        assert_eq!(reader.evidence_of(&everybody).await.unwrap().len(), 14);
        assert!(!reader.contents().await.unwrap().is_empty());

        let tokens = reader.tokens().await.unwrap();
        let tokens: Vec<_> =
            tokens.iter().map(|token| (token.name.as_str(), token.revoked_at.is_some())).collect();
        assert_eq!(tokens, [("gone", true), ("reader", false)]);
        let audit = reader.audit(None, 10).await.unwrap();
        assert_eq!((audit.len(), audit[0].1.action.as_str()), (4, "revoke token"));
        assert_eq!(reader.mark("mark").await.unwrap().as_deref(), Some("kept"));

        let console = "console".parse().unwrap();
        assert_eq!(reader.templates(&console).await.unwrap().len(), 3);
        assert_eq!(reader.alerts(Instant::UNIX_EPOCH).await.unwrap()[0].code, "131042");
        let due = reader.inbound_due(&console, sent(999), 9).await.unwrap();
        assert_eq!(due[0].body, "{\"text\":\"when?\"}");
        assert!(reader.any_early().await.unwrap());
        let handle =
            reader.media_handle(&console, "https://example.com/clip.mp4", sent(-999)).await;
        assert_eq!(handle.unwrap().as_deref(), Some("h1"));
        assert!(reader.paused(&console, sent(0)).await.unwrap().contains("clip"));
        drop(reader);
        let mut tx = store.begin().await.unwrap();
        let open = tx.open_windows(&console, &everybody, sent(60)).await.unwrap();
        assert_eq!(open.into_iter().collect::<Vec<_>>(), [RecipientId(1)]);
        assert_eq!(tx.contacts("number:console", &everybody).await.unwrap().len(), 1);
        let quotas = [("number:console", sent(-999)), ("portfolio:none", sent(-999))];
        let used = tx.quotas_used(quotas).await.unwrap();
        assert_eq!(used.map(|quota| quota.map(|(used, _)| used)), [Some(7), None]);
        drop(tx);
    })
    .await;
}
