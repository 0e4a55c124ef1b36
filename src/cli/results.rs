//! `campaign results`: what a campaign brought, by arm, with intervals and alarms.

use super::campaign::{failures_text, states_table};
use super::print::{Show, table};
use crate::work::experiment::{ExperimentResult, PartResult};
use crate::work::interval::Interval;
use crate::work::results::Results;

impl Show for Results {
    fn text(&self) -> String {
        let columns = self.columns();
        let mut shown = table(&columns.each_ref().map(String::as_str));
        for arm in &self.arms {
            let forecast = arm.forecast.map(|f| format!("{:.1} %", 100.0 * f)).unwrap_or_default();
            shown.add_row([
                arm.arm.to_string(),
                arm.people.to_string(),
                arm.sent.to_string(),
                arm.delivered.to_string(),
                arm.engaged.to_string(),
                arm.engagement.percent(),
                arm.engagement_of_sent.map(Interval::percent).unwrap_or_default(),
                forecast,
                arm.opted_out.to_string(),
            ]);
        }
        let mut text = format!(
            "{}\n{shown}\nOf people assigned: what an arm brings, with those who got no message; \
             compare arms by it.\nOf messages sent: how well messages did that went out; arms \
             differ in whom they reach, so do not compare arms by it.\n",
            self.name
        );
        if let Some(lift) = self.lift {
            text.push_str(&format!(
                "Personalized minus control, of people assigned: {}. The interval holds \
                 while somebody looks every day.\n",
                points(lift)
            ));
        }
        if let Some(lift) = self.lift_adjusted {
            text.push_str(&format!("Adjusted by what was forecast before: {}.\n", points(lift)));
        }
        if let Some(experiment) = &self.experiment {
            text.push_str(&experiment_text(experiment));
        }
        if let Some(spend) = &self.spend {
            text.push_str(&format!("{}\n", spend.sentence()));
        }
        for fallback in &self.fallbacks {
            text.push_str(&format!("{}\n", fallback.sentence()));
        }
        let audience = self.states.iter().map(|count| count.people).sum();
        text + &states_table(&self.states, audience) + &failures_text(&self.failures)
    }
}

/// A difference of shares, as people read it.
fn points(difference: Interval) -> String {
    let Interval { mean, low, high } = difference;
    let sure = if low > 0.0 || high < 0.0 { "" } else { "; it may be none" };
    let [mean, low, high] = [mean, low, high].map(|share| 100.0 * share);
    format!("{mean:+.1} points ({low:+.1} to {high:+.1}){sure}")
}

/// What else an experiment shows: alarms, and findings of variants, countries and tags.
fn experiment_text(experiment: &ExperimentResult) -> String {
    let mut text = String::new();
    if experiment.mismatch.is_some_and(|mismatch| mismatch.alarm) {
        text.push_str(
            "ALARM: people are not in the arms as the shares say, by more than chance does. Something \
             loses people of an arm: do not compare arms before it is found.\n",
        );
    }
    let mut findings = |parts: &[PartResult], what: &str| {
        for part in parts.iter().filter(|part| part.found) {
            text.push_str(&format!("{what} {}: {}.\n", part.name, points(part.difference)));
        }
    };
    findings(&experiment.variants, "Beside the other variants, corrected by Holm:");
    for (parts, of) in [(&experiment.countries, "in"), (&experiment.tags, "of the tag")] {
        let what = "Personalized minus control, corrected by Benjamini and Yekutieli,";
        findings(parts, &format!("{what} {of}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content::Goal;
    use crate::model::delivery::Arm;
    use crate::model::time::Instant;
    use crate::work::results::ArmResult;

    #[test]
    fn results_show_both_rates_and_say_which_answers_which_question() {
        let arm = ArmResult {
            arm: Arm::Control,
            people: 200,
            sent: 100,
            delivered: 90,
            engaged: 30,
            opted_out: 0,
            engagement: Interval::of_share(30, 200),
            engagement_of_sent: Some(Interval::of_share(30, 100)),
            forecast: None,
        };
        let results = Results {
            name: "sale".parse().unwrap(),
            counted_at: Instant::UNIX_EPOCH,
            goal: Goal::Read,
            within_hours: 2.0,
            arms: vec![arm],
            calibration: Vec::new(),
            lift: None,
            lift_adjusted: None,
            experiment: None,
            states: Vec::new(),
            failures: Vec::new(),
            spend: None,
            fallbacks: Vec::new(),
        };
        let text = results.text();
        for words in [
            "15.0 % (10.7 to 20.6)",
            "30.0 % (21.9 to 39.6)",
            "compare arms by it",
            "do not compare arms by it",
        ] {
            assert!(text.contains(words), "{words} is missing in {text}");
        }
    }
}
