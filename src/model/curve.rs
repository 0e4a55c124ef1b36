//! Functions given by points: from computed to calibrated chances.

/// A non-decreasing function given by points, straight between them; no points: the identity.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Curve(pub Vec<(f32, f32)>);

impl Curve {
    /// Its value; beyond the ends it goes on as a constant ratio to its argument.
    pub fn at(&self, x: f32) -> f32 {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return x };
        let y = if x <= first.0 {
            first.1 * x / first.0
        } else if x >= last.0 {
            last.1 + (1.0 - last.1) * (x - last.0) / (1.0 - last.0).max(f32::EPSILON)
        } else {
            let next = self.0.partition_point(|(at, _)| *at <= x);
            let ((x0, y0), (x1, y1)) = (self.0[next - 1], self.0[next]);
            y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        };
        y.clamp(0.0, 1.0)
    }

    /// Puts its value in the place of each argument.
    pub fn calibrate(&self, values: &mut [f32]) {
        if !self.0.is_empty() {
            for value in values {
                *value = self.at(*value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_followed_between_its_points() {
        let curve = Curve(vec![(0.1, 0.2), (0.3, 0.4)]);
        assert!((curve.at(0.2) - 0.3).abs() < 1e-6 && (curve.at(0.05) - 0.1).abs() < 1e-6);
        assert!(
            (curve.at(1.0) - 1.0).abs() < 1e-6 && (Curve::default().at(0.7) - 0.7).abs() < 1e-9
        );
    }
}
