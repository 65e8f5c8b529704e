//! Findings of the server check.

use std::fmt;

/// A problem of the Redis server that an operator should fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub(crate) severity: Severity,
    pub(crate) found: String,
    pub(crate) matters: &'static str,
    pub(crate) change: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Nothing works, or accepted data would be lost in normal operation.
    Refuse,
    /// It works but keeps less data than possible.
    Warn,
}

impl Finding {
    pub(crate) fn refuse(found: String, matters: &'static str, change: String) -> Finding {
        let severity = Severity::Refuse;
        Finding {
            severity,
            found,
            matters,
            change,
        }
    }

    pub(crate) fn warn(found: String, matters: &'static str, change: String) -> Finding {
        Finding {
            severity: Severity::Warn,
            ..Finding::refuse(found, matters, change)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.found, self.matters, self.change)
    }
}

/// Returns all findings on one line.
pub(crate) fn sentences(findings: &[Finding]) -> String {
    let each: Vec<String> = findings.iter().map(Finding::to_string).collect();
    each.join(" | ")
}
