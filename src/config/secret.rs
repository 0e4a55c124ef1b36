//! Secrets: where they are kept, and their values.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// Where a secret is kept. Its value is read when it is needed and never printed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    /// In an environment variable.
    Env(String),
    /// In a file, whose surrounding blanks are cut off.
    File(PathBuf),
    /// In a file of this name that a service manager lends (systemd's `LoadCredential`).
    Credential(String),
}

/// Where a service manager puts what it lends.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

impl Secret {
    /// Reads the secret.
    pub fn read(&self) -> Result<SecretValue, ConfigError> {
        let (from, value) = match self {
            Self::Env(name) => (format!("the variable {name}"), std::env::var(name).ok()),
            Self::File(path) => {
                (format!("the file {}", path.display()), std::fs::read_to_string(path).ok())
            }
            Self::Credential(name) => {
                // a name and no path: nothing but what was lent is read
                let is_name = !name.is_empty() && !name.contains('/') && name != "..";
                let folder = std::env::var_os(CREDENTIALS).filter(|_| is_name).map(PathBuf::from);
                let value = folder.and_then(|lent| std::fs::read_to_string(lent.join(name)).ok());
                (format!("the credential {name} in {CREDENTIALS}"), value)
            }
        };
        let value = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        value.map(SecretValue).ok_or(ConfigError::Secret { from })
    }
}

/// A secret's value, which no formatter shows.
#[derive(Clone)]
pub struct SecretValue(String);

impl SecretValue {
    /// Holds `value`.
    pub fn new(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// The bytes, for the one who signs with them.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
