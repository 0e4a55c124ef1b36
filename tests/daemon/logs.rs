//! What the daemon logs, and what it never does.

use std::time::Duration;

use crate::scene::*;

#[test]
fn logs_are_what_the_settings_ask_for_and_never_name_an_address_or_a_text() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, port) = workspace(&endpoint, 10, None);
    submit_due(&workspace, &sqlite(&workspace));
    let log = workspace.path("log");
    let mut daemon = command(&workspace, &["daemon"])
        .env("OPPORTUNE_LOG", "opportune=trace,sqlx=debug,hyper=info")
        .env("OPPORTUNE_LOG_FORMAT", "json")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait_until_sent(&workspace, 10);
    assert_eq!(post(port, "/webhooks/shop", &sign(b"another"), r#"{"to":"+551100000001"}"#), 401);
    signal(&daemon, "-TERM");
    assert!(daemon.wait().unwrap().success());
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let began = lines.iter().find(|l| l["fields"]["message"] == "the daemon is at work").unwrap();
    assert!(began["level"] == "INFO" && began["timestamp"].is_string(), "{began}");
    let fields = &began["fields"];
    assert_eq!(fields["listen"], format!("127.0.0.1:{port}"));
    assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(fields["database"], "SQLite");
    assert!(fields["node"].is_string(), "{fields}");
    assert_eq!(fields["providers"], "console (console), shop (http), simulated (simulated)");
    assert!(lines.iter().any(|l| l["target"].as_str().is_some_and(|t| t.starts_with("sqlx"))));
    for secret in ["+5511", "5511000", "Hello", SECRET] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    // a level that asks for less gets less, and a filter that is none is named
    let stderr = |filter: &str| {
        let ran = command(&workspace, &["status"]).env("OPPORTUNE_LOG", filter).output().unwrap();
        assert!(ran.status.success());
        String::from_utf8(ran.stderr).unwrap()
    };
    assert_eq!(stderr("error"), "");
    assert!(stderr("opportune=loud").contains("OPPORTUNE_LOG is no filter"), "it is named");
}
