//! The applier: applies `$.patch` to the target, all of it or nothing.
//!
//! It then updates two derived fields. An agent whose `profile.system_prompt` changed gets
//! `profile.version_hash`, the SHA-256 of the new prompt. If the document changed, the patch's
//! `bump` raises `metadata.version_label`, unless the patch sets the label itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::blueprint::label::{self, Bump};
use shared::blueprint::{Doc, patch};
use shared::domain::commit::MAX_RATIONALE_BYTES;
use shared::ids::sha256_hex;

use crate::flow::bundled::fields::{kind, label_problem, of_version, text};
use crate::flow::memo::Memo;

const LABEL: &str = "/metadata/version_label";

/// The reason why nothing is applied: an axis and its reason.
struct Denial(&'static str, String);

/// A denial, or a failure of the step.
enum Stop {
    Denied(Denial),
    Failed(String),
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Stop::Denied(denial)
    }
}

/// Returns `{prev_hash, patch, new_bp_yaml, new_bp_json, new_hash, epoch_id}`, or `{error = {axis,
/// reason}}`.
///
/// The axis is `patch` if the spawner's reply is not a patch, and `apply` if the patch does not
/// apply. It is `des` if the patch sets a label that is not a semantic version.
///
/// # Errors
/// The label was already invalid and the patch keeps it, so the author is not at fault. Or `ctx`
/// has no target.
pub(super) fn apply(ctx: &Doc, memo: &mut Memo) -> Result<Doc, String> {
    match try_apply(ctx, memo) {
        Ok(applied) => Ok(applied),
        Err(Stop::Denied(Denial(axis, reason))) => {
            let error = Doc::object([("axis", Doc::from(axis)), ("reason", Doc::from(reason))]);
            Ok(Doc::object([("error", error)]))
        }
        Err(Stop::Failed(problem)) => Err(problem),
    }
}

fn try_apply(ctx: &Doc, memo: &mut Memo) -> Result<Doc, Stop> {
    let (ops, bump) = read_patch(ctx.get("patch"))?;
    let before = text(Some(ctx), "", "prev_bp_yaml").map_err(Stop::Failed)?;
    let before = memo
        .parse(before)
        .map_err(|e| Stop::Failed(e.to_string()))?;
    let mut after = patch::apply(&before, ops).map_err(not_applied)?;
    if matches!(after, Doc::Object(_)) && !after.identical(&before) {
        let followers = followers(&before, &after, ops, bump)?;
        after = patch::apply(&after, &Doc::array(followers)).map_err(not_applied)?;
    }
    let yaml = memo.canonical_yaml(&after).map_err(not_applied)?;
    let version = memo.version(&after).map_err(not_applied)?;
    let taken = |key| ctx.get(key).map(|value| (key, value.clone()));
    let made = [
        ("new_bp_yaml", Doc::Str(yaml)),
        ("new_bp_json", after),
        ("new_hash", of_version(&version)),
    ];
    let taken = ["prev_hash", "patch", "epoch_id"]
        .into_iter()
        .filter_map(taken);
    Ok(Doc::object(made.into_iter().chain(taken)))
}

fn not_applied(reason: impl std::fmt::Display) -> Stop {
    Denial("apply", reason.to_string()).into()
}

/// Returns the operations and the bump of a well-formed patch.
fn read_patch(patch: Option<&Doc>) -> Result<(&Doc, Bump), Denial> {
    let wrong = |reason: String| Err(Denial("patch", reason));
    let Some(Doc::Object(members)) = patch else {
        return wrong(format!(
            "the spawner's reply must be an object {{ops, bump, rationale}}, not {}",
            kind(patch)
        ));
    };
    let ops = members.get("ops");
    let Some(ops @ Doc::Array(list)) = ops else {
        return wrong(format!(
            "ops must be an array of RFC 6902 operations; it is {}",
            kind(ops)
        ));
    };
    for (i, op) in list.iter().enumerate() {
        if !matches!(op, Doc::Object(_)) {
            return wrong(format!("ops[{i}] must be an object; it is {}", op.kind()));
        }
    }
    let found = members.get("bump");
    let Some(Ok(bump)) = found.and_then(Doc::as_str).map(Bump::parse) else {
        let found = match found {
            Some(Doc::Str(word)) => format!("{word:?}"),
            other => kind(other).to_owned(),
        };
        return wrong(format!("bump must be major, minor or patch; it is {found}"));
    };
    match members.get("rationale") {
        Some(Doc::Str(rationale)) if rationale.len() > MAX_RATIONALE_BYTES => wrong(format!(
            "rationale must have at most {MAX_RATIONALE_BYTES} bytes; it has {}",
            rationale.len()
        )),
        Some(Doc::Str(_)) => Ok((ops, bump)),
        other => wrong(format!("rationale must be a string; it is {}", kind(other))),
    }
}

/// Returns the operations that update the derived fields after a change.
fn followers(before: &Doc, after: &Doc, ops: &Doc, bump: Bump) -> Result<Vec<Doc>, Stop> {
    let mut followers = prompt_hashes(before, after);
    let label = match after.get("metadata") {
        None => {
            followers.push(add("/metadata", Doc::object::<&str>([])));
            None
        }
        Some(Doc::Object(metadata)) => metadata.get("version_label"),
        Some(other) => {
            let found = other.kind();
            return Err(not_applied(format!(
                "metadata would be {found}; it must be an object, for version_label is its member"
            )));
        }
    };
    if let Some(set) = label.filter(|label| is_set(label, before, ops)) {
        return match label_problem(set) {
            None => Ok(followers),
            Some(problem) => Err(Denial("des", format!("{LABEL}: {problem}")).into()),
        };
    }
    let raised = match label {
        None => label::bump(None, bump).map_err(|error| error.to_string()),
        Some(Doc::Str(label)) => label::bump(Some(label), bump).map_err(|e| e.to_string()),
        Some(other) => Err(format!(
            "version_label is an invalid semver: it is {}, not a string",
            other.kind()
        )),
    };
    let raised = raised.map_err(|problem| {
        Stop::Failed(format!(
            "{problem}; an issue such as `set {LABEL} to \"1.0.0\"` gives it another one"
        ))
    })?;
    followers.push(add(LABEL, Doc::from(raised)));
    Ok(followers)
}

/// True if the patch sets the label itself: an operation targets the label, or the label differs
/// from the previous one. A patch that replaces all of the metadata with the same label does not
/// set it.
fn is_set(label: &Doc, before: &Doc, ops: &Doc) -> bool {
    let old = before.get("metadata").and_then(|m| m.get("version_label"));
    if old.is_none_or(|old| !old.same_value(label)) {
        return true;
    }
    let text = |op: &Doc, key| op.get(key).and_then(Doc::as_str).map(str::to_owned);
    ops.as_array().unwrap_or_default().iter().any(|op| {
        text(op, "path").as_deref() == Some(LABEL)
            && !matches!(text(op, "op").as_deref(), Some("test" | "remove"))
    })
}

/// Returns the operations that set the new `version_hash` of each agent with a new prompt. Agents
/// are matched by name; a renamed agent is matched by its index.
fn prompt_hashes(before: &Doc, after: &Doc) -> Vec<Doc> {
    let agents = |document: &Doc| match document.get("agents") {
        Some(Doc::Array(agents)) => Arc::clone(agents),
        _ => Arc::default(),
    };
    let (old_agents, agents) = (agents(before), agents(after));
    if Arc::ptr_eq(&old_agents, &agents) {
        return Vec::new();
    }
    let mut by_name: Option<BTreeMap<&str, &Doc>> = None;
    let changed = agents.iter().enumerate().filter_map(|(i, agent)| {
        let old = old_agents.get(i);
        let prompt = prompt(agent)?;
        if old.is_some_and(|old| old.identical(agent)) {
            return None;
        }
        let by_name = by_name.get_or_insert_with(|| {
            let named = |agent| name(agent).map(|name| (name, agent));
            old_agents.iter().filter_map(named).collect()
        });
        let same_name = name(agent).and_then(|name| by_name.get(name).copied());
        let was = same_name
            .or(old)
            .and_then(crate::flow::bundled::apply::prompt);
        (was != Some(prompt)).then(|| {
            let hash = Doc::from(sha256_hex(prompt.as_bytes()));
            add(&format!("/agents/{i}/profile/version_hash"), hash)
        })
    });
    changed.collect()
}

fn name(agent: &Doc) -> Option<&str> {
    agent.get("name").and_then(Doc::as_str)
}

fn prompt(agent: &Doc) -> Option<&str> {
    agent.get("profile")?.get("system_prompt")?.as_str()
}

fn add(path: &str, value: Doc) -> Doc {
    Doc::object([
        ("op", Doc::from("add")),
        ("path", Doc::from(path)),
        ("value", value),
    ])
}
