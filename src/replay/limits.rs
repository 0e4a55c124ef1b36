//! The limits that plans keep, checked on what the provider heard: country laws, budgets, messages
//! an hour, replies that agents can take, the provider's rate, and the caps of single campaigns.
//! Looks with eyes of its own: nothing here asks the planner.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::faults::Call;
use crate::calendar::infer::Inferred;
use crate::calendar::law::Case;
use crate::calendar::quiet::Quiet;
use crate::calendar::rules::Rules;
use crate::calendar::working::working_share;
use crate::calendar::zone::week_hour;
use crate::model::campaign::{Campaign, CampaignQuiet};
use crate::model::ids::{Name, RecipientKey};
use crate::model::preference::ReplyDelays;
use crate::model::time::{Instant, hour_of};

/// Replies are expected by the model in use at the end. Those that plans were made with said
/// somewhat else, hour by hour: so much more than agents can take, as a share and in replies, is no
/// fault.
const REPLIES_MORE: f64 = 0.5;
const REPLIES_MORE_LEAST: f64 = 3.0;

/// A call with what the checks know of it.
pub(super) struct KnownCall<'a> {
    pub(super) call: &'a Call,
    pub(super) campaign: &'a Campaign,
    /// What was submitted, whose limits its runs and fallbacks share.
    pub(super) submitted: &'a Campaign,
    /// The kind of channel, such as `whatsapp`.
    pub(super) channel: &'a str,
    /// Where the person is.
    pub(super) place: Option<&'a Inferred>,
    /// Where the person's number belongs.
    pub(super) number: Option<&'a Inferred>,
    /// What the message costs, in the budget's currency.
    pub(super) price: f64,
    /// The chance of a reply to it.
    pub(super) reply: f64,
}

/// Nothing leaves at a time that a country's law forbids.
pub(super) fn laws(rules: &Rules, calls: &[KnownCall<'_>], broken: &mut Vec<String>) {
    for known in calls {
        let case = |place: Option<&'_ Inferred>| {
            let (channel, category) = (known.channel, known.campaign.category);
            let (country, region) =
                (place.map(|p| p.country.clone()), place.and_then(|p| p.region));
            let case = Case { country: country.as_ref(), region, channel, category };
            let law = Quiet::new(rules, case, CampaignQuiet::Lift, None);
            law.forbids_at(known.call.at, known.call.zone).map(ToString::to_string)
        };
        if let Some(law) = case(known.place).or_else(|| case(known.number)) {
            let (key, at) = (&known.call.key, known.call.at);
            broken.push(format!("message {key} left at {at}, which {law} forbids"));
        }
    }
}

/// No campaign spends more than its budget, with its runs and fallbacks.
pub(super) fn budgets(calls: &[KnownCall<'_>], broken: &mut Vec<String>) {
    for (campaign, calls) in by_submitted(calls) {
        let Some(budget) = &campaign.budget else { continue };
        let spent: f64 = calls.iter().filter(|known| known.call.heard).map(|k| k.price).sum();
        // a millionth is rounding
        if spent > budget.amount * (1.0 + 1e-6) {
            let (name, most) = (&campaign.name, budget.amount);
            broken.push(format!("campaign {name} spent {spent:.2}, {most:.2} are allowed"));
        }
    }
}

/// No campaign sends more in a UTC hour than it may.
pub(super) fn hourly(calls: &[KnownCall<'_>], broken: &mut Vec<String>) {
    for (campaign, calls) in by_submitted(calls) {
        let Some(most) = campaign.capacity.per_hour else { continue };
        let mut by_hour: BTreeMap<Instant, u32> = BTreeMap::new();
        for known in calls.iter().filter(|known| known.call.heard) {
            *by_hour.entry(hour_of(known.call.at)).or_default() += 1;
        }
        for (at, count) in by_hour.into_iter().filter(|(_, count)| *count > most) {
            let name = &campaign.name;
            broken.push(format!(
                "campaign {name} sent {count} messages in the hour of {at}, {most} are allowed"
            ));
        }
    }
}

/// No more replies are expected in an hour than a campaign's agents can take in it.
pub(super) fn replies(
    zone: Tz,
    delays: &ReplyDelays,
    calls: &[KnownCall<'_>],
    broken: &mut Vec<String>,
) {
    for (campaign, calls) in by_submitted(calls) {
        let Some(chats) = &campaign.capacity.chats else { continue };
        let mut expected: BTreeMap<Instant, f64> = BTreeMap::new();
        for known in calls.iter().filter(|known| known.call.heard) {
            let sent = week_hour(known.call.at, known.call.zone);
            for (later, share) in delays.at(sent).iter().enumerate() {
                let hour = hour_of(known.call.at) + TimeDelta::hours(later as i64);
                *expected.entry(hour).or_default() += known.reply * f64::from(*share);
            }
        }
        for (hour, expected) in expected {
            let share = working_share(&chats.hours, hour, hour + TimeDelta::hours(1), zone);
            let most = chats.replies_per_hour() * share;
            // outside agents' hours no plan bounds them
            if share > 0.0 && expected > most * (1.0 + REPLIES_MORE) + REPLIES_MORE_LEAST {
                let name = &campaign.name;
                broken.push(format!(
                    "campaign {name}: {expected:.1} replies are expected in the hour of {hour}, \
                     agents can take {most:.1}"
                ));
            }
        }
    }
}

/// A provider is called no faster than it takes messages, over any span; the replay's clock stops
/// only every `grain`, so that what is due within it goes at once.
pub(super) fn rate(
    provider: &Name,
    per_second: f64,
    grain: TimeDelta,
    calls: &[&Call],
    broken: &mut Vec<String>,
) {
    let mut times: Vec<Instant> = calls.iter().map(|call| call.at).collect();
    times.sort_unstable();
    let burst = per_second * grain.as_seconds_f64() + 1.0;
    let mut last: Option<Instant> = None;
    let mut level = 0.0_f64;
    for at in times {
        let passed = last.map_or(0.0, |last| (at - last).as_seconds_f64());
        level = (level - passed * per_second).max(0.0) + 1.0;
        last = Some(at);
        if level > burst {
            broken.push(format!(
                "{provider} was called faster than its {per_second} a second, up to {at}"
            ));
            return;
        }
    }
}

/// Nobody gets a campaign's message sooner after others than its own caps allow.
pub(super) fn own_caps(calls: &[KnownCall<'_>], broken: &mut Vec<String>) {
    let mut by_person: BTreeMap<&RecipientKey, Vec<&KnownCall<'_>>> = BTreeMap::new();
    for known in calls.iter().filter(|known| known.call.heard) {
        by_person.entry(&known.call.recipient).or_default().push(known);
    }
    for (key, messages) in by_person {
        for message in &messages {
            let own = Some(message.campaign.category);
            for cap in message.campaign.frequency.iter().filter(|cap| cap.counts(own)) {
                let at = message.call.at;
                let counted = messages.iter().filter(|other| {
                    let (category, other) = (Some(other.campaign.category), other.call.at);
                    cap.counts(category) && at - cap.span < other && other <= at
                });
                let count = counted.count();
                if count > cap.most as usize {
                    broken.push(format!(
                        "campaign {} wrote to {key} at {at}, the message {count} within {}; its own \
                         cap allows {}",
                        message.campaign.name, cap.span, cap.most
                    ));
                }
            }
        }
    }
}

fn by_submitted<'k, 'a>(
    calls: &'k [KnownCall<'a>],
) -> impl Iterator<Item = (&'a Campaign, Vec<&'k KnownCall<'a>>)> {
    let mut campaigns: BTreeMap<&Name, (&'a Campaign, Vec<&'k KnownCall<'a>>)> = BTreeMap::new();
    for known in calls {
        let entry = campaigns.entry(&known.submitted.name);
        entry.or_insert_with(|| (known.submitted, Vec::new())).1.push(known);
    }
    campaigns.into_values()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::delivery::message_key;
    use crate::model::ids::RecipientId;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    pub(in crate::replay) fn campaign(more: &str) -> Campaign {
        let text = format!(
            "name = \"sale\"\nprovider = \"shop\"\n[window]\nstart = 2026-12-01T00:00:00\n\
             end = 2026-12-07T22:00:00\n[[variant]]\nname = \"v\"\nmedia = \"text\"\n{more}"
        );
        Campaign::from_toml(&text).unwrap()
    }

    pub(in crate::replay) fn call(person: u32, time: &str) -> Call {
        let name: Name = "sale".parse().unwrap();
        Call {
            key: message_key(&name, RecipientId(i64::from(person))),
            recipient: format!("r{person}").parse().unwrap(),
            campaign: name,
            provider: "shop".parse().unwrap(),
            at: at(time),
            zone: Tz::UTC,
            content: campaign("").variants[0].content.clone(),
            heard: true,
        }
    }

    fn known<'a>(call: &'a Call, campaign: &'a Campaign) -> KnownCall<'a> {
        let (channel, place, number) = ("whatsapp", None, None);
        let submitted = campaign;
        KnownCall { call, campaign, submitted, channel, place, number, price: 0.05, reply: 0.5 }
    }

    /// What a check says of some calls.
    pub(in crate::replay) fn said(check: impl FnOnce(&mut Vec<String>)) -> Vec<String> {
        let mut broken = Vec::new();
        check(&mut broken);
        broken
    }

    #[test]
    fn a_message_at_a_time_that_a_law_forbids_is_found() {
        let rules = Rules::built_in();
        let sale = campaign("");
        let us = Inferred { tz: Tz::UTC, country: "US".parse().unwrap(), region: None };
        let (noon, night) = (call(1, "2026-12-02T12:00:00Z"), call(2, "2026-12-02T22:00:00Z"));
        let all = |place, number| {
            let with = |call| KnownCall { place, number, ..known(call, &sale) };
            said(|broken| laws(&rules, &[with(&noon), with(&night)], broken))
        };
        for broken in [all(Some(&us), None), all(None, Some(&us))] {
            assert_eq!(broken.len(), 1, "{broken:?}");
            assert!(
                broken[0].contains("22:00:00") && broken[0].contains("us-federal"),
                "{broken:?}"
            );
        }
        assert!(all(None, None).is_empty());
    }

    #[test]
    fn a_budget_that_is_overspent_is_found() {
        let sale = campaign("[budget]\namount = 0.1\ncurrency = \"USD\"\n");
        let calls: Vec<Call> = (0..3).map(|n| call(n, "2026-12-02T12:00:00Z")).collect();
        let spent = |count: usize| {
            let known: Vec<_> = calls[..count].iter().map(|call| known(call, &sale)).collect();
            said(|broken| budgets(&known, broken))
        };
        assert!(spent(2).is_empty());
        assert_eq!(spent(3), ["campaign sale spent 0.15, 0.10 are allowed"]);
        // what nobody heard costs nothing
        let unheard = Call { heard: false, ..calls[2].clone() };
        let known = [&calls[0], &calls[1], &unheard].map(|call| known(call, &sale));
        assert!(said(|broken| budgets(&known, broken)).is_empty());
    }

    #[test]
    fn more_messages_in_an_hour_than_a_campaign_may_send_are_found() {
        let sale = campaign("[capacity]\nper_hour = 2\n");
        let times = ["12:00:00", "12:59:59", "13:00:00", "13:10:00"];
        let calls: Vec<Call> =
            (1..).zip(times).map(|(n, t)| call(n, &format!("2026-12-02T{t}Z"))).collect();
        let early = call(9, "2026-12-02T12:30:00Z");
        let all = |more: Option<&Call>| {
            let known: Vec<_> = calls.iter().chain(more).map(|call| known(call, &sale)).collect();
            said(|broken| hourly(&known, broken))
        };
        assert!(all(None).is_empty());
        let broken = all(Some(&early));
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].contains("sent 3 messages") && broken[0].contains("12:00:00"));
        let unheard = Call { heard: false, ..early.clone() };
        assert!(all(Some(&unheard)).is_empty());
    }

    #[test]
    fn runs_of_a_standing_campaign_share_what_it_may() {
        let limits = "[capacity]\nper_hour = 2\n[budget]\namount = 0.1\ncurrency = \"USD\"\n";
        let sale = campaign(limits);
        let run = |day: u32| Campaign {
            name: format!("sale.{day}").parse().unwrap(),
            ..campaign(limits)
        };
        let runs: Vec<Campaign> = (1..4).map(run).collect();
        let calls: Vec<Call> = (0..3).map(|n| call(n, "2026-12-02T12:00:00Z")).collect();
        let pairs = calls.iter().zip(&runs);
        let known: Vec<KnownCall<'_>> =
            (pairs).map(|(call, run)| KnownCall { submitted: &sale, ..known(call, run) }).collect();
        for broken in
            [said(|broken| budgets(&known, broken)), said(|broken| hourly(&known, broken))]
        {
            assert!(broken.len() == 1 && broken[0].starts_with("campaign sale "), "{broken:?}");
        }
        assert!(said(|broken| budgets(&known[..2], broken)).is_empty());
        assert!(said(|broken| hourly(&known[..2], broken)).is_empty());
    }

    #[test]
    fn more_replies_than_agents_can_take_are_found_in_the_hour_in_which_they_come() {
        let sale = campaign(
            "[capacity]\nagents = 1\nchats_per_agent = 1\nminutes_per_chat = 6\n\
             agent_hours = [\"Mon-Sun 09:00-18:00\"]\n",
        );
        // half of them reply, an hour later: 18 of 36 where 10 can be taken
        let said_of = |count: u32, hour: u32| {
            let calls: Vec<Call> =
                (0..count).map(|n| call(n, &format!("2026-12-02T{hour:02}:10:00Z"))).collect();
            let known: Vec<_> = calls.iter().map(|call| known(call, &sale)).collect();
            said(|broken| replies(Tz::UTC, &ReplyDelays::same(vec![0.0, 1.0]), &known, broken))
        };
        assert!(said_of(36, 12).is_empty(), "a model that changed may have said so");
        let broken = said_of(40, 12);
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].contains("20.0 replies") && broken[0].contains("13:00:00"), "{broken:?}");
        assert!(said_of(40, 17).is_empty(), "the hour from 18 on is none of the agents'");
    }

    #[test]
    fn calls_faster_than_the_provider_takes_them_are_found() {
        let name: Name = "shop".parse().unwrap();
        let calls = |apart: i64| -> Vec<Call> {
            let start = at("2026-12-02T12:00:00Z");
            let made = |n| Call {
                at: start + TimeDelta::seconds(n * apart),
                ..call(0, "2026-12-02T12:00:00Z")
            };
            (0..400).map(made).collect()
        };
        let said_of = |calls: &[Call]| {
            let calls: Vec<&Call> = calls.iter().collect();
            said(|broken| rate(&name, 0.5, TimeDelta::minutes(2), &calls, broken))
        };
        assert!(said_of(&calls(2)).is_empty());
        assert_eq!(said_of(&calls(1)).len(), 1);
        // what is due within two minutes may go at once
        assert!(said_of(&calls(0)[..61]).is_empty());
        assert_eq!(said_of(&calls(0)[..62]).len(), 1);
    }

    #[test]
    fn a_message_that_breaks_its_own_campaigns_cap_is_found() {
        let capped = campaign("[frequency]\nper_day = 1\n");
        let free = campaign("");
        let (first, second) = (call(1, "2026-12-02T12:00:00Z"), call(1, "2026-12-02T20:00:00Z"));
        let pair = |early, late| {
            said(|broken| own_caps(&[known(&first, early), known(&second, late)], broken))
        };
        assert_eq!(pair(&free, &capped).len(), 1);
        // the later message of a campaign without caps is bound by nothing
        assert!(pair(&capped, &free).is_empty());
        let next_day = call(1, "2026-12-03T12:00:00Z");
        let apart = [known(&first, &free), known(&next_day, &capped)];
        assert!(said(|broken| own_caps(&apart, broken)).is_empty());
    }
}
