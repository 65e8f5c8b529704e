//! What a program counts, for Prometheus: the crate `metrics` with its exporter, which only renders here; `probes` serves it.
//!
//! Without a recorder every counter is nearly free, so a program that serves no metrics does not call [`record`]. Labels are
//! of few values: names of calls, outcomes, steps. Never an id.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper ends of a histogram's buckets, in seconds: from a call of Redis to a flow with slow models.
const BUCKETS: [f64; 11] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0,
];
/// How often [`Numbers::tidy`] is to be called.
pub const TIDY_EVERY: Duration = Duration::from_secs(2);

/// The numbers of this process.
#[derive(Clone)]
pub struct Numbers(PrometheusHandle);

/// Begins to record, if this process does not yet. To be called before anything is counted.
///
/// # Panics
/// If something else records in this process.
pub fn record() -> Numbers {
    static NUMBERS: OnceLock<Numbers> = OnceLock::new();
    NUMBERS
        .get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
                .expect("there are buckets")
                .install_recorder()
                .expect("nothing else sets a recorder");
            Numbers(handle)
        })
        .clone()
}

impl Numbers {
    /// All of them as Prometheus reads them.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves what histograms collected to where it takes no more room, for times when nobody asks.
    pub fn tidy(&self) {
        self.0.run_upkeep();
    }
}
