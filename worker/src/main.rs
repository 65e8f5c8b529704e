//! The program `worker`: configuration, telemetry, then [`worker::run`] until a signal.

use std::process::ExitCode;

use clap::Parser;
use shared::config::EXIT_BAD_CONFIG;
use shared::program::{self, stop_signal};
use worker::Args;

fn main() -> ExitCode {
    if let Some(ended) = worker::guard_if_asked() {
        return ended;
    }
    shared::fail_point::arm();
    let args = match Args::try_parse() {
        Ok(args) => args,
        // `--help` and `--version` come this way too, and are no mistake.
        Err(error) => {
            let mistake = error.use_stderr();
            // Nobody is left to tell if the terminal is gone.
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
    // Before anything that takes time: who is asked to stop while starting ends in good order, too.
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
    // A script that does not end must not hold the process: the grace period is over.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    program::fail("worker", code, error)
}
