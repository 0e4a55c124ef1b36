//! Invented people with invented habits, for tests of plans.
#![allow(dead_code, reason = "the test and the benchmark each leave something unused")]

pub(crate) mod exact;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use opportune::calendar::rules::Rules;
use opportune::model::campaign::Campaign;
use opportune::model::choice::ChoiceCorrection;
use opportune::model::content::{Category, Content, Media};
use opportune::model::frequency::RecentSend;
use opportune::model::holdout::CountedConversions;
use opportune::model::ids::{RecipientId, RecipientKey};
use opportune::model::preference::{
    AddedByMessage, Answers, ContentFigures, Delays, Fatigue, Population, Preference, WEEK_HOURS,
};
use opportune::model::recipient::Country;
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant;
use opportune::plan::{AudienceMember, Setting};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// The eve of a week in December, hours, no caps.
pub(crate) fn setting(rules: &Rules) -> Setting<'_> {
    Setting {
        now: at("2026-11-30T20:00:00Z"),
        seed: 1,
        length: SlotLength::HOUR,
        opt_out_cost: 1.0,
        conversions: CountedConversions::All,
        zone: Tz::America__Sao_Paulo,
        quiet: None,
        rules,
        caps: &[],
        threads: 2,
    }
}

struct Member {
    key: RecipientKey,
    zone: Tz,
    country: Option<Country>,
    consented: bool,
    has_address: bool,
    forbidden: bool,
    price: f64,
    taken: Vec<RecentSend>,
    habits: opportune::model::preference::Person,
}

/// People, and all they need to be planned.
pub(crate) struct Crowd {
    members: Vec<Member>,
    population: Arc<Population>,
    attributes: BTreeMap<String, String>,
}

/// What people state who state nothing.
pub(crate) static NO_WISHES: opportune::model::wish::Wishes =
    opportune::model::wish::Wishes { not_days: None, only_dayparts: None, only_media: None };

impl Crowd {
    /// People of five zones, some without consent or address, some written to already.
    pub(crate) fn mixed(count: usize, seed: u64) -> Self {
        let zones = [
            (Tz::America__Sao_Paulo, "BR"),
            (Tz::Asia__Kolkata, "IN"),
            (Tz::Europe__Berlin, "DE"),
            (Tz::America__New_York, "US"),
            (Tz::Asia__Kathmandu, "NP"),
        ];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let contents = [Media::Text, Media::Image, Media::Video]
            .map(|media| (Content { media, style: None }, ContentFigures::default()));
        let soon = Delays::new(vec![(0.01, 1.0)]);
        let population = Arc::new(Population {
            decay: (0..72).map(|age| (-(age as f32) / 12.0).exp()).collect(),
            contents: contents.to_vec(),
            delays: Answers { click: soon.clone(), reply: soon.clone(), convert: soon },
            chronotypes: vec!["all".into()],
            ..Population::default()
        });
        let members = (0..count).map(|index| {
            let (zone, country) = zones[rng.gen_range(0..zones.len())];
            let taken = (0..rng.gen_range(0..3)).map(|_| RecentSend {
                at: at("2026-12-01T00:00:00Z") + TimeDelta::minutes(rng.gen_range(-4000..9000)),
                category: Some([Category::Marketing, Category::Utility][rng.gen_range(0..2)]),
            });
            Member {
                key: format!("r{index}").parse().unwrap(),
                zone,
                country: Some(country.parse().unwrap()),
                taken: taken.collect(),
                consented: rng.gen_bool(0.97),
                has_address: rng.gen_bool(0.98),
                forbidden: rng.gen_bool(0.02),
                price: rng.gen_range(0.01..0.09),
                habits: habits(&mut rng),
            }
        });
        Self { members: members.collect(), population, attributes: BTreeMap::new() }
    }

    /// The same with everybody in one zone, reachable and not yet written to.
    pub(crate) fn in_zone(count: usize, zone: Tz) -> Self {
        let mut crowd = Self::mixed(count, 1);
        for member in &mut crowd.members {
            member.zone = zone;
            (member.consented, member.has_address, member.forbidden) = (true, true, false);
            member.taken.clear();
            member.country = None;
        }
        crowd
    }

    /// Gives everybody the first one's habits.
    pub(crate) fn all_alike(mut self) -> Self {
        let first = self.members[0].habits.clone();
        self.members.iter_mut().for_each(|member| member.habits = first.clone());
        self
    }

    /// Has other messages change what people do with one.
    pub(crate) fn tiring(mut self, fatigue: Fatigue) -> Self {
        let population = Population { fatigue, ..Population::clone(&self.population) };
        self.population = Arc::new(population);
        self
    }

    /// Has every other person buy for a message what is said more, and the rest nothing.
    pub(crate) fn buying_for_messages(mut self, mean: f32) -> Self {
        for (number, member) in self.members.iter_mut().enumerate() {
            let mean = if number % 2 == 0 { 0.0 } else { mean };
            member.habits.added = Some(AddedByMessage { mean, error: 0.001, without: 0.1 });
        }
        self
    }

    /// Has everybody read so much less than is computed, in logs of the expected reads, and the more
    /// less the more an hour stands out.
    pub(crate) fn corrected(mut self, offset: f32, hour: f32) -> Self {
        let mut coefficients = [0.0; ChoiceCorrection::FEATURES];
        (coefficients[0], coefficients[1]) = (offset, hour);
        let choice = ChoiceCorrection::new(0.0, 0.1).with([coefficients; 2]);
        self.population = Arc::new(Population { choice, ..Population::clone(&self.population) });
        self
    }

    /// Has people answer often, so that few of them fill agents' time.
    pub(crate) fn answering(mut self) -> Self {
        self.members.iter_mut().for_each(|member| member.habits.answers.reply += 3.0);
        self
    }

    pub(crate) fn people(&self) -> Vec<AudienceMember<'_>> {
        let person = |(index, member): (usize, &Member)| AudienceMember {
            id: RecipientId(index as i64 + 1),
            // borrowed for as long as the crowd lives
            key: &self.members[index].key,
            zone: member.zone,
            country: self.members[index].country.as_ref(),
            region: None,
            locale: None,
            attributes: &self.attributes,
            consented: member.consented,
            has_address: member.has_address,
            permitted: true,
            bad_address: false,
            suppressed: false,
            held_out: false,
            shares_address: false,
            number: None,
            forbidden: member.forbidden,
            not_before: None,
            paused_until: None,
            price: member.price,
            fallback_cost: 0.0,
            taken: &self.members[index].taken,
            span: None,
            wishes: &NO_WISHES,
            replan: None,
        };
        self.members.iter().enumerate().map(person).collect()
    }

    pub(crate) fn preference(&self, person: usize) -> Preference {
        Preference::new(self.population.clone(), self.members[person].habits.clone())
    }

    /// The chance of a reply to a variant within a day.
    pub(crate) fn reply(&self, person: usize, campaign: &Campaign, variant: usize) -> f64 {
        f64::from(self.preference(person).reply_chance(&campaign.variants[variant].content))
    }

    /// A week with two variants, and what else the test wants.
    pub(crate) fn campaign(&self, more: &str) -> Campaign {
        let text = format!(
            "name = \"sale\"\nprovider = \"shop\"\ngoal = \"read\"\nwithin = \"2h\"\n\
             [window]\nstart = 2026-12-01T08:00:00\nend = 2026-12-07T22:00:00\n\
             [[variant]]\nname = \"clip\"\nmedia = \"video\"\n\
             [[variant]]\nname = \"photo\"\nmedia = \"image\"\n{more}"
        );
        Campaign::from_toml(&text).unwrap()
    }
}

/// One of four ways to spend a week, with noise, a level and tastes of one's own.
fn habits(rng: &mut ChaCha8Rng) -> opportune::model::preference::Person {
    let peak = [8.0, 12.5, 19.0, 22.0][rng.gen_range(0..4)] + rng.gen_range(-1.5_f32..1.5);
    let mut week: [f32; WEEK_HOURS] = std::array::from_fn(|hour| {
        let away = ((hour % 24) as f32 - peak).abs();
        let away = away.min(24.0 - away);
        (0.1 + (-away * away / 12.0).exp()) * rng.gen_range(0.5..1.5)
    });
    let mean = week.iter().sum::<f32>() / WEEK_HOURS as f32;
    week.iter_mut().for_each(|rate| *rate /= mean);
    opportune::model::preference::Person {
        week,
        certainty: [5.0; 24],
        level: rng.gen_range(0.02..0.4),
        level_certainty: 10.0,
        tastes: (0..3).map(|_| (rng.gen_range(0.5..1.6), 0.3)).collect(),
        answers: Answers {
            click: rng.gen_range(-4.0..-1.0),
            reply: rng.gen_range(-4.0..-1.0),
            convert: -4.0,
        },
        answer_certainty: Answers { click: 20.0, reply: 20.0, convert: 20.0 },
        opt_out: rng.gen_range(-9.0..-4.0),
        opt_out_certainty: 500.0,
        recent: 0.0,
        added: None,
        chronotype: 0,
        chronotype_share: 1.0,
        evidence: 10.0,
    }
}
