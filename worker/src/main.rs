//! The program `worker`: configuration, telemetry, then [`worker::run`] until a signal.

use std::process::ExitCode;

use clap::Parser;
use shared::config::EXIT_BAD_CONFIG;
use shared::program::{self, stop_signal};
use worker::Args;

fn main() -> ExitCode {
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
    if let Err(error) = shared::telemetry::init(&telemetry) {
        return fail(EXIT_BAD_CONFIG, &error);
    }
    if config.check {
        return match worker::check(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error),
        };
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    let result = runtime.block_on(async {
        let shutdown = stop_signal().map_err(|error| fail(1, &error))?;
        worker::run(config, shutdown)
            .await
            .map_err(|error| fail(1, &error))
    });
    // A script that does not end must not hold the process: the grace period is over.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    program::fail("worker", code, error)
}
