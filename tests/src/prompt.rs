//! `draftsman` on a terminal, with a person who answers its questions.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::eventually::eventually_now;
use crate::programs::{Finished, Program, command};
use crate::screen::{ROWS, screen};
use crate::terminal::pseudoterminal;

/// A running program whose standard streams are a terminal. Dropping it kills the program.
#[derive(Debug)]
pub struct Prompt {
    child: Child,
    columns: u16,
    keyboard: File,
    /// Everything that was written to the terminal, and the echo of what was typed.
    output: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Prompt {
    /// Starts `draftsman` on a terminal with `columns` columns.
    ///
    /// # Panics
    /// If there is no pseudo-terminal, or the program does not start.
    pub fn start(columns: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        let (master, terminal) = pseudoterminal((columns, ROWS)).expect("a pseudo-terminal");
        let share = || Stdio::from(terminal.try_clone().expect("a file descriptor"));
        let mut command = command(Program::Draftsman, args, env);
        command.env("TERM", "xterm-256color");
        command.stdin(share()).stdout(share()).stderr(share());
        let child = command.spawn().expect("draftsman starts");
        // Only the program has the terminal open now, so the reader ends with it.
        drop((command, terminal));

        let output: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keyboard = File::from(master);
        let mut master = keyboard.try_clone().expect("a file descriptor");
        let shown = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(n @ 1..) = master.read(&mut part) {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(&part[..n]);
            }
        });
        Self {
            child,
            columns,
            keyboard,
            output,
            reader,
        }
    }

    /// What the program has written so far, with colours.
    pub fn output(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&output).into_owned()
    }

    /// What a person sees now.
    pub fn screen(&self) -> String {
        screen(&self.output(), self.columns.into())
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
        self.keyboard
            .write_all(line.as_bytes())
            .expect("the terminal is open");
    }

    /// Waits until the program ends. `stdout` is what a person sees then.
    ///
    /// # Panics
    /// If it does not end within the wait limit.
    pub async fn finished(mut self) -> Finished {
        let status = eventually_now("draftsman ends", || {
            let ended = self.child.try_wait().expect("the state of a child process");
            ended.ok_or_else(|| self.screen())
        })
        .await;
        // The reader may be behind the program.
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

impl Drop for Prompt {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may have ended in the meantime.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
