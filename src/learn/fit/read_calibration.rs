//! Calibration of reads, as a model of what was known before predicts them.

use crate::learn::data::evidence::PackedMessage;
use crate::learn::data::hash::mix;
use crate::learn::data::observations::{ReadOutcome, ReceiptState};
use crate::learn::data::subject::CensoredSubject;
use crate::learn::error::FitError;
use crate::learn::infer::model::Model;
use crate::learn::parallel::map;
use crate::learn::population::backfitting::PopulationModel;
use crate::learn::response::calibration::{ERRORS, curve, error, surely_positive, surprise};
use crate::learn::settings::Settings;
use crate::model::content::{Content, Goal, Media};

/// Reads are judged within so many hours of the delivery.
const HOURS: [u32; 2] = [2, 24];

/// Chances that messages to one person are read in time, and whether they were, by horizon.
#[derive(Debug, Clone, Default)]
struct JudgedReads([Vec<(f64, bool)>; HOURS.len()]);

/// Learns a model's curve for reads from the newest messages, as a model of what was known before
/// them predicts them. Says how far chances and shares lie apart with it, where that could be
/// measured.
pub(in crate::learn) fn calibrate_reads(
    model: &mut Model,
    sample: &[CensoredSubject<'_>],
    settings: &Settings,
    seed: u64,
) -> Result<(), FitError> {
    const NEWER: f64 = 0.2;
    const PEOPLE_MIN: usize = 100;
    let mut times: Vec<u32> = map(sample, |censored| -> Vec<u32> {
        censored.sent().iter().map(|sent| sent.at).collect()
    })
    .concat();
    times.sort_unstable();
    let Some(from) = times.get((times.len() as f64 * (1.0 - NEWER)) as usize).copied() else {
        return Ok(());
    };
    let olds: Vec<CensoredSubject<'_>> =
        sample.iter().map(|censored| CensoredSubject { until: from, ..*censored }).collect();
    let observation_sets =
        map(&olds, |censored| censored.subject.observations(censored.span(), &model.reporting));
    let population = PopulationModel::fit(
        &observation_sets,
        &model.hyper,
        model.contents.list().len(),
        settings,
        seed,
    )?;
    let before = model.with_population(population);
    let people: Vec<(usize, &CensoredSubject<'_>)> = olds.iter().enumerate().collect();
    let judged: Vec<(usize, JudgedReads)> =
        map(&people, |(index, old)| (*index, judge(&before, old, sample[*index].until)));
    let of = |groups: std::ops::Range<u64>| -> Vec<&JudgedReads> {
        let is_in = |(index, judged): &&(usize, JudgedReads)| {
            groups.contains(&(mix(*index as u64 ^ 0x7a5) % 4)) && !judged.0[0].is_empty()
        };
        judged.iter().filter(is_in).map(|(_, judged)| judged).collect()
    };
    let (learning, judging, measuring) = (of(0..2), of(2..3), of(3..4));
    let together = |people: &[&JudgedReads]| -> Vec<(f64, bool)> {
        people.iter().flat_map(|judged| judged.0.iter().flatten()).copied().collect()
    };
    if learning.len() < PEOPLE_MIN || judging.len() < PEOPLE_MIN / 2 {
        return Ok(());
    }
    let curve = curve(together(&learning))?;
    let gain = |judged: &JudgedReads, horizon: usize| {
        let gain = |(chance, happened): &(f64, bool)| {
            let chance = *chance as f32;
            surprise(chance, *happened) - surprise(curve.at(chance), *happened)
        };
        let of = &judged.0[horizon];
        (!of.is_empty()).then(|| of.iter().map(gain).sum::<f64>() / of.len() as f64)
    };
    let gains = |horizon: usize| -> Vec<f64> {
        judging.iter().filter_map(|judged| gain(judged, horizon)).collect()
    };
    // one curve is for all horizons: it must do harm at none
    let all: Vec<f64> = (0..HOURS.len()).flat_map(gains).collect();
    if surely_positive(&all, ERRORS) && (0..HOURS.len()).all(|h| surely_positive(&gains(h), 0.0)) {
        model.read = curve;
    }
    let calibrated =
        |(chance, happened): (f64, bool)| (f64::from(model.read.at(chance as f32)), happened);
    model.read_error = (measuring.len() >= PEOPLE_MIN / 2)
        .then(|| error(together(&measuring).into_iter().map(calibrated).collect()));
    Ok(())
}

/// Messages that were sent to one person after a date, at two horizons; nobody is judged whose
/// reads had never been told by then.
fn judge(before: &Model, old: &CensoredSubject<'_>, until: u32) -> JudgedReads {
    const MESSAGES_MAX: usize = 20;
    if old.subject.observations(old.span(), &before.reporting).receipts != ReceiptState::On {
        return JudgedReads::default();
    }
    let reports = before.reporting.of(old.subject.evidence, old.until);
    let latest = until.saturating_sub(HOURS[1] * 3600);
    let newer =
        old.subject.evidence.messages().filter(|sent| (old.until..latest).contains(&sent.at));
    let newer: Vec<PackedMessage> =
        newer.filter(|sent| !reports.is_machine(sent.channel)).collect();
    if newer.is_empty() {
        return JudgedReads::default();
    }
    let preference = before.preference(&old.subject, old.end());
    let any = Content { media: Media::Text, style: None };
    let mut judged = JudgedReads::default();
    for sent in newer.iter().step_by(newer.len().div_ceil(MESSAGES_MAX)) {
        let Some(read) = ReadOutcome::new(sent, until, reports) else { continue };
        let hour = old.subject.week_hour(sent.at);
        let content = sent.content.and_then(|c| before.contents.list().get(usize::from(c)));
        for (horizon, hours) in HOURS.into_iter().enumerate() {
            let within = read.delivered.saturating_add(hours * 3600);
            if until.saturating_sub(sent.at) < within {
                continue;
            }
            let within_hours = std::time::Duration::from_hours(u64::from(hours));
            let chances = preference.chances(content.unwrap_or(&any), Goal::Read, within_hours);
            let soon = read.receipt && read.seen.is_some_and(|seen| seen <= within);
            judged.0[horizon].push((f64::from(chances[hour]), soon));
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::learn::data::evidence::Evidence;
    use crate::learn::data::observed::{Channel, Contents, Observed};
    use crate::learn::data::subject::Subject;
    use crate::learn::fit::train::fit;
    use crate::model::message::Response;
    use crate::model::preference::Curve;
    use crate::model::time::Instant;

    const DAY: i64 = 86_400;
    const MESSAGES: u32 = 40;

    fn at(second: i64) -> Instant {
        chrono::DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap()
    }

    /// Whoever opens the app at another hour every 16 days: the hours that were learned are surer than what
    /// comes.
    fn history(person: i64) -> Evidence {
        let mut random = ChaCha8Rng::seed_from_u64(person as u64);
        let message = |hash: u32| {
            let sent = i64::from(hash) * 2 * DAY + random.gen_range(0..DAY);
            // the newest fifth of the messages, which judge the rest, are of hours of their own
            let lives = mix(person as u64 ^ (u64::from(hash / (MESSAGES / 5)) << 32)) % 24;
            let look = lives as i64 * 3_600 + random.gen_range(-1_800..1_800);
            let read = random.gen_bool(0.5).then(|| at(sent + (look - sent).rem_euclid(DAY)));
            Observed {
                hash,
                sent_at: at(sent),
                content: None,
                category: None,
                channel: Channel::default(),
                response: Response {
                    delivered_at: Some(at(sent)),
                    read_at: read,
                    ..Response::default()
                },
            }
        };
        let mut evidence = Evidence::default();
        evidence.fold(&(0..MESSAGES).map(message).collect::<Vec<_>>(), &[]);
        evidence
    }

    #[test]
    fn reads_are_foretold_nearer_to_their_shares_with_the_curve_than_without() {
        let evidence: Vec<Evidence> = (0..500).map(history).collect();
        let subject = |evidence| Subject { zone: Tz::UTC, country: None, tags: &[], evidence };
        let subjects: Vec<Subject<'_>> = evidence.iter().map(subject).collect();
        let settings = Settings { tune_min: usize::MAX, ..Settings::default() };
        let as_of = at(i64::from(MESSAGES) * 2 * DAY);
        let calibrated =
            fit(&subjects, &Contents::default(), &settings, as_of, 1, &mut |_, _| {}).unwrap();
        let mut plain = calibrated.clone();
        (plain.read, plain.choice) = (Curve::default(), Default::default());
        plain = plain.with_population(plain.population.clone());
        let any = Content { media: Media::Text, style: None };
        let error = |model: &Model| {
            let mut pairs = Vec::new();
            // half of the messages are read, at an hour that nobody can know
            let truth = 0.5 * 2.0 / 24.0;
            for subject in &subjects {
                let two_hours = std::time::Duration::from_hours(2);
                let chances = model.preference(subject, as_of).chances(&any, Goal::Read, two_hours);
                pairs.extend(chances[..24].iter().map(|chance| (f64::from(*chance), truth)));
            }
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let tenth = |pairs: &[(f64, f64)]| {
                (pairs.iter().map(|pair| pair.0 - pair.1).sum::<f64>() / pairs.len() as f64).abs()
            };
            pairs.chunks(pairs.len() / 10).map(tenth).sum::<f64>() / 10.0
        };
        let (with, without) = (error(&calibrated), error(&plain));
        assert!(
            with < 0.9 * without,
            "{with} with the curve {:?}, {without} without",
            calibrated.read
        );
    }
}
