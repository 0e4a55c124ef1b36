//! How many people are in which state: kept, and always what counting them would give.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use opportune::model::campaign::Campaign;
use opportune::model::delivery::{Delivery, Reason, State};
use opportune::model::ids::RecipientId;
use opportune::store::{Attempt, CampaignStatus, Claim, Create, Kept, Settled, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;

use crate::support::{self, Postgres};
use crate::{CAMPAIGN, LENGTH, at, campaign, people};

type Counts = BTreeMap<(i64, String, String), i64>;

/// A workspace, and its database as somebody else reads it.
struct Counted {
    store: Store,
    sqlite: Option<SqlitePool>,
    postgres: Option<PgPool>,
    _dir: TempDir,
}

impl Counted {
    async fn both() -> [Self; 2] {
        let dir = TempDir::new().unwrap();
        let file = format!("sqlite://{}", dir.path().join("test.db").display());
        let server = Postgres::shared().database();
        let store = Store::open(&file, Create::IfMissing).await.unwrap();
        let sqlite = Some(SqlitePool::connect(&file).await.unwrap());
        let first = Self { store, sqlite, postgres: None, _dir: dir };
        let store = Store::open(&server, Create::IfMissing).await.unwrap();
        let postgres = Some(PgPool::connect(&server).await.unwrap());
        [first, Self { store, sqlite: None, postgres, _dir: TempDir::new().unwrap() }]
    }

    async fn rows(&self, sql: &'static str) -> Vec<(i64, String, String, i64)> {
        match (&self.sqlite, &self.postgres) {
            (Some(db), _) => sqlx::query_as(sql).fetch_all(db).await.unwrap(),
            (_, Some(db)) => sqlx::query_as(sql).fetch_all(db).await.unwrap(),
            _ => unreachable!("there is a database"),
        }
    }

    /// What counting everybody gives, and what is kept.
    async fn compare(&self, after: &str) {
        const COUNTED: &str = "SELECT campaign, state, reason, COUNT(*) FROM delivery
            GROUP BY campaign, state, reason";
        const KEPT: &str = "SELECT campaign, state, reason, CAST(SUM(people) AS BIGINT)
            FROM delivery_count GROUP BY campaign, state, reason HAVING SUM(people) <> 0";
        let map = |rows: Vec<(i64, String, String, i64)>| -> Counts {
            rows.into_iter().map(|(id, state, reason, n)| ((id, state, reason), n)).collect()
        };
        let (counted, kept) = (map(self.rows(COUNTED).await), map(self.rows(KEPT).await));
        assert_eq!(kept, counted, "after {after}");
    }

    /// The same of a campaign as everybody is told, with those in claims apart.
    async fn told(&self, id: i64) -> BTreeMap<State, u64> {
        let mut told = BTreeMap::new();
        for count in self.store.read().await.unwrap().state_counts(id).await.unwrap() {
            *told.entry(count.state).or_default() += count.people;
        }
        told
    }
}

fn claim(name: &str, hour: i64) -> Claim {
    Claim { lease: name.to_owned(), until: at(hour) }
}

/// A decision about somebody, of any kind that plans come to.
fn decision(person: RecipientId, dice: &mut StdRng) -> Delivery {
    const REASONS: [Reason; 4] =
        [Reason::BestSlot, Reason::Explored, Reason::ControlTime, Reason::MovedByCapacity];
    let hour = dice.gen_range(1..6);
    let planned = support::planned(person, "plain", at(hour), LENGTH);
    match dice.gen_range(0..10) {
        0 => Delivery {
            state: State::Refused,
            reason: Reason::TemplateRefused,
            choice: None,
            ..planned
        },
        1 => Delivery { state: State::Refused, reason: Reason::NoConsent, choice: None, ..planned },
        _ => Delivery { reason: REASONS[dice.gen_range(0..4)], ..planned },
    }
}

/// How a message that was claimed ends, of every kind.
fn outcome(
    person: RecipientId,
    planned_for: Reason,
    try_number: u32,
    dice: &mut StdRng,
) -> Settled {
    let sent = Settled { planned_for, ..support::sent(person, try_number, at(5)) };
    let bare = Settled { sent: None, ..sent.clone() };
    let (planned, held) = (State::Planned, Some(Reason::HeldByProvider));
    match dice.gen_range(0..8) {
        0 => Settled { state: State::Held, reason: held, ..sent },
        1 => Settled { state: State::InDoubt, reason: Some(Reason::AnswerLost), ..bare },
        2 => Settled { state: State::Failed, reason: Some(Reason::ProviderFailure), ..bare },
        3 => Settled { state: planned, again_at: Some(at(5)), attempt: Attempt::NotMade, ..bare },
        4 => Settled { state: planned, reason: Some(Reason::MovedThrottled), ..bare },
        _ => sent,
    }
}

/// One step of any kind on one of two campaigns, by chance; what it was.
async fn step(
    store: &Store,
    id: i64,
    ids: &[RecipientId],
    open: &mut Vec<(i64, Claim, Vec<Settled>)>,
    dice: &mut StdRng,
) -> &'static str {
    let now = at(6) + TimeDelta::microseconds(dice.gen_range(0..1_000_000_000));
    let some: Vec<RecipientId> = ids.iter().filter(|_| dice.gen_bool(0.4)).copied().collect();
    let mut tx = store.begin().await.unwrap();
    let did = match dice.gen_range(0..18) {
        0..3 => {
            let decided: Vec<_> = some.iter().map(|id| decision(*id, dice)).collect();
            tx.put_decisions(id, &decided, LENGTH, now).await.unwrap();
            "a plan"
        }
        3..6 => {
            let mine = claim(&format!("c{}", dice.r#gen::<u64>()), dice.gen_range(5..9));
            let due = tx.claim(id, &mine, (now, at(9)), 9, LENGTH).await.unwrap();
            let ends = due
                .iter()
                .map(|due| outcome(due.recipient, due.reason, due.attempts, dice))
                .collect();
            open.push((id, mine, ends));
            "a claim"
        }
        6..8 => {
            if let Some((id, mine, ends)) = open.pop() {
                tx.settle(id, &mine, &ends, now).await.unwrap();
                // an answer of the database that was lost: it is settled once more
                tx.settle(id, &mine, &ends, now).await.unwrap();
            }
            "a settlement"
        }
        8 => {
            tx.expire_claims(at(dice.gen_range(4..9))).await.map(|_| "claims that ran out").unwrap()
        }
        9 => {
            tx.give_up(id, now, now).await.unwrap();
            tx.give_up_held(id, now, now).await.map(|_| "giving up").unwrap()
        }
        10 => tx.retry_doubts(id, now, now).await.map(|_| "trying doubts again").unwrap(),
        11 => {
            tx.reopen_variant(id, 0, now).await.unwrap();
            tx.plan_refused_templates(id, now).await.map(|_| "a template that is back").unwrap()
        }
        12 => {
            tx.reopen_late(id, at(3), now).await.unwrap();
            tx.reopen_surplus(id, (at(4), at(6)), 2, now).await.map(|_| "lateness").unwrap()
        }
        13 => tx.await_decision(id, &some, now).await.map(|()| "an occurrence").unwrap(),
        14 => {
            let gone = tx.withdraw_planned(id, &some, Reason::CalledOff, now).await;
            gone.map(|_| "a withdrawal").unwrap()
        }
        15 => {
            let mut rows = tx.lock_deliveries(id, &some).await.unwrap();
            rows.retain(|row| row.state == State::Sent);
            for row in &mut rows {
                (row.state, row.reason) = (State::Failed, Reason::Undeliverable);
            }
            tx.put_answered(&rows, now).await.map(|()| "what came back").unwrap()
        }
        16 => tx.fold_counts(id).await.map(|()| "adding up").unwrap(),
        _ => {
            let reason = Reason::CancelledByOperator;
            tx.end_planned(id, State::Cancelled, reason, now).await.map(|_| "an end").unwrap()
        }
    };
    tx.commit().await.unwrap();
    did
}

#[tokio::test]
async fn counts_are_what_counting_gives_after_any_steps() {
    for workspace in Counted::both().await {
        let ids = people(&workspace.store, 60).await;
        let campaigns = [campaign(&workspace.store).await, other(&workspace.store).await];
        for seed in 0..6 {
            let mut dice = StdRng::seed_from_u64(seed);
            let mut open = Vec::new();
            for _ in 0..40 {
                let id = campaigns[dice.gen_range(0..2)];
                let did = step(&workspace.store, id, &ids, &mut open, &mut dice).await;
                workspace.compare(&format!("{did}, seed {seed}")).await;
            }
        }
        let mut tx = workspace.store.begin().await.unwrap();
        tx.forget(ids[0], &["h".to_owned()], at(7)).await.unwrap();
        tx.commit().await.unwrap();
        workspace.compare("a person was forgotten").await;
        let mut tx = workspace.store.begin().await.unwrap();
        let from = [CampaignStatus::Active];
        tx.set_campaign_status(campaigns[0], &from, CampaignStatus::Finished).await.unwrap();
        tx.close_campaign(campaigns[0], at(7), "{}").await.unwrap();
        assert_eq!(tx.prune(Kept::Campaigns, at(8), 25).await.unwrap(), 25);
        tx.commit().await.unwrap();
        workspace.compare("old people were deleted").await;
        workspace.store.close().await;
    }
}

async fn other(store: &Store) -> i64 {
    let source = CAMPAIGN.replacen("spring", "other", 1);
    let campaign = Campaign::from_toml(&source).unwrap();
    let mut tx = store.begin().await.unwrap();
    let id = tx.add_campaign(&campaign, &source, at(0), at(99)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_beside_each_other_count_everybody_once() {
    const DAEMONS: usize = 4;
    for workspace in Counted::both().await {
        let ids = people(&workspace.store, 400).await;
        let id = campaign(&workspace.store).await;
        let mut dice = StdRng::seed_from_u64(1);
        let decided: Vec<_> = ids.iter().map(|id| decision(*id, &mut dice)).collect();
        let mut tx = workspace.store.begin().await.unwrap();
        tx.put_decisions(id, &decided, LENGTH, at(0)).await.unwrap();
        tx.commit().await.unwrap();
        let planned = decided.iter().filter(|d| d.state == State::Planned).count() as u64;
        assert_eq!(workspace.told(id).await[&State::Planned], planned);
        let mut running = tokio::task::JoinSet::new();
        for daemon in 0..DAEMONS {
            let (store, people) = (workspace.store.clone(), ids.clone());
            running.spawn(async move {
                let mut dice = StdRng::seed_from_u64(daemon as u64);
                for round in 0..20 {
                    let mine = claim(&format!("{daemon}-{round}"), 9);
                    let mut tx = store.begin().await.unwrap();
                    let due = tx.claim(id, &mine, (at(6), at(9)), 7, LENGTH).await.unwrap();
                    tx.commit().await.unwrap();
                    let ends: Vec<Settled> = due
                        .iter()
                        .map(|due| outcome(due.recipient, due.reason, due.attempts, &mut dice))
                        .collect();
                    let mut tx = store.begin().await.unwrap();
                    tx.settle(id, &mine, &ends, at(6)).await.unwrap();
                    tx.commit().await.unwrap();
                    let mut tx = store.begin().await.unwrap();
                    let (first, last) = (round * 19, round * 19 + 30);
                    let mut rows = tx.lock_deliveries(id, &people[first..last]).await.unwrap();
                    rows.retain(|row| row.state == State::Sent);
                    for row in &mut rows {
                        (row.state, row.reason) = (State::Failed, Reason::Undeliverable);
                    }
                    tx.put_answered(&rows, at(6)).await.unwrap();
                    tx.commit().await.unwrap();
                    let mut tx = store.begin().await.unwrap();
                    tx.give_up(id, at(6), at(7)).await.unwrap();
                    tx.fold_counts(id).await.unwrap();
                    tx.commit().await.unwrap();
                }
            });
        }
        running.join_all().await;
        workspace.compare("all daemons are done").await;
        assert_eq!(workspace.told(id).await.values().sum::<u64>(), 400);
        workspace.store.close().await;
    }
}
