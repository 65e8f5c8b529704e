//! The load generator: how fast issues get in and get applied, how long one takes, what it costs
//! each process, and how much memory a waiting one takes.
//!
//! Everything runs on this machine: a private Redis (AOF everysec), the real `intake` and one real
//! `worker` with their default configuration, and this program, which counts among what loads the
//! machine. `make bench` builds all of it in release.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is what this program is for"
)]

mod cost;
mod history;
mod latency;
mod memory;
mod report;
mod stand;
mod throughput;

use std::time::Duration;

use clap::Parser;

use report::{Case, Report};
use stand::{Scale, Spread};
use tests::programs::{Program, build_only};

/// Measures Draftsman under load on this machine.
///
/// A run is bounded: a few seconds for each figure. It says what this machine does now, with this
/// program and Redis on the same cores; figures wobble by some percent from run to run.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Args {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Three times as long for each figure.
    #[arg(long, conflicts_with = "short")]
    long: bool,
    /// A quick look: a third of the time for each figure.
    #[arg(long)]
    short: bool,
    /// Instead of all this: what a history of up to 100,000 commits costs.
    #[arg(long, conflicts_with_all = ["json", "long", "short", "size", "spread"])]
    history: bool,
    /// Only the Blueprints of this size.
    #[arg(long, value_enum)]
    size: Option<Scale>,
    /// Only one Blueprint, or only many.
    #[arg(long, value_enum)]
    spread: Option<Spread>,
    /// How many issues are under way at once while applied issues a second are counted.
    #[arg(long, default_value_t = 256)]
    outstanding: usize,
    /// How many issues a second are submitted while latency is measured.
    #[arg(long, default_value_t = 50)]
    rate: u32,
}

impl Args {
    /// How long each figure is measured, and how many issues wait while memory is.
    fn extent(&self) -> (Duration, usize) {
        match (self.short, self.long) {
            (true, _) => (Duration::from_secs(3), 3_000),
            (_, true) => (Duration::from_secs(30), 30_000),
            _ => (Duration::from_secs(10), 10_000),
        }
    }
}

fn main() {
    let args = Args::parse();
    build_only(&[Program::Intake, Program::Worker]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
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
    let (time, n_waiting) = args.extent();
    let mut cases = Vec::new();
    for scale in [Scale::TwoKb, Scale::HundredKb] {
        for spread in [Spread::One, Spread::Many] {
            if args.size.is_some_and(|only| only != scale)
                || args.spread.is_some_and(|only| only != spread)
            {
                continue;
            }
            eprintln!("measuring {} …", report::name_of(scale, spread));
            let waiting = memory::measure(scale, spread, n_waiting).await;
            let applied = throughput::measure(scale, spread, args.outstanding, time).await;
            let latency = latency::measure(scale, spread, args.rate, time).await;
            cases.push(Case {
                scale,
                spread,
                waiting,
                applied,
                latency,
            });
        }
    }
    Report {
        cases,
        time,
        rate: args.rate,
        n_cores: std::thread::available_parallelism().map_or(0, usize::from),
    }
}
