//! Consumers: the instances that run Blueprints, and what they report about themselves.
//!
//! A report is a statement of its consumer, kept for operators. Nothing depends on it. Reports that
//! are too old are ignored at once, and removed by the next report.

mod list;
mod report;

pub use self::report::ReportOutcome;
