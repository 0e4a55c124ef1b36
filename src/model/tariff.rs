//! Tariffs: what a delivered message costs, by country and category, as data with its date and source.
//!
//! Owns the shape of such a table and the one that comes with the program. Refuses to convert
//! currencies.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::value::Datetime;

use super::campaign::is_currency;
use super::content::Category;
use super::recipient::Country;

/// More than any message costs in any currency that campaigns are paid in.
const PRICE_MAX: f64 = 1e6;

/// A checked table of prices.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    /// ISO 4217.
    pub currency: String,
    /// The day on which the prices held.
    pub as_of: String,
    /// Where they are written.
    pub source: String,
    by_country: BTreeMap<Country, Rates>,
    other: Option<Rates>,
}

/// Prices of one delivered message.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    marketing: f64,
    utility: f64,
}

/// What is wrong with a table of prices: every entry, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// Not TOML, an unknown key, or a value of the wrong type; the message names line and column.
    #[error("{0}")]
    Syntax(String),
    /// Values out of bounds.
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTariff {
    currency: String,
    as_of: Datetime,
    source: String,
    other: Option<Rates>,
    #[serde(default)]
    market: Vec<RawMarket>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMarket {
    name: String,
    countries: Vec<Country>,
    marketing: f64,
    utility: f64,
}

impl Tariff {
    /// The WhatsApp Business Platform's, as it comes with the program.
    pub fn whatsapp() -> Self {
        Self::from_toml(include_str!("whatsapp_tariff.toml"))
            .expect("the table that comes with the program is well formed")
    }

    /// Parses and checks a table.
    pub fn from_toml(text: &str) -> Result<Self, TariffError> {
        let raw: RawTariff = toml::from_str(text)
            .map_err(|error| TariffError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut wrong = Vec::new();
        if !is_currency(&raw.currency) {
            wrong.push(format!(
                "currency: {:?} is not a code of three capital letters such as USD",
                raw.currency
            ));
        }
        let mut check = |name: &str, rates: Rates| {
            for (key, price) in [("marketing", rates.marketing), ("utility", rates.utility)] {
                if !(0.0..=PRICE_MAX).contains(&price) {
                    wrong.push(format!("{name}.{key}: {price} is not between 0 and {PRICE_MAX}"));
                }
            }
            rates
        };
        let other = raw.other.map(|rates| check("other", rates));
        let mut by_country = BTreeMap::new();
        let mut twice = Vec::new();
        for market in raw.market {
            let rates = Rates { marketing: market.marketing, utility: market.utility };
            let rates = check(&format!("market {}", market.name), rates);
            for country in market.countries {
                if by_country.contains_key(&country) {
                    twice.push(format!("market {}: {country} stands in another too", market.name));
                }
                by_country.insert(country, rates);
            }
        }
        wrong.extend(twice);
        if !wrong.is_empty() {
            return Err(TariffError::Values(wrong));
        }
        let as_of = raw.as_of.to_string();
        Ok(Self { currency: raw.currency, as_of, source: raw.source, by_country, other })
    }

    /// What one delivered message costs; the dearest price where the table does not tell.
    pub fn price(&self, country: Option<&Country>, category: Category) -> f64 {
        let of = |rates: &Rates| match category {
            Category::Marketing => rates.marketing,
            _ => rates.utility,
        };
        let known = country.and_then(|country| self.by_country.get(country));
        match known.or(self.other.as_ref()) {
            Some(rates) => of(rates),
            None => self.by_country.values().map(of).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_pays_its_market_s_price_and_the_rest_the_other_s() {
        let tariff = Tariff::whatsapp();
        let price = |code: &str, category| {
            let country: Country = code.parse().unwrap();
            tariff.price(Some(&country), category)
        };
        assert!(price("DE", Category::Marketing) > price("BR", Category::Marketing));
        assert!(price("BR", Category::Marketing) > price("BR", Category::Utility));
        let other = tariff.price(None, Category::Marketing);
        assert_eq!(price("AQ", Category::Marketing).to_bits(), other.to_bits());
        assert!(!tariff.source.is_empty() && tariff.as_of.starts_with("20"));
    }

    #[test]
    fn every_bad_price_is_named() {
        let text = "currency = \"usd\"\nas_of = 2026-01-01\nsource = \"x\"\n\
                    [[market]]\nname = \"a\"\ncountries = [\"BR\"]\nmarketing = -1\nutility = 0\n\
                    [[market]]\nname = \"b\"\ncountries = [\"BR\"]\nmarketing = 1\nutility = 0\n";
        assert_eq!(
            Tariff::from_toml(text).unwrap_err().to_string(),
            "currency: \"usd\" is not a code of three capital letters such as USD\n\
             market a.marketing: -1 is not between 0 and 1000000\n\
             market b: BR stands in another too",
        );
    }
}
