//! A real browser, driven by W3C WebDriver: a protocol of few JSON requests, for which a client library
//! would have to be built in every run.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::free_port;

/// How an element is called in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless browser with one window.
pub(crate) struct Browser {
    _driver: Driver,
    client: reqwest::Client,
    session: String,
}

/// Whether pages may run script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    On,
    Off,
}

impl Browser {
    pub(crate) async fn start(script: Script) -> Self {
        let port = free_port();
        let driver = Driver(
            Command::new("chromedriver")
                .arg(format!("--port={port}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("chromedriver runs; install Debian's package chromium-driver"),
        );
        let client = reqwest::Client::new();
        let base = format!("http://127.0.0.1:{port}");
        let mut prefs = json!({});
        if script == Script::Off {
            prefs["profile.managed_default_content_settings.javascript"] = json!(2);
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update",
                    "--disable-sync", "--disable-dev-shm-usage", "--window-size=1200,900"],
                "prefs": prefs,
            },
        } } });
        for _ in 0..100 {
            let asked = client.post(format!("{base}/session")).json(&wanted).send().await;
            if let Ok(answer) = asked {
                let answer: Value = answer.json().await.unwrap();
                let id = answer["value"]["sessionId"].as_str();
                let id = id.unwrap_or_else(|| panic!("no session: {answer}"));
                return Self { _driver: driver, client, session: format!("{base}/session/{id}") };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("chromedriver does not answer");
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        let answer = self.client.post(format!("{}{path}", self.session)).json(&body).send().await;
        let mut answer: Value = answer.unwrap().json().await.unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].take()),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.session)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["value"].take()
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await.unwrap();
    }

    pub(crate) async fn address(&self) -> String {
        self.get("/url").await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn source(&self) -> String {
        self.get("/source").await.as_str().unwrap().to_owned()
    }

    async fn element(&self, css: &str) -> String {
        let asked = json!({ "using": "css selector", "value": css });
        let found = self.post("/element", asked).await;
        match found {
            Ok(found) => found[ELEMENT].as_str().unwrap().to_owned(),
            Err(error) => panic!("{css}: {error}\n{}", self.source().await),
        }
    }

    pub(crate) async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.post(&format!("/element/{element}/click"), json!({})).await.unwrap();
    }

    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.post(&format!("/element/{element}/clear"), json!({})).await.unwrap();
        let typed = json!({ "text": text });
        self.post(&format!("/element/{element}/value"), typed).await.unwrap();
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let element = self.element(css).await;
        self.get(&format!("/element/{element}/text")).await.as_str().unwrap().to_owned()
    }

    /// Waits until the page says something.
    pub(crate) async fn until(&self, words: &str) {
        for _ in 0..300 {
            // between two pages there is none
            let said = self.run("arguments[0](document.body ? document.body.innerText : '')");
            if said.await.as_str().is_some_and(|said| said.contains(words)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{words:?} is not on the page:\n{}", self.text("body").await);
    }

    /// Runs a script that calls its last argument with what it found.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let ran = self.post("/execute/async", json!({ "script": script, "args": [] })).await;
        ran.unwrap_or_default()
    }

    /// Says to the page which colours and width are liked.
    pub(crate) async fn look(&self, scheme: &str, width: u32) {
        let media = json!({ "cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{ "name": "prefers-color-scheme", "value": scheme }] } });
        self.post("/goog/cdp/execute", media).await.unwrap();
        let size = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 } });
        self.post("/goog/cdp/execute", size).await.unwrap();
    }

    /// The whole page as a picture.
    pub(crate) async fn picture(&self, path: &Path) {
        use base64::Engine;
        let size =
            self.run("arguments[0]([innerWidth, document.documentElement.scrollHeight])").await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let asked = json!({ "cmd": "Page.captureScreenshot",
            "params": { "captureBeyondViewport": true, "clip": clip } });
        let taken = self.post("/goog/cdp/execute", asked).await.unwrap();
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap());
        std::fs::write(path, bytes.unwrap()).unwrap();
    }

    pub(crate) async fn close(&self) {
        let _ = self.client.delete(&self.session).send().await;
    }
}

/// The process that drives it, which ends with it.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
