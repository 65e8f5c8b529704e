//! `draftsman` on a terminal, as a person uses it: a pseudoterminal with a width.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::eventually::eventually_now;
use crate::programs::{Finished, Program, command};

/// A running program whose standard streams are a terminal. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    /// The keyboard.
    keys: File,
    /// Everything that the program has written, and the echo of what was typed.
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts `draftsman` on a terminal with `columns` columns.
    ///
    /// # Panics
    /// If there is no pseudoterminal, or the program does not start.
    pub fn start(columns: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).expect("a pseudoterminal");
        grantpt(&keyboard).expect("grantpt");
        unlockpt(&keyboard).expect("unlockpt");
        let name = ptsname(&keyboard, Vec::new()).expect("ptsname");
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = rustix::fs::open(path, flags, Mode::empty()).expect("the terminal");
        let size = Winsize {
            ws_row: 50,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&line, size).expect("tcsetwinsize");
        let stream = |line: &OwnedFd| Stdio::from(line.try_clone().expect("a descriptor"));
        let mut command = command(Program::Draftsman, args, env);
        command.env("TERM", "xterm-256color");
        command.stdin(stream(&line)).stdout(stream(&line));
        let child = command.stderr(stream(&line)).spawn();
        let child = child.expect("draftsman starts");
        // Only the program holds the terminal now, so that the reader ends with it.
        drop((command, line));

        let screen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keys = File::from(keyboard);
        let mut output = keys.try_clone().expect("a descriptor");
        let shown = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO is the end of a pseudoterminal.
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(&buffer[..n]);
            }
        });
        Self {
            child,
            keys,
            screen,
            reader,
        }
    }

    /// What the terminal has shown so far, without colours.
    pub fn screen(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        without_colours(&String::from_utf8_lossy(&screen)).replace("\r\n", "\n")
    }

    /// Waits until the terminal shows `words`.
    ///
    /// # Panics
    /// If it does not within the wait limit.
    pub async fn until(&self, words: &str) {
        eventually_now(&format!("the terminal shows {words:?}"), || {
            let screen = self.screen();
            screen.contains(words).then_some(()).ok_or(screen)
        })
        .await;
    }

    /// Types a line.
    ///
    /// # Panics
    /// If the terminal is closed.
    pub fn type_line(&mut self, text: &str) {
        let line = format!("{text}\n");
        self.keys.write_all(line.as_bytes()).expect("the terminal");
    }

    /// Waits until the program ends. Its output is that of the terminal.
    ///
    /// # Panics
    /// If it does not end within the wait limit.
    pub async fn finished(mut self) -> Finished {
        let status = eventually_now("draftsman ends", || {
            let ended = self.child.try_wait().expect("the state of a child process");
            ended.ok_or_else(|| self.screen())
        })
        .await;
        // The reader may be behind the program. It ends when nobody holds the terminal.
        eventually_now("the terminal is read to its end", || {
            let is_read = self.reader.is_finished();
            is_read.then_some(()).ok_or_else(|| self.screen())
        })
        .await;
        Finished {
            code: status.code(),
            stdout: self.screen(),
            stderr: String::new(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may have ended in the meantime.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Removes the control sequences of ECMA-48 that colour text and move the cursor.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = sequence.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &sequence[end + 1..]);
    }
    plain + rest
}
