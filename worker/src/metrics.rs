//! The worker's metrics as Prometheus text, and its liveness and readiness.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use shared::domain::enhance_log::SpawnerUsage;
use shared::telemetry::probes::{Probe, ProbeAnswer};
use shared::telemetry::prometheus::Numbers;
use shared::whole_ms::whole_ms;

/// Maximum number of label values that come from documents (step names, model names). Later names
/// are recorded as `other`.
const MOST_NAMES: usize = 100;

/// Counters since the worker started.
pub(crate) struct Metrics {
    pub(crate) claimed: Counter,
    pub(crate) applied: Counter,
    pub(crate) denied: Counter,
    pub(crate) failed: Counter,
    pub(crate) put_off: Counter,
    pub(crate) handed_back: Counter,
    pub(crate) lost: Counter,
    pub(crate) stale: Counter,
    pub(crate) reaped: Counter,
    pub(crate) repaired: Counter,
    started: Instant,
    /// For each shard, milliseconds from the start to the last successful heartbeat; 0: none yet.
    last_beats_ms: Box<[AtomicU64]>,
}

impl Metrics {
    /// Registers all counters at zero, if a recorder is installed (see
    /// [`shared::telemetry::numbers`](shared::telemetry::prometheus)).
    pub(crate) fn new(n_shards: usize) -> Metrics {
        describe();
        let registered = |counter: Counter| {
            counter.absolute(0);
            counter
        };
        let ended =
            |outcome| registered(counter!("draftsman_worker_ended_total", "outcome" => outcome));
        Metrics {
            claimed: registered(counter!("draftsman_worker_claimed_total")),
            applied: ended("applied"),
            denied: ended("denied"),
            failed: ended("failed"),
            put_off: ended("put_off"),
            handed_back: ended("handed_back"),
            lost: ended("lost"),
            stale: ended("stale"),
            reaped: registered(counter!("draftsman_worker_reaped_total")),
            repaired: registered(counter!("draftsman_worker_repaired_total")),
            started: Instant::now(),
            last_beats_ms: (0..n_shards).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Adds one to a counter.
    pub(crate) fn count(counter: &Counter) {
        counter.increment(1);
    }

    /// Records a successful heartbeat in this shard.
    pub(crate) fn has_beaten(&self, shard: usize) {
        self.last_beats_ms[shard].store(whole_ms(self.started.elapsed()).max(1), Relaxed);
    }

    /// Answers a probe. A worker is ready if a heartbeat succeeded within one lease in every shard.
    pub(crate) fn answer(
        &self,
        probe: Probe,
        lease: Duration,
        n_open: usize,
        numbers: &Numbers,
    ) -> ProbeAnswer {
        match probe {
            Probe::Live => ProbeAnswer::Good("alive\n".to_owned()),
            Probe::Ready => {
                let beats = self.last_beats_ms.iter().map(|beat| beat.load(Relaxed));
                let last = beats.min().unwrap_or(0);
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
            Probe::Metrics => {
                gauge!("draftsman_worker_open").set(n_open as f64);
                ProbeAnswer::Good(numbers.render())
            }
        }
    }
}

fn describe() {
    describe_counter!(
        "draftsman_worker_claimed_total",
        "Issues that this worker has claimed."
    );
    describe_counter!(
        "draftsman_worker_ended_total",
        "How claims of this worker have ended; put_off: a retry later, stale: decided elsewhere."
    );
    describe_counter!(
        "draftsman_worker_reaped_total",
        "Leases of dead or stalled workers that this worker has ended."
    );
    describe_counter!(
        "draftsman_worker_repaired_total",
        "Queues whose record this worker has found untrue and mended; 0 unless Redis lost something."
    );
    describe_gauge!(
        "draftsman_worker_open",
        "Issues that this worker is working on."
    );
    describe_histogram!(
        "draftsman_worker_wait_seconds",
        "From acceptance to the first claim."
    );
    describe_histogram!(
        "draftsman_worker_issue_seconds",
        "From a claim to its end, whatever that is."
    );
    describe_histogram!(
        "draftsman_worker_step_seconds",
        "Time of one step of an orbit, by its name."
    );
    describe_counter!(
        "draftsman_worker_model_tokens_total",
        "Tokens sent to and received from models."
    );
    describe_counter!("draftsman_worker_model_calls_total", "Calls of models.");
    describe_histogram!(
        "draftsman_redis_call_seconds",
        "Time of a call of Redis, by its name."
    );
    describe_counter!(
        "draftsman_redis_errors_total",
        "Calls of Redis that failed, by their name."
    );
}

/// Returns the histogram for durations of the step of this name.
pub(crate) fn step_timer(name: &str) -> Histogram {
    static NAMES: Names = Names::new();
    histogram!("draftsman_worker_step_seconds", "step" => NAMES.label(name))
}

/// Records the wait of an issue before its first claim.
pub(crate) fn waited(wait: Duration) {
    histogram!("draftsman_worker_wait_seconds").record(wait);
}

/// Records the duration of a claim.
pub(crate) fn claim_ended(took: Duration) {
    histogram!("draftsman_worker_issue_seconds").record(took);
}

/// Records the model usage of a flow; does nothing if the flow used no model.
pub(crate) fn used(usage: &SpawnerUsage) {
    static MODELS: Names = Names::new();
    if usage.model.is_empty() {
        return;
    }
    let model = MODELS.label(&usage.model);
    for (direction, n_tokens) in [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
    ] {
        counter!("draftsman_worker_model_tokens_total", "model" => model.clone(), "direction" => direction)
            .increment(n_tokens);
    }
    counter!("draftsman_worker_model_calls_total", "model" => model).increment(usage.calls.into());
}

/// A bounded set of label values from documents. The bound exists because Prometheus keeps every
/// label value.
struct Names(Mutex<Option<HashSet<String>>>);

impl Names {
    const fn new() -> Names {
        Names(Mutex::new(None))
    }

    fn label(&self, name: &str) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if known.contains(name) || (known.len() < MOST_NAMES && known.insert(name.to_owned())) {
            name.to_owned()
        } else {
            "other".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::telemetry::prometheus;

    use super::*;

    #[test]
    fn labels_from_documents_are_bounded() {
        let names = Names::new();
        for n in 0..MOST_NAMES {
            assert_eq!(names.label(&n.to_string()), n.to_string());
        }
        assert_eq!(names.label("one more"), "other");
        assert_eq!(names.label("7"), "7");
    }

    #[test]
    fn ready_means_that_redis_answers() {
        let numbers = prometheus::record();
        let metrics = Metrics::new(1);
        let lease = Duration::from_secs(15);
        assert!(matches!(
            metrics.answer(Probe::Ready, lease, 0, &numbers),
            ProbeAnswer::Bad(_)
        ));
        metrics.has_beaten(0);
        assert!(matches!(
            metrics.answer(Probe::Ready, lease, 0, &numbers),
            ProbeAnswer::Good(_)
        ));
    }

    #[test]
    fn the_text_names_every_outcome() {
        let numbers = prometheus::record();
        let metrics = Metrics::new(1);
        Metrics::count(&metrics.denied);
        step_timer("draft").record(Duration::from_millis(3));
        let answer = metrics.answer(Probe::Metrics, Duration::ZERO, 3, &numbers);
        let ProbeAnswer::Good(text) = answer else {
            panic!("metrics are always there");
        };
        assert!(
            text.contains("draftsman_worker_ended_total{outcome=\"denied\"} 1"),
            "{text}"
        );
        assert!(text.contains("draftsman_worker_open 3"), "{text}");
        let step = "draftsman_worker_step_seconds_bucket{step=\"draft\",le=\"0.005\"} 1";
        assert!(text.contains(step), "{text}");
    }
}
