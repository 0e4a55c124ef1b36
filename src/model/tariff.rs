//! Tariffs: what a delivered message costs, by day, country and category, as data with its source.
//!
//! Owns the shape of such a table and those that come with the program. Refuses to convert
//! currencies.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;
use toml::value::Datetime;

use super::campaign::is_currency;
use super::content::Category;
use super::recipient::Country;
use super::time::Instant;

/// More than any message costs in any currency that campaigns are paid in.
const PRICE_MAX: f64 = 1e6;

/// Checked tables of prices, each from its day on over the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    /// ISO 4217.
    pub currency: String,
    /// By the day from which they hold; not empty.
    tables: BTreeMap<NaiveDate, PriceTable>,
}

#[derive(Debug, Clone, PartialEq)]
struct PriceTable {
    by_country: BTreeMap<Country, Rates>,
    other: Option<Rates>,
}

/// What one delivered message costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// In the tariff's currency.
    pub amount: f64,
    /// Whether the table is sure of it.
    pub is_confirmed: bool,
}

/// Prices of one delivered message.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    marketing: f64,
    utility: f64,
    #[serde(default)]
    unconfirmed: bool,
}

impl Rates {
    /// What marketing costs has a price of its own; everything else costs what utility does.
    fn of(&self, category: Category) -> f64 {
        if category == Category::Marketing { self.marketing } else { self.utility }
    }
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
    /// Where the prices are written; a table without a source is none.
    #[serde(rename = "source")]
    _source: String,
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
    #[serde(default)]
    unconfirmed: bool,
}

impl Tariff {
    /// The WhatsApp Business Platform's, as it comes with the program.
    pub fn whatsapp() -> Self {
        let read = |text| {
            Self::from_toml(text).expect("a table that comes with the program is well formed")
        };
        read(include_str!("whatsapp_tariff_2026-04.toml"))
            .then(read(include_str!("whatsapp_tariff_2026-10.toml")))
            .expect("the tables that come with the program go together")
    }

    /// Parses and checks one table.
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
        let date = raw.as_of.date.and_then(|date| {
            let (month, day) = (u32::from(date.month), u32::from(date.day));
            NaiveDate::from_ymd_opt(i32::from(date.year), month, day)
        });
        if date.is_none() {
            wrong.push(format!("as_of: {} is not a day such as 2026-10-01", raw.as_of));
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
        for RawMarket { name, countries, marketing, utility, unconfirmed } in raw.market {
            let rates = check(&format!("market {name}"), Rates { marketing, utility, unconfirmed });
            for country in countries {
                if by_country.contains_key(&country) {
                    twice.push(format!("market {name}: {country} stands in another too"));
                }
                by_country.insert(country, rates);
            }
        }
        wrong.extend(twice);
        match date {
            Some(date) if wrong.is_empty() => {
                let tables = BTreeMap::from([(date, PriceTable { by_country, other })]);
                Ok(Self { currency: raw.currency, tables })
            }
            _ => Err(TariffError::Values(wrong)),
        }
    }

    /// These tables, and over them the later ones: what a later table does not name stays as it was.
    pub fn then(mut self, later: Self) -> Result<Self, TariffError> {
        if later.currency != self.currency {
            let wrong = format!("currency: {} is not {} as before", later.currency, self.currency);
            return Err(TariffError::Values(vec![wrong]));
        }
        for (from, changed) in later.tables {
            let Some((last, before)) = self.tables.last_key_value() else { continue };
            if from <= *last {
                let wrong = format!("as_of: {from} is not later than {last} of the table before");
                return Err(TariffError::Values(vec![wrong]));
            }
            let mut table = before.clone();
            table.by_country.extend(changed.by_country);
            table.other = changed.other.or(table.other);
            self.tables.insert(from, table);
        }
        Ok(self)
    }

    /// What one message costs that is delivered at some time of a span: the dearest of the prices that
    /// hold in it, and the dearest of all where a table does not tell.
    pub fn price(
        &self,
        (from, to): (Instant, Instant),
        country: Option<&Country>,
        category: Category,
    ) -> Price {
        let (from, to) = (from.date_naive(), to.date_naive());
        let begun = self.tables.range(..=from).next_back().or(self.tables.first_key_value());
        let later = self.tables.range(from..=to);
        let prices = begun.into_iter().chain(later).map(|(_, t)| t.price(country, category));
        prices.max_by(|a, b| a.amount.total_cmp(&b.amount)).unwrap_or(Price::FREE)
    }
}

impl Price {
    /// Of a provider that charges nothing, as far as is known.
    pub const FREE: Self = Self { amount: 0.0, is_confirmed: true };
}

impl PriceTable {
    fn price(&self, country: Option<&Country>, category: Category) -> Price {
        let known = country.and_then(|country| self.by_country.get(country));
        let Some(rates) = known.or(self.other.as_ref()) else {
            let prices = self.by_country.values().map(|rates| rates.of(category));
            return Price { amount: prices.fold(0.0, f64::max), is_confirmed: false };
        };
        Price { amount: rates.of(category), is_confirmed: !rates.unconfirmed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(at: [&str; 2], code: &str, category: Category) -> Price {
        let [from, to] = at.map(|day| format!("{day}T12:00:00Z").parse().unwrap());
        Tariff::whatsapp().price((from, to), Some(&code.parse().unwrap()), category)
    }

    #[test]
    fn a_country_pays_its_market_s_price_and_the_rest_the_other_s() {
        let amount = |code, category| price(["2026-05-01"; 2], code, category).amount;
        assert!(amount("DE", Category::Marketing) > amount("BR", Category::Marketing));
        assert!(amount("BR", Category::Marketing) > amount("BR", Category::Utility));
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        let other = Tariff::whatsapp().price((now, now), None, Category::Marketing).amount;
        assert_eq!(amount("AQ", Category::Marketing).to_bits(), other.to_bits());
    }

    #[test]
    fn a_table_holds_from_its_day_on_and_a_span_costs_its_dearest() {
        let bangladesh = |at| price(at, "BD", Category::Utility);
        let (april, october) = (0.0113_f64, 0.0037_f64);
        for (at, amount) in [
            // before the first table it is the first
            (["2025-01-01"; 2], april),
            (["2026-09-30"; 2], april),
            (["2026-10-01"; 2], october),
            (["2026-09-29", "2026-10-02"], april),
        ] {
            assert_eq!(bangladesh(at).amount.to_bits(), amount.to_bits(), "{at:?}");
            assert!(bangladesh(at).is_confirmed);
        }
        // what a later table does not name stays; what rose by nobody knows how much is told
        let germany = |day| price([day; 2], "DE", Category::Marketing);
        assert_eq!(germany("2026-05-01"), germany("2026-11-01"));
        assert!(!price(["2026-11-01"; 2], "IT", Category::Marketing).is_confirmed);
        assert!(price(["2026-05-01"; 2], "IT", Category::Marketing).is_confirmed);
        let dearer = |day| price([day; 2], "KZ", Category::Utility).amount;
        assert!(dearer("2026-11-01") > dearer("2026-05-01"));
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
        let of = |currency: &str, day: &str| {
            let text = format!("currency = \"{currency}\"\nas_of = {day}\nsource = \"x\"\n");
            Tariff::from_toml(&text)
        };
        let told = of("USD", "07:00:00").unwrap_err().to_string();
        assert!(told.contains("as_of: 07:00:00 is not a day"), "{told}");
        let first = of("USD", "2026-04-01").unwrap();
        let euro = first.clone().then(of("EUR", "2026-05-01").unwrap()).unwrap_err().to_string();
        assert_eq!(euro, "currency: EUR is not USD as before");
        let early = first.then(of("USD", "2026-04-01").unwrap()).unwrap_err().to_string();
        assert_eq!(early, "as_of: 2026-04-01 is not later than 2026-04-01 of the table before");
    }
}
