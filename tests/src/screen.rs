//! What programs show on a terminal of a given width, until they end.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually_blocking;
use crate::programs::{Finished, Program, command};
use crate::terminal::pseudoterminal;

/// Number of lines of the terminal.
pub(crate) const ROWS: u16 = 24;

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
    run_command_on_terminal(command(program, args, env), columns).await
}

/// As [`run_on_terminal`], for a prepared command.
///
/// # Panics
/// As [`run_on_terminal`].
pub async fn run_command_on_terminal(command: Command, columns: u16) -> Finished {
    let running = tokio::task::spawn_blocking(move || run(command, columns, None));
    running.await.expect("the thread does not panic")
}

/// As [`run_command_on_terminal`], and ends the program with SIGTERM when `text` appears. (The
/// children of a shell in the background ignore SIGINT.)
///
/// # Panics
/// As [`run_on_terminal`].
pub async fn run_until(command: Command, columns: u16, text: &str) -> Finished {
    let text = text.to_owned();
    let running = tokio::task::spawn_blocking(move || run(command, columns, Some(text)));
    running.await.expect("the thread does not panic")
}

fn run(mut command: Command, columns: u16, until: Option<String>) -> Finished {
    let (screen, terminal) = pseudoterminal((columns, ROWS)).expect("a pseudoterminal");
    let share = || Stdio::from(terminal.try_clone().expect("a file descriptor"));
    command.stdin(share()).stdout(share()).stderr(share());
    let mut child = command.spawn().expect("the program starts");
    // The screen ends when no process has the terminal open.
    drop((command, terminal));
    let pid = Pid::from_child(&child);
    let interrupt = move || kill_process(pid, Signal::TERM).expect("it runs");
    let reading = std::thread::spawn(move || read(screen, until, interrupt));
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

/// Reads what appears on the screen. Linux ends it with an error. Calls `interrupt` once, when the
/// text of `until` has appeared.
fn read(screen: OwnedFd, mut until: Option<String>, interrupt: impl FnOnce()) -> Vec<u8> {
    let (mut screen, mut output, mut part) = (File::from(screen), Vec::new(), [0; 4096]);
    let mut interrupt = Some(interrupt);
    while let Ok(n @ 1..) = screen.read(&mut part) {
        output.extend_from_slice(&part[..n]);
        let shown = String::from_utf8_lossy(&output);
        if until.as_ref().is_some_and(|text| shown.contains(text)) {
            until = None;
            if let Some(interrupt) = interrupt.take() {
                interrupt();
            }
        }
    }
    output
}

/// Returns what a person sees at the end: the lines of a terminal of this width after `output`,
/// without colours. A line that is too long wraps, as on a terminal.
pub fn screen(output: &str, columns: usize) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut rest = output.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => (row, column) = (row + 1, 0),
            '\x1b' => {
                let (number, command) = sequence(&mut rest);
                match command {
                    'A' => row = row.saturating_sub(number.max(1)),
                    'B' => row += number.max(1),
                    'H' => (row, column) = (0, 0),
                    'K' if number == 2 => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    'J' => {
                        lines.truncate(row + 1);
                        lines[row].truncate(column);
                    }
                    _ => {}
                }
            }
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let lines = lines.into_iter().map(String::from_iter);
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Reads a control sequence after ESC (ECMA-48): its first number and its final character.
fn sequence(rest: &mut std::str::Chars<'_>) -> (usize, char) {
    let mut number = String::new();
    for c in rest.skip_while(|c| *c == '[') {
        match c {
            '0'..='9' => number.push(c),
            '@'..='~' => return (number.parse().unwrap_or(0), c),
            _ => {}
        }
    }
    (0, ' ')
}

#[cfg(test)]
mod tests {
    use super::screen;

    #[test]
    fn the_screen_has_what_was_not_written_over() {
        assert_eq!(screen("a\nb\n", 80), "a\nb");
        assert_eq!(
            screen("spin\r\x1b[2Kdone\n\x1b[1A\x1b[31mD\x1b[0m", 80),
            "Done"
        );
        assert_eq!(screen("x\ny\x1b[H\x1b[Jz", 80), "z");
        assert_eq!(screen("abcdef", 4), "abcd\nef");
        assert_eq!(screen("\x1b[?25lhidden\x1b[?25h", 80), "hidden");
    }
}
