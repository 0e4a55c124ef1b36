//! Consent is noted, and whoever asks is forgotten.

use crate::scene::*;

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
