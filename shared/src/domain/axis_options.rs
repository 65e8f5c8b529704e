//! Options of verifier axes: a setting maps the name of an axis to an object. The verifier reads it
//! as `_CTX.options`.
//!
//! Every axis has the option `ttl_secs`, its time limit. This module also checks the other options
//! of bundled axes when a setting is written. The options of custom axes are not checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::blueprint::json_schema::JsonSchema;
use crate::blueprint::orbit::models::PROVIDERS;
use crate::blueprint::orbit::scripts::is_same;
use crate::blueprint::{Doc, Num, json};
use crate::domain::bundled::BUNDLED_AXES;

/// The axis that validates against a JSON Schema.
pub const JSON_SCHEMA: &str = "json-schema";
/// The axis that asks a language model.
pub const LLM_JUDGE: &str = "llm-judge";

/// The axis that protects parts of a document.
pub const PROTECTED_PATHS: &str = "protected-paths";

/// The maximum size of all options of a setting, in bytes of compact JSON.
pub const MAX_OPTIONS_BYTES: usize = 128 << 10;
/// The maximum time limit of an axis, in seconds: one year.
pub const MAX_TTL_SECS: u64 = 365 * 24 * 3_600;

/// The options of axes by name.
pub type AxisOptions = BTreeMap<Arc<str>, Doc>;

/// An invalid option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionFault {
    /// The axis and the option, for example `json-schema.schema`; empty for the whole map.
    pub path: String,
    /// The description of the problem.
    pub problem: String,
}

/// Returns the invalid options of a setting with these axes; empty if all are valid.
pub fn check(options: &AxisOptions, axes: &[String]) -> Vec<OptionFault> {
    let mut faults = Faults::default();
    let bytes = json::emit(&Doc::Object(Arc::new(options.clone()))).len();
    if bytes > MAX_OPTIONS_BYTES {
        let problem = format!("has {bytes} bytes as JSON; the limit is {MAX_OPTIONS_BYTES}");
        faults.note("", problem);
        return faults.0;
    }
    for (axis, given) in options {
        if !axes.iter().any(|known| is_same(known, axis)) {
            faults.note(
                axis,
                "is not an axis of this setting; add it to verifier_axes".to_owned(),
            );
        } else if let Doc::Object(members) = given {
            check_axis(axis, members, &mut faults);
        } else {
            faults.note(axis, format!("must be an object, not {}", given.kind()));
        }
    }
    for (axis, needed) in [(JSON_SCHEMA, "schema"), (LLM_JUDGE, "model")] {
        let mut named = options.iter().filter(|(name, _)| is_same(name, axis));
        let given = named.next().map(|(_, given)| given);
        let has = given.is_some_and(|given| given.get(needed).is_some());
        let is_object = given.is_none_or(|given| given.as_object().is_some());
        if axes.iter().any(|known| is_same(known, axis)) && is_object && !has {
            faults.note(&format!("{axis}.{needed}"), "is missing".to_owned());
        }
    }
    faults.0
}

fn check_axis(axis: &str, members: &BTreeMap<Arc<str>, Doc>, faults: &mut Faults) {
    let bundled = BUNDLED_AXES.iter().find(|known| is_same(known, axis));
    let known: &[&str] = match bundled.copied().unwrap_or(axis) {
        JSON_SCHEMA => &["schema", "ttl_secs"],
        LLM_JUDGE => &["model", "prompt", "ttl_secs"],
        PROTECTED_PATHS => &["level", "ttl_secs"],
        _ => &["ttl_secs"],
    };
    for (name, value) in members {
        let path = format!("{axis}.{name}");
        match (bundled.copied().unwrap_or(axis), &**name) {
            (_, "ttl_secs") if ttl(value).is_none() => {
                faults.note(
                    &path,
                    format!("must be a whole number from 1 to {MAX_TTL_SECS} (seconds)"),
                );
            }
            (JSON_SCHEMA, "schema") => {
                if let Err(error) = JsonSchema::compile(value) {
                    faults.note(&path, error.to_string());
                }
            }
            (LLM_JUDGE, "model") if value.as_str().and_then(split_model).is_none() => {
                faults.note(
                    &path,
                    "must be PROVIDER/MODEL, such as anthropic/claude-sonnet-4-5".to_owned(),
                );
            }
            (LLM_JUDGE, "model")
                if value
                    .as_str()
                    .and_then(split_model)
                    .is_some_and(|(provider, _)| !PROVIDERS.contains(&provider)) =>
            {
                let known = PROVIDERS.join(", ");
                faults.note(
                    &path,
                    format!("names an unknown provider; known are: {known}"),
                );
            }
            (LLM_JUDGE, "prompt") if value.as_str().is_none_or(|text| text.trim().is_empty()) => {
                faults.note(
                    &path,
                    "must be text; leave it out for the bundled prompt".to_owned(),
                );
            }
            (PROTECTED_PATHS, "level") if !matches!(value.as_str(), Some("deny" | "review")) => {
                faults.note(&path, "must be deny or review".to_owned());
            }
            _ if bundled.is_some() && !known.contains(&&**name) => {
                faults.note(
                    &path,
                    format!(
                        "is not an option of this axis; its options are {}",
                        known.join(", ")
                    ),
                );
            }
            _ => {}
        }
    }
}

/// Splits `PROVIDER/MODEL` into provider and model. The name of a model can contain slashes.
pub fn split_model(given: &str) -> Option<(&str, &str)> {
    let (provider, model) = given.split_once('/')?;
    (!provider.is_empty() && !model.is_empty()).then_some((provider, model))
}

/// Returns the time limit of an axis with these options; `None` if it is not set.
pub fn limit(options: &Doc) -> Option<Duration> {
    ttl(options.get("ttl_secs")?).map(Duration::from_secs)
}

fn ttl(value: &Doc) -> Option<u64> {
    match value {
        Doc::Num(Num::Int(secs)) => u64::try_from(*secs).ok(),
        _ => None,
    }
    .filter(|secs| (1..=MAX_TTL_SECS).contains(secs))
}

#[derive(Default)]
struct Faults(Vec<OptionFault>);

impl Faults {
    fn note(&mut self, path: &str, problem: String) {
        let path = path.to_owned();
        self.0.push(OptionFault { path, problem });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::yaml;

    fn checked(options: &str, axes: &[&str]) -> Vec<String> {
        let options = yaml::parse_as(options, yaml::Format::Yaml)
            .unwrap()
            .as_object()
            .unwrap()
            .clone();
        let axes: Vec<String> = axes.iter().map(|axis| (*axis).to_owned()).collect();
        let faults = check(&options, &axes).into_iter();
        faults
            .map(|fault| format!("{}: {}", fault.path, fault.problem))
            .collect()
    }

    #[test]
    fn what_an_axis_does_not_take_is_named() {
        let all = ["des", "json-schema", "llm-judge", "own", "protected-paths"];
        let good = "{json-schema: {schema: {type: object}, ttl_secs: 5}, llm-judge: {model: openai/a/b, prompt: Judge.}, \
            des: {ttl_secs: 1}, own: {ttl_secs: 2, anything: [1]}, protected-paths: {level: review}}";
        assert_eq!(checked(good, &all), Vec::<String>::new());
        assert_eq!(checked("{}", &["des"]), Vec::<String>::new());
        for (from, to, word) in [
            (
                "{type: object}",
                "{type: objekt}",
                "json-schema.schema: is not a usable JSON Schema",
            ),
            (
                "schema: {type: object}",
                "shema: {}",
                "json-schema.shema: is not an option",
            ),
            (
                "schema: {type: object}, ",
                "",
                "json-schema.schema: is missing",
            ),
            (
                "{model: openai/a/b, prompt: Judge.}",
                "{}",
                "llm-judge.model: is missing",
            ),
            (
                "{model: openai/a/b, prompt: Judge.}",
                "[]",
                "llm-judge: must be an object, not an array",
            ),
            (
                "openai/a/b",
                "gpt",
                "llm-judge.model: must be PROVIDER/MODEL",
            ),
            ("Judge.", "''", "llm-judge.prompt: must be text"),
            ("ttl_secs: 1}", "ttl_secs: 0}", "des.ttl_secs: must be"),
            ("ttl_secs: 2", "ttl_secs: 0.5", "own.ttl_secs: must be"),
            (
                "level: review",
                "level: reviewed",
                "protected-paths.level: must be deny or review",
            ),
            (
                "des:",
                "canonical:",
                "canonical: is not an axis of this setting",
            ),
            (
                "ttl_secs: 1}",
                "schema: {}}",
                "des.schema: is not an option of this axis; its options are ttl_secs",
            ),
        ] {
            let faults = checked(&good.replace(from, to), &all);
            assert!(
                faults.iter().any(|fault| fault.starts_with(word)),
                "{to}: {faults:?}"
            );
        }
        let large = format!("{{own: {{text: {}}}}}", "x".repeat(MAX_OPTIONS_BYTES));
        assert!(checked(&large, &["own"])[0].starts_with(": has "));
        assert_eq!(
            checked("{}", &["json-schema"]),
            ["json-schema.schema: is missing"]
        );
    }
}
