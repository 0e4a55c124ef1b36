//! Names for chronotypes, as a marketer would say them: `evening-20h`, `weekend-noon-12h`,
//! `evening-20h-and-08h`.

use crate::learn::data::week_hours::WeekRates;
use crate::learn::statistics::special::best;
use crate::model::part_of_day::{PARTS, part_of};
use crate::model::preference::WEEK_HOURS;

/// A chronotype keeps, or shuns, the weekend if its share there is so many times the mean's.
const WEEKEND: (f32, f32) = (1.35, 0.65);
/// A second peak is so many hours from the first.
const APART: usize = 4;

/// A name for each chronotype, no two alike: the part of the day and the hour around which its
/// people are seen most, whether they keep the weekend, and, where that names another one already, the
/// hour of the second peak. `weeks` are its people's, on average.
pub(in crate::learn) fn of(weeks: &[WeekRates], share: &[f64]) -> Vec<String> {
    let mean: f32 = weeks.iter().zip(share).map(|(week, s)| *s as f32 * weekend(week)).sum();
    let mut names: Vec<String> = Vec::new();
    for week in weeks {
        let prefix = match weekend(week) / mean {
            ratio if ratio > WEEKEND.0 => "weekend-",
            ratio if ratio < WEEKEND.1 => "workday-",
            _ => "",
        };
        let peak = peak(week);
        let first = format!("{prefix}{}-{peak:02}h", PARTS[part_of(peak)].0);
        let both = format!("{first}-and-{:02}h", second_peak(week, peak));
        // of classes alike in both, each after the first says the how manieth it is
        let numbered = (2..).map(|number| format!("{both}-{number}"));
        let mut names_of = [first, both.clone()].into_iter().chain(numbered);
        let name = names_of.find(|name| !names.contains(name));
        names.extend(name);
    }
    names
}

/// The middle of the three hours of the day in which most is seen.
pub(in crate::learn) fn peak(week: &WeekRates) -> usize {
    best((0..24).map(|hour| around(week, hour)))
}

/// The same among hours that are not near the first peak.
fn second_peak(week: &WeekRates, first: usize) -> usize {
    let is_near = |hour: usize| {
        let apart = (hour + 24 - first) % 24;
        apart.min(24 - apart) < APART
    };
    best((0..24).map(|hour| if is_near(hour) { 0.0 } else { around(week, hour) }))
}

/// What is seen in an hour of the day and those beside it.
fn around(week: &WeekRates, hour: usize) -> f64 {
    let of = |h: usize| (0..7).map(|day| week[day * 24 + h % 24]).sum::<f32>();
    f64::from(of(hour + 23) + of(hour) + of(hour + 1))
}

fn weekend(week: &WeekRates) -> f32 {
    week[120..].iter().sum::<f32>() / WEEK_HOURS as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::population::shrinkage::normalize;

    #[test]
    fn people_of_the_night_and_of_the_weekend_are_named_so_and_apart() {
        let at = |hours: &'static [usize], weekend: f32| -> WeekRates {
            let mut week = std::array::from_fn(|h| {
                let seen = if hours.contains(&(h % 24)) { 5.0 } else { 0.2 };
                if h >= 120 { seen * weekend } else { seen }
            });
            normalize(&mut week);
            week
        };
        let weeks = vec![
            at(&[23, 0, 1], 1.0),
            at(&[12, 13], 6.0),
            at(&[19, 20, 21], 1.0),
            at(&[7, 8, 19, 20, 21], 1.0),
            at(&[7, 8, 19, 20, 21], 1.0),
        ];
        let names = of(&weeks, &[0.2; 5]);
        assert_eq!(names[0], "night-00h");
        assert!(names[1].starts_with("weekend-noon"), "{names:?}");
        let alike = ["evening-20h", "evening-20h-and-07h", "evening-20h-and-07h-2"];
        assert_eq!(names[2..], alike);
    }
}
