//! `/`: is it moving, and if not, why.

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use maud::{Markup, html};
use proto::v1;
use proto::v1::GetQueueStatsResponse;

use crate::calls::{Asker, Scope};
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::pages::activity;
use crate::view::issue_state::{decided, mark};
use crate::view::layout::{self, Page, Place, action};
use crate::view::text::{counted, first_line, grouped, visible};
use crate::view::time;

/// The number of listed decisions.
const DECISIONS: i32 = 12;

/// Shows the page.
pub(crate) async fn show(
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Page, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let live = live(&viewer.asker()?, &query).await?;
    let main = html! {
        (layout::notice(query.get("done")))
        div.headline {
            div #live-sentence { (live.sentence) }
            @if viewer.may(Scope::Admin) {
                @if live.is_paused { (action(&viewer, "/resume", "Resume", "primary")) }
                @else { (action(&viewer, "/pause", "Pause", "plain")) }
            }
        }
        div #live-overview { (live.rest) }
    };
    let events = format!("/events{}", query.with("done", None));
    Ok(layout::page(
        &viewer,
        Place::Overview,
        "Overview",
        Some(&events),
        &main,
    ))
}

/// The live parts of the page. They have no forms: the token of a form differs each time.
pub(crate) struct Live {
    /// Whether it moves, in one sentence.
    pub(crate) sentence: Markup,
    /// Everything below.
    pub(crate) rest: Markup,
    /// True if the whole queue is paused.
    pub(crate) is_paused: bool,
}

/// Returns the live parts.
pub(crate) async fn live(asker: &Asker, query: &Fields) -> Result<Live, Failure> {
    let window = activity::Window::of(query.get("window"));
    let entries = v1::ListLogEntriesRequest {
        newest_first: true,
        page_size: DECISIONS,
        ..Default::default()
    };
    let (stats, entries, figures_of_window) = tokio::try_join!(
        asker.get_queue_stats(v1::GetQueueStatsRequest {}),
        asker.list_log_entries(entries),
        asker.get_activity(window.request()),
    )?;
    let (sentence, class) = sentence(&stats);
    let rest = html! {
        @for warning in &stats.warnings { p.warning { (visible(warning)) } }
        @if !stats.paused_blueprint_ids.is_empty() {
            p.warning {
                "Paused: "
                @for (at, id) in stats.paused_blueprint_ids.iter().enumerate() {
                    @if at > 0 { ", " }
                    a href={ "/blueprints/" (segment(id)) } { (visible(id)) }
                }
            }
        }
        (figures(&stats))
        (activity::section(window, &figures_of_window.buckets))
        section {
            h2 { "Newest decisions" }
            (decisions(&entries.entries))
        }
    };
    Ok(Live {
        sentence: html! { h1.(class) { (sentence) } },
        rest,
        is_paused: stats.paused,
    })
}

/// Says whether issues move, and if not, why.
fn sentence(stats: &GetQueueStatsResponse) -> (String, &'static str) {
    let (waiting, running) = (stats.pending, stats.in_flight);
    let n_waiting = counted(waiting, "issue");
    if stats.paused {
        return (
            format!("Paused. {n_waiting} wait until it is resumed."),
            "stopped",
        );
    }
    if stats.workers.is_empty() {
        let text = match waiting {
            0 => "No worker runs. New issues will wait.".to_owned(),
            _ => format!("Not moving: {n_waiting} wait, and no worker runs."),
        };
        return (text, "stopped");
    }
    match (waiting, running) {
        (0, 0) => ("Idle. Nothing waits.".to_owned(), "calm"),
        (0, _) => (
            format!("Working on {}.", counted(running, "issue")),
            "moving",
        ),
        (_, 0) if stats.delayed > 0 => (
            format!(
                "{n_waiting} wait, {} of them to be tried again.",
                grouped(stats.delayed)
            ),
            "calm",
        ),
        (_, 0) => (format!("{n_waiting} wait."), "calm"),
        _ => (
            format!(
                "Working on {}; {} wait.",
                counted(running, "issue"),
                grouped(waiting)
            ),
            "moving",
        ),
    }
}

fn figures(stats: &GetQueueStatsResponse) -> Markup {
    let now = stats.now.as_ref().map_or_else(time::now_ms, time::ms);
    let oldest = stats
        .oldest_pending_at
        .as_ref()
        .map(|at| time::coarse(now - time::ms(at)));
    let workers = stats.workers.len() as u64;
    html! {
        dl.figures {
            (figure("Waiting", &grouped(stats.pending), "/issues?state=waiting"))
            (figure("In flight", &grouped(stats.in_flight), "/issues?state=in-flight"))
            (figure("In review", &grouped(stats.in_review), "/reviews"))
            (figure("Oldest", oldest.as_deref().unwrap_or("–"), ""))
            (figure("Workers", &grouped(workers), "/workers"))
        }
    }
}

fn figure(name: &str, value: &str, to: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { @if to.is_empty() { (value) } @else { a href=(to) { (value) } } }
        }
    }
}

fn decisions(entries: &[v1::LogEntry]) -> Markup {
    html! {
        @if entries.is_empty() {
            (layout::empty("Nothing was decided yet. File an issue, and its decision appears here."))
        } @else {
            table.rows {
                thead.sr { tr {
                    th scope="col" { "State" } th scope="col" { "Issue" } th scope="col" { "Blueprint" }
                    th scope="col" { "By" } th scope="col" { "Decided" }
                } }
                tbody {
                    @for entry in entries {
                        @let (word, class) = decided(entry);
                        tr {
                            td.fit { (mark(word, class)) }
                            td.wide {
                                a href={ "/issues/" (segment(&entry.issue_id)) } { (first_line(&entry.intent, 110)) }
                                @if let Some(reason) = entry.reasons.first() {
                                    div.reason { (first_line(reason, 140)) }
                                }
                            }
                            td.fit { a.quiet href={ "/blueprints/" (segment(&entry.blueprint_id)) } { (visible(&entry.blueprint_id)) } }
                            td.fit.quiet.extra { (visible(&entry.submitted_by)) }
                            td.fit.quiet { (time::ago(Some(&time::timestamp(entry.ts_ms)))) }
                        }
                    }
                }
            }
        }
    }
}

/// Pauses the queue.
pub(crate) async fn pause(Extension(viewer): Extension<Viewer>) -> Result<Response, Failure> {
    let request = v1::PauseQueueRequest { blueprint_id: None };
    viewer.asker()?.pause_queue(request).await?;
    Ok(see_other("/?done=paused"))
}

/// Resumes the queue.
pub(crate) async fn resume(Extension(viewer): Extension<Viewer>) -> Result<Response, Failure> {
    let request = v1::ResumeQueueRequest { blueprint_id: None };
    viewer.asker()?.resume_queue(request).await?;
    Ok(see_other("/?done=resumed"))
}
