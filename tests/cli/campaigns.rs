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
    let explained = workspace.ok(&["explain", "spring", "ana"]);
    assert!(explained.contains("words"), "{explained}");
    assert!(explained.contains("Nothing is known of this person's habits"), "{explained}");
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

/// Two hundred people with consent, and settings that hold out half of them.
fn held_out_workspace() -> Workspace {
    let workspace = Workspace::new();
    let settings = std::fs::read_to_string(workspace.path("opportune.toml")).unwrap();
    let holdout = "\n[holdout]\nshare = 0.5\nuntil = 2032-06-30\n";
    workspace.write("opportune.toml", &format!("{settings}{holdout}"));
    let person = |n| format!("p{n},+5511987{n:06},BR,2026-01-01T00:00:00Z,form\n");
    let people: String = (0..200).map(person).collect();
    let header = "recipient,address,country,opted_in_at,opt_in_source\n";
    workspace.write("people.csv", &format!("{header}{people}"));
    workspace.ok(&["import", "recipients", "people.csv"]);
    workspace
}

#[test]
fn the_standing_holdout_gets_no_marketing_and_shows_what_messages_bring() {
    let workspace = held_out_workspace();
    let before = workspace.json(&["holdout", "show"]);
    assert_eq!(
        (&before["since"], &before["conversions"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let plan = |name: &str, category: &str| {
        let named = campaign(|c| {
            let c =
                c.replace("\"spring\"", &format!("\"{name}\"")).replace("Hello {{name}}", "Hello");
            c.replace("[window]", &format!("category = \"{category}\"\n\n[window]"))
        });
        workspace.write("c.toml", &named);
        workspace.ok(&["campaign", "submit", "c.toml"]);
        workspace.json(&["plan", name, "--export", &format!("{name}.csv")])
    };
    let marketing = plan("sale", "marketing");
    let size = marketing["refused"]["holdout"].as_u64().unwrap();
    assert!((70..130).contains(&size), "{marketing}");
    assert_eq!(marketing["planned"].as_u64().unwrap(), 200 - size);
    assert_eq!(plan("notice", "utility")["planned"], 200);
    // whoever may be written to buys, and nobody else
    let sale = std::fs::read_to_string(workspace.path("sale.csv")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let now = opportune::clock::Clock::system().now().to_rfc3339();
    let bought = sale.lines().filter(|line| line.contains(",planned,"));
    let activity: String = bought
        .map(|line| format!("{},{now},purchase\n", line.split(',').nth(1).unwrap()))
        .collect();
    workspace.write("activity.csv", &format!("recipient,at,kind\n{activity}"));
    workspace.ok(&["import", "activity", "activity.csv"]);
    let shown = workspace.json(&["holdout", "show"]);
    assert_eq!((&shown["share"], &shown["until"]), (&0.5.into(), &"2032-06-30".into()));
    assert_eq!((&shown["size"], &shown["others"]), (&size.into(), &(200 - size).into()));
    assert_eq!(shown["conversions"]["others"]["mean"], 1.0, "{shown}");
    assert_eq!(shown["conversions"]["held_out"]["mean"], 0.0, "{shown}");
    assert_eq!(shown["mismatch"]["alarm"], false);
    let text = workspace.ok(&["holdout", "show"]);
    assert!(text.contains("until 2032-06-30") && text.contains("People with a purchase"), "{text}");
    let explained = workspace.ok(&["explain", "sale", held(&sale)]);
    assert!(explained.contains("to measure what messaging brings"), "{explained}");
}

/// Somebody whom an export calls held out.
fn held(export: &str) -> &str {
    let line = export.lines().find(|line| line.contains(",holdout,")).unwrap();
    line.split(',').nth(1).unwrap()
}

#[test]
fn a_check_says_the_smallest_effect_that_so_many_people_can_show() {
    let workspace = held_out_workspace();
    let text = campaign(|c| {
        let arms = "[arms]\npersonalized = 0.5\ncontrol = 0.5\n";
        format!("{}{arms}", c.replace("Hello {{name}}", "Hello"))
    });
    workspace.write("c.toml", &text);
    let checked = workspace.json(&["campaign", "check", "c.toml"]);
    let effect = &checked["plan"]["smallest_effect"];
    let people = effect["personalized"].as_f64().unwrap() + effect["control"].as_f64().unwrap();
    assert!((70.0..130.0).contains(&people), "{effect}");
    let (rate, found) =
        (effect["engagement"].as_f64().unwrap(), effect["effect"].as_f64().unwrap());
    // 2.8 standard errors of two halves, and a little for looking every day
    let error = (rate * (1.0 - rate) * 4.0 / people).sqrt();
    assert!((2.75..3.1).contains(&(found / error)), "{effect}");
    assert!(workspace.ok(&["campaign", "check", "c.toml"]).contains("80 times in 100"));
}

#[test]
fn a_campaign_is_previewed_and_tried_out_without_leaving_a_trace() {
    let workspace = workspace();
    let file = campaign(|c: &str| c.to_owned());
    workspace.write("c.toml", &file);
    let previews = workspace.json(&["campaign", "preview", "c.toml"]);
    let text = previews[0]["text"].as_str().unwrap().to_owned();
    assert!(!text.is_empty(), "{previews}");
    workspace.ok(&["campaign", "submit", "c.toml"]);
    assert_eq!(workspace.json(&["campaign", "preview", "spring"])[0]["text"], *text);
    let tried =
        workspace.json(&["campaign", "test", "spring", "--to", "+5511987654321", "me@x.org"]);
    let tried = tried.as_array().unwrap();
    assert!(tried.len() >= 2 && tried.iter().all(|tried| tried["accepted"] == true), "{tried:?}");
    // nobody was written to by the campaign
    let states = workspace.json(&["campaign", "results", "spring"])["states"].clone();
    assert_eq!(states, serde_json::json!([]));
    let told = workspace.fails(2, &["campaign", "preview", "nowhere"]);
    assert!(told.contains("could not read nowhere"), "{told}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let workspace = workspace();
    for shell in ["bash", "zsh", "fish"] {
        let text = workspace.ok(&["completions", shell]);
        assert!(text.contains("campaign") && text.contains("segment"), "{shell}");
    }
    workspace.ok(&["man", "pages"]);
    let page =
        std::fs::read_to_string(workspace.path("pages/opportune-campaign-submit.1")).unwrap();
    assert!(page.contains("Validate a campaign file and store it"), "{page}");
    assert!(workspace.path("pages/opportune.1").exists());
}
