//! Who says no is not called any more, also when the batch that they are in is under way.

use std::time::{Duration, Instant};

use opportune::clock::Clock;

use crate::scene::*;
use crate::support::{Postgres, eventually};

/// How long after the ledger knows somebody may still be called.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn nobody_is_called_two_seconds_after_they_said_no_though_their_batch_is_under_way() {
    // 64 at once and a second each: the last of one claim are called six seconds after the first
    const PEOPLE: usize = 400;
    for database in [None, Some(Postgres::shared().database())] {
        let endpoint = Endpoint::start(Duration::from_secs(1));
        let (workspace, port) = workspace(&endpoint, PEOPLE, database.as_deref());
        let url = database.unwrap_or_else(|| sqlite(&workspace));
        submit_due(&workspace, &url);
        let mut daemon = daemon(&workspace);
        eventually("the first calls", || endpoint.count() > 0);
        // by an operator, and by the endpoint's own word about a message that it has not got yet
        let withdrawn = command(&workspace, &["consent", "withdraw", "r399"]).output().unwrap();
        assert!(withdrawn.status.success(), "{}", String::from_utf8_lossy(&withdrawn.stderr));
        let at = Clock::system().now().to_rfc3339();
        let body = format!(
            r#"{{"updates":[{{"message":"spring:399","event":"opted_out","at":"{at}"}}]}}"#
        );
        assert_eq!(post(port, "/webhooks/shop", &sign(body.as_bytes()), &body), 200);
        let (said, called) = (Instant::now(), endpoint.count());
        assert!(called < PEOPLE / 2, "{called} were called before anybody said no");
        let refused =
            serde_json::json!({"state": "refused", "reason": "consent_withdrawn", "people": 2});
        wait_until_sent(&workspace, PEOPLE as u64 - 2);
        assert!(said.elapsed() > HEARD_WITHIN, "the batch was too short to tell");
        let show = json(&workspace, &["campaign", "show", "spring"]);
        assert!(show["states"].as_array().unwrap().contains(&refused), "{show}");
        // recipients are numbered from 1
        let got = endpoint.got.lock().unwrap().clone();
        assert!(!got.contains_key("spring:400") && !got.contains_key("spring:399"));
        endpoint.assert_each_once(PEOPLE - 2);
        signal(&daemon, "-TERM");
        assert!(daemon.wait().unwrap().success());
    }
}
