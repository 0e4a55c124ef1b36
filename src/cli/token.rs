//! `token`: who may use the HTTP API.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::print::{Show, table};
use super::{BadInput, Env, actor};
use crate::model::ids::Name;
use crate::model::time::format_instant;
use crate::store::TokenRow;
use crate::work::tokens::{self, Scope};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a token; it is shown once and kept as a hash.
    Create {
        /// Its name.
        name: Name,
        /// What it allows: read, people, submit, operate, write. May be given several times.
        #[arg(long = "scope", value_name = "SCOPE", default_value = "read")]
        scopes: Vec<String>,
        /// For how long, such as 90d; until it is taken back, if it is left out.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
    },
    /// All tokens, without their secrets.
    List,
    /// Take a token back at once.
    Revoke {
        /// Its name.
        name: Name,
    },
}

#[derive(Serialize)]
struct Created {
    name: Name,
    token: String,
}

impl Show for Created {
    fn text(&self) -> String {
        format!("{}\nKeep it; it is not shown again.", self.token)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Tokens(Vec<TokenRow>);

impl Show for Tokens {
    fn text(&self) -> String {
        let mut shown = table(&["token", "scopes", "created", "expires", "last used", "revoked"]);
        for token in &self.0 {
            shown.add_row([
                token.name.clone(),
                token.scopes.join(" "),
                format_instant(token.created_at),
                token.expires_at.map(format_instant).unwrap_or_default(),
                token.last_used_at.map(format_instant).unwrap_or_default(),
                token.revoked_at.map(format_instant).unwrap_or_default(),
            ]);
        }
        shown.to_string()
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::Create { name, scopes, expires_in } => {
            let scopes = scopes.iter().map(|scope| scope.parse());
            let scopes: Vec<Scope> = scopes.collect::<Result<_, _>>()?;
            let expires_at = expires_in.map(|time| ctx.clock.now() + time);
            let created = tokens::create(&ctx, &name, &scopes, expires_at, &actor()).await?;
            let Some(token) = created else {
                anyhow::bail!(BadInput(format!(
                    "token {name} is there already; take another name"
                )));
            };
            env.printer.show(&Created { name, token })
        }
        Verb::List => env.printer.show(&Tokens(tokens::list(&ctx).await?)),
        Verb::Revoke { name } => {
            if !tokens::revoke(&ctx, &name, &actor()).await? {
                anyhow::bail!(BadInput(format!("there is no token {name} in use")));
            }
            env.printer.show(&Tokens(tokens::list(&ctx).await?))
        }
    }
}
