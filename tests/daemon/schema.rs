//! The API against its own document, by a tool that knows nothing of us: for two minutes it posts what the
//! document allows and what it does not. Nothing may end in a server error, nor in an answer that the
//! document lacks.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::scene::{Endpoint, daemon, workspace};
use crate::support::{Postgres, eventually};

/// `SCHEMA_SECONDS` makes it shorter or longer, `SCHEMA_SEED` another.
const SECONDS: &str = "120";

/// Where `.ci/test` puts the tool.
const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/schemathesis/bin/st");

/// A daemon that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn holds(database: Option<&str>) {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, listen) = workspace(&endpoint, 3, database);
    let scopes = ["read", "people", "submit", "operate", "write"];
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let args: Vec<&str> = ["token", "create", "tool"].into_iter().chain(scopes).collect();
    let token = workspace.ok(&args).lines().next().unwrap().to_owned();
    let _daemon = Running(daemon(&workspace));
    let base = format!("http://127.0.0.1:{listen}");
    eventually("the daemon listens", || {
        std::net::TcpStream::connect(("127.0.0.1", listen)).is_ok()
    });
    let seconds = std::env::var("SCHEMA_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
        response_headers_conformance,response_schema_conformance";
    let done = Command::new(TOOL)
        .args(["run", &format!("{base}/api/v1/openapi.json")])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .args(["--checks", checks, "--max-time", &seconds, "--phases", "examples,coverage,fuzzing"])
        .args(["--request-timeout", "30", "--max-failures", "5"])
        // the same requests on every machine; how many of them is a matter of its speed
        .args(["--seed", &std::env::var("SCHEMA_SEED").unwrap_or_else(|_| "1".to_owned())])
        .stdin(Stdio::null())
        .output()
        .expect("schemathesis runs; .ci/test installs it");
    let told = String::from_utf8_lossy(&done.stdout);
    let told: Vec<&str> = told.lines().rev().take(120).collect();
    let told: Vec<&str> = told.into_iter().rev().collect();
    assert!(done.status.success(), "{}", told.join("\n"));
}

#[test]
fn the_api_keeps_to_its_document_on_sqlite() {
    holds(None);
}

#[test]
fn the_api_keeps_to_its_document_on_postgres() {
    holds(Some(&Postgres::shared().database()));
}
