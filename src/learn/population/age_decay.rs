//! How the readiness to read a message decays with its age, apart from the hours it lived through.
//!
//! Poisson regression of reads on hour of day (24 free effects) and age (`−b₁·age/12 −
//! b₂·ln(1 + age)`, and a factor of its own for the first hour, which messages reach in its midst),
//! with everybody's own expected rate as offset. `linfa-linear`'s generalized
//! linear models take neither offset nor weights, so Newton's method stands here.

use crate::learn::data::observations::AGE_MAX;
use crate::learn::statistics::linear::solve;

const EFFECTS: usize = 24;
const COLUMNS: usize = EFFECTS + 3;

/// Reads and expected reads at fading 1, by hour of day and age.
#[derive(Debug, Clone)]
pub(in crate::learn) struct AgeTable {
    pub(in crate::learn) reads: Vec<f64>,
    pub(in crate::learn) expected: Vec<f64>,
}

impl Default for AgeTable {
    fn default() -> Self {
        Self { reads: vec![0.0; EFFECTS * AGE_MAX], expected: vec![0.0; EFFECTS * AGE_MAX] }
    }
}

impl AgeTable {
    pub(in crate::learn) fn cell(hour: usize, age: usize) -> usize {
        hour % 24 * AGE_MAX + age
    }

    pub(in crate::learn) fn merge(&mut self, other: &Self) {
        self.reads.iter_mut().zip(&other.reads).for_each(|(a, b)| *a += b);
        self.expected.iter_mut().zip(&other.expected).for_each(|(a, b)| *a += b);
    }

    /// The fading at each age, 1 for a fresh message; `None` where Newton's method finds no finite
    /// answer.
    pub(in crate::learn) fn hazard(&self) -> Option<Vec<f32>> {
        // ridges towards 0, because one sending hour cannot tell hour and age apart
        const HOUR_RIDGE: f64 = 5.0;
        const AGE_RIDGE: [f64; 3] = [0.5, 25.0, 1.0];
        let ages: Vec<[f64; 3]> = (0..AGE_MAX).map(age_columns).collect();
        let mut x = [0.0; COLUMNS];
        x[EFFECTS] = 1.0;
        for _ in 0..60 {
            let mut hessian = [[0.0; COLUMNS]; COLUMNS];
            let mut gradient = [0.0; COLUMNS];
            for hour in 0..EFFECTS {
                for (age, z) in ages.iter().enumerate() {
                    let cell = Self::cell(hour, age);
                    let eta = x[hour] + dot(z, &x[EFFECTS..]);
                    let mean = self.expected[cell] * eta.clamp(-12.0, 6.0).exp();
                    let residual = self.reads[cell] - mean;
                    let row =
                        [(hour, 1.0), (EFFECTS, z[0]), (EFFECTS + 1, z[1]), (EFFECTS + 2, z[2])];
                    for (i, zi) in row {
                        gradient[i] += zi * residual;
                        for (j, zj) in row {
                            hessian[i][j] += mean * zi * zj;
                        }
                    }
                }
            }
            for i in 0..COLUMNS {
                let ridge = if i < EFFECTS { HOUR_RIDGE } else { AGE_RIDGE[i - EFFECTS] };
                hessian[i][i] += ridge;
                gradient[i] -= ridge * x[i];
            }
            let step = solve(hessian, gradient)?;
            x.iter_mut().zip(step).for_each(|(x, step)| *x += step.clamp(-1.0, 1.0));
        }
        let b = [x[EFFECTS].max(0.02), x[EFFECTS + 1].max(-0.5), x[EFFECTS + 2]];
        let hazard: Vec<f32> = ages.iter().map(|z| dot(z, &b).exp() as f32).collect();
        hazard.iter().all(|x| x.is_finite()).then_some(hazard)
    }
}

fn age_columns(age: usize) -> [f64; 3] {
    let age = age as f64;
    [-age / 12.0, -age.ln_1p(), if age == 0.0 { 1.0 } else { 0.0 }]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_a_half_life_again() {
        let mut table = AgeTable::default();
        for hour in 0..24 {
            for age in 0..AGE_MAX {
                let cell = AgeTable::cell(hour, age);
                table.expected[cell] = 200.0;
                table.reads[cell] = 200.0 * (0.5f64).powf(age as f64 / 10.0);
            }
        }
        let hazard = table.hazard().unwrap();
        assert!((hazard[10] - 0.5).abs() < 0.03, "{}", hazard[10]);
        assert!((hazard[30] - 0.125).abs() < 0.03, "{}", hazard[30]);
    }
}
