//! The stored form of proposals.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::issue::Issue;
use crate::domain::proposal::{Proposal, StoredPatch};
use crate::ids::{IssueId, Version};
use crate::store::codec::format::{damaged, from_json, to_json};
use crate::store::codec::log::{StoredUsage, proposed_log};
use crate::store::redis::error::StoreError;

/// The stored form of [`StoredPatch`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchForm {
    /// The JSON of the spawner's reply as text, so that its numbers stay exact.
    reply: String,
    usage: StoredUsage,
}

/// Returns the JSON of a stored patch.
pub(crate) fn stored_patch_draft(patch: &StoredPatch) -> String {
    to_json(&PatchForm {
        reply: patch.reply_json.clone(),
        usage: (&patch.usage).into(),
    })
}

/// Reads a stored patch from its JSON.
pub(crate) fn stored_patch(issue_id: &IssueId, text: &str) -> Result<StoredPatch, StoreError> {
    let form: PatchForm = from_json("proposal", issue_id.as_str(), text)?;
    Ok(StoredPatch {
        reply_json: form.reply,
        usage: form.usage.into(),
    })
}

/// Reads a proposal of `issue` from the fields of its hash. `head_seq` is the number of the newest
/// commit of its target.
pub(crate) fn proposal(
    issue: &Issue,
    fields: &HashMap<String, String>,
    head_seq: u64,
) -> Result<Proposal, StoreError> {
    let id = &issue.issue_id;
    let bad = |field: &str| {
        let problem = format!("field {field} is missing or mistyped");
        damaged("proposal", id.as_str(), problem)
    };
    let text = |field: &str| fields.get(field).ok_or_else(|| bad(field));
    let number = |field: &str| text(field)?.parse::<u64>().map_err(|_| bad(field));
    let version = |field: &str| Version::parse(text(field)?).map_err(|_| bad(field));
    let log = proposed_log(id, text("log")?)?;
    let base_seq = number("base_seq")?;
    Ok(Proposal {
        issue_id: id.clone(),
        blueprint_id: issue.blueprint_id.clone(),
        intent: issue.intent.clone(),
        submitted_by: issue.submitted_by.clone(),
        version: version("version")?,
        document: text("document")?.clone(),
        base_version: version("base_version")?,
        base_seq,
        head_moved: head_seq != base_seq,
        patch_json: log.patch_json,
        rationale: log.rationale,
        verdicts: log.verdicts,
        reasons: from_json("proposal", id.as_str(), text("reasons")?)?,
        usage: log.usage,
        round: u32::try_from(number("round")?).map_err(|_| bad("round"))?,
        allow_self_review: text("allow_self_review")? == "1",
        proposed_at_ms: number("at")?,
        expires_at_ms: match text("expires_at")?.as_str() {
            "" => None,
            _ => Some(number("expires_at")?),
        },
    })
}
