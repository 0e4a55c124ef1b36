//! A text as the classifier sees it: letters in one form, and hashed pieces of it.

use unicode_normalization::UnicodeNormalization;

use crate::model::hash::mix;

/// What comes later in a text is not looked at, in characters: what people want stands first.
const LENGTH_MAX: usize = 600;
/// The longest piece, in characters.
const PIECE_MAX: usize = 5;

/// A text without case, accents, apostrophes, numbers and repeated letters, its words between
/// single blanks. Marks of questions, exclamations and pauses and pictures are words of their own.
pub(super) fn fold(text: &str) -> Vec<char> {
    let small = text.chars().take(LENGTH_MAX).flat_map(char::to_lowercase);
    let small: String = small.collect();
    let mut folded = vec![' '];
    // how often the last character came in a row
    let (mut last, mut run) = (' ', 0);
    for c in small.nfkd().filter(|c| !is_dropped(*c)).map(alike).nfc() {
        let c = if c.is_numeric() { '0' } else { c };
        let is_mark = matches!(c, '?' | '!' | ',') || is_picture(c);
        let is_letter = c.is_alphanumeric() || is_vowel_sign(c);
        run = if c == last { run + 1 } else { 1 };
        last = c;
        let is_blank = folded.last() == Some(&' ');
        match (is_letter, is_mark) {
            // "soooo" is "so", and "2024" is any number
            (true, _) if run > 1 && c == '0' => {}
            (true, _) if run == 3 => {
                folded.pop();
            }
            (true, _) if run > 3 => {}
            (true, _) => folded.push(c),
            (_, true) if run > 1 => {}
            (_, true) => {
                if !is_blank {
                    folded.push(' ');
                }
                folded.extend([c, ' ']);
            }
            _ if !is_blank => folded.push(' '),
            _ => {}
        }
    }
    if folded.last() != Some(&' ') {
        folded.push(' ');
    }
    // a full stop says nothing
    while folded.ends_with(&[' ', ',', ' ']) {
        folded.truncate(folded.len() - 2);
    }
    folded
}

/// Calls `take` with a hash of each piece of a folded text: runs of characters, words, and pairs of
/// words.
pub(super) fn pieces(folded: &[char], mut take: impl FnMut(u64)) {
    let mut before = 0;
    let mut word = 0;
    for start in 0..folded.len() {
        let mut state = 0;
        for (at, c) in folded[start..].iter().take(PIECE_MAX).enumerate() {
            state = step(state, *c);
            // single letters of an alphabet tell little
            if at > 0 || is_whole_word(*c) {
                take(mix(state));
            }
        }
        let c = folded[start];
        if c == ' ' {
            if word != 0 {
                take(mix(word));
                take(mix(before ^ word.rotate_left(17)));
                before = word;
                word = 0;
            }
        } else {
            word = step(word ^ WORD, c);
        }
    }
}

/// Tells words from runs of the same characters.
const WORD: u64 = 0x5bd1_e995;

/// The next state of FNV-1a, a character at a time.
fn step(state: u64, c: char) -> u64 {
    (state ^ 0xcbf2_9ce4_8422_2325 ^ u64::from(c)).wrapping_mul(0x0100_0000_01b3)
}

/// What writers set or leave, and what cannot be seen: accents, signs of vowels in Arabic and
/// Hebrew, apostrophes, joiners, variation selectors.
fn is_dropped(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}'
            | '\u{591}'..='\u{5c7}'
            | '\u{610}'..='\u{61a}'
            | '\u{640}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\''
            | '’'
            | '`'
            | '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{1f3fb}'..='\u{1f3ff}'
    )
}

/// Letters that keyboards of one script write with different signs, or that stand for another.
fn alike(c: char) -> char {
    match c {
        'ı' => 'i',
        'đ' => 'd',
        'ł' => 'l',
        'ø' => 'o',
        'ß' => 's',
        'ς' => 'σ',
        // Arabic, Persian and Urdu: kaf, yeh and the question mark
        '\u{643}' => '\u{6a9}',
        '\u{64a}' | '\u{649}' => '\u{6cc}',
        '؟' => '?',
        // whatever parts sentences and their parts
        '.' | ';' | ':' | '،' | '؛' | '。' | '、' | '।' | '\n' | '…' => ',',
        c => c,
    }
}

/// Emoji and other pictures.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Signs that belong to the letter before them in the scripts of India and South-East Asia.
fn is_vowel_sign(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{dff}' | '\u{e30}'..='\u{e4e}' | '\u{3099}' | '\u{309a}')
}

/// Scripts in which one character may be a word.
fn is_whole_word(c: char) -> bool {
    matches!(c, '?' | '!' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
        || is_picture(c)
}
