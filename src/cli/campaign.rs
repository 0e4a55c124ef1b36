//! `campaign`, `status`: submitted, looked at, paused, resumed, cancelled, exported.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::print::{Show, note, table};
use super::{BadInput, Env, actor, find_recipient};
use crate::files::Output;
use crate::model::campaign::Campaign;
use crate::model::ids::{Name, RecipientKey};
use crate::model::recipient::{Address, Recipient};
use crate::model::time::{Instant, format_instant};
use crate::provider;
use crate::store::{CampaignRow, StateCount, TaskRow};
use crate::work::campaigns::{self, CampaignSummary, OperatorCommand, Status};
use crate::work::check::{self, Checked};
use crate::work::export::{self, PeopleCursor, PeopleFilter};
use crate::work::preview::{self, Preview};
use crate::work::sums::FailureCount;
use crate::work::templates;
use crate::work::trial::{self, TrialError, Tried};
use crate::work::{Ctx, results};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Validate a campaign file, and show what would be planned now.
    Check {
        /// The TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// Validate a campaign file and store it; the daemon does the rest.
    Submit {
        /// The TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// All campaigns.
    List,
    /// How a campaign stands: everybody by state and reason.
    Show {
        /// Its name.
        name: Name,
    },
    /// Send nothing more of it for now.
    Pause {
        /// Its name.
        name: Name,
    },
    /// Go on.
    Resume {
        /// Its name.
        name: Name,
    },
    /// End it: whoever is only planned gets nothing.
    Cancel {
        /// Its name.
        name: Name,
    },
    /// Engagement by arm with intervals, everybody by state and reason.
    Results {
        /// Its name.
        name: Name,
    },
    /// Each variant and translation as it will read.
    Preview {
        /// A campaign's name, or its TOML file.
        campaign: String,
        /// For this person; else what would be filled in stays as the file has it.
        #[arg(long, value_name = "ID")]
        recipient: Option<RecipientKey>,
    },
    /// Send each variant and translation to addresses of your own, outside all statistics.
    Test {
        /// A campaign's name, or its TOML file.
        campaign: String,
        /// Where to; up to 20.
        #[arg(long, required = true, num_args = 1.., value_name = "ADDRESS")]
        to: Vec<Address>,
        /// With the attributes of this person.
        #[arg(long, value_name = "ID")]
        recipient: Option<RecipientKey>,
    },
    /// A row a person.
    Export {
        /// Its name.
        name: Name,
        /// The CSV file to write; `.gz` is compressed, `-` is the standard output.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Show for Checked {
    fn text(&self) -> String {
        if self.stored {
            return format!("Campaign {} is submitted; the daemon plans and sends it.", self.name);
        }
        let warnings = self.warnings.iter().map(|warning| format!("Warning: {warning}.\n"));
        let mut text = format!("{}Campaign {} is good.", warnings.collect::<String>(), self.name);
        if let Some(plan) = &self.plan {
            text.push_str(&format!(" Planned now, it would be:\n\n{}", plan.text()));
        }
        if let Some(upcoming) = self.upcoming {
            text.push_str(&format!(" {upcoming} people come into its span within 30 days."));
        }
        for fallback in &self.fallbacks {
            text.push_str(&format!("\n{}", fallback.sentence()));
        }
        text
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Standings(Vec<CampaignSummary>);

impl Show for Standings {
    fn text(&self) -> String {
        standings_text(&self.0)
    }
}

fn standings_text(standings: &[CampaignSummary]) -> String {
    let mut shown = table(&[
        "campaign", "status", "audience", "planned", "due", "late", "sent", "held", "in doubt",
        "refused", "other",
    ]);
    for standing in standings {
        let (planned, sent, refused) =
            (standing.people("planned"), standing.people("sent"), standing.people("refused"));
        let (held, in_doubt) = (standing.people("held"), standing.people("in_doubt"));
        shown.add_row([
            standing.name.to_string(),
            standing.status.clone(),
            standing.audience.to_string(),
            planned.to_string(),
            standing.due.to_string(),
            standing.late.to_string(),
            sent.to_string(),
            held.to_string(),
            in_doubt.to_string(),
            refused.to_string(),
            (standing.audience - planned - sent - held - in_doubt - refused).to_string(),
        ]);
    }
    let mut text = shown.to_string();
    for standing in standings {
        text.push_str(&format!("\n\n{}", standing.text()));
    }
    text
}

impl Show for CampaignSummary {
    fn text(&self) -> String {
        let mut text = format!("{} is {}", self.name, self.status);
        match (self.planned_at, self.next_due) {
            (None, _) => text.push_str("; it is not planned yet."),
            (Some(at), None) => text.push_str(&format!("; planned at {}.", format_instant(at))),
            (Some(at), Some(next)) => text.push_str(&format!(
                "; planned at {}, next message due at {}.",
                format_instant(at),
                format_instant(next)
            )),
        }
        let plan = self.plan.as_ref().and_then(|plan| plan.get("certificate")?.get("statement"));
        if let Some(statement) = plan.and_then(serde_json::Value::as_str) {
            text.push('\n');
            text.push_str(statement);
        }
        format!(
            "{text}\n{}{}",
            states_table(&self.states, self.audience),
            failures_text(&self.failures)
        )
    }
}

/// People who failed or were refused by the channel's codes.
pub(super) fn failures_text(failures: &[FailureCount]) -> String {
    failures.iter().fold(String::new(), |all, failure| {
        let text = failure.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        let (people, code) = (failure.people, &failure.code);
        all + &format!("\n{people} failed or refused with code {code}{text}")
    })
}

/// People by state and reason, with the sum that must be the audience.
pub(super) fn states_table(states: &[StateCount], audience: u64) -> String {
    let mut shown = table(&["state", "reason", "people"]);
    for count in states {
        let people = count.people.to_string();
        shown.add_row([count.state.as_str(), count.reason.as_str(), &people]);
    }
    shown.add_row(["audience", "", &audience.to_string()]);
    shown.to_string()
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::Check { file } => {
            let checked = check::check(&ctx, &read(&file)?).await;
            env.printer.show(&checked.with_context(|| file.display().to_string())?)
        }
        Verb::Submit { file } => {
            let submitted = check::submit(&ctx, &read(&file)?, &actor()).await;
            env.printer.show(&submitted.with_context(|| file.display().to_string())?)
        }
        Verb::List => {
            let found = campaigns::status(&ctx).await?;
            env.printer.show(&Standings(found.campaigns))
        }
        Verb::Show { name } => {
            let row = find_campaign(&ctx, &name).await?;
            env.printer.show(&campaigns::summary(&ctx, &row).await?)
        }
        Verb::Pause { name } => change(&ctx, env, &name, OperatorCommand::Pause).await,
        Verb::Resume { name } => change(&ctx, env, &name, OperatorCommand::Resume).await,
        Verb::Cancel { name } => change(&ctx, env, &name, OperatorCommand::Cancel).await,
        Verb::Results { name } => {
            let row = find_campaign(&ctx, &name).await?;
            env.printer.show(&results::results(&ctx, &row).await?)
        }
        Verb::Preview { campaign, recipient } => {
            let campaign = named_or_file(&ctx, &campaign).await?;
            let person = person(&ctx, recipient.as_ref()).await?;
            // what cannot be read is told by a check; here it is shown as far as it is known
            let _ = templates::read(&ctx, &campaign.provider).await?;
            let previews = preview::of(&ctx, &campaign, person.as_ref()).await?;
            env.printer.show(&Previews(previews))
        }
        Verb::Test { campaign, to, recipient } => {
            let mut ctx = ctx;
            let providers = provider::from_config(&ctx.config.providers, &ctx.config.outbound)?;
            ctx.providers = std::sync::Arc::new(providers);
            let campaign = named_or_file(&ctx, &campaign).await?;
            let person = person(&ctx, recipient.as_ref()).await?;
            let tried = trial::run(&ctx, &campaign, &to, person.as_ref()).await;
            let tried = tried.map_err(|error| match error {
                TrialError::Store(error) => anyhow::Error::from(error),
                error => BadInput(error.to_string()).into(),
            })?;
            let all = tried.iter().all(|tried| tried.accepted);
            env.printer.show(&Trials(tried))?;
            if all { Ok(()) } else { Err(anyhow::anyhow!("not every message was taken")) }
        }
        Verb::Export { name, out } => write_people(&ctx, &name, &out).await,
    }
}

/// `status`: how every campaign stands, and what the daemons do.
pub(super) async fn status(env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let found = campaigns::status(&ctx).await?;
    for alert in &found.alerts {
        note(format_args!(
            "Look at provider {}, since {}: {} ({})",
            alert.provider,
            format_instant(alert.at),
            alert.what,
            alert.code
        ));
    }
    for broken in &found.broken {
        note(format_args!(
            "Campaign {} cannot be read by this version and is left alone: {}",
            broken.name, broken.problem
        ));
    }
    if found.pending_consents > 0 {
        note(format_args!(
            "Words on consent wait under {} names that nobody has yet.",
            found.pending_consents
        ));
    }
    if found.waiting_replies > 0 {
        note(format_args!(
            "{} replies need a human: opportune replies list --needs-human",
            found.waiting_replies
        ));
    }
    if let Some(warning) = found.zone_tables.warning() {
        note(warning);
    }
    env.printer.show(&found)
}

impl Show for Status {
    fn text(&self) -> String {
        let mut text = standings_text(&self.campaigns);
        text.push_str(&format!("\n\nTime zones by {}.", self.zone_tables.tables));
        if !self.tasks.is_empty() {
            text.push_str(&format!("\n\n{}", tasks_table(&self.tasks)));
        }
        text
    }
}

/// What the daemons' background tasks did last.
fn tasks_table(tasks: &[TaskRow]) -> String {
    let header = ["task", "node", "last start", "last success", "took", "runs", "failed", "panics"];
    let mut shown = table(&header);
    let at = |at: Option<Instant>| at.map_or_else(|| "never".to_owned(), format_instant);
    for task in tasks {
        shown.add_row([
            task.name.clone(),
            task.node.clone(),
            at(task.last_started_at),
            at(task.last_succeeded_at),
            task.last_duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
            task.runs.to_string(),
            task.failures.to_string(),
            task.panics.to_string(),
        ]);
    }
    let mut text = shown.to_string();
    for task in tasks {
        let failed = task.last_result.as_deref().is_some_and(|result| result != "ok");
        if let Some(error) = task.last_error.as_ref().filter(|_| failed) {
            text.push_str(&format!("\n{} on {}: {error}", task.name, task.node));
        }
    }
    text
}

#[derive(Serialize)]
#[serde(transparent)]
struct Previews(Vec<Preview>);

impl Show for Previews {
    fn text(&self) -> String {
        let one = |preview: &Preview| {
            let mut text = format!("{}, {}", preview.variant, preview.media);
            for more in [&preview.language, &preview.template].into_iter().flatten() {
                text.push_str(&format!(", {more}"));
            }
            if !preview.fits {
                text.push_str(" (another translation fits this person)");
            }
            let parameters = preview.parameters.iter().enumerate();
            let parameters = parameters.map(|(at, value)| format!("{{{{{}}}}}: {value}", at + 1));
            let texts = [&preview.header, &preview.text, &preview.footer, &preview.media_url];
            let texts = texts.into_iter().flatten().cloned();
            let buttons = preview.buttons.iter().map(|button| format!("[{button}]"));
            let problem = preview.problem.iter().map(|why| format!("It cannot be sent: {why}"));
            for line in texts.chain(buttons).chain(parameters).chain(problem) {
                text.push_str(&format!("\n  {line}"));
            }
            text
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("\n\n")
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Trials(Vec<Tried>);

impl Show for Trials {
    fn text(&self) -> String {
        let mut shown = table(&["to", "variant", "language", "answer"]);
        for tried in &self.0 {
            let language = tried.language.clone().unwrap_or_default();
            let cells = [tried.to.to_string(), tried.variant.to_string(), language];
            shown.add_row(cells.into_iter().chain([tried.answer.clone()]));
        }
        shown.to_string()
    }
}

/// A stored campaign, or one in a file.
async fn named_or_file(ctx: &Ctx, given: &str) -> anyhow::Result<Arc<Campaign>> {
    if let Ok(name) = given.parse::<Name>()
        && let Some(row) = ctx.store.read().await?.campaign(&name).await?
    {
        return Ok(row.campaign);
    }
    let file = PathBuf::from(given);
    let campaign = Campaign::from_toml(&read(&file)?);
    Ok(Arc::new(campaign.with_context(|| given.to_owned())?))
}

async fn person(ctx: &Ctx, key: Option<&RecipientKey>) -> anyhow::Result<Option<Recipient>> {
    match key {
        None => Ok(None),
        Some(key) => find_recipient(ctx, key).await.map(Some),
    }
}

pub(super) fn read(file: &PathBuf) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| BadInput(format!("could not read {}: {error}", file.display())).into())
}

pub(super) async fn find_campaign(ctx: &Ctx, name: &Name) -> anyhow::Result<CampaignRow> {
    let found = ctx.store.read().await?.campaign(name).await?;
    found.ok_or_else(|| BadInput(format!("there is no campaign {name}")).into())
}

async fn change(ctx: &Ctx, env: &Env, name: &Name, command: OperatorCommand) -> anyhow::Result<()> {
    let row = find_campaign(ctx, name).await?;
    if !campaigns::change(ctx, &row, command, &actor()).await? {
        anyhow::bail!(BadInput(format!("campaign {name} is {}", row.status)));
    }
    let row = find_campaign(ctx, name).await?;
    env.printer.show(&campaigns::summary(ctx, &row).await?)
}

async fn write_people(ctx: &Ctx, name: &Name, out: &std::path::Path) -> anyhow::Result<()> {
    const PAGE: usize = 10_000;
    let row = find_campaign(ctx, name).await?;
    let mut output = Output::create(out, &export::COLUMNS)?;
    let (mut count, mut after) = (0, Some(PeopleCursor::default()));
    while let Some(from) = after {
        let (people, next) = export::people(ctx, &row, PeopleFilter::default(), from, PAGE).await?;
        after = next;
        count += people.len();
        for person in people {
            output.row(person.cells())?;
        }
    }
    output.finish()?;
    note(format_args!("{count} people written"));
    Ok(())
}
