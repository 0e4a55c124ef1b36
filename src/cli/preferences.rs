//! `preferences`: what is known of a person's habits, and everybody's in one file.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::print::{Show, note, progress};
use super::{Env, find_recipient};
use crate::files::{Output, number};
use crate::learn::Evidence;
use crate::model::ids::RecipientKey;
use crate::model::preference::WEEK_HOURS;
use crate::work::Ctx;
use crate::work::learn::{InUse, People, subject};

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
    presence: Vec<Presence>,
    tastes: Vec<Taste>,
}

#[derive(Serialize)]
struct Presence {
    mean: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct Taste {
    content: String,
    relative: f64,
}

impl Show for Known {
    fn text(&self) -> String {
        let mut text = format!(
            "{} in {}{}\n{} messages and {} signs of presence, worth {:.1} observations; \
             chronotype {:?} ({:.0} % sure)\n\n{}",
            self.recipient,
            self.time_zone,
            if self.zone_inferred { " (inferred)" } else { "" },
            self.messages,
            self.signs_of_presence,
            self.evidence,
            self.chronotype,
            100.0 * self.chronotype_share,
            self.week()
        );
        if let Some(best) =
            self.presence.iter().enumerate().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))
        {
            let (hour, range) = best;
            text.push_str(&format!(
                "\nMost present {} {:02}:00–{:02}:00: {:.1} % of the week, between {:.1} and {:.1} % \
                 with 90 % certainty.\n",
                DAYS[hour / 24],
                hour % 24,
                hour % 24 + 1,
                100.0 * range.mean,
                100.0 * range.low,
                100.0 * range.high
            ));
        }
        for taste in &self.tastes {
            text.push_str(&format!("{:<20} {:.2} × the average\n", taste.content, taste.relative));
        }
        text
    }
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Known {
    /// A heat map of the week: a line a day, a sign an hour.
    fn week(&self) -> String {
        const SHADES: [char; 6] = ['·', '░', '▒', '▓', '█', '█'];
        let most = self.presence.iter().map(|p| p.mean).fold(f64::MIN_POSITIVE, f64::max);
        let mut text = "    0  3  6  9  12 15 18 21\n".to_owned();
        for (day, hours) in DAYS.iter().zip(self.presence.chunks(24)) {
            let shade = |p: &Presence| SHADES[((p.mean / most * 5.0) as usize).min(5)];
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
    let mut found = ctx.store.evidence_of(&[recipient.id]).await?;
    let evidence = match found.remove(&recipient.id) {
        Some(packed) => Evidence::from_bytes(packed)?,
        None => Evidence::default(),
    };
    let model = InUse::load(ctx).await?;
    let asked = subject(&recipient, &evidence, ctx.config.time_zone);
    let preference = model.preference(&asked);
    let ranges = preference.presence_ranges();
    let taste = |content| Taste {
        content: ToString::to_string(content),
        relative: preference.taste(content),
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
        presence: ranges
            .iter()
            .map(|r| Presence { mean: r.mean.into(), low: r.low.into(), high: r.high.into() })
            .collect(),
        tastes: preference.contents().map(taste).collect(),
    };
    env.printer.show(&known)
}

async fn export(ctx: &Ctx, out: PathBuf) -> anyhow::Result<()> {
    let people = People::load(ctx).await?;
    let model = InUse::load(ctx).await?;
    let contents: Vec<_> = ctx.store.contents().await?;
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
