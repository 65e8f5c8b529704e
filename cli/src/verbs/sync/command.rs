//! The command of `sync --run`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::client::CliError;

/// The changed and removed Blueprints since the last run.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The Blueprints with a new file.
    pub(super) changed: BTreeSet<String>,
    /// The Blueprints whose file was removed.
    pub(super) removed: BTreeSet<String>,
}

impl Changes {
    /// Returns true if nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// The result of a run.
#[derive(Debug)]
pub(super) struct Applied {
    /// True if the command succeeded, or none is given.
    pub(super) is_done: bool,
    /// How the command ended; empty on success.
    pub(super) message: String,
}

impl Applied {
    /// The result without a command: the files are written.
    pub(super) fn done() -> Self {
        Self {
            is_done: true,
            message: String::new(),
        }
    }
}

/// Runs the command with the ids in its environment, and waits until it ends.
///
/// # Errors
/// [`CliError::Run`] if the shell cannot be started.
pub(super) async fn run(command: &str, dir: &Path, changes: &Changes) -> Result<Applied, CliError> {
    let list =
        |ids: &BTreeSet<String>| ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let failed = |source| CliError::Run {
        command: command.to_owned(),
        source,
    };
    let status = Command::new("sh")
        .args(["-c", command])
        .env("DRAFTSMAN_CHANGED", list(&changes.changed))
        .env("DRAFTSMAN_REMOVED", list(&changes.removed))
        .env("DRAFTSMAN_DIR", dir)
        .stdin(Stdio::null())
        .status()
        .await
        .map_err(failed)?;
    Ok(if status.success() {
        Applied::done()
    } else {
        Applied {
            is_done: false,
            message: status.to_string(),
        }
    })
}

/// Returns the name of this machine, cleaned to a valid id of a consumer.
pub(super) fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean = name.trim().chars().map(|c| match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
        _ => '-',
    });
    let clean: String = clean
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(128)
        .collect();
    if clean.is_empty() {
        "sync".to_owned()
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_command_gets_the_ids_and_its_status_counts() {
        let changes = Changes {
            changed: ["a", "b"].map(str::to_owned).into(),
            removed: ["c"].map(str::to_owned).into(),
        };
        let dir = Path::new("/d");
        let command = r#"test "$DRAFTSMAN_CHANGED-$DRAFTSMAN_REMOVED-$DRAFTSMAN_DIR" = "a b-c-/d""#;
        assert!(run(command, dir, &changes).await.unwrap().is_done);
        let applied = run("exit 3", dir, &changes).await.unwrap();
        assert!(
            !applied.is_done && applied.message.contains('3'),
            "{applied:?}"
        );
    }

    #[test]
    fn the_name_of_the_machine_is_a_valid_id() {
        shared::ids::BlueprintId::parse(&machine_name()).unwrap();
    }
}
