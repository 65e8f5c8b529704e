//! A private `redis-server` for each test.
//!
//! Tests share nothing: each gets its own process, port on the loopback interface and directory,
//! and dropping the value removes all three. The process is only ended through its own child
//! handle.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::AsyncConnectionConfig;
use tempfile::TempDir;

use crate::eventually::eventually_blocking;
use crate::programs::{Signal, send_signal};

/// The name of the socket in the server's directory.
const SOCKET: &str = "redis.sock";
/// How long a connection waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The mode of the append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// No file: all data is lost with the process.
    None,
    /// Flushed once a second.
    EverySecond,
    /// Flushed before a command is answered.
    Always,
}

/// A running (or stopped, see [`RedisServer::stop`]) server with its data directory.
#[derive(Debug)]
pub struct RedisServer {
    // Declared before `dir`, so that the process ends before its directory is removed.
    child: Option<ChildGuard>,
    dir: TempDir,
    port: u16,
    aof: Aof,
    extra_args: Vec<String>,
}

#[derive(Debug)]
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// The next port of this process. Ports are below the range of ephemeral client ports, so that a
/// server which is stopped and started again finds its port free.
fn next_port() -> u16 {
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 20_000;
    static OFFSET: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(397) % u32::from(COUNT)) as u16;
    let offset = OFFSET.fetch_add(1, Ordering::Relaxed) % COUNT;
    FIRST + (start + offset) % COUNT
}

/// A free port of the same range, for other servers of a test.
pub fn free_port() -> u16 {
    loop {
        let port = next_port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl RedisServer {
    /// Starts a server and waits until it answers PING.
    ///
    /// # Panics
    /// If the program `redis-server` is missing, or the server does not start.
    pub fn start(aof: Aof) -> Self {
        Self::start_with(aof, &[])
    }

    /// As [`RedisServer::start`], with further command-line arguments of `redis-server`.
    ///
    /// # Panics
    /// If the program `redis-server` is missing, or the server does not start.
    pub fn start_with(aof: Aof, extra_args: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("draftsman-redis-")
            .tempdir()
            .expect("a temporary directory");
        let extra_args = extra_args.iter().map(|a| (*a).to_owned()).collect();
        let mut server = Self {
            child: None,
            dir,
            port: 0,
            aof,
            extra_args,
        };
        for _ in 0..20 {
            server.port = next_port();
            if std::net::TcpListener::bind(("127.0.0.1", server.port)).is_err() {
                continue;
            }
            if server.try_start() {
                return server;
            }
        }
        panic!(
            "redis-server does not start on any of 20 ports; its log:\n{}",
            server.log()
        );
    }

    /// Starts a new server with the content of a snapshot (RDB), and an append-only file from then
    /// on.
    ///
    /// `docs/operations.md` restores a backup in the same way. A server that starts with an
    /// append-only file does not read a snapshot.
    ///
    /// # Panics
    /// If the snapshot cannot be read, or the server does not start.
    pub fn restore(snapshot: &Path) -> Self {
        let mut server = Self::start(Aof::None);
        server.stop();
        std::fs::copy(snapshot, server.dir().join("dump.rdb")).expect("the snapshot is copied");
        server.start_again();
        let ask = |command: &mut redis::Cmd| -> redis::RedisResult<String> {
            command.query(&mut redis::Client::open(server.url())?.get_connection()?)
        };
        ask(redis::cmd("CONFIG").arg(&["SET", "appendonly", "yes"])).expect("CONFIG SET");
        eventually_blocking("the append-only file is written", || {
            let info = ask(redis::cmd("INFO").arg("persistence")).map_err(|e| e.to_string())?;
            let done = [
                "aof_enabled:1",
                "aof_rewrite_in_progress:0",
                "aof_rewrite_scheduled:0",
            ];
            match done.iter().all(|line| info.contains(line)) {
                true => Ok(()),
                false => Err(info),
            }
        });
        server.aof = Aof::EverySecond;
        server
    }

    /// The URL for `DRAFTSMAN_REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The URL of its Unix socket. Calls over the socket take less time.
    pub fn socket_url(&self) -> String {
        format!("unix://{}", self.dir.path().join(SOCKET).display())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    ///
    /// # Panics
    /// If the server is stopped.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("redis-server is running").0.id()
    }

    /// Whether the server runs: it was not stopped or killed.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default()
    }

    /// A new connection for commands of the test.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        // The default is half a second. The checker reads every key after ten minutes of load.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("a connection to the private redis-server")
    }

    /// Stops the server with SIGTERM and keeps its data. With an append-only file, all data reaches
    /// the disk.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            send_signal(child.0.id(), Signal::Terminate);
            eventually_blocking("redis-server ends", || match child.0.try_wait() {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
    }

    /// Kills the server with SIGKILL and keeps the data that had reached the disk.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Starts a stopped server again on the same port with the same data.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "redis-server is still running");
        assert!(
            self.try_start(),
            "redis-server does not start again; its log:\n{}",
            self.log()
        );
    }

    /// Returns true once the server answers, and false if it ended, which is the symptom of a port
    /// in use.
    fn try_start(&mut self) -> bool {
        let mut child = ChildGuard(self.command().spawn().unwrap_or_else(|error| {
            panic!(
                "cannot run redis-server: {error}. The tests need a real one on the PATH: \
                 `make test` installs it, or run `apt-get install redis-server` \
                 (`brew install redis`) and try again"
            )
        }));
        let pid = child.0.id();
        let url = self.url();
        let up = eventually_blocking("redis-server answers PING", || {
            if let Ok(Some(_)) = child.0.try_wait() {
                return Ok(false);
            }
            answers(&url, pid).map(|()| true)
        });
        if up {
            self.child = Some(child);
        }
        up
    }

    fn command(&self) -> Command {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("redis.log"));
        let log = log.expect("a log file in a fresh directory");
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--maxmemory-policy", "noeviction", "--daemonize", "no"])
            // Relative to the server's directory, into which it changes first.
            .args(["--unixsocket", SOCKET])
            .arg("--dir")
            .arg(self.dir.path());
        match self.aof {
            Aof::None => command.args(["--appendonly", "no"]),
            Aof::EverySecond => command.args(["--appendonly", "yes", "--appendfsync", "everysec"]),
            Aof::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
        };
        command.args(&self.extra_args);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        command
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for RedisServer {
    #[expect(
        clippy::print_stderr,
        reason = "the test harness shows it with the failed test"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- log of redis-server on port {} ---\n{}",
                self.port,
                self.log()
            );
        }
    }
}

/// Returns Ok if the server at `url` has loaded its data and is the process `pid`.
fn answers(url: &str, pid: u32) -> Result<(), String> {
    let look = || -> redis::RedisResult<String> {
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let _pong: String = redis::cmd("PING").query(&mut connection)?;
        redis::cmd("INFO").arg("server").query(&mut connection)
    };
    let info = look().map_err(|error| error.to_string())?;
    if info
        .lines()
        .any(|line| line.trim() == format!("process_id:{pid}"))
    {
        Ok(())
    } else {
        Err(format!("another server answers on {url}"))
    }
}
