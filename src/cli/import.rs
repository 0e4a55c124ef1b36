//! `import`: a history file comes in.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use serde::Serialize;

use super::print::{Show, note, progress};
use super::{BadInput, Env};
use crate::files;
use crate::work::import::{self, ImportError, Imported, Strictness};
use crate::work::opt_outs;

/// Refused rows that people are shown; `--json` lists more.
const REFUSALS_SHOWN: usize = 20;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Which of the files it is.
    what: What,
    /// The CSV file; `.gz` is decompressed, `-` is the standard input.
    file: PathBuf,
    /// Load nothing if any row is bad.
    #[arg(long)]
    strict: bool,
    /// The tool whose export it is: klaviyo, hubspot, shopify, mailchimp or brevo.
    #[arg(long)]
    from: Option<String>,
    /// Of that export, whose addresses and consent are taken: whatsapp, sms or mail.
    #[arg(long, requires = "from")]
    channel: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Recipients,
    Messages,
    Activity,
    Events,
    OptOuts,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Imported);

impl Show for Shown {
    fn text(&self) -> String {
        let i = &self.0;
        let mut text = format!(
            "{} rows: {} new, {} updated, {} known already, {} refused.",
            i.rows, i.new, i.updated, i.same, i.refused
        );
        let more = [
            (i.consents, "entries added to the consent ledger"),
            (i.recipients_created, "recipients created without consent"),
            (i.unknown, "opt-outs of addresses that nobody has"),
            (i.zones_inferred, "time zones inferred from country or dialling code"),
        ];
        for (count, what) in more.iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!("\n{count} {what}."));
        }
        text
    }
}

fn layout(args: &Args) -> anyhow::Result<Option<files::Layout>> {
    let Some(tool) = &args.from else { return Ok(None) };
    let found = match args.what {
        What::Recipients => files::layout(tool, args.channel.as_deref()),
        _ => Err(files::LayoutError::File { tool: tool.clone() }),
    };
    found.map(Some).map_err(|error| BadInput(error.to_string()).into())
}

fn tell_refusals(imported: &Imported) {
    for remark in &imported.remarks {
        note(remark);
    }
    for refusal in imported.refusals.iter().take(REFUSALS_SHOWN) {
        note(format_args!("refused {refusal}"));
    }
    let hidden = imported.refused.saturating_sub(REFUSALS_SHOWN as u64);
    if hidden > 0 {
        note(format_args!("refused {hidden} more rows; --json lists up to 1000"));
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let layout = layout(&args)?;
    let input = files::open(&args.file)?;
    let strictness = if args.strict { Strictness::Strict } else { Strictness::Lenient };
    let bar = progress("importing", input.size);
    let position = std::sync::Arc::clone(&input.position);
    let tick = |_| bar.set_position(position.load(Ordering::Relaxed));
    let done = match args.what {
        What::Recipients => match layout {
            Some(layout) => import::recipients_from(&ctx, input, layout, strictness, tick).await,
            None => import::recipients(&ctx, input, strictness, tick).await,
        },
        What::OptOuts => opt_outs::load(&ctx, input, strictness, tick).await,
        What::Messages => import::messages(&ctx, input, strictness, tick).await,
        What::Events => import::events(&ctx, input, strictness, tick).await,
        What::Activity => import::activity(&ctx, input, strictness, tick).await,
    };
    bar.finish_and_clear();
    match &done {
        Ok(imported) => tell_refusals(imported),
        Err(ImportError::Strict(imported)) => tell_refusals(imported),
        Err(_) => {}
    }
    env.printer.show(&Shown(done?))
}
