//! `review`: lists the issues in review, or shows one and takes the decision of a person.

use std::io::{self, IsTerminal};

use proto::v1::{GetProposalRequest, Issue, IssueState, ListIssuesRequest, Proposal};
use serde_json::{Value, json};

use super::approval::{self, Approval};
use super::log::print_judgement;
use super::page_size;
use super::question::{ask, ask_for};
use super::versions::show_diff;
use crate::args::{Output, ReviewArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Prints the issues in review, or one proposal. On a terminal it then asks for a decision.
///
/// # Errors
/// Errors of intake, standard input or standard output. The issue is not in review.
pub(crate) async fn review(
    mut client: Client,
    args: ReviewArgs,
    format: Output,
) -> Result<(), CliError> {
    let Some(issue_id) = args.issue_id else {
        return inbox(&mut client, args.blueprint, args.limit, format).await;
    };
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
    client: &mut Client,
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
    issues.truncate(limit);
    if format == Output::Json {
        let issues: Vec<_> = issues.iter().map(output::issue_json).collect();
        return Ok(output::json_document(&json!({ "issues": issues }))?);
    }
    if issues.is_empty() {
        return Ok(output::line("nothing waits for a review")?);
    }
    let rows = issues.iter().map(|issue| {
        [
            issue.issue_id.clone(),
            issue.blueprint_id.clone(),
            output::time(issue.updated_at.as_ref()),
            issue.submitted_by.clone(),
            output::brief(&issue.intent),
            output::brief(&issue.reason),
        ]
    });
    let header = ["ISSUE", "BLUEPRINT", "SINCE", "BY", "INTENT", "WHY"];
    output::line(output::table(header, rows))?;
    Ok(output::line(
        "\n`draftsman review ISSUE` shows one and takes your decision",
    )?)
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
    let line = |name: &str, text: &str| output::line(format_args!("{name:<10} {text}"));
    let (id, blueprint_id) = (&proposal.issue_id, &proposal.blueprint_id);
    line("issue", &format!("{id} against {blueprint_id}"))?;
    if !proposal.submitted_by.is_empty() {
        line("submitted", &format!("by {}", proposal.submitted_by))?;
    }
    line("intent", &proposal.intent)?;
    line("proposed", &output::time(proposal.proposed_at.as_ref()))?;
    if proposal.expires_at.is_some() {
        line("expires", &output::time(proposal.expires_at.as_ref()))?;
    }
    if proposal.round > 1 {
        let moves = output::count(u64::from(proposal.round) - 1, "time");
        line(
            "again",
            &format!("the head moved {moves} before an approval"),
        )?;
    }
    let head = if proposal.head_moved {
        "which is no longer the head"
    } else {
        "the head"
    };
    let (base, seq) = (output::short(&proposal.base_version), proposal.base_seq);
    line("base", &format!("version {base}, commit {seq}, {head}"))?;
    let proposed = output::short(&proposal.new_version);
    line("proposes", &format!("version {proposed}"))?;
    for reason in &proposal.reasons {
        line("needs you", reason)?;
    }
    show_diff(&proposal.unified_diff)?;
    print_judgement(&proposal.rationale, &proposal.verdicts, str::to_owned)?;
    if proposal.head_moved {
        output::line(format_args!(
            "the head of {blueprint_id} has moved: an approval commits nothing, and the change is \
             verified on the new head"
        ))?;
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
        "json_patch": proposal.json_patch,
        "unified_diff": proposal.unified_diff,
        "document_yaml": proposal.document_yaml,
        "rationale": proposal.rationale,
        "verdicts": proposal.verdicts.iter().map(output::verdict_json).collect::<Vec<_>>(),
        "reasons": proposal.reasons,
        "usage": proposal.usage.as_ref().map(output::usage_json),
        "intent": proposal.intent,
        "submitted_by": proposal.submitted_by,
        "proposed_at": proposal.proposed_at.as_ref().map(ToString::to_string),
        "expires_at": proposal.expires_at.as_ref().map(ToString::to_string),
        "round": proposal.round,
        "allow_self_review": proposal.allow_self_review,
    })
}
