//! A session of a real database client with a real database, at home and across two clusters.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tokio::task::spawn_blocking;

use crate::pair::Pair;
use crate::plain::LIMIT;
use crate::site::Site;

/// Where Debian's package has it, newest first, else on the PATH.
fn programs() -> Option<PathBuf> {
    let packaged = (13..=20).rev().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let whole = |dir: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|p| dir.join(p).exists());
    packaged.chain(std::env::split_paths(&path)).find(whole)
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: PathBuf) -> Command {
    let me = Command::new("id").arg("-u").output().unwrap();
    if me.stdout != b"0\n" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
    command
}

fn check(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
}

/// A running database. Dropping it ends it.
struct Database {
    programs: PathBuf,
    folder: PathBuf,
    server: std::process::Child,
}

impl Database {
    fn start(programs: &Path, at: SocketAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("strait-psql-{}-{}", std::process::id(), at.ip()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.join("data");
        let mut made = unprivileged(programs.join("initdb"));
        made.args(["--auth=trust", "--username=strait", "--no-sync", "--locale=C", "--encoding=UTF8", "-D"]).arg(&data);
        check(&made.output().unwrap(), "initdb");
        let mut server = unprivileged(programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-h", &at.ip().to_string()]);
        server.args(["-p", &at.port().to_string(), "-c", "fsync=off", "-c", "autovacuum=off"]);
        let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { programs: programs.to_owned(), folder, server }
    }

    /// Waits until it takes sessions.
    async fn ready(&self, at: SocketAddr) {
        let limit = tokio::time::Instant::now() + LIMIT;
        while !self.session(at, "select 1").await.status.success() {
            assert!(tokio::time::Instant::now() < limit, "the database does not start");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Runs a script in one session through that address.
    async fn session(&self, at: SocketAddr, script: &str) -> Output {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "strait", "-d", "postgres"]);
        psql.args(["-h", &at.ip().to_string(), "-p", &at.port().to_string(), "-c", script]);
        psql.env("PGCONNECT_TIMEOUT", "60");
        spawn_blocking(move || psql.output().unwrap()).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SIGINT is a fast shutdown, which takes its children with it; without `kill` they follow it by themselves.
        let asked = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What may pass for a session: rows in and out, a large result, a large statement, an error of the server's.
async fn works(database: &Database, door: SocketAddr, table: &str) {
    let script = format!(
        "create table {table}(n int); insert into {table} select generate_series(1, 1000); select sum(n) from {table}"
    );
    let done = database.session(door, &script).await;
    check(&done, "a session");
    assert_eq!(done.stdout, b"500500\n");
    let large = database.session(door, "select repeat('x', 16 * 1024 * 1024)").await;
    check(&large, "a large result");
    assert_eq!(large.stdout.len(), (16 << 20) + 1);
    let sent = database.session(door, &format!("select length('{}')", "y".repeat(100_000))).await;
    check(&sent, "a large statement");
    assert_eq!(sent.stdout, b"100000\n");
    let failed = database.session(door, "select 1/0").await;
    assert!(String::from_utf8_lossy(&failed.stderr).contains("division by zero"), "the session itself goes on");
}

#[tokio::test]
async fn a_session_at_home_and_across_clusters() {
    let Some(programs) = programs() else {
        println!("\nSKIP: no psql session was run: PostgreSQL (Debian: postgresql-15) is not installed\n");
        assert!(std::env::var_os("CI").is_none(), "CI needs PostgreSQL");
        return;
    };
    // At home the port says what it speaks; across clusters its first bytes do.
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("postgresql");
    site.start().await;
    let database = Database::start(&programs, site.pod(0));
    database.ready(site.pod(0)).await;
    works(&database, site.door(), "home").await;
    drop(database);
    site.stop().await;

    let mut pair = Pair::new(1, None).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let database = Database::start(&programs, pair.east.pod(0));
    database.ready(pair.east.pod(0)).await;
    works(&database, pair.west.door(), "away").await;
    drop(database);
    pair.stop().await;
}
