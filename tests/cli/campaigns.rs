//! Campaigns are checked and planned.

use crate::scene::*;

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
