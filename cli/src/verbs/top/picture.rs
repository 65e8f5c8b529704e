//! The lines of the picture.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use tokio::time::Instant;

use super::Reading;
use crate::output::{self, Cell, Column, Paint, Reader, Styled};

/// Returns the first line: where the numbers are from, and how fresh they are.
pub(super) fn title(addr: &str, every: Duration, away: Option<&(Instant, String)>) -> Styled {
    match away {
        None => Styled::of(
            Paint::Muted,
            format_args!("{addr}, every {} s; q ends", every.as_secs()),
        ),
        Some((since, error)) => {
            let error = error.lines().next().unwrap_or_default();
            let away = format!(
                "{addr} does not answer for {} s: {error}",
                since.elapsed().as_secs()
            );
            Styled::of(Paint::Warn, away)
        }
    }
}

/// Returns the lines of a reading.
pub(super) fn lines(reading: &Reading, reader: Reader) -> Vec<Styled> {
    let stats = &reading.stats;
    let oldest = match &stats.oldest_pending_at {
        Some(at) => format!(", the oldest for {}", age(Some(at), stats.now.as_ref())),
        None => String::new(),
    };
    let paused = match (stats.paused, stats.paused_blueprint_ids.as_slice()) {
        (true, _) => "; everything is paused".to_owned(),
        (false, []) => String::new(),
        (false, ids) => format!("; paused: {}", ids.join(", ")),
    };
    let numbers = format!(
        "{} pending ({} ready, {} delayed){oldest}; {} in flight; {} dead",
        stats.pending, stats.ready, stats.delayed, stats.in_flight, stats.dead
    );
    let mut lines = vec![Styled::from(numbers).paint(Paint::Warn, paused)];
    lines.extend(stats.warnings.iter().map(output::warning));
    lines.push(Styled::new());
    if stats.workers.is_empty() {
        let none = "no worker was seen within the last minute: issues wait";
        lines.push(Styled::of(Paint::Warn, none));
    } else {
        let workers = stats.workers.iter().map(|worker| {
            [
                Cell::from(&worker.worker_id),
                Cell::number(worker.in_flight),
                Cell::from(age(worker.last_seen.as_ref(), stats.now.as_ref())),
                Cell::from(&worker.version),
            ]
        });
        let columns = [
            Column::value("WORKER"),
            Column::value("IN FLIGHT"),
            Column::value("SEEN AGO"),
            Column::value("VERSION").omitted(1),
        ];
        lines.push(output::table(columns, &workers.collect::<Vec<_>>(), reader));
    }
    lines.push(Styled::new());
    if reading.issues.is_empty() {
        lines.push("no issue is in flight".into());
    } else {
        let ids: Vec<&str> = reading.issues.iter().map(|i| i.issue_id.as_str()).collect();
        let issues = reading.issues.iter().zip(output::short_ids(&ids));
        let issues = issues.map(|(issue, short_id)| {
            [
                Cell::short(short_id, &issue.issue_id),
                Cell::from(&issue.blueprint_id),
                Cell::number(issue.attempt),
                Cell::from(age(issue.updated_at.as_ref(), stats.now.as_ref())),
                Cell::from(&issue.intent),
            ]
        });
        let columns = [
            Column::value("ISSUE"),
            Column::value("BLUEPRINT").omitted(1),
            Column::value("ATTEMPT").omitted(3),
            Column::value("FOR").omitted(2),
            Column::text("INTENT"),
        ];
        lines.push(output::table(columns, &issues.collect::<Vec<_>>(), reader));
    }
    lines
}

/// Returns the time between two times by the clock of Redis; `-` if one is missing.
fn age(from: Option<&Timestamp>, to: Option<&Timestamp>) -> String {
    let time = |at: Option<&Timestamp>| at.and_then(|at| SystemTime::try_from(*at).ok());
    let (Some(from), Some(to)) = (time(from), time(to)) else {
        return "-".to_owned();
    };
    match to.duration_since(from).unwrap_or_default().as_secs() {
        secs @ ..60 => format!("{secs}s"),
        secs @ ..3600 => format!("{}m", secs / 60),
        secs @ ..86400 => format!("{}h", secs / 3600),
        secs => format!("{}d", secs / 86400),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{GetQueueStatsResponse, Issue, WorkerStats};

    use super::*;

    fn text(reading: &Reading) -> String {
        let lines = lines(reading, Reader::Person { width: 80 }).into_iter();
        lines.map(|line| line.text() + "\n").collect()
    }

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn the_picture_has_the_queue_the_workers_and_the_issues() {
        let reading = Reading {
            stats: GetQueueStatsResponse {
                pending: 3,
                oldest_pending_at: at(880),
                now: at(1000),
                paused_blueprint_ids: vec!["swarm".to_owned()],
                workers: vec![WorkerStats {
                    worker_id: "host-1".to_owned(),
                    in_flight: 1,
                    last_seen: at(999),
                    version: "0.1.0".to_owned(),
                }],
                ..Default::default()
            },
            issues: vec![Issue {
                issue_id: "i-1".to_owned(),
                blueprint_id: "team".to_owned(),
                intent: "tag blue".to_owned(),
                updated_at: at(1000 - 7200),
                ..Default::default()
            }],
        };
        let text = text(&reading);
        for part in [
            "3 pending",
            "the oldest for 2m",
            "paused: swarm",
            "host-1",
            "1s",
            "i-1",
            "2h",
            "tag blue",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = text(&Reading::default());
        assert!(
            text.contains("no worker") && text.contains("no issue is in flight"),
            "{text}"
        );
    }

    #[test]
    fn an_intake_that_is_away_is_named_in_the_title() {
        let away = (Instant::now(), "UNAVAILABLE: x\n  more".to_owned());
        let text = title("http://a:1", Duration::from_secs(2), Some(&away));
        assert_eq!(
            text.text(),
            "http://a:1 does not answer for 0 s: UNAVAILABLE: x"
        );
    }
}
