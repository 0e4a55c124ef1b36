//! Items of a bulk request: objects with the columns of a history file as keys.

use std::cell::RefCell;

use csv::StringRecord;
use serde_json::{Map, Value};

use super::cells::{Cells, Remarks};
use super::header::Columns;
use super::history::ADDRESSES;
use super::read::HistoryFile;
use crate::model::time::Instant;

/// An item as it came.
pub type BulkItem = Map<String, Value>;

/// Turns an item into a model, or says why it is refused; `now` is the latest time allowed. What is
/// null is an empty cell, and a list is its members with `|` between them.
pub fn item<F: HistoryFile>(item: &BulkItem, now: Instant) -> Result<F::Row, String> {
    let mut cells = vec![String::new(); F::COLUMNS.len()];
    let mut attributes = Vec::new();
    for (key, value) in item {
        let cell = cell(key, value)?;
        if let Some(index) = F::COLUMNS.iter().position(|column| column == key) {
            cells[index] = cell;
        } else if let Some(name) = attribute(key).filter(|_| F::ATTRIBUTES) {
            attributes.push((name, cells.len()));
            cells.push(cell);
        } else {
            let more = if F::ATTRIBUTES { " and attr_X" } else { "" };
            let columns = F::COLUMNS.join(", ");
            let shown: String = key.chars().take(80).collect();
            return Err(format!("unknown column {shown:?}; the columns are {columns}{more}"));
        }
    }
    let columns = Columns {
        known: (0..F::COLUMNS.len()).map(Some).collect(),
        attributes,
        width: cells.len(),
        named: cells.len(),
        decimal_comma: false,
        layout: None,
    };
    let (record, remarks) = (StringRecord::from(cells), RefCell::new(Remarks::default()));
    let cells = Cells { columns: &columns, record: &record, line: 0, remarks: &remarks };
    F::row(&cells, now).map_err(|error| error.to_string())
}

/// The attribute that a key names.
fn attribute(key: &str) -> Option<String> {
    let own = ADDRESSES.iter().find(|own| own.column == key).map(|own| own.column);
    own.or_else(|| key.strip_prefix("attr_")).map(str::to_owned)
}

fn cell(key: &str, value: &Value) -> Result<String, String> {
    let wrong = || {
        let shown: String = key.chars().take(80).collect();
        format!("{shown}: it is no text, number or list of texts")
    };
    Ok(match value {
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(members) => {
            let texts: Option<Vec<&str>> = members.iter().map(Value::as_str).collect();
            let texts = texts.ok_or_else(wrong)?;
            if texts.iter().any(|text| text.contains('|')) {
                return Err(format!("{key}: a member has a | in it, which separates members"));
            }
            texts.join("|")
        }
        Value::Object(_) => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::files::{Activity, Recipients};

    fn now() -> Instant {
        "2026-12-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_item_is_read_as_a_row_of_the_file() {
        let given = json!({ "recipient": "r1", "country": "BR", "tags": ["vip", "a"], "attr_n": 3,
            "time_zone": null });
        let row = item::<Recipients>(given.as_object().unwrap(), now()).unwrap();
        assert_eq!(row.profile.tags, ["a", "vip"]);
        assert_eq!(row.profile.attributes["n"], "3");
        assert!(row.profile.zone.is_some_and(|zone| zone.inferred));
    }

    #[test]
    fn what_is_wrong_with_an_item_is_named() {
        for (given, problem) in [
            (json!({ "recipient": "r1" }), "at"),
            (json!({ "recipient": "r1", "at": "2027-01-01T00:00:00Z" }), "in the past"),
            (json!({ "recipient": "r1", "att": "x" }), "unknown column \"att\""),
            (json!({ "recipient": { "id": 1 } }), "recipient: it is no text"),
        ] {
            let told = item::<Activity>(given.as_object().unwrap(), now()).unwrap_err();
            assert!(told.contains(problem), "{told}");
        }
    }

    #[test]
    fn an_address_of_a_channel_is_one_of_the_channel() {
        let read = |key: &str, value: &str| {
            let given = json!({ "recipient": "r1", key: value });
            let given = given.as_object().unwrap().clone();
            item::<Recipients>(&given, now()).map(|row| row.profile.attributes)
        };
        assert_eq!(
            read("address_mail", "ana@example.com").unwrap()["address_mail"],
            "ana@example.com"
        );
        for (key, value) in [
            ("address_mail", "ana"),
            ("address_mail", "ana@example.com\r\nBcc: eve@evil.example"),
            ("address_messenger", "ana"),
            ("address_wechat", "ana"),
        ] {
            let told = read(key, value).unwrap_err();
            assert!(told.starts_with(key), "{told}");
        }
    }
}
