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

/// The URL without what may be secret: neither name and password nor parameters, of which one can
/// be a password.
pub(super) fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "of unknown kind".to_owned() };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    // a password may hold any character: the host comes after the last @
    let rest =
        rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::shown_url;

    #[test]
    fn a_printed_url_holds_no_password() {
        for (url, shown) in [
            ("postgres://user:pass@host:5432/db", "postgres://…@host:5432/db"),
            ("postgres://user:p@ss?w#rd@host/db", "postgres://…@host/db"),
            ("postgres://host/db?user=u&password=pass", "postgres://host/db"),
            ("postgres://user@host/db?password=a@b", "postgres://…@b"),
            ("sqlite://a@b?.db", "sqlite://a@b?.db"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
