//! Python scripts: clients in another language, and checks that use Python libraries.
//!
//! They need a Python with the packages of `tests/python/requirements.txt`, which `make test`
//! installs into `target/py-venv`. `DRAFTSMAN_TEST_PYTHON` names another one. Without a Python the
//! tests print a reason and pass, except if `CI` is `true`.

use std::path::PathBuf;

use crate::eventually::within_wait_limit;
use crate::programs::workspace_dir;

/// The Python to use; `None`, with a printed reason, if it is missing.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn python() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("DRAFTSMAN_TEST_PYTHON") {
        return Some(named.into());
    }
    let prepared = workspace_dir().join("target/py-venv/bin/python");
    if prepared.exists() {
        return Some(prepared);
    }
    let reason =
        "no Python with grpcio-tools: run `make test`, or name one in DRAFTSMAN_TEST_PYTHON";
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
    println!("skipped: {reason}");
    None
}

/// Runs `tests/python/<script>` with `args` and checks that it succeeds. Does nothing without a
/// Python.
///
/// # Panics
/// If the script fails.
pub async fn run_script(script: &str, args: &[&str]) {
    let Some(python) = python() else { return };
    let script = workspace_dir().join("tests/python").join(script);
    let child = tokio::process::Command::new(&python)
        .arg(&script)
        .args(args)
        .kill_on_drop(true)
        .output();
    let output = within_wait_limit("the Python script ends", child).await;
    let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", python.display()));
    assert!(
        output.status.success(),
        "{} failed:\n{}\n{}",
        script.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
