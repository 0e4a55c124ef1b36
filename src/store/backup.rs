//! Backups: a consistent copy in a file while others write, and the way back into an empty workspace.
//!
//! A workspace in SQLite is copied by SQLite. One in PostgreSQL is dumped by PostgreSQL's own tool
//! where that is there and works, else carried into a file of SQLite. A file of SQLite can be restored
//! into either database, PostgreSQL's own form into PostgreSQL alone. Passwords reach the tools by
//! their environment, which other users do not see.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::QueryBuilder;
use url::Url;

use super::{Create, Doing, Pool, Store, StoreError, shown_url};

/// How a backup is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupForm {
    /// A database of SQLite.
    Sqlite,
    /// The custom form of `pg_dump`.
    Postgres,
}

/// Why a backup could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something in the workspace.
    #[error("the workspace {url} is not empty; a backup is restored into an empty one")]
    NotEmpty {
        /// Where, without password.
        url: String,
    },
    /// It is no backup.
    #[error("{what} is neither a database of SQLite nor a dump of pg_dump's custom form")]
    NoBackup {
        /// Which file.
        what: String,
    },
    /// Only PostgreSQL's tool reads its form.
    #[error(
        "this is a dump of PostgreSQL's own form; restore it into PostgreSQL, \
         and back that up where there is no pg_dump to get a file of SQLite"
    )]
    PostgresAlone,
    /// The tool is not there or did not work.
    #[error("pg_restore did not work: {problem}")]
    Tool {
        /// Its own words, or why it did not start.
        problem: String,
    },
    /// The file.
    #[error("could not read the backup")]
    Read(#[source] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes the workspace at `url`, which this is, to an empty file.
    pub async fn back_up(&self, url: &str, path: &Path) -> Result<BackupForm, StoreError> {
        if let Pool::Postgres(_) = &self.pool {
            if tool("pg_dump", url, &["--format=custom"], "--file", path).await.is_ok() {
                return Ok(BackupForm::Postgres);
            }
            // what a tool that did not work has left
            let emptied = File::create(path).map(drop);
            emptied.map_err(sqlx::Error::from).doing("begin the backup anew")?;
        }
        self.copy_into_empty(path).await?;
        Ok(BackupForm::Sqlite)
    }

    /// Restores a backup into the workspace at `url`, which is made where it is not there. The backup
    /// may be of an older version; the file itself is changed then, so give a copy.
    pub async fn restore(url: &str, backup: &Path) -> Result<BackupForm, RestoreError> {
        let form = form_of(backup)?;
        let postgres = !url.starts_with("sqlite://");
        if form == BackupForm::Postgres && !postgres {
            return Err(RestoreError::PostgresAlone);
        }
        let target = Self::open(url, Create::IfMissing).await?;
        if !target.is_empty().await? {
            target.close().await;
            return Err(RestoreError::NotEmpty { url: shown_url(url) });
        }
        match form {
            BackupForm::Sqlite => {
                let from = format!("sqlite://{}", backup.display());
                let source = Self::open(&from, Create::Schema).await?;
                let carried = source.carry_into(&target).await;
                source.close().await;
                target.close().await;
                carried?;
            }
            BackupForm::Postgres => {
                target.drop_tables().await?;
                target.close().await;
                let how = ["--single-transaction", "--exit-on-error"];
                let restored = tool("pg_restore", url, &how, "", backup).await;
                restored.map_err(|problem| RestoreError::Tool { problem })?;
                Self::open(url, Create::Schema).await?.close().await;
            }
        }
        Ok(form)
    }

    /// Drops the tables of a workspace that is empty, for a dump that brings its own.
    async fn drop_tables(&self) -> Result<(), StoreError> {
        const DOING: &str = "make room for the dump's tables";
        let tables = self.read().await?.tables().await?;
        let Pool::Postgres(db) = &self.pool else { return Ok(()) };
        for name in tables.iter().map(|table| table.name.as_str()).chain(["_sqlx_migrations"]) {
            let mut drop = QueryBuilder::new("DROP TABLE IF EXISTS ");
            drop.push(name).push(" CASCADE").build().execute(db).await.doing(DOING)?;
        }
        Ok(())
    }
}

fn form_of(backup: &Path) -> Result<BackupForm, RestoreError> {
    let mut head = Vec::new();
    File::open(backup)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .map_err(RestoreError::Read)?;
    match head.as_slice() {
        head if head.starts_with(b"SQLite format 3\0") => Ok(BackupForm::Sqlite),
        head if head.starts_with(b"PGDMP") => Ok(BackupForm::Postgres),
        _ => Err(RestoreError::NoBackup { what: "the file".to_owned() }),
    }
}

/// Runs one of PostgreSQL's tools on a file; its first word of an error where it does not work.
async fn tool(
    name: &'static str,
    url: &str,
    options: &[&str],
    file_option: &str,
    file: &Path,
) -> Result<(), String> {
    let (place, password) = without_password(url).ok_or("the database has no URL")?;
    let mut command = Command::new(name);
    command.args(["--no-owner", "--no-privileges", "--no-password"]).args(options);
    command.arg(format!("--dbname={place}"));
    if !file_option.is_empty() {
        command.arg(file_option);
    }
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let done = tokio::task::spawn_blocking(move || command.output()).await;
    let done = done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    // the lines after the first may hold rows
    let words = String::from_utf8_lossy(&done.stderr);
    let first: String = words.lines().next().unwrap_or_default().chars().take(200).collect();
    Err(if first.is_empty() { done.status.to_string() } else { first })
}

/// A URL that other users may see in the list of processes, and the password that was in it.
fn without_password(url: &str) -> Option<(Url, Option<String>)> {
    let mut url = Url::parse(url).ok()?;
    let mut password = url.password().map(percent_decoded);
    url.set_password(None).ok()?;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    url.set_query(None);
    for (key, value) in pairs {
        if key == "password" {
            password = Some(value);
        } else {
            url.query_pairs_mut().append_pair(&key, &value);
        }
    }
    Some((url, password))
}

fn percent_decoded(text: &str) -> String {
    // what a form's decoding would take for a blank or for two fields
    let escaped = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let decoded = url::form_urlencoded::parse(escaped.as_bytes()).next();
    decoded.map(|(text, _)| text.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_reach_the_list_of_processes() {
        for (url, place, password) in [
            ("postgres://me:a%2Bb+c@h/db", "postgres://me@h/db", Some("a+b+c")),
            (
                "postgres://me@h/db?password=x&sslmode=off",
                "postgres://me@h/db?sslmode=off",
                Some("x"),
            ),
            ("postgres://me@h:1/db", "postgres://me@h:1/db", None),
            ("postgres://me:a%26b%3Dc@h/db", "postgres://me@h/db", Some("a&b=c")),
            ("postgres://me:a&b=c@h/db", "postgres://me@h/db", Some("a&b=c")),
        ] {
            let (shown, found) = without_password(url).unwrap();
            assert_eq!((shown.as_str(), found.as_deref()), (place, password));
        }
    }
}
