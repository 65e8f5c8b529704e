//! `stats`: prints waiting issues, issues in flight, and workers.

use std::time::SystemTime;

use proto::v1::{GetQueueStatsRequest, GetQueueStatsResponse, WorkerStats};

use crate::args::Output;
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, Paint, Styled};
use crate::verbs::doctor::Finding;
use crate::verbs::doctor::queue;

/// Prints the queue statistics.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn stats(mut client: Client, format: Output) -> Result<(), CliError> {
    let stats = client
        .intake
        .get_queue_stats(GetQueueStatsRequest {})
        .await?
        .into_inner();
    match format {
        Output::Json => Ok(output::json_document(&output::stats_json(&stats))?),
        Output::Text => print(&stats),
    }
}

/// Prints the queue statistics as text.
///
/// # Errors
/// Errors of standard output.
pub(super) fn print(stats: &GetQueueStatsResponse) -> Result<(), CliError> {
    let paused = match (stats.paused, stats.paused_blueprint_ids.is_empty()) {
        (true, _) => "everything".to_owned(),
        (false, true) => "nothing".to_owned(),
        (false, false) => stats.paused_blueprint_ids.join(", "),
    };
    let memory = match stats.max_memory {
        0 => format!("{} used, no limit", mebibytes(stats.used_memory)),
        max => format!(
            "{} used of {}",
            mebibytes(stats.used_memory),
            mebibytes(max)
        ),
    };
    let oldest = match stats.oldest_pending_at.as_ref() {
        None => String::new(),
        at => format!(", the oldest submitted {}", output::both(at)),
    };
    let pending = format!(
        "{} ({} ready, {} delayed){oldest}",
        stats.pending, stats.ready, stats.delayed
    );
    output::field("pending", pending)?;
    output::field("in flight", stats.in_flight)?;
    let oldest = match stats.oldest_in_review_at.as_ref() {
        None => String::new(),
        at => format!(", the oldest since {}", output::both(at)),
    };
    output::field("in review", format_args!("{}{oldest}", stats.in_review))?;
    output::field("dead", stats.dead)?;
    let paint = match paused.as_str() {
        "nothing" => Paint::Plain,
        _ => Paint::Warn,
    };
    output::field("paused", Styled::of(paint, paused))?;
    output::field("memory", memory)?;
    // Those of intake, and those of `doctor` about the same numbers.
    let checks = queue::examine(stats, SystemTime::now());
    let found = checks.iter().filter(|check| check.finding != Finding::Ok);
    let mut warnings = stats.warnings.clone();
    for warning in found.map(ToString::to_string) {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    for warning in &warnings {
        output::line(output::warning(warning))?;
    }
    if !stats.workers.is_empty() {
        output::line("")?;
        output::list(WORKER_COLUMNS, &worker_rows(&stats.workers), "workers")?;
    }
    Ok(())
}

/// The columns of [`worker_rows`].
pub(super) const WORKER_COLUMNS: [Column; 4] = [
    Column::value("WORKER"),
    Column::value("IN FLIGHT"),
    Column::time("LAST SEEN"),
    Column::value("VERSION").omitted(1),
];

/// Returns a row for each worker.
pub(super) fn worker_rows(workers: &[WorkerStats]) -> Vec<[Cell; 4]> {
    let row = |worker: &WorkerStats| {
        [
            Cell::from(&worker.worker_id),
            Cell::number(worker.in_flight),
            Cell::time(worker.last_seen.as_ref()),
            Cell::from(&worker.version),
        ]
    };
    workers.iter().map(row).collect()
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20)
}

#[cfg(test)]
mod tests {
    use super::mebibytes;

    #[test]
    fn memory_is_told_to_a_tenth() {
        assert_eq!(mebibytes(1_572_864), "1.5 MiB");
        assert_eq!(mebibytes(0), "0.0 MiB");
    }
}
