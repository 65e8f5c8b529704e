//! The data directory of `draftsman up`, locked for one `up` and its redis-server.
//!
//! The lock is an `flock` on the file `lock`, and redis-server inherits the open file as its
//! standard input. Such a lock belongs to every process that has the open file. So the directory
//! stays locked while either process runs, and a crash leaves no lock behind. No second
//! redis-server can start on the same append-only file. The text of the file has the ids of both
//! processes, only for messages.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// How long to wait for the lock after the `up` that held it has died. Its redis-server may be
/// about to exit.
const WAIT_LIMIT: Duration = Duration::from_secs(10);
/// Interval between attempts to lock.
const POLL: Duration = Duration::from_millis(50);

/// Why a data directory is not usable.
#[derive(Debug, Error)]
pub(crate) enum DataDirError {
    /// The directory or a file in it cannot be used.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another `up` uses it.
    #[error("{} is in use: `draftsman up` runs there already (process {up_pid}); stop it, or choose another --data-dir", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id of the other `up`.
        up_pid: i32,
    },
    /// A redis-server whose `up` has died uses it.
    #[error(
        "{} is in use by a redis-server that an earlier `draftsman up` left behind (process {redis_pid}); \
         end it with `kill {redis_pid}` and start again",
        .path.display()
    )]
    Stale {
        /// The directory.
        path: PathBuf,
        /// The process id of that redis-server.
        redis_pid: i32,
    },
}

/// A data directory locked by this process.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates the directory if missing, accessible only to its owner, and locks it.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub(crate) async fn take(path: &Path) -> Result<Self, DataDirError> {
        let here = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(here)?;
        let path = path.canonicalize().map_err(here)?;
        let lock_path = path.join("lock");
        let at_lock = |source| DataDirError::Io {
            path: lock_path.clone(),
            source,
        };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(at_lock)?;

        let give_up_at = Instant::now() + WAIT_LIMIT;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(at_lock(errno.into())),
            }
            let holders = Holders::read(&lock);
            if let Some(up_pid) = holders
                .map(|holders| holders.up)
                .filter(|pid| is_alive(*pid))
            {
                return Err(DataDirError::InUse { path, up_pid });
            }
            if Instant::now() >= give_up_at {
                let redis_pid = holders.map_or(0, |holders| holders.redis);
                return Err(DataDirError::Stale { path, redis_pid });
            }
            sleep(POLL).await;
        }
        let taken = Self { path, lock };
        taken.record(0)?;
        Ok(taken)
    }

    /// Returns the absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Records the redis-server that shares the lock; 0 for none.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub(crate) fn record(&self, redis_pid: i32) -> Result<(), DataDirError> {
        let holders = Holders {
            up: getpid().as_raw_nonzero().get(),
            redis: redis_pid,
        };
        holders
            .write(&self.lock)
            .map_err(|source| self.error("lock", source))
    }

    /// Returns the lock as the standard input of a child.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub(crate) fn lock_as_stdin(&self) -> Result<Stdio, DataDirError> {
        Ok(Stdio::from(
            self.lock
                .try_clone()
                .map_err(|source| self.error("lock", source))?,
        ))
    }

    /// Writes a file that only its owner can read. Returns its path.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|source| self.error(name, source))?;
        Ok(path)
    }

    fn error(&self, name: &str, source: io::Error) -> DataDirError {
        DataDirError::Io {
            path: self.path.join(name),
            source,
        }
    }
}

/// The processes that hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holders {
    up: i32,
    redis: i32,
}

impl Holders {
    fn write(self, mut file: &File) -> io::Result<()> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        write!(file, "{} {}", self.up, self.redis)
    }

    fn read(mut file: &File) -> Option<Self> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.read_to_string(&mut text).ok()?;
        let (up, redis) = text.split_once(' ')?;
        Some(Self {
            up: up.parse().ok()?,
            redis: redis.parse().ok()?,
        })
    }
}

fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_had_by_one_at_a_time() {
        let parent =
            std::env::temp_dir().join(format!("draftsman-data-dir-{}", std::process::id()));
        let path = parent.join("a/b");
        let taken = DataDir::take(&path).await.unwrap();
        taken.record(77).unwrap();
        assert_eq!(
            Holders::read(&taken.lock).map(|holders| holders.redis),
            Some(77)
        );
        let refused = DataDir::take(&path).await.unwrap_err();
        assert!(
            matches!(refused, DataDirError::InUse { up_pid, .. } if up_pid == getpid().as_raw_nonzero().get()),
            "{refused}"
        );
        drop(taken);
        let again = DataDir::take(&path).await.unwrap();
        let secret = again.write("redis.conf", "x").unwrap();
        assert_eq!(std::fs::read_to_string(secret).unwrap(), "x");
        std::fs::remove_dir_all(parent).unwrap();
    }
}
