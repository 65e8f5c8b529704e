//! What intake counts about itself, in Prometheus's text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic::Code;

/// Upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 9] = [0.000_5, 0.001, 0.002_5, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

/// The counters of one server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    calls: Mutex<BTreeMap<&'static str, Calls>>,
    watching: AtomicI64,
}

/// The calls of one RPC.
#[derive(Debug, Default)]
struct Calls {
    by_code: BTreeMap<String, u64>,
    /// How many took at most as long as the bucket of that index; each is counted in one bucket.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// Counts a call that was answered `code` after `took`.
    pub(crate) fn count(&self, rpc: &'static str, code: Code, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut all = self.calls();
        let calls = all.entry(rpc).or_default();
        *calls.by_code.entry(format!("{code:?}")).or_default() += 1;
        if let Some(bucket) = BUCKETS.iter().position(|end| seconds <= *end) {
            calls.buckets[bucket] += 1;
        }
        calls.count += 1;
        calls.seconds += seconds;
    }

    /// Counts an open watch stream as long as the answer lives.
    pub(crate) fn watching(self: std::sync::Arc<Self>) -> Watching {
        self.watching.fetch_add(1, Ordering::Relaxed);
        Watching(self)
    }

    /// All numbers; `ready` is whether Redis answers.
    pub(crate) fn render(&self, ready: bool) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut out, ready);
        out
    }

    fn write(&self, out: &mut String, ready: bool) -> std::fmt::Result {
        writeln!(
            out,
            "# HELP draftsman_intake_ready 1 while Redis answers and intake is not draining."
        )?;
        writeln!(
            out,
            "# TYPE draftsman_intake_ready gauge\ndraftsman_intake_ready {}",
            u8::from(ready)
        )?;
        writeln!(
            out,
            "# HELP draftsman_intake_watch_streams Open WatchIssue streams."
        )?;
        let watching = self.watching.load(Ordering::Relaxed);
        writeln!(
            out,
            "# TYPE draftsman_intake_watch_streams gauge\ndraftsman_intake_watch_streams {watching}"
        )?;
        let all = self.calls();
        writeln!(
            out,
            "# HELP draftsman_intake_calls_total Answered calls by gRPC status code."
        )?;
        writeln!(out, "# TYPE draftsman_intake_calls_total counter")?;
        for (rpc, calls) in all.iter() {
            for (code, count) in &calls.by_code {
                writeln!(
                    out,
                    "draftsman_intake_calls_total{{rpc=\"{rpc}\",code=\"{code}\"}} {count}"
                )?;
            }
        }
        writeln!(
            out,
            "# HELP draftsman_intake_call_seconds Time to answer; of a watch: to its first state."
        )?;
        writeln!(out, "# TYPE draftsman_intake_call_seconds histogram")?;
        for (rpc, calls) in all.iter() {
            let mut up_to = 0;
            for (end, count) in BUCKETS.iter().zip(calls.buckets) {
                up_to += count;
                writeln!(
                    out,
                    "draftsman_intake_call_seconds_bucket{{rpc=\"{rpc}\",le=\"{end}\"}} {up_to}"
                )?;
            }
            writeln!(
                out,
                "draftsman_intake_call_seconds_bucket{{rpc=\"{rpc}\",le=\"+Inf\"}} {}",
                calls.count
            )?;
            writeln!(
                out,
                "draftsman_intake_call_seconds_sum{{rpc=\"{rpc}\"}} {}",
                calls.seconds
            )?;
            writeln!(
                out,
                "draftsman_intake_call_seconds_count{{rpc=\"{rpc}\"}} {}",
                calls.count
            )?;
        }
        Ok(())
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<&'static str, Calls>> {
        // A panic in between leaves numbers that are still numbers.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open watch stream.
#[derive(Debug)]
pub(crate) struct Watching(std::sync::Arc<Metrics>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watching.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn numbers_are_rendered_as_prometheus_reads_them() {
        let metrics = Arc::new(Metrics::default());
        metrics.count("GetIssue", Code::Ok, Duration::from_millis(2));
        metrics.count("GetIssue", Code::NotFound, Duration::from_secs(60));
        let watching = metrics.clone().watching();
        let text = metrics.render(true);
        for line in [
            "draftsman_intake_ready 1",
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
        assert!(
            metrics
                .render(false)
                .contains("draftsman_intake_watch_streams 0")
        );
    }
}
