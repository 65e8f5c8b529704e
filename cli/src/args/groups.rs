//! The verbs by subject, as `draftsman --help` lists them. clap has no groups for subcommands.

use clap::builder::styling::Styles;
use clap::{Command, CommandFactory};

use super::Cli;

/// The subjects, with their verbs.
const GROUPS: [(&str, &[&str]); 9] = [
    (
        "Blueprints",
        &[
            "put",
            "get",
            "edit",
            "history",
            "diff",
            "revert",
            "fork",
            "archive",
            "unarchive",
        ],
    ),
    (
        "Issues",
        &[
            "submit", "preview", "watch", "issues", "cancel", "retry", "log",
        ],
    ),
    ("Reviews", &["review", "approve", "decline"]),
    ("Queue", &["top", "stats", "pause", "resume"]),
    (
        "Channels and consumers",
        &[
            "channels",
            "promote",
            "rollback",
            "consumers",
            "follow",
            "sync",
        ],
    ),
    ("Settings and checks of changes", &["setting", "verify"]),
    ("Copies", &["export", "import", "backup", "restore"]),
    ("Operation", &["up", "console", "doctor", "probe", "certs"]),
    ("This program", &["context", "completions", "man", "help"]),
];

/// Width of the listing, in columns.
const WIDTH: usize = 80;
/// Columns before the description of a verb.
const INDENT: usize = 15;

/// Returns the definition of the program, with the verbs by subject in its help.
pub(crate) fn command() -> Command {
    let command = Cli::command();
    let header = Styles::styled().get_header().to_owned();
    let mut text = String::new();
    for (subject, verbs) in listing(&command) {
        text.push_str(&format!("{header}{subject}:{header:#}\n"));
        for (verb, about) in verbs {
            text.push_str(&entry(&verb, &about));
        }
        text.push('\n');
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}\
         {header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Returns the subjects, with the name and the description of each verb.
pub(crate) fn listing(command: &Command) -> Vec<(&'static str, Vec<(String, String)>)> {
    let about = |verb: &str| match command.find_subcommand(verb) {
        Some(found) => {
            let about = found.get_about().map(ToString::to_string);
            about.unwrap_or_default()
        }
        // clap adds this verb itself, later.
        None => "Print this, or the help of a verb".to_owned(),
    };
    let groups = GROUPS.iter().map(|(subject, verbs)| {
        let verbs = verbs.iter().map(|verb| ((*verb).to_owned(), about(verb)));
        (*subject, verbs.collect())
    });
    groups.collect()
}

/// Formats a verb with its description, in at most [`WIDTH`] columns.
fn entry(verb: &str, about: &str) -> String {
    let mut text = format!("  {verb:<width$}", width = INDENT - 3);
    let mut column = INDENT - 1;
    for word in about.split_whitespace() {
        let width = word.chars().count();
        if column + 1 + width > WIDTH {
            text.push_str(&format!("\n{:INDENT$}{word}", ""));
            column = INDENT + width;
        } else {
            text.push_str(&format!(" {word}"));
            column += 1 + width;
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_verb_is_in_exactly_one_group() {
        let mut command = Cli::command();
        command.build();
        let visible = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let verbs: BTreeSet<String> = visible.map(|verb| verb.get_name().to_owned()).collect();
        let listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, verbs)| *verbs)
            .copied()
            .collect();
        let listed_once: BTreeSet<String> = listed.iter().map(|&verb| verb.to_owned()).collect();
        assert_eq!(listed_once, verbs);
        assert_eq!(listed.len(), listed_once.len(), "a verb is listed twice");
    }

    #[test]
    fn the_help_has_every_description_within_its_width() {
        let help = command().render_long_help().to_string();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let flat = words(&help);
        for (subject, verbs) in listing(&Cli::command()) {
            assert!(
                help.contains(&format!("\n{subject}:\n")),
                "{subject}: {help}"
            );
            for (verb, about) in verbs {
                assert!(
                    flat.contains(&words(&format!("{verb} {about}"))),
                    "{verb}: {help}"
                );
                let text = entry(&verb, &about);
                assert!(
                    text.lines().all(|line| line.chars().count() <= WIDTH),
                    "{text}"
                );
            }
        }
        assert!(help.contains("--addr"), "{help}");
        assert!(help.contains("Exit status:"), "{help}");
    }
}
