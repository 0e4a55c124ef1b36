//! What errors of the store tell where anybody may read it: neither passwords nor what is stored.

use super::StoreError;

impl StoreError {
    /// What went wrong, for logs and `status`: without the texts of its causes, which may hold what
    /// is stored.
    pub fn outline(&self) -> String {
        let why = match self {
            Self::Open { cause, .. } | Self::Query { cause, .. } => match cause {
                sqlx::Error::Io(_) => "no connection".to_owned(),
                sqlx::Error::PoolTimedOut => "no connection was free in time".to_owned(),
                sqlx::Error::Database(error) => {
                    format!("the database's code {}", error.code().unwrap_or_default())
                }
                _ => return self.to_string(),
            },
            _ => return self.to_string(),
        };
        format!("{self}: {why}")
    }
}
