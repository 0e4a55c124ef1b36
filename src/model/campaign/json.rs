//! A campaign as programs write it: the keys of a campaign file, in JSON.

use super::{CampaignError, RawCampaign};

/// A campaign in JSON as the text of a campaign file, with the same keys. What is null is left out;
/// the window's ends are strings.
pub fn json_to_toml(json: &serde_json::Value) -> Result<String, CampaignError> {
    let value = toml_value(json, "")?.unwrap_or(toml::Value::Table(toml::Table::new()));
    let toml::Value::Table(table) = value else {
        return Err(CampaignError::Syntax("the campaign is no JSON object".to_owned()));
    };
    let text = toml::to_string(&table).map_err(|e| CampaignError::Syntax(e.to_string()))?;
    // what is wrong is told by its key, since the caller never saw the lines of this text
    let read: Result<RawCampaign, _> = serde_path_to_error::deserialize(toml::Value::Table(table));
    match read {
        Ok(_) => Ok(text),
        Err(error) => {
            let (path, problem) = (error.path().to_string(), error.into_inner().to_string());
            Err(CampaignError::Values(vec![format!("{path}: {}", problem.trim_end())]))
        }
    }
}

fn toml_value(json: &serde_json::Value, at: &str) -> Result<Option<toml::Value>, CampaignError> {
    use serde_json::Value as Json;
    let wrong = |problem: &str| CampaignError::Values(vec![format!("{at}: {problem}")]);
    let inner = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::Bool(truth) => toml::Value::Boolean(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => toml::Value::Integer(whole),
            (None, Some(real)) => toml::Value::Float(real),
            (None, None) => return Err(wrong("the number is too large")),
        },
        Json::String(text) if matches!(at, "window.start" | "window.end") => {
            let wanted = format!("{text:?} is no date and time such as 2026-12-01T09:00:00");
            toml::Value::Datetime(text.parse().map_err(|_| wrong(&wanted))?)
        }
        Json::String(text) => toml::Value::String(text.clone()),
        Json::Array(members) => {
            let members = members.iter().map(|member| toml_value(member, at));
            toml::Value::Array(members.filter_map(Result::transpose).collect::<Result<_, _>>()?)
        }
        Json::Object(members) => {
            let mut table = toml::Table::new();
            for (key, member) in members {
                if let Some(member) = toml_value(member, &inner(key))? {
                    table.insert(key.clone(), member);
                }
            }
            toml::Value::Table(table)
        }
    }))
}
