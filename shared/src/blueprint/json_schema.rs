//! JSON Schema, as the axis `json-schema` judges by it.
//!
//! A schema is read with nothing but itself: a reference to anything outside of it is refused, and no
//! file or address is ever looked at. Patterns are run by an engine whose time is linear in the text. Drafts 4
//! to 2020-12; the newest one where `$schema` names none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use thiserror::Error;

use crate::blueprint::doc::Doc;
use crate::blueprint::json;
use crate::ids::sha256_hex;

/// The longest schema, in bytes of compact JSON. It also bounds how deep a judgement can go: as deep as
/// the document, at each level through every object of the schema.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// What a judgement has for its stack besides [`FRAME_BYTES`].
const BASE_STACK_BYTES: usize = 1 << 20;

/// What a judgement takes of its stack for one object of the schema at one level of the document, at
/// most; about three times what the largest schema on the deepest document was seen to take.
const FRAME_BYTES: usize = 2 << 10;

/// What all judgements of this process that run at the same time have for their stacks together, and so
/// the most that one can have. Only what is used takes up memory.
const ALL_STACKS_BYTES: usize = 512 << 20;

/// The stacks of the judgements that run now, in bytes.
static STACKS_IN_USE: AtomicUsize = AtomicUsize::new(0);

/// What a compiled pattern may take up.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Mistakes of a document that are told.
const MAX_TOLD: usize = 5;

/// Characters that are told of each mistake.
const MAX_TOLD_CHARS: usize = 300;

/// Why something is no schema to judge by.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SchemaError {
    /// It is too large.
    #[error("has {bytes} bytes as JSON; the limit is {MAX_SCHEMA_BYTES}")]
    Size {
        /// Its size.
        bytes: usize,
    },
    /// It is no JSON Schema.
    #[error("is no JSON Schema that can be used: {problem}")]
    Invalid {
        /// What is wrong, and where.
        problem: String,
    },
    /// It refers to something outside of it.
    #[error(
        "refers to another schema, and none is fetched: {problem}; put what it refers to into its $defs"
    )]
    Remote {
        /// The reference.
        problem: String,
    },
}

/// Why there is no judgement.
#[derive(Debug, Error)]
pub enum JudgementError {
    /// The system has no thread or no address space to spare, or other judgements have all there is.
    #[error("the system has no thread or memory to spare for it")]
    Shortage,
    /// It has panicked.
    #[error("it panicked; see the log")]
    Panicked,
}

/// A part of [`ALL_STACKS_BYTES`], until it is dropped.
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
    /// How many objects it has: at each level of a document a judgement passes each once at most.
    n_objects: usize,
}

impl JsonSchema {
    /// Compiles `schema`.
    ///
    /// # Errors
    /// [`SchemaError`], as words that follow the name of what holds the schema.
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
            // The crate tells the two apart in its words only.
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

    /// SHA-256 of the schema as canonical JSON.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What in `document` is not as the schema has it: places (RFC 6901) and reasons, the first few and
    /// whether there are more. Empty if it is valid. Blocks for as long as that takes, and a schema can
    /// be made with which it takes for ever.
    ///
    /// # Errors
    /// [`JudgementError::Shortage`] passes; the other is a defect.
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

    /// The most that a judgement of this document can take of its stack.
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
                // Without the value: it may be as long as the document.
                cut(&format!("{place}: {}", error.masked_with("it")))
            })
            .collect();
        if errors.next().is_some() {
            told.push("and more".to_owned());
        }
        told
    }
}

/// How many objects `doc` has, at any depth.
fn n_objects(doc: &Doc) -> usize {
    match (doc.as_object(), doc.as_array()) {
        (Some(object), _) => 1 + object.values().map(n_objects).sum::<usize>(),
        (None, Some(array)) => array.iter().map(n_objects).sum(),
        (None, None) => 0,
    }
}

/// How many levels of objects and arrays `doc` has; documents have 64 at most.
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
            ("{$ref: 'http://localhost/s.json'}", "none is fetched"),
            ("{items: {$ref: 'file:///etc/passwd'}}", "none is fetched"),
            ("{$ref: other.json}", "none is fetched"),
        ] {
            let refused = compile(schema).map(|_| ()).expect_err(schema).to_string();
            assert!(refused.contains(word), "{schema}: {refused}");
        }
        let large = format!("{{title: {}}}", "x".repeat(MAX_SCHEMA_BYTES));
        assert!(matches!(compile(&large), Err(SchemaError::Size { .. })));
        let old = "{$schema: 'http://json-schema.org/draft-04/schema#', maximum: 5, exclusiveMaximum: true}";
        assert_ne!(problems(old, "5"), "");
    }

    /// A chain of references through every definition of the largest schema, taken anew at each level of
    /// the deepest document.
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
        // A circle is no chain.
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
