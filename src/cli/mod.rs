//! The command line: one enum, a file a verb, one printer.
//!
//! A verb parses its arguments, asks the steps and the store, and hands a struct to
//! [`mod@print`], which shows it to people or as JSON. *Invariant:* only `print` writes to
//! the standard output.

mod audit;
mod backup;
mod campaign;
mod consent;
mod daemon;
mod demo;
mod evaluate;
mod forecast;
mod holdout;
mod import;
mod init;
mod insights;
mod learn;
mod migrate;
mod plan;
mod preferences;
pub mod print;
mod prune;
mod recipient;
mod replay;
mod replies;
mod results;
mod segment;
mod shell;
mod suppressions;
mod token;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use clap::{Parser, Subcommand};
use futures_util::future::LocalBoxFuture;

use crate::calendar::rules::Rules;
use crate::calendar::zone;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::files::FileError;
use crate::model::Invalid;
use crate::model::campaign::CampaignError;
use crate::model::ids::RecipientKey;
use crate::model::recipient::Recipient;
use crate::replay::scenario::ScenarioError;
use crate::store::{Create, RestoreError, Store, StoreError};
use crate::work::campaigns::SubmitError;
use crate::work::check::CheckError;
use crate::work::import::ImportError;
use crate::work::{Ctx, StepEnv};

use self::print::Printer;

/// Learns when and with what each person likes to be written to, plans and sends accordingly.
#[derive(Parser)]
#[command(version = version(), max_term_width = 100)]
pub struct Cli {
    /// The settings file.
    #[arg(
        long,
        global = true,
        env = "OPPORTUNE_CONFIG",
        default_value = "opportune.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// The program's version, and the tables that it tells clocks by.
fn version() -> &'static str {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), zone::tables()));
    &VERSION
}

#[derive(Subcommand)]
enum Verb {
    /// The main job, end to end, in a small invented world.
    Demo(demo::Args),
    /// Write a commented settings file and an empty database.
    Init(init::Args),
    /// Load a history file.
    Import(import::Args),
    /// Fold new history into the preferences.
    Learn(learn::Args),
    /// The versions of what was learned.
    Model(learn::ModelArgs),
    /// How well the model foretells your own history, beside the naive methods.
    Evaluate(evaluate::Args),
    /// What a marketer should know of the population.
    Insights,
    /// What is known of people's habits.
    Preferences(preferences::Args),
    /// Campaigns: checked, submitted, looked at, paused, cancelled, exported.
    Campaign(campaign::Args),
    /// Plan a campaign now, as the daemon would at its next step.
    Plan(plan::Args),
    /// Why a person gets what a campaign's plan gives them.
    Explain(plan::ExplainArgs),
    /// Run the background service: plans, sends, receives, learns.
    Daemon,
    /// Replay scenarios on a virtual clock.
    Replay(replay::Args),
    /// How every campaign stands.
    Status,
    /// Who paused, resumed, cancelled, rolled back or changed consent, and when.
    Audit(audit::Args),
    /// Who may use the HTTP API.
    Token(token::Args),
    /// The ledger of consent.
    Consent(consent::Args),
    /// Whom channels do not reach, apart from consent.
    Suppressions(suppressions::Args),
    /// What people wrote, by intent: listed, corrected, summed up.
    Replies(replies::Args),
    /// Named audiences.
    Segment(segment::Args),
    /// Who gets no marketing of any campaign, and what all messages together bring.
    Holdout(holdout::Args),
    /// Everything that is stored of a person: give it out, or erase it.
    Recipient(recipient::Args),
    /// Bring the database to this program's version.
    Migrate(migrate::Args),
    /// Write the whole workspace to a file, while daemons run.
    Backup(backup::BackupArgs),
    /// Fill an empty workspace from such a file.
    Restore(backup::RestoreArgs),
    /// Delete what the settings' retention no longer keeps.
    Prune(prune::Args),
    /// Print what a shell completes commands by.
    Completions(shell::CompletionsArgs),
    /// Write manual pages to a folder.
    Man(shell::ManArgs),
}

/// Reads the command line; wrong usage and `--help` end the process here.
pub fn parse() -> Cli {
    Cli::parse()
}

/// Runs the command. Boxed, so that its machine code is made here, once, and not in each binary.
pub fn run(cli: Cli) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let env = Env { config: cli.config, printer: Printer::new(cli.json) };
        match cli.verb {
            Verb::Demo(args) => demo::run(args, &env).await,
            Verb::Init(args) => init::run(args, &env).await,
            Verb::Import(args) => import::run(args, &env).await,
            Verb::Learn(args) => learn::run(args, &env).await,
            Verb::Model(args) => learn::model(args, &env).await,
            Verb::Evaluate(args) => evaluate::run(args, &env).await,
            Verb::Insights => insights::run(&env).await,
            Verb::Preferences(args) => preferences::run(args, &env).await,
            Verb::Campaign(args) => campaign::run(args, &env).await,
            Verb::Plan(args) => plan::run(args, &env).await,
            Verb::Explain(args) => plan::explain(args, &env).await,
            Verb::Daemon => daemon::run(&env).await,
            Verb::Replay(args) => replay::run(args, &env).await,
            Verb::Status => campaign::status(&env).await,
            Verb::Audit(args) => audit::run(args, &env).await,
            Verb::Token(args) => token::run(args, &env).await,
            Verb::Consent(args) => consent::run(args, &env).await,
            Verb::Suppressions(args) => suppressions::run(args, &env).await,
            Verb::Replies(args) => replies::run(args, &env).await,
            Verb::Segment(args) => segment::run(args, &env).await,
            Verb::Holdout(args) => holdout::run(args, &env).await,
            Verb::Recipient(args) => recipient::run(args, &env).await,
            Verb::Migrate(args) => migrate::run(args, &env).await,
            Verb::Backup(args) => backup::backup(args, &env).await,
            Verb::Restore(args) => backup::restore(args, &env).await,
            Verb::Prune(args) => prune::run(args, &env).await,
            Verb::Completions(args) => shell::completions(&args),
            Verb::Man(args) => shell::man(&args),
        }
    })
}

/// Starts logging on the standard error: for people, or as JSON with `OPPORTUNE_LOG_FORMAT=json`.
pub fn start_logging(_cli: &Cli) {
    const DEFAULT: &str = "warn,opportune=info,sqlx=error";
    let given = std::env::var("OPPORTUNE_LOG").ok();
    let parsed = given.as_deref().map(tracing_subscriber::EnvFilter::try_new).transpose();
    let wrong = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.ok().flatten().unwrap_or_else(|| DEFAULT.into());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("OPPORTUNE_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().init();
    } else {
        logs.with_target(false).init();
    }
    if let Some(problem) = wrong {
        tracing::warn!(
            problem,
            "OPPORTUNE_LOG is no filter such as opportune=debug; it is passed over"
        );
    }
}

/// Input that is wrong in a way that only a verb can know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadInput(String);

/// A check that found work to do, which it has told.
#[derive(Debug, thiserror::Error)]
#[error("the database is not of this program's version")]
struct Pending;

/// 2 for wrong usage or bad input, 1 for what failed.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    const FAILED: u8 = 1;
    const BAD_INPUT: u8 = 2;
    let bad = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<BadInput>()
            || cause.is::<Invalid>()
            || cause.is::<ConfigError>()
            || cause.is::<CampaignError>()
            || cause.is::<ScenarioError>()
            || matches!(cause.downcast_ref(), Some(SubmitError::File(_) | SubmitError::Unfit(_)))
            || matches!(
                cause.downcast_ref(),
                Some(CheckError::Submit(SubmitError::File(_) | SubmitError::Unfit(_)))
            )
            || matches!(cause.downcast_ref(), Some(StoreError::Absent { .. }))
            || matches!(
                cause.downcast_ref(),
                Some(
                    RestoreError::NotEmpty { .. }
                        | RestoreError::NoBackup { .. }
                        | RestoreError::PostgresAlone
                )
            )
            || matches!(cause.downcast_ref(), Some(ImportError::Strict(_)))
            || cause.downcast_ref().is_some_and(|e| !matches!(e, FileError::Read { .. }))
            || matches!(
                cause.downcast_ref(),
                Some(ImportError::File(e)) if !matches!(e, FileError::Read { .. })
            )
    };
    if error.chain().any(bad) { BAD_INPUT } else { FAILED }
}

/// What every verb works with.
struct Env {
    config: PathBuf,
    printer: Printer,
}

impl Env {
    /// Loads the settings and opens the database; calls no provider and reads no secret.
    async fn ctx(&self) -> anyhow::Result<Ctx> {
        self.ctx_of(Create::No).await
    }

    async fn ctx_of(&self, create: Create) -> anyhow::Result<Ctx> {
        let config = Config::load(&self.config)?;
        let rules = rules(&config)?;
        let store = Store::open(&config.database_url, create).await?;
        Ok(Ctx {
            store,
            env: StepEnv {
                clock: Clock::system(),
                config: Arc::new(config),
                rules: Arc::new(rules),
                providers: Arc::default(),
                node: crate::work::new_node(),
                preference_override: None,
            },
        })
    }
}

/// The countries' rules, and those that the workspace adds.
fn rules(config: &Config) -> anyhow::Result<Rules> {
    let rules = Rules::built_in();
    let Some(path) = &config.country_rules else { return Ok(rules) };
    let bad = |cause: &dyn std::fmt::Display| {
        BadInput(format!("country_rules {}: {cause}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|cause| bad(&cause))?;
    Ok(rules.with(&text).map_err(|cause| bad(&cause))?)
}

/// How the audit trail calls who sits at the command line.
fn actor() -> String {
    match std::env::var("USER").or_else(|_| std::env::var("LOGNAME")) {
        Ok(user) if !user.is_empty() => format!("command line, {user}"),
        _ => "command line".to_owned(),
    }
}

/// Finds the recipient that a verb names.
async fn find_recipient(ctx: &Ctx, key: &RecipientKey) -> anyhow::Result<Recipient> {
    let found = ctx.store.read().await?.recipient(key).await?;
    found.ok_or_else(|| BadInput(format!("recipient {:?} is not known", key.as_str())).into())
}
