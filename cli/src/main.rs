//! `draftsman`: the command-line program of Draftsman.
//!
//! `up` runs everything on one machine. Most other verbs are gRPC clients of a running intake.

// A conversion that could truncate a number must fail or saturate instead.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod address;
mod args;
mod client;
mod completion;
mod contexts;
mod data_dir;
mod failure;
mod manual;
mod output;
mod redis_server;
mod up;
mod up_console;
mod verbs;

use std::io;
use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};
use tokio::runtime::Runtime;

use crate::args::{Cli, Common, Output, Verb};
use crate::client::{CliError, Client, diagnose};
use crate::failure::{fail, fail_usage};
use crate::up::UpError;
use crate::verbs::decision::Decision;
use crate::verbs::{
    approval, backup, blueprints, certs, channels, console, consumers, context, doctor, edit,
    follow, fork, issues, log, near_miss, preview, probe, queue, retry, review, settings, stats,
    sync, top, transfer, verify, versions,
};

/// The exit status of any failed verb.
const ERROR: u8 = 1;
/// The exit status of invalid arguments (`EX_USAGE` of sysexits.h). clap's own 2 means *denied*
/// here.
const USAGE: u8 = 64;
/// The exit status after Ctrl-C, as of a shell: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;
/// The exit status of any other error of `diff --exit-code`, as of diff(1).
const DIFF_ERROR: u8 = 2;

fn main() -> ExitCode {
    // The workers of `up` run in this process, so this program also serves as their process guard.
    if let Some(ended) = worker::guard_if_asked() {
        return ended;
    }
    completion::answer_if_asked();
    let parsed = args::command().try_get_matches();
    let parsed = parsed.and_then(|given| Ok((Cli::from_arg_matches(&given)?, given)));
    let (cli, given) = match parsed {
        Ok(parsed) => parsed,
        Err(refusal) => {
            if refusal.use_stderr() {
                return fail_usage(USAGE, &refusal);
            }
            let _ = refusal.print();
            return ExitCode::SUCCESS;
        }
    };
    let error_status = match &cli.verb {
        Verb::Diff(args) if args.exit_code => DIFF_ERROR,
        _ => ERROR,
    };
    let format = cli.common.output;
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error_status, &error, format),
    };
    let outcome = runtime.block_on(run(cli, &given));
    // A thread that still runs must not delay the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status.into(),
        // The reader of standard output has closed it, which is not an error.
        Err(CliError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error @ CliError::Up(UpError::Config(_) | UpError::Arguments(_))) => {
            fail(USAGE, &error, format)
        }
        Err(CliError::Context(error)) if error.is_usage() => {
            fail(USAGE, &CliError::Context(error), format)
        }
        Err(
            error @ (CliError::Interrupted { .. }
            | CliError::NotShown { .. }
            | CliError::PreviewInterrupted),
        ) => {
            // Not an error: the user asked for it.
            match format {
                Output::Text => {
                    let _ = output::note(&error);
                    INTERRUPTED.into()
                }
                Output::Json => fail(INTERRUPTED, &error, format),
            }
        }
        Err(error) => fail(error_status, &error, format),
    }
}

/// Runs the verb. Returns the exit status.
///
/// `up` must run here and not in a task of its own: see [`redis_server`].
async fn run(mut cli: Cli, given: &ArgMatches) -> Result<u8, CliError> {
    if let Verb::Up(args) = cli.verb {
        up::up(args, &cli.common).await?;
        return Ok(0);
    }
    if let Verb::Completions(args) = cli.verb {
        completion::print_script(args.shell)?;
        return Ok(0);
    }
    if let Verb::Man(args) = cli.verb {
        manual::write_pages(&args.dir)?;
        return Ok(0);
    }
    if let Verb::Certs(args) = cli.verb {
        certs::certs(&args, cli.common.output)?;
        return Ok(0);
    }
    if let Verb::Verify(args) = cli.verb {
        return verify::verify(args, cli.common.output).await;
    }
    if let Verb::Probe(args) = cli.verb {
        return Ok(if probe::probe(args).await? { 0 } else { ERROR });
    }
    let format = cli.common.output;
    if let Verb::Context(verb) = cli.verb {
        context::context(verb, &cli.common, given)?;
        return Ok(0);
    }
    if let Verb::Restore(args) = &cli.verb
        && args.check
    {
        backup::check(args, format)?;
        return Ok(0);
    }
    contexts::apply(&mut cli.common, given)?;
    let common = cli.common.clone();
    match ask_intake(cli, format).await {
        Err(error) => Err(diagnose(&common, error).await),
        done => done,
    }
}

/// Runs a verb that calls intake. Returns the exit status.
async fn ask_intake(cli: Cli, format: Output) -> Result<u8, CliError> {
    if let Verb::Doctor = cli.verb {
        return Ok(if doctor::doctor(&cli.common, format).await? {
            0
        } else {
            ERROR
        });
    }
    if let Verb::Follow(args) = cli.verb {
        follow::follow(&cli.common, args).await?;
        return Ok(0);
    }
    if let Verb::Sync(args) = cli.verb {
        let is_applied = sync::sync(&cli.common, args).await?;
        return Ok(if is_applied { 0 } else { ERROR });
    }
    if let Verb::Console(args) = cli.verb {
        console::console(&cli.common, args).await?;
        return Ok(0);
    }
    if let Verb::Top(args) = cli.verb {
        top::top(&cli.common, args).await?;
        return Ok(0);
    }
    let client = Client::connect(&cli.common).await?;
    let mut asking = client.clone();
    match call(client, cli.verb, &cli.common).await {
        Err(error) => Err(near_miss::explain(&mut asking, error).await),
        done => done,
    }
}

/// Runs a verb that calls intake over one connection. Returns the exit status.
async fn call(client: Client, verb: Verb, common: &Common) -> Result<u8, CliError> {
    let format = common.output;
    match verb {
        Verb::Up(_)
        | Verb::Certs(_)
        | Verb::Console(_)
        | Verb::Doctor
        | Verb::Probe(_)
        | Verb::Follow(_)
        | Verb::Sync(_)
        | Verb::Top(_)
        | Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Context(_)
        | Verb::Verify(_) => {}
        Verb::Put(args) => blueprints::put(client, args, format).await?,
        Verb::Edit(args) => edit::edit(client, args, format).await?,
        Verb::Fork(args) => fork::fork(client, args, format).await?,
        Verb::Get(args) => blueprints::get(client, args, format).await?,
        Verb::Submit(args) => {
            return Ok(issues::submit(client, args, format)
                .await?
                .map_or(0, Decision::exit_status));
        }
        Verb::Retry(args) => {
            return Ok(retry::retry(client, args, format)
                .await?
                .map_or(0, Decision::exit_status));
        }
        Verb::Preview(args) => return preview::preview(client, args, format).await,
        Verb::Pause(args) => queue::pause(client, args, format).await?,
        Verb::Resume(args) => queue::resume(client, args, format).await?,
        Verb::Watch(args) => return Ok(issues::watch(client, args, format).await?.exit_status()),
        Verb::Issues(args) => issues::issues(client, args, format).await?,
        Verb::Cancel(args) => issues::cancel(client, args, format).await?,
        Verb::Review(args) => review::review(client, args, format).await?,
        Verb::Approve(args) => approval::approve(client, args, format).await?,
        Verb::Decline(args) => approval::decline(client, args, format).await?,
        Verb::Log(args) => log::log(client, args, format).await?,
        Verb::History(args) => versions::history(client, args, format).await?,
        Verb::Diff(args) => {
            let has_status = args.exit_code;
            let is_different = versions::diff(client, args, format).await?;
            return Ok(u8::from(has_status && is_different));
        }
        Verb::Revert(args) => versions::revert(client, args, format).await?,
        Verb::Archive(args) => blueprints::archive(client, args, format).await?,
        Verb::Unarchive(args) => blueprints::unarchive(client, args, format).await?,
        Verb::Channels(args) => channels::channels(client, args, format).await?,
        Verb::Promote(args) => channels::promote(client, args, format).await?,
        Verb::Rollback(args) => channels::rollback(client, args, format).await?,
        Verb::Consumers(args) => consumers::consumers(client, args, format).await?,
        Verb::Export(args) => transfer::export(client, args).await?,
        Verb::Import(args) => transfer::import(client, args, format).await?,
        Verb::Setting(verb) => settings::setting(client, verb, format).await?,
        Verb::Backup(args) => backup::backup(client, args, format).await?,
        Verb::Restore(args) => backup::restore(client, args, format).await?,
        Verb::Stats => stats::stats(client, format).await?,
    }
    Ok(0)
}
