//! No circle between files or folders: of two that use each other neither can be read alone.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path, such as `work::plan::inputs`.
type Module = Vec<String>;

/// Where circles are looked for.
const WHERE: [&str; 8] = ["learn", "plan", "work", "store", "web", "provider", "daemon", "cli"];

/// The code of every module, and what it hands on from others.
struct Crate {
    code: BTreeMap<Module, String>,
    handed_on: BTreeMap<(Module, String), Module>,
}

/// `a::{b, c::{self, d}}` as `a::b`, `a::c` and `a::c::d`.
fn expanded(prefix: &[String], tree: &str) -> Vec<Module> {
    let tree = tree.trim();
    if let Some(inner) = tree.strip_prefix('{').and_then(|tree| tree.strip_suffix('}')) {
        let (mut depth, mut start, mut all) = (0, 0, Vec::new());
        for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    all.extend(expanded(prefix, &inner[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
        return all;
    }
    let (head, rest) =
        tree.split_once("::").map_or((tree, None), |(head, rest)| (head, Some(rest)));
    let head = head.split(" as ").next().unwrap().trim();
    match (head, rest) {
        ("", _) => Vec::new(),
        ("self", None) if !prefix.is_empty() => vec![prefix.to_vec()],
        (_, None) => vec![[prefix, &[head.to_owned()]].concat()],
        (_, Some(rest)) => expanded(&[prefix, &[head.to_owned()]].concat(), rest),
    }
}

/// The `use` declarations of a file, each with whether it hands on what it names.
fn declarations(code: &str) -> Vec<(bool, &str)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let before = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let after = &rest[at + 4..];
        let end = after.find(';').unwrap_or(after.len());
        if before.is_empty() || before.starts_with("pub") {
            found.push((!before.is_empty(), &after[..end]));
        }
        rest = &after[end..];
    }
    found
}

/// Paths in the code that begin with `crate::` or `super::`.
fn paths(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' || before == '$' {
                continue;
            }
            // who may see a thing is no use of another
            if code[..at].ends_with("pub(in ") {
                continue;
            }
            let end = code[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = &code[at..end.map_or(code.len(), |end| at + end)];
            let path = path.trim_end_matches(':').split("::").map(str::to_owned);
            found.push(path.filter(|part| !part.is_empty()).collect());
        }
    }
    found
}

impl Crate {
    fn read() -> Self {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut code = BTreeMap::new();
        for (_, path, text) in crate::files() {
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Module =
                inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            // tests may look at everything
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            code.insert(module, text);
        }
        let mut found = Self { code, handed_on: BTreeMap::new() };
        for (module, text) in &found.code {
            for (_, tree) in declarations(text).into_iter().filter(|(is_public, _)| *is_public) {
                for path in expanded(&[], tree) {
                    if let Some(path) = found.absolute(module, &path) {
                        let name = path.last().unwrap().clone();
                        found.handed_on.insert((module.clone(), name), path);
                    }
                }
            }
        }
        found
    }

    /// A path from the crate's root, if it is one of ours.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module, &path[1..]].concat()),
            "super" => {
                let up = module.len().checked_sub(supers)?;
                Some([&module[..up], &path[supers..]].concat())
            }
            first => {
                let child = [module.as_slice(), &[first.to_owned()]].concat();
                self.code.contains_key(&child).then(|| [module.as_slice(), path].concat())
            }
        }
    }

    /// The module that defines what a path names.
    fn owner(&self, path: &Module, depth: usize) -> Option<Module> {
        let length = (1..=path.len()).rev().find(|n| self.code.contains_key(&path[..*n]))?;
        let (module, rest) = path.split_at(length);
        let handed =
            rest.first().and_then(|name| self.handed_on.get(&(module.to_vec(), name.clone())));
        match handed {
            Some(from) if depth < 9 => self.owner(&[from, &rest[1..]].concat(), depth + 1),
            _ => Some(module.to_vec()),
        }
    }

    /// Which modules each module uses.
    fn uses(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let used = |module: &Module, code: &str| {
            let declared = declarations(code).into_iter().filter(|(is_public, _)| !is_public);
            let declared = declared.flat_map(|(_, tree)| expanded(&[], tree));
            // what stands in declarations is found once more, up to a brace: its module
            let handed: Vec<&str> = declarations(code)
                .into_iter()
                .filter_map(|(is_public, tree)| is_public.then_some(tree))
                .collect();
            let mut plain = code.to_owned();
            for tree in handed {
                plain = plain.replace(tree, "");
            }
            for (_, tree) in declarations(code) {
                plain = plain.replace(tree, "");
            }
            declared
                .chain(paths(&plain))
                .filter_map(|path| self.owner(&self.absolute(module, &path)?, 0))
                .filter(|other| other != module)
                .collect::<BTreeSet<Module>>()
        };
        self.code.iter().map(|(module, code)| (module.clone(), used(module, code))).collect()
    }
}

/// A circle among the nodes, if there is one: each uses the next, and the last the first.
fn circle(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    fn walk(
        uses: &BTreeMap<Module, BTreeSet<Module>>,
        at: &Module,
        path: &mut Vec<Module>,
        done: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(start) = path.iter().position(|module| module == at) {
            return Some(path[start..].to_vec());
        }
        if !done.insert(at.clone()) {
            return None;
        }
        path.push(at.clone());
        let found = uses.get(at)?.iter().find_map(|next| walk(uses, next, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| walk(uses, module, &mut Vec::new(), &mut done))
}

fn shown(circle: &[Module]) -> String {
    circle.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> ")
}

#[test]
fn no_files_and_no_folders_use_each_other() {
    let uses = Crate::read().uses();
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 500, "the uses were not found");
    for top in WHERE {
        let within = |module: &&Module| module[0] == top;
        let files: BTreeMap<Module, BTreeSet<Module>> = uses
            .iter()
            .filter(|(module, _)| within(module))
            .map(|(module, used)| (module.clone(), used.iter().filter(within).cloned().collect()))
            .collect();
        if let Some(circle) = circle(&files) {
            panic!("these files use each other: {}", shown(&circle));
        }
        // a folder is one with everything in it
        let folder = |module: &Module| module[..module.len().min(2)].to_vec();
        let mut folders: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, used) in &files {
            let from = folder(module);
            let used = used.iter().map(folder).filter(|other| *other != from);
            folders.entry(from.clone()).or_default().extend(used.collect::<Vec<_>>());
        }
        if let Some(circle) = circle(&folders) {
            panic!("these folders use each other: {}", shown(&circle));
        }
    }
}

#[test]
fn a_circle_is_found_through_what_is_handed_on() {
    let module = |path: &str| -> Module { path.split("::").map(str::to_owned).collect() };
    let code = [
        ("a", "pub use inner::Thing;"),
        ("a::inner", "use crate::b::{self, Other as Another};\npub struct Thing;"),
        ("b", "use super::a::Thing;\npub struct Other;"),
        ("c", "use crate::{a::Thing, b};"),
    ];
    let code = code.map(|(path, text)| (module(path), text.to_owned())).into();
    let mut made = Crate { code, handed_on: BTreeMap::new() };
    made.handed_on.insert((module("a"), "Thing".to_owned()), module("a::inner::Thing"));
    let mut uses = made.uses();
    assert_eq!(uses[&module("c")], [module("a::inner"), module("b")].into());
    let found = circle(&uses).unwrap();
    assert_eq!(
        found.into_iter().collect::<BTreeSet<_>>(),
        [module("a::inner"), module("b")].into()
    );
    uses.get_mut(&module("b")).unwrap().clear();
    assert_eq!(circle(&uses), None);
}
