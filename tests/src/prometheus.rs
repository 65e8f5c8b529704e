//! Debian's `prometheus` and `promtool`, for the checks of alert rules and dashboards.
//!
//! Without them the tests print a reason and pass, except if `CI` is `true`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::eventually::{eventually, within_wait_limit};
use crate::redis_server::free_port;

/// Returns the path of an installed program; `None`, with a printed reason, if it is missing.
///
/// # Panics
/// If it is missing and `CI` is `true`.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    let found = candidates.find(|candidate| candidate.is_file());
    if found.is_none() {
        let reason = format!("no {program}: apt-get install prometheus");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        println!("skipped: {reason}");
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

/// A running Prometheus with its data in a temporary directory.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    promtool: PathBuf,
    url: String,
    _dir: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Prometheus {
    /// Starts a Prometheus that scrapes each address every second, under its job. Returns `None`,
    /// with a printed reason, if the programs are missing.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(targets: &[(&str, &str)]) -> Option<Self> {
        let (program, promtool) = (installed("prometheus")?, installed("promtool")?);
        let dir = tempfile::tempdir().expect("a directory");
        let mut jobs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (job, address) in targets {
            jobs.entry(job).or_default().push(address);
        }
        let mut configuration =
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
        for (job, addresses) in jobs {
            configuration += &format!(
                "  - {{job_name: {job}, static_configs: [{{targets: {addresses:?}}}]}}\n"
            );
        }
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, configuration).expect("the configuration");
        let listen = format!("127.0.0.1:{}", free_port());
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().display()))
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts");
        let started = Self {
            child,
            promtool,
            url: format!("http://{listen}"),
            _dir: dir,
        };
        eventually("Prometheus answers", async || {
            started.ask("vector(1)").await.map(drop)
        })
        .await;
        Some(started)
    }

    /// Returns the samples of an instant query, as in the HTTP API of Prometheus.
    ///
    /// # Errors
    /// The message of promtool.
    ///
    /// # Panics
    /// If promtool prints no JSON.
    pub async fn ask(&self, query: &str) -> Result<Vec<Value>, String> {
        let asking = tokio::process::Command::new(&self.promtool)
            .args(["query", "instant", "--format=json", &self.url, query])
            .kill_on_drop(true)
            .output();
        let answer = within_wait_limit("promtool answers", asking).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.status.success() {
            return Err(String::from_utf8_lossy(&answer.stderr).into_owned());
        }
        let samples: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
        Ok(samples.as_array().cloned().unwrap_or_default())
    }
}
