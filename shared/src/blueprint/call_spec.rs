//! The call options in an agent's `spec`, for its model or its program.

use std::time::Duration;

use crate::blueprint::doc::{Doc, Num};

/// The maximum value of `max_concurrency`.
pub const MAX_CONCURRENCY: u32 = 10_000;
/// The maximum value of `timeout_ms`: one day.
pub const MAX_TIMEOUT_MS: u64 = 24 * 3_600 * 1_000;

/// When a request uses the JSON mode of its provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonMode {
    /// Always.
    On,
    /// Never.
    Off,
    /// Always, unless the provider has rejected it for this model.
    #[default]
    Auto,
}

/// The call options of a model or a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallSpec {
    /// `spec.max_concurrency`: the maximum number of concurrent runs over all workers.
    pub max_concurrency: Option<u32>,
    /// `spec.timeout_ms`: the timeout of one attempt.
    pub timeout: Option<Duration>,
}

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSpecFault {
    /// The field.
    pub field: &'static str,
    /// The description of the problem.
    pub problem: String,
}

impl CallSpec {
    /// Reads an agent's `spec`.
    ///
    /// # Errors
    /// [`CallSpecFault`] with the first invalid field. Missing and null fields are valid.
    pub fn read(spec: Option<&Doc>) -> Result<CallSpec, CallSpecFault> {
        let max_concurrency = integer(
            spec,
            "max_concurrency",
            "spec.max_concurrency",
            u64::from(MAX_CONCURRENCY),
        )?;
        let timeout = integer(spec, "timeout_ms", "spec.timeout_ms", MAX_TIMEOUT_MS)?;
        Ok(CallSpec {
            max_concurrency: max_concurrency.and_then(|n| u32::try_from(n).ok()),
            timeout: timeout.map(Duration::from_millis),
        })
    }
}

impl JsonMode {
    /// Reads `json_mode` of an agent's `spec`. It also accepts booleans, because YAML 1.1 readers
    /// convert `on` and `off` to booleans.
    ///
    /// # Errors
    /// [`CallSpecFault`] for any other value.
    pub fn read(spec: Option<&Doc>) -> Result<JsonMode, CallSpecFault> {
        match spec.and_then(|spec| spec.get("json_mode")) {
            None | Some(Doc::Null) => Ok(JsonMode::Auto),
            Some(Doc::Bool(true)) => Ok(JsonMode::On),
            Some(Doc::Bool(false)) => Ok(JsonMode::Off),
            Some(Doc::Str(word)) if &**word == "on" => Ok(JsonMode::On),
            Some(Doc::Str(word)) if &**word == "off" => Ok(JsonMode::Off),
            Some(Doc::Str(word)) if &**word == "auto" => Ok(JsonMode::Auto),
            Some(_) => Err(CallSpecFault {
                field: "spec.json_mode",
                problem: "must be on, off or auto".to_owned(),
            }),
        }
    }
}

fn integer(
    spec: Option<&Doc>,
    name: &str,
    field: &'static str,
    max: u64,
) -> Result<Option<u64>, CallSpecFault> {
    let found = match spec.and_then(|spec| spec.get(name)) {
        None | Some(Doc::Null) => return Ok(None),
        Some(Doc::Num(Num::Int(n))) => u64::try_from(*n).ok(),
        Some(_) => None,
    };
    match found.filter(|n| (1..=max).contains(n)) {
        Some(n) => Ok(Some(n)),
        None => Err(CallSpecFault {
            field,
            problem: format!("must be an integer from 1 to {max}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::json;

    #[test]
    fn each_field_is_read_or_named() {
        let doc = |text: &str| json::parse(text).unwrap();
        let full = doc(r#"{"max_concurrency": 2, "timeout_ms": 1500, "json_mode": "off"}"#);
        let read = CallSpec::read(Some(&full)).unwrap();
        assert_eq!(read.max_concurrency, Some(2));
        assert_eq!(read.timeout, Some(Duration::from_millis(1_500)));
        for nothing in [
            None,
            Some(&doc("{}")),
            Some(&doc(r#"{"timeout_ms": null}"#)),
        ] {
            assert_eq!(CallSpec::read(nothing), Ok(CallSpec::default()));
            assert_eq!(JsonMode::read(nothing), Ok(JsonMode::Auto));
        }
        for (text, field) in [
            (r#"{"max_concurrency": 0}"#, "spec.max_concurrency"),
            (r#"{"max_concurrency": 10001}"#, "spec.max_concurrency"),
            (r#"{"max_concurrency": "2"}"#, "spec.max_concurrency"),
            (r#"{"timeout_ms": 0.5}"#, "spec.timeout_ms"),
            (r#"{"timeout_ms": -1}"#, "spec.timeout_ms"),
            (r#"{"timeout_ms": 86400001}"#, "spec.timeout_ms"),
        ] {
            let fault = CallSpec::read(Some(&doc(text))).unwrap_err();
            assert_eq!(fault.field, field, "{text}");
            assert!(fault.problem.contains("from 1 to "), "{fault:?}");
        }
        for (value, mode) in [
            ("\"on\"", Ok(JsonMode::On)),
            ("true", Ok(JsonMode::On)),
            ("false", Ok(JsonMode::Off)),
            ("\"auto\"", Ok(JsonMode::Auto)),
            ("null", Ok(JsonMode::Auto)),
            ("\"yes\"", Err("spec.json_mode")),
            ("1", Err("spec.json_mode")),
        ] {
            let spec = doc(&format!("{{\"json_mode\": {value}}}"));
            let read = JsonMode::read(Some(&spec)).map_err(|fault| fault.field);
            assert_eq!(read, mode, "{value}");
        }
    }
}
