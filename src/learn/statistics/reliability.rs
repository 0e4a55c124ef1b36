//! How far chances and shares lie apart.

/// Mean chance and share that happened, in `count` bins of equal size by chance.
pub(in crate::learn) fn reliability(mut pairs: Vec<(f64, f64)>, count: usize) -> Vec<(f64, f64)> {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let bin = |pairs: &[(f64, f64)]| {
        let n = pairs.len() as f64;
        let sums = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
        (sums.0 / n, sums.1 / n)
    };
    pairs.chunks(pairs.len().div_ceil(count).max(1)).map(bin).collect()
}

/// Expected calibration error: the mean over bins of how far chance and share lie apart.
pub(in crate::learn) fn calibration_error(bins: &[(f64, f64)]) -> f64 {
    bins.iter().map(|(chance, share)| (chance - share).abs()).sum::<f64>() / bins.len() as f64
}
