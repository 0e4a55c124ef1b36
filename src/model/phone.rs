//! The forms in which one telephone number is written where a channel and people disagree.
//!
//! - Brazil: mobile numbers got a ninth digit, a 9 before the eight; a channel may leave it out.
//!   Mobile numbers of eight digits began with 6 to 9. What begins with 2 to 5 is a landline, and
//!   belongs to somebody else than the mobile number that ends alike (Anatel, resolution 553).
//! - Mexico: a 1 after +52 was dialled for mobile numbers until 2019; ten digits follow.
//! - Argentina: a 9 after +54 is dialled for mobile numbers from abroad; at home a 15 after the area
//!   code stands for it. Ten digits of area code and number follow. Area codes are 11, or have three
//!   or four digits and begin with 2 or 3.
//!
//! Knows no other country: elsewhere one number has one form.

use super::recipient::Address;

/// The national number whose forms these are, in its one form.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Number<'a> {
    /// Area code and the eight digits of a mobile number.
    Brazil { area: &'a str, number: &'a str },
    /// Ten digits.
    Mexico(&'a str),
    /// Ten digits, area code first.
    Argentina(String),
}

/// The other forms of an address; none for most. At most four.
pub fn alternatives(address: &Address) -> Vec<Address> {
    let forms: Vec<String> = match address.phone_digits().and_then(parse) {
        None => Vec::new(),
        Some(Number::Brazil { area, number }) => {
            vec![format!("+55{area}9{number}"), format!("+55{area}{number}")]
        }
        Some(Number::Mexico(number)) => vec![format!("+52{number}"), format!("+521{number}")],
        Some(Number::Argentina(number)) => {
            let at_home = area_lengths(&number).iter().map(|length| {
                let (area, rest) = number.split_at(*length);
                format!("+54{area}15{rest}")
            });
            let abroad = [format!("+549{number}"), format!("+54{number}")];
            abroad.into_iter().chain(at_home).collect()
        }
    };
    let others = forms.iter().filter(|form| form.as_str() != address.as_str());
    others.filter_map(|form| form.parse().ok()).collect()
}

/// Equal for addresses that are forms of one number; for others the address itself.
pub fn same_number_key(address: &Address) -> String {
    match address.phone_digits().and_then(parse) {
        None => address.as_str().to_owned(),
        Some(Number::Brazil { area, number }) => format!("+55{area}9{number}"),
        Some(Number::Mexico(number)) => format!("+52{number}"),
        Some(Number::Argentina(number)) => format!("+549{number}"),
    }
}

fn parse(digits: &str) -> Option<Number<'_>> {
    if !digits.is_ascii() {
        return None;
    }
    match digits.get(..2)? {
        "55" => brazil(&digits[2..]),
        "52" => mexico(&digits[2..]),
        "54" => argentina(&digits[2..]),
        _ => None,
    }
}

fn first(digits: &str) -> u8 {
    digits.as_bytes().first().copied().unwrap_or_default()
}

fn brazil(national: &str) -> Option<Number<'_>> {
    let (area, number) = national.split_at_checked(2)?;
    let number = match number.len() {
        9 => number.strip_prefix('9')?,
        8 => number,
        _ => return None,
    };
    let is_area = area.bytes().all(|digit| (b'1'..=b'9').contains(&digit));
    let is_mobile = (b'6'..=b'9').contains(&first(number));
    (is_area && is_mobile).then_some(Number::Brazil { area, number })
}

fn mexico(national: &str) -> Option<Number<'_>> {
    let number = match national.len() {
        11 => national.strip_prefix('1')?,
        10 => national,
        _ => return None,
    };
    // no area code begins with 0 or 1
    (first(number) >= b'2').then_some(Number::Mexico(number))
}

fn argentina(national: &str) -> Option<Number<'_>> {
    let number = match national.len() {
        11 => national.strip_prefix('9')?.to_owned(),
        10 => national.to_owned(),
        12 => {
            let home = area_lengths(national).iter().find_map(|length| {
                let (area, rest) = national.split_at(*length);
                Some(format!("{area}{}", rest.strip_prefix("15")?))
            });
            home?
        }
        _ => return None,
    };
    (!area_lengths(&number).is_empty()).then_some(Number::Argentina(number))
}

/// The lengths that the area code of an Argentine number may have.
fn area_lengths(number: &str) -> &'static [usize] {
    match first(number) {
        b'1' if number.starts_with("11") => &[2],
        b'2' | b'3' => &[3, 4],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(address: &str) -> Vec<String> {
        let forms = alternatives(&address.parse().unwrap());
        forms.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_forms_of_a_number_lead_to_each_other() {
        for (address, wanted) in [
            ("+5511987654321", vec!["+551187654321"]),
            ("+551187654321", vec!["+5511987654321"]),
            ("+5531976543210", vec!["+553176543210"]),
            ("+525512345678", vec!["+5215512345678"]),
            ("+5215512345678", vec!["+525512345678"]),
            ("+5491123456789", vec!["+541123456789", "+54111523456789"]),
            ("+541123456789", vec!["+5491123456789", "+54111523456789"]),
            ("+54111523456789", vec!["+5491123456789", "+541123456789"]),
            ("+5492215123456", vec!["+542215123456", "+54221155123456", "+54221515123456"]),
        ] {
            assert_eq!(forms(address), wanted, "{address}");
        }
    }

    #[test]
    fn nobody_elses_number_is_a_form_of_it() {
        for address in [
            // landlines of Brazil, and the mobile numbers that end alike
            "+551132654321",
            "+551152654321",
            "+5511932654321",
            "+5511952654321",
            // area codes have no 0; too short, too long
            "+5501987654321",
            "+55119876543210",
            "+55118765432",
            "+520512345678",
            "+52551234567",
            "+5411234567",
            "+5441234567890",
            // other countries, and what is no number
            "+14155550123",
            "+447400123456",
            "+5711987654321",
            "BR.13491208655302741918",
            "somebody@example.com",
        ] {
            assert_eq!(forms(address), Vec::<String>::new(), "{address}");
            assert_eq!(same_number_key(&address.parse().unwrap()), address);
        }
    }

    #[test]
    fn every_form_of_a_number_has_one_key() {
        for number in [
            "+5511987654321",
            "+551187654321",
            "+525512345678",
            "+541123456789",
            "+542215123456",
            "+542901512345",
            "+54290115512345",
            "+543515151515",
            "+542151515151",
        ] {
            let address: Address = number.parse().unwrap();
            let key = same_number_key(&address);
            for form in alternatives(&address) {
                assert_eq!(same_number_key(&form), key, "{form} of {number}");
                assert!(alternatives(&form).contains(&address), "{form} of {number}");
            }
        }
    }
}
