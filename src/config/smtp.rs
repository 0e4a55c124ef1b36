//! The mail server and the sender of a `smtp` provider, as the settings have them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::Secret;
use super::provider::RawProvider;
use crate::model::content::word_type;
use crate::model::recipient::Address;

/// Ports of RFC 8314 and RFC 6409.
const TLS_PORT: u16 = 465;
const SUBMISSION_PORT: u16 = 587;

word_type! {
    /// How the connection to the mail server is kept secret.
    SmtpSecurity, "tls", "one of required, none" {
        /// TLS from the first byte, or by STARTTLS before anything is told.
        Required = "required",
        /// Nobody else can listen, or somebody said that it does not matter.
        None = "none",
    }
}

/// Who a mail is from, or where answers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// What people are shown.
    pub name: Option<String>,
    /// The mail address.
    pub address: Address,
}

/// The server and the manner of a `smtp` provider.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS begins with the connection (smtps) and not by STARTTLS.
    pub implicit_tls: bool,
    /// Whether there is TLS at all.
    pub security: SmtpSecurity,
    /// Certificates of authorities to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Who signs in; nobody, if left out.
    pub user: Option<String>,
    /// Proves it.
    pub password: Option<Secret>,
    /// Who mails are from.
    pub from: Sender,
    /// Where answers go, if not there.
    pub reply_to: Option<Sender>,
    /// The folder of the templates.
    pub templates: Option<PathBuf>,
    /// Proves posts to the webhook; without it there is none.
    pub secret: Option<Secret>,
    /// Of one message, from the connection to the server's last word.
    pub timeout: Duration,
}

impl SmtpSettings {
    /// With paths that begin at the settings' folder.
    pub(super) fn under(&mut self, folder: &Path) {
        for path in [&mut self.ca_file, &mut self.templates].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    pub(super) fn check(
        raw: RawProvider,
        key: &str,
        timeout: Duration,
        wrong: &mut Vec<String>,
    ) -> Option<Self> {
        // an address may hold a password: it is not shown
        let url = Url::parse(raw.url.as_deref()?).ok();
        let url = url.filter(|url| matches!(url.scheme(), "smtp" | "smtps"));
        let Some((url, host)) = url.and_then(|url| Some((url.clone(), url.host()?.to_owned())))
        else {
            wrong
                .push(format!("{key}.url: it is no address such as smtps://user@mail.example.com"));
            return None;
        };
        if url.password().is_some() {
            wrong.push(format!("{key}.url: a secret is never written here; set {key}.password"));
        }
        let implicit_tls = url.scheme() == "smtps";
        let security = raw.tls.unwrap_or(if !implicit_tls && is_loopback(&host) {
            SmtpSecurity::None
        } else {
            SmtpSecurity::Required
        });
        if implicit_tls && security == SmtpSecurity::None {
            wrong.push(format!("{key}.tls: smtps:// has TLS always; write smtp:// for none"));
        }
        let user = percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
        let user = Some(user).filter(|user| !user.is_empty());
        if user.is_some() != raw.password.is_some() {
            wrong.push(format!(
                "{key}.password: it stands beside a user in {key}.url, and never alone"
            ));
        }
        let mut sender = |name: &str, text: &str| {
            let sender = sender(text);
            if sender.is_none() {
                wrong.push(format!(
                    "{key}.{name}: {text:?} is no sender such as Shop <news@example.com>"
                ));
            }
            sender
        };
        let from = sender("from", raw.from.as_deref()?);
        let reply_to = raw.reply_to.as_deref().map(|text| sender("reply_to", text));
        Some(Self {
            port: url.port().unwrap_or(if implicit_tls { TLS_PORT } else { SUBMISSION_PORT }),
            host: match host {
                Host::Ipv6(ip) => ip.to_string(),
                host => host.to_string(),
            },
            implicit_tls,
            security,
            ca_file: raw.ca_file,
            user,
            password: raw.password,
            from: from?,
            reply_to: reply_to.flatten(),
            templates: raw.templates,
            secret: raw.secret,
            timeout,
        })
    }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Ipv4(ip) => IpAddr::V4(*ip).is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        // of schemes that browsers do not have, numbers are read as names
        Host::Domain(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    }
}

/// `Name <address>`, or an address alone.
fn sender(text: &str) -> Option<Sender> {
    let (name, address) = match text.trim().strip_suffix('>') {
        Some(text) => text.rsplit_once('<')?,
        None => ("", text.trim()),
    };
    let name = name.trim().trim_matches('"').trim();
    let address: Address = address.parse().ok().filter(|at: &Address| at.is_good_for("smtp"))?;
    let is_plain = !name.chars().any(char::is_control);
    is_plain
        .then(|| Sender { name: Some(name.to_owned()).filter(|name| !name.is_empty()), address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_an_address_and_perhaps_a_name() {
        let told = |text| sender(text).map(|s| (s.name, s.address.to_string()));
        let news = || "news@example.com".to_owned();
        assert_eq!(told("news@example.com"), Some((None, news())));
        assert_eq!(told("Shop <news@example.com>"), Some((Some("Shop".to_owned()), news())));
        assert_eq!(told("\"A, B\" <news@example.com>"), Some((Some("A, B".to_owned()), news())));
        for text in ["Shop", "Shop <news>", "a\nb <news@example.com>", "<>", "news@example.com>"] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
