//! `demo`: the main job, end to end, with no settings and no set-up.

use std::path::PathBuf;

use serde::Serialize;

use super::print::{Show, note, progress};
use super::{Env, insights};
use crate::demo::{self, DemoResult};
use crate::world::spec::Spec;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder to work in; made when it is not there.
    #[arg(long, value_name = "DIR", default_value = "opportune-demo")]
    out: PathBuf,
    /// Of the world and its people's habits; the same seed gives the same demo.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(DemoResult);

impl Show for Shown {
    fn text(&self) -> String {
        let told = &self.0;
        let [recipients, messages, activity] = &told.imported;
        let mut text = format!(
            "Imported {} people, {} messages and {} signs of presence.\n\n",
            recipients.new, messages.new, activity.new
        );
        for (plan, results) in told.plans.iter().zip(&told.results) {
            text.push_str(&format!("# Plan\n{}\n# Outcome\n{}\n\n", plan.text(), results.text()));
        }
        text.push_str(&format!("# Insights\n{}", insights::text(&told.insights)));
        text
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let bar = progress("", None);
    let shown = bar.clone();
    let told = demo::run(&args.out, &Spec::demo(), args.seed, move |phase| {
        shown.set_message(phase.to_owned());
        shown.tick();
    })
    .await;
    bar.finish_and_clear();
    env.printer.show(&Shown(told?))?;
    let out = args.out.display();
    note(format_args!(
        "\nThe workspace is in {out}, with the report in {out}/report.html. Go on with, for example:\n  \
         opportune --config {out}/opportune.toml preferences show p000001\n  \
         opportune --config {out}/opportune.toml campaign results spring-sale"
    ));
    Ok(())
}
