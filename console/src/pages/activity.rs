//! The figures of activity on the overview.

use std::collections::BTreeMap;

use maud::{Markup, html};
use proto::v1;
use proto::v1::ActivityBucket;

use crate::view::chart::{self, Bar, OUTCOMES};
use crate::view::text::{grouped, visible};
use crate::view::time;

/// The choices: the name in the URL, the label, the length in seconds, that of a bar, and its name.
const WINDOWS: [Window; 3] = [
    Window {
        name: "hour",
        window_secs: 3_600,
        bucket_secs: 60,
        unit: "minute",
    },
    Window {
        name: "day",
        window_secs: 86_400,
        bucket_secs: 1_800,
        unit: "half hour",
    },
    Window {
        name: "week",
        window_secs: 7 * 86_400,
        bucket_secs: 3 * 3_600,
        unit: "three hours",
    },
];

/// Rows of the small tables.
const ROWS: usize = 8;

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    name: &'static str,
    window_secs: u64,
    bucket_secs: u64,
    unit: &'static str,
}

impl Window {
    /// Returns the window of a query.
    pub(crate) fn of(name: Option<&str>) -> Window {
        let mut windows = WINDOWS.into_iter();
        windows
            .find(|window| Some(window.name) == name)
            .unwrap_or(WINDOWS[0])
    }

    /// Returns the request for its figures.
    pub(crate) fn request(self) -> v1::GetActivityRequest {
        v1::GetActivityRequest {
            window_secs: self.window_secs,
            bucket_secs: self.bucket_secs,
            blueprint_id: None,
        }
    }
}

fn counts(bucket: &ActivityBucket) -> [u64; 5] {
    [
        bucket.applied,
        bucket.denied,
        bucket.failed,
        bucket.cancelled,
        bucket.declined,
    ]
}

/// Returns the chart, and the tables below it.
pub(crate) fn section(window: Window, buckets: &[ActivityBucket]) -> Markup {
    let bars = buckets.iter().map(|bucket| Bar {
        label: label(window, bucket),
        counts: counts(bucket),
    });
    let bars: Vec<Bar> = bars.collect();
    let mut totals = [0; 5];
    let (mut timed, mut wait, mut run) = (0, 0, 0);
    let mut axes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut models: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for bucket in buckets {
        for (total, n) in totals.iter_mut().zip(counts(bucket)) {
            *total += n;
        }
        timed += bucket.timed;
        wait += bucket.total_wait_ms;
        run += bucket.total_run_ms;
        for (axis, n) in &bucket.denials_by_axis {
            *axes.entry(axis).or_default() += n;
        }
        for tokens in &bucket.tokens_by_model {
            let sum = models.entry(&tokens.model).or_default();
            *sum = (sum.0 + tokens.input_tokens, sum.1 + tokens.output_tokens);
        }
    }
    let average = |sum: u64| match timed {
        0 => "–".to_owned(),
        timed => time::duration(sum / timed),
    };
    html! {
        section {
            div.activity-head {
                h2 { "Decided" }
                nav.choices aria-label="Window" {
                    @for each in WINDOWS {
                        a href={ "/?window=" (each.name) } aria-current=[(each == window).then_some("true")] { "last " (each.name) }
                    }
                }
                ul.legend {
                    @for (name, n) in OUTCOMES.iter().zip(totals) {
                        @if n > 0 || *name == "applied" || *name == "denied" {
                            li { i.(name) aria-hidden="true" {} (grouped(n)) " " (name) }
                        }
                    }
                }
            }
            (chart::bars(&bars, window.unit))
            p.quiet { "Average wait " b { (average(wait)) } ", average run " b { (average(run)) } "." }
        }
        @if !axes.is_empty() || !models.is_empty() {
            div.pair {
                (denials(axes))
                (tokens(models))
            }
        }
    }
}

/// Returns when a bar begins.
fn label(window: Window, bucket: &ActivityBucket) -> String {
    let start = bucket
        .start
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let part = match window.window_secs {
        ..=86_400 => start.get(11..16),
        _ => start.get(5..16),
    };
    format!("{} UTC", part.unwrap_or_default().replace('T', " "))
}

fn denials(axes: BTreeMap<&str, u64>) -> Markup {
    let mut axes: Vec<_> = axes.into_iter().collect();
    axes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    html! {
        section {
            h2 { "Denials by axis" }
            @if axes.is_empty() { p.quiet { "No denial in this window." } }
            @else {
                table { tbody { @for (axis, n) in axes.into_iter().take(ROWS) {
                    tr { th scope="row" { (visible(axis)) } td { (grouped(n)) } }
                } } }
            }
        }
    }
}

fn tokens(models: BTreeMap<&str, (u64, u64)>) -> Markup {
    let mut models: Vec<_> = models.into_iter().collect();
    models.sort_by_key(|(_, (input, output))| std::cmp::Reverse(input + output));
    html! {
        section {
            h2 { "Tokens by model" }
            @if models.is_empty() { p.quiet { "No model ran in this window." } }
            @else {
                table {
                    thead { tr { th scope="col" { "Model" } th.number scope="col" { "In" } th.number scope="col" { "Out" } } }
                    tbody { @for (model, (input, output)) in models.into_iter().take(ROWS) {
                        tr { th scope="row" { (visible(model)) } td { (grouped(input)) } td { (grouped(output)) } }
                    } }
                }
            }
        }
    }
}
