//! Parts of the day as a marketer names them, and in which a person is best reached.

use rand::Rng;

use super::preference::{Preference, WEEK_HOURS};

/// How many parts there are.
pub const COUNT: usize = 5;
/// Name, when, and the hours.
pub const PARTS: [(&str, &str, &str); COUNT] = [
    ("morning", "in the morning", "05:00 to 11:00"),
    ("noon", "at noon", "11:00 to 14:00"),
    ("afternoon", "in the afternoon", "14:00 to 18:00"),
    ("evening", "in the evening", "18:00 to 22:00"),
    ("night", "at night", "22:00 to 05:00"),
];

/// The part that holds an hour of the day or the week.
pub const fn part_of(hour: usize) -> usize {
    match hour % 24 {
        5..11 => 0,
        11..14 => 1,
        14..18 => 2,
        18..22 => 3,
        _ => 4,
    }
}

/// The part with the highest mean rate.
pub fn best_part(week: &[f32; WEEK_HOURS]) -> usize {
    let mut means = [(0.0f64, 0.0f64); COUNT];
    for (hour, rate) in week.iter().enumerate() {
        let of = &mut means[part_of(hour)];
        *of = (of.0 + f64::from(*rate), of.1 + 1.0);
    }
    let mean = |part: usize| means[part].0 / means[part].1;
    (1..COUNT).fold(0, |best, part| if mean(part) > mean(best) { part } else { best })
}

/// The chance of each part that the person is most present in it, from what is known.
pub fn best_chances(preference: &Preference, random: &mut impl Rng) -> [f64; COUNT] {
    const DRAWS: u32 = 400;
    let mut chances = [0.0; COUNT];
    for _ in 0..DRAWS {
        chances[best_part(&preference.draw_presence(random))] += 1.0 / f64::from(DRAWS);
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_is_in_a_part_and_the_fullest_part_is_best() {
        let hours: Vec<usize> =
            (0..COUNT).map(|p| (0..24).filter(|h| part_of(*h) == p).count()).collect();
        assert_eq!(hours, [6, 3, 4, 4, 7]);
        let evening = std::array::from_fn(|h| if part_of(h) == 3 { 2.0 } else { 1.0 });
        assert_eq!(best_part(&evening), 3);
        // a long night of little is not more than a short noon of much
        let noon = std::array::from_fn(|h| if part_of(h) == 1 { 1.1 } else { 1.0 });
        assert_eq!(best_part(&noon), 1);
    }
}
