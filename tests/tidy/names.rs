//! A type's name has one meaning in the whole crate.

use std::collections::BTreeMap;

/// Names of the invented world are its own for now.
const APART: [&str; 1] = ["world"];
/// What every verb of the command line calls its arguments.
const OF_VERBS: &str = "Args";

/// The type that a line declares for other modules.
fn declared(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub")?;
    let rest = rest.strip_prefix('(').map_or(Some(rest), |rest| Some(rest.split_once(')')?.1))?;
    let rest = rest.trim_start();
    let name =
        ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| rest.strip_prefix(word))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn a_types_name_has_one_meaning() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, path, code) in crate::files() {
        if APART.contains(&module.as_str()) {
            continue;
        }
        for name in code.lines().filter_map(declared).filter(|name| *name != OF_VERBS) {
            places.entry(name.to_owned()).or_default().push(path.display().to_string());
        }
    }
    assert!(places.len() > 200, "the types were not found");
    for (name, places) in places {
        assert!(places.len() == 1, "{name} means several things: {}", places.join(", "));
    }
}

#[test]
fn declarations_are_found_however_visible() {
    assert_eq!(declared("pub struct One<'a> {"), Some("One"));
    assert_eq!(declared("pub(super) enum Two {"), Some("Two"));
    assert_eq!(declared("pub(in crate::work) type Three = u8;"), Some("Three"));
    assert_eq!(declared("struct Private;"), None);
    assert_eq!(declared("    pub field: u8,"), None);
}
