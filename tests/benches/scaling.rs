//! Measures how applied issues a second grow with workers and with cores.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::fixture::{Scale, Spread};
use crate::throughput::{self, Applied};

/// The numbers of workers to compare.
const WORKERS: [usize; 4] = [1, 2, 4, 8];

/// Measures 1, 2, 4 and 8 workers on all cores.
pub(crate) async fn by_workers(
    scale: Scale,
    outstanding: usize,
    time: Duration,
) -> Vec<(usize, Applied)> {
    let mut row = Vec::new();
    for n_workers in WORKERS {
        let applied = throughput::measure(scale, Spread::Many, n_workers, outstanding, time);
        row.push((n_workers, applied.await));
    }
    row
}

/// Measures one worker on the first 2, 4, … cores of this machine, up to all of them. Everything
/// else runs on the same cores: this program runs itself under `taskset` and reads the JSON output.
/// Empty on a machine with fewer than 4 cores.
pub(crate) fn by_cores(scale: Scale, outstanding: usize, secs: u64) -> Vec<(usize, Value)> {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut row = Vec::new();
    let mut n = 2;
    while n <= n_cores && n_cores >= 4 {
        row.push((n, on_cores(n, scale, outstanding, secs)));
        n = match n * 2 {
            next if next > n_cores && n < n_cores => n_cores,
            next => next,
        };
    }
    row
}

fn on_cores(n_cores: usize, scale: Scale, outstanding: usize, secs: u64) -> Value {
    let size = match scale {
        Scale::TwoKb => "2kb",
        Scale::HundredKb => "100kb",
    };
    let this = std::env::current_exe().expect("this program has a path");
    let ended = Command::new("taskset")
        .args(["--cpu-list", &format!("0-{}", n_cores - 1)])
        .arg(this)
        .args(["--json", "--figures", "applied", "--spread", "many"])
        .args(["--size", size])
        .args(["--outstanding", &outstanding.to_string()])
        .args(["--secs", &secs.to_string()])
        .output()
        .expect("taskset (util-linux) is there");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "bench on {n_cores} cores: {said}");
    let report: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    report["cases"][0].clone()
}
