//! JSON Schema validation for the axis `json-schema`.
//!
//! A schema must be self-contained. A reference to another document is rejected, and no file or
//! address is read. Patterns run in an engine with linear time in the text. Drafts 4 to 2020-12 are
//! supported; the newest one is the default without `$schema`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use thiserror::Error;

use crate::blueprint::doc::Doc;
use crate::blueprint::json;
use crate::ids::sha256_hex;

/// The maximum size of a schema in bytes of compact JSON. It also bounds the recursion of a
/// validation: the depth of the document times the number of objects in the schema.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// The base stack size of a validation, in addition to [`FRAME_BYTES`].
const BASE_STACK_BYTES: usize = 1 << 20;

/// The maximum stack use for one object of the schema at one level of the document. It is about
/// three times the measured use of the largest schema on the deepest document.
const FRAME_BYTES: usize = 2 << 10;

/// The total stack size of all concurrent validations in this process, and so the maximum of one.
/// Only used pages take memory.
const ALL_STACKS_BYTES: usize = 512 << 20;

/// The stack sizes of the current validations, in bytes.
static STACKS_IN_USE: AtomicUsize = AtomicUsize::new(0);

/// The maximum memory of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The maximum number of reported violations.
const MAX_TOLD: usize = 5;

/// The maximum length of a reported violation, in characters.
const MAX_TOLD_CHARS: usize = 300;

/// The reason why a schema is not usable.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SchemaError {
    /// The schema is too large.
    #[error("has {bytes} bytes as JSON; the limit is {MAX_SCHEMA_BYTES}")]
    Size {
        /// The size in bytes.
        bytes: usize,
    },
    /// The schema is invalid.
    #[error("is not a usable JSON Schema: {problem}")]
    Invalid {
        /// The description and the position.
        problem: String,
    },
    /// The schema refers to another document.
    #[error(
        "refers to another schema, which is not fetched: {problem}; put that schema into its $defs"
    )]
    Remote {
        /// The reference.
        problem: String,
    },
}

/// An error that prevented the validation.
#[derive(Debug, Error)]
pub enum JudgementError {
    /// The system lacks a thread or address space, or other validations use the whole budget.
    #[error("the system has no thread or memory to spare for it")]
    Shortage,
    /// The validation panicked.
    #[error("it panicked; see the log")]
    Panicked,
}

/// A share of [`ALL_STACKS_BYTES`], released on drop.
struct Stack {
    in_use: &'static AtomicUsize,
    bytes: usize,
}

impl Stack {
    fn reserve(in_use: &'static AtomicUsize, bytes: usize) -> Option<Stack> {
        let more = |used: usize| Some(used + bytes).filter(|all| *all <= ALL_STACKS_BYTES);
        let reserved = in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        reserved.ok().map(|_| Stack { in_use, bytes })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A compiled schema.
#[derive(Debug)]
pub struct JsonSchema {
    validator: Validator,
    hash: String,
    /// The number of objects in the schema. A validation visits each at most once per level of a
    /// document.
    n_objects: usize,
}

impl JsonSchema {
    /// Compiles `schema`.
    ///
    /// # Errors
    /// [`SchemaError`]. Its message continues the name of the schema's field.
    pub fn compile(schema: &Doc) -> Result<JsonSchema, SchemaError> {
        let text = json::emit(schema);
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::Size { bytes: text.len() });
        }
        let built = jsonschema::options()
            .offline()
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(MAX_PATTERN_BYTES)
                    .dfa_size_limit(MAX_PATTERN_BYTES),
            )
            .build(&Value::from(schema));
        let validator = built.map_err(|error| {
            let place = error.instance_path().to_string();
            let told = cut(&error.to_string());
            // The crate distinguishes the two only by their message.
            if told.contains("retrieving it failed") {
                SchemaError::Remote { problem: told }
            } else if place.is_empty() {
                SchemaError::Invalid { problem: told }
            } else {
                let problem = format!("{place}: {told}");
                SchemaError::Invalid { problem }
            }
        })?;
        Ok(JsonSchema {
            validator,
            hash: sha256_hex(text.as_bytes()),
            n_objects: n_objects(schema),
        })
    }

    /// Returns the SHA-256 of the schema as canonical JSON.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns the violations of `document`: positions (RFC 6901) and reasons, the first few and a
    /// note about more. Empty if it is valid. It blocks until the end, and a schema can make that
    /// arbitrarily long.
    ///
    /// # Errors
    /// [`JudgementError::Shortage`] is transient; the other is a defect.
    pub fn problems(&self, document: &Doc) -> Result<Vec<String>, JudgementError> {
        let stack = Stack::reserve(&STACKS_IN_USE, self.stack_bytes(document));
        let stack = stack.ok_or(JudgementError::Shortage)?;
        let document = Value::from(document);
        thread::scope(|scope| {
            let judging = thread::Builder::new()
                .name("json-schema".to_owned())
                .stack_size(stack.bytes)
                .spawn_scoped(scope, || self.told(&document));
            let judging = judging.map_err(|_| JudgementError::Shortage)?;
            judging.join().map_err(|_| JudgementError::Panicked)
        })
    }

    /// Returns the maximum stack use for this document.
    fn stack_bytes(&self, document: &Doc) -> usize {
        let frames = self.n_objects.saturating_mul(depth(document) + 1);
        let bytes = frames.saturating_mul(FRAME_BYTES);
        bytes.saturating_add(BASE_STACK_BYTES).min(ALL_STACKS_BYTES)
    }

    fn told(&self, document: &Value) -> Vec<String> {
        let mut errors = self.validator.iter_errors(document);
        let mut told: Vec<String> = (&mut errors)
            .take(MAX_TOLD)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() {
                    "the document"
                } else {
                    &place
                };
                // Without the value, which can be as long as the document.
                cut(&format!("{place}: {}", error.masked_with("it")))
            })
            .collect();
        if errors.next().is_some() {
            told.push("and more".to_owned());
        }
        told
    }
}

/// Returns the number of objects in `doc`, at any depth.
fn n_objects(doc: &Doc) -> usize {
    match (doc.as_object(), doc.as_array()) {
        (Some(object), _) => 1 + object.values().map(n_objects).sum::<usize>(),
        (None, Some(array)) => array.iter().map(n_objects).sum(),
        (None, None) => 0,
    }
}

/// Returns the number of nested levels of `doc`; documents have 64 at most.
fn depth(doc: &Doc) -> usize {
    let below: Option<usize> = match (doc.as_object(), doc.as_array()) {
        (Some(object), _) => Some(object.values().map(depth).max().unwrap_or(0)),
        (None, Some(array)) => Some(array.iter().map(depth).max().unwrap_or(0)),
        (None, None) => None,
    };
    below.map_or(0, |below| below + 1)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TOLD_CHARS) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::yaml::{Format, parse_as};

    fn read(text: &str) -> Doc {
        parse_as(text, Format::Yaml).unwrap()
    }

    fn compile(schema: &str) -> Result<JsonSchema, SchemaError> {
        JsonSchema::compile(&read(schema))
    }

    fn problems(schema: &str, document: &str) -> String {
        let schema = compile(schema).unwrap();
        let document = read(document);
        schema.problems(&document).unwrap().join("; ")
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let schema = "{properties: {agents: {items: {required: [name], properties: {kind: {enum: [lua, llm]}}}}}}";
        assert_eq!(problems(schema, "{agents: [{name: a, kind: llm}]}"), "");
        assert_eq!(
            problems(schema, "{agents: [{name: a, kind: x}, {}]}"),
            "/agents/0/kind: it is not one of \"lua\" or \"llm\"; /agents/1: \"name\" is a required property"
        );
        let many = format!("[{}]", "x, ".repeat(9));
        let told = problems("{items: {type: integer}}", &many);
        assert!(
            told.ends_with("/4: it is not of type \"integer\"; and more"),
            "{told}"
        );
        assert_eq!(
            problems("false", "{}"),
            "the document: False schema does not allow it"
        );
        let long = format!("{{not: {{const: {}}}}}", "x".repeat(9_000));
        assert!(problems(&long, &"x".repeat(9_000)).len() < 400);
    }

    #[test]
    fn numbers_are_compared_exactly() {
        for (schema, good, bad) in [
            (
                "{const: 9007199254740992}",
                "9007199254740992",
                "9007199254740993",
            ),
            (
                "{maximum: 9223372036854775806}",
                "9223372036854775806",
                "9223372036854775807",
            ),
            (
                "{minimum: -9223372036854775807}",
                "-9223372036854775807",
                "-9223372036854775808",
            ),
            ("{enum: [1.0]}", "1", "1.5"),
            ("{type: integer}", "-9223372036854775808", "0.1"),
        ] {
            assert_eq!(problems(schema, good), "", "{schema}");
            assert_ne!(problems(schema, bad), "", "{schema}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (schema, word) in [
            ("{type: strin}", "/type: \"strin\""),
            ("{properties: {a: {type: 5}}}", "/properties/a/type"),
            ("5", "5"),
            ("{$ref: '#/$defs/nobody'}", "nobody"),
            ("{pattern: '(?=look)ahead'}", "/pattern"),
            ("{pattern: '(a\\1)'}", "/pattern"),
            ("{pattern: '(\\w{900}){900}'}", "pattern"),
            (
                "{$schema: 'http://localhost/own', type: object}",
                "http://localhost/own",
            ),
            ("{$ref: 'http://localhost/s.json'}", "which is not fetched"),
            (
                "{items: {$ref: 'file:///etc/passwd'}}",
                "which is not fetched",
            ),
            ("{$ref: other.json}", "which is not fetched"),
        ] {
            let refused = compile(schema).map(|_| ()).expect_err(schema).to_string();
            assert!(refused.contains(word), "{schema}: {refused}");
        }
        let large = format!("{{title: {}}}", "x".repeat(MAX_SCHEMA_BYTES));
        assert!(matches!(compile(&large), Err(SchemaError::Size { .. })));
        let old = "{$schema: 'http://json-schema.org/draft-04/schema#', maximum: 5, exclusiveMaximum: true}";
        assert_ne!(problems(old, "5"), "");
    }

    /// A chain of references through every definition of the largest schema, repeated at each level
    /// of the deepest document.
    #[test]
    fn the_deepest_judgement_has_room() {
        let mut definitions = String::new();
        let mut n = 0;
        while definitions.len() < MAX_SCHEMA_BYTES - 200 {
            let next = n + 1;
            definitions.push_str(&format!(
                "\"a{n}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/a{next}\"}}]}},"
            ));
            n = next;
        }
        let schema = format!(
            "{{\"$defs\":{{{definitions}\"a{n}\":{{\"type\":\"array\",\"items\":{{\"$ref\":\"#/$defs/a0\"}}}}}},\"$ref\":\"#/$defs/a0\"}}"
        );
        let document = format!("{}5{}", "[".repeat(64), "]".repeat(64));
        let told = problems(&schema, &document);
        let place = "/0".repeat(64);
        assert!(told.starts_with(&format!("{place}: ")), "{told}");
        // A reference cycle is valid.
        assert_eq!(
            problems("{allOf: [{$ref: '#'}], items: {$ref: '#'}}", "[[1]]"),
            ""
        );
    }

    #[test]
    fn an_ordinary_judgement_takes_a_few_megabytes_and_all_together_have_a_limit() {
        let definitions: String = (0..200)
            .map(|n| format!("d{n}: {{type: object, properties: {{a: {{type: string}}}}}}, "))
            .collect();
        let schema = compile(&format!("{{$defs: {{{definitions}}}, type: object}}")).unwrap();
        let document = read("{a: {b: {c: [1, 2, {d: 3}]}}}");
        assert!(schema.stack_bytes(&document) < 16 << 20);
        static IN_USE: AtomicUsize = AtomicUsize::new(0);
        let first = Stack::reserve(&IN_USE, ALL_STACKS_BYTES - 1).unwrap();
        assert!(Stack::reserve(&IN_USE, 2).is_none());
        drop(first);
        assert!(Stack::reserve(&IN_USE, ALL_STACKS_BYTES).is_some());
    }
}
