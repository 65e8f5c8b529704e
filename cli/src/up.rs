//! `draftsman up`: runs everything on one machine, in one process and one child process.
//!
//! The start order is redis-server, intake, workers; the stop order is the reverse. Workers finish
//! or release their issues, intake finishes open calls, and then redis-server writes its file and
//! exits. If a part ends early, the rest is stopped in the same order, and the exit status is an
//! error.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use shared::config::parse_redis_url;
use shared::config::problem::{InvalidConfig, Problems};
use shared::store::{Store, StoreError};
use shared::telemetry::{self, TelemetryConfig, TelemetryError};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::args::{Common, DEFAULT_ADDR, Output, UpArgs};
use crate::output;
use crate::redis_server::{RedisServer, RedisServerError};
use crate::up_console::ConsoleListen;

/// Interval between checks that everything is ready.
const POLL: Duration = Duration::from_millis(20);
/// Placeholder for the address of redis-server while the rest of the configuration is checked.
const NO_REDIS_YET: &str = "redis://127.0.0.1";

/// Why `up` failed to start or to end cleanly.
#[derive(Debug, Error)]
pub(crate) enum UpError {
    /// Invalid flags or variables.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The command line of a part is invalid.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// redis-server failed to start, or ended.
    #[error(transparent)]
    Redis(#[from] RedisServerError),
    /// The address of redis-server is not usable.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// Intake failed to start, or ended.
    #[error("intake failed")]
    Intake(#[from] intake::StartError),
    /// An address is used by another process.
    #[error(
        "{address} is used by another process; stop that, or choose another address with {option}, such as {free} for a free port"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// The option or variable that chooses it.
        option: &'static str,
        /// An address with a free port.
        free: SocketAddr,
    },
    /// A worker failed to start, or ended.
    #[error("a worker failed")]
    Worker(#[from] worker::StartError),
    /// The console failed to start.
    #[error("the console failed")]
    Console(#[from] console::StartError),
    /// The certificates for the connection of the console to intake cannot be used.
    #[error("the console cannot connect to intake: {0}")]
    ConsoleTls(String),
    /// The address of the console is invalid.
    #[error(
        "`{given}` is not an address to listen on; write 127.0.0.1:50080, or off (--console-listen)"
    )]
    ConsoleAddress {
        /// The given address.
        given: String,
    },
    /// A part ended without a request to stop.
    #[error("{part} ended unexpectedly")]
    Ended {
        /// The part.
        part: &'static str,
    },
    /// A part panicked.
    #[error("{part} panicked")]
    Broke {
        /// The part.
        part: &'static str,
        /// The panic.
        source: JoinError,
    },
    /// The signal handlers cannot be installed.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// A second signal arrived during the shutdown.
    #[error(
        "stopped at once by a second signal; the issues in flight are processed again after the next start"
    )]
    SecondSignal,
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

/// Runs everything until SIGINT or SIGTERM, or until a part ends early.
///
/// Must run on the main thread; see [`crate::redis_server`].
///
/// # Errors
/// [`UpError`]. All parts have been stopped by then, except after [`UpError::SecondSignal`], where
/// they end with this process.
pub(crate) async fn up(args: UpArgs, common: &Common) -> Result<(), UpError> {
    let format = common.output;
    let (mut intake_config, mut worker_config, telemetry) = configurations(&args)?;
    let console_listen = ConsoleListen::parse(args.console_listen.as_deref())?;
    let telemetry = telemetry::init(&telemetry, "draftsman")?;
    let mut signals = Signals::new().map_err(UpError::Signals)?;

    let mut redis = tokio::select! {
        started = RedisServer::start(args.redis_server.as_deref(), &args.data_dir) => started?,
        () = signals.next() => return Ok(()),
    };
    let url = {
        let mut problems = Problems::default();
        let url = problems.check(shared::config::REDIS_URL, parse_redis_url(redis.url()));
        problems.finish()?;
        url.expect("a URL without a problem was parsed")
    };
    intake_config.redis_url = url.clone();
    worker_config.redis_url = url;

    let server = intake::bind(intake_config).await;
    let server = server.map_err(|error| taken(error, &args.listen))?;
    let metrics = server.metrics_addr().map(reachable);
    let url = format!("{}://{}", server.scheme(), reachable(server.local_addr()));
    let ready = server.ready();
    let store = Store::open(worker_config.redis_url.as_str(), worker_config.shards)?;
    let stop_intake = CancellationToken::new();
    let mut intake = JoinSet::new();
    intake.spawn(server.serve(stop_intake.clone().cancelled_owned()));
    let stop_workers = CancellationToken::new();
    let mut workers = JoinSet::new();
    for _ in 0..args.workers {
        workers.spawn(worker::run(
            worker_config.clone(),
            stop_workers.clone().cancelled_owned(),
        ));
    }
    let console = console_listen.bind(common, &url).await?;
    let console_url = console
        .as_ref()
        .map(|server| format!("http://{}", reachable(server.local_addr())));
    let stop_console = CancellationToken::new();
    let mut consoles = JoinSet::new();
    if let Some(server) = console {
        let stop = stop_console.clone().cancelled_owned();
        consoles.spawn(async move {
            server.serve(stop).await;
            Ok::<(), UpError>(())
        });
    }
    let life = async {
        answers(ready, &store, args.workers.into()).await;
        let running = Running {
            url: &url,
            data_dir: &args.data_dir,
            workers: args.workers,
            console: console_url,
            metrics,
        };
        greet(&running, format)?;
        // From here on only the other branches of `select!` end `up`.
        std::future::pending::<io::Result<()>>().await
    };

    let ended = tokio::select! {
        Err(error) = life => Err(UpError::Output(error)),
        () = signals.next() => Ok(()),
        error = redis.ended() => Err(error.into()),
        Some(ended) = intake.join_next() => Err(too_early("intake", ended)),
        Some(ended) = workers.join_next() => Err(too_early("a worker", ended)),
        Some(ended) = consoles.join_next() => Err(too_early("the console", ended)),
    };

    let drain = async {
        stop_console.cancel();
        let console = drained("the console", &mut consoles).await;
        stop_workers.cancel();
        let workers = drained("a worker", &mut workers).await;
        stop_intake.cancel();
        let intake = drained("intake", &mut intake).await;
        let redis = redis.stop().await.map_err(UpError::from);
        console.and(workers).and(intake).and(redis)
    };
    let drained = tokio::select! {
        drained = drain => drained,
        () = signals.next() => Err(UpError::SecondSignal),
    };
    tokio::task::block_in_place(|| telemetry.end());
    // The first error is the cause of the others.
    ended.and(drained)?;
    if format == Output::Text {
        output::line("draftsman has stopped; the data is kept")?;
    }
    Ok(())
}

/// Builds the configurations of the parts from the flags of `up` and the variables of intake and
/// worker.
fn configurations(
    args: &UpArgs,
) -> Result<(intake::Config, worker::Config, TelemetryConfig), UpError> {
    let intake = intake::Args::try_parse_from([
        "intake",
        "--redis-url",
        NO_REDIS_YET,
        "--listen",
        &args.listen,
    ])?;
    // Both parts cannot serve metrics on one address. Only intake's metrics include the queue.
    let worker = [
        "worker",
        "--redis-url",
        NO_REDIS_YET,
        "--metrics-listen",
        "off",
    ];
    let worker = worker::Args::try_parse_from(worker)?;
    let (intake, worker) = (intake.into_config(), worker.into_config());
    match (intake, worker) {
        (Ok((intake, telemetry)), Ok((worker, _))) => Ok((intake, worker, telemetry)),
        (intake, worker) => {
            let invalid = [intake.err(), worker.err()];
            let mut problems = Problems::default();
            let mut named = Vec::new();
            for problem in invalid.iter().flatten().flat_map(InvalidConfig::problems) {
                // Intake and worker both report problems of the logging variables.
                if !named.contains(&problem.variable) {
                    named.push(problem.variable);
                    problems.note(problem.variable, problem.message.clone());
                }
            }
            Err(InvalidConfig::from(problems).into())
        }
    }
}

/// Names the option with which to choose another address, if one is taken.
fn taken(error: intake::StartError, listen: &str) -> UpError {
    match error {
        intake::StartError::Bind { address, source }
            if source.kind() == io::ErrorKind::AddrInUse =>
        {
            let is_main = listen.parse() == Ok(address);
            UpError::Taken {
                address,
                option: if is_main {
                    "--listen or DRAFTSMAN_LISTEN"
                } else {
                    shared::config::METRICS_LISTEN
                },
                free: SocketAddr::new(address.ip(), 0),
            }
        }
        other => other.into(),
    }
}

/// Returns the address at which this machine reaches intake, which may listen on an unspecified
/// address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(Ipv4Addr::LOCALHOST.into())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(Ipv6Addr::LOCALHOST.into())
        }
        _ => {}
    }
    address
}

/// Waits until intake is ready and all workers are registered. Asks intake's own readiness and the
/// store, because a call may need a certificate and a token.
async fn answers(mut ready: watch::Receiver<bool>, store: &Store, workers: usize) {
    // Fails if intake has ended, which `up` detects itself.
    let _ = ready.wait_for(|ready| *ready).await;
    loop {
        match store.queue_stats().await {
            Ok(stats) if stats.workers.len() >= workers => return,
            _ => sleep(POLL).await,
        }
    }
}

/// What runs, for the banner.
struct Running<'a> {
    url: &'a str,
    data_dir: &'a Path,
    workers: u16,
    console: Option<String>,
    metrics: Option<SocketAddr>,
}

/// Prints the addresses and the next steps. Logs go to standard error.
fn greet(running: &Running<'_>, format: Output) -> io::Result<()> {
    let url = running.url;
    let metrics = running.metrics.map(|at| format!("http://{at}/metrics"));
    if format == Output::Json {
        return output::json_line(&json!({
            "addr": url,
            "data_dir": output::path_json(running.data_dir),
            "workers": running.workers,
            "console": running.console,
            "metrics": metrics,
        }));
    }
    let facts = [
        (
            "data",
            Some(format!(
                "{} (kept between runs)",
                running.data_dir.display()
            )),
        ),
        ("workers", Some(running.workers.to_string())),
        ("console", running.console.clone()),
        ("metrics", metrics),
    ];
    let addr = match url {
        DEFAULT_ADDR => String::new(),
        url => format!("  export DRAFTSMAN_ADDR={url}\n"),
    };
    let facts = facts
        .into_iter()
        .filter_map(|(name, fact)| Some((name, fact?)));
    let facts: String = facts
        .map(|(name, fact)| format!("  {name:<8} {fact}\n"))
        .collect();
    // Blank lines around it, because a terminal shows the logs, too.
    output::verbatim(format_args!(
        "\ndraftsman is up: {url}\n{facts}\nnext, in a second terminal:\n{addr}  \
         draftsman put FILE                       store a Blueprint\n  \
         draftsman submit BLUEPRINT CHANGE        ask for a change in plain words\n  \
         draftsman doctor                         check everything\n\n\
         Ctrl-C stops everything in order\n"
    ))
}

/// Returns the error for a part that ended early.
fn too_early<E>(part: &'static str, ended: Result<Result<(), E>, JoinError>) -> UpError
where
    UpError: From<E>,
{
    match ended {
        Ok(Ok(())) => UpError::Ended { part },
        Ok(Err(error)) => error.into(),
        Err(source) => UpError::Broke { part, source },
    }
}

/// Waits until all tasks of a part have ended, and returns the first error.
async fn drained<E>(part: &'static str, tasks: &mut JoinSet<Result<(), E>>) -> Result<(), UpError>
where
    E: Send + 'static,
    UpError: From<E>,
{
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = match ended {
            Ok(ended) => ended.map_err(UpError::from),
            Err(source) => Err(UpError::Broke { part, source }),
        };
        outcome = outcome.and(ended);
    }
    outcome
}

/// SIGINT and SIGTERM, received from its creation on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Cancel safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
