//! `/issues`: the list with its filters, and the form for a new issue.

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use maud::{Markup, html};
use proto::v1;
use proto::v1::{Issue, IssueState, RejectionCause};

use crate::calls::Scope;
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::pages::{ROWS, given};
use crate::view::issue_state::{mark, word};
use crate::view::layout::{self, Page, Place, token};
use crate::view::text::{first_line, visible};
use crate::view::time;

/// The choices of the filter: the name in the URL, the label, and the filter of the call.
const STATES: [(&str, &str, IssueState, RejectionCause); 8] = {
    use {IssueState as State, RejectionCause as Cause};
    [
        ("waiting", "Waiting", State::Pending, Cause::Unspecified),
        (
            "in-flight",
            "In flight",
            State::InFlight,
            Cause::Unspecified,
        ),
        (
            "in-review",
            "In review",
            State::InReview,
            Cause::Unspecified,
        ),
        ("applied", "Applied", State::Applied, Cause::Unspecified),
        ("denied", "Denied", State::Rejected, Cause::Denied),
        ("declined", "Declined", State::Rejected, Cause::Declined),
        ("failed", "Failed", State::Rejected, Cause::Failed),
        ("cancelled", "Cancelled", State::Rejected, Cause::Cancelled),
    ]
};

/// Shows the list.
pub(crate) async fn show(
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Page, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let asker = viewer.asker()?;
    let wanted = query.get("state");
    let state = match wanted {
        None => None,
        Some(name) => {
            let found = STATES.iter().find(|(each, ..)| *each == name);
            let known = || Failure::Field(format!("the state {name} is unknown"));
            Some(found.ok_or_else(known)?)
        }
    };
    let listing = v1::ListIssuesRequest {
        blueprint_id: query.trimmed("blueprint"),
        submitted_by: query.trimmed("actor"),
        state: state.map(|(_, _, state, _)| (*state).into()),
        cause: state.map(|(_, _, _, cause)| (*cause).into()),
        dead_only: query.get("dead").is_some(),
        page_size: ROWS,
        page_token: query.get("page").unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let list = asker.list_issues(listing).await?;
    let next = Some(&list.next_page_token).filter(|next| !next.is_empty());
    let next = next.map(|next| format!("/issues{}", query.with("page", Some(next))));
    let first = format!("/issues{}", query.with("page", None));
    let is_new = query.get("new").is_some();
    let main = html! {
        h1 { "Issues" }
        @if viewer.may(Scope::Submit) {
            details.panel #new open[is_new] {
                summary { "New issue" }
                (new_form(&viewer, query.get("blueprint").unwrap_or_default(), "", None))
            }
        }
        (filters(&query))
        @if list.issues.is_empty() {
            @if next.is_some() { (layout::empty("No issue on this page matches. More may follow on the next.")) }
            @else { (layout::empty("No issue matches.")) }
        } @else { (table(&list.issues)) }
        (layout::pager(&first, query.get("page").is_none(), next))
    };
    Ok(layout::page(&viewer, Place::Issues, "Issues", None, &main))
}

/// Returns the form for a new issue.
pub(crate) fn new_form(
    viewer: &Viewer,
    blueprint: &str,
    intent: &str,
    problem: Option<&str>,
) -> Markup {
    html! {
        form.stack method="post" action="/issues" {
            (token(viewer))
            @if let Some(problem) = problem { p.error role="alert" { (visible(problem)) } }
            label for="new-blueprint" { "Blueprint" }
            input #new-blueprint name="blueprint" value=(blueprint) required autocomplete="off" spellcheck="false";
            label for="new-intent" { "What should change" }
            textarea #new-intent name="intent" rows="4" required
                placeholder="set prompt of agent writer to Be brief." { (intent) }
            div { button.primary type="submit" { "File the issue" } }
        }
    }
}

fn filters(query: &Fields) -> Markup {
    let value = |name| query.get(name).unwrap_or_default();
    html! {
        form.filters method="get" action="/issues" role="search" aria-label="Filter of issues" {
            select name="state" aria-label="State" {
                option value="" { "Every state" }
                @for (name, label, ..) in STATES {
                    option value=(name) selected[value("state") == name] { (label) }
                }
            }
            input name="blueprint" placeholder="Blueprint" aria-label="Blueprint" value=(value("blueprint")) spellcheck="false";
            input name="actor" placeholder="Actor" aria-label="Actor" value=(value("actor")) spellcheck="false";
            label.check { input type="checkbox" name="dead" value="1" checked[query.get("dead").is_some()]; "Given up only" }
            button type="submit" { "Filter" }
        }
    }
}

/// Returns the table of issues.
pub(crate) fn table(issues: &[Issue]) -> Markup {
    html! {
        table.rows {
            thead { tr {
                th scope="col" { "State" } th scope="col" { "Issue" } th scope="col" { "Blueprint" }
                th.extra scope="col" { "By" } th scope="col" { "Filed" }
            } }
            tbody {
                @for issue in issues {
                    @let (word, class) = word(issue);
                    tr {
                        td.fit { (mark(word, class)) }
                        td.wide {
                            a href={ "/issues/" (segment(&issue.issue_id)) } { (first_line(&issue.intent, 110)) }
                            @if !issue.reason.is_empty() { div.reason { (first_line(&issue.reason, 140)) } }
                        }
                        td.fit { a.quiet href={ "/blueprints/" (segment(&issue.blueprint_id)) } { (visible(&issue.blueprint_id)) } }
                        td.fit.quiet.extra { (visible(&issue.submitted_by)) }
                        td.fit.quiet { (time::ago(issue.submitted_at.as_ref())) }
                    }
                }
            }
        }
    }
}

/// Files an issue.
pub(crate) async fn file(
    Extension(viewer): Extension<Viewer>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let request = v1::SubmitIssueRequest {
        blueprint_id: fields.needed("blueprint")?,
        intent: fields.text("intent"),
        issue_id: None,
        // The page says at once which sentence the bundled spawner does not understand.
        must_be_understood: true,
    };
    let issue = given(viewer.asker()?.submit_issue(request).await?.issue)?;
    Ok(see_other(&format!(
        "/issues/{}?done=filed",
        segment(&issue.issue_id)
    )))
}
