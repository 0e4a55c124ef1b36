//! A stand-in for Meta's Graph API: takes messages and media as the vendor documents them, answers
//! by script, and keeps every call.
#![expect(dead_code, reason = "each test binary uses its own part of it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// A call to send.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub token: String,
    pub body: Value,
    pub at: Instant,
    /// Whether the message was taken, whatever was answered.
    pub taken: bool,
}

impl Call {
    pub fn to(&self) -> &str {
        addressee(&self.body)
    }

    pub fn callback(&self) -> &str {
        self.body["biz_opaque_callback_data"].as_str().unwrap()
    }
}

/// A number, or a business-scoped user id.
fn addressee(body: &Value) -> &str {
    body["to"].as_str().or_else(|| body["recipient"].as_str()).unwrap()
}

/// How a message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accept,
    Hold,
    /// An error of the API.
    Code(i64),
    /// A status and a body, not taken.
    Status(u16, &'static str),
    /// Taken, and the answer is not to be read.
    Garbled,
    /// Taken after so many milliseconds.
    Slow(u64),
    /// Taken, and answered once [`Graph::let_go`] is called.
    Waiting,
    /// Taken, and never answered.
    Lost,
    /// Not taken, and never answered.
    Ignored,
}

type Script = dyn Fn(&Value) -> Answer + Send + Sync;

#[derive(Clone)]
struct Shared {
    calls: Arc<Mutex<Vec<Call>>>,
    uploads: Arc<Mutex<Vec<Vec<u8>>>>,
    script: Arc<Mutex<Box<Script>>>,
    ids: Arc<AtomicU64>,
    let_go: tokio::sync::watch::Sender<bool>,
    upload_delay_ms: Arc<AtomicU64>,
    templates: Arc<Mutex<Option<Vec<Value>>>>,
}

/// The server.
pub struct Graph {
    pub port: u16,
    shared: Shared,
}

impl Graph {
    /// Starts one that accepts everything.
    pub async fn start() -> Self {
        let shared = Shared {
            calls: Arc::default(),
            uploads: Arc::default(),
            script: Arc::new(Mutex::new(Box::new(|_| Answer::Accept))),
            ids: Arc::default(),
            let_go: tokio::sync::watch::Sender::new(false),
            upload_delay_ms: Arc::default(),
            templates: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = Router::new()
            .route("/v25.0/{number}/messages", post(message))
            .route("/v25.0/{number}/marketing_messages", post(message))
            .route("/v25.0/{number}/media", post(media))
            .route("/v25.0/{account}/message_templates", get(templates))
            .route("/files/{name}", get(|| async { ([("content-type", "video/mp4")], "a film") }))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, shared }
    }

    /// Answers by `script` from now on.
    pub fn answer(&self, script: impl Fn(&Value) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Has the account have these templates; with none, it answers an error.
    pub fn templates(&self, templates: Option<Vec<Value>>) {
        *self.shared.templates.lock().unwrap() = templates;
    }

    /// Takes so long for an upload from now on.
    pub fn slow_uploads(&self, delay: Duration) {
        self.shared.upload_delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// Answers everybody who waits, and who comes later at once.
    pub fn let_go(&self) {
        self.shared.let_go.send_replace(true);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub fn uploads(&self) -> Vec<Vec<u8>> {
        self.shared.uploads.lock().unwrap().clone()
    }

    /// How often each person was called.
    pub fn by_person(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for call in self.calls() {
            *times.entry(call.to().to_owned()).or_default() += 1;
        }
        times
    }
}

/// Two templates a page, whatever is asked for: the vendor's pages may be shorter than their limit.
async fn templates(
    State(shared): State<Shared>,
    axum::extract::Query(query): axum::extract::Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    const PAGE: usize = 2;
    assert_eq!(headers["authorization"], "Bearer a-token");
    assert!(query["fields"].contains("components"), "{query:?}");
    let Some(all) = shared.templates.lock().unwrap().clone() else {
        let error = json!({ "error": { "message": "(#4) Application request limit", "code": 4 } });
        return (StatusCode::FORBIDDEN, Json(error)).into_response();
    };
    let from: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    let until = (from + PAGE).min(all.len());
    let mut page = json!({ "data": &all[from..until],
        "paging": { "cursors": { "before": from.to_string(), "after": until.to_string() } } });
    if until < all.len() {
        page["paging"]["next"] = json!("https://graph.example.com/next");
    }
    Json(page).into_response()
}

async fn message(
    State(shared): State<Shared>,
    Path(number): Path<String>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let answer = shared.script.lock().unwrap()(&body);
    let token = headers["authorization"].to_str().unwrap().to_owned();
    let to = addressee(&body).to_owned();
    let _ = number;
    let taken = !matches!(answer, Answer::Code(_) | Answer::Status(..) | Answer::Ignored);
    let call = Call { path: uri.path().to_owned(), token, body, at: Instant::now(), taken };
    shared.calls.lock().unwrap().push(call);
    let id = shared.ids.fetch_add(1, Ordering::Relaxed);
    let taken = |status: &str| {
        let answer = json!({
            "messaging_product": "whatsapp",
            "contacts": [{ "input": to, "wa_id": to.trim_start_matches('+') }],
            "messages": [{ "id": format!("wamid.{id}"), "message_status": status }],
        });
        Json(answer).into_response()
    };
    match answer {
        Answer::Accept => taken("accepted"),
        Answer::Slow(delay_ms) => {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            taken("accepted")
        }
        Answer::Waiting => {
            let _ = shared.let_go.subscribe().wait_for(|let_go| *let_go).await;
            taken("accepted")
        }
        Answer::Lost | Answer::Ignored => std::future::pending().await,
        Answer::Hold => taken("held_for_quality_assessment"),
        Answer::Garbled => "half an ans".into_response(),
        Answer::Status(status, body) => {
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Answer::Code(code) => {
            let error = json!({ "error": {
                "message": "(#0) as documented", "type": "OAuthException", "code": code,
                "error_data": { "messaging_product": "whatsapp", "details": "as documented" },
                "fbtrace_id": "A1",
            }});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    }
}

async fn media(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    let delay_ms = shared.upload_delay_ms.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    shared.uploads.lock().unwrap().push(body.to_vec());
    Json(json!({ "id": format!("media-{}", shared.uploads.lock().unwrap().len()) })).into_response()
}
