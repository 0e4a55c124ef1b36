//! `preferences`: what is known of a person's habits, and everybody's in one file.

use std::path::PathBuf;

use clap::Subcommand;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::print::{Show, note, progress};
use super::{Env, find_recipient};
use crate::files::{Output, number};
use crate::learn::{ChronotypeMix, Evidence};
use crate::model::ids::RecipientKey;
use crate::model::part_of_day::{PARTS, best_chances};
use crate::model::preference::{Preference, Range, WEEK_HOURS};
use crate::work::Ctx;
use crate::work::learn::{ActiveModel, People, subject};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// What is known of one person, from what evidence.
    Show {
        /// The caller's id of the person.
        recipient: RecipientKey,
    },
    /// A row for every recipient.
    Export {
        /// The CSV file to write; `.gz` is compressed, `-` is the standard output.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Serialize)]
struct Known {
    recipient: RecipientKey,
    time_zone: String,
    zone_inferred: bool,
    model: Option<i64>,
    chronotype: String,
    chronotype_share: f64,
    evidence: f64,
    messages: u32,
    signs_of_presence: u32,
    /// What was expected before any of it.
    prior: ChronotypeMix,
    /// When the person is best reached, in words; what is known of it, and how surely.
    best_reached: Vec<String>,
    /// Lately lives so many hours later than before.
    moved_hours: Option<i32>,
    presence: Vec<Figure>,
    tastes: Vec<Taste>,
}

/// With the ends of the interval that holds it with a probability of 90 %.
#[derive(Clone, Copy, Serialize)]
struct Figure {
    mean: f64,
    low: f64,
    high: f64,
}

impl From<Range> for Figure {
    fn from(range: Range) -> Self {
        Self { mean: range.mean.into(), low: range.low.into(), high: range.high.into() }
    }
}

#[derive(Serialize)]
struct Taste {
    content: String,
    relative: f64,
    low: f64,
    high: f64,
}

/// With fewer observations, what others do says as much as they do.
const THIN: f64 = 5.0;
/// Hours that are told with their ranges.
const HOURS_TOLD: usize = 5;
/// Chronotypes of a mix that are told.
const MIX_TOLD: usize = 3;

impl Show for Known {
    fn text(&self) -> String {
        let mut text = format!(
            "{} in {}{}\n{} messages and {} signs of presence, worth {:.1} observations today\n",
            self.recipient,
            self.time_zone,
            if self.zone_inferred { " (inferred)" } else { "" },
            self.messages,
            self.signs_of_presence,
            self.evidence,
        );
        text.push_str(&self.kind());
        if let Some(hours) = self.moved_hours {
            let way = if hours > 0 { "later" } else { "earlier" };
            text.push_str(&format!("Lately seen about {} hours {way} than before\n", hours.abs()));
        }
        for sentence in &self.best_reached {
            text.push_str(&format!("{sentence}\n"));
        }
        text.push('\n');
        text.push_str(&self.week());
        text.push_str("\nMost present, in % of the week (90 % range):\n");
        let mut hours: Vec<(usize, &Figure)> = self.presence.iter().enumerate().collect();
        hours.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
        for (hour, range) in &hours[..HOURS_TOLD] {
            text.push_str(&format!(
                "  {} {:02}:00–{:02}:00 {:>5.1} ({:.1} to {:.1})\n",
                DAYS[hour / 24],
                hour % 24,
                hour % 24 + 1,
                100.0 * range.mean,
                100.0 * range.low,
                100.0 * range.high
            ));
        }
        if !self.tastes.is_empty() {
            text.push_str("\nChance to engage, relative to the person's average (90 % range):\n");
        }
        for taste in &self.tastes {
            let Taste { content, relative, low, high } = taste;
            text.push_str(&format!("  {content:<20} {relative:.2} ({low:.2} to {high:.2})\n"));
        }
        text
    }
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Known {
    /// Which kind of person this is, and from what that is known.
    fn kind(&self) -> String {
        let mut text = String::new();
        if self.evidence > 0.0 {
            let share = 100.0 * self.chronotype_share;
            text.push_str(&format!("Nearest chronotype: {} ({share:.0} %)\n", self.chronotype));
        }
        if self.evidence < THIN {
            let told = self.prior.shares.iter().take(MIX_TOLD);
            let shares: Vec<String> =
                told.map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
            let from = if self.prior.from.is_empty() {
                "everybody".to_owned()
            } else {
                format!("people of {}", self.prior.from.join(", "))
            };
            let much = if self.evidence > 0.0 { "Little" } else { "Nothing" };
            let shares = shares.join(", ");
            text.push_str(&format!("{much} is known: expected as of {from} ({shares}, …)\n"));
        }
        text
    }

    /// A heat map of the week: a line a day, a sign an hour.
    fn week(&self) -> String {
        const SHADES: [char; 6] = ['·', '░', '▒', '▓', '█', '█'];
        let most = self.presence.iter().map(|p| p.mean).fold(f64::MIN_POSITIVE, f64::max);
        let mut text = "    0  3  6  9  12 15 18 21\n".to_owned();
        for (day, hours) in DAYS.iter().zip(self.presence.chunks(24)) {
            let shade = |p: &Figure| SHADES[((p.mean / most * 5.0) as usize).min(5)];
            text.push_str(&format!("{day} {}\n", hours.iter().map(shade).collect::<String>()));
        }
        text
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    match args.verb {
        Verb::Show { recipient } => show(&ctx, recipient, env).await,
        Verb::Export { out } => export(&ctx, out).await,
    }
}

async fn show(ctx: &Ctx, key: RecipientKey, env: &Env) -> anyhow::Result<()> {
    let recipient = find_recipient(ctx, &key).await?;
    let mut found = ctx.store.read().await?.evidence_of(&[recipient.id]).await?;
    let evidence = match found.remove(&recipient.id) {
        Some(packed) => Evidence::from_bytes(packed)?,
        None => Evidence::default(),
    };
    let model = ActiveModel::load(ctx).await?;
    let asked = subject(&recipient, &evidence, ctx.config.time_zone);
    let preference = model.preference(&asked);
    let ranges = preference.presence_ranges();
    let taste = |content| {
        let Figure { mean, low, high } = preference.taste_range(content).into();
        Taste { content: ToString::to_string(content), relative: mean, low, high }
    };
    let known = Known {
        recipient: key,
        time_zone: asked.zone.name().to_owned(),
        zone_inferred: recipient.profile.zone.is_some_and(|zone| zone.inferred),
        model: model.version,
        chronotype: preference.chronotype().to_owned(),
        chronotype_share: preference.chronotype_share(),
        evidence: preference.evidence(),
        messages: evidence.message_count(),
        signs_of_presence: evidence.presence_count(),
        prior: model.mix(&asked),
        best_reached: best_reached(&preference, &evidence),
        moved_hours: model.moved(&asked),
        presence: ranges.into_iter().map(Figure::from).collect(),
        tastes: preference.contents().map(taste).collect(),
    };
    env.printer.show(&known)
}

/// When a person is best reached, by how often each answer comes out where habits are drawn from
/// what is known of them.
fn best_reached(preference: &Preference, evidence: &Evidence) -> Vec<String> {
    /// What is so probable is told as known.
    const SURE: f64 = 0.9;
    /// So many times as present on weekends is a habit.
    const KEEPS: f64 = 1.2;
    if evidence.is_empty() {
        return vec![
            "When this person is best reached is not known: nothing was seen yet".to_owned(),
        ];
    }
    let chances = best_chances(preference, &mut ChaCha8Rng::seed_from_u64(1));
    let best =
        (1..chances.len()).fold(0, |best, p| if chances[p] > chances[best] { p } else { best });
    let (_, when, hours) = PARTS[best];
    let chance = 100.0 * chances[best];
    let first = if chances[best] >= SURE {
        format!("Best reached {when} ({hours}): that is {chance:.0} % sure")
    } else {
        format!("Perhaps best reached {when} ({hours}): that is only {chance:.0} % sure")
    };
    let weekend = preference.presence()[120..].iter().sum::<f64>();
    let days = match weekend / 48.0 / ((1.0 - weekend) / 120.0) {
        _ if preference.evidence() < THIN => None,
        more if more > KEEPS => Some("Seen more on weekends than on working days"),
        less if less < 1.0 / KEEPS => Some("Seen more on working days than on weekends"),
        _ => None,
    };
    std::iter::once(first).chain(days.map(str::to_owned)).collect()
}

async fn export(ctx: &Ctx, out: PathBuf) -> anyhow::Result<()> {
    let people = People::load(ctx).await?;
    let model = ActiveModel::load(ctx).await?;
    let contents: Vec<_> = ctx.store.read().await?.contents().await?;
    let mut header: Vec<String> =
        ["recipient", "time_zone", "chronotype", "evidence"].map(String::from).to_vec();
    header.extend((0..WEEK_HOURS).map(|hour| format!("h{hour:03}")));
    header.extend(contents.iter().map(|content| format!("media_{content}")));
    let mut output = Output::create(&out, &header)?;
    let bar = progress("writing", Some(people.recipients.len() as u64));
    for (index, recipient) in people.recipients.iter().enumerate() {
        let asked = people.subject(index, ctx.config.time_zone);
        let preference = model.preference(&asked);
        let mut cells = vec![
            recipient.key.to_string(),
            asked.zone.name().to_owned(),
            preference.chronotype().to_owned(),
            number(preference.evidence()),
        ];
        cells.extend(preference.presence().map(number));
        cells.extend(contents.iter().map(|content| number(preference.taste(content))));
        output.row(cells)?;
        bar.inc(1);
    }
    output.finish()?;
    bar.finish_and_clear();
    note(format_args!("{} people written", people.recipients.len()));
    Ok(())
}
