//! The track record: what was forecast of people in slots that were chosen for them, and what came.

use super::{Doing, Reader, StoreError, micros, on};
use crate::model::content::Goal;
use crate::model::ids::Name;
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
const TRACK: &str = "SELECT CASE WHEN d.arm = 'personalized' THEN 1 ELSE 0 END, SUM(d.chance),
        SUM(CASE WHEN (CASE $3 WHEN 'read' THEN COALESCE(m.read_at, m.clicked_at, m.replied_at)
            WHEN 'click' THEN m.clicked_at WHEN 'reply' THEN m.replied_at
            ELSE m.converted_at END) - m.sent_at <= $4 THEN 1 ELSE 0 END)
    FROM delivery d JOIN message m ON m.key = $2 || ':' || d.recipient
    WHERE d.campaign = $1 AND d.chance IS NOT NULL AND m.sent_at <= $5
    GROUP BY 1";

impl Reader {
    /// The track record of a campaign up to `until`: of chosen slots, and of the others.
    pub async fn track(
        &mut self,
        (campaign, name): (i64, &Name),
        goal: Goal,
        within: std::time::Duration,
        until: Instant,
    ) -> Result<[Track; 2], StoreError> {
        let within = within.as_micros() as i64;
        let rows: Vec<(i32, f64, i64)> = on!(self, |db| sqlx::query_as(TRACK)
            .bind(campaign)
            .bind(name.as_str())
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
}
