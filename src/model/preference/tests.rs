//! What a preference answers, on people made for one question each.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::content::Media;
use super::*;

const HOUR: Duration = Duration::from_hours(1);
const TEXT: Content = Content { media: Media::Text, style: None };
const VIDEO: Content = Content { media: Media::Video, style: None };

fn evening_person() -> Preference {
    let figures = ContentFigures::default();
    let population = Population {
        decay: (0..72).map(|k| (-(k as f32) / 12.0).exp()).collect(),
        contents: vec![(TEXT, figures), (VIDEO, figures)],
        delays: Answers { reply: Delays::new(vec![(0.5, 0.5), (3.0, 1.0)]), ..Answers::default() },
        ..Population::default()
    };
    let week = std::array::from_fn(|h| if h % 24 == 20 { 12.5 } else { 0.5 });
    let person = Person {
        week,
        certainty: [4.0; 24],
        level: 0.1,
        level_certainty: 6.0,
        tastes: [(0.8, 0.3), (1.2, 0.3)].into(),
        answers: Answers { click: -2.0, reply: -1.0, convert: -4.0 },
        answer_certainty: Answers { click: 15.0, reply: 30.0, convert: 20.0 },
        opt_out: -6.0,
        opt_out_certainty: 300.0,
        recent: 0.0,
        added: None,
        chronotype: 0,
        chronotype_share: 0.9,
        evidence: 12.0,
    };
    Preference::new(Arc::new(population), person)
}

#[test]
fn more_time_never_lowers_a_chance() {
    let person = evening_person();
    for goal in [Goal::Read, Goal::Reply] {
        let mut before = [0.0; WEEK_HOURS];
        for minutes in [5, 30, 60, 90, 120, 600, 1440, 4320] {
            let now = person.chances(&TEXT, goal, Duration::from_secs(minutes * 60));
            assert!((0..WEEK_HOURS).all(|h| now[h] >= before[h] && now[h] < 1.0));
            before = now;
        }
    }
}

#[test]
fn a_message_is_best_sent_when_its_time_covers_the_hour_of_habit() {
    let chances = evening_person().chances(&TEXT, Goal::Read, 2 * HOUR);
    let best = (0..24).max_by(|a, b| chances[*a].total_cmp(&chances[*b])).unwrap();
    assert_eq!(best, 20);
    assert!(chances[19] > 2.0 * chances[12] && chances[21] < 2.0 * chances[12]);
}

#[test]
fn tastes_average_to_one_and_a_new_style_takes_after_its_medium() {
    let person = evening_person();
    let mean = f64::midpoint(person.taste(&TEXT), person.taste(&VIDEO));
    assert!((mean - 1.0).abs() < 1e-6 && person.taste(&VIDEO) > 1.1);
    let styled = Content { media: Media::Video, style: Some("people".parse().unwrap()) };
    assert!((person.taste(&styled) - person.taste(&VIDEO)).abs() < 1e-6);
}

#[test]
fn a_chance_lies_within_its_range_and_draws_average_to_it() {
    let person = evening_person();
    let range = person.chance_ranges(&TEXT, Goal::Read, 24 * HOUR)[10];
    assert!(range.low < range.mean && range.mean < range.high && range.high < 1.0);
}

#[test]
fn the_mean_over_draws_is_the_chance() {
    let person = evening_person();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let draws: Vec<Preference> = (0..6000).map(|_| person.draw(&mut random)).collect();
    for goal in [Goal::Read, Goal::Click, Goal::Reply] {
        for hours in [2, 24] {
            let of = |person: &Preference| {
                let chances = person.chances(&VIDEO, goal, hours * HOUR);
                [10, 19, 20].map(|h: usize| f64::from(chances[h]))
            };
            let chances = of(&person);
            let drawn: Vec<[f64; 3]> = draws.iter().map(of).collect();
            for (i, chance) in chances.into_iter().enumerate() {
                let mean = drawn.iter().map(|d| d[i]).sum::<f64>() / 6000.0;
                let squares = drawn.iter().map(|d| (d[i] - mean).powi(2)).sum::<f64>() / 6000.0;
                let error = (squares / 6000.0).sqrt();
                assert!(
                    (mean - chance).abs() < 4.0 * error + 0.01 * chance,
                    "{goal:?}: {mean} {chance}"
                );
                assert!(squares > 0.0, "a draw differs from the mean");
            }
        }
    }
    let mean = draws.iter().map(|d| f64::from(d.opt_out(&TEXT))).sum::<f64>() / 6000.0;
    let chance = f64::from(person.opt_out(&TEXT));
    assert!((mean / chance - 1.0).abs() < 0.2, "{mean} {chance}");
}
