//! From computed chances to calibrated ones, by isotonic regression.
//!
//! A curve is learned from some people and kept only where it surely foretells others better; how far
//! chances and shares then lie apart is measured on people who played no part in either.

use super::FitError;
use super::Settings;
use super::estimate::{calibration_error, reliability};
use super::evidence::Sent;
use super::fit;
use super::hyper::Hyper;
use super::learner::{Cut, mix};
use super::model::Model;
use super::parallel::map;
use super::parts::Parts;
use super::reading::{Read, Receipts};
use crate::model::content::{Content, Goal, Media};
use crate::model::preference::Curve;

/// A curve is kept for a gain of so many standard errors.
const ERRORS: f64 = 2.0;

/// A curve through an isotonic regression: straight between the middles of its steps, so that what was
/// apart stays apart.
pub(super) fn curve(mut pairs: Vec<(f64, bool)>) -> Result<Curve, FitError> {
    const BINS_MAX: usize = 40;
    const BIN_MIN: usize = 100;
    const STEPS_MIN: usize = 2;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let bins = (pairs.len() / BIN_MIN).clamp(2, BINS_MAX);
    let bins = reliability(numbers(pairs), bins);
    let (chances, shares): (Vec<f64>, Vec<f64>) = bins.into_iter().unzip();
    let mut steps: Vec<(f64, f64, f64)> = Vec::new();
    for (chance, share) in fit::isotonic(&chances, &shares)? {
        match steps.last_mut() {
            Some((sum, n, last)) if share - *last < 1e-9 => {
                *sum += chance;
                *n += 1.0;
            }
            _ => steps.push((chance, 1.0, share)),
        }
    }
    let points: Vec<(f32, f32)> = steps
        .into_iter()
        .map(|(sum, n, share)| ((sum / n) as f32, share as f32))
        .filter(|(chance, share)| *chance > 0.0 && *chance < 1.0 && *share > 0.0)
        .collect();
    Ok(if points.len() < STEPS_MIN { Curve::default() } else { Curve(points) })
}

fn numbers(pairs: Vec<(f64, bool)>) -> Vec<(f64, f64)> {
    let number = |(chance, happened)| (chance, f64::from(u8::from(happened)));
    pairs.into_iter().map(number).collect()
}

/// Expected calibration error in ten bins of equal size.
pub(super) fn error(pairs: Vec<(f64, bool)>) -> f64 {
    calibration_error(&reliability(numbers(pairs), 10))
}

/// Log-loss of a chance.
pub(super) fn surprise(chance: f32, happened: bool) -> f64 {
    let chance = f64::from(chance).clamp(1e-6, 1.0 - 1e-6);
    -(if happened { chance } else { 1.0 - chance }).ln()
}

/// Whether the mean of independent gains is above 0 by so many standard errors.
pub(super) fn surely_positive(gains: &[f64], errors: f64) -> bool {
    let n = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / n;
    mean > errors * (variance / n).sqrt()
}

/// Reads are judged within so many hours of the delivery.
const HOURS: [u32; 2] = [2, 24];

/// Chances that messages to one person are read in time, and whether they were, by horizon.
#[derive(Debug, Clone, Default)]
struct Judged([Vec<(f64, bool)>; HOURS.len()]);

/// Learns a model's curve for reads from the newest messages, as a model of what was known before them
/// foretells them. Says how far chances and shares lie apart with it, where that could be measured.
pub(super) fn calibrate_reads(
    model: &mut Model,
    sample: &[Cut<'_>],
    settings: &Settings,
    seed: u64,
) -> Result<(), FitError> {
    const NEWER: f64 = 0.2;
    const PEOPLE_MIN: usize = 100;
    let mut times: Vec<u32> = map(sample, settings.threads, |cut| -> Vec<u32> {
        cut.sent().iter().map(|sent| sent.at).collect()
    })
    .concat();
    times.sort_unstable();
    let Some(from) = times.get((times.len() as f64 * (1.0 - NEWER)) as usize).copied() else {
        return Ok(());
    };
    let olds: Vec<Cut<'_>> = sample.iter().map(|cut| Cut { until: from, ..*cut }).collect();
    let sights = map(&olds, settings.threads, |cut| model.sight(&cut.subject, cut.span()));
    let hyper: Hyper = model.hyper;
    let parts = Parts::fit(&sights, &hyper, model.contents.list().len(), settings, seed)?;
    let before = model.with_parts(parts);
    let people: Vec<(usize, &Cut<'_>)> = olds.iter().enumerate().collect();
    let judged: Vec<(usize, Judged)> = map(&people, settings.threads, |(index, old)| {
        (*index, judge(&before, old, sample[*index].until))
    });
    let of = |groups: std::ops::Range<u64>| -> Vec<&Judged> {
        let is_in = |(index, judged): &&(usize, Judged)| {
            groups.contains(&(mix(*index as u64 ^ 0x7a5) % 4)) && !judged.0[0].is_empty()
        };
        judged.iter().filter(is_in).map(|(_, judged)| judged).collect()
    };
    let (learning, judging, measuring) = (of(0..2), of(2..3), of(3..4));
    let together = |people: &[&Judged]| -> Vec<(f64, bool)> {
        people.iter().flat_map(|judged| judged.0.iter().flatten()).copied().collect()
    };
    if learning.len() < PEOPLE_MIN || judging.len() < PEOPLE_MIN / 2 {
        return Ok(());
    }
    let curve = curve(together(&learning))?;
    let gain = |judged: &Judged, horizon: usize| {
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

/// Messages that were sent to one person after a date, at two horizons; nobody is judged whose reads
/// had never been told by then.
fn judge(before: &Model, old: &Cut<'_>, until: u32) -> Judged {
    const MESSAGES_MAX: usize = 20;
    if before.sight(&old.subject, old.span()).receipts != Receipts::On {
        return Judged::default();
    }
    let reports = before.reporting.of(old.subject.evidence, old.until);
    let latest = until.saturating_sub(HOURS[1] * 3600);
    let newer =
        old.subject.evidence.messages().filter(|sent| (old.until..latest).contains(&sent.at));
    let newer: Vec<Sent> = newer.filter(|sent| !reports.is_machine(sent.channel)).collect();
    if newer.is_empty() {
        return Judged::default();
    }
    let preference = before.preference(&old.subject, old.end());
    let any = Content { media: Media::Text, style: None };
    let mut judged = Judged::default();
    for sent in newer.iter().step_by(newer.len().div_ceil(MESSAGES_MAX)) {
        let Some(read) = Read::new(sent, until, reports) else { continue };
        let hour = Model::hour(&old.subject, sent.at);
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
    use super::*;

    #[test]
    fn a_curve_learns_that_chances_are_half_of_what_is_said() {
        let pairs = |from: usize| -> Vec<(f64, bool)> {
            (from..from + 20_000)
                .map(|i| {
                    let chance = ((i * 7_919) % 1_000) as f64 / 2_000.0 + 0.01;
                    (chance, ((i * 104_729) % 10_007) as f64 / 10_007.0 < chance / 2.0)
                })
                .collect()
        };
        let curve = curve(pairs(0)).unwrap();
        for chance in [0.1f32, 0.2, 0.3, 0.4] {
            assert!(
                (curve.at(chance) - chance / 2.0).abs() < 0.02,
                "{chance}: {}",
                curve.at(chance)
            );
        }
        let calibrated =
            |(chance, happened): (f64, bool)| (f64::from(curve.at(chance as f32)), happened);
        let after = error(pairs(50_000).into_iter().map(calibrated).collect());
        assert!(after < 0.01 && error(pairs(50_000)) > 0.1, "{after}");
    }

    #[test]
    fn a_gain_is_sure_when_it_is_far_from_chance() {
        let gains: Vec<f64> = (0..1_000).map(|i| f64::from(i % 2) - 0.45).collect();
        assert!(surely_positive(&gains, 2.0) && !surely_positive(&gains[..100], 2.0));
        assert!(!surely_positive(&[], 2.0));
    }
}
