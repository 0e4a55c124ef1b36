//! What the steps of a daemon plan and send under limits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use opportune::clock::Clock;
use opportune::config::{Config, EXAMPLE};
use opportune::learn::Subject;
use opportune::model::campaign::Campaign;
use opportune::model::delivery::Reason;
use opportune::model::ids::RecipientId;
use opportune::model::preference::Preference;
use opportune::model::recipient::{Profile, Recipient, Zone};
use opportune::replay::drive;
use opportune::store::{CampaignRow, Create, Store};
use opportune::work::campaigns::OperatorCommand;
use opportune::work::learn::ActiveModel;
use opportune::work::plan::PlanScope;
use opportune::work::{Ctx, PreferenceOverride, StepEnv, campaigns, dispatch, plan};
use tokio::sync::watch;

use crate::support::{self, Postgres, on_both};

const PEOPLE: usize = 60;

/// People with consent in three zones, at a virtual clock that shows 1 March 2026, 00:00 UTC.
async fn ctx(store: Store, settings: &str) -> Ctx {
    with_people(store, settings, PEOPLE).await
}

pub(crate) async fn with_people(store: Store, settings: &str, count: usize) -> Ctx {
    let config = Config::parse(&format!("{EXAMPLE}\n{settings}"), Path::new("opportune.toml"));
    let config = config.unwrap();
    let now: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
    let ctx = support::ctx(store, config, Clock::starting_at(now));
    let zones = [chrono_tz::Tz::UTC, chrono_tz::Asia::Kolkata, chrono_tz::America::Sao_Paulo];
    let row = |n: usize| {
        let profile = Profile {
            address: Some(format!("+55119{n:08}").parse().unwrap()),
            zone: Some(Zone { tz: zones[n % zones.len()], inferred: false }),
            ..Profile::default()
        };
        (format!("r{n:04}").parse().unwrap(), profile)
    };
    let rows: Vec<_> = (0..count).map(row).collect();
    let mut tx = ctx.store.begin().await.unwrap();
    let added = tx.put_recipients(&rows).await.unwrap();
    let entry = support::granted(now, now);
    let entries: Vec<_> = added.iter().map(|(id, _)| (*id, entry.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    tx.commit().await.unwrap();
    ctx
}

async fn submit(ctx: &Ctx, name: &str, days: (u32, u32), more: &str) -> CampaignRow {
    let source = format!(
        "name = \"{name}\"\nprovider = \"simulated\"\n[window]\nstart = 2026-03-{:02}T08:00:00\n\
         end = 2026-03-{:02}T20:00:00\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n{more}",
        days.0, days.1
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    ctx.store.read().await.unwrap().campaign(&name.parse().unwrap()).await.unwrap().unwrap()
}

/// When each person was sent what came through.
async fn sent(ctx: &Ctx) -> BTreeMap<RecipientId, Vec<DateTime<Utc>>> {
    let mut all = BTreeMap::new();
    for person in
        ctx.store.read().await.unwrap().recipients_after(RecipientId(0), 10_000).await.unwrap()
    {
        let messages = ctx.store.read().await.unwrap().messages_of(person.id).await.unwrap();
        // what the channel gave up on was not received
        let received = messages.iter().filter(|m| m.message.response.failed_at.is_none());
        let mut times: Vec<_> = received.map(|m| m.message.sent_at).collect();
        times.sort();
        all.insert(person.id, times);
    }
    all
}

/// No hour had more than three messages, and nearly everybody had theirs.
async fn assert_no_burst(ctx: &Ctx) {
    let mut hours: BTreeMap<i64, u32> = BTreeMap::new();
    for at in sent(ctx).await.values().flatten() {
        *hours.entry(at.timestamp() / 3600).or_default() += 1;
    }
    assert!(hours.values().all(|sum| *sum <= 3), "a burst: {hours:?}");
    assert!(hours.values().sum::<u32>() as usize > PEOPLE * 9 / 10, "{hours:?}");
}

#[tokio::test]
async fn caps_hold_across_campaigns_that_are_submitted_one_after_another() {
    on_both(async |store| {
        let settings = "[frequency]\nper_day = 1\n[frequency.marketing]\nper_week = 2\n";
        let ctx = ctx(store, settings).await;
        submit(&ctx, "first", (2, 8), "").await;
        drive(&ctx, "2026-03-04T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        submit(&ctx, "second", (2, 8), "").await;
        submit(&ctx, "third", (2, 8), "[frequency]\nleast_distance = \"72h\"\n").await;
        drive(&ctx, "2026-03-10T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        let all = sent(&ctx).await;
        let close = |pair: &[DateTime<Utc>]| pair[1] - pair[0] < TimeDelta::days(1);
        for (person, times) in &all {
            assert!(times.len() <= 2, "{person} was written to {times:?}, more than twice a week");
            assert!(!times.windows(2).any(close), "{person} was written to twice a day: {times:?}");
        }
        assert!(all.values().filter(|times| times.len() == 2).count() > PEOPLE / 2);
        let row = ctx
            .store
            .read()
            .await
            .unwrap()
            .campaign(&"third".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        let states = ctx.store.read().await.unwrap().state_counts(row.id).await.unwrap();
        assert!(states.iter().any(|count| count.reason == Reason::FrequencyCap), "{states:?}");
        assert_eq!(states.iter().map(|count| count.people).sum::<u64>(), PEOPLE as u64);
    })
    .await;
}

#[tokio::test]
async fn who_was_written_to_is_over_the_cap_until_the_span_is_over() {
    on_both(async |store| {
        let ctx = ctx(store, "[frequency]\nleast_distance = \"30h\"\n").await;
        submit(&ctx, "first", (2, 2), "").await;
        drive(&ctx, "2026-03-03T08:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        let row = submit(&ctx, "second", (3, 9), "").await;
        let times = sent(&ctx).await;
        let people: Vec<RecipientId> = times.keys().copied().collect();
        let over = plan::taken::over_cap(&ctx, (row.id, &row.campaign), &people).await.unwrap();
        let now = ctx.clock.now();
        for (person, times) in times {
            let free = times.last().map(|at| *at + TimeDelta::hours(30)).filter(|at| *at > now);
            assert_eq!(over.get(&person), free.as_ref(), "{person}");
        }
        assert!(!over.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_night_s_absence_leads_to_a_new_plan_and_no_burst() {
    on_both(async |store| {
        let ctx = ctx(store, "").await;
        let row = submit(&ctx, "sale", (2, 4), "[capacity]\nper_hour = 3\n").await;
        drive(&ctx, "2026-03-02T10:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        // nobody is at work from ten until the next morning
        let back: DateTime<Utc> = "2026-03-03T08:00:30Z".parse().unwrap();
        ctx.clock.advance_to(back);
        let due = ctx.store.read().await.unwrap().waiting(row.id, (back, back)).await.unwrap().due;
        assert!(due > 10, "only {due} fell due meanwhile");
        drive(&ctx, "2026-03-06T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        assert_no_burst(&ctx).await;
    })
    .await;
}

/// Habits as the model in use has them; but something happens while the plan is made.
struct Meanwhile<F> {
    url: String,
    env: StepEnv,
    model: ActiveModel,
    happened: AtomicBool,
    what: F,
}

impl<F: AsyncFn(Ctx) + Copy + Send + Sync + 'static> Meanwhile<F> {
    async fn ctx(ctx: &Ctx, url: &str, what: F) -> Ctx {
        let mut planner = ctx.clone();
        let (url, env, happened) = (url.to_owned(), ctx.env.clone(), AtomicBool::new(false));
        let model = ActiveModel::load(ctx).await.unwrap();
        planner.env.preference_override = Some(Arc::new(Self { url, env, model, happened, what }));
        planner
    }
}

impl<F: AsyncFn(Ctx) + Copy + Send + Sync + 'static> PreferenceOverride for Meanwhile<F> {
    fn preference(&self, _: &Campaign, _: &Recipient, subject: &Subject<'_>) -> Preference {
        if !self.happened.swap(true, Ordering::SeqCst) {
            let (url, env, what) = (self.url.clone(), self.env.clone(), self.what);
            let worker = std::thread::spawn(move || {
                tokio::runtime::Runtime::new().unwrap().block_on(async {
                    let store = Store::open(&url, Create::No).await.unwrap();
                    what(Ctx { store: store.clone(), env }).await;
                    store.close().await;
                });
            });
            worker.join().unwrap();
        }
        self.model.preference(subject)
    }
}

/// Another worker sends what is due in most of a minute: less than the planner's lease.
async fn send_for_a_while(ctx: Ctx) {
    ctx.clock.advance_to(ctx.clock.now() + TimeDelta::seconds(50));
    let (_keep, stop) = watch::channel(false);
    while dispatch::run(&ctx, &stop).await.unwrap().more {}
}

async fn cancel(ctx: Ctx) {
    let row = ctx.store.read().await.unwrap().campaign(&"sale".parse().unwrap()).await.unwrap();
    let done = campaigns::change(&ctx, &row.unwrap(), OperatorCommand::Cancel, "test").await;
    assert!(done.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_planned_in_a_campaign_that_is_cancelled_while_it_is_planned() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = format!("sqlite://{}", dir.path().join("test.db").display());
    for url in [file, Postgres::shared().database()] {
        let ctx = ctx(Store::open(&url, Create::IfMissing).await.unwrap(), "").await;
        let row = submit(&ctx, "sale", (2, 4), "").await;
        let planner = Meanwhile::ctx(&ctx, &url, cancel).await;
        plan::decide(&planner, vec![(row.clone(), PlanScope::Everybody)]).await.unwrap();
        drive(&ctx, "2026-03-05T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        let mut reader = ctx.store.read().await.unwrap();
        let states = reader.state_counts(row.id).await.unwrap();
        assert!(states.iter().all(|count| count.state.is_end()), "{states:?}");
        assert_eq!(reader.next_due(row.id).await.unwrap(), None);
        drop(reader);
        assert!(sent(&ctx).await.values().all(Vec::is_empty));
        ctx.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_made_across_the_turn_of_an_hour_lets_no_hour_have_more_than_its_limit() {
    const MOST: u32 = 120;
    let dir = tempfile::TempDir::new().unwrap();
    let file = format!("sqlite://{}", dir.path().join("test.db").display());
    for url in [file, Postgres::shared().database()] {
        let store = Store::open(&url, Create::IfMissing).await.unwrap();
        let ctx = with_people(store, "", 700).await;
        let source = format!(
            "name = \"sale\"\nprovider = \"simulated\"\n[window]\nstart = 2026-03-02T10:00:00\n\
             end = 2026-03-02T14:00:00\ntime_zone = \"UTC\"\n[quiet_hours]\nnone = true\n\
             [capacity]\nper_hour = {MOST}\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n"
        );
        campaigns::submit(&ctx, &source, "test").await.unwrap();
        for hour in 9..13 {
            let turn: DateTime<Utc> = format!("2026-03-02T{hour:02}:59:55Z").parse().unwrap();
            drive(&ctx, turn, |_| {}).await.unwrap();
            let slow = Meanwhile::ctx(&ctx, &url, send_for_a_while).await;
            let row = ctx.store.read().await.unwrap().campaign(&"sale".parse().unwrap()).await;
            let row = row.unwrap().unwrap();
            plan::decide(&slow, vec![(row, PlanScope::Everybody)]).await.unwrap();
        }
        drive(&ctx, "2026-03-03T12:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        let mut hours: BTreeMap<i64, u32> = BTreeMap::new();
        let mut reader = ctx.store.read().await.unwrap();
        for person in reader.recipients_after(RecipientId(0), 10_000).await.unwrap() {
            for row in reader.messages_of(person.id).await.unwrap() {
                *hours.entry(row.message.sent_at.timestamp() / 3600 % 24).or_default() += 1;
            }
        }
        drop(reader);
        assert!(hours.values().all(|sum| *sum <= MOST), "a burst: {hours:?}");
        assert!(
            hours.values().all(|sum| *sum > MOST * 9 / 10),
            "the limit binds nobody: {hours:?}"
        );
        ctx.store.close().await;
    }
}

#[tokio::test]
async fn a_resumed_campaign_does_not_send_at_once_what_fell_due_while_it_stood() {
    on_both(async |store| {
        let ctx = ctx(store, "").await;
        let row = submit(&ctx, "sale", (2, 4), "[capacity]\nper_hour = 3\n").await;
        drive(&ctx, "2026-03-02T10:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        assert!(campaigns::change(&ctx, &row, OperatorCommand::Pause, "test").await.unwrap());
        ctx.clock.advance_to("2026-03-02T10:14:00Z".parse().unwrap());
        drive(&ctx, "2026-03-02T15:30:00Z".parse().unwrap(), |_| {}).await.unwrap();
        let row =
            ctx.store.read().await.unwrap().campaign(&row.campaign.name).await.unwrap().unwrap();
        assert!(campaigns::change(&ctx, &row, OperatorCommand::Resume, "test").await.unwrap());
        drive(&ctx, "2026-03-06T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        assert_no_burst(&ctx).await;
    })
    .await;
}

#[tokio::test]
async fn campaigns_share_the_portfolio_s_moving_day_with_what_was_sent_before() {
    on_both(async |store| {
        let settings = "[provider.simulated.limits]\nunique_per_day = 8\n";
        let ctx = ctx(store, settings).await;
        submit(&ctx, "first", (2, 6), "").await;
        drive(&ctx, "2026-03-03T12:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        submit(&ctx, "second", (3, 9), "").await;
        drive(&ctx, "2026-03-11T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
        let mut times: Vec<_> = sent(&ctx).await.into_values().flatten().collect();
        times.sort();
        assert!(times.len() > 40, "only {} were sent", times.len());
        for at in &times {
            // the hour that the last of them shares with the window's end is another's
            let within = |other: &&DateTime<Utc>| **other - *at < TimeDelta::hours(23);
            let count = times.iter().filter(|other| *other >= at).filter(within).count();
            assert!(count <= 8, "{count} people in a day from {at}");
        }
    })
    .await;
}
