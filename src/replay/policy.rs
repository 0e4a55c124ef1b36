//! Who plans: the model, the rules that the field goes by, chance, or somebody who knows the world.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::recalled::Recalled;
use super::scenario::{Script, campaign_of};
use super::volume::WeeklyVolumes;
use crate::learn::{BaselinePolicy, Contents, DrawnPolicy, HourDraw, Method, Subject};
use crate::model::campaign::Campaign;
use crate::model::content::{Content, Goal};
use crate::model::preference::{
    Answers, ContentFigures, Person, Population, Preference, WEEK_HOURS,
};
use crate::model::recipient::Recipient;
use crate::store::StoreError;
use crate::work::learn::{ActiveModel, People};
use crate::work::{Ctx, PreferenceOverride};
use crate::world::{Crowd, World};

/// When the fixed policy sends, unless the campaign names a control time.
const FIXED_TIME: &str = "10:00";

/// Who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// This program, with the campaign as it is written.
    Model,
    /// The same, for everybody in the experiment: no explore, control or holdout.
    Personalized,
    /// The same, with the first variant alone.
    OneMedium,
    /// The same, with no bound on capacity.
    Unlimited,
    /// The same, with one in ten explored.
    Exploring,
    /// The same, with one in ten by a draw of what may be true of the person.
    Thompson,
    /// One fixed local time.
    Fixed,
    /// A slot and a variant at random.
    Random,
    /// The best hours of everybody.
    Population,
    /// The person's own histogram of reads.
    Histogram,
    /// The same, shrunk to everybody's.
    ShrunkHistogram,
    /// Everybody's best hour of each weekday.
    HourPerWeekday,
    /// The median of the person's last hours on the person's most frequent weekdays.
    MedianHour,
    /// A Thompson bandit a person over the hours, with a prior from everybody.
    ThompsonBandit,
    /// Hours in proportion to their share in the person's shrunk histogram.
    HourShare,
    /// This program, with as many messages a week as the campaigns' caps let through, but not as many
    /// for each person: they go where they are worth most.
    WeeklyVolume,
    /// Somebody who knows everybody's true chances.
    Oracle,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Model,
        Self::Personalized,
        Self::OneMedium,
        Self::Unlimited,
        Self::Exploring,
        Self::Thompson,
        Self::Fixed,
        Self::Random,
        Self::Population,
        Self::Histogram,
        Self::ShrunkHistogram,
        Self::HourPerWeekday,
        Self::MedianHour,
        Self::ThompsonBandit,
        Self::HourShare,
        Self::WeeklyVolume,
        Self::Oracle,
    ];

    /// The campaign as this policy sends it.
    pub(super) fn campaign(self, table: &Table) -> Table {
        let mut table = table.clone();
        let one = |arm: &str| Table::from_iter([(arm.to_owned(), Value::from(1.0))]);
        let one_in_ten = |arm: &str| {
            let shares = [("personalized", 0.9), (arm, 0.1)];
            shares.map(|(arm, share)| (arm.to_owned(), Value::from(share))).into_iter().collect()
        };
        let arms = match self {
            Self::Model => return table,
            Self::Random => one("explore"),
            Self::Exploring => one_in_ten("explore"),
            Self::Thompson => one_in_ten("thompson"),
            Self::Fixed => {
                let written = table.get("arms").and_then(|arms| arms.get("control_time"));
                let time = written.cloned().unwrap_or(Value::from(FIXED_TIME));
                let mut arms = one("control");
                arms.insert("control_time".to_owned(), time);
                arms
            }
            _ => one("personalized"),
        };
        table.insert("arms".to_owned(), Value::Table(arms));
        if self == Self::Unlimited {
            table.remove("capacity");
        }
        if self == Self::WeeklyVolume {
            table.remove("frequency");
        }
        if self == Self::OneMedium
            && let Some(Value::Array(variants)) = table.get_mut("variant")
        {
            let name = |variant: &Value| variant.get("name").cloned();
            let first = variants.first().and_then(name);
            // translations share a name
            variants.retain(|variant| name(variant) == first);
        }
        table
    }

    /// Whose word this policy plans by, as of now; absent: the model's.
    pub(super) async fn preference_override(
        self,
        ctx: &Ctx,
        script: &Script,
        cast: &Cast,
    ) -> Result<Option<Arc<dyn PreferenceOverride>>, crate::work::learn::LearnError> {
        let rule = match self {
            Self::Population => Rule::Named(Method::Population),
            Self::Histogram => Rule::Named(Method::Histogram),
            Self::ShrunkHistogram => Rule::Named(Method::ShrunkHistogram),
            Self::HourPerWeekday => Rule::Named(Method::HourPerWeekday),
            Self::MedianHour => Rule::Named(Method::MedianHour),
            Self::ThompsonBandit => Rule::Drawn(HourDraw::ThompsonBandit),
            Self::HourShare => Rule::Drawn(HourDraw::HourShare),
            Self::WeeklyVolume => return Ok(Some(Arc::new(ByVolume::choose(ctx, script).await?))),
            Self::Oracle => return Ok(Some(cast.oracle())),
            _ => return Ok(None),
        };
        let people = People::load(ctx).await?;
        let mut contents = Contents::default();
        let found = ctx.store.read().await?.contents().await?;
        for content in found {
            contents.enter(&content);
        }
        let zone = ctx.config.time_zone;
        let subjects: Vec<Subject<'_>> =
            (0..people.recipients.len()).map(|index| people.subject(index, zone)).collect();
        let now = ctx.clock.now();
        Ok(Some(match rule {
            Rule::Named(method) => {
                Arc::new(ByRule(BaselinePolicy::learn(method, &subjects, &contents, now)))
            }
            Rule::Drawn(draw) => {
                let asked = (now, script.within_hours());
                Arc::new(ByDraw(DrawnPolicy::learn(draw, &subjects, &contents, asked)))
            }
        }))
    }
}

/// What a policy of the field goes by.
enum Rule {
    Named(Method),
    Drawn(HourDraw),
}

/// Whose people a replay is played with.
#[derive(Clone)]
pub(super) enum Cast {
    /// Those of a world that a seed made.
    Invented(Arc<World>),
    /// Those of a real history.
    Recalled(Arc<Recalled>),
}

impl Cast {
    pub(super) fn crowd(&self) -> Arc<dyn Crowd> {
        match self {
            Self::Invented(world) => Arc::clone(world) as _,
            Self::Recalled(people) => Arc::clone(people) as _,
        }
    }

    fn oracle(&self) -> Arc<dyn PreferenceOverride> {
        match self {
            Self::Invented(world) => Arc::new(Oracle { world: Arc::clone(world) }),
            Self::Recalled(people) => Arc::clone(people) as _,
        }
    }
}

struct ByRule(BaselinePolicy);

impl PreferenceOverride for ByRule {
    fn preference(&self, _: &Campaign, _: &Recipient, subject: &Subject<'_>) -> Preference {
        self.0.preference(subject)
    }
}

struct ByDraw(DrawnPolicy);

impl PreferenceOverride for ByDraw {
    /// The same for a person and a campaign, however often it is asked, and another in the next.
    fn preference(
        &self,
        campaign: &Campaign,
        recipient: &Recipient,
        subject: &Subject<'_>,
    ) -> Preference {
        let names = [campaign.name.as_str(), recipient.key.as_str()].join("\0");
        self.0.preference(subject, Sha256::digest(names).into())
    }
}

/// The model's word, for those whom the budget of messages lets a campaign through to.
struct ByVolume {
    model: ActiveModel,
    volumes: WeeklyVolumes,
}

impl ByVolume {
    async fn choose(ctx: &Ctx, script: &Script) -> Result<Self, StoreError> {
        let model = ActiveModel::load(ctx).await?;
        let campaigns = script.campaigns.iter().filter_map(|(_, table)| campaign_of(table).ok());
        let campaigns: Vec<Campaign> = campaigns.collect();
        let volumes = WeeklyVolumes::choose(ctx, &model, (script.start, &campaigns)).await?;
        Ok(Self { model, volumes })
    }
}

impl PreferenceOverride for ByVolume {
    fn preference(
        &self,
        campaign: &Campaign,
        recipient: &Recipient,
        subject: &Subject<'_>,
    ) -> Preference {
        if self.volumes.let_through(campaign, recipient) {
            return self.model.preference(subject).in_category(campaign.category);
        }
        let nobody = Population { decay: vec![1.0], ..Population::default() };
        Preference::new(Arc::new(nobody), certain(&[1.0; WEEK_HOURS], 0.0, Vec::new()))
    }
}

/// A person of whom reading is known for certain, and who never opts out.
fn certain(week: &[f32; WEEK_HOURS], level: f32, tastes: Vec<(f32, f32)>) -> Person {
    Person {
        week: *week,
        certainty: [1e6; 24],
        level,
        level_certainty: 1e6,
        tastes: tastes.into(),
        answers: Answers::default(),
        answer_certainty: Answers { click: 1e6, reply: 1e6, convert: 1e6 },
        opt_out: -20.0,
        opt_out_certainty: 1e6,
        recent: 0.0,
        added: None,
        chronotype: 0,
        chronotype_share: 0.0,
        evidence: 0.0,
    }
}

/// Knows everybody's chances, but not how chance falls, nor what else will be sent.
struct Oracle {
    world: Arc<World>,
}

impl PreferenceOverride for Oracle {
    /// A preference holds a rate an hour times a taste a content. In the worlds chances are made of
    /// the two in the same way, or nearly so, and the best content's week is taken over exactly.
    fn preference(
        &self,
        campaign: &Campaign,
        recipient: &Recipient,
        subject: &Subject<'_>,
    ) -> Preference {
        let person = self.world.person_of(&recipient.key, subject.zone);
        let week = campaign.window.start.and_utc();
        let mut contents: Vec<Content> =
            campaign.variants.iter().map(|variant| variant.content.clone()).collect();
        contents.sort();
        contents.dedup();
        let rate = |chance: f64| -(-chance.min(1.0 - 1e-9)).ln_1p();
        let rates: Vec<Vec<f64>> = contents
            .iter()
            .map(|content| {
                let chance = |hour| person.chance_in_week(week, hour, content, campaign.within);
                (0..168).map(|hour| rate(chance(hour))).collect()
            })
            .collect();
        let total = |rates: &Vec<f64>| rates.iter().sum::<f64>();
        let best = (0..rates.len()).max_by(|a, b| total(&rates[*a]).total_cmp(&total(&rates[*b])));
        let best = best.expect("a campaign has a variant");
        let most = total(&rates[best]).max(f64::MIN_POSITIVE);
        let level = (most / 168.0) as f32;
        let logit = |p: f64| (p / (1.0 - p)).ln() as f32;
        let figures = |content: &Content| {
            let mut answers = Answers::<f32>::default();
            let acts = person.acts_on(content, week, campaign.goal);
            match campaign.goal {
                Goal::Read => {}
                Goal::Click => answers.click = logit(acts),
                Goal::Reply => answers.reply = logit(acts),
                Goal::Convert => answers.convert = logit(acts),
            }
            ContentFigures { answers, ..ContentFigures::default() }
        };
        let population = Population {
            decay: vec![1.0],
            contents: contents.iter().map(|content| (content.clone(), figures(content))).collect(),
            ..Population::default()
        };
        let week = std::array::from_fn(|hour| (rates[best][hour] / most * 168.0) as f32);
        let tastes = rates.iter().map(|rates| ((total(rates) / most) as f32, 0.0)).collect();
        Preference::new(Arc::new(population), certain(&week, level, tastes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        toml::from_str(
            "name = \"c\"\n[capacity]\nper_hour = 5\n[frequency]\nper_week = 1\n[arms]\ncontrol = 0.5\npersonalized = 0.5\n\
             control_time = \"12:00\"\n[[variant]]\nname = \"a\"\nlanguage = \"pt\"\n\
             [[variant]]\nname = \"a\"\nlanguage = \"en\"\n[[variant]]\nname = \"b\"\n",
        )
        .unwrap()
    }

    #[test]
    fn a_policy_changes_of_a_campaign_only_what_it_stands_for() {
        assert_eq!(Policy::Model.campaign(&table()), table());
        let one = Policy::OneMedium.campaign(&table());
        assert_eq!(one["variant"].as_array().unwrap().len(), 2);
        assert!(one.contains_key("capacity") && one["arms"].get("control").is_none());
        let unlimited = Policy::Unlimited.campaign(&table());
        assert!(!unlimited.contains_key("capacity"));
        assert_eq!(unlimited["variant"].as_array().unwrap().len(), 3);
        let volume = Policy::WeeklyVolume.campaign(&table());
        assert!(!volume.contains_key("frequency") && volume.contains_key("capacity"));
        let fixed = Policy::Fixed.campaign(&table());
        assert_eq!(fixed["arms"]["control_time"].as_str(), Some("12:00"));
        assert_eq!(fixed["arms"]["control"].as_float(), Some(1.0));
    }
}
