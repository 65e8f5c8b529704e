//! The program `intake`: configuration, telemetry, then [`intake::run`] until a signal.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use intake::Args;
use shared::config::EXIT_BAD_CONFIG;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
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
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    let result = runtime.block_on(async {
        let shutdown = stop_signal().map_err(|error| fail(1, &error))?;
        intake::run(config, shutdown)
            .await
            .map_err(|error| fail(1, &error))
    });
    // A task that does not end must not hold the process: the grace period is over.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to stop");
    })
}

/// Says on stderr why the program ends; `code` is its exit status.
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let mut line = format!("intake: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
    ExitCode::from(code)
}
