//! The four default axes, and `human-review`. Each returns `{status: "pass", evidence}`, or
//! `{status, reason}` with the status `deny` or `review`.

use std::collections::HashMap;
use std::sync::Arc;

use shared::blueprint::{Doc, refs};

use crate::flow::bundled::fields::{label_problem, of_version, text};
use crate::flow::memo::Memo;

/// The maximum number of unknown references in a reason.
const MAX_NAMED: usize = 10;

fn pass(evidence: Doc) -> Doc {
    Doc::object([("status", Doc::from("pass")), ("evidence", evidence)])
}

fn deny(reason: impl Into<Arc<str>>) -> Doc {
    Doc::object([
        ("status", Doc::from("deny")),
        ("reason", Doc::Str(reason.into())),
    ])
}

fn count(n: usize) -> Doc {
    Doc::from(i64::try_from(n).unwrap_or(i64::MAX))
}

fn document(ctx: &Doc) -> Result<&Doc, String> {
    let applied = ctx.get("applied");
    let document = applied.and_then(|applied| applied.get("new_bp_json"));
    document.ok_or_else(|| "applied.new_bp_json is missing".to_owned())
}

/// Axis `human-review`: sends every change to review.
pub(super) fn human_review() -> Doc {
    Doc::object([
        ("status", Doc::from("review")),
        ("reason", Doc::from("a person has to approve every change")),
    ])
}

/// Axis `noop`: checks that the document has changed.
pub(super) fn noop(ctx: &Doc) -> Result<Doc, String> {
    let applied = ctx.get("applied");
    let from = text(Some(ctx), "", "prev_hash")?;
    let to = text(applied, "applied.", "new_hash")?;
    if from != to {
        return Ok(pass(Doc::object([
            ("from", Doc::from(from)),
            ("to", Doc::from(to)),
        ])));
    }
    let patch = applied.and_then(|applied| applied.get("patch"));
    let member = |key| patch.and_then(|patch| patch.get(key));
    let has_no_ops = member("ops")
        .and_then(Doc::as_array)
        .is_some_and(<[Doc]>::is_empty);
    let mut reason = "the document would not change".to_owned();
    // The spawner's rationale explains best why nothing changed.
    match member("rationale").and_then(Doc::as_str) {
        Some(rationale) if has_no_ops && !rationale.is_empty() => {
            reason.push_str(": ");
            reason.push_str(rationale);
        }
        _ => {}
    }
    Ok(deny(reason))
}

/// Axis `canonical`: checks that parsing the new document's YAML and serialising it again gives the
/// same hash.
pub(super) fn canonical(ctx: &Doc, memo: &mut Memo) -> Result<Doc, String> {
    let applied = ctx.get("applied");
    let yaml = text(applied, "applied.", "new_bp_yaml")?;
    let expected = text(applied, "applied.", "new_hash")?;
    let again = match memo.parse(yaml) {
        Ok(again) => again,
        Err(error) => {
            return Ok(deny(format!(
                "the new document cannot be read again: {error}"
            )));
        }
    };
    Ok(match memo.version(&again) {
        Err(error) => deny(format!("the new document cannot be written again: {error}")),
        Ok(version) if version.as_str() != expected => deny(format!(
            "canonicalised again the new document hashes to {version} instead of {expected}"
        )),
        Ok(version) => pass(Doc::object([("hash", of_version(&version))])),
    })
}

/// Axis `des`: checks that the new document is still the same Blueprint.
///
/// It has the same `id`, an object `flow`, and an array `agents` of objects with unique names.
/// `metadata.version_label`, if present, is a semantic version.
pub(super) fn des(ctx: &Doc, memo: &mut Memo) -> Result<Doc, String> {
    let before = text(Some(ctx), "", "prev_bp_yaml")?;
    let before = memo.parse(before).map_err(|error| error.to_string())?;
    let after = document(ctx)?;
    if !matches!(after, Doc::Object(_)) {
        return Ok(deny("the document is not an object any more"));
    }
    let id = after.get("id");
    if id != before.get("id") {
        let was = before.get("id").and_then(Doc::as_str).unwrap_or_default();
        return Ok(deny(format!("id must stay {was:?}")));
    }
    if !matches!(after.get("flow"), Some(Doc::Object(_))) {
        return Ok(deny("flow must be an object"));
    }
    let Some(agents) = after.get("agents").and_then(Doc::as_array) else {
        return Ok(deny("agents must be an array"));
    };
    let mut seen = HashMap::with_capacity(agents.len());
    for (i, agent) in agents.iter().enumerate() {
        if !matches!(agent, Doc::Object(_)) {
            return Ok(deny(format!("/agents/{i} must be an object")));
        }
        let name = agent.get("name").and_then(Doc::as_str).unwrap_or_default();
        if name.is_empty() {
            return Ok(deny(format!("/agents/{i}/name must be a non-empty string")));
        }
        if let Some(other) = seen.insert(name, i) {
            return Ok(deny(format!(
                "/agents/{i}/name: there is another agent {name:?} at /agents/{other}"
            )));
        }
    }
    let label = after.get("metadata").and_then(|m| m.get("version_label"));
    if let Some(problem) = label.and_then(label_problem) {
        return Ok(deny(format!("/metadata/version_label: {problem}")));
    }
    Ok(pass(Doc::object([
        ("id", id.cloned().unwrap_or_default()),
        ("agents", count(agents.len())),
    ])))
}

/// Axis `agent-ref`: checks that every agent reference in the document names a declared agent.
///
/// References are in steps at any depth of the flow, audits, hints and context policies. [`refs`]
/// lists all places.
pub(super) fn agent_ref(ctx: &Doc) -> Result<Doc, String> {
    let document = document(ctx)?;
    let report = refs::judge(document);
    if report.unknown.is_empty() {
        return Ok(pass(Doc::object([("refs", count(report.count))])));
    }
    let named = report.unknown.iter().take(MAX_NAMED);
    let named = named.map(|r| format!("{} names the unknown agent {:?}", r.pointer, r.name));
    let mut unknown = named.collect::<Vec<_>>();
    if let Some(more @ 1..) = report.unknown.len().checked_sub(MAX_NAMED) {
        unknown.push(format!("and {more} more"));
    }
    // The axis `des` judges whether `agents` is valid.
    let agents = document.get("agents").and_then(Doc::as_array);
    let agents = agents.unwrap_or_default().iter();
    let names: Vec<_> = agents
        .filter_map(|agent| agent.get("name")?.as_str())
        .collect();
    let names = match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    Ok(deny(format!(
        "{}; declared agents: {names}",
        unknown.join(", ")
    )))
}
