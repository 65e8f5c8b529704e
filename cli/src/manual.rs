//! The manual of `draftsman`, generated from its arguments: manual pages for installations, and
//! `docs/cli.md`. A test checks that the page is up to date.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::client::CliError;

/// Writes `draftsman.1` and one page per verb (`draftsman-put.1`, …) into `dir`.
///
/// # Errors
/// [`CliError::Write`] if the directory or a page cannot be written.
pub(crate) fn write_pages(dir: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(dir)?;
    Ok(clap_mangen::generate_to(Cli::command(), dir)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::args::listing;

    const PREAMBLE: &str = "# Verbs of `draftsman`\n\n\
        Generated from the program by `make docs`; `draftsman VERB --help` prints the same. Manual\n\
        pages: `draftsman man DIR`.\n\n";

    /// The description of what verbs print.
    const OUTPUT: &str = include_str!("output/json.md");

    /// Generates `docs/cli.md`.
    fn page() -> String {
        let options = clap_markdown::MarkdownOptions::new()
            .show_footer(false)
            .show_table_of_contents(false)
            .title("Reference".to_owned());
        let body = clap_markdown::help_markdown_command_custom(&Cli::command(), &options);
        let body = body.replacen("# Reference", "## Reference", 1);
        let lines: Vec<&str> = body.lines().map(str::trim_end).collect();
        let reference = lines.join("\n");
        format!("{PREAMBLE}{}{}\n\n{OUTPUT}", subjects(), reference.trim())
    }

    /// Generates the table of verbs by subject.
    fn subjects() -> String {
        let mut table = "| subject | verbs |\n|---|---|\n".to_owned();
        for (subject, verbs) in listing(&Cli::command()) {
            // `help` has no section.
            let verbs = verbs.iter().filter(|(verb, _)| verb != "help");
            let links = verbs.map(|(verb, _)| format!("[`{verb}`](#draftsman-{verb})"));
            let links = links.collect::<Vec<_>>().join(", ");
            table.push_str(&format!("| {subject} | {links} |\n"));
        }
        table + "\n"
    }

    #[test]
    fn docs_cli_md_describes_every_verb_as_the_program_does() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md"));
        if std::env::var_os("DRAFTSMAN_UPDATE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page(),
            "docs/cli.md is out of date; run `make docs`"
        );
    }

    #[test]
    fn every_verb_has_a_manual_page() {
        let dir = tempfile::tempdir().unwrap();
        write_pages(dir.path()).unwrap();
        let mut command = Cli::command();
        command.build();
        for verb in command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        {
            let page = dir.path().join(format!("draftsman-{}.1", verb.get_name()));
            let text = std::fs::read_to_string(&page)
                .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(text.contains(".SH SYNOPSIS"), "{text}");
        }
    }
}
