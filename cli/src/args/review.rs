//! Arguments of the verbs about reviews.

use clap::Args;

/// Options of `review`.
#[derive(Debug, Args)]
pub(crate) struct ReviewArgs {
    /// Id of an issue in review. Default: list all of them, the longest waiting first.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "limit"])]
    pub(crate) issue_id: Option<String>,
    /// List only issues of this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// Maximum number of issues.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Options of `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Id of the issue.
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
    /// Id of the issue.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// Why, for the submitter. Several words need no quotes.
    #[arg(value_name = "REASON", required = true, num_args = 1..)]
    pub(crate) reason: Vec<String>,
}
