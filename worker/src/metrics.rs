//! The worker's metrics as Prometheus text, and its liveness and readiness.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use shared::domain::enhance_log::{SpawnerUsage, Verdict, VerdictStatus};
use shared::telemetry::probes::{Probe, ProbeAnswer};
use shared::telemetry::prometheus::{Numbers, TIDY_EVERY};
use shared::whole_ms::whole_ms;
use tokio_util::sync::CancellationToken;

/// Maximum number of label values that come from documents (step names, model names). Later names
/// are recorded as `other`.
const MOST_NAMES: usize = 100;
/// The names of models in labels.
static MODELS: Names = Names::new();
/// The number of open issues of all workers of this process: `draftsman up` runs several.
static N_OPEN: AtomicUsize = AtomicUsize::new(0);

/// Counters since the worker started.
pub(crate) struct Metrics {
    pub(crate) claimed: Counter,
    pub(crate) applied: Counter,
    pub(crate) in_review: Counter,
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
            in_review: ended("in_review"),
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

    /// Returns the time since every shard last had a successful heartbeat; `None` before the first.
    fn last_beat(&self) -> Option<Duration> {
        let beats = self.last_beats_ms.iter().map(|beat| beat.load(Relaxed));
        let last = beats.min().filter(|last| *last > 0)?;
        let elapsed = self.started.elapsed();
        Some(elapsed.saturating_sub(Duration::from_millis(last)))
    }

    /// Answers a probe. A worker is ready if a heartbeat succeeded within one lease in every shard.
    pub(crate) fn answer(&self, probe: Probe, lease: Duration, numbers: &Numbers) -> ProbeAnswer {
        match probe {
            Probe::Live => ProbeAnswer::Good("alive\n".to_owned()),
            Probe::Ready => match self.last_beat() {
                None => ProbeAnswer::Bad("waiting for Redis\n".to_owned()),
                Some(ago) if ago > lease => {
                    ProbeAnswer::Bad(format!("Redis has not answered for {} s\n", ago.as_secs()))
                }
                Some(_) => ProbeAnswer::Good("ready\n".to_owned()),
            },
            Probe::Metrics => {
                let is_redis_up = self.last_beat().is_some_and(|ago| ago <= lease);
                gauge!("draftsman_redis_up").set(u8::from(is_redis_up));
                set_open();
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
    describe_gauge!(
        "draftsman_redis_up",
        "1 while heartbeats reach Redis in every shard."
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
        "draftsman_worker_model_seconds",
        "Time of a request to a model, failed ones included."
    );
    describe_counter!(
        "draftsman_worker_model_errors_total",
        "Failed requests to models; temporary ones are retried."
    );
    describe_counter!(
        "draftsman_worker_denials_total",
        "Verdicts that denied a commit, by axis."
    );
    describe_counter!(
        "draftsman_worker_previews_total",
        "Previews by their outcome."
    );
    describe_histogram!("draftsman_worker_preview_seconds", "Time of a preview.");
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

/// Counts an issue as open, until it is passed to [`closed`].
pub(crate) fn opened() {
    N_OPEN.fetch_add(1, Relaxed);
}

/// Uncounts an open issue.
pub(crate) fn closed() {
    N_OPEN.fetch_sub(1, Relaxed);
}

fn set_open() {
    gauge!("draftsman_worker_open").set(N_OPEN.load(Relaxed) as f64);
}

/// Sets the gauges until `stop`, for a worker whose metrics another part of the process serves.
pub(crate) async fn keep_gauges(stop: CancellationToken) {
    let setting = async {
        loop {
            set_open();
            tokio::time::sleep(TIDY_EVERY).await;
        }
    };
    stop.run_until_cancelled(setting).await;
}

/// Counts the axes that denied a commit.
pub(crate) fn denied(verdicts: &[Verdict]) {
    static AXES: Names = Names::new();
    let denying = |verdict: &&Verdict| verdict.status == VerdictStatus::Deny;
    for verdict in verdicts.iter().filter(denying) {
        let axis = AXES.label(&verdict.axis);
        counter!("draftsman_worker_denials_total", "axis" => axis).increment(1);
    }
}

/// How a request to a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModelRequest {
    Answered,
    FailedTemporarily,
    FailedPermanently,
}

/// Records a request to a model.
pub(crate) fn asked_model(name: &str, took: Duration, ended: ModelRequest) {
    let model = MODELS.label(name);
    histogram!("draftsman_worker_model_seconds", "model" => model.clone()).record(took);
    for (kind, counted) in [
        ("temporary", ModelRequest::FailedTemporarily),
        ("permanent", ModelRequest::FailedPermanently),
    ] {
        // Also adds 0, because a rate needs a sample before the first error.
        counter!("draftsman_worker_model_errors_total", "model" => model.clone(), "kind" => kind)
            .increment(u64::from(ended == counted));
    }
}

/// Records a preview.
pub(crate) fn previewed(outcome: &'static str, took: Duration) {
    counter!("draftsman_worker_previews_total", "outcome" => outcome).increment(1);
    histogram!("draftsman_worker_preview_seconds").record(took);
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
            metrics.answer(Probe::Ready, lease, &numbers),
            ProbeAnswer::Bad(_)
        ));
        metrics.has_beaten(0);
        assert!(matches!(
            metrics.answer(Probe::Ready, lease, &numbers),
            ProbeAnswer::Good(_)
        ));
    }

    #[test]
    fn the_text_names_every_outcome() {
        let numbers = prometheus::record();
        let metrics = Metrics::new(1);
        Metrics::count(&metrics.denied);
        step_timer("draft").record(Duration::from_millis(3));
        let verdict = |axis: &str, status| Verdict {
            axis: axis.to_owned(),
            status,
            detail: String::new(),
        };
        denied(&[
            verdict("des", VerdictStatus::Pass),
            verdict("size", VerdictStatus::Deny),
            verdict("human-review", VerdictStatus::Review),
        ]);
        asked_model(
            "model-1",
            Duration::from_secs(3),
            ModelRequest::FailedTemporarily,
        );
        let answer = metrics.answer(Probe::Metrics, Duration::ZERO, &numbers);
        let ProbeAnswer::Good(text) = answer else {
            panic!("metrics are always there");
        };
        assert!(
            text.contains("draftsman_worker_ended_total{outcome=\"denied\"} 1"),
            "{text}"
        );
        assert!(text.contains("draftsman_worker_open "), "{text}");
        for line in [
            "draftsman_worker_denials_total{axis=\"size\"} 1",
            "draftsman_worker_model_errors_total{model=\"model-1\",kind=\"temporary\"} 1",
            "draftsman_worker_model_errors_total{model=\"model-1\",kind=\"permanent\"} 0",
            "draftsman_worker_model_seconds_count{model=\"model-1\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("axis=\"des\""), "{text}");
        let step = "draftsman_worker_step_seconds_bucket{step=\"draft\",le=\"0.005\"} 1";
        assert!(text.contains(step), "{text}");
    }
}
