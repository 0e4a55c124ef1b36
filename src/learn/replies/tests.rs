//! How good the classifier is on texts that it did not learn from.

use std::collections::{BTreeMap, BTreeSet};

use super::classifier::{LabelledText, ReplyClassifier};
use super::consequence::{
    Consequence, FALSE_WITHDRAWAL_COST, LOOK_COST, POSSIBLE, SURE, consequence,
};
use super::examples::{Example, LANGUAGES, all_examples, examples, pattern_families, read};
use crate::model::reply::{Intent, JudgedText};

const HELD_OUT: &str = include_str!("../../../tests/replies/held_out.toml");
const NEAR_STOP: &str = include_str!("../../../tests/replies/near_stop.toml");
const INNOCENT: &str = include_str!("../../../tests/replies/innocent.txt");
const FOLDS: usize = 5;

fn held_out() -> Vec<Example> {
    read(HELD_OUT)
}

/// The mean over intents of the harmonic mean of precision and recall.
fn macro_f1(pairs: &[(Intent, Intent)]) -> f64 {
    let of = |intent: &Intent| {
        let count = |test: &dyn Fn(&(Intent, Intent)) -> bool| {
            pairs.iter().filter(|pair| test(pair)).count() as f64
        };
        let hits = count(&|(told, truth)| told == intent && truth == intent);
        let misses = count(&|(told, truth)| (told == intent) != (truth == intent));
        2.0 * hits / (2.0 * hits + misses)
    };
    Intent::ALL.iter().map(of).sum::<f64>() / Intent::ALL.len() as f64
}

/// The share of stops above the probability that at most this share of the others reaches.
fn stop_recall(judged: &[(f64, bool)], false_share: f64) -> f64 {
    let others = judged.iter().filter(|(_, stop)| !stop).count() as f64;
    let stops = judged.len() as f64 - others;
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let (mut wrong, mut right) = (0.0, 0.0);
    for (_, stop) in sorted {
        if stop {
            right += 1.0;
            continue;
        }
        wrong += 1.0;
        if wrong > others * false_share {
            break;
        }
    }
    right / stops
}

/// Judges by whole words alone (naive Bayes with one pseudo-count).
fn by_words(examples: &[Example], texts: &[Example]) -> Vec<(Intent, Intent)> {
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
        words.filter(|word| !word.is_empty()).collect()
    };
    let mut counts: BTreeMap<String, [f64; 8]> = BTreeMap::new();
    let mut all = [0.0; 8];
    for example in examples {
        for word in words(&example.text) {
            counts.entry(word).or_insert([0.0; 8])[example.intent as usize] += 1.0;
            all[example.intent as usize] += 1.0;
        }
    }
    let vocabulary = counts.len() as f64;
    let judge = |text: &Example| {
        let mut score = [0.0_f64; 8];
        for word in words(&text.text) {
            let count = counts.get(&word).copied().unwrap_or_default();
            for class in 0..8 {
                score[class] += ((count[class] + 1.0) / (all[class] + vocabulary)).ln();
            }
        }
        let best = (0..8).max_by(|a, b| score[*a].total_cmp(&score[*b])).unwrap();
        (Intent::ALL[best], text.intent)
    };
    texts.iter().map(judge).collect()
}

#[test]
fn held_out_texts_are_told_better_than_by_words_or_the_majority() {
    let (classifier, texts) = (ReplyClassifier::built_in(), held_out());
    let judged: Vec<JudgedText> = texts.iter().map(|text| classifier.judge(&text.text)).collect();
    let pairs: Vec<_> = judged.iter().zip(&texts).map(|(j, t)| (j.intent, t.intent)).collect();
    let majority: Vec<_> = texts.iter().map(|text| (Intent::Stop, text.intent)).collect();
    let own = macro_f1(&pairs);
    let (words, majority) = (macro_f1(&by_words(&all_examples(), &texts)), macro_f1(&majority));
    let spoken = judged.iter().zip(&texts).filter(|(j, t)| j.language == LANGUAGES[t.language]);
    let spoken = spoken.count() as f64 / texts.len() as f64;
    let innocent = INNOCENT.lines().map(|text| (classifier.judge(text).stop, false));
    let stops = judged.iter().zip(&texts).map(|(j, t)| (j.stop, t.intent == Intent::Stop));
    let stops: Vec<(f64, bool)> = stops.chain(innocent).collect();
    let strict = stop_recall(&stops, 0.001);
    let seen = stops.iter().filter(|(p, stop)| *stop && *p >= POSSIBLE).count() as f64
        / stops.iter().filter(|(_, stop)| *stop).count() as f64;
    let share = |is_stop: bool| {
        let all: Vec<f64> = stops.iter().filter(|(_, s)| *s == is_stop).map(|(p, _)| *p).collect();
        all.iter().filter(|stop| **stop >= SURE).count() as f64 / all.len() as f64
    };
    let (withdrawn, wronged) = (share(true), share(false));
    eprintln!(
        "macro-F1 {own:.3}, words {words:.3}, majority {majority:.3}; language {spoken:.3}; \
         stop recall at 0.1 % false {strict:.3}, withdrawn or shown {seen:.3}, withdrawn {withdrawn:.3}; \
         of the others withdrawn {wronged:.4}"
    );
    assert!(wronged <= 0.001, "{wronged}");
    assert!(own > words + 0.05 && words > majority, "{own} {words} {majority}");
    assert!(own > 0.8 && spoken > 0.95, "{own} {spoken}");
    assert!(strict > 0.7 && seen > 0.98 && withdrawn > 0.65, "{strict} {seen} {withdrawn}");
}

#[test]
fn texts_that_look_like_stops_are_told_from_stops() {
    let (classifier, texts) = (ReplyClassifier::built_in(), read(NEAR_STOP));
    let judged = texts.iter().map(|text| (classifier.judge(&text.text), text.intent));
    let judged: Vec<(f64, bool)> = judged.map(|(j, i)| (j.stop, i == Intent::Stop)).collect();
    let share = |is_stop: bool, from: f64| {
        let of: Vec<_> = judged.iter().filter(|(_, stop)| *stop == is_stop).collect();
        of.iter().filter(|(stop, _)| *stop >= from).count() as f64 / of.len() as f64
    };
    let strict = stop_recall(&judged, 0.001);
    let (seen, withdrawn, wronged) = (share(true, POSSIBLE), share(true, SURE), share(false, SURE));
    eprintln!(
        "near stops: recall at 0.1 % false {strict:.3}, withdrawn or shown {seen:.3}, \
         withdrawn {withdrawn:.3}; of the others shown {:.3}, withdrawn {wronged:.4}",
        share(false, POSSIBLE)
    );
    assert!(seen > 0.98 && withdrawn > 0.8 && wronged < 0.01, "{seen} {withdrawn} {wronged}");
}

#[test]
fn innocent_texts_withdraw_nobody() {
    let classifier = ReplyClassifier::built_in();
    for text in INNOCENT.lines() {
        let judged = classifier.judge(text);
        assert_ne!(consequence(&judged), Consequence::Withdraw, "{text}: {}", judged.stop);
    }
}

#[test]
fn nothing_held_out_is_learned_from() {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let learned: BTreeSet<String> = all_examples().iter().map(|e| plain(&e.text)).collect();
    let held_out = held_out().into_iter().chain(read(NEAR_STOP));
    let held_out: Vec<String> = held_out.map(|text| text.text).collect();
    let all = held_out.iter().map(String::as_str).chain(INNOCENT.lines());
    let both: Vec<&str> = all.filter(|text| learned.contains(&plain(text))).collect();
    assert!(both.is_empty(), "{both:?}");
}

/// The probabilities of stop of each text by a classifier that saw neither it nor another text of its
/// pattern, whether it is one, and what it counts: a pattern counts as an example does.
fn cross_validated() -> Vec<(f64, bool, f64)> {
    let families = || {
        let single = examples().into_iter().map(|example| vec![example]);
        let each = single.chain(pattern_families()).enumerate();
        each.map(|(at, texts)| (at % FOLDS, texts))
    };
    let mut found = Vec::new();
    for part in 0..FOLDS {
        let seen = families().filter(|(fold, _)| *fold != part).flat_map(|(_, texts)| texts);
        let classifier = ReplyClassifier::train(&seen.collect::<Vec<_>>(), &[]);
        for (_, texts) in families().filter(|(fold, _)| *fold == part) {
            let weight = 1.0 / texts.len() as f64;
            let stop = |e: &Example| (classifier.judge(&e.text).stop, e.intent == Intent::Stop);
            found.extend(texts.iter().map(stop).map(|(stop, is_stop)| (stop, is_stop, weight)));
        }
    }
    found
}

#[test]
fn the_thresholds_are_where_the_measured_cost_is_least() {
    let judged = cross_validated();
    let count = |test: &dyn Fn(f64) -> bool, stop: bool| -> f64 {
        let counted = judged.iter().filter(|(p, is_stop, _)| *is_stop == stop && test(*p));
        counted.map(|(_, _, weight)| weight).sum()
    };
    // a stop that waits for a person costs a look too
    let withdrawing = |sure: f64| {
        FALSE_WITHDRAWAL_COST * count(&|p| p >= sure, false) + count(&|p| p < sure, true)
    };
    let showing = |possible: f64| {
        LOOK_COST * count(&|p| p >= possible, false) + count(&|p| p < possible, true)
    };
    let grid = || (1..1000).map(|at| f64::from(at) / 1000.0);
    let least = |cost: &dyn Fn(f64) -> f64| {
        grid().map(|at| (cost(at), at)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
    };
    let (sure, possible) = (least(&withdrawing), least(&showing));
    eprintln!(
        "least at {sure:?} and {possible:?}; at the constants {} and {}; recall {:.3} at {:.5} false",
        withdrawing(SURE),
        showing(POSSIBLE),
        count(&|p| p >= SURE, true) / count(&|_| true, true),
        count(&|p| p >= SURE, false) / count(&|_| true, false),
    );
    // a single false withdrawal moves the least cost by a fifth
    assert!(withdrawing(SURE) <= 1.25 * sure.0, "{sure:?}");
    assert!(showing(POSSIBLE) <= 1.1 * possible.0, "{possible:?}");
}

#[test]
fn a_label_changes_how_the_next_texts_are_judged() {
    let before = ReplyClassifier::built_in();
    let text = "the glorp flumed again";
    let label = LabelledText { text: text.to_owned(), intent: Intent::Complaint };
    let after = ReplyClassifier::with_labels(&[label]);
    assert_ne!(before.judge(text).intent, Intent::Complaint);
    for like in [text, "my glorp flumed again!!", "glorp flumed"] {
        let judged = after.judge(like);
        assert_eq!(judged.intent, Intent::Complaint, "{like}");
        assert!(judged.probability > before.judge(like).probability);
    }
    // and leaves the others as they were
    assert_eq!(after.judge("how much is shipping?").intent, Intent::Question);
}

#[test]
fn any_text_has_probabilities() {
    let classifier = ReplyClassifier::built_in();
    for text in ["", " ", "🙏", "\u{0}\u{200b}", &"a".repeat(100_000), "𐐷𐐷 zzz"] {
        let judged = classifier.judge(text);
        for probability in [judged.probability, judged.stop, judged.language_probability] {
            assert!((0.0..=1.0).contains(&probability), "{text}: {judged:?}");
        }
    }
}
