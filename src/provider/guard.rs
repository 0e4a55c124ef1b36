//! Calls to addresses that people wrote into files: media to fetch, endpoints to tell.
//!
//! Only hosts on the allow-list are called, and none that lies in a private network unless the
//! settings say so. Names are looked up here, and what they lead to is checked before anything is
//! connected, so that a name cannot point elsewhere afterwards; redirects are not followed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::{Host, Url};

use super::http::signature;
use crate::config::{Outbound, SecretValue};

/// Of one word to an endpoint of the user's own. A daemon that stops waits for it.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Of fetching a file: 100 MiB at 1 MiB a second, and some.
const FETCH_TIMEOUT: Duration = Duration::from_mins(2);
/// Of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Why an address was not called, or what went wrong there.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The settings do not allow the host.
    #[error("the host is not in outbound.allow_hosts")]
    NotAllowed,
    /// It leads into a private network.
    #[error("the host lies in a private network; see outbound.allow_private")]
    Private,
    /// The call went wrong.
    #[error("the call failed")]
    Call(#[from] reqwest::Error),
    /// The answer was not a success.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The answer is too large.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
    /// The file could not be kept.
    #[error("it could not be written to disk")]
    Disk(#[source] std::io::Error),
}

/// Calls what the settings allow.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    client: reqwest::Client,
    outbound: Outbound,
}

impl Guard {
    pub(super) fn new(outbound: &Outbound) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(Lookup { allow_private: outbound.allow_private });
        let client = reqwest::Client::builder()
            .timeout(TELL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            // a proxy would connect on our behalf, past every check
            .no_proxy()
            .dns_resolver(resolver)
            .build()
            .expect("a client without files or certificates of its own can be built");
        Self { client, outbound: outbound.clone() }
    }

    /// Whether the settings allow an address at all; what its name leads to is seen at the call.
    pub(super) fn check(&self, url: &Url) -> Result<(), FetchError> {
        let name = url.host_str().unwrap_or_default();
        if !self.outbound.allow_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
            return Err(FetchError::NotAllowed);
        }
        // a literal address is never looked up
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(|ip| !is_public(ip)) && !self.outbound.allow_private {
            return Err(FetchError::Private);
        }
        Ok(())
    }

    /// Fetches a file of at most `most` bytes into `out`, piece by piece; its length and content
    /// type.
    pub(super) async fn fetch(
        &self,
        url: &Url,
        most: u64,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(u64, Option<String>), FetchError> {
        self.check(url)?;
        let mut answer = self.client.get(url.clone()).timeout(FETCH_TIMEOUT).send().await?;
        if !answer.status().is_success() {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        if answer.content_length().is_some_and(|length| length > most) {
            return Err(FetchError::TooLarge(most));
        }
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(str::to_owned);
        let mut length = 0;
        while let Some(chunk) = answer.chunk().await? {
            length += chunk.len() as u64;
            if length > most {
                return Err(FetchError::TooLarge(most));
            }
            out.write_all(&chunk).await.map_err(FetchError::Disk)?;
        }
        Ok((length, kind))
    }

    async fn tell(&self, url: &Url, secret: &SecretValue, body: String) -> Result<(), FetchError> {
        self.check(url)?;
        let signed = signature(secret, body.as_bytes());
        let post = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-opportune-signature", signed)
            .body(body);
        let answer = post.send().await?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(FetchError::Status(answer.status().as_u16()))
        }
    }
}

/// Tells an endpoint of the user's own what people write.
#[derive(Debug, Clone)]
pub struct Messenger {
    guard: Guard,
    url: Url,
    secret: SecretValue,
}

impl Messenger {
    /// Posts to `url`, signed with `secret`.
    pub fn new(outbound: &Outbound, url: Url, secret: SecretValue) -> Self {
        Self { guard: Guard::new(outbound), url, secret }
    }

    /// Posts a JSON text; says what went wrong, without the text.
    pub async fn tell(&self, body: String) -> Result<(), String> {
        self.guard.tell(&self.url, &self.secret, body).await.map_err(|error| error.to_string())
    }
}

/// Looks names up and drops what lies in private networks.
struct Lookup {
    allow_private: bool,
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| allow_private || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(
                    Box::new(FetchError::Private) as Box<dyn std::error::Error + Send + Sync>
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public internet: none of the special-purpose blocks of
/// RFC 6890 and its successors.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_documentation()
                || a == 0
                || a >= 240
                || a == 100 && (64..128).contains(&b)
                || (a, b, c) == (192, 0, 0)
                || a == 198 && (18..20).contains(&b))
        }
        IpAddr::V6(ip) => {
            if let Some(inner) = embedded_v4(ip) {
                return is_public(IpAddr::V4(inner));
            }
            // 2000::/3 is all that is given out; documentation lies in it
            ip.segments()[0] & 0xe000 == 0x2000 && ip.segments()[..2] != [0x2001, 0x0db8]
        }
    }
}

/// The address of the older kind that one of the newer kind stands for: mapped, NAT64 or 6to4.
fn embedded_v4(ip: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let segments = ip.segments();
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        std::net::Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_told_from_the_internet() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::",
        ];
        for ip in private {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "157.240.22.35", "2a03:2880:f003::1", "::ffff:8.8.8.8"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn neither_unlisted_nor_private_hosts_are_called() {
        let outbound = Outbound {
            allow_hosts: vec!["localhost".into(), "127.0.0.1".into()],
            allow_private: false,
        };
        let guard = Guard::new(&outbound);
        let fetch = async |url: &str| {
            guard.fetch(&Url::parse(url).unwrap(), 10, &mut Vec::new()).await.unwrap_err()
        };
        assert!(matches!(fetch("http://example.com/x").await, FetchError::NotAllowed));
        assert!(matches!(fetch("http://127.0.0.1:9/x").await, FetchError::Private));
        // the name is allowed and leads home: the lookup refuses it
        let error = fetch("http://localhost:9/x").await;
        let chain = format!("{:?}", anyhow::Error::new(error));
        assert!(chain.contains("private network"), "{chain}");
    }
}
