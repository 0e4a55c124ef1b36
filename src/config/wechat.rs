//! The account of a `wechat` provider, as the settings have it.

use std::time::Duration;

use super::Secret;
use super::provider::{RawProvider, api_address};
use crate::model::content::word_type;

word_type! {
    /// What kind of account it is.
    WeChatService, "service", "one of official, mini" {
        /// A verified service account: template messages to followers.
        Official = "official",
        /// A mini program: one message for each time that a person permits one.
        Mini = "mini",
    }
}

/// The account that writes.
#[derive(Debug, Clone)]
pub struct WeChatSettings {
    /// Without a slash at its end.
    pub base_url: String,
    /// The account.
    pub app_id: String,
    /// Lets us ask for access tokens.
    pub app_secret: Secret,
    /// Official account or mini program.
    pub service: WeChatService,
    /// Proves webhooks; without it there is none.
    pub verify_token: Option<Secret>,
    /// Of one call.
    pub timeout: Duration,
}

impl WeChatSettings {
    pub(super) fn check(
        raw: RawProvider,
        key: &str,
        timeout: Duration,
        wrong: &mut Vec<String>,
    ) -> Option<Self> {
        let base_url = api_address(raw.base_url, "https://api.weixin.qq.com", key, wrong);
        let app_id = raw.app_id?;
        if app_id.is_empty() || !app_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            wrong.push(format!("{key}.app_id: {app_id:?} is no id such as wx1234567890abcdef"));
        }
        Some(Self {
            base_url,
            app_id,
            app_secret: raw.app_secret?,
            service: raw.service?,
            verify_token: raw.verify_token,
            // a call may be made twice, with a token asked for between
            timeout: timeout / 3,
        })
    }
}
