//! Templates of mails: files `NAME.LANGUAGE.txt` and `NAME.LANGUAGE.html` of a folder, or without the
//! language for every one.
//!
//! In them `{{1}}`, `{{2}}`, … stand for the variant's parameters, `{{unsubscribe}}` for the address under
//! which the person says that they want no more, `{{media}}` for the variant's picture. What is put into
//! HTML is escaped.

use std::fmt;
use std::path::{Path, PathBuf};

/// The largest file.
const FILE_MAX: u64 = 256 * 1024;

/// The texts of a template in one language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
}

/// What is put into a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) parameters: &'a [String],
    pub(super) unsubscribe: Option<&'a str>,
    pub(super) media: Option<&'a str>,
}

/// Why a template cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable(String);

impl Unusable {
    pub(super) fn new(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The texts of a template in a language, each from the file of that language, else from the one of none.
pub(super) fn read(folder: &Path, name: &str, language: Option<&str>) -> Result<Texts, Unusable> {
    // it names a file of the folder and no other
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Unusable(format!("template {name:?} is no name of a file")));
    }
    let find = |extension: &str| {
        let named = language.map(|language| folder.join(format!("{name}.{language}.{extension}")));
        let plain = folder.join(format!("{name}.{extension}"));
        let found = named.into_iter().chain([plain]).find(|path| path.is_file());
        found.map(|path| read_file(&path)).transpose()
    };
    let texts = Texts { text: find("txt")?, html: find("html")? };
    if texts == Texts::default() {
        let language = language.map_or(String::new(), |language| format!(".{language}"));
        let folder = folder.display();
        return Err(Unusable(format!(
            "template {name}: {folder} holds neither {name}{language}.html nor \
             {name}{language}.txt, nor one without language"
        )));
    }
    Ok(texts)
}

fn read_file(path: &PathBuf) -> Result<String, Unusable> {
    let told = |what: &dyn fmt::Display| Unusable(format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| told(&error))?.len();
    if length > FILE_MAX {
        return Err(told(&format_args!("it is larger than {FILE_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| told(&error))
}

/// A template with values in it; `escaped` in HTML.
pub(super) fn fill(template: &str, values: Values<'_>, is_html: bool) -> Result<String, Unusable> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after
            .split_once("}}")
            .ok_or_else(|| Unusable("{{ is never closed by }}".to_owned()))?;
        filled.push_str(before);
        let name = name.trim();
        let value = match name {
            "unsubscribe" => values.unsubscribe.ok_or_else(|| {
                Unusable("{{unsubscribe}} needs [links] in the settings".to_owned())
            })?,
            "media" => values
                .media
                .ok_or_else(|| Unusable("{{media}} needs media_url in the variant".to_owned()))?,
            number => {
                let number = number.parse::<usize>().ok().filter(|number| *number > 0);
                let value = number.and_then(|number| values.parameters.get(number - 1));
                value.ok_or_else(|| {
                    let shown: String = name.chars().take(40).collect();
                    let count = values.parameters.len();
                    Unusable(format!(
                        "{{{{{shown}}}}} is neither unsubscribe, media nor one of the variant's \
                         {count} parameters, counted from 1"
                    ))
                })?
            }
        };
        if is_html {
            escape(value, &mut filled);
        } else {
            filled.push_str(value);
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_and_escaped_in_html_alone() {
        let parameters = ["<b>&\"Ana\"".to_owned(), "2".to_owned()];
        let values =
            Values { parameters: &parameters, unsubscribe: Some("https://l/u/a&b"), media: None };
        let fill = |text: &str, is_html| fill(text, values, is_html).map_err(|e| e.to_string());
        assert_eq!(fill("Oi {{1}} {{ 2 }}", false).unwrap(), "Oi <b>&\"Ana\" 2");
        assert_eq!(fill("Oi {{1}}", true).unwrap(), "Oi &lt;b&gt;&amp;&quot;Ana&quot;");
        assert_eq!(fill("{{unsubscribe}}", true).unwrap(), "https://l/u/a&amp;b");
        for text in ["{{3}}", "{{0}}", "{{name}}", "{{1", "{{media}}", "{{-1}}"] {
            assert!(fill(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_of_the_language_comes_before_one_for_all_and_none_lies_elsewhere() {
        let dir = tempfile::TempDir::new().unwrap();
        for (name, text) in [("a.pt_BR.html", "br"), ("a.html", "all"), ("a.txt", "words")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let read = |name: &str, language| read(dir.path(), name, language);
        let texts = |text: &str, html: &str| {
            Ok(Texts { text: Some(text.to_owned()), html: Some(html.to_owned()) })
        };
        assert_eq!(read("a", Some("pt_BR")), texts("words", "br"));
        assert_eq!(read("a", Some("en")), texts("words", "all"));
        assert_eq!(read("a", None), texts("words", "all"));
        for name in ["b", "../a", "/etc/passwd", ".", ""] {
            assert!(read(name, None).is_err(), "{name}");
        }
    }
}
