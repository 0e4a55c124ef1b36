//! `/api/v1` as the contract has it: scopes, pages, problems, keys, bulk, and a document that says so.

use std::collections::BTreeSet;

use opportune::model::reply::Intent;
use opportune::work::tokens::Scope;
use serde_json::{Value, json};

use crate::{CAMPAIGN, Listener};

const ALL: &[Scope] = Scope::ALL;

impl Listener {
    /// Sends a request with headers of its own; status and JSON of the answer.
    async fn json(
        &self,
        (method, path): (&str, &str),
        token: &str,
        headers: &str,
        body: &str,
    ) -> (u16, Value) {
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, text) = self.ask(request).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> (u16, Value) {
        let json = "content-type: application/json\r\n";
        self.json(("POST", path), token, json, &body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.json(("GET", path), token, "", "").await
    }
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|i| i["status"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_needs_a_token_with_its_scope() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let (status, document) = listener.get("/openapi.json", "").await;
        assert_eq!(status, 200);
        let mut asked = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let path = path.strip_prefix("/api/v1").unwrap();
            let path = path
                .replace("{name}", "spring")
                .replace("{recipient}", "r1")
                .replace("{segment}", "lapsed")
                .replace("{version}", "1")
                .replace("{token}", "nobody")
                .replace("{id}", "1");
            for (method, operation) in operations.as_object().unwrap() {
                let scope = operation["security"][0]["token"][0].as_str().unwrap();
                let scope: Scope = scope.parse().unwrap();
                let method = method.to_uppercase();
                let others: Vec<Scope> = ALL.iter().copied().filter(|s| *s != scope).collect();
                let name = format!("{}-{}", asked.len(), scope);
                let token = listener.token(&name, &others).await;
                let route = (method.as_str(), path.as_str());
                let (status, problem) = listener.json(route, &token, "", "").await;
                let lacks = problem["detail"].as_str().unwrap_or_default().contains("lacks");
                assert!(status == 403 && lacks, "{route:?} {status} {problem}");
                assert_eq!(listener.json(route, "", "", "").await.0, 401, "{route:?}");
                asked.insert((method, path.clone()));
            }
        }
        assert!(asked.len() >= 40, "{asked:?}");
        let (status, problem) = listener.get("/nothing", "").await;
        assert_eq!((status, problem["status"].as_u64()), (404, Some(404)));
        let (status, problem) = listener.json(("PATCH", "/campaigns"), "", "", "").await;
        assert_eq!((status, problem["title"].as_str()), (405, Some("Method Not Allowed")));
        listener.stop.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_document_is_answered_as_it_says() {
    let listener = Listener::start().await;
    let token = listener.token("all", ALL).await;
    let (_, document) = listener.get("/openapi.json", "").await;
    let mut tried = 0;
    // people before what is about them, checks before what they would find taken
    let order = [
        "/recipients",
        "/messages",
        "/activity",
        "/events",
        "/recipients/{recipient}/consent",
        "/recipients/{recipient}/wishes",
        "/opt-outs",
        "/models",
        "/campaigns/check",
        "/campaigns/preview",
        "/campaigns",
        "/campaigns/{name}/test",
        "/segments/{segment}",
        "/replies/{id}/label",
    ];
    let person = listener.person("r1").await;
    let id = listener.reply(person, "when do you open?", Intent::Other).await;
    for path in order {
        let is_put = path.starts_with("/segments") || path.ends_with("/wishes");
        let method = if is_put { "put" } else { "post" };
        let operation = &document["paths"][format!("/api/v1{path}")][method];
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        assert!(example.is_object(), "{path} has no example");
        let path = path
            .replace("{recipient}", "c-1001")
            .replace("{name}", "first")
            .replace("{segment}", "lapsed")
            .replace("{id}", &id.to_string());
        let route = (method.to_uppercase(), path.as_str());
        let (route, body) = ((route.0.as_str(), route.1), example.to_string());
        let (status, answer) =
            listener.json(route, &token, "content-type: application/json\r\n", &body).await;
        assert!(operation["responses"][status.to_string()].is_object(), "{path} {status} {answer}");
        tried += 1;
    }
    let examples = document.to_string().matches("\"example\":").count();
    assert_eq!(tried, examples, "an example is not tried");
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_answered_one_by_one_and_are_stored_once() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let token = listener.token("crm", &[Scope::Write, Scope::People]).await;
        let people = json!({ "items": [
            { "recipient": "r1", "country": "BR", "tags": ["vip", "a"], "attr_name": "Ana",
              "address": "+5511987654321", "opted_in_at": "2026-03-01T12:00:00Z" },
            { "recipient": "" },
            { "recipient": "r2", "time_zone": "Mars/Olympus" },
            { "recipient": "r3", "colour": "red" },
            { "recipient": "r1", "country": "PT" },
        ] });
        let (status, answer) = listener.post("/recipients", &token, people.clone()).await;
        let refused = "refused";
        assert_eq!(status, 200, "{answer}");
        assert_eq!(statuses(&answer), ["created", refused, refused, refused, "updated"]);
        let detail = answer["items"][3]["detail"].as_str().unwrap();
        assert!(detail.starts_with("unknown column \"colour\""), "{detail}");
        // the same once more changes the country there and back; a new word on consent is news
        let again = json!({ "items": [
            { "recipient": "r1", "country": "PT" },
            { "recipient": "r1", "opted_out_at": "2026-04-01T12:00:00Z" },
            { "recipient": "r1", "opted_out_at": "2026-04-01T12:00:00Z" },
        ] });
        let (_, answer) = listener.post("/recipients", &token, again).await;
        assert_eq!(statuses(&answer), ["unchanged", "updated", "unchanged"]);
        let message = |key: &str, read: Option<&str>| {
            json!({ "message": key, "recipient": "r1", "sent_at": "2026-05-01T10:00:00Z",
                "media": "image", "read_at": read })
        };
        let read = Some("2026-05-01T10:05:00Z");
        let messages = json!({ "items": [
            message("m1", None), message("m2", read), message("m1", read),
            message("m1", Some("2026-05-01T11:00:00Z")), message("m2", read),
            { "message": "m3", "recipient": "r1" },
        ] });
        let (_, answer) = listener.post("/messages", &token, messages).await;
        assert_eq!(
            statuses(&answer),
            ["created", "created", "updated", refused, "unchanged", refused],
            "{answer}"
        );
        let sign = json!({ "recipient": "r9", "at": "2026-05-01T10:00:00Z", "kind": "session" });
        let signs =
            json!({ "items": [sign, sign, { "recipient": "r9", "at": "2099-01-01T00:00:00Z" }] });
        let (_, answer) = listener.post("/activity", &token, signs).await;
        assert_eq!(statuses(&answer), ["created", "unchanged", refused]);
        // what was acknowledged is there
        let (status, stored) = listener.get("/recipients/r1", &token).await;
        assert_eq!(status, 200);
        assert_eq!(stored["profile"]["country"], "PT");
        assert_eq!(stored["messages"].as_array().unwrap().len(), 2);
        assert_eq!(stored["consented"], false);
        assert_eq!(listener.get("/recipients/r9", &token).await.0, 200);
        assert_eq!(listener.get("/recipients/nobody", &token).await.0, 404);
        listener.stop.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_pointed_at() {
    let listener = Listener::start().await;
    let token = listener.token("all", ALL).await;
    let (status, problem) = listener.post("/recipients", &token, json!({ "items": [{}, 7] })).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some("/items/1")));
    let many = json!({ "items": vec![json!({ "recipient": "r" }); 1001] });
    let (status, problem) = listener.post("/recipients", &token, many).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some("/items")));
    let (status, _) = listener.json(("POST", "/activity"), &token, "", "{ not json").await;
    assert_eq!(status, 400);
    let xml = "content-type: text/xml\r\n";
    assert_eq!(listener.json(("POST", "/activity"), &token, xml, "<a/>").await.0, 415);
    let campaign = json!({ "name": "x", "provider": "console",
        "window": { "start": "2030-03-01T09:00:00", "end": "2030-02-01T09:00:00" },
        "variant": [{ "name": "words", "media": "text", "text": "Hello" }] });
    let (status, problem) = listener.post("/campaigns", &token, campaign.clone()).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some("/window/end")));
    let mut late = campaign.clone();
    late["window"]["start"] = json!("tomorrow");
    let (_, problem) = listener.post("/campaigns", &token, late).await;
    assert_eq!(problem["errors"][0]["pointer"].as_str(), Some("/window/start"), "{problem}");
    let mut odd = campaign.clone();
    odd["window"]["colour"] = json!(1);
    let (_, problem) = listener.post("/campaigns", &token, odd).await;
    assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/window"), "{problem}");
    let mut good = campaign;
    good["window"]["end"] = json!("2030-03-07T21:00:00");
    good["budget"] = Value::Null;
    let (status, checked) = listener.post("/campaigns/check", &token, good.clone()).await;
    assert_eq!((status, checked["stored"].as_bool()), (200, Some(false)), "{checked}");
    let (status, stored) = listener.post("/campaigns", &token, good).await;
    assert_eq!((status, stored["stored"].as_bool()), (201, Some(true)));
    for (path, wanted) in [("?limit=0", 400), ("?limit=x", 400), ("?cursor=x", 400), ("", 200)] {
        let (status, told) = listener.get(&format!("/campaigns{path}"), &token).await;
        assert_eq!(status, wanted, "{path} {told}");
    }
    let missing = listener.get("/campaigns/x/plan", &token).await;
    assert_eq!(missing.0, 404, "{}", missing.1);
    let (status, problem) = listener.get("/campaigns/x/people?state=lost", &token).await;
    assert_eq!(status, 400, "{problem}");
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_by_page() {
    let listener = Listener::start().await;
    let token = listener.token("all", ALL).await;
    for name in ["a", "b", "c"] {
        let text = CAMPAIGN.replace("spring", name);
        assert_eq!(listener.json(("POST", "/campaigns"), &token, "", &text).await.0, 201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = listener.get(&format!("/campaigns?limit=2{cursor}"), &token).await;
        for campaign in page["items"].as_array().unwrap() {
            names.push(campaign["name"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["c", "b", "a"]);
    let (_, first) = listener.get("/audit?limit=1", &token).await;
    assert_eq!(first["items"][0]["subject"], "c");
    let next = first["next"].as_str().unwrap();
    let (_, second) = listener.get(&format!("/audit?limit=1&cursor={next}"), &token).await;
    assert_eq!(second["items"][0]["subject"], "b");
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_done_once() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let token = listener.token("all", ALL).await;
        let key = "idempotency-key: one\r\ncontent-type: application/toml\r\n";
        let route = ("POST", "/campaigns");
        let first = listener.json(route, &token, key, CAMPAIGN).await;
        assert_eq!(first.0, 201, "{}", first.1);
        assert_eq!(listener.json(route, &token, key, CAMPAIGN).await, first);
        // without the key it is another request
        assert_eq!(listener.json(route, &token, "", CAMPAIGN).await.0, 422);
        let other = CAMPAIGN.replace("spring", "autumn");
        let (status, problem) = listener.json(route, &token, key, &other).await;
        assert!(status == 422 && problem["detail"].as_str().unwrap().contains("another request"));
        // whoever has another token has other keys
        let second = listener.token("second", ALL).await;
        assert_eq!(listener.json(route, &second, key, &other).await.0, 201);
        // a refusal is an answer too
        let pause = ("POST", "/campaigns/none/pause");
        let absent = listener.json(pause, &token, "idempotency-key: two\r\n", "").await;
        assert_eq!(absent.0, 404);
        assert_eq!(listener.json(pause, &token, "idempotency-key: two\r\n", "").await, absent);
        // twice at once: one of them does it
        let key = "idempotency-key: three\r\n";
        let third = CAMPAIGN.replace("spring", "winter");
        let both = tokio::join!(
            listener.json(route, &token, key, &third),
            listener.json(route, &token, key, &third)
        );
        let told = [both.0.0, both.1.0];
        assert!(told.contains(&201) && told.iter().all(|s| [201, 409].contains(s)), "{told:?}");
        listener.stop.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_told_and_people_are_forgotten_by_whoever_may_write() {
    let listener = Listener::start().await;
    let token = listener.token("crm", &[Scope::Write, Scope::People, Scope::Read]).await;
    let consent = "/recipients/a%2Fb/consent";
    let (status, ledger) =
        listener.post(consent, &token, json!({ "change": "grant", "source": "form" })).await;
    assert_eq!((status, ledger["consented"].as_bool()), (200, Some(true)), "{ledger}");
    assert_eq!(ledger["entries"][0]["source"], "form");
    // a word for one provider leaves the others
    let alone = json!({ "change": "withdraw", "provider": "console" });
    let (status, ledger) = listener.post(consent, &token, alone).await;
    assert_eq!((status, ledger["consented"].as_bool()), (200, Some(true)), "{ledger}");
    let absent = json!({ "change": "withdraw", "provider": "nowhere" });
    let (status, problem) = listener.post(consent, &token, absent).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some("/provider")));
    let (_, ledger) = listener.post(consent, &token, json!({ "change": "withdraw" })).await;
    assert_eq!(ledger["consented"], false);
    let future = json!({ "change": "grant", "at": "2099-01-01T00:00:00Z" });
    let (status, problem) = listener.post(consent, &token, future).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some("/at")));
    let (status, shown) = listener.get(consent, &token).await;
    assert_eq!((status, shown["entries"].as_array().unwrap().len()), (200, 3));
    let (status, known) = listener.get("/recipients/a%2Fb/preferences", &token).await;
    assert_eq!((status, known["presence"].as_array().unwrap().len()), (200, 168), "{known}");
    let (status, erased) = listener.json(("DELETE", "/recipients/a%2Fb"), &token, "", "").await;
    assert_eq!((status, erased["erased"]["consent_entries"].as_u64()), (200, Some(3)));
    assert_eq!(listener.get(consent, &token).await.0, 404);
    let (_, audit) = listener.get("/audit", &token).await;
    assert_eq!(audit["items"][0]["action"], "forget");
    assert_eq!(audit["items"][0]["actor"], "token crm");
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_tell_when_they_were_used_and_wrong_ones_are_slowed_down() {
    let listener = Listener::start().await;
    let name = "short".parse().unwrap();
    let soon = listener.ctx.clock.now() + chrono::TimeDelta::seconds(2);
    let short =
        opportune::work::tokens::create(&listener.ctx, &name, &[Scope::Read], Some(soon), "test");
    let short = short.await.unwrap().unwrap();
    assert_eq!(listener.get("/status", &short).await.0, 200);
    let rows = opportune::work::tokens::list(&listener.ctx).await.unwrap();
    assert!(rows[0].last_used_at.is_some() && rows[0].expires_at.is_some());
    let good = listener.token("good", &[Scope::Read]).await;
    assert_eq!(listener.get("/status", &good).await.0, 200);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(listener.get("/status", &short).await.0, 401);
    let mut told = Vec::new();
    for wrong in 0..25 {
        told.push(listener.get("/status", &format!("opportune_{wrong}")).await.0);
    }
    assert_eq!((told[0], told[24]), (401, 429), "{told:?}");
    // whoever shares the address and has a good token is not shut out
    assert_eq!(listener.get("/status", &good).await.0, 200);
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commands_show_and_do_is_shown_and_done_over_http() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let token = listener.token("all", ALL).await;
        let read = listener.token("reader", &[Scope::Read, Scope::Submit]).await;
        let person = json!({ "items": [{ "recipient": "r1", "address": "+5511987654321",
            "opted_in_at": "2026-03-01T12:00:00Z", "attr_name": "=Ana" }] });
        assert_eq!(listener.post("/recipients", &token, person).await.0, 200);

        // a word against messages of whoever has an address holds once, whoever it is
        let out = json!({ "items": [
            { "address": "+5511987654399", "at": "2026-09-02T08:00:00Z" },
            { "recipient": "r2", "at": "2026-09-02T08:00:00Z" },
            { "recipient": "r2", "at": "2026-09-02T08:00:00Z" },
            { "at": "2026-09-02T08:00:00Z" },
        ] });
        let (_, answer) = listener.post("/opt-outs", &token, out).await;
        assert_eq!(statuses(&answer), ["created", "created", "unchanged", "refused"], "{answer}");
        let (_, ledger) = listener.get("/recipients/r2/consent", &token).await;
        assert_eq!(ledger["entries"][0]["evidence"], "API", "{ledger}");

        // a campaign is read as whom one may see, planned, and given out as a file
        let text = CAMPAIGN.replace("Hello", "Hello {{name}}");
        let toml = "content-type: application/toml\r\n";
        let (status, previews) =
            listener.json(("POST", "/campaigns/preview"), &read, toml, &text).await;
        assert_eq!((status, &previews[0]["text"]), (200, &json!("Hello {{name}}")));
        assert_eq!(listener.call("POST", "/api/v1/campaigns", &token, &text).await.0, 201);
        let preview = "/campaigns/spring/preview?recipient=r1";
        assert_eq!(listener.get(preview, &read).await.0, 403);
        let (_, previews) = listener.get(preview, &token).await;
        assert_eq!(previews[0]["text"], "Hello =Ana");
        let (status, plan) =
            listener.post("/campaigns/spring/plan?dry_run=true", &token, json!({})).await;
        assert_eq!((status, plan["planned"].as_u64()), (200, Some(1)), "{plan}");
        assert_eq!(listener.get("/campaigns/spring/plan", &token).await.0, 404);
        let (status, stored) = listener.post("/campaigns/spring/plan", &token, json!({})).await;
        assert_eq!((status, &stored["planned"]), (200, &plan["planned"]));
        assert_eq!(listener.get("/campaigns/spring/plan", &token).await, (200, stored));
        let (status, file) = listener.get("/campaigns/spring/export", &token).await;
        let file = file.as_str().unwrap();
        assert_eq!(status, 200);
        assert!(file.contains("message,recipient,address,state,reason,variant,arm"), "{file}");
        assert!(
            file.contains(",r1,+5511987654321,planned,best_slot,words,personalized,"),
            "{file}"
        );
        assert_eq!(listener.post("/campaigns/spring/cancel", &token, json!({})).await.0, 200);
        let (status, problem) = listener.post("/campaigns/spring/plan", &token, json!({})).await;
        assert_eq!((status, &problem["detail"]), (409, &json!("campaign spring is cancelled")));

        // what is learned, and how well
        for (flags, pointer) in [
            (json!({ "keep_settings": true }), "/keep_settings"),
            (json!({ "refresh": true, "full": true }), "/refresh"),
            (json!({ "as_of": "2999-01-01T00:00:00Z" }), "/as_of"),
        ] {
            let (status, problem) = listener.post("/models", &token, flags).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)));
        }
        let (status, learned) = listener.post("/models", &token, json!({})).await;
        assert_eq!((status, learned["version"].as_i64()), (200, Some(1)), "{learned}");
        assert_eq!(listener.get("/evaluation?holdout=2", &token).await.0, 400);
        let (status, evaluation) = listener.get("/evaluation?holdout=0.5", &token).await;
        assert_eq!((status, &evaluation["holdout"]), (200, &json!(0.5)), "{evaluation}");
        assert_eq!(listener.get("/evaluation?holdout=0.5", &token).await.1, evaluation);

        let (_, pruned) = listener.post("/prune?dry_run=true", &token, json!({})).await;
        assert_eq!(pruned["dry_run"], true, "{pruned}");
        let (_, tokens) = listener.get("/tokens?limit=1", &read).await;
        assert_eq!((&tokens["items"][0]["name"], &tokens["next"]), (&json!("all"), &json!("1")));
        assert_eq!(listener.json(("DELETE", "/tokens/none"), &token, "", "").await.0, 404);
        assert_eq!(listener.json(("DELETE", "/tokens/reader"), &token, "", "").await.0, 200);
        assert_eq!(listener.get("/tokens", &read).await.0, 401);

        let (_, audit) = listener.get("/audit", &token).await;
        let done = audit["items"].as_array().unwrap().iter();
        let done: Vec<_> = done.map(|deed| deed["action"].as_str().unwrap()).collect();
        for deed in ["revoke token", "learn", "plan", "import opt-outs"] {
            assert!(done.contains(&deed), "{deed} is not in {done:?}");
        }
        assert!(!done.contains(&"prune"), "{done:?}");
        listener.stop.send_replace(true);
    }
}
