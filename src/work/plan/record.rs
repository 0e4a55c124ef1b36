//! The record: how right forecasts were, for the next one.
//!
//! What a chance that was chosen owes to luck is taken off within the history
//! ([`crate::model::choice`]); what is left, only outcomes tell. The log of what came over what was
//! forecast is a random effect of campaigns: part is common to all, part to those of one goal, one
//! category, one channel, or to chosen slots, and part is the luck of each campaign alone. How large
//! that last part is, the campaigns say themselves, and until they do a wide prior does. So many
//! thousand engagements of one campaign promise little of the next, and many campaigns promise much.
//! The effects are solved exactly, as a Gaussian process over the campaigns (kriging). What is common is
//! less sure where the time is short: when somebody looks is harder to foretell than whether.

use std::time::Duration;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::model::campaign::Campaign;
use crate::model::content::{Category, Goal};
use crate::plan::ForecastRange;
use crate::store::{StoreError, TrackRecord};
use crate::work::Ctx;

/// The newest campaigns that count.
const CAMPAIGNS_MAX: usize = 60;
/// Standard deviations of what is common, in logs: to all campaigns, to those of one goal, of one
/// category, of one channel, and to slots that were chosen or were not.
const COMMON: f64 = 0.05;
/// The same of what is to be read in two hours or less; between there and a day in logs of the time. In
/// replays of four kinds of worlds (`benches/ranges.rs`) 800 ranges of nine in ten held 974 times in a
/// thousand with half as much again.
const COMMON_SOON: f64 = 0.11;
const GOAL: f64 = 0.05;
const CATEGORY: f64 = 0.03;
const CHANNEL: f64 = 0.03;
const ARM: f64 = 0.03;
/// Standard deviations that the luck of campaigns may have, and how plausible each is before any is
/// known: campaigns differ by 10 to 30 %.
const LUCK: [(f64, f64); 7] =
    [(0.02, 0.02), (0.06, 0.1), (0.1, 0.22), (0.15, 0.32), (0.2, 0.24), (0.3, 0.08), (0.45, 0.02)];

/// A mean that lies within its bounds nine times in ten, and 19 times in 20.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct Expected {
    /// The mean.
    pub mean: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// The lower bound that holds 19 times in 20.
    pub low_95: f64,
    /// The upper bound that does.
    pub high_95: f64,
}

/// What was forecast of a campaign's slots of one kind, and what came.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    of: Kind,
    track: TrackRecord,
}

/// What a forecast is about.
#[derive(Debug, Clone, PartialEq)]
struct Kind {
    campaign: i64,
    goal: Goal,
    category: Option<Category>,
    provider: String,
    is_chosen: bool,
}

/// The standard deviation of what is common to all forecasts, where so much time is given.
fn common(within: Duration) -> f64 {
    let hours = (within.as_secs_f64() / 3600.0).clamp(2.0, 24.0);
    COMMON_SOON + (COMMON - COMMON_SOON) * (hours / 2.0).ln() / f64::ln(12.0)
}

/// The log of what will come over what is forecast: a mixture of normal distributions, one for each
/// size of luck, with its weight, mean and variance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Effect([(f64, f64, f64); LUCK.len()]);

/// How right forecasts like a campaign's are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    chosen: Effect,
    others: Effect,
}

impl Default for Record {
    /// Before any campaign.
    fn default() -> Self {
        let kind = |is_chosen| Kind {
            campaign: 0,
            goal: Goal::Read,
            category: None,
            provider: String::new(),
            is_chosen,
        };
        let effect = |is_chosen| Effect::of(&kind(is_chosen), COMMON, &[]);
        Self { chosen: effect(true), others: effect(false) }
    }
}

impl Record {
    /// Reads the outcomes of the newest campaigns, and of those that are open.
    pub(super) async fn read(ctx: &Ctx, id: i64, campaign: &Campaign) -> Result<Self, StoreError> {
        let now = ctx.clock.now();
        let mut outcomes = Vec::new();
        let mut reader = ctx.store.read().await?;
        for closed in reader.closed_tracks(2 * CAMPAIGNS_MAX).await? {
            let of = Kind {
                campaign: closed.campaign,
                goal: closed.goal,
                category: closed.category,
                provider: closed.provider,
                is_chosen: closed.is_chosen,
            };
            outcomes.push(Outcome { of, track: closed.track });
        }
        let open = reader.open_campaigns().await?.rows;
        for row in open.iter().filter(|row| row.planned_at.is_some()).take(CAMPAIGNS_MAX) {
            let other = &row.campaign;
            let tracks = reader.track(row.id, other.goal, other.within, now).await?;
            for (is_chosen, track) in [true, false].into_iter().zip(tracks) {
                outcomes.push(Outcome { of: kind(row.id, other, is_chosen), track });
            }
        }
        let common = common(campaign.within);
        let effect = |is_chosen| Effect::of(&kind(id, campaign, is_chosen), common, &outcomes);
        Ok(Self { chosen: effect(true), others: effect(false) })
    }

    /// A forecast of chosen slots in the light of the record.
    pub(super) fn chosen(&self, forecast: ForecastRange) -> Expected {
        self.chosen.on(forecast)
    }

    /// The same of slots that were fixed or drawn.
    pub(super) fn others(&self, forecast: ForecastRange) -> Expected {
        self.others.on(forecast)
    }
}

fn kind(id: i64, campaign: &Campaign, is_chosen: bool) -> Kind {
    Kind {
        campaign: id,
        goal: campaign.goal,
        category: Some(campaign.category),
        provider: campaign.provider.to_string(),
        is_chosen,
    }
}

impl Kind {
    /// What two effects have in common, given the size of what all have and of luck.
    fn covariance(&self, other: &Self, (common, luck): (f64, f64)) -> f64 {
        let part = |is_same: bool, deviation: f64| if is_same { deviation.powi(2) } else { 0.0 };
        common.powi(2)
            + part(self.goal == other.goal, GOAL)
            + part(self.category == other.category, CATEGORY)
            + part(self.provider == other.provider, CHANNEL)
            + part(self.is_chosen == other.is_chosen, ARM)
            + part(self.campaign == other.campaign, luck)
    }
}

impl Effect {
    /// Of the next forecast of a kind, after these outcomes.
    fn of(next: &Kind, common: f64, outcomes: &[Outcome]) -> Self {
        let told: Vec<&Outcome> = outcomes.iter().filter(|o| o.track.forecast > 0.5).collect();
        let mut logs = [0.0; LUCK.len()];
        let mut effect = Self([(0.0, 0.0, 0.0); LUCK.len()]);
        for (at, (luck, plausible)) in LUCK.into_iter().enumerate() {
            let sizes = (common, luck);
            let own = next.covariance(next, sizes);
            // the mean of what comes over what is forecast is 1 before anything is known
            let usual = -own / 2.0;
            let with: Vec<f64> = told.iter().map(|o| next.covariance(&o.of, sizes)).collect();
            let off: Vec<f64> = told.iter().map(|outcome| outcome.log() - usual).collect();
            let between = |i: usize, j: usize| {
                let noise = if i == j { told[i].noise() } else { 0.0 };
                told[i].of.covariance(&told[j].of, sizes) + noise
            };
            let lower = cholesky(told.len(), between);
            let (white_off, white_with) = (forward(&lower, &off), forward(&lower, &with));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let determinant: f64 = lower.iter().filter_map(|row| row.last()).map(|x| x.ln()).sum();
            logs[at] = f64::ln(plausible) - determinant - dot(&white_off, &white_off) / 2.0;
            let mean = usual + dot(&white_with, &white_off);
            effect.0[at] = (0.0, mean, (own - dot(&white_with, &white_with)).max(1e-9));
        }
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|log| (log - top).exp()).sum();
        for (part, log) in effect.0.iter_mut().zip(logs) {
            part.0 = (log - top).exp() / total;
        }
        effect
    }

    /// A forecast in its light.
    fn on(&self, forecast: ForecastRange) -> Expected {
        if forecast.mean <= 0.0 {
            return Expected { mean: 0.0, low: 0.0, high: 0.0, low_95: 0.0, high_95: 0.0 };
        }
        // people vary about their chances, whatever the campaign's luck is
        let people = ((forecast.high - forecast.mean) / NINETY / forecast.mean).powi(2);
        let ratio: f64 = self.0.iter().map(|(w, mean, v)| w * (mean + v / 2.0).exp()).sum();
        let bound = |below| forecast.mean * self.quantile(below, people).exp();
        Expected {
            mean: forecast.mean * ratio,
            low: bound(0.05),
            high: bound(0.95),
            low_95: bound(0.025),
            high_95: bound(0.975),
        }
    }

    /// The log below which a share lies, with so much more variance.
    fn quantile(&self, below: f64, variance: f64) -> f64 {
        let share = |at: f64| -> f64 {
            let part = |(weight, mean, own): &(f64, f64, f64)| {
                let normal = Normal::new(*mean, (own + variance).sqrt());
                weight * normal.map_or(0.5, |normal| normal.cdf(at))
            };
            self.0.iter().map(part).sum()
        };
        let (mut low, mut high) = (-20.0, 20.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if share(middle) < below { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }
}

const NINETY: f64 = 1.645;

impl Outcome {
    /// The log of what came over what was forecast.
    fn log(&self) -> f64 {
        ((self.track.engaged as f64 + 0.5) / (self.track.forecast + 0.5)).ln()
    }

    /// The variance of it that people make, whatever the campaign's luck is.
    fn noise(&self) -> f64 {
        1.0 / f64::midpoint(self.track.engaged as f64, self.track.forecast).max(1.0)
    }
}

/// The lower triangle whose product with its transpose is a positive definite matrix.
fn cholesky(count: usize, entry: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let mut lower: Vec<Vec<f64>> = Vec::with_capacity(count);
    for i in 0..count {
        let mut row = Vec::with_capacity(i + 1);
        for (j, above) in lower.iter().enumerate() {
            let sum: f64 = row.iter().zip(above).take(j).map(|(a, b): (&f64, &f64)| a * b).sum();
            row.push((entry(i, j) - sum) / above[j]);
        }
        let sum: f64 = row.iter().map(|a: &f64| a * a).sum();
        row.push((entry(i, i) - sum).max(1e-12).sqrt());
        lower.push(row);
    }
    lower
}

/// Solves with a lower triangle.
fn forward(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut solved: Vec<f64> = Vec::with_capacity(right.len());
    for (row, right) in lower.iter().zip(right) {
        let sum: f64 = row.iter().zip(&solved).map(|(a, x)| a * x).sum();
        solved.push((right - sum) / row[row.len() - 1]);
    }
    solved
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn of(campaign: i64, goal: Goal) -> Kind {
        let category = Some(Category::Marketing);
        Kind { campaign, goal, category, provider: "mail".to_owned(), is_chosen: true }
    }

    fn outcome(campaign: i64, goal: Goal, forecast: f64, engaged: u64) -> Outcome {
        Outcome { of: of(campaign, goal), track: TrackRecord { forecast, engaged } }
    }

    const FORECAST: ForecastRange = ForecastRange { mean: 1000.0, low: 950.0, high: 1050.0 };

    #[test]
    fn one_campaign_promises_little_of_the_next_and_many_promise_much() {
        let next = of(99, Goal::Read);
        let none = Effect::of(&next, COMMON, &[]).on(FORECAST);
        assert!((none.mean - 1000.0).abs() < 1e-6, "{none:?}");
        assert!(none.low < 800.0 && none.low_95 < none.low && none.high > 1200.0, "{none:?}");
        // nine tenths of what was forecast came, of ten thousand in one campaign
        let one =
            Effect::of(&next, COMMON, &[outcome(1, Goal::Read, 10_000.0, 9_000)]).on(FORECAST);
        assert!(one.mean > 950.0 && one.mean < 995.0 && one.high - one.low > 300.0, "{one:?}");
        // and in twenty, each of which had its luck
        let lucky =
            |c: i64| outcome(c, Goal::Read, 10_000.0, if c % 2 == 0 { 8_500 } else { 9_500 });
        let many: Vec<Outcome> = (1..=20).map(lucky).collect();
        let many = Effect::of(&next, COMMON, &many).on(FORECAST);
        assert!((many.mean - 900.0).abs() < 20.0, "{many:?}");
        assert!(many.high - many.low > 100.0 && many.high - many.low < 300.0, "{many:?}");
    }

    #[test]
    fn another_goal_promises_less_and_the_campaign_itself_the_most() {
        let told = |campaign, goal| {
            let outcomes = [outcome(1, Goal::Read, 10_000.0, 8_000)];
            Effect::of(&of(campaign, goal), COMMON, &outcomes).on(FORECAST).mean
        };
        let (same, other, itself) =
            (told(2, Goal::Read), told(2, Goal::Click), told(1, Goal::Read));
        assert!(itself < same && same < other && other < 1000.0, "{itself}, {same}, {other}");
        assert!((itself - 800.0).abs() < 30.0, "{itself}");
    }

    /// Campaigns of 10 to 30 % different luck, after twelve of the kind: how often ranges hold.
    #[test]
    fn ranges_hold_as_they_say_with_campaigns_of_different_luck() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut held = [0; 2];
        for _ in 0..1000 {
            let common = (0.08 * random.gen_range(-1.7..1.7f64)).exp();
            let campaign = |random: &mut ChaCha8Rng| -> u64 {
                // the sum of two throws: about normal, with a deviation of 0.16
                let luck = 0.2 * (random.gen_range(-1.0..1.0) + random.gen_range(-1.0..1.0)) + 1.0;
                let mean: f64 = 1000.0 * common * luck;
                let people = mean.sqrt() * random.gen_range(-1.7..1.7);
                (mean + people).max(0.0) as u64
            };
            let past: Vec<Outcome> =
                (1..=12).map(|c| outcome(c, Goal::Read, 1000.0, campaign(&mut random))).collect();
            let came = campaign(&mut random) as f64;
            let range = ForecastRange { mean: 1000.0, low: 948.0, high: 1052.0 };
            let told = Effect::of(&of(13, Goal::Read), COMMON, &past).on(range);
            held[0] += u32::from(told.low <= came && came <= told.high);
            held[1] += u32::from(told.low_95 <= came && came <= told.high_95);
        }
        assert!((875..=925).contains(&held[0]) && (930..=975).contains(&held[1]), "{held:?}");
    }

    /// Forecasts of what is read in two hours that are off by an eighth, and campaigns of 10 to 30 %
    /// different luck: how often the ranges hold before and after the first of them.
    #[test]
    fn ranges_of_what_is_read_soon_hold_as_they_say() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let soon = common(Duration::from_hours(2));
        assert!((soon - COMMON_SOON).abs() < 1e-9);
        assert!((common(Duration::from_hours(48)) - COMMON).abs() < 1e-9);
        let mut held = [[0; 2]; 3];
        for _ in 0..2000 {
            // the sum of three throws: about normal, with a deviation of 0.13
            let common = 0.13 * (0..3).map(|_| random.gen_range(-1.0..1.0f64)).sum::<f64>();
            let campaign = |random: &mut ChaCha8Rng| -> u64 {
                let luck = 0.2 * (random.gen_range(-1.0..1.0) + random.gen_range(-1.0..1.0)) + 1.0;
                let mean: f64 = 1000.0 * common.exp() * luck;
                (mean + mean.sqrt() * random.gen_range(-1.7..1.7)).max(0.0) as u64
            };
            let past: Vec<Outcome> =
                (1..=6).map(|c| outcome(c, Goal::Read, 1000.0, campaign(&mut random))).collect();
            let came = campaign(&mut random) as f64;
            for (held, known) in held.iter_mut().zip([0, 1, 6]) {
                let told = Effect::of(&of(13, Goal::Read), soon, &past[..known]).on(FORECAST);
                held[0] += i32::from(told.low <= came && came <= told.high);
                held[1] += i32::from(told.low_95 <= came && came <= told.high_95);
            }
        }
        let shares = held.map(|held| held.map(|n| f64::from(n) / 2000.0));
        for [ninety, more] in shares {
            assert!((ninety - 0.9).abs() < 0.02 && (more - 0.95).abs() < 0.02, "{shares:?}");
        }
    }
}
