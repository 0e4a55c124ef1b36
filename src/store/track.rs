//! The track record: what was forecast of people in slots that were chosen for them, and what came.

use super::{Doing, Reader, StoreError, Tx, micros, on, run};
use crate::model::content::Goal;
use crate::model::time::Instant;

/// Forecast and outcome of messages whose time to engage is over.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Track {
    /// The sum of their chances.
    pub forecast: f64,
    /// Those who engaged in time.
    pub engaged: u64,
}

/// Whether a slot was chosen, or drawn or fixed; chances; engagements in time. Who clicks or answers
/// has read, whether receipts are on or off.
const TRACK: &str = "SELECT CASE WHEN arm = 'personalized' THEN 1 ELSE 0 END, SUM(chance),
        SUM(CASE WHEN CASE $2
            WHEN 'read' THEN read_at - sent_at <= $3 OR clicked_at - sent_at <= $3
                OR replied_at - sent_at <= $3
            WHEN 'click' THEN clicked_at - sent_at <= $3
            WHEN 'reply' THEN replied_at - sent_at <= $3
            ELSE converted_at - sent_at <= $3 END THEN 1 ELSE 0 END)
    FROM delivery WHERE campaign = $1 AND chance IS NOT NULL AND sent_at <= $4
    GROUP BY 1";

const CLOSED: &str = "SELECT chosen, SUM(forecast), CAST(SUM(engaged) AS BIGINT)
    FROM forecast_record WHERE goal = $1 GROUP BY chosen";

const PUT: &str = "INSERT INTO forecast_record (campaign, goal, chosen, forecast, engaged)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (campaign, chosen) DO UPDATE
    SET forecast = excluded.forecast, engaged = excluded.engaged";

impl Reader {
    /// The track record of a campaign up to `until`: of chosen slots, and of the others.
    pub async fn track(
        &mut self,
        campaign: i64,
        goal: Goal,
        within: std::time::Duration,
        until: Instant,
    ) -> Result<[Track; 2], StoreError> {
        let within = within.as_micros() as i64;
        let rows: Vec<(i32, f64, i64)> = on!(self, |db| sqlx::query_as(TRACK)
            .bind(campaign)
            .bind(goal.as_str())
            .bind(within)
            .bind(micros(until) - within)
            .fetch_all(db)
            .await)
        .doing("compare forecasts with what came")?;
        let mut tracks = [Track::default(); 2];
        for (is_chosen, forecast, engaged) in rows {
            tracks[usize::from(is_chosen == 0)] = Track { forecast, engaged: engaged as u64 };
        }
        Ok(tracks)
    }

    /// What closed campaigns with a goal forecast and what came: of chosen slots, and of the others.
    pub async fn closed_track(&mut self, goal: Goal) -> Result<[Track; 2], StoreError> {
        let rows: Vec<(bool, f64, i64)> =
            on!(self, |db| sqlx::query_as(CLOSED).bind(goal.as_str()).fetch_all(db).await)
                .doing("read what closed campaigns forecast")?;
        let mut tracks = [Track::default(); 2];
        for (is_chosen, forecast, engaged) in rows {
            tracks[usize::from(!is_chosen)] = Track { forecast, engaged: engaged as u64 };
        }
        Ok(tracks)
    }
}

impl Tx {
    /// Keeps what a campaign that closes forecast and what came.
    pub async fn put_track(
        &mut self,
        campaign: i64,
        goal: Goal,
        tracks: [Track; 2],
    ) -> Result<(), StoreError> {
        for (is_chosen, track) in [true, false].into_iter().zip(tracks) {
            let (goal, engaged) = (goal.as_str(), track.engaged as i64);
            run!(self, PUT, campaign, goal, is_chosen, track.forecast, engaged)
                .doing("keep what a campaign forecast")?;
        }
        Ok(())
    }
}
