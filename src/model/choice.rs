//! What is taken from a chance that was chosen for its height, since it was chosen for luck as well.

use serde::{Deserialize, Deserializer, Serialize};

const FEATURES: usize = 9;
const HORIZONS: usize = 2;

/// The correction of one population; without coefficients, none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ChoiceCorrection {
    /// By horizon, in the order of [`Self::features`].
    #[serde(deserialize_with = "coefficients")]
    coefficients: [[f32; FEATURES]; HORIZONS],
    usual_evidence: f32,
    usual_level: f32,
}

/// Those that an older version did not know are nothing.
fn coefficients<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[[f32; FEATURES]; HORIZONS], D::Error> {
    let stored = <[Vec<f32>; HORIZONS]>::deserialize(deserializer)?;
    Ok(stored.map(|known| std::array::from_fn(|at| known.get(at).copied().unwrap_or(0.0))))
}

/// The correction of one person's chances.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PersonCorrection {
    offset: f32,
    hour: f32,
    content: f32,
}

/// A chosen chance, and how it stands out among a person's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// The chance.
    pub chance: f32,
    /// The mean over the hours of a week with the same content.
    pub of_content: f32,
    /// The mean over hours and contents.
    pub of_all: f32,
    /// The chance that what is read is answered as it should be; 1 where reading is the goal.
    pub answered: f32,
}

impl ChoiceCorrection {
    /// How many things the correction hangs on.
    pub const FEATURES: usize = FEATURES;

    /// The times to be read in that are told apart, in hours.
    pub const HOURS: [u8; HORIZONS] = [2, 24];

    /// Of a population whose mean log of one more than observations, and whose usual rate of reading,
    /// are these; it corrects nothing yet.
    pub fn new(usual_evidence: f32, usual_level: f32) -> Self {
        Self { usual_evidence, usual_level, ..Self::default() }
    }

    /// The same with coefficients by horizon, in the order of [`Self::features`].
    #[must_use]
    pub fn with(self, coefficients: [[f32; FEATURES]; HORIZONS]) -> Self {
        Self { coefficients, ..self }
    }

    /// The coefficients.
    pub fn coefficients(&self) -> [[f32; FEATURES]; HORIZONS] {
        self.coefficients
    }

    /// What the log of observed over expected reads hangs on: how far hour and content stand above
    /// the person's mean, in logs; how far the person's rate of reading stands above the usual; each
    /// with how much is known of the person; and the square of that rate, and the rate with the hour.
    pub fn features(&self, level: f32, evidence: f32, hour: f32, content: f32) -> [f32; FEATURES] {
        let (level, evidence) = self.beside_the_usual(level, evidence);
        let [hour_known, content_known] = [hour, content].map(|over| over * evidence);
        let level_known = level * evidence;
        let [squared, with_hour] = [level * level, level * hour];
        [1.0, hour, content, hour_known, content_known, level, level_known, squared, with_hour]
    }

    /// For a person who reads at such a rate and of whom so much is known, with so much time.
    pub(super) fn of(&self, level: f32, evidence: f32, hours: f32) -> PersonCorrection {
        let [soon, late] = self.coefficients;
        if [soon, late] == [[0.0; FEATURES]; HORIZONS] {
            return PersonCorrection::default();
        }
        let (level, evidence) = self.beside_the_usual(level, evidence);
        // between the horizons in logs
        let [from, to] = Self::HOURS.map(|hours| f32::from(hours).ln());
        let way = ((hours.max(0.1).ln() - from) / (to - from)).clamp(0.0, 1.0);
        let b = |at: usize| soon[at] + way * (late[at] - soon[at]);
        PersonCorrection {
            offset: b(0) + (b(5) + b(6) * evidence + b(7) * level) * level,
            // luck makes no slope rise, however much is known
            hour: (b(1) + b(3) * evidence).min(0.0) + b(8) * level,
            content: (b(2) + b(4) * evidence).min(0.0),
        }
    }

    /// Both in logs over the usual, and not beyond what people are.
    fn beside_the_usual(&self, level: f32, evidence: f32) -> (f32, f32) {
        const MOST: f32 = 3.0;
        let level = (level / self.usual_level.max(f32::MIN_POSITIVE)).max(1e-6).ln();
        (level.clamp(-MOST, MOST), ((1.0 + evidence).ln() - self.usual_evidence).clamp(-MOST, MOST))
    }
}

impl PersonCorrection {
    /// Whether it corrects nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// A chance that was not chosen for its height, as it is to be expected.
    pub fn expected_of_any(&self, chance: f32, answered: f32) -> f32 {
        let usual = Self { hour: 0.0, content: 0.0, ..*self };
        usual.expected(Chosen { chance, of_content: chance, of_all: chance, answered })
    }

    /// A chosen chance as it is to be expected.
    pub fn expected(&self, chosen: Chosen) -> f32 {
        /// A correction does not go beyond a halving or a doubling.
        const MOST: f32 = std::f32::consts::LN_2;
        let Chosen { chance, of_content, of_all, answered } = chosen;
        if answered <= 0.0 || self.is_none() {
            return chance;
        }
        let reads = |chance: f32| -(-(chance / answered).clamp(1e-9, 1.0 - 1e-6)).ln_1p();
        let (found, content, all) = (reads(chance), reads(of_content), reads(of_all));
        let hour = (found / content).max(1.0).ln();
        let content = (content / all).max(1.0).ln();
        let log = self.offset + self.hour * hour + self.content * content;
        (-(-found * log.clamp(-MOST, MOST).exp()).exp_m1() * answered).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOSEN: Chosen = Chosen { chance: 0.3, of_content: 0.1, of_all: 0.08, answered: 1.0 };

    #[test]
    fn what_stands_out_is_expected_to_be_less_and_what_does_not_is_left() {
        let soon = [0.0, -0.2, -0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let correction = ChoiceCorrection::new(2.0, 0.05).with([soon, [0.1; FEATURES]]);
        let person = correction.of(0.05, 6.4, 2.0);
        let expected = person.expected(CHOSEN);
        // exp(−0.2 ln(reads of 0.3 / reads of 0.1) − 0.1 ln(reads of 0.1 / reads of 0.08)) of 0.3567 reads
        assert!((expected - 0.23893).abs() < 1e-4, "{expected}");
        let usual = Chosen { chance: 0.08, of_content: 0.1, of_all: 0.12, ..CHOSEN };
        assert!((person.expected(usual) - 0.08).abs() < 1e-6);
        // half of the reads are answered: the correction is of the reading
        let answered = Chosen { chance: 0.15, of_content: 0.05, of_all: 0.04, answered: 0.5 };
        assert!((person.expected(answered) - expected / 2.0).abs() < 1e-6);
    }

    /// Whoever reads twice as much as is usual, and a model that an older version stored.
    #[test]
    fn the_correction_bends_with_how_much_somebody_reads() {
        let mut bent = [0.0; FEATURES];
        (bent[7], bent[8]) = (0.3, -0.2);
        let correction = ChoiceCorrection::new(2.0, 0.05).with([bent, [0.0; FEATURES]]);
        assert!(correction.coefficients()[0] == bent);
        // exp(0.3 ln² 2 − 0.2 ln 2 ln(reads of 0.3 / reads of 0.1)) of 0.3567 reads
        let expected = correction.of(0.1, 6.4, 2.0).expected(CHOSEN);
        assert!((expected - 0.29383).abs() < 1e-4, "{expected}");
        let mut stored = serde_json::to_value(correction).unwrap();
        for known in stored["coefficients"].as_array_mut().unwrap() {
            known.as_array_mut().unwrap().truncate(7);
        }
        let older: ChoiceCorrection = serde_json::from_value(stored).unwrap();
        assert!(older.of(0.1, 6.4, 2.0).is_none());
    }

    #[test]
    fn without_coefficients_nothing_is_corrected() {
        let person = ChoiceCorrection::default().of(0.0, 0.0, 2.0);
        assert!(person.is_none() && person.expected(CHOSEN).to_bits() == 0.3f32.to_bits());
    }
}
