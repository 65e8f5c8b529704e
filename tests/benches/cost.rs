//! What a phase cost each process, in CPU time.

use std::time::Duration;

use crate::stand::Stand;

/// CPU time of each process since it started.
#[derive(Debug, Clone)]
pub(crate) struct Cost(Vec<(&'static str, Duration)>);

impl Cost {
    /// What it is now.
    pub(crate) fn read(stand: &Stand) -> Self {
        Self(
            stand
                .processes()
                .into_iter()
                .map(|(name, pid)| (name, cpu_time(pid)))
                .collect(),
        )
    }

    /// CPU milliseconds per issue since `before`, by process.
    pub(crate) fn per_issue_since(
        &self,
        before: &Cost,
        n_issues: usize,
    ) -> Vec<(&'static str, f64)> {
        let pairs = self.0.iter().zip(&before.0);
        pairs
            .map(|((name, after), (_, before))| {
                (
                    *name,
                    after.saturating_sub(*before).as_secs_f64() * 1e3 / n_issues.max(1) as f64,
                )
            })
            .collect()
    }
}

/// User and system time of the process `pid`, from `/proc/<pid>/stat` (proc(5), fields 14 and 15).
/// Nothing where there is no such file.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses and may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap_or(0))
        .sum();
    // The kernel tells user space of 100 ticks a second, whatever it counts by itself.
    Duration::from_millis(ticks * 10)
}
