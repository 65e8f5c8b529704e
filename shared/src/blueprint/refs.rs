//! Finds the places where a Blueprint names its agents.
//!
//! | place | names |
//! |---|---|
//! | `ref` of a node of kind `step`, at any depth of `flow` | an agent |
//! | `audits[].agent` | an agent |
//! | `audits[].steps[]`, except `*` | an agent, whose name its steps have |
//! | the keys of `hints.per_agent` | an agent |
//! | `steps[]` and `steps_exclude[]` of a context policy | a step |
//!
//! A step has three names: its agent, the agent's `meta.projection_name`, and the first name of its
//! `out`.
//! A context policy is `default_context_policy`, or `meta.context_policy` of an agent or operator.
//! The places in `flow` follow flow.ir. The other places follow the schema of mlua-swarm (crate
//! `mlua-swarm-schema`, 0.32). Literals (`op: lit`) are data and are skipped. Nodes of unknown
//! kinds are searched, because a target can use another flow.ir.
//!
//! This is the only list of such places, for renaming agents and for checking their names.

use std::collections::BTreeSet;

use crate::blueprint::doc::Doc;
use crate::blueprint::pointer;

/// A reference to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRef {
    /// The RFC 6901 pointer to the name, or to the member if the name is a key.
    pub pointer: String,
    /// True if the name is a key, false if it is a value.
    pub is_key: bool,
}

/// A reference to an undeclared agent or step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRef {
    /// The RFC 6901 pointer to the name.
    pub pointer: String,
    /// The name.
    pub name: String,
}

/// The result of [`judge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefReport {
    /// The number of references.
    pub count: usize,
    /// The unresolved references, in the order of the table above.
    pub unknown: Vec<UnknownRef>,
}

/// Returns every `ref` of a node of kind `step` in `flow`, at any depth, in the document's order,
/// with repetitions.
pub fn step_refs(flow: &Doc) -> Vec<&str> {
    let mut found = Vec::new();
    visit_flow(flow, &Path::Root, &mut |found_at| {
        found.push(found_at.name);
    });
    found
}

/// Returns every reference of `document` to the agent `name`, without the agent itself.
pub fn agent_refs(document: &Doc, name: &str) -> Vec<AgentRef> {
    let mut found = Vec::new();
    visit(document, &mut |found_at| {
        if found_at.name == name {
            found.push(AgentRef {
                pointer: found_at.path.pointer(),
                is_key: found_at.is_key,
            });
        }
    });
    found
}

/// Checks every reference against the declared agents of `document`.
pub fn judge(document: &Doc) -> RefReport {
    let agents = declared_agents(document);
    // Computed only for a document with a context policy that needs it.
    let mut steps: Option<BTreeSet<&str>> = None;
    let mut report = RefReport {
        count: 0,
        unknown: Vec::new(),
    };
    visit(document, &mut |found_at| {
        report.count += 1;
        let known = agents.contains(found_at.name)
            || found_at.target == Target::Step
                && steps
                    .get_or_insert_with(|| other_step_names(document))
                    .contains(found_at.name);
        if !known {
            report.unknown.push(UnknownRef {
                pointer: found_at.path.pointer(),
                name: found_at.name.to_owned(),
            });
        }
    });
    report
}

/// The kind of a reference's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Agent,
    Step,
}

/// A reference for a visitor.
struct Found<'a, 'p> {
    name: &'a str,
    path: &'p Path<'p>,
    is_key: bool,
    target: Target,
}

/// A position in a document. It becomes a text only on demand.
enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        let mut text = match self {
            Path::Root => return String::new(),
            Path::Key(parent, _) | Path::Index(parent, _) => parent.pointer(),
        };
        match self {
            Path::Root => {}
            Path::Key(_, key) => pointer::push_key(&mut text, key),
            Path::Index(_, index) => pointer::push_index(&mut text, *index),
        }
        text
    }
}

fn visit<'a>(document: &'a Doc, see: &mut dyn FnMut(Found<'a, '_>)) {
    let root = Path::Root;
    if let Some(flow) = document.get("flow") {
        visit_flow(flow, &Path::Key(&root, "flow"), see);
    }

    let at_audits = Path::Key(&root, "audits");
    for (n, audit) in array(document, "audits").iter().enumerate() {
        let at_audit = Path::Index(&at_audits, n);
        if let Some(name) = audit.get("agent").and_then(Doc::as_str) {
            see(Found {
                name,
                path: &Path::Key(&at_audit, "agent"),
                is_key: false,
                target: Target::Agent,
            });
        }
        // `*` means every step.
        visit_names(audit, "steps", &at_audit, Target::Agent, &mut |found| {
            if found.name != "*" {
                see(found);
            }
        });
    }

    if let Some(Doc::Object(hints)) = document.get("hints").and_then(|h| h.get("per_agent")) {
        let at_hints = Path::Key(&root, "hints");
        let at_hints = Path::Key(&at_hints, "per_agent");
        for name in hints.keys() {
            see(Found {
                name,
                path: &Path::Key(&at_hints, name),
                is_key: true,
                target: Target::Agent,
            });
        }
    }

    if let Some(policy) = document.get("default_context_policy") {
        visit_policy(policy, &Path::Key(&root, "default_context_policy"), see);
    }
    for list in ["agents", "operators"] {
        let at_list = Path::Key(&root, list);
        for (n, member) in array(document, list).iter().enumerate() {
            let policy = member.get("meta").and_then(|m| m.get("context_policy"));
            if let Some(policy) = policy {
                let at = Path::Index(&at_list, n);
                let at = Path::Key(&at, "meta");
                visit_policy(policy, &Path::Key(&at, "context_policy"), see);
            }
        }
    }
}

fn visit_policy<'a>(policy: &'a Doc, at: &Path<'_>, see: &mut dyn FnMut(Found<'a, '_>)) {
    visit_names(policy, "steps", at, Target::Step, see);
    visit_names(policy, "steps_exclude", at, Target::Step, see);
}

/// Visits the strings of the array `parent[key]`.
fn visit_names<'a>(
    parent: &'a Doc,
    key: &str,
    at: &Path<'_>,
    target: Target,
    see: &mut dyn FnMut(Found<'a, '_>),
) {
    let at_list = Path::Key(at, key);
    for (n, name) in array(parent, key).iter().enumerate() {
        if let Some(name) = name.as_str() {
            see(Found {
                name,
                path: &Path::Index(&at_list, n),
                is_key: false,
                target,
            });
        }
    }
}

fn visit_flow<'a>(node: &'a Doc, at: &Path<'_>, see: &mut dyn FnMut(Found<'a, '_>)) {
    match node {
        Doc::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                visit_flow(item, &Path::Index(at, n), see);
            }
        }
        Doc::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Doc::as_str);
            if text("op") == Some("lit") {
                return;
            }
            if text("kind") == Some("step")
                && let Some(name) = text("ref")
            {
                see(Found {
                    name,
                    path: &Path::Key(at, "ref"),
                    is_key: false,
                    target: Target::Agent,
                });
            }
            for (key, member) in members.iter() {
                visit_flow(member, &Path::Key(at, key), see);
            }
        }
        _ => {}
    }
}

fn array<'a>(parent: &'a Doc, key: &str) -> &'a [Doc] {
    parent.get(key).and_then(Doc::as_array).unwrap_or_default()
}

fn declared_agents(document: &Doc) -> BTreeSet<&str> {
    let agents = array(document, "agents").iter();
    agents
        .filter_map(|agent| agent.get("name").and_then(Doc::as_str))
        .collect()
}

/// Returns the names of steps that differ from the name of their agent.
fn other_step_names(document: &Doc) -> BTreeSet<&str> {
    let agents = array(document, "agents").iter();
    let mut names: BTreeSet<&str> = agents
        .filter_map(|agent| agent.get("meta")?.get("projection_name")?.as_str())
        .collect();
    if let Some(flow) = document.get("flow") {
        collect_out_names(flow, &mut names);
    }
    names
}

/// Adds the first token of the `out` of every step: `$.plan.a` gives `plan`.
fn collect_out_names<'a>(node: &'a Doc, names: &mut BTreeSet<&'a str>) {
    match node {
        Doc::Array(items) => items.iter().for_each(|item| collect_out_names(item, names)),
        Doc::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Doc::as_str);
            if text("op") == Some("lit") {
                return;
            }
            if text("kind") == Some("step") {
                let out = members.get("out").and_then(|out| out.get("at"));
                let path = out.and_then(Doc::as_str).unwrap_or_default();
                let root = path.strip_prefix('$').or_else(|| path.strip_prefix("ctx"));
                let name = root.and_then(|rest| {
                    let mut parts = rest.split(['.', '[', ']']);
                    parts.find(|part| !part.is_empty())
                });
                names.extend(name);
            }
            members
                .values()
                .for_each(|member| collect_out_names(member, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::json;

    #[test]
    fn finds_steps_at_any_depth_and_skips_literals() {
        let flow = json::parse(
            r#"{"kind":"seq","children":[
                {"kind":"step","ref":"a","in":{"op":"lit","value":{"kind":"step","ref":"not"}}},
                {"kind":"branch","then":{"kind":"step","ref":"b"},"else":{"kind":"old","x":[[{"kind":"step","ref":"c"}]]}},
                {"kind":"step","ref":"a"},{"kind":"step"},{"kind":"step","ref":7}]}"#,
        )
        .unwrap();
        assert_eq!(step_refs(&flow), ["a", "c", "b", "a"]);
    }

    /// Names the agent `a` in every valid place, and in places that do not count.
    const EVERYWHERE: &str = r#"{
        "id": "a", "flow": {"kind": "seq", "children": [
            {"kind": "step", "ref": "a", "in": {"op": "lit", "value": "a"}, "out": {"op": "path", "at": "$.first.a"}},
            {"kind": "step", "ref": "b", "in": {"op": "call_extern", "ref": "a", "args": []}, "out": {"op": "path", "at": "$.second"}}]},
        "agents": [
            {"name": "a", "spec": {"operator_ref": "a"}, "runner_ref": "a", "meta": {"tags": ["a"], "meta_ref": "a",
             "projection_name": "shown", "context_policy": {"include": ["a"], "exclude": ["a"], "steps": ["a", "shown", "first"], "steps_exclude": ["b"]}}},
            {"name": "b", "meta": {"context_policy": {"steps_exclude": ["a", "second"]}}}],
        "operators": [{"name": "a", "meta": {"context_policy": {"steps": ["b", "a"]}}}],
        "metas": [{"name": "a"}], "runners": [{"name": "a"}], "default_runner": "a",
        "hints": {"global": {"a": 1}, "per_agent": {"a": {}, "b": {}}},
        "audits": [{"agent": "a", "steps": ["b", "a", "*"], "mode": "sync"}, {"agent": "b"}],
        "default_context_policy": {"steps": ["a"]},
        "metadata": {"tags": ["a"]}}"#;

    #[test]
    fn finds_every_place_that_names_an_agent() {
        let document = json::parse(EVERYWHERE).unwrap();
        let found = agent_refs(&document, "a");
        let shown: Vec<(&str, bool)> = found
            .iter()
            .map(|found| (found.pointer.as_str(), found.is_key))
            .collect();
        assert_eq!(
            shown,
            [
                ("/flow/children/0/ref", false),
                ("/audits/0/agent", false),
                ("/audits/0/steps/1", false),
                ("/hints/per_agent/a", true),
                ("/default_context_policy/steps/0", false),
                ("/agents/0/meta/context_policy/steps/0", false),
                ("/agents/1/meta/context_policy/steps_exclude/0", false),
                ("/operators/0/meta/context_policy/steps/1", false),
            ]
        );
    }

    #[test]
    fn judges_every_place_that_names_an_agent() {
        let document = json::parse(EVERYWHERE).unwrap();
        let report = judge(&document);
        assert_eq!((report.count, report.unknown), (17, Vec::new()));

        // Without the agent, every reference to it is unresolved.
        let ops = json::parse(r#"[{"op": "replace", "path": "/agents/0/name", "value": "x"}]"#);
        let renamed = crate::blueprint::patch::apply(&document, &ops.unwrap()).unwrap();
        let unknown: Vec<String> = judge(&renamed)
            .unknown
            .into_iter()
            .map(|unknown| unknown.pointer)
            .collect();
        let named: Vec<String> = agent_refs(&document, "a")
            .into_iter()
            .map(|found| found.pointer)
            .collect();
        assert_eq!(unknown, named);
    }

    #[test]
    fn takes_any_shape_of_document() {
        for text in [
            "null",
            "[]",
            r#"{"flow": [], "audits": {}, "hints": [], "agents": "x", "default_context_policy": 5}"#,
            r#"{"audits": [null, {"agent": 5, "steps": "x"}, {"steps": [1, null]}], "hints": {"per_agent": []},
                "agents": [null, {"meta": {"context_policy": []}}, {"meta": null}]}"#,
        ] {
            let report = judge(&json::parse(text).unwrap());
            assert_eq!((report.count, report.unknown), (0, Vec::new()), "{text}");
        }
    }
}
