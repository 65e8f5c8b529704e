//! `/workers`: who works, and on what.

use axum::Extension;
use maud::html;
use proto::v1;
use proto::v1::IssueState;

use crate::edge::fields::segment;
use crate::edge::guard::Viewer;
use crate::failure::Failure;
use crate::view::layout::{self, Page, Place};
use crate::view::text::{counted, first_line, visible};
use crate::view::time;

/// The number of issues in flight that are listed.
const IN_FLIGHT: i32 = 200;

/// Shows the page.
pub(crate) async fn show(Extension(viewer): Extension<Viewer>) -> Result<Page, Failure> {
    let asker = viewer.asker()?;
    let running = v1::ListIssuesRequest {
        state: Some(IssueState::InFlight.into()),
        page_size: IN_FLIGHT,
        ..Default::default()
    };
    let (stats, running) = tokio::try_join!(
        asker.get_queue_stats(v1::GetQueueStatsRequest {}),
        asker.list_issues(running),
    )?;
    let now = stats.now.as_ref().map_or_else(time::now_ms, time::ms);
    let main = html! {
        h1 { "Workers" }
        @if stats.workers.is_empty() {
            (layout::empty("No worker has been seen in the last minute. Issues wait until one runs."))
        } @else {
            table.rows {
                thead { tr {
                    th scope="col" { "Worker" } th scope="col" { "Version" } th scope="col" { "In flight" } th scope="col" { "Last seen" }
                } }
                tbody {
                    @for worker in &stats.workers {
                        tr {
                            td.wide {
                                code { (visible(&worker.worker_id)) }
                                @for issue in running.issues.iter().filter(|issue| issue.worker_id == worker.worker_id) {
                                    div.reason {
                                        a href={ "/issues/" (segment(&issue.issue_id)) } { (first_line(&issue.intent, 80)) }
                                        @if let Some(since) = &issue.updated_at {
                                            " for " (time::duration(u64::try_from(now - time::ms(since)).unwrap_or(0)))
                                        }
                                    }
                                }
                            }
                            td.fit data-label="Version" { @if worker.version.is_empty() { span.quiet { "unknown" } } @else { (visible(&worker.version)) } }
                            td.fit data-label="In flight" { (worker.in_flight) }
                            td.fit.quiet data-label="Last seen" { (time::ago(worker.last_seen.as_ref())) }
                        }
                    }
                }
            }
            p.quiet { (counted(stats.workers.len() as u64, "worker")) ", " (counted(stats.in_flight, "issue")) " in flight." }
        }
    };
    Ok(layout::page(
        &viewer,
        Place::Workers,
        "Workers",
        None,
        &main,
    ))
}
