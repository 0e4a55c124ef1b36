//! The page and the account of a `messenger` provider, as the settings have them.

use std::time::Duration;

use super::Secret;
use super::provider::{GRAPH_API, RawProvider, api_address};

/// The page that writes, and the account that pays.
#[derive(Debug, Clone)]
pub struct MessengerSettings {
    /// With the version of the Graph API, without a slash at its end.
    pub base_url: String,
    /// The page.
    pub page_id: String,
    /// Lets us send for the page.
    pub token: Secret,
    /// Proves webhooks.
    pub app_secret: Secret,
    /// Proves that a webhook's address is ours; without it the channel cannot ask.
    pub verify_token: Option<Secret>,
    /// The advertising account that pays for marketing by subscription, and its campaign.
    pub marketing: Option<MessengerMarketing>,
    /// Of one call.
    pub timeout: Duration,
}

/// Where marketing by subscription is sent through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessengerMarketing {
    /// The advertising account's number, without `act_`.
    pub ad_account: String,
    /// The campaign of messages under it.
    pub message_campaign: String,
}

impl MessengerSettings {
    pub(super) fn check(
        raw: RawProvider,
        key: &str,
        timeout: Duration,
        wrong: &mut Vec<String>,
    ) -> Option<Self> {
        let base_url = api_address(raw.base_url, GRAPH_API, key, wrong);
        let mut number = |name: &str, text: &str| {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                wrong.push(format!("{key}.{name}: {text:?} is no id, which has digits alone"));
            }
        };
        let page_id = raw.page_id?;
        number("page_id", &page_id);
        let marketing = match (raw.ad_account, raw.message_campaign) {
            (Some(ad_account), Some(message_campaign)) => {
                let ad_account = ad_account.trim_start_matches("act_").to_owned();
                number("ad_account", &ad_account);
                number("message_campaign", &message_campaign);
                Some(MessengerMarketing { ad_account, message_campaign })
            }
            (None, None) => None,
            _ => {
                wrong.push(format!(
                    "{key}.ad_account: it needs message_campaign beside it, and back"
                ));
                None
            }
        };
        Some(Self {
            base_url,
            page_id,
            token: raw.token?,
            app_secret: raw.app_secret?,
            verify_token: raw.verify_token,
            marketing,
            timeout,
        })
    }
}
