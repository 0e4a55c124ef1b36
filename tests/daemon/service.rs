//! What a service manager is told, and what it lends.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use opportune::config::Config;

use crate::scene::*;

#[test]
fn a_service_manager_is_told_of_start_life_and_end_and_lends_the_secret() {
    let endpoint = Endpoint::start(Duration::ZERO);
    let (workspace, _) = workspace(&endpoint, 3, None);
    let secret = "secret = { env = \"SHOP_SECRET\" }";
    workspace.set(secret, "secret = { credential = \"shop\" }");
    let lent = tempfile::tempdir().unwrap();
    let socket = lent.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut word = [0; 200];
        let length = manager.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    };
    let start = || {
        command(&workspace, &["daemon"])
            .env_remove("SHOP_SECRET")
            .env("CREDENTIALS_DIRECTORY", lent.path())
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "1000000")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // what was not lent is told by its name, and a path is none
    let refused = start().wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("the credential shop"), "{told}");
    std::fs::write(lent.path().join("shop"), "s3cret\n").unwrap();
    let daemon = start();
    assert_eq!(heard().trim(), "READY=1");
    for _ in 0..3 {
        assert_eq!(heard().trim(), "WATCHDOG=1");
    }
    stops(daemon, "-TERM");
    let last = std::iter::repeat_with(heard).find(|word| word.trim() != "WATCHDOG=1").unwrap();
    assert_eq!(last.trim(), "STOPPING=1");
}

#[test]
fn the_settings_of_the_package_are_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/opportune.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let config = Config::parse(&text, &file).unwrap();
    assert_eq!(config.database_url, "sqlite:///var/lib/opportune/opportune.db");
    assert!(config.listen.ip().is_loopback());
}
