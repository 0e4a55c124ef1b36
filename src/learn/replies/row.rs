//! A text as a sparse row: which pieces it has, weighted by how rare they are.

use std::collections::HashMap;

use super::text::{fold, pieces};
use crate::model::hash::mix;

/// Bits of a column's number: more would gain nothing on the built-in examples.
pub(super) const COLUMN_BITS: u32 = 18;
/// Columns of a row.
pub(super) const COLUMNS: usize = 1 << COLUMN_BITS;
/// Seeds the column of a text's length, apart from all pieces.
const LENGTH_SEED: u64 = 0x006c_656e_6774_6800;
/// Longer texts count as this long, in words.
const WORDS_MAX: usize = 40;

/// The columns of a text, each once, in order.
pub(super) fn columns(text: &str) -> Vec<u32> {
    columns_of(&fold(text))
}

/// The columns of a folded text.
pub(super) fn columns_of(folded: &[char]) -> Vec<u32> {
    let mut found = Vec::with_capacity(folded.len() * 8);
    let column = |hash: u64| (hash >> (64 - COLUMN_BITS)) as u32;
    pieces(folded, |hash| found.push(column(hash)));
    // machines write long
    let words = folded.iter().filter(|c| **c == ' ').count().min(WORDS_MAX);
    found.push(column(mix(LENGTH_SEED + words.isqrt() as u64)));
    found.sort_unstable();
    found.dedup();
    found
}

/// How rare each column is among the texts that were learned from.
pub(super) struct Rarity(Vec<f32>);

impl Rarity {
    /// Counts: the log of one plus the texts for each that has the column, so that what is in all of few
    /// texts still weighs. Columns that no text has are nothing to go by, and weigh 0.
    pub(super) fn of(texts: &[Vec<u32>], columns: usize) -> Self {
        let mut count = vec![0_f32; columns];
        for column in texts.iter().flatten() {
            count[*column as usize] += 1.0;
        }
        let all = texts.len() as f32;
        let rarity = |count: f32| if count > 0.0 { (all / count).ln_1p() } else { 0.0 };
        Self(count.into_iter().map(rarity).collect())
    }

    /// The row of a text: its columns with weights whose squares sum to 1.
    pub(super) fn row(&self, columns: &[u32]) -> Vec<(u32, f32)> {
        let weighted = columns.iter().map(|column| (*column, self.0[*column as usize]));
        let mut row: Vec<(u32, f32)> = weighted.filter(|(_, weight)| *weight > 0.0).collect();
        let length = row.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        for (_, weight) in &mut row {
            *weight /= length;
        }
        row
    }

    /// The share of two texts' columns that both have, by rarity: 1 for the same text (cosine).
    pub(super) fn likeness(one: &[(u32, f32)], other: &HashMap<u32, f32>) -> f32 {
        one.iter().filter_map(|(column, weight)| Some(weight * other.get(column)?)).sum()
    }
}
