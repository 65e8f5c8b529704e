//! A program on a terminal: a pseudoterminal of a given size, whose keys the test presses.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::eventually::eventually_now;
use crate::programs::Program;

/// Opens a terminal of this size. Returns its screen, which also takes keys, and the end that
/// programs use.
///
/// # Errors
/// The error of the operating system.
pub(crate) fn pseudoterminal((columns, rows): (u16, u16)) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags)?;
    grantpt(&screen)?;
    unlockpt(&screen)?;
    let terminal = ioctl_tiocgptpeer(&screen, flags)?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size)?;
    Ok((screen, terminal))
}

/// A running shell script with its own terminal. Dropping it ends the session.
#[derive(Debug)]
pub struct Terminal {
    keys: File,
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs `script` in `sh`, with only the variables of `env`, `PATH`, `HOME` and `TERM`. The
    /// variable `DRAFTSMAN` has the path of the program.
    ///
    /// # Panics
    /// If the terminal or the shell is unavailable.
    pub fn start(script: &str, (columns, rows): (u16, u16), env: &[(&str, &str)]) -> Self {
        let (master, terminal) = pseudoterminal((columns, rows)).expect("a pseudoterminal");
        let stdio = || Stdio::from(terminal.try_clone().expect("a handle"));
        let mut command = Command::new("setsid");
        command.args(["--ctty", "sh", "-c", script]).env_clear();
        for inherited in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(inherited) {
                command.env(inherited, value);
            }
        }
        command
            .env("TERM", "xterm-256color")
            .env("DRAFTSMAN", Program::Draftsman.path())
            .envs(env.iter().copied())
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio());
        let child = command.spawn().expect("setsid runs");
        let keys = File::from(master.try_clone().expect("a handle"));
        let output = Arc::new(Mutex::new(Vec::new()));
        let collected = output.clone();
        std::thread::spawn(move || {
            let mut master = File::from(master);
            let mut part = [0; 4096];
            // The last process on the terminal ends: EIO.
            while let Ok(n @ 1..) = master.read(&mut part) {
                let mut output = collected.lock().expect("no holder of this lock panics");
                output.extend_from_slice(&part[..n]);
            }
        });
        Self {
            keys,
            child,
            output,
        }
    }

    /// Presses keys. `\x03` is Ctrl-C, `\r` is Enter.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .expect("the terminal takes keys");
    }

    /// Changes the size.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn resize(&self, (columns, rows): (u16, u16)) {
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.keys, size).expect("the size of the terminal");
    }

    /// Everything that was printed so far.
    ///
    /// # Panics
    /// If the thread that reads has panicked.
    pub fn output(&self) -> String {
        let output = self.output.lock().expect("no holder of this lock panics");
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Waits until `text` was printed.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until(&self, text: &str) {
        self.until_after(0, text).await;
    }

    /// Waits until `text` was printed after the first `n` bytes of the output.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until_after(&self, n: usize, text: &str) {
        eventually_now(&format!("the terminal shows {text:?}"), || {
            let output = self.output();
            let found = output.get(n..).is_some_and(|rest| rest.contains(text));
            found.then_some(()).ok_or(output)
        })
        .await;
    }

    /// Waits until the script ends.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn wait(&mut self) -> ExitStatus {
        let output = self.output.clone();
        let child = &mut self.child;
        eventually_now("the script on the terminal ends", || {
            let status = child.try_wait().expect("a child of this process");
            let output = || {
                output
                    .lock()
                    .map(|o| String::from_utf8_lossy(&o).into_owned())
            };
            status.ok_or_else(|| format!("it runs: {:?}", output().unwrap_or_default()))
        })
        .await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The session's other processes get SIGHUP when its leader and the terminal are gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
