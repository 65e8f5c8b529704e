//! What this worker counts, as Prometheus text, and whether it is alive and ready.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use shared::telemetry::probes::{Probe, ProbeAnswer};

/// Counters since the worker started.
pub(crate) struct Metrics {
    pub(crate) claimed: AtomicU64,
    pub(crate) applied: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) put_off: AtomicU64,
    pub(crate) handed_back: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) reaped: AtomicU64,
    pub(crate) repaired: AtomicU64,
    started: Instant,
    /// Milliseconds from the start to the last heartbeat that Redis answered; 0: none yet.
    last_beat_ms: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            claimed: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
            handed_back: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            reaped: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
            started: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
        }
    }

    /// One more.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Redis has answered a heartbeat.
    pub(crate) fn has_beaten(&self) {
        self.last_beat_ms
            .store(self.started.elapsed().as_millis().max(1) as u64, Relaxed);
    }

    /// Answers a probe. Ready is a worker whose heartbeat got through within one lease.
    pub(crate) fn answer(&self, probe: Probe, lease: Duration, n_open: usize) -> ProbeAnswer {
        match probe {
            Probe::Live => ProbeAnswer::Good("alive\n".to_owned()),
            Probe::Ready => {
                let last = self.last_beat_ms.load(Relaxed);
                let ago = self
                    .started
                    .elapsed()
                    .saturating_sub(Duration::from_millis(last));
                match last {
                    0 => ProbeAnswer::Bad("waiting for Redis\n".to_owned()),
                    _ if ago > lease => ProbeAnswer::Bad(format!(
                        "Redis has not answered for {} s\n",
                        ago.as_secs()
                    )),
                    _ => ProbeAnswer::Good("ready\n".to_owned()),
                }
            }
            Probe::Metrics => ProbeAnswer::Good(self.text(n_open)),
        }
    }

    fn text(&self, n_open: usize) -> String {
        let mut text = String::new();
        let mut line = |name: &str, kind: &str, help: &str, rows: &[(&str, u64)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        line(
            "draftsman_worker_claimed_total",
            "counter",
            "Issues that this worker has claimed.",
            &[("", read(&self.claimed))],
        );
        line(
            "draftsman_worker_ended_total",
            "counter",
            "How claims of this worker have ended.",
            &[
                ("{outcome=\"applied\"}", read(&self.applied)),
                ("{outcome=\"denied\"}", read(&self.denied)),
                ("{outcome=\"failed\"}", read(&self.failed)),
                ("{outcome=\"put_off\"}", read(&self.put_off)),
                ("{outcome=\"handed_back\"}", read(&self.handed_back)),
                ("{outcome=\"lost\"}", read(&self.lost)),
            ],
        );
        line(
            "draftsman_worker_reaped_total",
            "counter",
            "Leases of dead or stalled workers that this worker has ended.",
            &[("", read(&self.reaped))],
        );
        line(
            "draftsman_worker_repaired_total",
            "counter",
            "Queues whose record this worker has found untrue and mended; 0 unless Redis lost something.",
            &[("", read(&self.repaired))],
        );
        line(
            "draftsman_worker_open",
            "gauge",
            "Issues that this worker is working on.",
            &[("", n_open as u64)],
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_redis_answers() {
        let metrics = Metrics::new();
        let lease = Duration::from_secs(15);
        assert!(matches!(
            metrics.answer(Probe::Ready, lease, 0),
            ProbeAnswer::Bad(_)
        ));
        metrics.has_beaten();
        assert!(matches!(
            metrics.answer(Probe::Ready, lease, 0),
            ProbeAnswer::Good(_)
        ));
    }

    #[test]
    fn the_text_names_every_outcome() {
        let metrics = Metrics::new();
        Metrics::count(&metrics.denied);
        let ProbeAnswer::Good(text) = metrics.answer(Probe::Metrics, Duration::ZERO, 3) else {
            panic!("metrics are always there");
        };
        assert!(
            text.contains("draftsman_worker_ended_total{outcome=\"denied\"} 1"),
            "{text}"
        );
        assert!(text.contains("draftsman_worker_open 3"), "{text}");
    }
}
