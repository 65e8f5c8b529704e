//! `pause` and `resume`.

use proto::v1::{GetQueueStatsResponse, PauseQueueRequest, QueueStats, ResumeQueueRequest};
use serde_json::json;

use super::stats;
use crate::args::{Output, QueueArg};
use crate::client::{CliError, Client};
use crate::output;

/// Pauses the issues of one Blueprint, or all.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn pause(
    mut client: Client,
    args: QueueArg,
    format: Output,
) -> Result<(), CliError> {
    let request = PauseQueueRequest {
        blueprint_id: args.blueprint_id,
    };
    let answer = client.intake.pause_queue(request).await?.into_inner();
    print(answer.stats, format)
}

/// Resumes the issues of one Blueprint, or all.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn resume(
    mut client: Client,
    args: QueueArg,
    format: Output,
) -> Result<(), CliError> {
    let request = ResumeQueueRequest {
        blueprint_id: args.blueprint_id,
    };
    let answer = client.intake.resume_queue(request).await?.into_inner();
    print(answer.stats, format)
}

fn print(stats: Option<QueueStats>, format: Output) -> Result<(), CliError> {
    let stats = stats.ok_or(CliError::Answer { field: "stats" })?;
    let stats = GetQueueStatsResponse {
        pending: stats.pending,
        ready: stats.ready,
        delayed: stats.delayed,
        in_flight: stats.in_flight,
        dead: stats.dead,
        oldest_pending_at: stats.oldest_pending_at,
        paused: stats.paused,
        paused_blueprint_ids: stats.paused_blueprint_ids,
        workers: stats.workers,
        used_memory: stats.used_memory,
        max_memory: stats.max_memory,
        warnings: stats.warnings,
        now: stats.now,
    };
    match format {
        Output::Json => Ok(output::json_document(
            &json!({ "stats": output::stats_json(&stats) }),
        )?),
        Output::Text => stats::print(&stats),
    }
}
