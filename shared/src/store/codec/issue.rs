//! The stored form of issues.

use std::collections::HashMap;

use crate::domain::issue::{Issue, IssueState, RejectionCause};
use crate::ids::{BlueprintId, IssueId, Version};
use crate::store::codec::format::{damaged, read_actor};
use crate::store::redis::error::StoreError;

/// Reads an issue from the fields of its hash and its intent.
pub(crate) fn issue(
    id: &IssueId,
    fields: &HashMap<String, String>,
    intent: String,
) -> Result<Issue, StoreError> {
    let bad = |field: &str| {
        damaged(
            "issue",
            id.as_str(),
            format!("field {field} is missing or mistyped"),
        )
    };
    let text = |field: &str| fields.get(field).map(String::as_str).unwrap_or_default();
    let number = |field: &str| text(field).parse::<u64>().map_err(|_| bad(field));
    let cause = match text("cause") {
        "" => None,
        name => Some(RejectionCause::parse(name).ok_or_else(|| bad("cause"))?),
    };
    let new_version = match text("new_version") {
        "" => None,
        version => Some(Version::parse(version).map_err(|_| bad("new_version"))?),
    };
    let retry_of = match text("retry_of") {
        "" => None,
        issue => Some(IssueId::parse(issue).map_err(|_| bad("retry_of"))?),
    };
    let actor = |field: &str| read_actor("issue", id.as_str(), text(field));
    Ok(Issue {
        issue_id: id.clone(),
        blueprint_id: BlueprintId::parse(text("blueprint_id")).map_err(|_| bad("blueprint_id"))?,
        intent,
        state: IssueState::parse(text("state")).ok_or_else(|| bad("state"))?,
        reason: text("reason").to_owned(),
        cause,
        new_version,
        attempt: u32::try_from(number("attempt")?).map_err(|_| bad("attempt"))?,
        worker_id: text("worker_id").to_owned(),
        retry_of,
        submitted_by: actor("submitted_by")?,
        decided_by: actor("decided_by")?,
        submitted_at_ms: number("submitted_at")?,
        joined_at_ms: match text("joined_at") {
            "" => number("submitted_at")?,
            _ => number("joined_at")?,
        },
        updated_at_ms: number("updated_at")?,
        revision: number("revision")?,
    })
}
