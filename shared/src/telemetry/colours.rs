//! Whether the environment permits colours on a terminal.

use std::ffi::{OsStr, OsString};

/// Returns whether the environment permits colours: `NO_COLOR` is empty or unset
/// (<https://no-color.org>), and `TERM` is not `dumb`. `variable` returns a variable.
pub fn are_wanted(variable: impl Fn(&'static str) -> Option<OsString>) -> bool {
    let is_off = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_off && variable("TERM").as_deref() != Some(OsStr::new("dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_off_for_no_color_and_a_dumb_terminal() {
        for (no_color, term, wanted) in [
            (None, None, true),
            (None, Some("xterm-256color"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
        ] {
            let variable = |name| match name {
                "NO_COLOR" => no_color.map(OsString::from),
                _ => term.map(OsString::from),
            };
            assert_eq!(are_wanted(variable), wanted, "{no_color:?} {term:?}");
        }
    }
}
