//! The table `host`: the functions that Draftsman offers to scripts.
//!
//! | function | returns |
//! |---|---|
//! | `yaml_to_json(text)` | the parsed YAML document |
//! | `json_parse(text)` | the parsed JSON document |
//! | `read_intent(text)` | the parsed intent: `{patch}` or `{sentences, rationale}` |
//! | `canonical_yaml(doc)` | the canonical YAML |
//! | `content_hash(doc)` | the version of a document; the SHA-256 of a text |
//! | `json_patch(doc, ops)` | the document after an RFC 6902 patch, all of it or nothing |
//! | `semver_bump(label, bump)` | the label raised by `bump` (see below) |
//! | `label_problem(label)` | the problem of a label that is not a semantic version, or `nil` |
//! | `step_refs(flow)` | an array with the `ref` of every step at any depth |
//! | `agent_refs(doc, name)` | an array of the references to the agent: `{pointer, is_key}` |
//! | `judge_refs(doc)` | all agent references: `{count, unknown = [{pointer, name}]}` |
//! | `apply_patch(ctx)` | the output of the bundled applier for this input |
//! | `judge(axis, ctx)` | the verdict of a bundled axis: `{status, evidence}`, `{status, reason}` |
//! | `commit(ctx)` | the output of the bundled committer for this input |
//! | `flow_problem(flow)` | the problem of an invalid flow.ir, or `nil` |
//! | `null` | JSON's `null` |
//! | `array(t)`, `object(t)` | `t` marked as an array or object (see below) |
//! | `is_array(x)` | whether `x` is an array |
//! | `axes()` | the names of all axes |
//! | `verifier(axis)` | a function that runs the axis' script, or `nil` |
//! | `log(level, message)` | nothing; `level` is optional: `debug`, `info`, `warn`, `error` |
//!
//! `bump` is `major`, `minor` or `patch`; a missing label counts as 0.0.0. For a document, `array`
//! and `object` return a copy that is writable at any depth. Without an argument they return an
//! empty table.
//!
//! The first seven functions return `nil` and a message if the data is invalid. An invalid argument
//! is an error at the position of the call.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlua::{Error, IntoLua, Lua, LuaString, MultiValue, Result, Table, Value};
use shared::blueprint::label::{self, Bump};
use shared::blueprint::{Doc, json, patch, refs};
use shared::ids::sha256_hex;
use shared::intent;

use crate::flow::bundled::{self, BundledAxis, BundledStep};
use crate::flow::lua::convert::{Marks, to_doc};
use crate::flow::lua::view::{View, to_lua};
use crate::flow::run_state::RunState;

/// The state of the current script, for the functions of `host`.
pub(super) struct Current {
    /// The run.
    pub(super) run: Arc<RunState>,
    /// The input of the script.
    pub(super) input: Doc,
    /// The script, for the log.
    pub(super) script: String,
    /// The number of lines that the script has logged.
    pub(super) logged_lines: usize,
    /// The memory size of the documents that `host` created for the script, in bytes.
    pub(super) made_bytes: usize,
}

/// The maximum number of log lines in one run; further lines are dropped.
const MAX_LOG_LINES: usize = 1000;

/// The maximum length of a log line, in characters.
const MAX_LOG_CHARS: usize = 2000;

/// The maximum memory size of the documents that `host` creates in one run, in bytes.
///
/// They are outside Lua's heap and its limit. The size suffices to parse or patch a document of 1
/// MiB about a hundred times.
const MAX_MADE_BYTES: usize = 256 << 20;

/// Creates the table `host` without `axes` and `verifier`, which need the scripts.
pub(super) fn table(lua: &Lua, marks: &Marks) -> Result<Table> {
    let host = lua.create_table()?;
    host.set("null", Value::NULL)?;
    documents(lua, &host, marks)?;
    changes(lua, &host, marks)?;
    references(lua, &host, marks)?;
    flows(lua, &host, marks)?;
    shapes(lua, &host, marks)?;
    steps(lua, &host, marks)?;
    host.set("log", lua.create_function(log)?)?;
    Ok(host)
}

fn documents(lua: &Lua, host: &Table, marks: &Marks) -> Result<()> {
    host.set(
        "yaml_to_json",
        lua.create_function(|lua, text: LuaString| {
            let text = text.to_str()?;
            let parsed = run(lua)?.memo().parse(&text);
            made(lua, parsed)
        })?,
    )?;
    host.set(
        "json_parse",
        lua.create_function(|lua, text: LuaString| made(lua, json::parse(&text.to_str()?)))?,
    )?;
    host.set(
        "read_intent",
        lua.create_function(|lua, text: LuaString| {
            let text = text.to_str()?;
            made(lua, intent::to_doc(&text))
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "canonical_yaml",
        lua.create_function(move |lua, value: Value| {
            let doc = argument("canonical_yaml", 1, &value, &m)?;
            let yaml = run(lua)?.memo().canonical_yaml(&doc);
            answer(lua, yaml.map(|text| text.to_string()))
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "content_hash",
        lua.create_function(move |lua, value: Value| match &value {
            Value::String(text) => sha256_hex(&text.as_bytes()).into_lua_multi_one(lua),
            _ => {
                let doc = argument("content_hash", 1, &value, &m)?;
                let version = run(lua)?.memo().version(&doc);
                answer(lua, version.map(|v| v.as_str().to_owned()))
            }
        })?,
    )
}

fn changes(lua: &Lua, host: &Table, marks: &Marks) -> Result<()> {
    let m = marks.clone();
    host.set(
        "json_patch",
        lua.create_function(move |lua, (doc, ops): (Value, Value)| {
            let doc = argument("json_patch", 1, &doc, &m)?;
            let ops = argument("json_patch", 2, &ops, &m)?;
            made(lua, patch::apply(&doc, &ops))
        })?,
    )?;
    host.set(
        "semver_bump",
        lua.create_function(|lua, (label, bump): (Value, LuaString)| {
            let label = match &label {
                Value::String(text) => Some(text.to_str()?.to_owned()),
                Value::Nil => None,
                other if other.is_null() => None,
                other => {
                    return refuse(
                        lua,
                        format!(
                            "version_label is an invalid semver: a {}, not a string",
                            other.type_name()
                        ),
                    );
                }
            };
            match Bump::parse(&bump.to_str()?) {
                Ok(bump) => answer(lua, label::bump(label.as_deref(), bump)),
                Err(error) => refuse(lua, error),
            }
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "label_problem",
        lua.create_function(move |_, label: Value| {
            if label.is_nil() {
                return Ok(Some("version_label is missing".to_owned()));
            }
            let label = argument("label_problem", 1, &label, &m)?;
            Ok(bundled::fields::label_problem(&label))
        })?,
    )
}

fn references(lua: &Lua, host: &Table, marks: &Marks) -> Result<()> {
    let m = marks.clone();
    host.set(
        "step_refs",
        lua.create_function(move |lua, flow: Value| {
            let flow = argument("step_refs", 1, &flow, &m)?;
            let found = lua.create_sequence_from(refs::step_refs(&flow))?;
            m.mark_array(&found)?;
            Ok(found)
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "agent_refs",
        lua.create_function(move |lua, (document, name): (Value, LuaString)| {
            let document = argument("agent_refs", 1, &document, &m)?;
            let found = lua.create_table()?;
            for reference in refs::agent_refs(&document, &name.to_str()?) {
                let row = lua.create_table()?;
                row.raw_set("pointer", reference.pointer)?;
                row.raw_set("is_key", reference.is_key)?;
                found.raw_push(row)?;
            }
            m.mark_array(&found)?;
            Ok(found)
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "judge_refs",
        lua.create_function(move |lua, document: Value| {
            let document = argument("judge_refs", 1, &document, &m)?;
            let judged = refs::judge(&document);
            let unknown = lua.create_table()?;
            for reference in judged.unknown {
                let row = lua.create_table()?;
                row.raw_set("pointer", reference.pointer)?;
                row.raw_set("name", reference.name)?;
                unknown.raw_push(row)?;
            }
            m.mark_array(&unknown)?;
            let report = lua.create_table()?;
            report.raw_set("count", judged.count)?;
            report.raw_set("unknown", unknown)?;
            Ok(report)
        })?,
    )
}

/// Adds the bundled steps, for scripts that extend them. Their errors have no position in the
/// script.
fn steps(lua: &Lua, host: &Table, marks: &Marks) -> Result<()> {
    for (name, step) in [
        ("apply_patch", BundledStep::Applier),
        ("commit", BundledStep::Committer),
    ] {
        let m = marks.clone();
        host.set(
            name,
            lua.create_function(move |lua, ctx: Value| {
                let ctx = argument(name, 1, &ctx, &m)?;
                let output = step.run(&ctx, &*run(lua)?).map_err(Error::runtime)?;
                made(lua, Ok::<_, String>(output))
            })?,
        )?;
    }
    let m = marks.clone();
    host.set(
        "judge",
        lua.create_function(move |lua, (axis, ctx): (LuaString, Value)| {
            let axis = axis.to_str()?;
            let bundled = BundledAxis::of(&axis).ok_or_else(|| {
                Error::runtime(format!("host.judge: {:?} is not a bundled axis", &*axis))
            })?;
            let ctx = argument("judge", 2, &ctx, &m)?;
            let verdict = bundled.judge(&ctx, &*run(lua)?).map_err(Error::runtime)?;
            made(lua, Ok::<_, String>(verdict))
        })?,
    )
}

fn flows(lua: &Lua, host: &Table, marks: &Marks) -> Result<()> {
    let m = marks.clone();
    host.set(
        "flow_problem",
        lua.create_function(move |_, flow: Value| {
            let flow = argument("flow_problem", 1, &flow, &m)?;
            let parsed = serde_json::from_value::<flow_ir_core::Node>((&flow).into());
            Ok(parsed.err().map(|error| error.to_string()))
        })?,
    )
}

fn shapes(lua: &Lua, host: &Table, marks: &Marks) -> Result<()> {
    let m = marks.clone();
    host.set(
        "array",
        lua.create_function(move |lua, value: Value| {
            let table = match &value {
                Value::Nil => lua.create_table()?,
                Value::Table(table) => table.clone(),
                Value::UserData(data) => match &data.borrow::<View>()?.0 {
                    Doc::Array(items) => copied_array(lua, items, &m)?,
                    other => {
                        return Err(Error::runtime(format!(
                            "host.array: expected an array, got {}",
                            other.kind()
                        )));
                    }
                },
                other => {
                    return Err(Error::runtime(format!(
                        "host.array: expected a table, got a {}",
                        other.type_name()
                    )));
                }
            };
            m.mark_array(&table)?;
            Ok(table)
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "object",
        lua.create_function(move |lua, value: Value| {
            let table = match &value {
                Value::Nil => lua.create_table()?,
                Value::Table(table) => table.clone(),
                Value::UserData(data) => match &data.borrow::<View>()?.0 {
                    Doc::Object(members) => copied_object(lua, members, &m)?,
                    other => {
                        return Err(Error::runtime(format!(
                            "host.object: expected an object, got {}",
                            other.kind()
                        )));
                    }
                },
                other => {
                    return Err(Error::runtime(format!(
                        "host.object: expected a table, got a {}",
                        other.type_name()
                    )));
                }
            };
            m.mark_object(&table)?;
            Ok(table)
        })?,
    )?;
    let m = marks.clone();
    host.set(
        "is_array",
        lua.create_function(move |_, value: Value| Ok(m.is_array(&value)))?,
    )
}

/// Returns a writable deep copy. Empty arrays and objects keep their type.
fn copied(lua: &Lua, doc: &Doc, marks: &Marks) -> Result<Value> {
    let (copy, is_array) = match doc {
        Doc::Array(items) => (copied_array(lua, items, marks)?, true),
        Doc::Object(members) => (copied_object(lua, members, marks)?, false),
        scalar => return to_lua(lua, scalar),
    };
    if is_array {
        marks.mark_array(&copy)?;
    } else {
        marks.mark_object(&copy)?;
    }
    Ok(Value::Table(copy))
}

fn copied_array(lua: &Lua, items: &[Doc], marks: &Marks) -> Result<Table> {
    let copy = lua.create_table_with_capacity(items.len(), 0)?;
    for item in items {
        copy.raw_push(copied(lua, item, marks)?)?;
    }
    Ok(copy)
}

fn copied_object(lua: &Lua, members: &BTreeMap<Arc<str>, Doc>, marks: &Marks) -> Result<Table> {
    let copy = lua.create_table_with_capacity(0, members.len())?;
    for (key, member) in members {
        copy.raw_set(&**key, copied(lua, member, marks)?)?;
    }
    Ok(copy)
}

fn log(lua: &Lua, (first, second): (LuaString, Option<LuaString>)) -> Result<()> {
    let (level, message) = match second {
        Some(message) => (first.to_string_lossy(), message.to_string_lossy()),
        None => ("info".to_owned(), first.to_string_lossy()),
    };
    let (script, n) = match lua.app_data_mut::<Current>() {
        Some(mut current) => {
            current.logged_lines += 1;
            (current.script.clone(), current.logged_lines)
        }
        None => Default::default(),
    };
    let mut message = message;
    if let Some((cut, _)) = message.char_indices().nth(MAX_LOG_CHARS) {
        message.truncate(cut);
    }
    match level.as_str() {
        "debug" | "info" | "warn" | "error" if n > MAX_LOG_LINES => {
            if n == MAX_LOG_LINES + 1 {
                tracing::warn!(
                    script,
                    "more than {MAX_LOG_LINES} lines; the rest is dropped"
                );
            }
        }
        "debug" => tracing::debug!(script, "{message}"),
        "info" => tracing::info!(script, "{message}"),
        "warn" => tracing::warn!(script, "{message}"),
        "error" => tracing::error!(script, "{message}"),
        other => {
            return Err(Error::runtime(format!(
                "host.log: level {other:?} is not debug, info, warn or error"
            )));
        }
    }
    Ok(())
}

fn run(lua: &Lua) -> Result<Arc<RunState>> {
    lua.app_data_ref::<Current>()
        .map(|current| current.run.clone())
        .ok_or_else(|| Error::runtime("host: no script is running"))
}

fn argument(function: &str, n: usize, value: &Value, marks: &Marks) -> Result<Doc> {
    to_doc(value, marks)
        .map_err(|problem| Error::runtime(format!("host.{function}: argument {n}: {problem}")))
}

/// Returns a new document, or its error, and counts its size.
fn made<E: std::fmt::Display>(lua: &Lua, doc: std::result::Result<Doc, E>) -> Result<MultiValue> {
    if let (Ok(doc), Some(mut current)) = (&doc, lua.app_data_mut::<Current>()) {
        current.made_bytes = current.made_bytes.saturating_add(bytes_of(doc));
        if current.made_bytes > MAX_MADE_BYTES {
            return Err(Error::MemoryError(format!(
                "documents of more than {} MiB made by host",
                MAX_MADE_BYTES >> 20
            )));
        }
    }
    answer(lua, doc.map(Shown))
}

/// Returns the approximate memory size of a document.
fn bytes_of(doc: &Doc) -> usize {
    let within = match doc {
        Doc::Array(items) => items.iter().map(bytes_of).sum(),
        Doc::Object(members) => members
            .iter()
            .map(|(k, v)| 48 + k.len() + bytes_of(v))
            .sum(),
        Doc::Str(text) => text.len(),
        Doc::Null | Doc::Bool(_) | Doc::Num(_) => 0,
    };
    within + 2 * size_of::<Doc>()
}

/// A document to convert to Lua.
struct Shown(Doc);

impl IntoLua for Shown {
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        to_lua(lua, &self.0)
    }
}

/// Returns the value, or `nil` and the message.
fn answer<T: IntoLua, E: std::fmt::Display>(
    lua: &Lua,
    result: std::result::Result<T, E>,
) -> Result<MultiValue> {
    match result {
        Ok(value) => value.into_lua_multi_one(lua),
        Err(error) => refuse(lua, error),
    }
}

fn refuse(lua: &Lua, error: impl std::fmt::Display) -> Result<MultiValue> {
    Ok(MultiValue::from_iter([
        Value::Nil,
        Value::String(lua.create_string(error.to_string())?),
    ]))
}

trait One: IntoLua {
    fn into_lua_multi_one(self, lua: &Lua) -> Result<MultiValue> {
        Ok(MultiValue::from_iter([self.into_lua(lua)?]))
    }
}

impl<T: IntoLua> One for T {}
