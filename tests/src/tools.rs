//! Programs of the system that some tests need. Without them a test prints a reason and passes.

use std::path::{Path, PathBuf};

use crate::eventually::within_wait_limit;

/// Returns the path of an installed program; `None`, with a printed reason, if it is missing.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    let found = candidates.find(|candidate| candidate.is_file());
    if found.is_none() {
        println!("skipped: {program} is not installed");
    }
    found
}

/// Runs a program and returns what it prints.
///
/// # Panics
/// If it fails.
pub async fn checked(program: &Path, args: &[&str]) -> String {
    let running = tokio::process::Command::new(program)
        .args(args)
        .kill_on_drop(true)
        .output();
    let output = within_wait_limit("the program ends", running).await;
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}:\n{stdout}\n{stderr}");
    stdout
}
