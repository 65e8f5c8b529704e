//! The trace context of an issue in the form of W3C Trace Context.

use std::fmt;

/// A valid `traceparent` of version 00 (W3C Trace Context, section 3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct TraceParent(pub(crate) String);

impl TraceParent {
    /// Parses a `traceparent`; `None` if it is invalid.
    pub fn parse(text: &str) -> Option<TraceParent> {
        let lower_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            return None;
        };
        let sound = version == "00"
            && (trace.len(), span.len(), flags.len()) == (32, 16, 2)
            && [trace, span, flags].into_iter().all(lower_hex)
            && [trace, span]
                .into_iter()
                .all(|id| id.bytes().any(|b| b != b'0'));
        sound.then(|| TraceParent(text.to_owned()))
    }

    /// Returns the wire and stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
