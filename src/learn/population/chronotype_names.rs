//! Names for chronotypes, as a marketer would say them: `evening-20h`, `weekend-noon-12h`.

use crate::learn::data::week_hours::WeekRates;
use crate::learn::statistics::special::best;
use crate::model::preference::WEEK_HOURS;

/// First hour and name of each part of the day; the last runs over midnight.
const PARTS: [(usize, &str); 6] =
    [(5, "early"), (9, "morning"), (12, "noon"), (14, "afternoon"), (18, "evening"), (22, "night")];
/// A chronotype keeps, or shuns, the weekend if its share there is so many times the mean's.
const WEEKEND: (f32, f32) = (1.35, 0.65);

/// A name for each chronotype, no two alike: the part of the day and the hour around which its
/// people are seen most, and whether they keep the weekend. `weeks` are its people's, on average.
pub(in crate::learn) fn of(weeks: &[WeekRates], share: &[f64]) -> Vec<String> {
    let mean: f32 = weeks.iter().zip(share).map(|(week, s)| *s as f32 * weekend(week)).sum();
    let (mut names, mut plain) = (Vec::new(), Vec::<String>::new());
    for week in weeks {
        let prefix = match weekend(week) / mean {
            ratio if ratio > WEEKEND.0 => "weekend-",
            ratio if ratio < WEEKEND.1 => "workday-",
            _ => "",
        };
        let peak = peak(week);
        let part = PARTS.iter().rev().find(|(first, _)| *first <= peak).unwrap_or(&PARTS[5]).1;
        let name = format!("{prefix}{part}-{peak:02}h");
        // of classes alike, each after the first says the how manieth it is
        let alike = plain.iter().filter(|other| **other == name).count();
        names.push(if alike == 0 { name.clone() } else { format!("{name}-{}", alike + 1) });
        plain.push(name);
    }
    names
}

/// The middle of the three hours of the day in which most is seen.
pub(in crate::learn) fn peak(week: &WeekRates) -> usize {
    let hour = |h: usize| (0..7).map(|day| week[day * 24 + h % 24]).sum::<f32>();
    best((0..24).map(|h| f64::from(hour(h + 23) + hour(h) + hour(h + 1))))
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
            at(&[19, 20, 21], 1.0),
        ];
        let names = of(&weeks, &[0.25; 4]);
        assert_eq!(names[0], "night-00h");
        assert!(names[1].starts_with("weekend-noon"), "{names:?}");
        assert_eq!(names[2..], ["evening-20h", "evening-20h-2"]);
    }
}
