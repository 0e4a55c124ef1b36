//! Habits are learned and shown.

use crate::scene::*;

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

/// Ana was seen in the mornings of two months, then in the evenings of six weeks; Ben always then.
#[test]
fn who_came_to_live_by_other_hours_is_told_so_with_the_date() {
    let workspace = workspace();
    let mut rows = "recipient,at\n".to_owned();
    for (month, days) in [(1, 31), (2, 28), (3, 31), (4, 12)] {
        for day in 1..=days {
            // ben keeps his hour as London's clocks go forward
            let ben = if (month, day) < (3, 29) { "20" } else { "19" };
            let ana = if month < 3 { "10" } else { "22" };
            for (person, hour) in [("ana", ana), ("ben", ben)] {
                let minute = (day * 7 + month) % 60;
                rows.push_str(&format!(
                    "{person},2026-{month:02}-{day:02}T{hour}:{minute:02}:00Z\n"
                ));
            }
        }
    }
    workspace.write("a.csv", &rows);
    workspace.ok(&["import", "activity", "a.csv"]);
    workspace.ok(&["learn"]);
    let [ana, ben] = ["ana", "ben"].map(|who| workspace.ok(&["preferences", "show", who]));
    assert!(ana.contains("Since about 2026-0") && ana.contains("(99 % sure)"), "{ana}");
    assert!(ana.contains("hours are learned from what came since"), "{ana}");
    assert!(!ben.contains("Since about"), "{ben}");
    let known = workspace.json(&["preferences", "show", "ana"]);
    let since = known["habits_changed"]["since"].as_str().unwrap();
    assert!(("2026-02-18".."2026-03-12").contains(&&since[..10]), "{since}");
    assert!(workspace.json(&["preferences", "show", "ben"])["habits_changed"].is_null());
}

/// Ana answers mails and no chats, whoever else answers chats; Cy was only ever sent mails.
#[test]
fn a_persons_best_channel_is_told_with_how_sure_it_is() {
    let workspace = workspace();
    let mut rows =
        "message,recipient,channel,category,sent_at,delivered_at,replied_at\n".to_owned();
    let mut message = |who: &str, channel: &str, day: u32, answers: bool| {
        let date = format!("2026-01-{day:02}T10");
        let replied = if answers { format!("{date}:40:00Z") } else { String::new() };
        rows.push_str(&format!(
            "{who}-{channel}-{day},{who},{channel},marketing,{date}:00:00Z,{date}:00:05Z,{replied}\n"
        ));
    };
    for day in 1..=24 {
        message("ana", "smtp", day, day % 2 == 0);
        message("ana", "whatsapp", day, day == 9);
        message("ben", "whatsapp", day, day % 3 == 0);
        message("cy", "smtp", day, day == 5);
    }
    workspace.write("m.csv", &rows);
    workspace.ok(&["import", "messages", "m.csv"]);
    workspace.ok(&["learn", "--as-of", "2026-02-15T00:00:00Z"]);
    let ana = workspace.json(&["preferences", "show", "ana"]);
    // people are read as of the newest message, and what came of the last three days is not known yet
    let best = &ana["channels"][0];
    assert_eq!((&best["channel"], &best["messages"]), (&"smtp".into(), &21.into()), "{ana}");
    assert_eq!(best["answered"], 10);
    assert!(best["best"].as_f64().unwrap() > 0.9, "{ana}");
    let told = workspace.ok(&["preferences", "show", "ana"]);
    assert!(told.contains("\nBest reached by smtp: that is 9"), "{told}");
    assert!(told.contains("% sure (answered 10 of 21 by smtp, 1 of 21 by whatsapp)"), "{told}");
    let cy = workspace.ok(&["preferences", "show", "cy"]);
    assert!(!cy.contains("reached by") && cy.contains("  smtp "), "{cy}");
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
