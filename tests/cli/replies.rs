//! What people wrote, on the command line.

use crate::scene::*;

#[test]
fn an_empty_inbox_is_listed_and_summed_up_and_bad_arguments_are_told() {
    let workspace = workspace();
    let page = workspace.json(&["replies", "list"]);
    assert_eq!(page, serde_json::json!({ "items": [], "next": null }));
    let digest = workspace.json(&["replies", "digest", "--since", "2026-01-01T00:00:00Z"]);
    assert_eq!(digest["replies"], 0);
    assert_eq!(digest["since"], "2026-01-01T00:00:00Z");
    assert!(workspace.fails(2, &["replies", "show", "7"]).contains("no reply 7"));
    assert!(workspace.fails(2, &["replies", "label", "7", "stop"]).contains("no reply 7"));
    let told = workspace.fails(2, &["replies", "label", "7", "maybe"]);
    assert!(told.contains("one of stop, not_now"), "{told}");
    for bad in [["--since", "yesterday"], ["--cursor", "x"], ["--limit", "0"]] {
        workspace.fails(2, &["replies", "list", bad[0], bad[1]]);
    }
}
