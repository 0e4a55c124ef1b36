//! How fast texts that people write are judged on one core, beside the 10,000 a second that they must
//! be, and how long the classifier takes to learn.
//!
//! `cargo bench --profile dev --bench replies` for the build that tests have. The best of some rounds
//! counts: others may use the core meanwhile.

use std::io::Write;
use std::time::Instant;

use opportune::learn::ReplyClassifier;

const TEXTS: &str = include_str!("../tests/replies/held_out.toml");
const INNOCENT: &str = include_str!("../tests/replies/innocent.txt");
const ROUNDS: usize = 20;
const WANTED: f64 = 10_000.0;

fn main() {
    let began = Instant::now();
    let classifier = ReplyClassifier::built_in();
    let learning = began.elapsed();
    // names of languages and intents stand between the texts
    let texts = TEXTS.lines().filter(|line| !line.contains("'''") && !line.starts_with(['[', '#']));
    let texts: Vec<&str> = texts.chain(INNOCENT.lines()).filter(|text| !text.is_empty()).collect();
    let mut best = 0.0_f64;
    let mut stops = 0.0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        stops = texts.iter().map(|text| classifier.judge(text).stop).sum();
        best = best.max(texts.len() as f64 / began.elapsed().as_secs_f64());
    }
    let told = writeln!(
        std::io::stdout(),
        "{} texts, of them {stops:.0} stops: {best:.0} a second, {:.1} times what is wanted; \
         learned in {learning:.1?}",
        texts.len(),
        best / WANTED,
    );
    told.expect("stdout takes a line");
}
