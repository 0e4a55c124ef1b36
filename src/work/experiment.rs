//! What a campaign's experiment shows: arms compared by everybody who was assigned, with intervals
//! that hold while somebody looks every day; whether people were assigned as the file says; variants,
//! countries and tags, corrected for how many are looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::interval::Interval;
use crate::learn::Estimate;
use crate::learn::experiment::{
    self, ArmSums, CovariateSums, Difference, Mismatch, benjamini_yekutieli, holm, p_value,
};
use crate::model::campaign::Campaign;
use crate::model::delivery::Arm;
use crate::store::{ArmKnowledge, ArmPart, ExpectedSums, Experiment};

/// Countries, and tags, that are looked at: the largest.
pub(super) const GROUPS_MAX: usize = 15;
/// Known outcomes of an arm below which a part of it is not compared.
const PART_MIN: u64 = 30;
/// A finding is told where its corrected p-value is below this.
const FOUND: f64 = 0.05;

/// What an experiment shows.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ExperimentResult {
    /// Arms beside each other.
    pub comparisons: Vec<Comparison>,
    /// Whether people were assigned as the shares say; absent where too few are.
    pub mismatch: Option<Mismatch>,
    /// Each variant of the explore arm beside its others: is any surely better or worse? Corrected
    /// by Holm, so that even one false finding is rare.
    pub variants: Vec<PartResult>,
    /// Personalized minus control by country of the recipients' file, the largest: where is it worth
    /// to look closer? Corrected by Benjamini and Yekutieli over countries and tags together: of those
    /// found one in twenty may be false.
    pub countries: Vec<PartResult>,
    /// The same by tag, the largest; a person counts in each of theirs.
    pub tags: Vec<PartResult>,
}

/// One arm beside another.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Comparison {
    /// The arm.
    pub arm: Arm,
    /// What it is compared with.
    pub with: Arm,
    /// How far it is ahead, of people assigned; the 95 % interval holds over all days together.
    pub difference: Interval,
    /// The same, adjusted by what was forecast of each person before (CUPED).
    pub adjusted: Option<Interval>,
    /// By how much the adjustment narrows the interval, as a share.
    pub narrowed: Option<f64>,
    /// The share of the information that is known by now, 0 to 1.
    pub information: f64,
    /// Standard errors that the interval reaches to each side; 1.96 for a single look.
    pub threshold: f64,
    /// Below 0.05 where the interval leaves 0 out; of the adjusted difference where there is one.
    pub p_value: f64,
    /// The same, corrected by Holm over the comparisons.
    pub corrected_p_value: f64,
}

/// A variant, a country or a tag.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PartResult {
    /// Its name.
    pub name: String,
    /// People whose outcome is known.
    pub people: u64,
    /// How far it is ahead of the other variants, or personalized of control in it; with the 95 %
    /// interval of this one alone.
    pub difference: Interval,
    /// Below 0.05 where that interval leaves 0 out.
    pub p_value: f64,
    /// The same, corrected for how many are looked at.
    pub corrected_p_value: f64,
    /// Whether it is below 0.05 after correction.
    pub found: bool,
}

impl From<Estimate> for Interval {
    fn from(Estimate { value, low, high }: Estimate) -> Self {
        Self { mean: value, low, high }
    }
}

impl ExperimentResult {
    /// Reads sums; `None` where the campaign has but one arm.
    pub(super) fn of(campaign: &Campaign, sums: &Experiment) -> Option<Self> {
        let share = |arm: Arm| campaign.arms.share(arm);
        if Arm::ALL.iter().filter(|arm| share(**arm) > 0.0).count() < 2 {
            return None;
        }
        let known = |arm: Arm| sums.arms.iter().find(|of| of.arm == arm);
        let people = |arm: &Arm| (known(*arm).map_or(0, |of| of.people), share(*arm));
        let counted: Vec<(u64, f64)> = Arm::ALL.iter().map(people).collect();
        let [countries, tags] = countries_and_tags(sums);
        Some(Self {
            comparisons: comparisons(&sums.arms),
            mismatch: experiment::mismatch(&counted),
            variants: variants(campaign, sums),
            countries,
            tags,
        })
    }

    /// Personalized minus control.
    pub(super) fn lift(&self) -> Option<&Comparison> {
        let wanted = (Arm::Personalized, Arm::Control);
        self.comparisons.iter().find(|comparison| (comparison.arm, comparison.with) == wanted)
    }
}

fn comparisons(arms: &[ArmKnowledge]) -> Vec<Comparison> {
    // who gets no message cannot engage with one: the holdout has no such difference
    let pairs = [
        (Arm::Personalized, Arm::Control),
        (Arm::Personalized, Arm::Thompson),
        (Arm::Personalized, Arm::Explore),
        (Arm::Thompson, Arm::Control),
        (Arm::Explore, Arm::Control),
    ];
    let known = |arm: Arm| arms.iter().find(|of| of.arm == arm);
    let compare = |(arm, with): (Arm, Arm)| {
        let found = compared(known(arm)?, known(with)?)?;
        let width = |interval: Interval| interval.high - interval.low;
        let (difference, adjusted) = (found.plain.into(), found.adjusted.map(Interval::from));
        let narrowed = adjusted.map(|adjusted| 1.0 - width(adjusted) / width(difference));
        let p_value = p_value(found.distance, found.threshold);
        Some(Comparison {
            arm,
            with,
            difference,
            adjusted,
            narrowed: narrowed.filter(|narrowed| narrowed.is_finite()),
            information: found.information,
            threshold: found.threshold,
            p_value,
            corrected_p_value: p_value,
        })
    };
    let mut found: Vec<Comparison> = pairs.into_iter().filter_map(compare).collect();
    let corrected = holm(&found.iter().map(|one| one.p_value).collect::<Vec<_>>());
    found.iter_mut().zip(corrected).for_each(|(one, p)| one.corrected_p_value = p);
    found
}

/// What was expected at the time that an arm chooses: control's at the control time, of the others at
/// the best.
fn own(arm: Arm, of: &ArmKnowledge) -> CovariateSums {
    let ExpectedSums { all, all_squares, reached, known, known_squares, engaged } =
        if arm == Arm::Control { of.at_control_time } else { of.at_best };
    CovariateSums { all, all_squares, reached, known, known_squares, engaged }
}

fn compared(first: &ArmKnowledge, second: &ArmKnowledge) -> Option<Difference> {
    let days: BTreeSet<i64> =
        [first, second].into_iter().flat_map(|of| &of.known_on).map(|(day, _)| *day).collect();
    let sums = |of: &ArmKnowledge, other: Arm| {
        let told = first.expected == first.people && second.expected == second.people;
        ArmSums {
            people: of.people as f64,
            reached: of.reached as f64,
            known: of.known as f64,
            engaged: of.engaged as f64,
            forecasts: told.then(|| [own(of.arm, of), own(other, of)]),
            known_by_day: days.iter().map(|day| known_until(of, *day)).collect(),
        }
    };
    experiment::difference(&sums(first, second.arm), &sums(second, first.arm))
}

/// Outcomes of an arm that were known at the end of a day.
fn known_until(of: &ArmKnowledge, day: i64) -> f64 {
    of.known_on.iter().filter(|(on, _)| *on <= day).map(|(_, people)| *people as f64).sum()
}

/// Sets the corrected p-values, and sorts out what is found.
fn correct(parts: &mut [PartResult], correction: fn(&[f64]) -> Vec<f64>) {
    let corrected = correction(&parts.iter().map(|part| part.p_value).collect::<Vec<_>>());
    for (part, p) in parts.iter_mut().zip(corrected) {
        (part.corrected_p_value, part.found) = (p, p < FOUND);
    }
}

/// Variants of the explore arm, which drew them by lot. Where some languages lack a variant, people
/// drew among different ones, and variants are not compared.
fn variants(campaign: &Campaign, sums: &Experiment) -> Vec<PartResult> {
    let mut languages: BTreeMap<&str, BTreeSet<Option<String>>> = BTreeMap::new();
    for variant in &campaign.variants {
        let language = variant.language.as_ref().map(ToString::to_string);
        languages.entry(variant.name.as_str()).or_default().insert(language);
    }
    let mut sets = languages.values();
    let first = sets.next();
    if sets.any(|set| Some(set) != first) {
        return Vec::new();
    }
    let Some(explore) = sums.arms.iter().find(|of| of.arm == Arm::Explore) else {
        return Vec::new();
    };
    let looks = explore
        .known_on
        .iter()
        .map(|(day, _)| known_until(explore, *day) / (explore.reached.max(explore.known) as f64));
    let threshold = experiment::daily_threshold(&looks.collect::<Vec<_>>());
    let (all, engaged) = (sums.variants.iter())
        .fold((0, 0), |(all, engaged), part| (all + part.known, engaged + part.engaged));
    let enough = |part: &&ArmPart| part.known >= PART_MIN && all - part.known >= PART_MIN;
    let result = |part: &ArmPart| {
        let share = |engaged: u64, known: u64| {
            // half an engagement more, of one person more: where nobody engaged there is doubt still
            let doubted = (engaged as f64 + 0.5) / (known as f64 + 1.0);
            (engaged as f64 / known as f64, doubted * (1.0 - doubted) / known as f64)
        };
        let (mine, others) =
            (share(part.engaged, part.known), share(engaged - part.engaged, all - part.known));
        let (mean, error) = (mine.0 - others.0, (mine.1 + others.1).sqrt());
        let end = |sign: f64| (mean + sign * threshold * error).clamp(-1.0, 1.0);
        let p = p_value(mean / error, threshold);
        PartResult {
            name: part.of.clone(),
            people: part.known,
            difference: Interval { mean, low: end(-1.0), high: end(1.0) },
            p_value: p,
            corrected_p_value: p,
            found: false,
        }
    };
    let mut found: Vec<PartResult> = sums.variants.iter().filter(enough).map(result).collect();
    if let [one, other] = &mut found[..] {
        // the second is the first with the other sign, and no second question
        for part in [one, other] {
            part.found = part.p_value < FOUND;
        }
    } else {
        correct(&mut found, holm);
    }
    found
}

/// Countries and tags, corrected together: a person is of a country and of several tags, so that
/// their differences hang together.
fn countries_and_tags(sums: &Experiment) -> [Vec<PartResult>; 2] {
    let mut all = groups(&sums.arms, &sums.countries);
    let countries = all.len();
    all.extend(groups(&sums.arms, &sums.tags));
    correct(&mut all, benjamini_yekutieli);
    let tags = all.split_off(countries);
    [all, tags]
}

/// Personalized beside control in each country or tag, by name.
fn groups(arms: &[ArmKnowledge], parts: &[ArmPart]) -> Vec<PartResult> {
    let whole = |arm: Arm| arms.iter().find(|of| of.arm == arm);
    let (Some(personalized), Some(control)) = (whole(Arm::Personalized), whole(Arm::Control))
    else {
        return Vec::new();
    };
    let part = |of: &str, whole: &ArmKnowledge| {
        let part = parts.iter().find(|part| part.of == of && part.arm == whole.arm)?;
        // its outcomes became known as those of the whole arm did
        let known = part.known as f64 / whole.known.max(1) as f64;
        let known_on = whole.known_on.iter();
        let known_on = known_on.map(|(day, n)| (*day, (*n as f64 * known).round() as u64));
        (part.known >= PART_MIN).then(|| ArmKnowledge {
            arm: whole.arm,
            people: part.people,
            expected: 0,
            reached: part.reached,
            known: part.known,
            engaged: part.engaged,
            at_control_time: ExpectedSums::default(),
            at_best: ExpectedSums::default(),
            known_on: known_on.collect(),
        })
    };
    let names: BTreeSet<&str> = parts.iter().map(|part| part.of.as_str()).collect();
    let result = |name: &str| {
        let (first, second) = (part(name, personalized)?, part(name, control)?);
        let people = first.known + second.known;
        let found = compared(&first, &second)?;
        let p = p_value(found.distance, found.threshold);
        Some(PartResult {
            name: name.to_owned(),
            people,
            difference: found.plain.into(),
            p_value: p,
            corrected_p_value: p,
            found: false,
        })
    };
    names.into_iter().filter_map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both arms of a country or tag, in which 200 of 1,000 people of control engaged.
    fn part(of: &str, engaged: u64) -> [ArmPart; 2] {
        [(Arm::Personalized, engaged), (Arm::Control, 200)].map(|(arm, engaged)| ArmPart {
            of: of.to_owned(),
            arm,
            people: 1000,
            reached: 1000,
            known: 1000,
            engaged,
        })
    }

    #[test]
    fn countries_and_tags_are_corrected_for_all_of_them_together() {
        let arm = |arm| ArmKnowledge {
            arm,
            people: 20_000,
            expected: 0,
            reached: 20_000,
            known: 20_000,
            engaged: 4000,
            at_control_time: ExpectedSums::default(),
            at_best: ExpectedSums::default(),
            known_on: vec![(0, 20_000)],
        };
        let mut sums = Experiment {
            arms: vec![arm(Arm::Personalized), arm(Arm::Control)],
            tags: part("vip", 250).to_vec(),
            ..Experiment::default()
        };
        let [countries, tags] = countries_and_tags(&sums);
        assert!(countries.is_empty() && tags[0].found, "{tags:?}");
        assert!(tags[0].difference.low > 0.0 && tags[0].people == 2000, "{tags:?}");
        // beside fourteen countries one such tag is likely by chance
        let names = (b'a'..b'o').map(|letter| format!("A{}", char::from(letter).to_uppercase()));
        sums.countries = names.flat_map(|name| part(&name, 205)).collect();
        let [countries, tags] = countries_and_tags(&sums);
        assert_eq!((countries.len(), tags.len()), (14, 1));
        assert!(!tags[0].found && tags[0].p_value < 0.01, "{tags:?}");
        // and a large difference in one of the countries is found all the same, and in no other
        sums.countries[0].engaged = 320;
        let [countries, _] = countries_and_tags(&sums);
        let found: Vec<&str> =
            countries.iter().filter(|part| part.found).map(|part| part.name.as_str()).collect();
        assert_eq!(found, ["AA"]);
    }
}
