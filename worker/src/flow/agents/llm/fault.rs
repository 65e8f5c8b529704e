//! What went wrong with a call: whether it may pass, how long to wait, and what to look at.

use std::time::{Duration, SystemTime};

use genai::Error;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;
use shared::config::LLM_BASE_URL;

use super::super::super::error::StepError;
use super::client::{MAX_REPLY_BYTES, Model};

/// Most characters of a provider's own words in an error.
const MAX_QUOTED_CHARS: usize = 300;

/// What a call to `model` that ended in `error` means for its step.
pub(super) fn of(error: &Error, model: &Model) -> StepError {
    if let Some(refusal) = Refusal::find(error) {
        return refusal.meaning(model);
    }
    match error {
        Error::ChatResponse { body, .. } => passing(format!(
            "model {model} broke its answer off{}",
            type_of(body)
        )),
        // No text of the stream: it holds the reply.
        Error::StreamParse { .. } | Error::JsonValueExt(_) | Error::SerdeJson(_) => passing(
            format!("model {model} answered in a form that its provider's protocol does not have"),
        ),
        Error::WebStream { error, .. } => passing(format!(
            "connection to model {model} failed: {}",
            shared::error::chain(error.as_ref())
        )),
        _ => StepError::Permanent {
            message: format!(
                "model {model} cannot be asked like this; look at the agent's model and at the provider's key"
            ),
        },
    }
}

/// A reply beyond what is read.
pub(super) fn too_long(model: &Model) -> StepError {
    StepError::Permanent {
        message: format!(
            "model {model} replied with more than {MAX_REPLY_BYTES} bytes (1 MiB), the longest reply that is read"
        ),
    }
}

/// A provider that cannot be connected to.
pub(super) fn unreachable(model: &Model, error: &std::io::Error) -> StepError {
    passing(format!(
        "connection to model {model} failed: {}",
        shared::error::chain(error)
    ))
}

/// A stream that ended without saying so.
pub(super) fn cut_off(model: &Model) -> StepError {
    passing(format!("answer of model {model} ended in its middle"))
}

/// A model that says nothing.
pub(super) fn silent(model: &Model, limit: Duration) -> StepError {
    passing(format!(
        "model {model} said nothing for {} s",
        limit.as_secs()
    ))
}

fn passing(message: String) -> StepError {
    StepError::Passing {
        message,
        retry_after: None,
    }
}

/// An HTTP status that is none of success.
struct Refusal<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    body: &'a str,
}

impl<'a> Refusal<'a> {
    fn find(error: &'a Error) -> Option<Self> {
        match error {
            Error::HttpError {
                status,
                headers,
                body,
                ..
            } => Some(Self {
                status: *status,
                headers,
                body,
            }),
            // The stream's transport boxes genai's own error.
            Error::WebStream { error, .. } => Self::find(error.downcast_ref()?),
            _ => None,
        }
    }

    fn meaning(&self, model: &Model) -> StepError {
        let code = self.status.as_u16();
        let body: Option<Value> = serde_json::from_str(self.body).ok();
        // What may pass is logged, and a server in trouble may repeat a part of the request.
        let words = match code {
            408 | 425 | 500.. => String::new(),
            _ => quoted(body.as_ref(), model),
        };
        let message = match code {
            408 | 425 | 429 | 500.. => {
                return StepError::Passing {
                    message: format!("model {model} is not to be had now: HTTP {code}{words}"),
                    retry_after: retry_after(self.headers, SystemTime::now()),
                };
            }
            401 | 403 => match model.key_variable() {
                Some(variable) => format!(
                    "model {model} refuses the worker's key: HTTP {code}{words}; look at {variable} in the worker's environment, and whether its key may use this model"
                ),
                None => format!("model {model} refuses the worker: HTTP {code}{words}"),
            },
            404 => format!(
                "model {model} is not there: HTTP 404{words}; look at the agent's profile.model and spec.provider, and at {LLM_BASE_URL} if it is set"
            ),
            300..=399 => format!(
                "model {model} has moved elsewhere: HTTP {code}; redirects are not followed, look at {LLM_BASE_URL}"
            ),
            _ => format!("model {model} refuses the request: HTTP {code}{words}"),
        };
        StepError::Permanent { message }
    }
}

/// `: ` and the kind of error that a stream ended with, such as `overloaded_error`; or nothing.
fn type_of(body: &Value) -> String {
    let error = body.get("error").unwrap_or(body);
    match error.get("type").and_then(Value::as_str) {
        Some(word) if word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            format!(": {word}")
        }
        _ => String::new(),
    }
}

/// `: ` and what the provider says, cut, on one line, and without the key if it repeats it; or nothing.
fn quoted(body: Option<&Value>, model: &Model) -> String {
    let pick = |value: &Value| {
        let error = value.get("error").unwrap_or(value);
        let message = error.get("message").unwrap_or(error);
        message.as_str().map(str::to_owned)
    };
    let Some(mut words) = body.and_then(pick).filter(|words| !words.is_empty()) else {
        return String::new();
    };
    if let Some(Ok(key)) = model.key_variable().map(std::env::var)
        && !key.is_empty()
    {
        words = words.replace(&key, "***");
    }
    let words: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_QUOTED_CHARS)
        .collect();
    format!(": {words}")
}

/// How long `headers` ask to wait: seconds, or a date (RFC 9110, section 10.2.3).
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
    use genai::ModelIden;
    use genai::adapter::AdapterKind;

    fn model() -> Model {
        Model {
            provider: AdapterKind::Anthropic,
            name: "m".to_owned(),
        }
    }

    fn refused(status: u16, retry: Option<&str>, body: &str) -> StepError {
        let mut headers = HeaderMap::new();
        if let Some(retry) = retry {
            headers.insert(RETRY_AFTER, retry.parse().unwrap());
        }
        let error = Error::HttpError {
            status: StatusCode::from_u16(status).unwrap(),
            canonical_reason: String::new(),
            body: body.to_owned(),
            headers: Box::new(headers),
        };
        of(&error, &model())
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for status in [408, 429, 500, 502, 503, 504, 529] {
            assert!(
                matches!(refused(status, None, ""), StepError::Passing { .. }),
                "{status}"
            );
        }
        for status in [301, 400, 401, 403, 404, 413, 422] {
            assert!(
                matches!(refused(status, None, ""), StepError::Permanent { .. }),
                "{status}"
            );
        }
        let echo = refused(500, None, r#"{"error": {"message": "cannot read ..."}}"#).to_string();
        assert!(echo.ends_with("HTTP 500"), "{echo}");
        let error = Error::ChatResponse {
            model_iden: ModelIden::new(AdapterKind::Anthropic, "m"),
            body: serde_json::json!({"type": "error", "error": {"type": "overloaded_error"}}),
        };
        let overloaded = of(&error, &model());
        assert!(matches!(overloaded, StepError::Passing { .. }));
        assert!(
            overloaded.to_string().ends_with(": overloaded_error"),
            "{overloaded}"
        );
        let words = refused(400, None, r#"{"error": {"message": "too\nlong"}}"#).to_string();
        assert!(words.ends_with("HTTP 400: too long"), "{words}");
        assert!(
            refused(401, None, "<html>")
                .to_string()
                .contains("ANTHROPIC_API_KEY")
        );
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
            StepError::Passing { retry_after: Some(wait), .. } if wait.as_secs() == 3
        ));
    }
}
