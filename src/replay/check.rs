//! What must hold whatever happens: nobody lost, nobody twice, every limit that a plan keeps, quiet
//! hours and laws, consent, sums. Looks with eyes of its own at what the provider heard and what the
//! store says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{TimeDelta, Timelike};

use super::ReplayError;
use super::faults::Call;
use super::limits::{self, KnownCall};
use super::outcome::Played;
use crate::calendar::infer::{Inferred, infer, place_of};
use crate::calendar::zone::local;
use crate::config::Config;
use crate::model::campaign::{Campaign, CampaignQuiet, QuietHours};
use crate::model::consent::ConsentChange;
use crate::model::content::Category;
use crate::model::delivery::State;
use crate::model::ids::{MessageKey, Name, RecipientKey};
use crate::model::tariff::Tariff;
use crate::model::time::Instant;
use crate::store::{CampaignRow, ExportRow};
use crate::work::learn::{ActiveModel, People};
use crate::work::{Ctx, holdout};

/// Broken rules that are told; more of them say nothing new.
pub(super) const TOLD_MAX: usize = 20;
/// The answers of a campaign's last messages, and the doubts about them, take no longer.
const AFTER: TimeDelta = TimeDelta::days(1);

/// What was broken: empty when all is well.
pub(crate) async fn all(
    ctx: &Ctx,
    played: &[Played],
    calls: &[Call],
) -> Result<Vec<String>, ReplayError> {
    let mut broken = Vec::new();
    twice(calls, &mut broken);
    let campaigns = super::outcome::all_campaigns(ctx).await?;
    let by_name: HashMap<&Name, &Campaign> =
        campaigns.iter().map(|row| (&row.campaign.name, &*row.campaign)).collect();
    frequencies(&ctx.config, &by_name, calls, &mut broken);
    planned_limits(ctx, &campaigns, calls, &mut broken).await?;
    for (row, people) in played {
        let of_it = |call: &&Call| call.campaign == row.campaign.name;
        let own: Vec<&Call> = calls.iter().filter(of_it).collect();
        hours(&ctx.config, &row.campaign, &own, &mut broken);
        states(ctx, row, people, &own, &mut broken);
    }
    portfolios(&ctx.config, calls, &mut broken);
    consents(ctx, calls, &mut broken).await?;
    held_out(&ctx.config, &by_name, calls, &mut broken);
    broken.truncate(TOLD_MAX);
    Ok(broken)
}

/// Marketing to the standing holdout.
fn held_out(
    config: &Config,
    by_name: &HashMap<&Name, &Campaign>,
    calls: &[Call],
    broken: &mut Vec<String>,
) {
    for call in calls {
        let campaign = by_name.get(&call.campaign);
        if campaign.is_some_and(|of| holdout::holds(config, of, &call.recipient, call.at)) {
            broken.push(format!("{} is held out, and got {}", call.recipient, call.campaign));
        }
    }
}

/// Laws, budgets, agents' replies, rates, and the caps of single campaigns.
async fn planned_limits(
    ctx: &Ctx,
    campaigns: &[CampaignRow],
    calls: &[Call],
    broken: &mut Vec<String>,
) -> Result<(), ReplayError> {
    let of: HashMap<&Name, &CampaignRow> =
        campaigns.iter().map(|row| (&row.campaign.name, row)).collect();
    let by_id: HashMap<i64, &Campaign> =
        campaigns.iter().map(|row| (row.id, &*row.campaign)).collect();
    let people = People::load(ctx).await?;
    let model = ActiveModel::load(ctx).await?;
    let index: HashMap<&RecipientKey, usize> =
        people.recipients.iter().enumerate().map(|(at, person)| (&person.key, at)).collect();
    let places: Vec<Option<Inferred>> = (people.recipients.iter())
        .map(|person| infer(person.profile.country.as_ref(), person.profile.address.as_ref()))
        .collect();
    let expected = |campaign: &Campaign, person: usize, call: &Call| -> f64 {
        if campaign.capacity.chats.is_none() || !call.heard {
            return 0.0;
        }
        let subject = people.subject(person, ctx.config.time_zone);
        let preference = match &ctx.preference_override {
            Some(instead) => instead.preference(campaign, &people.recipients[person], &subject),
            None => model.preference(&subject),
        };
        f64::from(preference.reply_chance(&call.content))
    };
    let known = |call| -> Option<KnownCall<'_>> {
        let call: &Call = call;
        let (row, person) = (*of.get(&call.campaign)?, *index.get(&call.recipient)?);
        let (campaign, submitted) = (&*row.campaign, *by_id.get(&row.root())?);
        let provider = ctx.config.providers.get(&call.provider)?;
        let profile = &people.recipients[person].profile;
        let number = profile.address.as_ref().and_then(place_of);
        let place = places[person].as_ref();
        let country = number.or(place).map(|place| &place.country).or(profile.country.as_ref());
        let price = |tariff: &Arc<Tariff>| {
            tariff.price((call.at, call.at), country, campaign.category).amount
        };
        let price = provider.tariff.as_ref().map_or(0.0, price);
        let (channel, reply) = (provider.kind.channel(), expected(campaign, person, call));
        Some(KnownCall { call, campaign, submitted, channel, place, number, price, reply })
    };
    let known: Vec<KnownCall<'_>> = calls.iter().filter_map(known).collect();
    limits::laws(&ctx.rules, &known, broken);
    limits::budgets(&known, broken);
    limits::own_caps(&known, broken);
    limits::hourly(&known, broken);
    limits::replies(ctx.config.time_zone, &model.reply_delays(), &known, broken);
    for (name, provider) in &ctx.config.providers {
        if let Some(per_second) = provider.limits.per_second {
            let calls: Vec<&Call> = calls.iter().filter(|call| call.provider == *name).collect();
            limits::rate(name, f64::from(per_second), super::GRAIN, &calls, broken);
        }
    }
    Ok(())
}

/// Nobody gets the same message twice.
fn twice(calls: &[Call], broken: &mut Vec<String>) {
    let mut heard: HashMap<&MessageKey, u32> = HashMap::new();
    for call in calls.iter().filter(|call| call.heard) {
        let times = heard.entry(&call.key).or_default();
        *times += 1;
        if *times == 2 {
            broken.push(format!("message {} was sent twice, again at {}", call.key, call.at));
        }
    }
}

/// Windows and quiet hours, on the clocks of walls.
fn hours(config: &Config, campaign: &Campaign, calls: &[&Call], broken: &mut Vec<String>) {
    let quiet: Vec<QuietHours> = match campaign.quiet_hours {
        CampaignQuiet::Lift => Vec::new(),
        CampaignQuiet::Inherit => config.quiet_hours.into_iter().collect(),
        CampaignQuiet::Add(own) => config.quiet_hours.into_iter().chain([own]).collect(),
    };
    for call in calls {
        let wall = local(call.at, call.zone);
        let window = local(call.at, campaign.window.zone.unwrap_or(call.zone));
        if !(campaign.window.start..campaign.window.end).contains(&window) {
            broken.push(format!("message {} left outside its window, at {window}", call.key));
        }
        if quiet.iter().any(|quiet| quiet.contains(wall.hour() * 60 + wall.minute())) {
            broken.push(format!("message {} left in a quiet hour, at {wall}", call.key));
        }
    }
}

/// Nobody more often than the settings' caps allow, over all campaigns.
fn frequencies(
    config: &Config,
    by_name: &HashMap<&Name, &Campaign>,
    calls: &[Call],
    broken: &mut Vec<String>,
) {
    let mut by_person: BTreeMap<&RecipientKey, Vec<(Instant, Category)>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.heard) {
        if let Some(campaign) = by_name.get(&call.campaign) {
            by_person.entry(&call.recipient).or_default().push((call.at, campaign.category));
        }
    }
    for (key, mut messages) in by_person {
        messages.sort();
        for cap in &config.frequency {
            let counted = messages.iter().filter(|(_, category)| cap.counts(Some(*category)));
            let times: Vec<Instant> = counted.map(|(at, _)| *at).collect();
            let most = cap.most as usize;
            let crowded = times.windows(most + 1).find(|times| times[most] - times[0] < cap.span);
            if let Some(times) = crowded {
                broken.push(format!(
                    "{key} got {} messages between {} and {}, {most} are allowed in {}",
                    most + 1,
                    times[0],
                    times[most],
                    cap.span
                ));
            }
        }
    }
}

/// No more different people in any 24 hours than an account bears.
fn portfolios(config: &Config, calls: &[Call], broken: &mut Vec<String>) {
    let mut by_account: BTreeMap<&Name, (u32, Vec<&Call>)> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.heard) {
        let provider = config.providers.get(&call.provider);
        let limited = provider.and_then(|p| Some((&p.portfolio, p.limits.unique_per_day?)));
        if let Some((account, limit)) = limited {
            by_account.entry(account).or_insert((limit, Vec::new())).1.push(call);
        }
    }
    for (account, (limit, mut calls)) in by_account {
        calls.sort_by_key(|call| call.at);
        let mut within: HashMap<&RecipientKey, u32> = HashMap::new();
        let mut oldest = 0;
        for call in &calls {
            *within.entry(&call.recipient).or_default() += 1;
            while calls[oldest].at + TimeDelta::hours(24) <= call.at {
                let gone = &calls[oldest].recipient;
                if let Some(count) = within.get_mut(gone) {
                    *count -= 1;
                    if *count == 0 {
                        within.remove(gone);
                    }
                }
                oldest += 1;
            }
            if within.len() > limit as usize {
                broken.push(format!(
                    "{account} wrote to {} people in the 24 hours up to {}, {limit} are allowed",
                    within.len(),
                    call.at
                ));
                break;
            }
        }
    }
}

/// Everybody is in one state, and that state is true.
fn states(
    ctx: &Ctx,
    row: &CampaignRow,
    people: &[ExportRow],
    calls: &[&Call],
    broken: &mut Vec<String>,
) {
    let mut heard: HashMap<&str, bool> = HashMap::new();
    for call in calls {
        *heard.entry(call.recipient.as_str()).or_default() |= call.heard;
    }
    let over = row.ends_at + AFTER <= ctx.clock.now();
    for person in people {
        let who = || format!("{} in campaign {}", person.key, row.campaign.name);
        let Ok(state) = person.state.parse::<State>() else {
            broken.push(format!("{} is in no state: {:?}", who(), person.state));
            continue;
        };
        let was_heard = heard.remove(person.key.as_str()).unwrap_or(false);
        if over && !state.is_end() {
            broken.push(format!("{} is still {state} after the end", who()));
        }
        if state == State::Sent && !was_heard {
            broken.push(format!("{} is sent, but nobody heard of it", who()));
        }
        if was_heard && matches!(state, State::Refused | State::Expired | State::Cancelled) {
            broken.push(format!("{} is {state}, but the message went out", who()));
        }
    }
    // sorted, so that the same fault is always told in the same words
    let lost: BTreeMap<&str, bool> = heard.into_iter().collect();
    for key in lost.keys() {
        broken.push(format!("{key} was called for {} and is in no state", row.campaign.name));
    }
}

/// Nobody is called after consent ended.
async fn consents(ctx: &Ctx, calls: &[Call], broken: &mut Vec<String>) -> Result<(), ReplayError> {
    let mut last: BTreeMap<&RecipientKey, &Call> = BTreeMap::new();
    for call in calls {
        let latest = last.entry(&call.recipient).or_insert(call);
        if latest.at < call.at {
            *latest = call;
        }
    }
    // only who has none now can have been written to without it
    let everybody = ctx.store.read().await?.everybody().await?;
    for recipient in everybody.iter().filter(|recipient| !recipient.consented) {
        let Some(call) = last.get(&recipient.key) else { continue };
        let ledger = ctx.store.read().await?.ledger(recipient.id).await?;
        let ended = ledger.iter().filter(|entry| entry.change == ConsentChange::Withdrawn);
        if let Some(ended) = ended.map(|entry| entry.recorded_at).max()
            && call.at > ended
        {
            let key = &recipient.key;
            broken.push(format!("{key} was written to at {}, without consent", call.at));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::replay::limits::tests::{call, campaign, said};

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("opportune.toml")).unwrap()
    }

    #[test]
    fn a_message_that_is_heard_twice_is_found_once() {
        let one = call(1, "2026-12-02T12:00:00Z");
        let unheard = Call { heard: false, ..one.clone() };
        assert!(said(|broken| twice(&[one.clone(), unheard], broken)).is_empty());
        let broken = said(|broken| twice(&[one.clone(), one.clone(), one.clone()], broken));
        assert!(broken.len() == 1 && broken[0].contains("sent twice"), "{broken:?}");
    }

    #[test]
    fn messages_outside_the_window_and_in_quiet_hours_are_found() {
        let sale = campaign("");
        let quiet = config("[quiet_hours]\nstart = \"20:00\"\nend = \"08:00\"\n");
        let of = |time| said(|broken| hours(&quiet, &sale, &[&call(1, time)], broken));
        assert!(of("2026-12-02T12:00:00Z").is_empty());
        assert_eq!(of("2026-12-08T12:00:00Z").len(), 1);
        assert!(of("2026-12-08T12:00:00Z")[0].contains("outside its window"));
        assert!(of("2026-12-02T20:00:00Z")[0].contains("in a quiet hour"));
        let lifted = campaign("[quiet_hours]\nnone = true\n");
        let late = call(1, "2026-12-02T20:00:00Z");
        assert!(said(|broken| hours(&quiet, &lifted, &[&late], broken)).is_empty());
    }

    #[test]
    fn more_messages_than_the_settings_allow_are_found_over_all_campaigns() {
        let (sale, once) = (campaign(""), config("[frequency]\nper_day = 1\n"));
        let other: Name = "other".parse().unwrap();
        let by_name = HashMap::from([(&sale.name, &sale), (&other, &sale)]);
        let first = call(1, "2026-12-02T12:00:00Z");
        let of = |person, time| {
            let second = Call { campaign: other.clone(), ..call(person, time) };
            said(|broken| frequencies(&once, &by_name, &[first.clone(), second], broken))
        };
        assert_eq!(of(1, "2026-12-03T11:59:00Z").len(), 1);
        assert!(of(1, "2026-12-03T12:00:00Z").is_empty());
        assert!(of(2, "2026-12-02T13:00:00Z").is_empty());
    }

    #[test]
    fn more_people_a_day_than_an_account_bears_are_found() {
        let narrow = config(
            "[provider.shop]\nkind = \"simulated\"\nseed = 1\n[provider.shop.limits]\n\
             unique_per_day = 2\n",
        );
        let calls = [
            call(1, "2026-12-02T12:00:00Z"),
            call(1, "2026-12-02T13:00:00Z"),
            call(2, "2026-12-02T14:00:00Z"),
        ];
        let with = |time| {
            let all: Vec<Call> = calls.iter().cloned().chain([call(3, time)]).collect();
            said(|broken| portfolios(&narrow, &all, broken))
        };
        assert!(said(|broken| portfolios(&narrow, &calls, broken)).is_empty());
        assert_eq!(with("2026-12-03T12:59:00Z").len(), 1, "r1 was written to again at 13:00");
        assert!(with("2026-12-03T13:00:00Z").is_empty());
    }

    #[test]
    fn marketing_to_the_standing_holdout_is_found() {
        let sale = campaign("");
        let holding = config("[holdout]\nshare = 0.5\nuntil = 2026-12-31\n");
        let by_name = HashMap::from([(&sale.name, &sale)]);
        let calls: Vec<Call> = (0..200).map(|n| call(n, "2026-12-02T12:00:00Z")).collect();
        let broken = said(|broken| held_out(&holding, &by_name, &calls, broken));
        assert!((60..140).contains(&broken.len()), "{}", broken.len());
        let told = Campaign { category: Category::Utility, ..campaign("") };
        let by_name = HashMap::from([(&told.name, &told)]);
        assert!(said(|broken| held_out(&holding, &by_name, &calls, broken)).is_empty());
    }
}
