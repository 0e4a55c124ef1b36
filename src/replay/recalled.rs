//! The workspace's own people, as the model in use remembers them: what they would do with a message.
//!
//! Nobody knows their habits; what is known is a distribution. Each seed draws one possible truth
//! from it, person by person, and what differs from seed to seed is how little is known. Everything
//! is delivered, and every reading is reported.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::ReplayError;
use crate::calendar::zone::week_hour;
use crate::learn::Subject;
use crate::model::campaign::Campaign;
use crate::model::content::{Category, Goal};
use crate::model::ids::RecipientKey;
use crate::model::message::Response;
use crate::model::preference::Preference;
use crate::model::recipient::Recipient;
use crate::work::learn::{ActiveModel, People};
use crate::work::{Ctx, PreferenceOverride};
use crate::world::dice::Dice;
use crate::world::person::Sent;
use crate::world::{Crowd, Whom};

/// What a channel takes to deliver, in seconds, at least and at most.
const DELIVERY: (f64, f64) = (0.5, 3.0);

/// See the module.
pub(super) struct Recalled {
    people: HashMap<RecipientKey, Preference>,
    dice: Dice,
}

#[derive(Clone, Copy)]
enum Draw {
    Person,
    Message,
    Delivery,
    Read,
    OptOut,
    Answer,
}

/// Everybody of a workspace, and the model that they are recalled by.
pub(super) struct Memory {
    people: People,
    model: ActiveModel,
    zone: Tz,
}

impl Memory {
    pub(super) async fn load(ctx: &Ctx) -> Result<Self, ReplayError> {
        let model = ActiveModel::load(ctx).await?;
        if model.version.is_none() {
            return Err(ReplayError::NothingLearned);
        }
        Ok(Self { people: People::load(ctx).await?, model, zone: ctx.config.time_zone })
    }

    /// One possible truth about everybody.
    pub(super) fn draw(&self, seed: u64) -> Recalled {
        let dice = Dice::new(seed);
        let one = |index: usize| {
            let key = self.people.recipients[index].key.clone();
            let chance = dice.with(Draw::Person as u64).text(key.as_str());
            let mut random = ChaCha8Rng::seed_from_u64(chance.seed());
            let known = self.model.preference(&self.people.subject(index, self.zone));
            (key, known.draw(&mut random))
        };
        Recalled { people: (0..self.people.recipients.len()).map(one).collect(), dice }
    }
}

impl Recalled {
    fn person(&self, who: &RecipientKey, category: Category) -> Option<Preference> {
        self.people.get(who).map(|person| person.clone().in_category(category))
    }
}

impl Crowd for Recalled {
    fn answer(&self, whom: Whom<'_>, sent: &Sent<'_>) -> Response {
        let dice = self.dice.with(Draw::Message as u64).text(sent.key.as_str());
        let turn = |what: Draw| dice.with(what as u64);
        let delivered = sent.at + span(turn(Draw::Delivery).between(DELIVERY.0, DELIVERY.1));
        let mut response = Response { delivered_at: Some(delivered), ..Response::default() };
        let Some(person) = self.person(whom.key, sent.category) else { return response };
        let hour = week_hour(sent.at, whom.zone);
        let by = |hours: usize| {
            let within = Duration::from_hours(hours as u64);
            f64::from(person.chances(sent.content, Goal::Read, within)[hour])
        };
        let longest = person.longest_hours();
        let ever = by(longest);
        let Some(hours) = read_after(by, (longest, ever), turn(Draw::Read).unit()) else {
            return response;
        };
        let read = (sent.at + span(hours * 3600.0)).max(delivered);
        response.read_at = Some(read);
        let answered = |goal: Goal| {
            let dice = turn(Draw::Answer).with(goal as u64);
            let chance = f64::from(person.answer_chance(sent.content, goal));
            let delays = person.answer_delays(goal).filter(|delays| !delays.is_unknown())?;
            let after = |draw: Dice| span(f64::from(delays.after(draw.unit() as f32)) * 3600.0);
            dice.chance(chance).then(|| read + after(dice.with(1)))
        };
        response.clicked_at = answered(Goal::Click);
        response.replied_at = answered(Goal::Reply);
        response.converted_at = answered(Goal::Convert);
        let harm = f64::from(person.opt_out(sent.content)) / ever.max(f64::MIN_POSITIVE);
        response.opted_out_at = turn(Draw::OptOut).chance(harm.min(1.0)).then_some(read);
        response
    }

    fn chance(&self, whom: Whom<'_>, sent: &Sent<'_>, goal: Goal, within: Duration) -> f64 {
        self.person(whom.key, sent.category).map_or(0.0, |person| {
            f64::from(person.chances(sent.content, goal, within)[week_hour(sent.at, whom.zone)])
        })
    }
}

impl PreferenceOverride for Recalled {
    /// The truth itself.
    fn preference(&self, _: &Campaign, recipient: &Recipient, _: &Subject<'_>) -> Preference {
        self.people[&recipient.key].clone()
    }
}

fn span(seconds: f64) -> TimeDelta {
    TimeDelta::microseconds((seconds * 1e6) as i64)
}

/// After how many hours a message is read, if ever: where the growing chance to be read `by` then
/// passes a number drawn evenly. `last` is the longest time and the chance by then.
fn read_after(by: impl Fn(usize) -> f64, last: (usize, f64), drawn: f64) -> Option<f64> {
    if drawn >= last.1 {
        return None;
    }
    let (mut before, mut after) = ((0, 0.0), last);
    while after.0 - before.0 > 1 {
        let middle = usize::midpoint(before.0, after.0);
        let chance = by(middle);
        let bound = if chance > drawn { &mut after } else { &mut before };
        *bound = (middle, chance);
    }
    Some(before.0 as f64 + (drawn - before.1) / (after.1 - before.1))
}
