//! `preferences`: what is known of a person's habits, and everybody's in one file.

use std::path::PathBuf;

use super::print::{Show, note, progress};
use super::{Env, find_recipient};
use crate::files::{Output, number};
use crate::model::ids::RecipientKey;
use crate::model::preference::WEEK_HOURS;
use crate::work::Ctx;
use crate::work::learn::{ActiveModel, People};
use crate::work::preferences::{self, HabitFigure, PersonPreferences, THIN, Taste};
use clap::Subcommand;

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

/// Hours that are told with their ranges.
const HOURS_TOLD: usize = 5;
/// Chronotypes of a mix that are told.
const MIX_TOLD: usize = 3;

impl Show for PersonPreferences {
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
        text.push_str(&kind(self));
        if let Some(change) = self.change_words() {
            text.push_str(&format!("{change}\n"));
        }
        for sentence in &self.best_reached {
            text.push_str(&format!("{sentence}\n"));
        }
        text.push('\n');
        text.push_str(&week(self));
        text.push_str("\nMost present, in % of the week (90 % range):\n");
        let mut hours: Vec<(usize, &HabitFigure)> = self.presence.iter().enumerate().collect();
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
        if !self.channels.is_empty() {
            text.push_str("\nChance to answer on each channel (90 % range):\n");
        }
        for of in &self.channels {
            text.push_str(&figure(&of.channel, of.share, of.low, of.high));
        }
        if !self.tastes.is_empty() {
            text.push_str("\nChance to engage, relative to the person's average (90 % range):\n");
        }
        for taste in &self.tastes {
            let Taste { content, relative, low, high } = taste;
            text.push_str(&figure(content, *relative, *low, *high));
        }
        text
    }
}

/// A line of a figure with its range.
fn figure(name: &str, value: f64, low: f64, high: f64) -> String {
    format!("  {name:<20} {value:.2} ({low:.2} to {high:.2})\n")
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Which kind of person this is, and from what that is known.
fn kind(known: &PersonPreferences) -> String {
    let mut text = String::new();
    if known.evidence > 0.0 {
        let share = 100.0 * known.chronotype_share;
        text.push_str(&format!("Nearest chronotype: {} ({share:.0} %)\n", known.chronotype));
    }
    if known.evidence < THIN {
        let told = known.prior.shares.iter().take(MIX_TOLD);
        let shares: Vec<String> =
            told.map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
        let from = if known.prior.from.is_empty() {
            "everybody".to_owned()
        } else {
            format!("people of {}", known.prior.from.join(", "))
        };
        let much = if known.evidence > 0.0 { "Little" } else { "Nothing" };
        let shares = shares.join(", ");
        text.push_str(&format!("{much} is known: expected as of {from} ({shares}, …)\n"));
    }
    text
}

/// A heat map of the week: a line a day, a sign an hour.
fn week(known: &PersonPreferences) -> String {
    const SHADES: [char; 6] = ['·', '░', '▒', '▓', '█', '█'];
    let most = known.presence.iter().map(|p| p.mean).fold(f64::MIN_POSITIVE, f64::max);
    let mut text = "    0  3  6  9  12 15 18 21\n".to_owned();
    for (day, hours) in DAYS.iter().zip(known.presence.chunks(24)) {
        let shade = |p: &HabitFigure| SHADES[((p.mean / most * 5.0) as usize).min(5)];
        text.push_str(&format!("{day} {}\n", hours.iter().map(shade).collect::<String>()));
    }
    text
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
    env.printer.show(&preferences::of(ctx, &recipient).await?)
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
