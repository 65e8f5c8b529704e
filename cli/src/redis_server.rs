//! The private redis-server of `draftsman up`.
//!
//! It must end with this process, in every case:
//!
//! - It has its own process group, so that Ctrl-C at the terminal does not reach it. It must
//!   outlive the workers and intake, which still write while they finish.
//! - It is stopped with SIGTERM, on which it writes its append-only file. The destructor also sends
//!   SIGTERM.
//! - If `setpriv` is installed (util-linux, on every Debian), the kernel sends SIGTERM when this
//!   process dies. The kernel tracks the thread that started the child, so [`RedisServer::start`]
//!   must be called on the main thread.
//! - Without `setpriv`, a redis-server that outlives `up` keeps its data directory locked; see
//!   [`crate::data_dir`].

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use shared::store::{Store, StoreError};
use thiserror::Error;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::data_dir::{DataDir, DataDirError};

/// Names of compatible server programs.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// Time for redis-server to write its data before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Interval between pings during the start.
const POLL: Duration = Duration::from_millis(50);
/// Number of attempts to start: another process may take the free port before redis-server binds
/// it.
const START_TRIES: u32 = 3;
/// Number of log lines shown when redis-server fails to start.
const LOG_TAIL_LINES: usize = 8;

/// Why redis-server did not start or did not stay up.
#[derive(Debug, Error)]
pub(crate) enum RedisServerError {
    /// None is installed.
    #[error(
        "redis-server is not installed (looked for {} on the PATH). Debian, Ubuntu: sudo apt-get install redis-server. \
         macOS: brew install redis. Or name the program with --redis-server. Version 7.0 is the oldest that works",
        PROGRAMS.join(" and ")
    )]
    NotInstalled,
    /// The data directory is not usable.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The program is missing or cannot be started.
    #[error("cannot start {}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// No port or no random number is available.
    #[error("cannot prepare redis-server")]
    Prepare(#[source] io::Error),
    /// It ended while starting.
    #[error("redis-server ended at once ({status}); the end of {}:\n{tail}", .log.display())]
    EndedAtOnce {
        /// Its exit status.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The store rejects the generated address.
    #[error("redis-server cannot be reached")]
    Store(#[from] StoreError),
    /// It did not end after SIGTERM.
    #[error("redis-server (process {pid}) did not end within {} s of SIGTERM and was killed", STOP_LIMIT.as_secs())]
    Killed {
        /// Its process id.
        pid: i32,
    },
    /// It ended early or with an error.
    #[error("redis-server ended with {status}; see {}", .log.display())]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
    },
    /// Its exit status cannot be read.
    #[error("cannot wait for redis-server")]
    Wait(#[source] io::Error),
}

/// A running redis-server with its append-only file in a data directory.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    url: String,
    log: PathBuf,
    /// Locked until this value is dropped.
    _data_dir: DataDir,
}

impl RedisServer {
    /// Starts redis-server on a free loopback port and waits until it answers, with its stored
    /// data.
    ///
    /// `program` defaults to the first one on the PATH. Call this on the main thread; see the head
    /// of this file.
    ///
    /// Cancel safety: a dropped call stops what it started.
    ///
    /// # Errors
    /// [`RedisServerError`]; nothing is left running then.
    pub(crate) async fn start(
        program: Option<&Path>,
        data_dir: &Path,
    ) -> Result<Self, RedisServerError> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => PROGRAMS
                .iter()
                .find_map(|name| on_path(name))
                .ok_or(RedisServerError::NotInstalled)?,
        };
        let mut guard = on_path("setpriv").filter(|_| cfg!(target_os = "linux"));
        let mut tries = 1;
        loop {
            let data_dir = DataDir::take(data_dir).await?;
            let mut server = Self::spawn(&program, guard.as_deref(), data_dir)?;
            match server.answers().await {
                Ok(()) => return Ok(server),
                // An empty log shows that setpriv itself failed: BusyBox's has no `--pdeathsig`.
                Err(RedisServerError::EndedAtOnce { tail, .. })
                    if tail.is_empty() && guard.is_some() =>
                {
                    guard = None
                }
                Err(RedisServerError::EndedAtOnce { tail, .. })
                    if tail.contains("in use") && tries < START_TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts redis-server once, through `guard` (setpriv) if given.
    fn spawn(
        program: &Path,
        guard: Option<&Path>,
        data_dir: DataDir,
    ) -> Result<Self, RedisServerError> {
        let port = free_port().map_err(RedisServerError::Prepare)?;
        let password = random_hex().map_err(RedisServerError::Prepare)?;
        let url = format!("redis://default:{password}@127.0.0.1:{port}");
        let configuration = data_dir.write(
            "redis.conf",
            &configuration(port, &password, data_dir.path()),
        )?;
        // Allows manual inspection: redis-cli -u "$(cat .draftsman/redis.url)"
        data_dir.write("redis.url", &format!("{url}\n"))?;
        // Truncates the log, so that an error shows only lines of this start.
        let log = data_dir.write("redis.log", "")?;

        let mut command = match guard {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "TERM", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let child = command
            .arg(&configuration)
            .process_group(0)
            .stdin(data_dir.lock_as_stdin()?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| RedisServerError::Spawn {
                program: program.to_owned(),
                source,
            })?;
        let server = Self {
            child,
            url,
            log,
            _data_dir: data_dir,
        };
        server
            ._data_dir
            .record(server.pid().map_or(0, |pid| pid.as_raw_nonzero().get()))?;
        Ok(server)
    }

    /// Waits until the server answers. It may first load a large append-only file, so this has no
    /// time limit.
    async fn answers(&mut self) -> Result<(), RedisServerError> {
        let store = Store::open(&self.url, 1)?;
        let answered = async {
            while store.ping().await.is_err() {
                sleep(POLL).await;
            }
        };
        tokio::select! {
            () = answered => Ok(()),
            status = self.child.wait() => Err(RedisServerError::EndedAtOnce {
                status: status.map_err(RedisServerError::Wait)?,
                log: self.log.clone(),
                tail: tail(&self.log),
            }),
        }
    }

    /// Returns its URL, with the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the server ends by itself, and returns how. Cancel safe.
    pub(crate) async fn ended(&mut self) -> RedisServerError {
        match self.child.wait().await {
            Ok(status) => RedisServerError::Ended {
                status,
                log: self.log.clone(),
            },
            Err(error) => RedisServerError::Wait(error),
        }
    }

    /// Stops the server after it has written its data.
    ///
    /// # Errors
    /// It was killed after [`STOP_LIMIT`], or ended with an error. The last second of writes may be
    /// lost.
    pub(crate) async fn stop(mut self) -> Result<(), RedisServerError> {
        let pid = self.pid().map_or(0, |pid| pid.as_raw_nonzero().get());
        self.terminate();
        let Ok(status) = timeout(STOP_LIMIT, self.child.wait()).await else {
            self.child.kill().await.map_err(RedisServerError::Wait)?;
            return Err(RedisServerError::Killed { pid });
        };
        let status = status.map_err(RedisServerError::Wait)?;
        if status.success() {
            Ok(())
        } else {
            Err(RedisServerError::Ended {
                status,
                log: self.log.clone(),
            })
        }
    }

    /// Returns its process id; `None` after it was waited for, when the id may belong to another
    /// process.
    fn pid(&self) -> Option<Pid> {
        self.child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
    }

    /// Sends SIGTERM, unless it has ended.
    fn terminate(&self) {
        if let Some(pid) = self.pid() {
            // Fails if it has just ended, which is the goal.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// Returns the first program of that name on the PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Returns a free loopback port.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Returns 128 random bits as a password: other users of this machine can connect to the port.
fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns a configuration that writes each acknowledged write to the append-only file within a
/// second and never evicts.
fn configuration(port: u16, password: &str, data_dir: &Path) -> String {
    let dir = data_dir
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!(
        "# Written by `draftsman up` at every start.\n\
         bind 127.0.0.1\n\
         port {port}\n\
         requirepass {password}\n\
         daemonize no\n\
         dir \"{dir}\"\n\
         logfile \"{dir}/redis.log\"\n\
         appendonly yes\n\
         appendfsync everysec\n\
         save \"\"\n\
         maxmemory {memory}\n\
         maxmemory-policy noeviction\n",
        memory = memory_limit()
    )
}

/// Returns the memory limit of Redis in bytes: half of the machine's memory. Without a limit the
/// system ends Redis when memory is short; with one, intake refuses issues first.
fn memory_limit() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        #[allow(
            clippy::useless_conversion,
            reason = "the field has the width of the machine's words"
        )]
        let total = u64::from(info.totalram);
        total * u64::from(info.mem_unit) / 2
    }
    #[cfg(not(target_os = "linux"))]
    {
        1 << 30
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_quotes_stays_one_word_of_the_configuration() {
        let text = configuration(7000, "secret", Path::new("/tmp/a \"b\""));
        assert!(text.contains("dir \"/tmp/a \\\"b\\\"\"\n"), "{text}");
    }
}
