//! The lines of the picture.

use std::time::Duration;

use tokio::time::Instant;

use super::Reading;
use crate::output::{self, Cell, Column, Paint, Reader, Styled};
use crate::verbs::stats::{WORKER_COLUMNS, worker_rows};

/// Returns the first line: where the numbers are from, and whether they are fresh.
pub(super) fn title(
    addr: &str,
    every: Duration,
    away: Option<&(Instant, String)>,
    width: usize,
) -> Styled {
    match away {
        None => {
            let text = format!("{addr}, every {} s; q ends", every.as_secs());
            Styled::of(Paint::Muted, output::cut(&output::escape(&text), width))
        }
        Some((since, error)) => {
            let error = error.lines().next().unwrap_or_default();
            let secs = since.elapsed().as_secs();
            let text = format!("{addr} has not answered for {secs} s: {error}");
            Styled::of(Paint::Bad, output::cut(&output::escape(&text), width))
        }
    }
}

/// Returns a reading as lines. For a person, each has at most the width of the terminal.
pub(super) fn lines(reading: &Reading, reader: Reader) -> Styled {
    let line = |paint: Paint, text: &str| {
        let text = output::escape(text);
        match reader {
            Reader::Person { width } => Styled::of(paint, output::cut(&text, width)),
            Reader::Program => Styled::of(paint, text),
        }
    };
    let stats = &reading.stats;
    let oldest = match stats.oldest_pending_at.as_ref() {
        None => String::new(),
        at => format!(", the oldest submitted {}", output::relative(at)),
    };
    let pending = format!(
        "{} pending ({} ready, {} delayed){oldest}",
        stats.pending, stats.ready, stats.delayed
    );
    let mut text = line(Paint::Plain, &pending).plain("\n").then(line(
        Paint::Plain,
        &format!("{} in flight, {} dead", stats.in_flight, stats.dead),
    ));
    let paused = match (stats.paused, stats.paused_blueprint_ids.as_slice()) {
        (true, _) => "paused: everything".to_owned(),
        (false, []) => String::new(),
        (false, ids) => format!("paused: {}", ids.join(", ")),
    };
    if !paused.is_empty() {
        text = text.plain("\n").then(line(Paint::Warn, &paused));
    }
    for warning in &stats.warnings {
        let warning = format!("warning: {warning}");
        text = text.plain("\n").then(line(Paint::Warn, &warning));
    }
    text.plain("\n\n")
        .then(workers(reading, reader, &line))
        .plain("\n\n")
        .then(issues(reading, reader, &line))
}

fn workers(reading: &Reading, reader: Reader, line: &impl Fn(Paint, &str) -> Styled) -> Styled {
    if reading.stats.workers.is_empty() {
        let text = "no worker was seen within the last minute: issues wait";
        return line(Paint::Bad, text);
    }
    let rows = worker_rows(&reading.stats.workers);
    output::table(WORKER_COLUMNS, &rows, reader)
}

fn issues(reading: &Reading, reader: Reader, line: &impl Fn(Paint, &str) -> Styled) -> Styled {
    if reading.issues.is_empty() {
        return line(Paint::Muted, "no issue is in flight");
    }
    let ids: Vec<&str> = reading.issues.iter().map(|i| i.issue_id.as_str()).collect();
    let rows = reading.issues.iter().zip(output::short_ids(&ids));
    let rows = rows.map(|(issue, short)| {
        [
            Cell::short(short, &issue.issue_id),
            Cell::from(&issue.blueprint_id),
            Cell::number(issue.attempt),
            Cell::time(issue.updated_at.as_ref()),
            Cell::from(&issue.worker_id),
            Cell::from(&issue.intent),
        ]
    });
    let columns = [
        Column::value("ISSUE"),
        Column::value("BLUEPRINT"),
        Column::value("ATTEMPT").omitted(2),
        Column::value("CLAIMED"),
        Column::value("WORKER").omitted(1),
        Column::text("INTENT"),
    ];
    output::table(columns, &rows.collect::<Vec<_>>(), reader)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use proto::v1::{GetQueueStatsResponse, Issue, WorkerStats};

    use super::*;

    #[test]
    fn the_picture_has_the_queue_the_workers_and_the_issues() {
        let long_ago = Some(Timestamp {
            seconds: 1_000,
            nanos: 0,
        });
        let reading = Reading {
            stats: GetQueueStatsResponse {
                pending: 3,
                oldest_pending_at: long_ago,
                paused_blueprint_ids: vec!["swarm".to_owned()],
                workers: vec![WorkerStats {
                    worker_id: "host-1".to_owned(),
                    in_flight: 1,
                    last_seen: long_ago,
                    version: "0.1.0".to_owned(),
                }],
                ..Default::default()
            },
            issues: vec![Issue {
                issue_id: "i-1".to_owned(),
                blueprint_id: "team".to_owned(),
                intent: "tag \x1b[31mblue".to_owned(),
                ..Default::default()
            }],
        };
        let shown = |reading: &Reading, width| {
            let text = lines(reading, Reader::Person { width });
            text.render(false)
        };
        let text = shown(&reading, 200);
        for part in [
            "3 pending",
            "the oldest submitted",
            "paused: swarm",
            "host-1",
            "i-1",
            "team",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\x1b'), "{text}");
        let narrow = shown(&reading, 30);
        assert!(
            narrow.lines().all(|line| output::width(line) <= 30),
            "{narrow}"
        );
        let text = shown(&Reading::default(), 80);
        assert!(
            text.contains("no worker") && text.contains("no issue is in flight"),
            "{text}"
        );
    }

    #[test]
    fn an_intake_that_is_away_is_named_in_the_title() {
        let away = (Instant::now(), "UNAVAILABLE: x\n  more".to_owned());
        let text = title("http://a:1", Duration::from_secs(2), Some(&away), 80);
        assert_eq!(
            text.text(),
            "http://a:1 has not answered for 0 s: UNAVAILABLE: x"
        );
    }
}
