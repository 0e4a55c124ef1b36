//! Somebody who asks a daemon for pages, over sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opportune::provider::Meter;
use opportune::web;
use opportune::work::Ctx;
use opportune::work::tasks::Tasks;
use opportune::work::tokens::{self, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A visitor of a server of their own, with every scope.
pub struct Visitor {
    port: u16,
    token: String,
    cookie: String,
    /// The server goes with it.
    _stopper: watch::Sender<bool>,
}

impl Visitor {
    pub async fn new(ctx: &Ctx) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stopper, stop) = watch::channel(false);
        let (meter, tasks) = (Meter::default(), Tasks::default());
        tokio::spawn(web::serve(ctx.clone(), meter, tasks, listener, stop));
        let name = format!("bench{}", ctx.clock.now().timestamp_micros()).parse().unwrap();
        let token = tokens::create(ctx, &name, Scope::ALL, None, "bench").await.unwrap().unwrap();
        let form = format!("token={token}");
        let request = format!(
            "POST /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        );
        let answer = ask(port, &request).await.1;
        let cookie = answer.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next());
        let cookie = cookie.expect("a session").to_owned();
        Self { port, token: token.to_string(), cookie, _stopper: stopper }
    }

    fn request(&self, path: &str) -> String {
        let Self { token, cookie, .. } = self;
        format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: {cookie}\r\n\
             authorization: Bearer {token}\r\n\r\n"
        )
    }

    /// Asks on a connection of its own; the status, the whole answer, milliseconds.
    pub async fn get(&self, path: &str) -> (u16, String, f64) {
        ask(self.port, &self.request(path)).await
    }

    /// Posts JSON on a connection of its own.
    pub async fn post(&self, path: &str, body: &str) -> (u16, String, f64) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        ask(self.port, &request).await
    }

    /// Looks at a part that is told again and again, until it is dropped; counts what came into `heard`.
    pub async fn watch(&self, path: &str, heard: Arc<AtomicU64>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(self.request(path).as_bytes()).await.unwrap();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => return,
                _ => heard.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}

async fn ask(port: u16, request: &str) -> (u16, String, f64) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    (status, answer, took)
}
