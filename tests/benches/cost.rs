//! The CPU time and memory that a phase costs each process.

use std::time::Duration;

use crate::fixture::Fixture;

/// CPU time of each kind of process since it started.
#[derive(Debug, Clone)]
pub(crate) struct Cost(Vec<(&'static str, Duration)>);

impl Cost {
    /// Reads the present CPU times.
    pub(crate) fn read(fixture: &Fixture) -> Self {
        Self(
            fixture
                .processes()
                .into_iter()
                .map(|(name, pids)| (name, pids.into_iter().map(cpu_time).sum()))
                .collect(),
        )
    }

    /// CPU milliseconds per issue since `before`, by process.
    pub(crate) fn per_issue_since(
        &self,
        before: &Cost,
        n_issues: usize,
    ) -> Vec<(&'static str, f64)> {
        self.since(before, 1e3 / n_issues.max(1) as f64)
    }

    /// The number of cores that each kind of process used since `before`, over the time `elapsed`.
    pub(crate) fn cores_since(&self, before: &Cost, elapsed: Duration) -> Vec<(&'static str, f64)> {
        self.since(before, 1.0 / elapsed.as_secs_f64())
    }

    /// CPU seconds since `before`, times `factor`.
    fn since(&self, before: &Cost, factor: f64) -> Vec<(&'static str, f64)> {
        let pairs = self.0.iter().zip(&before.0);
        pairs
            .map(|((name, after), (_, before))| {
                let spent = after.saturating_sub(*before).as_secs_f64();
                (*name, spent * factor)
            })
            .collect()
    }
}

/// Resident memory of each kind of process, in bytes. Empty if the system does not report it.
pub(crate) fn resident(fixture: &Fixture) -> Vec<(&'static str, u64)> {
    let of = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    fixture
        .processes()
        .into_iter()
        .map(|(name, pids)| (name, pids.into_iter().map(of).sum()))
        .collect()
}

/// User and system time of the process `pid`, from `/proc/<pid>/stat` (proc(5), fields 14 and 15).
/// Zero if the file does not exist.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses and can contain any character.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap_or(0))
        .sum();
    // Linux reports 100 ticks a second to user space, independent of its internal clock rate.
    Duration::from_millis(ticks * 10)
}
