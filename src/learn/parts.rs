//! What is fitted under given hyper-parameters: how messages fade, what is liked, and the
//! chronotypes, each given the others, round after round.

use super::FitError;
use super::Settings;
use super::decay::AgeTable;
use super::fit::group;
use super::hyper::Hyper;
use super::mixture::{Chronotypes, Fitting, expectation_maximization};
use super::model::Model;
use super::parallel::{in_chunks, map};
use super::reading::{AGE_MAX, Fading, Reading, Receipts, Sight};
use super::shape::{Kernel, Week};
use super::taste::{Tastes, Tried};
use crate::model::preference::WEEK_HOURS;

/// What is fitted under given hyper-parameters.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) fading: Fading,
    pub(super) tastes: Tastes,
    pub(super) chronotypes: Chronotypes,
}

impl Parts {
    pub(super) fn fit(
        sights: &[Sight],
        hyper: &Hyper,
        model: &Model,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, FitError> {
        const ROUNDS: usize = 3;
        let messages = sights.iter().any(|sight| !sight.watches.is_empty());
        let mut fading = silence(sights);
        let mut tastes = Tastes::even(model.contents.list().len());
        let threads = settings.threads;
        let mut round = 1;
        loop {
            let last = round == ROUNDS || !messages;
            let readings = map(sights, threads, |sight| {
                Reading::new(sight, &fading, hyper.half_life, |content| tastes.of_all(content))
            });
            let start = group(&profiles(&readings), hyper.classes, seed)?;
            let fitting = Fitting {
                person: hyper.person,
                class: hyper.class,
                rounds: if last { settings.rounds } else { settings.rounds / 3 },
                threads,
            };
            let classes = start.iter().max().map_or(1, |most| most + 1);
            let chronotypes = expectation_maximization(&readings, &start, classes, fitting);
            let habits = map(&readings, threads, |reading| {
                let habit = chronotypes.habit(reading, chronotypes.share());
                (habit.week, habit.level)
            });
            if messages {
                let mean = chronotypes.level().mean as f32;
                let people: Vec<(&Sight, &(Week, f32))> = sights.iter().zip(&habits).collect();
                if !last && let Some(decay) = age_table(&people, &fading, &tastes, threads).fading()
                {
                    fading.decay = decay;
                }
                let tried = map(&people, threads, |(sight, (week, _))| {
                    tried(sight, week, mean, &fading, tastes.mean.len())
                });
                tastes.refit(&tried, threads);
            }
            if last {
                return Ok(Self { fading, tastes, chronotypes });
            }
            round += 1;
        }
    }
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
    let reads: f32 = readings.iter().map(|r| r.reads).sum();
    let exposure: f32 = readings.iter().flat_map(|r| r.exposure).sum();
    let level = if reads > 0.0 { reads / exposure } else { 1.0 };
    let mut base = ([1.0f32; 48], [1.0f32; 48]);
    let folded: Vec<([f32; 48], [f32; 48])> =
        readings.iter().map(|r| (fold(&r.observed), fold(&watched(r, level)))).collect();
    for (observed, watched) in &folded {
        (0..48).for_each(|h| base.0[h] += observed[h]);
        (0..48).for_each(|h| base.1[h] += watched[h]);
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
            for watch in &sight.watches {
                reads += f32::from(watch.seen);
                acted += f32::from(watch.seen && watch.acted);
                for age in 0..AGE_MAX {
                    let hours = usize::from(watch.hours);
                    waiting[age] += f32::from(age < hours || watch.seen);
                    open[age] += f32::from(age < hours);
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
        fading.silent_off = (share_off * (1.0 - acts) / silent_share).clamp(0.0, 1.0);
    }
    fading
}

fn age_table(
    people: &[(&Sight, &(Week, f32))],
    fading: &Fading,
    tastes: &Tastes,
    threads: usize,
) -> AgeTable {
    let fresh = Fading { decay: vec![1.0; AGE_MAX], ..fading.clone() };
    let parts = in_chunks(people, threads, |chunk| {
        let mut table = AgeTable::default();
        let mut risk = [0.0; AGE_MAX];
        for (sight, (week, level)) in chunk {
            if sight.receipts != Receipts::On {
                continue;
            }
            for watch in &sight.watches {
                let length = fresh.risk(watch, sight.receipts, &mut risk);
                let scale = level * tastes.of_all(watch.content);
                for (age, risk) in risk[..length].iter().enumerate() {
                    let hour = (usize::from(watch.start) + age) % WEEK_HOURS;
                    table.expected[AgeTable::cell(hour, age)] +=
                        f64::from(scale * risk * week[hour]);
                }
                if watch.seen {
                    let hours = usize::from(watch.hours);
                    table.reads[AgeTable::cell(usize::from(watch.start) + hours, hours)] += 1.0;
                }
            }
        }
        table
    });
    let mut table = AgeTable::default();
    parts.iter().for_each(|part| table.merge(part));
    table
}

/// What a person did with each content, given the person's week; `mean` is the population's level.
pub(super) fn tried(
    sight: &Sight,
    week: &Week,
    mean: f32,
    fading: &Fading,
    contents: usize,
) -> Vec<Tried> {
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
