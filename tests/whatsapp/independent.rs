//! What our provider sends and reads, beside pywa (4.5, from the Python registry), which sends and
//! reads the same interface and knows nothing of us. Run where `OPPORTUNE_PYWA_PYTHON` names a
//! Python that has it, or `python3` does; else passed over, and said so.

use std::io::Write;
use std::process::{Command, Stdio};

use opportune::model::recipient::Address;
use opportune::provider::{Event, InboundKind, Incoming, UpdateOf};

use crate::scene::*;

fn python() -> Option<String> {
    if let Ok(named) = std::env::var("OPPORTUNE_PYWA_PYTHON") {
        return Some(named);
    }
    let mut python = Command::new("python3");
    let found = python.args(["-c", "import pywa"]).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some("python3".to_owned());
    }
    eprintln!("passed over: no pywa; name a Python that has it in OPPORTUNE_PYWA_PYTHON");
    None
}

fn pywa(python: &str, task: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/whatsapp/independent.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("OPPORTUNE_PYWA_PYTHON is a Python");
    child.stdin.take().unwrap().write_all(task.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "pywa failed; its words are above");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The interface takes the types of components in either case, and pywa never asks for a policy.
fn alike(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("product_policy");
    for component in body["template"]["components"].as_array_mut().into_iter().flatten() {
        component["type"] = component["type"].as_str().unwrap().to_lowercase().into();
    }
    body
}

#[tokio::test]
async fn an_independent_client_sends_the_same_requests() {
    let Some(python) = python() else { return };
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 1, "api = \"marketing\"\n").await;
    let (ctx, ids) = (&scene.ctx, &scene.ids);
    let media = |kind: &str| {
        format!(
            "[[variant]]\nname = \"it\"\nmedia = \"{kind}\"\ntemplate = \"t-{kind}\"\n\
             language = \"en_US\"\nparameters = [\"Ana\", \"10 %\"]\n\
             media_url = \"https://example.com/{kind}\"\n"
        )
    };
    for kind in ["image", "video"] {
        due(ctx, kind, "category = \"utility\"\n", &media(kind), ids).await;
    }
    send(ctx).await;
    // and to a person without a number
    let profile = opportune::model::recipient::Profile {
        address: Some("BR.13491208655302741918".parse().unwrap()),
        ..Default::default()
    };
    let mut tx = ctx.store.begin().await.unwrap();
    tx.put_recipients(&[("r1".parse().unwrap(), profile)]).await.unwrap();
    tx.commit().await.unwrap();
    due(ctx, "id", "category = \"utility\"\n", VARIANT, ids).await;
    send(ctx).await;
    let calls = scene.graph.calls();
    assert_eq!(calls.len(), 4);
    let task: Vec<Value> = calls
        .iter()
        .map(|call| {
            let campaign = call.callback().split(':').next().unwrap();
            let mut task = json!({ "to": call.to(), "tracker": call.callback(),
                "template": "promo", "language": "pt_BR", "parameters": ["Ana"] });
            if ["image", "video"].contains(&campaign) {
                task["template"] = format!("t-{campaign}").into();
                task["language"] = "en_US".into();
                task["parameters"] = json!(["Ana", "10 %"]);
                task["header"] = json!({ campaign: format!("https://example.com/{campaign}") });
            }
            task["marketing"] = (campaign == "c").into();
            task
        })
        .collect();
    let theirs = pywa(&python, &json!({ "send": task }));
    for (call, request) in calls.iter().zip(theirs["requests"].as_array().unwrap()) {
        assert_eq!(call.path, request["path"].as_str().unwrap());
        assert_eq!(alike(call.body.clone()), alike(request["body"].clone()));
    }
}

/// Posts after the vendor's published examples, with the contacts that it puts beside them.
fn posts() -> Vec<Value> {
    let contacts = json!([{ "profile": { "name": "Sheena Nelson" }, "wa_id": "5511000000001",
        "user_id": "BR.13491208655302741918", "parent_user_id": "BR.ENT.11815799212886844830" }]);
    let mut posts = Vec::new();
    for word in ["sent", "delivered", "read"] {
        posts.push(messages("statuses", json!([status("c:1#1", word, noon())])));
    }
    posts.push(messages("statuses", json!([failed("c:1#1", 131_049, noon())])));
    for kind in ["text", "button", "list", "reaction"] {
        posts.push(messages("messages", json!([inbound(kind, Some("wamid.7"), noon())])));
    }
    let preference = |value: &str| {
        change(
            "user_preferences",
            json!({ "messaging_product": "whatsapp",
                "metadata": { "display_phone_number": "1", "phone_number_id": "106540352242922" },
                "user_preferences": [{ "wa_id": "5511000000001", "detail": "d", "value": value,
                    "category": "marketing_messages", "timestamp": noon().timestamp() }] }),
        )
    };
    posts.extend([preference("stop"), preference("resume")]);
    for post in &mut posts {
        post["entry"][0]["changes"][0]["value"]["contacts"] = contacts.clone();
    }
    posts.push(messages(
        "messages",
        json!([{ "from": "5511000000001", "id": "wamid.8", "type": "system",
            "timestamp": noon().timestamp().to_string(),
            "system": { "body": "User A changed from 5511000000001 to 12195555358",
                "type": "user_changed_number", "wa_id": "12195555358",
                "user_id": "US.22222222222222222222",
                "previous_user_id": "BR.13491208655302741918" } }]),
    ));
    posts
}

fn bare(names: &[Address]) -> Vec<&str> {
    names.iter().map(|name| name.as_str().trim_start_matches('+')).collect()
}

#[tokio::test]
async fn an_independent_client_reads_the_same_from_webhooks() {
    let Some(python) = python() else { return };
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 0, "").await;
    let posts = posts();
    let theirs = pywa(&python, &json!({ "read": posts }));
    let theirs = theirs["read"].as_array().unwrap();
    assert_eq!(theirs.len(), posts.len());
    let person = json!(["5511000000001", "BR.13491208655302741918", "BR.ENT.11815799212886844830"]);
    for (post, theirs) in posts.iter().zip(theirs) {
        let body = post.to_string();
        let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
        let provider = &scene.ctx.providers[&name("wa")];
        let ours = provider.receive(Some(&signed), body.as_bytes()).unwrap();
        let [ours] = &ours[..] else { panic!("{ours:?} of {post}") };
        match ours {
            Incoming::Update(update) => {
                let word = match &update.event {
                    Event::Accepted => "sent",
                    Event::Delivered => "delivered",
                    Event::Read => "read",
                    Event::TurnedAway { code, .. } => {
                        assert_eq!(code.as_str(), theirs["code"].to_string());
                        "failed"
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(word, theirs["kind"]);
                assert_eq!(update.at.timestamp(), theirs["at"]);
                let UpdateOf::Try(key, attempt) = &update.of else { panic!("{update:?}") };
                assert_eq!(format!("{key}#{attempt}"), theirs["tracker"].as_str().unwrap());
                assert_eq!(
                    bare(&update.names),
                    ["BR.13491208655302741918", "BR.ENT.11815799212886844830"]
                );
                assert_eq!(theirs["person"], person);
            }
            Incoming::Message(word) => {
                assert_eq!(word.id.as_str(), theirs["id"]);
                let answers = word.answers.as_ref().map(|id| id.as_str());
                // a reaction names its message itself; pywa reads the context alone
                assert!(
                    word.kind == InboundKind::Reaction || answers == theirs["answers"].as_str()
                );
                assert_eq!(json!(bare(&word.from)), theirs["person"]);
            }
            Incoming::Preference(change) => {
                assert_eq!(if change.kind.wants() { "resume" } else { "stop" }, theirs["kind"]);
                assert_eq!(json!(bare(&change.from)), theirs["person"]);
            }
            Incoming::Moved(moved) => {
                assert_eq!(bare(&moved.was)[0], theirs["was"]);
                assert_eq!(json!(bare(&moved.now)), theirs["now"]);
            }
            other => panic!("{other:?}"),
        }
    }
}
