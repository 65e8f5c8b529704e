//! The errors of requests: whether they are temporary, the delay before the next attempt, and what
//! to check.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;
use shared::config::LLM_BASE_URL;

use crate::flow::agents::llm::limits::MAX_REPLY_BYTES;
use crate::flow::agents::llm::provider::Model;
use crate::flow::agents::llm::quote;
use crate::flow::error::StepError;

/// The maximum number of characters of a provider's message in an error.
const MAX_QUOTED_CHARS: usize = 300;

/// The reply exceeds the size limit.
pub(super) fn too_long(model: &Model) -> StepError {
    StepError::Permanent {
        message: format!(
            "model {model} replied with more than {MAX_REPLY_BYTES} bytes (1 MiB), the longest reply that is read"
        ),
    }
}

/// The connection could not be established, or failed.
pub(super) fn disconnected(model: &Model, error: reqwest::Error) -> StepError {
    // The URL may contain a password.
    let error = error.without_url();
    transient(format!(
        "connection to model {model} failed: {}",
        shared::error::chain(&error)
    ))
}

/// The stream ended before the answer was complete.
pub(super) fn cut_off(model: &Model) -> StepError {
    transient(format!("the answer of model {model} is incomplete"))
}

/// The provider sent no data within the timeout.
pub(super) fn idle(model: &Model, limit: Duration) -> StepError {
    transient(format!(
        "model {model} sent no data for {} s",
        limit.as_secs()
    ))
}

/// The request exceeded the time limit of the agent.
pub(super) fn timed_out(model: &Model, limit: Duration) -> StepError {
    transient(format!(
        "model {model} did not answer within {} ms, the agent's spec.timeout_ms",
        limit.as_millis()
    ))
}

/// The answer does not follow the protocol. The error omits its text, which may contain the reply.
pub(super) fn malformed(model: &Model) -> StepError {
    transient(format!(
        "model {model} answered in a form that does not follow its provider's protocol; look at {LLM_BASE_URL} if it is set"
    ))
}

/// The provider reported an error within an answer.
pub(super) fn error_event(model: &Model, event: &Value) -> StepError {
    let kind = event["error"]["type"].as_str();
    let kind = kind.map(|kind| format!(": {}", quote::on_one_line(kind, MAX_QUOTED_CHARS)));
    transient(format!(
        "model {model} ended its answer with an error{}{}",
        kind.unwrap_or_default(),
        words_of(&event.to_string(), model)
    ))
}

fn transient(message: String) -> StepError {
    StepError::Transient {
        message,
        retry_after: None,
    }
}

/// An answer with an HTTP status other than success.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The beginning of the body.
    pub(super) body: String,
}

impl Refusal {
    /// True if the provider rejects JSON mode rather than the request.
    pub(super) fn is_of_json_mode(&self) -> bool {
        let body = self.body.to_ascii_lowercase();
        let names = [
            "response_format",
            "response format",
            "json_object",
            "json mode",
            "json_mode",
        ];
        matches!(self.status.as_u16(), 400 | 422) && names.iter().any(|name| body.contains(name))
    }

    /// Returns the error of the step.
    pub(super) fn meaning(&self, model: &Model) -> StepError {
        let code = self.status.as_u16();
        let words = words_of(&self.body, model);
        let message = match code {
            408 | 425 | 429 | 500.. => {
                return StepError::Transient {
                    message: format!("model {model} is not available now: HTTP {code}{words}"),
                    retry_after: retry_after(&self.headers, SystemTime::now()),
                };
            }
            401 | 403 => match model.provider.key_variable {
                Some(variable) => format!(
                    "model {model} refuses the worker's key: HTTP {code}{words}; look at {variable} in the worker's environment, and whether its key may use this model"
                ),
                None => format!("model {model} refuses the worker: HTTP {code}{words}"),
            },
            404 => format!(
                "model {model} is not found: HTTP 404{words}; look at the agent's profile.model and spec.provider, and at {LLM_BASE_URL} if it is set"
            ),
            300..=399 => format!(
                "model {model} is redirected: HTTP {code}; redirects are not followed, look at {LLM_BASE_URL}"
            ),
            _ => format!("model {model} refuses the request: HTTP {code}{words}"),
        };
        StepError::Permanent { message }
    }
}

/// Returns `: ` and the provider's message, or an empty string. The message is cut, on one line,
/// and without the key.
fn words_of(body: &str, model: &Model) -> String {
    let words = match serde_json::from_str::<Value>(body) {
        Ok(body) => message_in(&body).unwrap_or_else(|| body.to_string()),
        Err(_) => body.to_owned(),
    };
    // Removes the key before the text is cut, so that no part of the key remains.
    let words = quote::on_one_line(&model.without_key(&words), MAX_QUOTED_CHARS);
    if words.is_empty() || words == "{}" || words == "null" {
        return String::new();
    }
    format!(": {words}")
}

/// Returns the message in the body of an error.
///
/// It is in `error.message`, `error`, `detail` (a text, or a list of `{loc, msg}`) or `message`. A
/// list may contain objects of these forms.
fn message_in(body: &Value) -> Option<String> {
    match body {
        Value::String(text) => return Some(text.clone()),
        Value::Array(items) => {
            let messages: Vec<String> = items.iter().filter_map(message_in).collect();
            return (!messages.is_empty()).then(|| messages.join("; "));
        }
        Value::Object(_) => {}
        _ => return None,
    }
    if let Some(message) = body["msg"].as_str() {
        let place: Vec<String> = body["loc"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|part| {
                part.as_str()
                    .map_or_else(|| part.to_string(), str::to_owned)
            })
            .collect();
        return Some(match place.as_slice() {
            [] => message.to_owned(),
            place => format!("{}: {message}", place.join(".")),
        });
    }
    ["error", "message", "detail", "details", "errors"]
        .iter()
        .find_map(|name| message_in(&body[*name]))
}

/// Returns the delay in the `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        Model::find("a", Some("anthropic"), "m").unwrap()
    }

    fn refusal(status: u16, retry: Option<&str>, body: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        if let Some(retry) = retry {
            headers.insert(RETRY_AFTER, retry.parse().unwrap());
        }
        Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned(),
            headers,
        }
    }

    fn refused(status: u16, retry: Option<&str>, body: &str) -> StepError {
        refusal(status, retry, body).meaning(&model())
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for status in [408, 429, 500, 502, 503, 504, 529] {
            assert!(
                matches!(refused(status, None, ""), StepError::Transient { .. }),
                "{status}"
            );
        }
        for status in [301, 400, 401, 403, 404, 413, 422] {
            assert!(
                matches!(refused(status, None, ""), StepError::Permanent { .. }),
                "{status}"
            );
        }
        let event = serde_json::json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
        let overloaded = error_event(&model(), &event);
        assert!(matches!(overloaded, StepError::Transient { .. }));
        let words = overloaded.to_string();
        assert!(words.ends_with(": overloaded_error: Overloaded"), "{words}");
        let unauthorized = refused(401, None, "<html>").to_string();
        assert!(unauthorized.contains("ANTHROPIC_API_KEY"), "{unauthorized}");
    }

    #[test]
    fn the_words_of_every_common_shape_are_shown() {
        let fastapi = r#"{"detail": [{"loc": ["body", "messages", 0], "msg": "field required"}]}"#;
        for (body, shown) in [
            (r#"{"error": {"message": "too\nlong"}}"#, ": too long"),
            (
                r#"{"error": "model 'm' not found"}"#,
                ": model 'm' not found",
            ),
            (r#"{"error": {"type": "e"}, "message": "m"}"#, ": m"),
            (r#"{"detail": "no such model"}"#, ": no such model"),
            (fastapi, ": body.messages.0: field required"),
            (r#"{"message": "no"}"#, ": no"),
            (r#"[{"error": {"message": "in a list"}}]"#, ": in a list"),
            (
                r#"{"object": "error", "code": 7}"#,
                r#": {"object":"error","code":7}"#,
            ),
            ("upstream\r\n gone\u{1b}[1m", ": upstream gone\\u{1b}[1m"),
            ("", ""),
            ("{}", ""),
        ] {
            for status in [400, 500] {
                let words = refused(status, None, body).to_string();
                let end = format!("HTTP {status}{shown}");
                assert!(words.ends_with(&end), "{body}: {words}");
            }
        }
        let long = refused(400, None, &"x".repeat(9_000)).to_string();
        assert!(long.len() < MAX_QUOTED_CHARS + 100, "{long}");
    }

    #[test]
    fn only_a_refusal_that_names_json_mode_is_one_of_it() {
        let openai = r#"{"error": {"message": "Invalid parameter: 'response_format' of type 'json_object' is not supported with this model."}}"#;
        for (status, body, is_one) in [
            (400, openai, true),
            (
                422,
                r#"{"detail": "response_format: extra fields not permitted"}"#,
                true,
            ),
            (400, "JSON mode is not supported", true),
            (400, "the context is too long", false),
            (500, openai, false),
        ] {
            let refusal = refusal(status, None, body);
            assert_eq!(refusal.is_of_json_mode(), is_one, "{status} {body}");
        }
    }

    #[test]
    fn a_wish_to_wait_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(read("soon"), None);
        assert!(matches!(
            refused(429, Some("3"), ""),
            StepError::Transient { retry_after: Some(wait), .. } if wait.as_secs() == 3
        ));
    }
}
