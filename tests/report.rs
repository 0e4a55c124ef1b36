//! The report of a replay in a real browser.

mod support;

use std::path::Path;
use std::process::Command;

use support::browse;
use tempfile::TempDir;

fn replay(scenario: &str, out: &Path) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario);
    let run = Command::new(env!("CARGO_BIN_EXE_opportune"))
        .args(["replay", "--seed", "2", "--out"])
        .args([out, &file])
        .env("OPPORTUNE_LOG", "error")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn the_report_is_one_page_that_a_browser_shows_without_a_network() {
    let dir = TempDir::new().unwrap();
    replay("storm.toml", dir.path());
    let page = dir.path().join("report.html");
    let html = std::fs::read_to_string(&page).unwrap();
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside} in the report");
    }
    let shown = browse(&page, &["--dump-dom"]);
    let dom = String::from_utf8_lossy(&shown.stdout);
    // a browser that mends a broken page would move or close what is in it
    assert!(dom.contains("<h1>Replay of storm</h1>"), "{dom}");
    assert_eq!(dom.matches("<tr>").count(), html.matches("<tr>").count());
    assert_eq!(dom.matches("</figure>").count(), html.matches("</figure>").count());
    assert!(dom.contains("No rule was broken"), "{dom}");
    let errors = String::from_utf8_lossy(&shown.stderr);
    assert!(!errors.contains("CONSOLE"), "{errors}");

    let picture = dir.path().join("report.png");
    browse(&page, &[&format!("--screenshot={}", picture.display())]);
    let bytes = std::fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000, "{} bytes", bytes.len());
}

#[test]
fn the_numbers_of_the_report_are_there_as_json_and_csv() {
    let dir = TempDir::new().unwrap();
    replay("calm.toml", dir.path());
    let json = std::fs::read_to_string(dir.path().join("report.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    let engagement = told[0]["policies"][0]["engagement"]["mean"].as_f64().unwrap();
    let mut table = csv::Reader::from_path(dir.path().join("report.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let row = rows.iter().find(|row| &row[2] == "engaged_per_100").unwrap();
    assert_eq!((&row[0], &row[1]), ("calm", "model"));
    assert!((row[3].parse::<f64>().unwrap() - engagement).abs() < 1e-9);
}
