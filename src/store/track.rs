//! The track record: what was forecast of people in slots that were chosen for them, and what came.

use super::responses::engaged_in_time;
use super::{Doing, Reader, StoreError, Tx, micros, on, run};
use crate::model::content::{Category, Goal};
use crate::model::time::Instant;

/// Forecast and outcome of messages whose time to engage is over.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TrackRecord {
    /// The sum of their chances.
    pub forecast: f64,
    /// Those who engaged in time.
    pub engaged: u64,
}

/// The record of a closed campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedTrackRecord {
    /// Its number.
    pub campaign: i64,
    /// Its goal.
    pub goal: Goal,
    /// Its category, where that is known.
    pub category: Option<Category>,
    /// Its channel.
    pub provider: String,
    /// Whether its slots were chosen, or drawn or fixed.
    pub is_chosen: bool,
    /// Forecast and outcome.
    pub track: TrackRecord,
}

/// Whether a slot was chosen, or drawn or fixed; chances; engagements in time.
const TRACK: &str = concat!(
    "SELECT CASE WHEN arm = 'personalized' THEN 1 ELSE 0 END, SUM(chance),
        SUM(CASE WHEN ",
    engaged_in_time!(),
    " THEN 1 ELSE 0 END)
    FROM delivery WHERE campaign = $1 AND chance IS NOT NULL AND sent_at <= $4
    GROUP BY 1"
);

const CLOSED: &str =
    "SELECT r.campaign, r.goal, c.category, c.provider, r.chosen, r.forecast, r.engaged
    FROM forecast_record r JOIN campaign c ON c.id = r.campaign
    ORDER BY r.campaign DESC, r.chosen LIMIT $1";

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
    ) -> Result<[TrackRecord; 2], StoreError> {
        let within = within.as_micros() as i64;
        let rows: Vec<(i32, f64, i64)> = on!(self, |db| sqlx::query_as(TRACK)
            .bind(campaign)
            .bind(goal.as_str())
            .bind(within)
            .bind(micros(until) - within)
            .fetch_all(db)
            .await)
        .doing("compare forecasts with what came")?;
        let mut tracks = [TrackRecord::default(); 2];
        for (is_chosen, forecast, engaged) in rows {
            tracks[usize::from(is_chosen == 0)] = TrackRecord { forecast, engaged: engaged as u64 };
        }
        Ok(tracks)
    }

    /// What the newest closed campaigns forecast and what came, up to `limit` rows: two a campaign, of
    /// chosen slots and of the others.
    pub async fn closed_tracks(
        &mut self,
        limit: usize,
    ) -> Result<Vec<ClosedTrackRecord>, StoreError> {
        type Row = (i64, String, Option<String>, String, bool, f64, i64);
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(CLOSED).bind(limit as i64).fetch_all(db).await)
                .doing("read what closed campaigns forecast")?;
        let closed = |(campaign, goal, category, provider, is_chosen, forecast, engaged): Row| {
            Some(ClosedTrackRecord {
                campaign,
                // a goal of a newer release says nothing of ours
                goal: goal.parse().ok()?,
                category: category.and_then(|category| category.parse().ok()),
                provider,
                is_chosen,
                track: TrackRecord { forecast, engaged: engaged as u64 },
            })
        };
        Ok(rows.into_iter().filter_map(closed).collect())
    }
}

impl Tx {
    /// Keeps what a campaign that closes forecast and what came.
    pub async fn put_track(
        &mut self,
        campaign: i64,
        goal: Goal,
        tracks: [TrackRecord; 2],
    ) -> Result<(), StoreError> {
        for (is_chosen, track) in [true, false].into_iter().zip(tracks) {
            let (goal, engaged) = (goal.as_str(), track.engaged as i64);
            run!(self, PUT, campaign, goal, is_chosen, track.forecast, engaged)
                .doing("keep what a campaign forecast")?;
        }
        Ok(())
    }
}
