//! Metrics of intake and of the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use shared::telemetry::prometheus::Numbers;
use tonic::Code;

const READY: &str = "draftsman_intake_ready";
const WATCH_STREAMS: &str = "draftsman_intake_watch_streams";
const REDIS_UP: &str = "draftsman_redis_up";

/// Describes the metrics and registers those that must be visible before their first sample.
pub(crate) fn describe() {
    describe_gauge!(READY, "1 while Redis answers and intake is not draining.");
    describe_gauge!(
        WATCH_STREAMS,
        "Open streams of WatchIssue and WatchBlueprints."
    );
    describe_gauge!(REDIS_UP, "1 while Redis answers and is usable.");
    describe_counter!(
        "draftsman_intake_calls_total",
        "Answered calls by gRPC status code."
    );
    describe_histogram!(
        "draftsman_intake_call_seconds",
        "Time to answer; of a watch: until its stream is open."
    );
    describe_counter!(
        "draftsman_intake_refused_total",
        "Connections and calls that were refused before they reached a service."
    );
    describe_histogram!(
        "draftsman_redis_call_seconds",
        "Time of a call of Redis, by its name."
    );
    describe_counter!(
        "draftsman_redis_errors_total",
        "Calls of Redis that failed, by their name."
    );
    describe_gauge!(
        "draftsman_queue_issues",
        "Issues by state; pending ones are ready, delayed, parked or behind another; those in review \
         wait for a person."
    );
    describe_gauge!(
        "draftsman_queue_oldest_seconds",
        "Age of the oldest waiting issue, without paused queues; 0 if none waits."
    );
    describe_gauge!(
        "draftsman_queue_oldest_review_seconds",
        "Age of the oldest proposal that waits for a review; 0 if none waits."
    );
    describe_gauge!("draftsman_queue_paused", "1 while everything is paused.");
    describe_gauge!(
        "draftsman_queue_paused_blueprints",
        "Blueprints that are paused individually."
    );
    describe_gauge!(
        "draftsman_queue_workers",
        "Workers seen within the last minute."
    );
    describe_gauge!(
        "draftsman_redis_memory_bytes",
        "Memory that Redis uses, and its limit; limit 0: no limit."
    );
    describe_counter!(
        "draftsman_queue_submitted_total",
        "Issues accepted since the store was created, by any intake."
    );
    describe_counter!(
        "draftsman_queue_proposed_total",
        "Proposals for a review since the store was created, by any worker."
    );
    describe_counter!(
        "draftsman_queue_decided_total",
        "Issues decided since the store was created, by any program."
    );
    for why in ["actor", "connections", "token"] {
        counter!("draftsman_intake_refused_total", "why" => why).absolute(0);
    }
}

/// Counts a call that returned `code` after `took`.
pub(crate) fn count(rpc: &'static str, code: Code, took: Duration) {
    counter!("draftsman_intake_calls_total", "rpc" => rpc, "code" => format!("{code:?}"))
        .increment(1);
    histogram!("draftsman_intake_call_seconds", "rpc" => rpc).record(took);
}

/// The state of intake at a scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScrapedState {
    /// Whether Redis answers and is prepared.
    pub(crate) is_redis_up: bool,
    /// Whether intake accepts calls.
    pub(crate) is_ready: bool,
    /// The number of open watch streams.
    pub(crate) n_watches: usize,
}

/// Returns all metrics in the Prometheus text format.
pub(crate) fn render(numbers: &Numbers, state: ScrapedState) -> String {
    gauge!(READY).set(u8::from(state.is_ready));
    gauge!(REDIS_UP).set(u8::from(state.is_redis_up));
    gauge!(WATCH_STREAMS).set(state.n_watches as f64);
    numbers.render()
}

/// An open watch stream.
#[derive(Debug)]
pub(crate) struct Watching(pub(crate) Arc<AtomicUsize>);

impl Watching {
    /// Counts one more stream in `open`; `None` if `max` are open.
    pub(crate) fn begin(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let more = |n: usize| (n < max).then_some(n + 1);
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use shared::telemetry::prometheus;

    use super::*;

    #[test]
    fn numbers_are_rendered_as_prometheus_reads_them() {
        let numbers = prometheus::record();
        describe();
        count("GetIssue", Code::Ok, Duration::from_millis(2));
        count("GetIssue", Code::NotFound, Duration::from_secs(1000));
        let open = Arc::<AtomicUsize>::default();
        let state = |is_ready| ScrapedState {
            is_redis_up: is_ready,
            is_ready,
            n_watches: open.load(Ordering::Relaxed),
        };
        let watching = Watching::begin(&open, 1);
        assert!(Watching::begin(&open, 1).is_none());
        let text = render(&numbers, state(true));
        for line in [
            "draftsman_intake_ready 1",
            "draftsman_redis_up 1",
            "draftsman_intake_watch_streams 1",
            "draftsman_intake_calls_total{rpc=\"GetIssue\",code=\"NotFound\"} 1",
            "draftsman_intake_call_seconds_bucket{rpc=\"GetIssue\",le=\"0.001\"} 0",
            "draftsman_intake_call_seconds_bucket{rpc=\"GetIssue\",le=\"10\"} 1",
            "draftsman_intake_call_seconds_bucket{rpc=\"GetIssue\",le=\"+Inf\"} 2",
            "draftsman_intake_call_seconds_count{rpc=\"GetIssue\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        drop(watching);
        let text = render(&numbers, state(false));
        for line in ["draftsman_intake_watch_streams 0", "draftsman_redis_up 0"] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
