//! What is known of one person's habits, ready to be asked. Made by `learn`, read by `plan`.

/// Hours of the local week; hour 0 is Monday 00:00–01:00 on the person's own clock.
pub const WEEK_HOURS: usize = 168;
