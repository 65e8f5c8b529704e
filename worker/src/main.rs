//! The `worker` binary: reads the configuration, starts telemetry, runs [`worker::run`] until a
//! signal.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use shared::config::EXIT_BAD_CONFIG;
use shared::program::{self, stop_signal};
use worker::Args;

/// A flow makes and drops thousands of small values. The system's allocator costs 7 % of the CPU
/// of an issue at 2 KB, and 16 % at 100 KB (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if let Some(ended) = worker::guard_if_asked() {
        return ended;
    }
    shared::fail_point::arm();
    let args = match Args::try_parse() {
        Ok(args) => args,
        // clap also reports `--help` and `--version` as errors.
        Err(error) => {
            let mistake = error.use_stderr();
            // The terminal may be closed; the error cannot be reported elsewhere.
            let _ = error.print();
            return if mistake {
                ExitCode::from(EXIT_BAD_CONFIG)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let (config, telemetry) = match args.into_config() {
        Ok(checked) => checked,
        Err(error) => return fail(EXIT_BAD_CONFIG, &error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    let inside = runtime.enter();
    // Installed before slow operations, so that a signal during startup also ends the worker
    // cleanly.
    let shutdown = match stop_signal() {
        Ok(shutdown) => shutdown,
        Err(error) => return fail(1, &error),
    };
    let telemetry = match shared::telemetry::init(&telemetry, "worker") {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(EXIT_BAD_CONFIG, &error),
    };
    drop(inside);
    if config.check {
        return match worker::check(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error),
        };
    }
    let result = runtime.block_on(worker::run(config, shutdown));
    telemetry.end();
    // Does not wait for a script that never ends: the grace period is over.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    program::fail("worker", code, error)
}
