//! Links of each person's own, as the settings have them.

use serde::Deserialize;

/// Where people's own links lead to, and what is added to the addresses behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// What a link begins with, without a slash at its end: it leads to the daemon's listener.
    pub base: String,
    /// Where campaigns' addresses are told who sent people there: `utm_source`; `None`: nothing is added.
    pub utm_source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLinks {
    base: String,
    utm_source: Option<String>,
}

impl RawLinks {
    pub(super) fn check(self, wrong: &mut Vec<String>) -> LinkSettings {
        let base = self.base.trim_end_matches('/').to_owned();
        let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        let good = |rest: &str| {
            !rest.is_empty()
                && rest.is_ascii()
                && !rest.contains(|c: char| c.is_whitespace() || "?#@".contains(c))
        };
        if !rest.is_some_and(good) {
            let given = &self.base;
            wrong
                .push(format!("links.base: {given:?} is no address such as https://l.example.com"));
        }
        LinkSettings { base, utm_source: self.utm_source.filter(|source| !source.is_empty()) }
    }
}
