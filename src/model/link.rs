//! Who comes by a link: a person, or a machine that is none.

use super::content::word_type;

word_type! {
    /// Why a visit is no click.
    Uncounted, "uncounted", "one of head, prefetch, preview, crawler, program" {
        /// Only the headers were asked for.
        Head = "head",
        /// A browser looked ahead.
        Prefetch = "prefetch",
        /// A chat or a mail program made a picture of the page.
        Preview = "preview",
        /// A search engine, a scanner or another robot that says so.
        Crawler = "crawler",
        /// It does not say that it is a browser.
        Program = "program",
    }
}

/// What fetches pages for previews in chats and mail, as it names itself. Sources: the vendors' pages on
/// link previews.
const PREVIEWS: [&str; 12] = [
    "whatsapp/",
    "facebookexternalhit",
    "facebot",
    "telegrambot",
    "twitterbot",
    "slackbot",
    "linkedinbot",
    "discordbot",
    "skypeuripreview",
    "microsoftpreview",
    "pinterest/0",
    "viber",
];
/// What robots that say so have in their names.
const CRAWLERS: [&str; 12] = [
    "bot",
    "crawler",
    "spider",
    "scanner",
    "slurp",
    "google-safety",
    "googleimageproxy",
    "barracuda",
    "proofpoint",
    "headlesschrome",
    "lighthouse",
    "monitor",
];

/// Why a visit is no click; `None` where a person may have made it. `header` gives a header by its name.
pub fn uncounted<'h>(method: &str, header: impl Fn(&str) -> Option<&'h str>) -> Option<Uncounted> {
    if method.eq_ignore_ascii_case("HEAD") {
        return Some(Uncounted::Head);
    }
    let purposes = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
    for purpose in purposes.iter().filter_map(|name| header(name)) {
        let purpose = purpose.to_ascii_lowercase();
        if purpose.contains("prefetch") || purpose.contains("prerender") {
            return Some(Uncounted::Prefetch);
        }
        if purpose.contains("preview") {
            return Some(Uncounted::Preview);
        }
    }
    let agent = header("user-agent").unwrap_or_default().to_ascii_lowercase();
    let names = |list: &[&str]| list.iter().any(|name| agent.contains(name));
    if names(&PREVIEWS) {
        return Some(Uncounted::Preview);
    }
    if names(&CRAWLERS) {
        return Some(Uncounted::Crawler);
    }
    (!agent.starts_with("mozilla/")).then_some(Uncounted::Program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_and_machines_do_not() {
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
            (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
        let of = |method: &str, headers: &[(&str, &'static str)]| {
            uncounted(method, |name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v))
        };
        let agent = |agent: &'static str| of("GET", &[("user-agent", agent)]);
        assert_eq!(agent(phone), None);
        assert_eq!(of("HEAD", &[("user-agent", phone)]), Some(Uncounted::Head));
        let ahead = [("user-agent", phone), ("sec-purpose", "prefetch;prerender")];
        assert_eq!(of("GET", &ahead), Some(Uncounted::Prefetch));
        let preview = [("user-agent", phone), ("x-purpose", "preview")];
        assert_eq!(of("GET", &preview), Some(Uncounted::Preview));
        assert_eq!(agent("WhatsApp/2.24.9.78 A"), Some(Uncounted::Preview));
        assert_eq!(
            agent("facebookexternalhit/1.1 (+http://www.facebook.com/)"),
            Some(Uncounted::Preview)
        );
        let google = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert_eq!(agent(google), Some(Uncounted::Crawler));
        assert_eq!(agent("curl/8.5.0"), Some(Uncounted::Program));
        assert_eq!(of("GET", &[]), Some(Uncounted::Program));
    }
}
