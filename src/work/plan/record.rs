//! The record: how right forecasts were, for the next one.
//!
//! A slot that is chosen for its chance was chosen for luck as well, so that forecasts of chosen slots
//! come out too high (the optimizer's curse; Smith and Winkler 2006), and by how much only outcomes
//! tell that had no part in the choice. Those are at hand: what earlier campaigns forecast of the slots
//! that they chose, and what came. Forecasts are scaled by their ratio, drawn towards 1 by a prior; what
//! was not chosen (the control time) has a ratio of its own, since the curse does not touch it.

use serde::Serialize;

use crate::model::campaign::Campaign;
use crate::plan::ForecastRange;
use crate::store::{StoreError, Track};
use crate::work::Ctx;

/// The prior's weight in engagements: before anything is known forecasts are trusted to a tenth, since
/// the ratio of a gamma prior of this shape has a relative spread of 1/√100.
const PRIOR: f64 = 100.0;
const NINETY: f64 = 1.645;

/// A mean that lies within its bounds nine times in ten.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Expected {
    /// The mean.
    pub mean: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// How right forecasts of one goal were.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Record {
    chosen: Track,
    others: Track,
}

impl Record {
    /// Reads the outcomes of all campaigns with the goal of this one: of closed ones their sums.
    pub(super) async fn read(ctx: &Ctx, campaign: &Campaign) -> Result<Self, StoreError> {
        let now = ctx.clock.now();
        let mut reader = ctx.store.read().await?;
        let [chosen, others] = reader.closed_track(campaign.goal).await?;
        let mut record = Self { chosen, others };
        for row in reader.open_campaigns().await?.rows {
            let other = &row.campaign;
            if other.goal != campaign.goal || row.planned_at.is_none() {
                continue;
            }
            let [chosen, others] = reader.track(row.id, other.goal, other.within, now).await?;
            for (sum, more) in [(&mut record.chosen, chosen), (&mut record.others, others)] {
                sum.forecast += more.forecast;
                sum.engaged += more.engaged;
            }
        }
        Ok(record)
    }

    /// A forecast of chosen slots in the light of the record.
    pub(super) fn chosen(&self, forecast: ForecastRange) -> Expected {
        corrected(forecast, self.chosen)
    }

    /// The same of slots that were fixed or drawn.
    pub(super) fn others(&self, forecast: ForecastRange) -> Expected {
        corrected(forecast, self.others)
    }
}

fn corrected(forecast: ForecastRange, track: Track) -> Expected {
    let engaged = track.engaged as f64 + PRIOR;
    let ratio = engaged / (track.forecast + PRIOR);
    let mean = forecast.mean * ratio;
    // chance of the people, and doubt of the ratio
    let people = (forecast.high - forecast.mean) * ratio;
    let doubt = NINETY * mean / engaged.sqrt();
    let half = people.hypot(doubt);
    Expected { mean, low: (mean - half).max(0.0), high: mean + half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_scale_the_next_forecast_and_narrow_its_range() {
        let forecast = ForecastRange { mean: 1000.0, low: 950.0, high: 1050.0 };
        let first = corrected(forecast, Track::default());
        assert!((first.mean - 1000.0).abs() < 1e-9 && first.high - first.mean > 160.0);
        // nine tenths of what was forecast came, often enough to be believed
        let track = Track { forecast: 10_000.0, engaged: 9000 };
        let next = corrected(forecast, track);
        assert!((next.mean - 901.0).abs() < 1.0, "{}", next.mean);
        assert!(next.high - next.mean < 60.0 && next.low > 840.0);
    }
}
