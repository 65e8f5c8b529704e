//! Checks the queue statistics.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use proto::v1::GetQueueStatsResponse;
use shared::store::memory_warning;

use super::Check;
use crate::output::count;

/// Longest normal wait of the oldest issue while workers run. Beyond it the queue is stuck or has
/// too few workers.
const LONG_WAIT: Duration = Duration::from_secs(60);
/// Longest normal wait of a proposal for a person.
const LONG_REVIEW: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest normal difference between the local clock and that of Redis: a slow call.
const CLOCK_DIFFERS: Duration = Duration::from_secs(5);

/// Checks workers, clocks, waiting issues, dead letters, pauses and memory.
pub(in crate::verbs) fn examine(stats: &GetQueueStatsResponse, now: SystemTime) -> Vec<Check> {
    let mut checks = vec![workers(stats)];
    // Ages are differences of times of Redis.
    let redis_now = stats.now.and_then(|now| SystemTime::try_from(now).ok());
    if let Some(redis_now) = redis_now {
        checks.push(clock(redis_now, now));
    }
    let now = redis_now.unwrap_or(now);
    checks.push(waiting(stats, now));
    checks.push(reviews(stats, now));
    checks.push(match stats.dead {
        0 => Check::ok("dead", "no issue is on the dead-letter list"),
        n => Check::warn(
            "dead",
            format!("{} on the dead-letter list", count(n, "issue")),
            "`draftsman issues --dead` lists them with their reasons; `draftsman retry` submits one again",
        ),
    });
    checks.push(match (stats.paused, stats.paused_blueprint_ids.len()) {
        (true, _) => Check::warn(
            "paused",
            "everything is paused: issues are accepted and wait",
            "resume the queue",
        ),
        (false, 0) => Check::ok("paused", "nothing is paused"),
        (false, n) => Check::warn(
            "paused",
            format!("{} paused: issues wait", count(n as u64, "Blueprint")),
            "`draftsman stats` names them; resume them",
        ),
    });
    checks.push(memory(stats.used_memory, stats.max_memory));
    checks
}

fn workers(stats: &GetQueueStatsResponse) -> Check {
    match stats.workers.len() {
        0 => Check::bad(
            "workers",
            "no worker was seen within the last minute: issues are accepted and wait",
            "start a worker on the same Redis, or look at the log of one that should run",
        ),
        n => Check::ok(
            "workers",
            format!(
                "{} connected, {} in flight",
                count(n as u64, "worker"),
                count(stats.in_flight, "issue")
            ),
        ),
    }
}

fn clock(redis_now: SystemTime, now: SystemTime) -> Check {
    let differs = now
        .duration_since(redis_now)
        .unwrap_or_else(|ahead| ahead.duration());
    if differs > CLOCK_DIFFERS {
        Check::warn(
            "clock",
            format!(
                "this machine's clock and that of Redis differ by {} s",
                differs.as_secs()
            ),
            "synchronize both with NTP; Draftsman uses Redis' clock, but the ages shown here are wrong",
        )
    } else {
        Check::ok("clock", "this machine's clock and that of Redis agree")
    }
}

fn waiting(stats: &GetQueueStatsResponse, now: SystemTime) -> Check {
    let age = age(stats.oldest_pending_at, now);
    let found = match stats.pending {
        0 => "no issue waits".to_owned(),
        n => {
            let issues = count(n, "issue");
            format!("{issues} waiting, the oldest for {} s", age.as_secs())
        }
    };
    let is_held = stats.paused || !stats.paused_blueprint_ids.is_empty();
    if age < LONG_WAIT || stats.workers.is_empty() || is_held {
        Check::ok("queue", found)
    } else if stats.in_flight == 0 && stats.delayed == 0 {
        Check::bad(
            "queue",
            format!("{found}, and nothing is in flight although workers are connected"),
            "look at the workers' logs; if a worker hangs, stop it: others take over its issues",
        )
    } else {
        Check::warn(
            "queue",
            found,
            "add workers or raise DRAFTSMAN_CONCURRENCY, unless `draftsman issues` shows temporary errors",
        )
    }
}

fn reviews(stats: &GetQueueStatsResponse, now: SystemTime) -> Check {
    if stats.in_review == 0 {
        return Check::ok("review", "nothing waits for a review");
    }
    let age = age(stats.oldest_in_review_at, now);
    let issues = count(stats.in_review, "issue");
    let hours = age.as_secs() / 3600;
    let found = format!(
        "{issues} in review, the oldest for {}",
        count(hours, "hour")
    );
    if age < LONG_REVIEW {
        return Check::ok("review", found);
    }
    Check::warn(
        "review",
        found,
        "`draftsman review` lists them; a token of scope review decides",
    )
}

/// Returns the time since `at`; zero if it is unset or later.
fn age(at: Option<Timestamp>, now: SystemTime) -> Duration {
    let at = at.and_then(|at| SystemTime::try_from(at).ok());
    at.map_or(Duration::ZERO, |at| {
        now.duration_since(at).unwrap_or_default()
    })
}

fn memory(used: u64, max: u64) -> Check {
    let mebibytes = |bytes: u64| bytes >> 20;
    if max == 0 {
        return Check::warn(
            "memory",
            format!(
                "Redis uses {} MiB and has no limit: the system kills it when memory is short",
                mebibytes(used)
            ),
            "set maxmemory, with maxmemory-policy noeviction; intake then refuses issues before memory is full",
        );
    }
    let percent = u128::from(used) * 100 / u128::from(max);
    let found = format!(
        "Redis uses {} of {} MiB ({percent} %)",
        mebibytes(used),
        mebibytes(max)
    );
    match memory_warning(used, max) {
        Some(warning) if percent >= 90 => Check::bad("memory", warning.found, warning.remedy),
        Some(warning) => Check::warn("memory", warning.found, warning.remedy),
        None => Check::ok("memory", found),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::WorkerStats;

    use super::super::Finding;
    use super::*;

    fn at(secs: i64) -> Option<Timestamp> {
        Some(Timestamp {
            seconds: secs,
            nanos: 0,
        })
    }

    /// Returns the statistics of a healthy queue at 1,000 s.
    fn healthy() -> GetQueueStatsResponse {
        GetQueueStatsResponse {
            pending: 1,
            oldest_pending_at: at(995),
            workers: vec![WorkerStats {
                worker_id: "w".to_owned(),
                in_flight: 0,
                last_seen: at(998),
                version: String::new(),
            }],
            now: at(1000),
            used_memory: 10 << 20,
            max_memory: 100 << 20,
            ..Default::default()
        }
    }

    fn not_ok(stats: &GetQueueStatsResponse) -> Vec<(&'static str, Finding)> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let checks = examine(stats, now).into_iter();
        let not_ok = checks.filter(|check| check.finding != Finding::Ok);
        not_ok
            .inspect(|check| assert!(!check.remedy.is_empty(), "{check:?}"))
            .map(|check| (check.name, check.finding))
            .collect()
    }

    #[test]
    fn each_fault_is_found_and_nothing_else() {
        use Finding::{Bad, Warn};
        assert_eq!(not_ok(&healthy()), []);
        type Change = fn(&mut GetQueueStatsResponse);
        let cases: [(Change, (&str, Finding)); 11] = [
            (|s| s.workers.clear(), ("workers", Bad)),
            (|s| s.now = at(1010), ("clock", Warn)),
            (|s| s.now = at(990), ("clock", Warn)),
            (|s| s.oldest_pending_at = at(900), ("queue", Bad)),
            (
                |s| {
                    s.oldest_pending_at = at(900);
                    s.in_flight = 1;
                },
                ("queue", Warn),
            ),
            (
                |s| {
                    s.in_review = 2;
                    s.oldest_in_review_at = at(-90_000);
                },
                ("review", Warn),
            ),
            (|s| s.dead = 2, ("dead", Warn)),
            (|s| s.paused = true, ("paused", Warn)),
            (
                |s| s.paused_blueprint_ids = vec!["a".to_owned()],
                ("paused", Warn),
            ),
            (|s| s.max_memory = 0, ("memory", Warn)),
            (|s| s.used_memory = 95 << 20, ("memory", Bad)),
        ];
        for (change, expected) in cases {
            let mut stats = healthy();
            change(&mut stats);
            assert_eq!(not_ok(&stats), [expected]);
        }
    }
}
