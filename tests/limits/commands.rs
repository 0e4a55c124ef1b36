//! What the commands tell of plans under limits, read as an outsider would.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::clock::Clock;

use crate::planning::exact;
use crate::support::Workspace;

/// A workspace with people who read at hours of their own, and what was learned of them.
fn learned() -> Workspace {
    let workspace = Workspace::new();
    let now = Clock::system().now();
    let mut recipients = String::from("recipient,address,time_zone,country,opted_in_at\n");
    let mut messages = String::from("message,recipient,media,sent_at,delivered_at,read_at\n");
    for person in 0..90_i64 {
        let (zone, country, dial) =
            [("UTC", "GB", "44"), ("Asia/Kolkata", "IN", "91")][(person % 2) as usize];
        recipients.push_str(&format!(
            "p{person},+{dial}70{person:08},{zone},{country},2025-01-01T00:00:00Z\n"
        ));
        for number in 0..10_i64 {
            let sent = now - TimeDelta::hours(60 + 31 * number + person % 7);
            let sent = sent.format("%Y-%m-%dT%H:00:00Z").to_string();
            let at: DateTime<Utc> = sent.parse().unwrap();
            let wait = TimeDelta::minutes(7 + (person * 37 + number * 11) % 400);
            let read =
                if (person + number) % 3 == 0 { String::new() } else { (at + wait).to_rfc3339() };
            let media = ["text", "image"][(number % 2) as usize];
            messages
                .push_str(&format!("m{person}-{number},p{person},{media},{sent},{sent},{read}\n"));
        }
    }
    workspace.write("recipients.csv", &recipients);
    workspace.write("messages.csv", &messages);
    workspace.ok(&["import", "recipients", "recipients.csv"]);
    workspace.ok(&["import", "messages", "messages.csv"]);
    workspace.ok(&["learn"]);
    workspace
}

/// A campaign of the next days, so that what was sent lately is near.
fn campaign(name: &str, provider: &str, more: &str) -> String {
    let day = |days| (Clock::system().now() + TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    format!(
        "name = \"{name}\"\nprovider = \"{provider}\"\n[window]\nstart = {}T09:00:00\n\
         end = {}T20:00:00\n[[variant]]\nname = \"words\"\nmedia = \"text\"\n\
         [[variant]]\nname = \"photo\"\nmedia = \"image\"\n{more}",
        day(2),
        day(4)
    )
}

fn rows(workspace: &Workspace, file: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(workspace.path(file)).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

#[test]
fn an_outsider_recomputes_value_and_optimum_from_what_a_plan_writes() {
    let workspace = learned();
    workspace.write("c.toml", &campaign("sale", "simulated", "[capacity]\nper_hour = 1\n"));
    workspace.ok(&["campaign", "submit", "c.toml"]);
    let plan = workspace.json(&[
        "plan",
        "sale",
        "--export",
        "p.csv",
        "--values",
        "v.csv",
        "--capacity",
        "c.csv",
    ]);
    let number = |text: &String| text.parse::<f64>().unwrap();
    let second = |text: &String| text.parse::<DateTime<Utc>>().unwrap().timestamp();
    let mut people: BTreeMap<String, usize> = BTreeMap::new();
    let mut values: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut columns = Vec::new();
    for row in rows(&workspace, "v.csv") {
        let next = people.len();
        let person = *people.entry(row["recipient"].clone()).or_insert(next);
        let value = number(&row["value"]);
        values.insert((row["recipient"].clone(), row["slot_start"].clone()), value);
        if value > 0.0 {
            columns.push((person, second(&row["slot_start"]), value));
        }
    }
    let mut taken: BTreeMap<String, f64> = BTreeMap::new();
    let mut value = 0.0;
    for row in rows(&workspace, "p.csv").iter().filter(|row| row["outcome"] == "planned") {
        *taken.entry(row["slot_start"].clone()).or_default() += 1.0;
        let listed = values[&(row["recipient"].clone(), row["slot_start"].clone())];
        assert!((listed - number(&row["value"])).abs() < 1e-6 * listed.abs(), "{row:?}");
        value += listed;
    }
    let mut groups = Vec::new();
    for row in rows(&workspace, "c.csv") {
        let room = number(&row["capacity"]) - number(&row["reserved"]);
        assert!(taken.get(&row["slot_start"]).copied().unwrap_or(0.0) <= room);
        groups.push((vec![second(&row["slot_start"])], room));
    }
    let told = |key: &str| plan[key].as_f64().unwrap();
    assert!((value - told("value")).abs() < 1e-6 * value, "{value} is told as {}", told("value"));
    let best = exact::best_value(&columns, &groups);
    assert!(value >= best * 0.999 && value <= best * (1.0 + 1e-6), "{value} of {best}");
    assert!(told("bound") >= best * (1.0 - 1e-6) && told("gap") <= 1e-3, "{plan}");
    assert!(plan["refused"]["no_capacity"].as_u64().unwrap() > 0, "capacity binds nobody");
}

#[test]
fn a_budget_is_kept_by_the_prices_of_the_user_s_table() {
    let workspace = learned();
    workspace.write(
        "prices.toml",
        "currency = \"EUR\"\nas_of = 2026-10-01\nsource = \"our contract\"\n\
         [[market]]\nname = \"here\"\ncountries = [\"GB\"]\nmarketing = 0.5\nutility = 0.1\n\
         [other]\nmarketing = 0.2\nutility = 0.1\n",
    );
    let simulated = "kind = \"simulated\"\n";
    let budget = |currency| format!("[budget]\namount = 7.0\ncurrency = \"{currency}\"\n");
    workspace.write("c.toml", &campaign("sale", "simulated", &budget("EUR")));
    // the table that comes with the program is in dollars
    let told = workspace.fails(2, &["campaign", "check", "c.toml"]);
    assert!(told.contains("budget.currency: EUR is not USD"), "{told}");
    workspace.set(simulated, &format!("{simulated}prices = \"prices.toml\"\n"));
    let checked = workspace.json(&["campaign", "check", "c.toml"]);
    let plan = &checked["plan"];
    let spend = plan["spend"]["amount"].as_f64().unwrap();
    assert!(spend > 6.5 && spend <= 7.0 + 1e-9, "{plan}");
    assert!(plan["refused"]["no_budget"].as_u64().unwrap() > 0, "{plan}");
    let text = workspace.ok(&["campaign", "check", "c.toml"]);
    assert!(text.contains("EUR of 7.00") && text.contains("By UTC hour"), "{text}");
    assert_eq!(workspace.json(&["campaign", "list"]).as_array().unwrap().len(), 0);
    // a letter costs ten, and one message in twenty is taken not to arrive: half a euro a message is kept for it
    workspace.write(
        "letters.toml",
        "currency = \"EUR\"\nas_of = 2026-10-01\nsource = \"our contract\"\n\
         [other]\nmarketing = 10.0\nutility = 10.0\n",
    );
    workspace.set(
        "# Prints messages",
        "[provider.letter]\nkind = \"simulated\"\nseed = 7\nprices = \"letters.toml\"\n\n# Prints messages",
    );
    let letter = "[[fallback]]\nprovider = \"letter\"\nafter = \"6h\"\n";
    let with_letter = format!("{}{letter}", budget("EUR"));
    workspace.write("c.toml", &campaign("sale", "simulated", &with_letter));
    let checked = workspace.json(&["campaign", "check", "c.toml"]);
    let plan = &checked["plan"];
    let (own, planned) =
        (plan["spend"]["amount"].as_f64().unwrap(), plan["planned"].as_f64().unwrap());
    assert!(planned > 0.0 && own + 0.5 * planned <= 7.0 + 1e-9, "{plan}");
    assert!(own + 0.5 * planned > 5.5, "{plan}");
    let expected = checked["fallbacks"][0]["expected"].as_f64().unwrap();
    assert!((expected - 0.05 * planned).abs() < 1e-9, "{checked}");
    let text = workspace.ok(&["campaign", "check", "c.toml"]);
    assert!(text.contains("Fallback to letter: about"), "{text}");
}

#[test]
fn messages_of_the_past_count_against_caps_and_are_named() {
    let workspace = learned();
    workspace.write("c.toml", &campaign("sale", "simulated", ""));
    let plan = workspace.json(&["campaign", "check", "c.toml"])["plan"].clone();
    assert_eq!(plan["planned"], 90);
    workspace.set(
        "# Prints messages",
        "[frequency.marketing]\nleast_distance = \"30d\"\n\n# Prints messages",
    );
    let plan = workspace.json(&["campaign", "check", "c.toml"])["plan"].clone();
    assert_eq!(plan["refused"]["frequency_cap"], 90, "{plan}");
    workspace.ok(&["campaign", "submit", "c.toml"]);
    workspace.ok(&["plan", "sale"]);
    let told = workspace.ok(&["explain", "sale", "p3"]);
    assert!(told.contains("frequency_cap") && told.contains("barred"), "{told}");
}

#[test]
fn a_workspace_s_own_rules_bind_and_are_named() {
    let workspace = learned();
    workspace.write(
        "rules.toml",
        "[[rule]]\nname = \"mornings\"\ncountries = [\"GB\"]\ncategories = [\"marketing\"]\n\
         channels = [\"simulated\"]\nallowed = [\"Mon-Sun 09:00-10:00\"]\nsource = \"our own\"\n",
    );
    workspace.set("# country_rules = \"rules.toml\"", "country_rules = \"rules.toml\"");
    workspace.write("c.toml", &campaign("sale", "simulated", ""));
    workspace.ok(&["campaign", "submit", "c.toml"]);
    workspace.ok(&["plan", "sale", "--export", "p.csv"]);
    for row in rows(&workspace, "p.csv").iter().filter(|row| row["time_zone"] == "UTC") {
        let hour = &row["local_time"][11..13];
        assert!(row["outcome"] == "refused" || hour == "09", "{row:?}");
    }
    let named = (0..90).step_by(2).any(|person| {
        let told = workspace.ok(&["explain", "sale", &format!("p{person}")]);
        told.contains("Better, but forbidden") && told.contains("country rule mornings (our own)")
    });
    assert!(named, "nobody is told of the rule");
    workspace.write("rules.toml", "[[rule]]\nname = 1\n");
    let told = workspace.fails(2, &["status"]);
    assert!(told.contains("country_rules") && told.contains("rules.toml"), "{told}");
}

#[test]
fn whatsapp_carries_no_marketing_to_numbers_of_the_united_states() {
    let workspace = Workspace::new();
    let settings = std::fs::read_to_string(workspace.path("opportune.toml")).unwrap();
    let secrets: String = ["token", "app_secret", "verify_token"]
        .map(|name| format!("{name} = {{ file = \"secret\" }}\n"))
        .concat();
    workspace.write("secret", "hush");
    workspace.write(
        "opportune.toml",
        &format!(
            "{settings}\n[provider.wa]\nkind = \"whatsapp\"\n\
             base_url = \"http://127.0.0.1:9/v25.0\"\nphone_number_id = \"1\"\n{secrets}"
        ),
    );
    workspace.write(
        "recipients.csv",
        "recipient,address,time_zone,opted_in_at\n\
         texan,+12145550123,America/Chicago,2025-01-01T00:00:00Z\n\
         canadian,+14165550123,America/Toronto,2025-01-01T00:00:00Z\n",
    );
    workspace.ok(&["import", "recipients", "recipients.csv"]);
    let day = |days| (Clock::system().now() + TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    for (category, forbidden) in [("marketing", 1), ("utility", 0)] {
        let campaign = format!(
            "name = \"sale\"\nprovider = \"wa\"\ncategory = \"{category}\"\n[window]\n\
             start = {}T09:00:00\nend = {}T20:00:00\n\
             [[variant]]\nname = \"words\"\nmedia = \"text\"\ntemplate = \"t\"\n",
            day(2),
            day(4)
        );
        workspace.write("c.toml", &campaign);
        let plan = workspace.json(&["campaign", "check", "c.toml"])["plan"].clone();
        assert_eq!(plan["refused"]["provider_forbids"].as_u64().unwrap_or(0), forbidden, "{plan}");
        assert_eq!(plan["planned"].as_u64().unwrap(), 2 - forbidden, "{plan}");
        assert_eq!(plan["spend"]["currency"], "USD");
    }
}
