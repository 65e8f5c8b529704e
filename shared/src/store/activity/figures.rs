//! The stored form of figures. A hash has the figures of a span: 60 minutes, 24 hours or 32 days. A
//! field is `<part>|<figure>`, where the part is its number in the span, from 0.

use std::collections::BTreeMap;

use crate::domain::activity::{Activity, Level};
use crate::domain::enhance_log::{LogEntry, VerdictStatus};
use crate::domain::issue::RejectionCause;
use crate::prefix::prefix;

/// The maximum length of the name of an axis or a model, in bytes. A longer one is cut.
const MAX_NAME_BYTES: usize = 128;

/// Returns the name of a level in keys.
pub(super) fn name(level: Level) -> &'static str {
    match level {
        Level::Minutes => "minutes",
        Level::Hours => "hours",
        Level::Days => "days",
    }
}

/// Returns the number of parts in a span.
pub(super) fn parts(level: Level) -> u64 {
    match level {
        Level::Minutes => 60,
        Level::Hours => 24,
        Level::Days => 32,
    }
}

/// Returns the span of a time in seconds, and the part in it.
pub(super) fn place(level: Level, secs: u64) -> (u64, u64) {
    let part = secs / level.part_secs();
    (part / parts(level), part % parts(level))
}

/// Returns when a span is forgotten, in seconds since the epoch.
pub(super) fn forgotten_at(level: Level, span: u64) -> u64 {
    (span + 1) * parts(level) * level.part_secs() + level.kept_secs()
}

/// Returns the figures of one decision. The times are absent if the issue is no longer stored.
pub(super) fn of_entry(
    entry: &LogEntry,
    submitted_at_ms: Option<u64>,
    claimed_at_ms: Option<u64>,
) -> Vec<(String, u64)> {
    let outcome = entry.cause.map_or("applied", RejectionCause::as_str);
    let mut figures = vec![(outcome.to_owned(), 1)];
    for verdict in &entry.verdicts {
        if verdict.status == VerdictStatus::Deny && entry.cause == Some(RejectionCause::Denied) {
            figures.push((format!("axis|{}", cut(&verdict.axis)), 1));
        }
    }
    let usage = &entry.usage;
    if !usage.model.is_empty() {
        let model = cut(&usage.model);
        figures.push((format!("in|{model}"), usage.input_tokens));
        figures.push((format!("out|{model}"), usage.output_tokens));
    }
    // The time of a review is not that of a run.
    let is_reviewed = entry
        .verdicts
        .iter()
        .any(|v| v.status == VerdictStatus::Review);
    if let (Some(submitted), Some(claimed), false) = (submitted_at_ms, claimed_at_ms, is_reviewed) {
        figures.push(("timed".to_owned(), 1));
        figures.push(("wait_ms".to_owned(), claimed.saturating_sub(submitted)));
        figures.push(("run_ms".to_owned(), entry.ts_ms.saturating_sub(claimed)));
    }
    figures.retain(|(_, n)| *n > 0);
    figures
}

fn cut(name: &str) -> &str {
    prefix(name, MAX_NAME_BYTES)
}

/// Adds a stored figure. An unknown one is of a later release and is ignored.
pub(super) fn add(activity: &mut Activity, figure: &str, n: u64) {
    let (name, of) = figure.split_once('|').unwrap_or((figure, ""));
    let sum = match name {
        "applied" => &mut activity.applied,
        "denied" => &mut activity.denied,
        "failed" => &mut activity.failed,
        "cancelled" => &mut activity.cancelled,
        "declined" => &mut activity.declined,
        "timed" => &mut activity.timed,
        "wait_ms" => &mut activity.total_wait_ms,
        "run_ms" => &mut activity.total_run_ms,
        "axis" => activity.denials_by_axis.entry(of.to_owned()).or_default(),
        "in" => &mut tokens(&mut activity.tokens_by_model, of).0,
        "out" => &mut tokens(&mut activity.tokens_by_model, of).1,
        _ => return,
    };
    *sum = sum.saturating_add(n);
}

fn tokens<'a>(all: &'a mut BTreeMap<String, (u64, u64)>, model: &str) -> &'a mut (u64, u64) {
    all.entry(model.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_place_at_each_level() {
        let secs = 1_000 * 86_400 + 5 * 3_600 + 7 * 60 + 9;
        assert_eq!(place(Level::Minutes, secs), (1_000 * 24 + 5, 7));
        assert_eq!(place(Level::Hours, secs), (1_000, 5));
        assert_eq!(place(Level::Days, secs), (31, 8));
        assert_eq!(
            forgotten_at(Level::Hours, 1_000),
            1_001 * 86_400 + 8 * 86_400
        );
    }

    #[test]
    fn stored_figures_are_read_again() {
        let mut activity = Activity::default();
        for (figure, n) in [
            ("applied", 2),
            ("axis|a|b", 1),
            ("in|m", 5),
            ("out|m", 6),
            ("later", 9),
        ] {
            add(&mut activity, figure, n);
        }
        assert_eq!(activity.applied, 2);
        assert_eq!(activity.denials_by_axis["a|b"], 1);
        assert_eq!(activity.tokens_by_model["m"], (5, 6));
    }
}
