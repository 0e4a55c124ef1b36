//! Whole weeks on a virtual clock: what must hold whatever happens.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use opportune::calendar::zone::local;
use opportune::clock::Clock;
use opportune::config::{Config, EXAMPLE};
use opportune::demo;
use opportune::learn::off_policy::{LoggedMessage as Logged, TooThin, logged_value, value};
use opportune::model::delivery::{Reason, State};
use opportune::model::ids::RecipientId;
use opportune::model::recipient::{Profile, Zone};
use opportune::replay::policy::Policy;
use opportune::replay::scenario::Script;
use opportune::replay::{drive, run};
use opportune::store::{Create, Store};
use opportune::work::import::{self, BulkKind};
use opportune::work::{Ctx, campaigns, results};
use opportune::world::spec::Spec;
use proptest::prelude::*;
use support::{Postgres, on_both};
use tempfile::TempDir;

fn ctx(store: Store, start: DateTime<Utc>) -> Ctx {
    let config = Config::parse(EXAMPLE, Path::new("opportune.toml")).unwrap();
    support::ctx(store, config, Clock::starting_at(start))
}

async fn people(ctx: &Ctx, zones: &[chrono_tz::Tz]) {
    let now = ctx.clock.now();
    let rows: Vec<_> = zones
        .iter()
        .enumerate()
        .map(|(n, tz)| {
            let profile = Profile {
                address: Some(format!("+999{n:08}").parse().unwrap()),
                zone: Some(Zone { tz: *tz, inferred: false }),
                ..Profile::default()
            };
            (format!("r{n:04}").parse().unwrap(), profile)
        })
        .collect();
    let mut tx = ctx.store.begin().await.unwrap();
    let added = tx.put_recipients(&rows).await.unwrap();
    let entry = support::granted(now, now);
    let entries: Vec<_> = added.iter().map(|(id, _)| (*id, entry.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    tx.commit().await.unwrap();
}

/// Everybody's message with the zone of the person, as history has it.
async fn sent(ctx: &Ctx) -> Vec<(DateTime<Utc>, chrono_tz::Tz)> {
    let mut all = Vec::new();
    for person in
        ctx.store.read().await.unwrap().recipients_after(RecipientId(0), 10_000).await.unwrap()
    {
        let messages = ctx.store.read().await.unwrap().messages_of(person.id).await.unwrap();
        assert!(messages.len() <= 1, "{} was sent to {} times", person.id, messages.len());
        all.extend(messages.iter().map(|m| (m.message.sent_at, person.profile.zone.unwrap().tz)));
    }
    all
}

async fn submit(ctx: &Ctx, start: NaiveDateTime, days: i64, more: &str) {
    let source = format!(
        "name = \"c\"\nprovider = \"simulated\"\ncategory = \"utility\"\n[window]\nstart = {}\n\
         end = {}\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n{more}",
        start.format("%Y-%m-%dT%H:%M:%S"),
        (start + TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%S"),
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
}

/// The quiet hours of the example's settings, 21:00 to 8:00, by an eye of our own.
fn is_quiet(at: DateTime<Utc>, tz: chrono_tz::Tz) -> bool {
    let hour = local(at, tz).hour();
    !(8..21).contains(&hour)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Any zones, any day of 2024 to 2030 and the days after it, and a daemon that sleeps through
    /// some hours of it.
    #[test]
    fn nothing_leaves_in_a_quiet_hour_even_when_late(
        zones in prop::collection::vec(prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()), 40),
        day in 0_i64..2550,
        sleep_after in 0_i64..48,
        sleep_for in 1_i64..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let url = format!("sqlite://{}", dir.path().join("test.db").display());
            let store = Store::open(&url, opportune::store::Create::IfMissing).await.unwrap();
            let date = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + TimeDelta::days(day);
            let start = date.and_hms_opt(0, 0, 0).unwrap();
            let ctx = ctx(store, (start - TimeDelta::days(1)).and_utc());
            people(&ctx, &zones).await;
            submit(&ctx, start, 2, "[capacity]\nper_hour = 4\n").await;
            let begins = start.and_utc();
            drive(&ctx, begins + TimeDelta::hours(sleep_after), |_| {}).await.unwrap();
            // nobody is at work: what falls due meanwhile is late when the next daemon wakes
            ctx.clock.advance_to(ctx.clock.now() + TimeDelta::hours(sleep_for));
            drive(&ctx, begins + TimeDelta::days(4), |_| {}).await.unwrap();
            for (at, tz) in sent(&ctx).await {
                assert!(!is_quiet(at, tz), "{at} is {} in {tz}", local(at, tz));
                let wall = local(at, tz);
                assert!(start <= wall && wall < start + TimeDelta::days(2), "{wall} in {tz}");
            }
            let row = ctx.store.read().await.unwrap().campaign(&"c".parse().unwrap()).await.unwrap().unwrap();
            let states = ctx.store.read().await.unwrap().state_counts(row.id).await.unwrap();
            assert_eq!(states.iter().map(|s| s.people).sum::<u64>(), zones.len() as u64);
            assert!(states.iter().all(|s| s.state.is_end()), "{states:?}");
        });
    }
}

#[tokio::test]
async fn everybody_ends_in_one_state_and_answers_become_engagement() {
    on_both(async |store| {
        let start = NaiveDate::from_ymd_opt(2026, 3, 27).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let ctx = ctx(store, start.and_utc());
        let zones =
            [chrono_tz::Europe::London, chrono_tz::Asia::Kolkata, chrono_tz::America::Sao_Paulo];
        let zones: Vec<_> = (0..120).map(|n| zones[n % 3]).collect();
        people(&ctx, &zones).await;
        submit(
            &ctx,
            start + TimeDelta::days(1),
            3,
            "[capacity]\nper_hour = 2\n[arms]\npersonalized = 0.5\nexplore = 0.25\ncontrol = 0.15\n\
             holdout = 0.1\n",
        )
        .await;
        drive(&ctx, (start + TimeDelta::days(8)).and_utc(), |_| {}).await.unwrap();
        let row =
            ctx.store.read().await.unwrap().campaign(&"c".parse().unwrap()).await.unwrap().unwrap();
        let states = ctx.store.read().await.unwrap().state_counts(row.id).await.unwrap();
        assert_eq!(states.iter().map(|s| s.people).sum::<u64>(), 120);
        assert!(states.iter().all(|s| s.state.is_end()), "{states:?}");
        assert!(states.iter().any(|s| s.reason == Reason::Holdout), "{states:?}");
        assert!(states.iter().any(|s| s.state == State::Sent), "{states:?}");
        let mut by_hour: BTreeMap<i64, u32> = BTreeMap::new();
        for (at, _) in sent(&ctx).await {
            *by_hour.entry(at.timestamp() / 3600).or_default() += 1;
        }
        assert!(by_hour.values().all(|count| *count <= 2), "{by_hour:?}");
        let results = results::results(&ctx, &row).await.unwrap();
        let sum: u64 = results.arms.iter().map(|arm| arm.people).sum();
        assert_eq!(sum, 120, "{results:?}");
        assert!(results.arms.iter().map(|arm| arm.delivered).sum::<u64>() > 0, "{results:?}");
    })
    .await;
}

/// The demo with fewer people, so that an unoptimized build gets through it.
fn small() -> Spec {
    Spec { people: 300, ..Spec::demo() }
}

#[tokio::test]
async fn the_demo_sends_its_campaigns_and_leaves_a_workspace_behind() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("demo");
    let told = demo::run(&out, &small(), 5, |_| {}).await.unwrap();
    assert_eq!(told.plans.len(), 2);
    for (plan, results) in told.plans.iter().zip(&told.results) {
        assert!(plan.gap <= 0.001, "{}", plan.gap);
        let sent: u64 = results.arms.iter().map(|arm| arm.sent).sum();
        assert!(sent > 150, "{results:?}");
        let known: u64 = results.calibration.iter().map(|band| band.messages).sum();
        assert!(known > 150 && known <= sent, "{results:?}");
        for band in &results.calibration {
            // chances are cut into bands after they were rounded to a two thousandth
            let (from, to) = (band.from - 0.0005, band.to + 0.0005);
            assert!((from..=to).contains(&band.forecast), "{band:?}");
            assert!(band.engaged <= band.messages, "{band:?}");
        }
        let people: u64 = results.states.iter().map(|state| state.people).sum();
        assert_eq!(people, plan.people);
        assert!(results.states.iter().all(|state| state.state.is_end()), "{results:?}");
    }
    // habits are there to be found: who was written to by them engages more
    assert!(told.results[0].lift.unwrap().mean > 0.0, "{:?}", told.results[0]);
    assert!(!told.insights.is_empty());
    let left = ["recipients.csv", "messages.csv", "activity.csv", "opportune.toml", "opportune.db"];
    for file in left.into_iter().chain(["report.html"]) {
        assert!(out.join(file).exists(), "{file} was not left behind");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_demo() {
    let dir = TempDir::new().unwrap();
    let tiny = Spec { people: 60, ..Spec::demo() };
    let mut told = Vec::new();
    for out in ["one", "two"] {
        let out = dir.path().join(out);
        let run = demo::run(&out, &tiny, 5, |_| {}).await.unwrap();
        let files = ["recipients.csv", "messages.csv", "activity.csv"]
            .map(|file| std::fs::read(out.join(file)).unwrap());
        told.push((serde_json::to_string(&run).unwrap(), files));
    }
    assert!(told[0] == told[1], "{}\n{}", told[0].0, told[1].0);
}

fn tomorrow(start: NaiveDateTime) -> String {
    let end = start + TimeDelta::days(5);
    format!(
        "name = \"tomorrow\"\nprovider = \"simulated\"\ncategory = \"marketing\"\nwithin = \"2h\"\n\
         [window]\nstart = {}\nend = {}\n[capacity]\nper_hour = 20\n\
         [[variant]]\nname = \"words\"\nmedia = \"text\"\n\
         [[variant]]\nname = \"film\"\nmedia = \"video\"\nmedia_url = \"https://example.com/a.mp4\"\n",
        start.format("%Y-%m-%dT%H:%M:%S"),
        end.format("%Y-%m-%dT%H:%M:%S"),
    )
}

/// A workspace with a learned past; the campaign is played to its own people, by several policies.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_can_be_played_to_ones_own_people_and_leaves_no_trace() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("demo");
    demo::run(&out, &Spec { people: 150, ..Spec::demo() }, 5, |_| {}).await.unwrap();
    let url = format!("sqlite://{}", out.join("opportune.db").display());
    let start = NaiveDate::from_ymd_opt(2026, 8, 3).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let ctx = ctx(Store::open(&url, Create::No).await.unwrap(), start.and_utc());
    let before = ctx.store.read().await.unwrap().open_campaigns().await.unwrap().rows.len();
    let source = tomorrow(start + TimeDelta::days(1));
    let campaign = campaigns::check(&ctx, &source).await.unwrap();
    let mut script = Script::tomorrow(&ctx, vec![(campaign, source.parse().unwrap())]);
    script.policies = vec![Policy::Random, Policy::Personalized, Policy::Oracle];
    let mut told = Vec::new();
    for _ in 0..2 {
        let run = run::recalled(&ctx, &script, &[1, 2], |_, _, _| {}).await.unwrap();
        told.push(serde_json::to_string(&run).unwrap());
        let truth = |policy: Policy| -> f64 {
            let of = run.outcomes.iter().filter(|outcome| outcome.policy == policy);
            of.flat_map(|outcome| &outcome.campaigns).map(|campaign| campaign.expected).sum()
        };
        let [random, model, oracle] = script.policies[..] else { panic!("there are three") };
        assert!(truth(model) > 1.1 * truth(random), "{}", told[0]);
        assert!(truth(oracle) > truth(model), "{}", told[0]);
        for outcome in &run.outcomes {
            assert!(outcome.broken.is_empty(), "{:?}", outcome.broken);
            let campaign = &outcome.campaigns[0];
            assert_eq!(outcome.campaigns.len(), 1, "campaigns of the past are not told of");
            assert!(campaign.sent > 100, "{campaign:?}");
            // people answer as often as their chances say, within four standard deviations
            let engaged = campaign.engaged as f64;
            let deviation = (engaged - campaign.expected) / campaign.expected.sqrt();
            assert!(deviation.abs() < 4.0, "{engaged} where {} were due", campaign.expected);
        }
    }
    assert!(told[0] == told[1], "{}\n{}", told[0], told[1]);
    assert_eq!(ctx.store.read().await.unwrap().open_campaigns().await.unwrap().rows.len(), before);

    // the same from the command line, whose clock is the system's, and from the other database
    let database = Postgres::shared().database();
    let command = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_opportune"))
            .args(args)
            .env("OPPORTUNE_DATABASE_URL", &database)
            .current_dir(&out)
            .output()
            .unwrap()
    };
    assert!(command(&["init", "."]).status.success());
    for what in ["recipients", "messages", "activity"] {
        let imported = command(&["import", what, &format!("{what}.csv")]);
        assert!(imported.status.success(), "{imported:?}");
    }
    assert!(command(&["learn"]).status.success());
    let soon =
        Clock::system().now().date_naive().and_hms_opt(0, 0, 0).unwrap() + TimeDelta::days(2);
    std::fs::write(out.join("tomorrow.toml"), tomorrow(soon)).unwrap();
    let replay = |more: &[&str]| {
        let asked = ["replay", "--history", "--campaign", "tomorrow.toml"];
        command(&[&asked, more].concat())
    };
    let shown = replay(&["--seed", "3", "--policy", "fixed", "--out", "report"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && text.contains("fixed"), "{shown:?}");
    assert!(out.join("report/report.html").exists());
    let wrong = replay(&["--policy", "guess"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    assert!(said.contains("median_hour"), "{said}");
    let absent = replay(&["--campaign", "nowhere.toml"]);
    let said = String::from_utf8_lossy(&absent.stderr);
    assert_eq!(absent.status.code(), Some(2), "{said}");
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[tokio::test]
async fn who_was_never_learned_of_cannot_be_recalled() {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("new.db").display());
    let start = NaiveDate::from_ymd_opt(2026, 8, 3).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let ctx = ctx(Store::open(&url, Create::IfMissing).await.unwrap(), start.and_utc());
    let script = Script::tomorrow(&ctx, Vec::new());
    let refused = run::recalled(&ctx, &script, &[1], |_, _, _| {}).await.unwrap_err();
    assert!(refused.to_string().contains("opportune learn"), "{refused}");
}

#[tokio::test]
async fn the_demo_replaces_nothing_that_it_did_not_make() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("mine.txt"), "mine").unwrap();
    let refused = demo::run(dir.path(), &small(), 5, |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("--out"), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Names the folder `obd` of the Open Bandit sample, where Python's own `obp` is not to be found.
const OPEN_BANDIT: &str = "OPEN_BANDIT";

/// The sample of Saito et al. (Open Bandit Dataset and Pipeline, 2020), which `obp` brings along.
fn open_bandit() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(OPEN_BANDIT) {
        return Some(folder.into());
    }
    let find =
        "import importlib.util as u; print(u.find_spec('obp').submodule_search_locations[0])";
    let found = Command::new("python3").args(["-c", find]).output().ok()?;
    let package = String::from_utf8(found.stdout).ok()?;
    found.status.success().then(|| Path::new(package.trim()).join("dataset/obd"))
}

/// A policy's log of the sample, and what the uniform policy would have done in its place.
fn bandit_log(file: &Path, items: f64) -> Vec<Logged> {
    let mut rows = csv::Reader::from_path(file).unwrap();
    let names = rows.headers().unwrap().clone();
    let column = |name: &str| names.iter().position(|other| other == name).unwrap();
    let (chance, click) = (column("propensity_score"), column("click"));
    let mut log: Vec<Logged> = (rows.records().enumerate())
        .map(|(person, row)| {
            let number = |column: usize| row.as_ref().unwrap()[column].parse().unwrap();
            let (logged, reward) = (number(chance), number(click));
            let (person, target) = (person as u64, 1.0 / items);
            Logged { person, logged, target, reward, expected: 0.0, expected_of_target: 0.0 }
        })
        .collect();
    let mean = logged_value(&log).value;
    log.iter_mut().for_each(|row| (row.expected, row.expected_of_target) = (mean, mean));
    log
}

/// What the uniform policy brings is foretold from another policy's log, and known from its own.
#[test]
fn estimates_agree_with_open_bandit_where_it_is_there() {
    let Some(folder) = open_bandit() else {
        eprintln!("skipped: no Open Bandit sample; {OPEN_BANDIT} can name its folder obd");
        return;
    };
    let log = |policy: &str, campaign: &str, items| {
        let file = folder.join(policy).join(campaign).join(campaign).with_extension("csv");
        bandit_log(&file, items)
    };
    // as `obp` 0.4.1 itself has them, its model being the log's mean; the self-normalized doubly
    // robust estimate is then the self-normalized one
    for (campaign, items, told) in [
        ("all", 80.0, [0.002_359_640, 0.002_333_714, 0.002_333_714]),
        ("men", 34.0, [0.003_008_626, 0.003_189_423, 0.003_189_423]),
    ] {
        let foretold = value(&log("bts", campaign, items)).unwrap();
        let truth = logged_value(&log("random", campaign, items));
        let ours = [foretold.ips, foretold.snips, foretold.doubly_robust];
        for (ours, theirs) in ours.into_iter().zip(told) {
            assert!((ours.value - theirs).abs() < 1e-9, "{campaign}: {ours:?}, not {theirs}");
            let apart = ours.low > truth.high || truth.low > ours.high;
            assert!(!apart, "{campaign}: {ours:?}, {truth:?}");
        }
    }
    // one row of this log weighs as much as all others together
    let TooThin(overlap) = value(&log("bts", "women", 46.0)).unwrap_err();
    assert!(overlap.effective < 3.0, "{overlap:?}");
}

/// Everybody has an appointment; half are reminded at the hour learned for them within the span from 44 to
/// 18 hours before, the others 24 hours before. Both are read by people whose habits are known to the world
/// alone.
#[tokio::test(flavor = "multi_thread")]
async fn reminders_at_the_learned_hour_are_read_in_time_more_often() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("demo");
    demo::run(&out, &Spec { people: 1000, ..Spec::demo() }, 5, |_| {}).await.unwrap();
    let config = Config::load(&out.join("opportune.toml")).unwrap();
    let store = Store::open(&config.database_url, Create::No).await.unwrap();
    let start: DateTime<Utc> = "2026-08-03T00:00:00Z".parse().unwrap();
    let ctx = support::ctx(store, config, Clock::starting_at(start));
    let everybody = ctx.store.read().await.unwrap().everybody().await.unwrap();
    let event = |(number, person): (usize, &opportune::model::recipient::Recipient)| {
        let zone = person.profile.zone.map_or(chrono_tz::Tz::UTC, |zone| zone.tz);
        let day = NaiveDate::from_ymd_opt(2026, 8, 6).unwrap() + TimeDelta::days(number as i64 % 5);
        let at = day.and_hms_opt(9 + (number as u32 * 7) % 10, 0, 0).unwrap();
        let at = opportune::calendar::zone::instant(at, zone).to_rfc3339();
        serde_json::json!({ "recipient": person.key.as_str(), "event": "appointment", "at": at })
    };
    let events: Vec<_> = everybody.iter().enumerate().map(event).collect();
    for chunk in events.chunks(1000) {
        let items: Vec<import::BulkItem> =
            serde_json::from_value(serde_json::json!(chunk)).unwrap();
        import::items(&ctx, BulkKind::Events, &items, "test").await.unwrap();
    }
    let file = |name: &str, span: [&str; 2], last: &str| {
        format!(
            "name = \"{name}\"\nprovider = \"simulated\"\ncategory = \"utility\"\nwithin = \"2h\"\n\
             [trigger]\nevent = \"appointment\"\nfrom = \"{}\"\nto = \"{}\"\n\
             [audience]\nwhere = 'consented && recipient.matches(\"[{last}]$\")'\n\
             [[variant]]\nname = \"words\"\nmedia = \"text\"\n",
            span[0], span[1]
        )
    };
    let sources =
        [file("learned", ["-44h", "-18h"], "02468"), file("fixed", ["-25h", "-23h"], "13579")];
    // what is about to happen can be played before
    let campaign = campaigns::check(&ctx, &sources[0]).await.unwrap();
    let script = Script::tomorrow(&ctx, vec![(campaign, sources[0].parse().unwrap())]);
    let played = run::recalled(&ctx, &script, &[1], |_, _, _| {}).await.unwrap();
    let outcome = &played.outcomes[0];
    assert!(outcome.broken.is_empty(), "{:?}", outcome.broken);
    assert_eq!(outcome.campaigns.len(), 1, "runs are told with their campaign");
    assert!(outcome.campaigns[0].sent > 250, "{:?}", outcome.campaigns);
    for source in sources {
        campaigns::submit(&ctx, &source, "test").await.unwrap();
    }
    drive(&ctx, "2026-08-12T00:00:00Z".parse().unwrap(), |_| {}).await.unwrap();
    let mut shares = Vec::new();
    for name in ["learned", "fixed"] {
        let mut reader = ctx.store.read().await.unwrap();
        let row = reader.campaign(&name.parse().unwrap()).await.unwrap().unwrap();
        drop(reader);
        let results = results::results(&ctx, &row).await.unwrap();
        let arm = &results.arms[0];
        // who is refused is counted as not reminded
        let people: u64 = results.states.iter().map(|count| count.people).sum();
        assert!(people > 250 && arm.sent as f64 > 0.9 * people as f64, "{name}: {results:?}");
        shares.push((arm.engaged as f64 / people as f64, people as f64));
    }
    let [(learned, a), (fixed, b)] = shares[..] else { panic!("there are two") };
    let error = (learned * (1.0 - learned) / a + fixed * (1.0 - fixed) / b).sqrt();
    let more = learned - fixed;
    println!("read within 2 h: {learned:.3} and {fixed:.3}, {more:+.3} ± {:.3}", 1.96 * error);
    // surely more, one-sided at 95 %
    assert!(more > 1.645 * error, "read within 2 h: {learned:.3} and {fixed:.3} ± {error:.3}");
}
