//! Finds an issue by its id, or by the beginning or end of it.

use proto::v1::{
    GetIssueRequest, GetLogEntryRequest, Issue, ListIssuesRequest, ListLogEntriesRequest,
};
use tonic::Code;

use super::page_size;
use crate::client::{Candidate, CliError, Client};
use crate::output;

/// Number of characters of an id that intake generates. Such an id is not looked up.
const GENERATED_CHARACTERS: usize = 36;
/// Most candidates of an ambiguous id in an error.
const MAX_CANDIDATES: usize = 10;

/// Returns the id of the issue that `given` names. If no issue matches, returns `given`, so that
/// intake reports it.
///
/// # Errors
/// [`CliError::AmbiguousIssue`]; errors of intake.
pub(super) async fn find(client: &mut Client, given: String) -> Result<String, CliError> {
    if given.is_empty() || given.len() == GENERATED_CHARACTERS {
        return Ok(given);
    }
    let request = GetIssueRequest {
        issue_id: given.clone(),
    };
    match client.intake.get_issue(request).await {
        Err(status) if is_unknown(status.code()) => {}
        found => return found.map(|_| given).map_err(CliError::from),
    }
    let mut found: Vec<Issue> = Vec::new();
    let mut page_token = String::new();
    while found.len() <= MAX_CANDIDATES {
        let request = ListIssuesRequest {
            issue_id_part: Some(given.clone()),
            page_size: page_size(MAX_CANDIDATES + 1),
            page_token,
            ..Default::default()
        };
        let page = client.intake.list_issues(request).await?.into_inner();
        found.extend(page.issues);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    found.retain(|issue| is_named(&issue.issue_id, &given));
    let candidates = found.into_iter().map(|issue| Candidate {
        about: format!(
            "{}  {}  {}  {}",
            issue.blueprint_id,
            output::state_word(&issue),
            output::relative(issue.submitted_at.as_ref()),
            issue.intent
        ),
        id: issue.issue_id,
    });
    choose(given, candidates.collect())
}

/// Returns the id of the decided issue that `given` names, although it may be pruned.
///
/// # Errors
/// As [`find`].
pub(super) async fn find_logged(client: &mut Client, given: String) -> Result<String, CliError> {
    if given.is_empty() || given.len() == GENERATED_CHARACTERS {
        return Ok(given);
    }
    let request = GetLogEntryRequest {
        issue_id: given.clone(),
    };
    match client.log.get_log_entry(request).await {
        Err(status) if is_unknown(status.code()) => {}
        found => return found.map(|_| given).map_err(CliError::from),
    }
    let mut candidates = Vec::new();
    let mut page_token = String::new();
    while candidates.len() <= MAX_CANDIDATES {
        let request = ListLogEntriesRequest {
            issue_id_part: Some(given.clone()),
            newest_first: true,
            page_size: page_size(MAX_CANDIDATES + 1),
            page_token,
            ..Default::default()
        };
        let page = client.log.list_log_entries(request).await?.into_inner();
        candidates.extend(page.entries.into_iter().map(|entry| Candidate {
            about: format!(
                "{}  {}  {}  {}",
                entry.blueprint_id,
                entry.status,
                output::relative(Some(&output::from_ms(entry.ts_ms))),
                entry.intent
            ),
            id: entry.issue_id,
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    candidates.retain(|candidate| is_named(&candidate.id, &given));
    // An issue without a decision has no entry, which intake says of its whole id.
    match candidates.is_empty() {
        true => find(client, given).await,
        false => choose(given, candidates),
    }
}

/// Returns whether `given` names the issue: the beginning of its id, or as much of its end as a
/// table shows. An empty text, such as an unset variable of a script, names nothing.
fn is_named(id: &str, given: &str) -> bool {
    if given.is_empty() {
        return false;
    }
    id.starts_with(given) || (given.len() >= output::MIN_ID && id.ends_with(given))
}

/// Returns whether no issue has exactly this id.
fn is_unknown(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::InvalidArgument)
}

/// Returns the single candidate. An id that is another one's beginning is not a candidate itself.
fn choose(given: String, mut candidates: Vec<Candidate>) -> Result<String, CliError> {
    match candidates.len() {
        0 => Ok(given),
        1 => Ok(candidates.swap_remove(0).id),
        _ => {
            let has_more = candidates.len() > MAX_CANDIDATES;
            candidates.truncate(MAX_CANDIDATES);
            Err(CliError::AmbiguousIssue {
                given,
                candidates,
                has_more,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_named_by_its_beginning_or_a_long_end_and_never_by_nothing() {
        let id = "01936f3a-9f70-7c3e-8a1b-1111abcd0123";
        for (given, named) in [
            (id, true),
            ("01936f", true),
            ("abcd0123", true),
            ("0123", false),
            ("9f70", false),
            ("", false),
        ] {
            assert_eq!(is_named(id, given), named, "{given:?}");
        }
    }
}
