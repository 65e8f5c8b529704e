//! The results, as tables and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::fixture::{Scale, Spread};
use crate::growth::{Grown, Watched};
use crate::heads::HeadWatched;
use crate::latency::Latency;
use crate::memory::Waiting;
use crate::throughput::Applied;

/// The results of one size and spread.
pub(crate) struct Case {
    pub(crate) scale: Scale,
    pub(crate) spread: Spread,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) applied: Applied,
    pub(crate) latency: Option<Latency>,
}

/// All results of a run. Measurements that were not requested are empty.
pub(crate) struct Report {
    pub(crate) cases: Vec<Case>,
    /// By the number of workers.
    pub(crate) by_workers: Vec<(Scale, Vec<(usize, Applied)>)>,
    /// By the number of cores: cases in the JSON form of this program.
    pub(crate) by_cores: Vec<(Scale, Vec<(usize, Value)>)>,
    pub(crate) backlog: Option<Grown>,
    pub(crate) commits: Option<Grown>,
    /// Resident bytes of each kind of process, by the number of applied issues.
    pub(crate) memory: Vec<(u64, Vec<(&'static str, u64)>)>,
    pub(crate) watchers: Vec<Watched>,
    /// Watchers of one Blueprint.
    pub(crate) head_watchers: Option<HeadWatched>,
    pub(crate) time: Duration,
    pub(crate) rate: u32,
    pub(crate) n_workers: usize,
    pub(crate) n_cores: usize,
}

/// The name of a size.
pub(crate) fn size_of(scale: Scale) -> &'static str {
    match scale {
        Scale::TwoKb => "2 KB",
        Scale::HundredKb => "100 KB",
    }
}

/// The name of a case.
pub(crate) fn name_of(scale: Scale, spread: Spread) -> String {
    let size = size_of(scale);
    match spread.count() {
        1 => format!("{size}, one Blueprint"),
        n => format!("{size}, {n} Blueprints"),
    }
}

fn kb_of(scale: Scale) -> u32 {
    match scale {
        Scale::TwoKb => 2,
        Scale::HundredKb => 100,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Rows of cells. The first row and the first column are names.
#[derive(Default)]
struct Table(Vec<Vec<String>>);

impl Table {
    fn row(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.0
            .push([name.into()].into_iter().chain(cells).collect());
    }

    fn write(&self, into: &mut String) {
        let n_columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self
                .0
                .iter()
                .filter_map(|row: &Vec<String>| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        for row in &self.0 {
            for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _infallible = match n {
                    0 => write!(into, "{cell:<width$}"),
                    _ => write!(into, "   {cell:>width$}"),
                };
            }
            into.push('\n');
        }
        into.push('\n');
    }
}

impl Report {
    /// The tables, with a note on their accuracy.
    pub(crate) fn to_table(&self) -> String {
        let mut text = String::new();
        if !self.cases.is_empty() {
            self.cases_table().write(&mut text);
        }
        for (scale, row) in &self.by_workers {
            let named = row
                .iter()
                .map(|(n, applied)| (format!("{n} workers"), applied));
            applied_table(size_of(*scale), named).write(&mut text);
        }
        for (scale, row) in self.by_cores.iter().filter(|(_, row)| !row.is_empty()) {
            let mut table = Table::default();
            let cells = |of: &dyn Fn(&Value) -> String| -> Vec<String> {
                row.iter().map(|(_, case)| of(case)).collect()
            };
            let name = format!("{}, one worker", size_of(*scale));
            table.row(name, row.iter().map(|(n, _)| format!("{n} cores")));
            let figure = |case: &Value, name| format!("{:.0}", case[name].as_f64().unwrap_or(0.0));
            table.row(
                "applied a second",
                cells(&|case| figure(case, "applied_per_sec")),
            );
            for process in ["redis", "intake", "worker", "generator"] {
                let busy =
                    |case: &Value| format!("{:.2}", case["cores"][process].as_f64().unwrap_or(0.0));
                table.row(format!("cores used, {process}"), cells(&busy));
            }
            table.write(&mut text);
        }
        for (what, grown) in [("waiting", &self.backlog), ("commits", &self.commits)] {
            if let Some(grown) = grown {
                let named = grown
                    .at
                    .iter()
                    .map(|(n, applied)| (format!("{n} {what}"), applied));
                applied_table("2 KB", named).write(&mut text);
            }
        }
        if let Some((_, first)) = self.memory.first() {
            let mut table = Table::default();
            let at = |(n, _): &(u64, _)| format!("{n} issues");
            table.row("MiB resident after", self.memory.iter().map(at));
            for (place, (process, _)) in first.iter().enumerate() {
                let mib = |(_, at): &(u64, Vec<(_, u64)>)| {
                    format!("{:.1}", at[place].1 as f64 / 1_048_576.0)
                };
                table.row(*process, self.memory.iter().map(mib));
            }
            table.write(&mut text);
        }
        if !self.watchers.is_empty() {
            let named = self.watchers.iter();
            let named = named.map(|w| (format!("{} watchers", w.n_watchers), &w.applied));
            let mut table = applied_table("2 KB", named);
            for (place, process) in ["redis", "intake"].into_iter().enumerate() {
                let idle = self
                    .watchers
                    .iter()
                    .map(|w| format!("{:.3}", w.idle_cores[place].1));
                table.row(format!("cores used while nothing happens, {process}"), idle);
            }
            table.write(&mut text);
        }
        if let Some(watched) = &self.head_watchers {
            let mut table = Table::default();
            let name = format!("{} watchers of one Blueprint", watched.n_watchers);
            table.row(name, [String::new()]);
            let [p50, p99, max] = watched.told.map(|told| format!("{:.1} ms", millis(told)));
            table.row("head moved → last one told, p50", [p50]);
            table.row("head moved → last one told, p99", [p99]);
            table.row("head moved → last one told, longest", [max]);
            table.row("moves", [watched.n_moves.to_string()]);
            let [before, during] = watched.submits_per_sec;
            let share = format!("{:.1} %", 100.0 * during / before);
            let [without, with] = watched.submits_per_sec.map(|rate| format!("{rate:.0}"));
            table.row("submitted a second without watchers", [without]);
            table.row("submitted a second with idle watchers", [with]);
            table.row("submitted a second, with against without", [share]);
            let calls = watched.idle_calls_per_sec;
            let [without, with] = calls.map(|calls| format!("{calls:.2}"));
            table.row("calls of Redis a second without watchers", [without]);
            table.row("calls of Redis a second with idle watchers", [with]);
            let subscriptions = watched.n_subscriptions.to_string();
            table.row("subscriptions of Redis", [subscriptions]);
            let bytes = watched.bytes_per_watcher.to_string();
            table.row("bytes of intake for each watcher", [bytes]);
            table.write(&mut text);
        }
        let _infallible = writeln!(
            text,
            "A bounded run: {} s for each figure, {} cores shared by Redis, intake, the workers and this program.\n\
             Figures wobble from run to run; compare runs of the same machine only, and use --long before you conclude.",
            self.time.as_secs(),
            self.n_cores
        );
        text
    }

    fn cases_table(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, figure: &dyn Fn(&Case) -> String| {
            table.row(name, self.cases.iter().map(figure));
        };
        let maybe = |figure: Option<f64>, unit: &str, digits: usize| {
            figure.map_or_else(String::new, |figure| format!("{figure:.digits$}{unit}"))
        };
        let waiting = |c: &Case, of: fn(&Waiting) -> f64| maybe(c.waiting.as_ref().map(of), "", 0);
        let latency = |c: &Case, of: fn(&Latency) -> Duration| {
            maybe(c.latency.as_ref().map(|l| millis(of(l))), " ms", 2)
        };
        row("", &|c| name_of(c.scale, c.spread));
        row("submitted a second (no worker)", &|c| {
            waiting(c, |w| w.submits_per_sec)
        });
        row("applied a second", &|c| format!("{:.0}", c.applied.per_sec));
        let at_rate = |which| format!("submit → applied, {which} at {}/s", self.rate);
        row(&at_rate("p50"), &|c| latency(c, |l| l.p50));
        row(&at_rate("p99"), &|c| latency(c, |l| l.p99));
        row("submit → applied, longest", &|c| latency(c, |l| l.max));
        for (at, process) in ["redis", "intake", "worker", "generator"]
            .into_iter()
            .enumerate()
        {
            row(&format!("CPU an applied issue, {process}"), &|c| {
                format!("{:.3} ms", c.applied.cpu_millis[at].1)
            });
            row(&format!("cores used, {process}"), &|c| {
                format!("{:.2}", c.applied.cores[at].1)
            });
        }
        row("Redis bytes a waiting issue, without its intent", &|c| {
            waiting(c, |w| w.bytes_per_issue)
        });
        table
    }

    /// The results as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let cases: Vec<Value> = self.cases.iter().map(|case| self.case_json(case)).collect();
        let by = |name: &str, rows: &[(Scale, Vec<(usize, Value)>)]| -> Vec<Value> {
            let each = rows.iter().flat_map(|(scale, row)| {
                row.iter().map(|(n, figures)| {
                    let mut figures = figures.clone();
                    figures["blueprint_kb"] = json!(kb_of(*scale));
                    figures[name] = json!(n);
                    figures
                })
            });
            each.collect()
        };
        let by_workers: Vec<(Scale, Vec<(usize, Value)>)> = self
            .by_workers
            .iter()
            .map(|(scale, row)| {
                let row = row.iter().map(|(n, applied)| (*n, applied_json(applied)));
                (*scale, row.collect())
            })
            .collect();
        let grown = |name: &str, grown: &Option<Grown>| -> Vec<Value> {
            let at = grown.iter().flat_map(|grown| &grown.at);
            at.map(|(n, applied)| {
                let mut figures = applied_json(applied);
                figures[name] = json!(n);
                figures
            })
            .collect()
        };
        let memory = self.memory.iter().map(|(n, resident)| {
            json!({ "n_applied": n, "resident_bytes": by_process(resident.iter().map(|(name, bytes)| (*name, json!(bytes)))) })
        });
        let watchers = self.watchers.iter().map(|watched| {
            let mut figures = applied_json(&watched.applied);
            figures["n_watchers"] = json!(watched.n_watchers);
            figures["idle_cores"] = floats(&watched.idle_cores);
            figures
        });
        let head_watchers = self.head_watchers.as_ref().map(|watched| {
            let [p50, p99, max] = watched.told.map(millis);
            let [without, with] = watched.submits_per_sec;
            let [idle_without, idle_with] = watched.idle_calls_per_sec;
            json!({
                "n_watchers": watched.n_watchers,
                "told_p50_ms": p50,
                "told_p99_ms": p99,
                "told_max_ms": max,
                "n_moves": watched.n_moves,
                "submits_per_sec_without": without,
                "submits_per_sec_with": with,
                "redis_calls_per_sec_without": idle_without,
                "redis_calls_per_sec_with": idle_with,
                "redis_subscriptions": watched.n_subscriptions,
                "bytes_per_watcher": watched.bytes_per_watcher,
            })
        });
        json!({
            "cases": cases,
            "by_workers": by("n_workers", &by_workers),
            "by_cores": by("n_cores", &self.by_cores),
            "backlog": grown("n_waiting", &self.backlog),
            "commits": grown("n_commits", &self.commits),
            "memory": memory.collect::<Vec<_>>(),
            "watchers": watchers.collect::<Vec<_>>(),
            "head_watchers": head_watchers,
            "secs_per_figure": self.time.as_secs(),
            "n_cores": self.n_cores,
            "debug_build": cfg!(debug_assertions),
            "note": "a bounded run on one machine; compare runs of the same machine only",
        })
    }

    fn case_json(&self, case: &Case) -> Value {
        let mut figures = applied_json(&case.applied);
        figures["blueprint_kb"] = json!(kb_of(case.scale));
        figures["n_blueprints"] = json!(case.spread.count());
        figures["n_workers"] = json!(self.n_workers);
        if let Some(waiting) = &case.waiting {
            figures["submits_per_sec"] = json!(waiting.submits_per_sec);
            figures["redis_bytes_per_pending_issue"] = json!(waiting.bytes_per_issue);
        }
        if let Some(latency) = &case.latency {
            figures["latency_ms"] = json!({
                "p50": millis(latency.p50),
                "p99": millis(latency.p99),
                "max": millis(latency.max),
                "n": latency.n_issues,
                "per_sec": self.rate,
            });
        }
        figures
    }
}

fn applied_table<'a>(corner: &str, row: impl Iterator<Item = (String, &'a Applied)>) -> Table {
    let (names, applied): (Vec<String>, Vec<&Applied>) = row.unzip();
    let mut table = Table::default();
    table.row(corner, names);
    table.row(
        "applied a second",
        applied
            .iter()
            .map(|applied| format!("{:.0}", applied.per_sec)),
    );
    let Some(first) = applied.first() else {
        return table;
    };
    for (at, (process, _)) in first.cores.iter().enumerate() {
        let cores = applied
            .iter()
            .map(|applied| format!("{:.2}", applied.cores[at].1));
        table.row(format!("cores used, {process}"), cores);
        let cpu = applied.iter();
        let cpu = cpu.map(|applied| format!("{:.3} ms", applied.cpu_millis[at].1));
        table.row(format!("CPU an applied issue, {process}"), cpu);
    }
    table
}

fn applied_json(applied: &Applied) -> Value {
    json!({
        "applied_per_sec": applied.per_sec,
        "n_applied": applied.n_issues,
        "cpu_ms_per_issue": floats(&applied.cpu_millis),
        "cores": floats(&applied.cores),
    })
}

fn floats(figures: &[(&'static str, f64)]) -> Value {
    by_process(figures.iter().map(|(name, figure)| (*name, json!(figure))))
}

fn by_process(figures: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let figures: Map<String, Value> = figures
        .map(|(name, figure)| (name.to_owned(), figure))
        .collect();
    Value::Object(figures)
}
