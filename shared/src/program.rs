//! Start and end of a program: the stop signal and the exit message.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::chain;

/// Returns a future that resolves at the first SIGTERM or SIGINT. Call it inside a runtime.
///
/// # Errors
/// An I/O error if the signal handlers cannot be installed.
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

/// Writes one line to stderr with the reason why `program` ends. Returns `code` as the exit status.
pub fn fail(program: &str, code: u8, error: &dyn Error) -> ExitCode {
    // A failed write to stderr cannot be reported anywhere.
    let _ = writeln!(std::io::stderr(), "{program}: {}", chain(error));
    ExitCode::from(code)
}
