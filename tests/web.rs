//! The daemon's listener on a real socket: the API and its tokens, metrics, and clients that mean
//! harm.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opportune::calendar::rules::Rules;
use opportune::clock::Clock;
use opportune::config::{Config, SecretValue};
use opportune::provider::{self, Meter, signature};
use opportune::store::{Create, Store};
use opportune::web;
use opportune::work::tokens::{self, Scope};
use opportune::work::{Ctx, audit, new_node};
use tokio::sync::watch;

struct Listener {
    port: u16,
    ctx: Ctx,
    dir: tempfile::TempDir,
    stop: watch::Sender<bool>,
}

impl Listener {
    async fn start() -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "s").unwrap();
        let text = format!(
            "[provider.console]\nkind = \"console\"\n[provider.shop]\nkind = \"http\"\n\
             url = \"http://127.0.0.1:9/\"\nsecret = {{ file = \"{}\" }}\n",
            secret.display()
        );
        let config = Config::parse(&text, Path::new("x")).unwrap();
        let url = format!("sqlite://{}", dir.path().join("web.db").display());
        let ctx = Ctx {
            store: Store::open(&url, Create::IfMissing).await.unwrap(),
            clock: Clock::system(),
            rules: Arc::new(Rules::built_in()),
            providers: Arc::new(
                provider::from_config(&config.providers, &config.outbound).unwrap(),
            ),
            config: Arc::new(config),
            node: new_node(),
            judge: None,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(web::serve(ctx.clone(), Meter::default(), listener, stopped));
        Self { port, ctx, dir, stop }
    }

    /// Sends a request as it stands; status and body of the answer.
    async fn ask(&self, request: String) -> (u16, String) {
        let port = self.port;
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            // a body that is too large is refused before all of it is sent
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
            (status, body.to_owned())
        })
        .await
        .unwrap()
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask(request).await
    }

    async fn token(&self, name: &str, scopes: &[Scope]) -> String {
        let name = name.parse().unwrap();
        tokens::create(&self.ctx, &name, scopes, "test").await.unwrap().unwrap()
    }
}

const CAMPAIGN: &str = "name = \"spring\"\nprovider = \"console\"\n[window]\n\
    start = 2030-03-01T09:00:00\nend = 2030-03-07T21:00:00\n\
    [[variant]]\nname = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_a_tokens_scopes_allow_and_no_more() {
    let listener = Listener::start().await;
    let read = listener.token("dashboard", &[Scope::Read]).await;
    let all = listener.token("robot", &[Scope::Read, Scope::Submit, Scope::Operate]).await;
    let campaigns = "/api/v1/campaigns";
    assert_eq!(listener.call("GET", campaigns, "", "").await.0, 401);
    assert_eq!(listener.call("GET", campaigns, "opportune_00", "").await.0, 401);
    assert_eq!(listener.call("GET", campaigns, &read, "").await, (200, "[]".to_owned()));
    assert_eq!(listener.call("POST", campaigns, &read, CAMPAIGN).await.0, 403);
    assert_eq!(listener.call("POST", campaigns, &all, CAMPAIGN).await.0, 201);
    let (status, body) = listener.call("POST", campaigns, &all, CAMPAIGN).await;
    assert!(status == 422 && body.contains("spring is taken"), "{body}");
    let one = "/api/v1/campaigns/spring";
    assert_eq!(listener.call("POST", &format!("{one}/pause"), &read, "").await.0, 403);
    let (status, body) = listener.call("POST", &format!("{one}/pause"), &all, "").await;
    assert!(status == 200 && body.contains("\"status\":\"paused\""), "{body}");
    assert_eq!(listener.call("POST", &format!("{one}/pause"), &all, "").await.0, 409);
    assert_eq!(listener.call("POST", &format!("{one}/explode"), &all, "").await.0, 404);
    assert_eq!(listener.call("GET", "/api/v1/campaigns/none", &read, "").await.0, 404);
    assert_eq!(listener.call("POST", &format!("{one}/cancel"), &all, "").await.0, 200);
    // who did it is known, and a token that is taken back opens nothing
    let deeds = audit::last(&listener.ctx, 10).await.unwrap();
    let deeds: Vec<_> = deeds.iter().map(|d| (d.actor.as_str(), d.action.as_str())).collect();
    assert_eq!(
        deeds,
        [
            ("token robot", "cancel"),
            ("token robot", "pause"),
            ("token robot", "submit"),
            ("test", "create token"),
            ("test", "create token")
        ]
    );
    tokens::revoke(&listener.ctx, &"robot".parse().unwrap(), "test").await.unwrap();
    assert_eq!(listener.call("GET", campaigns, &all, "").await.0, 401);
    // the database holds no secret
    let bytes = support::bytes_of(listener.dir.path(), "web.db");
    let secret = read.strip_prefix("opportune_").unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_and_units_of_prometheus() {
    let listener = Listener::start().await;
    let all = listener.token("robot", &[Scope::Submit]).await;
    listener.call("POST", "/api/v1/campaigns", &all, CAMPAIGN).await;
    let body =
        "{\"updates\":[{\"message\":\"c:1\",\"event\":\"read\",\"at\":\"2026-01-01T00:00:00Z\"}]}";
    let signed = signature(&SecretValue::new("s"), body.as_bytes());
    let post = format!(
        "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-opportune-signature: {signed}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(listener.ask(post).await.0, 200);
    let (status, text) = listener.call("GET", "/metrics", "", "").await;
    assert_eq!(status, 200);
    for wanted in [
        "# TYPE opportune_webhook_updates counter",
        "# UNIT opportune_webhook_duration_seconds seconds",
        "opportune_webhook_updates_total{provider=\"shop\",result=\"unknown\"} 1",
        "opportune_webhook_duration_seconds_count 1",
        "opportune_deliveries_due{campaign=\"spring\"} 0",
        "opportune_provider_alerts{provider=\"console\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_and_wrong_signatures_are_refused() {
    let listener = Listener::start().await;
    let post = |length: usize, body: &str| {
        format!(
            "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             x-opportune-signature: sha256=00\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let large = "x".repeat(3 * 1024 * 1024 + 1);
    assert_eq!(listener.ask(post(large.len(), &large)).await.0, 413);
    assert_eq!(listener.ask(post(2, "{}")).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off_and_everybody_else_is_served() {
    let listener = Listener::start().await;
    let port = listener.port;
    // more than the listener takes at once, each with half a request
    let open = tokio::task::spawn_blocking(move || {
        let mut open = Vec::new();
        for _ in 0..600 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"POST /webhooks/shop HTTP/1.1\r\nhost: loc").unwrap();
            open.push(stream);
        }
        open
    })
    .await
    .unwrap();
    let begun = Instant::now();
    let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(listener.ask(request.to_owned()).await, (200, "ok\n".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(30));
    // those who say nothing are gone by then
    let gone = tokio::task::spawn_blocking(move || {
        let mut first = &open[0];
        first.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).map(|_| rest.len())
    });
    assert!(gone.await.unwrap().is_ok());
}
