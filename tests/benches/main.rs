//! The load generator.
//!
//! It measures how fast issues are submitted and applied, and the latency of one issue. It also
//! measures the cost for each process and the memory of a waiting issue.
//!
//! Everything runs on this machine: a private Redis (AOF everysec), the real `intake`, and real
//! workers (one by default) with their default configuration. This program is part of the load.
//! `make bench` builds all of it in release mode; `docs/performance.md` lists the results and
//! explains how to repeat them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is what this program is for"
)]

mod console;
mod cost;
mod fixture;
mod growth;
mod heads;
mod history;
mod latency;
mod memory;
mod report;
mod scaling;
mod throughput;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use tests::programs::{Program, build_only};

use crate::fixture::{Scale, Spread};
use crate::growth::Extent;
use crate::report::{Case, Report};

/// Measures Draftsman under load on this machine.
///
/// A run is bounded: a few seconds for each figure. It measures this machine with this program and
/// Redis on the same cores; figures vary by some percent between runs.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Args {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure each figure three times as long.
    #[arg(long, conflicts_with = "short")]
    long: bool,
    /// Run a short measurement: a third of the time, and a tenth of each backlog and history.
    #[arg(long)]
    short: bool,
    /// Seconds for each figure, instead of 10.
    #[arg(long, conflicts_with_all = ["long", "short"])]
    secs: Option<u64>,
    /// What to measure: one or more values, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Figure::Cases, Figure::Workers])]
    figures: Vec<Figure>,
    /// Measure only the costs of a history of up to 100,000 commits.
    #[arg(long, conflicts_with_all = ["json", "long", "short", "secs", "figures", "size", "spread"])]
    history: bool,
    /// Measure only the pages of the console, on a store of 100,000 issues and 1,000 Blueprints (a
    /// tenth with --short).
    #[arg(long, conflicts_with_all = ["json", "long", "secs", "figures", "size", "spread", "history"])]
    console: bool,
    /// Measure only Blueprints of this size.
    #[arg(long, value_enum)]
    size: Option<Scale>,
    /// Measure only one Blueprint, or only many.
    #[arg(long, value_enum)]
    spread: Option<Spread>,
    /// The number of workers, where it is not the quantity that is compared.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// The number of undecided issues while applied issues a second are counted.
    #[arg(long, default_value_t = 256)]
    outstanding: usize,
    /// The number of watchers, instead of 2,000 (500 with --short).
    #[arg(long)]
    watchers: Option<usize>,
    /// The number of issues submitted a second while latency is measured.
    #[arg(long, default_value_t = 50)]
    rate: u32,
}

/// The available measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Submission, application, latency and memory of a waiting issue, for each size and spread.
    Cases,
    /// Application only, for each size and spread.
    Applied,
    /// Applied issues a second with 1, 2, 4 and 8 workers.
    Workers,
    /// The same with one worker on 2, 4, … of this machine's cores, if it has more than two.
    Cores,
    /// The cost of an issue with a backlog of 1,000 and of 200,000.
    Backlog,
    /// The cost of an issue of a Blueprint with 10 and with 50,000 commits.
    Commits,
    /// Resident memory of each process over 50,000 issues.
    Memory,
    /// The cost of many idle watchers of issues; and of one Blueprint, with the time until the last
    /// one is told of a move.
    Watchers,
    /// Everything.
    All,
}

impl Args {
    fn wants(&self, figure: Figure) -> bool {
        self.figures.contains(&figure) || self.figures.contains(&Figure::All)
    }

    /// The duration of each measurement.
    fn time(&self) -> Duration {
        Duration::from_secs(match (self.secs, self.short, self.long) {
            (Some(secs), _, _) => secs,
            (_, true, _) => 3,
            (_, _, true) => 30,
            _ => 10,
        })
    }

    /// The extent of the growth measurements.
    fn extent(&self) -> Extent {
        let (waiting, commits, seen, watchers) = match self.short {
            true => ([1_000, 20_000], [10, 5_000], 5_000, 500),
            false => ([1_000, 200_000], [10, 50_000], 50_000, 2_000),
        };
        Extent {
            time: self.time(),
            waiting,
            commits,
            seen,
            watchers: self.watchers.unwrap_or(watchers),
        }
    }
}

fn main() {
    let args = Args::parse();
    let programs = [Program::Intake, Program::Worker, Program::Draftsman];
    build_only(if args.console {
        &programs
    } else {
        &programs[..2]
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if args.console {
        return runtime.block_on(console::print(args.short));
    }
    if args.history {
        return runtime.block_on(history::print());
    }
    let report = runtime.block_on(measure(&args));
    if args.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
}

async fn measure(args: &Args) -> Report {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build; run `make bench`, which builds in release");
    }
    let time = args.time();
    let mut report = Report {
        cases: Vec::new(),
        by_workers: Vec::new(),
        by_cores: Vec::new(),
        backlog: None,
        commits: None,
        memory: Vec::new(),
        watchers: Vec::new(),
        head_watchers: None,
        time,
        rate: args.rate,
        n_workers: args.workers,
        n_cores: std::thread::available_parallelism().map_or(0, usize::from),
    };
    let scales = [Scale::TwoKb, Scale::HundredKb];
    let scales = || {
        scales
            .into_iter()
            .filter(|scale| args.size.is_none_or(|only| only == *scale))
    };
    for scale in scales() {
        for spread in [Spread::One, Spread::Many] {
            if args.spread.is_none_or(|only| only == spread) {
                report.cases.extend(case(args, scale, spread).await);
            }
        }
    }
    for scale in scales() {
        if args.wants(Figure::Workers) {
            eprintln!("measuring workers, {} …", report::size_of(scale));
            let row = scaling::by_workers(scale, args.outstanding, time).await;
            report.by_workers.push((scale, row));
        }
        if args.wants(Figure::Cores) {
            eprintln!("measuring cores, {} …", report::size_of(scale));
            let outstanding = args.outstanding;
            let row = move || scaling::by_cores(scale, outstanding, time.as_secs());
            let row = tokio::task::spawn_blocking(row).await;
            report.by_cores.push((scale, row.expect("no panic")));
        }
    }
    let extent = args.extent();
    if args.wants(Figure::Backlog) {
        eprintln!("measuring backlogs of {:?} …", extent.waiting);
        report.backlog = Some(growth::backlog(extent).await);
    }
    if args.wants(Figure::Commits) {
        eprintln!("measuring histories of {:?} …", extent.commits);
        report.commits = Some(growth::commits(extent).await);
    }
    if args.wants(Figure::Memory) {
        eprintln!("measuring memory over {} issues …", extent.seen);
        report.memory = growth::memory(extent).await;
    }
    if args.wants(Figure::Watchers) {
        eprintln!("measuring {} watchers …", extent.watchers);
        report.head_watchers = Some(heads::measure(extent.watchers, extent.time).await);
        report.watchers = growth::watchers(extent).await;
    }
    report
}

/// Measures one size and spread, if the arguments select it.
async fn case(args: &Args, scale: Scale, spread: Spread) -> Option<Case> {
    let whole = args.wants(Figure::Cases);
    if !whole && !args.wants(Figure::Applied) {
        return None;
    }
    eprintln!("measuring {} …", report::name_of(scale, spread));
    let time = args.time();
    let n_waiting = time.as_secs() as usize * 1_000;
    let waiting = match whole {
        true => Some(memory::measure(scale, spread, n_waiting).await),
        false => None,
    };
    let applied = throughput::measure(scale, spread, args.workers, args.outstanding, time).await;
    let latency = match whole {
        true => Some(latency::measure(scale, spread, args.workers, args.rate, time).await),
        false => None,
    };
    Some(Case {
        scale,
        spread,
        waiting,
        applied,
        latency,
    })
}
