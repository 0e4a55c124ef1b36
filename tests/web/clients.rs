//! Clients that are too slow, too large, too many, or not who they say they are.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use opportune::model::delivery::State;
use opportune::work::dispatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::{Listener, due};

/// A client that asks for more than the system holds between the two, and reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answers_is_cut_off() {
    let listener = Listener::start().await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", listener.port)).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let begun = Instant::now();
    // once the listener stops reading too, writing waits until the connection is cut off
    while begun.elapsed() < Duration::from_secs(60) {
        let write = stream.write_all(request.as_bytes());
        match tokio::time::timeout(Duration::from_secs(60), write).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => break,
        }
    }
    panic!("it is kept");
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
    // headers over the limit are refused, or the connection is closed on them
    let header = "x".repeat(100 * 1024);
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-large: {header}\r\n\r\n");
    let (status, _) = listener.ask(request).await;
    assert!(matches!(status, 0 | 400 | 431), "{status}");
    assert_eq!(listener.call("GET", "/healthz", "", "").await.0, 200);
}

/// A client that says `words`, then a byte every second; how long until it is cut off, and what it
/// was told.
async fn slowly(port: u16, words: &str) -> (Duration, String) {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    while begun.elapsed() < Duration::from_secs(60) {
        let mut buffer = [0; 1024];
        match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
            Err(_) if stream.write_all(b"x").await.is_err() => break,
            Err(_) => {}
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_bodies_that_trickle_in_are_cut_off() {
    let listener = Listener::start().await;
    let headers = "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
    let body = "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\n\
                x-opportune-signature: sha256=00\r\ncontent-length: 1000\r\n\r\n{";
    let ((headers, _), (body, answer)) =
        tokio::join!(slowly(listener.port, headers), slowly(listener.port, body));
    assert!(headers < Duration::from_secs(20), "{headers:?}");
    assert!(body < Duration::from_secs(50), "{body:?}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    // one who is silent after a good request is not kept either
    let (silent, answer) =
        slowly(listener.port, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && silent < Duration::from_secs(20), "{silent:?}");
}

/// Sends all of a large body but its end; what was answered within a while, if anything.
async fn almost_all(port: u16) -> (tokio::net::TcpStream, String) {
    const LARGE: usize = 3 * 1024 * 1024;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    let mut answer = vec![0; 1024];
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b' '; LARGE - 1]).await
    };
    // who is refused may find the connection closed while it still sends
    let _ = sent.await;
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut answer)).await;
    let read = read.map_or(0, |read| read.unwrap_or(0));
    answer.truncate(read);
    (stream, String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_hold_a_bounded_room_together() {
    let listener = Listener::start().await;
    let port = listener.port;
    let hogs: Vec<_> = (0..40).map(|_| tokio::spawn(almost_all(port))).collect();
    let mut kept = Vec::new();
    for hog in hogs {
        kept.push(hog.await.unwrap());
    }
    let answered = |start: &str| kept.iter().filter(|(_, told)| told.starts_with(start)).count();
    // 64 MiB hold 21 of them; the others are asked to come again
    let waiting = kept.iter().filter(|(_, told)| told.is_empty()).count();
    assert!(waiting <= 21, "{waiting} bodies are held");
    assert!(answered("HTTP/1.1 503") > 0, "nobody was sent away");
    drop(kept);
    // once they are gone there is room again
    let small = "POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                 x-opportune-signature: sha256=00\r\ncontent-length: 2\r\n\r\n{}";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = listener.ask(small.to_owned()).await;
        if answer.0 == 401 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What this process has in memory, in kilobytes.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A client that says half a request and waits; whether it was let in.
async fn half_a_request(port: u16) -> bool {
    let connect = tokio::net::TcpStream::connect(("127.0.0.1", port));
    let Ok(Ok(mut stream)) = tokio::time::timeout(Duration::from_secs(5), connect).await else {
        return false;
    };
    let _ = stream.write_all(b"POST /webhooks/shop HTTP/1.1\r\nhost: loc").await;
    let mut rest = Vec::new();
    let cut_off = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut rest));
    assert!(cut_off.await.is_ok(), "a silent client is kept");
    true
}

/// `WEB_CONNECTIONS` at once (700 unless set; ten thousand by hand, after `ulimit -n 12000`).
#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_silent_clients_is_cut_off_while_messages_go_out() {
    let count = std::env::var("WEB_CONNECTIONS").map_or(700, |text| text.parse().unwrap());
    let listener = Listener::start().await;
    let port = listener.port;
    due(&listener.ctx, "people", 2_000, TimeDelta::zero()).await;
    let before = resident_kb();
    let mut clients: tokio::task::JoinSet<bool> =
        (0..count).map(|_| half_a_request(port)).collect();
    // messages go out meanwhile, though nobody else is let in
    let (_keep, stop) = watch::channel(false);
    let begun = Instant::now();
    while dispatch::run(&listener.ctx, &stop).await.unwrap().more {}
    let sent = listener.ctx.store.read().await.unwrap().state_counts(1).await.unwrap();
    assert!(sent.iter().all(|c| c.state == State::Sent) && sent[0].people == 2_000, "{sent:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let grown = resident_kb().saturating_sub(before);
    assert!(grown < 200 * 1024, "{grown} kB for {count} connections");
    // somebody who has something to say gets through before long
    assert_eq!(listener.call("GET", "/healthz", "", "").await.0, 200);
    let mut let_in = 0;
    while let Some(client) = clients.join_next().await {
        let_in += usize::from(client.unwrap());
    }
    println!("{let_in} of {count} were let in and cut off, {grown} kB more");
    assert!(let_in >= count.min(512), "{let_in}");
}
