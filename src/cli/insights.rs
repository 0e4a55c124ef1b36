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
        return "Nothing is sure yet: the history is too short, or too much alike.".to_owned();
    }
    insights.iter().map(|insight| format!("- {}\n", insight.text)).collect()
}

pub(super) async fn run(env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    env.printer.show(&Insights(insights::run(&ctx).await?))
}
