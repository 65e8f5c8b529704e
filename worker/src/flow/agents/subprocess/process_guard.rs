//! The keeper: this program once more, between the worker and the program of a step.
//!
//! A worker that is killed runs no destructor, and a process that has left its group is found by no
//! signal to the group. So the worker starts no program itself. It starts its own executable with the
//! word [`KEEP`], and that starts the program, in a process group of its own, and ends it together
//! with everything it has started as soon as the program has ended or the worker lets go: the two
//! hold the ends of a socket, and whatever becomes of the worker, SIGKILL included, its end closes.
//!
//! On Linux the keeper is the *subreaper* of what it starts: a process whose parent has died becomes
//! its child, also one with a session of its own, so that nobody gets out of its sight. Nothing below it gains
//! privileges (`no_new_privs`), so that there is nobody whom it may not kill. What a program asks
//! another service to start (cron, systemd, a container daemon) is not below it, and a program that
//! kills the keeper on purpose is rid of it: what runs here is named by the operator and not hostile.
//! Elsewhere than on Linux only the process group is ended.
//!
//! On the socket: the worker sends the length of the input (8 bytes, little endian) and the input;
//! the keeper sends one line when all is over, a [`Report`].

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

/// The first argument that makes a keeper of this program; the step's program and its arguments follow.
pub(crate) const KEEP: &str = "keep-step-of-flow";

/// Between two looks at whether those who were killed are gone.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);

/// How the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It could not be started.
    NotStarted(String),
    /// It could not be started because the system is short of something that may be there later.
    Shortage(String),
}

impl Report {
    /// That nothing could be started.
    fn of(error: &io::Error) -> Report {
        let passing = [
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::MFILE,
            Errno::NFILE,
            // Somebody is writing the program's file.
            Errno::TXTBSY,
        ];
        let errno = Errno::from_io_error(error);
        if errno.is_some_and(|errno| passing.contains(&errno)) {
            Report::Shortage(error.to_string())
        } else {
            Report::NotStarted(error.to_string())
        }
    }

    /// The line that says it.
    fn line(&self) -> String {
        match self {
            Report::Exited(status) => format!("exited {status}"),
            Report::Signalled(signal) => format!("signalled {signal}"),
            Report::NotStarted(why) => format!("not-started {why}"),
            Report::Shortage(why) => format!("shortage {why}"),
        }
    }

    /// What a line says; `None` if the keeper was ended before it could say anything.
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

/// Does a keeper's work if this process was started as one: then the exit code is `Some`. The first
/// thing that a program calls in which [`crate::run::run`] may run.
pub fn guard_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != KEEP {
        return None;
    }
    fail_point::arm();
    let program = args.next()?;
    Some(match keep(program, args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left who could be told.
        Err(_) => ExitCode::FAILURE,
    })
}

fn keep(program: OsString, args: Vec<OsString>) -> io::Result<()> {
    let worker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Before the program runs, only what the system cannot spare ends this with an error.
    let report = run(&worker, program, args).unwrap_or_else(|error| Report::of(&error));
    (&worker).write_all(report.line().as_bytes())
}

fn run(worker: &UnixStream, program: OsString, args: Vec<OsString>) -> io::Result<Report> {
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        rustix::thread::set_no_new_privs(true)?;
    }
    // Read whole before anything else, so that from then on the socket says one thing only: that it is closed.
    let mut length = [0_u8; 8];
    let mut from_worker = worker.try_clone()?;
    from_worker.read_exact(&mut length)?;
    let mut input = Vec::new();
    (&from_worker)
        .take(u64::from_le_bytes(length))
        .read_to_end(&mut input)?;

    if let Some(errno) = fail_point::fault("keeper.spawn").and_then(|text| text.parse().ok()) {
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
        // A program need not read what it is given.
        start_thread(move || drop(stdin.write_all(&input)))
    });
    let watching = watching.and_then(|()| {
        start_thread(move || {
            // Nothing more is sent: this returns when the worker's end is closed.
            let _ = from_worker.read(&mut [0]);
            end_all(pid);
            std::process::exit(0);
        })
    });
    if let Err(error) = watching {
        end_all(pid);
        return Ok(Report::of(&error));
    }
    // Not reaped yet: until then nobody else gets its id, which is that of the group as well.
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

/// Kills the group of `program` and whatever else this process is above of, until nothing is left.
fn end_all(program: Pid) {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut *done, true) {
        return;
    }
    // At once, so that a group which does nothing but fork does not outrun what follows.
    let _ = kill_process_group(program, Signal::KILL);
    loop {
        let left = living_descendants();
        if left.is_empty() {
            break;
        }
        for pid in left {
            // It may have ended this very moment.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(SWEEP_PAUSE);
    }
    // In a container the worker is often the first process, and nobody else would reap them.
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
}

/// Every process below this one that has not ended.
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

/// The parent in a line of `/proc/<pid>/stat`; `None` for a process that has ended. The name in
/// brackets may hold anything, brackets and spaces too.
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
