//! The terminal while a picture is shown: another screen, no cursor, keys without Enter. Dropping
//! it leaves the terminal as it was.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

use crate::output::{self, Styled};

/// Switches to the other screen and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor and switches back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Moves the cursor to the first column of the first line.
const HOME: &str = "\x1b[H";
/// Clears the rest of a line, and the rest of the screen.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// The size of a terminal that does not say it: columns, lines.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// A terminal that shows a picture.
pub(super) struct Screen {
    /// The modes before; `None` if standard input is not a terminal.
    before: Option<Termios>,
}

impl Screen {
    /// Enters the other screen.
    ///
    /// # Errors
    /// The error of the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let mut screen = Self { before: None };
        if stdin.is_terminal() {
            let before = tcgetattr(&stdin)?;
            let mut modes = before.clone();
            modes
                .local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            // A suspended process could not give the screen back.
            modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
            tcsetattr(&stdin, OptionalActions::Now, &modes)?;
            screen.before = Some(before);
        }
        write(ENTER)?;
        Ok(screen)
    }

    /// Returns true if keys can be read.
    pub(super) fn has_keys(&self) -> bool {
        self.before.is_some()
    }

    /// Returns columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => DEFAULT_SIZE,
        }
    }

    /// Shows the text in place of the previous one. Lines that do not fit are left out. No line may
    /// be longer than the terminal is wide.
    ///
    /// # Errors
    /// The error of the terminal.
    pub(super) fn draw(&self, text: &Styled) -> io::Result<()> {
        let (_, rows) = self.size();
        let text = text.render(output::stdout_has_colours());
        let lines: Vec<&str> = text.lines().take(rows).collect();
        let lines = lines.join(&format!("{CLEAR_LINE}\r\n"));
        write(&format!("{HOME}{lines}{CLEAR_LINE}{CLEAR_BELOW}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // An error of a closed terminal cannot be reported.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            // Keys that were typed meanwhile are not for the shell.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
