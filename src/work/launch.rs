//! A campaign before its launch: the audience step by step down to who is planned, when each arm sends,
//! and how each variant will read.

use std::collections::BTreeMap;

use chrono::Timelike;

use super::Ctx;
use super::campaigns;
use super::check::{self, CheckError, Checked};
use super::plan::{CampaignPlan, PlanInputs};
use crate::calendar::zone;
use crate::model::campaign::Campaign;
use crate::model::delivery::{Arm, Reason};
use crate::model::ids::RecipientKey;
use crate::model::time::{Instant, hour_of};

/// People of each reason that are named.
pub const NAMED_MAX: usize = 100;

/// What is known of a campaign before its launch.
#[derive(Debug)]
pub struct Launch {
    /// The campaign.
    pub campaign: Campaign,
    /// Its plan in figures, and warnings.
    pub checked: Checked,
    /// Everybody in the workspace.
    pub known: u64,
    /// Those who are refused, by reason.
    pub refused: Vec<RefusedPeople>,
    /// Planned messages by arm and hour of the recipients' own clocks.
    pub by_local_hour: BTreeMap<Arm, [u64; 24]>,
    /// Planned messages by UTC hour and arm.
    pub by_hour: BTreeMap<Instant, BTreeMap<Arm, u64>>,
}

/// People who are refused for one reason.
#[derive(Debug)]
pub struct RefusedPeople {
    /// Why.
    pub reason: Reason,
    /// How many.
    pub people: u64,
    /// The first of them.
    pub named: Vec<RecipientKey>,
}

/// Checks a campaign and plans it on a copy of what is stored; `step` is told what is being done.
pub async fn look_at(
    ctx: &Ctx,
    source: &str,
    step: impl Fn(&'static str),
) -> Result<Launch, CheckError> {
    step("reading the campaign");
    let campaign = campaigns::check(ctx, source).await?;
    let launch = |checked, known| Launch {
        campaign: campaign.clone(),
        checked,
        known,
        refused: Vec::new(),
        by_local_hour: BTreeMap::new(),
        by_hour: BTreeMap::new(),
    };
    if campaign.trigger.is_some() {
        step("looking for what it waits for");
        let checked = check::awaited(ctx, &campaign).await?;
        return Ok(launch(checked, ctx.store.read().await?.recipient_count().await?));
    }
    let (checked, inputs, planned) = check::planned(ctx, campaign.clone(), &step).await?;
    step("adding up");
    let mut launch = launch(checked, ctx.store.read().await?.recipient_count().await?);
    launch.add_up(&inputs, &planned);
    Ok(launch)
}

impl Launch {
    fn add_up(&mut self, inputs: &PlanInputs, planned: &CampaignPlan) {
        let mut refused: BTreeMap<Reason, RefusedPeople> = BTreeMap::new();
        let people = planned.chosen.iter().zip(&planned.zones);
        for (delivery, (person, zone)) in planned.plan.deliveries.iter().zip(people) {
            let Some(choice) = &delivery.choice else {
                let none =
                    || RefusedPeople { reason: delivery.reason, people: 0, named: Vec::new() };
                let of = refused.entry(delivery.reason).or_insert_with(none);
                of.people += 1;
                if of.named.len() < NAMED_MAX {
                    of.named.push(inputs.people.recipients[*person].key.clone());
                }
                continue;
            };
            let Some(arm) = delivery.arm else { continue };
            let local = zone::local(choice.send_at, *zone).hour() as usize;
            self.by_local_hour.entry(arm).or_default()[local] += 1;
            let hour = self.by_hour.entry(hour_of(choice.send_at)).or_default();
            *hour.entry(arm).or_default() += 1;
        }
        self.refused = refused.into_values().collect();
        self.refused.sort_by_key(|of| std::cmp::Reverse(of.people));
    }

    /// Everybody whom the campaign is meant for.
    pub fn audience(&self) -> u64 {
        self.planned() + self.refused.iter().map(|of| of.people).sum::<u64>()
    }

    /// Those who would be written to.
    pub fn planned(&self) -> u64 {
        self.checked.plan.as_ref().map_or(0, |plan| plan.planned)
    }
}

/// How the text of a field becomes a value.
type ReadField<'r> = &'r dyn Fn(&str) -> Option<toml::Value>;

/// What is tried instead, field by field; empty fields stay as the file has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// Messages an hour.
    pub per_hour: String,
    /// Agents who take the replies.
    pub agents: String,
    /// The budget's amount.
    pub budget: String,
    /// The window's first moment.
    pub start: String,
    /// The window's end.
    pub end: String,
    /// The share of control; the personalized arm takes the rest.
    pub control: String,
}

impl WhatIf {
    /// Whether nothing is tried.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The campaign file with the fields put in; what is wrong with one is told.
    pub fn apply(&self, source: &str) -> Result<String, String> {
        let mut file: toml::Table =
            source.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let whole = |text: &str| text.trim().parse().map(toml::Value::Integer).ok();
        let real = |text: &str| text.trim().parse().map(toml::Value::Float).ok();
        let moment = |text: &str| text.trim().parse().map(toml::Value::Datetime).ok();
        let fields: [(&str, &str, &str, ReadField<'_>, &str); 6] = [
            (&self.per_hour, "capacity", "per_hour", &whole, "a whole number"),
            (&self.agents, "capacity", "agents", &whole, "a whole number"),
            (&self.budget, "budget", "amount", &real, "a number"),
            (&self.start, "window", "start", &moment, "a time such as 2026-12-01T09:00:00"),
            (&self.end, "window", "end", &moment, "a time such as 2026-12-01T09:00:00"),
            (&self.control, "arms", "control", &real, "a share such as 0.1"),
        ];
        for (text, part, key, read, wanted) in fields {
            if text.trim().is_empty() {
                continue;
            }
            let value =
                read(text).ok_or_else(|| format!("{part}.{key}: {text:?} is not {wanted}"))?;
            let part = file.entry(part).or_insert_with(|| toml::Table::new().into());
            if let Some(part) = part.as_table_mut() {
                part.insert(key.to_owned(), value);
            }
        }
        if !self.control.trim().is_empty()
            && let Some(arms) = file.get_mut("arms").and_then(toml::Value::as_table_mut)
        {
            let share =
                |value: &toml::Value| value.as_float().or(value.as_integer().map(|i| i as f64));
            let others = arms.iter().filter(|(key, _)| *key != "personalized");
            let others: f64 = others.filter_map(|(_, value)| share(value)).sum();
            arms.insert("personalized".to_owned(), toml::Value::Float(1.0 - others));
        }
        toml::to_string(&file).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"a\"\nprovider = \"console\"\n[window]\nstart = 2030-03-01T09:00:00\n\
        end = 2030-03-07T21:00:00\n[arms]\npersonalized = 0.9\nexplore = 0.1\n[[variant]]\n\
        name = \"words\"\nmedia = \"text\"\ntext = \"Hello\"\n";

    #[test]
    fn what_is_tried_is_put_into_the_file() {
        let tried = WhatIf {
            per_hour: "500".to_owned(),
            end: "2030-03-03T21:00:00".to_owned(),
            control: "0.2".to_owned(),
            ..WhatIf::default()
        };
        let campaign = Campaign::from_toml(&tried.apply(FILE).unwrap()).unwrap();
        assert_eq!(campaign.capacity.per_hour, Some(500));
        assert_eq!(campaign.window.end.to_string(), "2030-03-03 21:00:00");
        assert!((campaign.arms.personalized - 0.7).abs() < 1e-9);
        assert_eq!(
            WhatIf::default().apply(FILE).map(|text| Campaign::from_toml(&text).is_ok()),
            Ok(true)
        );
        let wrong = WhatIf { agents: "many".to_owned(), ..WhatIf::default() };
        assert_eq!(
            wrong.apply(FILE).unwrap_err(),
            "capacity.agents: \"many\" is not a whole number"
        );
    }
}
