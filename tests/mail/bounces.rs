//! What comes back of mails: reports, complaints, and what a mail service posts.

use chrono::TimeDelta;
use opportune::config::SecretValue;
use opportune::model::delivery::{Reason, State};
use opportune::provider::{Rejected, signature};
use opportune::work::{people, receive};
use serde_json::{Value, json};

use crate::scene::{SECRET, Scene, name, send, state_of};
use crate::support::on_both;

async fn post(scene: &Scene, body: &[u8]) -> receive::Received {
    let signed = signature(&SecretValue::new(SECRET), body);
    let told = scene.ctx.providers[&name("mail")].receive(Some(&signed), body).unwrap();
    receive::take(&scene.ctx, &name("mail"), told).await.unwrap()
}

/// A report of delivery after the example of RFC 3464, with the mail or its headers in it.
fn report(mail: &str, action: &str, status: &str, whole: bool) -> String {
    let (kind, original) = if whole {
        ("message/rfc822", mail.to_owned())
    } else {
        ("text/rfc822-headers", mail.split("\r\n\r\n").next().unwrap().to_owned() + "\r\n")
    };
    format!(
        "From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.net>\r\nTo: <news@example.com>\r\n\
         Subject: Returned mail\r\nMIME-Version: 1.0\r\nDate: Tue, 2 Mar 2027 12:05:00 +0000\r\n\
         Message-ID: <report@mx.example.net>\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"XX\"\r\n\r\n\
         --XX\r\n\r\nThe mail could not be delivered.\r\n\r\n\
         --XX\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.net\r\n\r\n\
         Original-Recipient: rfc822;ana@example.com\r\nFinal-Recipient: rfc822;ana@example.com\r\n\
         Action: {action}\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp;\r\n 550 no such user\r\n\r\n\
         --XX\r\nContent-Type: {kind}\r\n\r\n{original}\r\n--XX--\r\n"
    )
}

/// A complaint after the example of RFC 5965.
fn complaint(mail: &str, kind: &str) -> String {
    format!(
        "From: <abusedesk@example.net>\r\nTo: <news@example.com>\r\nSubject: FW: Oi\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report;\r\n \
         boundary=\"YY\"\r\n\r\n--YY\r\nContent-Type: text/plain\r\n\r\nAn abuse report.\r\n\r\n\
         --YY\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\n\
         User-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\r\n\
         --YY\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n{mail}\r\n--YY--\r\n"
    )
}

async fn ledger(scene: &Scene, index: usize) -> Value {
    let mut reader = scene.ctx.store.read().await.unwrap();
    let person = reader.recipient(&format!("r{index}").parse().unwrap()).await.unwrap().unwrap();
    drop(reader);
    serde_json::to_value(people::ledger(&scene.ctx, person).await.unwrap()).unwrap()
}

#[tokio::test]
async fn reports_of_delivery_suppress_dead_addresses_and_no_others() {
    on_both(async |store| {
        let addresses = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
        let scene = Scene::new(store, &addresses).await;
        send(&scene.ctx).await;
        let mails = scene.server.mails();
        let mail = |index: usize| mails[addresses[index]].text.as_str();
        scene.advance(TimeDelta::minutes(5));
        assert_eq!(
            post(&scene, report(mail(0), "failed", "5.1.1", true).as_bytes()).await.applied,
            1
        );
        post(&scene, report(mail(1), "failed", "5.2.2 (full)", false).as_bytes()).await;
        post(&scene, report(mail(2), "delayed", "4.4.1", true).as_bytes()).await;
        post(&scene, report(mail(3), "failed", "4.4.7", false).as_bytes()).await;
        assert_eq!(scene.state(0).await, (State::Failed, Reason::Suppressed));
        assert_eq!(scene.state(1).await, (State::Failed, Reason::Undeliverable));
        assert_eq!(scene.state(2).await.0, State::Sent);
        assert_eq!(scene.state(3).await, (State::Failed, Reason::Undeliverable));
        assert_eq!(scene.suppressed().await, [(0, "5.1.1".to_owned())].into());
        // an address that is dead is no word against us
        assert_eq!(ledger(&scene, 0).await["entries"].as_array().unwrap().len(), 1);
        // the next campaign does not go there
        let next = crate::scene::due(&scene.ctx, "next", crate::scene::VARIANT, &scene.ids).await;
        std::fs::remove_dir_all(scene.server.dir.path()).unwrap();
        std::fs::create_dir(scene.server.dir.path()).unwrap();
        send(&scene.ctx).await;
        assert_eq!(
            state_of(&scene.ctx, next, scene.ids[0]).await,
            (State::Refused, Reason::Suppressed)
        );
        assert_eq!(scene.server.mails().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_complaint_withdraws_consent_to_mail_and_to_nothing_else() {
    on_both(async |store| {
        let scene = Scene::new(store, &["a@example.com", "b@example.com"]).await;
        send(&scene.ctx).await;
        let mails = scene.server.mails();
        scene.advance(TimeDelta::minutes(5));
        post(&scene, complaint(&mails["a@example.com"].text, "abuse").as_bytes()).await;
        post(&scene, complaint(&mails["b@example.com"].text, "not-spam").as_bytes()).await;
        let told = ledger(&scene, 0).await;
        let entry = &told["entries"][1];
        assert_eq!(
            (&entry["change"], &entry["source"]),
            (&"withdrawn".into(), &"complaint".into())
        );
        assert_eq!(
            (&entry["provider"], &entry["evidence"]),
            (&"mail".into(), &format!("c:{}", scene.ids[0]).into())
        );
        assert_eq!(told["consented"], true, "other channels stay");
        assert_eq!(ledger(&scene, 1).await["entries"].as_array().unwrap().len(), 1);
        let mut reader = scene.ctx.store.read().await.unwrap();
        let mail = reader.without_consent((&name("mail"), None), &scene.ids).await.unwrap();
        let other = reader.without_consent((&name("whatsapp"), None), &scene.ids).await.unwrap();
        assert_eq!((mail, other.len()), ([scene.ids[0]].into(), 0));
        drop(reader);
        let next =
            crate::scene::due(&scene.ctx, "next", crate::scene::VARIANT, &scene.ids[..1]).await;
        send(&scene.ctx).await;
        let state = state_of(&scene.ctx, next, scene.ids[0]).await;
        assert_eq!(state, (State::Refused, Reason::ConsentWithdrawn));
    })
    .await;
}

#[tokio::test]
async fn a_mail_service_posts_what_it_knows_and_nobody_makes_a_report_up() {
    on_both(async |store| {
        let scene = Scene::new(store, &["a@example.com", "b@example.com"]).await;
        send(&scene.ctx).await;
        let at = "2027-03-02T12:01:00Z";
        let id = scene.server.mails()["b@example.com"].header("message-id").unwrap();
        let id = id.trim_matches(['<', '>']);
        let key = format!("c:{}", scene.ids[0]);
        let body = json!({ "updates": [
            { "message": key, "event": "bounced", "code": "550 5.1.1", "at": at },
            { "provider_message": id, "event": "complained", "at": at },
        ]});
        scene.advance(TimeDelta::minutes(5));
        assert_eq!(post(&scene, body.to_string().as_bytes()).await.applied, 2);
        assert_eq!(scene.state(0).await, (State::Failed, Reason::Suppressed));
        assert_eq!(ledger(&scene, 1).await["entries"][1]["source"], "complaint");

        let provider = &scene.ctx.providers[&name("mail")];
        let unsigned = provider.receive(Some("sha256=00"), body.to_string().as_bytes());
        assert_eq!(unsigned, Err(Rejected::Signature));
        // a report about a mail that we never sent
        let mail = &scene.server.mails()["b@example.com"].text;
        let forged = mail.replace("Message-ID: <", "Message-ID: <x");
        let received = post(&scene, report(&forged, "failed", "5.1.1", true).as_bytes()).await;
        assert_eq!((received.applied, received.unreadable), (0, 1));
        for odd in ["", "no mail at all", "{\"updates\": 1", &"x:".repeat(100_000)] {
            let signed = signature(&SecretValue::new(SECRET), odd.as_bytes());
            let told = provider.receive(Some(&signed), odd.as_bytes());
            let unreadable = matches!(&told, Ok(told) if told.len() <= 1);
            assert!(unreadable || matches!(told, Err(Rejected::Body(_))), "{odd:.20}");
        }
        assert_eq!(scene.suppressed().await.len(), 1);
    })
    .await;
}
