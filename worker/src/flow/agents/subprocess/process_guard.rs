//! The guard process between the worker and the program of a step. It runs the worker's executable.
//!
//! A killed worker runs no destructors, and a signal to a process group does not reach a process
//! that has left the group. The worker therefore does not start the program itself. It starts its
//! own executable with the argument [`KEEP`]. That guard process starts the program in a new
//! process group. The guard kills the program and all its descendants as soon as the program ends
//! or the worker closes its end of a shared socket. The kernel closes that end if the worker dies,
//! even by SIGKILL.
//!
//! On Linux the guard is the *subreaper* of its descendants. A process whose parent has died
//! becomes a child of the guard, even with a new session, so no descendant can escape. No
//! descendant gains privileges (`no_new_privs`), so the guard may kill all of them.
//!
//! Limits: a process that the program starts through another service (cron, systemd, a container
//! daemon) is not a descendant. A program can also kill the guard on purpose. The operator chooses
//! the programs, which are trusted not to do that. On other systems than Linux, only the process
//! group is killed.
//!
//! Socket protocol: the worker sends the length of the input (8 bytes, little endian) and the
//! input. At the end the guard sends one line, a [`Report`].

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, waitid,
    waitpid,
};
use shared::fail_point;

/// The first argument that starts this executable as a guard; the program and its arguments follow.
pub(crate) const KEEP: &str = "keep-step-of-flow";

/// The pause between two checks whether the killed processes have ended.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);

/// The end of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The program exited with this status.
    Exited(i32),
    /// This signal terminated the program.
    Signalled(i32),
    /// The program could not be started.
    NotStarted(String),
    /// The program could not be started because the system temporarily lacks a resource.
    Shortage(String),
}

impl Report {
    /// Returns the report of a failed start.
    fn of(error: &io::Error) -> Report {
        let transient = [
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::MFILE,
            Errno::NFILE,
            // Another process has the file of the program open for writing.
            Errno::TXTBSY,
        ];
        let errno = Errno::from_io_error(error);
        if errno.is_some_and(|errno| transient.contains(&errno)) {
            Report::Shortage(error.to_string())
        } else {
            Report::NotStarted(error.to_string())
        }
    }

    /// Returns the report as a line.
    fn line(&self) -> String {
        match self {
            Report::Exited(status) => format!("exited {status}"),
            Report::Signalled(signal) => format!("signalled {signal}"),
            Report::NotStarted(why) => format!("not-started {why}"),
            Report::Shortage(why) => format!("shortage {why}"),
        }
    }

    /// Parses a line; returns `None` if the guard was terminated before it sent a report.
    pub(crate) fn parse(line: &str) -> Option<Report> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "exited" => rest.parse().ok().map(Report::Exited),
            "signalled" => rest.parse().ok().map(Report::Signalled),
            "not-started" => Some(Report::NotStarted(rest.to_owned())),
            "shortage" => Some(Report::Shortage(rest.to_owned())),
            _ => None,
        }
    }
}

/// Acts as a guard if this process was started as one, and returns the exit code. A program in
/// which [`crate::run::run`] may run must call this first.
pub fn guard_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != KEEP {
        return None;
    }
    fail_point::arm();
    let program = args.next()?;
    Some(match keep(program, args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        // The worker is gone, so the error cannot be reported.
        Err(_) => ExitCode::FAILURE,
    })
}

fn keep(program: OsString, args: Vec<OsString>) -> io::Result<()> {
    let worker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Before the program runs, only a lack of system resources causes an error.
    let report = run(&worker, program, args).unwrap_or_else(|error| Report::of(&error));
    (&worker).write_all(report.line().as_bytes())
}

fn run(worker: &UnixStream, program: OsString, args: Vec<OsString>) -> io::Result<Report> {
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        rustix::thread::set_no_new_privs(true)?;
    }
    // Reads the whole input first, so that a later read on the socket returns only when it is
    // closed.
    let mut length = [0_u8; 8];
    let mut from_worker = worker.try_clone()?;
    from_worker.read_exact(&mut length)?;
    let mut input = Vec::new();
    (&from_worker)
        .take(u64::from_le_bytes(length))
        .read_to_end(&mut input)?;

    if let Some(errno) = fail_point::fault("process_guard.spawn").and_then(|text| text.parse().ok())
    {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let started = Command::new(&program)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(Report::of(&error)),
    };
    let pid = Pid::from_child(&child);
    let watching = child.stdin.take().map_or(Ok(()), |mut stdin| {
        // The program may ignore its input.
        start_thread(move || drop(stdin.write_all(&input)))
    });
    let watching = watching.and_then(|()| {
        start_thread(move || {
            // The worker sends no more data: this read returns when the worker's end is closed.
            let _ = from_worker.read(&mut [0]);
            end_all(pid);
            std::process::exit(0);
        })
    });
    if let Err(error) = watching {
        end_all(pid);
        return Ok(Report::of(&error));
    }
    // Does not reap the program yet: until then the system cannot reuse its id, which is also the
    // id of the group.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = loop {
        match waitid(WaitId::Pid(pid), options) {
            Err(Errno::INTR) => {}
            status => break status?,
        }
    };
    end_all(pid);
    let status = status.ok_or_else(|| io::Error::other("no status"))?;
    Ok(match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Report::Exited(status),
        (None, signal) => Report::Signalled(signal.unwrap_or_default()),
    })
}

fn start_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(work).map(drop)
}

/// Kills the process group of `program` and all other descendants of this process, until none
/// remains.
fn end_all(program: Pid) {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut *done, true) {
        return;
    }
    // The group first, so that a group that forks continuously cannot outrun the loop below.
    let _ = kill_process_group(program, Signal::KILL);
    loop {
        let left = living_descendants();
        if left.is_empty() {
            break;
        }
        for pid in left {
            // An error means that the process has just ended.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(SWEEP_PAUSE);
    }
    // In a container the worker is often process 1, so no other process would reap them.
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
}

/// Returns all descendants of this process that have not ended.
#[cfg(target_os = "linux")]
fn living_descendants() -> Vec<Pid> {
    let all: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            parent_of_living(&stat).map(|parent| (pid, parent))
        })
        .collect();
    let mut found = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut at = 0;
    while let Some(&above) = found.get(at) {
        found.extend(
            all.iter()
                .filter(|(_, parent)| *parent == above)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found
        .into_iter()
        .skip(1)
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn living_descendants() -> Vec<Pid> {
    Vec::new()
}

/// Returns the parent from a line of `/proc/<pid>/stat`; `None` for a process that has ended. The
/// name in parentheses may contain any character, including parentheses and spaces.
#[cfg(target_os = "linux")]
fn parent_of_living(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back() {
        for report in [
            Report::Exited(3),
            Report::Signalled(9),
            Report::NotStarted("no such file".to_owned()),
            Report::Shortage("no process".to_owned()),
        ] {
            assert_eq!(Report::parse(&report.line()), Some(report));
        }
        assert_eq!(Report::parse(""), None);
    }

    #[test]
    fn what_the_system_is_short_of_is_no_fault_of_the_program() {
        let report = |errno: Errno| Report::of(&errno.into());
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE] {
            assert!(matches!(report(errno), Report::Shortage(_)), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC] {
            assert!(matches!(report(errno), Report::NotStarted(_)), "{errno}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_brackets_hides_no_process() {
        assert_eq!(parent_of_living("7 (a) Z 1 (b)) S 42 7 7"), Some(42));
        assert_eq!(parent_of_living("7 (sh) Z 42 7 7"), None);
    }
}
