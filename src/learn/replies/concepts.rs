//! Concepts that words of every language stand for. "Don't remove me" is a denial, a removal and the
//! speaker in each of them: what was learned of those in one language is known in all.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use super::examples::LANGUAGES;
use super::text::fold;
use crate::model::hash::mix;

/// Bits of a column's number; there are some ten thousand combinations of concepts.
const CONCEPT_BITS: u32 = 15;
/// Columns of a row of concepts.
pub(super) const CONCEPT_COLUMNS: usize = 1 << CONCEPT_BITS;
/// Concepts that stand farther in are not looked at.
const CONCEPTS_MAX: usize = 16;
/// Scripts without blanks, and languages whose words carry prefixes: words are found anywhere.
const UNSPACED: [&str; 6] = ["ar", "he", "th", "zh", "ja", "ko"];
/// Short texts of so many words have a column each.
const WORDS_MAX: usize = 12;

/// The sign between parts of a sentence: "no, stop" is not "no stop".
const PAUSE: u32 = 1 << 31;

static WORDS: LazyLock<Vec<Trie>> = LazyLock::new(|| {
    let file: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(include_str!("concepts.toml")).expect("the built-in concepts are TOML");
    let tries = LANGUAGES.iter().map(|language| Trie::of(language, &file[*language]));
    tries.collect()
});

/// The columns of a folded text in some languages, the likeliest first; each once, in order.
pub(super) fn concept_columns(folded: &[char], languages: &[usize]) -> Vec<u32> {
    let found = concepts(folded, languages);
    let mut columns = Vec::with_capacity(found.len() * found.len());
    let mut take = |kind: u64, parts: &[u8]| {
        let number = parts.iter().fold(kind, |number, part| number << 8 | u64::from(*part));
        columns.push((mix(number) >> (64 - CONCEPT_BITS)) as u32);
    };
    let words = folded.iter().filter(|c| **c == ' ').count().min(WORDS_MAX);
    take(1, &[words as u8, u8::from(found.is_empty())]);
    for (at, one) in found.iter().enumerate() {
        take(2, &[*one]);
        for (between, other) in found[at + 1..].iter().enumerate() {
            // in any order: verbs stand last in some languages
            let (low, high) = (*one.min(other), *one.max(other));
            take(3, &[low, high]);
            if between < 2 {
                take(4, &[low, high]);
            }
            if between == 0 {
                take(5, &[*one, *other]);
            }
        }
        if let [one, two, three, ..] = found[at..] {
            let mut sorted = [one, two, three];
            sorted.sort_unstable();
            take(6, &sorted);
            take(7, &[one, two, three]);
        }
    }
    if let (Some(first), Some(last)) = (found.first(), found.last()) {
        take(8, &[*first]);
        take(9, &[*last]);
    }
    if found.len() <= 5 {
        let mut sorted = found;
        sorted.sort_unstable();
        take(10, &sorted);
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The concepts of a folded text in the order of its words, by number.
fn concepts(folded: &[char], languages: &[usize]) -> Vec<u8> {
    let mut found: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < folded.len() && found.len() < CONCEPTS_MAX {
        let mut best = (0, 0);
        for language in languages {
            let (length, meant) = WORDS[*language].longest(&folded[at..]);
            if length > best.0 {
                best = (length, meant);
            }
        }
        let (length, mut meant) = best;
        if length == 0 {
            at += 1;
            continue;
        }
        while meant != 0 {
            let concept = meant.trailing_zeros() as u8;
            // "no no no" is "no"
            if found.last() != Some(&concept) {
                found.push(concept);
            }
            meant &= meant - 1;
        }
        at += length;
        // the blank after a word begins the next
        if folded[at - 1] == ' ' && length > 1 {
            at -= 1;
        }
    }
    found
}

/// The words of a language, a letter a node.
struct Trie {
    next: HashMap<u64, u32, BuildHasherDefault<MixHasher>>,
    /// The concepts of the word that ends at a node, a bit each.
    meant: Vec<u32>,
}

impl Trie {
    fn of(language: &str, words: &BTreeMap<String, String>) -> Self {
        let mut trie = Self { next: HashMap::default(), meant: vec![0] };
        for (concept, words) in words.values().enumerate() {
            for word in words.split_whitespace() {
                trie.add(&pattern(word, UNSPACED.contains(&language)), 1 << concept);
            }
        }
        trie.add(&[' ', ',', ' '], PAUSE);
        trie
    }

    fn add(&mut self, word: &[char], meant: u32) {
        let mut node = 0;
        for c in word {
            let new = self.meant.len() as u32;
            node = *self.next.entry(step(node, *c)).or_insert(new);
            if node == new {
                self.meant.push(0);
            }
        }
        self.meant[node as usize] |= meant;
    }

    /// The longest word that a text begins with: its length and what it means, 0 where there is none.
    fn longest(&self, text: &[char]) -> (usize, u32) {
        let (mut node, mut best) = (0, (0, 0));
        for (at, c) in text.iter().enumerate() {
            let Some(next) = self.next.get(&step(node, *c)) else { break };
            node = *next;
            if self.meant[node as usize] != 0 {
                best = (at + 1, self.meant[node as usize]);
            }
        }
        best
    }
}

/// The key of the node that follows a node with a letter.
fn step(node: u32, c: char) -> u64 {
    u64::from(node) << 32 | u64::from(c)
}

/// Hashes keys of nodes; the words are ours, so nobody can choose them to collide.
#[derive(Default)]
struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |state, byte| mix(state ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = mix(self.0 ^ key);
    }
}

/// A word as it is found in folded texts: between blanks, after one, or anywhere.
fn pattern(word: &str, unspaced: bool) -> Vec<char> {
    let (whole, word) = (word.strip_prefix('='), word.strip_prefix('=').unwrap_or(word));
    let starts = word.strip_suffix('*');
    let anywhere = starts.and_then(|word| word.strip_prefix('*'));
    let core = fold(&anywhere.or(starts).unwrap_or(word).replace('_', " "));
    let core = &core[1..core.len() - 1];
    match (whole, anywhere.is_some() || unspaced, starts) {
        (None, true, _) => core.to_vec(),
        (None, false, Some(_)) => [&[' '], core].concat(),
        _ => [&[' '], core, &[' ']].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, language: &str) -> Vec<u8> {
        let language = LANGUAGES.iter().position(|known| *known == language).unwrap();
        concepts(&fold(text), &[language])
    }

    #[test]
    fn a_text_has_the_same_concepts_in_each_language() {
        let mut all = Vec::new();
        for (text, language) in [
            ("don't remove me from the list", "en"),
            ("no me borren de la lista", "es"),
            ("Не удаляйте меня из списка", "ru"),
            ("אל תסירו אותי מהרשימה", "he"),
            ("别把我从名单里删除", "zh"),
        ] {
            let mut found = of(text, language);
            found.sort_unstable();
            found.dedup();
            all.push((text, found));
        }
        for (text, found) in &all {
            assert_eq!(*found, all[0].1, "{text}");
        }
        assert_eq!(all[0].1.len(), 4);
    }

    #[test]
    fn a_language_has_every_concept() {
        let file: BTreeMap<String, BTreeMap<String, String>> =
            toml::from_str(include_str!("concepts.toml")).unwrap();
        assert_eq!(file.len(), LANGUAGES.len());
        let names = |language: &str| Vec::from_iter(file[language].keys().cloned());
        for language in LANGUAGES {
            assert_eq!(names(language), names("en"), "{language}");
            assert!(names(language).len() <= 32, "a bit each");
            assert!(file[language].values().all(|words| !words.trim().is_empty()), "{language}");
        }
    }
}
