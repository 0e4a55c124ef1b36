//! What the server takes: the envelope, the headers, both parts, and nothing that a person's data slipped in.

use std::path::Path;
use std::process::Command;

use opportune::clock::Clock;
use opportune::model::delivery::{Reason, State};
use opportune::store::Store;
use opportune::work::campaigns;

use crate::scene::{
    MailServer, Scene, VARIANT, certificates, due, name, noon, people, send, settings, sqlite,
    state_of,
};
use crate::support::{self, on_both};

/// The decoded parts of a mail and its subject, by a reader that is not ours: `kind: text`, one each.
fn read(mail: &str) -> serde_json::Value {
    const READER: &str = "import sys, json, email, email.policy\n\
        m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)\n\
        parts = {p.get_content_type(): p.get_content() for p in m.walk() if not p.is_multipart()}\n\
        print(json.dumps({'headers': m.keys(), 'subject': m['subject'], 'from': m['from'], 'parts': parts}))";
    let mut child = Command::new("python3")
        .args(["-c", READER])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Write;
    child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn template(dir: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(dir.join("templates")).unwrap();
    std::fs::write(dir.join("templates").join(name), text).unwrap();
}

const TEMPLATED: &str = "[[variant]]\nname = \"words\"\nmedia = \"text\"\ntemplate = \"spring\"\n\
     language = \"pt_BR\"\nheader = \"Oi {{name}}\"\n\
     parameters = [\"{{name}}\", \"{{link:https://shop.example.com/}}\"]\n\
     defaults = { name = \"Ana\" }\n";

async fn scene_with_templates(store: Store, names: &[(&str, &str)]) -> Scene {
    let dir = tempfile::TempDir::new().unwrap();
    template(
        dir.path(),
        "spring.pt_BR.html",
        "<p>Oi {{1}}</p><a href=\"{{2}}\">x</a><a href=\"{{unsubscribe}}\">sair</a>",
    );
    template(dir.path(), "spring.txt", "Oi {{1}}, {{2}} — sair: {{unsubscribe}}");
    let server = MailServer::start(&[]);
    let config = settings(&format!("smtp://127.0.0.1:{}", server.port), dir.path(), "");
    let ctx = support::ctx(store, config, Clock::starting_at(noon()));
    let addresses: Vec<&str> = names.iter().map(|(address, _)| *address).collect();
    let ids = people(&ctx.store, &addresses).await;
    let mut tx = ctx.store.begin().await.unwrap();
    let rows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, (_, name))| {
            let profile = opportune::model::recipient::Profile {
                attributes: [("name".to_owned(), (*name).to_owned())].into(),
                locale: Some("pt_BR".parse().unwrap()),
                ..Default::default()
            };
            (format!("r{n}").parse().unwrap(), profile)
        })
        .collect();
    tx.put_recipients(&rows).await.unwrap();
    tx.commit().await.unwrap();
    let campaign = due(&ctx, "c", TEMPLATED, &ids).await;
    Scene { server, ctx, ids, campaign, dir }
}

#[tokio::test]
async fn a_mail_has_both_parts_its_way_out_and_no_header_of_anybody_elses() {
    on_both(async |store| {
        let names = [
            ("ana@example.com", "Ana\r\nBcc: eve@evil.example\r\n\r\nhello"),
            ("bia@example.com", "<script>alert(1)</script> & \"Bia\""),
            ("ção@example.com", "Zé"),
            ("jose@exämple.com", "José"),
        ];
        let scene = scene_with_templates(store, &names).await;
        send(&scene.ctx).await;
        assert_eq!(scene.state(0).await.0, State::Sent);
        // what stands before the sign must be ASCII
        assert_eq!(scene.state(2).await, (State::Refused, Reason::RecipientRefused));
        let mails = scene.server.mails();
        assert_eq!(mails.len(), 3);
        let ana = &mails["ana@example.com"];
        assert_eq!(ana.envelope["from"], "news@example.com");
        assert_eq!(ana.envelope["to"].as_array().unwrap().len(), 1);
        assert_eq!(ana.header("bcc"), None);
        assert_eq!(ana.header("list-unsubscribe-post").unwrap(), "List-Unsubscribe=One-Click");
        let way_out = ana.header("list-unsubscribe").unwrap();
        assert!(way_out.starts_with("<https://l.example.com/u/") && way_out.ends_with('>'));
        assert!(ana.header("date").unwrap().starts_with("Tue, 02 Mar 2027 12:00:00"));
        let told = read(&ana.text);
        assert_eq!(told["subject"], "Oi Ana Bcc: eve@evil.example hello");
        assert_eq!(told["from"], "Loja <news@example.com>");
        let text = told["parts"]["text/plain"].as_str().unwrap();
        assert!(text.starts_with("Oi Ana"), "{text}");
        let html = read(&mails["bia@example.com"].text)["parts"]["text/html"].to_string();
        assert!(
            html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;Bia&quot;"),
            "{html}"
        );
        assert!(!html.contains("<script>"));
        // a link of the person's own, and the way out, in both parts
        for part in ["text/plain", "text/html"] {
            let part = told["parts"][part].as_str().unwrap();
            assert!(part.contains("https://l.example.com/l/"), "{part}");
            assert!(part.contains(way_out.trim_matches(['<', '>'])), "{part}");
        }
        let jose = &mails["jose@xn--exmple-cua.com"];
        assert_eq!(read(&jose.text)["subject"], "Oi José");
        assert_ne!(jose.header("message-id"), ana.header("message-id"));
        assert_ne!(jose.header("list-unsubscribe"), ana.header("list-unsubscribe"));
    })
    .await;
}

#[tokio::test]
async fn a_mail_is_tried_as_it_will_read_and_counts_nowhere() {
    let (_dir, store) = sqlite().await;
    let scene = scene_with_templates(store, &[("ana@example.com", "Ana")]).await;
    let mut reader = scene.ctx.store.read().await.unwrap();
    let row = reader.campaign(&name("c")).await.unwrap().unwrap();
    drop(reader);
    let to = ["me@example.com".parse().unwrap()];
    let tried = opportune::work::trial::run(&scene.ctx, &row.campaign, &to, None).await.unwrap();
    assert!(tried.len() == 1 && tried[0].accepted, "{tried:?}");
    let mail = &scene.server.mails()["me@example.com"];
    assert_eq!(mail.header("list-unsubscribe").unwrap(), "<https://l.example.com/u/test>");
    assert_eq!(scene.state(0).await.0, State::Planned);
}

#[tokio::test]
async fn who_has_no_mail_address_is_refused_with_that_reason_and_the_plan_says_so() {
    on_both(async |store| {
        let scene = Scene::new(store, &["ana@example.com", ""]).await;
        send(&scene.ctx).await;
        // a telephone number is no mail address
        assert_eq!(scene.state(1).await, (State::Refused, Reason::NoAddress));
        assert_eq!(scene.server.mails().len(), 1);
        let wall = |at: opportune::model::time::Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        let source = format!(
            "name = \"d\"\nprovider = \"mail\"\n[window]\nstart = {}\nend = {}\ntime_zone = \"UTC\"\n\
             [quiet_hours]\nnone = true\n{VARIANT}",
            wall(noon()),
            wall(noon() + chrono::TimeDelta::days(2))
        );
        campaigns::submit(&scene.ctx, &source, "test").await.unwrap();
        opportune::work::plan::run(&scene.ctx).await.unwrap();
        let row = scene.ctx.store.read().await.unwrap().campaign(&name("d")).await.unwrap().unwrap();
        assert_eq!(state_of(&scene.ctx, row.id, scene.ids[0]).await.0, State::Planned);
        let without = state_of(&scene.ctx, row.id, scene.ids[1]).await;
        assert_eq!(without, (State::Refused, Reason::NoAddress));
    })
    .await;
}

#[tokio::test]
async fn a_campaign_whose_template_or_subject_is_missing_is_refused_before_it_is_stored() {
    let (_dir, store) = sqlite().await;
    let dir = tempfile::TempDir::new().unwrap();
    template(dir.path(), "odd.txt", "Oi {{3}}");
    let ctx = support::ctx(
        store,
        settings("smtp://127.0.0.1:1", dir.path(), ""),
        Clock::starting_at(noon()),
    );
    let head = "name = \"c\"\nprovider = \"mail\"\n[window]\nstart = 2027-03-02T00:00:00\n\
                end = 2027-03-09T00:00:00\n[quiet_hours]\nnone = true\n";
    let variant = "[[variant]]\nname = \"words\"\nmedia = \"text\"\n";
    for (more, wanted) in [
        ("text = \"a\"\n", "it is the mail's subject"),
        ("header = \"a\"\n", "write what the mail says"),
        ("header = \"a\"\ntemplate = \"none\"\n", "holds neither none.html nor none.txt"),
        ("header = \"a\"\ntemplate = \"../odd\"\n", "is no name of a file"),
        ("header = \"a\"\ntemplate = \"odd\"\nparameters = [\"x\"]\n", "{{3}} is neither"),
    ] {
        let error = campaigns::check(&ctx, &format!("{head}{variant}{more}")).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let good = "header = \"a\"\ntemplate = \"odd\"\nparameters = [\"x\", \"y\", \"z\"]\n";
    campaigns::check(&ctx, &format!("{head}{variant}{good}")).await.unwrap();
}

#[tokio::test]
async fn nothing_is_told_to_a_server_that_cannot_prove_who_it_is() {
    let certs = tempfile::TempDir::new().unwrap();
    let (ca, cert, key) = certificates(certs.path());
    let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap().to_owned());
    for (flag, scheme) in [("--tls", "smtps"), ("--starttls", "smtp")] {
        let server = MailServer::start(&[flag, &cert, &key, "--user", "shop", "right"]);
        let (_dir, store) = sqlite().await;
        let dir = tempfile::TempDir::new().unwrap();
        let password = dir.path().join("password");
        std::fs::write(&password, "right").unwrap();
        let more =
            format!("password = {{ file = \"{}\" }}\ntls = \"required\"\n", password.display());
        let url = format!("{scheme}://shop@127.0.0.1:{}", server.port);
        let distrusting = settings(&url, dir.path(), &more);
        let ctx = support::ctx(store.clone(), distrusting, Clock::starting_at(noon()));
        let ids = people(&ctx.store, &["ana@example.com"]).await;
        let campaign = due(&ctx, "c", VARIANT, &ids).await;
        send(&ctx).await;
        assert_eq!(state_of(&ctx, campaign, ids[0]).await.0, State::Planned, "{scheme}");
        let alerts = ctx.store.read().await.unwrap().alerts(noon()).await.unwrap();
        assert!(alerts[0].what.contains("certificate is not trusted"), "{alerts:?}");

        let trusting = settings(&url, dir.path(), &format!("{more}ca_file = \"{ca}\"\n"));
        let ctx = support::ctx(store, trusting, Clock::starting_at(noon()));
        let campaign = due(&ctx, "d", VARIANT, &ids).await;
        send(&ctx).await;
        assert_eq!(state_of(&ctx, campaign, ids[0]).await.0, State::Sent, "{scheme}");
        let mails = server.mails();
        let envelope = &mails["ana@example.com"].envelope;
        assert_eq!((&envelope["tls"], &envelope["user"]), (&true.into(), &"shop".into()));
    }
}
