//! The doors to `linfa`: what it fits for the rest of `learn`. Owns the conversion to and from its
//! matrices; refuses to hand its types on.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::FitError;

/// Groups points into at most `classes` groups by k-means; a group for each point.
pub(super) fn group(
    points: &[Vec<f64>],
    classes: usize,
    seed: u64,
) -> Result<Vec<usize>, FitError> {
    let width = points.first().map_or(0, Vec::len);
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
