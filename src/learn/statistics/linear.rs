//! Small symmetric positive definite systems.

/// Solves one by Gaussian elimination.
pub(in crate::learn) fn solve<const N: usize>(
    mut a: [[f64; N]; N],
    mut b: [f64; N],
) -> Option<[f64; N]> {
    for i in 0..N {
        let pivot = a[i][i];
        if !(pivot.is_finite() && pivot > 0.0) {
            return None;
        }
        for row in i + 1..N {
            let factor = a[row][i] / pivot;
            let above = a[i];
            for (entry, above) in a[row].iter_mut().zip(above).skip(i) {
                *entry -= factor * above;
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..N).rev() {
        let rest: f64 = (i + 1..N).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - rest) / a[i][i];
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
