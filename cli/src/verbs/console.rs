//! `draftsman console`: serves the web page.

use console::{Config, Hosts};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Common, ConsoleArgs, Output};
use crate::client::{self, CliError};
use crate::output;

/// Serves the console until SIGINT or SIGTERM. Intake may be unavailable at the start.
pub(crate) async fn console(options: &Common, args: ConsoleArgs) -> Result<(), CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let server = console::bind(Config {
        listen: args.listen,
        intake: client::lazy_endpoint(options)?,
        hosts: Hosts::parse(&args.public_host)?,
        actor: client::user_actor(),
    })
    .await?;
    let url = format!("http://{}", server.local_addr());
    match options.output {
        Output::Json => output::json_line(&serde_json::json!({ "console": url }))?,
        Output::Text => output::line(format_args!(
            "the console is at {url} (intake: {}; Ctrl-C stops it)",
            options.addr
        ))?,
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.serve(stop).await;
    Ok(())
}
