//! One node plans and one learns at a time; one that was frozen past its lease stores nothing once
//! another has taken over.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::{Config, EXAMPLE};
use opportune::learn::Subject;
use opportune::model::campaign::Campaign;
use opportune::model::preference::Preference;
use opportune::model::recipient::Recipient;
use opportune::store::{Create, Store, StoreError, Term};
use opportune::work::learn::{ActiveModel, Depth, LearnError};
use opportune::work::plan::{PlanError, PlanScope};
use opportune::work::{Ctx, PreferenceOverride, StepEnv, campaigns, learn, new_node, plan};
use opportune::world::World;
use opportune::world::logging::{Count, Logging};
use opportune::world::spec::Spec;
use support::Postgres;
use tempfile::TempDir;

fn present() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// A clock that stands still: to its owner no time passes, as to a process that is frozen.
fn ctx(store: Store) -> Ctx {
    Ctx {
        store,
        env: StepEnv {
            clock: Clock::starting_at(present()),
            providers: Arc::default(),
            config: Arc::new(Config::parse(EXAMPLE, Path::new("opportune.toml")).unwrap()),
            rules: Arc::new(Rules::built_in()),
            node: new_node(),
            preference_override: None,
        },
    }
}

fn urls(dir: &TempDir) -> [String; 2] {
    let file = format!("sqlite://{}", dir.path().join("test.db").display());
    [file, Postgres::shared().database()]
}

/// Another node takes the lease two minutes later, from a thread of its own.
fn take_over(url: &str, lease: &'static str) -> Option<Term> {
    let url = url.to_owned();
    let taking = std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let store = Store::open(&url, Create::No).await.unwrap();
            let then = present() + TimeDelta::minutes(2);
            let until = then + TimeDelta::minutes(1);
            let term = store.take_lease(lease, &new_node(), then, until).await.unwrap();
            store.close().await;
            term
        })
    });
    taking.join().unwrap()
}

async fn history(ctx: &Ctx) {
    let world = World::new(&Spec { people: 24, ..Spec::demo() }, 5).unwrap();
    let logging = Logging { messages: Count::Exact(12), ..Logging::demo(present()) };
    let histories: Vec<_> = world.history(&logging).collect();
    let rows: Vec<_> =
        histories.iter().map(|h| (h.recipient.key.clone(), h.recipient.profile.clone())).collect();
    let mut tx = ctx.store.begin().await.unwrap();
    let ids = tx.put_recipients(&rows).await.unwrap();
    let messages: Vec<_> = histories
        .into_iter()
        .zip(&ids)
        .flat_map(|(history, (id, _))| history.messages.into_iter().map(|m| (*id, m)))
        .collect();
    tx.add_messages(&messages, present()).await.unwrap();
    let granted = support::granted(present() - TimeDelta::days(90), present());
    let entries: Vec<_> = ids.iter().map(|(id, _)| (*id, granted.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_learner_whose_lease_was_taken_over_stores_nothing() {
    let dir = TempDir::new().unwrap();
    for url in urls(&dir) {
        let ctx = ctx(Store::open(&url, Create::IfMissing).await.unwrap());
        history(&ctx).await;
        for during in ["folding history", ""] {
            let (taken, other) = (AtomicBool::new(false), url.clone());
            let freeze = move |doing: &str, _: f64| {
                // "" is whatever comes after folding, in the thread that fits
                let here = (doing == "folding history") == (during == "folding history");
                if here && !taken.swap(true, Ordering::SeqCst) {
                    assert!(take_over(&other, "learn").is_some(), "the lease could not be taken");
                }
            };
            let lost = learn::run(&ctx, None, Depth::Full, freeze).await.unwrap_err();
            let is_lost = matches!(&lost, LearnError::Store(StoreError::LostTerm { .. }));
            assert!(is_lost, "{during}: {lost:?}");
            let mut read = ctx.store.read().await.unwrap();
            assert_eq!(read.models().await.unwrap().len(), 0, "{during}");
            assert_eq!(read.active_version().await.unwrap(), None);
            if during == "folding history" {
                assert_eq!(read.mark("evidence_folded").await.unwrap(), None);
            }
            // the other's lease is not given back by the one that lost it
            let now = present() + TimeDelta::minutes(2);
            let still = ctx.store.take_lease("learn", &ctx.node, now, now).await.unwrap();
            assert_eq!(still, None, "{during}");
            // the other ends
            let later = present() + TimeDelta::minutes(3);
            let term = ctx.store.take_lease("learn", &ctx.node, later, later).await.unwrap();
            ctx.store.give_back_lease(&term.unwrap()).await.unwrap();
        }
        learn::run(&ctx, None, Depth::Full, |_, _| {}).await.unwrap();
        assert_eq!(ctx.store.read().await.unwrap().models().await.unwrap().len(), 1);
        ctx.store.close().await;
    }
}

/// Has another node take over while it is asked for somebody's habits.
struct Freezing {
    url: String,
    model: ActiveModel,
    taken: AtomicBool,
}

impl PreferenceOverride for Freezing {
    fn preference(&self, _: &Campaign, _: &Recipient, subject: &Subject<'_>) -> Preference {
        if !self.taken.swap(true, Ordering::SeqCst) {
            assert!(take_over(&self.url, "plan").is_some(), "the lease could not be taken");
        }
        self.model.preference(subject)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_planner_whose_lease_was_taken_over_stores_nothing() {
    let dir = TempDir::new().unwrap();
    for url in urls(&dir) {
        let mut ctx = ctx(Store::open(&url, Create::IfMissing).await.unwrap());
        history(&ctx).await;
        learn::run(&ctx, None, Depth::Full, |_, _| {}).await.unwrap();
        let campaign = "name = \"spring\"\nprovider = \"console\"\n[window]\n\
            start = 2026-06-02T09:00:00\nend = 2026-06-05T21:00:00\n\
            [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n";
        campaigns::submit(&ctx, campaign, "test").await.unwrap();
        let row = async || {
            let name = "spring".parse().unwrap();
            ctx.store.read().await.unwrap().campaign(&name).await.unwrap().unwrap()
        };
        let model = ActiveModel::load(&ctx).await.unwrap();
        let judge = Freezing { url: url.clone(), model, taken: AtomicBool::new(false) };
        let mut frozen = ctx.clone();
        frozen.preference_override = Some(Arc::new(judge));
        let planned = plan::decide(&frozen, vec![(row().await, PlanScope::Everybody)]).await;
        let is_lost = matches!(&planned, Err(PlanError::Store(StoreError::LostTerm { .. })));
        assert!(is_lost, "{:?}", planned.err());
        let mut read = ctx.store.read().await.unwrap();
        let states = read.state_counts(row().await.id).await.unwrap();
        assert!(states.iter().all(|count| count.state.as_str() == "undecided"), "{states:?}");
        assert_eq!(row().await.planned_at, None);
        drop(read);
        // while the other holds the lease nobody else plans; once it lapsed, anybody does
        ctx.clock.advance_to(present() + TimeDelta::minutes(2));
        let busy = plan::decide(&ctx, vec![(row().await, PlanScope::Everybody)]).await;
        assert!(matches!(busy, Err(PlanError::Busy)));
        ctx.clock.advance_to(present() + TimeDelta::minutes(4));
        plan::decide(&ctx, vec![(row().await, PlanScope::Everybody)]).await.unwrap();
        assert!(row().await.planned_at.is_some());
        ctx.preference_override = None;
        ctx.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_sees_its_lease_taken_stops() {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    let ctx = ctx(Store::open(&url, Create::IfMissing).await.unwrap());
    history(&ctx).await;
    let (clock, taken) = (ctx.clock.clone(), AtomicBool::new(false));
    let slow = move |doing: &str, _: f64| {
        if doing != "folding history" && !taken.swap(true, Ordering::SeqCst) {
            assert!(take_over(&url, "learn").is_some());
            // the renewal is due, and this thread goes on for much longer than it takes to see that
            clock.advance_to(present() + TimeDelta::seconds(30));
            std::thread::sleep(std::time::Duration::from_secs(8));
        }
    };
    let begun = std::time::Instant::now();
    let lost = learn::run(&ctx, None, Depth::Full, slow).await.unwrap_err();
    assert!(matches!(lost, LearnError::Store(StoreError::LostTerm { .. })), "{lost:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(7), "it worked on");
}
