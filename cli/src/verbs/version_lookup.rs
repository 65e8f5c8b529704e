//! Finds a version of a Blueprint by a selector or by its short forms.

use proto::v1::version_selector::Selector;
use proto::v1::{
    Commit, GetBlueprintRequest, GetBlueprintResponse, ListCommitsRequest, VersionSelector,
};
use shared::ids::VersionPrefix;

use crate::client::{Candidate, CliError, Client};

/// Length of a version: a SHA-256 in hexadecimal.
const VERSION_CHARACTERS: usize = 64;
/// Most digits of a commit number. A longer run of digits is the prefix of a version.
const MAX_SEQ_DIGITS: usize = 6;

/// Returns the version that `selector` chooses.
///
/// # Errors
/// Errors of intake.
pub(super) async fn fetch(
    client: &mut Client,
    blueprint_id: &str,
    selector: Selector,
) -> Result<GetBlueprintResponse, CliError> {
    let request = GetBlueprintRequest {
        blueprint_id: blueprint_id.to_owned(),
        selector: Some(VersionSelector {
            selector: Some(selector),
        }),
    };
    Ok(client.blueprints.get_blueprint(request).await?.into_inner())
}

/// Returns whether the argument has the length of a whole version.
pub(super) fn is_whole(given: &str) -> bool {
    given.len() == VERSION_CHARACTERS
}

/// Resolves a version: a version in full, its prefix, or the number of a commit.
///
/// # Errors
/// Errors of intake. The argument matches no version, or several.
pub(super) async fn resolve(
    client: &mut Client,
    blueprint_id: &str,
    given: &str,
) -> Result<String, CliError> {
    if is_whole(given) {
        return Ok(given.to_owned());
    }
    if let Some(before_seq) = seq(given).and_then(|seq| seq.checked_add(1)) {
        // Requests one commit, however long the history is.
        let request = ListCommitsRequest {
            blueprint_id: blueprint_id.to_owned(),
            page_size: 1,
            before_seq,
            ..Default::default()
        };
        let page = client.blueprints.list_commits(request).await?.into_inner();
        return choose(&page.commits, blueprint_id, given);
    }
    if VersionPrefix::parse(given).is_err() {
        return choose(&[], blueprint_id, given);
    }
    let request = ListCommitsRequest {
        blueprint_id: blueprint_id.to_owned(),
        version_prefix: given.to_owned(),
        ..Default::default()
    };
    let found = client.blueprints.list_commits(request).await?.into_inner();
    choose(&found.commits, blueprint_id, given)
}

/// Returns the number of a commit if `given` is one.
fn seq(given: &str) -> Option<u64> {
    let is_number = given.len() <= MAX_SEQ_DIGITS && given.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| given.parse().ok()).flatten()
}

fn choose(commits: &[Commit], blueprint_id: &str, given: &str) -> Result<String, CliError> {
    let not_found = || CliError::NoSuchVersion {
        blueprint_id: blueprint_id.to_owned(),
        given: given.to_owned(),
    };
    if let Some(seq) = seq(given) {
        let commit = commits
            .iter()
            .find(|commit| commit.seq == seq)
            .ok_or_else(not_found)?;
        return Ok(commit.version.clone());
    }
    let named = commits
        .iter()
        .filter(|commit| commit.version.starts_with(given));
    let named: Vec<&Commit> = named.collect();
    let first = named.first().ok_or_else(not_found)?;
    // Several commits may have the same content.
    if named.iter().any(|other| other.version != first.version) {
        let candidates = named.iter().map(|commit| Candidate {
            id: commit.version.clone(),
            about: format!("commit {}  {}", commit.seq, commit.rationale),
        });
        return Err(CliError::AmbiguousVersion {
            blueprint_id: blueprint_id.to_owned(),
            given: given.to_owned(),
            candidates: candidates.collect(),
        });
    }
    Ok(first.version.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(seq: u64, version: &str) -> Commit {
        Commit {
            seq,
            version: version.to_owned(),
            ..Commit::default()
        }
    }

    #[test]
    fn a_version_is_named_by_its_beginning_or_the_number_of_its_commit() {
        let commits = [
            commit(3, "12345678aa"),
            commit(2, "bb22"),
            commit(1, "12345678aa"),
            commit(4, "bb33"),
        ];
        assert_eq!(choose(&commits, "swarm", "3").unwrap(), "12345678aa");
        assert_eq!(choose(&commits, "swarm", "bb2").unwrap(), "bb22");
        assert_eq!(
            choose(&commits, "swarm", "12345678").unwrap(),
            "12345678aa",
            "head twice is one version"
        );
        assert!(matches!(
            choose(&commits, "swarm", "bb"),
            Err(CliError::AmbiguousVersion { .. })
        ));
        assert!(matches!(
            choose(&commits, "swarm", "9"),
            Err(CliError::NoSuchVersion { .. })
        ));
        assert!(matches!(
            choose(&commits, "swarm", "zz"),
            Err(CliError::NoSuchVersion { .. })
        ));
    }
}
