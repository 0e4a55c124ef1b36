//! How soon something follows: the share that has come after so long.

/// Share of replies in the first hour after a message, the second and the third, where nothing better
/// is known: nearly all who answer a message do so when they see it.
const REPLY_DELAY: [f32; 3] = [0.7, 0.2, 0.1];

/// When a message is answered, by the hour of the person's local week in which it is sent: a message
/// at night is answered in the morning.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyDelays(Vec<Vec<f32>>);

impl Default for ReplyDelays {
    fn default() -> Self {
        Self::same(REPLY_DELAY.to_vec())
    }
}

impl ReplyDelays {
    /// The share of replies in the first hour after a message, the second, …, whenever it is sent.
    pub fn same(shares: Vec<f32>) -> Self {
        Self(vec![shares])
    }

    /// The same, by the hour of the local week in which it is sent.
    pub fn by_hour(hours: Vec<Vec<f32>>) -> Self {
        assert!(!hours.is_empty(), "a week has hours");
        Self(hours)
    }

    /// The shares of a message that is sent in an hour of the local week.
    pub fn at(&self, hour: usize) -> &[f32] {
        &self.0[hour % self.0.len()]
    }
}

/// Shares by the time that has passed: points `(hours, share)`, straight between them. No points:
/// nothing is known, and what comes comes at once.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Delays(Vec<(f32, f32)>);

impl Delays {
    /// From points in the order of both time and share; the last share is 1.
    pub fn new(points: Vec<(f32, f32)>) -> Self {
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "time and share grow");
        Self(points)
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// The share that has come within so many hours; nothing comes in less than none.
    pub fn within(&self, hours: f32) -> f32 {
        if hours < 0.0 {
            return 0.0;
        }
        let next = self.0.partition_point(|(at, _)| *at <= hours);
        let Some((to, high)) = self.0.get(next) else { return 1.0 };
        let (from, low) = next.checked_sub(1).map_or((0.0, 0.0), |last| self.0[last]);
        low + (high - low) * (hours - from) / (to - from)
    }

    /// The hours after which so large a share has come.
    pub fn after(&self, share: f32) -> f32 {
        let next = self.0.partition_point(|(_, come)| *come < share);
        let Some((to, high)) = self.0.get(next).or(self.0.last()) else { return 0.0 };
        let (from, low) = next.checked_sub(1).map_or((0.0, 0.0), |last| self.0[last.min(next)]);
        if high > &low { from + (to - from) * ((share - low) / (high - low)).min(1.0) } else { *to }
    }

    /// The mean share that has come when `hours` are left from the middle of an hour, where one hour is
    /// drawn evenly and another, within which the time runs out, is too: the time left is spread as a
    /// triangle over an hour less to an hour more.
    pub(super) fn around(&self, hours: f32) -> f32 {
        /// Middles of equal shares of the triangle over −1 to 1.
        const STEPS: usize = 16;
        if self.within(hours - 1.0) >= 1.0 {
            return 1.0;
        }
        let place = |step: usize| {
            let u = (step as f32 + 0.5) / STEPS as f32;
            if u < 0.5 { (2.0 * u).sqrt() - 1.0 } else { 1.0 - (2.0 * (1.0 - u)).sqrt() }
        };
        (0..STEPS).map(|step| self.within(hours - place(step))).sum::<f32>() / STEPS as f32
    }

    /// The same from the first hour on: the time between two points of one hour, the later of which is
    /// drawn evenly after the earlier, falls from most at none to nothing at an hour.
    pub(super) fn in_first_hour(&self, hours: f32) -> f32 {
        const STEPS: usize = 16;
        if self.within(hours - 1.0) >= 1.0 {
            return 1.0;
        }
        let place = |step: usize| 1.0 - (1.0 - (step as f32 + 0.5) / STEPS as f32).sqrt();
        (0..STEPS).map(|step| self.within(hours - place(step))).sum::<f32>() / STEPS as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_straight_between_the_points_and_lead_back_to_the_time() {
        let delays = Delays::new(vec![(0.5, 0.4), (2.0, 0.8), (6.0, 1.0)]);
        assert!(
            (delays.within(0.25) - 0.2).abs() < 1e-6 && (delays.within(4.0) - 0.9).abs() < 1e-6
        );
        assert!(delays.within(-0.1).abs() < 1e-9 && (delays.within(9.0) - 1.0).abs() < 1e-9);
        for share in [0.1, 0.4, 0.7, 0.95, 1.0] {
            assert!((delays.within(delays.after(share)) - share).abs() < 1e-6, "{share}");
        }
        assert!((Delays::default().within(0.0) - 1.0).abs() < 1e-9);
        assert!(Delays::default().after(0.5).abs() < 1e-9);
    }

    /// Seconds drawn evenly within their hours, one after another.
    #[test]
    fn the_time_left_is_that_of_seconds_within_their_hours() {
        let delays = Delays::new(vec![(1.0, 0.3), (3.0, 0.9), (12.0, 1.0)]);
        for hours in [0.7f32, 1.5, 2.0, 6.0] {
            let (mut around, mut first, mut counted) = (0.0f64, 0.0f64, 0.0f64);
            for i in 0..300u16 {
                for j in 0..300u16 {
                    let (u, v) = ((f32::from(i) + 0.5) / 300.0, (f32::from(j) + 0.5) / 300.0);
                    around += f64::from(delays.within(hours - (v - u))) / 90_000.0;
                    if v >= u {
                        first += f64::from(delays.within(hours - (v - u)));
                        counted += 1.0;
                    }
                }
            }
            assert!((f64::from(delays.around(hours)) - around).abs() < 0.004, "{hours}: {around}");
            let first = first / counted;
            assert!((f64::from(delays.in_first_hour(hours)) - first).abs() < 0.005, "{hours}");
        }
    }
}
