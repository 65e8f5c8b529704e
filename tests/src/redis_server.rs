//! A private `redis-server` for each test.
//!
//! Nothing is shared between tests: each gets a process, a port on the loopback interface and
//! a directory of its own, and all three are gone when the value is dropped. The process is
//! only ever ended through its own child handle.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::eventually::eventually_blocking;
use crate::programs::{Signal, send_signal};

/// The name of its socket in its directory.
const SOCKET: &str = "redis.sock";

/// How the server writes its append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// Not at all: what is in memory is gone with the process.
    None,
    /// Flushed once a second.
    EverySecond,
    /// Flushed before a command is answered.
    Always,
}

/// A running (or stopped, see [`RedisServer::stop`]) server with its data directory.
#[derive(Debug)]
pub struct RedisServer {
    // Above `dir`, so that the process is gone before its directory is.
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
        // An error means that it has ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Ports that this process hands out. Below the range that systems take client ports from, so
/// that a server which is stopped and started again finds its port still free.
fn next_port() -> u16 {
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 20_000;
    static OFFSET: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(397) % u32::from(COUNT)) as u16;
    let offset = OFFSET.fetch_add(1, Ordering::Relaxed) % COUNT;
    FIRST + (start + offset) % COUNT
}

/// A port of the same kind that nobody listens on now, for what a test starts besides.
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
    /// If there is no `redis-server` program, or it does not come up.
    pub fn start(aof: Aof) -> Self {
        Self::start_with(aof, &[])
    }

    /// As [`RedisServer::start`], with further command-line arguments of `redis-server`.
    ///
    /// # Panics
    /// If there is no `redis-server` program, or it does not come up.
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

    /// A fresh server with the content of a snapshot (RDB), and an append-only file from then on:
    /// as `docs/operations.md` restores a backup. A server that is started with an append-only file
    /// does not read a snapshot.
    ///
    /// # Panics
    /// If the snapshot cannot be read, or the server does not come up.
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

    /// The URL of its socket in the file system: the same server, and each call takes less time.
    pub fn socket_url(&self) -> String {
        format!("unix://{}", self.dir.path().join(SOCKET).display())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it is stopped.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("redis-server is running").0.id()
    }

    /// True unless it was stopped or killed.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default()
    }

    /// A new connection for a test's own commands.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection to the private redis-server")
    }

    /// Ends it in good order (SIGTERM: what is in memory reaches the disk, if it has an
    /// append-only file) and keeps its data.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            send_signal(child.0.id(), Signal::Terminate);
            eventually_blocking("redis-server ends", || match child.0.try_wait() {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
    }

    /// Ends it at once (SIGKILL) and keeps what had reached the disk.
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

    /// True once it answers; false if it ended instead, which is what a taken port looks like.
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
            // Below its directory, which it changes to first.
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

    /// Its data directory.
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

/// Ok if the server behind `url` is done loading and is the process `pid`, not somebody else's.
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
