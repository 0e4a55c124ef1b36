//! Each variant and translation of a campaign as it will read.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Ctx, templates};
use crate::config::ProviderKind;
use crate::model::campaign::{Campaign, Rendered, Variant};
use crate::model::content::Media;
use crate::model::ids::Name;
use crate::model::recipient::Recipient;
use crate::provider::fitted;
use crate::store::StoreError;

/// A variant as it will read.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// Its name.
    pub variant: Name,
    /// The language of this translation.
    pub language: Option<String>,
    /// Whether it is one that the person would be sent.
    pub fits: bool,
    /// Its medium.
    pub media: Media,
    /// Where the picture or film lies.
    pub media_url: Option<String>,
    /// How the provider knows it.
    pub template: Option<String>,
    /// The line above the text.
    pub header: Option<String>,
    /// The text; of a template that the account is known to have, its own.
    pub text: Option<String>,
    /// What stands below the text.
    pub footer: Option<String>,
    /// What buttons show.
    pub buttons: Vec<String>,
    /// The template's parameters.
    pub parameters: Vec<String>,
    /// Why it cannot be sent to the person.
    pub problem: Option<String>,
}

/// A variant's texts as a channel takes them, with a person's attributes; for nobody, what would be filled
/// in stays as the file has it. Else why they cannot be sent.
pub(super) fn rendered(
    kind: Option<&ProviderKind>,
    variant: &Variant,
    person: Option<&Recipient>,
) -> Result<Rendered, String> {
    let open = || {
        let open = variant.attributes().filter(|name| !variant.defaults.contains_key(*name));
        open.map(|name| (name.to_owned(), format!("{{{{{name}}}}}"))).collect()
    };
    let attributes: BTreeMap<String, String> =
        person.map_or_else(open, |person| person.profile.attributes.clone());
    let rendered = variant.render(&attributes, str::to_owned);
    let rendered = rendered.map_err(|missing| missing.to_string())?;
    match kind {
        Some(kind) => fitted(kind, rendered).map_err(|unfit| unfit.to_string()),
        None => Ok(rendered),
    }
}

/// Renders every variant for a person; for nobody, what would be filled in stays as the file has it.
pub async fn of(
    ctx: &Ctx,
    campaign: &Campaign,
    person: Option<&Recipient>,
) -> Result<Vec<Preview>, StoreError> {
    let known = templates::known(ctx, &campaign.provider).await?;
    let fitting = person.map(|person| campaign.variants_for(person.profile.locale.as_ref()));
    let render = |(index, variant): (usize, &Variant)| {
        let kind = ctx.config.providers.get(&campaign.provider).map(|provider| &provider.kind);
        let rendered = rendered(kind, variant, person);
        let mut preview = Preview {
            variant: variant.name.clone(),
            language: variant.language.as_ref().map(ToString::to_string),
            fits: fitting.as_ref().is_none_or(|fitting| fitting.contains(&index)),
            media: variant.content.media,
            media_url: variant.media_url.clone(),
            template: variant.template.clone(),
            header: None,
            text: None,
            footer: None,
            buttons: Vec::new(),
            parameters: Vec::new(),
            problem: None,
        };
        match rendered {
            Ok(rendered) => {
                preview.header = rendered.header;
                preview.text = rendered.text;
                preview.parameters = rendered.parameters;
                let template = known.as_ref().and_then(|known| known.of(campaign, variant));
                if let Some(template) = template {
                    preview.header = template.filled_header(preview.header.as_deref());
                    preview.text = Some(template.filled(&preview.parameters));
                    preview.footer =
                        Some(template.footer.clone()).filter(|footer| !footer.is_empty());
                    preview.buttons.clone_from(&template.buttons);
                }
            }
            Err(problem) => preview.problem = Some(problem),
        }
        preview
    };
    Ok(campaign.variants.iter().enumerate().map(render).collect())
}
