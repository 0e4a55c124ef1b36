//! `plan`, `explain`: what would be sent to whom when, and why.

use std::path::{Path, PathBuf};

use super::campaign::find_campaign;
use super::print::{Show, note};
use super::{BadInput, Env, find_recipient};
use crate::files::{Output, number};
use crate::model::delivery::message_key;
use crate::model::ids::{Name, RecipientKey};
use crate::model::slot::SlotLength;
use crate::model::time::format_instant;
use crate::plan::SlotLoad;
use crate::work::plan::{self, CampaignPlan, Explained, PlanInputs, PlanScope, local_time};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The campaign's name.
    name: Name,
    /// Write a row a person.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Write the value of each allowed slot to each personalized person.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Write what each slot takes, and its price.
    #[arg(long, value_name = "FILE")]
    capacity: Option<PathBuf>,
    /// Store nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let row = find_campaign(&ctx, &args.name).await?;
    if let Some(told) = plan::why_not(&row) {
        anyhow::bail!(BadInput(told));
    }
    if !ctx.config.providers.contains_key(&row.campaign.provider) {
        anyhow::bail!(plan::PlanError::NoProvider {
            campaign: args.name,
            provider: row.campaign.provider.clone()
        });
    }
    let rows = vec![(row, PlanScope::Everybody)];
    let planned =
        if args.dry_run { plan::dry_run(&ctx, rows).await } else { plan::decide(&ctx, rows).await };
    let (inputs, plans) = planned?;
    if let Some(path) = &args.values {
        write_values(path, &inputs, ctx.config.slot_length)?;
    }
    for campaign_plan in &plans {
        if let Some(path) = &args.export {
            write_plan(path, &inputs, campaign_plan, ctx.config.slot_length)?;
        }
        if let Some(path) = &args.capacity {
            write_capacity(path, &campaign_plan.plan.slots, ctx.config.slot_length)?;
        }
        env.printer.show(&campaign_plan.summary())?;
    }
    if args.dry_run {
        note("Nothing is stored.");
    }
    Ok(())
}

fn write_values(path: &Path, inputs: &PlanInputs, length: SlotLength) -> anyhow::Result<()> {
    let mut output = Output::create(path, &["recipient", "slot_start", "value"])?;
    let mut failed = None;
    inputs.each_value(|key, slot, value| {
        if failed.is_none() {
            let cells = [key.to_string(), format_instant(slot.start(length)), number(value)];
            failed = output.row(cells).err();
        }
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(output.finish()?),
    }
}

fn write_capacity(path: &Path, slots: &[SlotLoad], length: SlotLength) -> anyhow::Result<()> {
    let mut output =
        Output::create(path, &["slot_start", "capacity", "reserved", "planned", "price"])?;
    for slot in slots {
        output.row([
            format_instant(slot.slot.start(length)),
            slot.capacity.map(|capacity| capacity.to_string()).unwrap_or_default(),
            slot.reserved.to_string(),
            slot.planned.to_string(),
            number(slot.price),
        ])?;
    }
    Ok(output.finish()?)
}

fn write_plan(
    path: &Path,
    inputs: &PlanInputs,
    campaign_plan: &CampaignPlan,
    length: SlotLength,
) -> anyhow::Result<()> {
    const HEADER: [&str; 18] = [
        "message",
        "recipient",
        "campaign",
        "outcome",
        "reason",
        "variant",
        "media",
        "style",
        "arm",
        "slot_start",
        "send_at",
        "local_time",
        "time_zone",
        "value",
        "chance",
        "runner_up_slot",
        "runner_up_value",
        "propensity",
    ];
    let campaign = &campaign_plan.row.campaign;
    let mut output = Output::create(path, &HEADER)?;
    let rows =
        campaign_plan.plan.deliveries.iter().zip(&campaign_plan.chosen).zip(&campaign_plan.zones);
    for ((delivery, index), zone) in rows {
        let choice = delivery.choice.as_ref();
        let text = |text: Option<String>| text.unwrap_or_default();
        let variant = choice.map(|c| &campaign.variants[usize::from(c.variant_index)]);
        let runner_up = choice.and_then(|c| c.runner_up);
        output.row([
            message_key(&campaign.name, delivery.recipient).to_string(),
            inputs.people.recipients[*index].key.to_string(),
            campaign.name.to_string(),
            delivery.state.to_string(),
            delivery.reason.to_string(),
            text(choice.map(|c| c.variant.to_string())),
            text(variant.map(|v| v.content.media.to_string())),
            text(variant.and_then(|v| v.content.style.as_ref()).map(ToString::to_string)),
            text(delivery.arm.map(|arm| arm.to_string())),
            text(choice.map(|c| format_instant(c.slot.start(length)))),
            text(choice.map(|c| format_instant(c.send_at))),
            text(local_time(delivery, *zone).map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string())),
            zone.name().to_owned(),
            text(choice.map(|c| number(c.value))),
            text(choice.map(|c| number(c.chance))),
            text(runner_up.map(|(slot, _)| format_instant(slot.start(length)))),
            text(runner_up.map(|(_, value)| number(value))),
            text(choice.and_then(|c| c.propensity).map(number)),
        ])?;
    }
    Ok(output.finish()?)
}

#[derive(clap::Args)]
pub(super) struct ExplainArgs {
    /// The campaign's name.
    name: Name,
    /// The caller's id of the person.
    recipient: RecipientKey,
}

impl Show for Explained {
    fn text(&self) -> String {
        self.explanation.clone()
    }
}

pub(super) async fn explain(args: ExplainArgs, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let row = find_campaign(&ctx, &args.name).await?;
    let recipient = find_recipient(&ctx, &args.recipient).await?;
    let Some(explained) = plan::explain_in_words(&ctx, row, &recipient).await? else {
        let key = args.recipient.as_str();
        anyhow::bail!(BadInput(format!("{key:?} is not of the audience of {}", args.name)));
    };
    env.printer.show(&explained)
}
