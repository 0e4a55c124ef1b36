//! What WhatsApp tells of templates, numbers and the account.
//!
//! Each notice has the key of what it speaks of, so that news of one template never hides news of
//! another, and good news takes away the alert that it answers. Only words of closed sets, names of
//! templates and numbers of the business are kept; nothing here names a person.

use serde_json::Value;

use crate::model::recipient::Locale;
use crate::model::time::Instant;
use crate::provider::timestamps::instant;
use crate::provider::{
    CategoryChange, Code, Incoming, Notice, Severity, TemplateCategory, TemplateChange, Wording,
    template_alert_key,
};

/// Reads a change of a field that is about the account; `at` is when the post was made.
pub(super) fn read(field: &str, value: &Value, at: Option<Instant>) -> Vec<Incoming> {
    let news = News { value, at };
    match field {
        "message_template_status_update" => news.template_status(),
        "message_template_quality_update" => news.template_quality(),
        "template_category_update" => news.template_category(),
        "message_template_components_update" => news.template_components(),
        "business_capability_update" => news.limit().into_iter().collect(),
        "phone_number_quality_update" => news.number_quality(),
        "phone_number_name_update" => news.number_name(),
        "account_update" => news.account(),
        "account_alerts" => news.alert(),
        "account_review_update" => news.account_review(),
        "security" => news.security(),
        _ => Vec::new(),
    }
}

struct News<'v> {
    value: &'v Value,
    at: Option<Instant>,
}

/// A word of a closed set, in the channel's capitals.
fn word(value: &Value) -> String {
    Code::clean(value.as_str().unwrap_or_default()).as_str().to_uppercase()
}

/// A word as people read it: `SECOND_PAUSE` is `second pause`.
fn readable(word: &str) -> String {
    word.replace('_', " ").to_lowercase()
}

/// A template's name, as long as the vendor allows.
fn template_name(told: &str) -> String {
    let clean = Wording::clean(told);
    let name = clean.as_str();
    if name.len() <= TEMPLATE_NAME_MAX { name.to_owned() } else { String::new() }
}

fn category(word: &str) -> TemplateCategory {
    match word {
        "MARKETING" | "MARKETING_LITE" => TemplateCategory::Marketing,
        "UTILITY" => TemplateCategory::Utility,
        "AUTHENTICATION" | "AUTHENTICATION_INTERNATIONAL" => TemplateCategory::Authentication,
        _ => TemplateCategory::Other,
    }
}

impl News<'_> {
    fn notice(&self, key: String, severity: Severity, what: &str) -> Incoming {
        self.until(key, severity, what, None)
    }

    fn until(
        &self,
        key: String,
        severity: Severity,
        what: &str,
        until: Option<Instant>,
    ) -> Incoming {
        Incoming::Notice(Notice { key, severity, what: Wording::clean(what), at: self.at, until })
    }

    /// The template that is spoken of; without one there is nothing to tell.
    fn template(&self) -> Option<(String, Option<Locale>)> {
        let name = template_name(self.value["message_template_name"].as_str()?);
        let language = self.value["message_template_language"].as_str();
        (!name.is_empty()).then(|| (name, language.and_then(|language| language.parse().ok())))
    }

    fn template_key(kind: &str, (name, language): &(String, Option<Locale>)) -> String {
        let key = template_alert_key(name, language.as_ref());
        format!("{kind}_{key}")
    }

    fn template_status(&self) -> Vec<Incoming> {
        let Some(template) = self.template() else { return Vec::new() };
        let event = word(&self.value["event"]);
        let usable = match event.as_str() {
            "APPROVED" | "REINSTATED" | "UNPAUSED" | "UNARCHIVED" => true,
            "PAUSED" | "DISABLED" | "REJECTED" | "PENDING_DELETION" | "DELETED" | "ARCHIVED" => {
                false
            }
            "" => return Vec::new(),
            _ => {
                let what = self.status_words(&template.0, &event);
                let severity = match event.as_str() {
                    "PENDING" | "IN_APPEAL" | "UNLOCKED" => Severity::Info,
                    _ => Severity::Warning,
                };
                let key = Self::template_key("status_of", &template);
                return vec![self.notice(key, severity, &what)];
            }
        };
        let mut told = Vec::new();
        if usable {
            // whatever was said of its status before is answered
            let key = Self::template_key("status_of", &template);
            let what = format!("template {} is {}", template.0, readable(&event));
            told.push(self.notice(key, Severity::Good, &what));
        }
        let reason = Wording::clean(&self.status_reason(&event));
        let (template, language) = template;
        told.push(Incoming::Template(TemplateChange {
            template,
            language,
            usable,
            reason,
            at: self.at,
        }));
        told
    }

    /// The event with the reason, which may lie deeper.
    fn status_reason(&self, event: &str) -> String {
        let value = self.value;
        let mut reason = readable(event);
        let deeper = [
            &value["reason"],
            &value["other_info"]["title"],
            &value["rejection_info"]["reason"],
            &value["disable_info"]["disable_date"],
        ];
        for told in deeper {
            let told = match told {
                Value::Number(number) => number.to_string(),
                told => readable(&word(told)),
            };
            if !told.is_empty() && told != "none" && !reason.contains(&told) {
                reason.push_str(", ");
                reason.push_str(&told);
            }
        }
        reason
    }

    fn status_words(&self, name: &str, event: &str) -> String {
        format!("template {name}: {}", self.status_reason(event))
    }

    fn template_quality(&self) -> Vec<Incoming> {
        let Some(template) = self.template() else { return Vec::new() };
        let score = word(&self.value["new_quality_score"]);
        let severity = match score.as_str() {
            "" => return Vec::new(),
            "RED" | "YELLOW" => Severity::Warning,
            "GREEN" => Severity::Good,
            _ => Severity::Info,
        };
        let before = word(&self.value["previous_quality_score"]);
        let before = if before.is_empty() { before } else { format!(", it was {before}") };
        let what = format!("template {} has quality {score}{before}", template.0);
        vec![self.notice(Self::template_key("quality_of", &template), severity, &what)]
    }

    fn template_category(&self) -> Vec<Incoming> {
        let Some(template) = self.template() else { return Vec::new() };
        let (new, correct) =
            (word(&self.value["new_category"]), word(&self.value["correct_category"]));
        // the category to come is told beside the one that still holds
        let announced = !correct.is_empty() && correct != new;
        let told = if announced { &correct } else { &new };
        if told.is_empty() {
            return Vec::new();
        }
        let from = instant(&self.value["category_update_timestamp"]).filter(|_| announced);
        let name = &template.0;
        let what = if announced {
            let day = from.map(|from| format!(" from {}", from.format("%Y-%m-%d %H:%M UTC")));
            format!("template {name} will be {told}{}", day.unwrap_or_default())
        } else {
            let before = word(&self.value["previous_category"]);
            let before = if before.is_empty() { before } else { format!(", it was {before}") };
            format!("template {name} is {told} now{before}")
        };
        let category = category(told);
        // the dearer category, which needs marketing consent, is what people must decide about
        let severity = match category {
            TemplateCategory::Marketing => Severity::Warning,
            _ if announced => Severity::Info,
            _ => Severity::Good,
        };
        let key = Self::template_key("category_of", &template);
        let notice = self.notice(key, severity, &what);
        let (template, language) = template;
        let at = self.at;
        let change = CategoryChange { template, language, category, from, announced, at };
        vec![Incoming::Category(change), notice]
    }

    fn template_components(&self) -> Vec<Incoming> {
        let Some(template) = self.template() else { return Vec::new() };
        let what = format!("template {} was edited", template.0);
        vec![self.notice(Self::template_key("components_of", &template), Severity::Info, &what)]
    }

    fn limit(&self) -> Option<Incoming> {
        let keys = [
            "max_daily_conversations_per_business",
            "max_daily_conversation_per_business",
            "max_daily_conversation_per_phone",
            "max_daily_conversations_per_phone",
        ];
        let told = keys.iter().map(|key| &self.value[*key]).find(|told| !told.is_null())?;
        let number = match told {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let limit = match (number, word(told).as_str()) {
            (Some(-1), _) | (None, "TIER_UNLIMITED") => None,
            (Some(number), _) => Some(u32::try_from(number).ok()?),
            // the tier of a thousand is gone
            (None, "TIER_1K") => Some(2_000),
            (None, tier) => Some(tier_size(tier)?),
        };
        Some(Incoming::UniquePerDay { limit, at: self.at })
    }

    /// The business's own number, in digits.
    fn number(&self) -> String {
        let told = &self.value["display_phone_number"];
        let told = told.as_str().map_or_else(|| told.to_string(), str::to_owned);
        told.chars().filter(char::is_ascii_digit).take(20).collect()
    }

    fn number_quality(&self) -> Vec<Incoming> {
        let mut told: Vec<Incoming> = self.limit().into_iter().collect();
        let event = word(&self.value["event"]);
        let number = self.number();
        let limit = word(&self.value["current_limit"]);
        let limit = if limit.is_empty() { limit } else { format!(", limit {limit}") };
        let what = format!("number {number}: {}{limit}", readable(&event));
        let (key, severity) = match event.as_str() {
            "" => return told,
            "FLAGGED" => ("number_quality", Severity::Warning),
            "UNFLAGGED" => ("number_quality", Severity::Good),
            "DOWNGRADE" => ("number_limit", Severity::Warning),
            "UPGRADE" | "THROUGHPUT_UPGRADE" => ("number_limit", Severity::Good),
            "ONBOARDING" => ("number_onboarding", Severity::Info),
            _ => ("number_event", Severity::Warning),
        };
        told.push(self.notice(format!("{key}:{number}"), severity, &what));
        told
    }

    fn number_name(&self) -> Vec<Incoming> {
        let decision = word(&self.value["decision"]);
        let severity = match decision.as_str() {
            "" => return Vec::new(),
            "APPROVED" => Severity::Good,
            "PENDING" | "DEFERRED" => Severity::Info,
            _ => Severity::Warning,
        };
        let number = self.number();
        let what = format!("display name of number {number}: {}", readable(&decision));
        vec![self.notice(format!("number_name:{number}"), severity, &what)]
    }

    fn account(&self) -> Vec<Incoming> {
        let value = self.value;
        let event = word(&value["event"]);
        if !value["restriction_info"].is_null() {
            return self.restrictions();
        }
        let state = word(&value["ban_info"]["waba_ban_state"]);
        let account = |what: &str| format!("the account: {what}");
        let detail = |told: &Value| {
            let told = readable(&word(told));
            if told.is_empty() { told } else { format!(", {told}") }
        };
        let (key, severity, what) = match (event.as_str(), state.as_str()) {
            ("", "") => return Vec::new(),
            (_, "REINSTATE") => ("account_ban", Severity::Good, account("reinstated")),
            (_, "SCHEDULE_FOR_DISABLE") => {
                let day = detail(&value["ban_info"]["waba_ban_date"]);
                ("account_ban", Severity::Warning, account(&format!("will be disabled{day}")))
            }
            ("DISABLED_UPDATE" | "ACCOUNT_DISABLE" | "ACCOUNT_DISABLED", _) | (_, "DISABLE") => {
                ("account_ban", Severity::Stop, account("disabled"))
            }
            ("ACCOUNT_REINSTATE" | "ACCOUNT_REINSTATED", _) => {
                ("account_ban", Severity::Good, account("reinstated"))
            }
            ("ACCOUNT_RESTRICTION", _) => {
                ("account_restriction", Severity::Warning, account("restricted"))
            }
            (event, _) if is_lifted(event) => {
                return self.lifted();
            }
            ("ACCOUNT_VIOLATION", _) => {
                let kind = detail(&value["violation_info"]["violation_type"]);
                ("account_violation", Severity::Warning, account(&format!("a violation{kind}")))
            }
            ("ACCOUNT_DELETED", _) => ("account_link", Severity::Stop, account("deleted")),
            ("ACCOUNT_OFFBOARDED" | "PARTNER_REMOVED" | "PARTNER_APP_UNINSTALLED", _) => {
                ("account_link", Severity::Warning, account(&readable(&event)))
            }
            ("ACCOUNT_RECONNECTED" | "PARTNER_ADDED" | "PARTNER_APP_INSTALLED", _) => {
                ("account_link", Severity::Good, account(&readable(&event)))
            }
            ("VOLUME_BASED_PRICING_TIER_UPDATE", _) => return vec![self.price_tier()],
            ("VERIFIED_ACCOUNT", _) => {
                ("account_verification", Severity::Good, account("verified"))
            }
            (event, _) => {
                let key = format!("account_event:{event}");
                return vec![self.notice(key, Severity::Info, &account(&readable(event)))];
            }
        };
        vec![self.notice(key.to_owned(), severity, &what)]
    }

    /// One notice a restriction: each has its own end.
    fn restrictions(&self) -> Vec<Incoming> {
        let one = |info: &Value| {
            let kind = word(&info["restriction_type"]);
            let until = instant(&info["expiration"]);
            let day = until.map(|until| format!(" until {}", until.format("%Y-%m-%d %H:%M UTC")));
            let what = format!("the account: {}{}", readable(&kind), day.unwrap_or_default());
            let (key, severity) = match kind.as_str() {
                "" => ("account_restriction".to_owned(), Severity::Warning),
                "RESTRICTED_BIZ_INITIATED_MESSAGING" => {
                    (format!("account_restriction:{kind}"), Severity::Stop)
                }
                _ => (format!("account_restriction:{kind}"), Severity::Warning),
            };
            self.until(key, severity, &what, until)
        };
        match &self.value["restriction_info"] {
            Value::Array(infos) if infos.is_empty() => self.lifted(),
            Value::Array(infos) => infos.iter().take(RESTRICTIONS_MAX).map(one).collect(),
            info @ Value::Object(_) => vec![one(info)],
            _ => Vec::new(),
        }
    }

    /// Good news of every restriction that stops or warns.
    fn lifted(&self) -> Vec<Incoming> {
        let kinds = [
            "",
            ":RESTRICTED_BIZ_INITIATED_MESSAGING",
            ":RESTRICTED_CUSTOMER_INITIATED_MESSAGING",
            ":RESTRICTED_ADD_PHONE_NUMBER_ACTION",
            ":RESTRICTED_UTILITY_TEMPLATES",
            ":RESTRICTED_DIRECT_SEND_UTILITY_TEMPLATES",
        ];
        let good = |kind: &&str| {
            let key = format!("account_restriction{kind}");
            self.notice(key, Severity::Good, "the account: restrictions are lifted")
        };
        kinds.iter().map(good).collect()
    }

    fn price_tier(&self) -> Incoming {
        let info = &self.value["volume_tier_info"];
        let text = |key: &str| Code::clean(info[key].as_str().unwrap_or_default());
        let (category, region, tier) = (text("pricing_category"), text("region"), text("tier"));
        let what = format!("price tier of {category} in {region} is {tier}");
        self.notice(format!("price_tier:{category}:{region}"), Severity::Info, &what)
    }

    fn alert(&self) -> Vec<Incoming> {
        let value = self.value;
        // told within alert_info, or beside it by older versions
        let info = if value["alert_info"].is_object() { &value["alert_info"] } else { value };
        let kind = word(&info["alert_type"]);
        if kind.is_empty() {
            return Vec::new();
        }
        let entity = word(&value["entity_type"]);
        let id = match &value["entity_id"] {
            Value::Number(id) => id.to_string(),
            id => Code::clean(id.as_str().unwrap_or_default()).as_str().to_owned(),
        };
        let severity = match (word(&info["alert_status"]).as_str(), kind.as_str()) {
            ("RESOLVED" | "NONE" | "INACTIVE" | "CLOSED", _) => Severity::Good,
            (_, kind) if kind.ends_with("_APPROVED") => Severity::Good,
            _ => match word(&info["alert_severity"]).as_str() {
                "INFORMATIONAL" | "INFO" => Severity::Info,
                _ => Severity::Warning,
            },
        };
        // an approval answers the denial of the same matter
        let matter = ["_APPROVED", "_REJECTED", "_DENIED", "_DEFERRED", "_FAILED"];
        let matter = matter.iter().find_map(|end| kind.strip_suffix(end)).unwrap_or(&kind);
        let what = format!("{} {id}: {}", readable(&entity), readable(&kind));
        vec![self.notice(format!("alert:{entity}:{id}:{matter}"), severity, &what)]
    }

    fn account_review(&self) -> Vec<Incoming> {
        let decision = word(&self.value["decision"]);
        let severity = match decision.as_str() {
            "" => return Vec::new(),
            "APPROVED" => Severity::Good,
            "PENDING" | "DEFERRED" => Severity::Info,
            _ => Severity::Warning,
        };
        let what = format!("review of the account: {}", readable(&decision));
        vec![self.notice("account_review".to_owned(), severity, &what)]
    }

    fn security(&self) -> Vec<Incoming> {
        let event = word(&self.value["event"]);
        if event.is_empty() {
            return Vec::new();
        }
        let number = self.number();
        let what = format!("number {number}: {}", readable(&event));
        vec![self.notice(format!("security:{number}:{event}"), Severity::Warning, &what)]
    }
}

/// The longest name of a template, in bytes; the vendor allows 512 characters, and no table needs
/// them.
const TEMPLATE_NAME_MAX: usize = 200;
/// The most restrictions of one post that are read.
const RESTRICTIONS_MAX: usize = 20;

fn is_lifted(event: &str) -> bool {
    ["UNRESTRICT", "RESTRICTION_LIFTED", "RESTRICTION_REMOVED", "RESTRICTION_EXPIRED"]
        .iter()
        .any(|lifted| event.contains(lifted))
}

/// The size of a tier such as `TIER_10K`.
fn tier_size(tier: &str) -> Option<u32> {
    let size = tier.strip_prefix("TIER_")?;
    match size.strip_suffix('K') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1000),
        None => size.parse().ok(),
    }
}
