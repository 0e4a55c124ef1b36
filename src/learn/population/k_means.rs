//! The first assignment of people to chronotypes, by linfa's k-means.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::learn::error::FitError;

/// Groups points into at most `classes` groups by k-means; a group for each point.
pub(in crate::learn) fn group(
    points: &[Vec<f64>],
    classes: usize,
    seed: u64,
) -> Result<Vec<usize>, FitError> {
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
