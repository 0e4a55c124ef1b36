//! The account and the manner of a `whatsapp` provider, as the settings have them.

use std::time::Duration;

use super::Secret;
use super::provider::{GRAPH_API, RawProvider, api_address};
use crate::model::content::word_type;

/// The account and the manner of a `whatsapp` provider.
#[derive(Debug, Clone)]
pub struct WhatsAppSettings {
    /// With the version of the Graph API, without a slash at its end.
    pub base_url: String,
    /// The number that sends.
    pub phone_number_id: String,
    /// The account whose templates are read; none: they are not known.
    pub business_account_id: Option<String>,
    /// Lets us send.
    pub token: Secret,
    /// Proves webhooks.
    pub app_secret: Secret,
    /// Proves that a webhook's address is ours.
    pub verify_token: Secret,
    /// How marketing is sent.
    pub api: WhatsAppApi,
    /// Of one call.
    pub timeout: Duration,
}

word_type! {
    /// The API that marketing goes through; everything else goes through the Cloud API.
    WhatsAppApi, "api", "one of cloud, marketing, marketing_strict" {
        /// The Cloud API.
        Cloud = "cloud",
        /// The Marketing Messages API, which falls back to the Cloud API by itself.
        Marketing = "marketing",
        /// The Marketing Messages API and nothing else.
        MarketingStrict = "marketing_strict",
    }
}

impl WhatsAppSettings {
    pub(super) fn check(
        raw: RawProvider,
        key: &str,
        timeout: Duration,
        wrong: &mut Vec<String>,
    ) -> Option<Self> {
        let base_url = api_address(raw.base_url, GRAPH_API, key, wrong);
        let phone_number_id = raw.phone_number_id?;
        let ids = [
            ("phone_number_id", "the number's", Some(&phone_number_id)),
            ("business_account_id", "the account's", raw.business_account_id.as_ref()),
        ];
        for (name, whose, id) in ids {
            let is_id =
                |id: &&String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
            if let Some(id) = id.filter(|id| !is_id(id)) {
                wrong.push(format!(
                    "{key}.{name}: {id:?} is not {whose} id, such as 106540352242922"
                ));
            }
        }
        Some(Self {
            base_url,
            phone_number_id,
            business_account_id: raw.business_account_id,
            token: raw.token?,
            app_secret: raw.app_secret?,
            verify_token: raw.verify_token?,
            api: raw.api.unwrap_or(WhatsAppApi::Cloud),
            timeout,
        })
    }
}
