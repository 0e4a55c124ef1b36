//! Files that come in: what is loaded, and what is told of the rest.

use std::process::Stdio;

use crate::scene::*;

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
