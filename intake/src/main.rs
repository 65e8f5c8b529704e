//! The program `intake`: configuration, telemetry, then [`intake::run`] until a signal.

use std::process::ExitCode;

use clap::Parser;
use intake::Args;
use shared::config::EXIT_BAD_CONFIG;
use shared::program::{self, stop_signal};

fn main() -> ExitCode {
    shared::fail_point::arm();
    let args = match Args::try_parse() {
        Ok(args) => args,
        // `--help` and `--version` also end here and exit with status 0.
        Err(error) => {
            let mistake = error.use_stderr();
            // A failure to print has no other place to be reported.
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
    // Installed before anything slow, so that a signal during the start also ends in a graceful
    // stop.
    let shutdown = match stop_signal() {
        Ok(shutdown) => shutdown,
        Err(error) => return fail(1, &error),
    };
    let telemetry = match shared::telemetry::init(&telemetry, "intake") {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(EXIT_BAD_CONFIG, &error),
    };
    drop(inside);
    let result = runtime.block_on(intake::run(config, shutdown));
    telemetry.end();
    // The grace period is over, so a task that does not end must not delay the exit.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    program::fail("intake", code, error)
}
