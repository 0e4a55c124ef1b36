//! The templates of a WhatsApp Business Account, page by page.
//!
//! Source: the vendor's reference of `GET /WABA_ID/message_templates`.

use serde_json::Value;
use url::Url;

use super::webhook::list;
use crate::config::SecretValue;
use crate::model::content::{Category, Media};
use crate::model::template::{AccountTemplate, TemplateHeader, TemplateStatus, places};
use crate::provider::{Code, answer};

/// Templates of one page.
const PAGE: u32 = 100;
/// The most pages that are read: an account has 6,000 templates at most.
const PAGES_MAX: usize = 100;
/// The most of a page that is read.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The longest text of a template that is kept, in characters: the vendor allows 1,024.
const TEXT_MAX: usize = 4096;
const BUTTONS_MAX: usize = 20;

/// Reads all templates of an account; else why not.
pub(super) async fn read(
    client: &reqwest::Client,
    address: &str,
    token: &SecretValue,
) -> Result<Vec<AccountTemplate>, String> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut page = Url::parse(address).map_err(|_| "base_url is no address")?;
        page.query_pairs_mut()
            .append_pair("fields", "name,language,status,category,components")
            .append_pair("limit", &PAGE.to_string())
            .extend_pairs(after.take().map(|after| ("after", after)));
        let call = client.get(page).bearer_auth(token.expose()).send();
        let got = call.await.map_err(|error| error.without_url().to_string())?;
        let status = got.status();
        let body = answer::body_within(got, PAGE_BYTES).await;
        let body = body.ok_or("the answer broke off or is too large")?;
        if !status.is_success() {
            return Err(format!("the account answers {status}"));
        }
        let page: Value = serde_json::from_slice(&body).map_err(|_| "the answer is no JSON")?;
        found.extend(list(&page, "data").filter_map(template));
        let next = page["paging"]["cursors"]["after"].as_str();
        match next.filter(|_| page["paging"]["next"].is_string()) {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(found),
        }
    }
    Err(format!("the account has more than {} templates", PAGES_MAX * PAGE as usize))
}

/// A template; `None` for one without a name or with a language that is none.
fn template(told: &Value) -> Option<AccountTemplate> {
    let word = |key: &str| told[key].as_str().unwrap_or_default();
    let status = match word("status") {
        "APPROVED" => TemplateStatus::Approved,
        other => TemplateStatus::Other(readable(other)),
    };
    let category = match word("category") {
        "MARKETING" | "MARKETING_LITE" => Some(Category::Marketing),
        "UTILITY" => Some(Category::Utility),
        "AUTHENTICATION" => Some(Category::Authentication),
        _ => None,
    };
    let mut template = AccountTemplate {
        name: Some(clean(word("name"))).filter(|name| !name.is_empty())?,
        language: word("language").parse().ok()?,
        status,
        category,
        header: TemplateHeader::None,
        body: String::new(),
        footer: String::new(),
        buttons: Vec::new(),
        has_button_parameter: false,
    };
    for component in list(told, "components") {
        let text = || clean(component["text"].as_str().unwrap_or_default());
        match component["type"].as_str().unwrap_or_default() {
            "HEADER" => {
                template.header = match component["format"].as_str().unwrap_or_default() {
                    "TEXT" => TemplateHeader::Text(text()),
                    "IMAGE" => TemplateHeader::Media(Media::Image),
                    "VIDEO" => TemplateHeader::Media(Media::Video),
                    "DOCUMENT" => TemplateHeader::Media(Media::Document),
                    other => TemplateHeader::Other(readable(other)),
                };
            }
            "BODY" => template.body = text(),
            "FOOTER" => template.footer = text(),
            "BUTTONS" => {
                for button in list(component, "buttons").take(BUTTONS_MAX) {
                    template.buttons.push(clean(button["text"].as_str().unwrap_or_default()));
                    let url = button["url"].as_str().unwrap_or_default();
                    template.has_button_parameter |= !places(url).is_empty();
                }
            }
            _ => {}
        }
    }
    Some(template)
}

/// A text without what cannot be shown, as long as texts of templates are.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(TEXT_MAX).collect()
}

/// A word of a closed set as people read it.
fn readable(word: &str) -> String {
    Code::clean(word).as_str().replace('_', " ").to_lowercase()
}
