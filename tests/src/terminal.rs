//! Programs on a terminal: a pseudo-terminal of a given width.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::eventually::eventually_blocking;
use crate::programs::{Finished, Program, command};

/// Number of lines of the terminal.
const ROWS: u16 = 24;

/// Runs `program` until it ends, on a terminal with this number of columns, without blocking the
/// runtime. Its whole output is `stdout` of the result.
///
/// # Panics
/// If there is no pseudo-terminal, or the program does not end within the wait limit.
pub async fn run_on_terminal(
    program: Program,
    args: &[&str],
    env: &[(&str, &str)],
    columns: u16,
) -> Finished {
    let command = command(program, args, env);
    let running = tokio::task::spawn_blocking(move || run(command, columns));
    running.await.expect("the thread does not panic")
}

fn run(mut command: Command, columns: u16) -> Finished {
    let (screen, terminal) = open(columns).expect("a pseudo-terminal");
    let share = || Stdio::from(terminal.try_clone().expect("a file descriptor"));
    command.stdin(share()).stdout(share()).stderr(share());
    let mut child = command.spawn().expect("the program starts");
    // The screen ends when no process has the terminal open.
    drop((command, terminal));
    let reading = std::thread::spawn(move || read(screen));
    let status = eventually_blocking("the program ends", || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("it runs".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    let output = reading.join().expect("the reader does not panic");
    Finished {
        code: status.code(),
        // The terminal writes a line break as two characters.
        stdout: String::from_utf8_lossy(&output).replace("\r\n", "\n"),
        stderr: String::new(),
    }
}

/// Returns both ends of a new terminal: the screen, and what programs use.
fn open(columns: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags)?;
    grantpt(&screen)?;
    unlockpt(&screen)?;
    let terminal = ioctl_tiocgptpeer(&screen, flags)?;
    let size = Winsize {
        ws_row: ROWS,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size)?;
    Ok((screen, terminal))
}

/// Reads what appears on the screen. Linux ends it with an error.
fn read(screen: OwnedFd) -> Vec<u8> {
    let (mut screen, mut output, mut part) = (File::from(screen), Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = screen.read(&mut part) {
        output.extend_from_slice(&part[..n]);
    }
    output
}
