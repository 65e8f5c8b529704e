//! `review`: lists the issues in review, or shows one and takes the decision of a person.

use std::io::{self, IsTerminal};

use proto::v1::{GetProposalRequest, Issue, IssueState, ListIssuesRequest, Proposal};
use serde_json::{Value, json};

use super::approval::{self, Approval};
use super::issue_lookup::find;
use super::log::print_verdicts;
use super::question::{ask, ask_for};
use super::{near_miss, page_size};
use crate::args::{Output, ReviewArgs};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, Paint, Styled};

/// Prints the issues in review, or one proposal. On a terminal it then asks for a decision.
///
/// # Errors
/// Errors of intake, standard input or standard output. The issue is not in review.
pub(crate) async fn review(
    mut client: Client,
    args: ReviewArgs,
    format: Output,
) -> Result<(), CliError> {
    let Some(given) = args.issue_id else {
        return inbox(client, args.blueprint, args.limit.number(), format).await;
    };
    let issue_id = find(&mut client, given).await?;
    let proposal = fetch(&mut client, &issue_id).await?;
    if format == Output::Json {
        let value = json!({ "proposal": proposal_json(&proposal) });
        return Ok(output::json_document(&value)?);
    }
    show(&proposal)?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(());
    }
    match ask("approve, decline or skip? [a/d/S]")?.as_str() {
        "a" | "approve" => {
            let comment = ask_for("comment (Enter for none):")?;
            let approval = Approval::of(&proposal, comment);
            approval::approve_shown(&mut client, approval, format).await
        }
        "d" | "decline" => {
            let reason = ask_for("reason, for the submitter:")?;
            let reason = reason.ok_or(CliError::NoReason)?;
            approval::decline_for(&mut client, issue_id, reason, format).await
        }
        _ => Ok(output::line("nothing was decided")?),
    }
}

/// Prints the issues in review, the longest waiting first.
async fn inbox(
    mut client: Client,
    blueprint_id: Option<String>,
    limit: usize,
    format: Output,
) -> Result<(), CliError> {
    let mut issues: Vec<Issue> = Vec::new();
    let mut page_token = String::new();
    while issues.len() < limit {
        let request = ListIssuesRequest {
            blueprint_id: blueprint_id.clone(),
            state: Some(IssueState::InReview.into()),
            page_size: page_size(limit - issues.len()),
            page_token,
            ..Default::default()
        };
        let page = client.intake.list_issues(request).await?.into_inner();
        issues.extend(page.issues);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let has_more = !page_token.is_empty();
    if issues.is_empty() {
        near_miss::check_filter(&mut client, blueprint_id.as_deref()).await?;
    }
    if format == Output::Json {
        let issues: Vec<_> = issues.iter().map(output::issue_json).collect();
        let value = json!({ "issues": issues, "has_more": has_more });
        return Ok(output::json_document(&value)?);
    }
    let ids: Vec<&str> = issues.iter().map(|issue| issue.issue_id.as_str()).collect();
    let rows = issues.iter().zip(output::short_ids(&ids));
    let rows = rows.map(|(issue, short_id)| {
        [
            Cell::short(short_id, &issue.issue_id),
            Cell::from(&issue.blueprint_id),
            Cell::time(issue.updated_at.as_ref()),
            Cell::from(&issue.submitted_by),
            Cell::from(&issue.intent),
            Cell::from(&issue.reason),
        ]
    });
    let columns = [
        Column::value("ISSUE"),
        Column::value("BLUEPRINT").omitted(1),
        Column::value("SINCE").omitted(3),
        Column::text("BY").omitted(2),
        Column::text("INTENT"),
        Column::text("WHY").omitted(4),
    ];
    output::list(columns, &rows.collect::<Vec<_>>(), "issues in review")?;
    if has_more {
        output::note(output::left_out(issues.len(), None))?;
    }
    Ok(())
}

/// Returns the proposal of an issue in review.
///
/// # Errors
/// Errors of intake.
pub(super) async fn fetch(client: &mut Client, issue_id: &str) -> Result<Proposal, CliError> {
    let request = GetProposalRequest {
        issue_id: issue_id.to_owned(),
    };
    let answer = client.intake.get_proposal(request).await?.into_inner();
    let missing = CliError::Answer { field: "proposal" };
    answer.proposal.ok_or(missing)
}

/// Prints what a reviewer has to see: the change, why it needs a person, and how it was judged.
///
/// # Errors
/// Errors of standard output.
pub(super) fn show(proposal: &Proposal) -> Result<(), CliError> {
    let (id, blueprint_id) = (&proposal.issue_id, &proposal.blueprint_id);
    output::field("issue", format_args!("{id} against {blueprint_id}"))?;
    if !proposal.submitted_by.is_empty() {
        output::field("submitted", format_args!("by {}", proposal.submitted_by))?;
    }
    output::field("intent", &proposal.intent)?;
    let mut proposed = output::relative(proposal.proposed_at.as_ref());
    if proposal.expires_at.is_some() {
        let end = output::relative(proposal.expires_at.as_ref());
        proposed.push_str(&format!(", declined {end} without a review"));
    }
    output::field("proposed", proposed)?;
    if proposal.round > 1 {
        let round = proposal.round;
        output::field(
            "round",
            format_args!("{round}: an earlier approval found another head"),
        )?;
    }
    let head = if proposal.head_moved {
        Styled::of(Paint::Warn, "which is no longer the head")
    } else {
        Styled::from("the head")
    };
    let base = output::short_version(&proposal.base_version);
    let base = format!("version {base}, commit {}, ", proposal.base_seq);
    output::field("base", Styled::from(base).then(head))?;
    let version = output::short_version(&proposal.new_version);
    output::field("proposes", format_args!("version {version}"))?;
    output::show_diff(&proposal.unified_diff)?;
    if !proposal.rationale.is_empty() {
        output::field("rationale", &proposal.rationale)?;
    }
    for reason in &proposal.reasons {
        output::field("review", reason)?;
    }
    print_verdicts(&proposal.verdicts)?;
    if proposal.head_moved {
        output::line(output::warning(format_args!(
            "the head of {blueprint_id} has moved: an approval commits nothing, and the change is \
             verified on the new head"
        )))?;
    }
    Ok(())
}

/// Returns a proposal as JSON.
fn proposal_json(proposal: &Proposal) -> Value {
    json!({
        "issue_id": proposal.issue_id,
        "blueprint_id": proposal.blueprint_id,
        "new_version": proposal.new_version,
        "base_version": proposal.base_version,
        "base_seq": proposal.base_seq,
        "head_moved": proposal.head_moved,
        "json_patch": output::nested_json(&proposal.json_patch),
        "unified_diff": proposal.unified_diff,
        "document_yaml": proposal.document_yaml,
        "rationale": proposal.rationale,
        "verdicts": proposal.verdicts.iter().map(output::verdict_json).collect::<Vec<_>>(),
        "reasons": proposal.reasons,
        "usage": proposal.usage.as_ref().map(output::usage_json),
        "intent": proposal.intent,
        "submitted_by": proposal.submitted_by,
        "proposed_at": output::time_json(proposal.proposed_at.as_ref()),
        "expires_at": output::time_json(proposal.expires_at.as_ref()),
        "round": proposal.round,
        "allow_self_review": proposal.allow_self_review,
    })
}
