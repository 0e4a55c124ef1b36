//! The settings: what the file says, then what is checked. Only [`Config`] can be used.
//!
//! Loading reads a file and one environment variable, writes nothing, and keeps no global.

mod holdout;
mod inbound;
mod links;
mod messenger;
mod provider;
mod replies;
mod retention;
mod secret;
mod segment;
mod smtp;
mod wechat;
mod whatsapp;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Deserialize;

use crate::model::campaign::QuietHours;
use crate::model::content::word_type;
use crate::model::frequency::{Cap, RawFrequency};
use crate::model::holdout::StandingHoldout;
use crate::model::ids::Name;
use crate::model::recipient::parse_zone;
use crate::model::slot::SlotLength;
use crate::model::tariff::{Tariff, TariffError};

pub use inbound::Inbound;
pub use links::LinkSettings;
pub use messenger::{MessengerMarketing, MessengerSettings};
pub use provider::{Canary, InDoubt, Limits, PairLimit, ProviderConfig, ProviderKind};

pub use replies::ReplySettings;
pub use retention::Retention;
pub use secret::{Secret, SecretValue};
pub use segment::SegmentSettings;
pub use smtp::{Sender, SmtpSecurity, SmtpSettings};
pub use wechat::{WeChatService, WeChatSettings};
pub use whatsapp::{WhatsAppApi, WhatsAppSettings};

use holdout::RawHoldout;
use links::RawLinks;
use provider::{RawProvider, SETTLING};

/// The commented file that `init` writes; its values are the defaults.
pub const EXAMPLE: &str = include_str!("../opportune.toml");

/// The variable that overrides `database.url`.
pub const DATABASE_URL_VARIABLE: &str = "OPPORTUNE_DATABASE_URL";

/// More lateness than this would send last week's news.
const MAX_LATENESS_MAX: Duration = Duration::from_hours(168);
/// An opt-out dearer than this refuses everybody.
const OPT_OUT_COST_MAX: f64 = 1000.0;
/// Shorter leases would end while their calls are under way; longer ones hold up what a dead daemon
/// had claimed.
const LEASE_RANGE: [Duration; 2] = [Duration::from_secs(5), Duration::from_hours(1)];
/// Lanes that claim beside each other; more only wait for one another.
const WORKERS_MAX: usize = 16;

/// The checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Length of a slot.
    pub slot_length: SlotLength,
    /// The workspace's zone.
    pub time_zone: Tz,
    /// In engagements per opt-out.
    pub opt_out_cost: f64,
    /// Whose history is learned from.
    pub learn_from: LearnFrom,
    /// Beyond it a message needs a new decision.
    pub max_lateness: Duration,
    /// Where the state is.
    pub database_url: String,
    /// The listener.
    pub listen: SocketAddr,
    /// When the population is fitted anew, as a cron expression.
    pub learn_schedule: String,
    /// When answers that came back between nights are learned from, as a cron expression.
    pub refresh_schedule: String,
    /// How long a daemon holds what it has claimed.
    pub lease: Duration,
    /// How many batches a daemon has under way at once.
    pub workers: usize,
    /// Who gets no marketing of any campaign.
    pub holdout: Option<StandingHoldout>,
    /// What the daemon may call besides the providers.
    pub outbound: Outbound,
    /// The workspace's quiet hours.
    pub quiet_hours: Option<QuietHours>,
    /// How often one person is written to at most.
    pub frequency: Vec<Cap>,
    /// A file of rules that add to the countries'.
    pub country_rules: Option<PathBuf>,
    /// How long things are kept.
    pub retention: Retention,
    /// Where people's own links lead to; without it a link stays as it is.
    pub links: Option<LinkSettings>,
    /// What follows from what people answer.
    pub replies: ReplySettings,
    /// What follows from what customer data platforms post.
    pub segment: SegmentSettings,
    /// The channels by name.
    pub providers: BTreeMap<Name, ProviderConfig>,
}

/// What the daemon may call besides the providers: media, and endpoints of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Names of hosts, without port.
    #[serde(default)]
    pub allow_hosts: Vec<String>,
    /// Whether those names may lead into private networks.
    #[serde(default)]
    pub allow_private: bool,
}

word_type! {
    /// Whose history is learned from.
    LearnFrom, "learn_from", "one of all, consented" {
        /// Everybody's.
        All = "all",
        /// Only that of people with consent today.
        Consented = "consented",
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("could not read the settings {}; `opportune init` writes them", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// With line and column.
        message: String,
    },
    /// Values out of bounds.
    #[error("{}: {}", path.display(), problems.join("\n"))]
    Values {
        /// Which file.
        path: PathBuf,
        /// Each with its key.
        problems: Vec<String>,
    },
    /// A file that the settings name is not there or not readable.
    #[error("could not read {}, which the settings name", path.display())]
    Named {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A table of prices is wrong.
    #[error("{}", path.display())]
    Prices {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: TariffError,
    },
    /// A provider cannot be made of what the settings name.
    #[error("provider.{name}.{what}")]
    Provider {
        /// Which.
        name: Name,
        /// Which key, and what is wrong with it.
        what: String,
    },
    /// A secret that is not where the settings say.
    #[error("{from} holds no secret; set it, or name another place in the settings")]
    Secret {
        /// Where it should have been.
        from: String,
    },
}

const DATABASE_URL_PROBLEM: &str = "it begins with neither sqlite:// nor postgres://";

fn is_database_url(url: &str) -> bool {
    ["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    slot_minutes: Option<u32>,
    time_zone: Option<String>,
    opt_out_cost: Option<f64>,
    learn_from: Option<LearnFrom>,
    #[serde(default, with = "humantime_serde")]
    max_lateness: Option<Duration>,
    #[serde(default)]
    database: RawDatabase,
    #[serde(default)]
    daemon: RawDaemon,
    country_rules: Option<PathBuf>,
    #[serde(default)]
    outbound: Outbound,
    quiet_hours: Option<RawQuietHours>,
    #[serde(default)]
    frequency: RawFrequency,
    holdout: Option<RawHoldout>,
    links: Option<RawLinks>,
    #[serde(default)]
    retention: Retention,
    #[serde(default)]
    replies: ReplySettings,
    #[serde(default)]
    segment: SegmentSettings,
    #[serde(default)]
    provider: BTreeMap<Name, RawProvider>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDatabase {
    url: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDaemon {
    listen: Option<SocketAddr>,
    #[serde(alias = "learn_bell")]
    learn_schedule: Option<String>,
    #[serde(alias = "refresh_bell")]
    refresh_schedule: Option<String>,
    #[serde(default, with = "humantime_serde")]
    lease: Option<Duration>,
    #[serde(alias = "lanes")]
    workers: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuietHours {
    start: String,
    end: String,
}

impl Config {
    /// Reads and checks a settings file. Relative database paths start at the file's folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        let mut config = Self::parse(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.country_rules = config.country_rules.map(|file| folder.join(file));
        for provider in config.providers.values_mut() {
            provider.kind.under(folder);
            let mut tariff: Option<Tariff> = None;
            for file in &provider.prices {
                let path = folder.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|cause| ConfigError::Named { path: path.clone(), cause })?;
                let table = Tariff::from_toml(&text).and_then(|table| match tariff.take() {
                    Some(earlier) => earlier.then(table),
                    None => Ok(table),
                });
                tariff = Some(table.map_err(|cause| ConfigError::Prices { path, cause })?);
            }
            if let Some(tariff) = tariff {
                provider.tariff = Some(Arc::new(tariff));
            }
        }
        if let Ok(url) = std::env::var(DATABASE_URL_VARIABLE) {
            if !is_database_url(&url) {
                // its value may hold a password, and is not shown
                let problem = format!("{DATABASE_URL_VARIABLE}: {DATABASE_URL_PROBLEM}");
                return Err(ConfigError::Values { path: path.to_owned(), problems: vec![problem] });
            }
            config.database_url = url;
        } else if let Some(file) = config.database_url.strip_prefix("sqlite://") {
            let file = folder.join(file);
            config.database_url = format!("sqlite://{}", file.display());
        }
        Ok(config)
    }

    /// The attributes with people's addresses on a channel, by provider.
    pub fn own_addresses(&self) -> Vec<(Name, String)> {
        let own = self.providers.iter().filter_map(|(name, provider)| {
            Some((name.clone(), provider.address_attribute.clone()?))
        });
        own.collect()
    }

    /// Checks the text of a settings file; `path` is for messages only.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let mut wrong = Vec::new();
        let config = raw.check(&mut wrong);
        if wrong.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Values { path: path.to_owned(), problems: wrong })
        }
    }
}

impl RawConfig {
    fn check(self, wrong: &mut Vec<String>) -> Config {
        let slot_length = SlotLength::try_from(self.slot_minutes.unwrap_or(60))
            .map_err(|error| wrong.push(error.to_string()))
            .unwrap_or(SlotLength::HOUR);
        let time_zone = self.time_zone.map_or(Tz::UTC, |name| {
            parse_zone(&name).map_err(|error| wrong.push(error.to_string())).unwrap_or(Tz::UTC)
        });
        let opt_out_cost = self.opt_out_cost.unwrap_or(1.0);
        if !(0.0..=OPT_OUT_COST_MAX).contains(&opt_out_cost) {
            wrong.push(format!(
                "opt_out_cost: {opt_out_cost} is not between 0 and {OPT_OUT_COST_MAX}"
            ));
        }
        let max_lateness = self.max_lateness.unwrap_or(Duration::from_hours(2));
        if max_lateness > MAX_LATENESS_MAX {
            wrong.push(format!("max_lateness: {max_lateness:?} is more than {MAX_LATENESS_MAX:?}"));
        }
        let database_url = self.database.url.unwrap_or("sqlite://opportune.db".to_owned());
        if !is_database_url(&database_url) {
            wrong.push(format!("database.url: {DATABASE_URL_PROBLEM}"));
        }
        self.retention.check(wrong);
        self.replies.check(wrong);
        self.segment.check(wrong);
        let quiet_hours = self.quiet_hours.and_then(|raw| {
            QuietHours::parse(&raw.start, &raw.end)
                .map_err(|problem| wrong.push(format!("quiet_hours: {problem}")))
                .ok()
        });
        let frequency =
            self.frequency.check(|key, problem| wrong.push(format!("{key}: {problem}")));
        let holdout = self.holdout.and_then(|raw| raw.check(wrong));
        let links = self.links.map(|raw| raw.check(wrong));
        let mut providers = BTreeMap::new();
        for (name, raw) in self.provider {
            providers.extend(raw.check(&name, wrong).map(|provider| (name, provider)));
        }
        let allowed = &self.outbound.allow_hosts;
        for (name, inbound) in providers.iter().filter_map(|(n, p)| Some((n, p.inbound.as_ref()?)))
        {
            let host = inbound.url.host_str().unwrap_or_default();
            if !allowed.iter().any(|name| name == host) {
                wrong.push(format!(
                    "provider.{name}.inbound_url: {host:?} is not in outbound.allow_hosts"
                ));
            }
        }
        let lease = self.daemon.lease.unwrap_or(Duration::from_mins(10));
        if lease < LEASE_RANGE[0] || lease > LEASE_RANGE[1] {
            wrong.push(format!("daemon.lease: {lease:?} is not between 5s and 1h"));
        }
        for (name, provider) in &providers {
            let timeout = provider.kind.timeout();
            if timeout.is_zero() || timeout + SETTLING <= lease {
                continue;
            }
            let shown = humantime::format_duration;
            let bound = lease.checked_sub(SETTLING).filter(|bound| !bound.is_zero());
            let shorter = bound
                .map_or(String::new(), |bound| format!("timeout at most {}, or ", shown(bound)));
            wrong.push(format!(
                "provider.{name}.timeout: {} does not fit into daemon.lease = {}: a call and the {} \
                 in which it is settled must end before the lease; set {shorter}lease at least {}",
                shown(timeout),
                shown(lease),
                shown(SETTLING),
                shown(timeout + SETTLING)
            ));
        }
        let workers = self.daemon.workers.unwrap_or(2);
        if workers == 0 || workers > WORKERS_MAX {
            wrong.push(format!("daemon.workers: {workers} is not between 1 and {WORKERS_MAX}"));
        }
        Config {
            slot_length,
            time_zone,
            opt_out_cost,
            learn_from: self.learn_from.unwrap_or(LearnFrom::All),
            max_lateness,
            database_url,
            listen: self.daemon.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            learn_schedule: self.daemon.learn_schedule.unwrap_or("0 15 3 * * *".to_owned()),
            refresh_schedule: self
                .daemon
                .refresh_schedule
                .unwrap_or("0 45 7,11,15,19 * * *".to_owned()),
            lease,
            workers,
            outbound: self.outbound,
            quiet_hours,
            frequency,
            holdout,
            links,
            country_rules: self.country_rules,
            retention: self.retention,
            replies: self.replies,
            segment: self.segment,
            providers,
        }
    }
}

#[cfg(test)]
mod tests;
