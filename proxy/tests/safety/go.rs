//! Programs that are not ours and not Rust: h2spec, and a backend on Go's own HTTP parser.
//!
//! They are built once from the Go module beside this file, pinned by version and checksum, into the project's cache.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec";

/// h2spec, or `None` after a loud line where Go is missing; there the tests that need it fail if `CI` is set.
pub fn h2spec() -> Option<PathBuf> {
    program("h2spec-2.6.0", H2SPEC)
}

/// The backend of `go/witness`.
pub fn witness() -> Option<PathBuf> {
    program("strait-safety-witness", "./witness")
}

fn program(name: &str, package: &str) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = cache().join("bin").join(name);
    // What is pinned by version does not change; what stands beside us may have.
    if !(package == H2SPEC && target.exists()) {
        if Command::new("go").arg("version").output().is_err() {
            skip(&format!("{name} must be built, and there is no Go compiler on the PATH"));
            return None;
        }
        build(package, &target);
    }
    Some(target)
}

fn build(package: &str, target: &Path) {
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    // A build that is interrupted must not look finished, and another checkout may be building the same.
    let partial = target.with_extension(format!("partial-{}", std::process::id()));
    let built = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(&partial)
        .arg(package)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/safety/go"))
        .env("CGO_ENABLED", "0")
        .output()
        .unwrap();
    assert!(built.status.success(), "go build {package}: {}", String::from_utf8_lossy(&built.stderr));
    std::fs::rename(partial, target).unwrap();
}

/// Past the test harness, which would keep it to itself.
fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "\nSKIP: a safety test does not run: {reason}\n");
    let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty() && v != "false" && v != "0");
    assert!(!ci, "safety tests are required where CI is set: {reason}");
}

/// Where built tools are kept between runs and working copies: as `xtask` and `tests/rig` do.
fn cache() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    given.unwrap_or_else(home).join("strait")
}
