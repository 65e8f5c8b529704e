//! Questions to a person: on standard error, answered on standard input.

use std::io::{self, BufRead};

use crate::output;

/// Asks a question. Returns the answer in lower case; empty at the end of the input.
///
/// # Errors
/// Errors of standard error or standard input.
pub(super) fn ask(question: &str) -> io::Result<String> {
    Ok(read(question)?.to_lowercase())
}

/// Asks for a text; `None` if the answer is empty.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_for(question: &str) -> io::Result<Option<String>> {
    Ok(Some(read(question)?).filter(|answer| !answer.is_empty()))
}

/// Asks a question that is answered with yes or no.
///
/// # Errors
/// As [`ask`].
pub(super) fn is_confirmed(question: &str) -> io::Result<bool> {
    let answer = ask(&format!("{question} [y/N]"))?;
    Ok(matches!(answer.as_str(), "y" | "yes"))
}

fn read(question: &str) -> io::Result<String> {
    output::ask(question)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}
