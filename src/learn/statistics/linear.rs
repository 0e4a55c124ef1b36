//! Small symmetric positive definite systems.

/// Solves one by Cholesky's decomposition.
pub(in crate::learn) fn solve<const N: usize>(
    mut a: [[f64; N]; N],
    mut b: [f64; N],
) -> Option<[f64; N]> {
    for i in 0..N {
        for j in 0..=i {
            let sum = a[i][j] - (0..j).map(|k| a[i][k] * a[j][k]).sum::<f64>();
            a[i][j] = if i == j { sum.sqrt() } else { sum / a[j][j] };
        }
        b[i] = (b[i] - (0..i).map(|k| a[i][k] * b[k]).sum::<f64>()) / a[i][i];
    }
    for i in (0..N).rev() {
        b[i] = (b[i] - (i + 1..N).map(|k| a[k][i] * b[k]).sum::<f64>()) / a[i][i];
    }
    b.iter().all(|x| x.is_finite()).then_some(b)
}

/// The inverse of a matrix.
pub(in crate::learn) fn inverse<const N: usize>(a: [[f64; N]; N]) -> Option<[[f64; N]; N]> {
    let mut inverse = [[0.0; N]; N];
    for (i, column) in inverse.iter_mut().enumerate() {
        let unit = std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 });
        *column = solve(a, unit)?;
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let [x, y] = solve([[4.0, 2.0], [2.0, 3.0]], [10.0, 9.0]).unwrap();
        assert!((x - 1.5).abs() < 1e-12 && (y - 2.0).abs() < 1e-12);
        assert_eq!(solve([[0.0, 0.0], [0.0, 0.0]], [1.0, 1.0]), None);
    }

    #[test]
    fn a_matrix_is_inverted() {
        let [[a, b], [c, d]] = inverse([[4.0, 2.0], [2.0, 3.0]]).unwrap();
        assert!((a - 0.375).abs() < 1e-12 && (b + 0.25).abs() < 1e-12);
        assert!((c + 0.25).abs() < 1e-12 && (d - 0.5).abs() < 1e-12);
        assert_eq!(inverse([[0.0]]), None);
    }
}
