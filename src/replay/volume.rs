//! Volume chosen by budget, as one of the field does it: how many messages a person gets in a week is
//! not the same cap for all, but what a budget of messages buys where each is worth most (Zhao, Narita,
//! Orten and Egan, KDD 2018).
//!
//! The budget of a week is as many messages as the campaigns' caps would let through for everybody. A
//! person's next message is worth the chance that the model expects of the best campaign left for them,
//! less the opt-outs that it costs, so that each is worth less than the one before and the budget's best
//! messages are the best numbers of messages. What is sent, and when, the model decides as it does
//! without.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::campaign::Campaign;
use crate::model::frequency::Cap;
use crate::model::ids::{Name, RecipientId};
use crate::model::preference::Preference;
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::store::StoreError;
use crate::work::Ctx;
use crate::work::learn::{ActiveModel, People};

/// Who gets each campaign.
pub(super) struct WeeklyVolumes(BTreeMap<Name, BTreeSet<RecipientId>>);

impl WeeklyVolumes {
    /// Chooses for each week of `campaigns`, counted from `start`, by what is known now.
    pub(super) async fn choose(
        ctx: &Ctx,
        model: &ActiveModel,
        (start, campaigns): (Instant, &[Campaign]),
    ) -> Result<Self, StoreError> {
        let people = People::load(ctx).await?;
        let mut weeks: BTreeMap<i64, Vec<&Campaign>> = BTreeMap::new();
        for campaign in campaigns {
            let days = (campaign.window.start - start.naive_utc()).num_days();
            weeks.entry(days.div_euclid(7)).or_default().push(campaign);
        }
        let reachable: Vec<(&Recipient, Preference)> = (people.recipients.iter().enumerate())
            .filter(|(_, person)| person.consented && person.profile.address.is_some())
            .map(|(at, person)| {
                (person, model.preference(&people.subject(at, ctx.config.time_zone)))
            })
            .collect();
        let mut chosen: BTreeMap<Name, BTreeSet<RecipientId>> = BTreeMap::new();
        for campaigns in weeks.values() {
            let messages = budget(campaigns).map_or(usize::MAX, |cap| cap * reachable.len());
            let worth = |(person, preference): &(&Recipient, Preference)| {
                let of = campaigns
                    .iter()
                    .map(|campaign| worth(preference, campaign, ctx.config.opt_out_cost));
                (person.id, of.collect())
            };
            let worth: Vec<(RecipientId, Vec<f64>)> = reachable.iter().map(worth).collect();
            for (person, campaign) in best(&worth, messages) {
                chosen.entry(campaigns[campaign].name.clone()).or_default().insert(person);
            }
        }
        Ok(Self(chosen))
    }

    /// Whether a person is to get a campaign.
    pub(super) fn let_through(&self, campaign: &Campaign, recipient: &Recipient) -> bool {
        self.0.get(&campaign.name).is_some_and(|people| people.contains(&recipient.id))
    }
}

/// Messages a person that the caps of a week's campaigns let through between the first of them and the
/// end of the last; `None` where one has no cap.
fn budget(campaigns: &[&Campaign]) -> Option<usize> {
    let start = campaigns.iter().map(|campaign| campaign.window.start).min()?;
    let end = campaigns.iter().map(|campaign| campaign.window.end).max()?;
    let seconds = (end - start).num_seconds().unsigned_abs();
    let spans = |cap: &Cap| seconds.div_ceil(cap.span.num_seconds().unsigned_abs());
    let of = |campaign: &&Campaign| {
        let caps = campaign.frequency.iter();
        caps.map(|cap| cap.most as usize * spans(cap) as usize).min()
    };
    campaigns.iter().map(of).collect::<Option<Vec<usize>>>()?.into_iter().max()
}

/// What a campaign is worth to a person at the best hour, with the best variant.
fn worth(preference: &Preference, campaign: &Campaign, opt_out_cost: f64) -> f64 {
    let of = |content| {
        let chances = preference.chances(content, campaign.goal, campaign.within);
        let best = chances.into_iter().fold(0.0, f32::max);
        f64::from(best) - opt_out_cost * f64::from(preference.opt_out(content))
    };
    let contents = campaign.variants.iter().map(|variant| &variant.content);
    contents.map(of).fold(f64::MIN, f64::max)
}

/// The messages that are worth most, each a person and a campaign by index; none that is worth nothing.
fn best(worth: &[(RecipientId, Vec<f64>)], messages: usize) -> Vec<(RecipientId, usize)> {
    let mut all: Vec<(f64, RecipientId, usize)> = worth
        .iter()
        .flat_map(|(person, of)| of.iter().zip(0..).map(|(worth, at)| (*worth, *person, at)))
        .filter(|(worth, ..)| *worth > 0.0)
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    all.into_iter().take(messages).map(|(_, person, at)| (person, at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_what_the_caps_let_through() {
        let campaign = |frequency: &str| {
            let text = format!(
                "name = \"a\"\nprovider = \"simulated\"\n[window]\nstart = 2026-06-01T00:00:00\n\
                 end = 2026-06-05T00:00:00\n[frequency]\n{frequency}\n[[variant]]\nname = \"t\"\n\
                 media = \"text\"\n"
            );
            Campaign::from_toml(&text).unwrap()
        };
        let [week, days, none] = ["per_week = 2", "least_distance = \"3d\"", ""].map(campaign);
        assert_eq!(budget(&[&week]), Some(2));
        // in four days two messages are three days apart
        assert_eq!(budget(&[&days, &days]), Some(2));
        assert_eq!(budget(&[&week, &none]), None);
    }

    #[test]
    fn the_budget_goes_to_the_messages_that_are_worth_most() {
        let [keen, plain, cold] = [1, 2, 3].map(RecipientId);
        let worth = [
            (keen, vec![0.6, 0.5, 0.4]),
            (plain, vec![0.1, 0.45, 0.2]),
            (cold, vec![0.05, -0.1, 0.02]),
        ];
        // one message each on the mean: two for who is keen, one for the second, none for the third
        let mut chosen = best(&worth, 3);
        chosen.sort();
        assert_eq!(chosen, [(keen, 0), (keen, 1), (plain, 1)]);
        // what costs more than it brings is never sent
        assert_eq!(best(&worth, usize::MAX).len(), 8);
    }
}
