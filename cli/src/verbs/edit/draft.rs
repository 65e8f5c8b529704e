//! The text that is being edited: a file, and the editor.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use thiserror::Error;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::CliError;
use crate::output;

/// The editor if no variable names one.
const DEFAULT_EDITOR: &str = "vi";

/// Why a text was not written.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    /// The editor does not start.
    #[error("cannot run the editor {command:?}; set VISUAL or EDITOR")]
    Start {
        /// The editor.
        command: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The editor failed, and the text is unchanged.
    #[error("the editor {command:?} ended with {status}; nothing was written")]
    Editor {
        /// The editor.
        command: String,
        /// Its exit status.
        status: ExitStatus,
    },
    /// The text differs from the stored one, and was not written.
    #[error("nothing was written; your text is in {}{next}", .path.display())]
    Kept {
        /// The file with the text.
        path: PathBuf,
        /// What to do next, after a separator.
        next: String,
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The text is not valid.
    #[error("the text is not valid: {0}")]
    Invalid(String),
    /// The text has the id of something else.
    #[error("the text has the id `{found}` instead of `{expected}`; an edit keeps the id")]
    OtherId {
        /// The id before the edit.
        expected: String,
        /// The id in the text.
        found: String,
    },
}

/// A text in a file that only this user can read. The file is deleted by [`Draft::discard`] alone,
/// so that no end of this process loses the text.
pub(super) struct Draft {
    path: PathBuf,
    original: String,
    /// Set before the editor starts, because Ctrl-C in an editor must not end this process.
    interrupts: Signal,
}

impl Draft {
    /// Writes the text to a new file in the folder for temporary files. `name` is a part of its
    /// name.
    ///
    /// # Errors
    /// [`CliError::WriteFile`].
    pub(super) fn create(name: &str, text: &str) -> Result<Self, CliError> {
        let failed = |source| CliError::WriteFile {
            path: env::temp_dir(),
            source,
        };
        let mut builder = tempfile::Builder::new();
        let prefix = format!("draftsman-{name}-");
        builder.prefix(&prefix).suffix(".yaml");
        let mut file = builder.tempfile().map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        let (_, path) = file.keep().map_err(|error| failed(error.error))?;
        Ok(Self {
            path,
            original: text.to_owned(),
            interrupts: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// Runs the editor. Returns the text; `None` if it is as at the start.
    ///
    /// # Errors
    /// [`EditError`]. The file is kept if its text differs from the original.
    pub(super) async fn edit(&mut self) -> Result<Option<String>, EditError> {
        let command = editor();
        // As git does it, so that the variable may have options.
        let mut child = Command::new("sh");
        child
            .args(["-c", &format!("{command} \"$@\"")])
            .arg(&command)
            .arg(&self.path);
        let status = match child.status().await {
            Ok(status) => status,
            Err(source) => {
                self.discard();
                return Err(EditError::Start { command, source });
            }
        };
        // One that was meant for the editor does not answer the question that may follow.
        if let Ok(interrupts) = signal(SignalKind::interrupt()) {
            self.interrupts = interrupts;
        }
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => return Err(self.kept("", error)),
        };
        if text == self.original {
            self.discard();
            return match status.success() {
                true => Ok(None),
                false => Err(EditError::Editor { command, status }),
            };
        }
        if !status.success() {
            return Err(self.kept("", EditError::Editor { command, status }));
        }
        Ok(Some(text))
    }

    /// Says why the text was not written, and asks whether to edit it again.
    ///
    /// # Errors
    /// [`EditError::Kept`] if the answer is no, or nobody can be asked.
    pub(super) async fn ask_again(
        &mut self,
        problem: impl Error + Send + Sync + 'static,
    ) -> Result<(), EditError> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(self.kept("", problem));
        }
        let question = format!("{}\nedit again? [Y/n]", chain(&problem));
        let answer = tokio::task::spawn_blocking(move || -> io::Result<String> {
            output::ask(question)?;
            let mut answer = String::new();
            match io::stdin().lock().read_line(&mut answer)? {
                0 => Ok("n".to_owned()),
                _ => Ok(answer),
            }
        });
        let answer = tokio::select! {
            answer = answer => answer.ok().and_then(Result::ok),
            _ = self.interrupts.recv() => None,
        };
        let answer = answer.unwrap_or_else(|| "n".to_owned());
        match answer.trim().to_ascii_lowercase().as_str() {
            "" | "y" | "yes" => Ok(()),
            _ => Err(self.kept("", problem)),
        }
    }

    /// Returns the error that names the file. `next` says what to do, after a separator.
    pub(super) fn kept(
        &self,
        next: &str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> EditError {
        EditError::Kept {
            path: self.path.clone(),
            next: next.to_owned(),
            source: source.into(),
        }
    }

    /// Returns the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the file: its text is stored, or is the original.
    pub(super) fn discard(&self) {
        // A file that cannot be deleted is only left over.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the editor of this user.
fn editor() -> String {
    let named = ["VISUAL", "EDITOR"].iter().find_map(|name| {
        let value = env::var(name).ok()?;
        (!value.trim().is_empty()).then_some(value)
    });
    named.unwrap_or_else(|| DEFAULT_EDITOR.to_owned())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("\n  because: {cause}"));
        source = cause.source();
    }
    text
}
