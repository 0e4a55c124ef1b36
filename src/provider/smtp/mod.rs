//! Mail, handed over to a mail server by SMTP (RFC 5321).
//!
//! A message is one mail to one person. Until its content is handed over nothing is sent, whatever goes
//! wrong; once it is, and the server's last word is lost, it is in doubt. Connections are kept for the
//! messages that follow.

mod bounces;
mod compose;
mod replies;
mod templates;

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::Semaphore;
use tokio::time::{Instant as Deadline, timeout_at};

use self::replies::{ServerReply, SmtpStage};
use super::http::is_signed;
use super::{
    Code, Incoming, OutboundMessage, Provider, RefusalScope, Rejected, Scope, SendOutcome, posted,
};
use crate::config::{ConfigError, Secret, SecretValue, SmtpSecurity, SmtpSettings};
use crate::model::campaign::Variant;
use crate::model::ids::Name;
use crate::model::recipient::Locale;
use crate::model::time::Instant;

/// Connections at once: more than mail servers let one client have.
const CONNECTIONS_MAX: usize = 8;
/// Messages of one connection.
const MESSAGES_MAX: u32 = 100;
/// How long a connection is kept without a message: less than servers wait.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What is waited where the server cannot be reached.
const UNREACHABLE_WAIT: TimeDelta = TimeDelta::seconds(30);

pub(super) struct Smtp {
    name: Name,
    settings: SmtpSettings,
    from: lettre::Address,
    tls: Option<TlsParameters>,
    password: Option<SecretValue>,
    secret: Option<SecretValue>,
    /// Of the ids of mails.
    key: SecretValue,
    idle: Mutex<Vec<MailSession>>,
    connections: Semaphore,
}

/// A connection that greeted and signed in.
struct MailSession {
    connection: AsyncSmtpConnection,
    messages: u32,
    used: Stopwatch,
}

/// Why a message was not handed over, before its content was.
enum NotSent {
    /// The server said so.
    Told(SmtpStage, ServerReply),
    /// It fell silent, or cannot be reached.
    Lost,
    /// It cannot be trusted, or cannot do what is asked.
    Unfit(&'static str),
}

impl NotSent {
    fn of(stage: SmtpStage, error: &smtp::Error) -> Self {
        if let Some(code) = error.status() {
            let text = error.source().map(ToString::to_string).unwrap_or_default();
            return Self::Told(stage, ServerReply::new(code.into(), &text));
        }
        if error.is_tls() || is_distrust(error) {
            return Self::Unfit("the mail server's certificate is not trusted; see ca_file");
        }
        if error.is_client() {
            return Self::Unfit("the mail server offers no TLS, or no way to sign in that we know");
        }
        Self::Lost
    }

    fn outcome(self, message: &OutboundMessage) -> SendOutcome {
        match self {
            Self::Told(stage, reply) => reply.outcome(stage, message.at, message.attempt),
            Self::Lost => later(message.at),
            Self::Unfit(words) => {
                SendOutcome::refused(RefusalScope::Account, Some(Code::clean("connection")), words)
            }
        }
    }
}

/// Whether the handshake failed for what the other side showed.
fn is_distrust(error: &smtp::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        source = error.source();
    }
    false
}

fn later(now: Instant) -> SendOutcome {
    SendOutcome::Later { until: now + UNREACHABLE_WAIT, whom: Scope::Provider }
}

impl Smtp {
    pub(super) fn new(name: &Name, settings: &SmtpSettings) -> Result<Self, ConfigError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secret = settings.secret.as_ref().map(Secret::read).transpose()?;
        let password = settings.password.as_ref().map(Secret::read).transpose()?;
        let unfit = |what: String| ConfigError::Provider { name: name.clone(), what };
        let from = compose::mail_address(&settings.from.address)
            .ok_or_else(|| unfit("from: the address is not one of ASCII".to_owned()))?;
        let tls = match settings.security {
            SmtpSecurity::None => None,
            SmtpSecurity::Required => Some(trust(settings).map_err(unfit)?),
        };
        let key = secret.clone().or_else(|| password.clone());
        Ok(Self {
            name: name.clone(),
            settings: settings.clone(),
            from,
            tls,
            // without any secret there is no way in for a bounce either
            key: key
                .unwrap_or_else(|| SecretValue::new(&format!("{:032x}", rand::random::<u128>()))),
            password,
            secret,
            idle: Mutex::default(),
            connections: Semaphore::new(CONNECTIONS_MAX),
        })
    }

    /// Hands a message over. Half of the time is for what comes before the content, so that the server's
    /// last word has the other half.
    async fn hand_over(&self, message: &OutboundMessage) -> SendOutcome {
        let Some(to) = compose::mail_address(&message.address) else {
            let words = "the address is not one of ASCII, or no mail address";
            return SendOutcome::refused(RefusalScope::Person, None, words);
        };
        let id = compose::message_id(&self.key, message, &self.settings.from.address);
        let mail = match compose::compose(&self.settings, message, &to, &id) {
            Ok(mail) => mail,
            Err(unusable) => {
                let code = Some(Code::clean("template"));
                return SendOutcome::refused(RefusalScope::Account, code, &unusable.to_string());
            }
        };
        let begun = Deadline::now();
        let (half, end) = (begun + self.settings.timeout / 2, begun + self.settings.timeout);
        let Ok(Ok(_permit)) = timeout_at(half, self.connections.acquire()).await else {
            return later(message.at);
        };
        let mut session = match timeout_at(half, self.begin(&to)).await {
            Ok(Ok(session)) => session,
            Ok(Err(why)) => return why.outcome(message),
            Err(_) => return later(message.at),
        };
        // from here on the server may have it
        let answer = timeout_at(end, session.connection.message(&mail)).await;
        match answer {
            Ok(Ok(_)) => {
                self.keep(session);
                SendOutcome::Accepted { id: id.parse().ok(), alias: None }
            }
            Ok(Err(error)) => match NotSent::of(SmtpStage::Content, &error) {
                NotSent::Told(stage, reply) => {
                    if !reply.closes() {
                        self.keep(session);
                    }
                    reply.outcome(stage, message.at, message.attempt)
                }
                NotSent::Lost | NotSent::Unfit(_) => SendOutcome::InDoubt,
            },
            Err(_) => SendOutcome::InDoubt,
        }
    }

    /// A connection that waits for the content of a mail to `to`. One that was kept may have been closed
    /// meanwhile: then a new one is made.
    async fn begin(&self, to: &lettre::Address) -> Result<MailSession, NotSent> {
        if let Some(mut kept) = self.kept() {
            match self.announce(&mut kept, to).await {
                Ok(()) => return Ok(kept),
                Err(NotSent::Told(stage, reply)) if !reply.closes() => {
                    return Err(self.refused(kept, NotSent::Told(stage, reply)).await);
                }
                Err(_) => {}
            }
        }
        let mut session = self.connect().await?;
        match self.announce(&mut session, to).await {
            Ok(()) => Ok(session),
            Err(why) => Err(self.refused(session, why).await),
        }
    }

    /// Says who it is from and to whom, and that the content follows.
    async fn announce(
        &self,
        session: &mut MailSession,
        to: &lettre::Address,
    ) -> Result<(), NotSent> {
        let connection = &mut session.connection;
        let told = |stage| move |error: smtp::Error| NotSent::of(stage, &error);
        let from = Mail::new(Some(self.from.clone()), Vec::new());
        connection.command(from).await.map_err(told(SmtpStage::Sender))?;
        connection
            .command(Rcpt::new(to.clone(), vec![]))
            .await
            .map_err(told(SmtpStage::Recipient))?;
        connection.command(Data).await.map_err(told(SmtpStage::Content))?;
        session.messages += 1;
        Ok(())
    }

    /// Keeps a connection whose server said no and goes on.
    async fn refused(&self, mut session: MailSession, why: NotSent) -> NotSent {
        if let NotSent::Told(_, reply) = why
            && !reply.closes()
            && session.connection.command(Rset).await.is_ok()
        {
            self.keep(session);
        }
        why
    }

    async fn connect(&self) -> Result<MailSession, NotSent> {
        let settings = &self.settings;
        let hello = ClientId::Domain(self.from.domain().to_owned());
        let server = (settings.host.as_str(), settings.port);
        let first = self.tls.clone().filter(|_| settings.implicit_tls);
        let failed = |error: smtp::Error| NotSent::of(SmtpStage::Connect, &error);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            server,
            Some(settings.timeout / 2),
            &hello,
            first,
            None,
        );
        let mut connection = connecting.await.map_err(failed)?;
        if let Some(tls) = self.tls.clone().filter(|_| !settings.implicit_tls) {
            connection.starttls(tls, &hello).await.map_err(failed)?;
        }
        if let (Some(user), Some(password)) = (&settings.user, &self.password) {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            let ways = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&ways, &credentials).await.map_err(failed)?;
        }
        Ok(MailSession { connection, messages: 0, used: Stopwatch::now() })
    }

    fn kept(&self) -> Option<MailSession> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| session.used.elapsed() < IDLE_MAX);
        idle.pop()
    }

    fn keep(&self, mut session: MailSession) {
        if session.messages < MESSAGES_MAX && !session.connection.has_broken() {
            session.used = Stopwatch::now();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }
}

/// Whom to trust: the system's authorities, and those of the settings.
fn trust(settings: &SmtpSettings) -> Result<TlsParameters, String> {
    let mut tls = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca_file {
        let told = |error: &dyn std::fmt::Display| format!("ca_file {}: {error}", file.display());
        let pem = std::fs::read(file).map_err(|error| told(&error))?;
        tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| told(&error))?);
    }
    tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))
}

impl Provider for Smtp {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.hand_over(message))
    }

    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        let Some(secret) = &self.secret else {
            return Err(Rejected::NoWebhook(self.name.clone()));
        };
        if !is_signed(secret, signature, body) {
            return Err(Rejected::Signature);
        }
        if body.trim_ascii_start().starts_with(b"{") {
            posted::read(body, bounces::word)
        } else {
            bounces::read(&self.key, body)
        }
    }
}

/// Why a variant cannot go as mail, if it cannot: what is wrong with its subject, its text or its template.
pub fn mail_problem(
    settings: &SmtpSettings,
    variant: &Variant,
    language: Option<&Locale>,
    has_unsubscribe: bool,
) -> Option<String> {
    if variant.header.is_none() {
        return Some("header: it is missing; it is the mail's subject".to_owned());
    }
    let Some(name) = &variant.template else {
        return variant.text.is_none().then(|| {
            "text: it is missing; write what the mail says, or name a template".to_owned()
        });
    };
    let told = |problem: String| Some(format!("template: {problem}"));
    let Some(folder) = &settings.templates else {
        return told("the settings name no folder of templates for this provider".to_owned());
    };
    let language = language.map(ToString::to_string);
    let texts = match templates::read(folder, name, language.as_deref()) {
        Ok(texts) => texts,
        Err(unusable) => return told(unusable.to_string()),
    };
    let parameters = vec![String::new(); variant.parameters.len()];
    let values = templates::Values {
        parameters: &parameters,
        unsubscribe: has_unsubscribe.then_some(""),
        media: variant.media_url.as_deref(),
    };
    let filled = [(texts.text, false), (texts.html, true)];
    let problem = filled
        .into_iter()
        .find_map(|(text, is_html)| templates::fill(&text?, values, is_html).err());
    told(problem?.to_string())
}
