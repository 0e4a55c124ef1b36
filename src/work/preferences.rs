//! What is known of one person's habits, from what evidence.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use utoipa::ToSchema;

use super::Ctx;
use super::habits::evidence_of;
use super::learn::{ActiveModel, LearnError, subject};
use crate::learn::{ChannelAnswers, ChronotypeMix, Evidence, HabitChange};
use crate::model::ids::RecipientKey;
use crate::model::part_of_day::{PARTS, best_chances};
use crate::model::preference::{Preference, Range};
use crate::model::recipient::Recipient;

/// With fewer observations, what others do says as much as they do.
pub const THIN: f64 = 5.0;

/// What is so probable is told as known.
const SURE: f64 = 0.9;

/// What is known of a person's habits.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonPreferences {
    /// The caller's id.
    pub recipient: RecipientKey,
    /// The zone by whose clocks the week is told.
    pub time_zone: String,
    /// Whether that was inferred from country or dialling code.
    pub zone_inferred: bool,
    /// The version of the model in use; none where nothing was learned.
    pub model: Option<i64>,
    /// The nearest chronotype.
    pub chronotype: String,
    /// The probability that the person is of it.
    pub chronotype_share: f64,
    /// The effective number of observations.
    pub evidence: f64,
    /// Messages that it rests on.
    pub messages: u32,
    /// Other signs of presence.
    pub signs_of_presence: u32,
    /// What was expected before any of it.
    pub prior: ChronotypeMix,
    /// When the person is best reached, in words; what is known of it, and how surely.
    pub best_reached: Vec<String>,
    /// When the person came to live by other hours, where that is all but sure: what was seen before
    /// hardly counts for the hours any more.
    pub habits_changed: Option<HabitChange>,
    /// Lives so many hours later since then.
    pub moved_hours: Option<i32>,
    /// The share of the week's presence in each hour, from Monday 00:00 on the person's clock.
    pub presence: Vec<HabitFigure>,
    /// How often the person answers on each channel that wrote to them, the best first.
    pub channels: Vec<ChannelAnswers>,
    /// What the person engages with.
    pub tastes: Vec<Taste>,
}

/// With the ends of the interval that holds it with a probability of 90 %.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct HabitFigure {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl From<Range> for HabitFigure {
    fn from(range: Range) -> Self {
        Self { mean: range.mean.into(), low: range.low.into(), high: range.high.into() }
    }
}

/// The chance to engage with one content, relative to the person's mean over all.
#[derive(Debug, Serialize, ToSchema)]
pub struct Taste {
    /// Medium, and style after an underscore.
    pub content: String,
    /// 1 is average.
    pub relative: f64,
    /// The lower end of the interval of 90 %.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl PersonPreferences {
    /// Since when the person lives by other hours, in words; empty where habits are not known to have
    /// changed.
    pub fn change_words(&self) -> Option<String> {
        let HabitChange { since, probability, hours_later } = self.habits_changed?;
        // no probability is so large that nothing could be said against it
        let sure = (100.0 * probability).min(99.0);
        let how = match hours_later {
            None => "by other hours than before".to_owned(),
            Some(hours) => {
                let (much, way) = (hours.abs(), if hours > 0 { "later" } else { "earlier" });
                let unit = if much == 1 { "hour" } else { "hours" };
                format!("about {much} {unit} {way} than before")
            }
        };
        let day = since.format("%Y-%m-%d");
        Some(format!(
            "Since about {day} lives {how} ({sure:.0} % sure): the hours are learned from what came \
             since"
        ))
    }
}

/// Computes what is known of a person.
pub async fn of(ctx: &Ctx, recipient: &Recipient) -> Result<PersonPreferences, LearnError> {
    let (mut found, _) = evidence_of(&ctx.store, &[recipient.id]).await?;
    let evidence = found.remove(&recipient.id).unwrap_or_default();
    let model = ActiveModel::load(ctx).await?;
    let asked = subject(recipient, &evidence, ctx.config.time_zone);
    let preference = model.preference(&asked);
    let ranges = preference.presence_ranges();
    let habits_changed = model.habit_change(&asked);
    let names = ctx.store.read().await?.channels_of(recipient.id).await?;
    let channels = model.channel_answers(&asked, &names);
    let taste = |content| {
        let HabitFigure { mean, low, high } = preference.taste_range(content).into();
        Taste { content: ToString::to_string(content), relative: mean, low, high }
    };
    Ok(PersonPreferences {
        recipient: recipient.key.clone(),
        time_zone: asked.zone.name().to_owned(),
        zone_inferred: recipient.profile.zone.is_some_and(|zone| zone.inferred),
        model: model.version,
        chronotype: preference.chronotype().to_owned(),
        chronotype_share: preference.chronotype_share(),
        evidence: preference.evidence(),
        messages: evidence.message_count(),
        signs_of_presence: evidence.presence_count(),
        prior: model.mix(&asked),
        best_reached: best_reached(&preference, &evidence)
            .into_iter()
            .chain(best_channel(&channels))
            .collect(),
        channels,
        habits_changed,
        moved_hours: habits_changed.and_then(|change| change.hours_later),
        presence: ranges.into_iter().map(HabitFigure::from).collect(),
        tastes: preference.contents().map(taste).collect(),
    })
}

/// By which channel a person is best reached; nothing of whom only one has written to.
fn best_channel(channels: &[ChannelAnswers]) -> Option<String> {
    let [best, _, ..] = channels else { return None };
    let of = |known: &ChannelAnswers| {
        format!("{} of {} by {}", known.answered, known.messages, known.channel)
    };
    let answered: Vec<String> = channels.iter().map(of).collect();
    let (first, only) = if best.best >= SURE { ("Best", "") } else { ("Perhaps best", "only ") };
    Some(format!(
        "{first} reached by {}: that is {only}{:.0} % sure (answered {})",
        best.channel,
        // no probability is so large that nothing could be said against it
        (100.0 * best.best).min(99.0),
        answered.join(", ")
    ))
}

/// When a person is best reached, by how often each answer comes out where habits are drawn from
/// what is known of them.
fn best_reached(preference: &Preference, evidence: &Evidence) -> Vec<String> {
    /// So many times as present on weekends is a habit.
    const KEEPS: f64 = 1.2;
    if evidence.is_empty() {
        return vec![
            "When this person is best reached is not known: nothing was seen yet".to_owned(),
        ];
    }
    let chances = best_chances(preference, &mut ChaCha8Rng::seed_from_u64(1));
    let best =
        (1..chances.len()).fold(0, |best, p| if chances[p] > chances[best] { p } else { best });
    let (_, when, hours) = PARTS[best];
    let chance = 100.0 * chances[best];
    let first = if chances[best] >= SURE {
        format!("Best reached {when} ({hours}): that is {chance:.0} % sure")
    } else {
        format!("Perhaps best reached {when} ({hours}): that is only {chance:.0} % sure")
    };
    let weekend = preference.presence()[120..].iter().sum::<f64>();
    let days = match weekend / 48.0 / ((1.0 - weekend) / 120.0) {
        _ if preference.evidence() < THIN => None,
        more if more > KEEPS => Some("Seen more on weekends than on working days"),
        less if less < 1.0 / KEEPS => Some("Seen more on working days than on weekends"),
        _ => None,
    };
    std::iter::once(first).chain(days.map(str::to_owned)).collect()
}
