//! An endpoint that is told what people write.

use url::Url;

use super::Secret;

/// An endpoint of the user's own that is told what people write.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Where to.
    pub url: Url,
    /// Signs what is posted.
    pub secret: Secret,
}

pub(super) fn check_inbound(
    key: &str,
    url: Option<&str>,
    secret: Option<&Secret>,
    wrong: &mut Vec<String>,
) -> Option<Inbound> {
    match (url, secret) {
        (None, None) => None,
        (Some(url), Some(secret)) => match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {
                Some(Inbound { url: parsed, secret: secret.clone() })
            }
            _ => {
                wrong.push(format!("{key}.inbound_url: it is not an http:// or https:// address"));
                None
            }
        },
        _ => {
            wrong.push(format!("{key}.inbound_url: it needs inbound_secret beside it, and back"));
            None
        }
    }
}
