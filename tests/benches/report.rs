//! The figures, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::latency::Latency;
use crate::memory::Waiting;
use crate::stand::{Scale, Spread};
use crate::throughput::Applied;

/// The figures of one size and spread.
pub(crate) struct Case {
    pub(crate) scale: Scale,
    pub(crate) spread: Spread,
    pub(crate) waiting: Waiting,
    pub(crate) applied: Applied,
    pub(crate) latency: Latency,
}

/// All figures of a run.
pub(crate) struct Report {
    pub(crate) cases: Vec<Case>,
    pub(crate) time: Duration,
    pub(crate) rate: u32,
    pub(crate) n_cores: usize,
}

/// What to call a case.
pub(crate) fn name_of(scale: Scale, spread: Spread) -> String {
    let size = match scale {
        Scale::TwoKb => "2 KB",
        Scale::HundredKb => "100 KB",
    };
    match spread.count() {
        1 => format!("{size}, one Blueprint"),
        n => format!("{size}, {n} Blueprints"),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Report {
    /// A table, one column for each case, and how far to trust it.
    pub(crate) fn to_table(&self) -> String {
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let mut row = |name: &str, figure: &dyn Fn(&Case) -> String| {
            rows.push((name.to_owned(), self.cases.iter().map(figure).collect()));
        };
        row("", &|c| name_of(c.scale, c.spread));
        row("submitted a second (no worker)", &|c| {
            format!("{:.0}", c.waiting.submits_per_sec)
        });
        row("applied a second", &|c| format!("{:.0}", c.applied.per_sec));
        row(
            &format!("submit → applied, p50 at {}/s", self.rate),
            &|c| format!("{:.2} ms", millis(c.latency.p50)),
        );
        row(
            &format!("submit → applied, p99 at {}/s", self.rate),
            &|c| format!("{:.2} ms", millis(c.latency.p99)),
        );
        row("submit → applied, longest", &|c| {
            format!("{:.2} ms", millis(c.latency.max))
        });
        for (at, process) in ["redis", "intake", "worker", "generator"]
            .into_iter()
            .enumerate()
        {
            row(&format!("CPU an applied issue, {process}"), &|c| {
                format!("{:.3} ms", c.applied.cpu_millis[at].1)
            });
        }
        row("Redis bytes a waiting issue, without its intent", &|c| {
            format!("{:.0}", c.waiting.bytes_per_issue)
        });

        let longest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|t| t.chars().count()).max().unwrap_or(0)
        };
        let first = longest(&mut rows.iter().map(|(name, _)| name));
        let widths: Vec<usize> = (0..self.cases.len())
            .map(|n| longest(&mut rows.iter().map(|(_, figures)| &figures[n])))
            .collect();
        let mut table = String::new();
        for (name, figures) in &rows {
            let _infallible = write!(table, "{name:<first$}");
            for (figure, width) in figures.iter().zip(&widths) {
                let _infallible = write!(table, "   {figure:>width$}");
            }
            table.push('\n');
        }
        let _infallible = writeln!(
            table,
            "\nA bounded run: {} s for each figure, {} cores shared by Redis, intake, one worker and this program.\n\
             Figures wobble from run to run; compare runs of the same machine only, and use --long before you conclude.",
            self.time.as_secs(),
            self.n_cores
        );
        table
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let cases: Vec<Value> = self
            .cases
            .iter()
            .map(|c| {
                let cpu: serde_json::Map<String, Value> = c
                    .applied
                    .cpu_millis
                    .iter()
                    .map(|(name, ms)| ((*name).to_owned(), json!(ms)))
                    .collect();
                json!({
                    "blueprint_kb": match c.scale { Scale::TwoKb => 2, Scale::HundredKb => 100 },
                    "n_blueprints": c.spread.count(),
                    "submits_per_sec": c.waiting.submits_per_sec,
                    "applied_per_sec": c.applied.per_sec,
                    "n_applied": c.applied.n_issues,
                    "latency_ms": {
                        "p50": millis(c.latency.p50),
                        "p99": millis(c.latency.p99),
                        "max": millis(c.latency.max),
                        "n": c.latency.n_issues,
                        "per_sec": self.rate,
                    },
                    "cpu_ms_per_issue": cpu,
                    "redis_bytes_per_pending_issue": c.waiting.bytes_per_issue,
                })
            })
            .collect();
        json!({
            "cases": cases,
            "secs_per_figure": self.time.as_secs(),
            "n_cores": self.n_cores,
            "debug_build": cfg!(debug_assertions),
            "note": "a bounded run on one machine; compare runs of the same machine only",
        })
    }
}
