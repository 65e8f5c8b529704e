//! Arguments of the verbs about reviews.

use clap::Args;

use super::lists::LimitArgs;

/// Options of `review`.
#[derive(Debug, Args)]
pub(crate) struct ReviewArgs {
    /// Show this issue and take a decision: its id, or the beginning or end of it. Default: list
    /// all issues in review, the longest waiting first.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "limit", "all"])]
    pub(crate) issue_id: Option<String>,
    /// List only issues of this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
}

/// Options of `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Id of the issue, or its beginning or end.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// The proposed version that you have seen, or its first digits. Needs `--base`, and asks no
    /// question.
    #[arg(long, value_name = "VERSION", requires = "base")]
    pub(crate) version: Option<String>,
    /// The version on which it is based, or its first digits.
    #[arg(long, value_name = "VERSION", requires = "version")]
    pub(crate) base: Option<String>,
    /// A comment, kept in the log entry and the commit.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Approve what is shown without a question.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Options of `decline`.
#[derive(Debug, Args)]
pub(crate) struct DeclineArgs {
    /// Id of the issue, or its beginning or end.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// Why, for the submitter. Several words need no quotes.
    #[arg(value_name = "REASON", required = true, num_args = 1..)]
    pub(crate) reason: Vec<String>,
}
