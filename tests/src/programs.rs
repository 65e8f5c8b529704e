//! The real programs as child processes: `intake`, `worker`, `draftsman`.
//!
//! They are built once for each run, in the profile and target directory of the running test;
//! `DRAFTSMAN_TEST_BIN_DIR` names a directory with built programs instead. Each gets its own
//! environment, without variables of the developer. Their logs go to files, which are printed if
//! the test fails.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::eventually::{eventually, eventually_blocking, eventually_now};
use crate::mutants;

/// The programs that the rig runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The gRPC server.
    Intake,
    /// One worker process.
    Worker,
    /// The command-line client.
    Draftsman,
}

impl Program {
    /// The name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Program::Intake => "intake",
            Program::Worker => "worker",
            Program::Draftsman => "draftsman",
        }
    }

    /// The package of the program.
    fn package(self) -> &'static str {
        match self {
            Program::Intake => "intake",
            Program::Worker => "worker",
            Program::Draftsman => "cli",
        }
    }

    /// The path of its binary. The first call builds all three, unless [`build_only`] was called
    /// before.
    ///
    /// # Panics
    /// If the build fails.
    pub fn path(self) -> PathBuf {
        let all = [Program::Intake, Program::Worker, Program::Draftsman];
        match BUILT.get_or_init(|| build(&all)) {
            Ok(dir) => dir.join(self.name()),
            Err(why) => panic!("the programs do not build: {why}"),
        }
    }
}

/// The directory of the programs. A failed build is kept too: it fails all tests without another
/// build.
static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Builds only these programs, for a process that needs no others. Has no effect after the first
/// use of any program.
pub fn build_only(programs: &[Program]) {
    BUILT.get_or_init(|| build(programs));
}

/// Builds the programs and returns their directory.
fn build(programs: &[Program]) -> Result<PathBuf, String> {
    // After a build of the whole workspace, cargo would build a part of it again, because fewer
    // packages enable fewer features of shared dependencies.
    if let Some(dir) = std::env::var_os("DRAFTSMAN_TEST_BIN_DIR") {
        return Ok(workspace_dir().join(dir));
    }
    let profile_dir = profile_dir();
    let target_dir = profile_dir
        .parent()
        .expect("a profile directory lies in a target directory");
    // Set by `cargo test` and `cargo run`.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet"])
        .args(programs.iter().flat_map(|p| ["-p", p.package()]))
        .current_dir(workspace_dir())
        .env("CARGO_TARGET_DIR", target_dir);
    match profile_dir.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => {
            command.args(["--features", "worker/fail-points,intake/fail-points"]);
        }
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(profile_dir)
    } else {
        Err(format!(
            "{command:?}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

/// `target/debug` for `target/debug/deps/suite-…`, or `target/release` for `target/release/bench`.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the running program has a path");
    let dir = exe.parent().expect("a file lies in a directory");
    let dir = if dir.ends_with("deps") {
        dir.parent().expect("deps lies in a directory")
    } else {
        dir
    };
    dir.to_owned()
}

/// The root of the workspace.
pub fn workspace_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

/// The signals of [`send_signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGSTOP: suspends the process.
    Stop,
    /// SIGCONT: resumes the process.
    Continue,
}

/// Sends `signal` to the process `pid`, which the caller started and has not reaped.
///
/// # Panics
/// If the process does not exist.
pub fn send_signal(pid: u32, signal: Signal) {
    let name = match signal {
        Signal::Terminate => "TERM",
        Signal::Interrupt => "INT",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    // The shell's built-in `kill`: not every machine has the program of that name.
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .expect("sh runs");
    assert!(status.success(), "no process {pid} to send SIG{name} to");
}

/// The file of a program's events in its directory.
const EVENTS: &str = "events";

/// A running child process. Dropping it kills the process by its handle.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
    dir: TempDir,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `program` with `args` and only the variables of `env`, `PATH` and `HOME`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: Program, args: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("draftsman-log-")
            .tempdir()
            .expect("a temporary directory");
        let file =
            |name| File::create(dir.path().join(name)).expect("a log file in a fresh directory");
        let child = command(program, args, env)
            .env("DRAFTSMAN_TEST_EVENTS", dir.path().join(EVENTS))
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.name()));
        Self {
            program,
            child,
            dir,
            ended: None,
        }
    }

    /// Starts `intake` on a free port.
    pub fn intake(redis_url: &str, env: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("DRAFTSMAN_REDIS_URL", redis_url),
            ("DRAFTSMAN_LISTEN", "127.0.0.1:0"),
        ];
        all.extend_from_slice(env);
        Self::start(Program::Intake, &[], &all)
    }

    /// Starts a `worker`.
    pub fn worker(redis_url: &str, env: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("DRAFTSMAN_REDIS_URL", redis_url),
            ("DRAFTSMAN_CONCURRENCY", "4"),
        ];
        all.extend_from_slice(env);
        Self::start(Program::Worker, &[], &all)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its output on stdout so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).unwrap_or_default()
    }

    /// Its output on stderr so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// Its events of this name so far (see `shared::fail_point::event`).
    ///
    /// # Panics
    /// If a line is not a JSON object.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join(EVENTS)).unwrap_or_default();
        // The last line may be incomplete.
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
        events.filter(|event| event["name"] == name).collect()
    }

    /// Waits for an event of this name with these fields.
    ///
    /// # Panics
    /// If it does not happen within the wait limit.
    pub async fn until_event(&self, name: &str, fields: &[(&str, &str)]) {
        let is_meant = |event: &Value| fields.iter().all(|(field, is)| event[field] == *is);
        eventually_now(&format!("the event {name} {fields:?}"), || {
            let events = self.events(name);
            let found = events.iter().any(is_meant);
            let seen = || format!("{events:?}\n{}", last_lines(&self.stderr(), 20));
            found.then_some(()).ok_or_else(seen)
        })
        .await;
    }

    /// Waits until the program is ready.
    ///
    /// # Panics
    /// If it is not within the wait limit.
    pub async fn until_ready(&self) {
        self.until_event(&format!("{}.ready", self.program.name()), &[])
            .await;
    }

    /// Waits until stderr contains `words`.
    ///
    /// # Panics
    /// If they do not appear within the wait limit.
    pub async fn until_logged(&self, words: &str) {
        eventually(&format!("the log says {words:?}"), async || {
            let log = self.stderr();
            log.contains(words).then_some(()).ok_or(log)
        })
        .await;
    }

    /// The address in the first log line, after `address=`.
    ///
    /// # Panics
    /// If the program ends, or logs a different first line.
    pub async fn address(&mut self) -> String {
        let log = self.dir.path().join("stderr");
        let line = eventually_now("the first log line", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            match text.split_once('\n') {
                Some((line, _)) => Ok(line.to_owned()),
                None if matches!(self.child.try_wait(), Ok(Some(_))) => Ok(text),
                None => Err(text),
            }
        })
        .await;
        let rest = line.split_once("address=").map(|(_, rest)| rest);
        let address = rest.and_then(|rest| rest.split_whitespace().next());
        match address {
            Some(address) => address.trim_matches('"').to_owned(),
            None => panic!(
                "the first log line of {} has no address=…: {line:?}",
                self.program.name()
            ),
        }
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// The exit status if the process has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the state of a child process");
        }
        self.ended
    }

    /// Waits until the process ends.
    ///
    /// # Panics
    /// If it does not end within the wait limit.
    pub async fn wait(&mut self) -> ExitStatus {
        let name = self.program.name();
        eventually_now(&format!("{name} ends"), || {
            self.try_wait().ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    /// Sends SIGTERM and waits until the process ends.
    ///
    /// # Panics
    /// If it does not end within the wait limit.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::Terminate);
        self.wait().await
    }

    /// Sends SIGKILL, which ends the process immediately.
    pub fn kill(&mut self) {
        self.child
            .kill()
            .expect("a child that was not waited for can be killed");
        self.ended = Some(self.child.wait().expect("the state of a child process"));
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "the test harness shows it with the failed test"
    )]
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            self.kill();
        }
        if std::thread::panicking() {
            let (name, pid) = (self.program.name(), self.pid());
            eprintln!(
                "--- {name} (process {pid}), stderr ---\n{}",
                last_lines(&self.stderr(), 60)
            );
            let stdout = self.stdout();
            if !stdout.is_empty() {
                eprintln!(
                    "--- {name} (process {pid}), stdout ---\n{}",
                    last_lines(&stdout, 60)
                );
            }
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Returns the command of a program, without variables of the developer.
pub fn command(program: Program, args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program.path());
    command.args(args).env_clear().envs(env.iter().copied());
    for inherited in ["PATH", "HOME", "TMPDIR", mutants::SCRIPTS_DIR] {
        if let Some(value) = std::env::var_os(inherited) {
            command.env(inherited, value);
        }
    }
    command
}

/// The result of a program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    /// Its output on stdout.
    pub stdout: String,
    /// Its output on stderr.
    pub stderr: String,
}

/// Runs `program` until it ends, without blocking the runtime.
///
/// # Panics
/// If it does not end within the wait limit.
pub async fn run(program: Program, args: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut process = Process::start(program, args, env);
    let status = process.wait().await;
    Finished {
        code: status.code(),
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}

/// As [`run`], for a test without async code.
///
/// # Panics
/// If it does not end within the wait limit.
pub fn run_blocking(program: Program, args: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut process = Process::start(program, args, env);
    let status = eventually_blocking("the program ends", || {
        process.try_wait().ok_or_else(|| "it runs".to_owned())
    });
    Finished {
        code: status.code(),
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}
