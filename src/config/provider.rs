//! `[provider.NAME]`: what a channel is, what its account bears, and where its secrets are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::inbound::{Inbound, check_inbound};
use super::{MessengerSettings, Secret, SmtpSecurity, SmtpSettings, WeChatService, WeChatSettings};
use super::{WhatsAppApi, WhatsAppSettings};
use crate::model::content::word_type;
use crate::model::ids::Name;
use crate::model::tariff::Tariff;

/// A lease must outlive a call; see `work::dispatch`.
const TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// What a call is followed by within the lease: the settlement of its batch.
pub(super) const SETTLING: Duration = Duration::from_secs(5);
/// A provider's word takes a moment; after a week no channel posts it any more.
const GRACE_RANGE: [Duration; 2] = [Duration::from_secs(1), Duration::from_hours(7 * 24)];
/// Where WhatsApp and Messenger are, with the version that this program speaks.
pub(super) const GRAPH_API: &str = "https://graph.facebook.com/v25.0";
/// More first messages of a template than any campaign has are no trial.
const CANARY_MAX: u32 = 100_000;
/// No channel known takes more.
const PER_SECOND_MAX: u32 = 100_000;
/// Prices change a few times a year.
const TABLES_MAX: usize = 100;
/// No message is tried for longer than its campaign lasts.
const CANARY_WAIT_MAX: Duration = Duration::from_hours(24);

/// One `[provider.NAME]`.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// What it is.
    pub kind: ProviderKind,
    /// What it bears.
    pub limits: Limits,
    /// Whose people count together against `limits.unique_per_day`.
    pub portfolio: Name,
    /// How long a message may stay in doubt before it is given up.
    pub in_doubt_grace: Duration,
    /// What becomes of a utility message that stayed in doubt; marketing is always given up.
    pub in_doubt_utility: InDoubt,
    /// How a template is begun that was not sent before.
    pub canary: Canary,
    /// The attribute that holds people's addresses on this channel; who has none there is written to at
    /// their address, where that is one of the channel's.
    pub address_attribute: Option<String>,
    /// What gets every message that people write.
    pub inbound: Option<Inbound>,
    /// Tables of prices of the user's own, in the order of their days.
    pub prices: Vec<PathBuf>,
    /// What messages cost; `None` where nothing tells.
    pub tariff: Option<Arc<Tariff>>,
    /// Service messages in a calendar month (UTC) that are charged nothing.
    pub free_service_messages: u32,
}

word_type! {
    /// What becomes of a utility message that stayed in doubt past the grace time.
    InDoubt, "in_doubt_utility", "one of give_up, send_again" {
        /// It may have been lost.
        GiveUp = "give_up",
        /// It may come twice.
        SendAgain = "send_again",
    }
}

/// The first messages of a new template, which go before the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// How many; 0 for none.
    pub messages: u32,
    /// How long the rest waits at least after the last of them.
    pub wait: Duration,
}

/// What a provider is made of.
#[derive(Debug, Clone)]
pub enum ProviderKind {
    /// Prints.
    Console,
    /// Invents answers.
    Simulated {
        /// Of the people's habits.
        seed: u64,
    },
    /// Posts JSON.
    Http {
        /// Where to.
        url: String,
        /// Signs what is posted, and checks what comes back.
        secret: Secret,
        /// Of one call.
        timeout: Duration,
    },
    /// Sends by the WhatsApp Cloud API or the Marketing Messages API.
    WhatsApp(Box<WhatsAppSettings>),
    /// Hands mails to a mail server.
    Smtp(Box<SmtpSettings>),
    /// Writes for a page in Messenger.
    Messenger(Box<MessengerSettings>),
    /// Writes for an account of WeChat.
    WeChat(Box<WeChatSettings>),
}

impl ProviderKind {
    /// Its spelling in the file, which is also the channel that country rules name.
    pub fn channel(&self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Simulated { .. } => "simulated",
            Self::Http { .. } => "http",
            Self::WhatsApp(_) => "whatsapp",
            Self::Smtp(_) => "smtp",
            Self::Messenger(_) => "messenger",
            Self::WeChat(_) => "wechat",
        }
    }

    /// The longest that one call takes; nothing for what calls nobody.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Console | Self::Simulated { .. } => Duration::ZERO,
            Self::Http { timeout, .. } => *timeout,
            Self::WhatsApp(settings) => settings.timeout,
            Self::Smtp(settings) => settings.timeout,
            Self::Messenger(settings) => settings.timeout,
            Self::WeChat(settings) => settings.timeout * 3,
        }
    }

    /// Has the files that it names lie under the settings' folder.
    pub(super) fn under(&mut self, folder: &Path) {
        if let Self::Smtp(settings) = self {
            settings.under(folder);
        }
    }

    /// The attribute that holds people's addresses on this channel, unless the settings name another.
    fn address_attribute(&self) -> Option<&'static str> {
        match self {
            Self::Smtp(_) => Some("address_mail"),
            Self::Messenger(_) => Some("address_messenger"),
            Self::WeChat(_) => Some("address_wechat"),
            _ => None,
        }
    }

    /// Whether a message needs a right of the person's own: their word, lately, or a permit.
    pub fn needs_right(&self) -> bool {
        matches!(self, Self::Messenger(_) | Self::WeChat(_))
    }

    /// How long a person may be answered after their last word, on channels that count it.
    pub fn answers_within(&self) -> Duration {
        Duration::from_hours(if matches!(self, Self::WeChat(_)) { 48 } else { 24 })
    }

    /// How often within that time, where the channel counts that too.
    pub fn answers_max(&self) -> Option<u32> {
        matches!(self, Self::WeChat(_)).then_some(5)
    }

    /// Whether its messages carry an address under which a person says that they want no more (RFC 8058).
    pub fn has_way_out(&self) -> bool {
        matches!(self, Self::Smtp(_))
    }

    /// Whether the channel tells that a message arrived; else its taking one is all that is known.
    pub fn tells_delivery(&self) -> bool {
        !matches!(self, Self::Smtp(_))
    }

    /// Whether a person's word against messages holds for this channel alone: where it is told by a
    /// switch of the channel and not in a person's own words.
    pub fn is_left_alone(&self) -> bool {
        matches!(self, Self::Smtp(_) | Self::WeChat(_))
    }

    /// Whether it sends nothing but templates to people who have not written lately.
    pub fn needs_template(&self) -> bool {
        matches!(self, Self::WhatsApp(_))
    }
}

/// What a provider's account bears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages a second.
    pub per_second: Option<u32>,
    /// Different people in any 24 hours; those with an open service window are free.
    pub unique_per_day: Option<u32>,
    /// Calls in any hour.
    pub calls_per_hour: Option<u32>,
    /// Messages to one person.
    pub pair: Option<PairLimit>,
}

/// One message in `seconds` to one person, of which up to `burst` may be borrowed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairLimit {
    /// Between two messages, in the long run.
    pub seconds: u32,
    /// At once.
    pub burst: u32,
}

/// The lowest tier of a portfolio, from the messaging-limits page.
const WHATSAPP_UNIQUE_PER_DAY: u32 = 250;
/// Every number's, from the throughput page.
const WHATSAPP_PER_SECOND: u32 = 80;
/// From the page about the platform: one in six seconds, 45 at once.
const WHATSAPP_PAIR: PairLimit = PairLimit { seconds: 6, burst: 45 };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    kind: String,
    pub(super) url: Option<String>,
    pub(super) secret: Option<Secret>,
    pub(super) from: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) reply_to: Option<String>,
    pub(super) templates: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) tls: Option<SmtpSecurity>,
    address_attribute: Option<String>,
    seed: Option<u64>,
    pub(super) base_url: Option<String>,
    pub(super) phone_number_id: Option<String>,
    pub(super) business_account_id: Option<String>,
    pub(super) token: Option<Secret>,
    pub(super) app_secret: Option<Secret>,
    pub(super) verify_token: Option<Secret>,
    pub(super) page_id: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) service: Option<WeChatService>,
    pub(super) ad_account: Option<String>,
    pub(super) message_campaign: Option<String>,
    pub(super) api: Option<WhatsAppApi>,
    portfolio: Option<Name>,
    #[serde(default, with = "humantime_serde")]
    timeout: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    in_doubt_grace: Option<Duration>,
    in_doubt_utility: Option<InDoubt>,
    canary: Option<u32>,
    #[serde(default, with = "humantime_serde")]
    canary_wait: Option<Duration>,
    inbound_url: Option<String>,
    inbound_secret: Option<Secret>,
    free_service_messages: Option<u32>,
    #[serde(default)]
    prices: OneOrMore,
    #[serde(default)]
    limits: RawLimits,
}

/// A file, or several.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum OneOrMore {
    One(PathBuf),
    More(Vec<PathBuf>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    per_second: Option<u32>,
    unique_per_day: Option<u32>,
    calls_per_hour: Option<u32>,
    pair_seconds: Option<u32>,
    pair_burst: Option<u32>,
}

/// Keys that some kinds alone take: those that need them, and those that may have them.
const KEYS_OF_KINDS: [(&str, &[&str], &[&str]); 22] = [
    ("url", &["http", "smtp"], &[]),
    ("secret", &["http"], &["smtp"]),
    ("seed", &[], &["simulated"]),
    ("base_url", &[], &["whatsapp", "messenger", "wechat"]),
    ("phone_number_id", &["whatsapp"], &[]),
    ("business_account_id", &[], &["whatsapp"]),
    ("token", &["whatsapp", "messenger"], &[]),
    ("app_secret", &["whatsapp", "messenger", "wechat"], &[]),
    ("verify_token", &["whatsapp"], &["messenger", "wechat"]),
    ("api", &[], &["whatsapp"]),
    ("from", &["smtp"], &[]),
    ("password", &[], &["smtp"]),
    ("reply_to", &[], &["smtp"]),
    ("templates", &[], &["smtp"]),
    ("ca_file", &[], &["smtp"]),
    ("tls", &[], &["smtp"]),
    ("page_id", &["messenger"], &[]),
    ("ad_account", &[], &["messenger"]),
    ("message_campaign", &[], &["messenger"]),
    ("app_id", &["wechat"], &[]),
    ("service", &["wechat"], &[]),
    ("free_service_messages", &[], &["whatsapp"]),
];

impl RawProvider {
    pub(super) fn check(self, name: &Name, wrong: &mut Vec<String>) -> Option<ProviderConfig> {
        let key = format!("provider.{name}");
        let given = [
            self.url.is_some(),
            self.secret.is_some(),
            self.seed.is_some(),
            self.base_url.is_some(),
            self.phone_number_id.is_some(),
            self.business_account_id.is_some(),
            self.token.is_some(),
            self.app_secret.is_some(),
            self.verify_token.is_some(),
            self.api.is_some(),
            self.from.is_some(),
            self.password.is_some(),
            self.reply_to.is_some(),
            self.templates.is_some(),
            self.ca_file.is_some(),
            self.tls.is_some(),
            self.page_id.is_some(),
            self.ad_account.is_some(),
            self.message_campaign.is_some(),
            self.app_id.is_some(),
            self.service.is_some(),
            self.free_service_messages.is_some(),
        ];
        let kind = self.kind.as_str();
        for ((name, needed, taken), given) in KEYS_OF_KINDS.iter().zip(given) {
            if given && !needed.contains(&kind) && !taken.contains(&kind) {
                let kinds: Vec<String> =
                    needed.iter().chain(*taken).map(|kind| format!("{kind:?}")).collect();
                wrong.push(format!("{key}.{name}: only kind {} takes it", kinds.join(" or ")));
            } else if !given && needed.contains(&kind) {
                wrong.push(format!("{key}.{name}: kind {kind:?} needs it"));
            }
        }
        let default = Duration::from_secs(if kind == "smtp" { 30 } else { 10 });
        let timeout = self.timeout.unwrap_or(default);
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            wrong
                .push(format!("{key}.timeout: {timeout:?} is not between 1ms and {TIMEOUT_MAX:?}"));
        }
        let canary_wait = self.canary_wait.unwrap_or(Duration::from_secs(5));
        if canary_wait > CANARY_WAIT_MAX {
            wrong.push(format!(
                "{key}.canary_wait: {canary_wait:?} is more than {CANARY_WAIT_MAX:?}"
            ));
        }
        let grace = self.in_doubt_grace.unwrap_or(Duration::from_mins(10));
        if grace < GRACE_RANGE[0] || grace > GRACE_RANGE[1] {
            let shown = humantime::format_duration(grace);
            wrong.push(format!("{key}.in_doubt_grace: {shown} is not between 1s and 7days"));
        }
        let canary = self.canary.unwrap_or(20);
        if canary > CANARY_MAX {
            wrong.push(format!("{key}.canary: {canary} is more than {CANARY_MAX}"));
        }
        let limits = self.limits.check(&key, &self.kind, wrong);
        let portfolio = self.portfolio.clone().unwrap_or(name.clone());
        let utility = self.in_doubt_utility;
        let canary = Canary { messages: canary, wait: canary_wait };
        let inbound =
            check_inbound(&key, self.inbound_url.as_deref(), self.inbound_secret.as_ref(), wrong);
        let prices = match self.prices.clone() {
            OneOrMore::One(file) => vec![file],
            OneOrMore::More(files) => files,
        };
        if prices.len() > TABLES_MAX {
            wrong.push(format!("{key}.prices: more than {TABLES_MAX} files"));
        }
        let attribute = self.address_attribute.clone();
        let free_service_messages = self.free_service_messages.unwrap_or(0);
        let kind = self.kind(&key, timeout, wrong)?;
        // a rehearsal costs what the performance would
        let tariff = matches!(kind.channel(), "simulated" | "whatsapp")
            .then(|| Arc::new(Tariff::whatsapp()));
        let address_attribute = attribute.or_else(|| kind.address_attribute().map(str::to_owned));
        Some(ProviderConfig {
            kind,
            prices,
            tariff,
            free_service_messages,
            limits,
            portfolio,
            in_doubt_grace: grace,
            in_doubt_utility: utility.unwrap_or(InDoubt::GiveUp),
            address_attribute,
            canary,
            inbound,
        })
    }

    fn kind(self, key: &str, timeout: Duration, wrong: &mut Vec<String>) -> Option<ProviderKind> {
        match self.kind.as_str() {
            "console" => Some(ProviderKind::Console),
            "simulated" => Some(ProviderKind::Simulated { seed: self.seed.unwrap_or(1) }),
            "http" => {
                let url = self.url?;
                web_address(&format!("{key}.url"), &url, wrong);
                Some(ProviderKind::Http { url, secret: self.secret?, timeout })
            }
            "whatsapp" => {
                let settings = WhatsAppSettings::check(self, key, timeout, wrong)?;
                Some(ProviderKind::WhatsApp(Box::new(settings)))
            }
            "smtp" => {
                let settings = SmtpSettings::check(self, key, timeout, wrong)?;
                Some(ProviderKind::Smtp(Box::new(settings)))
            }
            "wechat" => {
                let settings = WeChatSettings::check(self, key, timeout, wrong)?;
                Some(ProviderKind::WeChat(Box::new(settings)))
            }
            "messenger" => {
                let settings = MessengerSettings::check(self, key, timeout, wrong)?;
                Some(ProviderKind::Messenger(Box::new(settings)))
            }
            other => {
                wrong.push(format!(
                    "{key}.kind: {other:?} is not one of console, simulated, http, whatsapp, smtp, \
                     messenger, wechat"
                ));
                None
            }
        }
    }
}

impl RawLimits {
    fn check(&self, key: &str, kind: &str, wrong: &mut Vec<String>) -> Limits {
        let known = |value: Option<u32>, default: u32| {
            value.or_else(|| (kind == "whatsapp").then_some(default))
        };
        let per_second = known(self.per_second, WHATSAPP_PER_SECOND);
        if let Some(rate) = per_second.filter(|r| *r == 0 || *r > PER_SECOND_MAX) {
            wrong.push(format!(
                "{key}.limits.per_second: {rate} is not between 1 and {PER_SECOND_MAX}"
            ));
        }
        for (name, value) in [
            ("unique_per_day", self.unique_per_day),
            ("calls_per_hour", self.calls_per_hour),
            ("pair_seconds", self.pair_seconds),
            ("pair_burst", self.pair_burst),
        ] {
            if value == Some(0) {
                wrong.push(format!("{key}.limits.{name}: 0 would send nothing; leave it out"));
            }
        }
        let seconds = known(self.pair_seconds, WHATSAPP_PAIR.seconds);
        if seconds.is_none() && self.pair_burst.is_some() {
            wrong.push(format!("{key}.limits.pair_burst: it needs pair_seconds beside it"));
        }
        let burst = self.pair_burst.unwrap_or(WHATSAPP_PAIR.burst);
        Limits {
            per_second,
            unique_per_day: known(self.unique_per_day, WHATSAPP_UNIQUE_PER_DAY),
            calls_per_hour: self.calls_per_hour,
            pair: seconds.map(|seconds| PairLimit { seconds, burst }),
        }
    }
}

/// Notes an address that is none of the web's. It may hold a password and is not shown.
/// The address of an API without a slash at its end, where none is given the vendor's.
pub(super) fn api_address(
    given: Option<String>,
    vendors: &str,
    key: &str,
    wrong: &mut Vec<String>,
) -> String {
    let url = given.unwrap_or_else(|| vendors.to_owned());
    web_address(&format!("{key}.base_url"), &url, wrong);
    url.trim_end_matches('/').to_owned()
}

pub(super) fn web_address(key: &str, url: &str, wrong: &mut Vec<String>) {
    let is_web = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_web {
        wrong.push(format!("{key}: it is not an http:// or https:// address"));
    }
}
