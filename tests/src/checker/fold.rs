//! Rule 7: the log is complete. Each applied entry's patch, applied to the previous version, gives
//! the next version.
//!
//! The patch is applied with another implementation (the crate json-patch) than the one of the
//! product. After a patch the product makes only two more changes. It bumps
//! `metadata.version_label` unless the patch sets it, and updates `profile.version_hash` of each
//! agent whose prompt changed. This module computes both again from their description.

use json_patch::Patch;
use proto::v1;
use serde_json::Value;
use shared::ids::sha256_hex;

use crate::checker::snapshot::Snapshot;

pub(super) fn fold(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for (blueprint_id, history) in &s.histories {
        let mut before: Option<Value> = None;
        for commit in history {
            let Some(stored) = s
                .documents
                .get(&(blueprint_id.clone(), commit.version.clone()))
            else {
                continue; // The chain rule reports it.
            };
            if let (Some(before), false) = (&before, commit.issue_id.is_empty()) {
                let entry = s.entries.iter().find(|e| e.issue_id == commit.issue_id);
                let result = match entry {
                    Some(entry) => step(before, entry, commit),
                    None => Err("it has no log entry".to_owned()),
                };
                match result {
                    Ok(after) if after == stored.json => {}
                    Ok(_) => found.push(format!(
                        "{blueprint_id}: the patch of commit {} gives another document",
                        commit.seq
                    )),
                    Err(why) => found.push(format!("{blueprint_id}: commit {}: {why}", commit.seq)),
                }
            }
            before = Some(stored.json.clone());
        }
    }
    found
}

/// The document that `entry` makes of `before`.
fn step(before: &Value, entry: &v1::LogEntry, commit: &v1::Commit) -> Result<Value, String> {
    let patch: Patch = serde_json::from_str(&entry.patch_json)
        .map_err(|e| format!("patch_json is no patch: {e}"))?;
    let mut after = before.clone();
    json_patch::patch(&mut after, &patch)
        .map_err(|e| format!("the logged patch does not apply: {e}"))?;
    hash_changed_prompts(before, &mut after);
    if after != *before {
        let label = label_of(&after).unwrap_or("0.0.0").to_owned();
        let is_right = if sets_label(before, &after, &entry.patch_json) {
            commit.version_label == label
        } else {
            bumps(&label).contains(&commit.version_label)
        };
        if !is_right {
            return Err(format!("label {label} became {}", commit.version_label));
        }
        let metadata = after
            .as_object_mut()
            .ok_or("the document is no mapping")?
            .entry("metadata");
        metadata.or_insert_with(|| serde_json::json!({}))["version_label"] =
            commit.version_label.clone().into();
    }
    Ok(after)
}

/// Whether the patch sets the label itself, so that the product does not bump it.
fn sets_label(before: &Value, after: &Value, patch: &str) -> bool {
    let ops: Vec<Value> = serde_json::from_str(patch).unwrap_or_default();
    let is_set = label_of(after).is_some_and(|label| label_of(before) != Some(label));
    is_set
        || ops.iter().any(|op| {
            op["path"] == "/metadata/version_label" && op["op"] != "test" && op["op"] != "remove"
        })
}

fn label_of(document: &Value) -> Option<&str> {
    document["metadata"]["version_label"].as_str()
}

/// The valid next labels: a major, minor or patch step. Pre-release and build metadata are dropped.
fn bumps(label: &str) -> Vec<String> {
    let core = label.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<u64> = core.split('.').filter_map(|p| p.parse().ok()).collect();
    match parts.as_slice() {
        [major, minor, patch] => vec![
            format!("{}.0.0", major + 1),
            format!("{major}.{}.0", minor + 1),
            format!("{major}.{minor}.{}", patch + 1),
        ],
        _ => Vec::new(),
    }
}

/// An agent is matched by name, or by its position if it was renamed.
fn hash_changed_prompts(before: &Value, after: &mut Value) {
    let Some(agents) = after.get_mut("agents").and_then(Value::as_array_mut) else {
        return;
    };
    let old_agents: &[Value] = before["agents"].as_array().map_or(&[], Vec::as_slice);
    for (n, agent) in agents.iter_mut().enumerate() {
        let Some(prompt) = agent["profile"]["system_prompt"].as_str() else {
            continue;
        };
        let prompt = prompt.to_owned();
        let same_name = old_agents.iter().find(|a| a["name"] == agent["name"]);
        let old = same_name.or(old_agents.get(n));
        if old.is_none_or(|old| old["profile"]["system_prompt"] != prompt.as_str()) {
            agent["profile"]["version_hash"] = sha256_hex(prompt.as_bytes()).into();
        }
    }
}
