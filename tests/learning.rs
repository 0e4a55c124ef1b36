//! Learning as the daemon and the command line do it: what is folded once is not read again, a full
//! relearning comes to the same, and nothing that fails takes what was learned away.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::clock::Clock;
use opportune::config::{Config, EXAMPLE};
use opportune::model::content::{Content, Goal};
use opportune::model::ids::RecipientId;
use opportune::model::message::Message;
use opportune::store::{Create, Store};
use opportune::work::learn::{self, ActiveModel, Depth, FitOutcome, LearnError, People};
use opportune::work::{Ctx, new_node};
use opportune::world::World;
use opportune::world::logging::{Count, Logging};
use opportune::world::spec::Spec;
use support::{Workspace, browse, on_both};
use tempfile::TempDir;

const PRESENT: &str = "2026-06-01T00:00:00Z";

fn present() -> DateTime<Utc> {
    PRESENT.parse().unwrap()
}

fn ctx(store: Store) -> Ctx {
    let config = Config::parse(EXAMPLE, Path::new("opportune.toml")).unwrap();
    support::ctx(store, config, Clock::starting_at(present()))
}

async fn sqlite(dir: &TempDir) -> Ctx {
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    ctx(Store::open(&url, Create::IfMissing).await.unwrap())
}

/// A world's people put into the store; their messages, oldest first, and their signs of presence.
async fn history(ctx: &Ctx, people: u32, messages: u32) -> Past {
    let world = World::new(&Spec { people, ..Spec::demo() }, 5).unwrap();
    let logging = Logging { messages: Count::Exact(messages), ..Logging::demo(present()) };
    let mut past = Past::default();
    let histories: Vec<_> = world.history(&logging).collect();
    let rows: Vec<_> =
        histories.iter().map(|h| (h.recipient.key.clone(), h.recipient.profile.clone())).collect();
    let mut tx = ctx.store.begin().await.unwrap();
    let ids = tx.put_recipients(&rows).await.unwrap();
    tx.commit().await.unwrap();
    for (history, (id, _)) in histories.into_iter().zip(ids) {
        past.messages.extend(history.messages.into_iter().map(|message| (id, message)));
        past.signs.extend(history.activity.iter().map(|(at, kind)| (id, *at, (*kind).to_owned())));
    }
    past.messages.sort_by_key(|(id, message)| (message.sent_at, *id));
    past
}

#[derive(Default)]
struct Past {
    messages: Vec<(RecipientId, Message)>,
    signs: Vec<(RecipientId, DateTime<Utc>, String)>,
}

async fn add(ctx: &Ctx, messages: &[(RecipientId, Message)]) {
    for chunk in messages.chunks(1000) {
        let mut tx = ctx.store.begin().await.unwrap();
        tx.add_messages(chunk, ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Learns a second after what was written: rows of the very second are read once more.
async fn learn(ctx: &Ctx, depth: Depth) -> learn::Learned {
    ctx.clock.advance_to(ctx.clock.now() + TimeDelta::seconds(1));
    learn::run(ctx, Some(present()), depth, |_, _| {}).await.unwrap()
}

/// Everything that is known of everybody, number by number.
async fn knowledge(ctx: &Ctx) -> BTreeMap<RecipientId, Vec<f64>> {
    let people = People::load(ctx).await.unwrap();
    let model = ActiveModel::load(ctx).await.unwrap();
    let of = |index: usize| {
        let preference = model.preference(&people.subject(index, ctx.config.time_zone));
        let contents: Vec<Content> = preference.contents().cloned().collect();
        let mut numbers = preference.presence().to_vec();
        for content in &contents {
            numbers.push(preference.taste(content));
            numbers.push(f64::from(preference.opt_out(content)));
            for goal in [Goal::Read, Goal::Click, Goal::Reply] {
                let chances = preference.chances(content, goal, Duration::from_hours(2));
                numbers.extend(chances.map(f64::from));
            }
        }
        (people.recipients[index].id, numbers)
    };
    (0..people.recipients.len()).map(of).collect()
}

fn farthest(a: &BTreeMap<RecipientId, Vec<f64>>, b: &BTreeMap<RecipientId, Vec<f64>>) -> f64 {
    assert!(a.keys().eq(b.keys()));
    let pairs = a.values().flatten().zip(b.values().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relearning_at_the_same_settings_comes_to_the_same_also_after_late_reads() {
    let dir = TempDir::new().unwrap();
    let ctx = sqlite(&dir).await;
    let past = history(&ctx, 80, 30).await;
    // two thirds of the reads are not known when their messages are
    let mut early = past.messages.clone();
    for (_, message) in early.iter_mut().enumerate().filter(|(i, _)| i % 3 > 0).map(|(_, m)| m) {
        message.response.read_at = None;
    }
    let (older, newer) = early.split_at(early.len() / 2);
    add(&ctx, older).await;
    let mut versions = vec![learn(&ctx, Depth::Fit).await.version];
    let first = knowledge(&ctx).await;
    add(&ctx, newer).await;
    let mut tx = ctx.store.begin().await.unwrap();
    tx.add_activity(&past.signs, ctx.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    versions.push(learn(&ctx, Depth::Fit).await.version);
    add(&ctx, &past.messages).await;
    let late = learn(&ctx, Depth::Fit).await;
    let folded = knowledge(&ctx).await;
    assert!(farthest(&first, &folded) > 1e-3, "late reads teach nothing");

    let over = learn(&ctx, Depth::FullAtSettings).await;
    assert_eq!(over.messages, past.messages.len() as u64);
    assert_eq!(over.outcome, FitOutcome::Fitted);
    assert_eq!(over.summary.settings["settings"], late.summary.settings["settings"]);
    let relearned = knowledge(&ctx).await;
    let apart = farthest(&folded, &relearned);
    assert!(apart <= 1e-9, "a full relearning comes {apart} away");

    // and so does a workspace that is given everything at once
    let elsewhere = TempDir::new().unwrap();
    let other = self::sqlite(&elsewhere).await;
    let same = history(&other, 80, 30).await;
    add(&other, &same.messages).await;
    let mut tx = other.store.begin().await.unwrap();
    tx.add_activity(&same.signs, other.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let at_once = learn(&other, Depth::Fit).await;
    assert_eq!(at_once.outcome, FitOutcome::Tuned);
    assert_eq!(at_once.summary.data, over.summary.data);
    if at_once.summary.settings["settings"] == over.summary.settings["settings"] {
        let apart = farthest(&folded, &knowledge(&other).await);
        assert!(apart <= 1e-9, "learned at once comes {apart} away");
    }
    ctx.store.close().await;
    other.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_folded_is_not_read_again_but_for_the_second_in_which_it_was() {
    on_both(async |store| {
        let ctx = ctx(store);
        let past = history(&ctx, 60, 8).await;
        let (older, newer) = past.messages.split_at(past.messages.len() - 7);
        add(&ctx, older).await;
        let first = learn(&ctx, Depth::Fit).await;
        assert_eq!((first.messages, first.outcome), (older.len() as u64, FitOutcome::Tuned));
        let again = learn(&ctx, Depth::Fit).await;
        assert_eq!((again.messages, again.people, again.outcome), (0, 0, FitOutcome::Fitted));
        // written in the very second of the last fold, after it
        add(&ctx, newer).await;
        let last = learn(&ctx, Depth::Fit).await;
        assert_eq!(last.messages, 7);
        assert_eq!(last.summary.data.messages, past.messages.len() as u64);
        ctx.clock.advance_to(ctx.clock.now() + TimeDelta::hours(2));
        assert_eq!(learn(&ctx, Depth::Fit).await.messages, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_little_more_history_keeps_the_settings_and_much_more_chooses_them_anew() {
    let dir = TempDir::new().unwrap();
    let ctx = sqlite(&dir).await;
    let past = history(&ctx, 120, 20).await;
    let count = past.messages.len();
    let hour = |ctx: &Ctx| ctx.clock.advance_to(ctx.clock.now() + TimeDelta::hours(1));
    add(&ctx, &past.messages[..count / 2]).await;
    assert_eq!(learn(&ctx, Depth::Fit).await.outcome, FitOutcome::Tuned);
    hour(&ctx);
    add(&ctx, &past.messages[count / 2..count / 2 + count / 100]).await;
    let little = learn(&ctx, Depth::Fit).await;
    assert_eq!((little.outcome, little.messages), (FitOutcome::Fitted, count as u64 / 100));
    hour(&ctx);
    add(&ctx, &past.messages[count / 2..]).await;
    let much = learn(&ctx, Depth::Fit).await;
    assert_eq!((much.outcome, much.summary.new_since_tuned), (FitOutcome::Tuned, 0));
    // an earlier date must not know what was chosen with what came after it
    let as_of = Some(present() - TimeDelta::days(30));
    let earlier = learn::run(&ctx, as_of, Depth::Fit, |_, _| {}).await.unwrap();
    assert_eq!(earlier.outcome, FitOutcome::Tuned);
    ctx.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_nights_answers_are_followed_and_one_refreshed_version_is_kept() {
    let dir = TempDir::new().unwrap();
    let ctx = sqlite(&dir).await;
    let past = history(&ctx, 150, 40).await;
    // answers become twice as frequent in the last part
    let (older, newer) = past.messages.split_at(past.messages.len() * 2 / 3);
    let cut = newer[0].1.sent_at;
    let known: Vec<_> = older.iter().filter(|(_, m)| m.latest().1 <= cut).cloned().collect();
    add(&ctx, &known).await;
    ctx.clock.advance_to(ctx.clock.now() + TimeDelta::seconds(1));
    learn::run(&ctx, Some(cut), Depth::Fit, |_, _| {}).await.unwrap();
    let before = knowledge(&ctx).await;
    for (part, answered) in newer.chunks(newer.len() / 3 + 1).zip([2, 3, 4]) {
        ctx.clock.advance_to(ctx.clock.now() + TimeDelta::minutes(20));
        let mut part = part.to_vec();
        for (_, message) in part.iter_mut().step_by(answered) {
            if let Some(read) = message.response.read_at {
                message.response.clicked_at.get_or_insert(read + TimeDelta::minutes(1));
            }
        }
        add(&ctx, &part).await;
        ctx.clock.advance_to(ctx.clock.now() + TimeDelta::seconds(1));
        let fresh = learn::run(&ctx, None, Depth::Refresh, |_, _| {}).await.unwrap();
        assert_eq!((fresh.outcome, fresh.messages), (FitOutcome::Refreshed, part.len() as u64));
    }
    let idle = learn::run(&ctx, None, Depth::Refresh, |_, _| {}).await.unwrap();
    assert_eq!(idle.outcome, FitOutcome::Unchanged);
    let versions = ctx.store.read().await.unwrap().models().await.unwrap();
    assert_eq!(versions.len(), 2, "a fit, and the newest that was made of it");
    assert!(versions[1].active && versions[1].version == idle.version);
    // chances to click have gone up
    let model = ActiveModel::load(&ctx).await.unwrap();
    let people = People::load(&ctx).await.unwrap();
    let sum = |of: &BTreeMap<RecipientId, Vec<f64>>| -> f64 {
        let contents = ctx_contents(&model, &people, &ctx);
        of.values().map(|n| (0..contents).map(|c| n[168 + c * 506 + 2 + 168]).sum::<f64>()).sum()
    };
    let after = knowledge(&ctx).await;
    assert!(sum(&after) > 1.2 * sum(&before), "{} {}", sum(&after), sum(&before));
    ctx.store.close().await;
}

fn ctx_contents(model: &ActiveModel, people: &People, ctx: &Ctx) -> usize {
    model.preference(&people.subject(0, ctx.config.time_zone)).contents().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fit_that_diverges_says_so_and_leaves_the_last_good_version_in_use() {
    let dir = TempDir::new().unwrap();
    let ctx = sqlite(&dir).await;
    let past = history(&ctx, 80, 40).await;
    add(&ctx, &past.messages).await;
    learn(&ctx, Depth::Fit).await;
    let good = knowledge(&ctx).await;

    // a version whose figures drive every step on from it out of bounds
    let json = ctx.store.read().await.unwrap().model_parameters(1).await.unwrap().unwrap();
    let mut broken: serde_json::Value = serde_json::from_str(&json).unwrap();
    broken["as_of"] = serde_json::json!("2026-01-15T00:00:00Z");
    for regression in broken["responses"]["regressions"].as_array_mut().unwrap() {
        regression["weights"] = serde_json::json!([1e308, 1e308, 1e308, 1e308, 1e308]);
    }
    let mut tx = ctx.store.begin().await.unwrap();
    let now = ctx.clock.now();
    tx.add_model(now, now, "{}", &broken.to_string()).await.unwrap();
    tx.commit().await.unwrap();
    ctx.clock.advance_to(now + TimeDelta::hours(1));
    let failed = learn::run(&ctx, None, Depth::Refresh, |_, _| {}).await.unwrap_err();
    assert!(matches!(failed, LearnError::Fit(_)), "{failed:?}");
    assert!(failed.to_string().contains("the last good version stays in use"), "{failed}");
    let versions = ctx.store.read().await.unwrap().models().await.unwrap();
    assert_eq!(versions.len(), 2, "nothing was stored");

    // the lease is free again, and the next night starts from the evidence alone
    let mut tx = ctx.store.begin().await.unwrap();
    tx.use_model(1).await.unwrap();
    tx.commit().await.unwrap();
    assert!(farthest(&good, &knowledge(&ctx).await) < 1e-12);
    let healed = learn(&ctx, Depth::Full).await;
    assert_eq!(healed.version, 3);
    assert!(farthest(&good, &knowledge(&ctx).await) < 1e-9);
    ctx.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_while_everything_is_learned_anew_is_not_held_up() {
    let dir = TempDir::new().unwrap();
    let ctx = sqlite(&dir).await;
    let past = history(&ctx, 160, 30).await;
    add(&ctx, &past.messages).await;
    let learner = ctx.clone();
    let learning =
        tokio::spawn(
            async move { learn::run(&learner, None, Depth::Full, |_, _| {}).await.unwrap() },
        );
    let mut longest = Duration::ZERO;
    let mut writes = 0;
    while !learning.is_finished() {
        let began = std::time::Instant::now();
        let mut tx = ctx.store.begin().await.unwrap();
        tx.set_mark("beside", &writes.to_string()).await.unwrap();
        tx.commit().await.unwrap();
        longest = longest.max(began.elapsed());
        writes += 1;
    }
    assert_eq!(learning.await.unwrap().messages, past.messages.len() as u64);
    assert!(writes > 20 && longest < Duration::from_secs(2), "{writes} writes, {longest:?}");
    let busy = ctx.store.take_lease("learn", &new_node(), ctx.clock.now(), present()).await;
    assert!(busy.unwrap().is_some(), "the lease is free again");
    ctx.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_live_by_other_hours_are_noticed_and_those_who_do_not_are_not() {
    for later in [0, 6] {
        let dir = TempDir::new().unwrap();
        let ctx = sqlite(&dir).await;
        let keys: Vec<_> = (0..60)
            .map(|n| {
                (format!("r{n}").parse().unwrap(), opportune::model::recipient::Profile::default())
            })
            .collect();
        let mut tx = ctx.store.begin().await.unwrap();
        let ids = tx.put_recipients(&keys).await.unwrap();
        let mut signs = Vec::new();
        for (number, (id, _)) in ids.iter().enumerate() {
            for day in 0..120 {
                // between 8:00 and 11:00, and lately perhaps later
                let lately = if day < 28 { later } else { 0 };
                let minutes = (number as i64 * 17 + day * 53) % 180 + (8 + lately) * 60;
                let at = present() - TimeDelta::days(day + 1) + TimeDelta::minutes(minutes);
                signs.push((*id, at, "session".to_owned()));
            }
        }
        tx.add_activity(&signs, ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        let learned = learn(&ctx, Depth::Fit).await;
        let drift = &learned.summary.drift;
        let people = People::load(&ctx).await.unwrap();
        let in_use = ActiveModel::load(&ctx).await.unwrap();
        let change = in_use.habit_change(&people.subject(7, ctx.config.time_zone));
        if later == 0 {
            assert!(drift.parts.is_empty() && drift.moved.is_empty(), "{drift:?}");
            assert_eq!(change, None);
        } else {
            let count: usize = drift.moved.iter().map(|(_, people)| people).sum();
            assert!(count >= 50 && drift.watched == 60, "{drift:?}");
            assert!(drift.parts.iter().any(|part| part.from_hour == 12 && part.change > 1.0));
            let change = change.unwrap();
            let days = (present() - change.since).num_days();
            assert!(change.hours_later.is_some_and(|hours| (4..=8).contains(&hours)), "{change:?}");
            assert!(change.probability > 0.99 && (24..=34).contains(&days), "{change:?}");
            assert!(drift.words().iter().any(|words| words.contains("other hours than before")));
        }
        ctx.store.close().await;
    }
}

/// A workspace with a small world's history.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    let world = World::new(&Spec { people: 150, ..Spec::demo() }, 5).unwrap();
    let logging = Logging { messages: Count::Exact(30), ..Logging::demo(present()) };
    let (mut recipients, mut messages, mut activity) = (
        "recipient,time_zone,country,tags\n".to_owned(),
        "message,recipient,media,style,sent_at,delivered_at,read_at,clicked_at\n".to_owned(),
        "recipient,at,kind\n".to_owned(),
    );
    for history in world.history(&logging) {
        let (key, profile) = (&history.recipient.key, &history.recipient.profile);
        let zone = profile.zone.map_or("", |zone| zone.tz.name());
        let country = profile.country.as_ref().map(ToString::to_string).unwrap_or_default();
        recipients.push_str(&format!("{key},{zone},{country},{}\n", profile.tags.join("|")));
        let at = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339()).unwrap_or_default();
        for message in &history.messages {
            let r = &message.response;
            messages.push_str(&format!(
                "{},{key},{},{},{},{},{},{}\n",
                message.key,
                message.media.unwrap(),
                message.style.as_ref().map_or("", |style| style.as_str()),
                message.sent_at.to_rfc3339(),
                at(r.delivered_at),
                at(r.read_at),
                at(r.clicked_at),
            ));
        }
        for (seen, kind) in &history.activity {
            activity.push_str(&format!("{key},{},{kind}\n", seen.to_rfc3339()));
        }
    }
    recipients.push_str("newcomer,America/Sao_Paulo,BR,newsletter\n");
    workspace.write("r.csv", &recipients);
    workspace.write("m.csv", &messages);
    workspace.write("a.csv", &activity);
    for (what, file) in [("recipients", "r.csv"), ("messages", "m.csv"), ("activity", "a.csv")] {
        workspace.ok(&["import", what, file, "--strict"]);
    }
    workspace
}

/// The page, and the same figures in its tables of numbers.
fn reported(evaluation: &serde_json::Value, report: &Path) {
    let shown = browse(&report.join("report.html"), &["--dump-dom"]);
    let dom = String::from_utf8_lossy(&shown.stdout);
    assert!(dom.contains("<h1>Foretelling your own history</h1>"), "{dom}");
    assert!(dom.matches("<svg").count() == 3 && dom.contains("the median-hour rule"), "{dom}");
    let json = std::fs::read_to_string(report.join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), *evaluation);
    let mut table = csv::Reader::from_path(report.join("report.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let row = rows.iter().find(|row| &row[0] == "messages" && &row[2] == "who_gain").unwrap();
    let gain = evaluation["messages"]["who_gain"]["value"].as_f64().unwrap();
    assert!((row[3].parse::<f64>().unwrap() - gain).abs() < 1e-12, "{row:?}");
}

#[test]
fn everything_that_was_learned_can_be_looked_at() {
    let workspace = workspace();
    let evaluation = workspace.json(&["evaluate", "--holdout", "0.3"]);
    let methods = evaluation["presence"]["methods"].as_array().unwrap();
    let names: Vec<&str> = methods.iter().map(|row| row["method"].as_str().unwrap()).collect();
    let all = [
        "model",
        "uniform",
        "population",
        "histogram",
        "shrunk_histogram",
        "fixed_hour",
        "hour_per_weekday",
        "median_hour",
    ];
    assert_eq!(names, all);
    let timing = evaluation["messages"]["timing"].as_array().unwrap();
    assert_eq!(timing.len(), all.len());
    for row in timing {
        let order = &row["order"];
        let [low, value, high] = ["low", "value", "high"].map(|end| order[end].as_f64().unwrap());
        assert!(low <= value && value <= high && (0.0..=1.0).contains(&value), "{row}");
    }
    let gain = |what: &str| evaluation["messages"][what]["value"].as_f64().unwrap();
    let parts = gain("who_gain") + gain("when_gain");
    assert!((parts - (gain("population_loss") - gain("loss"))).abs() < 1e-9, "the parts add up");
    let text = workspace.ok(&["evaluate", "--out", "report"]);
    assert!(text.contains("the median-hour rule") && text.contains("Timing alone"), "{text}");
    reported(&evaluation, &workspace.path("report"));
    workspace.fails(2, &["evaluate", "--holdout", "1.5"]);
    assert!(workspace.json(&["model", "list"]).as_array().unwrap().is_empty(), "it taught nothing");

    workspace.ok(&["learn"]);
    let listed = workspace.ok(&["model", "list"]);
    assert!(listed.contains("tuned") && listed.contains("chronotypes"), "{listed}");
    let newcomer = workspace.json(&["preferences", "show", "newcomer"]);
    assert_eq!(newcomer["evidence"], 0.0);
    let from: Vec<&str> =
        newcomer["prior"]["from"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    assert!(from.contains(&"country BR") && from.contains(&"tag newsletter"), "{from:?}");
    let shown = workspace.ok(&["preferences", "show", "p000001"]);
    let first = shown.find("est reached").expect("words come first");
    assert!(shown.find("Mon ").is_some_and(|map| first < map), "{shown}");
    let words = newcomer["best_reached"][0].as_str().unwrap();
    assert!(words.contains("not known"), "{words}");
    let days = ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "];
    for day in days {
        let row = shown.lines().find(|line| line.starts_with(day)).unwrap();
        assert_eq!(row.chars().count(), 4 + 24, "{row}");
    }
    let known = workspace.json(&["preferences", "show", "p000001"]);
    for taste in known["tastes"].as_array().unwrap() {
        let [low, mean, high] = ["low", "relative", "high"].map(|end| taste[end].as_f64().unwrap());
        assert!(low < mean && mean < high, "{taste}");
    }

    let insights = workspace.json(&["insights"]);
    for insight in insights.as_array().unwrap() {
        if insight["about"] != "unsure" {
            assert!(insight["size"].as_u64().unwrap() >= 20, "{insight}");
        }
        let [value, low, high] =
            ["value", "low", "high"].map(|end| insight["figure"][end].as_f64().unwrap());
        assert!(low <= value && value <= high, "{insight}");
        assert_eq!(insight["sure"].as_bool().unwrap(), insight["about"] != "unsure");
        for key in ["advice", "group", "drawn", "basis", "looked_at", "detectable"] {
            assert!(insight.get(key).is_some(), "{key}: {insight}");
        }
        let text = insight["text"].as_str().unwrap();
        if let Some((_, rest)) = text.split_once("chronotype ") {
            let (name, told) = rest.split_once(": most present around ").unwrap();
            let hour = name.split('-').find_map(|word| word.strip_suffix('h')).unwrap();
            assert!(told.starts_with(hour), "the name contradicts the hour: {text}");
        }
    }
}
