//! From an expected number of events to the chance of at least one, for whole weeks at once.
//!
//! Plans ask it some hundred times a person, so it is branch-free arithmetic that a compiler turns
//! into vector instructions; the library's logarithm and exponential are calls, one a number. The
//! reductions and coefficients are those of fdlibm's `logf` and of Taylor's series for exp.

/// E[1 − exp(−x)] of a gamma-distributed x ≥ 0 with this mean and relative variance.
pub(super) fn at_least_one(mean: f32, variance: f32) -> f32 {
    let mut only = [mean];
    each_at_least_one(&mut only, variance);
    only[0]
}

/// The same in the place of each mean.
pub(super) fn each_at_least_one(means: &mut [f32], variance: f32) {
    let shape = 1.0 / variance;
    for mean in means {
        *mean = one_less_exp(ln_1p(*mean * variance) * shape);
    }
}

const LN_2_HIGH: f32 = 0.693_138_1;
const LN_2_LOW: f32 = 9.058_001e-6;

/// ln(1 + t) of t ≥ 0.
fn ln_1p(t: f32) -> f32 {
    /// The bits of √½.
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let whole = 1.0 + t;
    // 1 + t = 2^k · m, m from √½ to √2
    let shifted = whole.to_bits().wrapping_sub(ROOT_HALF);
    let k = (shifted.cast_signed() >> 23) as f32;
    let f = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(ROOT_HALF)) - 1.0;
    // both quotients by one division, which costs more than all else
    let inverse = 1.0 / (whole * (2.0 + f));
    let rounding = (t - (whole - 1.0)) * (2.0 + f) * inverse;
    let s = f * whole * inverse;
    let (z, half) = (s * s, 0.5 * f * f);
    let w = z * z;
    let odd = z * (0.666_666_6 + w * 0.284_987_87);
    let even = w * (0.400_009_72 + w * 0.242_790_79);
    s * (half + odd + even) + (k * LN_2_LOW + rounding) - half + f + k * LN_2_HIGH
}

/// 1 − exp(−y) of y ≥ 0.
fn one_less_exp(y: f32) -> f32 {
    /// Beyond it the result is 1.
    const Y_MAX: f32 = 60.0;
    /// 1.5 · 2²³: adding it rounds to a whole number, which then stands in the last bits.
    const ROUND: f32 = 12_582_912.0;
    let y = if y < Y_MAX { y } else { Y_MAX };
    // −y = n ln 2 + r, |r| ≤ ½ ln 2
    let rounded = ROUND - y * std::f32::consts::LOG2_E;
    let n = rounded - ROUND;
    let r = -y - n * LN_2_HIGH - n * LN_2_LOW;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let less_one = r + r * r * (0.5 + r * (1.0 / 6.0 + r * tail));
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let power = f32::from_bits(power);
    1.0 - power - power * less_one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_library_says_to_seven_digits() {
        for variance in [0.02_f32, 0.1, 0.5, 1.0, 4.0] {
            let mut mean = 1e-6_f32;
            while mean < 200.0 {
                let (m, v) = (f64::from(mean), f64::from(variance));
                let exact = -(-(m * v).ln_1p() / v).exp_m1();
                let found = f64::from(at_least_one(mean, variance));
                let off = (found - exact).abs() / exact;
                assert!(off < 6e-7, "{mean}, {variance}: {found} for {exact}");
                assert!(found <= 1.0);
                mean *= 1.37;
            }
            assert_eq!(at_least_one(0.0, variance).to_bits(), 0.0_f32.to_bits());
        }
    }
}
