//! The pages in a real browser, served by the daemon itself, while it sends through a provider.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use chrono::TimeDelta;
use opportune::clock::Clock;

use crate::browser::{Browser, Script};
use crate::scene::{Endpoint, command, daemon, signal, sqlite, submit_due, workspace};
use crate::support::Workspace;

struct Site {
    _workspace: Workspace,
    base: String,
    token: String,
    daemon: Child,
    _endpoint: Endpoint,
}

impl Site {
    /// A daemon with people, a campaign that is due now, and a token that may do everything.
    fn start(people: usize) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Endpoint::start(Duration::from_millis(300));
        let (workspace, listen) = workspace(&endpoint, people, None);
        history(&workspace, people);
        let scopes = ["read", "people", "submit", "operate"];
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let args: Vec<&str> = ["token", "create", "alice"].into_iter().chain(scopes).collect();
        let made = workspace.ok(&args);
        let token = made.lines().next().unwrap().to_owned();
        submit_due(&workspace, &sqlite(&workspace));
        let daemon = daemon(&workspace);
        let base = format!("http://127.0.0.1:{listen}");
        Self { _workspace: workspace, base, token, daemon, _endpoint: endpoint }
    }

    async fn sign_in(&self, browser: &Browser) {
        let mut tries = 0;
        while reqwest::get(format!("{}/healthz", self.base)).await.is_err() {
            tries += 1;
            assert!(tries < 600, "the daemon does not listen");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        browser.open(&format!("{}/calendar", self.base)).await;
        assert_eq!(browser.text("h1").await, "Sign in");
        browser.fill("input[name=token]", "opportune_wrong").await;
        browser.click("main button").await;
        browser.until("No such token is in use").await;
        browser.fill("input[name=token]", &self.token).await;
        browser.click("main button").await;
        // where the visitor wanted to go
        browser.until("Calendar").await;
        assert!(browser.address().await.ends_with("/calendar"));
    }

    /// Asks for the page again until it says something: without script nothing comes by itself.
    async fn reload_until(&self, browser: &Browser, path: &str, words: &str) {
        for _ in 0..100 {
            browser.open(&format!("{}{path}", self.base)).await;
            if browser.text("body").await.contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("{path} never said {words:?}:\n{}", browser.text("body").await);
    }

    fn stop(mut self) {
        signal(&self.daemon, "-TERM");
        assert!(self.daemon.wait().unwrap().success());
    }
}

/// Some messages that were read in the evening, so that there is something to learn.
fn history(workspace: &Workspace, people: usize) {
    let mut rows = "message,recipient,sent_at,delivered_at,read_at,media\n".to_owned();
    for n in 0..people.min(20) {
        for day in 1..20 {
            let at = format!("2026-0{}-{day:02}T", n % 8 + 1);
            let read = if day % 3 == 0 { String::new() } else { format!("{at}22:10:00Z") };
            let media = ["text", "image"][day % 2];
            rows.push_str(&format!("m{n}-{day},r{n},{at}22:00:00Z,{at}22:00:02Z,{read},{media}\n"));
        }
    }
    workspace.write("messages.csv", &rows);
    for args in [&["import", "messages", "messages.csv"][..], &["learn"]] {
        let done = command(workspace, args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn campaign() -> String {
    let start = Clock::system().now() + TimeDelta::days(1);
    let end = start + TimeDelta::days(3);
    let wall = |at: opportune::model::time::Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    format!(
        "name = \"autumn\"\nprovider = \"console\"\n[window]\nstart = {}\nend = {}\n\
         [capacity]\nper_hour = 5\n[arms]\npersonalized = 0.8\ncontrol = 0.2\ncontrol_time = \"10:00\"\n\
         [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello {{{{name}}}}\"\n\
         defaults = {{ name = \"there\" }}\n",
        wall(start),
        wall(end)
    )
}

/// The numbers of the table of steps: everybody, not meant, audience, each reason, planned.
fn steps(text: &str) -> Vec<u64> {
    let table = text.split("From everybody down to who is planned").nth(1).unwrap();
    let table = table.split("Planned messages").next().unwrap();
    let number = |line: &str| {
        let digits: String = line
            .split_whitespace()
            .rev()
            .skip_while(|word| !word.chars().all(|c| c.is_ascii_digit()))
            .take_while(|word| word.chars().all(|c| c.is_ascii_digit()))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        digits.parse().ok()
    };
    let known = ["Everybody in", "not meant", "The audience", "Planned", "no_", "bad_", "missing"];
    let rows = table.lines().filter(|line| known.iter().any(|start| line.starts_with(start)));
    rows.filter_map(|line| number(line.split(" they ").next().unwrap())).collect()
}

async fn journey(site: Site, script: Script) {
    let browser = Browser::start(script).await;
    site.sign_in(&browser).await;
    // a campaign is looked at before it is launched; what is tried is planned beside it
    browser.open(&format!("{}/campaigns/new", site.base)).await;
    browser.fill("#source", "name = \"autumn\"\nprovider = \"nobody\"").await;
    browser.click("main form[enctype] button").await;
    browser.until("It cannot be launched").await;
    browser.fill("#source", &campaign()).await;
    browser.fill("input[name=per_hour]", "50").await;
    browser.fill("input[name=person]", "r5").await;
    browser.click("main form[enctype] button").await;
    browser.until("Who is written to").await;
    let text = browser.text("main").await;
    for words in [
        "What if",
        "as tried",
        "What holds it back most",
        "Hello there",
        "Planned messages by hour",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let steps = steps(&text);
    let (known, outside, audience, planned) =
        (steps[0], steps[1], steps[2], steps[steps.len() - 1]);
    let refused: u64 = steps[3..steps.len() - 1].iter().sum();
    assert_eq!((known, outside + audience), (120, 120), "{steps:?}");
    assert_eq!(refused + planned, audience, "{steps:?}");
    browser.click("button[value=file]").await;
    browser.until("What it brought").await;
    assert!(browser.address().await.ends_with("/campaigns/autumn"));
    // another one goes out, and is paused in the middle of it
    browser.open(&format!("{}/campaigns/spring", site.base)).await;
    match script {
        Script::On => browser.until("sent, best_slot").await,
        Script::Off => site.reload_until(&browser, "/campaigns/spring", "sent, best_slot").await,
    }
    browser.click("form[action$=pause] button").await;
    browser.until("paused").await;
    browser.open(&format!("{}/", site.base)).await;
    browser.until("spring is paused").await;
    browser.open(&format!("{}/people?id=r5", site.base)).await;
    browser.until("Consent, word by word").await;
    let text = browser.text("main").await;
    for words in ["America/Sao_Paulo", "spring", "Presence in each hour", "granted"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    browser.click("form[action='/logout'] button").await;
    browser.open(&format!("{}/", site.base)).await;
    assert_eq!(browser.text("h1").await, "Sign in");
    browser.close().await;
    site.stop();
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

#[test]
fn a_campaign_is_launched_watched_and_paused_in_a_browser() {
    run(journey(Site::start(120), Script::On));
}

#[test]
fn every_page_works_without_script() {
    run(journey(Site::start(120), Script::Off));
}

/// Where `.ci/test` puts the checker of accessibility.
fn axe() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; .ci/test brings it", path.display()))
}

/// A campaign that waits for what happens to people.
const STANDING: &str = r#"
name = "reminder"
provider = "console"
category = "utility"

[trigger]
event = "appointment"
from = "-44h"
to = "-18h"

[[variant]]
name = "words"
media = "text"
text = "See you soon, {{name}}"
defaults = { name = "there" }
"#;

#[test]
fn every_page_can_be_used_by_everybody() {
    run(look_at_every_page(Site::start(120)));
}

/// With `PAGES_PICTURES` set to a folder, each page is left there as it looks.
async fn look_at_every_page(site: Site) {
    let axe = axe();
    let browser = Browser::start(Script::On).await;
    site.sign_in(&browser).await;
    browser.open(&format!("{}/campaigns/new", site.base)).await;
    browser.fill("#source", &campaign()).await;
    browser.fill("input[name=per_hour]", "50").await;
    browser.click("main form[enctype] button").await;
    browser.until("Who is written to").await;
    let checked = browser.address().await;
    browser.open(&format!("{}/campaigns/new", site.base)).await;
    browser.fill("#source", STANDING).await;
    browser.click("main form[enctype] button").await;
    browser
        .until("It waits for event appointment and writes from 1day 20h before to 18h before")
        .await;
    browser.until("no event appointment is known yet").await;
    let awaited = browser.address().await;
    let pictures = std::env::var_os("PAGES_PICTURES").map(PathBuf::from);
    let paths = [
        "/",
        "/campaigns",
        "/campaigns/new",
        "/campaigns/spring",
        "/campaigns/spring/people",
        "/calendar",
        "/people/r5",
        "/insights",
        "/experiments",
        "/replies",
        "/settings",
        "/people/nobody",
    ];
    let pages = paths.iter().map(|path| (*path, format!("{}{path}", site.base)));
    for (name, url) in pages.chain([("/checked", checked), ("/awaited", awaited)]) {
        for (scheme, width) in [("light", 1200), ("dark", 1200), ("light", 390)] {
            browser.look(scheme, width).await;
            browser.open(&url).await;
            if let Some(folder) = &pictures {
                let file = format!("{}-{scheme}-{width}.png", name.replace('/', "_"));
                browser.picture(&folder.join(file)).await;
            }
            let wide =
                browser.run("arguments[0](document.documentElement.scrollWidth - innerWidth)");
            assert!(wide.await.as_i64().unwrap() <= 0, "{name} is wider than {width}");
            let found = browser
                .run(&format!(
                    "const done = arguments[arguments.length - 1]; {axe};
                     axe.run().then((found) => done(found.violations.map(
                        (v) => v.id + ' at ' + v.nodes.map((n) => n.html).slice(0, 3).join(' | '))))"
                ))
                .await;
            assert_eq!(found, serde_json::json!([]), "{name} {scheme} {width}");
        }
    }
    browser.close().await;
    site.stop();
}
