//! A scenario's file: a world, its past, campaigns, providers, and what goes wrong. What serde
//! takes, then what is checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::event::{Happening, RawEvent};
use super::policy::Policy;
use crate::calendar::rules::Rules;
use crate::calendar::window;
use crate::config::{Config, ConfigError};
use crate::model::Invalid;
use crate::model::campaign::{Campaign, CampaignError};
use crate::model::content::Content;
use crate::model::time::Instant;
use crate::work::Ctx;
use crate::world::World;
use crate::world::logging::{self, Count, Logging};
use crate::world::spec::Spec;

/// The longest replay: a window and its answers.
const DAYS_MAX: u32 = 366;
/// The most seeds of one file; more are asked for on the command line.
const SEEDS_MAX: usize = 100;
const CAMPAIGNS_MAX: usize = 100;
const EVENTS_MAX: usize = 1000;
/// What is sent last is answered within this, or hardly ever.
const ANSWERS: TimeDelta = TimeDelta::days(3);
/// A workspace's standing campaign is played for so long, or until it ends.
const STANDING: TimeDelta = TimeDelta::days(30);
/// Monday 1 June 2026, 00:00 UTC: a virtual clock needs a date.
const START: i64 = 1_780_272_000;

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What the worlds are made of.
    pub world: Spec,
    /// How their past came about; absent: there is none.
    pub history: Option<Logging>,
    /// What is played in them.
    pub script: Script,
}

/// What is played, whoever the people are.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it is called.
    pub name: String,
    /// What it is about, in a sentence or two.
    pub about: String,
    /// When the virtual clock starts.
    pub start: Instant,
    /// When it stops.
    pub end: Instant,
    /// One play a seed, each with other people or another truth about them.
    pub seeds: Vec<u64>,
    /// Who plans, each for the same people.
    pub policies: Vec<Policy>,
    /// When is learned.
    pub learn: Learn,
    /// The settings of the workspace.
    pub config: Config,
    /// The countries' laws.
    pub rules: Arc<Rules>,
    /// The campaigns as they are submitted, with the time of it.
    pub campaigns: Vec<(Instant, Table)>,
    /// What happens meanwhile, by its begin.
    pub events: Vec<Happening>,
}

/// When is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Learn {
    /// Not at all: everybody is alike.
    Never,
    /// From the past, before the start.
    #[default]
    Once,
    /// From the past, and then every seven days.
    Weekly,
    /// From the past, and then every night.
    Nightly,
}

/// Why a scenario cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is not there or not readable.
    #[error("could not read the scenario {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// With line and column.
        message: String,
    },
    /// A value out of bounds.
    #[error("{}: {key}: {problem}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The settings or providers in it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A campaign in it.
    #[error("{}: campaign {number}", path.display())]
    Campaign {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        #[source]
        cause: CampaignError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    about: String,
    start: Option<Instant>,
    days: u32,
    #[serde(default = "one_seed")]
    seeds: Vec<u64>,
    #[serde(default = "the_model")]
    policies: Vec<Policy>,
    #[serde(default)]
    learn: Learn,
    #[serde(default)]
    world: Spec,
    history: Option<RawHistory>,
    #[serde(default)]
    settings: Table,
    #[serde(default)]
    provider: Table,
    #[serde(default)]
    campaign: Vec<Table>,
    #[serde(default)]
    event: Vec<RawEvent>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

fn the_model() -> Vec<Policy> {
    vec![Policy::Model]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHistory {
    policy: Option<logging::Policy>,
    weeks: Option<u32>,
    messages: Option<Count>,
    contents: Option<Vec<String>>,
}

impl Script {
    /// The shortest time within which a campaign wants its goal, in hours.
    pub(super) fn within_hours(&self) -> u8 {
        let campaigns = self.campaigns.iter();
        let within = campaigns
            .filter_map(|(_, table)| Some(Campaign::from_toml(&table.to_string()).ok()?.within))
            .map(|within| within.as_secs().div_ceil(3600));
        // a campaign's time is 72 hours at most
        within.min().and_then(|hours| u8::try_from(hours).ok()).unwrap_or(24)
    }

    /// Campaigns that are submitted to a workspace now, played until their answers are in.
    pub fn tomorrow(ctx: &Ctx, campaigns: Vec<(Campaign, Table)>) -> Self {
        let start = ctx.clock.now();
        let ends = campaigns.iter().map(|(campaign, _)| match campaign.trigger {
            Some(_) => window::ends_at(&campaign.window).min(start + STANDING),
            None => window::ends_at(&campaign.window),
        });
        let names: Vec<&str> = campaigns.iter().map(|(one, _)| one.name.as_str()).collect();
        Self {
            name: names.join(", "),
            about: "The workspace's own people, as its model remembers them; each seed is another \
                truth that the history leaves possible."
                .to_owned(),
            start,
            end: ends.fold(start, Instant::max) + ANSWERS,
            seeds: vec![1],
            policies: the_model(),
            learn: Learn::Once,
            config: Config::clone(&ctx.config),
            rules: Arc::clone(&ctx.rules),
            campaigns: campaigns.into_iter().map(|(_, table)| (start, table)).collect(),
            events: Vec::new(),
        }
    }
}

impl Scenario {
    /// Reads and checks a scenario's file.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ScenarioError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a scenario; `path` names it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScenarioError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ScenarioError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        raw.check(&Checker { path })
    }

    /// The worlds' people, of one seed.
    pub fn world(&self, seed: u64) -> World {
        World::new(&self.world, seed).expect("the spec was checked")
    }
}

/// Says what is wrong, and where.
struct Checker<'p> {
    path: &'p Path,
}

impl Checker<'_> {
    fn wrong(&self, key: impl Into<String>, problem: impl Into<String>) -> ScenarioError {
        let path = self.path.to_owned();
        ScenarioError::Value { path, key: key.into(), problem: problem.into() }
    }

    fn invalid(&self, key: &str, cause: &Invalid) -> ScenarioError {
        self.wrong(key, cause.to_string())
    }

    fn at_most(&self, key: &str, count: usize, most: usize) -> Result<(), ScenarioError> {
        if (1..=most).contains(&count) {
            return Ok(());
        }
        Err(self.wrong(key, format!("there are {count}; between 1 and {most} would be right")))
    }
}

impl Raw {
    fn check(self, checker: &Checker<'_>) -> Result<Scenario, ScenarioError> {
        if !(1..=DAYS_MAX).contains(&self.days) {
            let problem = format!("{} is not between 1 and {DAYS_MAX}", self.days);
            return Err(checker.wrong("days", problem));
        }
        checker.at_most("seeds", self.seeds.len(), SEEDS_MAX)?;
        checker.at_most("policies", self.policies.len(), Policy::ALL.len())?;
        checker.at_most("campaign", self.campaign.len(), CAMPAIGNS_MAX)?;
        let start = self.start.or(DateTime::from_timestamp(START, 0));
        let start = start.expect("the default start is a date");
        let end = start + TimeDelta::days(i64::from(self.days));
        self.world.check().map_err(|cause| checker.invalid("world", &cause))?;
        let history = self.history.map(|raw| raw.check(start, checker)).transpose()?;
        let config = config(self.settings, self.provider, checker)?;
        let mut campaigns = Vec::with_capacity(self.campaign.len());
        for (index, mut table) in self.campaign.into_iter().enumerate() {
            let key = format!("campaign {}: submit_after", index + 1);
            let after = table.remove("submit_after").map(|value| {
                let text = value.as_str().unwrap_or_default();
                let parsed = humantime::parse_duration(text).ok();
                let span = parsed.and_then(|span| TimeDelta::from_std(span).ok());
                span.ok_or_else(|| checker.wrong(key, "a time like \"2d 6h\" would be right"))
            });
            let campaign = campaign_of(&table);
            let campaign = campaign.map_err(|cause| ScenarioError::Campaign {
                path: checker.path.to_owned(),
                number: index + 1,
                cause,
            })?;
            if !config.providers.contains_key(&campaign.provider) {
                let problem = format!("there is no [provider.{}]", campaign.provider);
                return Err(checker.wrong(format!("campaign {}", index + 1), problem));
            }
            campaigns.push((start + after.transpose()?.unwrap_or_default(), table));
        }
        campaigns.sort_by_key(|(at, _)| *at);
        if self.event.len() > EVENTS_MAX {
            return Err(checker.wrong("event", format!("more than {EVENTS_MAX}")));
        }
        let event = |(index, raw): (usize, RawEvent)| {
            let key = format!("event {}", index + 1);
            raw.check(start, end).map_err(|problem| checker.wrong(key, problem))
        };
        let mut events = self
            .event
            .into_iter()
            .enumerate()
            .map(event)
            .collect::<Result<Vec<Happening>, ScenarioError>>()?;
        events.sort_by_key(|event| event.from);
        let script = Script {
            name: checker
                .path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            about: self.about,
            start,
            end,
            seeds: self.seeds,
            policies: self.policies,
            learn: self.learn,
            config,
            rules: Arc::new(Rules::built_in()),
            campaigns,
            events,
        };
        Ok(Scenario { world: self.world, history, script })
    }
}

/// The campaign that a table says.
pub(super) fn campaign_of(table: &Table) -> Result<Campaign, CampaignError> {
    Campaign::from_toml(&table.to_string())
}

/// The workspace's settings: as the file has them, with `simulated` where no provider is named.
fn config(
    mut settings: Table,
    mut provider: Table,
    checker: &Checker<'_>,
) -> Result<Config, ScenarioError> {
    for key in ["database", "daemon", "provider"] {
        if settings.contains_key(key) {
            return Err(checker.wrong(format!("settings.{key}"), "a scenario brings its own"));
        }
    }
    if provider.is_empty() {
        let simulated = Table::from_iter([("kind".to_owned(), Value::from("simulated"))]);
        provider.insert("simulated".to_owned(), Value::Table(simulated));
    }
    settings.insert("provider".to_owned(), Value::Table(provider));
    Ok(Config::parse(&settings.to_string(), checker.path)?)
}

impl RawHistory {
    fn check(self, until: Instant, checker: &Checker<'_>) -> Result<Logging, ScenarioError> {
        let standard = Logging::demo(until);
        let content = |words: &String| {
            let (media, style) = match words.split_once(' ') {
                None => (words.as_str(), None),
                Some((media, style)) => (media, Some(style)),
            };
            let parsed = || {
                let style = style.map(str::parse).transpose()?;
                Ok(Content { media: media.parse()?, style })
            };
            parsed().map_err(|cause: Invalid| checker.invalid("history.contents", &cause))
        };
        let contents = match &self.contents {
            None => standard.contents,
            Some(listed) => listed.iter().map(content).collect::<Result<_, _>>()?,
        };
        checker.at_most("history.contents", contents.len(), 100)?;
        let weeks = self.weeks.unwrap_or(standard.weeks);
        checker.at_most("history.weeks", weeks as usize, 520)?;
        Ok(Logging {
            policy: self.policy.unwrap_or(standard.policy),
            weeks,
            messages: self.messages.unwrap_or(standard.messages),
            contents,
            until,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: &str = "[[campaign]]\nname = \"c\"\nprovider = \"simulated\"\n\
        [campaign.window]\nstart = 2026-06-02T08:00:00\nend = 2026-06-03T20:00:00\n\
        [[campaign.variant]]\nname = \"words\"\nmedia = \"text\"\n";

    fn parse(text: &str) -> Result<Scenario, String> {
        let text = text.replace("CAMPAIGN", CAMPAIGN);
        Scenario::parse(&text, Path::new("calm.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_an_ordinary_world() {
        let scenario = parse("about = \"calm\"\ndays = 7\nCAMPAIGN").unwrap();
        let script = &scenario.script;
        assert_eq!(script.name, "calm");
        assert_eq!(script.policies, [Policy::Model]);
        assert_eq!(script.end - script.start, TimeDelta::days(7));
        assert!(scenario.history.is_none() && script.events.is_empty());
        assert_eq!(script.campaigns[0].0, script.start);
    }

    #[test]
    fn bad_values_are_named() {
        let problem = |text: &str| parse(text).unwrap_err();
        assert!(problem("about = \"x\"\ndays = 0\nCAMPAIGN").contains("days: 0 is not"));
        assert!(problem("about = \"x\"\ndays = 7").contains("campaign: there are 0"));
        let people = problem("about = \"x\"\ndays = 7\nCAMPAIGN[world]\npeople = 0");
        assert!(people.contains("world") && people.contains("people"), "{people}");
        let own = problem("about = \"x\"\ndays = 7\nCAMPAIGN[settings.database]\nurl = \"x\"");
        assert!(own.contains("settings.database"), "{own}");
        let provider = "about = \"x\"\ndays = 7\nCAMPAIGN[provider.other]\nkind = \"simulated\"";
        assert!(problem(provider).contains("no [provider.simulated]"));
    }
}
