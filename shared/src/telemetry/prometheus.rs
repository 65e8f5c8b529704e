//! Metrics for Prometheus: the crate `metrics` with an exporter that only renders. `probes` serves
//! the result.
//!
//! Without a recorder, counters cost almost nothing. So a program without a metrics endpoint does
//! not call [`record`]. Labels have few values, such as names of calls, outcomes and steps. A label
//! never holds an id.
//!
//! Set a gauge when it is rendered or every [`TIDY_EVERY`]; never increment it. A gauge that is not
//! set again is dropped, so an outage never looks like the last value before it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

/// Upper bounds of histogram buckets, in seconds: from a Redis call to a flow with slow models.
const BUCKETS: [f64; 11] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0,
];
const BUILD_INFO: &str = "draftsman_build_info";
/// Time after which a gauge without a new value is no longer exported: its source is unavailable.
/// Several times [`TIDY_EVERY`], the interval of new values.
const GAUGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval of calls to [`Numbers::tidy`], and of new values of gauges.
pub const TIDY_EVERY: Duration = Duration::from_secs(2);

/// The metrics of this process.
#[derive(Clone)]
pub struct Numbers {
    handle: PrometheusHandle,
    /// CPU time, memory, threads and file descriptors of this process.
    process: metrics_process::Collector,
}

/// Installs the recorder unless this process already has it. Call it before the first sample.
///
/// # Panics
/// If this process has another recorder.
pub fn record() -> Numbers {
    static NUMBERS: OnceLock<Numbers> = OnceLock::new();
    NUMBERS
        .get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
                .expect("there are buckets")
                .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_TIMEOUT))
                .install_recorder()
                .expect("nothing else sets a recorder");
            let process = metrics_process::Collector::default();
            process.describe();
            describe_gauge!(
                BUILD_INFO,
                "The version of the program; the value is always 1."
            );
            Numbers { handle, process }
        })
        .clone()
}

impl Numbers {
    /// Returns all metrics in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.process.collect();
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1);
        self.handle.render()
    }

    /// Aggregates histogram samples. This bounds their memory when no client scrapes the metrics.
    pub fn tidy(&self) {
        self.handle.run_upkeep();
    }
}
