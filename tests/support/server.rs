//! A PostgreSQL server of a test's own, as it is shipped.

use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{free_port, program, unprivileged};

/// A PostgreSQL server that can be stopped at once and started again, with durability as shipped.
pub struct Server {
    dir: tempfile::TempDir,
    port: u16,
    user: Option<(u32, u32)>,
}

impl Server {
    pub fn start() -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let server = Self { dir, port: free_port(), user: unprivileged() };
        if let Some((uid, gid)) = server.user {
            chown(server.dir.path(), Some(uid), Some(gid)).unwrap();
        }
        server.command("initdb", &["--no-sync", "--auth=trust", "--username=tests", "--locale=C"]);
        server.up();
        server
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, name: &str, args: &[&str]) {
        let mut command = Command::new(program(name));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let log = File::create(self.dir.path().join("command.log")).unwrap();
        let done = command
            .args(args)
            .arg("-D")
            .arg(self.data())
            .current_dir(self.dir.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .expect("PostgreSQL is installed");
        let log = std::fs::read_to_string(self.dir.path().join("command.log")).unwrap();
        assert!(done.success(), "{name}: {log}");
    }

    pub fn up(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c max_connections=200",
            self.port,
            self.dir.path().display()
        );
        self.command("pg_ctl", &["start", "-w", "-t", "60", "-l", "server.log", "-o", &options]);
    }

    pub fn stop_at_once(&self) {
        self.command("pg_ctl", &["stop", "-m", "immediate", "-w"]);
    }

    /// Stops every process of the server where it stands; connections stay open.
    #[allow(dead_code, reason = "not every test binary freezes it")]
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets them go on.
    #[allow(dead_code, reason = "not every test binary freezes it")]
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pid]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let mut kill = Command::new("kill");
        kill.arg(name).arg(&pid).args(children.split_whitespace());
        assert!(kill.status().unwrap().success(), "the server's processes are there");
    }

    pub fn url(&self) -> String {
        format!("postgres://tests@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}
