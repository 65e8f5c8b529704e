//! `/issues/{id}`: what was asked, what changed, who or what said no, what it cost.

use axum::Extension;
use axum::extract::{Path, Request};
use axum::response::Response;
use maud::{Markup, html};
use proto::v1;
use proto::v1::{Issue, IssueState, LogEntry, SpawnerUsage};

use crate::calls::{Asker, Scope};
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::pages::{fixed, given, reviews};
use crate::view::issue_state::{is_final, mark, word};
use crate::view::layout::{self, Page, Place, action};
use crate::view::text::{first_line, grouped, short, visible};
use crate::view::{diff, time, verdicts};

/// Shows the page.
pub(crate) async fn show(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Page, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let asker = viewer.asker()?;
    let request = v1::GetIssueRequest {
        issue_id: id.clone(),
    };
    let issue = given(asker.get_issue(request).await?.issue)?;
    let entry = if is_final(&issue) {
        let request = v1::GetLogEntryRequest { issue_id: id };
        match asker.get_log_entry(request).await {
            Ok(found) => found.entry,
            // Redis lost it, or the issue was pruned meanwhile.
            Err(Failure::NotFound(_)) => None,
            Err(failure) => return Err(failure),
        }
    } else {
        None
    };
    let changed = match &entry {
        Some(entry) => change(&asker, &issue, entry).await?,
        None => Change::default(),
    };
    let proposal = reviews::proposal(&asker, &issue).await?;
    let path = format!("/issues/{}", segment(&issue.issue_id));
    let live = (!is_final(&issue)).then(|| format!("{path}/events"));
    let main = html! {
        (layout::notice(query.get("done")))
        div.headline {
            h1.intent { (first_line(&issue.intent, 200)) }
            (buttons(&viewer, &issue, &path))
        }
        div.columns {
            div.main {
                @if issue.intent.trim().lines().count() > 1 || issue.intent.chars().count() > 200 {
                    section { h2 { "Intent" } pre.prose { (visible(&issue.intent)) } }
                }
                div #live-issue { (state(&issue, &[], changed.started.as_ref())) }
                @if let Some(proposal) = &proposal { (reviews::decide(&viewer, &path, proposal)) }
                @if let Some(entry) = &entry { (decision(&issue, entry, &changed)) }
            }
            aside { (facts(&issue, entry.as_ref())) }
        }
    };
    let title = first_line(&issue.intent, 60);
    Ok(layout::page(
        &viewer,
        Place::Issues,
        &title,
        live.as_deref(),
        &main,
    ))
}

fn buttons(viewer: &Viewer, issue: &Issue, path: &str) -> Markup {
    html! {
        @if viewer.may(Scope::Submit) {
            @if !is_final(issue) { (action(viewer, &format!("{path}/cancel"), "Cancel", "plain")) }
            @if issue.state() == IssueState::Rejected { (action(viewer, &format!("{path}/retry"), "Retry", "plain")) }
        }
    }
}

/// What an applied issue changed.
#[derive(Default)]
struct Change {
    diff: Option<Markup>,
    /// When the deciding attempt started.
    started: Option<prost_types::Timestamp>,
}

async fn change(asker: &Asker, issue: &Issue, entry: &LogEntry) -> Result<Change, Failure> {
    if entry.new_hash.is_empty() {
        return Ok(Change::default());
    }
    let get = |version: &str| v1::GetBlueprintRequest {
        blueprint_id: issue.blueprint_id.clone(),
        selector: Some(fixed(version)),
    };
    let both = tokio::try_join!(
        asker.get_blueprint(get(&entry.prev_hash)),
        asker.get_blueprint(get(&entry.new_hash)),
    );
    match both {
        Ok((old, new)) => Ok(Change {
            diff: Some(diff::of_texts(&old.document_yaml, &new.document_yaml)),
            started: new
                .commit
                .filter(|commit| commit.issue_id == issue.issue_id)
                .and_then(|commit| commit.epoch?.started_at),
        }),
        Err(Failure::NotFound(_)) => Ok(Change::default()),
        Err(failure) => Err(failure),
    }
}

/// A step of a running flow, as far as the watch has told.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Its name, with the axis of a verifier.
    pub(crate) name: String,
    /// What it does.
    pub(crate) status: v1::StepStatus,
    /// Its duration in milliseconds, when it has ended.
    pub(crate) duration_ms: u64,
}

/// Returns the state and the timeline; the live part of the page.
pub(crate) fn state(
    issue: &Issue,
    steps: &[Step],
    started: Option<&prost_types::Timestamp>,
) -> Markup {
    let (word, class) = word(issue);
    let submitted = issue.submitted_at.as_ref().map_or(0, time::ms);
    let updated = issue.updated_at.as_ref().map_or(0, time::ms);
    let now = time::now_ms();
    let length =
        |from: i64, to: i64| time::duration(u64::try_from(to.saturating_sub(from)).unwrap_or(0));
    let started = match issue.state() {
        IssueState::InFlight => Some(updated),
        _ => started.map(time::ms),
    };
    let end = if is_final(issue) { updated } else { now };
    html! {
        section {
            p.now aria-live="polite" {
                (mark(word, class))
                @if issue.state() == IssueState::Applied {
                    " as " a href={ "/blueprints/" (segment(&issue.blueprint_id)) "?tab=document&version=" (issue.new_version) } {
                        code { (short(&issue.new_version)) }
                    }
                }
                span.quiet { " after " (length(submitted, end)) }
            }
            @if !issue.reason.is_empty() { p.because.prose { (visible(&issue.reason)) } }
            ol.timeline {
                li.done {
                    span.what { "Filed" @if !issue.submitted_by.is_empty() { " by " (visible(&issue.submitted_by)) } }
                    span.when { (time::exact(&time::timestamp(submitted))) }
                }
                @match started {
                    Some(started) => {
                        li.done { span.what { "Waited" } span.when { (length(submitted, started)) } }
                        li.(if is_final(issue) { "done" } else { "doing" }) {
                            span.what {
                                @if is_final(issue) { "Ran" } @else { "Runs" }
                                @if issue.attempt > 1 { ", attempt " (issue.attempt) }
                            }
                            span.when { (length(started, end)) }
                            @if !steps.is_empty() { (running_steps(steps)) }
                        }
                    }
                    None if issue.state() == IssueState::InReview => {
                        li.done { span.what { "Verified" } span.when { (length(submitted, updated)) } }
                        li.doing { span.what { "Waits for a person" } span.when { (length(updated, now)) } }
                    }
                    None if is_final(issue) => {
                        li.done {
                            span.what { @if issue.attempt == 0 { "Waited" } @else { "Waited and ran" }
                                @if issue.attempt > 1 { ", " (issue.attempt) " attempts" } }
                            span.when { (length(submitted, updated)) }
                        }
                    }
                    None => {
                        li.doing {
                            span.what { @if issue.attempt > 0 { "Waits for another attempt" } @else { "Waits for a worker" } }
                            span.when { (length(submitted, now)) }
                        }
                    }
                }
                @if is_final(issue) {
                    li.done {
                        span.what { (word[..1].to_uppercase()) (word[1..])
                            @if !issue.decided_by.is_empty() { " by " (visible(&issue.decided_by)) } }
                        span.when { (time::exact(&time::timestamp(updated))) }
                    }
                }
            }
        }
    }
}

fn running_steps(steps: &[Step]) -> Markup {
    html! {
        ul.steps {
            @for step in steps {
                @let class = match step.status {
                    v1::StepStatus::Finished => "done",
                    v1::StepStatus::Failed => "broken",
                    _ => "doing",
                };
                li.(class) {
                    span.what { (visible(&step.name)) }
                    span.when { @if step.status == v1::StepStatus::Started { "runs" } @else { (time::duration(step.duration_ms)) } }
                }
            }
        }
    }
}

fn decision(issue: &Issue, entry: &LogEntry, change: &Change) -> Markup {
    let reasons: Vec<&String> = entry
        .reasons
        .iter()
        .filter(|reason| **reason != issue.reason)
        .collect();
    html! {
        @if !reasons.is_empty() {
            section { h2 { "Reasons" } ul.reasons { @for reason in reasons { li.prose { (visible(reason)) } } } }
        }
        @if !entry.comment.is_empty() { section { h2 { "Comment of the reviewer" } p.prose { (visible(&entry.comment)) } } }
        @if !entry.verdicts.is_empty() { section { h2 { "Verdicts" } (verdicts::table(&entry.verdicts)) } }
        @if let Some(diff) = &change.diff { section { h2 { "What changed" } (diff) } }
        @if !entry.rationale.is_empty() { section { h2 { "Rationale" } p.prose { (visible(&entry.rationale)) } } }
        @if !entry.patch_json.is_empty() {
            section {
                details open[change.diff.is_none()] {
                    summary { "The patch" }
                    div.code.plain role="region" aria-label="Patch" tabindex="0" { pre { (visible(&indented(&entry.patch_json))) } }
                }
            }
        }
        @if !entry.unusable_reply.is_empty() {
            section {
                details {
                    summary { "The model's reply, which was not usable" }
                    div.code.plain role="region" aria-label="Reply" tabindex="0" { pre { (visible(&entry.unusable_reply)) } }
                }
            }
        }
    }
}

/// Indents JSON text; returns other text unchanged.
pub(crate) fn indented(text: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(text).ok();
    let indented = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    indented.unwrap_or_else(|| text.to_owned())
}

fn facts(issue: &Issue, entry: Option<&LogEntry>) -> Markup {
    let usage = entry.and_then(|entry| entry.usage.as_ref());
    html! {
        h2.sr { "Facts" }
        dl.facts {
            dt { "Blueprint" } dd { a href={ "/blueprints/" (segment(&issue.blueprint_id)) } { (visible(&issue.blueprint_id)) } }
            dt { "Issue" } dd { code { (visible(&issue.issue_id)) } }
            @if !issue.submitted_by.is_empty() { dt { "Filed by" } dd { (visible(&issue.submitted_by)) } }
            @if !issue.decided_by.is_empty() { dt { "Decided by" } dd { (visible(&issue.decided_by)) } }
            @if !issue.retry_of.is_empty() {
                dt { "Retry of" } dd { a href={ "/issues/" (segment(&issue.retry_of)) } { code { (visible(short(&issue.retry_of))) } } }
            }
            dt { "Attempts" } dd { (issue.attempt) }
            @if !issue.worker_id.is_empty() { dt { "Worker" } dd { code { (visible(&issue.worker_id)) } } }
            @if let Some(entry) = entry {
                @if !entry.prev_hash.is_empty() { dt { "Before" } dd { code title=(entry.prev_hash) { (short(&entry.prev_hash)) } } }
                @if !entry.new_hash.is_empty() { dt { "After" } dd { code title=(entry.new_hash) { (short(&entry.new_hash)) } } }
            }
            @if let Some(usage) = usage { (cost(usage)) }
        }
    }
}

fn cost(usage: &SpawnerUsage) -> Markup {
    html! {
        @if !usage.agent_kind.is_empty() {
            dt { "Drafted by" }
            dd { @if usage.model.is_empty() { (visible(&usage.agent_kind)) } @else { (visible(&usage.model)) } }
        }
        @if usage.input_tokens + usage.output_tokens > 0 {
            dt { "Tokens" } dd { (grouped(usage.input_tokens)) " in, " (grouped(usage.output_tokens)) " out" }
        }
        @if usage.calls > 0 { dt { "Calls" } dd { (usage.calls) " in " (time::duration(usage.duration_ms)) } }
    }
}

/// Cancels the issue.
pub(crate) async fn cancel(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let request = v1::CancelIssueRequest {
        issue_id: id.clone(),
    };
    viewer.asker()?.cancel_issue(request).await?;
    Ok(see_other(&format!(
        "/issues/{}?done=cancelled",
        segment(&id)
    )))
}

/// Files the issue again, and shows the new one.
pub(crate) async fn retry(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let request = v1::RetryIssueRequest {
        issue_id: id,
        new_issue_id: None,
    };
    let issue = given(viewer.asker()?.retry_issue(request).await?.issue)?;
    Ok(see_other(&format!(
        "/issues/{}?done=retried",
        segment(&issue.issue_id)
    )))
}
