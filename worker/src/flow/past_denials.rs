//! The earlier denials of a Blueprint, as input for a model.
//!
//! Only an agent with `spec.past_denials` receives them, and the log is read only when it runs. A
//! denial contains its intent, its patch and its reasons, newest first. Each of them is cut to a
//! maximum size, because an entry may contain a whole document.
//!
//! The denials are not part of the key of a stored step. They cannot change between two attempts at
//! one issue, because that issue is the first in its queue. A stored answer stays valid.

use shared::blueprint::{Doc, json};
use shared::domain::enhance_log::LogEntry;
use shared::domain::issue::RejectionCause;
use shared::error::chain;
use shared::prefix::prefix;
use shared::store::{LogFilter, PageRequest};

use crate::flow::error::StepError;
use crate::flow::memory::{RunMemory, persistently};

/// The maximum number of log entries to read, and the page size.
const LOOK_BACK: (usize, usize) = (50, 10);
/// The maximum size of the intent, and of all reasons together, in bytes.
const MAX_TEXT: usize = 2 << 10;
/// The maximum size of a patch, in bytes; a larger one is omitted.
const MAX_PATCH: usize = 4 << 10;

/// Returns the last denials of the run's Blueprint, newest first, at most `n`.
///
/// The form is `[{intent, patch, reasons}]`. `patch` is `null` if it is too large or missing.
///
/// # Errors
/// [`StepError::Transient`] if the log cannot be read now.
pub(super) async fn read(memory: &RunMemory, n: usize) -> Result<Vec<Doc>, StepError> {
    let (mut denials, mut after) = (Vec::new(), None);
    let filter = LogFilter::of_blueprint(memory.blueprint());
    for _ in 0..LOOK_BACK.0 / LOOK_BACK.1 {
        let page = PageRequest {
            size: LOOK_BACK.1,
            after,
        };
        let store = memory.store();
        let found = persistently(|| store.list_log_entries(&filter, true, &page)).await;
        let found = found.map_err(|error| StepError::Transient {
            message: format!("the past denials could not be read: {}", chain(&error)),
            retry_after: None,
        })?;
        let denied = found
            .items
            .iter()
            .filter(|e| e.cause == Some(RejectionCause::Denied));
        denials.extend(denied.map(to_doc));
        after = found.next;
        if denials.len() >= n || after.is_none() {
            break;
        }
    }
    denials.truncate(n);
    Ok(denials)
}

fn to_doc(entry: &LogEntry) -> Doc {
    let is_short = entry.patch_json.len() <= MAX_PATCH;
    let patch = is_short
        .then(|| json::parse(&entry.patch_json).ok())
        .flatten();
    let mut left = MAX_TEXT;
    let reasons = entry.reasons.iter().map_while(|reason| {
        let text = (left > 0).then(|| cut(reason, left))?;
        left -= text.len().min(left);
        Some(Doc::from(text.as_str()))
    });
    let reasons = Doc::array(reasons.collect());
    Doc::object([
        ("intent", Doc::from(cut(&entry.intent, MAX_TEXT).as_str())),
        ("patch", patch.unwrap_or_default()),
        ("reasons", reasons),
    ])
}

/// Returns the first `n_bytes` bytes of `text`, with an ellipsis if it was cut.
fn cut(text: &str, n_bytes: usize) -> String {
    match prefix(text, n_bytes) {
        whole if whole.len() == text.len() => text.to_owned(),
        begins => format!("{begins}…"),
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::enhance_log::SpawnerUsage;
    use shared::ids::{BlueprintId, IssueId};

    use super::*;

    #[test]
    fn a_denial_is_text_within_bounds() {
        let mut entry = LogEntry {
            issue_id: IssueId::parse("i").unwrap(),
            blueprint_id: BlueprintId::parse("b").unwrap(),
            prev_hash: None,
            new_hash: None,
            intent: "ask".to_owned(),
            rationale: String::new(),
            verdicts: Vec::new(),
            cause: Some(RejectionCause::Denied),
            reasons: vec!["noop: same".to_owned(), "size: large".to_owned()],
            attempt: 1,
            patch_json: "[]".to_owned(),
            ts_ms: 0,
            usage: SpawnerUsage::default(),
            unusable_reply: String::new(),
            submitted_by: None,
            decided_by: None,
            comment: String::new(),
        };
        assert_eq!(
            json::emit(&to_doc(&entry)),
            r#"{"intent":"ask","patch":[],"reasons":["noop: same","size: large"]}"#
        );
        entry.intent = "ä".repeat(MAX_TEXT);
        entry.reasons = vec!["ö".repeat(MAX_TEXT); 9];
        entry.patch_json = format!("[{}]", " ".repeat(MAX_PATCH));
        let text = to_doc(&entry);
        assert_eq!(text.get("patch"), Some(&Doc::Null));
        assert_eq!(
            text.get("reasons").and_then(Doc::as_array).unwrap().len(),
            1
        );
        assert!(json::emit(&text).len() < 2 * MAX_TEXT + 100);
    }
}
