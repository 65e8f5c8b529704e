//! `/reviews`: the changes that wait for a person, oldest first; and the decision about one.

use axum::Extension;
use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use proto::v1;
use proto::v1::{Issue, IssueState, Proposal};

use crate::calls::{Asker, Scope};
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::view::layout::{self, Page, Place, token};
use crate::view::text::{counted, first_line, short, visible};
use crate::view::{diff, time, verdicts};

/// The number of listed changes.
const SHOWN: usize = 50;
/// The list of intake begins with the newest: this many pages are read to find the oldest.
const MAX_PAGES: usize = 4;
const PER_PAGE: i32 = 1_000;

/// Shows the inbox.
pub(crate) async fn show(Extension(viewer): Extension<Viewer>) -> Result<Page, Failure> {
    let (issues, has_more) = waiting(&viewer.asker()?).await?;
    let n = issues.len();
    let main = html! {
        h1 { "Reviews" }
        @if issues.is_empty() {
            (layout::empty("No change waits for a person."))
        } @else {
            table.rows {
                thead { tr {
                    th scope="col" { "Change" } th scope="col" { "Blueprint" } th.extra scope="col" { "By" } th scope="col" { "Waits" }
                } }
                tbody {
                    @for issue in issues.iter().take(SHOWN) {
                        tr {
                            td.wide {
                                a href={ "/issues/" (segment(&issue.issue_id)) } { (first_line(&issue.intent, 110)) }
                                div.reason { (first_line(&issue.reason, 140)) }
                            }
                            td.fit { a.quiet href={ "/blueprints/" (segment(&issue.blueprint_id)) } { (visible(&issue.blueprint_id)) } }
                            td.fit.quiet.extra { (visible(&issue.submitted_by)) }
                            td.fit.quiet { (waits(issue)) }
                        }
                    }
                }
            }
            @if n > SHOWN { p.quiet { (counted((n - SHOWN) as u64, "change")) " more." } }
            @if has_more { p.quiet { "More than " (n) " changes wait; older ones are not in this list." } }
        }
    };
    Ok(layout::page(
        &viewer,
        Place::Reviews,
        "Reviews",
        None,
        &main,
    ))
}

fn waits(issue: &Issue) -> String {
    let since = issue.updated_at.as_ref().map_or(0, time::ms);
    time::coarse(time::now_ms() - since)
}

/// Returns the issues in review, oldest first, and whether older ones are left out.
async fn waiting(asker: &Asker) -> Result<(Vec<Issue>, bool), Failure> {
    let mut issues = Vec::new();
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        let request = v1::ListIssuesRequest {
            state: Some(IssueState::InReview.into()),
            page_size: PER_PAGE,
            page_token,
            ..Default::default()
        };
        let page = asker.list_issues(request).await?;
        issues.extend(page.issues);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    issues.reverse();
    Ok((issues, !page_token.is_empty()))
}

/// Returns the proposal of an issue in review; `None` if it was decided in the meantime.
pub(crate) async fn proposal(asker: &Asker, issue: &Issue) -> Result<Option<Proposal>, Failure> {
    if issue.state() != IssueState::InReview {
        return Ok(None);
    }
    let request = v1::GetProposalRequest {
        issue_id: issue.issue_id.clone(),
    };
    match asker.get_proposal(request).await {
        Ok(found) => Ok(found.proposal),
        Err(Failure::Refused(status)) if status.code() == tonic::Code::FailedPrecondition => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Shows a proposal, and the forms for the decision. The forms name the versions that are shown, so
/// that nothing else can be approved.
pub(crate) fn decide(viewer: &Viewer, path: &str, proposal: &Proposal) -> Markup {
    html! {
        section.panel.decision {
            h2 { "A person has to decide" }
            @if !proposal.reasons.is_empty() { ul.reasons { @for reason in &proposal.reasons { li.prose { (visible(reason)) } } } }
            @if proposal.head_moved {
                p.warning { "The head has moved since. An approval verifies the change again on the new head." }
            }
            p.quiet {
                "On " code title=(proposal.base_version) { (short(&proposal.base_version)) }
                ", proposed " (time::ago(proposal.proposed_at.as_ref()))
                @if let Some(at) = &proposal.expires_at { ", declined without a decision at " (time::exact(at)) }
            }
            @if viewer.may(Scope::Review) {
                form.stack method="post" action={ (path) "/approve" } {
                    (token(viewer))
                    input type="hidden" name="new_version" value=(proposal.new_version);
                    input type="hidden" name="base_version" value=(proposal.base_version);
                    label for="comment" { "Comment" }
                    input #comment name="comment" autocomplete="off";
                    div { button.primary type="submit" { "Approve" } }
                }
                form.stack method="post" action={ (path) "/decline" } {
                    (token(viewer))
                    label for="decline-reason" { "Reason to decline" }
                    input #decline-reason name="reason" required autocomplete="off";
                    div { button type="submit" { "Decline" } }
                }
            }
        }
        section { h2 { "What would change" } (diff::of_unified(&proposal.unified_diff)) }
        @if !proposal.verdicts.is_empty() { section { h2 { "Verdicts" } (verdicts::table(&proposal.verdicts)) } }
        @if !proposal.rationale.is_empty() { section { h2 { "Rationale" } p.prose { (visible(&proposal.rationale)) } } }
    }
}

/// Approves the change that the form names.
pub(crate) async fn approve(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let request = v1::ApproveIssueRequest {
        issue_id: id.clone(),
        new_version: fields.needed("new_version")?,
        base_version: fields.needed("base_version")?,
        comment: fields.trimmed("comment"),
    };
    viewer.asker()?.approve_issue(request).await?;
    Ok(see_other(&format!(
        "/issues/{}?done=approved",
        segment(&id)
    )))
}

/// Declines the change.
pub(crate) async fn decline(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let request = v1::DeclineIssueRequest {
        issue_id: id.clone(),
        reason: fields.needed("reason")?,
    };
    viewer.asker()?.decline_issue(request).await?;
    Ok(see_other(&format!(
        "/issues/{}?done=declined",
        segment(&id)
    )))
}
