//! Runs tests of the suite against a mutated script.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::mutants::{Mutant, SCRIPTS_DIR};

/// The time limit of a run. A run that exceeds it hangs, which also counts as caught.
const LIMIT: Duration = Duration::from_secs(120);
/// The polling interval of a running test process.
const POLL: Duration = Duration::from_millis(20);

/// The result of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Caught, as expected.
    Caught(Caught),
    /// Every test passed.
    Lived,
    /// The mutation could not be run; the reason.
    Invalid(String),
}

/// How a mutant was caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// A test failed.
    Failed,
    /// The tests did not end in time.
    TimedOut,
}

/// The test binary of the suite, and the programs that its tests start.
#[derive(Debug, Clone)]
pub struct Suite {
    binary: PathBuf,
    programs: PathBuf,
}

impl Suite {
    /// Finds the suite that `make mutants` has built, and builds missing parts.
    ///
    /// # Errors
    /// The output of cargo if the build fails.
    pub fn build() -> Result<Suite, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .args(["build", "--workspace", "--bins", "--test", "suite"])
            .args(["--features", "worker/fail-points,intake/fail-points"])
            .arg("--message-format=json-render-diagnostics")
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !output.status.success() {
            return Err("the suite does not build".to_owned());
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = messages.lines().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_suite = message["target"]["name"] == "suite";
            let path = message["executable"].as_str().filter(|_| is_suite)?;
            Some(PathBuf::from(path))
        });
        let binary = executable.ok_or("cargo names no executable of the suite")?;
        // target/debug/deps/suite-<hash>
        let programs = binary.ancestors().nth(2).ok_or("an unexpected path")?;
        Ok(Suite {
            programs: programs.to_owned(),
            binary,
        })
    }

    /// Runs these tests with the unmodified scripts.
    ///
    /// # Errors
    /// The output of the tests, unless all of them exist and pass.
    pub fn passes(&self, tests: &[String]) -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let outcome = self.run(dir.path(), tests)?;
        let log = std::fs::read_to_string(dir.path().join("output")).unwrap_or_default();
        let n = log
            .lines()
            .filter(|l| l.starts_with("test ") && l.ends_with(" ... ok"));
        match (outcome, n.count()) {
            (Verdict::Lived, n) if n == tests.len() => Ok(()),
            (outcome, n) => Err(format!(
                "{outcome:?}, {n} of {} tests passed\n{log}",
                tests.len()
            )),
        }
    }

    /// Runs the mutant's tests against it.
    pub fn try_mutant(&self, mutant: &Mutant) -> Verdict {
        let prepare = || -> Result<tempfile::TempDir, String> {
            let source = mutant.apply()?;
            let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
            let file = dir.path().join(&mutant.script);
            let folder = file.parent().unwrap_or(dir.path());
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(file, source))
                .map_err(|error| error.to_string())?;
            Ok(dir)
        };
        let ran = prepare().and_then(|dir| self.run(dir.path(), &mutant.caught_by));
        ran.unwrap_or_else(Verdict::Invalid)
    }

    fn run(&self, scripts: &Path, tests: &[String]) -> Result<Verdict, String> {
        let output = File::create(scripts.join("output")).map_err(|error| error.to_string())?;
        let spawned = Command::new(&self.binary)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg("--exact")
            .args(tests.iter().map(|test| format!("suite::{test}")))
            .env(SCRIPTS_DIR, scripts)
            .env("DRAFTSMAN_TEST_BIN_DIR", &self.programs)
            // A test that waits for an effect of the mutated script need not wait long.
            .env("DRAFTSMAN_TEST_WAIT_SECS", "10")
            .stdin(Stdio::null())
            .stderr(output.try_clone().map_err(|error| error.to_string())?)
            .stdout(output)
            // A separate process group, so that all processes of the test end together.
            .process_group(0)
            .spawn();
        let mut child = spawned.map_err(|error| format!("cannot run the suite: {error}"))?;
        let began = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(Verdict::Lived),
                Ok(Some(_)) => return Ok(Verdict::Caught(Caught::Failed)),
                Ok(None) if began.elapsed() < LIMIT => std::thread::sleep(POLL),
                Ok(None) => {
                    end_group(&mut child);
                    return Ok(Verdict::Caught(Caught::TimedOut));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Kills a test process and the servers that its tests started.
fn end_group(child: &mut Child) {
    // An error means that the group has ended.
    let _ended = Command::new("sh")
        .args(["-c", &format!("kill -KILL -{}", child.id())])
        .status();
    // Kills the test process itself in case no shell is available.
    let _killed = child.kill();
    let _status = child.wait();
}
