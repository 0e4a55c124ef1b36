//! What other policies would have brought, by the workspace's own history: from messages whose slot
//! and content were drawn at random, and whose chance to be drawn is known.
//!
//! Counted is only what was drawn: by an explore or Thompson arm, or in imported history with the
//! column `propensity`. What was chosen is none of it, however sure the plan was of it. The older
//! part of these messages teaches, the newer part judges, so that nobody is judged by what they have
//! learned. Actions are coarse, part of the day × weekend × medium: finer ones leave a handful of
//! matches. The chance of an action is the person's own, summed over the slots and contents that
//! make it up.
//!
//! - `findings`: what is asked, and what comes of it
//! - `trials`: the messages, what each person could have got, and with what chance
//! - `policies`: what each policy would have done, and its value

mod findings;
mod policies;
mod trials;

pub use self::findings::{Findings, PolicyValue, Question};

use self::policies::Judges;
use self::trials::{Log, Trial};
use super::Ctx;
use super::habits::SEED;
use super::habits::{Taught, contents};
use super::learn::{self, LearnError, People};
use crate::learn::off_policy::{LoggedMessage, logged_value};
use crate::learn::{Settings, fit};

/// Asks the workspace's history.
pub async fn run(
    ctx: &Ctx,
    question: Question,
    mut progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Findings, LearnError> {
    progress("folding history", 0.0);
    match learn::catch_up(ctx).await {
        Ok(()) | Err(LearnError::Busy) => {}
        Err(error) => return Err(error),
    }
    let people = People::load(ctx).await?;
    let mut log = Log::read(ctx, &people, question).await?;
    let (trials, from) = log.divide(question.holdout);
    let Some(from) = from else {
        log.notes.push(
            "No message was sent at random with a known chance: give campaigns an explore arm, or \
             fill the column propensity of messages.csv."
                .to_owned(),
        );
        return Ok(findings(question, &[], Vec::new(), log.notes));
    };
    let contents = contents(&ctx.store.read().await?.contents().await?);
    let taught = Taught::load(ctx, Settings::default().sample_max, from).await?;
    let zone = ctx.config.time_zone;
    let judge = move || {
        let sample = taught.subjects(zone);
        let model = fit(&sample, &contents, &Settings::default(), from, SEED, &mut progress)?;
        let judges =
            Judges { people: &people, zone, from, contents: &contents, model: &model, question };
        let policies = judges.all(&trials, &log.options, &log.rows, &sample);
        Ok((trials, policies, log.notes))
    };
    let judged = tokio::task::spawn_blocking(judge).await.map_err(|_| LearnError::Panicked)?;
    let (trials, policies, notes) = judged.map_err(LearnError::Fit)?;
    Ok(findings(question, &trials, policies, notes))
}

fn findings(
    question: Question,
    trials: &[Trial],
    policies: Vec<PolicyValue>,
    notes: Vec<String>,
) -> Findings {
    let row = |trial: &Trial| LoggedMessage {
        person: trial.person as u64,
        logged: 1.0,
        target: 1.0,
        reward: trial.reward,
        expected: 0.0,
        expected_of_target: 0.0,
    };
    let rewards: Vec<LoggedMessage> = trials.iter().map(row).collect();
    Findings {
        goal: question.goal,
        within_hours: question.within.as_secs_f64() / 3600.0,
        messages: trials.len(),
        logged: (!rewards.is_empty()).then(|| logged_value(&rewards)),
        policies,
        notes,
    }
}
