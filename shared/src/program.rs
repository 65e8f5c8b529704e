//! What the programs have in common at their edges: when to stop, and how to say why they ended.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::chain;

/// A future that resolves at the first SIGTERM or SIGINT. Must be called inside a runtime.
///
/// # Errors
/// If the signals cannot be listened for.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
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

/// Says on stderr why `program` ends, in one line; returns `code` as its exit status.
pub fn fail(program: &str, code: u8, error: &dyn Error) -> ExitCode {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "{program}: {}", chain(error));
    ExitCode::from(code)
}
