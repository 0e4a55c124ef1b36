//! Templates as a channel's account has them: approved texts with places for parameters.

use serde::{Deserialize, Serialize};

use super::campaign::Variant;
use super::content::{Category, Media};
use super::recipient::Locale;

/// A template of an account, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTemplate {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: Locale,
    /// Whether it can be sent; else the channel's word for what it is, such as `paused`.
    pub status: TemplateStatus,
    /// Its category, where that is one that is known.
    pub category: Option<Category>,
    /// What stands above the text.
    pub header: TemplateHeader,
    /// The text.
    pub body: String,
    /// What stands below it.
    pub footer: String,
    /// What buttons show.
    pub buttons: Vec<String>,
    /// Whether a button has a place for a parameter of its own.
    pub has_button_parameter: bool,
}

/// Whether a template can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateStatus {
    /// It can.
    Approved,
    /// It cannot, in the channel's word.
    Other(String),
}

/// What stands above a template's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateHeader {
    /// Nothing.
    None,
    /// Words, with a place for a parameter or without.
    Text(String),
    /// A picture, a film or a document.
    Media(Media),
    /// Something else, in the channel's word.
    Other(String),
}

impl AccountTemplate {
    /// The text with parameters in their places, in the order in which the places first come.
    pub fn filled(&self, parameters: &[String]) -> String {
        fill(&self.body, parameters)
    }

    /// The words above the text with their parameter; `None` where there are none.
    pub fn filled_header(&self, parameter: Option<&str>) -> Option<String> {
        let TemplateHeader::Text(text) = &self.header else { return None };
        Some(fill(text, parameter.map(str::to_owned).as_slice()))
    }

    /// Why a campaign's variant cannot be sent with it, or costs or needs more than the file says.
    pub fn problems(&self, variant: &Variant, category: Category) -> Vec<String> {
        let mut found = Vec::new();
        if let TemplateStatus::Other(word) = &self.status {
            found.push(format!("is {word} in the account"));
        }
        match (self.category, category) {
            (Some(Category::Marketing), Category::Utility) => found.push(
                "is marketing in the account: it costs more and needs consent to marketing; the \
                 campaign says utility"
                    .to_owned(),
            ),
            (Some(known), _) if known != category => {
                found.push(format!("is {known} in the account; the campaign says {category}"));
            }
            _ => {}
        }
        let wanted = places(&self.body).len();
        let given = variant.parameters.len();
        if wanted != given {
            found.push(format!("takes {wanted} parameters, not {given}"));
        }
        let media = variant.content.media;
        match &self.header {
            TemplateHeader::Media(own) if *own != media => {
                found.push(format!("has a header of {own}; the variant is {media}"));
            }
            TemplateHeader::None | TemplateHeader::Text(_) if media != Media::Text => {
                found.push(format!("has no header of {media}, which the variant is"));
            }
            TemplateHeader::Other(word) => {
                found.push(format!("has a header of {word}, which is not sent"));
            }
            _ => {}
        }
        let places_above = match &self.header {
            TemplateHeader::Text(text) => places(text).len(),
            _ => 0,
        };
        match (places_above, &variant.header) {
            (0, Some(_)) => found.push("takes no parameter in its header".to_owned()),
            (1.., None) => {
                found.push("takes a parameter in its header; name it as header".to_owned());
            }
            _ => {}
        }
        if self.has_button_parameter {
            found.push("has a button that takes a parameter, which is not sent".to_owned());
        }
        found
    }
}

/// The places for parameters of a text, each once, in the order in which they first come: `1` of `{{1}}`.
pub fn places(text: &str) -> Vec<&str> {
    let mut places = Vec::new();
    for (_, place) in pieces(text) {
        if let Some(place) = place
            && !places.contains(&place)
        {
            places.push(place);
        }
    }
    places
}

fn fill(text: &str, parameters: &[String]) -> String {
    let places = places(text);
    let mut filled = String::new();
    for (words, place) in pieces(text) {
        filled.push_str(words);
        let Some(place) = place else { continue };
        // numbered places have their number, named ones their order
        let order = places.iter().position(|other| *other == place).unwrap_or_default();
        let index = place.parse::<usize>().map_or(order, |number| number.saturating_sub(1));
        match parameters.get(index) {
            Some(parameter) => filled.push_str(parameter),
            None => filled.push_str(&format!("{{{{{place}}}}}")),
        }
    }
    filled
}

/// A text in pieces: words, and the place that follows them.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        let Some((words, after)) = now.split_once("{{") else {
            rest = None;
            return Some((now, None));
        };
        let closed = after.split_once("}}");
        rest = closed.map(|(_, more)| more);
        Some(closed.map_or((now, None), |(place, _)| (words, Some(place.trim()))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::campaign::Campaign;

    fn template() -> AccountTemplate {
        AccountTemplate {
            name: "spring".to_owned(),
            language: "pt_BR".parse().unwrap(),
            status: TemplateStatus::Approved,
            category: Some(Category::Marketing),
            header: TemplateHeader::None,
            body: "Oi {{1}}, veja {{ 2 }}. {{1}}!".to_owned(),
            footer: String::new(),
            buttons: Vec::new(),
            has_button_parameter: false,
        }
    }

    fn problems(template: &AccountTemplate, category: &str, variant: &str) -> Vec<String> {
        let text = format!(
            "name = \"a\"\nprovider = \"wa\"\ncategory = \"{category}\"\n[window]\n\
             start = 2027-01-01T00:00:00\nend = 2027-01-02T00:00:00\n[[variant]]\nname = \"v\"\n\
             template = \"spring\"\n{variant}"
        );
        let campaign = Campaign::from_toml(&text).unwrap();
        template.problems(&campaign.variants[0], campaign.category)
    }

    const FITS: &str = "media = \"text\"\nparameters = [\"a\", \"b\"]\n";

    #[test]
    fn a_template_is_filled_where_its_places_are() {
        let filled = template().filled(&["Ana".to_owned(), "isto".to_owned()]);
        assert_eq!(filled, "Oi Ana, veja isto. Ana!");
        assert_eq!(template().filled(&[]), "Oi {{1}}, veja {{2}}. {{1}}!");
        let named = AccountTemplate { body: "{{who}} e {{what}} {{".to_owned(), ..template() };
        assert_eq!(named.filled(&["A".to_owned(), "B".to_owned()]), "A e B {{");
        let header = TemplateHeader::Text("Para {{1}}".to_owned());
        let headed = AccountTemplate { header, ..template() };
        assert_eq!(headed.filled_header(Some("Ana")).unwrap(), "Para Ana");
    }

    #[test]
    fn what_does_not_fit_is_told_before_launch() {
        assert_eq!(problems(&template(), "marketing", FITS), Vec::<String>::new());
        let told = |template: AccountTemplate, category, variant| {
            problems(&template, category, variant).join("; ")
        };
        let paused = TemplateStatus::Other("paused".to_owned());
        let paused = AccountTemplate { status: paused, ..template() };
        assert_eq!(told(paused, "marketing", FITS), "is paused in the account");
        assert!(told(template(), "utility", FITS).contains("costs more and needs consent"));
        let utility = AccountTemplate { category: Some(Category::Utility), ..template() };
        let words = "is utility in the account; the campaign says marketing";
        assert_eq!(told(utility, "marketing", FITS), words);
        let one = "media = \"text\"\nparameters = [\"a\"]\n";
        assert_eq!(told(template(), "marketing", one), "takes 2 parameters, not 1");
        let film = "media = \"video\"\nmedia_url = \"https://a.example/b.mp4\"\n\
                    parameters = [\"a\", \"b\"]\n";
        let none = "has no header of video, which the variant is";
        assert_eq!(told(template(), "marketing", film), none);
        let picture = TemplateHeader::Media(Media::Image);
        let picture = AccountTemplate { header: picture, ..template() };
        let other = "has a header of image; the variant is video";
        assert_eq!(told(picture.clone(), "marketing", film), other);
        assert!(told(picture, "marketing", FITS).contains("the variant is text"));
        let header = TemplateHeader::Text("Para {{1}}".to_owned());
        let headed = AccountTemplate { header, ..template() };
        assert!(told(headed, "marketing", FITS).contains("name it as header"));
        let button = AccountTemplate { has_button_parameter: true, ..template() };
        assert!(told(button, "marketing", FITS).contains("has a button that takes"));
    }
}
