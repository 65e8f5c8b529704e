//! `approve` and `decline`.

use proto::v1::{ApproveIssueRequest, DeclineIssueRequest, Issue, IssueState, Proposal};
use tonic::Status;
use tonic_types::StatusExt;

use super::issue_lookup::find;
use super::issues::print_issue;
use super::question::is_confirmed;
use super::review::{fetch, show};
use super::version_lookup::is_whole;
use crate::args::{ApproveArgs, DeclineArgs, Output};
use crate::client::{CliError, Client};
use crate::output::{self, Paint, Styled};

/// An approval of the change that a person has seen.
pub(super) struct Approval {
    issue_id: String,
    new_version: String,
    base_version: String,
    comment: Option<String>,
}

impl Approval {
    /// Returns the approval of exactly this proposal.
    pub(super) fn of(proposal: &Proposal, comment: Option<String>) -> Self {
        Self {
            issue_id: proposal.issue_id.clone(),
            new_version: proposal.new_version.clone(),
            base_version: proposal.base_version.clone(),
            comment,
        }
    }
}

/// Approves what an issue proposes. Shows it and asks, unless the arguments name what was seen.
///
/// # Errors
/// Errors of intake, standard input or standard output. The arguments name another proposal, or the
/// question was not answered with yes.
pub(crate) async fn approve(
    mut client: Client,
    args: ApproveArgs,
    format: Output,
) -> Result<(), CliError> {
    let issue_id = find(&mut client, args.issue_id).await?;
    let approval = match args.version.zip(args.base) {
        // In full, they need no lookup. So a repeated approval is answered again.
        Some((new_version, base_version)) if is_whole(&new_version) && is_whole(&base_version) => {
            Approval {
                issue_id,
                new_version,
                base_version,
                comment: args.comment,
            }
        }
        Some((new_version, base_version)) => {
            let proposal = fetch(&mut client, &issue_id).await?;
            let is_named = proposal.new_version.starts_with(&new_version)
                && proposal.base_version.starts_with(&base_version);
            if !is_named {
                return Err(CliError::OtherProposal {
                    issue_id,
                    version: output::short_version(&proposal.new_version).to_owned(),
                    base: output::short_version(&proposal.base_version).to_owned(),
                });
            }
            Approval::of(&proposal, args.comment)
        }
        None => {
            let proposal = fetch(&mut client, &issue_id).await?;
            if format == Output::Text {
                show(&proposal)?;
            }
            let version = output::short_version(&proposal.new_version);
            let question = format!("approve version {version} of {}?", proposal.blueprint_id);
            if !args.yes && !is_confirmed(&question)? {
                return Err(CliError::NotConfirmed);
            }
            Approval::of(&proposal, args.comment)
        }
    };
    approve_shown(&mut client, approval, format).await
}

/// Approves a change that was shown, and prints the result.
///
/// # Errors
/// Errors of intake or standard output. [`CliError::BaseMoved`] and
/// [`CliError::ProposalChanged`] if nothing was committed.
pub(super) async fn approve_shown(
    client: &mut Client,
    approval: Approval,
    format: Output,
) -> Result<(), CliError> {
    let issue_id = approval.issue_id.clone();
    let request = ApproveIssueRequest {
        issue_id: approval.issue_id,
        new_version: approval.new_version,
        base_version: approval.base_version,
        comment: approval.comment,
    };
    let answer = client.intake.approve_issue(request).await;
    let answer = answer.map_err(|status| match format {
        Output::Text => explain(status, issue_id),
        // JSON has the details of the error.
        Output::Json => status.into(),
    })?;
    let issue = answer.into_inner().issue;
    print(issue.ok_or(CliError::Answer { field: "issue" })?, format)
}

/// Returns the error of an approval, with what to do next.
fn explain(status: Status, issue_id: String) -> CliError {
    let info = status.get_details_error_info();
    match info.filter(|info| info.reason == "PROPOSAL_STALE") {
        None => status.into(),
        // The present proposal is named if the caller named another one.
        Some(info) if info.metadata.contains_key("new_version") => {
            CliError::ProposalChanged { issue_id }
        }
        Some(_) => CliError::BaseMoved { issue_id },
    }
}

/// Declines what an issue proposes.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn decline(
    mut client: Client,
    args: DeclineArgs,
    format: Output,
) -> Result<(), CliError> {
    let issue_id = find(&mut client, args.issue_id).await?;
    decline_for(&mut client, issue_id, args.reason.join(" "), format).await
}

/// Declines an issue for a reason, and prints the result.
///
/// # Errors
/// Errors of intake or standard output.
pub(super) async fn decline_for(
    client: &mut Client,
    issue_id: String,
    reason: String,
    format: Output,
) -> Result<(), CliError> {
    let request = DeclineIssueRequest { issue_id, reason };
    let answer = client.intake.decline_issue(request).await?.into_inner();
    print(
        answer.issue.ok_or(CliError::Answer { field: "issue" })?,
        format,
    )
}

/// Prints a decided issue: one sentence, or JSON.
fn print(issue: Issue, format: Output) -> Result<(), CliError> {
    if format == Output::Json {
        return print_issue(&issue, format);
    }
    let (id, blueprint_id) = (&issue.issue_id, &issue.blueprint_id);
    let (paint, outcome) = match issue.state() {
        IssueState::Applied => (Paint::Good, "approved"),
        _ => (Paint::Bad, "declined"),
    };
    let what = match issue.state() {
        IssueState::Applied => {
            let version = output::short_version(&issue.new_version);
            format!("{blueprint_id} is now at version {version}")
        }
        _ => format!("issue {id} against {blueprint_id}"),
    };
    Ok(output::line(
        Styled::of(paint, outcome).plain(format_args!(": {what}")),
    )?)
}
