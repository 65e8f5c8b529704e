//! Arguments of the verbs on issues and the queue.

use clap::{Args, ValueEnum};

use super::lists::ListArgs;

/// Options of `submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Id of the Blueprint to change.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The change in plain words. `-` reads standard input. Several words need no quotes.
    #[arg(value_name = "INTENT", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(crate) intent: Vec<String>,
    /// Id of the new issue. The same issue can be submitted again under the same id.
    #[arg(long, value_name = "ID")]
    pub(crate) issue_id: Option<String>,
    /// Submit only; do not wait for the decision.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Do not wait for a review: exit with status 5 when the issue needs one.
    #[arg(long)]
    pub(crate) detach_on_review: bool,
    /// Submit a sentence that the bundled spawner does not understand, too. It is then denied and
    /// logged, unless the workers have another spawner of the same name.
    #[arg(long)]
    pub(crate) unchecked: bool,
}

/// Options of `preview`.
#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// Id of the Blueprint to change.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The change in plain words. `-` reads standard input. Several words need no quotes.
    #[arg(value_name = "INTENT", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(crate) intent: Vec<String>,
}

/// Options of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Id of the rejected issue, or its beginning or end.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// Id of the new issue. The same issue can be retried again under the same id.
    #[arg(long, value_name = "ID")]
    pub(crate) new_issue_id: Option<String>,
    /// Submit only; do not wait for the decision.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Do not wait for a review: exit with status 5 when the issue needs one.
    #[arg(long)]
    pub(crate) detach_on_review: bool,
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Id of the issue, or its beginning or end.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// Do not wait for a review: exit with status 5 when the issue needs one.
    #[arg(long)]
    pub(crate) detach_on_review: bool,
}

/// Selects the queue or one Blueprint.
#[derive(Debug, Args)]
pub(crate) struct QueueArg {
    /// Id of the Blueprint. Default: the whole queue.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
}

/// Options of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Seconds between two readings.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) interval: u64,
    /// Print once and end, as without a terminal.
    #[arg(long)]
    pub(crate) once: bool,
}

/// Selects an issue.
#[derive(Debug, Args)]
pub(crate) struct IssueArg {
    /// Id of the issue, or its beginning or end.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
}

/// Options of `issues`.
#[derive(Debug, Args)]
pub(crate) struct IssuesArgs {
    /// Show this issue in full. Its id, or the beginning or end of it.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "state", "actor", "since", "dead", "watch", "limit", "all"])]
    pub(crate) issue_id: Option<String>,
    /// List only issues in this state, as the column STATE shows it; `rejected` is all of denied,
    /// failed, cancelled and declined.
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateArg>,
    /// List only issues on the dead-letter list.
    #[arg(long)]
    pub(crate) dead: bool,
    /// Show the list again whenever it changes, until Ctrl-C. To a program: one line for each
    /// change of an issue.
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// The states of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum StateArg {
    /// Waits for a worker.
    Pending,
    /// A worker runs it.
    InFlight,
    /// Its change waits for a review.
    InReview,
    /// Its change was committed.
    Applied,
    /// It was rejected, for any cause.
    Rejected,
    /// It was rejected: a verifier denied it.
    Denied,
    /// It was rejected: it could not be decided.
    Failed,
    /// It was rejected: a user cancelled it.
    Cancelled,
    /// It was rejected: a reviewer declined it, or nobody reviewed it in time.
    Declined,
}

/// Options of `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Show the entry of this issue in full. Its id, or the beginning or end of it.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "actor", "since", "oldest_first", "limit", "all"])]
    pub(crate) issue_id: Option<String>,
    /// List the oldest entry first.
    #[arg(long)]
    pub(crate) oldest_first: bool,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}
