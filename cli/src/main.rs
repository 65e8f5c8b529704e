//! `draftsman`: Draftsman for a person at a terminal.
//!
//! `up` runs everything on one machine. Every other verb is a gRPC client of a running intake.

// A number that does not fit is an error or the largest that does, and is never cut.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod args;
mod client;
mod data_dir;
mod manual;
mod output;
mod redis_server;
mod up;
mod verbs;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use tokio::runtime::Runtime;

use crate::args::{Cli, Verb};
use crate::client::{CliError, Client};
use crate::up::UpError;
use crate::verbs::{
    blueprints, doctor, issues, log, preview, probe, queue, retry, settings, stats, transfer,
    verify, versions,
};

/// The exit status of any verb that went wrong.
const ERROR: u8 = 1;
/// The exit status for arguments that make no sense (`EX_USAGE` of sysexits.h). Not clap's 2, which says *denied* here.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    // The workers of `up` run in this process.
    if let Some(ended) = worker::guard_if_asked() {
        return ended;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            let _ = refusal.print();
            return if refusal.use_stderr() {
                USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(ERROR, &error),
    };
    let outcome = runtime.block_on(run(cli));
    // What still runs on a thread of its own must not hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status.into(),
        // Whoever read our output has seen enough.
        Err(CliError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error @ CliError::Up(UpError::Config(_) | UpError::Arguments(_))) => {
            fail(USAGE, &error)
        }
        Err(error) => fail(ERROR, &error),
    }
}

/// Says what went wrong and what lies behind it. Returns the exit status.
fn fail(status: u8, error: &dyn Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let line = format!("\n  because: {cause}");
        // Some layers only repeat what the one below says.
        if !text.ends_with(&line) {
            text.push_str(&line);
        }
        source = cause.source();
    }
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
    status.into()
}

/// Prints what makes `shell` complete the words of this program.
fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "draftsman", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}

/// Does what was asked for. Returns the exit status.
///
/// `up` must run here and not in a task of its own: see [`redis_server`].
async fn run(cli: Cli) -> Result<u8, CliError> {
    if let Verb::Up(args) = cli.verb {
        up::up(args, cli.common.output).await?;
        return Ok(0);
    }
    if let Verb::Completions(args) = cli.verb {
        completions(args.shell)?;
        return Ok(0);
    }
    if let Verb::Man(args) = cli.verb {
        manual::write_pages(&args.dir)?;
        return Ok(0);
    }
    if let Verb::Verify(args) = cli.verb {
        return verify::verify(args, cli.common.output).await;
    }
    if let Verb::Probe(args) = cli.verb {
        return Ok(if probe::probe(args).await? { 0 } else { ERROR });
    }
    let format = cli.common.output;
    if let Verb::Doctor = cli.verb {
        return Ok(if doctor::doctor(&cli.common, format).await? {
            0
        } else {
            ERROR
        });
    }
    let client = Client::connect(&cli.common).await?;
    match cli.verb {
        Verb::Up(_)
        | Verb::Doctor
        | Verb::Probe(_)
        | Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Verify(_) => {}
        Verb::Put(args) => blueprints::put(client, args, format).await?,
        Verb::Get(args) => blueprints::get(client, args, format).await?,
        Verb::Submit(args) => {
            return Ok(issues::submit(client, args, format)
                .await?
                .map_or(0, issues::Decision::exit_status));
        }
        Verb::Retry(args) => {
            return Ok(retry::retry(client, args, format)
                .await?
                .map_or(0, issues::Decision::exit_status));
        }
        Verb::Preview(args) => return preview::preview(client, args, format).await,
        Verb::Pause(args) => queue::pause(client, args, format).await?,
        Verb::Resume(args) => queue::resume(client, args, format).await?,
        Verb::Watch(args) => return Ok(issues::watch(client, args, format).await?.exit_status()),
        Verb::Issues(args) => issues::issues(client, args, format).await?,
        Verb::Cancel(args) => issues::cancel(client, args, format).await?,
        Verb::Log(args) => log::log(client, args, format).await?,
        Verb::History(args) => versions::history(client, args, format).await?,
        Verb::Diff(args) => versions::diff(client, args, format).await?,
        Verb::Revert(args) => versions::revert(client, args, format).await?,
        Verb::Archive(args) => blueprints::archive(client, args, format).await?,
        Verb::Unarchive(args) => blueprints::unarchive(client, args, format).await?,
        Verb::Export(args) => transfer::export(client, args).await?,
        Verb::Import(args) => transfer::import(client, args, format).await?,
        Verb::Setting(verb) => settings::setting(client, verb, format).await?,
        Verb::Stats => stats::stats(client, format).await?,
    }
    Ok(0)
}
