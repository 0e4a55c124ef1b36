//! The access token: asked for once and kept until shortly before it ends.
//!
//! The stable kind is the same for everybody who asks, so that several daemons do not take it from each other.

use std::time::{Duration, Instant as Stopwatch};

use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::config::SecretValue;
use crate::provider::answer;

/// A token is renewed so long before its end.
const MARGIN: Duration = Duration::from_mins(5);

/// The account's tokens.
pub(super) struct AccessTokens {
    client: reqwest::Client,
    url: String,
    app_id: String,
    secret: SecretValue,
    kept: Mutex<Option<(String, Stopwatch)>>,
}

/// Why there is none.
pub(super) enum NoToken {
    /// The channel's code.
    Code(i64),
    /// Nobody answered, or not so that it can be read. Nothing was sent.
    Lost,
}

#[derive(Deserialize)]
struct Told {
    access_token: Option<String>,
    expires_in: Option<u64>,
    errcode: Option<i64>,
}

impl AccessTokens {
    pub(super) fn new(
        client: reqwest::Client,
        base_url: &str,
        app_id: &str,
        secret: SecretValue,
    ) -> Self {
        let url = format!("{base_url}/cgi-bin/stable_token");
        Self { client, url, app_id: app_id.to_owned(), secret, kept: Mutex::default() }
    }

    /// The token that is kept, else a new one; one that the channel did not take is not given again.
    pub(super) async fn token(&self, stale: Option<&str>) -> Result<String, NoToken> {
        // whoever waits here gets the one that is being asked for
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = &*kept
            && Stopwatch::now() < *until
            && stale != Some(token.as_str())
        {
            return Ok(token.clone());
        }
        let body = json!({
            "grant_type": "client_credential",
            "appid": self.app_id,
            "secret": self.secret.expose(),
            // the token that holds, which another may have renewed meanwhile
            "force_refresh": false,
        });
        let answer = self.client.post(&self.url).json(&body).send().await;
        let answer = answer.map_err(|_| NoToken::Lost)?;
        let body = answer::body(answer).await.ok_or(NoToken::Lost)?;
        let told: Told = serde_json::from_slice(&body).map_err(|_| NoToken::Lost)?;
        let Some(token) = told.access_token else {
            return Err(told.errcode.map_or(NoToken::Lost, NoToken::Code));
        };
        let lasts = Duration::from_secs(told.expires_in.unwrap_or(7200));
        *kept = Some((token.clone(), Stopwatch::now() + lasts.saturating_sub(MARGIN)));
        Ok(token)
    }
}
