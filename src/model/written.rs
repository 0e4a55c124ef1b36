//! Text as programs and keyboards leave it: signs without width, and digits, dashes and blanks of
//! other scripts. Owns what of that says nothing; refuses nothing.

/// Without characters that have no width: joiners, marks of direction, soft hyphens.
pub(crate) fn visible(text: &str) -> String {
    let hidden = |c: &char| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    text.chars().filter(|c| !hidden(c)).collect()
}

/// Trimmed, without what cannot be seen, and with digits, dashes and blanks as those of ASCII.
pub(crate) fn plain(text: &str) -> String {
    let ascii = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{660}'..='\u{669}' => digit(c, 0x660),
        '\u{6f0}'..='\u{6f9}' => digit(c, 0x6f0),
        '\u{966}'..='\u{96f}' => digit(c, 0x966),
        '\u{9e6}'..='\u{9ef}' => digit(c, 0x9e6),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    };
    visible(text).chars().map(ascii).collect::<String>().trim().to_owned()
}

fn digit(c: char, zero: u32) -> char {
    char::from_digit(c as u32 - zero, 10).unwrap_or(c)
}
