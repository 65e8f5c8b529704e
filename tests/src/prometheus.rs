//! A Prometheus that scrapes the programs of a test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::eventually::{eventually, within_wait_limit};
use crate::redis_server::free_port;
use crate::tools::installed;

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
            configuration +=
                &format!("  - {{job_name: {job}, static_configs: [{{targets: {addresses:?}}}]}}\n");
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
