//! What settings are refused, and with which words.

use super::*;

fn problem(text: &str) -> String {
    Config::parse(text, Path::new("opportune.toml")).unwrap_err().to_string()
}

#[test]
fn the_example_says_what_the_defaults_are() {
    let path = Path::new("opportune.toml");
    let written = Config::parse(EXAMPLE, path).unwrap();
    let mut silent = Config::parse("", path).unwrap();
    assert_eq!(written.providers.len(), 2);
    assert!(written.quiet_hours.is_some());
    silent.quiet_hours = written.quiet_hours;
    silent.providers.clone_from(&written.providers);
    assert_eq!(format!("{written:?}"), format!("{silent:?}"));
}

#[test]
fn settings_of_older_versions_still_hold() {
    let path = Path::new("opportune.toml");
    let older =
        "[daemon]\nlearn_bell = \"0 1 2 * * *\"\nrefresh_bell = \"0 2 * * * *\"\nlanes = 3\n";
    let newer = older.replace("_bell", "_schedule").replace("lanes", "workers");
    let [older, newer] = [older, &newer].map(|text| Config::parse(text, path).unwrap());
    assert_eq!(format!("{older:?}"), format!("{newer:?}"));
    assert_eq!((&*older.learn_schedule, older.workers), ("0 1 2 * * *", 3));
}

#[test]
fn a_wrong_key_is_named_with_its_line() {
    insta::assert_snapshot!(problem("slot_minuts = 60"), @r#"
    opportune.toml: TOML parse error at line 1, column 1
      |
    1 | slot_minuts = 60
      | ^^^^^^^^^^^
    unknown field `slot_minuts`, expected one of `slot_minutes`, `time_zone`, `opt_out_cost`, `learn_from`, `max_lateness`, `database`, `daemon`, `country_rules`, `outbound`, `quiet_hours`, `frequency`, `holdout`, `links`, `retention`, `replies`, `segment`, `provider`
    "#);
}

#[test]
fn every_bound_that_is_broken_is_told() {
    let text = "slot_minutes = 7\nopt_out_cost = -1\nmax_lateness = \"900h\"\n\
                [provider.x]\nkind = \"pigeon\"\n[provider.y]\nkind = \"http\"\n";
    insta::assert_snapshot!(problem(text), @r#"
    opportune.toml: slot_minutes "7" is not one of 5, 6, 10, 12, 15, 20, 30 or 60
    opt_out_cost: -1 is not between 0 and 1000
    max_lateness: 3240000s is more than 604800s
    provider.x.kind: "pigeon" is not one of console, simulated, http, whatsapp, smtp, messenger, wechat
    provider.y.url: kind "http" needs it
    provider.y.secret: kind "http" needs it
    "#);
}

#[test]
fn what_does_not_fit_into_a_lease_or_a_grace_time_is_refused() {
    let shop = |lease: &str, more: &str| {
        format!(
            "[daemon]\nlease = \"{lease}\"\n[provider.y]\nkind = \"http\"\n\
             url = \"http://localhost/\"\nsecret = {{ env = \"S\" }}\n{more}"
        )
    };
    let parse = |text: &str| Config::parse(text, Path::new("opportune.toml"));
    insta::assert_snapshot!(
        problem(&shop("30s", "timeout = \"26s\"")),
        @"opportune.toml: provider.y.timeout: 26s does not fit into daemon.lease = 30s: a call and the 5s in which it is settled must end before the lease; set timeout at most 25s, or lease at least 31s"
    );
    // the time-out that is not written counts too
    assert!(problem(&shop("12s", "")).contains("timeout: 10s does not fit"));
    assert!(problem(&shop("5s", "timeout = \"1s\"")).contains("; set lease at least 6s"));
    assert!(parse(&shop("30s", "timeout = \"25s\"")).is_ok());
    for (grace, fits) in [("0s", false), ("1s", true), ("7days", true), ("8days", false)] {
        let text = shop("10m", &format!("in_doubt_grace = \"{grace}\""));
        assert_eq!(parse(&text).is_ok(), fits, "{grace}");
    }
}

#[test]
fn what_platforms_post_is_mapped_by_names_that_can_be() {
    let text = "[segment]\nconvert = [\"Left\"]\nopt_out = [\"Left\"]\nconsent_trait = \" \"\n";
    insta::assert_snapshot!(problem(text), @r#"
    opportune.toml: segment.consent_trait: " " is no name of a trait
    segment.opt_out: "Left" is in segment.convert as well
    "#);
    let told = problem("[segment]\nconsent_trait = \"phone\"\n");
    assert!(told.contains("\"phone\" says something else already"), "{told}");
    let told = problem("[segment]\nactivity = [\"App Opened\", \"\"]\n");
    assert!(told.contains("line 2") && told.contains("event \"\" is not a word"), "{told}");
}

#[test]
fn a_mail_server_is_told_by_its_address_and_a_secret_never_is() {
    let mail = |url: &str, more: &str| {
        format!(
            "[provider.y]\nkind = \"smtp\"\nurl = \"{url}\"\nfrom = \"Shop <a@example.com>\"\n{more}"
        )
    };
    let password = "password = { env = \"P\" }\n";
    let parsed = |url: &str, more: &str| {
        let mut config = Config::parse(&mail(url, more), Path::new("opportune.toml")).unwrap();
        match config.providers.pop_first().unwrap().1.kind {
            ProviderKind::Smtp(settings) => *settings,
            other => panic!("{other:?}"),
        }
    };
    for (url, more, told) in [
        ("smtps://me%40shop@mail.example.com", password, ("mail.example.com", 465, true, true)),
        ("smtp://mail.example.com", "", ("mail.example.com", 587, false, true)),
        ("smtp://mail.example.com:25", "tls = \"none\"", ("mail.example.com", 25, false, false)),
        ("smtp://127.0.0.1:2525", "", ("127.0.0.1", 2525, false, false)),
        ("smtp://[::1]:2525", "", ("::1", 2525, false, false)),
        ("smtp://localhost", "tls = \"required\"", ("localhost", 587, false, true)),
    ] {
        let of = parsed(url, more);
        let is_secret = of.security == SmtpSecurity::Required;
        assert_eq!((&*of.host, of.port, of.implicit_tls, is_secret), told, "{url}");
    }
    let user = parsed("smtps://me%40shop@mail.example.com", password).user;
    assert_eq!(user.as_deref(), Some("me@shop"));
    let told =
        problem(&mail("smtps://me:hush@mail.example.com", "tls = \"none\"\nreply_to = \"x\"\n"));
    insta::assert_snapshot!(told, @r#"
    opportune.toml: provider.y.url: a secret is never written here; set provider.y.password
    provider.y.tls: smtps:// has TLS always; write smtp:// for none
    provider.y.password: it stands beside a user in provider.y.url, and never alone
    provider.y.reply_to: "x" is no sender such as Shop <news@example.com>
    "#);
    let told = problem("[provider.y]\nkind = \"smtp\"\nphone_number_id = \"1\"\n");
    insta::assert_snapshot!(told, @r#"
    opportune.toml: provider.y.url: kind "smtp" needs it
    provider.y.phone_number_id: only kind "whatsapp" takes it
    provider.y.from: kind "smtp" needs it
    "#);
}

#[test]
fn a_password_in_an_address_is_never_shown() {
    let text = "[provider.y]\nkind = \"http\"\nurl = \"ftp://me:hush@host/\"\n\
                secret = { env = \"S\" }\ninbound_url = \"ftp://me:hush@host/\"\n\
                inbound_secret = { env = \"S\" }\n";
    let told = problem(text);
    assert!(told.contains("provider.y.url") && told.contains("provider.y.inbound_url"));
    assert!(!told.contains("hush"), "{told}");
}

#[test]
fn a_secret_is_never_shown() {
    assert_eq!(format!("{:?}", SecretValue::new("hush")), "(secret)");
}
