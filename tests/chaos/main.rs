//! `chaos`: a long run of the chaos rig. `make chaos SECONDS=600` calls it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::chaos::{Options, run};
use tests::redis_server::Aof;

/// Runs real programs under load while faults are injected, ends all faults, and checks the result.
#[derive(Debug, Parser)]
struct Args {
    /// Duration of load and faults, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the kinds and the order of the faults. Default: a different one for each run.
    #[arg(long)]
    seed: Option<u64>,
    /// How Redis writes its append-only file: always or everysec. Default: derived from the seed.
    #[arg(long, value_parser = ["always", "everysec"])]
    aof: Option<String>,
    /// Number of watchers of Blueprints.
    #[arg(long, default_value_t = 200)]
    watchers: usize,
    /// Run the same load without faults.
    #[arg(long)]
    calm: bool,
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seed = args.seed.unwrap_or_else(|| {
        u64::from(uuid::Uuid::now_v7().as_fields().1) | u64::from(std::process::id()) << 16
    });
    let aof = match args.aof.as_deref() {
        Some("always") => Aof::Always,
        Some(_) => Aof::EverySecond,
        None if seed % 2 == 0 => Aof::Always,
        None => Aof::EverySecond,
    };
    let options = Options {
        seed,
        duration: Duration::from_secs(args.seconds),
        aof,
        faults: !args.calm,
        watchers: args.watchers,
    };
    println!(
        "chaos: seed {seed}; the same again: make chaos SECONDS={} SEED={seed}",
        args.seconds
    );
    let report = runtime.block_on(run(&options));
    println!("{report}");
    if report.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
