//! The first assignment of people to chronotypes, by linfa's k-means.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::learn::data::exposure::SufficientStatistics;
use crate::learn::data::week_hours::WeekRates;
use crate::learn::error::FitError;
use crate::learn::population::shrinkage::CircularKernel;
use crate::learn::statistics::special::person_weight;
use crate::model::preference::WEEK_HOURS;

/// Groups people by their profiles into at most `classes` groups; a group for each person.
pub(in crate::learn) fn group(
    summaries: &[SufficientStatistics],
    classes: usize,
    seed: u64,
) -> Result<Vec<usize>, FitError> {
    let points = profiles(summaries);
    let Some(width) = points.first().map(Vec::len) else { return Ok(Vec::new()) };
    let flat = points.iter().flatten().copied().collect();
    let records = Array2::from_shape_vec((points.len(), width), flat)
        .map_err(|_| FitError::new("chronotypes", "the points differ in length"))?;
    let data = DatasetBase::from(records);
    let random = ChaCha8Rng::seed_from_u64(seed);
    let model = KMeans::params_with_rng(classes.min(points.len()), random)
        .init_method(KMeansInit::KMeansPlusPlus)
        .n_runs(2)
        .max_n_iterations(20)
        .tolerance(1e-3)
        .fit(&data)
        .map_err(|cause| FitError::new("chronotypes", cause))?;
    let centroids = model.centroids();
    let nearest = |point: &Vec<f64>| {
        let distance = |class: usize| -> f64 {
            centroids.row(class).iter().zip(point).map(|(c, x)| (c - x).powi(2)).sum()
        };
        let closer = |a: &usize, b: &usize| distance(*a).total_cmp(&distance(*b));
        (0..centroids.nrows()).min_by(closer).unwrap_or(0)
    };
    Ok(points.iter().map(nearest).collect())
}

/// Root profiles over 24 working and 24 weekend hours: rates, shrunk to the population's.
fn profiles(summaries: &[SufficientStatistics]) -> Vec<Vec<f64>> {
    const PSEUDO: f32 = 2.0;
    let kernel = CircularKernel::new(1.5);
    let fold = |week: &WeekRates| -> [f32; 48] {
        let mut parts = [[0.0; 24]; 2];
        for (hour, x) in week.iter().enumerate() {
            parts[usize::from(hour / 24 >= 5)][hour % 24] += x;
        }
        for part in &mut parts {
            kernel.smooth(part);
        }
        std::array::from_fn(|h| parts[h / 24][h % 24])
    };
    let watched = |summary: &SufficientStatistics, level: f32| -> WeekRates {
        let presences = summary.presences / WEEK_HOURS as f32;
        std::array::from_fn(|h| level * summary.exposure[h] + presences)
    };
    let weighted = summaries.iter().map(|r| (r, person_weight(f64::from(r.evidence)) as f32));
    let reads: f32 = weighted.clone().map(|(r, person_weight)| person_weight * r.reads).sum();
    let exposure: f32 =
        weighted.map(|(r, person_weight)| person_weight * r.exposure.iter().sum::<f32>()).sum();
    let level = if reads > 0.0 { reads / exposure } else { 1.0 };
    let mut base = ([1.0f32; 48], [1.0f32; 48]);
    let folded: Vec<([f32; 48], [f32; 48])> =
        summaries.iter().map(|r| (fold(&r.observed), fold(&watched(r, level)))).collect();
    for ((observed, watched), summary) in folded.iter().zip(summaries) {
        let person_weight = person_weight(f64::from(summary.evidence)) as f32;
        (0..48).for_each(|h| base.0[h] += person_weight * observed[h]);
        (0..48).for_each(|h| base.1[h] += person_weight * watched[h]);
    }
    let base: [f32; 48] = std::array::from_fn(|h| base.0[h] / base.1[h]);
    folded
        .iter()
        .map(|(observed, watched)| {
            let rate = |h: usize| (observed[h] + PSEUDO * base[h]) / (watched[h] + PSEUDO);
            let rates: Vec<f64> = (0..48).map(|h| f64::from(rate(h))).collect();
            let total: f64 = rates.iter().sum();
            rates.iter().map(|rate| (rate / total).sqrt()).collect()
        })
        .collect()
}
