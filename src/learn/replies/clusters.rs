//! Texts that say much the same, put together.

use std::collections::HashMap;

use super::row::{COLUMNS, Rarity, columns};

/// Texts at least this alike (cosine of their rows) say the same.
const ALIKE: f32 = 0.2;

/// Texts that say much the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextCluster {
    /// The text that is most like the others, by its index.
    pub example: usize,
    /// All of them, by index, in order.
    pub texts: Vec<usize>,
}

/// Puts texts together, the largest clusters first. Each text joins the cluster whose first text is
/// most like it, else founds one: one pass, whose time grows with the texts times the clusters.
pub fn clusters(texts: &[&str]) -> Vec<TextCluster> {
    let columns: Vec<Vec<u32>> = texts.iter().map(|text| columns(text)).collect();
    let rarity = Rarity::of(&columns, COLUMNS);
    let rows: Vec<Vec<(u32, f32)>> = columns.iter().map(|columns| rarity.row(columns)).collect();
    let mut found: Vec<(HashMap<u32, f32>, Vec<usize>)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let each = found.iter().enumerate();
        let each = each.map(|(cluster, (first, _))| (Rarity::likeness(row, first), cluster));
        match each.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((likeness, cluster)) if likeness >= ALIKE => found[cluster].1.push(at),
            _ => found.push((row.iter().copied().collect(), vec![at])),
        }
    }
    let mut clusters: Vec<TextCluster> = (found.into_iter())
        .map(|(_, texts)| TextCluster { example: central(&rows, &texts), texts })
        .collect();
    clusters.sort_by_key(|cluster| (std::cmp::Reverse(cluster.texts.len()), cluster.texts[0]));
    clusters
}

/// The text whose row has the largest product with the sum of all.
fn central(rows: &[Vec<(u32, f32)>], texts: &[usize]) -> usize {
    let mut sum: HashMap<u32, f32> = HashMap::new();
    for (column, weight) in texts.iter().flat_map(|at| &rows[*at]) {
        *sum.entry(*column).or_default() += weight;
    }
    let likeness = |at: &&usize| Rarity::likeness(&rows[**at], &sum);
    let best = texts.iter().rev().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_asked_most_comes_first_with_an_example() {
        let texts = [
            "how much is shipping?",
            "Are you open on sunday",
            "how much is the shipping to Leeds",
            "how much is shipping please",
            "open on sunday??",
        ];
        let found = clusters(&texts);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].texts, [0, 2, 3]);
        assert_eq!(found[1].texts, [1, 4]);
        assert!(found[0].texts.contains(&found[0].example));
        assert!(clusters(&[]).is_empty());
    }
}
