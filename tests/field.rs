//! The field as it is: addresses, countries, languages, times and files as people's programs write
//! them, through the binary.

mod support;

use serde_json::Value;
use support::Workspace;

const WHATSAPP: &str = "\n[provider.whatsapp]\nkind = \"whatsapp\"\nphone_number_id = \"1\"\n\
    token = { file = \"secret\" }\napp_secret = { file = \"secret\" }\nverify_token = { file = \"secret\" }\n";

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("secret", "s");
    let settings = std::fs::read_to_string(workspace.path("opportune.toml")).unwrap_or_default();
    workspace.write("opportune.toml", &format!("{settings}{WHATSAPP}"));
    workspace
}

fn imported(workspace: &Workspace, what: &str, text: &[u8]) -> Value {
    std::fs::write(workspace.path("file.csv"), text).unwrap();
    workspace.json(&["import", what, "file.csv"])
}

fn campaign(provider: &str, rest: &str) -> String {
    format!(
        "name = \"c\"\nprovider = \"{provider}\"\ncategory = \"marketing\"\n{rest}\n\
         [window]\nstart = 2031-03-01T00:00:00\nend = 2031-03-03T00:00:00\n"
    )
}

const VARIANT: &str =
    "\n[[variant]]\nname = \"t\"\nmedia = \"text\"\ntext = \"Hello\"\ntemplate = \"hello\"\n";

/// Recipient, outcome, reason and variant's row of a plan's export.
fn plan(workspace: &Workspace, campaign: &str) -> Vec<Vec<String>> {
    workspace.write("c.toml", campaign);
    workspace.ok(&["campaign", "submit", "c.toml"]);
    workspace.ok(&["plan", "c", "--export", "plan.csv"]);
    let text = std::fs::read_to_string(workspace.path("plan.csv")).unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header = rows.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let wanted = ["recipient", "outcome", "reason"].map(column);
    let mut found: Vec<Vec<String>> = rows
        .records()
        .map(|row| row.unwrap())
        .map(|row| wanted.iter().map(|index| row[*index].to_owned()).collect())
        .collect();
    found.sort();
    found
}

fn profile(workspace: &Workspace, key: &str) -> Value {
    workspace.json(&["recipient", "export", key])["profile"].clone()
}

#[test]
fn an_address_that_is_none_is_never_planned_and_the_others_are_made_right() {
    let workspace = workspace();
    let file = "recipient,address,country,opted_in_at\n\
        scientific,5.51199E+12,,2026-03-01T12:00:00Z\n\
        comma,\"5,51199E+12\",BR,2026-03-01T12:00:00Z\n\
        bare,5511987654301,,2026-03-01T12:00:00Z\n\
        bare-br,5511987654301,BR,2026-03-01T12:00:00Z\n\
        national,(11) 98765-4304,br,2026-03-01T12:00:00Z\n\
        nowhere,(11) 98765-4304,,2026-03-01T12:00:00Z\n\
        zeros,+0000000000,,2026-03-01T12:00:00Z\n\
        null,NULL,,2026-03-01T12:00:00Z\n\
        mail,ana@example.com,,2026-03-01T12:00:00Z\n\
        formula,\"=\"\"+5511987654312\"\"\",,2026-03-01T12:00:00Z\n\
        user,BR.13491208655302741918,,2026-03-01T12:00:00Z\n";
    assert_eq!(imported(&workspace, "recipients", file.as_bytes())["new"], 11);
    let told = plan(&workspace, &(campaign("whatsapp", "") + VARIANT));
    let told: Vec<String> = told
        .iter()
        .map(|row| format!("{} {}", row[0], if row[1] == "planned" { "planned" } else { &row[2] }))
        .collect();
    assert_eq!(
        told,
        [
            "bare bad_address",
            "bare-br planned",
            "comma bad_address",
            "formula planned",
            "mail bad_address",
            "national planned",
            "nowhere bad_address",
            "null no_address",
            "scientific bad_address",
            "user planned",
            "zeros bad_address",
        ]
    );
    assert_eq!(profile(&workspace, "national")["address"], "+5511987654304");
    assert_eq!(profile(&workspace, "national")["country"], "BR");
}

#[test]
fn placeholder_dates_are_no_consent_and_no_history() {
    let workspace = workspace();
    let people = "recipient,opted_in_at,opted_out_at\na,0001-01-01T00:00:00Z,\n\
        b,1970-01-01T01:00:00+01:00,\nc,1899-12-30 00:00:00,\nd,2026-03-01T12:00:00Z,0000-00-00\n";
    let done = imported(&workspace, "recipients", people.as_bytes());
    assert_eq!(
        (&done["new"], &done["consents"], &done["refused"]),
        (&4.into(), &1.into(), &0.into())
    );
    assert!(done["remarks"].to_string().contains("(3 rows, first on line 2)"), "{done}");
    assert_eq!(workspace.json(&["consent", "show", "d"])["consented"], true);
    let messages = "message,recipient,sent_at,read_at\nm1,d,1970-01-01T00:00:00Z,\n\
        m2,d,2026-03-01T12:00:00Z,0001-01-01T00:00:00Z\n";
    let done = imported(&workspace, "messages", messages.as_bytes());
    assert_eq!((&done["new"], &done["refused"]), (&1.into(), &1.into()));
    assert!(done["refusals"][0].as_str().unwrap().starts_with("line 2: sent_at"), "{done}");
}

#[test]
fn the_line_told_is_the_line_in_the_file() {
    let workspace = workspace();
    let file = "recipient,opted_in_at,attr_x\na,2026-03-01T12:00:00Z,\nb,yesterday,\n\n\
        c,2026-03-01T12:00:00Z,\"two\nlines\"\n\n\nd,yesterday,\"a\n\nb\"\ne,yesterday,";
    for (end, text) in [
        ("LF", file.to_owned()),
        ("CRLF", file.replace('\n', "\r\n")),
        ("CR", file.replace('\n', "\r")),
    ] {
        let done = imported(&workspace, "recipients", text.as_bytes());
        let lines: Vec<&str> = (done["refusals"].as_array().unwrap().iter())
            .map(|refusal| refusal.as_str().unwrap().split(':').next().unwrap())
            .collect();
        assert_eq!(lines, ["line 3", "line 9", "line 12"], "{end}");
    }
    let done = imported(
        &workspace,
        "recipients",
        b"\r\nsep=;\r\n\r\nrecipient;opted_in_at\r\na;never\r\n",
    );
    assert!(done["refusals"][0].as_str().unwrap().starts_with("line 5:"), "{done}");
}

#[test]
fn files_of_spreadsheets_and_databases_are_read() {
    let utf16: Vec<u8> =
        "\u{feff}recipient\topted_in_at\tattr_name\r\nu,\t2025-12-31 14:00:00+00\tJo\u{e3}o\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
    let workspace = workspace();
    let files: [(&[u8], &str); 6] = [
        (b"recipient;address;opted_in_at\r\ns;+5511987654321;2025-12-31T14:00Z\r\n", "s"),
        (b"sep=;\nrecipient;address;opted_in_at\nl;+5511987654321;2025-12-31T14:00:00.000+0000\n", "l"),
        (b" Recipient , ADDRESS ,Opted_in_at,,\nh,+5511987654321,2025-12-31 14:00:00+00,,\n", "h"),
        (b"\xef\xbb\xbfRECIPIENT,Opted In At\np,2025-12-31 19:30:00+0530\n,\n", "p"),
        (b"recipient,address,time_zone,country,opted_in_at\nn,null,N/A,-,2025-12-31 14:00:00Z\n", "n"),
        (&utf16, "u,"),
    ];
    for (file, key) in files {
        let done = imported(&workspace, "recipients", file);
        assert_eq!((&done["new"], &done["refused"]), (&1.into(), &0.into()), "{key}: {done}");
        let at = workspace.json(&["consent", "show", key])["entries"][0]["at"].clone();
        assert_eq!(at, "2025-12-31T14:00:00Z", "{key}");
    }
    assert_eq!(profile(&workspace, "u,")["attributes"]["name"], "Jo\u{e3}o");
    let remark = imported(&workspace, "recipients", files[2].0)["remarks"].to_string();
    assert!(remark.contains("column 4 has no name"), "{remark}");
    let amounts =
        b"message;recipient;sent_at;amount;currency\nm;s;2026-02-01T10:00:00Z;1.234,50;EUR\n";
    assert_eq!(imported(&workspace, "messages", amounts)["new"], 1);
    workspace.write("wrong.csv", "recipient,Recipient\na,b\n");
    let told = workspace.fails(2, &["import", "recipients", "wrong.csv"]);
    assert!(told.contains("stands there twice"), "{told}");
    std::fs::write(workspace.path("wrong.csv"), b"PK\x03\x04 and so on").unwrap();
    let told = workspace.fails(2, &["import", "recipients", "wrong.csv"]);
    assert!(told.contains("Excel"), "{told}");
}

#[test]
fn nobody_escapes_a_country_s_law_by_a_spelling() {
    let workspace = workspace();
    let file = "recipient,address,country,time_zone,opted_in_at\n\
        fr,+33612345601,FR,Europe/Paris,2026-03-01T12:00:00Z\n\
        fx,+33612345602,FX,Europe/Paris,2026-03-01T12:00:00Z\n\
        xx,+33612345603,XX,Europe/Paris,2026-03-01T12:00:00Z\n\
        small,+33612345604,fra,Europe/Paris,2026-03-01T12:00:00Z\n\
        none,+33612345605,,Europe/Paris,2026-03-01T12:00:00Z\n\
        other,+33612345606,BR,Europe/Paris,2026-03-01T12:00:00Z\n\
        name,+33612345607,France,Europe/Paris,2026-03-01T12:00:00Z\n";
    let done = imported(&workspace, "recipients", file.as_bytes());
    assert_eq!(done["new"], 7);
    assert!(done["remarks"].to_string().contains("XX"), "{done}");
    workspace.write(
        "w.toml",
        &(campaign("simulated", "").replace("\"c\"", "\"w\"")
            + VARIANT
            + "[quiet_hours]\nnone = true\n"),
    );
    workspace.ok(&["campaign", "submit", "w.toml"]);
    workspace.ok(&["plan", "w", "--values", "values.csv"]);
    let text = std::fs::read_to_string(workspace.path("values.csv")).unwrap();
    let slots = |key: &str| text.lines().filter(|l| l.starts_with(&format!("{key},"))).count();
    let lawful = slots("fr");
    // Saturday from 08:00 to 22:00, nothing on Sunday
    assert_eq!(lawful, 14);
    for key in ["fx", "xx", "small", "none", "other", "name"] {
        assert_eq!(slots(key), lawful, "{key}");
    }
}

#[test]
fn an_audience_s_countries_are_those_of_its_people_however_written() {
    let workspace = workspace();
    let file = "recipient,address,country,opted_in_at\ngb,+447400123451,GB,2026-03-01T12:00:00Z\n\
        uk,+447400123452,UK,2026-03-01T12:00:00Z\nnone,+447400123453,,2026-03-01T12:00:00Z\n\
        fr,+33612345601,FR,2026-03-01T12:00:00Z\n";
    imported(&workspace, "recipients", file.as_bytes());
    let british = campaign("console", "") + "[audience]\ncountries = [\"uk\"]\n" + VARIANT;
    let told = plan(&workspace, &british);
    let keys: Vec<&str> = told.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(keys, ["gb", "none", "uk"]);
    workspace.write("bad.toml", &british.replace("uk", "XX").replace("\"c\"", "\"d\""));
    let told = workspace.fails(2, &["campaign", "check", "bad.toml"]);
    assert!(told.contains("audience.countries: \"XX\""), "{told}");
}

#[test]
fn a_lone_translation_serves_who_has_no_locale_and_check_tells_whom_it_leaves_out() {
    let workspace = workspace();
    let file = "recipient,address,locale,opted_in_at\na,+5511987650001,,2026-03-01T12:00:00Z\n\
        b,+5511987650002,pt-PT,2026-03-01T12:00:00Z\nc,+4915112345601,de_DE,2026-03-01T12:00:00Z\n\
        d,+886912345601,zh-Hant-TW,2026-03-01T12:00:00Z\n";
    assert_eq!(imported(&workspace, "recipients", file.as_bytes())["new"], 4);
    let one = campaign("console", "") + VARIANT + "language = \"pt_BR\"\n";
    workspace.write("one.toml", &one);
    let told = workspace.ok(&["campaign", "check", "one.toml"]);
    assert!(
        told.contains("2 people") && told.contains("de_DE") && told.contains("zh_Hant_TW"),
        "{told}"
    );
    let rows = plan(&workspace, &one);
    let reasons: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(reasons[2..], ["no_translation", "no_translation"]);
    assert!(rows[..2].iter().all(|row| row[1] == "planned"), "{rows:?}");
}

#[test]
fn the_unsubscribed_of_another_tool_are_brought_along() {
    let workspace = workspace();
    let people = "recipient,address,opted_in_at,opted_out_at\n\
        left,+5511987654321,2026-03-01T12:00:00Z,2026-08-01T12:00:00Z\n\
        never,+5511987654322,,2026-08-01T12:00:00Z\n\
        back,+5511987654323,2026-09-01T12:00:00Z,2026-08-01T12:00:00Z\n\
        stays,+5511987654324,2026-03-01T12:00:00Z,\n";
    imported(&workspace, "recipients", people.as_bytes());
    let consented = |key: &str| workspace.json(&["consent", "show", key])["consented"].clone();
    let all = || ["left", "never", "back", "stays"].map(|key| consented(key) == true);
    assert_eq!(all(), [false, false, true, true]);
    let again = "recipient,address,opted_in_at\nleft,+5511987654321,2026-03-01T12:00:00Z\n";
    imported(&workspace, "recipients", again.as_bytes());
    assert_eq!(all(), [false, false, true, true]);
    let list = "recipient;address;at;source\n;0055 11 98765-4324;2026-10-01 12:00:00+00;mail\n\
        new;;;phone\n;+5511900000000;;\nback;;2026-08-15T00:00:00Z;\n";
    let done = imported(&workspace, "opt-outs", list.as_bytes());
    assert_eq!(
        (&done["new"], &done["unknown"], &done["recipients_created"], &done["refused"]),
        (&3.into(), &1.into(), &1.into(), &0.into()),
        "{done}"
    );
    assert_eq!(all(), [false, false, true, false]);
    assert_eq!(consented("new"), false);
    let entry = workspace.json(&["consent", "show", "stays"])["entries"][1].clone();
    assert_eq!((&entry["source"], &entry["evidence"]), (&"mail".into(), &"opt-outs.csv".into()));
    let done = imported(&workspace, "opt-outs", list.as_bytes());
    assert_eq!((&done["new"], &done["consents"]), (&0.into(), &0.into()), "{done}");
    // who came back since is not taken away by the same undated list
    workspace.ok(&["consent", "grant", "new"]);
    imported(&workspace, "opt-outs", list.as_bytes());
    assert_eq!(consented("new"), true);
}

#[test]
fn no_year_that_can_be_written_stops_the_program() {
    let workspace = workspace();
    imported(&workspace, "recipients", b"recipient,opted_in_at\na,2026-03-01T12:00:00Z\n");
    for (start, end) in [
        ("9999-12-30T09:00:00", "9999-12-31T09:00:00"),
        ("9999-12-31T00:00:00", "9999-12-31T23:59:59"),
        ("0000-01-01T00:00:00", "0000-01-02T00:00:00"),
        ("2100-01-01T00:00:00", "2100-01-02T00:00:00"),
    ] {
        let text = campaign("console", "").replace("2031-03-01T00:00:00", start);
        workspace.write("y.toml", &(text.replace("2031-03-03T00:00:00", end) + VARIANT));
        let output = workspace.command(&["campaign", "check", "y.toml"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let planned = output.status.success();
        assert!(planned || told.contains("window."), "{start}: {told}");
        assert!(!told.contains("panicked"), "{start}: {told}");
    }
}

#[test]
fn exports_of_other_tools_are_read_and_consent_is_never_made_up() {
    let files = [
        (
            "klaviyo",
            "Email,Klaviyo ID,First Name,Phone Number,Country,Email Marketing Consent,SMS Marketing Consent,SMS Marketing Consent Timestamp\n\
            a@example.com,01A,Ana,+5511987654321,BR,SUBSCRIBED,SUBSCRIBED,2025-12-31 14:00:00\n\
            b@example.com,01B,Bea,+5511987654322,BR,SUBSCRIBED,NEVER_SUBSCRIBED,2025-12-31 14:00:00\n",
            "01A",
            "01B",
            "+5511987654321",
        ),
        (
            "shopify",
            "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Country Code,Phone,Accepts SMS Marketing,Total Spent,Tags\n\
            '7,Ana,S,a@example.com,yes,BR,'+5511987654321,yes,10.00,\"vip, Wholesale\"\n8,Bea,S,b@example.com,yes,BR,,no,0.00,\n",
            "",
            "8",
            "+5511987654321",
        ),
        (
            "mailchimp",
            "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,UNSUB_TIME,CC,EUID,LANGUAGE\n\
            a@example.com,Ana,4,2025-12-31 14:00:00,,BR,e1,pt\nb@example.com,Bea,2,2025-11-01 14:00:00,2025-12-01 10:00:00,br,e2,\n",
            "e1",
            "e2",
            "a@example.com",
        ),
        (
            "hubspot",
            "Record ID,First Name,Email,Mobile Phone Number,Country/Region,Marketing contact status\n\
            1,Ana,a@example.com,+5511987654321,Brazil,Marketing contact\n2,Bea,b@example.com,,,Non-marketing contact\n",
            "",
            "1",
            "+5511987654321",
        ),
        (
            "brevo",
            "CONTACT ID,EMAIL,FIRSTNAME,SMS,WHATSAPP,DOUBLE_OPT-IN,ADDED_TIME\n\
            1,a@example.com,Ana,5511987654321,+5511987654321,Yes,2025-12-31\n2,b@example.com,Bea,,,,2025-12-31\n",
            "",
            "1",
            "+5511987654321",
        ),
    ];
    for (tool, text, consented, other, address) in files {
        let workspace = workspace();
        workspace.write("export.csv", text);
        let done = workspace.json(&["import", "recipients", "export.csv", "--from", tool]);
        assert_eq!((&done["new"], &done["refused"]), (&2.into(), &0.into()), "{tool}: {done}");
        assert_eq!(workspace.json(&["consent", "show", other])["consented"], false, "{tool}");
        if !consented.is_empty() {
            let ledger = workspace.json(&["consent", "show", consented]);
            assert_eq!(ledger["consented"], true, "{tool}");
            assert_eq!(ledger["entries"][0]["at"], "2025-12-31T14:00:00Z", "{tool}");
            assert!(ledger["entries"][0]["source"].as_str().unwrap().starts_with(tool));
            assert_eq!(profile(&workspace, consented)["address"], address, "{tool}");
            assert_eq!(profile(&workspace, consented)["attributes"]["name"], "Ana", "{tool}");
        }
    }
    let tags = |text: &str, tool: &str| {
        let workspace = workspace();
        workspace.write("export.csv", text);
        workspace.ok(&["import", "recipients", "export.csv", "--from", tool]);
        profile(&workspace, "7")["tags"].clone()
    };
    let shopify = "Customer ID,Email,Tags\n7,a@example.com,\"vip, wholesale,vip\"\n";
    assert_eq!(tags(shopify, "shopify"), serde_json::json!(["vip", "wholesale"]));
    let mailchimp = "EUID,Email Address,TAGS\n7,a@example.com,\"\"\"vip\"\",\"\"two words\"\"\"\n";
    assert_eq!(tags(mailchimp, "mailchimp"), serde_json::json!(["two words", "vip"]));
    let workspace = workspace();
    workspace.write("export.csv", files[0].1);
    let told = workspace.fails(2, &["import", "recipients", "export.csv", "--from", "excel"]);
    assert!(told.contains("brevo, hubspot, klaviyo, mailchimp, shopify"), "{told}");
    workspace.fails(2, &["import", "messages", "export.csv", "--from", "klaviyo"]);
    workspace.json(&[
        "import",
        "recipients",
        "export.csv",
        "--from",
        "klaviyo",
        "--channel",
        "mail",
    ]);
    assert_eq!(profile(&workspace, "01B")["address"], "b@example.com");
}

#[test]
fn one_address_gets_one_message_in_any_of_its_forms() {
    let workspace = workspace();
    imported(
        &workspace,
        "recipients",
        b"recipient,address,opted_in_at\na,+5511987650001,2026-03-01T12:00:00Z\n\
          b,+5511987650001,2026-03-01T12:00:00Z\nc,+551187650001,2026-03-01T12:00:00Z\n\
          d,+5511987650002,2026-03-01T12:00:00Z\ne,+5511987650003,\n",
    );
    let rows = plan(&workspace, &(campaign("console", "") + VARIANT));
    let of = |key: &str| rows.iter().find(|row| row[0] == key).map(|row| row[1..].join(" "));
    assert_eq!(of("a").unwrap().split(' ').next(), Some("planned"));
    assert_eq!(of("b").unwrap(), "refused same_address");
    assert_eq!(of("c").unwrap(), "refused same_address");
    assert_eq!(of("d").unwrap().split(' ').next(), Some("planned"));
}

#[test]
fn a_refusal_holds_for_everybody_with_the_address() {
    let workspace = workspace();
    let consented = |key: &str| workspace.json(&["consent", "show", key])["consented"] == true;
    // two ids of one telephone in one file, the number in either form; the later word counts
    let people = "recipient,address,opted_in_at,opted_out_at\n\
        crm,+5511987654321,2026-03-01T12:00:00Z,2026-08-01T12:00:00Z\n\
        shop,+551187654321,2026-03-02T12:00:00Z,\n\
        back,+5511987654321,2026-09-01T12:00:00Z,\n\
        other,+5511987654322,2026-03-01T12:00:00Z,\n";
    imported(&workspace, "recipients", people.as_bytes());
    assert_eq!(["crm", "shop", "back", "other"].map(consented), [false, false, true, true]);
    // somebody who comes later under another id, from a list that is older than the refusal
    let list = "address,at\n+5521987654321,2026-08-01T12:00:00Z\n";
    let known = "recipient,address,opted_in_at\nfirst,+5521987654321,2026-03-01T12:00:00Z\n";
    imported(&workspace, "recipients", known.as_bytes());
    imported(&workspace, "opt-outs", list.as_bytes());
    let later = "recipient,address,opted_in_at\nsecond,+552187654321,2026-03-05T12:00:00Z\n";
    imported(&workspace, "recipients", later.as_bytes());
    assert_eq!(["first", "second"].map(consented), [false, false]);
}

#[test]
fn who_was_forgotten_comes_back_under_no_form_of_the_number() {
    let workspace = workspace();
    let file = |key: &str, number: &str| {
        format!("recipient,address,opted_in_at\n{key},{number},2026-03-01T12:00:00Z\n")
    };
    imported(&workspace, "recipients", file("a", "+5511987654321").as_bytes());
    imported(&workspace, "recipients", file("b", "+5215512345678").as_bytes());
    for key in ["a", "b"] {
        workspace.ok(&["recipient", "forget", key]);
    }
    for number in ["+5511987654321", "+551187654321", "0055 11 8765-4321", "+525512345678"] {
        let done = imported(&workspace, "recipients", file("c", number).as_bytes());
        assert_eq!((&done["new"], &done["refused"]), (&0.into(), &1.into()), "{number}");
    }
    let done = imported(&workspace, "recipients", file("c", "+5511987654399").as_bytes());
    assert_eq!(done["new"], 1);
}

#[test]
fn a_quote_that_never_closes_loses_nobody_in_silence() {
    let workspace = workspace();
    let file = "recipient;attr_name\na;\"Ana\"\nb;5\" screen\nc;\"Rui\nd;Bia\ne;Eva\n";
    let done = imported(&workspace, "recipients", file.as_bytes());
    assert_eq!((&done["new"], &done["refused"]), (&2.into(), &1.into()), "{done}");
    let told = done["refusals"][0].as_str().unwrap();
    assert!(told.starts_with("line 4: a quote opens on line 4 and is never closed"), "{told}");
    let ends_in_a_break = "recipient;attr_name\nf;\"Ana\n\"\n";
    assert_eq!(imported(&workspace, "recipients", ends_in_a_break.as_bytes())["new"], 1);
}

#[test]
fn words_of_closed_sets_and_numbers_are_read_as_programs_write_them() {
    let workspace = workspace();
    let people = "recipient,attr_name,attr_city\na,NULL,N/A\nb,Null,Na\nc,#N/A,undefined\n";
    imported(&workspace, "recipients", people.as_bytes());
    assert_eq!(profile(&workspace, "a")["attributes"], serde_json::json!({}));
    assert_eq!(profile(&workspace, "c")["attributes"], serde_json::json!({}));
    let named = serde_json::json!({ "name": "Null", "city": "Na" });
    assert_eq!(profile(&workspace, "b")["attributes"], named);
    let messages = "message,recipient,sent_at,category,media,amount,currency\n\
        m1,a,2026-02-01T10:00:00Z,MARKETING,Image,\"1,234.50\",usd\n\
        m2,a,2026-02-01T10:00:00Z,Utility,TEXT,\"1,234\",USD\n";
    let done = imported(&workspace, "messages", messages.as_bytes());
    assert_eq!((&done["new"], &done["refused"]), (&1.into(), &1.into()), "{done}");
    let stored = workspace.json(&["recipient", "export", "a"])["messages"][0].clone();
    assert!(stored.to_string().contains("1234.5"), "{stored}");
}
