//! Whether a campaign has what its channel sends: mails, and what Messenger and WeChat take.

use super::Ctx;
use crate::config::{ProviderKind, SmtpSettings};
use crate::model::campaign::Campaign;
use crate::model::content::Category;
use crate::provider::mail_problem;

/// What a campaign lacks for its channel, with the key, if anything.
pub(super) fn check(ctx: &Ctx, campaign: &Campaign) -> Result<(), String> {
    match &ctx.config.providers[&campaign.provider].kind {
        ProviderKind::Smtp(settings) => fits_mail(campaign, settings, ctx.config.links.is_some()),
        ProviderKind::Messenger(of) => fits_messenger(campaign, of.marketing.is_some()),
        ProviderKind::WeChat(_) => fits_wechat(campaign),
        _ => Ok(()),
    }
}

/// What is allowed and probably not meant.
pub(super) fn warning(ctx: &Ctx, campaign: &Campaign) -> Option<String> {
    let kind = &ctx.config.providers[&campaign.provider].kind;
    let no_way_out = kind.has_way_out() && ctx.config.links.is_none();
    let is_marketing = campaign.category == Category::Marketing;
    (no_way_out && is_marketing).then(|| {
        "the settings have no [links]: its mails carry no List-Unsubscribe, without which large mailbox \
         services take no marketing"
            .to_owned()
    })
}

/// Whether every variant is a mail.
fn fits_mail(campaign: &Campaign, settings: &SmtpSettings, has_links: bool) -> Result<(), String> {
    for variant in &campaign.variants {
        let language = campaign.language_of(variant);
        if let Some(problem) = mail_problem(settings, variant, language, has_links) {
            return Err(format!("variant {}: {problem}", variant.name));
        }
    }
    Ok(())
}

/// Whether every variant can go by a right that Messenger knows: utility by a template, marketing by a
/// subscription, either within a day of the person's word.
fn fits_messenger(campaign: &Campaign, has_account: bool) -> Result<(), String> {
    let is_marketing = campaign.category == Category::Marketing;
    if is_marketing && campaign.topic.is_none() && !campaign.free_form {
        let told = "topic: it is missing; marketing goes to who subscribed to a subject, or with \
                    free_form = true to who wrote within a day";
        return Err(told.to_owned());
    }
    if is_marketing && campaign.topic.is_some() && !has_account {
        let provider = &campaign.provider;
        let told = "marketing by subscription needs ad_account and message_campaign";
        return Err(format!("topic: {told} in [provider.{provider}]"));
    }
    for variant in &campaign.variants {
        let has_content = variant.text.is_some() || variant.media_url.is_some();
        let by_template = variant.template.is_some() && !is_marketing;
        if !by_template && !(has_content && (is_marketing || campaign.free_form)) {
            let told = if is_marketing {
                "text: it is missing; marketing goes without a template"
            } else {
                "template: it is missing; name the approved utility template"
            };
            return Err(format!("variant {}: {told}", variant.name));
        }
    }
    Ok(())
}

/// Whether every variant has what WeChat sends: a template whose values are named, or an answer.
fn fits_wechat(campaign: &Campaign) -> Result<(), String> {
    for variant in &campaign.variants {
        let named = variant.parameters.iter().all(|parameter| {
            let name = parameter.begins_with().split_once('=').map(|(name, _)| name);
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            name.is_some_and(|name| !name.is_empty() && name.chars().all(is_name))
        });
        let problem = if variant.template.is_none() && !campaign.free_form {
            "template: it is missing; name the template's id"
        } else if variant.text.is_none() && campaign.free_form {
            "text: it is missing; it is what people are answered"
        } else if !named {
            "parameters: each begins with the name of its value, such as thing1={{name}}"
        } else {
            continue;
        };
        return Err(format!("variant {}: {problem}", variant.name));
    }
    Ok(())
}
