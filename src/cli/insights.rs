//! `insights`: what a marketer should know of the population.

use serde::Serialize;

use super::Env;
use super::print::Show;
use crate::work::insights::{self, Insight};

#[derive(Serialize)]
#[serde(transparent)]
struct Insights(Vec<Insight>);

impl Show for Insights {
    fn text(&self) -> String {
        text(&self.0)
    }
}

/// A line an insight, or a word that there is none.
pub(super) fn text(insights: &[Insight]) -> String {
    if insights.is_empty() {
        return "Nothing is known yet: nothing was learned, or there is no history.".to_owned();
    }
    let mut text = String::new();
    let (sure, unsure): (Vec<&Insight>, Vec<&Insight>) =
        insights.iter().partition(|insight| insight.sure);
    if sure.is_empty() {
        text.push_str("Nothing is sure yet.\n");
    }
    for insight in sure {
        text.push_str(&format!("- {}\n", insight.text));
        if let Some(day) = &insight.drawn {
            text.push_str(&format!("    0h {day} 24h\n"));
        }
        if let Some(advice) = &insight.advice {
            text.push_str(&format!("    What follows: {advice}\n"));
        }
    }
    if !unsure.is_empty() {
        text.push_str("Not known:\n");
    }
    for insight in unsure {
        text.push_str(&format!("- {}\n", insight.text));
    }
    text
}

pub(super) async fn run(env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    env.printer.show(&Insights(insights::run(&ctx).await?))
}
