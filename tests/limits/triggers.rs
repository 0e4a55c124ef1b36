//! Standing campaigns end to end: each occurrence is written about once, in its span, whatever moves.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::model::delivery::{Reason, State};
use opportune::replay::drive;
use opportune::store::Experiment;
use opportune::work::campaigns::OperatorCommand;
use opportune::work::export::{self, PeopleCursor, PeopleFilter};
use opportune::work::import::{self, BulkItem, BulkKind, RowOutcome};
use opportune::work::learn::{self, Depth};
use opportune::work::{Ctx, campaigns, check, plan, results};
use serde_json::{Value, json};

use crate::steps::with_people;
use crate::support::on_both;

type Moment = DateTime<Utc>;

fn at(text: &str) -> Moment {
    format!("2026-03-{text}:00Z").parse().unwrap()
}

async fn submit(ctx: &Ctx, trigger: &str, more: &str) {
    let source = format!(
        "name = \"reminder\"\nprovider = \"simulated\"\ncategory = \"utility\"\n[trigger]\n{trigger}\n\
         [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"See you, {{{{doctor}}}}\"\n\
         defaults = {{ doctor = \"soon\" }}\n{more}"
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
}

async fn events(ctx: &Ctx, items: Value) -> Vec<RowOutcome> {
    let items: Vec<BulkItem> = serde_json::from_value(items).unwrap();
    import::items(ctx, BulkKind::Events, &items, "test").await.unwrap()
}

/// One event of a person, by number.
fn event(person: usize, kind: &str, at: Moment, key: &str) -> Value {
    json!({ "recipient": format!("r{person:04}"), "event": kind, "at": at.to_rfc3339(), "key": key })
}

/// When a person was sent something.
async fn sent(ctx: &Ctx, person: usize) -> Vec<Moment> {
    let mut reader = ctx.store.read().await.unwrap();
    let key = format!("r{person:04}").parse().unwrap();
    let recipient = reader.recipient(&key).await.unwrap().unwrap();
    let messages = reader.messages_of(recipient.id).await.unwrap();
    messages.iter().map(|row| row.message.sent_at).collect()
}

async fn states(ctx: &Ctx) -> BTreeMap<(State, Reason), u64> {
    let mut reader = ctx.store.read().await.unwrap();
    let row = reader.campaign(&"reminder".parse().unwrap()).await.unwrap().unwrap();
    drop(reader);
    let summary = campaigns::summary(ctx, &row).await.unwrap();
    summary.states.iter().map(|count| ((count.state, count.reason), count.people)).collect()
}

const APPOINTMENT: &str = "event = \"appointment\"\nfrom = \"-44h\"\nto = \"-18h\"\n\
    unless = [\"appointment_cancelled\"]";

#[tokio::test]
async fn an_appointment_is_reminded_of_once_in_its_span_whatever_moves() {
    on_both(async |store| {
        let ctx = with_people(store, "", 20).await;
        submit(&ctx, APPOINTMENT, "").await;
        let visit = |person, time: &str, key| event(person, "appointment", at(time), key);
        let first: Vec<Value> = (0..4).map(|person| visit(person, "05T10:00", "a")).collect();
        events(&ctx, json!(first)).await;
        let twice = json!([visit(6, "05T10:00", "a"), visit(6, "05T15:00", "b")]);
        events(&ctx, twice).await;
        events(&ctx, json!([visit(7, "05T10:00", "a"), visit(8, "05T10:00", "a")])).await;
        // moved before it comes into reach
        events(&ctx, json!([visit(1, "09T10:00", "a")])).await;
        drive(&ctx, at("03T00:00"), |_| {}).await.unwrap();
        // moved and called off while they are planned
        let off = event(3, "appointment_cancelled", at("03T00:00"), "a");
        events(&ctx, json!([visit(2, "07T10:00", "a"), off])).await;
        drive(&ctx, at("04T08:00"), |_| {}).await.unwrap();
        // late in its span, and too late for it
        events(&ctx, json!([visit(4, "05T10:00", "a")])).await;
        drive(&ctx, at("04T20:00"), |_| {}).await.unwrap();
        events(&ctx, json!([visit(5, "05T10:00", "a")])).await;
        // after the reminder: by hours it is the same visit, by days another
        events(&ctx, json!([visit(7, "05T13:00", "a"), visit(8, "12T10:00", "a")])).await;
        drive(&ctx, at("05T00:00"), |_| {}).await.unwrap();
        // a file that comes again
        assert_eq!(events(&ctx, json!([visit(0, "05T10:00", "a")])).await, [RowOutcome::Unchanged]);
        drive(&ctx, at("16T00:00"), |_| {}).await.unwrap();
        let span = |visit: &str| at(visit) - TimeDelta::hours(44)..at(visit) - TimeDelta::hours(18);
        for (person, visits) in [
            (0, &["05T10:00"][..]),
            (1, &["09T10:00"]),
            (2, &["07T10:00"]),
            (3, &[]),
            (4, &["05T10:00"]),
            (5, &[]),
            (6, &["05T10:00"]),
            (7, &["05T10:00"]),
            (8, &["05T10:00", "12T10:00"]),
            (9, &[]),
        ] {
            let times = sent(&ctx, person).await;
            assert_eq!(times.len(), visits.len(), "{person}: {times:?}");
            for (time, visit) in times.iter().zip(visits) {
                assert!(span(visit).contains(time), "{person}: {time} for {visit}");
            }
        }
        let states = states(&ctx).await;
        let people = |state, reason| states.get(&(state, reason)).copied().unwrap_or_default();
        assert_eq!(people(State::Refused, Reason::CalledOff), 1, "{states:?}");
        assert_eq!(people(State::Refused, Reason::AgainTooSoon), 1, "{states:?}");
        assert_eq!(people(State::Refused, Reason::WindowOver), 1, "{states:?}");
        let all: u64 = states.iter().filter(|((s, _), _)| *s == State::Sent).map(|(_, n)| n).sum();
        assert_eq!(all, 8, "{states:?}");
        // the runs are over, the standing campaign is not
        let mut reader = ctx.store.read().await.unwrap();
        let open = reader.open_campaigns().await.unwrap().rows;
        let open: Vec<String> = open.iter().map(|row| row.campaign.name.to_string()).collect();
        assert_eq!(open, ["reminder"]);
        let row = reader.campaign(&"reminder".parse().unwrap()).await.unwrap().unwrap();
        let moved = reader.recipient(&"r0003".parse().unwrap()).await.unwrap().unwrap();
        drop(reader);
        let (people, _) = export::people(
            &ctx,
            &row,
            PeopleFilter { state: Some(State::Sent), reason: None },
            PeopleCursor::default(),
            100,
        )
        .await
        .unwrap();
        assert_eq!(people.len(), 8);
        let told = plan::explain_in_words(&ctx, row, &moved).await.unwrap().unwrap();
        assert!(told.explanation.contains("called off"), "{}", told.explanation);
    })
    .await;
}

/// With each model a run decides anew about whom nothing has left to, as any campaign does.
#[tokio::test]
async fn who_was_refused_in_a_run_is_written_to_once_the_reason_is_gone() {
    on_both(async |store| {
        let ctx = with_people(store, "", 6).await;
        let person = |address: &str| {
            json!([{ "recipient": "r0009", "time_zone": "UTC", "address": address,
                "opted_in_at": "2026-02-01T00:00:00Z", "opt_in_source": "form" }])
        };
        let import = async |items: Value| {
            let items: Vec<BulkItem> = serde_json::from_value(items).unwrap();
            import::items(&ctx, BulkKind::Recipients, &items, "test").await.unwrap();
        };
        import(person("")).await;
        submit(&ctx, APPOINTMENT, "").await;
        let visits = [0, 1, 2, 9].map(|person| event(person, "appointment", at("05T10:00"), "a"));
        events(&ctx, json!(visits)).await;
        let off = event(2, "appointment_cancelled", at("03T00:00"), "a");
        drive(&ctx, at("03T12:00"), |_| {}).await.unwrap();
        assert_eq!(states(&ctx).await.get(&(State::Refused, Reason::NoAddress)), Some(&1));
        events(&ctx, json!([off])).await;
        import(person("+551190000999")).await;
        learn::run(&ctx, None, Depth::Fit, |_, _| {}).await.unwrap();
        drive(&ctx, at("06T00:00"), |_| {}).await.unwrap();
        let times = sent(&ctx, 9).await;
        let span = at("03T12:00")..at("04T16:00");
        assert!(times.len() == 1 && span.contains(&times[0]), "{times:?}");
        assert_eq!(states(&ctx).await.values().sum::<u64>(), 4);
        for person in [0, 1] {
            assert_eq!(sent(&ctx, person).await.len(), 1, "{person}");
        }
        assert!(sent(&ctx, 2).await.len() <= 1);
    })
    .await;
}

#[tokio::test]
async fn runs_share_the_hour_of_their_campaign_and_obey_its_commands() {
    on_both(async |store| {
        let ctx = with_people(store, "", 60).await;
        submit(&ctx, APPOINTMENT, "[capacity]\nper_hour = 2\n").await;
        // two days of visits, whose spans overlap
        let visits = (0..60).map(|person| {
            let day = if person % 2 == 0 { "05T22:00" } else { "06T06:00" };
            event(person, "appointment", at(day), "a")
        });
        events(&ctx, json!(visits.collect::<Vec<_>>())).await;
        drive(&ctx, at("04T12:00"), |_| {}).await.unwrap();
        let command = async |command| {
            let mut reader = ctx.store.read().await.unwrap();
            let row = reader.campaign(&"reminder".parse().unwrap()).await.unwrap().unwrap();
            drop(reader);
            assert!(campaigns::change(&ctx, &row, command, "test").await.unwrap());
        };
        command(OperatorCommand::Pause).await;
        let count = async || {
            let mut all = Vec::new();
            for person in 0..60 {
                all.extend(sent(&ctx, person).await);
            }
            all
        };
        let before = count().await.len();
        assert!(before > 0);
        drive(&ctx, at("04T15:00"), |_| {}).await.unwrap();
        assert_eq!(count().await.len(), before);
        command(OperatorCommand::Resume).await;
        drive(&ctx, at("04T20:00"), |_| {}).await.unwrap();
        let times = count().await;
        assert!(times.len() > before);
        let mut hours: BTreeMap<i64, u32> = BTreeMap::new();
        for time in times {
            *hours.entry(time.timestamp() / 3600).or_default() += 1;
        }
        assert!(hours.values().all(|sum| *sum <= 2), "{hours:?}");
        command(OperatorCommand::Cancel).await;
        let before = count().await.len();
        drive(&ctx, at("10T00:00"), |_| {}).await.unwrap();
        assert_eq!(count().await.len(), before);
        let states = states(&ctx).await;
        assert_eq!(states.values().sum::<u64>(), 60, "{states:?}");
        assert!(states.keys().all(|(state, _)| state.is_end()), "{states:?}");
        assert!(ctx.store.read().await.unwrap().open_campaigns().await.unwrap().rows.is_empty());
    })
    .await;
}

#[tokio::test]
async fn runs_share_the_budget_of_their_campaign() {
    on_both(async |store| {
        let ctx = with_people(store, "", 12).await;
        // three messages and a half of what utility costs in Brazil
        let budget = "[budget]\namount = 0.0238\ncurrency = \"USD\"\n";
        submit(&ctx, APPOINTMENT, budget).await;
        let days = ["05T10:00", "06T10:00", "12T10:00"];
        let visits = (0..12).map(|n| event(n, "appointment", at(days[n % 3]), "a"));
        events(&ctx, json!(visits.collect::<Vec<_>>())).await;
        drive(&ctx, at("14T00:00"), |_| {}).await.unwrap();
        let mut all = 0;
        for person in 0..12 {
            all += sent(&ctx, person).await.len();
        }
        assert_eq!(all, 3);
        let states = states(&ctx).await;
        assert_eq!(states.get(&(State::Refused, Reason::NoBudget)), Some(&9), "{states:?}");
    })
    .await;
}

#[tokio::test]
async fn runs_share_the_agents_of_their_campaign() {
    const PEOPLE: usize = 600;
    on_both(async |store| {
        let ctx = with_people(store, "", PEOPLE).await;
        let agents = "[capacity]\nagents = 1\nchats_per_agent = 1\nminutes_per_chat = 1440\n";
        submit(&ctx, APPOINTMENT, agents).await;
        // one week the visits of two days, whose spans lie nearly the same, the next week all in one
        let weeks = [["05T16:00", "05T20:00"], ["12T16:00", "12T16:00"]];
        let visits = weeks.iter().flat_map(|days| {
            (0..PEOPLE).map(|n| event(n, "appointment", at(days[n % 2]), days[0]))
        });
        events(&ctx, json!(visits.collect::<Vec<_>>())).await;
        drive(&ctx, at("14T00:00"), |_| {}).await.unwrap();
        let mut counts = [0_usize; 2];
        for person in 0..PEOPLE {
            for time in sent(&ctx, person).await {
                counts[usize::from(time > at("08T00:00"))] += 1;
            }
        }
        let runs = {
            let mut reader = ctx.store.read().await.unwrap();
            let row = reader.campaign(&"reminder".parse().unwrap()).await.unwrap().unwrap();
            reader.runs_of(row.id).await.unwrap().len()
        };
        assert_eq!(runs, 3);
        let [of_two, of_one] = counts;
        assert!(of_one > 0 && of_one < PEOPLE / 2, "the agents bind: {counts:?}");
        // 30 hours for 26: each run alone would have found the agents free
        assert!(5 * of_two <= 7 * of_one, "{counts:?}");
    })
    .await;
}

#[tokio::test]
async fn a_person_is_in_one_arm_of_all_runs_and_counts_once_in_their_experiment() {
    const PEOPLE: usize = 60;
    on_both(async |store| {
        let ctx = with_people(store, "", PEOPLE).await;
        submit(&ctx, APPOINTMENT, "[arms]\npersonalized = 0.5\ncontrol = 0.5\n").await;
        for day in ["05T10:00", "12T10:00"] {
            let visits = (0..PEOPLE).map(|n| event(n, "appointment", at(day), day));
            events(&ctx, json!(visits.collect::<Vec<_>>())).await;
        }
        drive(&ctx, at("16T00:00"), |_| {}).await.unwrap();
        let mut reader = ctx.store.read().await.unwrap();
        let row = reader.campaign(&"reminder".parse().unwrap()).await.unwrap().unwrap();
        let (goal, within) = (row.campaign.goal, row.campaign.within);
        let now = ctx.clock.now();
        let once = reader.experiment_of_runs(row.id, goal, within, now, 5).await.unwrap();
        let mut of_runs = Vec::new();
        for run in reader.runs_of(row.id).await.unwrap() {
            of_runs.push(reader.experiment(run, goal, within, now, 5).await.unwrap());
        }
        drop(reader);
        let people = |of: &Experiment| -> BTreeMap<_, _> {
            of.arms.iter().map(|arm| (arm.arm, arm.people)).collect()
        };
        assert_eq!(of_runs.len(), 2);
        assert_eq!(people(&once).values().sum::<u64>(), PEOPLE as u64);
        assert_eq!(people(&once).len(), 2, "{once:?}");
        // the same people in the same arms, and of their messages the first
        assert_eq!(people(&of_runs[1]), people(&of_runs[0]));
        assert_eq!(once, of_runs[0]);
        let results = results::results(&ctx, &row).await.unwrap();
        let experiment = results.experiment.expect("there are two arms");
        assert_eq!(experiment.comparisons.len(), 1, "{experiment:?}");
        assert_eq!(results.lift, Some(experiment.comparisons[0].difference));
        assert_eq!(results.lift_adjusted, experiment.comparisons[0].adjusted);
    })
    .await;
}

#[tokio::test]
async fn a_birthday_and_every_week_come_by_themselves() {
    on_both(async |store| {
        let ctx = with_people(store, "", 10).await;
        let days = ["1990-03-05", "03-06", "never", "2000-07-01"];
        let people: Vec<Value> = days
            .iter()
            .enumerate()
            .map(|(person, day)| json!({ "recipient": format!("r{person:04}"),
                "address": format!("+55119{person:08}"), "attr_birthday": day }))
            .collect();
        let items: Vec<BulkItem> = serde_json::from_value(json!(people)).unwrap();
        import::items(&ctx, BulkKind::Recipients, &items, "test").await.unwrap();
        let file = "name = \"hello\"\nprovider = \"simulated\"\n[trigger]\nattribute = \"birthday\"\n\
            from = \"8h\"\nto = \"20h\"\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n";
        let checked = check::check(&ctx, file).await.unwrap();
        assert_eq!(checked.upcoming, Some(2));
        assert!(checked.warnings.iter().any(|w| w.contains("1 people is no day")), "{checked:?}");
        campaigns::submit(&ctx, file, "test").await.unwrap();
        let weekly = "name = \"news\"\nprovider = \"simulated\"\n[trigger]\nevery = \"week\"\n\
            start = 2026-03-02T09:00:00\nend = 2026-03-17T00:00:00\nto = \"10h\"\n\
            [[variant]]\nname = \"words\"\nmedia = \"text\"\n";
        campaigns::submit(&ctx, weekly, "test").await.unwrap();
        drive(&ctx, at("25T00:00"), |_| {}).await.unwrap();
        // each Monday until the end, and the birthday
        let weeks = ["02T00:00", "09T00:00", "16T00:00"];
        for person in 0..10 {
            let times = sent(&ctx, person).await;
            let birthday = match person {
                0 => Some("05T00:00"),
                1 => Some("06T00:00"),
                _ => None,
            };
            let mut wanted: Vec<Moment> = weeks.iter().copied().chain(birthday).map(at).collect();
            wanted.sort();
            assert_eq!(times.len(), wanted.len(), "{person}: {times:?}");
            for (time, day) in times.iter().zip(wanted) {
                // wherever they live
                let far = (*time - day - TimeDelta::hours(12)).abs();
                assert!(far < TimeDelta::hours(26), "{person}: {time} for {day}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_come_true_is_told_before_it_is_submitted() {
    on_both(async |store| {
        let ctx = with_people(store, "", 3).await;
        let file = |trigger: &str| {
            format!(
                "name = \"a\"\nprovider = \"simulated\"\n[trigger]\n{trigger}\n[[variant]]\n\
                 name = \"words\"\nmedia = \"text\"\n"
            )
        };
        let checked = check::check(&ctx, &file("event = \"apointment\"")).await.unwrap();
        assert!(checked.warnings[0].contains("no event apointment is known yet"), "{checked:?}");
        let short = check::check(&ctx, &file("event = \"a\"\nto = \"90m\"")).await;
        assert!(short.unwrap_err().to_string().contains("two slots of 60 minutes"));
        let over = check::check(&ctx, &file("event = \"a\"\nend = 2026-02-01T00:00:00")).await;
        assert!(over.unwrap_err().to_string().contains("is over everywhere"));
    })
    .await;
}
