//! `issues`: the list, once or whenever it changes.

use std::collections::HashMap;
use std::time::Duration;

use proto::v1::{Issue, IssueState, ListIssuesRequest, RejectionCause};
use serde_json::json;
use tokio::time::sleep;

use super::blueprint_watch::is_passing;
use super::{near_miss, page_size};
use crate::args::{IssuesArgs, Output, StateArg};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, Reader, Styled};

/// The pause between two looks of `--watch`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const COLUMNS: [Column; 7] = [
    Column::value("ISSUE"),
    Column::value("BLUEPRINT").omitted(2),
    Column::value("STATE"),
    Column::time("SUBMITTED").omitted(1),
    Column::text("BY").omitted(4),
    Column::text("INTENT"),
    Column::text("REASON").omitted(3),
];

/// Prints a list of issues. With `--watch` until an error.
///
/// # Errors
/// Errors of intake or standard output. With `--watch`, an intake that is away is not an error.
pub(super) async fn issues(
    mut client: Client,
    args: IssuesArgs,
    format: Output,
) -> Result<(), CliError> {
    let (found, has_more) = fetch(&mut client, &args).await?;
    if found.is_empty() {
        near_miss::check_filter(&mut client, args.list.blueprint.as_deref()).await?;
    }
    if args.watch {
        return watch(client, &args, found, has_more, format).await;
    }
    if format == Output::Json {
        let found: Vec<_> = found.iter().map(output::issue_json).collect();
        let value = json!({ "issues": found, "has_more": has_more });
        return Ok(output::json_document(&value)?);
    }
    output::list(COLUMNS, &rows(&found), "issues")?;
    if has_more {
        output::note(output::left_out(found.len(), None))?;
    }
    Ok(())
}

/// Returns the newest issues that match, and whether there are more.
async fn fetch(client: &mut Client, args: &IssuesArgs) -> Result<(Vec<Issue>, bool), CliError> {
    let (state, cause) = args.state.map(wire).unzip();
    let (limit, since) = (args.list.limit.number(), args.list.since_ms());
    // The order of the list: by the time of submission, or of the failure on the dead-letter list.
    let is_older = |issue: &Issue| {
        // The longest waiting review comes first.
        if state == Some(IssueState::InReview) {
            return false;
        }
        let at = match args.dead {
            true => issue.updated_at.as_ref(),
            false => issue.submitted_at.as_ref(),
        };
        at.is_some_and(|at| output::to_ms(at) < since)
    };
    let is_since = |issue: &Issue| {
        let at = issue.submitted_at.as_ref();
        at.is_some_and(|at| output::to_ms(at) >= since)
    };
    let mut issues: Vec<Issue> = Vec::new();
    let mut page_token = String::new();
    let mut is_over = false;
    while issues.len() < limit && !is_over {
        let page = client
            .intake
            .list_issues(ListIssuesRequest {
                blueprint_id: args.list.blueprint.clone(),
                state: state.map(Into::into),
                cause: cause.flatten().map(Into::into),
                dead_only: args.dead,
                page_size: page_size(limit - issues.len()),
                page_token,
                submitted_by: args.list.actor.clone(),
                ..Default::default()
            })
            .await?
            .into_inner();
        is_over = page.issues.iter().any(is_older);
        issues.extend(page.issues.into_iter().filter(is_since));
        page_token = page.next_page_token;
        is_over |= page_token.is_empty();
    }
    let has_more = !is_over || issues.len() > limit;
    issues.truncate(limit);
    Ok((issues, has_more))
}

fn rows(issues: &[Issue]) -> Vec<[Cell; 7]> {
    let ids: Vec<&str> = issues.iter().map(|issue| issue.issue_id.as_str()).collect();
    let rows = issues.iter().zip(output::short_ids(&ids));
    let rows = rows.map(|(issue, short_id)| {
        [
            Cell::short(short_id, &issue.issue_id),
            Cell::from(&issue.blueprint_id),
            Cell::from(output::state_word(issue)).painted(output::state_paint(issue)),
            Cell::time(issue.submitted_at.as_ref()),
            Cell::from(&issue.submitted_by),
            Cell::from(&issue.intent),
            Cell::from(&issue.reason),
        ]
    });
    rows.collect()
}

/// Shows the list again whenever it changes: the whole screen on a terminal, else each issue that
/// has changed.
async fn watch(
    mut client: Client,
    args: &IssuesArgs,
    mut found: Vec<Issue>,
    mut has_more: bool,
    format: Output,
) -> Result<(), CliError> {
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut is_away = false;
    loop {
        if format == Output::Text && output::can_redraw() {
            let mut screen = output::table(COLUMNS, &rows(&found), output::reader());
            if has_more {
                screen = screen.plain("\n").then(output::left_out(found.len(), None));
            }
            if is_away {
                let away = output::warning("intake is unavailable, trying again");
                screen = Styled::from("").then(away).plain("\n").then(screen);
            }
            output::redraw(screen)?;
        } else {
            // The oldest first, as in a stream.
            let changed = found.iter().rev();
            let changed: Vec<Issue> = changed
                .filter(|issue| seen.get(&issue.issue_id) != Some(&issue.revision))
                .cloned()
                .collect();
            seen = found
                .iter()
                .map(|issue| (issue.issue_id.clone(), issue.revision))
                .collect();
            match format {
                Output::Json => {
                    for issue in &changed {
                        output::json_line(&json!({ "issue": output::issue_json(issue) }))?;
                    }
                }
                Output::Text if changed.is_empty() => {}
                Output::Text => {
                    output::line(output::table(COLUMNS, &rows(&changed), Reader::Program))?
                }
            }
        }
        sleep(LOOK_EVERY).await;
        match fetch(&mut client, args).await {
            Ok(fetched) => ((found, has_more), is_away) = (fetched, false),
            Err(error) if is_passing(&error) => {
                if !is_away && !output::can_redraw() {
                    let away = format_args!("intake is unavailable, trying again: {error}");
                    output::note(output::warning(away))?;
                }
                is_away = true;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns the filter of intake for a state as the column STATE shows it.
fn wire(state: StateArg) -> (IssueState, Option<RejectionCause>) {
    let rejected = |cause| (IssueState::Rejected, Some(cause));
    match state {
        StateArg::Pending => (IssueState::Pending, None),
        StateArg::InFlight => (IssueState::InFlight, None),
        StateArg::InReview => (IssueState::InReview, None),
        StateArg::Applied => (IssueState::Applied, None),
        StateArg::Rejected => (IssueState::Rejected, None),
        StateArg::Denied => rejected(RejectionCause::Denied),
        StateArg::Failed => rejected(RejectionCause::Failed),
        StateArg::Cancelled => rejected(RejectionCause::Cancelled),
        StateArg::Declined => rejected(RejectionCause::Declined),
    }
}
