//! A mail server of the test's own, and people who are due a mail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use chrono::{TimeDelta, TimeZone, Utc};
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::model::delivery::{Reason, State};
use opportune::model::ids::{Name, RecipientId};
use opportune::model::recipient::Profile;
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant;
use opportune::store::Store;
use opportune::work::{Ctx, campaigns, dispatch};
use serde_json::Value;
use tokio::sync::watch;

use crate::support;

pub(crate) const LENGTH: SlotLength = SlotLength::HOUR;
pub(crate) const SECRET: &str = "a mail service's secret";

pub(crate) fn noon() -> Instant {
    Utc.with_ymd_and_hms(2027, 3, 2, 12, 0, 0).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A mail as the server took it.
pub(crate) struct Mail {
    pub(crate) envelope: Value,
    pub(crate) text: String,
}

impl Mail {
    /// The unfolded value of a header; none of them stands twice.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        let wanted = format!("{}:", name.to_ascii_lowercase());
        let mut found = head.split("\r\n").filter(|l| l.to_ascii_lowercase().starts_with(&wanted));
        let value = found.next().map(|line| line[wanted.len()..].trim().to_owned());
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    pub(crate) fn to(&self) -> &str {
        self.envelope["to"][0].as_str().unwrap()
    }
}

/// A mail server as a process; it ends with the test.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    pub(crate) dir: tempfile::TempDir,
    child: Child,
    _input: ChildStdin,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl MailServer {
    pub(crate) fn start(args: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/aiosmtpd/bin/python");
        let dir = tempfile::TempDir::new().unwrap();
        let mut child = Command::new(&python)
            .arg(root.join("tests/mail/server.py"))
            .arg(dir.path())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // it tells every handshake that fails
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; .ci/test installs it", python.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server tells its port");
        let input = child.stdin.take().unwrap();
        Self { port, dir, child, _input: input }
    }

    /// Everything that it took, by whom it is to.
    pub(crate) fn mails(&self) -> BTreeMap<String, Mail> {
        let mut mails = BTreeMap::new();
        for entry in std::fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("mail-") || name.ends_with(".part") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let (envelope, text) = text.split_once('\n').unwrap();
            let envelope = serde_json::from_str(envelope).unwrap();
            let mail = Mail { envelope, text: text.to_owned() };
            let twice = mails.insert(mail.to().to_owned(), mail);
            assert!(twice.is_none(), "somebody got two mails");
        }
        mails
    }

    /// Every sender is answered so from now on.
    pub(crate) fn answer_senders(&self, reply: &str) {
        std::fs::write(self.dir.path().join("sender"), reply).unwrap();
    }
}

/// An authority of the test's own and a certificate of it for the loopback; the authority's file and the
/// server's two.
pub(crate) fn certificates(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let file = |name: &str| dir.join(name);
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let new = ["req", "-newkey", "rsa:2048", "-nodes", "-batch"];
    let authority =
        ["-x509", "-days", "30", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&new[..], &authority].concat());
    let server = ["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "server.csr"];
    openssl(&[&new[..], &server].concat());
    std::fs::write(file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-days",
        "30",
        "-CAcreateserial",
        "-extfile",
        "names",
        "-out",
        "cert.pem",
    ]);
    (file("ca.pem"), file("cert.pem"), file("key.pem"))
}

/// Settings whose provider `mail` is the server; the secret lies in `dir`.
pub(crate) fn settings(url: &str, dir: &Path, more: &str) -> Config {
    std::fs::write(dir.join("secret"), SECRET).unwrap();
    let text = format!(
        "[links]\nbase = \"https://l.example.com\"\n\
         [provider.mail]\nkind = \"smtp\"\nurl = \"{url}\"\nfrom = \"Loja <news@example.com>\"\n\
         templates = \"{}\"\nsecret = {{ file = \"{}\" }}\n{more}",
        dir.join("templates").display(),
        dir.join("secret").display(),
    );
    Config::parse(&text, Path::new("opportune.toml")).unwrap()
}

/// People with these mail addresses and consent.
pub(crate) async fn people(store: &Store, addresses: &[&str]) -> Vec<RecipientId> {
    let mut tx = store.begin().await.unwrap();
    let person = |(n, address): (usize, &&str)| {
        let profile = Profile {
            address: Some(format!("+5511{n:09}").parse().unwrap()),
            attributes: [("address_mail".to_owned(), (*address).to_owned())].into(),
            ..Profile::default()
        };
        (format!("r{n}").parse().unwrap(), profile)
    };
    let rows: Vec<_> = addresses.iter().enumerate().map(person).collect();
    let added = tx.put_recipients(&rows).await.unwrap();
    let ids: Vec<_> = added.into_iter().map(|(id, _)| id).collect();
    let granted = support::granted(noon() - TimeDelta::days(30), noon() - TimeDelta::days(30));
    let entries: Vec<_> = ids.iter().map(|id| (*id, granted.clone())).collect();
    tx.append_consent(&entries).await.unwrap();
    tx.commit().await.unwrap();
    ids
}

pub(crate) const VARIANT: &str = "[[variant]]\nname = \"words\"\nmedia = \"text\"\n\
     header = \"Oi {{name}}\"\ntext = \"Veja {{link:https://shop.example.com/}}\"\n\
     defaults = { name = \"Ana\" }\n";

/// Submits a campaign whose messages to `ids` are due.
pub(crate) async fn due(ctx: &Ctx, campaign: &str, variant: &str, ids: &[RecipientId]) -> i64 {
    let now = ctx.clock.now();
    let wall = |at: Instant| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let source = format!(
        "name = \"{campaign}\"\nprovider = \"mail\"\ngoal = \"click\"\n[window]\nstart = {}\nend = {}\n\
         time_zone = \"UTC\"\n[quiet_hours]\nnone = true\n{variant}",
        wall(now - TimeDelta::days(1)),
        wall(now + TimeDelta::days(6)),
    );
    campaigns::submit(ctx, &source, "test").await.unwrap();
    let row = ctx.store.read().await.unwrap().campaign(&name(campaign)).await.unwrap().unwrap();
    let variant = row.campaign.variants[0].name.as_str();
    let planned = |id: &RecipientId| support::planned(*id, variant, now, LENGTH);
    let deliveries: Vec<_> = ids.iter().map(planned).collect();
    let mut tx = ctx.store.begin().await.unwrap();
    tx.put_decisions(row.id, &deliveries, LENGTH, now).await.unwrap();
    tx.set_campaign_plan(row.id, now, None, "{}", &[]).await.unwrap();
    tx.commit().await.unwrap();
    row.id
}

pub(crate) async fn send(ctx: &Ctx) {
    let (_keep, stop) = watch::channel(false);
    while dispatch::run(ctx, &stop).await.unwrap().more {}
}

pub(crate) async fn state_of(ctx: &Ctx, campaign: i64, id: RecipientId) -> (State, Reason) {
    let mut reader = ctx.store.read().await.unwrap();
    let row = reader.delivery(campaign, id, LENGTH).await.unwrap().unwrap();
    (row.delivery.state, row.delivery.reason)
}

/// A store with people who are due a mail in campaign `c`, and the server that takes it.
pub(crate) struct Scene {
    pub(crate) server: MailServer,
    pub(crate) ctx: Ctx,
    pub(crate) ids: Vec<RecipientId>,
    pub(crate) campaign: i64,
    pub(crate) dir: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new(store: Store, addresses: &[&str]) -> Self {
        Self::with(store, addresses, "", VARIANT).await
    }

    pub(crate) async fn with(store: Store, addresses: &[&str], more: &str, variant: &str) -> Self {
        let (server, dir) = (MailServer::start(&[]), tempfile::TempDir::new().unwrap());
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let config = settings(&url, dir.path(), more);
        let ctx = support::ctx(store, config, Clock::starting_at(noon()));
        let ids = people(&ctx.store, addresses).await;
        let campaign = due(&ctx, "c", variant, &ids).await;
        Self { server, ctx, ids, campaign, dir }
    }

    pub(crate) async fn state(&self, index: usize) -> (State, Reason) {
        state_of(&self.ctx, self.campaign, self.ids[index]).await
    }

    pub(crate) async fn suppressed(&self) -> BTreeMap<usize, String> {
        let mut reader = self.ctx.store.read().await.unwrap();
        let codes = reader.suppressed(&name("mail"), None).await.unwrap();
        let index = |id: &RecipientId| self.ids.iter().position(|known| known == id).unwrap();
        codes.iter().map(|(id, code)| (index(id), code.clone())).collect()
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.ctx.clock.advance_to(self.ctx.clock.now() + by);
    }
}

pub(crate) async fn sqlite() -> (tempfile::TempDir, Store) {
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    (dir, Store::open(&url, opportune::store::Create::IfMissing).await.unwrap())
}
