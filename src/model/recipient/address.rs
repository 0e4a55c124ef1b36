//! Addresses: the text by which a channel finds a person, and how a file's cell becomes one.
//!
//! A cell that certainly means a telephone number becomes `+` and its digits, however it is written.
//! No digit is guessed: a number without its country's code is read only where the row names the
//! country and the number is one of that country's plan. What is no number stays as it stands, since
//! it may be right for another channel; [`Address::is_good_for`] says for which.

use phonenumber::country::Id;

use super::Country;
use crate::model::Invalid;
use crate::model::ids::{is_plain, text_type};
use crate::model::written::{plain, visible};

text_type! {
    /// The channel's address. Never logged; `Debug` is for tests alone.
    Address, "address",
    "an address of 1 to 200 bytes; a telephone number is + and 7 to 15 digits",
    |text| match text.strip_prefix('+') {
        Some(digits) => (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()),
        None => is_plain(text),
    }
}

impl Address {
    /// The digits after `+` if this is a telephone number.
    pub fn phone_digits(&self) -> Option<&str> {
        self.as_str().strip_prefix('+')
    }

    /// Reads a file's cell; a national number is one of `country`.
    pub fn from_cell(text: &str, country: Option<&Country>) -> Result<Self, Invalid> {
        let plain = plain(text);
        let bare = unwrapped(&plain);
        match phone(bare, country) {
            Some(digits) => format!("+{digits}").parse(),
            // the text itself, without what cannot be seen
            None => visible(text).trim().parse::<Self>().map_err(|error| Invalid {
                value: Invalid::new("address", text, "").value,
                ..error
            }),
        }
    }

    /// Whether a channel could reach anybody by it. Telephone channels take a telephone number, or
    /// the channel's own id of a person; mail takes a mail address; others take what they are given.
    pub fn is_good_for(&self, channel: &str) -> bool {
        match channel {
            "whatsapp" | "sms" => {
                self.phone_digits().is_some_and(|digits| !digits.starts_with('0'))
                    || self.user_id().is_some()
            }
            "smtp" | "mail" | "email" => is_mail(self.as_str()),
            "messenger" => {
                (5..=32).contains(&self.as_str().len())
                    && self.as_str().bytes().all(|b| b.is_ascii_digit())
            }
            "wechat" => {
                let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                (20..=64).contains(&self.as_str().len()) && self.as_str().bytes().all(fits)
            }
            _ => true,
        }
    }

    /// The country's code in front of a business-scoped user id such as
    /// `BR.13491208655302741918`: two capitals, a dot, letters and digits.
    pub fn user_id(&self) -> Option<Country> {
        /// Shorter tails are words rather than ids.
        const TAIL_MIN: usize = 10;
        let (country, tail) = self.as_str().split_once('.')?;
        // the id of a person with several portfolios that belong together
        let tail = tail.strip_prefix("ENT.").unwrap_or(tail);
        let is_id = tail.len() >= TAIL_MIN
            && tail.bytes().all(|b| b.is_ascii_alphanumeric())
            && tail.bytes().any(|b| b.is_ascii_digit());
        let two = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        if is_id && two { country.parse().ok() } else { None }
    }
}

/// Whether a text is a mail address as people have them: atoms with dots between them (RFC 5322), at a domain
/// of several labels. Quoted parts and addresses of machines are none.
fn is_mail(text: &str) -> bool {
    // RFC 5321: 64 bytes before the sign, 254 in all
    let Some((user, domain)) = text.rsplit_once('@') else { return false };
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_atom = |part: &str| !part.is_empty() && part.chars().all(atom);
    let is_label = |label: &str| {
        let within = |c: char| c.is_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(within)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = domain.rsplit('.').next().unwrap_or_default();
    text.len() <= 254
        && user.len() <= 64
        && user.split('.').all(is_atom)
        && domain.contains('.')
        && domain.split('.').all(is_label)
        && !top.bytes().all(|b| b.is_ascii_digit())
}

/// Without what spreadsheets and programs put around a number.
fn unwrapped(text: &str) -> &str {
    let text = text.strip_prefix("=").map_or(text, str::trim);
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let mut text = text.strip_prefix('\'').unwrap_or(text).trim();
    // `p:` is how Meta's exports of leads mark a number
    for scheme in ["whatsapp:", "tel:", "sms:", "callto:", "p:"] {
        if text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)) {
            text = text[scheme.len()..].trim_start_matches("//").trim();
        }
    }
    text
}

/// The digits of a telephone number in full, where the text is certainly one.
fn phone(text: &str, country: Option<&Country>) -> Option<String> {
    for server in ["@s.whatsapp.net", "@c.us"] {
        if let Some(user) = text.strip_suffix(server) {
            // after a colon stands the device
            let digits = user.split(':').next().unwrap_or_default();
            let all = digits.bytes().all(|b| b.is_ascii_digit());
            return full(digits).filter(|_| all);
        }
    }
    let link = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(text);
    let link = link
        .strip_prefix("wa.me/")
        .or(link.strip_prefix("api.whatsapp.com/send?phone="))
        .or(link.strip_prefix("api.whatsapp.com/send/?phone="));
    if let Some(link) = link {
        // what follows is the text to begin with
        let digits = link.split(['?', '&', '/', '#']).next().unwrap_or_default();
        let digits = digits.strip_prefix("%2B").unwrap_or(digits).trim_start_matches('+');
        return full(digits).filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    }
    let text = without_decimals(text);
    let international = text.trim_start_matches('(').starts_with('+');
    let written = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')');
    let rest = if international { text.replacen('+', "", 1) } else { text.to_owned() };
    // 1.5119 may be a number of another kind
    let last = rest.rsplit(['.', ' ', '-']).next().unwrap_or_default();
    if !rest.chars().all(written) || rest.contains('.') && last.trim_end_matches(')').len() < 2 {
        return None;
    }
    // the zero that is dialled within the country alone; Italy dials it from abroad too
    let trunk = rest.contains("(0)");
    let rest = if trunk { rest.replace("(0)", "") } else { rest };
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let abroad = if international { Some(digits.as_str()) } else { digits.strip_prefix("00") };
    match abroad {
        Some(digits) if trunk && digits.starts_with("39") => None,
        Some(digits) => full(&without_trunk(digits)),
        None if trunk => None,
        None => national(&digits, country?),
    }
}

/// `+` and 7 to 15 digits, of which the first is no zero; no number plan is asked.
fn full(digits: &str) -> Option<String> {
    let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
    fits.then(|| digits.to_owned())
}

/// Without the zero or eight that is dialled within the country alone, where a number has it behind
/// its country's code, is none with it and is one without: `4407911123456`.
fn without_trunk(digits: &str) -> String {
    const TRUNKS: [&str; 3] = ["0", "8", "06"];
    let plain = || {
        let number = phonenumber::parse(None, format!("+{digits}")).ok()?;
        let code = number.code().value().to_string();
        let told = digits.strip_prefix(&code)?;
        let written = number.format().mode(phonenumber::Mode::E164).to_string();
        let own = written.strip_prefix('+')?.strip_prefix(&code)?;
        let trunk = told.strip_suffix(own)?;
        (number.is_valid() && TRUNKS.contains(&trunk)).then(|| format!("{code}{own}"))
    };
    plain().unwrap_or_else(|| digits.to_owned())
}

/// The number of a country's plan that the digits are, with or without the code of the country.
fn national(digits: &str, country: &Country) -> Option<String> {
    if !(4..=17).contains(&digits.len()) {
        return None;
    }
    let id: Id = country.as_str().parse().ok()?;
    let number = phonenumber::parse(Some(id), digits).ok()?;
    if !number.is_valid() {
        return None;
    }
    let written = number.format().mode(phonenumber::Mode::E164).to_string();
    let found = full(written.strip_prefix('+')?)?;
    // a plan may drop a prefix of the country; it never makes digits up
    let code = number.code().value().to_string();
    let own = found.strip_prefix(&code)?;
    digits.ends_with(own).then_some(found)
}

/// A whole number as programs write it that hold numbers as fractions: `5511987654303.0`.
fn without_decimals(text: &str) -> &str {
    let Some((whole, decimals)) = text.split_once(['.', ',']) else { return text };
    let digits = whole.strip_prefix('+').unwrap_or(whole);
    let whole_number =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let zeros = (1..=2).contains(&decimals.len()) && decimals.bytes().all(|b| b == b'0');
    if whole_number && zeros { whole } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, country: &str) -> String {
        let country = country.parse().ok();
        Address::from_cell(text, country.as_ref()).unwrap().to_string()
    }

    #[test]
    fn what_certainly_is_a_number_is_one() {
        for text in [
            "+5511987654301",
            " +55 11 98765-4301 ",
            "005511987654301",
            "tel:+55-11-98765-4301",
            "whatsapp:+5511987654301",
            "WhatsApp:+5511987654301",
            "5511987654301@s.whatsapp.net",
            "5511987654301:12@s.whatsapp.net",
            "'+5511987654301",
            "=\"+5511987654301\"",
            "＋５５１１９８７６５４３０１",
            "\u{a0}+5511987654301\u{a0}",
            "\u{202a}+55\u{202c} 11 98765\u{2011}4301",
            "+55 (11) 98765.4301",
            "(+55) 11987654301",
            "+5511987654301.0",
            "https://wa.me/5511987654301",
            "+٥٥١١٩٨٧٦٥٤٣٠١",
            "00 55 11 987654301",
            "p:+5511987654301",
            "https://wa.me/5511987654301?text=oi",
            "https://api.whatsapp.com/send/?phone=5511987654301&text=oi",
            "+55 011 98765-4301",
        ] {
            assert_eq!(read(text, ""), "+5511987654301", "{text}");
        }
        for (text, number) in [
            ("+44 (0)20 7946 0123", "+442079460123"),
            ("+44 07911 123456", "+447911123456"),
            ("0044 07911 123456", "+447911123456"),
            ("+4901512 3456789", "+4915123456789"),
            ("+7 8 912 345-67-89", "+79123456789"),
            // numbers that have a zero there, and what no plan knows
            ("+39 06 6982 0000", "+390669820000"),
            ("+225 07 01 23 45 67", "+2250701234567"),
            ("+5215512345678", "+5215512345678"),
            ("+990123456789", "+990123456789"),
        ] {
            assert_eq!(read(text, ""), number, "{text}");
        }
    }

    #[test]
    fn a_national_number_is_read_where_the_row_names_its_country() {
        for (text, country, number) in [
            ("(11) 98765-4304", "BR", "+5511987654304"),
            ("011 98765-4304", "BR", "+5511987654304"),
            ("5511987654304", "BR", "+5511987654304"),
            ("5511987654304.0", "BR", "+5511987654304"),
            ("07911 123456", "GB", "+447911123456"),
            ("(415) 555-2671", "US", "+14155552671"),
            ("06 12 34 56 78", "FR", "+33612345678"),
            ("06 698 12345", "IT", "+3906698 12345"),
        ] {
            assert_eq!(read(text, country), number.replace(' ', ""), "{text}");
        }
    }

    #[test]
    fn no_digit_is_guessed_and_what_is_none_reaches_nobody() {
        for (text, country) in [
            ("5.51199E+12", "BR"),
            ("5,51199E+12", "BR"),
            ("5511987654301", ""),
            ("(11) 98765-4304", ""),
            ("semtelefone", "BR"),
            ("0000000000", "BR"),
            ("123", "BR"),
            ("11 98765-4304 / 11 98765-4305", "BR"),
            ("98765-4304", "BR"),
            ("5511987654301.5", "BR"),
            ("#N/A", ""),
            ("1.55119", "US"),
            ("123456789012345678901", "BR"),
            ("+39 (0)6 698 12345 x", ""),
            ("120363@g.us", ""),
        ] {
            let country = country.parse().ok();
            let read = Address::from_cell(text, country.as_ref());
            assert!(read.is_err() || !read.unwrap().is_good_for("whatsapp"), "{text}");
        }
        for refused in
            ["+0", "+5511987654310 / +5511987654311", "+55119876543101234", "+55 11 CASA"]
        {
            assert!(Address::from_cell(refused, None).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_address_is_good_for_its_own_channel() {
        let good =
            |text: &str, channel: &str| text.parse::<Address>().unwrap().is_good_for(channel);
        assert!(good("ana@example.com", "smtp") && !good("ana@example.com", "whatsapp"));
        assert!(good("+5511987654301", "whatsapp") && !good("+5511987654301", "smtp"));
        for mail in ["a.b+c@mail.example.com", "o'neil@example.co.uk", "ána@exämple.com"] {
            assert!(good(mail, "smtp"), "{mail}");
        }
        for none in [
            "ana@localhost",
            "ana@example.com>",
            "<ana@example.com",
            "a b@example.com",
            "ana@example.com, bia@example.com",
            ".ana@example.com",
            "a..b@example.com",
            "ana@-example.com",
            "ana@127.0.0.1",
            "\"a b\"@example.com",
            "@example.com",
        ] {
            assert!(!good(none, "smtp"), "{none}");
        }
        assert!(good("4203129876543210", "messenger") && !good("ana", "messenger"));
        assert!(good("oABCD-efgh_IJKL1234567890mnop", "wechat") && !good("ana", "wechat"));
        assert!(good("BR.13491208655302741918", "whatsapp"));
        assert!(!good("+0000000000", "whatsapp") && !good("005511987654301", "sms"));
        assert!(good("customer 7", "http") && good("customer 7", "console"));
        assert_eq!(read("Ana.Souza@Example.com", "BR"), "Ana.Souza@Example.com");
    }
}
