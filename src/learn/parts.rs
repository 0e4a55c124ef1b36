//! What is fitted under given hyper-parameters: how messages fade, what is liked, and the
//! chronotypes, each given the others, round after round.

use serde::{Deserialize, Serialize};

use super::FitError;
use super::Settings;
use super::decay::AgeTable;
use super::fit::group;
use super::hyper::{Hyper, Memory};
use super::maximize::{Fitting, expectation_maximization};
use super::mixture::{Chronotypes, Habit};
use super::numbers::voice;
use super::parallel::{in_chunks, map};
use super::reading::{AGE_MAX, Fading, Reading, Receipts, Sight, Watch};
use super::shape::{Kernel, Week};
use super::taste::{Tastes, Tried};
use crate::model::preference::WEEK_HOURS;

/// What is fitted under given hyper-parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) fading: Fading,
    pub(super) tastes: Tastes,
    pub(super) chronotypes: Chronotypes,
}

/// One person seen in the light of all parts.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) reading: Reading,
    pub(super) habit: Habit,
    pub(super) tastes: OwnTastes,
}

/// A person's factor for each content, and its spread on the log scale; by the content's number.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnTastes(pub(super) Vec<(f32, f32)>);

impl OwnTastes {
    fn of(tastes: &Tastes, tried: &[Tried]) -> Self {
        let everybody = |content| (tastes.usual(content) as f32, tastes.spread as f32);
        let mut own: Vec<(f32, f32)> = (0..tastes.mean.len()).map(everybody).collect();
        if !tried.is_empty() {
            for taste in tastes.of(tried) {
                own[usize::from(taste.content)] = (taste.mean as f32, taste.spread as f32);
            }
        }
        Self(own)
    }

    /// The factor of a content and its spread; 1 and 0 for what is not known.
    pub(super) fn of_content(&self, content: Option<u16>) -> (f32, f32) {
        content.and_then(|c| self.0.get(usize::from(c))).copied().unwrap_or((1.0, 0.0))
    }

    /// The factor of a content; 1 for what is not known.
    pub(super) fn factor(&self, content: Option<u16>) -> f32 {
        self.of_content(content).0
    }
}

impl Parts {
    /// Fits all parts to what was seen of people.
    pub(super) fn fit(
        sights: &[Sight],
        hyper: &Hyper,
        contents: usize,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, FitError> {
        const ROUNDS: usize = 3;
        let threads = settings.threads;
        let messages = sights.iter().any(|sight| !sight.watches.is_empty());
        let rounds = if messages { ROUNDS } else { 1 };
        let mut fading = silence(sights);
        let mut tastes = Tastes::even(contents);
        let mut own = vec![OwnTastes::default(); sights.len()];
        let mut round = 1;
        loop {
            let em_rounds = if round == rounds { settings.rounds } else { settings.rounds / 3 };
            let fitting = Fitting { hyper: *hyper, rounds: em_rounds, threads };
            let people: Vec<(&Sight, &OwnTastes)> = sights.iter().zip(&own).collect();
            let (readings, chronotypes) = classes(&people, &fading, fitting, seed)?;
            if messages {
                let habits = map(&readings, threads, |r| chronotypes.habit(r, chronotypes.share()));
                let seen: Vec<Seen<'_>> = sights
                    .iter()
                    .zip(&habits)
                    .zip(&own)
                    .map(|((sight, habit), own)| Seen { sight, habit, own })
                    .collect();
                if round < rounds
                    && let Some(decay) = age_table(&seen, &fading, threads).fading()
                {
                    fading.decay = decay;
                }
                let mean = chronotypes.level().mean as f32;
                let tried = map(&seen, threads, |seen| {
                    tried(seen.sight, &seen.habit.plain, mean, &fading, contents)
                });
                tastes.refit(&tried, threads);
                own = map(&tried, threads, |tried| OwnTastes::of(&tastes, tried));
            }
            if round == rounds {
                return Ok(Self { fading, tastes, chronotypes });
            }
            round += 1;
        }
    }

    /// The same fading and tastes, with chronotypes fitted anew under other settings to people whose
    /// own tastes are known; and how those people read then.
    pub(super) fn with_classes(
        &self,
        people: &[(&Sight, &OwnTastes)],
        hyper: &Hyper,
        settings: &Settings,
        seed: u64,
    ) -> Result<(Self, Vec<Reading>), FitError> {
        let Settings { rounds, threads, .. } = *settings;
        let fitting = Fitting { hyper: *hyper, rounds, threads };
        let (readings, chronotypes) = classes(people, &self.fading, fitting, seed)?;
        Ok((Self { chronotypes, ..self.clone() }, readings))
    }

    /// What is known of a person: a first look with everybody's tastes, then, where there were
    /// messages, a second with the person's own.
    pub(super) fn meet(&self, sight: &Sight, memory: Memory, prior: &[f64]) -> Known {
        let look = |tastes: &OwnTastes| {
            let factor = |content| tastes.factor(content);
            let reading = Reading::new(sight, &self.fading, memory, factor);
            let habit = self.chronotypes.habit(&reading, prior);
            (reading, habit)
        };
        let mut tastes = OwnTastes::of(&self.tastes, &[]);
        let (mut reading, mut habit) = look(&tastes);
        if !sight.watches.is_empty() {
            let mean = self.chronotypes.level().mean as f32;
            let contents = self.tastes.mean.len();
            let tried = tried(sight, &habit.plain, mean, &self.fading, contents);
            tastes = OwnTastes::of(&self.tastes, &tried);
            (reading, habit) = look(&tastes);
        }
        Known { reading, habit, tastes }
    }

    /// How many messages a person has probably read whose reads are not told: those that were answered,
    /// and of the others, as many as the person's level makes likely of unanswered ones.
    pub(super) fn expected_reads(&self, sight: &Sight, habit: &Habit, own: &OwnTastes) -> f64 {
        let acted = self.fading.acted;
        let read = |watch: &Watch| {
            if watch.seen {
                return 1.0;
            }
            let (start, hours) = (usize::from(watch.start), usize::from(watch.hours));
            let ages = self.fading.decay.iter().take(hours).enumerate();
            let hazard: f32 =
                ages.map(|(age, decay)| decay * habit.week[(start + age) % WEEK_HOURS]).sum();
            let chance = -(-habit.level * own.factor(watch.content) * hazard).exp_m1();
            f64::from(chance * (1.0 - acted) / (1.0 - acted * chance).max(1e-3))
        };
        sight.watches.iter().map(read).sum()
    }

    pub(super) fn is_finite(&self) -> bool {
        let Self { fading, tastes, chronotypes } = self;
        let weeks = (0..chronotypes.len()).flat_map(|class| chronotypes.week(class));
        let level = chronotypes.level();
        let silence = [fading.acted, fading.off, fading.silent_off];
        weeks
            .chain(fading.decay.iter().chain(&fading.unread).chain(&silence))
            .all(|x| x.is_finite())
            && chronotypes.share().iter().chain([&level.mean, &level.shape]).all(|x| x.is_finite())
            && tastes.is_finite()
    }
}

/// A person as the rounds of the fit see one.
struct Seen<'a> {
    sight: &'a Sight,
    habit: &'a Habit,
    own: &'a OwnTastes,
}

/// Chronotypes by expectation–maximization from a start by k-means, and the readings they rest on.
fn classes(
    people: &[(&Sight, &OwnTastes)],
    fading: &Fading,
    fitting: Fitting,
    seed: u64,
) -> Result<(Vec<Reading>, Chronotypes), FitError> {
    let Fitting { hyper, threads, .. } = fitting;
    let readings = map(people, threads, |(sight, own)| {
        Reading::new(sight, fading, hyper.memory(), |content| own.factor(content))
    });
    let start = group(&profiles(&readings), hyper.classes, seed)?;
    let classes = start.iter().max().map_or(1, |most| most + 1);
    let chronotypes = expectation_maximization(&readings, &start, classes, fitting);
    Ok((readings, chronotypes))
}

/// Root profiles over 24 working and 24 weekend hours: rates, shrunk to the population's.
fn profiles(readings: &[Reading]) -> Vec<Vec<f64>> {
    const PSEUDO: f32 = 2.0;
    let kernel = Kernel::new(1.5);
    let fold = |week: &Week| -> [f32; 48] {
        let mut parts = [[0.0; 24]; 2];
        for (hour, x) in week.iter().enumerate() {
            parts[usize::from(hour / 24 >= 5)][hour % 24] += x;
        }
        for part in &mut parts {
            kernel.smooth(part);
        }
        std::array::from_fn(|h| parts[h / 24][h % 24])
    };
    let watched = |reading: &Reading, level: f32| -> Week {
        let signs = reading.signs / WEEK_HOURS as f32;
        std::array::from_fn(|h| level * reading.exposure[h] + signs)
    };
    let voices = readings.iter().map(|r| (r, voice(f64::from(r.evidence)) as f32));
    let reads: f32 = voices.clone().map(|(r, voice)| voice * r.reads).sum();
    let exposure: f32 = voices.map(|(r, voice)| voice * r.exposure.iter().sum::<f32>()).sum();
    let level = if reads > 0.0 { reads / exposure } else { 1.0 };
    let mut base = ([1.0f32; 48], [1.0f32; 48]);
    let folded: Vec<([f32; 48], [f32; 48])> =
        readings.iter().map(|r| (fold(&r.observed), fold(&watched(r, level)))).collect();
    for ((observed, watched), reading) in folded.iter().zip(readings) {
        let voice = voice(f64::from(reading.evidence)) as f32;
        (0..48).for_each(|h| base.0[h] += voice * observed[h]);
        (0..48).for_each(|h| base.1[h] += voice * watched[h]);
    }
    let base: [f32; 48] = std::array::from_fn(|h| base.0[h] / base.1[h]);
    folded
        .iter()
        .map(|(observed, watched)| {
            let rate = |h: usize| (observed[h] + PSEUDO * base[h]) / (watched[h] + PSEUDO);
            let rates: Vec<f64> = (0..48).map(|h| f64::from(rate(h))).collect();
            let total: f64 = rates.iter().sum();
            rates.iter().map(|rate| (rate / total).sqrt()).collect()
        })
        .collect()
}

/// What silence means: how many people's receipts are off, and what could be seen of them.
fn silence(sights: &[Sight]) -> Fading {
    let mut fading = Fading::default();
    let (mut on, mut off, mut silent) = (0.0f32, 0.0f32, 0.0f32);
    let (mut waiting, mut open) = ([0.0f32; AGE_MAX], [0.0f32; AGE_MAX]);
    let (mut reads, mut acted, mut on_acted) = (0.0f32, 0.0f32, 0.0f32);
    for sight in sights.iter().filter(|sight| !sight.watches.is_empty()) {
        match sight.receipts {
            Receipts::On => on += 1.0,
            Receipts::Off => off += 1.0,
            Receipts::Silent => silent += 1.0,
        }
        if sight.receipts == Receipts::On {
            on_acted += f32::from(sight.watches.iter().any(|w| w.acted));
            let voice = voice(sight.watches.len() as f64) as f32;
            for watch in &sight.watches {
                reads += voice * f32::from(watch.seen);
                acted += voice * f32::from(watch.seen && watch.acted);
                for age in 0..AGE_MAX {
                    let hours = usize::from(watch.hours);
                    waiting[age] += voice * f32::from(age < hours || watch.seen);
                    open[age] += voice * f32::from(age < hours);
                }
            }
        }
    }
    for age in 0..AGE_MAX {
        fading.unread[age] = (open[age] + 1.0) / (waiting[age] + 1.0);
    }
    if reads > 0.0 {
        fading.acted = (acted / reads).max(0.01);
    }
    if off > 0.0 && silent > 0.0 {
        // the share of receipts off, seen among those who act, also holds among those who do not
        let share_off = off / (off + on_acted);
        let acts = (off + on_acted) / (on + off + silent);
        let silent_share = silent / (on + off + silent);
        fading.off = share_off;
        fading.silent_off = (share_off * (1.0 - acts) / silent_share).clamp(0.0, 1.0);
    }
    fading
}

fn age_table(people: &[Seen<'_>], fading: &Fading, threads: usize) -> AgeTable {
    let fresh = Fading { decay: vec![1.0; AGE_MAX], ..fading.clone() };
    let parts = in_chunks(people, threads, |chunk| {
        let mut table = AgeTable::default();
        let mut risk = [0.0; AGE_MAX];
        for Seen { sight, habit, own } in chunk {
            if sight.receipts != Receipts::On {
                continue;
            }
            let voice = voice(sight.watches.len() as f64);
            for watch in &sight.watches {
                let length = fresh.risk(watch, sight.receipts, &mut risk);
                let scale = voice as f32 * habit.level * own.factor(watch.content);
                for (age, risk) in risk[..length].iter().enumerate() {
                    let hour = (usize::from(watch.start) + age) % WEEK_HOURS;
                    table.expected[AgeTable::cell(hour, age)] +=
                        f64::from(scale * risk * habit.week[hour]);
                }
                if watch.seen {
                    let hours = usize::from(watch.hours);
                    table.reads[AgeTable::cell(usize::from(watch.start) + hours, hours)] += voice;
                }
            }
        }
        table
    });
    let mut table = AgeTable::default();
    for part in &parts {
        table.merge(part);
    }
    table
}

/// What a person did with each content, given the person's week; `mean` is the population's level.
fn tried(sight: &Sight, week: &Week, mean: f32, fading: &Fading, contents: usize) -> Vec<Tried> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut risk = [0.0; AGE_MAX];
    for watch in &sight.watches {
        let Some(content) = watch.content.filter(|c| usize::from(*c) < contents) else { continue };
        let length = fading.risk(watch, sight.receipts, &mut risk);
        let start = usize::from(watch.start);
        let expected: f32 =
            (0..length).map(|age| risk[age] * week[(start + age) % WEEK_HOURS]).sum();
        let index = tried.iter().position(|t| t.content == content).unwrap_or_else(|| {
            tried.push(Tried { content, reads: 0.0, expected: 0.0 });
            tried.len() - 1
        });
        tried[index].expected += f64::from(mean * expected);
        tried[index].reads += f64::from(u8::from(watch.seen));
    }
    tried
}
