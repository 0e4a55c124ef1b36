//! Names for chronotypes, as a marketer would say them.

use super::mixture::Chronotypes;
use super::shape::Week;
use crate::model::preference::WEEK_HOURS;

/// Parts of the day: name, first hour, hours.
const PARTS: [(&str, usize, usize); 6] = [
    ("night", 0, 5),
    ("early-morning", 5, 4),
    ("morning", 9, 3),
    ("midday", 12, 3),
    ("afternoon", 15, 3),
    ("evening", 18, 6),
];

/// A name for each chronotype, no two alike: the part of the day in which its people are seen more
/// than others are, and whether they keep the weekend.
pub(super) fn of(chronotypes: &Chronotypes) -> Vec<String> {
    let classes = 0..chronotypes.len();
    let mean: Week = std::array::from_fn(|h| {
        let share = chronotypes.share();
        classes.clone().map(|c| share[c] as f32 * chronotypes.week(c)[h]).sum()
    });
    let mut names: Vec<String> = classes.map(|c| name(chronotypes.week(c), &mean)).collect();
    let plain = names.clone();
    for (index, name) in names.iter_mut().enumerate() {
        let earlier = plain[..index].iter().filter(|other| *other == name).count();
        if earlier > 0 {
            *name = format!("{name}-{}", earlier + 1);
        }
    }
    names
}

fn name(week: &Week, mean: &Week) -> String {
    let total = |week: &Week, keep: &dyn Fn(usize) -> bool| -> f32 {
        (0..WEEK_HOURS).filter(|h| keep(*h)).map(|h| week[h]).sum()
    };
    // the surplus over the mean, so that a part counts by how many events set it apart
    let surplus = |(_, first, hours): (&str, usize, usize)| {
        let keep = |h: usize| (first..first + hours).contains(&(h % 24));
        (total(week, &keep) - total(mean, &keep))
            / (total(mean, &keep) + WEEK_HOURS as f32 / 24.0).sqrt()
    };
    let part = PARTS.into_iter().max_by(|a, b| surplus(*a).total_cmp(&surplus(*b)));
    let weekend = |week: &Week| total(week, &|h| h >= 120) / WEEK_HOURS as f32;
    let prefix = match weekend(week) / weekend(mean) {
        ratio if ratio > 1.35 => "weekend-",
        ratio if ratio < 0.65 => "workday-",
        _ => "",
    };
    format!("{prefix}{}", part.map_or("even", |(name, ..)| name))
}
